//! What an IP packet carries when it is a tunnel's.

use super::Family;
use super::ethernet::ethertype;
use super::link::Layer;
use super::network::{Identity, Kind};
use super::packet::Packet;
use super::parse::Walk;
use super::udp::UdpHeader;
use crate::reason::DropReason;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// IP protocol numbers of tunnels.
pub(super) mod protocol {
    pub(in crate::wire) const IPV4: u8 = 4;
    pub(in crate::wire) const UDP: u8 = 17;
    pub(in crate::wire) const IPV6: u8 = 41;
    pub(in crate::wire) const GRE: u8 = 47;
    pub(in crate::wire) const MPLS: u8 = 137;
}

/// The most extension headers of a GTP-U header.
const MAX_GTP_EXTENSIONS: usize = 8;

/// GRE (RFC 2784 and 2890; version 1: RFC 2637).
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct GreHeader {
    flags: U16,
    protocol: U16,
}

impl GreHeader {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    /// Version 1 only: an acknowledgement number.
    const ACK: u16 = 0x0080;

    fn has(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }
}

/// What GRE carries, where it is not an Ethernet type of its own right.
mod gre {
    pub(super) const BRIDGED: u16 = 0x6558;
    pub(super) const PPP: u16 = 0x880b;
    pub(super) const ERSPAN: u16 = 0x88be;
    pub(super) const ERSPAN_3: u16 = 0x22eb;
}

/// The words that begin an ERSPAN header of type II or III (`draft-foschiano-erspan`).
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct ErspanHeader {
    /// Version (4 bits), VLAN (12).
    version_vlan: U16,
    /// Class (3), encapsulation (2), truncated (1), session (10).
    flags_session: U16,
    /// Port index in type II, time in type III.
    _word: U32,
}

/// VXLAN (RFC 7348, 5).
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct VxlanHeader {
    flags: u8,
    _reserved: [u8; 3],
    /// Network identifier (24 bits), reserved (8).
    vni_reserved: U32,
}

/// GTP-U, version 1 (3GPP TS 29.281, 5.1).
#[derive(Clone, Copy, Debug, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct GtpHeader {
    /// Version (3 bits), protocol type (1), reserved (1), whether there are extensions, a sequence number, an N-PDU
    /// number.
    flags: u8,
    message: u8,
    /// Octets behind this header.
    len: U16,
    _teid: U32,
}

/// The UDP ports that tunnels are known by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Gtp,
    Mpls,
    Teredo,
    Vxlan,
}

impl Port {
    fn of(number: u16) -> Option<Self> {
        match number {
            2152 => Some(Port::Gtp),
            3544 => Some(Port::Teredo),
            4789 | 8472 => Some(Port::Vxlan), // the second is what Linux had before the number was assigned
            6635 => Some(Port::Mpls),
            _ => None,
        }
    }
}

impl Walk<'_> {
    /// The IP packet inside of `outer`, if there is one.
    #[inline]
    pub(super) fn inner(&mut self, outer: &Packet) -> Result<Option<Packet>, DropReason> {
        match outer.protocol {
            // The part that a fragment has of a packet is not looked into: others may overwrite it.
            _ if outer.fragment.is_some() => Ok(None),
            protocol::UDP => self.guess(outer),
            protocol::IPV4 | protocol::IPV6 | protocol::GRE | protocol::MPLS => self.promised(outer),
            _ => Ok(None),
        }
    }

    fn promised(&mut self, outer: &Packet) -> Result<Option<Packet>, DropReason> {
        let mut walk = *self;
        let family = match walk.open(outer).and_then(|layer| walk.reach(layer)) {
            Ok(family) => family,
            Err(DropReason::NotIp) => return Ok(None),
            Err(reason) => return Err(reason),
        };
        *self = walk;
        self.ip(family).map(Some)
    }

    fn guess(&mut self, outer: &Packet) -> Result<Option<Packet>, DropReason> {
        let (src, dst) = outer.ports(self.frame);
        let Some(port) = Port::of(dst).or_else(|| Port::of(src)) else { return Ok(None) };
        let mut walk = *self;
        let Ok(family) = walk.open_port(port, outer).and_then(|layer| walk.reach(layer)) else {
            return Ok(None);
        };
        match walk.ip(family) {
            Ok(packet) => {
                *self = walk;
                Ok(Some(packet))
            }
            // It is a whole IP header, or several: no chance, but somebody who hides something.
            Err(DropReason::HeaderDepth) => Err(DropReason::HeaderDepth),
            Err(_) => Ok(None),
        }
    }

    fn open(&mut self, outer: &Packet) -> Result<Layer, DropReason> {
        let ends = Identity::ends(outer.addresses(self.frame));
        match outer.protocol {
            protocol::IPV4 => {
                self.enter(Kind::Ip, ends);
                Ok(Layer::Packet(Family::V4))
            }
            protocol::IPV6 => {
                self.enter(Kind::Ip, ends);
                Ok(Layer::Packet(Family::V6))
            }
            protocol::MPLS => {
                self.enter(Kind::Mpls, ends);
                Ok(Layer::Mpls)
            }
            _ => self.gre(ends),
        }
    }

    fn gre(&mut self, ends: Identity) -> Result<Layer, DropReason> {
        let header = self.take::<GreHeader>()?;
        match header.flags.get() & 7 {
            0 if header.has(GreHeader::ROUTING) => Err(DropReason::NotIp), // RFC 2784, 2.3 gave source routes up
            0 => self.gre_0(header, ends),
            1 => self.pptp(header, ends),
            _ => Err(DropReason::NotIp),
        }
    }

    fn gre_0(&mut self, header: &GreHeader, ends: Identity) -> Result<Layer, DropReason> {
        if header.has(GreHeader::CHECKSUM) {
            self.skip(4)?;
        }
        let key = if header.has(GreHeader::KEY) { Some(self.take::<U32>()?.get()) } else { None };
        if header.has(GreHeader::SEQUENCE) {
            self.skip(4)?;
        }
        let layer = match header.protocol.get() {
            // Type I has neither a sequence number nor a header of its own.
            gre::ERSPAN if !header.has(GreHeader::SEQUENCE) => {
                self.enter(Kind::Erspan, Identity::default());
                return Ok(Layer::Ethernet);
            }
            gre::ERSPAN => return self.erspan(1),
            gre::ERSPAN_3 => return self.erspan(2),
            gre::BRIDGED => Layer::Ethernet,
            gre::PPP => Layer::Ppp,
            kind @ (ethertype::IPV4 | ethertype::IPV6 | ethertype::MPLS | ethertype::MPLS_UPSTREAM) => {
                Layer::Type(kind)
            }
            _ => return Err(DropReason::NotIp),
        };
        // No key is not the key 0.
        self.enter(Kind::Gre, Identity { id: key.map_or(0, |k| 1 << 32 | u64::from(k)), ..ends });
        Ok(layer)
    }

    /// PPP over GRE. The key is the length and the number of the call, which each end chooses for itself: no identity.
    fn pptp(&mut self, header: &GreHeader, ends: Identity) -> Result<Layer, DropReason> {
        // RFC 2637, 4.1: without a sequence number there is no payload, but an acknowledgement.
        if header.protocol.get() != gre::PPP
            || !header.has(GreHeader::KEY)
            || !header.has(GreHeader::SEQUENCE)
        {
            return Err(DropReason::NotIp);
        }
        let [len, _call] = *self.take::<[U16; 2]>()?;
        self.skip(if header.has(GreHeader::ACK) { 8 } else { 4 })?;
        self.narrow(len.get().into())?;
        self.enter(Kind::Gre, ends);
        Ok(Layer::Ppp)
    }

    fn erspan(&mut self, version: u16) -> Result<Layer, DropReason> {
        let header = self.take::<ErspanHeader>()?;
        if header.version_vlan.get() >> 12 != version {
            return Err(DropReason::NotIp);
        }
        let mut layer = Layer::Ethernet;
        if version == 2 {
            // Security group (16), then: a whole frame (1), its type (5), hardware (6), direction (1), clock (2), a
            // subheader of the platform (1).
            let [_, flags] = *self.take::<[U16; 2]>()?;
            layer = match flags.get() >> 10 & 0x1f {
                0 => Layer::Ethernet,
                2 => Layer::Ip,
                _ => return Err(DropReason::NotIp),
            };
            self.skip(if flags.get() & 1 == 0 { 0 } else { 8 })?;
        }
        // A flow's directions can be mirrored by two switches, so the ends are not its identity.
        self.enter(Kind::Erspan, Identity::id(u64::from(header.flags_session.get() & 0x3ff)));
        Ok(layer)
    }

    fn open_port(&mut self, port: Port, outer: &Packet) -> Result<Layer, DropReason> {
        let header = self.take::<UdpHeader>()?;
        match usize::from(header.len.get()).checked_sub(size_of::<UdpHeader>()) {
            Some(len) => self.narrow(len)?,
            None if header.len.get() == 0 => {} // segmentation offload, or a jumbogram (RFC 2675, 4)
            None => return Err(DropReason::BadLength),
        }
        let ends = Identity::ends(outer.addresses(self.frame));
        match port {
            Port::Gtp => self.gtp(),
            Port::Teredo => self.teredo(ends),
            Port::Vxlan => self.vxlan(),
            Port::Mpls => {
                self.enter(Kind::Mpls, ends);
                Ok(Layer::Mpls)
            }
        }
    }

    fn vxlan(&mut self) -> Result<Layer, DropReason> {
        let header = self.take::<VxlanHeader>()?;
        if header.flags & 0x08 == 0 {
            return Err(DropReason::NotIp);
        }
        self.enter(Kind::Vxlan, Identity::id(u64::from(header.vni_reserved.get() >> 8)));
        Ok(Layer::Ethernet)
    }

    fn gtp(&mut self) -> Result<Layer, DropReason> {
        const G_PDU: u8 = 255;
        let header = self.take::<GtpHeader>()?;
        if header.flags >> 4 != 0b0011 || header.message != G_PDU {
            return Err(DropReason::NotIp);
        }
        self.narrow(header.len.get().into())?;
        if header.flags & 7 != 0 {
            // The optional fields stand together, whichever of them is valid.
            let [.., first] = *self.take::<[u8; 4]>()?;
            self.gtp_extensions(if header.flags & 4 == 0 { 0 } else { first })?;
        }
        self.enter(Kind::Gtp, Identity::default());
        Ok(Layer::Ip)
    }

    /// Each extension is its length in words, its content, and the type of the next one.
    fn gtp_extensions(&mut self, mut kind: u8) -> Result<(), DropReason> {
        for _ in 0..MAX_GTP_EXTENSIONS {
            if kind == 0 {
                return Ok(());
            }
            let len = usize::from(*self.take::<u8>()?) * 4;
            self.skip(len.checked_sub(2).ok_or(DropReason::BadLength)?)?;
            kind = *self.take::<u8>()?;
        }
        if kind == 0 { Ok(()) } else { Err(DropReason::HeaderDepth) }
    }

    /// RFC 4380, 5.1.1: an authentication, then an origin indication, each of which may be missing, then IPv6.
    fn teredo(&mut self, ends: Identity) -> Result<Layer, DropReason> {
        if self.rest().starts_with(&[0, 1]) {
            let [_, _, id, value] = *self.take::<[u8; 4]>()?;
            self.skip(usize::from(id) + usize::from(value) + 9)?; // and a nonce, and whether a key is confirmed
        }
        if self.rest().starts_with(&[0, 0]) {
            self.skip(8)?;
        }
        self.enter(Kind::Teredo, ends);
        match self.version()? {
            Family::V6 => Ok(Layer::Packet(Family::V6)),
            Family::V4 => Err(DropReason::NotIp),
        }
    }
}

#[cfg(test)]
mod tests;
