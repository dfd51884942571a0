//! The end of a connection.

use super::Engine;
use super::raise::Raise;
use crate::event::{Event, EventSet, Hook};
use crate::flow::EndReason;
use crate::memory::Memory;
use crate::slab::Id;
use tcp_reasm::Side;

impl<A, M: Memory> Engine<A, M> {
    /// Ends every connection, in the order of their slots, with [`EndReason::Shutdown`]. The engine can go on.
    pub fn shutdown(&mut self, app: &mut A) {
        self.announce(app);
        let mut index = 0;
        while self.flows.slot(index).is_some() {
            if let Some(id) = self.flows.id_at(index) {
                self.end(id, EndReason::Shutdown, Side::Client, app);
                self.forget(id);
            }
            index += 1;
        }
    }

    /// Tells the sockets what is left to tell, then that the connection ended, `first` side first, and closes them.
    pub(super) fn end(&mut self, id: Id, reason: EndReason, first: Side, app: &mut A) {
        let Some(flow) = self.flows.get_mut(id).filter(|f| f.over.is_none()) else { return };
        flow.over = Some(reason);
        for side in Side::BOTH {
            self.give_up_gaps(id, side, None, app);
            self.announce_side(id, side, app);
        }
        let Some(flow) = self.flows.get_mut(id) else { return };
        let changed = flow.conn.expire();
        for side in [first, !first] {
            let events = EventSet::of(Event::ConnEnd).with_if(changed[side].is_some(), Event::StateChange);
            self.raise_quiet(id, Raise::at(Hook::Receiver, side, events), None, app);
            // The same events, counted once.
            let _ = self.raise_all(id, Raise::at(Hook::Sender, side, events), true, None, app);
        }
        self.stats.flows_ended += 1;
        if self.config.linger.is_zero() {
            return self.discard(id);
        }
        self.close_parts(id);
        self.lingering += 1;
        self.start_flow_timer(id);
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

    /// Makes room in a full table: of the connections that are only remembered one is forgotten, if one is found soon.
    /// Returns whether it was.
    pub(super) fn forget_lingering(&mut self) -> bool {
        if self.lingering == 0 {
            return false;
        }
        let found = self.flows.next_from(&mut self.linger_hand, |flow| flow.over.is_some());
        if let Some(id) = found {
            self.forget(id);
        }
        found.is_some()
    }

    /// Frees a connection's record and everything that belongs to it.
    pub(super) fn discard(&mut self, id: Id) {
        self.close_parts(id);
        if let Some(flow) = self.flows.remove(id) {
            self.wheel.stop(flow.timer);
            self.table.remove(flow.hash, id.index());
        }
    }

    /// Frees a connection's sockets and octets.
    fn close_parts(&mut self, id: Id) {
        self.forget_new_data(id);
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.in_pending_list = false;
        flow.pending = tcp_reasm::Sides::default();
        let mut next = core::mem::replace(&mut flow.first_socket, Id::NONE);
        flow.last_socket = Id::NONE;
        for side in Side::BOTH {
            self.buffers.close(core::mem::replace(&mut flow.buffers[side], Id::NONE));
        }
        while let Ok(socket) = self.sockets.get(next) {
            let this = core::mem::replace(&mut next, socket.next);
            let _ = self.sockets.close(this);
        }
    }
}
