//! The address resolution protocol: RFC 826, with RFC 1122, 2.3.2 and RFC 5227.

use super::network::is_station;
use super::{Fate, Out, RouteDrop, Router};
use mos_flow::wire::ethernet::EthernetHeader;
use std::net::{IpAddr, Ipv4Addr};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The `EtherType` of ARP.
pub(super) const ETHERTYPE: u16 = 0x0806;
pub(super) const BROADCAST: [u8; 6] = [0xff; 6];
const REQUEST: u16 = 1;
const REPLY: u16 = 2;
/// Ethernet, IPv4, and the lengths of their addresses.
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// A packet for IPv4 over Ethernet.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Packet {
    kind: [u8; 6],
    operation: U16,
    sender_hardware: [u8; 6],
    sender: [u8; 4],
    target_hardware: [u8; 6],
    target: [u8; 4],
}

/// A frame.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Frame {
    ethernet: EthernetHeader,
    arp: Packet,
}

impl Frame {
    fn new(operation: u16, (hardware, own): ([u8; 6], Ipv4Addr), (to, target): ([u8; 6], Ipv4Addr)) -> Self {
        // What is asked for is not known yet.
        let target_hardware = if to == BROADCAST { [0; 6] } else { to };
        Frame {
            ethernet: EthernetHeader { dst: to, src: hardware, ethertype: ETHERTYPE.into() },
            arp: Packet {
                kind: KIND,
                operation: operation.into(),
                sender_hardware: hardware,
                sender: own.octets(),
                target_hardware,
                target: target.octets(),
            },
        }
    }
}

impl Router {
    /// Takes what is behind the link header of an ARP frame.
    pub(super) fn arp(&mut self, port: u16, octets: &[u8], out: &mut Out<'_>) -> Fate {
        let packet = Packet::ref_from_prefix(octets).ok().map(|(packet, _)| *packet);
        let Some(packet) = packet.filter(|p| p.kind == KIND && is_station(p.sender_hardware)) else {
            return Fate::Dropped(RouteDrop::BadNeighbour);
        };
        let Some(station) = self.network.station(port) else { return Fate::Dropped(RouteDrop::NoPort) };
        let (own, sender) = (station.hardware, IpAddr::from(packet.sender));
        let (is_ours, is_on_link) = (station.owns(packet.target.into()), station.is_on_link(sender));
        if station.owns(sender) {
            return Fate::Dropped(RouteDrop::AddressConflict);
        }
        let key = (port, sender);
        match packet.operation.get() {
            // A sender of zeros only wants to know whether the address is in use (RFC 5227, 2.1.1).
            REQUEST if is_ours => {
                if is_on_link && !sender.is_unspecified() {
                    self.neighbours.question(key, packet.sender_hardware);
                    self.send_waiting(key, out);
                }
                let from = (own, packet.target.into());
                let to = (packet.sender_hardware, packet.sender.into());
                out.answer(port, Frame::new(REPLY, from, to).as_bytes());
                Fate::Answered
            }
            REQUEST => {
                self.neighbours.hearsay(key, packet.sender_hardware);
                Fate::Dropped(RouteDrop::OtherTarget)
            }
            REPLY => self.learn(key, Some(packet.sender_hardware), out),
            _ => Fate::Dropped(RouteDrop::BadNeighbour),
        }
    }

    /// Asks for the hardware address of an IPv4 neighbour: all on the link, or the one where it was. An interface
    /// without an address of the family asks as RFC 5227 has it for those who have none yet.
    pub(super) fn ask_v4(&mut self, port: u16, target: Ipv4Addr, at: Option<[u8; 6]>, out: &mut Out<'_>) {
        let Some(station) = self.network.station(port) else { return };
        let own = match station.asks_from(target.into()) {
            Some(IpAddr::V4(own)) => own,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let frame = Frame::new(REQUEST, (station.hardware, own), (at.unwrap_or(BROADCAST), target));
        self.stats.asked += 1;
        (out.send)(port, frame.as_bytes());
    }
}
