//! Packet sockets as ports, on pairs of virtual Ethernet interfaces with the offloads that they have by default: hosts leave
//! checksums and the splitting of large frames to network cards that are none.
//!
//! By hand: `cargo test -p mos-dpdk --test af_packet --examples`; without the last word the examples are not built again.
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
#[path = "af_packet/raw.rs"]
mod raw;
#[path = "live/server.rs"]
mod server;
#[path = "af_packet/spread.rs"]
mod spread;
mod support;

use cable::{Done, alone, get, hosts, ip, octets, pair, say};
use host::{CLIENT, Host, SERVER};
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_flow::DropReason;
use server::Server;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8080);
const WEB6: SocketAddr = SocketAddr::new(IpAddr::V6(SERVER.v6), 8080);
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8081);
const TAGGED: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2)), 8080);
const NAT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 77);
/// Of curl.
const TIMED_OUT: i32 = 28;
const PAGE: usize = 8 << 20;
/// Octets of an Ethernet header with a tag, and of the largest packet.
const LARGEST: usize = 18 + 1500;

/// A bridge between the two interfaces, until they are removed.
fn bridge(options: Options) -> JoinHandle<Done> {
    cable::bridge(["left", "right"].map(|name| AfPacket::open(name, &options).unwrap()))
}

/// Gives a host an interface whose frames have a tag. Returns whether the kernel can.
fn add_tagged((host, device, end): (&Host, &str, u8)) -> bool {
    let made = host.run("ip", &["link", "add", "link", device, "name", "tagged", "type", "vlan", "id", "7"]);
    if made.status.success() {
        host.ip(&["address", "add", &format!("10.77.0.{end}/24"), "dev", "tagged"]);
        host.ip(&["link", "set", "tagged", "up"]);
    }
    made.status.success()
}

#[test]
fn pages_pass_between_interfaces() {
    alone("pages_pass_between_interfaces", || {
        pages(Options::inline());
        pages(Options::default());
    });
}

fn pages(options: Options) {
    let (client, server) = hosts();
    let has_tags = [(&client, "client", 1), (&server, "server", 2)].map(add_tagged) == [true; 2];
    let bridge = bridge(options);
    let page = octets(PAGE);
    let inside = SocketAddr::new(CLIENT.v6.into(), 80);
    let mut pages = 0;
    for (from, to, address) in [
        (&client, &server, WEB),
        (&client, &server, WEB6),
        (&server, &client, inside),
        (&client, &server, TAGGED),
    ] {
        if address == TAGGED && !has_tags {
            say("SKIPPED: the kernel has no VLAN interfaces; no page was sent with tags");
            continue;
        }
        let start = Instant::now();
        let _server = Server::start(to, address, page.clone());
        assert!(get(from, address, 60).unwrap() == page, "{address}: another page");
        say(&format!("{address}: {PAGE} octets in {:?}", start.elapsed()));
        pages += 1;
    }
    client.unplug();
    server.unplug();
    let (engine, seen, statistics) = bridge.join().unwrap();
    let stats = engine.stats();
    say(&format!("{:?}: {seen:?}, {} frames, {statistics:?}", options.handover, stats.frames));
    assert!(seen.octets[0] > pages * PAGE, "and the heads");
    assert!(seen.largest <= LARGEST && (seen.tagged > PAGE / LARGEST || !has_tags), "{seen:?}");
    for reason in [DropReason::IpChecksum, DropReason::TcpChecksum] {
        assert_eq!(stats.drops[reason], 0, "{reason:?}");
    }
    let received: u64 = statistics.iter().map(|s| s.received).sum();
    assert!(stats.frames > received, "some were built of several");
    // Hosts may say something more when the first cable has gone.
    assert!(statistics.iter().all(|s| s.dropped == 0 && s.refused < 10));
}

#[test]
fn a_thousand_connections_pass() {
    alone("a_thousand_connections_pass", || {
        const CONNECTIONS: usize = 1000;
        let (client, server) = hosts();
        let bridge = bridge(Options::inline());
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

/// An example between two hosts.
struct Setup {
    device: Child,
    client: Host,
    server: Host,
}

impl Setup {
    fn new(example: &str, args: &[&str]) -> Self {
        let (client, server) = hosts();
        let mut device = Command::new(support::example(example))
            .args(args)
            .args(["--interfaces", "left,right"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(device.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        if line != "between left and right\n" {
            let _ = said.read_to_string(&mut line);
            panic!("{example}: {line}");
        }
        device.stderr = Some(said.into_inner());
        Setup { device, client, server }
    }

    /// Takes the interfaces away; the example ends then. Returns what it printed.
    fn end(mut self) -> String {
        self.client.unplug();
        self.server.unplug();
        let start = Instant::now();
        while self.device.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(10) {
                self.device.kill().unwrap();
                panic!("the example runs on without its interfaces");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = self.device.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_firewall_stands_between_interfaces() {
    alone("a_firewall_stands_between_interfaces", || {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules");
        std::fs::write(&rules, "DROP 10.9.0.0/24 10.9.0.2 dport:8081\n").unwrap();
        let page = octets(PAGE);
        let setup = Setup::new("firewall", &["--rules", rules.to_str().unwrap()]);
        let _open = Server::start(&setup.server, WEB, page.clone());
        let closed = Server::start(&setup.server, OTHER, page.clone());
        assert!(get(&setup.client, WEB, 60).unwrap() == page, "another page");
        assert_eq!(get(&setup.client, OTHER, 2), Err(TIMED_OUT));
        assert!(closed.clients.try_recv().is_err());
        let table = setup.end();
        assert!(table.contains("DROP"), "{table}");
    });
}

/// Here the engine changes each packet, and its checksums.
#[test]
fn a_nat_stands_between_interfaces() {
    alone("a_nat_stands_between_interfaces", || {
        let page = octets(PAGE);
        let setup = Setup::new("nat", &["--address", &NAT.to_string()]);
        setup.server.knows(NAT.into(), CLIENT.hardware);
        let server = Server::start(&setup.server, WEB, page.clone());
        assert!(get(&setup.client, WEB, 60).unwrap() == page, "another page");
        assert_eq!(server.clients.recv().unwrap(), SocketAddr::new(NAT.into(), 1025));
        let table = setup.end();
        assert!(table.contains(" to 10.9.0.2:8080 as 10.9.0.77:1025"), "{table}");
    });
}
