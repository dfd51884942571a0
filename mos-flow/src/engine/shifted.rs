//! Connections of which handlers changed octets: what is sent again, and the numbers on both sides.
//!
//! All that is known of a connection counts as the receiver of each stream does. A segment is translated to that when it comes
//! in, before anybody looks at it; what it acknowledges is about the other stream, and is translated to how its own receiver
//! counts when it leaves. Octets that were forwarded once are not taken from the segment again but from the stream, where they
//! are as the receiver got them: so whatever part is sent again, and however it is cut, the receiver never sees two versions.

use super::{Engine, Passage};
use crate::edit::{EditBuffer, Scope, is_plain};
use crate::flow::Live;
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::reason::DropReason;
use crate::shift::{Anchor, Change, Piece, ShiftMap, translate_sack};
use crate::slab::{Id, Slab};
use ringbuf_core::{FragList, Offset, Range, SeqNum};
use tcp_reasm::{Conn, Flags, Segment, Side, Sides, Stream};

/// Where a segment is on both sides.
struct Place {
    /// Where its payload begins, as the sender counts.
    start: i64,
    /// Its payload, as far as it was forwarded before. What is so old that nobody knows any more what became of it is cut: that
    /// was acknowledged.
    known: core::ops::Range<i64>,
    /// What the receiver got for that.
    again: core::ops::Range<i64>,
    /// The urgent pointer, as the receiver counts.
    urgent: i64,
}

impl<A, M: Memory> Engine<A, M> {
    /// As [`Engine::judge`], for a connection with changes.
    pub(super) fn judge_shifted(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        match self.translate(id, from, passage) {
            Ok(None) => self.judge(id, from, passage, app),
            Ok(Some(mut changed)) => {
                changed.finish(passage.view);
                self.go_on_with(changed, passage, |engine, inner| engine.judge(id, from, inner, app));
            }
            Err(()) => {
                self.stats.drops[DropReason::EditLost] += 1;
                passage.verdict = Verdict::Drop;
            }
        }
    }

    /// A copy of the segment as the receiver counts. `None` when it would be the same.
    fn translate(
        &mut self,
        id: Id,
        from: Side,
        passage: &Passage<'_, M>,
    ) -> Result<Option<EditBuffer<M>>, ()> {
        let segment = passage.segment;
        let Some((flow, live)) = self.flows.both(id) else { return Ok(None) };
        let Some(shifts) = self.shifts.get(live.shifts) else { return Ok(None) };
        let (map, stream) = (&shifts[!from], live.conn.stream(!from));
        if !map.is_changed() || segment.is_syn() || stream.base().is_none() {
            return Ok(None);
        }
        let place = Place::of(map, stream, segment, flow.is_buffered(!from));
        if place.again == (place.start..place.start) && place.known.is_empty() {
            return Ok(None);
        }
        let known = clamp(place.known.end - place.start);
        let again = clamp(place.again.end - place.again.start);
        // The same packets may come by another way, whose headers tell lengths, too.
        let fits = known == again || is_plain(passage.view.frame, passage.view.packet);
        if !(passage.whole && fits) {
            return Err(());
        }
        let mut copy = self.scratch.pop().ok_or(())?;
        let loaded = copy.load(passage.view, Scope::FREE);
        let room = loaded.and_then(|()| copy.room(0, known, again));
        if !room.is_ok_and(|room| self.recall(live, (from, map), segment, (&place, room))) {
            self.give_back(copy);
            return Err(());
        }
        if let Some(tcp) = copy.tcp_mut() {
            let shift = place.again.start - place.start;
            tcp.seq.set(tcp.seq.get().wrapping_add(low(shift)));
            if segment.flags.has(Flags::URG) {
                tcp.urgent.set(u16::try_from(place.urgent).unwrap_or(u16::MAX));
            }
        }
        Ok(Some(copy))
    }

    /// Puts what the receiver got for octets that were forwarded before into `room`. Returns whether it is known: what was
    /// acknowledged may be anything, and what never came is in the segment.
    fn recall(
        &self,
        live: &Live,
        (from, map): (Side, &ShiftMap),
        segment: &Segment<'_>,
        (place, room): (&Place, &mut [u8]),
    ) -> bool {
        let (stream, mut at) = (live.conn.stream(!from), place.again.start);
        let (mut next, base) = (stream.acked().0.cast_signed().max(at), place.again.start);
        room.fill(0);
        for piece in map.pieces(place.known.clone()) {
            let Piece::Kept(kept) = piece else {
                if let Piece::Inserted(range) = piece {
                    at = range.end;
                }
                continue;
            };
            let raw = clamp(kept.start - place.start)..clamp(kept.end - place.start);
            let here = clamp(at - base)..clamp(at - base) + raw.len();
            at += kept.end - kept.start;
            if let (Some(here), Some(raw)) = (room.get_mut(here), segment.payload.get(raw)) {
                here.copy_from_slice(raw);
            }
        }
        let none = FragList::new();
        let frags = self.buffers.frags(live.buffers[!from]).unwrap_or(&none);
        for held in stream.window().ranges(frags) {
            let wanted = Range::new(base.max(0).unsigned_abs(), place.again.end.max(0).unsigned_abs());
            let part = held.intersection(wanted);
            if part.is_empty() {
                continue;
            }
            let start = part.start.0.cast_signed();
            if start > next && self.is_lost(stream, map, next..start) {
                return false;
            }
            next = next.max(part.end.0.cast_signed());
            if let Some(here) = room.get_mut(clamp(start - base)..) {
                self.buffers.copy(live.buffers[!from], part, here);
            }
        }
        next >= place.again.end || !self.is_lost(stream, map, next..place.again.end)
    }

    /// Whether octets that are not held were changed: they are no hole, or in a hole stands what a handler inserted.
    fn is_lost(&self, stream: &Stream, map: &ShiftMap, missing: core::ops::Range<i64>) -> bool {
        let sent = map.ack_to_sender(missing.start)..map.ack_to_sender(missing.end);
        let changed =
            |piece| matches!(piece, Piece::Inserted(at) if at.start < missing.end && missing.start < at.end);
        missing.start < stream.next().0.cast_signed() || map.pieces(sent.start..sent.end + 1).any(changed)
    }

    /// Whether a handler changed something of what a side of the connection receives.
    pub(super) fn is_changed(&self, live: &Live) -> bool {
        Side::BOTH.into_iter().any(|side| self.is_side_changed(live, side))
    }

    /// Whether a handler changed something of what `side` receives.
    pub(super) fn is_side_changed(&self, live: &Live, side: Side) -> bool {
        self.shifts.get(live.shifts).is_some_and(|maps| maps[side].is_changed())
    }

    /// Octets that `side` received from there on may have to be sent again as they are, whoever has read them: a handler changed
    /// some, and they were not acknowledged.
    pub(super) fn needed(&self, live: &Live, side: Side) -> Offset {
        if self.is_side_changed(live, side) { live.conn.stream(side).acked() } else { Offset(u64::MAX) }
    }

    /// The segment goes to its receiver, as the handlers of the sender's hook left it.
    pub(super) fn note_forwarded(&mut self, id: Id, from: Side, passage: &Passage<'_, M>) {
        let edited = passage.edited.as_ref().filter(|edited| edited.is_payload_changed());
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        // What is not kept cannot be repeated as it was.
        let edited = edited.filter(|_| flow.is_buffered(!from));
        if live.shifts.is_none() {
            if edited.is_none() {
                return;
            }
            live.shifts = new_shifts(&mut self.shifts, &live.conn, (from, passage.segment.data_seq()));
        }
        let Some(shifts) = self.shifts.get_mut(live.shifts) else { return };
        let (map, stream, segment) = (&mut shifts[!from], live.conn.stream(!from), passage.segment);
        // The place of a bare ACK proves nothing: what is before it may have been dropped.
        if segment.is_syn() || segment.seq_len() == 0 || stream.base().is_none() {
            return;
        }
        let start = stream.position(segment.data_seq()) - growth(map);
        let mut grown = 0;
        if edited.is_some() {
            map.on_overwritten();
        }
        for splice in edited.into_iter().flat_map(EditBuffer::splices) {
            let last = splice.removed == 0 && splice.at == segment.payload.len() && !segment.is_fin();
            let change = Change {
                at: start + splice.at as i64,
                removed: u16::try_from(splice.removed).unwrap_or(u16::MAX),
                inserted: u16::try_from(splice.inserted).unwrap_or(u16::MAX),
                anchor: if last { Anchor::Preceding } else { Anchor::Following },
            };
            // All that it could be refused for was looked at when the packet was changed.
            if map.change(change).is_ok() {
                grown += splice.inserted as i64 - splice.removed as i64;
            }
        }
        let fin = i64::from(segment.is_fin());
        map.on_forwarded(start + i64::from(segment.payload_len) + fin);
        if grown != 0 {
            live.conn.stretch(from, low(grown).cast_signed());
        }
    }

    /// The segment never reaches its receiver: what is in it can still be changed when it comes again.
    pub(super) fn note_dropped(&mut self, id: Id, from: Side, segment: &Segment<'_>, before: Option<SeqNum>) {
        let Some(live) = self.flows.live_mut(id) else { return };
        if live.shifts.is_none() && segment.payload_len > 0 && !segment.is_syn() {
            let mark = before.unwrap_or(segment.data_seq());
            live.shifts = new_shifts(&mut self.shifts, &live.conn, (from, mark));
        }
    }

    /// Translates what a packet that leaves acknowledges to how its receiver counts.
    pub(super) fn shift_back(&mut self, id: Id, from: Side, passage: &mut Passage<'_, M>) {
        if passage.verdict == Verdict::Drop {
            return;
        }
        let Some(live) = self.flows.live(id) else { return };
        let (maps, stream) = (live.shifts, *live.conn.stream(from));
        let identity = self.shifts.get(maps).is_none_or(|maps| maps[from].is_identity());
        let left = passage.edited.as_ref().and_then(EditBuffer::segment).unwrap_or(*passage.segment);
        let emptied = passage.carries && left.payload.is_empty() && !left.flags.any(Flags::FIN | Flags::RST);
        let moves = !identity && stream.base().is_some() && passage.segment.is_ack();
        if !(emptied || moves) {
            return;
        }
        let Some(mut copy) = self.copy_of(passage) else {
            passage.verdict = Verdict::Drop;
            self.stats.drops[DropReason::OutputFull] += 1;
            return;
        };
        if let Some(maps) = self.shifts.get_mut(maps).filter(|_| moves) {
            acknowledge_for_sender(&mut copy, &maps[from], &stream);
            maps[from].on_acknowledged(stream.acked().0.cast_signed());
        }
        if emptied {
            self.make_probe(id, !from, &mut copy);
        }
        copy.finish(passage.view);
        passage.edited = Some(copy);
    }

    /// The changed copy of a packet, made now if there is none.
    fn copy_of(&mut self, passage: &mut Passage<'_, M>) -> Option<EditBuffer<M>> {
        if let Some(copy) = passage.edited.take() {
            return Some(copy);
        }
        let mut copy = self.scratch.pop()?;
        if !passage.whole || copy.load(passage.view, Scope::FREE).is_err() {
            self.give_back(copy);
            return None;
        }
        Some(copy)
    }

    /// Nothing is left of what a segment carried. Its receiver has to acknowledge something all the same, or the sender waits for
    /// ever; it does when it is sent an octet that it had before, as hosts do to see whether a connection is alive. What was
    /// only forwarded it may not have had.
    fn make_probe(&mut self, id: Id, to: Side, copy: &mut EditBuffer<M>) {
        let Some(live) = self.flows.live(id) else { return };
        let (buffer, stream) = (live.buffers[to], live.conn.stream(to));
        let Some(base) = stream.base() else { return };
        let before = stream.acked().0.checked_sub(1);
        let mut octet = [0];
        if let Some(before) = before {
            self.buffers.copy(buffer, Range::at(Offset(before), 1), &mut octet);
        }
        if let Ok(room) = copy.room(0, 0, 1) {
            room.copy_from_slice(&octet);
        }
        if let Some(tcp) = copy.tcp_mut() {
            tcp.seq.set((stream.acked().seq(base) - 1).0);
        }
    }
}

/// A record for a connection, of whose stream from `from` everything below a sequence number was forwarded.
fn new_shifts<M: Memory>(
    slab: &mut Slab<Sides<ShiftMap>, M>,
    conn: &Conn,
    (from, mark): (Side, SeqNum),
) -> Id {
    let forwarded = |to: Side| {
        let seq = if to == from { conn.space(!to).snd_nxt() } else { Some(mark) };
        seq.map_or(0, |seq| conn.stream(to).position(seq))
    };
    let maps = Sides::from_fn(|to| ShiftMap::new(forwarded(to)));
    slab.insert(maps).unwrap_or(Id::NONE)
}

impl Place {
    /// `kept` tells whether the octets of the stream are kept: without, there is nothing to take them from.
    fn of(map: &ShiftMap, stream: &Stream, segment: &Segment<'_>, kept: bool) -> Place {
        let growth = growth(map);
        let start = stream.position(SeqNum(segment.seq.0.wrapping_add(low(growth)))) - growth;
        let end = start + i64::from(segment.payload_len);
        let known = map.floor().clamp(start, end)..map.forwarded().clamp(start, end);
        let known = if kept { known.start..known.end.max(known.start) } else { start..start };
        let mut again = map.to_receiver(known.clone());
        if kept && segment.is_fin() && (map.floor()..map.forwarded()).contains(&end) {
            again.end = map.to_receiver(end..end + 1).end - 1; // what the FIN carries, and not the FIN
        }
        let urgent = map.to_receiver(start..start + i64::from(segment.urgent)).end - again.start;
        Place { start, known, again, urgent }
    }
}

/// How much longer all changes made the stream.
fn growth(map: &ShiftMap) -> i64 {
    mark(map) - map.forwarded()
}

/// One past the highest octet that was forwarded, as the receiver counts.
pub(super) fn mark(map: &ShiftMap) -> i64 {
    map.to_receiver(map.forwarded()..map.forwarded()).start
}

/// Translates ACK and SACK numbers to how the sender of the octets counts.
fn acknowledge_for_sender<M: Memory>(copy: &mut EditBuffer<M>, map: &ShiftMap, stream: &Stream) {
    let back = |seq: SeqNum, position: i64, at: i64| SeqNum(seq.0.wrapping_add(low(at - position)));
    if let Some(tcp) = copy.tcp_mut() {
        let ack = SeqNum(tcp.ack.get());
        let position = stream.position(ack);
        tcp.ack.set(back(ack, position, map.ack_to_sender(position)).0);
    }
    if let Some(options) = copy.options_mut() {
        translate_sack(options, |left, right| {
            let (start, end) = (stream.position(left), stream.position(right));
            let block = map.sack_to_sender(start..end)?;
            Some((back(left, start, block.start), back(right, end, block.end)))
        });
    }
}

/// The low half, for arithmetic on sequence numbers.
#[allow(clippy::cast_possible_truncation)]
fn low(n: i64) -> u32 {
    n as u32
}

/// A length that is none when it would be negative.
fn clamp(n: i64) -> usize {
    usize::try_from(n).unwrap_or(0)
}
