//! What a packet costs, and what a connection costs, from a thousand connections to ten million.
//!
//! `scale` runs each size in a process of its own and prints a table; `scale FLOWS` runs one size and prints its row.
//! `scale quick` leaves out the two largest, for a machine without 5 GB to spare. The processes ask for huge pages, as large
//! tables should: looking up the addresses of small ones costs as much as the memory itself. `scale small-pages` does not ask.

use benches::crowd::{Crowd, Octets, engine, resident};
use hashbrown::HashMap;
use mos_flow::engine::BURST;
use mos_flow::memory::{Heap, Reserved};
use mos_flow::table::{Bucket, Table};
use mos_flow::testing::traffic::Numbers;
use ringbuf_core::hint;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

const SIZES: [u32; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// Packets, or lookups, in a round.
const ROUND: usize = 1 << 15;
const ROUNDS: usize = 31;

const HEAD: &str = "\
| connections | lookup: table, bursts | table, one by one | hashbrown | packet: bursts | one by one | handshake and close, thousand a second | octets a connection | resident MiB |
|--:|--:|--:|--:|--:|--:|--:|--:|--:|";

fn main() -> ExitCode {
    let argument = std::env::args().nth(1).unwrap_or_default();
    if let Ok(flows) = argument.parse() {
        println!("{}", row(flows));
        return ExitCode::SUCCESS;
    }
    let sizes = if argument == "quick" { &SIZES[..3] } else { &SIZES[..] };
    println!("{HEAD}");
    let own = std::env::current_exe().unwrap_or_else(|e| unreachable!("{e}"));
    for size in sizes {
        let mut process = Command::new(&own);
        process.arg(size.to_string());
        if argument != "small-pages" {
            process.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");
        }
        match process.status() {
            Ok(status) if status.success() => {}
            other => {
                eprintln!("{size} connections: {other:?}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// One line of the table.
fn row(flows: u32) -> String {
    let packets = packets(flows);
    let [burst, single, map] = lookups(flows);
    format!(
        "| {flows} | {burst:.0} | {single:.0} | {map:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} |",
        packets.bursts,
        packets.single,
        packets.connections / 1e3,
        packets.octets / f64::from(flows),
        packets.octets / f64::from(1 << 20),
    )
}

struct Packets {
    /// Nanoseconds a packet.
    bursts: f64,
    single: f64,
    /// A second.
    connections: f64,
    /// Resident, of all connections together.
    octets: f64,
}

fn packets(flows: u32) -> Packets {
    let mut crowd = Crowd::new(flows as usize);
    let mut numbers = Numbers::new(0x2545_f491_4f6c_dd1d);
    let mut frames: Vec<Octets> = Vec::with_capacity(ROUND);
    let before = resident();
    let mut engine = engine(flows as usize);
    for first in (0..flows).step_by(ROUND / 3) {
        frames.clear();
        let last = flows.min(first.saturating_add((ROUND / 3) as u32));
        frames.extend((first..last).flat_map(|n| crowd.handshake(n)));
        crowd.play(&mut engine, &mut (), &frames, BURST);
    }
    let octets = resident().saturating_sub(before) as f64;
    assert_eq!(engine.flow_count(), flows as usize, "every connection is there");
    let [mut bursts, mut single] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        for (burst, times) in [(BURST, &mut bursts), (1, &mut single)] {
            frames.clear();
            for _ in 0..ROUND {
                frames.push(crowd.data(numbers.below(flows)));
            }
            let start = Instant::now();
            crowd.play(&mut engine, &mut (), &frames, burst);
            times.push(start.elapsed());
        }
    }
    let stats = engine.stats();
    assert_eq!((stats.drops.total(), stats.anomalies.total()), (0, 0), "every packet was taken");
    let connections = connections(&mut crowd, &mut engine, flows);
    Packets { bursts: each(&mut bursts), single: each(&mut single), connections, octets }
}

/// Connections that begin and end while the others stand, a second.
fn connections(crowd: &mut Crowd, engine: &mut mos_flow::Engine<()>, flows: u32) -> f64 {
    const EACH: u32 = 4096;
    // Their places: the first connections end now.
    let places = EACH.min(flows / 2);
    let mut frames: Vec<Octets> = (0..places).flat_map(|n| crowd.reset(n)).collect();
    crowd.play(engine, &mut (), &frames, BURST);
    assert_eq!(engine.flow_count(), (flows - places) as usize);
    let mut times = Vec::new();
    for round in 0..ROUNDS as u32 {
        frames.clear();
        for n in 0..EACH {
            let n = flows + round * EACH + n;
            frames.extend(crowd.handshake(n).into_iter().chain(crowd.close(n)));
        }
        let start = Instant::now();
        crowd.play(engine, &mut (), &frames, BURST);
        times.push(start.elapsed());
    }
    assert_eq!(engine.flow_count(), (flows - places) as usize, "each began and ended");
    let took = median(&mut times).as_secs_f64();
    f64::from(EACH) / took
}

/// A key as wide as a flow's.
type Key = [u64; 6];

fn key(n: u64) -> Key {
    [n, n.rotate_left(17), 0xffff_0000, n ^ 0x1234, 80, 0]
}

fn hash(key: &Key) -> u64 {
    const FACTORS: [u128; 6] = [
        0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835,
        0x2545_f491_4f6c_dd1d_bf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb_85eb_ca6b_c2b2_ae35,
        0x27d4_eb2f_1656_67c5_1656_67b1_9e37_79f9,
        0xd6e8_feb8_6659_fd93_cff8_d1ac_9e37_79b1,
        0x8ebc_6af0_9c88_c6e3_5896_5cc7_4cf5_ad43,
    ];
    let sum =
        key.iter().zip(FACTORS).fold(7_u128, |h, (w, f)| h.wrapping_add(f.wrapping_mul(u128::from(*w))));
    (sum >> 64) as u64
}

/// Nanoseconds a lookup: in the table by bursts and one by one, and in hashbrown with its fast default hasher.
fn lookups(flows: u32) -> [f64; 3] {
    let keys: Vec<Key> = (0..flows).map(|n| key(n.into())).collect();
    let buckets = Table::<Heap>::buckets_for(keys.len());
    let mut table = Table::<Heap>::new(Reserved::filled(Bucket::EMPTY, buckets));
    for (n, key) in (0..).zip(&keys) {
        table.insert(hash(key), n).unwrap_or_else(|e| unreachable!("{e} at {n} of {flows}"));
    }
    let map: HashMap<Key, u32> = keys.iter().copied().zip(0..).collect();
    let mut numbers = Numbers::new(0x9e37_79b9_7f4a_7c15);
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        let wanted: Vec<Key> = (0..ROUND).map(|_| key(numbers.below(flows).into())).collect();
        let found = |key: &Key, hash: u64| table.find(hash, |i| keys[i as usize] == *key).is_some();
        times[0].push(time(|| {
            wanted.chunks(BURST).all(|burst| {
                let hashes: [u64; BURST] = std::array::from_fn(|i| burst.get(i).map_or(0, hash));
                hashes.iter().for_each(|h| table.prefetch(*h));
                for index in hashes.iter().filter_map(|h| table.candidate(*h)) {
                    hint::prefetch(&keys[index as usize]);
                }
                burst.iter().zip(hashes).all(|(key, hash)| found(key, hash))
            })
        }));
        times[1].push(time(|| wanted.iter().all(|key| found(key, hash(key)))));
        times[2].push(time(|| wanted.iter().all(|key| map.contains_key(key))));
    }
    times.each_mut().map(|times| each(times))
}

fn time(all_found: impl FnOnce() -> bool) -> Duration {
    let start = Instant::now();
    assert!(black_box(all_found()));
    start.elapsed()
}

/// Nanoseconds for one of a round, by the median round.
fn each(times: &mut [Duration]) -> f64 {
    median(times).as_secs_f64() * 1e9 / ROUND as f64
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
