//! The sentence about the calling thread's last failure.

use libc::c_char;
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::fmt::Display;

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
    static STATE: Cell<State> = const { Cell::new(State::Old) };
}

/// What `LAST` is about. Most failures have no sentence, and are frequent: for those nothing else changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The call that runs, which is about to fail.
    New,
    /// The last failure, or, as long as there is none after it, what a call noted that succeeded.
    Last,
    /// Something before that.
    Old,
}

/// Keeps a sentence about the failure of the call that runs, for [`pointer()`].
pub(crate) fn tell(sentence: impl Display) {
    keep(sentence, State::New);
}

/// Keeps what there is to say of a call that succeeds.
pub(crate) fn note(sentence: impl Display) {
    keep(sentence, State::Last);
}

fn keep(sentence: impl Display, state: State) {
    let mut octets = sentence.to_string().into_bytes();
    octets.retain(|b| *b != 0);
    let text = CString::new(octets).unwrap_or_default();
    // While a thread ends there is nobody left to read it.
    let _ = LAST.try_with(|last| last.replace(text));
    STATE.set(state);
}

/// A call has failed: a sentence that was told before it began is not about it.
pub(crate) fn settle() {
    let told = STATE.get() == State::New;
    STATE.set(if told { State::Last } else { State::Old });
}

/// The sentence about the last failure, empty when it has none; valid until the next failure of this thread.
pub(crate) fn pointer() -> *const c_char {
    if STATE.get() == State::Old {
        return c"".as_ptr();
    }
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    fn said() -> &'static str {
        // SAFETY: the pointer leads to a string that stays until the next one is told, and is read before.
        unsafe { CStr::from_ptr(pointer()) }.to_str().unwrap()
    }

    #[test]
    fn a_sentence_is_about_one_failure() {
        assert_eq!(said(), "");
        tell("first");
        settle();
        assert_eq!(said(), "first");
        settle();
        assert_eq!(said(), "", "the next one had nothing to tell");
        note("a warn\0ing");
        assert_eq!(said(), "a warning");
        settle();
        assert_eq!(said(), "");
    }
}
