//! The pcap filter language, compiled to a bounded program over parsed packets.
//!
//! Because a filter looks at parsed headers and not at byte offsets, it sees through VLAN tags by itself.
//!
//! ```
//! use mos_flow::filter::Filter;
//! let filter: Filter = "tcp dst port 80 or 443 and not net 10.0.0.0/8".parse()?;
//! # Ok::<(), mos_flow::filter::FilterError>(())
//! ```
//!
//! Understood: `ip ip6 tcp udp icmp icmp6`, `proto N`, `vlan [N]`, `host net port portrange` with `src`, `dst`,
//! `src or dst`, `src and dst` and a protocol before them, bare addresses, `net A mask M`, parentheses, `and or not`
//! and `&& || !`. As in libpcap `and` and `or` have the same rank and group from the left, and an id without a
//! qualifier takes those of the one before (`port 80 or 443`). Not understood yet: byte tests (`tcp[13] & 2`),
//! `greater`, `less`, host names.
//!
//! Differences from libpcap, on purpose: `tcp` also matches behind VLAN tags, and `vlan N` matches when any tag of the
//! frame is N.

mod lex;

mod parse;

mod program;

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
    /// Something is missing at the end.
    Incomplete,
    /// More terms than a filter holds.
    TooLong,
    /// A character that begins no word.
    UnexpectedCharacter,
    /// A word that does not fit here.
    UnexpectedWord,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FilterErrorKind::BadAddress => "not an address or network",
            FilterErrorKind::BadNumber => "number out of range",
            FilterErrorKind::Incomplete => "expression ends too early",
            FilterErrorKind::TooLong => "expression has too many terms",
            FilterErrorKind::UnexpectedCharacter => "unexpected character",
            FilterErrorKind::UnexpectedWord => "unexpected word",
        };
        write!(f, "{what} at position {}", self.position)
    }
}

impl core::error::Error for FilterError {}
