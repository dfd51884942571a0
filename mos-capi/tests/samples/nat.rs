//! nat.c: what it forwards, by tshark, over captures of both sides of a translator.

use super::{are_there, forwarded, fresh, from_to, of_core, packets, sample, tshark, write};
use crate::support::{Run, conf, recorded};
use mos_flow::testing::Exchange;
use mos_flow::{Flags, Side, Sides};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

const NAT: &str = "198.51.100.7";

/// What is compared of a packet: flags, numbers, window and payload, but not its addresses.
const CONTENT: [&str; 6] =
    ["tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value", "tcp.options", "tcp.payload"];

/// A TCP packet by tshark, whose checksums are good.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    from: String,
    to: String,
    content: Vec<String>,
}

/// The TCP packets of captures.
fn read(captures: &[PathBuf]) -> Option<Vec<Packet>> {
    let ends =
        ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport", "ip.checksum.status", "tcp.checksum.status"];
    let mut all = Vec::new();
    for capture in captures {
        for mut values in tshark(capture, "ip and tcp", &[&ends[..], &CONTENT].concat())? {
            let content = values.split_off(ends.len());
            let end = |at: usize| format!("{}:{}", values[at], values[at + 1]);
            assert!(values[4] == "1" && values[5] == "1", "a checksum is not good: {values:?}");
            all.push(Packet { from: end(0), to: end(2), content });
        }
    }
    Some(all)
}

/// Runs the NAT, which must not print anything. Returns what it forwards.
fn translate(capture: &Path, name: &str, cores: usize) -> Vec<PathBuf> {
    let output = fresh(name);
    let conf =
        conf("nat.conf", "forward = 1\nmax_concurrency = 1000\ntcp_timeout = -1\ntcp_tw_interval = 60");
    let run = Run::new(&sample("nat"), None).env("MOS_IO", from_to(capture, &output)).arg("-f").arg(conf);
    assert_eq!(run.args(["-i", NAT, "-c", &cores.to_string()]).output(), "");
    let sent = forwarded(&output, cores).len();
    assert_eq!(sent, packets(capture).len(), "{name}: nothing is dropped");
    (0..cores).map(|core| of_core(&output, core)).collect()
}

/// Packets by connection, in order, by the names of client and server: those are told by the first SYN, which has no ACK.
fn connections(packets: &[Packet]) -> BTreeMap<(String, String), Vec<Packet>> {
    let mut connections: BTreeMap<_, Vec<Packet>> = BTreeMap::new();
    for p in packets {
        let key = [(&p.from, &p.to), (&p.to, &p.from)].map(|(a, b)| (a.clone(), b.clone()));
        let known = key.iter().find(|key| connections.contains_key(*key)).unwrap_or_else(|| {
            assert_eq!(p.content[0], "0x0002", "not a SYN: {p:?}");
            &key[0]
        });
        connections.entry(known.clone()).or_default().push(p.clone());
    }
    connections
}

/// Gives TCP over IPv4 without options over Ethernet another destination; checksums follow by RFC 1624.
fn readdress(frame: &mut [u8], to: &str) {
    let to: SocketAddrV4 = to.parse().unwrap();
    let [a, b, c, d] = to.ip().octets();
    for (at, new, sums) in
        [(30, [a, b], &[24, 50][..]), (32, [c, d], &[24, 50]), (36, to.port().to_be_bytes(), &[50])]
    {
        let word = |frame: &[u8], at: usize| u32::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
        let change = (0xffff - word(frame, at)) + u32::from(u16::from_be_bytes(new));
        frame[at..at + 2].copy_from_slice(&new);
        for sum in sums {
            let mut total = (0xffff - word(frame, *sum)) + change;
            while total > 0xffff {
                total = (total & 0xffff) + (total >> 16);
            }
            frame[*sum..*sum + 2].copy_from_slice(&(!(total as u16)).to_be_bytes());
        }
    }
}

/// Where such a packet comes from, and where it goes.
fn ends(frame: &[u8]) -> [String; 2] {
    [(26, 34), (30, 36)].map(|(address, port)| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| frame[address + i]);
        format!("{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([frame[port], frame[port + 1]]))
    })
}

/// The capture as it is taken at both sides of a translator: what comes back is addressed to it.
fn both_sides(capture: &Path, name: &str, outside: &HashMap<String, String>) -> PathBuf {
    let mut all = packets(capture);
    for (_, frame) in all.iter_mut().filter(|(_, frame)| frame[12..14] == [8, 0] && frame[23] == 6) {
        if let Some(to) = outside.get(&ends(frame)[1]) {
            readdress(frame, to);
        }
    }
    write(name, &all)
}

/// The address and port outside of each client, by its SYN's first number, which no two connections share.
fn learn(before: &[Packet], after: &[Packet]) -> HashMap<String, String> {
    let syns = |packets: &[Packet]| -> HashMap<String, Packet> {
        let syns = packets.iter().filter(|p| p.content[0] == "0x0002");
        syns.map(|p| (p.content[1].clone(), p.clone())).collect()
    };
    let (before, after) = (syns(before), syns(after));
    before.iter().map(|(isn, p)| (p.from.clone(), after[isn].from.clone())).collect()
}

/// A capture through the NAT: first as it is, to see which ports it gives, then with answers to those.
fn compare(name: &str, count: usize, cores: usize) -> Option<()> {
    let capture = recorded(name);
    let original = read(std::slice::from_ref(&capture))?;
    let came = connections(&original);
    assert_eq!(came.len(), count, "{name}");
    let once = translate(&capture, &format!("nat-once-{cores}-{name}"), cores);
    let outside = learn(&original, &read(&once)?);
    let outsides: BTreeSet<&String> = outside.values().collect();
    assert!(
        outsides.len() == count && outsides.iter().all(|o| o.starts_with("198.51.100.7:")),
        "{outside:?}"
    );

    let answered = both_sides(&capture, &format!("nat-sides-{cores}-{name}"), &outside);
    let twice = read(&translate(&answered, &format!("nat-twice-{cores}-{name}"), cores))?;
    // What a client sends comes from its outside; what the server sends, and all else, is as it was without a NAT.
    let translated = |p: &Packet| match outside.get(&p.from) {
        Some(from) => Packet { from: from.clone(), ..p.clone() },
        None => p.clone(),
    };
    let expected = came.values().map(|packets| packets.iter().map(translated).collect::<Vec<_>>());
    let mut left: HashMap<String, Vec<Packet>> = HashMap::new();
    let inside: HashMap<&String, &String> =
        outside.iter().map(|(inside, outside)| (outside, inside)).collect();
    for p in twice {
        let client = inside.get(&p.from).copied().unwrap_or(&p.to).clone();
        left.entry(client).or_default().push(p);
    }
    let mut octets = [0, 0];
    for (packets, (client, _)) in expected.zip(came.keys()) {
        assert_eq!(left.remove(client).unwrap(), packets, "{name}: {client}");
        for p in packets {
            octets[usize::from(inside.contains_key(&p.from))] += p.content[5].len() / 2;
        }
    }
    assert!(left.is_empty() && octets[0] > 0 && octets[1] > 0, "{name}: {left:?}");
    Some(())
}

#[test]
fn connections_leave_from_the_nat_and_answers_find_their_client() {
    for cores in [1, 2] {
        if !are_there(cores) {
            return;
        }
        for (name, count) in [("web4.pcap", 1), ("short4.pcap", 60), ("lossy.pcap", 1), ("halfclose.pcap", 1)]
        {
            if compare(name, count, cores).is_none() {
                return;
            }
        }
    }
}

/// Connections that there can be at once: ports 1025 to 65534.
const PORTS: usize = 64_510;

#[test]
fn ports_are_given_once_and_given_back() {
    const ISN: u32 = 7;
    const ENDED: u16 = 4711;
    let client = |n: usize| format!("10.1.{}.{}:{}", n >> 15, n >> 7 & 0xff, 1000 + (n & 0x7f));
    let exchange = |client: &str| {
        let isn = Sides { client: ISN, server: 0 };
        Exchange::new(client.parse().unwrap(), "192.0.2.2:80".parse().unwrap(), isn)
    };
    let syn = |n| exchange(&client(n)).segment(Side::Client, Flags::SYN, &[]);
    // As many as there are ports, and three for which there is none; then one is refused, and two more come.
    let mut frames: Vec<Vec<u8>> = (0..PORTS + 3).map(syn).collect();
    let refused = exchange(&format!("{NAT}:{ENDED}"));
    frames.push(refused.segment_at(Side::Server, 0, ISN + 1, Flags::RST | Flags::ACK, &[]));
    frames.extend([syn(PORTS + 3), syn(PORTS + 4)]);
    let times = (1_000_000_000_000_000..).step_by(10);
    let capture = write("nat-ports.pcap", &times.zip(frames).collect::<Vec<_>>());
    let output = fresh("nat-ports-out.pcap");
    // A quarter of that number can be in their handshakes.
    let conf = conf("nat-ports.conf", "forward = 1\nmax_concurrency = 280000\nrmem_size = 1024");
    let run = Run::new(&sample("nat"), None).env("MOS_IO", from_to(&capture, &output)).arg("-f").arg(conf);
    assert_eq!(run.args(["-i", NAT, "-c", "1"]).output(), "");

    let left: Vec<[String; 2]> = packets(&output).iter().map(|(_, frame)| ends(frame)).collect();
    assert_eq!(left.len(), PORTS + 2);
    let (first, last) = left.split_at(PORTS);
    let port = |from: &String| from.strip_prefix(NAT).unwrap()[1..].parse::<u16>().unwrap();
    let ports: Vec<u16> = first.iter().map(|[from, _]| port(from)).collect();
    assert!(ports.iter().copied().collect::<BTreeSet<_>>().into_iter().eq(1025..=65534));
    let ended = ports.iter().position(|port| *port == ENDED).unwrap();
    let [[server, to], [from, _]] = last else { panic!("{last:?}") };
    assert_eq!((server.as_str(), to, port(from)), ("192.0.2.2:80", &client(ended), ENDED));
}
