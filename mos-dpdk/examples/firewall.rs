//! A firewall: the first rule that a connection's addresses match decides whether its SYN goes on.
//!
//! `cargo run -p mos-dpdk --example firewall -- --rules FILE CAPTURE --out PASSED`, or live with
//! `--tap LEFT,RIGHT` or `--interfaces LEFT,RIGHT`
//!
//! A rule is a line `ACCEPT|DROP CLIENT[/BITS] SERVER[/BITS] [sport:PORT] [dport:PORT]`; `#` begins a comment. What no rule
//! matches is accepted. The table counts SYNs, those that are sent again, too.

mod common;

use clap::Parser;
use mos_flow::{Config, Context, Engine, Event, Hook, Side, SocketKind};
use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[derive(Parser)]
struct Args {
    /// The file of rules.
    #[arg(long)]
    rules: PathBuf,
    #[command(flatten)]
    traffic: common::Traffic,
    /// Print the table so often, by the time of the packets; 0: only at the end.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS")]
    every: f64,
}

/// Addresses that begin with the same bits.
struct Network {
    address: IpAddr,
    bits: u32,
}

struct Rule {
    drops: bool,
    client: Network,
    server: Network,
    client_port: Option<u16>,
    server_port: Option<u16>,
    flows: u64,
}

struct App {
    rules: Vec<Rule>,
    changed: bool,
    every: Duration,
}

/// Whether a packet asks for a connection.
fn is_first_syn(ctx: &mut Context<'_, App>) -> bool {
    ctx.packet().and_then(|packet| packet.segment).is_some_and(|segment| segment.opens())
}

/// A SYN before the server can hear it.
fn on_syn(ctx: &mut Context<'_, App>) {
    let Ok((app, mut monitor)) = ctx.split() else { return };
    let (Ok(client), Ok(server)) = (monitor.address(Side::Client), monitor.address(Side::Server)) else {
        return;
    };
    let rule = app.rules.iter_mut().find(|rule| rule.matches(client, server));
    let drops = rule.as_ref().is_some_and(|rule| rule.drops);
    if let Some(rule) = rule {
        rule.flows += 1;
        app.changed = true;
    }
    if drops {
        ctx.drop_packet();
    } else {
        let _ = monitor.stop(None); // the rest of the connection passes unseen
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
        let line = "-".repeat(71);
        let mut table = format!("{line}\nFirewall rule table\n");
        let _ =
            writeln!(table, "{:<6}{:<8}{:<9}{:<19}{:<19}port", "idx", "flows", "target", "client", "server");
        for (i, rule) in self.rules.iter().enumerate() {
            let target = if rule.drops { "DROP" } else { "ACCEPT" };
            let [client, server] = [&rule.client, &rule.server].map(|n| format!("{}/{}", n.address, n.bits));
            let _ = write!(table, "{:<6}{:<8}{target:<9}{client:<19}{server:<19}", i + 1, rule.flows);
            for (name, port) in [("sport", rule.client_port), ("dport", rule.server_port)] {
                let _ = port.map_or(Ok(()), |port| write!(table, "{name}:{port:<6}"));
            }
            table.truncate(table.trim_end().len());
            table.push('\n');
        }
        let _ = writeln!(table, "{line}");
        let _ = std::io::stdout().write_all(table.as_bytes());
        self.changed = false;
    }
}

impl Network {
    fn has(&self, address: IpAddr) -> bool {
        let differing = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing >= self.bits
    }
}

impl Rule {
    fn matches(&self, client: SocketAddr, server: SocketAddr) -> bool {
        self.client.has(client.ip())
            && self.server.has(server.ip())
            && self.client_port.is_none_or(|port| port == client.port())
            && self.server_port.is_none_or(|port| port == server.port())
    }
}

impl FromStr for Network {
    type Err = Box<dyn Error>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match bits.map_or(Ok(most), str::parse)? {
            bits if bits <= most => Ok(Network { address, bits }),
            bits => Err(format!("/{bits}: an address has {most} bits").into()),
        }
    }
}

impl FromStr for Rule {
    type Err = Box<dyn Error>;

    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let mut words = line.split_whitespace();
        let drops = match words.next() {
            Some("DROP") => true,
            Some("ACCEPT") => false,
            _ => return Err("expected ACCEPT or DROP".into()),
        };
        let client = words.next().ok_or("no client")?.parse()?;
        let server = words.next().ok_or("no server")?.parse()?;
        let mut rule = Rule { drops, client, server, client_port: None, server_port: None, flows: 0 };
        for word in words {
            match word.split_once(':') {
                Some(("sport", port)) => rule.client_port = Some(port.parse()?),
                Some(("dport", port)) => rule.server_port = Some(port.parse()?),
                _ => return Err(format!("{word}: expected sport:PORT or dport:PORT").into()),
            }
        }
        Ok(rule)
    }
}

fn read_rules(text: &str) -> Result<Vec<Rule>, Box<dyn Error>> {
    let lines =
        (1..).zip(text.lines()).map(|(n, line)| (n, line.split('#').next().unwrap_or_default().trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(n, line)| line.parse().map_err(|e| format!("line {n}: {e}").into()))
        .collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let app = App {
        rules: read_rules(&std::fs::read_to_string(&args.rules)?)?,
        changed: false,
        every: Duration::try_from_secs_f64(args.every)?,
    };
    let mut engine = Engine::new(Config::default())?;
    let socket = engine.open(SocketKind::Stream)?;
    let syn = engine.define_event(Event::PacketIn, is_first_syn, 0)?;
    engine.register(socket, syn, Hook::Sender, on_syn, 0)?;
    if !app.every.is_zero() {
        engine.start_timer(app.every, on_timer, 0);
    }
    args.traffic.run(engine, app)?.1.print();
    Ok(())
}
