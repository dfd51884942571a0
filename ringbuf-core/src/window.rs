//! The window of a stream: which octets are held, and what a write at any offset does to them. Index arithmetic
//! only: the octets are in a [`Store`], the ranges apart from the current run in a [`FragList`]; both are passed in.
//! An in-order stream therefore costs the 24 bytes of a [`Window`] and the bytes it holds.
//!
//! ```text
//!            past ranges            current run            early ranges
//!         ┌──────┐   ┌────┐      ┌────────────────┐        ┌────┐  ┌──────┐
//!   ──────┴──────┴───┴────┴──────┴────────────────┴────────┴────┴──┴──────┴──────►  offset
//!         ▲ head             gap (skipped)        ▲ next    hole          ▲ top
//! ```
//!
//! *next* is where in-order data goes on (RCV.NXT as an offset). Ranges above it came early and wait for the hole
//! before them. When a hole is given up ([`Window::skip`]) it becomes a *gap* and the run before it a past range,
//! which stays readable by offset until the window moves past it.
//!
//! # Invariants
//! 1. `top - head <= cap`, and `top - next <= ahead <= cap`.
//! 2. No range of the fragment list touches the current run.
//! 3. Every octet of the run and of the fragment list is in the store.

mod append;

mod find;

mod outcome;

pub use outcome::{Absent, Next, Plan, Refusal, Written};

use crate::frag::FragList;
use crate::overlap::{Conflict, Resolve};
use crate::seq::{Offset, Range};
use crate::store::{NoSpace, Store};

/// Position and size of a stream's window; see the module's drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    next: Offset,
    /// Octets of the current run that are still held; they end at `next`.
    run: u32,
    cap: u32,
    /// How far above `next` octets are taken.
    ahead: u32,
}

impl Window {
    /// An empty window at offset 0 that holds at most `cap` octets. What comes early may push out all that is in order.
    pub const fn new(cap: u32) -> Self {
        Window::with_ahead(cap, cap)
    }

    /// An empty window at offset 0 that holds at most `cap` octets, of them at most `ahead` that came early. What comes
    /// early leaves the `cap - ahead` newest octets in order alone.
    pub const fn with_ahead(cap: u32, ahead: u32) -> Self {
        Window { next: Offset::ZERO, run: 0, cap, ahead: if ahead < cap { ahead } else { cap } }
    }

    /// The same limits, empty, and expecting `next`: for a stream whose earlier octets are not held.
    #[must_use]
    pub const fn restarted_at(&self, next: Offset) -> Self {
        Window { next, run: 0, cap: self.cap, ahead: self.ahead }
    }

    /// Takes back the octets in order from `next` on, for a stream whose last octets turn out not to count and that holds
    /// nothing early. Offsets at or above the end, and below the octets held, change nothing.
    pub fn retract(&mut self, next: Offset) {
        let run = self.run();
        if run.contains(next) {
            self.set_run(Range { start: run.start, end: next });
        }
    }

    /// Holds `data`, the last octets before `next`, for a stream that passed them without ([`Window::restarted_at`]): a
    /// reader was shown them where they lay, and left them.
    ///
    /// # Errors
    /// [`NoSpace`] when they find no memory, or something else is held: then nothing changes.
    pub fn hold<const N: usize, S: Store>(
        &mut self,
        frags: &FragList<N>,
        store: &mut S,
        data: &[u8],
    ) -> Result<(), NoSpace> {
        let len = data.len() as u64;
        if self.run > 0 || !frags.is_empty() || len > u64::from(self.cap) || len > self.next.0 {
            return Err(NoSpace);
        }
        let range = Range { start: Offset(self.next.0 - len), end: self.next };
        store.add(range.start, data)?;
        self.set_run(range);
        Ok(())
    }

    /// A window of `cap` octets that holds `run`: the copy that a reader on another thread makes of published figures.
    #[cfg(target_has_atomic = "64")]
    pub(crate) fn holding(run: Range, cap: u32) -> Self {
        let mut window = Window::new(cap);
        window.set_run(run);
        window
    }

    /// End of the in-order data: the offset that is expected next.
    #[inline]
    pub const fn next(&self) -> Offset {
        self.next
    }

    /// The most octets held, counted from head to top.
    #[inline]
    pub const fn cap(&self) -> u32 {
        self.cap
    }

    /// The current run: the held octets that end at [`Window::next`].
    #[inline]
    pub const fn run(&self) -> Range {
        Range { start: Offset(self.next.0 - self.run as u64), end: self.next }
    }

    /// The oldest octet held, or `next` when nothing is.
    #[inline]
    pub fn head<const N: usize>(&self, frags: &FragList<N>) -> Offset {
        let run = self.run().start;
        frags.first().map_or(run, |r| r.start.min(run))
    }

    /// One past the highest octet received.
    #[inline]
    pub fn top<const N: usize>(&self, frags: &FragList<N>) -> Offset {
        frags.last().map_or(self.next, |r| r.end.max(self.next))
    }

    /// The held ranges in ascending order, past and early ones included.
    pub fn ranges<'a, const N: usize>(
        &self,
        frags: &'a FragList<N>,
    ) -> impl Iterator<Item = Range> + use<'a, N> {
        let run = self.run();
        in_order(run, frags.as_slice())
    }

    /// The parts of `range` that are held, in ascending order.
    fn held<'a, const N: usize>(
        &self,
        frags: &'a FragList<N>,
        range: Range,
    ) -> impl Iterator<Item = Range> + use<'a, N> {
        in_order(self.run(), frags.overlapping(range))
            .map(move |r| r.intersection(range))
            .filter(|r| !r.is_empty())
    }

    /// What a write of `len` octets at `at` would do.
    pub fn plan<const N: usize>(&self, frags: &FragList<N>, at: Offset, len: usize) -> Plan {
        let segment = Range::at(at, len as u64);
        let head = self.head(frags);
        let limit = if at <= self.next { segment.end } else { self.next.saturating_add(self.ahead.into()) };
        let end = segment.end.min(limit);
        let top = if at < end { self.top(frags).max(end) } else { self.top(frags) };
        let new_head = head.max(Offset(top.0.saturating_sub(self.cap.into())));
        let range = Range { start: segment.start.max(new_head), end };
        let held = frags.overlapping(segment).iter().map(|r| r.intersection(segment).len()).sum::<u64>();
        Plan {
            range,
            new_head,
            stale: head.min(segment.end).since(segment.start),
            duplicate: held + self.run().intersection(segment).len(),
            beyond: segment.end.since(limit.max(segment.start)),
        }
    }

    /// Stores `data` at `at`; see [`Written`] for what can come of it. A `policy` that remembers segments is passed by
    /// `&mut`, always the same one for a window.
    pub fn write<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        mut policy: impl Resolve,
        at: Offset,
        data: &[u8],
    ) -> Written {
        if at == self.next && self.has_room(frags, data.len()) {
            match frags.above(at) {
                Some(early) if early.start < at.saturating_add(data.len() as u64) => {}
                Some(early) if early.start.since(at) == data.len() as u64 => {
                    return self.append_and_join(frags, store, &mut policy, data);
                }
                _ => return self.append(store, data),
            }
        }
        if self.is_above_all(frags, Range::at(at, data.len() as u64)) {
            return self.put_above_all(frags, store, &mut policy, at, data);
        }
        let plan = self.plan(frags, at, data.len());
        let mut done = Written { stale: plan.stale, refused: plan.beyond, ..Written::default() };
        if plan.beyond > 0 {
            done.refusal = Some(Refusal::BeyondWindow);
        }
        let before = self.next;
        done.overrun = self.evict(frags, store, plan.new_head);
        if plan.range.is_empty() {
            done.advanced = self.next.since(before); // a ring without room is passed by all
            return done;
        }
        let data = sub_slice(data, at, plan.range);
        if let Err(refusal) = self.place(frags, store, &mut policy, &plan, data, &mut done) {
            done.refused += plan.range.len();
            done.refusal = Some(refusal);
        }
        done.advanced = self.next.since(before);
        self.check(frags);
        done
    }

    /// Stores the part of a segment that can be stored.
    fn place<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        policy: &mut impl Resolve,
        plan: &Plan,
        data: &[u8],
        done: &mut Written,
    ) -> Result<(), Refusal> {
        let range = plan.range;
        done.overrun += self.make_room(frags, store, policy, range)?;
        if plan.duplicate == 0 {
            // Nothing to compare or to choose, as for most segments.
            policy.resolve(self.next, range, &mut |_| ());
            store.put(range.start, data);
            done.fresh = range.len();
        } else {
            done.conflict = self.conflict(frags, store, range.start, data);
            done.fresh = self.put_fresh(frags, store, range, data);
            done.duplicate = range.len() - done.fresh;
            done.replaced = self.put_duplicate(frags, store, policy, range, data);
        }
        self.note(frags, range);
        Ok(())
    }

    /// Sees to it that a segment finds a place in every list, and memory; returns how many octets had to go.
    fn make_room<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        policy: &mut impl Resolve,
        range: Range,
    ) -> Result<u64, Refusal> {
        let mut given_up = 0;
        if !self.joins_run(range) && !frags.can_insert(range) {
            // A past range makes room: what waits is worth more than what was passed.
            given_up = self.evict_past(frags, store).ok_or(Refusal::TooManyRanges)?;
        }
        if !policy.admit(self.next, range) {
            return Err(Refusal::TooManyRanges);
        }
        store.reserve(range).map_err(|_| Refusal::NoSpace)?;
        Ok(given_up)
    }

    /// Enters a stored range into the lists.
    fn note<const N: usize>(&mut self, frags: &mut FragList<N>, range: Range) {
        if self.joins_run(range) {
            self.set_run(frags.absorb(self.run().hull(range)));
        } else {
            // There is room. What it merges with does not touch the run either (invariant 2).
            let _ = frags.insert(range);
        }
    }

    fn joins_run(&self, range: Range) -> bool {
        range.start <= self.next && range.end >= self.run().start
    }

    /// Whether `len` octets at `at` would find a place among the ranges.
    pub fn has_place_for<const N: usize>(&self, frags: &FragList<N>, at: Offset, len: u64) -> bool {
        let range = Range::at(at, len);
        self.joins_run(range) || frags.can_insert(range) || self.oldest_past(frags).is_some()
    }

    /// Whether what is in order stays readable when the hole behind it is given up, for which it needs a place among the
    /// ranges.
    pub fn survives_skip<const N: usize>(&self, frags: &FragList<N>) -> bool {
        frags.can_insert(self.run()) || self.oldest_past(frags).is_some()
    }

    fn oldest_past<const N: usize>(&self, frags: &FragList<N>) -> Option<Range> {
        frags.first().filter(|r| r.end < self.run().start)
    }

    /// Forgets the oldest range before the run; returns its octets.
    fn evict_past<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
    ) -> Option<u64> {
        let oldest = self.oldest_past(frags)?;
        Some(self.evict(frags, store, oldest.end))
    }

    /// Stores the octets for which nothing is held; returns how many.
    fn put_fresh<const N: usize, S: Store>(
        &self,
        frags: &FragList<N>,
        store: &mut S,
        range: Range,
        data: &[u8],
    ) -> u64 {
        let (mut free_from, mut fresh) = (range.start, 0);
        let end = Range { start: range.end, end: range.end };
        for held in self.held(frags, range).chain([end]) {
            let free = Range { start: free_from, end: held.start };
            store.put(free.start, sub_slice(data, range.start, free));
            fresh += free.len();
            free_from = held.end;
        }
        fresh
    }

    /// Tells the policy of the segment, and stores the octets that it does not keep the held ones for; returns how
    /// many were held.
    fn put_duplicate<const N: usize, S: Store>(
        &self,
        frags: &FragList<N>,
        store: &mut S,
        policy: &mut impl Resolve,
        range: Range,
        data: &[u8],
    ) -> u64 {
        let (mut take_from, mut replaced) = (range.start, 0);
        let mut take = |take: Range| {
            for held in self.held(frags, take) {
                store.put(held.start, sub_slice(data, range.start, held));
                replaced += held.len();
            }
        };
        policy.resolve(self.next, range, &mut |keep| {
            take(Range { start: take_from, end: keep.start });
            take_from = take_from.max(keep.end);
        });
        take(Range { start: take_from, end: range.end });
        replaced
    }

    /// Where `data`, meant for `at`, differs from octets that are held. Reads only.
    pub fn conflict<const N: usize, S: Store>(
        &self,
        frags: &FragList<N>,
        store: &S,
        at: Offset,
        data: &[u8],
    ) -> Option<Conflict> {
        let segment = Range::at(at, data.len() as u64);
        let mut found: Option<Range> = None;
        for held in self.held(frags, segment) {
            let mut place = held.start;
            for old in store.pieces(held) {
                let piece = Range::at(place, old.len() as u64);
                if let Some(d) = difference(old, sub_slice(data, at, piece)) {
                    let d = Range::new(piece.start.0 + d.start as u64, piece.start.0 + d.end as u64);
                    found = Some(found.map_or(d, |f| f.hull(d)));
                }
                place = piece.end;
            }
        }
        found.map(|range| Conflict { range })
    }

    /// Forgets everything below `offset`; offsets above `next` count as `next`. Returns how many held octets were
    /// given up.
    pub fn advance<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        offset: Offset,
    ) -> u64 {
        let (head, run) = (offset.min(self.next), self.run());
        if frags.is_empty() && head > run.start {
            // The common case: nothing but the run, and part of it goes.
            store.discard_below(head);
            self.set_run(Range { start: head, end: run.end });
            return head.since(run.start);
        }
        self.evict(frags, store, head)
    }

    fn evict<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        head: Offset,
    ) -> u64 {
        let mut lost = 0;
        if head > self.head(frags) {
            lost = frags.trim_below(head);
            store.discard_below(head);
        }
        let run = self.run();
        if head > run.start {
            // In-order octets that never fitted count as lost, too: `next` passes them.
            lost += head.since(run.start);
            self.set_run(frags.absorb(Range { start: head, end: run.end.max(head) }));
        }
        lost
    }

    /// Gives up the hole before `to`: the stream goes on there. `to` is cut to the first early range; returns the
    /// gap, or `None` when there is no hole before `to`.
    ///
    /// The run before the gap stays readable by offset while the window covers it.
    pub fn skip<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        to: Offset,
    ) -> Option<Range> {
        let early = frags.above(self.next);
        let gap = Range { start: self.next, end: early.map_or(to, |r| r.start.min(to)) };
        if gap.is_empty() {
            return None;
        }
        if !frags.can_insert(self.run()) && self.evict_past(frags, store).is_none() {
            self.evict(frags, store, self.next); // the run itself has to go
        }
        let _ = frags.insert(self.run());
        self.set_run(frags.absorb(Range { start: gap.end, end: gap.end }));
        let top = self.top(frags);
        self.evict(frags, store, Offset(top.0.saturating_sub(self.cap.into())));
        self.check(frags);
        Some(gap)
    }

    /// Takes the octet at `offset` out of the current run: a hole of one octet is left, and the octets before it become
    /// a past range. Returns how many held octets had to go for it, or `None` when it is not in the run, or its removal
    /// finds no place: then nothing changes.
    pub fn exclude<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        offset: Offset,
    ) -> Option<u64> {
        let run = self.run();
        if !run.contains(offset) {
            return None;
        }
        self.set_run(Range { start: offset.saturating_add(1), end: run.end });
        let lost = self.leave_behind(frags, store, Range { start: run.start, end: offset });
        if lost.is_none() {
            self.set_run(run);
        }
        self.check(frags);
        lost
    }

    /// Makes what was in order a past range, which stays readable as long as there is room for it. Where the list is full
    /// the oldest past range makes room, or else the furthest early one: never what is in order and unread. Returns how
    /// many octets were given up; `None` when there is no place.
    fn leave_behind<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        part: Range,
    ) -> Option<u64> {
        let mut lost = 0;
        if !part.is_empty() && !frags.can_insert(part) {
            if let Some(oldest) = frags.first().filter(|r| r.end < part.start) {
                lost = self.evict(frags, store, oldest.end);
            } else {
                let early = frags.last().filter(|r| r.start > self.next)?;
                lost = frags.trim_above(early.start);
            }
        }
        let _ = frags.insert(part);
        Some(lost)
    }

    /// Changes the limits of [`Window::with_ahead`]. Where less fits, the oldest octets go, but none above `next` for
    /// them; early octets too far ahead go, too. Returns how many held octets were given up.
    ///
    /// The store must have room for `cap` octets by then.
    pub fn resize<const N: usize, S: Store>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        cap: u32,
        ahead: u32,
    ) -> u64 {
        (self.cap, self.ahead) = (cap, ahead.min(cap));
        let beyond = frags.trim_above(self.next.saturating_add(self.ahead.into()));
        let head = Offset(self.top(frags).0.saturating_sub(cap.into()));
        let lost = beyond + self.evict(frags, store, head);
        self.check(frags);
        lost
    }

    /// Asserts the invariants (debug builds).
    pub fn check<const N: usize>(&self, frags: &FragList<N>) {
        frags.check();
        let run = self.run();
        debug_assert!(self.top(frags).since(self.head(frags)) <= self.cap.into(), "invariant 1");
        debug_assert!(self.top(frags).since(self.next) <= self.ahead.into(), "invariant 1");
        debug_assert!(frags.as_slice().iter().all(|r| r.end < run.start || r.start > run.end), "invariant 2");
    }

    fn set_run(&mut self, run: Range) {
        self.next = run.end;
        // Invariant 1 bounds the run by `cap`, which is 32 bits.
        self.run = u32::try_from(run.len()).unwrap_or(u32::MAX);
    }
}

/// `run`, unless it is empty, among `ranges`.
fn in_order(run: Range, ranges: &[Range]) -> impl Iterator<Item = Range> + use<'_> {
    let (past, early) = ranges.split_at(ranges.partition_point(|r| r.end < run.start));
    past.iter().copied().chain((!run.is_empty()).then_some(run)).chain(early.iter().copied())
}

/// The octets of `data` (which starts at `at`) that fall into `range`; empty when there are none.
fn sub_slice(data: &[u8], at: Offset, range: Range) -> &[u8] {
    let index = |o: Offset| usize::try_from(o.since(at)).unwrap_or(usize::MAX).min(data.len());
    data.get(index(range.start)..index(range.end)).unwrap_or_default()
}

/// From the first differing octet to one past the last; `None` when equal.
fn difference(a: &[u8], b: &[u8]) -> Option<core::ops::Range<usize>> {
    if a == b {
        return None;
    }
    let pairs = || a.iter().zip(b);
    let start = pairs().position(|(x, y)| x != y)?;
    let end = a.len().min(b.len()) - pairs().rev().position(|(x, y)| x != y)?;
    Some(start..end)
}

#[cfg(test)]
mod tests;
