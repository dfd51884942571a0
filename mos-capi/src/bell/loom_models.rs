//! That no ring is lost: whoever is forgotten sleeps for ever, and loom reports that nothing can go on.

use super::{Bell, Ticket};
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::model::model;
use loom::thread;
use std::iter;

/// How to wait.
type Wait = fn(&Bell, Ticket);

fn sleeps(bell: &Bell, ticket: Ticket) {
    bell.wait(ticket, None);
}

fn polls(bell: &Bell, ticket: Ticket) {
    bell.wait_or_ready(ticket, iter::empty(), None);
}

/// A change, and the bell that tells of it. The change is relaxed: the bell alone orders it.
struct Door {
    bell: Bell,
    changes: AtomicU32,
}

impl Door {
    fn new() -> Arc<Door> {
        Arc::new(Door { bell: Bell::new(), changes: AtomicU32::new(0) })
    }

    fn change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.bell.ring();
    }

    /// Waits for `changes`.
    fn pass(&self, changes: u32, wait: Wait) {
        loop {
            let ticket = self.bell.ticket();
            if self.changes.load(Ordering::Relaxed) >= changes {
                return;
            }
            wait(&self.bell, ticket);
        }
    }
}

/// Runs `act` beside the calling thread.
fn beside(door: &Arc<Door>, act: impl Fn(&Door) + 'static) -> thread::JoinHandle<()> {
    let door = Arc::clone(door);
    thread::spawn(move || act(&door))
}

#[test]
fn a_change_before_the_ring_ends_the_wait() {
    for wait in [sleeps, polls] as [Wait; 2] {
        model(None, move || {
            let door = Door::new();
            let changing = beside(&door, Door::change);
            door.pass(1, wait);
            changing.join().unwrap();
        });
    }
}

#[test]
fn one_change_after_the_other_is_heard() {
    for wait in [sleeps, polls] as [Wait; 2] {
        model(Some(3), move || {
            let door = Door::new();
            let changing = beside(&door, |door| {
                door.change();
                door.change();
            });
            door.pass(1, wait);
            door.pass(2, wait);
            changing.join().unwrap();
        });
    }
}

#[test]
fn two_who_ring_are_both_heard() {
    for wait in [sleeps, polls] as [Wait; 2] {
        model(Some(3), move || {
            let door = Door::new();
            let changing = [beside(&door, Door::change), beside(&door, Door::change)];
            door.pass(2, wait);
            changing.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

#[test]
fn one_ring_wakes_all_who_sleep() {
    model(Some(3), || {
        let door = Door::new();
        let passing = [(); 2].map(|()| beside(&door, |door| door.pass(1, sleeps)));
        door.change();
        passing.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
