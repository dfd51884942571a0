//! protolens, behind a hash map: it has none. It hands over packets in order, and its user cuts off what it had before.

use super::{Purpose, Row, Subject};
use crate::capture::Frames;
use crate::sink::{Checking, Counting, Sink};
use crate::wire::{self, ACK, FIN, Key, SYN, Segment};
use hashbrown::HashMap;
use mos_flow::Side;
use protolens::{L7Proto, Packet, Prolens, Task, TransProto};
use std::cell::RefCell;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

pub(super) const ROWS: [Row; 1] = [Row::peer("protolens", "every octet in order", |_, purpose| {
    Ok(match purpose {
        Purpose::Count => Box::new(Lens::<Counting>::new()),
        Purpose::Check => Box::new(Lens::<Checking>::new()),
    })
})];

/// A segment on its way through protolens, which keeps it while it waits for others.
#[derive(Clone, Copy)]
struct Passing {
    segment: Segment<'static>,
    /// Of `Streams`.
    stream: u32,
}

impl Packet for Passing {
    fn trans_proto(&self) -> TransProto {
        TransProto::Tcp
    }

    fn sip(&self) -> IpAddr {
        Ipv4Addr::from_bits(self.segment.src.0).into()
    }

    fn dip(&self) -> IpAddr {
        Ipv4Addr::from_bits(self.segment.dst.0).into()
    }

    fn tu_sport(&self) -> u16 {
        self.segment.src.1
    }

    fn tu_dport(&self) -> u16 {
        self.segment.dst.1
    }

    fn seq(&self) -> u32 {
        self.segment.seq
    }

    fn syn(&self) -> bool {
        self.segment.has(SYN)
    }

    fn fin(&self) -> bool {
        self.segment.has(FIN)
    }

    fn payload_len(&self) -> usize {
        self.segment.payload.len()
    }

    fn payload(&self) -> &[u8] {
        self.segment.payload
    }
}

/// How far each stream was handed over: two for each connection, in places that are used again.
#[derive(Default)]
struct Streams {
    /// The next sequence number, and whether the FIN was handed over.
    next: Vec<(u32, bool)>,
    free: Vec<u32>,
}

impl Streams {
    /// Two, one behind the other: of the server, and of the client.
    fn open(&mut self) -> u32 {
        let first = self.free.pop().unwrap_or_else(|| {
            self.next.extend([(0, false); 2]);
            self.next.len() as u32 - 2
        });
        self.next[first as usize..][..2].fill((0, false));
        first
    }

    fn on_packet<S: Sink>(&mut self, packet: &Passing) {
        let Passing { segment, stream } = packet;
        let Some((next, finished)) = self.next.get_mut(*stream as usize) else { return };
        *finished |= segment.has(FIN);
        if segment.has(SYN) {
            *next = segment.seq.wrapping_add(1);
            return;
        }
        let had = next.wrapping_sub(segment.seq) as usize;
        if let Some(octets) = segment.payload.get(had..).filter(|octets| !octets.is_empty()) {
            *next = next.wrapping_add(octets.len() as u32);
            let ends = segment.ends();
            let receiver = if stream % 2 == 0 { Side::Server } else { Side::Client };
            S::data(|| Some(ends), receiver, octets);
        }
    }
}

struct Flow {
    task: Task<Passing>,
    streams: u32,
    /// The client is the lower end of the key.
    client_is_low: bool,
}

struct Lens<S> {
    lens: Prolens<Passing>,
    flows: HashMap<Key, Flow>,
    streams: Rc<RefCell<Streams>>,
    sink: PhantomData<S>,
}

impl<S: Sink> Lens<S> {
    fn new() -> Self {
        let streams = Rc::<RefCell<Streams>>::default();
        let mut lens = Prolens::default();
        let told = Rc::clone(&streams);
        lens.set_cb_ord_pkt(move |packet: Passing, _, _| told.borrow_mut().on_packet::<S>(&packet));
        Lens { lens, flows: HashMap::new(), streams, sink: PhantomData }
    }

    fn on_segment(&mut self, segment: Segment<'static>) {
        let key = segment.key();
        let Some(flow) = self.flows.get_mut(&key) else {
            if segment.flags & (SYN | ACK) == SYN {
                self.open(key, segment);
            }
            return;
        };
        let by_server = segment.ascends() != flow.client_is_low;
        let stream = flow.streams + u32::from(by_server);
        self.lens.run_task(&mut flow.task, Passing { segment, stream });
        if segment.flags & (FIN | ACK) == ACK && segment.payload.is_empty() && self.is_over(key) {
            self.close(key);
        }
    }

    fn open(&mut self, key: Key, segment: Segment<'static>) {
        let mut task = self.lens.new_task(TransProto::Tcp);
        self.lens.set_task_parser(&mut task, L7Proto::OrdPacket);
        let streams = self.streams.borrow_mut().open();
        self.lens.run_task(&mut task, Passing { segment, stream: streams });
        self.flows.insert(key, Flow { task, streams, client_is_low: segment.ascends() });
    }

    /// Both FINs were handed over.
    fn is_over(&self, key: Key) -> bool {
        let streams = self.streams.borrow();
        let of = self.flows.get(&key).and_then(|flow| streams.next.get(flow.streams as usize..));
        of.is_some_and(|of| of.iter().take(2).all(|(_, finished)| *finished))
    }

    fn close(&mut self, key: Key) {
        if let Some(flow) = self.flows.remove(&key) {
            self.streams.borrow_mut().free.push(flow.streams);
        }
    }
}

impl<S: Sink> Subject for Lens<S> {
    fn run(&mut self, frames: Frames<'static>) {
        for (_, frame) in frames {
            if let Some(segment) = wire::parse(frame) {
                self.on_segment(segment);
            }
        }
    }

    fn finish(&mut self) {
        self.flows.clear();
        *self.streams.borrow_mut() = Streams::default();
    }
}
