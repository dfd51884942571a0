//! Captures whose every octet and packet the C programs know.

pub(crate) mod rows;

use mos_dpdk::capture::CaptureWriter;
use mos_flow::testing::Exchange;
use mos_flow::{Frame, Instant, Side, Sides};
use std::path::PathBuf;
use tcp_reasm::Flags;

/// Second 1,000,000,000 of the epoch; packets follow each other by 10 ms.
const START: u64 = 1_000_000_000_000_000;
const STEP: u64 = 10_000;
/// Frames in a burst: data is announced when one is through.
const BURST: usize = 32;

/// What `side` receives at offset `o`; check.h has the same rule.
pub(crate) fn pattern(side: Side, range: std::ops::Range<u64>) -> Vec<u8> {
    let number = u64::from(side == Side::Server);
    range.map(|o| (o * 7 + (o >> 8) * 13 + number * 101) as u8).collect()
}

/// Writes a capture. With `apart`, each packet is followed by enough frames of no interest to make its burst full.
fn write(name: &str, packets: &[Vec<u8>], apart: bool) -> PathBuf {
    let mut capture = Vec::new();
    let mut writer = CaptureWriter::new(&mut capture);
    let mut filler = vec![0xff; 42];
    filler[12..14].copy_from_slice(&[0x08, 0x06]); // ARP
    for (time, packet) in (START..).step_by(STEP as usize).zip(packets) {
        writer.write(&Frame::ethernet(Instant(time), packet)).unwrap();
        for _ in 0..if apart { BURST - 1 } else { 0 } {
            writer.write(&Frame::ethernet(Instant(time), &filler)).unwrap();
        }
    }
    writer.flush().unwrap();
    super::file(name, &capture)
}

/// One connection as a script of offsets.
pub(crate) struct Script {
    exchange: Exchange,
    /// First sequence number of each side's payload.
    base: Sides<u32>,
    packets: Vec<Vec<u8>>,
}

impl Script {
    pub(crate) fn new(client: &str, server: &str, isn: Sides<u32>) -> Self {
        let exchange = Exchange::new(client.parse().unwrap(), server.parse().unwrap(), isn);
        let base = Sides { client: isn.client.wrapping_add(1), server: isn.server.wrapping_add(1) };
        Script { exchange, base, packets: Vec::new() }
    }

    pub(crate) fn handshake(mut self) -> Self {
        self.packets.extend(self.exchange.handshake());
        self
    }

    /// Octets `range` of what `from` says, in one segment, whatever was said before; acknowledges `ack` octets.
    pub(crate) fn data(mut self, from: Side, range: std::ops::Range<u64>, ack: u32) -> Self {
        let seq = self.base[from].wrapping_add(range.start as u32);
        let ack = self.base[!from].wrapping_add(ack);
        let payload = pattern(!from, range);
        let flags = Flags::PSH | Flags::ACK;
        self.packets.push(self.exchange.segment_at(from, seq, ack, flags, &payload));
        self
    }

    /// As [`Script::data`], with all bits of the octets of `turned` turned.
    pub(crate) fn turned(
        mut self,
        from: Side,
        range: std::ops::Range<u64>,
        turned: std::ops::Range<u64>,
    ) -> Self {
        let seq = self.base[from].wrapping_add(range.start as u32);
        let mut payload = pattern(!from, range.clone());
        for (octet, _) in payload.iter_mut().zip(range).filter(|(_, at)| turned.contains(at)) {
            *octet ^= 0xff;
        }
        let flags = Flags::PSH | Flags::ACK;
        self.packets.push(self.exchange.segment_at(from, seq, self.base[!from], flags, &payload));
        self
    }

    /// A segment without payload, `said` octets after the start.
    pub(crate) fn bare(mut self, from: Side, flags: Flags, said: u32, ack: u32) -> Self {
        let (seq, ack) = (self.base[from].wrapping_add(said), self.base[!from].wrapping_add(ack));
        self.packets.push(self.exchange.segment_at(from, seq, ack, flags, &[]));
        self
    }

    pub(crate) fn packets(self) -> Vec<Vec<u8>> {
        self.packets
    }
}

/// The connection that ppeek.c counts the packets of, one packet in a burst.
pub(crate) fn ppeek() -> PathBuf {
    write("ppeek.pcap", &ppeek_packets(), true)
}

/// The same in one burst.
pub(crate) fn dense() -> PathBuf {
    write("dense.pcap", &ppeek_packets(), false)
}

fn ppeek_packets() -> Vec<Vec<u8>> {
    use Side::{Client, Server};
    // The client's sequence numbers wrap inside of its first segment.
    let isn = Sides { client: 0xffff_fff0, server: 5000 };
    let mut s = Script::new("10.0.0.1:1000", "10.0.0.2:80", isn).handshake();
    s = s.data(Client, 0..100, 0); // packet 4
    s = s.data(Client, 200..300, 0);
    s = s.data(Client, 400..450, 0);
    s = s.data(Client, 100..200, 0); // packet 7
    s = s.data(Server, 0..50, 300);
    s = s.data(Client, 300..400, 50); // packet 9
    for start in (450..12_450).step_by(1000) {
        s = s.data(Client, start..start + 1000, 50);
    }
    s = s.data(Server, 60..100, 12_450); // packet 22
    s = s.data(Server, 50..60, 12_450);
    s = s.bare(Client, Flags::FIN | Flags::ACK, 12_450, 100); // packet 24
    s = s.bare(Server, Flags::FIN | Flags::ACK, 100, 12_451);
    s = s.bare(Client, Flags::ACK, 12_451, 101); // packet 26
    s.packets()
}

/// Packets of all kinds; options.c counts them. All IPv4 ones are from or to 10.0.0.1.
pub(crate) fn mixed() -> PathBuf {
    use Side::{Client, Server};
    let isn = Sides { client: 100, server: 200 };
    let web = |client, server, isn| {
        let s = Script::new(client, server, isn).handshake().data(Client, 0..10, 0).data(Server, 0..20, 10);
        s.data(Client, 0..10, 20) // again
            .bare(Client, Flags::FIN | Flags::ACK, 10, 20)
            .bare(Server, Flags::FIN | Flags::ACK, 20, 11)
            .bare(Client, Flags::ACK, 11, 21)
            .packets()
    };
    let orphan = |client, server| Script::new(client, server, isn).data(Client, 0..10, 0).packets();
    let mut packets = web("10.0.0.1:1000", "10.0.0.2:80", isn); // 9 packets
    packets.extend(web("10.0.0.1:1001", "10.0.0.2:81", isn));
    packets.extend(web("[fd00::1]:1000", "[fd00::2]:80", isn));
    packets.extend(orphan("10.0.0.1:7", "10.0.0.2:8"));
    packets.extend(orphan("10.0.0.1:7", "10.0.0.2:9"));
    packets.extend(orphan("[fd00::1]:7", "[fd00::2]:8"));
    packets.push(udp());
    // A connection that is there at the end.
    let s = Script::new("10.0.0.1:1002", "10.0.0.2:82", isn).handshake();
    packets.extend(s.data(Client, 0..10, 0).packets());
    write("mixed.pcap", &packets, true)
}

/// The client's octets 100 to 200 are acknowledged, and not there.
pub(crate) fn gap() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    let s = s.data(Client, 0..100, 0).data(Client, 200..300, 0).bare(Server, Flags::ACK, 0, 300);
    let s = s.bare(Client, Flags::FIN | Flags::ACK, 300, 0).bare(Server, Flags::FIN | Flags::ACK, 0, 301);
    write("gap.pcap", &s.bare(Client, Flags::ACK, 301, 1).packets(), true)
}

/// The client says things twice, and not the same; ext.c counts the packets.
pub(crate) fn disputed() -> PathBuf {
    use Side::Client;
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    let s = s.data(Client, 0..1000, 0).data(Client, 1000..2000, 0).data(Client, 2000..3000, 0); // packet 6
    let s = s.turned(Client, 1900..2200, 1950..2100).turned(Client, 2900..3100, 2950..3100);
    let s = s.data(Client, 4000..4100, 0).turned(Client, 4050..4150, 4050..4150); // packet 10
    let s = s.data(Client, 2900..2950, 0).turned(Client, 3990..4110, 3990..4110);
    let s = s.bare(Side::Server, Flags::ACK, 0, 3000).turned(Client, 1000..1100, 1000..1100);
    write("disputed.pcap", &s.packets(), true)
}

/// Two connections from one address and port, packet by packet in turn; each side's one segment is ten octets ahead.
pub(crate) fn twins() -> PathBuf {
    let one = |server| {
        let s = Script::new("10.0.0.1:1000", server, Sides { client: 100, server: 200 });
        s.handshake().data(Side::Client, 10..15, 0).packets()
    };
    let (a, b) = (one("10.0.0.2:80"), one("10.0.0.3:80"));
    let packets: Vec<Vec<u8>> = a.into_iter().zip(b).flat_map(|(a, b)| [a, b]).collect();
    write("twins.pcap", &packets, false)
}

/// Connections and octets of [`fragmented`].
pub(crate) const FRAGMENTED: (usize, usize) = (20, 20 * 3 * 1000);

/// Connections whose data comes in fragments.
pub(crate) fn fragmented() -> PathBuf {
    let mut packets = Vec::new();
    for n in 0..FRAGMENTED.0 {
        let isn = Sides { client: 100, server: 200 };
        let s = Script::new(&format!("10.0.0.1:{}", 1000 + n), "10.0.0.2:80", isn).handshake();
        let s = s.data(Side::Client, 0..1000, 0).data(Side::Server, 0..1000, 1000);
        for (id, packet) in s.data(Side::Client, 1000..2000, 1000).packets().into_iter().enumerate() {
            packets.extend(fragments(&packet, (n * 10 + id) as u16));
        }
    }
    write("fragmented.pcap", &packets, false)
}

/// An IPv4 packet in pieces of 400 octets.
fn fragments(frame: &[u8], id: u16) -> Vec<Vec<u8>> {
    let (headers, payload) = frame.split_at(34);
    let last = payload.len().div_ceil(400) - 1;
    let pieces = payload.chunks(400).enumerate().map(|(n, piece)| {
        let mut fragment = headers.to_vec();
        let place = (n * 50) as u16 | if n < last { 0x2000 } else { 0 };
        for (at, word) in [(16, 20 + piece.len() as u16), (18, id), (20, place), (24, 0)] {
            fragment[at..at + 2].copy_from_slice(&word.to_be_bytes());
        }
        let words = fragment[14..34].chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
        let sum: u32 = words.sum();
        let checksum = !((sum & 0xffff) as u16 + (sum >> 16) as u16);
        fragment[24..26].copy_from_slice(&checksum.to_be_bytes());
        fragment.extend(piece);
        fragment
    });
    pieces.collect()
}

/// A handshake captured without link headers.
pub(crate) fn raw_ip() -> PathBuf {
    let packets =
        Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 1, server: 2 }).handshake().packets();
    let word = |n: u32| n.to_le_bytes();
    // Magic, version 2.4, two unused words, longest packet, raw IP.
    let mut capture: Vec<u8> = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101].map(word).concat();
    for (second, packet) in (1_000_000_000..).zip(packets) {
        let ip = &packet[14..];
        capture.extend([second, 0, ip.len() as u32, ip.len() as u32].map(word).concat());
        capture.extend(ip);
    }
    super::file("rawip.pcap", &capture)
}

/// One connection, packet by packet: the client says 10 and 20 octets, the server twice 20.
pub(crate) fn talk() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    let s =
        s.data(Client, 0..10, 0).data(Server, 0..20, 10).data(Client, 10..30, 20).data(Server, 20..40, 30);
    write("talk.pcap", &farewell(s, 30, 40).packets(), true)
}

/// The same without its handshake: 70 octets of a connection that began before.
pub(crate) fn begun() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 });
    let s =
        s.data(Client, 0..10, 0).data(Server, 0..20, 10).data(Client, 10..30, 20).data(Server, 20..40, 30);
    write("begun.pcap", &farewell(s, 30, 40).packets(), false)
}

/// Octets 20 to 40 of the client were not captured, though the server acknowledges them before more comes.
pub(crate) fn holed() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    let s = s.data(Client, 0..20, 0).data(Server, 0..10, 40);
    let s = s.data(Client, 40..70, 10).data(Server, 10..20, 70);
    write("holed.pcap", &farewell(s, 70, 20).packets(), true)
}

/// The client ends, then the server, after so many octets.
fn farewell(s: Script, client: u32, server: u32) -> Script {
    s.bare(Side::Client, Flags::FIN | Flags::ACK, client, server)
        .bare(Side::Server, Flags::FIN | Flags::ACK, server, client + 1)
        .bare(Side::Client, Flags::ACK, client + 1, server + 1)
}

/// A short connection between two hosts, as the one sees it whose addresses are `client`'s.
fn short(client: &str) -> Vec<Vec<u8>> {
    let s = Script::new(client, "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    farewell(s.data(Side::Client, 0..10, 0).data(Side::Server, 0..20, 10), 10, 20).packets()
}

/// What comes in at a translator's two sides, and what leaves it: the client is 192.0.2.9:2000 to the server.
pub(crate) fn translated() -> [PathBuf; 2] {
    let (inside, outside) = (short("10.0.0.1:1000"), short("192.0.2.9:2000"));
    let pairs = || inside.iter().cloned().zip(outside.iter().cloned());
    let is_clients = |frame: &[u8]| frame[26..30] == [10, 0, 0, 1];
    let come: Vec<_> = pairs().map(|(i, o)| if is_clients(&i) { i } else { o }).collect();
    let leave: Vec<_> = pairs().map(|(i, o)| if is_clients(&i) { o } else { i }).collect();
    [write("translated.pcap", &come, true), write("translated-out.pcap", &leave, true)]
}

/// A client of whose first ten octets fifteen are made, and of whose next twenty twelve: the server acknowledges those. It says
/// the first ten twice.
pub(crate) fn lengths() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    let s = s.data(Client, 0..10, 0).data(Client, 0..10, 0).data(Server, 0..20, 15).data(Client, 10..30, 20);
    let s = s.bare(Server, Flags::ACK, 20, 27).bare(Client, Flags::FIN | Flags::ACK, 30, 20);
    let s = s.bare(Server, Flags::FIN | Flags::ACK, 20, 28).bare(Client, Flags::ACK, 31, 21);
    write("lengths.pcap", &s.packets(), true)
}

/// The longest packet there is, one beyond the window, and one in three fragments.
pub(crate) fn fixed() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", Sides { client: 100, server: 200 }).handshake();
    let s =
        s.data(Client, 0..65_495, 0).bare(Server, Flags::ACK, 0, 65_495).data(Client, 200_000..200_010, 0);
    let mut packets = s.data(Client, 65_495..65_600, 0).packets();
    let last = packets.pop().unwrap();
    packets.extend(mos_flow::testing::fragments(&last, 48, 7));
    write("fixed.pcap", &packets, true)
}

/// A short connection over IPv6 to whose client's ten octets two are added.
pub(crate) fn six() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("[fd00::1]:1000", "[fd00::2]:80", Sides { client: 100, server: 200 }).handshake();
    let s = s.data(Client, 0..10, 0).data(Server, 0..20, 12).bare(Client, Flags::FIN | Flags::ACK, 10, 20);
    let s = s.bare(Server, Flags::FIN | Flags::ACK, 20, 13).bare(Client, Flags::ACK, 11, 21);
    write("six.pcap", &s.bare(Server, Flags::ACK, 21, 13).packets(), true)
}

/// A UDP packet over IPv4 of 4 octets.
fn udp() -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0x66, 0xcb, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 53, 0, 54, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame
}

/// A SYN whose checksum is left to a network card.
pub(crate) fn bad_checksum() -> PathBuf {
    let isn = Sides { client: 1, server: 2 };
    let mut packets = Script::new("10.0.0.1:1000", "10.0.0.2:80", isn).handshake().packets();
    packets[0][50] ^= 0x55;
    write("checksum.pcap", &packets, false)
}
