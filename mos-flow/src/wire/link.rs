//! From the start of a frame, or of what a tunnel carries, to the IP header: link types, VLAN tags, LLC, PPP, PPPoE,
//! MPLS.

use super::ethernet::{EthernetHeader, PppoeHeader, Sll2Header, SllHeader, VlanTag, ethertype};
use super::ipv4::Ipv4Header;
use super::parse::Walk;
use super::{Family, checksum};
use crate::reason::DropReason;
use zerocopy::byteorder::network_endian::{U16, U32};

/// How the first header of a frame is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// Ethernet.
    Ethernet,
    /// No link header: IPv4 or IPv6 by the version field.
    RawIp,
    /// Linux cooked capture, version 1.
    LinuxSll,
    /// Linux cooked capture, version 2.
    LinuxSll2,
    /// Loopback of BSD: the address family, in the byte order of the machine that captured.
    Null,
    /// Loopback of OpenBSD: the address family in network byte order.
    Loop,
    /// PPP, with or without its address and control octets.
    Ppp,
    /// PPP in HDLC-like framing, or Cisco's framing.
    PppSerial,
    /// No link header: IPv4.
    Ipv4,
    /// No link header: IPv6.
    Ipv6,
    /// Anything else, by its number in the capture; its frames are counted and dropped.
    Unknown(u16),
}

/// The most MPLS labels in a frame.
pub const MAX_LABELS: u8 = 8;

/// LLC with SNAP (IEEE 802): two service access points, unnumbered information, and no organisation but the one that
/// means that an `EtherType` follows (RFC 1042).
pub(crate) const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// Address and control octet of PPP in HDLC-like framing (RFC 1662, 3.1).
const HDLC: [u8; 2] = [0xff, 0x03];
/// Address octets of Cisco's framing: unicast, broadcast.
const CISCO: [u8; 2] = [0x0f, 0x8f];
/// LLC by its number in a Linux cooked header (`ETH_P_802_2`).
const SLL_LLC: u16 = 4;

/// What the octets at hand are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Ethernet,
    /// What an `EtherType` names.
    Type(u16),
    Llc,
    Mpls,
    Ppp,
    /// IPv4 or IPv6 by the version field.
    Ip,
    Packet(Family),
}

impl Walk<'_> {
    /// Walks the link header of a frame.
    #[inline]
    pub(super) fn link(&mut self, link: LinkType) -> Result<Layer, DropReason> {
        match link {
            LinkType::Ethernet => Ok(Layer::Ethernet),
            LinkType::RawIp => Ok(Layer::Ip),
            LinkType::LinuxSll => cooked(self.take::<SllHeader>()?.ethertype),
            LinkType::LinuxSll2 => cooked(self.take::<Sll2Header>()?.ethertype),
            LinkType::Null => {
                let family = self.take::<U32>()?.get();
                address_family(family).or_else(|_| address_family(family.swap_bytes()))
            }
            LinkType::Loop => address_family(self.take::<U32>()?.get()),
            LinkType::Ppp => Ok(Layer::Ppp),
            LinkType::PppSerial => self.serial(),
            LinkType::Ipv4 => Ok(Layer::Packet(Family::V4)),
            LinkType::Ipv6 => Ok(Layer::Packet(Family::V6)),
            LinkType::Unknown(_) => Err(DropReason::UnknownLink),
        }
    }

    /// Walks all that stands before an IP header. It comes to an end because a layer that can come again has a tag or
    /// a label, which are counted.
    #[inline]
    pub(super) fn reach(&mut self, mut layer: Layer) -> Result<Family, DropReason> {
        loop {
            layer = match layer {
                Layer::Ethernet => self.ethernet()?,
                Layer::Type(kind) => self.behind_type(kind)?,
                Layer::Llc => self.llc()?,
                Layer::Mpls => self.labels()?,
                Layer::Ppp => self.ppp()?,
                Layer::Ip => Layer::Packet(self.version()?),
                Layer::Packet(family) => return Ok(family),
            };
        }
    }

    fn ethernet(&mut self) -> Result<Layer, DropReason> {
        Ok(Layer::Type(self.take::<EthernetHeader>()?.ethertype.get()))
    }

    fn behind_type(&mut self, kind: u16) -> Result<Layer, DropReason> {
        match kind {
            ethertype::IPV4 => Ok(Layer::Packet(Family::V4)),
            ethertype::IPV6 => Ok(Layer::Packet(Family::V6)),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => {
                let tag = self.take::<VlanTag>()?;
                if !self.vlans.push(tag.id()) {
                    return Err(DropReason::HeaderDepth);
                }
                Ok(Layer::Type(tag.ethertype.get()))
            }
            ethertype::MPLS | ethertype::MPLS_UPSTREAM => Ok(Layer::Mpls),
            ethertype::PPPOE => self.pppoe(),
            len if len < ethertype::FIRST => {
                self.narrow(len.into())?;
                Ok(Layer::Llc)
            }
            _ => Err(DropReason::NotIp),
        }
    }

    fn llc(&mut self) -> Result<Layer, DropReason> {
        if *self.take::<[u8; 6]>()? != SNAP {
            return Err(DropReason::NotIp);
        }
        match self.take::<U16>()?.get() {
            kind if kind < ethertype::FIRST => Err(DropReason::NotIp), // a length has no place here
            kind => Ok(Layer::Type(kind)),
        }
    }

    fn pppoe(&mut self) -> Result<Layer, DropReason> {
        let header = self.take::<PppoeHeader>()?;
        if (header.version_type, header.code) != (0x11, 0) {
            return Err(DropReason::NotIp);
        }
        self.narrow(header.len.get().into())?;
        self.enter_session(header.session.get());
        Ok(Layer::Ppp)
    }

    fn serial(&mut self) -> Result<Layer, DropReason> {
        if self.rest().first().is_some_and(|address| CISCO.contains(address)) {
            self.skip(HDLC.len())?;
            return Ok(Layer::Type(self.take::<U16>()?.get()));
        }
        Ok(Layer::Ppp)
    }

    fn ppp(&mut self) -> Result<Layer, DropReason> {
        // No protocol has the number of the address (RFC 1661, 2).
        if self.rest().first() == HDLC.first() && *self.take::<[u8; 2]>()? != HDLC {
            return Err(DropReason::NotIp);
        }
        // RFC 1661, 6.5: a protocol below 256 may be sent as one octet, which is odd; the first of two is even.
        let protocol = match self.rest().first() {
            Some(first) if first & 1 == 1 => {
                self.skip(1)?;
                u16::from(*first)
            }
            _ => self.take::<U16>()?.get(),
        };
        match protocol {
            0x0021 => Ok(Layer::Packet(Family::V4)),
            0x0057 => Ok(Layer::Packet(Family::V6)),
            0x0281 => Ok(Layer::Mpls),
            _ => Err(DropReason::NotIp),
        }
    }

    fn labels(&mut self) -> Result<Layer, DropReason> {
        loop {
            let entry = self.take::<U32>()?.get(); // RFC 3032, 2.1: label (20), class (3), bottom of stack (1), TTL (8)
            if self.labels == MAX_LABELS {
                return Err(DropReason::HeaderDepth);
            }
            self.labels += 1;
            self.label.get_or_insert(entry >> 12);
            if entry & 0x100 != 0 {
                return self.behind_labels();
            }
        }
    }

    /// Nothing tells what is behind the last label; routers look at the first nibble. That of an Ethernet address can
    /// be anything, so what it says must fit.
    fn behind_labels(&mut self) -> Result<Layer, DropReason> {
        let ip = self.version();
        if let Ok(family) = ip
            && { *self }.ip(family).is_ok()
            && (family == Family::V6 || self.is_ipv4_for_sure() || !self.is_ethernet())
        {
            return Ok(Layer::Packet(family));
        }
        let mut behind_word = *self;
        // RFC 4385, 3: the control word of a pseudowire begins with a zero nibble.
        if self.rest().first().is_some_and(|b| b >> 4 == 0)
            && behind_word.skip(4).is_ok()
            && behind_word.is_ethernet()
        {
            *self = behind_word;
            return Ok(Layer::Ethernet);
        }
        if self.is_ethernet() { Ok(Layer::Ethernet) } else { ip.map(Layer::Packet) }
    }

    /// An address may look like the beginning of a header, but the checksum will not fit.
    fn is_ipv4_for_sure(&self) -> bool {
        let header = self.peek::<Ipv4Header>().map_or(0, Ipv4Header::header_len);
        self.rest().get(..header).is_some_and(checksum::ipv4_header_ok)
    }

    /// Whether the octets look like an Ethernet frame that is worth the walk.
    fn is_ethernet(&self) -> bool {
        let mut inside = *self;
        let Ok(Layer::Type(kind)) = inside.ethernet() else { return false };
        match kind {
            ethertype::IPV4 => inside.version() == Ok(Family::V4),
            ethertype::IPV6 => inside.version() == Ok(Family::V6),
            ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => true,
            ethertype::MPLS | ethertype::MPLS_UPSTREAM | ethertype::PPPOE => true,
            _ => false,
        }
    }

    /// The family of the IP header at hand.
    pub(super) fn version(&self) -> Result<Family, DropReason> {
        match self.peek::<u8>()? >> 4 {
            4 => Ok(Family::V4),
            6 => Ok(Family::V6),
            _ => Err(DropReason::NotIp),
        }
    }
}

fn cooked(kind: U16) -> Result<Layer, DropReason> {
    match kind.get() {
        SLL_LLC => Ok(Layer::Llc),
        kind if kind < ethertype::FIRST => Err(DropReason::NotIp),
        kind => Ok(Layer::Type(kind)),
    }
}

/// By number of the address family. IPv4 has one; IPv6 came later, and each system chose another.
fn address_family(number: u32) -> Result<Layer, DropReason> {
    match number {
        2 => Ok(Layer::Packet(Family::V4)),
        10 | 24 | 28 | 30 => Ok(Layer::Packet(Family::V6)), // Linux, NetBSD and OpenBSD, FreeBSD, macOS
        _ => Err(DropReason::NotIp),
    }
}

#[cfg(test)]
mod tests;
