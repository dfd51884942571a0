//! Retransmissions that differ from what is held, as a handler sees them.

use super::Context;
use crate::flow::{Flow, Live};
use crate::memory::Memory;
use ringbuf_core::{Offset, Range};
use tcp_reasm::Side;

/// Octets that came twice and differ, as far as they lie in one piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clash<'a> {
    /// Their place: the first and the last of them differ.
    pub range: Range,
    /// What is held.
    pub held: &'a [u8],
    /// What the packet carries for the same place.
    pub came: &'a [u8],
    /// What is held stays when the handler has returned. Otherwise the packet's octets replace it, if there is a place for the
    /// segment.
    pub stays: bool,
}

/// A retransmission that is about to be stored, and where.
struct Arriving<'a> {
    flow: &'a Flow,
    live: &'a Live,
    side: Side,
    range: Range,
    octets: &'a [u8],
}

impl<A, M: Memory> Context<'_, A, M> {
    /// The first octets of the [conflict](Context::conflict) at `from` or behind it that differ. All of them come one after the
    /// other with the end of the one before. `None` when there are no more.
    pub fn clash(&self, from: Offset) -> Option<Clash<'_>> {
        let conflict = self.conflict?.range;
        let wanted = Range { start: conflict.start.max(from), ..conflict };
        let arriving = self.arriving()?;
        let record = arriving.live.buffers[arriving.side];
        let window = arriving.live.conn.stream(arriving.side).window();
        for held in window.ranges(self.engine.buffers.frags(record)?) {
            let mut rest = held.intersection(wanted);
            while !rest.is_empty() {
                let old = self.engine.buffers.piece(record, rest);
                if old.is_empty() {
                    break;
                }
                let piece = Range::at(rest.start, old.len() as u64);
                if let Some(clash) = self.compare(&arriving, piece, old) {
                    return Some(clash);
                }
                rest.start = piece.end;
            }
        }
        None
    }

    /// The part of `piece` from the first octet that differs to the last with the same fate.
    fn compare<'s>(&'s self, arriving: &Arriving<'s>, piece: Range, held: &'s [u8]) -> Option<Clash<'s>> {
        let new = sub_slice(arriving.octets, arriving.range.start, piece);
        let first = differ(held, new).next()?;
        let start = piece.start.saturating_add(first as u64);
        let (stays, end) = self.fate(arriving, start);
        let range = Range { start, end: end.min(piece.end) };
        let (held, came) = (sub_slice(held, piece.start, range), sub_slice(new, piece.start, range));
        let len = differ(held, came).last().map_or(0, |last| last + 1);
        let range = Range::at(start, len as u64);
        Some(Clash { range, held: held.get(..len)?, came: came.get(..len)?, stays })
    }

    /// Whether the octet that is held at `at` stays, and how far that is the same.
    fn fate(&self, arriving: &Arriving<'_>, at: Offset) -> (bool, Offset) {
        if self.refused {
            return (true, arriving.range.end);
        }
        let (mut stays, mut end) = (false, arriving.range.end);
        let (record, next) =
            (arriving.live.buffers[arriving.side], arriving.live.conn.stream(arriving.side).next());
        let policy = arriving.flow.overlap[arriving.side];
        self.engine.buffers.foresee(record, policy, next, arriving.range, &mut |keep| {
            if keep.contains(at) {
                (stays, end) = (true, end.min(keep.end));
            } else if keep.start > at {
                end = end.min(keep.start);
            }
        });
        (stays, end)
    }

    /// What the packet at hand brings for the stream, as it is stored.
    fn arriving(&self) -> Option<Arriving<'_>> {
        let (side, segment) = (self.side?, self.packet?.segment?);
        let index = self.engine.sockets.get(self.socket).ok()?.flow()?;
        let (flow, live) = self.engine.flows.both(self.engine.flows.id_at(index)?)?;
        let position = live.conn.stream(side).position(segment.data_seq());
        let before = usize::try_from(position.min(0).unsigned_abs()).unwrap_or(usize::MAX);
        let octets = segment.captured().get(before..)?;
        let range = Range::at(Offset(position.max(0).cast_unsigned()), octets.len() as u64);
        Some(Arriving { flow, live, side, range, octets })
    }
}

/// The octets of `range`, of those that begin at `start`.
fn sub_slice(octets: &[u8], start: Offset, range: Range) -> &[u8] {
    let index = |offset: Offset| usize::try_from(offset.since(start)).unwrap_or(usize::MAX);
    octets.get(index(range.start)..index(range.end)).unwrap_or_default()
}

/// Where two strings differ.
fn differ<'a>(one: &'a [u8], other: &'a [u8]) -> impl DoubleEndedIterator<Item = usize> + 'a {
    let len = one.len().min(other.len());
    let (one, other) = (one.get(..len).unwrap_or_default(), other.get(..len).unwrap_or_default());
    let pairs = one.iter().zip(other).enumerate();
    pairs.filter(|(_, (a, b))| a != b).map(|(i, _)| i)
}
