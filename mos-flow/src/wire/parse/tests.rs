use super::*;
use crate::wire::craft::{core4, core6, ethernet, ipv4, ipv6, kind, label, tag, tcp, udp};
use etherparse::{
    IpAuthHeader, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FragmentHeader,
    Ipv6Header, Ipv6RawExtHeader, LinuxSllPacketType, PacketBuilder, SlicedPacket, TransportSlice,
};
use proptest::prelude::*;
use std::vec::Vec;

fn v4_tcp(payload: &[u8]) -> Vec<u8> {
    let b = PacketBuilder::ethernet2([1; 6], [2; 6]).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).tcp(1, 2, 3, 4);
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
    assert_eq!(edit(20, 0x40).unwrap().fragment, None, "DF is no fragment");
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
    assert!(parse(LinkType::RawIp, &f).unwrap().fragment.is_some());
}

/// One fragment of IPv4: `word` is its flags and offset.
fn fragment4(word: u16, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = ipv4(false, (1, 2), protocol, payload);
    packet[4..8].copy_from_slice(&[[0xab, 0xcd], word.to_be_bytes()].concat());
    packet
}

/// A fragment header of IPv6.
fn fragment_header(next: u8, word: u16) -> [u8; 8] {
    let [high, low] = word.to_be_bytes();
    [next, 0, high, low, 1, 2, 3, 4]
}

const MORE: u16 = 0x2000;

#[test]
fn fragments_of_ipv4_are_told_and_not_looked_into() {
    let segment = tcp(false, b"0123456789");
    for (word, offset, more) in
        [(MORE, 0, true), (MORE | 3, 24, true), (3, 24, false), (0x5fff & !MORE, 65528, false)]
    {
        let frame = ethernet(false, 0x0800, &fragment4(word, 6, &segment));
        let p = parse(LinkType::Ethernet, &frame).unwrap();
        assert_eq!(p.fragment, Some(Fragment { id: 0xabcd, offset, more }));
        assert_eq!((p.protocol, p.ports(&frame), p.segment_bytes(&frame)), (6, (0, 0), &segment[..]));
        assert!(p.tcp(&frame).is_none() && checksum::tcp_ok(&frame, &p).is_none());
        assert_eq!(p.unfragmentable(&frame), (&frame[14..34], 9));
    }
    // A tunnel in a fragment.
    for (protocol, payload) in [
        (4, core4(false)),
        (17, udp((1, 2152), &[&[0x30, 255, 0, 47, 0, 0, 0, 0], &core4(false)[..]].concat())),
    ] {
        let whole = fragment4(0, protocol, &payload);
        assert_eq!(parse(LinkType::RawIp, &whole).unwrap().depth, 2);
        assert_eq!(parse(LinkType::RawIp, &fragment4(MORE, protocol, &payload)).unwrap().depth, 1);
        // And a fragment in a tunnel.
        let inside = ipv4(false, (7, 8), 4, &fragment4(MORE, protocol, &payload));
        let p = parse(LinkType::RawIp, &inside).unwrap();
        assert_eq!((p.depth, p.fragment.is_some(), p.ip), (2, true, 20));
    }
}

#[test]
fn the_first_fragment_header_of_ipv6_counts() {
    let segment = tcp(false, b"0123456789");
    let hop = [44, 0, 1, 4, 0, 0, 0, 0];
    let (real, atomic) = (0x0031, 0x0006); // the two bits between are reserved
    let cases: [(u8, Vec<u8>, usize, usize); 4] = [
        (44, fragment_header(6, real).to_vec(), 40, 6),
        (0, [hop, fragment_header(6, real)].concat(), 48, 40),
        // An atomic one belongs to what every fragment repeats.
        (44, [fragment_header(44, atomic), fragment_header(6, real)].concat(), 48, 40),
        // What is behind a real one is payload.
        (44, [fragment_header(44, real), fragment_header(6, 8)].concat(), 40, 6),
    ];
    for (i, (next, headers, unfragmentable, protocol_at)) in cases.iter().enumerate() {
        let f = ipv6(false, (1, 2), *next, &[&headers[..], &segment].concat());
        let p = parse(LinkType::RawIp, &f).unwrap();
        assert_eq!(p.fragment, Some(Fragment { id: 0x0102_0304, offset: 48, more: true }), "case {i}");
        assert_eq!(p.unfragmentable(&f), (&f[..*unfragmentable], *protocol_at), "case {i}");
        assert_eq!((p.ports(&f), p.transport), ((0, 0), unfragmentable + 8), "case {i}");
    }
    let f = ipv6(false, (1, 2), 44, &[&fragment_header(6, atomic)[..], &segment].concat());
    let p = parse(LinkType::RawIp, &f).unwrap();
    assert_eq!((p.fragment, p.ports(&f), p.unfragmentable(&f)), (None, (1000, 80), (&f[..48], 40)));
}

#[test]
fn every_extension_header_is_walked_and_encryption_ends_the_walk() {
    let segment = tcp(false, b"");
    for kind in [0, 43, 60, 135, 139, 140] {
        let f = ipv6(false, (1, 2), kind, &[&[6, 1][..], &[0; 14], &segment].concat());
        assert_eq!(parse(LinkType::RawIp, &f).map(|p| (p.protocol, p.transport)), Ok((6, 56)), "{kind}");
    }
    let f = ipv6(false, (1, 2), 51, &[&[6, 4][..], &[0; 22], &segment].concat());
    assert_eq!(parse(LinkType::RawIp, &f).map(|p| (p.protocol, p.transport)), Ok((6, 64)), "in words");
    for kind in [50, 59] {
        let f = ipv6(false, (1, 2), kind, &segment);
        assert_eq!(parse(LinkType::RawIp, &f).map(|p| (p.protocol, p.transport)), Ok((kind, 40)));
    }
    let f = ipv6(false, (1, 2), 0, &[&[6, 1][..], &[0; 13]].concat());
    assert_eq!(parse(LinkType::RawIp, &f), Err(DropReason::BadLength), "longer than the packet");
    assert_eq!(parse(LinkType::RawIp, &f[..41]), Err(DropReason::FrameTooShort));
}

/// A datagram that was put together gives what the whole packet would have given.
#[test]
fn the_walk_goes_on_in_a_reassembled_datagram() {
    let walker = Walker::new([3; 16]);
    let inner = ethernet(false, 0x8100, &tag(6, 0x0800, &core4(false)));
    let vxlan = udp((1, 4789), &[&[8, 0, 0, 0, 0, 0, 5, 0][..], &inner].concat());
    let around = |packet: &[u8]| {
        let labelled = [&label(77, true)[..], packet].concat();
        ethernet(false, 0x8100, &tag(5, 0x8847, &labelled))
    };
    let frame = around(&fragment4(0, 17, &vxlan));
    let whole = walker.walk(LinkType::Ethernet, &frame).unwrap();
    for word in [MORE, 2] {
        let part = around(&fragment4(word, 17, &vxlan[..16]));
        let fragment = walker.walk(LinkType::Ethernet, &part).unwrap();
        let datagram = fragment4(0, 17, &vxlan);
        let again = walker.walk_again(&datagram, &fragment).unwrap();
        assert_eq!(again.segment_bytes(&datagram), tcp(false, b"payload"));
        let places = |p: Packet, from: usize| (p.ip - from, p.transport - from, p.end - from);
        assert_eq!(places(again, 0), places(whole, 22));
        assert_eq!((again.vlans.ids(), again.mpls(), again.depth), (&[5, 6][..], Some(77), whole.depth + 1));
        assert_eq!(again.network, whole.network, "a connection whose packets are fragments sometimes is one");
    }
    // Fragments in a tunnel, and a walker that leaves tunnels out.
    for tunnels in [true, false] {
        let walker = Walker::new([3; 16]).tunnels_in_key(tunnels);
        let through = |packet: &[u8]| around(&ipv4(false, (7, 8), 4, packet));
        let fragment = walker.walk(LinkType::Ethernet, &through(&fragment4(MORE, 6, &[0; 8]))).unwrap();
        let whole = walker.walk(LinkType::Ethernet, &through(&core4(false))).unwrap();
        let again = walker.walk_again(&core4(false), &fragment).unwrap();
        assert_eq!((again.network, again.depth), (whole.network, whole.depth + 1));
    }
}

#[test]
fn a_fragment_in_a_fragment_has_an_end() {
    // Behind a fragment header there is another, and so on: each datagram is a fragment again.
    let headers = fragment_header(44, 1).repeat(12);
    let mut datagram = ipv6(false, (1, 2), 44, &headers);
    let mut packet = parse(LinkType::RawIp, &datagram).unwrap();
    let mut turns = 0;
    let end = loop {
        let (headers, at) = packet.unfragmentable(&datagram);
        let mut next = [headers, packet.segment_bytes(&datagram)].concat();
        next[at] = packet.protocol;
        let len = (next.len() - 40) as u16;
        next[4..6].copy_from_slice(&len.to_be_bytes());
        match Walker::default().walk_again(&next, &packet) {
            Ok(p) => packet = p,
            Err(reason) => break reason,
        }
        (datagram, turns) = (next, turns + 1);
    };
    assert_eq!((turns, end), (3, DropReason::HeaderDepth));
}

#[test]
fn a_datagram_is_as_long_as_its_header_says() {
    let fragment = parse(LinkType::RawIp, &fragment4(MORE, 6, &[0; 8])).unwrap();
    let walk = |datagram: &[u8]| Walker::default().walk_again(datagram, &fragment);
    let whole = core4(false);
    assert_eq!(walk(&whole).map(|p| p.segment_len), Ok(27));
    for len in 0..whole.len() {
        assert_eq!(walk(&whole[..len]), Err(DropReason::BadLength), "{len}");
    }
    let mut no_length = whole;
    no_length[2..4].fill(0);
    assert_eq!(walk(&no_length), Err(DropReason::BadLength));
    assert_eq!(walk(&core6(false)), Err(DropReason::BadLength), "of the other family");
}

/// Edits through views, with the checksums brought up to date, leave a packet whose checksums are right: of the
/// innermost packet, and with UDP.
#[test]
fn headers_are_edited_in_place() {
    let mut packets = Vec::new();
    for (v6, tcp) in [(false, true), (true, true), (false, false), (true, false)] {
        let b = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let b = if v6 { b.ipv6([3; 16], [4; 16], 64) } else { b.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64) };
        let mut frame = Vec::new();
        if tcp {
            b.tcp(1000, 80, 3, 4).write(&mut frame, b"odd")
        } else {
            b.udp(1000, 80).write(&mut frame, b"odd")
        }
        .unwrap();
        let tunnel = ethernet(false, 0x0800, &ipv4(false, (7, 8), if v6 { 41 } else { 4 }, &frame[14..]));
        packets.extend([(frame, tcp), (tunnel, tcp)]);
    }
    for (mut frame, is_tcp) in packets {
        let p = parse(LinkType::Ethernet, &frame).unwrap();
        let right = |frame: &[u8]| {
            let ip = p.ipv4(frame).is_none() || checksum::ipv4_header_ok(&frame[p.ip..p.transport]);
            (ip, if is_tcp { checksum::tcp_ok(frame, &p) } else { checksum::udp_ok(frame, &p) })
        };
        assert_eq!(right(&frame), (true, Some(true)));
        let (old, new): (Vec<u8>, Vec<u8>) = if let Some(ip) = p.ipv4_mut(&mut frame) {
            let (old, new) = (ip.src, [192, 0, 2, 77]);
            ip.src = new;
            ip.checksum = checksum::update(ip.checksum.get(), &old, &new).into();
            (old.to_vec(), new.to_vec())
        } else {
            let ip = p.ipv6_mut(&mut frame).unwrap();
            let (old, new) = (ip.src, [0xfd; 16]);
            ip.src = new;
            (old.to_vec(), new.to_vec())
        };
        assert_eq!(right(&frame), (true, Some(false)), "the pseudo header has changed");
        if let Some(header) = p.tcp_mut(&mut frame) {
            let sum = checksum::update(header.checksum.get(), &old, &new);
            let sum = checksum::update32(sum, header.seq.get(), 0xffff_fff0);
            header.seq = 0xffff_fff0.into();
            header.checksum = checksum::update16(sum, header.src_port.get(), 99).into();
            header.src_port = 99.into();
        } else {
            let header = p.udp_mut(&mut frame).unwrap();
            let sum = checksum::update(header.checksum.get(), &old, &new);
            header.checksum = checksum::update16(sum, header.src_port.get(), 99).into();
            header.src_port = 99.into();
        }
        assert_eq!(right(&frame), (true, Some(true)));
        let p = parse(LinkType::Ethernet, &frame).unwrap();
        assert_eq!((p.ports(&frame).0, p.ip_bytes(&frame)), (99, &frame[p.ip..]));
        assert_eq!((p.tcp(&frame).is_some(), p.udp(&frame).is_some()), (is_tcp, !is_tcp));
        assert_eq!(p.ipv6(&frame).is_some(), p.family == Family::V6);
    }
}

#[test]
fn the_checksums_of_the_innermost_packet_are_verified() {
    let frame = v4_tcp(b"abc");
    let mut tunnel = ethernet(false, 0x0800, &ipv4(false, (7, 8), 4, &frame[14..]));
    let check = |frame: &[u8]| verify(frame, &parse(LinkType::Ethernet, frame).unwrap());
    assert_eq!(check(&tunnel), Ok(()), "the outer one has none");
    tunnel[34 + 8] ^= 1; // TTL
    assert_eq!(check(&tunnel), Err(DropReason::IpChecksum));
    tunnel[34 + 8] ^= 1;
    tunnel[34 + 20] ^= 1;
    assert_eq!(check(&tunnel), Err(DropReason::TcpChecksum));
}

/// Beginnings of frames of all kinds.
fn heads() -> Vec<Vec<u8>> {
    let mut heads = std::vec![Vec::new()];
    for (family, core) in [(Family::V4, core4(false)), (Family::V6, core6(false))] {
        let frame = ethernet(false, kind(family), &core);
        let vxlan = [&[8, 0, 0, 0, 0, 0, 5, 0][..], &frame].concat();
        let ip = |protocol, payload: &[u8]| ethernet(false, 0x0800, &ipv4(false, (7, 8), protocol, payload));
        heads.extend([
            ethernet(false, 0x8100, &tag(7, kind(family), &core)),
            ethernet(false, 0x8847, &[&label(7, false)[..], &label(8, true), &frame].concat()),
            ethernet(false, 0x8864, &[&[0x11, 0, 0, 5, 0, 90, 0, 0x21][..], &core].concat()),
            ip(4, &core),
            ip(41, &core),
            ip(47, &[&[0x30, 0, 0x65, 0x58, 0, 0, 0, 1, 0, 0, 0, 2][..], &frame].concat()),
            ip(47, &[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 2, 0x10, 0, 0, 1, 0, 0, 0, 0][..], &frame].concat()),
            ip(17, &udp((9, 4789), &vxlan)),
            ip(
                17,
                &udp(
                    (9, 2152),
                    &[&[0x34, 255, 0, 90, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0][..], &core].concat(),
                ),
            ),
            ip(17, &udp((9, 3544), &[&[0, 0, 1, 2, 3, 4, 5, 6][..], &core].concat())),
            ethernet(false, 0x0800, &fragment4(MORE, 17, &udp((9, 4789), &vxlan))),
            ethernet(
                false,
                0x86dd,
                &ipv6(
                    false,
                    (7, 8),
                    44,
                    &[&fragment_header(44, 1)[..], &fragment_header(4, 1), &core].concat(),
                ),
            ),
            core,
        ]);
    }
    heads
}

proptest! {
    /// Bytes that begin as headers do, so that the walk gets somewhere.
    #[test]
    fn any_bytes_are_walked_or_have_a_reason(
        head in prop::sample::select(heads()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in prop::collection::vec(any::<u8>(), 0..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = [head, tail].concat();
        for (at, byte) in edits {
            if !bytes.is_empty() {
                let i = at.index(bytes.len());
                bytes[i] = byte;
            }
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        crate::model::run_wire(&bytes);
    }

    /// With options and extension headers, over TCP and UDP; `links` is up to two tags, or 3 for a cooked header.
    #[test]
    fn agrees_with_etherparse(
        payload in prop::collection::vec(any::<u8>(), 0..40),
        (v6, udp, more) in any::<(bool, bool, bool)>(),
        links in 0..4_u8,
        port in any::<u16>(),
        option in prop::sample::select(std::vec![[1; 4], [7, 4, 4, 0]]),
    ) {
        let b = PacketBuilder::ethernet2([1; 6], [2; 6]);
        let id = |n| etherparse::VlanId::try_new(n).unwrap();
        let ip = headers(v6, more.then_some(option));
        let b = match links {
            0 => b.ip(ip),
            1 => b.single_vlan(id(77)).ip(ip),
            2 => b.double_vlan(id(7), id(4095)).ip(ip),
            _ => PacketBuilder::linux_sll(LinuxSllPacketType::OUTGOING, 6, [1; 8]).ip(ip),
        };
        let mut frame = Vec::new();
        // Not to a port that tunnels have.
        if udp { b.udp(port & 0x7ff, 2).write(&mut frame, &payload) } else { b.tcp(port, 2, 3, 4).write(&mut frame, &payload) }
            .unwrap();
        let (link, theirs) = match links {
            3 => (LinkType::LinuxSll, SlicedPacket::from_linux_sll(&frame).unwrap()),
            _ => (LinkType::Ethernet, SlicedPacket::from_ethernet(&frame).unwrap()),
        };
        let ours = parse(link, &frame).unwrap();
        let (segment, ports) = match theirs.transport {
            Some(TransportSlice::Tcp(t)) => (t.slice(), (t.source_port(), t.destination_port())),
            Some(TransportSlice::Udp(u)) => (u.slice(), (u.source_port(), u.destination_port())),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(ours.segment_bytes(&frame), segment);
        prop_assert_eq!(ours.ports(&frame), ports);
        prop_assert_eq!(ours.vlans.ids().len(), usize::from(links % 3));
        prop_assert_eq!((ours.protocol, ours.depth), (if udp { 17 } else { 6 }, 1));
        prop_assert!(ours.unfragmentable(&frame).0.len() == ours.transport - ours.ip);
        if udp {
            prop_assert_eq!(checksum::udp_ok(&frame, &ours), Some(true));
        } else {
            prop_assert_eq!(verify(&frame, &ours), Ok(()));
        }
    }
}

/// IP headers between two hosts; with `more` a router alert or something else, in IPv6 four extension headers.
fn headers(v6: bool, more: Option<[u8; 4]>) -> IpHeaders {
    if !v6 {
        let mut header = Ipv4Header::new(0, 64, IpNumber::TCP, [10, 0, 0, 1], [10, 0, 0, 2]).unwrap();
        header.options = more.map(Into::into).unwrap_or_default();
        return IpHeaders::Ipv4(header, Ipv4Extensions::default());
    }
    let header = Ipv6Header { hop_limit: 64, source: [3; 16], destination: [4; 16], ..Ipv6Header::default() };
    let raw = |len| Ipv6RawExtHeader::new_raw(IpNumber::TCP, &std::vec![0; len]).unwrap();
    let extensions = Ipv6Extensions {
        hop_by_hop_options: Some(raw(6)),
        destination_options: Some(raw(14)),
        fragment: Some(Ipv6FragmentHeader::new(IpNumber::TCP, etherparse::IpFragOffset::ZERO, false, 9)),
        auth: Some(IpAuthHeader::new(IpNumber::TCP, 1, 2, &[0; 8]).unwrap()),
        ..Ipv6Extensions::default()
    };
    IpHeaders::Ipv6(header, if more.is_some() { extensions } else { Ipv6Extensions::default() })
}

proptest! {
    /// Changed, cut and made longer at will: what the short way takes the long one takes alike.
    #[test]
    fn the_short_way_finds_what_the_walk_finds(
        payload in prop::collection::vec(any::<u8>(), 0..40),
        changes in prop::collection::vec((12_usize..40, any::<u8>()), 0..2),
        len in 0_usize..110,
    ) {
        let mut frame = v4_tcp(&payload);
        changes.iter().for_each(|(at, octet)| frame[*at] = *octet);
        frame.resize(if len < 70 { frame.len() } else { len - 14 }, 0);
        let walked = Walker::default().walk_all(LinkType::Ethernet, &frame);
        prop_assert!(!changes.is_empty() || frame.len() < 34 || plain::packet(&frame).is_some());
        prop_assert!(plain::packet(&frame).is_none_or(|found| walked == Ok(found)));
    }
}
