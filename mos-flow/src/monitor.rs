//! [`Monitor`]: one socket, and what can be read and set through it.

mod lent;

mod held;

mod read;

mod wish;

use crate::buffers::MAX_RANGES;
use crate::engine::Engine;
use crate::flow::{EndReason, Flow, Mark};
use crate::memory::{DefaultMemory, Memory};
use crate::slab::Id;
use crate::socket::{SocketError, SocketId, SocketKind};
use crate::time::Instant;
use crate::wire::VlanStack;
use core::net::SocketAddr;
use ringbuf_core::{FragList, Offset, Range, SeqNum};
use tcp_reasm::options::Timestamps;
use tcp_reasm::{Conn, Side, State, Stream};

/// Result of a sequential read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peek {
    /// Octets were copied; the cursor stands at the end of the range.
    Data(Range),
    /// These octets are lost to this socket: pushed out of the ring before it read them, or never seen. The cursor
    /// stands behind them.
    Lost(Range),
    /// Nothing new in order.
    Empty,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// Sequence number of offset 0.
    pub base: SeqNum,
    /// The oldest octet held.
    pub head: Offset,
    /// The next octet expected in order.
    pub next: Offset,
    /// One past the highest octet received.
    pub top: Offset,
    /// Offset 0 is the first octet seen, not the first sent.
    pub midstream: bool,
    /// The stream ended in order.
    pub finished: bool,
}

/// One socket of an engine.
#[derive(Debug)]
pub struct Monitor<'a, A: 'static, M: Memory = DefaultMemory> {
    engine: &'a mut Engine<A, M>,
    socket: SocketId,
    /// What the packet at hand carries, of which octets may be lent.
    payload: Option<&'a [u8]>,
}

impl<'a, A, M: Memory> Monitor<'a, A, M> {
    pub(crate) fn new(engine: &'a mut Engine<A, M>, socket: SocketId) -> Result<Self, SocketError> {
        engine.sockets.get(socket)?;
        Ok(Monitor { engine, socket, payload: None })
    }

    /// The same, while a packet is at hand.
    pub(crate) fn with_payload(self, payload: Option<&'a [u8]>) -> Self {
        Monitor { payload, ..self }
    }

    /// The socket's handle.
    pub fn id(&self) -> SocketId {
        self.socket
    }

    /// The kind of the socket.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when it was closed.
    pub fn kind(&self) -> Result<SocketKind, SocketError> {
        Ok(self.engine.sockets.get(self.socket)?.kind.get())
    }

    /// The stream socket that an active one was opened for; `None` when it was closed.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn opened_for(&self) -> Result<Option<SocketId>, SocketError> {
        let socket = self.engine.sockets.get(self.socket)?;
        if socket.kind != SocketKind::Active {
            return Err(SocketError::WrongKind);
        }
        Ok(self.engine.sockets.monitor_of(socket))
    }

    /// The application's word, 0 at first.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when the socket was closed.
    pub fn user(&self) -> Result<usize, SocketError> {
        Ok(self.engine.sockets.get(self.socket)?.user())
    }

    /// Sets the application's word.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when the socket was closed.
    pub fn set_user(&mut self, word: usize) -> Result<(), SocketError> {
        self.engine.sockets.get_mut(self.socket)?.set_user(word);
        Ok(())
    }

    fn flow_id(&self) -> Result<Id, SocketError> {
        let socket = self.engine.sockets.get(self.socket)?;
        let index = socket.flow().ok_or(SocketError::WrongKind)?;
        self.engine.flows.id_at(index).ok_or(SocketError::NoSocket)
    }

    #[inline]
    fn flow(&self) -> Result<&Flow, SocketError> {
        let socket = self.engine.sockets.get(self.socket)?;
        let index = socket.flow().ok_or(SocketError::WrongKind)?;
        self.engine.flows.at(index).ok_or(SocketError::NoSocket)
    }

    #[inline]
    fn conn(&self) -> Result<Conn, SocketError> {
        self.engine.flows.conn(self.flow_id()?).ok_or(SocketError::NoSocket)
    }

    /// The TCP state of a side.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn state(&self, side: Side) -> Result<State, SocketError> {
        Ok(self.conn()?.state(side))
    }

    /// Address and port of a side.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn address(&self, side: Side) -> Result<SocketAddr, SocketError> {
        let flow = self.flow()?;
        Ok(flow.key.endpoint((side == Side::Client) == flow.is(Mark::ClientIsLow)))
    }

    /// VLAN ids of the connection's packets, outermost first; none when they came through an IP tunnel (see
    /// [`FlowKey::vlans`](crate::key::FlowKey::vlans)).
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn vlans(&self) -> Result<VlanStack, SocketError> {
        Ok(self.flow()?.key.vlans())
    }

    /// The connection's number in the order of appearance, from 0.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn flow_number(&self) -> Result<u64, SocketError> {
        Ok(self.flow()?.number())
    }

    /// When the connection's last packet came.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn last_packet(&self) -> Result<Instant, SocketError> {
        Ok(self.engine.clock.show(self.engine.flows.last_packet(self.flow()?)))
    }

    /// The offset of a sequence number in the stream that `side` receives. `None` when it lies before the stream's
    /// first octet, or when that is not known yet.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn offset_of(&self, side: Side, seq: SeqNum) -> Result<Option<Offset>, SocketError> {
        let conn = self.conn()?;
        let stream = conn.stream(side);
        let offset = stream.base().and_then(|_| u64::try_from(stream.position(seq)).ok());
        Ok(offset.map(Offset))
    }

    /// The timestamps of a segment that `from` sent now, to make one that its peer takes for new. `None` when the connection
    /// has none.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn timestamps(&self, from: Side) -> Result<Option<Timestamps>, SocketError> {
        Ok(self.conn()?.timestamps(from))
    }

    /// Why the connection is ending; `None` while it is not.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn end_reason(&self) -> Result<Option<EndReason>, SocketError> {
        Ok(self.flow()?.over)
    }

    /// The stream that `side` receives, as far as it exists and is kept.
    #[inline]
    fn stream(&self, side: Side) -> Result<Stream, SocketError> {
        held::stream_of(self.flow()?, &self.conn()?, side).copied()
    }

    /// The ranges that are held of the stream that `side` receives; `None` when nothing is. Octets that came with the
    /// SYN do not exist before the server has taken them.
    #[inline]
    fn frags(&self, side: Side) -> Result<Option<&FragList<MAX_RANGES>>, SocketError> {
        let Some(live) = self.engine.flows.live(self.flow_id()?) else { return Ok(None) };
        let hidden = side == Side::Server && live.conn.has_undecided_syn_data();
        Ok(self.engine.buffers.frags(live.buffers[side]).filter(|_| !hidden))
    }

    /// Where the stream that `side` receives stands.
    ///
    /// # Errors
    /// [`SocketError::Disabled`] and [`SocketError::NotConnected`] as for [`Monitor::ppeek`],
    /// [`SocketError::NoData`] before the peer's first sequence number is known.
    pub fn stream_info(&self, side: Side) -> Result<StreamInfo, SocketError> {
        let stream = self.stream(side)?;
        let window = stream.window();
        let (frags, lent) = (self.frags(side)?, self.lent(side)?);
        let next = lent.map_or(window.next(), |lent| lent.range().end);
        let edge = |f: Option<Offset>, otherwise: Offset| f.unwrap_or(otherwise);
        Ok(StreamInfo {
            base: stream.base().ok_or(SocketError::NoData)?,
            head: lent
                .map_or_else(|| edge(frags.map(|f| window.head(f)), window.next()), |l| l.range().start),
            next,
            top: edge(frags.map(|f| window.top(f)), next),
            midstream: stream.is_midstream(),
            finished: self.conn()?.is_finished(side),
        })
    }

    /// The held ranges of the stream that `side` receives, ascending; returns how many of `out` were filled.
    ///
    /// # Errors
    /// As [`Monitor::ppeek`]; [`SocketError::NoData`] when nothing is held.
    pub fn fragments(&self, side: Side, out: &mut [Range]) -> Result<usize, SocketError> {
        let stream = self.stream(side)?;
        if let Some(lent) = self.lent(side)?.filter(|lent| !lent.range().is_empty()) {
            return Ok(out.first_mut().map_or(0, |slot| {
                *slot = lent.range();
                1
            }));
        }
        let frags = self.frags(side)?.ok_or(SocketError::NoData)?;
        let mut n = 0;
        for (slot, range) in out.iter_mut().zip(stream.window().ranges(frags)) {
            *slot = range;
            n += 1;
        }
        if n == 0 && stream.window().ranges(frags).next().is_none() {
            Err(SocketError::NoData)
        } else {
            Ok(n)
        }
    }

    /// The held octets from `offset` on, up to the end of the received range around it.
    ///
    /// # Errors
    /// As [`Monitor::ppeek`].
    pub fn range_at(&self, side: Side, offset: Offset) -> Result<Range, SocketError> {
        self.held(side)?.range_at(offset).ok_or(SocketError::NoData)
    }

    /// Copies octets of the stream that `side` receives, from `offset` on, to `buf`, up to the end of the received
    /// range around `offset`; it may be out of order. Neither consumes nor moves the cursor. Returns how many.
    ///
    /// # Errors
    /// - [`SocketError::WrongKind`]: the socket is not active.
    /// - [`SocketError::Disabled`]: octets of that side are not kept, or its stream does not exist yet.
    /// - [`SocketError::NotConnected`]: that side has not received a SYN yet.
    /// - [`SocketError::NoData`]: no octet is held at `offset`.
    pub fn ppeek(&self, side: Side, offset: Offset, buf: &mut [u8]) -> Result<usize, SocketError> {
        if buf.is_empty() {
            return self.stream(side).map(|_| 0);
        }
        let held = self.held(side)?;
        let range = held.range_at(offset).ok_or(SocketError::NoData)?;
        let mut place = buf;
        let wanted = range.intersection(Range::at(offset, place.len() as u64));
        let end = held.pieces(wanted, |piece| {
            if let Some((to, rest)) = core::mem::take(&mut place).split_at_mut_checked(piece.len()) {
                to.copy_from_slice(piece);
                place = rest;
            }
        });
        Ok(usize::try_from(end.since(offset)).unwrap_or(usize::MAX))
    }

    /// The longest prefix of `range` that lies in one piece, without a copy; empty when its first octet is not held.
    ///
    /// # Errors
    /// As [`Monitor::ppeek`], but for [`SocketError::NoData`].
    pub fn piece(&self, side: Side, range: Range) -> Result<&[u8], SocketError> {
        let held = self.held(side)?;
        Ok(held.range_at(range.start).map_or(&[], |found| held.piece(found.intersection(range))))
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests;
