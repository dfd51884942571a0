//! The records of connections: a short one for each, and a long one for those that are not at rest.
//!
//! Of ten million connections nearly all are silent at any moment, and hold no octets. Such a connection is *at rest*:
//! all of it is in its [`Flow`], the state of both ends in the short form of [`PackedConn`], which most segments leave as
//! short as it is. When more comes of it, or octets are to be kept, it *wakes*: it gets a [`Live`] record with its
//! [`Conn`] in full. After the burst it goes to rest again if it can, and if there are more live records than a cache
//! holds; so few connections stay awake, and many cost little. When there is no live record left, others that can are put
//! to rest first.
//!
//! # Invariants
//! 1. A flow is at rest, or it has exactly one live record, which names it.
//! 2. A flow in the list of those with something to do after the burst is awake.

mod short;

pub(crate) use short::Turn;

use crate::event::{EventSet, Hook};
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::neighbours::NeighbourRef;
use crate::overlap::OverlapPolicy;
use crate::slab::{Id, NONE, Reuse, Slab, Slot};
use crate::time::Instant;
use core::fmt;
use ringbuf_core::window::Window;
use ringbuf_core::{Offset, hint};
use tcp_reasm::{Conn, PackedConn, Side, Sides, State, Timers};
use zerocopy::byteorder::native_endian::U64;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides closed it.
    Closed,
    /// Its place was needed for another one: see [`Evict`](crate::evict::Evict).
    Evicted,
    /// A RST.
    Reset,
    /// A new connection between the same ports took its place.
    Replaced,
    /// The engine was shut down.
    Shutdown,
    /// Nothing was heard of it for too long.
    TimedOut,
}

/// One connection. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Flow {
    pub(crate) key: FlowKey,
    /// The connection, while it is at rest.
    rest: Option<PackedConn>,
    /// When its last packet came, in running time, while it is at rest.
    last: U64,
    /// Number in the order of appearance, from 0: that of 2^48 connections is enough.
    number: [u8; 6],
    /// What stood before IP in its first packet.
    pub(crate) neighbour: NeighbourRef,
    /// Its live record.
    live: u32,
    /// First of the ring of sockets that watch it, in the order of their monitors.
    pub(crate) first_socket: u32,
    /// Events that some socket has, or had, a handler for, by hook.
    pub(crate) interest: [EventSet; 3],
    /// Which copy of an octet each stream keeps.
    pub(crate) overlap: Sides<OverlapPolicy>,
    marks: u8,
    /// It ended; the record only keeps stray packets from starting a new one.
    pub(crate) over: Option<EndReason>,
}

// A flow table of ten million is made of these. Its 64-bit numbers need no alignment, so that nothing is lost to padding.
const _: () = assert!(size_of::<Slot<Flow>>() == 160);

/// What is so, or not, of a connection; a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mark {
    /// The endpoint with the low address is the client.
    ClientIsLow = 1,
    /// Its handshake is not complete, or only one side was heard.
    Embryonic = 2,
    /// A socket stopped watching; perhaps no one is left.
    Stopped = 4,
    /// Some socket has read in order.
    Read = 8,
    /// Its beginning was told.
    Announced = 16,
    /// The octets of the stream that the client receives are kept.
    ClientBuffered = 32,
    /// The octets of the stream that the server receives are kept.
    ServerBuffered = 64,
    /// The server was heard.
    Answered = 128,
}

impl Mark {
    /// The octets of the stream that `side` receives are kept.
    pub(crate) const fn buffered(side: Side) -> Mark {
        match side {
            Side::Client => Mark::ClientBuffered,
            Side::Server => Mark::ServerBuffered,
        }
    }
}

/// What a connection has besides while it is awake. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Live {
    /// The flow that it belongs to.
    owner: u32,
    pub(crate) conn: Conn,
    /// What happened when, in running time.
    pub(crate) timers: Timers<Instant>,
    /// Memory of the stream each side receives.
    pub(crate) buffers: Sides<Id>,
    /// Its other addresses, on the server's side.
    pub(crate) alias: Id,
    /// How handlers changed what each side receives.
    pub(crate) shifts: Id,
    /// A handler has reset it.
    pub(crate) reset: bool,
    /// Neighbours in the list of connections with something to do after the burst.
    pub(crate) next_pending: Id,
    pub(crate) previous_pending: Id,
    /// Streams with octets that were not announced yet.
    pub(crate) pending: Sides<bool>,
    /// Those of them whose octets came with no segment: nobody was told at a hook.
    pub(crate) belated: Sides<bool>,
    pub(crate) in_pending_list: bool,
    /// First in the list of sockets that wait for octets.
    pub(crate) waits: u32,
    /// In-order octets that each stream keeps, once that was found out.
    pub(crate) rings: Sides<Option<u32>>,
    /// Rings that became smaller: looked at after the burst.
    pub(crate) shrunk: Sides<bool>,
    /// It is looked at: it must not go to rest.
    pub(crate) pinned: bool,
}

impl Flow {
    /// A connection that is yet to be opened.
    pub(crate) fn new(key: FlowKey, number: u64, client_is_low: bool, overlap: OverlapPolicy) -> Self {
        Flow {
            key,
            rest: None,
            last: U64::ZERO,
            number: core::array::from_fn(|i| number.to_le_bytes().get(i).copied().unwrap_or(0)),
            neighbour: NeighbourRef::NONE,
            live: NONE,
            first_socket: NONE,
            interest: [EventSet::NONE; 3],
            overlap: Sides::from_fn(|_| overlap),
            marks: Mark::Embryonic as u8 | if client_is_low { Mark::ClientIsLow as u8 } else { 0 },
            over: None,
        }
    }

    #[inline]
    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    pub(crate) fn set(&mut self, mark: Mark, so: bool) {
        self.marks = self.marks & !(mark as u8) | if so { mark as u8 } else { 0 };
    }

    /// Whether `mark` was set; now it is not.
    pub(crate) fn take(&mut self, mark: Mark) -> bool {
        let was = self.is(mark);
        self.set(mark, false);
        was
    }

    #[inline]
    pub(crate) fn is_awake(&self) -> bool {
        self.live != NONE
    }

    /// Whether both sides were heard, its beginning was told, and no socket has stopped.
    #[inline]
    pub(crate) fn is_heard_and_watched(&self) -> bool {
        const SET: u8 = Mark::Announced as u8 | Mark::Answered as u8;
        const CLEAR: u8 = Mark::Embryonic as u8 | Mark::Stopped as u8;
        self.marks & (SET | CLEAR) == SET
    }

    /// Whether the octets of the stream that `side` receives are kept.
    pub(crate) fn is_buffered(&self, side: Side) -> bool {
        self.is(Mark::buffered(side))
    }

    /// Whether its handshake has come further with a segment, or its mark does not say yet how far it is.
    pub(crate) fn progresses(&self, was_embryonic: bool, embryonic: bool) -> bool {
        embryonic != was_embryonic || self.counts_as_embryonic(embryonic) != self.is(Mark::Embryonic)
    }

    /// Whether it counts among the handshakes: it is in one, or its server was not heard.
    pub(crate) fn counts_as_embryonic(&self, embryonic: bool) -> bool {
        embryonic || !self.is(Mark::Answered)
    }

    /// Whether some socket has, or had, a handler for one of `events` at a hook.
    #[inline]
    pub(crate) fn asks(&self, hook: Hook, events: EventSet) -> bool {
        !(self.interest[hook as usize] & events).is_empty()
    }

    /// Number in the order of appearance, from 0.
    pub(crate) fn number(&self) -> u64 {
        let [a, b, c, d, e, f] = self.number;
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    /// Whether it rests in its handshake: what it says, not what was heard.
    pub(crate) fn is_embryonic_at_rest(&self) -> bool {
        self.rest.is_some_and(|rest| rest.is_embryonic())
    }

    /// Whether it rests although octets are missing: the packet that said so was dropped on its way.
    pub(crate) fn rests_with_gap(&self) -> bool {
        let rest = self.rest.filter(|_| !self.is_awake());
        rest.is_some_and(|rest| Side::BOTH.into_iter().any(|side| rest.may_have_gap(side)))
    }

    /// When its last packet came, in running time, while it is at rest.
    fn last(&self) -> Instant {
        Instant(self.last.get())
    }

    /// The sender of a packet that goes from the low endpoint to the high one, or the other way.
    pub(crate) fn sender(&self, ascending: bool) -> Side {
        if ascending == self.is(Mark::ClientIsLow) { Side::Client } else { Side::Server }
    }
}

impl Live {
    fn new(owner: u32, conn: Conn, timers: Timers<Instant>) -> Self {
        Live {
            owner,
            conn,
            timers,
            buffers: Sides::from_fn(|_| Id::NONE),
            alias: Id::NONE,
            shifts: Id::NONE,
            reset: false,
            next_pending: Id::NONE,
            previous_pending: Id::NONE,
            pending: Sides::default(),
            belated: Sides::default(),
            in_pending_list: false,
            waits: NONE,
            rings: Sides::default(),
            shrunk: Sides::default(),
            pinned: false,
        }
    }

    /// Where the stream that `side` receives ends for its readers. What came with the SYN does not exist before the server
    /// has taken it.
    pub(crate) fn readable(&self, side: Side) -> Offset {
        let hidden = side == Side::Server && self.conn.has_undecided_syn_data();
        if hidden { Offset::ZERO } else { self.conn.stream(side).next() }
    }

    /// Whether the stream that `side` receives is to be looked at after the burst.
    #[inline]
    pub(crate) fn has_news(&self, side: Side) -> bool {
        self.pending[side] || self.shrunk[side] || self.waits != NONE
    }

    /// Whether something of the stream that `side` receives is to be told before the connection ends.
    pub(crate) fn owes(&self, side: Side) -> bool {
        self.has_news(side) || self.conn.may_have_gap(side) || self.timers.has_holes()
    }

    /// Nothing that was left undone has to be looked at with each of its segments.
    fn is_in_step(&self) -> bool {
        self.shifts.is_none() && !self.reset && !self.timers.has_holes()
    }

    /// Nothing of it needs the long record, whatever may be said of the connection.
    fn is_free(&self) -> bool {
        let holds = self.buffers.client != Id::NONE || self.buffers.server != Id::NONE || self.waits != NONE;
        let changed = !(self.alias.is_none() && self.shifts.is_none());
        !(self.pinned || self.in_pending_list || holds || changed || self.timers.has_holes())
    }
}

/// All connections of an engine.
pub(crate) struct Flows<M: Memory> {
    flows: Slab<Flow, M>,
    live: Slab<Live, M>,
    /// Where the search for a connection that can go to rest goes on.
    hand: u32,
    /// Live records that are left to their flows, in case they are needed again soon.
    at_ease: usize,
    /// An empty window, as every stream begins with.
    window: Window,
}

/// What there is no more of for a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFlow {
    /// Records of connections.
    Flows,
    /// Live records.
    Live,
}

impl<M: Memory> fmt::Debug for Flows<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {:?} awake", self.flows, self.live)
    }
}

impl<M: Memory> Flows<M> {
    pub(crate) fn new(
        flows: M::Of<Slot<Flow>>,
        live: M::Of<Slot<Live>>,
        at_ease: usize,
        window: Window,
    ) -> Self {
        Flows {
            flows: Slab::new(flows, Reuse::Newest),
            live: Slab::new(live, Reuse::Newest),
            hand: 0,
            at_ease,
            window,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// Connections that are awake.
    pub(crate) fn awake(&self) -> usize {
        self.live.len()
    }

    /// Whether live records have become so many that connections go to rest when they can.
    #[inline]
    pub(crate) fn is_crowded(&self) -> bool {
        self.live.len() > self.at_ease.min(self.live.capacity() / 2)
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// The most connections there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.flows.capacity()
    }

    /// Adds a connection that is awake.
    pub(crate) fn insert(&mut self, flow: Flow, conn: &Conn, now: Instant) -> Result<Id, NoFlow> {
        let id = self.flows.insert(flow).map_err(|_| NoFlow::Flows)?;
        let Ok(live) = self.live.insert(Live::new(id.index(), *conn, Timers::new(now))) else {
            self.flows.remove(id);
            return Err(NoFlow::Live);
        };
        if let Some(flow) = self.flows.get_mut(id) {
            flow.live = live.index();
        }
        Ok(id)
    }

    pub(crate) fn remove(&mut self, id: Id) {
        if let Some(Flow { live, .. }) = self.flows.remove(id) {
            self.drop_live(live);
        }
    }

    fn drop_live(&mut self, index: u32) {
        if let Some(live) = self.live.id_at(index) {
            self.live.remove(live);
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<&Flow> {
        self.flows.get(id)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Flow> {
        self.flows.get_mut(id)
    }

    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&Flow> {
        self.flows.at(index)
    }

    pub(crate) fn id_at(&self, index: u32) -> Option<Id> {
        self.flows.id_at(index)
    }

    /// The record at an index, if that is the connection with `key`.
    #[inline]
    pub(crate) fn with_key(&self, index: u32, key: &FlowKey) -> Option<Id> {
        self.flows.at(index).filter(|flow| flow.key == *key).and_then(|_| self.flows.id_at(index))
    }

    /// Indices below this one were in use.
    pub(crate) fn slots(&self) -> u32 {
        self.flows.slots()
    }

    /// Asks for the memory of a record.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(slot) = self.flows.slot(index) {
            hint::prefetch_all(slot);
        }
    }

    /// Whether live records are so many that not all of them are near.
    #[inline]
    pub(crate) fn are_far_apart(&self) -> bool {
        self.live.are_far_apart()
    }

    /// Asks for the memory of the live record of a connection that is awake.
    #[inline]
    pub(crate) fn prefetch_live(&self, index: u32) {
        if let Some(slot) = self.flows.at(index).and_then(|flow| self.live.slot(flow.live)) {
            hint::prefetch_all(slot);
        }
    }

    /// See [`Slab::next_from`].
    pub(crate) fn next_from(&self, hand: &mut u32, wanted: impl Fn(&Flow) -> bool) -> Option<Id> {
        self.flows.next_from(hand, wanted)
    }

    /// The live record of a connection that is awake.
    #[inline]
    pub(crate) fn live(&self, id: Id) -> Option<&Live> {
        self.live.at(self.flows.get(id)?.live)
    }

    /// The live record of a connection that is awake.
    #[inline]
    pub(crate) fn live_mut(&mut self, id: Id) -> Option<&mut Live> {
        self.live.at_mut(self.flows.get(id)?.live)
    }

    /// Both records of a connection that is awake.
    #[inline]
    pub(crate) fn both(&self, id: Id) -> Option<(&Flow, &Live)> {
        let flow = self.flows.get(id)?;
        Some((flow, self.live.at(flow.live)?))
    }

    /// Both records of a connection that is awake.
    #[inline]
    pub(crate) fn both_mut(&mut self, id: Id) -> Option<(&mut Flow, &mut Live)> {
        let flow = self.flows.get_mut(id)?;
        let live = self.live.at_mut(flow.live)?;
        Some((flow, live))
    }

    /// The live record of a connection, if it is awake.
    #[inline]
    pub(crate) fn live_of(&self, flow: &Flow) -> Option<&Live> {
        self.live.at(flow.live)
    }

    /// When the last packet of a connection came, in running time.
    pub(crate) fn last_packet(&self, flow: &Flow) -> Instant {
        self.live_of(flow).map_or(flow.last(), |live| live.timers.last())
    }

    /// The connection, awake or not, for a look at it.
    pub(crate) fn conn(&self, id: Id) -> Option<Conn> {
        let flow = self.flows.get(id)?;
        self.live.at(flow.live).map(|live| live.conn).or_else(|| Some(flow.rest?.unpack(&self.window)))
    }

    /// Wakes a connection, which began when `began` says if it matters. Returns whether it is awake: not when all live
    /// records are in use.
    #[inline]
    pub(crate) fn wake(&mut self, id: Id, began: impl FnOnce(&Flow) -> Option<Instant>) -> bool {
        let Some(flow) = self.flows.get_mut(id) else { return false };
        if flow.live != NONE {
            return true;
        }
        let Some(rest) = flow.rest else { return false };
        let mut timers = Timers::new(began(flow).unwrap_or(flow.last()));
        timers.on_segment(flow.last());
        let live = Live::new(id.index(), rest.unpack(&self.window), timers);
        let Ok(live) = self.live.insert(live) else { return false };
        flow.live = live.index();
        true
    }

    /// The live record of a connection that can take a segment in step.
    pub(crate) fn wake_in_step(&mut self, id: Id) -> Option<&mut Live> {
        if !self.wake(id, |_| None) {
            return None;
        }
        self.live_mut(id).filter(|live| live.is_in_step())
    }

    /// The next connections that may be able to go to rest, round and round: each call goes on where the last one ended.
    pub(crate) fn next_awake(&mut self) -> Option<Id> {
        let live = self.live.next_from(&mut self.hand, Live::is_free)?;
        self.flows.id_at(self.live.get(live)?.owner)
    }

    /// What the short record of a connection at rest says.
    pub(crate) fn rest_of<'a>(&self, flow: &'a Flow) -> Option<&'a PackedConn> {
        flow.rest.as_ref().filter(|_| flow.live == NONE)
    }

    /// Both sides are CLOSED now. Returns which of them changed.
    pub(crate) fn expire(&mut self, id: Id) -> Sides<Option<State>> {
        if let Some(live) = self.live_mut(id) {
            return live.conn.expire();
        }
        let rest = self.get_mut(id).and_then(|flow| flow.rest.as_mut());
        rest.map_or(Sides::default(), PackedConn::expire)
    }

    /// Something came of a connection now.
    pub(crate) fn touch(&mut self, id: Id, now: Instant) {
        match self.live_mut(id) {
            Some(live) => live.timers.on_segment(now),
            None => {
                if let Some(flow) = self.get_mut(id) {
                    flow.last = now.0.into();
                }
            }
        }
    }

    /// Puts a connection to rest, if nothing about it needs more than the short record.
    pub(crate) fn settle(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        let Some(live) = self.live.at(flow.live) else { return };
        if !live.is_free() {
            return;
        }
        if let Some(rest) = PackedConn::pack(&live.conn, &self.window) {
            let (last, index) = (live.timers.last(), core::mem::replace(&mut flow.live, NONE));
            (flow.rest, flow.last) = (Some(rest), last.0.into());
            self.drop_live(index);
        }
    }
}
