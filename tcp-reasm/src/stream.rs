//! The octets that one side receives: where the stream stands, what the receiver has acknowledged, where it ends.

use crate::segment::Segment;
use ringbuf_core::overlap::Resolve;
use ringbuf_core::store::Flat;
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

/// One receive stream. It holds no octets: they are in a [`Buffer`] that is passed in, or nowhere when only the
/// position matters.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    window: Window,
    /// Highest offset that the receiver acknowledged.
    acked: Offset,
    /// Sequence number of offset 0.
    base: SeqNum,
    /// How far the advertised window reaches beyond `acked`, octets. It never shrinks from the right.
    ahead: u32,
    /// The widest window ever advertised, octets.
    widest: u32,
    /// `base` is known.
    placed: bool,
    /// `base` was taken from the first segment seen, not from a SYN.
    midstream: bool,
    /// The receiver acknowledged something.
    has_acked: bool,
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
            placed: false,
            midstream: false,
            has_acked: false,
        }
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
        self.placed && (self.acked > self.window.next() || !self.has_acked)
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
        let fresh = Stream::new(self.window);
        *self = Stream { base, placed: true, ahead: self.ahead, widest: self.widest, ..fresh };
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

    /// The receiver acknowledged everything below `ack` and advertised `window` octets beyond.
    pub(crate) fn acknowledge(&mut self, ack: SeqNum, window: u32) {
        self.widest = self.widest.max(window);
        // Before the stream begins, or before what was seen of it, there is nothing to acknowledge.
        let Some(ack) = u64::try_from(self.position(ack)).ok().map(Offset).filter(|_| self.placed) else {
            return;
        };
        if ack >= self.acked {
            let moved = u32::try_from(ack.since(self.acked)).unwrap_or(u32::MAX);
            self.ahead = self.ahead.saturating_sub(moved).max(window);
            self.acked = ack;
        }
        self.has_acked = true;
    }

    /// Stores payload, or only follows its position when there is no buffer.
    pub(crate) fn store<S: Store, R: Resolve, const N: usize>(
        &mut self,
        segment: &Segment<'_>,
        buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Written {
        let at = self.position(segment.data_seq());
        let Some(buffer) = buffer else { return self.follow(at, segment.payload_len) };
        // Octets before the stream (a SYN's place, or older) are trimmed.
        let before = usize::try_from(-at.min(0)).unwrap_or(usize::MAX).min(segment.payload.len());
        let payload = segment.payload.get(before..).unwrap_or_default();
        let offset = Offset(at.max(0).cast_unsigned());
        let mut done = self.window.write(buffer.frags, buffer.store, buffer.policy, offset, payload);
        done.stale += before as u64;
        done
    }

    /// Without a buffer the stream stands where in-order payload ends or the receiver's acknowledgement is.
    fn follow(&mut self, at: i64, len: u32) -> Written {
        let end = at.saturating_add(len.into()).max(0).cast_unsigned();
        let next = self.rcv_nxt().0;
        if at.max(0).cast_unsigned() > next || end <= next {
            return Written::default();
        }
        self.pass_to(Offset(end));
        Written { advanced: end - next, fresh: end - next, ..Written::default() }
    }

    /// Forgets the held octets below `offset`, and returns how many; the stream's position does not change.
    pub fn release<S: Store, const N: usize>(
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
            s.acknowledge(Offset(at).seq(SeqNum(0xffff_ff00)), 1000);
            assert_eq!((s.acked(), s.edge()), (Offset(at), Some(Offset(at + 1000))));
        }
        assert_eq!(s.position(Offset(at).seq(SeqNum(0xffff_ff00))), at.cast_signed());
    }

    #[test]
    fn the_right_edge_never_moves_left() {
        let mut s = placed(1);
        s.acknowledge(SeqNum(1), 100);
        s.acknowledge(SeqNum(11), 20);
        assert_eq!(s.edge(), Some(Offset(100)));
        s.acknowledge(SeqNum(1), 5000); // an old one says nothing
        assert_eq!((s.edge(), s.acked()), (Some(Offset(100)), Offset(10)));
        s.acknowledge(SeqNum(101), 20);
        assert_eq!(s.edge(), Some(Offset(120)));
    }

    #[test]
    fn an_acknowledged_hole_is_missing_up_to_what_was_seen_or_the_end() {
        let mut s = placed(0);
        let (mut frags, mut ring) = (FragList::<4>::new(), Flat::new([0_u8; 64]));
        let segment = Segment::build(10, 0, crate::Flags::ACK, b"later");
        let _ =
            s.store(&segment, Some(Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First }));
        let unheard = s.missing(Some(&frags), None);
        assert_eq!(unheard, Some(Range::new(0, 10)), "a receiver that was never heard cannot acknowledge");
        s.acknowledge(SeqNum(0), 9);
        assert_eq!(s.missing(Some(&frags), None), None, "nothing is acknowledged");
        s.acknowledge(SeqNum(4), 9);
        assert_eq!(s.missing(Some(&frags), None), Some(Range::new(0, 4)));
        s.acknowledge(SeqNum(15), 9);
        assert_eq!(s.missing(Some(&frags), None), Some(Range::new(0, 10)));
        assert_eq!(s.missing(Some(&frags), Some(Offset(6))), Some(Range::new(0, 6)));
        let gap = s.skip(None, Some(Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First }));
        assert_eq!((gap, s.next()), (Some(Range::new(0, 10)), Offset(15)));
    }

    #[test]
    fn without_a_buffer_positions_are_followed() {
        let mut s = placed(0);
        let segment = |seq, data| Segment::build(seq, 0, crate::Flags::ACK, data);
        assert_eq!(s.store(&segment(0, b"abc"), NO_BUFFER).advanced, 3);
        assert_eq!(s.store(&segment(10, b"abc"), NO_BUFFER).advanced, 0);
        s.acknowledge(SeqNum(10), 100);
        assert_eq!(s.rcv_nxt(), Offset(10));
        assert_eq!(s.store(&segment(8, b"abc"), NO_BUFFER).advanced, 1);
        assert_eq!(s.next(), Offset(11));
    }
}
