//! What the sockets of a connection want of its streams: how many octets are kept in order, which copy, any at all.

use super::Engine;
use crate::flow::Mark;
use crate::memory::Memory;
use crate::overlap::OverlapPolicy;
use crate::packet::PacketRef;
use crate::slab::Id;
use ringbuf_core::{Offset, Range};
use tcp_reasm::Side;

impl<A, M: Memory> Engine<A, M> {
    /// Keeps the ring's size: in-order octets that are too old are pushed out. Whoever has not read them is told of
    /// new data first if that was not announced yet, and of the loss before it happens: it may read, or make the ring
    /// larger.
    pub(super) fn trim(&mut self, id: Id, to: Side, view: Option<PacketRef<'_>>, app: &mut A) {
        if let Some(lost) = self.too_old(id, to) {
            self.push_out(id, to, lost, view, app);
        }
    }

    /// The same for octets that were found to be too old. Returns whether somebody was told.
    pub(super) fn push_out(
        &mut self,
        id: Id,
        to: Side,
        mut lost: Range,
        view: Option<PacketRef<'_>>,
        app: &mut A,
    ) -> bool {
        let told = self.warn_of_loss(id, to, lost, view, app);
        if told {
            let Some(still) = self.too_old(id, to) else { return true };
            lost.end = lost.end.min(still.end); // nobody was warned of more
            self.count_overrun(id, to, lost);
        }
        if let Some(live) = self.flows.live_mut(id) {
            self.buffers.release(live.buffers[to], &mut live.conn, to, lost.end);
        }
        told
    }

    /// Tells whoever has not read octets that are about to go. Returns whether there was somebody.
    #[inline]
    fn warn_of_loss(
        &mut self,
        id: Id,
        side: Side,
        lost: Range,
        view: Option<PacketRef<'_>>,
        app: &mut A,
    ) -> bool {
        let unread = self.cursors_below(id, side, lost.end).next().is_some();
        if unread {
            self.tell_of_loss(id, side, lost, view, app);
        }
        unread
    }

    /// Tells the readers of a stream of new data, if that was not announced yet, and then of the loss.
    fn tell_of_loss(&mut self, id: Id, side: Side, lost: Range, view: Option<PacketRef<'_>>, app: &mut A) {
        self.hurry(id, side, lost.end);
        self.announce_side(id, side, app);
        self.warn_of_overrun(id, side, lost, view, app);
    }

    /// Counts octets that go although somebody has not read them.
    fn count_overrun(&mut self, id: Id, side: Side, lost: Range) {
        let lowest = self.cursors_below(id, side, lost.end).min();
        self.stats.overrun_octets += lowest.map_or(0, |cursor| lost.end.since(cursor.max(lost.start)));
    }

    /// A gap that ends at `end` is to be skipped: what lies so far before it that no window reaches over both will go, and
    /// all of it when no place is left among the ranges.
    pub(super) fn warn_before_gap(
        &mut self,
        id: Id,
        side: Side,
        end: Offset,
        view: Option<PacketRef<'_>>,
        app: &mut A,
    ) {
        let Some(live) = self.flows.live(id) else { return };
        let (window, frags) = (live.conn.stream(side).window(), self.buffers.frags(live.buffers[side]));
        let Some(frags) = frags else { return };
        let reach = Offset(window.top(frags).max(end).0.saturating_sub(window.cap().into()));
        let kept = if window.survives_skip(frags) { reach.min(window.next()) } else { window.next() };
        let lost = Range { start: window.head(frags), end: kept };
        if !lost.is_empty() && self.warn_of_loss(id, side, lost, view, app) {
            self.count_overrun(id, side, lost);
        }
    }

    /// In-order octets that are held although the ring has no room for them.
    fn too_old(&mut self, id: Id, side: Side) -> Option<Range> {
        let live = self.flows.live(id)?;
        let window = live.conn.stream(side).window();
        let (head, needed) = (window.head(self.buffers.frags(live.buffers[side])?), self.needed(live, side));
        let (held, ring) = (Range { start: head, end: window.next() }, live.rings[side]);
        let lost = too_old(held, ring.unwrap_or_else(|| self.find_ring(id, side)));
        let lost = Range { end: lost.end.min(needed), ..lost };
        (!lost.is_empty()).then_some(lost)
    }

    /// Asks the sockets of a connection how many octets they want, once.
    pub(super) fn find_ring(&mut self, id: Id, side: Side) -> u32 {
        let ring = self.ring_of(id, side);
        if let Some(live) = self.flows.live_mut(id) {
            live.rings[side] = Some(ring);
        }
        ring
    }

    /// The ring of a stream: the largest that one of the sockets wants, as far as one stream may have that much memory.
    pub(crate) fn ring_of(&self, id: Id, side: Side) -> u32 {
        let sockets = self.watchers(id).filter_map(|index| self.sockets.at(index));
        let wishes = sockets
            .filter(|socket| socket.wishes[side].octets())
            .map(|socket| socket.ring(side).unwrap_or(self.config.ring_octets));
        wishes.max().unwrap_or(self.config.ring_octets).min(self.config.ring_limit())
    }

    /// A socket wants another ring: octets of the stream are kept from now on, if they were not. What does not fit any
    /// more is pushed out after the burst, because somebody may have to be warned.
    pub(crate) fn resize(&mut self, id: Id, side: Side) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.set(Mark::buffered(side), true);
        if let Some(live) = self.flows.live_mut(id) {
            live.rings[side] = None;
        }
        if self.too_old(id, side).is_some()
            && let Some(live) = self.flows.live_mut(id)
        {
            live.shrunk[side] = true;
            self.enqueue(id);
        }
    }

    /// Pushes out what has no room in a ring that became smaller.
    pub(super) fn trim_if_shrunk(&mut self, id: Id, side: Side, app: &mut A) {
        let Some(live) = self.flows.live_mut(id) else { return };
        if core::mem::take(&mut live.shrunk[side]) {
            self.trim(id, side, None, app);
        }
    }

    /// Changes the overlap policy of a stream. Returns whether there is memory for it.
    pub(crate) fn set_overlap(&mut self, id: Id, side: Side, policy: OverlapPolicy) -> bool {
        let next = self.flows.live(id).map(|live| (live.buffers[side], live.conn.stream(side).next()));
        let Some(flow) = self.flows.get_mut(id) else { return false };
        if flow.overlap[side] == policy {
            return true;
        }
        if next.is_some_and(|(record, next)| !self.buffers.begin_policy(record, policy, next)) {
            return false;
        }
        flow.overlap[side] = policy;
        true
    }

    /// Stops keeping the octets of a stream, unless handlers changed some: those have to be repeated.
    pub(crate) fn disable_buffer(&mut self, id: Id, side: Side) {
        let needed = self.flows.live(id).is_some_and(|live| self.is_side_changed(live, side));
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.set(Mark::buffered(side), needed);
        if let Some(live) = self.flows.live_mut(id) {
            (live.pending[side], live.belated[side]) = (false, false);
            live.rings[side] = None;
            self.waits.clear_side(&mut live.waits, side);
        }
        if !needed {
            self.drop_octets(id, side);
        }
    }
}

/// What of the octets held, in order, has no room in a ring.
#[inline]
pub(super) fn too_old(held: Range, ring: u32) -> Range {
    Range { end: Offset(held.end.0.saturating_sub(ring.into())), ..held }
}
