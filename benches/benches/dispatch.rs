//! What listeners cost: the same bare ACKs of established connections, with nobody who listens, and with handlers that count.
//!
//! A packet raises an event at the sender's hook and one at the receiver's; handlers are registered for the first. So a
//! handler is called once a packet, and nobody listens at the other hook.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mos_flow::engine::BURST;
use mos_flow::testing::Exchange;
use mos_flow::{
    Config, Context, Engine, Event, EventId, Frame, Hook, Instant, Side, Sides, SocketId, SocketKind,
};
use std::fmt;

/// Few connections, so that what is measured is no cache miss of theirs.
const FEW: usize = 64;
/// As many as there are different sets of handlers.
const MANY: usize = 1000;
/// Packets of each connection.
const ROUNDS: usize = 16;

/// Calls of handlers, and of filters.
#[derive(Debug, Default, PartialEq, Eq)]
struct Calls {
    handlers: u64,
    filters: u64,
}

fn count(ctx: &mut Context<'_, Calls>) {
    ctx.app().handlers += 1;
}

fn yes(ctx: &mut Context<'_, Calls>) -> bool {
    ctx.app().filters += 1;
    true
}

fn no(ctx: &mut Context<'_, Calls>) -> bool {
    ctx.app().filters += 1;
    false
}

/// Who listens.
#[derive(Clone, Copy, Debug)]
enum Listeners {
    Nobody,
    One,
    /// One handler at each of ten monitors.
    Monitors,
    /// The built-in event, and nine that are defined below it and happen.
    Siblings,
    /// The same, but they do not happen.
    Refused,
    /// The last of ten events, each below the other.
    Nested,
    /// Ten handlers that every connection registers for itself: the same for all.
    Equal,
    /// The same, but different for each.
    Different,
}

impl Listeners {
    const ALL: [Listeners; 8] = [
        Listeners::Nobody,
        Listeners::One,
        Listeners::Monitors,
        Listeners::Siblings,
        Listeners::Refused,
        Listeners::Nested,
        Listeners::Equal,
        Listeners::Different,
    ];

    fn connections(self) -> usize {
        match self {
            Listeners::Equal | Listeners::Different => MANY,
            _ => FEW,
        }
    }

    /// Calls for each packet.
    fn expected(self) -> Calls {
        match self {
            Listeners::Nobody => Calls { handlers: 0, filters: 0 },
            Listeners::One => Calls { handlers: 1, filters: 0 },
            Listeners::Monitors => Calls { handlers: 10, filters: 0 },
            Listeners::Siblings | Listeners::Equal | Listeners::Different => {
                Calls { handlers: 10, filters: 9 }
            }
            Listeners::Refused => Calls { handlers: 1, filters: 9 },
            Listeners::Nested => Calls { handlers: 1, filters: 10 },
        }
    }

    fn set_up(self, engine: &mut Engine<Calls>) -> Option<()> {
        let monitor = monitor(engine)?;
        match self {
            Listeners::Nobody | Listeners::Equal | Listeners::Different => {}
            Listeners::One => register(engine, monitor, Event::PacketIn, 0)?,
            Listeners::Monitors => {
                register(engine, monitor, Event::PacketIn, 0)?;
                for _ in 1..10 {
                    let other = self::monitor(engine)?;
                    register(engine, other, Event::PacketIn, 0)?;
                }
            }
            Listeners::Siblings | Listeners::Refused => {
                let filter = if matches!(self, Listeners::Siblings) { yes } else { no };
                register(engine, monitor, Event::PacketIn, 0)?;
                for _ in 1..10 {
                    let event = engine.define_event(Event::PacketIn, filter, 0).ok()?;
                    register(engine, monitor, event, 0)?;
                }
            }
            Listeners::Nested => {
                let mut event = EventId::from(Event::PacketIn);
                for _ in 0..10 {
                    event = engine.define_event(event, yes, 0).ok()?.into();
                }
                register(engine, monitor, event, 0)?;
            }
        }
        Some(())
    }

    /// What is registered when the connections are there.
    fn set_up_connections(self, engine: &mut Engine<Calls>) -> Option<()> {
        if !matches!(self, Listeners::Equal | Listeners::Different) {
            return Some(());
        }
        let mut events = vec![EventId::from(Event::PacketIn)];
        for _ in 1..10 {
            events.push(engine.define_event(Event::PacketIn, yes, 0).ok()?.into());
        }
        for number in 1..=MANY {
            let socket = engine.socket_at(number as u32)?;
            let token = if matches!(self, Listeners::Equal) { 0 } else { number };
            for event in &events {
                register(engine, socket, *event, token)?;
            }
        }
        let expected = if matches!(self, Listeners::Equal) { 2 } else { 1 + MANY };
        (engine.handler_sets().0 == expected).then_some(())
    }
}

impl fmt::Display for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Listeners::Nobody => "nobody",
            Listeners::One => "one",
            Listeners::Monitors => "ten_monitors",
            Listeners::Siblings => "ten_siblings",
            Listeners::Refused => "nine_refused",
            Listeners::Nested => "ten_nested",
            Listeners::Equal => "ten_of_1000_equal",
            Listeners::Different => "ten_of_1000_different",
        })
    }
}

/// A monitor that keeps no octets.
fn monitor(engine: &mut Engine<Calls>) -> Option<SocketId> {
    let socket = engine.open(SocketKind::Stream).ok()?;
    for side in Side::BOTH {
        engine.monitor(socket).ok()?.disable_buffer(side).ok()?;
    }
    Some(socket)
}

fn register(
    engine: &mut Engine<Calls>,
    socket: SocketId,
    event: impl Into<EventId>,
    token: usize,
) -> Option<()> {
    engine.register(socket, event, Hook::Sender, count, token).ok()
}

/// An engine with connections that are established, and ACKs of them: one each in turn.
fn prepare(listeners: Listeners) -> Option<(Engine<Calls>, Vec<Vec<u8>>)> {
    let mut engine = Engine::new(Config { max_timers: 0, ..Config::default() }).ok()?;
    listeners.set_up(&mut engine)?;
    let mut acks = Vec::new();
    for number in 0..listeners.connections() {
        let client = ([10, 0, (number >> 8) as u8, number as u8], 40_000).into();
        let mut exchange = Exchange::new(client, ([192, 0, 2, 1], 80).into(), Sides::default());
        for frame in exchange.handshake() {
            engine.process_burst(&mut [Frame::ethernet(Instant(1), &frame)], &mut Calls::default());
        }
        acks.push(exchange.ack(Side::Client));
    }
    listeners.set_up_connections(&mut engine)?;
    Some((engine, acks))
}

fn dispatch(c: &mut Criterion) {
    let mut group = c.benchmark_group("dispatch");
    for listeners in Listeners::ALL {
        let (mut engine, acks) =
            prepare(listeners).unwrap_or_else(|| unreachable!("{listeners} cannot be set up"));
        let mut frames: Vec<Frame<'_>> =
            (0..ROUNDS).flat_map(|_| &acks).map(|data| Frame::ethernet(Instant(1), data)).collect();
        let packets = frames.len() as u64;
        group.throughput(Throughput::Elements(packets));
        group.bench_function(BenchmarkId::from_parameter(listeners), |b| {
            b.iter(|| {
                let mut calls = Calls::default();
                for burst in frames.chunks_mut(BURST) {
                    engine.process_burst(burst, &mut calls);
                }
                let Calls { handlers, filters } = listeners.expected();
                assert_eq!(calls, Calls { handlers: packets * handlers, filters: packets * filters });
            });
        });
        assert_eq!(engine.flow_count(), listeners.connections());
        assert_eq!(engine.stats().anomalies.total(), 0);
    }
    group.finish();
}

criterion_group!(benches, dispatch);
criterion_main!(benches);
