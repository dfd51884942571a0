//! Which copy of an octet a stream keeps: the policies of [`ringbuf_core::overlap`] by name, and the memory of those that
//! compare segments.
//!
//! [`OverlapPolicy::First`] and [`OverlapPolicy::Last`] look at octets alone. All others compare a segment with the ones
//! that wait behind a hole, so they keep the boundaries of those in a [`SegmentQueue`]: one for each stream that holds
//! octets early, as long as it does.

use crate::memory::Memory;
use crate::slab::{Id, Slab};
use core::fmt;
use core::str::FromStr;
use ringbuf_core::overlap::{BySystem, Linux, Resolve, System};
use ringbuf_core::{Offset, Overlap, Range};

/// Segments that wait in the queue of a stream: those of half a megabyte behind one hole. Of Linux, which joins them, half
/// as many take as much memory.
pub const MAX_SEGMENTS: usize = 512;

/// Which copy of an octet a stream keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OverlapPolicy {
    /// The one that came first.
    #[default]
    First,
    /// The one that came last, also in the in-order part as long as that is held.
    Last,
    /// As Linux does it, exactly.
    Linux,
    /// By the table of a system.
    System(System),
}

impl OverlapPolicy {
    /// All of them.
    pub const ALL: [OverlapPolicy; 14] = {
        let mut all = [OverlapPolicy::First; 14];
        (all[1], all[2]) = (OverlapPolicy::Last, OverlapPolicy::Linux);
        let mut n = 0;
        while n < System::ALL.len() {
            all[3 + n] = OverlapPolicy::System(System::ALL[n]);
            n += 1;
        }
        all
    };

    /// The name on command lines and in configurations.
    pub const fn name(self) -> &'static str {
        match self {
            OverlapPolicy::First => "first",
            OverlapPolicy::Last => "last",
            OverlapPolicy::Linux => "linux",
            OverlapPolicy::System(system) => system.name(),
        }
    }

    /// As [`Resolve::resolve`], with the stream's queue.
    pub(crate) fn resolve(
        self,
        queue: Option<&mut SegmentQueue>,
        next: Offset,
        segment: Range,
        keep: &mut dyn FnMut(Range),
    ) {
        match (self, queue) {
            (OverlapPolicy::First, _) => keep(segment),
            (OverlapPolicy::Last, _) => {}
            (_, Some(queue)) => queue.resolve(next, segment, keep),
            // Nothing waits: only what is in order stays.
            (_, None) => keep(Range { start: segment.start, end: next.min(segment.end) }),
        }
    }

    /// Whether it compares segments, not only octets.
    pub(crate) const fn has_queue(self) -> bool {
        matches!(self, OverlapPolicy::Linux | OverlapPolicy::System(_))
    }
}

// As many as there are; the table has no gap at its end.
const _: () = assert!(OverlapPolicy::ALL.len() == 3 + System::ALL.len());

impl From<Overlap> for OverlapPolicy {
    fn from(policy: Overlap) -> Self {
        if policy == Overlap::Last { OverlapPolicy::Last } else { OverlapPolicy::First }
    }
}

impl fmt::Display for OverlapPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is no overlap policy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownPolicy;

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown overlap policy, expected one of")?;
        OverlapPolicy::ALL.iter().try_for_each(|policy| write!(f, " {policy}"))
    }
}

impl core::error::Error for UnknownPolicy {}

impl FromStr for OverlapPolicy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        OverlapPolicy::ALL.iter().copied().find(|p| p.name() == name).ok_or(UnknownPolicy)
    }
}

/// The boundaries of segments that wait behind a hole. Public only so that memory for it can be lent.
#[derive(Clone, Debug)]
pub enum SegmentQueue {
    /// Of [`OverlapPolicy::Linux`].
    Linux(Linux<{ MAX_SEGMENTS / 2 }>),
    /// Of [`OverlapPolicy::System`].
    System(BySystem<MAX_SEGMENTS>),
}

impl SegmentQueue {
    /// An empty one; `None` for a policy that has none.
    fn new(policy: OverlapPolicy) -> Option<Self> {
        match policy {
            OverlapPolicy::Linux => Some(SegmentQueue::Linux(Linux::new())),
            OverlapPolicy::System(system) => Some(SegmentQueue::System(BySystem::new(system))),
            OverlapPolicy::First | OverlapPolicy::Last => None,
        }
    }

    /// A queue for a policy that begins when `early` is held already: each range counts as one segment.
    pub(crate) fn with(policy: OverlapPolicy, next: Offset, early: &[Range]) -> Option<Self> {
        let mut queue = SegmentQueue::new(policy)?;
        for range in early {
            queue.resolve(next, *range, &mut |_| ());
        }
        Some(queue)
    }
}

impl Resolve for SegmentQueue {
    fn admit(&mut self, next: Offset, segment: Range) -> bool {
        match self {
            SegmentQueue::Linux(queue) => queue.admit(next, segment),
            SegmentQueue::System(queue) => queue.admit(next, segment),
        }
    }

    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        match self {
            SegmentQueue::Linux(queue) => queue.resolve(next, segment, keep),
            SegmentQueue::System(queue) => queue.resolve(next, segment, keep),
        }
    }
}

/// The policy of one stream at work. Its queue is opened with the first segment that waits.
pub(crate) struct Rule<'a, M: Memory> {
    pub(crate) policy: OverlapPolicy,
    pub(crate) queues: &'a mut Slab<SegmentQueue, M>,
    pub(crate) queue: &'a mut Option<Id>,
}

impl<M: Memory> Rule<'_, M> {
    fn queue(&mut self) -> Option<&mut SegmentQueue> {
        self.queues.get_mut((*self.queue)?)
    }
}

impl<M: Memory> Resolve for Rule<'_, M> {
    fn admit(&mut self, next: Offset, segment: Range) -> bool {
        if !self.policy.has_queue() {
            return true;
        }
        if segment.start > next && self.queue.is_none() {
            *self.queue = SegmentQueue::new(self.policy).and_then(|queue| self.queues.insert(queue).ok());
        }
        match self.queue() {
            Some(queue) => queue.admit(next, segment),
            None => segment.start <= next,
        }
    }

    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        self.policy.resolve(self.queue(), next, segment, keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_a_name_of_its_own() {
        for policy in OverlapPolicy::ALL {
            assert_eq!(policy.name().parse(), Ok(policy));
        }
        assert_eq!("none".parse::<OverlapPolicy>(), Err(UnknownPolicy));
        assert_eq!(OverlapPolicy::from(Overlap::Last), OverlapPolicy::Last);
    }

    #[test]
    fn queues_of_both_kinds_take_about_as_much_memory() {
        let [linux, system] = [size_of::<Linux<{ MAX_SEGMENTS / 2 }>>(), size_of::<BySystem<MAX_SEGMENTS>>()];
        assert!(linux.abs_diff(system) < 64, "{linux} and {system}");
    }
}
