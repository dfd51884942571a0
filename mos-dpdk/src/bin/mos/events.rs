//! `mos events`: every event in order.

use crate::common::{EngineArgs, Failure, judge_damage, run_file, tell_of_checksums};
use mos_flow::{Context, Engine, Event, Hook, Instant, Side, SocketKind, State, Trouble};
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
struct Line {
    /// Seconds since the epoch.
    time: String,
    /// Absent for orphans.
    flow: Option<u64>,
    event: &'static str,
    hook: &'static str,
    /// The side that the event is about; absent where it is about none.
    side: Option<&'static str>,
    client: Option<&'static str>,
    server: Option<&'static str>,
    detail: Option<String>,
}

/// Where the lines go.
struct App {
    out: BufWriter<io::StdoutLock<'static>>,
    json: bool,
    failure: Option<io::Error>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut engine = Engine::new(args.engine.config()?).map_err(|e| Failure::unusable(&e))?;
    listen(&mut engine).map_err(|e| Failure::unusable(&e))?;
    let app = App { out: BufWriter::new(io::stdout().lock()), json: args.json, failure: None };
    let (mut engine, mut app, damage) = run_file(&args.file, engine, app)?;
    engine.shutdown(&mut app);
    app.failure.map_or(Ok(()), Err)?;
    app.out.flush()?;
    tell_of_checksums(engine.stats());
    judge_damage(damage)
}

fn listen(engine: &mut Engine<App>) -> Result<(), mos_flow::SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    for event in Event::ALL {
        // Packets of connections have two hooks; the one without a side is for raw sockets. New data is told once a burst.
        let hooks = Hook::ALL.into_iter().filter(|hook| match event {
            Event::PacketIn => *hook != Hook::None,
            Event::NewData => *hook == Hook::None,
            _ => true,
        });
        for hook in hooks.filter(|h| event.is_allowed_at(*h)) {
            engine.register(socket, event, hook, on_event, 0)?;
        }
    }
    Ok(())
}

fn on_event(ctx: &mut Context<'_, App>) {
    let Some(event) = ctx.event() else { return };
    let line = describe(ctx, event);
    let app = ctx.app();
    if app.failure.is_none()
        && let Err(e) = app.write(&line)
    {
        app.failure = Some(e);
    }
}

fn describe(ctx: &mut Context<'_, App>, event: Event) -> Line {
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
fn detail(ctx: &mut Context<'_, App>) -> Option<String> {
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
        Event::NewData => {
            let side = ctx.side()?;
            Some(format!("next {}", ctx.monitor().ok()?.stream_info(side).ok()?.next))
        }
        Event::ConnEnd => ctx.monitor().ok()?.end_reason().ok()?.map(|r| format!("{r:?}").to_lowercase()),
        _ => None,
    }
}

impl App {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.out, line).map_err(io::Error::from)?;
            return writeln!(self.out);
        }
        let flow = line.flow.map_or("-".into(), |f| f.to_string());
        let or_dash = |s: Option<&'static str>| s.unwrap_or("-");
        let (side, client, server) = (or_dash(line.side), or_dash(line.client), or_dash(line.server));
        write!(
            self.out,
            "{} {flow:>5} {:<14} {:<8} {side:<6} {client:<12} {server:<12}",
            line.time, line.event, line.hook
        )?;
        writeln!(self.out, " {}", line.detail.as_deref().unwrap_or_default())
    }
}
