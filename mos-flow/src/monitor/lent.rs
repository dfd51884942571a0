//! Octets where they lie in the packet at hand.

use super::Monitor;
use crate::memory::Memory;
use crate::socket::SocketError;
use ringbuf_core::window::Next;
use ringbuf_core::{Offset, Range};
use tcp_reasm::Side;

/// What is lent of a stream: all that there is of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lent<'a> {
    start: Offset,
    octets: &'a [u8],
}

impl<'a> Lent<'a> {
    pub(super) fn range(&self) -> Range {
        Range::at(self.start, self.octets.len() as u64)
    }

    /// What a reader finds that has taken everything below `cursor`.
    pub(super) fn next_for(&self, cursor: Offset) -> Next {
        let range = self.range();
        if cursor < range.start {
            Next::Lost(Range { start: cursor, end: range.start })
        } else if cursor < range.end {
            Next::Data(Range { start: cursor, ..range })
        } else {
            Next::Empty
        }
    }

    /// The octets of a range.
    pub(super) fn piece(&self, range: Range) -> &'a [u8] {
        let index = |offset: Offset| usize::try_from(offset.since(self.start)).unwrap_or(usize::MAX);
        self.octets.get(index(range.start)..index(range.end)).unwrap_or_default()
    }
}

impl<'a, A, M: Memory> Monitor<'a, A, M> {
    /// What is lent of the stream that `side` receives. Where the packet is not at hand, in a handler for another
    /// connection, it has not come yet.
    #[inline]
    pub(super) fn lent(&self, side: Side) -> Result<Option<Lent<'a>>, SocketError> {
        let Some(lending) = self.engine.lending.filter(|lending| lending.side == side) else {
            return Ok(None);
        };
        if self.flow_id()? != lending.flow {
            return Ok(None);
        }
        if !self.flow()?.is_buffered(side) {
            return Err(SocketError::Disabled);
        }
        let octets = self.payload.map_or(&[][..], |payload| lending.octets(payload));
        Ok(Some(Lent { start: lending.range.start, octets }))
    }
}
