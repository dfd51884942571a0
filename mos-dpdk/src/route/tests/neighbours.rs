//! ARP and neighbour discovery.

use super::*;
use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, EtherType, Ethernet2Header, Icmpv6Header, Icmpv6Type, IpNumber,
    Ipv6Header, TransportSlice,
};

const ALL_NODES: &str = "ff02::1";
const SECOND: Duration = Duration::from_secs(1);

/// An ARP frame.
fn arp(operation: ArpOperation, to: Hardware, sender: (Hardware, &str), target: (Hardware, &str)) -> Vec<u8> {
    let v4 = |text: &str| text.parse::<Ipv4Addr>().unwrap().octets();
    let packet = ArpEthIpv4Packet {
        operation,
        sender_mac: sender.0,
        sender_ipv4: v4(sender.1),
        target_mac: target.0,
        target_ipv4: v4(target.1),
    };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(sender.0, to).arp(packet.into()).write(&mut frame).unwrap();
    frame
}

fn request(sender: (Hardware, &str), target: &str) -> Vec<u8> {
    arp(ArpOperation::REQUEST, ALL, sender, ([0; 6], target))
}

fn reply(sender: (Hardware, &str), target: (Hardware, &str)) -> Vec<u8> {
    arp(ArpOperation::REPLY, target.0, sender, target)
}

/// Reads an ARP frame.
fn read_arp(frame: &[u8]) -> ArpEthIpv4Packet {
    match SlicedPacket::from_ethernet(frame).unwrap().net.unwrap() {
        NetSlice::Arp(packet) => ArpEthIpv4Packet::try_from(packet.to_packet()).unwrap(),
        _ => panic!("no ARP"),
    }
}

/// A message of neighbour discovery.
struct Message<'a> {
    ends: [Hardware; 2],
    source: &'a str,
    destination: &'a str,
    hop_limit: u8,
    kind: Icmpv6Type,
    target: &'a str,
    options: Vec<u8>,
}

fn option(kind: u8, hardware: Hardware) -> Vec<u8> {
    [&[kind, 1][..], &hardware].concat()
}

impl Message<'_> {
    fn frame(&self) -> Vec<u8> {
        let v6 = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
        let (source, destination) = (v6(self.source), v6(self.destination));
        let body = [&v6(self.target)[..], &self.options].concat();
        let header = Icmpv6Header::with_checksum(self.kind, source, destination, &body).unwrap();
        let ip = Ipv6Header {
            payload_length: (header.header_len() + body.len()) as u16,
            next_header: IpNumber::IPV6_ICMP,
            hop_limit: self.hop_limit,
            source,
            destination,
            ..Ipv6Header::default()
        };
        let ethernet =
            Ethernet2Header { source: self.ends[0], destination: self.ends[1], ether_type: EtherType::IPV6 };
        [&ethernet.to_bytes()[..], &ip.to_bytes(), &header.to_bytes(), &body].concat()
    }
}

/// A question of host A for the router's address.
fn solicitation() -> Message<'static> {
    Message {
        ends: [A, [0x33, 0x33, 0xff, 0, 0, 1]],
        source: "fd01::2",
        destination: "ff02::1:ff00:1",
        hop_limit: 255,
        kind: Icmpv6Type::NeighborSolicitation,
        target: "fd01::1",
        options: option(1, A),
    }
}

/// An answer of host B to the router.
fn advertisement() -> Message<'static> {
    let flags = NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
    Message {
        ends: [B, R1],
        source: "fd02::2",
        destination: "fd02::1",
        hop_limit: 255,
        kind: Icmpv6Type::NeighborAdvertisement(flags),
        target: "fd02::2",
        options: option(2, B),
    }
}

/// What a message says: its kind, addresses, hop limit, target, and the option with its hardware address.
type Said = (Icmpv6Type, (IpAddr, IpAddr), u8, IpAddr, (u8, Hardware));

fn read_message(frame: &[u8]) -> Said {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (Some(NetSlice::Ipv6(v6)), Some(TransportSlice::Icmpv6(icmp))) = (packet.net, packet.transport)
    else {
        panic!("no ICMPv6");
    };
    let header = v6.header();
    assert!(icmp.is_checksum_valid(header.source(), header.destination()));
    let body = icmp.payload();
    let target: [u8; 16] = body[..16].try_into().unwrap();
    assert_eq!((body.len(), body[17]), (24, 1), "one option of one unit");
    let option = (body[16], body[18..].try_into().unwrap());
    (icmp.icmp_type(), addresses(frame), header.hop_limit(), Ipv6Addr::from(target).into(), option)
}

#[test]
fn an_ipv4_neighbour_is_asked_for_and_what_waits_follows() {
    let mut bench = Bench::new();
    let (fate, sent) = bench.forward(0, &a_to_b(64));
    assert_eq!((fate, sent.len(), sent[0].0), (Fate::Waiting, 1, 1));
    assert_eq!(stations(&sent[0].1), [ALL, R1]);
    let asked = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: R1,
        sender_ipv4: [10, 2, 0, 1],
        target_mac: [0; 6],
        target_ipv4: [10, 2, 0, 2],
    };
    assert_eq!(read_arp(&sent[0].1), asked);
    // The next one waits without another question.
    assert_eq!(bench.forward(0, &a_to_b(33)), (Fate::Waiting, vec![]));
    let (fate, sent) = bench.forward(1, &reply((B, "10.2.0.2"), (R1, "10.2.0.1")));
    assert_eq!((fate, sent.len()), (Fate::Learned, 2));
    for ((port, frame), hop_limit) in sent.iter().zip([63, 32]) {
        let mut expected = with_hop_limit(&a_to_b(64), hop_limit);
        expected[..12].copy_from_slice(&[B, R1].concat());
        assert_eq!((*port, frame), (1, &expected));
    }
    assert_eq!(bench.forward(0, &a_to_b(64)).0, Fate::Sent);
}

#[test]
fn an_ipv6_neighbour_is_asked_for_and_what_waits_follows() {
    let mut bench = Bench::new();
    let (fate, sent) = bench.forward(0, &a_to_b_v6(64));
    assert_eq!((fate, sent.len(), sent[0].0), (Fate::Waiting, 1, 1));
    assert_eq!(stations(&sent[0].1), [[0x33, 0x33, 0xff, 0, 0, 2], R1]);
    let (target, group) = (ip("fd02::2"), ip("ff02::1:ff00:2"));
    let asked = (Icmpv6Type::NeighborSolicitation, (ip("fd02::1"), group), 255, target, (1, R1));
    assert_eq!(read_message(&sent[0].1), asked);
    let (fate, sent) = bench.forward(1, &advertisement().frame());
    let mut expected = with_hop_limit(&a_to_b_v6(64), 63);
    expected[..12].copy_from_slice(&[B, R1].concat());
    assert_eq!((fate, sent), (Fate::Learned, vec![(1, expected)]));
    assert_eq!(bench.forward(0, &a_to_b_v6(64)).0, Fate::Sent);
}

#[test]
fn a_gateway_is_asked_for_in_the_place_of_what_is_behind_it() {
    let mut bench = Bench::new();
    let (_, sent) = bench.forward(0, &udp([A, R0], "10.1.0.2", "10.9.7.7", 64, b"x"));
    assert_eq!(read_arp(&sent[0].1).target_ipv4, [10, 2, 0, 9]);
    let (_, sent) = bench.forward(0, &udp([A, R0], "fd01::2", "2001:db8::7", 64, b"x"));
    // Its address is one of the link, and so is the one that asks: 2:0:0:0:0:11 with the universal bit turned (RFC
    // 4291, appendix A).
    let (_, ends, _, target, _) = read_message(&sent[0].1);
    assert_eq!((ends.0, target), (ip("fe80::ff:fe00:11"), ip("fe80::9")));
}

#[test]
fn own_addresses_are_told_to_those_who_ask() {
    let mut bench = Bench::new();
    let answer = |sender: (Hardware, [u8; 4])| ArpEthIpv4Packet {
        operation: ArpOperation::REPLY,
        sender_mac: R0,
        sender_ipv4: [10, 1, 0, 1],
        target_mac: sender.0,
        target_ipv4: sender.1,
    };
    // A host, and one that looks whether the address is in use (RFC 5227, 2.1.1).
    for (sender, octets) in [("10.1.0.2", [10, 1, 0, 2]), ("0.0.0.0", [0; 4])] {
        let (fate, sent) = bench.forward(0, &request((A, sender), "10.1.0.1"));
        assert_eq!((fate, sent.len(), sent[0].0), (Fate::Answered, 1, 0));
        assert_eq!((stations(&sent[0].1), read_arp(&sent[0].1)), ([A, R0], answer((A, octets))));
    }
    // Not those of other ports or stations.
    for target in ["10.2.0.1", "10.1.0.3"] {
        let fate = Fate::Dropped(RouteDrop::OtherTarget);
        assert_eq!(bench.forward(0, &request((A, "10.1.0.2"), target)), (fate, vec![]));
    }
    let flags = |solicited| NeighborAdvertisementHeader { router: true, solicited, r#override: true };
    for target in ["fd01::1", "fe80::ff:fe00:10"] {
        let (fate, sent) = bench.forward(0, &Message { target, ..solicitation() }.frame());
        assert_eq!((fate, sent.len(), sent[0].0), (Fate::Answered, 1, 0), "{target}");
        let ends = (ip(target), ip("fd01::2"));
        let said = (Icmpv6Type::NeighborAdvertisement(flags(true)), ends, 255, ip(target), (2, R0));
        assert_eq!((stations(&sent[0].1), read_message(&sent[0].1)), ([A, R0], said));
    }
    // A host that wants the address for itself (RFC 4862, 5.4): all are to hear that it is taken.
    let wants = Message { source: "::", options: vec![], ..solicitation() };
    let (fate, sent) = bench.forward(0, &wants.frame());
    let ends = (ip("fd01::1"), ip(ALL_NODES));
    let said = (Icmpv6Type::NeighborAdvertisement(flags(false)), ends, 255, ip("fd01::1"), (2, R0));
    assert_eq!((fate, read_message(&sent[0].1)), (Fate::Answered, said));
    assert_eq!(stations(&sent[0].1), [[0x33, 0x33, 0, 0, 0, 1], R0]);
    let other = Message { target: "fd01::77", ..solicitation() };
    assert_eq!(bench.forward(0, &other.frame()), (Fate::Dropped(RouteDrop::OtherTarget), vec![]));
}

#[test]
fn who_asks_the_router_is_known_to_it_and_is_asked_back_once() {
    let to_a = udp([B, R1], "10.2.0.2", "10.1.0.2", 64, b"x");
    let to_a_v6 = udp([B, R1], "fd02::2", "fd01::2", 64, b"x");
    let questions = [(request((A, "10.1.0.2"), "10.1.0.1"), to_a), (solicitation().frame(), to_a_v6)];
    for (question, packet) in questions {
        let mut bench = Bench::new();
        assert_eq!(bench.forward(0, &question).0, Fate::Answered);
        let (fate, sent) = bench.forward(1, &packet);
        assert_eq!((fate, sent.len()), (Fate::Sent, 2));
        // The packet, and a question to the station alone.
        assert!(sent.iter().all(|(port, frame)| *port == 0 && stations(frame) == [A, R0]));
        assert_eq!(bench.forward(1, &packet).1.len(), 1);
    }
    // A question that comes while a packet waits is as good as an answer.
    let mut bench = Bench::new();
    let packet = udp([B, R1], "10.2.0.2", "10.1.0.2", 64, b"x");
    assert_eq!(bench.forward(1, &packet).0, Fate::Waiting);
    let (fate, sent) = bench.forward(0, &request((A, "10.1.0.2"), "10.1.0.1"));
    assert_eq!((fate, sent.len()), (Fate::Answered, 2));
    // Strangers on the link are not neighbours.
    let mut bench = Bench::new();
    assert_eq!(bench.forward(0, &request((EVIL, "10.2.0.2"), "10.1.0.1")).0, Fate::Answered);
    assert_eq!(bench.forward(0, &a_to_b(64)).0, Fate::Waiting);
}

#[test]
fn what_nobody_asked_for_changes_nothing() {
    let ask = NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
    let lie = |kind| Message { ends: [EVIL, R1], kind, options: option(2, EVIL), ..advertisement() }.frame();
    let solicited = lie(Icmpv6Type::NeighborAdvertisement(ask));
    let loud =
        lie(Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader { solicited: false, ..ask }));
    let asking = Message {
        ends: [EVIL, R1],
        source: "fd02::2",
        target: "fd02::1",
        options: option(1, EVIL),
        ..solicitation()
    };
    let v4 = [
        reply((EVIL, "10.2.0.2"), (R1, "10.2.0.1")),
        reply((EVIL, "10.2.0.2"), (ALL, "10.2.0.2")),
        request((EVIL, "10.2.0.2"), "10.2.0.2"),
        request((EVIL, "10.2.0.2"), "10.2.0.1"),
    ];
    let truths = [reply((B, "10.2.0.2"), (R1, "10.2.0.1")), advertisement().frame()];
    let cases =
        [(a_to_b(64), &truths[0], &v4[..]), (a_to_b_v6(64), &truths[1], &[solicited, loud, asking.frame()])];
    for (packet, truth, lies) in cases {
        let mut bench = Bench::new();
        // Before anybody was asked nothing is taken but questions, which are not among these.
        for lie in &lies[..2] {
            assert_eq!(bench.forward(1, lie), (Fate::Dropped(RouteDrop::Unasked), vec![]));
        }
        assert_eq!(bench.forward(0, &packet).0, Fate::Waiting);
        assert_eq!(bench.forward(1, truth).0, Fate::Learned);
        for lie in lies {
            let (fate, _) = bench.forward(1, lie);
            assert_ne!(fate, Fate::Learned);
            let (fate, sent) = bench.forward(0, &packet);
            assert_eq!((fate, stations(&sent[0].1)), (Fate::Sent, [B, R1]));
        }
        // It made the router ask the one it knows, though not at once: the last question is not a second ago.
        bench.pass(2 * SECOND);
        bench.forward(1, &lies[0]);
        let (_, sent) = bench.forward(0, &packet);
        assert_eq!(sent.len(), 2);
        assert!(sent.iter().all(|(_, frame)| stations(frame) == [B, R1]), "packet and question");
        assert_eq!(
            bench.forward(1, &lies[0]).0,
            Fate::Dropped(RouteDrop::Unasked),
            "of another station than was asked"
        );
        assert_eq!(bench.forward(1, truth).0, Fate::Learned);
    }
}

#[test]
fn nobody_else_has_the_routers_addresses() {
    let kind = Icmpv6Type::NeighborAdvertisement(NeighborAdvertisementHeader {
        router: false,
        solicited: false,
        r#override: true,
    });
    let told =
        Message { ends: [EVIL, R0], target: "fd01::1", kind, options: option(2, EVIL), ..advertisement() };
    let conflicts = [
        request((EVIL, "10.1.0.1"), "10.1.0.1"),
        reply((EVIL, "10.1.0.1"), (R0, "10.1.0.1")),
        told.frame(),
        Message { source: "fd01::1", options: option(1, EVIL), ..solicitation() }.frame(),
    ];
    for frame in conflicts {
        assert_eq!(Bench::new().forward(0, &frame), (Fate::Dropped(RouteDrop::AddressConflict), vec![]));
    }
}

#[test]
fn messages_that_break_their_rules_are_not_heard() {
    let good = request((A, "10.1.0.2"), "10.1.0.1");
    let changed = |at: usize, octet: u8| {
        let mut frame = good.clone();
        frame[at] = octet;
        frame
    };
    let flags = NeighborAdvertisementHeader { router: false, solicited: true, r#override: true };
    let mut sum = solicitation().frame();
    sum[56] ^= 1;
    let bad = [
        good[..41].to_vec(),
        changed(15, 6),
        changed(16, 9),
        changed(18, 8),
        changed(19, 16),
        changed(21, 3),
        changed(22, 1),
        sum,
        // RFC 4861, 7.1.1 and 7.1.2.
        Message { hop_limit: 254, ..solicitation() }.frame(),
        Message { target: "ff02::7", ..solicitation() }.frame(),
        Message { source: "::", ..solicitation() }.frame(),
        Message { source: "::", destination: "fd01::1", options: vec![], ..solicitation() }.frame(),
        Message { options: vec![1, 0, 0, 0, 0, 0, 0, 0], ..solicitation() }.frame(),
        Message { options: vec![1, 2, 0, 0, 0, 0, 0, 0], ..solicitation() }.frame(),
        Message { options: vec![1], ..solicitation() }.frame(),
        Message { options: option(1, ALL), ..solicitation() }.frame(),
        Message {
            destination: ALL_NODES,
            kind: Icmpv6Type::NeighborAdvertisement(flags),
            options: option(2, A),
            ..solicitation()
        }
        .frame(),
    ];
    for (n, frame) in bad.iter().enumerate() {
        let fate = Fate::Dropped(RouteDrop::BadNeighbour);
        assert_eq!(Bench::new().forward(0, frame), (fate, vec![]), "case {n}");
    }
    // Other options are passed over.
    let options = [&[14, 1, 1, 2, 3, 4, 5, 6][..], &option(1, A)].concat();
    assert_eq!(Bench::new().forward(0, &Message { options, ..solicitation() }.frame()).0, Fate::Answered);
}

#[test]
fn a_silent_neighbour_is_asked_three_times_a_second_apart() {
    for packet in [a_to_b(64), a_to_b_v6(64)] {
        let mut bench = Bench::with(&host_a(), Limits::default());
        let mut times = Vec::new();
        for _ in 0..40 {
            let (_, sent) = bench.forward(0, &packet);
            times.extend(std::iter::repeat_n(bench.now, sent.len()));
            let later = bench.pass(Duration::from_millis(100));
            let questions = later.iter().filter(|(port, _)| *port == 1).count();
            times.extend(std::iter::repeat_n(bench.now, questions));
        }
        assert!(times.windows(2).all(|pair| pair[1].since(pair[0]) >= SECOND), "{times:?}");
        assert!(times.len() >= 4, "{times:?}");
        assert_eq!(bench.router.statistics().asked, times.len() as u64);
    }
}

#[test]
fn a_neighbour_that_went_away_is_asked_alone_and_then_with_all() {
    let answers =
        [(a_to_b(64), reply((B, "10.2.0.2"), (R1, "10.2.0.1"))), (a_to_b_v6(64), advertisement().frame())];
    for (packet, answer) in answers {
        let mut bench = Bench::new();
        bench.forward(0, &packet);
        bench.forward(1, &answer);
        bench.pass(Duration::from_secs(29));
        assert_eq!(bench.forward(0, &packet).1.len(), 1, "it is believed to be there for 30 seconds");
        assert_eq!(bench.router.next_timeout(), None);
        bench.pass(2 * SECOND);
        let (fate, sent) = bench.forward(0, &packet);
        assert_eq!((fate, sent.len()), (Fate::Sent, 2));
        let rest = bench.pass(Duration::from_millis(2500));
        assert!(rest.len() == 2 && rest.iter().all(|(port, frame)| *port == 1 && stations(frame) == [B, R1]));
        assert_eq!(bench.forward(0, &packet).1.len(), 1, "until then packets go where they went");
        bench.pass(SECOND);
        let (fate, sent) = bench.forward(0, &packet);
        assert_eq!((fate, stations(&sent[0].1)[0][0] & 1), (Fate::Waiting, 1), "all are asked");
    }
}

#[test]
fn an_interface_without_an_address_asks_as_nobody() {
    let interface = Interface { hardware: R0, addresses: vec![], mtu: 1500 };
    let mut router =
        Router::new(&[interface], &[route("0.0.0.0", 0, 0, None)], &[], Limits::default()).unwrap();
    let mut sent = Vec::new();
    let fate = router.forward(0, &a_to_b(64), START, &mut |_, octets| sent.push(octets.to_vec()));
    assert_eq!((fate, read_arp(&sent[0]).sender_ipv4), (Fate::Waiting, [0; 4]));
}

#[test]
fn other_workers_overhear_answers_and_do_not_repeat_them() {
    let answers =
        [(a_to_b(64), reply((B, "10.2.0.2"), (R1, "10.2.0.1"))), (a_to_b_v6(64), advertisement().frame())];
    for (packet, answer) in answers {
        let mut bench = Bench::new();
        bench.forward(0, &packet);
        assert!(is_about_neighbours(&answer) && !is_about_neighbours(&packet));
        let mut sent = Vec::new();
        bench.router.overhear(1, &answer, START, &mut |port, _| sent.push(port));
        assert_eq!(sent, [1], "what waited");
        bench.check();
    }
    let mut bench = Bench::acquainted();
    let routed =
        Message { ends: [A, R0], source: "fd01::2", destination: "fd02::2", ..solicitation() }.frame();
    for frame in [request((A, "10.1.0.2"), "10.1.0.1"), solicitation().frame(), a_to_b(64), routed.clone()] {
        bench.router.overhear(0, &frame, START, &mut |_, _| panic!("sent"));
    }
    assert_eq!(bench.forward(0, &routed).0, Fate::Sent, "it is a packet as others");
}
