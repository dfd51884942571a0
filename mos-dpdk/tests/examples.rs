//! The examples over our own captures, as a person runs them. What they must print was worked out from what the
//! applications at the ends wrote down (`truth.json`) and from the packets as tshark shows them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

mod support;

use mos_dpdk::capture::Capture;
use serde_json::Value;
use std::fs;
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

const TITLES: &str = "Proto CPU Client Address        Client State Server Address        Server State\n";

/// The client closes its side with its 3rd packet after the handshake; the server sends on for 164 ms.
#[test]
fn midstat_shows_states_between_and_at_the_end() {
    let printed = run("midstat", &[&capture("halfclose.pcap"), "--every", "0.05"]);
    let middle = "tcp   0   192.0.2.1:40000       FIN-WAIT-2   192.0.2.2:80          CLOSE-WAIT\n";
    let end = "tcp   0   192.0.2.1:40000       CLOSED       192.0.2.2:80          CLOSED\n";
    assert_eq!(printed, [TITLES, middle, TITLES, end].concat());
}

/// The first connection is over after 1.6 ms; the second begins after 364 ms.
#[test]
fn midstat_shows_a_connection_that_ended_once_more() {
    let printed = run("midstat", &[&capture("vlan.pcap"), "--every", "0.1"]);
    let line = |port| format!("tcp   0   192.0.2.1:{port}       CLOSED       192.0.2.2:80          CLOSED\n");
    assert_eq!(printed, [TITLES, &line(40000), TITLES, &line(40001)].concat());
}

/// Ten connections: eight to port 80, one of them from port 42001, one to 81, and one to 82.
#[test]
fn the_firewall_s_first_matching_rule_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, passed) = (folder.path().join("rules"), folder.path().join("passed.pcap"));
    let text = "# the web, but for one\nDROP 192.0.2.0/25 192.0.2.2 sport:42001 dport:80\n\n\
                ACCEPT 192.0.2.1 192.0.2.2 dport:80 # all others\nDROP ::/0 ::/0\nDROP 0.0.0.0/0 0.0.0.0/0 dport:81\n";
    fs::write(&rules, text).unwrap();
    let (rules, passed) = (rules.to_str().unwrap(), passed.to_str().unwrap());
    let printed = run("firewall", &["--rules", rules, &capture("reset.pcap"), "--out", passed]);
    let line = "-".repeat(71);
    let table = "\
Firewall rule table
idx   flows   target   client             server             port
1     1       DROP     192.0.2.0/25       192.0.2.2/32       sport:42001 dport:80
2     7       ACCEPT   192.0.2.1/32       192.0.2.2/32       dport:80
3     0       DROP     ::/0               ::/0
4     1       DROP     0.0.0.0/0          0.0.0.0/0          dport:81
";
    assert_eq!(printed, format!("{line}\n{table}{line}\n"));
    // All frames but the two SYNs, which have no ACK beside.
    let is_dropped = |f: &[u8]| f[12..14] == [8, 0] && f[47] == 2 && [42001, 42002].contains(&port(f));
    let wanted: Vec<_> = frames(&capture("reset.pcap")).into_iter().filter(|f| !is_dropped(f)).collect();
    assert_eq!(wanted.len(), 118);
    assert!(frames(passed) == wanted);
}

/// The source port of TCP over IPv4 without options over Ethernet.
fn port(frame: &[u8]) -> u16 {
    u16::from_be_bytes([frame[34], frame[35]])
}

#[test]
fn rules_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    for (text, reason) in [
        ("PASS 10.0.0.0/8 10.0.0.0/8", "line 1: expected ACCEPT or DROP"),
        ("\nDROP 10.0.0.0/8", "line 2: no server"),
        ("DROP 10.0.0.0/33 ::", "line 1: /33: an address has 32 bits"),
        ("DROP 10.0.0.0/8 10.0.0 dport:80", "line 1: invalid IP address syntax"),
        ("DROP :: :: port:80", "line 1: port:80: expected sport:PORT or dport:PORT"),
        ("DROP :: :: dport:80000", "line 1: number too large"),
    ] {
        fs::write(&rules, text).unwrap();
        let mut command = Command::new(support::example("firewall"));
        let output = command.arg("--rules").arg(&rules).arg(capture("web4.pcap")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{text}: {said}");
    }
}

/// The client's segments leave from the NAT's address. What the server sends was captured without a NAT and is for the client
/// already.
#[test]
fn the_nat_gives_a_connection_another_source() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcap").display().to_string();
    let printed = run("nat", &["--address", "198.51.100.7", &capture("web4.pcap"), "--out", &out]);
    assert_eq!(printed, "192.0.2.1:40000 to 192.0.2.2:80 as 198.51.100.7:1025\n");
    let mut translated = 0;
    let mut wanted = frames(&capture("web4.pcap"));
    for frame in wanted.iter_mut().filter(|f| f[12..14] == [8, 0] && port(f) == 40000) {
        frame[26..30].copy_from_slice(&[198, 51, 100, 7]);
        frame[34..36].copy_from_slice(&1025_u16.to_be_bytes());
        sum_up(frame);
        translated += 1;
    }
    assert!(translated > 10 && frames(&out) == wanted);
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
