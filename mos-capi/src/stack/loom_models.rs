//! The whole life of contexts without packets: they are made, asked, joined and destroyed by several threads. Whoever
//! is forgotten waits for ever, since time stands still.

use super::*;
use crate::current::loom_models::{ask, smallest};
use crate::io::Plan;
use crate::sync::model;
use loom::thread;

/// As `mtcp_create_context` does.
fn make(cpu: u32, cores: usize) -> (&'static Slot, JoinHandle<()>) {
    let slot = slot::claim(cpu).unwrap();
    let plan = Plan::Capture { inputs: Vec::new(), output: None };
    slot.join_sharing(plan.captures());
    let stack = Stack {
        slot,
        engine: Engine::new(smallest()).unwrap(),
        app: CApp::new(slot.visible()),
        input: Input::open(plan, slot, false).unwrap_or_else(|(_, sentence)| panic!("{sentence}")),
        descriptors: 1,
        cores,
        reading: false,
    };
    (slot, stack.start().unwrap())
}

/// Runs `scenario` on a thread with room for an engine.
fn model(preemptions: usize, scenario: fn()) {
    model::model(Some(preemptions), move || {
        let thread = Builder::new().stack_size(1 << 16).spawn(scenario);
        thread.unwrap().join().unwrap();
    });
}

/// As `mtcp_destroy_context` does.
fn destroy(slot: &'static Slot) -> bool {
    let epoch = slot.epoch();
    let first = slot.stop();
    slot.wait_until_quiet(epoch);
    first
}

#[test]
fn a_context_is_made_joined_and_destroyed() {
    model(2, || {
        let (slot, stack) = make(0, 1);
        assert_eq!(slot.join(slot.epoch()), None);
        assert_eq!(slot.phase(), Phase::Ended);
        assert!(destroy(slot));
        stack.join().unwrap();
    });
}

#[test]
fn a_context_is_destroyed_at_any_point_of_its_life() {
    model(1, || {
        let (slot, stack) = make(0, 1);
        let epoch = slot.epoch();
        let joining = thread::spawn(move || slot.join(epoch));
        assert!(destroy(slot));
        assert_eq!(joining.join().unwrap(), None);
        assert!(slot::find(slot.mctx()).is_none());
        stack.join().unwrap();
    });
}

#[test]
fn a_context_is_asked_at_any_point_of_its_life() {
    model(1, || {
        let (slot, stack) = make(0, 1);
        let epoch = slot.epoch();
        let joining = thread::spawn(move || slot.join(epoch));
        assert_eq!(ask(slot), Ok(()));
        assert_eq!(joining.join().unwrap(), None);
        assert_eq!(ask(slot), Ok(()), "also when its input has ended");
        assert!(destroy(slot));
        assert_eq!(ask(slot), Err(Errno::ACCES));
        stack.join().unwrap();
    });
}
