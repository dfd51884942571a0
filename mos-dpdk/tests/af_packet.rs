//! Packet sockets as ports, on pairs of virtual Ethernet interfaces with the offloads that they have by default: hosts leave
//! checksums and the splitting of large frames to network cards that are none.
//!
//! By hand: `cargo test -p mos-dpdk --test af_packet --examples`; without the last word the examples are not built again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "live/host.rs"]
mod host;
#[path = "af_packet/raw.rs"]
mod raw;
#[path = "live/server.rs"]
mod server;
#[path = "af_packet/spread.rs"]
mod spread;
mod support;

use host::{CLIENT, Host, SERVER};
use mos_dpdk::port::Statistics;
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_dpdk::{Links, Worker};
use mos_flow::{Config, Context, DropReason, Engine, Event, Hook, Side, SocketKind};
use server::Server;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
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

/// Runs `scenario`, which is all there is to the test `name`, in a network namespace of its own.
fn alone(name: &str, scenario: fn()) {
    if std::env::var_os("MOS_LIVE_ALONE").is_some() {
        return scenario();
    }
    let runs = |args: &[&str]| {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] =
        [&["unshare", "--net", "--"], &["unshare", "--user", "--map-root-user", "--net", "--"]];
    let probe = ["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"];
    let way = ways.into_iter().find(|way| runs(&[*way, &probe].concat()));
    let missing = if !runs(&["curl", "--version"]) {
        "the command curl is not there"
    } else if !std::path::Path::new("/proc/net/if_inet6").exists() {
        "IPv6 is switched off"
    } else if way.is_none() {
        "a network namespace with virtual interfaces cannot be made (that takes the command ip, and root or user namespaces)"
    } else {
        ""
    };
    let Some(way) = way.filter(|_| missing.is_empty()) else {
        return say(&format!("SKIPPED: {missing}; {name} was not tried"));
    };
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let status = command.env("MOS_LIVE_ALONE", "1").stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{name} failed, see above");
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a pair of interfaces, of which this machine's IP wants nothing.
fn pair(one: &str, other: &str) {
    ip(&format!("link add {one} type veth peer name {other}"));
    for name in [one, other] {
        ip(&format!("link set {name} addrgenmode none"));
        ip(&format!("link set {name} up"));
    }
}

/// Two hosts, each at the other end of an interface here.
fn hosts() -> (Host, Host) {
    pair("left", "client");
    pair("right", "server");
    (Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT))
}

/// What a bridge has seen.
#[derive(Debug, Default)]
struct Seen {
    largest: usize,
    tagged: usize,
    /// Octets that clients and servers received.
    octets: [usize; 2],
}

fn on_packet(ctx: &mut Context<'_, Seen>) {
    let frame = ctx.packet().unwrap().frame;
    let (len, is_tagged) = (frame.data.len(), frame.data[12..14] == [0x81, 0]);
    ctx.app().largest = ctx.app().largest.max(len);
    ctx.app().tagged += usize::from(is_tagged);
}

fn on_data(ctx: &mut Context<'_, Seen>) {
    let side = ctx.side().unwrap();
    let (seen, mut monitor) = ctx.split().unwrap();
    let octets = &mut seen.octets[usize::from(side == Side::Server)];
    monitor.read_with(side, |_, data| *octets += data.len()).unwrap();
}

/// What is left of a bridge.
type Done = (Engine<Seen>, Seen, Vec<Statistics>);

/// A bridge between the two interfaces, until they are removed.
fn bridge(options: Options) -> JoinHandle<Done> {
    let mut engine = Engine::new(Config::default()).unwrap();
    let raw = engine.open(SocketKind::Raw).unwrap();
    engine.register(raw, Event::PacketIn, Hook::None, on_packet, 0).unwrap();
    let stream = engine.open(SocketKind::Stream).unwrap();
    engine.register(stream, Event::NewData, Hook::None, on_data, 0).unwrap();
    let open = |name| AfPacket::open(name, &options).unwrap();
    let links = Links::between(open("left"), open("right"));
    let mut bridge = Worker::new(engine, Seen::default(), links);
    std::thread::spawn(move || {
        bridge.run().unwrap();
        let statistics = bridge.links.statistics().collect();
        let (engine, seen) = bridge.into_parts();
        (engine, seen, statistics)
    })
}

/// The page of a server, as curl gets it, or curl's exit status.
fn get(client: &Host, server: SocketAddr, seconds: u32) -> Result<Vec<u8>, i32> {
    let (url, seconds) = (format!("http://{server}/"), seconds.to_string());
    let output = client.run("curl", &["--silent", "--globoff", "--max-time", &seconds, &url]);
    if output.status.success() { Ok(output.stdout) } else { Err(output.status.code().unwrap()) }
}

/// Octets without a pattern, always the same.
fn octets(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
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
