//! A timing wheel against a list of deadlines, from a script of bytes.

use crate::memory::{Heap, Reserved};
use crate::time::Instant;
use crate::timer::{TICK_US, Wheel};
use std::vec::Vec;

/// Indices that have a timer.
const CAPACITY: u32 = 12;
/// The last tick that an instant can reach.
const LAST: u64 = u64::MAX / TICK_US;
/// Digits of six bits in a tick: so often a wheel that is asked again and again for its next deadline moves a timer down.
const DIGITS: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Timer {
    index: u32,
    tick: u64,
}

/// All timers that run, those of the queue in its order.
#[derive(Debug, Default)]
struct Model {
    free: Vec<Timer>,
    queue: Vec<Timer>,
    /// The tick up to which nothing more can fire before what is due now.
    present: u64,
}

impl Model {
    fn all(&self) -> impl Iterator<Item = &Timer> {
        self.free.iter().chain(&self.queue)
    }

    fn tick(&self, index: u32) -> Option<u64> {
        self.all().find(|t| t.index == index).map(|t| t.tick)
    }

    fn first(&self) -> Option<u64> {
        self.all().map(|t| t.tick).min()
    }

    fn stop(&mut self, index: u32) -> bool {
        let before = self.all().count();
        self.free.retain(|t| t.index != index);
        self.queue.retain(|t| t.index != index);
        self.all().count() < before
    }

    /// The tick of a deadline: not before it, not now, and one that will be.
    fn reached(&self, deadline: u64) -> u64 {
        let over = u64::from(!deadline.is_multiple_of(TICK_US));
        (deadline / TICK_US + over).min(LAST).max(self.present + 1)
    }

    fn start(&mut self, index: u32, deadline: u64) {
        self.stop(index);
        self.free.push(Timer { index, tick: self.reached(deadline) });
    }

    fn enqueue(&mut self, index: u32, deadline: u64) {
        self.stop(index);
        let last = self.queue.last().map_or(0, |t| t.tick);
        self.queue.push(Timer { index, tick: self.reached(deadline).max(last) });
    }

    /// Moves to `now`, but not past what is due, which leaves the queue. Returns the tick that is due.
    fn poll(&mut self, now: u64) -> Option<u64> {
        let due = self.first().filter(|first| *first <= self.present.max(now / TICK_US));
        self.present = self.present.max(due.unwrap_or(now / TICK_US));
        let waiting = self.queue.iter().position(|t| t.tick > self.present).unwrap_or(self.queue.len());
        self.free.extend(self.queue.drain(..waiting));
        due
    }
}

/// A number of any magnitude.
fn number(a: u8, b: u8) -> u64 {
    match b % 8 {
        0..=2 => u64::from(a) * 16,
        3 | 4 => u64::from(a) * TICK_US / 4,
        5 => u64::from(a) * TICK_US * 64,
        6 => u64::from(a) << 30,
        _ => u64::from(a) << (b >> 3) << (b >> 3),
    }
}

/// Runs a script against the model.
///
/// # Panics
/// When they disagree.
pub fn run(input: &[u8]) {
    let mut wheel = Wheel::<Heap>::new(Reserved::with_capacity(CAPACITY as usize));
    let mut model = Model::default();
    let mut now = 0_u64;
    for &[what, which, a, b] in input.as_chunks::<4>().0 {
        // One index in a while has no timer.
        let index = u32::from(which) % (CAPACITY + 1);
        let (number, known) = (number(a, b), index < CAPACITY);
        let deadline = if which & 128 == 0 { now.saturating_add(number) } else { now.saturating_sub(number) };
        match what % 8 {
            0 | 1 => {
                assert_eq!(wheel.start(index, Instant(deadline)), known);
                known.then(|| model.start(index, deadline));
            }
            2 | 3 => {
                assert_eq!(wheel.enqueue(index, Instant(deadline)), known);
                known.then(|| model.enqueue(index, deadline));
            }
            4 => assert_eq!(wheel.stop(index), model.stop(index)),
            5 => {
                now = deadline;
                fire(&mut wheel, &mut model, now);
            }
            6 => {
                now = now.saturating_add(number);
                while fire(&mut wheel, &mut model, now) {}
            }
            _ => follow(&mut wheel, &mut model),
        }
        compare(&wheel, &model, now);
    }
}

/// Polls once. Returns whether something fired.
fn fire(wheel: &mut Wheel<Heap>, model: &mut Model, now: u64) -> bool {
    let idle = wheel.is_idle_until(Instant(now));
    let (due, fired) = (model.poll(now), wheel.poll(Instant(now)));
    assert!(!idle || fired.is_none(), "who does not ask misses nothing");
    assert_eq!(fired.and_then(|index| model.tick(index)), due, "the first of all, in time");
    fired.is_some_and(|index| model.stop(index))
}

/// Who sleeps until the next deadline again and again sees the first timer fire.
fn follow(wheel: &mut Wheel<Heap>, model: &mut Model) {
    // In the last tick of all time there is no next one.
    let running = model.first().is_some_and(|first| first <= LAST);
    let fired = (0..=DIGITS).any(|_| wheel.next_deadline().is_some_and(|next| fire(wheel, model, next.0)));
    assert_eq!(fired, running);
}

fn compare(wheel: &Wheel<Heap>, model: &Model, now: u64) {
    assert_eq!((wheel.len(), wheel.is_empty()), (model.all().count(), model.first().is_none()));
    assert_eq!(wheel.oldest(), model.queue.first().map(|t| t.index));
    for index in 0..=CAPACITY {
        let tick = model.tick(index);
        assert_eq!(wheel.is_running(index), tick.is_some());
        assert_eq!(wheel.deadline(index), tick.map(|tick| Instant(tick.saturating_mul(TICK_US))));
    }
    let (next, first) = (wheel.next_deadline().map(|next| next.0 / TICK_US), model.first());
    assert_eq!(next.is_some(), first.is_some());
    assert!(next <= first, "no timer fires before");
    let ahead = next > Some(model.present) || first <= Some(model.present);
    assert!(ahead || model.present == LAST, "who waits for it gets on");
    let could_fire = first.is_some_and(|first| first <= now / TICK_US);
    assert!(!could_fire || !wheel.is_idle_until(Instant(now)));
}
