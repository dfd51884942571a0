//! The end of a connection.

use super::Engine;
use super::raise::{Raise, Sight};
use crate::event::{Event, EventSet, Hook};
use crate::flow::{EndReason, Mark};
use crate::memory::Memory;
use crate::slab::{Id, NONE};
use ringbuf_core::Offset;
use tcp_reasm::{Side, Sides};

impl<A, M: Memory> Engine<A, M> {
    /// Ends every connection, in the order of their slots, with [`EndReason::Shutdown`]. The engine can go on.
    pub fn shutdown(&mut self, app: &mut A) {
        self.announce(app);
        for index in 0..self.flows.slots() {
            if let Some(id) = self.flows.id_at(index) {
                self.end(id, EndReason::Shutdown, Side::Client, app);
                self.forget(id);
            }
        }
    }

    /// Tells the sockets what is left to tell, then that the connection ended, `first` side first, and closes them.
    pub(super) fn end(&mut self, id: Id, reason: EndReason, first: Side, app: &mut A) {
        let Some(flow) = self.flows.get_mut(id).filter(|f| f.over.is_none()) else { return };
        flow.over = Some(reason);
        if flow.take(Mark::Embryonic) {
            self.embryonic -= 1;
        }
        // Who is told may look at it. Without a live record to be had, what is at rest has no octets to tell of.
        let told = EventSet::of(Event::ConnEnd) | EventSet::of(Event::StateChange);
        let asked = flow.asks(Hook::Receiver, told) || flow.asks(Hook::Sender, told) || flow.rests_with_gap();
        if (flow.is_awake() || asked && self.wake(id))
            && let Some(live) = self.flows.live_mut(id)
        {
            live.pinned = true;
        }
        for side in Side::BOTH {
            if self.flows.live(id).is_some_and(|live| live.owes(side)) {
                self.give_up_gaps(id, side, None, app);
                self.hurry(id, side, Offset(u64::MAX));
                self.announce_side(id, side, app);
            }
        }
        let changed = self.flows.expire(id);
        for side in [first, !first] {
            let events = EventSet::of(Event::ConnEnd).with_if(changed[side].is_some(), Event::StateChange);
            self.tell_of_end(id, side, events, app);
        }
        self.stats.flows_ended += 1;
        if self.config.linger.is_zero() {
            return self.discard(id);
        }
        Side::BOTH.into_iter().for_each(|side| self.drop_octets(id, side));
        self.close_parts(id);
        self.lingering += 1;
        self.flows.touch(id, self.clock.running());
        self.settle(id);
        self.start_flow_timer(id);
    }

    /// Tells of the end of one side at both hooks: the same events, counted once.
    fn tell_of_end(&mut self, id: Id, side: Side, events: EventSet, app: &mut A) {
        self.count_events(events);
        for hook in [Hook::Receiver, Hook::Sender] {
            if self.flows.get(id).is_some_and(|flow| flow.asks(hook, events)) {
                let _ = self.raise_all(id, &Raise::at(hook, side, events), true, &mut Sight::of(None), app);
            }
        }
    }

    /// Removes a connection without telling anybody.
    pub(super) fn forget(&mut self, id: Id) {
        let Some(flow) = self.flows.get(id) else { return };
        if flow.over.is_some() {
            self.lingering -= 1;
        } else {
            self.stats.flows_ended += 1;
        }
        self.discard(id);
    }

    /// Frees a connection's record and everything that belongs to it.
    pub(super) fn discard(&mut self, id: Id) {
        self.close_parts(id);
        let Some(flow) = self.flows.get(id) else { return };
        self.embryonic -= usize::from(flow.is(Mark::Embryonic));
        self.wheel.stop(id.index());
        self.table.remove(self.hasher.hash(&flow.key), id.index());
        self.flows.remove(id);
    }

    /// Frees a connection's sockets and octets.
    fn close_parts(&mut self, id: Id) {
        self.forget_new_data(id);
        if let Some(live) = self.flows.live_mut(id) {
            self.aliases.remove(core::mem::replace(&mut live.alias, Id::NONE));
            self.shifts.remove(core::mem::replace(&mut live.shifts, Id::NONE));
            (live.pending, live.belated) = (Sides::default(), Sides::default());
            live.pinned = false;
            for side in Side::BOTH {
                self.waits.clear_side(&mut live.waits, side);
                self.buffers.close(core::mem::replace(&mut live.buffers[side], Id::NONE));
            }
        }
        let Some(flow) = self.flows.get_mut(id) else { return };
        let first = core::mem::replace(&mut flow.first_socket, NONE);
        let mut next = Some(first);
        while let Some(index) = next {
            next = self.sockets.close_active(index).filter(|next| *next != first);
        }
    }
}
