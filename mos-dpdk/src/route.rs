//! A router between ports: by which port a frame leaves, and to which station there. No I/O: frames and time come in,
//! frames go out.
//!
//! ```text
//!   frame ─► for us? ─► ARP, neighbour discovery ─► answered, learned
//!                │
//!                ▼
//!               IP ─► own address? ─► echo answered
//!                │
//!                ▼
//!          martians ─► hop limit ─► route (longest prefix) ─► neighbour known? ─► sent
//!                          │          │                            │  not yet
//!                          ▼          ▼                            ▼
//!                    ICMP to the sender, at a limited rate ◄── waits for the answer
//! ```
//!
//! What it does as RFC 1812 and RFC 8200 have it:
//! - The time to live or hop limit is one less; all else of a packet stays, options and extension headers included.
//! - IPv4 packets that are too large for the next link leave in fragments, unless their sender forbids it.
//! - Packets to and from groups, link-local addresses, and addresses that no host can have stay where they are.
//! - Its own addresses answer ARP, neighbour solicitations and echo requests, whole ones, on every port, and nothing
//!   else.
//!
//! What it does not do: it sends no router advertisements and no redirects, it joins no groups (a switch that snoops
//! has to flood them) and does not look whether its own addresses are taken; no options of IPv4 are acted on. Frames
//! with a VLAN tag are not routed: a tag belongs to its link, and which one the next link has nothing says.
//!
//! # Invariants
//! 1. Nothing grows: tables are made once, the cache of neighbours and the packets that wait for them have limits.
//! 2. Every frame has one [`Fate`], and one counter of [`RouteStats`] counts it.
//! 3. Nobody who was not asked changes where packets go: see `neighbour`.

mod arp;

mod fragment;

mod icmp;

mod nd;

mod neighbour;

mod network;

mod packet;

mod reason;

mod settings;

mod table;

pub use reason::{RouteDrop, RouteStats};
pub use settings::{Interface, LEAST_MTU, Limits, Neighbour, Route, RouteError};

use icmp::{Budget, Trouble};
use mos_flow::wire::checksum::update16;
use mos_flow::wire::ethernet::{EthernetHeader, ethertype};
use mos_flow::wire::ipv4::Ipv4Header;
use mos_flow::wire::ipv6::Ipv6Header;
use mos_flow::{Instant, LinkType};
use neighbour::{Due, Key, Known, Neighbours};
use network::{Exit, Network, Place};
use packet::Datagram;
use std::net::IpAddr;
use zerocopy::{FromBytes, IntoBytes};

/// Room for a link header in front of a packet.
const LINK: [u8; size_of::<EthernetHeader>()] = [0; size_of::<EthernetHeader>()];

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on its way to the next hop.
    Sent,
    /// It waits until the next hop tells its hardware address.
    Waiting,
    /// It was a request to the router, which was answered.
    Answered,
    /// It was the answer to a question of the router.
    Learned,
    /// It goes nowhere.
    Dropped(RouteDrop),
}

/// Where frames go that are made while one is looked at.
struct Out<'s> {
    now: Instant,
    /// The station that sent the frame.
    from: [u8; 6],
    /// The frame is one that another router answers.
    is_overheard: bool,
    send: &'s mut dyn FnMut(u16, &[u8]),
}

impl Out<'_> {
    fn answer(&mut self, port: u16, frame: &[u8]) {
        if !self.is_overheard {
            (self.send)(port, frame);
        }
    }
}

/// A router. Ports have the numbers of their interfaces.
///
/// Each worker has one of its own. Answers of neighbours come to one of them only: for those,
/// [`is_about_neighbours`], the others' routers have [`Router::overhear`].
#[derive(Clone, Debug)]
pub struct Router {
    network: Network,
    neighbours: Neighbours,
    budget: Budget,
    /// Of the last IPv4 packet that was made here.
    identification: u16,
    /// The frame that is made: room for a link header, and a packet.
    draft: Vec<u8>,
    /// A second one, for what is made of the first.
    spare: Vec<u8>,
    stats: RouteStats,
}

impl Router {
    /// A router between interfaces. A route may repeat what follows from the address of an interface.
    ///
    /// # Errors
    /// [`RouteError`] is the first thing that is wrong.
    pub fn new(
        interfaces: &[Interface],
        routes: &[Route],
        neighbours: &[Neighbour],
        limits: Limits,
    ) -> Result<Self, RouteError> {
        if limits.neighbours == 0 || limits.waiting == 0 {
            return Err(RouteError::NoRoom);
        }
        let largest = LINK.len() + usize::from(u16::MAX);
        Ok(Router {
            network: Network::new(interfaces, routes, neighbours)?,
            neighbours: Neighbours::new(limits.neighbours, limits.waiting),
            budget: Budget::new(limits.errors_per_second),
            identification: 0,
            draft: Vec::with_capacity(largest),
            spare: Vec::with_capacity(largest),
            stats: RouteStats::default(),
        })
    }

    /// Routes an Ethernet frame that came in by `port`. What is to be sent, now or because of it, is given to `send`
    /// with the port that it leaves by.
    pub fn forward(
        &mut self,
        port: u16,
        frame: &[u8],
        now: Instant,
        send: &mut dyn FnMut(u16, &[u8]),
    ) -> Fate {
        let mut out = Out { now, from: [0; 6], is_overheard: false, send };
        let fate = self.receive(port, frame, &mut out);
        self.count(fate);
        fate
    }

    /// Routes a packet that was made here: its hop limit stays as it is, and nobody is told when there is no way for
    /// it. Of the link header, if it has one, only the kind of packet counts.
    pub fn forward_made(
        &mut self,
        link: LinkType,
        octets: &[u8],
        now: Instant,
        send: &mut dyn FnMut(u16, &[u8]),
    ) -> Fate {
        let mut out = Out { now, from: [0; 6], is_overheard: false, send };
        let fate = match made(link, octets) {
            Ok(packet) => self.pass_made(&packet, &mut out),
            Err(reason) => Fate::Dropped(reason),
        };
        self.count(fate);
        fate
    }

    /// Takes from a frame that another worker's router was given what it says about neighbours. It is not counted.
    pub fn overhear(&mut self, port: u16, frame: &[u8], now: Instant, send: &mut dyn FnMut(u16, &[u8])) {
        if is_about_neighbours(frame) {
            let mut out = Out { now, from: [0; 6], is_overheard: true, send };
            self.receive(port, frame, &mut out);
        }
    }

    /// Asks neighbours again that have not answered, and gives up on those that were asked often enough.
    pub fn handle_timeout(&mut self, now: Instant, send: &mut dyn FnMut(u16, &[u8])) {
        let mut out = Out { now, from: [0; 6], is_overheard: false, send };
        for index in 0..self.neighbours.begin_timeouts(now) {
            match self.neighbours.due(index, now) {
                Some(Due::Ask { key, at }) => self.ask(key, at, &mut out),
                Some(Due::Failed { key }) => self.give_up(key, &mut out),
                None => {}
            }
        }
    }

    /// When [`Router::handle_timeout`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.neighbours.next_timeout()
    }

    /// What it did so far.
    pub fn statistics(&self) -> RouteStats {
        let mut stats = self.stats;
        let (waiting, given_way) = self.neighbours.packets();
        stats.waiting = waiting;
        stats.add(RouteDrop::WaitingFull, given_way);
        stats
    }

    fn count(&mut self, fate: Fate) {
        match fate {
            Fate::Sent => self.stats.sent += 1,
            // It is counted when it does not wait any more.
            Fate::Waiting => {}
            Fate::Answered => self.stats.answered += 1,
            Fate::Learned => self.stats.learned += 1,
            Fate::Dropped(reason) => self.stats.add(reason, 1),
        }
    }

    fn receive(&mut self, port: u16, frame: &[u8], out: &mut Out<'_>) -> Fate {
        let Some(station) = self.network.station(port) else { return Fate::Dropped(RouteDrop::NoPort) };
        let Ok((header, rest)) = EthernetHeader::ref_from_prefix(frame) else {
            return Fate::Dropped(RouteDrop::FrameTooShort);
        };
        let is_group = header.dst.first().is_some_and(|octet| octet & 1 == 1);
        if !is_group && header.dst != station.hardware {
            return Fate::Dropped(RouteDrop::OtherStation);
        }
        out.from = header.src;
        let packet = match header.ethertype.get() {
            ethertype::IPV4 => Datagram::parse_v4(rest),
            ethertype::IPV6 => Datagram::parse_v6(rest),
            arp::ETHERTYPE => return self.arp(port, rest, out),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => Err(RouteDrop::Tagged),
            _ => Err(RouteDrop::NotIp),
        };
        match packet {
            Ok(packet) => self.packet(port, &packet, is_group, out),
            Err(reason) => Fate::Dropped(reason),
        }
    }

    /// Takes what is for the router, and routes the rest.
    fn packet(&mut self, port: u16, packet: &Datagram<'_>, is_group: bool, out: &mut Out<'_>) -> Fate {
        let place = self.network.place(packet.destination);
        let is_own = match place {
            Some(Place::Own) => true,
            Some(Place::LinkLocal) => self.network.station(port).is_some_and(|s| s.owns(packet.destination)),
            _ => false,
        };
        if (is_own || place == Some(Place::Multicast)) && nd::is_message(packet) {
            return self.neighbour_message(port, packet, out);
        }
        let exit = match place {
            _ if out.is_overheard => return Fate::Dropped(RouteDrop::Local),
            _ if is_own => None,
            Some(Place::Host(exit)) => Some(exit),
            None => None,
            Some(place) => return Fate::Dropped(place.reason()),
        };
        if is_group {
            return Fate::Dropped(RouteDrop::LinkBroadcast);
        }
        if is_own {
            return self.answer_echo(port, packet, out);
        }
        match self.network.place(packet.source) {
            Some(Place::Host(_)) | None => {}
            Some(Place::LinkLocal) => return Fate::Dropped(RouteDrop::LinkLocal),
            Some(_) => return Fate::Dropped(RouteDrop::MartianSource),
        }
        self.pass(packet, exit, out).unwrap_or_else(|trouble| {
            self.report(packet, trouble, out);
            Fate::Dropped(trouble.into())
        })
    }

    /// Sends a packet to its next hop.
    fn pass(
        &mut self,
        packet: &Datagram<'_>,
        exit: Option<Exit>,
        out: &mut Out<'_>,
    ) -> Result<Fate, Trouble> {
        if packet.hop_limit <= 1 {
            return Err(Trouble::HopLimit);
        }
        let exit = exit.ok_or(Trouble::NoRoute)?;
        self.write(packet);
        count_hop(self.draft.get_mut(LINK.len()..).unwrap_or_default());
        self.dispatch(exit, packet.destination, out)
    }

    /// Sends a packet that was made here.
    fn pass_made(&mut self, packet: &Datagram<'_>, out: &mut Out<'_>) -> Fate {
        let exit = match self.network.place(packet.destination) {
            Some(Place::Host(exit)) => exit,
            Some(place) => return Fate::Dropped(place.reason()),
            None => return Fate::Dropped(RouteDrop::NoRoute),
        };
        self.write(packet);
        self.dispatch(exit, packet.destination, out).unwrap_or_else(|trouble| Fate::Dropped(trouble.into()))
    }

    /// Writes a packet into the draft.
    fn write(&mut self, packet: &Datagram<'_>) {
        self.draft.clear();
        self.draft.extend_from_slice(&LINK);
        self.draft.extend_from_slice(packet.octets);
    }

    /// Sends the draft to its next hop, or lets it wait until that is known.
    fn dispatch(&mut self, exit: Exit, destination: IpAddr, out: &mut Out<'_>) -> Result<Fate, Trouble> {
        let Exit { port, gateway } = exit;
        let mtu = self.network.station(port).map_or(0, |station| station.mtu);
        let packet = self.draft.get(LINK.len()..).unwrap_or_default();
        if packet.len() > mtu.into() && !fragment::may_be_cut(packet) {
            return Err(Trouble::TooLarge { mtu });
        }
        let next_hop = gateway.unwrap_or(destination);
        let key = (port, next_hop);
        let known = match self.network.neighbour(next_hop) {
            Some(hardware) => Known::Yes { hardware, ask: false },
            None => self.neighbours.resolve(key, out.now),
        };
        Ok(match known {
            Known::Yes { hardware, ask } => {
                self.launch(port, hardware, out);
                if ask {
                    self.ask(key, Some(hardware), out);
                }
                Fate::Sent
            }
            Known::No { ask } => {
                self.neighbours.hold(key, &self.draft);
                if ask {
                    self.ask(key, None, out);
                }
                Fate::Waiting
            }
        })
    }

    /// Sends the draft to a station, in fragments if it is too large.
    fn launch(&mut self, port: u16, hardware: [u8; 6], out: &mut Out<'_>) {
        let Some(station) = self.network.station(port) else { return };
        let is_v4 = self.draft.get(LINK.len()).is_some_and(|octet| octet >> 4 == 4);
        let kind = if is_v4 { ethertype::IPV4 } else { ethertype::IPV6 };
        let header = EthernetHeader { dst: hardware, src: station.hardware, ethertype: kind.into() };
        if let Some(place) = self.draft.first_chunk_mut::<{ LINK.len() }>() {
            place.copy_from_slice(header.as_bytes());
        }
        if self.draft.len() - LINK.len() <= station.mtu.into() {
            return (out.send)(port, &self.draft);
        }
        self.stats.fragmented += 1;
        let send = &mut |fragment: &[u8]| (out.send)(port, fragment);
        let _ = fragment::cut(&self.draft, station.mtu, &mut self.spare, send); // it may be cut
    }

    /// Takes the answer of a neighbour.
    fn learn(&mut self, key: Key, hardware: Option<[u8; 6]>, out: &mut Out<'_>) -> Fate {
        if !self.neighbours.answer(key, hardware, out.now) {
            return Fate::Dropped(RouteDrop::Unasked);
        }
        self.send_waiting(key, out);
        Fate::Learned
    }

    /// Sends what waits for a neighbour, if it is known now.
    fn send_waiting(&mut self, key: Key, out: &mut Out<'_>) {
        let Some(hardware) = self.neighbours.hardware(key) else { return };
        while self.neighbours.take(key, &mut self.draft) {
            self.launch(key.0, hardware, out);
            self.stats.sent += 1;
        }
    }

    fn ask(&mut self, (port, address): Key, at: Option<[u8; 6]>, out: &mut Out<'_>) {
        match address {
            IpAddr::V4(target) => self.ask_v4(port, target, at, out),
            IpAddr::V6(target) => self.ask_v6(port, target, at, out),
        }
    }

    /// Forgets a neighbour that does not answer, and tells the senders of what waits for it.
    fn give_up(&mut self, key: Key, out: &mut Out<'_>) {
        let mut waiting = std::mem::take(&mut self.spare);
        while self.neighbours.take(key, &mut waiting) {
            self.stats.add(RouteDrop::Unresolved, 1);
            if let Ok(packet) = Datagram::parse(waiting.get(LINK.len()..).unwrap_or_default()) {
                self.report(&packet, Trouble::Unresolved, out);
            }
        }
        self.spare = waiting;
        self.neighbours.remove(key);
    }
}

/// Whether a frame is ARP or a message of neighbour discovery.
pub fn is_about_neighbours(frame: &[u8]) -> bool {
    let Ok((header, rest)) = EthernetHeader::ref_from_prefix(frame) else { return false };
    match header.ethertype.get() {
        arp::ETHERTYPE => true,
        ethertype::IPV6 => Datagram::parse_v6(rest).is_ok_and(|packet| nd::is_message(&packet)),
        _ => false,
    }
}

/// The packet in what was made.
fn made(link: LinkType, octets: &[u8]) -> Result<Datagram<'_>, RouteDrop> {
    match link {
        LinkType::RawIp => Datagram::parse(octets),
        LinkType::Ipv4 => Datagram::parse_v4(octets),
        LinkType::Ipv6 => Datagram::parse_v6(octets),
        LinkType::Ethernet => {
            let read = EthernetHeader::ref_from_prefix(octets);
            let (header, packet) = read.map_err(|_| RouteDrop::FrameTooShort)?;
            match header.ethertype.get() {
                ethertype::IPV4 => Datagram::parse_v4(packet),
                ethertype::IPV6 => Datagram::parse_v6(packet),
                ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => Err(RouteDrop::Tagged),
                _ => Err(RouteDrop::NotIp),
            }
        }
        _ => Err(RouteDrop::NotIp),
    }
}

/// Takes one from the time to live, or the hop limit.
fn count_hop(packet: &mut [u8]) {
    if packet.first().is_some_and(|octet| octet >> 4 == 6) {
        if let Ok((header, _)) = Ipv6Header::mut_from_prefix(packet) {
            header.hop_limit = header.hop_limit.saturating_sub(1);
        }
    } else if let Ok((header, _)) = Ipv4Header::mut_from_prefix(packet) {
        let word = |ttl| u16::from_be_bytes([ttl, header.protocol]);
        let after = header.ttl.saturating_sub(1);
        let sum = update16(header.checksum.get(), word(header.ttl), word(after));
        (header.ttl, header.checksum) = (after, sum.into());
    }
}

#[cfg(test)]
mod tests;
