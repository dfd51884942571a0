//! Paths through the engine of `mos-flow`: frames are made before, and only what the engine does with them is counted.

use mos_flow::engine::BURST;
use mos_flow::testing::Exchange;
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

fn engine(reader: Reader) -> Engine<u64> {
    let retention = if reader == Reader::Packet { Retention::Unread } else { Retention::Ring };
    let config = Config { verify_checksums: false, retention, ..Config::default() };
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
    let mut engine = engine(reader);
    process(&mut engine, &opening, 0, uncounted);
    let octets = process(&mut engine, &frames, opening.len() as u64, counted);
    let stats = engine.stats();
    assert!(reader == Reader::None || octets == count * len as u64, "{octets} octets read");
    assert_eq!(
        (stats.stream_octets, stats.drops.total(), stats.anomalies.total()),
        (count * len as u64, 0, 0)
    );
}

pub(crate) fn many(count: u64, len: usize, reader: Reader) {
    segments(count, MANY, len, reader);
}

/// Connections from SYN to the last ACK, a request and an answer between: eight packets.
pub(crate) fn connections(count: u64) {
    let mut frames = Vec::new();
    for n in 0..count as usize {
        let mut exchange = exchange(n);
        frames.extend(exchange.handshake());
        frames.push(exchange.data(Side::Client, &[0x5a; 200]));
        frames.push(exchange.data(Side::Server, &[0x5a; 1000]));
        frames.extend(exchange.close(Side::Client));
    }
    let mut engine = engine(Reader::Ring);
    let octets = process(&mut engine, &frames, 0, counted);
    assert_eq!((octets, engine.stats().flows_ended), (count * 1200, 0));
}
