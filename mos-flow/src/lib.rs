//! Which flow, who listens, what happens to the packet: the mOS model of TCP monitoring, without an operating system.
//!
//! An [`Engine`] is given frames and finds the connection of each, follows both of its ends, rebuilds both byte
//! streams, and calls the application when something happens. It reads no clock, starts no thread and touches no
//! socket: time and packets come in as arguments.
//!
//! ```text
//!   frames ──► [`wire`] walk ──► [`key`] hash ──► [`table`] ──► [`flow`] ──► tcp_reasm::Conn ──► [`buffers`]
//!                │    ▲                                            │
//!            fragments │ datagrams            [`timer`], [`evict`] ─┤
//!                ▼    │                                            │
//!               [`defrag`]                                         │
//!                                                                  │
//!      handlers ◄── [`context`] ◄── [`event`], [`handlers`] ◄── sockets ([`socket`], [`monitor`], [`filter`])
//! ```
//!
//! The application opens *monitoring sockets* and registers *handlers* for *events* at *hooks*:
//!
//! ```
//! use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Side, SocketKind};
//!
//! /// The application's state: what the servers heard.
//! type Heard = Vec<u8>;
//!
//! fn on_data(ctx: &mut Context<'_, Heard>) {
//!     if ctx.side() == Some(Side::Server) {
//!         if let Ok((heard, mut monitor)) = ctx.split() {
//!             let _ = monitor.read_with(Side::Server, |_, data| heard.extend_from_slice(data));
//!         }
//!     }
//! }
//!
//! let mut engine = Engine::new(Config::default())?;
//! let socket = engine.open(SocketKind::Stream)?;
//! engine.bind(socket, mos_flow::FilterSlot::Syn, Some("tcp dst port 80".parse()?))?;
//! engine.register(socket, Event::NewData, Hook::None, on_data, 0)?;
//!
//! let mut heard = Heard::new();
//! # let packets: [Vec<u8>; 0] = [];
//! for (time, packet) in packets.iter().enumerate() {
//!     let frame = Frame::ethernet(Instant(time as u64), packet);
//!     engine.process_burst(&mut [frame], &mut heard);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A connection, and the events of a stream socket that listens to everything (`S` sender hook, `R` receiver hook,
//! `-` no hook). The state in brackets is what the handler sees of that side:
//!
//! ```text
//!  client                       server
//!    │ ────────── SYN ──────────► │   S client packet_in, conn_start, state_change [SYN-SENT]
//!    │                            │   R server packet_in, conn_start, state_change [SYN-RECEIVED]
//!    │ ◄──────── SYN/ACK ──────── │   S server packet_in    R client packet_in, state_change [ESTABLISHED]
//!    │ ────────── ACK ──────────► │   S client packet_in    R server packet_in, state_change [ESTABLISHED]
//!    │ ───────── "GET" ─────────► │   S client packet_in    R server packet_in
//!    │                            │   R server new_data: read it at once, or
//!    │     (end of the burst)     │   - server new_data: read it now
//!    │ ──── "GET" once more ────► │   S client packet_in    R server retransmission, then packet_in
//!    │ ◄────────── FIN ────────── │   S server packet_in, state_change [FIN-WAIT-1]
//!    │                            │   R client packet_in, state_change [CLOSE-WAIT]
//!    │ ────────── FIN ──────────► │   S client …[LAST-ACK]   R server …[TIME-WAIT]
//!    │ ◄────────── ACK ────────── │   S server packet_in    R client packet_in, state_change [CLOSED]
//!    │                            │   R, S client conn_end   R, S server state_change, conn_end [CLOSED]
//! ```
//!
//! What it does not do yet: edits of packets.
//!
//! Features: `std` ⊃ `alloc` ⊃ nothing. With `alloc` the tables are on the heap ([`Engine::new`]), without it the
//! caller lends them ([`Engine::with_memory`]). Packets never allocate.
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod time;

pub mod memory;

pub mod slab;

pub mod event;

pub mod reason;

pub mod hash;

pub mod wire;

pub mod key;

pub mod table;

pub mod timer;

pub mod defrag;

pub mod stats;

pub mod packet;

pub mod shift;

pub mod edit;

pub mod outbox;

pub mod alias;

pub mod inject;

pub mod filter;

pub mod evict;

pub mod overlap;

pub mod config;

pub mod buffers;

pub mod wait;

pub mod flow;

// One rank: a handler's context leads to the engine, which holds the sockets, which hold the handlers.
pub mod context;
pub mod engine;
pub mod handlers;
pub mod monitor;
pub mod socket;

#[cfg(any(test, feature = "_testing"))]
pub mod testing;

#[cfg(any(test, feature = "_model"))]
pub mod model;

pub use config::{Config, ConfigError, Retention};
pub use context::{Context, Control, EventFilter, Handler, TimerId, Trouble};
pub use edit::{Edit, Layer, PacketError};
pub use engine::{Engine, ResetError};
pub use event::{Event, EventError, EventId, EventSet, Hook, UserEvent};
pub use evict::{EmbryonicThenIdle, Evict};
pub use flow::EndReason;
pub use inject::{InjectError, Outgoing};
pub use monitor::{Monitor, Peek, StreamInfo};
pub use outbox::{Output, Transmit, Way};
pub use overlap::OverlapPolicy;
pub use packet::{Frame, PacketView, Verdict};
pub use reason::DropReason;
pub use socket::{FilterSlot, SocketError, SocketId, SocketKind};
pub use stats::Stats;
pub use time::Instant;
pub use wire::LinkType;

pub use ringbuf_core::{Offset, Overlap, Range};
pub use tcp_reasm::{Patience, Side, Sides, State, Strictness, Timeouts};
