//! A compiled filter: tests and connectives in postfix order, run over a stack of bits. Its cost is bounded by its
//! length, and it cannot loop.

use super::parse::Parser;
use super::{FilterError, FilterErrorKind};
use crate::wire::{Family, Packet};
use core::str::FromStr;
use heapless::Vec;

/// The most tests and connectives of a filter. The stack of bits is as deep.
const MAX_OPS: usize = 64;

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
    fn holds(self, source: bool, destination: bool) -> bool {
        match self {
            Direction::Either => source || destination,
            Direction::Both => source && destination,
            Direction::Source => source,
            Direction::Destination => destination,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Family(Family),
    Protocol(u8),
    Vlan(Option<u16>),
    Net { direction: Direction, family: Family, address: u128, mask: u128 },
    Port { direction: Direction, low: u16, high: u16 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Test(Test),
    And,
    Or,
    Not,
}

/// A compiled filter expression. The empty expression matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    ops: Vec<Op, MAX_OPS>,
}

impl Filter {
    /// The filter that matches every packet.
    pub const fn everything() -> Filter {
        Filter { ops: Vec::new() }
    }

    /// The filter that matches what both do.
    ///
    /// # Errors
    /// `TooLong`, at position 0, when the two have too many terms together.
    pub fn and(mut self, other: &Filter) -> Result<Filter, FilterError> {
        if self.ops.is_empty() || other.ops.is_empty() {
            return Ok(if self.ops.is_empty() { other.clone() } else { self });
        }
        let joined = self.ops.extend_from_slice(&other.ops).is_ok() && self.push(Op::And).is_ok();
        if joined { Ok(self) } else { Err(FilterError { position: 0, kind: FilterErrorKind::TooLong }) }
    }

    /// Whether packets of a family, and of a protocol if one is given, can match. No guarantee that some do: tests of
    /// addresses, ports and tags are taken to come out either way.
    pub fn could_match(&self, family: Family, protocol: Option<u8>) -> bool {
        // For each value on the stack: whether it can be true, whether it can be false.
        let (mut yes, mut no) = (1_u64, 0_u64);
        for op in &self.ops {
            (yes, no) = match op {
                Op::Test(test) => match test.known(family, protocol) {
                    Some(holds) => (yes << 1 | u64::from(holds), no << 1 | u64::from(!holds)),
                    None => (yes << 1 | 1, no << 1 | 1),
                },
                Op::Not => (yes & !1 | no & 1, no & !1 | yes & 1),
                Op::And => (yes >> 1 & (yes | !1), no >> 1 | no & 1),
                Op::Or => (yes >> 1 | yes & 1, no >> 1 & (no | !1)),
            };
        }
        yes & 1 == 1
    }

    pub(super) fn push(&mut self, op: Op) -> Result<(), ()> {
        self.ops.push(op).map_err(|_| ())
    }

    /// Whether the packet in `frame` matches.
    pub fn matches(&self, frame: &[u8], packet: &Packet) -> bool {
        self.run(frame, packet, false)
    }

    /// Whether a packet the other way would match: source and destination change places.
    pub fn matches_reversed(&self, frame: &[u8], packet: &Packet) -> bool {
        self.run(frame, packet, true)
    }

    fn run(&self, frame: &[u8], packet: &Packet, reversed: bool) -> bool {
        let mut stack = 1_u64; // an empty program leaves "yes"
        for op in &self.ops {
            let (top, below) = (stack & 1, stack >> 1);
            stack = match op {
                Op::Test(test) => stack << 1 | u64::from(test.holds(frame, packet, reversed)),
                Op::Not => stack ^ 1,
                Op::And => below & (top | !1),
                Op::Or => below | top,
            };
        }
        stack & 1 == 1
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Filter, FilterError> {
        Parser::parse(text)
    }
}

impl Test {
    /// What the test comes to for all packets of a family and protocol, as far as that decides it.
    fn known(&self, of: Family, protocol: Option<u8>) -> Option<bool> {
        match *self {
            Test::Family(family) => Some(family == of),
            Test::Protocol(p) => protocol.map(|protocol| p == protocol),
            Test::Net { family, .. } if family != of => Some(false),
            Test::Port { .. } if protocol.is_some_and(|p| !has_ports(p)) => Some(false),
            Test::Net { .. } | Test::Port { .. } | Test::Vlan(_) => None,
        }
    }

    fn holds(&self, frame: &[u8], packet: &Packet, reversed: bool) -> bool {
        let ends = |direction: Direction, source, destination| {
            if reversed { direction.holds(destination, source) } else { direction.holds(source, destination) }
        };
        match *self {
            Test::Family(family) => packet.family == family,
            Test::Protocol(protocol) => packet.protocol == protocol,
            Test::Vlan(None) => !packet.vlans.ids().is_empty(),
            Test::Vlan(Some(id)) => packet.vlans.ids().contains(&id),
            Test::Net { direction, family, address, mask } => {
                let (src, dst) = packet.addresses(frame);
                let inside = |a| u128::from_be_bytes(a) & mask == address;
                packet.family == family && ends(direction, inside(src), inside(dst))
            }
            Test::Port { direction, low, high } => {
                let (src, dst) = packet.ports(frame);
                let inside = |p| (low..=high).contains(&p);
                has_ports(packet.protocol) && ends(direction, inside(src), inside(dst))
            }
        }
    }
}

/// TCP, UDP and SCTP begin with their ports.
fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 132)
}

#[cfg(test)]
mod tests {
    use super::super::FilterErrorKind;
    use super::*;
    use crate::wire::{LinkType, parse};
    use etherparse::PacketBuilder;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn frames() -> [Vec<u8>; 4] {
        let id = etherparse::VlanId::try_new(42).unwrap();
        let eth = || PacketBuilder::ethernet2([1; 6], [2; 6]);
        let mut out: [Vec<u8>; 4] = core::array::from_fn(|_| Vec::new());
        eth()
            .ipv4([10, 0, 0, 1], [192, 168, 7, 9], 64)
            .tcp(40000, 80, 0, 0)
            .write(&mut out[0], b"x")
            .unwrap();
        eth()
            .single_vlan(id)
            .ipv4([10, 1, 0, 1], [10, 0, 0, 1], 64)
            .udp(53, 53)
            .write(&mut out[1], b"x")
            .unwrap();
        let (a, b) = ([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], [0xfe; 16]);
        eth().ipv6(a, b, 64).tcp(443, 50000, 0, 0).write(&mut out[2], b"x").unwrap();
        eth()
            .ipv4([10, 0, 0, 1], [8, 8, 8, 8], 64)
            .icmpv4_echo_request(1, 2)
            .write(&mut out[3], b"x")
            .unwrap();
        out
    }

    fn matching(expression: &str) -> Vec<usize> {
        let filter: Filter = expression.parse().unwrap_or_else(|e| panic!("{expression}: {e}"));
        let hits = |f: &Vec<u8>| filter.matches(f, &parse(LinkType::Ethernet, f).unwrap());
        frames().iter().enumerate().filter(|(_, f)| hits(f)).map(|(i, _)| i).collect()
    }

    #[test]
    fn expressions_select_packets() {
        let cases: &[(&str, &[usize])] = &[
            ("", &[0, 1, 2, 3]),
            ("tcp", &[0, 2]),
            ("ip", &[0, 1, 3]),
            ("ip6", &[2]),
            ("udp or icmp", &[1, 3]),
            ("proto 17", &[1]),
            ("proto tcp", &[0, 2]),
            ("host 10.0.0.1", &[0, 1, 3]),
            ("src host 10.0.0.1", &[0, 3]),
            ("src 10.0.0.1", &[0, 3]),
            ("10.0.0.1 and not icmp", &[0, 1]),
            ("dst host 10.0.0.1", &[1]),
            ("net 10.0.0.0/8", &[0, 1, 3]),
            ("src and dst net 10.0.0.0/8", &[1]),
            ("src or dst net 192.168", &[0]),
            ("net 10.1.0.0 mask 255.255.0.0", &[1]),
            ("net fd00::/8", &[2]),
            ("host fd00::1", &[2]),
            ("net 0.0.0.0/0", &[0, 1, 3]),
            ("port 80", &[0]),
            ("port 80 or 443", &[0, 2]),
            ("tcp port 53", &[]),
            ("udp port 53", &[1]),
            ("tcp dst port 80", &[0]),
            ("tcp src port 80", &[]),
            ("portrange 400-500", &[2]),
            ("vlan", &[1]),
            ("vlan 42", &[1]),
            ("vlan 43", &[]),
            ("not tcp", &[1, 3]),
            ("!tcp && !udp", &[3]),
            ("tcp and (port 80 or port 443)", &[0, 2]),
            // One rank, from the left: (udp or tcp) and port 80.
            ("udp or tcp and port 80", &[0]),
            ("port 80 or (udp and net 10.0.0.0/8)", &[0, 1]),
            ("not (ip or tcp)", &[]),
            ("not not ip6", &[2]),
            ("ip host 10.0.0.1", &[0, 1, 3]),
            ("icmp6 or ip6", &[2]),
        ];
        for (expression, expected) in cases {
            assert_eq!(matching(expression), *expected, "{expression}");
        }
    }

    #[test]
    fn a_reversed_match_is_that_of_the_answer() {
        let frame = &frames()[0];
        let packet = parse(LinkType::Ethernet, frame).unwrap();
        for (expression, forward, reversed) in [
            ("dst port 80", true, false),
            ("src port 80", false, true),
            ("src net 10.0.0.0/8", true, false),
            ("port 80 and host 10.0.0.1", true, true),
        ] {
            let filter: Filter = expression.parse().unwrap();
            assert_eq!(filter.matches(frame, &packet), forward, "{expression}");
            assert_eq!(filter.matches_reversed(frame, &packet), reversed, "{expression}");
        }
    }

    #[test]
    fn filters_join_and_know_what_they_cannot_match() {
        let filter = |e: &str| e.parse::<Filter>().unwrap();
        let both = filter("ip").and(&filter("port 80 or udp")).unwrap();
        assert_eq!(both, filter("ip and (port 80 or udp)"));
        assert_eq!(filter("").and(&filter("tcp")).unwrap(), filter("tcp"));
        assert_eq!(filter("tcp").and(&filter("")).unwrap(), filter("tcp"));
        let long = filter(&std::vec!["port 1"; 32].join(" or "));
        assert_eq!(filter("ip").and(&long).unwrap_err().kind, FilterErrorKind::TooLong);
        let cases = [
            ("", true),
            ("tcp", true),
            ("udp", false),
            ("not tcp", false),
            ("not not tcp", true),
            ("not tcp port 80", true),
            ("not (tcp port 80)", true),
            ("proto tcp", true),
            ("proto 17", false),
            ("tcp or udp", true),
            ("udp port 53 or icmp", false),
            ("icmp and port 80", false),
            ("ip6", false),
            ("not ip6", true),
            ("net fd00::/8 or udp", false),
            ("net 10.0.0.0/8 and not port 80 and vlan 3", true),
            ("not (ip and tcp)", false),
        ];
        for (expression, can) in cases {
            assert_eq!(filter(expression).could_match(Family::V4, Some(6)), can, "{expression}");
        }
        assert!(filter("not tcp").could_match(Family::V4, None));
        assert!(!filter("ip").could_match(Family::V6, None));
    }

    #[test]
    fn errors_name_the_place() {
        use FilterErrorKind::*;
        let cases = [
            ("tcp and", 7, Incomplete),
            ("tcp frob", 4, UnexpectedWord),
            ("(tcp", 4, Incomplete),
            ("tcp)", 3, UnexpectedWord),
            ("host example.org", 5, BadAddress),
            ("net 10.0.0.0/33", 4, BadAddress),
            ("net 1.2.3.4.5", 4, BadAddress),
            ("net 10.0.0.0 mask 255.0.255.0", 18, BadAddress),
            ("port 65536", 5, BadNumber),
            ("portrange 1", 10, BadNumber),
            ("vlan 4096", 5, BadNumber),
            ("tcp @ 3", 4, UnexpectedCharacter),
        ];
        for (expression, position, kind) in cases {
            assert_eq!(expression.parse::<Filter>(), Err(FilterError { position, kind }), "{expression}");
        }
        let long = std::vec!["tcp"; 40].join(" or ");
        assert_eq!(long.parse::<Filter>().unwrap_err().kind, TooLong);
        let deep = "(".repeat(5000) + "tcp";
        assert_eq!(deep.parse::<Filter>().unwrap_err().kind, TooLong);
    }

    fn word() -> impl Strategy<Value = &'static str> {
        const WORDS: &[&str] =
            &["tcp", "udp", "ip", "ip6", "not", "and", "or", "(", ")", "port 80", "icmp", "vlan"];
        prop::sample::select(WORDS)
    }

    proptest! {
        #[test]
        fn any_text_compiles_or_is_refused(text in "[a-z0-9 ./:()!&|-]{0,60}|\\PC{0,40}") {
            if let Ok(filter) = text.parse::<Filter>() {
                for f in frames() {
                    let _ = filter.matches(&f, &parse(LinkType::Ethernet, &f).unwrap());
                }
            }
        }

        #[test]
        fn what_matches_could(words in prop::collection::vec(word(), 1..12)) {
            if let Ok(filter) = words.join(" ").parse::<Filter>() {
                for f in frames() {
                    let packet = parse(LinkType::Ethernet, &f).unwrap();
                    let could = filter.could_match(packet.family, Some(packet.protocol));
                    prop_assert!(could || !filter.matches(&f, &packet));
                    prop_assert!(could <= filter.could_match(packet.family, None));
                }
            }
        }
    }
}
