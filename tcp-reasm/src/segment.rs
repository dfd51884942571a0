//! One TCP segment, parsed and length-checked: if a [`Segment`] exists its lengths are consistent.

use crate::header::{Flags, MIN_HEADER, TcpHeader};
use crate::options::Options;
use core::fmt;
use ringbuf_core::SeqNum;
use zerocopy::FromBytes;

/// Octets of payload that leave room for a SYN and a FIN.
const MAX_PAYLOAD: u32 = u32::MAX - 2;

/// Bytes that are no TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentError {
    /// The data offset is below 5 words or points beyond the packet.
    DataOffset,
    /// More payload than sequence numbers can count. No IP packet is that long.
    TooLong,
    /// Fewer bytes than the header needs.
    TooShort,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SegmentError::DataOffset => "TCP data offset points outside the segment",
            SegmentError::TooLong => "TCP payload is longer than sequence numbers can count",
            SegmentError::TooShort => "TCP header is cut short",
        })
    }
}

impl core::error::Error for SegmentError {}

/// One TCP segment. The names are those of RFC 9293, 3.3.1: SEG.SEQ, SEG.ACK, SEG.WND.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number of the first octet (of the SYN, when set).
    pub seq: SeqNum,
    /// Acknowledgement number; meaningful when [`Flags::ACK`] is set.
    pub ack: SeqNum,
    /// Control bits.
    pub flags: Flags,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Urgent pointer; meaningful when [`Flags::URG`] is set.
    pub urgent: u16,
    /// What the options say.
    pub options: Options<'a>,
    /// The captured payload. Shorter than `payload_len` when the capture cut the packet.
    pub payload: &'a [u8],
    /// Octets of payload on the wire; what `payload` may have beyond counts for nothing.
    pub payload_len: u32,
}

impl<'a> Segment<'a> {
    /// Parses the TCP part of a packet. `wire_len` is its length by the IP header; `bytes` may be longer (padding,
    /// ignored) or shorter (the capture cut it; the payload is then partial, but headers must be whole).
    ///
    /// # Errors
    /// [`SegmentError`] when the header does not fit the bytes or the data offset does not fit the packet.
    pub fn parse(bytes: &'a [u8], wire_len: usize) -> Result<Self, SegmentError> {
        let bytes = bytes.get(..wire_len).unwrap_or(bytes);
        let (header, rest) = TcpHeader::ref_from_prefix(bytes).map_err(|_| SegmentError::TooShort)?;
        let options_len = header.header_len().checked_sub(MIN_HEADER).ok_or(SegmentError::DataOffset)?;
        if header.header_len() > wire_len {
            return Err(SegmentError::DataOffset);
        }
        let (options, payload) = rest.split_at_checked(options_len).ok_or(SegmentError::TooShort)?;
        let payload_len = u32::try_from(wire_len - header.header_len())
            .ok()
            .filter(|len| *len <= MAX_PAYLOAD)
            .ok_or(SegmentError::TooLong)?;
        Ok(Segment {
            src_port: header.src_port.get(),
            dst_port: header.dst_port.get(),
            seq: SeqNum(header.seq.get()),
            ack: SeqNum(header.ack.get()),
            flags: header.flags(),
            window: header.window.get(),
            urgent: header.urgent.get(),
            options: Options::parse(options),
            payload,
            payload_len,
        })
    }

    /// A segment from its parts: window 65,535, no options. For tests and hand-made exchanges.
    pub fn build(seq: u32, ack: u32, flags: Flags, payload: &'a [u8]) -> Self {
        Segment {
            src_port: 0,
            dst_port: 0,
            seq: SeqNum(seq),
            ack: SeqNum(ack),
            flags,
            window: u16::MAX,
            urgent: 0,
            options: Options::default(),
            payload,
            payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
        }
    }

    /// SEG.LEN: octets of sequence space, SYN and FIN included.
    #[inline]
    pub fn seq_len(&self) -> u32 {
        self.payload_len.min(MAX_PAYLOAD) + u32::from(self.is_syn()) + u32::from(self.is_fin())
    }

    /// The octets that a monitor can look at.
    pub fn captured(&self) -> &'a [u8] {
        let len = usize::try_from(self.payload_len).unwrap_or(usize::MAX);
        self.payload.get(..len).unwrap_or(self.payload)
    }

    /// One past the last sequence number that the segment occupies.
    #[inline]
    pub fn end(&self) -> SeqNum {
        self.seq + self.seq_len()
    }

    /// Sequence number of the first payload octet.
    #[inline]
    pub fn data_seq(&self) -> SeqNum {
        self.seq + u32::from(self.is_syn())
    }

    /// Whether FIN is set.
    #[inline]
    pub fn is_fin(&self) -> bool {
        self.flags.has(Flags::FIN)
    }

    /// Whether SYN is set.
    #[inline]
    pub fn is_syn(&self) -> bool {
        self.flags.has(Flags::SYN)
    }

    /// Whether RST is set.
    #[inline]
    pub fn is_rst(&self) -> bool {
        self.flags.has(Flags::RST)
    }

    /// Whether ACK is set.
    #[inline]
    pub fn is_ack(&self) -> bool {
        self.flags.has(Flags::ACK)
    }

    /// A SYN that opens a connection: no ACK, and none of the flags with which every stack drops it.
    pub fn opens(&self) -> bool {
        self.is_syn() && !self.flags.any(Flags::ACK | Flags::RST | Flags::FIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn packet(doff: u8, extra: usize) -> Vec<u8> {
        let mut p = std::vec![0_u8; 20 + extra];
        p[12] = doff << 4;
        p[13] = 0x18;
        p
    }

    #[test]
    fn lengths_must_fit() {
        assert_eq!(Segment::parse(&packet(5, 0)[..19], 19), Err(SegmentError::TooShort));
        assert_eq!(Segment::parse(&packet(4, 9), 29), Err(SegmentError::DataOffset));
        assert_eq!(Segment::parse(&packet(15, 4), 24), Err(SegmentError::DataOffset));
        assert_eq!(Segment::parse(&packet(8, 4), 40), Err(SegmentError::TooShort));
        assert_eq!(Segment::parse(&packet(5, 4), 24).unwrap().payload.len(), 4);
    }

    #[test]
    fn padding_is_no_payload_and_a_cut_packet_keeps_its_length() {
        let p = packet(5, 10);
        assert_eq!(Segment::parse(&p, 23).unwrap().payload.len(), 3);
        let cut = Segment::parse(&p, 1480).unwrap();
        assert_eq!((cut.payload.len(), cut.payload_len, cut.seq_len()), (10, 1460, 1460));
    }

    #[test]
    fn syn_and_fin_occupy_one_number_each() {
        let s = Segment::build(u32::MAX, 0, Flags::SYN | Flags::FIN, b"ab");
        assert_eq!((s.seq_len(), s.end(), s.data_seq()), (4, SeqNum(3), SeqNum(0)));
        assert!(!s.opens());
    }

    proptest! {
        #[test]
        fn agrees_with_etherparse(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let ours = Segment::parse(&bytes, bytes.len());
            match etherparse::TcpSlice::from_slice(&bytes) {
                Ok(theirs) => {
                    let ours = ours.unwrap();
                    prop_assert_eq!(ours.seq.0, theirs.sequence_number());
                    prop_assert_eq!(ours.ack.0, theirs.acknowledgment_number());
                    prop_assert_eq!(ours.payload, theirs.payload());
                    prop_assert_eq!(ours.window, theirs.window_size());
                    prop_assert_eq!(ours.is_syn(), theirs.syn());
                    prop_assert_eq!(ours.is_fin(), theirs.fin());
                    prop_assert_eq!(ours.urgent, theirs.urgent_pointer());
                }
                Err(_) => prop_assert!(ours.is_err()),
            }
        }
    }
}
