//! The traffic that the benchmarks run on: scripted TCP connections, the same for every run.
//!
//! | name | what |
//! |---|---|
//! | `bulk` | 64 connections at once, full segments to the client, an ACK for every second one |
//! | `messy` | as `bulk`, with 5 % of the segments out of order, 1 % repeated, and 0.5 % never captured |
//! | `short` | many connections of 200 bytes there and 4 KiB back, 256 at once |
//! | `small` | 10,000 connections at once, 60-byte frames |

pub mod crowd;

use mos_flow::testing::Exchange;
use mos_flow::{Frame, Instant, Side, Sides};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// Payload octets of a full segment.
const MSS: usize = 1448;
/// Microseconds between packets.
const STEP: u64 = 5;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Few connections, full segments.
    Bulk,
    /// The same, with loss, reordering and repetition.
    Messy,
    /// Many short connections.
    Short,
    /// Many connections, tiny segments.
    Small,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 4] = [Kind::Bulk, Kind::Messy, Kind::Short, Kind::Small];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bulk => "bulk",
            Kind::Messy => "messy",
            Kind::Short => "short",
            Kind::Small => "small",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Kind::ALL.into_iter().find(|k| k.name() == name).ok_or_else(|| format!("no such traffic: {name}"))
    }
}

/// Frames with their times.
#[derive(Debug, Default)]
pub struct Traffic {
    frames: Vec<Vec<u8>>,
    /// Payload octets of all streams together, each counted once.
    pub stream_octets: u64,
    /// Connections.
    pub flows: u64,
}

impl Traffic {
    /// About `packets` packets of a kind.
    pub fn new(kind: Kind, packets: usize) -> Traffic {
        let mut traffic = Traffic::default();
        match kind {
            Kind::Bulk => traffic.bulk(packets, None),
            Kind::Messy => traffic.bulk(packets, Some(Chance(0x9e37_79b9_7f4a_7c15))),
            Kind::Short => traffic.short(packets),
            Kind::Small => traffic.small(packets),
        }
        traffic
    }

    /// The packets in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        (0..).zip(&self.frames).map(|(i, data)| Frame::ethernet(Instant(1_000_000 + STEP * i), data))
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    fn open(&mut self) -> Exchange {
        let n = u32::try_from(self.flows).unwrap_or(u32::MAX);
        self.flows += 1;
        let client = Ipv4Addr::from_bits(0x0a00_0001 + n / 50_000);
        let client = SocketAddr::from((client, 10_000 + (n % 50_000) as u16));
        let server = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 80));
        let isn = Sides { client: n.wrapping_mul(0x9e37_79b9), server: n.wrapping_mul(0x85eb_ca6b) };
        Exchange::new(client, server, isn)
    }

    fn start(&mut self) -> Exchange {
        let mut exchange = self.open();
        self.frames.extend(exchange.handshake());
        exchange
    }

    fn data(&mut self, exchange: &mut Exchange, side: Side, len: usize) -> Vec<u8> {
        self.stream_octets += len as u64;
        let from = self.stream_octets;
        let payload: Vec<u8> =
            (0..len as u64).map(|i| ((from + i).wrapping_mul(0x9e37_79b9) >> 16) as u8).collect();
        exchange.data(side, &payload)
    }

    fn bulk(&mut self, packets: usize, mut mess: Option<Chance>) {
        let mut exchanges: Vec<Exchange> = (0..64).map(|_| self.start()).collect();
        let mut late: Option<Vec<u8>> = None;
        while self.frames.len() < packets {
            for exchange in &mut exchanges {
                for _ in 0..2 {
                    let frame = self.data(exchange, Side::Server, MSS);
                    match mess.as_mut().map_or(1000, Chance::per_mille) {
                        0..50 => late = late.take().or(Some(frame)),
                        50..60 => self.frames.extend([frame.clone(), frame]),
                        60..65 => {} // lost in the capture; it will be acknowledged
                        _ => self.frames.push(frame),
                    }
                }
                self.frames.extend(late.take());
                self.frames.push(exchange.ack(Side::Client));
            }
        }
        for mut exchange in exchanges {
            self.frames.extend(exchange.close(Side::Server));
        }
    }

    fn short(&mut self, packets: usize) {
        while self.frames.len() < packets {
            let mut exchanges: Vec<Exchange> = (0..256).map(|_| self.start()).collect();
            for exchange in &mut exchanges {
                let request = self.data(exchange, Side::Client, 200);
                self.frames.push(request);
            }
            for len in [MSS, MSS, 4096 - 2 * MSS] {
                for exchange in &mut exchanges {
                    let answer = self.data(exchange, Side::Server, len);
                    self.frames.push(answer);
                }
            }
            for mut exchange in exchanges {
                self.frames.extend(exchange.close(Side::Client));
            }
        }
    }

    fn small(&mut self, packets: usize) {
        let mut exchanges: Vec<Exchange> = (0..10_000).map(|_| self.start()).collect();
        while self.frames.len() < packets {
            for exchange in &mut exchanges {
                let side = if self.frames.len().is_multiple_of(2) { Side::Client } else { Side::Server };
                let frame = self.data(exchange, side, 6);
                self.frames.push(frame);
            }
        }
    }
}

/// A fixed sequence of chances.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn per_mille(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mos_flow::{Config, Context, Engine, Event, Hook, SocketKind, Strictness};

    fn read(ctx: &mut Context<'_, u64>) {
        let Some(side) = ctx.side() else { return };
        if let Ok((octets, mut monitor)) = ctx.split() {
            let _ = monitor.read_with(side, |_, data| *octets += data.len() as u64);
        }
    }

    /// A benchmark over traffic that the engine does not take in full would measure nothing.
    #[test]
    fn every_octet_of_the_traffic_is_read_but_for_what_was_lost() {
        for kind in Kind::ALL {
            let traffic = Traffic::new(kind, 40_000);
            // Some of the messy segments were never seen, only acknowledged.
            let config = Config { strictness: Strictness::Lossy, ..Config::default() };
            let mut engine = Engine::new(config).unwrap();
            let socket = engine.open(SocketKind::Stream).unwrap();
            engine.register(socket, Event::NewData, Hook::None, read, 0).unwrap();
            let mut octets = 0;
            for frame in traffic.frames() {
                engine.process_burst(&mut [frame], &mut octets);
            }
            engine.shutdown(&mut octets);
            let stats = engine.stats();
            assert_eq!((stats.flows, stats.drops.total()), (traffic.flows, 0), "{kind}");
            assert_eq!(stats.anomalies.total(), 0, "{kind}");
            assert_eq!(octets + stats.gap_octets, traffic.stream_octets, "{kind}");
            assert_eq!(stats.gap_octets > 0, kind == Kind::Messy, "{kind}");
        }
    }
}
