use crate::reason::DropReason;
use crate::wire::craft::{
    Back, Way, WhenLonger, Wrap, core4, core6, ethernet, ipv4, ipv6, kind, label, tag, tcp, udp,
};
use crate::wire::{Family, LinkType, Packet, Walker, parse};
use std::vec::Vec;
use std::{format, vec};

const PORT: u16 = 50_000;

/// Around everything: Ethernet and IPv4 between the ends of the tunnel.
fn through4(back: Back, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(back, 0x0800, &ipv4(back, (7, 8), protocol, payload))
}

fn through6(back: Back, next: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(back, 0x86dd, &ipv6(back, (7, 8), next, payload))
}

/// By a UDP port of the receiver, as both directions of VXLAN have it.
fn to_port(back: Back, port: u16, payload: &[u8]) -> Vec<u8> {
    through4(back, 17, &udp((PORT, port), payload))
}

fn gre(flags: u16, kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut header = [flags.to_be_bytes(), kind.to_be_bytes()].concat();
    for (flag, word) in [(0x8000, [1; 4]), (0x2000, [0, 0, 0, 77]), (0x1000, [3; 4]), (0x0080, [4; 4])] {
        if flags & flag != 0 {
            header.extend(word);
        }
    }
    [&header, payload].concat()
}

fn vxlan(vni: u32, frame: &[u8]) -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes(), frame].concat()
}

/// ERSPAN of type II or III in GRE; `session` has ten bits.
fn erspan(version: u16, session: u16, rest: &[u8], frame: &[u8]) -> Vec<u8> {
    let head = [(version << 12 | 5).to_be_bytes(), session.to_be_bytes(), [9; 2], [9; 2]].concat();
    gre(0x1000, if version == 1 { 0x88be } else { 0x22eb }, &[&head, rest, frame].concat())
}

fn gtp(flags: u8, options: &[u8], packet: &[u8]) -> Vec<u8> {
    let len = ((options.len() + packet.len()) as u16).to_be_bytes();
    [&[0x30 | flags, 255, len[0], len[1], 1, 2, 3, 4], options, packet].concat()
}

/// The protocol of PPP by family.
fn ppp(family: Family) -> [u8; 2] {
    if family == Family::V4 { [0, 0x21] } else { [0, 0x57] }
}

fn pptp(ack: bool, ppp: &[u8]) -> Vec<u8> {
    let mut header = vec![0x30, if ack { 0x81 } else { 1 }, 0x88, 0x0b];
    header.extend((ppp.len() as u16).to_be_bytes());
    header.extend([0, 3, 0, 0, 0, 1]);
    header.extend(if ack { &[9; 4][..] } else { &[] });
    [&header, ppp].concat()
}

const PROMISED: &[(&str, Wrap)] = &[
    ("IP in IPv4", |b, f, p| through4(b, if f == Family::V4 { 4 } else { 41 }, p)),
    ("IP in IPv6", |b, f, p| through6(b, if f == Family::V4 { 4 } else { 41 }, p)),
    ("GRE", |b, f, p| through4(b, 47, &gre(0, kind(f), p))),
    ("GRE with everything, over IPv6", |b, f, p| through6(b, 47, &gre(0xb000, kind(f), p))),
    ("bridged GRE", |b, f, p| through4(b, 47, &gre(0x2000, 0x6558, &ethernet(b, kind(f), p)))),
    ("MPLS in GRE", |b, _, p| through4(b, 47, &gre(0, 0x8847, &[&label(7, true), p].concat()))),
    ("PPP in GRE", |b, f, p| through4(b, 47, &gre(0, 0x880b, &[&ppp(f), p].concat()))),
    ("PPTP", |b, f, p| through4(b, 47, &pptp(b, &[&[0xff, 3][..], &ppp(f), p].concat()))),
    ("PPTP, all of PPP compressed", |b, f, p| through4(b, 47, &pptp(b, &[&ppp(f)[1..], p].concat()))),
    ("ERSPAN I", |b, f, p| through4(b, 47, &gre(0, 0x88be, &ethernet(b, kind(f), p)))),
    ("ERSPAN II", |b, f, p| through4(b, 47, &erspan(1, 9, &[], &ethernet(b, kind(f), p)))),
    ("ERSPAN III", |b, f, p| through4(b, 47, &erspan(2, 9, &[0, 1, 0, 0], &ethernet(b, kind(f), p)))),
    ("ERSPAN III of the platform", |b, f, p| {
        let rest = [0, 1, 0, 1, 5, 5, 5, 5, 5, 5, 5, 5];
        through4(b, 47, &erspan(2, 9, &rest, &ethernet(b, kind(f), p)))
    }),
    ("ERSPAN III of IP", |b, _, p| through4(b, 47, &erspan(2, 9, &[0, 1, 8, 0], p))),
    ("MPLS in IP", |b, _, p| through4(b, 137, &[&label(3, false)[..], &label(7, true), p].concat())),
];

const GUESSED: &[(&str, Wrap)] = &[
    ("VXLAN", |b, f, p| to_port(b, 4789, &vxlan(5, &ethernet(b, kind(f), p)))),
    ("VXLAN of old, VLAN inside", |b, f, p| {
        to_port(b, 8472, &vxlan(5, &ethernet(b, 0x8100, &tag(6, kind(f), p))))
    }),
    ("VXLAN over IPv6, ports swapped", |b, f, p| {
        let ports = if b { (4789, PORT) } else { (PORT, 4789) };
        through6(b, 17, &udp(ports, &vxlan(5, &ethernet(b, kind(f), p))))
    }),
    ("GTP-U", |b, _, p| to_port(b, 2152, &gtp(0, &[], p))),
    ("GTP-U with a sequence number", |b, _, p| to_port(b, 2152, &gtp(2, &[0, 9, 0, 0x85], p))),
    ("GTP-U with extensions", |b, _, p| {
        let extensions = [0, 0, 0, 0x85, 1, 0, 9, 0xc0, 2, 1, 2, 3, 4, 5, 6, 0];
        to_port(b, 2152, &gtp(4, &extensions, p))
    }),
    ("MPLS over UDP", |b, _, p| to_port(b, 6635, &[&label(7, true), p].concat())),
];

fn ways() -> Vec<Way> {
    let way = |(name, wrap): &(&'static str, Wrap), when_longer| Way {
        name,
        link: LinkType::Ethernet,
        wrap: *wrap,
        outer: 1,
        when_longer,
    };
    let promised = PROMISED.iter().map(|w| way(w, WhenLonger::Refused));
    promised.chain(GUESSED.iter().map(|w| way(w, WhenLonger::Guessed))).collect()
}

#[test]
fn the_packet_inside_is_found() {
    for way in ways() {
        way.check();
    }
}

/// Teredo carries IPv6 only.
#[test]
fn teredo_with_its_indications() {
    let authentication = [&[0, 1, 2, 3][..], &[7; 2 + 3 + 8 + 1]].concat();
    let origin = [0, 0, 0x12, 0x34, 1, 2, 3, 4];
    for before in [vec![], origin.to_vec(), authentication.clone(), [&authentication[..], &origin].concat()] {
        let frame = |back: Back, core: &[u8]| {
            let ports = if back { (3544, PORT) } else { (PORT, 3544) };
            through4(back, 17, &udp(ports, &[&before, core].concat()))
        };
        let there = frame(false, &core6(false));
        let packet = parse(LinkType::Ethernet, &there).unwrap();
        assert_eq!((packet.segment_bytes(&there), packet.depth), (&tcp(false, b"payload")[..], 2));
        assert_eq!(packet.network, parse(LinkType::Ethernet, &frame(true, &core6(true))).unwrap().network);
        for len in 0..there.len() {
            if let Ok(p) = parse(LinkType::Ethernet, &there[..len]) {
                assert!(p.depth == 1 || p.transport == packet.transport, "cut to {len}");
            }
        }
        assert_eq!(parse(LinkType::Ethernet, &frame(false, &core4(false))).unwrap().depth, 1);
    }
}

fn depth(frame: &[u8]) -> Result<(u8, u8), DropReason> {
    parse(LinkType::Ethernet, frame).map(|p| (p.protocol, p.depth))
}

#[test]
fn a_tunnel_without_ip_is_its_outer_packet() {
    let arp = ethernet(false, 0x0806, &[1; 28]);
    let cases = [
        (47, gre(0, 0, &[])),                                       // keepalive
        (47, gre(0, 0x0806, &[1; 28])),                             // not a type that is followed
        (47, gre(0x4000, 0x0800, &core4(false))),                   // with a route
        (47, gre(0, 0x6558, &arp)),                                 // bridged ARP
        (47, gre(2, 0x0800, &core4(false))),                        // version 2
        (47, gre(1, 0x0800, &core4(false))),                        // version 1 without PPP
        (47, vec![0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 9]), // PPTP, an acknowledgement alone
        (47, gre(0, 0x880b, &[0xc0, 0x21, 1, 1, 0, 4])),            // LCP
        (47, erspan(3, 9, &[], &arp)),                              // no such version
        (47, erspan(2, 9, &[0, 1, 4, 0], &core4(false))),           // frames of another kind
        (137, [&label(7, true)[..], &[0x10; 20]].concat()),         // an associated channel
    ];
    for (i, (protocol, payload)) in cases.iter().enumerate() {
        assert_eq!(depth(&through4(false, *protocol, payload)), Ok((*protocol, 1)), "case {i}");
    }
}

#[test]
fn a_damaged_promise_has_its_reason() {
    let mut wrong = core4(false);
    wrong[0] = 0x65;
    let mut short = core4(false);
    short[3] = 19;
    let mut unknown = core4(false);
    unknown[2..4].fill(0); // segmentation offload has no place inside
    for packet in [&wrong, &short, &unknown] {
        assert_eq!(depth(&through4(false, 4, packet)), Err(DropReason::BadLength));
        assert_eq!(depth(&through4(false, 47, &gre(0, 0x0800, packet))), Err(DropReason::BadLength));
        let guess = vxlan(5, &ethernet(false, 0x0800, packet));
        assert_eq!(depth(&to_port(false, 4789, &guess)), Ok((17, 1)));
    }
    // The length in the header of PPTP is one of the call's frame, too.
    let call = pptp(false, &[&[0x21][..], &core4(false)].concat());
    for (len, wanted) in
        [(48, Ok((6, 2))), (47, Err(DropReason::BadLength)), (49, Err(DropReason::BadLength))]
    {
        let mut call = call.clone();
        call[5] = len;
        assert_eq!(depth(&through4(false, 47, &call)), wanted);
    }
    for len in 0..4 {
        assert_eq!(depth(&through4(false, 47, &[0; 4][..len])), Err(DropReason::BadLength));
    }
}

#[test]
fn a_port_is_only_a_guess() {
    let frame = ethernet(false, 0x0800, &core4(false));
    let mut no_network = vxlan(5, &frame);
    no_network[0] = 0;
    let not_gtp = |at: usize, byte: u8| {
        let mut g = gtp(0, &[], &core4(false));
        g[at] = byte;
        g
    };
    let cases = [
        (4789, no_network),
        (4789, vxlan(5, &ethernet(false, 0x0806, &[1; 28]))),
        (4789, vxlan(5, &frame)[..8].to_vec()),
        (2152, not_gtp(0, 0x50)),
        (2152, not_gtp(0, 0x20)),                                    // GTP'
        (2152, not_gtp(1, 26)),                                      // error indication
        (2152, not_gtp(3, 200)),                                     // longer than its datagram
        (2152, gtp(4, &[0, 0, 0, 0x85, 0, 0, 9, 0], &core4(false))), // an extension of no length
        (2152, gtp(4, &[&[0, 0, 0, 1][..], &[1, 0, 0, 1].repeat(9)].concat(), &core4(false))),
        (6635, [label(7, false); 12].concat()),
        (6635, core4(false)),
        (3544, b"no packet at all".to_vec()),
        (4790, vxlan(5, &frame)),
    ];
    for (i, (port, payload)) in cases.iter().enumerate() {
        assert_eq!(depth(&to_port(false, *port, payload)), Ok((17, 1)), "case {i}");
    }
    // A length of UDP that is shorter than what IP carries bounds what is inside; one that is longer is none.
    let inside = vxlan(5, &frame);
    for (len, wanted) in [(0_u16, Ok((6, 2))), (7, Ok((17, 1))), (40, Ok((17, 1))), (500, Ok((17, 1)))] {
        let mut datagram = udp((PORT, 4789), &inside);
        datagram[4..6].copy_from_slice(&len.to_be_bytes());
        assert_eq!(depth(&through4(false, 17, &datagram)), wanted, "{len}");
    }
}

/// An error quotes the packet that it is about; that is not the packet.
#[test]
fn quoted_packets_are_not_looked_into() {
    let quote = [&[3, 3, 0, 0, 0, 0, 0, 0], &core4(false)[..]].concat();
    assert_eq!(depth(&through4(false, 1, &quote)), Ok((1, 1)));
    assert_eq!(depth(&through6(false, 58, &quote)), Ok((58, 1)));
}

#[test]
fn nesting_has_a_limit() {
    let four = |protocol, payload: &[u8]| ipv4(false, (3, 4), protocol, payload);
    let in_vxlan = |packet: &[u8]| four(17, &udp((PORT, 4789), &vxlan(5, &ethernet(false, 0x0800, packet))));
    type Nest<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;
    let nests: [(&str, Nest<'_>); 3] =
        [("IP in IP", &|p| four(4, p)), ("GRE", &|p| four(47, &gre(0, 0x0800, p))), ("VXLAN", &in_vxlan)];
    for (name, nest) in nests {
        let mut packet = core4(false);
        for outer in 0..9 {
            let wanted = if outer < 4 { Ok((6, outer + 1)) } else { Err(DropReason::HeaderDepth) };
            assert_eq!(depth(&ethernet(false, 0x0800, &packet)), wanted, "{outer} times {name}");
            packet = nest(&packet);
        }
    }
}

#[test]
fn tags_and_labels_are_counted_in_the_whole_frame() {
    let tagged = |n: u16, end: u16, payload: &[u8]| {
        (0..n).fold((end, payload.to_vec()), |(kind, p), i| (0x8100, tag(10 + i, kind, &p)))
    };
    for (outside, inside) in [(0, 3), (1, 2), (2, 1), (1, 3), (3, 1)] {
        let (kind, payload) = tagged(inside, 0x0800, &core4(false));
        let tunnel = ipv4(false, (7, 8), 47, &gre(0, 0x6558, &ethernet(false, kind, &payload)));
        let (kind, payload) = tagged(outside, 0x0800, &tunnel);
        let wanted = if outside + inside <= 3 { Ok((6, 2)) } else { Err(DropReason::HeaderDepth) };
        assert_eq!(depth(&ethernet(false, kind, &payload)), wanted, "{outside} and {inside} tags");
    }
    let labelled = |n: usize, payload: &[u8]| {
        let labels: Vec<u8> = (1..=n).flat_map(|i| label(100 + i as u32, i == n)).collect();
        [&labels, payload].concat()
    };
    for (outside, inside) in [(3, 5), (5, 4)] {
        let tunnel = ipv4(false, (7, 8), 137, &labelled(inside, &core4(false)));
        let frame = ethernet(false, 0x8847, &labelled(outside, &tunnel));
        let got = parse(LinkType::Ethernet, &frame);
        if outside + inside <= 8 {
            assert_eq!(got.unwrap().mpls(), Some(101), "the outermost one");
        } else {
            assert_eq!(got, Err(DropReason::HeaderDepth));
        }
    }
}

/// Frames that carry one packet through networks that are different ones, grouped by identity.
#[allow(clippy::type_complexity)]
fn networks() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let inner = ethernet(false, 0x0800, &core4(false));
    let between =
        |ends, protocol, payload: &[u8]| ethernet(false, 0x0800, &ipv4(false, ends, protocol, payload));
    let vxlan_at = |ends, vni, frame: &[u8]| between(ends, 17, &udp((PORT, 4789), &vxlan(vni, frame)));
    let keyed = |key: u8| {
        let mut g = gre(0x2000, 0x0800, &core4(false));
        g[7] = key;
        g
    };
    let mut teid = gtp(0, &[], &core4(false));
    teid[7] = 99;
    let tagged = |id| ethernet(false, 0x8100, &tag(id, 0x0800, &core4(false)));
    let vlan_around = |id, frame: &[u8]| ethernet(false, 0x8100, &tag(id, 0x0800, &frame[14..]));
    vec![
        ("nothing", vec![inner.clone()]),
        ("VLAN 5", vec![tagged(5)]),
        ("VLAN 6", vec![tagged(6)]),
        ("VXLAN 5", vec![vxlan_at((7, 8), 5, &inner), vxlan_at((9, 3), 5, &inner)]),
        ("VXLAN 6", vec![vxlan_at((7, 8), 6, &inner)]),
        ("VXLAN 5, VLAN 5 inside", vec![vxlan_at((7, 8), 5, &tagged(5))]),
        ("VXLAN 5, VLAN 6 inside", vec![vxlan_at((7, 8), 5, &tagged(6))]),
        ("VXLAN 5 in VLAN 5", vec![vlan_around(5, &vxlan_at((7, 8), 5, &inner))]),
        ("VXLAN 5 in VLAN 6", vec![vlan_around(6, &vxlan_at((7, 8), 5, &inner))]),
        ("GRE", vec![between((7, 8), 47, &gre(0, 0x0800, &core4(false)))]),
        ("GRE elsewhere", vec![between((7, 9), 47, &gre(0, 0x0800, &core4(false)))]),
        ("GRE with the key 0", vec![between((7, 8), 47, &keyed(0))]),
        ("GRE with the key 1", vec![between((7, 8), 47, &keyed(1))]),
        ("IP in IP", vec![between((7, 8), 4, &core4(false))]),
        ("IP in IP elsewhere", vec![between((6, 8), 4, &core4(false))]),
        ("IP in IPv6", vec![through6(false, 4, &core4(false))]),
        (
            "ERSPAN 9",
            vec![
                between((7, 8), 47, &erspan(1, 9, &[], &inner)),
                between((1, 8), 47, &erspan(2, 9, &[0; 4], &inner)),
            ],
        ),
        ("ERSPAN 10", vec![between((7, 8), 47, &erspan(1, 10, &[], &inner))]),
        (
            "GTP-U",
            vec![
                between((7, 8), 17, &udp((PORT, 2152), &gtp(0, &[], &core4(false)))),
                between((9, 8), 17, &udp((2152, PORT), &teid)),
            ],
        ),
        (
            "MPLS over IP",
            vec![
                between((7, 8), 137, &[&label(3, true)[..], &core4(false)].concat()),
                between((7, 8), 137, &[&label(4, true)[..], &core4(false)].concat()),
                between((7, 8), 17, &udp((PORT, 6635), &[&label(4, true)[..], &core4(false)].concat())),
            ],
        ),
    ]
}

#[test]
fn networks_differ_by_what_identifies_them() {
    let walker = Walker::new([9; 16]);
    let word = |frame: &Vec<u8>| walker.walk(LinkType::Ethernet, frame).unwrap().network;
    let networks = networks();
    for (i, (name, frames)) in networks.iter().enumerate() {
        assert!(frames.iter().all(|f| word(f) == word(&frames[0])), "{name} is one network");
        for (other, others) in &networks[..i] {
            assert_ne!(word(&frames[0]), word(&others[0]), "{name}, {other}");
        }
    }
}

#[test]
fn vlans_and_tunnels_can_be_left_out() {
    let walk = |vlans, tunnels, frame: &Vec<u8>| -> Packet {
        let walker = Walker::new([9; 16]).vlans_in_key(vlans).tunnels_in_key(tunnels);
        walker.walk(LinkType::Ethernet, frame).unwrap()
    };
    let networks = networks();
    let find = |name: &str| &networks.iter().find(|(n, _)| *n == name).unwrap().1[0];
    let word = |vlans, tunnels, name: &str| walk(vlans, tunnels, find(name)).network;
    for (name, frames) in &networks {
        for frame in frames {
            assert_eq!(walk(false, false, frame).network, 0, "{name}: IPv4 is all that is left");
            let ids: Vec<u16> = walk(true, false, frame).vlans.ids().to_vec();
            let plain = format!("VLAN {}", ids.first().unwrap_or(&0));
            let wanted = if ids.is_empty() { "nothing" } else { &plain };
            assert_eq!(walk(true, false, frame).network, word(true, false, wanted), "{name}");
        }
    }
    for name in ["VXLAN 5, VLAN 5 inside", "VXLAN 5, VLAN 6 inside", "VXLAN 5 in VLAN 5", "VXLAN 5 in VLAN 6"]
    {
        assert_eq!(word(false, true, name), word(false, true, "VXLAN 5"));
    }
    assert_ne!(word(false, true, "VXLAN 5"), word(false, true, "VXLAN 6"));
    assert_ne!(word(false, true, "VXLAN 5"), word(false, true, "nothing"));
}

#[test]
fn the_word_of_a_tunnel_is_secret() {
    let frame = through4(false, 4, &core4(false));
    let word = |seed| Walker::new([seed; 16]).walk(LinkType::Ethernet, &frame).unwrap().network;
    assert_ne!(word(1), word(2));
}
