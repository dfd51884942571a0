//! The overlap policy of Linux (since 4.9), exactly: what its receive queue does with segments that come early.
//!
//! The kernel keeps early segments as buffers in a red-black tree by sequence number. A new segment goes down that tree:
//! where a buffer on the way contains it, it is dropped; where one ends just where it begins, it is appended to that
//! buffer; a buffer with the same start and an earlier end is replaced by it; otherwise it becomes a buffer of its own,
//! and the ones behind it that it covers are deleted. Buffers may overlap: when the hole before them is filled they are
//! delivered by their starts, so that the octets of the lowest one win, and what it has already delivered is cut from the
//! others. An in-order segment is delivered at once, before everything that waits.
//!
//! So the owner of an octet is the buffer with the lowest start that covers it, and that never goes back to one with a
//! higher start: whatever deletes a buffer begins no later and covers it. That is why one copy of each octet is enough.
//!
//! Seen on an interface whose segments can always be appended (small linear buffers, no receive offload). Deviation:
//! the kernel's limits of memory (pruning of the queue) are the window's and the list's here.

use super::Resolve;
use super::tree::{Hand, NONE, Tree};
use crate::seq::{Offset, Range};

/// The policy of Linux for one stream, with up to `N` buffers that wait (`N` below 65,535).
///
/// A segment that would need one buffer too many is refused as
/// [`Refusal::TooManyRanges`](crate::window::Refusal).
#[derive(Clone, Debug)]
pub struct Linux<const N: usize> {
    queue: Tree<N>,
    /// The buffer with the highest start: the kernel looks at it first.
    last: u16,
}

/// What becomes of an early segment.
enum Fate {
    Dropped,
    /// It goes on where this buffer ends.
    Appended(u16),
    /// It begins with this buffer, and is longer.
    Replaces(u16),
    /// A buffer of its own, at this place; whether it can cover others.
    Queued(u16, Hand, bool),
}

impl<const N: usize> Default for Linux<N> {
    fn default() -> Self {
        Linux::new()
    }
}

impl<const N: usize> Linux<N> {
    /// The policy, nothing waiting.
    pub const fn new() -> Self {
        Linux { queue: Tree::new(), last: NONE }
    }

    /// What becomes of `new`, which begins above all that is in order.
    fn fate(&self, new: Range) -> Fate {
        let queue = &self.queue;
        if queue.root == NONE {
            return Fate::Queued(NONE, Hand::Left, false);
        }
        let last = queue.node(self.last).range;
        if new.start == last.end {
            return Fate::Appended(self.last);
        }
        if new.start > last.end {
            return Fate::Queued(self.last, Hand::Right, false);
        }
        let (mut at, mut parent, mut hand) = (queue.root, NONE, Hand::Left);
        while at != NONE {
            let node = queue.node(at);
            parent = at;
            if new.start < node.range.start {
                (at, hand) = (node.left, Hand::Left);
                continue;
            }
            if new.start < node.range.end && new.end <= node.range.end {
                return Fate::Dropped;
            }
            if new.start == node.range.start {
                return Fate::Replaces(at);
            }
            if new.start == node.range.end {
                return Fate::Appended(at);
            }
            (at, hand) = (node.right, Hand::Right);
        }
        Fate::Queued(parent, hand, true)
    }

    /// Deletes the buffers behind `id` that it covers.
    fn merge_right(&mut self, id: u16) {
        let end = self.queue.node(id).range.end;
        loop {
            let behind = self.queue.next(id);
            if behind == NONE {
                self.last = id;
                return;
            }
            if end < self.queue.node(behind).range.end {
                return;
            }
            self.queue.erase(behind);
        }
    }
}

impl<const N: usize> Resolve for Linux<N> {
    fn admit(&mut self, next: Offset, segment: Range) -> bool {
        loop {
            let first = self.queue.first();
            if first == NONE || self.queue.node(first).range.start > next {
                break;
            }
            self.queue.erase(first); // delivered
        }
        segment.start <= next || !self.queue.is_full() || !matches!(self.fate(segment), Fate::Queued(..))
    }

    fn resolve(&mut self, next: Offset, segment: Range, keep: &mut dyn FnMut(Range)) {
        if segment.start <= next {
            // In order: before everything that waits.
            return keep(Range { start: segment.start, end: next.min(segment.end) });
        }
        let owner = match self.fate(segment) {
            Fate::Dropped => return keep(segment),
            Fate::Appended(id) => {
                self.queue.extend(id, segment.end);
                id
            }
            Fate::Replaces(id) => {
                self.queue.extend(id, segment.end);
                self.merge_right(id);
                id
            }
            Fate::Queued(parent, hand, covers) => {
                let id = self.queue.link(segment, parent, hand);
                if covers {
                    self.merge_right(id);
                } else {
                    self.last = id;
                }
                id
            }
        };
        let reach = self.queue.reach_before(self.queue.node(owner).range.start);
        keep(Range { start: segment.start, end: reach.min(segment.end) });
    }
}
