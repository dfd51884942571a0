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

    /// Copies the part of a stream that begins at `at` to its chunk; without one, nowhere.
    #[inline]
    fn copy_to(&mut self, id: u32, at: Offset, part: &[u8]) {
        let (start, place) = (within(at.0), self.chunk_mut(id));
        if let Some(place) = place.get_mut(start..start + part.len()) {
            place.copy_from_slice(part);
        }
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

/// `data` at `at`, chunk by chunk.
#[inline]
fn parts(at: Offset, data: &[u8]) -> impl Iterator<Item = (Offset, &[u8])> {
    let (mut next, mut rest) = (at, data);
    core::iter::from_fn(move || {
        let (at, len) = (next, rest.len().min(CHUNK - within(next.0)));
        let (part, behind) = rest.split_at(len);
        (next, rest) = (at.saturating_add(len as u64), behind);
        (len > 0).then_some((at, part))
    })
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
        let bits = self.map.region_bits();
        for region in (self.map.first >> bits)..self.map.end.div_ceil(1 << bits) {
            self.free_subtree(self.map.root[slot(region, 0, ROOT)], self.map.height, region << bits);
        }
        *self.map = ChunkMap::with_most(self.map.most);
    }

    fn find(&self, index: u64) -> u32 {
        self.map.find(self.pool, index)
    }

    /// The chunk for an index, made if there is none.
    #[inline]
    fn ensure(&mut self, index: u64) -> Result<u32, NoSpace> {
        match self.find(index) {
            NONE => self.make(index),
            id => Ok(id),
        }
    }

    fn make(&mut self, index: u64) -> Result<u32, NoSpace> {
        let (first, end) = if self.map.data == 0 {
            (index, index + 1)
        } else {
            (self.map.first.min(index), self.map.end.max(index + 1))
        };
        while !self.map.fits(first, end) {
            self.grow()?;
        }
        let at = slot(index, self.map.height, ROOT);
        let id = self.insert_into(self.map.root[at], self.map.height, index)?;
        self.map.root[at] = id;
        (self.map.first, self.map.end) = (first, end);
        Ok(if self.map.height == 0 { id } else { self.find(index) })
    }

    /// The node `id`, made if there is none, with the chunk `index` below it. A failure leaves no table behind.
    #[inline]
    fn insert_into(&mut self, id: u32, level: u8, index: u64) -> Result<u32, NoSpace> {
        match (level, id) {
            (0, NONE) => self.new_data(),
            (0, _) => Ok(id),
            _ => self.insert_into_table(id, level, index),
        }
    }

    fn insert_into_table(&mut self, id: u32, level: u8, index: u64) -> Result<u32, NoSpace> {
        let table = if id == NONE { self.pool.new_table()? } else { id };
        let at = slot(index, level - 1, ENTRIES);
        match self.insert_into(self.pool.entry(table, at), level - 1, index) {
            Ok(below) => {
                self.pool.set_entry(table, at, below);
                Ok(table)
            }
            Err(full) => {
                if id == NONE {
                    self.pool.give_back(table);
                }
                Err(full)
            }
        }
    }

    #[inline]
    fn new_data(&mut self) -> Result<u32, NoSpace> {
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

    /// Frees the subtree `id`, whose lowest chunk index is `base`.
    #[inline]
    fn free_subtree(&mut self, id: u32, level: u8, base: u64) {
        match (level, id) {
            (_, NONE) => {}
            (0, _) => {
                self.map.data -= 1;
                self.pool.give_back(id);
            }
            _ => self.free_table(id, level, base),
        }
    }

    fn free_table(&mut self, id: u32, level: u8, base: u64) {
        // A table has many entries, of which a stream uses few.
        let bits = ENTRY_BITS * u32::from(level - 1);
        let last = base + ((ENTRIES as u64) << bits);
        let used = |index: u64| index.clamp(base, last) - base;
        for i in (used(self.map.first) >> bits)..used(self.map.end).div_ceil(1 << bits) {
            self.free_subtree(self.pool.entry(id, i as usize), level - 1, base + (i << bits));
        }
        self.pool.give_back(id);
    }

    /// Frees the chunks below `index`, which lies in what the map holds.
    fn free_chunks_below(&mut self, index: u64) {
        let (bits, height) = (self.map.region_bits(), self.map.height);
        for region in (self.map.first >> bits)..=((index - 1) >> bits) {
            let at = slot(region, 0, ROOT);
            let id = self.map.root[at];
            let region_end = (region + 1) << bits;
            if id == NONE {
                continue;
            }
            if region_end <= index {
                self.free_subtree(id, height, region << bits);
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
                self.free_subtree(below, level - 1, start);
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
            self.ensure(index)?;
        }
        Ok(())
    }

    fn put(&mut self, at: Offset, data: &[u8]) {
        for (at, part) in parts(at, data) {
            let id = self.find(chunk_index(at.0));
            self.pool.copy_to(id, at, part);
        }
    }

    #[inline]
    fn add(&mut self, at: Offset, data: &[u8]) -> Result<(), NoSpace> {
        for (at, part) in parts(at, data) {
            let id = self.ensure(chunk_index(at.0))?;
            self.pool.copy_to(id, at, part);
        }
        Ok(())
    }

    fn piece(&self, range: Range) -> &[u8] {
        self.map.piece(self.pool, range)
    }

    #[inline]
    fn discard_below(&mut self, head: Offset) {
        let index = chunk_index(head.0).min(self.map.end);
        if self.map.data > 0 && index > self.map.first {
            self.free_chunks_below(index);
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // a remainder below CHUNK
fn within(offset: u64) -> usize {
    (offset % CHUNK as u64) as usize
}

#[cfg(test)]
mod tests;
