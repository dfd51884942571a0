//! A segment that has become too long, as several.

use super::{InjectError, Places};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::{Family, LinkType, Packet};
use tcp_reasm::Flags;
use tcp_reasm::header::TcpHeader;
use zerocopy::FromBytes;

/// What belongs to the last octet of a segment.
const LAST: Flags = Flags(Flags::FIN.0 | Flags::PSH.0 | Flags::RST.0);
const DF: u16 = 0x4000;

/// Cuts a TCP packet into frames of a limited payload, each with all headers of the packet.
#[derive(Clone, Debug)]
pub struct Split<'a> {
    headers: &'a [u8],
    payload: &'a [u8],
    places: Places,
    most: usize,
    /// Octets of payload that are done.
    done: usize,
    /// Frames that are done.
    frames: u16,
}

impl<'a> Split<'a> {
    /// `headers` are those of `packet` from the beginning of its frame to its payload, TCP options included; `payload` is
    /// what it is to carry, at most `most` octets in one frame. At least one frame comes out.
    ///
    /// # Errors
    /// [`InjectError::Tunnel`] when the packet lies in one.
    pub fn new(
        headers: &'a [u8],
        payload: &'a [u8],
        packet: &Packet,
        link: LinkType,
        most: usize,
    ) -> Result<Self, InjectError> {
        if packet.depth > 1 {
            return Err(InjectError::Tunnel);
        }
        let places = Places { link, family: packet.family, ip: packet.ip, transport: packet.transport };
        Ok(Split { headers, payload, places, most: most.max(1), done: 0, frames: 0 })
    }

    /// Writes the next frame into `out`; returns its length, `None` when there is no more.
    ///
    /// # Errors
    /// [`InjectError`]; there is nothing more to come.
    pub fn emit(&mut self, out: &mut [u8]) -> Result<Option<usize>, InjectError> {
        if self.frames > 0 && self.done >= self.payload.len() {
            return Ok(None);
        }
        let (from, until) = (self.done, self.payload.len().min(self.done + self.most));
        let payload = self.payload.get(from..until).unwrap_or_default();
        let number = self.frames;
        (self.done, self.frames) = (self.payload.len(), number.saturating_add(1));
        let len = self.headers.len() + payload.len();
        let frame = out.get_mut(..len).ok_or(InjectError::NoRoom)?;
        let (headers, rest) = frame.split_at_mut_checked(self.headers.len()).ok_or(InjectError::NoRoom)?;
        headers.copy_from_slice(self.headers);
        rest.copy_from_slice(payload);
        self.number(headers, number).ok_or(InjectError::NoRoom)?;
        let tcp = headers.get_mut(self.places.transport..).unwrap_or_default();
        self.place(tcp, from, until).ok_or(InjectError::NoRoom)?;
        self.places.seal(frame)?;
        self.done = until;
        Ok(Some(len))
    }

    /// Packets that may be fragmented must not have the same identification (RFC 6864, 4.2).
    fn number(&self, headers: &mut [u8], number: u16) -> Option<()> {
        if self.places.family == Family::V4 {
            let (ip, _) = Ipv4Header::mut_from_prefix(headers.get_mut(self.places.ip..)?).ok()?;
            if ip.flags_offset.get() & DF == 0 {
                ip.id = ip.id.get().wrapping_add(number).into();
            }
        }
        Some(())
    }

    /// Makes the TCP header that of the payload `from..until`. ECN bits stay as they are: they may be a counter (RFC
    /// 9768).
    fn place(&self, tcp: &mut [u8], from: usize, until: usize) -> Option<()> {
        let (header, _) = TcpHeader::mut_from_prefix(tcp).ok()?;
        let mut flags = header.offset_flags.get();
        if until < self.payload.len() {
            flags &= !LAST.0;
        }
        // In sequence numbers, where the SYN comes before the payload.
        let syn = u32::from(from > 0 && header.flags().has(Flags::SYN));
        let ahead = u32::try_from(from).ok()?.checked_add(syn)?;
        if from > 0 {
            flags &= !Flags::SYN.0;
        }
        if header.flags().has(Flags::URG) {
            // The pointer counts from the segment's own number, and may point beyond the segment.
            let urgent =
                u32::from(header.urgent.get()).checked_sub(ahead).filter(|left| *left > 0 || ahead == 0);
            header.urgent = u16::try_from(urgent.unwrap_or(0)).ok()?.into();
            flags = if urgent.is_some() { flags } else { flags & !Flags::URG.0 };
        }
        header.seq = header.seq.get().wrapping_add(ahead).into();
        header.offset_flags = flags.into();
        Some(())
    }
}

#[cfg(test)]
mod tests;
