//! Captures over several workers and in time, and live commands that cannot begin.

use super::{capture, captures, lines, mos, say, text};
use mos_dpdk::capture::CaptureWriter;
use mos_flow::testing::{Exchange, fragments};
use mos_flow::{Frame, Instant, Side, Sides};
use serde_json::Value;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Octets of the segment that a client sends in fragments.
const SEGMENT: usize = 3000;

/// All that a run tells, but for how long it took.
fn told(files: &[String], args: &[&str]) -> (Value, Output) {
    let files = files.iter().map(String::as_str);
    let args: Vec<&str> =
        ["replay", "--flows", "--json"].into_iter().chain(args.iter().copied()).chain(files).collect();
    let mut out = mos(&args);
    let mut told: Value =
        serde_json::from_slice(&std::mem::take(&mut out.stdout)).unwrap_or_else(|e| panic!("{e}: {out:?}"));
    let fields = told.as_object_mut().unwrap();
    assert!(fields.remove("seconds").is_some() && fields.remove("packets_per_second").is_some());
    (told, out)
}

fn captures_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_capture = |path: &PathBuf| path.extension().is_some_and(|e| e == "pcap" || e == "pcapng");
    let mut files: Vec<String> = files.filter(is_capture).map(|path| path.display().to_string()).collect();
    files.sort();
    files
}

fn write(path: &Path, frames: &[(u64, Vec<u8>)]) -> String {
    let mut writer = CaptureWriter::new(File::create(path).unwrap());
    for (time, data) in frames {
        writer.write(&Frame::ethernet(Instant(*time), data)).unwrap();
    }
    writer.flush().unwrap();
    path.display().to_string()
}

fn exchange(port: u16) -> Exchange {
    let client = format!("10.0.0.1:{port}").parse().unwrap();
    Exchange::new(client, "10.0.3.2:80".parse().unwrap(), Sides { client: 1, server: 2 })
}

/// Connections whose clients send one segment in three fragments, the first one in the middle, at the beginning or at the
/// end, and a capture of them. Each is eight frames: bursts have whole connections.
fn fragmented(path: &Path) -> (String, u64) {
    const CONNECTIONS: u16 = 20;
    let mut frames = Vec::new();
    for n in 0..CONNECTIONS {
        let mut exchange = exchange(40_000 + 7 * n);
        let handshake = exchange.handshake();
        let mut parts = fragments(&exchange.data(Side::Client, &[b'x'; SEGMENT]), 1024, n.into());
        assert_eq!(parts.len(), 3);
        parts.rotate_left(usize::from(n % 3));
        let acks = [exchange.ack(Side::Server), exchange.ack(Side::Client)];
        for frame in handshake.into_iter().chain(parts).chain(acks) {
            frames.push((1_000_000 + 500 * frames.len() as u64, frame));
        }
    }
    (write(path, &frames), u64::from(CONNECTIONS) * SEGMENT as u64)
}

#[test]
fn any_number_of_workers_tells_what_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let (fragmented, octets) = fragmented(&dir.path().join("fragmented.pcap"));
    let (fragments, _) = told(std::slice::from_ref(&fragmented), &[]);
    assert_eq!(fragments["stream_bytes"], octets, "{fragments}");
    let own = captures_in(&captures());
    assert!(own.len() >= 9, "{own:?}");
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    let shared_captures = captures_in(&shared);
    let mut sets = vec![vec![fragmented], own];
    if shared_captures.is_empty() {
        say(&format!("SKIPPED: {} is not there; the shared captures were not shared out", shared.display()));
    } else {
        // One after the other: their clocks jump.
        sets.push(shared_captures);
    }
    for files in sets {
        for how in [&["--midstream"][..], &["--in-memory", "--no-checksum"]] {
            let (one, said) = told(&files, how);
            assert_eq!(one["connections"].as_array().unwrap().len() as u64, one["flows"], "{files:?}");
            for workers in ["2", "3", "8"] {
                let (several, also_said) = told(&files, &[how, &["--workers", workers]].concat());
                assert!(several == one, "{workers} workers of {files:?}:\n{several}\ninstead of\n{one}");
                assert_eq!(also_said, said, "{workers} workers of {files:?}");
            }
        }
    }
}

#[test]
fn packets_of_a_capture_can_be_as_far_apart_as_they_were_or_come_at_a_rate() {
    let dir = tempfile::tempdir().unwrap();
    let times = [0, 100_000, 250_000];
    let frames: Vec<_> = times.into_iter().zip(exchange(40_000).handshake()).collect();
    let file = [write(&dir.path().join("slow.pcap"), &frames)];
    let (at_once, _) = told(&file, &[]);
    for (pace, least) in [(&["--realtime"][..], 250), (&["--pps", "20"], 100)] {
        for workers in ["1", "2"] {
            let start = std::time::Instant::now();
            let (in_time, _) = told(&file, &[pace, &["--workers", workers]].concat());
            let took = start.elapsed().as_millis();
            assert!(took >= least, "{pace:?}: {took} ms");
            assert_eq!(in_time, at_once, "{pace:?}");
        }
    }
}

/// Until something is so.
#[cfg(target_os = "linux")]
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < std::time::Duration::from_secs(20), "it never came so far");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_a_run_with_its_summary() {
    let dir = tempfile::tempdir().unwrap();
    let half_an_hour = 1_800_000_000;
    let frames: Vec<_> =
        [0, half_an_hour, 2 * half_an_hour].into_iter().zip(exchange(40_000).handshake()).collect();
    let file = write(&dir.path().join("long.pcap"), &frames);
    let mut command = Command::new(env!("CARGO_BIN_EXE_mos"));
    command.args(["replay", "--realtime", "--json", &file]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    // Signals are caught before workers begin.
    let tasks = format!("/proc/{}/task", process.id());
    wait_until(|| {
        let mut tasks = fs::read_dir(&tasks).unwrap();
        tasks.any(|t| fs::read_to_string(t.unwrap().path().join("comm")).is_ok_and(|name| name == "mos-0\n"))
    });
    let kill = format!("kill -TERM {}", process.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    let out = process.wait_with_output().unwrap();
    assert!(out.status.success(), "{out:?}");
    let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(summary["packets"].as_u64().unwrap() < 2, "{summary}");
}

#[test]
fn several_workers_are_measured_beside_one() {
    let file = capture("short4.pcap");
    let (replayed, _) = told(std::slice::from_ref(&file), &[]);
    let out = &lines(&["bench", &file, "--workers", "2", "--repeat", "1", "--json"])[0];
    assert_eq!((&out["packets"], &out["flows"]), (&replayed["packets"], &replayed["flows"]));
    assert!(out["times"].as_f64().unwrap() > 0.0 && out["one_seconds"].as_f64().unwrap() > 0.0, "{out}");
}

#[test]
fn live_commands_that_cannot_begin_say_why() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let cases: [(&[&str], &str); 12] = [
        (&["forward", "a", "b", "c"], "mos: c has no partner: interfaces are named in pairs\n"),
        (&["forward", "a"], "2 values required"),
        (&["forward", "a", "b", "b", "c"], "mos: b is named twice\n"),
        (
            &["forward", "a", "b", "--drop", "tcp prt 80"],
            "unexpected word at position 4\n\n    tcp prt 80\n        ^\n",
        ),
        (&["forward", "a", "b", "--packets"], "--json"),
        (&["monitor"], "--interface"),
        (&["monitor", "-i", "a", "-i", "a"], "mos: a is named twice\n"),
        (&["monitor", "-i", "a", "--cores", "0,4095"], "core 4095 is not this process's; it has "),
        (&["monitor", "-i", "a", "--workers", "65"], "65 is not in 1..=64"),
        (&["monitor", "-i", "a", "--io", "tap", "--workers", "2"], "a TAP device has one queue"),
        (&["monitor", "-i", "a", "--io", "pcap"], "expected af_packet, af_xdp, dpdk or tap"),
        (&["monitor", "-i", "a", "--metrics", &address], "Address already in use; choose another address\n"),
    ];
    for (args, expected) in cases {
        let out = mos(args);
        let said = text(&out.stderr);
        assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}
