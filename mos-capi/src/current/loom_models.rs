//! Calls from other threads: who asks always has an answer, whatever happens to the context meanwhile.

use super::*;
use crate::sync::atomic::AtomicBool;
use crate::sync::model::model;
use loom::thread::{Builder, JoinHandle};
use mos_flow::{Config, Engine, Instant};
use std::time::Duration;

/// A stack thread as far as others can see it: an engine, and commands that are done.
struct Stack {
    slot: &'static Slot,
    engine: Box<Engine<CApp>>,
    app: CApp,
}

impl Stack {
    fn new(slot: &'static Slot) -> Self {
        adopt(slot);
        let mut engine = Box::new(Engine::new(smallest()).unwrap());
        let mut app = CApp::new(slot.visible());
        engine.handle_timeout(Instant(1), &mut app); // time begins
        Stack { slot, engine, app }
    }

    fn run_command(&mut self) -> bool {
        let Some(command) = self.slot.next_command() else { return false };
        let mut control = self.engine.control();
        command(Some(Desk { app: &mut self.app, control: &mut control }));
        true
    }

    /// Runs `act` in a callback.
    fn call(&mut self, act: impl Fn() + Send + 'static) {
        let timer = self.engine.start_timer_with(Duration::ZERO, move |context| enter(context, &act));
        assert!(timer.is_some());
        self.engine.handle_timeout(Instant(1_000_000), &mut self.app);
    }

    /// Until the context is destroyed.
    fn run(mut self) {
        let slot = self.slot;
        slot.serve(|| self.run_command());
        slot.finish(self);
    }
}

/// What takes the least time to make.
pub(crate) fn smallest() -> Config {
    Config {
        max_flows: 1,
        max_sockets: 1,
        max_monitors: 1,
        max_waits: 0,
        max_timers: 2,
        max_output: 0,
        output_octets: 0,
        max_aliases: 0,
        max_changed: 0,
        max_events: 0,
        max_steps: 0,
        max_buffers: 0,
        max_queues: 0,
        chunks: 0,
        fragments: None,
        ..Config::default()
    }
}

fn make(cpu: u32) -> &'static Slot {
    let slot = slot::claim(cpu).unwrap();
    slot.go_live(1);
    slot
}

/// Starts a thread with room for an engine's calls.
fn start<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    Builder::new().stack_size(1 << 16).spawn(f).unwrap()
}

/// Sets a timer, as the program does from any thread.
pub(crate) fn ask(slot: &'static Slot) -> Result<(), Errno> {
    control(slot, |desk| {
        desk.control.start_timer(Duration::from_secs(9), |_| (), 0).map(|_| ()).ok_or(Errno::NOMEM)
    })
}

#[test]
fn two_who_ask_are_both_answered() {
    model(Some(2), || {
        let slot = make(0);
        let serving = start(move || Stack::new(slot).run());
        let other = start(move || ask(slot));
        assert_eq!(ask(slot), Ok(()));
        assert_eq!(other.join().unwrap(), Ok(()));
        assert!(slot.stop());
        serving.join().unwrap();
    });
}

#[test]
fn who_asks_while_the_context_ends_is_answered() {
    model(Some(2), || {
        let slot = make(0);
        let serving = start(move || Stack::new(slot).run());
        let asking = start(move || ask(slot));
        assert!(slot.stop());
        assert!(matches!(asking.join().unwrap(), Ok(()) | Err(Errno::ACCES)));
        serving.join().unwrap();
        assert_eq!(ask(slot), Err(Errno::ACCES));
    });
}

#[test]
fn a_command_that_is_lost_is_answered() {
    model(Some(3), || {
        let slot = make(0);
        let serving = start(move || {
            slot.serve(|| slot.next_command().map(drop).is_some());
            slot.finish(());
        });
        assert_eq!(ask(slot), Err(Errno::IO));
        slot.stop();
        serving.join().unwrap();
    });
}

#[test]
fn two_contexts_that_ask_each_other_are_answered() {
    model(Some(2), || {
        let slots = [make(0), make(1)];
        let run = move |own: usize| {
            let answered = Arc::new(AtomicBool::new(false));
            let of_callback = Arc::clone(&answered);
            let mut stack = Stack::new(slots[own]);
            stack.call(move || match ask(slots[1 - own]) {
                Ok(()) => of_callback.store(true, Ordering::Relaxed),
                Err(errno) => assert_eq!(errno, Errno::ACCES),
            });
            assert!(stack.slot.stop());
            stack.run();
            answered.load(Ordering::Relaxed)
        };
        let other = start(move || run(1));
        let own = start(move || run(0));
        // Who is refused finds the other gone, and that one had its answer.
        assert!(own.join().unwrap() | other.join().unwrap());
    });
}

#[test]
fn a_callback_keeps_its_context_while_another_destroys_it() {
    model(Some(3), || {
        let slot = make(0);
        let serving = start(move || {
            let mut stack = Stack::new(slot);
            stack.call(move || {
                assert!(find(slot.mctx()).is_ok_and(|found| ptr::eq(found, slot)));
                assert_eq!(ask(slot), Ok(()));
            });
            stack.run();
        });
        let epoch = slot.epoch();
        assert!(slot.stop());
        slot.wait_until_quiet(epoch);
        assert_eq!(find(slot.mctx()).map(|_| ()), Err(Errno::ACCES));
        serving.join().unwrap();
    });
}
