//! Acknowledgements: what the sender has received, and what that means for the states of the receiver.

use super::Conn;
use crate::segment::Segment;
use crate::side::Side;
use crate::state::{State, Trigger};

impl Conn {
    /// The sender of an ACK has everything below it, and room for its window beyond. When that covers the peer's FIN
    /// the sender took it, even if octets before it were not captured.
    pub(super) fn sent_ack(&mut self, from: Side, segment: &Segment<'_>) -> Option<State> {
        let window = self.sides[from].window_of(segment, &self.sides[!from]);
        self.sides[from].stream.acknowledge(segment.ack, window);
        let end = self.sides[from].end_of_stream(&self.sides[!from])?;
        if self.sides[from].stream.acked() <= end {
            return None;
        }
        self.sides[from].apply(Trigger::ReceivedFin)
    }

    /// RFC 9293, 3.10.7.4, fifth check: the receiver learns that its SYN and its FIN arrived.
    pub(super) fn received_ack(&mut self, to: Side, segment: &Segment<'_>) {
        let state = self.sides[to].state;
        if state == State::SynReceived && self.acks_syn(to, segment) {
            self.sides[to].apply(Trigger::ReceivedAckOfSyn);
        }
        let acks_fin = self.sides[to].fin.is_some_and(|fin| fin.lt(segment.ack));
        if acks_fin {
            self.sides[to].apply(Trigger::ReceivedAckOfFin);
        }
    }

    fn acks_syn(&self, to: Side, segment: &Segment<'_>) -> bool {
        let sender = &self.sides[!to];
        sender.stream.base().is_none_or(|base| base.le(segment.ack))
    }
}
