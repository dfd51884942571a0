//! Whole packets through the engine, beside a floor: headers parsed by etherparse, a hash map of connections, and the
//! payload copied. That is the least a monitor does that keeps the bytes; it orders and checks nothing.

use benches::{Kind, Traffic, config};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use hashbrown::HashMap;
use mos_flow::engine::BURST;
use mos_flow::{Context, Engine, Event, Frame, Hook, Peek, Side, SocketKind};

const PACKETS: usize = 60_000;

struct App {
    buffer: Vec<u8>,
    octets: u64,
}

fn read(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut monitor)) = ctx.split() else { return };
    while let Ok(peek @ (Peek::Data(_) | Peek::Lost(_))) = monitor.peek(side, &mut app.buffer) {
        if let Peek::Data(range) = peek {
            app.octets += range.len();
        }
    }
}

fn engine(kind: Kind, peek: bool) -> Engine<App> {
    let mut engine = Engine::new(config(kind)).unwrap_or_else(|e| unreachable!("{kind}: {e}"));
    let socket = engine.open(SocketKind::Stream).unwrap_or_else(|e| unreachable!("{kind}: {e}"));
    if peek {
        let _ = engine.register(socket, Event::NewData, Hook::None, read, 0);
    } else if let Ok(mut monitor) = engine.monitor(socket) {
        for side in Side::BOTH {
            let _ = monitor.disable_buffer(side);
        }
    }
    engine
}

/// All packets through a new engine; returns the octets read.
fn run(engine: &mut Engine<App>, frames: &mut [Frame<'_>]) -> u64 {
    let mut app = App { buffer: vec![0; 64 << 10], octets: 0 };
    for burst in frames.chunks_mut(BURST) {
        engine.process_burst(burst, &mut app);
    }
    engine.shutdown(&mut app);
    app.octets
}

fn floor(frames: &[Frame<'_>], copy: bool) -> u64 {
    let mut flows: HashMap<([u8; 4], [u8; 4], u16, u16), u64> = HashMap::new();
    let mut buffer = vec![0_u8; 64 << 10];
    let mut octets = 0;
    for frame in frames {
        let Ok(packet) = SlicedPacket::from_ethernet(frame.data) else { continue };
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport)
        else {
            continue;
        };
        let (src, dst) = (ip.header().source(), ip.header().destination());
        let (sport, dport) = (tcp.source_port(), tcp.destination_port());
        let key =
            if (src, sport) < (dst, dport) { (src, dst, sport, dport) } else { (dst, src, dport, sport) };
        *flows.entry(key).or_default() += tcp.payload().len() as u64;
        if copy {
            let at = octets as usize % (buffer.len() - 2000);
            buffer[at..at + tcp.payload().len()].copy_from_slice(tcp.payload());
        }
        octets += tcp.payload().len() as u64;
    }
    std::hint::black_box(&buffer);
    octets
}

fn packets(c: &mut Criterion) {
    let mut group = c.benchmark_group("packets");
    group.sample_size(20);
    for kind in Kind::ALL {
        let traffic = Traffic::new(kind, PACKETS);
        let mut frames: Vec<Frame<'_>> = traffic.frames().collect();
        group.throughput(Throughput::Elements(frames.len() as u64));
        group.bench_function(BenchmarkId::new("floor_parse_map", kind), |b| {
            b.iter(|| floor(&frames, false));
        });
        group.bench_function(BenchmarkId::new("floor_parse_map_copy", kind), |b| {
            b.iter(|| floor(&frames, true));
        });
        for (name, peek) in [("flows", false), ("peek", true)] {
            group.bench_function(BenchmarkId::new(name, kind), |b| {
                b.iter_batched_ref(
                    || engine(kind, peek),
                    |engine| {
                        let octets = run(engine, &mut frames);
                        assert_eq!(octets, if peek { traffic.stream_octets } else { 0 }, "{kind}");
                    },
                    criterion::BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, packets);
criterion_main!(benches);
