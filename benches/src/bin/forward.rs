//! What a worker between two interfaces costs, beside the kernel's bridge, and whether it bears it for long.
//!
//! `forward` prints a table: how long a frame takes alone, and how many go through a second without loss, over a cable, the
//! kernel's bridge and a worker, which sleeps when there is nothing to do or does not. `forward soak MINUTES` sends at 80 % of a worker's
//! rate without loss, while connections open and close all the time. `forward quick` does all of it in less time.
//!
//! It takes root and `ip`: everything is done on virtual interfaces in a network namespace of its own. The ends are served by one
//! thread, the worker is another: two cores.

use benches::crowd::{Crowd, Octets, engine, resident};
use mos_dpdk::port::af_packet::{AfPacket, Options as Interface};
use mos_dpdk::port::{OpenError, Port, PortError, Received};
use mos_dpdk::runtime::{self, Crew, Idle, Options, Outcome};
use mos_dpdk::{Links, Worker};
use mos_flow::engine::BURST;
use mos_flow::testing::traffic::Numbers;
use mos_flow::{Frame, Instant as Time};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Connections that are open, over which the frames are spread.
const FLOWS: u32 = 1000;
/// Connections that the worker has room for.
const ROOM: usize = 100_000;
/// How long what is on its way may take on a busy machine. An arbitrary figure.
const SOON: Duration = Duration::from_secs(1);
/// Bursts after which a host answers.
const ANSWER: usize = 64;
/// Octets of the kernel's queue at each interface. A virtual machine may be halted for longer than the usual one lasts: what
/// this holds lasts for a second and more, and a rate that only fills it is told from one that is carried (see [`KEPT_UP`]).
const QUEUE: usize = 128 << 20;
/// A rate is carried when what was sent has come after this many times the time in which it was sent.
const KEPT_UP: f64 = 1.05;

/// How much is done.
#[derive(Clone, Copy)]
struct Effort {
    /// Frames that are sent alone.
    alone: usize,
    /// How long frames are sent at each rate.
    length: Duration,
    /// Rates that are tried.
    tries: usize,
    soak: Option<Duration>,
}

/// What is between the ends.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    Cable,
    Bridge,
    Worker(Idle),
}

impl fmt::Display for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Between::Cable => "a cable",
            Between::Bridge => "the kernel's bridge",
            Between::Worker(Idle::Wait) => "a worker that sleeps",
            Between::Worker(Idle::Spin) => "a worker that does not",
        })
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result =
        if std::env::var_os("FORWARD_ALONE").is_some() { run(&arguments) } else { alone(&arguments) };
    match result {
        Ok(code) => code,
        Err(e) => {
            eprintln!("forward: {e}");
            ExitCode::FAILURE
        }
    }
}

/// The same again in a network namespace of its own.
fn alone(arguments: &[String]) -> Result<ExitCode> {
    if !Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: a network namespace takes root and the command unshare; nothing was measured");
        return Ok(ExitCode::SUCCESS);
    }
    let own = std::env::current_exe()?;
    let mut command = Command::new("unshare");
    let status = command.args(["--net", "--"]).arg(own).args(arguments).env("FORWARD_ALONE", "1").status()?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let whole = Effort { alone: 5000, length: Duration::from_millis(1500), tries: 7, soak: None };
    let minutes = |text: &String| text.parse::<f64>().map(|m| Duration::from_secs_f64(m * 60.0));
    let effort = match arguments {
        [] => whole,
        [word] if word == "quick" => Effort {
            alone: 300,
            length: Duration::from_millis(200),
            tries: 4,
            soak: Some(Duration::from_secs(2)),
        },
        [word, time] if word == "soak" => Effort { soak: Some(minutes(time)?), ..whole },
        _ => return Err("expected nothing, quick, or soak MINUTES".into()),
    };
    let is_soak = arguments.first().is_some_and(|word| word == "soak");
    if !is_soak {
        table(effort)?;
    }
    let lost = effort.soak.map_or(Ok(0), |length| soak(effort, length))?;
    // Two seconds tell whether it runs; whether a machine with other things to do loses a frame in them tells nothing.
    Ok(if is_soak && lost > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn table(effort: Effort) -> Result<()> {
    println!(
        "| between the ends | a frame alone, median, µs | 99 of 100, µs | frames a second without loss |"
    );
    println!("|---|--:|--:|--:|");
    let rows = [Between::Cable, Between::Bridge, Between::Worker(Idle::Wait), Between::Worker(Idle::Spin)];
    for between in rows {
        let (mut times, rate) = on(between, |ends, _| {
            ends.open_all()?;
            Ok((ends.alone(effort.alone)?, ends.rate_without_loss(effort)?))
        })?;
        times.sort_unstable();
        let at = |percent: usize| {
            times.get(times.len() * percent / 100).map_or(0.0, |time| time.as_secs_f64() * 1e6)
        };
        println!("| {between} | {:.1} | {:.1} | {rate:.0} |", at(50), at(99));
    }
    Ok(())
}

/// Calls `f` with the ends of a network.
fn on<T>(between: Between, f: impl FnOnce(&mut Ends, Option<&Crew<'_, ()>>) -> Result<T>) -> Result<T> {
    let names: &[&str] = if between == Between::Cable { &["a0", "b0"] } else { &["a0", "a1", "b0", "b1"] };
    for pair in names.chunks(2) {
        ip(&["link", "add", pair[0], "type", "veth", "peer", "name", pair[1]])?;
    }
    if between == Between::Bridge {
        ip(&["link", "add", "br0", "type", "bridge", "mcast_snooping", "0"])?;
        ["a1", "b1"].iter().try_for_each(|name| ip(&["link", "set", name, "master", "br0"]))?;
        quiet("br0")?;
    }
    names.iter().try_for_each(|name| quiet(name))?;
    if between == Between::Bridge {
        // A plain bridge: it looks into no packet. (Where it never does, there is nothing to switch off.)
        let _ = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
        // The kernel looks at most once a second whether there is a carrier.
        std::thread::sleep(Duration::from_secs(2));
    }
    let mut ends = Ends::open()?;
    let result = if let Between::Worker(idle) = between {
        let links = Links::between(open("a1")?, open("b1")?);
        let worker = Worker::new(engine(ROOM), (), links);
        // The ends have the first core.
        let options = Options {
            idle,
            cores: runtime::cores().into_iter().skip(1).take(1).collect(),
            ..Options::default()
        };
        let (result, outcomes) = runtime::run(vec![worker], &options, |crew| f(&mut ends, Some(crew)))?;
        for outcome in outcomes {
            match outcome {
                Outcome::Ended(_, ended) => ended?,
                Outcome::Died(words) => return Err(words.into()),
            }
        }
        result
    } else {
        f(&mut ends, None)
    };
    drop(ends);
    if between == Between::Bridge {
        ip(&["link", "delete", "br0"])?;
    }
    names.iter().step_by(2).try_for_each(|name| ip(&["link", "delete", name]))?;
    result
}

/// Up, and says nothing by itself.
fn quiet(name: &str) -> Result<()> {
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1"); // there may be no IPv6
    ip(&["link", "set", name, "up"])
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim()).into())
}

fn open(name: &str) -> std::result::Result<AfPacket, OpenError> {
    AfPacket::open(name, &Interface { memory: QUEUE, ..Interface::inline() })
}

/// The hosts at both ends, served by one thread.
struct Ends {
    ports: [AfPacket; 2],
    received: [u64; 2],
    sent: [u64; 2],
    /// Of those, frames that nobody waits for any more.
    lost: u64,
    crowd: Crowd,
    numbers: Numbers,
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

impl Ends {
    fn open() -> Result<Self> {
        let crowd = Crowd::new(ROOM);
        let ports = [open("a0")?, open("b0")?];
        Ok(Ends { ports, received: [0; 2], sent: [0; 2], lost: 0, crowd, numbers: Numbers::new(1) })
    }

    /// Sends frames from one end.
    fn send(&mut self, from: usize, frames: &[Octets]) -> std::result::Result<(), PortError> {
        let mut burst = [Frame::ethernet(Time(0), &[]); BURST];
        for part in frames.chunks(BURST) {
            burst.iter_mut().zip(part).for_each(|(frame, octets)| *frame = Frame::ethernet(Time(0), octets));
            let sent = self.ports[from].transmit(&burst[..part.len()])?;
            self.sent[1 - from] += sent as u64;
        }
        Ok(())
    }

    /// Takes what has come to both ends. Returns how many frames.
    fn take(&mut self) -> std::result::Result<u64, PortError> {
        let mut all = 0;
        for (port, received) in self.ports.iter_mut().zip(&mut self.received) {
            while let Received::Frames(n) = port.receive(&mut |_| ())? {
                *received += n as u64;
                all += n as u64;
            }
        }
        Ok(all)
    }

    /// Takes until everything that was sent has come, or nothing more comes. Returns how many frames are missing.
    fn take_all(&mut self) -> std::result::Result<u64, PortError> {
        let mut last = Instant::now();
        while self.missing() > 0 && last.elapsed() < SOON {
            if self.take()? > 0 {
                last = Instant::now();
            }
        }
        Ok(self.missing())
    }

    /// Frames that were sent, have not come, and are not known to be lost.
    fn missing(&self) -> u64 {
        let (sent, received) = (self.sent.iter().sum::<u64>(), self.received.iter().sum::<u64>());
        sent.saturating_sub(received + self.lost)
    }

    /// The handshakes of all connections.
    fn open_all(&mut self) -> Result<()> {
        let all: Vec<[Octets; 3]> = (0..FLOWS).map(|n| self.crowd.handshake(n)).collect();
        for part in all.chunks(BURST) {
            for (step, from) in [CLIENT, SERVER, CLIENT].into_iter().enumerate() {
                let frames: Vec<Octets> = part.iter().map(|segments| segments[step]).collect();
                self.send(from, &frames)?;
                if self.take_all()? > 0 {
                    return Err("a frame has got lost although there was time".into());
                }
            }
        }
        Ok(())
    }

    fn data(&mut self) -> Octets {
        let n = self.numbers.below(FLOWS);
        self.crowd.data(n)
    }

    /// How long frames take when there are no others.
    fn alone(&mut self, count: usize) -> Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(count);
        for n in 0..count {
            // Out of step with every timer.
            std::thread::sleep(Duration::from_micros(500 + (n * 377 % 1000) as u64));
            let frame = self.data();
            let start = Instant::now();
            self.send(CLIENT, &[frame])?;
            if self.take_all()? > 0 {
                return Err("a frame has got lost although it was alone".into());
            }
            times.push(start.elapsed());
        }
        Ok(times)
    }

    /// The highest rate that is carried without loss, by halves.
    fn rate_without_loss(&mut self, effort: Effort) -> Result<f64> {
        let most = self.at_rate(f64::INFINITY, effort.length)?;
        if most.is_carried() {
            return Ok(most.carried());
        }
        let (mut low, mut high) = (0.0, most.offered());
        for _ in 0..effort.tries {
            let rate = (low + high) / 2.0;
            let trial = self.at_rate(rate, effort.length)?;
            if trial.is_carried() {
                low = trial.carried();
            } else {
                high = rate;
            }
        }
        Ok(low)
    }

    fn at_rate(&mut self, rate: f64, length: Duration) -> Result<Trial> {
        let before = self.sent[SERVER];
        let start = Instant::now();
        let mut frames = [[0; _]; BURST / 2];
        while start.elapsed() < length {
            let sent = self.sent[SERVER] - before;
            if (sent as f64) < rate * start.elapsed().as_secs_f64() {
                frames.iter_mut().for_each(|frame| *frame = self.data());
                self.send(CLIENT, &frames)?;
            }
            self.take()?;
        }
        let sending = start.elapsed();
        let lost = self.take_all()?;
        self.lost += lost;
        Ok(Trial { sent: self.sent[SERVER] - before, lost, sending, all: start.elapsed() })
    }
}

/// What became of frames that were sent at one rate.
struct Trial {
    sent: u64,
    lost: u64,
    sending: Duration,
    /// Until the last one had come.
    all: Duration,
}

impl Trial {
    fn is_carried(&self) -> bool {
        self.lost == 0 && self.all.as_secs_f64() < KEPT_UP * self.sending.as_secs_f64()
    }

    /// Frames a second that were sent.
    fn offered(&self) -> f64 {
        self.sent as f64 / self.sending.as_secs_f64()
    }

    /// Frames a second that came.
    fn carried(&self) -> f64 {
        (self.sent - self.lost) as f64 / self.all.as_secs_f64()
    }
}

/// A connection that is being opened or closed: segments that wait for their turn.
struct Talk {
    from: [usize; 3],
    segments: [Octets; 3],
    next: usize,
    due: usize,
}

/// Returns how many frames were lost.
fn soak(effort: Effort, length: Duration) -> Result<u64> {
    on(Between::Worker(Idle::Wait), |ends, crew| {
        ends.open_all()?;
        let most = ends.rate_without_loss(effort)?;
        let rate = most * 0.8;
        println!(
            "without loss {most:.0} frames a second; {rate:.0} for {length:?}, connections come and go:"
        );
        let crew = crew.ok_or("there is no worker")?;
        soak_at(ends, crew, rate, length)
    })
}

fn soak_at(ends: &mut Ends, crew: &Crew<'_, ()>, rate: f64, length: Duration) -> Result<u64> {
    let (sent_before, start) = (ends.sent.iter().sum::<u64>(), Instant::now());
    let mut talks = VecDeque::new();
    let (mut bursts, mut fresh, mut told) = (0, FLOWS, Instant::now());
    let mut frames = [[0; _]; BURST / 2];
    while start.elapsed() < length {
        let sent = ends.sent.iter().sum::<u64>() - sent_before;
        if (sent as f64) < rate * start.elapsed().as_secs_f64() {
            frames.iter_mut().for_each(|frame| *frame = ends.data());
            ends.send(CLIENT, &frames)?;
            bursts += 1;
            // One more connection each burst: it opens, and closes when it is open.
            talks.push_back(Talk {
                from: [CLIENT, SERVER, CLIENT],
                segments: ends.crowd.handshake(fresh),
                next: 0,
                due: bursts,
            });
            talks.push_back(Talk {
                from: [CLIENT, SERVER, CLIENT],
                segments: ends.crowd.close(fresh),
                next: 0,
                due: bursts + 3 * ANSWER,
            });
            fresh = if fresh + 1 == ROOM as u32 { FLOWS } else { fresh + 1 };
            speak(ends, &mut talks, bursts)?;
        }
        ends.take()?;
        if told.elapsed() >= Duration::from_secs(60).min(length / 2) {
            told = Instant::now();
            report(ends, crew, start);
        }
    }
    let lost = ends.take_all()?;
    report(ends, crew, start);
    println!("lost: {lost}");
    Ok(lost)
}

/// Every segment whose time has come. A host answers some bursts after it was asked.
fn speak(ends: &mut Ends, talks: &mut VecDeque<Talk>, now: usize) -> std::result::Result<(), PortError> {
    for _ in 0..talks.len() {
        let Some(mut talk) = talks.pop_front() else { break };
        if talk.due > now {
            talks.push_back(talk);
            continue;
        }
        ends.send(talk.from[talk.next], &[talk.segments[talk.next]])?;
        talk.next += 1;
        talk.due = now + ANSWER;
        if talk.next < talk.segments.len() {
            talks.push_back(talk);
        }
    }
    Ok(())
}

fn report(ends: &Ends, crew: &Crew<'_, ()>, start: Instant) {
    let total = crew.total();
    let dropped: u64 = total.ports.iter().map(|port| port.dropped + port.refused).sum();
    println!(
        "{:>5.0} s: {} frames sent, {} missing or on their way; the worker: {dropped} dropped, {} connections opened, {} ended, {} open; {:.1} MiB resident",
        start.elapsed().as_secs_f64(),
        ends.sent.iter().sum::<u64>(),
        ends.missing(),
        total.stats.flows,
        total.stats.flows_ended,
        total.flows,
        resident() as f64 / f64::from(1 << 20),
    );
}
