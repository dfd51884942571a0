//! One frame's way: to the raw sockets, to its connection, and what became of it.

use super::{Engine, Look, Lookup, Passage, Prepared, Seen};
use crate::context::Stage;
use crate::edit::EditBuffer;
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::packet::{Frame, PacketRef, Verdict};
use crate::reason::DropReason;
use crate::slab::Id;
use crate::wire::{self, Packet, TCP};
use tcp_reasm::Segment;

impl<A, M: Memory> Engine<A, M> {
    #[inline]
    pub(super) fn process(
        &mut self,
        frame: &Frame<'_>,
        look: &Look,
        packets: &[Packet],
        app: &mut A,
    ) -> Verdict {
        self.stats.frames += 1;
        self.stats.octets += u64::from(frame.wire_len);
        match &look.seen {
            Seen::Plain(segment) => self.process_plain(frame, &look.lookup, segment, app),
            Seen::Other(index) => match packets.get(*index) {
                Some(packet) => self.process_whole(frame, Prepared { packet, lookup: &look.lookup }, app),
                None => Verdict::Forward, // each of them was put there
            },
            Seen::Refused(reason) => {
                self.count_drop(*reason);
                Verdict::Forward
            }
            Seen::Nothing => Verdict::Forward, // it does not come here
        }
    }

    pub(super) fn process_whole(
        &mut self,
        frame: &Frame<'_>,
        prepared: Prepared<'_>,
        app: &mut A,
    ) -> Verdict {
        let mut edited = None;
        let verdict = if self.sockets.has_raw() {
            self.show_raw(frame, prepared, &mut edited, app)
        } else {
            self.classify(frame, prepared, Verdict::Forward, &mut edited, app)
        };
        self.put_out_if(frame, prepared.packet, verdict, &mut edited)
    }

    /// What became of a packet: as it came, or a changed copy.
    #[inline]
    pub(super) fn put_out_if(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet,
        verdict: Verdict,
        edited: &mut Option<EditBuffer<M>>,
    ) -> Verdict {
        // Asked for before it is taken: see `pass`.
        if edited.is_some()
            && let Some(edited) = edited.take()
        {
            return self.put_out(frame, packet, verdict, edited);
        }
        verdict
    }

    /// The frame is shown to the raw sockets, and goes on as they leave it.
    fn show_raw(
        &mut self,
        frame: &Frame<'_>,
        p: Prepared<'_>,
        edited: &mut Option<EditBuffer<M>>,
        app: &mut A,
    ) -> Verdict {
        let segment = segment_of(frame.data, p.packet);
        let view = PacketRef { frame, packet: p.packet, segment: segment.as_ref() };
        let verdict = self.raise_raw(view, edited, app);
        let Some(mut changed) = edited.take() else {
            return self.classify(frame, p, verdict, edited, app);
        };
        changed.finish(view);
        let frame = changed.frame(frame);
        let verdict = match self.prepare(&frame) {
            Ok((packet, lookup)) => {
                let prepared = Prepared { packet: &packet, lookup: &lookup };
                self.classify(&frame, prepared, verdict, edited, app)
            }
            Err(reason) => {
                self.count_drop(reason);
                verdict
            }
        };
        self.keep_last(changed, edited);
        verdict
    }

    /// A fragment, or a packet that is whole.
    fn classify(
        &mut self,
        frame: &Frame<'_>,
        p: Prepared<'_>,
        verdict: Verdict,
        edited: &mut Option<EditBuffer<M>>,
        app: &mut A,
    ) -> Verdict {
        if p.packet.fragment.is_none() {
            return self.follow(frame, p, (verdict, true), edited, app);
        }
        match self.on_fragment(frame, p.packet, app) {
            Verdict::Drop => Verdict::Drop,
            _ => verdict,
        }
    }

    /// Finds the connection of a packet that is whole, and follows it. `so_far` is its verdict, and whether it came in one
    /// piece.
    pub(super) fn follow(
        &mut self,
        frame: &Frame<'_>,
        p: Prepared<'_>,
        so_far: (Verdict, bool),
        edited: &mut Option<EditBuffer<M>>,
        app: &mut A,
    ) -> Verdict {
        let (verdict, _) = so_far;
        let segment = segment_of(frame.data, p.packet);
        let view = PacketRef { frame, packet: p.packet, segment: segment.as_ref() };
        let Some(segment) = &segment else {
            let reason = if p.packet.protocol == TCP { DropReason::TcpHeader } else { DropReason::NotTcp };
            self.count_drop(reason);
            return verdict;
        };
        if self.config.verify_checksums
            && let Err(reason) = wire::verify(frame.data, p.packet)
        {
            self.count_drop(reason);
            return verdict;
        }
        self.pass(view, (segment, p.lookup), so_far, edited, |engine, passage| {
            engine.process_segment(passage, app);
        })
    }

    /// A segment on its way through the engine.
    #[inline]
    pub(super) fn pass(
        &mut self,
        view: PacketRef<'_>,
        (segment, lookup): (&Segment<'_>, &Lookup),
        (verdict, whole): (Verdict, bool),
        edited: &mut Option<EditBuffer<M>>,
        process: impl FnOnce(&mut Self, &mut Passage<'_, M>),
    ) -> Verdict {
        let (stage, carries) = (Stage::Loose, segment.payload_len > 0);
        let mut passage = Passage { view, segment, lookup, verdict, edited: None, stage, whole, carries };
        process(self, &mut passage);
        let verdict = passage.verdict;
        // Asked for before it is moved: a copy is large, and nearly always there is none.
        if passage.edited.is_some()
            && let Some(mut changed) = passage.edited
        {
            changed.finish(view);
            *edited = Some(changed);
        }
        if core::mem::take(&mut self.dropped) { Verdict::Drop } else { verdict }
    }

    fn process_segment(&mut self, passage: &mut Passage<'_, M>, app: &mut A) {
        match self.find(passage.lookup) {
            Some(id) if self.step(id, passage, app) => {}
            Some(id) => self.on_segment(id, passage, app),
            None => self.admit(passage, app),
        }
    }

    /// The connection of a packet.
    #[inline]
    fn find(&self, lookup: &Lookup) -> Option<Id> {
        self.flows.with_key(lookup.candidate, &lookup.key).or_else(|| self.lookup(&lookup.key, lookup.hash))
    }

    /// The connection that has `key`, on either side.
    pub(super) fn lookup(&self, key: &FlowKey, hash: u64) -> Option<Id> {
        let same = |index| self.flows.with_key(index, key).is_some();
        let own = self.table.find(hash, same).and_then(|index| self.flows.id_at(index));
        own.or_else(|| Some(self.aliases.find(key, hash)?.0))
    }
}

/// The TCP segment in a whole packet.
#[inline]
pub(super) fn segment_of<'a>(frame: &'a [u8], packet: &Packet) -> Option<Segment<'a>> {
    let is_tcp = packet.protocol == TCP && packet.fragment.is_none();
    is_tcp.then(|| Segment::parse(packet.segment_bytes(frame), packet.segment_len).ok())?
}
