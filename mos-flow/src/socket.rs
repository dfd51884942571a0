//! Monitoring sockets.
//!
//! A *raw* socket sees every packet once. A *stream* socket is a template: a SYN that its filter matches opens an
//! *active* socket, one for each connection and template, with the template's handlers as they are at that moment.
//! Active sockets live until the connection's last event.
//!
//! # Invariants
//! 1. An active socket is in the ring of exactly one connection, which closes it before it goes: so places lead from one
//!    to the other, without generations.
//! 2. The sockets of a connection are in the order of their monitors, no more than one for each.

mod kind;

pub(crate) use kind::Kind;

use crate::config::{MAX_MONITORS, MAX_RING, MIN_RING};
use crate::event::{EventId, EventSet, Hook};
use crate::filter::Filter;
use crate::handlers::{Handlers, Registration};
use crate::memory::Memory;
use crate::overlap::OverlapPolicy;
use crate::slab::{Id, NONE, Reuse, Slab, Slot};
use core::fmt;
use kind::{Number, Numbers};
use ringbuf_core::{Offset, hint};
use tcp_reasm::{Side, Sides};
use zerocopy::byteorder::native_endian::U64;

/// A socket's handle. Stale handles are refused, never mistaken for a newer socket.
pub type SocketId = Id;

/// The kinds of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketKind {
    /// Watches one connection; opened by the engine.
    Active,
    /// Sees every packet.
    Raw,
    /// A template for the connections that its filter matches.
    Stream,
}

/// Why a call on a socket is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketError {
    /// Keeping octets was switched off for that side, or there is no stream yet.
    Disabled,
    /// All sockets, monitors or steps of handler sets are in use.
    Full,
    /// The event does not exist (any more).
    NoEvent,
    /// No handler is registered there.
    NoHandler,
    /// No octet has been received at that offset, or it is not held any more.
    NoData,
    /// The socket does not exist (any more).
    NoSocket,
    /// That side's handshake has not come far enough to receive anything.
    NotConnected,
    /// More octets than a ring can have, or than this one has.
    TooLong,
    /// The event is not raised at that hook.
    WrongHook,
    /// The socket is of another kind.
    WrongKind,
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SocketError::Disabled => "octets of that side are not kept",
            SocketError::Full => "all sockets or handlers are in use",
            SocketError::NoEvent => "no such event",
            SocketError::NoHandler => "no handler is registered for that event",
            SocketError::NoData => "no octet is held at that offset",
            SocketError::NoSocket => "no such socket",
            SocketError::NotConnected => "that side cannot receive yet",
            SocketError::TooLong => "more octets than the ring can hold",
            SocketError::WrongHook => "that event is not raised at that hook",
            SocketError::WrongKind => "not possible with that kind of socket",
        })
    }
}

impl core::error::Error for SocketError {}

/// One socket. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Socket {
    pub(crate) kind: Kind,
    /// The set of handlers; shared by all sockets that have the same.
    handlers: u32,
    /// The connection of an active socket, which closes it before it goes; the filters of another one.
    belongs_to: u32,
    /// Neighbours in the ring of the connection's sockets.
    pub(crate) next: u32,
    pub(crate) previous: u32,
    /// The application's word.
    user: U64,
    /// Everything below was read (or lost).
    cursors: Sides<U64>,
    /// What is wanted of each side.
    pub(crate) wishes: Sides<Wishes>,
    /// How many octets it wants kept in order: four bits a side.
    rings: u8,
}

// Fifteen sizes, and none, have their place in four bits.
const _: () = assert!(MIN_RING << 14 == MAX_RING);

// One for each connection and monitor. Its 64-bit numbers need no alignment, so that nothing is lost to padding.
const _: () = assert!(size_of::<Slot<Socket>>() == 48);

/// What a socket wants of one side; in one octet, because there may be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wishes(u8);

impl Wishes {
    const EVENTS: u8 = 1;
    const OCTETS: u8 = 2;
    /// Where the number of an overlap policy begins: four bits, of which 0 is none and `n` the one before `n` in the list
    /// of all.
    const POLICY: u32 = 2;
    const POLICY_BITS: u8 = 15 << Wishes::POLICY;

    /// Events and octets, these by the configuration's policy.
    const ALL: Wishes = Wishes(Wishes::EVENTS | Wishes::OCTETS);

    /// Whether events of the side are delivered.
    pub(crate) fn events(self) -> bool {
        self.0 & Wishes::EVENTS != 0
    }

    pub(crate) fn no_events(&mut self) {
        self.0 &= !Wishes::EVENTS;
    }

    /// Whether octets of the side are wanted.
    pub(crate) fn octets(self) -> bool {
        self.0 & Wishes::OCTETS != 0
    }

    /// Whether both are.
    #[inline]
    pub(crate) fn reads(self) -> bool {
        self.0 & (Wishes::EVENTS | Wishes::OCTETS) == Wishes::EVENTS | Wishes::OCTETS
    }

    pub(crate) fn want_octets(&mut self) {
        self.0 |= Wishes::OCTETS;
    }

    pub(crate) fn no_octets(&mut self) {
        self.0 &= !Wishes::OCTETS;
    }

    /// Which copy of an octet the side's stream keeps, if the configuration's choice is not wanted.
    pub(crate) fn overlap(self) -> Option<OverlapPolicy> {
        let number = usize::from((self.0 & Wishes::POLICY_BITS) >> Wishes::POLICY);
        OverlapPolicy::ALL.get(number.wrapping_sub(1)).copied()
    }

    pub(crate) fn set_overlap(&mut self, policy: OverlapPolicy) {
        let number = (1_u8..).zip(OverlapPolicy::ALL).find(|(_, p)| *p == policy).map_or(0, |(n, _)| n);
        self.0 = self.0 & !Wishes::POLICY_BITS | number << Wishes::POLICY;
    }
}

/// Filters of a monitor.
#[derive(Debug, Default)]
pub struct MonitorFilters {
    /// Packets (raw), or first SYNs (stream).
    first: Option<Filter>,
    /// Orphans (stream).
    orphan: Option<Filter>,
    /// The monitor's number.
    number: Option<Number>,
}

/// Which filter of a monitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterSlot {
    /// Of a raw socket: the packets it sees.
    Packet,
    /// Of a stream socket: the SYNs whose connections it watches.
    Syn,
    /// Of a stream socket: the orphans it sees.
    Orphan,
}

/// All sockets of an engine.
pub(crate) struct Sockets<A: 'static, M: Memory> {
    sockets: Slab<Socket, M>,
    pub(crate) handlers: Handlers<A, M>,
    filters: Slab<MonitorFilters, M>,
    /// Raw and stream sockets in the order of their creation.
    monitors: M::Of<Id>,
    monitor_count: usize,
    /// How many of them are raw.
    raw_count: usize,
    numbers: Numbers,
}

/// Monitors, copied: what happens while they are gone through changes nothing.
pub(crate) type Snapshot = heapless::Vec<SocketId, MAX_MONITORS>;

/// Some of the monitors: a bit for the place of each in the order of creation. It holds until one is opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selection(u64);

const _: () = assert!(MAX_MONITORS <= u64::BITS as usize);

impl Selection {
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl<A, M: Memory> fmt::Debug for Sockets<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sockets({:?}, {} monitors)", self.sockets, self.monitor_count)
    }
}

impl<A, M: Memory> Sockets<A, M> {
    /// `monitors` has one [`Id::NONE`] for each monitor there can be.
    pub(crate) fn new(
        sockets: M::Of<Slot<Socket>>,
        handlers: Handlers<A, M>,
        filters: M::Of<Slot<MonitorFilters>>,
        monitors: M::Of<Id>,
    ) -> Self {
        Sockets {
            sockets: Slab::new(sockets, Reuse::Oldest),
            handlers,
            filters: Slab::new(filters, Reuse::Newest),
            monitors,
            monitor_count: 0,
            raw_count: 0,
            numbers: Numbers::new(),
        }
    }

    /// Whether there is a raw socket.
    #[inline]
    pub(crate) fn has_raw(&self) -> bool {
        self.raw_count > 0
    }

    /// The monitors as they are now, in the order of creation.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let all = self.monitors.get(..self.monitor_count).unwrap_or_default();
        all.iter().copied().take(MAX_MONITORS).collect()
    }

    /// The monitors that are `wanted`.
    pub(crate) fn select(&self, wanted: impl Fn(SocketId, &Socket) -> bool) -> Selection {
        let all = self.monitors.get(..self.monitor_count).unwrap_or_default().iter();
        let bits = (0..).zip(all).map(|(place, id)| {
            let is_wanted = self.get(*id).is_ok_and(|socket| wanted(*id, socket));
            u64::from(is_wanted) << place
        });
        Selection(bits.fold(0, |all, bit| all | bit))
    }

    /// Takes the first monitor out of a selection.
    pub(crate) fn take_first(&self, selection: &mut Selection) -> Option<SocketId> {
        let place = selection.0.trailing_zeros() as usize;
        selection.0 &= selection.0.wrapping_sub(1);
        self.monitors.get(..self.monitor_count)?.get(place).copied()
    }

    #[inline]
    pub(crate) fn get(&self, id: SocketId) -> Result<&Socket, SocketError> {
        self.sockets.get(id).ok_or(SocketError::NoSocket)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: SocketId) -> Result<&mut Socket, SocketError> {
        self.sockets.get_mut(id).ok_or(SocketError::NoSocket)
    }

    /// The socket in a slot.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<&Socket> {
        self.sockets.at(index)
    }

    /// The socket in a slot.
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut Socket> {
        self.sockets.at_mut(index)
    }

    /// Asks for the memory of a socket.
    #[inline]
    pub(crate) fn prefetch(&self, index: u32) {
        if let Some(slot) = self.sockets.slot(index) {
            hint::prefetch_all(slot);
        }
    }

    /// The socket in a slot, and its id.
    #[inline]
    pub(crate) fn with_id(&self, index: u32) -> Option<(SocketId, &Socket)> {
        self.sockets.with_id(index)
    }

    /// The id of the socket in a slot.
    pub(crate) fn id_at(&self, index: u32) -> Option<SocketId> {
        self.sockets.id_at(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    /// Sets of handlers and filters belong to sockets that exist.
    #[cfg(any(test, feature = "_model"))]
    #[allow(clippy::missing_panics_doc)]
    pub(crate) fn check(&self) {
        self.handlers.check(|set| {
            self.sockets.ids().filter(|id| self.sockets.get(*id).is_some_and(|s| s.handlers == set)).count()
        });
        assert_eq!(self.filters.len(), self.monitor_count, "filters are those of monitors");
        assert_eq!(self.numbers.total(), self.sockets.len(), "each socket has a number");
    }

    /// Opens a raw socket, or a stream socket.
    pub(crate) fn open(&mut self, raw: bool) -> Result<SocketId, SocketError> {
        if self.monitor_count == self.monitors.len().min(MAX_MONITORS) {
            return Err(SocketError::Full);
        }
        let number = self.numbers.take().ok_or(SocketError::Full)?;
        let opened = self.open_numbered(raw, number);
        if opened.is_err() {
            self.numbers.leave(number);
        }
        opened
    }

    fn open_numbered(&mut self, raw: bool, number: Number) -> Result<SocketId, SocketError> {
        let handlers = self.handlers.empty()?;
        let filters = MonitorFilters { number: Some(number), ..MonitorFilters::default() };
        let Ok(filters) = self.filters.insert(filters) else {
            self.handlers.leave(handlers);
            return Err(SocketError::Full);
        };
        let kind = if raw { Kind::RAW } else { Kind::STREAM };
        match self.sockets.insert(Socket::new(kind, handlers, filters.index())) {
            Ok(id) => {
                self.monitors[self.monitor_count] = id;
                self.monitor_count += 1;
                self.raw_count += usize::from(raw);
                Ok(id)
            }
            Err(_) => {
                self.handlers.leave(handlers);
                self.filters.remove(filters);
                Err(SocketError::Full)
            }
        }
    }

    /// Opens an active socket for `flow` with the handlers and settings of `monitor`.
    pub(crate) fn open_active(&mut self, monitor: SocketId, flow: u32) -> Result<SocketId, SocketError> {
        let template = self.get(monitor)?;
        let (handlers, wishes, rings) = (template.handlers, template.wishes, template.rings);
        let number = self.number(template).ok_or(SocketError::WrongKind)?;
        let socket = Socket { wishes, rings, ..Socket::new(Kind::active(number), handlers, flow) };
        let id = self.sockets.insert(socket).map_err(|_| SocketError::Full)?;
        self.handlers.join(handlers);
        self.numbers.join(number);
        Ok(id)
    }

    /// The number that a monitor has in common with the active sockets that were opened for it.
    fn number(&self, socket: &Socket) -> Option<Number> {
        socket.kind.monitor().or_else(|| self.filters.at(socket.belongs_to)?.number)
    }

    /// The monitor that an active socket was opened for; `None` when it was closed.
    pub(crate) fn monitor_of(&self, socket: &Socket) -> Option<SocketId> {
        let number = socket.kind.monitor()?;
        let monitors = self.monitors.get(..self.monitor_count)?.iter().copied();
        monitors.into_iter().find(|id| self.get(*id).is_ok_and(|s| self.number(s) == Some(number)))
    }

    /// Puts an active socket into the ring of its connection, before `first`; that may be the socket itself.
    pub(crate) fn link_before(&mut self, index: u32, first: u32) {
        let Some(f) = self.at_mut(first) else { return };
        let last = if first == index { index } else { f.previous };
        f.previous = index;
        if let Some(l) = self.at_mut(last) {
            l.next = index;
        }
        if let Some(s) = self.at_mut(index) {
            (s.next, s.previous) = (first, last);
        }
    }

    /// Removes the active socket in a slot. Returns the next one of its ring.
    pub(crate) fn close_active(&mut self, index: u32) -> Option<u32> {
        let socket = self.sockets.remove(self.sockets.id_at(index)?)?;
        self.handlers.leave(socket.handlers);
        self.numbers.leave(socket.kind.monitor()?);
        Some(socket.next)
    }

    /// Removes a monitor.
    pub(crate) fn close(&mut self, id: SocketId) -> Result<(), SocketError> {
        let socket = self.sockets.remove(id).ok_or(SocketError::NoSocket)?;
        self.handlers.leave(socket.handlers);
        if let Some(number) = self.number(&socket) {
            self.numbers.leave(number);
        }
        if let Some(filters) = self.filters.id_at(socket.belongs_to) {
            self.filters.remove(filters);
        }
        if let Some(at) = self.monitors[..self.monitor_count].iter().position(|m| *m == id) {
            self.monitors.copy_within(at + 1..self.monitor_count, at);
            self.monitor_count -= 1;
            self.raw_count -= usize::from(socket.kind == SocketKind::Raw);
        }
        Ok(())
    }

    /// Registers or, with `None`, removes a handler.
    pub(crate) fn register(
        &mut self,
        id: SocketId,
        event: EventId,
        hook: Hook,
        registration: Option<Registration<A, M>>,
    ) -> Result<(), SocketError> {
        let before = self.get(id)?.handlers;
        let handlers = self.handlers.changed(before, event, hook, registration)?;
        self.get_mut(id)?.handlers = handlers;
        self.handlers.leave(before);
        Ok(())
    }

    /// Sets or clears a filter of a monitor.
    pub(crate) fn bind(
        &mut self,
        id: SocketId,
        slot: FilterSlot,
        filter: Option<Filter>,
    ) -> Result<(), SocketError> {
        let socket = self.get(id)?;
        let fits = match slot {
            FilterSlot::Packet => socket.kind == SocketKind::Raw,
            FilterSlot::Syn | FilterSlot::Orphan => socket.kind == SocketKind::Stream,
        };
        let filters = socket.belongs_to;
        let filters = self.filters.at_mut(filters).filter(|_| fits).ok_or(SocketError::WrongKind)?;
        match slot {
            FilterSlot::Packet | FilterSlot::Syn => filters.first = filter,
            FilterSlot::Orphan => filters.orphan = filter,
        }
        Ok(())
    }

    /// The packet or SYN filter, or the orphan filter, of a monitor. `None` matches everything.
    pub(crate) fn filter(&self, socket: &Socket, slot: FilterSlot) -> Option<&Filter> {
        let filters = self.filters.at(socket.belongs_to).filter(|_| socket.kind != SocketKind::Active)?;
        match slot {
            FilterSlot::Packet | FilterSlot::Syn => filters.first.as_ref(),
            FilterSlot::Orphan => filters.orphan.as_ref(),
        }
    }

    /// Which of `events` the socket has handlers for at `hook`.
    #[inline]
    pub(crate) fn wanted(&self, socket: &Socket, hook: Hook, events: EventSet) -> EventSet {
        self.handlers.mask(socket.handlers, hook) & events
    }

    /// The events that the socket has handlers for, by hook.
    pub(crate) fn interest(&self, id: SocketId) -> [EventSet; 3] {
        self.sockets.get(id).map_or([EventSet::NONE; 3], |s| self.handlers.masks(s.handlers))
    }
}

impl Socket {
    /// The application's word.
    #[allow(clippy::cast_possible_truncation)] // it was one
    pub(crate) fn user(&self) -> usize {
        self.user.get() as usize
    }

    pub(crate) fn set_user(&mut self, word: usize) {
        self.user.set(word as u64);
    }

    /// Everything below was read, or lost, of the stream that `side` receives.
    pub(crate) fn cursor(&self, side: Side) -> Offset {
        Offset(self.cursors[side].get())
    }

    pub(crate) fn set_cursor(&mut self, side: Side, cursor: Offset) {
        self.cursors[side].set(cursor.0);
    }

    /// The size that the socket wants the ring of a side to have, if it said so.
    pub(crate) fn ring(&self, side: Side) -> Option<u32> {
        let number = self.rings >> (4 * side as u8) & 15;
        number.checked_sub(1).map(|n| MIN_RING << n)
    }

    /// Asks for a ring of a power of two from [`MIN_RING`] to [`MAX_RING`], the next one that `octets` fit into. Returns
    /// whether there is one.
    pub(crate) fn set_ring(&mut self, side: Side, octets: u32) -> bool {
        let sizes = (0_u8..15).map(|n| (n, MIN_RING << n));
        let Some((n, _)) = sizes.into_iter().find(|(_, size)| *size >= octets) else { return false };
        let shift = 4 * side as u8;
        self.rings = self.rings & !(15 << shift) | (n + 1) << shift;
        true
    }

    /// The connection of an active socket.
    #[inline]
    pub(crate) fn flow(&self) -> Option<u32> {
        (self.kind == SocketKind::Active).then_some(self.belongs_to)
    }

    /// The set of handlers.
    #[inline]
    pub(crate) fn handlers(&self) -> u32 {
        self.handlers
    }

    fn new(kind: Kind, handlers: u32, belongs_to: u32) -> Self {
        Socket {
            kind,
            handlers,
            belongs_to,
            next: NONE,
            previous: NONE,
            user: U64::ZERO,
            cursors: Sides { client: U64::ZERO, server: U64::ZERO },
            wishes: Sides::from_fn(|_| Wishes::ALL),
            rings: 0,
        }
    }
}
