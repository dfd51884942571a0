//! Children of `fork()`: they have the memory of their parent and none of its threads, so that no context is left in them.

use crate::current;
use crate::slot;
use std::sync::Once;

static WATCH: Once = Once::new();

/// Sees to it that children that are made from now on have no contexts.
pub(crate) fn watch() {
    WATCH.call_once(|| {
        // SAFETY: the handler is a function of this library, which is not unloaded (see build.rs); it takes no lock and
        // allocates nothing, as it must in a child of many threads.
        unsafe { libc::pthread_atfork(None, None, Some(on_child)) };
    });
}

extern "C" fn on_child() {
    slot::lose_all();
    current::renounce_all();
}
