//! The segments by which nearly all connections begin and end (see [`Conn::turn`](tcp_reasm::Conn::turn)), where nobody asks
//! at the sender's hook: both sides follow them at once.

use super::raise::Raise;
use super::{Engine, Passage};
use crate::event::{Event, EventSet, Hook};
use crate::flow::{Flow, Live, Mark};
use crate::memory::Memory;
use crate::slab::{Id, NONE};
use ringbuf_core::Offset;
use tcp_reasm::{Segment, Side, Sides};

/// What a turn was for each side: the events of both hooks.
pub(super) struct Turn(Sides<EventSet>);

impl Turn {
    /// Follows a segment that is a turn, if nobody is to be shown it at the sender's hook. Otherwise nothing changes.
    #[inline]
    pub(super) fn of(flow: &mut Flow, live: &mut Live, from: Side, segment: &Segment<'_>) -> Option<Turn> {
        let begins = segment.opens();
        let seen = EventSet::of(Event::PacketIn).with_if(begins, Event::ConnStart);
        let asked = flow.asks(Hook::Sender, seen | EventSet::of(Event::StateChange));
        if !(begins || flow.is(Mark::Announced)) || asked || !live.is_in_step() {
            return None;
        }
        let before = Sides::from_fn(|side| live.conn.state(side));
        if !live.conn.turn(from, segment) {
            return None;
        }
        flow.set(Mark::Announced, true);
        if from == Side::Server {
            flow.set(Mark::Answered, true);
        }
        let moved = |side| live.conn.state(side) != before[side];
        Some(Turn(Sides::from_fn(|side| seen.with_if(moved(side), Event::StateChange))))
    }
}

impl<A, M: Memory> Engine<A, M> {
    /// Counts a turn, and tells whoever asks at the receiver's hook.
    pub(super) fn tell_of_turn(
        &mut self,
        id: Id,
        from: Side,
        turn: &Turn,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) {
        let (to, events) = (!from, turn.0[!from]);
        self.stats.segments += 1;
        self.count_events(turn.0[from]);
        let Some((flow, live)) = self.flows.both(id) else { return };
        let asked = flow.asks(Hook::Receiver, events);
        if live.waits != NONE && passage.segment.is_fin() {
            self.hurry(id, to, Offset(u64::MAX));
        }
        if asked {
            self.raise(id, Raise::at(Hook::Receiver, to, events), from, passage, app);
        } else {
            self.count_events(events);
        }
    }
}
