//! What reading costs: reassembly alone, which keeps the octets of every stream and has no reader, beside monitors that
//! are handed every octet by slices: in the packet when a segment comes, and from the ring after the burst.

use benches::{Kind, Traffic};
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
    AfterTheBurst,
}

impl Reader {
    const ALL: [(&'static str, Reader); 3] = [
        ("reassembly_alone", Reader::None),
        ("slices_of_packets", Reader::InThePacket),
        ("slices_of_the_ring", Reader::AfterTheBurst),
    ];
}

fn read(ctx: &mut Context<'_, u64>) {
    let Some(side) = ctx.side() else { return };
    let Ok((octets, mut monitor)) = ctx.split() else { return };
    let _ = monitor.read_with(side, |_, slice| *octets += black_box(slice).len() as u64);
}

fn engine(reader: Reader) -> Engine<u64> {
    let retention = if reader == Reader::InThePacket { Retention::Unread } else { Retention::Ring };
    let config = Config { verify_checksums: false, retention, ..Config::default() };
    let mut engine = Engine::new(config).unwrap_or_else(|e| unreachable!("{e}"));
    let socket = engine.open(SocketKind::Stream).unwrap_or_else(|e| unreachable!("{e}"));
    let _ = match reader {
        Reader::None => Ok(()),
        Reader::InThePacket => engine.register(socket, Event::NewData, Hook::Receiver, read, 0),
        Reader::AfterTheBurst => engine.register(socket, Event::NewData, Hook::None, read, 0),
    };
    engine
}

fn run(engine: &mut Engine<u64>, frames: &mut [Frame<'_>]) -> u64 {
    let mut octets = 0;
    for burst in frames.chunks_mut(BURST) {
        engine.process_burst(burst, &mut octets);
    }
    octets
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
                    || engine(reader),
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
