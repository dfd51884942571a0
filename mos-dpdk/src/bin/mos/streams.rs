//! `mos streams`: every direction's rebuilt bytes.

use crate::common::{EngineArgs, Failure, judge_damage, run_file};
use crate::summary::tell_of_checksums;
use mos_flow::{
    Context, EndReason, Engine, Event, Hook, Monitor, Offset, Overlap, Range, Retention, Side, SocketKind,
    Trouble,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Octets of a stream that `--policy last` can still replace.
const REPLACEABLE: u32 = 64 << 20;
/// Stream memory: chunks of 2 KiB, taken from the system when used.
const CHUNKS: usize = 1 << 19;
const MAX_RANGES: usize = mos_flow::buffers::MAX_RANGES + 1;

/// Arguments of `mos streams`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The capture.
    file: PathBuf,
    /// One JSON object a line and direction.
    #[arg(long)]
    json: bool,
    /// Write the contiguous bytes of each direction to a file in this folder.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One direction as it is printed. The names and their order are the format.
#[derive(Debug, Serialize)]
struct Line {
    flow: u64,
    vlan: Vec<u16>,
    src: String,
    dst: String,
    side: String,
    midstream: bool,
    bytes: u64,
    sha256: String,
    gaps: Vec<[u64; 2]>,
    total: u64,
    closed: &'static str,
}

/// One direction while its bytes come in.
#[derive(Debug)]
struct Direction {
    line: Line,
    hasher: Sha256,
    file: Option<BufWriter<File>>,
    /// Everything below was received, or is in `gaps`.
    position: u64,
}

/// The state of the run.
#[derive(Debug)]
struct App {
    out: Option<PathBuf>,
    /// In the order of each direction's first packet.
    directions: Vec<Direction>,
    /// Where each connection's directions are, by flow number and receiving side.
    places: Vec<[Option<usize>; 2]>,
    /// The first error of an output file.
    failure: Option<io::Error>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut config = args.engine.config()?;
    config.chunks = CHUNKS;
    if args.engine.policy == Overlap::Last {
        config.ring_octets = REPLACEABLE;
    } else {
        config.retention = Retention::Unread;
        config.ring_octets = 1 << 30;
    }
    if let Some(dir) = &args.out {
        std::fs::create_dir_all(dir)
            .map_err(|e| Failure::unusable(&format!("{}: {}", dir.display(), mos_dpdk::sentence(&e))))?;
    }
    let mut engine = Engine::new(config).map_err(|e| Failure::unusable(&e))?;
    listen(&mut engine, args.engine.policy).map_err(|e| Failure::unusable(&e))?;
    let app = App { out: args.out.clone(), directions: Vec::new(), places: Vec::new(), failure: None };
    let (mut engine, mut app, damage) = run_file(&args.file, engine, app)?;
    engine.shutdown(&mut app);
    let refused = engine.stats().refused_octets;
    if let Some(e) = app.failure {
        return Err(Failure::partial(&mos_dpdk::sentence(&e)));
    }
    print(app.directions, args.json)?;
    if refused > 0 {
        eprintln!("mos: warning: {refused} bytes lay outside their receiver's window or found no memory");
    }
    tell_of_checksums(engine.stats());
    judge_damage(damage)
}

fn listen(engine: &mut Engine<App>, policy: Overlap) -> Result<(), mos_flow::SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    engine.register(socket, Event::PacketIn, Hook::Sender, on_packet, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
    if policy == Overlap::Last {
        // Bytes are taken as late as possible: until then a later copy can replace them.
        engine.register(socket, Event::Error, Hook::None, on_overrun, 0)
    } else {
        engine.register(socket, Event::NewData, Hook::None, on_data, 0)
    }
}

/// The first packet of a direction gives it its place in the list.
fn on_packet(ctx: &mut Context<'_, App>) {
    let Some(sender) = ctx.side() else { return };
    if let Ok((app, monitor)) = ctx.split() {
        let _ = app.direction(&monitor, !sender);
    }
}

fn on_data(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    if let Ok((app, mut monitor)) = ctx.split() {
        app.take(&mut monitor, side);
    }
}

fn on_overrun(ctx: &mut Context<'_, App>) {
    if let (Some(side), Some(Trouble::Overrun(lost))) = (ctx.side(), ctx.trouble())
        && let Ok((app, mut monitor)) = ctx.split()
    {
        app.take_below(&mut monitor, side, lost.end);
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    if let Ok((app, mut monitor)) = ctx.split() {
        app.take(&mut monitor, side);
        app.finish(&monitor, side);
    }
}

impl App {
    /// The direction that `side` receives; made when this is its first packet.
    fn direction(&mut self, monitor: &Monitor<'_, App>, side: Side) -> Option<&mut Direction> {
        let flow = monitor.flow_number().ok()?;
        let index = usize::try_from(flow).ok()?;
        if self.places.len() <= index {
            self.places.resize(index + 1, [None; 2]);
        }
        let place = match self.places[index][side as usize] {
            Some(place) => place,
            None => {
                let direction = Direction::new(monitor, flow, side, self.out.as_deref());
                let direction = direction.map_err(|e| self.failure.get_or_insert(e)).ok()?;
                self.directions.push(direction);
                self.places[index][side as usize] = Some(self.directions.len() - 1);
                self.directions.len() - 1
            }
        };
        self.directions.get_mut(place)
    }

    /// Takes all in-order bytes that were not taken yet.
    fn take(&mut self, monitor: &mut Monitor<'_, App>, side: Side) {
        self.take_below(monitor, side, Offset(u64::MAX));
    }

    fn take_below(&mut self, monitor: &mut Monitor<'_, App>, side: Side, end: Offset) {
        let Some(direction) = self.direction(monitor, side) else { return };
        let mut failure = None;
        let _ = monitor.read_below(side, end, |range, data| {
            if let Err(e) = direction.add(range, data) {
                failure.get_or_insert(e);
            }
        });
        if self.failure.is_none() {
            self.failure = failure;
        }
    }

    /// The connection is over: what is left behind a hole is not part of the stream, but its place is told.
    fn finish(&mut self, monitor: &Monitor<'_, App>, side: Side) {
        let reason = monitor.end_reason().ok().flatten();
        let info = monitor.stream_info(side).ok();
        let mut ranges = [Range::default(); MAX_RANGES];
        let n = monitor.fragments(side, &mut ranges).unwrap_or(0);
        let Some(direction) = self.direction(monitor, side) else { return };
        let position = direction.position;
        for range in ranges.iter().take(n).filter(|r| r.start.0 >= position) {
            direction.received(*range);
        }
        let line = &mut direction.line;
        line.midstream = info.is_some_and(|i| i.midstream);
        line.closed = match reason {
            _ if info.is_some_and(|i| i.finished) => "fin",
            Some(EndReason::Closed) => "fin",
            Some(EndReason::Reset) => "rst",
            Some(EndReason::Shutdown) => "open",
            _ => "timeout",
        };
    }
}

impl Direction {
    fn new(monitor: &Monitor<'_, App>, flow: u64, side: Side, out: Option<&Path>) -> io::Result<Self> {
        let address = |side| monitor.address(side).map(|a| a.to_string()).unwrap_or_default();
        let file = match out {
            Some(dir) => Some(BufWriter::new(File::create(dir.join(format!("{flow:06}-{side}")))?)),
            None => None,
        };
        let line = Line {
            flow,
            vlan: monitor.vlans().unwrap_or_default().ids().to_vec(),
            src: address(!side),
            dst: address(side),
            side: side.to_string(),
            midstream: false,
            bytes: 0,
            sha256: String::new(),
            gaps: Vec::new(),
            total: 0,
            closed: "open",
        };
        Ok(Direction { line, hasher: Sha256::new(), file, position: 0 })
    }

    /// In-order bytes, or lost ones (no data). Only what comes before the first gap is kept.
    fn add(&mut self, range: Range, data: &[u8]) -> io::Result<()> {
        if data.is_empty() {
            return Ok(()); // a gap counts once something comes behind it
        }
        self.received(range);
        if self.line.gaps.is_empty() {
            self.line.bytes += data.len() as u64;
            self.hasher.update(data);
            if let Some(file) = &mut self.file {
                file.write_all(data)?;
            }
        }
        Ok(())
    }

    fn received(&mut self, range: Range) {
        if range.start.0 > self.position {
            self.line.gaps.push([self.position, range.start.0]);
        }
        self.position = range.end.0;
        self.line.total = range.end.0;
    }

    fn into_line(self) -> io::Result<Line> {
        if let Some(mut file) = self.file {
            file.flush()?;
        }
        let sha256 = self.hasher.finalize().iter().map(|b| format!("{b:02x}")).collect();
        Ok(Line { sha256, ..self.line })
    }
}

fn print(directions: Vec<Direction>, json: bool) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    for direction in directions {
        let line = direction.into_line()?;
        if json {
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", Readable(&line))?;
        }
    }
    out.flush()?;
    Ok(())
}

/// A direction for people.
struct Readable<'a>(&'a Line);

impl std::fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let l = self.0;
        write!(f, "{:>6} {} > {}", l.flow, l.src, l.dst)?;
        if !l.vlan.is_empty() {
            write!(f, " vlan {:?}", l.vlan)?;
        }
        write!(f, "  {} bytes  {}  {}", l.bytes, l.closed, &l.sha256[..16])?;
        if l.midstream {
            f.write_str("  midstream")?;
        }
        if !l.gaps.is_empty() {
            write!(f, "  {} gaps below {}", l.gaps.len(), l.total)?;
        }
        Ok(())
    }
}
