//! What the commands on live devices share: their settings, the run of the workers, its end.

use crate::common::{EngineArgs, Failure, filter};
use crate::events::{self, Listener};
use crate::metrics::Metrics;
use crate::route;
use crate::signals::Signals;
use crate::summary::Counts;
use mos_dpdk::config::Io;
use mos_dpdk::device::{self, Plan, Queue};
use mos_dpdk::port::PortError;
use mos_dpdk::port::impair::{Impaired, Impairment};
use mos_dpdk::route::{RouteStats, Router};
use mos_dpdk::runtime::{self, Crew, Idle, Options, Outcome};
use mos_dpdk::snapshot::{Phase, Snapshot};
use mos_dpdk::{Links, Worker};
use mos_flow::filter::Filter;
use mos_flow::{
    Config, Context, Engine, Event, FilterSlot, Hook, Retention, Side, SocketError, SocketId, SocketKind,
};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How often the controlling thread looks around. An arbitrary figure.
const TICK: Duration = Duration::from_millis(100);

/// Settings of commands on live devices.
#[derive(Debug, clap::Args)]
pub(crate) struct LiveArgs {
    /// What the interfaces are: af_packet, af_xdp, dpdk or tap.
    #[arg(long, default_value = "af_packet", value_name = "KIND", value_parser = io_of)]
    io: Io,
    /// What DPDK is started with, for instance "--no-huge -m 512".
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    eal: Option<String>,
    /// Threads that share the traffic of every interface; both directions of a connection are one thread's.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// The core of each worker, for instance 0,2-3. Those without one run anywhere. Else several workers have the first cores, if there
    /// are enough.
    #[arg(long, value_name = "LIST", value_parser = cores)]
    cores: Option<Cores>,
    /// Look for frames without ever sleeping: the least delay, for cores that have nothing else to do.
    #[arg(long)]
    spin: bool,
    /// Serve counters to Prometheus at this address, for instance 127.0.0.1:9100.
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<SocketAddr>,
    #[arg(long, hide = true)]
    impair: Option<Impairment>,
    #[arg(long, hide = true, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Which connections are watched, and what is told of them.
#[derive(Debug, clap::Args)]
pub(crate) struct WatchArgs {
    /// Follow only connections whose SYN matches, a filter in the language of pcap.
    #[arg(long, value_name = "EXPRESSION", value_parser = filter)]
    filter: Option<Filter>,
    /// Events of connections, one JSON object a line, as mos events has them.
    #[arg(long)]
    pub(crate) json: bool,
    /// With --json: also packets and new data.
    #[arg(long, requires = "json")]
    packets: bool,
}

/// Numbers of cores.
#[derive(Clone, Debug)]
struct Cores(Vec<usize>);

fn io_of(name: &str) -> Result<Io, &'static str> {
    Io::named(name).filter(|io| *io != Io::Pcap).ok_or("expected af_packet, af_xdp, dpdk or tap")
}

fn cores(list: &str) -> Result<Cores, String> {
    let there = runtime::cores();
    let mut cores = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| format!("`{part}` is no core"));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("`{part}` has no core in it: expected the lower number first"));
        }
        for core in first..=last {
            if !there.contains(&core) {
                let there = there.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                return Err(format!("core {core} is not this process's; it has {there}"));
            }
            cores.push(core);
        }
    }
    Ok(Cores(cores))
}

/// A core for each of several workers.
fn own_cores(workers: u16) -> Vec<usize> {
    let there = runtime::cores();
    if workers > 1 && there.len() >= usize::from(workers) { there } else { Vec::new() }
}

impl WatchArgs {
    /// Opens the socket that watches connections.
    pub(crate) fn listen<A: Listener>(&self, engine: &mut Engine<A>) -> Result<SocketId, SocketError> {
        let socket = engine.open(SocketKind::Stream)?;
        for slot in [FilterSlot::Syn, FilterSlot::Orphan] {
            engine.bind(socket, slot, self.filter.clone())?;
        }
        if !self.json {
            for side in Side::BOTH {
                engine.monitor(socket)?.disable_buffer(side)?; // states come without octets
            }
            return Ok(socket);
        }
        for event in Event::ALL {
            match event {
                Event::NewData if !self.packets => {
                    engine.register(socket, event, Hook::None, pass_over::<A>, 0)?;
                }
                Event::PacketIn | Event::Orphan if !self.packets => {}
                _ => events::listen(engine, socket, event, events::on_event::<A>)?,
            }
        }
        Ok(socket)
    }
}

/// Octets that nobody reads are not kept.
fn pass_over<A>(ctx: &mut Context<'_, A>) {
    let Some(side) = ctx.side() else { return };
    if let Ok(mut monitor) = ctx.monitor() {
        let _ = monitor.skip(side, u64::MAX); // there may be none
    }
}

/// Open devices, and all that a run of workers over them takes.
pub(crate) struct Run {
    links: Vec<Links>,
    names: Vec<Option<String>>,
    options: Options,
    metrics: Option<Metrics>,
    signals: Signals,
}

/// What is left of a run.
pub(crate) struct Ended<A> {
    pub(crate) apps: Vec<A>,
    total: Snapshot,
    routed: Vec<RouteStats>,
    seconds: f64,
    names: Vec<Option<String>>,
    /// Sentences about workers that failed.
    failures: Vec<String>,
}

impl LiveArgs {
    /// What the interfaces are.
    pub(crate) fn io(&self) -> Io {
        self.io
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> u16 {
        self.workers
    }

    /// The engines' configuration.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        Ok(Config { retention: Retention::Unread, ..self.engine.config()? })
    }

    /// Opens devices: pairs, or single ones.
    pub(crate) fn open(&self, links: Vec<(String, Option<String>)>, forwards: bool) -> Result<Run, Failure> {
        let metrics = self.metrics.map(Metrics::bind).transpose()?;
        let eal = self.eal.iter().flat_map(|words| words.split_whitespace()).map(str::to_owned).collect();
        let plan = Plan { io: self.io, links, workers: self.workers, forwards, eal };
        let mut links = device::open(&plan).map_err(|e| Failure::unusable(&e))?;
        if let Some(impairment) = self.impair {
            let mut seed = self.seed;
            let mut impair = |port| -> Queue {
                seed = !seed.wrapping_mul(3);
                Box::new(Impaired::new(port, impairment, seed))
            };
            links = links.into_iter().map(|links| links.map(&mut impair)).collect();
        }
        if self.io != Io::Tap {
            plan.names().flatten().filter(|name| device::is_down(name)).for_each(|name| {
                eprintln!("mos: warning: {name} is down; there are no frames until it is up");
            });
        }
        let idle = if self.spin { Idle::Spin } else { Idle::Wait };
        let cores = self.cores.as_ref().map_or_else(|| own_cores(self.workers), |cores| cores.0.clone());
        Ok(Run {
            links,
            names: plan.names().map(|name| name.map(str::to_owned)).collect(),
            options: Options { idle, cores, ..Options::default() },
            metrics,
            signals: Signals::catch()?,
        })
    }
}

impl Run {
    /// The same with a router between the devices.
    pub(crate) fn routed(self, router: &Router) -> Self {
        let routed = |links: Links| Links::routed(links.into_ports(), router.clone());
        Run { links: self.links.into_iter().map(routed).collect(), ..self }
    }

    /// Runs an engine in each worker, until their devices are gone, a signal comes or `goes_on` says no; it is asked several
    /// times a second. Connections that are open then are ended.
    pub(crate) fn go<A: Send>(
        self,
        engines: Vec<(Engine<A>, A)>,
        mut goes_on: impl FnMut(&mut Crew<'_, A>) -> bool,
    ) -> Result<Ended<A>, Failure> {
        let Run { links, names, options, metrics, signals } = self;
        let workers = engines.into_iter().zip(links);
        let workers = workers.map(|((engine, app), links)| Worker::new(engine, app, links)).collect();
        let mut metrics = metrics.map(|metrics| metrics.serve(names.clone())).transpose()?;
        let start = Instant::now();
        let control = |crew: &mut Crew<'_, A>| {
            let mut failed = vec![false; crew.len()];
            let mut stopping = false;
            loop {
                if !stopping && (signals.came() || !goes_on(crew)) {
                    crew.stop();
                    stopping = true;
                }
                let snapshots: Vec<Snapshot> = (0..crew.len()).filter_map(|n| crew.snapshot(n)).collect();
                tell_of_failed(&snapshots, &mut failed);
                if let Some(metrics) = &mut metrics {
                    metrics.tell(snapshots);
                }
                if crew.wait(TICK) == 0 {
                    return crew.total();
                }
            }
        };
        let (total, outcomes) = runtime::run(workers, &options, control)?;
        let seconds = start.elapsed().as_secs_f64();
        let mut ended =
            Ended { apps: Vec::new(), total, routed: Vec::new(), seconds, names, failures: Vec::new() };
        (0..).zip(outcomes).for_each(|(rank, outcome)| ended.add(rank, outcome));
        Ok(ended)
    }
}

/// Says once of each worker that it has failed; why is told at the end.
fn tell_of_failed(snapshots: &[Snapshot], failed: &mut [bool]) {
    for (rank, (snapshot, failed)) in snapshots.iter().zip(failed).enumerate() {
        if snapshot.phase == Phase::Failed && !std::mem::replace(failed, true) {
            eprintln!("mos: worker {rank} has failed; the others go on");
        }
    }
}

impl<A> Ended<A> {
    fn add(&mut self, rank: usize, outcome: Outcome<A>) {
        let mut end = |result: Result<(), PortError>| {
            if let Err(e) = result {
                self.failures.push(format!("worker {rank} failed: {e}"));
            }
        };
        match outcome {
            Outcome::Ended(worker, result) => {
                end(result);
                self.routed.extend(worker.links.router().map(Router::statistics));
                let (mut engine, mut app) = worker.into_parts();
                engine.shutdown(&mut app);
                self.apps.push(app);
            }
            Outcome::Died(words) => self.failures.push(format!("worker {rank} died: {words}")),
        }
    }

    /// Counters of the run, and what became of each device's frames.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        Counts::new(&self.total.stats, self.seconds).write(out)?;
        let handed = self.total.handed;
        if handed.given + handed.lost + handed.early > 0 {
            let (given, lost, early) = (handed.given, handed.lost, handed.early);
            writeln!(
                out,
                "handed over  {given:>12}  to their workers, {lost} lost; {early} early fragments"
            )?;
        }
        route::write(&self.routed, out)?;
        let ports = self.names.iter().zip(&self.total.ports);
        for (name, port) in ports.filter_map(|(name, port)| Some((name.as_ref()?, port))) {
            writeln!(
                out,
                "{name:<12} {:>12}  received, {} dropped before, {} sent, {} refused",
                port.received, port.dropped, port.sent, port.refused
            )?;
        }
        Ok(())
    }

    /// The failure that there was, if there was one.
    pub(crate) fn judge(self) -> Result<(), Failure> {
        match self.failures.is_empty() {
            true => Ok(()),
            false => Err(Failure::partial(&self.failures.join("; "))),
        }
    }
}
