//! Connections that have other addresses on the server's side than on the client's.
//!
//! A handler that rewrites the addresses of a connection's first packet decides under which ones the answers are looked for:
//! what the client sends is known by the connection's own key, what the server sends by the alias. Few connections have one,
//! so aliases have a table of their own, which is asked only when the other one knows nothing.
//!
//! # Invariants
//! 1. An alias is in the table exactly as long as its connection has it.

use crate::key::FlowKey;
use crate::memory::Memory;
use crate::slab::{Id, Reuse, Slab, Slot};
use crate::table::{Bucket, Table};
use core::fmt;

/// The key of a connection on the server's side. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Alias {
    key: FlowKey,
    hash: u64,
    flow: Id,
    /// The low endpoint of the key stands for the client.
    client_is_low: bool,
}

impl Alias {
    pub(crate) fn key(&self) -> &FlowKey {
        &self.key
    }

    pub(crate) fn client_is_low(&self) -> bool {
        self.client_is_low
    }
}

/// All aliases of an engine.
pub(crate) struct Aliases<M: Memory> {
    table: Table<M>,
    aliases: Slab<Alias, M>,
}

impl<M: Memory> fmt::Debug for Aliases<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aliases({:?})", self.aliases)
    }
}

impl<M: Memory> Aliases<M> {
    pub(crate) fn new(buckets: M::Of<Bucket>, aliases: M::Of<Slot<Alias>>) -> Self {
        Aliases { table: Table::new(buckets), aliases: Slab::new(aliases, Reuse::Newest) }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.aliases.is_empty()
    }

    #[cfg(any(test, feature = "_model"))]
    pub(crate) fn len(&self) -> usize {
        self.aliases.len()
    }

    pub(crate) fn get(&self, id: Id) -> Option<&Alias> {
        self.aliases.get(id)
    }

    fn place(&self, key: &FlowKey, hash: u64) -> Option<u32> {
        let same = |index| self.aliases.at(index).is_some_and(|alias: &Alias| alias.key == *key);
        self.table.find(hash, same)
    }

    /// The connection that has `key` on the server's side, and which end of it is the client.
    pub(crate) fn find(&self, key: &FlowKey, hash: u64) -> Option<(Id, bool)> {
        if self.is_empty() {
            return None;
        }
        let alias = self.aliases.at(self.place(key, hash)?)?;
        Some((alias.flow, alias.client_is_low))
    }

    /// Gives a connection an alias. `None` when there is no room, or another connection has it.
    pub(crate) fn insert(&mut self, key: FlowKey, hash: u64, flow: Id, client_is_low: bool) -> Option<Id> {
        if self.place(&key, hash).is_some() {
            return None;
        }
        let id = self.aliases.insert(Alias { key, hash, flow, client_is_low }).ok()?;
        if self.table.insert(hash, id.index()).is_ok() {
            return Some(id);
        }
        self.aliases.remove(id);
        None
    }

    pub(crate) fn remove(&mut self, id: Id) {
        if let Some(alias) = self.aliases.remove(id) {
            self.table.remove(alias.hash, id.index());
        }
    }
}
