//! `mtcp_register_signal`: handlers that may end contexts.

use crate::errno::Errno;
use crate::ffi::entry;
use crate::slot;
use libc::{c_int, c_void};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicI64, AtomicPtr, Ordering};

/// Signals are below this.
const SIGNALS: usize = 65;

/// The program's handlers, by signal.
static HANDLERS: [AtomicPtr<c_void>; SIGNALS] = [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];
/// When the last SIGINT came: milliseconds of the monotonic clock.
static LAST_INTERRUPT: AtomicI64 = AtomicI64::new(i64::MIN);

thread_local! {
    /// Handlers of ours that run on this thread.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread is inside of a handler set by `mtcp_register_signal`: what it interrupted may hold locks.
pub(crate) fn in_handler() -> bool {
    DEPTH.get() > 0
}

/// See `mtcp_api.h`. Handlers are passed as they are, as pointers: two of them are none.
///
/// # Safety
/// `handler` is `SIG_DFL`, `SIG_IGN`, or a function that takes an `int`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_register_signal(signum: c_int, handler: *mut c_void) -> *mut c_void {
    let sig_err = ptr::without_provenance_mut(libc::SIG_ERR);
    entry(sig_err, || {
        let at = usize::try_from(signum).ok().filter(|s| (1..SIGNALS).contains(s)).ok_or(Errno::INVAL)?;
        if handler.addr() == libc::SIG_ERR {
            return Err(Errno::INVAL);
        }
        let previous = HANDLERS[at].swap(handler, Ordering::AcqRel);
        let plain = handler.addr() == libc::SIG_DFL || handler.addr() == libc::SIG_IGN;
        let ours = (on_signal as extern "C" fn(c_int)) as *mut c_void;
        match install(signum, if plain { handler } else { ours }) {
            Some(before) => Ok(if ptr::eq(before, ours) { previous } else { before }),
            None => {
                HANDLERS[at].store(previous, Ordering::Release);
                Err(Errno::INVAL)
            }
        }
    })
}

/// Sets a signal's action. Returns the one before.
fn install(signum: c_int, handler: *mut c_void) -> Option<*mut c_void> {
    // SAFETY: plain numbers, for which zeros are valid: no flags, nothing blocked.
    let mut action = unsafe { std::mem::zeroed::<libc::sigaction>() };
    action.sa_sigaction = handler.expose_provenance();
    action.sa_flags = libc::SA_RESTART;
    let mut before = action;
    // SAFETY: both point to actions; the handler is `SIG_DFL`, `SIG_IGN` or `on_signal`, which is safe in a handler.
    let done = unsafe { libc::sigaction(signum, &raw const action, &raw mut before) };
    (done == 0).then(|| ptr::with_exposed_provenance_mut(before.sa_sigaction))
}

/// Runs the program's handler. Nothing here takes a lock or allocates.
extern "C" fn on_signal(signum: c_int) {
    let errno = Errno::get();
    if signum == libc::SIGINT && is_second_interrupt() {
        slot::all().for_each(slot::Slot::halt);
    }
    let handler = usize::try_from(signum).ok().and_then(|at| HANDLERS.get(at));
    let handler = handler.map_or(ptr::null_mut(), |h| h.load(Ordering::Acquire));
    if handler.addr() != libc::SIG_DFL && handler.addr() != libc::SIG_IGN {
        // SAFETY: `mtcp_register_signal` was given it as a function of this type.
        let handler = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(c_int)>(handler) };
        DEPTH.set(DEPTH.get() + 1);
        // SAFETY: as above; what it may do in a handler is the program's concern, and the header's.
        unsafe { handler(signum) };
        DEPTH.set(DEPTH.get() - 1);
    }
    errno.set();
}

/// Whether a SIGINT came less than a second ago; notes this one.
fn is_second_interrupt() -> bool {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it points to a local; the call is safe in a handler.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    let now = now.tv_sec * 1000 + now.tv_nsec / 1_000_000;
    let last = LAST_INTERRUPT.swap(now, Ordering::Relaxed);
    now.saturating_sub(last) < 1000
}
