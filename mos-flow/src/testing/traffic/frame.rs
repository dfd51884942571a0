//! A segment as its host describes it, and the frame of it.

use super::truth::Truth;
use crate::testing::pseudo_header;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EthernetHeader, ethertype};
use crate::wire::ipv4::Ipv4Header;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use ringbuf_core::Range;
use tcp_reasm::header::TcpHeader;
use tcp_reasm::options::Timestamps;
use tcp_reasm::{Flags, Side};
use zerocopy::{Immutable, IntoBytes, Unaligned};

const HEADERS: usize = size_of::<Headers>();
/// Octets of the shortest frame: 64 on the wire, with the four of the check sequence.
const MIN_FRAME: usize = 60;
/// What a host reads at once: it takes octets out of its buffer when it has so many.
const READ: u64 = 16 << 10;
/// The shift of windows in [`Options::Open`].
const SCALE: u8 = 7;

/// A segment before it is a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) flow: u32,
    /// Who sends it.
    pub(super) side: Side,
    pub(super) flags: Flags,
    /// The first octet of it, in the stream that the other side receives.
    pub(super) offset: u64,
    /// Octets of payload.
    pub(super) len: u16,
    /// Octets that its sender has received in order; a FIN counts as one.
    pub(super) ack: u64,
    pub(super) window: u16,
    pub(super) options: Options,
}

/// The options that hosts of this traffic send.
#[derive(Clone, Copy, Debug)]
pub(super) enum Options {
    None,
    /// A SYN whose sender knows nothing else.
    MaxSegmentSize,
    /// A SYN whose sender knows window scale, selective acknowledgements and timestamps.
    Open(Timestamps),
    Timestamps(Timestamps),
    /// And what was received behind a hole; empty ranges are none.
    Sack(Timestamps, [Range; 3]),
}

/// The window of a host with room for `buffer` octets that has received so many.
pub(super) fn window(buffer: u32, received: u64) -> u32 {
    buffer - (received % READ) as u32
}

/// The same as it is sent by hosts that scale it.
pub(super) fn scaled_window(buffer: u32, received: u64) -> u16 {
    (window(buffer, received) >> SCALE) as u16
}

#[derive(Clone, Copy, Debug, IntoBytes, Immutable, Unaligned)]
#[repr(C)]
struct Headers {
    ethernet: EthernetHeader,
    ip: Ipv4Header,
    tcp: TcpHeader,
}

impl Segment {
    /// Makes `frame` the frame of it.
    pub(super) fn write(&self, truth: &Truth, frame: &mut Vec<u8>) {
        frame.clear();
        frame.resize(HEADERS, 0);
        self.options.write(truth, self, frame);
        let payload = frame.len();
        frame.resize(payload + usize::from(self.len), 0);
        truth.fill(self.flow, !self.side, self.offset, frame.get_mut(payload..).unwrap_or_default());
        let headers = self.headers(truth, frame.get(HEADERS..).unwrap_or_default(), payload - HEADERS);
        if let Some(place) = frame.first_chunk_mut::<HEADERS>() {
            place.copy_from_slice(headers.as_bytes());
        }
        frame.resize(frame.len().max(MIN_FRAME), 0);
    }

    /// The headers in front of `rest`, of which the first octets are options.
    fn headers(&self, truth: &Truth, rest: &[u8], options: usize) -> Headers {
        let addresses = truth.addresses(self.flow);
        let (src, dst) = (addresses[self.side], addresses[!self.side]);
        let segment_len = (size_of::<TcpHeader>() + rest.len()) as u16;
        let words = ((size_of::<TcpHeader>() + options) / 4) as u16;
        let mut tcp = TcpHeader {
            src_port: src.port().into(),
            dst_port: dst.port().into(),
            seq: self.seq(truth).into(),
            ack: self.acked(truth).into(),
            offset_flags: (words << 12 | self.flags.0).into(),
            window: self.window.into(),
            checksum: 0.into(),
            urgent: 0.into(),
        };
        let sum = pseudo_header(src.ip(), dst.ip()).word(segment_len).bytes(tcp.as_bytes()).bytes(rest);
        tcp.checksum = (!sum.fold()).into();
        Headers { ethernet: ethernet(self.side), ip: ipv4(src, dst, segment_len), tcp }
    }

    fn seq(&self, truth: &Truth) -> u32 {
        let seq = truth.seq(self.flow, self.side, self.offset);
        seq.wrapping_sub(self.flags.has(Flags::SYN).into())
    }

    fn acked(&self, truth: &Truth) -> u32 {
        if self.flags.has(Flags::ACK) { truth.seq(self.flow, !self.side, self.ack) } else { 0 }
    }
}

fn ethernet(sender: Side) -> EthernetHeader {
    let address = |side| [2, 0, 0, 0, 0, 1 + side as u8];
    EthernetHeader { dst: address(!sender), src: address(sender), ethertype: ethertype::IPV4.into() }
}

fn ipv4(src: SocketAddr, dst: SocketAddr, len: u16) -> Ipv4Header {
    let octets = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => [0; 4],
    };
    let mut ip = Ipv4Header {
        version_ihl: 0x45,
        tos: 0,
        total_len: (size_of::<Ipv4Header>() as u16 + len).into(),
        id: 0.into(),
        flags_offset: 0x4000.into(),
        ttl: 64,
        protocol: 6,
        checksum: 0.into(),
        src: octets(src),
        dst: octets(dst),
    };
    ip.checksum = (!Sum::default().bytes(ip.as_bytes()).fold()).into();
    ip
}

impl Options {
    /// Behind what is in `frame`, in whole words.
    fn write(&self, truth: &Truth, segment: &Segment, frame: &mut Vec<u8>) {
        const MSS: [u8; 4] = [2, 4, 1460_u16.to_be_bytes()[0], 1460_u16.to_be_bytes()[1]];
        const NOP: u8 = 1;
        match self {
            Options::None => {}
            Options::MaxSegmentSize => frame.extend(MSS),
            Options::Open(stamps) => {
                frame.extend(MSS);
                frame.extend([4, 2]); // SACK permitted
                write_stamps(stamps, frame);
                frame.extend([NOP, 3, 3, SCALE]);
            }
            Options::Timestamps(stamps) => {
                frame.extend([NOP, NOP]);
                write_stamps(stamps, frame);
            }
            Options::Sack(stamps, blocks) => {
                frame.extend([NOP, NOP]);
                write_stamps(stamps, frame);
                let blocks = blocks.iter().filter(|block| !block.is_empty());
                frame.extend([NOP, NOP, 5, 2 + 8 * blocks.clone().count() as u8]);
                for edge in blocks.flat_map(|block| [block.start, block.end]) {
                    frame.extend(truth.seq(segment.flow, !segment.side, edge.0).to_be_bytes());
                }
            }
        }
    }
}

fn write_stamps(stamps: &Timestamps, frame: &mut Vec<u8>) {
    frame.extend([8, 10]);
    frame.extend(stamps.value.to_be_bytes());
    frame.extend(stamps.echo.to_be_bytes());
}
