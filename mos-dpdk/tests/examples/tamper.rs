//! `tamper`.

use super::{capture, frames, run, sum_up};
use mos_dpdk::capture::CaptureWriter;
use mos_flow::testing::Exchange;
use mos_flow::{Frame, Instant, Side, Sides};
use proptest::prelude::*;
use tcp_reasm::Flags;

/// What `from` sent: the payload of its segments, which must follow each other and have right checksums.
fn stream(frames: &[Vec<u8>], from: u16) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut next = None;
    for frame in frames.iter().filter(|f| f[12..14] == [8, 0] && super::port(f) == from) {
        let header = 34 + 4 * usize::from(frame[46] >> 4);
        let end = 14 + usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let seq = u32::from_be_bytes(frame[38..42].try_into().unwrap());
        let len = (end - header) as u32 + u32::from(frame[47] & 1) + u32::from(frame[47] >> 1 & 1);
        let payload = &frame[header..end];
        let back = next.map_or(0, |next: u32| next.wrapping_sub(seq) as usize);
        if (1..=stream.len() + 1).contains(&back) && payload.len() == 1 {
            // One that lost all it had asks for an acknowledgement instead, with an octet that was acknowledged.
            let before = stream.len().checked_sub(back).map(|at| stream[at]);
            assert!(before.is_none_or(|octet| payload == [octet]));
            continue;
        }
        assert!(next.is_none_or(|next| next == seq), "{seq} where {next:?} should be");
        next = Some(seq.wrapping_add(len));
        stream.extend_from_slice(payload);
        let mut right = frame[..end].to_vec();
        sum_up(&mut right);
        assert!(right == frame[..end], "a checksum is wrong");
    }
    stream
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    // Every octet is a character of its own in Latin-1.
    let text: String = text.iter().map(|octet| char::from(*octet)).collect();
    text.replace(from, to).chars().map(|c| u8::try_from(c).unwrap()).collect()
}

/// Words of the web page, what to put there, and how often they are there: some across two segments, one at the very end.
const WORDS: [(&str, &str, u32); 6] = [
    ("rniul", "RNIUL", 1),
    ("kttum", "k", 1),
    ("sutub", "something longer", 2),
    ("tub", "barrel", 10),
    ("dfr", "", 11),
    ("kbd", "keyboard", 12),
];

/// A web page of 100,000 octets in 70 segments.
#[test]
fn a_word_is_replaced_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcap").display().to_string();
    let before = stream(&frames(&capture("web4.pcap")), 80);
    for (from, to, words) in WORDS {
        let printed = run("tamper", &["--from", from, "--to", to, &capture("web4.pcap"), "--out", &out]);
        assert_eq!(printed, format!("192.0.2.1:40000 192.0.2.2:80 {words} replaced\n"));
        assert!(stream(&frames(&out), 80) == replaced(&before, from, to), "{from} {to}");
    }
}

/// A text and the lengths of its segments, over and over: not more than there can be changes of which none was acknowledged.
fn text_and_cuts() -> impl Strategy<Value = (String, Vec<usize>)> {
    prop_oneof![
        ("[ab\n]{1,28}", proptest::collection::vec(1..6_usize, 1..6)),
        ("[ab\n]{1,200}", proptest::collection::vec(7..40_usize, 1..6)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the text is cut into segments.
    #[test]
    fn words_across_segments_are_found(
        (text, cuts) in text_and_cuts(),
        from in "a|ab|aba|aab|abab",
        to in "|c|ab|ba|cdefghij",
    ) {
        let ends = ["192.0.2.1:40000", "192.0.2.2:80"].map(|a| a.parse().unwrap());
        let mut x = Exchange::new(ends[0], ends[1], Sides { client: u32::MAX - 50, server: 2 });
        let mut sent: Vec<Vec<u8>> = x.handshake().into();
        let (mut rest, mut lengths) = (text.as_bytes(), cuts.iter().cycle());
        while !rest.is_empty() {
            let (part, later) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
            sent.push(x.segment(Side::Client, Flags::ACK, part));
            rest = later;
        }
        sent.push(x.segment(Side::Client, Flags::ACK | Flags::FIN, b""));
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name).display().to_string();
        let mut writer = CaptureWriter::new(std::fs::File::create(path("in")).unwrap());
        for (n, frame) in (0..).zip(&sent) {
            writer.write(&Frame::ethernet(Instant(n), frame)).unwrap();
        }
        writer.flush().unwrap();
        run("tamper", &["--from", &from, "--to", &to, &path("in"), "--out", &path("out")]);
        let wanted = text.replace(&from, &to);
        prop_assert_eq!(String::from_utf8(stream(&frames(&path("out")), 40000)).unwrap(), wanted);
    }
}
