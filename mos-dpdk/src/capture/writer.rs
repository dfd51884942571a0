//! Writing pcap.

use super::link_number;
use mos_flow::{Frame, LinkType};
use std::io::{self, Write};

/// Writes frames of one link type as pcap with microseconds.
#[derive(Debug)]
pub struct CaptureWriter<W> {
    output: W,
    link: Option<LinkType>,
}

impl<W: Write> CaptureWriter<W> {
    /// A writer over `output`. The header is written with the first frame, whose link type is the file's.
    pub fn new(output: W) -> Self {
        CaptureWriter { output, link: None }
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// Those of the output; [`io::ErrorKind::InvalidInput`] for a frame of another link type than the first one's.
    pub fn write(&mut self, frame: &Frame<'_>) -> io::Result<()> {
        match self.link {
            None => self.write_header(frame.link)?,
            Some(link) if link != frame.link => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "frames of several link types in one pcap file",
                ));
            }
            Some(_) => {}
        }
        let seconds = u32::try_from(frame.time.0 / 1_000_000).unwrap_or(u32::MAX);
        let micros = (frame.time.0 % 1_000_000) as u32;
        let captured = u32::try_from(frame.data.len()).unwrap_or(u32::MAX);
        for field in [seconds, micros, captured, frame.wire_len] {
            self.output.write_all(&field.to_le_bytes())?;
        }
        self.output.write_all(frame.data)
    }

    fn write_header(&mut self, link: LinkType) -> io::Result<()> {
        let Some(number) = link_number(link) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a link type without a number"));
        };
        self.link = Some(link);
        // Magic, version 2.4, time zone, accuracy, snap length, link type.
        for field in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 1 << 18, number.into()] {
            self.output.write_all(&field.to_le_bytes())?;
        }
        Ok(())
    }

    /// Writes what is buffered. Without any frame an empty Ethernet capture is written.
    ///
    /// # Errors
    /// Those of the output.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.link.is_none() {
            self.write_header(LinkType::Ethernet)?;
        }
        self.output.flush()
    }
}
