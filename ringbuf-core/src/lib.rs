//! Bytes in sequence space: the ring under a TCP reassembler, without heap or operating system.
//!
//! TCP delivers a stream of octets in segments that come late, twice, overlapping or never. This crate is the part
//! of a reassembler that has nothing to do with TCP headers: it takes octets at any place of a stream, in any order,
//! keeps a bounded window of them, and hands them out again in order or by place.
//!
//! ```text
//!   [`seq`]     SeqNum (32 bit, a circle)  ──widen──►  Offset (64 bit, a line; 0 = first payload octet)
//!   [`frag`]    which ranges were received: sorted, disjoint, bounded
//!   [`overlap`] which copy of an octet is kept: first, last, or as some system does, Linux exactly
//!   [`window`]  head, run, next, early ranges: what a write at any offset does. No bytes.
//!   [`store`]   where the bytes lie: Flat (one slice), or
//!   [`chunk`]   Chunked (pool of chunks for millions of streams, found by index)
//!   [`ring`]    window + fragment list + flat store in one: start here
//!   [`sync`]    what threads share: a queue, a sequence lock, and a ring that other threads can peek into
//! ```
//!
//! A reader knows three things apart by type: octets ([`Next::Data`]), octets it will never get ([`Next::Lost`]), and
//! nothing yet ([`Next::Empty`]). Who asks by place gets octets, or an [`Absent`]: a hole, an overrun, or nothing yet.
//!
//! ```
//! use ringbuf_core::{Next, Offset, Range, Ring, SeqNum};
//!
//! // A stream whose first octet has sequence number 0xffff_fffe, held in 32 bytes, 4 ranges out of order.
//! let base = SeqNum(0xffff_fffe);
//! let mut ring = Ring::<_, 4>::new([0_u8; 32]);
//! let at = |seq: u32, near: Offset| Offset(SeqNum(seq).position(base, near) as u64);
//!
//! let next = ring.window().next();
//! let written = ring.write(at(2, next), b"efgh"); // arrives first, but belongs behind the wrap
//! assert_eq!(written.advanced, 0);
//! let written = ring.write(at(0xffff_fffe, next), b"abcd");
//! assert_eq!(written.advanced, 8);
//!
//! let (mut cursor, mut buf) = (Offset::ZERO, [0; 16]);
//! assert_eq!(ring.read(&mut cursor, &mut buf), Next::Data(Range::new(0, 8)));
//! assert_eq!(&buf[..8], b"abcdefgh");
//! assert_eq!(ring.read(&mut cursor, &mut buf), Next::Empty);
//! ```
//!
//! Everything but [`sync`] has one owner and no atomics. There, [`sync::view::SharedRing`] is the ring for a stream that
//! other threads look into while its owner goes on writing: [`sync::view::View::ppeek`] gives octets that were in the
//! stream at their offsets, or says why not, and the owner never waits. [`sync::spsc`] carries values from one thread to
//! one other, [`sync::seqlock`] the newest value of one thread to all. Their orderings are checked by loom models
//! (`tests/loom.rs`) and between real threads (`tests/threads.rs`).
//!
//! What it does not do: parse headers, judge segments, or follow states (that is `tcp-reasm`).
//!
//! That nothing below it is needed can be seen: `.ci/images`, in the root of the repository, runs the script of
//! `ringbuf-core/images` as firmware for a Cortex-M4 under QEMU, and as a program for x86-64 Linux that is linked with
//! no library. The script plays segments in and out of order, twice, overlapping, too old, too far ahead, over the wrap
//! of sequence numbers, into a full ring and an exhausted pool, and a connection of `tcp-reasm` on top, all in fixed memory
//! on the stack. It checks each outcome and the final octets; the first wrong one ends it with a status other than 0.
//! Both images must tell the same, and `nm -u` must find nothing in them that somebody else would have to define.
//!
//! Features: `std` ⊃ `alloc` ⊃ nothing. Without any, nothing allocates; `alloc` adds [`chunk::ChunkPool::with_chunks`].
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod seq;

pub mod frag;

pub mod overlap;

pub mod store;

pub mod window;

pub mod ring;

pub mod chunk;

pub mod hint;

pub mod sync;

#[cfg(any(test, feature = "_model"))]
pub mod model;

pub use frag::FragList;
pub use overlap::{Conflict, Overlap};
pub use ring::Ring;
pub use seq::{Offset, Range, SeqNum};
pub use store::Store;
pub use window::{Absent, Next, Window, Written};
