//! What the calling thread may do: the running callback's context, and how calls reach the engine.

use crate::abi::{
    self, EventId, FilterArg, MOS_NULL_EVENT, MOS_ON_CONN_NEW_DATA, MOS_SIDE_BOTH, MOS_SIDE_CLI,
    MOS_SIDE_SVR, Mctx,
};
use crate::app::{CApp, Unfinished};
use crate::bell::Bell;
use crate::errno::Errno;
use crate::lock::lock;
use crate::slot::{self, Command, Desk, Slot};
use crate::sync::{Arc, Mutex, per_thread};
use libc::c_int;
use mos_flow::{Context, Monitor, Side};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{Ordering, compiler_fence};

type Running = *mut Context<'static, CApp>;

per_thread! {
    /// The context whose stack thread this is.
    static STACK: Cell<Option<&'static Slot>> = Cell::new(None);
    /// The context of the callback that runs on this thread. Null when none does, and while a call uses it.
    static RUNNING: Cell<Running> = Cell::new(ptr::null_mut());
    /// The running callback destroyed its own context: its calls are refused from then on.
    static RENOUNCED: Cell<bool> = Cell::new(false);
}

/// Makes the calling thread the stack thread of `slot`.
pub(crate) fn adopt(slot: &'static Slot) {
    STACK.with(|own| own.set(Some(slot)));
}

/// Whether the calling thread is the stack thread of some context.
pub(crate) fn is_stack_thread() -> bool {
    STACK.with(Cell::get).is_some()
}

/// The running callback destroyed a context; if it is its own, it has no business there any more.
pub(crate) fn renounce(slot: &'static Slot) {
    if is_stack_of(slot) {
        RENOUNCED.with(|own| own.set(true));
    }
}

/// The calling thread has no context any more, whatever callback runs.
pub(crate) fn renounce_all() {
    RENOUNCED.with(|own| own.set(true));
}

fn is_stack_of(slot: &'static Slot) -> bool {
    STACK.with(Cell::get).is_some_and(|own| ptr::eq(own, slot))
}

/// The context that `mctx` stands for, for the calling thread. A callback that runs while another thread destroys
/// its context still has it.
pub(crate) fn find(mctx: Mctx) -> Result<&'static Slot, Errno> {
    let still =
        || slot::slot_at(mctx).filter(|s| is_stack_of(s) && in_callback() && !RENOUNCED.with(Cell::get));
    slot::find(mctx).or_else(still).ok_or(Errno::ACCES)
}

fn in_callback() -> bool {
    !RUNNING.with(Cell::get).is_null()
}

/// Runs a callback, with `context` in reach of the calls that it makes.
fn enter(context: &mut Context<'_, CApp>, callback: impl FnOnce()) {
    struct Leave(Running);
    impl Drop for Leave {
        fn drop(&mut self) {
            RUNNING.with(|own| own.set(self.0));
        }
    }
    // The lifetime is erased here, and made up again in `with`, which runs only below this frame.
    let erased = ptr::from_mut(context).cast::<Context<'static, CApp>>();
    let _leave = Leave(RUNNING.with(|own| own.replace(erased)));
    callback();
}

/// Calls `f` with the context of the callback that runs on this thread. `None` when none of `slot` does.
pub(crate) fn with<R>(
    slot: &'static Slot,
    f: impl for<'x, 'y> FnOnce(&'x mut Context<'y, CApp>) -> R,
) -> Option<R> {
    struct Restore(Running);
    impl Drop for Restore {
        fn drop(&mut self) {
            compiler_fence(Ordering::SeqCst); // for a signal handler on this thread, which may look
            RUNNING.with(|own| own.set(self.0));
        }
    }
    if !is_stack_of(slot) {
        return None;
    }
    let running = RUNNING.with(|own| own.replace(ptr::null_mut()));
    compiler_fence(Ordering::SeqCst);
    let _restore = Restore(running);
    // SAFETY: `RUNNING` is set to a pointer only by `enter`, made from an exclusive borrow that lasts until `enter`
    // returns and is not used meanwhile; the frame of `enter` is below ours on this thread. Nobody else makes a
    // reference from it: it is null while `f` runs. `f` is good for every lifetime, so nothing it borrows gets out.
    let context = unsafe { running.as_mut() }?;
    Some(f(context))
}

/// Does something with the sockets and timers of a context, from any thread, and waits for the answer.
///
/// # Errors
/// `EACCES` when the context ends before, `EPERM` on its own stack thread outside of callbacks; those of `f`.
pub(crate) fn control<R: Send + 'static>(
    slot: &'static Slot,
    f: impl FnOnce(&mut Desk<'_, '_>) -> Result<R, Errno> + Send + 'static,
) -> Result<R, Errno> {
    if is_stack_of(slot) {
        let direct = with(slot, |context| {
            let (app, mut control) = context.split_control();
            f(&mut Desk { app, control: &mut control })
        });
        return direct.unwrap_or(Err(Errno::PERM));
    }
    let reply = Arc::new(Reply { answer: Mutex::new(None), bell: Bell::new(), asker: STACK.with(Cell::get) });
    let promise = Promise(Some(Arc::clone(&reply)));
    slot.post(Box::new(move |desk| {
        promise.keep(desk.map_or(Err(Errno::ACCES), |mut desk| f(&mut desk)));
    }))?;
    reply.wait()
}

/// The duty to answer. Whoever asked waits for it, so it is kept also when a defect unwinds through the command.
struct Promise<R>(Option<Arc<Reply<R>>>);

impl<R> Promise<R> {
    fn keep(mut self, answer: Result<R, Errno>) {
        if let Some(reply) = self.0.take() {
            reply.give(answer);
        }
    }
}

impl<R> Drop for Promise<R> {
    fn drop(&mut self) {
        if let Some(reply) = self.0.take() {
            reply.give(Err(Errno::IO));
        }
    }
}

/// Where the answer to a command arrives.
struct Reply<R> {
    answer: Mutex<Option<Result<R, Errno>>>,
    bell: Bell,
    /// The asking thread is the stack thread of this context: its own commands must not wait meanwhile.
    asker: Option<&'static Slot>,
}

impl<R> Reply<R> {
    fn give(&self, answer: Result<R, Errno>) {
        *lock(&self.answer) = Some(answer);
        self.asker.map_or(&self.bell, |slot| &slot.bell).ring();
    }

    fn wait(&self) -> Result<R, Errno> {
        let bell = self.asker.map_or(&self.bell, |slot| &slot.bell);
        loop {
            let ticket = bell.ticket();
            if let Some(answer) = lock(&self.answer).take() {
                return answer;
            }
            // Two contexts may ask each other: each answers while it waits.
            match self.asker.and_then(|slot| Some((slot, slot.next_command()?))) {
                Some((slot, command)) => run_in_callback(slot, command),
                None => bell.wait(ticket, None),
            }
        }
    }
}

/// Runs a command of another thread in the middle of a callback.
fn run_in_callback(slot: &'static Slot, command: Command) {
    let mut command = Some(command);
    with(slot, |context| {
        let (app, mut control) = context.split_control();
        if let Some(command) = command.take() {
            command(Some(Desk { app, control: &mut control }));
        }
    });
    if let Some(command) = command {
        command(None);
    }
}

/// The handler of all events.
pub(crate) fn on_event(context: &mut Context<'_, CApp>) {
    let (token, sock, side) = (context.token(), sock_of(context), side_of(context));
    let (event, arg) = event_of(context);
    let Some(callback) = context.app().callback(token) else { return };
    let run = |mctx| {
        // SAFETY: the program registered it as a callback of this type, which is the whole condition for calling it. It
        // cannot unwind into us: the ABI of `extern "C"` turns that into an abort.
        unsafe { callback(mctx, sock, side, event, arg) }
    };
    context.app().unfinished = None;
    call(context, run);
    // Each further call follows a read that has moved the socket's position.
    while event == MOS_ON_CONN_NEW_DATA && leaves_behind(context) {
        call(context, run);
    }
}

/// Whether the callback left octets behind that it would not have in the original, which keeps no more than a ring: its last
/// read told a loss, or filled its buffer and left more than the ring will keep. A program that reads once for each event
/// would be behind for ever.
fn leaves_behind(context: &mut Context<'_, CApp>) -> bool {
    let Some(Unfinished { socket, side, lost }) = context.app().unfinished.take() else { return false };
    if (socket, Some(side)) != (context.socket(), context.side()) {
        return false;
    }
    let unread = |monitor: &Monitor<'_, CApp>| {
        let (info, at) = (monitor.stream_info(side).ok()?, monitor.cursor(side).ok()?);
        Some((info.next.0.saturating_sub(at.0), u64::from(monitor.ring_octets(side).ok()?)))
    };
    let Some((unread, ring)) = context.monitor().ok().and_then(|monitor| unread(&monitor)) else {
        return false;
    };
    unread > if lost { 0 } else { ring }
}

/// The filter of all events that the program defined. Its token is the event's place in the list of the context.
pub(crate) fn on_filter(context: &mut Context<'_, CApp>) -> bool {
    let (token, sock, side) = (context.token(), sock_of(context), side_of(context));
    let definition = context.app().events().get(token).map(|(definition, _)| *definition);
    let Some((definition, filter)) = definition.and_then(|d| Some((d, d.filter?))) else { return false };
    let mut happens = false;
    call(context, |mctx| {
        // SAFETY: as for callbacks.
        happens = unsafe { filter(mctx, sock, side, definition.id, definition.arg()) };
    });
    happens
}

fn sock_of(context: &Context<'_, CApp>) -> c_int {
    context.socket().index().cast_signed()
}

fn side_of(context: &Context<'_, CApp>) -> c_int {
    match context.side() {
        Some(Side::Client) => MOS_SIDE_CLI,
        Some(Side::Server) => MOS_SIDE_SVR,
        None => MOS_SIDE_BOTH,
    }
}

/// The number of the event that happens, and its argument.
fn event_of(context: &mut Context<'_, CApp>) -> (EventId, *mut FilterArg) {
    match context.user_event().and_then(|event| context.app().definition_of(event)) {
        Some(definition) => (definition.id, definition.arg()),
        None => (context.event().map_or(MOS_NULL_EVENT, abi::event_id), ptr::null_mut()),
    }
}

/// The handler of all timers.
pub(crate) fn on_timer(context: &mut Context<'_, CApp>) {
    let token = context.token();
    if let Some(timer) = context.app().take_timer(token) {
        call(context, |mctx| {
            // SAFETY: as for callbacks.
            unsafe { (timer.callback)(mctx, timer.id, 0, MOS_NULL_EVENT, ptr::null_mut()) }
        });
    }
}

/// Calls a function of the program, unless the context was destroyed.
fn call(context: &mut Context<'_, CApp>, function: impl FnOnce(Mctx)) {
    if STACK.with(Cell::get).is_none_or(Slot::is_stopping) {
        return; // destroyed while the packet was on its way
    }
    let mctx = context.app().mctx();
    enter(context, || function(mctx));
    if STACK.with(Cell::get).is_some_and(Slot::is_lost) {
        // A child of fork() came back from the callback. It has nobody to go on for, and the files are its parent's.
        // SAFETY: a plain number; nothing of the process runs after it.
        unsafe { libc::_exit(libc::EXIT_FAILURE) }
    }
}

#[cfg(all(test, loom))]
pub(crate) mod loom_models;
