//! Events from workers to standard output: sheets of lines, in a queue that is bounded. What does not fit is lost, and counted.

use crate::events::{Line, Listener};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

/// Octets of a sheet that is handed over. An arbitrary figure.
const FULL: usize = 32 << 10;
/// Sheets that wait to be printed, for each worker. An arbitrary figure.
const WAITING: usize = 64;

/// The lines of one worker.
#[derive(Debug)]
pub(crate) struct Sheet {
    printer: SyncSender<Vec<u8>>,
    octets: Vec<u8>,
    lines: u64,
    lost: u64,
    /// Connections have numbers by worker: they are made different.
    rank: u64,
    workers: u64,
}

impl Listener for Sheet {
    fn take(&mut self, mut line: Line) {
        line.flow = line.flow.map(|flow| flow.saturating_mul(self.workers).saturating_add(self.rank));
        let before = self.octets.len();
        match line.write(&mut self.octets, true) {
            Ok(()) => self.lines += 1,
            Err(_) => self.octets.truncate(before), // memory takes everything
        }
        if self.octets.len() >= FULL {
            self.hand_over();
        }
    }
}

impl Sheet {
    /// Gives away what there is. The worker does not wait.
    pub(crate) fn hand_over(&mut self) {
        if self.octets.is_empty() {
            return;
        }
        match self.printer.try_send(std::mem::take(&mut self.octets)) {
            Ok(()) => self.octets = Vec::with_capacity(FULL + 1024),
            Err(TrySendError::Full(octets) | TrySendError::Disconnected(octets)) => {
                self.lost += self.lines;
                self.octets = octets;
                self.octets.clear();
            }
        }
        self.lines = 0;
    }

    /// Gives away the rest, when the worker has ended. Returns how many lines were lost.
    fn finish(self) -> u64 {
        match self.printer.send(self.octets) {
            Ok(()) => self.lost,
            Err(_) => self.lost + self.lines,
        }
    }
}

/// The thread that prints. It ends when all sheets are finished, or when nobody reads what it prints.
#[derive(Debug)]
pub(crate) struct Printer(JoinHandle<io::Result<()>>);

impl Printer {
    /// One for so many workers, and their sheets.
    pub(crate) fn start(workers: u16) -> io::Result<(Printer, Vec<Sheet>)> {
        let (printer, sheets) = sync_channel(WAITING * usize::from(workers));
        let thread = thread::Builder::new().name("mos-printer".to_owned()).spawn(move || print(&sheets))?;
        let sheet = |rank| Sheet {
            printer: printer.clone(),
            octets: Vec::new(),
            lines: 0,
            lost: 0,
            rank,
            workers: workers.into(),
        };
        Ok((Printer(thread), (0..workers.into()).map(sheet).collect()))
    }

    /// Whether nobody reads any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.is_finished()
    }

    /// Waits for all to be printed.
    fn finish(self) -> io::Result<()> {
        self.0.join().unwrap_or_else(|_| Err(io::Error::other("the printer died")))
    }
}

/// The end of a run: the rest of the lines, if lines were printed, and the summary, which goes to stderr then.
pub(crate) fn finish(
    printer: Option<Printer>,
    sheets: impl Iterator<Item = Sheet>,
    summary: &[u8],
) -> io::Result<()> {
    let lost: u64 = sheets.map(Sheet::finish).sum();
    let Some(printer) = printer else { return io::stdout().write_all(summary) };
    let printed = printer.finish();
    io::stderr().write_all(summary)?;
    if lost > 0 {
        eprintln!("mos: warning: {lost} events were not printed: whoever reads them is too slow");
    }
    printed
}

fn print(sheets: &Receiver<Vec<u8>>) -> io::Result<()> {
    let mut out = io::stdout();
    for octets in sheets {
        out.write_all(&octets)?;
        out.flush()?;
    }
    Ok(())
}
