//! The octets of a connection's streams: stored, pushed out, released.

use super::Engine;
use crate::config::Retention;
use crate::memory::Memory;
use crate::packet::PacketView;
use crate::slab::Id;
use ringbuf_core::store::Flat;
use ringbuf_core::window::Refusal;
use ringbuf_core::{Offset, Range};
use tcp_reasm::{Arrival, NO_BUFFER, Report, Segment, Side};

/// Streams that are asked for octets when memory is short, for one segment.
const VICTIMS: usize = 8;

impl<A, M: Memory> Engine<A, M> {
    pub(super) fn arriving(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Arrival {
        let Some(flow) = self.flows.get(id) else { return Arrival::default() };
        let conn = &flow.conn;
        let with = self.buffers.with(flow.buffers[to], flow.overlap[to], |b| {
            conn.arriving(to, segment, Some((&*b.frags, &*b.store)))
        });
        with.unwrap_or_else(|| conn.arriving::<Flat<[u8; 0]>, 0>(to, segment, None))
    }

    pub(super) fn store(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Report {
        let Some(flow) = self.flows.get_mut(id) else { return Report::default() };
        let (conn, policy) = (&mut flow.conn, flow.overlap[to]);
        if let Some(report) =
            self.buffers.with(flow.buffers[to], policy, |b| conn.received(to, segment, Some(b)))
        {
            return report;
        }
        let next = conn.stream(to).rcv_nxt();
        let mut report = conn.received(to, segment, NO_BUFFER);
        if flow.buffered[to] && segment.payload_len > 0 {
            // There was no record for them: their place in the stream is known, the octets are not.
            let end = conn.stream(to).position(segment.data_seq()) + i64::from(segment.payload_len);
            let beyond = end.saturating_sub_unsigned(next.0).max(0).cast_unsigned();
            report.data.fresh = 0;
            report.data.refused = beyond.min(segment.payload_len.into());
            report.data.refusal = (report.data.refused > 0).then_some(Refusal::NoSpace);
        }
        report
    }

    /// Gives a stream that is to be kept a record for its octets.
    pub(super) fn open_buffer(&mut self, id: Id, side: Side) {
        if self.buffers.is_short() {
            self.reclaim(id, side);
        }
        let Some(flow) = self.flows.get(id) else { return };
        if !flow.buffered[side] || !flow.buffers[side].is_none() {
            return;
        }
        let record = self.buffers.open(id, side).or_else(|| {
            self.reclaim(id, side);
            self.buffers.open(id, side)
        });
        if let (Some(record), Some(flow)) = (record, self.flows.get_mut(id)) {
            flow.buffers[side] = record;
        }
    }

    /// Frees octets that are only kept for reading back: of this stream, and of a few others in turn.
    fn reclaim(&mut self, id: Id, side: Side) {
        self.stats.reclaimed_octets += self.release_to_readers(id, side);
        for _ in 0..VICTIMS {
            let Some((flow, side)) = self.buffers.next_owner() else { return };
            self.stats.reclaimed_octets += self.release_to_readers(flow, side);
        }
    }

    /// Keeps the ring's size: in-order octets that are too old are pushed out. Whoever has not read them is told of
    /// new data first if that was not announced yet, and of the loss before it happens.
    pub(super) fn trim(&mut self, id: Id, to: Side, view: Option<PacketView<'_>>, app: &mut A) {
        let Some(flow) = self.flows.get(id) else { return };
        let stream = flow.conn.stream(to);
        let oldest = Offset(stream.next().0.saturating_sub(self.config.ring_octets.into()));
        let head = self.buffers.frags(flow.buffers[to]).map(|f| stream.window().head(f));
        let Some(lost) = head.map(|head| Range { start: head, end: oldest }).filter(|lost| !lost.is_empty())
        else {
            return;
        };
        if self.lowest_cursor(id, to).is_some_and(|cursor| cursor < oldest) {
            self.announce_side(id, to, app);
            self.warn_of_overrun(id, to, lost, view, app);
        }
        let unread = self.lowest_cursor(id, to).map_or(0, |cursor| oldest.since(cursor.max(lost.start)));
        self.stats.overrun_octets += unread;
        if let Some(flow) = self.flows.get_mut(id) {
            self.buffers.release(flow.buffers[to], &mut flow.conn, to, oldest);
        }
    }

    /// Frees octets that every reader has, unless they are to be kept.
    pub(super) fn release_read(&mut self, id: Id, side: Side) {
        if self.config.retention == Retention::Unread {
            self.release_to_readers(id, side);
        }
    }

    /// Frees the octets of a stream that every reader has; without readers, all. Returns how many.
    fn release_to_readers(&mut self, id: Id, side: Side) -> u64 {
        let lowest = self.lowest_cursor(id, side);
        let Some(flow) = self.flows.get_mut(id) else { return 0 };
        let undecided = side == Side::Server && flow.conn.has_undecided_syn_data();
        let stream = flow.conn.stream(side);
        let read = if undecided { Offset::ZERO } else { lowest.unwrap_or_else(|| stream.next()) };
        let (octets, is_empty) = self.buffers.release(flow.buffers[side], &mut flow.conn, side, read);
        if is_empty {
            self.buffers.close(core::mem::replace(&mut flow.buffers[side], Id::NONE));
        }
        octets
    }

    /// The octets that came with the SYN belong to the stream.
    pub(super) fn take_syn_data(&mut self, id: Id) {
        let Some(flow) = self.flows.get(id) else { return };
        let stream = flow.conn.stream(Side::Server);
        let kept = flow.buffered[Side::Server];
        self.stats.stream_octets += if kept { stream.window().run().len() } else { stream.next().0 };
        if kept {
            self.note_new_data(id, Side::Server);
        }
    }

    /// A stream begins anew: nothing that was held of it counts.
    pub(super) fn forget_stream(&mut self, id: Id, side: Side) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        self.buffers.close(core::mem::replace(&mut flow.buffers[side], Id::NONE));
        flow.pending[side] = false;
        flow.timers.forget_hole(side);
        let mut next = flow.first_socket;
        while let Ok(socket) = self.sockets.get_mut(next) {
            socket.cursors[side] = Offset::ZERO;
            next = socket.next;
        }
    }

    /// Stops keeping the octets of a stream.
    pub(crate) fn disable_buffer(&mut self, id: Id, side: Side) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.buffered[side] = false;
        flow.pending[side] = false;
        self.buffers.close(core::mem::replace(&mut flow.buffers[side], Id::NONE));
    }
}
