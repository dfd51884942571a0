//! What attacks on memory and time come to: cost per packet from the first packets to the last, resident memory beside
//! the engine's cap, what happens to connections in use, and that every loss is counted.
//!
//! `attacks` runs them one by one, each in a process of its own, and prints a table; `attacks quick` runs a tenth of
//! each. Whatever must hold whatever the machine (memory, counts, connections in use) ends the run when it does not; times
//! are only shown.

use benches::crowd::{Crowd, Octets, resident};
use mos_flow::engine::{Arrays, BURST};
use mos_flow::key::{FlowKey, KeyHasher};
use mos_flow::memory::Heap;
use mos_flow::table::Table;
use mos_flow::testing::Exchange;
use mos_flow::wire::parse;
use mos_flow::{Config, Context, DropReason, Engine, Event, Frame, Hook, LinkType, Side, Sides, SocketKind};
use std::process::{Command, ExitCode};
use std::time::Instant as Clock;
use tcp_reasm::Flags;

type Attack = fn(u32) -> Outcome;

const ATTACKS: &[(&str, Attack)] = &[
    ("SYN flood, 10,000,000 tuples", |scale| syn_flood(10_000_000 / scale)),
    ("tuples that collide under another key, 100,000", |scale| collisions(100_000 / scale, OTHER_SEED)),
    ("tuples that collide under the key itself, 100,000", |scale| collisions(100_000 / scale, SEED)),
    ("isolated octets on one connection, 1,000,000", |scale| isolated_octets(1_000_000 / scale)),
    ("fragments that are never complete, 1,000,000", |scale| lone_fragments(1_000_000 / scale)),
    ("connections with octets behind holes, 200,000", |scale| hoarders(200_000 / scale)),
];

const SEED: [u8; 16] = [7; 16];
const OTHER_SEED: [u8; 16] = [8; 16];
/// Connections in use while the attack goes on.
const IN_USE: u32 = 1000;

/// What an attack came to.
struct Outcome {
    /// Nanoseconds a packet in the first tenth and in the last.
    first: f64,
    last: f64,
    /// Of ordinary packets in the same engine's place, where it is a matter of comparison.
    ordinary: Option<f64>,
    /// Resident octets that the engine took, and all that it may.
    resident: u64,
    cap: u64,
    /// What became of the attack's packets.
    counted: String,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments.get(at).and_then(|a| a.parse::<u32>().ok());
    if let (Some(which), Some(scale)) = (number(0), number(1)) {
        let (name, attack) = ATTACKS[which as usize];
        print(name, &attack(scale));
        return ExitCode::SUCCESS;
    }
    let scale = if arguments.first().is_some_and(|a| a == "quick") { "10" } else { "1" };
    println!(
        "| attack | ns a packet, at first | at the end | ordinary | resident MiB, cap | what became of it |"
    );
    println!("|---|--:|--:|--:|--:|---|");
    let own = std::env::current_exe().unwrap_or_else(|e| unreachable!("{e}"));
    for (which, (name, _)) in ATTACKS.iter().enumerate() {
        let status = Command::new(&own).args([&which.to_string(), scale]).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("{name}: FAILED");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn print(name: &str, o: &Outcome) {
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    let ordinary = o.ordinary.map_or(String::from("–"), |ns| format!("{ns:.0}"));
    println!(
        "| {name} | {:.0} | {:.0} | {ordinary} | {:.0}, {:.0} | {} |",
        o.first,
        o.last,
        mib(o.resident),
        mib(o.cap),
        o.counted
    );
    assert!(o.resident as f64 <= o.cap as f64 * 1.05, "{name}: resident memory is beyond the cap");
}

/// An engine, and what it may take.
fn engine(config: &Config) -> (Engine<u64>, u64) {
    let cap = Arrays::<u64, Heap>::footprint(config).unwrap_or(usize::MAX) as u64;
    let mut engine = Engine::new(config.clone()).unwrap_or_else(|e| unreachable!("{e}"));
    let socket = engine.open(SocketKind::Stream).unwrap_or_else(|e| unreachable!("{e}"));
    let registered = engine.register(socket, Event::NewData, Hook::None, read, 0);
    registered.unwrap_or_else(|e| unreachable!("{e}"));
    (engine, cap)
}

/// Counts the octets of connections in use, which go to port 80.
fn read(ctx: &mut Context<'_, u64>) {
    let Some(side) = ctx.side() else { return };
    if let Ok((octets, mut monitor)) = ctx.split() {
        let _ = monitor.read_with(side, |_, data| *octets += data.len() as u64);
    }
}

fn config(flows: usize) -> Config {
    Config {
        max_flows: flows,
        max_sockets: flows + 1,
        max_buffers: 1 << 14,
        chunks: 1 << 14,
        verify_checksums: false,
        hash_seed: SEED,
        ..Config::default()
    }
}

/// Times `count` packets, made a batch at a time: nanoseconds a packet, the median batch of the first tenth and of the last.
fn attack(
    engine: &mut Engine<u64>,
    octets: &mut u64,
    crowd: &mut Crowd,
    count: u32,
    mut frame: impl FnMut(&mut Crowd, u32) -> Octets,
) -> (f64, f64) {
    let batch = (count / 100).clamp(1, 1 << 15);
    let mut times = Vec::new();
    let mut frames: Vec<Octets> = Vec::with_capacity(batch as usize);
    for first in (0..count).step_by(batch as usize) {
        frames.clear();
        frames.extend((first..count.min(first + batch)).map(|n| frame(crowd, n)));
        let start = Clock::now();
        crowd.play(engine, octets, &frames, BURST);
        times.push(start.elapsed().as_secs_f64() * 1e9 / frames.len() as f64);
    }
    first_and_last(&times)
}

/// The median of the first tenth and of the last.
fn first_and_last(times: &[f64]) -> (f64, f64) {
    let some = (times.len() / 10).max(1);
    let median = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_unstable_by(f64::total_cmp);
        times[times.len() / 2]
    };
    (median(&times[..some]), median(&times[times.len() - some..]))
}

/// Opens the connections in use.
fn begin(engine: &mut Engine<u64>, octets: &mut u64, crowd: &mut Crowd) {
    let frames: Vec<Octets> = (0..IN_USE).flat_map(|n| crowd.handshake(n)).collect();
    crowd.play(engine, octets, &frames, BURST);
    go_on(engine, octets, crowd);
}

/// One more segment of each connection in use; each is read.
fn go_on(engine: &mut Engine<u64>, octets: &mut u64, crowd: &mut Crowd) {
    let before = *octets;
    let frames: Vec<Octets> = (0..IN_USE).map(|n| crowd.data(n)).collect();
    crowd.play(engine, octets, &frames, BURST);
    assert_eq!(*octets - before, u64::from(IN_USE) * 6, "every connection in use goes on, and is read");
}

fn syn_flood(count: u32) -> Outcome {
    let mut crowd = Crowd::new(IN_USE as usize);
    let (before, mut octets) = (resident(), 0);
    let config = config(1 << 20);
    let (mut engine, cap) = engine(&config);
    begin(&mut engine, &mut octets, &mut crowd);
    let (first, last) = attack(&mut engine, &mut octets, &mut crowd, count, |crowd, n| {
        let [syn, ..] = crowd.handshake(IN_USE + n);
        syn
    });
    go_on(&mut engine, &mut octets, &mut crowd);
    let stats = engine.stats();
    let left = engine.flow_count() as u64 - u64::from(IN_USE);
    assert_eq!(stats.evicted_embryonic + left, count.into(), "every SYN is counted");
    let counted = format!("{} gave way to newer ones, {left} wait", stats.evicted_embryonic);
    Outcome { first, last, ordinary: None, resident: resident() - before, cap, counted }
}

/// Tuples whose keys lie in one bucket when the hash has `seed`, against an engine with [`SEED`].
fn collisions(count: u32, seed: [u8; 16]) -> Outcome {
    let flows = 1 << 14;
    let mut crowd = Crowd::new(IN_USE as usize);
    let buckets = Table::<Heap>::buckets_for(flows) as u64;
    let hasher = KeyHasher::new(seed);
    let bucket = |frame: &Octets| {
        let packet = parse(LinkType::Ethernet, frame).unwrap_or_else(|e| unreachable!("{e}"));
        ((hasher.hash(&FlowKey::of_packet(frame, &packet).0) >> 32) * buckets) >> 32
    };
    let mut colliding = Vec::new();
    let mut n = IN_USE;
    while colliding.len() < count as usize {
        let [syn, ..] = crowd.handshake(n);
        if bucket(&syn) == 5 {
            colliding.push(syn);
        }
        n += 1;
    }
    let (before, mut octets) = (resident(), 0);
    // Beside it the same number of tuples as they come, in an engine of its own.
    let ordinary = {
        let (mut engine, _) = engine(&config(flows));
        begin(&mut engine, &mut octets, &mut crowd);
        attack(&mut engine, &mut octets, &mut crowd, count, |crowd, n| {
            let [syn, ..] = crowd.handshake(IN_USE + n);
            syn
        })
        .1
    };
    let mut crowd = Crowd::new(IN_USE as usize);
    let (mut engine, cap) = engine(&config(flows));
    begin(&mut engine, &mut octets, &mut crowd);
    let (first, last) = attack(&mut engine, &mut octets, &mut crowd, count, |_, n| colliding[n as usize]);
    go_on(&mut engine, &mut octets, &mut crowd);
    let stats = engine.stats();
    let (refused, left) =
        (stats.drops[DropReason::TableFull], engine.flow_count() as u64 - u64::from(IN_USE));
    let evicted = stats.evicted_embryonic + stats.evicted_idle;
    assert_eq!(evicted + left + refused, count.into(), "every SYN is counted");
    let counted = format!("{left} wait, {evicted} gave way, {refused} found no place");
    Outcome { first, last, ordinary: Some(ordinary), resident: resident() - before, cap: 2 * cap, counted }
}

/// Segments of one octet that touch no other, on one connection.
fn isolated_octets(count: u32) -> Outcome {
    let mut crowd = Crowd::new(IN_USE as usize);
    let (before, mut octets) = (resident(), 0);
    let (mut engine, cap) = engine(&Config { ring_octets: 1 << 20, ..config(1 << 14) });
    begin(&mut engine, &mut octets, &mut crowd);
    let (client, server) = (([10, 9, 9, 9], 1000).into(), ([192, 0, 2, 1], 80).into());
    let mut x = Exchange::new(client, server, Sides::default());
    let now = engine.now();
    for frame in x.handshake() {
        engine.process_burst(&mut [Frame::ethernet(now, &frame)], &mut octets);
    }
    let _hole = x.data(Side::Client, &[0; 10]);
    let base = x.seq(Side::Client);
    // Round and round in the receiver's window.
    let place = |n: u32| base.wrapping_add(2 * (n % 32_000));
    let mut segment = |n: u32| x.segment_at(Side::Client, place(n), 1, Flags::ACK, &[1]);
    let mut times = Vec::new();
    let batch = (count / 100).max(1);
    for first in (0..count).step_by(batch as usize) {
        let frames: Vec<Vec<u8>> = (first..count.min(first + batch)).map(&mut segment).collect();
        let start = Clock::now();
        for part in frames.chunks(BURST) {
            let mut burst: Vec<Frame<'_>> = part.iter().map(|f| Frame::ethernet(now, f)).collect();
            engine.process_burst(&mut burst, &mut octets);
        }
        times.push(start.elapsed().as_secs_f64() * 1e9 / frames.len() as f64);
    }
    go_on(&mut engine, &mut octets, &mut crowd);
    let stats = engine.stats();
    let held = stats.stream_octets - octets;
    let again = stats.retransmitted_octets;
    assert_eq!(held + again + stats.refused_octets, count.into(), "every octet is held or counted");
    let counted = format!("{held} held, {again} came again, {} refused", stats.refused_octets);
    let (first, last) = first_and_last(&times);
    Outcome { first, last, ordinary: None, resident: resident() - before, cap, counted }
}

/// First fragments of datagrams whose others never come.
fn lone_fragments(count: u32) -> Outcome {
    let mut crowd = Crowd::new(IN_USE as usize);
    let (before, mut octets) = (resident(), 0);
    let (mut engine, cap) = engine(&config(1 << 14));
    begin(&mut engine, &mut octets, &mut crowd);
    let (first, last) = attack(&mut engine, &mut octets, &mut crowd, count, |crowd, n| {
        let mut frame = crowd.data(n % IN_USE);
        // More fragments follow; 65,536 identifications for each source.
        frame[18..20].copy_from_slice(&(n as u16).to_be_bytes());
        frame[20] = 0x20;
        frame[26..30].copy_from_slice(&(0x0b00_0000 + (n >> 16)).to_be_bytes());
        frame
    });
    let mut fresh = Crowd::new(IN_USE as usize);
    let frames: Vec<Octets> = (0..IN_USE).flat_map(|n| fresh.handshake(2 * IN_USE + n)).collect();
    fresh.play(&mut engine, &mut octets, &frames, BURST);
    let (f, flows) = (engine.stats().fragments, engine.flow_count() as u32);
    assert_eq!(flows, 2 * IN_USE, "connections begin as before");
    assert_eq!(f.fragments, count.into());
    assert_eq!(f.fragments, f.held + f.complete + f.dropped.total(), "every fragment is counted");
    let waiting = f.opened - f.completed - f.killed - f.evicted - f.timed_out;
    let counted = format!("{} datagrams gave way, {} timed out, {waiting} wait", f.evicted, f.timed_out);
    Outcome { first, last, ordinary: None, resident: resident() - before, cap, counted }
}

/// Connections that hold octets behind a hole each, until there is no memory and long after.
fn hoarders(count: u32) -> Outcome {
    let mut crowd = Crowd::new((IN_USE + count) as usize);
    let (before, mut octets) = (resident(), 0);
    let (mut engine, cap) = engine(&config(1 << 18));
    begin(&mut engine, &mut octets, &mut crowd);
    let frames: Vec<Octets> = (0..count).flat_map(|n| crowd.handshake(IN_USE + n)).collect();
    crowd.play(&mut engine, &mut octets, &frames, BURST);
    drop(frames);
    let (first, last) = attack(&mut engine, &mut octets, &mut crowd, count, |crowd, n| {
        let _hole = crowd.data(IN_USE + n);
        crowd.data(IN_USE + n)
    });
    for _ in 0..10 {
        go_on(&mut engine, &mut octets, &mut crowd);
    }
    let stats = engine.stats();
    let held = stats.stream_octets - octets - stats.shed_octets;
    assert_eq!(
        held + stats.shed_octets + stats.refused_octets,
        u64::from(count) * 6,
        "every octet is counted"
    );
    assert!(held < u64::from(count) * 6, "there is not memory for all");
    let counted = format!(
        "{held} octets held, {} gave way, {} refused, with memory for {} streams",
        stats.shed_octets,
        stats.refused_octets,
        engine.chunks().1
    );
    Outcome { first, last, ordinary: None, resident: resident() - before, cap, counted }
}
