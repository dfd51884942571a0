//! Frames from octets: IPv4 with and without options, IPv6, what lies over them, cut and padded.

use super::random::{MACS, PORTS, PROTOCOLS, Source, V4, V6};
use std::vec::Vec;

/// What is before the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Ethernet,
    /// Ethernet with one or two VLAN tags.
    Tagged,
    None,
}

/// A frame that the walker takes, and its length on the wire.
pub fn frame(source: &mut Source<'_>, link: Link) -> (Vec<u8>, u32) {
    let v6 = source.is(35);
    let mut frame = Vec::new();
    if link != Link::None {
        frame.extend(source.pick(MACS));
        frame.extend(source.pick(MACS));
        let tags = if link == Link::Tagged { 1 + source.below(2) } else { 0 };
        for _ in 0..tags {
            frame.extend([0x81, 0, source.octet() & 0xf0, source.pick(&[42, 43])]);
        }
        frame.extend(if v6 { [0x86, 0xdd] } else { [8, 0] });
    }
    let body = body(source);
    let protocol = source.pick(PROTOCOLS);
    if v6 {
        ipv6(source, &mut frame, protocol, body.len());
    } else {
        ipv4(source, &mut frame, protocol, body.len());
    }
    let headers = frame.len();
    frame.extend(body);
    if source.is(25) {
        frame.extend((0..source.octet() % 20).rev()); // padding
    }
    let wire_len = frame.len() as u32;
    if source.is(25) {
        frame.truncate(headers.max(source.octet().into()));
    }
    (frame, wire_len)
}

fn body(source: &mut Source<'_>) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(source.pick(PORTS).to_be_bytes());
    body.extend(source.pick(PORTS).to_be_bytes());
    let len = if source.is(20) { source.below(8) } else { 8 + source.below(90) };
    body.resize_with(len.max(1), || source.octet());
    body
}

fn ipv4(source: &mut Source<'_>, frame: &mut Vec<u8>, protocol: u8, body: usize) {
    let options = if source.is(25) { source.below(11) } else { 0 };
    let len = 20 + 4 * options + body;
    frame.extend([0x45 + options as u8, source.octet()]);
    frame.extend((len as u16).to_be_bytes());
    frame.extend([source.octet(), source.octet(), source.pick(&[0, 0x40]), 0]);
    frame.extend([source.octet(), protocol, source.octet(), source.octet()]);
    frame.extend(source.pick(V4).to_be_bytes());
    frame.extend(source.pick(V4).to_be_bytes());
    frame.extend((0..4 * options).map(|_| source.octet()));
}

fn ipv6(source: &mut Source<'_>, frame: &mut Vec<u8>, protocol: u8, body: usize) {
    frame.extend([0x60, source.octet(), source.octet(), source.octet()]);
    frame.extend((body as u16).to_be_bytes());
    frame.extend([protocol, source.octet()]);
    frame.extend(source.pick(V6).to_be_bytes());
    frame.extend(source.pick(V6).to_be_bytes());
}
