//! Many connections that stay open, with a tiny segment here and there.

use super::frame::{Options, Segment, window};
use super::truth::Truth;
use tcp_reasm::{Flags, Side, Sides};

/// Octets that each side sends in a round.
pub(super) const ROUND: u32 = 3 * PAYLOAD;
/// Of a segment that has some: with it the frame needs no padding.
const PAYLOAD: u32 = 6;
/// What every connection does in a round: who sends, and whether octets.
const TURNS: [(Side, bool); 8] = [
    (Side::Client, true),
    (Side::Server, true),
    (Side::Client, true),
    (Side::Server, false),
    (Side::Server, true),
    (Side::Client, true),
    (Side::Server, true),
    (Side::Client, false),
];
/// Octets that hosts which know no scale have room for.
const BUFFER: u32 = 65_535;

/// The frames by their number: first the handshakes, then a frame of each connection in an order that looks random, then
/// another of each in another order. Where in its round a connection begins differs, so that all kinds of frames are mixed.
#[derive(Debug)]
pub(super) struct Small {
    truth: Truth,
    /// The frame that comes next.
    next: u64,
}

impl Small {
    pub(super) fn new(truth: Truth) -> Small {
        Small { truth, next: 0 }
    }

    pub(super) fn next(&mut self) -> Option<Segment> {
        let flows = u64::from(self.truth.flows());
        let number = self.next;
        self.next += 1;
        let Some(behind) = number.checked_sub(3 * flows) else {
            return Some(self.handshake((number / 3) as u32, number % 3));
        };
        let (turn, place) = (behind / flows, (behind % flows) as u32);
        let turns = u64::from(self.truth.plan().octets / ROUND) * TURNS.len() as u64;
        (turn < turns).then(|| self.turn(shuffled(place, self.truth.flows(), turn as u32), turn))
    }

    fn handshake(&self, flow: u32, step: u64) -> Segment {
        let segment = Segment {
            flow,
            side: Side::Client,
            flags: Flags::SYN,
            offset: 0,
            len: 0,
            ack: 0,
            window: window(BUFFER, 0) as u16,
            options: Options::MaxSegmentSize,
        };
        match step {
            0 => segment,
            1 => Segment { side: Side::Server, flags: Flags::SYN | Flags::ACK, ..segment },
            _ => Segment { flags: Flags::ACK, options: Options::None, ..segment },
        }
    }

    fn turn(&self, flow: u32, turn: u64) -> Segment {
        let first = (u64::from(flow) ^ self.truth.seed()) % TURNS.len() as u64;
        let (side, has_payload) = TURNS[(first + turn) as usize % TURNS.len()];
        let before = sent(first);
        let sent = sent(first + turn);
        let since = |side: Side| u64::from(PAYLOAD) * (sent[side] - before[side]);
        Segment {
            flow,
            side,
            flags: if has_payload { Flags::ACK | Flags::PSH } else { Flags::ACK },
            offset: since(side),
            len: if has_payload { PAYLOAD as u16 } else { 0 },
            ack: since(!side),
            window: window(BUFFER, since(!side)) as u16,
            options: Options::None,
        }
    }
}

/// Segments with payload that each side sends in so many turns.
fn sent(turns: u64) -> Sides<u64> {
    let (rounds, rest) = (turns / TURNS.len() as u64, (turns % TURNS.len() as u64) as usize);
    let in_round = |side| {
        u64::from(ROUND / PAYLOAD) * rounds
            + TURNS.iter().take(rest).filter(|turn| **turn == (side, true)).count() as u64
    };
    Sides::from_fn(in_round)
}

/// The number at a place when the numbers below `n` are shuffled.
fn shuffled(place: u32, n: u32, seed: u32) -> u32 {
    // Shuffles the numbers below the next power of two, until one is below `n`: at most two times on average.
    let mask = n.next_power_of_two() - 1;
    let shift = n.next_power_of_two().ilog2() / 2 + 1;
    let mut number = place;
    loop {
        for factor in [0x9e37_79b1_u32, 0x85eb_ca6b] {
            number = number.wrapping_add(seed).wrapping_mul(factor) & mask;
            number ^= number >> shift;
        }
        if number < n {
            return number;
        }
    }
}
