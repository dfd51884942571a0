//! The fragment list: sorted, disjoint, non-adjacent ranges of received octets, at most `N` of them.
//!
//! It holds what was received apart from the current in-order run of a stream, and the received parts of an IP
//! datagram. Ranges that touch are merged at once, so a list without holes has one entry.
//!
//! Inserting searches by bisection and shifts the shorter side. The entries float in the array, with room before and
//! behind them, so that adding and removing at either end, where nearly all of it happens, shifts nothing but for a move
//! to the middle now and then: amortised a constant while a part of the array is free. A full list refuses an insert that
//! would need one more entry; it changes nothing and says so, and the caller decides what to give up.
//!
//! # Invariants
//! 1. Every range is non-empty.
//! 2. `ranges[i].end < ranges[i + 1].start`: sorted, disjoint, not even adjacent.
//! 3. `start + len <= N`; `start == N` only for a closed list ([`FragList::close`]).

use crate::seq::{Offset, Range};
use core::fmt;

/// An insert needed one entry more than the list holds. The list is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragListFull;

impl fmt::Display for FragListFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fragment list is full")
    }
}

impl core::error::Error for FragListFull {}

/// Sorted disjoint ranges with a fixed capacity of `N` entries.
///
/// ```
/// use ringbuf_core::frag::FragList;
/// use ringbuf_core::seq::Range;
/// let mut list = FragList::<4>::new();
/// list.insert(Range::new(10, 20))?;
/// list.insert(Range::new(30, 40))?;
/// list.insert(Range::new(20, 30))?; // closes the hole
/// assert_eq!(list.as_slice(), [Range::new(10, 40)]);
/// # Ok::<(), ringbuf_core::frag::FragListFull>(())
/// ```
#[derive(Clone)]
#[repr(C)] // an empty list is told by its first words
pub struct FragList<const N: usize> {
    /// Where the entries begin in the array.
    start: usize,
    len: usize,
    array: [Range; N],
}

impl<const N: usize> Default for FragList<N> {
    fn default() -> Self {
        FragList::new()
    }
}

impl<const N: usize> PartialEq for FragList<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for FragList<N> {}

impl<const N: usize> fmt::Debug for FragList<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice()).finish()
    }
}

impl<const N: usize> FragList<N> {
    /// An empty list.
    pub const fn new() -> Self {
        FragList { start: 0, len: 0, array: [Range { start: Offset::ZERO, end: Offset::ZERO }; N] }
    }

    /// An empty list that takes no range: see [`FragList::close`].
    pub const fn closed() -> Self {
        FragList { start: N, ..FragList::new() }
    }

    /// The ranges in ascending order.
    #[inline]
    pub fn as_slice(&self) -> &[Range] {
        &self.array[self.start..self.start + self.len]
    }

    fn as_mut_slice(&mut self) -> &mut [Range] {
        &mut self.array[self.start..self.start + self.len]
    }

    /// Whether no range is held.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether no further entry fits.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len == N || self.start == N
    }

    /// The lowest range.
    #[inline]
    pub fn first(&self) -> Option<Range> {
        self.as_slice().first().copied()
    }

    /// The highest range.
    #[inline]
    pub fn last(&self) -> Option<Range> {
        self.as_slice().last().copied()
    }

    /// Octets held in all ranges together.
    pub fn total(&self) -> u64 {
        self.as_slice().iter().map(|r| r.len()).sum()
    }

    /// The range that holds `offset`.
    pub fn find(&self, offset: Offset) -> Option<Range> {
        let i = self.first_ending_after(offset);
        self.as_slice().get(i).copied().filter(|r| r.contains(offset))
    }

    /// The ranges that share at least one octet with `range`, in ascending order.
    pub fn overlapping(&self, range: Range) -> &[Range] {
        if range.is_empty() {
            return &[];
        }
        let from = self.first_ending_after(range.start);
        let rest = self.as_slice().get(from..).unwrap_or_default();
        let n = rest.iter().take_while(|r| r.start < range.end).count();
        rest.get(..n).unwrap_or_default()
    }

    /// Whether `insert(range)` would succeed.
    pub fn can_insert(&self, range: Range) -> bool {
        !self.is_full() || range.is_empty() || !self.touching(range).is_empty()
    }

    /// Adds `range`, merged with every range that it overlaps or touches. An empty range is ignored.
    ///
    /// # Errors
    /// [`FragListFull`] when a new entry is needed and all `N` are taken; nothing is changed.
    pub fn insert(&mut self, range: Range) -> Result<(), FragListFull> {
        if range.is_empty() {
            return Ok(());
        }
        let touching = self.touching(range);
        if touching.is_empty() {
            self.insert_at(touching.start, range)?;
        } else {
            self.merge(touching, range);
        }
        self.check();
        Ok(())
    }

    /// Forgets all octets below `offset`; returns how many there were.
    pub fn trim_below(&mut self, offset: Offset) -> u64 {
        let gone = self.first_ending_after(offset);
        let mut octets = self.remove(0..gone);
        if let Some(first) = self.as_mut_slice().first_mut() {
            octets += offset.since(first.start);
            first.start = first.start.max(offset);
        }
        self.check();
        octets
    }

    /// Forgets all octets from `offset` on; returns how many there were.
    pub fn trim_above(&mut self, offset: Offset) -> u64 {
        let kept = self.count(|r| r.start < offset);
        let mut octets = self.remove(kept..self.len);
        if let Some(last) = self.as_mut_slice().last_mut() {
            octets += last.end.since(offset);
            last.end = last.end.min(offset);
        }
        self.check();
        octets
    }

    /// The lowest range that begins above `offset`.
    pub fn above(&self, offset: Offset) -> Option<Range> {
        self.as_slice().get(self.count(|r| r.start <= offset)).copied()
    }

    /// Takes out every range that overlaps or touches `range` and returns the hull of them all. Cannot fail: it
    /// only ever frees entries.
    #[must_use]
    pub fn absorb(&mut self, range: Range) -> Range {
        let touching = self.touching(range);
        let hull = self.hull_with(touching.clone(), range);
        self.remove(touching);
        hull
    }

    /// The first hole at or above `from`: the octets missing between `from` and the next range above it.
    /// `None` when no range lies above a hole.
    pub fn first_gap(&self, from: Offset) -> Option<Range> {
        let start = self.find(from).map_or(from, |r| r.end);
        self.above(start).map(|r| Range { start, end: r.start })
    }

    /// Removes all ranges.
    #[inline]
    pub fn clear(&mut self) {
        (self.start, self.len) = (0, 0);
    }

    /// Removes all ranges, and takes none until it is cleared: it is empty and full at once.
    #[inline]
    pub fn close(&mut self) {
        (self.start, self.len) = (N, 0);
    }

    /// Asserts the invariants (debug builds).
    pub fn check(&self) {
        debug_assert!(self.as_slice().iter().all(|r| !r.is_empty()), "invariant 1");
        debug_assert!(self.as_slice().windows(2).all(|w| w[0].end < w[1].start), "invariant 2");
        debug_assert!(self.start + self.len <= N, "invariant 3");
    }

    /// How many ranges are `before`, which holds for the lower ones. Most that arrives early arrives above all ranges or
    /// below them, so both ends are looked at first: a list of a million costs as little then as one of ten.
    #[inline]
    fn count(&self, before: impl Fn(&Range) -> bool) -> usize {
        match self.as_slice() {
            [.., last] if before(last) => self.len,
            ranges @ [first, ..] if before(first) => ranges.partition_point(before),
            _ => 0,
        }
    }

    #[inline]
    fn first_ending_after(&self, offset: Offset) -> usize {
        self.count(|r| r.end <= offset)
    }

    /// Indices of the ranges that overlap `range` or are adjacent to it; when there are none, the empty index range
    /// at which it belongs.
    fn touching(&self, range: Range) -> core::ops::Range<usize> {
        let from = self.count(|r| r.end < range.start);
        let rest = self.as_slice().get(from..).unwrap_or_default();
        from..from + rest.iter().take_while(|r| r.start <= range.end).count()
    }

    fn merge(&mut self, touching: core::ops::Range<usize>, range: Range) {
        let hull = self.hull_with(touching.clone(), range);
        if let Some(slot) = self.as_mut_slice().get_mut(touching.start) {
            *slot = hull;
        }
        self.remove(touching.start + 1..touching.end);
    }

    /// Makes an entry at `i`, which is at most `len`.
    fn insert_at(&mut self, i: usize, range: Range) -> Result<(), FragListFull> {
        if self.is_full() {
            return Err(FragListFull);
        }
        if 2 * i >= self.len {
            if self.start + self.len == N {
                self.move_to((N - self.len) / 2);
            }
            let (from, end) = (self.start + i, self.start + self.len);
            self.array.copy_within(from..end, from + 1);
        } else {
            if self.start == 0 {
                self.move_to((N - self.len).div_ceil(2));
            }
            let from = self.start;
            self.start -= 1;
            self.array.copy_within(from..from + i, self.start);
        }
        self.len += 1;
        self.array[self.start + i] = range;
        Ok(())
    }

    /// Removes entries by index; returns how many octets they had.
    fn remove(&mut self, gone: core::ops::Range<usize>) -> u64 {
        if gone.is_empty() {
            return 0;
        }
        let octets = self.as_slice()[gone.clone()].iter().map(|r| r.len()).sum();
        let (start, end) = (self.start, self.start + self.len);
        if gone.start <= self.len - gone.end {
            self.start += gone.len();
            self.array.copy_within(start..start + gone.start, self.start);
        } else {
            self.array.copy_within(start + gone.end..end, start + gone.start);
        }
        self.len -= gone.len();
        if self.len == 0 {
            self.start = 0;
        }
        octets
    }

    fn move_to(&mut self, start: usize) {
        self.array.copy_within(self.start..self.start + self.len, start);
        self.start = start;
    }

    fn hull_with(&self, held: core::ops::Range<usize>, range: Range) -> Range {
        self.as_slice().get(held).unwrap_or_default().iter().fold(range, |hull, r| hull.hull(*r))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn list(ranges: &[(u64, u64)]) -> FragList<8> {
        let mut l = FragList::new();
        for &(s, e) in ranges {
            l.insert(Range::new(s, e)).unwrap();
        }
        l
    }

    #[test]
    fn inserts_merge_with_neighbours_and_overlaps() {
        type Pairs<'a> = &'a [(u64, u64)];
        let cases: &[(Pairs<'_>, Pairs<'_>)] = &[
            (&[(5, 9), (1, 3)], &[(1, 3), (5, 9)]),
            (&[(5, 9), (9, 12)], &[(5, 12)]),
            (&[(5, 9), (1, 5)], &[(1, 9)]),
            (&[(1, 2), (3, 4), (5, 6), (2, 5)], &[(1, 6)]),
            (&[(1, 2), (3, 4), (5, 6), (0, 9)], &[(0, 9)]),
            (&[(1, 9), (3, 4)], &[(1, 9)]),
            (&[(4, 4)], &[]),
        ];
        for (input, expected) in cases {
            let expected: std::vec::Vec<Range> = expected.iter().map(|&(s, e)| Range::new(s, e)).collect();
            assert_eq!(list(input).as_slice(), expected.as_slice(), "{input:?}");
        }
    }

    #[test]
    fn a_full_list_refuses_a_new_entry_but_takes_what_merges() {
        let mut l = FragList::<2>::new();
        l.insert(Range::new(0, 1)).unwrap();
        l.insert(Range::new(10, 11)).unwrap();
        let before = l.clone();
        assert!(!l.can_insert(Range::new(5, 6)));
        assert_eq!(l.insert(Range::new(5, 6)), Err(FragListFull));
        assert_eq!(l, before);
        assert!(l.can_insert(Range::new(1, 2)));
        l.insert(Range::new(1, 2)).unwrap();
        assert_eq!(l.as_slice(), [Range::new(0, 2), Range::new(10, 11)]);
    }

    #[test]
    fn a_closed_list_takes_nothing_until_it_is_cleared() {
        let mut l = list(&[(1, 3), (5, 9)]);
        l.close();
        assert_eq!((l.start, l.len), (FragList::<8>::closed().start, 0));
        let range = Range::new(5, 6);
        assert_eq!((l.is_empty(), l.is_full(), l.first(), l.can_insert(range)), (true, true, None, false));
        assert_eq!((l.insert(range), l.absorb(range)), (Err(FragListFull), range));
        assert_eq!((l.trim_below(Offset(9)), l.trim_above(Offset(0)), l.is_full()), (0, 0, true));
        l.clear();
        assert_eq!((l.insert(range), l.as_slice()), (Ok(()), &[range][..]));
    }

    #[test]
    fn gaps_are_found_from_any_place() {
        let l = list(&[(10, 20), (30, 40)]);
        assert_eq!(l.first_gap(Offset(0)), Some(Range::new(0, 10)));
        assert_eq!(l.first_gap(Offset(10)), Some(Range::new(20, 30)));
        assert_eq!(l.first_gap(Offset(25)), Some(Range::new(25, 30)));
        assert_eq!(l.first_gap(Offset(30)), None);
        assert_eq!(l.first_gap(Offset(99)), None);
    }

    /// What the array floats for: none of these moves the list but once in a while.
    #[test]
    fn both_ends_are_free_to_grow_and_shrink() {
        let one = |at: u64| Range::new(2 * at, 2 * at + 1);
        let mut l = FragList::<64>::new();
        // A window of 40 ranges that slides up over the whole array, and down again.
        for at in 1000..1040 {
            l.insert(one(at)).unwrap();
        }
        for at in 1040..1400 {
            l.insert(one(at)).unwrap();
            assert_eq!(l.trim_below(Offset(2 * (at - 39))), 1);
            assert_eq!((l.as_slice().len(), l.first(), l.last()), (40, Some(one(at - 39)), Some(one(at))));
        }
        for at in (1000..1360).rev() {
            l.insert(one(at)).unwrap();
            assert_eq!(l.trim_above(Offset(2 * (at + 40))), 1);
            assert_eq!((l.as_slice().len(), l.first(), l.last()), (40, Some(one(at)), Some(one(at + 39))));
        }
    }

    /// The naive model: a set of octets.
    fn octets(l: &FragList<8>) -> BTreeSet<u64> {
        l.as_slice().iter().flat_map(|r| r.start.0..r.end.0).collect()
    }

    proptest! {
        #[test]
        fn behaves_like_a_set_of_octets(ops in prop::collection::vec((0_u8..5, 0_u64..40, 0_u64..12), 1..60)) {
            let mut l = FragList::<8>::new();
            let mut model = BTreeSet::new();
            for (op, start, len) in ops {
                let range = Range::new(start, start + len);
                match op {
                    0 | 1 => {
                        let fits = l.can_insert(range);
                        prop_assert_eq!(l.insert(range).is_ok(), fits);
                        if fits { model.extend(start..start + len); }
                    }
                    2 => {
                        let before = model.len();
                        let gone = l.trim_below(Offset(start));
                        model.retain(|&o| o >= start);
                        prop_assert_eq!(gone, (before - model.len()) as u64);
                    }
                    3 => {
                        let before = model.len();
                        let gone = l.trim_above(Offset(start));
                        model.retain(|&o| o < start);
                        prop_assert_eq!(gone, (before - model.len()) as u64);
                    }
                    _ => {
                        let hull = l.absorb(range);
                        prop_assert!(l.overlapping(hull).is_empty());
                        prop_assert_eq!(hull, hull.hull(range));
                        model.retain(|&o| !hull.contains(Offset(o)));
                    }
                }
                prop_assert_eq!(octets(&l), model.clone());
                prop_assert_eq!(l.total(), model.len() as u64);
                for probe in 0..56 {
                    prop_assert_eq!(l.find(Offset(probe)).is_some(), model.contains(&probe));
                }
                let hit: u64 = l.overlapping(range).iter().map(|r| r.intersection(range).len()).sum();
                prop_assert_eq!(hit, model.range(start..start + len).count() as u64);
            }
        }
    }
}
