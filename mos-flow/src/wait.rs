//! Sockets that wait for a number of octets: one record for each stream that one waits for, in a list of its connection.
//!
//! # Invariants
//! 1. A record is in the list of exactly one connection, which frees it before it goes or rests.
//! 2. A socket waits for no stream twice.

use crate::memory::Memory;
use crate::slab::{Id, NONE, Reuse, Slab, Slot};
use core::fmt;
use ringbuf_core::Offset;
use tcp_reasm::Side;

/// A socket that waits. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Wait {
    /// The socket's slot.
    socket: u32,
    /// The next one of the connection.
    next: u32,
    /// It is told when the stream stands here.
    until: Offset,
    /// The side that receives the stream.
    side: Side,
}

/// All that wait, of all connections. A connection has the slot of its first one.
pub(crate) struct Waits<M: Memory> {
    waits: Slab<Wait, M>,
}

impl<M: Memory> fmt::Debug for Waits<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waits({:?})", self.waits)
    }
}

impl<M: Memory> Waits<M> {
    pub(crate) fn new(waits: M::Of<Slot<Wait>>) -> Self {
        Waits { waits: Slab::new(waits, Reuse::Newest) }
    }

    /// How many wait.
    #[cfg(any(test, feature = "_model"))]
    pub(crate) fn len(&self) -> usize {
        self.waits.len()
    }

    /// The slots of a connection's records.
    pub(crate) fn list(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let after = |index: &u32| self.waits.at(*index).map(|wait| wait.next);
        core::iter::successors(Some(first), after).take_while(|index| *index != NONE)
    }

    fn find(&self, first: u32, socket: u32, side: Side) -> Option<u32> {
        let is = |wait: &Wait| wait.socket == socket && wait.side == side;
        self.list(first).find(|index| self.waits.at(*index).is_some_and(is))
    }

    /// Where the stream that `side` receives has to stand before the socket is told; `None` when it does not wait.
    pub(crate) fn until(&self, first: u32, socket: u32, side: Side) -> Option<Offset> {
        Some(self.waits.at(self.find(first, socket, side)?)?.until)
    }

    /// Lets a socket wait, or wait for something else. Returns whether there was a record for it.
    pub(crate) fn set(&mut self, first: &mut u32, socket: u32, side: Side, until: Offset) -> bool {
        if let Some(wait) = self.find(*first, socket, side).and_then(|index| self.waits.at_mut(index)) {
            wait.until = until;
            return true;
        }
        let Ok(id) = self.waits.insert(Wait { socket, next: *first, until, side }) else { return false };
        *first = id.index();
        true
    }

    /// A socket waits no longer. Returns whether it did.
    pub(crate) fn clear(&mut self, first: &mut u32, socket: u32, side: Side) -> bool {
        let Some(index) = self.find(*first, socket, side) else { return false };
        let next = self.remove(index);
        let before = self.list(*first).find(|other| self.waits.at(*other).is_some_and(|w| w.next == index));
        match before.and_then(|index| self.waits.at_mut(index)) {
            Some(before) => before.next = next,
            None => *first = next,
        }
        true
    }

    /// Nobody waits for the stream that `side` receives any longer.
    pub(crate) fn clear_side(&mut self, first: &mut u32, side: Side) {
        while let Some(socket) = self.of_side(*first, side) {
            self.clear(first, socket, side);
        }
    }

    /// A socket that waits for the stream that `side` receives.
    fn of_side(&self, first: u32, side: Side) -> Option<u32> {
        let mut waits = self.list(first).filter_map(|index| self.waits.at(index));
        waits.find(|wait| wait.side == side).map(|wait| wait.socket)
    }

    /// Frees a record; returns the one after it.
    fn remove(&mut self, index: u32) -> u32 {
        let id = self.waits.id_at(index).unwrap_or(Id::NONE);
        self.waits.remove(id).map_or(NONE, |wait| wait.next)
    }
}
