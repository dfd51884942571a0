//! What the language has names for.

use super::test::{Ports, Protocol};
use crate::wire::Family;

/// The protocol that a word names as a qualifier, alone, or before an index.
pub(super) fn protocol(word: &str) -> Option<Protocol> {
    let over = |number, family| Protocol::Over { number, family };
    let (v4, v6) = (Some(Family::V4), Some(Family::V6));
    Some(match word {
        "ether" | "link" => Protocol::Link,
        "ip" => Protocol::Ip(Family::V4),
        "ip6" => Protocol::Ip(Family::V6),
        "arp" | "rarp" => Protocol::Absent,
        "icmp" => over(1, v4),
        "igmp" => over(2, v4),
        "tcp" => over(6, None),
        "igrp" => over(9, v4),
        "udp" => over(17, None),
        "esp" => over(50, None),
        "ah" => over(51, None),
        "icmp6" => over(58, v6),
        "pim" => over(103, None),
        "vrrp" | "carp" => over(112, v4),
        "sctp" => over(132, None),
        _ => return None,
    })
}

/// Words of the pcap language that have no meaning here: other links, what a capture can't tell, other layers.
pub(super) fn is_unsupported(word: &str) -> bool {
    const WORDS: &str = "aarp action addr1 addr2 addr3 addr4 address1 address2 address3 address4 atalk batadv bcc byte clnp \
        connectmsg csnp decnet dir direction dpc es-is esis fddi fisu gateway geneve hdpc hfisu hlssu hmsu \
        hopc hsio hsls ifindex ifname iih ilmic inbound ipx is-is isis iso l1 l2 lane lat llc lsp lssu lsu \
        metac metaconnect mopdl moprc msu netbeui oam oamf4 oamf4ec oamf4sc on opc outbound ppp pppoed \
        pppoes protochain psnp ra radio reason rnr rset rulenum ruleset sc sca sio slip sls snp srnr stp \
        subrulenum subtype ta tr type vci vpi vxlan wlan";
    WORDS.split_ascii_whitespace().any(|w| w == word)
}

/// Whether a word begins a term, or has its place in one; anything else is a name.
pub(super) fn is_reserved(word: &str) -> bool {
    const WORDS: &str = "and broadcast dst greater host len length less mask mpls multicast net or port portrange \
        proto src vlan";
    let is_symbol = !word.starts_with(|c: char| c.is_ascii_alphanumeric());
    is_symbol
        || WORDS.split_ascii_whitespace().any(|w| w == word)
        || protocol(word).is_some()
        || is_unsupported(word)
}

/// A protocol's number by its name (IANA's, in lower case).
pub(super) fn protocol_number(name: &str) -> Option<u8> {
    Some(match name {
        "ip" | "hopopt" => 0,
        "icmp" => 1,
        "igmp" => 2,
        "ggp" => 3,
        "ipencap" => 4,
        "st" => 5,
        "tcp" => 6,
        "egp" => 8,
        "igp" | "igrp" => 9,
        "udp" => 17,
        "dccp" => 33,
        "ipv6" | "ip6" => 41,
        "ipv6-route" => 43,
        "ipv6-frag" => 44,
        "rsvp" => 46,
        "gre" => 47,
        "esp" | "ipsec-esp" => 50,
        "ah" | "ipsec-ah" => 51,
        "ipv6-icmp" | "icmp6" => 58,
        "ipv6-nonxt" => 59,
        "ipv6-opts" => 60,
        "eigrp" => 88,
        "ospf" => 89,
        "etherip" => 97,
        "pim" => 103,
        "ipcomp" => 108,
        "vrrp" | "carp" => 112,
        "l2tp" => 115,
        "sctp" => 132,
        "mobility-header" => 135,
        "udplite" => 136,
        "mpls-in-ip" => 137,
        _ => return None,
    })
}

/// An Ethernet type by the name of its protocol.
pub(super) fn ether_type(name: &str) -> Option<u16> {
    Some(match name {
        "ip" => 0x0800,
        "arp" => 0x0806,
        "rarp" => 0x8035,
        "ip6" => 0x86dd,
        _ => return None,
    })
}

/// The port of a well-known service, and over what it is spoken.
pub(super) fn service(name: &str) -> Option<(u16, Ports)> {
    const SERVICES: &[(&str, u16, Ports)] = &[
        ("ftp-data", 20, Ports::TCP),
        ("ftp", 21, Ports::TCP),
        ("ssh", 22, Ports::TCP),
        ("telnet", 23, Ports::TCP),
        ("smtp", 25, Ports::TCP),
        ("whois", 43, Ports::TCP),
        ("tacacs", 49, Ports::ALL),
        ("domain", 53, Ports::ALL),
        ("bootps", 67, Ports::UDP),
        ("bootpc", 68, Ports::UDP),
        ("tftp", 69, Ports::UDP),
        ("gopher", 70, Ports::TCP),
        ("finger", 79, Ports::TCP),
        ("http", 80, Ports::TCP),
        ("kerberos", 88, Ports::ALL),
        ("pop3", 110, Ports::TCP),
        ("sunrpc", 111, Ports::ALL),
        ("nntp", 119, Ports::TCP),
        ("ntp", 123, Ports::UDP),
        ("netbios-ns", 137, Ports::UDP),
        ("netbios-dgm", 138, Ports::UDP),
        ("netbios-ssn", 139, Ports::TCP),
        ("imap", 143, Ports::TCP),
        ("imap2", 143, Ports::TCP),
        ("snmp", 161, Ports::ALL),
        ("snmp-trap", 162, Ports::ALL),
        ("bgp", 179, Ports::TCP),
        ("irc", 194, Ports::ALL),
        ("ldap", 389, Ports::ALL),
        ("https", 443, Ports::ALL),
        ("microsoft-ds", 445, Ports::TCP),
        ("submissions", 465, Ports::TCP),
        ("isakmp", 500, Ports::UDP),
        ("syslog", 514, Ports::ALL),
        ("printer", 515, Ports::TCP),
        ("rtsp", 554, Ports::ALL),
        ("submission", 587, Ports::TCP),
        ("ipp", 631, Ports::TCP),
        ("ldaps", 636, Ports::ALL),
        ("domain-s", 853, Ports::ALL),
        ("rsync", 873, Ports::TCP),
        ("imaps", 993, Ports::TCP),
        ("pop3s", 995, Ports::TCP),
        ("ms-sql-s", 1433, Ports::TCP),
        ("radius", 1812, Ports::ALL),
        ("nfs", 2049, Ports::ALL),
        ("mysql", 3306, Ports::TCP),
        ("sip", 5060, Ports::ALL),
        ("sip-tls", 5061, Ports::ALL),
        ("postgresql", 5432, Ports::TCP),
        ("x11", 6000, Ports::TCP),
        ("http-alt", 8080, Ports::TCP),
    ];
    SERVICES.iter().find(|(n, ..)| *n == name).map(|(_, port, over)| (*port, *over))
}

/// Fields and values that stand for a number.
pub(super) fn constant(name: &str) -> Option<u32> {
    const CONSTANTS: &[(&str, u32)] = &[
        // Offsets.
        ("icmptype", 0),
        ("icmpcode", 1),
        ("icmp6type", 0),
        ("icmp6code", 1),
        ("tcpflags", 13),
        // RFC 9293, 3.1.
        ("tcp-fin", 0x01),
        ("tcp-syn", 0x02),
        ("tcp-rst", 0x04),
        ("tcp-push", 0x08),
        ("tcp-ack", 0x10),
        ("tcp-urg", 0x20),
        ("tcp-ece", 0x40),
        ("tcp-cwr", 0x80),
        // RFC 792, 950 and 1256.
        ("icmp-echoreply", 0),
        ("icmp-unreach", 3),
        ("icmp-sourcequench", 4),
        ("icmp-redirect", 5),
        ("icmp-echo", 8),
        ("icmp-routeradvert", 9),
        ("icmp-routersolicit", 10),
        ("icmp-timxceed", 11),
        ("icmp-paramprob", 12),
        ("icmp-tstamp", 13),
        ("icmp-tstampreply", 14),
        ("icmp-ireq", 15),
        ("icmp-ireqreply", 16),
        ("icmp-maskreq", 17),
        ("icmp-maskreply", 18),
        // IANA's ICMPv6 types.
        ("icmp6-destinationunreach", 1),
        ("icmp6-packettoobig", 2),
        ("icmp6-timeexceeded", 3),
        ("icmp6-parameterproblem", 4),
        ("icmp6-echo", 128),
        ("icmp6-echoreply", 129),
        ("icmp6-multicastlistenerquery", 130),
        ("icmp6-multicastlistenerreportv1", 131),
        ("icmp6-multicastlistenerdone", 132),
        ("icmp6-routersolicit", 133),
        ("icmp6-routeradvert", 134),
        ("icmp6-neighborsolicit", 135),
        ("icmp6-neighboradvert", 136),
        ("icmp6-redirect", 137),
        ("icmp6-routerrenum", 138),
        ("icmp6-nodeinformationquery", 139),
        ("icmp6-nodeinformationresponse", 140),
        ("icmp6-ineighbordiscoverysolicit", 141),
        ("icmp6-ineighbordiscoveryadvert", 142),
        ("icmp6-multicastlistenerreportv2", 143),
        ("icmp6-homeagentdiscoveryrequest", 144),
        ("icmp6-homeagentdiscoveryreply", 145),
        ("icmp6-mobileprefixsolicit", 146),
        ("icmp6-mobileprefixadvert", 147),
        ("icmp6-certpathsolicit", 148),
        ("icmp6-certpathadvert", 149),
        ("icmp6-multicastrouteradvert", 151),
        ("icmp6-multicastroutersolicit", 152),
        ("icmp6-multicastrouterterm", 153),
    ];
    CONSTANTS.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
}
