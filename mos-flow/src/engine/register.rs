//! Handlers, events of the application, and closures: what is called, and when.

use super::Engine;
#[cfg(feature = "alloc")]
use crate::context::{Context, TimerId};
use crate::context::{EventFilter, Handler};
use crate::event::{EventError, EventId, EventSet, Hook, UserEvent};
use crate::handlers::{Condition, Registration};
use crate::memory::Memory;
use crate::socket::{SocketError, SocketId};
#[cfg(feature = "alloc")]
use {alloc::boxed::Box, core::time::Duration};

impl<A, M: Memory> Engine<A, M> {
    /// Registers a handler; an earlier one for the same event and hook is replaced and leaves its place. On a stream socket it
    /// concerns connections that begin later, on an active one only its connection, with the next hook. `token` comes back
    /// in the context.
    ///
    /// Sockets with the same handlers share one set of them, however many they are and however they came to it, as long as
    /// events below the same one were registered in the same order.
    ///
    /// # Errors
    /// [`SocketError::WrongHook`] when the built-in event, or the one that a user-defined event lies below, is not raised
    /// there, [`SocketError::Full`] when there is no room for another set of handlers, [`SocketError::NoEvent`],
    /// [`SocketError::NoSocket`].
    pub fn register(
        &mut self,
        socket: SocketId,
        event: impl Into<EventId>,
        hook: Hook,
        handler: Handler<A, M>,
        token: usize,
    ) -> Result<(), SocketError> {
        self.register_bound(socket, event.into(), hook, Registration::function(handler, token))
    }

    fn register_bound(
        &mut self,
        socket: SocketId,
        event: EventId,
        hook: Hook,
        registration: Registration<A, M>,
    ) -> Result<(), SocketError> {
        self.sockets.register(socket, event, hook, Some(registration))?;
        let flow = self.sockets.get(socket)?.flow().and_then(|flow| self.flows.id_at(flow));
        let root = self.sockets.handlers.forest.root(event);
        if let Some((flow, root)) = flow.and_then(|flow| self.flows.get_mut(flow)).zip(root) {
            flow.interest[hook as usize] |= EventSet::of(root);
        }
        Ok(())
    }

    /// Removes a handler.
    ///
    /// # Errors
    /// [`SocketError::NoHandler`] when there is none; otherwise as [`Engine::register`].
    pub fn unregister(
        &mut self,
        socket: SocketId,
        event: impl Into<EventId>,
        hook: Hook,
    ) -> Result<(), SocketError> {
        self.sockets.register(socket, event.into(), hook, None)
    }

    /// Defines an event that happens, at each socket and hook where somebody listens to it or to one below it, when `parent`
    /// does and `filter` says so. `token` comes back in the filter's context.
    ///
    /// When an event happens its handler is called first, then the events that it raised happen, then those defined below it
    /// that have handlers, or have others with handlers below them, in the order in which those were registered. Each
    /// filter is asked once.
    ///
    /// # Errors
    /// [`EventError::Full`], [`EventError::NoEvent`] when there is no such parent, [`EventError::TooDeep`].
    ///
    /// # Examples
    /// ```
    /// use mos_flow::{Config, Context, Engine, Event, Hook, Side, SocketKind};
    ///
    /// /// Whether what the server hears goes on with a request; the octets stay unread.
    /// fn is_request(ctx: &mut Context<'_, u32>) -> bool {
    ///     let mut word = [0; 4];
    ///     let Ok(monitor) = ctx.monitor() else { return false };
    ///     let read = monitor.cursor(Side::Server).and_then(|at| monitor.ppeek(Side::Server, at, &mut word));
    ///     read.is_ok() && word == *b"GET "
    /// }
    ///
    /// let mut engine = Engine::new(Config::default())?;
    /// let socket = engine.open(SocketKind::Stream)?;
    /// let request = engine.define_event(Event::NewData, is_request, 0)?;
    /// engine.register(socket, request, Hook::None, |ctx| *ctx.app() += 1, 0)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn define_event(
        &mut self,
        parent: impl Into<EventId>,
        filter: EventFilter<A, M>,
        token: usize,
    ) -> Result<UserEvent, EventError> {
        self.sockets.handlers.forest.define(parent.into(), Some(Condition::function(filter, token)))
    }

    /// Defines an event that happens when [`Context::raise`](crate::Context::raise) is called in the filter or handler of
    /// `parent`.
    ///
    /// # Errors
    /// As [`Engine::define_event`].
    pub fn alloc_event(&mut self, parent: impl Into<EventId>) -> Result<UserEvent, EventError> {
        self.sockets.handlers.forest.define(parent.into(), None)
    }

    /// Removes an event.
    ///
    /// # Errors
    /// [`EventError::InUse`] while there are events below it, or handlers for it, or a hook at which there were is not over;
    /// [`EventError::NoEvent`].
    pub fn undefine_event(&mut self, event: UserEvent) -> Result<(), EventError> {
        self.sockets.handlers.undefine(event)
    }

    /// The user-defined event in a slot, for callers whose own handles are small numbers ([`UserEvent::index`]).
    pub fn event_at(&self, index: u32) -> Option<UserEvent> {
        self.sockets.handlers.forest.at(index)
    }

    /// User-defined events there are.
    pub fn event_count(&self) -> usize {
        self.sockets.handlers.forest.len()
    }

    /// Different sets of handlers that sockets have, and the steps of all of them: one for each event that has a handler at a
    /// hook, or one below it that has.
    pub fn handler_sets(&self) -> (usize, usize) {
        self.sockets.handlers.len()
    }
}

#[cfg(feature = "alloc")]
impl<A, M: Memory> Engine<A, M> {
    /// As [`Engine::register`], but a closure. It is dropped when no socket has it any more. It is one of its own, so the set
    /// of handlers that it comes to is shared only with connections that inherit it from a stream socket.
    ///
    /// # Errors
    /// As there.
    pub fn register_with(
        &mut self,
        socket: SocketId,
        event: impl Into<EventId>,
        hook: Hook,
        mut handler: impl FnMut(&mut Context<'_, A, M>) + Send + 'static,
    ) -> Result<(), SocketError> {
        let body = Box::new(move |context: &mut Context<'_, A, M>| {
            handler(context);
            true
        });
        let id = self.sockets.handlers.closures.add(body).ok_or(SocketError::Full)?;
        let registered = self.register_bound(socket, event.into(), hook, Registration::closure(id));
        self.sockets.handlers.closures.leave(id);
        registered
    }

    /// As [`Engine::define_event`], but a closure. It is dropped with the event.
    ///
    /// # Errors
    /// As there.
    pub fn define_event_with(
        &mut self,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut Context<'_, A, M>) -> bool + Send + 'static,
    ) -> Result<UserEvent, EventError> {
        let handlers = &mut self.sockets.handlers;
        let id = handlers.closures.add(Box::new(filter)).ok_or(EventError::Full)?;
        let defined = handlers.forest.define(parent.into(), Some(Condition::closure(id)));
        if defined.is_err() {
            handlers.closures.leave(id);
        }
        defined
    }

    /// As [`Engine::start_timer`], but a closure. It is dropped after its call, or when the timer is stopped.
    pub fn start_timer_with(
        &mut self,
        delay: Duration,
        mut handler: impl FnMut(&mut Context<'_, A, M>) + Send + 'static,
    ) -> Option<TimerId> {
        let body = Box::new(move |context: &mut Context<'_, A, M>| {
            handler(context);
            true
        });
        let id = self.sockets.handlers.closures.add(body)?;
        let timer = self.alarms.start(self.clock.running() + delay, Registration::closure(id));
        if timer.is_none() {
            self.sockets.handlers.closures.leave(id);
        }
        timer
    }
}
