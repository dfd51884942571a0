//! What tells one connection from another, and the keyed hash of it.

use crate::hash::{KeyedHash, address_words};
use crate::wire::{Family, Packet, VlanStack};
use core::fmt;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A connection's identity: both endpoints in ascending order, family and VLANs. Both directions have the same key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    low: Endpoint,
    high: Endpoint,
    vlans: VlanStack,
    family: Family,
}

/// An address (IPv4 ones IPv4-mapped) and a port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Endpoint {
    address: [u8; 16],
    port: u16,
}

impl FlowKey {
    /// The key of a TCP packet, and whether the packet goes from the low endpoint to the high one.
    pub fn of_packet(frame: &[u8], packet: &Packet) -> (FlowKey, bool) {
        let ((src, dst), (sport, dport)) = (packet.addresses(frame), packet.ports(frame));
        let (src, dst) = (Endpoint { address: src, port: sport }, Endpoint { address: dst, port: dport });
        let ascending = src <= dst;
        let (low, high) = if ascending { (src, dst) } else { (dst, src) };
        (FlowKey { low, high, vlans: packet.vlans, family: packet.family }, ascending)
    }

    /// The VLANs that the connection's packets carry.
    pub fn vlans(&self) -> &VlanStack {
        &self.vlans
    }

    /// IPv4 or IPv6.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The low or the high endpoint.
    pub fn endpoint(&self, low: bool) -> SocketAddr {
        let e = if low { &self.low } else { &self.high };
        let v6 = Ipv6Addr::from(e.address);
        let ip = match self.family {
            Family::V4 => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
            Family::V6 => IpAddr::V6(v6),
        };
        SocketAddr::new(ip, e.port)
    }
}

impl fmt::Debug for FlowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {} vlan {:?}", self.endpoint(true), self.endpoint(false), self.vlans)
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

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        let ([a, b], [c, d]) = (address_words(&key.low.address), address_words(&key.high.address));
        let ports = u64::from(key.low.port) << 32 | u64::from(key.high.port) << 8 | key.family as u64;
        self.0.hash(&[a, b, c, d, ports, key.vlans.word()])
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
