//! Several workers beside one, in turns, on the same capture in memory. It is dealt out before: with several queues of a network
//! card, nobody looks at the frames of others.

use super::{App, Args, Mode, engine};
use crate::common::Failure;
use mos_dpdk::capture::Capture;
use mos_dpdk::port::{Capabilities, Port, PortError, Received, Spread, Statistics, Timestamps};
use mos_dpdk::rss::{Share, Splitter};
use mos_dpdk::runtime::{self, Crew, Options, Outcome};
use mos_dpdk::{Links, Worker};
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant};
use serde::Serialize;
use std::io::{self, Write};
use std::time::Duration;

/// What is told.
#[derive(Debug, Serialize)]
pub(super) struct Scale {
    mode: Mode,
    repeat: u32,
    workers: u16,
    packets: u64,
    /// Packets of the worker that has most.
    most_packets: u64,
    /// Connections that all workers together have found.
    flows: u64,
    /// The median round of one worker.
    one_seconds: f64,
    /// The median round of all.
    seconds: f64,
    /// How many times the throughput of one worker.
    times: f64,
    /// The same, had every worker a processor to itself: by the time that processors spent on one worker, and on the one of several
    /// that had most to do.
    times_by_processor: f64,
}

/// A capture whose clock was moved on.
struct Round<'c> {
    capture: &'c Capture,
    next: usize,
    shift: u64,
    /// What this thread's processor had spent at the beginning, and from there to the end.
    spent: (Option<Duration>, Duration),
}

impl<'c> Round<'c> {
    fn new(capture: &'c Capture, shift: u64) -> Self {
        Round { capture, next: 0, shift, spent: (None, Duration::ZERO) }
    }
}

impl Port for Round<'_> {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let (shift, begun) = (self.shift, *self.spent.0.get_or_insert_with(processor_time));
        let frames = self.capture.frames_from(self.next).take(BURST);
        let mut burst: heapless::Vec<Frame<'_>, BURST> =
            frames.map(|f| Frame { time: Instant(f.time.0.saturating_add(shift)), ..f }).collect();
        if burst.is_empty() {
            self.spent.1 = processor_time() - begun;
            return Ok(Received::End);
        }
        self.next += burst.len();
        deliver(&mut burst);
        Ok(Received::Frames(burst.len()))
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, PortError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { timestamps: Timestamps::File, spread: Spread::ByHash, zero_copy: false }
    }

    fn statistics(&self) -> Statistics {
        Statistics { received: self.next as u64, ..Statistics::default() }
    }
}

/// Of this thread.
fn processor_time() -> Duration {
    #[cfg(unix)]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
    }
    #[cfg(not(unix))]
    Duration::ZERO
}

type Crewman<'c> = Worker<App, Round<'c>>;

/// What a run took: by the clock, and of processors for the worker that had most to do.
#[derive(Clone, Copy, Debug)]
struct Took {
    clock: Duration,
    processor: Duration,
}

pub(super) fn measure(args: &Args, capture: &Capture) -> Result<Scale, Failure> {
    let shares = deal(capture, args.workers.into());
    let mut one = vec![worker(args, capture)?];
    let mut all: Vec<Crewman<'_>> =
        shares.iter().map(|share| worker(args, share)).collect::<Result<_, Failure>>()?;
    let (mut one_took, mut all_took, mut flows) = (Vec::new(), Vec::new(), 0);
    let span = super::span_of(capture);
    for round in 0..=args.repeat {
        let shift = span.saturating_mul(u64::from(round));
        let took;
        (one, took) = run(one, shift)?;
        one_took.push(took);
        let before: u64 = all.iter().map(|worker| worker.engine.stats().flows).sum();
        let took;
        (all, took) = run(all, shift)?;
        all_took.push(took);
        flows = all.iter().map(|worker| worker.engine.stats().flows).sum::<u64>() - before;
    }
    let [one_seconds, seconds] = [&one_took, &all_took].map(|took| median(took, |took| took.clock));
    let [one_spent, spent] = [&one_took, &all_took].map(|took| median(took, |took| took.processor));
    Ok(Scale {
        mode: args.mode,
        repeat: args.repeat,
        workers: args.workers,
        packets: capture.len() as u64,
        most_packets: shares.iter().map(Capture::len).max().unwrap_or_default() as u64,
        flows,
        one_seconds,
        seconds,
        times: one_seconds / seconds,
        times_by_processor: one_spent / spent,
    })
}

/// The connections of a capture by worker, as cards deal them out.
fn deal(capture: &Capture, workers: u32) -> Vec<Capture> {
    let mut shares = Vec::new();
    for share in (0..workers).filter_map(|rank| Share::new(rank, workers)) {
        let (mut splitter, mut own) = (Splitter::new(share), Capture::default());
        capture.frames_from(0).filter(|frame| splitter.takes(frame)).for_each(|frame| own.extend(&[frame]));
        shares.push(own);
    }
    shares
}

fn worker<'c>(args: &Args, capture: &'c Capture) -> Result<Crewman<'c>, Failure> {
    let engine = engine(args).map_err(|e| Failure::unusable(&e))?;
    Ok(Worker::new(engine, App::new(), Links::listen(Round::new(capture, 0))))
}

/// One run over the capture; its connections are ended when the time was taken.
fn run(mut workers: Vec<Crewman<'_>>, shift: u64) -> Result<(Vec<Crewman<'_>>, Took), Failure> {
    for worker in &mut workers {
        let capture = worker.links.ports().map(|round| round.capture).next();
        if let Some(capture) = capture {
            worker.links = Links::listen(Round::new(capture, shift));
        }
    }
    let cores = if workers.len() <= runtime::cores().len() { runtime::cores() } else { Vec::new() };
    let options = Options { cores, ..Options::default() };
    let control = |crew: &mut Crew<'_, App>| while crew.wait(Duration::from_secs(1)) > 0 {};
    let start = std::time::Instant::now();
    let ((), outcomes) = runtime::run(workers, &options, control)?;
    let clock = start.elapsed();
    let mut processor = Duration::ZERO;
    let worker = |outcome| match outcome {
        Outcome::Ended(mut worker, result) => {
            let _: () = result.map_err(|e: PortError| Failure::partial(&e))?;
            let spent = worker.links.ports().map(|round: &Round<'_>| round.spent.1).max();
            processor = processor.max(spent.unwrap_or_default());
            worker.engine.shutdown(&mut worker.app);
            Ok(*worker)
        }
        Outcome::Died(words) => Err(Failure::partial(&format!("a worker died: {words}"))),
    };
    let workers = outcomes.into_iter().map(worker).collect::<Result<_, Failure>>()?;
    Ok((workers, Took { clock, processor }))
}

/// Without the first round, which warms up.
fn median(rounds: &[Took], of: fn(&Took) -> Duration) -> f64 {
    let mut rounds: Vec<Duration> = rounds.iter().skip(1).map(of).collect();
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

impl Scale {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mode = format!("{:?}", self.mode).to_lowercase();
        writeln!(out, "mode            {mode}, median of {} rounds", self.repeat)?;
        writeln!(out, "packets         {} ({} at one worker)", self.packets, self.most_packets)?;
        writeln!(out, "flows           {}", self.flows)?;
        for (workers, seconds) in [(1, self.one_seconds), (self.workers, self.seconds)] {
            let mpps = self.packets as f64 / seconds / 1e6;
            writeln!(out, "workers {workers:<7} {seconds:.6} s, {mpps:.3} Mpps")?;
        }
        writeln!(
            out,
            "throughput      {:.2} times one worker; {:.2} times by the processors' time",
            self.times, self.times_by_processor
        )
    }
}
