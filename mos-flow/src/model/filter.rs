//! The filter language as trees: what they print as, and what they mean, evaluated one node after the other and no
//! further than needed.

mod frames;

mod random;

mod sums;

pub use frames::{Link, frame};
pub use random::{Dialect, Source, tree};
pub use sums::Sum;

use crate::filter::Filter;
use crate::wire::parse;
use crate::{Frame, Instant, LinkType};
use core::fmt;
use std::boxed::Box;
use std::string::ToString;
use std::vec::Vec;

/// An expression.
#[derive(Clone, Debug)]
pub enum Tree {
    Not(Box<Tree>),
    /// `and` or `or`; in letters or in symbols.
    Join {
        and: bool,
        letters: bool,
        left: Box<Tree>,
        right: Box<Tree>,
    },
    /// A word that is a term: `tcp`, `vlan`, `ip multicast`.
    Word(&'static str),
    Ids(Ids),
    Compare(Sum, &'static str, Sum),
    /// `less` and `greater`.
    Length(&'static str, u32),
}

/// Ids with the qualifiers that they share.
#[derive(Clone, Debug)]
pub struct Ids {
    pub protocol: &'static str,
    pub direction: &'static str,
    pub kind: &'static str,
    pub first: Id,
    /// Whether `and`, whether negated.
    pub rest: Vec<(bool, bool, Id)>,
    /// `port (80 or 443)` in place of `port 80 or 443`.
    pub parenthesis: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Id {
    /// Address, bits of its prefix, how it is written.
    V4([u8; 4], u32, Written),
    V6([u8; 16], u32),
    Mac([u8; 6]),
    Port(u16, u16),
    Number(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Address,
    Length,
    Mask,
    /// The octets of the prefix only.
    Octets,
}

/// Octets as two expressions and a frame: the compiled filters select it exactly if the trees do, alone and joined, and
/// what is selected could be.
///
/// # Panics
/// When that is not so.
pub fn run(input: &[u8]) {
    let (first, rest) = input.split_at(input.len().min(100));
    let (second, rest) = rest.split_at(rest.len().min(60));
    let trees = [first, second].map(|octets| tree(&mut Source::new(octets), Dialect::Ours));
    let filters = trees.each_ref().map(|tree| {
        let filter = tree.to_string().parse::<Filter>();
        filter.unwrap_or_else(|e| panic!("{e}: {tree}"))
    });
    let both = filters[0].clone().and(&filters[1]);
    let mut source = Source::new(rest);
    for link in [Link::Ethernet, Link::Tagged, Link::None] {
        let (data, wire_len) = frame(&mut source, link);
        let link = if link == Link::None { LinkType::RawIp } else { LinkType::Ethernet };
        let frame = Frame { wire_len, link, ..Frame::ethernet(Instant(0), &data) };
        let packet = parse(link, &data).unwrap_or_else(|e| panic!("{e}: {data:x?}"));
        let expected = trees.each_ref().map(|tree| tree.matches(&frame));
        for (i, filter) in filters.iter().enumerate() {
            assert_eq!(filter.matches(&frame, &packet), expected[i], "{} on {data:x?}", trees[i]);
            let could = filter.could_match(packet.family, Some(packet.protocol));
            assert!(could || !expected[i] && !filter.matches_reversed(&frame, &packet), "{}", trees[i]);
            assert!(!could || filter.could_match(packet.family, None), "{}", trees[i]);
        }
        if let Ok(both) = &both {
            assert_eq!(both.matches(&frame, &packet), expected == [true; 2], "{} and {}", trees[0], trees[1]);
        }
    }
}

/// A packet, looked at by hand.
pub(super) struct Seen<'a> {
    pub(super) data: &'a [u8],
    pub(super) wire_len: u32,
    pub(super) ethernet: bool,
    pub(super) tags: Vec<u16>,
    pub(super) ip: usize,
    pub(super) v6: bool,
    pub(super) header: usize,
    pub(super) protocol: u8,
}

impl<'a> Seen<'a> {
    /// Reads an Ethernet frame with tags or a raw packet; IPv6 without extension headers.
    pub(super) fn new(frame: &Frame<'a>) -> Self {
        let (data, ethernet) = (frame.data, frame.link == LinkType::Ethernet);
        let (mut tags, mut ip) = (Vec::new(), 0);
        if ethernet {
            ip = 14;
            while matches!(data[ip - 2..ip], [0x81, 0] | [0x88, 0xa8] | [0x91, 0]) {
                tags.push(u16::from_be_bytes([data[ip], data[ip + 1]]) & 0xfff);
                ip += 4;
            }
        }
        let v6 = data[ip] >> 4 == 6;
        let header = if v6 { 40 } else { usize::from(data[ip] & 15) * 4 };
        let protocol = data[ip + if v6 { 6 } else { 9 }];
        Seen { data, wire_len: frame.wire_len, ethernet, tags, ip, v6, header, protocol }
    }

    fn octets(&self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.data.get(at..at + len)
    }

    pub(super) fn is(&self, protocol: &str) -> bool {
        let over = |number| self.protocol == number;
        match protocol {
            "" | "ether" => true,
            "ip" => !self.v6,
            "ip6" => self.v6,
            "tcp" => over(6),
            "udp" => over(17),
            "sctp" => over(132),
            "icmp" => !self.v6 && over(1),
            "igmp" => !self.v6 && over(2),
            "vrrp" => !self.v6 && over(112),
            "icmp6" => self.v6 && over(58),
            "esp" => over(50),
            "ah" => over(51),
            "pim" => over(103),
            "arp" => false,
            _ => unreachable!("{protocol}"),
        }
    }
}

impl Tree {
    /// Whether it matches `frame`, which is one that the walker takes.
    pub fn matches(&self, frame: &Frame<'_>) -> bool {
        self.holds(&Seen::new(frame)) == Some(true)
    }

    /// `None`: the packet is refused at once.
    fn holds(&self, seen: &Seen<'_>) -> Option<bool> {
        match self {
            Tree::Not(inner) => Some(!inner.holds(seen)?),
            Tree::Join { and, left, right, .. } => {
                if left.holds(seen)? == *and {
                    right.holds(seen)
                } else {
                    Some(!*and)
                }
            }
            Tree::Word(word) => Some(word_holds(word, seen)),
            Tree::Ids(ids) => ids.holds(seen),
            Tree::Compare(a, relation, b) => {
                if !(a.has_headers(seen) && b.has_headers(seen)) {
                    return Some(false);
                }
                let (a, b) = (a.value(seen)?, b.value(seen)?);
                Some(match *relation {
                    "=" | "==" => a == b,
                    "!=" => a != b,
                    "<" => a < b,
                    "<=" => a <= b,
                    ">" => a > b,
                    _ => a >= b,
                })
            }
            Tree::Length(word, len) => {
                Some(if *word == "less" { seen.wire_len <= *len } else { seen.wire_len >= *len })
            }
        }
    }

    /// Whether it reads octets of headers behind IP, which in libpcap makes it a matter of IPv4.
    pub fn reads_transport(&self) -> bool {
        match self {
            Tree::Not(inner) => inner.reads_transport(),
            Tree::Join { left, right, .. } => left.reads_transport() || right.reads_transport(),
            Tree::Compare(a, _, b) => a.reads_transport() || b.reads_transport(),
            Tree::Word(_) | Tree::Ids(_) | Tree::Length(..) => false,
        }
    }

    /// Whether it compares sums, which can be about any octet of the packet.
    pub fn compares(&self) -> bool {
        match self {
            Tree::Not(inner) => inner.compares(),
            Tree::Join { left, right, .. } => left.compares() || right.compares(),
            Tree::Compare(..) => true,
            Tree::Word(_) | Tree::Ids(_) | Tree::Length(..) => false,
        }
    }

    /// Whether it has to stand in parentheses to be one term.
    fn is_several(&self) -> bool {
        match self {
            Tree::Join { .. } => true,
            Tree::Ids(ids) => !ids.parenthesis && !ids.rest.is_empty(),
            _ => false,
        }
    }
}

fn word_holds(word: &str, seen: &Seen<'_>) -> bool {
    let to = if seen.ethernet { seen.data.first_chunk::<6>() } else { None };
    match word {
        "broadcast" | "ether broadcast" => to == Some(&[0xff; 6]),
        "multicast" | "ether multicast" => to.is_some_and(|to| to[0] & 1 != 0),
        "ip multicast" => !seen.v6 && seen.data[seen.ip + 16] >= 224,
        "ip6 multicast" => seen.v6 && seen.data[seen.ip + 24] == 255,
        "vlan" => !seen.tags.is_empty(),
        "vlan 42" => seen.tags.contains(&42),
        _ => seen.is(word),
    }
}

impl Ids {
    fn holds(&self, seen: &Seen<'_>) -> Option<bool> {
        let mut so_far = self.id_holds(&self.first, seen)?;
        for (and, not, id) in &self.rest {
            if so_far == *and {
                so_far = self.id_holds(id, seen)? != *not;
            }
        }
        Some(so_far)
    }

    fn id_holds(&self, id: &Id, seen: &Seen<'_>) -> Option<bool> {
        let (source, destination) = match *id {
            Id::Number(number) if self.protocol == "ether" => {
                return Some(match number {
                    0x800 => !seen.v6,
                    0x86dd => seen.v6,
                    _ => seen.ethernet && seen.octets(12, 2)? == number.to_be_bytes(),
                });
            }
            Id::Number(number) => {
                return Some(seen.is(self.protocol) && u16::from(seen.protocol) == number);
            }
            Id::Mac(_) if !seen.ethernet => return Some(false),
            Id::V4(..) if seen.v6 => return Some(false),
            Id::V6(..) if !seen.v6 => return Some(false),
            Id::Port(..) if !(matches!(seen.protocol, 6 | 17 | 132) && seen.is(self.protocol)) => {
                return Some(false);
            }
            Id::Mac(_) => (6, 0),
            Id::V4(..) => (seen.ip + 12, seen.ip + 16),
            Id::V6(..) => (seen.ip + 8, seen.ip + 24),
            Id::Port(..) => (seen.ip + seen.header, seen.ip + seen.header + 2),
        };
        let end = |at| end_holds(id, at, seen);
        match self.direction {
            "src" => end(source),
            "dst" => end(destination),
            "src and dst" | "dst and src" => Some(end(source)? && end(destination)?),
            _ => Some(end(source)? || end(destination)?),
        }
    }
}

fn end_holds(id: &Id, at: usize, seen: &Seen<'_>) -> Option<bool> {
    let same_bits = |a: &[u8], b: &[u8], bits: u32| {
        (0..bits as usize).all(|i| (a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1 == 0)
    };
    Some(match *id {
        Id::V4(address, bits, _) => same_bits(seen.octets(at, 4)?, &address, bits),
        Id::V6(address, bits) => same_bits(seen.octets(at, 16)?, &address, bits),
        Id::Mac(address) => seen.octets(at, 6)? == address,
        Id::Port(low, high) => {
            let port = seen.octets(at, 2)?;
            (low..=high).contains(&u16::from_be_bytes([port[0], port[1]]))
        }
        Id::Number(_) => unreachable!("has no ends"),
    })
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tree::Not(inner) if inner.is_several() => write!(f, "not ({inner})"),
            Tree::Not(inner) => write!(f, "! {inner}"),
            Tree::Join { and, letters, left, right } => {
                let operator = match (and, letters) {
                    (true, true) => "and",
                    (true, false) => "&&",
                    (false, true) => "or",
                    (false, false) => "||",
                };
                // Of one rank and from the left: nothing on the left needs parentheses.
                write!(f, "{left} {operator} ")?;
                if right.is_several() { write!(f, "({right})") } else { write!(f, "{right}") }
            }
            Tree::Word(word) => f.write_str(word),
            Tree::Ids(ids) => write!(f, "{ids}"),
            Tree::Compare(a, relation, b) => write!(f, "{a} {relation} {b}"),
            Tree::Length(word, len) => write!(f, "{word} {len}"),
        }
    }
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in [self.protocol, self.direction, self.kind].into_iter().filter(|w| !w.is_empty()) {
            write!(f, "{word} ")?;
        }
        if self.parenthesis {
            f.write_str("(")?;
        }
        write!(f, "{}", self.first)?;
        for (and, not, id) in &self.rest {
            write!(f, " {} {}{id}", if *and { "and" } else { "or" }, if *not { "not " } else { "" })?;
        }
        if self.parenthesis { f.write_str(")") } else { Ok(()) }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Id::V4([a, b, c, d], bits, written) => {
                let mask = core::net::Ipv4Addr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0));
                match written {
                    Written::Address => write!(f, "{a}.{b}.{c}.{d}"),
                    Written::Length => write!(f, "{a}.{b}.{c}.{d}/{bits}"),
                    Written::Mask => write!(f, "{a}.{b}.{c}.{d} mask {mask}"),
                    Written::Octets if bits == 8 => write!(f, "{a}"),
                    Written::Octets if bits == 16 => write!(f, "{a}.{b}"),
                    Written::Octets => write!(f, "{a}.{b}.{c}"),
                }
            }
            Id::V6(address, 128) => write!(f, "{}", core::net::Ipv6Addr::from(address)),
            Id::V6(address, bits) => write!(f, "{}/{bits}", core::net::Ipv6Addr::from(address)),
            Id::Mac([a, b, c, d, e, g]) => write!(f, "{a:x}:{b:x}:{c:02x}:{d:x}:{e:x}:{g:x}"),
            Id::Port(low, high) if low == high => write!(f, "{low}"),
            Id::Port(low, high) => write!(f, "{low}-{high}"),
            Id::Number(number) => write!(f, "{number}"),
        }
    }
}
