//! Packets that handlers change on their way, and connections with other addresses on the server's side.

use super::{Engine, Passage, Prepared, segment_of};
use crate::context::Stage;
use crate::edit::{EditBuffer, PacketError, Scope};
use crate::flow::Flow;
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::packet::PacketRef;
use crate::slab::Id;
use tcp_reasm::{Sent, Side};

impl<A, M: Memory> Engine<A, M> {
    /// What may be done to the packet.
    pub(crate) fn scope(&self, packet: PacketRef<'_>, stage: Stage) -> Result<Scope, PacketError> {
        Ok(match stage {
            Stage::Fragmented => return Err(PacketError::Fragmented),
            _ if packet.packet.depth > 1 => return Err(PacketError::Tunnelled),
            Stage::Loose => Scope::FREE,
            Stage::Receiver => Scope { sent: 0, resize: Err(PacketError::TooLate) },
            Stage::Sender { sent, .. } => Scope { sent, resize: Err(PacketError::NotTracked) },
        })
    }

    /// Who sent a packet of a connection. A handler may have given the server's side other addresses.
    pub(super) fn sender(&self, flow: &Flow, prepared: &Prepared) -> Side {
        let alias = self.flows.live_of(flow).and_then(|live| self.aliases.get(live.alias));
        match alias {
            Some(alias) if *alias.key() == prepared.key => {
                if prepared.ascending == alias.client_is_low() {
                    Side::Client
                } else {
                    Side::Server
                }
            }
            _ => flow.sender(prepared.ascending),
        }
    }

    /// The addresses that the first packet of a connection has after the sender's hook are those of the server's side.
    pub(super) fn note_alias(&mut self, id: Id, passage: &Passage<'_, M>) {
        let Some(edited) = &passage.edited else { return };
        let Some(packet) = edited.packet() else { return };
        let (key, ascending) = FlowKey::of_packet(edited.octets(), packet);
        if key == passage.prepared.key {
            return;
        }
        let hash = self.hasher.hash(&key);
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let client_is_low = ascending == (flow.sender(passage.prepared.ascending) == Side::Client);
        live.alias = self.aliases.insert(key, hash, id, client_is_low).unwrap_or(Id::NONE);
    }

    /// The receiver gets the segment as the handlers of the sender's hook left it.
    pub(super) fn receive_edited(
        &mut self,
        id: Id,
        from: Side,
        (passage, mut edited): (&mut Passage<'_, M>, EditBuffer<M>),
        sent: &Sent,
        app: &mut A,
    ) {
        edited.finish(passage.view);
        let frame = edited.frame(passage.view.frame);
        let packet = edited.packet().copied().unwrap_or(passage.prepared.packet);
        let segment = segment_of(frame.data, &packet);
        let mut later = None;
        if let Some(segment) = &segment {
            let view = PacketRef { frame: &frame, packet: &packet, segment: Some(segment) };
            let Passage { prepared, verdict, stage, whole, .. } = *passage;
            let mut inner = Passage { view, segment, prepared, verdict, edited: None, stage, whole };
            self.receive(id, from, &mut inner, sent, app);
            passage.verdict = inner.verdict;
            later = inner.edited;
            if let Some(later) = &mut later {
                later.finish(view);
            }
        }
        self.keep_last(edited, &mut later);
        passage.edited = later;
    }
}
