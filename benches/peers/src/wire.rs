//! The least that has to be read of a frame: IPv4 and TCP headers in Ethernet, every length checked.

use mos_flow::Sides;
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

const ETHERNET: usize = 14;
const IPV4: [u8; 2] = [8, 0];
const TCP: u8 = 6;

/// A TCP segment, and who sends it to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) src: (u32, u16),
    pub(crate) dst: (u32, u16),
    pub(crate) seq: u32,
    pub(crate) flags: u8,
    pub(crate) payload: &'a [u8],
}

/// Both ends, the lower one first: the same for both directions.
pub(crate) type Key = (u64, u32);

impl Segment<'_> {
    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether it goes from the lower end to the higher one.
    #[inline]
    pub(crate) fn ascends(&self) -> bool {
        self.src < self.dst
    }

    #[inline]
    pub(crate) fn key(&self) -> Key {
        let (low, high) = if self.ascends() { (self.src, self.dst) } else { (self.dst, self.src) };
        (u64::from(low.0) << 32 | u64::from(high.0), u32::from(low.1) << 16 | u32::from(high.1))
    }

    /// The ends, when the sender is the client.
    pub(crate) fn ends(&self) -> Sides<SocketAddr> {
        let address = |(ip, port): (u32, u16)| SocketAddr::from((Ipv4Addr::from_bits(ip), port));
        Sides { client: address(self.src), server: address(self.dst) }
    }
}

/// The segment of a frame; `None` when it is none in one piece. Padding behind the IP packet is not payload.
#[inline]
pub(crate) fn parse(frame: &[u8]) -> Option<Segment<'_>> {
    let (ethernet, packet) = frame.split_first_chunk::<ETHERNET>()?;
    if ethernet[12..] != IPV4 {
        return None;
    }
    let ip = packet.first_chunk::<20>()?;
    let header = usize::from(ip[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff;
    if ip[0] >> 4 != 4 || header < 20 || fragment != 0 || ip[9] != TCP {
        return None;
    }
    let segment = packet.get(header..total)?;
    let tcp = segment.first_chunk::<20>()?;
    let offset = usize::from(tcp[12] >> 4) * 4;
    if offset < 20 {
        return None;
    }
    Some(Segment {
        src: (u32::from_be_bytes([ip[12], ip[13], ip[14], ip[15]]), u16::from_be_bytes([tcp[0], tcp[1]])),
        dst: (u32::from_be_bytes([ip[16], ip[17], ip[18], ip[19]]), u16::from_be_bytes([tcp[2], tcp[3]])),
        seq: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
        flags: tcp[13],
        payload: segment.get(offset..)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use mos_flow::Side;
    use mos_flow::testing::Exchange;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let ends = [([10, 0, 0, 1], 4000).into(), ([192, 0, 2, 1], 80).into()];
        Exchange::new(ends[0], ends[1], Sides { client: 7, server: 9 }).data(Side::Client, payload)
    }

    #[test]
    fn a_segment_ends_where_its_ip_packet_ends() {
        let mut padded = frame(b"abc");
        padded.resize(60, 0xee);
        let segment = parse(&padded).unwrap();
        assert_eq!((segment.payload, segment.seq, segment.flags), (&b"abc"[..], 7, ACK | 8));
        assert_eq!(segment.ends().client, SocketAddr::from(([10, 0, 0, 1], 4000)));
        assert_eq!(segment.ends().server, SocketAddr::from(([192, 0, 2, 1], 80)));
    }

    #[test]
    fn both_directions_have_one_key() {
        let there = frame(b"x");
        let there = parse(&there).unwrap();
        let back = Segment { src: there.dst, dst: there.src, ..there };
        assert_eq!(there.key(), back.key());
        assert!(there.ascends() && !back.ascends());
    }

    #[test]
    fn what_is_cut_anywhere_is_no_segment() {
        let whole = frame(b"abc");
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_none(), "{len}");
        }
    }
}
