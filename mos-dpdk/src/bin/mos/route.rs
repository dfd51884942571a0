//! Routed mode of `mos forward`: addresses of interfaces, and routes, from the command line.

use crate::common::Failure;
use mos_dpdk::config::Io;
use mos_dpdk::device;
use mos_dpdk::route::{Interface, Limits, Route, RouteStats, Router};
use std::io::{self, Write};
use std::net::IpAddr;
use std::str::FromStr;

/// Settings of the router.
#[derive(Debug, clap::Args)]
pub(crate) struct RouteArgs {
    /// Route between the interfaces: one of them has this address, for instance eth0=192.0.2.1/24. May be repeated.
    #[arg(long = "address", value_name = "INTERFACE=ADDRESS/BITS")]
    addresses: Vec<Address>,
    /// A network behind a gateway, for instance 10.0.0.0/8=192.0.2.254, or default=192.0.2.254. May be repeated.
    #[arg(long = "route", value_name = "NETWORK/BITS=GATEWAY", requires = "addresses")]
    routes: Vec<Way>,
}

#[derive(Clone, Debug)]
struct Address {
    interface: String,
    address: IpAddr,
    bits: u8,
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected INTERFACE=ADDRESS/BITS";
        let (interface, address) = text.split_once('=').ok_or(FORM)?;
        let (address, bits) = prefix(address).ok_or(FORM)?;
        Ok(Address { interface: interface.to_owned(), address, bits })
    }
}

#[derive(Clone, Copy, Debug)]
struct Way {
    /// `None` for all networks of the gateway's family.
    network: Option<(IpAddr, u8)>,
    gateway: IpAddr,
}

impl FromStr for Way {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected NETWORK/BITS=GATEWAY or default=GATEWAY";
        let (network, gateway) = text.split_once('=').ok_or(FORM)?;
        let network = match network {
            "default" => None,
            network => Some(prefix(network).ok_or(FORM)?),
        };
        Ok(Way { network, gateway: gateway.parse().map_err(|_| FORM)? })
    }
}

fn prefix(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/')?;
    Some((address.parse().ok()?, bits.parse().ok()?))
}

impl RouteArgs {
    /// A router between these interfaces, if there is to be one.
    pub(crate) fn router(&self, io: Io, names: &[String]) -> Result<Option<Router>, Failure> {
        if self.addresses.is_empty() {
            return Ok(None);
        }
        if let Some(other) = self.addresses.iter().find(|a| !names.contains(&a.interface)) {
            let sentence = format!("--address for {}, which is none of the interfaces", other.interface);
            return Err(Failure::unusable(&sentence));
        }
        let interfaces = names.iter().map(|name| self.interface(io, name)).collect::<Result<Vec<_>, _>>()?;
        let routes = self.routes.iter().map(|way| way.route(&interfaces)).collect::<Result<Vec<_>, _>>()?;
        let router = Router::new(&interfaces, &routes, &[], Limits::default());
        router.map(Some).map_err(|e| Failure::unusable(&e))
    }

    fn interface(&self, io: Io, name: &str) -> Result<Interface, Failure> {
        let station = device::station(name).map_err(|e| {
            let told = mos_dpdk::sentence(&e);
            Failure::unusable(&format!("{name} has no hardware address that is known: {told}"))
        })?;
        let mut hardware = station.hardware;
        if io == Io::Tap {
            // That one is the kernel's, at the other end: here is a neighbour of it, administered locally (IEEE 802).
            hardware[0] |= 2;
            hardware[5] ^= 1;
        }
        let of_it = self.addresses.iter().filter(|a| a.interface == name);
        let addresses = of_it.map(|a| (a.address, a.bits)).collect();
        Ok(Interface { hardware, addresses, mtu: station.mtu })
    }
}

impl Way {
    /// By the interface whose network has the gateway.
    fn route(self, interfaces: &[Interface]) -> Result<Route, Failure> {
        let is_near = |interface: &Interface| {
            interface.addresses.iter().any(|(address, bits)| shares(*address, self.gateway, *bits))
        };
        let port = interfaces.iter().position(is_near).and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else {
            let sentence = format!("the gateway {} is in no network of the interfaces", self.gateway);
            return Err(Failure::unusable(&sentence));
        };
        let any = if self.gateway.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let (network, bits) = self.network.unwrap_or((any, 0));
        Ok(Route { network, bits, port, gateway: Some(self.gateway) })
    }
}

/// Whether two addresses have these leading bits in common.
fn shares(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let (one, other, len) = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits().into(), other.to_bits().into(), 32),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    let (one, other): (u128, u128) = (one, other);
    (one ^ other).checked_shr(len - u32::from(bits).min(len)).unwrap_or(0) == 0
}

/// What routers did, all together.
pub(crate) fn write(all: &[RouteStats], out: &mut impl Write) -> io::Result<()> {
    let sum = |count: fn(&RouteStats) -> u64| all.iter().map(count).sum::<u64>();
    if all.is_empty() {
        return Ok(());
    }
    let (fragmented, answered, errors) = (sum(|r| r.fragmented), sum(|r| r.answered), sum(|r| r.errors));
    writeln!(
        out,
        "routed       {:>12}  packets, {fragmented} in fragments; {answered} requests answered, {errors} errors told",
        sum(|r| r.sent)
    )?;
    for reason in mos_dpdk::route::RouteDrop::ALL {
        let count: u64 = all.iter().map(|stats| stats.dropped(*reason)).sum();
        if count > 0 {
            writeln!(out, "not routed   {count:>12}  {}: {}", reason.symbol(), reason.sentence())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_found_on_their_links() {
        let interface = |address: &str, bits| Interface {
            hardware: [2, 0, 0, 0, 0, 1],
            addresses: vec![(address.parse().unwrap(), bits)],
            mtu: 1500,
        };
        let interfaces = [interface("192.0.2.1", 24), interface("fd00::1", 64)];
        let route = |text: &str| text.parse::<Way>().unwrap().route(&interfaces).ok();
        let default = route("default=192.0.2.254").unwrap();
        assert_eq!((default.port, default.bits, default.network), (0, 0, IpAddr::from([0; 4])));
        let six = route("fd01::/32=fd00::9").unwrap();
        assert_eq!((six.port, six.bits, six.gateway), (1, 32, Some("fd00::9".parse().unwrap())));
        assert!(route("default=192.0.3.1").is_none());
        for bad in ["", "eth0", "eth0=1.2.3.4", "eth0=1.2.3/24", "eth0=1.2.3.4/x"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        for bad in ["", "default", "10.0.0.0=1.2.3.4", "10.0.0.0/8=x"] {
            assert!(bad.parse::<Way>().is_err(), "{bad}");
        }
    }
}
