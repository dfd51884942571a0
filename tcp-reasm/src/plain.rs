//! The segments of which nearly all traffic is made, in 32 octets: whoever has to look at many of them first has little to
//! write, and little to read.

use crate::header::{Flags, MIN_HEADER, TcpHeader};
use crate::options::{Options, Timestamps};
use crate::segment::Segment;
use ringbuf_core::SeqNum;
use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A segment of which only numbers count: ACK, perhaps PSH, no other flag, and no option that says something of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainSegment {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first octet.
    pub seq: SeqNum,
    /// Next octet expected.
    pub ack: SeqNum,
    /// Octets of payload on the wire.
    pub payload_len: u32,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Window as sent, unscaled.
    pub window: u16,
    /// ACK, perhaps PSH.
    pub flags: Flags,
}

/// A header with the options that nearly all stacks send once a connection is established.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Stamped {
    header: TcpHeader,
    kind: [u8; 4],
    value: U32,
    echo: U32,
}

/// Data offset and flags of a header of so many octets, with PSH.
const fn words(len: usize) -> u16 {
    (len as u16 / 4) << 12 | (Flags::ACK.0 | Flags::PSH.0)
}

impl PlainSegment {
    /// A segment as [`Segment::parse`] takes it, if it is plain and has no options but timestamps in their usual place.
    /// Nothing is said of others.
    #[inline]
    pub fn parse(bytes: &[u8], wire_len: usize) -> Option<PlainSegment> {
        let bytes = bytes.get(..wire_len).unwrap_or(bytes);
        let (header, _) = TcpHeader::ref_from_prefix(bytes).ok()?;
        let told = header.offset_flags.get() | Flags::PSH.0;
        let (header_len, timestamps) = if told == words(MIN_HEADER) {
            (MIN_HEADER, None)
        } else {
            let (stamped, _) = Stamped::ref_from_prefix(bytes).ok()?;
            let usual = told == words(size_of::<Stamped>()) && stamped.kind == Options::STAMPED;
            let stamps = Timestamps { value: stamped.value.get(), echo: stamped.echo.get() };
            (size_of::<Stamped>(), Some(usual.then_some(stamps)?))
        };
        Some(PlainSegment {
            src_port: header.src_port.get(),
            dst_port: header.dst_port.get(),
            seq: SeqNum(header.seq.get()),
            ack: SeqNum(header.ack.get()),
            payload_len: u32::try_from(wire_len - header_len).ok().filter(|_| header.urgent.get() == 0)?,
            timestamps,
            window: header.window.get(),
            flags: header.flags(),
        })
    }

    /// Octets of header and payload of a segment that was parsed.
    #[inline]
    pub fn wire_len(&self) -> usize {
        usize::try_from(self.payload_len).unwrap_or(usize::MAX).saturating_add(self.header_len())
    }

    #[inline]
    fn header_len(&self) -> usize {
        if self.timestamps.is_some() { size_of::<Stamped>() } else { MIN_HEADER }
    }

    /// What is left of a plain segment.
    #[inline]
    pub fn of(segment: &Segment<'_>) -> Option<PlainSegment> {
        is_plain(segment).then_some(PlainSegment {
            src_port: segment.src_port,
            dst_port: segment.dst_port,
            seq: segment.seq,
            ack: segment.ack,
            payload_len: segment.payload_len,
            timestamps: segment.options.timestamps,
            window: segment.window,
            flags: segment.flags,
        })
    }

    /// All of a segment that was parsed from `bytes`, without parsing it again.
    #[inline]
    pub fn with_payload_of<'a>(&self, bytes: &'a [u8]) -> Segment<'a> {
        self.with_payload(bytes.get(self.header_len()..).unwrap_or_default())
    }

    #[inline]
    pub(crate) fn with_payload<'a>(&self, payload: &'a [u8]) -> Segment<'a> {
        Segment {
            src_port: self.src_port,
            dst_port: self.dst_port,
            seq: self.seq,
            ack: self.ack,
            flags: self.flags,
            window: self.window,
            urgent: 0,
            options: Options { timestamps: self.timestamps, ..Options::default() },
            payload,
            payload_len: self.payload_len,
        }
    }
}

/// Whether [`PlainSegment::of`] leaves nothing out that counts.
#[inline]
pub(crate) fn is_plain(segment: &Segment<'_>) -> bool {
    is_plain_or_selective(segment) && segment.options.sack.is_empty()
}

/// The same, but it may acknowledge selectively.
#[inline]
pub(crate) fn is_plain_or_selective(segment: &Segment<'_>) -> bool {
    let o = &segment.options;
    (segment.flags.0 | Flags::PSH.0) == (Flags::ACK | Flags::PSH).0
        && segment.urgent == 0
        && o.faults.is_empty()
        && o.signature.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Bytes near a plain segment: one or two of its header are something else.
    fn nearly_plain() -> impl Strategy<Value = (Vec<u8>, usize)> {
        let change = prop_oneof![3 => (12..24_usize, prop::sample::select(std::vec![0, 1, 8, 10, 16, 24, 80, 128])), 1 => (0..40_usize, any::<u8>())];
        let changes = prop::collection::vec(change, 0..3);
        (any::<[u8; 40]>(), any::<bool>(), any::<u8>(), changes, 0..60_usize, 0..60_usize).prop_map(
            |(mut bytes, stamped, push, changes, captured, len)| {
                bytes[12] = if stamped { 0x80 } else { 0x50 };
                bytes[13] = 0x10 | push & 8;
                bytes[18..20].fill(0);
                if stamped {
                    bytes[20..24].copy_from_slice(&[1, 1, 8, 10]);
                }
                changes.iter().for_each(|(at, to)| bytes[*at] = *to);
                (bytes[..captured.min(40)].to_vec(), len)
            },
        )
    }

    proptest! {
        /// It is what is left of the segment, or nothing; and nothing is only said of what is not as usual.
        #[test]
        fn says_what_the_segment_says((bytes, len) in nearly_plain()) {
            let whole = Segment::parse(&bytes, len).ok();
            let plain = PlainSegment::parse(&bytes, len);
            if let Some(plain) = plain {
                prop_assert_eq!(whole.as_ref().and_then(PlainSegment::of), Some(plain));
                prop_assert_eq!(plain.wire_len(), len);
                prop_assert_eq!(Some(plain.with_payload_of(&bytes[..len.min(bytes.len())])), whole);
            }
            let usual = whole.filter(|s| is_plain(s)).is_some_and(|_| match bytes[12] >> 4 {
                5 => bytes[12] & 15 == 0,
                8 => bytes[20..24] == [1, 1, 8, 10],
                _ => false,
            });
            prop_assert_eq!(plain.is_some(), usual);
        }
    }
}
