//! Too many connections: which one gives way to a new one.
//!
//! A flood of SYNs fills no more than the handshakes' part of the table: with one more than that, the oldest handshake goes.
//! A connection of which only one side was heard is no more than a handshake, whatever that side says. When the table as a
//! whole is full, the policy of the configuration chooses among the oldest handshake and a sample.

use super::Engine;
use crate::evict::{Candidate, Evict, Stage};
use crate::flow::{EndReason, Mark};
use crate::memory::Memory;
use crate::slab::{Id, LOOK};
use crate::time::{Instant, micros};
use crate::timer::TICK_US;
use tcp_reasm::Side;

/// Connections that are asked whether they would give way to one new connection, besides the oldest handshake. An arbitrary
/// number.
const SAMPLE: usize = 16;
/// The same for one more handshake than there may be. The oldest one will do, unless many only pretend to be more: then one
/// of them is soon found.
const HANDSHAKES: usize = 2;

/// Handshakes alone give way, the longest silence first.
#[derive(Debug)]
struct Handshakes;

impl Evict for Handshakes {
    fn rank(&self, candidate: &Candidate) -> Option<u64> {
        (candidate.stage == Stage::Embryonic).then(|| micros(candidate.idle))
    }
}

impl<A, M: Memory> Engine<A, M> {
    /// Lets a handshake go when there are as many as may be. Returns whether one did.
    pub(super) fn limit_handshakes(&mut self, app: &mut A) -> bool {
        let limit = self.config.max_embryonic.unwrap_or(self.flows.capacity().div_ceil(2));
        self.embryonic >= limit && self.make_room_by(&Handshakes, HANDSHAKES, app)
    }

    fn oldest_handshake(&self) -> Option<Id> {
        self.wheel.oldest().and_then(|index| self.flows.id_at(index))
    }

    /// Lets the connection go that gives way most readily. Returns whether one did.
    pub(super) fn make_room(&mut self, app: &mut A) -> bool {
        self.make_room_by(self.config.eviction, SAMPLE, app)
    }

    fn make_room_by(&mut self, policy: &dyn Evict, sample: usize, app: &mut A) -> bool {
        let mut chosen: Option<(u64, Id)> = None;
        let mut candidate = self.oldest_handshake();
        for _ in 0..=sample {
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
        // Without its record what comes later would go on with the wrong numbers.
        if self.flows.live_of(flow).is_some_and(|live| self.is_changed(live)) {
            return None;
        }
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

    /// Wakes a connection. Returns whether it is awake: not when all live records are in use, by connections that cannot go
    /// to rest.
    #[inline]
    pub(super) fn wake(&mut self, id: Id) -> bool {
        self.flows.live(id).is_some() || self.wake_from_rest(id)
    }

    #[inline(never)]
    fn wake_from_rest(&mut self, id: Id) -> bool {
        self.try_wake(id) || self.flows.get(id).is_some() && self.free_live_record() && self.try_wake(id)
    }

    /// Puts some connection to rest, if one is found soon.
    #[cold]
    pub(super) fn free_live_record(&mut self) -> bool {
        for _ in 0..LOOK {
            let (Some(id), awake) = (self.flows.next_awake(), self.flows.awake()) else { return false };
            self.settle(id);
            if self.flows.awake() < awake {
                return true;
            }
        }
        false
    }

    #[inline]
    fn try_wake(&mut self, id: Id) -> bool {
        let (wheel, timeouts) = (&self.wheel, &self.config.timeouts);
        // At rest a handshake's beginning is known by its timer. For all others that memory is left alone.
        self.flows.wake(id, |flow| {
            let timer = flow.is_embryonic_at_rest().then(|| wheel.deadline(id.index()))?;
            timer.map(|deadline| Instant(deadline.0.saturating_sub(micros(timeouts.handshake))))
        })
    }

    /// Puts a connection to rest, if all there is to it has its place in the short record, and in the wheel.
    pub(super) fn settle(&mut self, id: Id) {
        let Some(live) = self.flows.live(id) else { return };
        if live.conn.is_embryonic() {
            let end = live.timers.began() + self.config.timeouts.handshake;
            if self.wheel.deadline(id.index()).is_none_or(|at| at.0.abs_diff(end.0) >= TICK_US) {
                return;
            }
        }
        self.flows.settle(id);
    }

    /// Counts a connection as a handshake, or no longer, as its ends and what was heard have it, and times it so.
    pub(super) fn note_progress(&mut self, id: Id, was_embryonic: bool, embryonic: bool) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        let (counted, counts) = (flow.is(Mark::Embryonic), flow.counts_as_embryonic(embryonic));
        flow.set(Mark::Embryonic, counts);
        self.embryonic = self.embryonic + usize::from(counts) - usize::from(counted);
        if embryonic == was_embryonic {
            return;
        }
        if let Some(live) = self.flows.live_mut(id).filter(|_| embryonic) {
            // What was taken for a handshake was none, or the server waits again.
            live.timers.begin_again(self.clock.running());
            self.wheel.stop(id.index());
        }
        self.start_flow_timer(id);
    }
}
