//! A host: a network namespace with one end of the cable.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Output, Stdio};

/// Addresses on the link: of both families, and the hardware's.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) v4: Ipv4Addr,
    pub(crate) v6: Ipv6Addr,
    pub(crate) hardware: &'static str,
}

pub(crate) const CLIENT: Place = Place::new(1, "02:00:00:00:00:01");
pub(crate) const SERVER: Place = Place::new(2, "02:00:00:00:00:02");

impl Place {
    const fn new(number: u8, hardware: &'static str) -> Self {
        Place::in_network(0, number, hardware)
    }

    pub(crate) const fn in_network(network: u8, number: u8, hardware: &'static str) -> Self {
        let v6 = Ipv6Addr::new(0xfd09, network as u16, 0, 0, 0, 0, 0, number as u16);
        Place { v4: Ipv4Addr::new(10, 9, network, number), v6, hardware }
    }
}

pub(crate) struct Host {
    /// Keeps the namespace; ends with its input, which ends with this process.
    keeper: Child,
    device: &'static str,
}

impl Host {
    /// Moves `device` of this namespace to a new one, where one peer is known.
    pub(crate) fn new(device: &'static str, own: Place, peer: Place) -> Self {
        let host = Host::alone(device, own);
        host.knows(peer.v4.into(), peer.hardware);
        host.knows(peer.v6.into(), peer.hardware);
        host
    }

    /// Moves `device` of this namespace to a new one.
    pub(crate) fn alone(device: &'static str, own: Place) -> Self {
        let mut keeper = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // With its first line it is where it shall be.
        BufReader::new(keeper.stdout.as_mut().unwrap()).read_line(&mut String::new()).unwrap();
        let host = Host { keeper, device };
        run(Command::new("ip").args(["link", "set", device, "netns", &host.keeper.id().to_string()]));
        host.ip(&["link", "set", "lo", "up"]);
        host.ip(&["link", "set", device, "address", own.hardware]);
        host.ip(&["address", "add", &format!("{}/24", own.v4), "dev", device]);
        host.ip(&["address", "add", &format!("{}/64", own.v6), "dev", device, "nodad"]);
        host.ip(&["link", "set", device, "up"]);
        host
    }

    /// Tells it the hardware's address that belongs to another one: that question is not to be lost.
    pub(crate) fn knows(&self, ip: IpAddr, hardware: &str) {
        self.ip(&["neighbour", "add", &ip.to_string(), "lladdr", hardware, "dev", self.device]);
    }

    pub(crate) fn ip(&self, args: &[&str]) {
        let output = self.run("ip", args);
        assert!(output.status.success(), "ip {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a command on this host.
    pub(crate) fn run(&self, command: &str, args: &[&str]) -> Output {
        self.inside(|| Command::new(command).args(args).output().unwrap())
    }

    /// Calls `f` on a thread in this host's namespace. Sockets that it makes stay there.
    pub(crate) fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/proc/{}/ns/net", self.keeper.id())).unwrap();
        let thread = || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            f()
        };
        std::thread::scope(|scope| scope.spawn(thread).join().unwrap())
    }

    /// Takes the device away.
    pub(crate) fn unplug(&self) {
        self.ip(&["link", "delete", self.device]);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
