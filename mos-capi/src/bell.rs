//! [`Bell`]: waiting for a change that another thread, or a signal handler, makes.
//!
//! To wait: take a [`Bell::ticket`], look whether the change has come, and if not [`Bell::wait`] with the ticket. To
//! tell: make the change, then [`Bell::ring`]. Ringing takes no lock and allocates nothing.
//!
//! # Invariants
//! 1. A ring after a ticket was taken ends every wait with that ticket, also one that begins after the ring.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The operations, among the threads of one process.
const WAIT: libc::c_int = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const WAKE: libc::c_int = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

/// A count of rings, and threads that sleep on it.
#[derive(Debug, Default)]
pub(crate) struct Bell(AtomicU32);

/// What the count was.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Ticket(u32);

impl Bell {
    pub(crate) const fn new() -> Self {
        Bell(AtomicU32::new(0))
    }

    /// What to wait with.
    pub(crate) fn ticket(&self) -> Ticket {
        // Acquire: pairs with `ring`; what was changed before a ring that is counted here is seen after this.
        Ticket(self.0.load(Ordering::Acquire))
    }

    /// Wakes everybody who waits, and will wait with a ticket from before this.
    pub(crate) fn ring(&self) {
        // Release: pairs with `ticket`.
        self.0.fetch_add(1, Ordering::Release);
        // SAFETY: FUTEX_WAKE only uses the address, that of a live word, to find sleepers.
        unsafe {
            libc::syscall(libc::SYS_futex, self.0.as_ptr(), WAKE, libc::c_int::MAX);
        }
    }

    /// Sleeps until the bell rings, `most` has passed, or for no reason. Does not sleep when it rang after `ticket`.
    pub(crate) fn wait(&self, ticket: Ticket, most: Option<Duration>) {
        let timeout = most.map(|most| libc::timespec {
            tv_sec: libc::time_t::try_from(most.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: most.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: FUTEX_WAIT reads the word, which lives as long as `self`, and the timeout, which is null or points
        // to a local; it writes nothing. It compares and goes to sleep in one step (invariant 1).
        unsafe {
            libc::syscall(libc::SYS_futex, self.0.as_ptr(), WAIT, ticket.0, timeout);
        }
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
    fn no_ring_is_lost() {
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
                    bells[usize::from(mine)].wait(ticket, None);
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
