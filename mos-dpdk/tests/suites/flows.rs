//! Decapsulation against tshark: as many packets, with as much payload, of each pair of endpoints in every capture.

use crate::{say, shared};
use mos_dpdk::capture::Capture;
use mos_flow::Frame;
use mos_flow::defrag::{Defrag, DefragArrays, DefragConfig, Fragment, Outcome};
use mos_flow::memory::Heap;
use mos_flow::wire::{Packet, Walker};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use tcp_reasm::Segment;

/// Captures with fragments, and the packets in them that came in several.
const FRAGMENTED: &[(&str, u64)] = &[("d13-frag-ip-tcp-syn.pcap", 1)];

/// Its three fragments overlap, and contradict each other about the end: Linux drops the datagram. tshark makes a UDP
/// packet of them that it calls malformed.
const CONTRADICTORY: &str = "d20-fragmented-1.pcap";

/// Packets that tshark counts and hosts drop: IP says that they are longer than what carries them.
const DAMAGED: &[(&str, u64, &str)] = &[(
    "d18-pppoe-over-qinq.pcap",
    6,
    "a device has counted the padding of short frames as payload, in IP, but not in PPPoE",
)];

/// Captures whose packets are carried by something else than Ethernet and VLAN tags.
const TUNNELS: &[(&str, u64)] =
    &[("d14-vxlan.pcap", 82), ("d18-pppoe-over-qinq.pcap", 86 - 6), ("d28-reasm_segv_anon.pcapng", 82)];

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The innermost TCP or UDP packet of a frame.
struct Transport {
    protocol: u8,
    /// Without order: both directions are one flow.
    ends: [SocketAddr; 2],
    /// Octets of payload, of TCP only.
    payload: u64,
}

/// Packets and octets of payload of each flow.
type Flows = BTreeMap<(u8, [SocketAddr; 2]), (u64, u64)>;

fn count(segments: impl IntoIterator<Item = Transport>) -> Flows {
    let mut flows = Flows::new();
    for mut t in segments {
        t.ends.sort();
        let (packets, octets) = flows.entry((t.protocol, t.ends)).or_default();
        (*packets, *octets) = (*packets + 1, *octets + t.payload);
    }
    flows
}

fn packets(flows: &Flows, protocol: u8) -> u64 {
    flows.iter().filter(|((p, _), _)| *p == protocol).map(|(_, (packets, _))| packets).sum()
}

/// The innermost packets of a capture, and how many of them came in fragments.
fn segments_of(capture: &Capture) -> (Vec<Transport>, u64) {
    let walker = Walker::new([1; 16]);
    let config = DefragConfig::default();
    let mut defrag = Defrag::<Heap>::new(config, DefragArrays::on_heap(&config));
    let mut segments = Vec::new();
    for frame in capture.frames_from(0) {
        let Ok(packet) = walker.walk(frame.link, frame.data) else { continue };
        let Some(fragment) = Fragment::of(frame.data, &packet) else {
            segments.extend(transport(&frame, &packet));
            continue;
        };
        if defrag.add(&fragment, 0, frame.time) == Outcome::Complete {
            let datagram = defrag.datagram();
            let whole = walker.walk_again(datagram, &packet).unwrap();
            let frame = Frame { data: datagram, wire_len: datagram.len() as u32, ..frame };
            segments.extend(transport(&frame, &whole));
        }
    }
    (segments, defrag.stats().completed)
}

fn transport(frame: &Frame<'_>, packet: &Packet) -> Option<Transport> {
    if !matches!(packet.protocol, TCP | UDP) {
        return None;
    }
    // Five frames of d15 were shorter than their packets before they were captured.
    let beyond_wire = (packet.transport + packet.segment_len).saturating_sub(frame.wire_len as usize);
    let frame = frame.data;
    let ((src, dst), (sport, dport)) = (packet.addresses(frame), packet.ports(frame));
    let end = |address: [u8; 16], port| SocketAddr::new(Ipv6Addr::from(address).to_canonical(), port);
    let segment = Segment::parse(packet.segment_bytes(frame), packet.segment_len).ok();
    let payload = segment.filter(|_| packet.protocol == TCP).map_or(0, |s| u64::from(s.payload_len));
    Some(Transport {
        protocol: packet.protocol,
        ends: [end(src, sport), end(dst, dport)],
        payload: payload - beyond_wire as u64,
    })
}

/// The same by tshark; `None` where it is not installed.
fn segments_of_tshark(capture: &Path) -> Option<Vec<Transport>> {
    let fields = ["frame.protocols", "ip.src", "ip.dst", "ipv6.src", "ipv6.dst"];
    let ports = ["tcp.srcport", "tcp.dstport", "tcp.len", "udp.srcport", "udp.dstport"];
    let mut tshark = Command::new("tshark");
    // The last one of a field is that of the innermost packet.
    tshark.args(["-n", "-T", "fields", "-E", "occurrence=l", "-E", "separator=|", "-r"]).arg(capture);
    tshark.args(fields.iter().chain(&ports).flat_map(|field| ["-e", *field]));
    let options = ["tcp.check_checksum:FALSE", "ip.defragment:TRUE", "ipv6.defragment:TRUE"];
    tshark.args(options.iter().flat_map(|option| ["-o", *option]));
    // What these show are parts of other packets, not packets that were sent here.
    tshark.args(["icmp", "icmpv6", "sflow"].iter().flat_map(|quoting| ["--disable-protocol", *quoting]));
    let out = tshark.output().ok()?;
    assert!(out.status.success(), "{}: {}", capture.display(), String::from_utf8_lossy(&out.stderr));
    Some(String::from_utf8(out.stdout).unwrap().lines().filter_map(tshark_line).collect())
}

fn tshark_line(line: &str) -> Option<Transport> {
    let fields: Vec<&str> = line.split('|').collect();
    let layers: Vec<&str> = fields[0].split(':').collect();
    let ip = layers.iter().rposition(|layer| matches!(*layer, "ip" | "ipv6"))?;
    let above = layers[ip + 1..].iter().find(|layer| !layer.starts_with("ipv6."))?;
    let (protocol, ports) = match *above {
        "tcp" => (TCP, [fields[5], fields[6]]),
        "udp" => (UDP, [fields[8], fields[9]]),
        _ => return None,
    };
    let hosts = if layers[ip] == "ip" { [fields[1], fields[2]] } else { [fields[3], fields[4]] };
    let end = |i: usize| SocketAddr::new(hosts[i].parse::<IpAddr>().unwrap(), ports[i].parse().unwrap());
    let payload = if protocol == TCP { fields[7].parse().unwrap() } else { 0 };
    Some(Transport { protocol, ends: [end(0), end(1)], payload })
}

fn captures(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut captures: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng")).collect();
    captures.sort();
    captures
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_flow_has_as_many_packets_as_for_tshark() {
    let Some(dir) = shared() else { return };
    let (mut compared, mut flows, mut tcp, mut udp) = (0, 0, 0, 0);
    for path in captures(&dir) {
        let (capture, failure) = Capture::load(&path).unwrap();
        assert!(failure.is_none(), "{}: {failure:?}", path.display());
        let Some(theirs) = segments_of_tshark(&path) else {
            say("SKIPPED: tshark is not installed; the flows of the captures were not compared");
            return;
        };
        let ((ours, datagrams), theirs, name) = (segments_of(&capture), count(theirs), name(&path));
        let ours = count(ours);
        let fragmented = FRAGMENTED.iter().find(|(file, _)| *file == name);
        assert_eq!(datagrams, fragmented.map_or(0, |(_, datagrams)| *datagrams), "{name}");
        if name == CONTRADICTORY {
            say(&format!("{name}: nothing, where tshark has a malformed packet: its fragments contradict"));
            assert_eq!((ours.len(), packets(&theirs, TCP), packets(&theirs, UDP)), (0, 0, 1));
            continue;
        }
        let damaged = DAMAGED.iter().find(|(file, ..)| *file == name);
        if let Some((_, missing, why)) = damaged {
            say(&format!("{name}: {missing} packets less than for tshark: {why}"));
            assert_eq!(packets(&ours, TCP) + missing, packets(&theirs, TCP), "{name}");
            let octets =
                |flows: &Flows| flows.iter().map(|(k, (_, octets))| (*k, *octets)).collect::<Vec<_>>();
            assert_eq!(octets(&ours), octets(&theirs), "{name}");
        } else {
            assert_eq!(ours, theirs, "{name}");
        }
        compared += 1;
        flows += ours.len();
        tcp += packets(&ours, TCP);
        udp += packets(&ours, UDP);
    }
    say(&format!(
        "{compared} captures, {flows} flows: {tcp} TCP and {udp} UDP packets, as for tshark but for what is said above"
    ));
    assert_eq!(compared, 30 - 1);
}

/// Also without tshark: that something was unwrapped.
#[test]
fn the_tunnels_of_the_captures_are_walked_into() {
    let Some(dir) = shared() else { return };
    for (file, wanted) in TUNNELS {
        let (capture, _) = Capture::load(&dir.join(file)).unwrap();
        assert_eq!(packets(&count(segments_of(&capture).0), TCP), *wanted, "{file}");
    }
}
