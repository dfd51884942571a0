//! The eight built-in events, the hooks at which they are raised, sets of events, and the events that users define below
//! them.

mod forest;

mod set;

pub use forest::{Definition, EventError, MAX_DEPTH};
pub(crate) use forest::{Forest, Raised};
pub use set::EventSet;

use crate::slab::Id;
use core::fmt;

/// A built-in event. Within one hook they are delivered in this order.
///
/// | event | hooks |
/// |---|---|
/// | packet in | sender, receiver; none on raw sockets |
/// | new data | none, receiver |
/// | error, orphan | none |
/// | all others | sender, receiver |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Event {
    /// A packet of the connection, or, for raw sockets, any packet (`MOS_ON_PKT_IN`).
    PacketIn,
    /// The connection's first SYN (`MOS_ON_CONN_START`).
    ConnStart,
    /// More octets can be read in order (`MOS_ON_CONN_NEW_DATA`). Raised once a burst at [`Hook::None`]; for each segment
    /// that brings some, with its packet, at [`Hook::Receiver`].
    NewData,
    /// Something was or will be lost; [`crate::Trouble`] says what (`MOS_ON_ERROR`).
    Error,
    /// A side changed its TCP state (`MOS_ON_TCP_STATE_CHANGE`).
    StateChange,
    /// A TCP packet of no tracked connection (`MOS_ON_ORPHAN`).
    Orphan,
    /// Octets, a SYN or a FIN were sent again. Raised at [`Hook::Receiver`] alone, of octets before they are stored, so that
    /// both copies can be compared (`MOS_ON_REXMIT`).
    Retransmission,
    /// The connection ends; streams and states can still be read. Once for each side (`MOS_ON_CONN_END`).
    ConnEnd,
}

impl Event {
    /// All events in the order of delivery.
    pub const ALL: [Event; 8] = [
        Event::PacketIn,
        Event::ConnStart,
        Event::NewData,
        Event::Error,
        Event::StateChange,
        Event::Orphan,
        Event::Retransmission,
        Event::ConnEnd,
    ];

    /// Whether a handler for this event can be registered at `hook`.
    pub fn is_allowed_at(self, hook: Hook) -> bool {
        match self {
            Event::PacketIn => true,
            Event::NewData => hook != Hook::Sender,
            Event::Error | Event::Orphan => hook == Hook::None,
            Event::ConnStart | Event::StateChange | Event::Retransmission | Event::ConnEnd => {
                hook != Hook::None
            }
        }
    }

    /// The name as in transcripts.
    pub fn name(self) -> &'static str {
        match self {
            Event::PacketIn => "packet_in",
            Event::ConnStart => "conn_start",
            Event::NewData => "new_data",
            Event::Error => "error",
            Event::StateChange => "state_change",
            Event::Orphan => "orphan",
            Event::Retransmission => "retransmission",
            Event::ConnEnd => "conn_end",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An event that the application defined. Stale handles are refused, never mistaken for a newer event.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UserEvent(pub(crate) Id);

impl UserEvent {
    /// The event's slot: a small number.
    pub fn index(self) -> u32 {
        self.0.index()
    }
}

impl fmt::Debug for UserEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserEvent({:?})", self.0)
    }
}

/// Any event that a handler can be registered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventId {
    /// One that the engine raises.
    BuiltIn(Event),
    /// One that happens when the event above it does, and its filter says so.
    User(UserEvent),
}

impl EventId {
    /// The user-defined event that it is, if it is one.
    pub fn user(self) -> Option<UserEvent> {
        match self {
            EventId::BuiltIn(_) => None,
            EventId::User(event) => Some(event),
        }
    }
}

impl From<Event> for EventId {
    fn from(event: Event) -> EventId {
        EventId::BuiltIn(event)
    }
}

impl From<UserEvent> for EventId {
    fn from(event: UserEvent) -> EventId {
        EventId::User(event)
    }
}

/// Where in the life of a packet a handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hook {
    /// At no packet's side: new data of a burst, errors, orphans, raw sockets (`MOS_NULL`).
    None,
    /// After the receiver's state and stream were updated (`MOS_HK_RCV`).
    Receiver,
    /// After the sender's state was updated, before the receiver's (`MOS_HK_SND`).
    Sender,
}

impl Hook {
    /// All hooks.
    pub const ALL: [Hook; 3] = [Hook::None, Hook::Receiver, Hook::Sender];

    /// The name as in transcripts.
    pub fn name(self) -> &'static str {
        match self {
            Hook::None => "none",
            Hook::Receiver => "receiver",
            Hook::Sender => "sender",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
