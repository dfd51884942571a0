//! SYNs, of all the kinds that are seen: the usual three, four-way and split handshakes, simultaneous open, repeated
//! ones, and those that were not captured.

use super::Conn;
use super::check::Case;
use crate::anomaly::Anomaly;
use crate::report::Sent;
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::Offer;
use crate::state::{State, Trigger};
use ringbuf_core::{Offset, SeqNum};

impl Conn {
    /// Follows what a refused segment still does, or may turn out to mean: a SYN with another ISN, should the peer
    /// answer that one, and should it make a server forget the one that it had answered; that octets were sent which the
    /// receiver may yet acknowledge. No stream changes.
    pub fn note_refused(&mut self, from: Side, segment: &Segment<'_>, anomaly: Anomaly) {
        match anomaly {
            // Linux takes octets in order whatever they acknowledge, when it has memory at hand (its fast path). They
            // were sent, at any rate: should the receiver acknowledge them, they are a gap.
            Anomaly::AckTooOld if Case::new(self, from, segment).is_for_fast_path() => {
                self.sides[from].has_sent(segment.end());
            }
            // Perhaps the capture lacks a whole window, and this is where the connection goes on.
            Anomaly::OutOfWindow if self.strictness.rules().lossy => self.sides[from].has_sent(segment.end()),
            _ => {}
        }
        if segment.is_syn() {
            self.note_refused_syn(from, segment, anomaly);
            self.note_steady();
        }
    }

    fn note_refused_syn(&mut self, from: Side, segment: &Segment<'_>, anomaly: Anomaly) {
        let looked_at =
            matches!(anomaly, Anomaly::SynAckUnexpected | Anomaly::SynInConnection | Anomaly::SynInvalid);
        if looked_at && Case::new(self, from, segment).voids_request() {
            self.sides[!from].apply(Trigger::ResetPassive);
        }
        let looked_at = looked_at || matches!(anomaly, Anomaly::OldSegment | Anomaly::SynInTimeWait);
        if !looked_at {
            return; // nobody takes anything of it
        }
        let other_syn = from == Side::Client && segment.opens();
        let waits = self.sides.server.state == State::SynReceived && !segment.is_rst();
        let other_syn_ack = from == Side::Server && segment.is_ack() && waits;
        if self.sides[!from].stream.base() == Some(segment.seq + 1) {
            self.sides[from].offer.repeated(segment); // the receiver may not have got the first one
        } else if other_syn || other_syn_ack && self.sides.server.stream.base() == Some(segment.ack) {
            (self.other_isn, self.other_offer) = (segment.seq, Offer::of(segment));
        }
    }

    pub(super) fn sent_syn(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        let mut done = Sent::default();
        let answer = segment.is_ack();
        if answer && from == Side::Server {
            self.follow_answer(segment, &mut done);
        }
        let first = !self.sides[from].sent_syn();
        done.odd.add_if(!answer && first && self.sides[!from].offer.active(), Anomaly::SynCrossed);
        done.started = !answer && self.sides[from].state == State::Closed && first;
        // In LISTEN every SYN is the first one; what an earlier one left (it was reset) is void.
        let anew = self.sides[!from].state == State::Listen && !answer;
        if anew && !first {
            self.begin_again(from, &mut done);
        }
        done.state = self.sides[from].apply(if answer { Trigger::SentSynAck } else { Trigger::SentSyn });
        self.note_offer(from, segment, anew);
        self.sides[from].stream.advertise(segment.window.into());
        if anew || self.sides[!from].stream.base().is_none() {
            self.sides[!from].stream.place(segment.seq + 1);
            self.sides[!from].forget_timestamp();
        }
        done
    }

    /// The server's SYN/ACK: it corrects a guess, tells which SYN is answered, and whether its octets are taken.
    fn follow_answer(&mut self, segment: &Segment<'_>, done: &mut Sent) {
        done.restarted = self.correct_guess(segment);
        let other = self.follow_answered_syn(segment);
        done.odd.add_if(other, Anomaly::SynOther);
        done.restarted.server |= other;
        let acked = self.sides.server.stream.position(segment.ack).max(0).cast_unsigned();
        done.syn_data = self.decide_syn_data(Offset(acked));
    }

    /// Keeps what the SYN offers. A host that cannot verify a signed SYN goes by the next one that is not signed.
    fn note_offer(&mut self, from: Side, segment: &Segment<'_>, anew: bool) {
        let known = self.sides[from].offer;
        let verified =
            !known.signed() || self.sides[!from].offer.seen() || segment.options.signature.is_some();
        let same = self.sides[!from].stream.base() == Some(segment.seq + 1);
        if anew || !known.seen() && !same || !verified {
            self.sides[from].restart_sending(Offer::of(segment), segment.data_seq());
        } else if !known.seen() {
            self.sides[from].offer = Offer::of(segment); // it comes late: other segments told its number before
            self.sides[from].has_sent(segment.data_seq());
        } else if same {
            self.sides[from].offer.repeated(segment);
        }
    }

    /// The side that had begun sends its first SYN again: the server had forgotten the last one.
    fn begin_again(&mut self, from: Side, done: &mut Sent) {
        for (side, state) in [(from, State::Closed), (!from, State::Listen)] {
            self.sides[side] = self.sides[side].anew(state);
        }
        self.syn_data = false;
        self.forget_other_syn();
        done.restarted = Sides { client: true, server: true };
    }

    /// Of several SYNs the connection is the one that the server answers. Returns whether it is another one than was
    /// followed so far.
    fn follow_answered_syn(&mut self, segment: &Segment<'_>) -> bool {
        let Some((isn, offer)) =
            self.other_syn(segment).filter(|_| self.sides.client.state == State::SynSent)
        else {
            return false;
        };
        match self.sides.server.stream.base().filter(|_| self.sides.client.offer.active()) {
            // The answer may be forged, and the true one on the way.
            Some(base) => {
                (self.other_isn, self.other_offer) = (base - 1, self.sides.client.offer.as_followed());
            }
            None => self.forget_other_syn(),
        }
        self.sides.server.stream.place(isn + 1);
        self.sides.server.forget_timestamp();
        self.sides.client.restart_sending(offer, isn + 1);
        self.syn_data = false;
        true
    }

    /// Octets in a SYN count when they are acknowledged at once (RFC 7413, 4.2), up to `acked`; else they come again.
    pub(super) fn decide_syn_data(&mut self, acked: Offset) -> Option<bool> {
        if !core::mem::take(&mut self.syn_data) {
            return None;
        }
        let stream = &mut self.sides.server.stream;
        // Where they had no room, or were let go, there is nothing left to take.
        let held = acked >= stream.window().run().start;
        if held {
            stream.retract(acked);
        } else {
            stream.pass_to(acked);
        }
        let taken = stream.base().map(|base| stream.next().seq(base));
        self.sides.client.sends_again_from(taken);
        Some(held && acked > Offset::ZERO)
    }

    /// Without the SYN/ACK the client's next octets tell: behind those of the SYN, or in their place.
    pub(super) fn decide_syn_data_by(&mut self, from: Side, segment: &Segment<'_>) -> Option<bool> {
        let follows =
            from == Side::Client && !segment.is_syn() && (segment.payload_len > 0 || segment.is_fin());
        if !follows || !self.syn_data {
            return None;
        }
        let at = self.sides.server.stream.position(segment.data_seq());
        self.decide_syn_data(Offset(at.max(0).cast_unsigned()))
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

    /// A segment that only an established end sends, from one whose handshake was not seen whole. From SYN-SENT: the
    /// SYN/ACK was not captured, and its ISN is what this segment acknowledges, a guess until the server is heard. From
    /// SYN-RECEIVED, where the capture may lack the ACK of the client: payload.
    pub(super) fn infer_handshake(&mut self, from: Side, segment: &Segment<'_>) -> Option<State> {
        let state = self.sides[from].state;
        let lacks_ack =
            self.strictness.rules().lossy && segment.payload_len > 0 && state == State::SynReceived;
        if !segment.is_ack() || state != State::SynSent && !lacks_ack {
            return None;
        }
        if self.sides[from].stream.base().is_none() {
            self.sides[from].stream.place(segment.ack);
            self.sides[from].stream.guessed = true;
            self.sides[!from].has_sent(segment.ack);
        }
        self.sides[from].apply(Trigger::SentAck)
    }

    /// The SYN/ACK after all. When it is another one than was guessed, nothing that followed the guess was taken by
    /// the server: both streams begin anew.
    fn correct_guess(&mut self, segment: &Segment<'_>) -> Sides<bool> {
        let client = &mut self.sides.client.stream;
        let guessed_right = client.base() == Some(segment.seq + 1);
        if !core::mem::take(&mut client.guessed) || guessed_right {
            return Sides::default();
        }
        client.place(segment.seq + 1);
        let base = self.sides.server.stream.base().unwrap_or(segment.ack);
        self.sides.server.stream.place(base);
        self.sides.server.restart_sending(Offer::NONE, segment.end());
        let offer = self.sides.client.offer;
        self.sides.client.restart_sending(offer, base);
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

    /// Of several SYN/ACKs the connection is the one that the client acknowledges. Returns whether it is another one than
    /// was followed so far.
    pub(super) fn follow_acknowledged_syn_ack(&mut self, segment: &Segment<'_>) -> bool {
        let waits = segment.is_ack() && self.sides.server.state == State::SynReceived;
        let Some((isn, offer)) = self.other_syn_ack(segment).filter(|_| waits) else {
            return false;
        };
        self.forget_other_syn();
        self.sides.client.stream.place(isn + 1);
        self.sides.client.forget_timestamp();
        self.sides.server.restart_sending(offer, isn + 1);
        true
    }

    /// Another SYN of the client, with a different ISN, which `answer` acknowledges.
    pub(super) fn other_syn(&self, answer: &Segment<'_>) -> Option<(SeqNum, Offer)> {
        self.other(true, answer)
    }

    /// Another SYN/ACK of the server, with a different ISN, which `answer` acknowledges.
    pub(super) fn other_syn_ack(&self, answer: &Segment<'_>) -> Option<(SeqNum, Offer)> {
        self.other(false, answer)
    }

    fn other(&self, active: bool, answer: &Segment<'_>) -> Option<(SeqNum, Offer)> {
        let is = self.other_offer.seen() && self.other_offer.active() == active;
        let answered = answer.ack == self.other_isn + 1;
        (is && answered).then_some((self.other_isn, self.other_offer))
    }

    pub(super) fn forget_other_syn(&mut self) {
        (self.other_isn, self.other_offer) = (SeqNum(0), Offer::NONE);
    }
}
