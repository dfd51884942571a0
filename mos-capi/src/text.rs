//! The sentence about the calling thread's last failure.

use libc::c_char;
use std::cell::RefCell;
use std::ffi::CString;
use std::fmt::Display;

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Keeps a sentence for [`pointer()`].
pub(crate) fn tell(sentence: impl Display) {
    let mut octets = sentence.to_string().into_bytes();
    octets.retain(|b| *b != 0);
    let text = CString::new(octets).unwrap_or_default();
    // While a thread ends there is nobody left to read it.
    let _ = LAST.try_with(|last| last.replace(text));
}

/// The last sentence, valid until the next [`tell()`] of this thread.
pub(crate) fn pointer() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}
