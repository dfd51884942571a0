//! What stands before an IP header, taken from one frame to be put before the packet in another.

use super::InjectError;
use crate::wire::ethernet::{EthernetHeader, PppoeHeader, Sll2Header, SllHeader, VlanTag, ethertype};
use crate::wire::{Family, LinkType, Packet};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// LLC and SNAP before an `EtherType` (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// LLC by its number in a Linux cooked header.
const SLL_LLC: u16 = 4;
/// Address octets of Cisco's framing.
const CISCO: [u8; 2] = [0x0f, 0x8f];
/// The label is the last one (RFC 3032, 2.1).
const BOTTOM: u32 = 0x100;

/// What stands before the IP header: link header, VLAN tags, PPPoE, MPLS labels; or nothing.
#[derive(Clone, Copy, Debug)]
pub struct Encapsulation<'a> {
    link: LinkType,
    headers: &'a [u8],
    reversed: bool,
    /// The headers tell it.
    family: Option<Family>,
}

impl<'a> Encapsulation<'a> {
    /// Nothing: the frame begins with the IP header.
    pub const NONE: Encapsulation<'static> =
        Encapsulation { link: LinkType::RawIp, headers: &[], reversed: false, family: None };

    /// As before `packet` in `frame`; `reversed` for packets that go the other way.
    ///
    /// # Errors
    /// [`InjectError::Tunnel`] when there are IP headers before that packet; [`InjectError::Labels`] and
    /// [`InjectError::Link`] when nothing tells how headers look in the other direction.
    pub fn of(frame: &'a [u8], packet: &Packet, link: LinkType, reversed: bool) -> Result<Self, InjectError> {
        if packet.depth > 1 {
            return Err(InjectError::Tunnel);
        }
        if reversed && packet.mpls().is_some() {
            return Err(InjectError::Labels);
        }
        // A cooked header has the address of the sender alone.
        if reversed && matches!(link, LinkType::LinuxSll | LinkType::LinuxSll2) {
            return Err(InjectError::Link);
        }
        let headers = frame.get(..packet.ip).ok_or(InjectError::Link)?;
        Ok(Encapsulation { link, headers, reversed, family: Some(packet.family) })
    }

    /// Headers of a packet for which [`Encapsulation::of`] had something, with nothing behind them.
    pub(crate) fn kept(headers: &'a [u8], link: LinkType, family: Family, reversed: bool) -> Self {
        Encapsulation { link, headers, reversed, family: Some(family) }
    }

    pub(super) fn link(&self) -> LinkType {
        self.link
    }

    /// Octets before the IP header.
    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }

    /// Writes the headers at the beginning of a frame.
    pub(super) fn write(&self, family: Family, frame: &mut [u8]) -> Result<(), InjectError> {
        if self.family.is_some_and(|own| own != family) {
            return Err(InjectError::Families);
        }
        frame.get_mut(..self.headers.len()).ok_or(InjectError::NoRoom)?.copy_from_slice(self.headers);
        if self.reversed && self.link == LinkType::Ethernet {
            let (header, _) = EthernetHeader::mut_from_prefix(frame).map_err(|_| InjectError::Link)?;
            core::mem::swap(&mut header.src, &mut header.dst);
        }
        Ok(())
    }
}

/// Puts the length fields in `headers` right for an IP packet of `len` octets behind them.
pub(super) fn set_lengths(link: LinkType, headers: &mut [u8], len: usize) -> Result<(), InjectError> {
    let mut walk = Walk { rest: headers, len };
    match link {
        LinkType::Ethernet => {
            let kind = &mut walk.take::<EthernetHeader>()?.ethertype;
            walk.behind(kind)
        }
        LinkType::LinuxSll => {
            let kind = &mut walk.take::<SllHeader>()?.ethertype;
            walk.behind_cooked(kind)
        }
        LinkType::LinuxSll2 => {
            let kind = &mut walk.take::<Sll2Header>()?.ethertype;
            walk.behind_cooked(kind)
        }
        LinkType::PppSerial if walk.rest.first().is_some_and(|first| CISCO.contains(first)) => {
            walk.take::<[u8; 2]>()?;
            let kind = walk.take::<U16>()?;
            walk.behind(kind)
        }
        LinkType::Ppp | LinkType::PppSerial => walk.ppp(),
        _ => Ok(()), // nothing, or the number of the address family
    }
}

/// On the way through headers that were walked before, but for the pseudowires in MPLS, which are refused.
struct Walk<'a> {
    rest: &'a mut [u8],
    len: usize,
}

impl<'a> Walk<'a> {
    fn take<T>(&mut self) -> Result<&'a mut T, InjectError>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
    {
        let (header, rest) =
            T::mut_from_prefix(core::mem::take(&mut self.rest)).map_err(|_| InjectError::Link)?;
        self.rest = rest;
        Ok(header)
    }

    /// What a type stands for. In the place of a type there may be a length.
    fn behind(&mut self, mut kind: &'a mut U16) -> Result<(), InjectError> {
        loop {
            match kind.get() {
                ethertype::IPV4 | ethertype::IPV6 => return self.end(),
                ethertype::VLAN | ethertype::QINQ | ethertype::QINQ_OLD => {
                    kind = &mut self.take::<VlanTag>()?.ethertype;
                }
                ethertype::MPLS | ethertype::MPLS_UPSTREAM => return self.labels(),
                ethertype::PPPOE => {
                    let header = self.take::<PppoeHeader>()?;
                    header.len = self.left()?;
                    return self.ppp();
                }
                short if short < ethertype::FIRST => {
                    *kind = self.left()?;
                    if kind.get() >= ethertype::FIRST {
                        return Err(InjectError::TooLong);
                    }
                    kind = self.snap()?;
                }
                _ => return Err(InjectError::Link),
            }
        }
    }

    fn behind_cooked(&mut self, kind: &'a mut U16) -> Result<(), InjectError> {
        let kind = if kind.get() == SLL_LLC { self.snap()? } else { kind };
        if kind.get() < ethertype::FIRST {
            return Err(InjectError::Link);
        }
        self.behind(kind)
    }

    fn snap(&mut self) -> Result<&'a mut U16, InjectError> {
        if *self.take::<[u8; 6]>()? != SNAP {
            return Err(InjectError::Link);
        }
        self.take::<U16>()
    }

    /// Octets from here to the end of the packet.
    fn left(&self) -> Result<U16, InjectError> {
        Ok(u16::try_from(self.rest.len() + self.len).map_err(|_| InjectError::TooLong)?.into())
    }

    fn ppp(&mut self) -> Result<(), InjectError> {
        if self.rest.first() == Some(&0xff) {
            self.take::<[u8; 2]>()?;
        }
        // An odd octet is a protocol, an even one the first half of it (RFC 1661, 6.5).
        let protocol = match self.take::<u8>()? {
            first if *first & 1 == 1 => u16::from(*first),
            first => u16::from_be_bytes([*first, *self.take::<u8>()?]),
        };
        match protocol {
            0x0021 | 0x0057 => self.end(),
            0x0281 => self.labels(),
            _ => Err(InjectError::Link),
        }
    }

    fn labels(&mut self) -> Result<(), InjectError> {
        while self.take::<U32>()?.get() & BOTTOM == 0 {}
        self.end()
    }

    fn end(&self) -> Result<(), InjectError> {
        if self.rest.is_empty() { Ok(()) } else { Err(InjectError::Link) }
    }
}
