//! The forest of events that the application defined: each below a built-in event or another one of its own.
//!
//! # Invariants
//! 1. An event whose definition exists has a parent that exists, and a built-in event as its root.
//! 2. A definition knows how many events are below it and how many steps of handler sets name it, and stays while there are any.
//! 3. An event in a list of raised ones is marked as such, and in that list only.

use super::{Event, EventId, UserEvent};
use crate::memory::Memory;
use crate::slab::{Id, NONE, Reuse, Slab, Slot};
use core::fmt;

/// The most user-defined events from a built-in one down to the last. An arbitrary number, small enough for recursion.
pub const MAX_DEPTH: usize = 16;

/// Why a call on a user-defined event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventError {
    /// All definitions are in use.
    Full,
    /// Events are defined below it, handlers are registered for it, or it is raised at this moment.
    InUse,
    /// The event does not exist (any more).
    NoEvent,
    /// It was not allocated below the event that happens now, or none does.
    NotChild,
    /// It would be more than [`MAX_DEPTH`] below its built-in event.
    TooDeep,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EventError::Full => "all events are in use",
            EventError::InUse => "the event is in use",
            EventError::NoEvent => "no such event",
            EventError::NotChild => "not an allocated child of the event that happens",
            EventError::TooDeep => "too deep below the built-in event",
        })
    }
}

impl core::error::Error for EventError {}

/// A user-defined event; `F` decides whether it happens. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Definition<F> {
    parent: EventId,
    root: Event,
    is_raised: bool,
    /// Without one it happens when it is raised.
    pub(crate) filter: Option<F>,
    children: u32,
    users: u32,
    /// The event that was raised after this one.
    next_raised: Id,
    /// The step for it that was found last: worth a try.
    pub(crate) step: u32,
}

/// The events from the built-in one down to one of them.
pub(crate) type Path = heapless::Vec<EventId, { MAX_DEPTH + 1 }>;

/// First and last of the events that were raised below one event, in the order of raising.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raised(Id, Id);

impl Raised {
    pub(crate) const NONE: Raised = Raised(Id::NONE, Id::NONE);
}

/// All user-defined events of an engine.
pub(crate) struct Forest<F: 'static, M: Memory> {
    definitions: Slab<Definition<F>, M>,
}

impl<F: Copy, M: Memory> Forest<F, M> {
    pub(crate) fn new(definitions: M::Of<Slot<Definition<F>>>) -> Self {
        Forest { definitions: Slab::new(definitions, Reuse::Oldest) }
    }

    pub(crate) fn len(&self) -> usize {
        self.definitions.len()
    }

    pub(crate) fn get(&self, event: UserEvent) -> Option<&Definition<F>> {
        self.definitions.get(event.0)
    }

    /// The event in a slot.
    pub(crate) fn at(&self, index: u32) -> Option<UserEvent> {
        self.definitions.id_at(index).map(UserEvent)
    }

    /// The built-in event that must happen for this one to.
    pub(crate) fn root(&self, event: EventId) -> Option<Event> {
        match event {
            EventId::BuiltIn(event) => Some(event),
            EventId::User(event) => self.get(event).map(|definition| definition.root),
        }
    }

    /// The events from the root to `event`, both included.
    pub(crate) fn path(&self, event: EventId) -> Option<Path> {
        let mut path = Path::new();
        let mut at = event;
        while let EventId::User(event) = at {
            path.push(at).ok()?;
            at = self.get(event)?.parent;
        }
        path.push(at).ok()?;
        path.reverse();
        Some(path)
    }

    /// Whether an event happens only when it is raised.
    pub(crate) fn is_raise_only(&self, event: EventId) -> bool {
        event.user().and_then(|event| self.get(event)).is_some_and(|definition| definition.filter.is_none())
    }

    /// Defines an event that happens when `parent` does and the filter says so, or without one, when it is raised.
    pub(crate) fn define(&mut self, parent: EventId, filter: Option<F>) -> Result<UserEvent, EventError> {
        let path = self.path(parent).ok_or(EventError::NoEvent)?;
        let root = self.root(parent).ok_or(EventError::NoEvent)?;
        if path.len() > MAX_DEPTH {
            return Err(EventError::TooDeep);
        }
        let definition = Definition {
            parent,
            root,
            is_raised: false,
            filter,
            children: 0,
            users: 0,
            next_raised: Id::NONE,
            step: NONE,
        };
        let id = self.definitions.insert(definition).map_err(|_| EventError::Full)?;
        if let Some(above) = parent.user().and_then(|parent| self.definitions.get_mut(parent.0)) {
            above.children += 1;
        }
        Ok(UserEvent(id))
    }

    /// Removes an event that nothing depends on. Returns its filter.
    pub(crate) fn undefine(&mut self, event: UserEvent) -> Result<Option<F>, EventError> {
        let definition = self.get(event).ok_or(EventError::NoEvent)?;
        if definition.children > 0 || definition.users > 0 || definition.is_raised {
            return Err(EventError::InUse);
        }
        let parent = definition.parent;
        if let Some(above) = parent.user().and_then(|parent| self.definitions.get_mut(parent.0)) {
            above.children -= 1;
        }
        Ok(self.definitions.remove(event.0).and_then(|definition| definition.filter))
    }

    /// One step more names the event.
    pub(crate) fn join(&mut self, event: EventId) {
        if let Some(definition) = event.user().and_then(|event| self.definitions.get_mut(event.0)) {
            definition.users += 1;
        }
    }

    /// One step less names the event.
    pub(crate) fn leave(&mut self, event: EventId) {
        if let Some(definition) = event.user().and_then(|event| self.definitions.get_mut(event.0)) {
            definition.users -= 1;
        }
    }

    /// Remembers the step for an event.
    pub(crate) fn set_step(&mut self, event: EventId, step: u32) {
        if let Some(definition) = event.user().and_then(|event| self.definitions.get_mut(event.0)) {
            definition.step = step;
        }
    }

    /// Adds `child` to those raised below `parent`, unless it is there.
    pub(crate) fn raise(
        &mut self,
        parent: Option<EventId>,
        child: UserEvent,
        raised: &mut Raised,
    ) -> Result<(), EventError> {
        let definition = self.definitions.get_mut(child.0).ok_or(EventError::NoEvent)?;
        if definition.filter.is_some() || Some(definition.parent) != parent {
            return Err(EventError::NotChild);
        }
        if core::mem::replace(&mut definition.is_raised, true) {
            return Ok(());
        }
        definition.next_raised = Id::NONE;
        match self.definitions.get_mut(raised.1) {
            Some(last) => last.next_raised = child.0,
            None => raised.0 = child.0,
        }
        raised.1 = child.0;
        Ok(())
    }

    /// Takes out the event that was raised first.
    #[inline]
    pub(crate) fn take_raised(&mut self, raised: &mut Raised) -> Option<UserEvent> {
        let first = raised.0;
        let definition = self.definitions.get_mut(first)?;
        definition.is_raised = false;
        raised.0 = definition.next_raised;
        if raised.0.is_none() {
            *raised = Raised::NONE;
        }
        Some(UserEvent(first))
    }

    /// What was raised does not happen.
    pub(crate) fn forget_raised(&mut self, mut raised: Raised) {
        while self.take_raised(&mut raised).is_some() {}
    }
}

#[cfg(any(test, feature = "_model"))]
impl<F: Copy, M: Memory> Forest<F, M> {
    /// Counts are right, `users` says how many steps name an event; nothing is raised between two packets.
    #[allow(clippy::missing_panics_doc)]
    pub(crate) fn check(&self, users: impl Fn(EventId) -> usize) {
        for id in self.definitions.ids() {
            let (Some(definition), event) = (self.definitions.get(id), EventId::User(UserEvent(id))) else {
                continue;
            };
            let below = self.definitions.ids().filter_map(|id| self.definitions.get(id));
            let children = below.filter(|other| other.parent == event).count();
            assert_eq!((definition.children as usize, definition.users as usize), (children, users(event)));
            assert!(!definition.is_raised && self.root(definition.parent) == Some(definition.root));
        }
    }

    /// The filters of all events.
    pub(crate) fn filters(&self) -> impl Iterator<Item = &F> {
        self.definitions.ids().filter_map(|id| self.definitions.get(id)?.filter.as_ref())
    }
}
