//! Payload: RFC 9293, 3.10.7.4, seventh check.

use super::check::Case;
use super::{Conn, Reset};
use crate::anomaly::Anomaly;
use crate::header::Flags;
use crate::report::{Arrival, Report};
use crate::segment::Segment;
use crate::side::Side;
use crate::state::{State, Trigger};
use crate::stream::{Buffer, Stream};
use ringbuf_core::overlap::Resolve;
use ringbuf_core::window::Written;
use ringbuf_core::{Conflict, FragList, Offset, Range, Store};

/// What storing `segment` at `to` will do.
pub(super) fn arriving<S: Store, const N: usize>(
    conn: &Conn,
    to: Side,
    segment: &Segment<'_>,
    buffer: Option<(&FragList<N>, &S)>,
) -> Arrival {
    let stream = conn.stream(to);
    let offset = stream.position(segment.data_seq());
    let mut arrival = Arrival { offset, ..Arrival::default() };
    let nothing_held = buffer.is_none_or(|(frags, _)| frags.is_empty());
    let next = segment.payload_len > 0 && nothing_held && conn.is_steady(!to, segment);
    if next || stream.base().is_none() {
        return arrival; // nearly all payload: nothing is there yet
    }
    let is_data =
        segment.payload_len > 0 && !segment.is_rst() && Case::new(conn, !to, segment).left_out().is_none();
    arrival.keep_alive = is_keep_alive(conn, to, segment);
    if arrival.keep_alive {
        return arrival;
    }
    arrival.retransmission = is_control_again(conn, to, segment);
    if is_data {
        arrival.out_of_order = offset > stream.next().0.cast_signed();
        arrival.conflict = buffer.and_then(|b| conflict(stream, offset, segment.captured(), b));
        arrival.retransmission |= offset < stream.next().0.cast_signed()
            || buffer.is_some_and(|(frags, _)| is_held(frags, offset, segment.payload_len));
    }
    arrival
}

/// Where octets that are still held differ from the payload.
fn conflict<S: Store, const N: usize>(
    stream: &Stream,
    offset: i64,
    payload: &[u8],
    (frags, store): (&FragList<N>, &S),
) -> Option<Conflict> {
    let before = usize::try_from(-offset.min(0)).unwrap_or(usize::MAX).min(payload.len());
    let at = Offset(offset.max(0).cast_unsigned());
    stream.window().conflict(frags, store, at, payload.get(before..).unwrap_or_default())
}

/// Whether some of the octets are among the ranges apart from the in-order run.
fn is_held<const N: usize>(frags: &FragList<N>, offset: i64, len: u32) -> bool {
    let start = Offset(offset.max(0).cast_unsigned());
    let end = Offset(offset.saturating_add(len.into()).max(0).cast_unsigned());
    !frags.overlapping(Range { start, end }).is_empty()
}

/// A probe: at most one octet, just below what is expected next (RFC 9293, 3.8.4), when everything acknowledged was
/// seen.
fn is_keep_alive(conn: &Conn, to: Side, segment: &Segment<'_>) -> bool {
    let stream = conn.stream(to);
    segment.payload_len <= 1
        && stream.acked() <= stream.next()
        && conn.state(to).is_synchronized()
        && !segment.flags.any(Flags::SYN | Flags::FIN | Flags::RST)
        && stream.position(segment.seq) == stream.rcv_nxt().0.cast_signed() - 1
}

/// Whether a segment with FIN joins what is in order, so that the stream ends with it.
pub(super) fn ends_in_order(stream: &Stream, segment: &Segment<'_>) -> bool {
    let next = stream.next().0.cast_signed();
    segment.is_fin() && stream.position(segment.seq) <= next && stream.position(segment.end()) > next
}

/// A SYN or FIN that the receiver already has.
fn is_control_again(conn: &Conn, to: Side, segment: &Segment<'_>) -> bool {
    let state = conn.state(to);
    if segment.is_syn() {
        let seen = conn.space(!to).sent_syn() && conn.stream(to).base() == Some(segment.seq + 1);
        return seen && !matches!(state, State::Closed | State::Listen | State::SynSent);
    }
    segment.is_fin() && state.has_received_fin()
}

impl Conn {
    /// Stores the payload at its receiver, and looks for the urgent octet.
    pub(super) fn received_data<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        mut buffer: Option<Buffer<'_, S, R, N>>,
        report: &mut Report,
    ) {
        self.received_urgent(to, segment, report);
        let no_place = self.stream(to).base().is_none();
        let nothing = segment.payload_len == 0 && !segment.is_fin() || no_place;
        if nothing || is_keep_alive(self, to, segment) {
            return; // the octet of a keep-alive is none of the stream's
        }
        if segment.is_syn() {
            self.received_syn_data(to, segment, buffer, report);
            return;
        }
        if let Some(buffer) = &buffer {
            report.odd.add_if(self.drops_fin(to, segment, buffer.frags), Anomaly::FinOverrun);
        }
        let stream = &mut self.sides[to].stream;
        (report.data, report.late) = stream.store(segment, buffer.as_mut());
        self.cut_at_fin(to, segment, buffer.as_mut(), report);
        report.in_order = self.sides[to].stream.last_octets(report.data.advanced);
        report.urgent = self.sides[to].stream.take_urgent(buffer.as_mut(), &mut report.data.overrun);
    }

    /// The urgent pointer counts even where the payload is left out.
    pub(super) fn received_urgent(&mut self, to: Side, segment: &Segment<'_>, report: &mut Report) {
        if segment.flags.has(Flags::URG) && (!segment.is_syn() || report.state == Some(State::Established)) {
            let moved = self.sides[to].stream.point_urgent(segment);
            report.odd.add_if(moved, Anomaly::UrgentMoved);
        }
    }

    /// A FIN that waits behind a hole is an entry in the receiver's queue, as in Linux: it comes with the octets just
    /// before it, or alone. Octets that begin no later and lie over it replace it, whichever of the two comes first.
    /// So this forgets a FIN that `segment` replaces, or that is dropped as its place is covered; it tells whether it did.
    fn drops_fin<const N: usize>(&mut self, to: Side, segment: &Segment<'_>, frags: &FragList<N>) -> bool {
        let Some(fin) = self.sides[to].waiting_end(&self.sides[!to]) else { return false };
        let stream = self.stream(to);
        let offset = |seq| Offset(stream.position(seq).max(0).cast_unsigned());
        let start = offset(segment.seq);
        if start <= stream.next() {
            return false;
        }
        let another = segment.is_fin() && offset(segment.end() - 1) != fin;
        let drops = if segment.is_fin() && !another {
            frags.find(start).is_some_and(|held| held.end > fin)
        } else {
            let octets = Range { start, end: offset(segment.data_seq() + segment.payload_len) };
            let with = Offset(fin.0.saturating_sub(1)); // the octet before the FIN, if the FIN came with octets
            octets.contains(fin) && frags.find(with).is_none_or(|held| held.start >= start)
        };
        if drops {
            self.forget_fin(!to);
            if another {
                let _ = self.note_fin(!to, segment);
            }
        }
        drops
    }

    /// Octets that run over a FIN which was taken: Linux resets the connection. Those that follow it are left out and no
    /// more.
    pub(super) fn received_behind_fin(&mut self, to: Side, segment: &Segment<'_>) {
        let nxt = self.sides[to].rcv_nxt(&self.sides[!to]).0.cast_signed();
        let at = self.stream(to).position(segment.seq);
        let end = at + i64::from(segment.payload_len);
        let open = !matches!(self.sides[to].state, State::TimeWait | State::Closed);
        if at < nxt && end > nxt && open && self.strictness.rules().request {
            self.reset = Reset::by(to);
            self.sides[to].apply(Trigger::Reset);
        }
    }

    /// When everything before a FIN has come, what had come from behind it is dropped, unless this very segment ran over
    /// the FIN.
    fn cut_at_fin<S, R, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        buffer: Option<&mut Buffer<'_, S, R, N>>,
        report: &mut Report,
    ) {
        let Some(fin) =
            self.sides[to].waiting_end(&self.sides[!to]).filter(|fin| self.stream(to).next() >= *fin)
        else {
            return;
        };
        let own_end = self.stream(to).position(segment.data_seq() + segment.payload_len);
        if own_end <= fin.0.cast_signed() {
            let back = self.sides[to].stream.cut(fin, buffer);
            report.data.advanced = report.data.advanced.saturating_sub(back);
        }
    }

    /// Octets in a SYN are kept aside until the SYN/ACK says whether they count. Those in a SYN/ACK are left out by
    /// Linux, so that they come again.
    fn received_syn_data<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        mut buffer: Option<Buffer<'_, S, R, N>>,
        report: &mut Report,
    ) {
        let (answered, stream) = (self.sides[to].sent_syn(), &mut self.sides[to].stream);
        if segment.is_ack() {
            if self.strictness.rules().syn_ack_data {
                (report.data, report.late) = stream.store(segment, buffer.as_mut());
                report.in_order = stream.last_octets(report.data.advanced);
            }
        } else if stream.next() == Offset::ZERO && to == Side::Server && !answered {
            self.syn_data = true;
            let (kept, _) = stream.store(segment, buffer.as_mut());
            report.data = Written { advanced: 0, ..kept };
        }
    }
}
