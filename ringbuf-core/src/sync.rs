//! What threads share: the atomics and cells that loom can stand in for, and the three structures built on them.
//!
//! ```text
//!   [`spsc`]     values from one thread to one other, in order            commands, log records
//!   [`seqlock`]  the newest value of one thread, for any number of others  statistics
//!   [`view`]     a stream that one thread reassembles, read by others      ppeek from another thread
//! ```
//!
//! Everything else in the workspace has one owner. Code that shares memory takes its atomics from here, never from
//! `core`: built with `--cfg loom` they are loom's, and `tests/loom.rs` runs small scenarios in all orders of loads, stores
//! and thread switches that loom knows, within a bound on preemptions.
//!
//! Loom's types have no constant constructors, so nothing here has one.

use core::fmt;
use core::ops::Deref;

pub mod spsc;

// Offsets have 64 bits and are published in one atomic word each.
#[cfg(target_has_atomic = "64")]
pub mod seqlock;
#[cfg(target_has_atomic = "64")]
pub mod view;

/// Atomic integers and fences: those of `core`, or loom's.
pub mod atomic {
    #[cfg(all(not(loom), target_has_atomic = "64"))]
    pub use core::sync::atomic::AtomicU64;
    #[cfg(not(loom))]
    pub use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    #[cfg(loom)]
    pub use loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
}

/// The cell whose accesses loom can follow.
pub mod cell {
    #[cfg(loom)]
    pub use loom::cell::UnsafeCell;

    /// `core::cell::UnsafeCell`, whose pointer is only lent to a closure: so loom sees where an access begins and ends.
    #[cfg(not(loom))]
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        /// A cell around `value`.
        pub const fn new(value: T) -> Self {
            UnsafeCell(core::cell::UnsafeCell::new(value))
        }

        /// Lends the pointer for reading.
        #[inline(always)]
        pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        /// Lends the pointer for writing.
        #[inline(always)]
        pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }
}

/// What to do while another thread is about to finish.
pub mod hint {
    #[cfg(not(loom))]
    pub use core::hint::spin_loop;
    #[cfg(loom)]
    pub use loom::hint::spin_loop;
}

/// A value that shares its cache lines with no other, so that two threads that write two values do not take the line
/// from each other.
///
/// 128 bytes where processors fetch lines of 64 bytes in pairs or have lines of 128; 64 elsewhere.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "powerpc64"), repr(align(128)))]
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "powerpc64")),
    repr(align(64))
)]
#[derive(Default)]
pub struct CachePadded<T> {
    value: T,
}

impl<T> CachePadded<T> {
    /// `value`, on lines of its own.
    pub const fn new(value: T) -> Self {
        CachePadded { value }
    }
}

impl<T> Deref for CachePadded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for CachePadded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn padded_values_lie_on_lines_of_their_own() {
        let pair = [CachePadded::new(1_u8), CachePadded::new(2_u8)];
        let [a, b] = pair.each_ref().map(|p| core::ptr::from_ref(p).addr());
        assert!(b - a >= 64 && a % 64 == 0);
        assert_eq!((*pair[0], *pair[1]), (1, 2));
    }
}
