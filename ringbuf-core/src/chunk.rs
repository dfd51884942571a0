//! The chunk pool: memory of many streams in chunks of [`CHUNK`] octets, handed out on demand, found by index.
//!
//! A stream owns a [`ChunkMap`], a few words that lead from a chunk's index (`offset / CHUNK`) to its place in the
//! [`ChunkPool`]. While a stream spans no more than [`ROOT`] chunks the map is the whole index. A wider span adds a
//! level of tables, each one a chunk of the same pool with 512 entries, as a page table does: a segment far ahead of
//! the rest costs its own chunk and at most one table a level, whatever the distance, and no lookup walks a list.
//!
//! ```text
//!   offset / CHUNK = ... | 9 bits | 9 bits | 9 bits
//!   height 0:                       root slot = index mod 8 ──► data chunk       spans to 16 KiB
//!   height 1:  root slot = index / 512 mod 8 ──► table ──► data chunk           spans to   8 MiB
//!   height 2:  ... one more table                                               spans to   4 GiB
//! ```
//!
//! # Invariants
//! 1. A chunk is on the free list, or in exactly one map (as data or as table).
//! 2. All chunk indices in a map lie in `first .. end`, and `end - first` regions of the map's height fit its root.
//! 3. A map that holds no data chunk holds no table either.

use crate::seq::{Offset, Range};
use crate::store::{NoSpace, Store};

/// Octets in a chunk.
pub const CHUNK: usize = 2048;
/// Slots in the root of a map.
pub const ROOT: usize = 8;
/// The longest window a map can index: 3.5 GiB, one root slot less than the root covers at its greatest height.
pub const MAX_SPAN: u32 = 0xe000_0000;

const ENTRIES: usize = CHUNK / size_of::<u32>();
const ENTRY_BITS: u32 = ENTRIES.trailing_zeros();
const MAX_HEIGHT: u8 = 2;
const NONE: u32 = u32::MAX;

/// Chunks of memory with a free list. `B` holds the octets, `L` one word per chunk.
#[derive(Clone, Debug)]
pub struct ChunkPool<B, L> {
    bytes: B,
    links: L,
    /// First chunk that was returned, or `NONE`.
    free: u32,
    /// Chunks from here on were never handed out: their memory was never touched.
    fresh: u32,
    used: u32,
    capacity: u32,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, L: AsRef<[u32]> + AsMut<[u32]>> ChunkPool<B, L> {
    /// A pool over `bytes`, with one word in `links` for each chunk. As many chunks as both suffice for.
    pub fn new(bytes: B, links: L) -> Self {
        let chunks = (bytes.as_ref().len() / CHUNK).min(links.as_ref().len());
        let capacity = u32::try_from(chunks).unwrap_or(NONE - 1);
        ChunkPool { bytes, links, free: NONE, fresh: 0, used: 0, capacity }
    }

    /// Chunks in the pool.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Chunks handed out, tables included.
    pub fn used(&self) -> u32 {
        self.used
    }

    fn take(&mut self) -> Result<u32, NoSpace> {
        let id = self.free;
        if id != NONE {
            self.free = self.links.as_ref().get(id as usize).copied().unwrap_or(NONE);
        } else if self.fresh < self.capacity {
            self.fresh += 1;
        } else {
            return Err(NoSpace);
        }
        self.used += 1;
        Ok(if id == NONE { self.fresh - 1 } else { id })
    }

    fn give_back(&mut self, id: u32) {
        if let Some(link) = self.links.as_mut().get_mut(id as usize) {
            *link = self.free;
            self.free = id;
            self.used -= 1;
        }
    }

    fn chunk(&self, id: u32) -> &[u8] {
        let start = id as usize * CHUNK;
        self.bytes.as_ref().get(start..start + CHUNK).unwrap_or_default()
    }

    fn chunk_mut(&mut self, id: u32) -> &mut [u8] {
        let start = id as usize * CHUNK;
        self.bytes.as_mut().get_mut(start..start + CHUNK).unwrap_or_default()
    }

    fn new_table(&mut self) -> Result<u32, NoSpace> {
        let id = self.take()?;
        self.chunk_mut(id).fill(0xff); // every entry is NONE
        Ok(id)
    }

    fn entry(&self, table: u32, i: usize) -> u32 {
        let (entries, _) = self.chunk(table).as_chunks();
        entries.get(i).map_or(NONE, |e| u32::from_ne_bytes(*e))
    }

    fn set_entry(&mut self, table: u32, i: usize, id: u32) {
        let (entries, _) = self.chunk_mut(table).as_chunks_mut();
        if let Some(e) = entries.get_mut(i) {
            *e = id.to_ne_bytes();
        }
    }
}

#[cfg(feature = "alloc")]
impl ChunkPool<alloc::vec::Vec<u8>, alloc::vec::Vec<u32>> {
    /// A pool of `chunks` chunks of its own. Memory is asked for zeroed, so on systems that map pages lazily a
    /// chunk costs nothing before its first use.
    pub fn with_chunks(chunks: usize) -> Self {
        ChunkPool::new(alloc::vec![0; chunks * CHUNK], alloc::vec![0; chunks])
    }
}

/// Where the chunks of one stream lie in the pool.
///
/// A map must be emptied with [`Chunked::clear`] before it is dropped, or its chunks are lost to the pool.
#[derive(Clone, Debug)]
pub struct ChunkMap {
    root: [u32; ROOT],
    /// Lowest chunk index that may be held.
    first: u64,
    /// One past the highest chunk index that may be held.
    end: u64,
    /// Data chunks held.
    data: u32,
    /// The most data chunks that it may hold.
    most: u32,
    /// Levels of tables below the root.
    height: u8,
}

impl Default for ChunkMap {
    fn default() -> Self {
        Self::new()
    }
}

impl ChunkMap {
    /// A map that holds nothing.
    pub const fn new() -> Self {
        ChunkMap::with_most(u32::MAX)
    }

    /// A map that holds nothing, and never more than `most` data chunks: for streams that share a pool and are not to
    /// take it from each other.
    pub const fn with_most(most: u32) -> Self {
        ChunkMap { root: [NONE; ROOT], first: 0, end: 0, data: 0, most, height: 0 }
    }

    /// Data chunks held.
    pub fn chunks(&self) -> u32 {
        self.data
    }

    fn find<B, L>(&self, pool: &ChunkPool<B, L>, index: u64) -> u32
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
        L: AsRef<[u32]> + AsMut<[u32]>,
    {
        if index < self.first || index >= self.end {
            return NONE;
        }
        let mut level = self.height;
        let mut id = self.root[slot(index, level, ROOT)];
        while level > 0 && id != NONE {
            level -= 1;
            id = pool.entry(id, slot(index, level, ENTRIES));
        }
        id
    }

    /// [`Store::piece`] for readers that only borrow the pool.
    pub fn piece<'p, B, L>(&self, pool: &'p ChunkPool<B, L>, range: Range) -> &'p [u8]
    where
        B: AsRef<[u8]> + AsMut<[u8]>,
        L: AsRef<[u32]> + AsMut<[u32]>,
    {
        let start = within(range.start.0);
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX).min(CHUNK - start);
        match self.find(pool, chunk_index(range.start.0)) {
            NONE => &[],
            id => pool.chunk(id).get(start..start + len).unwrap_or_default(),
        }
    }

    fn region_bits(&self) -> u32 {
        ENTRY_BITS * u32::from(self.height)
    }

    fn fits(&self, first: u64, end: u64) -> bool {
        let bits = self.region_bits();
        end == first || ((end - 1) >> bits) - (first >> bits) < ROOT as u64
    }
}

#[allow(clippy::cast_possible_truncation)] // masked to the table's or root's size
fn slot(index: u64, level: u8, slots: usize) -> usize {
    (index >> (ENTRY_BITS * u32::from(level))) as usize & (slots - 1)
}

fn chunk_index(offset: u64) -> u64 {
    offset / CHUNK as u64
}

/// A [`Store`]: the map of one stream over the pool that it shares with others.
#[derive(Debug)]
pub struct Chunked<'a, B, L> {
    /// The memory.
    pub pool: &'a mut ChunkPool<B, L>,
    /// The stream's part of it.
    pub map: &'a mut ChunkMap,
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, L: AsRef<[u32]> + AsMut<[u32]>> Chunked<'_, B, L> {
    /// Returns all chunks to the pool.
    pub fn clear(&mut self) {
        for i in 0..ROOT {
            self.free_subtree(self.map.root[i], self.map.height);
        }
        *self.map = ChunkMap::with_most(self.map.most);
    }

    fn find(&self, index: u64) -> u32 {
        self.map.find(self.pool, index)
    }

    fn ensure(&mut self, index: u64) -> Result<(), NoSpace> {
        let (first, end) = if self.map.data == 0 {
            (index, index + 1)
        } else {
            (self.map.first.min(index), self.map.end.max(index + 1))
        };
        while !self.map.fits(first, end) {
            self.grow()?;
        }
        self.insert(index)?;
        (self.map.first, self.map.end) = (first, end);
        Ok(())
    }

    fn insert(&mut self, index: u64) -> Result<(), NoSpace> {
        let at = slot(index, self.map.height, ROOT);
        self.map.root[at] = self.insert_into(self.map.root[at], self.map.height, index)?;
        Ok(())
    }

    /// The node `id`, made if there is none, with the chunk `index` below it. A failure leaves no table behind.
    fn insert_into(&mut self, id: u32, level: u8, index: u64) -> Result<u32, NoSpace> {
        let node = if id == NONE { self.new_node(level)? } else { id };
        if level > 0 {
            let at = slot(index, level - 1, ENTRIES);
            match self.insert_into(self.pool.entry(node, at), level - 1, index) {
                Ok(below) => self.pool.set_entry(node, at, below),
                Err(full) => {
                    if id == NONE {
                        self.pool.give_back(node);
                    }
                    return Err(full);
                }
            }
        }
        Ok(node)
    }

    fn new_node(&mut self, level: u8) -> Result<u32, NoSpace> {
        if level > 0 {
            return self.pool.new_table();
        }
        if self.map.data >= self.map.most {
            return Err(NoSpace);
        }
        let id = self.pool.take()?;
        self.map.data += 1;
        Ok(id)
    }

    /// Adds a level of tables between the root and what hangs below it.
    fn grow(&mut self) -> Result<(), NoSpace> {
        if self.map.height == MAX_HEIGHT {
            return Err(NoSpace);
        }
        let bits = self.map.region_bits();
        let mut root = [NONE; ROOT];
        if self.map.data > 0 {
            for region in (self.map.first >> bits)..=((self.map.end - 1) >> bits) {
                let id = self.map.root[slot(region, 0, ROOT)];
                if id == NONE {
                    continue;
                }
                let at = slot(region, 1, ROOT);
                if root[at] == NONE {
                    match self.pool.new_table() {
                        Ok(table) => root[at] = table,
                        Err(full) => return Err(self.undo_grow(&root, full)),
                    }
                }
                self.pool.set_entry(root[at], slot(region, 0, ENTRIES), id);
            }
        }
        self.map.root = root;
        self.map.height += 1;
        Ok(())
    }

    fn undo_grow(&mut self, tables: &[u32; ROOT], full: NoSpace) -> NoSpace {
        for &table in tables.iter().filter(|t| **t != NONE) {
            self.pool.give_back(table);
        }
        full
    }

    fn free_subtree(&mut self, id: u32, level: u8) {
        if id == NONE {
            return;
        }
        if level == 0 {
            self.map.data -= 1;
        } else {
            for i in 0..ENTRIES {
                self.free_subtree(self.pool.entry(id, i), level - 1);
            }
        }
        self.pool.give_back(id);
    }

    /// Frees the chunks below `index` in the subtree `id`, whose lowest chunk index is `base`.
    fn free_below(&mut self, id: u32, level: u8, base: u64, index: u64) {
        let bits = ENTRY_BITS * u32::from(level - 1);
        let step = 1_u64 << bits;
        // What lies below `first` was freed before.
        let freed = usize::try_from(self.map.first.saturating_sub(base) >> bits).unwrap_or(ENTRIES);
        for i in freed..ENTRIES {
            let below = self.pool.entry(id, i);
            let start = base + step * i as u64;
            if start >= index {
                return;
            }
            if below == NONE {
                continue;
            }
            if start + step <= index {
                self.free_subtree(below, level - 1);
                self.pool.set_entry(id, i, NONE);
            } else {
                self.free_below(below, level - 1, start, index);
            }
        }
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, L: AsRef<[u32]> + AsMut<[u32]>> Store for Chunked<'_, B, L> {
    fn reserve(&mut self, range: Range) -> Result<(), NoSpace> {
        if range.is_empty() {
            return Ok(());
        }
        for index in chunk_index(range.start.0)..=chunk_index(range.end.0 - 1) {
            if self.find(index) == NONE {
                self.ensure(index)?;
            }
        }
        Ok(())
    }

    fn put(&mut self, at: Offset, mut data: &[u8]) {
        let mut at = at.0;
        while !data.is_empty() {
            let (start, id) = (within(at), self.find(chunk_index(at)));
            let n = data.len().min(CHUNK - start);
            let (now, rest) = data.split_at(n);
            if id != NONE {
                self.pool.chunk_mut(id)[start..start + n].copy_from_slice(now);
            }
            at += n as u64;
            data = rest;
        }
    }

    fn piece(&self, range: Range) -> &[u8] {
        self.map.piece(self.pool, range)
    }

    fn discard_below(&mut self, head: Offset) {
        let index = chunk_index(head.0).min(self.map.end);
        if self.map.data == 0 || index <= self.map.first {
            return;
        }
        let (bits, height) = (self.map.region_bits(), self.map.height);
        for region in (self.map.first >> bits)..=((index - 1) >> bits) {
            let at = slot(region, 0, ROOT);
            let id = self.map.root[at];
            let region_end = (region + 1) << bits;
            if id == NONE {
                continue;
            }
            if region_end <= index {
                self.free_subtree(id, height);
                self.map.root[at] = NONE;
            } else {
                self.free_below(id, height, region << bits, index);
            }
        }
        self.map.first = index;
        if self.map.data == 0 {
            self.clear();
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // a remainder below CHUNK
fn within(offset: u64) -> usize {
    (offset % CHUNK as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::vec;
    use std::vec::Vec;

    type Pool = ChunkPool<Vec<u8>, Vec<u32>>;

    fn read(pool: &mut Pool, map: &mut ChunkMap, range: Range) -> Vec<u8> {
        let store = Chunked { pool, map };
        let mut out = Vec::new();
        let mut at = range;
        while !at.is_empty() {
            let piece = store.piece(at);
            if piece.is_empty() {
                break;
            }
            out.extend_from_slice(piece);
            at.start = at.start.saturating_add(piece.len() as u64);
        }
        out
    }

    #[test]
    fn a_segment_far_ahead_costs_one_chunk_and_its_tables() {
        let (mut pool, mut map) = (Pool::with_chunks(16), ChunkMap::new());
        let far = Offset(3 << 30);
        let mut s = Chunked { pool: &mut pool, map: &mut map };
        s.reserve(Range::at(Offset(0), 10)).unwrap();
        s.put(Offset(0), b"0123456789");
        s.reserve(Range::at(far, 4)).unwrap();
        s.put(far, b"far!");
        assert_eq!(s.map.chunks(), 2);
        assert!(s.pool.used() <= 2 + 4, "used {}", s.pool.used());
        assert_eq!(read(&mut pool, &mut map, Range::at(far, 4)), b"far!");
        assert_eq!(read(&mut pool, &mut map, Range::new(0, 10)), b"0123456789");
        let mut s = Chunked { pool: &mut pool, map: &mut map };
        s.discard_below(far);
        assert_eq!(s.map.chunks(), 1);
        s.discard_below(Offset(4 << 30));
        assert_eq!((s.map.chunks(), s.pool.used()), (0, 0));
    }

    #[test]
    fn an_empty_pool_refuses_and_keeps_what_it_holds() {
        let (mut pool, mut map) = (Pool::with_chunks(2), ChunkMap::new());
        let mut s = Chunked { pool: &mut pool, map: &mut map };
        s.reserve(Range::new(0, 4096)).unwrap();
        s.put(Offset(0), &vec![7; 4096]);
        assert_eq!(s.reserve(Range::new(4096, 4097)), Err(NoSpace));
        assert_eq!(s.reserve(Range::at(Offset(1 << 30), 1)), Err(NoSpace), "no chunk for a table");
        assert_eq!(s.pool.used(), 2);
        s.discard_below(Offset(2048));
        s.reserve(Range::new(4096, 4097)).unwrap();
        assert_eq!(read(&mut pool, &mut map, Range::new(2048, 4096)), vec![7; 2048]);
    }

    #[test]
    fn a_refusal_leaves_no_table_behind() {
        let (mut pool, mut map) = (Pool::with_chunks(4), ChunkMap::new());
        let mut s = Chunked { pool: &mut pool, map: &mut map };
        s.reserve(Range::at(Offset(0), 1)).unwrap();
        s.reserve(Range::at(Offset(16 << 10), 1)).unwrap();
        assert_eq!(s.pool.used(), 3, "two chunks and a table");
        // There is room for the table of this one, but not for its chunk.
        assert_eq!(s.reserve(Range::at(Offset(2 << 20), 1)), Err(NoSpace));
        assert_eq!(s.pool.used(), 3);
        s.discard_below(Offset(1 << 20));
        assert_eq!(s.pool.used(), 0);
    }

    #[test]
    fn the_widest_span_is_the_documented_one() {
        let (mut pool, mut map) = (Pool::with_chunks(64), ChunkMap::new());
        let mut s = Chunked { pool: &mut pool, map: &mut map };
        for start in [0_u64, 1, 12345 * 2048 + 7, (1 << 40) - 1] {
            s.clear();
            s.reserve(Range::at(Offset(start), 1)).unwrap();
            s.reserve(Range::at(Offset(start + u64::from(MAX_SPAN) - 1), 1)).unwrap();
        }
        s.clear();
        assert_eq!(s.pool.used(), 0);
    }

    #[derive(Clone, Debug)]
    enum Op {
        Write { stream: usize, ahead: u64, len: u64 },
        Discard { stream: usize, by: u64 },
        Clear { stream: usize },
    }

    fn op() -> impl Strategy<Value = Op> {
        let ahead = prop_oneof![0_u64..5000, 0_u64..1 << 20, 0_u64..3 << 30];
        let by = prop_oneof![0_u64..5000, 0_u64..1 << 20, 0_u64..3 << 30];
        prop_oneof![
            8 => (0_usize..2, ahead, 1_u64..5000).prop_map(|(stream, ahead, len)| Op::Write { stream, ahead, len }),
            4 => (0_usize..2, by).prop_map(|(stream, by)| Op::Discard { stream, by }),
            1 => (0_usize..2).prop_map(|stream| Op::Clear { stream }),
        ]
    }

    proptest! {
        #[test]
        fn behaves_like_a_map_of_octets(ops in prop::collection::vec(op(), 1..60)) {
            let mut pool = Pool::with_chunks(40);
            let mut maps = [ChunkMap::new(), ChunkMap::new()];
            let mut models = [BTreeMap::<u64, u8>::new(), BTreeMap::new()];
            let mut heads = [0_u64; 2];
            for (n, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Write { stream, ahead, len } => {
                        let range = Range::at(Offset(heads[stream] + ahead), len);
                        let mut s = Chunked { pool: &mut pool, map: &mut maps[stream] };
                        let data: Vec<u8> = (0..len).map(|i| (i as u8) ^ (n as u8).wrapping_mul(37)).collect();
                        if s.reserve(range).is_ok() {
                            s.put(range.start, &data);
                            models[stream].extend((range.start.0..range.end.0).zip(data));
                        }
                    }
                    Op::Discard { stream, by } => {
                        heads[stream] += by;
                        let head = heads[stream];
                        Chunked { pool: &mut pool, map: &mut maps[stream] }.discard_below(Offset(head));
                        models[stream].retain(|&o, _| o >= head);
                    }
                    Op::Clear { stream } => {
                        Chunked { pool: &mut pool, map: &mut maps[stream] }.clear();
                        models[stream].clear();
                    }
                }
                if maps.iter().all(|map| map.chunks() == 0) {
                    prop_assert_eq!(pool.used(), 0, "no data, no table");
                }
                for (map, model) in maps.iter_mut().zip(&models) {
                    for (&o, &b) in model.iter().step_by(97) {
                        prop_assert_eq!(read(&mut pool, map, Range::new(o, o + 1)), vec![b]);
                    }
                }
            }
            for map in &mut maps {
                Chunked { pool: &mut pool, map }.clear();
            }
            prop_assert_eq!(pool.used(), 0, "every chunk is returned");
        }
    }
}
