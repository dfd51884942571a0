//! `mos forward` on every kind of device: a page, and a thousand connections at once, between two hosts whose only link it is, over a
//! good network and over a bad one. Every octet is compared, and the states of both ends are held against what the hosts did.
//!
//! Kinds that are not built in are not there: `cargo test -p mos-dpdk --features xdp,dpdk --test backends`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "live/alone.rs"]
mod alone;
#[path = "live/cable.rs"]
#[allow(dead_code)]
mod cable;
#[path = "live/host.rs"]
#[allow(dead_code)] // other tests ask for more
mod host;
#[path = "live/server.rs"]
#[allow(dead_code)]
mod server;

use cable::{alone, ip, say};
use host::{CLIENT, Host, SERVER};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit};
use serde_json::Value;
use server::Server;
use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;

const WEB: SocketAddr = SocketAddr::new(IpAddr::V4(SERVER.v4), 8080);
const ECHO: SocketAddr = SocketAddr::new(IpAddr::V6(SERVER.v6), 9000);
/// The page.
const LARGE: usize = 1 << 20;
/// Connections that are open at the same time, and threads that open them.
const CROWD: usize = 1000;
const THREADS: usize = 40;
/// Octets of each answer.
const ANSWER: usize = 4096;
const GOOD: &str = "loss=0%";
const BAD: &str = "loss=1%,reorder=2%,duplicate=1%";
/// Of a thread with little to do.
const STACK: usize = 128 << 10;

/// What is between the hosts.
#[derive(Clone, Copy)]
struct Backend {
    args: &'static [&'static str],
    /// The forwarder's ends: of cables to the hosts, or the hosts' devices themselves, which it makes.
    ends: [&'static str; 2],
}

const CABLES: [&str; 2] = ["left", "right"];
const OWN: [&str; 2] = ["client", "server"];

/// The program between the hosts.
struct Forwarder {
    process: Child,
    client: Host,
    server: Host,
}

impl Forwarder {
    fn start(backend: Backend, network: &str) -> Self {
        if backend.ends == CABLES {
            for (host, end) in OWN.into_iter().zip(CABLES) {
                ip(&format!("link add {host} type veth peer name {end}"));
                ip(&format!("link set {end} up"));
            }
        }
        let mut process = Command::new(env!("CARGO_BIN_EXE_mos"))
            .arg("forward")
            .args(if backend.args.contains(&"dpdk") { ["0", "1"] } else { backend.ends })
            .args(backend.args)
            .args(["--json", "--impair", network])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(process.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("between") {
            line.clear();
            if said.read_line(&mut line).unwrap() == 0 {
                panic!("mos forward has ended");
            }
        }
        thread::spawn(move || said.lines().map_while(Result::ok).for_each(|line| say(&line)));
        let (client, server) = (Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT));
        Forwarder { process, client, server }
    }
}

/// Reads what the forwarder writes while it runs, so that nothing has to wait for it.
fn events(forwarder: &mut Forwarder) -> thread::JoinHandle<Vec<Value>> {
    let out = forwarder.process.stdout.take().unwrap();
    let lines = BufReader::new(out).lines().map_while(Result::ok);
    thread::spawn(move || lines.filter_map(|line| serde_json::from_str(&line).ok()).collect())
}

/// What connection `n` asks, or is answered.
fn octets(n: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (((n * 31 + at) * 0x9e37) >> 7) as u8).collect()
}

/// Answers each connection after it was asked, and closes when the client has.
fn serve(listener: &TcpListener) {
    for stream in (0..CROWD).filter_map(|_| listener.accept().ok()) {
        let answer = move || {
            let (mut stream, mut number) = (stream.0, [0; 8]);
            stream.read_exact(&mut number).unwrap();
            stream.write_all(&octets(usize::from_be_bytes(number), ANSWER)).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        };
        thread::Builder::new().stack_size(STACK).spawn(answer).unwrap();
    }
}

/// A thousand connections, all open before the first one asks.
fn crowd(forwarder: &Forwarder) {
    let listener = forwarder.server.inside(|| TcpListener::bind(ECHO).unwrap());
    thread::spawn(move || serve(&listener));
    let open = Barrier::new(THREADS);
    let client = || {
        thread::scope(|scope| {
            for first in 0..THREADS {
                let open = &open;
                scope.spawn(move || {
                    let numbers = (first..CROWD).step_by(THREADS);
                    let mut streams: Vec<(usize, TcpStream)> =
                        numbers.map(|n| (n, TcpStream::connect(ECHO).unwrap())).collect();
                    open.wait();
                    for (n, stream) in &mut streams {
                        stream.write_all(&n.to_be_bytes()).unwrap();
                    }
                    for (n, stream) in &mut streams {
                        let mut answer = vec![0; ANSWER];
                        stream.read_exact(&mut answer).unwrap();
                        assert!(answer == octets(*n, ANSWER), "connection {n}: other octets");
                        stream.shutdown(Shutdown::Write).unwrap();
                        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                    }
                });
            }
        });
    };
    // In the namespace of the client are the threads that it starts.
    forwarder.client.inside(client);
}

/// What the forwarder told of connections to `server` holds against what was done there.
fn judge(events: &[Value], server: &str, count: usize, last: &[&str]) {
    let text = |event: &Value, key: &str| event[key].as_str().unwrap_or_default().to_owned();
    let mut states = HashMap::new();
    for event in events {
        let flow = event["flow"].as_u64();
        let is_start = event["event"] == "conn_start" && text(event, "detail").ends_with(server);
        if is_start || states.contains_key(&flow) && event["event"] == "state_change" {
            states.insert(flow, format!("{} {}", text(event, "client"), text(event, "server")));
        }
    }
    assert_eq!(states.len(), count, "connections to {server}");
    let odd: Vec<&String> = states.values().filter(|state| !last.contains(&state.as_str())).collect();
    assert!(odd.is_empty(), "{server}: {odd:?}");
}

fn tried(name: &str, backend: Backend) {
    alone(name, || {
        setrlimit(Resource::Nofile, Rlimit { current: Some(4096), maximum: Some(4096) }).unwrap();
        for network in [GOOD, BAD] {
            let mut forwarder = Forwarder::start(backend, network);
            let events = events(&mut forwarder);
            let page = octets(7, LARGE);
            let server = Server::start(&forwarder.server, WEB, page.clone());
            let url = format!("http://{WEB}/");
            let got = forwarder.client.run("curl", &["--silent", "--max-time", "60", &url]);
            assert!(got.status.success() && got.stdout == page, "{network}: another page");
            assert_eq!(server.clients.recv().unwrap().ip(), CLIENT.v4);
            crowd(&forwarder);
            let pid = Pid::from_child(&forwarder.process);
            // The last segments are on their way.
            thread::sleep(std::time::Duration::from_millis(300));
            kill_process(pid, Signal::INT).unwrap();
            let status = forwarder.process.wait().unwrap();
            assert!(status.success(), "{status}");
            let events = events.join().unwrap();
            if network == GOOD {
                judge(&events, &ECHO.to_string(), CROWD, &["TIME-WAIT CLOSED", "CLOSED CLOSED"]);
            }
            say(&format!("{name}, {network}: {} events", events.len()));
            for device in OWN.iter().chain(backend.ends.iter().filter(|end| CABLES.contains(end))) {
                // With one end of a cable the other is gone, too, and devices of the forwarder's have gone with it.
                let _ = Command::new("ip").args(["link", "delete", device]).stderr(Stdio::null()).status();
            }
        }
    });
}

#[test]
fn packet_sockets_carry_a_page_and_a_crowd() {
    let args = &["--io", "af_packet"];
    tried("packet_sockets_carry_a_page_and_a_crowd", Backend { args, ends: CABLES });
}

#[test]
fn packet_sockets_of_two_workers_carry_a_page_and_a_crowd() {
    let args = &["--io", "af_packet", "--workers", "2"];
    tried("packet_sockets_of_two_workers_carry_a_page_and_a_crowd", Backend { args, ends: CABLES });
}

#[test]
fn tap_devices_carry_a_page_and_a_crowd() {
    tried("tap_devices_carry_a_page_and_a_crowd", Backend { args: &["--io", "tap"], ends: OWN });
}

#[cfg(feature = "xdp")]
#[test]
fn af_xdp_carries_a_page_and_a_crowd() {
    let args = &["--io", "af_xdp"];
    tried("af_xdp_carries_a_page_and_a_crowd", Backend { args, ends: CABLES });
}

#[cfg(feature = "dpdk")]
#[test]
fn dpdk_carries_a_page_and_a_crowd() {
    const EAL: &str = "--no-huge --no-pci -m 512 --no-shconf --no-telemetry --vdev net_tap0,iface=client \
                       --vdev net_tap1,iface=server";
    let args = &["--io", "dpdk", "--eal", EAL];
    tried("dpdk_carries_a_page_and_a_crowd", Backend { args, ends: OWN });
}
