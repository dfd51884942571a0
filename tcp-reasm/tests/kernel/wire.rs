//! The wire between the kernel and our end of it: a TUN device, and packets made by hand.

use etherparse::{Ipv4Header, TcpHeader, ip_number};
use smoltcp::phy::{Device, Medium, RxToken, TunTapInterface, TxToken};
use smoltcp::time::Instant;
use std::net::SocketAddrV4;

const DEVICE: &str = "oracle0";
pub(crate) const KERNEL: &str = "10.77.0.1";

/// A network of one device. What is written to it, the kernel has processed when the call returns.
pub(crate) struct Wire(TunTapInterface);

impl Wire {
    /// Makes the device, in a network namespace of its own, and sets what would make the kernel silent or slow.
    pub(crate) fn new() -> Self {
        let device = TunTapInterface::new(DEVICE, Medium::Ip).expect("a TUN device");
        set("ipv6/conf/all/disable_ipv6", "1");
        ip(&["address", "add", &format!("{KERNEL}/24"), "dev", DEVICE]);
        ip(&["link", "set", DEVICE, "up"]);
        for (name, value) in [
            // Answers must not be held back, for the monitor learns from them.
            ("tcp_invalid_ratelimit", "0"),
            ("tcp_challenge_ack_limit", "2147483647"),
            // No pacing: what may be sent is sent at once.
            ("tcp_congestion_control", "reno"),
            // Exchanges must not learn from each other.
            ("tcp_no_metrics_save", "1"),
            ("tcp_syncookies", "0"),
        ] {
            set(&format!("ipv4/{name}"), value);
        }
        Wire(device)
    }

    pub(crate) fn send(&mut self, packet: &[u8]) {
        let token = self.0.transmit(Instant::ZERO).expect("room");
        token.consume(packet.len(), |bytes| bytes.copy_from_slice(packet));
    }

    /// The next packet of the kernel that carries TCP.
    pub(crate) fn receive(&mut self) -> Option<Packet> {
        loop {
            let (token, _) = self.0.receive(Instant::ZERO)?;
            if let Some(packet) = token.consume(Packet::parse) {
                return Some(packet);
            }
        }
    }
}

/// A TCP segment that the kernel sent, and between which ends.
pub(crate) struct Packet {
    pub(crate) from: SocketAddrV4,
    pub(crate) to: SocketAddrV4,
    /// Header and payload.
    pub(crate) segment: Vec<u8>,
}

impl Packet {
    fn parse(bytes: &[u8]) -> Option<Packet> {
        let (ip, rest) = Ipv4Header::from_slice(bytes).ok()?;
        if ip.protocol != ip_number::TCP {
            return None;
        }
        let (tcp, _) = TcpHeader::from_slice(rest).ok()?;
        Some(Packet {
            from: SocketAddrV4::new(ip.source.into(), tcp.source_port),
            to: SocketAddrV4::new(ip.destination.into(), tcp.destination_port),
            segment: rest.to_vec(),
        })
    }
}

/// An IP packet around a segment.
pub(crate) fn packet(from: SocketAddrV4, to: SocketAddrV4, mut tcp: TcpHeader, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = (from.ip().octets(), to.ip().octets());
    (tcp.source_port, tcp.destination_port) = (from.port(), to.port());
    tcp.checksum = tcp.calc_checksum_ipv4_raw(source, destination, payload).expect("a small packet");
    let len = u16::try_from(tcp.header_len() + payload.len()).expect("a small packet");
    let mut ip = Ipv4Header::new(len, 64, ip_number::TCP, source, destination).expect("a small packet");
    ip.header_checksum = ip.calc_header_checksum();
    [&ip.to_bytes()[..], &tcp.to_bytes(), payload].concat()
}

fn ip(args: &[&str]) {
    let status = std::process::Command::new("ip").args(args).status().expect("ip runs");
    assert!(status.success(), "ip {args:?}");
}

/// Sets a parameter of this network namespace; kernels that lack it do not need it.
fn set(name: &str, value: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/{name}"), value);
}
