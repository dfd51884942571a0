//! What smoltcp keeps streams in, a ring and an assembler for each, behind a hash map.

use super::{Input, Purpose, Row, Subject};
use crate::capture::Frames;
use crate::sink::{Checking, Counting, Sink};
use crate::wire::{self, FIN, Key, SYN, Segment};
use hashbrown::HashMap;
use mos_flow::Side;
use smoltcp::storage::{Assembler, RingBuffer};
use std::marker::PhantomData;

pub(super) const ROWS: [Row; 1] =
    [Row::peer("smoltcp", "its ring and assembler: every octet in order", |input, purpose| {
        Ok(match purpose {
            Purpose::Count => Box::new(Storage::<Counting>::new(input)),
            Purpose::Check => Box::new(Storage::<Checking>::new(input)),
        })
    })];

/// As in the rows of this stack.
const RING: usize = 64 << 10;

type Ring = RingBuffer<'static, u8>;

/// What one side receives.
struct Stream {
    /// The next sequence number.
    next: u32,
    /// That of the FIN.
    end: Option<u32>,
    assembler: Assembler,
    /// Since the first octet.
    ring: Option<Ring>,
}

impl Stream {
    fn new(next: u32) -> Self {
        Stream { next, end: None, assembler: Assembler::new(), ring: None }
    }

    fn is_over(&self) -> bool {
        self.end == Some(self.next)
    }
}

struct Flow {
    /// Sent by the lower end of the key, and by the higher one.
    streams: [Stream; 2],
    client_is_low: bool,
}

struct Storage<S> {
    flows: HashMap<Key, Flow>,
    /// Those that are free.
    rings: Vec<Ring>,
    sink: PhantomData<S>,
}

impl<S: Sink> Storage<S> {
    fn new(input: Input) -> Self {
        // In one piece, of which the kernel gives what is touched.
        let memory = vec![0; 2 * input.connections() * RING].leak();
        let rings = memory.chunks_exact_mut(RING).map(Ring::new).collect();
        Storage { flows: HashMap::new(), rings, sink: PhantomData }
    }

    fn on_segment(&mut self, segment: &Segment<'_>) {
        let (key, by_low) = (segment.key(), segment.ascends());
        if segment.has(SYN) {
            let new = || Flow { streams: [Stream::new(0), Stream::new(0)], client_is_low: by_low };
            let flow = self.flows.entry(key).or_insert_with(new);
            flow.streams[usize::from(!by_low)] = Stream::new(segment.seq.wrapping_add(1));
            return;
        }
        let Some(flow) = self.flows.get_mut(&key) else { return };
        let receiver = if by_low == flow.client_is_low { Side::Server } else { Side::Client };
        let stream = &mut flow.streams[usize::from(!by_low)];
        if segment.has(FIN) {
            stream.end = Some(segment.seq.wrapping_add(segment.payload.len() as u32));
        }
        if !segment.payload.is_empty() {
            stream.store::<S>(&mut self.rings, segment, receiver);
        }
        if flow.streams.iter().all(Stream::is_over)
            && let Some(flow) = self.flows.remove(&key)
        {
            flow.free(&mut self.rings);
        }
    }
}

impl Flow {
    /// Rings begin anew at the memory that was touched before.
    fn free(self, rings: &mut Vec<Ring>) {
        rings.extend(self.streams.into_iter().filter_map(|stream| stream.ring).map(|mut ring| {
            ring.clear();
            ring
        }));
    }
}

impl Stream {
    fn store<S: Sink>(&mut self, rings: &mut Vec<Ring>, segment: &Segment<'_>, receiver: Side) {
        let ahead = segment.seq.wrapping_sub(self.next).cast_signed();
        let had = usize::try_from(ahead.saturating_neg()).unwrap_or(0);
        let Some(fresh) = segment.payload.get(had..).filter(|fresh| !fresh.is_empty()) else { return };
        let offset = usize::try_from(ahead).unwrap_or(0);
        self.ring = self.ring.take().or_else(|| rings.pop());
        let Some(ring) = &mut self.ring else { return };
        let stored = ring.write_unallocated(offset, fresh);
        if stored == 0 {
            return;
        }
        // With too many holes it is as if it had not come.
        let Ok(in_order) = self.assembler.add_then_remove_front(offset, stored) else { return };
        ring.enqueue_unallocated(in_order);
        self.next = self.next.wrapping_add(in_order as u32);
        while !ring.is_empty() {
            ring.dequeue_many_with(|octets| {
                S::data(|| Some(segment.ends()), receiver, octets);
                (octets.len(), ())
            });
        }
    }
}

impl<S: Sink> Subject for Storage<S> {
    fn run(&mut self, frames: Frames<'static>) {
        for (_, frame) in frames {
            if let Some(segment) = wire::parse(frame) {
                self.on_segment(&segment);
            }
        }
    }

    fn finish(&mut self) {
        for (_, flow) in self.flows.drain() {
            flow.free(&mut self.rings);
        }
    }
}
