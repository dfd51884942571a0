//! Frames to their owner's core: a worker gives those that belong to another one's connections to that worker.
//!
//! A device that deals frames out to queues looks at one frame at a time. So fragments, which have no ports but for the first
//! one, and packets in tunnels, whose outer ports differ by direction, come in anywhere; and some devices have a rule of their
//! own. The owner of a frame is the one that [`rss::queue`] names for its connection, whoever received it.
//!
//! ```text
//!             ┌─ own ──────────────► processed
//!   burst ────┼─ another one's ────► ring of words ─► that worker, as a burst
//!             └─ early fragment ───► held until the first one comes, or for a short time
//! ```
//!
//! # Invariants
//! 1. Every frame that [`Handoff::sort`] is given is processed by one worker, or counted as lost; but for what is given to a
//!    worker in the moment in which that one fails.
//! 2. Frames of one sender for one owner are processed in the order in which they came.
//! 3. A ring has whole frames: one that does not fit leaves nothing behind.
//! 4. If [`Handoff::take`] is called as often as [`Handoff::sort`] with a burst, no more wait than are held at most, and a burst.

use crate::capture;
use crate::rss::{self, Datagram, Hashed, Hashes};
use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant, LinkType, Verdict};
use ringbuf_core::sync::atomic::{AtomicBool, Ordering};
use ringbuf_core::sync::spsc::{Consumer, Producer, Slot, Spsc};
use std::collections::VecDeque;
use std::fmt;
use std::ops::{AddAssign, Range};
use std::time::Duration;

/// Words of a ring: room for the largest frame, and for a burst of ordinary ones. An arbitrary figure.
const RING: usize = 1 << 14;
/// Words in front of each frame.
const HEADER: usize = 3;
const WORD: usize = size_of::<u64>();
/// Words that are copied at once.
const CHUNK: usize = 32;
/// Early fragments that are held, at most. An arbitrary figure.
const HELD: usize = 256;
/// How long they are held. Fragments of one datagram follow each other; an arbitrary figure.
const PATIENCE: Duration = Duration::from_millis(20);

type Ring = Spsc<Box<[Slot<u64>]>>;

/// What became of frames that are not their receiver's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handed {
    /// Frames given to their owners.
    pub given: u64,
    /// Frames taken from others.
    pub taken: u64,
    /// Frames that were lost, as their owner's ring was full or their owner has failed.
    pub lost: u64,
    /// Fragments whose first one did not come in time; they went by their addresses.
    pub early: u64,
}

impl AddAssign for Handed {
    fn add_assign(&mut self, other: Handed) {
        self.given += other.given;
        self.taken += other.taken;
        self.lost += other.lost;
        self.early += other.early;
    }
}

impl Drop for Handoff<'_> {
    fn drop(&mut self) {
        self.someone_left.store(true, Ordering::Relaxed); // a hint, see `sort`
    }
}

/// The rings between all workers, at rest.
pub struct Matrix {
    workers: usize,
    /// Of worker `from` for worker `to`, one row for each `from`, without those that nobody needs.
    rings: Vec<Ring>,
    someone_left: AtomicBool,
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Matrix of {}", self.workers)
    }
}

impl Matrix {
    /// Rings between so many workers.
    pub fn new(workers: usize) -> Self {
        Matrix::with_rings(workers, RING)
    }

    fn with_rings(workers: usize, words: usize) -> Self {
        let ring = |_| Spsc::new((0..words).map(|_| Slot::new()).collect());
        let rings = (0..workers * workers.saturating_sub(1)).map(ring).collect();
        Matrix { workers, rings, someone_left: AtomicBool::new(false) }
    }

    /// The ends of all rings, by worker.
    pub fn split(&mut self) -> Vec<Handoff<'_>> {
        let Matrix { workers, rings, someone_left } = self;
        let workers = *workers;
        let mut ends: Vec<Handoff<'_>> =
            (0..workers).map(|rank| Handoff::new(rank, workers, someone_left)).collect();
        let mut rings = rings.iter_mut();
        for (from, to) in (0..workers).flat_map(|from| (0..workers).map(move |to| (from, to))) {
            let Some((producer, consumer)) = (from != to).then(|| rings.next()).flatten().map(Spsc::split)
            else {
                continue;
            };
            if let Some(from) = ends.get_mut(from).and_then(|end| end.outgoing.get_mut(to)) {
                *from = Some(producer);
            }
            if let Some(to) = ends.get_mut(to) {
                to.incoming.push(Incoming { ring: consumer, header: None });
            }
        }
        ends
    }
}

/// One worker's place among the others.
pub struct Handoff<'r> {
    rank: usize,
    workers: usize,
    /// By owner; the own place is empty.
    outgoing: Vec<Option<Producer<'r, u64>>>,
    incoming: Vec<Incoming<'r>>,
    /// Set when a worker has ended: devices may deal out in another way from then on, and nothing is where it should be.
    someone_left: &'r AtomicBool,
    hashes: Hashes,
    shared: Option<fn(&[u8]) -> bool>,
    held: VecDeque<Held>,
    /// Own ones that were held.
    late: VecDeque<Held>,
    /// Who was given something since that was last asked.
    given_to: Vec<bool>,
    inbox: Inbox,
    counted: Handed,
}

impl fmt::Debug for Handoff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handoff({} of {}, {:?})", self.rank, self.workers, self.counted)
    }
}

/// A fragment that came before the first one.
struct Held {
    datagram: Datagram,
    hash: u32,
    header: Header,
    data: Vec<u8>,
}

impl<'r> Handoff<'r> {
    fn new(rank: usize, workers: usize, someone_left: &'r AtomicBool) -> Self {
        Handoff {
            rank,
            workers,
            outgoing: (0..workers).map(|_| None).collect(),
            incoming: Vec::with_capacity(workers),
            someone_left,
            hashes: Hashes::new(),
            shared: None,
            held: VecDeque::new(),
            late: VecDeque::new(),
            given_to: vec![false; workers],
            inbox: Inbox::default(),
            counted: Handed::default(),
        }
    }

    /// What became of frames so far.
    pub fn counted(&self) -> Handed {
        self.counted
    }

    /// Brings the frames of a burst that are this worker's to its front, in their order, and gives the others away. Returns
    /// how many are its own. `by_hash` says that the device deals out plain packets by the same rule.
    pub fn sort(&mut self, frames: &mut [Frame<'_>], by_hash: bool) -> usize {
        // Relaxed: a hint. A frame that goes by the old rule a moment longer is one that was on its way.
        let trusted = by_hash && !self.someone_left.load(Ordering::Relaxed);
        let mut own = 0;
        for at in 0..frames.len() {
            let Some(frame) = frames.get(at).copied() else { break };
            if (trusted && rss::is_plain(&frame)) || self.is_shared(&frame) || self.keeps(&frame) {
                frames.swap(own, at);
                own += 1;
            }
        }
        own
    }

    /// From now on all workers get frames for which `is_shared` says so; whoever receives one is its owner.
    pub(crate) fn share(&mut self, is_shared: fn(&[u8]) -> bool) {
        self.shared = Some(is_shared);
    }

    /// Whether all get a frame; then the others were given it.
    fn is_shared(&mut self, frame: &Frame<'_>) -> bool {
        if !self.shared.is_some_and(|is_shared| is_shared(frame.data)) {
            return false;
        }
        for (ring, given) in self.outgoing.iter_mut().zip(&mut self.given_to) {
            let Some(ring) = ring else { continue };
            match push(ring, Header::of(frame), frame.data) {
                Ok(true) => self.counted.given += 1,
                Ok(false) => self.counted.lost += 1,
                Err(Gone) => continue,
            }
            *given = true;
        }
        true
    }

    /// Whether a frame is this worker's; otherwise it was given away or is held.
    fn keeps(&mut self, frame: &Frame<'_>) -> bool {
        let (hash, datagram) = match self.hashes.of(frame) {
            Hashed::None => return true, // nobody's: any worker can forward it
            Hashed::Early(datagram, hash) => {
                self.hold(frame, datagram, hash);
                return false;
            }
            Hashed::Known(hash) => (hash, None),
            Hashed::First(datagram, hash) => (hash, Some(datagram)),
        };
        let keeps = !self.give(hash, Header::of(frame), frame.data);
        if let Some(datagram) = datagram {
            self.release(|held| held.datagram == datagram, Some(hash));
        }
        keeps
    }

    /// Gives a frame to the owner of `hash`. Returns whether it has another one than this worker.
    fn give(&mut self, hash: u32, header: Header, data: &[u8]) -> bool {
        let owner = rss::queue(hash, self.workers as u32) as usize;
        let Some(Some(ring)) = self.outgoing.get_mut(owner) else { return false };
        match push(ring, header, data) {
            Ok(true) => self.counted.given += 1,
            Ok(false) => self.counted.lost += 1,
            // Who takes over what a worker leaves behind is whoever gets it.
            Err(Gone) => return false,
        }
        if let Some(given) = self.given_to.get_mut(owner) {
            *given = true;
        }
        true
    }

    fn hold(&mut self, frame: &Frame<'_>, datagram: Datagram, hash: u32) {
        if self.held.len() >= HELD
            && let Some(oldest) = self.held.pop_front()
        {
            self.counted.early += 1;
            self.send_late(oldest);
        }
        self.held.push_back(Held { datagram, hash, header: Header::of(frame), data: frame.data.to_vec() });
    }

    /// Lets go of held fragments, in their order; with another hash if there is one.
    fn release(&mut self, which: impl Fn(&Held) -> bool, hash: Option<u32>) {
        let mut at = 0;
        while let Some(held) = self.held.get(at) {
            if !which(held) {
                at += 1;
                continue;
            }
            if let Some(held) = self.held.remove(at) {
                let hash = hash.unwrap_or(held.hash);
                self.send_late(Held { hash, ..held });
            }
        }
    }

    fn send_late(&mut self, held: Held) {
        if !self.give(held.hash, held.header, &held.data) {
            self.late.push_back(held);
        }
    }

    /// Lets go of fragments that were held for too long; of all at the end of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        let before = self.held.len();
        self.release(|held| now.since(held.header.time) >= PATIENCE, None);
        self.counted.early += (before - self.held.len()) as u64;
    }

    /// When [`Handoff::handle_timeout`] is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.held.front().map(|held| held.header.time + PATIENCE)
    }

    /// Takes up to a burst of own frames that were held, and up to one from others, and lends each to `deliver`. Returns how
    /// many frames there were.
    pub fn take(&mut self, mut deliver: impl FnMut(&mut [Frame<'_>])) -> usize {
        self.inbox.clear();
        while !self.inbox.is_full()
            && let Some(held) = self.late.pop_front()
        {
            self.inbox.add(held.header, &held.data);
        }
        let late = self.inbox.lend(&mut deliver);
        self.inbox.clear();
        for incoming in &mut self.incoming {
            while !self.inbox.is_full() && incoming.pop(&mut self.inbox) {
                self.counted.taken += 1;
            }
        }
        // Another one is the first the next time: nobody's ring runs over because others give much.
        let first = self.incoming.len().min(1);
        self.incoming.rotate_left(first);
        late + self.inbox.lend(deliver)
    }

    /// Calls `wake` for each worker that was given something since the last time.
    pub fn wake_others(&mut self, mut wake: impl FnMut(usize)) {
        for (rank, given) in self.given_to.iter_mut().enumerate() {
            if std::mem::take(given) {
                wake(rank);
            }
        }
    }

    /// Gives nothing away any more; what others give is still there to be taken.
    pub fn close(&mut self) {
        self.release(|_| true, None);
        self.outgoing.iter_mut().for_each(|ring| *ring = None);
        self.someone_left.store(true, Ordering::Relaxed); // a hint, see `sort`
    }

    /// Takes nothing any more, either. What waits is counted as lost.
    pub fn abandon(&mut self) {
        self.close();
        let taken = self.counted.taken;
        // The others may give as fast as it is taken here.
        for _ in 0..RING {
            match self.take(|_| ()) {
                0 => break,
                lost => self.counted.lost += lost as u64,
            }
        }
        self.counted.taken = taken;
        self.incoming.clear();
    }

    /// Whether all others have closed, and everything that they gave was taken.
    pub fn is_over(&self) -> bool {
        self.late.is_empty() && self.incoming.iter().all(Incoming::is_over)
    }
}

/// What is told of a frame beside its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    len: u32,
    wire_len: u32,
    time: Instant,
    link: LinkType,
    port: u16,
}

impl Header {
    fn of(frame: &Frame<'_>) -> Self {
        let Frame { data, wire_len, time, link, port, .. } = *frame;
        Header { len: u32::try_from(data.len()).unwrap_or(u32::MAX), wire_len, time, link, port }
    }

    fn words(self) -> [u64; HEADER] {
        let link = capture::link_number(self.link).unwrap_or_default();
        let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        [pair(self.len, self.wire_len), self.time.0, pair(link.into(), self.port.into())]
    }

    fn from_words([lengths, time, place]: [u64; HEADER]) -> Self {
        let link = capture::link_type((place >> 32) as u16);
        let (len, wire_len) = ((lengths >> 32) as u32, lengths as u32);
        Header { len, wire_len, time: Instant(time), link, port: place as u16 }
    }

    fn data_words(self) -> usize {
        (self.len as usize).div_ceil(WORD)
    }
}

/// The worker at the other end has ended.
struct Gone;

/// Puts a frame into a ring. Returns whether it fitted.
fn push(ring: &mut Producer<'_, u64>, header: Header, data: &[u8]) -> Result<bool, Gone> {
    if ring.is_closed() {
        return Err(Gone);
    }
    if ring.capacity() - ring.pending() < HEADER + header.data_words() {
        return Ok(false);
    }
    // There is room, and only this side takes it.
    let mut put = |words: &[u64]| ring.push_slice(words).map_err(|_| Gone);
    put(&header.words())?;
    for octets in data.chunks(CHUNK * WORD) {
        let mut words = [0; CHUNK];
        for (word, octets) in words.iter_mut().zip(octets.chunks(WORD)) {
            let mut whole = [0; WORD];
            whole.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
            *word = u64::from_ne_bytes(whole);
        }
        put(words.get(..octets.len().div_ceil(WORD)).unwrap_or_default())?;
    }
    Ok(true)
}

/// Frames from one other worker.
struct Incoming<'r> {
    ring: Consumer<'r, u64>,
    /// Of the next frame, when its octets had not come yet.
    header: Option<Header>,
}

impl Incoming<'_> {
    /// Takes the next frame, if it is there as a whole.
    fn pop(&mut self, inbox: &mut Inbox) -> bool {
        if self.header.is_none() && self.ring.waiting() >= HEADER {
            let mut words = [0; HEADER];
            // As many as were waiting.
            let _ = self.ring.pop_slice(&mut words);
            self.header = Some(Header::from_words(words));
        }
        let Some(header) = self.header.filter(|header| self.ring.waiting() >= header.data_words()) else {
            return false;
        };
        self.header = None;
        inbox.fill(header, &mut self.ring);
        true
    }

    fn is_over(&self) -> bool {
        self.header.is_none() && self.ring.is_over()
    }
}

/// Frames that were taken, one behind the other.
#[derive(Default)]
struct Inbox {
    frames: heapless::Vec<(Header, Range<usize>), BURST>,
    data: Vec<u8>,
}

impl Inbox {
    fn clear(&mut self) {
        self.frames.clear();
        self.data.clear();
    }

    fn is_full(&self) -> bool {
        self.frames.is_full()
    }

    fn add(&mut self, header: Header, data: &[u8]) {
        let start = self.data.len();
        self.data.extend_from_slice(data);
        let _ = self.frames.push((header, start..self.data.len())); // it is not full
    }

    /// Takes the octets of a frame out of a ring in which they are.
    fn fill(&mut self, header: Header, ring: &mut Consumer<'_, u64>) {
        let start = self.data.len();
        let mut left = header.data_words();
        while left > 0 {
            let mut words = [0; CHUNK];
            let place = words.get_mut(..left.min(CHUNK)).unwrap_or_default();
            let Ok(count @ 1..) = ring.pop_slice(place) else { break };
            left -= count;
            self.data.extend(words.iter().take(count).flat_map(|word| word.to_ne_bytes()));
        }
        let end = self.data.len().min(start + header.len as usize);
        self.data.truncate(end);
        let _ = self.frames.push((header, start..end)); // it is not full
    }

    fn lend(&self, deliver: impl FnOnce(&mut [Frame<'_>])) -> usize {
        let mut frames: heapless::Vec<Frame<'_>, BURST> = heapless::Vec::new();
        for (header, range) in &self.frames {
            let Header { wire_len, time, link, port, .. } = *header;
            let data = self.data.get(range.clone()).unwrap_or_default();
            let _ = frames.push(Frame { data, wire_len, time, link, port, verdict: Verdict::Forward });
        }
        if !frames.is_empty() {
            deliver(&mut frames);
        }
        frames.len()
    }
}

#[cfg(test)]
mod tests;

#[cfg(all(test, loom))]
mod loom_models;
