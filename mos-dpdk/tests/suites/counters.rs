//! What tshark 4.0 counts in each capture (`tshark_events`), against what `mos` tells.

use crate::{lines, replay, say, shared};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

const OPTIONS: &[&str] = &["--midstream"];

/// Captures in which tshark follows other connections than `mos`, and why.
const OTHER: &[(&str, &str)] =
    &[("d21-vlan-collisions.pcap", "three connections of different VLANs are one for tshark")];

/// Captures in which the segments that begin below what was sent before are not the same number for both: how many
/// more `mos` has, and why.
const DIFFERENT: &[(&str, i64, &str)] = &[
    (
        "d16-handshake-reorder.pcap",
        1,
        "picked up from the SYN/ACK, `mos` takes the SYN behind it for a repeated one",
    ),
    (
        "d22-tcp-reassembly-synthetic.pcap",
        -1,
        "the late SYN of 40009 begins a connection, where nothing was sent yet",
    ),
    ("d23-tcp_handshake_synthetic.pcap", 1, "the SYN behind the SYN/ACK of 40012, as in d16"),
    (
        "d29-heuristic_tcp_ack_payload.pcap",
        2,
        "tshark lets pass what goes on from one octet below, as behind a probe",
    ),
];

/// Segments that begin below the end of what their sender sent before. tshark splits them by time into
/// retransmissions (the fast and the spurious ones among them) and such that are out of order. `mos` tells octets
/// that came before, and is silent when a segment fills a hole: those are added.
#[test]
fn segments_below_what_was_sent_are_as_many_as_for_tshark() {
    let Some(dir) = shared() else { return };
    let (mut ours, mut theirs, mut compared) = (0, 0, 0);
    let mut wrong = Vec::new();
    for (file, tshark) in truth(&dir) {
        if OTHER.iter().any(|(name, _)| *name == file) {
            continue;
        }
        let count = |key| tshark.get(key).map_or(0, |n| n.as_i64().unwrap());
        let (mine, other) =
            (segments_again(&dir.join(&file)), count("retransmission") + count("out_of_order"));
        let more = DIFFERENT.iter().find(|(name, ..)| *name == file).map_or(0, |(_, more, _)| *more);
        if mine - other != more {
            wrong.push(format!("{file}: {mine}, tshark {other}"));
        }
        (ours, theirs, compared) = (ours + mine, theirs + other, compared + 1);
    }
    for (file, more, why) in DIFFERENT {
        say(&format!("{file}: {more:+} against tshark: {why}"));
    }
    say(&format!("{ours} segments below what was sent in {compared} captures, {theirs} for tshark"));
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(compared, 30 - OTHER.len());
    assert!((ours - theirs).abs() * 100 <= theirs * 2, "within 2 %: {ours}, tshark {theirs}");
}

/// Keep-alives and windows of zero, capture by capture. tshark's four other keep-alives are in `OTHER`: where it
/// takes three connections for one.
#[test]
fn keep_alives_and_closed_windows_are_those_of_tshark() {
    let Some(dir) = shared() else { return };
    let (mut keep_alives, mut zero_windows) = (0, 0);
    for (file, tshark) in truth(&dir) {
        let got = replay(&dir.join(&file), OPTIONS);
        let count = |key| tshark.get(key).map_or(0, |n| n.as_u64().unwrap());
        let other = OTHER.iter().any(|(name, _)| *name == file);
        let wanted = [if other { 0 } else { count("keep_alive") }, count("zero_window")];
        assert_eq!([&got["keep_alives"], &got["zero_windows"]], wanted, "{file}");
        keep_alives += count("keep_alive");
        zero_windows += count("zero_window");
    }
    assert_eq!((keep_alives, zero_windows), (1 + 4, 1), "what there is to compare");
}

fn truth(dir: &Path) -> Vec<(String, Value)> {
    let truth: Value = serde_json::from_slice(&fs::read(dir.join("groundtruth.json")).unwrap()).unwrap();
    let mut files: Vec<_> = truth.as_object().unwrap().iter().collect();
    files.sort_by_key(|(file, _)| *file);
    assert_eq!(files.len(), 30);
    files.into_iter().map(|(file, facts)| (file.clone(), facts["tshark_events"].clone())).collect()
}

/// Retransmissions that `mos events` tells, and segments that it does not tell but that begin below what was sent.
fn segments_again(capture: &Path) -> i64 {
    let mut ends: HashMap<(Value, Value), u32> = HashMap::new();
    let (mut told, mut filled) = (0, 0);
    let mut below = false;
    for event in lines("events", capture, OPTIONS) {
        if event["event"] == "retransmission" {
            told += 1;
            below = false;
        }
        if event["event"] != "packet_in" || event["hook"] != "sender" {
            continue;
        }
        filled += i64::from(below);
        let segment = Sent::parse(event["detail"].as_str().unwrap());
        let end = ends.entry((event["flow"].clone(), event["side"].clone())).or_insert(segment.seq);
        below = segment.len > 0 && before(segment.seq, *end) && !segment.is_probe(*end);
        if before(*end, segment.end()) && !segment.reset {
            *end = segment.end();
        }
    }
    let got = replay(capture, OPTIONS);
    assert_eq!(got["events"].get("retransmission").map_or(0, |n| n.as_i64().unwrap()), told, "both commands");
    told + filled + i64::from(below)
}

/// What `mos events` prints of a segment: `PA seq 1 ack 2 len 3`.
struct Sent {
    seq: u32,
    /// Octets of sequence space.
    len: u32,
    payload: u32,
    reset: bool,
}

impl Sent {
    fn parse(detail: &str) -> Sent {
        let words: Vec<&str> = detail.split(' ').collect();
        assert_eq!([words[1], words[3], words[5]], ["seq", "ack", "len"], "{detail}");
        let payload: u32 = words[6].parse().unwrap();
        let control = words[0].matches(['S', 'F']).count() as u32;
        Sent {
            seq: words[2].parse().unwrap(),
            len: payload + control,
            payload,
            reset: words[0].contains('R'),
        }
    }

    fn end(&self) -> u32 {
        self.seq.wrapping_add(self.len)
    }

    /// A keep-alive as tshark knows it.
    fn is_probe(&self, end: u32) -> bool {
        self.payload <= 1 && self.len == self.payload && self.seq == end.wrapping_sub(1)
    }
}

fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}
