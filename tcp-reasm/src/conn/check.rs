//! Would the receiver take this segment? RFC 9293, 3.10.7, in its order, with RFC 5961 and 7323, as Linux does it.

use super::{Conn, Reset};
use crate::anomaly::Anomaly;
use crate::header::Flags;
use crate::options::{OptionFaults, Signature, Timestamps};
use crate::plain::is_plain;
use crate::report::Verdict;
use crate::segment::Segment;
use crate::side::Side;
use crate::space::Space;
use crate::state::State;
use crate::stream::{Stream, UrgentPolicy};
use crate::strictness::Rules;
use ringbuf_core::SeqNum;

/// A segment between two sides, and how to judge it.
pub(super) struct Case<'a> {
    sender: &'a Space,
    receiver: &'a Space,
    segment: &'a Segment<'a>,
    rules: &'static Rules,
}

/// Judges a segment from `from` by what its receiver knows.
pub(super) fn judge(conn: &Conn, from: Side, segment: &Segment<'_>) -> Verdict {
    let case = Case::new(conn, from, segment);
    if conn.is_steady(from, segment) {
        return case.in_steady().map_or(Verdict::Accept, Verdict::Refuse);
    }
    if let Some(anomaly) = case.unwelcome() {
        return Verdict::Refuse(anomaly);
    }
    if segment.is_syn() {
        if answers_forgotten_syn(conn, from, segment) || case.opens_again(conn) {
            return Verdict::Restart;
        }
        let guessed = conn.sides.client.stream.guessed && conn.reset == Reset::No;
        if guessed && from == Side::Server && segment.is_ack() {
            // The handshake was guessed from an ACK; this tells how it really went.
            return case.answers_syn().map_or(Verdict::Accept, Verdict::Refuse);
        }
    }
    let refusal = match case.receiver.state {
        State::Closed if conn.has_begun() => case.after_end(conn),
        State::Closed | State::Listen => case.in_listen(),
        State::SynSent => case.in_syn_sent(conn),
        State::SynReceived if case.is_request() => case.in_request(conn),
        _ => case.in_synchronized(),
    };
    refusal.map_or(Verdict::Accept, Verdict::Refuse)
}

/// A SYN/ACK for the SYN that was refused inside the old connection: the server had forgotten that one. It does so when
/// it has come to the end; but how it got there may not be captured. Or it is the SYN that was followed until a SYN/ACK,
/// perhaps a forged one, answered another.
fn answers_forgotten_syn(conn: &Conn, from: Side, segment: &Segment<'_>) -> bool {
    let Some((_, offer)) = conn.other_syn(segment) else { return false };
    let plain = segment.is_ack() && !segment.is_rst();
    let ends =
        matches!(conn.sides.server.state, State::Closed | State::Listen | State::LastAck | State::TimeWait);
    let forgets = ends || offer.followed() || conn.strictness.rules().lossy;
    plain && from == Side::Server && conn.sides.client.state != State::SynSent && forgets
}

impl<'a> Case<'a> {
    pub(super) fn new(conn: &'a Conn, from: Side, segment: &'a Segment<'a>) -> Self {
        let (sender, receiver) = (&conn.sides[from], &conn.sides[!from]);
        Case { sender, receiver, segment, rules: conn.strictness.rules() }
    }

    /// What is refused in any state. Hosts with a key (RFC 2385, 5925) take signed segments only, hosts without one
    /// none. That both have one is known once both SYNs are signed.
    fn unwelcome(&self) -> Option<Anomaly> {
        let s = self.segment;
        if self.receiver.state == State::TimeWait && self.rules.request {
            return None; // Linux has no connection left to look up a key for
        }
        if s.flags.has(Flags::URG) && self.receiver.stream.urgent_policy == UrgentPolicy::Drop {
            return Some(Anomaly::UrgentDropped);
        }
        if s.options.faults.has(OptionFaults::SIGNATURE) && self.rules.signature_syntax {
            return Some(Anomaly::SignatureBroken);
        }
        match (s.options.signature, self.sender.offer.signed() && self.receiver.offer.signed()) {
            // Whether a server has a key shows in its answer.
            (Some(Signature::Md5), false) if !s.is_syn() || self.receiver.offer.is_unsigned() => {
                Some(Anomaly::Signed)
            }
            (None, true) => Some(Anomaly::Unsigned),
            _ => None,
        }
    }

    /// A SYN between the ports of a connection that is over for its receiver. In TIME-WAIT it must be newer than what
    /// was there (RFC 9293, 3.6.1; RFC 6191).
    fn opens_again(&self, conn: &Conn) -> bool {
        let s = self.segment;
        match self.receiver.state {
            _ if !s.opens() || !conn.has_begun() => false,
            State::Closed => true,
            State::TimeWait if !self.rules.newer_syn => true,
            State::TimeWait => {
                let recent = self.receiver.ts_recent().filter(|_| self.receiver.has_timestamps(self.sender));
                let older = |recent: u32, t: Timestamps| SeqNum(recent).distance(SeqNum(t.value)) < 0;
                let newer = |recent| s.options.timestamps.is_some_and(|t| older(recent, t));
                let ahead = self.receiver.stream.position(s.seq) > self.rcv_nxt();
                self.paws(0).is_none() && (ahead || recent.is_some_and(newer))
            }
            _ => false,
        }
    }

    /// In CLOSED nothing is taken, but octets that come late in the capture.
    fn after_end(&self, conn: &Conn) -> Option<Anomaly> {
        match conn.reset {
            Reset::No if !self.is_stream_whole() => self.in_synchronized(),
            Reset::No => Some(Anomaly::AfterClose),
            reset if self.goes_on_after_reset(reset) => None,
            _ => Some(Anomaly::AfterReset),
        }
    }

    /// Where the monitor is not beside the hosts, a RST may have been made to reach it alone. So new octets are kept; they
    /// may have been on the way. For connections that were established and not closing.
    fn goes_on_after_reset(&self, reset: Reset) -> bool {
        let s = self.segment;
        let established = [self.sender, self.receiver].into_iter().all(|side| side.fin().is_none());
        let told = self.receiver.stream.is_acknowledged() && self.sender.stream.is_acknowledged();
        let plain = s.is_ack() && !s.flags.any(Flags::SYN | Flags::RST | Flags::FIN);
        let next = self.sender.snd_nxt() == Some(s.seq);
        let new = s.payload_len > 0 || reset.is_doubted();
        self.rules.lossy && established && told && plain && next && new && self.ack().is_none()
    }

    /// RFC 9293, 3.10.7.2: only a SYN opens; one with FIN or RST is dropped by every stack in use.
    fn in_listen(&self) -> Option<Anomaly> {
        let s = self.segment;
        if s.opens() {
            None
        } else if s.is_syn() {
            Some(if s.is_ack() { Anomaly::SynAckUnexpected } else { Anomaly::SynInvalid })
        } else {
            Some(Anomaly::HandshakeExpected)
        }
    }

    /// RFC 9293, 3.10.7.3. A FIN that comes with the SYN is not looked at.
    fn in_syn_sent(&self, conn: &Conn) -> Option<Anomaly> {
        let s = self.segment;
        // Of several SYNs any may be the one that is answered.
        let answers_other = conn.other_syn(s).is_some();
        if s.is_ack() && !answers_other {
            if let Some(anomaly) = self.answers_syn() {
                return Some(anomaly);
            }
        } else if !s.is_ack() && s.is_rst() {
            return Some(Anomaly::NoAck); // second check: a RST without an acceptable ACK is dropped
        }
        let inferred = self.rules.lossy && s.is_ack() && s.payload_len > 0;
        (!s.is_syn() && !s.is_rst() && !inferred).then_some(Anomaly::HandshakeExpected)
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
        self.echo()
    }

    fn echo(&self) -> Option<Anomaly> {
        let t = self.segment.options.timestamps?;
        (!self.receiver.offer.may_have_sent(t.echo)).then_some(Anomaly::TimestampEcho)
    }

    /// A server of Linux has no connection before the handshake is complete, only a request for one.
    fn is_request(&self) -> bool {
        self.rules.request && !self.receiver.offer.active()
    }

    /// RFC 9293, 3.10.7.4 for SYN-RECEIVED after a passive open, in the order of Linux.
    fn in_request(&self, conn: &Conn) -> Option<Anomaly> {
        let s = self.segment;
        let paws = self.paws(0);
        if s.opens() && paws.is_none() && self.receiver.stream.base() == Some(s.seq + 1) {
            return None; // the same SYN again
        }
        if s.is_rst() {
            let exact = self.receiver.stream.base().is_none_or(|base| s.seq == base);
            let refused = (!exact).then_some(Anomaly::RstInexact).or(paws);
            return refused.or_else(|| self.echo_of_syn_ack());
        }
        // Of several SYN/ACKs any may be the one that is acknowledged.
        let acks_other = s.is_ack() && conn.other_syn_ack(s).is_some();
        let answer = || {
            if s.is_ack() { self.acks_syn_ack() } else { None }.or(paws).or_else(|| self.echo_of_syn_ack())
        };
        if let Some(anomaly) = if acks_other { paws } else { answer() } {
            return Some(anomaly);
        }
        if s.is_syn() {
            return self.syn_in_request();
        }
        self.in_request_window().or_else(|| (!s.is_ack()).then_some(Anomaly::NoAck))
    }

    /// Another SYN is refused, but remembered in case that one is answered (`Conn::note_refused`). Linux takes a SYN/ACK
    /// with payload for the end of the handshake, and leaves the payload out.
    fn syn_in_request(&self) -> Option<Anomaly> {
        let s = self.segment;
        let completes = s.is_ack() && s.payload_len > 0 && self.receiver.stream.base() == Some(s.seq + 1);
        match (s.is_ack(), s.opens()) {
            _ if completes => None,
            (true, _) => Some(Anomaly::SynAckUnexpected),
            (false, true) => Some(Anomaly::SynInConnection),
            (false, false) => Some(Anomaly::SynInvalid),
        }
    }

    /// The ACK must be for the SYN/ACK. Not every SYN/ACK is captured: without one, any ACK is the answer.
    fn acks_syn_ack(&self) -> Option<Anomaly> {
        let base = self.sender.stream.base()?;
        if self.segment.ack.lt(base) {
            return Some(Anomaly::AckTooOld);
        }
        // What the server sent next may not be captured, but not more than had room in the client's window.
        let unseen = if self.rules.lossy { self.sender.stream.widest() } else { 0 };
        let beyond = self.receiver.snd_nxt().is_some_and(|nxt| (nxt + unseen).lt(self.segment.ack));
        beyond.then_some(Anomaly::AckUnsent)
    }

    fn echo_of_syn_ack(&self) -> Option<Anomaly> {
        self.echo().filter(|_| self.receiver.has_timestamps(self.sender) && !self.rules.lossy)
    }

    /// RCV.NXT is right; else some of the segment must lie in the window.
    fn in_request_window(&self) -> Option<Anomaly> {
        let at = self.receiver.stream.position(self.segment.seq);
        let end = at + i64::from(self.segment.seq_len());
        if at == 0 || self.receiver.stream.base().is_none() {
            return None;
        }
        if end <= 0 {
            return Some(Anomaly::OldSegment);
        }
        let beyond = match self.edge() {
            Some(edge) => at > edge || at == edge && end > at,
            // The SYN/ACK was not captured.
            None => !self.rules.lossy && self.sender.snd_nxt() != Some(self.segment.seq),
        };
        beyond.then_some(Anomaly::OutOfWindow)
    }

    /// Whether a SYN that was refused makes an end in SYN-RECEIVED forget its request, as Linux does.
    pub(super) fn voids_request(&self) -> bool {
        let stream = &self.receiver.stream;
        let (s, Some(edge)) = (self.segment, stream.edge()) else { return false };
        let at = stream.position(s.seq);
        let inside = at + i64::from(s.seq_len()) > 0 && at < edge.0.cast_signed();
        let acks = !s.is_ack() || self.acks_syn_ack().is_none();
        let other = s.is_syn() && !s.is_rst() && stream.base() != Some(s.seq + 1);
        other && acks && inside && self.is_in_request() && self.paws(0).is_none()
    }

    /// RFC 9293, 3.10.7.4 for the states from ESTABLISHED on, and for SYN-RECEIVED after an active open.
    fn in_synchronized(&self) -> Option<Anomaly> {
        let s = self.segment;
        if !s.flags.any(Flags::ACK | Flags::RST | Flags::SYN) {
            return Some(Anomaly::NoAck);
        }
        if self.receiver.state == State::TimeWait && self.is_stream_whole() {
            return self.in_time_wait();
        }
        if s.is_rst() {
            return self.rst();
        }
        if let Some(anomaly) = self.paws(self.rules.timestamp_grace) {
            return Some(anomaly);
        }
        if s.is_syn() {
            return self.syn();
        }
        self.place().or_else(|| self.ack())
    }

    /// As above, for what neither resets nor opens.
    #[inline]
    pub(super) fn in_steady(&self) -> Option<Anomaly> {
        if let Some(anomaly) = self.paws(self.rules.timestamp_grace) {
            return Some(anomaly);
        }
        // Payload is known to be the next; a bare ACK may be anywhere.
        let place = if self.segment.payload_len > 0 { None } else { self.place() };
        place.or_else(|| self.ack())
    }

    /// Whether a plain segment between steady sides is taken with all that it carries, is no keep-alive, and has nothing odd
    /// about it but perhaps what it acknowledges selectively. Not all such segments are found: none below everything
    /// acknowledged, and none beyond the window where segments may be lacking.
    #[inline]
    pub(super) fn is_taken_whole(&self) -> bool {
        let (s, stream) = (self.segment, &self.receiver.stream);
        let at = stream.position(s.seq);
        let end = at + i64::from(s.payload_len);
        let below = end < stream.acked().0.cast_signed();
        let fits = stream.edge().is_some_and(|edge| end <= edge.0.cast_signed());
        let probes = s.payload_len <= 1 && at < stream.rcv_nxt().0.cast_signed();
        let placed = s.payload_len > 0 || self.sender.snd_nxt().is_some_and(|nxt| s.seq.le(nxt));
        let timely = self.paws(self.rules.timestamp_grace).is_none();
        fits && placed && timely && !below && !probes && self.acknowledges_plainly()
    }

    /// Whether it acknowledges what was seen, and the window of its sender neither closes nor moves its right edge back.
    #[inline]
    fn acknowledges_plainly(&self) -> bool {
        let (s, stream, nxt) = (self.segment, &self.sender.stream, self.receiver.snd_nxt());
        let ack = stream.position(s.ack);
        let seen = nxt.is_some_and(|nxt| (0..1 << 31).contains(&(stream.position(nxt) - ack)));
        let fresh = ack - stream.acked().0.cast_signed();
        let step = 1_i64 << self.sender.window_shift(self.receiver);
        let left = i64::from(stream.ahead) - fresh;
        let shrinks = stream.is_acknowledged() && (i64::from(s.window) + 1) * step <= left;
        // An old acknowledgement says nothing of the window, but may be too old.
        seen && s.window > 0 && if fresh < 0 { self.ack().is_none() } else { !shrinks }
    }

    /// Whether it is plain payload, the next in order, with nothing early held: for those Linux has a fast path.
    pub(super) fn is_for_fast_path(&self) -> bool {
        let (s, stream) = (self.segment, &self.receiver.stream);
        let next = stream.position(s.seq) == self.rcv_nxt() && !stream.holds_early();
        next && s.payload_len > 0 && self.receiver.state.is_synchronized() && is_plain(s)
    }

    /// Whether it lies where its receiver looks.
    #[inline]
    fn place(&self) -> Option<Anomaly> {
        if self.receiver.stream.base().is_none() {
            return self.place_by_ack();
        }
        let at = self.receiver.stream.position(self.segment.seq);
        let end = at + i64::from(self.segment.seq_len());
        self.old(end).or_else(|| self.window(at))
    }

    /// Of a stream that was picked up in the middle, before its first octet: what its receiver acknowledges shows where.
    fn place_by_ack(&self) -> Option<Anomaly> {
        let ahead = self.sender.snd_nxt()?.distance(self.segment.seq);
        (ahead.unsigned_abs() > self.receiver.stream.widest().max(1)).then_some(Anomaly::OutOfWindow)
    }

    /// The peer's own SYN again, or an intruder's: a host answers both with an ACK and no more (RFC 5961, 4). Only after
    /// a simultaneous open a SYN/ACK is due.
    fn syn(&self) -> Option<Anomaly> {
        let s = self.segment;
        let again = self.receiver.stream.base() == Some(s.seq + 1);
        let bare = s.payload_len == 0 && !s.is_fin();
        if again && bare && s.is_ack() && self.receiver.state == State::SynReceived {
            return self.acks_syn_ack();
        }
        Some(match (again, s.is_ack()) {
            (true, true) if self.acks_syn_ack().is_some() => Anomaly::SynAckUnexpected,
            (true, _) => Anomaly::OldSegment,
            (false, true) => Anomaly::SynAckUnexpected,
            (false, false) => Anomaly::SynInConnection,
        })
    }

    /// Nothing enters any more; a RST at RCV.NXT ends it early.
    fn in_time_wait(&self) -> Option<Anomaly> {
        let s = self.segment;
        let at = self.receiver.stream.position(s.seq);
        let exact = at == self.rcv_nxt() && self.paws(0).is_none();
        if s.is_rst() {
            return (!exact).then_some(Anomaly::RstInexact);
        }
        if s.is_syn() {
            return Some(if s.is_ack() { Anomaly::SynAckUnexpected } else { Anomaly::SynInTimeWait });
        }
        if exact && s.seq_len() == 0 {
            return self.ack();
        }
        let old = at + i64::from(s.seq_len()) <= self.rcv_nxt();
        Some(if old { Anomaly::OldSegment } else { Anomaly::AfterClose })
    }

    /// RFC 7323, 5.3 R1, with `grace` ticks. A request of Linux looks at any timestamp, a connection at those that were
    /// agreed on; 0 is what hosts send that have no clock yet.
    pub(super) fn paws(&self, grace: i32) -> Option<Anomaly> {
        let (t, recent) = (self.segment.options.timestamps?, self.receiver.ts_recent()?);
        if recent == 0 || !self.receiver.has_timestamps(self.sender) && !self.is_in_request() {
            return None;
        }
        (SeqNum(recent).distance(SeqNum(t.value)) > grace).then_some(Anomaly::Paws)
    }

    fn is_in_request(&self) -> bool {
        self.receiver.state == State::SynReceived && self.is_request()
    }

    /// RFC 5961, 3.2: only a RST at RCV.NXT resets. Linux also takes one just below it when the peer's FIN was taken,
    /// and one at the right edge of what it has acknowledged selectively.
    fn rst(&self) -> Option<Anomaly> {
        if self.receiver.stream.base().is_none() {
            // Nothing to judge it by but what the receiver acknowledged.
            let known = self.sender.snd_nxt().is_none_or(|nxt| nxt == self.segment.seq);
            return (!known).then_some(Anomaly::RstInexact);
        }
        let (at, expected) = (self.receiver.stream.position(self.segment.seq), self.rcv_nxt());
        let selective =
            self.rules.lossy || self.sender.offer.permits_sack() && self.receiver.offer.permits_sack();
        let waits = self.receiver.stream.holds_early() || self.sender.fin().is_some();
        let held = waits && !self.receiver.state.has_received_fin() && self.window(at).is_none();
        let at_edge = selective && held && at > expected && self.sender.snd_nxt() == Some(self.segment.seq);
        let closing = matches!(self.receiver.state, State::CloseWait | State::LastAck | State::Closing);
        let below_fin = closing && at + 1 == expected;
        // What passed here may be lost behind: then the receiver still expects what it acknowledged.
        let at_acked = self.rules.lossy && at == self.receiver.stream.acked().0.cast_signed();
        let wide = self.rules.wide_rst && (at_edge || below_fin) || at_acked;
        (at != expected && !wide).then_some(Anomaly::RstInexact)
    }

    /// Wholly below what was acknowledged, and seen before: a host drops it without a second look.
    fn old(&self, end: i64) -> Option<Anomaly> {
        let stream = &self.receiver.stream;
        let below = stream.is_acknowledged() && end < stream.acked().0.cast_signed();
        (below && stream.base().is_some() && end <= self.seen_end()).then_some(Anomaly::OldSegment)
    }

    /// How far the receiver's stream was seen here, the FIN counted once taken. What was acknowledged but not seen can
    /// still come late in the capture.
    fn seen_end(&self) -> i64 {
        let next = self.receiver.stream.next();
        let end = self.receiver.end_of_stream(self.sender).filter(|end| next >= *end);
        end.map_or(next, |end| end.saturating_add(1)).0.cast_signed()
    }

    fn is_stream_whole(&self) -> bool {
        let end = self.receiver.end_of_stream(self.sender);
        end.is_none_or(|end| self.receiver.stream.next() >= end)
    }

    fn rcv_nxt(&self) -> i64 {
        self.receiver.rcv_nxt(self.sender).0.cast_signed()
    }

    /// First check of RFC 9293, 3.10.7.4, by the window that the receiver advertised.
    fn window(&self, at: i64) -> Option<Anomaly> {
        (at > self.edge()? && !self.goes_on_elsewhere(at)).then_some(Anomaly::OutOfWindow)
    }

    /// After a time without a capture the connection is somewhere else. A segment is believed when an earlier one, which
    /// was not, was near it, and what it acknowledges is near what the other side has sent, believed or not.
    fn goes_on_elsewhere(&self, at: i64) -> bool {
        let near = |stream: &Stream, nxt: Option<SeqNum>, place: i64| {
            nxt.is_some_and(|nxt| place.abs_diff(stream.position(nxt)) <= stream.widest().into())
        };
        let (into, back) = (&self.receiver.stream, &self.sender.stream);
        self.rules.lossy
            && near(into, self.sender.snd_nxt(), at)
            && near(back, self.receiver.snd_nxt(), back.position(self.segment.ack))
    }

    fn edge(&self) -> Option<i64> {
        self.edge_of(&self.receiver.stream)
    }

    /// The right edge of the window that the receiver of `stream` advertised. An acknowledgement that was not captured can
    /// have moved it, by no more than a window.
    fn edge_of(&self, stream: &Stream) -> Option<i64> {
        stream.base()?;
        let slack = if self.rules.lossy { stream.widest().into() } else { 0 };
        Some(stream.edge()?.saturating_add(slack).0.cast_signed())
    }

    /// Why the receiver leaves payload and FIN of a segment out although it takes its acknowledgement: they lie behind
    /// the end of the stream, or there is no room for the first octet. A bare FIN needs no room.
    #[inline]
    pub(super) fn left_out(&self) -> Option<Anomaly> {
        let s = self.segment;
        if s.payload_len == 0 && !s.is_fin() || s.is_syn() { None } else { self.octets_left_out() }
    }

    fn octets_left_out(&self) -> Option<Anomaly> {
        let (s, stream) = (self.segment, &self.receiver.stream);
        let at = stream.position(s.seq);
        let end = at + i64::from(s.seq_len());
        if let Some(fin) = self.receiver.taken_end(self.sender) {
            let behind = at + i64::from(s.payload_len) > fin.0.cast_signed();
            return behind.then_some(Anomaly::DataAfterFin);
        }
        let nxt = self.rcv_nxt();
        let edge = self.edge()?;
        let needs_room = s.payload_len > 0 || at != nxt;
        if end <= edge || !needs_room {
            None
        } else if edge <= nxt {
            Some(Anomaly::WindowClosed)
        } else {
            (at >= edge).then_some(Anomaly::OutOfWindow)
        }
    }

    /// Whether the window ends inside its octets.
    pub(super) fn overruns_window(&self) -> bool {
        let (s, stream) = (self.segment, &self.receiver.stream);
        let at = stream.position(s.data_seq());
        let end = at + i64::from(s.payload_len);
        s.payload_len > 0 && self.edge().is_some_and(|edge| at < edge && edge < end)
    }

    /// Fifth check of RFC 9293, 3.10.7.4, with RFC 5961, 5.2.
    pub(super) fn ack(&self) -> Option<Anomaly> {
        // What the receiver sent and the sender acknowledges is the stream that the sender receives.
        let stream = &self.sender.stream;
        stream.base()?;
        let ack = stream.position(self.segment.ack);
        let sent = self.receiver.snd_nxt().map_or(i64::MAX, |nxt| stream.position(nxt));
        // Octets that are missing in the capture can be acknowledged, but not more than had room in the window.
        let unseen = if self.rules.lossy { self.edge_of(stream).unwrap_or(i64::MAX) } else { sent };
        if ack > sent && ack > unseen {
            return Some(Anomaly::AckUnsent);
        }
        let acked = stream.acked().0.cast_signed();
        let mut age = i64::from(stream.widest());
        if self.rules.bounded_old_ack {
            // Linux counts the octets ever acknowledged, and the SYN of an active open among them.
            age = age.min(acked + i64::from(self.receiver.offer.active()));
        }
        (ack < acked - age && !stream.is_midstream()).then_some(Anomaly::AckTooOld)
    }
}
