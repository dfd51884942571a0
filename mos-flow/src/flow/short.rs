//! Segments that go a short way (see [`Conn::step`](tcp_reasm::Conn::step), [`Conn::sent_plain`](tcp_reasm::Conn::sent_plain)
//! and [`Conn::turn`](tcp_reasm::Conn::turn)) where no octets are kept: what they do to the records of their connection.

use super::{Flows, Live, Mark};
use crate::memory::Memory;
use crate::slab::{Id, NONE};
use crate::time::Instant;
use ringbuf_core::Offset;
use tcp_reasm::{NO_BUFFER, PlainSegment, Segment, Side, Sides, State};

/// The states of both ends before a segment by which a connection begins or ends, and after it.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    before: Sides<State>,
    after: Sides<State>,
}

impl Turn {
    /// Whether a side comes to another state.
    pub(crate) fn moves(&self, side: Side) -> bool {
        self.before[side] != self.after[side]
    }

    pub(crate) fn was_embryonic(&self) -> bool {
        self.before.client.is_embryonic() || self.before.server.is_embryonic()
    }

    pub(crate) fn is_embryonic(&self) -> bool {
        self.after.client.is_embryonic() || self.after.server.is_embryonic()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.after.client.is_over() && self.after.server.is_over()
    }
}

impl Live {
    /// Somebody is to be told something of its streams, or waits for it.
    fn has_to_tell(&self) -> bool {
        self.in_pending_list || self.waits != NONE
    }
}

impl<M: Memory> Flows<M> {
    /// Follows a segment in step whose octets are not kept. Returns where they begin; `None` when it was no such segment.
    #[inline]
    pub(crate) fn step_without_octets(
        &mut self,
        id: Id,
        from: Side,
        segment: &PlainSegment,
        now: Instant,
    ) -> Option<Offset> {
        let (to, flow) = (!from, self.flows.get_mut(id)?);
        let Some(live) = self.live.at_mut(flow.live) else {
            let rest = flow.rest.as_mut()?;
            let start = rest.next(to);
            let taken = rest.step(from, segment);
            if taken {
                flow.last = now.0.into();
            }
            return taken.then_some(start);
        };
        let kept = segment.payload_len > 0 && !live.buffers[to].is_none();
        let start = live.conn.stream(to).next();
        if kept || !live.is_in_step() || !live.conn.step(from, segment) {
            return None;
        }
        live.conn.pass_in_step(to, segment.payload_len);
        live.timers.on_segment(now);
        Some(start)
    }

    /// Follows a plain segment that comes in any order (see [`Conn::sent_plain`](tcp_reasm::Conn::sent_plain)) and brings nothing
    /// that is kept or to be told. Returns how many octets are in order now that were not; `None` when it was no such segment.
    #[inline]
    pub(crate) fn pass_without_octets(
        &mut self,
        id: Id,
        from: Side,
        segment: &Segment<'_>,
        now: Instant,
    ) -> Option<u64> {
        let (to, flow) = (!from, self.flows.get(id)?);
        let live = self.live.at_mut(flow.live)?;
        let keeps = |side: Side| flow.is_buffered(side) || !live.buffers[side].is_none();
        let (into, back) = (live.conn.stream(to), live.conn.stream(from));
        let brings = segment.payload_len > 0;
        let told = brings && (keeps(to) || into.position(segment.seq) < into.next().0.cast_signed());
        // Without octets to keep nobody waits for those that the receiver acknowledged, perhaps with a packet that was dropped.
        let skips = back.position(segment.ack) > back.next().0.cast_signed() || back.may_have_gap();
        if told || into.may_have_gap() || !live.is_in_step() || skips && (keeps(from) || live.has_to_tell()) {
            return None;
        }
        if !live.conn.sent_plain(from, segment) {
            return None;
        }
        let fresh = live.conn.received_plain(to, segment, NO_BUFFER).data.fresh;
        if skips {
            let _ = live.conn.skip(from, NO_BUFFER);
        }
        live.timers.on_segment(now);
        Some(fresh)
    }

    /// Follows a segment that is a turn. At rest the connection rests on.
    #[inline]
    pub(crate) fn turn(&mut self, id: Id, from: Side, segment: &Segment<'_>, now: Instant) -> Option<Turn> {
        let flow = self.flows.get_mut(id)?;
        let (before, after);
        if let Some(live) = self.live.at_mut(flow.live) {
            before = live.conn.states();
            if !live.is_in_step() || !live.conn.turn(from, segment) {
                return None;
            }
            live.timers.on_segment(now);
            after = live.conn.states();
        } else {
            let rest = flow.rest.as_mut()?;
            before = rest.states();
            if !rest.turn(from, segment, &self.window) {
                return None;
            }
            after = rest.states();
            flow.last = now.0.into();
        }
        flow.set(Mark::Announced, true);
        if from == Side::Server {
            flow.set(Mark::Answered, true);
        }
        Some(Turn { before, after })
    }
}
