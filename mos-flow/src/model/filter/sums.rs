//! Sums of the filter language as trees.

use super::Seen;
use core::fmt;
use std::boxed::Box;
use std::vec::Vec;

#[derive(Clone, Debug)]
pub enum Sum {
    Number(u32),
    Len,
    /// Octets of a protocol's header: where, how many.
    Load(&'static str, Box<Sum>, usize),
    Binary(Box<Sum>, &'static str, Box<Sum>),
    Negate(Box<Sum>),
}

impl Sum {
    /// Whether the packet has the headers that are read, also by indices.
    pub(super) fn has_headers(&self, seen: &Seen<'_>) -> bool {
        match self {
            Sum::Number(_) | Sum::Len => true,
            Sum::Load(protocol, index, _) => seen.is(protocol) && index.has_headers(seen),
            Sum::Binary(a, _, b) => a.has_headers(seen) && b.has_headers(seen),
            Sum::Negate(inner) => inner.has_headers(seen),
        }
    }

    pub(super) fn value(&self, seen: &Seen<'_>) -> Option<u32> {
        match self {
            Sum::Number(number) => Some(*number),
            Sum::Len => Some(seen.wire_len),
            Sum::Load(protocol, index, size) => {
                let index = index.value(seen)?;
                let at = match *protocol {
                    "ether" => u64::from(index),
                    "ip" | "ip6" => seen.ip as u64 + u64::from(index),
                    _ if seen.v6 => (seen.ip + seen.header) as u64 + u64::from(index),
                    _ => seen.ip as u64 + u64::from(index.wrapping_add(seen.header as u32)),
                };
                let end = at + *size as u64;
                if end > seen.data.len() as u64 {
                    return None;
                }
                let octets = &seen.data[at as usize..end as usize];
                Some(octets.iter().fold(0, |n, o| n << 8 | u32::from(*o)))
            }
            Sum::Binary(a, operator, b) => binary(a.value(seen)?.into(), operator, b.value(seen)?.into()),
            Sum::Negate(inner) => Some(0_u32.wrapping_sub(inner.value(seen)?)),
        }
    }

    pub(super) fn reads_transport(&self) -> bool {
        match self {
            Sum::Number(_) | Sum::Len => false,
            Sum::Load(protocol, index, _) => {
                !matches!(*protocol, "ether" | "ip" | "ip6" | "icmp6") || index.reads_transport()
            }
            Sum::Binary(a, _, b) => a.reads_transport() || b.reads_transport(),
            Sum::Negate(inner) => inner.reads_transport(),
        }
    }

    /// The headers that are read on the right of an operator: libpcap forgets to ask whether the packet has them.
    pub(super) fn forgotten(&self, headers: &mut Vec<&'static str>) {
        match self {
            Sum::Number(_) | Sum::Len => {}
            Sum::Load(_, inner, _) | Sum::Negate(inner) => inner.forgotten(headers),
            Sum::Binary(a, _, b) => {
                a.forgotten(headers);
                b.headers(headers);
            }
        }
    }

    fn headers(&self, headers: &mut Vec<&'static str>) {
        match self {
            Sum::Number(_) | Sum::Len => {}
            Sum::Load(header, index, _) => {
                if *header != "ether" && !headers.contains(header) {
                    headers.push(header);
                }
                index.headers(headers);
            }
            Sum::Negate(inner) => inner.headers(headers),
            Sum::Binary(a, _, b) => {
                a.headers(headers);
                b.headers(headers);
            }
        }
    }

    /// As an operand: what binds less tightly stands in parentheses. Those of `%` and `^`, and these themselves, always
    /// do, as they have no rank.
    fn operand(&self, rank: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = match self {
            Sum::Binary(_, operator, _) => rank_of(operator),
            Sum::Negate(_) => 8,
            _ => u8::MAX,
        };
        if own < rank { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

/// In 64 bits, cut to 32 at the end.
fn binary(a: u64, operator: &str, b: u64) -> Option<u32> {
    let result = match operator {
        "+" => a + b,
        "-" => a + (1 << 32) - b,
        "*" => a * b,
        "/" | "%" if b == 0 => return None,
        "/" => a / b,
        "%" => a % b,
        "&" => a & b,
        "|" => a | b,
        "^" => a ^ b,
        "<<" | ">>" if b > 31 => 0,
        "<<" => a << b,
        _ => a >> b,
    };
    Some(result as u32)
}

/// 0 for an operator without rank.
fn rank_of(operator: &str) -> u8 {
    match operator {
        "|" => 1,
        "&" => 2,
        "<<" | ">>" => 3,
        "+" | "-" => 4,
        "*" | "/" => 5,
        _ => 0,
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Each way to write a number has its share; twelve digits would be an Ethernet address.
            Sum::Number(number) if number % 3 == 1 => write!(f, "{number:#x}"),
            Sum::Number(number) if number % 3 == 2 && *number < 0x1_0000 => write!(f, "0{number:o}"),
            Sum::Number(number) => write!(f, "{number}"),
            Sum::Len => f.write_str("len"),
            Sum::Load(protocol, index, 1) => write!(f, "{protocol}[{index}]"),
            Sum::Load(protocol, index, size) => write!(f, "{protocol}[{index}:{size}]"),
            Sum::Binary(a, operator, b) => {
                let rank = rank_of(operator);
                let (left, right) = if rank == 0 { (u8::MAX, u8::MAX) } else { (rank, rank + 1) };
                a.operand(left, f)?;
                write!(f, " {operator} ")?;
                b.operand(right, f)
            }
            Sum::Negate(inner) => {
                f.write_str("-")?;
                inner.operand(7, f)
            }
        }
    }
}
