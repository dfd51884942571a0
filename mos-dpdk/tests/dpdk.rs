//! Ports on virtual devices of DPDK, without hugepages: capture files, rings, shared memory, and interfaces of Linux.
//!
//! DPDK starts once in a process, so that each test is a process of its own. By hand:
//! `cargo test -p mos-dpdk --features dpdk --test dpdk`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "dpdk/faults.rs"]
mod faults;
#[path = "dpdk/files.rs"]
mod files;
#[path = "dpdk/interfaces.rs"]
mod interfaces;
#[path = "dpdk/rings.rs"]
mod rings;

use mos_dpdk::port::dpdk::{Dpdk, Eal, Options};
use mos_dpdk::port::{Port, Received};
use mos_flow::{Frame, Instant};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// How long everything may take that is on its way. An arbitrary figure, a hundred times what it takes.
const SOON: Duration = Duration::from_millis(300);
/// One for experiments (IEEE 802), so that nobody answers.
const ETHERTYPE: [u8; 2] = [0x88, 0xb5];
const ADDRESSES: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

/// Runs `scenario`, which is all there is to the test `name`, in a process of its own. It must print nothing of its own.
fn alone(name: &str, scenario: fn()) {
    run(name, scenario, &[]);
}

/// The same, in a network namespace of its own with a pair of interfaces, `here` and `there`.
fn between_interfaces(name: &str, scenario: fn()) {
    let way = ["unshare", "--net", "--"];
    let probe =
        [&way[..], &["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"]].concat();
    let mut probe_it = Command::new(probe[0]);
    let can = probe_it.args(&probe[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if std::env::var_os("MOS_DPDK_ALONE").is_none() && !can.is_ok_and(|status| status.success()) {
        say(&format!(
            "SKIPPED: a network namespace with virtual interfaces cannot be made (that takes the commands ip and unshare, \
             and root); {name} was not tried"
        ));
        return;
    }
    run(name, scenario, &way);
}

fn run(name: &str, scenario: fn(), way: &[&str]) {
    if std::env::var_os("MOS_DPDK_ALONE").is_some() {
        return scenario();
    }
    let output = process(name, way);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{name} failed: {out}\n{err}");
    let ours = |line: &&str| line.starts_with("SKIPPED: ") || line.starts_with("dpdk: ");
    for line in err.lines().filter(ours) {
        say(line);
    }
    let strange: Vec<&str> = err.lines().filter(|line| !ours(line)).collect();
    assert!(
        strange.is_empty() && !out.contains("EAL") && !out.contains("Usage"),
        "{name} says {strange:?}: {out}"
    );
}

/// The test `name` as a process of its own.
fn process(name: &str, way: &[&str]) -> Output {
    let this = std::env::current_exe().unwrap();
    let words = [way, &[this.to_str().unwrap(), "--exact", name, "--nocapture"]].concat();
    Command::new(words[0]).args(&words[1..]).env("MOS_DPDK_ALONE", "1").output().unwrap()
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

fn prefix() -> String {
    format!("mos-test-{}", std::process::id())
}

/// Without hugepages, without cards, with these devices.
fn start(devices: &[&str]) -> Arc<Eal> {
    let prefix = prefix();
    let mut args = vec!["--no-huge", "--no-pci", "-m", "256", "--no-telemetry", "--file-prefix", &prefix];
    args.extend(devices.iter().flat_map(|device| ["--vdev", device]));
    Eal::start(&args).unwrap()
}

/// The only port of a device.
fn open(eal: &Arc<Eal>, name: &str) -> Dpdk {
    let mut ports = Dpdk::open(eal, name, &Options { buffers: 4096, ..Options::default() }).unwrap();
    assert_eq!((ports.len(), ports[0].name()), (1, name));
    ports.remove(0)
}

/// Looks whether all buffers are back, and ends DPDK; nothing of it stays.
fn end(eal: Arc<Eal>) {
    let buffers = eal.buffers();
    assert!(buffers.free == buffers.all && buffers.all > 0, "{buffers:?}");
    assert_eq!(Arc::strong_count(&eal), 1);
    drop(eal);
    assert_nothing_is_left();
}

fn assert_nothing_is_left() {
    // Where root's are, and where those of others are.
    let others = std::env::var_os("XDG_RUNTIME_DIR").unwrap_or("/tmp".into());
    for dir in [PathBuf::from("/var/run"), PathBuf::from(others)] {
        let dir = dir.join("dpdk").join(prefix());
        assert!(!dir.exists(), "{}", dir.display());
    }
}

/// Frames until none have come for a while, or as many as are expected.
fn receive(port: &mut dyn Port, most: usize) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut last = std::time::Instant::now();
    while frames.len() < most && last.elapsed() < SOON {
        let received = port.receive(&mut |burst| {
            assert!(burst.iter().all(|f| f.wire_len as usize == f.data.len()));
            frames.extend(burst.iter().map(|f| f.data.to_vec()));
        });
        match received.unwrap() {
            Received::Frames(_) => last = std::time::Instant::now(),
            Received::Nothing => std::thread::yield_now(),
            Received::End => break,
        }
    }
    frames
}

fn send(port: &mut dyn Port, frames: &[Vec<u8>]) -> usize {
    let frames: Vec<Frame<'_>> = frames.iter().map(|data| Frame::ethernet(Instant(0), data)).collect();
    port.transmit(&frames).unwrap()
}

/// Frames that differ, of 60 octets and more.
fn frames(count: usize) -> Vec<Vec<u8>> {
    let frame = |n: usize| {
        let mut frame = [&ADDRESSES[..], &ETHERTYPE, &(n as u64).to_be_bytes()].concat();
        frame.resize(60 + n % 1400, n as u8);
        frame
    };
    (0..count).map(frame).collect()
}
