//! `mos monitor`: the connections of interfaces, as they are now.

mod table;

use crate::common::Failure;
use crate::events::{Line, Listener};
use crate::live::{LiveArgs, WatchArgs};
use crate::sheet::{self, Printer, Sheet};
use mos_dpdk::runtime::Crew;
use mos_dpdk::snapshot::Snapshot;
use mos_flow::stats::Group;
use mos_flow::{Engine, Event, Hook, SocketError};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use table::{Row, Table};

/// Arguments of `mos monitor`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An interface to listen to; may be given several times.
    #[arg(short, long, required = true, value_name = "INTERFACE")]
    interface: Vec<String>,
    /// How often the table is printed.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = seconds)]
    interval: f64,
    /// Connections in the table: those with the highest rates.
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1000))]
    rows: u16,
    /// End after this many packets or a few more.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End after this time.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    live: LiveArgs,
}

/// A time that is not too short to be told, nor too long.
fn seconds(text: &str) -> Result<f64, &'static str> {
    let seconds = text.parse().ok().filter(|seconds| (0.1..=1e9).contains(seconds));
    seconds.ok_or("expected seconds, 0.1 at least")
}

/// The state of a worker.
pub(crate) struct App {
    sheet: Option<Sheet>,
    table: Table,
    board: Board,
}

/// Where a worker leaves the rows of its last look.
type Board = Arc<Mutex<Vec<Row>>>;

impl Listener for App {
    fn take(&mut self, line: Line) {
        if let Some(sheet) = &mut self.sheet {
            sheet.take(line);
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let run = args.live.open(args.interface.iter().map(|name| (name.clone(), None)).collect(), false)?;
    let (printer, sheets) = match args.watch.json {
        true => Printer::start(args.live.workers()).map(|(printer, sheets)| (Some(printer), sheets))?,
        false => (None, Vec::new()),
    };
    let mut sheets = sheets.into_iter();
    let mut engines = Vec::new();
    let boards: Vec<Board> = (0..args.live.workers()).map(|_| Board::default()).collect();
    for board in &boards {
        let mut engine = Engine::new(args.live.config()?).map_err(|e| Failure::unusable(&e))?;
        args.listen(&mut engine).map_err(|e| Failure::unusable(&e))?;
        let (sheet, board) = (sheets.next(), Arc::clone(board));
        engines.push((engine, App { sheet, table: Table::default(), board }));
    }
    eprintln!("mos: listening to {}", args.interface.join(", "));
    let mut screen = Screen::new(args, boards);
    let mut failure = None;
    let mut ended = run.go(engines, |crew| {
        let shown = match &printer {
            Some(printer) => {
                call_all(crew, |_, app, _| app.sheet.iter_mut().for_each(Sheet::hand_over), 0);
                Ok(!printer.has_failed())
            }
            None => screen.refresh(crew).map(|()| true),
        };
        match shown {
            Ok(goes_on) => goes_on && !screen.is_over(crew.total().stats.frames),
            Err(e) => {
                failure = Some(e);
                false
            }
        }
    })?;
    failure.map_or(Ok(()), Err)?;
    let sheets: Vec<Sheet> = ended.apps.drain(..).filter_map(|app| app.sheet).collect();
    let mut summary = Vec::new();
    ended.write(&mut summary)?;
    sheet::finish(printer, sheets.into_iter(), &summary)?;
    ended.judge()
}

impl Args {
    fn listen(&self, engine: &mut Engine<App>) -> Result<(), SocketError> {
        let socket = self.watch.listen(engine)?;
        if !self.watch.json {
            engine.register(socket, Event::ConnStart, Hook::Sender, table::on_start, 0)?;
            engine.register(socket, Event::PacketIn, Hook::Sender, table::on_packet, 0)?;
            engine.register(socket, Event::ConnEnd, Hook::Sender, table::on_end, 0)?;
        }
        Ok(())
    }
}

/// Has all workers do something soon; who has too much to do does it another time.
fn call_all(crew: &mut Crew<'_, App>, task: mos_dpdk::runtime::Task<App>, word: u64) {
    for rank in 0..crew.len() {
        let _ = crew.call(rank, task, word);
    }
}

/// Looks for the busiest connections, `rows` of them.
fn look(engine: &mut Engine<App>, app: &mut App, rows: u64) {
    let rows = app.table.look(engine, usize::try_from(rows).unwrap_or(usize::MAX));
    *app.board.lock().unwrap_or_else(PoisonError::into_inner) = rows;
}

/// What is printed now and then.
struct Screen<'a> {
    args: &'a Args,
    boards: Vec<Board>,
    start: Instant,
    /// When it was last printed, and what the total was.
    before: (Instant, Snapshot),
    /// The workers are looking; what they see is printed the next time.
    is_asked: bool,
}

impl<'a> Screen<'a> {
    fn new(args: &'a Args, boards: Vec<Board>) -> Self {
        let start = Instant::now();
        Screen { args, boards, start, before: (start, Snapshot::default()), is_asked: false }
    }

    fn is_over(&self, frames: u64) -> bool {
        self.args.count.is_some_and(|count| frames >= count)
            || self.args.seconds.is_some_and(|seconds| self.start.elapsed().as_secs_f64() >= seconds)
    }

    fn refresh(&mut self, crew: &mut Crew<'_, App>) -> io::Result<()> {
        if self.is_asked {
            self.is_asked = false;
            return self.print(crew.total());
        }
        if self.before.0.elapsed() >= Duration::from_secs_f64(self.args.interval) {
            call_all(crew, look, self.args.rows.into());
            self.is_asked = true;
        }
        Ok(())
    }

    fn print(&mut self, total: Snapshot) -> io::Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        for board in &self.boards {
            rows.append(&mut board.lock().unwrap_or_else(PoisonError::into_inner));
        }
        rows.sort_by_key(|row| std::cmp::Reverse(row.rate));
        rows.truncate(self.args.rows.into());
        let mut text = Vec::new();
        if io::stdout().is_terminal() {
            text.extend(b"\x1b[H\x1b[2J"); // in the place of the last one
        }
        self.write_totals(&mut text, &total)?;
        if !rows.is_empty() {
            Row::write_title(&mut text)?;
        }
        rows.iter().try_for_each(|row| row.write(&mut text))?;
        self.before = (Instant::now(), total);
        let mut out = io::stdout().lock();
        out.write_all(&text)?;
        out.flush()
    }

    fn write_totals(&self, out: &mut impl Write, total: &Snapshot) -> io::Result<()> {
        let (stats, before) = (&total.stats, &self.before.1.stats);
        let passed = self.before.0.elapsed().as_secs_f64();
        let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed;
        write!(
            out,
            "{:.1} s: {} packets, {:.0} packets/s, {:.3} Mbit/s, {} connections, {} new",
            self.start.elapsed().as_secs_f64(),
            stats.frames,
            rate(stats.frames, before.frames),
            rate(stats.octets, before.octets) * 8.0 / 1e6,
            total.flows,
            stats.flows - before.flows
        )?;
        let dropped: u64 = total.ports.iter().map(|port| port.dropped).sum();
        let reasons = stats.counters().filter(|c| c.group == Group::Dropped).map(|c| (c.symbol, c.count));
        let lost = [("dropped before", dropped), ("lost between workers", total.handed.lost)];
        for (name, count) in lost.into_iter().chain(reasons).filter(|(_, count)| *count > 0) {
            write!(out, ", {count} {name}")?;
        }
        writeln!(out)
    }
}
