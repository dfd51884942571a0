//! Ports that share an interface: which one gets what.

use super::frames::{send, until};
use super::raw::{both_ways, open};
use super::{alone, ip, pair, say};
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_dpdk::port::{Port as _, Received, Spread};
use mos_dpdk::rss;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const CONNECTIONS: u16 = 1000;
/// How long frames may take on a busy machine. An arbitrary figure.
const MOST: Duration = Duration::from_secs(10);
const HARDWARE: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// The two ends of a connection, three of four of IPv4.
fn ends(n: u16) -> (SocketAddr, SocketAddr) {
    let [high, low] = n.to_be_bytes();
    let (client, server): (IpAddr, IpAddr) = if n % 4 == 3 {
        let address = |net, host| [0xfd, net, 0, 0, high, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host].into();
        (address(1, low), address(2, 1))
    } else {
        ([10, 0, high, low].into(), [10, 1, 0, low % 7].into())
    };
    (SocketAddr::new(client, 1024 + n * 7), SocketAddr::new(server, 80))
}

/// A segment of TCP, without checksums, with this many octets of tags before the packet.
fn segment((source, destination): (SocketAddr, SocketAddr), tags: &[u8]) -> Vec<u8> {
    let (kind, mut packet) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let head = [0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
            ([0x08, 0x00], [&head[..], &source.octets(), &destination.octets()].concat())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let head = [0x60, 0, 0, 0, 0, 20, 6, 64];
            ([0x86, 0xdd], [&head[..], &source.octets(), &destination.octets()].concat())
        }
        _ => unreachable!("ends of one family"),
    };
    packet.extend([source.port().to_be_bytes(), destination.port().to_be_bytes()].concat());
    packet.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    [&HARDWARE, tags, &kind, &packet].concat()
}

/// Both directions of all connections, with tags before some packets, and the hash of each.
fn traffic() -> Vec<(Vec<u8>, u32)> {
    let tags: [&[u8]; 3] = [&[], &[0x81, 0, 0, 7], &[0x88, 0xa8, 0, 9, 0x81, 0, 0, 7]];
    let both = |n: u16| {
        let (client, server) = ends(n);
        let tags = tags[usize::from(n / 8 % 3)];
        let hash = rss::hash(client, server);
        [(segment((client, server), tags), hash), (segment((server, client), tags), hash)]
    };
    (0..CONNECTIONS).flat_map(both).collect()
}

/// What each port gets, until it is `count` frames together and no more are there.
fn receive_all(ports: &mut [AfPacket], count: usize) -> Vec<Vec<Vec<u8>>> {
    let mut got = vec![Vec::new(); ports.len()];
    let start = Instant::now();
    loop {
        let mut is_idle = true;
        for (port, got) in ports.iter_mut().zip(&mut got) {
            let received = port.receive(&mut |burst| got.extend(burst.iter().map(|f| f.data.to_vec())));
            is_idle &= received.unwrap() == Received::Nothing;
        }
        let sum: usize = got.iter().map(Vec::len).sum();
        if is_idle && sum >= count {
            return got;
        }
        assert!(start.elapsed() < MOST, "{sum} of {count} frames in {MOST:?}");
        if is_idle {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Sends the traffic and says how it must be dealt out, the queue's number `rank` being that of the port `places[rank]`.
fn deal(from: &mut AfPacket, ports: &mut [AfPacket], places: &[usize]) -> Vec<usize> {
    let traffic = traffic();
    let mut expected = vec![Vec::new(); ports.len()];
    for (frame, hash) in &traffic {
        expected[places[rss::queue(*hash, places.len() as u32) as usize]].push(frame.clone());
    }
    let frames: Vec<Vec<u8>> = traffic.into_iter().map(|(frame, _)| frame).collect();
    assert_eq!(send(from, &frames), frames.len());
    let got = receive_all(ports, frames.len());
    assert!(got == expected, "the kernel deals out in another way");
    got.iter().map(Vec::len).collect()
}

#[test]
fn a_connection_is_the_ports_that_the_hash_says() {
    alone("spread::a_connection_is_the_ports_that_the_hash_says", || {
        pair("here", "there");
        for options in both_ways() {
            for workers in 1..=4 {
                let mut here = open("here", options, |_| ());
                let mut ports = AfPacket::open_all("there", &options, workers).unwrap();
                let spread = if workers > 1 { Spread::ByHash } else { Spread::Alone };
                assert!(ports.iter().all(|port| port.capabilities().spread == spread));
                let places: Vec<usize> = (0..ports.len()).collect();
                let counts = deal(&mut here, &mut ports, &places);
                say(&format!("{workers} ports, {:?}: {counts:?}", options.handover));
            }
        }
    });
}

#[test]
fn what_goes_out_is_dealt_out_by_the_same_rule() {
    alone("spread::what_goes_out_is_dealt_out_by_the_same_rule", || {
        pair("here", "there");
        let options = Options { outgoing: true, ..Options::default() };
        let [mut here, mut there] = ["here", "there"].map(|name| open(name, Options::default(), |_| ()));
        let mut ports = AfPacket::open_all("here", &options, 3).unwrap();
        let out = deal(&mut here, &mut ports, &[0, 1, 2]);
        assert_eq!(deal(&mut there, &mut ports, &[0, 1, 2]), out);
    });
}

#[test]
fn places_change_when_a_port_goes_and_not_when_the_interface_does() {
    alone("spread::places_change_when_a_port_goes_and_not_when_the_interface_does", || {
        pair("here", "there");
        let options = Options::default();
        let mut here = open("here", options, |_| ());
        ip("link set there down");
        let opened = AfPacket::open_all("there", &options, 4).inspect_err(|error| {
            assert!(error.to_string().starts_with("there cannot be shared"), "{error}");
            say(&format!("SKIPPED: {error}; ports that come before their interface were not tried"));
        });
        ip("link set there up");
        let mut ports = opened.or_else(|_| AfPacket::open_all("there", &options, 4)).unwrap();
        until("here", " state UP "); // the other end notices later
        deal(&mut here, &mut ports, &[0, 1, 2, 3]);
        ip("link set there down");
        ip("link set there up");
        until("here", " state UP "); // the other end notices later
        deal(&mut here, &mut ports, &[0, 1, 2, 3]);
        drop(ports.remove(1));
        // The last one is where the second was.
        deal(&mut here, &mut ports, &[0, 2, 1]);
        drop(ports.remove(0));
        deal(&mut here, &mut ports, &[0, 1]);
    });
}

#[test]
fn groups_are_apart_and_go_with_their_ports() {
    alone("spread::groups_are_apart_and_go_with_their_ports", || {
        pair("here", "there");
        pair("also", "away");
        let options = Options::inline();
        let groups = || std::fs::read_to_string("/proc/self/net/packet").unwrap().lines().count() - 1;
        let [mut here, mut also] = ["here", "also"].map(|name| open(name, options, |_| ()));
        let before = groups();
        let [mut there, mut away] = ["there", "away"].map(|n| AfPacket::open_all(n, &options, 2).unwrap());
        // Two groups on one interface see everything twice.
        let mut again = AfPacket::open_all("there", &options, 2).unwrap();
        assert_eq!(groups(), before + 6);
        let counts = deal(&mut here, &mut there, &[0, 1]);
        assert_eq!(receive_all(&mut again, 2000).iter().map(Vec::len).collect::<Vec<_>>(), counts);
        assert_eq!(deal(&mut also, &mut away, &[0, 1]), counts, "the same worker's on both interfaces");
        drop((there, away, again));
        assert_eq!(groups(), before);
        for workers in [0, 129] {
            let error = AfPacket::open_all("there", &options, workers).unwrap_err();
            assert!(error.to_string().starts_with("there can be shared by 1 to 128 workers"), "{error}");
        }
        assert_eq!(groups(), before);
        assert!(AfPacket::open_all("nowhere", &options, 2).is_err());
    });
}
