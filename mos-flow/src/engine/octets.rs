//! The octets of a connection's streams: stored, pushed out, released.

use super::ring::too_old;
use super::{Engine, Lookup};
use crate::buffers::MAX_RANGES;
use crate::config::Retention;
use crate::context::Trouble;
use crate::memory::Memory;
use crate::packet::PacketRef;
use crate::shift::ShiftMap;
use crate::slab::Id;
use ringbuf_core::store::Flat;
use ringbuf_core::window::Refusal;
use ringbuf_core::{FragList, Offset, Range};
use tcp_reasm::{Arrival, NO_BUFFER, Report, Segment, Side};

/// Streams that are asked for octets when memory is short, for one segment.
const VICTIMS: usize = 8;

impl<A, M: Memory> Engine<A, M> {
    /// Asks for the records of the stream that a packet may bring octets of, and of the first socket that may read it.
    #[inline]
    pub(super) fn prefetch_stream(&self, lookup: &Lookup) {
        let Some(flow) = self.flows.at(lookup.candidate) else { return };
        self.sockets.prefetch(flow.first_socket);
        if let Some(live) = self.flows.live_of(flow) {
            self.buffers.prefetch(live.buffers[!flow.sender(lookup.ascending)]);
        }
    }

    pub(super) fn arriving(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Arrival {
        let Some((flow, live)) = self.flows.both(id) else { return Arrival::default() };
        let conn = &live.conn;
        let with = self.buffers.with(live.buffers[to], flow.overlap[to], |b| {
            conn.arriving(to, segment, Some((&*b.frags, &*b.store)))
        });
        with.unwrap_or_else(|| conn.arriving::<Flat<[u8; 0]>, 0>(to, segment, None))
    }

    /// Keeps the octets of a segment in step, of which nobody is told before the burst is over, if that is simple: there are a
    /// record and memory. Returns what has no room in the ring any more; when that is nothing, all is done. `None` when
    /// nothing has changed.
    #[inline]
    pub(super) fn keep_in_step(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Option<Range> {
        let (octets, len) = (segment.captured(), segment.payload_len);
        if octets.is_empty() || octets.len() != len as usize || self.buffers.is_short_for(len) {
            return None;
        }
        let mut live = self.flows.live_mut(id)?;
        let ring = match live.rings[to] {
            Some(ring) => ring,
            None => {
                let ring = self.find_ring(id, to);
                live = self.flows.live_mut(id)?;
                ring
            }
        };
        if live.buffers[to].is_none() {
            live.buffers[to] = self.buffers.open(id, to)?;
        }
        if !self.buffers.append(live.buffers[to], &mut live.conn, to, octets) {
            return None;
        }
        let lost = too_old(live.conn.stream(to).window().run(), ring);
        self.stats.stream_octets += u64::from(len);
        (live.pending[to], live.pinned) = (true, false); // what is in the list does not go to rest
        if !live.in_pending_list {
            self.enqueue_awake(id);
        }
        if self.config.retention == Retention::Unread {
            self.settle_later(id); // after the burst it may hold nothing any more
        }
        Some(lost)
    }

    /// Gives a segment in step to its receiver: nothing waits there.
    pub(super) fn store_in_step(
        &mut self,
        id: Id,
        to: Side,
        segment: &Segment<'_>,
        view: PacketRef<'_>,
        app: &mut A,
    ) {
        self.open_buffer(id, to, segment, app);
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let (conn, record, policy) = (&mut live.conn, live.buffers[to], flow.overlap[to]);
        let kept = self.buffers.with(record, policy, |b| conn.received_in_step(to, segment, Some(b)));
        let report = kept.unwrap_or_else(|| self.store(id, to, segment));
        self.account(id, to, &Arrival::default(), &report);
        self.after_store(id, to, &report, view, app);
    }

    /// Gives a plain segment (see [`Conn::sent_plain`](tcp_reasm::Conn::sent_plain)) to its receiver.
    pub(super) fn store_plain(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Report {
        let Some((flow, live)) = self.flows.both_mut(id) else { return Report::default() };
        let (conn, record, policy) = (&mut live.conn, live.buffers[to], flow.overlap[to]);
        let kept = self.buffers.with(record, policy, |b| conn.received_plain(to, segment, Some(b)));
        let Some(report) = kept else { return self.store(id, to, segment) };
        if policy.has_queue() && !conn.stream(to).holds_early() {
            self.buffers.close_queue(record);
        }
        report
    }

    /// Gives a segment to its receiver.
    pub(super) fn store(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Report {
        let Some((flow, live)) = self.flows.both_mut(id) else { return Report::default() };
        let (conn, policy) = (&mut live.conn, flow.overlap[to]);
        let record = live.buffers[to];
        let kept = self.buffers.with(record, policy, |b| conn.received(to, segment, Some(b)));
        if let Some(report) = kept {
            if policy.has_queue() && !conn.stream(to).holds_early() {
                self.buffers.close_queue(record);
            }
            return report;
        }
        let next = conn.stream(to).rcv_nxt();
        let mut report = conn.received(to, segment, NO_BUFFER);
        if flow.is_buffered(to) && segment.payload_len > 0 {
            // There was no record for them: their place in the stream is known, the octets are not.
            let end = conn.stream(to).position(segment.data_seq()) + i64::from(segment.payload_len);
            let beyond = end.saturating_sub_unsigned(next.0).max(0).cast_unsigned();
            report.data.fresh = 0;
            report.data.refused = beyond.min(segment.payload_len.into());
            report.data.refusal = (report.data.refused > 0).then_some(Refusal::NoSpace);
        }
        report
    }

    /// Gives a stream that is to be kept a record for its octets, and sees to it that there is memory for the segment.
    #[inline]
    pub(super) fn open_buffer(&mut self, id: Id, side: Side, segment: &Segment<'_>, app: &mut A) {
        if self.buffers.is_short_for(segment.payload_len) {
            self.reclaim(id, side);
            if self.buffers.is_short_for(segment.payload_len) {
                self.shed_for(id, side, segment, app);
            }
        }
        let Some((flow, live)) = self.flows.both(id) else { return };
        if flow.is_buffered(side) && live.buffers[side].is_none() {
            self.open_record(id, side, segment, app);
        }
    }

    fn open_record(&mut self, id: Id, side: Side, segment: &Segment<'_>, app: &mut A) {
        let mut record = self.buffers.open(id, side);
        if record.is_none() {
            self.reclaim(id, side);
            record = self.buffers.open(id, side);
        }
        if record.is_none() {
            self.shed_for(id, side, segment, app);
            record = self.buffers.open(id, side);
        }
        if let (Some(record), Some(live)) = (record, self.flows.live_mut(id)) {
            live.buffers[side] = record;
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

    /// Gives back the record of a stream that was opened for octets of which none was kept.
    pub(super) fn close_if_empty(&mut self, id: Id, side: Side) {
        let Some(live) = self.flows.live_mut(id) else { return };
        if self.buffers.is_empty(live.buffers[side], &live.conn, side) {
            self.buffers.close(core::mem::replace(&mut live.buffers[side], Id::NONE));
        }
    }

    /// Of a few streams in turn, the one that holds most loses what it holds, if it is fair that it gives way to this
    /// segment: what is in order goes before what waits behind a hole or for the server to take it, else the one with less
    /// before the one with more. So neither many streams with holes, nor SYNs with octets, nor readers that do not read keep
    /// memory from the others.
    fn shed_for(&mut self, id: Id, side: Side, segment: &Segment<'_>, app: &mut A) {
        let Some(live) = self.flows.live(id) else { return };
        let stream = live.conn.stream(side);
        let in_order = stream.position(segment.data_seq()) <= stream.next().0.cast_signed();
        let own = (self.buffers.chunks_of(live.buffers[side]), !in_order || segment.is_syn());
        let mut victim: Option<((bool, u32), (Id, Side))> = None;
        for _ in 0..VICTIMS {
            let Some(owner) = self.buffers.next_owner().filter(|owner| *owner != (id, side)) else {
                continue;
            };
            let Some(held) = self.flows.live(owner.0).filter(|held| !self.is_changed(held)) else { continue };
            let early = held.conn.stream(owner.1).holds_early() || held.conn.has_undecided_syn_data();
            let rank = (early, self.buffers.chunks_of(held.buffers[owner.1]));
            let fair = early && !own.1 || rank.1 > own.0;
            if fair && victim.is_none_or(|(highest, _)| highest < rank) {
                victim = Some((rank, owner));
            }
        }
        if let Some((_, (flow, side))) = victim {
            self.shed(flow, side, app);
        }
    }

    /// Gives up everything that a stream holds. Its readers are told of what they lose before it happens; the packet in
    /// flight is not theirs.
    fn shed(&mut self, id: Id, side: Side, app: &mut A) {
        self.hurry(id, side, self.flows.live(id).map_or(Offset::ZERO, |live| live.readable(side)));
        self.announce_side(id, side, app);
        let Some(live) = self.flows.live(id) else { return };
        let Some(frags) = self.buffers.frags(live.buffers[side]) else { return };
        let window = live.conn.stream(side).window();
        let (mut unread, mut early) = (window.run(), frags.total() - past(frags, window.next()));
        if side == Side::Server && live.conn.has_undecided_syn_data() {
            // Nobody can have read it: it does not exist yet.
            (unread, early) = (Range::default(), early + unread.len());
        }
        if self.lowest_cursor(id, side).is_some_and(|cursor| cursor < unread.end) {
            self.warn_of_overrun(id, side, unread, None, app);
        }
        if early > 0 {
            self.raise_trouble(id, side, Trouble::NoMemory { octets: early }, None, app);
        }
        let unread =
            self.lowest_cursor(id, side).map_or(0, |cursor| unread.end.since(cursor.max(unread.start)));
        self.stats.shed_octets += unread + early;
        self.drop_octets(id, side);
        self.settle(id);
    }

    /// Frees everything that a stream holds.
    pub(super) fn drop_octets(&mut self, id: Id, side: Side) {
        if let Some(live) = self.flows.live_mut(id) {
            live.conn.shed(side);
            self.buffers.close(core::mem::replace(&mut live.buffers[side], Id::NONE));
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
        let needed = self.flows.live(id).map_or(Offset::ZERO, |live| self.needed(live, side));
        let Some(live) = self.flows.live_mut(id) else { return 0 };
        let undecided = side == Side::Server && live.conn.has_undecided_syn_data();
        let stream = live.conn.stream(side);
        let read = if undecided { Offset::ZERO } else { lowest.unwrap_or_else(|| stream.next()) };
        let read = read.min(needed);
        let octets = self.buffers.release(live.buffers[side], &mut live.conn, side, read);
        if self.buffers.is_empty(live.buffers[side], &live.conn, side) {
            self.buffers.close(core::mem::replace(&mut live.buffers[side], Id::NONE));
        }
        octets
    }

    /// The octets that came with the SYN belong to the stream.
    pub(super) fn take_syn_data(&mut self, id: Id) {
        let Some((flow, live)) = self.flows.both(id) else { return };
        let stream = live.conn.stream(Side::Server);
        let kept = flow.is_buffered(Side::Server);
        let octets = if kept { stream.window().run().len() } else { stream.next().0 };
        self.stats.stream_octets += octets;
        if kept && octets > 0 {
            self.note_belated(id, Side::Server);
        }
    }

    /// A stream begins anew: nothing that was held of it counts, nor what handlers changed.
    pub(super) fn forget_stream(&mut self, id: Id, side: Side) {
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        self.buffers.close(core::mem::replace(&mut live.buffers[side], Id::NONE));
        (live.pending[side], live.belated[side]) = (false, false);
        live.timers.forget_hole(side);
        if let Some(maps) = self.shifts.get_mut(live.shifts) {
            maps[side] = ShiftMap::new(0);
        }
        let first = flow.first_socket;
        let mut next = first;
        while let Some(socket) = self.sockets.at_mut(next) {
            if let Some(until) = self.waits.until(live.waits, next, side) {
                self.waits.set(&mut live.waits, next, side, Offset(until.since(socket.cursor(side))));
            }
            socket.set_cursor(side, Offset::ZERO);
            next = socket.next;
            if next == first {
                return;
            }
        }
    }
}

/// Octets of ranges before the current run: parts that a gap cut off.
fn past(frags: &FragList<MAX_RANGES>, next: Offset) -> u64 {
    frags.as_slice().iter().filter(|range| range.end <= next).map(|range| range.len()).sum()
}
