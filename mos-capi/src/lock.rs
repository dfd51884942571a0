//! Locks.

use crate::sync::{Mutex, MutexGuard};
use std::sync::PoisonError;

/// Locks, also when a panic happened under the lock: all that is behind our locks is whole at every step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
