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
        let socket = self.engine.sockets.get(self.socket)?;
        Ok(self.held_for(socket, side)?.next_for(socket.cursor(side)))
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
        let first = socket.cursor(side) == Offset::ZERO;
        socket.set_cursor(side, cursor);
        let flow = socket.flow().filter(|_| first).and_then(|index| self.engine.flows.id_at(index));
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
    pub fn peek_with(&mut self, side: Side, most: usize, f: impl FnMut(&[u8])) -> Result<Peek, SocketError> {
        let socket = self.engine.sockets.get(self.socket)?;
        let held = self.held_for(socket, side)?;
        let range = match held.next_for(socket.cursor(side)) {
            Next::Data(range) => {
                Range { end: range.end.min(range.start.saturating_add(most as u64)), ..range }
            }
            Next::Lost(range) => {
                self.set_cursor(side, range.end)?;
                return Ok(Peek::Lost(range));
            }
            Next::Empty => return Ok(Peek::Empty),
        };
        let end = held.pieces(range, f);
        self.set_cursor(side, end)?;
        Ok(Peek::Data(Range { start: range.start, end }))
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
        let socket = self.engine.sockets.get(self.socket)?;
        let before = socket.cursor(side);
        if before >= limit {
            return Ok(());
        }
        let (held, mut cursor) = (self.held_for(socket, side)?, before);
        while cursor < limit {
            match held.next_for(cursor) {
                Next::Data(range) => {
                    let end = range.end.min(limit);
                    let read = held.pieces(Range { end, ..range }, |piece| {
                        let from = cursor;
                        cursor = from.saturating_add(piece.len() as u64);
                        f(Range { start: from, end: cursor }, piece);
                    });
                    if read < end {
                        break;
                    }
                }
                Next::Lost(range) => {
                    f(range, &[]);
                    cursor = range.end;
                }
                Next::Empty => break,
            }
        }
        if cursor > before {
            self.set_cursor(side, cursor)?;
        }
        Ok(())
    }
}
