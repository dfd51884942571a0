//! What a handler is called with.

mod conflict;

mod events;

pub use conflict::Clash;

use crate::edit::{Edit, EditBuffer, PacketError};
use crate::engine::{Engine, ResetError};
use crate::event::{Event, Hook, Raised, UserEvent};
use crate::inject::{InjectError, Outgoing};
use crate::memory::{DefaultMemory, Memory};
use crate::monitor::Monitor;
use crate::outbox::Way;
use crate::packet::{PacketRef, PacketView, Verdict};
use crate::slab::Id;
use crate::socket::{SocketError, SocketId};
use crate::time::Instant;
use crate::wire::LinkType;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use ringbuf_core::{Conflict, Offset, Range};
use tcp_reasm::Side;

/// A handler of an event or a timer: a plain function over the application's state `A`.
pub type Handler<A, M = DefaultMemory> = fn(&mut Context<'_, A, M>);

/// A filter of a user-defined event: whether it happens, now that the event above it does.
pub type EventFilter<A, M = DefaultMemory> = fn(&mut Context<'_, A, M>) -> bool;

/// A running timer of the application.
pub type TimerId = Id;

/// What an [`Event::Error`] is about. Offsets are of the stream that [`Context::side`] receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Octets were acknowledged by their receiver and never seen here; the stream goes on behind them.
    Gap(Range),
    /// No memory for octets: they are not kept.
    NoMemory {
        /// How many.
        octets: u64,
    },
    /// These octets will be pushed out of the ring when the handler returns, and this socket has not read them.
    Overrun(Range),
    /// Octets are too far ahead of what is in order to be kept.
    Window {
        /// How many.
        octets: u64,
    },
}

/// The world as a handler sees it: the application's state, the event, and the socket it happened at.
///
/// Everything borrowed from it ends with the call. This does not compile:
///
/// ```compile_fail
/// fn keep(ctx: &mut mos_flow::Context<'_, Vec<&'static [u8]>>) {
///     let (app, packet) = ctx.split_packet();
///     app.extend(packet.map(|packet| packet.frame.data));
/// }
/// ```
///
/// A copy does:
///
/// ```
/// fn keep(ctx: &mut mos_flow::Context<'_, Vec<Vec<u8>>>) {
///     let (app, packet) = ctx.split_packet();
///     app.extend(packet.map(|packet| packet.frame.data.to_vec()));
/// }
/// ```
pub struct Context<'a, A: 'static, M: Memory = DefaultMemory> {
    pub(crate) engine: &'a mut Engine<A, M>,
    pub(crate) app: &'a mut A,
    pub(crate) socket: SocketId,
    pub(crate) token: usize,
    pub(crate) event: Option<Event>,
    pub(crate) user_event: Option<UserEvent>,
    /// Events that were raised below this one.
    pub(crate) raised: Raised,
    pub(crate) hook: Hook,
    pub(crate) side: Option<Side>,
    pub(crate) packet: Option<PacketRef<'a>>,
    pub(crate) editing: Option<Editing<'a, M>>,
    pub(crate) trouble: Option<Trouble>,
    pub(crate) conflict: Option<Conflict>,
    /// The receiver does not take the segment.
    pub(crate) refused: bool,
    pub(crate) verdict: Verdict,
}

/// The packet in flight as it may be changed here.
pub(crate) struct Editing<'a, M: Memory> {
    /// Its changed copy, once there is one.
    pub(crate) copy: &'a mut Option<EditBuffer<M>>,
    pub(crate) stage: Stage,
}

/// Where on its way a packet is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    /// It came in fragments.
    Fragmented,
    /// It is looked at, and belongs to no connection, or its receiver does not take it.
    Loose,
    /// In the receiver's hook.
    Receiver,
    /// In the sender's hook, and its receiver takes it.
    Sender {
        /// The connection.
        flow: Id,
        /// Who sent it.
        from: Side,
        /// Octets of its payload that were forwarded before.
        sent: usize,
    },
}

impl<A, M: Memory> fmt::Debug for Context<'_, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("socket", &self.socket)
            .field("event", &self.event)
            .field("hook", &self.hook)
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl<'a, A, M: Memory> Context<'a, A, M> {
    /// What the packet at hand carries, while octets of it are lent.
    fn payload(&self) -> Option<&'a [u8]> {
        self.engine.lending?;
        Some(self.packet?.segment?.captured())
    }
}

impl<A, M: Memory> Context<'_, A, M> {
    /// The application's state.
    pub fn app(&mut self) -> &mut A {
        self.app
    }

    /// The application's state and the socket of the event, for handlers that need both at once.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] in a timer's handler, or when the socket was closed during this call.
    pub fn split(&mut self) -> Result<(&mut A, Monitor<'_, A, M>), SocketError> {
        let payload = self.payload();
        Ok((&mut *self.app, Monitor::new(self.engine, self.socket)?.with_payload(payload)))
    }

    /// The event; `None` in a timer's handler. Of a user-defined event the built-in one that it lies below.
    pub fn event(&self) -> Option<Event> {
        self.event
    }

    /// The hook at which the event is raised.
    pub fn hook(&self) -> Hook {
        self.hook
    }

    /// The side that the event is about; `None` where it is about both (raw sockets, orphans, timers).
    pub fn side(&self) -> Option<Side> {
        self.side
    }

    /// The socket at which the event happened.
    pub fn socket(&self) -> SocketId {
        self.socket
    }

    /// The word given when the handler was registered; in a filter, when its event was defined.
    pub fn token(&self) -> usize {
        self.token
    }

    /// The time of the packet or timer.
    pub fn now(&self) -> Instant {
        self.engine.now()
    }

    /// The packet in flight, with what was changed so far. `None` for new data that is told after the burst, for errors that no
    /// packet made, for the end of a connection, and for timers.
    pub fn packet(&self) -> Option<PacketView<'_>> {
        shown(self.packet, self.editing.as_ref())
    }

    /// The application's state and the packet in flight, to take something of the packet.
    pub fn split_packet(&mut self) -> (&mut A, Option<PacketView<'_>>) {
        (&mut *self.app, shown(self.packet, self.editing.as_ref()))
    }

    /// Where the payload of the packet in flight begins in the stream that its receiver hears. `None` without a connection,
    /// and before the stream.
    pub fn payload_offset(&mut self) -> Option<Offset> {
        let side = self.side?;
        let to = if self.hook == Hook::Sender { !side } else { side };
        let seq = self.packet()?.segment?.data_seq();
        self.monitor().ok()?.offset_of(to, seq).ok()?
    }

    /// Sends a packet of one's own, after the burst, with the headers before IP that the packet in flight has: back when it is for
    /// that one's source, else the way it goes. Without a packet in flight it has the headers that the connection between its
    /// addresses began with; when there is none, or it lies in a VLAN or a tunnel, it leaves as an IP packet, for whoever sends it
    /// to find the way. It is not followed.
    ///
    /// # Errors
    /// [`InjectError`]; [`InjectError::NoRoom`] also when too many wait to be sent.
    pub fn send(&mut self, packet: &Outgoing<'_>) -> Result<(), InjectError> {
        self.engine.send(packet, self.packet)
    }

    /// Resets the connection of this socket at both ends, by segments that they take. It ends with
    /// [`EndReason::Reset`](crate::EndReason::Reset), after the packet in flight, or after the burst when there is none. That packet
    /// goes on, unless it is dropped, and so do later ones until both ends have heard of it: those are orphans, and an inline
    /// program that wants none of them through drops them there ([`Event::Orphan`]).
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self) -> Result<(), ResetError> {
        let stage = self.editing.as_ref().map(|editing| editing.stage);
        let from = stage.and_then(|stage| self.engine.sender_of(self.socket, stage, self.side));
        self.engine.reset(self.socket, self.packet.zip(from))
    }

    /// The packet in flight, to be changed: it is copied for that with the first call.
    ///
    /// # Errors
    /// [`PacketError::NoPacket`] when none is in flight, or only an error event is told of it;
    /// [`PacketError::Fragmented`], [`PacketError::Tunnelled`]; [`PacketError::NoRoom`] when it is longer than
    /// [`Config::output_octets`](crate::Config::output_octets).
    pub fn edit(&mut self) -> Result<Edit<'_, M>, PacketError> {
        let (Some(packet), Some(editing)) = (self.packet, self.editing.as_mut()) else {
            return Err(PacketError::NoPacket);
        };
        if editing.copy.is_none() {
            let scope = self.engine.scope(packet, editing.stage)?;
            let mut buffer = self.engine.scratch.pop().ok_or(PacketError::NoRoom)?;
            if let Err(e) = buffer.load(packet, scope) {
                let _ = self.engine.scratch.push(buffer); // it was there before
                return Err(e);
            }
            *editing.copy = Some(buffer);
        }
        let buffer = editing.copy.as_mut().ok_or(PacketError::NoRoom)?;
        Ok(Edit::new(buffer, packet.frame.link))
    }

    /// What an error event is about.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Where a retransmission differs from the octets still held; both can be read now, by [`Context::clash`], too.
    pub fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// The packet in flight is not to be forwarded. In the sender's hook, or at a raw socket, that means that its receiver never
    /// gets it: it is shown to the receiver's hook, but neither state nor stream of that side move. What was dropped later has
    /// moved them. Of a datagram in fragments it is the last fragment that is dropped. Without a packet in flight it does
    /// nothing.
    pub fn drop_packet(&mut self) {
        self.verdict = Verdict::Drop;
    }

    /// The socket of the event.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] in a timer's handler, or when the socket was closed during this call.
    pub fn monitor(&mut self) -> Result<Monitor<'_, A, M>, SocketError> {
        let payload = self.payload();
        Ok(Monitor::new(self.engine, self.socket)?.with_payload(payload))
    }

    /// Any socket of the engine.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when it does not exist.
    pub fn monitor_at(&mut self, socket: SocketId) -> Result<Monitor<'_, A, M>, SocketError> {
        let payload = self.payload();
        Ok(Monitor::new(self.engine, socket)?.with_payload(payload))
    }

    /// The engine's sockets, events and timers, for what does not concern the packet in flight.
    pub fn control(&mut self) -> Control<'_, A, M> {
        let payload = self.payload();
        Control { engine: self.engine, payload }
    }

    /// The application's state and the engine's sockets, events and timers, for changes that need both at once.
    pub fn split_control(&mut self) -> (&mut A, Control<'_, A, M>) {
        let payload = self.payload();
        (&mut *self.app, Control { engine: self.engine, payload })
    }
}

/// The packet as it is now.
fn shown<'s, M: Memory>(
    packet: Option<PacketRef<'s>>,
    editing: Option<&'s Editing<'_, M>>,
) -> Option<PacketView<'s>> {
    let packet = packet?;
    let copy = editing.and_then(|editing| editing.copy.as_ref());
    copy.map_or_else(|| Some(packet.view()), |copy| copy.view(packet.frame))
}

impl<A, M: Memory> Engine<A, M> {
    /// The same as [`Context::control`], between bursts: for code that is to run in both places.
    pub fn control(&mut self) -> Control<'_, A, M> {
        Control { engine: self, payload: None }
    }
}

/// The part of an engine that may be used while it processes packets: sockets, handlers, events, timers, and packets of one's
/// own. [When it takes effect](crate::engine#in-handlers).
#[derive(Debug)]
pub struct Control<'a, A: 'static, M: Memory = DefaultMemory> {
    engine: &'a mut Engine<A, M>,
    /// What the packet at hand carries.
    payload: Option<&'a [u8]>,
}

impl<A, M: Memory> Control<'_, A, M> {
    /// See [`Engine::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(&mut self, kind: crate::SocketKind) -> Result<SocketId, SocketError> {
        self.engine.open(kind)
    }

    /// See [`Engine::bind`].
    ///
    /// # Errors
    /// As there.
    pub fn bind(
        &mut self,
        socket: SocketId,
        slot: crate::FilterSlot,
        filter: Option<crate::filter::Filter>,
    ) -> Result<(), SocketError> {
        self.engine.bind(socket, slot, filter)
    }

    /// See [`Engine::close`].
    ///
    /// # Errors
    /// As there.
    pub fn close(&mut self, socket: SocketId) -> Result<(), SocketError> {
        self.engine.close(socket)
    }

    /// See [`Engine::monitor`].
    ///
    /// # Errors
    /// As there.
    pub fn monitor(&mut self, socket: SocketId) -> Result<Monitor<'_, A, M>, SocketError> {
        let payload = self.payload;
        Ok(Monitor::new(self.engine, socket)?.with_payload(payload))
    }

    /// See [`Engine::start_timer`].
    pub fn start_timer(&mut self, delay: Duration, handler: Handler<A, M>, token: usize) -> Option<TimerId> {
        self.engine.start_timer(delay, handler, token)
    }

    /// See [`Engine::stop_timer`].
    pub fn stop_timer(&mut self, id: TimerId) -> bool {
        self.engine.stop_timer(id)
    }

    /// See [`Engine::stats`].
    pub fn stats(&self) -> &crate::stats::Stats {
        self.engine.stats()
    }

    /// See [`Engine::flow_count`].
    pub fn flow_count(&self) -> usize {
        self.engine.flow_count()
    }

    /// See [`Engine::socket_count`].
    pub fn socket_count(&self) -> usize {
        self.engine.socket_count()
    }

    /// See [`Engine::chunks`].
    pub fn chunks(&self) -> (u32, u32) {
        self.engine.chunks()
    }

    /// See [`Engine::now`].
    pub fn now(&self) -> Instant {
        self.engine.now()
    }

    /// As [`Context::reset`] without a packet in flight: what is sent for it has the headers before IP that the connection began
    /// with.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, socket: SocketId) -> Result<(), ResetError> {
        self.engine.reset(socket, None)
    }

    /// As [`Context::send`] without a packet in flight.
    ///
    /// # Errors
    /// As there.
    pub fn send(&mut self, packet: &Outgoing<'_>) -> Result<(), InjectError> {
        self.engine.send(packet, None)
    }

    /// Sends a packet of one's own with the headers before IP that the connection of a socket began with, its way: to the client
    /// when it is for that one, else to the server.
    ///
    /// # Errors
    /// [`ResetError`], as for a reset.
    pub fn send_on(&mut self, socket: SocketId, packet: &Outgoing<'_>) -> Result<(), ResetError> {
        self.engine.send_on(socket, packet)
    }

    /// Sends a frame of one's own as it is, after the burst. Nothing of it is looked at, and it is not followed.
    ///
    /// # Errors
    /// [`InjectError::TooLong`] when it is longer than [`Config::output_octets`](crate::Config::output_octets),
    /// [`InjectError::NoRoom`] when too many wait to be sent.
    pub fn send_frame(&mut self, way: Way, link: LinkType, frame: &[u8]) -> Result<(), InjectError> {
        self.engine.send_frame(way, link, frame)
    }

    /// See [`Engine::sockets_between`].
    pub fn sockets_between(&self, a: SocketAddr, b: SocketAddr) -> impl Iterator<Item = SocketId> + '_ {
        self.engine.sockets_between(a, b)
    }

    /// See [`Engine::socket_at`].
    pub fn socket_at(&self, index: u32) -> Option<SocketId> {
        self.engine.socket_at(index)
    }
}
