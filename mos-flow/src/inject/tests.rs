use super::*;
use crate::wire::craft::{Back, core4, core6, ethernet, ipv4, label, tag};
use crate::wire::{Packet, parse, verify};
use etherparse::PacketBuilder;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;
use tcp_reasm::Segment;

pub(super) type Wrap = fn(Back, Family, &[u8]) -> Vec<u8>;

pub(super) fn kind(family: Family) -> u16 {
    if family == Family::V4 { 0x0800 } else { 0x86dd }
}

fn snap(family: Family, payload: &[u8]) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind(family).to_be_bytes(), payload].concat()
}

/// PPP over Ethernet in a tag, so that its type and its length are far apart.
fn pppoe(back: Back, protocol: &[u8], payload: &[u8]) -> Vec<u8> {
    let len = (protocol.len() + payload.len()) as u16;
    let session = [&[0x11, 0, 0, 77][..], &len.to_be_bytes(), protocol, payload].concat();
    ethernet(back, 0x8100, &tag(9, 0x8864, &session))
}

fn ppp(family: Family) -> [u8; 2] {
    if family == Family::V4 { [0, 0x21] } else { [0, 0x57] }
}

const COOKED: [u8; 14] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];

/// What packets are wrapped into that go both ways.
pub(super) const BOTH_WAYS: &[(&str, LinkType, Wrap)] = &[
    ("Ethernet", LinkType::Ethernet, |b, f, p| ethernet(b, kind(f), p)),
    ("VLAN", LinkType::Ethernet, |b, f, p| ethernet(b, 0x8100, &tag(7, kind(f), p))),
    ("QinQ", LinkType::Ethernet, |b, f, p| ethernet(b, 0x88a8, &tag(7, 0x8100, &tag(8, kind(f), p)))),
    ("802.3", LinkType::Ethernet, |b, f, p| ethernet(b, 8 + p.len() as u16, &snap(f, p))),
    ("PPPoE", LinkType::Ethernet, |b, f, p| pppoe(b, &ppp(f), p)),
    ("PPPoE, compressed", LinkType::Ethernet, |b, f, p| pppoe(b, &ppp(f)[1..], p)),
    ("PPP", LinkType::Ppp, |_, f, p| [&ppp(f), p].concat()),
    ("PPP in framing", LinkType::PppSerial, |_, f, p| [&[0xff, 3], &ppp(f)[..], p].concat()),
    ("Cisco's framing", LinkType::PppSerial, |_, f, p| [&[0x0f, 0], &kind(f).to_be_bytes()[..], p].concat()),
    ("loop", LinkType::Loop, |_, f, p| [&[0, 0, 0, if f == Family::V4 { 2 } else { 24 }], p].concat()),
    ("raw", LinkType::RawIp, |_, _, p| p.to_vec()),
];

/// What does not tell how it looks the other way.
const ONE_WAY: &[(&str, LinkType, Wrap, InjectError)] = &[
    ("MPLS", LinkType::Ethernet, |b, _, p| mpls(b, p), InjectError::Labels),
    (
        "MPLS in PPPoE",
        LinkType::Ethernet,
        |b, _, p| pppoe(b, &[2, 0x81, 0, 1, 1, 64], p),
        InjectError::Labels,
    ),
    ("cooked", LinkType::LinuxSll, |_, f, p| cooked(&kind(f).to_be_bytes(), p), InjectError::Link),
    ("cooked LLC", LinkType::LinuxSll, |_, f, p| cooked(&[0, 4], &snap(f, p)), InjectError::Link),
    (
        "cooked 2",
        LinkType::LinuxSll2,
        |_, f, p| [&kind(f).to_be_bytes()[..], &[0; 18], p].concat(),
        InjectError::Link,
    ),
];

fn mpls(back: Back, payload: &[u8]) -> Vec<u8> {
    ethernet(back, 0x8847, &[&label(16, false)[..], &label(17, true), payload].concat())
}

fn cooked(kind: &[u8], payload: &[u8]) -> Vec<u8> {
    [&COOKED[..], kind, payload].concat()
}

fn segment(family: Family) -> Outgoing<'static> {
    let (source, destination) = match family {
        Family::V4 => ("192.0.2.1:4321", "198.51.100.7:80"),
        Family::V6 => ("[2001:db8::1]:4321", "[2001:db8::7]:80"),
    };
    Outgoing {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        seq: SeqNum(0xfeed_0001),
        ack: Some(SeqNum(0x0bad_0002)),
        flags: Flags::PSH,
        window: 4321,
        options: &[8, 10, 0, 0, 0, 5, 0, 0, 0, 6],
        payload: b"seven of",
    }
}

/// The IP packet as etherparse writes it.
fn theirs(segment: &Outgoing<'_>) -> Vec<u8> {
    let header = etherparse::TcpHeader {
        acknowledgment_number: segment.ack.map_or(0, |ack| ack.0),
        ns: segment.flags.has(Flags::AE),
        fin: segment.flags.has(Flags::FIN),
        syn: segment.flags.has(Flags::SYN),
        rst: segment.flags.has(Flags::RST),
        psh: segment.flags.has(Flags::PSH),
        ack: segment.ack.is_some() || segment.flags.has(Flags::ACK),
        urg: segment.flags.has(Flags::URG),
        ece: segment.flags.has(Flags::ECE),
        cwr: segment.flags.has(Flags::CWR),
        ..etherparse::TcpHeader::new(
            segment.source.port(),
            segment.destination.port(),
            segment.seq.0,
            segment.window,
        )
    };
    let mut out = Vec::new();
    let ip = match (segment.source, segment.destination) {
        (SocketAddr::V4(s), SocketAddr::V4(d)) => PacketBuilder::ipv4(s.ip().octets(), d.ip().octets(), 64),
        (SocketAddr::V6(s), SocketAddr::V6(d)) => PacketBuilder::ipv6(s.ip().octets(), d.ip().octets(), 64),
        _ => unreachable!(),
    };
    let tcp = ip.tcp_header(header).options_raw(segment.options).unwrap();
    tcp.write(&mut out, segment.payload).unwrap();
    out
}

/// The frame, in memory that was used before.
fn emitted(segment: &Outgoing<'_>, around: &Encapsulation<'_>) -> Result<(Vec<u8>, LinkType), InjectError> {
    let mut out = vec![0xee; 70_000];
    let (len, link) = emit(segment, around, &mut out)?;
    assert!(out[len..].iter().all(|octet| *octet == 0xee), "nothing is written behind the frame");
    out.truncate(len);
    Ok((out, link))
}

fn template(wrap: Wrap, family: Family, link: LinkType) -> (Vec<u8>, Packet) {
    let core = if family == Family::V4 { core4(false) } else { core6(false) };
    let frame = wrap(false, family, &core);
    let packet = parse(link, &frame).unwrap();
    (frame, packet)
}

/// Our own walk and parser read what was meant.
fn reads_back(segment: &Outgoing<'_>, link: LinkType, frame: &[u8]) -> Packet {
    let packet = parse(link, frame).unwrap();
    assert_eq!((verify(frame, &packet), packet.end), (Ok(()), frame.len()));
    let read = Segment::parse(packet.segment_bytes(frame), packet.segment_len).unwrap();
    assert_eq!((read.seq, read.window, read.payload), (segment.seq, segment.window, segment.payload));
    assert_eq!(read.is_ack(), segment.ack.is_some() || segment.flags.has(Flags::ACK));
    assert!(segment.ack.is_none_or(|ack| ack == read.ack));
    assert_eq!(packet.ports(frame), (segment.source.port(), segment.destination.port()));
    packet
}

#[test]
fn headers_before_the_packet_are_those_of_another_packet() {
    for family in [Family::V4, Family::V6] {
        let segment = segment(family);
        let one_way = ONE_WAY.iter().map(|(name, link, wrap, _)| (name, link, wrap));
        for (name, link, wrap) in BOTH_WAYS.iter().map(|(n, l, w)| (n, l, w)).chain(one_way) {
            let (frame, packet) = template(*wrap, family, *link);
            let around = Encapsulation::of(&frame, &packet, *link, false).unwrap();
            let (ours, by) = emitted(&segment, &around).unwrap();
            assert_eq!((&ours, by), (&wrap(false, family, &theirs(&segment)), *link), "{name}, {family:?}");
            let read = reads_back(&segment, by, &ours);
            assert_eq!((read.network, read.vlans), (packet.network, packet.vlans), "{name}");
        }
    }
}

#[test]
fn the_other_way_the_stations_change_places() {
    for family in [Family::V4, Family::V6] {
        let segment = segment(family);
        for (name, link, wrap) in BOTH_WAYS {
            let (frame, packet) = template(*wrap, family, *link);
            let around = Encapsulation::of(&frame, &packet, *link, true).unwrap();
            let (ours, by) = emitted(&segment, &around).unwrap();
            assert_eq!((&ours, by), (&wrap(true, family, &theirs(&segment)), *link), "{name}, {family:?}");
            reads_back(&segment, by, &ours);
        }
        for (name, link, wrap, error) in ONE_WAY {
            let (frame, packet) = template(*wrap, family, *link);
            assert_eq!(Encapsulation::of(&frame, &packet, *link, true).unwrap_err(), *error, "{name}");
        }
    }
}

#[test]
fn without_another_packet_there_is_no_link_header() {
    for family in [Family::V4, Family::V6] {
        let segment = segment(family);
        assert_eq!(emitted(&segment, &Encapsulation::NONE).unwrap(), (theirs(&segment), LinkType::RawIp));
    }
}

#[test]
fn tunnels_are_not_entered() {
    let tunnel = ethernet(false, 0x0800, &ipv4(false, (3, 4), 4, &core4(false)));
    let packet = parse(LinkType::Ethernet, &tunnel).unwrap();
    let refused = Encapsulation::of(&tunnel, &packet, LinkType::Ethernet, false);
    assert_eq!(refused.unwrap_err(), InjectError::Tunnel);
    // A pseudowire shows when the lengths of its headers are to be put right.
    let wire = mpls(false, &[&[0; 4][..], &ethernet(false, 0x0800, &core4(false))].concat());
    let packet = parse(LinkType::Ethernet, &wire).unwrap();
    let around = Encapsulation::of(&wire, &packet, LinkType::Ethernet, false).unwrap();
    assert_eq!(emitted(&segment(Family::V4), &around).unwrap_err(), InjectError::Link);
}

#[test]
fn what_does_not_fit_is_refused() {
    let short = segment(Family::V4);
    let refused = |segment: &Outgoing<'_>| emitted(segment, &Encapsulation::NONE).unwrap_err();
    let other = Outgoing { destination: "[::1]:80".parse().unwrap(), ..short };
    assert_eq!(refused(&other), InjectError::Families);
    assert_eq!(refused(&Outgoing { options: &[1; 41], ..short }), InjectError::Options);
    for (family, header) in [(Family::V4, 52), (Family::V6, 32)] {
        let most = vec![7; 65_535 - header];
        let longest = Outgoing { payload: &most, ..segment(family) };
        assert_eq!(emitted(&longest, &Encapsulation::NONE).unwrap().0, theirs(&longest));
        let longer = vec![7; most.len() + 1];
        assert_eq!(refused(&Outgoing { payload: &longer, ..longest }), InjectError::TooLong);
    }
    let (frame, packet) = template(|b, f, p| ethernet(b, kind(f), p), Family::V6, LinkType::Ethernet);
    let around = Encapsulation::of(&frame, &packet, LinkType::Ethernet, false).unwrap();
    assert_eq!(emitted(&short, &around).unwrap_err(), InjectError::Families);
    // 1,500 octets are the most that a length of 802.3 tells.
    let (frame, packet) = template(BOTH_WAYS[3].2, Family::V4, LinkType::Ethernet);
    let around = Encapsulation::of(&frame, &packet, LinkType::Ethernet, false).unwrap();
    let long = Outgoing { payload: &[7; 1500], ..short };
    assert_eq!(emitted(&long, &around).unwrap_err(), InjectError::TooLong);
}

#[test]
fn memory_that_is_too_short_is_not_written_beyond() {
    let (frame, packet) = template(BOTH_WAYS[4].2, Family::V6, LinkType::Ethernet);
    let around = Encapsulation::of(&frame, &packet, LinkType::Ethernet, true).unwrap();
    let segment = segment(Family::V6);
    let whole = emitted(&segment, &around).unwrap().0.len();
    for len in 0..whole {
        assert_eq!(emit(&segment, &around, &mut vec![0; len]), Err(InjectError::NoRoom));
    }
}

proptest! {
    #[test]
    fn agrees_with_etherparse(
        (seq, ack, window) in any::<(u32, Option<u32>, u16)>(),
        flags in 0_u16..0x200,
        options in prop::collection::vec(any::<u8>(), 0..=40),
        payload in prop::collection::vec(any::<u8>(), 0..60),
        (source, destination) in any::<([u8; 16], [u8; 16])>(),
        ports in any::<(u16, u16)>(),
        v4 in any::<bool>(),
    ) {
        let address = |octets: [u8; 16], port| match v4 {
            true => SocketAddr::from(([octets[0], octets[1], octets[2], octets[3]], port)),
            false => SocketAddr::from((octets, port)),
        };
        let segment = Outgoing {
            source: address(source, ports.0),
            destination: address(destination, ports.1),
            seq: SeqNum(seq),
            ack: ack.map(SeqNum),
            flags: Flags(flags),
            window,
            options: &options,
            payload: &payload,
        };
        prop_assert_eq!(emitted(&segment, &Encapsulation::NONE).unwrap(), (theirs(&segment), LinkType::RawIp));
    }
}
