//! Trees from octets, whatever these are.

use super::{Id, Ids, Sum, Tree, Written};
use std::boxed::Box;
use std::vec::Vec;

/// Octets that decide; behind the end they are 0.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    octets: &'a [u8],
    /// Nodes that may still be made.
    budget: u32,
}

impl<'a> Source<'a> {
    pub fn new(octets: &'a [u8]) -> Self {
        Source { octets, budget: 14 }
    }

    pub fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.octets.split_first() else { return 0 };
        self.octets = rest;
        *first
    }

    /// Less than `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::from(self.octet()) % n
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub(super) fn is(&mut self, percent: u16) -> bool {
        u16::from(self.octet()) * 100 / 256 < percent
    }

    fn is_spent(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget == 0
    }
}

// Few values, so that expressions and packets meet.
pub(super) const V4: &[u32] = &[0x0a00_0001, 0x0a00_0002, 0x0a01_0001, 0xc0a8_0709, 0xe000_0005, u32::MAX];
pub(super) const V6: &[u128] = &[0xfd << 120 | 1, 0xfd << 120 | 0x101, 0xfe80 << 112 | 2, 0xff02 << 112 | 1];
pub(super) const MACS: &[[u8; 6]] =
    &[[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [1, 0, 0x5e, 0, 0, 5], [255; 6]];
pub(super) const PORTS: &[u16] = &[80, 443, 53, 40000, 0, 65535];
pub(super) const PROTOCOLS: &[u8] = &[6, 6, 6, 17, 17, 1, 58, 132, 2, 89, 50, 103, 112];

const WORDS: &[&str] = &[
    "ip",
    "ip6",
    "tcp",
    "udp",
    "sctp",
    "icmp",
    "igmp",
    "vrrp",
    "icmp6",
    "esp",
    "ah",
    "pim",
    "arp",
    "broadcast",
    "ether broadcast",
    "multicast",
    "ether multicast",
    "ip multicast",
    "ip6 multicast",
];
const HEADERS: &[&str] =
    &["ether", "ip", "ip", "ip6", "tcp", "tcp", "udp", "sctp", "icmp", "igmp", "icmp6", "vrrp", "pim"];
const NUMBERS: &[u32] = &[0, 1, 80, 255, 256, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, u32::MAX];

/// Whose language a tree is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// With words about VLAN tags.
    Ours,
    /// Only what means the same in libpcap.
    Libpcap,
}

/// A tree from octets.
pub fn tree(source: &mut Source<'_>, dialect: Dialect) -> Tree {
    if source.is_spent() {
        return Tree::Word("tcp");
    }
    match source.below(16) {
        0 | 1 => Tree::Not(Box::new(tree(source, dialect))),
        2..=6 => {
            let (and, letters) = (source.is(50), source.is(60));
            let left = Box::new(tree(source, dialect));
            Tree::Join { and, letters, left, right: Box::new(tree(source, dialect)) }
        }
        7 if dialect == Dialect::Ours && source.is(30) => Tree::Word(source.pick(&["vlan", "vlan 42"])),
        7 => Tree::Word(source.pick(WORDS)),
        8 => Tree::Length(source.pick(&["less", "greater"]), u32::from(source.octet())),
        9..=12 => Tree::Ids(ids(source)),
        _ => {
            let relation = source.pick(&["=", "==", "!=", "<", "<=", ">", ">="]);
            let (left, right) = (sum(source, 3), sum(source, 2));
            let mut forgotten = Vec::new();
            if dialect == Dialect::Libpcap {
                left.forgotten(&mut forgotten);
                right.forgotten(&mut forgotten);
            }
            let compare = Tree::Compare(left, relation, right);
            forgotten.iter().fold(compare, |right, header| {
                let (left, right) = (Box::new(Tree::Word(header)), Box::new(right));
                Tree::Join { and: true, letters: true, left, right }
            })
        }
    }
}

fn ids(source: &mut Source<'_>) -> Ids {
    const ENDS: &[&str] = &["", "", "src", "dst", "src or dst", "dst or src", "src and dst", "dst and src"];
    let direction = source.pick(ENDS);
    let (protocol, kind) = match source.below(8) {
        0 if !direction.is_empty() => (source.pick(&["", "ip"]), ""),
        0 | 1 => (source.pick(&["", "ip"]), "host"),
        2 => (source.pick(&["", "ip6"]), source.pick(&["host", "net"])),
        3 => (source.pick(&["", "ip"]), "net"),
        4 | 5 => (source.pick(&["", "tcp", "udp", "sctp"]), source.pick(&["port", "portrange"])),
        6 => ("ether", "host"),
        _ => (source.pick(&["", "ip", "ip6", "ether"]), "proto"),
    };
    let direction = if kind == "proto" { "" } else { direction };
    let v6 = protocol == "ip6" || protocol.is_empty() && source.is(30);
    let first = id(source, protocol, kind, v6);
    let more = source.below(4).saturating_sub(1);
    let rest =
        (0..more).map(|_| (source.is(30), source.is(20), id(source, protocol, kind, v6))).collect::<Vec<_>>();
    Ids { protocol, direction, kind, first, rest, parenthesis: source.is(20) }
}

fn id(source: &mut Source<'_>, protocol: &str, kind: &str, v6: bool) -> Id {
    match (protocol, kind) {
        ("ether", "host") => Id::Mac(source.pick(MACS)),
        ("ether", "proto") => Id::Number(source.pick(&[0x800, 0x86dd, 0x806, 0x8100, 0x88cc])),
        (_, "proto") => Id::Number(source.pick(PROTOCOLS).into()),
        (_, "port") => {
            let port = source.pick(PORTS);
            Id::Port(port, port)
        }
        (_, "portrange") => {
            let (a, b) = (source.pick(PORTS), source.pick(PORTS));
            Id::Port(a.min(b), a.max(b))
        }
        (_, "net") if v6 => {
            let bits = source.pick(&[0, 1, 8, 10, 64, 127, 128]);
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            Id::V6((source.pick(V6) & mask).to_be_bytes(), bits)
        }
        _ if v6 => Id::V6(source.pick(V6).to_be_bytes(), 128),
        (_, "net") => {
            let written = source.pick(&[Written::Address, Written::Length, Written::Mask, Written::Octets]);
            let bits = match written {
                Written::Address => 32,
                Written::Octets => source.pick(&[8, 16, 24]),
                _ => source.pick(&[0, 1, 3, 8, 9, 16, 24, 31, 32]),
            };
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            Id::V4((source.pick(V4) & mask).to_be_bytes(), bits, written)
        }
        _ => Id::V4(source.pick(V4).to_be_bytes(), 32, Written::Address),
    }
}

fn sum(source: &mut Source<'_>, depth: u32) -> Sum {
    if source.is_spent() || depth == 0 {
        return leaf(source);
    }
    match source.below(8) {
        0..=2 => leaf(source),
        3 => Sum::Negate(Box::new(sum(source, depth - 1))),
        4 => load(source, depth - 1),
        _ => {
            let operator = source.pick(&["+", "-", "*", "&", "|", "^", "<<", ">>", "/", "%"]);
            let left = Box::new(sum(source, depth - 1));
            let right = match operator {
                // A constant that is out of range is an error, and is told when the filter is compiled.
                "<<" | ">>" | "/" | "%" if source.is(60) => Sum::Number(1 + source.below(31) as u32),
                // libpcap takes the index of a load for such a constant, too.
                "<<" | ">>" | "/" | "%" => {
                    let index = Sum::Number(1 + source.below(20) as u32);
                    Sum::Load(source.pick(HEADERS), Box::new(index), source.pick(&[1, 2]))
                }
                _ => sum(source, depth - 1),
            };
            Sum::Binary(left, operator, Box::new(right))
        }
    }
}

fn leaf(source: &mut Source<'_>) -> Sum {
    match source.below(8) {
        0 => Sum::Len,
        1 => Sum::Number(source.pick(NUMBERS)),
        2..=4 => Sum::Number(source.octet().into()),
        _ => load(source, 0),
    }
}

fn load(source: &mut Source<'_>, depth: u32) -> Sum {
    let protocol = source.pick(HEADERS);
    let index = match source.below(if depth == 0 { 6 } else { 8 }) {
        0..=4 => Sum::Number(source.below(24) as u32),
        5 => Sum::Number(source.octet().into()),
        _ => sum(source, depth),
    };
    Sum::Load(protocol, Box::new(index), source.pick(&[1, 1, 2, 4]))
}
