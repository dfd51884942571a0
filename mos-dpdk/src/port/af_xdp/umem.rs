//! Memory for frames that the kernel reads and writes, too.
//!
//! **Invariants.** (1) The mapping is `frames * size` octets from `base` on, or more, and lives as long as the [`Umem`]. (2) The
//! octets of a frame are touched here only by who has its [`Chunk`], of which there is one at most (invariant 1 of
//! [`super::ledger`]), and the kernel writes to none of which there is one: it got the frame to send it, if at all. (3) Chunks
//! do not leave the port that they were made for, nor do ports change their memory.

use super::ledger::{Chunk, Ledger};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Octets of a huge page, where they are of the usual size.
const HUGE: usize = 2 << 20;

/// Frames of one size, and whose they are. Two ports may share it, on one thread or two: what is to be decided about a frame is
/// decided with the ledger locked.
#[derive(Debug)]
pub(super) struct Umem {
    base: NonNull<u8>,
    len: usize,
    size: u32,
    ledger: Mutex<Ledger>,
}

// SAFETY: the mapping belongs to this value alone (invariant 1), and is not tied to a thread.
unsafe impl Send for Umem {}

// SAFETY: octets are reached by chunks alone (invariant 2), of which a mutable reference is borrowed to write: two threads cannot
// write to a frame at a time, nor one while another reads. That no frame has two chunks is what the model of `super::ledger` tests.
unsafe impl Sync for Umem {}

impl Umem {
    /// Memory for so many frames of `size` octets, a power of two.
    pub(super) fn new(frames: u32, size: u32, huge_pages: bool) -> rustix::io::Result<Umem> {
        let len = (frames as usize).checked_mul(size as usize).filter(|len| *len > 0).ok_or(Errno::INVAL)?;
        let (flags, unit) = if huge_pages { (MapFlags::HUGETLB, HUGE) } else { (MapFlags::empty(), 1) };
        let len = len.checked_next_multiple_of(unit).ok_or(Errno::NOMEM)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses where; nothing that is mapped already is touched.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, access, MapFlags::PRIVATE | flags) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Umem { base, len, size, ledger: Mutex::new(Ledger::new(frames)) })
    }

    /// Where it begins, for the kernel.
    pub(super) fn address(&self) -> u64 {
        self.base.addr().get() as u64
    }

    /// Its octets.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Octets of a frame.
    pub(super) fn frame_size(&self) -> u32 {
        self.size
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Each change of it is whole.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame of a place, as the kernel counts octets.
    pub(super) fn index_of(&self, address: u64) -> Option<u32> {
        (address < self.len as u64).then(|| u32::try_from(address / u64::from(self.size)).ok())?
    }

    /// Where a frame begins, as the kernel counts octets.
    pub(super) fn address_of(&self, index: u32) -> u64 {
        u64::from(index) * u64::from(self.size)
    }

    /// The place of octets that lie in one of the frames here, as the kernel counts.
    pub(super) fn place_of(&self, octets: &[u8]) -> Option<u64> {
        let start = octets.as_ptr().addr().checked_sub(self.base.addr().get())? as u64;
        let last = start.checked_add((octets.len() as u64).checked_sub(1)?)?;
        (self.index_of(start)? == self.index_of(last)?).then_some(start)
    }

    /// The octets of a frame.
    pub(super) fn octets<'a>(&'a self, chunk: &'a Chunk) -> &'a [u8] {
        let Some(start) = self.start(chunk) else { return &[] };
        // SAFETY: the frame is within the mapping (as `start` has checked; invariant 1). Who writes to it borrows its one chunk
        // mutably, and the kernel does not write (invariant 2). Octets have no invalid values, those never written are zeros.
        unsafe { slice::from_raw_parts(start.as_ptr(), self.size as usize) }
    }

    /// As [`Umem::octets`], to be written to.
    pub(super) fn octets_mut<'a>(&'a self, chunk: &'a mut Chunk) -> &'a mut [u8] {
        let Some(start) = self.start(chunk) else { return &mut [] };
        // SAFETY: as for `octets`; the chunk is borrowed mutably, so that nobody else has a reference.
        unsafe { slice::from_raw_parts_mut(start.as_ptr(), self.size as usize) }
    }

    fn start(&self, chunk: &Chunk) -> Option<NonNull<u8>> {
        let start = (chunk.index() as usize).checked_mul(self.size as usize)?;
        start.checked_add(self.size as usize).filter(|end| *end <= self.len)?;
        // SAFETY: the frame ends within the mapping.
        Some(unsafe { self.base.add(start) })
    }
}

impl Drop for Umem {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length (invariant 1), and nothing borrows of it, as `self` is not borrowed. The kernel
        // keeps the pages as long as it uses them.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_found_where_they_lie() {
        let umem = Umem::new(4, 2048, false).unwrap();
        let [mut first, mut second] = [(); 2].map(|()| umem.ledger().take().unwrap());
        umem.octets_mut(&mut first).fill(1);
        umem.octets_mut(&mut second).fill(2);
        assert!(umem.octets(&first).iter().all(|octet| *octet == 1) && umem.octets(&first).len() == 2048);
        let part = umem.octets(&second).get(256..316).unwrap();
        assert_eq!(umem.place_of(part), Some(2048 + 256));
        assert_eq!(umem.index_of(2048 + 256), Some(1));
        assert_eq!(umem.place_of(&[]), None);
        assert_eq!(umem.place_of(&[1, 2, 3]), None, "elsewhere");
        assert_eq!(
            (umem.index_of(8191), umem.index_of(8192), umem.index_of(u64::MAX)),
            (Some(3), None, None)
        );
    }

    #[test]
    fn memory_that_cannot_be_is_refused() {
        assert_eq!(Umem::new(0, 2048, false).unwrap_err(), Errno::INVAL);
        assert!(Umem::new(u32::MAX, 1 << 31, false).is_err());
    }
}
