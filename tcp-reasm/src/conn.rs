//! One connection: both sides, driven by the segments between them.
//!
//! A segment passes in four steps, so that a monitor can look, and call others, in between:
//!
//! 1. [`Conn::judge`] — would the receiver take it? Nothing changes. If not, stop here.
//! 2. [`Conn::sent`] — what the sender has done by sending it.
//! 3. [`Conn::arriving`] — what storing it will do. Nothing changes; old and new octets can still be compared.
//! 4. [`Conn::received`] — what it does to the receiver: state, acknowledgements, octets.
//!
//! Then [`Conn::gap`] and [`Conn::skip`] deal with octets that the receiver acknowledged and the monitor never saw.
//!
//! # Invariants
//! 1. A refused segment changes nothing, of either side.
//! 2. What entered a stream in order never changes place; offsets are never reused.

mod check;

mod handshake;

mod ack;

mod data;

mod close;

use crate::report::{Arrival, Report, Sent, Verdict};
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::{Space, Syn};
use crate::state::{State, Trigger};
use crate::stream::{Buffer, Stream};
use ringbuf_core::overlap::Resolve;
use ringbuf_core::window::Window;
use ringbuf_core::{FragList, Offset, Range, Store};

/// How closely a segment must fit what was seen to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Strictness {
    /// As the endpoint itself judges it, for monitors that see every segment: what Linux does.
    #[default]
    Endpoint,
    /// For captures that lack segments or have the two directions out of step: acknowledgements of octets that were
    /// not seen are believed as far as the advertised window went, and the window may have moved by one window. An
    /// intruder has as much room.
    Lossy,
}

/// One TCP connection as both ends see it.
#[derive(Clone, Copy, Debug)]
pub struct Conn {
    pub(crate) sides: Sides<Space>,
    /// Another SYN of the client with a different ISN; the peer has not answered it.
    pub(crate) other_syn: Option<Syn>,
    pub(crate) strictness: Strictness,
    /// The server's ISN is a guess: its SYN/ACK was not seen.
    pub(crate) inferred: bool,
    /// Octets that came with the SYN and wait for the SYN/ACK to be taken.
    pub(crate) syn_data: bool,
    pub(crate) reset: bool,
    /// The SYN that starts it was seen.
    pub(crate) started: bool,
}

impl Conn {
    /// A connection before its first segment: the client CLOSED, the server in LISTEN. Each stream has a window like
    /// `window`.
    pub const fn new(window: Window) -> Self {
        Conn {
            sides: Sides {
                client: Space::new(State::Closed, window),
                server: Space::new(State::Listen, window),
            },
            other_syn: None,
            strictness: Strictness::Endpoint,
            inferred: false,
            syn_data: false,
            reset: false,
            started: false,
        }
    }

    /// A connection whose SYN was not seen, from the SYN/ACK that answers it: the client is in SYN-SENT.
    pub fn from_syn_ack(segment: &Segment<'_>, window: Window) -> Self {
        let mut conn = Conn::new(window);
        conn.sides.client.state = State::SynSent;
        conn.sides.client.has_sent(segment.ack);
        conn.sides.server.stream.place(segment.ack);
        conn
    }

    /// A connection picked up in the middle: both sides are taken to be established, and each stream begins with
    /// the first payload seen.
    pub const fn midstream(window: Window) -> Self {
        let mut conn = Conn::new(window);
        conn.sides.client.state = State::Established;
        conn.sides.server.state = State::Established;
        conn
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

    /// What is known of a side.
    pub fn space(&self, side: Side) -> &Space {
        &self.sides[side]
    }

    /// The stream that `side` receives.
    #[inline]
    pub fn stream(&self, side: Side) -> &Stream {
        &self.sides[side].stream
    }

    /// The stream that `side` receives, to release what was read.
    pub fn stream_mut(&mut self, side: Side) -> &mut Stream {
        &mut self.sides[side].stream
    }

    /// Whether neither side will send or accept anything more, but for old duplicates.
    #[inline]
    pub fn is_over(&self) -> bool {
        let over = |s: State| matches!(s, State::Closed | State::TimeWait);
        over(self.sides.client.state) && over(self.sides.server.state)
    }

    /// Whether a RST ended it.
    pub fn was_reset(&self) -> bool {
        self.reset
    }

    /// Whether the handshake is not complete on both sides.
    pub fn is_embryonic(&self) -> bool {
        let early =
            |s: State| matches!(s, State::Closed | State::Listen | State::SynSent | State::SynReceived);
        early(self.sides.client.state) || early(self.sides.server.state)
    }

    /// Whether everything `side` receives has come: the peer's FIN was taken in order.
    pub fn is_finished(&self, side: Side) -> bool {
        let space = &self.sides[side];
        space.end_of_stream(&self.sides[!side]).is_some_and(|end| space.stream.next() >= end)
    }

    /// Whether the receiver of a segment from `from` takes it.
    #[inline]
    pub fn judge(&self, from: Side, segment: &Segment<'_>) -> Verdict {
        check::judge(self, from, segment)
    }

    /// Follows the sender of a segment that was judged acceptable.
    pub fn sent(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        if segment.is_rst() {
            return Sent { state: self.sent_rst(from), ..Sent::default() };
        }
        let mut done = if segment.is_syn() {
            self.sent_syn(from, segment)
        } else {
            if from == Side::Server && self.sides.client.state != State::SynSent {
                self.other_syn = None; // the server still knows this connection
            }
            let state = self.infer_handshake(from, segment);
            Sent { state, syn_data: self.decide_syn_data_by(from, segment), ..Sent::default() }
        };
        if segment.is_ack() {
            done.state = self.sent_ack(from, segment).or(done.state);
        }
        self.place_midstream(from, segment);
        self.sides[from].has_sent(segment.end());
        if segment.is_fin() {
            done.state = self.sent_fin(from, segment).or(done.state);
        }
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
        if segment.is_rst() {
            return Report { state: self.received_rst(to), ..Report::default() };
        }
        let before = self.sides[to].state;
        let started = segment.is_syn() && self.received_syn(to, segment);
        self.started |= started;
        if segment.is_ack() {
            self.received_ack(to, segment);
        }
        let position = self.sides[to].stream.position(segment.seq);
        self.sides[to].note_timestamp(segment.options.timestamps, position, segment.seq_len());
        let data = self.received_data(to, segment, buffer);
        let fin = self.received_fin(to);
        let after = self.sides[to].state;
        Report { state: (after != before).then_some(after), started, data, fin }
    }

    /// Octets that `side` acknowledged and that were never seen: the hole at its stream's next offset.
    pub fn gap<const N: usize>(&self, side: Side, frags: Option<&FragList<N>>) -> Option<Range> {
        let space = &self.sides[side];
        space.stream.missing(frags, space.end_of_stream(&self.sides[!side]))
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
        self.received_fin(side);
        let after = self.sides[side].state;
        Some((gap, (after != before).then_some(after)))
    }

    /// Forgets what was stored for `side` from a SYN whose octets the peer did not take. The caller frees the memory.
    pub fn forget_syn_data(&mut self, side: Side) {
        self.sides[side].stream.pass_to(Offset::ZERO);
    }

    /// The connection ran into a time-out, or out of its time in TIME-WAIT. Returns the sides that changed.
    pub fn expire(&mut self) -> Sides<Option<State>> {
        Sides::from_fn(|side| self.sides[side].apply(Trigger::Expired))
    }
}
