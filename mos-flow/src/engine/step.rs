//! Segments in step (see [`Conn::step`](tcp_reasm::Conn::step)) of connections whose sockets do not ask for each packet, as
//! nearly all are: at once, where a connection rests in its short record, without waking it, and without looking further
//! into the frame.

use super::{Engine, Lookup, Passage, Prepared};
use crate::event::{Event, EventSet, Hook};
use crate::flow::{Flow, Mark};
use crate::memory::Memory;
use crate::packet::{Frame, PacketRef, Verdict};
use crate::slab::Id;
use crate::wire::{self, plain};
use tcp_reasm::{PlainSegment, Sent, Side, Sides};

impl<A, M: Memory> Engine<A, M> {
    /// A segment that is plain, and most likely in step: then no more of its frame is looked at than has to be.
    #[inline]
    pub(super) fn process_plain(
        &mut self,
        frame: &Frame<'_>,
        lookup: &Lookup,
        segment: &PlainSegment,
        app: &mut A,
    ) -> Verdict {
        if let Some(id) = self.flows.with_key(lookup.candidate, &lookup.key)
            && let Some(flow) = self.flows.get(id).filter(|flow| flow.is_calm())
            && !self.sockets.has_raw()
            && (!self.config.verify_checksums || is_intact(frame, segment))
        {
            let from = flow.sender(lookup.ascending); // by the connection's own key, not by an alias
            if flow.is_shown(from, segment) {
                return self.show_plain(frame, (id, from), lookup, segment, app);
            }
            if self.step_unseen(id, from, segment)
                || self.pass_unseen(id, from, &segment.with_payload_of(&[]))
            {
                return Verdict::Forward;
            }
        }
        let packet = &plain::packet_of(frame.data, segment.wire_len());
        self.process_whole(frame, Prepared { packet, lookup }, app)
    }

    /// A segment of which somebody is told at the receiver's hook, or whose octets are kept, in step or not.
    fn show_plain(
        &mut self,
        frame: &Frame<'_>,
        (id, from): (Id, Side),
        lookup: &Lookup,
        plain: &PlainSegment,
        app: &mut A,
    ) -> Verdict {
        let packet = plain::packet_of(frame.data, plain.wire_len());
        let segment = plain.with_payload_of(packet.segment_bytes(frame.data));
        let view = PacketRef { frame, packet: &packet, segment: Some(&segment) };
        let mut edited = None;
        let so_far = (Verdict::Forward, true);
        let verdict = self.pass(view, (&segment, lookup), so_far, &mut edited, |engine, passage| {
            if !engine.step_shown(id, from, plain, passage, app) {
                engine.on_segment(id, passage, app);
            }
        });
        self.put_out_if(frame, &packet, verdict, &mut edited)
    }

    /// Follows a segment that is in step, if nobody is to be shown it at the sender's hook. Otherwise nothing has changed.
    #[inline]
    pub(super) fn step(&mut self, id: Id, passage: &mut Passage<'_, M>, app: &mut A) -> bool {
        let Some(plain) = PlainSegment::of(passage.segment) else { return false };
        let Some(flow) = self.flows.get(id) else { return false };
        if !flow.is_calm() || passage.verdict == Verdict::Drop {
            return false;
        }
        let from = self.sender(flow, passage.lookup);
        if flow.is_shown(from, &plain) {
            return self.step_shown(id, from, &plain, passage, app);
        }
        self.step_unseen(id, from, &plain)
    }

    /// The same for a segment that nobody is told of, and whose octets nobody keeps.
    #[inline]
    fn step_unseen(&mut self, id: Id, from: Side, segment: &PlainSegment) -> bool {
        if self.flows.step_without_octets(id, from, segment, self.clock.running()).is_none() {
            return false;
        }
        self.end_unseen(id, segment.payload_len.into());
        true
    }

    /// What a segment that nobody is shown counts for, with so many new octets of its stream.
    #[inline]
    pub(super) fn end_unseen(&mut self, id: Id, octets: u64) {
        self.count_step();
        self.stats.events[Event::PacketIn] += 1; // at the receiver's hook
        self.stats.stream_octets += octets;
        self.settle_later(id);
    }

    /// What a segment in step counts for, up to the sender's hook.
    #[inline]
    pub(super) fn count_step(&mut self) {
        self.stats.segments += 1;
        self.stats.events[Event::PacketIn] += 1;
    }

    /// The same for a segment that somebody is told of at the receiver's hook, or whose octets are kept.
    fn step_shown(
        &mut self,
        id: Id,
        from: Side,
        plain: &PlainSegment,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) -> bool {
        let lends = self.can_lend_in_step(id, !from, passage.segment);
        if !lends {
            return self.step_awake(id, from, plain, passage, app);
        }
        let taken = self.lend_in_step(id, from, plain, passage, app);
        if taken {
            self.after_step(id, from, app);
        }
        taken
    }

    /// The same where the connection has to be awake, because octets are kept or everything is told.
    fn step_awake(
        &mut self,
        id: Id,
        from: Side,
        plain: &PlainSegment,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) -> bool {
        let (to, segment, now) = (!from, passage.segment, self.clock.running());
        let Some(live) = self.flows.wake_in_step(id) else { return false };
        if self.buffers.has_ranges(live.buffers[to]) || !live.conn.step(from, plain) {
            return false;
        }
        live.timers.on_segment(now);
        live.pinned = true;
        self.count_step();
        let Some(flow) = self.flows.get(id) else { return true };
        let events = EventSet::of(Event::PacketIn) | EventSet::of(Event::NewData);
        if !flow.asks(Hook::Receiver, events) {
            self.stats.events[Event::PacketIn] += 1;
            match self.keep_in_step(id, to, segment) {
                Some(lost) if lost.is_empty() => return true,
                Some(lost) if !self.push_out(id, to, lost, Some(passage.view), app) => return true,
                Some(_) => {}
                None => self.store_in_step(id, to, segment, passage.view, app),
            }
        } else if let Some(live) = self.flows.live(id) {
            let states = Sides::from_fn(|side| live.conn.state(side));
            self.receive(id, from, passage, (&Sent::default(), [states; 2]), app);
        }
        self.after_step(id, from, app);
        true
    }

    /// As `after_segment`: only what handlers did can have changed more than octets. At rest it is as it was.
    #[inline]
    pub(super) fn after_step(&mut self, id: Id, from: Side, app: &mut A) {
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        if flow.is(Mark::Stopped) || live.reset {
            return self.after_segment(id, from, false, app);
        }
        live.pinned = false;
        self.settle_later(id);
    }

    /// The connection is to rest after the burst, if more are awake than need be.
    #[inline]
    pub(super) fn settle_later(&mut self, id: Id) {
        if self.flows.is_crowded() {
            // There is no room only when the burst was longer than it may be: then it rests later.
            let _ = self.to_settle.push(id);
        }
    }
}

impl Flow {
    /// Whether nothing about it is undecided, and nobody asks for each packet at the sender's hook.
    #[inline]
    pub(super) fn is_calm(&self) -> bool {
        self.is_heard_and_watched() && self.over.is_none() && !self.asks(Hook::Sender, Event::PacketIn.into())
    }

    /// Whether somebody is told of a segment at the receiver's hook, or its octets are kept.
    #[inline]
    fn is_shown(&self, from: Side, segment: &PlainSegment) -> bool {
        segment.payload_len > 0 && self.is_buffered(!from)
            || self.asks(Hook::Receiver, Event::PacketIn.into())
    }
}

/// Whether the checksums of a plain frame are right.
fn is_intact(frame: &Frame<'_>, segment: &PlainSegment) -> bool {
    wire::verify(frame.data, &plain::packet_of(frame.data, segment.wire_len())).is_ok()
}
