//! Packets made after the pattern of any packet: the walk finds them where it found that.

use crate::inject::{Encapsulation, InjectError, Outgoing, Split, emit};
use crate::wire::{Family, LinkType, Packet, Walker, verify};
use std::vec;
use std::vec::Vec;
use tcp_reasm::{Flags, Segment};

/// Room for all headers.
const HEADERS: usize = 100;
/// Octets of payload in the parts of a packet.
const MOST: usize = 7;

/// Packets before which the headers of `frame` stand, and the packet itself in parts.
pub(super) fn check(walker: &Walker, link: LinkType, frame: &[u8], packet: &Packet) {
    for reversed in [false, true] {
        let Ok(around) = Encapsulation::of(frame, packet, link, reversed) else { continue };
        let mut out = vec![0xee; frame.len() + HEADERS];
        match emit(&segment(packet.family), &around, &mut out) {
            Ok((len, by)) => {
                let read = stands_at(walker, by, &out[..len], packet);
                assert_eq!(read.payload, b"payload");
            }
            Err(error) => assert!(matches!(error, InjectError::Link | InjectError::TooLong), "{error}"),
        }
    }
    let Ok(whole) = Segment::parse(packet.segment_bytes(frame), packet.segment_len) else { return };
    let Some(header) = packet.tcp(frame) else { return };
    let headers = packet.transport + header.header_len();
    if let Ok(split) = Split::new(&frame[..headers], whole.payload, packet, link, MOST) {
        parts(walker, link, packet, &whole, split);
    }
}

fn segment(family: Family) -> Outgoing<'static> {
    let ends = match family {
        Family::V4 => ["192.0.2.1:1000", "192.0.2.2:80"],
        Family::V6 => ["[2001:db8::1]:1000", "[2001:db8::2]:80"],
    };
    let [source, destination] = ends.map(|end| end.parse().expect("an address"));
    Outgoing {
        source,
        destination,
        seq: ringbuf_core::SeqNum(1),
        ack: None,
        flags: Flags::RST,
        window: 0,
        options: &[],
        payload: b"payload",
    }
}

fn stands_at<'a>(walker: &Walker, link: LinkType, frame: &'a [u8], like: &Packet) -> Segment<'a> {
    let packet = walker.walk(link, frame).expect("it is walked as the other");
    assert_eq!((packet.ip, packet.network, packet.end), (like.ip, like.network, frame.len()));
    assert_eq!(verify(frame, &packet), Ok(()));
    Segment::parse(packet.segment_bytes(frame), packet.segment_len).expect("its header is whole")
}

fn parts(walker: &Walker, link: LinkType, packet: &Packet, whole: &Segment<'_>, mut split: Split<'_>) {
    let mut out = vec![0xee; packet.end + MOST];
    let mut stream = Vec::new();
    loop {
        match split.emit(&mut out) {
            Ok(Some(len)) => {
                let part = stands_at(walker, link, &out[..len], packet);
                assert_eq!(part.data_seq(), whole.data_seq() + stream.len() as u32);
                assert_eq!((part.ack, part.options), (whole.ack, whole.options));
                stream.extend_from_slice(part.payload);
            }
            Ok(None) => return assert_eq!(stream, whole.payload),
            Err(error) => return assert_eq!(error, InjectError::Link),
        }
    }
}
