//! What happens when octets arrive for a place that already has some.

use crate::seq::Range;
use core::fmt;
use core::str::FromStr;

/// Which copy of an octet is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// The octet that came first stays (`MOS_OVERLAP_POLICY_FIRST`).
    #[default]
    First,
    /// The octet that came last replaces it, also in the in-order part as long as that is still held
    /// (`MOS_OVERLAP_POLICY_LAST`). What a reader already took is not taken back.
    Last,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Overlap::First => "first",
            Overlap::Last => "last",
        })
    }
}

/// A name that is no overlap policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownOverlap;

impl fmt::Display for UnknownOverlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown overlap policy, expected first or last")
    }
}

impl core::error::Error for UnknownOverlap {}

impl FromStr for Overlap {
    type Err = UnknownOverlap;

    fn from_str(name: &str) -> Result<Self, UnknownOverlap> {
        match name {
            "first" => Ok(Overlap::First),
            "last" => Ok(Overlap::Last),
            _ => Err(UnknownOverlap),
        }
    }
}

/// Octets that came twice with different content: from the first to one past the last that differs.
///
/// Before the write both strings can be read: the old one in the ring, the new one in the segment. After it the
/// ring holds the one that the policy kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Where the copies differ.
    pub range: Range,
}
