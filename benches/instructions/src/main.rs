//! Instructions by path, counted by valgrind: the same from run to run, so that a regression shows that time would hide.
//!
//! Without arguments each path of `benches/instructions/budgets.txt` is counted and compared with its budget; the exit status
//! is 1 when one is exceeded. `instructions PATH COUNT` runs a path that often, for a look with callgrind.

mod engine;

use engine::Reader;
use ringbuf_core::chunk::{ChunkMap, ChunkPool, Chunked};
use ringbuf_core::overlap::{BySystem, Linux, Resolve, System};
use ringbuf_core::store::Flat;
use ringbuf_core::{FragList, Offset, Overlap, Range, Ring, Store, Window};
use std::hint::black_box;
use std::process::{Command, ExitCode};
use tcp_reasm::options::{Options, Timestamps};
use tcp_reasm::{Buffer, Conn, Flags, NO_BUFFER, PackedConn, Segment, Side};

const BUDGETS: &str = include_str!("../budgets.txt");
const SEGMENT: usize = 1448;
const PAYLOAD: [u8; SEGMENT] = [0x5a; SEGMENT];
const RING: usize = 1 << 20;
/// Each path is run this often, and twice as often; the difference is free of what starting costs.
const COUNT: u64 = 2000;

type Path = fn(u64);

const PATHS: &[(&str, Path)] = &[
    ("in_order_flat", in_order_flat),
    ("in_order_chunks", in_order_chunks),
    ("pairs_32_held_first", |count| pairs(count, Overlap::First)),
    ("pairs_32_held_bsd", |count| pairs(count, BySystem::<64>::new(System::Bsd))),
    ("pairs_32_held_linux", |count| pairs(count, Linux::<64>::new())),
    ("overlapping_first", |count| overlapping(count, Overlap::First)),
    ("overlapping_linux", |count| overlapping(count, Linux::<64>::new())),
    ("isolated_octets", isolated),
    ("tcp_in_order", tcp_in_order),
    ("tcp_pure_ack", tcp_pure_ack),
    ("tcp_handshake", tcp_handshake),
    ("tcp_pack", tcp_pack),
    ("engine_ack", |count| engine::segments(count, 1, 0, Reader::None)),
    ("engine_flows", |count| engine::segments(count, 1, SEGMENT, Reader::None)),
    ("engine_flows_many", |count| engine::many(count, 6, Reader::None)),
    ("engine_ring", |count| engine::segments(count, 1, SEGMENT, Reader::Ring)),
    ("engine_ring_many", |count| engine::many(count, 6, Reader::Ring)),
    ("engine_packet", |count| engine::segments(count, 1, SEGMENT, Reader::Packet)),
    ("engine_packet_many", |count| engine::many(count, 6, Reader::Packet)),
    ("engine_reordered", |count| engine::reordered(count, &PAYLOAD, Reader::None)),
    ("engine_reordered_packet", |count| engine::reordered(count, &PAYLOAD, Reader::Packet)),
    ("engine_hole", |count| engine::holes(count, &PAYLOAD)),
    ("engine_connection", |count| engine::connections(count, Reader::Ring)),
    ("engine_connection_flows", |count| engine::connections(count, Reader::None)),
    ("engine_short", engine::short),
];

/// Written in order and read by slice.
fn in_order_flat(count: u64) {
    let mut ring = Ring::<_, 32>::new(vec![0_u8; RING]);
    for _ in 0..count {
        let at = ring.window().next();
        let _ = black_box(ring.write(at, black_box(&PAYLOAD)));
        black_box(ring.slices(Range::at(at, SEGMENT as u64)));
    }
}

fn in_order_chunks(count: u64) {
    let (mut pool, mut map) = (ChunkPool::with_chunks(RING / 2048 + 300), ChunkMap::new());
    let (mut window, mut frags) = (Window::new(RING as u32), FragList::<32>::new());
    let mut store = Chunked { pool: &mut pool, map: &mut map };
    for _ in 0..count {
        let at = window.next();
        let _ = black_box(window.write(&mut frags, &mut store, Overlap::First, at, black_box(&PAYLOAD)));
        black_box(store.piece(Range::at(at, SEGMENT as u64)));
    }
}

/// A window with 32 ranges far ahead.
fn with_held() -> (Window, FragList<64>) {
    let mut frags = FragList::new();
    for i in 0..32 {
        let _ = frags.insert(Range::at(Offset((1 << 31) + 10_000 * i), 3));
    }
    (Window::new(u32::MAX), frags)
}

/// Every two segments in the wrong order.
fn pairs(count: u64, mut policy: impl Resolve) {
    let ((mut window, mut frags), mut store) = (with_held(), Flat::new(vec![0_u8; RING]));
    for n in 0..count {
        let at = Offset((n ^ 1) * SEGMENT as u64);
        let _ = black_box(window.write(&mut frags, &mut store, &mut policy, at, black_box(&PAYLOAD)));
    }
}

/// A hole, and behind it segments of which each overlaps the one before by half.
fn overlapping(count: u64, mut policy: impl Resolve) {
    let (mut window, mut frags) = (Window::new(RING as u32), FragList::<64>::new());
    let mut store = Flat::new(vec![0_u8; RING]);
    let half = SEGMENT as u64 / 2;
    for n in 0..count {
        // After 32 of them the hole is filled, and another one left.
        let at = match n % 33 {
            0 => window.next(),
            i => window.next().saturating_add(half * i),
        };
        let _ = black_box(window.write(&mut frags, &mut store, &mut policy, at, black_box(&PAYLOAD)));
    }
}

/// Octets that touch nothing, 1,000 before the list is emptied.
fn isolated(count: u64) {
    let (mut frags, mut store) = (FragList::<1000>::new(), Flat::new(vec![0_u8; RING]));
    let mut window = Window::new(RING as u32);
    for n in 0..count {
        if n % 1000 == 0 {
            frags.clear();
            window = Window::new(RING as u32);
        }
        let at = Offset(2 * (n % 1000) + 1);
        let _ = black_box(window.write(&mut frags, &mut store, Overlap::First, at, black_box(b"x")));
    }
}

/// A connection, and memory for what the server receives.
struct Link {
    conn: Conn,
    frags: FragList<32>,
    store: Flat<Vec<u8>>,
}

impl Link {
    fn new() -> Self {
        let store = Flat::new(vec![0; RING]);
        Link { conn: Conn::new(Window::new(RING as u32)), frags: FragList::new(), store }
    }

    fn established() -> Self {
        let mut link = Link::new();
        link.handshake();
        link
    }

    /// All four steps, as an engine takes them.
    fn play(&mut self, from: Side, segment: &Segment<'_>) {
        assert!(black_box(self.conn.judge(from, segment)).is_accept());
        let _ = black_box(self.conn.sent(from, segment));
        if from == Side::Server {
            let nowhere = None::<(&FragList<0>, &Flat<[u8; 0]>)>;
            let _ = black_box(self.conn.arriving(!from, segment, nowhere));
            let _ = black_box(self.conn.received(!from, segment, NO_BUFFER));
            return;
        }
        let _ = black_box(self.conn.arriving(!from, segment, Some((&self.frags, &self.store))));
        let buffer = Buffer { frags: &mut self.frags, store: &mut self.store, policy: Overlap::First };
        let _ = black_box(self.conn.received(!from, segment, Some(buffer)));
    }

    fn handshake(&mut self) {
        self.play(Side::Client, &segment(0, 0, Flags::SYN, &[]));
        self.play(Side::Server, &segment(0, 1, Flags::SYN | Flags::ACK, &[]));
        self.play(Side::Client, &segment(1, 1, Flags::ACK, &[]));
    }
}

/// With timestamps, as most have them.
fn segment(seq: u32, ack: u32, flags: Flags, payload: &[u8]) -> Segment<'_> {
    let timestamps = Some(Timestamps { value: seq, echo: 0 });
    let options =
        Options { timestamps, window_scale: flags.has(Flags::SYN).then_some(7), ..Options::default() };
    Segment { options, ..Segment::build(seq, ack, flags, payload) }
}

/// Full segments in order. The ACKs between them are part of it, one for every 32.
fn tcp_in_order(count: u64) {
    let mut link = Link::established();
    for n in 0..count {
        let seq = (1 + n * SEGMENT as u64) as u32;
        link.play(Side::Client, black_box(&segment(seq, 1, Flags::ACK, &PAYLOAD)));
        if n % 32 == 31 {
            link.play(Side::Server, &segment(1, seq + SEGMENT as u32, Flags::ACK, &[]));
        }
    }
}

/// ACKs that acknowledge nothing new.
fn tcp_pure_ack(count: u64) {
    let mut link = Link::established();
    for _ in 0..count {
        link.play(Side::Client, black_box(&segment(1, 1, Flags::ACK, &[])));
    }
}

/// A connection from nothing to ESTABLISHED, three segments; its memory is made once.
fn tcp_handshake(count: u64) {
    let mut link = Link::new();
    for _ in 0..count {
        link.conn = Conn::new(Window::new(RING as u32));
        link.handshake();
    }
}

/// An established connection put into its short form, and made again.
fn tcp_pack(count: u64) {
    let (conn, window) = (Link::established().conn, Window::new(RING as u32));
    for _ in 0..count {
        let packed = PackedConn::pack(black_box(&conn), black_box(&window));
        if let Some(packed) = black_box(&packed) {
            black_box(&packed.unpack(black_box(&window)));
        }
    }
}

/// Instructions of one run of this program.
fn count(path: &str, count: u64) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    if path.starts_with("engine_") {
        valgrind.args(["--collect-atstart=no", "--toggle-collect=counted"]);
    }
    valgrind.arg(program);
    let output = valgrind.arg(path).arg(count.to_string()).output().map_err(|e| format!("valgrind: {e}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{path} does not do what it counts:\n{told}"));
    }
    let collected = told.lines().find_map(|line| line.split_once("Collected :")).map(|(_, n)| n.trim());
    // None at all would keep every budget.
    let count = collected.and_then(|n| n.parse().ok()).filter(|count| *count > 0);
    count.ok_or_else(|| format!("valgrind tells no count:\n{told}"))
}

/// Counts every path with a budget; returns whether all kept theirs.
fn compare() -> Result<bool, String> {
    let mut all_kept = true;
    println!("{:<22} {:>12} {:>8}", "path", "instructions", "budget");
    let lines = BUDGETS.lines().filter(|line| !line.starts_with('#'));
    for (name, budget) in lines.filter_map(|line| line.split_once(' ')) {
        let budget: u64 = budget.trim().parse().map_err(|_| format!("{name}: {budget} is no number"))?;
        let each = (count(name, 2 * COUNT)? - count(name, COUNT)?) / COUNT;
        let kept = each <= budget;
        println!("{name:<22} {each:>12} {budget:>8}{}", if kept { "" } else { "  EXCEEDED" });
        all_kept &= kept;
    }
    Ok(all_kept)
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.as_slice() {
        [] => compare(),
        [name, count] => match (PATHS.iter().find(|(n, _)| n == name), count.parse()) {
            (Some((_, path)), Ok(count)) => {
                path(count);
                Ok(true)
            }
            _ => Err(format!("no path {name}, or {count} is no number")),
        },
        _ => Err("usage: instructions [PATH COUNT]".to_owned()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("instructions: {sentence}");
            ExitCode::from(2)
        }
    }
}
