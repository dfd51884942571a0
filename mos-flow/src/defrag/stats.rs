//! What became of fragments and datagrams.

use super::FragmentPolicy;
use crate::reason::Severity;
use core::fmt;
use core::ops::Index;
use zerocopy::{FromBytes, Immutable, IntoBytes};

macro_rules! fragment_drops {
    ($($name:ident => $symbol:literal, $severity:ident, $sentence:literal;)+) => {
        /// Why a fragment's octets were not stored, or not to the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum FragmentDrop {
            $(#[doc = $sentence] $name,)+
        }

        impl FragmentDrop {
            /// All reasons in the order of their values.
            pub const ALL: &[FragmentDrop] = &[$(FragmentDrop::$name),+];

            /// A short name for counters and machines.
            pub fn symbol(self) -> &'static str {
                match self { $(FragmentDrop::$name => $symbol),+ }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(FragmentDrop::$name => $sentence),+ }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(FragmentDrop::$name => Severity::$severity),+ }
            }
        }
    };
}

fragment_drops! {
    BadEnd => "fragment_end", Warning, "It contradicts what is known of the datagram's end.";
    BadHeader => "fragment_header", Warning, "Its IP header is too short or too long to be kept.";
    BadLength => "fragment_length", Warning, "An IPv6 fragment before the last whose length is no multiple of 8.";
    Cut => "fragment_cut", Info, "The capture cut it.";
    Duplicate => "fragment_duplicate", Info, "All of its octets came before, and those are kept.";
    Ecn => "fragment_ecn", Warning, "The fragments of the datagram contradict each other about ECN.";
    Empty => "fragment_empty", Warning, "It carries no octets.";
    HeaderChain => "fragment_header_chain", Warning, "A first IPv6 fragment that ends inside of the headers.";
    NoOutput => "fragment_no_output", Error, "The datagram is complete, but all memory for complete ones is in use.";
    NoRoom => "fragment_no_room", Error, "No memory for it.";
    Overlap => "fragment_overlap", Warning, "It overlaps others; the whole datagram was given up.";
    TooLarge => "fragment_too_large", Warning, "It makes the datagram too large for an IP packet.";
    TooManyRanges => "fragment_too_many", Error, "More pieces than a datagram is followed with; it was given up.";
}

impl FragmentDrop {
    /// Whether a fragment that is dropped for it takes its datagram along.
    pub(super) fn ends_datagram(self, policy: FragmentPolicy) -> bool {
        match self {
            FragmentDrop::NoRoom | FragmentDrop::Overlap | FragmentDrop::TooManyRanges => true,
            FragmentDrop::BadEnd | FragmentDrop::Empty => policy == FragmentPolicy::Linux,
            _ => false,
        }
    }
}

impl fmt::Display for FragmentDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// What became of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// It waits for the rest.
    Held,
    /// With it the datagram is complete: see [`Defrag::datagram`](super::Defrag::datagram).
    Complete,
    /// It is of no use, or its datagram is not.
    Dropped(FragmentDrop),
}

/// Counters.
///
/// Each fragment has one outcome: `fragments = held + complete +` the sum of all `dropped`. Each datagram has one end:
/// `opened = completed + killed + evicted + timed_out +` those that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)]
pub struct DefragStats {
    /// Fragments given.
    pub fragments: u64,
    /// Fragments that waited for others.
    pub held: u64,
    /// Fragments with which a datagram was complete, atomic ones among them.
    pub complete: u64,
    /// Fragments that were dropped, by reason.
    pub dropped: Drops,
    /// First fragments of TCP that end inside of its header (RFC 1858), whatever became of them.
    pub tiny: u64,
    /// Datagrams of which a fragment was held.
    pub opened: u64,
    /// Datagrams that were reassembled.
    pub completed: u64,
    /// Datagrams that were given up for what came.
    pub killed: u64,
    /// Datagrams that were given up for memory, the oldest first.
    pub evicted: u64,
    /// Datagrams whose time was up.
    pub timed_out: u64,
}

impl DefragStats {
    pub(super) fn count(&mut self, outcome: Outcome) {
        self.fragments += 1;
        match outcome {
            Outcome::Held => self.held += 1,
            Outcome::Complete => self.complete += 1,
            Outcome::Dropped(reason) => self.dropped.0[reason as usize] += 1,
        }
    }
}

/// One counter for each [`FragmentDrop`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(transparent)]
pub struct Drops([u64; FragmentDrop::ALL.len()]);

impl Drops {
    /// The sum of all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Index<FragmentDrop> for Drops {
    type Output = u64;
    fn index(&self, reason: FragmentDrop) -> &u64 {
        &self.0[reason as usize]
    }
}
