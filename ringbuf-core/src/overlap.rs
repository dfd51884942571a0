//! What happens when octets arrive for a place that already has some: overlap policies.
//!
//! A policy is a [`Resolve`]: for each segment it names the parts whose octets stay as they are. [`Overlap`] looks at
//! octets alone and remembers nothing. Real systems decide by *segments*: how the new one lies to those that wait, so
//! their policies remember the boundaries of what waits: [`BySystem`] by a table of relations for each system, as
//! intrusion detection systems have published them, and [`Linux`] exactly as that kernel does.
//!
//! What is in order was handed to the application; under the policies of systems it never changes again.

mod linux;
mod system;
mod tree;

pub use linux::Linux;
pub use system::{BySystem, Relation, Relations, System, UnknownSystem};

use crate::seq::{Offset, Range};
use core::fmt;
use core::str::FromStr;

/// Decides which copy of an octet is kept.
///
/// A [`Window`](crate::Window) asks for every segment but those that simply go on where nothing waits: first
/// [`Resolve::admit`], then, when the octets have found room too, [`Resolve::resolve`].
pub trait Resolve {
    /// Whether what must be remembered of `segment` finds room. Everything below `next` is in order, and will not be
    /// asked for again.
    fn admit(&mut self, next: Offset, segment: Range) -> bool;

    /// Takes `segment`, of which `next` is the in-order end before it, and names to `keep` the parts where octets that
    /// are held stay as they are. They come in ascending order of their starts, and may overlap.
    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range));
}

impl<R: Resolve> Resolve for &mut R {
    fn admit(&mut self, next: Offset, segment: Range) -> bool {
        R::admit(self, next, segment)
    }

    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        R::resolve(self, next, segment, keep);
    }
}

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

impl Resolve for Overlap {
    fn admit(&mut self, _next: Offset, _segment: Range) -> bool {
        true
    }

    fn resolve(&mut self, _next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        if *self == Overlap::First {
            keep(segment);
        }
    }
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

#[cfg(test)]
mod tests;
