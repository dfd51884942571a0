//! A slab against a list of live ids, from a script of bytes.

use crate::memory::{Heap, Reserved};
use crate::slab::{Id, LOOK, Reuse, Slab};
use std::vec::Vec;

/// Slots by the letter: how often each was freed, and which are free, in the order of being freed.
#[derive(Debug)]
struct Model {
    capacity: usize,
    reuse: Reuse,
    live: Vec<(Id, u32)>,
    freed: Vec<u32>,
    free: Vec<u32>,
}

fn id(index: u32, generation: u32) -> Id {
    Id::from_bits(u64::from(generation) << 32 | u64::from(index))
}

impl Model {
    /// The id of the next value.
    fn next(&mut self) -> Option<Id> {
        let index = if self.free.is_empty() {
            (self.freed.len() < self.capacity).then(|| {
                self.freed.push(0);
                self.freed.len() as u32 - 1
            })?
        } else {
            self.free.remove(if self.reuse == Reuse::Oldest { 0 } else { self.free.len() - 1 })
        };
        Some(id(index, self.freed[index as usize]))
    }

    fn get(&self, id: Id) -> Option<u32> {
        self.live.iter().find(|(live, _)| *live == id).map(|(_, value)| *value)
    }

    fn at(&self, index: u32) -> Option<(Id, u32)> {
        self.live.iter().find(|(id, _)| id.index() == index).copied()
    }

    fn remove(&mut self, id: Id) -> Option<u32> {
        let value = self.get(id)?;
        self.live.retain(|(live, _)| *live != id);
        self.freed[id.index() as usize] += 1;
        self.free.push(id.index());
        Some(value)
    }

    /// The next value of which `mask` has a bit.
    fn next_from(&self, hand: &mut u32, mask: u32) -> Option<Id> {
        let slots = self.freed.len() as u32;
        let from = if *hand < slots { *hand } else { 0 };
        let turn: Vec<u32> = (0..slots.min(LOOK as u32)).map(|n| (from + n) % slots).collect();
        let found = turn.iter().find_map(|at| self.at(*at).filter(|(_, value)| value & mask != 0));
        let last = found.map(|(id, _)| id.index()).or(turn.last().copied());
        *hand = last.map_or(*hand, |at| at + 1);
        found.map(|(id, _)| id)
    }
}

/// Runs a script against the model.
///
/// # Panics
/// When they disagree.
pub fn run(input: &[u8]) {
    let Some((&[setup], ops)) = input.split_first_chunk::<1>() else { return };
    // Some have more slots than one search looks at.
    let full = if setup & 0xc0 == 0xc0 { LOOK } else { 0 };
    let capacity = full + usize::from(setup >> 1 & 7);
    let reuse = if setup & 1 == 0 { Reuse::Newest } else { Reuse::Oldest };
    let mut slab = Slab::<u32, Heap>::new(Reserved::with_capacity(capacity), reuse);
    let mut model = Model { capacity, reuse, live: Vec::new(), freed: Vec::new(), free: Vec::new() };
    (0..full).for_each(|_| insert(&mut slab, &mut model, 0));
    let mut hands = (0, 0);
    for (n, &[what, which, how]) in (1..).zip(ops.as_chunks::<3>().0) {
        // Any id: of this generation, of one before or after, of no slot.
        let any = id(u32::from(which) % (capacity as u32 + 2), u32::from(how & 7));
        let live = model.live.get(usize::from(which) % model.live.len().max(1)).map_or(any, |(id, _)| *id);
        match what % 8 {
            0..=3 => insert(&mut slab, &mut model, n),
            4 | 5 => assert_eq!(slab.remove(live), model.remove(live)),
            6 => assert_eq!(slab.remove(any), model.remove(any)),
            _ => {
                hands.0 = if how & 1 == 0 { hands.0 } else { u32::from(which) };
                hands.1 = hands.0;
                let mask = u32::from(how >> 1);
                let found = slab.next_from(&mut hands.0, |value| value & mask != 0);
                assert_eq!(found, model.next_from(&mut hands.1, mask));
                assert_eq!(hands.0, hands.1, "the search goes on where it was left");
            }
        }
        compare(&mut slab, &mut model, any, n);
    }
}

fn insert(slab: &mut Slab<u32, Heap>, model: &mut Model, value: u32) {
    let expected = model.next();
    model.live.extend(expected.map(|id| (id, value)));
    assert_eq!(slab.insert(value), expected.ok_or(value));
}

fn compare(slab: &mut Slab<u32, Heap>, model: &mut Model, any: Id, n: u32) {
    assert_eq!((slab.len(), slab.is_empty()), (model.live.len(), model.live.is_empty()));
    assert_eq!((slab.capacity(), slab.get(Id::NONE)), (model.capacity, None));
    assert_eq!(slab.get(any).copied(), model.get(any));
    for index in 0..model.capacity as u32 + 2 {
        let held = model.at(index);
        assert_eq!((slab.id_at(index), slab.at(index).copied()), (held.map(|h| h.0), held.map(|h| h.1)));
        assert_eq!(slab.slot(index).is_some(), (index as usize) < model.freed.len());
        // The ids that the slot had before.
        let generations = model.freed.get(index as usize).copied().unwrap_or(0);
        assert!((0..generations).all(|g| slab.get(id(index, g)).is_none()), "a stale id finds nothing");
    }
    let mut ids: Vec<Id> = model.live.iter().map(|(id, _)| *id).collect();
    ids.sort_unstable_by_key(|id| id.index());
    assert!(slab.ids().eq(ids), "in the order of their slots");
    // A value that is written is the one that is read.
    if let Some((id, value)) = model.live.last_mut() {
        *value = n;
        *slab.get_mut(*id).expect("it is live") = n;
        assert_eq!(slab.at_mut(id.index()), Some(&mut n.clone()));
    }
}
