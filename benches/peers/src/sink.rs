//! Where rows hand the octets of streams: to be counted while they are timed, and to be compared with the truth when they
//! are not. The way there is the same.

use crate::capture::Capture;
use crate::wire::{self, SYN};
use mos_flow::testing::traffic::Truth;
use mos_flow::{Side, Sides};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// Who takes octets in order. It has no value: some rows call back without a word of the caller's, or from another thread.
pub(crate) trait Sink: 'static {
    /// Whether it wants to know whose octets they are.
    const CHECKS: bool;

    /// The next octets that `receiver` got.
    fn data(ends: impl FnOnce() -> Option<Sides<SocketAddr>>, receiver: Side, octets: &[u8]);

    /// The next octets are lost.
    fn lost(ends: impl FnOnce() -> Option<Sides<SocketAddr>>, receiver: Side, octets: u64);
}

thread_local! {
    static OCTETS: Cell<u64> = const { Cell::new(0) };
}

/// Counts octets and forgets them.
#[derive(Debug)]
pub(crate) enum Counting {}

impl Counting {
    /// What was counted by who counts itself.
    pub(crate) fn add(octets: u64) {
        OCTETS.set(OCTETS.get() + octets);
    }

    /// What was counted since the last call.
    pub(crate) fn take() -> u64 {
        OCTETS.take()
    }
}

impl Sink for Counting {
    const CHECKS: bool = false;

    #[inline]
    fn data(_: impl FnOnce() -> Option<Sides<SocketAddr>>, _: Side, octets: &[u8]) {
        Counting::add(black_box(octets).len() as u64);
    }

    #[inline]
    fn lost(_: impl FnOnce() -> Option<Sides<SocketAddr>>, _: Side, _: u64) {}
}

static CHECK: Mutex<Option<Check>> = Mutex::new(None);

/// Compares octets with the truth.
#[derive(Debug)]
pub(crate) enum Checking {}

impl Checking {
    pub(crate) fn begin(capture: &Capture) {
        *CHECK.lock().unwrap_or_else(PoisonError::into_inner) = Some(Check::new(capture.truth));
    }

    /// What became of the streams of `capture`.
    pub(crate) fn end(capture: &Capture) -> Outcome {
        let check = CHECK.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tally = check.map(|check| check.tally).unwrap_or_default();
        Outcome { sent: capture.truth.octets(), captured: captured(capture), ..tally }
    }

    fn with(f: impl FnOnce(&mut Check)) {
        if let Some(check) = CHECK.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            f(check);
        }
    }
}

impl Sink for Checking {
    const CHECKS: bool = true;

    fn data(ends: impl FnOnce() -> Option<Sides<SocketAddr>>, receiver: Side, octets: &[u8]) {
        Checking::with(|check| check.data(ends(), receiver, octets));
    }

    fn lost(ends: impl FnOnce() -> Option<Sides<SocketAddr>>, receiver: Side, octets: u64) {
        Checking::with(|check| check.lost(ends(), receiver, octets));
    }
}

/// Octets of all streams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// By the senders.
    pub(crate) sent: u64,
    /// Of them in the capture, each counted once.
    pub(crate) captured: u64,
    /// Handed over as what they are.
    pub(crate) right: u64,
    /// Handed over as what they are not, where they are not, or for a connection that is not.
    pub(crate) wrong: u64,
    /// Said to be lost.
    pub(crate) told_lost: u64,
}

impl Outcome {
    pub(crate) fn is_right(&self) -> bool {
        self.wrong == 0 && self.right == self.captured
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let never = self.sent - self.captured;
        let missing = self.captured.saturating_sub(self.right);
        if self.is_right() {
            return match self.told_lost {
                told if told == never => f.write_str("right"),
                0 => f.write_str("right, no word of what was not captured"),
                told => write!(f, "right, {told} octets told as lost where {never} were"),
            };
        }
        let percent = |octets: u64| 100.0 * octets as f64 / self.sent.max(1) as f64;
        let mut comma = "";
        if self.wrong > 0 {
            write!(f, "{} wrong", Percent(percent(self.wrong)))?;
            comma = ", ";
        }
        if missing > 0 {
            let of_it = self.told_lost.saturating_sub(never).min(missing);
            write!(f, "{comma}{} missing", Percent(percent(missing)))?;
            match of_it {
                0 => f.write_str(", no word of it"),
                told if told == missing => f.write_str(", told as lost"),
                told => write!(f, ", {} of it told as lost", Percent(100.0 * told as f64 / missing as f64)),
            }?;
        }
        Ok(())
    }
}

/// With as many digits as it takes to see that it is not zero.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            p if p >= 10.0 => write!(f, "{p:.0} %"),
            p if p >= 0.1 => write!(f, "{p:.1} %"),
            p if p >= 0.001 => write!(f, "{p:.3} %"),
            _ => f.write_str("less than 0.001 %"),
        }
    }
}

/// How far each stream was handed over.
struct Check {
    truth: Truth,
    at: Vec<Sides<u64>>,
    tally: Outcome,
}

impl Check {
    fn new(truth: Truth) -> Self {
        Check { truth, at: vec![Sides::default(); truth.flows() as usize], tally: Outcome::default() }
    }

    /// Moves behind the next `len` octets of a stream; where they are.
    fn pass(&mut self, ends: Option<Sides<SocketAddr>>, receiver: Side, len: u64) -> Option<(u32, u64)> {
        let ends = ends?;
        // Some tell the ends, but not which one is the client.
        let (flow, _) = self.truth.sender(ends.client, ends.server)?;
        let at = self.at.get_mut(flow as usize)?;
        let from = at[receiver];
        at[receiver] += len;
        Some((flow, from))
    }

    fn data(&mut self, ends: Option<Sides<SocketAddr>>, receiver: Side, octets: &[u8]) {
        let Some((flow, from)) = self.pass(ends, receiver, octets.len() as u64) else {
            self.tally.wrong += octets.len() as u64;
            return;
        };
        let there = self.truth.len(flow, receiver).saturating_sub(from);
        let (known, beyond) = octets.split_at(octets.len().min(usize::try_from(there).unwrap_or(usize::MAX)));
        self.tally.wrong += beyond.len() as u64;
        if self.truth.matches(flow, receiver, from, known) {
            self.tally.right += known.len() as u64;
            return;
        }
        let mut truth = vec![0; known.len()];
        self.truth.fill(flow, receiver, from, &mut truth);
        let right = known.iter().zip(&truth).filter(|(a, b)| a == b).count();
        self.tally.right += right as u64;
        self.tally.wrong += (known.len() - right) as u64;
    }

    fn lost(&mut self, ends: Option<Sides<SocketAddr>>, receiver: Side, octets: u64) {
        if self.pass(ends, receiver, octets).is_some() {
            self.tally.told_lost += octets;
        }
    }
}

/// The octets of all streams that are in `capture`, each counted once.
fn captured(capture: &Capture) -> u64 {
    let mut streams = vec![Sides::<Seen>::default(); capture.truth.flows() as usize];
    for (_, frame) in capture.frames() {
        let Some(segment) = wire::parse(frame) else { continue };
        let ends = segment.ends();
        let Some((flow, sender)) = capture.truth.sender(ends.client, ends.server) else { continue };
        let Some(streams) = streams.get_mut(flow as usize) else { continue };
        let stream = &mut streams[!sender];
        if segment.has(SYN) {
            stream.first = segment.seq.wrapping_add(1);
        } else if !segment.payload.is_empty() {
            stream.add(segment.seq, segment.payload.len() as u64);
        }
    }
    let of = |seen: &Seen| seen.next + seen.islands.iter().map(|(start, end)| end - start).sum::<u64>();
    streams.iter().map(|stream| of(&stream.client) + of(&stream.server)).sum()
}

/// What was seen of a stream: all before `next`, and disjoint islands.
#[derive(Clone, Debug, Default)]
struct Seen {
    first: u32,
    next: u64,
    islands: BTreeMap<u64, u64>,
}

impl Seen {
    fn add(&mut self, seq: u32, len: u64) {
        let ahead = i64::from(seq.wrapping_sub(self.first.wrapping_add(self.next as u32)).cast_signed());
        let end = self.next.saturating_add_signed(ahead.saturating_add_unsigned(len));
        let (mut start, mut end) = (self.next.saturating_add_signed(ahead), end);
        // Those that it touches, from the last one on.
        while let Some((&from, &to)) = self.islands.range(..=end).next_back()
            && to >= start
        {
            self.islands.remove(&from);
            (start, end) = (start.min(from), end.max(to));
        }
        if start <= self.next {
            self.next = self.next.max(end);
        } else {
            self.islands.insert(start, end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mos_flow::testing::traffic::{Kind, Plan, Traffic};

    fn outcome(right: u64, wrong: u64, told_lost: u64) -> String {
        Outcome { sent: 1000, captured: 990, right, wrong, told_lost }.to_string()
    }

    #[test]
    fn an_outcome_says_what_was_wrong() {
        for (right, wrong, told, words) in [
            (990, 0, 10, "right"),
            (990, 0, 0, "right, no word of what was not captured"),
            (990, 0, 12, "right, 12 octets told as lost where 10 were"),
            (490, 0, 0, "50 % missing, no word of it"),
            (490, 0, 510, "50 % missing, told as lost"),
            (490, 0, 260, "50 % missing, 50 % of it told as lost"),
            (510, 480, 10, "48 % wrong, 48 % missing, no word of it"),
            (990, 1, 10, "0.1 % wrong"),
        ] {
            assert_eq!(outcome(right, wrong, told), words);
        }
    }

    #[test]
    fn what_is_handed_over_is_compared_with_what_was_sent() {
        let plan = Plan { flows: 2, ..Plan::of(Kind::Short) };
        let truth = Traffic::new(&plan).truth();
        let (ends, server) = (Some(truth.addresses(1)), Side::Server);
        let mut sent = [0; 200];
        truth.fill(1, server, 0, &mut sent);
        let mut check = Check::new(truth);
        check.data(ends, server, &sent[..50]);
        check.lost(ends, server, 10);
        check.data(ends, server, &sent[60..100]);
        let tally = |check: &Check| (check.tally.right, check.tally.wrong, check.tally.told_lost);
        assert_eq!(tally(&check), (90, 0, 10));
        // Where others belong: by chance some are the same.
        check.data(ends, server, &sent[..50]);
        assert_eq!(check.tally.right + check.tally.wrong, 140);
        assert!(check.tally.wrong > 40);
        let mut check = Check::new(truth);
        check.data(ends, server, &[&sent[..], b"beyond"].concat());
        check.data(
            Some(Sides { client: truth.addresses(0).client, server: truth.addresses(0).client }),
            server,
            b"nobody's",
        );
        assert_eq!(tally(&check), (200, 14, 0));
    }

    #[test]
    fn what_was_seen_is_counted_once_across_a_wrap() {
        let mut seen = Seen { first: u32::MAX - 9, ..Seen::default() };
        for (seq, len, next, islands) in [
            (0x0000_000a, 10, 0, vec![(20, 30)]),
            (0x0000_001e, 10, 0, vec![(20, 30), (40, 50)]),
            (0x0000_0010, 16, 0, vec![(20, 50)]),
            (u32::MAX - 9, 15, 15, vec![(20, 50)]),
            (u32::MAX - 9, 15, 15, vec![(20, 50)]),
            (0x0000_0003, 10, 50, vec![]),
        ] {
            seen.add(seq, len);
            assert_eq!(
                (seen.next, seen.islands.iter().map(|(a, b)| (*a, *b)).collect()),
                (next, islands),
                "{seq}"
            );
        }
    }
}
