//! A monitor over a capture file with this crate alone: who talks to whom, and the first line each side hears.
//!
//! `cargo run -p mos-flow --example monitor [CAPTURE]` (pcap; the reader is a few lines below)

use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Offset, Side, SocketKind};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{LegacyPcapReader, PcapBlockOwned, PcapError};
use std::error::Error;
use std::fs::File;

/// The application's state: how many connections began.
#[derive(Default)]
struct App {
    connections: u32,
}

fn on_start(ctx: &mut Context<'_, App>) {
    let Ok((app, monitor)) = ctx.split() else { return };
    app.connections += 1;
    if let (Ok(client), Ok(server)) = (monitor.address(Side::Client), monitor.address(Side::Server)) {
        println!("{client} > {server}");
    }
}

/// The first bytes of each stream, read by offset: the reading cursor is not needed for that.
fn on_end(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok(monitor) = ctx.monitor() else { return };
    let mut line = [0; 60];
    let n = monitor.ppeek(side, Offset(0), &mut line).unwrap_or(0);
    let first = line[..n].split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let total = monitor.stream_info(side).map_or(0, |i| i.next.0);
    println!("  the {side} heard {total} bytes: {}", String::from_utf8_lossy(first).escape_debug());
}

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pcaps/web4.pcap");
    let path = std::env::args().nth(1).unwrap_or_else(|| default.into());
    // Rings large enough to still hold the beginning at the end.
    let mut engine = Engine::new(Config { ring_octets: 1 << 20, ..Config::default() })?;
    let socket = engine.open(SocketKind::Stream)?;
    engine.register(socket, Event::ConnStart, Hook::Sender, on_start, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;

    let mut app = App::default();
    let mut reader = LegacyPcapReader::new(1 << 20, File::open(path)?)?;
    loop {
        let used = match reader.next() {
            Ok((used, PcapBlockOwned::Legacy(p))) => {
                let time = Instant(u64::from(p.ts_sec) * 1_000_000 + u64::from(p.ts_usec));
                engine.process_burst(&mut [Frame::ethernet(time, p.data)], &mut app);
                used
            }
            Ok((used, _)) => used,
            Err(PcapError::Incomplete(_)) => {
                reader.refill().map_err(|_| "cannot read on")?;
                continue;
            }
            Err(PcapError::Eof) => break,
            Err(_) => return Err("not a pcap file".into()),
        };
        reader.consume(used);
    }
    engine.shutdown(&mut app);
    println!("{} connections, {} packets", app.connections, engine.stats().frames);
    Ok(())
}
