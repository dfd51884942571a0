//! The common case: a plain segment between two established sides of which neither has sent a FIN, nothing is undecided,
//! and the payload, if there is any, is the next in order and fits. Each of the steps looks for it first, and then does
//! what it would do anyway without asking what cannot be.
//!
//! It changes nothing in what comes out: the models, the running kernel and the captures go through it, too.

use super::check;
use super::{Conn, Reset};
use crate::plain::{PlainSegment, is_plain};
use crate::report::{Report, Sent, Verdict};
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::{Space, Steady};
use crate::step::{self, Footing, Terms};
use crate::stream::{Buffer, NO_BUFFER};
use ringbuf_core::overlap::Resolve;
use ringbuf_core::{FragList, Offset, Store};

impl Conn {
    /// Takes the first steps of the module at once for a segment that is in step: one of an established connection
    /// that begins where its receiver expects it, fits, acknowledges what was seen, and about which nothing is odd. Returns
    /// whether it is. If so, its payload, if any, is to be stored with [`Conn::received_in_step`] next; else nothing has
    /// changed.
    #[inline]
    pub fn step(&mut self, from: Side, segment: &PlainSegment) -> bool {
        let before = if cfg!(debug_assertions) { Some(*self) } else { None };
        let taken = self.try_step(from, segment);
        if let Some(before) = before.filter(|_| taken) {
            self.check_step(before, from, segment);
        }
        taken
    }

    #[inline]
    fn try_step(&mut self, from: Side, segment: &PlainSegment) -> bool {
        let steady = self.sides.client.steady;
        let lossy = self.strictness.rules().lossy;
        let (sender, receiver) = self.sides.pair_mut(from);
        if steady == Steady::No || steady != sender.steady || steady != receiver.steady {
            return false;
        }
        let (Some(mut there), Some(mut back)) = (receiver.footing(), sender.footing()) else { return false };
        let stamped = steady == Steady::WithTimestamps;
        let terms = Terms { shift: sender.window_shift(receiver), stamped, lossy };
        let simple = !(receiver.stream.holds_early | receiver.stream.urgent_removed);
        if !simple || !step::follow(&mut back, &mut there, segment, terms) {
            return false;
        }
        sender.stream.acked = Offset(sender.stream.next().0 - u64::from(back.unacked));
        (sender.stream.ahead, sender.stream.widest) = (back.ahead, back.widest);
        (sender.snd_nxt, sender.ts_recent) = (back.snd_nxt, back.ts_recent);
        receiver.ts_recent = there.ts_recent;
        true
    }

    /// Goes over the octets that a segment brings which [`Conn::step`] took, of a stream of which nothing is kept.
    #[inline]
    pub fn pass_in_step(&mut self, to: Side, octets: u32) {
        if octets > 0 {
            let stream = &mut self.sides[to].stream;
            stream.pass_to(stream.next().saturating_add(octets.into()));
        }
    }

    /// Stores the payload of a segment that [`Conn::step`] took.
    #[inline]
    pub fn received_in_step<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        mut buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Report {
        let mut report = Report::default();
        if segment.payload_len > 0 {
            match self.sides[to].stream.store_next(segment, buffer.as_mut()) {
                Some(fresh) => (report.data.fresh, report.data.advanced) = (fresh, fresh),
                None => (report.data, report.late) = self.sides[to].stream.store(segment, buffer.as_mut()),
            }
            report.in_order = self.sides[to].stream.last_octets(report.data.advanced);
        }
        report
    }

    /// Stores the whole payload of a segment that [`Conn::step`] took, of a stream of which nothing is held apart from what is in
    /// order, if nothing gives way for it. Otherwise nothing has changed, and [`Conn::received_in_step`] says what becomes of it.
    #[inline]
    pub fn append_in_step<S: Store>(&mut self, to: Side, octets: &[u8], store: &mut S) -> bool {
        let stream = &mut self.sides[to].stream;
        !stream.urgent_removed && stream.window.try_append(&FragList::<0>::new(), store, octets)
    }

    /// Asserts (debug builds) that a segment that was in step does the same the long way.
    fn check_step(&self, before: Conn, from: Side, plain: &PlainSegment) {
        let (mut long, mut short, segment) = (before, *self, &plain.with_payload(&[]));
        debug_assert_eq!(check::judge(&long, from, segment), Verdict::Accept, "{segment:?} of {from}");
        let sent = long.sent(from, segment);
        debug_assert_eq!(sent, Sent { acked: sent.acked, ..Sent::default() });
        let report = long.received(!from, segment, NO_BUFFER);
        let mut passed = short;
        passed.pass_in_step(!from, segment.payload_len);
        debug_assert_eq!(report, short.received_in_step(!from, segment, NO_BUFFER));
        debug_assert_eq!((short, passed), (long, long), "{segment:?} of {from}");
        debug_assert!(Side::BOTH.into_iter().all(|side| !short.stream(side).may_have_gap()));
    }

    #[inline]
    pub(super) fn is_steady(&self, from: Side, segment: &Segment<'_>) -> bool {
        let stamped = segment.options.timestamps.is_some();
        let steady = if stamped { Steady::WithTimestamps } else { Steady::WithoutTimestamps };
        self.sides.client.steady == steady
            && self.sides.server.steady == steady
            && is_plain(segment)
            && (segment.payload_len == 0 || self.sides[!from].stream.is_next(segment))
    }

    /// Asserts (debug builds) that what was found out still holds.
    pub(super) fn check_steady(&self) {
        let mut copy = *self;
        copy.note_steady();
        let steady = |conn: &Conn| (conn.sides.client.steady, conn.sides.server.steady);
        debug_assert_eq!(steady(self), steady(&copy), "invariant 3");
    }

    /// Finds out whether the short way is open. To be called behind everything else that changes a connection: what goes
    /// the short way leaves it open.
    pub(super) fn note_steady(&mut self) {
        let Sides { client, server } = &mut self.sides;
        // Asked first for what tells in a handshake, or when an end closes.
        let decided = self.reset == Reset::No && !self.syn_data && !self.other_offer.seen();
        let open = client.is_steady() && server.is_steady() && decided;
        let steady = match open {
            false => Steady::No,
            true if client.has_timestamps(server) => Steady::WithTimestamps,
            true => Steady::WithoutTimestamps,
        };
        (client.steady, server.steady) = (steady, steady);
    }

    #[inline]
    pub(super) fn sent_steady(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        let mut done = Sent::default();
        self.sent_ack(from, segment, &mut done);
        if segment.payload_len > 0 {
            self.sides[from].has_sent(segment.seq + segment.payload_len);
        } else {
            self.sent_octets(from, segment, &mut done);
        }
        done
    }

    #[inline]
    pub(super) fn received_steady<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Report {
        self.received_timestamp(to, segment, false);
        self.received_in_step(to, segment, buffer)
    }
}

impl Space {
    /// `None` when it is not that simple: it acknowledged what was not seen, or was not heard to acknowledge or to send
    /// anything.
    #[inline]
    fn footing(&self) -> Option<Footing> {
        let stream = &self.stream;
        let unacked = u32::try_from(stream.next().0.checked_sub(stream.acked.0)?).ok()?;
        (stream.has_acked && self.has_sent).then(|| Footing {
            next: stream.next().seq(stream.base),
            unacked,
            ahead: stream.ahead,
            widest: stream.widest,
            snd_nxt: self.snd_nxt,
            ts_recent: self.ts_recent,
        })
    }
}
