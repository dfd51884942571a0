//! What a host does with a segment that reaches it: RFC 9293, 3.10.7.

use super::{Host, Packet, Time};
use crate::model::network::rng::Rng;
use crate::options::Options;
use crate::{Flags, Segment, State};
use ringbuf_core::SeqNum;
use std::vec::Vec;

const ACK_DELAY: Time = Time::from_millis(40);

impl Host {
    /// The place of a sequence number of the peer, near what is expected.
    fn place(&self, seq: SeqNum) -> i64 {
        i64::from(self.rcv_nxt) + i64::from(seq.distance(self.irs + self.rcv_nxt))
    }

    /// The place that an acknowledgement number names.
    fn ack_place(&self, ack: SeqNum) -> i64 {
        i64::from(self.una) + i64::from(ack.distance(self.plan.iss + self.una))
    }

    pub(in crate::model::network) fn receive(&mut self, now: Time, packet: &Packet, rng: &mut Rng) {
        let segment = packet.segment();
        match self.state {
            State::Closed => self.answer_with_reset(&segment),
            State::Listen => {
                if segment.opens() {
                    self.take_syn(&segment);
                    self.state = State::SynReceived;
                    self.answer_syn(now);
                }
            }
            State::SynSent => self.in_syn_sent(now, &segment),
            _ => self.in_connection(now, &segment, rng),
        }
        self.touch(now);
        if self.state == State::Closed {
            self.close();
        }
        self.output(now, rng);
    }

    /// There is no such connection.
    fn answer_with_reset(&mut self, s: &Segment<'_>) {
        if s.is_rst() {
            return;
        }
        let (seq, ack, flags) = if s.is_ack() {
            (s.ack, SeqNum(0), Flags::RST)
        } else {
            (SeqNum(0), s.end(), Flags::RST | Flags::ACK)
        };
        let options = Options::default();
        self.out.push(Packet { seq, ack, flags, window: 0, options, payload: Vec::new() });
    }

    fn take_syn(&mut self, s: &Segment<'_>) {
        let o = &s.options;
        self.irs = s.seq;
        self.stamps = self.plan.timestamps && o.timestamps.is_some();
        self.scaled = self.plan.scale.is_some() && o.window_scale.is_some();
        self.selective = self.plan.sack && o.sack_permitted;
        self.peer_scale = o.window_scale.unwrap_or(0);
        self.recent = o.timestamps.map_or(0, |t| t.value);
        self.widest = s.window.into();
        self.edge = 1 + self.widest;
    }

    fn answer_syn(&mut self, now: Time) {
        self.emit(now, 0, Flags::SYN | Flags::ACK, Vec::new());
        self.resend_at = Some(now + self.timeout);
    }

    fn establish(&mut self, now: Time) {
        self.state = State::Established;
        self.established_at = Some(now);
        (self.una, self.nxt) = (1, 1);
        self.resend_at = None;
        self.timeout = self.plan.timeout;
    }

    /// RFC 9293, 3.10.7.3.
    fn in_syn_sent(&mut self, now: Time, s: &Segment<'_>) {
        if s.is_ack() && s.ack != self.plan.iss + 1 {
            return self.answer_with_reset(s);
        }
        if s.is_rst() {
            if s.is_ack() {
                self.state = State::Closed;
            }
        } else if s.is_syn() {
            self.take_syn(s);
            if s.is_ack() {
                self.establish(now);
                self.ack_now = true;
            } else {
                self.state = State::SynReceived;
                self.answer_syn(now);
            }
        }
    }

    /// RFC 9293, 3.10.7.4.
    fn in_connection(&mut self, now: Time, s: &Segment<'_>, rng: &mut Rng) {
        let at = self.place(s.seq);
        if s.is_rst() {
            return self.take_reset(at);
        }
        let stale = s.options.timestamps.is_some_and(|t| (SeqNum(t.value) + 1).lt(SeqNum(self.recent)));
        let end = at + i64::from(s.seq_len());
        if self.stamps && stale || end < self.acked.into() || at > self.offered.max(self.rcv_nxt).into() {
            self.ack_now = true;
            return;
        }
        if s.is_syn() && !(self.state == State::SynReceived && s.is_ack()) {
            if self.state == State::SynReceived {
                self.answer_syn(now);
            }
            self.ack_now = self.state != State::SynReceived;
            return;
        }
        if !s.is_ack() || !self.take_ack(now, s, rng) {
            return;
        }
        if let Some(t) = s.options.timestamps.filter(|_| self.stamps && at <= self.acked.into())
            && !SeqNum(t.value).lt(SeqNum(self.recent))
        {
            self.recent = t.value;
        }
        self.take_data(now, s, at);
    }

    /// RFC 5961, 3.2, and where Linux takes one besides.
    fn take_reset(&mut self, at: i64) {
        use State::{CloseWait, Closing, LastAck};
        let next = i64::from(self.rcv_nxt);
        let below_fin = matches!(self.state, CloseWait | LastAck | Closing) && at == next - 1;
        let top = self.received.len() as i64 + 1;
        let at_edge = self.selective && top > next && at == top;
        if at == next || below_fin || at_edge {
            self.state = State::Closed;
        } else {
            self.ack_now = (next..=self.offered.into()).contains(&at);
        }
    }

    /// Returns whether the rest of the segment counts.
    fn take_ack(&mut self, now: Time, s: &Segment<'_>, rng: &mut Rng) -> bool {
        let ack = self.ack_place(s.ack);
        let oldest = i64::from(self.una) - i64::from(self.widest.min(self.una.saturating_sub(1)));
        if ack > self.max.into() || ack < oldest || self.state == State::SynReceived && ack < 1 {
            self.ack_now = true;
            return false;
        }
        if self.state == State::SynReceived {
            self.establish(now);
        }
        let window = u32::from(s.window) << if self.scaled && !s.is_syn() { self.peer_scale } else { 0 };
        self.widest = self.widest.max(window);
        let ack = ack.max(0) as u32;
        self.edge = self.edge.max(ack + window);
        if ack > self.una {
            self.advance(now, ack);
        } else if ack == self.una && self.una < self.max && s.seq_len() == 0 {
            self.duplicates += 1;
            if self.duplicates == 3 {
                self.retransmit_first(now, rng);
            }
        }
        true
    }

    fn advance(&mut self, now: Time, ack: u32) {
        (self.una, self.nxt, self.duplicates) = (ack, self.nxt.max(ack), 0);
        self.timeout = self.plan.timeout;
        self.resend_at = (self.una < self.nxt).then_some(now + self.timeout);
        self.probe_at = None;
        self.cwnd += self.plan.mss;
        if ack > self.end() {
            self.state = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                other => other,
            };
        }
    }

    fn take_data(&mut self, now: Time, s: &Segment<'_>, at: i64) {
        if s.seq_len() == 0 || s.is_syn() {
            return;
        }
        let before = self.rcv_nxt;
        if !self.has_peer_fin() {
            for (place, octet) in (at..).zip(s.payload) {
                self.store(place, *octet);
            }
            let fin = at + s.payload.len() as i64;
            if s.is_fin() && fin <= self.offered.into() {
                self.peer_fin = Some(fin as u32);
            }
            self.move_on(now);
        }
        let plain = self.rcv_nxt > before && !s.is_fin() && self.received.len() as u32 + 1 == self.rcv_nxt;
        if plain && self.plan.delayed_ack && self.ack_at.is_none() {
            self.ack_at = Some(now + ACK_DELAY);
        } else {
            self.ack_now = true;
        }
    }

    fn has_peer_fin(&self) -> bool {
        self.state.has_received_fin() || self.state == State::Closed
    }

    fn store(&mut self, place: i64, octet: u8) {
        if place < self.rcv_nxt.into() || place >= self.offered.into() {
            return;
        }
        let i = place as usize - 1;
        if self.received.len() <= i {
            self.received.resize(i + 1, None);
        }
        self.received[i] = self.received[i].or(Some(octet));
    }

    /// Takes what is in order now.
    fn move_on(&mut self, now: Time) {
        let before = self.rcv_nxt;
        while self.received.get(self.rcv_nxt as usize - 1).is_some_and(Option::is_some) {
            self.rcv_nxt += 1;
        }
        if (self.plan.stall.0..self.plan.stall.1).contains(&now) {
            self.unread += self.rcv_nxt - before;
        }
        if self.peer_fin == Some(self.rcv_nxt) {
            self.rcv_nxt += 1;
            self.state = match self.state {
                State::Established => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                other => other,
            };
        }
    }
}
