//! `mos events`: every event in order.

use crate::common::{EngineArgs, Failure, judge_damage, run_file};
use crate::summary::tell_of_checksums;
use mos_flow::{
    Context, Engine, Event, Handler, Hook, Instant, Side, SocketError, SocketId, SocketKind, State, Trouble,
};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Arguments of `mos events`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The capture.
    file: PathBuf,
    /// One JSON object a line and event.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One event as it is printed.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    /// Seconds since the epoch.
    time: String,
    /// Absent for orphans.
    pub(crate) flow: Option<u64>,
    event: &'static str,
    hook: &'static str,
    /// The side that the event is about; absent where it is about none.
    side: Option<&'static str>,
    client: Option<&'static str>,
    server: Option<&'static str>,
    detail: Option<String>,
}

/// Who is given the lines.
pub(crate) trait Listener: Sized + 'static {
    fn take(&mut self, line: Line);
}

/// Where the lines go.
struct App {
    out: BufWriter<io::StdoutLock<'static>>,
    json: bool,
    failure: Option<io::Error>,
}

impl Listener for App {
    fn take(&mut self, line: Line) {
        if self.failure.is_none()
            && let Err(e) = line.write(&mut self.out, self.json)
        {
            self.failure = Some(e);
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut engine = Engine::new(args.engine.config()?).map_err(|e| Failure::unusable(&e))?;
    let listening = engine.open(SocketKind::Stream).and_then(|socket| {
        Event::ALL.into_iter().try_for_each(|event| listen(&mut engine, socket, event, on_event))
    });
    listening.map_err(|e| Failure::unusable(&e))?;
    let app = App { out: BufWriter::new(io::stdout().lock()), json: args.json, failure: None };
    let (mut engine, mut app, damage) = run_file(&args.file, engine, app)?;
    engine.shutdown(&mut app);
    app.failure.map_or(Ok(()), Err)?;
    app.out.flush()?;
    tell_of_checksums(engine.stats());
    judge_damage(damage)
}

/// Registers a handler for an event wherever it is told once.
pub(crate) fn listen<A>(
    engine: &mut Engine<A>,
    socket: SocketId,
    event: Event,
    handler: Handler<A>,
) -> Result<(), SocketError> {
    // Packets of connections have two hooks; the one without a side is for raw sockets. New data is told once a burst.
    let hooks = Hook::ALL.into_iter().filter(|hook| match event {
        Event::PacketIn => *hook != Hook::None,
        Event::NewData => *hook == Hook::None,
        _ => true,
    });
    for hook in hooks.filter(|h| event.is_allowed_at(*h)) {
        engine.register(socket, event, hook, handler, 0)?;
    }
    Ok(())
}

/// Makes a line of the event.
pub(crate) fn on_event<A: Listener>(ctx: &mut Context<'_, A>) {
    if let Some(event) = ctx.event() {
        let line = describe(ctx, event);
        ctx.app().take(line);
    }
}

fn describe<A>(ctx: &mut Context<'_, A>, event: Event) -> Line {
    let (side, hook, detail) = (ctx.side(), ctx.hook(), detail(ctx));
    let time = ctx.packet().map_or(ctx.now(), |p| p.frame.time);
    let monitor = ctx.monitor();
    let of = |side| monitor.as_ref().ok().and_then(|m| m.state(side).ok()).map(State::name);
    Line {
        time: seconds(time),
        flow: monitor.as_ref().ok().and_then(|m| m.flow_number().ok()),
        event: event.name(),
        hook: hook.name(),
        side: side.map(|s| if s == Side::Client { "client" } else { "server" }),
        client: of(Side::Client),
        server: of(Side::Server),
        detail,
    }
}

fn seconds(time: Instant) -> String {
    time.to_string()
}

/// What the event is about, where it does not say it by itself.
fn detail<A>(ctx: &mut Context<'_, A>) -> Option<String> {
    if let Some(trouble) = ctx.trouble() {
        return Some(match trouble {
            Trouble::Gap(range) => format!("gap {range}"),
            Trouble::NoMemory { octets } => format!("no memory for {octets} octets"),
            Trouble::Overrun(range) => format!("overrun {range}"),
            Trouble::Window { octets } => format!("{octets} octets beyond the window"),
            _ => "trouble".into(),
        });
    }
    if let Some(conflict) = ctx.conflict() {
        return Some(format!("content differs in {}", conflict.range));
    }
    match ctx.event()? {
        Event::PacketIn | Event::Orphan => {
            let segment = ctx.packet()?.segment?;
            Some(format!(
                "{} seq {} ack {} len {}",
                segment.flags, segment.seq, segment.ack, segment.payload_len
            ))
        }
        Event::ConnStart => {
            let monitor = ctx.monitor().ok()?;
            Some(format!("{} > {}", monitor.address(Side::Client).ok()?, monitor.address(Side::Server).ok()?))
        }
        Event::NewData => {
            let side = ctx.side()?;
            Some(format!("next {}", ctx.monitor().ok()?.stream_info(side).ok()?.next))
        }
        Event::ConnEnd => ctx.monitor().ok()?.end_reason().ok()?.map(|r| format!("{r:?}").to_lowercase()),
        _ => None,
    }
}

impl Line {
    pub(crate) fn write(&self, out: &mut impl Write, json: bool) -> io::Result<()> {
        if json {
            serde_json::to_writer(&mut *out, self).map_err(io::Error::from)?;
            return writeln!(out);
        }
        let flow = self.flow.map_or("-".into(), |f| f.to_string());
        let or_dash = |s: Option<&'static str>| s.unwrap_or("-");
        let (side, client, server) = (or_dash(self.side), or_dash(self.client), or_dash(self.server));
        write!(
            out,
            "{} {flow:>5} {:<14} {:<8} {side:<6} {client:<12} {server:<12}",
            self.time, self.event, self.hook
        )?;
        writeln!(out, " {}", self.detail.as_deref().unwrap_or_default())
    }
}
