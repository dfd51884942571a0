//! Logs HTTP/1 exchanges: who asked whom for what, the status, the octets of both bodies, and how long it took.
//!
//! `cargo run -p mos-dpdk --example http_log -- CAPTURE`, or live with `--tap LEFT,RIGHT`

#[path = "../common/mod.rs"]
mod common;
mod message;

use clap::Parser;
use message::{Item, Kind, Reader};
use mos_flow::{Config, Context, Engine, Event, FilterSlot, Hook, Instant, Monitor, Side, SocketKind};
use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::io::Write as _;

/// Requests of a connection that wait for their response at once. An arbitrary figure; what comes beyond is not HTTP.
const MOST_WAITING: usize = 1024;

#[derive(Parser)]
struct Args {
    #[command(flatten)]
    traffic: common::Traffic,
    /// Only connections whose SYN matches this filter.
    #[arg(long, default_value = "tcp")]
    filter: mos_flow::filter::Filter,
}

/// A request that waits for its response.
struct Request {
    line: String,
    body: u64,
    start: Instant,
}

/// A request and its response.
struct Exchange {
    request: Request,
    status: u16,
    body: u64,
}

struct Connection {
    requests: Reader,
    responses: Reader,
    waiting: VecDeque<Request>,
    /// What is to be logged.
    complete: Vec<Exchange>,
}

/// Connections by their number.
type App = HashMap<u64, Connection>;

/// Whether new data completes an exchange.
fn completes_exchange(ctx: &mut Context<'_, App>) -> bool {
    let now = ctx.now();
    let Ok((app, mut monitor)) = ctx.split() else { return false };
    let Ok(flow) = monitor.flow_number() else { return false };
    let connection = app.entry(flow).or_insert_with(Connection::new);
    connection.read(&mut monitor, now);
    !connection.complete.is_empty()
}

fn on_exchange(ctx: &mut Context<'_, App>) {
    let now = ctx.now();
    let Ok((app, monitor)) = ctx.split() else { return };
    let connection = monitor.flow_number().ok().and_then(|flow| app.get_mut(&flow));
    for Exchange { request, status, body } in connection.into_iter().flat_map(|c| c.complete.drain(..)) {
        log(&monitor, &request, &status.to_string(), body, now);
    }
}

fn on_end(ctx: &mut Context<'_, App>) {
    let now = ctx.now();
    let Ok((app, monitor)) = ctx.split() else { return };
    if let Some(mut connection) = monitor.flow_number().ok().and_then(|flow| app.remove(&flow)) {
        connection.end(&monitor, now);
    }
}

impl Connection {
    fn new() -> Self {
        let (requests, responses) = (Reader::new(Kind::Requests), Reader::new(Kind::Responses));
        Connection { requests, responses, waiting: VecDeque::new(), complete: Vec::new() }
    }

    /// Reads what is new, requests first: both may have come in one burst.
    fn read(&mut self, monitor: &mut Monitor<'_, App>, now: Instant) {
        let _ = monitor.read_with(Side::Server, |range, octets| {
            self.requests.skip(range.len() - octets.len() as u64); // what was lost
            self.take_requests(octets, now);
        });
        let _ = monitor.read_with(Side::Client, |range, octets| {
            self.responses.skip(range.len() - octets.len() as u64);
            self.take_responses(octets);
        });
    }

    fn take_requests(&mut self, mut octets: &[u8], now: Instant) {
        while let (taken, Some(item)) = self.requests.take(octets) {
            octets = octets.get(taken..).unwrap_or_default();
            if item == Item::Head && self.waiting.len() == MOST_WAITING {
                return self.requests.give_up();
            }
            if item == Item::Head {
                let line = self.requests.start_line().to_owned();
                self.waiting.push_back(Request { line, body: 0, start: now });
            } else if let Some(request) = self.waiting.back_mut() {
                request.body = self.requests.body();
            }
        }
    }

    fn take_responses(&mut self, mut octets: &[u8]) {
        while let (taken, Some(item)) = self.responses.take(octets) {
            octets = octets.get(taken..).unwrap_or_default();
            let status = self.responses.status();
            let method = self.waiting.front().map_or("", |r| r.line.split(' ').next().unwrap_or_default());
            match item {
                Item::Head if method == "HEAD" || method == "CONNECT" && status < 300 => {
                    self.responses.expect_no_body();
                }
                Item::Head => {}
                Item::End if is_interim(status) => {}
                Item::End => {
                    if status == 101 || method == "CONNECT" && status < 300 {
                        // From here the connection belongs to another protocol.
                        self.requests.give_up();
                        self.responses.give_up();
                    }
                    let body = self.responses.body();
                    let request = self.waiting.pop_front();
                    self.complete.extend(request.map(|request| Exchange { request, status, body }));
                }
            }
        }
    }

    /// Logs what waits for the end of its response, or for a response.
    fn end(&mut self, monitor: &Monitor<'_, App>, now: Instant) {
        let (status, body) = (self.responses.status(), self.responses.body());
        if self.responses.is_inside()
            && !is_interim(status)
            && let Some(request) = self.waiting.pop_front()
        {
            let finished = monitor.stream_info(Side::Client).is_ok_and(|info| info.finished);
            let whole = finished && self.responses.skippable() == u64::MAX;
            log(monitor, &request, &format!("{status}{}", if whole { "" } else { "-" }), body, now);
        }
        for request in self.waiting.drain(..) {
            log(monitor, &request, "-", 0, now);
        }
    }
}

/// Whether another response to the same request follows.
fn is_interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

/// `TIME CLIENT SERVER "REQUEST" STATUS REQUEST-OCTETS RESPONSE-OCTETS MILLISECONDS`; behind the status of a response that
/// was cut stands a `-`, and in its place when there was none.
fn log(monitor: &Monitor<'_, App>, request: &Request, status: &str, body: u64, now: Instant) {
    let address = |side| monitor.address(side).map_or_else(|_| "-".into(), |a| a.to_string());
    let (client, server) = (address(Side::Client), address(Side::Server));
    let Request { line, body: sent, start } = request;
    let took = now.since(*start).as_secs_f64() * 1e3;
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{start} {client} {server} {line:?} {status} {sent} {body} {took:.3}");
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let mut engine = Engine::new(Config::default())?;
    let socket = engine.open(SocketKind::Stream)?;
    engine.bind(socket, FilterSlot::Syn, Some(args.filter))?;
    let exchange = engine.define_event(Event::NewData, completes_exchange, 0)?;
    engine.register(socket, exchange, Hook::None, on_exchange, 0)?;
    engine.register(socket, Event::ConnEnd, Hook::Receiver, on_end, 0)?;
    args.traffic.run(engine, App::new())?;
    Ok(())
}
