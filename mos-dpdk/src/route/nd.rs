//! Neighbour discovery for IPv6: solicitations and advertisements of RFC 4861, 4.3, 4.4 and 7. Of routers nothing is
//! said and nothing heard: hosts need a route or gateway that is configured.

use super::network::is_station;
use super::packet::{Datagram, ICMPV6, sum_v6};
use super::{Fate, Out, RouteDrop, Router};
use mos_flow::wire::ethernet::{EthernetHeader, ethertype};
use mos_flow::wire::ipv6::Ipv6Header;
use std::mem::offset_of;
use std::net::{IpAddr, Ipv6Addr};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Options: the link-layer address of the source, and of the target, one unit of 8 octets each.
const SOURCE_HARDWARE: u8 = 1;
const TARGET_HARDWARE: u8 = 2;
/// Flags of an advertisement.
const FROM_ROUTER: u32 = 1 << 31;
const SOLICITED: u32 = 1 << 30;
const OVERRIDE: u32 = 1 << 29;
/// What no router has decremented comes from the link.
const HOP_LIMIT: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// A message up to its options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct Message {
    kind: u8,
    code: u8,
    checksum: U16,
    /// Reserved in a solicitation.
    flags: U32,
    target: [u8; 16],
}

/// The option with a hardware address.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct HardwareOption {
    kind: u8,
    units: u8,
    hardware: [u8; 6],
}

/// A frame.
#[derive(Clone, Copy, Debug, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Frame {
    ethernet: EthernetHeader,
    ip: Ipv6Header,
    message: Message,
    option: HardwareOption,
}

/// Hardware and IP address of one end.
type End = ([u8; 6], Ipv6Addr);

impl Frame {
    fn new(message: Message, option: u8, (hardware, source): End, (to, destination): End) -> Self {
        let mut frame = Frame {
            ethernet: EthernetHeader { dst: to, src: hardware, ethertype: ethertype::IPV6.into() },
            ip: Ipv6Header {
                version_class_flow: (6 << 28).into(),
                payload_len: ((size_of::<Message>() + size_of::<HardwareOption>()) as u16).into(),
                next_header: ICMPV6,
                hop_limit: HOP_LIMIT,
                src: source.octets(),
                dst: destination.octets(),
            },
            message,
            option: HardwareOption { kind: option, units: 1, hardware },
        };
        let covered = frame.as_bytes().get(offset_of!(Frame, message)..).unwrap_or_default();
        frame.message.checksum = (!sum_v6(source.into(), destination.into(), covered)).into();
        frame
    }
}

/// The group of all whose address ends like this one (RFC 4291, 2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., x, y, z] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, x, y, z])
}

/// The hardware address of a group (RFC 2464, 7).
fn group_hardware(group: Ipv6Addr) -> [u8; 6] {
    let [.., w, x, y, z] = group.octets();
    [0x33, 0x33, w, x, y, z]
}

/// Whether a packet's first header is that of a solicitation or advertisement.
pub(super) fn is_message(packet: &Datagram<'_>) -> bool {
    packet.protocol == ICMPV6 && matches!(packet.payload.first(), Some(&SOLICITATION | &ADVERTISEMENT))
}

/// A message that keeps the rules of RFC 4861, 7.1, with the address in the option that belongs to it.
fn parse(packet: &Datagram<'_>) -> Option<(Message, Option<[u8; 6]>)> {
    let (message, mut options) = Message::read_from_prefix(packet.payload).ok()?;
    if packet.hop_limit != HOP_LIMIT || message.code != 0 || packet.icmpv6_sum() != 0xffff {
        return None;
    }
    let wanted = if message.kind == SOLICITATION { SOURCE_HARDWARE } else { TARGET_HARDWARE };
    let mut hardware = None;
    while let [kind, units, ..] = *options {
        // An option without length would never end.
        let len = Some(usize::from(units) * 8).filter(|len| *len > 0)?;
        let (option, rest) = options.split_at_checked(len)?;
        if kind == wanted && hardware.is_none() {
            let address = *option.get(2..)?.first_chunk::<6>()?;
            hardware = Some(address).filter(|address| is_station(*address));
            hardware?;
        }
        options = rest;
    }
    let target = Ipv6Addr::from(message.target);
    let (to_group, unspecified) = (packet.destination.is_multicast(), packet.source.is_unspecified());
    let keeps_rules = match message.kind {
        SOLICITATION if unspecified => packet.destination == solicited_node(target) && hardware.is_none(),
        SOLICITATION => true,
        _ => !(to_group && message.flags.get() & SOLICITED != 0),
    };
    (keeps_rules && options.is_empty() && !target.is_multicast()).then_some((message, hardware))
}

impl Router {
    /// Takes a solicitation or advertisement.
    pub(super) fn neighbour_message(&mut self, port: u16, packet: &Datagram<'_>, out: &mut Out<'_>) -> Fate {
        let Some((message, hardware)) = parse(packet) else {
            return Fate::Dropped(RouteDrop::BadNeighbour);
        };
        let Some(station) = self.network.station(port) else { return Fate::Dropped(RouteDrop::NoPort) };
        let target = IpAddr::from(message.target);
        if message.kind == ADVERTISEMENT {
            let (key, solicited) = ((port, target), message.flags.get() & SOLICITED != 0);
            return match hardware {
                _ if station.owns(target) => Fate::Dropped(RouteDrop::AddressConflict),
                _ if solicited => self.learn(key, hardware, out),
                Some(hardware) => {
                    self.neighbours.hearsay(key, hardware);
                    Fate::Dropped(RouteDrop::Unasked)
                }
                None => Fate::Dropped(RouteDrop::Unasked),
            };
        }
        let key = (port, packet.source);
        if !station.owns(target) {
            if let Some(hardware) = hardware {
                self.neighbours.hearsay(key, hardware);
            }
            return Fate::Dropped(RouteDrop::OtherTarget);
        }
        if station.owns(packet.source) {
            return Fate::Dropped(RouteDrop::AddressConflict);
        }
        if let Some(hardware) = hardware.filter(|_| station.is_on_link(packet.source)) {
            self.neighbours.question(key, hardware);
            self.send_waiting(key, out);
        }
        let from = hardware.or(Some(out.from).filter(|from| is_station(*from)));
        let Some(from) = from else { return Fate::Dropped(RouteDrop::BadNeighbour) };
        self.advertise(port, message.target.into(), (packet.source, from), out)
    }

    /// Answers a solicitation. One without a source asks whether the address is in use, and all are to hear that it is.
    fn advertise(
        &mut self,
        port: u16,
        target: Ipv6Addr,
        (source, hardware): (IpAddr, [u8; 6]),
        out: &mut Out<'_>,
    ) -> Fate {
        let Some(station) = self.network.station(port) else { return Fate::Dropped(RouteDrop::NoPort) };
        let (to, flags) = match source {
            IpAddr::V6(source) if !source.is_unspecified() => ((hardware, source), SOLICITED),
            _ => ((group_hardware(ALL_NODES), ALL_NODES), 0),
        };
        let message = Message {
            kind: ADVERTISEMENT,
            code: 0,
            checksum: 0.into(),
            flags: (FROM_ROUTER | OVERRIDE | flags).into(),
            target: target.octets(),
        };
        let frame = Frame::new(message, TARGET_HARDWARE, (station.hardware, target), to);
        out.answer(port, frame.as_bytes());
        Fate::Answered
    }

    /// Asks for the hardware address of an IPv6 neighbour: its group, or the one where it was.
    pub(super) fn ask_v6(&mut self, port: u16, target: Ipv6Addr, at: Option<[u8; 6]>, out: &mut Out<'_>) {
        let Some(station) = self.network.station(port) else { return };
        // There is one of the family, the link-local one.
        let Some(IpAddr::V6(own)) = station.asks_from(target.into()) else { return };
        let group = solicited_node(target);
        let to = at.map_or((group_hardware(group), group), |hardware| (hardware, target));
        let message = Message {
            kind: SOLICITATION,
            code: 0,
            checksum: 0.into(),
            flags: 0.into(),
            target: target.octets(),
        };
        let frame = Frame::new(message, SOURCE_HARDWARE, (station.hardware, own), to);
        self.stats.asked += 1;
        (out.send)(port, frame.as_bytes());
    }
}
