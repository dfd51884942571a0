//! Memory of the streams: a pool of chunks, a short record for each stream that holds octets, and a long one for each that
//! holds some apart from those in order, as few do and not for long.
//!
//! # Invariants
//! 1. A record belongs to one stream of a connection that is awake and names it.
//! 2. A stream without a record holds no octets: its window has an empty run.
//! 3. No stream has more chunks than its part.
//! 4. A stream has a record of ranges exactly while it has ranges.
//! 5. A queue of segments belongs to one record of ranges, whose stream holds octets early.

use crate::memory::Memory;
use crate::overlap::{OverlapPolicy, Rule, SegmentQueue};
use crate::slab::{Id, Reuse, Slab, Slot};
use core::fmt;
use ringbuf_core::chunk::{ChunkMap, ChunkPool, Chunked};
use ringbuf_core::{FragList, Offset, Range, hint};
use tcp_reasm::{Buffer, Conn, Side};

/// Ranges that a stream holds apart from its in-order run.
pub const MAX_RANGES: usize = 32;

/// Where the octets of one stream are. It exists only while there are any.
#[derive(Debug)]
pub struct StreamBuffer {
    /// The connection, and the side that receives the stream.
    owner: (Id, Side),
    /// Its [`StreamRanges`].
    ranges: Id,
    chunks: ChunkMap,
}

/// What a stream holds apart from its in-order run.
#[derive(Debug, Default)]
pub struct StreamRanges {
    frags: FragList<MAX_RANGES>,
    /// Boundaries of the segments that wait, if the policy asks for them.
    queue: Option<Id>,
}

/// The ranges of a stream that has none: with a record for its first one, and without.
const NO_RANGES: [&FragList<MAX_RANGES>; 2] = [&FragList::new(), &FragList::closed()];

/// Octets of a stream that are in order, in the packet at hand and nowhere else, while its receiver's handlers run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lending {
    pub(crate) flow: Id,
    /// The side that receives the stream.
    pub(crate) side: Side,
    pub(crate) range: Range,
}

impl Lending {
    /// The octets, of those that the packet carries.
    pub(crate) fn octets<'a>(&self, payload: &'a [u8]) -> &'a [u8] {
        let len = usize::try_from(self.range.len()).unwrap_or(usize::MAX);
        payload.get(..len).unwrap_or(payload)
    }
}

type Chunks<M> = ChunkPool<<M as Memory>::Of<u8>, <M as Memory>::Of<u32>>;
pub(crate) type Octets<'a, M> = Chunked<'a, <M as Memory>::Of<u8>, <M as Memory>::Of<u32>>;

/// What one stream holds.
pub(crate) struct Record<'a, M: Memory> {
    chunks: &'a ChunkMap,
    frags: &'a FragList<MAX_RANGES>,
    pool: &'a Chunks<M>,
}

impl<'a, M: Memory> Record<'a, M> {
    #[inline]
    pub(crate) fn frags(&self) -> &'a FragList<MAX_RANGES> {
        self.frags
    }

    /// The longest prefix of `range` in one piece; empty when its first octet is not held.
    #[inline]
    pub(crate) fn piece(&self, range: Range) -> &'a [u8] {
        self.chunks.piece(self.pool, range)
    }
}

/// All stream memory of an engine.
pub(crate) struct Buffers<M: Memory> {
    pool: Chunks<M>,
    streams: Slab<StreamBuffer, M>,
    ranges: Slab<StreamRanges, M>,
    queues: Slab<SegmentQueue, M>,
    /// For a stream without ranges to make its first one in: empty between calls.
    first: StreamRanges,
    /// Where the search for octets to give up goes on.
    hand: u32,
    /// The most chunks of one stream.
    most: u32,
}

impl<M: Memory> fmt::Debug for Buffers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffers({} streams, {} chunks)", self.streams.len(), self.pool.used())
    }
}

impl<M: Memory> Buffers<M> {
    pub(crate) fn new(
        pool: (M::Of<u8>, M::Of<u32>),
        streams: M::Of<Slot<StreamBuffer>>,
        ranges: M::Of<Slot<StreamRanges>>,
        queues: M::Of<Slot<SegmentQueue>>,
        most: u32,
    ) -> Self {
        Buffers {
            pool: ChunkPool::new(pool.0, pool.1),
            streams: Slab::new(streams, Reuse::Newest),
            ranges: Slab::new(ranges, Reuse::Newest),
            queues: Slab::new(queues, Reuse::Newest),
            first: StreamRanges::default(),
            hand: 0,
            most,
        }
    }

    /// Whether records are so many that not all of them are near.
    #[inline]
    pub(crate) fn are_far_apart(&self) -> bool {
        self.streams.are_far_apart()
    }

    /// Asks for the record of a stream.
    #[inline]
    pub(crate) fn prefetch(&self, id: Id) {
        if let Some(slot) = self.streams.slot(id.index()) {
            hint::prefetch_all(slot);
        }
    }

    /// Chunks in use, and chunks there are.
    pub(crate) fn chunks(&self) -> (u32, u32) {
        (self.pool.used(), self.pool.capacity())
    }

    /// A record for a stream that is about to hold octets.
    pub(crate) fn open(&mut self, flow: Id, side: Side) -> Option<Id> {
        let (owner, chunks) = ((flow, side), ChunkMap::with_most(self.most));
        self.streams.insert(StreamBuffer { owner, ranges: Id::NONE, chunks }).ok()
    }

    /// The next stream that holds octets, round and round; `None` when none is found soon.
    pub(crate) fn next_owner(&mut self) -> Option<(Id, Side)> {
        let id = self.streams.next_from(&mut self.hand, |_| true)?;
        self.streams.get(id).map(|b| b.owner)
    }

    /// Chunks that a stream holds.
    pub(crate) fn chunks_of(&self, id: Id) -> u32 {
        self.streams.get(id).map_or(0, |b| b.chunks.chunks())
    }

    /// Frees everything that a stream holds.
    pub(crate) fn close(&mut self, id: Id) {
        if let Some(b) = self.streams.get_mut(id) {
            Chunked { pool: &mut self.pool, map: &mut b.chunks }.clear();
            if !b.ranges.is_none() {
                self.close_ranges(id);
            }
            self.streams.remove(id);
        }
    }

    /// Frees what a stream without ranges has no use for.
    #[cold]
    fn close_ranges(&mut self, id: Id) {
        self.close_queue(id);
        if let Some(b) = self.streams.get_mut(id) {
            self.ranges.remove(core::mem::replace(&mut b.ranges, Id::NONE));
        }
    }

    /// Frees the queue of a stream where nothing waits.
    pub(crate) fn close_queue(&mut self, id: Id) {
        let queue = self.ranges_mut(id).and_then(|ranges| ranges.queue.take());
        if let Some(queue) = queue {
            self.queues.remove(queue);
        }
    }

    fn ranges_mut(&mut self, id: Id) -> Option<&mut StreamRanges> {
        self.ranges.get_mut(self.streams.get(id)?.ranges)
    }

    /// Keeps the first ranges of a stream; there is a record for them.
    #[cold]
    fn keep_first(&mut self, id: Id) {
        let ranges = self.ranges.insert(core::mem::take(&mut self.first));
        if let (Some(b), Ok(ranges)) = (self.streams.get_mut(id), ranges) {
            b.ranges = ranges;
        }
    }

    /// Makes the queue of a stream one of `policy`; `next` is its in-order end. Returns whether there is memory for it:
    /// without, nothing changes.
    pub(crate) fn begin_policy(&mut self, id: Id, policy: OverlapPolicy, next: Offset) -> bool {
        let Some(b) = self.streams.get(id) else { return true };
        let Some(ranges) = self.ranges.get_mut(b.ranges) else { return true };
        let early = ranges.frags.as_slice();
        let early = early.get(early.partition_point(|range| range.start <= next)..).unwrap_or_default();
        let queue = if early.is_empty() { None } else { SegmentQueue::with(policy, next, early) };
        match (queue, ranges.queue.and_then(|old| self.queues.get_mut(old))) {
            (Some(queue), Some(old)) => *old = queue,
            (Some(queue), None) => {
                ranges.queue = self.queues.insert(queue).ok();
                return ranges.queue.is_some();
            }
            (None, _) => self.close_queue(id),
        }
        true
    }

    /// Queues in use.
    #[cfg(any(test, feature = "_model"))]
    pub(crate) fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Records of ranges in use.
    #[cfg(any(test, feature = "_model"))]
    pub(crate) fn ranges(&self) -> usize {
        self.ranges.len()
    }

    /// Whether a stream has a queue.
    #[cfg(any(test, feature = "_model"))]
    pub(crate) fn has_queue(&self, id: Id) -> bool {
        let ranges = self.streams.get(id).and_then(|b| self.ranges.get(b.ranges));
        ranges.is_some_and(|ranges| ranges.queue.is_some())
    }

    /// Whether a stream holds octets apart from those in order.
    #[inline]
    pub(crate) fn has_ranges(&self, id: Id) -> bool {
        self.streams.get(id).is_some_and(|b| !b.ranges.is_none())
    }

    /// Whether there is a record for the ranges of one more stream.
    #[inline]
    pub(crate) fn may_have_ranges(&self) -> bool {
        !self.ranges.is_full()
    }

    /// The ranges of a stream that holds octets.
    #[inline]
    pub(crate) fn frags(&self, id: Id) -> Option<&FragList<MAX_RANGES>> {
        self.streams.get(id).map(|b| self.frags_of(b))
    }

    #[inline]
    fn frags_of(&self, b: &StreamBuffer) -> &FragList<MAX_RANGES> {
        let none = NO_RANGES[usize::from(self.ranges.is_full())];
        self.ranges.get(b.ranges).map_or(none, |ranges| &ranges.frags)
    }

    /// Hands the parts of a stream's memory to `f`; `None` when the stream holds nothing.
    #[inline]
    pub(crate) fn with<R>(
        &mut self,
        id: Id,
        policy: OverlapPolicy,
        f: impl FnOnce(Buffer<'_, Octets<'_, M>, Rule<'_, M>, MAX_RANGES>) -> R,
    ) -> Option<R> {
        let b = self.streams.get_mut(id)?;
        let ranges = if let Some(ranges) = self.ranges.get_mut(b.ranges) {
            ranges
        } else {
            let first = &mut self.first;
            if self.ranges.is_full() {
                first.frags.close();
            } else {
                first.frags.clear();
            }
            first
        };
        let mut store = Chunked { pool: &mut self.pool, map: &mut b.chunks };
        let policy = Rule { policy, queues: &mut self.queues, queue: &mut ranges.queue };
        let done = f(Buffer { frags: &mut ranges.frags, store: &mut store, policy });
        let is_empty = ranges.frags.is_empty();
        if let Some(queue) = ranges.queue.take_if(|_| is_empty) {
            self.queues.remove(queue);
        }
        match (is_empty, b.ranges.is_none()) {
            (true, false) => self.close_ranges(id),
            (false, true) => self.keep_first(id),
            _ => {}
        }
        Some(done)
    }

    /// Stores the octets of a segment in step (see [`Conn::append_in_step`]) if that is simple: their stream has a record, and
    /// no ranges.
    #[inline]
    pub(crate) fn append(&mut self, id: Id, conn: &mut Conn, side: Side, octets: &[u8]) -> bool {
        let Some(b) = self.streams.get_mut(id).filter(|b| b.ranges.is_none()) else { return false };
        conn.append_in_step(side, octets, &mut Chunked { pool: &mut self.pool, map: &mut b.chunks })
    }

    /// Hands the ranges of a segment to `keep` in which octets that are held will stay if it is stored.
    pub(crate) fn foresee(
        &self,
        id: Id,
        policy: OverlapPolicy,
        next: Offset,
        segment: Range,
        keep: &mut dyn FnMut(Range),
    ) {
        let ranges = self.streams.get(id).and_then(|b| self.ranges.get(b.ranges));
        let queue = ranges.and_then(|ranges| ranges.queue).and_then(|queue| self.queues.get(queue));
        // The queue takes note of what it is asked: a copy of it does.
        policy.resolve(queue.cloned().as_mut(), next, segment, keep);
    }

    /// What a stream holds, for readers.
    #[inline]
    pub(crate) fn record(&self, id: Id) -> Option<Record<'_, M>> {
        let b = self.streams.get(id)?;
        Some(Record { chunks: &b.chunks, frags: self.frags_of(b), pool: &self.pool })
    }

    /// The longest prefix of `range` in one piece; empty when its first octet is not held.
    pub(crate) fn piece(&self, id: Id, range: Range) -> &[u8] {
        self.record(id).map_or(&[], |record| record.piece(range))
    }

    /// Copies the held octets of `range` to `buf`, up to its length. Returns how many.
    pub(crate) fn copy(&self, id: Id, mut range: Range, buf: &mut [u8]) -> usize {
        let mut copied = 0;
        while copied < buf.len() && !range.is_empty() {
            let piece = self.piece(id, range);
            if piece.is_empty() {
                break;
            }
            let n = piece.len().min(buf.len() - copied);
            buf[copied..copied + n].copy_from_slice(&piece[..n]);
            copied += n;
            range.start = range.start.saturating_add(n as u64);
        }
        copied
    }

    /// Whether the pool has less than what a segment of `octets` may need, a table among it.
    pub(crate) fn is_short_for(&self, octets: u32) -> bool {
        let chunks = octets / ringbuf_core::chunk::CHUNK as u32 + 2;
        self.pool.used().saturating_add(chunks) > self.pool.capacity()
    }

    /// Forgets everything of the stream to `side` below `offset`. Returns how many octets that were.
    #[inline]
    pub(crate) fn release(&mut self, id: Id, conn: &mut Conn, side: Side, offset: Offset) -> u64 {
        let Some(b) = self.streams.get_mut(id) else { return 0 };
        if b.ranges.is_none() {
            let mut store = Chunked { pool: &mut self.pool, map: &mut b.chunks };
            return conn.release(side, &mut FragList::<0>::new(), &mut store, offset);
        }
        let octets = self.with(id, OverlapPolicy::First, |b| conn.release(side, b.frags, b.store, offset));
        octets.unwrap_or(0)
    }

    /// Whether a stream has a record, and holds nothing.
    #[inline]
    pub(crate) fn is_empty(&self, id: Id, conn: &Conn, side: Side) -> bool {
        let none = self.streams.get(id).is_some_and(|b| b.ranges.is_none());
        none && conn.stream(side).window().run().is_empty()
    }
}
