//! What is sent in a sequence, and the packets that it makes.

use mos_flow::defrag::{DatagramKey, Fragment};
use mos_flow::wire::Family;
use mos_flow::wire::checksum::Sum;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

pub(crate) const FRAGMENT: u8 = 44;
const HOP_BY_HOP: u8 = 0;
/// One that is skipped by who does not know it (RFC 8200, 4.2). More than 7 octets of padding would be refused.
const UNKNOWN_OPTION: u8 = 0x1e;

/// Fragments, of one datagram or of several, in the order in which they are sent.
pub(crate) struct Sequence {
    pub(crate) seed: u64,
    pub(crate) pieces: Vec<Piece>,
}

/// A fragment.
#[derive(Clone)]
pub(crate) struct Piece {
    pub(crate) family: Family,
    pub(crate) id: u32,
    /// The protocol, or what follows the fragment header.
    pub(crate) next: u8,
    pub(crate) offset: u32,
    pub(crate) more: bool,
    /// What the payload begins with; random octets follow.
    pub(crate) head: Vec<u8>,
    pub(crate) len: usize,
    pub(crate) ttl: u8,
    /// Type of service or traffic class; the lowest two bits are about congestion.
    pub(crate) tos: u8,
    /// Octets of IPv4 options, or of IPv6 options for all hops.
    pub(crate) options: usize,
    pub(crate) dont_fragment: bool,
    pub(crate) fill: u64,
}

/// A fragment as it is on the wire, and as the walk over a frame would find it.
pub(crate) struct Sent {
    pub(crate) packet: Vec<u8>,
    header: Vec<u8>,
    payload: Vec<u8>,
    key: DatagramKey,
    piece: Piece,
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Piece { family, id, next, offset, len, ttl, tos, options, .. } = self;
        let more = if self.more { "+" } else { "" };
        write!(f, "{family:?} id {id} next {next} {offset}:{len}{more} ttl {ttl} tos {tos:#04x}")?;
        write!(f, " options {options} df {} head {:02x?}", self.dont_fragment, self.head)
    }
}

impl Piece {
    /// The fragment as one of sequence number `n`, whose source is a host of its own.
    pub(crate) fn sent(&self, n: u32) -> Sent {
        let payload = self.payload();
        let (header, src, dst) = match self.family {
            Family::V4 => self.header_v4(n, payload.len()),
            Family::V6 => self.header_v6(n, payload.len()),
        };
        let protocol = if self.family == Family::V4 { self.next } else { 0 };
        let key = DatagramKey { src, dst, id: self.id, protocol, network: 0 };
        let mut packet = header.clone();
        if self.family == Family::V6 {
            let offset = u16::try_from(self.offset | u32::from(self.more)).expect("13 bits and one");
            packet.extend([self.next, 0]);
            packet.extend(offset.to_be_bytes());
            packet.extend(self.id.to_be_bytes());
        }
        packet.extend(&payload);
        Sent { packet, header, payload, key, piece: self.clone() }
    }

    fn payload(&self) -> Vec<u8> {
        let random = (0_u64..).map(|i| (self.fill.wrapping_mul(i | 1) >> 32) as u8);
        self.head.iter().copied().chain(random.skip(self.head.len())).take(self.len).collect()
    }

    fn header_v4(&self, n: u32, len: usize) -> (Vec<u8>, [u8; 16], [u8; 16]) {
        let words = 5 + self.options / 4;
        let total = u16::try_from(4 * words + len).expect("an IP packet");
        let flags = u16::from(self.more) << 13 | u16::from(self.dont_fragment) << 14;
        let offset = u16::try_from(self.offset / 8).expect("13 bits");
        let [_, a, b, c] = n.to_be_bytes();
        let (src, dst) = ([10, 0x40 | a, b, c], crate::net::KERNEL_V4.octets());
        let mut header = vec![0x40 | words as u8, self.tos];
        header.extend(total.to_be_bytes());
        header.extend((self.id as u16).to_be_bytes());
        header.extend((flags | offset).to_be_bytes());
        header.extend([self.ttl, self.next, 0, 0]);
        header.extend([src, dst].concat());
        header.resize(4 * words, 1); // no operation
        let sum = !Sum::default().bytes(&header).fold();
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        let mapped = |address: [u8; 4]| std::net::Ipv4Addr::from(address).to_ipv6_mapped().octets();
        (header, mapped(src), mapped(dst))
    }

    fn header_v6(&self, n: u32, len: usize) -> (Vec<u8>, [u8; 16], [u8; 16]) {
        let after = u16::try_from(self.options + 8 + len).expect("an IP packet");
        let dst = crate::net::KERNEL_V6.octets();
        let mut src = dst;
        src[8..12].copy_from_slice(&n.to_be_bytes());
        let mut header = vec![0x60 | self.tos >> 4, self.tos << 4, 0, 0];
        header.extend(after.to_be_bytes());
        header.extend([if self.options > 0 { HOP_BY_HOP } else { FRAGMENT }, self.ttl]);
        header.extend([src, dst].concat());
        if self.options > 0 {
            header.extend([FRAGMENT, (self.options / 8 - 1) as u8, UNKNOWN_OPTION, self.options as u8 - 4]);
            header.resize(40 + self.options, 0);
        }
        (header, src, dst)
    }
}

impl Sent {
    pub(crate) fn fragment(&self) -> Fragment<'_> {
        Fragment {
            key: self.key,
            family: self.piece.family,
            offset: self.piece.offset,
            more: self.piece.more,
            header: &self.header,
            next_header_at: if self.piece.options > 0 { 40 } else { 6 },
            next_header: self.piece.next,
            payload: &self.payload,
            payload_len: self.payload.len(),
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.fragment().words().hash(&mut hasher);
        hasher.finish()
    }
}
