//! What DPDK says: kept for error messages, instead of written to the terminal.
//!
//! Lines go through a pipe that does not block: when nobody has read it for long, what comes then is lost.

use dpdk_sys as sys;
use libc::FILE;
use rustix::io::ioctl_fionbio;
use std::io::{self, PipeReader, Read as _};
use std::os::fd::IntoRawFd as _;
use std::ptr;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Lines of an error message.
const LINES: usize = 3;

/// Both ends of the pipe.
#[derive(Debug)]
pub(super) struct Said {
    reader: Mutex<PipeReader>,
    stream: *mut FILE,
}

// SAFETY: C locks its streams, so that it is no matter which threads write to this one. It is never closed.
unsafe impl Send for Said {}
// SAFETY: as above; the other end has a lock.
unsafe impl Sync for Said {}

impl Said {
    /// The one of this process. Threads of DPDK's may write to it as long as the process lives.
    pub(super) fn here() -> io::Result<&'static Said> {
        static HERE: OnceLock<Said> = OnceLock::new();
        if let Some(said) = HERE.get() {
            return Ok(said);
        }
        let said = Said::open()?;
        Ok(HERE.get_or_init(|| said))
    }

    fn open() -> io::Result<Said> {
        let (reader, writer) = io::pipe()?;
        ioctl_fionbio(&reader, true)?;
        ioctl_fionbio(&writer, true)?;
        // SAFETY: the descriptor is open and nobody else's from here on; the mode is a C string.
        let stream = unsafe { libc::fdopen(writer.into_raw_fd(), c"w".as_ptr()) };
        if stream.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the stream was opened above and nothing is written yet; without a buffer of ours C takes its own.
        unsafe { libc::setvbuf(stream, ptr::null_mut(), libc::_IOLBF, 0) };
        Ok(Said { reader: Mutex::new(reader), stream })
    }

    /// What DPDK is to write to.
    pub(super) fn stream(&self) -> *mut sys::FILE {
        self.stream.cast()
    }

    /// The last lines since it was last asked, as one; empty without any.
    pub(super) fn take(&self) -> String {
        let mut octets = Vec::new();
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        // It ends with what is there now, by an error: it would block.
        let _ = reader.read_to_end(&mut octets);
        last_lines(&String::from_utf8_lossy(&octets))
    }
}

fn last_lines(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.dedup();
    let first = lines.len().saturating_sub(LINES);
    lines.get(first..).unwrap_or_default().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_make_one() {
        assert_eq!(last_lines(""), "");
        assert_eq!(last_lines("EAL: one\n"), "EAL: one");
        assert_eq!(last_lines("0\n1 \n\n2\n2\n  3\n"), "1; 2; 3");
    }
}
