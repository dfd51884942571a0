//! Segments in step (see [`Conn::step`](tcp_reasm::Conn::step)) of connections whose sockets do not ask for each packet, as
//! nearly all are: at once, where a connection rests in its short record, without waking it.

use super::{Engine, Passage};
use crate::event::{Event, EventSet, Hook};
use crate::flow::Flow;
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::Id;
use tcp_reasm::{Arrival, Sent, Side, Sides};

impl<A, M: Memory> Engine<A, M> {
    /// Follows a segment that is in step, if nobody is to be shown it at the sender's hook. Otherwise nothing has changed.
    #[inline]
    pub(super) fn step(&mut self, id: Id, passage: &mut Passage<'_, M>, app: &mut A) -> bool {
        let Some(flow) = self.flows.get(id) else { return false };
        if !flow.is_calm() || passage.verdict == Verdict::Drop {
            return false;
        }
        let from = self.sender(flow, passage.prepared);
        let brings = passage.segment.payload_len > 0;
        if brings && flow.is_buffered(!from) || flow.interest[Hook::Receiver as usize].has(Event::PacketIn) {
            return self.step_awake(id, from, passage, app);
        }
        if !self.flows.step_without_octets(id, from, passage.segment, self.clock.running()) {
            return false;
        }
        self.count_step();
        self.stats.events[Event::PacketIn] += 1; // at the receiver's hook
        self.stats.stream_octets += u64::from(passage.segment.payload_len);
        if self.flows.is_crowded() {
            let _ = self.to_settle.push(id); // see `after_segment`
        }
        true
    }

    /// What a segment in step counts for, up to the sender's hook.
    fn count_step(&mut self) {
        self.stats.segments += 1;
        self.stats.events[Event::PacketIn] += 1;
    }

    /// The same for a segment that somebody is told of at the receiver's hook, or whose octets are kept.
    fn step_awake(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) -> bool {
        let (to, segment, now) = (!from, passage.segment, self.clock.running());
        let Some(live) = self.flows.wake_in_step(id) else { return false };
        let has_ranges = self.buffers.frags(live.buffers[to]).is_some_and(|frags| !frags.is_empty());
        if has_ranges || !live.conn.step(from, segment) {
            return false;
        }
        live.timers.on_segment(now);
        live.pinned = true;
        self.count_step();
        let Some(flow) = self.flows.get(id) else { return true };
        let asked = flow.interest[Hook::Receiver as usize];
        if (asked & (EventSet::of(Event::PacketIn) | EventSet::of(Event::NewData))).is_empty() {
            self.stats.events[Event::PacketIn] += 1;
            self.open_buffer(id, to, segment, app);
            let report = self.store_in_step(id, to, segment);
            self.account(id, to, &Arrival::default(), &report);
            self.after_store(id, to, &report, passage.view, app);
        } else if self.can_lend_in_step(id, to, segment) {
            self.lend_in_step(id, from, passage, app);
        } else if let Some(live) = self.flows.live(id) {
            let states = Sides::from_fn(|side| live.conn.state(side));
            self.receive(id, from, passage, (&Sent::default(), [states; 2]), app);
        }
        self.after_segment(id, from, false, app);
        true
    }
}

impl Flow {
    /// Whether nothing about it is undecided, and nobody asks for each packet at the sender's hook.
    #[inline]
    fn is_calm(&self) -> bool {
        self.is_heard_and_watched()
            && self.over.is_none()
            && !self.interest[Hook::Sender as usize].has(Event::PacketIn)
    }
}
