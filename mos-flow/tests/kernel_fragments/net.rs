//! The kernel's end: a TUN device, what it takes of our fragments, and who listens behind it.

use crate::author::{HEARD_V4, HEARD_V6, UNHEARD_V6};
use crate::script::{FRAGMENT, Sent};
use mos_flow::wire::Family;
use smoltcp::phy::{Device, Medium, RxToken, TunTapInterface, TxToken};
use smoltcp::time::Instant;
use socket2::{Domain, Socket, Type};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(crate) const KERNEL_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const KERNEL_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 1);

const DEVICE: &str = "oracle0";
/// The largest ICMPv6 error (RFC 4443, 2.4).
const LARGEST_ERROR: usize = 1280;
const ICMPV6: u8 = 58;
const PARAMETER_PROBLEM: u8 = 4;

/// A network of one device. What is written to it, the kernel has processed when the call returns.
pub(crate) struct Net {
    device: TunTapInterface,
    listeners: Vec<(Family, u8, Socket)>,
    buffer: Vec<u8>,
}

/// What the kernel made of fragments, as far as it shows.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// An IPv4 datagram from its header on.
    Whole(Vec<u8>),
    /// The protocol of an IPv6 datagram, and what is behind the headers for the way.
    Payload(u8, Vec<u8>),
    /// As much of an IPv6 datagram, from its header on, as an error about it repeats.
    Repeated(Vec<u8>),
}

impl Net {
    /// Makes the device, in a network namespace of its own, and sets what would make the kernel forgetful or silent.
    pub(crate) fn new() -> Self {
        for (name, value) in [
            ("ipv6/conf/default/disable_ipv6", "0"),
            ("ipv4/conf/all/rp_filter", "0"),
            ("ipv4/conf/default/rp_filter", "0"),
            // Nothing that waits is given up for what others do.
            ("ipv4/ipfrag_max_dist", "0"),
            ("ipv4/ipfrag_high_thresh", "1073741824"),
            ("ipv6/ip6frag_high_thresh", "1073741824"),
            // Every error is sent: the header of an IPv6 datagram shows in no other way.
            ("ipv6/icmp/ratelimit", "0"),
            ("ipv6/icmp/ratemask", "0"),
        ] {
            set(name, value);
        }
        let device = TunTapInterface::new(DEVICE, Medium::Ip).expect("a TUN device");
        ip(&["address", "add", &format!("{KERNEL_V4}/8"), "dev", DEVICE]);
        ip(&["address", "add", &format!("{KERNEL_V6}/32"), "dev", DEVICE, "nodad"]);
        ip(&["link", "set", DEVICE, "up"]);
        let v4 = HEARD_V4.map(|protocol| listener(Family::V4, protocol));
        let listeners = v4.into_iter().chain(HEARD_V6.map(|protocol| listener(Family::V6, protocol)));
        Net { device, listeners: listeners.collect(), buffer: vec![0; 1 << 16] }
    }

    /// Sends a fragment; what is delivered upon it.
    pub(crate) fn send(&mut self, sent: &Sent) -> Vec<Delivery> {
        let token = self.device.transmit(Instant::ZERO).expect("room");
        token.consume(sent.packet.len(), |bytes| bytes.copy_from_slice(&sent.packet));
        let mut deliveries = Vec::new();
        for (family, protocol, socket) in &self.listeners {
            while let Ok(len) = (&mut &*socket).read(&mut self.buffer) {
                let octets = self.buffer[..len].to_vec();
                deliveries.push(match family {
                    Family::V4 => Delivery::Whole(octets),
                    Family::V6 => Delivery::Payload(*protocol, octets),
                });
            }
        }
        while let Some((token, _)) = self.device.receive(Instant::ZERO) {
            deliveries.extend(token.consume(repeated));
        }
        deliveries
    }
}

impl Delivery {
    /// Whether it is this datagram.
    pub(crate) fn is(&self, datagram: &[u8]) -> bool {
        match self {
            Delivery::Whole(octets) => without_bit(octets) == datagram,
            Delivery::Payload(protocol, octets) => {
                let (next, start) = behind_options(datagram);
                let after = usize::from(u16::from_be_bytes([datagram[4], datagram[5]]));
                next == *protocol && after + 40 == datagram.len() && datagram.get(start..) == Some(octets)
            }
            Delivery::Repeated(octets) => {
                let len = datagram.len().min(LARGEST_ERROR - 48);
                datagram.get(..len) == Some(octets)
            }
        }
    }
}

/// An IPv4 datagram without "don't fragment". Linux sets it in what it reassembled when the largest fragment had it,
/// as a note for its own output; the datagram was never sent like that.
fn without_bit(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    if octets[6] == 0x40 {
        octets[6] = 0;
        let sum = u32::from(u16::from_be_bytes([octets[10], octets[11]])) + 0x4000; // RFC 1624
        let sum = (sum & 0xffff) + (sum >> 16);
        octets[10..12].copy_from_slice(&(sum as u16).to_be_bytes());
    }
    octets
}

/// What follows the IPv6 header, or its options for all hops, and where.
fn behind_options(datagram: &[u8]) -> (u8, usize) {
    match datagram[6] {
        0 => (datagram[40], 48 + 8 * usize::from(datagram[41])),
        next => (next, 40),
    }
}

/// The datagram about which the kernel complains: nobody wants its protocol, or it is a fragment in fragments.
fn repeated(packet: &[u8]) -> Option<Delivery> {
    let (header, error) = packet.split_at_checked(40)?;
    if header[0] >> 4 != 6 || header[6] != ICMPV6 || *error.first()? != PARAMETER_PROBLEM {
        return None;
    }
    let (code, pointer) = (*error.get(1)?, u32::from_be_bytes(error.get(4..8)?.try_into().ok()?));
    let datagram = error.get(8..)?;
    let (next, start) = behind_options(datagram);
    let shows = match next {
        _ if UNHEARD_V6.contains(&next) => code == 1,
        // Its pointer tells it from complaints about the lengths of fragments.
        FRAGMENT => code == 0 && pointer as usize == start,
        _ => false,
    };
    shows.then(|| Delivery::Repeated(datagram.to_vec()))
}

fn listener(family: Family, protocol: u8) -> (Family, u8, Socket) {
    let (domain, address) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::from(KERNEL_V4)),
        Family::V6 => (Domain::IPV6, IpAddr::from(KERNEL_V6)),
    };
    let socket = Socket::new(domain, Type::RAW, Some(i32::from(protocol).into())).expect("a raw socket");
    socket.bind(&SocketAddr::new(address, 0).into()).expect("our address");
    socket.set_nonblocking(true).expect("a socket");
    (family, protocol, socket)
}

fn ip(args: &[&str]) {
    let status = std::process::Command::new("ip").args(args).status().expect("ip runs");
    assert!(status.success(), "ip {args:?}");
}

/// Sets a parameter of this network namespace; kernels that lack it do not need it.
fn set(name: &str, value: &str) {
    let _ = std::fs::write(format!("/proc/sys/net/{name}"), value);
}
