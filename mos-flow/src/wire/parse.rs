//! One walk over a frame, with a depth limit.

use super::ethernet::{EthernetHeader, Sll2Header, SllHeader, VlanTag, ethertype};
use super::ipv4::Ipv4Header;
use super::ipv6::{FragmentHeader, Ipv6Header, extension_len, next};
use super::{VlanStack, checksum};
use crate::stats::DropReason;
use zerocopy::FromBytes;

/// How the first header of a frame is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// Ethernet.
    Ethernet,
    /// No link header: IPv4 or IPv6 by the version field.
    RawIp,
    /// Linux cooked capture, version 1.
    LinuxSll,
    /// Linux cooked capture, version 2.
    LinuxSll2,
    /// Anything else, by its number in the capture; its frames are counted and dropped.
    Unknown(u16),
}

/// The address family of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Where the headers of a frame lie. Lengths are consistent: the parts are inside the captured frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// VLAN ids, outermost first.
    pub vlans: VlanStack,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The protocol behind all IP headers.
    pub protocol: u8,
    /// Start of the IP header in the frame.
    pub ip: usize,
    /// Start of the header behind the IP headers.
    pub transport: usize,
    /// End of the IP packet in the captured frame; padding lies behind it.
    pub end: usize,
    /// Octets behind the IP headers by the IP length; more than were captured when the capture cut the frame.
    pub segment_len: usize,
}

/// Extension headers followed before a packet is given up.
const MAX_EXTENSIONS: usize = 8;

impl Packet {
    /// The captured IP packet, from its header on.
    pub fn ip_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.ip..self.end).unwrap_or_default()
    }

    /// The captured part behind the IP headers.
    pub fn segment_bytes<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        frame.get(self.transport..self.end).unwrap_or_default()
    }

    /// Source and destination address. IPv4 addresses are IPv4-mapped.
    pub fn addresses(&self, frame: &[u8]) -> ([u8; 16], [u8; 16]) {
        let ip = self.ip_bytes(frame);
        match self.family {
            Family::V4 => (mapped(ip.get(12..16)), mapped(ip.get(16..20))),
            Family::V6 => (sixteen(ip.get(8..24)), sixteen(ip.get(24..40))),
        }
    }

    /// Source and destination port of a TCP or UDP packet; 0 when the header is not there.
    pub fn ports(&self, frame: &[u8]) -> (u16, u16) {
        match self.segment_bytes(frame) {
            &[a, b, c, d, ..] => (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])),
            _ => (0, 0),
        }
    }
}

/// An IPv4 address in the form in which IPv6 maps it, `::ffff:a.b.c.d`.
fn mapped(v4: Option<&[u8]>) -> [u8; 16] {
    let mut address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
    if let (Some(low), Some(v4)) = (address.last_chunk_mut::<4>(), v4.and_then(|v| v.first_chunk())) {
        *low = *v4;
    }
    address
}

fn sixteen(bytes: Option<&[u8]>) -> [u8; 16] {
    bytes.and_then(|b| b.first_chunk().copied()).unwrap_or_default()
}

/// Walks the headers of `frame`.
///
/// # Errors
/// The reason for which the frame is not an IP packet that can be followed.
pub fn parse(link: LinkType, frame: &[u8]) -> Result<Packet, DropReason> {
    let (ethertype, at) = match link {
        LinkType::Ethernet => {
            let (h, _) = EthernetHeader::ref_from_prefix(frame).map_err(|_| DropReason::FrameTooShort)?;
            (h.ethertype.get(), size_of::<EthernetHeader>())
        }
        LinkType::LinuxSll => {
            let (h, _) = SllHeader::ref_from_prefix(frame).map_err(|_| DropReason::FrameTooShort)?;
            (h.ethertype.get(), size_of::<SllHeader>())
        }
        LinkType::LinuxSll2 => {
            let (h, _) = Sll2Header::ref_from_prefix(frame).map_err(|_| DropReason::FrameTooShort)?;
            (h.ethertype.get(), size_of::<Sll2Header>())
        }
        LinkType::RawIp => match frame.first().map(|b| b >> 4) {
            Some(4) => (ethertype::IPV4, 0),
            Some(6) => (ethertype::IPV6, 0),
            Some(_) => return Err(DropReason::NotIp),
            None => return Err(DropReason::FrameTooShort),
        },
        LinkType::Unknown(_) => return Err(DropReason::UnknownLink),
    };
    behind_link(frame, ethertype, at)
}

fn behind_link(frame: &[u8], mut ethertype: u16, mut at: usize) -> Result<Packet, DropReason> {
    let mut vlans = VlanStack::default();
    while matches!(ethertype, ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD) {
        let (tag, _) = VlanTag::ref_from_prefix(tail(frame, at)).map_err(|_| DropReason::FrameTooShort)?;
        if !vlans.push(tag.id()) {
            return Err(DropReason::HeaderDepth);
        }
        ethertype = tag.ethertype.get();
        at += size_of::<VlanTag>();
    }
    match ethertype {
        ethertype::IPV4 => ipv4(frame, at, vlans),
        ethertype::IPV6 => ipv6(frame, at, vlans),
        _ => Err(DropReason::NotIp),
    }
}

fn tail(frame: &[u8], at: usize) -> &[u8] {
    frame.get(at..).unwrap_or_default()
}

fn ipv4(frame: &[u8], at: usize, vlans: VlanStack) -> Result<Packet, DropReason> {
    let bytes = tail(frame, at);
    let (header, _) = Ipv4Header::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
    let header_len = header.header_len();
    if header.version_ihl >> 4 != 4 || header_len < size_of::<Ipv4Header>() {
        return Err(DropReason::BadLength);
    }
    if bytes.len() < header_len {
        return Err(DropReason::FrameTooShort);
    }
    let segment_len = ipv4_payload(header, bytes.len()).ok_or(DropReason::BadLength)?;
    if header.is_fragment() {
        return Err(DropReason::IpFragment);
    }
    let transport = at + header_len;
    let end = frame.len().min(transport + segment_len);
    let (family, protocol) = (Family::V4, header.protocol);
    Ok(Packet { vlans, family, protocol, ip: at, transport, end, segment_len })
}

/// Octets behind the header. A total length of 0 is what segmentation offload leaves in captures of outgoing
/// packets: then the frame says how long it is.
fn ipv4_payload(header: &Ipv4Header, captured: usize) -> Option<usize> {
    let total = match header.total_len.get() {
        0 => captured,
        total => usize::from(total),
    };
    total.checked_sub(header.header_len())
}

fn ipv6(frame: &[u8], ip: usize, vlans: VlanStack) -> Result<Packet, DropReason> {
    let bytes = tail(frame, ip);
    let (header, rest) = Ipv6Header::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
    if header.version_class_flow.get() >> 28 != 6 {
        return Err(DropReason::BadLength);
    }
    let mut segment_len = match header.payload_len.get() {
        0 => rest.len(), // segmentation offload, as for IPv4
        len => usize::from(len),
    };
    let mut at = ip + size_of::<Ipv6Header>();
    let mut protocol = header.next_header;
    for _ in 0..=MAX_EXTENSIONS {
        let Some((next, len)) = extension(protocol, tail(frame, at))? else {
            let end = frame.len().min(at + segment_len);
            return Ok(Packet { vlans, family: Family::V6, protocol, ip, transport: at, end, segment_len });
        };
        segment_len = segment_len.checked_sub(len).ok_or(DropReason::BadLength)?;
        at += len;
        protocol = next;
    }
    Err(DropReason::HeaderDepth)
}

/// Next header and length of the extension header at the start of `bytes`; `None` when `kind` is none.
fn extension(kind: u8, bytes: &[u8]) -> Result<Option<(u8, usize)>, DropReason> {
    if kind == next::FRAGMENT {
        let (h, _) = FragmentHeader::ref_from_prefix(bytes).map_err(|_| DropReason::FrameTooShort)?;
        return if h.is_atomic() {
            Ok(Some((h.next_header, size_of::<FragmentHeader>())))
        } else {
            Err(DropReason::IpFragment)
        };
    }
    if extension_len(kind, 0).is_none() {
        return Ok(None);
    }
    let &[next, len, ..] = bytes else { return Err(DropReason::FrameTooShort) };
    let len = extension_len(kind, len).filter(|l| *l <= bytes.len()).ok_or(DropReason::FrameTooShort)?;
    Ok(Some((next, len)))
}

/// Verifies the checksums of a TCP packet. What cannot be verified because the capture cut it counts as right.
pub(crate) fn verify(frame: &[u8], packet: &Packet) -> Result<(), DropReason> {
    if packet.family == Family::V4 {
        let header = frame.get(packet.ip..packet.transport).unwrap_or_default();
        if !checksum::ipv4_header_ok(header) {
            return Err(DropReason::IpChecksum);
        }
    }
    match checksum::tcp_ok(frame, packet) {
        Some(false) => Err(DropReason::TcpChecksum),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{PacketBuilder, SlicedPacket};
    use proptest::prelude::*;
    use std::vec::Vec;

    fn v4_tcp(payload: &[u8]) -> Vec<u8> {
        let b =
            PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1, 2, 3, 4);
        let mut out = Vec::new();
        b.write(&mut out, payload).unwrap();
        out
    }

    #[test]
    fn padding_is_cut_and_a_cut_frame_keeps_its_length() {
        let mut frame = v4_tcp(b"abc");
        frame.extend([0; 3]);
        let p = parse(LinkType::Ethernet, &frame).unwrap();
        assert_eq!((p.segment_bytes(&frame).len(), p.segment_len), (23, 23));
        assert_eq!(verify(&frame, &p), Ok(()));
        let cut = &frame[..frame.len() - 5];
        let p = parse(LinkType::Ethernet, cut).unwrap();
        assert_eq!((p.segment_bytes(cut).len(), p.segment_len), (21, 23));
        assert_eq!(verify(cut, &p), Ok(()), "what was not captured cannot be wrong");
        frame[50] ^= 1;
        assert_eq!(verify(&frame, &parse(LinkType::Ethernet, &frame).unwrap()), Err(DropReason::TcpChecksum));
        frame[22] ^= 1;
        assert_eq!(verify(&frame, &parse(LinkType::Ethernet, &frame).unwrap()), Err(DropReason::IpChecksum));
    }

    #[test]
    fn tags_are_collected_and_limited() {
        let plain = v4_tcp(b"x");
        for depth in 0..5_u8 {
            let mut frame = plain[..12].to_vec();
            for (i, kind) in [0x88a8_u16, 0x9100, 0x8100, 0x8100].into_iter().take(depth.into()).enumerate() {
                frame.extend(kind.to_be_bytes());
                frame.extend((0xa000 + 10 * i as u16).to_be_bytes());
            }
            frame.extend(&plain[12..]);
            let parsed = parse(LinkType::Ethernet, &frame);
            if depth <= 3 {
                let ids: Vec<u16> = (0..depth.into()).map(|i| 10 * i).collect();
                assert_eq!(parsed.unwrap().vlans.ids(), ids);
            } else {
                assert_eq!(parsed, Err(DropReason::HeaderDepth));
            }
        }
    }

    #[test]
    fn each_way_to_be_no_packet_has_its_reason() {
        let good = v4_tcp(b"abc");
        let edit = |at: usize, byte: u8| {
            let mut f = good.clone();
            f[at] = byte;
            parse(LinkType::Ethernet, &f)
        };
        assert_eq!(parse(LinkType::Ethernet, &good[..13]), Err(DropReason::FrameTooShort));
        assert_eq!(parse(LinkType::Ethernet, &good[..20]), Err(DropReason::FrameTooShort));
        assert_eq!(parse(LinkType::RawIp, &[]), Err(DropReason::FrameTooShort));
        assert_eq!(parse(LinkType::RawIp, &[0x50]), Err(DropReason::NotIp));
        assert_eq!(parse(LinkType::Unknown(147), &good), Err(DropReason::UnknownLink));
        assert_eq!(edit(13, 6), Err(DropReason::NotIp));
        assert_eq!(edit(14, 0x65), Err(DropReason::BadLength));
        assert_eq!(edit(14, 0x44), Err(DropReason::BadLength));
        assert_eq!(edit(17, 19), Err(DropReason::BadLength));
        assert_eq!(edit(20, 0x20), Err(DropReason::IpFragment));
        assert_eq!(edit(21, 1), Err(DropReason::IpFragment));
        assert!(edit(20, 0x40).is_ok(), "DF is no fragment");
    }

    #[test]
    fn ipv6_extension_headers_are_walked_to_a_limit() {
        let mut tcp = Vec::new();
        PacketBuilder::ipv6([1; 16], [2; 16], 9).tcp(7, 8, 9, 10).write(&mut tcp, b"data").unwrap();
        let with = |headers: &[[u8; 8]]| {
            let mut f = tcp[..40].to_vec();
            f[6] = headers.first().map_or(6, |_| 0);
            for (i, h) in headers.iter().enumerate() {
                let mut h = *h;
                h[0] = if i + 1 == headers.len() { 6 } else { headers[i + 1][7] };
                f.extend(h);
            }
            f.extend(&tcp[40..]);
            let len = (f.len() - 40) as u16;
            f[4..6].copy_from_slice(&len.to_be_bytes());
            f
        };
        let hop = [0, 0, 1, 4, 0, 0, 0, 0];
        for n in 0..12 {
            let f = with(&std::vec![hop; n]);
            match parse(LinkType::RawIp, &f) {
                Ok(p) => assert_eq!((p.protocol, p.transport, p.segment_len), (6, 40 + 8 * n, 24), "{n}"),
                Err(e) => assert!(e == DropReason::HeaderDepth && n > MAX_EXTENSIONS, "{n} {e}"),
            }
        }
        // A routing header behind a hop-by-hop header, an atomic fragment, and a real one.
        let f = with(&[hop, [0, 0, 0, 0, 0, 0, 0, 43]]);
        assert_eq!(parse(LinkType::RawIp, &f).unwrap().transport, 56);
        let mut f = with(&[hop, [0, 0, 0, 0, 0, 0, 0, 44]]);
        assert_eq!(parse(LinkType::RawIp, &f).unwrap().transport, 56);
        f[51] = 1;
        assert_eq!(parse(LinkType::RawIp, &f), Err(DropReason::IpFragment));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_have_a_reason(bytes in prop::collection::vec(any::<u8>(), 0..120), link in 0..4) {
            let links = [LinkType::Ethernet, LinkType::RawIp, LinkType::LinuxSll, LinkType::LinuxSll2];
            if let Ok(p) = parse(links[link as usize], &bytes) {
                prop_assert!(p.ip <= p.transport && p.transport <= p.end && p.end <= bytes.len());
                let _ = (p.addresses(&bytes), p.ports(&bytes), verify(&bytes, &p));
            }
        }

        #[test]
        fn agrees_with_etherparse(payload in prop::collection::vec(any::<u8>(), 0..40), v6: bool, vlan: bool, port: u16) {
            let b = PacketBuilder::ethernet2([1; 6], [2; 6]);
            let id = etherparse::VlanId::try_new(77).unwrap();
            let mut frame = Vec::new();
            match (v6, vlan) {
                (false, false) => b.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(port, 2, 3, 4).write(&mut frame, &payload),
                (true, false) => b.ipv6([3; 16], [4; 16], 64).tcp(port, 2, 3, 4).write(&mut frame, &payload),
                (false, true) => b.single_vlan(id).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(port, 2, 3, 4).write(&mut frame, &payload),
                (true, true) => b.single_vlan(id).ipv6([3; 16], [4; 16], 64).tcp(port, 2, 3, 4).write(&mut frame, &payload),
            }.unwrap();
            let ours = parse(LinkType::Ethernet, &frame).unwrap();
            let theirs = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(etherparse::TransportSlice::Tcp(tcp)) = theirs.transport else { panic!("TCP") };
            prop_assert_eq!(ours.segment_bytes(&frame), tcp.slice());
            prop_assert_eq!(ours.ports(&frame), (tcp.source_port(), tcp.destination_port()));
            prop_assert_eq!(ours.vlans.ids().len(), usize::from(vlan));
            prop_assert_eq!(verify(&frame, &ours), Ok(()));
        }
    }
}
