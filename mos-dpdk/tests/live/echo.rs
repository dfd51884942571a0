//! Echo requests as a host sends them, and what comes back.

use super::host::Host;
use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};
use rustix::net::{AddressFamily, SocketType, ipproto, socket, sockopt};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

const HEAD: IcmpEchoHeader = IcmpEchoHeader { id: 0x6d6f, seq: 1 };

/// What came back, and from whom: the type and the code of ICMP.
#[derive(Debug, PartialEq)]
pub(crate) struct Heard {
    pub(crate) from: IpAddr,
    pub(crate) kind: u8,
    pub(crate) code: u8,
}

/// Sends an echo request over so many hops at most, and waits for the first message that is no request itself.
pub(crate) fn echo(host: &Host, to: IpAddr, hops: u8, payload: &[u8]) -> Heard {
    host.inside(|| {
        let (family, protocol) = match to {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let socket = socket(family, SocketType::RAW, Some(protocol)).unwrap();
        let header = match to {
            IpAddr::V4(_) => {
                sockopt::set_ip_ttl(&socket, hops.into()).unwrap();
                Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(HEAD), payload).to_bytes().to_vec()
            }
            IpAddr::V6(_) => {
                sockopt::set_ipv6_unicast_hops(&socket, Some(hops)).unwrap();
                // The kernel sums up.
                Icmpv6Header::new(Icmpv6Type::EchoRequest(HEAD)).to_bytes().to_vec()
            }
        };
        // A raw socket has the same calls.
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket.send_to(&[&header, payload].concat(), SocketAddr::new(to, 0)).unwrap();
        loop {
            let mut octets = [0; 2048];
            let (len, from) = socket.recv_from(&mut octets).expect("an answer");
            // With IPv4 the header comes along.
            let start = if to.is_ipv4() { usize::from(octets[0] & 15) * 4 } else { 0 };
            let Heard { from, kind, code } =
                Heard { from: from.ip(), kind: octets[start], code: octets[start + 1] };
            let is_told = if to.is_ipv4() { kind != 8 } else { kind < 128 || kind == 129 };
            if is_told {
                let echoed = !matches!(kind, 0 | 129) || octets[start + 8..len] == *payload;
                assert!(echoed, "another payload");
                return Heard { from, kind, code };
            }
        }
    })
}
