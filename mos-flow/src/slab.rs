//! Slots with generations: an id that outlives its slot's content finds nothing instead of the wrong thing.
//!
//! # Invariants
//! 1. A slot is occupied, or on the free list exactly once.
//! 2. The generation of a slot grows with each removal; an id is valid while its generation is the slot's.

use crate::memory::{Array, Memory};
use core::fmt;

/// A handle to a slot: index and generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// The id of nothing: no slab ever gives it out.
    pub const NONE: Id = Id { index: NONE, generation: 0 };

    /// Whether this is [`Id::NONE`].
    #[inline]
    pub fn is_none(self) -> bool {
        self.index == NONE
    }

    /// The slot's index, for callers that keep tables beside the slab.
    pub fn index(self) -> u32 {
        self.index
    }

    /// Index and generation as one number.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The id that [`Id::to_bits`] made the number from.
    #[allow(clippy::cast_possible_truncation)] // the two halves
    pub fn from_bits(bits: u64) -> Id {
        Id { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// The index of nothing.
pub(crate) const NONE: u32 = u32::MAX;

/// Slots that [`Slab::next_from`] looks at.
pub const LOOK: usize = 64;

/// Values that are near enough by themselves: they fit into a cache of the second level. An arbitrary figure.
const FEW: usize = 256;

/// One place of a [`Slab`].
#[derive(Debug)]
#[repr(C)] // the generation is asked first, and lies with the value's first octets
pub struct Slot<T> {
    generation: u32,
    content: Content<T>,
}

/// What is in a slot. A free one costs nothing beyond the value's place: the link lies where the value was.
#[derive(Debug)]
enum Content<T> {
    Held(T),
    /// The next free slot.
    Free(u32),
}

impl<T> Slot<T> {
    fn value(&self) -> Option<&T> {
        match &self.content {
            Content::Held(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    fn value_mut(&mut self) -> Option<&mut T> {
        match &mut self.content {
            Content::Held(value) => Some(value),
            Content::Free(_) => None,
        }
    }
}

/// Which free slot is taken next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// The one freed last: it is still in the cache.
    Newest,
    /// The one freed first: numbers stay unused for as long as possible.
    Oldest,
}

/// A pool of `T` with a fixed capacity.
pub struct Slab<T: 'static, M: Memory> {
    slots: M::Of<Slot<T>>,
    free_head: u32,
    free_tail: u32,
    len: usize,
    reuse: Reuse,
}

impl<T: fmt::Debug, M: Memory> fmt::Debug for Slab<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slab({} of {})", self.len, self.slots.capacity())
    }
}

impl<T, M: Memory> Slab<T, M> {
    /// An empty slab over empty `slots`.
    pub fn new(slots: M::Of<Slot<T>>, reuse: Reuse) -> Self {
        Slab { slots, free_head: NONE, free_tail: NONE, len: 0, reuse }
    }

    /// Occupied slots.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot is occupied.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no further value fits.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == self.slots.capacity()
    }

    /// Whether values are so many that not all of them are near: then it pays to ask for one ahead.
    #[inline]
    pub(crate) fn are_far_apart(&self) -> bool {
        self.len > FEW
    }

    /// The most values it holds.
    pub fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    /// Puts a value into a free slot.
    ///
    /// # Errors
    /// Gives the value back when all slots are occupied.
    pub fn insert(&mut self, value: T) -> Result<Id, T> {
        let index = self.free_head;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            if let Content::Free(next) = slot.content {
                self.free_head = next;
            }
            slot.content = Content::Held(value);
            self.len += 1;
            return Ok(Id { index, generation: slot.generation });
        }
        let index = u32::try_from(self.slots.len()).unwrap_or(NONE);
        if index == NONE {
            return Err(value);
        }
        match self.slots.try_push(Slot { generation: 0, content: Content::Held(value) }) {
            Ok(()) => {
                self.len += 1;
                Ok(Id { index, generation: 0 })
            }
            Err(Slot { content: Content::Held(value), .. }) => Err(value),
            Err(_) => unreachable!("it was just put in"),
        }
    }

    /// Takes a value out; `None` when the id is stale.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let next = if self.reuse == Reuse::Oldest { NONE } else { self.free_head };
        let slot = self.slots.get_mut(id.index as usize).filter(|s| s.generation == id.generation)?;
        slot.value()?;
        slot.generation = slot.generation.wrapping_add(1);
        let content = core::mem::replace(&mut slot.content, Content::Free(next));
        self.len -= 1;
        self.add_free(id.index);
        match content {
            Content::Held(value) => Some(value),
            Content::Free(_) => None,
        }
    }

    /// Puts a slot into the free list: at its end, or at its front, where the slot's own link leads on already.
    fn add_free(&mut self, index: u32) {
        let last = (self.reuse == Reuse::Oldest && self.free_head != NONE).then_some(self.free_tail);
        match last.and_then(|tail| self.slots.get_mut(tail as usize)) {
            Some(tail) => tail.content = Content::Free(index),
            None => self.free_head = index,
        }
        self.free_tail = index;
    }

    /// The value of a valid id.
    #[inline]
    pub fn get(&self, id: Id) -> Option<&T> {
        self.slots.get(id.index as usize).filter(|s| s.generation == id.generation)?.value()
    }

    /// The value of a valid id.
    #[inline]
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.get_mut(id.index as usize).filter(|s| s.generation == id.generation)?.value_mut()
    }

    /// The value at an index, whatever its generation.
    #[inline]
    pub fn at(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value()
    }

    /// The value at an index, whatever its generation.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value_mut()
    }

    /// The id of the value at an index.
    #[inline]
    pub fn id_at(&self, index: u32) -> Option<Id> {
        self.with_id(index).map(|(id, _)| id)
    }

    /// The value at an index, and its id.
    #[inline]
    pub fn with_id(&self, index: u32) -> Option<(Id, &T)> {
        let slot = self.slots.get(index as usize)?;
        slot.value().map(|value| (Id { index, generation: slot.generation }, value))
    }

    /// Slots that were ever occupied: indices are below.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(NONE)
    }

    /// The slot at an index, to prefetch it.
    #[inline]
    pub fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.slots.get(index as usize)
    }

    /// The next value that is `wanted`, round and round: the search goes on at `hand` and looks at [`LOOK`] slots.
    pub fn next_from(&self, hand: &mut u32, wanted: impl Fn(&T) -> bool) -> Option<Id> {
        for _ in 0..LOOK.min(self.slots.len()) {
            let at = if (*hand as usize) < self.slots.len() { *hand } else { 0 };
            *hand = at + 1;
            if self.at(at).is_some_and(&wanted) {
                return self.id_at(at);
            }
        }
        None
    }

    /// The ids of all values in the order of their slots.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        (0..)
            .zip(self.slots.iter())
            .filter(|(_, s)| s.value().is_some())
            .map(|(index, s)| Id { index, generation: s.generation })
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::*;
    use crate::memory::{Heap, Reserved};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn slab(capacity: usize, reuse: Reuse) -> Slab<u32, Heap> {
        Slab::new(Reserved::with_capacity(capacity), reuse)
    }

    #[test]
    fn a_stale_id_finds_nothing() {
        let mut s = slab(2, Reuse::Newest);
        let a = s.insert(1).unwrap();
        assert_eq!(s.remove(a), Some(1));
        let b = s.insert(2).unwrap();
        assert_eq!(a.index(), b.index());
        assert_eq!((s.get(a), s.get(b)), (None, Some(&2)));
        assert_eq!(s.remove(a), None);
        assert_eq!(Id::from_bits(b.to_bits()), b);
    }

    #[test]
    fn the_search_goes_round() {
        let mut s = slab(4, Reuse::Newest);
        let ids: Vec<Id> = (0..4).map(|n| s.insert(n).unwrap()).collect();
        s.remove(ids[2]);
        let mut hand = 1;
        let found: Vec<_> = (0..4).map(|_| s.next_from(&mut hand, |n| *n != 0)).collect();
        assert_eq!(found, [Some(ids[1]), Some(ids[3]), Some(ids[1]), Some(ids[3])]);
        assert_eq!(
            (s.next_from(&mut hand, |n| *n > 9), slab(4, Reuse::Newest).next_from(&mut hand, |_| true)),
            (None, None)
        );
    }

    proptest! {
        #[test]
        fn behaves_like_a_list_of_live_ids(script in prop::collection::vec(any::<u8>(), 0..300)) {
            crate::model::slab::run(&script);
        }
    }
}
