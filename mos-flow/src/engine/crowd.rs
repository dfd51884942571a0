//! Too many connections: which one gives way to a new one.
//!
//! A flood of SYNs fills no more than the handshakes' part of the table: with one more than that, the oldest handshake goes.
//! When the table as a whole is full, the policy of the configuration chooses among the oldest handshake and a sample.

use super::Engine;
use crate::evict::{Candidate, Stage};
use crate::flow::{EndReason, Mark};
use crate::memory::Memory;
use crate::slab::Id;
use crate::time::{Instant, micros};
use crate::timer::TICK_US;
use tcp_reasm::Side;

/// Connections that are asked whether they would give way to one new connection, besides the oldest handshake.
const SAMPLE: usize = 16;

impl<A, M: Memory> Engine<A, M> {
    /// Lets the oldest handshake go when there are as many as may be.
    pub(super) fn limit_handshakes(&mut self, app: &mut A) {
        if self.embryonic < self.config.embryonic_limit() {
            return;
        }
        if let Some(oldest) = self.oldest_handshake() {
            self.evict(oldest, app);
        }
    }

    fn oldest_handshake(&self) -> Option<Id> {
        self.wheel.oldest().and_then(|index| self.flows.id_at(index))
    }

    /// Lets the connection go that gives way most readily. Returns whether one did.
    pub(super) fn make_room(&mut self, app: &mut A) -> bool {
        let policy = self.config.eviction;
        let mut chosen: Option<(u64, Id)> = None;
        let mut candidate = self.oldest_handshake();
        for _ in 0..=SAMPLE {
            let ranked = candidate
                .and_then(|id| Some((policy.rank(&self.as_candidate(id)?)?, id)))
                .filter(|(rank, _)| chosen.is_none_or(|(highest, _)| highest < *rank));
            chosen = ranked.or(chosen);
            candidate = self.flows.next_from(&mut self.hand, |_| true);
        }
        let Some((_, id)) = chosen else { return false };
        self.evict(id, app);
        true
    }

    fn as_candidate(&self, id: Id) -> Option<Candidate> {
        let flow = self.flows.get(id)?;
        let stage = match flow.over {
            Some(_) => Stage::Ended,
            None if flow.is(Mark::Embryonic) => Stage::Embryonic,
            None => Stage::Established,
        };
        Some(Candidate { stage, idle: self.clock.running().since(self.flows.last_packet(flow)) })
    }

    fn evict(&mut self, id: Id, app: &mut A) {
        match self.as_candidate(id).map(|candidate| candidate.stage) {
            Some(Stage::Ended) => return self.forget(id),
            Some(Stage::Embryonic) => self.stats.evicted_embryonic += 1,
            Some(Stage::Established) => self.stats.evicted_idle += 1,
            None => return,
        }
        self.end(id, EndReason::Evicted, Side::Client, app);
        // With `linger` it would only be remembered: its place is needed.
        self.forget(id);
    }

    /// Wakes a connection. Returns whether it is awake: not when all live records are in use.
    #[inline]
    pub(super) fn wake(&mut self, id: Id) -> bool {
        let (wheel, handshake) = (&self.wheel, micros(self.config.timeouts.handshake));
        // At rest a handshake's beginning is known by its timer.
        self.flows.wake(id, |flow| {
            let deadline = wheel.deadline(id.index()).filter(|_| flow.is(Mark::Embryonic))?;
            Some(Instant(deadline.0.saturating_sub(handshake)))
        })
    }

    /// Puts a connection to rest, if all there is to it has its place in the short record, and in the wheel.
    pub(super) fn settle(&mut self, id: Id) {
        let Some((flow, live)) = self.flows.both(id) else { return };
        if flow.is(Mark::Embryonic) {
            let end = live.timers.began() + self.config.timeouts.handshake;
            if self.wheel.deadline(id.index()).is_none_or(|at| at.0.abs_diff(end.0) >= TICK_US) {
                return;
            }
        }
        self.flows.settle(id);
    }

    /// A handshake is complete: from now on the connection is timed by its silence.
    pub(super) fn note_established(&mut self, id: Id) {
        if let Some(flow) = self.flows.get_mut(id)
            && flow.take(Mark::Embryonic)
        {
            self.embryonic -= 1;
            self.start_flow_timer(id);
        }
    }
}
