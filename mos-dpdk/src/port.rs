//! Ports: where packets come from and go to, in bursts.

#[cfg(target_os = "linux")]
mod interface;

#[cfg(target_os = "linux")]
pub mod af_packet;

#[cfg(all(target_os = "linux", feature = "xdp"))]
pub mod af_xdp;

#[cfg(all(target_os = "linux", feature = "dpdk"))]
pub mod dpdk;

#[cfg(target_os = "linux")]
pub(crate) mod flags;

pub mod impair;

pub mod mem;

pub mod nothing;

pub mod pace;

pub mod pcap;

#[cfg(target_os = "linux")]
pub mod tap;

use crate::capture::CaptureError;
use mos_flow::Frame;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::AddAssign;
#[cfg(unix)]
use std::os::fd::BorrowedFd;

/// What became of a call to [`Port::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// This many frames were delivered.
    Frames(usize),
    /// None were there; more may come.
    Nothing,
    /// No more will come.
    End,
}

/// Why a port failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum PortError {
    /// A capture file.
    Capture(CaptureError),
    /// The operating system.
    Io(io::Error),
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortError::Capture(e) => e.fmt(f),
            PortError::Io(e) => f.write_str(&crate::sentence(e)),
        }
    }
}

impl std::error::Error for PortError {}

impl From<CaptureError> for PortError {
    fn from(e: CaptureError) -> Self {
        PortError::Capture(e)
    }
}

impl From<io::Error> for PortError {
    fn from(e: io::Error) -> Self {
        PortError::Io(e)
    }
}

/// Why a device cannot be opened: a sentence, and what the operating system said, or would say.
#[derive(Debug)]
pub struct OpenError {
    sentence: String,
    source: io::Error,
}

impl OpenError {
    pub(crate) fn new(sentence: impl Into<String>, source: impl Into<io::Error>) -> Self {
        OpenError { sentence: sentence.into(), source: source.into() }
    }

    /// What the operating system said.
    pub fn io(&self) -> &io::Error {
        &self.source
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)?;
        // A mere kind of error is in the sentence.
        match self.source.raw_os_error().is_some() || self.source.get_ref().is_some() {
            true => write!(f, ": {}", crate::sentence(&self.source)),
            false => Ok(()),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<OpenError> for PortError {
    fn from(e: OpenError) -> Self {
        PortError::Io(io::Error::new(e.source.kind(), e))
    }
}

/// What became of a port's frames since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Frames that came from the device or file, before any were split.
    pub received: u64,
    /// Frames that were lost before they could be received: there was no room for them.
    pub dropped: u64,
    /// Frames that were handed to the device or file.
    pub sent: u64,
    /// Frames that the device did not take: it was down, had no room, or they were cut or too large. They are lost, as on any
    /// wire.
    pub refused: u64,
}

impl AddAssign for Statistics {
    fn add_assign(&mut self, other: Statistics) {
        self.received += other.received;
        self.dropped += other.dropped;
        self.sent += other.sent;
        self.refused += other.refused;
    }
}

/// Where the times of frames come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamps {
    /// From [`crate::clock`], when a burst is received.
    Clock,
    /// From the file, or from a device that replays one.
    File,
}

/// How a port came by its part of the frames, when several share a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// It has all of them.
    Alone,
    /// The device deals out whole connections by [`crate::rss`], but for fragments, what is behind IPv6 extension headers, and
    /// what is in tunnels: those may be anywhere.
    ByHash,
    /// By some other rule.
    Otherwise,
}

/// What a port can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Where times come from.
    pub timestamps: Timestamps,
    /// Which frames come in.
    pub spread: Spread,
    /// Received frames that nobody changed are sent on without a copy, by ports of the same kind.
    pub zero_copy: bool,
}

impl Capabilities {
    /// Of files, and of whatever else has a time of its own and no device.
    pub const FILE: Capabilities =
        Capabilities { timestamps: Timestamps::File, spread: Spread::Alone, zero_copy: false };
}

/// A source and sink of frames.
///
/// Received frames are lent to a closure: the port's buffers are given back when it returns, so that no frame can be
/// held longer than its memory lasts.
pub trait Port {
    /// Receives up to a burst of frames and lends them to `deliver`.
    ///
    /// # Errors
    /// [`PortError`]; what was received before it was delivered.
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError>;

    /// Sends the frames whose verdict is to forward. Returns how many were sent.
    ///
    /// # Errors
    /// [`PortError`]; frames before the failing one were sent.
    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError>;

    /// Sends what is still held back.
    ///
    /// # Errors
    /// As [`Port::transmit`].
    fn flush(&mut self) -> Result<(), PortError> {
        Ok(())
    }

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// What became of frames so far.
    fn statistics(&self) -> Statistics;

    /// Asks the device to keep the packets of a TCP connection, of both directions, from this port: nobody listens any more.
    /// `false` when it cannot. What is forwarded from must not be asked. It is forgotten after a minute, or when many others were
    /// ignored since; a new connection between the same ends is not seen until then.
    fn ignore(&mut self, _ends: (SocketAddr, SocketAddr)) -> bool {
        false
    }

    /// What becomes readable when frames come; `None` for a port that has no need to be waited for, or cannot be. A port that is waited for
    /// stamps its frames by [`crate::clock`].
    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

impl<P: Port + ?Sized> Port for Box<P> {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        (**self).receive(deliver)
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        (**self).transmit(frames)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        (**self).flush()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    fn statistics(&self) -> Statistics {
        (**self).statistics()
    }

    fn ignore(&mut self, ends: (SocketAddr, SocketAddr)) -> bool {
        (**self).ignore(ends)
    }

    #[cfg(unix)]
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        (**self).descriptor()
    }
}
