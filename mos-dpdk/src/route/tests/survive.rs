//! Whatever comes in: nothing grows, nothing is lost without a count, and all that is sent is right.

use super::*;
use proptest::prelude::*;

/// Whether all checksums that the router has to see to are right in a frame that it sent.
fn check_sent(port: u16, frame: &[u8]) {
    assert_eq!(stations(frame)[1], [R0, R1][usize::from(port)]);
    if frame[12..14] == [8, 6] {
        assert_eq!(frame.len(), 42);
        return;
    }
    let packet = &frame[14..];
    assert!(packet.len() <= MTUS[usize::from(port)].into(), "{}", packet.len());
    if packet[0] >> 4 == 4 {
        let len = usize::from(packet[0] & 15) * 4;
        assert_eq!((naive_sum(&packet[..len]), &frame[12..14]), (0xffff, &[8, 0][..]));
        assert_eq!(usize::from(packet[2]) << 8 | usize::from(packet[3]), packet.len());
    } else {
        assert_eq!((packet[0] >> 4, &frame[12..14]), (6, &[0x86, 0xdd][..]));
        assert_eq!(usize::from(packet[4]) << 8 | usize::from(packet[5]), packet.len() - 40);
    }
}

/// Whether the sum is right in what the router itself says.
fn check_said(frame: &[u8]) {
    let packet = &frame[14..];
    if frame[12..14] == [8, 0] && [[10, 1, 0, 1], [10, 2, 0, 1]].contains(&packet[12..16].try_into().unwrap())
    {
        assert_eq!(naive_sum(&packet[20..]), 0xffff);
    }
    let is_own = |own: &str| packet.get(8..24) == Some(&own.parse::<Ipv6Addr>().unwrap().octets());
    if frame[12..14] == [0x86, 0xdd]
        && ["fd01::1", "fd02::1", "fe80::ff:fe00:10", "fe80::ff:fe00:11"].into_iter().any(is_own)
    {
        let pseudo = [&packet[8..40], &((packet.len() - 40) as u32).to_be_bytes(), &[0, 0, 0, 58]].concat();
        assert_eq!(naive_sum(&[&pseudo, &packet[40..]].concat()), 0xffff);
    }
}

/// What leaves of a packet that came in, in one piece: all of it but the link header, one hop, and the sum over that.
fn check_routed(frame: &[u8], sent: &Sent) {
    let hop_limit = if frame[14] >> 4 == 4 { frame[22] } else { frame[21] };
    let expected = with_hop_limit(frame, hop_limit - 1);
    let same = |sent: &[u8]| sent[14..] == expected[14..][..sent.len() - 14];
    let whole = sent.iter().filter(|(_, sent)| sent[12..14] == frame[12..14] && same(sent));
    let cut = frame.len() - 14 > 1280 && sent.len() > 1;
    assert!(cut || whole.count() == 1, "{frame:02x?} {sent:02x?}");
}

/// Frames that the router knows what to do with, of which some octets are others, or the end is missing.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let addresses = prop_oneof![
        Just(("10.1.0.2", "10.2.0.2")),
        Just(("10.1.0.2", "10.9.1.1")),
        Just(("10.1.0.2", "10.3.0.1")),
        Just(("10.1.0.2", "10.1.0.1")),
        Just(("fd01::2", "fd02::2")),
        Just(("fd01::2", "2001:db8::1")),
        Just(("fd01::2", "fd01::1")),
        (0_u8..=255)
            .prop_map(|n| ("10.1.0.2", ["10.2.0.3", "10.2.0.4", "10.2.0.5", "10.2.0.6"][usize::from(n % 4)])),
    ];
    let packets = (addresses, 0_u8..4, prop_oneof![0_usize..40, 1200_usize..1472])
        .prop_map(|((s, d), hops, len)| udp([A, R0], s, d, hops * 20 + 1, &vec![7; len]));
    let arp = (any::<bool>(), 0_u8..8, any::<bool>()).prop_map(|(reply, host, own)| {
        let (to, target) = if own { (R0, [10, 1, 0, 1]) } else { (ALL, [10, 1, 0, 9]) };
        let head = [0, 1, 8, 0, 6, 4, 0, 1 + u8::from(reply)];
        [&to[..], &A, &[8, 6], &head, &[2, 0, 0, 0, 0, host], &[10, 1, 0, host], &R0, &target].concat()
    });
    let icmp = (any::<bool>(), any::<u8>()).prop_map(|(v6, kind)| {
        let mut frame = Vec::new();
        let builder = PacketBuilder::ethernet2(A, R0);
        let v6_of = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        if v6 {
            let ip = builder.ipv6(v6_of("fd01::2"), v6_of("fd01::1"), 255);
            ip.icmpv6_raw(128 + kind % 10, 0, [0; 4]).write(&mut frame, &v6_of("fd01::1")).unwrap();
        } else {
            let ip = builder.ipv4([10, 1, 0, 2], [10, 1, 0, 1], 64);
            ip.icmpv4_raw(kind % 9, 0, [0; 4]).write(&mut frame, b"payload").unwrap();
        }
        frame
    });
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let good = prop_oneof![4 => packets, 2 => arp, 1 => icmp];
    let changed =
        (good, changes, any::<prop::sample::Index>(), 0_u8..8).prop_map(|(mut frame, changes, end, cut)| {
            for (at, octet) in changes {
                let at = at.index(frame.len().min(80));
                frame[at] = octet;
            }
            if cut == 0 {
                frame.truncate(end.index(frame.len()));
            }
            // Often with a header whose sum is right, so that more than the sum is looked at.
            if frame.len() >= 34
                && frame[12..14] == [8, 0]
                && frame.len() >= 14 + usize::from(frame[14] & 15) * 4
                && frame[14] & 15 >= 5
            {
                let ttl = frame[22];
                frame = with_hop_limit(&frame, ttl);
            }
            frame
        });
    prop_oneof![9 => changed, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #[test]
    fn whatever_comes_in(frames in prop::collection::vec((frame(), 0_u16..3, 0_u64..900), 1..60)) {
        let mut bench = Bench::with(&[], Limits { neighbours: 3, waiting: 4, errors_per_second: 100 });
        for (mut frame, port, wait) in frames {
            // Half of the links learn who is where, so that packets leave.
            if port == 1 && frame.len() > 6 && frame[..6] == R0 {
                frame[..6].copy_from_slice(&R1);
            }
            let (fate, sent) = bench.forward(port, &frame);
            for (port, sent) in &sent {
                check_sent(*port, sent);
                check_said(sent);
            }
            if fate == Fate::Sent {
                check_routed(&frame, &sent);
            }
            for (port, sent) in bench.pass(Duration::from_millis(wait)) {
                check_sent(port, &sent);
                check_said(&sent);
            }
            prop_assert!(bench.router.statistics().waiting <= 4);
            prop_assert!(bench.router.draft.capacity() < 70_000 && bench.router.spare.capacity() < 70_000);
        }
    }

    #[test]
    fn packets_that_were_made(octets in prop::collection::vec(any::<u8>(), 0..200), frame in frame(), link in 0_usize..4) {
        let link = [LinkType::RawIp, LinkType::Ipv4, LinkType::Ipv6, LinkType::Ethernet][link];
        let mut router = Bench::acquainted().router;
        let ip = frame.get(14..).unwrap_or_default();
        for octets in [&octets[..], &frame, ip] {
            let mut sent = 0;
            let fate = router.forward_made(link, octets, START, &mut |port, octets| {
                check_sent(port, octets);
                sent += 1;
            });
            prop_assert_eq!(sent > 0, matches!(fate, Fate::Sent | Fate::Waiting), "{:?}", fate);
        }
    }
}
