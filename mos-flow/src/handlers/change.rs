//! What a registration changes in a set: one run of steps goes, others come in its place.

use super::Handlers;
use super::call::Registration;
use super::set::Entry;
use crate::event::{EventId, Hook, MAX_DEPTH};
use crate::memory::Memory;
use crate::slab::NONE;
use crate::socket::SocketError;

/// A change in the tree of one hook, in the order of the walk.
pub(super) struct Change<A: 'static, M: Memory> {
    pub(super) hook: Hook,
    /// The first step that goes, or the one before which the new ones come; [`NONE`] is the end.
    pub(super) at: u32,
    /// The first step that stays after those that go.
    pub(super) resume: u32,
    pub(super) new: heapless::Vec<Entry<A, M>, { MAX_DEPTH + 1 }>,
}

impl<A, M: Memory> Change<A, M> {
    /// No change.
    pub(super) const NOTHING: Self =
        Change { hook: Hook::None, at: NONE, resume: NONE, new: heapless::Vec::new() };
}

impl<A, M: Memory> Handlers<A, M> {
    /// What it takes to register, or with `None` remove, a handler.
    pub(super) fn plan(
        &self,
        set: u32,
        event: EventId,
        hook: Hook,
        registration: Option<Registration<A, M>>,
    ) -> Result<Change<A, M>, SocketError> {
        let path = self.forest.path(event).ok_or(SocketError::NoEvent)?;
        if !self.forest.root(event).is_some_and(|root| root.is_allowed_at(hook)) {
            return Err(SocketError::WrongHook);
        }
        // As far as there are steps for the events of the path.
        let (mut parent, mut depth) = (NONE, 0);
        while let Some(event) = path.get(depth)
            && let Some(step) = self.step_below(set, hook, parent, *event)
        {
            (parent, depth) = (step, depth + 1);
        }
        let missing = path.get(depth..).unwrap_or_default();
        let Some(next) = missing.first() else {
            return self.plan_at(parent, hook, registration);
        };
        if registration.is_none() {
            return Err(SocketError::NoHandler);
        }
        let at = self.place_below(set, hook, parent, *next);
        let new = missing.iter().zip(depth..).map(|(event, depth)| Entry {
            event: *event,
            depth: depth as u8,
            raise_only: self.forest.is_raise_only(*event),
            registration: registration.filter(|_| depth + 1 == path.len()),
        });
        Ok(Change { hook, at, resume: at, new: new.collect() })
    }

    /// There is a step for the event.
    fn plan_at(
        &self,
        at: u32,
        hook: Hook,
        registration: Option<Registration<A, M>>,
    ) -> Result<Change<A, M>, SocketError> {
        let step = self.sets.step(at).ok_or(SocketError::NoSocket)?;
        if registration.is_none() && step.entry.registration.is_none() {
            return Err(SocketError::NoHandler);
        }
        let mut change = Change { hook, at, resume: step.next, new: heapless::Vec::new() };
        if registration.is_some() || step.below != NONE {
            let _ = change.new.push(Entry { registration, ..step.entry });
            return Ok(change);
        }
        // Steps above it that filter for this one alone go along.
        while let Some(step) = self.sets.step(change.at)
            && let Some(above) = self.sets.step(step.parent)
            && above.entry.registration.is_none()
            && above.below == change.at
            && step.sibling == NONE
        {
            change.at = step.parent;
        }
        Ok(change)
    }

    /// The first step below `parent`, or the first root.
    fn first_below(&self, set: u32, hook: Hook, parent: u32) -> u32 {
        self.sets.step(parent).map_or(self.sets.first(set, hook), |step| step.below)
    }

    /// The step of `event` below `parent`.
    fn step_below(&self, set: u32, hook: Hook, parent: u32, event: EventId) -> Option<u32> {
        let mut siblings = self.sets.siblings(self.first_below(set, hook, parent));
        siblings.find(|(_, step)| step.entry.event == event).map(|(index, _)| index)
    }

    /// The step before which a new one for `event` comes below `parent`.
    fn place_below(&self, set: u32, hook: Hook, parent: u32, event: EventId) -> u32 {
        let raise_only = self.forest.is_raise_only(event);
        let comes_after = |other: &Entry<A, M>| match (event, other.event) {
            (EventId::BuiltIn(event), EventId::BuiltIn(other)) => other > event,
            _ => other.raise_only && !raise_only,
        };
        let mut siblings = self.sets.siblings(self.first_below(set, hook, parent));
        if let Some((index, _)) = siblings.find(|(_, step)| comes_after(&step.entry)) {
            return index;
        }
        // Behind all that lies below the parent.
        let mut above = self.sets.step(parent);
        while let Some(step) = above {
            if step.sibling != NONE {
                return step.sibling;
            }
            above = self.sets.step(step.parent);
        }
        NONE
    }
}
