use super::*;
use crate::key::FlowKey;
use crate::wire::craft::{Back, Way, WhenLonger, Wrap, core4, core6, ethernet, ipv4, kind, label, tag};
use crate::wire::{Packet, Walker, parse};
use std::vec;
use std::vec::Vec;

/// A header of PPP by the protocol's family, with or without the address, with one or two octets.
fn ppp(family: Family, framed: bool, short: bool, payload: &[u8]) -> Vec<u8> {
    let protocol: [u8; 2] = if family == Family::V4 { [0, 0x21] } else { [0, 0x57] };
    let address: &[u8] = if framed { &[0xff, 3] } else { &[] };
    [address, &protocol[usize::from(short)..], payload].concat()
}

fn pppoe(session: u16, payload: &[u8]) -> Vec<u8> {
    let [id, len] = [session, payload.len() as u16].map(u16::to_be_bytes);
    [&[0x11, 0][..], &id, &len, payload].concat()
}

fn llc(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0][..], &kind.to_be_bytes(), payload].concat()
}

fn sll(protocol: u16, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0][..], &protocol.to_be_bytes(), payload].concat()
}

fn sll2(protocol: u16, payload: &[u8]) -> Vec<u8> {
    let rest = [0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    [&protocol.to_be_bytes()[..], &rest, payload].concat()
}

/// A loopback header by family: 2 for IPv4, the number of some system for IPv6.
fn null(number: u8, family: Family, payload: &[u8]) -> Vec<u8> {
    let number = if family == Family::V4 { 2 } else { number };
    [&u32::from(number).to_be_bytes(), payload].concat()
}

fn swapped(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..4].reverse();
    frame
}

const CUT: &[(&str, LinkType, Wrap)] = &[
    ("Ethernet", LinkType::Ethernet, |b, f, p| ethernet(b, kind(f), p)),
    ("raw", LinkType::RawIp, |_, _, p| p.to_vec()),
    ("cooked", LinkType::LinuxSll, |_, f, p| sll(kind(f), p)),
    ("cooked with a tag", LinkType::LinuxSll, |_, f, p| sll(0x8100, &tag(7, kind(f), p))),
    ("cooked LLC", LinkType::LinuxSll, |_, f, p| sll(4, &llc(kind(f), p))),
    ("cooked 2", LinkType::LinuxSll2, |_, f, p| sll2(kind(f), p)),
    ("null, Linux", LinkType::Null, |_, f, p| null(10, f, p)),
    ("null, OpenBSD", LinkType::Null, |_, f, p| swapped(null(24, f, p))),
    ("null, FreeBSD", LinkType::Null, |_, f, p| swapped(null(28, f, p))),
    ("null, macOS", LinkType::Null, |_, f, p| swapped(null(30, f, p))),
    ("loop", LinkType::Loop, |_, f, p| null(24, f, p)),
    ("PPP", LinkType::Ppp, |_, f, p| ppp(f, false, false, p)),
    ("PPP, compressed", LinkType::Ppp, |_, f, p| ppp(f, false, true, p)),
    ("PPP in framing", LinkType::PppSerial, |_, f, p| ppp(f, true, false, p)),
    ("PPP in framing, compressed", LinkType::PppSerial, |_, f, p| ppp(f, true, true, p)),
    ("Cisco's framing", LinkType::PppSerial, |_, f, p| [&[0x0f, 0][..], &kind(f).to_be_bytes(), p].concat()),
    ("MPLS", LinkType::Ethernet, |b, _, p| ethernet(b, 0x8847, &[&label(16, true)[..], p].concat())),
    ("MPLS, upstream", LinkType::Ethernet, |b, _, p| {
        ethernet(b, 0x8848, &[&label(16, false)[..], &label(17, true), p].concat())
    }),
    ("MPLS in PPP", LinkType::Ppp, |_, _, p| [&[2, 0x81][..], &label(16, true), p].concat()),
    ("pseudowire", LinkType::Ethernet, |b, f, p| {
        let inside = [&label(16, true)[..], &[0; 4], &ethernet(b, kind(f), p)].concat();
        ethernet(b, 0x8847, &inside)
    }),
    ("pseudowire, numbered", LinkType::Ethernet, |b, f, p| {
        let inside = [&label(16, true)[..], &[0, 0, 0, 5], &ethernet(b, kind(f), p)].concat();
        ethernet(b, 0x8847, &inside)
    }),
    ("pseudowire without control word", LinkType::Ethernet, |b, f, p| {
        let inside = [&label(16, true)[..], &ethernet(b, 0x8100, &tag(9, kind(f), p))].concat();
        ethernet(b, 0x8847, &inside)
    }),
    ("pseudowire without control word, no tag", LinkType::Ethernet, |b, f, p| {
        ethernet(b, 0x8847, &[&label(16, true)[..], &ethernet(b, kind(f), p)].concat())
    }),
    ("pseudowire to an address like IPv4", LinkType::Ethernet, |b, f, p| {
        let mut frame = ethernet(b, kind(f), p);
        frame[0] = 0x45;
        ethernet(b, 0x8847, &[&label(16, true)[..], &frame].concat())
    }),
];

const BOUNDED: &[(&str, LinkType, Wrap)] = &[
    ("802.3", LinkType::Ethernet, |b, f, p| {
        let frame = llc(kind(f), p);
        ethernet(b, frame.len() as u16, &frame)
    }),
    ("PPPoE", LinkType::Ethernet, |b, f, p| ethernet(b, 0x8864, &pppoe(5, &ppp(f, false, false, p)))),
    ("PPPoE in QinQ", LinkType::Ethernet, |b, f, p| {
        let session = pppoe(5, &ppp(f, false, false, p));
        ethernet(b, 0x88a8, &tag(3704, 0x8100, &tag(2474, 0x8864, &session)))
    }),
    ("PPPoE in a cooked capture", LinkType::LinuxSll2, |_, f, p| {
        sll2(0x8864, &pppoe(5, &ppp(f, false, true, p)))
    }),
];

#[test]
fn the_packet_behind_each_link_is_found() {
    for (ways, when_longer) in [(CUT, WhenLonger::Cut), (BOUNDED, WhenLonger::Refused)] {
        for &(name, link, wrap) in ways {
            Way { name, link, wrap, outer: 0, when_longer }.check();
        }
    }
    for (link, core) in [(LinkType::Ipv4, core4(false)), (LinkType::Ipv6, core6(false))] {
        assert_eq!(parse(link, &core), parse(LinkType::RawIp, &core));
    }
}

#[test]
fn what_is_no_ip_is_told() {
    use LinkType::{Ethernet, LinuxSll, LinuxSll2, Loop, Null, Ppp, PppSerial, RawIp};
    let core = core4(false);
    let discovery = [&[0x11, 9, 0, 0, 0, 4][..], &[1, 1, 0, 0]].concat();
    let with_code = |at: usize, byte: u8| {
        let mut p = pppoe(5, &ppp(Family::V4, false, false, &core));
        p[at] = byte;
        p
    };
    let labelled = |payload: &[u8]| ethernet(false, 0x8847, &[&label(16, true)[..], payload].concat());
    let cases: Vec<(LinkType, Vec<u8>)> = vec![
        (Ethernet, ethernet(false, 0x0806, &core)),
        (Ethernet, ethernet(false, 0x8863, &discovery)),
        (Ethernet, ethernet(false, 0x8864, &with_code(0, 0x12))),
        (Ethernet, ethernet(false, 0x8864, &with_code(1, 0xa7))),
        (Ethernet, ethernet(false, 0x8864, &pppoe(5, &[0xc0, 0x21, 1, 1, 0, 4]))),
        (Ethernet, ethernet(false, 1501, &core)),
        (Ethernet, ethernet(false, 43, &[&[0x42, 0x42, 3][..], &[0; 40]].concat())), // spanning tree
        (Ethernet, ethernet(false, 100, &llc(100, &core))),
        (Ethernet, labelled(&[0x10; 40])), // an associated channel
        (Ethernet, labelled(&ethernet(false, 0x0806, &[1; 28]))), // ARP over a pseudowire
        (Ethernet, labelled(&ethernet(false, 0x86dd, &core))), // looks like one, but is not
        (LinuxSll, sll(1, &core)),
        (LinuxSll2, sll2(0x0806, &core)),
        (Null, null(7, Family::V6, &core)),
        (Loop, swapped(null(0, Family::V4, &core))),
        (Ppp, vec![0xff, 3, 0xc0, 0x21, 1, 1, 0, 4]),
        (PppSerial, vec![0x8f, 0, 0x20, 0, 1, 2]), // Cisco discovery
        (RawIp, vec![0x50]),
    ];
    for (i, (link, frame)) in cases.iter().enumerate() {
        assert_eq!(parse(*link, frame), Err(DropReason::NotIp), "case {i}");
    }
    assert_eq!(parse(LinkType::Unknown(147), &core), Err(DropReason::UnknownLink));
}

#[test]
fn labels_are_counted() {
    for n in 1..12_usize {
        let labels: Vec<u8> = (1..=n).flat_map(|i| label(i as u32, i == n)).collect();
        let got = parse(LinkType::Ethernet, &ethernet(false, 0x8847, &[&labels, &core4(false)[..]].concat()));
        match got {
            Ok(p) => assert!(n <= 8 && p.mpls() == Some(1), "{n}"),
            Err(e) => assert!(n > 8 && e == DropReason::HeaderDepth, "{n}"),
        }
    }
    assert_eq!(parse(LinkType::RawIp, &core4(false)).unwrap().mpls(), None);
}

/// A priority tag in one direction, another label in each, leave a connection one; sessions are different networks.
#[test]
fn what_identifies_a_network() {
    let network = |frame: &[u8]| parse(LinkType::Ethernet, frame).unwrap().network;
    let session = |back: Back, id| {
        network(&ethernet(back, 0x8864, &pppoe(id, &ppp(Family::V4, false, false, &core4(back)))))
    };
    let plain = network(&ethernet(false, 0x0800, &core4(false)));
    assert_eq!(network(&ethernet(true, 0x8100, &tag(0, 0x0800, &core4(true)))), plain);
    for id in [16, 17] {
        assert_eq!(network(&ethernet(false, 0x8847, &[&label(id, true)[..], &core4(false)].concat())), plain);
    }
    assert_eq!(session(false, 5), session(true, 5));
    assert!(
        session(false, 5) != session(false, 6) && session(false, 5) != plain && session(false, 0) != plain
    );
    // A session leaves the VLANs around it readable, and in a tunnel it is part of the hash.
    let tunnel = |id| {
        let inner = ethernet(false, 0x8864, &pppoe(id, &ppp(Family::V4, false, false, &core4(false))));
        let gre = ipv4(false, (7, 8), 47, &[&[0, 0, 0x65, 0x58][..], &inner].concat());
        ethernet(false, 0x8864, &pppoe(9, &ppp(Family::V4, false, false, &gre)))
    };
    assert_ne!(network(&tunnel(5)), network(&tunnel(6)));
    let frame =
        ethernet(false, 0x8100, &tag(7, 0x8864, &pppoe(5, &ppp(Family::V4, false, false, &core4(false)))));
    let (key, _) = FlowKey::of_packet(&frame, &parse(LinkType::Ethernet, &frame).unwrap());
    assert_eq!(key.vlans().ids(), [7]);
}

/// A datagram that was put together is in the session of its fragments.
#[test]
fn a_session_goes_on_in_a_reassembled_datagram() {
    let walker = Walker::new([3; 16]);
    let walk = |packet: &[u8]| {
        let frame = ethernet(false, 0x8864, &pppoe(5, &ppp(Family::V4, false, false, packet)));
        walker.walk(LinkType::Ethernet, &frame).unwrap()
    };
    let (whole, mut part) = (core4(false), core4(false));
    part[6] = 0x20;
    let fragment = walk(&part);
    assert!(fragment.fragment.is_some());
    assert_eq!(walker.walk_again(&whole, &fragment).unwrap().network, walk(&whole).network);
}

#[test]
fn segmentation_offload_leaves_lengths_out_only_outside() {
    let mut core = core4(false);
    core[2..4].fill(0);
    let whole: Result<Packet, _> = parse(LinkType::Ethernet, &ethernet(false, 0x0800, &core));
    assert_eq!(whole.map(|p| p.segment_len), Ok(27));
    let bounded = ethernet(false, 0x8864, &pppoe(5, &ppp(Family::V4, false, false, &core)));
    let padded = [&bounded[..], &[0; 9]].concat();
    assert_eq!(parse(LinkType::Ethernet, &padded).map(|p| p.segment_len), Ok(27), "PPPoE has a length, too");
    assert_eq!(parse(LinkType::RawIp, &ipv4(false, (7, 8), 4, &core)), Err(DropReason::BadLength));
}

/// From 8.0.64.1: read as Ethernet, IPv4 would follow.
#[test]
fn an_address_behind_labels_is_not_taken_for_a_type() {
    let mut core = core4(false);
    core[12..16].copy_from_slice(&[8, 0, 0x40, 1]);
    let sum = !checksum::Sum::default().bytes(&core[..20]).fold();
    let frame = |core: &[u8]| ethernet(false, 0x8847, &[&label(16, true)[..], core].concat());
    let protocol = |frame: &[u8]| parse(LinkType::Ethernet, frame).map(|p| (p.protocol, p.ip));
    assert_ne!(protocol(&frame(&core)), Ok((6, 18)), "without a checksum nobody can tell");
    core[10..12].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(protocol(&frame(&core)), Ok((6, 18)));
}
