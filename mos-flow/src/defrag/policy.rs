//! Which copy of an octet a datagram keeps when fragments overlap: tables of relations, and Linux as it is.
//!
//! The tables are those of Snort 3, and not the ones for TCP: systems treat fragments differently from segments. How
//! the new fragment lies to one that came before decides about the octets that they share. With more than two, a new
//! octet is taken when the table says "new" for *every* fragment that covers it, each with the extent that it came
//! with. That is the order of precedence that most of the tables are (bsd: the lowest start, of equal ones the first);
//! for bsd-right, solaris and windows, which are none, it is one reading of several.
//!
//! Deviation: a fragment that brought nothing is not compared with later ones, or doublets would fill the list.

use super::FragmentDrop;
use core::fmt;
use core::str::FromStr;
use heapless::Vec;
use ringbuf_core::Range;
use ringbuf_core::overlap::{Relation, Relations};

/// Extents of fragments that a datagram remembers: those of 65,535 octets in fragments of 552, the least that a link
/// with an MTU of 576 makes of them, with some to spare.
pub const MAX_FRAGMENTS: usize = 128;

macro_rules! policies {
    ($($(#[$doc:meta])* $name:ident $text:literal $relations:expr;)*) => {
        /// What becomes of fragments that overlap.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum FragmentPolicy {
            $($(#[$doc])* $name,)*
        }

        impl FragmentPolicy {
            /// All of them, by name.
            pub const ALL: &[FragmentPolicy] = &[$(FragmentPolicy::$name),*];

            /// The name on command lines and in configurations.
            pub const fn name(self) -> &'static str {
                match self { $(FragmentPolicy::$name => $text,)* }
            }

            /// The relations in which a new fragment replaces what came before. `None` for [`FragmentPolicy::Linux`],
            /// which never chooses between octets.
            pub const fn relations(self) -> Option<Relations> {
                use Relation::*;
                match self { $(FragmentPolicy::$name => $relations,)* }
            }
        }
    };
}

const fn new_in(list: &[Relation]) -> Option<Relations> {
    Some(Relations::new(list))
}

policies! {
    /// The BSDs: the fragment that starts lowest.
    Bsd "bsd" new_in(&[Overlaps, FinishedBy, Contains]);
    /// HP's printers: the fragment that ends highest.
    BsdRight "bsd-right" new_in(&[FinishedBy, Contains, Equals, StartedBy, OverlappedBy]);
    /// The octet that came first.
    First "first" new_in(&[]);
    /// The octet that came last.
    Last "last" new_in(&Relation::ALL);
    /// Linux since 5.0: a fragment inside of what is held is ignored, any other overlap ends the datagram.
    #[default]
    Linux "linux" None;
    /// Linux 2.x.
    OldLinux "old-linux" new_in(&[Overlaps, FinishedBy, Contains, Starts, Equals, StartedBy]);
    /// Solaris.
    Solaris "solaris" new_in(&[FinishedBy, Contains]);
    /// Windows.
    Windows "windows" new_in(&[Contains]);
}

impl FragmentPolicy {
    /// The relations of a policy that goes by the boundaries of fragments: not those of octets alone.
    pub(super) fn table(self) -> Option<Relations> {
        self.relations().filter(|_| !matches!(self, FragmentPolicy::First | FragmentPolicy::Last))
    }
}

impl fmt::Display for FragmentPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown fragment policy, expected one of")?;
        FragmentPolicy::ALL.iter().try_for_each(|policy| write!(f, " {policy}"))
    }
}

impl core::error::Error for UnknownPolicy {}

impl FromStr for FragmentPolicy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        FragmentPolicy::ALL.iter().copied().find(|p| p.name() == name).ok_or(UnknownPolicy)
    }
}

/// The extents of a datagram's fragments, as far as its policy goes by them; for Linux its runs instead.
///
/// # Invariants
/// 1. Sorted by start, then by end, without twins.
/// 2. Under [`FragmentPolicy::Linux`] no two overlap.
#[derive(Debug, Default)]
pub(super) struct Extents(Vec<Range, MAX_FRAGMENTS>);

impl Extents {
    /// Those that `new` overlaps, by start.
    fn overlapping(&self, new: Range) -> impl Iterator<Item = Range> + '_ {
        let below = self.0.partition_point(|r| r.start < new.end);
        self.0.iter().take(below).copied().filter(move |r| r.end > new.start)
    }

    /// The parts of `new` whose octets stay as they are, in ascending order of their starts. They may overlap.
    pub(super) fn kept(&self, relations: Relations, new: Range) -> impl Iterator<Item = Range> + '_ {
        self.overlapping(new)
            .filter(move |old| !relations.replaces(Relation::of(new, *old)))
            .map(move |old| new.intersection(old))
    }

    /// Remembers a fragment.
    pub(super) fn remember(&mut self, new: Range) -> Result<(), FragmentDrop> {
        match self.0.binary_search_by_key(&(new.start, new.end), |r| (r.start, r.end)) {
            Ok(_) => Ok(()),
            Err(at) => self.0.insert(at, new).map_err(|_| FragmentDrop::TooManyRanges),
        }
    }

    /// Takes a fragment as the kernel does. Its *runs* grow only where the fragment with the highest offset is
    /// followed by the next one. What arrives elsewhere is a run of its own even where it touches another, and a
    /// later fragment that repeats octets of two runs is no doublet but an overlap.
    pub(super) fn join(&mut self, new: Range) -> Result<(), FragmentDrop> {
        if let Some(last) = self.0.last_mut()
            && last.end == new.start
        {
            last.end = new.end;
            return Ok(());
        }
        let run = self.overlapping(new).next();
        match run {
            Some(run) if run.start <= new.start && new.end <= run.end => Err(FragmentDrop::Duplicate),
            Some(_) => Err(FragmentDrop::Overlap),
            None => self.remember(new),
        }
    }

    /// Asserts the invariants (debug builds).
    pub(super) fn check(&self, policy: FragmentPolicy) {
        let key = |r: &Range| (r.start, r.end);
        debug_assert!(self.0.windows(2).all(|w| key(&w[0]) < key(&w[1])), "invariant 1");
        let linux = policy == FragmentPolicy::Linux;
        debug_assert!(!linux || self.0.windows(2).all(|w| w[0].end <= w[1].start), "invariant 2");
    }
}
