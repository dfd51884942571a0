//! Octets that readers look at where they lie in the packet: what is in order and was read by all when its handlers
//! return is never copied.

use super::raise::Raise;
use super::{Engine, Passage};
use crate::buffers::Lending;
use crate::config::Retention;
use crate::context::Trouble;
use crate::event::{Event, EventSet, Hook};
use crate::flow::Flow;
use crate::memory::Memory;
use crate::slab::Id;
use crate::socket::Socket;
use ringbuf_core::{Offset, Range};
use tcp_reasm::{Flags, NO_BUFFER, PlainSegment, Report, Segment, Sent, Side};

impl<A, M: Memory> Engine<A, M> {
    /// Whether the octets of a segment may be lent instead of stored: they are the next in order, nothing is held of the
    /// stream, and whoever reads it looks when a segment comes.
    pub(super) fn can_lend(&self, id: Id, to: Side, sent: &Sent, segment: &Segment<'_>) -> bool {
        let odd = sent.left_out || segment.flags.any(Flags::SYN | Flags::RST | Flags::URG);
        let Some(live) = self.flows.live(id) else { return false };
        let stream = live.conn.stream(to);
        !odd && !self.is_changed(live)
            && !live.conn.has_undecided_syn_data()
            && stream.base().is_some()
            && stream.acked() <= stream.next()
            && stream.position(segment.data_seq()) == stream.next().0.cast_signed()
            && self.can_lend_in_step(id, to, segment)
    }

    /// The same for a segment of which it is known that it is the next in order.
    pub(super) fn can_lend_in_step(&self, id: Id, to: Side, segment: &Segment<'_>) -> bool {
        let whole = segment.payload_len > 0 && segment.captured().len() == segment.payload_len as usize;
        if self.config.retention != Retention::Unread || !whole {
            return false;
        }
        let Some(flow) = self.flows.get(id) else { return false };
        flow.interest[Hook::Receiver as usize].has(Event::NewData)
            && flow.is_buffered(to)
            && self.flows.live_of(flow).is_none_or(|live| live.buffers[to].is_none())
            && self.all_read_at_once(flow, to)
    }

    /// Whether somebody reads a stream when its segments come, and everybody who reads it does so.
    fn all_read_at_once(&self, flow: &Flow, side: Side) -> bool {
        let mut any = false;
        let sockets = self.ring_from(flow.first_socket).filter_map(|index| self.sockets.at(index));
        for socket in sockets.filter(|socket| socket.wishes[side].reads()) {
            if self.reads_at_once(socket) {
                any = true;
            } else if self.is_reader(socket, side) {
                return false;
            }
        }
        any
    }

    /// Whether a socket is told of new data when a segment comes.
    #[inline]
    pub(super) fn reads_at_once(&self, socket: &Socket) -> bool {
        !self.sockets.wanted(socket, Hook::Receiver, Event::NewData.into()).is_empty()
    }

    /// Moves a stream over the octets of a segment without storing them. They are lent until [`Engine::take_back`].
    pub(super) fn lend(&mut self, id: Id, to: Side, segment: &Segment<'_>) -> Report {
        let Some(live) = self.flows.live_mut(id) else { return Report::default() };
        let report = live.conn.received(to, segment, NO_BUFFER);
        if !report.in_order.is_empty() {
            self.lending = Some(Lending { flow: id, side: to, range: report.in_order });
        }
        report
    }

    /// Follows a segment that is in step and whose octets are lent, without waking its connection. Otherwise nothing has changed.
    pub(super) fn lend_in_step(
        &mut self,
        id: Id,
        from: Side,
        plain: &PlainSegment,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) -> bool {
        let (to, octets, now) = (!from, u64::from(plain.payload_len), self.clock.running());
        let Some(flow) = self.flows.get(id) else { return false };
        let told_later = flow.asks(Hook::None, Event::NewData.into());
        if told_later && !self.wake(id) {
            return false;
        }
        let Some(start) = self.flows.step_without_octets(id, from, plain, now) else { return false };
        if let Some(live) = self.flows.live_mut(id) {
            live.belated[to] = false; // those who read are told now
        }
        if told_later {
            self.note_new_data(id, to);
        }
        self.count_step();
        self.lending = Some(Lending { flow: id, side: to, range: Range::at(start, octets) });
        self.stats.stream_octets += octets;
        let news = EventSet::of(Event::PacketIn) | EventSet::of(Event::NewData);
        self.raise(id, Raise::at(Hook::Receiver, to, news), from, passage, app);
        self.take_back(id, to, passage, app);
        if self.flows.live(id).is_some_and(|live| !live.buffers[to].is_none()) {
            self.trim(id, to, Some(passage.view), app);
        }
        true
    }

    /// The handlers of a segment have returned: what somebody left of lent octets is stored, and what all have read of
    /// stored ones goes, so that the next ones can be lent.
    pub(super) fn take_back(&mut self, id: Id, to: Side, passage: &Passage<'_, M>, app: &mut A) {
        let Some(lending) = self.lending else { return self.release_read(id, to) };
        // Nearly always all have read all of it, or nobody reads.
        let range = lending.range;
        if self.is_anyone_behind(id, to, range.end)
            && let Some(cursor) = self.cursors_below(id, to, range.end).min()
        {
            let unread = Range { start: cursor.max(range.start), ..range };
            let octets = lending.octets(passage.segment.captured());
            let read = usize::try_from(unread.start.since(range.start)).unwrap_or(usize::MAX);
            self.keep(id, to, octets.get(read..).unwrap_or_default(), passage, app);
        }
        self.lending = None;
    }

    /// Whether some socket, a reader or not, has not read all below `end`.
    fn is_anyone_behind(&self, id: Id, side: Side, end: Offset) -> bool {
        let Some(flow) = self.flows.get(id) else { return false };
        let mut next = self.first_watcher(flow.first_socket, true);
        while let Some(socket) = next.and_then(|index| self.sockets.at(index)) {
            if socket.cursor(side) < end {
                return true;
            }
            next = Some(socket.next).filter(|next| *next != flow.first_socket);
        }
        false
    }

    /// Stores the last octets of a stream, of which nothing is held.
    fn keep(&mut self, id: Id, to: Side, octets: &[u8], passage: &Passage<'_, M>, app: &mut A) {
        let buffered = self.flows.get(id).is_some_and(|flow| flow.is_buffered(to));
        if octets.is_empty() || !buffered {
            return;
        }
        if !self.hold(id, to, octets, passage, app) {
            let octets = octets.len() as u64;
            self.stats.refused_octets += octets;
            self.close_if_empty(id, to);
            self.raise_trouble(id, to, Trouble::NoMemory { octets }, Some(passage.view), app);
        }
    }

    /// Returns whether there was room.
    fn hold(&mut self, id: Id, to: Side, octets: &[u8], passage: &Passage<'_, M>, app: &mut A) -> bool {
        if !self.wake(id) {
            return false;
        }
        if let Some(live) = self.flows.live_mut(id) {
            live.pinned = true; // its other stream may have to give way, and it must not go to rest with that
        }
        self.open_buffer(id, to, passage.segment, app);
        let Some((flow, live)) = self.flows.both_mut(id) else { return false };
        let (conn, policy) = (&mut live.conn, flow.overlap[to]);
        self.buffers.with(live.buffers[to], policy, |b| conn.hold(to, octets, b).is_ok()) == Some(true)
    }
}
