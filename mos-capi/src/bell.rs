//! [`Bell`]: waiting for a change that another thread, or a signal handler, makes.
//!
//! To wait: take a [`Bell::ticket`], look whether the change has come, and if not [`Bell::wait`] with the ticket. To
//! tell: make the change, then [`Bell::ring`]. Ringing takes no lock and allocates nothing.
//!
//! # Invariants
//! 1. A ring after a ticket was taken ends every wait with that ticket, also one that begins after the ring.

use libc::{c_int, pollfd};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

/// The operations, among the threads of one process.
const WAIT: c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

/// The longest wait for descriptors where none is to be had that tells of rings. Arbitrary.
const DEAF: Duration = Duration::from_millis(5);
/// Descriptors that can be waited for at once.
pub(crate) const MAX_DESCRIPTORS: usize = 128;
/// No descriptor.
const NONE: c_int = -1;

/// A count of rings, and threads that sleep on it.
#[derive(Debug)]
pub(crate) struct Bell {
    rings: AtomicU32,
    /// An event of the kernel that tells of rings, for whoever waits for descriptors too. Once made it stays: who rings may
    /// be about to use it.
    event: AtomicI32,
}

/// What the count was.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Ticket(u32);

impl Bell {
    pub(crate) const fn new() -> Self {
        Bell { rings: AtomicU32::new(0), event: AtomicI32::new(NONE) }
    }

    /// What to wait with.
    pub(crate) fn ticket(&self) -> Ticket {
        // Acquire: pairs with `ring`; what was changed before a ring that is counted here is seen after this.
        Ticket(self.rings.load(Ordering::Acquire))
    }

    /// Wakes everybody who waits, and will wait with a ticket from before this.
    pub(crate) fn ring(&self) {
        // Release: pairs with `ticket`. SeqCst: with `wait_or_ready`, which sees this ring, or is seen to have an event.
        self.rings.fetch_add(1, Ordering::SeqCst);
        // SAFETY: FUTEX_WAKE only uses the address, that of a live word, to find sleepers.
        unsafe {
            libc::syscall(libc::SYS_futex, self.rings.as_ptr(), WAKE, c_int::MAX);
        }
        let event = self.event.load(Ordering::SeqCst);
        if event != NONE {
            let one = 1_u64;
            // SAFETY: the event is ours and is never closed; the 8 octets are those of a local. It does not block, and
            // what it may refuse is to count beyond 2^64: then it is readable already.
            unsafe { libc::write(event, ptr::from_ref(&one).cast(), size_of_val(&one)) };
        }
    }

    /// Sleeps until the bell rings, `most` has passed, or for no reason. Does not sleep when it rang after `ticket`.
    pub(crate) fn wait(&self, ticket: Ticket, most: Option<Duration>) {
        let timeout = most.map(timespec);
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: FUTEX_WAIT reads the word, which lives as long as `self`, and the timeout, which is null or points
        // to a local; it writes nothing. It compares and goes to sleep in one step (invariant 1).
        unsafe {
            libc::syscall(libc::SYS_futex, self.rings.as_ptr(), WAIT, ticket.0, timeout);
        }
    }

    /// As [`Bell::wait`], but not longer than until one of `descriptors` is readable. For one thread at a time.
    pub(crate) fn wait_or_ready(
        &self,
        ticket: Ticket,
        descriptors: impl Iterator<Item = RawFd>,
        most: Option<Duration>,
    ) {
        let event = self.event();
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
        // SeqCst: pairs with `ring`: a ring after this look finds the event, which `event` has stored before.
        if self.rings.load(Ordering::SeqCst) != ticket.0 {
            return;
        }
        // SAFETY: there are at least `count` entries; the timeout is null or points to a local; no mask.
        unsafe { libc::ppoll(entries.as_mut_ptr(), count, timeout, ptr::null()) };
        if entries.first().is_some_and(|entry| entry.revents != 0) {
            let mut rings = 0_u64;
            // SAFETY: the event is ours, and gives 8 octets, for which there is a local, or none. It does not block.
            unsafe { libc::read(event, ptr::from_mut(&mut rings).cast(), size_of_val(&rings)) };
        }
    }

    /// The event, made when there is none.
    fn event(&self) -> c_int {
        let mut event = self.event.load(Ordering::SeqCst);
        if event == NONE {
            // SAFETY: plain numbers.
            event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
            self.event.store(event.max(NONE), Ordering::SeqCst);
        }
        event
    }
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Instant;

    #[test]
    fn an_old_ticket_does_not_sleep() {
        let bell = Bell::new();
        let ticket = bell.ticket();
        bell.ring();
        bell.wait(ticket, None);
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over() {
        let (bell, start) = (Bell::new(), Instant::now());
        bell.wait(bell.ticket(), Some(Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(15));
    }

    #[test]
    fn a_wait_for_descriptors_ends_with_a_ring_and_with_what_is_readable() {
        let (bell, mut pipe) = (Bell::new(), [0; 2]);
        // SAFETY: it points to two integers.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        let wait = |ticket, most| {
            let start = Instant::now();
            bell.wait_or_ready(ticket, [pipe[0]].into_iter(), most);
            start.elapsed()
        };
        assert!(wait(bell.ticket(), Some(Duration::from_millis(20))) >= Duration::from_millis(19));
        let ticket = bell.ticket();
        bell.ring();
        wait(ticket, None); // not a wait at all
        wait(bell.ticket(), None); // what the event still tells of the last ring
        thread::scope(|s| {
            s.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                bell.ring();
            });
            let ticket = bell.ticket();
            assert!(wait(ticket, None) >= Duration::from_millis(20), "once it is told, it is told");
        });
        // SAFETY: one octet of a constant.
        assert_eq!(unsafe { libc::write(pipe[1], c"x".as_ptr().cast(), 1) }, 1);
        wait(bell.ticket(), None);
        for end in pipe {
            // SAFETY: both are open, and this test's own.
            unsafe { libc::close(end) };
        }
    }

    #[test]
    fn no_ring_is_lost() {
        no_ring_is_lost_to(|bell, ticket| bell.wait(ticket, None));
        no_ring_is_lost_to(|bell, ticket| bell.wait_or_ready(ticket, std::iter::empty(), None));
    }

    fn no_ring_is_lost_to(wait: fn(&Bell, Ticket)) {
        // Ping and pong: each thread waits for the other 20,000 times. A lost ring would hang the test.
        const ROUNDS: u32 = 20_000;
        let bells = [Bell::new(), Bell::new()];
        let turn = AtomicBool::new(false);
        let play = |mine: bool| {
            for _ in 0..ROUNDS {
                loop {
                    let ticket = bells[usize::from(mine)].ticket();
                    if turn.load(Ordering::Relaxed) == mine {
                        break;
                    }
                    wait(&bells[usize::from(mine)], ticket);
                }
                turn.store(!mine, Ordering::Relaxed);
                bells[usize::from(!mine)].ring();
            }
        };
        thread::scope(|s| {
            s.spawn(|| play(false));
            s.spawn(|| play(true));
        });
        assert!(!turn.load(Ordering::Relaxed));
    }
}
