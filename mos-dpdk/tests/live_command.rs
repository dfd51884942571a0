//! `mos forward` and `mos monitor` on interfaces: what they carry and tell, and how they end.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "live/alone.rs"]
mod alone;
#[path = "live/host.rs"]
#[allow(dead_code)] // other tests ask for more
mod host;
#[path = "live/server.rs"]
#[allow(dead_code)]
mod server;

use alone::{alone, ip, say};
use host::{CLIENT, Host, Place, SERVER};
use serde_json::Value;
use server::Server;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8080);
const METRICS: &str = "127.0.0.1:9177";
const PAGE: usize = 4 << 20;
/// Of payload in a segment, at the most.
const SEGMENT: usize = 1460;

/// A run of the command that has begun.
struct Mos {
    process: Child,
    out: BufReader<ChildStdout>,
    said: BufReader<ChildStderr>,
}

impl Mos {
    /// Waits until it has said that it has opened its interfaces. Returns what it said.
    fn start(args: &[&str]) -> (Mos, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mos"));
        let mut process = command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut text = String::new();
        while !text.contains("mos: between ") && !text.contains("mos: listening to ") {
            assert!(said.read_line(&mut text).unwrap() > 0, "{args:?}: {text}");
        }
        (Mos { process, out, said }, text)
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.process.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for the end. Returns what else it printed and said.
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut said) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.said.read_to_string(&mut said).unwrap();
        (self.process.wait().unwrap().code(), out, said)
    }
}

/// Two hosts with cables to this machine, whose ends here are `left` and `right`.
fn hosts() -> (Host, Host) {
    for (here, there) in [("left", "client"), ("right", "server")] {
        ip(&format!("link add {here} type veth peer name {there}"));
        ip(&format!("link set {here} addrgenmode none"));
        ip(&format!("link set {here} up"));
    }
    (Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT))
}

fn curl(args: &[&str]) -> Output {
    Command::new("curl").args(["--silent", "--max-time", "20"]).args(args).output().unwrap()
}

/// The sum of a counter's samples that have a label.
fn metric(name: &str, label: &str) -> u64 {
    let page = String::from_utf8(curl(&[&format!("http://{METRICS}/metrics")]).stdout).unwrap();
    let samples = page.lines().filter(|line| line.starts_with(&format!("{name}{{")) && line.contains(label));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "it never came so far: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The numbers in a line of a summary.
fn numbers(summary: &str, begin: &str) -> Vec<u64> {
    let line =
        summary.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{begin}: {summary}"));
    line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn a_page_passes_and_is_told_of_and_a_signal_ends_it() {
    alone("a_page_passes_and_is_told_of_and_a_signal_ends_it", || {
        ip("link set lo up");
        let (client, server) = hosts();
        let page: Vec<u8> =
            (0..PAGE as u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(PAGE).collect();
        let _server = Server::start(&server, WEB, page.clone());
        for (workers, ended) in [("1", "INT"), ("2", "TERM")] {
            let (mut monitor, _) =
                Mos::start(&["monitor", "-i", "left", "--json", "--filter", "tcp port 8080"]);
            let (forward, _) =
                Mos::start(&["forward", "left", "right", "--workers", workers, "--metrics", METRICS]);
            let got = client.run("curl", &["--silent", "--max-time", "20", &format!("http://{WEB}/")]);
            assert!(got.status.success() && got.stdout == page, "{workers} workers: {}", got.status);
            let end = read_to_end_of_connection(&mut monitor);
            assert_eq!((&end["detail"], &end["flow"]), (&"closed".into(), &0.into()), "{end}");
            wait_until("the connection has ended", || metric("mos_flows_ended_total", "") == 1);
            assert!(metric("mos_frames_total", "") >= (PAGE / SEGMENT) as u64);
            assert!(metric("mos_port_sent_total", "port=\"left\"") >= (PAGE / SEGMENT) as u64);
            assert_eq!(metric("mos_worker_phase", "phase=\"running\"").to_string(), workers);
            for (path, status) in [("/", "404"), ("/metrics", "200")] {
                let url = format!("http://{METRICS}{path}");
                let out = curl(&["--output", "/dev/null", "--write-out", "%{http_code}", &url]).stdout;
                assert_eq!(String::from_utf8(out).unwrap(), status, "{path}");
            }
            [&forward, &monitor].into_iter().for_each(|mos| mos.signal(ended));
            let (status, summary, said) = forward.end();
            assert_eq!((status, said.as_str()), (Some(0), ""), "{summary}");
            say(&format!("{workers} workers\n{summary}"));
            check_summary(&summary);
            let (status, _, said) = monitor.end();
            assert_eq!(status, Some(0), "{said}");
            assert_eq!(numbers(&said, "tcp segments")[1], 1, "{said}");
            assert!(!said.contains("not printed"), "{said}");
        }
    });
}

/// Reads events until a connection has ended. Returns the last one.
fn read_to_end_of_connection(monitor: &mut Mos) -> Value {
    let mut started = false;
    for line in monitor.out.by_ref().lines() {
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let detail = event["detail"].as_str().unwrap_or_default();
        started |= event["event"] == "conn_start"
            && detail.starts_with(&format!("{}:", CLIENT.v4))
            && detail.ends_with(&format!(" > {WEB}"));
        if event["event"] == "conn_end" {
            assert!(started, "{event}");
            return event;
        }
    }
    panic!("no connection has ended");
}

/// What came by one interface has left by the other, but for what is counted.
fn check_summary(summary: &str) {
    assert_eq!(numbers(summary, "tcp segments")[1], 1, "{summary}");
    let port = |name| match numbers(summary, name)[..] {
        [received, _, sent, refused] => (received, sent, refused),
        _ => panic!("{summary}"),
    };
    let ((from_left, to_left, left_refused), (from_right, to_right, right_refused)) =
        (port("left"), port("right"));
    let lost = if summary.contains("handed over") { numbers(summary, "handed over")[1] } else { 0 };
    // What was split counts more than once.
    assert!(to_left + left_refused + lost >= from_right, "{summary}");
    assert!(to_right + right_refused + lost >= from_left, "{summary}");
    assert!(from_left > 0 && from_right > 0, "{summary}");
}

#[test]
fn nothing_is_left_behind_and_what_is_removed_ends() {
    alone("nothing_is_left_behind_and_what_is_removed_ends", || {
        let promiscuity = |name: &str| {
            let out = Command::new("ip").args(["-d", "link", "show", name]).output().unwrap();
            let text = String::from_utf8(out.stdout).unwrap();
            text.split("promiscuity ").nth(1).map(|rest| rest.split(' ').next().unwrap().to_owned())
        };
        ip("link add left type veth peer name right");
        let (mut killed, said) = Mos::start(&["forward", "left", "right", "--workers", "2"]);
        for name in ["left", "right"] {
            assert!(said.contains(&format!("mos: warning: {name} is down; ")), "{said}");
            assert_eq!(promiscuity(name).as_deref(), Some("2"), "{name}");
        }
        killed.process.kill().unwrap();
        killed.process.wait().unwrap();
        assert_eq!(promiscuity("left").as_deref(), Some("0"));
        let (mut killed, said) = Mos::start(&["forward", "tap0", "tap1", "--io", "tap"]);
        assert_eq!(said, "mos: between tap0 and tap1\n");
        assert!(promiscuity("tap0").is_some() && promiscuity("tap1").is_some());
        killed.process.kill().unwrap();
        killed.process.wait().unwrap();
        assert!(promiscuity("tap0").is_none() && promiscuity("tap1").is_none());
        let (removed, _) = Mos::start(&["forward", "left", "right", "--workers", "2"]);
        ip("link delete left");
        let (status, summary, said) = removed.end();
        assert_eq!((status, said.as_str()), (Some(0), ""), "{summary}");
        let (monitor, _) = Mos::start(&["monitor", "-i", "lo", "--seconds", "0.2"]);
        assert_eq!(monitor.end().0, Some(0));
        let none =
            Command::new(env!("CARGO_BIN_EXE_mos")).args(["forward", "left", "right"]).output().unwrap();
        let said = String::from_utf8(none.stderr).unwrap();
        assert_eq!(
            (none.status.code(), said.as_str()),
            (Some(2), "mos: there is no interface left: No such device\n")
        );
    });
}

#[test]
fn as_a_router_it_is_between_networks_with_any_number_of_workers() {
    alone("as_a_router_it_is_between_networks_with_any_number_of_workers", || {
        let [client, server] =
            [(1, CLIENT), (2, SERVER)].map(|(n, place)| Place::in_network(n, 9, place.hardware));
        for workers in ["1", "2"] {
            for (here, there) in [("left", "client"), ("right", "server")] {
                ip(&format!("link add {here} type veth peer name {there}"));
                ip(&format!("link set {here} addrgenmode none"));
                ip(&format!("link set {here} up"));
            }
            let addresses =
                ["left=10.9.1.1/24", "left=fd09:1::1/64", "right=10.9.2.1/24", "right=fd09:2::1/64"];
            let mut args = vec!["forward", "left", "right", "--workers", workers];
            addresses.iter().for_each(|address| args.extend(["--address", address]));
            let mut command = Command::new(env!("CARGO_BIN_EXE_mos"));
            let router = command.args(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
            let hosts = [("client", client, "1"), ("server", server, "2")];
            let hosts = hosts.map(|(device, place, network)| {
                let host = Host::alone(device, place);
                host.ip(&["route", "add", "default", "via", &format!("10.9.{network}.1")]);
                host.ip(&["-6", "route", "add", "default", "via", &format!("fd09:{network}::1")]);
                host
            });
            let page = vec![b'x'; PAGE / 4];
            for address in [IpAddr::V4(server.v4), IpAddr::V6(server.v6)] {
                let web = SocketAddr::new(address, 8080);
                let _server = Server::start(&hosts[1], web, page.clone());
                let args = ["--silent", "--globoff", "--max-time", "20", &format!("http://{web}/")];
                let got = hosts[0].run("curl", &args);
                assert!(got.status.success() && got.stdout == page, "{workers}, {web}: {}", got.status);
            }
            let kill = format!("kill -INT {}", router.id());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
            let output = router.wait_with_output().unwrap();
            let summary = String::from_utf8(output.stdout).unwrap();
            assert!(output.status.success(), "{summary}");
            say(&format!("a router of {workers} workers\n{summary}"));
            assert_eq!(numbers(&summary, "tcp segments")[1], 2, "{summary}");
            assert!(numbers(&summary, "routed ")[0] >= 2 * (page.len() / SEGMENT) as u64, "{summary}");
            // While the hosts are there: with them go their ends, and with these the others.
            ["left", "right"].iter().for_each(|name| ip(&format!("link delete {name}")));
        }
    });
}
