//! Contexts that divide captures while others come and go.

use super::{is_complete, take};
use crate::slot::{self, Slot};
use crate::sync::model::model;
use loom::thread;
use mos_dpdk::rss::Share;

const CAPTURES: u64 = 7;

fn make(cpu: u32) -> &'static Slot {
    let slot = slot::claim(cpu).unwrap();
    slot.join_sharing(CAPTURES);
    slot.go_live(1);
    slot
}

/// As a stack thread begins to read: it waits for the others.
fn begin(slot: &'static Slot, cores: usize) -> Option<Share> {
    loop {
        let ticket = slot.bell.ticket();
        if is_complete(slot, cores) {
            return take(slot);
        }
        slot.bell.wait(ticket, None);
    }
}

/// Whether the parts that were given out are all of one division.
fn are_whole<const N: usize>(shares: [Option<Share>; N]) -> bool {
    let given: Vec<Share> = shares.into_iter().flatten().collect();
    let of = u32::try_from(given.len()).unwrap();
    of > 0 && (0..of).all(|rank| Share::new(rank, of).is_some_and(|part| given.contains(&part)))
}

#[test]
fn contexts_that_exist_take_all_parts() {
    model(None, || {
        let [a, b] = [make(0), make(1)];
        let other = thread::spawn(move || take(b));
        let shares = [take(a), other.join().unwrap()];
        assert!(shares[1].is_some() && are_whole(shares), "{shares:?}");
    });
}

#[test]
fn one_that_is_made_meanwhile_has_a_part_like_the_others_or_none() {
    model(Some(3), || {
        let [a, b] = [make(0), make(1)];
        let others = [a, b].map(|slot| thread::spawn(move || take(slot)));
        let late = take(make(2));
        let [a, b] = others.map(|other| other.join().unwrap());
        assert!(a.is_some() && b.is_some() && are_whole([a, b, late]), "{a:?} {b:?} {late:?}");
    });
}

#[test]
fn each_hears_that_the_other_is_ready() {
    model(Some(4), || {
        let [a, b] = [make(0), make(1)];
        let other = thread::spawn(move || {
            b.set_settled(true);
            begin(b, 2)
        });
        a.set_settled(true);
        let shares = [begin(a, 2), other.join().unwrap()];
        assert!(shares[0].is_some() && are_whole(shares), "{shares:?}");
    });
}

#[test]
fn one_that_goes_live_hears_that_another_was_joined() {
    model(Some(2), || {
        // The other one has the slot that is looked at first: no ring for `a` comes before that look, and orders it.
        for _ in 0..2 {
            slot::claim(9).unwrap().give_up();
        }
        let a = make(0);
        let joining = thread::spawn(move || a.join(a.epoch()));
        let other = thread::spawn(|| {
            let b = make(1);
            b.set_settled(true);
            begin(b, 2)
        });
        assert!(begin(a, 2).is_some());
        other.join().unwrap(); // `a` has not ended, which it would hear, too
        a.end(None);
        assert_eq!(joining.join().unwrap(), None);
    });
}

#[test]
fn nobody_waits_for_one_that_is_destroyed() {
    model(Some(4), || {
        let [a, b] = [make(0), make(1)];
        let destroying = thread::spawn(move || b.stop());
        a.set_settled(true);
        assert!(begin(a, 2).is_some());
        assert!(destroying.join().unwrap());
    });
}

#[test]
fn who_has_a_part_does_not_wait_for_those_that_are_through() {
    model(Some(1), || {
        let [a, b] = [make(0), make(1)];
        let first = thread::spawn(move || {
            a.set_settled(true);
            let share = begin(a, 2);
            assert!(a.stop());
            a.finish(());
            share
        });
        let joining = thread::spawn(move || b.join(b.epoch()));
        let share = begin(b, 2);
        b.end(None);
        assert!(are_whole([first.join().unwrap(), share]), "{share:?}");
        assert_eq!(joining.join().unwrap(), None);
    });
}
