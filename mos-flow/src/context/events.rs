//! User-defined events, and handlers, as a handler sees them.

use super::{Context, Control, EventFilter, Handler};
use crate::event::{EventError, EventId, Hook, UserEvent};
use crate::memory::Memory;
use crate::socket::{SocketError, SocketId};
#[cfg(feature = "alloc")]
use {super::TimerId, core::time::Duration};

impl<A, M: Memory> Context<'_, A, M> {
    /// The user-defined event whose filter or handler this is.
    pub fn user_event(&self) -> Option<UserEvent> {
        self.user_event
    }

    /// The event, built-in or not, whose filter or handler this is.
    pub fn event_id(&self) -> Option<EventId> {
        self.user_event.map(EventId::from).or(self.event.map(EventId::from))
    }

    /// Lets `child` happen, which was allocated below the event whose filter or handler this is: at this socket and hook, once,
    /// after the handler of this event and before the events that are defined below it. Several happen in the order of
    /// raising. None does if this is a filter that says no.
    ///
    /// # Errors
    /// [`EventError::NotChild`] when it was not allocated below this event, [`EventError::NoEvent`].
    pub fn raise(&mut self, child: UserEvent) -> Result<(), EventError> {
        let parent = self.event_id();
        self.engine.sockets.handlers.forest.raise(parent, child, &mut self.raised)
    }
}

impl<A, M: Memory> Control<'_, A, M> {
    /// See [`Engine::register`](crate::Engine::register).
    ///
    /// # Errors
    /// As there.
    pub fn register(
        &mut self,
        socket: SocketId,
        event: impl Into<EventId>,
        hook: Hook,
        handler: Handler<A, M>,
        token: usize,
    ) -> Result<(), SocketError> {
        self.engine.register(socket, event, hook, handler, token)
    }

    /// See [`Engine::unregister`](crate::Engine::unregister).
    ///
    /// # Errors
    /// As there.
    pub fn unregister(
        &mut self,
        socket: SocketId,
        event: impl Into<EventId>,
        hook: Hook,
    ) -> Result<(), SocketError> {
        self.engine.unregister(socket, event, hook)
    }

    /// See [`Engine::define_event`](crate::Engine::define_event).
    ///
    /// # Errors
    /// As there.
    pub fn define_event(
        &mut self,
        parent: impl Into<EventId>,
        filter: EventFilter<A, M>,
        token: usize,
    ) -> Result<UserEvent, EventError> {
        self.engine.define_event(parent, filter, token)
    }

    /// See [`Engine::alloc_event`](crate::Engine::alloc_event).
    ///
    /// # Errors
    /// As there.
    pub fn alloc_event(&mut self, parent: impl Into<EventId>) -> Result<UserEvent, EventError> {
        self.engine.alloc_event(parent)
    }

    /// See [`Engine::undefine_event`](crate::Engine::undefine_event).
    ///
    /// # Errors
    /// As there.
    pub fn undefine_event(&mut self, event: UserEvent) -> Result<(), EventError> {
        self.engine.undefine_event(event)
    }

    /// See [`Engine::event_at`](crate::Engine::event_at).
    pub fn event_at(&self, index: u32) -> Option<UserEvent> {
        self.engine.event_at(index)
    }
}

#[cfg(feature = "alloc")]
impl<A, M: Memory> Control<'_, A, M> {
    /// See [`Engine::register_with`](crate::Engine::register_with).
    ///
    /// # Errors
    /// As there.
    pub fn register_with(
        &mut self,
        socket: SocketId,
        event: impl Into<EventId>,
        hook: Hook,
        handler: impl FnMut(&mut Context<'_, A, M>) + Send + 'static,
    ) -> Result<(), SocketError> {
        self.engine.register_with(socket, event, hook, handler)
    }

    /// See [`Engine::define_event_with`](crate::Engine::define_event_with).
    ///
    /// # Errors
    /// As there.
    pub fn define_event_with(
        &mut self,
        parent: impl Into<EventId>,
        filter: impl FnMut(&mut Context<'_, A, M>) -> bool + Send + 'static,
    ) -> Result<UserEvent, EventError> {
        self.engine.define_event_with(parent, filter)
    }

    /// See [`Engine::start_timer_with`](crate::Engine::start_timer_with).
    pub fn start_timer_with(
        &mut self,
        delay: Duration,
        handler: impl FnMut(&mut Context<'_, A, M>) + Send + 'static,
    ) -> Option<TimerId> {
        self.engine.start_timer_with(delay, handler)
    }
}
