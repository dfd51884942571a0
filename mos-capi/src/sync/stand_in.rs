//! What stands in for the kernel in loom's models: it wakes only who is told, so that a model in which somebody is
//! forgotten ends in a deadlock, which loom reports. Time does not pass, and no other descriptor becomes readable.

use super::atomic::{AtomicBool, AtomicU32, Ordering};
use super::{Mutex, MutexGuard};
use loom::sync::Condvar;
use std::os::fd::RawFd;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Descriptors that can be waited for at once.
pub(crate) const MAX_DESCRIPTORS: usize = 128;

/// A word, and threads that sleep on it. The lock is the kernel's, of the queue of sleepers.
#[derive(Debug)]
pub(crate) struct Futex {
    word: AtomicU32,
    queue: Mutex<()>,
    sleepers: Condvar,
}

impl Futex {
    pub(crate) fn new() -> Self {
        Futex { word: AtomicU32::new(0), queue: Mutex::new(()), sleepers: Condvar::new() }
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    pub(crate) fn wake(&self) {
        let _queue = lock(&self.queue);
        self.sleepers.notify_all();
    }

    pub(crate) fn wait(&self, expected: u32, _most: Option<Duration>) {
        let queue = lock(&self.queue);
        if self.word.load(Ordering::Relaxed) == expected {
            drop(self.sleepers.wait(queue));
        }
    }
}

/// An event of the kernel: a flag under the kernel's lock.
#[derive(Debug)]
pub(crate) struct Event {
    is_made: AtomicBool,
    told: Mutex<bool>,
    sleepers: Condvar,
}

impl Event {
    pub(crate) fn new() -> Self {
        Event { is_made: AtomicBool::new(false), told: Mutex::new(false), sleepers: Condvar::new() }
    }

    pub(crate) fn make(&self) {
        if !self.is_made.load(Ordering::Relaxed) {
            self.is_made.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn tell(&self) {
        if self.is_made.load(Ordering::Relaxed) {
            *lock(&self.told) = true;
            self.sleepers.notify_all();
        }
    }

    pub(crate) fn sleep(&self, _descriptors: impl Iterator<Item = RawFd>, _most: Option<Duration>) {
        let mut told = lock(&self.told);
        if !*told {
            told = self.sleepers.wait(told).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        *told = false;
    }
}

/// The clock of waits stands still: a wait ends because somebody ends it.
pub(crate) fn now() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
