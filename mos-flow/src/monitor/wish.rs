//! What a socket wants of each side, set at any time.

use super::Monitor;
use crate::memory::Memory;
use crate::overlap::OverlapPolicy;
use crate::socket::{SocketError, SocketKind};
use ringbuf_core::window::Next;
use tcp_reasm::Side;

impl<A, M: Memory> Monitor<'_, A, M> {
    /// Stops the events of one side, or of both, for this socket. When no socket of a connection wants any more
    /// events, the connection is forgotten after the packet, without an end event; one of which handlers changed octets is
    /// followed to its end all the same. On a stream socket: for the connections that it will watch.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] on a raw socket.
    pub fn stop(&mut self, side: Option<Side>) -> Result<(), SocketError> {
        let socket = self.engine.sockets.get_mut(self.socket)?;
        if socket.kind == SocketKind::Raw {
            return Err(SocketError::WrongKind);
        }
        for s in Side::BOTH.into_iter().filter(|s| side.is_none_or(|side| side == *s)) {
            socket.wishes[s].no_events();
        }
        if let Ok(flow) = self.flow_id() {
            for s in Side::BOTH.into_iter().filter(|s| side.is_none_or(|side| side == *s)) {
                self.engine.cancel_wait(flow, self.socket, s);
            }
            self.engine.note_stopped(flow);
        }
        Ok(())
    }

    /// Switches off keeping the octets that `side` receives. On an active socket what is held is freed, for all
    /// sockets of the connection, but for a stream of which a handler changed octets: that one's may have to be sent again.
    /// On a stream socket it concerns the connections that it will watch.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] on a raw socket.
    pub fn disable_buffer(&mut self, side: Side) -> Result<(), SocketError> {
        let socket = self.engine.sockets.get_mut(self.socket)?;
        if socket.kind == SocketKind::Raw {
            return Err(SocketError::WrongKind);
        }
        socket.wishes[side].no_octets();
        if let Ok(flow) = self.flow_id() {
            self.engine.disable_buffer(flow, side);
        }
        Ok(())
    }

    /// Keeps `octets` of the stream that `side` receives in order, read or unread, rounded up to a power of two between
    /// [`MIN_RING`](crate::config::MIN_RING) and [`MAX_RING`](crate::config::MAX_RING); with 0 none, as
    /// [`Monitor::disable_buffer`]. The ring of a connection is the largest that one of its sockets asks for, and one that
    /// says nothing asks for `Config::ring_octets`; what one stream may take of the memory (`Config::stream_octets`) limits
    /// it all the same. On a stream socket it concerns the connections that it will watch.
    ///
    /// A ring grows at once. When it shrinks, the oldest octets go at the end of the burst, or before if more come: whoever
    /// has not read them is warned as of any [`Trouble::Overrun`](crate::Trouble::Overrun). Where octets were not kept,
    /// they are from the next one in order on: to those before, a reader is led by [`Peek::Lost`](crate::Peek::Lost).
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] on a raw socket, [`SocketError::TooLong`] for more than the largest ring.
    pub fn resize(&mut self, side: Side, octets: u32) -> Result<(), SocketError> {
        if octets == 0 {
            return self.disable_buffer(side);
        }
        let socket = self.engine.sockets.get_mut(self.socket)?;
        if socket.kind == SocketKind::Raw {
            return Err(SocketError::WrongKind);
        }
        if !socket.set_ring(side, octets) {
            return Err(SocketError::TooLong);
        }
        socket.wishes[side].want_octets();
        if let Ok(flow) = self.flow_id() {
            self.engine.resize(flow, side);
        }
        Ok(())
    }

    /// This socket is next told of new data of the stream that `side` receives when `octets` more are in order than it has
    /// read now, at whatever hook it listens. Then everything is as before. It is told earlier of what there is when the
    /// stream ends, or has ended, when octets are lost to it, and when the connection ends; with nothing unread by then, it
    /// waits for nothing any more.
    ///
    /// When the octets are there already it is told after the burst, in a handler of new data after that handler if it has
    /// read something. With 0 it waits no longer, and is told after the burst of what it did not hear of.
    ///
    /// # Errors
    /// - [`SocketError::WrongKind`]: the socket is not active.
    /// - [`SocketError::Disabled`]: octets of that side are not kept.
    /// - [`SocketError::TooLong`]: the ring does not hold as many; see [`Monitor::resize`].
    /// - [`SocketError::Full`]: no record is left to remember it (`Config::max_waits`).
    pub fn wait_for(&mut self, side: Side, octets: u64) -> Result<(), SocketError> {
        let flow = self.flow_id()?;
        if octets > self.ring_octets(side)?.into() {
            return Err(SocketError::TooLong);
        }
        // There is no use in waiting for what is no more contiguous, or will not come.
        let lost = matches!(self.next_for_cursor(side), Ok(Next::Lost(_))) || self.conn()?.is_finished(side);
        self.engine.wait_for(flow, self.socket, side, (octets == 0 || !lost).then_some(octets))
    }

    /// How many octets of the stream that `side` receives are kept in order; on a stream socket, how many it asks for.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] on a raw socket, [`SocketError::Disabled`] when none are.
    pub fn ring_octets(&self, side: Side) -> Result<u32, SocketError> {
        let socket = self.engine.sockets.get(self.socket)?;
        if socket.kind == SocketKind::Raw {
            return Err(SocketError::WrongKind);
        }
        match self.flow_id() {
            Ok(flow) if self.flow()?.is_buffered(side) => Ok(self.engine.ring_of(flow, side)),
            Err(_) if socket.wishes[side].octets() => {
                Ok(socket.ring(side).unwrap_or(self.engine.config.ring_octets))
            }
            _ => Err(SocketError::Disabled),
        }
    }

    /// Chooses which copy of an octet the stream keeps that `side` receives. On an active socket it takes effect with
    /// the next segment, also before the first one, for all sockets of the connection: a policy that compares segments
    /// takes each range that waits for one. On a stream socket it concerns the connections that it will watch (of
    /// several monitors the one opened last decides).
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] on a raw socket. [`SocketError::Full`] when octets wait and there is no memory to
    /// remember their segments: the policy stays as it was.
    pub fn set_overlap(&mut self, side: Side, policy: impl Into<OverlapPolicy>) -> Result<(), SocketError> {
        let policy = policy.into();
        if self.kind()? == SocketKind::Raw {
            return Err(SocketError::WrongKind);
        }
        if let Ok(flow) = self.flow_id()
            && !self.engine.set_overlap(flow, side, policy)
        {
            return Err(SocketError::Full);
        }
        self.engine.sockets.get_mut(self.socket)?.wishes[side].set_overlap(policy);
        Ok(())
    }
}
