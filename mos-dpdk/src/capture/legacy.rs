//! The pcap format, in both byte orders, with microseconds and nanoseconds.

use super::{MAX_RECORD, Parsed, Record, link_type};
use mos_flow::{Instant, LinkType};
use pcap_parser::pcap::{parse_pcap_frame, parse_pcap_frame_be, parse_pcap_header};

/// Octets of the file's header.
pub(super) const HEADER: usize = 24;
/// Octets of a record's header.
const RECORD_HEADER: usize = 16;

#[derive(Debug)]
pub(super) struct Legacy {
    big_endian: bool,
    nanoseconds: bool,
    link: LinkType,
}

impl Legacy {
    /// The format, and the length of the header.
    pub(super) fn from_header(bytes: &[u8]) -> Option<(Self, usize)> {
        let (rest, header) = parse_pcap_header(bytes).ok()?;
        if header.is_modified_format() {
            return None; // records of another length, written by one kernel patch long ago
        }
        // The upper bits tell of a frame check sequence.
        let link = link_type(u16::try_from(header.network.0 & 0xffff).ok()?);
        let (big_endian, nanoseconds) = (header.is_bigendian(), header.is_nanosecond_precision());
        Some((Legacy { big_endian, nanoseconds, link }, bytes.len() - rest.len()))
    }

    pub(super) fn parse(&self, bytes: &[u8]) -> Parsed {
        let Some(captured) = self.captured_len(bytes) else { return Parsed::Need(RECORD_HEADER) };
        if captured > MAX_RECORD {
            return Parsed::Bad("its length is larger than any packet");
        }
        if bytes.len() < RECORD_HEADER + captured {
            return Parsed::Need(RECORD_HEADER + captured);
        }
        let parse = if self.big_endian { parse_pcap_frame_be } else { parse_pcap_frame };
        let Ok((_, frame)) = parse(bytes) else { return Parsed::Bad("not a record") };
        let fraction = if self.nanoseconds { frame.ts_usec / 1000 } else { frame.ts_usec };
        let time = Instant(u64::from(frame.ts_sec) * 1_000_000 + u64::from(fraction));
        let data = RECORD_HEADER..RECORD_HEADER + captured;
        let wire_len = frame.origlen.max(frame.caplen);
        Parsed::Packet(Record { data, wire_len, time, link: self.link }, RECORD_HEADER + captured)
    }

    fn captured_len(&self, bytes: &[u8]) -> Option<usize> {
        let len = *bytes.get(8..RECORD_HEADER)?.first_chunk::<4>()?;
        Some(if self.big_endian { u32::from_be_bytes(len) } else { u32::from_le_bytes(len) } as usize)
    }
}
