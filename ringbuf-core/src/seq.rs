//! Sequence numbers of 32 bits, stream offsets of 64 bits, and the widening between them.
//!
//! A [`SeqNum`] lives on a circle and has no order; an [`Offset`] counts the octets of one byte stream from its
//! first payload octet (ISN + 1) and never wraps. The SYN has no offset: a sequence number is widened to a *signed*
//! position, so that what lies before the stream cannot alias something inside it.
//!
//! # Invariants
//! 1. `SeqNum::at(base, position(base, near, s)) == s` for every `s`, `base` and `near`.
//! 2. `|position - near| <= 2^31`: widening picks the representative nearest to the reference.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A TCP sequence number (RFC 9293, 3.4): 32 bits, arithmetic modulo 2^32.
///
/// There is deliberately no `Ord`: an order on a circle is not transitive. Compare with [`SeqNum::lt`] and its
/// relatives, which hold for numbers less than 2^31 apart, or convert to an [`Offset`] once and compare that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SeqNum(pub u32);

impl SeqNum {
    /// The signed distance from `from` to `self`, in `-2^31 .. 2^31`.
    ///
    /// ```
    /// use ringbuf_core::seq::SeqNum;
    /// assert_eq!(SeqNum(2).distance(SeqNum(u32::MAX)), 3);
    /// assert_eq!(SeqNum(u32::MAX).distance(SeqNum(2)), -3);
    /// ```
    #[inline]
    pub const fn distance(self, from: SeqNum) -> i32 {
        self.0.wrapping_sub(from.0).cast_signed()
    }

    /// Whether `self` comes before `other` on the half circle that ends at `other`.
    #[inline]
    pub const fn lt(self, other: SeqNum) -> bool {
        self.distance(other) < 0
    }

    /// Whether `self` is `other` or comes before it.
    #[inline]
    pub const fn le(self, other: SeqNum) -> bool {
        self.distance(other) <= 0
    }

    /// The later of two numbers that are less than 2^31 apart.
    #[inline]
    #[must_use]
    pub const fn max(self, other: SeqNum) -> SeqNum {
        if self.lt(other) { other } else { self }
    }

    /// The signed position, relative to `base`, of the number `self` that lies nearest to the offset `near`.
    ///
    /// Negative positions lie before the stream (the SYN of a stream whose first octet is `base` is at -1).
    /// Correct for streams of any length as long as `self` is within 2^31 of the reference.
    ///
    /// ```
    /// use ringbuf_core::seq::{Offset, SeqNum};
    /// let base = SeqNum(0xffff_fff0);
    /// assert_eq!(SeqNum(4).position(base, Offset(0)), 20);
    /// assert_eq!(SeqNum(4).position(base, Offset(1 << 33)), (1 << 33) + 20);
    /// assert_eq!(SeqNum(0xffff_ffef).position(base, Offset(0)), -1);
    /// ```
    #[inline]
    pub const fn position(self, base: SeqNum, near: Offset) -> i64 {
        let reference = near.seq(base);
        near.0.cast_signed().wrapping_add(self.distance(reference) as i64)
    }
}

impl Add<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn add(self, octets: u32) -> SeqNum {
        SeqNum(self.0.wrapping_add(octets))
    }
}

impl AddAssign<u32> for SeqNum {
    #[inline]
    fn add_assign(&mut self, octets: u32) {
        *self = *self + octets;
    }
}

impl Sub<u32> for SeqNum {
    type Output = SeqNum;
    #[inline]
    fn sub(self, octets: u32) -> SeqNum {
        SeqNum(self.0.wrapping_sub(octets))
    }
}

impl fmt::Debug for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seq {}", self.0)
    }
}

impl fmt::Display for SeqNum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in one byte stream: octets since the first payload octet. Totally ordered, never wraps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The first payload octet.
    pub const ZERO: Offset = Offset(0);

    /// The sequence number of this octet in a stream whose first octet has the number `base`.
    #[inline]
    pub const fn seq(self, base: SeqNum) -> SeqNum {
        // Truncation is the definition: sequence number = base + offset modulo 2^32.
        #[allow(clippy::cast_possible_truncation)]
        SeqNum(base.0.wrapping_add(self.0 as u32))
    }

    /// `self + octets`, stopping at the largest offset instead of wrapping.
    #[inline]
    #[must_use]
    pub const fn saturating_add(self, octets: u64) -> Offset {
        Offset(self.0.saturating_add(octets))
    }

    /// Octets from `earlier` to `self`; 0 when `earlier` is not earlier.
    #[inline]
    pub const fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range of offsets, `start .. end`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Range {
    /// First octet of the range.
    pub start: Offset,
    /// One past the last octet.
    pub end: Offset,
}

impl Range {
    /// The range `start .. end`; empty when `end <= start`.
    #[inline]
    pub const fn new(start: u64, end: u64) -> Range {
        Range { start: Offset(start), end: Offset(end) }
    }

    /// The range of `len` octets from `start`, cut at the largest offset.
    #[inline]
    pub const fn at(start: Offset, len: u64) -> Range {
        Range { start, end: start.saturating_add(len) }
    }

    /// Octets in the range.
    #[inline]
    pub const fn len(self) -> u64 {
        self.end.since(self.start)
    }

    /// Whether there is no octet in the range.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.end.0 <= self.start.0
    }

    /// Whether `offset` is one of the octets.
    #[inline]
    pub const fn contains(self, offset: Offset) -> bool {
        self.start.0 <= offset.0 && offset.0 < self.end.0
    }

    /// The octets that are in both; may be empty.
    #[inline]
    #[must_use]
    pub const fn intersection(self, other: Range) -> Range {
        let start = if self.start.0 > other.start.0 { self.start } else { other.start };
        let end = if self.end.0 < other.end.0 { self.end } else { other.end };
        Range { start, end }
    }

    /// The smallest range that holds both.
    #[inline]
    #[must_use]
    pub const fn hull(self, other: Range) -> Range {
        let start = if self.start.0 < other.start.0 { self.start } else { other.start };
        let end = if self.end.0 > other.end.0 { self.end } else { other.end };
        Range { start, end }
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start.0, self.end.0)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comparisons_hold_across_the_wrap() {
        let before = SeqNum(u32::MAX - 1);
        let after = before + 5;
        assert!(before.lt(after) && before.le(after) && before.le(before));
        assert!(!after.lt(before) && !before.lt(before));
        assert_eq!(before.max(after), after);
        assert_eq!(after.max(before), after);
    }

    #[test]
    fn a_stream_of_many_wraps_is_widened_step_by_step() {
        let base = SeqNum(0x8000_0001);
        let step = 0x7fff_ffff_u64;
        let mut at = Offset::ZERO;
        while at.0 < 1 << 36 {
            let next = Offset(at.0 + step);
            assert_eq!(next.seq(base).position(base, at), next.0.cast_signed());
            assert_eq!(at.seq(base).position(base, next), at.0.cast_signed());
            at = next;
        }
    }

    #[test]
    fn ranges_at_the_end_of_the_number_space_do_not_wrap() {
        let r = Range::at(Offset(u64::MAX - 3), 10);
        assert_eq!(r, Range::new(u64::MAX - 3, u64::MAX));
        assert_eq!(r.len(), 3);
        assert!(Range::new(7, 3).is_empty());
        assert_eq!(Range::new(7, 3).len(), 0);
    }

    proptest! {
        #[test]
        fn widening_inverts_narrowing(base: u32, near in 0_u64..1 << 40, d in -0x7fff_ffff_i64..0x7fff_ffff) {
            let position = near.cast_signed() + d;
            prop_assume!(position >= 0);
            let offset = Offset(position.cast_unsigned());
            prop_assert_eq!(offset.seq(SeqNum(base)).position(SeqNum(base), Offset(near)), position);
        }
    }
}
