//! ICMP: errors and echo; and fragments.

use super::*;
use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use etherparse::icmpv6::{DestUnreachableCode, TimeExceededCode as TimeExceededCodeV6};
use etherparse::{
    Icmpv4Type, Icmpv6Type, IpFragOffset, IpHeaders, IpNumber, Ipv4Header as TheirIpv4, Ipv4Options,
    Ipv6FragmentHeader, TransportSlice,
};

/// What an ICMP message says.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    V4(Icmpv4Type),
    V6(Icmpv6Type),
}

/// Source and destination, what is said, and what is behind it: all checksums are right.
fn read(frame: &[u8]) -> ((IpAddr, IpAddr), Said, Vec<u8>) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (said, payload) = match (packet.net.as_ref().unwrap(), packet.transport.as_ref().unwrap()) {
        (NetSlice::Ipv4(v4), TransportSlice::Icmpv4(icmp)) => {
            assert_eq!((naive_sum(v4.header().slice()), naive_sum(icmp.slice())), (0xffff, 0xffff));
            (Said::V4(icmp.icmp_type()), icmp.payload())
        }
        (NetSlice::Ipv6(v6), TransportSlice::Icmpv6(icmp)) => {
            assert!(icmp.is_checksum_valid(v6.header().source(), v6.header().destination()));
            (Said::V6(icmp.icmp_type()), icmp.payload())
        }
        other => panic!("no ICMP: {other:?}"),
    };
    (addresses(frame), said, payload.to_vec())
}

/// The one error that is sent to host A about `frame`.
fn error_about(frame: &[u8], sent: &Sent) -> Said {
    let [(0, error)] = &sent[..] else { panic!("{sent:?}") };
    let (ends, said, quote) = read(error);
    let own = if frame[14] >> 4 == 4 { ("10.1.0.1", "10.1.0.2") } else { ("fd01::1", "fd01::2") };
    assert_eq!((stations(error), ends), ([A, R0], (ip(own.0), ip(own.1))));
    // RFC 1812, 4.3.2.3 and RFC 4443, 2.4(c): as much of it as has room.
    let most: usize = if frame[14] >> 4 == 4 { 576 - 28 } else { 1280 - 48 };
    assert_eq!(quote, &frame[14..][..most.min(frame.len() - 14)]);
    said
}

#[test]
fn the_sender_hears_that_the_hops_ran_out() {
    let (v4, v6) = (TimeExceededCode::TtlExceededInTransit, TimeExceededCodeV6::HopLimitExceeded);
    for hop_limit in [0, 1] {
        let cases = [
            (a_to_b(hop_limit), Said::V4(Icmpv4Type::TimeExceeded(v4))),
            (a_to_b_v6(hop_limit), Said::V6(Icmpv6Type::TimeExceeded(v6))),
        ];
        for (frame, said) in cases {
            let (fate, sent) = Bench::acquainted().forward(0, &frame);
            assert_eq!((fate, error_about(&frame, &sent)), (Fate::Dropped(RouteDrop::HopLimit), said));
        }
    }
}

#[test]
fn the_sender_hears_that_there_is_no_route() {
    let mut bench = Bench::acquainted();
    let frame = udp([A, R0], "10.1.0.2", "10.3.0.1", 64, &[7; 3000][..1400]);
    let (fate, sent) = bench.forward(0, &frame);
    let said = Said::V4(Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Network));
    assert_eq!((fate, error_about(&frame, &sent)), (Fate::Dropped(RouteDrop::NoRoute), said));
    let mut router = Router::new(&interfaces(), &[], &[], Limits::default()).unwrap();
    let frame = udp([A, R0], "fd01::2", "2001:db8::1", 64, &[7; 1400]);
    let mut asked = 0;
    assert_eq!(router.forward(0, &frame, START, &mut |_, _| asked += 1), Fate::Dropped(RouteDrop::NoRoute));
    assert_eq!((asked, router.statistics().errors), (1, 1), "the error waits for the neighbour");
}

#[test]
fn the_sender_hears_of_a_host_that_is_not_there() {
    let cases = [
        (a_to_b(64), Said::V4(Icmpv4Type::DestinationUnreachable(DestUnreachableHeader::Host))),
        (a_to_b_v6(64), Said::V6(Icmpv6Type::DestinationUnreachable(DestUnreachableCode::Address))),
    ];
    for (frame, said) in cases {
        let mut bench = Bench::with(&host_a(), Limits::default());
        let (fate, _) = bench.forward(0, &frame);
        assert_eq!(fate, Fate::Waiting);
        let questions = bench.pass(Duration::from_millis(2500));
        assert!(questions.len() == 2 && questions.iter().all(|(port, _)| *port == 1), "{questions:?}");
        // It is told about the packet as it is to leave.
        let hop_less = with_hop_limit(&frame, 63);
        assert_eq!(error_about(&hop_less, &bench.pass(Duration::from_secs(1))), said);
        assert_eq!((bench.dropped(RouteDrop::Unresolved), bench.router.statistics().waiting), (1, 0));
    }
}

/// Says in a frame's IPv4 header that it must not be fragmented.
fn unbreakable(mut frame: Vec<u8>) -> Vec<u8> {
    let ttl = frame[22];
    frame[20] |= 0x40;
    frame = with_hop_limit(&frame, ttl);
    frame
}

#[test]
fn the_sender_hears_the_size_that_has_room() {
    let v4 = |len: usize| unbreakable(udp([A, R0], "10.1.0.2", "10.2.0.2", 64, &vec![7; len - 28]));
    let v6 = |len: usize| udp([A, R0], "fd01::2", "fd02::2", 64, &vec![7; len - 48]);
    let fragmentation = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: 1280 };
    let cases = [
        (v4(1281), Said::V4(Icmpv4Type::DestinationUnreachable(fragmentation))),
        (v6(1281), Said::V6(Icmpv6Type::PacketTooBig { mtu: 1280 })),
    ];
    for (frame, said) in cases {
        let (fate, sent) = Bench::acquainted().forward(0, &frame);
        assert_eq!((fate, error_about(&frame, &sent)), (Fate::Dropped(RouteDrop::TooLarge), said));
    }
    for frame in [v4(1280), v6(1280)] {
        assert_eq!(Bench::acquainted().forward(0, &frame).0, Fate::Sent);
    }
}

/// A frame with one of the protocol's packets of IPv4 by another header.
fn with_header(header: TheirIpv4, protocol: IpNumber, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = IpHeaders::Ipv4(header, Default::default());
    PacketBuilder::ethernet2(A, R0).ip(ip).write(&mut frame, protocol, payload).unwrap();
    frame
}

fn header(source: &str, destination: &str) -> TheirIpv4 {
    let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    TheirIpv4 {
        time_to_live: 64,
        source: v4(source),
        destination: v4(destination),
        identification: 0x1234,
        dont_fragment: false,
        ..TheirIpv4::default()
    }
}

#[test]
fn a_packet_that_may_be_cut_leaves_in_fragments() {
    // The first option is for every fragment, the second one for the first (RFC 791, 3.1).
    let options = [0x94, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0];
    let payload: Vec<u8> = (0..3000_u32).map(|n| ((n * 7) >> 3) as u8).collect();
    for (options, offset, more) in
        [(&options[..], 0, false), (&[], 0, false), (&options[..], 100, true), (&[], 100, false)]
    {
        let whole = TheirIpv4 {
            options: Ipv4Options::try_from(options).unwrap(),
            fragment_offset: IpFragOffset::try_new(offset).unwrap(),
            more_fragments: more,
            ..header("10.1.0.2", "10.2.0.2")
        };
        let mut bench = Bench::acquainted();
        let (fate, sent) = bench.forward(0, &with_header(whole, IpNumber::UDP, &payload));
        assert_eq!((fate, sent.len()), (Fate::Sent, 3));
        let (mut together, mut last) = (Vec::new(), false);
        for (n, (port, frame)) in sent.iter().enumerate() {
            assert!(*port == 1 && frame.len() <= 14 + 1280 && !last);
            let packet = SlicedPacket::from_ethernet(frame).unwrap();
            let Some(NetSlice::Ipv4(v4)) = packet.net else { panic!("no packet") };
            let read = v4.header().to_header();
            assert_eq!(naive_sum(v4.header().slice()), 0xffff);
            assert_eq!(
                usize::from(read.fragment_offset.byte_offset()),
                usize::from(offset) * 8 + together.len()
            );
            let expected_options = if n == 0 || options.is_empty() { options } else { &options[..4] };
            let expected = TheirIpv4 {
                total_len: read.total_len,
                header_checksum: read.header_checksum,
                fragment_offset: read.fragment_offset,
                more_fragments: read.more_fragments,
                time_to_live: 63,
                options: Ipv4Options::try_from(expected_options).unwrap(),
                protocol: IpNumber::UDP,
                ..header("10.1.0.2", "10.2.0.2")
            };
            assert_eq!(read, expected);
            last = !read.more_fragments;
            together.extend_from_slice(v4.payload().payload);
        }
        assert_eq!((together == payload, last), (true, !more));
        assert_eq!(bench.router.statistics().fragmented, 1);
    }
    let beyond =
        TheirIpv4 { fragment_offset: IpFragOffset::try_new(8000).unwrap(), ..header("10.1.0.2", "10.2.0.2") };
    let (fate, _) = Bench::acquainted().forward(0, &with_header(beyond, IpNumber::UDP, &payload));
    assert_eq!(fate, Fate::Dropped(RouteDrop::TooLarge), "it would end beyond the largest datagram");
}

/// A frame with an ICMP message of this type to an address without a route.
fn icmp(kind: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    let ip = PacketBuilder::ethernet2(A, R0).ipv4([10, 1, 0, 2], [10, 3, 0, 1], 64);
    ip.icmpv4_raw(kind, 0, [0; 4]).write(&mut frame, &[0; 28]).unwrap();
    frame
}

fn icmpv6(kind: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let ip = PacketBuilder::ethernet2(A, R0).ipv6(v6("fd01::2"), v6("fd02::2"), 1);
    ip.icmpv6_raw(kind, 0, [0; 4]).write(&mut frame, &[0; 48]).unwrap();
    frame
}

#[test]
fn nobody_is_told_about_errors_and_pieces() {
    let fragment =
        TheirIpv4 { fragment_offset: IpFragOffset::try_new(3).unwrap(), ..header("10.1.0.2", "10.3.0.1") };
    let mut silent: Vec<Vec<u8>> = [3, 4, 5, 11, 12, 99].into_iter().map(icmp).collect();
    silent.push(with_header(fragment, IpNumber::UDP, &[0; 20]));
    silent.extend([1, 2, 3, 4, 127].into_iter().map(icmpv6));
    // An error behind an extension header, and what may be one: the header is in another fragment.
    for (next, header) in [(60, [58, 0, 1, 4, 0, 0, 0, 0]), (44, [58, 0, 0, 16, 0, 0, 0, 1])] {
        let mut frame = icmpv6(1);
        frame[20] = next;
        frame[18..20].copy_from_slice(&64_u16.to_be_bytes());
        frame.splice(54..54, header);
        silent.push(frame);
    }
    for frame in silent {
        let mut bench = Bench::acquainted();
        let (fate, sent) = bench.forward(0, &frame);
        assert!(
            matches!(fate, Fate::Dropped(RouteDrop::HopLimit | RouteDrop::NoRoute)) && sent.is_empty(),
            "{fate:?} {sent:?}"
        );
    }
    let first = TheirIpv4 { more_fragments: true, ..header("10.1.0.2", "10.3.0.1") };
    let mut told: Vec<Vec<u8>> = [0, 8, 13, 14].into_iter().map(icmp).collect();
    told.push(with_header(first, IpNumber::UDP, &[0; 24]));
    told.extend([128, 129].into_iter().map(icmpv6));
    assert!(told.iter().all(|frame| Bench::acquainted().forward(0, frame).1.len() == 1));
    // A piece of an IPv6 datagram that is no error may be told about.
    let fragment = Ipv6FragmentHeader {
        fragment_offset: IpFragOffset::try_new(2).unwrap(),
        ..Ipv6FragmentHeader::new(IpNumber::UDP, IpFragOffset::ZERO, true, 1)
    };
    let mut frame = a_to_b_v6(1);
    frame[20] = 44;
    let len = frame.len() - 54 + 8;
    frame[18..20].copy_from_slice(&(len as u16).to_be_bytes());
    frame.splice(54..54, fragment.to_bytes());
    assert_eq!(Bench::acquainted().forward(0, &frame).1.len(), 1);
}

#[test]
fn errors_have_a_rate() {
    let mut bench = Bench::acquainted();
    let frame = a_to_b(1);
    let told = |bench: &mut Bench, frames: u32| {
        (0..frames).filter(|_| !bench.forward(0, &frame).1.is_empty()).count()
    };
    assert_eq!(told(&mut bench, 100), 10, "at once");
    bench.pass(Duration::from_secs(1));
    assert_eq!(told(&mut bench, 100), 10, "what was not used is not saved for ever");
    let mut later = 0;
    for _ in 0..100 {
        bench.pass(Duration::from_millis(5));
        later += told(&mut bench, 3);
    }
    assert_eq!(later, 50, "in half a second");
    let stats = bench.router.statistics();
    assert_eq!((stats.errors, stats.errors_withheld), (70, 430));
    let mut bench = Bench::with(&[], Limits { errors_per_second: 0, ..Limits::default() });
    assert_eq!(told(&mut bench, 3), 0);
}

#[test]
fn nobody_is_told_where_no_route_leads_back() {
    let mut bench = Bench::acquainted();
    let frame = udp([A, R0], "10.77.0.1", "10.2.0.2", 1, b"x");
    assert_eq!(bench.forward(0, &frame), (Fate::Dropped(RouteDrop::HopLimit), vec![]));
    assert_eq!(bench.router.statistics().errors_withheld, 1);
}

fn echo(destination: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(A, R0);
    match ip(destination) {
        IpAddr::V4(to) => {
            let ip = builder.ipv4([10, 1, 0, 2], to.octets(), 1);
            ip.icmpv4_echo_request(0xabcd, 7).write(&mut frame, payload).unwrap();
        }
        IpAddr::V6(to) => {
            let ip = builder.ipv6("fd01::2".parse::<Ipv6Addr>().unwrap().octets(), to.octets(), 1);
            ip.icmpv6_echo_request(0xabcd, 7).write(&mut frame, payload).unwrap();
        }
    }
    frame
}

#[test]
fn own_addresses_answer_echo_requests() {
    let head = etherparse::IcmpEchoHeader { id: 0xabcd, seq: 7 };
    let long = [0xff; 1400];
    for payload in [&b"odd"[..], &[], &[0; 6], &long] {
        // On every port, whatever interface has the address.
        for (own, source) in [
            ("10.1.0.1", "10.1.0.2"),
            ("10.2.0.1", "10.1.0.2"),
            ("fd02::1", "fd01::2"),
            ("fe80::ff:fe00:10", "fd01::2"),
        ] {
            let mut bench = Bench::acquainted();
            let (fate, sent) = bench.forward(0, &echo(own, payload));
            let said = if ip(own).is_ipv4() {
                Said::V4(Icmpv4Type::EchoReply(head))
            } else {
                Said::V6(Icmpv6Type::EchoReply(head))
            };
            assert_eq!((fate, sent.len(), sent[0].0, stations(&sent[0].1)), (Fate::Answered, 1, 0, [A, R0]));
            assert_eq!(read(&sent[0].1), ((ip(own), ip(source)), said, payload.to_vec()));
            assert_eq!(bench.router.statistics().echoes, 1);
        }
    }
}

#[test]
fn own_addresses_answer_nothing_else() {
    let mut sum = echo("10.1.0.1", b"x");
    sum[36] ^= 1;
    let mut sum_v6 = echo("fd01::1", b"x");
    sum_v6[56] ^= 1;
    let own = echo("10.1.0.1", b"x");
    let piece = TheirIpv4 { more_fragments: true, ..header("10.1.0.2", "10.1.0.1") };
    let group = [&ALL[..], &own[6..]].concat();
    let other_link = echo("fe80::ff:fe00:11", b"x");
    let cases = [
        (sum, RouteDrop::Local),
        (sum_v6, RouteDrop::Local),
        (with_header(piece, IpNumber::ICMP, &own[34..]), RouteDrop::Local),
        (with_header(header("10.77.0.1", "10.1.0.1"), IpNumber::ICMP, &own[34..]), RouteDrop::NoRoute),
        (with_header(header("10.1.0.255", "10.1.0.1"), IpNumber::ICMP, &own[34..]), RouteDrop::MartianSource),
        (udp([A, R0], "10.1.0.2", "10.1.0.1", 64, b"x"), RouteDrop::Local),
        (group, RouteDrop::LinkBroadcast),
        (other_link, RouteDrop::LinkLocal),
    ];
    for (frame, reason) in cases {
        assert_eq!(Bench::acquainted().forward(0, &frame), (Fate::Dropped(reason), vec![]));
    }
}
