//! Measures: first each row over each traffic in a process of its own, which tells its memory and what it got wrong, then
//! all in turns in one process, which tells the time.

use crate::capture::Capture;
use crate::rows::{Group, Input, Purpose, Row, Subject};
use crate::sink::{Checking, Counting, Outcome};
use mos_flow::testing::traffic::Plan;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

unsafe extern "C" {
    safe fn give_memory_back();
}

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// A name of traffic.
    pub(crate) traffic: String,
    pub(crate) scale: f64,
    pub(crate) rows: Vec<Row>,
    pub(crate) rounds: usize,
}

/// What a process of its own tells about a row.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    /// Octets of memory at the peak, above what there was with the capture in memory.
    pub(crate) peak: u64,
    /// `None` when it reads nothing.
    pub(crate) outcome: Option<Outcome>,
}

/// All about a row on a traffic. Times are nanoseconds a packet.
#[derive(Clone, Debug)]
pub(crate) struct Result {
    pub(crate) row: Row,
    pub(crate) told: Told,
    pub(crate) median: f64,
    pub(crate) best: f64,
    /// How much longer the wall's clock took, of the median.
    pub(crate) wall: f64,
    /// Octets handed over in the timed rounds were as many as when they were checked.
    pub(crate) alike: bool,
}

/// All about a traffic.
#[derive(Clone, Debug)]
pub(crate) struct Results {
    pub(crate) traffic: String,
    pub(crate) packets: usize,
    pub(crate) octets: usize,
    pub(crate) connections: u32,
    pub(crate) at_once: usize,
    pub(crate) rows: Vec<Result>,
    /// What could not be measured, and why.
    pub(crate) failed: Vec<(Row, String)>,
}

impl Results {
    pub(crate) fn row(&self, name: &str) -> Option<&Result> {
        self.rows.iter().find(|result| result.row.name == name)
    }
}

/// Has this process, and those that it starts, run on one core: the last one that it may use, since the first ones have
/// most to do besides.
pub(crate) fn pin() -> std::result::Result<usize, String> {
    let core = *mos_dpdk::runtime::cores().last().ok_or("there is no core to run on")?;
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(|e| format!("core {core}: {e}"))?;
    Ok(core)
}

/// A capture for the rest of the process: some rows keep slices of it.
fn load(plan: &Plan) -> &'static Capture {
    Box::leak(Box::new(Capture::new(plan)))
}

/// A folder for the capture as a file, when it is needed.
struct Files(TempDir);

impl Files {
    fn new(job: &Job, capture: &Capture) -> std::result::Result<Option<Files>, String> {
        if !job.rows.iter().any(|row| row.from_file) {
            return Ok(None);
        }
        let files = Files(TempDir::with_prefix("peers-").map_err(|e| e.to_string())?);
        capture.write(files.paths().0).map_err(|e| format!("writing the capture: {e}"))?;
        Ok(Some(files))
    }

    /// Of the capture, and of a configuration.
    fn paths(&self) -> (&'static Path, &'static Path) {
        let path = |name| &*Box::leak(self.0.path().join(name).into_boxed_path());
        (path("capture.pcap"), path("mos.conf"))
    }
}

/// The whole job.
pub(crate) fn measure(job: &Job, plan: &Plan) -> std::result::Result<Results, String> {
    let mut failed = Vec::new();
    let mut told = Vec::new();
    for row in &job.rows {
        match ask(job, row) {
            Ok(answer) => told.push((*row, answer)),
            Err(why) => failed.push((*row, format!("`{}`: {why}", row.name))),
        }
    }
    let capture = load(plan);
    let files = Files::new(job, capture)?;
    let input = Input { capture, files: files.as_ref().map(Files::paths) };
    let mut entries = Vec::new();
    for (row, told) in told {
        match row.make.map_err(str::to_owned).and_then(|make| make(input, Purpose::Count)) {
            Ok(subject) => entries.push(Entry { row, told, subject, rounds: Vec::new(), alike: true }),
            Err(why) => failed.push((row, format!("`{}`: {why}", row.name))),
        }
    }
    time(&mut entries, capture, job.rounds)?;
    Ok(Results {
        traffic: job.traffic.clone(),
        packets: capture.len(),
        octets: capture.octets(),
        connections: capture.truth.flows(),
        at_once: capture.at_once,
        rows: entries.into_iter().map(|entry| entry.result(capture)).collect(),
        failed,
    })
}

struct Entry {
    row: Row,
    told: Told,
    subject: Box<dyn Subject>,
    rounds: Vec<Took>,
    alike: bool,
}

/// What a run took.
#[derive(Clone, Copy)]
struct Took {
    processor: Duration,
    wall: Duration,
}

/// Each row once, then all again, and in every round another one goes first. The round before the first warms up.
fn time(entries: &mut [Entry], capture: &'static Capture, rounds: usize) -> std::result::Result<(), String> {
    for round in 0..=rounds {
        for place in 0..entries.len() {
            let at = (place + round) % entries.len();
            let Some(entry) = entries.get_mut(at) else { continue };
            let took = entry.run(capture).map_err(|why| format!("{}: {why}", entry.row.name))?;
            if round > 0 {
                entry.rounds.push(took);
            }
        }
    }
    Ok(())
}

impl Entry {
    fn run(&mut self, capture: &'static Capture) -> std::result::Result<Took, String> {
        self.subject.begin()?;
        Counting::take();
        let (opening, timed) = capture.parts();
        if !self.row.from_file {
            self.subject.run(opening);
        }
        let clock = self.subject.clock();
        let (wall, processor) = (std::time::Instant::now(), spent(clock));
        self.subject.run(timed);
        let took = Took { processor: spent(clock) - processor, wall: wall.elapsed() };
        self.subject.finish();
        let octets = Counting::take();
        if let Some(outcome) = self.told.outcome {
            self.alike &= octets == outcome.right + outcome.wrong;
        }
        Ok(took)
    }

    fn result(self, capture: &Capture) -> Result {
        let packets = if self.row.from_file { capture.len() } else { capture.timed_len() };
        let of = |time: fn(&Took) -> Duration| {
            let mut times: Vec<Duration> = self.rounds.iter().map(time).collect();
            times.sort_unstable();
            times
        };
        let (processor, wall) = (of(|took| took.processor), of(|took| took.wall));
        let median =
            |times: &[Duration]| times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64();
        let each = 1e9 / packets.max(1) as f64;
        Result {
            row: self.row,
            told: self.told,
            median: median(&processor) * each,
            best: processor.first().copied().unwrap_or_default().as_secs_f64() * each,
            wall: median(&wall) / median(&processor) - 1.0,
            alike: self.alike,
        }
    }
}

fn spent(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}

/// Has a process of its own tell about a row. One that crashes takes nothing with it.
fn ask(job: &Job, row: &Row) -> std::result::Result<Told, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut process = Command::new(own);
    process.args(["--tell", row.name, "--traffic", &job.traffic, "--scale", &job.scale.to_string()]);
    let output = process.output().map_err(|e| e.to_string())?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}, {}", output.status, words.lines().last().unwrap_or("without a word")));
    }
    serde_json::from_slice(&output.stdout).map_err(|e| e.to_string())
}

/// What [`ask`] is answered.
pub(crate) fn tell(job: &Job, plan: &Plan) -> std::result::Result<Told, String> {
    let row = job.rows.first().ok_or("no row to tell about")?;
    let make = row.make.map_err(str::to_owned)?;
    let capture = load(plan);
    let files = Files::new(job, capture)?;
    let input = Input { capture, files: files.as_ref().map(Files::paths) };
    give_memory_back();
    let before = forget_peak().and_then(|()| memory("VmRSS:"));
    once(make(input, Purpose::Count)?, capture)?;
    let after = memory("VmHWM:");
    let peak = before.zip(after).ok_or("the kernel tells no memory in /proc/self/status")?;
    let outcome = if row.reads {
        Checking::begin(capture);
        once(make(input, Purpose::Check)?, capture)?;
        Some(Checking::end(capture))
    } else {
        None
    };
    Ok(Told { peak: peak.1.saturating_sub(peak.0), outcome })
}

fn once(mut subject: Box<dyn Subject>, capture: &'static Capture) -> std::result::Result<(), String> {
    subject.begin()?;
    subject.run(capture.frames());
    subject.finish();
    Ok(())
}

/// Has the kernel begin anew with the peak of resident memory.
fn forget_peak() -> Option<()> {
    fs::write("/proc/self/clear_refs", "5").ok()
}

/// Octets of this process, by the kernel.
fn memory(of: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(of))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// The rows of a name, or those that are run over a traffic.
pub(crate) fn chosen(rows: &[Row], only: &[String], about_size: bool) -> Vec<Row> {
    let wanted = |row: &&Row| match only {
        [] => !about_size || row.scales,
        names => names.iter().any(|name| name == row.name || is_group(row, name)),
    };
    rows.iter().filter(|row| row.make.is_ok()).filter(wanted).copied().collect()
}

fn is_group(row: &Row, name: &str) -> bool {
    match row.group {
        Group::Floor => name == "floors",
        Group::Ours => name == "ours",
        Group::Peer => name == "peers",
    }
}
