//! Plain segments that come in any order (see [`Conn::sent_plain`](tcp_reasm::Conn::sent_plain)), of connections whose sockets
//! do not ask for each packet at the sender's hook: no state changes, and nothing begins or ends.

use super::raise::Raise;
use super::{Engine, Passage};
use crate::event::{Event, EventSet, Hook};
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::Id;
use ringbuf_core::{Offset, Range};
use tcp_reasm::{Arrival, NO_BUFFER, Segment, Sent, Side};

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
        let Some(flow) = self.flows.get(id) else { return false };
        if !flow.is_calm() || passage.verdict == Verdict::Drop {
            return false;
        }
        let shown = flow.interest[Hook::Receiver as usize].has(Event::PacketIn);
        if !shown && self.pass_unseen(id, from, segment) {
            return true;
        }
        let Some((flow, live)) = self.flows.both_mut(id).filter(|(_, live)| live.shifts.is_none()) else {
            return false;
        };
        let Some(sent) = live.conn.sent_plain(from, segment) else { return false };
        live.pinned = true;
        live.timers.on_segment(self.clock.running());
        let keeps = segment.payload_len > 0 && (flow.is_buffered(!from) || !live.buffers[!from].is_none());
        self.count_plain(&sent);
        if keeps {
            self.receive_plain(id, from, passage, app);
        } else {
            self.pass_plain(id, from, passage, app);
        }
        self.after_segment(id, from, false, app);
        true
    }

    /// Follows a plain segment that nobody is shown and of which nothing is kept.
    #[inline]
    fn pass_unseen(&mut self, id: Id, from: Side, segment: &Segment<'_>) -> bool {
        let passed = self.flows.pass_without_octets(id, from, segment, self.clock.running());
        let Some((sent, fresh)) = passed else { return false };
        self.count_plain(&sent);
        self.stats.events[Event::PacketIn] += 1; // at the receiver's hook
        self.stats.stream_octets += fresh;
        if self.flows.is_crowded() {
            let _ = self.to_settle.push(id); // see `after_segment`
        }
        true
    }

    /// What a plain segment counts for, up to the sender's hook.
    fn count_plain(&mut self, sent: &Sent) {
        self.count_step();
        self.stats.zero_windows += u64::from(sent.zero_window);
        if !sent.odd.is_empty() {
            self.stats.odd.add_all(sent.odd);
        }
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
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let asked = flow.interest[Hook::Receiver as usize];
        self.stats.stream_octets += live.conn.received_plain(to, segment, NO_BUFFER).data.fresh;
        if asked.has(Event::PacketIn) {
            self.raise(id, Raise::at(Hook::Receiver, to, Event::PacketIn.into()), from, passage, app);
        } else {
            self.stats.events[Event::PacketIn] += 1;
        }
        self.look_for_gaps(id, passage.view, app);
    }

    /// The receiver gets a plain segment with octets that are kept.
    fn receive_plain(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let (to, segment) = (!from, passage.segment);
        let (mut arrival, lends) = (Arrival::default(), self.can_lend_plain(id, to, segment));
        let report = if lends {
            self.lend(id, to, segment)
        } else {
            if self.touches_nothing(id, to, segment) {
                self.open_buffer(id, to, segment, app);
            } else {
                arrival = self.before_store(id, from, passage, app);
            }
            self.store(id, to, segment, true)
        };
        self.account(id, to, &arrival, &report);
        let news = self.tells_at_once(id, to, report.data.advanced);
        let events = EventSet::of(Event::PacketIn).with_if(news, Event::NewData);
        self.raise(id, Raise::at(Hook::Receiver, to, events), from, passage, app);
        if news || self.lending.is_some() {
            self.take_back(id, to, passage, app);
        }
        self.after_store(id, to, &report, passage.view, app);
    }

    /// Whether octets are the next in order, and can be lent.
    fn can_lend_plain(&self, id: Id, to: Side, segment: &Segment<'_>) -> bool {
        let Some(live) = self.flows.live(id) else { return false };
        let stream = live.conn.stream(to);
        live.buffers[to].is_none()
            && stream.acked() <= stream.next()
            && stream.position(segment.seq) == stream.next().0.cast_signed()
            && self.can_lend_in_step(id, to, segment)
    }

    /// Whether octets come for the first time, and find a place among the ranges.
    fn touches_nothing(&self, id: Id, to: Side, segment: &Segment<'_>) -> bool {
        let Some(live) = self.flows.live(id) else { return false };
        let stream = live.conn.stream(to);
        let Ok(at) = u64::try_from(stream.position(segment.seq)) else { return false };
        let range = Range::at(Offset(at), segment.payload_len.into());
        let frags = self.buffers.frags(live.buffers[to]);
        range.start >= stream.next()
            && frags.is_none_or(|frags| !frags.is_full() && frags.overlapping(range).is_empty())
    }
}
