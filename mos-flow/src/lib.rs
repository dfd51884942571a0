//! Which flow, who listens, what happens to the packet: the mOS model of TCP monitoring, without an operating system.
//!
//! An [`Engine`] is given frames and finds the connection of each, follows both of its ends, rebuilds both byte
//! streams, and calls the application when something happens. Handlers look at packets and streams, change or drop
//! packets, and make some. The engine reads no clock, starts no thread and touches no socket of the system: time and packets
//! come in as arguments, and what is to be sent is asked for.
//!
//! ```text
//!   frames ─► [`wire`] walk ─► [`key`] hash ─► [`table`], [`alias`] ─► [`flow`] ─► tcp_reasm::Conn ─► [`buffers`], [`wait`]
//!                │    ▲                                                 ▲   ▲
//!            fragments │ datagrams                [`timer`], [`evict`] ─┘   └─ [`shift`]: numbers on both sides
//!                ▼    │
//!               [`defrag`]
//!
//!      handlers ◄── [`context`] ◄── [`event`] forest, [`handlers`] in sets ◄── sockets ([`socket`], [`monitor`], [`filter`])
//!         │
//!         ├── the packet in flight, changed: [`edit`] ──► [`outbox`] ──► Engine::output
//!         └── packets of one's own: [`inject`] ─────────► [`outbox`] ──► Engine::poll_transmit
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
//! # A connection
//! A connection, and the events of a stream socket that listens to everything (`S` sender hook, `R` receiver hook,
//! `-` no hook; the side is what [`Context::side`] says). The state in brackets is what the handler sees of that side:
//!
//! ```text
//!  client                       server
//!    │ ────────── SYN ──────────► │   S client packet_in, conn_start, state_change [SYN-SENT]
//!    │                            │   R server packet_in, conn_start, state_change [SYN-RECEIVED]
//!    │ ◄──────── SYN/ACK ──────── │   S server packet_in    R client packet_in, state_change [ESTABLISHED]
//!    │ ────────── ACK ──────────► │   S client packet_in    R server packet_in, state_change [ESTABLISHED]
//!    │ ───────── "GET" ─────────► │   S client packet_in    R server packet_in, new_data (in the packet)
//!    │     (end of the burst)     │   - server new_data (of all packets)
//!    │ ──── "GET" once more ────► │   S client packet_in    R server retransmission, then packet_in
//!    │ ───── beyond window ─────► │   S client packet_in    - server error    R server packet_in
//!    │ ◄────────── FIN ────────── │   S server packet_in, state_change [FIN-WAIT-1]
//!    │                            │   R client packet_in, state_change [CLOSE-WAIT]
//!    │ ───── ACK of the FIN ────► │   S client packet_in    R server packet_in, state_change [FIN-WAIT-2]
//!    │ ────────── FIN ──────────► │   S client packet_in, state_change [LAST-ACK]
//!    │                            │   R server packet_in, state_change [TIME-WAIT]
//!    │ ◄────────── ACK ────────── │   S server packet_in    R client packet_in, state_change [CLOSED]
//!    │                            │   - new_data of either side that was not told yet
//!    │                            │   R, S client conn_end   R, S server state_change, conn_end [CLOSED]
//! ```
//!
//! The end is told once for each side at both hooks, first for the side that received the last packet; streams and the user's
//! word can still be read, and [`Monitor::end_reason`] tells why. Who wants to act once acts at one hook, for one side. With a [`Config::timeouts`] whose `time_wait` is not zero it comes when TIME-WAIT is
//! over. A segment of no connection is an *orphan*, told at no hook. [`Event`] has the order within a hook.
//!
//! # Monitoring sockets
//! - A *raw* socket sees every packet that its filter matches, once, at no hook; TCP segments of no connection it is told of
//!   as orphans, too.
//! - A *stream* socket is a template. A SYN that its filter matches opens an *active* socket with the handlers and settings
//!   that the template has at that moment; what is registered later concerns later connections.
//! - Several templates may match: a connection has one active socket for each, with its own handlers, cursors and word
//!   ([`Monitor::set_user`]). Packets of the client pass them in the order in which the templates were opened, packets of
//!   the server in reverse; what has no direction (new data after the burst, errors, ends) comes in order.
//! - [`Monitor::stop`] ends the events of a side, or of both, for one socket. The hook at hand runs to its end; when no socket
//!   of the connection wants anything any more it is forgotten after the packet, without an end.
//! - [`Engine::close`] closes a template; connections that it watches stay watched.
//!
//! # User-defined events
//! An event of the application lies below a built-in one or another of its own. When that one happens, a filter decides; or it
//! has none, and happens when the handler or filter above [raises](Context::raise) it. The handler above is called first, then
//! what was raised, then what is defined below, in the order of registration. Each filter is asked once, and only where somebody
//! listens; it may do all that a handler may, read too. Sockets with the same handlers share one set of them, so a connection pays nothing for its events.
//!
//! ```
//! # use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Side, SocketKind, UserEvent};
//! #[derive(Default)]
//! struct App {
//!     secret: Option<UserEvent>,
//!     requests: u32,
//!     alarms: u32,
//! }
//!
//! /// Whether the server hears the beginning of a request. Looks without reading.
//! fn is_request(ctx: &mut Context<'_, App>) -> bool {
//!     let mut word = [0; 4];
//!     let Ok(monitor) = ctx.monitor() else { return false };
//!     let seen = monitor.cursor(Side::Server).and_then(|at| monitor.ppeek(Side::Server, at, &mut word));
//!     seen == Ok(4) && word == *b"GET "
//! }
//!
//! fn on_request(ctx: &mut Context<'_, App>) {
//!     let mut line = [0; 11];
//!     let Ok((app, mut monitor)) = ctx.split() else { return };
//!     app.requests += 1;
//!     let secret = app.secret;
//!     let _ = monitor.peek(Side::Server, &mut line); // the cursor moves
//!     let _ = monitor.skip(Side::Server, u64::MAX); // over the rest, too
//!     if line == *b"GET /secret" && let Some(secret) = secret {
//!         let _ = ctx.raise(secret);
//!     }
//! }
//!
//! let mut engine = Engine::new(Config::default())?;
//! let socket = engine.open(SocketKind::Stream)?;
//! let request = engine.define_event(Event::NewData, is_request, 0)?;
//! let secret = engine.alloc_event(request)?;
//! engine.register(socket, request, Hook::None, on_request, 0)?;
//! engine.register(socket, secret, Hook::None, |ctx| ctx.app().alarms += 1, 0)?;
//! # let ends = ["10.0.0.2:40000".parse()?, "10.0.0.1:80".parse()?];
//! # let mut hosts = mos_flow::testing::Exchange::new(ends[0], ends[1], mos_flow::Sides::default());
//! # let mut app = App { secret: Some(secret), ..App::default() };
//! # for frame in hosts.handshake() {
//! #     engine.process_burst(&mut [Frame::ethernet(Instant(0), &frame)], &mut app);
//! # }
//! // … the client asks for three pages, one after the other:
//! for page in ["/", "/secret", "/news"] {
//! #     let frame = hosts.data(Side::Client, format!("GET {page} HTTP/1.1\r\n\r\n").as_bytes());
//! #     let mut burst = [Frame::ethernet(Instant(1), &frame)];
//!     engine.process_burst(&mut burst, &mut app);
//! }
//! assert_eq!((app.requests, app.alarms), (3, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Streams
//! Each socket has a cursor in either stream. [`Monitor::peek`] copies what is next in order and moves it, [`Monitor::skip`]
//! moves it without a look, [`Monitor::read_with`] lends the octets in pieces; lost octets come as [`Peek::Lost`]. By offset,
//! and out of order, read [`Monitor::ppeek`] (a copy) and [`Monitor::piece`] (lent): they move nothing.
//! [`Monitor::wait_for`] lets a socket hear of new data when so many octets are there. [`Monitor::resize`] makes the ring of a
//! connection larger or smaller, [`Monitor::set_overlap`] chooses which copy of an octet counts, both at any time.
//!
//! With [`Retention::Ring`] the last octets of each stream are held, read or not. With [`Retention::Unread`] they go when all
//! readers have read them; and who listens to new data at [`Hook::Receiver`] reads it in the packet itself, without a copy,
//! unless another socket reads later, or the segment is not the next in order.
//!
//! # Changing packets
//! [`Context::edit`] makes a copy of the packet in flight, which is the packet from then on. Checksums are put right once, by
//! what was changed.
//!
//! ```
//! # use mos_flow::{Config, Context, Engine, Event, Frame, Hook, Instant, Side, SocketKind};
//! fn on_packet(ctx: &mut Context<'_, ()>) {
//!     let Some(segment) = ctx.packet().and_then(|packet| packet.segment) else { return };
//!     let Some(at) = segment.payload.windows(4).position(|word| word == b"blue") else { return };
//!     if ctx.edit().and_then(|mut edit| edit.replace(at, 4, b"vermilion")).is_err() {
//!         ctx.drop_packet(); // its sender sends it again
//!     }
//! }
//!
//! let mut engine = Engine::new(Config::default())?;
//! let socket = engine.open(SocketKind::Stream)?;
//! engine.register(socket, Event::PacketIn, Hook::Sender, on_packet, 0)?;
//! # let ends = ["10.0.0.2:40000".parse()?, "10.0.0.1:80".parse()?];
//! # let mut hosts = mos_flow::testing::Exchange::new(ends[0], ends[1], mos_flow::Sides::default());
//! # for frame in hosts.handshake() {
//! #     engine.process_burst(&mut [Frame::ethernet(Instant(0), &frame)], &mut ());
//! # }
//! # let packets = [hosts.data(Side::Client, b"a blue sky"), hosts.data(Side::Client, b"!")];
//!
//! // … after the handshake the client sends "a blue sky", and then "!":
//! let mut burst = packets.each_ref().map(|packet| Frame::ethernet(Instant(1), packet));
//! engine.process_burst(&mut burst, &mut ());
//! let sent: Vec<&[u8]> = burst.iter().flat_map(|frame| engine.output(frame)).collect();
//! assert!(sent[0].ends_with(b"a vermilion sky"));
//! assert_eq!(sent[1].len(), packets[1].len()); // with another sequence number
//! while let Some(made) = engine.poll_transmit() {
//!     // made.octets go where made.way says
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - In the *sender's hook* the receiver gets, and its stream has, what handlers made of the packet, also when the sender
//!   repeats it; a packet that is dropped there, or by a raw socket, never arrives. In the *receiver's hook* the stream has
//!   the octets already: only this packet is another, or missing.
//! - [`Edit::insert`] and [`Edit::chomp`] change lengths: in the sender's hook, of octets that were not forwarded before, on a
//!   connection whose stream is kept. From then on sequence numbers, acknowledgements and SACK blocks are translated.
//! - [`Edit::set_source`] and [`Edit::set_destination`] on a connection's first packet tell under which addresses the answers
//!   are looked for. Each later packet of either side has to be rewritten by the handler.
//! - [`Context::send`] and [`Context::reset`] make packets; [`Transmit::way`] says whether they go where packets of a port go
//!   ([`Way::Along`]), or out by that port ([`Way::Back`]).
//!
//! # Closures, timers, time
//! With `alloc` there are [`Engine::register_with`], [`Engine::define_event_with`] and [`Engine::start_timer_with`] for closures.
//! Timers fire once. Time is what frames and [`Engine::handle_timeout`] say: see [`engine`].
//!
//! # What it does not do
//! It is no end host: it holds no connection of its own. Packets in IP fragments or tunnels are followed, and can be dropped, but
//! not changed. Urgent data stays in the stream. One engine is for one core and shares nothing.
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

pub mod neighbours;

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
pub use context::{Clash, Context, Control, EventFilter, Handler, TimerId, Trouble};
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

pub use ringbuf_core::{Offset, Overlap, Range, SeqNum};
pub use tcp_reasm::options::Timestamps;
pub use tcp_reasm::{Flags, Patience, Segment, Side, Sides, State, Strictness, Timeouts};
