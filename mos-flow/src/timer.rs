//! A hierarchical timing wheel: O(1) start, stop and restart, no clock.
//!
//! Time is counted in ticks of [`TICK_US`] microseconds. A timer goes to the level of the highest six-bit digit in
//! which its deadline differs from the present, and moves down as that digit comes up; bitmaps tell which slots are
//! occupied, so a jump of the clock costs no more than the timers it passes. A timer never fires early, at most one
//! tick late, and never in the tick in which it was started: a handler that starts itself again makes no loop.
//!
//! # Invariants
//! 1. Every timer is in the list of exactly one slot, or in the list of those due.
//! 2. A timer at level `l` is in a slot above the present digit of that level, with all higher digits equal.
//! 3. A slot's bit is set exactly when its list is not empty.

use crate::memory::Memory;
use crate::slab::{Id, Reuse, Slab, Slot};
use crate::time::Instant;
use core::fmt;

/// Microseconds in a tick.
pub const TICK_US: u64 = 1024;

const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// Enough digits for the tick after the largest instant.
const LEVELS: usize = (65 - TICK_US.trailing_zeros()).div_ceil(DIGIT_BITS) as usize;
const NONE: u32 = u32::MAX;

/// One timer.
#[derive(Debug)]
pub struct Timer<P> {
    deadline: u64,
    next: u32,
    prev: u32,
    /// `level * SLOTS + slot`, or `DUE`.
    list: u16,
    payload: P,
}

const DUE: u16 = u16::MAX;

/// The wheel. `P` is what a timer carries.
pub struct Wheel<P: 'static, M: Memory> {
    timers: Slab<Timer<P>, M>,
    heads: [[u32; SLOTS]; LEVELS],
    bits: [u64; LEVELS],
    due: u32,
    /// The present tick: everything up to it has been moved to `due`.
    now: u64,
}

impl<P, M: Memory> fmt::Debug for Wheel<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wheel({} timers, tick {})", self.timers.len(), self.now)
    }
}

impl<P: Copy, M: Memory> Wheel<P, M> {
    /// An empty wheel over empty `slots`.
    pub fn new(slots: M::Of<Slot<Timer<P>>>) -> Self {
        Wheel {
            timers: Slab::new(slots, Reuse::Newest),
            heads: [[NONE; SLOTS]; LEVELS],
            bits: [0; LEVELS],
            due: NONE,
            now: 0,
        }
    }

    /// Timers that run.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether no timer runs.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Starts a timer that fires once `deadline` is reached, with the next tick if that is past. `None` when all timers
    /// are in use.
    pub fn start(&mut self, deadline: Instant, payload: P) -> Option<Id> {
        let deadline = self.tick_of(deadline);
        let id = self.timers.insert(Timer { deadline, next: NONE, prev: NONE, list: DUE, payload }).ok()?;
        self.link(id.index(), deadline);
        Some(id)
    }

    /// Stops a timer. Returns what it carried, `None` when it has fired or was stopped before.
    pub fn stop(&mut self, id: Id) -> Option<P> {
        self.timers.get(id)?;
        self.unlink(id.index());
        self.timers.remove(id).map(|t| t.payload)
    }

    /// Gives a running timer another deadline. Returns whether it was running.
    pub fn restart(&mut self, id: Id, deadline: Instant) -> bool {
        let deadline = self.tick_of(deadline);
        let Some(timer) = self.timers.get_mut(id) else { return false };
        timer.deadline = deadline;
        self.unlink(id.index());
        self.link(id.index(), deadline);
        true
    }

    /// The tick at which a deadline is reached: one that an instant can reach, and after the present one.
    fn tick_of(&self, deadline: Instant) -> u64 {
        deadline.0.div_ceil(TICK_US).min(u64::MAX / TICK_US).max(self.now + 1)
    }

    /// Takes out one timer whose deadline is reached, in the order of deadlines (to the tick).
    pub fn poll(&mut self, now: Instant) -> Option<(Id, P)> {
        self.advance(now.0 / TICK_US);
        let id = self.timers.id_at(self.due)?;
        let payload = self.stop(id)?;
        Some((id, payload))
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
        self.next_slot().map(|(_, _, tick)| Instant(tick.saturating_mul(TICK_US)))
    }

    /// Moves to `to`, tick by occupied tick, until something is due.
    fn advance(&mut self, to: u64) {
        while self.due == NONE && self.now < to {
            match self.next_slot().filter(|(_, _, tick)| *tick <= to) {
                Some((level, slot, tick)) => {
                    self.now = tick;
                    self.open(level, slot);
                }
                None => self.now = to,
            }
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

    /// Moves the timers of a slot whose time has come to where they belong now.
    fn open(&mut self, level: usize, slot: usize) {
        let mut index = core::mem::replace(&mut self.heads[level][slot], NONE);
        self.bits[level] &= !(1 << slot);
        while let Some(timer) = self.timers.at(index) {
            let (next, deadline) = (timer.next, timer.deadline);
            self.link(index, deadline);
            index = next;
        }
    }

    fn link(&mut self, index: u32, deadline: u64) {
        let (list, next) = if deadline <= self.now {
            (DUE, core::mem::replace(&mut self.due, index))
        } else {
            let level = ((deadline ^ self.now).ilog2() / DIGIT_BITS) as usize;
            let slot = (deadline >> (DIGIT_BITS * level as u32)) as usize % SLOTS;
            self.bits[level] |= 1 << slot;
            // LEVELS * SLOTS is below 2^16.
            #[allow(clippy::cast_possible_truncation)]
            let list = (level * SLOTS + slot) as u16;
            (list, core::mem::replace(&mut self.heads[level][slot], index))
        };
        self.edit(next, |t| t.prev = index);
        self.edit(index, |t| (t.next, t.prev, t.list) = (next, NONE, list));
    }

    fn unlink(&mut self, index: u32) {
        let Some(&Timer { next, prev, list, .. }) = self.timers.at(index) else { return };
        self.edit(next, |t| t.prev = prev);
        if prev != NONE {
            self.edit(prev, |t| t.next = next);
        } else if list == DUE {
            self.due = next;
        } else {
            let (level, slot) = (usize::from(list) / SLOTS, usize::from(list) % SLOTS);
            self.heads[level][slot] = next;
            if next == NONE {
                self.bits[level] &= !(1 << slot);
            }
        }
    }

    fn edit(&mut self, index: u32, change: impl FnOnce(&mut Timer<P>)) {
        if let Some(timer) = self.timers.id_at(index).and_then(|id| self.timers.get_mut(id)) {
            change(timer);
        }
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::*;
    use crate::memory::{Heap, Reserved};
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::vec::Vec;

    fn wheel(capacity: usize) -> Wheel<u32, Heap> {
        Wheel::new(Reserved::with_capacity(capacity))
    }

    #[test]
    fn timers_fire_in_order_and_never_early() {
        let mut w = wheel(16);
        let deadlines = [5_u64, 70, 64, 4095, 4096, 300_000, 1 << 40];
        for (n, d) in (0..).zip(deadlines) {
            w.start(Instant(d * TICK_US), n).unwrap();
        }
        let mut fired = Vec::new();
        for now in [4, 5, 64, 69, 70, 5000, 299_999, 1 << 41] {
            while let Some((_, n)) = w.poll(Instant(now * TICK_US)) {
                fired.push((n, now));
            }
        }
        assert_eq!(fired, [(0, 5), (2, 64), (1, 70), (3, 5000), (4, 5000), (5, 1 << 41), (6, 1 << 41)]);
        assert!(w.is_empty());
    }

    #[test]
    fn a_full_wheel_refuses_and_an_old_id_stops_nothing() {
        let mut w = wheel(1);
        let a = w.start(Instant(1), 1).unwrap();
        assert_eq!(w.start(Instant(1), 2), None);
        assert_eq!(w.stop(a), Some(1));
        let b = w.start(Instant(1), 3).unwrap();
        assert_eq!((w.stop(a), w.restart(a, Instant(9)), w.stop(b)), (None, false, Some(3)));
    }

    #[test]
    fn a_deadline_within_a_tick_is_not_reached_before_it() {
        let mut w = wheel(1);
        w.start(Instant(TICK_US + 1), 7).unwrap();
        assert_eq!(w.poll(Instant(TICK_US)), None);
        assert_eq!(w.poll(Instant(2 * TICK_US - 1)), None, "not early; the tick is not over");
        assert!(w.poll(Instant(2 * TICK_US)).is_some());
    }

    #[test]
    fn the_last_instant_is_reached_and_a_past_one_comes_with_the_next_tick() {
        let mut w = wheel(2);
        w.start(Instant(u64::MAX), 1).unwrap();
        // The wheel looks no further ahead than the next slot that it must open.
        let fired = (0..LEVELS).find_map(|_| w.poll(w.next_deadline().unwrap()));
        assert_eq!(fired.map(|(_, n)| n), Some(1));
        w.start(Instant(u64::MAX), 1).unwrap();
        assert_eq!(w.poll(Instant(u64::MAX)), None, "there is no next tick");
        let mut w = wheel(2);
        assert_eq!(w.poll(Instant(50 * TICK_US)), None);
        w.start(Instant(3), 2).unwrap();
        assert_eq!(w.poll(Instant(50 * TICK_US)), None);
        assert_eq!(w.poll(Instant(51 * TICK_US)).map(|(_, n)| n), Some(2));
    }

    proptest! {
        #[test]
        fn behaves_like_a_list_of_deadlines(
            ops in prop::collection::vec((0_u8..4, prop_oneof![0_u64..100, 0_u64..20_000, 0_u64..1 << 34], 0_usize..20), 1..80)
        ) {
            let mut w = wheel(12);
            let mut model: HashMap<u32, (Id, u64)> = HashMap::new();
            let mut now = 0_u64;
            for (n, (op, ticks, pick)) in (0..).zip(ops) {
                let chosen = model.keys().copied().nth(pick);
                match (op, chosen) {
                    (0, _) => {
                        let deadline = now + ticks.max(1);
                        match w.start(Instant(deadline * TICK_US), n) {
                            Some(id) => { model.insert(n, (id, deadline)); }
                            None => prop_assert_eq!(model.len(), 12),
                        }
                    }
                    (1, Some(k)) => {
                        let (id, _) = model.remove(&k).unwrap();
                        prop_assert_eq!(w.stop(id), Some(k));
                    }
                    (2, Some(k)) => {
                        let id = model[&k].0;
                        prop_assert!(w.restart(id, Instant((now + ticks) * TICK_US)));
                        model.insert(k, (id, now + ticks.max(1)));
                    }
                    _ => {
                        now += ticks;
                        if let Some(d) = w.next_deadline() {
                            let first = model.values().map(|m| m.1).min().unwrap();
                            prop_assert!(d.0 / TICK_US <= first);
                        }
                        let mut last = 0;
                        while let Some((_, k)) = w.poll(Instant(now * TICK_US)) {
                            let (_, deadline) = model.remove(&k).unwrap();
                            prop_assert!(deadline <= now && deadline >= last);
                            last = deadline;
                        }
                        prop_assert!(model.values().all(|m| m.1 > now));
                    }
                }
                prop_assert_eq!(w.len(), model.len());
            }
        }
    }
}
