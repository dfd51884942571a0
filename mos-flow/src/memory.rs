//! Where the engine's tables live: on the heap, or in memory that the caller lends.
//!
//! Everything the engine holds is in arrays with a capacity from its configuration. [`Heap`] allocates them when the
//! engine is made and never again; [`Lent`] takes them from the caller, so the engine runs without an allocator.

use core::ops::{Deref, DerefMut};

/// A family of arrays.
pub trait Memory: 'static {
    /// An array of `T` with a fixed capacity.
    type Of<T: 'static>: Array<T>;
}

/// An array that grows up to a fixed capacity.
pub trait Array<T>: Deref<Target = [T]> + DerefMut + AsRef<[T]> + AsMut<[T]> {
    /// The most elements it holds.
    fn capacity(&self) -> usize;

    /// Adds an element.
    ///
    /// # Errors
    /// Gives the element back when the array is full.
    fn try_push(&mut self, value: T) -> Result<(), T>;
}

/// Arrays on the heap, reserved once.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub enum Heap {}

#[cfg(feature = "alloc")]
impl Memory for Heap {
    type Of<T: 'static> = Reserved<T>;
}

/// A vector that never grows beyond what was reserved.
#[cfg(feature = "alloc")]
pub struct Reserved<T> {
    items: alloc::vec::Vec<T>,
    capacity: usize,
}

#[cfg(feature = "alloc")]
impl<T> Reserved<T> {
    /// Room for `capacity` elements. The memory is reserved now and touched when used.
    pub fn with_capacity(capacity: usize) -> Self {
        Reserved { items: alloc::vec::Vec::with_capacity(capacity), capacity }
    }

    /// Room for `capacity` elements, of which none is reserved: for what is allocated anyway.
    pub(crate) fn up_to(capacity: usize) -> Self {
        Reserved { items: alloc::vec::Vec::new(), capacity }
    }

    /// An array of `len` copies of `value`.
    pub fn filled(value: T, len: usize) -> Self
    where
        T: Clone,
    {
        Reserved { items: alloc::vec![value; len], capacity: len }
    }
}

#[cfg(feature = "alloc")]
impl<T> core::fmt::Debug for Reserved<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} of {}", self.items.len(), self.capacity)
    }
}

#[cfg(feature = "alloc")]
impl<T> Deref for Reserved<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        &self.items
    }
}

#[cfg(feature = "alloc")]
impl<T> DerefMut for Reserved<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

#[cfg(feature = "alloc")]
impl<T> AsRef<[T]> for Reserved<T> {
    #[inline]
    fn as_ref(&self) -> &[T] {
        self
    }
}

#[cfg(feature = "alloc")]
impl<T> AsMut<[T]> for Reserved<T> {
    #[inline]
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

#[cfg(feature = "alloc")]
impl<T> Array<T> for Reserved<T> {
    fn capacity(&self) -> usize {
        self.capacity
    }

    fn try_push(&mut self, value: T) -> Result<(), T> {
        if self.items.len() == self.capacity {
            return Err(value);
        }
        self.items.push(value);
        Ok(())
    }
}

/// Arrays that the caller lends for the life of the program, such as statics.
#[derive(Clone, Copy, Debug)]
pub enum Lent {}

impl Memory for Lent {
    type Of<T: 'static> = Borrowed<T>;
}

/// A vector of fixed capacity, lent by the caller.
#[derive(Debug)]
pub struct Borrowed<T: 'static>(pub &'static mut heapless::VecView<T>);

impl<T> Deref for Borrowed<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        self.0.as_slice()
    }
}

impl<T> DerefMut for Borrowed<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_mut_slice()
    }
}

impl<T> AsRef<[T]> for Borrowed<T> {
    #[inline]
    fn as_ref(&self) -> &[T] {
        self
    }
}

impl<T> AsMut<[T]> for Borrowed<T> {
    #[inline]
    fn as_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Array<T> for Borrowed<T> {
    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    fn try_push(&mut self, value: T) -> Result<(), T> {
        self.0.push(value)
    }
}

/// The memory that is used when none is named.
#[cfg(feature = "alloc")]
pub type DefaultMemory = Heap;
/// The memory that is used when none is named.
#[cfg(not(feature = "alloc"))]
pub type DefaultMemory = Lent;
