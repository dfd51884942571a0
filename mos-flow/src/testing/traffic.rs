//! Traffic of many connections from one seeded generator, for benches, `mos gen` and tests of a whole engine.
//!
//! | kind | what |
//! |---|---|
//! | `bulk` | 64 connections at once, 8 MiB each way, full segments in bursts of 1 to 8, and ACKs between them |
//! | `messy` | the same, but 5 % of the segments come 1 to 32 places late, 1 % come twice, 1 % are lost on the way and come again, 1 % are overlapped by a retransmission of two halves, and 0.5 % are acknowledged but never captured |
//! | `messy0` | as `messy`, but all is captured |
//! | `short` | 200,000 connections from SYN to FIN, 10,000 at once: 200 octets there and 4,096 back |
//! | `small` | 10,000 connections that stay open, in frames of 60 octets: three of four carry 6 octets, the fourth is a bare ACK |
//!
//! Frames are made one by one. What is kept meanwhile is some octets for each connection that is open, and in `small` nothing
//! at all, so that there may be ten millions of them. What a stream carries is told by its place ([`Truth`]), so that every
//! octet which a program hands out can be compared, and none has to be stored.
//!
//! **Invariants**
//! 1. The same plan makes the same frames.
//! 2. Checksums are right. Sequence numbers of one connection in eight wrap in the middle of both streams.
//! 3. A host acknowledges what it has received in order and nothing else; the right edge of its window never moves back; its
//!    clock stands still while a segment of its own is under way, so that none is too old when it arrives (RFC 7323, 5).
//! 4. A monitor sees all that a host has received, but for what [`Traffic::lost`] counts; that is seen nowhere.

mod bulk;

mod frame;

mod short;

mod small;

mod truth;

#[cfg(test)]
mod tests;

use crate::time::Instant;
use alloc::vec::Vec;
use bulk::Bulk;
use core::fmt;
use core::str::FromStr;
use short::Short;
use small::Small;
pub use truth::Truth;

/// Octets of payload of a full segment, with timestamps.
pub const MSS: u32 = 1448;
/// Nanoseconds of the first frame.
const START: u64 = 1_000_000_000;
/// Octets around a frame on the wire: preamble, check sequence, gap.
const AROUND: u64 = 24;
/// Bits a nanosecond: the frames come one behind the other.
const RATE: u64 = 10;

/// A kind of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Few connections, full segments.
    Bulk,
    /// The same, out of order, repeated, and with segments that were not captured.
    Messy,
    /// As messy, but all is captured.
    Messy0,
    /// Many connections that begin and end.
    Short,
    /// Many connections, tiny segments.
    Small,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 5] = [Kind::Bulk, Kind::Messy, Kind::Messy0, Kind::Short, Kind::Small];

    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Bulk => "bulk",
            Kind::Messy => "messy",
            Kind::Messy0 => "messy0",
            Kind::Short => "short",
            Kind::Small => "small",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Kind {
    type Err = UnknownTraffic;

    fn from_str(name: &str) -> Result<Self, UnknownTraffic> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownTraffic)
    }
}

/// A name that no traffic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTraffic;

impl fmt::Display for UnknownTraffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("traffic is one of bulk, messy, messy0, short, small, small-1m, small-10m")
    }
}

impl core::error::Error for UnknownTraffic {}

/// How much traffic of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What kind.
    pub kind: Kind,
    /// Other seeds make other octets, numbers and orders of the same traffic.
    pub seed: u64,
    /// Connections, 1 to [`Plan::MAX_FLOWS`].
    pub flows: u32,
    /// Octets that each side of each of them sends, 1 to [`Plan::MAX_OCTETS`]. In `short` those of the answer, whose request
    /// has 200; in `small` whole rounds of 18, which take eight frames.
    pub octets: u32,
}

impl Plan {
    /// There are no more addresses.
    pub const MAX_FLOWS: u32 = truth::CLIENTS * truth::PORTS;
    /// A sequence number wraps once at most.
    pub const MAX_OCTETS: u32 = 1 << 30;

    /// The usual size of a kind.
    pub const fn of(kind: Kind) -> Plan {
        let (flows, octets) = match kind {
            Kind::Bulk | Kind::Messy | Kind::Messy0 => (64, 8 << 20),
            Kind::Short => (200_000, 4096),
            Kind::Small => (10_000, 12 * small::ROUND),
        };
        Plan { kind, seed: 1, flows, octets }
    }

    /// About `factor` times as many frames: of `short` and `small` more or fewer connections, of the others longer or shorter
    /// ones.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Plan {
        let size = match self.kind {
            Kind::Bulk | Kind::Messy | Kind::Messy0 => &mut self.octets,
            Kind::Short | Kind::Small => &mut self.flows,
        };
        *size = (f64::from(*size) * factor) as u32; // as far as the number goes
        self.bounded()
    }

    /// The nearest plan that can be carried out.
    #[must_use]
    pub fn bounded(mut self) -> Plan {
        self.flows = self.flows.clamp(1, Plan::MAX_FLOWS);
        self.octets = self.octets.clamp(1, Plan::MAX_OCTETS);
        if self.kind == Kind::Small {
            self.octets = self.octets.next_multiple_of(small::ROUND);
        }
        self
    }
}

/// By the name of a kind; `small-1m` and `small-10m` are one round of a million connections, and of ten millions.
impl FromStr for Plan {
    type Err = UnknownTraffic;

    fn from_str(name: &str) -> Result<Self, UnknownTraffic> {
        let crowd = |flows| Plan { flows, octets: small::ROUND, ..Plan::of(Kind::Small) };
        match name {
            "small-1m" => Ok(crowd(1_000_000)),
            "small-10m" => Ok(crowd(10_000_000)),
            _ => name.parse().map(Plan::of),
        }
    }
}

/// Makes the frames of a plan, Ethernet with IPv4, one by one.
///
/// ```
/// use mos_flow::testing::traffic::{Kind, Plan, Traffic};
///
/// let mut traffic = Traffic::new(&Plan { flows: 3, ..Plan::of(Kind::Short) });
/// let (mut frame, mut frames) = (Vec::new(), 0);
/// while let Some(_time) = traffic.next_into(&mut frame) {
///     frames += 1;
/// }
/// assert_eq!(frames, 3 * 12);
/// ```
#[derive(Debug)]
pub struct Traffic {
    truth: Truth,
    script: Script,
    /// Nanoseconds.
    now: u64,
}

#[derive(Debug)]
enum Script {
    Bulk(Bulk),
    Short(Short),
    Small(Small),
}

impl Traffic {
    /// From the beginning. A plan beyond its limits is carried out as far as these.
    pub fn new(plan: &Plan) -> Traffic {
        let truth = Truth::new(plan.bounded());
        let script = match plan.kind {
            Kind::Bulk | Kind::Messy | Kind::Messy0 => Script::Bulk(Bulk::new(truth)),
            Kind::Short => Script::Short(Short::new(truth)),
            Kind::Small => Script::Small(Small::new(truth)),
        };
        Traffic { truth, script, now: START }
    }

    /// Makes `frame` the next one; `None` after the last, with the frame as it was.
    pub fn next_into(&mut self, frame: &mut Vec<u8>) -> Option<Instant> {
        let millis = (self.now / 1_000_000) as u32;
        let segment = match &mut self.script {
            Script::Bulk(script) => script.next(millis),
            Script::Short(script) => script.next(millis),
            Script::Small(script) => script.next(),
        }?;
        segment.write(&self.truth, frame);
        let time = Instant(self.now / 1000);
        self.now += (frame.len() as u64 + AROUND) * 8 / RATE;
        Some(time)
    }

    /// What the frames carry.
    pub fn truth(&self) -> Truth {
        self.truth
    }

    /// Octets so far that were acknowledged and are in no frame, as a capture lacks them.
    pub fn lost(&self) -> u64 {
        match &self.script {
            Script::Bulk(script) => script.lost(),
            Script::Short(_) | Script::Small(_) => 0,
        }
    }
}

/// Numbers that look random, the same in every run (xorshift).
#[derive(Clone, Copy, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of a seed.
    pub const fn new(seed: u64) -> Numbers {
        // Of zeros it would stay at zero.
        Numbers(truth::mix(seed) | 1)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (((self.0 >> 32) * u64::from(n)) >> 32) as u32
    }
}
