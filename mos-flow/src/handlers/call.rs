//! What is called: a plain function, or a closure.
//!
//! Closures are kept in boxes beside the sets. One that runs is taken out of its box and put back afterwards, since it is
//! given the engine that the box is in; no event is raised meanwhile, so nobody looks for it.

use crate::context::{EventFilter, Handler};
use crate::memory::Memory;
#[cfg(feature = "alloc")]
use crate::slab::Id;
use core::fmt;

/// A function or closure of the application.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call<F> {
    Function(F),
    #[cfg(feature = "alloc")]
    Closure(Id),
}

/// A function or closure and the word that comes with it. Public only so that memory for it can be lent.
#[derive(Clone, Copy)]
pub struct Bound<F> {
    pub(crate) call: Call<F>,
    pub(crate) token: usize,
}

impl<F> fmt::Debug for Bound<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bound({})", self.token)
    }
}

impl<F> Bound<F> {
    pub(crate) fn function(function: F, token: usize) -> Self {
        Bound { call: Call::Function(function), token }
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn closure(id: Id) -> Self {
        Bound { call: Call::Closure(id), token: 0 }
    }
}

/// A registered handler.
pub type Registration<A, M> = Bound<Handler<A, M>>;

/// What decides whether a user-defined event happens.
pub type Condition<A, M> = Bound<EventFilter<A, M>>;

impl<A, M: Memory> Registration<A, M> {
    /// A number that is the same for the same function or closure.
    pub(super) fn code(&self) -> u64 {
        match self.call {
            Call::Function(function) => function as usize as u64,
            #[cfg(feature = "alloc")]
            Call::Closure(id) => !id.to_bits(),
        }
    }

    /// Whether both call the same with the same word. Two functions of the same code may be one to the compiler, which is no
    /// harm, or one function may be two, which costs a set.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let same = match (self.call, other.call) {
            (Call::Function(one), Call::Function(other)) => core::ptr::fn_addr_eq(one, other),
            #[cfg(feature = "alloc")]
            (Call::Closure(one), Call::Closure(other)) => one == other,
            #[cfg(feature = "alloc")]
            _ => false,
        };
        same && self.token == other.token
    }
}

#[cfg(feature = "alloc")]
pub(crate) use closures::Closures;

#[cfg(feature = "alloc")]
mod closures {
    use crate::context::Context;
    use crate::memory::{Heap, Memory, Reserved};
    use crate::slab::{Id, Reuse, Slab};
    use alloc::boxed::Box;

    /// A closure. Of a handler's the answer is of no account.
    pub(crate) type Body<A, M> = Box<dyn FnMut(&mut Context<'_, A, M>) -> bool + Send>;

    struct Closure<A: 'static, M: Memory> {
        /// `None` while it runs.
        body: Option<Body<A, M>>,
        /// Steps, definitions and timers that call it.
        users: u32,
    }

    /// All closures of an engine.
    pub(crate) struct Closures<A: 'static, M: Memory> {
        closures: Slab<Closure<A, M>, Heap>,
    }

    impl<A, M: Memory> Closures<A, M> {
        /// Room for `most`, taken as it is needed.
        pub(crate) fn new(most: usize) -> Self {
            Closures { closures: Slab::new(Reserved::up_to(most), Reuse::Newest) }
        }

        /// Adds a closure with one user: the caller.
        pub(crate) fn add(&mut self, body: Body<A, M>) -> Option<Id> {
            self.closures.insert(Closure { body: Some(body), users: 1 }).ok()
        }

        pub(crate) fn join(&mut self, id: Id) {
            if let Some(closure) = self.closures.get_mut(id) {
                closure.users += 1;
            }
        }

        /// One user less; the last one takes the closure along.
        pub(crate) fn leave(&mut self, id: Id) {
            let Some(closure) = self.closures.get_mut(id) else { return };
            closure.users -= 1;
            if closure.users == 0 {
                self.closures.remove(id);
            }
        }

        /// Takes a closure out, to run it.
        pub(crate) fn take(&mut self, id: Id) -> Option<Body<A, M>> {
            self.closures.get_mut(id)?.body.take()
        }

        pub(crate) fn put_back(&mut self, id: Id, body: Body<A, M>) {
            if let Some(closure) = self.closures.get_mut(id) {
                closure.body = Some(body);
            }
        }

        /// How many call a closure.
        #[cfg(any(test, feature = "_model"))]
        pub(crate) fn users(&self) -> impl Iterator<Item = (Id, u32)> + '_ {
            self.closures.ids().filter_map(|id| Some((id, self.closures.get(id)?.users)))
        }
    }
}
