//! Which core a packet belongs to: the symmetric hash of addresses and ports, and the queue that follows from it.
//!
//! It is the Toeplitz hash of network cards, with the key [`SYMMETRIC_KEY`]: two octets over and over. With such a key the hash depends
//! only on the XOR of the 16-bit words of addresses and ports, so that both directions of a connection have the same, and
//! a card that is given the key and the map of [`queue`] spreads packets as this module does. Connections whose addresses
//! and ports have few different XORs (each host with its neighbour's) come to few queues, with this as with any symmetric key.
//!
//! # Invariants
//! 1. Both directions of a connection have one queue, whatever the number of queues.
//! 2. [`hash_of_frame`] gives all fragments of all datagrams between two addresses one hash: ports are in the first one
//!    only. It need not be that of the connection that they belong to. A [`Splitter`] remembers the ports.
//! 3. Of splitters that are shown the same frames in the same order, one for each share, exactly one takes each frame.

use mos_flow::engine::BURST;
use mos_flow::wire::{Fragment, Packet, parse};
use mos_flow::{Frame, LinkType, Verdict};
use ringbuf_core::hint;
use std::net::{IpAddr, SocketAddr};

/// The key, for network cards.
pub const SYMMETRIC_KEY: [u8; 40] = {
    let mut key = [0; 40];
    let mut at = 0;
    while at < key.len() {
        [key[at], key[at + 1]] = WORD.to_be_bytes();
        at += 2;
    }
    key
};

/// Entries of the map from hashes to queues, as the smallest of cards have it.
pub const MAP_ENTRIES: u32 = 128;

/// What the key repeats.
const WORD: u16 = 0x6d5a;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// The hash of packets from `source` to `destination`, and back.
pub fn hash(source: SocketAddr, destination: SocketAddr) -> u32 {
    let folded = |end: SocketAddr| fold_address(end.ip()) ^ end.port();
    toeplitz(folded(source) ^ folded(destination))
}

/// The hash of packets between two addresses whose ports are not known.
pub fn hash_of_addresses(source: IpAddr, destination: IpAddr) -> u32 {
    toeplitz(fold_address(source) ^ fold_address(destination))
}

/// The queue of a hash, below `queues`; 0 when there are none.
pub fn queue(hash: u32, queues: u32) -> u32 {
    (hash % MAP_ENTRIES).checked_rem(queues).unwrap_or(0)
}

/// The hash of a frame's innermost packet: of addresses and ports for TCP and UDP, else, and for fragments, of addresses. `None` when it has none: not
/// IP, or broken.
pub fn hash_of_frame(frame: &Frame<'_>) -> Option<u32> {
    let packet = parse(frame.link, frame.data).ok()?;
    let (source, destination) = packet.addresses(frame.data);
    // The prefix of mapped addresses is in both.
    Some(toeplitz(fold(&source) ^ fold(&destination) ^ fold_ports(&packet, frame.data)))
}

fn fold_ports(packet: &Packet, frame: &[u8]) -> u16 {
    let (source, destination) = packet.ports(frame);
    if matches!(packet.protocol, TCP | UDP) { source ^ destination } else { 0 }
}

fn fold_address(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(v4) => fold(&v4.octets()),
        IpAddr::V6(v6) => fold(&v6.octets()),
    }
}

/// The XOR of all 16-bit words.
fn fold(octets: &[u8]) -> u16 {
    octets.chunks_exact(2).fold(0, |folded, word| match *word {
        [high, low] => folded ^ u16::from_be_bytes([high, low]),
        _ => folded,
    })
}

/// The hash of all input whose words come to `folded`: the key looks the same from every 16th bit on, and in each window of
/// 32 bits twice.
fn toeplitz(folded: u16) -> u32 {
    let [high, low] = folded.to_be_bytes();
    let half = HIGH[usize::from(high)] ^ LOW[usize::from(low)];
    u32::from(half) << 16 | u32::from(half)
}

/// Of each octet, for the upper half of 16 bits and for the lower: the hash is linear.
const HIGH: [u16; 256] = halves(0);
const LOW: [u16; 256] = halves(u8::BITS);

const fn halves(first_bit: u32) -> [u16; 256] {
    let mut halves = [0; 256];
    let mut octet = 0;
    while octet < halves.len() {
        let mut bit = 0;
        while bit < u8::BITS {
            if octet & (0x80 >> bit) != 0 {
                halves[octet] ^= WORD.rotate_left(first_bit + bit);
            }
            bit += 1;
        }
        octet += 1;
    }
    halves
}

/// The part of one of several who read the same traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    rank: u32,
    of: u32,
}

impl Share {
    /// All of it.
    pub const ALL: Share = Share { rank: 0, of: 1 };

    /// The part of number `rank` among `of`, from 0. `None` when there is no such number.
    pub fn new(rank: u32, of: u32) -> Option<Share> {
        (rank < of).then_some(Share { rank, of })
    }
}

/// Datagrams whose ports are remembered. Arbitrary; fragments follow each other closely.
const DATAGRAMS: usize = 64;

/// What all fragments of a datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    addresses: ([u8; 16], [u8; 16]),
    network: u64,
    id: u32,
}

/// What connection a frame belongs to, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashed {
    /// It has none: not IP, or broken.
    None,
    /// That of its connection.
    Known(u32),
    /// It is a fragment that came before the first one of its datagram, which has the ports; the hash of its addresses.
    Early(Datagram, u32),
    /// It is the first fragment of a datagram, and has the hash of its connection.
    First(Datagram, u32),
}

/// Tells the hash of frames in the order in which they come, fragments included.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    /// Datagrams whose first fragment came, with their hashes; the newest takes the place of the oldest.
    datagrams: Vec<(Datagram, u32)>,
    oldest: usize,
}

impl Hashes {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Hashes { datagrams: Vec::with_capacity(DATAGRAMS), oldest: 0 }
    }

    /// That of a frame.
    pub fn of(&mut self, frame: &Frame<'_>) -> Hashed {
        if let Some(folded) = fold_plain(frame) {
            return Hashed::Known(toeplitz(folded));
        }
        let Ok(packet) = parse(frame.link, frame.data) else { return Hashed::None };
        let addresses = packet.addresses(frame.data);
        let folded = fold(&addresses.0) ^ fold(&addresses.1);
        let Some(Fragment { id, offset, .. }) = packet.fragment else {
            return Hashed::Known(toeplitz(folded ^ fold_ports(&packet, frame.data)));
        };
        let datagram = Datagram { addresses, network: packet.network, id };
        if offset > 0 {
            return self.known(&datagram).map_or(Hashed::Early(datagram, toeplitz(folded)), Hashed::Known);
        }
        let ports = match packet.segment_bytes(frame.data) {
            [a, b, c, d, ..] if matches!(packet.protocol, TCP | UDP) => fold(&[*a, *b, *c, *d]),
            _ => 0,
        };
        let hash = toeplitz(folded ^ ports);
        self.remember(datagram, hash);
        Hashed::First(datagram, hash)
    }

    fn known(&self, datagram: &Datagram) -> Option<u32> {
        self.datagrams.iter().find(|known| known.0 == *datagram).map(|known| known.1)
    }

    fn remember(&mut self, datagram: Datagram, hash: u32) {
        let known = self.datagrams.iter_mut().find(|known| known.0 == datagram);
        if let Some(known) = known {
            known.1 = hash;
        } else if self.datagrams.len() < DATAGRAMS {
            self.datagrams.push((datagram, hash));
        } else if let Some(place) = self.datagrams.get_mut(self.oldest) {
            *place = (datagram, hash);
            self.oldest = (self.oldest + 1) % DATAGRAMS;
        }
    }
}

/// Whether a frame is a TCP segment that any network card sees as one: right behind an IP header, which is right behind that of Ethernet.
pub fn is_plain(frame: &Frame<'_>) -> bool {
    fold_plain(frame).is_some()
}

/// Where the packet begins in an Ethernet frame.
const ETHERNET: usize = 14;
/// And the ports, in the shortest one.
const PORTS: usize = ETHERNET + 20;

/// Addresses and ports of such a frame, without the walk through its headers. Most frames are such.
fn fold_plain(frame: &Frame<'_>) -> Option<u16> {
    const FRAGMENT: u8 = 0x3f; // more to come, and the upper bits of the offset
    if frame.link != LinkType::Ethernet {
        return None;
    }
    let packet = frame.data.get(ETHERNET..)?;
    let (addresses, ports) = match *frame.data.get(ETHERNET - 2..)?.first_chunk()? {
        [0x08, 0x00] => {
            let [first, _, _, _, _, _, flags, offset, _, protocol] = *packet.first_chunk()?;
            if (protocol, flags & FRAGMENT, offset, first >> 4) != (TCP, 0, 0, 4) {
                return None;
            }
            (fold_words(packet.get(12..)?.first_chunk()?), usize::from(first & 0x0f) * 4)
        }
        [0x86, 0xdd] if packet.get(6) == Some(&TCP) => (fold(packet.get(8..40)?), 40),
        _ => return None,
    };
    let [a, b, c, d] = *packet.get(ports..)?.first_chunk()?;
    Some(addresses ^ u16::from_be_bytes([a, b]) ^ u16::from_be_bytes([c, d]))
}

/// As [`fold`], of two IPv4 addresses.
fn fold_words(addresses: &[u8; 8]) -> u16 {
    let words = u64::from_be_bytes(*addresses);
    let words = words ^ words >> 32;
    (words ^ words >> 16) as u16
}

/// Tells which frames belong to a share. It is shown all of them.
#[derive(Clone, Debug)]
pub struct Splitter {
    /// One bit for each entry of the map.
    own: u128,
    hashes: Hashes,
}

const _: () = assert!(MAP_ENTRIES == u128::BITS);

impl Splitter {
    /// One that has seen nothing.
    pub fn new(share: Share) -> Self {
        let own = (0..MAP_ENTRIES).filter(|hash| queue(*hash, share.of) == share.rank);
        Splitter { own: own.fold(0, |own, hash| own | 1 << hash), hashes: Hashes::new() }
    }

    /// Whether a frame belongs to the share. Those that are not IP belong to number 0. Fragments go where their first one
    /// went, and by their addresses when they come before it.
    pub fn takes(&mut self, frame: &Frame<'_>) -> bool {
        match self.hashes.of(frame) {
            Hashed::None => self.has(0),
            Hashed::Known(hash) | Hashed::Early(_, hash) | Hashed::First(_, hash) => self.has(hash),
        }
    }

    fn has(&self, hash: u32) -> bool {
        self.own >> (hash % MAP_ENTRIES) & 1 == 1
    }

    fn mark(&self, frame: &mut Frame<'_>, hash: u32) {
        if !self.has(hash) {
            frame.verdict = Verdict::Drop;
        }
    }

    /// Gives the frames of a burst that belong to other shares a verdict to drop. Fragments also go where their first one goes
    /// when that comes later in the same [`BURST`] frames.
    pub fn split(&mut self, frames: &mut [Frame<'_>]) {
        for burst in frames.chunks_mut(BURST) {
            for frame in burst.iter() {
                // From the type of an Ethernet frame to the ports may be two lines of the cache.
                [ETHERNET - 2, PORTS].iter().filter_map(|at| frame.data.get(*at)).for_each(hint::prefetch);
            }
            let mut early = heapless::Vec::<(usize, Datagram, u32), BURST>::new();
            for (at, frame) in burst.iter_mut().enumerate() {
                if let Some(folded) = fold_plain(frame) {
                    self.mark(frame, toeplitz(folded));
                    continue;
                }
                let hash = match self.hashes.of(frame) {
                    Hashed::None => 0,
                    Hashed::Known(hash) | Hashed::First(_, hash) => hash,
                    Hashed::Early(datagram, by_addresses) => {
                        let _ = early.push((at, datagram, by_addresses)); // at most all of them
                        continue;
                    }
                };
                self.mark(frame, hash);
            }
            for (at, datagram, by_addresses) in early {
                let hash = self.hashes.known(&datagram).unwrap_or(by_addresses);
                if let Some(frame) = burst.get_mut(at) {
                    self.mark(frame, hash);
                }
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
