//! What a router is told when it is made: interfaces, routes, neighbours that need not be asked. Nothing of it
//! changes later.

use super::table::{Prefix, Table};
use super::{Interface, Neighbour, Route, RouteDrop, RouteError};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// One of its own.
    Own,
    /// All hosts of one of its networks.
    Broadcast,
    /// Somebody on the link, whichever that is.
    LinkLocal,
    /// A group.
    Multicast,
    /// Nobody's.
    Reserved,
    /// A host's.
    Host(Exit),
}

impl Place {
    /// Why packets to the address are not routed, where no exit leads to it.
    pub(super) fn reason(self) -> RouteDrop {
        match self {
            Place::Own => RouteDrop::Local,
            Place::Broadcast => RouteDrop::Broadcast,
            Place::LinkLocal => RouteDrop::LinkLocal,
            Place::Multicast => RouteDrop::Multicast,
            Place::Reserved => RouteDrop::MartianDestination,
            Place::Host(_) => RouteDrop::NoRoute,
        }
    }
}

/// The way to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    pub(super) port: u16,
    /// The next hop, unless it is the host itself.
    pub(super) gateway: Option<IpAddr>,
}

/// Networks without routable hosts: RFC 1122, 3.2.1.3; RFC 3927; RFC 1112; RFC 4291, 2.4. The limited broadcast
/// address is in 240/4.
const SPECIAL: [(IpAddr, u8, Place); 10] = [
    v4(0, 0, 8, Place::Reserved),
    v4(127, 0, 8, Place::Reserved),
    v4(169, 254, 16, Place::LinkLocal),
    v4(224, 0, 4, Place::Multicast),
    v4(240, 0, 4, Place::Reserved),
    v6([0; 8], 128, Place::Reserved),
    v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Place::Reserved),
    v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, Place::Reserved),
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Place::LinkLocal),
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Place::Multicast),
];

const fn v4(first: u8, second: u8, bits: u8, place: Place) -> (IpAddr, u8, Place) {
    (IpAddr::V4(Ipv4Addr::new(first, second, 0, 0)), bits, place)
}

const fn v6(words: [u16; 8], bits: u8, place: Place) -> (IpAddr, u8, Place) {
    let [a, b, c, d, e, f, g, h] = words;
    (IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)), bits, place)
}

/// Whether an address is one of those that are different on each link.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether a hardware address is one station's.
pub(super) fn is_station(hardware: [u8; 6]) -> bool {
    hardware.first().is_some_and(|octet| octet & 1 == 0) && hardware != [0; 6]
}

/// The link-local address that follows from a hardware address (RFC 4291, 2.5.6 and appendix A).
pub(super) fn link_local(hardware: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = hardware;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// An interface whose addresses are checked.
#[derive(Clone, Debug)]
pub(super) struct Station {
    pub(super) hardware: [u8; 6],
    pub(super) mtu: u16,
    /// Own addresses, each with its network. There is a link-local one of IPv6.
    addresses: Vec<(IpAddr, Prefix)>,
}

impl Station {
    fn new(port: u16, interface: &Interface) -> Result<Self, RouteError> {
        let Interface { hardware, mtu, .. } = *interface;
        if !is_station(hardware) {
            return Err(RouteError::BadHardware { port });
        }
        if mtu < super::LEAST_MTU {
            return Err(RouteError::BadMtu { port, mtu });
        }
        let mut addresses = Vec::with_capacity(interface.addresses.len() + 1);
        for (address, bits) in interface.addresses.iter().copied() {
            let network = Prefix::new(address, bits).ok_or(RouteError::BadPrefix { address, bits })?;
            addresses.push((address, network));
        }
        if !addresses.iter().any(|(address, _)| address.is_ipv6() && is_link_local(*address)) {
            let own = link_local(hardware).into();
            addresses.extend(Prefix::new(own, 64).map(|network| (own, network)));
        }
        Ok(Station { hardware, mtu, addresses })
    }

    pub(super) fn owns(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, _)| *own == address)
    }

    /// Whether a host with this address can be on the link.
    pub(super) fn is_on_link(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(_, network)| network.contains(address))
    }

    /// The own address from which a neighbour is asked: one of its network, else any. `None` when there is none of
    /// the family.
    pub(super) fn asks_from(&self, neighbour: IpAddr) -> Option<IpAddr> {
        let alike = || self.addresses.iter().filter(|(own, _)| own.is_ipv6() == neighbour.is_ipv6());
        alike()
            .find(|(_, network)| network.contains(neighbour))
            .or_else(|| alike().next())
            .map(|(own, _)| *own)
    }

    /// The own address that hosts behind the link know the router by.
    fn speaks_from(&self, v6: bool) -> Option<IpAddr> {
        let mut routable =
            self.addresses.iter().filter(|(own, _)| own.is_ipv6() == v6 && !is_link_local(*own));
        routable.next().map(|(own, _)| *own)
    }
}

/// All that does not change.
#[derive(Clone, Debug)]
pub(super) struct Network {
    stations: Vec<Station>,
    places: Table<Place>,
    neighbours: Table<[u8; 6]>,
}

impl Network {
    pub(super) fn new(
        interfaces: &[Interface],
        routes: &[Route],
        neighbours: &[Neighbour],
    ) -> Result<Self, RouteError> {
        if interfaces.len() > usize::from(u16::MAX) {
            return Err(RouteError::TooManyInterfaces);
        }
        let stations = (0_u16..).zip(interfaces).map(|(port, interface)| Station::new(port, interface));
        let stations = stations.collect::<Result<Vec<_>, _>>()?;
        let known = neighbours.iter().map(known);
        let known = Table::new(known.collect::<Result<_, _>>()?);
        let mut plan = Plan::default();
        for (port, station) in (0_u16..).zip(&stations) {
            plan.connect(port, station)?;
        }
        for route in routes {
            let port = route.port;
            let station = stations.get(usize::from(port)).ok_or(RouteError::NoSuchPort { port })?;
            plan.add_route(route, |gateway| station.is_on_link(gateway) || known.find(gateway).is_some())?;
        }
        Ok(Network { stations, places: plan.finish(), neighbours: known })
    }

    pub(super) fn station(&self, port: u16) -> Option<&Station> {
        self.stations.get(usize::from(port))
    }

    /// What an address is to the router; `None` when it may be a host's, and no route leads there.
    #[inline]
    pub(super) fn place(&self, address: IpAddr) -> Option<Place> {
        self.places.find(address)
    }

    /// The hardware address of a neighbour that need not be asked.
    pub(super) fn neighbour(&self, address: IpAddr) -> Option<[u8; 6]> {
        self.neighbours.find(address)
    }

    /// The own address for packets that leave by `port`: one of its interface, else of another one.
    pub(super) fn source(&self, port: u16, v6: bool) -> Option<IpAddr> {
        let own = self.station(port).and_then(|station| station.speaks_from(v6));
        own.or_else(|| self.stations.iter().find_map(|station| station.speaks_from(v6)))
    }
}

fn known(neighbour: &Neighbour) -> Result<(Prefix, [u8; 6]), RouteError> {
    let Neighbour { network: address, bits, hardware } = *neighbour;
    let network = Prefix::new(address, bits).ok_or(RouteError::BadPrefix { address, bits })?;
    if is_station(hardware) { Ok((network, hardware)) } else { Err(RouteError::BadNeighbour { address }) }
}

/// Networks on their way to a table.
#[derive(Debug, Default)]
struct Plan {
    networks: HashMap<Prefix, Exit>,
    /// The router's own addresses, and those of everybody in its networks.
    single: HashMap<IpAddr, Place>,
}

impl Plan {
    /// Adds the addresses and networks of an interface.
    fn connect(&mut self, port: u16, station: &Station) -> Result<(), RouteError> {
        for (address, network) in station.addresses.iter().copied().filter(|(own, _)| !is_link_local(*own)) {
            // RFC 919; RFC 1812, 4.2.3.1 for the old one with zeros; not where there are but two hosts (RFC 3021).
            let everybody = network.ends().filter(|_| address.is_ipv4());
            if special(Prefix::host(address)) || everybody.is_some_and(|ends| ends.contains(&address)) {
                return Err(RouteError::BadAddress { address });
            }
            self.add(network, Exit { port, gateway: None }, address)?;
            if self.single.insert(address, Place::Own).is_some() {
                return Err(RouteError::AddressTwice { address });
            }
            for end in everybody.into_iter().flatten() {
                self.single.entry(end).or_insert(Place::Broadcast);
            }
        }
        Ok(())
    }

    /// Adds a route; `reaches` tells which gateways its interface reaches.
    fn add_route(&mut self, route: &Route, reaches: impl Fn(IpAddr) -> bool) -> Result<(), RouteError> {
        let Route { network: address, bits, port, gateway } = *route;
        let network = Prefix::new(address, bits).ok_or(RouteError::BadPrefix { address, bits })?;
        if special(network) {
            return Err(RouteError::BadAddress { address });
        }
        let usable = |gateway: IpAddr| {
            gateway.is_ipv6() == address.is_ipv6() && !self.single.contains_key(&gateway) && reaches(gateway)
        };
        match gateway {
            Some(gateway) if !usable(gateway) => Err(RouteError::BadGateway { port, gateway }),
            _ => self.add(network, Exit { port, gateway }, address),
        }
    }

    /// Adds the way to a network. It may be told twice, but not in two ways.
    fn add(&mut self, network: Prefix, exit: Exit, address: IpAddr) -> Result<(), RouteError> {
        let bits = network.bits();
        match self.networks.insert(network, exit) {
            Some(other) if other != exit => Err(RouteError::TwoWays { network: address, bits }),
            _ => Ok(()),
        }
    }

    fn finish(self) -> Table<Place> {
        let special =
            SPECIAL.iter().filter_map(|(address, bits, place)| Some((Prefix::new(*address, *bits)?, *place)));
        let networks = self.networks.into_iter().map(|(network, exit)| (network, Place::Host(exit)));
        let single = self.single.into_iter().map(|(address, place)| (Prefix::host(address), place));
        // Of equal networks the last counts.
        Table::new(special.chain(networks).chain(single).collect())
    }
}

/// Whether all of a network is without routable hosts.
fn special(network: Prefix) -> bool {
    let known = |(address, bits, _): &(IpAddr, u8, Place)| Prefix::new(*address, *bits);
    SPECIAL.iter().filter_map(known).any(|special| special.covers(network))
}
