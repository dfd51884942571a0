//! Both ends of one TCP connection, followed from the middle.
//!
//! A monitor sees segments, not connections. This crate turns the segments of one connection into what both hosts
//! believe: their states (RFC 9293, figure 5), which segments they accept, and the octets each of them receives, in
//! order, with 64-bit offsets. It has no clock, no heap, no operating system and no `unsafe`.
//!
//! ```text
//!   bytes ──► [`segment`] Segment (parsed, length-checked; [`options`] too)
//!                 │
//!                 ▼            [`Conn::judge`]     would the receiver take it? If not: why ([`anomaly`])
//!             [`conn`] Conn    [`Conn::sent`]      what sending it says about the sender
//!                 │            [`Conn::arriving`]  what storing it would do (look before you leap)
//!                 ▼            [`Conn::received`]  what it does to the receiver: state, octets
//!             [`report`] plain facts: new octets, retransmission, state, gap, urgent octet, oddities
//! ```
//!
//! A byte stream is named by the side that *receives* it: `stream(Side::Server)` is what the server hears. Offset 0
//! is the first payload octet (ISN + 1); the SYN has no offset.
//!
//! The octets lie in memory of the caller: a [`Buffer`] pairs a fragment list with a store and an overlap policy
//! (from `ringbuf-core`), so that one connection can live in two arrays and a million in a pool. A [`Conn`] itself is 176
//! octets: two windows of 24, and 128 for everything else. At rest nearly all connections have a short form of 80: see
//! [`PackedConn`].
//!
//! ```
//! use ringbuf_core::{FragList, Overlap, Store, store::Flat, window::Window};
//! use tcp_reasm::{Anomaly, Buffer, Conn, Flags, Segment, Side, State, Verdict};
//!
//! let mut conn = Conn::new(Window::new(1024));
//! // What each side receives: ranges out of order, and the octets.
//! let mut client = (FragList::<8>::new(), Flat::new([0_u8; 1024]));
//! let mut server = (FragList::<8>::new(), Flat::new([0_u8; 1024]));
//!
//! let mut play = |from: Side, seq: u32, ack: u32, flags: Flags, payload: &[u8]| {
//!     let segment = Segment::build(seq, ack, flags, payload);
//!     let verdict = conn.judge(from, &segment);
//!     match verdict {
//!         Verdict::Accept => {
//!             let _ = conn.sent(from, &segment);
//!             let (frags, store) = if from == Side::Client { &mut server } else { &mut client };
//!             let buffer = Buffer { frags, store, policy: Overlap::First };
//!             let _ = conn.received(!from, &segment, Some(buffer));
//!         }
//!         Verdict::Refuse(why) => conn.note_refused(from, &segment, why),
//!         Verdict::Restart => conn = conn.successor(&segment), // the ports are used again: play it there
//!     }
//!     verdict
//! };
//! let (syn, ack, syn_ack) = (Flags::SYN, Flags::ACK, Flags::SYN | Flags::ACK);
//! let _ = play(Side::Client, 99, 0, syn, b"");
//! let _ = play(Side::Server, 499, 100, syn_ack, b"");
//! let _ = play(Side::Client, 100, 500, ack, b"");
//! let _ = play(Side::Client, 106, 500, ack, b"world"); // overtook the next one
//! let _ = play(Side::Client, 100, 500, ack, b"hello ");
//! let intruder = play(Side::Client, 99_000_000, 500, Flags::RST, b"");
//! let _ = play(Side::Server, 500, 111, ack, b"hi");
//!
//! assert_eq!(intruder, Verdict::Refuse(Anomaly::RstInexact)); // no end would believe this
//! assert_eq!(conn.state(Side::Server), State::Established);
//! assert_eq!(server.1.piece(conn.stream(Side::Server).window().run()), b"hello world");
//! assert_eq!(client.1.piece(conn.stream(Side::Client).window().run()), b"hi");
//! ```
//!
//! How closely segments must fit is one setting, [`Strictness`]: as Linux 6.18 judges them, which is the default and is
//! held against the running kernel (`tests/kernel.rs`), as older ones do, by the RFC to the letter, or for captures that
//! lack segments. When to give up waiting comes out as values: [`timer`].
//!
//! What it does not do: find the connection of a packet, verify checksums, keep timers (that is `mos-flow`).
//!
//! Features: `std` ⊃ `alloc` ⊃ nothing; they only forward to `ringbuf-core`.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

pub mod header;

pub mod options;

pub mod segment;

pub mod plain;

pub mod side;

pub mod state;

pub mod anomaly;

pub mod report;

pub mod strictness;

pub mod stream;

pub mod space;

mod step;

pub mod conn;

pub mod packed;

pub mod timer;

#[cfg(any(test, feature = "_model"))]
pub mod model;

pub use anomaly::{Anomalies, Anomaly};
pub use conn::Conn;
pub use header::Flags;
pub use packed::PackedConn;
pub use plain::PlainSegment;
pub use report::{Arrival, Report, Sent, Urgent, Verdict};
pub use segment::Segment;
pub use side::{Side, Sides};
pub use state::State;
pub use stream::{Buffer, NO_BUFFER, Stream, UrgentPolicy};
pub use strictness::Strictness;
pub use timer::{Patience, Timeouts, Timer, Timers};
