//! What is in a block: frames, each behind a header of the kernel's, and what network cards would have done to them put right.
//!
//! Nothing is believed of what the headers say: every place is looked up within the block, and reading only goes forward.

use super::socket::VNET;
use super::split::Split;
use mos_flow::engine::BURST;
use mos_flow::wire::checksum::Sum;
use mos_flow::wire::ethernet::ethertype;
use std::mem::offset_of;
use std::ops::Range;

const HEADER: usize = size_of::<libc::tpacket3_hdr>();
/// Octets of an Ethernet header's addresses; a tag follows them.
const ADDRESSES: usize = 12;
const TAG: usize = 4;
/// Where in a UDP header its checksum is. No other protocol has it there.
const UDP_CHECKSUM: usize = 6;

/// Where frames begin in a block that this process writes, and where behind its header one begins: as the kernel has it.
pub(super) const FIRST: usize = 48;
pub(super) const MAC: usize = 92;

/// Of a frame to deliver, where its octets are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Block(Range<usize>),
    Scratch(Range<usize>),
}

/// A frame to deliver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) place: Place,
    pub(super) wire_len: u32,
}

/// How far a block is read.
#[derive(Debug)]
pub(super) struct Reader {
    /// Where the next header is.
    at: usize,
    left: u32,
    /// A frame that is being split, and where it is.
    split: Option<(Range<usize>, Split)>,
}

impl Reader {
    const COUNT: usize =
        offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, num_pkts);
    const START: usize =
        offset_of!(libc::tpacket_block_desc, hdr) + offset_of!(libc::tpacket_hdr_v1, offset_to_first_pkt);

    pub(super) fn new(block: &[u8]) -> Reader {
        let word = |at| u32_at(block, at).unwrap_or(0);
        Reader { at: word(Self::START) as usize, left: word(Self::COUNT), split: None }
    }

    /// Writes how many frames there are in a block of this process's.
    pub(super) fn announce(block: &mut [u8], count: u32) -> Option<()> {
        for (at, word) in [(Self::COUNT, count), (Self::START, FIRST as u32)] {
            *block.get_mut(at..)?.first_chunk_mut()? = word.to_ne_bytes();
        }
        Some(())
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0 && self.split.is_none()
    }

    /// Adds frames as long as there are any, and room for them. Those that the kernel has not built of several stay where
    /// they are.
    pub(super) fn fill(
        &mut self,
        block: &mut [u8],
        scratch: &mut [u8],
        pieces: &mut heapless::Vec<Piece, BURST>,
    ) {
        let mut used = 0;
        while !pieces.is_full() {
            if self.split.is_some() {
                match self.next_part(block, scratch.get_mut(used..).unwrap_or_default()) {
                    Some(len) => {
                        let place = Place::Scratch(used..used + len);
                        let _ = pieces.push(Piece { place, wire_len: len as u32 }); // it is not full
                        used += len;
                    }
                    None if used > 0 => return, // there is room when those before it were delivered
                    None => self.split = None,
                }
            } else {
                let Some(captured) = self.next(block) else { return };
                if let Some(piece) = self.take(captured, block) {
                    let _ = pieces.push(piece); // it is not full
                }
            }
        }
    }

    /// Writes the next part of the frame that is being split.
    fn next_part(&mut self, block: &[u8], room: &mut [u8]) -> Option<usize> {
        let (place, split) = self.split.as_mut()?;
        let frame = block.get(place.clone())?;
        let len = split.write_next(frame, room)?;
        if split.is_done(frame) {
            self.split = None;
        }
        Some(len)
    }

    /// Puts a frame right, or leaves it to be split.
    fn take(&mut self, captured: Captured, block: &mut [u8]) -> Option<Piece> {
        let (place, offload) = captured.with_tag(block);
        let frame = block.get_mut(place.clone())?;
        let missing = captured.wire_len.saturating_sub(captured.len as u32);
        if missing == 0 {
            if let Some(split) = Split::of(frame, offload) {
                self.split = Some((place, split));
                return None;
            }
            let _ = offload.finish_checksum(frame); // where it says nothing sensible the frame is as it came
        }
        let wire_len = (frame.len() as u32).saturating_add(missing);
        Some(Piece { place: Place::Block(place), wire_len })
    }

    /// The next frame as the kernel has left it; `None` behind the last one.
    fn next(&mut self, block: &[u8]) -> Option<Captured> {
        self.left = self.left.checked_sub(1)?;
        let header = self.at;
        let captured = Captured::parse(block, header);
        let next = u32_at(block, header + field::NEXT).unwrap_or(0) as usize;
        if captured.is_none() || next < HEADER {
            self.left = 0;
        }
        self.at = header.saturating_add(next);
        captured
    }
}

/// Where in a frame's header its fields are.
mod field {
    use libc::{tpacket_hdr_variant1, tpacket3_hdr};
    use std::mem::offset_of;

    pub(super) const NEXT: usize = offset_of!(tpacket3_hdr, tp_next_offset);
    pub(super) const LEN: usize = offset_of!(tpacket3_hdr, tp_snaplen);
    pub(super) const WIRE_LEN: usize = offset_of!(tpacket3_hdr, tp_len);
    pub(super) const STATUS: usize = offset_of!(tpacket3_hdr, tp_status);
    pub(super) const MAC: usize = offset_of!(tpacket3_hdr, tp_mac);
    pub(super) const TCI: usize =
        offset_of!(tpacket3_hdr, hv1) + offset_of!(tpacket_hdr_variant1, tp_vlan_tci);
    pub(super) const TPID: usize =
        offset_of!(tpacket3_hdr, hv1) + offset_of!(tpacket_hdr_variant1, tp_vlan_tpid);
}

/// A frame's header in a block of this process's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) len: u32,
    pub(super) wire_len: u32,
    pub(super) status: u32,
    pub(super) tci: u32,
    pub(super) tpid: u16,
    /// From this header to the next.
    pub(super) next: u32,
}

impl Header {
    /// `None` when it is not within the block.
    pub(super) fn write(self, block: &mut [u8], at: usize) -> Option<()> {
        let header = block.get_mut(at..)?.first_chunk_mut::<HEADER>()?;
        let words = [
            (field::NEXT, self.next),
            (field::LEN, self.len),
            (field::WIRE_LEN, self.wire_len),
            (field::STATUS, self.status),
            (field::TCI, self.tci),
        ];
        for (at, word) in words {
            *header.get_mut(at..)?.first_chunk_mut()? = word.to_ne_bytes();
        }
        for (at, half) in [(field::MAC, MAC as u16), (field::TPID, self.tpid)] {
            *header.get_mut(at..)?.first_chunk_mut()? = half.to_ne_bytes();
        }
        Some(())
    }
}

/// A frame as the kernel has left it.
#[derive(Clone, Copy, Debug)]
struct Captured {
    start: usize,
    len: usize,
    wire_len: u32,
    /// A VLAN tag that was taken out.
    tag: Option<[u8; TAG]>,
    offload: Offload,
}

impl Captured {
    fn parse(block: &[u8], header: usize) -> Option<Captured> {
        let octets = block.get(header..)?;
        let word = |at| u32_at(octets, at);
        let half = |at| u16_at(octets, at);
        let mac = usize::from(half(field::MAC)?);
        let len = word(field::LEN)? as usize;
        octets.get(mac..)?.get(..len)?;
        let status = word(field::STATUS)?;
        let tci = word(field::TCI)?;
        let tpid = half(field::TPID)?;
        let tpid = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { tpid } else { ethertype::VLAN };
        let tag = (status & libc::TP_STATUS_VLAN_VALID != 0).then(|| {
            let ([a, b], [c, d]) = (tpid.to_be_bytes(), (tci as u16).to_be_bytes());
            [a, b, c, d]
        });
        let offload = mac.checked_sub(VNET).filter(|at| *at >= HEADER).and_then(|at| octets.get(at..mac));
        Some(Captured {
            start: header + mac,
            len,
            wire_len: word(field::WIRE_LEN)?,
            tag,
            offload: offload.and_then(Offload::parse).unwrap_or_default(),
        })
    }

    /// Puts the tag back into its place, for which the addresses move over what the kernel wrote before the frame. Returns
    /// where the frame is then, and what is still to do.
    fn with_tag(&self, block: &mut [u8]) -> (Range<usize>, Offload) {
        let end = self.start + self.len;
        let tagged = self.tag.filter(|_| self.len >= ADDRESSES).and_then(|tag| {
            let start = self.start.checked_sub(TAG)?;
            block.copy_within(self.start..self.start + ADDRESSES, start);
            block.get_mut(start + ADDRESSES..)?.first_chunk_mut::<TAG>().map(|place| *place = tag)?;
            let offload =
                Offload { sum_start: self.offload.sum_start.saturating_add(TAG as u16), ..self.offload };
            Some((start..end, offload))
        });
        tagged.unwrap_or((self.start..end, self.offload))
    }
}

/// What the sending host has left to its network card, which there is none of (`struct virtio_net_hdr`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offload {
    /// Whether the checksum is to be made.
    pub(super) needs_sum: bool,
    /// What kind of frame is to be split, 0 for none.
    pub(super) kind: u8,
    /// Octets of payload in each part but the last.
    pub(super) size: u16,
    /// Where the octets begin that the checksum covers, which are all from there on.
    pub(super) sum_start: u16,
    /// Where from there the checksum is. Now it is that of the pseudo header, not complemented.
    pub(super) sum_offset: u16,
}

impl Offload {
    /// `VIRTIO_NET_HDR_F_NEEDS_CSUM`
    const NEEDS_SUM: u8 = 1;
    /// `VIRTIO_NET_HDR_GSO_ECN`: an addition to the kind. What it asks for is done anyway.
    const ECN: u8 = 0x80;

    fn parse(header: &[u8]) -> Option<Offload> {
        let [flags, kind, ..] = *header else { return None };
        Some(Offload {
            needs_sum: flags & Self::NEEDS_SUM != 0,
            kind: kind & !Self::ECN,
            size: u16_at(header, 4)?,
            sum_start: u16_at(header, 6)?,
            sum_offset: u16_at(header, 8)?,
        })
    }

    /// Makes the checksum of a whole frame if that was left out.
    pub(super) fn finish_checksum(self, frame: &mut [u8]) -> Option<()> {
        if !self.needs_sum {
            return None;
        }
        let summed = frame.get_mut(self.sum_start.into()..)?;
        let sum = match !Sum::default().bytes(summed).fold() {
            // Of UDP a checksum of 0 is none (RFC 768).
            0 if usize::from(self.sum_offset) == UDP_CHECKSUM => 0xffff,
            sum => sum,
        };
        *summed.get_mut(self.sum_offset.into()..)?.first_chunk_mut::<2>()? = sum.to_be_bytes();
        Some(())
    }
}

/// A number as this machine writes it.
fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|octets| u32::from_ne_bytes(*octets))
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|octets| u16::from_ne_bytes(*octets))
}

#[cfg(test)]
mod tests;
