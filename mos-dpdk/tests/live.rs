//! The examples as middleboxes on live traffic: two hosts, each in a network namespace of its own, whose only link is a
//! pair of TAP devices with the example between them. Both hosts' TCP is the kernel's, the client is curl.
//!
//! The router stands between two of its own, see `route`.
//!
//! With the examples everything is done once over a good network and, from several seeds, over one that loses, reorders and duplicates. By hand:
//! `cargo test -p mos-dpdk --test live --examples`; without the last word the examples are not built again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "live/echo.rs"]
mod echo;
#[path = "live/host.rs"]
mod host;
#[path = "live/route.rs"]
mod route;
#[path = "live/server.rs"]
mod server;
mod support;

use host::{CLIENT, Host, SERVER};
use server::Server;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const GOOD: &str = "loss=0%";
const BAD: &str = "loss=2%,reorder=3%,duplicate=1%";
/// From how many seeds the bad one is tried; `MOS_LIVE_SEEDS` chooses another number.
const SEEDS: u64 = 3;

/// Where the server is.
const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8080);
const WEB6: SocketAddr = SocketAddr::new(IpAddr::V6(SERVER.v6), 8080);
const OTHER: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8081);
/// The address that connections have behind the NAT.
const NAT: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 77);
/// Of curl.
const TIMED_OUT: i32 = 28;
/// The body that is checked octet by octet.
const LARGE: usize = 1 << 20;
/// The body in which words are replaced, and its lines without them: several to a segment.
const TAMPERED: usize = 200_000;
const LINE: usize = 400;

/// How bad the network is, and the seed of what it does to which frames.
type Network = (&'static str, u64);

fn networks() -> impl Iterator<Item = Network> {
    let seeds = std::env::var("MOS_LIVE_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number"));
    std::iter::once((GOOD, 1)).chain((1..=seeds).map(|seed| (BAD, seed)))
}

/// Runs `scenario`, which is all there is to the test `name`, in a network namespace of its own.
fn alone(name: &str, scenario: fn()) {
    if std::env::var_os("MOS_LIVE_ALONE").is_some() {
        return scenario();
    }
    let Some(unshare) = unshare() else { return };
    let status = Command::new(unshare[0])
        .args(&unshare[1..])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env("MOS_LIVE_ALONE", "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{name} failed, see above");
}

/// What runs a command in a new network namespace; with nothing that does, says so.
fn unshare() -> Option<&'static [&'static str]> {
    let runs = |args: &[&str]| {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let ways: [&'static [&'static str]; 2] =
        [&["unshare", "--net", "--"], &["unshare", "--user", "--map-root-user", "--net", "--"]];
    let way = ways
        .into_iter()
        .find(|way| runs(&[*way, &["ip", "tuntap", "add", "probe0", "mode", "tap"]].concat()));
    let missing = if !runs(&["ip", "-V"]) {
        "the command ip is not there"
    } else if !runs(&["curl", "--version"]) {
        "the command curl is not there"
    } else if !Path::new("/proc/net/if_inet6").exists() {
        "IPv6 is switched off"
    } else if way.is_none() {
        "a network namespace with a TAP device cannot be made (that takes root or user namespaces, and /dev/net/tun)"
    } else {
        return way;
    };
    say(&format!("SKIPPED: {missing}; nothing was tried on live traffic"));
    None
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// An example, and the two hosts that it stands between.
struct Setup {
    example: &'static str,
    device: Child,
    client: Host,
    server: Host,
}

impl Setup {
    fn new(example: &'static str, args: &[&str], (impair, seed): Network) -> Self {
        let mut device = Command::new(support::example(example))
            .args(args)
            .args(["--tap", "client,server", "--impair", impair, "--seed", &seed.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(device.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        if line != "between client and server\n" {
            let _ = said.read_to_string(&mut line);
            panic!("{example}: {line}");
        }
        device.stderr = Some(said.into_inner());
        let (client, server) = (Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT));
        Setup { example, device, client, server }
    }

    /// Takes the cable away; the example ends then. Returns what it printed.
    fn end(mut self) -> String {
        self.client.unplug();
        self.server.unplug();
        let start = Instant::now();
        while self.device.try_wait().unwrap().is_none() {
            if start.elapsed() > Duration::from_secs(10) {
                self.device.kill().unwrap();
                panic!("the example runs on without its devices");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = self.device.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", output.status);
        say(&format!("{}: {}", self.example, said.trim_end()));
        String::from_utf8(output.stdout).unwrap()
    }
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

#[test]
fn a_firewall_lets_through_what_it_shall() {
    alone("a_firewall_lets_through_what_it_shall", || {
        let folder = tempfile::tempdir().unwrap();
        let rules = folder.path().join("rules");
        let text = "DROP 10.9.0.0/24 10.9.0.2 dport:8081\nACCEPT 10.9.0.1 10.9.0.2 dport:8080\nDROP 0.0.0.0/0 0.0.0.0/0\n";
        std::fs::write(&rules, text).unwrap();
        let page = octets(LARGE);
        for network in networks() {
            let setup = Setup::new("firewall", &["--rules", rules.to_str().unwrap()], network);
            let open = Server::start(&setup.server, WEB, page.clone());
            let closed = Server::start(&setup.server, OTHER, page.clone());
            assert!(get(&setup.client, WEB, 60).unwrap() == page, "{network:?}: another page");
            assert_eq!(open.clients.recv().unwrap().ip(), CLIENT.v4);
            assert_eq!(get(&setup.client, OTHER, 2), Err(TIMED_OUT), "{network:?}");
            assert!(closed.clients.try_recv().is_err());
            let table = setup.end();
            let counts = table.lines().rev().skip(1).take(3).map(|l| l.split_whitespace().nth(1).unwrap());
            let counts: Vec<u64> = counts.map(|n| n.parse().unwrap()).collect();
            assert!(matches!(counts[..], [0, accepted, dropped] if accepted > 0 && dropped > 0), "{table}");
        }
    });
}

#[test]
fn behind_a_nat_a_page_arrives_and_the_server_sees_the_nat() {
    alone("behind_a_nat_a_page_arrives_and_the_server_sees_the_nat", || {
        let page = octets(LARGE);
        for network in networks() {
            let setup = Setup::new("nat", &["--address", &NAT.to_string()], network);
            setup.server.knows(NAT.into(), CLIENT.hardware);
            let server = Server::start(&setup.server, WEB, page.clone());
            for n in 0..3 {
                assert!(get(&setup.client, WEB, 60).unwrap() == page, "{network:?}: another page");
                assert_eq!(
                    server.clients.recv().unwrap(),
                    SocketAddr::new(NAT.into(), 1025 + n),
                    "{network:?}"
                );
            }
            // The other way there is no NAT.
            let inside = SocketAddr::new(CLIENT.v4.into(), 80);
            let server = Server::start(&setup.client, inside, page.clone());
            assert!(get(&setup.server, inside, 60).unwrap() == page, "{network:?}: another page");
            assert_eq!(server.clients.recv().unwrap().ip(), SERVER.v4);
            let table = setup.end();
            let lines: Vec<&str> = table.lines().collect();
            let own = |line: &str| {
                line.starts_with("10.9.0.1:") && line.contains(" to 10.9.0.2:8080 as 10.9.0.77:102")
            };
            assert!(lines.len() == 3 && lines.iter().all(|line| own(line)), "{table}");
        }
    });
}

/// A text of about `len` octets, with `word` somewhere in every line.
fn text(len: usize, word: &str) -> String {
    let mut text = String::new();
    for octets in octets(len).chunks(LINE) {
        let (before, after) = octets.split_at(usize::from(octets[0]).min(octets.len()));
        let letters = |octets: &[u8]| octets.iter().map(|o| char::from(b'a' + o % 26)).collect::<String>();
        text += &format!("{}{word}{}\n", letters(before), letters(after));
    }
    text
}

#[test]
fn a_page_arrives_with_another_word_in_it() {
    alone("a_page_arrives_with_another_word_in_it", || {
        let page = text(TAMPERED, "mountain");
        let words = [("mountain range", WEB), ("hill", WEB6), ("", WEB)];
        for (network, (to, web)) in networks().flat_map(|network| words.map(|word| (network, word))) {
            let setup = Setup::new("tamper", &["--from", "mountain", "--to", to], network);
            let server = Server::start(&setup.server, web, page.clone().into_bytes());
            let got = get(&setup.client, web, 60).unwrap();
            assert!(got == page.replace("mountain", to).into_bytes(), "{to} {network:?}: another page");
            drop(server);
            let printed = setup.end();
            let words = TAMPERED.div_ceil(LINE);
            assert!(printed.ends_with(&format!(" {web} {words} replaced\n")), "{printed}");
        }
    });
}
