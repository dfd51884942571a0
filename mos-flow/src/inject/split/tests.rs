use super::*;
use crate::inject::tests::{BOTH_WAYS, kind};
use crate::wire::craft::{core4, ethernet, ipv4};
use crate::wire::{parse, verify};
use etherparse::{IpHeaders, IpNumber, Ipv4Header as TheirIpv4, Ipv6Header as TheirIpv6, PacketBuilder};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;
use tcp_reasm::Segment;

/// An IP packet with options or extension headers, and 12 octets of TCP options.
fn packet(family: Family, header: &etherparse::TcpHeader, dont_fragment: bool) -> Vec<u8> {
    let ip = match family {
        Family::V4 => {
            let options = [7, 3, 0, 0].as_slice().try_into().unwrap(); // record route, no room
            let mut ip = TheirIpv4::new(0, 9, IpNumber::TCP, [192, 0, 2, 1], [198, 51, 100, 7]).unwrap();
            (ip.identification, ip.dont_fragment, ip.options) = (0xfffe, dont_fragment, options);
            IpHeaders::Ipv4(ip, Default::default())
        }
        Family::V6 => {
            let (source, destination) = ([0x20; 16], [0x21; 16]);
            let ip = TheirIpv6 { source, destination, hop_limit: 9, ..Default::default() };
            let hop_by_hop =
                etherparse::Ipv6RawExtHeader::new_raw(IpNumber::TCP, &[1, 4, 0, 0, 0, 0]).unwrap();
            IpHeaders::Ipv6(
                ip,
                etherparse::Ipv6Extensions { hop_by_hop_options: Some(hop_by_hop), ..Default::default() },
            )
        }
    };
    let mut out = Vec::new();
    let tcp = PacketBuilder::ip(ip).tcp_header(header.clone());
    let tcp = tcp.options_raw(&[1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6]).unwrap();
    tcp.write(&mut out, b"old payload").unwrap();
    out
}

fn header() -> etherparse::TcpHeader {
    etherparse::TcpHeader {
        acknowledgment_number: 77,
        ack: true,
        ..etherparse::TcpHeader::new(4321, 80, 0xffff_fff0, 500)
    }
}

/// All frames of a packet with another payload.
fn frames(link: LinkType, frame: &[u8], payload: &[u8], most: usize) -> Vec<Vec<u8>> {
    let packet = parse(link, frame).unwrap();
    let headers = packet.transport + packet.tcp(frame).unwrap().header_len();
    let mut split = Split::new(&frame[..headers], payload, &packet, link, most).unwrap();
    let mut all = Vec::new();
    let mut out = vec![0xee; 4000];
    while let Some(len) = split.emit(&mut out).unwrap() {
        all.push(out[..len].to_vec());
    }
    assert_eq!(split.emit(&mut out), Ok(None), "and none after the last");
    all
}

#[test]
fn each_frame_is_the_packet_with_a_part_of_the_payload() {
    let payload: Vec<u8> = (0..100).collect();
    for family in [Family::V4, Family::V6] {
        for (name, link, wrap) in BOTH_WAYS {
            let frame = wrap(false, family, &packet(family, &header(), false));
            let parts = frames(*link, &frame, &payload, 40);
            assert_eq!(parts.len(), 3, "{name}");
            for ((part, n), payload) in parts.iter().zip(0_u16..).zip(payload.chunks(40)) {
                // The same packet, written by others.
                let seq = 0xffff_fff0_u32.wrapping_add(u32::from(n) * 40);
                let mut whole = etherparse_packet(family, seq, payload);
                if let Ok((ip, _)) = TheirIpv4::from_slice(&whole) {
                    let ip = TheirIpv4 { identification: 0xfffe_u16.wrapping_add(n), ..ip };
                    whole[4..6].copy_from_slice(&ip.identification.to_be_bytes());
                    whole[10..12].copy_from_slice(&ip.calc_header_checksum().to_be_bytes());
                }
                assert_eq!(*part, wrap(false, family, &whole), "{name}, {n}");
                assert_eq!(verify(part, &parse(*link, part).unwrap()), Ok(()));
            }
        }
    }
}

fn etherparse_packet(family: Family, seq: u32, payload: &[u8]) -> Vec<u8> {
    let header = etherparse::TcpHeader { sequence_number: seq, ..header() };
    let whole = packet(family, &header, false);
    let slice = etherparse::PacketHeaders::from_ip_slice(&whole).unwrap();
    let Some(etherparse::TransportHeader::Tcp(tcp)) = slice.transport else { unreachable!() };
    let ip = match slice.net {
        Some(etherparse::NetHeaders::Ipv4(ip, ext)) => IpHeaders::Ipv4(ip, ext),
        Some(etherparse::NetHeaders::Ipv6(ip, ext)) => IpHeaders::Ipv6(ip, ext),
        _ => unreachable!(),
    };
    let mut out = Vec::new();
    PacketBuilder::ip(ip).tcp_header(tcp).write(&mut out, payload).unwrap();
    out
}

#[test]
fn identifications_matter_where_routers_may_fragment() {
    for (dont_fragment, expected) in [(false, [0xfffe, 0xffff, 0]), (true, [0xfffe; 3])] {
        let frame = packet(Family::V4, &header(), dont_fragment);
        let parts = frames(LinkType::RawIp, &frame, &[7; 30], 10);
        let ids: Vec<u16> = parts.iter().map(|p| u16::from_be_bytes([p[4], p[5]])).collect();
        assert_eq!(ids, expected);
    }
}

/// Flags and urgent pointers of the parts of 25 octets, ten in each.
fn places(header: &etherparse::TcpHeader) -> Vec<(u32, Flags, u16)> {
    let frame = packet(Family::V6, header, true);
    let place = |part: &Vec<u8>| {
        let packet = parse(LinkType::RawIp, part).unwrap();
        let segment = Segment::parse(packet.segment_bytes(part), packet.segment_len).unwrap();
        (segment.seq.0.wrapping_sub(header.sequence_number), segment.flags, segment.urgent)
    };
    frames(LinkType::RawIp, &frame, &[7; 25], 10).iter().map(place).collect()
}

#[test]
fn the_end_is_told_with_the_last_octets() {
    let header = etherparse::TcpHeader { psh: true, fin: true, ece: true, ..header() };
    let (ack, end) = (Flags::ACK | Flags::ECE, Flags::PSH | Flags::FIN);
    assert_eq!(places(&header), [(0, ack, 0), (10, ack, 0), (20, ack | end, 0)]);
    let reset = etherparse::TcpHeader { rst: true, ..self::header() };
    assert_eq!(places(&reset), [(0, Flags::ACK, 0), (10, Flags::ACK, 0), (20, Flags::ACK | Flags::RST, 0)]);
}

#[test]
fn a_syn_comes_first_and_counts() {
    let header = etherparse::TcpHeader { syn: true, ack: false, acknowledgment_number: 0, ..header() };
    assert_eq!(places(&header), [(0, Flags::SYN, 0), (11, Flags(0), 0), (21, Flags(0), 0)]);
}

/// It points behind the last urgent octet, from the segment's own number.
#[test]
fn the_urgent_pointer_points_to_the_same_octet() {
    let with = |urgent_pointer| places(&etherparse::TcpHeader { urg: true, urgent_pointer, ..header() });
    let (no, yes) = (Flags::ACK, Flags::ACK | Flags::URG);
    assert_eq!(with(25), [(0, yes, 25), (10, yes, 15), (20, yes, 5)]);
    assert_eq!(with(11), [(0, yes, 11), (10, yes, 1), (20, no, 0)]);
    assert_eq!(with(10), [(0, yes, 10), (10, no, 0), (20, no, 0)]);
    assert_eq!(with(0), [(0, yes, 0), (10, no, 0), (20, no, 0)]);
}

#[test]
fn a_packet_without_payload_is_one_frame() {
    let frame = ethernet(false, kind(Family::V4), &packet(Family::V4, &header(), true));
    let parts = frames(LinkType::Ethernet, &frame, &[], 10);
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [frame.len() - 11]);
}

#[test]
fn tunnels_and_short_memory_are_refused() {
    let tunnel = ethernet(false, 0x0800, &ipv4(false, (3, 4), 4, &core4(false)));
    let packet = parse(LinkType::Ethernet, &tunnel).unwrap();
    let refused = Split::new(&tunnel, &[], &packet, LinkType::Ethernet, 9);
    assert_eq!(refused.unwrap_err(), InjectError::Tunnel);
    let frame = super::super::tests::BOTH_WAYS[0].2(false, Family::V4, &core4(false));
    let packet = parse(LinkType::Ethernet, &frame).unwrap();
    // Memory for the headers, and headers that are not all there.
    for (headers, memory) in [(54, 55), (54, 0), (50, 100), (30, 100), (0, 100)] {
        let mut split = Split::new(&frame[..headers], b"payload", &packet, LinkType::Ethernet, 3).unwrap();
        assert_eq!(split.emit(&mut vec![0; memory]), Err(InjectError::NoRoom), "{headers}");
        assert_eq!(split.emit(&mut vec![0; 1000]), Ok(None));
    }
}

proptest! {
    /// The stream that a receiver puts together is the payload.
    #[test]
    fn parts_are_the_whole(payload in prop::collection::vec(any::<u8>(), 0..600), most in 0_usize..700) {
        let frame = packet(Family::V4, &header(), true);
        let mut stream = Vec::new();
        for part in frames(LinkType::RawIp, &frame, &payload, most) {
            let packet = parse(LinkType::RawIp, &part).unwrap();
            prop_assert_eq!(verify(&part, &packet), Ok(()));
            let segment = Segment::parse(packet.segment_bytes(&part), packet.segment_len).unwrap();
            prop_assert_eq!(segment.seq.0.wrapping_sub(0xffff_fff0), stream.len() as u32);
            prop_assert!(segment.payload.len() <= most.max(1));
            stream.extend_from_slice(segment.payload);
        }
        prop_assert_eq!(stream, payload);
    }
}
