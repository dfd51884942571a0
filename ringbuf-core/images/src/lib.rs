//! One scripted exchange, run in three places: as an ordinary test, as firmware for a Cortex-M4, and as a program for
//! x86-64 that is linked with no library at all.
//!
//! The images are the proof that `ringbuf-core` and `tcp-reasm` need neither a heap nor an operating system: there is
//! none that they could call. All memory of the script is on the stack and of fixed size.
//!
//! `.ci/images` in the root of the repository builds and runs both images; `cargo test` in this folder runs the script
//! on the host.
#![no_std]
#![forbid(unsafe_code)]

pub mod script;
