//! Our own captures of real exchanges (`mos-flow/tests/pcaps`), by connection, and what the applications read.

use etherparse::{LinkExtHeader, NetHeaders, PacketHeaders, TransportHeader};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use tcp_reasm::options::Options;
use tcp_reasm::{Flags, Segment, Side};

/// A segment as it was captured, or as somebody made it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Packet {
    pub(crate) from: Side,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: Flags,
    pub(crate) window: u16,
    pub(crate) options: Options<'static>,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    fn of(from: Side, tcp: &[u8]) -> Self {
        let s = Segment::parse(tcp, tcp.len()).unwrap();
        let (seq, ack, flags, window, options) = (s.seq.0, s.ack.0, s.flags, s.window, owned(s.options));
        Packet { from, seq, ack, flags, window, options, payload: s.payload.to_vec() }
    }

    pub(crate) fn segment(&self) -> Segment<'_> {
        let (window, options) = (self.window, self.options);
        Segment { window, options, ..Segment::build(self.seq, self.ack, self.flags, &self.payload) }
    }
}

/// The options but for those that point into the packet.
fn owned(o: Options<'_>) -> Options<'static> {
    Options {
        mss: o.mss,
        window_scale: o.window_scale,
        sack_permitted: o.sack_permitted,
        timestamps: o.timestamps,
        signature: o.signature,
        faults: o.faults,
        ..Options::default()
    }
}

/// One connection of one capture.
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) packets: Vec<Packet>,
    /// Octets that each side's application read, as length and SHA-256.
    read: [(usize, String); 2],
    /// Both streams were read to their end.
    complete: bool,
}

impl Connection {
    /// Asserts that `rebuilt` is what the application of `side` read; where the connection was reset, that it begins so.
    pub(crate) fn check(&self, side: Side, rebuilt: &[u8]) {
        let (len, sha256) = &self.read[side as usize];
        assert!(!self.complete || rebuilt.len() == *len, "{}: {side} read {len} octets", self.name);
        let begins = rebuilt.get(..*len).map(hex);
        assert_eq!(begins.as_ref(), Some(sha256), "{}: octets that {side} read", self.name);
    }
}

fn hex(octets: &[u8]) -> String {
    Sha256::digest(octets).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// VLANs and both ends, the sender first.
type Way = (Vec<u16>, SocketAddr, SocketAddr);

/// All connections of all captures.
pub(crate) fn connections() -> Vec<Connection> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../mos-flow/tests/pcaps");
    let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut all = Vec::new();
    for (file, facts) in truth["files"].as_object().unwrap() {
        let mut flows = flows(&fs::read(folder.join(file)).unwrap());
        for told in facts["connections"].as_array().unwrap() {
            all.push(connection(file, told, &mut flows));
        }
        assert!(flows.is_empty(), "{file}: the truth names all connections");
    }
    all
}

fn connection(file: &str, told: &Value, flows: &mut HashMap<Way, Vec<Packet>>) -> Connection {
    let end = |key: &str| told[key].as_str().unwrap().parse::<SocketAddr>().unwrap();
    let vlan = told["vlan"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u16).collect();
    let read = ["to_client", "to_server"].map(|to| {
        let told = &told[to];
        (told["bytes"].as_u64().unwrap() as usize, told["sha256"].as_str().unwrap().to_owned())
    });
    let name = format!("{file} {}", told["client"].as_str().unwrap());
    let packets = flows.remove(&(vlan, end("client"), end("server"))).unwrap();
    Connection { name, packets, read, complete: told["end"] == "fin" }
}

/// The TCP packets of a capture by connection; the client is the one that sent the first.
fn flows(pcap: &[u8]) -> HashMap<Way, Vec<Packet>> {
    let mut flows: HashMap<Way, Vec<Packet>> = HashMap::new();
    for frame in frames(pcap) {
        let Some(((vlan, src, dst), tcp)) = parse(frame) else { continue };
        let back = (vlan.clone(), dst, src);
        if let Some(packets) = flows.get_mut(&back) {
            packets.push(Packet::of(Side::Server, &tcp));
        } else {
            flows.entry((vlan, src, dst)).or_default().push(Packet::of(Side::Client, &tcp));
        }
    }
    flows
}

/// The frames of a pcap file of this machine's or any other's byte order that we write: little-endian.
fn frames(pcap: &[u8]) -> Vec<&[u8]> {
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    assert!(matches!(word(pcap, 0), 0xa1b2_c3d4 | 0xa1b2_3c4d), "a little-endian pcap file");
    let (mut rest, mut frames) = (&pcap[24..], Vec::new());
    while !rest.is_empty() {
        let (frame, next) = rest[16..].split_at(word(rest, 8) as usize);
        frames.push(frame);
        rest = next;
    }
    frames
}

/// The way and the TCP bytes of a frame, if it has some.
fn parse(frame: &[u8]) -> Option<(Way, Vec<u8>)> {
    let headers = PacketHeaders::from_ethernet_slice(frame).ok()?;
    let (src, dst): (IpAddr, IpAddr) = match headers.net? {
        NetHeaders::Ipv4(ip, _) => (ip.source.into(), ip.destination.into()),
        NetHeaders::Ipv6(ip, _) => (ip.source.into(), ip.destination.into()),
        NetHeaders::Arp(_) => return None,
    };
    let Some(TransportHeader::Tcp(tcp)) = headers.transport else { return None };
    let vlans = headers.link_exts.iter().filter_map(|ext| match ext {
        LinkExtHeader::Vlan(tag) => Some(tag.vlan_id.value()),
        _ => None,
    });
    let way =
        (vlans.collect(), SocketAddr::new(src, tcp.source_port), SocketAddr::new(dst, tcp.destination_port));
    let bytes = [&tcp.to_bytes()[..], headers.payload.slice()].concat();
    Some((way, bytes))
}
