//! Rings in memory that the kernel shares: entries go in at one side's end and out at the other's.
//!
//! **Invariants.** (1) The mapping is `len` octets from `base` on, and lives as long as the [`Shared`]. (2) The places of the three
//! words and of the entries are aligned and within it, as [`Shared::map`] has checked. (3) All access is atomic, so that the
//! kernel may write at any time; which entries mean something is [`Cursor`]'s to say.

use super::cursor::Cursor;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::net::xdp::XdpRingOffset;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A frame that was received or is to be sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Descriptor {
    /// Where its octets begin in the shared memory.
    pub(super) address: u64,
    pub(super) len: u32,
}

/// `struct xdp_desc`
#[derive(Debug)]
#[repr(C)]
pub(super) struct RawDescriptor {
    address: AtomicU64,
    len: AtomicU32,
    options: AtomicU32,
}

const _: () = assert!(size_of::<RawDescriptor>() == size_of::<libc::xdp_desc>());

/// What is in a ring. A value of any octets is one.
pub(super) trait Entry {
    type Value;
    fn load(&self) -> Self::Value;
    fn store(&self, value: Self::Value);
}

/// The place of a frame.
impl Entry for AtomicU64 {
    type Value = u64;

    fn load(&self) -> u64 {
        AtomicU64::load(self, Ordering::Relaxed)
    }

    fn store(&self, address: u64) {
        AtomicU64::store(self, address, Ordering::Relaxed);
    }
}

impl Entry for RawDescriptor {
    type Value = Descriptor;

    fn load(&self) -> Descriptor {
        Descriptor { address: self.address.load(Ordering::Relaxed), len: self.len.load(Ordering::Relaxed) }
    }

    fn store(&self, value: Descriptor) {
        self.address.store(value.address, Ordering::Relaxed);
        self.len.store(value.len, Ordering::Relaxed);
        self.options.store(0, Ordering::Relaxed);
    }
}

/// The memory of a ring.
#[derive(Debug)]
struct Shared<E> {
    base: NonNull<u8>,
    len: usize,
    size: u32,
    head: usize,
    tail: usize,
    flags: usize,
    entries: usize,
    kind: PhantomData<E>,
}

// SAFETY: the mapping belongs to this value alone (invariant 1), and is not tied to a thread; entries are atomic words.
unsafe impl<E: Send> Send for Shared<E> {}

impl<E: Entry> Shared<E> {
    /// Maps the ring of `socket` that is at `page`, of `size` entries.
    fn map(
        socket: BorrowedFd<'_>,
        page: u64,
        size: u32,
        at: &XdpRingOffset,
    ) -> rustix::io::Result<Shared<E>> {
        let place = |at: u64| usize::try_from(at).map_err(|_| Errno::OVERFLOW);
        let (head, tail, entries) = (place(at.producer)?, place(at.consumer)?, place(at.desc)?);
        let flags = place(at.flags.ok_or(Errno::OPNOTSUPP)?)?;
        let len = (size as usize).checked_mul(size_of::<E>()).and_then(|len| len.checked_add(entries));
        let len = len.ok_or(Errno::OVERFLOW)?;
        let is_word = |at: usize| at.is_multiple_of(4) && at.checked_add(4).is_some_and(|end| end <= len);
        if ![head, tail, flags].into_iter().all(is_word) || !entries.is_multiple_of(align_of::<E>()) {
            return Err(Errno::OPNOTSUPP);
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let mode = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses where; nothing that is mapped already is touched. It refuses a length beyond the ring.
        let base = unsafe { mmap(ptr::null_mut(), len, access, mode, socket, page) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Shared { base, len, size, head, tail, flags, entries, kind: PhantomData })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `at` is one of the three places of words, which are within the mapping (invariant 2).
        let word = unsafe { self.base.add(at) };
        // SAFETY: it is aligned (the mapping is to pages, and invariant 2), lives as long as `self`, and is accessed as an atomic
        // word by both sides (invariant 3).
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }

    fn entry(&self, place: usize) -> Option<&E> {
        // SAFETY: entries begin within the mapping (invariant 2).
        let first = unsafe { self.base.add(self.entries) };
        // SAFETY: so many entries are within the mapping and aligned (invariant 2), live as long as `self`, and are atomic words,
        // of which any value is one.
        let entries = unsafe { slice::from_raw_parts(first.as_ptr().cast::<E>(), self.size as usize) };
        entries.get(place)
    }
}

impl<E> Drop for Shared<E> {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length (invariant 1), and nothing borrows of it, as `self` is not borrowed.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A ring that the kernel takes entries from.
#[derive(Debug)]
pub(super) struct Producer<E> {
    shared: Shared<E>,
    cursor: Cursor,
}

impl<E: Entry> Producer<E> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page: u64,
        size: u32,
        at: &XdpRingOffset,
    ) -> rustix::io::Result<Self> {
        let cursor = Cursor::new(size);
        Ok(Producer { shared: Shared::map(socket, page, cursor.size(), at)?, cursor })
    }

    /// How many entries can be put in at least.
    pub(super) fn room(&mut self) -> u32 {
        if self.cursor.room() == 0 {
            self.refresh();
        }
        self.cursor.room()
    }

    /// Puts an entry in. False when there is no room.
    pub(super) fn push(&mut self, value: E::Value) -> bool {
        if self.room() == 0 {
            return false;
        }
        let Some(entry) = self.cursor.push().and_then(|place| self.shared.entry(place)) else { return false };
        entry.store(value);
        true
    }

    /// Lets the kernel see what was put in.
    pub(super) fn publish(&mut self) {
        // Release: with the kernel's acquire of the head; the entries before it are seen.
        self.shared.word(self.shared.head).store(self.cursor.head(), Ordering::Release);
    }

    /// Entries that the kernel has not taken yet.
    pub(super) fn pending(&mut self) -> u32 {
        self.refresh();
        self.cursor.used()
    }

    /// The same, without a note of it.
    pub(super) fn peek_pending(&self) -> u32 {
        let mut cursor = self.cursor;
        cursor.on_tail(self.tail());
        cursor.used()
    }

    /// Whether the kernel is to be told that there are entries.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.shared.word(self.shared.flags).load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    fn refresh(&mut self) {
        self.cursor.on_tail(self.tail());
    }

    fn tail(&self) -> u32 {
        // Acquire: with the kernel's release of the tail; it has read the entries before it, which may be written again.
        self.shared.word(self.shared.tail).load(Ordering::Acquire)
    }
}

/// A ring that the kernel puts entries in.
#[derive(Debug)]
pub(super) struct Consumer<E> {
    shared: Shared<E>,
    cursor: Cursor,
}

impl<E: Entry> Consumer<E> {
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page: u64,
        size: u32,
        at: &XdpRingOffset,
    ) -> rustix::io::Result<Self> {
        let cursor = Cursor::new(size);
        Ok(Consumer { shared: Shared::map(socket, page, cursor.size(), at)?, cursor })
    }

    /// Takes an entry out.
    pub(super) fn pop(&mut self) -> Option<E::Value> {
        if self.cursor.used() == 0 {
            // Acquire: with the kernel's release of the head; the entries before it are seen, and the octets they stand for.
            self.cursor.on_head(self.shared.word(self.shared.head).load(Ordering::Acquire));
        }
        self.cursor.pop().and_then(|place| self.shared.entry(place)).map(E::load)
    }

    /// Lets the kernel use the places of what was taken out.
    pub(super) fn release(&mut self) {
        // Release: with the kernel's acquire of the tail; the entries before it were read.
        self.shared.word(self.shared.tail).store(self.cursor.tail(), Ordering::Release);
    }
}
