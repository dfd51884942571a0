//! Octets through the ring: written in order and read by slice, beside a plain copy and smoltcp's assembler with its
//! ring buffer; out of order; and as octets that touch nothing.

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use ringbuf_core::chunk::{ChunkMap, ChunkPool, Chunked};
use ringbuf_core::overlap::{BySystem, Linux, Resolve, System};
use ringbuf_core::store::Flat;
use ringbuf_core::{FragList, Next, Offset, Overlap, Range, Ring, Store, Window};
use smoltcp::storage::{Assembler, RingBuffer};
use std::collections::BTreeMap;
use std::hint::black_box;

const SEGMENT: usize = 1448;
/// Segments in one iteration.
const N: usize = 1024;

/// A ring that stays in the caches, and one that is never there: its octets go to memory that was not touched for long.
const RINGS: [(&str, usize); 2] = [("hot_64k", 64 << 10), ("cold_256m", 256 << 20)];

fn in_order(c: &mut Criterion) {
    let payload = [0x5a_u8; SEGMENT];
    let mut group = c.benchmark_group("in_order_1448");
    group.throughput(Throughput::Bytes((N * SEGMENT) as u64));
    for (name, ring_octets) in RINGS {
        group.bench_function(BenchmarkId::new("memcpy", name), |b| {
            let (mut ring, mut at) = (vec![0_u8; ring_octets], 0);
            b.iter(|| {
                for _ in 0..N {
                    ring[at..at + SEGMENT].copy_from_slice(black_box(&payload));
                    black_box(&ring[at..at + SEGMENT]);
                    at = if at + 2 * SEGMENT > ring_octets { 0 } else { at + SEGMENT };
                }
            });
        });
        group.bench_function(BenchmarkId::new("ring", name), |b| {
            let mut ring = Ring::<_, 32>::new(vec![0_u8; ring_octets]);
            b.iter(|| {
                for _ in 0..N {
                    let at = ring.window().next();
                    assert_eq!(ring.write(at, black_box(&payload)).advanced, SEGMENT as u64);
                    let Next::Data(range) = ring.window().next_for(&FragList::<0>::new(), at) else { return };
                    black_box(ring.slices(range));
                }
            });
        });
        group.bench_function(BenchmarkId::new("chunks", name), |b| {
            let (mut pool, mut map) = (ChunkPool::with_chunks(ring_octets / 2048 + 300), ChunkMap::new());
            let (mut window, mut frags) = (Window::new(ring_octets as u32), FragList::<32>::new());
            b.iter(|| {
                let mut store = Chunked { pool: &mut pool, map: &mut map };
                for _ in 0..N {
                    let at = window.next();
                    let done = window.write(&mut frags, &mut store, Overlap::First, at, black_box(&payload));
                    assert_eq!(done.advanced, SEGMENT as u64);
                    black_box(store.piece(Range::at(at, SEGMENT as u64)));
                }
            });
        });
        group.bench_function(BenchmarkId::new("smoltcp", name), |b| {
            let (mut ring, mut assembler) = (RingBuffer::new(vec![0_u8; ring_octets]), Assembler::new());
            b.iter(|| {
                for _ in 0..N {
                    let written = ring.write_unallocated(0, black_box(&payload));
                    assert_eq!(written, SEGMENT); // it goes over the seam by itself
                    let contiguous = assembler.add_then_remove_front(0, SEGMENT).unwrap_or(0);
                    ring.enqueue_unallocated(contiguous);
                    assert_eq!(contiguous, SEGMENT);
                    // Up to the seam, and what is behind it.
                    let first = black_box(ring.dequeue_many(SEGMENT)).len();
                    black_box(ring.dequeue_many(SEGMENT - first));
                }
            });
        });
    }
    group.finish();
}

/// A window with `held` ranges far above what is written.
fn with_held(held: u64) -> (Window, FragList<64>) {
    let mut frags = FragList::new();
    for i in 0..held {
        let far = Offset((N * SEGMENT) as u64 + 10_000 * (i + 1));
        assert_eq!(frags.insert(Range::at(far, 3)), Ok(()));
    }
    (Window::new(16 << 20), frags)
}

/// One segment after the other, or in pairs in the wrong order, with ranges held above them; the memory is the same
/// every time, and warm.
fn segments<P: Resolve>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    store: &mut Flat<Vec<u8>>,
    name: &str,
    (held, in_pairs): (u64, bool),
    policy: impl Fn() -> P,
) {
    let payload = [0x5a_u8; SEGMENT];
    group.bench_function(name, |b| {
        b.iter_batched(
            || (with_held(held), policy()),
            |((mut window, mut frags), mut policy)| {
                for i in 0..N {
                    let place = if in_pairs { i ^ 1 } else { i };
                    let at = Offset((place * SEGMENT) as u64);
                    let _ = window.write(&mut frags, store, &mut policy, at, black_box(&payload));
                }
                assert_eq!(window.next(), Offset((N * SEGMENT) as u64));
            },
            BatchSize::SmallInput,
        );
    });
}

/// The peer's assembler holds four ranges at most: pairs with nothing else held, in as much memory.
fn smoltcp_pairs(group: &mut BenchmarkGroup<'_, WallTime>) {
    let payload = [0x5a_u8; SEGMENT];
    let (mut ring, mut assembler) = (RingBuffer::new(vec![1_u8; N * SEGMENT]), Assembler::new());
    group.bench_function("pairs_0_held/smoltcp", |b| {
        b.iter(|| {
            for _ in 0..N / 2 {
                assert_eq!(ring.write_unallocated(SEGMENT, black_box(&payload)), SEGMENT);
                assert!(assembler.add(SEGMENT, SEGMENT).is_ok());
                assert_eq!(ring.write_unallocated(0, black_box(&payload)), SEGMENT);
                assert_eq!(assembler.add_then_remove_front(0, SEGMENT), Ok(2 * SEGMENT));
                ring.enqueue_unallocated(2 * SEGMENT);
                let first = black_box(ring.dequeue_many(2 * SEGMENT)).len();
                black_box(ring.dequeue_many(2 * SEGMENT - first));
            }
        });
    });
}

fn out_of_order(c: &mut Criterion) {
    let mut group = c.benchmark_group("out_of_order_1448");
    group.throughput(Throughput::Elements(N as u64));
    let (g, mut s) = (&mut group, Flat::new(vec![1_u8; 16 << 20]));
    segments(g, &mut s, "in_order", (0, false), || Overlap::First);
    segments(g, &mut s, "in_order_32_held", (32, false), || Overlap::First);
    segments(g, &mut s, "pairs_32_held/first", (32, true), || Overlap::First);
    segments(g, &mut s, "pairs_32_held/bsd", (32, true), || BySystem::<64>::new(System::Bsd));
    segments(g, &mut s, "pairs_32_held/linux", (32, true), Linux::<64>::new);
    segments(g, &mut s, "pairs_0_held/first", (0, true), || Overlap::First);
    smoltcp_pairs(g);
    group.finish();
}

/// Octets that touch nothing, each a range of its own, up to `HELD` of them.
fn isolated<const HELD: usize>(c: &mut Criterion) {
    // The list is a large value; it gets to the heap over a stack that has room for it.
    let large = std::thread::Builder::new().stack_size(128 << 20);
    let Ok(list) = large.spawn(|| Box::new(FragList::<HELD>::new())) else { return };
    let Ok(mut frags) = list.join() else { return };
    let mut store = Flat::new(vec![1_u8; 4 * HELD]);
    let mut group = c.benchmark_group("isolated_octets");
    group.throughput(Throughput::Elements(HELD as u64));
    group.sample_size(20);
    let mut run = |name: &str, place: fn(usize) -> usize| {
        group.bench_function(BenchmarkId::new(name, HELD), |b| {
            b.iter(|| {
                frags.clear();
                let mut window = Window::new(4 * HELD as u32);
                for i in 0..HELD {
                    let at = Offset(2 * place(i) as u64 + 1);
                    let done = window.write(&mut frags, &mut store, Overlap::First, at, black_box(b"x"));
                    assert_eq!(done.fresh, 1);
                }
            });
        });
    };
    run("window", |i| i);
    run("window_downwards", |i| HELD - 1 - i);
    group.bench_function(BenchmarkId::new("btreemap", HELD), |b| {
        b.iter(|| {
            let mut ranges = BTreeMap::new();
            for i in 0..HELD as u64 {
                ranges.insert(black_box(2 * i + 1), 2 * i + 2);
            }
            ranges
        });
    });
    group.finish();
}

criterion_group!(
    benches,
    in_order,
    out_of_order,
    isolated::<1024>,
    isolated::<{ 32 << 10 }>,
    isolated::<{ 1 << 20 }>
);
criterion_main!(benches);
