//! Lookups in the flow table, at random among all connections, beside hashbrown with its fast default hasher.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hashbrown::HashMap;
use mos_flow::memory::{Heap, Reserved};
use mos_flow::table::{Bucket, Table};
use std::hint::black_box;

/// Lookups in one iteration.
const N: u64 = 4096;

/// A key as wide as a flow's.
type Key = [u64; 5];

fn key(n: u64) -> Key {
    [n, n.rotate_left(17), 0xffff_0000, n ^ 0x1234, 80]
}

fn hash(key: &Key) -> u64 {
    const FACTORS: [u128; 5] = [
        0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835,
        0x2545_f491_4f6c_dd1d_bf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb_85eb_ca6b_c2b2_ae35,
        0x27d4_eb2f_1656_67c5_1656_67b1_9e37_79f9,
        0xd6e8_feb8_6659_fd93_cff8_d1ac_9e37_79b1,
    ];
    let sum =
        key.iter().zip(FACTORS).fold(7_u128, |h, (w, f)| h.wrapping_add(f.wrapping_mul(u128::from(*w))));
    (sum >> 64) as u64
}

fn lookups(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(N));
    for flows in [10_000_u32, 1_000_000] {
        let keys: Vec<Key> = (0..flows).map(|n| key(n.into())).collect();
        let mut table =
            Table::<Heap>::new(Reserved::filled(Bucket::EMPTY, Table::<Heap>::buckets_for(keys.len())));
        for (n, key) in (0..).zip(&keys) {
            table.insert(hash(key), n).unwrap_or_else(|e| unreachable!("{e} at {n} of {flows}"));
        }
        let map: HashMap<Key, u32> = keys.iter().copied().zip(0..).collect();
        let mut state = 1_u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            key((state >> 33) % u64::from(flows))
        };
        group.bench_function(BenchmarkId::new("table", flows), |b| {
            b.iter(|| {
                for _ in 0..N {
                    let key = next();
                    let found = table.find(hash(&key), |i| keys[i as usize] == key);
                    assert!(black_box(found).is_some());
                }
            });
        });
        // Bursts of 32, as the engine looks up: all buckets are asked for, then all records.
        group.bench_function(BenchmarkId::new("table_burst_32", flows), |b| {
            b.iter(|| {
                for _ in 0..N / 32 {
                    let burst: [(Key, u64); 32] = std::array::from_fn(|_| {
                        let key = next();
                        (key, hash(&key))
                    });
                    burst.iter().for_each(|(_, h)| table.prefetch(*h));
                    for (_, h) in &burst {
                        if let Some(i) = table.candidate(*h) {
                            ringbuf_core::hint::prefetch(&keys[i as usize]);
                        }
                    }
                    for (key, h) in &burst {
                        let found = table.find(*h, |i| keys[i as usize] == *key);
                        assert!(black_box(found).is_some());
                    }
                }
            });
        });
        group.bench_function(BenchmarkId::new("hashbrown", flows), |b| {
            b.iter(|| {
                for _ in 0..N {
                    assert!(black_box(map.get(&next())).is_some());
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
