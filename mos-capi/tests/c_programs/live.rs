//! C programs in real traffic: between TAP devices or interfaces, with a host at each. Everything happens in network namespaces of its own.
#![cfg(target_os = "linux")]

#[path = "../../../mos-dpdk/tests/live/host.rs"]
mod host;
#[path = "../../../mos-dpdk/tests/live/server.rs"]
mod server;

use crate::input::{cores, program};
use crate::support::Run;
use crate::support::alone::alone;
use host::{CLIENT, Host, SERVER};
use server::Server;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[test]
fn between_devices_time_goes_on_and_everybody_is_heard_at_once() {
    alone("live::between_devices_time_goes_on_and_everybody_is_heard_at_once", || {
        Run::new(program(), None).arg("idle").arg(cores(2, "")).checks(2000);
    });
}

/// What a server at `port` gives, or `None` when it cannot be reached within `most`.
fn get(client: &Host, port: u16, most: Duration) -> Option<Vec<u8>> {
    let address = SocketAddr::new(IpAddr::V4(SERVER.v4), port);
    client.inside(|| {
        let mut stream = TcpStream::connect_timeout(&address, most).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        Some(answer)
    })
}

/// Interfaces between which the program stands, and at their other ends those of the hosts, with the offloads that they have by
/// default.
fn pairs() {
    for (here, host) in [("eth0", "client"), ("eth1", "server")] {
        // Those of the hosts before may still go away with their namespaces.
        let _ = Command::new("ip").args(["link", "delete", here]).stderr(Stdio::null()).status();
        for args in [
            &["link", "add", here, "type", "veth", "peer", "name", host][..],
            &["link", "set", here, "addrgenmode", "none"],
            &["link", "set", here, "up"],
        ] {
            assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
        }
    }
}

#[test]
fn a_program_stands_between_two_hosts() {
    alone("live::a_program_stands_between_two_hosts", || {
        const REQUEST: usize = 18;
        let page: Vec<u8> = (0..1_000_000_u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let run = |lines: &str, env: &str| {
            let run = Run::new(program(), None).arg("cable").arg(cores(1, lines));
            if env.is_empty() { run } else { run.env("MOS_IO", env) }
        };
        let pair = |io: &str, names: &str| format!("io = {io}\nnic_forward_table {{\n{names}\n}}");
        for (run, unplugged, makes_devices) in [
            (run(&pair("tap", "client server"), ""), false, true),
            (run("", "tap:client,server"), true, true),
            (run(&pair("af_packet", "eth0 eth1"), ""), false, false),
            (run("", "af_packet:eth0,eth1"), true, false),
        ] {
            if !makes_devices {
                pairs();
            }
            let mut child = run.start();
            let mut printed = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            printed.read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            let (client, server) = (Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT));
            let at = |port| SocketAddr::new(IpAddr::V4(SERVER.v4), port);
            let open = Server::start(&server, at(8080), page.clone());
            let closed = Server::start(&server, at(8081), page.clone());
            let mut answers = 0;
            for _ in 0..3 {
                let answer = get(&client, 8080, Duration::from_secs(10)).unwrap();
                assert!(answer.ends_with(&page), "another page");
                answers += answer.len();
                assert_eq!(open.clients.recv().unwrap().ip(), CLIENT.v4);
            }
            assert_eq!(get(&client, 8081, Duration::from_secs(2)), None, "it is dropped");
            assert!(closed.clients.try_recv().is_err());
            let start = Instant::now();
            if unplugged {
                client.unplug();
                server.unplug();
            } else {
                assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
            }
            assert!(child.wait().unwrap().success());
            // Closing packet sockets waits for all of the kernel's cores.
            let most = Duration::from_millis(if makes_devices { 500 } else { 2000 });
            assert!(start.elapsed() < most, "{:?}", start.elapsed());
            let mut rest = String::new();
            printed.read_to_string(&mut rest).unwrap();
            // Three that ended, for each side; and one whose SYN was dropped behind the program's back, which is there.
            let expected = format!("4 connections, 6 ends, {answers} and {} octets\n", 3 * REQUEST);
            assert!(rest.starts_with(&expected), "{rest}{expected}");
            assert!(rest.ends_with(" checks, 0 failures\n"), "{rest}");
        }
    });
}
