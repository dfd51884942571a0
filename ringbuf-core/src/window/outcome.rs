//! What can come of the operations on a window.

use crate::overlap::Conflict;
use crate::seq::{Offset, Range};
use core::fmt;

/// Why octets of a segment were not stored although nothing was at their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Too far ahead of `next`.
    BeyondWindow,
    /// One more out-of-order range than the fragment list holds, or than the overlap policy remembers.
    TooManyRanges,
    /// The store has no memory left.
    NoSpace,
}

/// What a write would do, computed without doing it: what must be known before the octets are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The part of the segment that lies in the window and can be stored.
    pub range: Range,
    /// Octets below this are gone after the write. Above the current head: the write overruns.
    pub new_head: Offset,
    /// Octets of the segment below the head: old, and no longer comparable.
    pub stale: u64,
    /// Octets of the segment that are already held.
    pub duplicate: u64,
    /// Octets of the segment beyond the window.
    pub beyond: u64,
}

/// What a write did. All figures are octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Written {
    /// Stored where nothing was before.
    pub fresh: u64,
    /// Already held; kept or replaced as the policy says.
    pub duplicate: u64,
    /// Those of the duplicates that were replaced.
    pub replaced: u64,
    /// Below the head: too old to compare.
    pub stale: u64,
    /// Not stored, for the reason in `refusal`.
    pub refused: u64,
    /// Held octets that were pushed out at the old end to make room, and octets of this segment that were in order
    /// but never fitted.
    pub overrun: u64,
    /// How far the in-order end moved.
    pub advanced: u64,
    /// Why something was refused.
    pub refusal: Option<Refusal>,
    /// Where the segment and the held octets differed.
    pub conflict: Option<Conflict>,
}

/// Why there is no octet at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// At or above everything received so far.
    Beyond,
    /// Not received, though octets above it were: the hole from the offset on.
    Hole(Range),
    /// No longer held, or never: everything below `head` is gone.
    Overrun {
        /// The oldest octet held.
        head: Offset,
    },
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Absent::Beyond => f.write_str("not received yet"),
            Absent::Hole(range) => write!(f, "hole {range}"),
            Absent::Overrun { head } => write!(f, "no longer held, which begins at {head}"),
        }
    }
}

impl core::error::Error for Absent {}

/// What a sequential reader finds at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// These octets can be read.
    Data(Range),
    /// These octets are lost to this reader (pushed out, or a gap in the capture); it goes on at the end.
    Lost(Range),
    /// Nothing in order yet.
    Empty,
}
