//! Events to handlers: which sockets, in which order.

use super::dispatch::Dispatch;
use super::{Engine, Passage};
use crate::context::{Editing, Stage, Trouble};
use crate::edit::EditBuffer;
use crate::event::{Event, EventSet, Hook};
use crate::flow::{Flow, Mark};
use crate::memory::Memory;
use crate::packet::{PacketRef, Verdict};
use crate::reason::DropReason;
use crate::slab::{Id, NONE};
use crate::socket::{FilterSlot, Socket, SocketId, SocketKind};
use ringbuf_core::{Conflict, Offset, Range};
use tcp_reasm::Side;

/// Events raised together at one hook, and what comes with them.
#[derive(Clone, Copy)]
pub(super) struct Raise {
    pub(super) hook: Hook,
    pub(super) events: EventSet,
    pub(super) side: Option<Side>,
    pub(super) trouble: Option<Trouble>,
    pub(super) conflict: Option<Conflict>,
    /// The receiver does not take the segment.
    pub(super) refused: bool,
}

impl Raise {
    fn nothing(hook: Hook) -> Self {
        Raise { hook, events: EventSet::NONE, side: None, trouble: None, conflict: None, refused: false }
    }

    pub(super) fn at(hook: Hook, side: Side, events: EventSet) -> Self {
        Raise { events, side: Some(side), ..Raise::nothing(hook) }
    }

    pub(super) fn one(hook: Hook, side: Option<Side>, event: Event) -> Self {
        Raise { events: EventSet::of(event), side, ..Raise::nothing(hook) }
    }
}

/// The packet as far as handlers are shown it.
pub(super) struct Sight<'a, M: Memory> {
    pub(super) packet: Option<PacketRef<'a>>,
    editing: Option<Editing<'a, M>>,
}

impl<'a, M: Memory> Sight<'a, M> {
    /// To look at.
    pub(super) fn of(packet: Option<PacketRef<'a>>) -> Self {
        Sight { packet, editing: None }
    }

    /// To change.
    fn to_edit(packet: PacketRef<'a>, copy: &'a mut Option<EditBuffer<M>>, stage: Stage) -> Self {
        Sight { packet: Some(packet), editing: Some(Editing { copy, stage }) }
    }

    pub(super) fn editing(&mut self) -> Option<Editing<'_, M>> {
        self.editing.as_mut().map(|e| Editing { copy: &mut *e.copy, stage: e.stage })
    }
}

impl<A, M: Memory> Engine<A, M> {
    pub(super) fn count_events(&mut self, events: EventSet) {
        for event in events.iter() {
            self.stats.events[event] += 1;
        }
    }

    /// Calls the handlers of one socket, in the order of delivery. Returns what they decided about the packet.
    pub(super) fn raise_at(
        &mut self,
        socket: SocketId,
        what: &Raise,
        sight: &mut Sight<'_, M>,
        app: &mut A,
    ) -> Verdict {
        let Ok(s) = self.sockets.get(socket) else { return Verdict::Forward };
        let mut dispatch = Dispatch { socket, what, sight, app, verdict: Verdict::Forward };
        self.dispatch(s.handlers(), &mut dispatch);
        dispatch.verdict
    }

    /// Calls the handlers of a connection's sockets: in the order of the monitors, or in reverse. Packets of the
    /// client pass the monitors in order and those of the server in reverse, as a chain of middleboxes is passed.
    pub(super) fn raise_all(
        &mut self,
        flow: Id,
        what: &Raise,
        in_order: bool,
        sight: &mut Sight<'_, M>,
        app: &mut A,
    ) -> Verdict {
        let mut verdict = Verdict::Forward;
        let Some(f) = self.flows.get(flow) else { return verdict };
        if !f.asks(what.hook, what.events) {
            return verdict;
        }
        let first = f.first_socket;
        let mut next = self.first_watcher(first, in_order);
        while let Some(index) = next {
            let watches = |socket: &Socket| what.side.is_none_or(|side| socket.wishes[side].events());
            if let Some((socket, s)) = self.sockets.with_id(index)
                && watches(s)
            {
                let set = s.handlers();
                let less = self.unless_waiting(flow, index, what);
                let what = less.as_ref().unwrap_or(what);
                let (sight, app) = (&mut *sight, &mut *app);
                let mut dispatch = Dispatch { socket, what, sight, app, verdict: Verdict::Forward };
                self.dispatch(set, &mut dispatch);
                if dispatch.verdict == Verdict::Drop {
                    verdict = Verdict::Drop;
                }
            }
            next = self.watcher_after(first, index, in_order);
        }
        verdict
    }

    /// The first of a ring of sockets in order, or in reverse.
    #[inline]
    pub(super) fn first_watcher(&self, first: u32, in_order: bool) -> Option<u32> {
        let socket = self.sockets.at(first)?;
        Some(if in_order { first } else { socket.previous })
    }

    /// The next one of that ring. What handlers do does not change it.
    #[inline]
    pub(super) fn watcher_after(&self, first: u32, index: u32, in_order: bool) -> Option<u32> {
        let socket = self.sockets.at(index)?;
        let next = if in_order { socket.next } else { socket.previous };
        let over = if in_order { next == first } else { index == first };
        (!over).then_some(next)
    }

    /// The indices of a connection's sockets, in order.
    pub(super) fn watchers(&self, id: Id) -> impl Iterator<Item = u32> + '_ {
        self.ring_from(self.flows.get(id).map_or(NONE, |flow| flow.first_socket))
    }

    /// The indices of a ring of sockets, from the first one on.
    #[inline]
    pub(super) fn ring_from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        core::iter::successors(self.sockets.at(first).map(|_| first), move |index| {
            self.sockets.at(*index).map(|socket| socket.next).filter(|next| *next != first)
        })
    }

    /// Counts events and raises them at a packet's hook.
    pub(super) fn raise(
        &mut self,
        flow: Id,
        what: Raise,
        sender: Side,
        passage: &mut Passage<'_, M>,
        app: &mut A,
    ) {
        self.count_events(what.events);
        let stage = match what.hook {
            _ if !passage.whole => Stage::Fragmented,
            Hook::Sender => passage.stage,
            Hook::Receiver | Hook::None => Stage::Receiver,
        };
        let mut sight = Sight::to_edit(passage.view, &mut passage.edited, stage);
        let verdict = self.raise_all(flow, &what, sender == Side::Client, &mut sight, app);
        if verdict == Verdict::Drop {
            passage.verdict = Verdict::Drop;
        }
    }

    /// Counts events and raises them where no packet, or not its direction, has to do with them.
    pub(super) fn raise_quiet(&mut self, flow: Id, what: Raise, packet: Option<PacketRef<'_>>, app: &mut A) {
        self.count_events(what.events);
        let verdict = self.raise_all(flow, &what, true, &mut Sight::of(packet), app);
        self.dropped |= packet.is_some() && verdict == Verdict::Drop;
    }

    pub(super) fn raise_trouble(
        &mut self,
        id: Id,
        side: Side,
        trouble: Trouble,
        packet: Option<PacketRef<'_>>,
        app: &mut A,
    ) {
        let error = Raise::one(Hook::None, Some(side), Event::Error);
        self.raise_quiet(id, Raise { trouble: Some(trouble), ..error }, packet, app);
    }

    /// Raw sockets: every packet, once.
    pub(super) fn raise_raw(
        &mut self,
        view: PacketRef<'_>,
        edited: &mut Option<EditBuffer<M>>,
        app: &mut A,
    ) -> Verdict {
        let mut verdict = Verdict::Forward;
        for id in self.sockets.snapshot() {
            let raw = self.sockets.get(id).is_ok_and(|s| s.kind == SocketKind::Raw);
            if raw && self.matches(id, FilterSlot::Packet, view, false) {
                let what = Raise::one(Hook::None, None, Event::PacketIn);
                self.count_events(what.events);
                let mut sight = Sight::to_edit(view, edited, Stage::Loose);
                if self.raise_at(id, &what, &mut sight, app) == Verdict::Drop {
                    verdict = Verdict::Drop;
                }
            }
        }
        verdict
    }

    /// A segment of no tracked connection.
    pub(super) fn raise_orphan(&mut self, passage: &mut Passage<'_, M>, reason: DropReason, app: &mut A) {
        self.count_drop(reason);
        let what = Raise::one(Hook::None, None, Event::Orphan);
        self.count_events(what.events);
        for id in self.sockets.snapshot() {
            let Ok(socket) = self.sockets.get(id) else { continue };
            let slot = if socket.kind == SocketKind::Raw { FilterSlot::Packet } else { FilterSlot::Orphan };
            if !self.matches(id, slot, passage.view, false) {
                continue;
            }
            let stage = if passage.whole { Stage::Loose } else { Stage::Fragmented };
            let mut sight = Sight::to_edit(passage.view, &mut passage.edited, stage);
            if self.raise_at(id, &what, &mut sight, app) == Verdict::Drop {
                passage.verdict = Verdict::Drop;
            }
        }
    }

    /// Whether a monitor's filter lets a packet through, or, `reversed`, would let through the one that it answers.
    pub(super) fn matches(
        &self,
        monitor: SocketId,
        slot: FilterSlot,
        view: PacketRef<'_>,
        reversed: bool,
    ) -> bool {
        let Ok(socket) = self.sockets.get(monitor) else { return false };
        let (frame, packet) = (view.frame, view.packet);
        self.sockets.filter(socket, slot).is_none_or(|f| {
            if reversed { f.matches_reversed(frame, packet) } else { f.matches(frame, packet) }
        })
    }

    /// Remembers that a socket of a connection stopped watching; looked at after the packet or the burst.
    pub(crate) fn note_stopped(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.set(Mark::Stopped, true);
        if !self.enqueue(id) && !self.is_watched(id) {
            // The list has no place for it: its timer comes back to it with the next tick.
            self.wheel.start(id.index(), self.clock.running());
        }
    }

    /// Forgets a connection that no socket watches any more. Returns whether it did.
    pub(super) fn forget_if_unwatched(&mut self, id: Id) -> bool {
        let Some(flow) = self.flows.get_mut(id).filter(|f| f.over.is_none()) else { return false };
        if !flow.take(Mark::Stopped) {
            return false;
        }
        // What the ends count differently must be translated as long as there are two.
        let changed = self.flows.live(id).is_some_and(|live| self.is_changed(live));
        let unwatched = !changed && !self.is_watched(id);
        if unwatched {
            self.note_unwatched(id);
            self.forget(id);
        }
        unwatched
    }

    /// Tells each reader that has octets below `head` to read what it is about to lose.
    pub(super) fn warn_of_overrun(
        &mut self,
        id: Id,
        side: Side,
        lost: Range,
        view: Option<PacketRef<'_>>,
        app: &mut A,
    ) {
        let first = self.flows.get(id).map_or(NONE, |flow| flow.first_socket);
        let mut next = self.first_watcher(first, true);
        while let Some(index) = next {
            let Some(socket) = self.sockets.at(index) else { return };
            let unread = Range { start: socket.cursor(side).max(lost.start), end: lost.end };
            if self.is_reader(socket, side)
                && !unread.is_empty()
                && let Some(this) = self.sockets.id_at(index)
            {
                let trouble = Some(Trouble::Overrun(unread));
                let what = Raise { trouble, ..Raise::one(Hook::None, Some(side), Event::Error) };
                self.count_events(what.events);
                let verdict = self.raise_at(this, &what, &mut Sight::of(view), app);
                self.dropped |= view.is_some() && verdict == Verdict::Drop;
            }
            next = self.watcher_after(first, index, true);
        }
    }

    /// A socket reads a stream when it is told of new data or errors, or has read before.
    pub(super) fn is_reader(&self, socket: &Socket, side: Side) -> bool {
        let told = EventSet::of(Event::NewData) | EventSet::of(Event::Error);
        let listens =
            || self.reads_at_once(socket) || !self.sockets.wanted(socket, Hook::None, told).is_empty();
        socket.wishes[side].reads() && (socket.cursor(side) > Offset::ZERO || listens())
    }

    /// The lowest cursor of the readers of a stream; `None` when nobody reads it.
    pub(super) fn lowest_cursor(&self, id: Id, side: Side) -> Option<Offset> {
        self.cursors_below(id, side, Offset(u64::MAX)).min()
    }

    /// The cursors of the readers of a stream that have not read all below `end`.
    #[inline]
    pub(super) fn cursors_below(&self, id: Id, side: Side, end: Offset) -> impl Iterator<Item = Offset> + '_ {
        let told = EventSet::of(Event::NewData) | EventSet::of(Event::Error);
        let has_readers = |flow: &Flow| {
            let at_once = flow.interest[Hook::Receiver as usize].has(Event::NewData);
            flow.is(Mark::Read) || at_once || !(flow.interest[Hook::None as usize] & told).is_empty()
        };
        let flow = self.flows.get(id).filter(|flow| has_readers(flow));
        let sockets = self.ring_from(flow.map_or(NONE, |flow| flow.first_socket));
        let sockets = sockets.filter_map(|index| self.sockets.at(index));
        // Most have read it: that is asked first.
        let behind = sockets.filter(move |socket| socket.cursor(side) < end);
        behind.filter(move |socket| self.is_reader(socket, side)).map(move |socket| socket.cursor(side))
    }

    /// Whether any socket of the connection still wants events.
    pub(super) fn is_watched(&self, id: Id) -> bool {
        let mut sockets = self.watchers(id).filter_map(|index| self.sockets.at(index));
        sockets.any(|socket| socket.wishes.client.events() || socket.wishes.server.events())
    }
}
