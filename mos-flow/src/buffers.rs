//! Memory of the streams: a pool of chunks, and one record for each stream that holds octets.
//!
//! # Invariants
//! 1. A record belongs to one stream of a connection that is awake and names it.
//! 2. A stream without a record holds no octets: its window has an empty run.
//! 3. No stream has more chunks than its part.
//! 4. A queue of segments belongs to one record, whose stream holds octets early.

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
///
/// The ranges come last, so that what a stream without any needs is together.
#[derive(Debug, Default)]
#[repr(C)]
pub struct StreamBuffer {
    /// The connection, and the side that receives the stream.
    owner: Option<(Id, Side)>,
    /// Boundaries of the segments that wait, if the policy asks for them.
    queue: Option<Id>,
    chunks: ChunkMap,
    frags: FragList<MAX_RANGES>,
}

/// What a stream without ranges needs of its slot, octets: all but the array of ranges.
const HOT: usize = size_of::<Slot<StreamBuffer>>() - MAX_RANGES * size_of::<Range>();

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
    stream: &'a StreamBuffer,
    pool: &'a Chunks<M>,
}

impl<'a, M: Memory> Record<'a, M> {
    #[inline]
    pub(crate) fn frags(&self) -> &'a FragList<MAX_RANGES> {
        &self.stream.frags
    }

    /// The longest prefix of `range` in one piece; empty when its first octet is not held.
    #[inline]
    pub(crate) fn piece(&self, range: Range) -> &'a [u8] {
        self.stream.chunks.piece(self.pool, range)
    }
}

/// All stream memory of an engine.
pub(crate) struct Buffers<M: Memory> {
    pool: Chunks<M>,
    streams: Slab<StreamBuffer, M>,
    queues: Slab<SegmentQueue, M>,
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
        octets: M::Of<u8>,
        links: M::Of<u32>,
        streams: M::Of<Slot<StreamBuffer>>,
        queues: M::Of<Slot<SegmentQueue>>,
        most: u32,
    ) -> Self {
        let (pool, streams) = (ChunkPool::new(octets, links), Slab::new(streams, Reuse::Newest));
        Buffers { pool, streams, queues: Slab::new(queues, Reuse::Newest), hand: 0, most }
    }

    /// Whether records are so many that not all of them are near.
    #[inline]
    pub(crate) fn are_far_apart(&self) -> bool {
        self.streams.are_far_apart()
    }

    /// Asks for what an in-order stream needs of its record.
    #[inline]
    pub(crate) fn prefetch(&self, id: Id) {
        if let Some(slot) = self.streams.slot(id.index()) {
            hint::prefetch_first::<_, HOT>(slot);
        }
    }

    /// Chunks in use, and chunks there are.
    pub(crate) fn chunks(&self) -> (u32, u32) {
        (self.pool.used(), self.pool.capacity())
    }

    /// A record for a stream that is about to hold octets.
    pub(crate) fn open(&mut self, flow: Id, side: Side) -> Option<Id> {
        let (chunks, owner) = (ChunkMap::with_most(self.most), Some((flow, side)));
        self.streams.insert(StreamBuffer { chunks, owner, ..StreamBuffer::default() }).ok()
    }

    /// The next stream that holds octets, round and round; `None` when none is found soon.
    pub(crate) fn next_owner(&mut self) -> Option<(Id, Side)> {
        let id = self.streams.next_from(&mut self.hand, |_| true)?;
        self.streams.get(id)?.owner
    }

    /// Chunks that a stream holds.
    pub(crate) fn chunks_of(&self, id: Id) -> u32 {
        self.streams.get(id).map_or(0, |b| b.chunks.chunks())
    }

    /// Frees everything that a stream holds.
    pub(crate) fn close(&mut self, id: Id) {
        self.close_queue(id);
        if let Some(b) = self.streams.get_mut(id) {
            Chunked { pool: &mut self.pool, map: &mut b.chunks }.clear();
            self.streams.remove(id);
        }
    }

    /// Frees the queue of a stream where nothing waits.
    pub(crate) fn close_queue(&mut self, id: Id) {
        let queue = self.streams.get_mut(id).and_then(|b| b.queue.take());
        if let Some(queue) = queue {
            self.queues.remove(queue);
        }
    }

    /// Makes the queue of a stream one of `policy`; `next` is its in-order end. Returns whether there is memory for it:
    /// without, nothing changes.
    pub(crate) fn begin_policy(&mut self, id: Id, policy: OverlapPolicy, next: Offset) -> bool {
        let Some(b) = self.streams.get_mut(id) else { return true };
        let early = b.frags.as_slice();
        let early = early.get(early.partition_point(|range| range.start <= next)..).unwrap_or_default();
        let queue = if early.is_empty() { None } else { SegmentQueue::with(policy, next, early) };
        match (queue, b.queue.and_then(|old| self.queues.get_mut(old))) {
            (Some(queue), Some(old)) => *old = queue,
            (Some(queue), None) => {
                b.queue = self.queues.insert(queue).ok();
                return b.queue.is_some();
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

    /// Whether a stream has a queue.
    #[cfg(any(test, feature = "_model"))]
    pub(crate) fn has_queue(&self, id: Id) -> bool {
        self.streams.get(id).is_some_and(|b| b.queue.is_some())
    }

    pub(crate) fn frags(&self, id: Id) -> Option<&FragList<MAX_RANGES>> {
        self.streams.get(id).map(|b| &b.frags)
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
        let mut store = Chunked { pool: &mut self.pool, map: &mut b.chunks };
        let policy = Rule { policy, queues: &mut self.queues, queue: &mut b.queue };
        Some(f(Buffer { frags: &mut b.frags, store: &mut store, policy }))
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
        let queue = self.streams.get(id).and_then(|b| b.queue).and_then(|queue| self.queues.get(queue));
        // The queue takes note of what it is asked: a copy of it does.
        policy.resolve(queue.cloned().as_mut(), next, segment, keep);
    }

    /// What a stream holds, for readers.
    #[inline]
    pub(crate) fn record(&self, id: Id) -> Option<Record<'_, M>> {
        self.streams.get(id).map(|stream| Record { stream, pool: &self.pool })
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

    /// Forgets everything of the stream to `side` below `offset`. Returns how many octets that were, and whether nothing is held
    /// any more.
    pub(crate) fn release(&mut self, id: Id, conn: &mut Conn, side: Side, offset: Offset) -> (u64, bool) {
        let Some(b) = self.streams.get_mut(id) else { return (0, false) };
        let mut store = Chunked { pool: &mut self.pool, map: &mut b.chunks };
        let octets = conn.release(side, &mut b.frags, &mut store, offset);
        (octets, b.frags.is_empty() && conn.stream(side).window().run().is_empty())
    }
}
