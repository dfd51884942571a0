//! Where the octets of a stream lie: the [`Store`] trait, and [`Flat`], the ring over one borrowed or owned slice.
//!
//! Index arithmetic ([`crate::window`]) owns no bytes; it is given a store. The other store is the pool of chunks in
//! [`crate::chunk`].

use crate::seq::{Offset, Range};
use core::fmt;

/// The store has no memory left for a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSpace;

impl fmt::Display for NoSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no memory left for the octets")
    }
}

impl core::error::Error for NoSpace {}

/// Memory for the octets of one stream, addressed by stream offset.
pub trait Store {
    /// Makes sure that [`Store::put`] can place every octet of `range`.
    ///
    /// # Errors
    /// [`NoSpace`] when memory runs out; what was stored before is untouched.
    fn reserve(&mut self, range: Range) -> Result<(), NoSpace>;

    /// Copies `data` to `at`. Octets that were not reserved are dropped.
    fn put(&mut self, at: Offset, data: &[u8]);

    /// Makes place for `data` at `at`, where nothing is stored, and copies it there.
    ///
    /// # Errors
    /// [`NoSpace`] when memory runs out: then what lies there counts as never stored.
    fn add(&mut self, at: Offset, data: &[u8]) -> Result<(), NoSpace> {
        self.reserve(Range::at(at, data.len() as u64))?;
        self.put(at, data);
        Ok(())
    }

    /// The longest prefix of `range` that lies in one piece. Empty only when the range is empty or was never stored.
    fn piece(&self, range: Range) -> &[u8];

    /// The octets of `range` piece by piece: one or two for flat storage, one a chunk for chunks. Ends early where
    /// something was never stored.
    fn pieces(&self, range: Range) -> Pieces<'_, Self>
    where
        Self: Sized,
    {
        Pieces { store: self, rest: range }
    }

    /// Nothing below `head` will be read again.
    fn discard_below(&mut self, head: Offset);
}

/// An iterator over slices; see [`Store::pieces`].
#[derive(Clone, Debug)]
pub struct Pieces<'a, S> {
    store: &'a S,
    rest: Range,
}

impl<'a, S: Store> Iterator for Pieces<'a, S> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let piece = self.store.piece(self.rest);
        self.rest.start = self.rest.start.saturating_add(piece.len() as u64);
        (!piece.is_empty()).then_some(piece)
    }
}

/// A ring over one slice: the octet at offset `o` lies at index `o mod length`.
///
/// The caller (a [`Window`](crate::window::Window) whose capacity is the length) keeps at most `length` octets alive.
#[derive(Clone, Debug, Default)]
pub struct Flat<B> {
    bytes: B,
}

impl<B: AsRef<[u8]>> Flat<B> {
    /// A ring over `bytes`.
    pub const fn new(bytes: B) -> Self {
        Flat { bytes }
    }

    /// How many octets fit.
    pub fn capacity(&self) -> usize {
        self.bytes.as_ref().len()
    }

    fn index(&self, at: Offset) -> usize {
        // The remainder of a division by a usize fits a usize.
        #[allow(clippy::cast_possible_truncation)]
        at.0.checked_rem(self.capacity() as u64).map_or(0, |i| i as usize)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>> Store for Flat<B> {
    fn reserve(&mut self, range: Range) -> Result<(), NoSpace> {
        if range.len() > self.capacity() as u64 { Err(NoSpace) } else { Ok(()) }
    }

    fn put(&mut self, at: Offset, data: &[u8]) {
        let index = self.index(at);
        let ring = self.bytes.as_mut();
        let (front, back) = data.split_at(data.len().min(ring.len() - index));
        ring[index..index + front.len()].copy_from_slice(front);
        let back = &back[..back.len().min(index)];
        ring[..back.len()].copy_from_slice(back);
    }

    fn piece(&self, range: Range) -> &[u8] {
        let index = self.index(range.start);
        let ring = self.bytes.as_ref();
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX).min(ring.len() - index);
        &ring[index..index + len]
    }

    fn discard_below(&mut self, _head: Offset) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_over_the_seam_is_read_in_two_pieces() {
        let mut s = Flat::new([0_u8; 8]);
        s.reserve(Range::new(6, 11)).unwrap();
        s.put(Offset(6), b"abcde");
        assert_eq!(s.piece(Range::new(6, 11)), b"ab");
        assert_eq!(s.piece(Range::new(8, 11)), b"cde");
    }

    #[test]
    fn pieces_are_those_of_the_storage() {
        let mut s = Flat::new([0_u8; 8]);
        s.put(Offset(6), b"abcde");
        assert!(s.pieces(Range::new(6, 11)).eq([&b"ab"[..], b"cde"]));
        assert_eq!(s.pieces(Range::new(7, 7)).next(), None);
        assert_eq!(Flat::new([0_u8; 0]).pieces(Range::new(0, 3)).next(), None, "it ends");
    }

    #[test]
    fn more_than_the_capacity_is_refused_and_an_empty_ring_holds_nothing() {
        let mut s = Flat::new([0_u8; 4]);
        assert_eq!(s.reserve(Range::new(0, 5)), Err(NoSpace));
        let mut empty = Flat::new([0_u8; 0]);
        assert_eq!(empty.reserve(Range::new(9, 10)), Err(NoSpace));
        empty.put(Offset(9), b"x");
        assert_eq!(empty.piece(Range::new(9, 10)), b"");
    }
}
