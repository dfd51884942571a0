//! The newest value of one thread, for any number of readers: the writer never waits, a reader gets a whole value or
//! tries again.
//!
//! A counter is odd while the value is being replaced. A reader looks at the counter, copies, and looks again: the same
//! even number on both sides means that the copy is one value. The value lies in atomic words: copying plain memory
//! that is being written would be a data race whatever the counter says.
//!
//! ```
//! use ringbuf_core::sync::seqlock::SeqLock;
//! let mut lock = SeqLock::new([0, 0]);
//! let (mut writer, reader) = lock.split();
//! writer.write([10, 20]);
//! assert_eq!(reader.read(), [10, 20]);
//! ```
//!
//! # Invariants
//! 1. Words are stored only while the counter is odd.
//! 2. The counter never goes back. (At a write every nanosecond it would wrap after three centuries.)

use super::atomic::{AtomicU64, Ordering, fence};
use super::hint::spin_loop;
use core::array;

/// How often [`Reader::try_read`] looks before it gives up. Arbitrary: some dozen times what a write takes.
const TRIES: u32 = if cfg!(loom) { 2 } else { 64 };

/// A value of `N` words at rest; [`SeqLock::split`] gives the writer and the readers.
#[derive(Debug)]
pub struct SeqLock<const N: usize> {
    sequence: Sequence,
    words: [AtomicU64; N],
}

impl<const N: usize> SeqLock<N> {
    /// A lock that holds `value`.
    pub fn new(value: [u64; N]) -> Self {
        SeqLock { sequence: Sequence::new(), words: value.map(AtomicU64::new) }
    }

    /// The one writer, and a reader that can be copied.
    pub fn split(&mut self) -> (Writer<'_, N>, Reader<'_, N>) {
        (Writer { lock: self }, Reader { lock: self })
    }
}

/// The side that replaces the value.
#[derive(Debug)]
pub struct Writer<'a, const N: usize> {
    lock: &'a SeqLock<N>,
}

impl<const N: usize> Writer<'_, N> {
    /// Replaces the value. Never waits.
    pub fn write(&mut self, value: [u64; N]) {
        self.lock.sequence.begin();
        for (word, new) in self.lock.words.iter().zip(value) {
            word.store(new, Ordering::Relaxed);
        }
        self.lock.sequence.end();
    }

    /// The value, which only this side changes.
    pub fn value(&self) -> [u64; N] {
        self.lock.load()
    }
}

/// A side that looks at the value.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a, const N: usize> {
    lock: &'a SeqLock<N>,
}

impl<const N: usize> Reader<'_, N> {
    /// The value, or `None` when it was being replaced at each of a bounded number of looks.
    pub fn try_read(&self) -> Option<[u64; N]> {
        self.lock.sequence.read(TRIES, || self.lock.load())
    }

    /// The value; spins while it is being replaced. Meant for writers that write now and then: one that does nothing
    /// else can keep a reader here for as long as it goes on.
    pub fn read(&self) -> [u64; N] {
        loop {
            if let Some(value) = self.try_read() {
                return value;
            }
            spin_loop();
        }
    }
}

impl<const N: usize> SeqLock<N> {
    /// The words as they are; one value only if the sequence says so, or for the writer.
    fn load(&self) -> [u64; N] {
        array::from_fn(|i| self.words[i].load(Ordering::Relaxed))
    }
}

/// The counter of a sequence lock, apart from the words that it guards. Those are stored between `begin` and `end` by
/// one thread, and loaded between `start` and `holds` by any.
#[derive(Debug)]
pub(super) struct Sequence(AtomicU64);

impl Sequence {
    pub(super) fn new() -> Self {
        Sequence(AtomicU64::new(0))
    }

    /// From here on the guarded words may change. For the one writer only.
    #[inline]
    pub(super) fn begin(&self) {
        // Relaxed: the writer reads what it stored itself.
        let count = self.0.load(Ordering::Relaxed);
        self.0.store(count.wrapping_add(1), Ordering::Relaxed);
        // Release fence: partner of the Acquire fence in `holds`. A reader that saw one of the words stored after
        // this sees the odd counter.
        fence(Ordering::Release);
    }

    /// The guarded words are whole again.
    #[inline]
    pub(super) fn end(&self) {
        let count = self.0.load(Ordering::Relaxed);
        // Release: partner of the Acquire in `start`. A reader that sees the even counter sees all words before it.
        self.0.store(count.wrapping_add(1), Ordering::Release);
    }

    /// The counter to compare with later; `None` while the words are changing.
    #[inline]
    pub(super) fn start(&self) -> Option<u64> {
        // Acquire: partner of the Release in `end`.
        let count = self.0.load(Ordering::Acquire);
        count.is_multiple_of(2).then_some(count)
    }

    /// Whether the words loaded since `start` gave `count` belong together.
    #[inline]
    pub(super) fn holds(&self, count: u64) -> bool {
        // Acquire fence: partner of the Release fence in `begin`. If one of the loads before it saw a newer word, the
        // load after it sees a newer counter.
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == count
    }

    /// What `load` gives when no writer came in between; at most `tries` attempts.
    #[inline]
    pub(super) fn read<R>(&self, tries: u32, load: impl Fn() -> R) -> Option<R> {
        for _ in 0..tries {
            if let Some(count) = self.start() {
                let value = load();
                if self.holds(count) {
                    return Some(value);
                }
            }
            spin_loop();
        }
        None
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_the_newest_value() {
        let mut lock = SeqLock::new([1, 2, 3]);
        let (mut writer, reader) = lock.split();
        assert_eq!(reader.try_read(), Some([1, 2, 3]));
        writer.write([4, 5, 6]);
        assert_eq!((reader.read(), writer.value()), ([4, 5, 6], [4, 5, 6]));
        let (_, reader) = lock.split();
        assert_eq!(reader.read(), [4, 5, 6]);
    }

    #[test]
    fn a_reader_gives_up_while_the_value_is_being_replaced() {
        let mut lock = SeqLock::new([0; 4]);
        let (writer, reader) = lock.split();
        writer.lock.sequence.begin();
        assert_eq!(reader.try_read(), None);
        writer.lock.sequence.end();
        assert_eq!(reader.try_read(), Some([0; 4]));
    }

    #[test]
    fn a_value_of_no_words_is_a_value() {
        let mut lock = SeqLock::new([]);
        assert_eq!(lock.split().1.read(), [0; 0]);
    }
}
