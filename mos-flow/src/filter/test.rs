//! What a filter asks about one packet: tests of parsed fields, each one step of a program.

use crate::packet::Frame;
use crate::wire::{Family, LinkType, Packet};

/// Which end of a packet a test looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Direction {
    #[default]
    Either,
    Both,
    Source,
    Destination,
}

impl Direction {
    /// Joins what holds of the source and of the destination. `None` of the first that is looked at is the answer:
    /// it ends the program.
    fn holds(self, source: Option<bool>, destination: Option<bool>) -> Option<bool> {
        match self {
            Direction::Either => {
                if source? {
                    Some(true)
                } else {
                    destination
                }
            }
            Direction::Both => {
                if source? {
                    destination
                } else {
                    Some(false)
                }
            }
            Direction::Source => source,
            Direction::Destination => destination,
        }
    }

    fn reversed(self) -> Direction {
        match self {
            Direction::Source => Direction::Destination,
            Direction::Destination => Direction::Source,
            both => both,
        }
    }
}

/// A protocol by its place in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The frame itself.
    Link,
    Ip(Family),
    /// Over IP, or only over one version of it.
    Over {
        number: u8,
        family: Option<Family>,
    },
    /// One that no packet over IP has.
    Absent,
}

impl Protocol {
    pub(super) fn holds(self, packet: &Packet) -> bool {
        self.known(packet.family, Some(packet.protocol)).unwrap_or_default()
    }

    /// What it comes to for all packets of a family and protocol, as far as that decides it.
    pub(super) fn known(self, of: Family, protocol: Option<u8>) -> Option<bool> {
        match self {
            Protocol::Link => Some(true),
            Protocol::Ip(family) => Some(family == of),
            Protocol::Over { family: Some(family), .. } if family != of => Some(false),
            Protocol::Over { number, .. } => protocol.map(|protocol| number == protocol),
            Protocol::Absent => Some(false),
        }
    }
}

/// Protocols with ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports(u8);

impl Ports {
    pub(super) const TCP: Ports = Ports(1);
    pub(super) const UDP: Ports = Ports(2);
    pub(super) const SCTP: Ports = Ports(4);
    pub(super) const ALL: Ports = Ports(7);

    pub(super) fn of(protocol: u8) -> Option<Ports> {
        match protocol {
            6 => Some(Ports::TCP),
            17 => Some(Ports::UDP),
            132 => Some(Ports::SCTP),
            _ => None,
        }
    }

    pub(super) fn contains(self, other: Ports) -> bool {
        self.0 & other.0 == other.0
    }

    fn has(self, protocol: u8) -> bool {
        Ports::of(protocol).is_some_and(|one| self.contains(one))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// The type field of an Ethernet frame.
    EtherType(u16),
    Mac {
        direction: Direction,
        address: [u8; 6],
        mask: [u8; 6],
    },
    Mpls(Option<u32>),
    Net4 {
        direction: Direction,
        address: u32,
        mask: u32,
    },
    Net6 {
        direction: Direction,
        address: [u8; 16],
        bits: u8,
    },
    Port {
        direction: Direction,
        over: Ports,
        low: u16,
        high: u16,
    },
    Protocol(Protocol),
    Vlan(Option<u16>),
}

impl Test {
    /// What the test comes to for all packets of a family and protocol, as far as that decides it.
    pub(super) fn known(&self, of: Family, protocol: Option<u8>) -> Option<bool> {
        match self {
            Test::Protocol(p) => p.known(of, protocol),
            Test::Net4 { .. } if of != Family::V4 => Some(false),
            Test::Net6 { .. } if of != Family::V6 => Some(false),
            Test::Port { over, .. } if protocol.is_some_and(|p| !over.has(p)) => Some(false),
            _ => None,
        }
    }

    /// Whether it holds. `None` when the capture cut what it asks for. `reversed`: of a packet the other way.
    pub(super) fn holds(&self, frame: &Frame<'_>, packet: &Packet, reversed: bool) -> Option<bool> {
        let along = |direction: Direction| if reversed { direction.reversed() } else { direction };
        Some(match *self {
            Test::EtherType(kind) => {
                is_ethernet(frame) && frame.data.get(12..14) == Some(kind.to_be_bytes().as_slice())
            }
            Test::Mac { direction, address, mask } => {
                let inside = |a: &[u8]| a.iter().zip(mask).map(|(a, m)| a & m).eq(address);
                let end = |place| frame.data.get(place).map(inside);
                is_ethernet(frame) && along(direction).holds(end(6..12), end(0..6))?
            }
            Test::Mpls(None) => packet.mpls().is_some(),
            Test::Mpls(label) => packet.mpls() == label,
            Test::Net4 { direction, address, mask } => {
                let inside = |a: [u8; 16]| u128::from_be_bytes(a) as u32 & mask == address;
                let (src, dst) = packet.addresses(frame.data);
                packet.family == Family::V4 && along(direction).holds(Some(inside(src)), Some(inside(dst)))?
            }
            Test::Net6 { direction, address, bits } => {
                let differ = |a| u128::from_be_bytes(a) ^ u128::from_be_bytes(address);
                let inside = |a| differ(a).leading_zeros() >= u32::from(bits);
                let (src, dst) = packet.addresses(frame.data);
                packet.family == Family::V6 && along(direction).holds(Some(inside(src)), Some(inside(dst)))?
            }
            Test::Port { direction, over, low, high } => {
                let port = |at| load(frame, packet.transport.checked_add(at)?, 2);
                let end = |at| port(at).map(|p| (u32::from(low)..=u32::from(high)).contains(&p));
                over.has(packet.protocol)
                    && !is_later_fragment(packet)
                    && along(direction).holds(end(0), end(2))?
            }
            Test::Protocol(protocol) => protocol.holds(packet),
            Test::Vlan(None) => !packet.vlans.ids().is_empty(),
            Test::Vlan(Some(id)) => packet.vlans.ids().contains(&id),
        })
    }
}

/// `size` octets of a frame, in network order. `None` behind the end of what was captured: padding can be read, as in
/// libpcap.
pub(super) fn load(frame: &Frame<'_>, at: usize, size: usize) -> Option<u32> {
    let octets = frame.data.get(at..at.checked_add(size)?)?;
    Some(octets.iter().fold(0, |sum, octet| sum << 8 | u32::from(*octet)))
}

/// A fragment other than the first has no header of the protocol above, although it has its number.
pub(super) fn is_later_fragment(packet: &Packet) -> bool {
    packet.fragment.is_some_and(|part| part.offset > 0)
}

fn is_ethernet(frame: &Frame<'_>) -> bool {
    frame.link == LinkType::Ethernet
}
