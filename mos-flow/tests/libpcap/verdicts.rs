//! Expressions by hand: corners of the grammar, what both refuse, and where they part on purpose.

use super::tcpdump::Tcpdump;
use super::{generated_frames, selected};
use mos_flow::filter::Filter;

/// What both take, and mean the same by.
const SAME: &[&str] = &[
    "",
    // Ranks, and what an id takes over from the one before.
    "not port 80 or 443",
    "not (port 80 or 443)",
    "tcp port 80 or udp",
    "udp or tcp and port 80",
    "host 10.0.0.1 and port 80 or 443",
    "port 80 or (443 or 53)",
    "port 80 or (tcp or udp) and 443",
    "port 80 and (tcp port 443 or 53) or 40000",
    "port (80 or 443)",
    "port ((80))",
    "port not 80 and not 443",
    "not not tcp",
    "!tcp&&!udp",
    "src 10.0.0.1 or 10.0.0.2",
    "src host 10.0.0.1 or dst 10.0.0.2",
    "src||dst port 80",
    "dst&&src net 10",
    "proto 6 or 17",
    "ether proto 0x800 or 0x86dd",
    "ether src 2:0:0:0:0:1 or 2:0:0:0:0:2",
    // Addresses and numbers in all their forms.
    "net 10",
    "net 010",
    "net 10.1",
    "net 2560",
    "net 0",
    "net 10.0.0",
    "net 10.0.0.0 / 8",
    "net 10.0/16",
    "net 10.0 mask 255.255",
    "net 10.0.0.0 mask 255.0.255.0",
    "host 10.0",
    "host 167772161",
    "host 010.0.0.01",
    "net fd00::/8",
    "host fd00::1/128",
    "net fd00::1",
    "net ::/0",
    "net 0.0.0.0/0",
    "portrange 53-80",
    "portrange 80-53",
    "portrange 80",
    "portrange 0080-443",
    "port 0x50 or 0120",
    "ether host 02-00-00-00-00-01",
    "ether host 2.0.0.0.0.1",
    "ether host 0200.0000.0001",
    "ether host 020000000001",
    "ether dst host 1:0:5e:0:0:5",
    "proto \\tcp",
    "ip proto \\icmp or \\udp",
    "ip6 proto \\ipv6-icmp",
    "ether proto \\ip6",
    "less 70",
    "greater 0x46",
    // Sums. `%` and `^` have no rank.
    "len ^ 1 + 2 = 75",
    "len + 1 ^ 2 > 80",
    "len % 7 * 2 = 3",
    "len - 1 % 4 + 2 > 60",
    "-len ^ 2 < 4294967200",
    "-len % 3 + 1 = 4294967295",
    "len - 20 - 10 > 40",
    "len - 4 * 2 + 1 << 1 & 0xff | 1 > 90",
    "(len) = 80 or (70) < len",
    "1 = 1",
    "((len - (1))) & (1) == 0",
    "length > 70",
    "ip[0] & 0xf != 5",
    "ip[8:1]<64",
    "ip[16:4]=0x0a000001",
    "ip[2:2]-((ip[0]&0xf)<<2)>40",
    "tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn and ip",
    "icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply",
    "icmp6[icmp6type] = icmp6-echo or icmp6[icmp6code] > 128",
    "ip and tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420",
    "ether[0] & 1 = 0 and ip[16] >= 224",
    "link[12:2] = 0x800",
    "arp[6:2] = 1 or not rarp[0] = 0",
    // A load that fails refuses the packet, unless it is not come to.
    "not ip[200] = 0",
    "tcp or ip[200] = 0",
    "udp and ip[200] = 0",
    "not (udp and not ip[200] = 0)",
    "ip[200] = 0 or tcp",
    "not tcp[60] = 1 and ip",
    "icmp6[0 - 1] = 0",
    "not icmp6[0 - 1] = 0",
    "tcp[0xffffffff] >= 0 and ip",
    "ip and tcp[-4:4] = 0x0a000001",
    "ip[0xffffffff:4] = 0 or tcp",
    "ip and not len / ip[6] = 0",
    "len % ether[15] > 3",
    "tcp[2:2] << ip[1] = 0 and ip",
    // Bounds.
    "vlan (0xfff) and tcp",
    "mpls 1048575",
    "not arp",
    "arp host 10.0.0.1 or tcp",
    "vrrp[0] >= 0 or carp",
    "igrp",
];

/// What both refuse.
const BOTH_REFUSE: &[&str] = &[
    "tcp and",
    "and tcp",
    "not",
    "()",
    "(tcp",
    "tcp)",
    "tcp udp",
    "tcp frob",
    "TCP",
    "Port 80",
    "ip AND tcp",
    "tcp @ 3",
    "$1",
    "port",
    "src",
    "src and port 80",
    "80",
    "tcp or 80",
    "vlan 5 or 6",
    "(port 80) or 443",
    "not (port 80 or 443) and 22",
    "port 80 and 10.0.0.1",
    "port 80 or udp 443",
    "tcp (port 80)",
    "len",
    "len > 5 and < 6",
    "len > 5 > 6",
    "len-4 > 5",
    "tcp[13]",
    "tcp[13 & 2 != 0",
    "tcp[] = 0",
    "tcp[0:] = 0",
    "ip[0:3] = 1",
    "ip[0:0] = 1",
    "ip[0:len] = 1",
    "ah[0] = 1",
    "esp[0] = 1",
    "(tcp) = 1",
    "(port 80) > 5",
    "len / 0 = 1",
    "len % 0 = 1",
    "len << 32 = 1",
    "ip[0] = 09",
    "08 = len",
    "0x = len",
    "greater 4294967296",
    "less foo",
    "less (100)",
    "less",
    "vlan 4096",
    "vlan (5",
    "mpls 1048576",
    "port 65536",
    "port 80-90",
    "port 10.0",
    "port fd00::1",
    "port nosuchservice",
    "portrange 1-65536",
    "portrange 80 - 90",
    "portrange 80-frob",
    "tcp port ntp",
    "udp port http",
    "ip port 80",
    "ip6 port 80",
    "icmp port 5",
    "ether port 80",
    "tcp host 10.0.0.1",
    "tcp dst 10.0.0.1",
    "tcp src 80",
    "udp net 10",
    "ip6 host 10.0.0.1",
    "ip host fd00::1",
    "arp host fd00::1",
    "ether host 10.0.0.1",
    "ether host tcp",
    "host 2:0:0:0:0:1",
    "ether 2:0:0:0:0:1",
    "ether net 10",
    "ether",
    "host 10.0.0.256",
    "host 1.2.3.4.5",
    "host 1:2",
    "host 1:2:3",
    "host fe80::xyz",
    "host nosuch.invalid",
    "net nosuchnet",
    "net 10.0.0.1/8",
    "net fd00::1/64",
    "net 10.0.0.0/33",
    "net fd00::/129",
    "net 10/8",
    "net 10 mask 255.0.0.0",
    "net 10.0.0.0 mask 8",
    "net fd00:: mask 255.0.0.0",
    "net 10.0.0.1 mask 255.0.0.0",
    "host 10.0.0.0/8",
    "host fd00::/8",
    "src 10.0.0.0/8",
    "host 10.0.0.0 mask 255.0.0.0",
    "proto frob",
    "proto 10.0",
    "tcp proto 6",
    "arp proto 6",
    "ether proto \\frob",
    "src proto 6",
    "tcp multicast",
    "arp broadcast",
    "gateway 10.0.0.1",
    "inbound",
    "outbound",
    "type mgt",
    "tcp type mgt",
];

/// What only we take, as the module says: an address alone, protocols without the backslash, ids beside other terms;
/// and where libpcap takes the index of a load for a divisor or a shift.
const OURS_ALONE: &[&str] = &[
    "10.0.0.1",
    "fd00::1 or tcp",
    "tcp and not 10.0.0.1",
    "proto tcp",
    "ip proto udp",
    "ether proto ip",
    "proto 6 or (not 17 and ip)",
    "port 80 or (443 and tcp)",
    "len / ip[0] = 1",
    "len << ip[32] = 1",
];

/// What only libpcap takes: other links and layers, what depends on the machine, and constants that are a mistake.
const LIBPCAP_ALONE: &[&str] = &[
    "ip protochain 6",
    "protochain 6",
    "pppoed",
    "pppoes 5",
    "geneve",
    "llc",
    "stp",
    "iso proto 1",
    "byte 5 = 6",
    "ip broadcast",
    "fddi[0] = 1",
    "decnet",
    "proto 256",
    "ether proto 65536",
    "ether proto \\lat",
    "len / (1 - 1) = 1",
    "len << (16 + 16) = 1",
];

#[test]
fn corners_of_the_grammar_mean_the_same() {
    let frames = generated_frames(400);
    let Some(tcpdump) = Tcpdump::over(&frames, "corners") else { return };
    let mut selecting = 0;
    for expression in SAME {
        let theirs = tcpdump.selects(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
        let ours = selected(expression, &frames);
        let differing = (0..frames.len()).find(|i| ours[*i] != theirs[*i]);
        assert_eq!(differing, None, "`{expression}` on {:x?}", differing.map(|i| &frames[i]));
        selecting += u32::from(theirs.contains(&true) && theirs.contains(&false));
    }
    eprintln!(
        "libpcap agrees on {} expressions by hand ({selecting} select some frames and not others)",
        SAME.len()
    );
}

#[test]
fn the_same_expressions_are_refused_but_for_known_ones() {
    let Some(tcpdump) = Tcpdump::over(&generated_frames(1), "refused") else { return };
    let lists = [(BOTH_REFUSE, false, false), (OURS_ALONE, true, false), (LIBPCAP_ALONE, false, true)];
    for (expressions, ours, theirs) in lists {
        for expression in expressions {
            let (filter, libpcap) = (expression.parse::<Filter>(), tcpdump.compiles(expression));
            assert_eq!(filter.is_ok(), ours, "`{expression}`: {filter:?}");
            assert_eq!(libpcap.is_ok(), theirs, "`{expression}`: libpcap says {libpcap:?}");
        }
    }
    eprintln!(
        "libpcap refuses the same {} expressions; {} are taken only by us, {} only by libpcap",
        BOTH_REFUSE.len(),
        OURS_ALONE.len(),
        LIBPCAP_ALONE.len()
    );
}
