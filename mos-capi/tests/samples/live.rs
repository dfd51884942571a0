//! The samples as middleboxes between two hosts whose TCP is the kernel's.
#![cfg(target_os = "linux")]

#[path = "../../../mos-dpdk/tests/live/host.rs"]
mod host;
#[path = "../../../mos-dpdk/tests/live/server.rs"]
mod server;

use super::sample;
use crate::support::alone::alone;
use crate::support::{Run, conf, file, is_installed, skipped};
use host::{CLIENT, Host, SERVER};
use server::Server;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OPEN: u16 = 8080;
const CLOSED: u16 = 8081;
/// Of curl.
const TIMED_OUT: i32 = 28;

fn page() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect()
}

/// Starts a middlebox and puts it between two hosts.
fn start(run: Run) -> (Child, Host, Host) {
    let child = run.start();
    let is_there = |device: &str| {
        let mut ip = Command::new("ip");
        ip.args(["link", "show", device]).stdout(Stdio::null()).stderr(Stdio::null());
        ip.status().unwrap().success()
    };
    let begin = Instant::now();
    while !["client", "server"].into_iter().all(is_there) {
        assert!(begin.elapsed() < Duration::from_secs(10), "it makes no devices");
        std::thread::sleep(Duration::from_millis(10));
    }
    (child, Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT))
}

/// Waits for the good end of a middlebox. Returns what it printed.
fn end(mut child: Child) -> String {
    let begin = Instant::now();
    assert!(child.wait().unwrap().success());
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
    let mut printed = String::new();
    child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
    printed
}

fn interrupt(child: Child) -> String {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    end(child)
}

/// The page of the server at `port`, or curl's exit status.
fn get(client: &Host, port: u16, seconds: u32) -> Result<Vec<u8>, i32> {
    let (url, seconds) = (format!("http://{}:{port}/", SERVER.v4), seconds.to_string());
    let output = client.run("curl", &["--silent", "--max-time", &seconds, &url]);
    if output.status.success() { Ok(output.stdout) } else { Err(output.status.code().unwrap()) }
}

fn serve(host: &Host, port: u16) -> Server {
    Server::start(host, SocketAddr::new(IpAddr::V4(SERVER.v4), port), page())
}

#[test]
fn curl_through_the_firewall() {
    if !is_installed("curl") {
        return skipped("curl is not installed: no sample was tried on live traffic");
    }
    alone("live::curl_through_the_firewall", || {
        let rules = file("live.rules", b"DROP 10.9.0.0/24 10.9.0.2 dport:8081\nACCEPT 10.9.0.1 0.0.0.0/0\n");
        let pair = "io = tap\nforward = 1\nnic_forward_table {\nclient server\n}";
        let run = Run::new(&sample("simple_firewall"), None).arg("-c").arg(conf("live-firewall.conf", pair));
        let (child, client, server) = start(run.arg("-f").arg(rules).args(["-n", "1"]));
        let (open, closed) = (serve(&server, OPEN), serve(&server, CLOSED));
        for _ in 0..3 {
            assert!(get(&client, OPEN, 60).unwrap() == page(), "another page");
            assert_eq!(open.clients.recv().unwrap().ip(), CLIENT.v4);
        }
        assert_eq!(get(&client, CLOSED, 3), Err(TIMED_OUT));
        assert!(closed.clients.try_recv().is_err());
        let printed = interrupt(child);
        let tables: Vec<&str> = printed.split("Firewall rule table\n").skip(1).collect();
        assert!(tables.len() > 2, "one each second, and the last: {printed}");
        let flows = |rule: usize| tables.last().unwrap().lines().nth(rule).unwrap().split_whitespace().nth(1);
        // The SYN that is dropped is sent again after a second.
        assert!(flows(1).unwrap().parse::<u32>().unwrap() > 1 && flows(2) == Some("3"), "{printed}");
    });
}

#[test]
fn curl_through_the_nat() {
    if !is_installed("curl") {
        return skipped("curl is not installed: no sample was tried on live traffic");
    }
    alone("live::curl_through_the_nat", || {
        let nat = Ipv4Addr::new(10, 9, 0, 77);
        let run = Run::new(&sample("nat"), None).env("MOS_IO", "tap:client,server");
        let run = run.arg("-f").arg(conf("live-nat.conf", "forward = 1")).args(["-c", "1"]);
        let (child, client, server) = start(run.args(["-i", &nat.to_string()]));
        server.knows(nat.into(), CLIENT.hardware);
        let open = serve(&server, OPEN);
        let mut ports = BTreeSet::new();
        for _ in 0..5 {
            assert!(get(&client, OPEN, 60).unwrap() == page(), "another page");
            let from = open.clients.recv().unwrap();
            assert!(from.ip() == nat && (1025..65535).contains(&from.port()), "{from}");
            ports.insert(from.port());
        }
        assert_eq!(ports.len(), 5, "one that has just been used comes last");
        client.unplug();
        server.unplug();
        assert_eq!(end(child), "");
    });
}

/// The state of the one connection that a host's kernel has, as midstat names it.
fn state(host: &Host) -> String {
    let output = host.run("ss", &["--no-header", "--tcp", "--numeric"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    match text.split_whitespace().next().unwrap() {
        "ESTAB" => "ESTABLISHED".to_owned(),
        other => other.replace('-', "_"),
    }
}

#[test]
fn states_are_those_of_the_kernels() {
    if !is_installed("ss") {
        return skipped("ss is not installed: no states were compared with those of a kernel");
    }
    alone("live::states_are_those_of_the_kernels", || {
        let run = Run::new(&sample("midstat"), None).env("MOS_IO", "tap:client,server");
        let run = run.arg("-f").arg(conf("live-midstat.conf", "forward = 1")).args(["-c", "1"]);
        let (child, client, server) = start(run);
        let address = SocketAddr::new(IpAddr::V4(SERVER.v4), OPEN);
        let listener = server.inside(|| TcpListener::bind(address).unwrap());
        let stream = client.inside(|| TcpStream::connect(address).unwrap());
        let accepted = listener.accept().unwrap().0;
        let name = stream.local_addr().unwrap().to_string();
        let mut rows = Vec::new();
        let mut stay = || {
            std::thread::sleep(Duration::from_millis(2500)); // there is a table in that time
            let (client, server) = (state(&client), state(&server));
            rows.push(format!("tcp   0   {name:<21} {client:<12} 10.9.0.2:8080         {server:<12}"));
        };
        stay();
        stream.shutdown(Shutdown::Write).unwrap();
        stay();
        assert_ne!(rows[0], rows[1]);
        drop(accepted);
        std::thread::sleep(Duration::from_millis(2500));
        let printed = interrupt(child);
        let mut seen: Vec<&str> = printed.lines().filter(|line| !line.starts_with("Proto CPU ")).collect();
        seen.dedup();
        assert_eq!(seen, rows, "{printed}");
        assert!(printed.ends_with("Server State\n"), "it has ended: {printed}");
    });
}
