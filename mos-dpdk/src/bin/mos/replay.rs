//! `mos replay`: what happened.

use crate::common::{EngineArgs, Failure, judge_damage, run_file};
use mos_flow::stats::Group;
use mos_flow::{Context, EndReason, Engine, Event, Hook, Monitor, Side, Sides, SocketKind, State, Stats};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `mos replay`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The captures, one after the other.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Also list every connection with both sides' states.
    #[arg(long)]
    flows: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One connection as it is listed.
#[derive(Debug, Serialize)]
struct FlowLine {
    flow: u64,
    vlan: Vec<u16>,
    client: String,
    server: String,
    client_state: &'static str,
    server_state: &'static str,
    /// In-order bytes that each side received.
    to_client: u64,
    to_server: u64,
    end: &'static str,
}

/// The connections so far. States are those before the end, when both become CLOSED.
#[derive(Debug, Default)]
struct App {
    list: bool,
    states: Vec<Sides<Option<State>>>,
    flows: Vec<FlowLine>,
}

/// Everything that is told of a run.
#[derive(Debug, Serialize)]
struct Summary {
    files: Vec<String>,
    packets: u64,
    /// On the wire.
    bytes: u64,
    segments: u64,
    flows: u64,
    stream_bytes: u64,
    retransmitted_bytes: u64,
    gap_bytes: u64,
    late_bytes: u64,
    refused_bytes: u64,
    conflicts: u64,
    keep_alives: u64,
    zero_windows: u64,
    events: Map<String, Value>,
    drops: Map<String, Value>,
    anomalies: Map<String, Value>,
    odd: Map<String, Value>,
    losses: Map<String, Value>,
    /// Of this run, files included.
    seconds: f64,
    packets_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<Vec<FlowLine>>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut engine = Engine::new(args.engine.config()?).map_err(|e| Failure::unusable(&e))?;
    listen(&mut engine, args.flows).map_err(|e| Failure::unusable(&e))?;
    let mut app = App { list: args.flows, ..App::default() };
    let start = Instant::now();
    let mut damages = Vec::new();
    for file in &args.files {
        let damage;
        (engine, app, damage) = run_file(file, engine, app)?;
        damages.push(damage);
    }
    let stats = *engine.stats();
    engine.shutdown(&mut app);
    app.flows.sort_by_key(|f| f.flow);
    let summary = Summary::new(args, &stats, start.elapsed().as_secs_f64(), app);
    let mut out = BufWriter::new(io::stdout().lock());
    if args.json {
        serde_json::to_writer(&mut out, &summary).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        summary.write(&mut out)?;
    }
    out.flush()?;
    damages.into_iter().try_for_each(judge_damage)
}

fn listen(engine: &mut Engine<App>, flows: bool) -> Result<(), mos_flow::SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    if flows {
        engine.register(socket, Event::StateChange, Hook::Sender, on_state, 0)?;
        engine.register(socket, Event::StateChange, Hook::Receiver, on_state, 0)?;
        engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
    }
    Ok(())
}

fn on_state(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    if let Ok((app, monitor)) = ctx.split()
        && let (Ok(flow), Ok(None), Ok(state)) =
            (monitor.flow_number(), monitor.end_reason(), monitor.state(side))
    {
        app.states_of(flow)[side] = Some(state);
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let side = ctx.side();
    if let Ok((app, monitor)) = ctx.split()
        && side == Some(Side::Server)
        && app.list
    {
        app.add(&monitor);
    }
}

impl App {
    fn states_of(&mut self, flow: u64) -> &mut Sides<Option<State>> {
        let index = usize::try_from(flow).unwrap_or(usize::MAX - 1);
        if self.states.len() <= index {
            self.states.resize(index + 1, Sides::default());
        }
        &mut self.states[index]
    }

    fn add(&mut self, monitor: &Monitor<'_, App>) {
        let flow = monitor.flow_number().unwrap_or_default();
        let states = *self.states_of(flow);
        // A connection that was picked up in the middle has not changed its state yet.
        let state = |side| states[side].unwrap_or(State::Established).name();
        let address = |side| monitor.address(side).map(|a| a.to_string()).unwrap_or_default();
        let received = |side| monitor.stream_info(side).map_or(0, |i| i.next.0);
        self.flows.push(FlowLine {
            flow,
            vlan: monitor.vlans().unwrap_or_default().ids().to_vec(),
            client: address(Side::Client),
            server: address(Side::Server),
            client_state: state(Side::Client),
            server_state: state(Side::Server),
            to_client: received(Side::Client),
            to_server: received(Side::Server),
            end: match monitor.end_reason() {
                Ok(Some(EndReason::Closed)) => "closed",
                Ok(Some(EndReason::Evicted)) => "evicted",
                Ok(Some(EndReason::Reset)) => "reset",
                Ok(Some(EndReason::TimedOut)) => "timeout",
                Ok(Some(EndReason::Replaced)) => "replaced",
                _ => "open",
            },
        });
    }
}

impl Summary {
    fn new(args: &Args, stats: &Stats, seconds: f64, app: App) -> Self {
        let count = |name: &str, n: u64| (n > 0).then(|| (name.to_owned(), Value::from(n)));
        let group = |group| {
            stats.counters().filter(|c| c.group == group).filter_map(|c| count(c.symbol, c.count)).collect()
        };
        Summary {
            files: args.files.iter().map(|f| f.display().to_string()).collect(),
            packets: stats.frames,
            bytes: stats.octets,
            segments: stats.segments,
            flows: stats.flows,
            stream_bytes: stats.stream_octets,
            retransmitted_bytes: stats.retransmitted_octets,
            gap_bytes: stats.gap_octets,
            late_bytes: stats.late_octets,
            refused_bytes: stats.refused_octets,
            conflicts: stats.conflicts,
            keep_alives: stats.keep_alives,
            zero_windows: stats.zero_windows,
            events: Event::ALL.iter().filter_map(|e| count(e.name(), stats.events[*e])).collect(),
            drops: group(Group::Dropped),
            anomalies: group(Group::Refused),
            odd: group(Group::Odd),
            losses: group(Group::Lost),
            seconds,
            packets_per_second: stats.frames as f64 / seconds.max(1e-9),
            connections: args.flows.then_some(app.flows),
        }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        if let Some(flows) = &self.connections {
            for f in flows {
                f.write(out)?;
            }
            writeln!(out)?;
        }
        writeln!(out, "packets      {:>12}  ({} bytes on the wire)", self.packets, self.bytes)?;
        writeln!(out, "tcp segments {:>12}  in {} connections", self.segments, self.flows)?;
        writeln!(out, "stream bytes {:>12}  ({} sent again)", self.stream_bytes, self.retransmitted_bytes)?;
        let odd = [("keep-alive probes", self.keep_alives), ("windows of zero", self.zero_windows)];
        for (what, n) in odd.iter().filter(|(_, n)| *n > 0) {
            writeln!(out, "             {n:>12}  {what}")?;
        }
        let counters = [
            ("events", None, &self.events),
            ("not followed", Some(Group::Dropped), &self.drops),
            ("refused", Some(Group::Refused), &self.anomalies),
            ("odd", Some(Group::Odd), &self.odd),
            ("lost", Some(Group::Lost), &self.losses),
        ];
        for (title, group, counts) in counters {
            for (i, (name, n)) in counts.iter().enumerate() {
                let title = if i == 0 { title } else { "" };
                writeln!(out, "{title:<12} {:>12}  {}", n.as_u64().unwrap_or(0), describe(group, name))?;
            }
        }
        writeln!(
            out,
            "rate         {:>12.0}  packets a second, {:.3} s in all",
            self.packets_per_second, self.seconds
        )
    }
}

/// The sentence for a counter, where its name does not say it.
fn describe(group: Option<Group>, name: &str) -> String {
    let none = Stats::default();
    let counter = none.counters().find(|c| Some(c.group) == group && c.symbol == name);
    counter.map_or_else(|| name.to_owned(), |c| format!("{name}: {}", c.sentence))
}

impl FlowLine {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        write!(
            out,
            "{:>6} {:<22} {:<12} {:<22} {:<12}",
            self.flow, self.client, self.client_state, self.server, self.server_state
        )?;
        write!(out, " {:>10} > {:>10} <  {}", self.to_server, self.to_client, self.end)?;
        if !self.vlan.is_empty() {
            write!(out, "  vlan {:?}", self.vlan)?;
        }
        writeln!(out)
    }
}
