//! Neighbours: what stood before the IP header when a connection began, for packets that are made without one at hand.
//!
//! Connections come from few neighbours, so that each header is kept once, in a table of a fixed size; a connection has the
//! place. A header that needs the place of another one gets it: connections of the earlier one have none from then on.
//!
//! # Invariants
//! 1. A place holds what it held for every connection whose number is not below its `since`.

use crate::inject::Encapsulation;
use crate::memory::Memory;
use crate::packet::PacketRef;
use crate::wire::{Family, LinkType};
use core::fmt;
use tcp_reasm::Side;

/// The most octets of headers before IP that are kept: enough for Ethernet, two VLAN tags and PPPoE.
const MAX_HEADERS: usize = 40;
/// Places that a connection can name.
const MAX_PLACES: usize = 1 << 15;

/// What is kept. Public only so that memory for it can be lent.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    octets: [u8; MAX_HEADERS],
    len: u8,
    link: LinkType,
    family: Family,
    port: u16,
    /// Number of the first connection that it holds for.
    since: u64,
}

impl Neighbour {
    /// No connection has it.
    pub const EMPTY: Neighbour = Neighbour {
        octets: [0; MAX_HEADERS],
        len: 0,
        link: LinkType::RawIp,
        family: Family::V4,
        port: 0,
        since: u64::MAX,
    };

    fn headers(&self) -> &[u8] {
        self.octets.get(..self.len.into()).unwrap_or_default()
    }

    fn holds(&self, headers: &[u8], packet: &PacketRef<'_>) -> bool {
        let PacketRef { frame, packet, .. } = packet;
        (self.link, self.family, self.port) == (frame.link, packet.family, frame.port)
            && self.headers() == headers
            && self.since < u64::MAX
    }
}

/// Where a connection's neighbour is, and which side the packet came from; or nowhere.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NeighbourRef(u16);

impl NeighbourRef {
    pub(crate) const NONE: NeighbourRef = NeighbourRef(u16::MAX);
    const FROM_SERVER: u16 = 1 << 15;

    fn new(place: usize, from: Side) -> Self {
        let from = if from == Side::Server { Self::FROM_SERVER } else { 0 };
        u16::try_from(place).map_or(Self::NONE, |place| NeighbourRef(place | from))
    }
}

impl fmt::Debug for NeighbourRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NeighbourRef({:#x})", self.0)
    }
}

/// A way back into the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub(crate) around: Encapsulation<'a>,
    /// The port by which packets of the first one's sender come.
    pub(crate) port: u16,
    /// Against the direction of the first packet.
    pub(crate) back: bool,
}

/// All neighbours.
pub(crate) struct Neighbours<M: Memory> {
    places: M::Of<Neighbour>,
    /// The place that was asked for last: few headers are followed by others.
    last: usize,
}

impl<M: Memory> Neighbours<M> {
    pub(crate) fn new(places: M::Of<Neighbour>) -> Self {
        Neighbours { places, last: 0 }
    }

    /// Remembers the headers of the first packet of the connection with a number, `from` a side. Headers that cannot be
    /// repeated are not remembered.
    pub(crate) fn note(&mut self, packet: &PacketRef<'_>, from: Side, number: u64) -> NeighbourRef {
        let PacketRef { frame, packet: parsed, .. } = *packet;
        let Some(headers) = frame.data.get(..parsed.ip).filter(|headers| headers.len() <= MAX_HEADERS) else {
            return NeighbourRef::NONE;
        };
        if self.places.get(self.last).is_some_and(|neighbour| neighbour.holds(headers, packet)) {
            return NeighbourRef::new(self.last, from);
        }
        // In the other direction is the harder case.
        if Encapsulation::of(frame.data, parsed, frame.link, true).is_err() {
            return NeighbourRef::NONE;
        }
        let count = self.places.len().min(MAX_PLACES - 1);
        let place = (hash(headers, frame.port) as usize).checked_rem(count).unwrap_or(usize::MAX);
        let Some(neighbour) = self.places.get_mut(place) else { return NeighbourRef::NONE };
        if !neighbour.holds(headers, packet) {
            let mut octets = [0; MAX_HEADERS];
            for (octet, header) in octets.iter_mut().zip(headers) {
                *octet = *header;
            }
            let (len, link, family, port) = (headers.len() as u8, frame.link, parsed.family, frame.port);
            *neighbour = Neighbour { octets, len, link, family, port, since: number };
        }
        self.last = place;
        NeighbourRef::new(place, from)
    }

    /// The headers for a packet to a side of the connection with a number.
    pub(crate) fn find(&self, at: NeighbourRef, number: u64, to: Side) -> Option<Known<'_>> {
        let neighbour = self.places.get(usize::from(at.0 & !NeighbourRef::FROM_SERVER))?;
        if at == NeighbourRef::NONE || number < neighbour.since {
            return None;
        }
        let from = if at.0 & NeighbourRef::FROM_SERVER == 0 { Side::Client } else { Side::Server };
        let back = from == to;
        let around = Encapsulation::kept(neighbour.headers(), neighbour.link, neighbour.family, back);
        Some(Known { around, port: neighbour.port, back })
    }
}

/// FNV-1a. Whoever aims at a place makes connections of his neighbours forget theirs, no more.
fn hash(headers: &[u8], port: u16) -> u32 {
    let octets = headers.iter().copied().chain(port.to_be_bytes());
    octets.fold(0x811c_9dc5, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193))
}
