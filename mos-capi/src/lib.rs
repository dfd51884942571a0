//! The C interface of the mOS stack: `libmos.so` and `libmos.a`, with the headers in `include/`.
//!
//! ```text
//!   C program ── mtcp_*() ──►  [`context`] [`socket`] [`event`] [`stream`] [`packet`] [`send`] [`timer`] [`signal`]
//!              mos_*() ──►  [`ext`]
//!                                 │ each entry: `ffi` (panic boundary, pointers, errno)
//!              ┌──────────────────┴─────────────────────┐
//!     inside a callback                          from other threads
//!     `current`: the running Context             `slot`: a command to the mailbox, and a bell
//!              └──────────────────┬─────────────────────┘
//!   callbacks ◄── `current` ──  `stack`: one thread for each context, owner of its `mos_flow::Engine`
//!                                 │
//!                               `io`: captures, of which each context has a `share`, or devices
//! ```
//!
//! A context is one slot of a table that lives as long as the process, so that a stale or wild `mctx_t` is told by its
//! address and never followed. The engine, and everything that belongs to it, is owned by the context's thread and
//! shared with nobody; what other threads want done is sent there as a closure and answered. Contexts have states
//! (`slot::Phase`) that are single atomic words, so that a signal handler can end them.
//!
//! Functions of end hosts are in [`endhost`], and refuse; those that need no context are in [`util`].
//!
//! What it does not do yet: end-host sockets, network cards.

pub mod errno;

pub mod abi;

mod sync;

mod bell;

mod lock;

mod defined;

mod app;

mod slot;

mod share;

mod current;

mod child;

mod text;

mod xxh;

mod ffi;

mod io;

mod conf;

mod stack;

pub mod signal;

pub mod timer;

pub mod context;

pub mod stream;

pub mod event;

pub mod socket;

pub mod packet;

pub mod clone;

pub mod send;

pub mod endhost;

pub mod util;

pub mod ext;
