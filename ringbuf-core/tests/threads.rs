//! The structures of `sync` between real threads: every value says what it must be, and readers check all that they
//! get. `tests/loom.rs` looks at every order of a few steps; this looks at many orders of many.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use ringbuf_core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ringbuf_core::sync::seqlock::SeqLock;
use ringbuf_core::sync::spsc::{PopError, PushError, Slot, Spsc};
use ringbuf_core::sync::view::{Miss, Region, View};
use ringbuf_core::{Absent, Offset, Overlap};
use std::collections::HashMap;
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// How long each test goes on. Arbitrary: some million operations.
const TIME: Duration = Duration::from_millis(800);

/// A small generator of numbers that look random (xorshift), for sizes and places.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// Sets the flag when the thread ends, also by a failed check: so the others end, too.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits, now and then without holding the core: the machine may have but one.
fn wait(dice: &mut Dice) {
    if dice.below(8) == 0 { thread::yield_now() } else { spin_loop() }
}

#[test]
fn a_queue_loses_nothing_and_keeps_the_order() {
    let mut queue = Spsc::new([const { Slot::new() }; 64]);
    let (mut producer, mut consumer) = queue.split();
    thread::scope(|scope| {
        let pushing = scope.spawn(move || {
            let (start, mut dice) = (Instant::now(), Dice(0x9e37));
            let mut next = 0_u64;
            while start.elapsed() < TIME {
                let count = dice.below(100);
                let taken = if count < 50 {
                    match producer.push(next) {
                        Ok(()) => 1,
                        Err(refused) => {
                            assert_eq!(refused, PushError::Full(next));
                            0
                        }
                    }
                } else {
                    let values: Vec<u64> = (next..next + count).collect();
                    producer.push_slice(&values).unwrap() as u64
                };
                next += taken;
                if taken == 0 {
                    wait(&mut dice);
                }
            }
            producer.close();
            next
        });
        let mut dice = Dice(0x79b9);
        let (mut expected, mut out) = (0, [0; 96]);
        loop {
            let wanted = 1 + dice.below(96) as usize;
            let got = if wanted < 40 {
                consumer.pop().map(|value| {
                    out[0] = value;
                    1
                })
            } else {
                consumer.pop_slice(&mut out[..wanted])
            };
            match got {
                Ok(n) => {
                    for value in &out[..n] {
                        assert_eq!(*value, expected);
                        expected += 1;
                    }
                }
                Err(PopError::Empty) => wait(&mut dice),
                Err(_) => break,
            }
        }
        assert_eq!(pushing.join().unwrap(), expected);
    });
}

#[test]
fn readers_of_a_seqlock_get_whole_values() {
    let mut lock = SeqLock::new([0_u64; 9]);
    let (mut writer, reader) = lock.split();
    let done = AtomicBool::new(false);
    let done = &done;
    thread::scope(|scope| {
        for seed in 1..3 {
            scope.spawn(move || {
                let _done = Done(done);
                let (mut dice, mut newest, mut whole) = (Dice(seed), 0, 0_u64);
                while !done.load(Ordering::Relaxed) {
                    if let Some(value) = reader.try_read() {
                        assert_eq!(value, [value[0]; 9], "torn");
                        assert!(value[0] >= newest, "went back");
                        newest = value[0];
                        whole += 1;
                    }
                    wait(&mut dice);
                }
                assert!(whole > 0);
            });
        }
        let (_done, start, mut dice) = (Done(done), Instant::now(), Dice(7));
        for n in 1.. {
            writer.write([n; 9]);
            for _ in 0..dice.below(100) {
                wait(&mut dice);
            }
            if n % 64 == 0 && (start.elapsed() > TIME || done.load(Ordering::Relaxed)) {
                break;
            }
        }
    });
}

const CAP: u64 = if cfg!(miri) { 256 } else { 4096 };
const WORDS: usize = CAP as usize / 8;

fn words() -> Vec<AtomicU64> {
    (0..WORDS).map(|_| AtomicU64::new(0)).collect()
}

/// Spreads an offset over a word.
fn mix(offset: u64) -> u64 {
    let x = (offset ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x ^ (x >> 29)
}

/// The octet of the stream at an offset.
fn octet(offset: u64) -> u8 {
    mix(offset) as u8
}

/// How often a reader had which outcome.
#[derive(Debug, Default)]
struct Tally {
    octets: u64,
    overruns: u64,
    holes: u64,
    beyond: u64,
    changed: u64,
}

impl Tally {
    fn count(&mut self, outcome: &Result<usize, Miss>) {
        match outcome {
            Ok(n) => self.octets += *n as u64,
            Err(Miss::Absent(Absent::Overrun { .. })) => self.overruns += 1,
            Err(Miss::Absent(Absent::Hole(_))) => self.holes += 1,
            Err(Miss::Absent(Absent::Beyond)) => self.beyond += 1,
            Err(_) => self.changed += 1,
        }
    }
}

/// Peeks everywhere around the stream's end, and checks each octet.
fn read_first(view: View<'_, 8>, seed: u64, done: &AtomicBool) -> Tally {
    let _done = Done(done);
    let (mut dice, mut tally, mut gone) = (Dice(seed), Tally::default(), 0);
    let mut buf = vec![0; CAP as usize];
    while !done.load(Ordering::Relaxed) {
        let state = view.state();
        assert!(state.head <= state.next && state.next <= state.top && state.top.since(state.head) <= CAP);
        let from = (state.head.0 + dice.below(CAP + 400)).saturating_sub(200);
        let len = dice.below(CAP / 4) as usize;
        let outcome = view.ppeek(Offset(from), &mut buf[..len]);
        tally.count(&outcome);
        match outcome {
            Ok(n) => {
                assert!(from >= gone, "{from} was gone");
                for (offset, seen) in (from..).zip(&buf[..n]) {
                    assert_eq!(*seen, octet(offset), "octet {offset}");
                }
            }
            Err(Miss::Absent(Absent::Overrun { head })) => {
                assert!(head.0 > from);
                gone = gone.max(head.0);
            }
            Err(Miss::Absent(Absent::Hole(hole))) => assert!(hole.start.0 == from && !hole.is_empty()),
            Err(_) => {}
        }
    }
    tally
}

#[test]
fn readers_of_a_stream_get_its_octets_or_a_clean_miss() {
    let mut region = Region::<_, 8>::new(words());
    let mut ring = region.open(Overlap::First);
    let view = ring.view();
    let done = AtomicBool::new(false);
    let done = &done;
    let tallies = thread::scope(|scope| {
        let readers = [1, 2].map(|seed| scope.spawn(move || read_first(view, seed, done)));
        let _done = Done(done);
        let (start, mut dice) = (Instant::now(), Dice(11));
        while start.elapsed() < TIME && !done.load(Ordering::Relaxed) {
            for _ in 0..32 {
                let next = ring.window().next();
                // In order, early (a hole), or a copy of what is there, which must change nothing.
                let at = match dice.below(8) {
                    0 => next.0 + dice.below(CAP / 2),
                    1 => next.0.saturating_sub(dice.below(CAP / 4)),
                    _ => next.0,
                };
                let len = dice.below(CAP / 8);
                let data: Vec<u8> = (at..at + len).map(octet).collect();
                let _ = ring.write(Offset(at), &data);
                match dice.below(64) {
                    0 => _ = ring.skip(ring.view().state().top),
                    1 => _ = ring.advance(Offset(next.0.saturating_sub(CAP / 4))),
                    _ => {}
                }
            }
            thread::yield_now();
        }
        drop(_done);
        readers.map(|r| r.join().unwrap())
    });
    for t in tallies {
        assert!(cfg!(miri) || t.octets > 0 && t.overruns > 0 && t.holes > 0 && t.beyond > 0, "{t:?}");
        eprintln!("first: {t:?}");
    }
}

/// What is rewritten at a time under the last policy.
const BLOCK: u64 = 64;

/// The octets of a block: its offsets and one generation, which each eight octets spell out.
fn block(start: u64, generation: u64) -> Vec<u8> {
    (start..start + BLOCK).step_by(8).flat_map(|offset| (mix(offset) ^ generation).to_le_bytes()).collect()
}

fn read_last(view: View<'_, 8>, seed: u64, done: &AtomicBool) -> Tally {
    let _done = Done(done);
    let (mut dice, mut tally) = (Dice(seed), Tally::default());
    let mut newest = HashMap::new();
    let mut buf = vec![0; CAP as usize];
    while !done.load(Ordering::Relaxed) {
        let head = view.state().head.0 / BLOCK * BLOCK;
        let from = head + dice.below(CAP / BLOCK) * BLOCK;
        let len = (1 + dice.below(4)) * BLOCK;
        let outcome = view.ppeek(Offset(from), &mut buf[..len as usize]);
        tally.count(&outcome);
        let Ok(n) = outcome else { continue };
        for (start, seen) in (from..).step_by(BLOCK as usize).zip(buf[..n].chunks_exact(BLOCK as usize)) {
            let first = u64::from_le_bytes(*seen.first_chunk().unwrap());
            let generation = first ^ mix(start);
            assert_eq!(seen, block(start, generation), "block at {start}");
            let last = newest.insert(start, generation).unwrap_or(0);
            assert!(generation >= last, "block at {start} went back from {last} to {generation}");
        }
    }
    tally
}

#[test]
fn readers_beside_rewrites_get_each_block_of_one_generation() {
    let mut region = Region::<_, 8>::new(words());
    let mut ring = region.open(Overlap::Last);
    let view = ring.view();
    let done = AtomicBool::new(false);
    let done = &done;
    let tallies = thread::scope(|scope| {
        let readers = [3, 4].map(|seed| scope.spawn(move || read_last(view, seed, done)));
        let _done = Done(done);
        let (start, mut dice) = (Instant::now(), Dice(13));
        let mut generation = 0;
        while start.elapsed() < TIME && !done.load(Ordering::Relaxed) {
            for _ in 0..8 {
                generation += 1;
                let next = ring.window().next().0;
                let back = if dice.below(4) == 0 { 0 } else { dice.below(CAP / BLOCK) * BLOCK };
                let at = next.saturating_sub(back);
                let _ = ring.write(Offset(at), &block(at, generation));
                for _ in 0..dice.below(200) {
                    spin_loop();
                }
            }
            thread::yield_now();
        }
        drop(_done);
        readers.map(|r| r.join().unwrap())
    });
    for t in tallies {
        assert!(cfg!(miri) || t.octets > 0, "{t:?}");
        eprintln!("last: {t:?}");
    }
}
