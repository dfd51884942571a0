//! `mos replay`: what happened.

use crate::common::{EngineArgs, Failure, judge_damage};
use crate::files::{self, Files};
use crate::signals::Signals;
use crate::summary::Counts;
use mos_dpdk::port::Port;
use mos_dpdk::port::pace::{Pace, Paced};
use mos_dpdk::runtime::{self, Crew, Deal, Options, Outcome};
use mos_dpdk::{Links, Worker};
use mos_flow::{
    Context, EndReason, Engine, Event, Hook, Monitor, Side, Sides, SocketError, SocketKind, State, Stats,
};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often signals are looked for.
const TICK: Duration = Duration::from_millis(50);

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
    /// Threads that share the connections. The results are the same, unless fragments come long before the first one of their
    /// datagram.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=128))]
    workers: u16,
    /// Read the captures into memory first, once for all workers.
    #[arg(long)]
    in_memory: bool,
    /// As fast as the packets came when they were captured.
    #[arg(long, conflicts_with = "pps")]
    realtime: bool,
    /// So many packets a second.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pps: Option<u32>,
    #[command(flatten)]
    engine: EngineArgs,
}

/// One connection as it is listed.
#[derive(Debug, Serialize)]
struct FlowLine {
    /// Frames of the captures up to the one that began it.
    #[serde(skip)]
    place: u64,
    /// Connections are numbered as they began.
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

/// What there is to remember of a connection. States are those before the end, when both become CLOSED.
#[derive(Clone, Debug, Default)]
struct Record {
    place: u64,
    states: Sides<Option<State>>,
}

/// The connections of a worker so far, by its numbers.
#[derive(Debug, Default)]
struct App {
    records: Vec<Record>,
    flows: Vec<FlowLine>,
}

/// Everything that is told of a run.
#[derive(Debug, Serialize)]
struct Report {
    files: Vec<String>,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    connections: Option<Vec<FlowLine>>,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let (captures, mut damages) = if args.in_memory { files::load(&args.files)? } else { Default::default() };
    let sources = (0..args.workers).map(|_| match args.in_memory {
        true => Ok(Files::in_memory(&captures)),
        false => Files::on_disk(&args.files),
    });
    let mut sources = sources.collect::<Result<Vec<_>, Failure>>()?;
    sources.first_mut().into_iter().for_each(Files::show_progress);
    let pace = args.pps.map(Pace::Rate).or(args.realtime.then_some(Pace::Times));
    let start = Instant::now();
    let (mut total, sources) = match pace {
        None => follow(args, sources)?,
        Some(pace) => {
            let paced = sources.into_iter().map(|files| Paced::new(files, pace)).collect();
            let (total, paced) = follow(args, paced)?;
            (total, paced.into_iter().map(Paced::into_inner).collect())
        }
    };
    total.flows.sort_unstable_by_key(|f| f.place);
    (0..).zip(&mut total.flows).for_each(|(number, line)| line.flow = number);
    let report = Report {
        files: args.files.iter().map(|f| f.display().to_string()).collect(),
        counts: Counts::new(&total.stats, start.elapsed().as_secs_f64()),
        connections: args.flows.then_some(total.flows),
    };
    report.print(args.json)?;
    damages.extend(sources.into_iter().next().into_iter().flat_map(|files| files.damages));
    damages.into_iter().try_for_each(|damage| judge_damage(Some(damage)))
}

/// What came of all workers.
#[derive(Debug, Default)]
struct Total {
    stats: Stats,
    flows: Vec<FlowLine>,
}

/// Runs a worker over each source, which are all the same. Gives them back.
fn follow<P: Port + Send>(args: &Args, sources: Vec<P>) -> Result<(Total, Vec<P>), Failure> {
    let signals = Signals::catch()?;
    let mut workers = Vec::new();
    for source in sources {
        let mut engine = Engine::new(args.engine.config()?).map_err(|e| Failure::unusable(&e))?;
        listen(&mut engine, args.flows).map_err(|e| Failure::unusable(&e))?;
        workers.push(Worker::new(engine, App::default(), Links::listen(source)));
    }
    let control = |crew: &mut Crew<'_, App>| {
        while crew.wait(TICK) > 0 {
            if signals.came() {
                crew.stop();
            }
        }
    };
    let options = Options { deal: Deal::Copies, ..Options::default() };
    let ((), outcomes) = runtime::run(workers, &options, control)?;
    let (mut total, mut sources) = (Total::default(), Vec::new());
    for (rank, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Outcome::Died(words) => {
                return Err(Failure::partial(&format!("worker {rank} died: {words}")));
            }
            Outcome::Ended(worker, result) => {
                result.map_err(|e| Failure::partial(&e))?;
                let mut worker = worker;
                total.stats += *worker.engine.stats();
                worker.engine.shutdown(&mut worker.app);
                total.flows.append(&mut worker.app.flows);
                sources.extend(worker.links.into_ports());
            }
        }
    }
    Ok((total, sources))
}

fn listen(engine: &mut Engine<App>, flows: bool) -> Result<(), SocketError> {
    let socket = engine.open(SocketKind::Stream)?;
    if flows {
        engine.register(socket, Event::ConnStart, Hook::Sender, on_start, 0)?;
        engine.register(socket, Event::StateChange, Hook::Sender, on_state, 0)?;
        engine.register(socket, Event::StateChange, Hook::Receiver, on_state, 0)?;
        engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
    }
    Ok(())
}

/// Workers see the same frames: where a connection began is the same for all.
fn on_start(ctx: &mut Context<'_, App>) {
    let control = ctx.control();
    let place = control.stats().frames + control.stats().passed_over;
    if let Ok((app, monitor)) = ctx.split()
        && let Ok(flow) = monitor.flow_number()
    {
        app.record(flow).place = place;
    }
}

fn on_state(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    if let Ok((app, monitor)) = ctx.split()
        && let (Ok(flow), Ok(None), Ok(state)) =
            (monitor.flow_number(), monitor.end_reason(), monitor.state(side))
    {
        app.record(flow).states[side] = Some(state);
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let side = ctx.side();
    if let Ok((app, monitor)) = ctx.split()
        && side == Some(Side::Server)
    {
        app.add(&monitor);
    }
}

impl App {
    fn record(&mut self, flow: u64) -> &mut Record {
        let index = usize::try_from(flow).unwrap_or(usize::MAX - 1);
        if self.records.len() <= index {
            self.records.resize(index + 1, Record::default());
        }
        &mut self.records[index]
    }

    fn add(&mut self, monitor: &Monitor<'_, App>) {
        let flow = monitor.flow_number().unwrap_or_default();
        let Record { place, states } = self.record(flow).clone();
        // A connection that was picked up in the middle has not changed its state yet.
        let state = |side| states[side].unwrap_or(State::Established).name();
        let address = |side| monitor.address(side).map(|a| a.to_string()).unwrap_or_default();
        let received = |side| monitor.stream_info(side).map_or(0, |i| i.next.0);
        self.flows.push(FlowLine {
            place,
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

impl Report {
    fn print(&self, json: bool) -> io::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        if json {
            serde_json::to_writer(&mut out, self)?;
            writeln!(out)?;
        } else {
            for flow in self.connections.iter().flatten() {
                flow.write(&mut out)?;
            }
            if self.connections.is_some() {
                writeln!(out)?;
            }
            self.counts.write(&mut out)?;
        }
        out.flush()
    }
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
