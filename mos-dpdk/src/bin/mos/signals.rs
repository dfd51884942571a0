//! Signals that ask for the end: the first one for an orderly one, the second for one at once.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a process returns that a second signal ended, as the shell has it for SIGINT.
const AT_ONCE: i32 = 130;

/// Whether one came.
#[derive(Debug)]
pub(crate) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// From now on they do not end the process by themselves.
    pub(crate) fn catch() -> io::Result<Signals> {
        let came = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order the first one is not taken for the second.
            flag::register_conditional_shutdown(signal, AT_ONCE, Arc::clone(&came))?;
            flag::register(signal, Arc::clone(&came))?;
        }
        Ok(Signals(came))
    }

    pub(crate) fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed) // nothing else goes by it
    }
}
