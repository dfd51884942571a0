//! The passes over a burst, each of which asks for the memory that the next one needs.

use super::{BURST, Engine};
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::packet::{Frame, Verdict};
use crate::reason::DropReason;
use crate::slab::NONE;
use crate::time::Tick;
use crate::wire::{LinkType, Packet, plain};
use ringbuf_core::hint;
use tcp_reasm::PlainSegment;

/// What the first pass over a burst finds out about a frame: little, because there is one for each frame.
pub(super) struct Look {
    pub(super) lookup: Lookup,
    pub(super) seen: Seen,
}

pub(super) enum Seen {
    /// All that is needed to follow a segment that is in step.
    Plain(PlainSegment),
    /// A packet among those of the burst that had to be walked into.
    Other(usize),
    Refused(DropReason),
    /// Another engine's.
    Nothing,
}

/// What leads to a packet's connection.
#[derive(Clone, Copy)]
pub(super) struct Lookup {
    pub(super) key: FlowKey,
    /// From the low endpoint to the high one.
    pub(super) ascending: bool,
    /// The connection that it may belong to, once that was looked for.
    pub(super) candidate: u32,
    pub(super) hash: u64,
}

/// A packet, and what leads to its connection.
#[derive(Clone, Copy)]
pub(super) struct Prepared<'a> {
    pub(super) packet: &'a Packet,
    pub(super) lookup: &'a Lookup,
}

impl<A, M: Memory> Engine<A, M> {
    /// Processes at most [`BURST`] frames: first their headers and buckets are asked for, then connections, then streams.
    pub(super) fn process_chunk(&mut self, frames: &mut [Frame<'_>], app: &mut A) {
        for frame in frames.iter().filter(|frame| frame.verdict != Verdict::Drop) {
            if let [first, ..] = frame.data {
                hint::prefetch(first);
                hint::prefetch(frame.data.get(64).unwrap_or(first));
            }
        }
        // At most as many as a burst has. What is made where it is pushed is made in its place.
        let (mut looks, mut packets) = (heapless::Vec::<_, BURST>::new(), heapless::Vec::<_, BURST>::new());
        for frame in frames.iter() {
            if frame.verdict == Verdict::Drop {
                let _ = looks.push(Look::NONE);
                continue;
            }
            let _ = match plain_segment(frame) {
                Some((addresses, segment)) => {
                    let lookup = self.lookup_of(FlowKey::of_plain(addresses, &segment));
                    looks.push(Look { lookup, seen: Seen::Plain(segment) })
                }
                None => looks.push(self.look_into(frame, &mut packets)),
            };
        }
        for lookup in looks.iter_mut().map(|look: &mut Look| &mut look.lookup) {
            if let Some(index) = self.table.candidate(lookup.hash) {
                lookup.candidate = index;
                self.flows.prefetch(index);
            }
        }
        if self.flows.are_far_apart() {
            looks.iter().for_each(|look| self.flows.prefetch_live(look.lookup.candidate));
        }
        if self.buffers.are_far_apart() {
            looks.iter().for_each(|look| self.prefetch_stream(&look.lookup));
        }
        for (frame, look) in frames.iter_mut().zip(&looks) {
            self.process_in_time(frame, look, &packets, app);
        }
    }

    /// Lets time pass to a frame, and processes it if it is for this engine.
    #[inline]
    fn process_in_time(&mut self, frame: &mut Frame<'_>, look: &Look, packets: &[Packet], app: &mut A) {
        let tick = self.advance_clock(frame.time, app);
        match (&look.seen, tick) {
            (Seen::Nothing, _) => {
                self.stats.passed_over += 1;
                return;
            }
            (_, Tick::Forward) => {}
            (_, Tick::StepBack) => self.stats.clock_steps_back += 1,
            (_, Tick::Jump) => self.stats.clock_jumps += 1,
        }
        frame.verdict = self.process(frame, look, packets, app);
    }

    fn look_into(&self, frame: &Frame<'_>, packets: &mut heapless::Vec<Packet, BURST>) -> Look {
        match self.prepare(frame) {
            Ok((packet, lookup)) => {
                let seen = Seen::Other(packets.len());
                let _ = packets.push(packet); // as above
                Look { lookup, seen }
            }
            Err(reason) => Look { seen: Seen::Refused(reason), ..Look::NONE },
        }
    }

    pub(super) fn prepare(&self, frame: &Frame<'_>) -> Result<(Packet, Lookup), DropReason> {
        let packet = self.walker.walk(frame.link, frame.data)?;
        Ok((packet, self.lookup_of(FlowKey::of_packet(frame.data, &packet))))
    }

    /// Hashes a key, and asks for the bucket.
    #[inline(always)] // of a plain segment's key a part is known
    pub(super) fn lookup_of(&self, (key, ascending): (FlowKey, bool)) -> Lookup {
        let hash = self.hasher.hash(&key);
        self.table.prefetch(hash);
        Lookup { key, ascending, candidate: NONE, hash }
    }
}

impl Look {
    const NONE: Look = Look { lookup: Lookup::NONE, seen: Seen::Nothing };
}

impl Lookup {
    const NONE: Lookup = Lookup { key: FlowKey::NONE, ascending: false, candidate: NONE, hash: 0 };
}

/// The segment of a frame that is as nearly all are, and its addresses.
#[inline]
fn plain_segment(frame: &Frame<'_>) -> Option<([[u8; 4]; 2], PlainSegment)> {
    (frame.link == LinkType::Ethernet).then(|| plain::segment(frame.data))?
}
