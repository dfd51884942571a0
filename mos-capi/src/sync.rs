//! What threads share: locks, atomics, statics and the kernel's means to wait, by names that loom can stand in for.
//!
//! Built with `--cfg loom` they are loom's, and the modules called `loom_models` run small scenarios in all orders of
//! loads, stores and thread switches that loom knows, most within a bound on preemptions. Loom's types have no constant
//! constructors: hence [`constant`], [`process_wide`] and [`per_thread`].
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p mos-capi --lib --target-dir target/loom loom`

#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

#[cfg(not(loom))]
mod kernel;
#[cfg(loom)]
#[path = "sync/stand_in.rs"]
mod kernel;

#[cfg(all(test, loom))]
pub(crate) mod model;

pub(crate) use kernel::{Event, Futex, MAX_DESCRIPTORS, now};

/// Atomic integers and fences: those of `std`, or loom's.
pub(crate) mod atomic {
    #[cfg(loom)]
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
    #[cfg(not(loom))]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
}

/// Starting threads.
pub(crate) mod thread {
    #[cfg(loom)]
    pub(crate) use loom::thread::{Builder, JoinHandle};
    #[cfg(not(loom))]
    pub(crate) use std::thread::{Builder, JoinHandle};
}

/// A function that is constant where the types allow it.
macro_rules! constant {
    ($(#[$attribute:meta])* $visible:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])* $visible const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])* $visible fn $($rest)*
    };
}

/// A static, which each run of a model has anew.
#[cfg(not(loom))]
macro_rules! process_wide {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        $(#[$attribute])* static $name: $type = $value;
    };
}
#[cfg(loom)]
macro_rules! process_wide {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        loom::lazy_static! { $(#[$attribute])* static ref $name: $type = $value; }
    };
}

/// Statics of which each thread has its own.
#[cfg(not(loom))]
macro_rules! per_thread {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        std::thread_local! { $($(#[$attribute])* static $name: $type = const { $value };)* }
    };
}
#[cfg(loom)]
macro_rules! per_thread {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $value;)* }
    };
}

pub(crate) use {constant, per_thread, process_wide};
