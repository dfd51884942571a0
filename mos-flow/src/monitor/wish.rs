//! What a socket wants of each side, set at any time.

use super::Monitor;
use crate::memory::Memory;
use crate::overlap::OverlapPolicy;
use crate::socket::{SocketError, SocketKind};
use tcp_reasm::Side;

impl<A, M: Memory> Monitor<'_, A, M> {
    /// Stops the events of one side, or of both, for this socket. When no socket of a connection wants any more
    /// events, the connection is forgotten after the packet, without an end event. On a stream socket: for the
    /// connections that it will watch.
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
            self.engine.note_stopped(flow);
        }
        Ok(())
    }

    /// Switches off keeping the octets that `side` receives. On an active socket what is held is freed, for all
    /// sockets of the connection; on a stream socket it concerns the connections that it will watch.
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
