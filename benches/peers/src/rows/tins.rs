//! libtins: an object for each packet.

use super::{Deliver, Purpose, Row, Subject, deliver_for};
use crate::capture::Frames;
use crate::sink::Counting;
use std::ptr;

pub(super) const ROWS: [Row; 1] = [Row::peer("libtins", "every octet in order", |_, purpose| {
    Ok(Box::new(Tins { purpose, monitor: ptr::null_mut() }))
})];

/// `struct monitor` of `c/tins.cpp`.
enum Monitor {}

unsafe extern "C" {
    safe fn tins_monitor_begin(to: Option<Deliver>) -> *mut Monitor;
    fn tins_monitor_packet(monitor: *mut Monitor, data: *const u8, len: u32);
    fn tins_monitor_end(monitor: *mut Monitor) -> u64;
}

struct Tins {
    purpose: Purpose,
    /// Between `begin` and `finish`.
    monitor: *mut Monitor,
}

impl Subject for Tins {
    fn begin(&mut self) -> Result<(), String> {
        self.monitor = tins_monitor_begin(deliver_for(self.purpose));
        Ok(())
    }

    fn run(&mut self, frames: Frames<'static>) {
        for (_, frame) in frames {
            // SAFETY: made by `begin`, which comes before, and as many octets as it says, which are only read.
            unsafe { tins_monitor_packet(self.monitor, frame.as_ptr(), frame.len() as u32) };
        }
    }

    fn finish(&mut self) {
        // SAFETY: made by `begin`; it is not used again before it is made anew.
        Counting::add(unsafe { tins_monitor_end(self.monitor) });
        self.monitor = ptr::null_mut();
    }
}
