//! Writes the benchmarks' traffic as a capture, for `mos bench` and for other programs.
//!
//! `traffic KIND PACKETS FILE`, with KIND one of bulk, messy, short, small.

use benches::{Kind, Traffic};
use mos_dpdk::port::Port;
use mos_dpdk::port::pcap::PcapSink;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, packets, file] = args.as_slice() else {
        return Err("usage: traffic KIND PACKETS FILE".into());
    };
    let traffic = Traffic::new(kind.parse::<Kind>()?, packets.parse()?);
    let mut sink = PcapSink::create(Path::new(file))?;
    for frame in traffic.frames() {
        sink.transmit(&[frame])?;
    }
    sink.flush()?;
    println!(
        "{file}: {} packets, {} connections, {} bytes of payload",
        traffic.len(),
        traffic.flows,
        traffic.stream_octets
    );
    Ok(())
}
