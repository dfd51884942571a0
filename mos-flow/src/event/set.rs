//! Sets of built-in events as bits.

use super::Event;
use core::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of built-in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct EventSet(u8);

impl From<Event> for EventSet {
    fn from(event: Event) -> Self {
        EventSet::of(event)
    }
}

impl EventSet {
    /// No event.
    pub const NONE: EventSet = EventSet(0);

    /// The set of one event.
    pub const fn of(event: Event) -> EventSet {
        EventSet(1 << event as u8)
    }

    /// The set of some events.
    pub const fn all_of(events: &[Event]) -> EventSet {
        let (mut bits, mut i) = (0, 0);
        while i < events.len() {
            bits |= 1 << events[i] as u8;
            i += 1;
        }
        EventSet(bits)
    }

    /// Whether no event is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `event` is in it.
    #[inline]
    pub const fn has(self, event: Event) -> bool {
        self.0 & (1 << event as u8) != 0
    }

    /// The same set with `event`, if `condition`.
    #[inline]
    #[must_use]
    pub fn with_if(self, condition: bool, event: Event) -> EventSet {
        if condition { self | EventSet::of(event) } else { self }
    }

    /// Takes `event` out.
    pub fn remove(&mut self, event: Event) {
        self.0 &= !(1 << event as u8);
    }

    /// The events in the order of delivery.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Event> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let event = Event::ALL.get(rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(*event)
        })
    }
}

impl BitOr for EventSet {
    type Output = EventSet;
    fn bitor(self, other: EventSet) -> EventSet {
        EventSet(self.0 | other.0)
    }
}

impl BitOrAssign for EventSet {
    fn bitor_assign(&mut self, other: EventSet) {
        self.0 |= other.0;
    }
}

impl BitAnd for EventSet {
    type Output = EventSet;
    fn bitand(self, other: EventSet) -> EventSet {
        EventSet(self.0 & other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_in_the_order_of_delivery() {
        let mut set = EventSet::of(Event::ConnEnd) | EventSet::of(Event::PacketIn);
        set = set.with_if(true, Event::StateChange).with_if(false, Event::NewData);
        assert!(set.iter().eq([Event::PacketIn, Event::StateChange, Event::ConnEnd]));
        set.remove(Event::PacketIn);
        assert!(!set.has(Event::PacketIn) && !set.is_empty());
    }
}
