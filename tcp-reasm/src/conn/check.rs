//! Would the receiver take this segment? RFC 9293, 3.10.7, in its order, with RFC 5961 and 7323, as Linux does it.

use super::{Conn, Strictness};
use crate::report::{Anomaly, Verdict};
use crate::segment::Segment;
use crate::side::Side;
use crate::space::Space;
use crate::state::State;
use ringbuf_core::SeqNum;

/// A segment between two sides, and how to judge it.
struct Case<'a> {
    sender: &'a Space,
    receiver: &'a Space,
    segment: &'a Segment<'a>,
    lossy: bool,
}

/// Judges a segment from `from` by what its receiver knows.
pub(super) fn judge(conn: &Conn, from: Side, segment: &Segment<'_>) -> Verdict {
    let (sender, receiver) = (&conn.sides[from], &conn.sides[!from]);
    let case = Case { sender, receiver, segment, lossy: conn.strictness == Strictness::Lossy };
    if segment.is_syn() && is_new_connection(conn, from, segment) {
        return Verdict::Restart;
    }
    if conn.inferred && from == Side::Server && segment.is_syn() && segment.is_ack() {
        // The handshake was guessed from an ACK; this tells how it really went.
        return case.answers_syn().map_or(Verdict::Accept, Verdict::Refuse);
    }
    let refusal = case.signature().or_else(|| match receiver.state {
        State::Closed if receiver.sent_syn() || sender.sent_syn() => Some(Anomaly::AfterClose),
        State::Closed | State::Listen => case.in_listen(),
        State::SynSent => case.in_syn_sent(conn),
        State::SynReceived => case.in_syn_received(),
        _ => case.in_synchronized(),
    });
    refusal.map_or(Verdict::Accept, Verdict::Refuse)
}

/// A SYN that starts anew between the same ports: after the end, or answered by the other side.
fn is_new_connection(conn: &Conn, from: Side, segment: &Segment<'_>) -> bool {
    if segment.opens() {
        let receiver = &conn.sides[!from];
        return conn.is_over() && receiver.stream.base().is_none_or(|base| segment.seq + 1 != base);
    }
    // A SYN/ACK for the SYN that was refused inside the old connection: the peer had forgotten that one.
    let answers = conn.other_syn.is_some_and(|syn| segment.ack == syn.isn + 1);
    segment.is_ack() && answers && from == Side::Server && conn.sides.client.state != State::SynSent
}

impl Case<'_> {
    /// Hosts with a key (RFC 2385, 5925) take signed segments only, hosts without one none. That both have one is
    /// known once both SYNs are signed.
    fn signature(&self) -> Option<Anomaly> {
        let has_key = |space: &Space| space.syn.is_some_and(|syn| syn.signed);
        let both = has_key(self.sender) && has_key(self.receiver);
        match (self.segment.options.signed, both) {
            (true, false) if !self.segment.is_syn() => Some(Anomaly::Signed),
            (false, true) => Some(Anomaly::Unsigned),
            _ => None,
        }
    }

    /// RFC 9293, 3.10.7.2: only a SYN opens; one with FIN or RST is dropped by every stack in use.
    fn in_listen(&self) -> Option<Anomaly> {
        if self.segment.opens() {
            None
        } else if self.segment.is_syn() && !self.segment.is_ack() {
            Some(Anomaly::SynInvalid)
        } else {
            Some(Anomaly::HandshakeExpected)
        }
    }

    /// RFC 9293, 3.10.7.3.
    fn in_syn_sent(&self, conn: &Conn) -> Option<Anomaly> {
        let s = self.segment;
        // Of several SYNs any may be the one that is answered.
        let answers_other = conn.other_syn.is_some_and(|syn| s.ack == syn.isn + 1);
        if s.is_ack() && !answers_other {
            if let Some(anomaly) = self.answers_syn() {
                return Some(anomaly);
            }
        } else if !s.is_ack() && s.is_rst() {
            return Some(Anomaly::NoAck); // second check: a RST without an acceptable ACK is dropped
        }
        if s.is_syn() && s.is_fin() && !s.is_rst() {
            return Some(Anomaly::SynInvalid);
        }
        (!s.is_syn() && !s.is_rst()).then_some(Anomaly::HandshakeExpected)
    }

    /// First check of 3.10.7.3: SND.UNA < SEG.ACK =< SND.NXT, where only the SYN, perhaps with data, was sent. Linux
    /// also wants the timestamp of one of its SYNs echoed.
    fn answers_syn(&self) -> Option<Anomaly> {
        let iss = self.sender.stream.base().map(|base| base - 1);
        let sent = self.receiver.snd_nxt();
        if iss.is_some_and(|iss| !iss.lt(self.segment.ack))
            || sent.is_some_and(|nxt| nxt.lt(self.segment.ack))
        {
            return Some(Anomaly::AckUnsent);
        }
        (!self.echoes_syn()).then_some(Anomaly::TimestampEcho)
    }

    fn echoes_syn(&self) -> bool {
        let Some(t) = self.segment.options.timestamps.filter(|t| t.echo != 0) else { return true };
        let first = self.receiver.syn.and_then(|syn| syn.timestamp);
        let (Some(first), Some(last)) = (first, self.sender.ts_recent) else { return true };
        SeqNum(first).le(SeqNum(t.echo)) && SeqNum(t.echo).le(SeqNum(last))
    }

    /// RFC 9293, 3.10.7.4 for SYN-RECEIVED.
    fn in_syn_received(&self) -> Option<Anomaly> {
        let s = self.segment;
        if s.opens() {
            // A repeated SYN is taken. One with another ISN is refused, but remembered in case that one is answered
            // (see `Conn::note_refused`).
            return (self.receiver.stream.base() != Some(s.seq + 1)).then_some(Anomaly::SynInConnection);
        }
        if s.is_rst() {
            return self.rst();
        }
        if s.is_syn() && !s.is_ack() {
            return Some(Anomaly::SynInvalid);
        }
        if !s.is_ack() {
            return Some(Anomaly::NoAck);
        }
        // The ACK must be for the SYN/ACK. Not every SYN/ACK is captured: without one, any ACK is the answer.
        if let Some(base) = self.sender.stream.base() {
            if s.ack.lt(base) {
                return Some(Anomaly::AckTooOld);
            }
            if self.receiver.snd_nxt().is_some_and(|nxt| nxt.lt(s.ack)) {
                return Some(Anomaly::AckUnsent);
            }
        }
        self.paws().or_else(|| self.window())
    }

    /// RFC 9293, 3.10.7.4 for the states from ESTABLISHED on.
    fn in_synchronized(&self) -> Option<Anomaly> {
        let s = self.segment;
        if s.is_rst() {
            return self.rst();
        }
        if let Some(anomaly) = self.paws() {
            return Some(anomaly);
        }
        if s.is_syn() {
            // The peer's own, again, or an intruder: a host answers both with an ACK and no more (RFC 5961, 4).
            let again = self.receiver.stream.base() == Some(s.seq + 1);
            return Some(if again { Anomaly::OldSegment } else { Anomaly::SynInConnection });
        }
        if !s.is_ack() {
            return Some(Anomaly::NoAck);
        }
        self.old().or_else(|| self.window()).or_else(|| self.ack()).or_else(|| self.behind_fin())
    }

    /// RFC 7323, 5.3 R1. Linux does not apply it to a RST, and lets a clock step back by one tick.
    fn paws(&self) -> Option<Anomaly> {
        let offers = |space: &Space| space.syn.is_some_and(|syn| syn.timestamp.is_some());
        if !(offers(self.sender) && offers(self.receiver)) {
            return None;
        }
        let (t, recent) = (self.segment.options.timestamps?, self.receiver.ts_recent?);
        (SeqNum(t.value) + 1).lt(SeqNum(recent)).then_some(Anomaly::Paws)
    }

    /// RFC 5961, 3.2: only a RST at RCV.NXT resets. Linux also takes one just below it when the peer's FIN was taken,
    /// and one at the right edge of what it has acknowledged selectively.
    fn rst(&self) -> Option<Anomaly> {
        self.receiver.stream.base()?; // else there is nothing to judge it by
        let at = self.receiver.stream.position(self.segment.seq);
        let expected = self.receiver.rcv_nxt(self.sender).0.cast_signed();
        let sack = |space: &Space| space.syn.is_none_or(|syn| syn.sack);
        let selective = self.lossy || sack(self.sender) && sack(self.receiver);
        let at_edge = selective && at > expected && self.sender.snd_nxt() == Some(self.segment.seq);
        let below_fin = self.receiver.state.has_received_fin() && at + 1 == expected;
        (at != expected && !below_fin && !at_edge).then_some(Anomaly::RstInexact)
    }

    /// Wholly below what was acknowledged, and seen before: a host drops it without a second look.
    fn old(&self) -> Option<Anomaly> {
        let stream = &self.receiver.stream;
        stream.base()?;
        let end = stream.position(self.segment.seq) + i64::from(self.segment.seq_len());
        let old = stream.is_acknowledged() && end < stream.acked().0.cast_signed() && end <= self.seen_end();
        old.then_some(Anomaly::OldSegment)
    }

    /// How far the receiver's stream was seen here, the FIN counted once taken. What was acknowledged but not seen can
    /// still come late in the capture.
    fn seen_end(&self) -> i64 {
        let next = self.receiver.stream.next();
        let end = self.receiver.end_of_stream(self.sender).filter(|end| next >= *end);
        end.map_or(next, |end| end.saturating_add(1)).0.cast_signed()
    }

    /// First check of RFC 9293, 3.10.7.4, by the window that the receiver advertised.
    fn window(&self) -> Option<Anomaly> {
        let stream = &self.receiver.stream;
        stream.base()?;
        let at = stream.position(self.segment.seq);
        // An acknowledgement that was not captured can have moved the edge, by no more than a window.
        let slack = if self.lossy { stream.widest().into() } else { 0 };
        let edge = stream.edge()?.saturating_add(slack).0.cast_signed();
        let beyond = at > edge || at == edge && self.segment.payload_len > 0;
        beyond.then_some(Anomaly::OutOfWindow)
    }

    /// Fifth check of RFC 9293, 3.10.7.4, with RFC 5961, 5.2.
    fn ack(&self) -> Option<Anomaly> {
        // What the receiver sent and the sender acknowledges is the stream that the sender receives.
        let stream = &self.sender.stream;
        stream.base()?;
        let ack = stream.position(self.segment.ack);
        let sent = self.receiver.snd_nxt().map_or(i64::MAX, |nxt| stream.position(nxt));
        // Octets that are missing in the capture can be acknowledged, but not more than had room in the window.
        let unseen = if self.lossy { stream.edge().map_or(i64::MAX, |e| e.0.cast_signed()) } else { sent };
        if ack > sent && ack > unseen {
            return Some(Anomaly::AckUnsent);
        }
        let acked = stream.acked().0.cast_signed();
        let oldest = acked - acked.min(i64::from(stream.widest()));
        (ack < oldest && !stream.is_midstream()).then_some(Anomaly::AckTooOld)
    }

    /// Nothing follows a FIN that was taken.
    fn behind_fin(&self) -> Option<Anomaly> {
        if self.segment.payload_len == 0 || !self.receiver.state.has_received_fin() {
            return None;
        }
        let fin = self.receiver.end_of_stream(self.sender)?;
        let end =
            self.receiver.stream.position(self.segment.data_seq()) + i64::from(self.segment.payload_len);
        (end > fin.0.cast_signed()).then_some(Anomaly::DataAfterFin)
    }
}
