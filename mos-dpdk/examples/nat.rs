//! Network address translation: connections of the left side leave from one address, each from a port of its own.
//!
//! `cargo run -p mos-dpdk --example nat -- --address ADDRESS CAPTURE --out TRANSLATED`, or live with
//! `--tap LEFT,RIGHT` or `--interfaces LEFT,RIGHT`
//!
//! It translates TCP over IPv4; everything else passes as it is. The hosts of the right side have to know which hardware
//! address is that of the NAT's (a static ARP entry): the NAT itself has none.

mod common;

use clap::Parser;
use mos_flow::{Config, Context, Engine, Event, FilterSlot, Hook, Side, SocketKind, Timeouts};
use std::collections::VecDeque;
use std::error::Error;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A port is used again this long after its connection. An arbitrary figure, twice what hosts wait.
const TIME_WAIT: Duration = Duration::from_secs(120);
/// The port of the bridge that the inner hosts are at.
const LEFT: u16 = 0;
/// In the place of a port: somebody outside connects to somebody inside, which passes as it is.
const UNTRANSLATED: usize = 1 << 16;

#[derive(Parser)]
struct Args {
    /// The address that connections leave from.
    #[arg(long)]
    address: Ipv4Addr,
    #[command(flatten)]
    traffic: common::Traffic,
}

struct App {
    address: Ipv4Addr,
    free: VecDeque<u16>,
}

/// A packet before its receiver can hear it. What cannot be translated must not pass.
fn on_packet(ctx: &mut Context<'_, App>) {
    if translate(ctx).is_none() {
        ctx.drop_packet();
    }
}

/// The socket's word is the port of its connection, 0 before its first packet.
fn translate(ctx: &mut Context<'_, App>) -> Option<()> {
    let (from, came_by) = (ctx.side()?, ctx.packet()?.frame.port);
    let (app, mut monitor) = ctx.split().ok()?;
    let (client, server) = (monitor.address(Side::Client).ok()?, monitor.address(Side::Server).ok()?);
    if monitor.user().ok()? == 0 && came_by != LEFT {
        monitor.set_user(UNTRANSLATED).ok()?;
    }
    let port = match monitor.user().ok()? {
        UNTRANSLATED => return Some(()),
        0 => {
            let port = app.free.pop_front()?;
            monitor.set_user(port.into()).ok()?;
            let _ = writeln!(std::io::stdout(), "{client} to {server} as {}:{port}", app.address);
            port
        }
        port => u16::try_from(port).ok()?,
    };
    let outside = SocketAddr::new(app.address.into(), port);
    let mut edit = ctx.edit().ok()?;
    match from {
        Side::Client => edit.set_source(outside).ok(),
        Side::Server => edit.set_destination(client).ok(),
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let Ok((app, mut monitor)) = ctx.split() else { return };
    let port = monitor.user().ok().and_then(|port| u16::try_from(port).ok());
    if let Some(port) = port.filter(|port| *port != 0) {
        app.free.push_back(port);
        let _ = monitor.set_user(0); // the end is told once for each side
    }
}

/// A packet of no connection: what comes from inside would show its true address.
fn on_orphan(ctx: &mut Context<'_, App>) {
    if ctx.packet().is_some_and(|packet| packet.frame.port == LEFT) {
        ctx.drop_packet();
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let timeouts = Timeouts { time_wait: TIME_WAIT, ..Config::default().timeouts };
    let mut engine = Engine::new(Config { max_aliases: 1 << 16, timeouts, ..Config::default() })?;
    let socket = engine.open(SocketKind::Stream)?;
    for slot in [FilterSlot::Syn, FilterSlot::Orphan] {
        engine.bind(socket, slot, Some("ip and tcp".parse()?))?;
    }
    for side in Side::BOTH {
        engine.monitor(socket)?.disable_buffer(side)?;
    }
    engine.register(socket, Event::PacketIn, Hook::Sender, on_packet, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Sender, on_end, 0)?;
    engine.register(socket, Event::Orphan, Hook::None, on_orphan, 0)?;
    args.traffic.run(engine, App { address: args.address, free: (1025..65535).collect() })?;
    Ok(())
}
