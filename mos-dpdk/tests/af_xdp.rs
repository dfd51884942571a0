//! AF_XDP sockets as ports, on pairs of virtual Ethernet interfaces, whose driver has the native mode but not the one without
//! copies. It takes root: nobody else may load the program, not even in a user namespace of their own.
//!
//! By hand: `cargo test -p mos-dpdk --features xdp --test af_xdp`
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "live/alone.rs"]
mod alone;
#[path = "live/cable.rs"]
mod cable;
#[path = "live/frames.rs"]
mod frames;
#[path = "live/host.rs"]
mod host;
#[path = "af_xdp/raw.rs"]
mod raw;
#[path = "live/server.rs"]
mod server;

use cable::{alone, bridge, get, hosts, octets, say};
use host::{CLIENT, SERVER};
use mos_dpdk::port::af_xdp::{AfXdp, Mode, Options};
use mos_flow::DropReason;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};
use server::Server;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8080);
const PAGE: usize = 8 << 20;
/// Octets of an Ethernet header and of the largest packet.
const LARGEST: usize = 14 + 1500;

/// As [`alone`], where there may be XDP programs.
fn alone_with_xdp(name: &str, scenario: fn()) {
    alone(name, || {
        let users = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let is_root = users.split_whitespace().eq(["0", "0", "4294967295"]);
        if !is_root {
            say(&format!("SKIPPED: only root may attach XDP programs; {name} was not tried"));
        } else if socket(AddressFamily::XDP, SocketType::RAW, None).err() == Some(Errno::AFNOSUPPORT) {
            say(&format!("SKIPPED: the kernel has no AF_XDP; {name} was not tried"));
        } else {
            scenario();
        }
    });
}

fn options(mode: Mode) -> Options {
    Options { mode, frames: 4096, ..Options::default() }
}

/// The only port of an interface.
fn open(name: &str, options: &Options) -> AfXdp {
    let [port] = AfXdp::open(name, options).unwrap().try_into().unwrap();
    port
}

#[test]
fn pages_pass_between_interfaces() {
    alone_with_xdp("pages_pass_between_interfaces", || {
        pages(Mode::Native);
        pages(Mode::Generic);
    });
}

fn pages(mode: Mode) {
    let (client, server) = hosts();
    if mode == Mode::Generic {
        // There nobody tells the hosts not to send frames that are yet to be split.
        for (host, device) in [(&client, "client"), (&server, "server")] {
            host.ip(&["link", "set", device, "gso_max_segs", "1"]);
        }
    }
    let [ports] = AfXdp::open_pair("left", "right", &options(mode)).unwrap().try_into().unwrap();
    assert!(ports.each_ref().map(AfXdp::mode) == [mode; 2]);
    let bridge = bridge(ports);
    let page = octets(PAGE);
    let inside = SocketAddr::new(CLIENT.v6.into(), 80);
    for (from, to, address) in [(&client, &server, WEB), (&server, &client, inside)] {
        let start = Instant::now();
        let server = Server::start(to, address, page.clone());
        assert!(get(from, address, 60).unwrap() == page, "{address}: another page");
        assert_eq!(
            server.clients.recv().unwrap().ip(),
            if address == WEB { IpAddr::V4(CLIENT.v4) } else { IpAddr::V6(SERVER.v6) }
        );
        say(&format!("{mode:?}, {address}: {PAGE} octets in {:?}", start.elapsed()));
    }
    client.unplug();
    server.unplug();
    let (engine, seen, statistics) = bridge.join().unwrap();
    let stats = engine.stats();
    say(&format!("{mode:?}: {seen:?}, {} frames, {statistics:?}", stats.frames));
    assert!(seen.octets[0] > 2 * PAGE, "and the heads");
    assert!(seen.largest <= LARGEST);
    for reason in [DropReason::IpChecksum, DropReason::TcpChecksum] {
        assert_eq!(stats.drops[reason], 0, "{reason:?}");
    }
    let received: u64 = statistics.iter().map(|s| s.received).sum();
    assert_eq!(stats.frames, received);
    // Hosts may say something more when the first cable has gone.
    assert!(statistics.iter().all(|s| s.dropped == 0 && s.refused < 10));
}

#[test]
fn a_thousand_connections_pass() {
    alone_with_xdp("a_thousand_connections_pass", || {
        const CONNECTIONS: usize = 1000;
        let (client, server) = hosts();
        let [ports] = AfXdp::open_pair("left", "right", &options(Mode::Best)).unwrap().try_into().unwrap();
        let bridge = bridge(ports);
        let page = octets(1000);
        let _server = Server::start(&server, WEB, page.clone());
        let url = format!("http://{WEB}/[1-{CONNECTIONS}]");
        let output = client.run("curl", &["--silent", "--parallel", "--parallel-max", "100", &url]);
        assert!(output.status.success() && output.stdout.len() == CONNECTIONS * page.len());
        client.unplug();
        server.unplug();
        let (engine, seen, statistics) = bridge.join().unwrap();
        say(&format!("{} flows: {seen:?}, {statistics:?}", engine.stats().flows));
        assert!(seen.octets[0] > CONNECTIONS * page.len());
    });
}
