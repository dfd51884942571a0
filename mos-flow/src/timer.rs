//! A hierarchical timing wheel: O(1) start, stop and restart, no clock.
//!
//! It times the values of a slab by their indices, at most one timer for each, and costs a [`Link`] of sixteen octets a
//! value. Time is counted in ticks of [`TICK_US`] microseconds. A timer goes to the level of the highest six-bit digit in
//! which its deadline differs from the present, and moves down as that digit comes up; bitmaps tell which slots are
//! occupied, so a jump of the clock costs no more than the timers it passes. A timer never fires early, and
//! never in the tick in which it was started: a handler that starts itself again makes no loop. It fires at most one tick
//! late, unless there is a crowd: no more than [`BATCH`] timers are moved in a tick, so that millions that come up together
//! make no pause, and a timer fires one tick later for each [`BATCH`] that are moved before it.
//!
//! Timers that all run for the same time need no wheel: they can stand in a [queue](Wheel::enqueue), whose oldest is found
//! at once.
//!
//! # Invariants
//! 1. Every timer is in the list of exactly one slot, in the queue, in a list of those on the move, or of those due.
//! 2. A timer at level `l` is in a slot above the present digit of that level, with all higher digits equal.
//! 3. A slot's bit is set exactly when its list is not empty.
//! 4. Deadlines in the queue ascend.

use crate::memory::{Array, Memory};
use crate::slab::NONE;
use crate::time::Instant;
use core::fmt;

/// Microseconds in a tick.
pub const TICK_US: u64 = 1024;

/// Timers that are moved in one tick at the most. A tenth of a tick's time, roughly.
pub const BATCH: usize = 2048;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough digits for the tick after the largest instant.
const LEVELS: usize = (65 - TICK_US.trailing_zeros()).div_ceil(DIGIT_BITS) as usize;

/// Marks the `prev` of a list's first timer: the rest is the list.
const HEAD: u32 = 1 << 31;
/// The list of timers whose time has come; those below are `level * SLOTS + slot`.
const DUE: u32 = (LEVELS * SLOTS) as u32;
const QUEUE: u32 = DUE + 1;
/// The first of the lists of timers on the move, one for each level.
const MOVING: u32 = QUEUE + 1;

/// The place of one index in the wheel's lists.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The tick at which the timer fires.
    deadline: u64,
    next: u32,
    /// The timer before it, or [`HEAD`] and the list it is the first of; [`NONE`] when none runs.
    prev: u32,
}

impl Link {
    /// No timer runs.
    const IDLE: Link = Link { deadline: 0, next: NONE, prev: NONE };
}

/// The wheel, for indices below the capacity of its links.
pub struct Wheel<M: Memory> {
    links: M::Of<Link>,
    heads: [[u32; SLOTS]; LEVELS],
    bits: [u64; LEVELS],
    due: u32,
    /// What was in the slot of each level that came up last, and has yet to move down.
    moving: [u32; LEVELS],
    /// First and last of the queue.
    queue: (u32, u32),
    /// The present tick: everything up to it has been moved to `due`.
    now: u64,
    len: usize,
}

impl<M: Memory> fmt::Debug for Wheel<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wheel({} timers, tick {})", self.len, self.now)
    }
}

impl<M: Memory> Wheel<M> {
    /// An empty wheel over an empty array.
    pub fn new(links: M::Of<Link>) -> Self {
        Wheel {
            links,
            heads: [[NONE; SLOTS]; LEVELS],
            bits: [0; LEVELS],
            due: NONE,
            moving: [NONE; LEVELS],
            queue: (NONE, NONE),
            now: 0,
            len: 0,
        }
    }

    /// Timers that run.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no timer runs.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the timer of an index runs.
    pub fn is_running(&self, index: u32) -> bool {
        self.links.get(index as usize).is_some_and(|link| link.prev != NONE)
    }

    /// When the timer of an index fires, to the tick; `None` when it does not run.
    pub fn deadline(&self, index: u32) -> Option<Instant> {
        let link = self.links.get(index as usize).filter(|link| link.prev != NONE)?;
        Some(Instant(link.deadline.saturating_mul(TICK_US)))
    }

    /// Starts the timer of an index, or gives it another deadline. It fires once `deadline` is reached, with the next tick
    /// if that is past. Returns whether there is a link for the index.
    pub fn start(&mut self, index: u32, deadline: Instant) -> bool {
        if !self.take_out(index) {
            return false;
        }
        let deadline = self.tick_of(deadline);
        self.link(index, deadline);
        true
    }

    /// As [`Wheel::start`], at the end of the queue: the deadline is taken as no earlier than those of the queue.
    pub fn enqueue(&mut self, index: u32, deadline: Instant) -> bool {
        if !self.take_out(index) {
            return false;
        }
        let last = self.links.get(self.queue.1 as usize).map_or(0, |l| l.deadline);
        let deadline = self.tick_of(deadline).max(last);
        let (before, prev) = (self.queue.1, if self.queue.0 == NONE { HEAD | QUEUE } else { self.queue.1 });
        self.queue.1 = index;
        if before == NONE {
            self.queue.0 = index;
        }
        self.edit(before, |l| l.next = index);
        self.edit(index, |l| *l = Link { deadline, next: NONE, prev });
        true
    }

    /// The first of the queue.
    pub fn oldest(&self) -> Option<u32> {
        (self.queue.0 != NONE).then_some(self.queue.0)
    }

    /// Stops a timer. Returns whether it ran.
    pub fn stop(&mut self, index: u32) -> bool {
        let running = self.is_running(index);
        if running {
            self.unlink(index);
            self.edit(index, |l| *l = Link::IDLE);
            self.len -= 1;
        }
        running
    }

    /// The tick at which a deadline is reached: one that an instant can reach, and after the present one.
    fn tick_of(&self, deadline: Instant) -> u64 {
        deadline.0.div_ceil(TICK_US).min(u64::MAX / TICK_US).max(self.now + 1)
    }

    /// Takes out one timer whose deadline is reached, in the order of deadlines (to the tick).
    pub fn poll(&mut self, now: Instant) -> Option<u32> {
        self.advance(now.0 / TICK_US);
        let index = self.due;
        self.stop(index).then_some(index)
    }

    /// Whether [`Wheel::poll`] could give something: cheap enough to ask for each packet.
    #[inline]
    pub fn is_idle_until(&self, now: Instant) -> bool {
        self.due == NONE && now.0 / TICK_US == self.now
    }

    /// A point in time before which no timer fires; `None` when none runs.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.due != NONE {
            return Some(Instant(self.now * TICK_US));
        }
        self.next_tick().map(|tick| Instant(tick.saturating_mul(TICK_US)))
    }

    /// The next tick at which something is to be done.
    fn next_tick(&self) -> Option<u64> {
        if self.moving != [NONE; LEVELS] {
            return Some(self.now + 1);
        }
        let slot = self.next_slot().map(|(_, _, tick)| tick);
        let queue = self.links.get(self.queue.0 as usize).map(|l| l.deadline);
        slot.into_iter().chain(queue).min()
    }

    /// Moves to `to`, tick by occupied tick, until something is due.
    fn advance(&mut self, to: u64) {
        while self.due == NONE && self.now < to {
            let Some(tick) = self.next_tick().filter(|tick| *tick <= to) else {
                self.now = to;
                return;
            };
            self.open_queue(tick);
            let slot = self.next_slot().filter(|(_, _, at)| *at == tick);
            self.now = tick;
            if let Some((level, slot, _)) = slot {
                self.open(level, slot);
            }
            self.move_some();
        }
    }

    /// Moves the timers of the queue up to `tick` to those that are due. They are of one tick: the next one.
    fn open_queue(&mut self, tick: u64) {
        while let Some(link) = self.links.get(self.queue.0 as usize)
            && link.deadline <= tick
        {
            let index = self.queue.0;
            self.unlink(index);
            self.push(index, tick, DUE);
        }
    }

    /// Level, slot and tick at which the next occupied slot comes up.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        (0..LEVELS).find_map(|level| {
            // By invariant 2 every occupied slot of the lowest occupied level is ahead, and before all others.
            let slot = self.bits[level].trailing_zeros();
            let shift = DIGIT_BITS * level as u32;
            let above = (self.now >> shift >> DIGIT_BITS << DIGIT_BITS) << shift;
            (slot < u64::BITS).then(|| (level, slot as usize, above | u64::from(slot) << shift))
        })
    }

    /// The time of a slot has come: its timers are to move to where they belong now.
    fn open(&mut self, level: usize, slot: usize) {
        // What is left of the slot before it goes first.
        while self.move_one(level) {}
        let first = core::mem::replace(&mut self.heads[level][slot], NONE);
        self.bits[level] &= !(1 << slot);
        self.moving[level] = first;
        self.edit(first, |l| l.prev = HEAD | (MOVING + level as u32));
    }

    fn move_some(&mut self) {
        let mut left = BATCH;
        for level in 0..LEVELS {
            while left > 0 && self.move_one(level) {
                left -= 1;
            }
        }
    }

    /// Moves a timer to where it belongs. Returns whether there was one.
    fn move_one(&mut self, level: usize) -> bool {
        let index = self.moving[level];
        let Some(&Link { deadline, .. }) = self.links.get(index as usize) else { return false };
        self.unlink(index);
        self.link(index, deadline);
        true
    }

    /// Puts a timer that is in no list into the one that its deadline belongs to.
    fn link(&mut self, index: u32, deadline: u64) {
        if deadline <= self.now {
            return self.push(index, deadline, DUE);
        }
        let level = ((deadline ^ self.now).ilog2() / DIGIT_BITS) as usize;
        let slot = (deadline >> (DIGIT_BITS * level as u32)) as usize % SLOTS;
        self.bits[level] |= 1 << slot;
        self.push(index, deadline, (level * SLOTS + slot) as u32);
    }

    /// Puts a timer before the others of a list.
    fn push(&mut self, index: u32, deadline: u64, list: u32) {
        let next = core::mem::replace(self.head_mut(list), index);
        self.edit(next, |l| l.prev = index);
        self.edit(index, |l| *l = Link { deadline, next, prev: HEAD | list });
    }

    fn head_mut(&mut self, list: u32) -> &mut u32 {
        match list {
            DUE => &mut self.due,
            QUEUE => &mut self.queue.0,
            MOVING.. => &mut self.moving[(list - MOVING) as usize],
            _ => &mut self.heads[list as usize / SLOTS][list as usize % SLOTS],
        }
    }

    /// Takes a timer out of its list, if it runs, and counts it as one that does. Returns whether there is a link for it.
    fn take_out(&mut self, index: u32) -> bool {
        // Slabs give out their indices in turn, so this is one step.
        while self.links.len() <= index as usize {
            if self.links.try_push(Link::IDLE).is_err() {
                return false;
            }
        }
        if self.is_running(index) {
            self.unlink(index);
        } else {
            self.len += 1;
        }
        true
    }

    fn unlink(&mut self, index: u32) {
        let Some(&Link { next, prev, .. }) = self.links.get(index as usize) else { return };
        self.edit(next, |l| l.prev = prev);
        if self.queue.1 == index {
            self.queue.1 = if prev & HEAD == 0 { prev } else { NONE };
        }
        if prev & HEAD == 0 {
            return self.edit(prev, |l| l.next = next);
        }
        let list = prev & !HEAD;
        *self.head_mut(list) = next;
        if list < DUE && next == NONE {
            self.bits[list as usize / SLOTS] &= !(1 << (list as usize % SLOTS));
        }
    }

    fn edit(&mut self, index: u32, change: impl FnOnce(&mut Link)) {
        if let Some(link) = self.links.get_mut(index as usize) {
            change(link);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::*;
    use crate::memory::{Heap, Reserved};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn wheel(capacity: usize) -> Wheel<Heap> {
        Wheel::new(Reserved::with_capacity(capacity))
    }

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let mut w = wheel(16);
        let deadlines = [5_u64, 70, 64, 4095, 4096, 300_000, 1 << 40];
        for (n, d) in (0..).zip(deadlines) {
            assert!(w.start(n, Instant(d * TICK_US)));
        }
        let mut fired = Vec::new();
        for now in [4, 5, 64, 69, 70, 5000, 299_999, 1 << 41] {
            while let Some(n) = w.poll(Instant(now * TICK_US)) {
                fired.push((n, now));
            }
        }
        assert_eq!(fired, [(0, 5), (2, 64), (1, 70), (3, 5000), (4, 5000), (5, 1 << 41), (6, 1 << 41)]);
        assert!(w.is_empty());
    }

    #[test]
    fn an_index_without_a_link_is_refused() {
        let mut w = wheel(1);
        assert!(w.start(0, Instant(1)));
        assert!(!w.start(1, Instant(1)) && !w.enqueue(1, Instant(1)) && !w.stop(1) && !w.stop(NONE));
        assert!(w.start(0, Instant(5)) && w.len() == 1, "a second start is another deadline");
        assert!(w.stop(0) && !w.stop(0) && !w.is_running(0));
    }

    #[test]
    fn a_deadline_within_a_tick_is_not_reached_before_it() {
        let mut w = wheel(1);
        w.start(0, Instant(TICK_US + 1));
        assert_eq!(w.poll(Instant(TICK_US)), None);
        assert_eq!(w.poll(Instant(2 * TICK_US - 1)), None, "not early; the tick is not over");
        assert_eq!(w.poll(Instant(2 * TICK_US)), Some(0));
    }

    #[test]
    fn the_last_instant_is_reached_and_a_past_one_comes_with_the_next_tick() {
        let mut w = wheel(2);
        assert_eq!(w.poll(Instant(50 * TICK_US)), None);
        w.start(0, Instant(3));
        assert_eq!(w.poll(Instant(50 * TICK_US)), None);
        assert_eq!(w.poll(Instant(51 * TICK_US)), Some(0));
        w.start(1, Instant(u64::MAX));
        // The wheel looks no further ahead than the next slot that it must open.
        assert_eq!((0..LEVELS).find_map(|_| w.poll(w.next_deadline().unwrap())), Some(1));
        w.start(0, Instant(u64::MAX));
        assert_eq!(w.poll(Instant(u64::MAX)), None, "there is no next tick");
    }

    #[test]
    fn the_queue_knows_its_oldest() {
        let mut w = wheel(4);
        for n in 0..4 {
            w.enqueue(n, Instant((10 + u64::from(n)) * TICK_US));
        }
        assert!(w.stop(0) && w.stop(2) && w.enqueue(1, Instant(TICK_US)));
        assert_eq!(w.deadline(1), Some(Instant(13 * TICK_US)), "no earlier than the last");
        assert_eq!(w.oldest(), Some(3));
        assert_eq!(w.next_deadline(), Some(Instant(13 * TICK_US)));
        w.start(0, Instant(12 * TICK_US));
        let mut fired: Vec<u32> = core::iter::from_fn(|| w.poll(Instant(13 * TICK_US))).collect();
        assert_eq!(fired.remove(0), 0);
        fired.sort_unstable();
        assert_eq!((fired, w.oldest(), w.len()), (std::vec![1, 3], None, 0));
    }

    #[test]
    fn a_crowd_makes_no_pause() {
        // One of them is moved twice: down, and when it is due.
        const CROWD: u32 = 5 * BATCH as u32 - 2;
        let mut w = wheel(CROWD as usize + 1);
        // All behind one digit of the third level, at a time of its own each.
        for n in 0..CROWD {
            w.start(n, Instant((4096 + 1000 + u64::from(n % 500)) * TICK_US));
        }
        w.start(CROWD, Instant(4098 * TICK_US));
        let mut moved = 0;
        for tick in 4096..4102 {
            assert_eq!(w.poll(Instant(tick * TICK_US)), (tick == 4098).then_some(CROWD));
            let left = w.moving.iter().filter(|first| **first != NONE).count();
            moved += usize::from(left == 0);
        }
        assert_eq!(moved, 2, "five batches in five ticks");
        let fired = (4102..5600).map(|tick| {
            let mut fired = 0;
            while let Some(n) = w.poll(Instant(tick * TICK_US)) {
                assert_eq!(u64::from(n % 500) + 5096, tick, "to the tick");
                fired += 1;
            }
            fired
        });
        assert_eq!(fired.sum::<u32>(), CROWD);
        // More than a batch that is due at once: the rest a tick later.
        for n in 0..CROWD {
            w.start(n, Instant(6000 * TICK_US));
        }
        let mut fired = [0; 6];
        for (tick, fired) in (6000..).zip(&mut fired) {
            while w.poll(Instant(tick * TICK_US)).is_some() {
                *fired += 1;
            }
        }
        assert_eq!(fired, [BATCH, BATCH, BATCH, BATCH, BATCH - 2, 0]);
    }

    proptest! {
        #[test]
        fn behaves_like_a_list_of_deadlines(script in prop::collection::vec(any::<u8>(), 0..600)) {
            crate::model::timer::run(&script);
        }
    }
}
