//! The shared stream view: a stream that one thread reassembles can be read by place from any other, at any time,
//! without delay for the writer.
//!
//! The octets lie in atomic words that only the owner stores. Beside them it publishes an *index*: window and ranges as
//! they are after each of its operations. A reader ([`View::ppeek`]) takes a copy of the index, copies octets that it
//! covers, and then asks whether they can have changed meanwhile. It gets octets that were in the stream at these
//! offsets, all at one time, or a [`Miss`] that says why not.
//!
//! ```text
//!   owner   floor up ─ fence ─ [begin] store words [end] ─ publish index        [..] only below the published top
//!   reader  start ─ copy index ─ load words ─ fence ─ floor? begun?             same counter, floor below: whole
//! ```
//!
//! ```
//! use ringbuf_core::sync::atomic::AtomicU64;
//! use ringbuf_core::sync::view::{Miss, Region};
//! use ringbuf_core::{Absent, Offset, Overlap};
//!
//! let mut region = Region::<_, 4>::new([const { AtomicU64::new(0) }; 2]); // 16 octets, 4 ranges out of order
//! let mut ring = region.open(Overlap::First);
//! let view = ring.view(); // for other threads
//! let _ = ring.write(Offset(0), b"hello world");
//! let mut buf = [0; 5];
//! assert_eq!((view.ppeek(Offset(6), &mut buf), &buf), (Ok(5), b"world"));
//! let _ = ring.write(Offset(11), b", once more");
//! assert_eq!(view.ppeek(Offset(0), &mut buf), Err(Miss::Absent(Absent::Overrun { head: Offset(6) })));
//! ```
//!
//! # Invariants
//! 1. The floor never goes back, and no octet below it is stored. Before a word is stored for the octet at `o`, a floor
//!    above `o - capacity` was stored, with a release fence in between: what had the same place was given up first.
//! 2. The octets below the highest top that was ever published are stored only between `begin` and `end` of the
//!    rewrite sequence.
//! 3. An index is published after the octets that it covers were stored.
//! 4. Only the owner stores to words and index, through `&mut self`.
//!
//! From these: an octet that a reader found covered can change only by a rewrite (2) or by another octet in its place
//! (1). Either is announced before and fenced, so a reader that saw any part of the change sees the announcement
//! behind its own fence, and drops what it has copied.
#![allow(unsafe_code)]

use super::CachePadded;
use super::atomic::{AtomicU64, Ordering, fence};
use super::hint::spin_loop;
use super::seqlock::Sequence;
use crate::frag::FragList;
use crate::overlap::{Overlap, Resolve};
use crate::seq::{Offset, Range};
use crate::store::{NoSpace, Store};
use crate::window::{Absent, Window, Written};
use core::array;
use core::fmt;

/// How often a reader starts again when the owner came in between. Arbitrary: a rewrite is over long before.
const TRIES: u32 = if cfg!(loom) { 2 } else { 64 };

/// Octets in a word.
const WORD: usize = size_of::<u64>();

/// Why a reader gets no octets at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Miss {
    /// There are none.
    Absent(Absent),
    /// The owner changed octets or index during each of a bounded number of attempts; later it may work.
    Changed,
}

impl From<Absent> for Miss {
    fn from(absent: Absent) -> Miss {
        Miss::Absent(absent)
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Absent(absent) => absent.fmt(f),
            Miss::Changed => f.write_str("changed by the owner at each attempt"),
        }
    }
}

impl core::error::Error for Miss {}

/// Memory for one shared stream at rest: `W` holds the words, `N` ranges can be out of order.
#[derive(Debug)]
pub struct Region<W, const N: usize> {
    words: W,
    shared: Shared<N>,
}

/// What the owner publishes.
#[derive(Debug)]
struct Shared<const N: usize> {
    marks: CachePadded<Marks>,
    /// The ranges apart from the run, as start and end. Guarded by `marks.index`.
    ranges: [[AtomicU64; 2]; N],
}

/// What changes with every write, on one cache line.
#[derive(Debug)]
struct Marks {
    /// Octets below it may be overwritten.
    floor: AtomicU64,
    /// Guards octets that are replaced in place.
    rewrites: Sequence,
    /// Guards the index: the three words below, and the ranges.
    index: Sequence,
    run_start: AtomicU64,
    next: AtomicU64,
    ranges: AtomicU64,
}

impl<W: AsMut<[AtomicU64]>, const N: usize> Region<W, N> {
    /// A region over `words`.
    pub fn new(words: W) -> Self {
        Region { words, shared: Shared::new() }
    }

    /// An empty ring over the region that keeps octets by `policy`. Its capacity is that of the words, at most 4 GiB.
    pub fn open<P: Resolve>(&mut self, policy: P) -> SharedRing<'_, N, P> {
        let store = self.store();
        SharedRing { window: Window::new(store.cap()), frags: FragList::new(), store, policy }
    }

    /// The store alone, for an owner that keeps window and ranges itself. What an earlier one published is forgotten.
    ///
    /// The words are borrowed mutably, so that nothing else can store to them, whatever `W` is.
    pub fn store(&mut self) -> SharedStore<'_, N> {
        self.shared = Shared::new();
        let words = self.words.as_mut();
        let count = words.len().min(u32::MAX as usize / WORD);
        let view = View { words: Words(&words[..count]), shared: &self.shared };
        SharedStore { view, floor: Offset::ZERO, top: Offset::ZERO }
    }
}

impl<const N: usize> Shared<N> {
    fn new() -> Self {
        let zero = || AtomicU64::new(0);
        let marks = Marks {
            floor: zero(),
            rewrites: Sequence::new(),
            index: Sequence::new(),
            run_start: zero(),
            next: zero(),
            ranges: zero(),
        };
        Shared { marks: CachePadded::new(marks), ranges: array::from_fn(|_| [zero(), zero()]) }
    }
}

/// The words of a region as a ring of octets: the octet at `o` is octet `o mod capacity` in the order of memory.
#[derive(Clone, Copy, Debug)]
struct Words<'a>(&'a [AtomicU64]);

impl Words<'_> {
    fn cap(self) -> usize {
        self.0.len() * WORD
    }

    fn index(self, at: Offset) -> usize {
        // The remainder of a division by a usize fits a usize.
        #[allow(clippy::cast_possible_truncation)]
        at.0.checked_rem(self.cap() as u64).map_or(0, |i| i as usize)
    }

    /// Stores `data`, at most a capacity of it, at `at`. For the owner only: octets that share a word with the first or
    /// the last are read and stored back.
    fn put(self, at: Offset, data: &[u8]) {
        let index = self.index(at);
        let (front, back) = data.split_at(data.len().min(self.cap() - index));
        self.put_run(index, front);
        self.put_run(0, back);
    }

    fn put_run(self, index: usize, data: &[u8]) {
        let (words, within) = (&self.0[index / WORD..], index % WORD);
        let (first, data) = data.split_at(data.len().min((WORD - within) % WORD));
        let words = match words.split_first() {
            Some((word, rest)) if !first.is_empty() => {
                patch(word, within, first);
                rest
            }
            _ => words,
        };
        let (whole, rest) = data.as_chunks::<WORD>();
        for (word, octets) in words.iter().zip(whole) {
            word.store(u64::from_ne_bytes(*octets), Ordering::Relaxed);
        }
        if let Some(word) = words.get(whole.len()).filter(|_| !rest.is_empty()) {
            patch(word, 0, rest);
        }
    }

    /// Loads octets from `at` on into `out`, at most a capacity of them. One by one they are what was stored there;
    /// whether they belong together is for the caller to find out.
    fn copy(self, at: Offset, out: &mut [u8]) {
        let index = self.index(at);
        let (front, back) = out.split_at_mut(out.len().min(self.cap() - index));
        self.copy_run(index, front);
        self.copy_run(0, back);
    }

    fn copy_run(self, index: usize, out: &mut [u8]) {
        let (words, within) = (&self.0[index / WORD..], index % WORD);
        let (first, out) = out.split_at_mut(out.len().min((WORD - within) % WORD));
        let words = match words.split_first() {
            Some((word, rest)) if !first.is_empty() => {
                let octets = word.load(Ordering::Relaxed).to_ne_bytes();
                first.copy_from_slice(&octets[within..within + first.len()]);
                rest
            }
            _ => words,
        };
        let (whole, rest) = out.as_chunks_mut::<WORD>();
        for (octets, word) in whole.iter_mut().zip(words) {
            *octets = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        if let Some(word) = words.get(whole.len()).filter(|_| !rest.is_empty()) {
            let octets = word.load(Ordering::Relaxed).to_ne_bytes();
            rest.copy_from_slice(&octets[..rest.len()]);
        }
    }
}

/// Replaces the octets of `word` from `within` on. Only the owner stores, so nothing comes between load and store.
fn patch(word: &AtomicU64, within: usize, data: &[u8]) {
    let mut octets = word.load(Ordering::Relaxed).to_ne_bytes();
    octets[within..within + data.len()].copy_from_slice(data);
    word.store(u64::from_ne_bytes(octets), Ordering::Relaxed);
}

/// The owner's side of a region as a [`Store`]: for a [`Window`] that is kept elsewhere. Announces to readers whatever
/// could spoil what they are copying; what was stored becomes readable by [`SharedStore::publish`].
#[derive(Debug)]
pub struct SharedStore<'a, const N: usize> {
    view: View<'a, N>,
    /// The published floor.
    floor: Offset,
    /// The highest top ever published.
    top: Offset,
}

impl<'a, const N: usize> SharedStore<'a, N> {
    /// How many octets fit.
    pub fn cap(&self) -> u32 {
        // `Region::store` cuts the words to what 32 bits can count.
        u32::try_from(self.view.words.cap()).unwrap_or(u32::MAX)
    }

    /// A handle for readers.
    pub fn view(&self) -> View<'a, N> {
        self.view
    }

    /// Lets readers see what `window` and `frags` cover. To be called after each operation on them, with octets stored
    /// here. (With others a reader gets wrong octets, nothing worse.)
    pub fn publish(&mut self, window: &Window, frags: &FragList<N>) {
        let Shared { marks, ranges } = self.view.shared;
        let (run, others) = (window.run(), frags.as_slice());
        marks.index.begin();
        marks.run_start.store(run.start.0, Ordering::Relaxed);
        marks.next.store(run.end.0, Ordering::Relaxed);
        marks.ranges.store(others.len() as u64, Ordering::Relaxed);
        for ([start, end], range) in ranges.iter().zip(others) {
            start.store(range.start.0, Ordering::Relaxed);
            end.store(range.end.0, Ordering::Relaxed);
        }
        // Its Release also covers the words stored before (invariant 3).
        marks.index.end();
        self.top = self.top.max(window.top(frags));
    }

    /// Gives up the octets whose places `range` needs (invariant 1).
    fn raise_floor(&mut self, range: Range) {
        let floor = Offset(range.end.0.saturating_sub(self.cap().into()));
        if floor > self.floor {
            self.floor = floor;
            let marks = &self.view.shared.marks;
            marks.floor.store(floor.0, Ordering::Relaxed);
            // Release fence: partner of the Acquire fence in `View::attempt`. A reader that saw a word stored after
            // this sees the floor stored before.
            fence(Ordering::Release);
        }
    }

    #[cfg(not(loom))]
    fn octets(&self) -> &[u8] {
        let words = self.view.words.0;
        // SAFETY: the words are initialised memory of this many octets, and `u8` has no alignment. While the slice
        // lives nobody writes them: they are borrowed mutably by the region's owner for 'a, readers only load, and
        // `put` (invariant 4) needs `&mut self`, from which the slice borrows. A plain read beside atomic loads is no
        // data race. Miri runs the tests of this module.
        unsafe { core::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
    }

    /// Loom's words are not octets in memory. The owner can't compare copies then, but readers see no difference.
    #[cfg(loom)]
    fn octets(&self) -> &[u8] {
        &[]
    }
}

impl<const N: usize> Store for SharedStore<'_, N> {
    fn reserve(&mut self, range: Range) -> Result<(), NoSpace> {
        if range.len() > self.cap().into() { Err(NoSpace) } else { Ok(()) }
    }

    fn put(&mut self, at: Offset, data: &[u8]) {
        let View { words, shared } = self.view;
        // Below the floor the place may be another octet's. A window asks for no such thing.
        let gone = usize::try_from(self.floor.since(at)).unwrap_or(usize::MAX).min(data.len());
        let (at, data) = (at.max(self.floor), &data[gone..]);
        let data = &data[..data.len().min(words.cap())];
        if data.is_empty() {
            return;
        }
        self.raise_floor(Range::at(at, data.len() as u64));
        if at < self.top {
            // Perhaps only a hole is filled. To find that out costs more than a reader's second attempt.
            shared.marks.rewrites.begin();
            words.put(at, data);
            shared.marks.rewrites.end();
        } else {
            words.put(at, data);
        }
    }

    fn piece(&self, range: Range) -> &[u8] {
        let from = self.octets().get(self.view.words.index(range.start)..).unwrap_or_default();
        let len = usize::try_from(range.len()).unwrap_or(usize::MAX);
        &from[..len.min(from.len())]
    }

    /// Nothing to do: the octets stay as they are until `put` needs their place, and the index that is published after
    /// the operation no longer covers them.
    fn discard_below(&mut self, _head: Offset) {}
}

/// The owner's side of a region as a ring: window, ranges and store in one, published after each operation.
#[derive(Debug)]
pub struct SharedRing<'a, const N: usize, P = Overlap> {
    window: Window,
    frags: FragList<N>,
    store: SharedStore<'a, N>,
    policy: P,
}

impl<'a, const N: usize, P: Resolve> SharedRing<'a, N, P> {
    /// A handle for readers, for any thread.
    pub fn view(&self) -> View<'a, N> {
        self.store.view()
    }

    /// The index state: next offset, capacity.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The held ranges in ascending order.
    pub fn ranges(&self) -> impl Iterator<Item = Range> + '_ {
        self.window.ranges(&self.frags)
    }

    /// The held octets from `offset` on, to the end of the range around it.
    ///
    /// # Errors
    /// A hole, an overrun, or nothing yet.
    pub fn lookup(&self, offset: Offset) -> Result<Range, Absent> {
        self.window.lookup(&self.frags, offset)
    }

    /// The octets of `range` from its start on that are held and lie in one piece.
    pub fn piece(&self, range: Range) -> &[u8] {
        match self.lookup(range.start) {
            Ok(held) => self.store.piece(held.intersection(range)),
            Err(_) => &[],
        }
    }

    /// Stores `data` at `at`, and shows it to the readers.
    pub fn write(&mut self, at: Offset, data: &[u8]) -> Written {
        let written = self.window.write(&mut self.frags, &mut self.store, &mut self.policy, at, data);
        self.store.publish(&self.window, &self.frags);
        written
    }

    /// Forgets everything below `offset`, at most the in-order data. Returns how many held octets were given up.
    pub fn advance(&mut self, offset: Offset) -> u64 {
        let lost = self.window.advance(&mut self.frags, &mut self.store, offset);
        self.store.publish(&self.window, &self.frags);
        lost
    }

    /// Gives up the hole before `to`: the stream goes on there, or at the first early range before it. Returns the gap,
    /// `None` when there is no hole before `to`.
    pub fn skip(&mut self, to: Offset) -> Option<Range> {
        let gap = self.window.skip(&mut self.frags, &mut self.store, to);
        self.store.publish(&self.window, &self.frags);
        gap
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The oldest octet held, or `next` when nothing is.
    pub head: Offset,
    /// End of the in-order data.
    pub next: Offset,
    /// One past the highest octet received.
    pub top: Offset,
}

/// A reader's handle, for any thread. The owner is never stopped or delayed by it.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, const N: usize> {
    words: Words<'a>,
    shared: &'a Shared<N>,
}

impl<const N: usize> View<'_, N> {
    /// Copies octets from `offset` on into `buf`, up to the end of the range around it. Returns how many.
    ///
    /// They all were in the stream at one time during the call, with one copy of each where copies differ. Whatever the
    /// outcome, the rest of `buf` may have been written to.
    ///
    /// # Errors
    /// [`Miss`] says why the octet at `offset` could not be had. Takes a bounded number of steps, whatever the owner
    /// does.
    pub fn ppeek(&self, offset: Offset, buf: &mut [u8]) -> Result<usize, Miss> {
        for _ in 0..TRIES {
            match self.attempt(offset, buf) {
                Err(Miss::Changed) => spin_loop(),
                outcome => return outcome,
            }
        }
        Err(Miss::Changed)
    }

    fn attempt(&self, offset: Offset, buf: &mut [u8]) -> Result<usize, Miss> {
        let marks = &self.shared.marks;
        // Before the index: a rewrite that ends between the two is then noticed at the end.
        let rewrites = marks.rewrites.start().ok_or(Miss::Changed)?;
        let (window, frags) = self.index().ok_or(Miss::Changed)?;
        let held = match window.lookup(&frags, offset) {
            Ok(range) => range,
            Err(Absent::Overrun { head }) => {
                return Err(Absent::Overrun { head: head.max(self.floor()) }.into());
            }
            Err(absent) => return Err(absent.into()),
        };
        let len = buf.len().min(usize::try_from(held.len()).unwrap_or(usize::MAX)).min(self.words.cap());
        self.words.copy(offset, &mut buf[..len]);
        // The Acquire fence in `holds` is the partner of the one in `Sequence::begin` and of that in
        // `SharedStore::raise_floor`: it stands between the loads of the words and both looks that follow.
        let same = marks.rewrites.holds(rewrites);
        let head = self.floor();
        if head > offset {
            return Err(Absent::Overrun { head }.into());
        }
        if same { Ok(len) } else { Err(Miss::Changed) }
    }

    /// The floor as far as this thread must know it: callers order the load by a fence when more is asked of it.
    fn floor(&self) -> Offset {
        Offset(self.shared.marks.floor.load(Ordering::Relaxed))
    }

    /// Where the stream stands, or `None` when the owner was publishing at each of a bounded number of looks.
    pub fn try_state(&self) -> Option<State> {
        (0..TRIES).find_map(|_| {
            let index = self.index();
            if index.is_none() {
                spin_loop();
            }
            let (window, frags) = index?;
            Some(State { head: window.head(&frags), next: window.next(), top: window.top(&frags) })
        })
    }

    /// Where the stream stands. Spins while the owner is publishing, which takes it a few stores.
    pub fn state(&self) -> State {
        loop {
            if let Some(state) = self.try_state() {
                return state;
            }
        }
    }

    /// A whole copy of the published index.
    fn index(&self) -> Option<(Window, FragList<N>)> {
        let Shared { marks, ranges } = self.shared;
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let (run, ranges) = marks.index.read(1, || {
            let run = Range::new(load(&marks.run_start), load(&marks.next));
            // Torn figures can be anything; they are dropped, but the loop must end.
            let count = usize::try_from(load(&marks.ranges)).unwrap_or(usize::MAX).min(N);
            let mut list = heapless::Vec::<Range, N>::new();
            for [start, end] in &ranges[..count] {
                let _ = list.push(Range::new(load(start), load(end)));
            }
            (run, list)
        })?;
        let mut frags = FragList::new();
        for range in ranges {
            // As many as came out of such a list.
            let _ = frags.insert(range);
        }
        // What is where does not depend on the capacity, which is the owner's affair.
        Some((Window::holding(run, u32::MAX), frags))
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
