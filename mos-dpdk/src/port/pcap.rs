//! Ports over capture files: one that reads, one that writes.

use super::{Port, PortError, Received};
use crate::capture::{CaptureError, CaptureReader, CaptureWriter};
use mos_flow::{Frame, Verdict};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Delivers the packets of a capture file. What is sent to it goes nowhere.
#[derive(Debug)]
pub struct PcapSource {
    reader: CaptureReader<File>,
}

impl PcapSource {
    /// A port that reads the capture `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Ok(PcapSource { reader: CaptureReader::open(path)? })
    }

    /// Octets of the file taken in so far.
    pub fn position(&self) -> u64 {
        self.reader.position()
    }
}

impl Port for PcapSource {
    fn receive(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        match self.reader.read_burst(deliver)? {
            0 => Ok(Received::End),
            n => Ok(Received::Frames(n)),
        }
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, PortError> {
        Ok(0)
    }
}

/// Writes what is sent to a capture file. It delivers nothing.
#[derive(Debug)]
pub struct PcapSink {
    writer: CaptureWriter<BufWriter<File>>,
}

impl PcapSink {
    /// A port that writes the file `path`, made or replaced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, PortError> {
        Ok(PcapSink { writer: CaptureWriter::new(BufWriter::new(File::create(path)?)) })
    }
}

impl Port for PcapSink {
    fn receive(&mut self, _deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        Ok(Received::End)
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        let mut sent = 0;
        for frame in frames.iter().filter(|f| f.verdict == Verdict::Forward) {
            self.writer.write(frame)?;
            sent += 1;
        }
        Ok(sent)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        Ok(self.writer.flush()?)
    }
}
