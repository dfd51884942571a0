//! The hash table from a key's hash to an index: buckets of one cache line, two candidate buckets a key.
//!
//! A bucket holds ten entries of a 16-bit tag and a 32-bit index; the keys themselves are where the index leads. A
//! lookup touches one line, and a second one only when entries of the first bucket had to move to their other one;
//! then the record of the match. A full pair of buckets makes room by moving one entry to *its* other bucket, so
//! inserts succeed well beyond the load that a table of the configured capacity reaches.
//!
//! The other bucket of an entry is found from its tag alone, so moving it needs no key.
//!
//! # Invariants
//! 1. An entry is in one of its two buckets, `b` and `partner(b, tag)`; `partner` is its own inverse.
//! 2. `overflow` of a bucket counts the entries whose first bucket it is and that are in the other one.

use crate::memory::Memory;
use core::fmt;
use ringbuf_core::hint;

const ENTRIES: usize = 10;
/// Entries a bucket on average when the table is at its capacity.
const LOAD: usize = 6;
/// Tag of an empty entry.
const EMPTY: u16 = 0;

/// One cache line of entries.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Bucket {
    tags: [u16; ENTRIES],
    /// Entries whose first bucket this is, but which had to go to the other one.
    overflow: u16,
    /// One bit for each entry that is here although this is its other bucket.
    displaced: u16,
    indices: [u32; ENTRIES],
}

const _: () = assert!(size_of::<Bucket>() == 64, "a bucket is one cache line");

impl Bucket {
    /// A bucket without entries.
    pub const EMPTY: Bucket =
        Bucket { tags: [EMPTY; ENTRIES], overflow: 0, displaced: 0, indices: [0; ENTRIES] };

    fn free(&self) -> Option<usize> {
        self.tags.iter().position(|t| *t == EMPTY)
    }

    fn put(&mut self, at: usize, tag: u16, index: u32, displaced: bool) {
        self.tags[at] = tag;
        self.indices[at] = index;
        self.displaced = self.displaced & !(1 << at) | u16::from(displaced) << at;
    }

    fn is_displaced(&self, at: usize) -> bool {
        self.displaced & 1 << at != 0
    }

    /// The indices whose tag is `tag`.
    #[inline]
    fn matches(&self, tag: u16) -> impl Iterator<Item = (usize, u32)> + '_ {
        let [a, b, c, d, e, f, g, h, i, j] = self.tags;
        let [low, middle, high] =
            [[a, b, c, d], [e, f, g, h], [i, j, EMPTY, EMPTY]].map(|tags| equal_lanes(tags, tag));
        // A bit for each entry: its lane tells the place in its four, the bit in the lane which four.
        let mut mask = low >> 15 | middle >> 14 | high >> 13;
        core::iter::from_fn(move || {
            let bit = mask.trailing_zeros() as usize;
            mask = mask.checked_sub(1)? & mask;
            let at = bit % 16 * 4 + bit / 16;
            self.indices.get(at).map(|i| (at, *i))
        })
    }
}

/// The highest bit of each lane of 16 bits that is `tag`. All four are compared at once.
#[inline]
fn equal_lanes([a, b, c, d]: [u16; 4], tag: u16) -> u64 {
    const LOW: u64 = 0x7fff_7fff_7fff_7fff;
    let tags = u64::from(a) | u64::from(b) << 16 | u64::from(c) << 32 | u64::from(d) << 48;
    let differ = tags ^ (u64::from(tag) * 0x0001_0001_0001_0001);
    // No lane carries into the next one.
    !((differ & LOW).wrapping_add(LOW) | differ | LOW)
}

/// The table has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flow table is full")
    }
}

impl core::error::Error for TableFull {}

/// A hash table of indices. It knows nothing of keys: callers pass hashes and compare what an index leads to.
pub struct Table<M: Memory> {
    buckets: M::Of<Bucket>,
}

impl<M: Memory> fmt::Debug for Table<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Table({} buckets)", self.buckets.len())
    }
}

impl<M: Memory> Table<M> {
    /// Buckets that a table of `capacity` entries needs.
    pub const fn buckets_for(capacity: usize) -> usize {
        capacity.div_ceil(LOAD) + 1
    }

    /// A table over `buckets`, all of them [`Bucket::EMPTY`].
    ///
    /// # Panics
    /// When there is no bucket.
    pub fn new(buckets: M::Of<Bucket>) -> Self {
        assert!(!buckets.is_empty(), "a table needs a bucket");
        Table { buckets }
    }

    /// Asks for the cache line that a lookup of `hash` touches first.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        hint::prefetch(&self.buckets[self.first(hash)]);
    }

    /// The first candidate for `hash` whose tag matches, to prefetch what it leads to. May be wrong.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        self.buckets[self.first(hash)].matches(tag(hash)).next().map(|(_, index)| index)
    }

    /// The index under `hash` for which `is_it` holds.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let (first, tag) = (self.first(hash), tag(hash));
        let bucket = &self.buckets[first];
        let found = bucket.matches(tag).find(|(_, i)| is_it(*i));
        if found.is_some() || bucket.overflow == 0 {
            return found.map(|(_, index)| index);
        }
        let other = &self.buckets[self.partner(first, tag)];
        other.matches(tag).find(|(_, i)| is_it(*i)).map(|(_, index)| index)
    }

    /// Adds `index` under `hash`. The caller sees to it that it is not there yet.
    ///
    /// # Errors
    /// [`TableFull`] when neither bucket has room nor can make any.
    pub fn insert(&mut self, hash: u64, index: u32) -> Result<(), TableFull> {
        let (first, tag) = (self.first(hash), tag(hash));
        let other = self.partner(first, tag);
        if let Some(at) = self.buckets[first].free() {
            self.buckets[first].put(at, tag, index, false);
            return Ok(());
        }
        let at = match self.buckets[other].free() {
            Some(at) => at,
            None => match self.make_room(first) {
                Some(at) => {
                    self.buckets[first].put(at, tag, index, false);
                    return Ok(());
                }
                None => self.make_room(other).ok_or(TableFull)?,
            },
        };
        self.buckets[other].put(at, tag, index, first != other);
        self.buckets[first].overflow += u16::from(first != other);
        Ok(())
    }

    /// Moves one entry of bucket `b` to its other bucket; returns the place that became free.
    fn make_room(&mut self, b: usize) -> Option<usize> {
        for at in 0..ENTRIES {
            let (tag, index) = (self.buckets[b].tags[at], self.buckets[b].indices[at]);
            let to = self.partner(b, tag);
            let Some(free) = self.buckets[to].free().filter(|_| to != b) else { continue };
            let displaced = self.buckets[b].is_displaced(at);
            self.buckets[to].put(free, tag, index, !displaced);
            if displaced {
                self.buckets[to].overflow -= 1; // it comes home
            } else {
                self.buckets[b].overflow += 1;
            }
            self.buckets[b].tags[at] = EMPTY;
            return Some(at);
        }
        None
    }

    /// Takes `index` out. Returns whether it was there.
    pub fn remove(&mut self, hash: u64, index: u32) -> bool {
        let (first, tag) = (self.first(hash), tag(hash));
        for b in [first, self.partner(first, tag)] {
            let found = self.buckets[b].matches(tag).find(|(_, i)| *i == index);
            if let Some((at, _)) = found {
                if self.buckets[b].is_displaced(at) {
                    self.buckets[first].overflow -= 1;
                }
                self.buckets[b].put(at, EMPTY, 0, false);
                return true;
            }
        }
        false
    }

    /// The first bucket: the upper half of the hash, scaled to the number of buckets.
    #[inline]
    fn first(&self, hash: u64) -> usize {
        scale(hash >> 32, self.buckets.len())
    }

    /// The other bucket of an entry in bucket `b`: mirrored at a point that the tag gives.
    #[inline]
    fn partner(&self, b: usize, tag: u16) -> usize {
        let n = self.buckets.len();
        let mirror = scale(u64::from(u32::from(tag).wrapping_mul(0x9e37_79b1)), n);
        if mirror >= b { mirror - b } else { mirror + n - b }
    }
}

/// `x` of 32 bits scaled to `0 .. n`.
#[inline]
#[allow(clippy::cast_possible_truncation)] // below n
fn scale(x: u64, n: usize) -> usize {
    ((u128::from(x) * n as u128) >> 32) as usize
}

/// The tag of a hash: bits that do not choose the bucket, never 0.
#[inline]
#[allow(clippy::cast_possible_truncation)] // the lowest bits
fn tag(hash: u64) -> u16 {
    (hash as u16).max(1)
}

#[cfg(any(test, feature = "_model"))]
impl<M: Memory> Table<M> {
    /// Asserts the invariants. Returns how many entries there are.
    pub(crate) fn check(&self) -> usize {
        for (b, bucket) in self.buckets.iter().enumerate() {
            let away =
                self.entries().filter(|(at, tag, displaced)| *displaced && self.partner(*at, *tag) == b);
            assert_eq!(usize::from(bucket.overflow), away.count(), "invariant 2 of bucket {b}");
        }
        let back = |(b, tag, _)| self.partner(self.partner(b, tag), tag) == b;
        assert!(self.entries().all(back), "invariant 1");
        self.entries().count()
    }

    /// Asserts that an entry for `hash` has no room, and that none in its buckets can move.
    pub(crate) fn check_full(&self, hash: u64) {
        let (first, other) = (self.first(hash), self.partner(self.first(hash), tag(hash)));
        for b in [first, other] {
            assert_eq!(self.buckets[b].free(), None);
            let mut homes = self.buckets[b].tags.iter().map(|tag| self.partner(b, *tag));
            assert!(homes.all(|to| self.buckets[to].free().is_none()));
        }
    }

    /// Bucket, tag, and whether it is displaced, of each entry.
    fn entries(&self) -> impl Iterator<Item = (usize, u16, bool)> + '_ {
        self.buckets.iter().enumerate().flat_map(|(b, bucket)| {
            let tags = bucket.tags.iter().enumerate().filter(|(_, tag)| **tag != EMPTY);
            tags.map(move |(at, tag)| (b, *tag, bucket.is_displaced(at)))
        })
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::*;
    use crate::memory::{Heap, Reserved};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn table(buckets: usize) -> Table<Heap> {
        Table::new(Reserved::filled(Bucket::EMPTY, buckets))
    }

    fn hash(n: u64) -> u64 {
        let z = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    #[test]
    fn a_table_at_its_capacity_takes_every_entry() {
        let n = 100_000_u32;
        let mut t = table(Table::<Heap>::buckets_for(n as usize));
        for i in 0..n {
            t.insert(hash(i.into()), i).unwrap();
        }
        assert!((0..n).all(|i| t.find(hash(i.into()), |x| x == i) == Some(i)));
        let two_lines = t.buckets.iter().filter(|b| b.overflow > 0).count();
        assert!(
            two_lines * 10 < t.buckets.len(),
            "most misses touch one line: {two_lines} of {}",
            t.buckets.len()
        );
        assert!((0..n).all(|i| t.remove(hash(i.into()), i)));
        assert!(t.buckets.iter().all(|b| b.overflow == 0 && b.tags == [EMPTY; ENTRIES]));
    }

    #[test]
    fn a_full_table_says_so_and_keeps_what_it_has() {
        let mut t = table(3);
        let in_it: Vec<u32> = (0..100).filter(|i| t.insert(hash(u64::from(*i)), *i).is_ok()).collect();
        assert!(in_it.len() > 2 * ENTRIES, "{} of 30", in_it.len());
        assert!(in_it.iter().all(|i| t.find(hash(u64::from(*i)), |x| x == *i) == Some(*i)));
        assert_eq!(t.check(), in_it.len());
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(script in prop::collection::vec(any::<u8>(), 0..800)) {
            crate::model::table::run(&script);
        }
    }
}
