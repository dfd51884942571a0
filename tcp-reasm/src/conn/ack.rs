//! Acknowledgements: what the sender has received, and what that means for the states of the receiver.

use super::Conn;
use crate::anomaly::Anomaly;
use crate::report::Sent;
use crate::segment::Segment;
use crate::side::Side;
use crate::state::{State, Trigger};

impl Conn {
    /// The sender of an ACK has everything below it, and room for its window beyond. When that covers the peer's FIN
    /// the sender took it, even if octets before it were not captured.
    pub(super) fn sent_ack(&mut self, from: Side, segment: &Segment<'_>, done: &mut Sent) {
        let (sender, receiver) = self.sides.pair_mut(from);
        let shift = if segment.is_syn() { 0 } else { sender.window_shift(receiver) };
        let unseen = receiver.snd_nxt().is_some_and(|nxt| nxt.lt(segment.ack));
        let told = sender.stream.acknowledge(segment.ack, u32::from(segment.window) << shift, 1 << shift);
        if sender.stream.base().is_none() && receiver.snd_nxt().is_none() {
            receiver.has_sent(segment.ack); // picked up in the middle: it tells the place
        }
        done.acked = told.fresh;
        done.zero_window = segment.window == 0 && !segment.is_syn();
        done.odd.add_if(told.shrunk && !segment.is_syn(), Anomaly::WindowShrunk);
        done.odd.add_if(unseen && told.fresh > 0, Anomaly::AckUnseen);
        let Some(end) = sender.end_of_stream(receiver) else { return };
        let behind = sender.stream.acked().since(end);
        if behind == 1 {
            done.state = sender.apply(Trigger::ReceivedFin).or(done.state);
        } else if behind > 1 && !sender.state.has_received_fin() {
            self.forget_fin(!from); // octets that were not seen ran over it
        }
    }

    /// RFC 9293, 3.10.7.4, fifth check: the receiver learns that its SYN and its FIN arrived.
    pub(super) fn received_ack(&mut self, to: Side, segment: &Segment<'_>) {
        let state = self.sides[to].state;
        if state == State::SynReceived && self.acks_syn(to, segment) {
            self.sides[to].apply(Trigger::ReceivedAckOfSyn);
        } else if state == State::SynSent && !segment.is_syn() {
            self.sides[to].apply(Trigger::ReceivedSynAck); // inferred: see `in_syn_sent`
        }
        let acks_fin = self.sides[to].fin().is_some_and(|fin| fin.lt(segment.ack));
        if acks_fin {
            self.sides[to].apply(Trigger::ReceivedAckOfFin);
        }
    }

    /// After an active open Linux takes any acceptable ACK for one of its SYN.
    fn acks_syn(&self, to: Side, segment: &Segment<'_>) -> bool {
        let sender = &self.sides[!to];
        if self.sides[to].offer.active() && self.strictness.rules().request {
            return true;
        }
        sender.stream.base().is_none_or(|base| base.le(segment.ack))
    }
}
