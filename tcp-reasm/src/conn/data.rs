//! Payload: RFC 9293, 3.10.7.4, seventh check.

use super::Conn;
use crate::report::Arrival;
use crate::segment::Segment;
use crate::side::Side;
use crate::state::State;
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
    let is_data = segment.payload_len > 0 && !segment.is_rst();
    let in_order = offset == stream.next().0.cast_signed() && stream.acked() <= stream.next();
    let nothing_held_above = buffer.is_none_or(|(frags, _)| frags.is_empty());
    if in_order && is_data && nothing_held_above && !segment.is_syn() || stream.base().is_none() {
        return arrival; // nearly all payload: nothing is there yet
    }
    arrival.keep_alive = is_keep_alive(conn, to, segment);
    if arrival.keep_alive {
        return arrival;
    }
    arrival.retransmission = is_control_again(conn, to, segment);
    if is_data {
        arrival.conflict = buffer.and_then(|b| conflict(stream, offset, segment.payload, b));
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

/// A probe: at most one octet, just below what is expected next (RFC 9293, 3.8.4), when everything sent was seen.
fn is_keep_alive(conn: &Conn, to: Side, segment: &Segment<'_>) -> bool {
    let stream = conn.stream(to);
    segment.payload_len <= 1
        && conn.state(to).is_synchronized()
        && !segment.flags.any(crate::Flags::SYN | crate::Flags::FIN | crate::Flags::RST)
        && stream.position(segment.seq) == stream.rcv_nxt().0.cast_signed() - 1
}

/// A SYN or FIN that the receiver already has.
fn is_control_again(conn: &Conn, to: Side, segment: &Segment<'_>) -> bool {
    let state = conn.state(to);
    if segment.is_syn() {
        let seen = conn.stream(to).base() == Some(segment.seq + 1);
        return seen && !matches!(state, State::Closed | State::Listen | State::SynSent);
    }
    segment.is_fin() && state.has_received_fin()
}

impl Conn {
    /// Stores the payload at its receiver.
    pub(super) fn received_data<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Written {
        if segment.payload_len == 0 || self.stream(to).base().is_none() {
            return Written::default();
        }
        if segment.is_syn() && !segment.is_ack() {
            // Kept aside until the SYN/ACK says whether they count.
            if self.stream(to).next() == Offset::ZERO {
                self.syn_data = true;
                let kept = self.sides[to].stream.store(segment, buffer);
                return Written { advanced: 0, ..kept };
            }
            return Written::default();
        }
        self.sides[to].stream.store(segment, buffer)
    }
}
