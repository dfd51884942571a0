//! [`Ring`]: a window, its fragment list and flat storage in one, for a stream that stands alone.

use crate::frag::FragList;
use crate::overlap::{Overlap, Resolve};
use crate::seq::{Offset, Range};
use crate::store::{Flat, Store};
use crate::window::{Absent, Next, Window, Written};

/// A sequence-indexed ring of fixed capacity over `B`, with up to `N` ranges out of order.
///
/// Data may be written at any offset; in-order octets can be read sequentially through a [`Cursor`], and every
/// received octet, also behind a hole, by its offset. When the ring is full the oldest in-order octets make room;
/// each reader is told what it missed.
///
/// ```
/// use ringbuf_core::{Next, Offset, Ring};
/// let mut ring = Ring::<_, 8>::new([0_u8; 64]);
/// let _ = ring.write(Offset(6), b"world");
/// let _ = ring.write(Offset(0), b"hello ");
/// let mut reader = Offset(0);
/// let mut buf = [0; 32];
/// let Next::Data(range) = ring.read(&mut reader, &mut buf) else { panic!() };
/// assert_eq!(&buf[..range.len() as usize], b"hello world");
/// ```
///
/// `P` is the overlap policy: [`Overlap`], or one that follows a system.
///
/// ```
/// use ringbuf_core::{Offset, Ring, overlap::Linux};
/// let mut ring = Ring::<_, 8, _>::with_policy([0_u8; 64], Linux::<8>::new());
/// let _ = ring.write(Offset(1), b"old");
/// let written = ring.write(Offset(1), b"newer"); // the same start, and longer
/// assert_eq!((written.replaced, ring.slices(ringbuf_core::Range::new(1, 6)).0), (3, &b"newer"[..]));
/// ```
#[derive(Clone, Debug)]
pub struct Ring<B, const N: usize, P = Overlap> {
    window: Window,
    frags: FragList<N>,
    store: Flat<B>,
    policy: P,
}

/// A sequential reader's place: everything below it was read or lost.
pub type Cursor = Offset;

impl<B: AsRef<[u8]> + AsMut<[u8]>, const N: usize> Ring<B, N> {
    /// An empty ring over `bytes` that keeps the first copy of every octet. Capacities above 4 GiB are cut to it.
    pub fn new(bytes: B) -> Self {
        Ring::with_policy(bytes, Overlap::First)
    }
}

impl<B: AsRef<[u8]> + AsMut<[u8]>, const N: usize, P: Resolve> Ring<B, N, P> {
    /// An empty ring over `bytes` with an overlap policy.
    pub fn with_policy(bytes: B, policy: P) -> Self {
        let store = Flat::new(bytes);
        let cap = u32::try_from(store.capacity()).unwrap_or(u32::MAX);
        Ring { window: Window::new(cap), frags: FragList::new(), store, policy }
    }

    /// The index state: next offset, capacity.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The oldest octet held.
    pub fn head(&self) -> Offset {
        self.window.head(&self.frags)
    }

    /// The held ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.window.ranges(&self.frags)
    }

    /// Stores `data` at `at`.
    pub fn write(&mut self, at: Offset, data: &[u8]) -> Written {
        self.window.write(&mut self.frags, &mut self.store, &mut self.policy, at, data)
    }

    /// The held octets from `offset` on, to the end of the range around it.
    ///
    /// # Errors
    /// A hole, an overrun, or nothing yet.
    pub fn lookup(&self, offset: Offset) -> Result<Range, Absent> {
        self.window.lookup(&self.frags, offset)
    }

    /// The octets of `range` that are held without a hole from its start on, as at most two slices.
    pub fn slices(&self, range: Range) -> (&[u8], &[u8]) {
        let Ok(held) = self.lookup(range.start) else { return (&[], &[]) };
        let range = held.intersection(range);
        let front = self.store.piece(range);
        let rest = Range { start: range.start.saturating_add(front.len() as u64), end: range.end };
        (front, if rest.is_empty() { &[] } else { self.store.piece(rest) })
    }

    /// Copies octets from `offset` on into `buf`, up to the end of the range around it, be it in order or not. Returns
    /// how many.
    ///
    /// # Errors
    /// A hole, an overrun, or nothing yet at `offset`.
    pub fn ppeek(&self, offset: Offset, buf: &mut [u8]) -> Result<usize, Absent> {
        self.lookup(offset)?;
        let (front, back) = self.slices(Range::at(offset, buf.len() as u64));
        let (to_front, rest) = buf.split_at_mut(front.len());
        to_front.copy_from_slice(front);
        rest[..back.len()].copy_from_slice(back);
        Ok(front.len() + back.len())
    }

    /// Copies the next octets for the reader at `cursor` and moves it. When octets are lost to this reader the
    /// cursor is moved behind them and nothing is copied.
    pub fn read(&self, cursor: &mut Cursor, buf: &mut [u8]) -> Next {
        let next = self.window.next_for(&self.frags, *cursor);
        match next {
            Next::Data(held) => {
                let copied = self.ppeek(held.start, buf).unwrap_or(0); // it is held
                let range = Range::at(*cursor, copied as u64);
                *cursor = range.end;
                Next::Data(range)
            }
            Next::Lost(range) => {
                *cursor = range.end;
                next
            }
            Next::Empty => next,
        }
    }

    /// Forgets everything below `offset`, at most the in-order data. Returns how many held octets were given up.
    pub fn advance(&mut self, offset: Offset) -> u64 {
        self.window.advance(&mut self.frags, &mut self.store, offset)
    }

    /// The same stream in a ring over `bytes`, larger or smaller, and how many held octets found no room there: the
    /// oldest, and early ones too far ahead.
    pub fn resized<C: AsRef<[u8]> + AsMut<[u8]>>(mut self, bytes: C) -> (Ring<C, N, P>, u64) {
        let mut store = Flat::new(bytes);
        let cap = u32::try_from(store.capacity()).unwrap_or(u32::MAX);
        let lost = self.window.resize(&mut self.frags, &mut self.store, cap, cap);
        for range in self.window.ranges(&self.frags) {
            let mut at = range.start;
            for piece in self.store.pieces(range) {
                store.put(at, piece);
                at = at.saturating_add(piece.len() as u64);
            }
        }
        (Ring { window: self.window, frags: self.frags, store, policy: self.policy }, lost)
    }

    /// Gives up the first hole: in-order data goes on behind it. Returns the gap, `None` when there is no hole.
    pub fn skip_gap(&mut self) -> Option<Range> {
        let to = self.window.top(&self.frags);
        self.window.skip(&mut self.frags, &mut self.store, to)
    }
}
