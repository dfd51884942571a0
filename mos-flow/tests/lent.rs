//! The engine in memory that the caller lends: the same connection, the same octets, no heap of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use heapless::Vec as Fixed;
use mos_flow::alias::Alias;
use mos_flow::buffers::{StreamBuffer, StreamRanges};
use mos_flow::engine::{Arrays, SCRATCH};
use mos_flow::event::Definition;
use mos_flow::flow::{Flow, Live};
use mos_flow::handlers::{Condition, HandlerArrays, HandlerSet, Registration, Step};
use mos_flow::memory::{Borrowed, Lent};
use mos_flow::neighbours::Neighbour;
use mos_flow::outbox::OutFrame;
use mos_flow::overlap::SegmentQueue;
use mos_flow::shift::ShiftMap;
use mos_flow::slab::{Id, Slot};
use mos_flow::socket::{MonitorFilters, Socket};
use mos_flow::table::{Bucket, Table};
use mos_flow::testing::Exchange;
use mos_flow::timer::Link;
use mos_flow::wait::Wait;
use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Side, Sides, SocketKind};
use ringbuf_core::chunk::CHUNK;

const FLOWS: usize = 4;
const CHUNKS: usize = 8;

/// What a firmware would put into statics.
fn lend<T, const N: usize>(values: Fixed<T, N>) -> Borrowed<T> {
    Borrowed(Box::leak(Box::new(values)).as_mut_view())
}

fn filled<T: Clone, const N: usize>(value: T) -> Borrowed<T> {
    let mut values = Fixed::<T, N>::new();
    values.resize(N, value).expect("N fit N");
    lend(values)
}

type App = Vec<u8>;

fn arrays() -> Arrays<App, Lent> {
    Arrays {
        buckets: filled::<_, { Table::<Lent>::buckets_for(FLOWS) }>(Bucket::EMPTY),
        flows: lend(Fixed::<Slot<Flow>, FLOWS>::new()),
        live: lend(Fixed::<Slot<Live>, FLOWS>::new()),
        timers: lend(Fixed::<Link, FLOWS>::new()),
        alarms: lend(Fixed::<Slot<Registration<App, Lent>>, 1>::new()),
        alarm_timers: lend(Fixed::<Link, 1>::new()),
        octets: filled::<_, { CHUNKS * CHUNK }>(0),
        links: filled::<_, CHUNKS>(0),
        streams: lend(Fixed::<Slot<StreamBuffer>, FLOWS>::new()),
        ranges: lend(Fixed::<Slot<StreamRanges>, 1>::new()),
        queues: lend(Fixed::<Slot<SegmentQueue>, 1>::new()),
        waits: lend(Fixed::<Slot<Wait>, 1>::new()),
        sockets: lend(Fixed::<Slot<Socket>, { FLOWS + 1 }>::new()),
        handlers: HandlerArrays {
            events: lend(Fixed::<Slot<Definition<Condition<App, Lent>>>, 1>::new()),
            steps: lend(Fixed::<Slot<Step<App, Lent>>, 2>::new()),
            sets: lend(Fixed::<Slot<HandlerSet>, 2>::new()),
            buckets: filled::<_, { Table::<Lent>::buckets_for(2) }>(Bucket::EMPTY),
        },
        filters: lend(Fixed::<Slot<MonitorFilters>, 1>::new()),
        monitors: filled::<_, 1>(Id::NONE),
        output: lend(Fixed::<Slot<OutFrame>, 2>::new()),
        output_octets: filled::<_, 256>(0),
        neighbours: filled::<_, 1>(Neighbour::EMPTY),
        scratch: [(); SCRATCH].map(|()| filled::<_, 128>(0)),
        shifts: lend(Fixed::<Slot<Sides<ShiftMap>>, 1>::new()),
        aliases: lend(Fixed::<Slot<Alias>, 1>::new()),
        alias_buckets: filled::<_, { Table::<Lent>::buckets_for(1) }>(Bucket::EMPTY),
        fragments: None,
    }
}

fn read(ctx: &mut Context<'_, App, Lent>) {
    if ctx.side() == Some(Side::Server)
        && let Ok((heard, mut monitor)) = ctx.split()
    {
        let _ = monitor.read_with(Side::Server, |_, data| heard.extend_from_slice(data));
    }
}

#[test]
fn an_engine_runs_in_lent_memory_and_says_when_it_is_full() {
    let mut engine = Engine::<App, Lent>::with_memory(Config::default(), arrays()).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    assert!(engine.open(SocketKind::Stream).is_err(), "memory for one monitor was lent");
    engine.register(socket, Event::NewData, Hook::None, read, 0).unwrap();
    let mut heard = App::new();
    let mut expected = App::new();
    for port in 1..=FLOWS as u16 + 1 {
        let client = format!("10.0.0.2:{port}").parse().unwrap();
        let mut x = Exchange::new(client, "10.0.0.1:80".parse().unwrap(), Sides::default());
        let text = format!("hello from {port}. ");
        let frames = x.handshake().into_iter().chain([x.data(Side::Client, text.as_bytes())]);
        for frame in frames.collect::<Vec<_>>() {
            engine.process_burst(&mut [Frame::ethernet(Instant(port.into()), &frame)], &mut heard);
        }
        if usize::from(port) <= FLOWS {
            expected.extend_from_slice(text.as_bytes());
        }
    }
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(&expected));
    assert_eq!(engine.flow_count(), FLOWS, "there was memory for so many connections");
    assert_eq!(engine.stats().drops[mos_flow::DropReason::TableFull], 1);
}
