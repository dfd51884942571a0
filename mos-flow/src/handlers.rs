//! Who is called: the events that the application defined, and the sets of handlers that its sockets have.
//!
//! A million connections may register the same handlers, each for itself, at run time: they share one [`set`](HandlerSet). A
//! set never changes. To register or remove a handler is to go over to the set with that change, which is there already
//! unless nobody had it before. So a dispatch runs through the set that the socket had when it began, whatever its handlers
//! register, and nothing is copied for it.

mod call;

mod change;

mod set;

pub(crate) use call::Call;
#[cfg(feature = "alloc")]
pub(crate) use call::Closures;
pub use call::{Bound, Condition, Registration};
pub use set::{HandlerSet, Step};

use crate::event::{Definition, EventError, EventId, EventSet, Forest, Hook, UserEvent};
use crate::memory::{Array, Memory};
use crate::slab::{NONE, Slot};
use crate::socket::SocketError;
use crate::table::Bucket;
use change::Change;
use core::fmt;
use set::Sets;

/// Arrays for the handlers of an engine.
pub struct HandlerArrays<A: 'static, M: Memory> {
    /// Empty, one for each user-defined event.
    pub events: M::Of<Slot<Definition<Condition<A, M>>>>,
    /// Empty, one for each handler of each set, and each event above it.
    pub steps: M::Of<Slot<Step<A, M>>>,
    /// Empty, one for each set, and two more.
    pub sets: M::Of<Slot<HandlerSet>>,
    /// [`Bucket::EMPTY`] everywhere, [`Table::buckets_for`](crate::table::Table::buckets_for) sets.
    pub buckets: M::Of<Bucket>,
}

impl<A, M: Memory> fmt::Debug for HandlerArrays<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HandlerArrays")
    }
}

#[cfg(feature = "alloc")]
impl<A> HandlerArrays<A, crate::memory::Heap> {
    /// Octets that [`HandlerArrays::on_heap`] reserves for `config`; `None` when they cannot be counted.
    pub fn footprint(config: &crate::Config) -> Option<usize> {
        let (sets, buckets) = limits(config);
        let parts = [
            (config.max_events, size_of::<Slot<Definition<Condition<A, crate::memory::Heap>>>>()),
            (config.max_steps, size_of::<Slot<Step<A, crate::memory::Heap>>>()),
            (sets, size_of::<Slot<HandlerSet>>()),
            (buckets, size_of::<Bucket>()),
        ];
        parts.into_iter().try_fold(0_usize, |sum, (n, size)| sum.checked_add(n.checked_mul(size)?))
    }

    /// Arrays on the heap for `config`, reserved, not touched.
    pub fn on_heap(config: &crate::Config) -> Self {
        use crate::memory::Reserved;
        let (sets, buckets) = limits(config);
        HandlerArrays {
            events: Reserved::with_capacity(config.max_events),
            steps: Reserved::with_capacity(config.max_steps),
            sets: Reserved::with_capacity(sets),
            buckets: Reserved::filled(Bucket::EMPTY, buckets),
        }
    }
}

/// The most sets, and buckets for them. A set has a step or is the empty one, and a socket or the dispatch that still runs
/// through it; one more is made before the one that it replaces goes.
#[cfg(feature = "alloc")]
fn limits(config: &crate::Config) -> (usize, usize) {
    let sets = config.max_sockets.min(config.max_steps) + 2;
    (sets, crate::table::Table::<crate::memory::Heap>::buckets_for(sets))
}

/// The user-defined events, sets and closures of an engine.
pub(crate) struct Handlers<A: 'static, M: Memory> {
    pub(crate) forest: Forest<Condition<A, M>, M>,
    sets: Sets<A, M>,
    #[cfg(feature = "alloc")]
    pub(crate) closures: Closures<A, M>,
}

impl<A, M: Memory> Handlers<A, M> {
    /// Room for `timers` closures besides those of events and steps.
    pub(crate) fn new(arrays: HandlerArrays<A, M>, seed: [u8; 16], timers: usize) -> Self {
        let HandlerArrays { events, steps, sets, buckets } = arrays;
        // One is added before it is known whether there is a step for it.
        let _closures = events.capacity().saturating_add(steps.capacity()).saturating_add(timers + 1);
        Handlers {
            forest: Forest::new(events),
            sets: Sets::new(steps, sets, buckets, seed),
            #[cfg(feature = "alloc")]
            closures: Closures::new(_closures),
        }
    }

    /// Sets and steps there are.
    pub(crate) fn len(&self) -> (usize, usize) {
        self.sets.len()
    }

    /// The built-in events that have handlers, or others with handlers below them, by hook.
    #[inline]
    pub(crate) fn masks(&self, set: u32) -> [EventSet; Hook::ALL.len()] {
        self.sets.masks(set)
    }

    /// The same at one hook.
    #[inline]
    pub(crate) fn mask(&self, set: u32, hook: Hook) -> EventSet {
        self.sets.mask(set, hook)
    }

    /// Lets a dispatch in, if the set has a tree for the hook with one of `events`. Returns the first root; the set stays until
    /// it is left.
    #[inline]
    pub(crate) fn enter(&mut self, set: u32, hook: Hook, events: EventSet) -> Option<u32> {
        self.sets.enter(set, hook, events)
    }

    #[inline]
    pub(crate) fn step(&self, index: u32) -> Option<&Step<A, M>> {
        self.sets.step(index)
    }

    /// The step below `parent` of an event that was raised.
    pub(crate) fn raised_step(&mut self, parent: u32, event: UserEvent) -> Option<u32> {
        let event = EventId::from(event);
        let is_it = |sets: &Sets<A, M>, index: u32| {
            sets.step(index).is_some_and(|step| step.parent == parent && step.entry.event == event)
        };
        let known = self.forest.get(event.user()?)?.step;
        if is_it(&self.sets, known) {
            return Some(known);
        }
        // All at once: others may have been raised, too.
        let first = self.sets.step(parent)?.below;
        for (index, step) in self.sets.siblings(first).filter(|(_, step)| step.entry.raise_only) {
            self.forest.set_step(step.entry.event, index);
        }
        let known = self.forest.get(event.user()?)?.step;
        is_it(&self.sets, known).then_some(known)
    }

    /// The set without handlers, for one more user.
    pub(crate) fn empty(&mut self) -> Result<u32, SocketError> {
        self.go_over(NONE, &Change::NOTHING)
    }

    /// The set that has a handler more or, with `None`, less than another one, for one more user.
    pub(crate) fn changed(
        &mut self,
        set: u32,
        event: EventId,
        hook: Hook,
        registration: Option<Registration<A, M>>,
    ) -> Result<u32, SocketError> {
        let change = self.plan(set, event, hook, registration)?;
        self.go_over(set, &change)
    }

    fn go_over(&mut self, set: u32, change: &Change<A, M>) -> Result<u32, SocketError> {
        let (hash, found) = self.sets.find(set, change);
        if let Some(found) = found {
            self.sets.join(found);
            return Ok(found);
        }
        let new = self.sets.build(set, change, hash).map_err(|_| SocketError::Full)?;
        for entry in self.sets.entries(new) {
            self.forest.join(entry.event);
            #[cfg(feature = "alloc")]
            if let Some(Call::Closure(id)) = entry.registration.map(|r| r.call) {
                self.closures.join(id);
            }
        }
        Ok(new)
    }

    #[inline]
    pub(crate) fn join(&mut self, set: u32) {
        self.sets.join(set);
    }

    /// One user less; the last one takes the set along.
    #[inline]
    pub(crate) fn leave(&mut self, set: u32) {
        if self.sets.leave(set) {
            self.remove(set);
        }
    }

    #[cold]
    fn remove(&mut self, set: u32) {
        for entry in self.sets.entries(set) {
            self.forest.leave(entry.event);
            #[cfg(feature = "alloc")]
            if let Some(Call::Closure(id)) = entry.registration.map(|r| r.call) {
                self.closures.leave(id);
            }
        }
        self.sets.remove(set);
    }

    /// Removes a user-defined event that nothing depends on.
    pub(crate) fn undefine(&mut self, event: UserEvent) -> Result<(), EventError> {
        let _filter = self.forest.undefine(event)?;
        #[cfg(feature = "alloc")]
        self.release(_filter.as_ref());
        Ok(())
    }

    /// What is bound is called no more; a closure goes with its last user.
    #[cfg(feature = "alloc")]
    pub(crate) fn release<F>(&mut self, bound: Option<&Bound<F>>) {
        if let Some(Bound { call: Call::Closure(id), .. }) = bound {
            self.closures.leave(*id);
        }
    }

    /// Sets are used by sockets as often as `users` says, closures besides by `timers`.
    #[cfg(any(test, feature = "_model"))]
    #[allow(clippy::missing_panics_doc)]
    pub(crate) fn check(&self, users: impl Fn(u32) -> usize) {
        self.sets.check(users);
        self.forest.check(|event| self.sets.all_entries().filter(|entry| entry.event == event).count());
    }

    /// How often steps and definitions call a closure.
    #[cfg(all(feature = "alloc", any(test, feature = "_model")))]
    pub(crate) fn calls_of(&self, id: crate::slab::Id) -> usize {
        let steps = self.sets.all_entries().filter_map(|entry| entry.registration.as_ref());
        let handlers = steps.filter(|r| matches!(r.call, Call::Closure(other) if other == id)).count();
        let filters = self.forest.filters().filter(|f| matches!(f.call, Call::Closure(other) if other == id));
        handlers + filters.count()
    }
}
