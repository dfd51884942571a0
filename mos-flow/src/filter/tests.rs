use super::{Filter, FilterError, FilterErrorKind};
use crate::model::filter::{Dialect, Link, Source, frame, tree};
use crate::wire::{Family, parse};
use crate::{Frame, Instant, LinkType};
use etherparse::PacketBuilder;
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const FD: [u8; 16] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

fn frames() -> [Vec<u8>; 6] {
    let id = etherparse::VlanId::try_new(42).unwrap();
    let eth = || PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let mut out: [Vec<u8>; 6] = core::array::from_fn(|_| Vec::new());
    let to_web = eth().ipv4([10, 0, 0, 1], [192, 168, 7, 9], 64).tcp(40000, 80, 7, 500).syn();
    to_web.write(&mut out[0], b"x").unwrap();
    let tagged = eth().single_vlan(id).ipv4([10, 1, 0, 1], [10, 0, 0, 1], 63).udp(53, 53);
    tagged.write(&mut out[1], b"x").unwrap();
    let v6 = eth().ipv6(FD, [0xfe; 16], 64).tcp(443, 50000, 0, 0).syn().ack(1);
    v6.write(&mut out[2], b"x").unwrap();
    let ping = eth().ipv4([10, 0, 0, 1], [8, 8, 8, 8], 64).icmpv4_echo_request(1, 2);
    ping.write(&mut out[3], b"x").unwrap();
    out[4] = behind_an_extension(&out[2]);
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let solicit = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [0x33, 0x33, 0, 0, 0, 1]).ipv6(FD, group, 255);
    solicit.icmpv6_echo_request(1, 2).write(&mut out[5], &[0; 80]).unwrap();
    out
}

/// The same packet in VLAN 7, with a hop-by-hop header.
fn behind_an_extension(v6: &[u8]) -> Vec<u8> {
    let mut frame = v6[..12].to_vec();
    frame.extend([0x81, 0, 0, 7]);
    frame.extend(&v6[12..54]);
    frame[18 + 5] += 8;
    frame[18 + 6] = 0;
    frame.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    frame.extend(&v6[54..]);
    frame
}

fn filter(expression: &str) -> Filter {
    expression.parse().unwrap_or_else(|e| panic!("{expression}: {e}"))
}

fn matches(expression: &str, data: &[u8]) -> bool {
    filter(expression).matches(&Frame::ethernet(Instant(0), data), &parse(LinkType::Ethernet, data).unwrap())
}

fn matching(expression: &str) -> Vec<usize> {
    frames().iter().enumerate().filter(|(_, f)| matches(expression, f)).map(|(i, _)| i).collect()
}

#[test]
fn expressions_select_packets() {
    let cases: &[(&str, &[usize])] = &[
        ("", &[0, 1, 2, 3, 4, 5]),
        ("tcp", &[0, 2, 4]),
        ("ip", &[0, 1, 3]),
        ("ip6", &[2, 4, 5]),
        ("udp or icmp", &[1, 3]),
        ("proto 17", &[1]),
        ("proto tcp", &[0, 2, 4]),
        ("ip6 proto \\tcp", &[2, 4]),
        ("ip proto 6 or 1", &[0, 3]),
        ("arp or sctp or esp", &[]),
        ("host 10.0.0.1", &[0, 1, 3]),
        ("src host 10.0.0.1", &[0, 3]),
        ("src 10.0.0.1", &[0, 3]),
        ("10.0.0.1 and not icmp", &[0, 1]),
        ("dst host 10.0.0.1", &[1]),
        ("net 10.0.0.0/8", &[0, 1, 3]),
        ("src and dst net 10.0.0.0/8", &[1]),
        ("src or dst net 192.168", &[0]),
        ("net 10.1.0.0 mask 255.255.0.0", &[1]),
        ("net 10.0.0.0 mask 255.255.0.255", &[]),
        ("net 10.0.0.1 mask 255.0.0.255", &[0, 1, 3]),
        ("net 10 and not net 10.1", &[0, 3]),
        ("net 2561", &[1]), // 0x0a01
        ("net fd00::/8", &[2, 4, 5]),
        ("host fd00::1", &[2, 4, 5]),
        ("net 0.0.0.0/0", &[0, 1, 3]),
        ("net ::/0", &[2, 4, 5]),
        ("port 80", &[0]),
        ("port http", &[0]),
        ("udp port domain", &[1]),
        ("port ftp-data or https", &[2, 4]),
        ("port 80 or 443", &[0, 2, 4]),
        ("port (not 80 and not 443)", &[1, 3, 5]),
        ("tcp port 53", &[]),
        ("tcp dst port 80", &[0]),
        ("tcp src port 80", &[]),
        ("portrange 400-500", &[2, 4]),
        ("portrange ssh-https", &[0, 1, 2, 4]),
        ("portrange 443-80", &[0, 2, 4]),
        ("not tcp", &[1, 3, 5]),
        ("!tcp && !udp", &[3, 5]),
        ("tcp and (port 80 or port 443)", &[0, 2, 4]),
        // One rank, from the left: (udp or tcp) and port 80.
        ("udp or tcp and port 80", &[0]),
        ("port 80 or (udp and net 10.0.0.0/8)", &[0, 1]),
        ("port 80 or (tcp or udp) and 443", &[2, 4]),
        ("not (ip or tcp)", &[5]),
        ("not not ip6", &[2, 4, 5]),
        ("ip host 10.0.0.1", &[0, 1, 3]),
        ("icmp6 or ip6", &[2, 4, 5]),
        // Tags, and Ethernet.
        ("vlan", &[1, 4]),
        ("vlan 42", &[1]),
        ("vlan 43", &[]),
        ("vlan (7) and tcp", &[4]),
        ("ether host 2:0:0:0:0:2", &[0, 1, 2, 3, 4]),
        ("ether dst 33-33-00-00-00-01", &[5]),
        ("ether proto 0x800", &[0, 1, 3]),
        ("ether proto \\ip6 and ether proto 0x8100", &[4]),
        ("multicast", &[5]),
        ("ip6 multicast", &[5]),
        ("broadcast or ip multicast", &[]),
        // Lengths: 55, 47, 75, 43, 87 and 142 octets.
        ("less 55", &[0, 1, 3]),
        ("greater 87", &[4, 5]),
        ("len = 142", &[5]),
        // Octets of headers, where they really are.
        ("tcp[13] & 2 != 0", &[0, 2, 4]),
        ("tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn", &[0]),
        ("tcp[tcpflags] = tcp-syn | tcp-ack", &[2, 4]),
        ("tcp[0:2] = 443", &[2, 4]),
        ("ip[9] == 0x11", &[1]),
        ("ip[8] = 64", &[0, 3]),
        ("ip[0] & 0xf = 5", &[0, 1, 3]),
        ("ip6[6] = 6", &[2]),
        ("ip6[6] = 0", &[4]),
        ("icmp[icmptype] = icmp-echo", &[3]),
        ("icmp6[icmp6type] = icmp6-echo", &[5]),
        ("udp[4:2] = 9", &[1]),
        ("tcp[((tcp[12] & 0xf0) >> 2)] = 0x78", &[0, 2, 4]),
        ("ip and tcp[4:4] + 0xfffffffb = 2", &[0]),
        ("ether[12:2] = 0x8100", &[1, 4]),
        // Not (500 / 5) % 30 * 2: `%` takes all that follows and binds before the division.
        ("tcp[14:2] / 5 % 30 * 2 = 120 - 20", &[0]),
    ];
    for (expression, expected) in cases {
        assert_eq!(matching(expression), *expected, "{expression}");
    }
}

#[test]
fn a_load_that_fails_ends_the_program_unless_it_is_not_come_to() {
    let ping = &frames()[3];
    for (expression, expected) in [
        ("icmp[100] = 0", false),
        ("icmp[100] != 0", false),
        ("not icmp[100] = 0", false),
        ("not (not icmp[100] = 0)", false),
        ("icmp[100] = 0 or icmp", false),
        ("icmp or icmp[100] = 0", true),
        ("not (udp and icmp[100] = 0)", true),
        ("udp and icmp[100] = 0 or icmp", true),
        // A header that is not there is no failure, whatever else is asked for.
        ("not tcp[100] = 0", true),
        ("not tcp[0] = icmp[100]", true),
        ("not 1 / icmp[1] = 0", false),
        ("not 1 % icmp[1] = 0", false),
        ("1 << icmp[8] = 2 or icmp", true),
        ("1 << ip[12] << ip[12] << ip[12] << ip[12] = 0", true),
        ("1 << ip[1:4] = 0", true),
        // The last octets, and one more.
        ("ether[42] = 0x78", true),
        ("ether[41:2] & 0xff = 0x78", true),
        ("not ether[42:2] = 0", false),
        ("not ether[0xffffffff:4] = 0", false),
        ("not ip[0xfffffff0:4] = 0", false),
        // Over IPv4 a negative index leads into the IP header.
        ("icmp[-4:4] = 0x08080808", true),
        ("not icmp[-40] = 0", false),
    ] {
        assert_eq!(matches(expression, ping), expected, "{expression}");
    }
    // Over IPv6 it leads nowhere.
    assert!(!matches("icmp6[-1] >= 0", &frames()[5]) && !matches("not icmp6[-1] >= 0", &frames()[5]));
    // Ports that the capture cut: the first one is enough when it decides.
    let cut = &frames()[0][..36];
    assert!(matches("src port 40000", cut) && matches("port 40000", cut));
    assert!(!matches("dst port 80", cut) && !matches("not dst port 80", cut) && !matches("not port 81", cut));
    assert!(matches("not src and dst port 81", cut));
}

#[test]
fn a_later_fragment_has_no_header_of_its_protocol() {
    let mut data = frames()[0].clone();
    data[21] = 1;
    let packet = parse(LinkType::Ethernet, &data).unwrap();
    let holds = |expression| filter(expression).matches(&Frame::ethernet(Instant(0), &data), &packet);
    assert!(holds("tcp and not port 80 and not tcp[13] & 2 != 0 and ip[6:2] & 0x1fff = 1"));
}

/// What carries a packet changes nothing about it: TCP from 10.0.0.1 or fd00::1, port 1000, to port 80.
#[test]
fn vlans_labels_and_tunnels_are_looked_through() {
    use crate::wire::craft::{core4, core6, ethernet, ipv4, label, tag, udp};
    let vxlan = [&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet(false, 0x86dd, &core6(false))].concat();
    let frames = [
        ("plain", ethernet(false, 0x0800, &core4(false))),
        ("vlan", ethernet(false, 0x8100, &tag(42, 0x0800, &core4(false)))),
        ("mpls", ethernet(false, 0x8847, &[&label(99, true)[..], &core4(false)].concat())),
        ("ip in ip", ethernet(false, 0x0800, &ipv4(false, (8, 9), 4, &core4(false)))),
        ("vxlan", ethernet(false, 0x0800, &ipv4(false, (8, 9), 17, &udp((1, 4789), &vxlan)))),
    ];
    let cases: &[(&str, [bool; 5])] = &[
        ("tcp dst port 80 and tcp[2:2] = 80 and tcp[13] & 0x10 != 0", [true; 5]),
        ("src host 10.0.0.1 and ip[9] = 6", [true, true, true, true, false]),
        ("ip6 and src host fd00::1 and ip6[6] = 6", [false, false, false, false, true]),
        ("udp or host 10.0.0.8", [false; 5]),
        ("vlan 42", [false, true, false, false, false]),
        ("mpls 99", [false, false, true, false, false]),
        ("mpls and not mpls 98", [false, false, true, false, false]),
        ("ether[12:2] = 0x8100", [false, true, false, false, false]),
    ];
    for (expression, expected) in cases {
        let found = frames.each_ref().map(|(_, frame)| matches(expression, frame));
        assert_eq!(found, *expected, "{expression} in {:?}", frames.each_ref().map(|(name, _)| *name));
    }
}

#[test]
fn without_ethernet_there_are_no_addresses_of_it() {
    let data = &frames()[3][14..];
    let frame = Frame { link: LinkType::RawIp, ..Frame::ethernet(Instant(0), data) };
    let packet = parse(LinkType::RawIp, data).unwrap();
    let holds = |expression| filter(expression).matches(&frame, &packet);
    assert!(!holds("multicast") && !holds("ether host 45:0:0:1d:0:0") && !holds("ether proto 0x4001"));
    assert!(holds("icmp and icmp[0] = 8 and ether[0] = 0x45 and ether proto 0x800"));
}

#[test]
fn a_reversed_match_is_that_of_the_answer() {
    let data = &frames()[0];
    let packet = parse(LinkType::Ethernet, data).unwrap();
    let frame = Frame::ethernet(Instant(0), data);
    for (expression, forward, reversed) in [
        ("dst port 80", true, false),
        ("src port 80", false, true),
        ("src net 10.0.0.0/8", true, false),
        ("port 80 and host 10.0.0.1", true, true),
        ("ether src 2:0:0:0:0:1", true, false),
        ("ether dst 2:0:0:0:0:1", false, true),
        // Octets are those of the packet at hand.
        ("tcp[2:2] = 80 and len = 55", true, true),
    ] {
        let filter = filter(expression);
        assert_eq!(filter.matches(&frame, &packet), forward, "{expression}");
        assert_eq!(filter.matches_reversed(&frame, &packet), reversed, "{expression}");
    }
}

#[test]
fn filters_join_and_know_what_they_cannot_match() {
    let both = filter("ip").and(&filter("port 80 or udp")).unwrap();
    assert_eq!(both, filter("ip and (port 80 or udp)"));
    assert_eq!(filter("").and(&filter("tcp")).unwrap(), filter("tcp"));
    assert_eq!(filter("tcp").and(&filter("")).unwrap(), filter("tcp"));
    let long = filter(&std::vec!["port 1"; 64].join(" or "));
    assert_eq!(filter("ip").and(&long).unwrap_err().kind, FilterErrorKind::TooLong);
    let cases = [
        ("", true),
        ("tcp", true),
        ("udp", false),
        ("not tcp", false),
        ("not not tcp", true),
        ("not tcp port 80", true),
        ("not (tcp port 80)", true),
        ("proto tcp", true),
        ("proto 17", false),
        ("ip6 proto 6", false),
        ("tcp or udp", true),
        ("udp port 53 or icmp", false),
        ("icmp and port 80", false),
        ("ip6", false),
        ("not ip6", true),
        ("not ip6 host fd00::1", true),
        ("net fd00::/8 or udp", false),
        ("net 10.0.0.0/8 and not port 80 and vlan 3", true),
        ("not (ip and tcp)", false),
        ("arp", false),
        ("not arp", true),
        ("udp[0] = 1", false),
        ("not udp[0] = 1", true),
        ("tcp[13] & 2 != 0 and not ip6[0] = 0", true),
        ("udp[0] = 1 or ip6[0] = tcp[0]", false),
        ("ip[9] = 17 and len > 3", true),
        ("ether proto 0x86dd or arp[0] = 1", false),
        ("ip6 multicast", false),
    ];
    for (expression, can) in cases {
        assert_eq!(filter(expression).could_match(Family::V4, Some(6)), can, "{expression}");
    }
    assert!(filter("not tcp").could_match(Family::V4, None));
    assert!(filter("udp[0] = 1").could_match(Family::V4, None));
    assert!(!filter("ip").could_match(Family::V6, None));
}

#[test]
fn errors_name_the_place() {
    use FilterErrorKind::*;
    let cases = [
        ("tcp and", 7, Incomplete),
        ("not", 3, Incomplete),
        ("(tcp", 4, Incomplete),
        ("port", 4, Incomplete),
        ("vlan and", 8, Incomplete),
        ("tcp[13] &", 9, Incomplete),
        ("len", 3, Incomplete),
        ("net 10.0.0.0/", 13, Incomplete),
        ("tcp frob", 4, UnexpectedWord),
        ("frob", 0, UnexpectedWord),
        ("tcp)", 3, UnexpectedWord),
        ("and tcp", 0, UnexpectedWord),
        ("tcp[13] 2", 8, UnexpectedWord),
        ("tcp[13) = 2", 6, UnexpectedWord),
        ("len > 5 > 6", 8, UnexpectedWord),
        ("net 10/8", 6, UnexpectedWord),
        ("port )", 5, UnexpectedWord),
        ("less foo", 5, UnexpectedWord),
        ("(tcp) + 1 = 2", 4, UnexpectedWord),
        ("tcp @ 3", 4, UnexpectedCharacter),
        ("tcp or \u{e9}", 7, UnexpectedCharacter),
        ("host 10.0.0.256", 5, BadAddress),
        ("host fe80::xyz", 5, BadAddress),
        ("ether host 1:2:3:4:5", 11, BadAddress),
        ("net 10.0.0.0 mask 8", 18, BadAddress),
        ("net 10.0.0.0/33", 13, BadNumber),
        ("net fd00::/129", 11, BadNumber),
        ("port 65536", 5, BadNumber),
        ("port 08", 5, BadNumber),
        ("portrange 1-70000", 12, BadNumber),
        ("vlan 4096", 5, BadNumber),
        ("mpls (1048576)", 6, BadNumber),
        ("proto 256", 6, BadNumber),
        ("len = 4294967296", 6, BadNumber),
        ("tcp host 10.0.0.1", 0, BadQualifier),
        ("udp or ip host fd00::1", 7, BadQualifier),
        ("ip port 80", 0, BadQualifier),
        ("host 2:0:0:0:0:1", 0, BadQualifier),
        ("port 80 or 10.0.0.1", 0, BadQualifier),
        ("tcp proto 6", 0, BadQualifier),
        ("tcp multicast", 0, BadQualifier),
        ("tcp and ether", 8, BadQualifier),
        ("tcp[0:3] = 1", 6, BadSize),
        ("len / 0 = 1", 4, DivisionByZero),
        ("len % (1 - 1) = 1", 4, DivisionByZero),
        ("len << 32 = 1", 4, ShiftTooFar),
        ("net 10.0.0.1/8", 4, HostBits),
        ("net fd00::1/64", 4, HostBits),
        ("src net 10.1 mask 255.0", 8, HostBits),
        ("host 10.0.0.0/8", 13, MaskWithoutNet),
        ("src 10.0.0.0 mask 255.0.0.0", 13, MaskWithoutNet),
        ("host fd00::/8", 11, MaskWithoutNet),
        ("host example.org", 5, NameNotLookedUp),
        ("host 10.0.0.1 or example", 17, NameNotLookedUp),
        ("net loopback", 4, NameNotLookedUp),
        ("tcp or 80", 7, NoQualifier),
        ("80 or tcp", 0, NoQualifier),
        ("10.1", 0, NoQualifier),
        ("gateway 10.0.0.1", 0, NotSupported),
        ("tcp and inbound", 8, NotSupported),
        ("ip6 protochain 6", 4, NotSupported),
        ("ip broadcast", 0, NotSupported),
        ("ah[0] = 1", 0, NotSupported),
        ("wlan host 2:0:0:0:0:1", 0, NotSupported),
        ("port frob", 5, UnknownName),
        ("tcp port ntp", 9, UnknownName),
        ("portrange ssh-frob", 14, UnknownName),
        ("proto \\frob", 6, UnknownName),
        ("ether proto tcp", 12, UnknownName),
        ("tcp dst prot 80", 8, UnknownWord),
        ("(net prot 10.1) or tcp", 5, UnknownWord),
        ("(host example)", 6, NameNotLookedUp),
    ];
    for (expression, position, kind) in cases {
        assert_eq!(expression.parse::<Filter>(), Err(FilterError { position, kind }), "{expression}");
    }
    let error = "tcp or host example.org".parse::<Filter>().unwrap_err();
    assert_eq!(error.to_string(), "names of hosts and networks are not looked up at position 12");
}

#[test]
fn programs_are_bounded() {
    let kind = |expression: &str| expression.parse::<Filter>().map(drop).map_err(|e| e.kind);
    let (long, deep) = (Err(FilterErrorKind::TooLong), Err(FilterErrorKind::TooDeep));
    let terms = |n| std::vec!["tcp"; n].join(" or ");
    assert_eq!((kind(&terms(64)), kind(&terms(65))), (Ok(()), long));
    let compared = |n| std::vec!["ip[2] = 3"; n].join(" and ");
    assert_eq!((kind(&compared(25)), kind(&compared(26))), (Ok(()), long)); // five steps each
    let nested = |open: &str, n: usize, close: &str| open.repeat(n) + "tcp" + &close.repeat(n);
    assert_eq!((kind(&nested("(", 31, ")")), kind(&nested("(", 32, ")"))), (Ok(()), deep));
    assert_eq!((kind(&nested("not ", 31, "")), kind(&nested("! ", 32, ""))), (Ok(()), deep));
    assert_eq!(kind(&nested("(", 100_000, ")")), deep);
    assert_eq!(kind(&std::format!("port {}80", "(".repeat(100_000))), deep);
    assert_eq!(kind(&std::format!("{}len = 1", "-".repeat(100_000))), deep);
    assert_eq!(kind(&std::format!("{}5{} = len", "ip[".repeat(100), "]".repeat(100))), deep);
    // Numbers that wait: each `1 +` one, and those on the right of the comparison.
    let waiting = |n: usize| "len = ".to_string() + &"(len + ".repeat(n) + "len" + &")".repeat(n);
    assert_eq!((kind(&waiting(14)), kind(&waiting(15))), (Ok(()), deep));
    // The deepest stack of outcomes that a program can have.
    let mut right = filter("tcp");
    for _ in 1..64 {
        right = filter("tcp").and(&right).unwrap();
    }
    let data = &frames()[0];
    assert!(right.matches(&Frame::ethernet(Instant(0), data), &parse(LinkType::Ethernet, data).unwrap()));
    assert!(right.could_match(Family::V4, Some(6)) && !right.could_match(Family::V4, Some(17)));
    assert_eq!(filter("tcp").and(&right).unwrap_err().kind, FilterErrorKind::TooLong);
}

/// The packet that goes the other way between the same ends.
fn answered(data: &[u8], ip: usize, transport: usize) -> Vec<u8> {
    let mut swapped = data.to_vec();
    let (at, len) = if data[ip] >> 4 == 6 { (ip + 8, 16) } else { (ip + 12, 4) };
    for (at, len) in [(0, 6), (at, len), (transport, 2)] {
        let (a, b) = swapped[at..at + 2 * len].split_at_mut(len);
        a.swap_with_slice(b);
    }
    swapped
}

fn word() -> impl Strategy<Value = &'static str> {
    const WORDS: &[&str] = &[
        "tcp",
        "udp",
        "ip",
        "ip6",
        "not",
        "and",
        "or",
        "(",
        ")",
        "port 80",
        "icmp",
        "vlan",
        "len",
        "<",
        "=",
        "[",
        "]",
        "+",
        "-",
        "%",
        "<<",
        "5",
        "0",
        "ip[",
        "tcp[13]",
        "host",
        "net",
        "10.0.0.0",
        "/",
        "mask",
        "fd00::1",
        "ether",
        "src",
        "dst",
        "proto",
        "\\tcp",
        ":",
        "2",
        "less",
        "portrange",
        "80-90",
        "mpls",
        "multicast",
        "!",
        "&&",
    ];
    prop::sample::select(WORDS)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn printed_trees_select_what_the_trees_do(input in prop::collection::vec(any::<u8>(), 300..700)) {
        crate::model::filter::run(&input);
    }

    #[test]
    fn any_text_compiles_or_is_refused(text in "[a-z0-9 ./:()!&|<>=+*%^\\\\\\[\\]-]{0,60}|\\PC{0,40}") {
        if let Ok(filter) = text.parse::<Filter>() {
            for f in frames() {
                let _ = filter.matches(&Frame::ethernet(Instant(0), &f), &parse(LinkType::Ethernet, &f).unwrap());
            }
        }
    }

    #[test]
    fn words_in_any_order_compile_or_are_refused_where_they_are(words in prop::collection::vec(word(), 0..14)) {
        let text = words.join(" ");
        match text.parse::<Filter>() {
            Ok(filter) => for f in frames() {
                let packet = parse(LinkType::Ethernet, &f).unwrap();
                let could = filter.could_match(packet.family, Some(packet.protocol));
                prop_assert!(could || !filter.matches(&Frame::ethernet(Instant(0), &f), &packet), "{}", text);
                prop_assert!(could <= filter.could_match(packet.family, None));
            },
            Err(e) => prop_assert!(e.position <= text.len() && text.is_char_boundary(e.position)),
        }
    }

    #[test]
    fn a_reversed_match_is_a_match_of_the_reversed_packet(input in prop::collection::vec(any::<u8>(), 300..500)) {
        let (octets, rest) = input.split_at(160);
        let tree = tree(&mut Source::new(octets), Dialect::Ours);
        let (data, _) = frame(&mut Source::new(rest), Link::Ethernet);
        let packet = parse(LinkType::Ethernet, &data).unwrap();
        if tree.compares() || data.len() < packet.transport + 4 {
            return Ok(());
        }
        let filter = filter(&tree.to_string());
        let answer = answered(&data, packet.ip, packet.transport);
        let (frame, answer) = (Frame::ethernet(Instant(0), &data), Frame::ethernet(Instant(0), &answer));
        prop_assert_eq!(filter.matches_reversed(&frame, &packet), filter.matches(&answer, &packet), "{}", tree);
    }
}
