//! The stack thread of a context: it owns the engine, reads the input, and does what other threads ask for.

use crate::app::CApp;
use crate::bell::Ticket;
use crate::conf::{self, Settings};
use crate::current;
use crate::errno::Errno;
use crate::io::{Failure, Input};
use crate::share;
use crate::slot::{self, Desk, Phase, Slot};
use crate::sync;
use crate::sync::thread::{Builder, JoinHandle};
use crate::text;
use mos_dpdk::port::{PortError, Received};
use mos_flow::Engine;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// A program that does not join is done with setting up when it was silent for this long.
const SETTLED: Duration = Duration::from_millis(200);
/// The longest wait for contexts that are still being set up. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(1);
/// Stacks of threads. C programs are used to 8 MiB; a limit above 1 GiB is meant for the main thread alone.
const STACKS: RangeInclusive<usize> = 8 << 20..=1 << 30;
/// Commands that are done before packets have their turn again. Arbitrary.
const COMMANDS: usize = 64;

/// What belongs to a context's thread.
pub(crate) struct Stack {
    slot: &'static Slot,
    engine: Engine<CApp>,
    app: CApp,
    input: Input,
    /// Descriptors are below this.
    descriptors: u32,
    /// Contexts that there can be.
    cores: usize,
    /// Packets are taken in.
    reading: bool,
}

impl Stack {
    /// A stack for the context of `slot`.
    ///
    /// # Errors
    /// Those of `mtcp_create_context`.
    pub(crate) fn new(settings: &Settings, slot: &'static Slot) -> Result<Self, Errno> {
        let plan = settings.plan().map_err(told)?;
        let captures = plan.captures();
        let seed = mos_dpdk::random_seed()
            .map_err(|e| told((Errno::from(&e), format!("no random numbers: {e}"))))?;
        let limits = settings.limits(seed);
        conf::check_memory(&limits, stack_size())?;
        let descriptors = u32::try_from(limits.max_sockets).map_err(|_| Errno::INVAL)?;
        let engine = Engine::new(limits).map_err(|e| told((Errno::from(&e), e.to_string())))?;
        let input = Input::open(plan, slot, settings.forwards()).map_err(told)?;
        slot.join_sharing(captures);
        let cores = usize::try_from(settings.num_cores).unwrap_or(1);
        Ok(Stack { slot, engine, app: CApp::new(slot.visible()), input, descriptors, cores, reading: false })
    }

    /// Starts the thread, which ends some time after the context was destroyed.
    ///
    /// # Errors
    /// That of the operating system.
    pub(crate) fn start(self) -> Result<JoinHandle<()>, Errno> {
        let Stack { slot, descriptors, .. } = self;
        let thread = Builder::new().name("mos-stack".to_owned()).stack_size(stack_size());
        let started = thread.spawn(move || self.run());
        let handle =
            started.map_err(|e| told((Errno::from(&e), format!("no thread: {}", mos_dpdk::sentence(&e)))))?;
        slot.go_live(descriptors);
        Ok(handle)
    }

    fn run(mut self) {
        let slot = self.slot;
        current::adopt(slot);
        if catch_unwind(AssertUnwindSafe(|| self.live())).is_err() {
            // A defect of this library. The engine is not touched again.
            slot.close_mailbox();
            slot.end(Some("the stack has failed".to_owned()));
            slot.serve(|| false);
        }
        slot.finish(self);
    }

    /// Until the context is destroyed.
    fn live(&mut self) {
        self.start_clock();
        let read = self.set_up().and_then(|()| self.read());
        if !self.slot.is_stopping() {
            let flushed = self.input.flush();
            self.slot.end(read.and(flushed).err().map(|e| e.to_string()));
        }
        self.slot.serve(|| self.run_commands());
    }

    /// Until the program is ready for packets.
    fn set_up(&mut self) -> Result<(), PortError> {
        let mut settled = sync::now() + SETTLED;
        let (mut made, mut deadline) = (None, None);
        loop {
            let ticket = self.slot.bell.ticket();
            if self.slot.is_halted() {
                break;
            }
            self.pass_time()?;
            if self.slot.phase() == Phase::Starting {
                self.rest(ticket, None);
                continue;
            }
            let busy = self.run_commands();
            let others = slot::made();
            if busy || others.is_none() || others != made {
                made = others;
                settled = sync::now() + SETTLED;
            }
            let now = sync::now();
            let is_settled = now >= settled;
            self.slot.set_settled(is_settled);
            if self.slot.is_joined() || is_settled && self.app.is_set_up() {
                let latest = *deadline.get_or_insert(now + PATIENCE);
                if share::is_complete(self.slot, self.cores) || now >= latest {
                    break;
                }
            }
            if !busy {
                let next = deadline.into_iter().chain((!is_settled).then_some(settled)).min();
                self.rest(ticket, next.map(|next| next.saturating_duration_since(now)));
            }
        }
        Ok(())
    }

    /// Until the input ends.
    fn read(&mut self) -> Result<(), PortError> {
        if !self.slot.is_halted() {
            self.input.begin(self.slot);
            self.reading = true;
        }
        loop {
            let ticket = self.slot.bell.ticket();
            if self.slot.is_halted() {
                break;
            }
            self.pass_time()?;
            let busy = self.run_commands();
            match self.input.turn(&mut self.engine, &mut self.app)? {
                Received::End => break,
                Received::Nothing if !busy => self.rest(ticket, None),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where time goes by without packets, timers count from when they are set.
    fn start_clock(&mut self) {
        if let Some(now) = self.input.now() {
            self.engine.handle_timeout(now, &mut self.app);
            self.app.take_waiting();
        }
    }

    /// Where time goes by without packets, it does.
    fn pass_time(&mut self) -> Result<(), PortError> {
        let Some(now) = self.input.now() else { return Ok(()) };
        self.engine.handle_timeout(now, &mut self.app);
        self.input.send_made(&mut self.engine)
    }

    /// Sleeps until the bell rings, `most` has passed, or there are packets or timers to look after.
    fn rest(&self, ticket: Ticket, most: Option<Duration>) {
        let Input::Live(live) = &self.input else { return self.slot.bell.wait(ticket, most) };
        let now = mos_dpdk::clock::now();
        let next = self.engine.next_timeout().map(|next| next.since(now));
        let most = most.into_iter().chain(next).min();
        if self.reading && live.must_be_polled() {
            std::thread::yield_now();
        } else if self.reading {
            self.slot.bell.wait_or_ready(ticket, live.descriptors(), most);
        } else {
            self.slot.bell.wait(ticket, most);
        }
    }

    /// Does what other threads asked for. Returns whether there was anything.
    fn run_commands(&mut self) -> bool {
        let mut any = false;
        for command in std::iter::from_fn(|| self.slot.next_command()).take(COMMANDS) {
            let mut control = self.engine.control();
            command(Some(Desk { app: &mut self.app, control: &mut control }));
            any = true;
        }
        any
    }
}

/// Octets of stack that callbacks have: as much as the main thread, within reason.
fn stack_size() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it points to a local.
    let known = unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) } == 0;
    let wanted = usize::try_from(limit.rlim_cur).ok().filter(|n| known && STACKS.contains(n));
    wanted.unwrap_or(*STACKS.start())
}

/// Keeps the sentence of a failure.
fn told((errno, sentence): Failure) -> Errno {
    text::tell(sentence);
    errno
}

#[cfg(all(test, loom))]
mod loom_models;
