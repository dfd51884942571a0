//! `mos forward`: between interfaces, as a cable that sees what it carries, or as a router.

use crate::common::{Failure, filter};
use crate::events::{Line, Listener};
use crate::live::{LiveArgs, WatchArgs};
use crate::route::RouteArgs;
use crate::sheet::{self, Printer, Sheet};
use mos_dpdk::runtime::Crew;
use mos_dpdk::snapshot::Snapshot;
use mos_flow::filter::Filter;
use mos_flow::{Context, Engine, Event, FilterSlot, Hook, SocketError, SocketKind};
use std::io::Write;
use std::time::{Duration, Instant};

/// Arguments of `mos forward`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The interfaces: the first and the second are the ends of a cable, and so are the third and the fourth, and so on.
    #[arg(required = true, num_args = 2.., value_name = "INTERFACE")]
    interfaces: Vec<String>,
    /// Do not forward packets that match, a filter in the language of pcap.
    #[arg(long, value_name = "EXPRESSION", value_parser = filter)]
    drop: Option<Filter>,
    /// Say on stderr how it goes, so often.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    stats: Option<u64>,
    #[command(flatten)]
    route: RouteArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    live: LiveArgs,
}

/// The state of a worker.
struct App {
    sheet: Option<Sheet>,
    dropped: u64,
}

impl Listener for App {
    fn take(&mut self, line: Line) {
        if let Some(sheet) = &mut self.sheet {
            sheet.take(line);
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let pairs = pairs(&args.interfaces)?;
    let mut run = args.live.open(pairs.iter().map(|(a, b)| (a.clone(), Some(b.clone()))).collect(), true)?;
    let router = args.route.router(args.live.io(), &args.interfaces)?;
    let is_routed = router.is_some();
    if let Some(router) = router {
        run = run.routed(&router);
    }
    let (printer, sheets) = match args.watch.json {
        true => Printer::start(args.live.workers()).map(|(printer, sheets)| (Some(printer), sheets))?,
        false => (None, Vec::new()),
    };
    let mut sheets = sheets.into_iter();
    let mut engines = Vec::new();
    for _ in 0..args.live.workers() {
        let mut engine = Engine::new(args.live.config()?).map_err(|e| Failure::unusable(&e))?;
        args.listen(&mut engine).map_err(|e| Failure::unusable(&e))?;
        engines.push((engine, App { sheet: sheets.next(), dropped: 0 }));
    }
    for (left, right) in &pairs {
        eprintln!("mos: {} {left} and {right}", if is_routed { "routing between" } else { "between" });
    }
    let mut progress = args.stats.map(|seconds| Progress::new(Duration::from_secs(seconds)));
    let mut ended = run.go(engines, |crew| {
        if let Some(progress) = &mut progress {
            progress.tell(crew.total());
        }
        hand_over(crew, printer.as_ref())
    })?;
    let dropped: u64 = ended.apps.iter().map(|app| app.dropped).sum();
    let sheets: Vec<Sheet> = ended.apps.drain(..).filter_map(|app| app.sheet).collect();
    let mut summary = Vec::new();
    ended.write(&mut summary)?;
    if args.drop.is_some() {
        writeln!(summary, "dropped      {dropped:>12}  packets that --drop matches")?;
    }
    sheet::finish(printer, sheets.into_iter(), &summary)?;
    ended.judge()
}

fn pairs(interfaces: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |pair: &[String]| match pair {
        [left, right] => Ok((left.clone(), right.clone())),
        _ => {
            let alone = pair.concat();
            Err(Failure::unusable(&format!("{alone} has no partner: interfaces are named in pairs")))
        }
    };
    interfaces.chunks(2).map(pair).collect()
}

impl Args {
    fn listen(&self, engine: &mut Engine<App>) -> Result<(), SocketError> {
        if let Some(drop) = &self.drop {
            let socket = engine.open(SocketKind::Raw)?;
            engine.bind(socket, FilterSlot::Packet, Some(drop.clone()))?;
            engine.register(socket, Event::PacketIn, Hook::None, drop_packet, 0)?;
        }
        self.watch.listen(engine).map(|_| ())
    }
}

fn drop_packet(ctx: &mut Context<'_, App>) {
    ctx.drop_packet();
    ctx.app().dropped += 1;
}

/// Has all workers give away the lines that they have. Whether somebody still reads them.
fn hand_over(crew: &mut Crew<'_, App>, printer: Option<&Printer>) -> bool {
    let Some(printer) = printer else { return true };
    for rank in 0..crew.len() {
        // Who has too much to do gives them away by itself.
        let _ = crew.call(rank, |_, app, _| app.sheet.iter_mut().for_each(Sheet::hand_over), 0);
    }
    !printer.has_failed()
}

/// How it goes, now and then.
struct Progress {
    every: Duration,
    start: Instant,
    /// What was told last, and when.
    before: (Instant, Snapshot),
}

impl Progress {
    fn new(every: Duration) -> Self {
        let start = Instant::now();
        Progress { every, start, before: (start, Snapshot::default()) }
    }

    fn tell(&mut self, total: Snapshot) {
        let (now, (then, before)) = (Instant::now(), self.before);
        let passed = now - then;
        if passed < self.every {
            return;
        }
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed.as_secs_f64();
        let ports = total.ports.iter();
        let (dropped, refused) = ports.fold((0, 0), |sum, p| (sum.0 + p.dropped, sum.1 + p.refused));
        eprintln!(
            "{:.0} s: {} connections, {:.0} packets/s, {:.3} Mbit/s; so far {} packets, {} dropped before, {} refused",
            (now - self.start).as_secs_f64(),
            total.flows,
            rate(total.stats.frames, before.stats.frames),
            rate(total.stats.octets, before.stats.octets) * 8.0 / 1e6,
            total.stats.frames,
            dropped,
            refused
        );
        self.before = (now, total);
    }
}
