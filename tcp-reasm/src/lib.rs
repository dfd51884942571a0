//! Both ends of one TCP connection, followed from the middle.
//!
//! A monitor sees segments, not connections. This crate turns the segments of one connection into what both hosts
//! believe: their states (RFC 9293, figure 5), which segments they accept, and the octets each of them receives, in
//! order, with 64-bit offsets. It has no clock, no heap, no operating system and no `unsafe`.
//!
//! ```text
//!   bytes ──► [`segment`] Segment (parsed, length-checked)
//!                 │
//!                 ▼            [`Conn::judge`]     would the receiver accept it?
//!             [`conn`] Conn    [`Conn::sent`]      what sending it says about the sender
//!                 │            [`Conn::arriving`]  what storing it would do (look before you leap)
//!                 ▼            [`Conn::received`]  what it does to the receiver: state, octets
//!             [`report`] plain facts: new octets, retransmission, state, gap, refusal and its reason
//! ```
//!
//! A byte stream is named by the side that *receives* it: `stream(Side::Server)` is what the server hears. Offset 0
//! is the first payload octet (ISN + 1); the SYN has no offset.
//!
//! The octets lie in memory of the caller: a [`Buffer`] pairs a fragment list with a store
//! (from `ringbuf-core`), so that one connection can live in two arrays and a million in a pool.
//!
//! ```
//! use ringbuf_core::{FragList, Offset, Overlap, store::Flat, window::Window};
//! use tcp_reasm::{Buffer, Conn, Flags, Segment, Side};
//!
//! let mut conn = Conn::new(Window::new(1024));
//! let (mut frags, mut ring) = (FragList::<8>::new(), Flat::new([0_u8; 1024])); // what the server receives
//!
//! let mut play = |side: Side, seq: u32, ack: u32, flags: Flags, payload: &'static [u8]| {
//!     let segment = Segment::build(seq, ack, flags, payload);
//!     if conn.judge(side, &segment).is_accept() {
//!         let _ = conn.sent(side, &segment);
//!         let buffer = (side == Side::Client).then(|| Buffer { frags: &mut frags, store: &mut ring, policy: Overlap::First });
//!         let _ = conn.received(!side, &segment, buffer);
//!     }
//! };
//! play(Side::Client, 99, 0, Flags::SYN, b"");
//! play(Side::Server, 499, 100, Flags::SYN | Flags::ACK, b"");
//! play(Side::Client, 100, 500, Flags::ACK, b"");
//! play(Side::Client, 106, 500, Flags::ACK, b"world"); // overtook the next one
//! play(Side::Client, 100, 500, Flags::ACK, b"hello ");
//! play(Side::Client, 99_000_000, 500, Flags::RST, b""); // no end would believe this
//!
//! assert_eq!(conn.state(Side::Server), tcp_reasm::State::Established);
//! assert_eq!(conn.stream(Side::Server).next(), Offset(11));
//! use ringbuf_core::{Range, Store};
//! assert_eq!(ring.piece(Range::new(0, 11)), b"hello world");
//! ```
//!
//! What it does not do: find the connection of a packet, verify checksums, keep timers (that is `mos-flow`).
//!
//! Features: `std` ⊃ `alloc` ⊃ nothing; they only forward to `ringbuf-core`.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

pub mod header;

pub mod options;

pub mod segment;

pub mod side;

pub mod state;

pub mod report;

pub mod stream;

pub mod space;

pub mod conn;

#[cfg(any(test, feature = "_model"))]
pub mod model;

pub use conn::{Conn, Strictness};
pub use header::Flags;
pub use report::{Anomaly, Arrival, Report, Sent, Verdict};
pub use segment::Segment;
pub use side::{Side, Sides};
pub use state::State;
pub use stream::{Buffer, NO_BUFFER, Stream};
