//! Ways that a frame takes: in a VLAN, through a tunnel, in fragments, in fragments of fragments.

use crate::testing::fragments;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::ethertype;
use std::vec;
use std::vec::Vec;

/// The frames that carry `frame`; `way` decides. `number` is that of the frame.
pub(super) fn carry(way: u8, number: u32, frame: Vec<u8>) -> Vec<Vec<u8>> {
    // Two datagrams meet under one identification sometimes.
    let id = number % 8;
    let size = 8 << (way >> 3 & 3);
    let mut frames = match way % 8 {
        0..=3 => return vec![frame],
        4 => vec![frame],
        5 => vec![in_ipv4(frame)],
        6 => cut(frame, size, id),
        _ => {
            let inner = cut(frame, size, id).into_iter().map(in_ipv4);
            inner.zip(0..).flat_map(|(packet, n)| cut(packet, size, id + 8 * n)).collect()
        }
    };
    if way & 32 != 0 {
        frames.reverse();
    }
    if way & 64 != 0 && frames.len() > 1 {
        frames.remove(number as usize % frames.len());
    }
    if way & 128 != 0 || way % 8 == 4 {
        frames = frames.into_iter().map(|frame| in_vlan(&frame, 5 + (number & 1) as u8)).collect();
    }
    frames
}

/// Whether a frame is one of IPv4 without options, or of IPv6: damaged ones are left as they are.
fn headers(frame: &[u8]) -> Option<usize> {
    let (kind, version) = (frame.get(12..14)?, *frame.get(14)?);
    let len = match version {
        0x45 if *kind == ethertype::IPV4.to_be_bytes() => 34,
        0x60 if *kind == ethertype::IPV6.to_be_bytes() => 54,
        _ => return None,
    };
    (frame.len() >= len).then_some(len)
}

fn cut(frame: Vec<u8>, size: usize, id: u32) -> Vec<Vec<u8>> {
    let at_most_forty = frame.len().div_ceil(40 * 8) * 8;
    if headers(&frame).is_none() { vec![frame] } else { fragments(&frame, size.max(at_most_forty), id) }
}

fn in_vlan(frame: &[u8], id: u8) -> Vec<u8> {
    let (stations, rest) = frame.split_at(frame.len().min(12));
    [stations, &ethertype::VLAN.to_be_bytes(), &[0, id], rest].concat()
}

/// IP in IPv4 (RFC 2003), between the ends of a tunnel.
fn in_ipv4(frame: Vec<u8>) -> Vec<u8> {
    let Some(len) = headers(&frame) else { return frame };
    let (link, packet) = frame.split_at(14);
    let protocol = if len == 34 { 4 } else { 41 };
    let [high, low] = (20 + packet.len() as u16).to_be_bytes();
    let mut header = [0x45, 0, high, low, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2];
    let sum = !Sum::default().bytes(&header).fold();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&link[..12], &ethertype::IPV4.to_be_bytes(), &header, packet].concat()
}
