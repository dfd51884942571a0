//! Linux's means to sleep until another thread does something: [`Futex`] and [`Event`].

use libc::{c_int, pollfd};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The operations, among the threads of one process.
const WAIT: c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

/// The longest wait for descriptors where none is to be had that tells of rings. Arbitrary.
const DEAF: Duration = Duration::from_millis(5);
/// Descriptors that can be waited for at once.
pub(crate) const MAX_DESCRIPTORS: usize = 128;
/// No descriptor.
const NONE: c_int = -1;

/// A word, and threads that sleep on it.
#[derive(Debug)]
pub(crate) struct Futex {
    word: AtomicU32,
}

impl Futex {
    pub(crate) const fn new() -> Self {
        Futex { word: AtomicU32::new(0) }
    }

    pub(crate) fn word(&self) -> &AtomicU32 {
        &self.word
    }

    /// Wakes all who sleep.
    pub(crate) fn wake(&self) {
        // SAFETY: FUTEX_WAKE only uses the address, that of a live word, to find sleepers.
        unsafe {
            libc::syscall(libc::SYS_futex, self.word.as_ptr(), WAKE, c_int::MAX);
        }
    }

    /// Sleeps until woken, `most` has passed, or for no reason. Does not sleep when the word is not `expected`: it
    /// compares and goes to sleep in one step.
    pub(crate) fn wait(&self, expected: u32, most: Option<Duration>) {
        let timeout = most.map(timespec);
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: FUTEX_WAIT reads the word, which lives as long as `self`, and the timeout, which is null or points
        // to a local; it writes nothing.
        unsafe {
            libc::syscall(libc::SYS_futex, self.word.as_ptr(), WAIT, expected, timeout);
        }
    }
}

/// An event of the kernel, for whoever waits for descriptors too. It is told of nothing before it is made; once made it
/// stays: who tells may be about to use it.
#[derive(Debug)]
pub(crate) struct Event {
    descriptor: AtomicI32,
}

impl Event {
    pub(crate) const fn new() -> Self {
        Event { descriptor: AtomicI32::new(NONE) }
    }

    /// Makes it when there is none. For one thread at a time.
    pub(crate) fn make(&self) {
        if self.descriptor() == NONE {
            // SAFETY: plain numbers.
            let made = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            self.descriptor.store(made.max(NONE), Ordering::Relaxed);
        }
    }

    /// Ends the sleep on it, or the next one.
    pub(crate) fn tell(&self) {
        let event = self.descriptor();
        if event != NONE {
            let one = 1_u64;
            // SAFETY: the event is ours and is never closed; the 8 octets are those of a local. It does not block, and
            // what it may refuse is to count beyond 2^64: then it is readable already.
            unsafe { libc::write(event, ptr::from_ref(&one).cast(), size_of_val(&one)) };
        }
    }

    /// Sleeps until told, one of `descriptors` is readable, `most` has passed, or for no reason. What it was told is
    /// over after this. For one thread at a time.
    pub(crate) fn sleep(&self, descriptors: impl Iterator<Item = RawFd>, most: Option<Duration>) {
        let event = self.descriptor();
        let most = if event == NONE { Some(most.map_or(DEAF, |most| most.min(DEAF))) } else { most };
        // On the stack: the allocator's locks may be held by a thread that waits for this one. A negative descriptor is
        // passed over.
        let mut entries = [pollfd { fd: NONE, events: libc::POLLIN, revents: 0 }; 1 + MAX_DESCRIPTORS];
        let mut count = 0;
        for (entry, fd) in entries.iter_mut().zip([event].into_iter().chain(descriptors)) {
            entry.fd = fd;
            count += 1;
        }
        let timeout = most.map(timespec);
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: there are at least `count` entries; the timeout is null or points to a local; no mask.
        unsafe { libc::ppoll(entries.as_mut_ptr(), count, timeout, ptr::null()) };
        if entries.first().is_some_and(|entry| entry.revents != 0) {
            let mut told = 0_u64;
            // SAFETY: the event is ours, and gives 8 octets, for which there is a local, or none. It does not block.
            unsafe { libc::read(event, ptr::from_mut(&mut told).cast(), size_of_val(&told)) };
        }
    }

    /// Relaxed: the number is all that is read by it; what it is told orders by the kernel's own locks.
    fn descriptor(&self) -> c_int {
        self.descriptor.load(Ordering::Relaxed)
    }
}

/// The clock of waits.
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}
