//! What the benchmarks run on: the traffic of [`mos_flow::testing::traffic`] in memory, and a [`crowd`] of connections that do
//! what they are told.

pub mod crowd;

pub use mos_flow::testing::traffic::{Kind, Plan};

use mos_flow::testing::traffic;
use mos_flow::{Config, Frame, Instant, Strictness};
use std::ops::Range;

/// Frames in memory, one behind the other, with their times.
#[derive(Debug)]
pub struct Traffic {
    octets: Vec<u8>,
    frames: Vec<(Instant, Range<usize>)>,
    /// Payload octets of all streams together that are in some frame, each counted once.
    pub stream_octets: u64,
    /// Connections.
    pub flows: u64,
}

impl Traffic {
    /// About `packets` packets of a kind, of no more connections than is usual.
    pub fn new(kind: Kind, packets: usize) -> Traffic {
        Traffic::of(&about(kind, packets as u32))
    }

    /// All packets of a plan.
    pub fn of(plan: &Plan) -> Traffic {
        let mut source = traffic::Traffic::new(plan);
        let (mut octets, mut frames, mut frame) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(time) = source.next_into(&mut frame) {
            frames.push((time, octets.len()..octets.len() + frame.len()));
            octets.extend_from_slice(&frame);
        }
        let truth = source.truth();
        let stream_octets = truth.octets() - source.lost();
        Traffic { octets, frames, stream_octets, flows: truth.flows().into() }
    }

    /// The packets in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'_>> {
        let octets = |range: &Range<usize>| self.octets.get(range.clone()).unwrap_or_default();
        self.frames.iter().map(move |(time, range)| Frame::ethernet(*time, octets(range)))
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

/// About `packets` packets of a kind.
fn about(kind: Kind, packets: u32) -> Plan {
    let plan = Plan::of(kind);
    match kind {
        // With five and a half packets for each four and a half segments.
        Kind::Bulk | Kind::Messy | Kind::Messy0 => {
            let segments = packets / (2 * plan.flows) * 9 / 11;
            Plan { octets: segments * traffic::MSS, ..plan }
        }
        Kind::Short => Plan { flows: packets / 12, ..plan },
        // Three packets of the handshake, and eight of a round of 18 octets.
        Kind::Small => {
            let flows = plan.flows.min(packets / 11);
            Plan { flows, octets: (packets / flows.max(1)).saturating_sub(3) / 8 * 18, ..plan }
        }
    }
}

/// A configuration with which an engine reads all of a kind of traffic: segments of `messy` were never seen, only acknowledged,
/// and rings have room for what a host sends ahead.
pub fn config(kind: Kind) -> Config {
    let strictness = if kind == Kind::Messy { Strictness::Lossy } else { Strictness::default() };
    Config { strictness, ring_octets: 128 << 10, verify_checksums: false, ..Config::default() }
}
