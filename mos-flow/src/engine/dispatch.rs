//! One hook of one socket: its handlers, from the built-in events down.

use super::Engine;
use super::raise::{Raise, Sight};
use crate::context::Context;
use crate::event::{Event, EventId, Raised, UserEvent};
use crate::handlers::{Bound, Call, Registration};
use crate::memory::Memory;
use crate::packet::Verdict;
use crate::slab::NONE;
use crate::socket::SocketId;

/// What does not change while the handlers of a hook are called, and what they decide.
pub(super) struct Dispatch<'a, 'p, A, M: Memory> {
    pub(super) socket: SocketId,
    pub(super) what: &'a Raise,
    pub(super) sight: &'a mut Sight<'p, M>,
    pub(super) app: &'a mut A,
    pub(super) verdict: Verdict,
}

/// The event that happens.
struct Happening {
    root: Event,
    user: Option<UserEvent>,
    raised: Raised,
}

impl<A, M: Memory> Engine<A, M> {
    /// Goes through the set of handlers that the socket has now. What a handler registers or removes takes effect with the
    /// next hook: the set stays as it is, and is held until the end.
    #[inline]
    pub(super) fn dispatch(&mut self, set: u32, dispatch: &mut Dispatch<'_, '_, A, M>) {
        let events = dispatch.what.events;
        let Some(mut at) = self.sockets.handlers.enter(set, dispatch.what.hook, events) else { return };
        while let Some(step) = self.sockets.handlers.step(at) {
            let next = step.sibling;
            match (step.entry.event, step.entry.registration) {
                (EventId::BuiltIn(root), _) if !events.has(root) => {}
                // Nearly always all there is to it.
                (EventId::BuiltIn(root), Some(registration)) if step.below == NONE => {
                    let mut happening = Happening { root, user: None, raised: Raised::NONE };
                    self.call_handler(registration, &mut happening, dispatch);
                    self.sockets.handlers.forest.forget_raised(happening.raised);
                }
                (EventId::BuiltIn(root), _) => self.visit(at, root, dispatch),
                (EventId::User(_), _) => {}
            }
            at = next;
        }
        self.sockets.handlers.leave(set);
    }

    /// One step of the set and, if its event happens, what lies below it. No deeper than events can be defined.
    fn visit(&mut self, at: u32, root: Event, dispatch: &mut Dispatch<'_, '_, A, M>) {
        let Some(step) = self.sockets.handlers.step(at) else { return };
        let (registration, mut below) = (step.entry.registration, step.below);
        let mut happening = Happening { root, user: step.entry.event.user(), raised: Raised::NONE };
        if !self.happens(&mut happening, dispatch) {
            return self.sockets.handlers.forest.forget_raised(happening.raised);
        }
        if let Some(registration) = registration {
            self.call_handler(registration, &mut happening, dispatch);
        }
        while let Some(event) = self.sockets.handlers.forest.take_raised(&mut happening.raised) {
            if let Some(below) = self.sockets.handlers.raised_step(at, event) {
                self.visit(below, root, dispatch);
            }
        }
        while let Some(step) = self.sockets.handlers.step(below).filter(|step| !step.entry.raise_only) {
            let next = step.sibling;
            self.visit(below, root, dispatch);
            below = next;
        }
    }

    /// Asks the filter of a user-defined event. One without happens, since it was raised.
    fn happens(&mut self, happening: &mut Happening, dispatch: &mut Dispatch<'_, '_, A, M>) -> bool {
        let Some(event) = happening.user else { return true };
        let filter = self.sockets.handlers.forest.get(event).and_then(|definition| definition.filter);
        filter.is_none_or(|filter| {
            self.call(filter, happening, dispatch, |function, context| function(context))
        })
    }

    #[inline]
    fn call_handler(
        &mut self,
        registration: Registration<A, M>,
        happening: &mut Happening,
        dispatch: &mut Dispatch<'_, '_, A, M>,
    ) {
        self.call(registration, happening, dispatch, |function, context| {
            function(context);
            true
        });
    }

    #[inline]
    fn call<F>(
        &mut self,
        bound: Bound<F>,
        happening: &mut Happening,
        dispatch: &mut Dispatch<'_, '_, A, M>,
        function: impl FnOnce(F, &mut Context<'_, A, M>) -> bool,
    ) -> bool {
        let mut context = Context {
            engine: self,
            app: &mut *dispatch.app,
            socket: dispatch.socket,
            token: bound.token,
            event: Some(happening.root),
            user_event: happening.user,
            raised: happening.raised,
            hook: dispatch.what.hook,
            side: dispatch.what.side,
            packet: dispatch.sight.packet,
            editing: dispatch.sight.editing(),
            trouble: dispatch.what.trouble,
            conflict: dispatch.what.conflict,
            refused: dispatch.what.refused,
            verdict: dispatch.verdict,
        };
        let answer = context.run(bound.call, function);
        (happening.raised, dispatch.verdict) = (context.raised, context.verdict);
        answer
    }
}

impl<A, M: Memory> Context<'_, A, M> {
    /// Calls a function, or a closure: that is not in its box meanwhile.
    #[inline]
    pub(super) fn run<F>(&mut self, call: Call<F>, function: impl FnOnce(F, &mut Self) -> bool) -> bool {
        match call {
            Call::Function(f) => function(f, self),
            #[cfg(feature = "alloc")]
            Call::Closure(id) => {
                let Some(mut body) = self.engine.sockets.handlers.closures.take(id) else { return false };
                let answer = body(self);
                self.engine.sockets.handlers.closures.put_back(id, body);
                answer
            }
        }
    }
}
