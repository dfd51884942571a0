//! Capture files: pcap and pcapng, read in bursts without copying a packet, and written as pcap.

mod legacy;

mod ng;

mod writer;

pub use writer::CaptureWriter;

use mos_flow::engine::BURST;
use mos_flow::{Frame, Instant, LinkType, Verdict};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

/// The largest record that is believed. Captures of loopback with segmentation offload reach 256 KiB.
const MAX_RECORD: usize = 16 << 20;
/// Octets read at once.
const READ_AHEAD: usize = 1 << 20;

/// What is wrong with a capture file, and where.
#[derive(Debug)]
pub struct CaptureError {
    /// The file's name as given.
    pub file: String,
    /// The record, counted from 1; 0 is the file's header.
    pub record: u64,
    /// What is wrong.
    pub kind: CaptureErrorKind,
}

/// What is wrong with a capture file.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureErrorKind {
    /// A record that contradicts itself or the format.
    Corrupt(&'static str),
    /// The file holds no octet.
    Empty,
    /// The operating system's word.
    Io(io::Error),
    /// Neither pcap nor pcapng.
    NotACapture,
    /// The file ends inside this record. What came before was whole.
    Truncated,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file)?;
        if self.record > 0 {
            write!(f, "record {}: ", self.record)?;
        }
        match &self.kind {
            CaptureErrorKind::Corrupt(what) => write!(f, "corrupt: {what}"),
            CaptureErrorKind::Empty => f.write_str("empty file, not a capture"),
            CaptureErrorKind::Io(e) => f.write_str(&crate::sentence(e)),
            CaptureErrorKind::NotACapture => f.write_str("not a pcap or pcapng capture"),
            CaptureErrorKind::Truncated => f.write_str("the file ends inside this record"),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            CaptureErrorKind::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl CaptureError {
    /// Whether only the last record was cut, as when a capture is read while it is written.
    pub fn is_truncation(&self) -> bool {
        matches!(self.kind, CaptureErrorKind::Truncated)
    }
}

/// One packet of a capture, its octets by their place in a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) data: Range<usize>,
    pub(crate) wire_len: u32,
    pub(crate) time: Instant,
    pub(crate) link: LinkType,
}

impl Record {
    pub(crate) fn frame<'a>(&self, bytes: &'a [u8]) -> Frame<'a> {
        let data = bytes.get(self.data.clone()).unwrap_or_default();
        Frame {
            data,
            wire_len: self.wire_len,
            time: self.time,
            link: self.link,
            port: 0,
            verdict: Verdict::Forward,
        }
    }
}

/// What a format makes of the octets at hand. Ranges are relative to their start.
enum Parsed {
    /// A packet, and the octets it took.
    Packet(Record, usize),
    /// Something else that was taken in, and its octets.
    Skip(usize),
    /// More octets are needed, this many in all.
    Need(usize),
    /// Nothing that the format knows.
    Bad(&'static str),
}

#[derive(Debug)]
enum Format {
    Legacy(legacy::Legacy),
    Ng(ng::Ng),
}

impl Format {
    fn parse(&mut self, bytes: &[u8]) -> Parsed {
        match self {
            Format::Legacy(f) => f.parse(bytes),
            Format::Ng(f) => f.parse(bytes),
        }
    }
}

/// Reads a capture from any source.
pub struct CaptureReader<R> {
    input: R,
    file: String,
    buffer: Vec<u8>,
    /// The part of `buffer` that was read and not yet parsed.
    unparsed: Range<usize>,
    at_end: bool,
    format: Format,
    record: u64,
    /// Octets parsed so far.
    position: u64,
    records: Vec<Record>,
    /// An error that comes after the packets before it.
    failure: Option<CaptureErrorKind>,
    done: bool,
}

impl<R> fmt::Debug for CaptureReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaptureReader({}, record {})", self.file, self.record)
    }
}

impl CaptureReader<File> {
    /// Opens a capture file.
    ///
    /// # Errors
    /// When the file cannot be read, is a directory, or is no capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let file = path.display().to_string();
        let fail = |e| CaptureError { file: file.clone(), record: 0, kind: CaptureErrorKind::Io(e) };
        let input = File::open(path).map_err(fail)?;
        if input.metadata().map_err(fail)?.is_dir() {
            return Err(fail(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        CaptureReader::new(file, input)
    }
}

impl<R: Read> CaptureReader<R> {
    /// Reads a capture from `input`; `file` names it in errors.
    ///
    /// # Errors
    /// When the beginning cannot be read or is not that of a capture.
    pub fn new(file: String, input: R) -> Result<Self, CaptureError> {
        let mut reader = CaptureReader {
            input,
            file,
            buffer: vec![0; READ_AHEAD],
            unparsed: 0..0,
            at_end: false,
            format: Format::Ng(ng::Ng::default()),
            record: 0,
            position: 0,
            records: Vec::with_capacity(BURST),
            failure: None,
            done: false,
        };
        reader.read_header().map_err(|kind| CaptureError { file: reader.file.clone(), record: 0, kind })?;
        Ok(reader)
    }

    fn read_header(&mut self) -> Result<(), CaptureErrorKind> {
        self.fill(legacy::HEADER).map_err(CaptureErrorKind::Io)?;
        let start = self.available();
        if start.is_empty() {
            return Err(CaptureErrorKind::Empty);
        }
        if ng::is_ng(start) {
            return Ok(());
        }
        let (format, len) = legacy::Legacy::from_header(start).ok_or(CaptureErrorKind::NotACapture)?;
        self.format = Format::Legacy(format);
        self.consume(len);
        Ok(())
    }

    fn available(&self) -> &[u8] {
        self.buffer.get(self.unparsed.clone()).unwrap_or_default()
    }

    fn consume(&mut self, n: usize) {
        self.unparsed.start += n;
        self.position += n as u64;
    }

    /// Octets of the file that were taken in so far, for progress bars.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Packets read so far.
    pub fn packets(&self) -> u64 {
        self.record
    }

    /// Sees to it that `need` unparsed octets are there, unless the input ends before.
    fn fill(&mut self, need: usize) -> io::Result<()> {
        if self.unparsed.len() >= need || self.at_end {
            return Ok(());
        }
        self.buffer.copy_within(self.unparsed.clone(), 0);
        self.unparsed = 0..self.unparsed.len();
        if self.buffer.len() < need {
            self.buffer.resize(need.max(READ_AHEAD), 0);
        }
        while self.unparsed.len() < need && !self.at_end {
            match self.input.read(&mut self.buffer[self.unparsed.end..]) {
                Ok(0) => self.at_end = true,
                Ok(n) => self.unparsed.end += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Reads up to [`BURST`] packets and lends them to `deliver`. Returns how many; 0 at the end.
    ///
    /// # Errors
    /// [`CaptureError`] once, after all packets before the place it names were delivered; then the end.
    pub fn read_burst(&mut self, deliver: &mut dyn FnMut(&mut [Frame<'_>])) -> Result<usize, CaptureError> {
        self.parse_burst();
        let Some(first) = self.records.first() else {
            return match self.failure.take() {
                Some(kind) => Err(CaptureError { file: self.file.clone(), record: self.record + 1, kind }),
                None => Ok(0),
            };
        };
        let mut frames = [first.frame(&self.buffer); BURST];
        for (frame, record) in frames.iter_mut().zip(&self.records) {
            *frame = record.frame(&self.buffer);
        }
        deliver(&mut frames[..self.records.len()]);
        Ok(self.records.len())
    }

    /// Parses up to a burst of packets that lie in the buffer together.
    fn parse_burst(&mut self) {
        self.records.clear();
        while self.records.len() < BURST && !self.done {
            match self.format.parse(self.buffer.get(self.unparsed.clone()).unwrap_or_default()) {
                Parsed::Packet(mut record, len) => {
                    let base = self.unparsed.start;
                    record.data = record.data.start + base..record.data.end + base;
                    self.records.push(record);
                    self.record += 1;
                    self.consume(len);
                }
                Parsed::Skip(len) => self.consume(len),
                Parsed::Need(len) => {
                    if !self.records.is_empty() {
                        return; // reading would move the packets that were parsed
                    }
                    self.need(len);
                }
                Parsed::Bad(what) => self.fail(CaptureErrorKind::Corrupt(what)),
            }
        }
    }

    fn need(&mut self, len: usize) {
        if let Err(e) = self.fill(len) {
            self.fail(CaptureErrorKind::Io(e));
        } else if self.unparsed.is_empty() {
            self.done = true;
        } else if self.unparsed.len() < len {
            self.fail(CaptureErrorKind::Truncated);
        }
    }

    fn fail(&mut self, kind: CaptureErrorKind) {
        self.failure = Some(kind);
        self.done = true;
    }
}

/// A whole capture in memory.
#[derive(Debug, Default)]
pub struct Capture {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

impl Capture {
    /// Reads all of a capture. What was read before an error is kept and comes with it.
    ///
    /// # Errors
    /// When nothing of the file can be read.
    pub fn load(path: &Path) -> Result<(Self, Option<CaptureError>), CaptureError> {
        let mut reader = CaptureReader::open(path)?;
        let mut capture = Capture::default();
        loop {
            match reader.read_burst(&mut |frames| capture.extend(frames)) {
                Ok(0) => return Ok((capture, None)),
                Ok(_) => {}
                Err(e) => return Ok((capture, Some(e))),
            }
        }
    }

    /// Takes copies of frames in, behind the others.
    pub fn extend(&mut self, frames: &[Frame<'_>]) {
        for f in frames {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(f.data);
            let data = start..self.bytes.len();
            self.records.push(Record { data, wire_len: f.wire_len, time: f.time, link: f.link });
        }
    }

    /// Forgets all packets; memory is kept for others.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
    }

    /// Packets in it.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it holds no packet.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Octets that were captured.
    pub fn octets(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Octets of all packets on the wire.
    pub fn wire_octets(&self) -> u64 {
        self.records.iter().map(|r| u64::from(r.wire_len)).sum()
    }

    /// The packets in order, from the `first`th on.
    pub fn frames_from(&self, first: usize) -> impl Iterator<Item = Frame<'_>> {
        self.records.get(first..).unwrap_or_default().iter().map(|r| r.frame(&self.bytes))
    }
}

/// The link types that are followed, by their number in captures (the registry of tcpdump.org). The first number of a
/// type is the one that is written.
const LINK_TYPES: &[(u16, LinkType)] = &[
    (1, LinkType::Ethernet),
    (101, LinkType::RawIp),
    (12, LinkType::RawIp), // what Linux calls it in live captures
    (14, LinkType::RawIp), // and OpenBSD
    (113, LinkType::LinuxSll),
    (276, LinkType::LinuxSll2),
    (0, LinkType::Null),
    (108, LinkType::Loop),
    (9, LinkType::Ppp),
    (50, LinkType::PppSerial),
    (228, LinkType::Ipv4),
    (229, LinkType::Ipv6),
];

pub(crate) fn link_type(number: u16) -> LinkType {
    LINK_TYPES.iter().find(|(n, _)| *n == number).map_or(LinkType::Unknown(number), |(_, link)| *link)
}

/// The number of a link type; `None` for one that has none in captures.
pub(crate) fn link_number(link: LinkType) -> Option<u16> {
    match link {
        LinkType::Unknown(number) => Some(number),
        _ => LINK_TYPES.iter().find(|(_, l)| *l == link).map(|(number, _)| *number),
    }
}

#[cfg(test)]
mod tests;
