//! Captures for what kills the original: idioms.c and attack.c count their packets.

use super::{START, Script, farewell, short, write};
use mos_dpdk::capture::CaptureWriter;
use mos_flow::{Frame, Instant, Side, Sides};
use std::path::PathBuf;
use tcp_reasm::Flags;

const ISN: Sides<u32> = Sides { client: 100, server: 200 };

/// Writes a capture of packets at these milliseconds.
fn write_at(name: &str, packets: impl IntoIterator<Item = (u64, Vec<u8>)>) -> PathBuf {
    let mut capture = Vec::new();
    let mut writer = CaptureWriter::new(&mut capture);
    for (millis, packet) in packets {
        writer.write(&Frame::ethernet(Instant(START + 1000 * millis), &packet)).unwrap();
    }
    writer.flush().unwrap();
    crate::support::file(name, &capture)
}

/// Four connections, all of whose packets are one burst.
pub(crate) fn brief() -> PathBuf {
    let packets: Vec<Vec<u8>> = (1000..1004).flat_map(|port| short(&format!("10.0.0.1:{port}"))).collect();
    assert_eq!(packets.len(), super::BURST);
    write("brief.pcap", &packets, false)
}

/// Many connections, one after the other.
pub(crate) fn many() -> PathBuf {
    let packets: Vec<Vec<u8>> = (1000..2000).flat_map(|port| short(&format!("10.0.0.1:{port}"))).collect();
    write("many.pcap", &packets, false)
}

/// Two connections one after the other, with the same addresses and ports, one packet in a burst.
pub(crate) fn twice() -> PathBuf {
    write("twice.pcap", &[short("10.0.0.1:1000"), short("10.0.0.1:1000")].concat(), true)
}

/// A connection that is silent after ten octets of the client, and, 100 seconds later, another one's first packet.
pub(crate) fn silent() -> PathBuf {
    let open = |client| Script::new(client, "10.0.0.2:80", ISN).handshake();
    let first = open("10.0.0.1:1000").data(Side::Client, 0..10, 0).packets();
    let second = open("10.0.0.1:1001").packets().into_iter().take(1);
    write_at("silent.pcap", (0..).step_by(10).zip(first).chain(second.map(|p| (100_000, p))))
}

/// A connection whose client says ten octets, and whose server then says one every 20 seconds, ten times.
pub(crate) fn one_sided() -> PathBuf {
    let mut s = Script::new("10.0.0.1:1000", "10.0.0.2:80", ISN).handshake().data(Side::Client, 0..10, 0);
    for n in 0..10 {
        s = s.data(Side::Server, n..n + 1, 10);
    }
    let millis = [0, 10, 20, 30].into_iter().chain((1..).map(|n| n * 20_000));
    write_at("onesided.pcap", millis.zip(s.packets()))
}

/// 500 SYNs that nobody answers, and a short connection.
pub(crate) fn syns() -> PathBuf {
    let syn = |port| {
        Script::new(&format!("10.9.9.9:{port}"), "10.0.0.2:80", ISN).handshake().packets().swap_remove(0)
    };
    let mut packets: Vec<Vec<u8>> = (2000..2500).map(syn).collect();
    packets.extend(short("10.0.0.1:1000"));
    write("syns.pcap", &packets, true)
}

/// A handshake with everything twice, ten octets, a RST far from what the server expects, ten octets more, and the end.
pub(crate) fn again() -> PathBuf {
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", ISN);
    let mut packets: Vec<Vec<u8>> =
        s.handshake().packets().into_iter().flat_map(|p| [p.clone(), p]).collect();
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", ISN).data(Side::Client, 0..10, 0);
    let s = s.bare(Side::Client, Flags::RST, 1_000_000_000, 0).data(Side::Client, 10..20, 0);
    packets.extend(farewell(s, 20, 0).packets());
    write("again.pcap", &packets, true)
}

/// The client's octets but for the last of each hundred, which the server acknowledges: one octet is never there.
pub(crate) fn single() -> PathBuf {
    use Side::{Client, Server};
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", ISN).handshake().data(Client, 0..99, 0);
    let s = s.data(Client, 100..199, 0).bare(Server, Flags::ACK, 0, 199);
    write("single.pcap", &farewell(s, 199, 0).packets(), true)
}

/// Packets that are cut at each of their octets, and those each of whose octets has other values.
pub(crate) fn crooked() -> PathBuf {
    let mut packets = Vec::new();
    let s = Script::new("10.0.0.1:1000", "10.0.0.2:80", ISN).handshake().data(Side::Client, 0..40, 0);
    for whole in s.data(Side::Server, 0..40, 40).packets() {
        packets.push(whole.clone());
        packets.extend((0..whole.len()).map(|n| whole[..n].to_vec()));
        for at in 12..whole.len().min(58) {
            for value in [0, 1, 0x0f, 0x40, 0x4f, 0x50, 0x60, 0xf0, 0xff] {
                let mut other = whole.clone();
                other[at] = value;
                packets.push(other);
            }
        }
    }
    write("crooked.pcap", &packets, false)
}
