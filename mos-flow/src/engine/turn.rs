//! The segments by which nearly all connections begin and end (see [`Conn::turn`](tcp_reasm::Conn::turn)), where nobody asks
//! at the sender's hook: both sides follow them at once, and at rest a connection rests on.

use super::raise::Raise;
use super::{Engine, Passage};
use crate::event::{Event, EventSet, Hook};
use crate::flow::{Mark, Turn};
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::Id;
use ringbuf_core::Offset;
use tcp_reasm::{Segment, Side};

/// Events of turns.
const TOLD: EventSet = EventSet::all_of(&[Event::PacketIn, Event::ConnStart, Event::StateChange]);

impl<A, M: Memory> Engine<A, M> {
    /// Follows a segment that is a turn, if nobody is to be shown it at the sender's hook. Returns whether it did; otherwise
    /// nothing has changed.
    #[inline]
    pub(super) fn turn(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) -> bool {
        let (segment, now) = (passage.segment, self.clock.running());
        let Some(flow) = self.flows.get(id) else { return false };
        let begins = flow.is(Mark::Announced) || segment.opens();
        let shown = flow.asks(Hook::Receiver, TOLD);
        let looked_at = flow.asks(Hook::Sender, TOLD) || shown && !flow.is_awake();
        if !begins || looked_at || flow.is(Mark::Stopped) || passage.verdict == Verdict::Drop {
            return false;
        }
        let Some(turn) = self.flows.turn(id, from, segment, now) else { return false };
        self.stats.segments += 1;
        self.count_events(events_of(&turn, from, segment));
        if segment.is_fin() {
            self.hurry(id, !from, Offset(u64::MAX));
        }
        let what = events_of(&turn, !from, segment);
        if shown {
            self.show_turn(id, Raise::at(Hook::Receiver, !from, what), &turn, passage, app);
        } else {
            self.count_events(what);
            self.after_turn(id, from, &turn, app);
        }
        true
    }

    /// Somebody asks for events of turns at the receiver's hook, and may do anything there.
    fn show_turn(&mut self, id: Id, what: Raise, turn: &Turn, passage: &mut Passage<'_, M>, app: &mut A) {
        let Some(from) = what.side.map(|to| !to) else { return };
        if let Some(live) = self.flows.live_mut(id) {
            live.pinned = true;
        }
        self.raise(id, what, from, passage, app);
        self.after_segment(id, from, turn.was_embryonic(), app);
    }

    /// As [`Engine::after_segment`]. Nobody was told, so there is nothing that a handler has done.
    #[inline]
    fn after_turn(&mut self, id: Id, from: Side, turn: &Turn, app: &mut A) {
        let Some(flow) = self.flows.get(id) else { return };
        let embryonic = turn.is_embryonic();
        let progress = flow.progresses(turn.was_embryonic(), embryonic);
        if flow.is_awake() {
            self.settle_later(id);
        }
        if progress {
            self.note_progress(id, turn.was_embryonic(), embryonic);
        }
        if turn.is_over() {
            self.end_or_wait(id, from, app);
        }
    }
}

/// The events at the hook that is of `side`.
#[inline]
fn events_of(turn: &Turn, side: Side, segment: &Segment<'_>) -> EventSet {
    let seen = EventSet::of(Event::PacketIn).with_if(segment.opens(), Event::ConnStart);
    seen.with_if(turn.moves(side), Event::StateChange)
}
