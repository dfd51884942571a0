use super::*;
use mos_flow::testing::Exchange;
use mos_flow::{Instant, LinkType, Side, Sides};
use proptest::prelude::*;
use std::collections::HashSet;
use tcp_reasm::Flags;

/// The hash by its definition, bit for bit.
fn by_definition(key: &[u8; 40], input: &[u8]) -> u32 {
    let bit = |octets: &[u8], at: usize| u32::from(octets[at / 8] >> (7 - at % 8) & 1);
    (0..input.len() * 8).filter(|at| bit(input, *at) == 1).fold(0, |hash, at| {
        let window = (at..at + 32).fold(0, |window, at| window << 1 | bit(key, at));
        hash ^ window
    })
}

fn input(source: SocketAddr, destination: SocketAddr, ports: bool) -> Vec<u8> {
    let mut octets = Vec::new();
    for end in [source, destination] {
        match end.ip() {
            IpAddr::V4(v4) => octets.extend(v4.octets()),
            IpAddr::V6(v6) => octets.extend(v6.octets()),
        }
    }
    for end in [source, destination].iter().filter(|_| ports) {
        octets.extend(end.port().to_be_bytes());
    }
    octets
}

/// The key and the answers that Microsoft publishes for verifying implementations of receive-side scaling.
const PUBLISHED_KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];
const PUBLISHED: [(&str, &str, u32, u32); 8] = [
    ("66.9.149.187:2794", "161.142.100.80:1766", 0x323e_8fc2, 0x51cc_c178),
    ("199.92.111.2:14230", "65.69.140.83:4739", 0xd718_262a, 0xc626_b0ea),
    ("24.19.198.95:12898", "12.22.207.184:38024", 0xd2d0_a5de, 0x5c2b_394a),
    ("38.27.205.30:48228", "209.142.163.6:2217", 0x8298_9176, 0xafc7_327f),
    ("153.39.163.191:44251", "202.188.127.2:1303", 0x5d18_09c5, 0x10e8_28a2),
    ("[3ffe:2501:200:1fff::7]:2794", "[3ffe:2501:200:3::1]:1766", 0x2cc1_8cd5, 0x4020_7d3d),
    ("[3ffe:501:8::260:97ff:fe40:efab]:14230", "[ff02::1]:4739", 0x0f0c_461c, 0xdde5_1bbf),
    (
        "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251",
        "[fe80::200:f8ff:fe21:67cf]:38024",
        0x4b61_e985,
        0x02d1_feef,
    ),
];

#[test]
fn the_definition_gives_the_published_answers_and_the_code_what_the_definition_gives() {
    for (source, destination, addresses, ports) in PUBLISHED {
        let (s, d): (SocketAddr, SocketAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        assert_eq!(by_definition(&PUBLISHED_KEY, &input(s, d, false)), addresses, "{source}");
        assert_eq!(by_definition(&PUBLISHED_KEY, &input(s, d, true)), ports, "{source}");
        // The same with the symmetric key.
        assert_eq!(hash(s, d), by_definition(&SYMMETRIC_KEY, &input(s, d, true)), "{source}");
        assert_eq!(
            hash_of_addresses(s.ip(), d.ip()),
            by_definition(&SYMMETRIC_KEY, &input(s, d, false)),
            "{source}"
        );
    }
}

#[test]
fn hashes_are_many_and_queues_even() {
    let all: HashSet<u32> = (0..=u16::MAX).map(toeplitz).collect();
    assert_eq!(all.len(), 1 << 16, "no two words have one hash");
    for queues in [1, 2, 3, 4, 8, 12, 16, 64] {
        let mut filled = vec![0_u32; queues as usize];
        for word in 0..=u16::MAX {
            filled[queue(toeplitz(word), queues) as usize] += 1;
        }
        // 128 entries of the map, dealt out in turn, each with 512 words.
        let fair = |n: &u32| *n == 128 / queues * 512 || *n == 128_u32.div_ceil(queues) * 512;
        assert!(filled.iter().all(fair), "{queues}: {filled:?}");
    }
    assert_eq!(queue(u32::MAX, 0), 0);
}

/// Packets of both sides of a connection between these two.
fn connection(client: SocketAddr, server: SocketAddr) -> Vec<Vec<u8>> {
    let mut exchange = Exchange::new(client, server, Sides { client: 1, server: 2 });
    let mut packets = exchange.handshake().to_vec();
    for side in [Side::Client, Side::Server] {
        packets.push(exchange.segment_at(side, 2, 3, Flags::ACK, b"payload"));
    }
    packets
}

/// Who of `of` takes which frames.
fn takers(of: u32, frames: &[Frame<'_>]) -> Vec<Vec<u32>> {
    let shares = (0..of).map(|rank| Share::new(rank, of).unwrap());
    let mut splitters: Vec<Splitter> = shares.map(Splitter::new).collect();
    let takers = |frame| (0..of).filter(|rank| splitters[*rank as usize].takes(frame)).collect();
    frames.iter().map(takers).collect()
}

fn addresses() -> impl Strategy<Value = (SocketAddr, SocketAddr)> {
    let v4 = |a: [u8; 4], p| SocketAddr::new(a.into(), p);
    let v6 = |a: [u8; 16], p| SocketAddr::new(a.into(), p);
    prop_oneof![
        any::<([u8; 4], u16, [u8; 4], u16)>().prop_map(move |(a, p, b, q)| (v4(a, p), v4(b, q))),
        any::<([u8; 16], u16, [u8; 16], u16)>().prop_map(move |(a, p, b, q)| (v6(a, p), v6(b, q))),
    ]
}

proptest! {
    #[test]
    fn a_connection_has_one_queue_and_it_is_that_of_its_frames((client, server) in addresses(), of in 1_u32..65) {
        prop_assert_eq!(hash(client, server), by_definition(&SYMMETRIC_KEY, &input(client, server, true)));
        prop_assert_eq!(hash(client, server), hash(server, client));
        let own = queue(hash(client, server), of);
        for packet in connection(client, server) {
            let frame = Frame::ethernet(Instant(0), &packet);
            prop_assert_eq!(takers(of, &[frame]), [[own]], "one of all");
        }
    }
}

/// An IPv4 header of `protocol` and what is behind it, without a link.
pub(crate) fn ipv4(protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = 20 + payload.len() as u8;
    let [high, low] = fragment.to_be_bytes();
    let mut packet = vec![0x45, 0, 0, len, 0, 7, high, low, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 3, 2];
    let words = packet.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let checksum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet.extend(payload);
    packet
}

#[test]
fn without_ports_addresses_count() {
    let of = |packet: &[u8]| {
        hash_of_frame(&Frame { link: LinkType::RawIp, ..Frame::ethernet(Instant(0), packet) })
    };
    let ends = ("10.0.0.1".parse().unwrap(), "10.0.3.2".parse().unwrap());
    let addresses = Some(hash_of_addresses(ends.0, ends.1));
    let udp = [0x10, 0, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
    let ports = Some(hash(SocketAddr::new(ends.0, 0x1000), SocketAddr::new(ends.1, 53)));
    assert!(ports != addresses);
    assert_eq!(of(&ipv4(UDP, 0, &udp)), ports);
    assert_eq!(of(&ipv4(UDP, 0x2000, &udp)), addresses, "the first fragment");
    assert_eq!(of(&ipv4(UDP, 1, &udp[8..])), addresses, "the last fragment");
    assert_eq!(of(&ipv4(1, 0, &udp)), addresses, "ICMP: no ports");
    assert_eq!(of(&[0; 20]), None);
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    let frame = Frame::ethernet(Instant(0), &arp);
    assert_eq!(takers(5, &[frame]), [[0]]);
    assert_eq!((Share::new(1, 1), Share::new(0, 0), Share::new(0, 1)), (None, None, Some(Share::ALL)));
}

/// A fragment of a UDP datagram from port `port` of 10.0.0.1 to port 53 of 10.0.3.2.
pub(crate) fn fragment(id: u16, port: u16, first: bool) -> Vec<u8> {
    let [high, low] = port.to_be_bytes();
    let udp = [high, low, 0, 53, 0, 20, 0, 0];
    let mut packet = if first { ipv4(UDP, 0x2000, &udp) } else { ipv4(UDP, 1, &[0xab; 12]) };
    packet[4..6].copy_from_slice(&id.to_be_bytes());
    packet[10..12].fill(0);
    let words = packet[..20].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let checksum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    packet
}

#[test]
fn fragments_go_where_their_first_one_went() {
    const OF: u32 = 16;
    let raw = |packets: &[Vec<u8>]| {
        let frame = |packet| Frame { link: LinkType::RawIp, ..Frame::ethernet(Instant(0), packet) };
        takers(OF, &packets.iter().map(|p| frame(p)).collect::<Vec<_>>())
    };
    let (client, server) = ("10.0.0.1".parse().unwrap(), "10.0.3.2".parse().unwrap());
    let of_port =
        |port: u16| vec![queue(hash(SocketAddr::new(client, port), SocketAddr::new(server, 53)), OF)];
    let of_addresses = vec![queue(hash_of_addresses(client, server), OF)];
    // As many datagrams as are remembered, and one more: the oldest is forgotten.
    let ports = 1000..1000 + DATAGRAMS as u16 + 1;
    let firsts = ports.clone().map(|port| fragment(port, port, true));
    let lasts = ports.clone().map(|port| fragment(port, port, false));
    let taken = raw(&firsts.chain(lasts).collect::<Vec<_>>());
    let expected: Vec<Vec<u32>> = ports.clone().map(of_port).collect();
    let (first, last) = taken.split_at(ports.len());
    assert_eq!(first, expected);
    assert_eq!(last[0], of_addresses);
    assert_eq!(last[1..], expected[1..]);
    assert!(expected.iter().any(|e| *e != of_addresses));
    // One that comes first, and an identification that is used again.
    let again = [
        fragment(1, 7, false),
        fragment(1, 7, true),
        fragment(1, 7, false),
        fragment(1, 8, true),
        fragment(1, 8, false),
        fragment(2, 8, false),
    ];
    let expected = [of_addresses.clone(), of_port(7), of_port(7), of_port(8), of_port(8), of_addresses];
    assert_eq!(raw(&again), expected);
}

/// Connections of several plans of addresses, 10,000 of each.
fn plans() -> [(&'static str, Vec<(SocketAddr, SocketAddr)>); 4] {
    let end = |ip: [u8; 4], port: u32| SocketAddr::new(ip.into(), port as u16);
    let mut state = 1_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 32) as u32
    };
    let anywhere =
        (0..10_000).map(|_| (end(random().to_be_bytes(), random()), end(random().to_be_bytes(), random())));
    let anywhere = anywhere.collect();
    let web = [198, 51, 100, 7];
    let one_pair = (0..10_000).map(|n| (end([192, 0, 2, 1], 20_000 + n), end(web, 443))).collect();
    let subnet = |n: u32| [10, 0, (n >> 8) as u8 & 3, n as u8];
    let many_clients = (0..10_000).map(|n| (end(subnet(n), 40_000 + n / 7), end(web, 443))).collect();
    let mirrored = (0..10_000).map(|n| (end(subnet(n), 5000 + n / 1024), end(subnet(n + 1), 5000))).collect();
    [("anywhere", anywhere), ("one client", one_pair), ("a subnet", many_clients), ("neighbours", mirrored)]
}

#[test]
fn ten_thousand_connections_are_spread_better_than_by_the_original() {
    // Its key is one octet over and over, so that only the XOR of all octets counts.
    let originals: Vec<u32> = (0..=255).map(|octet| by_definition(&[5; 40], &[octet])).collect();
    println!("the fullest queue, as a share of the mean: ours, the original's");
    for (name, connections) in plans() {
        for queues in [2, 3, 6, 12, 64] {
            let mut filled = [vec![0_u32; queues as usize], vec![0_u32; queues as usize]];
            for (client, server) in &connections {
                let own = queue(hash(*client, *server), queues);
                assert_eq!(own, queue(hash(*server, *client), queues), "the other direction");
                let folded = input(*client, *server, true).iter().fold(0, |all, octet| all ^ octet);
                let original = originals[usize::from(folded)] % 128 % queues;
                filled[0][own as usize] += 1;
                filled[1][original as usize] += 1;
            }
            let mean = connections.len() as f64 / f64::from(queues);
            let [ours, original] =
                filled.map(|filled| f64::from(filled.into_iter().max().unwrap_or_default()) / mean);
            println!("{name:<11} {queues:>2} queues: {ours:.2} {original:.2}");
            if name == "neighbours" {
                continue; // few XORs of addresses: no hash of them can be even
            }
            assert!(queues == 64 || ours < 1.1, "{name} {queues} {ours}");
            assert!(ours <= original * 1.02, "{name} {queues} {ours} {original}");
        }
    }
}

/// Which shares keep a frame of a burst.
#[test]
fn a_burst_is_split_so_that_fragments_go_where_their_first_one_goes() {
    const OF: u32 = 16;
    let arp = [&[0xff; 12][..], &[8, 6], &[0; 28]].concat();
    let packets = [fragment(1, 7, false), fragment(1, 7, true), fragment(2, 9, false), arp];
    let link = |n: usize| if n == 3 { LinkType::Ethernet } else { LinkType::RawIp };
    let frames: Vec<Frame<'_>> = (0..)
        .zip(&packets)
        .map(|(n, packet)| Frame { link: link(n), ..Frame::ethernet(Instant(0), packet) })
        .collect();
    let mut kept = vec![Vec::new(); frames.len()];
    for rank in 0..OF {
        let mut burst = frames.clone();
        Splitter::new(Share::new(rank, OF).unwrap()).split(&mut burst);
        for (kept, _) in kept.iter_mut().zip(&burst).filter(|(_, frame)| frame.verdict.is_forward()) {
            kept.push(rank);
        }
    }
    let (client, server) = ("10.0.0.1".parse().unwrap(), "10.0.3.2".parse().unwrap());
    let of_port = queue(hash(SocketAddr::new(client, 7), SocketAddr::new(server, 53)), OF);
    let of_addresses = queue(hash_of_addresses(client, server), OF);
    assert_eq!(kept, [[of_port], [of_port], [of_addresses], [0]]);
    assert_ne!(of_port, of_addresses);
}
