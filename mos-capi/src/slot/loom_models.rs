//! What several threads do with a context at once: make it, find it, post commands to it, end it, wait for it.

use super::*;
use crate::sync::Arc;
use crate::sync::model::model;
use loom::cell::UnsafeCell;
use loom::thread::{self, JoinHandle};

const CPU: u32 = 5;

/// Makes a context, and starts a thread that serves it as its stack thread: commands are run without a desk.
fn make(descriptors: u32) -> (&'static Slot, JoinHandle<()>) {
    let slot = claim(CPU).unwrap();
    let serving = thread::spawn(move || serve(slot, || ()));
    slot.go_live(descriptors);
    (slot, serving)
}

fn serve(slot: &'static Slot, last_act: impl FnOnce()) {
    slot.serve(|| slot.next_command().map(|command| command(None)).is_some());
    last_act();
    slot.finish(());
}

/// A word of the program that a callback writes, and the program after it has destroyed the context. Loom reports when
/// the two are not ordered.
struct Owned(UnsafeCell<u32>);

// SAFETY: that its accesses are ordered is what the model finds out.
unsafe impl Sync for Owned {}

impl Owned {
    fn new() -> Arc<Owned> {
        Arc::new(Owned(UnsafeCell::new(0)))
    }

    fn touch(&self) {
        // SAFETY: loom sees to it that nobody else has the word now.
        self.0.with_mut(|word| unsafe { *word += 1 });
    }
}

#[test]
fn when_it_is_quiet_no_callback_runs() {
    model(Some(3), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let owned = Owned::new();
        let of_callbacks = Arc::clone(&owned);
        let serving = thread::spawn(move || serve(slot, || of_callbacks.touch()));
        let epoch = slot.epoch();
        assert!(slot.stop());
        slot.wait_until_quiet(epoch);
        owned.touch();
        serving.join().unwrap();
        assert_eq!(slot.phase(), Phase::Free);
    });
}

#[test]
fn one_of_two_destroys_it_and_both_return_when_it_is_quiet() {
    model(Some(1), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let owned = Owned::new();
        let of_callbacks = Arc::clone(&owned);
        let serving = thread::spawn(move || serve(slot, || of_callbacks.touch()));
        let epoch = slot.epoch();
        let destroy = move || {
            let first = slot.stop();
            slot.wait_until_quiet(epoch);
            first
        };
        let other = thread::spawn(destroy);
        let first = destroy();
        if first {
            owned.touch();
        }
        assert_ne!(other.join().unwrap(), first, "one destroys it");
        serving.join().unwrap();
    });
}

#[test]
fn a_context_is_seen_as_it_was_made() {
    model(None, || {
        let looking = thread::spawn(|| {
            for slot in all() {
                assert!(slot.has_descriptor(6) && slot.sharing() == 9 && slot.cpu() == CPU);
            }
        });
        let slot = claim(CPU).unwrap();
        slot.join_sharing(9);
        slot.go_live(7);
        looking.join().unwrap();
    });
}

#[test]
fn a_core_has_one_context() {
    model(None, || {
        let other = thread::spawn(|| claim(CPU).is_ok());
        let mine = claim(CPU).is_ok();
        assert_ne!(mine, other.join().unwrap());
    });
}

#[test]
fn a_handle_never_finds_the_next_context() {
    model(Some(4), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let (handle, epoch) = (slot.mctx().addr(), slot.epoch());
        let looking = thread::spawn(move || {
            for _ in 0..2 {
                if let Some(found) = find(ptr::without_provenance_mut(handle)) {
                    assert!(ptr::eq(found, slot) && found.epoch() == epoch);
                }
            }
        });
        assert!(slot.stop());
        slot.finish(());
        claim(CPU).unwrap().go_live(1);
        assert!(find(slot.mctx()).is_none());
        looking.join().unwrap();
    });
}

#[test]
fn a_core_is_free_again_when_its_context_is_destroyed() {
    model(Some(2), || {
        let (slot, serving) = make(1);
        assert_eq!(claim(CPU).unwrap_err(), Errno::EXIST);
        assert!(slot.stop());
        wait_for_destroyed();
        assert_eq!(slot.phase(), Phase::Free);
        assert!(!ptr::eq(claim(CPU).unwrap(), slot));
        serving.join().unwrap();
    });
}

#[test]
fn each_command_is_run_or_refused_once() {
    model(Some(2), || {
        let (slot, serving) = make(1);
        let done = Arc::new(AtomicU32::new(0));
        let mut posted = 0;
        let destroying = thread::spawn(move || assert!(slot.stop()));
        for _ in 0..2 {
            let done = Arc::clone(&done);
            let command = move |_: Option<Desk<'_, '_>>| {
                done.fetch_add(1, Ordering::Relaxed);
            };
            posted += u32::from(slot.post(Box::new(command)).is_ok());
        }
        destroying.join().unwrap();
        serving.join().unwrap();
        assert_eq!(done.load(Ordering::Relaxed), posted);
    });
}

#[test]
fn a_live_context_hears_of_every_command() {
    model(Some(2), || {
        let (slot, serving) = make(1);
        let other = thread::spawn(move || slot.post(Box::new(|_| ())).unwrap());
        let bell = Arc::new(Bell::new());
        let done = Arc::new(AtomicBool::new(false));
        let of_command = (Arc::clone(&bell), Arc::clone(&done));
        slot.post(Box::new(move |_| {
            of_command.1.store(true, Ordering::Relaxed);
            of_command.0.ring();
        }))
        .unwrap();
        loop {
            let ticket = bell.ticket();
            if done.load(Ordering::Relaxed) {
                break;
            }
            bell.wait(ticket, None);
        }
        other.join().unwrap();
        slot.stop();
        serving.join().unwrap();
    });
}

#[test]
fn who_joins_learns_why_the_input_ended() {
    model(Some(2), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let reading = thread::spawn(move || {
            slot.end(Some("broken".to_owned()));
            serve(slot, || ());
        });
        let epoch = slot.epoch();
        let joining = thread::spawn(move || slot.join(epoch));
        let told = slot.join(epoch);
        assert_eq!(told.as_deref(), Some("broken"));
        assert_eq!(joining.join().unwrap(), told);
        slot.stop();
        reading.join().unwrap();
    });
}

#[test]
fn who_joins_returns_when_another_destroys_it() {
    model(Some(3), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let epoch = slot.epoch();
        let joining = thread::spawn(move || slot.join(epoch));
        assert!(slot.stop());
        slot.finish(());
        assert_eq!(joining.join().unwrap(), None);
    });
}

#[test]
fn who_waits_for_a_context_does_not_wait_for_the_next_one() {
    model(Some(2), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let epoch = slot.epoch();
        let joining = thread::spawn(move || slot.join(epoch));
        assert!(slot.stop());
        slot.finish(());
        for _ in 1..SLOTS {
            claim(CPU).unwrap().give_up();
        }
        let next = claim(CPU).unwrap();
        assert!(ptr::eq(next, slot), "all others had their turn");
        next.go_live(1);
        assert_eq!(joining.join().unwrap(), None);
    });
}

#[test]
fn who_reads_hears_that_it_is_to_end() {
    model(Some(3), || {
        let slot = claim(CPU).unwrap();
        slot.go_live(1);
        let halting = thread::spawn(move || slot.halt());
        loop {
            let ticket = slot.bell.ticket();
            if slot.is_halted() {
                break;
            }
            slot.bell.wait(ticket, None);
        }
        halting.join().unwrap();
    });
}
