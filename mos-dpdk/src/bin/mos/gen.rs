//! `mos gen`: synthetic traffic as a capture.

use crate::common::Failure;
use mos_dpdk::capture::CaptureWriter;
use mos_flow::Frame;
use mos_flow::testing::traffic::{Plan, Traffic};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const FLOWS: RangeInclusive<i64> = 1..=Plan::MAX_FLOWS as i64;
const OCTETS: RangeInclusive<i64> = 1..=Plan::MAX_OCTETS as i64;

/// Arguments of `mos gen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// bulk: 64 connections of 8 MiB each way. messy: the same out of order, repeated, and with 0.5 % lost in the capture.
    /// messy0: messy, but nothing is lost. short: 200,000 connections, 200 bytes there and 4,096 back. small, small-1m,
    /// small-10m: ten thousand, a million, ten million connections in frames of 60 bytes.
    kind: Plan,
    /// The capture to write, made or replaced; - is the standard output.
    file: PathBuf,
    /// About so many times the packets: fewer connections of short and small, shorter ones of the others.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    scale: Option<f64>,
    /// Connections.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(FLOWS))]
    flows: Option<u32>,
    /// Bytes that each side of a connection sends; of short those of the answer. In small they come in rounds of 18.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(OCTETS))]
    bytes: Option<u32>,
    /// Other numbers make other bytes in another order.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor = text.parse().ok().filter(|factor: &f64| *factor > 0.0 && factor.is_finite());
    factor.ok_or_else(|| "a number above 0 is needed".into())
}

impl Args {
    fn plan(&self) -> Plan {
        let mut plan = Plan { seed: self.seed, ..self.kind };
        if let Some(factor) = self.scale {
            plan = plan.scaled(factor);
        }
        plan.flows = self.flows.unwrap_or(plan.flows);
        plan.octets = self.bytes.unwrap_or(plan.octets);
        plan
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut traffic = Traffic::new(&args.plan());
    if args.file == Path::new("-") {
        write(&mut traffic, io::stdout().lock())?;
        return Ok(());
    }
    let path = args.file.display();
    let failed = |e: io::Error| Failure::unusable(&format!("{path}: {}", mos_dpdk::sentence(&e)));
    let packets = File::create(&args.file).and_then(|file| write(&mut traffic, file)).map_err(failed)?;
    let (truth, lost) = (traffic.truth(), traffic.lost());
    print!("{path}: {packets} packets, {} flows, {} stream bytes", truth.flows(), truth.octets());
    println!("{}", if lost > 0 { format!(", {lost} of them not captured") } else { String::new() });
    Ok(())
}

/// All frames. Returns how many there are.
fn write(traffic: &mut Traffic, output: impl Write) -> io::Result<u64> {
    let mut writer = CaptureWriter::new(BufWriter::with_capacity(1 << 20, output));
    let (mut frame, mut packets) = (Vec::new(), 0);
    while let Some(time) = traffic.next_into(&mut frame) {
        writer.write(&Frame::ethernet(time, &frame))?;
        packets += 1;
    }
    writer.flush()?;
    Ok(packets)
}
