//! The examples over our own captures, as a person runs them. What they must print was worked out from what the
//! applications at the ends wrote down (`truth.json`) and from the packets as tshark shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

mod firewall;
mod http_log;
mod midstat;
mod nat;
#[path = "../support/mod.rs"]
mod support;
mod tamper;

use mos_dpdk::capture::Capture;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mos-flow/tests/pcaps")
}

fn capture(name: &str) -> String {
    captures().join(name).display().to_string()
}

/// What an example prints; it must succeed without a word on stderr.
fn run(example: &str, args: &[&str]) -> String {
    let output = Command::new(support::example(example)).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{example} {args:?}: {} {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The frames of a capture.
fn frames(path: &str) -> Vec<Vec<u8>> {
    let (capture, damage) = Capture::load(path.as_ref()).unwrap();
    assert!(damage.is_none(), "{damage:?}");
    capture.frames_from(0).map(|f| f.data.to_vec()).collect()
}

/// Packets, connections and octets are those that the applications wrote down.
#[test]
fn count_counts_what_the_applications_did() {
    let truth: Value = serde_json::from_slice(&fs::read(captures().join("truth.json")).unwrap()).unwrap();
    let files =
        ["web4.pcap", "web6.pcap", "lossy.pcap", "lossy6.pcap", "halfclose.pcap", "short4.pcap", "vlan.pcap"];
    let facts = files.map(|file| &truth["files"][file]);
    let packets: u64 = facts.iter().map(|f| f["frames"].as_u64().unwrap()).sum();
    let line = |port: &str| {
        let connections = || facts.iter().flat_map(|f| f["connections"].as_array().unwrap());
        let to_port = || connections().filter(|c| c["server"].as_str().unwrap().ends_with(port));
        let octets = |to: &str| to_port().map(|c| c[to]["bytes"].as_u64().unwrap()).sum::<u64>();
        vec![
            port[1..].into(),
            to_port().count().to_string(),
            octets("to_server").to_string(),
            octets("to_client").to_string(),
        ]
    };
    let paths = files.map(capture);
    let printed = run("count", &paths.each_ref().map(String::as_str));
    let lines: Vec<Vec<String>> =
        printed.lines().map(|l| l.split_whitespace().map(str::to_owned).collect()).collect();
    assert_eq!(lines[0], [packets.to_string(), "packets".into()]);
    assert_eq!(lines[2..], [line(":80"), line(":50000")], "{printed}");
}

/// Loss and duplication by the example's own bad network: the same for the same seed.
#[test]
fn a_capture_can_be_played_over_a_bad_network() {
    let folder = tempfile::tempdir().unwrap();
    let played = |seed: &str| {
        let out = folder.path().join(seed).display().to_string();
        let bad = ["--impair", "loss=10%,duplicate=10%", "--seed", seed, "--out", &out];
        run("midstat", &[&[capture("lossy.pcap").as_str()], &bad[..]].concat());
        frames(&out)
    };
    let whole = frames(&capture("lossy.pcap"));
    let (one, other) = (played("1"), played("2"));
    assert!(one == played("1") && one != other);
    assert!(one != whole && one.iter().all(|frame| whole.contains(frame)));
}

/// The source port of TCP over IPv4 without options over Ethernet.
fn port(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[34], frame[35]])
}

/// Puts the checksums of TCP over IPv4 without options over Ethernet right.
fn sum_up(frame: &mut [u8]) {
    frame[24..26].fill(0);
    frame[50..52].fill(0);
    let len = frame.len() as u32 - 34;
    let (header, tcp) = (checksum(0, &frame[14..34]), checksum(6 + len + sum(&frame[26..34]), &frame[34..]));
    frame[24..26].copy_from_slice(&header);
    frame[50..52].copy_from_slice(&tcp);
}

/// RFC 1071.
fn checksum(start: u32, octets: &[u8]) -> [u8; 2] {
    let mut sum = start + sum(octets);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn sum(octets: &[u8]) -> u32 {
    octets.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum()
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
