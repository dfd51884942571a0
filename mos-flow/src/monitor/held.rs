//! What there is of a stream, found once for all that is read of it in one call.

use super::Monitor;
use super::lent::Lent;
use crate::buffers::Record;
use crate::flow::Flow;
use crate::memory::Memory;
use crate::socket::{Socket, SocketError};
use ringbuf_core::window::{Next, Window};
use ringbuf_core::{Offset, Range};
use tcp_reasm::{Conn, Side, State, Stream};

/// The octets of a stream that can be read.
pub(super) enum Held<'a, M: Memory> {
    /// Those in the packet at hand.
    Lent(Lent<'a>),
    /// Those in stream memory.
    Kept(&'a Window, Record<'a, M>),
    /// None: the stream stands here.
    Gone(Offset),
}

impl<'a, M: Memory> Held<'a, M> {
    /// What a reader finds that has taken everything below `cursor`.
    #[inline]
    pub(super) fn next_for(&self, cursor: Offset) -> Next {
        match self {
            Held::Lent(lent) => lent.next_for(cursor),
            Held::Kept(window, record) => window.next_for(record.frags(), cursor),
            Held::Gone(next) if cursor < *next => Next::Lost(Range { start: cursor, end: *next }),
            Held::Gone(_) => Next::Empty,
        }
    }

    /// From `offset` on, up to the end of the received range around it.
    pub(super) fn range_at(&self, offset: Offset) -> Option<Range> {
        match self {
            Held::Lent(lent) => {
                let range = lent.range();
                range.contains(offset).then_some(Range { start: offset, ..range })
            }
            Held::Kept(window, record) => window.lookup(record.frags(), offset).ok(),
            Held::Gone(_) => None,
        }
    }

    /// The longest prefix of `range` that lies in one piece; empty when its first octet is not held.
    #[inline]
    pub(super) fn piece(&self, range: Range) -> &'a [u8] {
        match self {
            Held::Lent(lent) => lent.piece(range),
            Held::Kept(_, record) => record.piece(range),
            Held::Gone(_) => &[],
        }
    }

    /// Hands the octets of a range to `f`, piece by piece; returns where they end.
    #[inline]
    pub(super) fn pieces(&self, mut range: Range, mut f: impl FnMut(&'a [u8])) -> Offset {
        while !range.is_empty() {
            let piece = self.piece(range);
            if piece.is_empty() {
                break;
            }
            f(piece);
            range.start = range.start.saturating_add(piece.len() as u64);
        }
        range.start
    }
}

impl<A, M: Memory> Monitor<'_, A, M> {
    /// What can be read of the stream that `side` receives. Octets that came with the SYN do not exist before the server has
    /// taken them.
    #[inline]
    pub(super) fn held(&self, side: Side) -> Result<Held<'_, M>, SocketError> {
        self.held_for(self.engine.sockets.get(self.socket)?, side)
    }

    /// The same for who has found this socket already.
    #[inline]
    pub(super) fn held_for(&self, socket: &Socket, side: Side) -> Result<Held<'_, M>, SocketError> {
        if let Some(lent) = self.lent(side)? {
            return Ok(Held::Lent(lent));
        }
        let flow = socket.flow().ok_or(SocketError::WrongKind)?;
        let flow = self.engine.flows.at(flow).ok_or(SocketError::NoSocket)?;
        let Some(live) = self.engine.flows.live_of(flow) else {
            return Ok(Held::Gone(self.stream(side)?.next()));
        };
        let window = stream_of(flow, &live.conn, side)?.window();
        if side == Side::Server && live.conn.has_undecided_syn_data() {
            return Ok(Held::Gone(Offset::ZERO));
        }
        let record = self.engine.buffers.record(live.buffers[side]);
        Ok(record.map_or(Held::Gone(window.next()), |record| Held::Kept(window, record)))
    }
}

/// The stream that `side` receives, as far as it exists and is kept.
pub(super) fn stream_of<'c>(flow: &Flow, conn: &'c Conn, side: Side) -> Result<&'c Stream, SocketError> {
    match conn.state(side) {
        _ if !flow.is_buffered(side) => Err(SocketError::Disabled),
        State::Listen => Err(SocketError::Disabled), // there is no stream before the first SYN is through
        State::SynSent => Err(SocketError::NotConnected),
        _ => Ok(conn.stream(side)),
    }
}
