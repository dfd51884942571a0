//! This stack through its C interface. It reads captures from files: its time is that of the row `file`, and more.

use super::{Deliver, Input, Purpose, Row, Subject, deliver_for};
use crate::capture::Frames;
use crate::sink::Counting;
use rustix::time::ClockId;
use std::ffi::{CString, c_char, c_int};
use std::fs;
use std::os::unix::ffi::OsStrExt;

/// The C interface, which the monitor in C is linked with.
use mos as _;

pub(super) const ROWS: [Row; 2] = [
    Row {
        from_file: true,
        ..Row::ours("c-copy", "`copy` through C, the file read in the time", |input, purpose| {
            make(input, purpose, true)
        })
    },
    Row {
        from_file: true,
        ..Row::ours("c-slice", "`slice` through C, the file read in the time", |input, purpose| {
            make(input, purpose, false)
        })
    },
];

unsafe extern "C" {
    fn mos_monitor_begin(conf: *const c_char, copies: c_int, to: Option<Deliver>) -> c_int;
    safe fn mos_monitor_run();
    safe fn mos_monitor_end() -> u64;
}

struct ThroughC {
    conf: CString,
    copies: bool,
    purpose: Purpose,
}

fn make(input: Input, purpose: Purpose, copies: bool) -> Result<Box<dyn Subject>, String> {
    let (capture, conf) = input.files.ok_or("the capture is in no file")?;
    // Half of the connections may be in their handshakes, and here all may. Rings as in Rust.
    let streams = 4 * input.connections();
    let text = format!(
        "mos {{\nmax_concurrency = {streams}\nrmem_size = 65536\nlossy = 1\nio = pcap\npcap_in = {}\n}}\n",
        capture.display()
    );
    fs::write(conf, text).map_err(|e| format!("{}: {e}", conf.display()))?;
    let conf = CString::new(conf.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    Ok(Box::new(ThroughC { conf, copies, purpose }))
}

impl Subject for ThroughC {
    fn begin(&mut self) -> Result<(), String> {
        // SAFETY: a string, and a function that holds for ever; one context at a time, since a run is ended before the next.
        let begun =
            unsafe { mos_monitor_begin(self.conf.as_ptr(), self.copies.into(), deliver_for(self.purpose)) };
        if begun == 0 { Ok(()) } else { Err("the monitor in C could not begin".to_owned()) }
    }

    fn run(&mut self, _: Frames<'static>) {
        mos_monitor_run();
    }

    fn finish(&mut self) {
        Counting::add(mos_monitor_end());
    }

    /// It has a thread of its own.
    fn clock(&self) -> ClockId {
        ClockId::ProcessCPUTime
    }
}
