//! Synthetic traffic: frames of scripted TCP exchanges, with right lengths and checksums, and of many connections
//! ([`traffic`]). For tests and benches.

pub mod traffic;

use crate::wire::checksum::Sum;
use crate::wire::ethernet::{EthernetHeader, ethertype};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::ipv6::Ipv6Header;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use tcp_reasm::header::TcpHeader;
use tcp_reasm::{Flags, Side, Sides};
use zerocopy::IntoBytes;

/// One TCP connection as a writer of frames: it keeps the sequence numbers of both sides.
#[derive(Clone, Debug)]
pub struct Exchange {
    addresses: Sides<SocketAddr>,
    /// Next sequence number of each side.
    next: Sides<u32>,
    /// What both advertise.
    window: u16,
}

impl Exchange {
    /// A connection between two addresses of the same family. `isn` are the first sequence numbers.
    pub fn new(client: SocketAddr, server: SocketAddr, isn: Sides<u32>) -> Self {
        Exchange { addresses: Sides { client, server }, next: isn, window: u16::MAX }
    }

    /// The next sequence number of `side`.
    pub fn seq(&self, side: Side) -> u32 {
        self.next[side]
    }

    /// The three segments of the handshake.
    pub fn handshake(&mut self) -> [Vec<u8>; 3] {
        [
            self.segment(Side::Client, Flags::SYN, &[]),
            self.segment(Side::Server, Flags::SYN | Flags::ACK, &[]),
            self.segment(Side::Client, Flags::ACK, &[]),
        ]
    }

    /// Payload from `side`, with an ACK for everything of the other.
    pub fn data(&mut self, side: Side, payload: &[u8]) -> Vec<u8> {
        self.segment(side, Flags::ACK | Flags::PSH, payload)
    }

    /// A pure ACK from `side`.
    pub fn ack(&mut self, side: Side) -> Vec<u8> {
        self.segment(side, Flags::ACK, &[])
    }

    /// A pure ACK from `side` that advertises a window of `octets`.
    pub fn ack_with_window(&mut self, side: Side, octets: u16) -> Vec<u8> {
        let before = core::mem::replace(&mut self.window, octets);
        let frame = self.ack(side);
        self.window = before;
        frame
    }

    /// Both FINs and the ACKs for them, `first` side first.
    pub fn close(&mut self, first: Side) -> [Vec<u8>; 3] {
        [
            self.segment(first, Flags::FIN | Flags::ACK, &[]),
            self.segment(!first, Flags::FIN | Flags::ACK, &[]),
            self.segment(first, Flags::ACK, &[]),
        ]
    }

    /// The next segment of `side` in order.
    pub fn segment(&mut self, side: Side, flags: Flags, payload: &[u8]) -> Vec<u8> {
        let frame = self.segment_at(side, self.next[side], self.next[!side], flags, payload);
        let occupied =
            payload.len() as u32 + u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
        self.next[side] = self.next[side].wrapping_add(occupied);
        frame
    }

    /// A segment of `side` with any numbers; the exchange does not move.
    pub fn segment_at(&self, side: Side, seq: u32, ack: u32, flags: Flags, payload: &[u8]) -> Vec<u8> {
        self.frame(side, [seq, ack], flags, &[], payload)
    }

    /// A bare ACK of `side` for what is below `ack`, and selectively for what lies from `left` to `right` (RFC 2018).
    pub fn selective_ack(&self, side: Side, ack: u32, [left, right]: [u32; 2]) -> Vec<u8> {
        const HEAD: [u8; 4] = [1, 1, 5, 10];
        let options = [HEAD, left.to_be_bytes(), right.to_be_bytes()].concat();
        self.frame(side, [self.next[side], ack], Flags::ACK, &options, &[])
    }

    /// `options` are whole words.
    fn frame(
        &self,
        side: Side,
        [seq, ack]: [u32; 2],
        flags: Flags,
        options: &[u8],
        payload: &[u8],
    ) -> Vec<u8> {
        let ack = if flags.has(Flags::ACK) { ack } else { 0 };
        let header_len = size_of::<TcpHeader>() + options.len();
        let (src, dst) = (self.addresses[side], self.addresses[!side]);
        let mut tcp = TcpHeader {
            src_port: src.port().into(),
            dst_port: dst.port().into(),
            seq: seq.into(),
            ack: ack.into(),
            offset_flags: ((header_len as u16 / 4) << 12 | flags.0).into(),
            window: self.window.into(),
            checksum: 0.into(),
            urgent: 0.into(),
        };
        let mut frame = ip_frame(src.ip(), dst.ip(), header_len + payload.len());
        let sum = pseudo_header(src.ip(), dst.ip()).word((header_len + payload.len()) as u16);
        tcp.checksum = (!sum.bytes(tcp.as_bytes()).bytes(options).bytes(payload).fold()).into();
        frame.extend_from_slice(tcp.as_bytes());
        frame.extend_from_slice(options);
        frame.extend_from_slice(payload);
        frame
    }
}

/// An Ethernet frame of IPv4 or IPv6 without extension headers as fragments of `size` octets of payload, a multiple of 8.
///
/// # Panics
/// When it is none.
pub fn fragments(frame: &[u8], size: usize, id: u32) -> Vec<Vec<u8>> {
    let v6 = frame[12..14] == ethertype::IPV6.to_be_bytes();
    let (headers, payload) = frame.split_at(14 + if v6 { 40 } else { 20 });
    let count = payload.chunks(size).len();
    let part = |(n, chunk): (usize, &[u8])| {
        let (offset, more) = ((n * size) as u16, n + 1 < count);
        let mut out = headers.to_vec();
        if v6 {
            let next = core::mem::replace(&mut out[20], 44);
            out[18..20].copy_from_slice(&(8 + chunk.len() as u16).to_be_bytes());
            out.extend([next, 0]);
            out.extend((offset | u16::from(more)).to_be_bytes());
            out.extend(id.to_be_bytes());
        } else {
            out[16..18].copy_from_slice(&(20 + chunk.len() as u16).to_be_bytes());
            out[18..20].copy_from_slice(&(id as u16).to_be_bytes());
            out[20..22].copy_from_slice(&((offset / 8) | (u16::from(more) << 13)).to_be_bytes());
            out[24..26].fill(0);
            let sum = !Sum::default().bytes(&out[14..34]).fold();
            out[24..26].copy_from_slice(&sum.to_be_bytes());
        }
        out.extend_from_slice(chunk);
        out
    };
    payload.chunks(size).enumerate().map(part).collect()
}

fn pseudo_header(src: IpAddr, dst: IpAddr) -> Sum {
    let sum = Sum::default().word(6);
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => sum.bytes(&s.octets()).bytes(&d.octets()),
        (IpAddr::V6(s), IpAddr::V6(d)) => sum.bytes(&s.octets()).bytes(&d.octets()),
        _ => sum,
    }
}

/// Ethernet and IP headers before a TCP segment of `len` octets.
///
/// # Panics
/// When the addresses are of different families.
#[allow(clippy::panic)]
fn ip_frame(src: IpAddr, dst: IpAddr, len: usize) -> Vec<u8> {
    let mut frame = Vec::with_capacity(54 + len);
    let kind = if src.is_ipv4() { ethertype::IPV4 } else { ethertype::IPV6 };
    let ethernet =
        EthernetHeader { dst: [2, 0, 0, 0, 0, 2], src: [2, 0, 0, 0, 0, 1], ethertype: kind.into() };
    frame.extend_from_slice(ethernet.as_bytes());
    match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            let mut ip = Ipv4Header {
                version_ihl: 0x45,
                tos: 0,
                total_len: ((size_of::<Ipv4Header>() + len) as u16).into(),
                id: 0.into(),
                flags_offset: 0x4000.into(),
                ttl: 64,
                protocol: 6,
                checksum: 0.into(),
                src: s.octets(),
                dst: d.octets(),
            };
            ip.checksum = (!Sum::default().bytes(ip.as_bytes()).fold()).into();
            frame.extend_from_slice(ip.as_bytes());
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            let ip = Ipv6Header {
                version_class_flow: (6 << 28).into(),
                payload_len: (len as u16).into(),
                next_header: 6,
                hop_limit: 64,
                src: s.octets(),
                dst: d.octets(),
            };
            frame.extend_from_slice(ip.as_bytes());
        }
        _ => panic!("addresses of different families"),
    }
    frame
}
