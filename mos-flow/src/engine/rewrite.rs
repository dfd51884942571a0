//! Packets that handlers change on their way, and connections with other addresses on the server's side.

use super::follow::segment_of;
use super::{Engine, Lookup, Passage};
use crate::context::Stage;
use crate::edit::{EditBuffer, PacketError, Scope, is_plain};
use crate::flow::Flow;
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::packet::PacketRef;
use crate::shift::MAX_PER_SEGMENT;
use crate::slab::Id;
use tcp_reasm::{Sent, Side, Sides, State};

impl<A, M: Memory> Engine<A, M> {
    /// What may be done to the packet.
    pub(crate) fn scope(&self, packet: PacketRef<'_>, stage: Stage) -> Result<Scope, PacketError> {
        Ok(match stage {
            Stage::Fragmented => return Err(PacketError::Fragmented),
            _ if packet.packet.depth > 1 => return Err(PacketError::Tunnelled),
            Stage::Loose => Scope::FREE,
            Stage::Receiver => Scope::fixed(PacketError::TooLate),
            Stage::Sender { flow, from, sent } => self.scope_of_sender(packet, flow, from, sent),
        })
    }

    fn scope_of_sender(&self, packet: PacketRef<'_>, id: Id, from: Side, sent: usize) -> Scope {
        let (Some((flow, live)), Some(segment)) = (self.flows.both(id), packet.segment) else {
            return Scope::FREE;
        };
        let kept = flow.is_buffered(!from);
        let shifts = self.shifts.get(live.shifts);
        let places = shifts.map_or(MAX_PER_SEGMENT, |shifts| shifts[!from].room());
        let resize = if segment.is_syn() || segment.is_rst() {
            Err(PacketError::NotTracked)
        } else if !kept {
            Err(PacketError::NotKept)
        } else if !is_plain(packet.frame, packet.packet) {
            Err(PacketError::Tunnelled)
        } else if shifts.is_none() && self.shifts.len() == self.shifts.capacity() {
            Err(PacketError::TooMany)
        } else {
            Ok(())
        };
        // What is not kept cannot be repeated as it was, so it may be changed each time.
        Scope { sent: if kept { sent } else { 0 }, places, resize }
    }

    /// Who sent a packet of a connection. A handler may have given the server's side other addresses.
    pub(super) fn sender(&self, flow: &Flow, lookup: &Lookup) -> Side {
        let alias = self.flows.live_of(flow).and_then(|live| self.aliases.get(live.alias));
        match alias {
            Some(alias) if *alias.key() == lookup.key => {
                if lookup.ascending == alias.client_is_low() {
                    Side::Client
                } else {
                    Side::Server
                }
            }
            _ => flow.sender(lookup.ascending),
        }
    }

    /// The addresses that the first packet of a connection has after the sender's hook are those of the server's side.
    pub(super) fn note_alias(&mut self, id: Id, passage: &Passage<'_, M>) {
        let Some(edited) = &passage.edited else { return };
        let Some(packet) = edited.packet() else { return };
        let (key, ascending) = FlowKey::of_packet(edited.octets(), packet);
        if key == passage.lookup.key {
            return;
        }
        let hash = self.hasher.hash(&key);
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let client_is_low = ascending == (flow.sender(passage.lookup.ascending) == Side::Client);
        live.alias = self.aliases.insert(key, hash, id, client_is_low).unwrap_or(Id::NONE);
    }

    /// The receiver gets the segment as the handlers of the sender's hook left it.
    pub(super) fn receive_edited(
        &mut self,
        id: Id,
        from: Side,
        (passage, mut edited): (&mut Passage<'_, M>, EditBuffer<M>),
        sent: (&Sent, [Sides<State>; 2]),
        app: &mut A,
    ) {
        edited.finish(passage.view);
        self.go_on_with(edited, passage, |engine, inner| engine.receive(id, from, inner, sent, app));
    }

    /// Goes on with a changed copy in the place of the packet.
    pub(super) fn go_on_with(
        &mut self,
        changed: EditBuffer<M>,
        passage: &mut Passage<'_, M>,
        then: impl FnOnce(&mut Self, &mut Passage<'_, M>),
    ) {
        let frame = changed.frame(passage.view.frame);
        let packet = changed.packet().copied().unwrap_or(*passage.view.packet);
        let segment = segment_of(frame.data, &packet);
        let mut later = None;
        if let Some(segment) = &segment {
            let view = PacketRef { frame: &frame, packet: &packet, segment: Some(segment) };
            let Passage { lookup, verdict, stage, whole, carries, .. } = *passage;
            let mut inner = Passage { view, segment, lookup, verdict, edited: None, stage, whole, carries };
            then(self, &mut inner);
            passage.verdict = inner.verdict;
            later = inner.edited;
            if let Some(later) = &mut later {
                later.finish(view);
            }
        }
        self.keep_last(changed, &mut later);
        passage.edited = later;
    }

    /// Of two changed copies the later one counts.
    pub(super) fn keep_last(&mut self, earlier: EditBuffer<M>, edited: &mut Option<EditBuffer<M>>) {
        match edited {
            Some(_) => self.give_back(earlier),
            None => *edited = Some(earlier),
        }
    }

    pub(super) fn give_back(&mut self, buffer: EditBuffer<M>) {
        let _ = self.scratch.push(buffer); // there is a place for each
    }
}
