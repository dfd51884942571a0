//! Who is told of new data, and when: after the burst, or earlier when it would be lost; whoever waits for so many octets
//! when they are there, or when no more will come of it.

use super::Engine;
use super::raise::{Raise, Sight};
use crate::event::{Event, Hook};
use crate::flow::{EndReason, Mark};
use crate::memory::Memory;
use crate::slab::{Id, NONE};
use crate::socket::{SocketError, SocketId};
use ringbuf_core::Offset;
use tcp_reasm::{Side, State};

impl<A, M: Memory> Engine<A, M> {
    /// Announces the new data of all connections that have some.
    pub(super) fn announce(&mut self, app: &mut A) {
        // What is put on the list from here on, by handlers, is looked at after the next burst.
        let last = self.pending.1;
        while let Some(live) = self.flows.live_mut(self.pending.0) {
            let id = core::mem::replace(&mut self.pending.0, live.next_pending);
            live.next_pending = Id::NONE;
            live.in_pending_list = false;
            match self.flows.live_mut(self.pending.0) {
                Some(first) => first.previous_pending = Id::NONE,
                None => self.pending.1 = Id::NONE,
            }
            for side in Side::BOTH {
                if self.flows.live(id).is_some_and(|live| live.has_news(side)) {
                    self.announce_side(id, side, app);
                    self.trim_if_shrunk(id, side, app);
                }
            }
            if self.flows.both(id).is_none_or(|(flow, live)| live.reset || flow.is(Mark::Stopped)) {
                self.finish(id, app);
            }
            if id == last {
                break;
            }
        }
        while let Some(id) = self.to_settle.pop() {
            self.settle(id);
        }
    }

    /// A connection that a handler has reset ends, and one that nobody watches any more is forgotten.
    fn finish(&mut self, id: Id, app: &mut A) {
        if self.flows.live(id).is_some_and(|live| live.reset) {
            self.end(id, EndReason::Reset, Side::Client, app);
        }
        self.forget_if_unwatched(id);
    }

    /// Announces the new data of one stream, now.
    pub(super) fn announce_side(&mut self, id: Id, side: Side, app: &mut A) {
        let Some((flow, live)) = self.flows.both_mut(id) else { return };
        let (news, belated) =
            (core::mem::take(&mut live.pending[side]), core::mem::take(&mut live.belated[side]));
        // A server that has forgotten the request has no stream.
        let news = news && live.conn.state(side) != State::Listen;
        let waited = live.waits != NONE;
        if !news && !waited {
            return;
        }
        let listens = |hook: Hook| flow.interest[hook as usize].has(Event::NewData);
        let heard = waited || listens(Hook::None) || belated && listens(Hook::Receiver);
        let first = flow.first_socket;
        // Who was told at the hook was counted there.
        if news && (listens(Hook::None) || belated || !listens(Hook::Receiver)) {
            self.stats.events[Event::NewData] += 1;
        }
        let mut next = if heard { Some(first).filter(|index| *index != NONE) } else { None };
        while let Some(index) = next {
            self.announce_to(id, index, side, [news, belated], app);
            next = self.watcher_after(first, index, true);
        }
        self.release_read(id, side);
    }

    /// Tells one socket, if there is news (for each hook) and it does not wait for more, or if what it waits for is there.
    fn announce_to(&mut self, id: Id, index: u32, side: Side, news: [bool; 2], app: &mut A) {
        let (mut due, mut news) = match self.take_wait(id, index, side) {
            Some(due) => (due, news),
            None => return,
        };
        while due || news != [false; 2] {
            let Some(socket) = self.sockets.at(index).filter(|s| s.wishes[side].events()) else { return };
            let before = socket.cursor(side);
            let Some(socket) = self.sockets.id_at(index) else { return };
            for (hook, _) in [Hook::None, Hook::Receiver].into_iter().zip(news).filter(|(_, new)| *new || due)
            {
                // Told at one hook it may have stopped.
                if self.sockets.at(index).is_some_and(|s| s.wishes[side].events()) {
                    let what = Raise::one(hook, Some(side), Event::NewData);
                    let _ = self.raise_at(socket, &what, &mut Sight::of(None), app);
                }
            }
            // Who read something and waits for what is there already is told of it now. Without progress: after the
            // next burst, or it would be told for ever.
            let read = self.sockets.at(index).is_some_and(|socket| socket.cursor(side) > before);
            due = read && self.take_wait(id, index, side) == Some(true);
            news = [false; 2];
        }
    }

    /// What a socket hears of events at a hook that is less than what is raised: no new data while it waits for more.
    #[inline]
    pub(super) fn unless_waiting(&mut self, id: Id, index: u32, what: &Raise) -> Option<Raise> {
        let side = what.side.filter(|_| what.events.has(Event::NewData))?;
        self.take_wait(id, index, side).is_none().then(|| {
            let mut events = what.events;
            events.remove(Event::NewData);
            Raise { events, ..*what }
        })
    }

    /// Whether somebody is told at the receiver's hook of what a segment brought in order.
    pub(super) fn tells_at_once(&mut self, id: Id, to: Side, advanced: u64) -> bool {
        let Some((flow, live)) = self.flows.both_mut(id).filter(|_| advanced > 0) else { return false };
        let told = flow.is_buffered(to) && flow.interest[Hook::Receiver as usize].has(Event::NewData);
        live.belated[to] &= !told;
        told
    }

    /// Ends the wait of a socket when the stream stands where it has to. `None` when it waits on; otherwise whether it did
    /// wait, and has not read everything yet.
    #[inline]
    fn take_wait(&mut self, id: Id, index: u32, side: Side) -> Option<bool> {
        match self.flows.live(id) {
            Some(live) if live.waits != NONE => self.take_wait_of(id, index, side),
            _ => Some(false), // as nearly always
        }
    }

    fn take_wait_of(&mut self, id: Id, index: u32, side: Side) -> Option<bool> {
        let Some(live) = self.flows.live_mut(id) else { return Some(false) };
        let Some(until) = self.waits.until(live.waits, index, side) else { return Some(false) };
        let readable = live.readable(side);
        if until > readable {
            return None;
        }
        self.waits.clear(&mut live.waits, index, side);
        Some(self.sockets.at(index).is_some_and(|socket| socket.cursor(side) < readable))
    }

    /// A socket is told of new data when its stream has `octets` more than it has read, or at once for `None`. With 0, or
    /// when they are there already, it is told after the burst of what it has not read.
    pub(crate) fn wait_for(
        &mut self,
        id: Id,
        socket: SocketId,
        side: Side,
        octets: Option<u64>,
    ) -> Result<(), SocketError> {
        let cursor = self.sockets.get(socket)?.cursor(side);
        if !self.wake(id) {
            return Err(SocketError::Full);
        }
        let Some(live) = self.flows.live_mut(id) else { return Err(SocketError::NoSocket) };
        let readable = live.readable(side);
        let index = socket.index();
        if octets == Some(0) && !(self.waits.clear(&mut live.waits, index, side) && cursor < readable) {
            return Ok(());
        }
        let until = octets.map_or(Offset::ZERO, |octets| cursor.saturating_add(octets));
        if !self.waits.set(&mut live.waits, index, side, until) {
            return Err(SocketError::Full);
        }
        if until <= readable {
            self.enqueue(id);
        }
        Ok(())
    }

    /// A socket waits no longer.
    pub(crate) fn cancel_wait(&mut self, id: Id, socket: SocketId, side: Side) {
        if let Some(live) = self.flows.live_mut(id) {
            self.waits.clear(&mut live.waits, socket.index(), side);
        }
    }

    /// A socket that waits for a stream and has not read all below `end` is to be told with the next announcement: what is
    /// there is lost otherwise, or no more will come. Who has read everything waits for nothing any more when that is said
    /// of the last offset there is.
    pub(super) fn hurry(&mut self, id: Id, side: Side, end: Offset) {
        let Some(mut waits) = self.flows.live(id).map(|live| live.waits).filter(|first| *first != NONE)
        else {
            return;
        };
        let first = self.flows.get(id).map_or(NONE, |flow| flow.first_socket);
        let mut next = self.first_watcher(first, true);
        while let Some(index) = next {
            let hurries = self.sockets.at(index).is_some_and(|socket| socket.cursor(side) < end);
            if hurries && self.waits.until(waits, index, side).is_some() {
                self.waits.set(&mut waits, index, side, Offset::ZERO);
            }
            next = self.watcher_after(first, index, true);
        }
        self.enqueue(id);
    }

    /// Remembers that a stream has new octets to announce that came with no segment of their own.
    pub(super) fn note_belated(&mut self, id: Id, side: Side) {
        self.note_new_data(id, side);
        if let Some(live) = self.flows.live_mut(id) {
            live.belated[side] = true;
        }
    }

    /// Remembers that a stream has new octets to announce.
    pub(super) fn note_new_data(&mut self, id: Id, side: Side) {
        let Some(live) = self.flows.live_mut(id) else { return };
        live.pending[side] = true;
        self.enqueue_awake(id);
    }

    /// Puts a connection on the list of those that are looked at after the burst. Returns whether it is there.
    pub(super) fn enqueue(&mut self, id: Id) -> bool {
        let awake = self.wake(id);
        self.enqueue_awake(id);
        awake
    }

    /// The same for a connection that is awake.
    #[inline]
    pub(super) fn enqueue_awake(&mut self, id: Id) {
        let last = self.pending.1;
        let Some(live) = self.flows.live_mut(id) else { return };
        if core::mem::replace(&mut live.in_pending_list, true) {
            return;
        }
        live.previous_pending = last;
        match self.flows.live_mut(self.pending.1) {
            Some(last) => last.next_pending = id,
            None => self.pending.0 = id,
        }
        self.pending.1 = id;
    }

    /// Takes a connection that goes away off the list of those with something to do after the burst.
    pub(super) fn forget_new_data(&mut self, id: Id) {
        let Some(live) = self.flows.live_mut(id).filter(|live| live.in_pending_list) else { return };
        live.in_pending_list = false;
        let before = core::mem::replace(&mut live.previous_pending, Id::NONE);
        let after = core::mem::replace(&mut live.next_pending, Id::NONE);
        match self.flows.live_mut(before) {
            Some(live) => live.next_pending = after,
            None => self.pending.0 = after,
        }
        match self.flows.live_mut(after) {
            Some(live) => live.previous_pending = before,
            None => self.pending.1 = before,
        }
    }
}
