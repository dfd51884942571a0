//! Memory that the kernel fills and this process reads, block by block.
//!
//! **Invariants.** (1) The mapping is `blocks * BLOCK` octets from `base` on, and lives as long as the [`Ring`]. (2) A block
//! belongs to this process from when its status says so until [`Ring::release`]; before and after that nothing but the status
//! is touched here, and while it does the kernel touches nothing of it.

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::io;
use std::mem::offset_of;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

/// Octets of a block: room for the largest frame that the kernel builds of several, 64 KiB, and a power of two, which is what
/// the kernel takes for it anyway.
pub(super) const BLOCK: usize = 1 << 17;
/// Where the word is that says whose a block is.
const STATUS: usize =
    offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, block_status);

const _: () = assert!(STATUS.is_multiple_of(align_of::<AtomicU32>()) && STATUS + 4 <= BLOCK);

/// The blocks of a socket, of which one is next.
#[derive(Debug)]
pub(super) struct Ring {
    base: NonNull<u8>,
    blocks: usize,
    next: usize,
}

// SAFETY: the mapping belongs to this value alone (invariant 1), and is not tied to a thread.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring that `socket` has, of this many blocks.
    pub(super) fn map(socket: BorrowedFd<'_>, blocks: usize) -> io::Result<Ring> {
        let len = blocks.checked_mul(BLOCK).filter(|len| *len > 0).ok_or(io::ErrorKind::InvalidInput)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses where; nothing that is mapped already is touched. It refuses a length that is not that of
        // the socket's ring.
        let base = unsafe { mmap(std::ptr::null_mut(), len, access, MapFlags::SHARED, socket, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Ring { base, blocks, next: 0 })
    }

    /// The next block, if the kernel has given it away.
    pub(super) fn block(&mut self) -> Option<&mut [u8]> {
        // Acquire: with the kernel's barrier before it sets the status; what it wrote before is seen.
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return None;
        }
        let start = self.start();
        // SAFETY: the block is within the mapping (invariant 1, and `next < blocks`), it is this process's (invariant 2), and
        // `self` stays borrowed: nobody else has a reference, nor can it be released. Octets have no invalid values, those
        // that the kernel never wrote are zeros.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), BLOCK) })
    }

    /// Gives the block back that [`Ring::block`] gave.
    pub(super) fn release(&mut self) {
        // Release: what was read and written in the block is done before the kernel may fill it again.
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.next = (self.next + 1) % self.blocks;
    }

    fn start(&self) -> NonNull<u8> {
        // SAFETY: `next < blocks`, so that the block is within the mapping (invariant 1).
        unsafe { self.base.add(self.next * BLOCK) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: as for the block itself, of which it is a word.
        let word = unsafe { self.start().add(STATUS) };
        // SAFETY: it is aligned (blocks are to pages, and `STATUS` is asserted to be), and lives as long as `self`. No slice
        // of the block lives at the same time: that borrows `self` mutably. The kernel accesses the word as one.
        unsafe { AtomicU32::from_ptr(word.as_ptr().cast()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length (invariant 1), and nothing borrows of it, as `self` is not borrowed.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.blocks * BLOCK) };
    }
}
