//! What tells one connection from another, and the keyed hash of it.

use crate::hash::{KeyedHash, address_words};
use crate::wire::{Family, Packet, VlanStack, network};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use tcp_reasm::PlainSegment;

/// A connection's identity: both endpoints in ascending order, and the network in which they are: family, VLANs and
/// tunnels ([`Packet::network`]). Both directions have the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    low: Endpoint,
    high: Endpoint,
    /// Upper and lower half: two words keep the alignment, and with it the size of what holds a key, small.
    network: [u32; 2],
}

const _: () = assert!(size_of::<FlowKey>() == 44 && align_of::<FlowKey>() == 4);

/// An address (IPv4 ones IPv4-mapped) and a port.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(C)]
struct Endpoint {
    address: [u8; 16],
    port: u16,
}

impl Endpoint {
    /// What endpoints are ordered by: numbers, which are compared faster than octets.
    #[inline]
    fn rank(&self) -> (u128, u16) {
        (u128::from_be_bytes(self.address), self.port)
    }

    /// One with an IPv4 address, by its rank among those: the address, then the port.
    #[inline]
    fn v4(rank: u64) -> Self {
        let [.., a, b, c, d, e, f] = rank.to_be_bytes();
        let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
        Endpoint { address, port: u16::from_be_bytes([e, f]) }
    }

    /// The address that a mapped one stands for.
    #[inline]
    fn low_word(&self) -> u32 {
        let [.., a, b, c, d] = self.address;
        u32::from_be_bytes([a, b, c, d])
    }
}

impl FlowKey {
    /// The key of no connection.
    pub(crate) const NONE: FlowKey = {
        let none = Endpoint { address: [0; 16], port: 0 };
        FlowKey { low: none, high: none, network: [0, 0] }
    };

    /// The key of a TCP packet, and whether the packet goes from the low endpoint to the high one.
    #[inline]
    pub fn of_packet(frame: &[u8], packet: &Packet) -> (FlowKey, bool) {
        let ((src, dst), (sport, dport)) = (packet.addresses(frame), packet.ports(frame));
        let (src, dst) = (Endpoint { address: src, port: sport }, Endpoint { address: dst, port: dport });
        let ascending = src.rank() <= dst.rank();
        let (low, high) = if ascending { (src, dst) } else { (dst, src) };
        #[allow(clippy::cast_possible_truncation)] // the two halves
        let network = [(packet.network >> 32) as u32, packet.network as u32];
        (FlowKey { low, high, network }, ascending)
    }

    /// The same for a segment between two IPv4 addresses that came in no VLAN and no tunnel.
    #[inline]
    pub(crate) fn of_plain([src, dst]: [[u8; 4]; 2], segment: &PlainSegment) -> (FlowKey, bool) {
        // As `Endpoint::rank`: the rest of mapped addresses is the same.
        let rank = |address, port: u16| u64::from(u32::from_be_bytes(address)) << 16 | u64::from(port);
        let (src, dst) = (rank(src, segment.src_port), rank(dst, segment.dst_port));
        let (low, high) = (Endpoint::v4(src.min(dst)), Endpoint::v4(src.max(dst)));
        (FlowKey { low, high, network: [0, 0] }, src <= dst)
    }

    /// The key of connections between two addresses that come in no VLAN and no tunnel. `None` when they are of different
    /// families.
    pub fn between(a: SocketAddr, b: SocketAddr) -> Option<FlowKey> {
        if a.is_ipv4() != b.is_ipv4() {
            return None;
        }
        let end = |end: SocketAddr| {
            let address = match end.ip() {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            Endpoint { address, port: end.port() }
        };
        let (low, high) = if end(a).rank() <= end(b).rank() { (end(a), end(b)) } else { (end(b), end(a)) };
        Some(FlowKey { low, high, network: [0, u32::from(a.is_ipv6())] })
    }

    /// The VLANs that the connection's packets carry. Empty when they came through an IP tunnel (of the VLANs
    /// and the tunnel only a hash is kept), and when VLANs are left out of the key.
    pub fn vlans(&self) -> VlanStack {
        network::vlans(self.network())
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        network::family(self.network())
    }

    fn network(&self) -> u64 {
        let [upper, lower] = self.network;
        u64::from(upper) << 32 | u64::from(lower)
    }

    /// The low or the high endpoint.
    pub fn endpoint(&self, low: bool) -> SocketAddr {
        let e = if low { &self.low } else { &self.high };
        let v6 = Ipv6Addr::from(e.address);
        let ip = match self.family() {
            Family::V4 => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
            Family::V6 => IpAddr::V6(v6),
        };
        SocketAddr::new(ip, e.port)
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {} vlan {:?}", self.endpoint(true), self.endpoint(false), self.vlans())
    }
}

/// Hashes flow keys with a [`KeyedHash`].
#[derive(Clone, Debug)]
pub struct KeyHasher(KeyedHash);

impl KeyHasher {
    /// A hasher from a secret seed. A process should draw a new one at its start.
    pub fn new(seed: [u8; 16]) -> Self {
        KeyHasher(KeyedHash::new(seed))
    }

    /// The hash of up to [`KeyedHash::WORDS`] words, under the same secret.
    pub fn words(&self, words: &[u64]) -> u64 {
        self.0.hash(words)
    }

    /// The hash of a key. Of IPv4 addresses only that is hashed in which they differ. Which of the two it is, is in the first
    /// word.
    #[inline]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        let ports = u64::from(key.low.port) << 32 | u64::from(key.high.port);
        let network = key.network();
        if network::family(network) == Family::V4 {
            let addresses = u64::from(key.low.low_word()) << 32 | u64::from(key.high.low_word());
            return self.0.hash(&[network, ports, addresses]);
        }
        let ([a, b], [c, d]) = (address_words(&key.low.address), address_words(&key.high.address));
        self.0.hash(&[network, ports, a, b, c, d])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{LinkType, parse};
    use etherparse::PacketBuilder;
    use std::collections::HashSet;
    use std::vec::Vec;

    fn key(src: [u8; 4], sport: u16, dst: [u8; 4], dport: u16) -> (FlowKey, bool) {
        let mut f = Vec::new();
        PacketBuilder::ipv4(src, dst, 9).tcp(sport, dport, 0, 0).write(&mut f, &[]).unwrap();
        FlowKey::of_packet(&f, &parse(LinkType::RawIp, &f).unwrap())
    }

    #[test]
    fn both_directions_have_one_key_and_know_their_direction() {
        let (there, up) = key([10, 0, 0, 2], 5, [10, 0, 0, 1], 80);
        let (back, down) = key([10, 0, 0, 1], 80, [10, 0, 0, 2], 5);
        assert!(there == back && up != down);
        assert_eq!(std::format!("{}", there.endpoint(down)), "10.0.0.1:80");
        let (other, _) = key([10, 0, 0, 2], 80, [10, 0, 0, 1], 5);
        assert!(there != other, "ports belong to their addresses");
    }

    #[test]
    fn a_key_tells_vlans_family_and_endpoints() {
        let builder = || PacketBuilder::ethernet2([1; 6], [2; 6]);
        let vlan = |id| etherparse::VlanId::try_new(id).unwrap();
        let tagged = |outer, inner| {
            let mut f = Vec::new();
            let b = builder().double_vlan(vlan(outer), vlan(inner)).ipv6([3; 16], [4; 16], 9);
            b.tcp(7, 80, 0, 0).write(&mut f, &[]).unwrap();
            f
        };
        let of = |f: &[u8]| FlowKey::of_packet(f, &parse(LinkType::Ethernet, f).unwrap()).0;
        let key = of(&tagged(10, 4095));
        assert_eq!((key.vlans().ids(), key.family()), (&[10, 4095][..], Family::V6));
        assert_eq!(key.endpoint(true), "[303:303:303:303:303:303:303:303]:7".parse().unwrap());
        assert!(key != of(&tagged(4095, 10)) && key != of(&tagged(10, 4094)));
        let hasher = KeyHasher::new([1; 16]);
        assert_ne!(hasher.hash(&key), hasher.hash(&of(&tagged(10, 4094))));
    }

    /// An IPv4 address and the IPv6 one that maps it are two.
    #[test]
    fn families_are_told_apart() {
        let mapped = |last| {
            core::array::from_fn(|i| {
                [10, 0, 0, last].get(i.wrapping_sub(12)).copied().unwrap_or(if i >= 10 { 0xff } else { 0 })
            })
        };
        let mut f = Vec::new();
        PacketBuilder::ipv6(mapped(1), mapped(2), 9).tcp(1000, 80, 0, 0).write(&mut f, &[]).unwrap();
        let (six, _) = FlowKey::of_packet(&f, &parse(LinkType::RawIp, &f).unwrap());
        let (four, _) = key([10, 0, 0, 1], 1000, [10, 0, 0, 2], 80);
        assert!((six.low, six.high) == (four.low, four.high));
        assert!(six != four && KeyHasher::new([1; 16]).hash(&six) != KeyHasher::new([1; 16]).hash(&four));
    }

    #[test]
    fn hashes_depend_on_the_seed_and_every_part() {
        let (one, two) = (KeyHasher::new([1; 16]), KeyHasher::new([2; 16]));
        let base = key([10, 0, 0, 1], 1000, [10, 0, 0, 2], 80).0;
        assert_ne!(one.hash(&base), two.hash(&base));
        let mut seen = HashSet::new();
        for i in 0..40_000_u32 {
            let [_, b, c, d] = i.to_be_bytes();
            seen.insert(one.hash(&key([10, b, c, d], 1000, [10, 200, 0, 2], 80).0) >> 32);
        }
        // 40,000 values of 32 bits: about 0.2 collisions are expected.
        assert!(seen.len() > 39_990, "{} distinct values", seen.len());
    }
}
