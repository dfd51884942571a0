//! The pcap filter language, compiled to a bounded program over parsed packets.
//!
//! Because a filter looks at parsed headers and not at fixed offsets, it sees through VLAN tags, tunnels and extension
//! headers by itself: `tcp[13]` are the flags wherever the TCP header lies.
//!
//! ```
//! use mos_flow::filter::Filter;
//! let web: Filter = "tcp dst port 80 or 443 and not net 10.0.0.0/8".parse()?;
//! let opening: Filter = "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn and len < 100".parse()?;
//! # Ok::<(), mos_flow::filter::FilterError>(())
//! ```
//!
//! The language is that of libpcap (`pcap-filter(7)`), as far as it has to do with packets over IP:
//!
//! - terms joined by `and or not` (`&& || !`) and parentheses. `and` and `or` have the same rank and group from the
//!   left; an id without a qualifier takes those of the one before (`port 80 or 443`);
//! - `[ip|ip6] [src|dst|…] [host|net] ADDRESS`, `net A/LEN`, `net A mask M`, `net 10.1`;
//! - `[tcp|udp|sctp] [src|dst|…] port N`, `portrange N-M`, with the names of well-known services;
//! - `ip ip6 tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ah esp`, `[ip|ip6|ether] proto N`, `arp rarp`;
//! - `ether [src|dst|…] host MAC`, `[ether] broadcast`, `[ether|ip|ip6] multicast`, `vlan [ID]`, `mpls [LABEL]`;
//! - `less N`, `greater N`, and comparisons of 32-bit sums: numbers, `len`, octets of a header such as `ip[2:2]`,
//!   `+ - * / % & | ^ << >>`, with the named constants (`tcpflags`, `tcp-syn`, `icmp-echo`, …).
//!
//! As in libpcap, a load behind the end of the captured octets and a division by zero refuse the packet: the whole
//! filter does not match, whatever `not` stands around. What a term to the left has decided already is not looked at.
//!
//! Differences from libpcap, on purpose:
//!
//! 1. `vlan N` matches when any tag of the frame is N, `mpls N` when the outermost label is. Neither moves the offsets
//!    of what follows them, as nothing else here depends on tags: `tcp` also matches behind them.
//! 2. `tcp[…]`, `udp[…]` and the like also read from IPv6 packets, and all protocol tests, also `ip6 proto`, are about
//!    the protocol behind the extension headers. In a tunnel they are about the innermost packet.
//! 3. Every octet that is read asks for its header. libpcap forgets to on the right of an operator, where `len + ip6[6]`
//!    reads from IPv4 packets; and it takes the first number of a divisor for all of it, and refuses `len / ip[0]`.
//! 4. `ether proto 0x0800` and `0x86dd` are `ip` and `ip6`; other numbers are compared with the frame's own type field.
//! 5. `arp` and `rarp` are understood and never match: only packets over IP get as far as a filter. A link without
//!    Ethernet addresses matches no test of them.
//! 6. Names of hosts and networks are not looked up; the names of ports and protocols are those of a fixed table.
//! 7. Also taken: an address without any qualifier (`10.0.0.1`, a host), names of protocols without the backslash
//!    (`proto tcp`), and ids beside other terms in one parenthesis (`port 80 or (443 and tcp)`).
//! 8. Refused, besides what belongs to other links (`wlan`, `llc`, `vci`, …): `gateway`, `protochain`, `inbound`,
//!    `outbound`, `pppoes`, `geneve`, `ip broadcast` (a packet doesn't tell its network's mask), protocol numbers above
//!    255, and what is constant but a mistake after folding (`len / (1 - 1)`, `len << (16 + 16)`).
//!
//! **Invariants.**
//! 1. A program has at most 128 steps, and each runs once.
//! 2. It leaves one outcome, and takes none that it has not put there.
//! 3. It never holds more than 16 numbers.

mod address;

mod names;

mod lex;

mod test;

mod sum;

mod program;

mod parse;

pub use program::Filter;

use core::fmt;

/// Why an expression is no filter, and where: `position` counts octets from the start of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterError {
    /// Where in the text.
    pub position: usize,
    /// What is wrong there.
    pub kind: FilterErrorKind,
}

/// What is wrong with a filter expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FilterErrorKind {
    /// An address, a network or a mask that is none.
    BadAddress,
    /// A number out of its range.
    BadNumber,
    /// A qualifier that does not go with what it stands before.
    BadQualifier,
    /// A size other than 1, 2 and 4 octets.
    BadSize,
    /// A constant divisor that is 0.
    DivisionByZero,
    /// A network with bits outside its mask.
    HostBits,
    /// Something is missing at the end.
    Incomplete,
    /// A mask or prefix length after something that is no network.
    MaskWithoutNet,
    /// A name where only addresses are understood.
    NameNotLookedUp,
    /// A number or a name with nothing before it that says what it is.
    NoQualifier,
    /// A part of the pcap language that is not supported here.
    NotSupported,
    /// A shift by more than 31 bits.
    ShiftTooFar,
    /// Parentheses, negations or operands nested too deeply.
    TooDeep,
    /// More terms than a filter holds.
    TooLong,
    /// A character that begins no word.
    UnexpectedCharacter,
    /// A word that does not fit here.
    UnexpectedWord,
    /// A name of no port or protocol that is known.
    UnknownName,
    /// A word that the language does not have.
    UnknownWord,
}

impl FilterErrorKind {
    fn sentence(self) -> &'static str {
        match self {
            FilterErrorKind::BadAddress => "not an address or network",
            FilterErrorKind::BadNumber => "number out of range",
            FilterErrorKind::BadQualifier => "qualifier does not go with what follows",
            FilterErrorKind::BadSize => "size is not 1, 2 or 4",
            FilterErrorKind::DivisionByZero => "division by zero",
            FilterErrorKind::HostBits => "network has bits set outside its mask",
            FilterErrorKind::Incomplete => "expression ends too early",
            FilterErrorKind::MaskWithoutNet => "only a net can have a mask",
            FilterErrorKind::NameNotLookedUp => "names of hosts and networks are not looked up",
            FilterErrorKind::NoQualifier => "host, net, port or the like is missing",
            FilterErrorKind::NotSupported => "word is not supported here",
            FilterErrorKind::ShiftTooFar => "shift by more than 31 bits",
            FilterErrorKind::TooDeep => "expression is nested too deeply",
            FilterErrorKind::TooLong => "expression has too many terms",
            FilterErrorKind::UnexpectedCharacter => "unexpected character",
            FilterErrorKind::UnexpectedWord => "unexpected word",
            FilterErrorKind::UnknownName => "unknown name of a port or protocol",
            FilterErrorKind::UnknownWord => "unknown word",
        }
    }

    /// The error of this kind at a place.
    fn at(self, position: usize) -> FilterError {
        FilterError { position, kind: self }
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at position {}", self.kind.sentence(), self.position)
    }
}

impl core::error::Error for FilterError {}

#[cfg(test)]
mod tests;
