//! `mos peek`: bytes of one stream from an offset on, as `ppeek` gives them.

use crate::common::{EngineArgs, Failure, judge_damage, run_file};
use mos_flow::{Context, Engine, Event, Hook, Monitor, Offset, Overlap, Range, Retention, Side, SocketKind};
use std::io::{self, Write};
use std::path::PathBuf;

/// Arguments of `mos peek`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The capture.
    file: PathBuf,
    /// Number of the connection, as `mos replay --flows` and `mos streams` print it.
    #[arg(long, value_name = "N")]
    flow: u64,
    /// The side that received the bytes.
    #[arg(long)]
    side: SideArg,
    /// First byte; 0 is the first payload byte of the stream.
    #[arg(long, value_name = "X")]
    offset: u64,
    /// At most this many bytes; fewer when the received range around the offset ends before.
    #[arg(long, value_name = "L")]
    len: u64,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A side on the command line.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SideArg {
    Client,
    Server,
}

/// The bytes that were asked for, as far as they came.
struct App {
    flow: u64,
    side: Side,
    wanted: Range,
    found: Vec<u8>,
    seen: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut config = args.engine.config()?;
    // In-order bytes are taken as they come; what stays behind a hole is still there at the end. With the last copy
    // wanted, taking has to wait for it.
    if args.engine.policy == Overlap::First {
        config.retention = Retention::Unread;
    }
    config.ring_octets = 1 << 30;
    let mut engine = Engine::new(config).map_err(|e| Failure::unusable(&e))?;
    listen(&mut engine, args.engine.policy).map_err(|e| Failure::unusable(&e))?;
    let side = match args.side {
        SideArg::Client => Side::Client,
        SideArg::Server => Side::Server,
    };
    let wanted = Range::at(Offset(args.offset), args.len);
    let app = App { flow: args.flow, side, wanted, found: Vec::new(), seen: false };
    let (mut engine, mut app, damage) = run_file(&args.file, engine, app)?;
    engine.shutdown(&mut app);
    if !app.seen {
        return Err(Failure::partial(&format!("{}: no connection {}", args.file.display(), args.flow)));
    }
    if app.found.is_empty() && args.len > 0 {
        let (flow, offset) = (args.flow, args.offset);
        let place = format!("the stream that the {side} of connection {flow} received");
        return Err(Failure::partial(&format!("ENODATA: nothing at offset {offset} of {place}")));
    }
    let mut out = io::stdout().lock();
    out.write_all(&app.found)?;
    out.flush()?;
    judge_damage(damage)
}

fn listen(engine: &mut Engine<App>, policy: Overlap) -> Result<(), mos_flow::SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    engine.register(socket, Event::ConnStart, Hook::Sender, on_start, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
    if policy == Overlap::First {
        engine.register(socket, Event::NewData, Hook::None, on_data, 0)?;
    }
    Ok(())
}

/// Only one connection is of interest.
fn on_start(ctx: &mut Context<'_, App>) {
    if let Ok((app, mut monitor)) = ctx.split()
        && monitor.flow_number() != Ok(app.flow)
    {
        let _ = monitor.stop(None);
    }
}

fn on_data(ctx: &mut Context<'_, App>) {
    let side = ctx.side();
    if let Ok((app, mut monitor)) = ctx.split()
        && monitor.flow_number() == Ok(app.flow)
        && let Some(side) = side
    {
        let _ = monitor.read_with(side, |range, data| {
            if side == app.side {
                app.take(range, data);
            }
        });
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let side = ctx.side();
    if let Ok((app, monitor)) = ctx.split()
        && monitor.flow_number() == Ok(app.flow)
    {
        app.seen = true;
        if side == Some(app.side) {
            app.take_rest(&monitor);
        }
    }
}

impl App {
    /// Where the next wanted byte is.
    fn next(&self) -> Offset {
        self.wanted.start.saturating_add(self.found.len() as u64)
    }

    /// Takes the wanted part of bytes at `range`, if they go on where the last ones ended.
    fn take(&mut self, range: Range, data: &[u8]) {
        let part = Range { start: self.next(), end: self.wanted.end }.intersection(range);
        if part.is_empty() || part.start != self.next() {
            return;
        }
        let from = usize::try_from(part.start.since(range.start)).unwrap_or(usize::MAX);
        let to = usize::try_from(part.end.since(range.start)).unwrap_or(usize::MAX);
        self.found.extend_from_slice(data.get(from..to).unwrap_or_default());
    }

    /// Takes what is still held: behind a hole, or not taken before.
    fn take_rest(&mut self, monitor: &Monitor<'_, App>) {
        loop {
            let rest = Range { start: self.next(), end: self.wanted.end };
            match monitor.piece(self.side, rest) {
                Ok(piece) if !piece.is_empty() && !rest.is_empty() => self.found.extend_from_slice(piece),
                _ => return,
            }
        }
    }
}
