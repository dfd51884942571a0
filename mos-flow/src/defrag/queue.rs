//! Where datagrams wait: opened, found, given up.

use super::{Datagram, Defrag, Fragment, FragmentDrop};
use crate::memory::Memory;
use crate::slab::Id;
use crate::time::micros;
use crate::wire::Family;
use ringbuf_core::chunk::Chunked;
use ringbuf_core::{Range, Store};

/// Datagrams of one family, the oldest first: all wait equally long, so that is the order of their deadlines, too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    oldest: Id,
    newest: Id,
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue { oldest: Id::NONE, newest: Id::NONE };

    #[cfg(any(test, feature = "_model"))]
    pub(super) fn oldest(&self) -> Id {
        self.oldest
    }
}

impl<M: Memory> Defrag<M> {
    pub(super) fn find(&self, fragment: &Fragment<'_>, hash: u64) -> Option<Id> {
        let is_it = |index| self.datagrams.at(index).is_some_and(|d| d.is_of(fragment));
        self.table.find(hash, is_it).and_then(|index| self.datagrams.id_at(index))
    }

    /// Opens the datagram of a fragment. When no place is left the oldest one goes.
    pub(super) fn open(&mut self, fragment: &Fragment<'_>, hash: u64) -> Result<Id, FragmentDrop> {
        if self.datagrams.len() == self.datagrams.capacity() {
            self.evict(Id::NONE);
        }
        let datagram = Datagram::new(fragment, hash, self.running, self.stats.opened);
        let id = self.datagrams.insert(datagram).map_err(|_| FragmentDrop::NoRoom)?;
        if self.table.insert(hash, id.index()).is_err() {
            self.datagrams.remove(id);
            return Err(FragmentDrop::NoRoom);
        }
        self.link(id, fragment.family);
        self.stats.opened += 1;
        Ok(id)
    }

    /// Memory for a range of a datagram; the oldest others make room.
    pub(super) fn reserve(&mut self, id: Id, room: Range) -> Result<(), FragmentDrop> {
        loop {
            let datagram = self.datagrams.get_mut(id).ok_or(FragmentDrop::NoRoom)?;
            let mut store = Chunked { pool: &mut self.pool, map: &mut datagram.chunks };
            if store.reserve(room).is_ok() {
                return Ok(());
            }
            if !self.evict(id) {
                return Err(FragmentDrop::NoRoom);
            }
        }
    }

    /// Forgets a datagram. Returns whether it was there.
    pub(super) fn close(&mut self, id: Id) -> bool {
        let Some(datagram) = self.datagrams.get_mut(id) else { return false };
        Chunked { pool: &mut self.pool, map: &mut datagram.chunks }.clear();
        let hash = datagram.hash;
        self.table.remove(hash, id.index());
        self.unlink(id);
        self.datagrams.remove(id).is_some()
    }

    /// The oldest datagram of a family, and the microseconds that it has left.
    pub(super) fn next_due(&self, family: Family) -> Option<(Id, u64)> {
        let id = self.queues[family as usize].oldest;
        let wait = match family {
            Family::V4 => self.config.timeout_v4,
            Family::V6 => self.config.timeout_v6,
        };
        let age = self.running.wrapping_sub(self.datagrams.get(id)?.born);
        Some((id, micros(wait).saturating_sub(age)))
    }

    /// Gives up the oldest datagram other than `but`: the one that is being worked on must not go from under its own
    /// fragment. `false` when there is none.
    fn evict(&mut self, but: Id) -> bool {
        let first = |queue: &Queue| match self.datagrams.get(queue.oldest)? {
            oldest if queue.oldest == but => {
                self.datagrams.get(oldest.newer).map(|next| (next.number, oldest.newer))
            }
            oldest => Some((oldest.number, queue.oldest)),
        };
        let Some((_, id)) = self.queues.iter().filter_map(first).min() else { return false };
        self.stats.evicted += u64::from(self.close(id));
        true
    }

    fn link(&mut self, id: Id, family: Family) {
        let queue = &mut self.queues[family as usize];
        let older = core::mem::replace(&mut queue.newest, id);
        if let Some(older) = self.datagrams.get_mut(older) {
            older.newer = id;
        } else {
            queue.oldest = id;
        }
        if let Some(datagram) = self.datagrams.get_mut(id) {
            datagram.older = older;
        }
    }

    fn unlink(&mut self, id: Id) {
        let Some(&Datagram { older, newer, family, .. }) = self.datagrams.get(id) else { return };
        let queue = &mut self.queues[family as usize];
        match self.datagrams.get_mut(older) {
            Some(older) => older.newer = newer,
            None => queue.oldest = newer,
        }
        match self.datagrams.get_mut(newer) {
            Some(newer) => newer.older = older,
            None => queue.newest = older,
        }
    }
}
