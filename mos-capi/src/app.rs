//! [`CApp`]: the application's state that an engine of C callbacks carries.

use crate::abi::{Callback, Mctx, MtcpContext};
use crate::defined::Definition;
use libc::c_int;
use mos_flow::{Peek, Side, SocketId, TimerId, UserEvent};
use std::ptr;
use std::time::Duration;

/// Functions of the program and what they need; belongs to the context's thread.
#[derive(Debug)]
pub(crate) struct CApp {
    mctx: &'static MtcpContext,
    /// All functions that were ever registered. A registration's token is its index here. Programs have few.
    callbacks: Vec<Callback>,
    /// Events that the program defined, as far as the engine knows them; none for those that are never raised.
    events: Vec<(&'static Definition, Option<UserEvent>)>,
    /// Where they are in `events`, by the engine's index.
    places: Vec<usize>,
    /// Timers that run; a timer's token is its index here.
    timers: Vec<Option<AppTimer>>,
    /// Tokens of timers that have fired.
    free: Vec<usize>,
    /// Timers that were set before the first packet, by their tokens: they start with it.
    waiting: Option<Vec<(Duration, usize)>>,
    /// Monitoring sockets for IPv6; all others are for IPv4.
    v6: Vec<SocketId>,
    /// What the last read in the running callback came to, when it may have left octets behind.
    pub(crate) unfinished: Option<Unfinished>,
    /// The copy of a packet that `mtcp_getlastpkt` gives out.
    pub(crate) frame: Vec<u8>,
}

/// A read that told a loss, or filled all the room that it had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unfinished {
    pub(crate) socket: SocketId,
    pub(crate) side: Side,
    pub(crate) lost: bool,
}

/// A timer of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppTimer {
    pub(crate) id: c_int,
    pub(crate) callback: Callback,
    /// The engine's timer; none before the first packet.
    pub(crate) runs: Option<TimerId>,
}

impl CApp {
    pub(crate) fn new(mctx: &'static MtcpContext) -> Self {
        CApp {
            mctx,
            callbacks: Vec::new(),
            events: Vec::new(),
            places: Vec::new(),
            timers: Vec::new(),
            free: Vec::new(),
            waiting: Some(Vec::new()),
            v6: Vec::new(),
            unfinished: None,
            frame: Vec::new(),
        }
    }

    /// The handle that callbacks get.
    pub(crate) fn mctx(&self) -> Mctx {
        ptr::from_ref(self.mctx).cast_mut()
    }

    /// Notes what a read of up to `most` octets of a stream came to.
    pub(crate) fn note_read(&mut self, socket: SocketId, side: Side, read: &Peek, most: u64) {
        let lost = matches!(read, Peek::Lost(_));
        let full = matches!(read, Peek::Data(range) if range.len() >= most);
        self.unfinished = (lost || full).then_some(Unfinished { socket, side, lost });
    }

    /// Whether there is anything to call.
    pub(crate) fn is_set_up(&self) -> bool {
        !self.callbacks.is_empty() || self.timers.iter().any(Option::is_some)
    }

    /// Notes that a monitoring socket is for IPv6, or, when it is closed, that it is not any more.
    pub(crate) fn set_v6(&mut self, socket: SocketId, v6: bool) {
        self.v6.retain(|s| *s != socket);
        if v6 {
            self.v6.push(socket);
        }
    }

    /// Whether a monitoring socket is for IPv6.
    pub(crate) fn is_v6(&self, socket: SocketId) -> bool {
        self.v6.contains(&socket)
    }

    /// The token of a function.
    pub(crate) fn token_of(&mut self, callback: Callback) -> usize {
        let known = self.callbacks.iter().position(|c| ptr::fn_addr_eq(*c, callback));
        known.unwrap_or_else(|| {
            self.callbacks.push(callback);
            self.callbacks.len() - 1
        })
    }

    pub(crate) fn callback(&self, token: usize) -> Option<Callback> {
        self.callbacks.get(token).copied()
    }

    /// Events of the program that the engine knows, in the order of their ids.
    pub(crate) fn events(&self) -> &[(&'static Definition, Option<UserEvent>)] {
        &self.events
    }

    /// The engine knows another one.
    pub(crate) fn add_event(&mut self, definition: &'static Definition, event: Option<UserEvent>) {
        if let Some(event) = event {
            let index = event.index() as usize;
            self.places.resize(self.places.len().max(index + 1), usize::MAX);
            self.places[index] = self.events.len();
        }
        self.events.push((definition, event));
    }

    /// The definition of an event of the engine.
    pub(crate) fn definition_of(&self, event: UserEvent) -> Option<&'static Definition> {
        let place = self.places.get(event.index() as usize)?;
        self.events.get(*place).map(|(definition, _)| *definition)
    }

    /// Keeps a timer until it fires. Returns its token.
    pub(crate) fn add_timer(&mut self, timer: AppTimer) -> usize {
        let token = self.free.pop().unwrap_or(self.timers.len());
        match self.timers.get_mut(token) {
            Some(place) => *place = Some(timer),
            None => self.timers.push(Some(timer)),
        }
        token
    }

    pub(crate) fn take_timer(&mut self, token: usize) -> Option<AppTimer> {
        let timer = self.timers.get_mut(token)?.take()?;
        self.free.push(token);
        Some(timer)
    }

    /// The engine has started a timer.
    pub(crate) fn note_started(&mut self, token: usize, runs: TimerId) {
        if let Some(timer) = self.timers.get_mut(token).and_then(Option::as_mut) {
            timer.runs = Some(runs);
        }
    }

    /// Forgets timers by their number and function, or, without, any function; those that run are handed to `stop`.
    /// Returns how many there were.
    pub(crate) fn cancel_timers(
        &mut self,
        id: c_int,
        callback: Option<Callback>,
        mut stop: impl FnMut(TimerId),
    ) -> usize {
        let is_meant = |timer: &AppTimer| {
            timer.id == id && callback.is_none_or(|callback| ptr::fn_addr_eq(timer.callback, callback))
        };
        let mut cancelled = 0;
        for token in 0..self.timers.len() {
            if !self.timers.get(token).and_then(Option::as_ref).is_some_and(is_meant) {
                continue;
            }
            if let Some(waiting) = self.waiting.as_mut() {
                waiting.retain(|(_, waits)| *waits != token);
            }
            if let Some(runs) = self.take_timer(token).and_then(|timer| timer.runs) {
                stop(runs);
            }
            cancelled += 1;
        }
        cancelled
    }

    /// Timers that wait for the first packet. `None` once it has come.
    pub(crate) fn waiting(&mut self) -> Option<&mut Vec<(Duration, usize)>> {
        self.waiting.as_mut()
    }

    /// The first packet has come.
    pub(crate) fn take_waiting(&mut self) -> Option<Vec<(Duration, usize)>> {
        self.waiting.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::{EventId, FilterArg};

    unsafe extern "C" fn one(_: Mctx, _: c_int, _: c_int, _: EventId, _: *mut FilterArg) {}
    unsafe extern "C" fn two(_: Mctx, side: c_int, _: c_int, _: EventId, _: *mut FilterArg) {
        assert_eq!(side, 0);
    }

    #[test]
    fn a_function_has_one_token_and_a_timer_one_life() {
        let mut app = CApp::new(Box::leak(Box::default()));
        assert!(!app.is_set_up());
        let tokens = [app.token_of(one), app.token_of(two), app.token_of(one)];
        assert_eq!(tokens, [0, 1, 0]);
        assert!(
            app.callback(1).is_some_and(|c| ptr::fn_addr_eq(c, two as Callback)) && app.callback(2).is_none()
        );
        let timer = |id| AppTimer { id, callback: one, runs: None };
        let (a, b) = (app.add_timer(timer(5)), app.add_timer(timer(6)));
        assert_eq!(app.take_timer(a).map(|t| t.id), Some(5));
        assert!(app.take_timer(a).is_none());
        assert_eq!((app.add_timer(timer(7)), app.take_timer(b).map(|t| t.id)), (a, Some(6)));
    }

    #[test]
    fn timers_are_cancelled_by_number_and_function() {
        let mut app = CApp::new(Box::leak(Box::default()));
        let mut add = |id, callback: Callback, runs| {
            let token = app.add_timer(AppTimer { id, callback, runs: None });
            match runs {
                Some(runs) => app.note_started(token, runs),
                None => app.waiting().unwrap().push((Duration::ZERO, token)),
            }
            token
        };
        let runs = TimerId::NONE;
        let tokens = [add(1, one, None), add(1, two, None), add(2, one, Some(runs)), add(1, one, Some(runs))];
        let cancel = |app: &mut CApp, id, callback| {
            let mut stopped = 0;
            (app.cancel_timers(id, callback, |_| stopped += 1), stopped)
        };
        assert_eq!(cancel(&mut app, 3, None), (0, 0));
        assert_eq!(cancel(&mut app, 1, Some(one)), (2, 1));
        assert_eq!(app.waiting().unwrap().as_slice(), [(Duration::ZERO, tokens[1])]);
        assert_eq!(cancel(&mut app, 1, Some(one)), (0, 0));
        assert_eq!([cancel(&mut app, 1, None), cancel(&mut app, 2, None)], [(1, 0), (1, 1)]);
        assert!(!app.is_set_up() && app.take_waiting().unwrap().is_empty());
    }
}
