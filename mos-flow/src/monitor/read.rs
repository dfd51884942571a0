//! Reading in order: each socket has a cursor in each stream.

use super::{Monitor, Peek};
use crate::flow::Mark;
use crate::memory::Memory;
use crate::socket::SocketError;
use ringbuf_core::window::Next;
use ringbuf_core::{Offset, Range};
use tcp_reasm::Side;

impl<A, M: Memory> Monitor<'_, A, M> {
    /// What this socket's cursor will find on `side`.
    #[inline]
    pub(super) fn next_for_cursor(&self, side: Side) -> Result<Next, SocketError> {
        let cursor = self.cursor(side)?;
        if let Some(lent) = self.lent(side)? {
            return Ok(lent.next_for(cursor));
        }
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

    #[inline]
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
        let mut at = range.start;
        while at < range.end {
            let piece = self.piece_of(side, Range { start: at, end: range.end })?;
            if piece.is_empty() {
                break;
            }
            f(piece);
            at = at.saturating_add(piece.len() as u64);
        }
        self.set_cursor(side, at)?;
        Ok(Peek::Data(Range { start: range.start, end: at }))
    }

    /// Moves this socket's cursor over the next in-order octets of the stream that `side` receives, `most` of them at the
    /// most, without a look at them.
    ///
    /// # Errors
    /// As [`Monitor::peek`].
    pub fn skip(&mut self, side: Side, most: u64) -> Result<Peek, SocketError> {
        Ok(match self.next_for_cursor(side)? {
            Next::Data(range) => {
                let range = Range { end: range.end.min(range.start.saturating_add(most)), ..range };
                self.set_cursor(side, range.end)?;
                Peek::Data(range)
            }
            Next::Lost(range) => {
                self.set_cursor(side, range.end)?;
                Peek::Lost(range)
            }
            Next::Empty => Peek::Empty,
        })
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
                    let piece = self.piece_of(side, range)?;
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
}
