//! Octets through the ring: written in order and read by slice, beside a plain copy and smoltcp's assembler with its
//! ring buffer.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringbuf_core::chunk::{ChunkMap, ChunkPool, Chunked};
use ringbuf_core::store::Flat;
use ringbuf_core::{FragList, Next, Offset, Overlap, Ring, Store, Window};
use smoltcp::storage::{Assembler, RingBuffer};
use std::hint::black_box;

const SEGMENT: usize = 1448;
const RING: usize = 64 << 10;
/// Segments in one iteration.
const N: usize = 1024;

/// The whole ring's worth of octets is far from the cache of one segment, so that destinations are cold for all.
fn in_order(c: &mut Criterion) {
    let payload = [0x5a_u8; SEGMENT];
    let mut group = c.benchmark_group("in_order_1448");
    group.throughput(Throughput::Bytes((N * SEGMENT) as u64));
    group.bench_function("memcpy", |b| {
        let mut ring = vec![0_u8; RING];
        b.iter(|| {
            for i in 0..N {
                let at = i * SEGMENT % (RING - SEGMENT);
                ring[at..at + SEGMENT].copy_from_slice(black_box(&payload));
                black_box(&ring[at..at + SEGMENT]);
            }
        });
    });
    group.bench_function("ring", |b| {
        let mut ring = Ring::<_, 32>::new(vec![0_u8; RING]);
        b.iter(|| {
            for _ in 0..N {
                let at = ring.window().next();
                assert_eq!(ring.write(at, black_box(&payload)).advanced, SEGMENT as u64);
                let Next::Data(range) = ring.window().next_for(&FragList::<0>::new(), at) else { return };
                black_box(ring.slices(range));
            }
        });
    });
    group.bench_function("chunks", |b| {
        let (mut pool, mut map) = (ChunkPool::with_chunks(RING / 2048 + 8), ChunkMap::new());
        let (mut window, mut frags) = (Window::new(RING as u32), FragList::<32>::new());
        b.iter(|| {
            let mut store = Chunked { pool: &mut pool, map: &mut map };
            for _ in 0..N {
                let at = window.next();
                let done = window.write(&mut frags, &mut store, Overlap::First, at, black_box(&payload));
                assert_eq!(done.advanced, SEGMENT as u64);
                black_box(store.piece(ringbuf_core::Range::at(at, SEGMENT as u64)));
            }
        });
    });
    group.bench_function("smoltcp", |b| {
        let (mut ring, mut assembler) = (RingBuffer::new(vec![0_u8; RING]), Assembler::new());
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
    group.finish();
}

/// Pairs of segments in the wrong order, with 16 other ranges held above them.
fn out_of_order(c: &mut Criterion) {
    let payload = [0x5a_u8; SEGMENT];
    let mut group = c.benchmark_group("swapped_pairs_16_held");
    group.throughput(Throughput::Bytes((N * SEGMENT) as u64));
    group.bench_function("ring", |b| {
        b.iter_batched(
            || {
                let mut window = Window::new(16 << 20);
                let (mut frags, mut store) = (FragList::<32>::new(), Flat::new(vec![0_u8; 16 << 20]));
                for i in 0..16 {
                    let far = Offset((N * SEGMENT + 10_000 * (i + 1)) as u64);
                    let _ = window.write(&mut frags, &mut store, Overlap::First, far, b"far");
                }
                (window, frags, store)
            },
            |(mut window, mut frags, mut store)| {
                for _ in 0..N / 2 {
                    let at = window.next();
                    let second = at.saturating_add(SEGMENT as u64);
                    let _ = window.write(&mut frags, &mut store, Overlap::First, second, black_box(&payload));
                    let _ = window.write(&mut frags, &mut store, Overlap::First, at, black_box(&payload));
                }
                assert_eq!(window.next(), Offset((N * SEGMENT) as u64));
                store
            },
            criterion::BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, in_order, out_of_order);
criterion_main!(benches);
