//! What the C interface costs: one monitor, in Rust and in C, over the same capture file, in turn. It counts packets at both
//! hooks and connections' beginnings and ends, and reads every octet by `peek`. Reading the file, which both do, is shown
//! alone. Times are those that the process has run.
//!
//! `skin` prints the table; `skin quick` runs a tenth of the packets twice, to see that it works.

use benches::{Kind, Traffic};
use mos_dpdk::capture::CaptureWriter;
use mos_dpdk::port::pcap::PcapSource;
use mos_dpdk::port::{Port, Received};
use mos_dpdk::{Links, Worker};
use mos_flow::{Config, Context, Engine, Event, Hook, Peek, SocketKind};
use std::error::Error;
use std::ffi::{CString, c_char, c_int};
use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The C interface, which the monitor in C is linked with.
use mos as _;

/// Packets of each capture.
const PACKETS: usize = 200_000;
const ROUNDS: usize = 15;
/// Streams at once, as the configuration says.
const MAX_CONCURRENCY: usize = 100_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What a monitor saw, `struct counts` of the C side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
struct Counts {
    packets: u64,
    connections: u64,
    octets: u64,
    nanoseconds: u64,
}

unsafe extern "C" {
    fn monitor_run(conf: *const c_char, result: *mut Counts) -> c_int;
    safe fn monitor_time() -> u64;
}

fn main() -> Outcome<()> {
    let quick = std::env::args().nth(1).is_some_and(|a| a == "quick");
    let (packets, rounds) = if quick { (PACKETS / 10, 2) } else { (PACKETS, ROUNDS) };
    println!("| traffic | reading the file, ns a packet | monitor in Rust | in C | C / Rust |");
    println!("|---|--:|--:|--:|--:|");
    let dir = std::env::temp_dir().join(format!("skin-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let table = [Kind::Bulk, Kind::Messy, Kind::Short, Kind::Small]
        .into_iter()
        .try_for_each(|kind| row(kind, packets, rounds, &dir));
    fs::remove_dir_all(&dir)?;
    table
}

fn row(kind: Kind, packets: usize, rounds: usize, dir: &Path) -> Outcome<()> {
    let traffic = Traffic::new(kind, packets);
    let (capture, conf) = (dir.join("capture.pcap"), dir.join("mos.conf"));
    let mut writer = CaptureWriter::new(BufWriter::new(File::create(&capture)?));
    for frame in traffic.frames() {
        writer.write(&frame)?;
    }
    writer.flush()?;
    let io = format!("io = pcap\npcap_in = {}", capture.display());
    fs::write(&conf, format!("mos {{\nmax_concurrency = {MAX_CONCURRENCY}\n{io}\n}}\n"))?;

    let mut rounds_of = [const { Vec::new() }; 3];
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let reading = read(&capture)?;
        // Who goes first takes turns.
        let (rust, c) = if round % 2 == 0 {
            let rust = in_rust(&capture)?;
            (rust, in_c(&conf)?)
        } else {
            let c = in_c(&conf)?;
            (in_rust(&capture)?, c)
        };
        let alike = Counts { nanoseconds: 0, ..rust } == Counts { nanoseconds: 0, ..c };
        assert!(alike, "{kind}: {rust:?} {c:?}");
        for (of, nanoseconds) in rounds_of.iter_mut().zip([reading, rust.nanoseconds, c.nanoseconds]) {
            of.push(nanoseconds as f64 / traffic.len() as f64);
        }
        ratios.push(c.nanoseconds as f64 / rust.nanoseconds as f64);
    }
    let [reading, rust, c] = rounds_of.map(median);
    println!("| `{kind}` | {reading:.0} | {rust:.0} | {c:.0} | {:.2} |", median(ratios));
    Ok(())
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// The time to read the file and do nothing.
fn read(capture: &Path) -> Outcome<u64> {
    let mut source = PcapSource::open(capture)?;
    let begin = monitor_time();
    while source.receive(&mut |_| ())? != Received::End {}
    Ok(monitor_time() - begin)
}

fn in_c(conf: &Path) -> Outcome<Counts> {
    let conf = CString::new(conf.as_os_str().as_bytes())?;
    let mut counts = Counts::default();
    // SAFETY: a string, and room for the structure.
    let done = unsafe { monitor_run(conf.as_ptr(), &raw mut counts) };
    if done == 0 { Ok(counts) } else { Err("the monitor in C failed".into()) }
}

fn in_rust(capture: &Path) -> Outcome<Counts> {
    let max_flows = MAX_CONCURRENCY / 2;
    // As the C interface makes it of the configuration.
    let config = Config {
        max_flows,
        max_sockets: 2 * max_flows + 64,
        max_buffers: 2 * max_flows,
        chunks: max_flows * 2 * 5,
        ..Config::default()
    };
    let mut engine = Engine::<App>::new(config)?;
    let socket = engine.open(SocketKind::Stream)?;
    engine.register(socket, Event::PacketIn, Hook::Sender, |ctx| ctx.app().counts.packets += 1, 0)?;
    engine.register(socket, Event::PacketIn, Hook::Receiver, |ctx| ctx.app().counts.packets += 1, 0)?;
    engine.register(socket, Event::ConnStart, Hook::Sender, |ctx| ctx.app().counts.connections += 1, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Sender, |ctx| ctx.app().counts.connections += 1, 0)?;
    engine.register(socket, Event::NewData, Hook::None, on_data, 0)?;
    let app = App { counts: Counts::default(), buf: [0; 4096] };
    let mut worker = Worker::new(engine, app, Links::listen(PcapSource::open(capture)?));
    let begin = monitor_time();
    worker.run()?;
    let nanoseconds = monitor_time() - begin;
    Ok(Counts { nanoseconds, ..worker.app.counts })
}

/// The state of the monitor in Rust.
#[repr(align(4096))]
struct App {
    buf: [u8; 4096],
    counts: Counts,
}

fn on_data(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut monitor)) = ctx.split() else { return };
    loop {
        match monitor.peek(side, &mut app.buf) {
            Ok(Peek::Data(range)) => app.counts.octets += range.len(),
            Ok(Peek::Lost(_)) => {}
            _ => return,
        }
    }
}
