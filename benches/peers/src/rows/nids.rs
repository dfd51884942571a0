//! libnids: one state for the whole process, and IPv4 alone.

use super::{Deliver, Input, Purpose, Row, Subject, deliver_for};
use crate::capture::Frames;
use crate::sink::Counting;
use std::ffi::c_int;

pub(super) const ROWS: [Row; 2] = [
    Row::peer("libnids", "every octet in order", |input, purpose| make(input, purpose, false)),
    Row::peer("libnids-sums", "and checksums are verified", |input, purpose| make(input, purpose, true)),
];

unsafe extern "C" {
    safe fn nids_monitor_begin(connections: c_int, checksums: c_int, to: Option<Deliver>) -> c_int;
    fn nids_monitor_packet(data: *const u8, len: u32, microseconds: u64);
    safe fn nids_monitor_end() -> u64;
    safe fn nids_monitor_version() -> c_int;
}

pub(super) fn version() -> String {
    let version = nids_monitor_version();
    format!("libnids {}.{}", version / 100, version % 100)
}

struct Nids {
    input: Input,
    checksums: bool,
    purpose: Purpose,
}

#[allow(clippy::unnecessary_wraps, reason = "as all of them")]
fn make(input: Input, purpose: Purpose, checksums: bool) -> Result<Box<dyn Subject>, String> {
    Ok(Box::new(Nids { input, checksums, purpose }))
}

impl Subject for Nids {
    fn begin(&mut self) -> Result<(), String> {
        let connections = c_int::try_from(self.input.connections()).unwrap_or(c_int::MAX);
        let begun = nids_monitor_begin(connections, self.checksums.into(), deliver_for(self.purpose));
        if begun == 0 { Ok(()) } else { Err("libnids could not begin".to_owned()) }
    }

    fn run(&mut self, frames: Frames<'static>) {
        for (time, frame) in frames {
            // SAFETY: as many octets as it says, which libnids reads before it returns. It changes packets only to cut them
            // where their IP header says that they are longer than they are, which those of this traffic are not.
            unsafe { nids_monitor_packet(frame.as_ptr(), frame.len() as u32, time.0) };
        }
    }

    fn finish(&mut self) {
        Counting::add(nids_monitor_end());
    }
}
