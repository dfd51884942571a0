//! Paths through the engine of `mos-flow`: frames are made before, and only what the engine does with them is counted.

use mos_flow::engine::BURST;
use mos_flow::testing::Exchange;
use mos_flow::testing::traffic::{Kind, Plan, Traffic};
use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Retention, Side, Sides, SocketKind};
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};

/// Microseconds between frames.
const STEP: u64 = 5;
/// More connections than stay awake.
const MANY: usize = 5000;

/// What the monitor does with octets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// They are not kept.
    None,
    /// They are kept in rings, and read there after each burst.
    Ring,
    /// They are read in the packet, and kept only when they are left.
    Packet,
}

fn read(ctx: &mut Context<'_, u64>) {
    let Some(side) = ctx.side() else { return };
    let Ok((octets, mut monitor)) = ctx.split() else { return };
    let _ = monitor.read_with(side, |_, slice| *octets += black_box(slice).len() as u64);
}

fn engine(reader: Reader, at_ease: usize) -> Engine<u64> {
    let retention = if reader == Reader::Packet { Retention::Unread } else { Retention::Ring };
    let config = Config { verify_checksums: false, retention, at_ease, ..Config::default() };
    let mut engine = Engine::new(config).unwrap_or_else(|e| unreachable!("{e}"));
    let socket = engine.open(SocketKind::Stream).unwrap_or_else(|e| unreachable!("{e}"));
    let hook = if reader == Reader::Packet { Hook::Receiver } else { Hook::None };
    if reader != Reader::None {
        let _ = engine.register(socket, Event::NewData, hook, read, 0);
    } else if let Ok(mut monitor) = engine.monitor(socket) {
        for side in Side::BOTH {
            let _ = monitor.disable_buffer(side);
        }
    }
    engine
}

fn exchange(n: usize) -> Exchange {
    let client = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 1000 + n as u16));
    let server = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
    Exchange::new(client, server, Sides { client: 1, server: 2 })
}

/// Frames in order, one burst after the other.
fn process(
    engine: &mut Engine<u64>,
    frames: &[Vec<u8>],
    start: u64,
    play: fn(&mut Engine<u64>, &mut [Frame<'_>], &mut u64),
) -> u64 {
    let mut octets = 0;
    let mut frames: Vec<Frame<'_>> =
        (start..).zip(frames).map(|(n, data)| Frame::ethernet(Instant(1_000_000 + STEP * n), data)).collect();
    play(engine, &mut frames, &mut octets);
    octets
}

fn uncounted(engine: &mut Engine<u64>, frames: &mut [Frame<'_>], octets: &mut u64) {
    frames.chunks_mut(BURST).for_each(|burst| engine.process_burst(burst, octets));
}

/// What is counted: nothing outside of this function is.
#[unsafe(no_mangle)]
#[inline(never)]
fn counted(engine: &mut Engine<u64>, frames: &mut [Frame<'_>], octets: &mut u64) {
    uncounted(engine, frames, octets);
}

/// Segments of `len` octets from the servers of `flows` connections in turn, or ACKs when it is 0.
pub(crate) fn segments(count: u64, flows: usize, len: usize, reader: Reader) {
    let mut exchanges: Vec<Exchange> = (0..flows).map(exchange).collect();
    let opening: Vec<Vec<u8>> = exchanges.iter_mut().flat_map(Exchange::handshake).collect();
    let payload = vec![0x5a; len];
    let mut frames = Vec::new();
    for n in 0..count as usize {
        let exchange = &mut exchanges[n % flows];
        frames.push(if len > 0 { exchange.data(Side::Server, &payload) } else { exchange.ack(Side::Server) });
        if n / flows % 16 == 15 {
            frames.push(exchange.ack(Side::Client));
        }
    }
    let seen = follow(&opening, &frames, count * len as u64, reader);
    assert_eq!(seen, count * len as u64);
}

/// Counts `frames` of connections that are open then. Whoever reads reads `octets`. Returns how many of the streams were seen.
fn follow(opening: &[Vec<u8>], frames: &[Vec<u8>], octets: u64, reader: Reader) -> u64 {
    let mut engine = engine(reader, Config::default().at_ease);
    process(&mut engine, opening, 0, uncounted);
    let read = process(&mut engine, frames, opening.len() as u64, counted);
    let stats = engine.stats();
    assert_eq!(read, if reader == Reader::None { 0 } else { octets });
    assert_eq!((stats.drops.total(), stats.anomalies.total(), stats.odd.total()), (0, 0, 0));
    stats.stream_octets
}

/// Full segments of a server, every two of them in the wrong order, and an ACK for 16.
pub(crate) fn reordered(count: u64, payload: &[u8], reader: Reader) {
    let mut exchange = exchange(0);
    let opening = exchange.handshake();
    let mut frames = Vec::new();
    for n in 0..count / 2 {
        let first = exchange.data(Side::Server, payload);
        frames.extend([exchange.data(Side::Server, payload), first]);
        if n % 8 == 7 {
            frames.push(exchange.ack(Side::Client));
        }
    }
    follow(&opening, &frames, count / 2 * 2 * payload.len() as u64, reader);
}

/// A hole, 16 segments behind it of which the client tells each time, and then what was missing.
pub(crate) fn holes(count: u64, payload: &[u8]) {
    const BEHIND: u64 = 16;
    let mut exchange = exchange(0);
    let opening = exchange.handshake();
    let mut frames = Vec::new();
    let holes = count.div_ceil(BEHIND + 1);
    for _ in 0..holes {
        let hole = exchange.seq(Side::Server);
        let missing = exchange.data(Side::Server, payload);
        let left = exchange.seq(Side::Server);
        for _ in 0..BEHIND {
            frames.push(exchange.data(Side::Server, payload));
            let right = exchange.seq(Side::Server);
            frames.push(exchange.selective_ack(Side::Client, hole, [left, right]));
        }
        frames.extend([missing, exchange.ack(Side::Client)]);
    }
    let octets = holes * (BEHIND + 1) * payload.len() as u64;
    assert_eq!(follow(&opening, &frames, octets, Reader::Packet), octets);
}

pub(crate) fn many(count: u64, len: usize, reader: Reader) {
    segments(count, MANY, len, reader);
}

/// The eight packets of a connection: SYN to last ACK, a request and an answer between.
fn connection(n: usize) -> [Vec<u8>; 8] {
    let mut exchange = exchange(n);
    let [syn, syn_ack, ack] = exchange.handshake();
    let request = exchange.data(Side::Client, &[0x5a; 200]);
    let answer = exchange.data(Side::Server, &[0x5a; 1000]);
    let [fin, other_fin, last] = exchange.close(Side::Client);
    [syn, syn_ack, ack, request, answer, fin, other_fin, last]
}

/// Connections, one after the other.
pub(crate) fn connections(count: u64, reader: Reader) {
    let frames: Vec<_> = (0..count as usize).flat_map(connection).collect();
    let mut engine = engine(reader, Config::default().at_ease);
    let octets = process(&mut engine, &frames, 0, counted);
    let (read, stats) = (if reader == Reader::None { 0 } else { count * 1200 }, engine.stats());
    assert_eq!((octets, stats.stream_octets, stats.flows_ended), (read, count * 1200, count));
}

/// Connections of the traffic `short`, of twelve packets, that rest between them.
pub(crate) fn short(count: u64) {
    let plan = Plan { flows: count as u32, ..Plan::of(Kind::Short) };
    let (mut traffic, mut frame, mut frames) = (Traffic::new(&plan), Vec::new(), Vec::new());
    while traffic.next_into(&mut frame).is_some() {
        frames.push(frame.clone());
    }
    let mut engine = engine(Reader::None, 0);
    process(&mut engine, &frames, 0, counted);
    let stats = engine.stats();
    assert_eq!((frames.len() as u64, stats.segments, stats.flows_ended), (12 * count, 12 * count, count));
}
