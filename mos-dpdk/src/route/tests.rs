//! The rules of the RFCs, one by one: frames are built, and what is sent is read back, by another implementation
//! (etherparse).

mod neighbours;

mod reports;

mod survive;

use super::*;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

type Hardware = [u8; 6];

/// The router's stations, and hosts: A behind port 0, B behind port 1, and the gateway there.
const R0: Hardware = [2, 0, 0, 0, 0, 0x10];
const R1: Hardware = [2, 0, 0, 0, 0, 0x11];
const A: Hardware = [2, 0, 0, 0, 0, 0xa];
const B: Hardware = [2, 0, 0, 0, 0, 0xb];
const GATEWAY: Hardware = [2, 0, 0, 0, 0, 0xc];
const EVIL: Hardware = [2, 0, 0, 0, 0, 0xee];
const ALL: Hardware = [0xff; 6];
const MTUS: [u16; 2] = [1500, 1280];
const START: Instant = Instant(1_000_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn interfaces() -> [Interface; 2] {
    let of = |hardware, v4, v6, mtu| Interface { hardware, addresses: vec![(ip(v4), 24), (ip(v6), 64)], mtu };
    [of(R0, "10.1.0.1", "fd01::1", MTUS[0]), of(R1, "10.2.0.1", "fd02::1", MTUS[1])]
}

fn route(network: &str, bits: u8, port: u16, gateway: Option<&str>) -> Route {
    Route { network: ip(network), bits, port, gateway: gateway.map(ip) }
}

fn routes() -> [Route; 2] {
    [route("10.9.0.0", 16, 1, Some("10.2.0.9")), route("::", 0, 1, Some("fe80::9"))]
}

/// Host A, as one that need not be asked.
fn host_a() -> [Neighbour; 2] {
    let known = [("10.1.0.2", 32), ("fd01::2", 128)];
    known.map(|(address, bits)| Neighbour { network: ip(address), bits, hardware: A })
}

/// A router whose every step is checked.
struct Bench {
    router: Router,
    now: Instant,
    given: u64,
}

type Sent = Vec<(u16, Vec<u8>)>;

impl Bench {
    fn new() -> Self {
        Self::with(&[], Limits::default())
    }

    fn with(neighbours: &[Neighbour], limits: Limits) -> Self {
        let router = Router::new(&interfaces(), &routes(), neighbours, limits).unwrap();
        Bench { router, now: START, given: 0 }
    }

    /// A router that knows both hosts and the gateway.
    fn acquainted() -> Self {
        let known = [("10.1.0.2", A), ("fd01::2", A), ("10.2.0.2", B), ("fd02::2", B)];
        let gateways = [("10.2.0.9", GATEWAY), ("fe80::9", GATEWAY)];
        let neighbour = |(address, hardware): &(&str, Hardware)| {
            let network = ip(address);
            Neighbour { network, bits: if network.is_ipv4() { 32 } else { 128 }, hardware: *hardware }
        };
        let known: Vec<Neighbour> = known.iter().chain(&gateways).map(neighbour).collect();
        Self::with(&known, Limits::default())
    }

    fn forward(&mut self, port: u16, frame: &[u8]) -> (Fate, Sent) {
        let mut sent = Vec::new();
        let fate = self
            .router
            .forward(port, frame, self.now, &mut |port, octets| sent.push((port, octets.to_vec())));
        self.given += 1;
        self.check();
        (fate, sent)
    }

    /// Lets time pass, with all time-outs at their times.
    fn pass(&mut self, time: Duration) -> Sent {
        let end = self.now + time;
        let mut sent = Vec::new();
        while let Some(next) = self.router.next_timeout().filter(|next| *next <= end) {
            assert!(next >= self.now || sent.is_empty());
            self.now = next.max(self.now);
            self.router.handle_timeout(self.now, &mut |port, octets| sent.push((port, octets.to_vec())));
            self.check();
        }
        self.now = end;
        sent
    }

    /// Everything is counted once.
    fn check(&self) {
        self.router.neighbours.check();
        let stats = self.router.statistics();
        let dropped: u64 = stats.drops().map(|(_, count)| count).sum();
        let made = stats.errors + stats.echoes;
        let counted = stats.sent + stats.waiting + stats.answered + stats.learned + dropped;
        assert_eq!(self.given + made, counted, "{stats:?}");
    }

    fn dropped(&self, reason: RouteDrop) -> u64 {
        self.router.statistics().dropped(reason)
    }
}

/// An Ethernet frame with a UDP datagram.
fn udp(ends: [Hardware; 2], source: &str, destination: &str, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(ends[0], ends[1]);
    let builder = match (ip(source), ip(destination)) {
        (IpAddr::V4(s), IpAddr::V4(d)) => builder.ipv4(s.octets(), d.octets(), hop_limit),
        (IpAddr::V6(s), IpAddr::V6(d)) => builder.ipv6(s.octets(), d.octets(), hop_limit),
        _ => panic!("two families"),
    };
    let mut frame = Vec::new();
    builder.udp(5000, 53).write(&mut frame, payload).unwrap();
    frame
}

fn a_to_b(hop_limit: u8) -> Vec<u8> {
    udp([A, R0], "10.1.0.2", "10.2.0.2", hop_limit, b"a question")
}

fn a_to_b_v6(hop_limit: u8) -> Vec<u8> {
    udp([A, R0], "fd01::2", "fd02::2", hop_limit, b"a question")
}

/// The sum of 16-bit words, one after the other.
fn naive_sum(octets: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in octets.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// Hardware addresses of a frame: destination and source.
fn stations(frame: &[u8]) -> [Hardware; 2] {
    [frame[..6].try_into().unwrap(), frame[6..12].try_into().unwrap()]
}

/// Sets the time to live of a frame's IPv4 packet, or the hop limit, and the sum that covers it.
fn with_hop_limit(frame: &[u8], hop_limit: u8) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[14] >> 4 == 6 {
        frame[21] = hop_limit;
        return frame;
    }
    frame[22] = hop_limit;
    frame[24..26].fill(0);
    let end = 14 + usize::from(frame[14] & 15) * 4;
    let sum = !naive_sum(&frame[14..end]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The source and destination of a frame's packet, as another implementation reads it.
fn addresses(frame: &[u8]) -> (IpAddr, IpAddr) {
    match SlicedPacket::from_ethernet(frame).unwrap().net.unwrap() {
        NetSlice::Ipv4(v4) => (v4.header().source_addr().into(), v4.header().destination_addr().into()),
        NetSlice::Ipv6(v6) => (v6.header().source_addr().into(), v6.header().destination_addr().into()),
        NetSlice::Arp(_) => panic!("no packet"),
    }
}

#[test]
fn a_packet_leaves_with_one_hop_less_and_else_unchanged() {
    for frame in [a_to_b(64), a_to_b_v6(64), a_to_b(2), a_to_b_v6(2)] {
        let hop_limit = if frame[14] >> 4 == 4 { frame[22] } else { frame[21] };
        let mut bench = Bench::acquainted();
        let (fate, sent) = bench.forward(0, &frame);
        let mut expected = with_hop_limit(&frame, hop_limit - 1);
        expected[..6].copy_from_slice(&B);
        expected[6..12].copy_from_slice(&R1);
        assert_eq!((fate, sent), (Fate::Sent, vec![(1, expected)]));
    }
}

#[test]
fn padding_stays_behind() {
    let mut bench = Bench::acquainted();
    let frame = a_to_b(9);
    let padded = [&frame[..], &[0; 20]].concat();
    assert_eq!(bench.forward(0, &padded), bench.forward(0, &frame));
}

#[test]
fn the_longest_prefix_leads_to_the_link_or_to_a_gateway() {
    let mut bench = Bench::acquainted();
    let cases = [
        ("10.1.0.2", "10.2.0.2", 1, B),
        ("10.1.0.2", "10.9.255.1", 1, GATEWAY),
        ("10.2.0.2", "10.1.0.2", 0, A),
        ("fd01::2", "fd02::2", 1, B),
        ("fd01::2", "2001:db8::1", 1, GATEWAY),
        ("2001:db8::1", "fd01::2", 0, A),
        // Back by the port that it came by: there is no other way.
        ("10.1.0.77", "10.1.0.2", 0, A),
    ];
    for (source, destination, port, hardware) in cases {
        let (fate, sent) = bench.forward(0, &udp([A, R0], source, destination, 64, b"x"));
        assert_eq!(fate, Fate::Sent, "{source} {destination}");
        assert_eq!((sent[0].0, stations(&sent[0].1)), (port, [hardware, [R0, R1][usize::from(port)]]));
        assert_eq!(addresses(&sent[0].1), (ip(source), ip(destination)));
    }
}

#[test]
fn what_is_not_to_be_routed_is_not() {
    use RouteDrop as D;
    let cases = [
        ("10.1.0.2", "10.2.0.255", D::Broadcast),
        ("10.1.0.2", "10.2.0.0", D::Broadcast),
        ("10.1.0.2", "255.255.255.255", D::MartianDestination),
        ("10.1.0.2", "127.0.0.1", D::MartianDestination),
        ("10.1.0.2", "0.0.0.0", D::MartianDestination),
        ("10.1.0.2", "240.0.0.1", D::MartianDestination),
        ("10.1.0.2", "224.0.0.251", D::Multicast),
        ("10.1.0.2", "169.254.7.7", D::LinkLocal),
        ("10.1.0.2", "10.1.0.1", D::Local),
        ("10.1.0.2", "10.2.0.1", D::Local),
        ("10.1.0.2", "10.3.0.1", D::NoRoute),
        ("0.0.0.0", "10.2.0.2", D::MartianSource),
        ("127.0.0.1", "10.2.0.2", D::MartianSource),
        ("224.0.0.1", "10.2.0.2", D::MartianSource),
        ("255.255.255.255", "10.2.0.2", D::MartianSource),
        ("10.1.0.255", "10.2.0.2", D::MartianSource),
        ("10.2.0.1", "10.2.0.2", D::MartianSource),
        ("169.254.7.7", "10.2.0.2", D::LinkLocal),
        ("fd01::2", "::", D::MartianDestination),
        ("fd01::2", "::1", D::MartianDestination),
        ("fd01::2", "::ffff:10.2.0.2", D::MartianDestination),
        ("fd01::2", "ff0e::1", D::Multicast),
        ("fd01::2", "fe80::2", D::LinkLocal),
        ("fd01::2", "fd02::1", D::Local),
        ("::", "fd02::2", D::MartianSource),
        ("::1", "fd02::2", D::MartianSource),
        ("ff02::1", "fd02::2", D::MartianSource),
        ("fd02::1", "fd02::2", D::MartianSource),
        ("fe80::2", "fd02::2", D::LinkLocal),
    ];
    for (source, destination, reason) in cases {
        let mut bench = Bench::acquainted();
        let (fate, sent) = bench.forward(0, &udp([A, R0], source, destination, 64, b"x"));
        assert_eq!(fate, Fate::Dropped(reason), "{source} {destination}");
        // Only of the route that is missing anybody is told.
        assert_eq!(sent.len(), usize::from(reason == D::NoRoute), "{source} {destination}");
        assert_eq!(bench.dropped(reason), 1);
    }
}

#[test]
fn frames_are_for_the_router_and_of_a_kind_that_it_routes() {
    use RouteDrop as D;
    let (frame, mut long) = (a_to_b(64), a_to_b(64));
    long[17] += 1;
    let mut broken = frame.clone();
    broken[24] ^= 1;
    let mut options = frame.clone();
    options[14] = 0x44;
    let tagged = [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat();
    let to = |hardware: Hardware| [&hardware[..], &frame[6..]].concat();
    let kind = |kind: [u8; 2]| [&frame[..12], &kind, &frame[14..]].concat();
    let cases = [
        (to(B), D::OtherStation),
        (to(R1), D::OtherStation),
        (to(ALL), D::LinkBroadcast),
        (to([1, 0, 0x5e, 0, 0, 1]), D::LinkBroadcast),
        (tagged, D::Tagged),
        (kind([0x88, 0xcc]), D::NotIp),
        (kind([0, 30]), D::NotIp),
        (kind([0x86, 0xdd]), D::BadHeader),
        (long, D::BadHeader),
        (options, D::BadHeader),
        (broken, D::IpChecksum),
        (frame[..13].to_vec(), D::FrameTooShort),
        (frame[..33].to_vec(), D::BadHeader),
        (frame[..frame.len() - 1].to_vec(), D::BadHeader),
        (vec![], D::FrameTooShort),
    ];
    for (octets, reason) in cases {
        assert_eq!(Bench::acquainted().forward(0, &octets), (Fate::Dropped(reason), vec![]), "{octets:02x?}");
    }
    assert_eq!(Bench::acquainted().forward(2, &frame), (Fate::Dropped(D::NoPort), vec![]));
}

#[test]
fn what_was_made_is_routed_as_it_is() {
    let frame = udp([[7; 6], [8; 6]], "10.1.0.2", "10.9.0.2", 1, b"made");
    let kinds =
        [(LinkType::Ethernet, &frame[..]), (LinkType::RawIp, &frame[14..]), (LinkType::Ipv4, &frame[14..])];
    for (link, octets) in kinds {
        let mut bench = Bench::acquainted();
        let mut sent = Vec::new();
        let fate = bench
            .router
            .forward_made(link, octets, START, &mut |port, octets| sent.push((port, octets.to_vec())));
        let expected = [&GATEWAY[..], &R1, &frame[12..]].concat();
        assert_eq!((fate, sent), (Fate::Sent, vec![(1, expected)]));
    }
    let refused = [
        (LinkType::Ipv6, &frame[14..], RouteDrop::BadHeader),
        (LinkType::Null, &frame[..], RouteDrop::NotIp),
        (LinkType::RawIp, &frame[..20], RouteDrop::BadHeader),
    ];
    for (link, octets, reason) in refused {
        let fate = Bench::acquainted().router.forward_made(link, octets, START, &mut |_, _| panic!("sent"));
        assert_eq!(fate, Fate::Dropped(reason));
    }
}

#[test]
fn networks_without_a_broadcast_address_have_none() {
    let interface = |hardware, address: &str, bits| Interface {
        hardware,
        addresses: vec![(ip(address), bits)],
        mtu: 1500,
    };
    let interfaces = [interface(R0, "10.0.0.2", 31), interface(R1, "10.7.0.1", 32)];
    let known = Neighbour { network: ip("10.0.0.2"), bits: 31, hardware: B };
    let mut router = Router::new(&interfaces, &[], &[known], Limits::default()).unwrap();
    let mut ports = Vec::new();
    let frame = udp([A, R1], "10.9.9.9", "10.0.0.3", 64, b"x");
    assert_eq!(router.forward(1, &frame, START, &mut |port, _| ports.push(port)), Fate::Sent);
    assert_eq!(ports, [0]);
}

#[test]
fn a_router_is_made_from_a_configuration() {
    let text =
        "mos {\nroute_table {\n10.9.0.0/16 far 10.2.0.9\n}\narp_table {\n10.2.0.0/28 2:0:0:0:0:c\n}\n}\n";
    let config = crate::config::Config::parse(text).unwrap();
    let routes: Vec<Route> = config.mos.routes.iter().map(|line| Route::by(1, line)).collect();
    let known: Vec<Neighbour> = config.mos.arp.iter().copied().map(Neighbour::from).collect();
    let mut router = Router::new(&interfaces(), &routes, &known, Limits::default()).unwrap();
    let mut sent = Vec::new();
    for destination in ["10.9.1.1", "10.2.0.7"] {
        let frame = udp([A, R0], "10.1.0.2", destination, 64, b"x");
        let fate =
            router.forward(0, &frame, START, &mut |port, octets| sent.push((port, stations(octets)[0])));
        assert_eq!(fate, Fate::Sent);
    }
    assert_eq!(sent, [(1, GATEWAY); 2]);
}

#[test]
fn what_cannot_be_a_router_is_refused_with_a_sentence() {
    use RouteError as E;
    let refusal = |interfaces: &[Interface], routes: &[Route], neighbours: &[Neighbour]| {
        let error = Router::new(interfaces, routes, neighbours, Limits::default()).unwrap_err();
        assert!(error.to_string().len() > 20, "{error}");
        error
    };
    let port = |change: &dyn Fn(&mut Interface)| {
        let mut interfaces = interfaces();
        change(&mut interfaces[1]);
        refusal(&interfaces, &[], &[])
    };
    assert_eq!(port(&|i| i.hardware = [0; 6]), E::BadHardware { port: 1 });
    assert_eq!(port(&|i| i.hardware = ALL), E::BadHardware { port: 1 });
    assert_eq!(port(&|i| i.mtu = 1279), E::BadMtu { port: 1, mtu: 1279 });
    let address = |address: &'static str, bits| port(&move |i| i.addresses = vec![(ip(address), bits)]);
    assert_eq!(address("10.3.0.1", 33), E::BadPrefix { address: ip("10.3.0.1"), bits: 33 });
    assert_eq!(address("10.1.0.1", 32), E::AddressTwice { address: ip("10.1.0.1") });
    assert_eq!(address("10.1.0.3", 24), E::TwoWays { network: ip("10.1.0.3"), bits: 24 });
    for bad in ["127.0.0.1", "224.0.0.1", "0.0.0.0", "::1", "ff02::1", "10.3.0.255", "10.3.0.0"] {
        assert_eq!(address(bad, 24), E::BadAddress { address: ip(bad) });
    }
    let by = |route: Route| refusal(&interfaces(), &[route], &[]);
    assert_eq!(by(route("10.3.0.0", 24, 2, None)), E::NoSuchPort { port: 2 });
    assert_eq!(by(route("10.3.0.0", 33, 1, None)), E::BadPrefix { address: ip("10.3.0.0"), bits: 33 });
    assert_eq!(by(route("224.0.0.0", 4, 1, None)), E::BadAddress { address: ip("224.0.0.0") });
    assert_eq!(by(route("fe80::", 64, 1, None)), E::BadAddress { address: ip("fe80::") });
    for bad in ["10.1.0.9", "10.2.0.1", "fe80::9"] {
        assert_eq!(by(route("10.3.0.0", 24, 1, Some(bad))), E::BadGateway { port: 1, gateway: ip(bad) });
    }
    assert_eq!(by(route("10.1.0.0", 24, 1, None)), E::TwoWays { network: ip("10.1.0.0"), bits: 24 });
    let bad = Neighbour { network: ip("10.1.0.9"), bits: 32, hardware: ALL };
    assert_eq!(refusal(&interfaces(), &[], &[bad]), E::BadNeighbour { address: ip("10.1.0.9") });
    let limits = Limits { waiting: 0, ..Limits::default() };
    assert_eq!(Router::new(&interfaces(), &[], &[], limits).unwrap_err(), E::NoRoom);
    let repeated = [route("10.1.0.0", 24, 0, None), routes()[0], routes()[0]];
    assert!(Router::new(&interfaces(), &repeated, &[], Limits::default()).is_ok());
}

#[test]
fn every_reason_has_a_name_of_its_own_and_a_sentence() {
    let names: std::collections::HashSet<_> = RouteDrop::ALL.iter().map(|reason| reason.symbol()).collect();
    assert_eq!(names.len(), RouteDrop::ALL.len());
    assert!(RouteDrop::ALL.iter().all(|r| r.sentence().ends_with('.') && !r.symbol().contains(' ')));
}
