//! What wakes a worker that waits for frames: work from another thread.

#[cfg(unix)]
use std::os::fd::BorrowedFd;

/// Rings until it is answered. Where there is none to be had, work from other threads waits for the next turn.
#[derive(Debug)]
pub(crate) struct Doorbell {
    #[cfg(target_os = "linux")]
    event: Option<std::os::fd::OwnedFd>,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        #[cfg(target_os = "linux")]
        {
            use rustix::event::{EventfdFlags, eventfd};
            Doorbell { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok() }
        }
        #[cfg(not(target_os = "linux"))]
        Doorbell {}
    }

    pub(crate) fn ring(&self) {
        #[cfg(target_os = "linux")]
        if let Some(event) = &self.event {
            let _ = rustix::io::write(event, &1_u64.to_ne_bytes()); // refused only when it rings already
        }
    }

    pub(crate) fn answer(&self) {
        #[cfg(target_os = "linux")]
        if let Some(event) = &self.event {
            let _ = rustix::io::read(event, &mut [0; 8]); // refused only when it does not ring
        }
    }

    /// Readable while it rings.
    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsFd as _;
            self.event.as_ref().map(|event| event.as_fd())
        }
        #[cfg(not(target_os = "linux"))]
        None
    }
}
