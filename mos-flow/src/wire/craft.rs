//! Headers by the octet, for tests of the walk: nothing here uses the views that are tested.
#![allow(clippy::cast_possible_truncation)]

use super::{Family, LinkType, Packet, parse};
use crate::reason::DropReason;
use std::vec::Vec;

/// Which way a packet goes: addresses, ports and what else differs by direction are swapped.
pub(crate) type Back = bool;

fn pair<T>(back: Back, one: T, other: T) -> [T; 2] {
    if back { [other, one] } else { [one, other] }
}

/// An Ethernet frame between two stations.
pub(crate) fn ethernet(back: Back, kind: u16, payload: &[u8]) -> Vec<u8> {
    let [dst, src] = pair(back, [2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 9]);
    [&dst[..], &src, &kind.to_be_bytes(), payload].concat()
}

/// A tag and what follows it.
pub(crate) fn tag(id: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&(0xa000 | id).to_be_bytes()[..], &kind.to_be_bytes(), payload].concat()
}

/// An IPv4 packet from 10.0.0.`ends.0` to 10.0.0.`ends.1`. Its checksum is left out.
pub(crate) fn ipv4(back: Back, ends: (u8, u8), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [src, dst] = pair(back, ends.0, ends.1);
    let [high, low] = (20 + payload.len() as u16).to_be_bytes();
    let header = [0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, src, 10, 0, 0, dst];
    [&header, payload].concat()
}

/// An IPv6 packet from fd00::`ends.0` to fd00::`ends.1`.
pub(super) fn ipv6(back: Back, ends: (u8, u8), next: u8, payload: &[u8]) -> Vec<u8> {
    let [src, dst] = pair(back, ends.0, ends.1);
    let [high, low] = (payload.len() as u16).to_be_bytes();
    let mut header = [0; 40];
    header[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, next, 64]);
    [header[8], header[23], header[24], header[39]] = [0xfd, src, 0xfd, dst];
    [&header, payload].concat()
}

/// A UDP datagram without a checksum. The source port of one that goes to a server is any.
pub(crate) fn udp(ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let len = 8 + payload.len() as u16;
    let header: Vec<u8> = [ports.0, ports.1, len, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    [&header, payload].concat()
}

/// A TCP segment between the ports 1000 and 80.
pub(super) fn tcp(back: Back, payload: &[u8]) -> Vec<u8> {
    let [src, dst] = pair(back, 1000_u16, 80);
    let mut header = [0; 20];
    header[..2].copy_from_slice(&src.to_be_bytes());
    header[2..4].copy_from_slice(&dst.to_be_bytes());
    header[12..14].copy_from_slice(&[0x50, 0x10]);
    [&header, payload].concat()
}

/// The packet that tests look for inside of others: TCP over IPv4.
pub(crate) fn core4(back: Back) -> Vec<u8> {
    ipv4(back, (1, 2), 6, &tcp(back, b"payload"))
}

/// As [`core4`], over IPv6.
pub(crate) fn core6(back: Back) -> Vec<u8> {
    ipv6(back, (1, 2), 6, &tcp(back, b"payload"))
}

/// An MPLS label stack entry.
pub(crate) fn label(label: u32, bottom: bool) -> [u8; 4] {
    (label << 12 | u32::from(bottom) << 8 | 64).to_be_bytes()
}

/// Puts an IP packet of a family, and what may stand behind it, into a frame.
pub(super) type Wrap = fn(Back, Family, &[u8]) -> Vec<u8>;

/// A way to carry an IP packet.
pub(super) struct Way {
    pub(super) name: &'static str,
    pub(super) link: LinkType,
    pub(super) wrap: Wrap,
    /// IP headers before the packet.
    pub(super) outer: u8,
    pub(super) when_longer: WhenLonger,
}

/// What becomes of an IP packet that is longer than what carries it.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum WhenLonger {
    /// Nothing tells that the capture did not cut it.
    Cut,
    /// It is refused.
    Refused,
    /// It is none: the packet is the UDP packet around it.
    Guessed,
}

impl Way {
    pub(super) fn walk(&self, frame: &[u8]) -> Result<Packet, DropReason> {
        parse(self.link, frame)
    }

    /// The network, and who sends to whom.
    fn flow(&self, frame: &[u8]) -> (u64, [([u8; 16], u16); 2]) {
        let packet = self.walk(frame).unwrap();
        let ((src, dst), (sport, dport)) = (packet.addresses(frame), packet.ports(frame));
        (packet.network, [(src, sport), (dst, dport)])
    }

    /// All that must hold for every way, with IPv4 and IPv6 inside.
    pub(super) fn check(&self) {
        for (family, core) in [(Family::V4, core4 as fn(Back) -> Vec<u8>), (Family::V6, core6)] {
            let [there, back] = [false, true].map(|back| (self.wrap)(back, family, &core(back)));
            self.check_packet(&there, family, false);
            self.check_packet(&back, family, true);
            let (network, [src, dst]) = self.flow(&there);
            assert_eq!(
                self.flow(&back),
                (network, [dst, src]),
                "{}: both directions are one flow",
                self.name
            );
            self.check_cuts(&there);
            self.check_padding(&there, &core(false), family);
            self.check_longer(&core(false), family);
        }
    }

    fn check_packet(&self, frame: &[u8], family: Family, back: Back) {
        let packet = self.walk(frame).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        assert_eq!((packet.family, packet.protocol), (family, 6), "{}", self.name);
        assert_eq!(packet.segment_bytes(frame), tcp(back, b"payload"), "{}", self.name);
        assert_eq!((packet.segment_len, packet.depth), (27, self.outer + 1), "{}", self.name);
        assert_eq!((packet.end, packet.fragment), (frame.len(), None), "{}", self.name);
    }

    /// A frame that was cut anywhere is a cut packet, an outer one, or nothing.
    fn check_cuts(&self, frame: &[u8]) {
        let whole = self.walk(frame).unwrap();
        for len in 0..frame.len() {
            match self.walk(&frame[..len]) {
                Ok(p) if p.depth == whole.depth => {
                    assert_eq!(p, Packet { end: len, ..whole }, "{} cut to {len}", self.name);
                }
                Ok(p) => assert!(p.depth < whole.depth && p.end <= len, "{} cut to {len}", self.name),
                Err(DropReason::FrameTooShort) => {}
                // A pseudowire that cannot be told any more.
                Err(e) => {
                    assert!(e == DropReason::NotIp && whole.mpls().is_some(), "{} {len}: {e}", self.name);
                }
            }
        }
    }

    /// What stands behind a packet, inside of what carries it or behind the frame, does not belong to it.
    fn check_padding(&self, frame: &[u8], core: &[u8], family: Family) {
        let whole = self.walk(frame).unwrap();
        assert_eq!(self.walk(&[frame, &[0; 9]].concat()), Ok(whole), "{}", self.name);
        let inside = (self.wrap)(false, family, &[core, &[0x45; 9]].concat());
        assert_eq!(self.walk(&inside), Ok(whole), "{}", self.name);
        // As the trailer of what is inside and of the frame.
        assert_eq!(self.walk(&[&inside[..], &[0; 9]].concat()), Ok(whole), "{}", self.name);
    }

    fn check_longer(&self, core: &[u8], family: Family) {
        for missing in [1, 20, core.len() - 1] {
            let frame = (self.wrap)(false, family, &core[..core.len() - missing]);
            let (got, whole) = (self.walk(&frame), (self.wrap)(false, family, core));
            let wanted = match self.when_longer {
                WhenLonger::Cut => self.walk(&whole[..frame.len()]),
                WhenLonger::Refused => Err(DropReason::BadLength),
                WhenLonger::Guessed => {
                    assert_eq!(got.map(|p| (p.protocol, p.depth)), Ok((17, self.outer)), "{}", self.name);
                    continue;
                }
            };
            assert_eq!(got, wanted, "{}: {missing} octets less", self.name);
        }
    }
}

/// The `EtherType` of a family.
pub(super) fn kind(family: Family) -> u16 {
    match family {
        Family::V4 => 0x0800,
        Family::V6 => 0x86dd,
    }
}
