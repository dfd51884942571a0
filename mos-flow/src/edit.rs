//! Changes of the packet in flight.
//!
//! The frame itself is not ours to write to: with its first change a packet is copied into a buffer of the engine, and from
//! then on the copy is the packet, for later handlers, for the receiver's side of the connection, and for the wire. Checksums
//! are put right once, after the handlers of a hook: by the difference that was made, so that one that was wrong before is as
//! wrong after; or anew, where a handler asks for that.
//!
//! # Invariants
//! 1. What [`Packet`] says of a loaded buffer lies inside of it.
//! 2. The pieces are the payload, from the front to the back; those of the original are in its order.

mod error;

mod pieces;

pub use error::PacketError;
pub(crate) use pieces::Splice;

use crate::memory::Memory;
use crate::packet::{Frame, PacketRef, PacketView};
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EthernetHeader, ethertype};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;

use crate::wire::{Family, LinkType, Packet, SNAP, checksum};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;
use pieces::{Piece, Pieces};
use tcp_reasm::Segment;
use tcp_reasm::header::TcpHeader;
use zerocopy::FromBytes;

/// Octets of payload that every path takes in one packet: the least MTU of IPv6 without headers, options and tunnels.
pub(crate) const LEAST_MOST: usize = 1140;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// A part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The 14 octets of the Ethernet header.
    Ethernet,
    /// The IP headers.
    Ip,
    /// The TCP header with its options.
    Tcp,
    /// The TCP payload.
    Payload,
}

/// What may be done to the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    /// Octets of the payload that were forwarded before.
    pub(crate) sent: usize,
    /// Places at which its length may change.
    pub(crate) places: usize,
    /// Why its length must not change.
    pub(crate) resize: Result<(), PacketError>,
}

impl Scope {
    /// A packet without a connection.
    pub(crate) const FREE: Scope = Scope::fixed(PacketError::NotTracked);

    /// A packet whose length must not change, because of this.
    pub(crate) const fn fixed(reason: PacketError) -> Scope {
        Scope { sent: 0, places: 0, resize: Err(reason) }
    }
}

/// A changed packet.
pub(crate) struct EditBuffer<M: Memory> {
    octets: M::Of<u8>,
    /// Of the frame.
    len: usize,
    packet: Option<Packet>,
    scope: Scope,
    pieces: Pieces,
    /// Octets of the payload that was loaded.
    original: usize,
    /// Some of the payload was changed.
    payload_changed: bool,
    /// Checksums that are made anew, whatever was there.
    renewed: Renewed,
}

/// Checksums, by the layer that they belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Renewed {
    ip: bool,
    transport: bool,
}

impl<M: Memory> fmt::Debug for EditBuffer<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EditBuffer({} of {} octets)", self.len, self.octets.len())
    }
}

impl<M: Memory> EditBuffer<M> {
    pub(crate) fn new(octets: M::Of<u8>) -> Self {
        EditBuffer {
            octets,
            len: 0,
            packet: None,
            scope: Scope::FREE,
            pieces: Pieces::new(),
            original: 0,
            payload_changed: false,
            renewed: Renewed::default(),
        }
    }

    /// Copies a packet into the buffer.
    pub(crate) fn load(&mut self, from: PacketRef<'_>, scope: Scope) -> Result<(), PacketError> {
        let data = from.frame.data;
        self.octets.get_mut(..data.len()).ok_or(PacketError::NoRoom)?.copy_from_slice(data);
        (self.len, self.packet, self.scope) = (data.len(), Some(*from.packet), scope);
        (self.payload_changed, self.renewed) = (false, Renewed::default());
        self.pieces.clear();
        let payload = from.segment.map_or(0, |segment| segment.payload.len());
        self.original = payload;
        if payload > 0 {
            let _ = self.pieces.push(Piece::Old { at: 0, len: payload });
        }
        Ok(())
    }

    /// The frame.
    pub(crate) fn octets(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    /// Where its headers are.
    pub(crate) fn packet(&self) -> Option<&Packet> {
        self.packet.as_ref()
    }

    /// Whether the payload is another than before.
    pub(crate) fn is_payload_changed(&self) -> bool {
        self.payload_changed
    }

    /// The frame that `like` became.
    pub(crate) fn frame<'a>(&'a self, like: &Frame<'_>) -> Frame<'a> {
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        Frame {
            data: self.octets(),
            wire_len: if self.is_cut() { len.max(like.wire_len) } else { len },
            time: like.time,
            link: like.link,
            port: like.port,
            verdict: like.verdict,
        }
    }

    /// The packet that `like` became.
    pub(crate) fn view<'a>(&'a self, like: &Frame<'_>) -> Option<PacketView<'a>> {
        let packet = *self.packet()?;
        Some(PacketView { frame: self.frame(like), packet, segment: self.segment() })
    }

    /// The TCP segment.
    pub(crate) fn segment(&self) -> Option<Segment<'_>> {
        let packet = self.packet().filter(|p| p.protocol == TCP && p.fragment.is_none())?;
        Segment::parse(packet.segment_bytes(self.octets()), packet.segment_len).ok()
    }

    /// Where the length of the payload was changed, from the front to the back.
    pub(crate) fn splices(&self) -> impl Iterator<Item = Splice> + '_ {
        pieces::splices(&self.pieces, self.original)
    }

    /// The TCP header without its options.
    pub(crate) fn tcp_mut(&mut self) -> Option<&mut TcpHeader> {
        self.packet?.tcp_mut(&mut self.octets)
    }

    /// The options of the TCP header.
    pub(crate) fn options_mut(&mut self) -> Option<&mut [u8]> {
        let place = self.layer(Layer::Tcp, LinkType::RawIp).ok()?;
        self.octets.get_mut(place.start + size_of::<TcpHeader>()..place.end)
    }

    fn is_cut(&self) -> bool {
        self.packet().is_some_and(|p| p.end - p.transport < p.segment_len)
    }

    /// The place of a part in the frame.
    fn layer(&self, layer: Layer, link: LinkType) -> Result<Range<usize>, PacketError> {
        let packet = self.packet().ok_or(PacketError::NoPacket)?;
        let header = || {
            let segment = self.segment().ok_or(PacketError::NotThere)?;
            Ok(packet.end - segment.payload.len())
        };
        Ok(match layer {
            Layer::Ethernet if link == LinkType::Ethernet => 0..size_of::<EthernetHeader>(),
            Layer::Ethernet => return Err(PacketError::NotThere),
            Layer::Ip => packet.ip..packet.transport,
            Layer::Tcp => packet.transport..header()?,
            Layer::Payload => header()?..packet.end,
        })
    }

    fn overwrite(&mut self, place: Range<usize>, data: &[u8]) -> Result<(), PacketError> {
        self.octets.get_mut(place).ok_or(PacketError::OutOfBounds)?.copy_from_slice(data);
        Ok(())
    }

    /// Whether octets of the payload from `at` on may become others. Without a record of the connection they could not be
    /// repeated.
    fn may_overwrite(&self, at: usize) -> Result<(), PacketError> {
        if at < self.scope.sent {
            return Err(PacketError::AlreadySent);
        }
        match self.scope.resize {
            Err(PacketError::TooMany) => Err(PacketError::TooMany),
            _ => Ok(()),
        }
    }

    /// Replaces `removed` octets of the payload by others.
    fn splice(&mut self, at: usize, removed: usize, data: &[u8]) -> Result<(), PacketError> {
        self.scope.resize?;
        let payload = self.layer(Layer::Payload, LinkType::RawIp)?.len();
        if at.checked_add(removed).is_none_or(|end| end > payload) {
            return Err(PacketError::OutOfBounds);
        }
        // What is put behind the last octet goes with the FIN, or with that octet.
        let ends = at == payload && removed == 0 && !self.segment().is_some_and(|segment| segment.is_fin());
        let carrier = if ends { at.checked_sub(1) } else { Some(at) };
        if carrier.ok_or(PacketError::NotThere)? < self.scope.sent {
            return Err(PacketError::AlreadySent);
        }
        let mut pieces = pieces::splice(&self.pieces, at, removed, data.len())?;
        while pieces.len() > pieces::PIECES
            || pieces::splices(&pieces, self.original).count() > self.scope.places
        {
            if !pieces::join(&mut pieces) {
                return Err(PacketError::TooMany);
            }
        }
        self.room(at, removed, data.len())?.copy_from_slice(data);
        (self.pieces, self.payload_changed) = (pieces, true);
        Ok(())
    }

    /// Removes octets of the payload, and makes room for others in their place.
    pub(crate) fn room(
        &mut self,
        at: usize,
        removed: usize,
        inserted: usize,
    ) -> Result<&mut [u8], PacketError> {
        if self.is_cut() {
            return Err(PacketError::Cut);
        }
        let payload = self.layer(Layer::Payload, LinkType::RawIp)?;
        let rest = payload.len().checked_sub(at + removed).ok_or(PacketError::OutOfBounds)?;
        let end = payload.start + at + inserted + rest;
        let ip_len = end - self.packet().map_or(0, |packet| packet.ip);
        if end > self.octets.len() || ip_len > usize::from(u16::MAX) {
            return Err(PacketError::NoRoom);
        }
        let from = payload.start + at;
        self.octets.copy_within(from + removed..payload.end, from + inserted);
        self.set_end(end);
        self.octets.get_mut(from..from + inserted).ok_or(PacketError::NoRoom)
    }

    /// The packet ends at `end` of the frame, where padding was cut off.
    fn set_end(&mut self, end: usize) {
        self.len = end;
        let Some(packet) = &mut self.packet else { return };
        packet.end = end;
        packet.segment_len = end - packet.transport;
        let packet = *packet;
        let frame = &mut *self.octets;
        if let Some(ip) = packet.ipv4_mut(frame) {
            ip.total_len.set(u16::try_from(end - packet.ip).unwrap_or(u16::MAX));
        }
        if let Some(ip) = packet.ipv6_mut(frame) {
            let len = end - packet.ip - size_of::<Ipv6Header>();
            ip.payload_len.set(u16::try_from(len).unwrap_or(u16::MAX));
        }
    }

    /// Puts the checksums right after changes of the packet that was loaded.
    pub(crate) fn finish(&mut self, from: PacketRef<'_>) {
        let Some(packet) = self.packet else { return };
        if packet.family == Family::V4 {
            let (old, new) = (from.packet, packet);
            let before = sum_without(header(from.frame.data, old), IP_CHECKSUM);
            let after = sum_without(header(self.octets(), &new), IP_CHECKSUM);
            let was = word_at(from.frame.data, old.ip + IP_CHECKSUM);
            self.fix(packet.ip + IP_CHECKSUM, was, before, after);
        }
        self.finish_transport(&packet, from);
        self.renew();
    }

    fn finish_transport(&mut self, packet: &Packet, from: PacketRef<'_>) {
        let at = match packet.protocol {
            TCP => TCP_CHECKSUM,
            UDP => UDP_CHECKSUM,
            _ => return,
        };
        if packet.fragment.is_some() || self.segment().is_none() && packet.protocol == TCP {
            return;
        }
        let before = transport_sum(from.frame.data, from.packet, at);
        let after = transport_sum(self.octets(), packet, at);
        if let (Some(before), Some(after)) = (before, after) {
            let was = word_at(from.frame.data, from.packet.transport + at);
            self.fix(packet.transport + at, was, before, after);
        }
    }

    /// Makes the checksums anew that are wanted so.
    fn renew(&mut self) {
        let Some(packet) = self.packet else { return };
        if self.renewed.ip && packet.family == Family::V4 {
            let sum = sum_without(header(self.octets(), &packet), IP_CHECKSUM);
            self.put_checksum(packet.ip + IP_CHECKSUM, sum);
        }
        let at = match packet.protocol {
            TCP => TCP_CHECKSUM,
            UDP => UDP_CHECKSUM,
            _ => return,
        };
        let place = packet.transport + at;
        let none = packet.protocol == UDP && word_at(self.octets(), place) == Some(0);
        if !self.renewed.transport || packet.fragment.is_some() || self.is_cut() || none {
            return;
        }
        if let Some(sum) = transport_sum(self.octets(), &packet, at) {
            self.put_checksum(place, sum);
        }
    }

    fn put_checksum(&mut self, at: usize, sum: Sum) {
        let is_udp = self.packet().is_some_and(|packet| packet.protocol == UDP && at > packet.transport);
        let new = match !sum.fold() {
            0 if is_udp => u16::MAX, // 0 means that there is none (RFC 768)
            new => new,
        };
        if let Some(place) = self.octets.get_mut(at..at + 2) {
            place.copy_from_slice(&new.to_be_bytes());
        }
    }

    /// Sets a checksum that was `was` right, by the difference of two sums.
    fn fix(&mut self, at: usize, was: Option<u16>, before: Sum, after: Sum) {
        let is_udp = self.packet().is_some_and(|packet| packet.protocol == UDP && at > packet.transport);
        let (Some(place), Some(was)) = (self.octets.get_mut(at..at + 2), was) else { return };
        if is_udp && was == 0 {
            return; // the sender computed none
        }
        let new = checksum::update16(was, before.fold(), after.fold());
        let new = if is_udp && new == 0 { u16::MAX } else { new };
        place.copy_from_slice(&new.to_be_bytes());
    }
}

/// Places of checksums in their headers.
const IP_CHECKSUM: usize = 10;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;

fn header<'a>(frame: &'a [u8], packet: &Packet) -> &'a [u8] {
    frame.get(packet.ip..packet.transport).unwrap_or_default()
}

fn word_at(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*frame.get(at..at + 2)?.first_chunk()?))
}

/// The sum of octets but for the two at `checksum`.
fn sum_without(octets: &[u8], checksum: usize) -> Sum {
    let (before, rest) = octets.split_at_checked(checksum).unwrap_or((octets, &[]));
    Sum::default().bytes(before).bytes(rest.get(2..).unwrap_or_default())
}

/// The sum of all that a transport checksum covers, itself excepted.
fn transport_sum(frame: &[u8], packet: &Packet, checksum: usize) -> Option<Sum> {
    let segment = packet.segment_bytes(frame);
    let pseudo = checksum::pseudo_header(frame, packet, packet.protocol, packet.segment_len)?;
    let (before, rest) = segment.split_at_checked(checksum)?;
    Some(pseudo.bytes(before).bytes(rest.get(2..)?))
}

/// The packet in flight, to be changed. What is changed is seen by later handlers and by the packet's receiver.
///
/// Offsets are within a part of the packet, as it is after the changes before; nothing is changed when a call fails. Checksums of IP, TCP and UDP are put right
/// after the handlers.
pub struct Edit<'a, M: Memory> {
    buffer: &'a mut EditBuffer<M>,
    link: LinkType,
}

impl<M: Memory> fmt::Debug for Edit<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.buffer.fmt(f)
    }
}

impl<'a, M: Memory> Edit<'a, M> {
    pub(crate) fn new(buffer: &'a mut EditBuffer<M>, link: LinkType) -> Self {
        Edit { buffer, link }
    }

    /// Octets of the payload, from its beginning on, that were forwarded before. They are what their receiver got, whatever the
    /// sender's packet says, and cannot be changed any more.
    pub fn already_sent(&self) -> usize {
        self.buffer.scope.sent.min(self.buffer.original)
    }

    /// The octets of a part, as they are now.
    ///
    /// # Errors
    /// [`PacketError::NotThere`].
    pub fn layer(&self, layer: Layer) -> Result<&[u8], PacketError> {
        let place = self.buffer.layer(layer, self.link)?;
        self.buffer.octets.get(place).ok_or(PacketError::NotThere)
    }

    /// Writes over octets of a part, in network byte order.
    ///
    /// In the sender's hook the receiver gets, and its stream has, the changed payload, also when the sender sends the same
    /// octets again; see [`Edit::insert`] for what that needs. Where a stream is not kept, or too many connections were changed
    /// (`Config::max_changed`), and in the receiver's hook, only this packet is another.
    ///
    /// # Errors
    /// [`PacketError::NotThere`], [`PacketError::OutOfBounds`], and for payload [`PacketError::AlreadySent`] when it was
    /// forwarded before, [`PacketError::TooMany`] when no other connection can be followed of which octets were changed.
    pub fn overwrite(&mut self, layer: Layer, offset: usize, data: &[u8]) -> Result<(), PacketError> {
        let place = self.buffer.layer(layer, self.link)?;
        let end = offset.checked_add(data.len()).filter(|end| *end <= place.len());
        let end = end.ok_or(PacketError::OutOfBounds)?;
        if layer == Layer::Payload && !data.is_empty() {
            self.buffer.may_overwrite(offset)?;
        }
        self.buffer.overwrite(place.start + offset..place.start + end, data)?;
        self.buffer.payload_changed |= layer == Layer::Payload;
        Ok(())
    }

    /// Inserts octets into the payload, before the one at `offset`, or behind the last one.
    ///
    /// From then on the engine translates the sequence numbers of both ends, and repeats what it changed when the sender
    /// sends it again. For that the receiver's stream must be kept, and nothing behind the place may have been forwarded: in a
    /// packet that came out of order, wait for the one before (drop it, and the sender sends it again). The connection is
    /// followed through TIME-WAIT, whatever the configuration says, for its last packets may come again.
    ///
    /// # Errors
    /// [`PacketError::OutOfBounds`], [`PacketError::AlreadySent`], [`PacketError::TooLate`] outside of the sender's hook,
    /// [`PacketError::NotTracked`] without a connection that takes the packet, [`PacketError::NotKept`],
    /// [`PacketError::NoRoom`], [`PacketError::TooMany`], [`PacketError::Cut`].
    pub fn insert(&mut self, offset: usize, data: &[u8]) -> Result<(), PacketError> {
        self.buffer.splice(offset, 0, data)
    }

    /// Removes octets of the payload. As [`Edit::insert`] otherwise.
    ///
    /// # Errors
    /// As there.
    pub fn chomp(&mut self, offset: usize, len: usize) -> Result<(), PacketError> {
        self.buffer.splice(offset, len, &[])
    }

    /// Replaces octets of the payload by others, as many or not.
    ///
    /// # Errors
    /// As [`Edit::insert`], or as [`Edit::overwrite`] when the length stays.
    pub fn replace(&mut self, offset: usize, len: usize, data: &[u8]) -> Result<(), PacketError> {
        if len == data.len() {
            self.overwrite(Layer::Payload, offset, data)
        } else {
            self.buffer.splice(offset, len, data)
        }
    }

    /// Sets the source address and port.
    ///
    /// # Errors
    /// [`PacketError::Family`], and [`PacketError::NotThere`] when the packet is neither TCP nor UDP.
    pub fn set_source(&mut self, source: SocketAddr) -> Result<(), PacketError> {
        self.set_address(source, 0)
    }

    /// Sets the destination address and port. In the sender's hook of a connection's first packet, this and
    /// [`Edit::set_source`] decide under which addresses the answers are looked for. Without room to remember them
    /// (`Config::max_aliases`), or when another connection has them, the answers are orphans.
    ///
    /// # Errors
    /// As [`Edit::set_source`].
    pub fn set_destination(&mut self, destination: SocketAddr) -> Result<(), PacketError> {
        self.set_address(destination, 1)
    }

    /// Sets the first (source) or second address and port.
    fn set_address(&mut self, end: SocketAddr, which: usize) -> Result<(), PacketError> {
        let packet = *self.buffer.packet().ok_or(PacketError::NoPacket)?;
        let place = packet.transport + 2 * which;
        let is_whole = packet.end >= place + 2 && packet.fragment.is_none();
        if !matches!(packet.protocol, TCP | UDP) || !is_whole {
            return Err(PacketError::NotThere);
        }
        match (packet.family, end.ip()) {
            (Family::V4, IpAddr::V4(ip)) => {
                let at = packet.ip + 12 + 4 * which;
                self.buffer.overwrite(at..at + 4, &ip.octets())?;
            }
            (Family::V6, IpAddr::V6(ip)) => {
                let at = packet.ip + 8 + 16 * which;
                self.buffer.overwrite(at..at + 16, &ip.octets())?;
            }
            _ => return Err(PacketError::Family),
        }
        self.buffer.overwrite(place..place + 2, &end.port().to_be_bytes())
    }

    /// Makes the checksum of the IPv4 header right at once, and once more after the handlers, whatever the sender wrote there.
    pub fn renew_ip_checksum(&mut self) {
        self.buffer.renewed.ip = true;
        self.buffer.renew();
    }

    /// As [`Edit::renew_ip_checksum`], for the checksum of TCP or UDP. In a packet that the capture cut, which cannot be summed,
    /// it stays as right as it was; and none stays none.
    pub fn renew_transport_checksum(&mut self) {
        self.buffer.renewed.transport = true;
        self.buffer.renew();
    }

    /// The Ethernet header.
    pub fn ethernet_mut(&mut self) -> Option<&mut EthernetHeader> {
        let place = self.buffer.layer(Layer::Ethernet, self.link).ok()?;
        EthernetHeader::mut_from_bytes(self.buffer.octets.get_mut(place)?).ok()
    }

    /// The fixed part of the IPv4 header. Its lengths are best left alone.
    pub fn ipv4_mut(&mut self) -> Option<&mut Ipv4Header> {
        self.buffer.packet?.ipv4_mut(&mut self.buffer.octets)
    }

    /// The fixed IPv6 header. Its lengths are best left alone.
    pub fn ipv6_mut(&mut self) -> Option<&mut Ipv6Header> {
        self.buffer.packet?.ipv6_mut(&mut self.buffer.octets)
    }

    /// The TCP header without its options. The data offset is best left alone.
    pub fn tcp_mut(&mut self) -> Option<&mut TcpHeader> {
        self.buffer.tcp_mut()
    }
}

/// Whether a longer IP packet needs no other header changed before it.
pub(crate) fn is_plain(frame: &Frame<'_>, packet: &Packet) -> bool {
    let kind = packet.ip.checked_sub(2).and_then(|at| frame.data.get(at..packet.ip));
    let kinds = [ethertype::IPV4.to_be_bytes(), ethertype::IPV6.to_be_bytes()];
    // Before SNAP stands the length of what follows (IEEE 802.3).
    let before = frame.data.get(..packet.ip.saturating_sub(2)).unwrap_or_default();
    packet.depth <= 1
        && !before.ends_with(&SNAP)
        && (packet.ip == 0 || kind.is_some_and(|kind| kinds.iter().any(|k| k == kind)))
}
