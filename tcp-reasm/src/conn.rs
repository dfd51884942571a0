//! One connection: both sides, driven by the segments between them.
//!
//! A segment passes in four steps, so that a monitor can look, and call others, in between:
//!
//! 1. [`Conn::judge`] — would the receiver take it? Nothing changes. When the answer is no, [`Conn::note_refused`] is
//!    told, and that is all; [`Conn::arriving`] may be asked of an old one, whether it is a retransmission or a keep-alive.
//!    When it begins a new connection between the same ports, [`Conn::successor`] makes that, and it is played there.
//! 2. [`Conn::sent`] — what the sender has done by sending it. It tells, too, when a stream begins anew
//!    ([`Sent::restarted`]) or what came with a SYN is not taken ([`Sent::syn_data`]), so that the caller forgets what it
//!    holds.
//! 3. [`Conn::arriving`] — what storing it will do. Nothing changes; old and new octets can still be compared.
//! 4. [`Conn::received`] — what it does to the receiver: state, acknowledgements, octets.
//!
//! Nearly all segments of an established connection are in step: for those [`Conn::step`], and then
//! [`Conn::received_in_step`] or [`Conn::pass_in_step`], do the same in a fraction of the time. So does [`Conn::turn`] for
//! nearly all by which it begins and ends, and for most of the others, which came in another order than they were sent in,
//! [`Conn::sent_plain`] and then [`Conn::received_plain`].
//!
//! Then [`Conn::gap`] and [`Conn::skip`] deal with octets that the receiver acknowledged and the monitor never saw.
//!
//! # Invariants
//! 1. A refused segment changes neither stream, and no state but that of a server that has no more than a request. It may
//!    move SND.NXT of its sender: see [`Conn::note_refused`].
//! 2. What entered a stream in order never changes place; offsets are never reused.
//! 3. `Space::steady` is true to what it stands for: whatever changes a connection ends with `note_steady`.

mod check;

mod steady;

mod order;

mod turn;

mod odd;

mod handshake;

mod ack;

mod data;

mod close;

use crate::anomaly::Anomaly;
use crate::options::Timestamps;
use crate::plain::PlainSegment;
use crate::report::{Arrival, Report, Sent, Verdict};
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::{Offer, Space};
use crate::state::{State, Trigger};
use crate::stream::{Buffer, Stream, UrgentPolicy};
use crate::strictness::Strictness;
use check::Case;
use ringbuf_core::overlap::Resolve;
use ringbuf_core::store::NoSpace;
use ringbuf_core::window::Window;
use ringbuf_core::{FragList, Offset, Range, SeqNum, Store};

/// Whether a RST ended a connection, and which side sent it. It is doubted when that side has sent new octets since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    No,
    ByClient,
    ByServer,
    DoubtedOfClient,
    DoubtedOfServer,
}

impl Reset {
    pub(crate) const fn by(side: Side) -> Self {
        match side {
            Side::Client => Reset::ByClient,
            Side::Server => Reset::ByServer,
        }
    }

    pub(crate) const fn doubted(side: Side) -> Self {
        match side {
            Side::Client => Reset::DoubtedOfClient,
            Side::Server => Reset::DoubtedOfServer,
        }
    }

    pub(crate) const fn is_doubted(self) -> bool {
        matches!(self, Reset::DoubtedOfClient | Reset::DoubtedOfServer)
    }
}

/// One TCP connection as both ends see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conn {
    pub(crate) sides: Sides<Space>,
    /// Another SYN of the client, or SYN/ACK of the server; the offer tells which, and whether there is one.
    pub(crate) other_isn: SeqNum,
    pub(crate) other_offer: Offer,
    pub(crate) strictness: Strictness,
    /// Octets that came with the SYN and wait for the SYN/ACK to be taken.
    pub(crate) syn_data: bool,
    pub(crate) reset: Reset,
    /// The SYN that starts it was seen, or is not waited for.
    pub(crate) started: bool,
}

// What a table of connections costs: two windows, which stand for the streams' memory, and 128 octets for the rest.
const _: () = assert!(size_of::<Conn>() <= 2 * size_of::<Window>() + 128);

impl Conn {
    /// A connection before its first segment: the client CLOSED, the server in LISTEN. Each stream has a window like
    /// `window`.
    pub const fn new(window: Window) -> Self {
        Conn {
            sides: Sides {
                client: Space::new(State::Closed, window),
                server: Space::new(State::Listen, window),
            },
            other_isn: SeqNum(0),
            other_offer: Offer::NONE,
            strictness: Strictness::Linux,
            syn_data: false,
            reset: Reset::No,
            started: false,
        }
    }

    /// A connection whose SYN was not seen, from the SYN/ACK that answers it: the client is in SYN-SENT.
    pub fn from_syn_ack(segment: &Segment<'_>, window: Window) -> Self {
        let mut conn = Conn::new(window);
        conn.started = true;
        conn.sides.client.state = State::SynSent;
        conn.sides.client.has_sent(segment.ack);
        conn.sides.server.stream.place(segment.ack);
        conn
    }

    /// The connection that begins with `segment`, which was judged as [`Verdict::Restart`] here: empty, with the same
    /// settings. Next it takes the segment itself. When that is a SYN without ACK, its sender is the client.
    #[must_use]
    pub fn successor(&self, segment: &Segment<'_>) -> Self {
        let window = *self.sides.client.stream.window();
        let mut next = if segment.opens() { Conn::new(window) } else { Conn::from_syn_ack(segment, window) };
        if let Some((isn, offer)) = self.other_syn(segment).filter(|_| !segment.opens()) {
            next.sides.client.restart_sending(offer, isn + 1);
        }
        next.strictness = self.strictness;
        for side in Side::BOTH {
            next.set_urgent_policy(side, self.sides[side].stream.urgent_policy);
        }
        next
    }

    /// A connection picked up in the middle: both sides are taken to be established, and each stream begins with
    /// the first payload seen.
    pub const fn midstream(window: Window) -> Self {
        let mut conn = Conn::new(window);
        conn.sides.client.state = State::Established;
        conn.sides.server.state = State::Established;
        conn.started = true;
        conn
    }

    /// Chooses what becomes of urgent octets in the stream that `side` receives. Takes effect with the next segment.
    pub fn set_urgent_policy(&mut self, side: Side, policy: UrgentPolicy) {
        self.sides[side].stream.urgent_policy = policy;
    }

    /// Chooses how closely segments must fit. Takes effect with the next segment.
    pub fn set_strictness(&mut self, strictness: Strictness) {
        self.strictness = strictness;
    }

    /// How closely segments must fit.
    pub fn strictness(&self) -> Strictness {
        self.strictness
    }

    /// Whether octets that came with the SYN still wait to be taken or not: they are stored, but count for nothing.
    pub fn has_undecided_syn_data(&self) -> bool {
        self.syn_data
    }

    /// The state of a side.
    #[inline]
    pub fn state(&self, side: Side) -> State {
        self.sides[side].state
    }

    /// The states of both sides.
    #[inline]
    pub fn states(&self) -> Sides<State> {
        Sides { client: self.sides.client.state, server: self.sides.server.state }
    }

    /// What is known of a side.
    pub fn space(&self, side: Side) -> &Space {
        &self.sides[side]
    }

    /// The stream that `side` receives.
    #[inline]
    pub fn stream(&self, side: Side) -> &Stream {
        &self.sides[side].stream
    }

    /// The timestamps of a segment that `from` sent now (RFC 7323, 3): the newest ones that its peer and itself took. `None` when they do
    /// not use timestamps, or none of `from` was seen.
    pub fn timestamps(&self, from: Side) -> Option<Timestamps> {
        let (sender, receiver) = (self.space(from), self.space(!from));
        let value = receiver.ts_recent().filter(|_| receiver.has_timestamps(sender))?;
        Some(Timestamps { value, echo: sender.ts_recent().unwrap_or(0) })
    }

    /// Forgets the octets held for `side` below `offset`, as they were read, and returns how many; the stream's position
    /// does not change.
    pub fn release<S: Store, const N: usize>(
        &mut self,
        side: Side,
        frags: &mut FragList<N>,
        store: &mut S,
        offset: Offset,
    ) -> u64 {
        self.sides[side].stream.release(frags, store, offset)
    }

    /// On its way to the receiver, what `from` sent last has become longer by `growth` octets, or shorter; its receiver has
    /// not got it yet. For middleboxes that change what they forward, and follow connections as the receivers count.
    pub fn stretch(&mut self, from: Side, growth: i32) {
        let space = &mut self.sides[from];
        for number in [&mut space.snd_nxt, &mut space.fin].into_iter().take(1 + usize::from(space.has_fin)) {
            *number = SeqNum(number.0.wrapping_add_signed(growth));
        }
    }

    /// Holds `data`, the last octets of the stream to `side` that are in order, of which nothing is held: they were
    /// [received](Conn::received) without a buffer, so that readers could be shown them where they lie, and were left.
    ///
    /// # Errors
    /// [`NoSpace`] when they find no memory, or something is held: then nothing changes.
    pub fn hold<S: Store, R, const N: usize>(
        &mut self,
        side: Side,
        data: &[u8],
        buffer: Buffer<'_, S, R, N>,
    ) -> Result<(), NoSpace> {
        self.sides[side].stream.hold(data, buffer)
    }

    /// Forgets all octets held for `side`, in order and early, for a caller who has no memory for them and frees it. The
    /// stream stays where it is; what came early has to come again, or is a gap.
    pub fn shed(&mut self, side: Side) {
        self.sides[side].stream.shed();
        self.note_steady();
    }

    /// Whether neither side will send or accept anything more, but for old duplicates.
    #[inline]
    pub fn is_over(&self) -> bool {
        self.sides.client.state.is_over() && self.sides.server.state.is_over()
    }

    /// Whether a RST ended it.
    pub fn was_reset(&self) -> bool {
        self.reset != Reset::No
    }

    /// Whether the handshake is not complete on both sides.
    pub fn is_embryonic(&self) -> bool {
        self.sides.client.state.is_embryonic() || self.sides.server.state.is_embryonic()
    }

    /// Whether everything `side` receives has come: the peer's FIN was taken in order.
    pub fn is_finished(&self, side: Side) -> bool {
        let space = &self.sides[side];
        space.end_of_stream(&self.sides[!side]).is_some_and(|end| space.stream.next() >= end)
    }

    /// Whether the receiver of a segment from `from` takes it.
    #[inline]
    pub fn judge(&self, from: Side, segment: &Segment<'_>) -> Verdict {
        if cfg!(debug_assertions) {
            self.check_steady();
            // They look whether the short ways lead to the same place.
            let plain = PlainSegment::of(segment);
            let in_step = plain.is_some_and(|plain| { *self }.step(from, &plain));
            let _ = in_step || { *self }.sent_plain(from, segment) || { *self }.turn(from, segment);
        }
        check::judge(self, from, segment)
    }

    /// Whether anything was seen of it.
    pub(crate) fn has_begun(&self) -> bool {
        Side::BOTH.into_iter().any(|side| self.sides[side].snd_nxt().is_some())
    }

    /// Follows the sender of a segment that was judged acceptable.
    pub fn sent(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        if self.is_steady(from, segment) {
            return self.sent_steady(from, segment);
        }
        let odd = self.odd(from, segment);
        if segment.is_rst() {
            let state = self.sent_rst(from, segment);
            self.note_steady();
            return Sent { state, odd, ..Sent::default() };
        }
        let mut done =
            if segment.is_syn() { self.sent_syn(from, segment) } else { self.sent_other(from, segment) };
        if segment.is_ack() {
            self.sent_ack(from, segment, &mut done);
        }
        self.place_midstream(from, segment);
        let left_out = Case::new(self, from, segment).left_out();
        let overruns = left_out.is_none() && Case::new(self, from, segment).overruns_window();
        done.odd.add_if(overruns, Anomaly::WindowOverrun);
        if let Some(anomaly) = left_out {
            done.left_out = true;
            done.odd.add_if(true, anomaly);
            // The receiver may have had room, after all: should it acknowledge them, they are a gap.
            self.sides[from].has_sent(segment.end());
        } else {
            self.sent_octets(from, segment, &mut done);
        }
        done.odd.join(odd);
        self.note_steady();
        done
    }

    /// The sender has sent what is in the segment. The place of a bare ACK proves nothing, unless octets may be lost to
    /// the capture; what comes with a SYN/ACK, or with a SYN that was answered before, is left out and comes again.
    fn sent_octets(&mut self, from: Side, segment: &Segment<'_>, done: &mut Sent) {
        let rules = self.strictness.rules();
        let (sender, receiver) = self.sides.pair_mut(from);
        let bare_syn = segment.is_syn() && receiver.sent_syn() && !rules.syn_ack_data;
        let occupies = segment.seq_len() > 0;
        let unseen = !occupies && sender.snd_nxt().is_some_and(|nxt| nxt.lt(segment.seq));
        done.odd.add_if(unseen, Anomaly::SeqUnseen);
        if occupies || rules.lossy {
            sender.has_sent(if bare_syn { segment.seq + 1 } else { segment.end() });
        }
        if segment.is_fin() && !segment.is_syn() {
            self.sent_fin(from, segment, done);
        }
    }

    fn sent_other(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        if from == Side::Server && self.sides.client.state != State::SynSent {
            self.forget_other_syn(); // the server still knows this connection
        }
        let client = &mut self.sides.client.stream;
        if from == Side::Server
            && client.guessed
            && client.position(segment.seq) == client.next().0.cast_signed()
        {
            client.guessed = false;
        }
        let mut done = Sent::default();
        if from == Side::Client && self.follow_acknowledged_syn_ack(segment) {
            done.restarted.client = true;
            done.odd.add_if(true, Anomaly::SynAckOther);
        }
        if self.reset != Reset::No {
            self.go_on_after_reset(from, segment, &mut done);
        }
        let inferred = self.infer_handshake(from, segment);
        done.odd.add_if(inferred.is_some(), Anomaly::HandshakeInferred);
        (done.state, done.syn_data) = (inferred.or(done.state), self.decide_syn_data_by(from, segment));
        done.odd.add_if(self.sides[from].state == State::SynReceived, Anomaly::BeforeEstablished);
        done
    }

    /// What storing a segment at `to` will do.
    pub fn arriving<S: Store, const N: usize>(
        &self,
        to: Side,
        segment: &Segment<'_>,
        buffer: Option<(&FragList<N>, &S)>,
    ) -> Arrival {
        data::arriving(self, to, segment, buffer)
    }

    /// Follows the receiver of a segment that was judged acceptable.
    pub fn received<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Report {
        if self.is_steady(!to, segment) {
            return self.received_steady(to, segment, buffer);
        }
        if segment.is_rst() {
            let state = self.received_rst(to);
            self.note_steady();
            return Report { state, ..Report::default() };
        }
        let mut report = Report::default();
        let (before, left_out) = (self.sides[to].state, Case::new(self, !to, segment).left_out());
        report.started = segment.is_syn() && self.received_syn(to, segment);
        self.started |= report.started;
        if segment.is_ack() {
            self.received_ack(to, segment);
        }
        let now = self.sides[to].state;
        self.received_timestamp(to, segment, segment.is_syn() && now == before);
        report.state = (now != before).then_some(now);
        match left_out {
            None => self.received_data(to, segment, buffer, &mut report),
            Some(Anomaly::DataAfterFin) => self.received_behind_fin(to, segment),
            Some(_) => self.received_urgent(to, segment, &mut report),
        }
        let void;
        (report.fin, void) = self.received_fin(to);
        report.odd.add_if(void, Anomaly::FinOverrun);
        let after = self.sides[to].state;
        report.state = (after != before).then_some(after);
        self.note_steady();
        report
    }

    /// A repeated SYN does not set TS.Recent, and neither does a segment with an old acknowledgement. Where a capture may
    /// lack segments what the sender echoes tells its own.
    fn received_timestamp(&mut self, to: Side, segment: &Segment<'_>, repeated_syn: bool) {
        let Some(timestamps) = segment.options.timestamps else { return };
        if self.strictness.rules().lossy && !segment.is_syn() {
            return self.sides[!to].note_echo(timestamps);
        }
        let (receiver, sender) = self.sides.pair_mut(to);
        let stream = &sender.stream;
        let old = segment.is_ack() && stream.position(segment.ack) < stream.acked().0.cast_signed();
        if !repeated_syn && !old {
            let position = receiver.stream.position(segment.seq);
            receiver.note_timestamp(timestamps, position);
        }
    }

    /// Whether [`Conn::gap`] is worth asking: nearly always everything that `side` acknowledged was seen, or is the FIN.
    #[inline]
    pub fn may_have_gap(&self, side: Side) -> bool {
        let (stream, peer) = (self.stream(side), &self.sides[!side]);
        let next = stream.next();
        let fin_alone =
            peer.has_fin && stream.acked.0.wrapping_sub(next.0) == 1 && peer.fin == next.seq(stream.base);
        stream.may_have_gap() && !fin_alone
    }

    /// Octets that `side` acknowledged and that were never seen: the hole at its stream's next offset.
    pub fn gap<const N: usize>(&self, side: Side, frags: Option<&FragList<N>>) -> Option<Range> {
        let missing = || {
            let space = &self.sides[side];
            space.stream.missing(frags, space.end_of_stream(&self.sides[!side]))
        };
        if !self.may_have_gap(side) {
            debug_assert_eq!(missing(), None, "{self:?}");
            return None;
        }
        missing()
    }

    /// Gives up the gap: the stream goes on behind it. Returns it, and the new state when the stream ends there.
    pub fn skip<S: Store, R, const N: usize>(
        &mut self,
        side: Side,
        buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Option<(Range, Option<State>)> {
        let end = self.sides[side].end_of_stream(&self.sides[!side]);
        let gap = self.sides[side].stream.skip(end, buffer)?;
        let before = self.sides[side].state;
        let _ = self.received_fin(side);
        let after = self.sides[side].state;
        self.note_steady();
        Some((gap, (after != before).then_some(after)))
    }

    /// The connection ran into a time-out, or out of its time in TIME-WAIT. Returns the sides that changed.
    pub fn expire(&mut self) -> Sides<Option<State>> {
        let changed = Sides::from_fn(|side| self.sides[side].apply(Trigger::Expired));
        self.note_steady();
        changed
    }
}
