//! What the port on DPDK and an engine cost on one core, without hardware: frames of DPDK's driver for capture files, which
//! gives the same ones over and over from memory.
//!
//! `cargo run --release -p mos-dpdk --features dpdk --example dpdk_rate`, or with `--hugepages` when there are some
//! (`echo 512 > /proc/sys/vm/nr_hugepages`).

use clap::Parser;
use mos_dpdk::capture::CaptureWriter;
use mos_dpdk::port::dpdk::{Dpdk, Eal, Options};
use mos_dpdk::port::{Port, Received};
use mos_flow::testing::Exchange;
use mos_flow::{Config, Engine, Frame, Instant as Time, Side, Sides, SocketKind};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Parser)]
struct Args {
    /// Connections at the same time.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=7000))]
    connections: u32,
    /// Milliseconds of each measurement.
    #[arg(long, default_value_t = 500)]
    length: u64,
    /// Use hugepages.
    #[arg(long)]
    hugepages: bool,
}

/// What is done with each burst.
type Work<'w> = &'w mut dyn FnMut(&mut [Frame<'_>]);

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("segments.pcap");
    let mut connections: Vec<Exchange> = (0..args.connections).map(connection).collect();
    let mut engine = Engine::<()>::new(Config::default())?;
    engine.open(SocketKind::Stream)?;
    begin(&mut connections, &mut engine);
    write_segments(&mut connections, &path)?;
    let eal = start(&path, args.hugepages)?;
    let options = Options { buffers: 32_768, ..Options::default() };
    let mut zeros = Dpdk::open(&eal, "net_null0", &options)?.remove(0);
    let mut segments = Dpdk::open(&eal, "net_pcap0", &options)?.remove(0);
    let length = Duration::from_millis(args.length);
    let before = engine.stats().segments;
    let mut rounds = Vec::new();
    for _ in 0..5 {
        let null = measure(&mut zeros, length, &mut |_| ())?;
        let alone = measure(&mut segments, length, &mut |_| ())?;
        let followed = measure(&mut segments, length, &mut |frames| engine.process_burst(frames, &mut ()))?;
        println!(
            "net_null {:.1}, net_pcap {:.1} ns; and followed {:.1} ns: {:.1} million a second, {:.0} % of the rate without",
            null,
            alone,
            followed,
            1e3 / followed,
            100.0 * alone / followed
        );
        rounds.push(100.0 * alone / followed);
    }
    rounds.sort_by(f64::total_cmp);
    let stats = engine.stats();
    println!(
        "{} connections, {} segments followed, {:?}",
        stats.flows,
        stats.segments - before,
        segments.statistics()
    );
    println!("of the rate of receiving and releasing alone {:.0} % at the median", rounds[rounds.len() / 2]);
    Ok(())
}

fn start(path: &Path, hugepages: bool) -> Result<Arc<Eal>, Box<dyn Error>> {
    let devices =
        [format!("net_pcap0,rx_pcap={},infinite_rx=1", path.display()), "net_null0,size=64".to_owned()];
    let prefix = format!("mos-rate-{}", std::process::id());
    let mut args = vec!["--no-pci", "--no-telemetry", "--file-prefix", &prefix, "-m", "512"];
    args.extend(devices.iter().flat_map(|device| ["--vdev", device]));
    if !hugepages {
        args.push("--no-huge");
    }
    Ok(Eal::start(&args)?)
}

fn connection(number: u32) -> Exchange {
    let client = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number);
    let end = |address: Ipv4Addr, port| SocketAddr::new(address.into(), port);
    Exchange::new(
        end(client, 40_000),
        end(Ipv4Addr::new(192, 0, 2, 1), 80),
        Sides { client: 1000, server: 5000 },
    )
}

/// Shows the engine how they begin, now: what follows has the time of the port's clock.
fn begin(connections: &mut [Exchange], engine: &mut Engine<()>) {
    let time = mos_dpdk::clock::now();
    for connection in connections {
        for frame in connection.handshake() {
            engine.process_burst(&mut [Frame::ethernet(time, &frame)], &mut ());
        }
    }
}

/// A segment of each side of each connection, which may come any number of times.
fn write_segments(connections: &mut [Exchange], path: &Path) -> Result<(), Box<dyn Error>> {
    let mut writer = CaptureWriter::new(File::create(path)?);
    for side in [Side::Client, Side::Server] {
        for connection in &mut *connections {
            writer.write(&Frame::ethernet(Time(0), &connection.ack(side)))?;
        }
    }
    Ok(writer.flush()?)
}

/// Nanoseconds of this thread that a frame takes, whatever else the machine has to do.
fn measure(port: &mut Dpdk, length: Duration, work: Work<'_>) -> Result<f64, Box<dyn Error>> {
    let (start, started) = (Instant::now(), time_of_thread());
    let mut frames = 0;
    while start.elapsed() < length {
        for _ in 0..100 {
            match port.receive(work)? {
                Received::Frames(n) => frames += n,
                _ => return Err("there are no frames".into()),
            }
        }
    }
    Ok((time_of_thread() - started).as_secs_f64() * 1e9 / frames as f64)
}

fn time_of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
