//! Overlap policies named after systems, as tables of how the new segment lies to one that waits.
//!
//! The tables are those of Suricata. Snort's differ in one relation (`hpux10` and `irix`, a longer segment with the same
//! start) and for exact twins on `solaris` and `hpux11`. Beyond single pairs the two differ more; the procedure here is the
//! one whose step-by-step results are published: every waiting segment keeps the extent it came with, and a new
//! octet is taken when the table says "new" for every waiting segment that is compared and covers it. Compared are
//! the exact twin, the segments after it as long as they begin inside of it, and the segments before it up to the
//! first that ends before it begins.

use super::Resolve;
use crate::seq::{Offset, Range};
use core::fmt;
use core::str::FromStr;
use heapless::Vec;

/// How a new segment lies to a waiting one that it overlaps: the nine of Allen's relations in which they share octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// It begins before and ends inside (o).
    Overlaps,
    /// It begins before and ends with it (fi).
    FinishedBy,
    /// It begins before and ends after (di).
    Contains,
    /// It begins with it and ends inside (s).
    Starts,
    /// The same range (eq).
    Equals,
    /// It begins with it and ends after (si).
    StartedBy,
    /// It begins and ends inside (d).
    During,
    /// It begins inside and ends with it (f).
    Finishes,
    /// It begins inside and ends after (oi).
    OverlappedBy,
}

impl Relation {
    /// All nine.
    pub const ALL: [Relation; 9] = [
        Relation::Overlaps,
        Relation::FinishedBy,
        Relation::Contains,
        Relation::Starts,
        Relation::Equals,
        Relation::StartedBy,
        Relation::During,
        Relation::Finishes,
        Relation::OverlappedBy,
    ];

    /// How `new` lies to `old`. The two must overlap.
    pub fn of(new: Range, old: Range) -> Relation {
        use Relation::*;
        use core::cmp::Ordering::*;
        match (new.start.cmp(&old.start), new.end.cmp(&old.end)) {
            (Less, Less) => Overlaps,
            (Less, Equal) => FinishedBy,
            (Less, Greater) => Contains,
            (Equal, Less) => Starts,
            (Equal, Equal) => Equals,
            (Equal, Greater) => StartedBy,
            (Greater, Less) => During,
            (Greater, Equal) => Finishes,
            (Greater, Greater) => OverlappedBy,
        }
    }
}

/// A set of relations: those in which the octets of the new segment replace the waiting ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relations(u16);

impl Relations {
    /// The relations of a list.
    pub const fn new(list: &[Relation]) -> Relations {
        let (mut bits, mut i) = (0, 0);
        while i < list.len() {
            bits |= 1 << list[i] as u16;
            i += 1;
        }
        Relations(bits)
    }

    /// Whether the new octets replace the waiting ones.
    pub const fn replaces(self, relation: Relation) -> bool {
        self.0 & 1 << relation as u16 != 0
    }
}

macro_rules! systems {
    ($($(#[$doc:meta])* $name:ident $text:literal [$($relation:ident)*],)*) => {
        /// A system whose overlap policy is known as a table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum System {
            $($(#[$doc])* $name,)*
        }

        impl System {
            /// All of them, by name.
            pub const ALL: &[System] = &[$(System::$name),*];

            /// The name on command lines and in configurations.
            pub const fn name(self) -> &'static str {
                match self {
                    $(System::$name => $text,)*
                }
            }

            /// The relations in which a new segment replaces what waits.
            pub const fn relations(self) -> Relations {
                match self {
                    $(System::$name => Relations::new(&[$(Relation::$relation),*]),)*
                }
            }
        }
    };
}

systems! {
    /// The BSDs.
    Bsd "bsd" [Overlaps FinishedBy Contains],
    /// HP-UX 10.
    Hpux10 "hpux10" [Overlaps FinishedBy Contains],
    /// HP-UX 11.
    Hpux11 "hpux11" [FinishedBy Contains Equals StartedBy OverlappedBy],
    /// IRIX.
    Irix "irix" [Overlaps FinishedBy Contains],
    /// Linux as intrusion detection systems have it; [`super::Linux`] is the real one.
    LinuxClassic "linux-classic" [Overlaps FinishedBy Contains StartedBy],
    /// macOS.
    Macos "macos" [Overlaps FinishedBy Contains],
    /// Linux 2.2 and before.
    OldLinux "old-linux" [Overlaps FinishedBy Contains Equals StartedBy],
    /// Solaris.
    Solaris "solaris" [FinishedBy Contains Equals StartedBy OverlappedBy],
    /// Windows Vista and after.
    Vista "vista" [],
    /// Windows before Vista.
    Windows "windows" [Overlaps FinishedBy Contains],
    /// Windows Server 2003.
    Windows2k3 "windows2k3" [Overlaps FinishedBy Contains],
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no system's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSystem;

impl fmt::Display for UnknownSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown system, expected one of")?;
        System::ALL.iter().try_for_each(|system| write!(f, " {system}"))
    }
}

impl core::error::Error for UnknownSystem {}

impl FromStr for System {
    type Err = UnknownSystem;

    fn from_str(name: &str) -> Result<Self, UnknownSystem> {
        System::ALL.iter().copied().find(|s| s.name() == name).ok_or(UnknownSystem)
    }
}

/// The policy of a [`System`] for one stream, with the extents of up to `N` segments that wait.
///
/// A segment that would be one too many is refused as [`Refusal::TooManyRanges`](crate::window::Refusal).
///
/// # Invariants
/// 1. `waiting` is sorted by start, then by end, without twins.
/// 2. After [`Resolve::admit`] no segment of `waiting` ends at or below `next`.
#[derive(Clone, Debug)]
pub struct BySystem<const N: usize> {
    relations: Relations,
    waiting: Vec<Range, N>,
}

impl<const N: usize> BySystem<N> {
    /// The policy of `system`, nothing waiting.
    pub const fn new(system: System) -> Self {
        BySystem::with_relations(system.relations())
    }

    /// A policy of one's own.
    pub const fn with_relations(relations: Relations) -> Self {
        BySystem { relations, waiting: Vec::new() }
    }

    /// The segments that wait, by start.
    pub fn waiting(&self) -> &[Range] {
        &self.waiting
    }

    /// Where a segment stands, or belongs.
    fn place(&self, segment: Range) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&(segment.start, segment.end), |r| (r.start, r.end))
    }
}

impl<const N: usize> Resolve for BySystem<N> {
    fn admit(&mut self, next: Offset, segment: Range) -> bool {
        if self.waiting.first().is_some_and(|first| first.start <= next) {
            self.waiting.retain(|r| r.end > next);
        }
        segment.start <= next || !self.waiting.is_full() || self.place(segment).is_ok()
    }

    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        let new = Range { start: segment.start.max(next), end: segment.end };
        if segment.start < next {
            keep(Range { start: segment.start, end: next.min(segment.end) });
        }
        if new.is_empty() {
            return;
        }
        let place = self.place(new);
        let at = place.unwrap_or_else(|at| at);
        let before = self.waiting[..at].iter().rev().take_while(|r| r.end > new.start).count();
        let behind = self.waiting[at..].iter().take_while(|r| r.start < new.end).count();
        for old in &self.waiting[at - before..at + behind] {
            if !self.relations.replaces(Relation::of(new, *old)) {
                keep(new.intersection(*old));
            }
        }
        // What is in order will not be compared with anything again.
        if segment.start > next && place.is_err() {
            let _ = self.waiting.insert(at, new); // `admit` has seen to it that it fits
        }
    }
}
