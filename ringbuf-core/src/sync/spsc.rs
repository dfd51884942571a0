//! A bounded queue from one thread to one other: commands to a worker, log records from it, frames to the core that
//! owns their flow.
//!
//! Positions count up without end; the slot of position `p` is `p mod capacity`. Each side owns one position and keeps
//! a copy of the other's that it renews only when the copy says full or empty, so that in steady flow a side does not
//! touch the line that the other writes.
//!
//! ```
//! use ringbuf_core::sync::spsc::{PopError, PushError, Slot, Spsc};
//! let mut queue = Spsc::new([const { Slot::new() }; 2]);
//! let (mut producer, mut consumer) = queue.split();
//! assert_eq!(producer.push_slice(&[1, 2, 3]), Ok(2));
//! assert_eq!(producer.push(3), Err(PushError::Full(3)));
//! drop(producer); // closes
//! assert_eq!((consumer.pop(), consumer.pop()), (Ok(1), Ok(2)));
//! assert_eq!(consumer.pop(), Err(PopError::Closed));
//! ```
//!
//! # Invariants
//! 1. `head <= tail <= head + capacity`, counted without wrapping.
//! 2. The slots of `head .. tail` hold values and belong to the consumer; all others belong to the producer.
//! 3. Only the producer stores `tail`, only the consumer stores `head`; neither ever goes back.
//! 4. A side stores its position for the last time before it stores its closed flag.
#![allow(unsafe_code)]

use super::CachePadded;
use super::atomic::{AtomicBool, AtomicUsize, Ordering};
use super::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;

/// Memory for one value.
pub struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: a shared slot is reached only through the two handles of a split, and by invariant 2 each slot belongs to one
// of them at a time; values move between threads, hence `T: Send`. The loom models of the queue watch every cell.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    /// An empty slot.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Slot(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// An empty slot.
    #[cfg(loom)]
    pub fn new() -> Self {
        Slot(UnsafeCell::new(MaybeUninit::uninit()))
    }
}

impl<T: Copy> Slot<T> {
    /// # Safety
    /// The slot belongs to the caller, who is the producer (invariant 2).
    #[inline]
    unsafe fn fill(&self, value: T) {
        // SAFETY: by the caller's promise nobody else reads or writes the slot now.
        self.0.with_mut(|slot| unsafe { slot.write(MaybeUninit::new(value)) });
    }

    /// # Safety
    /// The slot belongs to the caller, who is the consumer, and holds a value (invariant 2).
    #[inline]
    unsafe fn copy(&self) -> T {
        // SAFETY: by the caller's promise nobody writes the slot now.
        let value = self.0.with(|slot| unsafe { slot.read() });
        // SAFETY: by the caller's promise `fill` was here since the slot was last the producer's.
        unsafe { value.assume_init() }
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot::new()
    }
}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}

/// The value was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<T> {
    /// The consumer has closed: no value will be taken any more.
    Closed(T),
    /// No slot is free now.
    Full(T),
}

impl<T> PushError<T> {
    /// The value that was refused.
    pub fn into_inner(self) -> T {
        match self {
            PushError::Closed(value) | PushError::Full(value) => value,
        }
    }
}

impl<T> fmt::Display for PushError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PushError::Closed(_) => "the consumer has closed the queue",
            PushError::Full(_) => "the queue is full",
        })
    }
}

impl<T: fmt::Debug> core::error::Error for PushError<T> {}

/// There is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PopError {
    /// The producer has closed and everything that it pushed was taken.
    Closed,
    /// Nothing is waiting now.
    Empty,
}

impl fmt::Display for PopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PopError::Closed => "the producer has closed the queue",
            PopError::Empty => "the queue is empty",
        })
    }
}

impl core::error::Error for PopError {}

/// A queue at rest: its slots and positions. [`Spsc::split`] gives the two ends.
///
/// `S` is any memory for slots: an array, a boxed slice, a borrowed `&mut [Slot<T>]`.
#[derive(Debug)]
pub struct Spsc<S> {
    slots: S,
    shared: Shared,
}

#[derive(Debug, Default)]
struct Shared {
    head: CachePadded<AtomicUsize>,
    tail: CachePadded<AtomicUsize>,
    // Written once, read by each push: not beside a position, which changes all the time.
    closed: CachePadded<Closed>,
}

#[derive(Debug, Default)]
struct Closed {
    producer: AtomicBool,
    consumer: AtomicBool,
}

impl<S> Spsc<S> {
    /// A queue over `slots`. Its capacity is the largest power of two that is not above their number.
    pub fn new(slots: S) -> Self {
        Spsc { slots, shared: Shared::default() }
    }

    /// The two ends of the queue, which starts empty and open. Values left by an earlier pair are forgotten.
    ///
    /// The slots are borrowed mutably, so that no other queue can be using them, whatever `S` is.
    pub fn split<T: Copy>(&mut self) -> (Producer<'_, T>, Consumer<'_, T>)
    where
        S: AsMut<[Slot<T>]>,
    {
        self.shared = Shared::default();
        let slots = self.slots.as_mut();
        let cap = slots.len().checked_ilog2().map_or(0, |log| 1 << log);
        let (slots, shared): (&[Slot<T>], _) = (&slots[..cap], &self.shared);
        (Producer { slots, shared, tail: 0, head: 0 }, Consumer { slots, shared, head: 0, tail: 0 })
    }
}

/// The end that values go in. Dropping it closes the queue.
pub struct Producer<'a, T: Copy> {
    slots: &'a [Slot<T>],
    shared: &'a Shared,
    tail: usize,
    /// The consumer's position as it was when last looked at: never ahead of the true one.
    head: usize,
}

impl<T: Copy> Producer<'_, T> {
    /// Appends `value`.
    ///
    /// # Errors
    /// [`PushError`] gives the value back when the queue is full or the consumer has closed it. A value that was
    /// accepted just before the consumer closed may still not be taken; see [`Producer::pending`].
    pub fn push(&mut self, value: T) -> Result<(), PushError<T>> {
        if self.is_closed() {
            return Err(PushError::Closed(value));
        }
        match self.push_some(core::slice::from_ref(&value)) {
            0 => Err(PushError::Full(value)),
            _ => Ok(()),
        }
    }

    /// Appends as many of `values` as fit, from the first on, and makes them visible at once. Returns how many.
    ///
    /// # Errors
    /// [`PushError::Closed`] with all of the values when the consumer has closed.
    pub fn push_slice<'v>(&mut self, values: &'v [T]) -> Result<usize, PushError<&'v [T]>> {
        if self.is_closed() { Err(PushError::Closed(values)) } else { Ok(self.push_some(values)) }
    }

    fn push_some(&mut self, values: &[T]) -> usize {
        if self.free() < values.len() {
            // Acquire: partner of the Release in `Consumer::pop_some`. What the consumer read of a slot that it gave
            // back, it has read before this side fills the slot again.
            self.head = self.shared.head.load(Ordering::Acquire);
        }
        let count = values.len().min(self.free());
        for (slot, value) in from_position(self.slots, self.tail).zip(&values[..count]) {
            // SAFETY: `tail .. tail + count` is at most `head + capacity` for an old value of the consumer's position,
            // which never goes back (invariant 3): the slots are the producer's (invariant 2).
            unsafe { slot.fill(*value) };
        }
        if count > 0 {
            self.tail = self.tail.wrapping_add(count);
            // Release: partner of the Acquire in `Consumer::renew_tail`. Who sees the new position sees the values.
            self.shared.tail.store(self.tail, Ordering::Release);
        }
        count
    }

    /// Slots that are free by the last known position of the consumer.
    fn free(&self) -> usize {
        self.slots.len() - self.tail.wrapping_sub(self.head)
    }

    /// How many values the consumer has not taken yet. Once it is known to have closed, this many never will be.
    pub fn pending(&self) -> usize {
        // Relaxed: a figure only. After a look at the flag that found it set, the Acquire of that look makes the
        // figure the last one (invariant 4).
        self.tail.wrapping_sub(self.shared.head.load(Ordering::Relaxed))
    }

    /// The most values that can wait.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether the consumer has closed.
    pub fn is_closed(&self) -> bool {
        // Acquire: partner of the Release in the consumer's `drop`.
        self.shared.closed.consumer.load(Ordering::Acquire)
    }

    /// Says that no more values come; the consumer still gets those that are waiting.
    pub fn close(self) {}
}

impl<T: Copy> Drop for Producer<'_, T> {
    fn drop(&mut self) {
        // Release: partner of the Acquire in `Consumer::closed_by_producer`. Who sees the flag sees the last position.
        self.shared.closed.producer.store(true, Ordering::Release);
    }
}

impl<T: Copy> fmt::Debug for Producer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("tail", &self.tail).field("capacity", &self.capacity()).finish()
    }
}

/// The end that values come out. Dropping it closes the queue.
pub struct Consumer<'a, T: Copy> {
    slots: &'a [Slot<T>],
    shared: &'a Shared,
    head: usize,
    /// The producer's position as it was when last looked at: never ahead of the true one.
    tail: usize,
}

impl<T: Copy> Consumer<'_, T> {
    /// Takes the oldest value.
    ///
    /// # Errors
    /// [`PopError::Empty`] when nothing is waiting; [`PopError::Closed`] when nothing ever will be.
    pub fn pop(&mut self) -> Result<T, PopError> {
        let mut value = None;
        self.pop_some(1, |v| value = Some(v))?;
        value.ok_or(PopError::Empty)
    }

    /// Takes the oldest values, as many as are waiting and fit into `out`, and gives their slots back at once. Returns
    /// how many; 0 only when `out` is empty.
    ///
    /// # Errors
    /// As [`Consumer::pop`].
    pub fn pop_slice(&mut self, out: &mut [T]) -> Result<usize, PopError> {
        let (wanted, mut places) = (out.len(), out.iter_mut());
        self.pop_some(wanted, |value| {
            if let Some(place) = places.next() {
                *place = value;
            }
        })
    }

    fn pop_some(&mut self, wanted: usize, mut take: impl FnMut(T)) -> Result<usize, PopError> {
        if wanted == 0 {
            return Ok(0);
        }
        if self.known() < wanted {
            self.renew_tail();
        }
        if self.known() == 0 {
            if !self.closed_by_producer() {
                return Err(PopError::Empty);
            }
            // Values may have come between the look at the position and the look at the flag. After the flag, the
            // position is the last one (invariant 4).
            self.renew_tail();
            if self.known() == 0 {
                return Err(PopError::Closed);
            }
        }
        let count = wanted.min(self.known());
        for slot in from_position(self.slots, self.head).take(count) {
            // SAFETY: `head .. head + count` lies below an old value of the producer's position, which never goes back
            // (invariant 3): the slots hold values and are the consumer's (invariant 2).
            take(unsafe { slot.copy() });
        }
        self.head = self.head.wrapping_add(count);
        // Release: partner of the Acquire in `Producer::push_some`. The slots were read before they are given back.
        self.shared.head.store(self.head, Ordering::Release);
        Ok(count)
    }

    fn renew_tail(&mut self) {
        // Acquire: partner of the Release in `Producer::push_some`. The values below the position are visible.
        self.tail = self.shared.tail.load(Ordering::Acquire);
    }

    /// Values that wait by the last known position of the producer.
    fn known(&self) -> usize {
        self.tail.wrapping_sub(self.head)
    }

    /// How many values are waiting; more may be by the time of the answer.
    pub fn waiting(&self) -> usize {
        // Relaxed: a figure only. The values are read after an Acquire of their own.
        self.shared.tail.load(Ordering::Relaxed).wrapping_sub(self.head)
    }

    /// The most values that can wait.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing is waiting and nothing ever will be: the producer has closed.
    pub fn is_over(&self) -> bool {
        // In this order: after the flag, the position is the last one (invariant 4).
        self.closed_by_producer() && self.waiting() == 0
    }

    fn closed_by_producer(&self) -> bool {
        // Acquire: partner of the Release in the producer's `drop`.
        self.shared.closed.producer.load(Ordering::Acquire)
    }

    /// Says that no more values are wanted; the producer is told at its next push.
    pub fn close(self) {}
}

impl<T: Copy> Drop for Consumer<'_, T> {
    fn drop(&mut self) {
        // Release: partner of the Acquire in `Producer::is_closed`. Who sees the flag sees the last position.
        self.shared.closed.consumer.store(true, Ordering::Release);
    }
}

impl<T: Copy> fmt::Debug for Consumer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("head", &self.head).field("capacity", &self.capacity()).finish()
    }
}

/// All slots once, from that of `position` on around the ring. The number of slots is a power of two, so that the
/// positions may wrap.
#[inline]
fn from_position<T>(slots: &[Slot<T>], position: usize) -> impl Iterator<Item = &Slot<T>> {
    let (before, after) = slots.split_at(position & slots.len().saturating_sub(1));
    after.iter().chain(before)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    fn slots<T>(n: usize) -> Vec<Slot<T>> {
        (0..n).map(|_| Slot::new()).collect()
    }

    #[test]
    fn the_capacity_is_a_power_of_two_that_fits() {
        for (n, cap) in [(0, 0), (1, 1), (2, 2), (3, 2), (7, 4), (8, 8)] {
            let mut queue = Spsc::new(slots::<u8>(n));
            let (mut producer, consumer) = queue.split();
            assert_eq!((producer.capacity(), consumer.capacity()), (cap, cap));
            assert_eq!(producer.push_slice(&[0; 9]), Ok(cap));
            assert_eq!(producer.push(7), Err(PushError::Full(7)));
            assert_eq!(consumer.waiting(), cap);
        }
    }

    #[test]
    fn what_was_pushed_before_the_close_is_popped_after_it() {
        let mut queue = Spsc::new([const { Slot::new() }; 4]);
        let (mut producer, mut consumer) = queue.split();
        producer.push_slice(&[1, 2, 3]).unwrap();
        producer.close();
        let mut out = [0; 2];
        assert_eq!((consumer.pop_slice(&mut out), out), (Ok(2), [1, 2]));
        assert_eq!((consumer.pop_slice(&mut out), out), (Ok(1), [3, 2]));
        assert_eq!(consumer.pop_slice(&mut out), Err(PopError::Closed));
        assert_eq!(consumer.pop(), Err(PopError::Closed));
    }

    #[test]
    fn the_producer_learns_of_the_close_and_of_what_was_left() {
        let mut queue = Spsc::new([const { Slot::new() }; 4]);
        let (mut producer, mut consumer) = queue.split();
        producer.push_slice(&[1, 2, 3]).unwrap();
        consumer.pop().unwrap();
        consumer.close();
        assert!(producer.is_closed());
        assert_eq!(producer.pending(), 2);
        let refused = producer.push(4).unwrap_err();
        assert_eq!((refused, refused.into_inner()), (PushError::Closed(4), 4));
        assert_eq!(producer.push_slice(&[5]), Err(PushError::Closed(&[5][..])));
    }

    #[test]
    fn a_queue_can_be_split_again_and_starts_empty() {
        let mut memory = [const { Slot::new() }; 2];
        let mut queue = Spsc::new(&mut memory[..]);
        queue.split().0.push('a').unwrap();
        let (mut producer, mut consumer) = queue.split();
        assert_eq!(consumer.pop(), Err(PopError::Empty));
        producer.push('b').unwrap();
        assert_eq!(consumer.pop(), Ok('b'));
    }

    #[test]
    fn positions_wrap_around_the_word() {
        let (slots, shared) = (slots::<u8>(4), Shared::default());
        let at = usize::MAX - 1;
        shared.head.store(at, Ordering::Relaxed);
        shared.tail.store(at, Ordering::Relaxed);
        let mut producer = Producer { slots: &slots, shared: &shared, tail: at, head: at };
        let mut consumer = Consumer { slots: &slots, shared: &shared, head: at, tail: at };
        for round in 0..5 {
            assert_eq!(producer.push_slice(&[round; 5]), Ok(4));
            let mut out = [99; 3];
            assert_eq!((consumer.pop_slice(&mut out), out), (Ok(3), [round; 3]));
            assert_eq!((consumer.pop(), consumer.pop()), (Ok(round), Err(PopError::Empty)));
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_queue(cap_log in 0_u32..4, ops in prop::collection::vec((0_u8..4, 0_usize..12), 1..80)) {
            let cap = 1 << cap_log;
            let mut queue = Spsc::new(slots::<u32>(cap));
            let (mut producer, mut consumer) = queue.split();
            let (mut model, mut count) = (VecDeque::new(), 0);
            for (op, n) in ops {
                match op {
                    0 => {
                        let fits = model.len() < cap;
                        prop_assert_eq!(producer.push(count), if fits { Ok(()) } else { Err(PushError::Full(count)) });
                        if fits { model.push_back(count); }
                        count += 1;
                    }
                    1 => {
                        let values: Vec<u32> = (count..).take(n).collect();
                        let taken = producer.push_slice(&values).unwrap();
                        prop_assert_eq!(taken, n.min(cap - model.len()));
                        model.extend(&values[..taken]);
                        count += 100;
                    }
                    2 => prop_assert_eq!(consumer.pop(), model.pop_front().ok_or(PopError::Empty)),
                    _ => {
                        let mut out = std::vec![0; n];
                        let expected: Vec<u32> = model.drain(..n.min(model.len())).collect();
                        match consumer.pop_slice(&mut out) {
                            Ok(got) => prop_assert_eq!(&out[..got], &expected[..]),
                            Err(e) => prop_assert!(e == PopError::Empty && expected.is_empty() && n > 0),
                        }
                    }
                }
                prop_assert_eq!((producer.pending(), consumer.waiting()), (model.len(), model.len()));
            }
        }
    }
}
