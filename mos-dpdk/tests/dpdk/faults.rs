//! What cannot be had: a sentence for each, nothing on the terminal, and nothing left behind.

use super::{alone, assert_nothing_is_left, end, open, prefix, process, say, start};
use mos_dpdk::port::Port as _;
use mos_dpdk::port::dpdk::{Dpdk, Eal, Options};
use std::fs;
use std::path::Path;
use std::process::Command;

/// What DPDK does not start with, and what it says then; the last one where there are no hugepages.
const FAILURES: [(&[&str], &[&str]); 5] = [
    (&["--no-huge", "--bogus"], &["does not start with these arguments", "--bogus"]),
    (&["--no-huge", "-n", "none"], &["does not start with these arguments"]),
    (&["--no-huge", "-l", "100000"], &["does not start with these arguments"]),
    (&["--no-huge", "--vdev", "net_nonesuch0"], &["knows no such device", "net_nonesuch0"]),
    (&[], &["vm/nr_hugepages", "--no-huge"]),
];

fn refuses(args: &[&str], expected: &[&str]) {
    let prefix = prefix();
    let args = [&["--file-prefix", &prefix, "--no-pci", "--no-telemetry"], args].concat();
    let error = Eal::start(&args).unwrap_err().to_string();
    assert!(expected.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{args:?}: {error}");
}

/// The failure of this number.
fn fails(number: usize) {
    let (args, expected) = FAILURES[number];
    let pages = fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default();
    if args.is_empty() && pages.trim() != "0" {
        return say("SKIPPED: there are hugepages; that there are none was not tried");
    }
    refuses(args, expected);
    // It keeps a part of what it was told.
    refuses(&["--no-huge"], &["was started in this process before, or has failed to"]);
    assert_nothing_is_left();
}

#[test]
fn an_option_that_there_is_not_is_named() {
    alone("faults::an_option_that_there_is_not_is_named", || fails(0));
}

#[test]
fn a_value_that_is_none_is_refused() {
    alone("faults::a_value_that_is_none_is_refused", || fails(1));
}

#[test]
fn a_core_that_there_is_not_is_refused() {
    alone("faults::a_core_that_there_is_not_is_refused", || fails(2));
}

#[test]
fn a_driver_that_there_is_not_is_named() {
    alone("faults::a_driver_that_there_is_not_is_named", || fails(3));
}

#[test]
fn without_hugepages_it_says_what_to_do() {
    alone("faults::without_hugepages_it_says_what_to_do", || fails(4));
}

#[test]
fn dpdk_starts_once() {
    alone("faults::dpdk_starts_once", || {
        for help in ["-h", "--help", "-vh"] {
            refuses(&["--no-huge", help], &["leave out -h"]);
        }
        refuses(&["--no-huge", "a\0b"], &["has a NUL in it"]);
        assert_nothing_is_left();
        // None of these was a start.
        let eal = start(&["net_ring0"]);
        refuses(&["--no-huge"], &["was started in this process before"]);
        drop(open(&eal, "net_ring0"));
        end(eal);
        refuses(&["--no-huge"], &["was started in this process before"]);
    });
}

#[test]
fn who_asks_for_dpdks_log_gets_it() {
    if std::env::var_os("MOS_DPDK_ALONE").is_some() {
        let prefix = prefix();
        let args = [
            "--no-huge",
            "--no-pci",
            "--file-prefix",
            &prefix,
            "--no-telemetry",
            "--log-level=lib.eal:debug",
        ];
        drop(Eal::start(&args).unwrap());
        return assert_nothing_is_left();
    }
    let output = process("faults::who_asks_for_dpdks_log_gets_it", &[]);
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && String::from_utf8_lossy(&said).contains("EAL: "), "{said:?}");
}

#[test]
fn a_device_that_cannot_be_opened_says_why() {
    alone("faults::a_device_that_cannot_be_opened_says_why", || {
        let eal = start(&["net_ring0", "net_null0", "net_pcap0,rx_pcap=/nonexistent/in.pcap"]);
        let open_with = |name: &str, options: &Options| match Dpdk::open(&eal, name, options) {
            Ok(ports) => panic!("{ports:?}"),
            Err(e) => e.to_string(),
        };
        let refuses = |name: &str, options: Options, expected: &str| {
            let error = open_with(name, &options);
            assert!(error.contains(expected) && !error.contains('\n'), "{name} {options:?}: {error}");
        };
        let options = Options { buffers: 1024, ..Options::default() };
        refuses("net_pcap0", options, "DPDK has no device net_pcap0, it has net_ring0, net_null0 (");
        refuses("net_pcap0", options, "/nonexistent/in.pcap");
        refuses("17", options, "DPDK has no device 17, it has");
        refuses("net_ring0\0", options, "DPDK has no device");
        refuses("net_ring0", Options { queues: 17, ..options }, "net_ring0 has 16 queues, not 17");
        refuses("net_ring0", Options { queues: 0, ..options }, "net_ring0 has 16 queues, not 0");
        refuses(
            "net_null0",
            Options { mtu: 10, ..options },
            "net_null0 cannot have 1 queues and an MTU of 10",
        );
        refuses("net_null0", Options { buffers: 1 << 22, ..options }, "vm/nr_hugepages");
        match kernels_card() {
            Some(card) => refuses(&card, options, &format!("`dpdk-devbind.py --bind=vfio-pci {card}`")),
            None => say("SKIPPED: there is no card that is the kernel's; that one was not tried"),
        }
        let ring = open(&eal, "net_ring0");
        refuses("net_ring0", options, "net_ring0 is in use");
        refuses("0", options, "0 is in use");
        drop(ring);
        // What was refused, and what was used, can be had again.
        drop((open(&eal, "net_ring0"), open(&eal, "net_null0")));
        end(eal);
    });
}

fn kernels_card() -> Option<String> {
    let cards = fs::read_dir("/sys/bus/pci/devices").ok()?;
    let is_kernels = |card: &Path| fs::read_link(card.join("driver")).is_ok_and(|d| !d.ends_with("vfio-pci"));
    let mut cards = cards.flatten().map(|card| card.path()).filter(|card| is_kernels(card));
    Some(cards.next()?.file_name()?.to_string_lossy().into_owned())
}

#[test]
fn a_device_that_is_opened_again_has_the_same_buffers() {
    alone("faults::a_device_that_is_opened_again_has_the_same_buffers", || {
        let eal = start(&["net_ring0"]);
        drop(open(&eal, "net_ring0"));
        let once = eal.buffers();
        for _ in 0..8 {
            let mut port = open(&eal, "net_ring0");
            assert_eq!(super::send(&mut port, &super::frames(32)), 32);
            assert_eq!(super::receive(&mut port, 32).len(), 32);
            assert_eq!(port.statistics().received, 32);
        }
        assert_eq!(eal.buffers(), once);
        end(eal);
    });
}

/// The program that builds the bindings, where DPDK seems not to be installed.
#[test]
fn without_dpdk_a_build_says_what_to_install() {
    let this = std::env::current_exe().unwrap();
    let builds = this.parent().unwrap().parent().unwrap().join("build");
    let scripts = fs::read_dir(&builds).unwrap().flatten().filter_map(|folder| {
        let is_ours = folder.file_name().to_string_lossy().starts_with("mos-dpdk-sys-");
        Some(folder.path().join("build-script-build")).filter(|script| is_ours && script.exists())
    });
    let mut without = 0;
    for script in scripts {
        let output = Command::new(&script).env("PKG_CONFIG_LIBDIR", "/nonexistent").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let has_sentence = said.lines().any(|line| {
            line.starts_with("cargo::error=DPDK is not there, or too old: install")
                && line.contains("libdpdk-dev libclang-dev")
        });
        // Without the feature it has nothing to look for.
        assert_eq!(output.status.success(), !has_sentence, "{}: {said}", script.display());
        without += usize::from(has_sentence);
    }
    assert!(without > 0, "no build script in {}", builds.display());
}
