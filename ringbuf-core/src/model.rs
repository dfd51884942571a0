//! The naive model of a stream's window, octet by octet, and a driver that holds the real ones against it.
//!
//! One model serves the unit tests, the property tests and the fuzz targets: [`run`] reads a list of operations from
//! bytes, applies each to the model, to a window over flat storage and to a window over chunks, and compares
//! everything that can be observed.
#![allow(missing_docs, clippy::panic, clippy::missing_panics_doc, clippy::unwrap_used)]

pub mod kernel;

pub mod policy;

use crate::chunk::{ChunkMap, ChunkPool, Chunked};
use crate::frag::FragList;
use crate::overlap::Overlap;
use crate::seq::{Offset, Range};
use crate::store::{Flat, Store};
use crate::window::{Absent, Next, Refusal, Window, Written};
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

/// Ranges apart from the run that the windows under test can hold.
pub const FRAGS: usize = 4;

/// One operation on a stream. Places are relative to `next` so that most of them matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Write { ahead: i32, len: u32, salt: u8 },
    Advance { behind: u32 },
    Skip { ahead: u32 },
    Resize { cap: u32, ahead: u32 },
}

/// The most octets that the windows under test can be made to hold.
const LARGEST: u32 = 200;

impl Op {
    /// Reads one operation from five bytes.
    pub fn decode(b: [u8; 5]) -> Op {
        let small = u32::from(b[1] % 48);
        let ahead = match b[3] % 8 {
            0..3 => 0,
            3..5 => i32::from(b[2].cast_signed()) % 24,
            5..7 => i32::from(b[2] % 80),
            _ => i32::from_ne_bytes([b[2], b[4], b[1], b[3] >> 4]),
        };
        match b[0] % 16 {
            0 => Op::Advance { behind: small },
            1 => Op::Skip { ahead: ahead.unsigned_abs() },
            2 if b[4].is_multiple_of(4) => Op::Resize { cap: b[1].into(), ahead: b[2].into() },
            _ => Op::Write { ahead, len: small, salt: b[4] },
        }
    }
}

/// What a window must do, by the letter and without any cleverness.
#[derive(Clone, Debug)]
pub struct Model {
    held: BTreeMap<u64, u8>,
    next: u64,
    cap: u64,
    ahead: u64,
    policy: Overlap,
}

impl Model {
    pub fn new(cap: u64, ahead: u64, policy: Overlap) -> Self {
        Model { held: BTreeMap::new(), next: 0, cap, ahead, policy }
    }

    fn head(&self) -> u64 {
        self.held.keys().next().copied().unwrap_or(self.next).min(self.next)
    }

    fn top(&self) -> u64 {
        self.held.keys().last().map_or(self.next, |o| (o + 1).max(self.next))
    }

    pub fn ranges(&self) -> Vec<Range> {
        let mut out: Vec<Range> = Vec::new();
        for &o in self.held.keys() {
            match out.last_mut() {
                Some(r) if r.end.0 == o => r.end.0 += 1,
                _ => out.push(Range::new(o, o + 1)),
            }
        }
        out
    }

    fn apart(&self) -> usize {
        self.ranges().iter().filter(|r| r.end.0 != self.next).count()
    }

    fn forget_below(&mut self, head: u64) -> u64 {
        let before = self.held.len() as u64;
        self.held = self.held.split_off(&head);
        let never_held = head.saturating_sub(self.next);
        let held_in_passing = self.held_between(self.next, head);
        self.next = self.next.max(head);
        self.join();
        before - self.held.len() as u64 + never_held - held_in_passing
    }

    /// Forgets the oldest range below the run; returns its octets.
    fn forget_past(&mut self) -> u64 {
        match self.ranges().first() {
            Some(r) if r.end.0 < self.run_start() => self.forget_below(r.end.0),
            _ => 0,
        }
    }

    fn run_start(&self) -> u64 {
        self.ranges().iter().find(|r| r.end.0 == self.next).map_or(self.next, |r| r.start.0)
    }

    fn held_between(&self, from: u64, to: u64) -> u64 {
        if from < to { self.held.range(from..to).count() as u64 } else { 0 }
    }

    fn join(&mut self) {
        while self.held.contains_key(&self.next) {
            self.next += 1;
        }
    }

    pub fn write(&mut self, at: u64, data: &[u8]) -> Written {
        let before = self.next;
        let mut done = Written::default();
        let end = at + data.len() as u64;
        let limit = if at <= self.next { end } else { self.next + self.ahead };
        done.stale = self.head().min(end).saturating_sub(at);
        done.refused = end.saturating_sub(limit.max(at));
        done.refusal = (done.refused > 0).then_some(Refusal::BeyondWindow);
        let end = end.min(limit);
        let top = if at < end { self.top().max(end) } else { self.top() };
        let head = self.head().max(top.saturating_sub(self.cap));
        let start = at.max(head);
        // What the write itself passes without storing is part of the overrun, too.
        if head > self.head() {
            done.overrun = self.forget_below(head);
        }
        if start >= end {
            done.advanced = self.next - before;
            return done;
        }
        let mut whole = self.clone();
        whole.held.extend((start..end).map(|o| (o, 0)));
        whole.join();
        if whole.apart() > FRAGS {
            // The oldest range that was passed makes room.
            done.overrun += self.forget_past();
        }
        let mut after = self.clone();
        for o in start..end {
            let byte = data[(o - at) as usize];
            match after.held.get(&o) {
                Some(&old) => {
                    done.duplicate += 1;
                    if old != byte {
                        let here = Range::new(o, o + 1);
                        let range = done.conflict.map_or(here, |c| c.range.hull(here));
                        done.conflict = Some(crate::Conflict { range });
                    }
                    if self.policy == Overlap::Last {
                        done.replaced += 1;
                        after.held.insert(o, byte);
                    }
                }
                None => {
                    done.fresh += 1;
                    after.held.insert(o, byte);
                }
            }
        }
        after.join();
        if after.apart() > FRAGS {
            done = Written {
                stale: done.stale,
                overrun: done.overrun,
                refused: done.refused,
                ..Written::default()
            };
            done.refused += end - start;
            done.refusal = Some(Refusal::TooManyRanges);
        } else {
            *self = after;
        }
        done.advanced = self.next - before;
        done
    }

    pub fn resize(&mut self, cap: u64, ahead: u64) -> u64 {
        (self.cap, self.ahead) = (cap, ahead.min(cap));
        let far = self.held.split_off(&(self.next + self.ahead)).len() as u64;
        far + self.forget_below(self.top().saturating_sub(cap))
    }

    pub fn skip(&mut self, to: u64) -> Option<Range> {
        let first = self.held.range(self.next..).next().map_or(to, |(&o, _)| o.min(to));
        let gap = Range::new(self.next, first);
        if gap.is_empty() {
            return None;
        }
        // A run that finds no place in the list pushes out the oldest range, or is given up.
        if self.apart() == FRAGS
            && self.held.contains_key(&(self.next.wrapping_sub(1)))
            && self.forget_past() == 0
        {
            self.held = self.held.split_off(&self.next);
        }
        self.next = first;
        self.join();
        let head = self.top().saturating_sub(self.cap);
        self.held = self.held.split_off(&head);
        Some(gap)
    }
}

/// One window under test with its parts.
struct Subject<S> {
    window: Window,
    frags: FragList<FRAGS>,
    store: S,
}

impl<S: Store> Subject<S> {
    fn apply(&mut self, op: Op, policy: Overlap) -> (Written, Option<Range>) {
        let next = self.window.next().0;
        match op {
            Op::Write { ahead, len, salt } => {
                let (at, data) = segment(next, ahead, len, salt);
                let plan = self.window.plan(&self.frags, Offset(at), data.len());
                let head = self.window.head(&self.frags);
                let done = self.window.write(&mut self.frags, &mut self.store, policy, Offset(at), &data);
                assert_eq!(plan.stale, done.stale, "plan and write agree on {op:?}");
                assert!(
                    plan.new_head >= head && self.window.head(&self.frags) >= plan.new_head,
                    "{op:?} {plan:?}"
                );
                (done, None)
            }
            Op::Advance { behind } => {
                let to = Offset(next.saturating_sub(behind.into()));
                let lost = self.window.advance(&mut self.frags, &mut self.store, to);
                (Written { overrun: lost, ..Written::default() }, None)
            }
            Op::Resize { cap, ahead } => {
                let lost = self.window.resize(&mut self.frags, &mut self.store, cap, ahead);
                (Written { overrun: lost, ..Written::default() }, None)
            }
            Op::Skip { ahead } => {
                let to = Offset(next + u64::from(ahead));
                (Written::default(), self.window.skip(&mut self.frags, &mut self.store, to))
            }
        }
    }

    fn compare(&self, model: &Model) {
        self.window.check(&self.frags);
        assert_eq!(self.window.next().0, model.next, "next");
        assert_eq!(self.window.head(&self.frags).0, model.head(), "head");
        assert_eq!(self.window.top(&self.frags).0, model.top(), "top");
        let ranges: Vec<Range> = self.window.ranges(&self.frags).collect();
        assert_eq!(ranges, model.ranges(), "ranges");
        for &range in &ranges {
            self.compare_octets(model, range);
        }
        let (low, high) = (model.head().saturating_sub(2), model.top().saturating_add(2));
        for offset in (low..high.min(low + 400)).chain([0, u64::MAX]) {
            self.compare_lookup(model, offset);
        }
    }

    fn compare_octets(&self, model: &Model, range: Range) {
        let octets: Vec<u8> = self.store.pieces(range).flatten().copied().collect();
        let expected: Vec<u8> = model.held.range(range.start.0..range.end.0).map(|(_, byte)| *byte).collect();
        assert_eq!(octets, expected, "{range}");
    }

    fn compare_lookup(&self, model: &Model, offset: u64) {
        let held = model.held.contains_key(&offset);
        let found = self.window.lookup(&self.frags, Offset(offset));
        match found {
            Ok(r) => assert!(held && r.start.0 == offset, "{found:?} at {offset}"),
            Err(Absent::Overrun { head }) => assert!(!held && offset < head.0 && head.0 == model.head()),
            Err(Absent::Hole(r)) => assert!(!held && r.start.0 == offset && offset < model.top()),
            Err(Absent::Beyond) => assert!(!held && offset >= model.top()),
        }
        let next = self.window.next_for(&self.frags, Offset(offset));
        match next {
            Next::Data(r) => assert!(held && r.end.0 <= model.next),
            Next::Lost(r) => assert!(!held && r.start.0 == offset && r.end.0 <= model.next && !r.is_empty()),
            Next::Empty => assert!(offset >= model.next),
        }
    }
}

fn segment(next: u64, ahead: i32, len: u32, salt: u8) -> (u64, Vec<u8>) {
    let at = next.saturating_add_signed(ahead.into());
    // Two salts only: half of the overlaps conflict, and conflicts of few octets occur.
    let data = (0..u64::from(len)).map(|i| ((at + i) as u8) ^ if (at + i) % 3 == 0 { salt & 1 } else { 0 });
    (at, data.collect())
}

/// Runs the operations in `input` against the model.
///
/// # Panics
/// When a window and the model disagree.
pub fn run(input: &[u8]) {
    let Some((&[setup, ..], ops)) = input.split_first_chunk::<1>() else { return };
    let policy = if setup & 1 == 0 { Overlap::First } else { Overlap::Last };
    let cap = [1_u32, 7, 64, LARGEST][usize::from(setup >> 1) % 4];
    let cap = if setup >> 5 == 7 { 0 } else { cap };
    let ahead = if setup & 8 == 0 { cap } else { cap / 3 };
    let mut pool = ChunkPool::new(vec![0_u8; 64 * crate::chunk::CHUNK], vec![0_u32; 64]);
    let mut map = ChunkMap::new();
    let mut model = Model::new(cap.into(), ahead.into(), policy);
    let window = Window::with_ahead(cap, ahead);
    // Where the ring is resized the storage is larger than some windows over it; else its seam is theirs.
    let largest = if setup & 16 == 0 { cap } else { LARGEST };
    let mut flat = Subject { window, frags: FragList::new(), store: Flat::new(vec![0_u8; largest as usize]) };
    let store = Chunked { pool: &mut pool, map: &mut map };
    let mut chunked = Subject { window, frags: FragList::new(), store };
    for op in ops.as_chunks::<5>().0 {
        let op = match Op::decode(*op) {
            Op::Resize { cap, ahead } => Op::Resize { cap: cap.min(largest), ahead },
            op => op,
        };
        let expected = match op {
            Op::Write { ahead, len, salt } => {
                let (at, data) = segment(model.next, ahead, len, salt);
                (model.write(at, &data), None)
            }
            Op::Advance { behind } => {
                let to = model.next.saturating_sub(behind.into());
                let overrun = if to > model.head() { model.forget_below(to) } else { 0 };
                (Written { overrun, ..Written::default() }, None)
            }
            Op::Resize { cap, ahead } => {
                let overrun = model.resize(cap.into(), ahead.into());
                (Written { overrun, ..Written::default() }, None)
            }
            Op::Skip { ahead } => (Written::default(), model.skip(model.next + u64::from(ahead))),
        };
        assert_eq!(flat.apply(op, policy), expected, "flat {op:?}");
        assert_eq!(chunked.apply(op, policy), expected, "chunked {op:?}");
        flat.compare(&model);
        chunked.compare(&model);
    }
    chunked.store.clear();
    assert_eq!(pool.used(), 0, "every chunk is returned");
}
