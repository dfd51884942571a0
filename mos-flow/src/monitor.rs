//! [`Monitor`]: one socket, and what can be read and set through it.

use crate::buffers::MAX_RANGES;
use crate::engine::Engine;
use crate::flow::{EndReason, Flow, Mark};
use crate::memory::{DefaultMemory, Memory};
use crate::slab::Id;
use crate::socket::{SocketError, SocketId, SocketKind};
use crate::time::Instant;
use crate::wire::VlanStack;
use core::net::SocketAddr;
use ringbuf_core::window::Next;
use ringbuf_core::{FragList, Offset, Overlap, Range, SeqNum};
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
}

impl<'a, A, M: Memory> Monitor<'a, A, M> {
    pub(crate) fn new(engine: &'a mut Engine<A, M>, socket: SocketId) -> Result<Self, SocketError> {
        engine.sockets.get(socket)?;
        Ok(Monitor { engine, socket })
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
        Ok(self.engine.sockets.get(self.socket)?.kind)
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

    fn flow(&self) -> Result<&Flow, SocketError> {
        self.engine.flows.get(self.flow_id()?).ok_or(SocketError::NoSocket)
    }

    fn conn(&self) -> Result<Conn, SocketError> {
        self.engine.flows.conn(self.flow_id()?).ok_or(SocketError::NoSocket)
    }

    /// Where the octets of the stream that `side` receives are.
    fn buffer(&self, side: Side) -> Result<Id, SocketError> {
        Ok(self.engine.flows.live(self.flow_id()?).map_or(Id::NONE, |live| live.buffers[side]))
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

    /// Why the connection is ending; `None` while it is not.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] unless the socket is active.
    pub fn end_reason(&self) -> Result<Option<EndReason>, SocketError> {
        Ok(self.flow()?.over)
    }

    /// The stream that `side` receives, as far as it exists and is kept.
    fn stream(&self, side: Side) -> Result<Stream, SocketError> {
        let (flow, conn) = (self.flow()?, self.conn()?);
        match conn.state(side) {
            _ if !flow.is_buffered(side) => Err(SocketError::Disabled),
            State::Listen => Err(SocketError::Disabled), // there is no stream before the first SYN is through
            State::SynSent => Err(SocketError::NotConnected),
            _ => Ok(*conn.stream(side)),
        }
    }

    /// The ranges that are held of the stream that `side` receives; `None` when nothing is. Octets that came with the
    /// SYN do not exist before the server has taken them.
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
        let frags = self.frags(side)?;
        let edge = |f: Option<Offset>, otherwise: Offset| f.unwrap_or(otherwise);
        Ok(StreamInfo {
            base: stream.base().ok_or(SocketError::NoData)?,
            head: edge(frags.map(|f| window.head(f)), window.next()),
            next: window.next(),
            top: edge(frags.map(|f| window.top(f)), window.next()),
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
        let stream = self.stream(side)?;
        let frags = self.frags(side)?.ok_or(SocketError::NoData)?;
        stream.window().lookup(frags, offset).map_err(|_| SocketError::NoData)
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
        let range = self.range_at(side, offset)?;
        Ok(self.engine.buffers.copy(self.buffer(side)?, range, buf))
    }

    /// The longest prefix of `range` that lies in one piece, without a copy; empty when its first octet is not held.
    ///
    /// # Errors
    /// As [`Monitor::ppeek`], but for [`SocketError::NoData`].
    pub fn piece(&self, side: Side, range: Range) -> Result<&[u8], SocketError> {
        match self.range_at(side, range.start) {
            Ok(held) => Ok(self.engine.buffers.piece(self.buffer(side)?, held.intersection(range))),
            Err(SocketError::NoData) => Ok(&[]),
            Err(e) => Err(e),
        }
    }

    /// What this socket's cursor will find on `side`.
    fn next_for_cursor(&self, side: Side) -> Result<Next, SocketError> {
        let cursor = self.cursor(side)?;
        let stream = self.stream(side)?;
        let window = stream.window();
        Ok(match self.frags(side)? {
            Some(frags) => window.next_for(frags, cursor),
            None if side == Side::Server && self.conn()?.has_undecided_syn_data() => Next::Empty,
            None if cursor < window.next() => Next::Lost(Range { start: cursor, end: window.next() }),
            None => Next::Empty,
        })
    }

    /// The offset up to which this socket has read the stream that `side` receives.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when the socket was closed.
    pub fn cursor(&self, side: Side) -> Result<Offset, SocketError> {
        Ok(self.engine.sockets.get(self.socket)?.cursor(side))
    }

    fn set_cursor(&mut self, side: Side, cursor: Offset) -> Result<(), SocketError> {
        let socket = self.engine.sockets.get_mut(self.socket)?;
        socket.set_cursor(side, cursor);
        let flow = socket.flow().and_then(|index| self.engine.flows.id_at(index));
        if let Some(flow) = flow.and_then(|id| self.engine.flows.get_mut(id)) {
            flow.set(Mark::Read, true);
        }
        Ok(())
    }

    /// Copies the next in-order octets of the stream that `side` receives to `buf` and moves this socket's cursor.
    /// Other sockets have their own.
    ///
    /// # Errors
    /// As [`Monitor::ppeek`], but for [`SocketError::NoData`].
    pub fn peek(&mut self, side: Side, buf: &mut [u8]) -> Result<Peek, SocketError> {
        let mut filled = 0;
        self.peek_with(side, buf.len(), |piece| {
            if let Some(place) = buf.get_mut(filled..filled + piece.len()) {
                place.copy_from_slice(piece);
            }
            filled += piece.len();
        })
    }

    /// As [`Monitor::peek`], but hands the octets, `most` of them at the most, to `f`, piece by piece without a copy.
    ///
    /// # Errors
    /// As there.
    pub fn peek_with(
        &mut self,
        side: Side,
        most: usize,
        mut f: impl FnMut(&[u8]),
    ) -> Result<Peek, SocketError> {
        let range = match self.next_for_cursor(side)? {
            Next::Data(range) => {
                Range { end: range.end.min(range.start.saturating_add(most as u64)), ..range }
            }
            Next::Lost(range) => {
                self.set_cursor(side, range.end)?;
                return Ok(Peek::Lost(range));
            }
            Next::Empty => return Ok(Peek::Empty),
        };
        let (buffer, mut at) = (self.buffer(side)?, range.start);
        while at < range.end {
            let piece = self.engine.buffers.piece(buffer, Range { start: at, end: range.end });
            if piece.is_empty() {
                break;
            }
            f(piece);
            at = at.saturating_add(piece.len() as u64);
        }
        self.set_cursor(side, at)?;
        Ok(Peek::Data(Range { start: range.start, end: at }))
    }

    /// Hands all unread in-order octets of the stream that `side` receives to `f`, piece by piece without a copy,
    /// and moves the cursor behind them. `f` is told of lost octets by a range and an empty slice.
    ///
    /// # Errors
    /// As [`Monitor::peek`].
    pub fn read_with(&mut self, side: Side, f: impl FnMut(Range, &[u8])) -> Result<(), SocketError> {
        self.read_below(side, Offset(u64::MAX), f)
    }

    /// As [`Monitor::read_with`], but only octets below `limit`.
    ///
    /// # Errors
    /// As [`Monitor::peek`].
    pub fn read_below(
        &mut self,
        side: Side,
        limit: Offset,
        mut f: impl FnMut(Range, &[u8]),
    ) -> Result<(), SocketError> {
        while self.cursor(side)? < limit {
            let end = match self.next_for_cursor(side)? {
                Next::Data(range) => {
                    let range = Range { end: range.end.min(limit), ..range };
                    let piece = self.engine.buffers.piece(self.buffer(side)?, range);
                    let read = Range::at(range.start, piece.len() as u64);
                    f(read, piece);
                    read.end
                }
                Next::Lost(range) => {
                    f(range, &[]);
                    range.end
                }
                Next::Empty => return Ok(()),
            };
            self.set_cursor(side, end)?;
        }
        Ok(())
    }

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
    /// the next segment, for all sockets of the connection; on a stream socket it concerns the connections that it
    /// will watch (of several monitors the one opened last decides).
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] on a raw socket.
    pub fn set_overlap(&mut self, side: Side, policy: Overlap) -> Result<(), SocketError> {
        let socket = self.engine.sockets.get_mut(self.socket)?;
        if socket.kind == SocketKind::Raw {
            return Err(SocketError::WrongKind);
        }
        socket.wishes[side].set_overlap(policy);
        if let Ok(flow) = self.flow_id()
            && let Some(flow) = self.engine.flows.get_mut(flow)
        {
            flow.overlap[side] = policy;
        }
        Ok(())
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::*;
    use crate::testing::Exchange;
    use crate::{Config, Event, Frame, Hook, Instant};
    use std::vec::Vec;
    use tcp_reasm::Sides;

    /// What a handler found: the pieces read, and offsets of two sequence numbers.
    #[derive(Debug, Default)]
    struct Found {
        pieces: Vec<Vec<u8>>,
        peeks: Vec<Peek>,
        offsets: Vec<Option<Offset>>,
        last: Option<Instant>,
    }

    fn on_data(ctx: &mut crate::Context<'_, Found>) {
        let (found, mut m) = ctx.split().unwrap();
        for most in [0, 5, 4000] {
            let pieces = &mut found.pieces;
            found.peeks.push(m.peek_with(Side::Server, most, |p| pieces.push(p.to_vec())).unwrap());
        }
        found.offsets =
            [u32::MAX - 1, u32::MAX, 0, 9].map(|n| m.offset_of(Side::Server, SeqNum(n)).unwrap()).to_vec();
        found.last = m.last_packet().ok();
    }

    #[test]
    fn pieces_are_lent_up_to_a_limit_and_sequence_numbers_have_offsets() {
        let mut engine = Engine::<Found>::new(Config { max_flows: 2, ..Config::default() }).unwrap();
        let socket = engine.control().open(SocketKind::Stream).unwrap();
        engine.register(socket, Event::NewData, Hook::None, on_data, 0).unwrap();
        let (client, server) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap());
        let mut x = Exchange::new(client, server, Sides { client: u32::MAX - 1, server: 7 });
        let mut frames: Vec<Vec<u8>> = x.handshake().into();
        let payload: Vec<u8> = (0..3000_u32).map(|i| i as u8).collect();
        frames.extend(payload.chunks(1000).map(|c| x.data(Side::Client, c)));
        let mut found = Found::default();
        let mut burst: Vec<Frame<'_>> =
            (1..).zip(&frames).map(|(t, f)| Frame::ethernet(Instant(t), f)).collect();
        engine.process_burst(&mut burst, &mut found);
        assert_eq!(found.pieces.concat(), payload);
        let ranges = [(0, 0), (0, 5), (5, 3000)].map(|(a, b)| Peek::Data(Range::new(a, b)));
        assert_eq!(found.peeks, ranges);
        assert_eq!(found.offsets, [None, Some(Offset(0)), Some(Offset(1)), Some(Offset(10))]);
        assert_eq!(found.last, Some(Instant(6)));
        assert_eq!(engine.control().monitor(socket).unwrap().last_packet(), Err(SocketError::WrongKind));
    }
}
