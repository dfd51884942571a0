//! Time: the wheel's alarms, and what becomes of connections that time out.

use super::Engine;
use crate::context::Context;
use crate::event::Hook;
use crate::flow::{EndReason, Flow};
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::Id;
use crate::socket::Registration;
use crate::time::{Instant, Tick};
use core::fmt;
use tcp_reasm::Side;

/// What a timer stands for. Public only so that memory for it can be lent.
pub enum Alarm<A: 'static, M: Memory> {
    /// A connection may have timed out.
    Flow(Id),
    /// The application's.
    User(Registration<A, M>),
}

impl<A, M: Memory> Clone for Alarm<A, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, M: Memory> Copy for Alarm<A, M> {}

impl<A, M: Memory> fmt::Debug for Alarm<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::Flow(id) => write!(f, "Flow({id:?})"),
            Alarm::User(_) => f.write_str("User"),
        }
    }
}

impl<A, M: Memory> Engine<A, M> {
    /// Runs the timers that are due at `now`, and announces what they set free. A time before the engine's is taken
    /// as the engine's; one far ahead is believed, other than a frame's.
    pub fn handle_timeout(&mut self, now: Instant, app: &mut A) {
        self.clock.pass_to(now);
        self.run_timers(app);
        self.announce(app);
    }

    /// No timer fires before this time. `None` when none runs.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.wheel.next_deadline().map(|running| self.clock.show(running))
    }

    /// Takes the time of a frame.
    pub(super) fn advance_clock(&mut self, told: Instant, app: &mut A) {
        match self.clock.advance(told) {
            Tick::Forward => {}
            Tick::StepBack => self.stats.clock_steps_back += 1,
            Tick::Jump => self.stats.clock_jumps += 1,
        }
        self.run_timers(app);
    }

    fn run_timers(&mut self, app: &mut A) {
        let now = self.clock.running();
        if self.wheel.is_idle_until(now) {
            return;
        }
        while let Some((_, alarm)) = self.wheel.poll(now) {
            match alarm {
                Alarm::Flow(id) => self.on_flow_timer(id, app),
                Alarm::User(registration) => self.call_timer(registration, app),
            }
        }
    }

    fn call_timer(&mut self, registration: Registration<A, M>, app: &mut A) {
        self.user_timers -= 1;
        let Registration { handler, token } = registration;
        handler(&mut Context {
            engine: self,
            app,
            socket: Id::NONE,
            token,
            event: None,
            hook: Hook::None,
            side: None,
            packet: None,
            trouble: None,
            conflict: None,
            verdict: Verdict::Forward,
        });
    }

    /// Packets do not restart a connection's timer; it is set again when it fires too early.
    fn on_flow_timer(&mut self, id: Id, app: &mut A) {
        let Some(flow) = self.flows.get(id) else { return };
        let deadline = self.deadline(flow);
        if self.clock.running() >= deadline {
            if flow.over.is_some() {
                self.forget(id);
            } else {
                let reason = if flow.conn.is_over() { EndReason::Closed } else { EndReason::TimedOut };
                self.end(id, reason, Side::Client, app);
            }
            return;
        }
        for side in Side::BOTH {
            self.give_up_gaps(id, side, None, app);
        }
        self.start_flow_timer(id);
    }

    /// When a connection will have been silent for too long.
    fn deadline(&self, flow: &Flow) -> Instant {
        let last = flow.timers.last();
        if flow.over.is_some() {
            return last + self.config.linger;
        }
        flow.timers.end(&flow.conn, &self.config.timeouts).map_or(last, |(_, at)| at)
    }

    /// (Re)starts a connection's timer for the first of its deadlines. No packet restarts it, so it is looked at again
    /// before the shortest silence that could matter once the handshake is over.
    pub(super) fn start_flow_timer(&mut self, id: Id) {
        let Some(flow) = self.flows.get(id) else { return };
        let timeouts = &self.config.timeouts;
        let silence = self.clock.running() + timeouts.idle;
        let next = flow.timers.next(&flow.conn, timeouts).map_or(silence, |(_, at)| at);
        let first = self.deadline(flow).min(silence).min(next);
        if self.wheel.restart(flow.timer, first) {
            return;
        }
        let timer = self.wheel.start(first, Alarm::Flow(id));
        if let (Some(timer), Some(flow)) = (timer, self.flows.get_mut(id)) {
            flow.timer = timer;
        }
    }
}
