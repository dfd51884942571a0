//! [`Bell`]: waiting for a change that another thread, or a signal handler, makes.
//!
//! To wait: take a [`Bell::ticket`], look whether the change has come, and if not [`Bell::wait`] with the ticket. To
//! tell: make the change, then [`Bell::ring`]. Ringing takes no lock and allocates nothing.
//!
//! # Invariants
//! 1. A ring after a ticket was taken ends every wait with that ticket, also one that begins after the ring.

use crate::sync::atomic::{Ordering, fence};
use crate::sync::{Event, Futex, constant};
use std::os::fd::RawFd;
use std::time::Duration;

pub(crate) use crate::sync::MAX_DESCRIPTORS;

/// A count of rings, and threads that sleep on it.
#[derive(Debug)]
pub(crate) struct Bell {
    rings: Futex,
    /// Told of rings, for whoever waits for descriptors too.
    event: Event,
}

/// What the count was.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Ticket(u32);

impl Bell {
    constant! {
        pub(crate) fn new() -> Self {
            Bell { rings: Futex::new(), event: Event::new() }
        }
    }

    /// What to wait with.
    pub(crate) fn ticket(&self) -> Ticket {
        // Acquire: pairs with `ring`; what was changed before a ring that is counted here is seen after this.
        Ticket(self.rings.word().load(Ordering::Acquire))
    }

    /// Wakes everybody who waits, and will wait with a ticket from before this. A fence, too.
    pub(crate) fn ring(&self) {
        // Release: pairs with `ticket`.
        self.rings.word().fetch_add(1, Ordering::Release);
        self.rings.wake();
        // SeqCst: pairs with that in `wait_or_ready`, which sees this ring, or has an event that is seen here.
        fence(Ordering::SeqCst);
        self.event.tell();
    }

    /// Sleeps until the bell rings, `most` has passed, or for no reason. Does not sleep when it rang after `ticket`.
    pub(crate) fn wait(&self, ticket: Ticket, most: Option<Duration>) {
        self.rings.wait(ticket.0, most);
    }

    /// As [`Bell::wait`], but not longer than until one of `descriptors` is readable. For one thread at a time.
    pub(crate) fn wait_or_ready(
        &self,
        ticket: Ticket,
        descriptors: impl Iterator<Item = RawFd>,
        most: Option<Duration>,
    ) {
        self.event.make();
        // SeqCst: pairs with that in `ring`: a ring after this look finds the event.
        fence(Ordering::SeqCst);
        if self.rings.word().load(Ordering::Relaxed) == ticket.0 {
            self.event.sleep(descriptors, most);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models;

#[cfg(all(test, not(loom)))]
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
