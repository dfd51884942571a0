//! The passes over a burst, each of which asks for the memory that the next one needs.

use super::{BURST, Engine};
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::packet::{Frame, Verdict};
use crate::reason::DropReason;
use crate::slab::NONE;
use crate::time::Tick;
use crate::wire::Packet;
use ringbuf_core::hint;

/// What the first pass over a burst finds out about a frame.
#[derive(Clone, Copy)]
pub(super) struct Prepared {
    pub(super) packet: Packet,
    pub(super) key: FlowKey,
    pub(super) hash: u64,
    /// From the low endpoint to the high one.
    pub(super) ascending: bool,
    /// The connection that it may belong to, once that was looked for.
    pub(super) candidate: u32,
}

impl<A, M: Memory> Engine<A, M> {
    /// Processes at most [`BURST`] frames: first their headers and buckets are asked for, then connections, then streams.
    pub(super) fn process_chunk(&mut self, frames: &mut [Frame<'_>], app: &mut A) {
        let own = |frame: &&Frame<'_>| frame.verdict != Verdict::Drop;
        for frame in frames.iter().filter(own) {
            if let [first, ..] = frame.data {
                hint::prefetch(first);
                hint::prefetch(frame.data.get(64).unwrap_or(first));
            }
        }
        // Filled in its place: what is collected is moved.
        let mut prepared = heapless::Vec::<_, BURST>::new();
        for frame in frames.iter().filter(own) {
            let _ = prepared.push(self.prepare(frame)); // at most as many as a burst has
        }
        for p in prepared.iter_mut().flatten() {
            if let Some(index) = self.table.candidate(p.hash) {
                p.candidate = index;
                self.flows.prefetch(index);
            }
        }
        if self.flows.are_far_apart() {
            prepared.iter().flatten().for_each(|p| self.flows.prefetch_live(p.candidate));
        }
        if self.buffers.are_far_apart() {
            prepared.iter().flatten().for_each(|p| self.prefetch_stream(p));
        }
        let mut prepared = prepared.iter();
        for frame in frames {
            let tick = self.advance_clock(frame.time, app);
            match (frame.verdict, tick) {
                (Verdict::Drop, _) => {
                    self.stats.passed_over += 1;
                    continue;
                }
                (_, Tick::Forward) => {}
                (_, Tick::StepBack) => self.stats.clock_steps_back += 1,
                (_, Tick::Jump) => self.stats.clock_jumps += 1,
            }
            if let Some(slot) = prepared.next() {
                frame.verdict = self.process(frame, slot, app);
            }
        }
    }

    pub(super) fn prepare(&self, frame: &Frame<'_>) -> Result<Prepared, DropReason> {
        let packet = self.walker.walk(frame.link, frame.data)?;
        let (key, ascending) = FlowKey::of_packet(frame.data, &packet);
        let hash = self.hasher.hash(&key);
        self.table.prefetch(hash);
        Ok(Prepared { packet, key, hash, ascending, candidate: NONE })
    }
}
