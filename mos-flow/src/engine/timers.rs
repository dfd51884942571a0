//! Time: the alarms of the application, and what becomes of connections that time out.

use super::Engine;
use crate::context::{Context, Handler, TimerId};
use crate::defrag::Defrag;
use crate::event::{Hook, Raised};
use crate::flow::{EndReason, Flow, Live};
use crate::handlers::Registration;
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::{Id, Reuse, Slab, Slot};
use crate::time::{Instant, Tick};
use crate::timer::{Link, Wheel};
use core::time::Duration;
use tcp_reasm::{PackedConn, Side, Timeouts};

/// The timers of the application.
pub(super) struct Alarms<A: 'static, M: Memory> {
    alarms: Slab<Registration<A, M>, M>,
    wheel: Wheel<M>,
}

impl<A, M: Memory> Alarms<A, M> {
    pub(super) fn new(alarms: M::Of<Slot<Registration<A, M>>>, links: M::Of<Link>) -> Self {
        Alarms { alarms: Slab::new(alarms, Reuse::Newest), wheel: Wheel::new(links) }
    }

    pub(super) fn start(&mut self, deadline: Instant, registration: Registration<A, M>) -> Option<Id> {
        let id = self.alarms.insert(registration).ok()?;
        if self.wheel.start(id.index(), deadline) {
            return Some(id);
        }
        self.alarms.remove(id);
        None
    }

    /// Returns what it would have called, if it was running.
    pub(super) fn stop(&mut self, id: Id) -> Option<Registration<A, M>> {
        let registration = self.alarms.remove(id)?;
        self.wheel.stop(id.index());
        Some(registration)
    }

    /// How many alarms call a closure.
    #[cfg(all(feature = "alloc", any(test, feature = "_model")))]
    pub(super) fn calls_of(&self, id: Id) -> usize {
        let all = self.alarms.ids().filter_map(|alarm| self.alarms.get(alarm));
        all.filter(|r| matches!(r.call, crate::handlers::Call::Closure(other) if other == id)).count()
    }

    /// Takes out one alarm whose time has come.
    fn poll(&mut self, now: Instant) -> Option<Registration<A, M>> {
        let id = self.wheel.poll(now).and_then(|index| self.alarms.id_at(index))?;
        self.alarms.remove(id)
    }
}

impl<A, M: Memory> Engine<A, M> {
    /// Starts a timer that fires once, `delay` from now, at the earliest with the next tick of
    /// [`TICK_US`](crate::timer::TICK_US) microseconds. `None` when all are in use.
    pub fn start_timer(&mut self, delay: Duration, handler: Handler<A, M>, token: usize) -> Option<TimerId> {
        self.alarms.start(self.clock.running() + delay, Registration::function(handler, token))
    }

    /// Stops a timer. Returns whether it was running.
    pub fn stop_timer(&mut self, id: TimerId) -> bool {
        let _stopped = self.alarms.stop(id);
        #[cfg(feature = "alloc")]
        self.sockets.handlers.release(_stopped.as_ref());
        _stopped.is_some()
    }

    /// Runs the timers that are due at `now`, and announces what they set free. A time before the engine's is taken
    /// as the engine's; one far ahead is believed, other than a frame's.
    pub fn handle_timeout(&mut self, now: Instant, app: &mut A) {
        self.stats.clock_steps_back += u64::from(now < self.clock.shown());
        self.clock.pass_to(now);
        self.run_timers(app);
        self.announce(app);
    }

    /// No timer fires before this time. `None` when none runs, or time is at its end.
    pub fn next_timeout(&self) -> Option<Instant> {
        let next = self.next_deadline()?;
        let reached = next <= self.clock.running() || self.clock.shown().0 < u64::MAX;
        reached.then(|| self.clock.show(next))
    }

    fn next_deadline(&self) -> Option<Instant> {
        let fragments = self.defrag.as_ref().and_then(Defrag::next_deadline);
        let timers = [self.wheel.next_deadline(), self.alarms.wheel.next_deadline(), fragments];
        timers.into_iter().flatten().min()
    }

    /// Takes the time of a frame. What time made of it is not counted yet.
    pub(super) fn advance_clock(&mut self, told: Instant, app: &mut A) -> Tick {
        let tick = self.clock.advance(told);
        self.run_timers(app);
        tick
    }

    /// Runs what is due, of connections and of the application, in the order of deadlines.
    fn run_timers(&mut self, app: &mut A) {
        let now = self.clock.running();
        self.expire_fragments();
        if self.wheel.is_idle_until(now) && self.alarms.wheel.is_idle_until(now) {
            return;
        }
        loop {
            let until = self.next_deadline().map_or(now, |next| next.min(now));
            if let Some(id) = self.wheel.poll(until).and_then(|index| self.flows.id_at(index)) {
                self.on_flow_timer(id, app);
            } else if let Some(registration) = self.alarms.poll(until) {
                self.call_timer(registration, app);
            } else if until == now {
                return;
            }
        }
    }

    fn call_timer(&mut self, registration: Registration<A, M>, app: &mut A) {
        let mut context = Context {
            engine: self,
            app,
            socket: Id::NONE,
            token: registration.token,
            event: None,
            user_event: None,
            raised: Raised::NONE,
            hook: Hook::None,
            side: None,
            packet: None,
            editing: None,
            trouble: None,
            conflict: None,
            refused: false,
            verdict: Verdict::Forward,
        };
        context.run(registration.call, |function, context| {
            function(context);
            true
        });
        #[cfg(feature = "alloc")]
        self.sockets.handlers.release(Some(&registration));
    }

    /// Packets do not restart a connection's timer; it is set again when it fires too early.
    fn on_flow_timer(&mut self, id: Id, app: &mut A) {
        if self.forget_if_unwatched(id) {
            return;
        }
        let Some(flow) = self.flows.get(id) else { return };
        if self.clock.running() >= self.deadline(flow) {
            match self.end_by_time(id) {
                Some(reason) => self.end(id, reason, Side::Client, app),
                None => self.forget(id),
            }
            return;
        }
        if self.flows.live(id).is_some() {
            for side in Side::BOTH {
                self.give_up_gaps(id, side, None, app);
            }
            self.settle(id);
        }
        self.start_flow_timer(id);
    }

    /// Why a connection ends that has come to its deadline; `None` when it ended before.
    fn end_by_time(&self, id: Id) -> Option<EndReason> {
        let flow = self.flows.get(id).filter(|flow| flow.over.is_none())?;
        let rest = self.flows.rest_of(flow);
        let live = self.flows.live_of(flow);
        let closed = live.is_some_and(|live| live.conn.is_over()) || rest.is_some_and(PackedConn::is_over);
        Some(if closed { EndReason::Closed } else { EndReason::TimedOut })
    }

    /// When a connection will have been silent for too long.
    fn deadline(&self, flow: &Flow) -> Instant {
        let timeouts = &self.config.timeouts;
        let last = self.flows.last_packet(flow);
        if flow.over.is_some() {
            return last + self.config.linger;
        }
        if let Some(live) = self.flows.live_of(flow) {
            return live.timers.end(&live.conn, &self.timeouts_of(live)).map_or(last, |(_, at)| at);
        }
        match self.flows.rest_of(flow) {
            // It rests only with a timer for its end: that has fired.
            Some(rest) if rest.is_embryonic() => Instant::default(),
            Some(rest) if rest.is_over() => last + timeouts.time_wait,
            _ => last + timeouts.idle,
        }
    }

    /// When a connection that is awake is given up. One whose numbers differ on both sides is still needed when it is closed:
    /// the last packets may be lost, and come again.
    pub(super) fn timeouts_of(&self, live: &Live) -> Timeouts {
        let mut timeouts = self.config.timeouts;
        if timeouts.time_wait.is_zero() && self.is_changed(live) {
            timeouts.time_wait = Timeouts::default().time_wait;
        }
        timeouts
    }

    /// (Re)starts a connection's timer for the first of its deadlines. No packet restarts it. A handshake stands in the
    /// queue: all of them may take as long.
    pub(super) fn start_flow_timer(&mut self, id: Id) {
        let Some(flow) = self.flows.get(id) else { return };
        let live = self.flows.live_of(flow);
        // There is a timer for each record: see `with_memory`.
        if let Some(live) = live.filter(|live| flow.over.is_none() && live.conn.is_embryonic()) {
            // Its place in the queue is by its beginning. Nothing is acknowledged yet, so no hole is to be given up.
            if !self.wheel.is_running(id.index()) {
                self.wheel.enqueue(id.index(), live.timers.began() + self.config.timeouts.handshake);
            }
            return;
        }
        let deadline = self.deadline(flow);
        let with_hole = live.filter(|live| live.timers.has_holes());
        let next = with_hole.and_then(|live| live.timers.next(&live.conn, &self.timeouts_of(live)));
        self.wheel.start(id.index(), next.map_or(deadline, |(_, at)| at.min(deadline)));
    }
}
