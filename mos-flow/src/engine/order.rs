//! Plain segments that come in any order (see [`Conn::sent_plain`](tcp_reasm::Conn::sent_plain)), of connections whose sockets
//! do not ask for each packet at the sender's hook: no state changes, and nothing begins or ends.

use super::raise::Raise;
use super::{Engine, Passage};
use crate::event::{Event, EventSet, Hook};
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::Id;
use ringbuf_core::{FragList, Offset, Range};
use tcp_reasm::{Arrival, NO_BUFFER, Segment, Side};

impl<A, M: Memory> Engine<A, M> {
    /// Follows a plain segment of a connection that is awake, if it is one. Otherwise nothing has changed.
    pub(super) fn follow_plain(
        &mut self,
        id: Id,
        from: Side,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) -> bool {
        let segment = passage.segment;
        let Some((flow, live)) = self.flows.both(id) else { return false };
        if !flow.is_calm() || passage.verdict == Verdict::Drop {
            return false;
        }
        let keeps = segment.payload_len > 0 && (flow.is_buffered(!from) || !live.buffers[!from].is_none());
        let shown = keeps || flow.asks(Hook::Receiver, Event::PacketIn.into());
        if !shown && self.pass_unseen(id, from, segment) {
            return true;
        }
        let Some(live) = self.flows.live_mut(id) else { return false };
        if !live.shifts.is_none() || !live.conn.sent_plain(from, segment) {
            return false;
        }
        live.pinned = true;
        live.timers.on_segment(self.clock.running());
        self.count_step();
        if keeps {
            self.receive_plain(id, from, passage, app);
        } else {
            self.pass_plain(id, from, passage, app);
        }
        self.after_step(id, from, app);
        true
    }

    /// Follows a plain segment that nobody is shown and of which nothing is kept.
    #[inline]
    pub(super) fn pass_unseen(&mut self, id: Id, from: Side, segment: &Segment<'_>) -> bool {
        let passed = self.flows.pass_without_octets(id, from, segment, self.clock.running());
        let Some(fresh) = passed else { return false };
        self.end_unseen(id, fresh);
        true
    }

    /// The receiver gets a plain segment without octets, or of a stream whose octets nobody keeps.
    fn pass_plain(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let (to, segment) = (!from, passage.segment);
        let Some(live) = self.flows.live(id) else { return };
        let stream = live.conn.stream(to);
        if segment.payload_len > 0 && stream.position(segment.seq) < stream.next().0.cast_signed() {
            let again = Raise::one(Hook::Receiver, Some(to), Event::Retransmission);
            self.raise(id, again, from, passage, app);
        }
        let Some(live) = self.flows.live_mut(id) else { return };
        let report = live.conn.received_plain(to, segment, NO_BUFFER);
        self.stats.stream_octets += report.data.fresh;
        self.tell_plain(id, from, Event::PacketIn.into(), passage, app);
        self.after_store(id, to, &report, passage.view, app);
    }

    /// The receiver gets a plain segment with octets that are kept.
    fn receive_plain(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let (to, segment) = (!from, passage.segment);
        let (place, mut arrival) = (self.place_of(id, to, segment), Arrival::default());
        let report = if place == Place::Next && self.can_lend_in_step(id, to, segment) {
            self.lend(id, to, segment)
        } else {
            match place {
                Place::Taken => arrival = self.before_store(id, from, passage, app),
                Place::Next | Place::Free => self.open_buffer(id, to, segment, app),
            }
            self.store_plain(id, to, segment)
        };
        self.account(id, to, &arrival, &report);
        let news = self.tells_at_once(id, to, report.data.advanced);
        let events = EventSet::of(Event::PacketIn).with_if(news, Event::NewData);
        self.tell_plain(id, from, events, passage, app);
        if news || self.lending.is_some() {
            self.take_back(id, to, passage, app);
        }
        self.after_store(id, to, &report, passage.view, app);
    }

    /// Tells of a segment at the receiver's hook. Most do not ask for what brings nothing in order.
    fn tell_plain(
        &mut self,
        id: Id,
        from: Side,
        events: EventSet,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) {
        if self.flows.get(id).is_some_and(|flow| flow.asks(Hook::Receiver, events)) {
            self.raise(id, Raise::at(Hook::Receiver, !from, events), from, passage, app);
        } else {
            self.count_events(events);
        }
    }

    /// What is at the place of a segment's octets.
    fn place_of(&self, id: Id, to: Side, segment: &Segment<'_>) -> Place {
        let Some(live) = self.flows.live(id) else { return Place::Taken };
        let stream = live.conn.stream(to);
        let Ok(start) = u64::try_from(stream.position(segment.seq)) else { return Place::Taken };
        let range = Range::at(Offset(start), segment.payload_len.into());
        let frags = self.buffers.frags(live.buffers[to]);
        let free = |frags: &FragList<_>| !frags.is_full() && frags.overlapping(range).is_empty();
        if range.start < stream.next() || !frags.is_none_or(free) {
            Place::Taken
        } else if range.start == stream.next() && stream.acked() <= stream.next() {
            Place::Next
        } else if frags.is_some() || self.buffers.may_have_ranges() {
            Place::Free
        } else {
            Place::Taken
        }
    }
}

/// What is at the place of octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing, and they are the next in order.
    Next,
    /// Nothing, and there is room for them among the ranges.
    Free,
    /// Some of them are there, or there is no room.
    Taken,
}
