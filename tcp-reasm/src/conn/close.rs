//! FIN and RST: RFC 9293, 3.10.7.4, eighth and second check.

use super::Conn;
use crate::segment::Segment;
use crate::side::Side;
use crate::state::{State, Trigger};

impl Conn {
    /// A side in SYN-SENT resets what it cannot take (3.10.7.3, first check) and goes on waiting; from any other
    /// state a RST is the end.
    pub(super) fn sent_rst(&mut self, from: Side) -> Option<State> {
        if self.sides[from].state == State::SynSent {
            return None;
        }
        self.reset = true;
        self.sides[from].apply(Trigger::Reset)
    }

    /// A RST takes a server that is waiting for the end of the handshake back to LISTEN, and ends everything else.
    pub(super) fn received_rst(&mut self, to: Side) -> Option<State> {
        let listens = to == Side::Server && self.sides[to].state == State::SynReceived;
        if listens && self.sides[!to].state == State::SynSent {
            return self.sides[to].apply(Trigger::ResetPassive);
        }
        self.reset = true;
        self.sides[to].apply(Trigger::Reset)
    }

    /// Notes where the sender's stream ends. A FIN that is not taken yet moves with a later one, as in Linux, which
    /// drops a FIN that later octets run over.
    pub(super) fn sent_fin(&mut self, from: Side, segment: &Segment<'_>) -> Option<State> {
        if !self.sides[!from].state.has_received_fin() {
            self.sides[from].fin = Some(segment.end() - 1);
        }
        let crossing = self.sides[!from].fin.is_some_and(|fin| segment.ack.le(fin));
        let simultaneous = crossing && self.sides[from].state == State::CloseWait;
        self.sides[from].apply(if simultaneous { Trigger::SentFinCrossing } else { Trigger::SentFin })
    }

    /// Takes the peer's FIN once everything before it has come; forgets it when octets run over it. Returns whether
    /// the stream ended now.
    pub(super) fn received_fin(&mut self, to: Side) -> bool {
        let Some(end) = self.sides[to].end_of_stream(&self.sides[!to]) else { return false };
        let next = self.sides[to].stream.next();
        if next < end || self.sides[to].state.has_received_fin() {
            return false;
        }
        if next > end {
            self.sides[!to].fin = None;
            return false;
        }
        self.sides[to].apply(Trigger::ReceivedFin).is_some()
    }
}
