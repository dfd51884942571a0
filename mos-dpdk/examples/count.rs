//! Counts packets, connections and bytes a server port. The smallest whole program on the per-core worker.
//!
//! `cargo run -p mos-dpdk --example count -- CAPTURE…`

use mos_dpdk::port::pcap::PcapSource;
use mos_dpdk::{Links, Worker};
use mos_flow::{Config, Context, Engine, Event, Hook, Side, SocketKind};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// Connections and bytes of one server port.
#[derive(Clone, Copy, Default)]
struct Count {
    connections: u64,
    to_client: u64,
    to_server: u64,
}

type Counts = BTreeMap<u16, Count>;

fn on_end(ctx: &mut Context<'_, Counts>) {
    if ctx.side() != Some(Side::Server) {
        return; // the end is told once for each side
    }
    let Ok((counts, monitor)) = ctx.split() else { return };
    let Ok(server) = monitor.address(Side::Server) else { return };
    let bytes = |side| monitor.stream_info(side).map_or(0, |i| i.next.0);
    let count = counts.entry(server.port()).or_default();
    count.connections += 1;
    count.to_client += bytes(Side::Client);
    count.to_server += bytes(Side::Server);
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut counts = Counts::new();
    let mut packets = 0;
    if std::env::args().len() < 2 {
        return Err("usage: count CAPTURE…".into());
    }
    for path in std::env::args().skip(1) {
        let config = Config { hash_seed: mos_dpdk::random_seed()?, ..Config::default() };
        let mut engine = Engine::new(config)?;
        let socket = engine.open(SocketKind::Stream)?;
        engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
        let mut worker = Worker::new(engine, counts, Links::listen(PcapSource::open(Path::new(&path))?));
        worker.run()?;
        let mut engine;
        (engine, counts) = worker.into_parts();
        engine.shutdown(&mut counts);
        packets += engine.stats().frames;
    }
    println!(
        "{packets} packets\n{:>6} {:>12} {:>14} {:>14}",
        "port", "connections", "to servers", "to clients"
    );
    for (port, c) in counts {
        println!("{port:>6} {:>12} {:>14} {:>14}", c.connections, c.to_server, c.to_client);
    }
    Ok(())
}
