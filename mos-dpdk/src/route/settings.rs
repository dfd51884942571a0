//! What a router is made from, and what can be wrong with it.

use crate::config;
use std::fmt;
use std::net::IpAddr;

/// The smallest MTU of an interface: what every IPv6 link carries (RFC 8200, 5).
pub const LEAST_MTU: u16 = 1280;

/// A port's end on its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its hardware address.
    pub hardware: [u8; 6],
    /// Its own addresses, with the leading bits that they have in common with all on the link. Without a link-local
    /// one of IPv6 it has that which follows from the hardware address.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The largest packet of the link.
    pub mtu: u16,
}

/// The way to a network that is not on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The network; 0 bits for all that no other route leads to.
    pub network: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
    /// The port behind which it is, by the place of its interface.
    pub port: u16,
    /// The next hop; `None` when hosts are on the link.
    pub gateway: Option<IpAddr>,
}

impl Route {
    /// A line of `route_table`, whose device has this port.
    pub fn by(port: u16, line: &config::Route) -> Self {
        let config::Route { network, bits, gateway, .. } = *line;
        Route { network, bits, port, gateway }
    }
}

/// Neighbours that need not be asked for their hardware address: one, or all of a network. The longest prefix counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The address, or the network.
    pub network: IpAddr,
    /// Leading bits that count.
    pub bits: u8,
    /// Where packets for it go.
    pub hardware: [u8; 6],
}

impl From<config::Arp> for Neighbour {
    /// A line of `arp_table`.
    fn from(line: config::Arp) -> Self {
        let config::Arp { address: network, bits, hardware } = line;
        Neighbour { network, bits, hardware }
    }
}

/// How much a router keeps and says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Neighbours that it knows.
    pub neighbours: usize,
    /// Packets that wait for their answers, of which three for each.
    pub waiting: usize,
    /// ICMP errors a second; ten may follow each other at once.
    pub errors_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { neighbours: 4096, waiting: 256, errors_per_second: 100 }
    }
}

/// Why a router cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteError {
    /// An own address that another interface has, too.
    AddressTwice {
        /// The address.
        address: IpAddr,
    },
    /// No address that a host can have, or no network with hosts.
    BadAddress {
        /// The address.
        address: IpAddr,
    },
    /// A gateway that is not on the link of its port.
    BadGateway {
        /// The port.
        port: u16,
        /// The gateway.
        gateway: IpAddr,
    },
    /// The hardware address of an interface is not one station's.
    BadHardware {
        /// Its port.
        port: u16,
    },
    /// The MTU of an interface is below [`LEAST_MTU`].
    BadMtu {
        /// Its port.
        port: u16,
        /// Its MTU.
        mtu: u16,
    },
    /// The hardware address of a neighbour is not one station's.
    BadNeighbour {
        /// Its address.
        address: IpAddr,
    },
    /// More leading bits than the address has.
    BadPrefix {
        /// The address.
        address: IpAddr,
        /// The bits.
        bits: u8,
    },
    /// A limit of zero.
    NoRoom,
    /// A route by a port without an interface.
    NoSuchPort {
        /// The port.
        port: u16,
    },
    /// More interfaces than there are numbers for ports.
    TooManyInterfaces,
    /// Two different ways to one network.
    TwoWays {
        /// The network.
        network: IpAddr,
        /// Its leading bits.
        bits: u8,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RouteError::AddressTwice { address } => {
                write!(f, "the address {address} is given twice; each interface needs its own")
            }
            RouteError::BadAddress { address } => {
                write!(f, "{address} is no address of a host or network that packets can be routed to")
            }
            RouteError::BadGateway { port, gateway } => {
                write!(
                    f,
                    "the gateway {gateway} is in no network of port {port}; give the port an address there"
                )
            }
            RouteError::BadHardware { port } => {
                write!(f, "the hardware address of port {port} is not that of one station")
            }
            RouteError::BadMtu { port, mtu } => {
                write!(f, "port {port} has an MTU of {mtu}; routed mode takes at least {LEAST_MTU}")
            }
            RouteError::BadNeighbour { address } => {
                write!(f, "the hardware address for {address} is not that of one station")
            }
            RouteError::BadPrefix { address, bits } => {
                write!(f, "{address} has no {bits} leading bits")
            }
            RouteError::NoRoom => f.write_str("neighbours and waiting packets need a limit of at least 1"),
            RouteError::NoSuchPort { port } => write!(f, "a route leads to port {port}, which is not there"),
            RouteError::TooManyInterfaces => f.write_str("there are more interfaces than numbers of ports"),
            RouteError::TwoWays { network, bits } => {
                write!(f, "there are two different ways to {network}/{bits}; leave one of them out")
            }
        }
    }
}

impl std::error::Error for RouteError {}
