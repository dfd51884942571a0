//! What `mos` has no switch for: each packet's verdict, overlap policies by system, urgent data, conflicts, and
//! captures that are changed on the way. One connection at a time, over the crates below.

use crate::follow::{Follow, Patience, Piece, window};
use crate::packets::{Packet, flow};
use crate::{hex, shared};
use ringbuf_core::overlap::{BySystem, Linux, Resolve, System};
use ringbuf_core::{Offset, Overlap, Range};
use std::path::Path;
use tcp_reasm::{Anomaly, Conn, Side, State, Strictness, UrgentPolicy};

const C: Side = Side::Client;
const S: Side = Side::Server;

fn linux(packets: &[Packet]) -> Follow<Overlap> {
    Follow::first(Strictness::Linux).over(packets)
}

/// What the server's application gets that reads as late as it can.
fn late<R: Resolve>(packets: &[Packet], policy: impl Fn() -> R) -> String {
    let mut follow = Follow::new(Conn::new(window()), Strictness::Linux, policy);
    follow.reads_late = true;
    follow.over(packets).text(S)
}

/// suricata-verify eve-payload-01 (ids, default policy bsd: GOOD), -02 (old-linux for 2.2.2.2: EVIL) on d01, and
/// eve-payload-04 (GOOD; XXX in a packet alone) on d02.
///
/// Not what an endpoint does: -02. There an exact second copy replaces octets that wait for their acknowledgement
/// although they are in order. A host has handed those over; that EVIL comes only with the policy `last`, for which
/// nothing is handed over before the end.
#[test]
fn d01_d02_the_copy_that_a_system_keeps() {
    let Some(dir) = shared() else { return };
    let d01 = flow(&dir.join("d01-tcp-overlap.pcap"), 12345, 8080);
    let d02 = flow(&dir.join("d02-tcp-overlap2.pcap"), 12345, 8080);
    for packets in [&d01, &d02] {
        assert_eq!(late(packets, || BySystem::<8>::new(System::Bsd)), "GOOD", "ids_default_policy");
        assert_eq!(late(packets, || Overlap::First), "GOOD");
        assert_eq!(late(packets, Linux::<8>::new), "GOOD");
        assert_eq!(late(packets, || BySystem::<8>::new(System::OldLinux)), "GOOD", "see above");
    }
    assert_eq!(late(&d01, || Overlap::Last), "EVIL", "ids_old_linux");
    assert_eq!(late(&d02, || Overlap::Last), "GXXX");
    // The same two segments behind a hole: there the table of old-linux has its say.
    let (syn, good, evil) = (&d01[..4], d01[4].with(4, b"GOOD"), d01[5].with(4, b"EVIL"));
    let waiting = [syn, &[good, evil, d01[4].with(0, b"all ")]].concat();
    assert_eq!(late(&waiting, || BySystem::<8>::new(System::OldLinux)), "all EVIL");
    assert_eq!(late(&waiting, || BySystem::<8>::new(System::Bsd)), "all GOOD");
    assert_eq!(late(&waiting, Linux::<8>::new), "all GOOD");
}

/// suricata-verify bug-3286-02-linux-evasion and 7858-stream-events: pkt_invalid_timestamp on packets 2 and 3 and
/// nowhere else, the session is established, HTTP 200 with a body of 14.
#[test]
fn d03_reset_and_fin_that_echo_no_timestamp_of_ours() {
    let Some(dir) = shared() else { return };
    let seen = linux(&flow(&dir.join("d03-with_evasion_linux.pcap"), 35532, 80));
    assert_eq!(seen.refused, [(2, Anomaly::TimestampEcho), (3, Anomaly::TimestampEcho)]);
    assert_eq!([seen.conn.state(C), seen.conn.state(S)], [State::Established; 2]);
    let answer = seen.text(C);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.len(), 14);
}

/// suricata-verify tcp-urgp-01-oob ("malicious" is contiguous: the octet between is out of band), -02-drop-ips (one
/// segment with URG, one gap).
///
/// Not what an endpoint does: -02 goes on to drop the whole flow (6 packets let in, 10 blocked). Here the segment
/// alone is refused, and what comes behind its octet waits, as it would for a retransmission.
#[test]
fn d07_urgent_octet() {
    let Some(dir) = shared() else { return };
    let packets = flow(&dir.join("d07-tcp-urgent1.pcap"), 43950, 9090);
    let with = |policy| Follow::first(Strictness::Linux).with_urgent(policy);
    let inline = with(UrgentPolicy::Inline).over(&packets);
    assert_eq!((inline.read_by(S).len(), inline.urgent.len()), (167, 0));
    let oob = with(UrgentPolicy::OutOfBand).over(&packets);
    assert_eq!(oob.urgent, [(Offset(10), Some(b'X'))]);
    let (whole, rest) = (inline.text(S), oob.text(S));
    assert_eq!((rest.len(), format!("{}{}", &whole[..10], &whole[11..])), (166, rest.clone()));
    assert!(rest.contains("malicious") && !whole.contains("malicious"), "{rest}");
    // A box that drops what is refused: the server never gets the octet, and does not acknowledge it.
    let until: Vec<Packet> = packets.iter().filter(|p| matches!(p.number, 1..=6 | 8)).cloned().collect();
    let dropped = with(UrgentPolicy::Drop).over(&until);
    assert_eq!(dropped.refused, [(5, Anomaly::UrgentDropped)], "tcp.urg 1, stream_urgent 1");
    assert_eq!(dropped.text(S), whole[..10]);
    assert!(dropped.conn.stream(S).holds_early(), "reassembly_gap 1");
}

/// suricata-verify security-4710-01: the packet after the client's RST+ACK with an MD5 signature is suspected to
/// follow an injected reset, and its request is parsed. A host drops the signed RST.
#[test]
fn d09_signed_reset() {
    let Some(dir) = shared() else { return };
    let seen = linux(&flow(&dir.join("d09-input.pcap"), 56369, 80));
    // Packet 11 repeats packet 7: 582 octets on the wire, 291 in the stream.
    assert_eq!(seen.refused, [(4, Anomaly::Signed), (11, Anomaly::OldSegment)]);
    let request = seen.text(S);
    assert!(request.starts_with("GET /ultrasurf.html ") && request.len() == 132, "{request}");
    assert_eq!(seen.read_by(C).len(), 291);
}

/// suricata-verify bug-4376, whose configuration leaves the VLAN out of the flow: the client is answered for the
/// second of two SYNs with different timestamps; one flow, closed, HTTP 200, the file complete.
#[test]
fn d10_syn_repeated_with_a_newer_timestamp() {
    let Some(dir) = shared() else { return };
    let seen = linux(&flow(&dir.join("d10-syn_retransmit_with_ts.pcap"), 33372, 80));
    let states = [seen.conn.state(C), seen.conn.state(S)];
    assert!(states.contains(&State::TimeWait) && states.contains(&State::Closed), "{states:?}");
    assert!(seen.gaps(C).is_empty() && seen.gaps(S).is_empty());
    let (request, answer) = (seen.read_by(S), seen.read_by(C));
    assert!(request.starts_with(b"GET ") && answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    let (head, body) = crate::http(&answer);
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
}

/// Zeek core.reassembly, fifth block: rexmit_inconsistency six times, from four packets. It reports each stored block
/// that differs, we each packet: from the first octet that differs to behind the last. Zeek counts from the ISN, we
/// from the first octet of payload.
///
/// Not what a monitor needs to do: Zeek leaves the five packets out that are shorter than their IP length (7, 26, 35,
/// 39, 85). Here the octets that were captured count, and the rest of them is a gap; so packet 39, which differs from
/// packet 20 in [7523, 7543), is a fifth one.
#[test]
fn d15_retransmissions_with_other_content() {
    let Some(dir) = shared() else { return };
    // Packet, and where its stored blocks differ.
    const ZEEK: [(usize, u64, u64); 6] = [
        (50, 14799, 14827),
        (64, 13367, 13379),
        (64, 13379, 13391),
        (68, 14799, 14827),
        (68, 14827, 14851),
        (112, 33094, 33122),
    ];
    const TRUNCATED: [usize; 5] = [7, 26, 35, 39, 85];
    let mut zeek: Vec<(usize, Range)> = Vec::new();
    for (packet, start, end) in ZEEK {
        match zeek.last_mut() {
            Some((last, range)) if *last == packet => range.end = Offset(end - 1),
            _ => zeek.push((packet, Range::new(start - 1, end - 1))),
        }
    }
    let packets = flow(&dir.join("d15-reassembly.pcap"), 2564, 80);
    let short = |p: &Packet| p.segment().payload.len() < p.segment().payload_len as usize;
    let truncated: Vec<usize> = packets.iter().filter(|p| short(p)).map(|p| p.number).collect();
    assert_eq!(truncated, TRUNCATED, "truncated_IP_len");
    // As Zeek takes the capture.
    let without: Vec<Packet> = packets.iter().filter(|p| !short(p)).cloned().collect();
    let mut seen = Follow::first(Strictness::Lossy);
    seen.patience = Patience::Turn;
    assert_eq!(seen.over(&without).conflicts, zeek);
    // As it is.
    let fifth = (39, Range::new(7522, 7542));
    for strictness in [Strictness::Linux, Strictness::Lossy] {
        let mut seen = Follow::first(strictness);
        seen.patience = Patience::Turn;
        let conflicts = seen.over(&packets).conflicts;
        assert_eq!(conflicts, [&[fifth], zeek.as_slice()].concat(), "{strictness:?}");
    }
}

// d24: PcapPlusPlus, TcpReassemblyTests.cpp, over one_tcp_stream.pcap and changes of it. The whole conversation in
// the order in which it was delivered is compared, gaps written out as it writes them.

fn d24(dir: &Path) -> Vec<Packet> {
    let packets = flow(&dir.join("d24-one_tcp_stream.pcap"), 61541, 80);
    assert_eq!(packets.len(), 36);
    packets
}

fn conversation<R>(seen: &Follow<R>) -> Vec<u8> {
    let piece = |p: &Piece| {
        let missing = || format!("[{} bytes missing]", p.range.len()).into_bytes();
        p.data.clone().unwrap_or_else(missing)
    };
    seen.log.iter().flat_map(piece).collect()
}

/// Messages of the client and of the server: runs of data without data from the other side between.
fn messages<R>(seen: &Follow<R>) -> [usize; 2] {
    let mut turns: Vec<Side> = seen.log.iter().map(|p| p.to).collect();
    turns.dedup();
    [S, C].map(|to| turns.iter().filter(|t| **t == to).count())
}

/// Follows packets of which some are missing or come in another order: what is missing is given up when the other
/// side answers.
fn lossy(packets: &[Packet], conn: Conn) -> Follow<Overlap> {
    let mut seen = Follow::new(conn, Strictness::Lossy, || Overlap::First);
    seen.patience = Patience::Turn;
    seen.over(packets)
}

const SANITY: &str = "52db1d111e31ae62e6f4a47e2d37ecc3e395d052105deb5dd27211abe8feb166";

#[test]
fn d24_sanity() {
    let Some(dir) = shared() else { return };
    let seen = linux(&d24(&dir));
    let all = conversation(&seen);
    assert_eq!((all.len(), hex(&all).as_str()), (22392, SANITY));
    let layout: Vec<(Side, u64)> = seen.log.iter().map(|p| (p.to, p.range.len())).collect();
    assert_eq!(layout, [(S, 2871), (C, 5528), (S, 7077), (C, 6916)]);
    assert_eq!((seen.deliveries.len(), messages(&seen)), (19, [2, 2]));
    assert_eq!(all[2870], 0x7d, "not the octet of the keep-alive");
    assert_eq!((seen.refused.len(), seen.conflicts.len()), (0, 0));
}

/// TestTcpReassemblyRetran. The copies that go on behind what was sent bring new octets: stars.
#[test]
fn d24_retransmissions() {
    let Some(dir) = shared() else { return };
    let mut packets = d24(&dir);
    let copy = |i: usize, from: usize, len: usize| {
        let mut payload = packets[i].segment().payload[from..].to_vec();
        payload.resize(len, b'*');
        packets[i].with(from as u32, &payload)
    };
    let len = |i: usize| packets[i].segment().payload.len();
    let copies = [
        (5, copy(4, 0, len(4))),
        (12, copy(10, 10, len(10) - 10)),
        (16, copy(13, 0, 1340)),
        (25, copy(21, 0, len(21) + 10)),
        (33, copy(28, 10, 1370)),
        (40, copy(34, 10, 91)),
    ];
    for (at, packet) in copies {
        packets.insert(at, packet);
    }
    let seen = linux(&packets);
    let all = conversation(&seen);
    let stars = |range: std::ops::Range<usize>| all[range].iter().all(|byte| *byte == b'*');
    assert!(stars(14079..14089) && stars(18196..18216));
    assert_eq!(all.len(), 22392);
    assert_eq!(hex(&all), "c4f54de3c334cb04c53fa4b567569303335241c85c3bd685724de9bec49dbc21");
    assert_eq!((seen.deliveries.len(), messages(&seen)), (21, [2, 2]));
}

/// TestTcpReassemblyMissingData. Not compared: its 17 deliveries; it hands out each packet that waited behind a gap.
#[test]
fn d24_missing_data() {
    let Some(dir) = shared() else { return };
    let mut packets = d24(&dir);
    // The suite means to take away 20 octets, but the HTTP body in the packet, from 443 on, comes twice that way.
    let payload = packets[3].segment().payload;
    packets[3] = packets[3].with(20, &[&payload[443..], &payload[20..]].concat());
    let payload = packets[20].segment().payload;
    packets[20] = packets[20].with(0, &payload[..payload.len() - 30]);
    packets.remove(28);
    packets.remove(30);
    let seen = lossy(&packets, Conn::new(window()));
    let lost = [seen.gaps(S), seen.gaps(C)].concat();
    assert_eq!(lost.iter().map(|r| r.len()).collect::<Vec<_>>(), [20, 30, 1360, 1360]);
    let all = conversation(&seen);
    for (at, len) in [(0, 20), (12627, 30), (16822, 1360), (18202, 1360)] {
        assert!(all[at..].starts_with(format!("[{len} bytes missing]").as_bytes()), "at {at}");
    }
    assert_eq!(all.len(), 19698);
    assert_eq!(hex(&all), "bc2bddba8a7bfe74a38c2de7eff6e7297c4c49141b651f2679b78f582fccfa8f");
    assert_eq!(messages(&seen), [2, 2]);
}

/// TestTcpReassemblyMidStream: without the first two packets.
#[test]
fn d24_without_syn() {
    let Some(dir) = shared() else { return };
    let packets = &d24(&dir)[2..];
    for strictness in [Strictness::Linux, Strictness::Lossy] {
        let seen = Follow::new(Conn::midstream(window()), strictness, || Overlap::First).over(packets);
        assert_eq!(hex(&conversation(&seen)), SANITY, "{strictness:?}");
        assert_eq!((seen.deliveries.len(), messages(&seen)), (19, [2, 2]), "{strictness:?}");
    }
}

/// TestTcpReassemblyOutOfOrder, both that with everything and that with a packet missing, and the orders of the other
/// two tests. Not compared: the number of deliveries (it hands out each packet, we what is in order as one), and its
/// ...WithManualClose, which is about a function that closes.
#[test]
fn d24_out_of_order() {
    let Some(dir) = shared() else { return };
    let mut packets = d24(&dir);
    packets.swap(9, 10);
    let moved = packets[18].clone();
    packets.insert(23, moved);
    packets.remove(18);
    packets[24..36].reverse();
    let seen = lossy(&packets, Conn::new(window()));
    assert_eq!((hex(&conversation(&seen)).as_str(), messages(&seen)), (SANITY, [2, 2]));

    let mut packets = d24(&dir);
    packets[24..36].reverse();
    packets.remove(29);
    let seen = lossy(&packets, Conn::new(window()));
    let all = conversation(&seen);
    assert!(all[18196..].starts_with(b"[1360 bytes missing]"));
    assert_eq!((all.len(), messages(&seen)), (21052, [2, 2]));
    assert_eq!(hex(&all), "c3ac17de71fb14f2678ed924037d09610795121a8884615f146f8b49368fc582");

    // TestTcpReassemblyOOOWithCleanup: a packet of the client's next message comes before the server's last one.
    let mut packets = d24(&dir);
    packets.swap(12, 13);
    packets.swap(13, 18);
    let (seen, sanity) = (lossy(&packets, Conn::new(window())), linux(&d24(&dir)));
    assert_eq!([C, S].map(|to| seen.read_by(to)), [C, S].map(|to| sanity.read_by(to)));
}

/// PcapPlusPlus ExamplesTest, tcpreassembly_sanity: 14 and 28 packets with data, 14 and 14 messages, and the hash of
/// both sides in order.
#[test]
fn d25_a_conversation() {
    let Some(dir) = shared() else { return };
    let seen = linux(&flow(&dir.join("d25-tcp-reassembly.pcap"), 64370, 80));
    let packets = [S, C].map(|to| seen.deliveries.iter().filter(|d| **d == to).count());
    assert_eq!((packets, messages(&seen)), ([14, 28], [14, 14]));
    let all = conversation(&seen);
    assert_eq!(hex(&all), "3cfdc25c9bc7ab16d1e9b075c9a086b3387e80ac2eedbd808e14c7754743eb0d");
}

/// Zeek core.tcp.large-file-reassembly: length and offset of what the file analysis is given, over more than 4 GiB.
///
/// The capture holds ten segments of a transfer and few acknowledgements; the jumps between them are thousands of
/// times the window. Zeek believes any acknowledgement, a monitor with `Strictness::Lossy` one window at a time
/// (`KNOWN` in `main.rs`). So the acknowledgements that the client must have sent are put back, each for all that its
/// window let in.
#[test]
fn d30_offsets_beyond_32_bits() {
    let Some(dir) = shared() else { return };
    const CHUNKS: [[u64; 2]; 10] = [
        [14480, 0],
        [752, 380_370_192],
        [752, 380_763_408],
        [752, 2_293_234_960],
        [752, 2_338_716_944],
        [752, 4_260_756_752],
        [2896, 4_303_090_112],
        [752, 4_675_468_560],
        [752, 4_675_730_704],
        [1182, 5_416_665_488],
    ];
    const TOTAL: u64 = 5_416_666_670;
    const MISSED: u64 = 5_416_642_848;
    let packets = flow(&dir.join("d30-bigtransfer.pcap"), 59764, 37150);
    // The last packet of the client, its acknowledgement brought up to date.
    let mut last: Option<Packet> = None;
    let mut whole = Vec::new();
    for packet in &packets {
        let segment = packet.segment();
        let place = if packet.from == S { segment.data_seq() } else { segment.ack };
        while let Some(ack) = last.as_ref().map(|p| p.segment().ack).filter(|ack| ack.lt(place)) {
            let window = last.as_ref().map_or(0, |p| u32::from(p.segment().window)) << 3; // the shift in its SYN
            last = last.map(|p| p.with_ack(ack.0.wrapping_add(window.min(place.0.wrapping_sub(ack.0)))));
            whole.extend(last.clone());
        }
        if packet.from == C && !segment.is_syn() {
            last = Some(packet.clone());
        }
        whole.push(packet.clone());
    }
    let seen = Follow::first(Strictness::Lossy).over(&whole);
    assert_eq!(seen.refused.first(), None);
    assert_eq!(seen.chunks(C), CHUNKS);
    assert_eq!(seen.gaps(C).iter().map(|r| r.len()).sum::<u64>(), MISSED);
    assert_eq!((seen.conn.stream(C).next(), seen.read_by(C).len()), (Offset(TOTAL), 23822));
    let states = [seen.conn.state(C), seen.conn.state(S)];
    assert_eq!(states, [State::Closed, State::TimeWait], "both ended it");
}
