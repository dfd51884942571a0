//! What leaves: changed packets, and packets that handlers make.

use super::Engine;
use super::follow::segment_of;
use crate::context::Stage;
use crate::edit::{EditBuffer, LEAST_MOST, PacketError};
use crate::flow::Mark;
use crate::inject::{Encapsulation, InjectError, Outgoing, Split, emit, resets};
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::neighbours::Known;
use crate::outbox::Way;
use crate::packet::{Frame, PacketRef, Verdict};
use crate::reason::DropReason;
use crate::slab::Id;
use crate::socket::{SocketError, SocketId};
use crate::wire::{LinkType, Packet};
use core::net::SocketAddr;
use tcp_reasm::{Side, Sides};

impl<A, M: Memory> Engine<A, M> {
    /// The sockets that watch the connection between two addresses, in the order of their monitors; none when there is no such
    /// connection, or it comes in a VLAN or a tunnel.
    pub fn sockets_between(&self, a: SocketAddr, b: SocketAddr) -> impl Iterator<Item = SocketId> + '_ {
        let flow = FlowKey::between(a, b).and_then(|key| self.lookup(&key, self.hasher.hash(&key)));
        flow.into_iter().flat_map(|id| self.watchers(id)).filter_map(|index| self.sockets.id_at(index))
    }

    /// What becomes of a frame that was changed.
    pub(super) fn put_out(
        &mut self,
        frame: &Frame<'_>,
        packet: &Packet,
        verdict: Verdict,
        edited: EditBuffer<M>,
    ) -> Verdict {
        let carried = segment_of(frame.data, packet).map_or(0, |segment| segment.payload.len());
        let verdict = match verdict {
            Verdict::Drop => Verdict::Drop,
            _ => self.put_frames(frame, carried.max(LEAST_MOST), &edited).map_or_else(
                |_| {
                    self.stats.drops[DropReason::OutputFull] += 1;
                    Verdict::Drop
                },
                Verdict::Replace,
            ),
        };
        self.give_back(edited);
        verdict
    }

    /// Copies a changed packet to where it leaves from; as several when it has more payload than `most`.
    fn put_frames(
        &mut self,
        frame: &Frame<'_>,
        most: usize,
        edited: &EditBuffer<M>,
    ) -> Result<Id, PacketError> {
        let octets = edited.octets();
        let payload = edited.segment().map_or(0, |segment| segment.payload.len());
        let Some(packet) = edited.packet().filter(|_| payload > most) else {
            return self.outbox.replace(frame.link, |room| {
                room.get_mut(..octets.len())?.copy_from_slice(octets);
                Some(octets.len())
            });
        };
        let (headers, payload) = octets.split_at_checked(packet.end - payload).unwrap_or((octets, &[]));
        let mut split =
            Split::new(headers, payload, packet, frame.link, most).map_err(|_| PacketError::Tunnelled)?;
        let (mut first, mut last) = (Id::NONE, Id::NONE);
        loop {
            let mut done = false;
            let written = self.outbox.replace(frame.link, |room| {
                let len = split.emit(room).ok()?;
                done = len.is_none();
                len
            });
            match written {
                Ok(id) if first.is_none() => (first, last) = (id, id),
                Ok(id) => {
                    self.outbox.chain(last, id);
                    last = id;
                }
                Err(_) if done => return Ok(first),
                Err(e) => return Err(e),
            }
        }
    }

    /// Puts a packet into the queue, with the headers before IP that the packet in flight has. It goes back when it is for that
    /// one's source. Without a packet in flight the headers are those of the connection, if it belongs to one.
    pub(crate) fn send(
        &mut self,
        outgoing: &Outgoing<'_>,
        in_flight: Option<PacketRef<'_>>,
    ) -> Result<(), InjectError> {
        if let Some(packet) = in_flight {
            return self.send_way(outgoing, &Guide::Packet(packet, source(packet) == outgoing.destination));
        }
        let key = FlowKey::between(outgoing.source, outgoing.destination);
        match key.and_then(|key| self.lookup(&key, self.hasher.hash(&key))) {
            Some(id) => self.send_along(outgoing, id),
            None => self.send_way(outgoing, &Guide::None),
        }
    }

    /// Puts a packet into the queue, with the headers before IP that a socket's connection began with.
    pub(crate) fn send_on(&mut self, socket: SocketId, outgoing: &Outgoing<'_>) -> Result<(), ResetError> {
        let index = self.sockets.get(socket)?.flow().ok_or(SocketError::WrongKind)?;
        let id = self.flows.id_at(index).ok_or(SocketError::NoSocket)?;
        Ok(self.send_along(outgoing, id)?)
    }

    fn send_along(&mut self, outgoing: &Outgoing<'_>, id: Id) -> Result<(), InjectError> {
        let client = [false, true].map(|outside| self.addresses(id, outside).client);
        let to = if client.contains(&outgoing.destination) { Side::Client } else { Side::Server };
        self.send_way(outgoing, &Guide::Connection(id, to))
    }

    /// Puts a frame into the queue as it is.
    pub(crate) fn send_frame(&mut self, way: Way, link: LinkType, frame: &[u8]) -> Result<(), InjectError> {
        if frame.len() > self.config.output_octets {
            return Err(InjectError::TooLong);
        }
        let sent = self.outbox.send(way, |room| {
            room.get_mut(..frame.len())?.copy_from_slice(frame);
            Some((frame.len(), link))
        });
        sent.map_err(|_| InjectError::NoRoom)
    }

    fn send_way(&mut self, outgoing: &Outgoing<'_>, guide: &Guide<'_>) -> Result<(), InjectError> {
        let (around, port, back) = match *guide {
            Guide::Packet(PacketRef { frame, packet, .. }, back) => {
                (Encapsulation::of(frame.data, packet, frame.link, back)?, frame.port, back)
            }
            Guide::Connection(id, to) => {
                let flow = self.flows.get(id).ok_or(InjectError::Link)?;
                let known = self.neighbours.find(flow.neighbour, flow.number(), to);
                let Known { around, port, back } = known.ok_or(InjectError::Link)?;
                (around, port, back)
            }
            Guide::None => (Encapsulation::NONE, 0, false),
        };
        let way = if back { Way::Back(port) } else { Way::Along(port) };
        let mut failed = InjectError::NoRoom;
        let sent = self.outbox.send(way, |room| match emit(outgoing, &around, room) {
            Ok(done) => Some(done),
            Err(e) => {
                failed = e;
                None
            }
        });
        sent.map_err(|_| failed)
    }

    /// Resets both ends of a connection: what is sent for that waits in the queue, and the connection ends after the packet or the
    /// burst.
    pub(crate) fn reset(
        &mut self,
        socket: SocketId,
        in_flight: Option<(PacketRef<'_>, Side)>,
    ) -> Result<(), ResetError> {
        let index = self.sockets.get(socket)?.flow().ok_or(SocketError::WrongKind)?;
        let id = self.flows.id_at(index).ok_or(SocketError::NoSocket)?;
        if self.flows.get(id).is_none_or(|flow| flow.over.is_some()) || !self.wake(id) {
            return Err(SocketError::NoSocket.into());
        }
        let Some(live) = self.flows.live(id) else { return Err(SocketError::NoSocket.into()) };
        let (conn, inside) = (live.conn, self.addresses(id, false));
        if live.reset {
            return Ok(());
        }
        let before = self.outbox.last_sent();
        for (to, mut segment) in resets(&conn, &inside) {
            if to == Side::Server {
                let outside = self.addresses(id, true);
                (segment.source, segment.destination) = (outside.client, outside.server);
            }
            let guide = in_flight
                .map_or(Guide::Connection(id, to), |(packet, from)| Guide::Packet(packet, from == to));
            if let Err(e) = self.send_way(&segment, &guide) {
                self.outbox.take_back(before); // both ends or none
                return Err(e.into());
            }
        }
        if let Some(live) = self.flows.live_mut(id) {
            live.reset = true;
        }
        self.enqueue(id);
        Ok(())
    }

    /// The addresses of a connection's sides, as the client knows them, or as the server does.
    fn addresses(&self, id: Id, on_server_side: bool) -> Sides<SocketAddr> {
        let Some((flow, live)) = self.flows.both(id) else {
            return Sides::from_fn(|_| SocketAddr::from(([0; 4], 0)));
        };
        let alias = self.aliases.get(live.alias).filter(|_| on_server_side);
        let (key, client_is_low) = alias
            .map_or((&flow.key, flow.is(Mark::ClientIsLow)), |alias| (alias.key(), alias.client_is_low()));
        Sides::from_fn(|side| key.endpoint((side == Side::Client) == client_is_low))
    }

    /// Who sent a packet, if its connection is that of the socket.
    pub(crate) fn sender_of(&self, socket: SocketId, stage: Stage, side: Option<Side>) -> Option<Side> {
        self.sockets.get(socket).ok()?.flow()?;
        Some(match stage {
            Stage::Sender { from, .. } => from,
            Stage::Receiver => !side?,
            Stage::Fragmented | Stage::Loose => return None,
        })
    }
}

/// What shows a packet its way, and the headers before IP.
enum Guide<'a> {
    /// The packet in flight; against its direction.
    Packet(PacketRef<'a>, bool),
    /// The first packet of a connection; to one of its sides.
    Connection(Id, Side),
    /// Nothing: it leaves as an IP packet.
    None,
}

/// Why a connection cannot be reset, or a packet sent its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetError {
    /// The socket watches no connection, or one that ended.
    Socket(SocketError),
    /// The packets cannot be made.
    Inject(InjectError),
}

impl From<SocketError> for ResetError {
    fn from(e: SocketError) -> Self {
        ResetError::Socket(e)
    }
}

impl From<InjectError> for ResetError {
    fn from(e: InjectError) -> Self {
        ResetError::Inject(e)
    }
}

impl core::fmt::Display for ResetError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ResetError::Socket(e) => e.fmt(f),
            ResetError::Inject(e) => e.fmt(f),
        }
    }
}

impl core::error::Error for ResetError {}

fn source(packet: PacketRef<'_>) -> SocketAddr {
    let (key, ascending) = FlowKey::of_packet(packet.frame.data, packet.packet);
    key.endpoint(ascending)
}
