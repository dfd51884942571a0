//! The octets that one side receives: where the stream stands, what the receiver has acknowledged, where it ends.

use crate::report::Urgent;
use crate::segment::Segment;
use ringbuf_core::overlap::Resolve;
use ringbuf_core::store::{Flat, NoSpace};
use ringbuf_core::window::{Window, Written};
use ringbuf_core::{FragList, Offset, Overlap, Range, SeqNum, Store};

/// Memory of one stream: ranges out of order, the octets, and which copy of an octet is kept.
#[derive(Debug)]
pub struct Buffer<'a, S, R, const N: usize> {
    /// Ranges apart from the in-order run.
    pub frags: &'a mut FragList<N>,
    /// The octets.
    pub store: &'a mut S,
    /// The overlap policy; one that remembers segments is passed by `&mut`, always the same one for a stream.
    pub policy: R,
}

/// A buffer that no stream has: for calls without memory.
pub const NO_BUFFER: Option<Buffer<'static, Flat<[u8; 0]>, Overlap, 0>> = None;

/// What becomes of octets that their sender calls urgent (RFC 9293, 3.8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum UrgentPolicy {
    /// They stay in the stream, and their place is told: an application with `SO_OOBINLINE`.
    #[default]
    Inline,
    /// The octet that the pointer means is taken out of the stream when it is in order, and told: what an application
    /// of Linux reads that does not ask for urgent data. Of two pointers at once the later one counts.
    OutOfBand,
    /// Segments with the URG flag are refused: for boxes that drop what their monitor refuses.
    Drop,
}

/// One receive stream. It holds no octets: they are in a [`Buffer`] that is passed in, or nowhere when only the
/// position matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    pub(crate) window: Window,
    /// Highest offset that the receiver acknowledged.
    pub(crate) acked: Offset,
    /// Sequence number of offset 0.
    pub(crate) base: SeqNum,
    /// How far the advertised window reaches beyond `acked`, octets. It never shrinks from the right.
    pub(crate) ahead: u32,
    /// The widest window ever advertised, octets.
    pub(crate) widest: u32,
    /// Sequence number of the octet that was called urgent last.
    pub(crate) urgent: SeqNum,
    /// `base` is known.
    pub(crate) placed: bool,
    /// `base` was taken from the first segment seen, not from a SYN.
    pub(crate) midstream: bool,
    /// `base` is what an ACK said; the SYN/ACK before it was not seen.
    pub(crate) guessed: bool,
    /// The receiver acknowledged something.
    pub(crate) has_acked: bool,
    /// The urgent octet has not come yet.
    pub(crate) urgent_pending: bool,
    /// The urgent octet was taken out of the stream.
    pub(crate) urgent_removed: bool,
    /// Octets wait behind a hole.
    pub(crate) holds_early: bool,
    pub(crate) urgent_policy: UrgentPolicy,
}

/// What an acknowledgement said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    /// Octets acknowledged for the first time.
    pub(crate) fresh: u64,
    /// The window's right edge moved left.
    pub(crate) shrunk: bool,
}

impl Stream {
    /// A stream of which nothing is known, with an empty window like `window`.
    pub const fn new(window: Window) -> Self {
        Stream {
            window: window.restarted_at(Offset::ZERO),
            acked: Offset::ZERO,
            base: SeqNum(0),
            ahead: 0,
            widest: 0,
            urgent: SeqNum(0),
            placed: false,
            midstream: false,
            guessed: false,
            has_acked: false,
            urgent_pending: false,
            urgent_removed: false,
            holds_early: false,
            urgent_policy: UrgentPolicy::Inline,
        }
    }

    /// Nothing that was received is held any more. What came early still waits, at the receiver.
    pub(crate) fn shed(&mut self) {
        self.window = self.window.restarted_at(self.window.next());
    }

    /// The window over the octets.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The next offset expected in order.
    pub fn next(&self) -> Offset {
        self.window.next()
    }

    /// Sequence number of offset 0: ISN + 1. `None` before it is known.
    pub fn base(&self) -> Option<SeqNum> {
        self.placed.then_some(self.base)
    }

    /// Whether offset 0 is the first segment that was seen instead of the first one sent.
    pub fn is_midstream(&self) -> bool {
        self.midstream
    }

    /// Highest offset that the receiver acknowledged; includes one for the FIN.
    pub fn acked(&self) -> Offset {
        self.acked
    }

    /// Whether the receiver was ever heard to acknowledge something.
    pub fn is_acknowledged(&self) -> bool {
        self.has_acked
    }

    /// Whether [`Stream::missing`] is worth asking: nearly always everything acknowledged was seen.
    #[inline]
    pub fn may_have_gap(&self) -> bool {
        self.placed && if self.has_acked { self.acked > self.window.next() } else { self.holds_early }
    }

    /// The last `count` octets before `next`.
    pub(crate) fn last_octets(&self, count: u64) -> Range {
        let end = self.next();
        Range { start: Offset(end.0.saturating_sub(count)), end }
    }

    /// What the receiver expects next, by the octets seen and by what it acknowledged: RCV.NXT as an offset.
    pub fn rcv_nxt(&self) -> Offset {
        self.window.next().max(self.acked)
    }

    /// The signed offset of a sequence number.
    pub fn position(&self, seq: SeqNum) -> i64 {
        seq.position(self.base, self.rcv_nxt())
    }

    /// One past the last offset that the receiver has room for; `None` while it advertised nothing.
    pub fn edge(&self) -> Option<Offset> {
        self.has_acked.then(|| self.acked.saturating_add(self.ahead.into()))
    }

    /// Whether the stream has its place for good, and no octet in it is about to be urgent.
    pub(crate) fn is_steady(&self) -> bool {
        self.placed && !self.guessed && !self.urgent_pending
    }

    /// Whether payload is the next in order, and fits into the advertised window.
    #[inline]
    pub(crate) fn is_next(&self, segment: &Segment<'_>) -> bool {
        let next = self.next();
        self.acked <= next
            && next.seq(self.base) == segment.seq
            && self.edge().is_none_or(|edge| next.saturating_add(segment.payload_len.into()) <= edge)
    }

    /// Whether octets wait behind a hole.
    pub fn holds_early(&self) -> bool {
        self.holds_early
    }

    /// The widest window that the receiver ever advertised, octets.
    pub fn widest(&self) -> u32 {
        self.widest
    }

    /// Octets that were acknowledged but never seen: the hole at `next`, as far as it is acknowledged. When nothing
    /// was ever heard of the receiver (a capture of one direction), the whole hole before the next octets seen. `end`
    /// is where the stream ends (FIN), which is acknowledged like an octet but is none.
    pub fn missing<const N: usize>(&self, frags: Option<&FragList<N>>, end: Option<Offset>) -> Option<Range> {
        let early = frags.and_then(|f| f.as_slice().iter().map(|r| r.start).find(|s| *s > self.next()));
        let told = if self.has_acked { self.acked } else { early.unwrap_or(self.acked) };
        let known = told.min(end.unwrap_or(told)).min(early.unwrap_or(told));
        let hole = Range { start: self.next(), end: known };
        (!hole.is_empty()).then_some(hole)
    }

    /// Sets offset 0 from a SYN.
    pub(crate) fn place(&mut self, base: SeqNum) {
        *self = Stream {
            base,
            placed: true,
            ahead: self.ahead,
            widest: self.widest,
            urgent_policy: self.urgent_policy,
            ..Stream::new(self.window)
        };
    }

    /// Sets offset 0 from the first payload seen.
    pub(crate) fn place_midstream(&mut self, base: SeqNum) {
        self.place(base);
        self.midstream = true;
    }

    /// The receiver advertised a window before it acknowledged anything (its SYN).
    pub(crate) fn advertise(&mut self, window: u32) {
        self.widest = self.widest.max(window);
        self.ahead = self.ahead.max(window);
    }

    /// The receiver acknowledged everything below `ack` and advertised `window` octets beyond, in steps of `step`.
    #[inline]
    pub(crate) fn acknowledge(&mut self, ack: SeqNum, window: u32, step: u32) -> Acknowledged {
        self.widest = self.widest.max(window);
        // Before the stream begins, or before what was seen of it, there is nothing to acknowledge.
        let Some(ack) = u64::try_from(self.position(ack)).ok().map(Offset).filter(|_| self.placed) else {
            return Acknowledged::default();
        };
        let mut told = Acknowledged::default();
        if ack >= self.acked {
            told.fresh = ack.since(self.acked);
            let left = self.ahead.saturating_sub(u32::try_from(told.fresh).unwrap_or(u32::MAX));
            told.shrunk = self.has_acked && u64::from(window) + u64::from(step) <= left.into();
            self.ahead = left.max(window);
            self.acked = ack;
        }
        self.has_acked = true;
        told
    }

    /// Stores payload that is the next in order, if nothing is held apart from what is in order and nothing gives way for it;
    /// otherwise nothing has changed, and [`Stream::store`] says what becomes of it. Returns how many octets it has.
    #[inline]
    pub(crate) fn store_next<S: Store, R, const N: usize>(
        &mut self,
        segment: &Segment<'_>,
        buffer: Option<&mut Buffer<'_, S, R, N>>,
    ) -> Option<u64> {
        let (buffer, payload) = (buffer.filter(|_| !self.urgent_removed)?, segment.captured());
        let stored = self.window.try_append(buffer.frags, buffer.store, payload);
        self.holds_early &= !stored;
        stored.then_some(payload.len() as u64)
    }

    /// Stores payload, or only follows its position when there is no buffer. Returns what became of it, and how many of
    /// the octets stored came too late: behind them the stream had gone on.
    pub(crate) fn store<S: Store, R: Resolve, const N: usize>(
        &mut self,
        segment: &Segment<'_>,
        buffer: Option<&mut Buffer<'_, S, R, N>>,
    ) -> (Written, u64) {
        let at = self.position(segment.data_seq());
        // After 2^31 octets its place means another octet.
        self.urgent_removed = self.urgent_removed && self.urgent_offset() < self.next();
        let Some(buffer) = buffer else { return (self.follow(at, segment.payload_len), 0) };
        // Octets before the stream (a SYN's place, or older) are trimmed.
        let before = usize::try_from(-at.min(0)).unwrap_or(usize::MAX).min(segment.captured().len());
        let payload = segment.captured().get(before..).unwrap_or_default();
        let offset = Offset(at.max(0).cast_unsigned());
        let late = self.fresh_below_next(buffer.frags, offset, payload.len());
        let mut done = self.window.write(buffer.frags, buffer.store, &mut buffer.policy, offset, payload);
        done.stale += before as u64;
        if late > 0 && self.urgent_removed {
            // What was taken out stays out.
            let lost = self.window.exclude(buffer.frags, buffer.store, self.urgent_offset());
            done.overrun += lost.unwrap_or(0);
        }
        self.holds_early = buffer.frags.above(self.next()).is_some();
        (done, late)
    }

    /// Of `len` octets at `at`, those below `next` that are not held but could be: they fill a skipped gap.
    fn fresh_below_next<const N: usize>(&self, frags: &FragList<N>, at: Offset, len: usize) -> u64 {
        if frags.is_empty() || at >= self.next() {
            return 0; // below `next` there is nothing but the run
        }
        let len = self.next().since(at).min(len as u64);
        let plan = self.window.plan(frags, at, usize::try_from(len).unwrap_or(usize::MAX));
        plan.range.len().saturating_sub(plan.duplicate)
    }

    /// Without a buffer the stream stands where in-order payload ends or the receiver's acknowledgement is.
    fn follow(&mut self, at: i64, len: u32) -> Written {
        let end = at.saturating_add(len.into()).max(0).cast_unsigned();
        let next = self.rcv_nxt().0;
        if at.max(0).cast_unsigned() > next || end <= next {
            self.holds_early |= end > next;
            return Written::default();
        }
        self.holds_early = false;
        self.pass_to(Offset(end));
        Written { advanced: end - next, fresh: end - next, ..Written::default() }
    }

    fn urgent_offset(&self) -> Offset {
        Offset(self.position(self.urgent).max(0).cast_unsigned())
    }

    /// Takes the urgent pointer of a segment, by the rules of Linux: what is in order already cannot become urgent, and
    /// of two pointers the later one counts. Returns whether the octet of an earlier one became an ordinary one.
    pub(crate) fn point_urgent(&mut self, segment: &Segment<'_>) -> bool {
        // RFC 9293, 3.8.5: the pointer is meant to name the last urgent octet, in use it names the one behind it.
        let place = segment.seq + u32::from(segment.urgent.saturating_sub(1));
        let moved = self.urgent_pending && self.urgent.lt(place);
        let again = self.urgent_pending && !moved;
        if !self.placed || again || self.position(place) < self.next().0.cast_signed() {
            return false;
        }
        (self.urgent, self.urgent_pending, self.urgent_removed) = (place, true, false);
        moved
    }

    /// The urgent octet, once it is in order; it may be taken out of the stream. What has to go for that is added to
    /// `overrun`.
    pub(crate) fn take_urgent<S: Store, R, const N: usize>(
        &mut self,
        buffer: Option<&mut Buffer<'_, S, R, N>>,
        overrun: &mut u64,
    ) -> Option<Urgent> {
        if !self.urgent_pending || self.urgent_offset() >= self.next() {
            return None;
        }
        self.urgent_pending = false;
        let offset = self.urgent_offset();
        let mut urgent = Urgent { offset, octet: None, removed: false };
        if let Some(buffer) = buffer.filter(|_| self.window.run().contains(offset)) {
            urgent.octet = buffer.store.piece(Range::at(offset, 1)).first().copied();
            let removes = self.urgent_policy != UrgentPolicy::Inline;
            let lost = removes.then(|| self.window.exclude(buffer.frags, buffer.store, offset)).flatten();
            *overrun += lost.unwrap_or(0);
            urgent.removed = lost.is_some();
            self.holds_early = buffer.frags.above(self.next()).is_some();
        }
        self.urgent_removed = urgent.removed;
        if !urgent.removed {
            self.urgent = SeqNum(0); // its place means nothing any more
        }
        Some(urgent)
    }

    /// Holds the last octets before `next`, which were passed without a buffer.
    pub(crate) fn hold<S: Store, R, const N: usize>(
        &mut self,
        data: &[u8],
        buffer: Buffer<'_, S, R, N>,
    ) -> Result<(), NoSpace> {
        self.window.hold(buffer.frags, buffer.store, data)
    }

    /// Forgets the held octets below `offset`, and returns how many; the stream's position does not change.
    pub(crate) fn release<S: Store, const N: usize>(
        &mut self,
        frags: &mut FragList<N>,
        store: &mut S,
        offset: Offset,
    ) -> u64 {
        self.window.advance(frags, store, offset)
    }

    /// Moves `next` without octets: nothing is held.
    pub(crate) fn pass_to(&mut self, next: Offset) {
        self.window = self.window.restarted_at(next);
    }

    /// Takes back what is in order from `next` on.
    pub(crate) fn retract(&mut self, next: Offset) {
        self.window.retract(next);
    }

    /// The stream ends at `end`: what lies behind is forgotten. Returns how far `next` moved back.
    pub(crate) fn cut<S, R, const N: usize>(
        &mut self,
        end: Offset,
        buffer: Option<&mut Buffer<'_, S, R, N>>,
    ) -> u64 {
        let back = self.next().since(end);
        self.retract(end);
        if let Some(buffer) = buffer {
            buffer.frags.trim_above(end);
        }
        self.holds_early = false;
        back
    }

    /// Goes on behind the acknowledged hole; `None` when there is none.
    pub(crate) fn skip<S: Store, R, const N: usize>(
        &mut self,
        end: Option<Offset>,
        buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Option<Range> {
        match buffer {
            Some(b) => {
                let hole = self.missing(Some(b.frags), end)?;
                self.window.skip(b.frags, b.store, hole.end)
            }
            None => {
                let hole = self.missing::<0>(None, end)?;
                self.pass_to(hole.end);
                Some(hole)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(base: u32) -> Stream {
        let mut s = Stream::new(Window::new(64));
        s.place(SeqNum(base));
        s
    }

    #[test]
    fn acknowledgements_lead_offsets_over_jumps_of_gigabytes() {
        let mut s = placed(0xffff_ff00);
        let mut at = 0_u64;
        while at < 3 << 33 {
            at += 0x7000_0000;
            let _ = s.acknowledge(Offset(at).seq(SeqNum(0xffff_ff00)), 1000, 1);
            assert_eq!((s.acked(), s.edge()), (Offset(at), Some(Offset(at + 1000))));
        }
        assert_eq!(s.position(Offset(at).seq(SeqNum(0xffff_ff00))), at.cast_signed());
    }

    #[test]
    fn the_right_edge_never_moves_left() {
        let mut s = placed(1);
        let _ = s.acknowledge(SeqNum(1), 100, 1);
        let _ = s.acknowledge(SeqNum(11), 20, 1);
        assert_eq!(s.edge(), Some(Offset(100)));
        let _ = s.acknowledge(SeqNum(1), 5000, 1); // an old one says nothing
        assert_eq!((s.edge(), s.acked()), (Some(Offset(100)), Offset(10)));
        let _ = s.acknowledge(SeqNum(101), 20, 1);
        assert_eq!(s.edge(), Some(Offset(120)));
    }

    #[test]
    fn an_acknowledged_hole_is_missing_up_to_what_was_seen_or_the_end() {
        let mut s = placed(0);
        let (mut frags, mut ring) = (FragList::<4>::new(), Flat::new([0_u8; 64]));
        let segment = Segment::build(10, 0, crate::Flags::ACK, b"later");
        let _ = s.store(
            &segment,
            Some(&mut Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First }),
        );
        let unheard = s.missing(Some(&frags), None);
        assert_eq!(unheard, Some(Range::new(0, 10)), "a receiver that was never heard cannot acknowledge");
        let _ = s.acknowledge(SeqNum(0), 9, 1);
        assert_eq!(s.missing(Some(&frags), None), None, "nothing is acknowledged");
        let _ = s.acknowledge(SeqNum(4), 9, 1);
        assert_eq!(s.missing(Some(&frags), None), Some(Range::new(0, 4)));
        let _ = s.acknowledge(SeqNum(15), 9, 1);
        assert_eq!(s.missing(Some(&frags), None), Some(Range::new(0, 10)));
        assert_eq!(s.missing(Some(&frags), Some(Offset(6))), Some(Range::new(0, 6)));
        let gap = s.skip(None, Some(Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First }));
        assert_eq!((gap, s.next()), (Some(Range::new(0, 10)), Offset(15)));
    }

    #[test]
    fn without_a_buffer_positions_are_followed() {
        let mut s = placed(0);
        let segment = |seq, data| Segment::build(seq, 0, crate::Flags::ACK, data);
        let mut none = NO_BUFFER;
        assert_eq!(s.store(&segment(0, b"abc"), none.as_mut()).0.advanced, 3);
        assert_eq!(s.store(&segment(10, b"abc"), none.as_mut()).0.advanced, 0);
        let _ = s.acknowledge(SeqNum(10), 100, 1);
        assert_eq!(s.rcv_nxt(), Offset(10));
        assert_eq!(s.store(&segment(8, b"abc"), none.as_mut()).0.advanced, 1);
        assert_eq!(s.next(), Offset(11));
    }

    #[test]
    fn what_was_passed_without_a_buffer_can_be_held_afterwards() {
        let mut s = placed(0);
        let (segment, mut none) = (Segment::build(0, 0, crate::Flags::ACK, b"abcdef"), NO_BUFFER);
        assert_eq!(s.store(&segment, none.as_mut()).0.fresh, 6);
        let (mut frags, mut ring) = (FragList::<4>::new(), Flat::new([0_u8; 64]));
        let held = s.hold(b"def", Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First });
        assert_eq!((held, s.window().run(), s.next()), (Ok(()), Range::new(3, 6), Offset(6)));
        assert_eq!(ring.piece(Range::new(3, 6)), b"def");
    }
}
