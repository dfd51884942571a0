//! SYNs, of all the kinds that are seen: the usual three, four-way and split handshakes, simultaneous open, repeated
//! ones, and those that were not captured.

use super::Conn;
use crate::report::Sent;
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::Syn;
use crate::state::{State, Trigger};

impl Conn {
    /// Keeps what a refused segment may turn out to mean: a SYN with another ISN, should the peer answer that one.
    pub fn note_refused(&mut self, from: Side, segment: &Segment<'_>) {
        if from == Side::Client && segment.opens() {
            self.other_syn = Some(Syn::of(segment));
        }
    }

    pub(super) fn sent_syn(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        let mut done = Sent::default();
        let answer = segment.is_ack();
        if answer && from == Side::Server {
            done.restarted = self.correct_guess(segment);
            done.restarted.server |= self.follow_answered_syn(segment);
            done.syn_data = self.decide_syn_data(self.sides.server.stream.position(segment.ack) > 0);
        }
        let trigger = if answer { Trigger::SentSynAck } else { Trigger::SentSyn };
        done.started = !answer && self.sides[from].state == State::Closed && !self.sides[from].sent_syn();
        done.state = self.sides[from].apply(trigger);
        let window = self.sides[from].window_of(segment, &self.sides[!from]);
        // In LISTEN every SYN is the first one; what an earlier one left (it was reset) is void.
        let anew = self.sides[!from].state == State::Listen;
        let placed = self.sides[!from].stream.base().is_some();
        if anew || self.sides[from].syn.is_none() {
            self.sides[from].restart_sending(Some(Syn::of(segment)), segment.end());
        }
        self.sides[from].stream.advertise(window);
        if anew || !placed {
            self.sides[!from].stream.place(segment.seq + 1);
        }
        if anew && placed {
            self.syn_data = false;
            done.restarted[!from] = true;
        }
        done
    }

    /// Of several SYNs the connection is the one that the server answers. Returns whether it is another one than was
    /// followed so far.
    fn follow_answered_syn(&mut self, segment: &Segment<'_>) -> bool {
        let answered = self.other_syn.filter(|syn| segment.ack == syn.isn + 1);
        let Some(syn) = answered.filter(|_| self.sides.client.state == State::SynSent) else { return false };
        self.other_syn = None;
        self.sides.server.stream.place(syn.isn + 1);
        self.sides.client.restart_sending(Some(syn), syn.isn + 1);
        self.syn_data = false;
        true
    }

    /// Octets in a SYN count when they are acknowledged at once (RFC 7413, 4.2); else they come again.
    pub(super) fn decide_syn_data(&mut self, taken: bool) -> Option<bool> {
        core::mem::take(&mut self.syn_data).then_some(taken)
    }

    /// Without the SYN/ACK the client's next octets tell: behind those of the SYN, or in their place.
    pub(super) fn decide_syn_data_by(&mut self, from: Side, segment: &Segment<'_>) -> Option<bool> {
        let follows =
            from == Side::Client && !segment.is_syn() && (segment.payload_len > 0 || segment.is_fin());
        if !follows || !self.syn_data {
            return None;
        }
        let stream = &self.sides.server.stream;
        let behind = stream.position(segment.data_seq()) >= stream.next().0.cast_signed();
        self.decide_syn_data(behind)
    }

    /// Returns whether this is the SYN that starts the connection.
    pub(super) fn received_syn(&mut self, to: Side, segment: &Segment<'_>) -> bool {
        let space = &mut self.sides[to];
        let fresh = space.state == State::Listen;
        let trigger = if segment.is_ack() { Trigger::ReceivedSynAck } else { Trigger::ReceivedSyn };
        // In a split handshake the ACK of the SYN/ACK is left to the ACK processing.
        let simultaneous = segment.is_ack() && space.state == State::SynReceived;
        let changed = if simultaneous { None } else { space.apply(trigger) };
        fresh && changed.is_some() && !segment.is_ack() && !self.started
    }

    /// A segment that only an established end sends, from one that is still in SYN-SENT: the SYN/ACK was not
    /// captured, and its ISN is what this segment acknowledges. A guess until the server is heard.
    pub(super) fn infer_handshake(&mut self, from: Side, segment: &Segment<'_>) -> Option<State> {
        if !segment.is_ack() {
            return None;
        }
        if self.sides[from].stream.base().is_none() && self.sides[from].state == State::SynSent {
            self.sides[from].stream.place(segment.ack);
            self.sides[!from].has_sent(segment.ack);
            self.inferred = true;
        }
        self.sides[from].apply(Trigger::SentAck)
    }

    /// The SYN/ACK after all. When it is another one than was guessed, nothing that followed the guess was taken by
    /// the server: both streams begin anew.
    fn correct_guess(&mut self, segment: &Segment<'_>) -> Sides<bool> {
        let guessed_right = self.sides.client.stream.base() == Some(segment.seq + 1);
        if !core::mem::take(&mut self.inferred) || guessed_right {
            return Sides::default();
        }
        let base = self.sides.server.stream.base().unwrap_or(segment.ack);
        self.sides.client.stream.place(segment.seq + 1);
        self.sides.server.stream.place(base);
        self.sides.server.restart_sending(None, segment.end());
        let syn = self.sides.client.syn;
        self.sides.client.restart_sending(syn, base);
        (self.sides.client.state, self.sides.server.state) = (State::SynSent, State::SynReceived);
        Sides { client: true, server: true }
    }

    /// In a connection picked up in the middle the first payload seen is offset 0.
    pub(super) fn place_midstream(&mut self, from: Side, segment: &Segment<'_>) {
        let occupies = segment.payload_len > 0 || segment.is_fin();
        if occupies && !segment.is_syn() && self.sides[!from].stream.base().is_none() {
            self.sides[!from].stream.place_midstream(segment.seq);
        }
    }
}
