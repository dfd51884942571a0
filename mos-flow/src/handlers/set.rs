//! Sets of handlers: for each hook a tree of steps, of which no one changes as long as it is there.
//!
//! The roots of a tree are built-in events in the order of delivery, below them user-defined events. An event has a step when
//! a handler is registered for it or for one below it; without a handler of its own the step only filters. The events below
//! one are in the order of registration, those that are only raised behind all others.
//!
//! # Invariants
//! 1. The steps of a tree are chained in the order of a walk, parents first; so what lies below a step follows it.
//! 2. No two sets say the same: each is found by its hash.
//! 3. A set knows how many sockets have it and dispatches run through it, and goes with the last one.

use super::call::Registration;
use super::change::Change;
use crate::event::{EventId, EventSet, Hook, MAX_DEPTH};
use crate::hash::KeyedHash;
use crate::memory::Memory;
#[cfg(any(test, feature = "_model"))]
use crate::slab::Id;
use crate::slab::{NONE, Reuse, Slab, Slot};
use crate::table::{Bucket, Table};
use core::fmt;

/// What a step says, whichever set it is in.
pub(crate) struct Entry<A: 'static, M: Memory> {
    pub(crate) event: EventId,
    /// Events above it.
    pub(super) depth: u8,
    /// It happens when it is raised.
    pub(crate) raise_only: bool,
    pub(crate) registration: Option<Registration<A, M>>,
}

impl<A, M: Memory> Clone for Entry<A, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, M: Memory> Copy for Entry<A, M> {}

impl<A, M: Memory> PartialEq for Entry<A, M> {
    fn eq(&self, other: &Self) -> bool {
        let same = match (&self.registration, &other.registration) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_same(other),
            _ => false,
        };
        same && self.event == other.event // which has its depth from its definition
    }
}

/// One event of one set. Public only so that memory for it can be lent.
pub struct Step<A: 'static, M: Memory> {
    pub(crate) entry: Entry<A, M>,
    pub(crate) parent: u32,
    /// The next one in the order of the walk.
    pub(crate) next: u32,
    /// The first one below this one.
    pub(crate) below: u32,
    /// The next one below the same parent.
    pub(crate) sibling: u32,
}

impl<A, M: Memory> Clone for Step<A, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, M: Memory> Copy for Step<A, M> {}

impl<A, M: Memory> fmt::Debug for Step<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Step({:?}, {:?})", self.entry.event, self.entry.registration)
    }
}

/// The handlers of any number of sockets. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct HandlerSet {
    hash: u64,
    users: u32,
    first: [u32; Hook::ALL.len()],
    /// The built-in events among the steps, by hook.
    masks: [EventSet; Hook::ALL.len()],
}

/// There is no room for another set.
pub(super) struct NoRoom;

/// All sets of an engine.
pub(super) struct Sets<A: 'static, M: Memory> {
    steps: Slab<Step<A, M>, M>,
    sets: Slab<HandlerSet, M>,
    index: Table<M>,
    hasher: KeyedHash,
}

impl<A, M: Memory> Sets<A, M> {
    pub(super) fn new(
        steps: M::Of<Slot<Step<A, M>>>,
        sets: M::Of<Slot<HandlerSet>>,
        buckets: M::Of<Bucket>,
        seed: [u8; 16],
    ) -> Self {
        Sets {
            steps: Slab::new(steps, Reuse::Newest),
            sets: Slab::new(sets, Reuse::Newest),
            index: Table::new(buckets),
            hasher: KeyedHash::new(seed),
        }
    }

    /// Sets and steps there are.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.sets.len(), self.steps.len())
    }

    #[inline]
    pub(super) fn masks(&self, set: u32) -> [EventSet; Hook::ALL.len()] {
        self.sets.at(set).map_or([EventSet::NONE; Hook::ALL.len()], |set| set.masks)
    }

    #[inline]
    pub(super) fn mask(&self, set: u32, hook: Hook) -> EventSet {
        self.sets.at(set).map_or(EventSet::NONE, |set| set.masks[hook as usize])
    }

    /// The first root of a tree.
    #[inline]
    pub(super) fn first(&self, set: u32, hook: Hook) -> u32 {
        self.sets.at(set).map_or(NONE, |set| set.first[hook as usize])
    }

    #[inline]
    pub(super) fn step(&self, index: u32) -> Option<&Step<A, M>> {
        self.steps.at(index)
    }

    /// Steps beside one another, from one on.
    pub(super) fn siblings(&self, first: u32) -> impl Iterator<Item = (u32, &Step<A, M>)> {
        let at = |index: u32| self.steps.at(index).map(|step| (index, step));
        core::iter::successors(at(first), move |(_, step)| at(step.sibling))
    }

    /// The steps of a tree, in the order of the walk.
    fn tree(&self, set: u32, hook: Hook) -> impl Iterator<Item = &Entry<A, M>> {
        let first = self.steps.at(self.first(set, hook));
        core::iter::successors(first, |step| self.steps.at(step.next)).map(|step| &step.entry)
    }

    /// All steps of a set.
    pub(super) fn entries(&self, set: u32) -> impl Iterator<Item = &Entry<A, M>> {
        Hook::ALL.into_iter().flat_map(move |hook| self.tree(set, hook))
    }

    #[inline]
    pub(super) fn join(&mut self, set: u32) {
        if let Some(set) = self.sets.at_mut(set) {
            set.users += 1;
        }
    }

    /// One user more, and the first root of a tree, if it has one of `events`.
    #[inline]
    pub(super) fn enter(&mut self, set: u32, hook: Hook, events: EventSet) -> Option<u32> {
        let set = self.sets.at_mut(set).filter(|set| !(set.masks[hook as usize] & events).is_empty())?;
        set.users += 1;
        Some(set.first[hook as usize])
    }

    /// One user less. Returns whether it was the last one: then the set is to be removed.
    #[inline]
    pub(super) fn leave(&mut self, set: u32) -> bool {
        let Some(set) = self.sets.at_mut(set) else { return false };
        set.users -= 1;
        set.users == 0
    }

    /// Removes a set that nobody uses.
    pub(super) fn remove(&mut self, set: u32) {
        let Some(HandlerSet { hash, first, .. }) = self.sets.id_at(set).and_then(|id| self.sets.remove(id))
        else {
            return;
        };
        self.index.remove(hash, set);
        for mut at in first {
            while let Some(step) = self.steps.id_at(at).and_then(|id| self.steps.remove(id)) {
                at = step.next;
            }
        }
    }

    /// The set that says what `base` says with a change, if there is one, and its hash.
    pub(super) fn find(&self, base: u32, change: &Change<A, M>) -> (u64, Option<u32>) {
        let mut hash = 0;
        for hook in Hook::ALL {
            for entry in self.changed(base, hook, change) {
                hash = self.hash(hash, hook, &entry);
            }
        }
        let same = |set: u32| {
            let mut hooks = Hook::ALL.into_iter();
            hooks.all(|hook| self.changed(base, hook, change).eq(self.tree(set, hook).copied()))
        };
        (hash, self.index.find(hash, same))
    }

    fn hash(&self, before: u64, hook: Hook, entry: &Entry<A, M>) -> u64 {
        let event = match entry.event {
            EventId::BuiltIn(event) => event as u64,
            EventId::User(event) => !event.0.to_bits(),
        };
        let (code, token) = entry.registration.map_or((0, 0), |r| (r.code(), r.token as u64));
        self.hasher.hash(&[before, hook as u64, event, code, token])
    }

    /// The entries of a tree of `base` with a change.
    fn changed(&self, base: u32, hook: Hook, change: &Change<A, M>) -> impl Iterator<Item = Entry<A, M>> {
        let mut cursor = Cursor::new(self.first(base, hook), hook, change);
        core::iter::from_fn(move || self.next_entry(&mut cursor, change))
    }

    fn next_entry(&self, cursor: &mut Cursor, change: &Change<A, M>) -> Option<Entry<A, M>> {
        if cursor.at == change.at && !cursor.is_past {
            if let Some(entry) = change.new.get(cursor.added) {
                cursor.added += 1;
                return Some(*entry);
            }
            (cursor.at, cursor.is_past) = (change.resume, true);
        }
        let step = self.steps.at(cursor.at)?;
        cursor.at = step.next;
        Some(step.entry)
    }

    /// Makes the set that says what `base` says with a change, for one user.
    pub(super) fn build(&mut self, base: u32, change: &Change<A, M>, hash: u64) -> Result<u32, NoRoom> {
        let needed: usize = Hook::ALL.map(|hook| self.changed(base, hook, change).count()).iter().sum();
        if needed > self.steps.capacity() - self.steps.len() {
            return Err(NoRoom);
        }
        let none = HandlerSet {
            hash,
            users: 1,
            first: [NONE; Hook::ALL.len()],
            masks: [EventSet::NONE; Hook::ALL.len()],
        };
        let id = self.sets.insert(none).map_err(|_| NoRoom)?;
        if self.index.insert(hash, id.index()).is_err() {
            self.sets.remove(id);
            return Err(NoRoom);
        }
        for hook in Hook::ALL {
            let (first, mask) = self.build_tree(Cursor::new(self.first(base, hook), hook, change), change);
            if let Some(set) = self.sets.get_mut(id) {
                (set.first[hook as usize], set.masks[hook as usize]) = (first, mask);
            }
        }
        Ok(id.index())
    }

    /// Returns the first step, and the events of the roots. There is room.
    fn build_tree(&mut self, mut cursor: Cursor, change: &Change<A, M>) -> (u32, EventSet) {
        let (mut first, mut last, mut mask) = (NONE, NONE, EventSet::NONE);
        // The latest step of each depth below the latest of the one above.
        let mut latest = [NONE; MAX_DEPTH + 1];
        while let Some(entry) = self.next_entry(&mut cursor, change) {
            let depth = usize::from(entry.depth);
            let parent = depth.checked_sub(1).and_then(|above| latest.get(above)).copied().unwrap_or(NONE);
            let step = Step { entry, parent, next: NONE, below: NONE, sibling: NONE };
            let Ok(id) = self.steps.insert(step) else { break };
            let index = id.index();
            match self.steps.at_mut(last) {
                Some(before) => before.next = index,
                None => first = index,
            }
            if let Some(above) = self.steps.at_mut(parent).filter(|_| parent == last) {
                above.below = index;
            }
            for (of_depth, place) in latest.iter_mut().enumerate().skip(depth) {
                let before = core::mem::replace(place, if of_depth == depth { index } else { NONE });
                if let Some(before) = self.steps.at_mut(before).filter(|_| of_depth == depth) {
                    before.sibling = index;
                }
            }
            if let EventId::BuiltIn(event) = entry.event {
                mask |= EventSet::of(event);
            }
            last = index;
        }
        (first, mask)
    }

    /// Every set is used as often as `users` says, is found by its hash and no other says the same, and every step is in one.
    #[cfg(any(test, feature = "_model"))]
    #[allow(clippy::missing_panics_doc)]
    pub(super) fn check(&self, users: impl Fn(u32) -> usize) {
        let sets = || self.sets.ids().map(Id::index);
        let mut steps = 0;
        for (set, held) in sets().filter_map(|set| Some((set, self.sets.at(set)?))) {
            assert!(held.users > 0 && held.users as usize == users(set), "users of a set are counted");
            assert_eq!(self.find(set, &Change::NOTHING), (held.hash, Some(set)), "it is found");
            let same = |other| Hook::ALL.iter().all(|hook| self.tree(other, *hook).eq(self.tree(set, *hook)));
            assert!(sets().all(|other| other == set || !same(other)), "no two sets say the same");
            steps += self.entries(set).count();
        }
        assert_eq!(steps, self.steps.len(), "every step is in a set");
    }

    /// All steps of all sets.
    #[cfg(any(test, feature = "_model"))]
    pub(super) fn all_entries(&self) -> impl Iterator<Item = &Entry<A, M>> {
        self.sets.ids().flat_map(|id| self.entries(id.index()))
    }
}

/// A place in a tree that is read with a change.
struct Cursor {
    at: u32,
    /// How much was read of what is new.
    added: usize,
    is_past: bool,
}

impl Cursor {
    fn new<A, M: Memory>(first: u32, hook: Hook, change: &Change<A, M>) -> Self {
        Cursor { at: first, added: 0, is_past: hook != change.hook }
    }
}
