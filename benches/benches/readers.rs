//! What reading costs: reassembly alone, which keeps the octets of every stream and has no reader, beside monitors that
//! are handed every octet by slices: in the packet when a segment comes, and from the ring after the burst.

use benches::{Kind, Traffic, config};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mos_flow::engine::BURST;
use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Retention, SocketKind};
use std::hint::black_box;

const PACKETS: usize = 60_000;

/// Where octets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    None,
    InThePacket,
    /// And looks at every one.
    AddingUp,
    AfterTheBurst,
}

#[derive(Debug, Default)]
struct App {
    octets: u64,
    sum: u64,
}

impl Reader {
    const ALL: [(&'static str, Reader); 4] = [
        ("reassembly_alone", Reader::None),
        ("slices_of_packets", Reader::InThePacket),
        ("slices_of_packets_added_up", Reader::AddingUp),
        ("slices_of_the_ring", Reader::AfterTheBurst),
    ];
}

fn read(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut monitor)) = ctx.split() else { return };
    let _ = monitor.read_with(side, |_, slice| app.octets += black_box(slice).len() as u64);
}

fn add_up(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut monitor)) = ctx.split() else { return };
    let _ = monitor.read_with(side, |_, slice| {
        app.octets += slice.len() as u64;
        app.sum += slice.iter().map(|octet| u64::from(*octet)).sum::<u64>();
    });
}

fn engine(kind: Kind, reader: Reader) -> Engine<App> {
    let in_the_packet = matches!(reader, Reader::InThePacket | Reader::AddingUp);
    let retention = if in_the_packet { Retention::Unread } else { Retention::Ring };
    let config = Config { retention, ..config(kind) };
    let mut engine = Engine::new(config).unwrap_or_else(|e| unreachable!("{e}"));
    let socket = engine.open(SocketKind::Stream).unwrap_or_else(|e| unreachable!("{e}"));
    let _ = match reader {
        Reader::None => Ok(()),
        Reader::InThePacket => engine.register(socket, Event::NewData, Hook::Receiver, read, 0),
        Reader::AddingUp => engine.register(socket, Event::NewData, Hook::Receiver, add_up, 0),
        Reader::AfterTheBurst => engine.register(socket, Event::NewData, Hook::None, read, 0),
    };
    engine
}

fn run(engine: &mut Engine<App>, frames: &mut [Frame<'_>]) -> u64 {
    let mut app = App::default();
    for burst in frames.chunks_mut(BURST) {
        engine.process_burst(burst, &mut app);
    }
    black_box(app.sum);
    app.octets
}

fn readers(c: &mut Criterion) {
    let mut group = c.benchmark_group("readers");
    group.sample_size(20);
    for kind in [Kind::Bulk, Kind::Small] {
        let traffic = Traffic::new(kind, PACKETS);
        let mut frames: Vec<Frame<'_>> = traffic.frames().collect();
        group.throughput(Throughput::Elements(frames.len() as u64));
        for (name, reader) in Reader::ALL {
            group.bench_function(BenchmarkId::new(name, kind), |b| {
                b.iter_batched_ref(
                    || engine(kind, reader),
                    |engine| {
                        let octets = run(engine, &mut frames);
                        let stats = engine.stats();
                        assert_eq!(stats.stream_octets, traffic.stream_octets, "{kind}");
                        assert_eq!(octets, if reader == Reader::None { 0 } else { traffic.stream_octets });
                    },
                    criterion::BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, readers);
criterion_main!(benches);
