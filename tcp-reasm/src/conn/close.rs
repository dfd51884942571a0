//! FIN and RST: RFC 9293, 3.10.7.4, eighth and second check.

use super::data::ends_in_order;
use super::{Conn, Reset};
use crate::anomaly::Anomaly;
use crate::report::Sent;
use crate::segment::Segment;
use crate::side::Side;
use crate::state::{State, Trigger};

impl Conn {
    /// A side in SYN-SENT resets what it cannot take (3.10.7.3, first check) and goes on waiting; a server that resets
    /// another SYN than the one it answered goes on listening; from any other state a RST is the end.
    pub(super) fn sent_rst(&mut self, from: Side, segment: &Segment<'_>) -> Option<State> {
        match self.sides[from].state {
            State::SynSent => None,
            State::SynReceived if self.other_syn(segment).is_some() => {
                self.forget_other_syn();
                self.sides[from].apply(Trigger::ResetPassive)
            }
            _ => {
                self.reset = Reset::by(from);
                self.sides[from].apply(Trigger::Reset)
            }
        }
    }

    /// A RST takes a server that is waiting for the end of the handshake back to LISTEN, and ends everything else.
    pub(super) fn received_rst(&mut self, to: Side) -> Option<State> {
        let listens = to == Side::Server && self.sides[to].state == State::SynReceived;
        if listens && self.sides[!to].state == State::SynSent {
            return self.sides[to].apply(Trigger::ResetPassive);
        }
        if self.sides[!to].state == State::Listen {
            return None; // it refused another SYN than this side's
        }
        self.reset = Reset::by(!to);
        self.sides[to].apply(Trigger::Reset)
    }

    /// A side sends as if there had been no RST: see `Case::goes_on_after_reset`. When the side that it was for acknowledges
    /// what the other one has sent since, there was none.
    pub(super) fn go_on_after_reset(&mut self, from: Side, segment: &Segment<'_>, done: &mut Sent) {
        if self.reset == Reset::by(from) {
            self.reset = Reset::doubted(from);
        } else if self.reset == Reset::doubted(!from) && self.sides[!from].snd_nxt() == Some(segment.ack) {
            self.reset = Reset::No;
            Side::BOTH.into_iter().for_each(|side| self.sides[side].state = State::Established);
            done.state = Some(State::Established);
            done.odd.add_if(true, Anomaly::RstDisbelieved);
            return;
        }
        done.odd.add_if(true, Anomaly::AfterReset);
    }

    /// Notes where the sender's stream ends. While the FIN waits behind a hole another one below it counts instead: it
    /// will be met first. One among octets that have come already is none.
    pub(super) fn sent_fin(&mut self, from: Side, segment: &Segment<'_>, done: &mut Sent) {
        let fin = segment.end() - 1;
        if !self.sides[!from].state.has_received_fin() {
            let stream = &self.sides[!from].stream;
            if stream.base().is_some() && stream.position(fin) < stream.next().0.cast_signed() {
                done.odd.add_if(true, Anomaly::FinInside);
                return;
            }
            done.odd
                .add_if(stream.position(segment.seq) > stream.rcv_nxt().0.cast_signed(), Anomaly::FinAhead);
            let earlier = self.sides[from].fin();
            done.odd.add_if(earlier.is_some_and(|earlier| earlier != fin), Anomaly::FinMoved);
            let lower = earlier.filter(|earlier| earlier.lt(fin) && !ends_in_order(stream, segment));
            self.sides[from].set_fin(lower.or(Some(fin)));
        }
        done.state = self.note_fin(from, segment).or(done.state);
    }

    /// The state of a side that sends its FIN.
    pub(super) fn note_fin(&mut self, from: Side, segment: &Segment<'_>) -> Option<State> {
        if self.sides[from].fin().is_none() {
            self.sides[from].set_fin(Some(segment.end() - 1));
        }
        let crossing = self.sides[!from].fin().is_some_and(|fin| segment.ack.le(fin));
        let simultaneous = crossing && self.sides[from].state == State::CloseWait;
        let trigger = if simultaneous { Trigger::SentFinCrossing } else { Trigger::SentFin };
        self.sides[from].apply(trigger)
    }

    pub(super) fn forget_fin(&mut self, of: Side) {
        self.sides[of].set_fin(None);
        self.sides[of].apply(Trigger::FinVoid);
    }

    /// Takes the peer's FIN once everything before it has come. Octets that run over it make it void, as Linux drops
    /// it. Returns whether the stream ended now, and whether the FIN was void.
    pub(super) fn received_fin(&mut self, to: Side) -> (bool, bool) {
        let (receiver, sender) = self.sides.pair_mut(to);
        let Some(end) = receiver.end_of_stream(sender) else { return (false, false) };
        let next = receiver.stream.next();
        if next < end || receiver.state.has_received_fin() {
            return (false, false);
        }
        if next > end {
            self.forget_fin(!to);
            return (false, true);
        }
        (receiver.apply(Trigger::ReceivedFin).is_some(), false)
    }
}
