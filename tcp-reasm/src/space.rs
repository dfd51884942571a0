//! What is known of one side: its state, its send sequence space, and the stream it receives (RFC 9293, 3.3.1).

use crate::options::{MAX_WINDOW_SCALE, Timestamps};
use crate::segment::Segment;
use crate::state::{State, Trigger};
use crate::stream::Stream;
use ringbuf_core::window::Window;
use ringbuf_core::{Offset, SeqNum};

/// What a SYN offers for the connection. An offer counts when both SYNs make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Its timestamp, when it has one.
    pub(crate) timestamp: u32,
    /// How far the timestamps of its repetitions went beyond, ticks; the largest value stands for any.
    pub(crate) timestamp_span: u16,
    pub(crate) scale: u8,
    pub(crate) bits: u8,
}

impl Offer {
    /// No SYN was seen.
    pub(crate) const NONE: Offer = Offer { timestamp: 0, timestamp_span: 0, scale: 0, bits: 0 };
    const SEEN: u8 = 1;
    const TIMESTAMP: u8 = 2;
    const SCALE: u8 = 4;
    const SACK: u8 = 8;
    const SIGNED: u8 = 16;
    const ACTIVE: u8 = 32;
    const FOLLOWED: u8 = 64;

    pub(crate) fn of(segment: &Segment<'_>) -> Self {
        let o = &segment.options;
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        Offer {
            timestamp: o.timestamps.map_or(0, |t| t.value),
            timestamp_span: 0,
            scale: o.window_scale.unwrap_or(0).min(MAX_WINDOW_SCALE),
            bits: Offer::SEEN
                | bit(o.timestamps.is_some(), Offer::TIMESTAMP)
                | bit(o.window_scale.is_some(), Offer::SCALE)
                | bit(o.sack_permitted, Offer::SACK)
                | bit(o.signature.is_some(), Offer::SIGNED)
                | bit(!segment.is_ack(), Offer::ACTIVE),
        }
    }

    const fn has(self, bits: u8) -> bool {
        self.bits & bits == bits
    }

    pub(crate) const fn seen(self) -> bool {
        self.has(Offer::SEEN)
    }

    pub(crate) fn timestamp(self) -> Option<u32> {
        self.has(Offer::TIMESTAMP).then_some(self.timestamp)
    }

    /// The same SYN came again.
    pub(crate) fn repeated(&mut self, segment: &Segment<'_>) {
        if !segment.is_ack() {
            self.bits |= Offer::ACTIVE; // its SYN/ACK had overtaken it
        }
        let (Some(first), Some(t)) = (self.timestamp(), segment.options.timestamps) else { return };
        // They may have overtaken each other.
        let last = SeqNum(first) + self.timestamp_span.into();
        let (lowest, last) = if SeqNum(t.value).lt(SeqNum(first)) {
            (t.value, last)
        } else {
            (first, last.max(SeqNum(t.value)))
        };
        self.timestamp = lowest;
        self.timestamp_span = u16::try_from(last.0.wrapping_sub(lowest)).unwrap_or(u16::MAX);
    }

    /// Whether the timestamp `echo` may come from one of these SYNs. Zero is no timestamp.
    pub(crate) fn may_have_sent(self, echo: u32) -> bool {
        let Some(first) = self.timestamp().filter(|_| echo != 0) else { return true };
        let span = if self.timestamp_span == u16::MAX { i32::MAX as u32 } else { self.timestamp_span.into() };
        echo.wrapping_sub(first) <= span
    }

    /// Whether it is signed, so that its sender has a key.
    pub(crate) const fn signed(self) -> bool {
        self.has(Offer::SIGNED)
    }

    /// Whether there was a SYN, and it was not signed: its sender has no key.
    pub(crate) const fn is_unsigned(self) -> bool {
        self.seen() && !self.signed()
    }

    /// Whether the SYN had no ACK flag: its sender opened actively.
    pub(crate) const fn active(self) -> bool {
        self.has(Offer::ACTIVE)
    }

    /// Of a SYN that was followed until another one was answered.
    pub(crate) const fn as_followed(self) -> Self {
        Offer { bits: self.bits | Offer::FOLLOWED, ..self }
    }

    /// Whether it was followed until another one was answered.
    pub(crate) const fn followed(self) -> bool {
        self.has(Offer::FOLLOWED)
    }

    /// Whether the side permits selective acknowledgements; one whose SYN was not seen is taken to.
    pub(crate) const fn permits_sack(self) -> bool {
        !self.seen() || self.has(Offer::SACK)
    }

    /// The shift of the side's windows: its own when both offer to scale.
    #[inline]
    pub(crate) fn shift_with(self, peer: Offer) -> u8 {
        match (self.shift(), peer.shift()) {
            (Some(own), Some(_)) => own,
            _ => 0,
        }
    }

    /// The shift of the side's windows when both scale. A SYN that was not seen is taken to offer the largest one.
    fn shift(self) -> Option<u8> {
        if self.seen() { self.has(Offer::SCALE).then_some(self.scale) } else { Some(MAX_WINDOW_SCALE) }
    }
}

/// Whether a side is such that plain segments can be taken the short way (`conn::steady`), and whether those have
/// timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Steady {
    No,
    WithoutTimestamps,
    WithTimestamps,
}

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    pub(crate) stream: Stream,
    /// SND.NXT: one past the highest sequence number sent, SYN and FIN counted.
    pub(crate) snd_nxt: SeqNum,
    /// Sequence number of the FIN sent.
    pub(crate) fin: SeqNum,
    /// TS.Recent: the newest timestamp accepted from the peer. 0 when there is none: hosts without a clock send that.
    pub(crate) ts_recent: u32,
    /// This side's SYN.
    pub(crate) offer: Offer,
    pub(crate) state: State,
    pub(crate) has_sent: bool,
    pub(crate) has_fin: bool,
    pub(crate) steady: Steady,
}

impl Space {
    pub(crate) const fn new(state: State, window: Window) -> Self {
        Space {
            stream: Stream::new(window),
            snd_nxt: SeqNum(0),
            fin: SeqNum(0),
            ts_recent: 0,
            offer: Offer::NONE,
            state,
            has_sent: false,
            has_fin: false,
            steady: Steady::No,
        }
    }

    /// A side of which nothing is known, with the same settings.
    pub(crate) fn anew(&self, state: State) -> Self {
        let mut space = Space::new(state, *self.stream.window());
        space.stream.urgent_policy = self.stream.urgent_policy;
        space
    }

    /// The stream that this side receives.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The state of this side.
    pub fn state(&self) -> State {
        self.state
    }

    /// One past the highest sequence number this side sent; `None` before it sent anything.
    pub fn snd_nxt(&self) -> Option<SeqNum> {
        self.has_sent.then_some(self.snd_nxt)
    }

    /// Whether this side's SYN was seen. Without it windows are taken with the largest scale.
    pub fn sent_syn(&self) -> bool {
        self.offer.seen()
    }

    /// Sequence number of the FIN that this side sent and that still counts.
    pub(crate) fn fin(&self) -> Option<SeqNum> {
        self.has_fin.then_some(self.fin)
    }

    /// Without one nothing is left of an earlier one.
    pub(crate) fn set_fin(&mut self, fin: Option<SeqNum>) {
        self.has_fin = fin.is_some();
        self.fin = fin.unwrap_or(SeqNum(0));
    }

    /// TS.Recent as the side itself tells it: it echoes that. For monitors that may have seen what it did not get.
    pub(crate) fn note_echo(&mut self, timestamps: Timestamps) {
        let newer = SeqNum(self.ts_recent).distance(SeqNum(timestamps.echo)) <= 0 || self.ts_recent == 0;
        if newer && timestamps.echo != 0 {
            self.ts_recent = timestamps.echo;
        }
    }

    pub(crate) fn forget_timestamp(&mut self) {
        self.ts_recent = 0;
    }

    /// Whether this side is established, nothing of its own ends, and nothing of what it receives is undecided.
    pub(crate) fn is_steady(&self) -> bool {
        self.state == State::Established && !self.has_fin && !self.offer.signed() && self.stream.is_steady()
    }

    /// The newest timestamp that this side took from the peer.
    pub(crate) fn ts_recent(&self) -> Option<u32> {
        (self.ts_recent != 0).then_some(self.ts_recent)
    }

    /// Makes the transition that `trigger` causes, if any; returns the new state.
    pub(crate) fn apply(&mut self, trigger: Trigger) -> Option<State> {
        let to = self.state.after(trigger)?;
        self.state = to;
        Some(to)
    }

    /// The shift of this side's windows (RFC 7323, 2.2): its own when both SYNs offer scaling. It is not known when a
    /// SYN was not seen; then windows are taken as large as they can be.
    pub(crate) fn window_shift(&self, peer: &Space) -> u8 {
        self.offer.shift_with(peer.offer)
    }

    /// Whether both SYNs offered timestamps.
    pub(crate) fn has_timestamps(&self, peer: &Space) -> bool {
        self.offer.timestamp().is_some() && peer.offer.timestamp().is_some()
    }

    /// Everything below `end` was sent.
    pub(crate) fn has_sent(&mut self, end: SeqNum) {
        self.snd_nxt = if self.has_sent { self.snd_nxt.max(end) } else { end };
        self.has_sent = true;
    }

    /// What was sent from `seq` on was not taken, and counts for nothing.
    pub(crate) fn sends_again_from(&mut self, seq: Option<SeqNum>) {
        if let Some(seq) = seq.filter(|seq| self.has_sent && seq.lt(self.snd_nxt)) {
            self.snd_nxt = seq;
        }
    }

    /// This side begins again with another SYN.
    pub(crate) fn restart_sending(&mut self, offer: Offer, nxt: SeqNum) {
        self.set_fin(None);
        (self.snd_nxt, self.has_sent, self.offer) = (nxt, true, offer);
    }

    /// TS.Recent as RFC 7323, 4.3 keeps it: the newest value of a segment that begins no later than what was last
    /// acknowledged. A SYN sets it whatever was there.
    pub(crate) fn note_timestamp(&mut self, timestamps: Timestamps, position: i64) {
        let newer = SeqNum(self.ts_recent).distance(SeqNum(timestamps.value)) <= 0 || self.ts_recent == 0;
        if newer && position <= self.stream.acked().0.cast_signed() {
            self.ts_recent = timestamps.value;
        }
    }

    /// Where the peer's stream ends, as an offset of the stream this side receives.
    pub(crate) fn end_of_stream(&self, peer: &Space) -> Option<Offset> {
        let fin = peer.fin()?;
        u64::try_from(self.stream.position(fin)).ok().map(Offset)
    }

    /// Where the peer's stream ends, once this side has taken the FIN. It shows in the state, and in what it acknowledges
    /// when the state is CLOSED.
    pub(crate) fn taken_end(&self, peer: &Space) -> Option<Offset> {
        let end = self.end_of_stream(peer)?;
        (self.state.has_received_fin() || self.stream.acked() > end).then_some(end)
    }

    /// Where a FIN of the peer waits to be taken.
    pub(crate) fn waiting_end(&self, peer: &Space) -> Option<Offset> {
        let end = self.end_of_stream(peer)?;
        self.taken_end(peer).is_none().then_some(end)
    }

    /// RCV.NXT as an offset, the FIN counted once it was taken.
    pub(crate) fn rcv_nxt(&self, peer: &Space) -> Offset {
        let taken = self.taken_end(peer);
        self.stream.rcv_nxt().max(taken.map_or(Offset::ZERO, |end| end.saturating_add(1)))
    }
}
