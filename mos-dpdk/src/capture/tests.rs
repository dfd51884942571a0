use super::*;
use crate::port::mem::MemPort;
use crate::port::pcap::{PcapSink, PcapSource};
use crate::port::{Port, Received};
use proptest::prelude::*;

const PACKETS: [(u64, &[u8], u32); 3] = [
    (1_700_000_000_123_456, b"first", 5),
    (1_700_000_001_000_007, b"", 0),
    (1_700_000_002_999_999, b"cut", 1500),
];

/// Numbers in one byte order.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u16(self, n: u16) -> [u8; 2] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn u32(self, n: u32) -> [u8; 4] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }
}

fn legacy(order: Order, nanoseconds: bool) -> Vec<u8> {
    let magic = if nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut f = order.u32(magic).to_vec();
    f.extend([order.u16(2), order.u16(4)].concat());
    f.extend([order.u32(0), order.u32(0), order.u32(65535), order.u32(1)].concat());
    for (time, data, wire) in PACKETS {
        let fraction = (time % 1_000_000) as u32 * if nanoseconds { 1000 } else { 1 };
        f.extend(order.u32((time / 1_000_000) as u32));
        f.extend([order.u32(fraction), order.u32(data.len() as u32), order.u32(wire)].concat());
        f.extend(data);
    }
    f
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = order.u32(padded as u32 + 12);
    let mut b = [order.u32(kind), len].concat();
    b.extend(body);
    b.resize(8 + padded, 0);
    b.extend(len);
    b
}

/// A section with one Ethernet interface whose clock has `resolution` as the option says (`None`: no option).
fn section(order: Order, resolution: Option<u8>, link: u16) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend([order.u16(1), order.u16(0)].concat());
    body.extend([0xff; 8]);
    let mut f = block(order, 0x0a0d_0d0a, &body);
    let mut interface = [order.u16(link), order.u16(0)].concat();
    interface.extend(order.u32(0));
    if let Some(resolution) = resolution {
        interface.extend([order.u16(9), order.u16(1)].concat());
        interface.extend([resolution, 0, 0, 0, 0, 0, 0, 0]);
    }
    f.extend(block(order, 1, &interface));
    f
}

fn enhanced(order: Order, ticks: u64, data: &[u8], wire: u32) -> Vec<u8> {
    let words = [0, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire];
    let mut body: Vec<u8> = words.iter().flat_map(|w| order.u32(*w)).collect();
    body.extend(data);
    block(order, 6, &body)
}

fn ng(order: Order, resolution: Option<u8>, per_second: u64) -> Vec<u8> {
    let mut f = section(order, resolution, 1);
    for (time, data, wire) in PACKETS {
        let ticks = u128::from(time) * u128::from(per_second) / 1_000_000;
        f.extend(enhanced(order, u64::try_from(ticks).unwrap(), data, wire));
        f.extend(block(order, 0x0bad, b"a kind of block from the future"));
    }
    f
}

type Packets = Vec<(u64, Vec<u8>, u32)>;

fn read(bytes: &[u8]) -> Result<(Packets, Option<CaptureError>), CaptureError> {
    let mut reader = CaptureReader::new("test".into(), bytes)?;
    let mut packets = Vec::new();
    loop {
        let mut keep = |frames: &mut [Frame<'_>]| {
            packets.extend(frames.iter().map(|f| (f.time.0, f.data.to_vec(), f.wire_len)));
        };
        match reader.read_burst(&mut keep) {
            Ok(0) => return Ok((packets, None)),
            Ok(_) => {}
            Err(e) => return Ok((packets, Some(e))),
        }
    }
}

fn expected() -> Packets {
    PACKETS.iter().map(|(t, d, w)| (*t, d.to_vec(), *w)).collect()
}

#[test]
fn every_format_gives_the_same_packets() {
    for big in [false, true] {
        let order = Order { big };
        for nanoseconds in [false, true] {
            let (packets, error) = read(&legacy(order, nanoseconds)).unwrap();
            assert!(packets == expected() && error.is_none(), "pcap big {big} ns {nanoseconds}: {packets:?}");
        }
        for (resolution, per_second) in [(None, 1_000_000), (Some(6), 1_000_000), (Some(9), 1_000_000_000)] {
            let (packets, error) = read(&ng(order, resolution, per_second)).unwrap();
            assert!(
                packets == expected() && error.is_none(),
                "pcapng big {big} {resolution:?}: {packets:?} {error:?}"
            );
        }
        // A clock of powers of two: 2^-20 s is just above a microsecond.
        let (packets, _) = read(&ng(order, Some(0x80 | 20), 1 << 20)).unwrap();
        assert!(packets.iter().zip(expected()).all(|(p, e)| p.0.abs_diff(e.0) <= 1), "{packets:?}");
    }
}

#[test]
fn sections_may_change_byte_order_and_simple_packets_take_the_last_time() {
    let (little, big) = (Order { big: false }, Order { big: true });
    let mut f = ng(little, None, 1_000_000);
    f.extend(ng(big, Some(9), 1_000_000_000));
    let mut simple = big.u32(3).to_vec();
    simple.extend(b"abc");
    f.extend(block(big, 3, &simple));
    let (packets, error) = read(&f).unwrap();
    assert!(error.is_none(), "{error:?}");
    assert_eq!(packets.len(), 7);
    assert_eq!(packets[6], (PACKETS[2].0, b"abc".to_vec(), 3));
}

#[test]
fn a_capture_cut_anywhere_gives_the_packets_before_the_cut() {
    for file in [legacy(Order { big: false }, false), ng(Order { big: true }, Some(9), 1_000_000_000)] {
        for len in 0..file.len() {
            match read(&file[..len]) {
                Err(e) => {
                    assert!(len < 28 && e.record == 0, "{len}: {e}");
                    assert!(
                        matches!(e.kind, CaptureErrorKind::Empty | CaptureErrorKind::NotACapture),
                        "{len}: {e}"
                    );
                }
                Ok((packets, error)) => {
                    assert_eq!(packets, expected()[..packets.len()], "{len}");
                    if let Some(e) = error {
                        assert!(e.is_truncation() && e.record == packets.len() as u64 + 1, "{len}: {e}");
                    }
                }
            }
        }
    }
}

#[test]
fn damage_is_named_with_its_record() {
    let order = Order { big: false };
    let interface_missing = {
        let mut f = section(order, None, 1);
        f.truncate(28); // the section header alone
        f.extend(enhanced(order, 1, b"x", 1));
        f
    };
    let too_long = {
        let mut f = legacy(order, false);
        f[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
        f
    };
    let bad_block = [section(order, None, 1), vec![6, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]].concat();
    let obsolete = [section(order, None, 1), block(order, 2, &[0; 24])].concat();
    let cases = [
        (interface_missing, "not described"),
        (too_long, "larger than any packet"),
        (bad_block, "impossible length"),
        (obsolete, "obsolete"),
    ];
    for (file, what) in cases {
        let (packets, error) = read(&file).unwrap();
        let error = error.unwrap_or_else(|| panic!("{what}: no error")).to_string();
        assert!(
            packets.is_empty() && error.contains(what) && error.starts_with("test: record 1: "),
            "{error}"
        );
    }
}

#[test]
fn link_types_are_known_or_named_by_their_number() {
    let order = Order { big: false };
    let cases = [
        (1, LinkType::Ethernet),
        (101, LinkType::RawIp),
        (12, LinkType::RawIp),
        (14, LinkType::RawIp),
        (113, LinkType::LinuxSll),
        (276, LinkType::LinuxSll2),
        (0, LinkType::Null),
        (108, LinkType::Loop),
        (9, LinkType::Ppp),
        (50, LinkType::PppSerial),
        (228, LinkType::Ipv4),
        (229, LinkType::Ipv6),
        (147, LinkType::Unknown(147)),
    ];
    for (number, link) in cases {
        let mut file = section(order, None, number);
        file.extend(enhanced(order, 1, b"x", 1));
        let mut seen = None;
        let mut reader = CaptureReader::new("test".into(), &file[..]).unwrap();
        reader.read_burst(&mut |frames| seen = Some(frames[0].link)).unwrap();
        assert_eq!(seen, Some(link));
        // Written again, it is the same.
        let mut written = Vec::new();
        let frame = Frame { link, ..Frame::ethernet(Instant(1), b"x") };
        CaptureWriter::new(&mut written).write(&frame).unwrap();
        let mut again = CaptureReader::new("test".into(), &written[..]).unwrap();
        again.read_burst(&mut |frames| assert_eq!(frames[0].link, link)).unwrap();
    }
}

#[test]
fn more_packets_than_the_buffer_holds_arrive_in_order() {
    let mut file = legacy(Order { big: false }, false)[..24].to_vec();
    for i in 0..3000_u32 {
        let data = vec![i as u8; 1000 + i as usize % 500];
        let len = (data.len() as u32).to_le_bytes();
        file.extend([i.to_le_bytes(), [0; 4], len, len].concat());
        file.extend(data);
    }
    let (packets, error) = read(&file).unwrap();
    assert!(error.is_none() && packets.len() == 3000);
    assert!(
        packets
            .iter()
            .enumerate()
            .all(|(i, p)| p.0 == i as u64 * 1_000_000 && p.1.iter().all(|b| *b == i as u8))
    );
}

#[test]
fn what_is_written_is_read_again_through_the_ports() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.pcap");
    let source = dir.path().join("in.pcap");
    std::fs::write(&source, legacy(Order { big: true }, true)).unwrap();
    let (capture, error) = Capture::load(&source).unwrap();
    assert!(error.is_none() && capture.len() == 3 && capture.wire_octets() == 1505);
    let (mut from, mut to) = (MemPort::new(&capture), PcapSink::create(&path).unwrap());
    let mut sent = 0;
    let received = from.receive(&mut |frames| {
        frames[1].verdict = Verdict::Drop;
        sent = to.transmit(frames).unwrap();
    });
    assert_eq!((received.unwrap(), sent), (Received::Frames(3), 2));
    assert_eq!(from.receive(&mut |_| unreachable!()).unwrap(), Received::End);
    to.flush().unwrap();
    let mut seen = Vec::new();
    let mut again = PcapSource::open(&path).unwrap();
    again
        .receive(&mut |frames| seen.extend(frames.iter().map(|f| (f.time.0, f.data.to_vec(), f.wire_len))))
        .unwrap();
    assert_eq!(seen, [expected()[0].clone(), expected()[2].clone()]);
    assert_eq!(again.receive(&mut |_| unreachable!()).unwrap(), Received::End);
    // An empty capture is one, too.
    PcapSink::create(&path).unwrap().flush().unwrap();
    assert_eq!(PcapSource::open(&path).unwrap().receive(&mut |_| unreachable!()).unwrap(), Received::End);
}

#[test]
fn frames_of_another_link_type_are_refused_by_the_writer() {
    let mut writer = CaptureWriter::new(Vec::new());
    let frame = Frame::ethernet(Instant(1), b"x");
    writer.write(&frame).unwrap();
    let other = Frame { link: LinkType::RawIp, ..frame };
    assert_eq!(writer.write(&other).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

proptest! {
    #[test]
    fn any_bytes_end_and_do_not_panic(
        head in prop_oneof![Just(legacy(Order { big: false }, false)), Just(ng(Order { big: true }, Some(9), 1_000_000_000))],
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        tail in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut file = head;
        for (at, byte) in edits {
            let i = at.index(file.len());
            file[i] = byte;
        }
        file.extend(tail);
        if let Ok((packets, _)) = read(&file) {
            prop_assert!(packets.len() <= file.len() / 12);
        }
    }
}
