//! `mos bench`: the engine alone, on a capture in memory.

mod scale;

use crate::common::{Failure, judge_damage};
use mos_dpdk::capture::Capture;
use mos_flow::engine::BURST;
use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Peek, Side, SocketError, SocketKind};
use scale::Scale;
use serde::Serialize;
use std::io::{self, StdoutLock, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `mos bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The capture; it is read into memory first.
    file: PathBuf,
    /// How often it is run through the engine, after one run to warm up. The median run is told.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// What the engine does.
    #[arg(long, default_value = "streams")]
    mode: Mode,
    /// Verify checksums, too. Without it they are left to the network card.
    #[arg(long)]
    checksum: bool,
    /// Threads that share the connections, beside one that has all; both are told.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    workers: u16,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Flow table and states of both sides.
    Flows,
    /// Also reassembly of both directions into rings.
    Streams,
    /// Also a monitor that reads every new byte.
    Peek,
}

/// What the monitor of `peek` mode keeps.
struct App {
    buffer: Box<[u8]>,
    octets: u64,
}

impl App {
    fn new() -> Self {
        App { buffer: vec![0; 64 << 10].into(), octets: 0 }
    }
}

#[derive(Debug, Serialize)]
struct Outcome {
    mode: Mode,
    repeat: u32,
    packets: u64,
    wire_bytes: u64,
    flows: u64,
    stream_bytes: u64,
    /// Bytes that the monitor read, in `peek` mode.
    read_bytes: u64,
    /// The median run.
    seconds: f64,
    mpps: f64,
    gbps: f64,
    ns_per_packet: f64,
    /// The fastest run.
    best_ns_per_packet: f64,
    /// Peak resident memory of the process, the capture included.
    peak_rss_bytes: u64,
    capture_bytes: u64,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (capture, damage) = Capture::load(&args.file).map_err(|e| Failure::unusable(&e))?;
    if capture.is_empty() {
        return Err(Failure::unusable(&format!("{}: no packets", args.file.display())));
    }
    if args.workers > 1 {
        let scale = scale::measure(args, &capture)?;
        print(args, &scale, Scale::write)?;
    } else {
        let outcome = measure(args, &capture)?;
        print(args, &outcome, Outcome::write)?;
    }
    judge_damage(damage)
}

fn print<T: Serialize>(
    args: &Args,
    outcome: &T,
    write: impl FnOnce(&T, &mut StdoutLock<'static>) -> io::Result<()>,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !args.json {
        return write(outcome, &mut out);
    }
    serde_json::to_writer(&mut out, outcome)?;
    writeln!(out)
}

/// How far the clock is moved on from run to run, so that time never goes back.
fn span_of(capture: &Capture) -> u64 {
    capture.frames_from(0).map(|f| f.time).max().unwrap_or_default().0 + 3_600_000_000
}

fn measure(args: &Args, capture: &Capture) -> Result<Outcome, Failure> {
    let mut engine = engine(args).map_err(|e| Failure::unusable(&e))?;
    let mut app = App::new();
    let span = span_of(capture);
    let mut runs: Vec<Duration> = Vec::new();
    let mut before = (*engine.stats(), 0);
    for round in 0..=args.repeat {
        before = (*engine.stats(), app.octets);
        let shift = span.saturating_mul(u64::from(round));
        let took = pass(&mut engine, &mut app, capture, shift);
        if round > 0 {
            runs.push(took);
        }
        if round < args.repeat {
            engine.shutdown(&mut app);
        }
    }
    runs.sort_unstable();
    let (after, packets) = (engine.stats(), capture.len() as u64);
    let seconds = runs[runs.len() / 2].as_secs_f64();
    Ok(Outcome {
        mode: args.mode,
        repeat: args.repeat,
        packets,
        wire_bytes: capture.wire_octets(),
        flows: after.flows - before.0.flows,
        stream_bytes: after.stream_octets - before.0.stream_octets,
        read_bytes: app.octets - before.1,
        seconds,
        mpps: packets as f64 / seconds / 1e6,
        gbps: capture.wire_octets() as f64 * 8.0 / seconds / 1e9,
        ns_per_packet: seconds * 1e9 / packets as f64,
        best_ns_per_packet: runs[0].as_secs_f64() * 1e9 / packets as f64,
        peak_rss_bytes: peak_rss(),
        capture_bytes: capture.octets(),
    })
}

/// One run over the capture, its clock moved on so that time never goes back between runs. Only the engine's work is
/// timed: frames are made ready burst by burst, but that is reading a few words of memory a packet.
fn pass(engine: &mut Engine<App>, app: &mut App, capture: &Capture, shift: u64) -> Duration {
    let start = std::time::Instant::now();
    let mut frames = capture.frames_from(0);
    let Some(first) = frames.next() else { return Duration::ZERO };
    let mut burst = [first; BURST];
    let mut n = 1;
    for frame in frames {
        if n == BURST {
            process(engine, app, &mut burst, shift);
            n = 0;
        }
        burst[n] = frame;
        n += 1;
    }
    process(engine, app, &mut burst[..n], shift);
    start.elapsed()
}

fn process(engine: &mut Engine<App>, app: &mut App, burst: &mut [Frame<'_>], shift: u64) {
    for frame in burst.iter_mut() {
        frame.time = Instant(frame.time.0.saturating_add(shift));
    }
    engine.process_burst(burst, app);
}

fn engine(args: &Args) -> Result<Engine<App>, Box<dyn std::error::Error>> {
    let config = Config {
        max_flows: 1 << 20,
        max_sockets: (1 << 20) + 16,
        max_buffers: 1 << 19,
        chunks: 1 << 19,
        verify_checksums: args.checksum,
        hash_seed: mos_dpdk::random_seed()?,
        ..Config::default()
    };
    let mut engine = Engine::new(config)?;
    listen(&mut engine, args.mode)?;
    Ok(engine)
}

fn listen(engine: &mut Engine<App>, mode: Mode) -> Result<(), SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    match mode {
        Mode::Flows => {
            for side in Side::BOTH {
                engine.monitor(socket)?.disable_buffer(side)?;
            }
            Ok(())
        }
        Mode::Streams => Ok(()),
        Mode::Peek => engine.register(socket, Event::NewData, Hook::None, read_all, 0),
    }
}

fn read_all(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, mut monitor)) = ctx.split() else { return };
    while let Ok(peek @ (Peek::Data(_) | Peek::Lost(_))) = monitor.peek(side, &mut app.buffer) {
        if let Peek::Data(range) = peek {
            app.octets += range.len();
        }
    }
}

impl Outcome {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mode = format!("{:?}", self.mode).to_lowercase();
        writeln!(out, "mode            {mode}, median of {} runs", self.repeat)?;
        writeln!(out, "packets         {} ({} bytes on the wire)", self.packets, self.wire_bytes)?;
        writeln!(out, "flows           {}", self.flows)?;
        writeln!(out, "stream bytes    {} ({} read)", self.stream_bytes, self.read_bytes)?;
        writeln!(out, "seconds         {:.6}", self.seconds)?;
        writeln!(out, "Mpps            {:.3}", self.mpps)?;
        writeln!(out, "Gbit/s          {:.3}", self.gbps)?;
        writeln!(out, "ns a packet     {:.1} (best run {:.1})", self.ns_per_packet, self.best_ns_per_packet)?;
        let mib = |n: u64| n as f64 / f64::from(1 << 20);
        writeln!(
            out,
            "peak memory     {:.1} MiB, {:.1} of it the capture",
            mib(self.peak_rss_bytes),
            mib(self.capture_bytes)
        )
    }
}

/// The kernel's high-water mark of resident memory; 0 where it does not tell.
fn peak_rss() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
