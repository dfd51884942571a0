//! What a host has received, by segments.

use super::super::MSS;
use ringbuf_core::Range;

/// The segments that a host has received.
///
/// **Invariant**: bit 0 of `early` is not set, and no segment has arrived that is 64 or more ahead of `in_order`.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// Segments before the first that is missing.
    in_order: u32,
    /// Which of the segments from there on have arrived.
    early: u64,
    /// The last one that has arrived.
    last: u32,
    /// The timestamp to echo (RFC 7323, 4.3).
    stamp: u32,
}

impl Receiver {
    /// Of a host that has seen a SYN with this timestamp.
    pub(super) fn new(stamp: u32) -> Receiver {
        Receiver { stamp, ..Receiver::default() }
    }

    /// Segment `index` has arrived.
    pub(super) fn arrive(&mut self, index: u32, stamp: u32) {
        self.last = index;
        if index <= self.in_order {
            self.stamp = self.stamp.max(stamp);
        }
        let Some(ahead) = index.checked_sub(self.in_order) else { return };
        self.early |= 1_u64.checked_shl(ahead).unwrap_or_default();
        let ordered = self.early.trailing_ones();
        self.in_order += ordered;
        self.early = self.early.checked_shr(ordered).unwrap_or_default();
    }

    /// Segments before the first that is missing.
    pub(super) fn in_order(&self) -> u32 {
        self.in_order
    }

    /// The timestamp to echo.
    pub(super) fn stamp(&self) -> u32 {
        self.stamp
    }

    /// What has arrived behind the first hole of a stream of `len` octets: first where the last segment is (RFC 2018, 4), then
    /// from below. Of fewer blocks the others are empty.
    pub(super) fn blocks(&self, len: u64) -> [Range; 3] {
        let mut blocks = [Range::default(); 3];
        let mut places = blocks.iter_mut().skip(1);
        let mut rest = self.early;
        let mut at = self.in_order;
        let mut first = Range::default();
        while rest != 0 {
            let hole = rest.trailing_zeros();
            let held = (rest >> hole).trailing_ones();
            let start = at + hole;
            at = start + held;
            rest = (rest >> hole).checked_shr(held).unwrap_or_default();
            let octet = |segment: u32| len.min(u64::from(segment) * u64::from(MSS));
            let block = Range::new(octet(start), octet(at));
            if (start..at).contains(&self.last) {
                first = block;
            } else if let Some(place) = places.next() {
                *place = block;
            }
        }
        blocks[0] = first;
        blocks
    }
}
