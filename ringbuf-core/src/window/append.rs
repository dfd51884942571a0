//! What nearly all octets are: the next in order, or behind everything that waits. There is nothing to plan then.

use super::{Refusal, Window, Written};
use crate::frag::FragList;
use crate::overlap::Resolve;
use crate::seq::{Offset, Range};
use crate::store::Store;

impl Window {
    /// Stores the next octets in order, if there is nothing but the run and nothing gives way: the same as [`Window::write`],
    /// which is to be asked otherwise. Nothing is held then that was not before.
    #[inline]
    pub fn try_append<const N: usize, S: Store>(
        &mut self,
        frags: &FragList<N>,
        store: &mut S,
        data: &[u8],
    ) -> bool {
        let run = Range { start: self.run().start, end: self.next.saturating_add(data.len() as u64) };
        let fits = frags.is_empty() && run.len() <= u64::from(self.cap);
        let stored = fits && store.add(self.next, data).is_ok();
        if stored {
            self.set_run(run);
        }
        stored
    }

    /// Whether the next `len` octets in order make nothing but the run give way.
    #[inline]
    pub(super) fn has_room<const N: usize>(&self, frags: &FragList<N>, len: usize) -> bool {
        if frags.is_empty() {
            return len as u64 <= u64::from(self.cap);
        }
        let end = self.next.saturating_add(len as u64);
        self.top(frags).max(end).since(self.head(frags)) <= u64::from(self.cap)
    }

    /// The common case: the next octets in order, nothing else near, no more of them than fit.
    #[inline]
    pub(super) fn append<S: Store>(&mut self, store: &mut S, data: &[u8]) -> Written {
        let (run, range) = (self.run(), Range::at(self.next, data.len() as u64));
        let start = run.start.max(Offset(range.end.0.saturating_sub(self.cap.into())));
        let overrun = start.since(run.start);
        if overrun > 0 {
            store.discard_below(start);
            self.set_run(Range { start, end: run.end });
        }
        if store.add(range.start, data).is_err() {
            return Written {
                refused: range.len(),
                overrun,
                refusal: Some(Refusal::NoSpace),
                ..Written::default()
            };
        }
        self.set_run(Range { start, end: range.end });
        Written { fresh: range.len(), advanced: range.len(), overrun, ..Written::default() }
    }

    /// The next octets in order, just before a range that waits for them.
    pub(super) fn append_and_join<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        policy: &mut impl Resolve,
        data: &[u8],
    ) -> Written {
        let range = Range::at(self.next, data.len() as u64);
        if !policy.admit(self.next, range) {
            let refusal = Some(Refusal::TooManyRanges);
            return Written { refused: range.len(), refusal, ..Written::default() };
        }
        let mut done = self.append(store, data);
        if done.refusal.is_none() {
            policy.resolve(range.start, range, &mut |_| ());
            self.set_run(frags.absorb(self.run()));
            done.advanced = self.next.since(range.start);
        }
        self.check(frags);
        done
    }

    /// Whether a range lies behind a hole and everything held, in the window, makes nothing give way, and finds a place.
    #[inline]
    pub(super) fn is_above_all<const N: usize>(&self, frags: &FragList<N>, range: Range) -> bool {
        let (last, end) = (frags.last(), self.next.saturating_add(self.ahead.into()));
        range.start > self.next
            && !range.is_empty()
            && range.end <= end
            && last.is_none_or(|last| last.end <= range.start)
            && (!frags.is_full() || last.is_some_and(|last| last.end == range.start))
            && range.end.since(self.head(frags)) <= u64::from(self.cap)
    }

    /// What waits behind a hole grows: nothing to compare or to choose.
    #[inline]
    pub(super) fn put_above_all<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        policy: &mut impl Resolve,
        at: Offset,
        data: &[u8],
    ) -> Written {
        let range = Range::at(at, data.len() as u64);
        let refusal = if !policy.admit(self.next, range) {
            Refusal::TooManyRanges
        } else if store.add(at, data).is_err() {
            Refusal::NoSpace
        } else {
            policy.resolve(self.next, range, &mut |_| ());
            let _ = frags.insert(range); // there is room
            self.check(frags);
            return Written { fresh: range.len(), ..Written::default() };
        };
        Written { refused: range.len(), refusal: Some(refusal), ..Written::default() }
    }
}
