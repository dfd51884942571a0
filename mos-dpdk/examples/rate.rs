//! How fast ports on interfaces are: frames that go through without loss, and how long one takes alone.
//!
//! `cargo run --release -p mos-dpdk --example rate -- LEFT RIGHT`, the two ends of a cable, for instance those of
//! `ip link add LEFT type veth peer name RIGHT`, both up. With `--features xdp`, `--xdp native` or `--xdp generic` takes AF_XDP
//! sockets instead of packet sockets.

use clap::Parser;
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_dpdk::port::{Port, Received};
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant as Time};
use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long frames are sent at each rate.
const LENGTH: Duration = Duration::from_millis(500);
/// How long what is on its way may take on a busy machine. An arbitrary figure.
const SOON: Duration = Duration::from_secs(1);
/// Frames that are sent alone.
const ALONE: usize = 500;
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

#[derive(Parser)]
struct Args {
    left: String,
    right: String,
    /// Octets of each frame.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(60..=1514))]
    len: u16,
    /// Have frames handed over one by one, not in blocks.
    #[arg(long)]
    frames: bool,
    /// Use AF_XDP sockets, in this mode.
    #[cfg(all(target_os = "linux", feature = "xdp"))]
    #[arg(long, value_parser = ["native", "generic"], conflicts_with = "frames")]
    xdp: Option<String>,
}

/// What became of frames that were sent at one rate.
struct Outcome {
    offered: f64,
    sent: u64,
    received: u64,
    dropped: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    #[cfg(all(target_os = "linux", feature = "xdp"))]
    if let Some(mode) = &args.xdp {
        let [left, right] = [&args.left, &args.right].map(|name| open_xdp(name, mode));
        return measure(left?, right?, args.len);
    }
    let options = if args.frames { Options::inline() } else { Options::default() };
    let open = |name: &str| AfPacket::open(name, &options);
    measure(open(&args.left)?, open(&args.right)?, args.len)
}

/// The first queue of an interface.
#[cfg(all(target_os = "linux", feature = "xdp"))]
fn open_xdp(name: &str, mode: &str) -> Result<mos_dpdk::port::af_xdp::AfXdp, Box<dyn Error>> {
    use mos_dpdk::port::af_xdp::{AfXdp, Mode, Options};
    let mode = if mode == "native" { Mode::Native } else { Mode::Generic };
    let ports = AfXdp::open(name, &Options { mode, queues: Some(1), ..Options::default() })?;
    ports.into_iter().next().ok_or_else(|| "there is no queue".into())
}

fn measure<P: Port + Send>(mut left: P, mut right: P, len: u16) -> Result<(), Box<dyn Error>> {
    // For experiments (IEEE 802): nobody answers.
    let mut frame = [&ADDRESSES[..], &[0x88, 0xb5]].concat();
    frame.resize(len.into(), 0);
    let mut times = alone(&mut left, &mut right, &frame)?;
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    println!("alone a frame takes {:?} at the median, of 100 one {:?}", at(50), at(99));
    let most = run(&mut left, &mut right, &frame, f64::INFINITY)?;
    println!("at most {most}");
    let (mut low, mut high) = (0.0, most.offered);
    for _ in 0..6 {
        let rate = (low + high) / 2.0;
        let outcome = run(&mut left, &mut right, &frame, rate)?;
        println!("{outcome}");
        *(if outcome.received < outcome.sent { &mut high } else { &mut low }) = rate;
    }
    println!("without loss: {:.0} frames a second", low);
    Ok(())
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Outcome { offered, sent, received, dropped } = self;
        write!(f, "{offered:.0} frames a second: {sent} sent, {received} received, {dropped} dropped")
    }
}

/// How long frames take when there are no others.
fn alone(left: &mut impl Port, right: &mut impl Port, frame: &[u8]) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut times = Vec::new();
    for n in 0..ALONE {
        // Out of step with the kernel's timer.
        std::thread::sleep(Duration::from_micros(1000 + (n * 377 % 1000) as u64));
        let start = Instant::now();
        left.transmit(&[Frame::ethernet(Time(0), frame)])?;
        while !matches!(right.receive(&mut |_| ())?, Received::Frames(1..)) {
            if start.elapsed() > SOON {
                return Err("a frame has got lost".into());
            }
        }
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Sends at a rate, and receives on another thread.
fn run(
    left: &mut impl Port,
    right: &mut (impl Port + Send),
    frame: &[u8],
    rate: f64,
) -> Result<Outcome, Box<dyn Error>> {
    let before = right.statistics();
    let expected = AtomicU64::new(u64::MAX);
    let (sent, took, received) = std::thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(right, &expected));
        let sent = send(left, frame, rate);
        expected.store(sent.as_ref().map_or(0, |(sent, _)| *sent), Ordering::Relaxed);
        let received = receiver.join().unwrap_or(0);
        sent.map(|(sent, took)| (sent, took, received))
    })?;
    let offered = sent as f64 / took.as_secs_f64();
    let dropped = right.statistics().dropped - before.dropped;
    Ok(Outcome { offered, sent, received, dropped })
}

fn send(left: &mut impl Port, frame: &[u8], rate: f64) -> Result<(u64, Duration), Box<dyn Error>> {
    let burst = [Frame::ethernet(Time(0), frame); BURST];
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < LENGTH {
        if (sent as f64) < rate * start.elapsed().as_secs_f64() {
            sent += left.transmit(&burst)? as u64;
        }
    }
    Ok((sent, start.elapsed()))
}

/// Counts frames until nothing more is to come.
fn receive(right: &mut impl Port, expected: &AtomicU64) -> u64 {
    let mut received = 0;
    let mut last = Instant::now();
    while received < expected.load(Ordering::Relaxed) && last.elapsed() < SOON {
        match right.receive(&mut |_| ()) {
            Ok(Received::Frames(n)) => {
                received += n as u64;
                last = Instant::now();
            }
            Ok(Received::Nothing) => std::thread::sleep(Duration::from_micros(200)),
            _ => break,
        }
    }
    received
}
