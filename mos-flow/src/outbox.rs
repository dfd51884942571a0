//! Frames that leave: copies of changed packets, and packets that the application made.
//!
//! Each has a slot of fixed size. A changed packet belongs to the frame of the burst that it replaces, and its slot is free
//! again with the next burst; what was made waits in a queue until it is taken.
//!
//! # Invariants
//! 1. A slot in use is in the list of the burst or in the queue, or it is the one that was taken last.

use crate::edit::PacketError;
use crate::memory::Memory;
use crate::slab::{Id, Reuse, Slab, Slot};
use crate::wire::LinkType;
use core::fmt;

/// Where a packet goes that came in by no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// Where packets go that come in by this port.
    Along(u16),
    /// Out by this port.
    Back(u16),
}

/// A packet to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// The frame, or the IP packet when `link` is [`LinkType::RawIp`].
    pub octets: &'a [u8],
    /// What its first header is. Without a link header it has to be given one: no packet of the connection was in flight
    /// that could have shown what it looks like.
    pub link: LinkType,
    /// Where it goes.
    pub way: Way,
}

/// What is known of a frame that leaves. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct OutFrame {
    len: u32,
    link: LinkType,
    way: Way,
    /// The next one in the list or the queue.
    next: Id,
    /// What was split off this one, and leaves behind it.
    rest: Id,
}

/// First and last.
type List = (Id, Id);

/// All frames that leave an engine.
pub(crate) struct Outbox<M: Memory> {
    frames: Slab<OutFrame, M>,
    octets: M::Of<u8>,
    /// Octets of a slot.
    room: usize,
    burst: List,
    queue: List,
    /// The one that the caller looks at.
    taken: Id,
}

impl<M: Memory> fmt::Debug for Outbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outbox({:?}, {} octets each)", self.frames, self.room)
    }
}

impl<M: Memory> Outbox<M> {
    pub(crate) fn new(frames: M::Of<Slot<OutFrame>>, octets: M::Of<u8>) -> Self {
        let frames = Slab::new(frames, Reuse::Newest);
        let room = octets.len().checked_div(frames.capacity()).unwrap_or(0);
        let none = (Id::NONE, Id::NONE);
        Outbox { frames, octets, room, burst: none, queue: none, taken: Id::NONE }
    }

    /// The frames of the last burst have been sent.
    pub(crate) fn begin_burst(&mut self) {
        let mut next = core::mem::replace(&mut self.burst, (Id::NONE, Id::NONE)).0;
        while let Some(frame) = self.frames.remove(next) {
            next = frame.next;
        }
    }

    /// # Panics
    /// When a slot is in use and nobody knows it.
    #[cfg(any(test, feature = "_model"))]
    #[allow(clippy::panic)] // failing is what a check is for
    pub(crate) fn check(&self) {
        let known =
            |first| core::iter::successors(self.frames.get(first), |f| self.frames.get(f.next)).count();
        let known =
            known(self.burst.0) + known(self.queue.0) + usize::from(self.frames.get(self.taken).is_some());
        assert_eq!(known, self.frames.len(), "slots in use");
    }

    /// A slot for a frame that replaces one of the burst, or that was split off one.
    pub(crate) fn replace(
        &mut self,
        link: LinkType,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Id, PacketError> {
        let id = self.fill(link, Way::Along(0), write)?;
        append(&mut self.frames, &mut self.burst, id);
        Ok(id)
    }

    /// `rest` leaves behind `first`.
    pub(crate) fn chain(&mut self, first: Id, rest: Id) {
        if let Some(frame) = self.frames.get_mut(first) {
            frame.rest = rest;
        }
    }

    /// A packet for the queue; `write` tells its first header, too.
    pub(crate) fn send(
        &mut self,
        way: Way,
        write: impl FnOnce(&mut [u8]) -> Option<(usize, LinkType)>,
    ) -> Result<(), PacketError> {
        let mut link = LinkType::RawIp;
        let id = self.fill(LinkType::RawIp, way, |room| {
            let (len, first) = write(room)?;
            link = first;
            Some(len)
        })?;
        if let Some(frame) = self.frames.get_mut(id) {
            frame.link = link;
        }
        append(&mut self.frames, &mut self.queue, id);
        Ok(())
    }

    /// The last packet of the queue.
    pub(crate) fn last_sent(&self) -> Id {
        self.queue.1
    }

    /// Takes packets out of the queue again that came after the one that was the last.
    pub(crate) fn take_back(&mut self, last: Id) {
        let mut next = match self.frames.get_mut(last) {
            Some(frame) => core::mem::replace(&mut frame.next, Id::NONE),
            None => core::mem::replace(&mut self.queue.0, Id::NONE),
        };
        self.queue.1 = last;
        while let Some(frame) = self.frames.remove(next) {
            next = frame.next;
        }
    }

    /// Takes a slot; `write` puts a frame into it and returns its length.
    fn fill(
        &mut self,
        link: LinkType,
        way: Way,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<Id, PacketError> {
        let frame = OutFrame { len: 0, link, way, next: Id::NONE, rest: Id::NONE };
        let id = self.frames.insert(frame).map_err(|_| PacketError::NoRoom)?;
        let start = id.index() as usize * self.room;
        let len = self.octets.get_mut(start..start + self.room).and_then(write);
        match (len.and_then(|len| u32::try_from(len).ok()), self.frames.get_mut(id)) {
            (Some(len), Some(frame)) if len as usize <= self.room => {
                frame.len = len;
                Ok(id)
            }
            _ => {
                self.frames.remove(id);
                Err(PacketError::NoRoom)
            }
        }
    }

    fn octets(&self, id: Id) -> Option<&[u8]> {
        let frame = self.frames.get(id)?;
        let start = id.index() as usize * self.room;
        self.octets.get(start..start + frame.len as usize)
    }

    /// What replaces a frame of the burst.
    pub(crate) fn replacement(&self, id: Id) -> Replacement<'_, M> {
        Replacement { outbox: self, next: id }
    }

    /// Takes the first packet of the queue. Its slot is free with the next call.
    pub(crate) fn take(&mut self) -> Option<Transmit<'_>> {
        self.frames.remove(core::mem::replace(&mut self.taken, Id::NONE));
        let id = self.queue.0;
        let next = self.frames.get(id)?.next;
        self.queue = if next.is_none() { (Id::NONE, Id::NONE) } else { (next, self.queue.1) };
        self.taken = id;
        let frame = self.frames.get(id)?;
        Some(Transmit { octets: self.octets(id)?, link: frame.link, way: frame.way })
    }
}

fn append<M: Memory>(frames: &mut Slab<OutFrame, M>, list: &mut List, id: Id) {
    match frames.get_mut(list.1) {
        Some(last) => last.next = id,
        None => list.0 = id,
    }
    list.1 = id;
}

/// The frames that replace one.
#[derive(Debug)]
pub(crate) struct Replacement<'a, M: Memory> {
    outbox: &'a Outbox<M>,
    next: Id,
}

impl<'a, M: Memory> Iterator for Replacement<'a, M> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let octets = self.outbox.octets(self.next)?;
        self.next = self.outbox.frames.get(self.next).map_or(Id::NONE, |frame| frame.rest);
        Some(octets)
    }
}

/// The frames that go on for one of a burst: see [`Engine::output`](crate::Engine::output).
#[derive(Debug)]
pub struct Output<'a, M: Memory> {
    pub(crate) own: Option<&'a [u8]>,
    pub(crate) replacement: Option<Replacement<'a, M>>,
}

impl<'a, M: Memory> Iterator for Output<'a, M> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.own.take().or_else(|| self.replacement.as_mut()?.next())
    }
}

#[cfg(test)]
#[cfg(feature = "alloc")]
mod tests {
    use super::*;
    use crate::memory::{Heap, Reserved};
    use std::vec::Vec;

    fn outbox(frames: usize, room: usize) -> Outbox<Heap> {
        Outbox::new(Reserved::with_capacity(frames), Reserved::filled(0, frames * room))
    }

    fn put(octets: &'static [u8]) -> impl FnOnce(&mut [u8]) -> Option<usize> {
        move |room| {
            room.get_mut(..octets.len())?.copy_from_slice(octets);
            Some(octets.len())
        }
    }

    #[test]
    fn what_was_made_leaves_in_order_and_gives_its_slot_back() {
        let mut out = outbox(2, 4);
        for round in 0..3 {
            let queue = |link, octets| move |room: &mut [u8]| Some((put(octets)(room)?, link));
            out.send(Way::Along(1), queue(LinkType::Ethernet, b"one")).unwrap();
            out.send(Way::Back(2), queue(LinkType::RawIp, b"two")).unwrap();
            let full = out.send(Way::Back(2), queue(LinkType::RawIp, b"x"));
            assert_eq!(full, Err(PacketError::NoRoom), "{round}");
            let first = out.take().map(|t| (t.octets.to_vec(), t.link, t.way));
            assert_eq!(first, Some((b"one".to_vec(), LinkType::Ethernet, Way::Along(1))));
            assert_eq!(out.take().map(|t| t.octets.to_vec()), Some(b"two".to_vec()));
            assert!(out.take().is_none());
        }
        assert_eq!(out.replace(LinkType::RawIp, put(b"five!")), Err(PacketError::NoRoom));
        assert_eq!(out.frames.len(), 0, "a frame that does not fit takes no slot");
    }

    #[test]
    fn replacements_last_until_the_next_burst_and_come_with_their_rest() {
        let mut out = outbox(3, 4);
        let a = out.replace(LinkType::Ethernet, put(b"a")).unwrap();
        let b = out.replace(LinkType::Ethernet, put(b"b")).unwrap();
        let rest = out.replace(LinkType::Ethernet, put(b"c")).unwrap();
        out.chain(a, rest);
        let all = |out: &Outbox<Heap>, id| out.replacement(id).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(all(&out, a), [b"a", b"c"]);
        assert_eq!(all(&out, b), [b"b"]);
        out.begin_burst();
        assert!(all(&out, a).is_empty() && out.frames.is_empty());
    }

    #[test]
    fn an_outbox_without_memory_refuses() {
        let mut out = outbox(0, 0);
        assert_eq!(out.replace(LinkType::Ethernet, put(b"")), Err(PacketError::NoRoom));
        assert!(out.take().is_none());
    }
}
