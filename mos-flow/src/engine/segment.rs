//! One segment of a tracked connection, from the sender's state to the receiver's hook.

use super::raise::Raise;
use super::{Engine, Passage, shifted};
use crate::context::{Stage, Trouble};
use crate::event::{Event, EventSet, Hook};
use crate::flow::{EndReason, Flow, Live, Mark};
use crate::memory::Memory;
use crate::packet::{PacketRef, Verdict};
use crate::reason::DropReason;
use crate::shift::ShiftMap;
use crate::slab::Id;
use ringbuf_core::Offset;
use ringbuf_core::window::Refusal;
use tcp_reasm::{Anomaly, Arrival, Report, Segment, Sent, Side, Sides, State, Verdict as Judgement};

impl<A, M: Memory> Engine<A, M> {
    pub(super) fn on_segment(&mut self, id: Id, passage: &mut Passage<'_, M>, app: &mut A) {
        let now = self.clock.running();
        let Some(flow) = self.flows.get(id) else { return };
        if flow.over.is_some() {
            return self.on_stray(id, passage, app);
        }
        let from = self.sender(flow, passage.lookup);
        if self.turn(id, from, passage, app) {
            return;
        }
        if !self.wake(id) {
            return self.raise_orphan(passage, DropReason::AwakeFull, app);
        }
        if self.follow_plain(id, from, passage, app) {
            return;
        }
        let Some(live) = self.flows.live_mut(id) else { return };
        live.pinned = true;
        live.timers.on_segment(now);
        let was_embryonic = live.conn.is_embryonic();
        if live.shifts.is_none() {
            self.judge(id, from, passage, app);
        } else {
            self.judge_shifted(id, from, passage, app);
        }
        self.after_segment(id, from, was_embryonic, app);
    }

    /// Lets the connection's ends say what a segment means.
    pub(super) fn judge(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let Some(live) = self.flows.live(id) else { return };
        let verdict = live.conn.judge(from, passage.segment);
        if verdict == Judgement::Restart {
            return self.restart(id, from, passage, app);
        }
        self.stats.segments += 1;
        match verdict {
            Judgement::Refuse(anomaly) => self.refuse(id, from, anomaly, passage, app),
            _ => self.accept(id, from, passage, app),
        }
        if self.flows.live(id).is_some_and(|live| !live.shifts.is_none()) {
            self.shift_back(id, from, passage);
        }
    }

    /// The ports are used again.
    fn restart(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let Some(live) = self.flows.live(id) else { return };
        let next = live.conn.successor(passage.segment);
        self.end(id, EndReason::Replaced, from, app);
        self.forget(id);
        let sender = if passage.segment.opens() { Side::Client } else { Side::Server };
        self.admit_as(&next, sender, passage, app);
    }

    /// A segment between the ports of a connection that ended.
    fn on_stray(&mut self, id: Id, passage: &mut Passage<'_, M>, app: &mut A) {
        if passage.segment.opens() {
            self.forget(id);
            self.admit(passage, app);
        } else {
            self.raise_orphan(passage, DropReason::Orphan, app);
        }
    }

    /// A segment that its receiver does not take: only seen, by both hooks.
    fn refuse(&mut self, id: Id, from: Side, anomaly: Anomaly, passage: &mut Passage<'_, M>, app: &mut A) {
        let (to, segment, seen) = (!from, passage.segment, EventSet::of(Event::PacketIn));
        self.raise(id, Raise::at(Hook::Sender, from, seen), from, passage, app);

        let Some(live) = self.flows.live_mut(id) else { return };
        let before = live.conn.state(to);
        live.conn.note_refused(from, segment, anomaly);
        let moved = live.conn.state(to) != before;
        // What came before is no anomaly, although the receiver has no use for it. PAWS drops copies that were delayed.
        let old = anomaly == Anomaly::OldSegment;
        let late = old || anomaly == Anomaly::Paws;
        let arrival = if late { self.arriving(id, to, segment) } else { Arrival::default() };
        self.count_arrival(&arrival);
        if arrival.retransmission {
            self.stats.retransmitted_octets += u64::from(segment.payload_len);
        }
        if !(old && (arrival.retransmission || arrival.keep_alive)) {
            self.stats.anomalies[anomaly] += 1;
        }
        if anomaly == Anomaly::OutOfWindow {
            self.raise_window(id, to, passage, app);
        }
        self.raise_retransmission(id, from, (&arrival, true), passage, app);
        let events = seen.with_if(moved, Event::StateChange);
        self.raise(id, Raise::at(Hook::Receiver, to, events), from, passage, app);
    }

    /// Payload beyond the window that its receiver advertised.
    fn raise_window(&mut self, id: Id, to: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let octets = u64::from(passage.segment.payload_len);
        self.stats.refused_octets += octets;
        if octets > 0 {
            self.raise_trouble(id, to, Trouble::Window { octets }, Some(passage.view), app);
        }
    }

    /// The receiver takes a segment but not its payload.
    fn raise_left_out(&mut self, id: Id, to: Side, sent: &Sent, passage: &mut Passage<'_, M>, app: &mut A) {
        if sent.odd.has(Anomaly::OutOfWindow) || sent.odd.has(Anomaly::WindowClosed) {
            self.raise_window(id, to, passage, app);
        }
    }

    fn accept(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let segment = passage.segment;
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let mark = live.conn.space(from).snd_nxt();
        let shifts = self.shifts.get(live.shifts);
        passage.stage = Stage::Sender { flow: id, from, sent: sent_before(live, from, segment, shifts) };
        let before = Sides::from_fn(|side| live.conn.state(side));
        let sent = live.conn.sent(from, segment);
        let between = Sides::from_fn(|side| live.conn.state(side));
        if from == Side::Server {
            flow.set(Mark::Answered, true);
        }
        self.stats.odd.add_all(sent.odd);
        self.stats.zero_windows += u64::from(sent.zero_window);
        let first = !flow.is(Mark::Announced);
        flow.set(Mark::Announced, true);
        self.follow_streams(id, &sent);
        if first && !sent.started {
            self.raise_start(id, from, passage, app);
        }
        let events = EventSet::of(Event::PacketIn)
            .with_if(sent.started, Event::ConnStart)
            .with_if(between[from] != before[from], Event::StateChange);
        self.raise(id, Raise::at(Hook::Sender, from, events), from, passage, app);
        passage.stage = Stage::Loose;
        if first {
            self.note_alias(id, passage);
        }
        if passage.verdict == Verdict::Drop {
            self.note_dropped(id, from, passage.segment, mark);
            return self.raise_dropped(id, from, passage, app);
        }
        self.note_forwarded(id, from, passage);
        // Asked for before it is taken: a copy is large, and nearly always there is none.
        if passage.edited.is_some()
            && let Some(edited) = passage.edited.take()
        {
            return self.receive_edited(id, from, (passage, edited), (&sent, [before, between]), app);
        }
        self.receive(id, from, passage, (&sent, [before, between]), app);
    }

    /// A packet that was dropped in the sender's hook never reaches its receiver: only seen, by the receiver's hook, too.
    fn raise_dropped(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let seen = EventSet::of(Event::PacketIn);
        self.raise(id, Raise::at(Hook::Receiver, !from, seen), from, passage, app);
    }

    /// The receiver gets the segment. With what the sender's part of it was, and the states before and after that.
    pub(super) fn receive(
        &mut self,
        id: Id,
        from: Side,
        passage: &mut Passage<'_, M>,
        (sent, [before, between]): (&Sent, [Sides<State>; 2]),
        app: &mut A,
    ) {
        let (to, segment) = (!from, passage.segment);
        let lends = self.can_lend(id, to, sent, segment);
        let arrival = if lends { Arrival::default() } else { self.before_store(id, from, passage, app) };
        let report = if lends { self.lend(id, to, segment) } else { self.store(id, to, segment) };
        self.account(id, to, &arrival, &report);
        if report.fin {
            self.hurry(id, to, Offset(u64::MAX));
        }
        if sent.left_out {
            self.raise_left_out(id, to, sent, passage, app);
        }
        // Repeated octets were told before they were stored; a repeated SYN or FIN is told now.
        let again = arrival.retransmission && segment.payload_len == 0;
        let news = self.tells_at_once(id, to, report.data.advanced);
        let events = EventSet::of(Event::PacketIn)
            .with_if(report.started, Event::ConnStart)
            .with_if(news, Event::NewData)
            .with_if(report.state.unwrap_or(between[to]) != before[to], Event::StateChange)
            .with_if(again, Event::Retransmission);
        self.raise(id, Raise::at(Hook::Receiver, to, events), from, passage, app);
        if news || self.lending.is_some() {
            self.take_back(id, to, passage, app);
        }
        if report.odd.has(Anomaly::FinOverrun) {
            self.raise_fin_void(id, from, between[from], passage, app);
        }
        self.after_store(id, to, &report, passage.view, app);
    }

    /// The receiver dropped what was taken for the sender's FIN, so that its sender has not ended.
    fn raise_fin_void(
        &mut self,
        id: Id,
        from: Side,
        before: State,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) {
        if self.flows.live(id).is_some_and(|live| live.conn.state(from) != before) {
            let back = Raise::one(Hook::Receiver, Some(from), Event::StateChange);
            self.raise(id, back, from, passage, app);
        }
    }

    /// A connection whose SYN was not seen starts with the first segment that was.
    fn raise_start(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        for (hook, side) in [(Hook::Sender, Side::Client), (Hook::Receiver, Side::Server)] {
            let start = Raise::one(hook, Some(side), Event::ConnStart);
            self.raise(id, start, from, passage, app);
        }
    }

    /// What the sender's word means for the octets of both streams.
    fn follow_streams(&mut self, id: Id, sent: &Sent) {
        for side in Side::BOTH.into_iter().filter(|side| sent.restarted[*side]) {
            self.forget_stream(id, side);
        }
        match sent.syn_data {
            Some(true) => self.take_syn_data(id),
            Some(false) => self.forget_stream(id, Side::Server),
            None => {}
        }
    }

    /// What must be told before the octets are stored: that they came before, and what they will push out.
    pub(super) fn before_store(
        &mut self,
        id: Id,
        from: Side,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) -> Arrival {
        let (to, segment) = (!from, passage.segment);
        if segment.payload_len > 0 {
            self.open_buffer(id, to, segment, app);
        }
        let arrival = self.arriving(id, to, segment);
        if segment.payload_len > 0 {
            self.raise_retransmission(id, from, (&arrival, false), passage, app);
            self.make_room_for_ranges(id, to, segment, passage.view, app);
        }
        arrival
    }

    fn raise_retransmission(
        &mut self,
        id: Id,
        from: Side,
        (arrival, refused): (&Arrival, bool),
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) {
        if arrival.retransmission {
            let again = Raise::one(Hook::Receiver, Some(!from), Event::Retransmission);
            self.raise(id, Raise { conflict: arrival.conflict, refused, ..again }, from, passage, app);
        }
    }

    pub(super) fn account(&mut self, id: Id, to: Side, arrival: &Arrival, report: &Report) {
        let data = &report.data;
        if data.fresh > 0 {
            let undecided = to == Side::Server
                && self.flows.live(id).is_some_and(|live| live.conn.has_undecided_syn_data());
            self.stats.stream_octets += if undecided { 0 } else { data.fresh };
        }
        self.stats.retransmitted_octets += data.duplicate + data.stale;
        self.stats.refused_octets += data.refused;
        self.stats.late_octets += report.late;
        self.stats.odd.add_all(report.odd);
        self.count_arrival(arrival);
        // What is read in the packet is announced after the burst only if somebody listens then.
        let told_later = |flow: &Flow| {
            let listens = flow.interest[Hook::None as usize].has(Event::NewData);
            flow.is_buffered(to) && (listens || self.lending.is_none())
        };
        if data.advanced > 0 && self.flows.get(id).is_some_and(told_later) {
            self.note_new_data(id, to);
        }
    }

    fn count_arrival(&mut self, arrival: &Arrival) {
        self.stats.keep_alives += u64::from(arrival.keep_alive);
        self.stats.conflicts += u64::from(arrival.conflict.is_some());
    }

    pub(super) fn after_store(
        &mut self,
        id: Id,
        to: Side,
        report: &Report,
        view: PacketRef<'_>,
        app: &mut A,
    ) {
        if let Some(refusal) = report.data.refusal {
            let octets = report.data.refused;
            let trouble = match refusal {
                Refusal::BeyondWindow => Trouble::Window { octets },
                _ => Trouble::NoMemory { octets },
            };
            self.raise_trouble(id, to, trouble, Some(view), app);
        }
        if report.data.advanced > 0 {
            self.trim(id, to, Some(view), app);
        }
        let Some(live) = self.flows.live_mut(id) else { return };
        let gaps = Sides::from_fn(|side| live.conn.may_have_gap(side));
        let opened = !live.buffers[to].is_none() && report.data.fresh == 0;
        for side in Side::BOTH.into_iter().filter(|side| !gaps[*side]) {
            live.timers.forget_hole(side);
        }
        if opened {
            self.close_if_empty(id, to);
        }
        for side in Side::BOTH.into_iter().filter(|side| gaps[*side]) {
            self.give_up_gaps(id, side, Some(view), app);
        }
    }

    pub(super) fn after_segment(&mut self, id: Id, from: Side, was_embryonic: bool, app: &mut A) {
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        live.pinned = false;
        let (is_over, was_reset) = (live.conn.is_over(), live.reset);
        let embryonic = live.conn.is_embryonic();
        let progress = flow.progresses(was_embryonic, embryonic);
        if flow.is(Mark::Stopped) && self.forget_if_unwatched(id) {
            return;
        }
        if was_reset {
            return self.end(id, EndReason::Reset, !from, app);
        }
        self.settle_later(id);
        if progress {
            self.note_progress(id, was_embryonic, embryonic);
        }
        if is_over {
            self.end_or_wait(id, from, app);
        }
    }

    /// Both sides are CLOSED, or in TIME-WAIT.
    pub(super) fn end_or_wait(&mut self, id: Id, from: Side, app: &mut A) {
        let live = self.flows.live(id);
        let reset = live.is_some_and(|live| live.conn.was_reset());
        let timeouts = live.map_or(self.config.timeouts, |live| self.timeouts_of(live));
        if reset || timeouts.time_wait.is_zero() {
            let reason = if reset { EndReason::Reset } else { EndReason::Closed };
            self.end(id, reason, !from, app);
        } else {
            self.start_flow_timer(id);
        }
    }
}

/// Octets of a segment's payload that were forwarded before.
fn sent_before(live: &Live, from: Side, segment: &Segment<'_>, shifts: Option<&Sides<ShiftMap>>) -> usize {
    let start = segment.data_seq();
    let known = match shifts {
        Some(shifts) => shifted::mark(&shifts[!from]) - live.conn.stream(!from).position(start),
        None => live.conn.space(from).snd_nxt().map_or(0, |nxt| nxt.distance(start).into()),
    };
    usize::try_from(known).unwrap_or(0)
}
