//! Ports over capture files: one that reads, one that writes.

use super::{Capabilities, Port, PortError, Received, Statistics};
use crate::capture::{CaptureError, CaptureReader, CaptureWriter};
use mos_flow::wire::ethernet::ethertype;
use mos_flow::{Frame, LinkType, Verdict};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Delivers the packets of a capture file. What is sent to it goes nowhere.
#[derive(Debug)]
pub struct PcapSource {
    reader: CaptureReader<File>,
    received: u64,
}

impl PcapSource {
    /// A port that reads the capture `path`.
    ///
    /// # Errors
    /// When the file cannot be read or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Ok(PcapSource { reader: CaptureReader::open(path)?, received: 0 })
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
            n => {
                self.received += n as u64;
                Ok(Received::Frames(n))
            }
        }
    }

    fn transmit(&mut self, _frames: &[Frame<'_>]) -> Result<usize, PortError> {
        Ok(0)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::FILE
    }

    fn statistics(&self) -> Statistics {
        Statistics { received: self.received, ..Statistics::default() }
    }
}

/// Writes what is sent to a capture file. It delivers nothing.
///
/// A file has one link type, that of the first frame. What handlers made without a link header gets one: of Ethernet, with
/// addresses of zeros, for a file knows no way to anybody. In a file of any other link type there is no place for it.
#[derive(Debug)]
pub struct PcapSink {
    writer: CaptureWriter<BufWriter<File>>,
    /// Of the file, once a frame was there, be it a dropped one.
    link: Option<LinkType>,
    statistics: Statistics,
    /// A frame with its new link header.
    headed: Vec<u8>,
}

impl PcapSink {
    /// A port that writes the file `path`, made or replaced.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, PortError> {
        let writer = CaptureWriter::new(BufWriter::new(File::create(path)?));
        Ok(PcapSink { writer, link: None, statistics: Statistics::default(), headed: Vec::new() })
    }

    /// Writes an IP packet, behind a link header if the file has them. Returns whether it could.
    fn write_bare(&mut self, frame: &Frame<'_>) -> Result<bool, PortError> {
        match self.link {
            Some(LinkType::Ethernet) => {}
            Some(LinkType::RawIp) | None => {
                self.writer.write(frame)?;
                return Ok(true);
            }
            Some(_) => return Ok(false),
        }
        let six = frame.data.first().is_some_and(|first| first >> 4 == 6);
        let kind = if six { ethertype::IPV6 } else { ethertype::IPV4 };
        self.headed.clear();
        self.headed.extend([0; 12]);
        self.headed.extend(kind.to_be_bytes());
        let added = self.headed.len() as u32;
        self.headed.extend(frame.data);
        let wire_len = frame.wire_len.saturating_add(added);
        self.writer.write(&Frame { wire_len, ..Frame::ethernet(frame.time, &self.headed) })?;
        Ok(true)
    }
}

impl Port for PcapSink {
    fn receive(&mut self, _deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<Received, PortError> {
        Ok(Received::End)
    }

    fn transmit(&mut self, frames: &[Frame<'_>]) -> Result<usize, PortError> {
        let (mut sent, mut refused) = (0, 0_usize);
        self.link = self.link.or_else(|| frames.first().map(|f| f.link));
        for frame in frames.iter().filter(|f| f.verdict == Verdict::Forward) {
            let is_written = match frame.link {
                LinkType::RawIp => self.write_bare(frame)?,
                _ => self.writer.write(frame).map(|()| true)?,
            };
            *(if is_written { &mut sent } else { &mut refused }) += 1;
        }
        self.statistics.sent += sent as u64;
        self.statistics.refused += refused as u64;
        Ok(sent)
    }

    fn flush(&mut self) -> Result<(), PortError> {
        Ok(self.writer.flush()?)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::FILE
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Capture;
    use mos_flow::Instant;

    /// What is in a file after these frames were sent to it, and how many were.
    fn written(name: &str, frames: &[Frame<'_>]) -> (Vec<(LinkType, Vec<u8>)>, usize) {
        let path = std::env::temp_dir().join(format!("{}-{name}.pcap", std::process::id()));
        let mut sink = PcapSink::create(&path).unwrap();
        let sent = sink.transmit(frames).unwrap();
        sink.flush().unwrap();
        let (capture, error) = Capture::load(&path).unwrap();
        assert!(error.is_none(), "{error:?}");
        std::fs::remove_file(&path).unwrap();
        (capture.frames_from(0).map(|f| (f.link, f.data.to_vec())).collect(), sent)
    }

    #[test]
    fn packets_without_a_link_header_get_that_of_the_file() {
        let frame = |link, data| Frame { link, ..Frame::ethernet(Instant(0), data) };
        let (four, six) = (frame(LinkType::RawIp, &[0x45, 1]), frame(LinkType::RawIp, &[0x60, 2]));
        let dropped = Frame { verdict: Verdict::Drop, ..frame(LinkType::Ethernet, &[9; 14]) };
        let zeros = |kind: [u8; 2], data: [u8; 2]| [&[0; 12][..], &kind, &data].concat();
        let headed = vec![
            (LinkType::Ethernet, zeros([0x08, 0x00], [0x45, 1])),
            (LinkType::Ethernet, zeros([0x86, 0xdd], [0x60, 2])),
        ];
        assert_eq!(written("ethernet", &[dropped, four, six]), (headed, 2));
        let bare = vec![(LinkType::RawIp, vec![0x45, 1])];
        assert_eq!(written("raw", &[four]), (bare, 1));
        let cooked = frame(LinkType::LinuxSll, &[0; 16]);
        let (kept, sent) = written("cooked", &[cooked, four]);
        assert_eq!((kept.len(), sent), (1, 1));
    }
}
