//! What programs change, make and drop: their output, read back.

use super::Runner;
use super::support::{Link, Run, build, captures, conf, recorded, workshop};
use mos_dpdk::capture::Capture;
use mos_flow::wire::{checksum, parse};
use mos_flow::{Flags, LinkType, Segment, Side};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A packet, and what is read of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    frame: Vec<u8>,
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    window: u16,
    flags: Flags,
    options: Vec<u8>,
    payload: Vec<u8>,
}

/// The packets of a capture, without its fillers.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let (capture, error) = Capture::load(path).unwrap();
    assert!(error.is_none(), "{error:?}");
    capture.frames_from(0).map(|f| f.data.to_vec()).filter(|f| f[12..14] != [0x08, 0x06]).collect()
}

/// A TCP packet, all of whose checksums are right.
fn seen(frame: &[u8]) -> Seen {
    let packet = parse(LinkType::Ethernet, frame).unwrap();
    assert!(checksum::ip_ok(frame, &packet), "IP checksum of {frame:02x?}");
    assert_eq!(checksum::tcp_ok(frame, &packet), Some(true), "TCP checksum of {frame:02x?}");
    let bytes = packet.segment_bytes(frame);
    let segment = Segment::parse(bytes, packet.segment_len).unwrap();
    let header = bytes.len() - segment.payload.len();
    Seen {
        frame: frame.to_vec(),
        ports: packet.ports(frame),
        seq: segment.seq.0,
        ack: segment.ack.0,
        window: segment.window,
        flags: segment.flags,
        options: bytes[20..header].to_vec(),
        payload: segment.payload.to_vec(),
    }
}

/// The program that has a part.
fn program(part: &str) -> &'static Path {
    static PROGRAMS: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    let (program, source) = source_of(part);
    PROGRAMS[program].get_or_init(|| build(source, Link::Shared))
}

fn source_of(part: &str) -> (usize, &'static str) {
    let changes = ["nat", "raw", "layers", "checksum", "lengths", "fixed"];
    match changes.iter().any(|name| part.starts_with(name)) {
        true => (0, "tests/c/packets.c"),
        false => (1, "tests/c/sends.c"),
    }
}

/// All parts that touch memory in ways of their own, for programs that watch that. What leaves goes nowhere.
pub(crate) fn careful(link: Link, run: Runner) {
    let conf = conf("packets.conf", "max_concurrency = 64");
    let [nat, _] = captures::translated();
    let talk = captures::talk();
    let parts = [
        ("nat", &nat),
        ("raw", &captures::mixed()),
        ("layers", &talk),
        ("lengths", &captures::lengths()),
        ("fixed", &captures::fixed()),
        ("sends", &talk),
        ("flood", &talk),
        ("six", &captures::six()),
        ("reset", &talk),
        ("buffers", &captures::ppeek()),
    ];
    let sources = ["tests/c/packets.c", "tests/c/sends.c"].map(|source| build(source, link));
    for (part, capture) in parts {
        run(&sources[source_of(part).0], Some(capture)).arg(part).arg(&conf).checks(5);
    }
}

/// Runs one part of a program over a capture. Returns what left.
fn run(what: &str, capture: &Path, least: u32) -> Vec<Vec<u8>> {
    run_with(what, capture, least, &[])
}

fn run_with(what: &str, capture: &Path, least: u32, settings: &[(&str, &str)]) -> Vec<Vec<u8>> {
    let output = workshop().join(format!("packets-{what}.pcap"));
    let mut io = std::ffi::OsString::from("pcap:");
    io.push(capture);
    io.push(",");
    io.push(&output);
    let conf = conf("packets.conf", "max_concurrency = 64");
    let run = Run::new(program(what), None).arg(what).arg(conf).env("MOS_IO", io);
    settings.iter().fold(run, |run, (key, value)| run.env(key, value)).checks(least);
    frames(&output)
}

/// Writes the checksum of an IPv4 header anew, word by word (RFC 791).
fn seal_ip(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let mut sum: u32 = frame[14..34].chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// A frame but for its checksums; `seen` has looked at those.
fn without_checksums(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame[24..26].fill(0);
    frame[50..52].fill(0);
    frame
}

#[test]
fn addresses_changed_at_the_first_syn_are_those_of_the_answers() {
    let [come, leave] = captures::translated();
    let expected = frames(&leave);
    assert_eq!(expected.len(), 8);
    for what in ["nat", "nat-update"] {
        assert_eq!(run(what, &come, 100), expected, "{what}");
    }
}

#[test]
fn raw_sockets_and_orphans_change_and_drop() {
    let come = captures::mixed();
    let mut expected = frames(&come);
    expected.retain(|f| {
        let (is_udp, is_second_orphan) = (f[23] == 17, f[34..38] == [0, 7, 0, 9]);
        f[12] == 0x86 || !is_udp && !is_second_orphan
    });
    for frame in expected.iter_mut().filter(|f| f[12] == 8) {
        frame[22] = 5;
        seal_ip(frame);
        if frame[34..38] == [0, 7, 0, 8] {
            frame[54..64].fill(b'o');
        }
    }
    let leave = run("raw", &come, 60);
    assert_eq!(leave.len(), expected.len());
    for (is, was) in leave.iter().zip(&expected) {
        let is_changed_orphan = was[12] == 8 && was[34..38] == [0, 7, 0, 8];
        seen(is);
        match is_changed_orphan {
            true => assert_eq!(without_checksums(is), without_checksums(was)),
            false => assert_eq!(is, was),
        }
    }
}

#[test]
fn every_part_of_a_packet_can_be_overwritten() {
    let come = captures::talk();
    let mut expected = frames(&come);
    let first = &mut expected[3];
    first[..12].copy_from_slice(&[2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
    (first[22], first[15], first[54], first[63]) = (7, 16, b'X', b'Y');
    first[48..50].copy_from_slice(&[0x12, 0x34]);
    let second = &mut expected[4];
    second[54..74].fill(b'z');
    second[22] = 9;
    let third = &mut expected[5];
    third[54] = b'R';
    third[38..50].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0x0a, 0x0b]);
    let leave = run("layers", &come, 60);
    assert_eq!(leave.len(), 10);
    for (is, was) in leave.iter().zip(&expected) {
        seen(is);
        assert_eq!(without_checksums(is), without_checksums(was));
    }
}

#[test]
fn a_wrong_checksum_is_made_right_on_demand_only() {
    let come = captures::bad_checksum();
    let off = [("MOS_CHECKSUM", "off")];
    let mut left = run_with("checksum", &come, 5, &off);
    left[0][50] ^= 0x55; // wrong by what it was wrong before
    assert_eq!(seen(&left[0]).frame[22], 33);
    let updated = run_with("checksum-update", &come, 5, &off);
    assert_eq!((seen(&updated[0]), updated.len()), (seen(&left[0]), 3));
}

#[test]
fn lengths_change_and_both_ends_stay_in_step() {
    let p = |range| captures::pattern(Side::Server, range);
    let first = [p(0..3), b"HELLO".to_vec(), p(3..10)].concat();
    let second = [p(10..12), p(20..30)].concat();
    let answer = captures::pattern(Side::Client, 0..20);
    let (ack, fin) = (Flags::ACK, Flags::ACK | Flags::FIN);
    let data = Flags::ACK | Flags::PSH;
    // From which port, the numbers that its receiver counts by, and octets.
    let expected = [
        (1000, 100, 0, Flags::SYN, vec![]),
        (80, 200, 101, Flags::SYN | Flags::ACK, vec![]),
        (1000, 101, 201, ack, vec![]),
        (1000, 101, 201, data, first.clone()),
        (1000, 101, 201, data, first),
        (80, 201, 111, data, answer),
        (1000, 116, 221, data, second),
        (80, 221, 131, ack, vec![]),
        (1000, 128, 221, fin, vec![]),
        (80, 221, 132, fin, vec![]),
        (1000, 129, 222, ack, vec![]),
    ];
    let leave = run("lengths", &captures::lengths(), 40);
    let read = |f: &Vec<u8>| {
        let s = seen(f);
        (s.ports.0, s.seq, s.ack, s.flags, s.payload)
    };
    assert_eq!(leave.iter().map(read).collect::<Vec<_>>(), expected);
}

#[test]
fn what_cannot_be_changed_goes_on_as_it_was() {
    let come = captures::fixed();
    let mut expected = frames(&come);
    *expected[3].last_mut().unwrap() = 1;
    expected.remove(5); // dropped at the error event
    let leave = run("fixed", &come, 25);
    assert_eq!(leave.len(), 8);
    for (i, (is, was)) in leave.iter().zip(&expected).enumerate() {
        match i {
            3 => assert!(without_checksums(&seen(is).frame) == without_checksums(was)),
            _ => assert_eq!(is, was, "{i}"),
        }
    }
}

/// Ethernet addresses of a frame: destination and source.
fn macs(frame: &[u8]) -> [&[u8]; 2] {
    [&frame[..6], &frame[6..12]]
}

#[test]
fn packets_can_be_made_in_every_callback() {
    let come = captures::talk();
    let original = frames(&come);
    let (made, rest): (Vec<Vec<u8>>, Vec<Vec<u8>>) =
        run("sends", &come, 26).into_iter().partition(|f| !original.contains(f));
    assert_eq!(rest, original, "what comes by goes on");
    let clients = macs(&original[0]);
    let servers = [clients[1], clients[0]];
    let expected = [
        ("start", (1000, 80), clients),
        ("sender", (1000, 80), clients),
        ("receiver", (80, 1000), servers),
        ("data", (1000, 80), clients),
        ("timer", (1000, 80), clients),
        ("end", (1000, 80), clients),
    ];
    assert_eq!(made.len(), expected.len());
    for (frame, (tag, ports, macs_of)) in made.iter().zip(expected) {
        let s = seen(frame);
        assert_eq!((s.payload.as_slice(), s.ports, macs(frame)), (tag.as_bytes(), ports, macs_of));
        assert_eq!((s.seq, s.ack, s.window, s.flags), (0xffff_fff0, 6000, 777, Flags::ACK), "{tag}");
        assert!(s.options.is_empty(), "{tag}");
        let addresses: [u8; 8] =
            if ports.0 == 80 { [10, 0, 0, 2, 10, 0, 0, 1] } else { [10, 0, 0, 1, 10, 0, 0, 2] };
        assert_eq!(frame[26..34], addresses, "{tag}");
        assert_eq!((frame[22], &frame[20..22]), (64, &[0x40, 0][..]), "{tag}: TTL, DF");
    }
}

#[test]
fn so_many_packets_wait_and_no_more() {
    let come = captures::talk();
    let leave = run("flood", &come, 5);
    let copy = seen(&frames(&come)[3]);
    let copies = leave.iter().map(|f| seen(f)).filter(|s| s.seq == copy.seq && s.payload == copy.payload);
    assert_eq!((copies.count(), leave.len()), (257, 10 + 256));
}

#[test]
fn made_packets_have_timestamps_where_the_connection_has() {
    let come = recorded("web4.pcap");
    let leave: Vec<Seen> = run("stamps", &come, 5).iter().map(|f| seen(f)).collect();
    let at = leave.iter().position(|s| s.payload == b"copy").unwrap();
    let copied = leave[..at].iter().find(|s| s.seq == leave[at].seq && !s.payload.is_empty()).unwrap();
    assert_eq!(copied.options.len(), 12, "nothing but timestamps");
    assert_eq!(
        leave[at],
        Seen {
            frame: leave[at].frame.clone(),
            payload: b"copy".to_vec(),
            flags: Flags::ACK,
            ..copied.clone()
        }
    );
    assert_eq!(leave.len(), frames(&come).len() + 1);
}

#[test]
fn ipv6_packets_are_changed_and_made() {
    let come = captures::six();
    let leave: Vec<Seen> = run("six", &come, 10).iter().map(|f| seen(f)).collect();
    let said: Vec<_> =
        leave.iter().filter(|s| s.ports.0 == 1000).map(|s| (s.seq, s.payload.as_slice())).collect();
    let expected: [(u32, &[u8]); 6] =
        [(100, b""), (101, b""), (101, b"sixsixsixsix"), (101, b"made"), (113, b""), (114, b"")];
    assert_eq!(said, expected);
    let acks: Vec<u32> = leave.iter().filter(|s| s.ports.0 == 80).map(|s| s.ack).collect();
    assert_eq!(acks, [101, 111, 112, 112]);
}

/// Destination port and number of each RST.
fn resets(leave: &[Vec<u8>]) -> Vec<(u16, u32)> {
    let all = leave.iter().map(|f| seen(f)).filter(|s| s.flags.has(Flags::RST));
    all.map(|s| (s.ports.1, s.seq)).collect()
}

#[test]
fn both_ends_are_reset() {
    let come = captures::talk();
    // The server has the client's ten octets but has not acknowledged them: either number may be what it expects.
    let expected = [(1000, 201), (80, 111), (80, 101)];
    let leave = run("reset", &come, 10);
    assert_eq!(resets(&leave), expected);
    // Made at a packet of the client's: turned round for the client.
    let [to, from] = macs(&frames(&come)[3]).map(<[u8]>::to_vec);
    let first = leave.iter().find(|f| seen(f).flags.has(Flags::RST)).unwrap();
    assert_eq!(macs(first), [from, to]);
    assert_eq!(leave.len(), 10 + 3, "orphans pass");
    // In a timer, before the fifth packet.
    assert_eq!(resets(&run("later", &come, 10)), expected);
}

#[test]
fn callbacks_can_be_stopped() {
    assert_eq!(run("stops", &captures::talk(), 15).len(), 10, "packets pass all the same");
}

#[test]
fn buffers_have_the_size_that_is_asked_for() {
    run("buffers", &captures::ppeek(), 100);
}
