//! A port on a Linux TAP device: the kernel's end is an Ethernet interface, and this is the other end of its cable.
//!
//! The kernel segments and sums up what it sends itself, as no offload is asked for: frames are those of a wire, of the
//! interface's MTU. The interface may be moved to another network namespace while the port is open.

use super::flags::InterfaceRequest;
use super::{Capabilities, Port, PortError, Received, Spread, Statistics, Timestamps};
use crate::clock;
use mos_flow::engine::BURST;
use mos_flow::{Frame, LinkType, Verdict};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// `IFF_TAP`: frames, not packets.
const IFF_TAP: u16 = 2;
/// `IFF_NO_PI`: no header in front of each frame.
const IFF_NO_PI: u16 = 0x1000;
const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);

/// The largest frame: the largest MTU of an interface, an Ethernet header and a VLAN tag.
const LARGEST: usize = (1 << 16) + 18;
/// Octets of an ordinary frame, so that a burst of them fits.
const ORDINARY: usize = 2048;

/// A TAP device.
#[derive(Debug)]
pub struct Tap {
    device: File,
    name: String,
    /// Frames of a burst, one behind the other.
    buffer: Vec<u8>,
    statistics: Statistics,
}

impl Tap {
    /// Makes the interface `name`, or takes one that was made before and is not in use. It takes the right to administer
    /// the network (`CAP_NET_ADMIN`) in this network namespace. `%d` in the name stands for the first free number.
    ///
    /// # Errors
    /// Those of the operating system; [`ErrorKind::InvalidInput`] for what cannot be a name.
    pub fn open(name: &str) -> io::Result<Self> {
        let mut request = InterfaceRequest::new(name, IFF_TAP | IFF_NO_PI)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(OFlags::NONBLOCK.bits() as c_int);
        let device = options.open("/dev/net/tun")?;
        // SAFETY: TUNSETIFF reads and writes one `struct ifreq`, and that is what `InterfaceRequest` is: in size,
        // in the place of the two fields that count, and the kernel copies it, whatever its alignment. All that may come back
        // is a value of it. With another layout no device would have the name that the live tests ask for.
        let set = unsafe { Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request) };
        // SAFETY: the request lives until the call returns, and the kernel keeps no pointer to it.
        unsafe { ioctl(&device, set) }?;
        let name = request.name.split(|octet| *octet == 0).next().unwrap_or_default();
        let name = String::from_utf8_lossy(name).into_owned();
        Ok(Tap {
            device,
            name,
            buffer: vec![0; BURST * ORDINARY + LARGEST],
            statistics: Statistics::default(),
        })
    }

    /// The interface's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one frame to the place from `start` on; `None` when none is there.
    fn read(&mut self, start: usize) -> io::Result<Option<usize>> {
        let place = self.buffer.get_mut(start..).unwrap_or_default();
        loop {
            match self.device.read(place) {
                Ok(len) => return Ok(Some(len)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Port for Tap {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        let mut ends = heapless::Vec::<usize, BURST>::new();
        let mut end = 0;
        let mut failure = None;
        while !ends.is_full() && self.buffer.len() - end >= LARGEST {
            match self.read(end) {
                Ok(Some(len)) => end += len,
                Ok(None) => break,
                Err(e) => {
                    failure = Some(e);
                    break;
                }
            }
            let _ = ends.push(end); // it is not full
        }
        let time = clock::now();
        let mut frames = heapless::Vec::<Frame<'_>, BURST>::new();
        let mut start = 0;
        for end in ends {
            let data = self.buffer.get(start..end).unwrap_or_default();
            let _ = frames.push(Frame::ethernet(time, data)); // as many as there are ends
            start = end;
        }
        self.statistics.received += frames.len() as u64;
        if !frames.is_empty() {
            deliver(&mut frames);
        }
        match failure {
            // The interface was removed.
            Some(e) if e.raw_os_error() == Some(Errno::BADFD.raw_os_error()) => Ok(Received::End),
            Some(e) => Err(e.into()),
            None if frames.is_empty() => Ok(Received::Nothing),
            None => Ok(Received::Frames(frames.len())),
        }
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        let mut sent = 0;
        for frame in frames.iter().filter(|f| f.verdict == Verdict::Forward) {
            // What does not begin with an Ethernet header would be taken for one.
            if frame.link != LinkType::Ethernet {
                self.statistics.refused += 1;
                continue;
            }
            match self.device.write(frame.data) {
                Ok(len) if len == frame.data.len() => sent += 1,
                _ => self.statistics.refused += 1,
            }
        }
        self.statistics.sent += sent as u64;
        Ok(sent)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { timestamps: Timestamps::Clock, spread: Spread::Alone, zero_copy: false }
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        Some(self.device.as_fd())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        for name in ["", "sixteen-letters-", "with\0nul"] {
            assert_eq!(Tap::open(name).unwrap_err().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
    }
}
