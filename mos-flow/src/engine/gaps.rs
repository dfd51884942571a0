//! Holes: octets that their receiver acknowledged and the monitor never saw, and when they are given up.

use super::Engine;
use super::raise::Raise;
use crate::context::Trouble;
use crate::event::{Event, Hook};
use crate::memory::Memory;
use crate::packet::PacketRef;
use crate::slab::Id;
use ringbuf_core::{Offset, Range};
use tcp_reasm::{NO_BUFFER, Segment, Side};

impl<A, M: Memory> Engine<A, M> {
    /// Goes on behind acknowledged holes for which the patience has run out.
    pub(super) fn give_up_gaps(&mut self, id: Id, side: Side, view: Option<PacketRef<'_>>, app: &mut A) {
        let Some(live) = self.flows.live_mut(id) else { return };
        if !live.conn.may_have_gap(side) {
            return live.timers.forget_hole(side);
        }
        while let Some(hole) = self.hole(id, side) {
            if !self.is_patience_over(id, side, hole) {
                return;
            }
            self.skip_gap(id, side, view, app);
        }
    }

    /// When no further range can be held, the first hole is given up early, if its octets will not come any more.
    pub(super) fn make_room_for_ranges(
        &mut self,
        id: Id,
        to: Side,
        segment: &Segment<'_>,
        view: PacketRef<'_>,
        app: &mut A,
    ) {
        let Some(live) = self.flows.live(id) else { return };
        let Some(frags) = self.buffers.frags(live.buffers[to]).filter(|f| f.is_full()) else { return };
        let stream = live.conn.stream(to);
        let at = Offset(stream.position(segment.data_seq()).max(0).cast_unsigned());
        if !stream.window().has_place_for(frags, at, segment.payload_len.into()) {
            self.skip_gap(id, to, Some(view), app);
        }
    }

    /// The acknowledged hole of a stream, if it has one.
    fn hole(&mut self, id: Id, side: Side) -> Option<Range> {
        let live = self.flows.live_mut(id)?;
        let hole = live.conn.gap(side, self.buffers.frags(live.buffers[side]));
        if hole.is_none() {
            live.timers.forget_hole(side);
        }
        hole
    }

    fn is_patience_over(&mut self, id: Id, side: Side, hole: Range) -> bool {
        let now = self.clock.running();
        let Some((flow, live)) = self.flows.both_mut(id) else { return false };
        // Without octets to keep there is nothing to wait for.
        if flow.over.is_some() || !flow.is_buffered(side) {
            return true;
        }
        let stream = live.conn.stream(side);
        let top = self.buffers.frags(live.buffers[side]).map_or(stream.next(), |f| stream.window().top(f));
        let (waiting, known) = (top.since(hole.end), live.timers.hole_since(side));
        let patience = &self.config.timeouts.patience;
        let over = live.timers.is_patience_over(side, Some(hole), waiting, patience, now);
        if !over && live.timers.hole_since(side) != known {
            self.start_flow_timer(id);
        }
        over
    }

    fn skip_gap(&mut self, id: Id, side: Side, view: Option<PacketRef<'_>>, app: &mut A) {
        let Some(hole) = self.hole(id, side) else { return };
        self.announce_side(id, side, app);
        self.warn_before_gap(id, side, hole.end, view, app);
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let (conn, buffered, policy) = (&mut live.conn, flow.is_buffered(side), flow.overlap[side]);
        let skipped = match self.buffers.with(live.buffers[side], policy, |b| conn.skip(side, Some(b))) {
            Some(skipped) => skipped,
            None => conn.skip(side, NO_BUFFER),
        };
        let Some((gap, state)) = skipped else { return };
        live.timers.forget_hole(side);
        let more = live.conn.stream(side).next() > gap.end;
        self.hurry(id, side, gap.end);
        if buffered {
            self.stats.gap_octets += gap.len();
            self.raise_trouble(id, side, Trouble::Gap(gap), view, app);
        }
        if state.is_some() {
            let what = Raise::one(Hook::Receiver, Some(side), Event::StateChange);
            self.raise_quiet(id, what, view, app);
        }
        if more {
            self.note_belated(id, side);
            self.trim(id, side, view, app);
        }
    }
}
