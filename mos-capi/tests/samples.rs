//! Programs in the style of the original's samples: what they print and forward, against what tshark says of the same
//! captures; and between two hosts, against what those say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "samples/firewall.rs"]
mod firewall;
#[path = "samples/live.rs"]
mod live;
#[path = "samples/midstat.rs"]
mod midstat;
#[path = "samples/nat.rs"]
mod nat;
mod support;

use mos_dpdk::capture::{Capture, CaptureWriter};
use mos_flow::Frame;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex, PoisonError};
use support::{
    Link, Run, build_with, can_sanitize, conf, file, is_installed, package, recorded, skipped, workshop,
};

/// A sample, compiled and linked as the original's are.
fn sample(name: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    built.entry(name.to_owned()).or_insert_with(|| compile(name, Link::Shared)).clone()
}

fn compile(name: &str, link: Link) -> PathBuf {
    let source = package().join(format!("examples/{name}.c"));
    build_with(&source, link, |compiler| {
        compiler.arg("-O2").arg("-I").arg(package().join("include/compat"));
    })
}

/// A configuration for samples.
fn settings(name: &str) -> PathBuf {
    conf(&format!("{name}.conf"), "forward = 1\nmax_concurrency = 1000\ntcp_timeout = -1")
}

/// Whether as many cores are there; samples take no more.
fn are_there(cores: usize) -> bool {
    let there = std::thread::available_parallelism().map_or(1, usize::from);
    if there < cores {
        skipped(&format!("no sample was tried on {cores} cores: there are {there}"));
    }
    there >= cores
}

/// A capture of others, when it is there.
fn shared(name: &str) -> Option<PathBuf> {
    let path = package().join("../../shared/pcaps").join(name);
    if !path.exists() {
        skipped(&format!("{} is not there; nothing was compared", path.display()));
    }
    Some(path).filter(|path| path.exists())
}

/// `pcap:IN,OUT`.
fn from_to(input: &Path, output: &Path) -> OsString {
    let mut io = OsString::from("pcap:");
    io.push(input);
    io.push(",");
    io.push(output);
    io
}

/// The name of what core `core` forwards.
fn of_core(output: &Path, core: usize) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    if core > 0 {
        name.push(format!(".{core}"));
    }
    name.into()
}

/// The values of fields of each packet that tshark's filter lets pass. `None` without tshark.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    static IS_INSTALLED: LazyLock<bool> = LazyLock::new(|| is_installed("tshark"));
    if !*IS_INSTALLED {
        skipped("nothing was compared with tshark: it is not installed");
        return None;
    }
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"]);
    command.args(["-o", "tcp.relative_sequence_numbers:FALSE", "-Y", filter, "-T", "fields"]);
    command.args(fields.iter().flat_map(|field| ["-e", field])).arg("-r").arg(capture);
    let output = command.output().unwrap();
    support::succeeded(&output, &format!("{command:?}"));
    let lines = String::from_utf8(output.stdout).unwrap();
    Some(lines.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect())
}

/// Packets of a capture with their times.
fn packets(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let (capture, error) = Capture::load(path).unwrap();
    assert!(error.is_none(), "{error:?}");
    capture.frames_from(0).map(|frame| (frame.time.0, frame.data.to_vec())).collect()
}

/// Writes a capture of Ethernet packets.
fn write(name: &str, packets: &[(u64, Vec<u8>)]) -> PathBuf {
    let mut capture = Vec::new();
    let mut writer = CaptureWriter::new(&mut capture);
    for (time, packet) in packets {
        writer.write(&Frame::ethernet(mos_flow::Instant(*time), packet)).unwrap();
    }
    writer.flush().unwrap();
    file(name, &capture)
}

/// A capture of the packets of another one that tshark's filter lets pass.
fn only(capture: &Path, filter: &str, name: &str) -> Option<PathBuf> {
    let numbers = tshark(capture, filter, &["frame.number"])?;
    let all = packets(capture);
    let chosen = numbers.iter().map(|n| all[n[0].parse::<usize>().unwrap() - 1].clone());
    Some(write(name, &chosen.collect::<Vec<_>>()))
}

/// Packets of what all cores forward, by time.
fn forwarded(output: &Path, cores: usize) -> Vec<(u64, Vec<u8>)> {
    let mut all: Vec<_> = (0..cores).flat_map(|core| packets(&of_core(output, core))).collect();
    all.sort_by_key(|(time, _)| *time);
    all
}

/// A file of the workshop that is not there yet.
fn fresh(name: &str) -> PathBuf {
    let path = workshop().join(name);
    let _ = std::fs::remove_file(&path);
    path
}

/// A time of tshark's in microseconds.
fn micros(seconds: &str) -> u64 {
    let (whole, fraction) = seconds.split_once('.').unwrap();
    whole.parse::<u64>().unwrap() * 1_000_000 + fraction[..6].parse::<u64>().unwrap()
}

/// The packets at which a timer fires that is set for `interval` microseconds at the first packet, and anew whenever it
/// fires. It may be late by 1,024 microseconds: no packet must come in that time.
fn ticks(times: &[u64], interval: u64) -> Vec<usize> {
    let mut ticks = Vec::new();
    let mut set = times[0];
    for (i, time) in times.iter().enumerate() {
        if *time >= set + interval {
            assert!(*time >= set + interval + 1024, "packet {i} could be either before or after the timer");
            ticks.push(i);
            set = *time;
        }
    }
    ticks
}

#[test]
fn samples_read_and_write_nothing_beyond_its_end() {
    if !can_sanitize() {
        return skipped("no sample was run under AddressSanitizer: the C compiler has none");
    }
    let cores = if are_there(2) { "2" } else { "1" };
    let rules = file(
        "sanitized.rules",
        b"ACCEPT 192.0.2.0/24 0.0.0.0/0 dport:80 # these\nDROP 0.0.0.0/0 192.0.2.2\n",
    );
    let run = |name: &str| Run::new(&compile(name, Link::Sanitized), Some(&recorded("reset.pcap")));
    let midstat = run("midstat").arg("-f").arg(settings("sanitized")).args(["-c", cores, "-i", "2"]).output();
    assert!(midstat.contains(" ESTABLISHED "), "{midstat}");
    let nat = run("nat").arg("-f").arg(settings("sanitized")).args(["-c", cores, "-i", "198.51.100.7"]);
    assert_eq!(nat.output(), "");
    let firewall = run("simple_firewall").arg("-c").arg(settings("sanitized")).arg("-f").arg(rules);
    let printed = firewall.args(["-n", cores]).output();
    assert!(
        printed.contains("\n1     8       ACCEPT ") && printed.contains("\n2     2       DROP "),
        "{printed}"
    );
}
