//! [`Engine`]: packets in, events out.
//!
//! # Contract
//! An engine belongs to one thread and shares nothing. Its calls are of four kinds:
//!
//! | kind | calls |
//! |---|---|
//! | set up, at any time between bursts | [`Engine::open`], [`Engine::bind`], [`Engine::close`]; [`Engine::register`], [`Engine::unregister`]; [`Engine::define_event`], [`Engine::alloc_event`], [`Engine::undefine_event`]; [`Engine::start_timer`], [`Engine::stop_timer`]; [`Engine::monitor`] for the settings of one socket |
//! | input | [`Engine::process_burst`], [`Engine::handle_timeout`], [`Engine::shutdown`] |
//! | output | the [`Verdict`] of each frame, [`Engine::output`], [`Engine::poll_transmit`], [`Engine::poll_unwatched`], [`Engine::next_timeout`] |
//! | questions | [`Engine::now`], [`Engine::stats`], [`Engine::flow_count`], [`Engine::sockets_between`], [`Engine::monitor`] to read |
//!
//! # Order
//! Each packet runs to its end before the next: timers that are due by its timestamp, raw sockets, then for a segment
//! of a connection *sender's state → sender hook → retransmission → octets stored → receiver's state → receiver
//! hook*. Errors come between the hooks or after them, overruns before octets go. New data is announced once a burst, after
//! its last packet, or earlier when octets that nobody has read would be pushed out or the connection ends. A burst is
//! [`BURST`] frames: more are taken as several.
//!
//! Who listens to new data at the receiver hook is told by each segment that brings some, and reads it there: with
//! [`Retention::Unread`](crate::Retention) from the packet itself, if it is the next in order and all readers of the stream
//! do so. Then only what one of them leaves is copied to stream memory, when they have returned. What becomes readable
//! without a segment (behind a gap, or because the server takes what came with the SYN) they are told after the burst.
//!
//! # Output
//! After [`Engine::process_burst`] a forwarder sends, for each frame in order, what [`Engine::output`] has for it. That is there
//! until the next burst begins, and every frame of one call is to be had. Then, and after [`Engine::handle_timeout`] and
//! [`Engine::shutdown`], it takes what handlers made with [`Engine::poll_transmit`]: each packet is there until the next
//! call. What nobody takes stays in the queue, and takes the room of other packets. Who only watches calls neither.
//!
//! # In handlers
//! A handler has the engine as a [`Control`](crate::Control), with the same calls to set up, and the packet and its socket by the
//! [`Context`](crate::Context). Whatever is called in whatever order is done or gives an error, and takes effect:
//!
//! | call | effect |
//! |---|---|
//! | open, bind, close a monitor | with the next packet at the latest; active sockets stay |
//! | register, unregister | with the next hook of the socket; on a stream socket for connections that begin later |
//! | define, allocate an event | at once, for those who register for it |
//! | undefine an event | refused ([`EventError::InUse`](crate::EventError)) before the hook at which it had handlers is over |
//! | raise an event | after the handler |
//! | stop a socket | after the hook; the connection is forgotten after the packet or the burst, if nobody else watches |
//! | change the packet | for the handlers after this one, for its receiver, and for the wire |
//! | drop the packet | after the hook: all sockets are told of it, and none can forward it after all |
//! | send, reset | queued at once; a connection that is reset ends after the packet or the burst |
//! | read, skip, buffer off, a larger ring, wait | at once; a smaller ring: at the end of the burst, or when octets come |
//! | choose an overlap policy | with the next segment |
//! | start a timer | it fires at the earliest with the next tick |
//!
//! # Time
//! Time is what the frames say. A frame whose time lies a little before an earlier one is taken at the later time; when
//! time jumps by more than an hour forwards or ten seconds backwards, time-outs go on as if no time had passed; both are
//! counted. [`Engine::now`] is the time of the packet at hand, of the last one between bursts, or what
//! [`Engine::handle_timeout`] was told if that is later. Call that when no packets come, at [`Engine::next_timeout`]. With a
//! capture file there is no need: what is due runs before the next frame, once, at that frame's time. A timer that starts
//! itself again and is to run on time in a silence of the capture needs the call for each time that lies before the next
//! frame. A new engine stands at [`Instant`] 0, and goes to the time of its first frame in one step, timers and all: call
//! nothing for the years between.
//!
//! A frame that comes with a verdict to drop only tells the time, and is counted as [`Stats::passed_over`]. So several engines that are shown the
//! same frames, each connection's left to one of them, do together what one engine does.
//!
//! # Limits
//! All memory is reserved when the engine is made. What each limit of the [`Config`] does when it is reached, and who says so:
//!
//! | limit | told by |
//! |---|---|
//! | `max_flows`, `max_embryonic` | [`Stats::evicted_embryonic`], [`Stats::evicted_idle`]; [`DropReason::TableFull`] and an orphan when nothing gives way |
//! | `max_awake` | [`DropReason::AwakeFull`] and an orphan; [`Trouble::NoMemory`](crate::Trouble) for lent octets that a reader leaves |
//! | `max_sockets` | [`DropReason::SocketsFull`] and an orphan when nothing gives way; [`SocketError::Full`] from [`Engine::open`] |
//! | `max_monitors`, `max_steps`, `max_waits` | [`SocketError::Full`] |
//! | `max_events` | [`EventError::Full`](crate::EventError); [`EventError::TooDeep`](crate::EventError) below [`MAX_DEPTH`](crate::event::MAX_DEPTH) |
//! | `max_timers` | `None` from [`Engine::start_timer`] |
//! | `ring_octets` | [`Trouble::Overrun`](crate::Trouble), [`Stats::overrun_octets`] |
//! | `ahead_octets` | [`Trouble::Window`](crate::Trouble), [`Stats::refused_octets`] |
//! | `chunks`, `max_buffers`, `stream_octets`, `max_ranges`, `max_queues` | [`Trouble::NoMemory`](crate::Trouble), [`Stats::refused_octets`]; before that [`Stats::reclaimed_octets`], [`Stats::shed_octets`] |
//! | `max_output`, `output_octets` | `NoRoom` from [`Context::edit`](crate::Context::edit), [`Edit`](crate::Edit) and [`Context::send`](crate::Context::send); [`DropReason::OutputFull`] for a changed packet, which is dropped |
//! | `max_neighbours` | [`InjectError::Link`](crate::inject::InjectError) for a packet of a connection that lost its link header to another, when none is at hand |
//! | `max_changed` | [`PacketError::TooMany`](crate::PacketError) for what changes a length; what is only overwritten is not repeated |
//! | `max_aliases` | nothing: the answers of a connection without an alias are orphans |
//! | `fragments` | [`Stats::fragments`] |
//!
//! Octets that handlers changed, that come again and are not held any more, are dropped with their packet
//! ([`DropReason::EditLost`]).

mod admit;

mod arrays;

mod announce;

mod burst;

#[cfg(any(test, feature = "_model"))]
mod check;

mod crowd;

mod datagram;

mod dispatch;

mod end;

mod follow;

mod gaps;

mod lend;

mod octets;

mod order;

mod output;

mod raise;

mod register;

mod rewrite;

mod ring;

mod segment;

mod send;

mod shifted;

mod step;

mod timers;

mod turn;

use crate::alias::Aliases;
use crate::buffers::{Buffers, Lending};
use crate::config::{Config, ConfigError};
use crate::context::Stage;
use crate::defrag::Defrag;
use crate::edit::EditBuffer;
use crate::filter::Filter;
use crate::flow::Flows;
use crate::handlers::Handlers;
use crate::key::KeyHasher;
use crate::memory::{Array, DefaultMemory, Memory};
use crate::monitor::Monitor;
use crate::neighbours::Neighbours;
use crate::outbox::Outbox;
use crate::packet::{Frame, PacketRef, Verdict};
use crate::reason::DropReason;
use crate::shift::ShiftMap;
use crate::slab::{Id, Reuse, Slab};
use crate::socket::{FilterSlot, SocketError, SocketId, SocketKind, Sockets};
use crate::stats::Stats;
use crate::table::Table;
use crate::time::{Clock, Instant};
use crate::timer::Wheel;
use crate::wait::Waits;
use crate::wire::Walker;
pub use arrays::Arrays;
use burst::{Look, Lookup, Prepared, Seen};
use core::fmt;
pub use send::ResetError;
use tcp_reasm::{Segment, Sides};
use timers::Alarms;

/// Packets that are prepared together, so that their cache misses overlap.
pub const BURST: usize = 32;
/// Changed copies of the packet in flight: as it came out of a raw socket's hands, as the receiver counts, out of the
/// sender's hook, out of the receiver's hook.
pub const SCRATCH: usize = 4;

/// A packet processor for one core: flow table, connections, sockets, timers. `A` is the application's state, passed
/// in with each call and given to its handlers.
///
/// [The page of its module](crate::engine) is the contract: which calls exist, in which order, what time means, what may be
/// called in handlers, and what becomes of limits.
pub struct Engine<A: 'static, M: Memory = DefaultMemory> {
    pub(crate) config: Config,
    pub(crate) flows: Flows<M>,
    pub(crate) buffers: Buffers<M>,
    pub(crate) sockets: Sockets<A, M>,
    pub(crate) waits: Waits<M>,
    table: Table<M>,
    walker: Walker,
    defrag: Option<Defrag<M>>,
    hasher: KeyHasher,
    aliases: Aliases<M>,
    /// How handlers changed what each side of a connection receives.
    shifts: Slab<Sides<ShiftMap>, M>,
    outbox: Outbox<M>,
    neighbours: Neighbours<M>,
    /// Buffers for changed copies of the packet in flight that are not in use.
    pub(crate) scratch: heapless::Vec<EditBuffer<M>, SCRATCH>,
    /// Time-outs of connections, by the index of the connection.
    wheel: Wheel<M>,
    alarms: Alarms<A, M>,
    stats: Stats,
    pub(crate) clock: Clock,
    /// First and last connection with new data that was not announced.
    pending: (Id, Id),
    /// Octets that handlers look at in the packet at hand.
    pub(crate) lending: Option<Lending>,
    /// Connections that had a packet in this burst, and are to rest after it.
    to_settle: heapless::Vec<Id, BURST>,
    /// Connections that are only remembered (see `Config::linger`).
    lingering: usize,
    /// Connections whose handshake is not complete.
    embryonic: usize,
    /// Where the search for a connection that gives way goes on.
    hand: u32,
    /// A handler that was told of something else than the packet in flight dropped it.
    dropped: bool,
    unwatched: output::Unwatched,
}

impl<A, M: Memory> fmt::Debug for Engine<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({:?}, {:?}, {:?})", self.flows, self.sockets, self.buffers)
    }
}

/// A TCP packet on its way through the engine.
pub(crate) struct Passage<'a, M: Memory> {
    view: PacketRef<'a>,
    segment: &'a Segment<'a>,
    lookup: &'a Lookup,
    verdict: Verdict,
    /// What handlers made of it.
    edited: Option<EditBuffer<M>>,
    /// What can be done to it in the sender's hook.
    stage: Stage,
    /// It came in one piece.
    whole: bool,
    /// It had payload when it came.
    carries: bool,
}

#[cfg(feature = "alloc")]
impl<A> Engine<A, crate::memory::Heap> {
    /// An engine on the heap. All memory is reserved here; packets allocate nothing.
    ///
    /// # Errors
    /// [`ConfigError`] names the limit that is out of range.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let arrays = Arrays::on_heap(&config);
        Engine::with_memory(config, arrays)
    }
}

impl<A, M: Memory> Engine<A, M> {
    /// An engine in memory that the caller lends. Its limits are the capacities of `arrays`.
    ///
    /// # Errors
    /// [`ConfigError`] names the limit of `config` that is out of range, or an array without room.
    pub fn with_memory(config: Config, arrays: Arrays<A, M>) -> Result<Self, ConfigError> {
        config.check()?;
        if arrays.buckets.is_empty() {
            return Err(ConfigError::Zero("buckets"));
        }
        if arrays.handlers.buckets.is_empty() {
            return Err(ConfigError::Zero("handlers.buckets"));
        }
        if arrays.timers.capacity() < arrays.flows.capacity() {
            return Err(ConfigError::TooSmall("timers"));
        }
        if arrays.alarm_timers.capacity() < arrays.alarms.capacity() {
            return Err(ConfigError::TooSmall("alarm_timers"));
        }
        let handlers = Handlers::new(arrays.handlers, config.hash_seed, arrays.alarms.capacity());
        Ok(Engine {
            walker: Walker::new(config.hash_seed)
                .vlans_in_key(config.vlans_in_key)
                .tunnels_in_key(config.tunnels_in_key),
            defrag: config
                .fragments
                .zip(arrays.fragments)
                .map(|(config, arrays)| Defrag::new(config, arrays)),
            hasher: KeyHasher::new(config.hash_seed),
            aliases: Aliases::new(arrays.alias_buckets, arrays.aliases),
            shifts: Slab::new(arrays.shifts, Reuse::Newest),
            outbox: Outbox::new(arrays.output, arrays.output_octets),
            neighbours: Neighbours::new(arrays.neighbours),
            scratch: arrays.scratch.into_iter().map(EditBuffer::new).collect(),
            table: Table::new(arrays.buckets),
            flows: Flows::new(
                arrays.flows,
                arrays.live,
                config.at_ease,
                config.window().ok_or(ConfigError::TooLarge("ring_octets"))?,
            ),
            wheel: Wheel::new(arrays.timers),
            alarms: Alarms::new(arrays.alarms, arrays.alarm_timers),
            buffers: Buffers::new(
                (arrays.octets, arrays.links),
                arrays.streams,
                arrays.ranges,
                arrays.queues,
                config.stream_chunks(),
            ),
            waits: Waits::new(arrays.waits),
            sockets: Sockets::new(arrays.sockets, handlers, arrays.filters, arrays.monitors),
            config,
            stats: Stats::default(),
            clock: Clock::default(),
            pending: (Id::NONE, Id::NONE),
            lending: None,
            to_settle: heapless::Vec::new(),
            lingering: 0,
            embryonic: 0,
            hand: 0,
            dropped: false,
            unwatched: output::Unwatched::new(),
        })
    }

    /// The time of the last packet or time-out.
    pub fn now(&self) -> Instant {
        self.clock.shown()
    }

    /// What the engine has seen and done.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Connections tracked.
    pub fn flow_count(&self) -> usize {
        self.flows.len() - self.lingering
    }

    /// Connections that are awake: see [`flow`](crate::flow).
    pub fn awake_count(&self) -> usize {
        self.flows.awake()
    }

    /// Chunks of stream memory in use, and chunks there are.
    pub fn chunks(&self) -> (u32, u32) {
        self.buffers.chunks()
    }

    /// Opens a raw or stream socket. It sees traffic from the next packet on; opened in a handler of a raw socket it may see
    /// what is left of the way of this one.
    ///
    /// # Errors
    /// [`SocketError::Full`] when all are in use, [`SocketError::WrongKind`] for an active one: those come by
    /// themselves.
    pub fn open(&mut self, kind: SocketKind) -> Result<SocketId, SocketError> {
        match kind {
            SocketKind::Active => Err(SocketError::WrongKind),
            SocketKind::Raw => self.sockets.open(true),
            SocketKind::Stream => self.sockets.open(false),
        }
    }

    /// Closes a raw or stream socket. Connections that it watches stay watched to their end.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`], and [`SocketError::WrongKind`] for an active one (use [`Monitor::stop`]).
    pub fn close(&mut self, socket: SocketId) -> Result<(), SocketError> {
        if self.sockets.get(socket)?.kind == SocketKind::Active {
            return Err(SocketError::WrongKind);
        }
        self.sockets.close(socket)
    }

    /// Sets a filter, or with `None` removes it: then everything matches.
    ///
    /// # Errors
    /// [`SocketError::WrongKind`] when the socket has no such filter.
    pub fn bind(
        &mut self,
        socket: SocketId,
        slot: FilterSlot,
        filter: Option<Filter>,
    ) -> Result<(), SocketError> {
        self.sockets.bind(socket, slot, filter)
    }

    /// A socket, to read from it or set it up between bursts.
    ///
    /// # Errors
    /// [`SocketError::NoSocket`] when it does not exist.
    pub fn monitor(&mut self, socket: SocketId) -> Result<Monitor<'_, A, M>, SocketError> {
        Monitor::new(self, socket)
    }

    /// The socket in a slot, for callers whose own handles are small numbers ([`Id::index`]).
    pub fn socket_at(&self, index: u32) -> Option<SocketId> {
        self.sockets.id_at(index)
    }

    /// Sockets of all kinds that are open.
    pub fn socket_count(&self) -> usize {
        self.sockets.len()
    }

    /// Processes frames in order and announces new data after the last one, for longer bursts after each [`BURST`]
    /// frames. Each frame's verdict is set. What replaced frames of the call before is gone.
    pub fn process_burst(&mut self, frames: &mut [Frame<'_>], app: &mut A) {
        self.outbox.begin_burst();
        for burst in frames.chunks_mut(BURST) {
            self.process_chunk(burst, app);
            self.announce(app);
        }
    }

    /// Counts a frame that is not processed further. It is forwarded all the same: it is not ours to stop.
    fn count_drop(&mut self, reason: DropReason) {
        self.stats.drops[reason] += 1;
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests;
