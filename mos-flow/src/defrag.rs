//! IP defragmentation, IPv4 and IPv6: fragments in, datagrams out.
//!
//! What a host makes of fragments that overlap, contradict each other or never come to an end differs from system to
//! system, and who wants to get something past a monitor makes use of it. So the monitor must know what the host does:
//! that is the [`FragmentPolicy`], and [`FragmentPolicy::Linux`] is that kernel in every respect but those named below.
//!
//! ```text
//!   Fragment ──► table: key ──► Datagram { extents, ranges } ──complete──► Output ──► through the walker again
//!                                 │   chunks of a pool                     (one of three buffers)
//!                                 └─ queue of its family: oldest first, for deadlines and for eviction
//! ```
//!
//! Nothing here grows. Datagrams, chunks, ranges and extents of a datagram have a limit each; what goes beyond costs
//! the oldest datagram, or the one that is too much itself, and is counted. Each fragment has one [`Outcome`], each
//! datagram one end; see [`DefragStats`]. The cost of a fragment does not depend on how many datagrams wait.
//!
//! Rules of all policies: the first word about the end counts, and what contradicts it is refused. The header is that
//! of the fragment whose octet 0 is kept, so time to live, options and, with IPv6, what follows may differ between
//! fragments. A datagram is complete when there is no hole. Its identification can then be used again at once.
//!
//! Linux differs: a contradiction about the end, a fragment without octets and an overlap end the datagram, and what
//! comes later under the same key begins a new one. A first IPv6 fragment must hold the header of its transport, behind
//! those of extensions (RFC 7112).
//!
//! Deviations from Linux: datagrams are given up oldest first when memory is short, where Linux opens no new ones; one
//! of more than [`MAX_RANGES`] pieces with holes between them, or [`MAX_FRAGMENTS`] that came out of order, is given
//! up; the limit of 64 fragments of other datagrams between two of the same (`ipfrag_max_dist`) is not followed; "don't
//! fragment" is never set in a complete datagram, where Linux notes with it that the largest fragment had it.
//!
//! # Invariants
//! 1. Each datagram of the slab is in the table once, and in the queue of its family once, in the order of opening.
//! 2. Chunks of the pool belong to datagrams of the slab.

mod datagram;

mod fragment;

mod output;

mod policy;

mod queue;

mod stats;

#[cfg(any(test, feature = "_model"))]
pub mod model;

pub use datagram::{Datagram, MAX_RANGES};
pub use fragment::{DatagramKey, Fragment};
pub use output::{OUTPUT_LEN, Output};
pub use policy::{FragmentPolicy, MAX_FRAGMENTS, UnknownPolicy};
pub use stats::{DefragStats, Drops, FragmentDrop, Outcome};

use crate::memory::Memory;
use crate::slab::{Id, Reuse, Slab, Slot};
use crate::table::{Bucket, Table};
use crate::time::{Instant, micros};
use crate::wire::Family;
use core::fmt;
use core::time::Duration;
use datagram::{MAX_PAYLOAD, counted};
use queue::Queue;
use ringbuf_core::chunk::{ChunkPool, Chunked};
use ringbuf_core::{Range, Store};

/// Memory for complete datagrams: for one that is being looked at, and two nested in it.
pub const OUTPUTS: usize = 3;

/// Limits and policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefragConfig {
    /// What becomes of fragments that overlap.
    pub policy: FragmentPolicy,
    /// Datagrams that wait for fragments.
    pub max_datagrams: usize,
    /// Memory for their octets, in chunks of [`ringbuf_core::chunk::CHUNK`].
    pub chunks: usize,
    /// How long an IPv4 datagram waits after its first fragment.
    pub timeout_v4: Duration,
    /// How long an IPv6 datagram waits after its first fragment.
    pub timeout_v6: Duration,
}

impl Default for DefragConfig {
    /// Linux: its policy, its time-outs, and the 4 MiB that it gives to fragments.
    fn default() -> Self {
        DefragConfig {
            policy: FragmentPolicy::Linux,
            max_datagrams: 1024,
            chunks: (4 << 20) / ringbuf_core::chunk::CHUNK,
            timeout_v4: Duration::from_secs(30),
            timeout_v6: Duration::from_secs(60),
        }
    }
}

/// Arrays for a [`Defrag`]. Each capacity is a limit of it.
pub struct DefragArrays<M: Memory> {
    /// [`Bucket::EMPTY`] everywhere, [`Table::buckets_for`] datagrams.
    pub buckets: M::Of<Bucket>,
    /// Empty, one for each datagram.
    pub datagrams: M::Of<Slot<Datagram>>,
    /// [`ringbuf_core::chunk::CHUNK`] octets for each chunk.
    pub octets: M::Of<u8>,
    /// One word for each chunk.
    pub links: M::Of<u32>,
    /// [`OUTPUT_LEN`] octets each. Larger datagrams than fit are dropped.
    pub outputs: [M::Of<u8>; OUTPUTS],
}

impl<M: Memory> fmt::Debug for DefragArrays<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DefragArrays")
    }
}

#[cfg(feature = "alloc")]
impl DefragArrays<crate::memory::Heap> {
    /// Octets that [`DefragArrays::on_heap`] reserves. `None` when they cannot be counted.
    pub fn footprint(config: &DefragConfig) -> Option<usize> {
        let buckets = Table::<crate::memory::Heap>::buckets_for(config.max_datagrams);
        let parts = [
            (buckets, size_of::<Bucket>()),
            (config.max_datagrams, size_of::<Slot<Datagram>>()),
            (config.chunks, ringbuf_core::chunk::CHUNK + size_of::<u32>()),
            (OUTPUTS, OUTPUT_LEN),
        ];
        parts.into_iter().try_fold(0_usize, |sum, (n, size)| sum.checked_add(n.checked_mul(size)?))
    }

    /// Arrays on the heap for `config`.
    pub fn on_heap(config: &DefragConfig) -> Self {
        use crate::memory::{Heap, Reserved};
        DefragArrays {
            buckets: Reserved::filled(Bucket::EMPTY, Table::<Heap>::buckets_for(config.max_datagrams)),
            datagrams: Reserved::with_capacity(config.max_datagrams),
            octets: Reserved::filled(0, config.chunks * ringbuf_core::chunk::CHUNK),
            links: Reserved::filled(0, config.chunks),
            outputs: core::array::from_fn(|_| Reserved::filled(0, OUTPUT_LEN)),
        }
    }
}

/// Datagrams that wait for fragments.
///
/// Time is running time: it is expected not to go back. When it does all the same, deadlines stay as far ahead as they
/// were.
pub struct Defrag<M: Memory> {
    config: DefragConfig,
    datagrams: Slab<Datagram, M>,
    table: Table<M>,
    pool: ChunkPool<M::Of<u8>, M::Of<u32>>,
    /// By family.
    queues: [Queue; 2],
    spare: heapless::Vec<Output<M>, OUTPUTS>,
    /// The last complete datagram, until it is taken or the next one comes.
    complete: Option<Output<M>>,
    stats: DefragStats,
    told: Instant,
    /// The sum of all steps forward, in microseconds modulo 2^64: only differences count.
    running: u64,
}

impl<M: Memory> fmt::Debug for Defrag<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Defrag({:?}, {} chunks)", self.datagrams, self.pool.used())
    }
}

impl<M: Memory> Defrag<M> {
    /// Without datagrams.
    ///
    /// # Panics
    /// When `arrays` has no bucket.
    pub fn new(config: DefragConfig, arrays: DefragArrays<M>) -> Self {
        Defrag {
            config,
            datagrams: Slab::new(arrays.datagrams, Reuse::Newest),
            table: Table::new(arrays.buckets),
            pool: ChunkPool::new(arrays.octets, arrays.links),
            queues: [Queue::EMPTY; 2],
            spare: arrays.outputs.into_iter().map(Output::new).collect(),
            complete: None,
            stats: DefragStats::default(),
            told: Instant::default(),
            running: 0,
        }
    }

    /// Takes a fragment. `hash` is a keyed hash of [`Fragment::words`].
    pub fn add(&mut self, fragment: &Fragment<'_>, hash: u64, now: Instant) -> Outcome {
        self.expire(now);
        self.stats.tiny += u64::from(fragment.is_tiny());
        let outcome = self.take(fragment, hash).unwrap_or_else(Outcome::Dropped);
        self.stats.count(outcome);
        outcome
    }

    /// Gives up the datagrams whose time is up. Returns how many there were.
    pub fn expire(&mut self, now: Instant) -> usize {
        self.running = self.running.wrapping_add(micros(now.since(self.told)));
        self.told = now;
        let mut expired = 0;
        for family in [Family::V4, Family::V6] {
            while let Some((id, _)) = self.next_due(family).filter(|(_, left)| *left == 0) {
                expired += usize::from(self.close(id));
            }
        }
        self.stats.timed_out += expired as u64;
        expired
    }

    /// When [`Defrag::expire`] has something to do, if nothing comes before.
    pub fn next_deadline(&self) -> Option<Instant> {
        let due = [Family::V4, Family::V6].map(|family| self.next_due(family));
        let left = due.into_iter().flatten().map(|(_, left)| left).min()?;
        Some(self.told + Duration::from_micros(left))
    }

    /// The datagram that the last call of [`Defrag::add`] made [`Outcome::Complete`], from its IP header on: the
    /// header is that of a whole packet. Empty when there is none, or it was taken.
    pub fn datagram(&self) -> &[u8] {
        self.complete.as_deref().unwrap_or_default()
    }

    /// Takes that datagram out, so that its own contents can be given to [`Defrag::add`] while it is looked at. It
    /// should come back with [`Defrag::put_back`].
    pub fn take_output(&mut self) -> Option<Output<M>> {
        self.complete.take()
    }

    /// Gives the memory of a datagram back.
    pub fn put_back(&mut self, output: Output<M>) {
        // One of another `Defrag` would find no room.
        let _ = self.spare.push(output);
    }

    /// What was seen and done.
    pub fn stats(&self) -> &DefragStats {
        &self.stats
    }

    /// Datagrams that wait.
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// The most datagrams that can wait.
    pub fn capacity(&self) -> usize {
        self.datagrams.capacity()
    }

    /// Chunks of memory in use, and chunks there are.
    pub fn chunks(&self) -> (u32, u32) {
        (self.pool.used(), self.pool.capacity())
    }

    fn take(&mut self, fragment: &Fragment<'_>, hash: u64) -> Result<Outcome, FragmentDrop> {
        if let Some(unread) = self.complete.take() {
            self.put_back(unread);
        }
        let range = fragment.range(self.config.policy)?;
        if fragment.is_atomic() {
            // Apart from all others, whatever its identification (RFC 6946, 4).
            return self.pass(fragment);
        }
        let held = self.find(fragment, hash);
        let id = match held {
            _ if range.is_empty() => return Err(self.refuse(held, FragmentDrop::Empty)),
            Some(id) => id,
            None => self.open(fragment, hash)?,
        };
        self.enter(id, fragment, range).map_err(|reason| self.refuse(Some(id), reason))
    }

    /// Enters a fragment into its datagram.
    fn enter(&mut self, id: Id, fragment: &Fragment<'_>, range: Range) -> Result<Outcome, FragmentDrop> {
        let policy = self.config.policy;
        let datagram = self.datagrams.get_mut(id).ok_or(FragmentDrop::NoRoom)?;
        datagram.admit(policy, range, fragment.more)?;
        let room = datagram.room_for(fragment, range);
        match room {
            Some(room) => self.reserve(id, room)?,
            None => Chunked { pool: &mut self.pool, map: &mut datagram.chunks }.clear(),
        }
        let datagram = self.datagrams.get_mut(id).ok_or(FragmentDrop::NoRoom)?;
        let is_new = datagram.enter(&mut self.pool, policy, fragment, range)?;
        match is_new {
            _ if datagram.is_complete() => self.finish(id),
            _ if room.is_none() => Err(FragmentDrop::TooLarge),
            false => Err(FragmentDrop::Duplicate),
            true => Ok(Outcome::Held),
        }
    }

    /// A fragment was dropped; its datagram goes with it when that is the rule.
    fn refuse(&mut self, id: Option<Id>, reason: FragmentDrop) -> FragmentDrop {
        if let Some(id) = id.filter(|_| reason.ends_datagram(self.config.policy)) {
            self.stats.killed += u64::from(self.close(id));
        }
        reason
    }

    /// Makes a datagram of a single fragment.
    fn pass(&mut self, fragment: &Fragment<'_>) -> Result<Outcome, FragmentDrop> {
        let payload = fragment.payload.get(..fragment.payload_len).unwrap_or_default();
        if counted(fragment.family, fragment.header.len()) + payload.len() as u64 > MAX_PAYLOAD {
            return Err(FragmentDrop::TooLarge);
        }
        let next = (fragment.family == Family::V6).then_some((fragment.next_header_at, fragment.next_header));
        let mut output = self.spare.pop().ok_or(FragmentDrop::NoOutput)?;
        let fits = output.fill([fragment.header, payload].into_iter());
        output.finish(fragment.family, fragment.header.len(), next, 0);
        self.give_out(output, fits)
    }

    /// A datagram without holes: out with it, or away.
    fn finish(&mut self, id: Id) -> Result<Outcome, FragmentDrop> {
        let result = self.emit(id);
        self.close(id);
        match result {
            Ok(_) => self.stats.completed += 1,
            Err(_) => self.stats.killed += 1,
        }
        result
    }

    fn emit(&mut self, id: Id) -> Result<Outcome, FragmentDrop> {
        let datagram = self.datagrams.get_mut(id).ok_or(FragmentDrop::NoRoom)?;
        let (whole, ecn) = (datagram.whole()?, datagram.ecn(self.config.policy)?);
        let mut output = self.spare.pop().ok_or(FragmentDrop::NoOutput)?;
        let (family, header_len) = (datagram.family, datagram.header_len());
        let store = Chunked { pool: &mut self.pool, map: &mut datagram.chunks };
        let fits = output.fill(store.pieces(whole));
        output.finish(family, header_len, None, ecn);
        self.give_out(output, fits)
    }

    fn give_out(&mut self, output: Output<M>, fits: bool) -> Result<Outcome, FragmentDrop> {
        if !fits {
            self.put_back(output);
            return Err(FragmentDrop::NoOutput);
        }
        self.complete = Some(output);
        Ok(Outcome::Complete)
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests;
