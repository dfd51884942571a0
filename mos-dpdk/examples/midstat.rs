//! Prints a table of all connections and the TCP states of both ends, as they change.
//!
//! `cargo run -p mos-dpdk --example midstat -- CAPTURE`, or live with
//! `--tap LEFT,RIGHT` or `--interfaces LEFT,RIGHT`

mod common;

use clap::Parser;
use mos_flow::{Config, Context, Engine, Event, Hook, Side, Sides, SocketKind, State};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    traffic: common::Traffic,
    /// Print the table so often, by the time of the packets; 0: only at the end.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    every: f64,
}

struct Connection {
    addresses: Sides<SocketAddr>,
    states: Sides<State>,
    ended: bool,
}

/// Connections by the order in which they began, and when they are printed.
struct App {
    connections: BTreeMap<u64, Connection>,
    changed: bool,
    every: Duration,
}

fn on_start(ctx: &mut Context<'_, App>) {
    let Ok((app, monitor)) = ctx.split() else { return };
    if let (Ok(flow), Ok(client), Ok(server)) =
        (monitor.flow_number(), monitor.address(Side::Client), monitor.address(Side::Server))
    {
        let states = Sides { client: State::SynSent, server: State::Listen };
        let addresses = Sides { client, server };
        app.connections.insert(flow, Connection { addresses, states, ended: false });
    }
}

fn on_state(ctx: &mut Context<'_, App>) {
    let Some(side) = ctx.side() else { return };
    let Ok((app, monitor)) = ctx.split() else { return };
    if let (Ok(flow), Ok(state)) = (monitor.flow_number(), monitor.state(side))
        && let Some(connection) = app.connections.get_mut(&flow)
    {
        connection.states[side] = state;
        app.changed = true;
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let Ok((app, monitor)) = ctx.split() else { return };
    if let Some(connection) = monitor.flow_number().ok().and_then(|flow| app.connections.get_mut(&flow)) {
        connection.ended = true; // it is printed once more
    }
}

fn on_timer(ctx: &mut Context<'_, App>) {
    let (app, mut control) = ctx.split_control();
    if app.changed {
        app.print();
    }
    control.start_timer(app.every, on_timer, 0);
}

impl App {
    fn print(&mut self) {
        let mut table = String::new();
        if std::io::stdout().is_terminal() {
            table.push_str("\x1b[H\x1b[2J"); // in the place of the last one
        }
        let _ = writeln!(
            table,
            "{:<5} {:<3} {:<21} {:<12} {:<21} Server State",
            "Proto", "CPU", "Client Address", "Client State", "Server Address"
        );
        for c in self.connections.values() {
            let [client, server] = [Side::Client, Side::Server]
                .map(|side| format!("{:<21} {:<12}", c.addresses[side].to_string(), c.states[side].name()));
            let _ = writeln!(table, "tcp   0   {client} {}", server.trim_end());
        }
        let _ = std::io::stdout().write_all(table.as_bytes());
        self.connections.retain(|_, c| !c.ended);
        self.changed = false;
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut engine = Engine::new(Config::default())?;
    let socket = engine.open(SocketKind::Stream)?;
    for side in Side::BOTH {
        engine.monitor(socket)?.disable_buffer(side)?; // states come without octets
    }
    engine.register(socket, Event::ConnStart, Hook::Sender, on_start, 0)?;
    engine.register(socket, Event::StateChange, Hook::Sender, on_state, 0)?;
    engine.register(socket, Event::StateChange, Hook::Receiver, on_state, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Sender, on_end, 0)?;
    let every = Duration::try_from_secs_f64(args.every)?;
    if !every.is_zero() {
        engine.start_timer(every, on_timer, 0);
    }
    let app = App { connections: BTreeMap::new(), changed: false, every };
    args.traffic.run(engine, app)?.1.print();
    Ok(())
}
