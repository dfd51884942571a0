//! Names: constants are libpcap's own, those of ports and protocols come from the system's `/etc` and can lack there.

use super::selected;
use super::tcpdump::Tcpdump;
use mos_flow::LinkType;
use mos_flow::filter::{Filter, FilterErrorKind};
use mos_flow::wire::parse;
use std::collections::BTreeSet;

const CONSTANTS: &str = "icmptype icmpcode icmp6type icmp6code tcpflags tcp-fin tcp-syn tcp-rst tcp-push tcp-ack \
    tcp-urg tcp-ece tcp-cwr icmp-echoreply icmp-unreach icmp-sourcequench icmp-redirect icmp-echo icmp-routeradvert \
    icmp-routersolicit icmp-timxceed icmp-paramprob icmp-tstamp icmp-tstampreply icmp-ireq icmp-ireqreply \
    icmp-maskreq icmp-maskreply icmp6-destinationunreach icmp6-packettoobig icmp6-timeexceeded \
    icmp6-parameterproblem icmp6-echo icmp6-echoreply icmp6-multicastlistenerquery icmp6-multicastlistenerreportv1 \
    icmp6-multicastlistenerdone icmp6-routersolicit icmp6-routeradvert icmp6-neighborsolicit icmp6-neighboradvert \
    icmp6-redirect icmp6-routerrenum icmp6-nodeinformationquery icmp6-nodeinformationresponse \
    icmp6-ineighbordiscoverysolicit icmp6-ineighbordiscoveryadvert icmp6-multicastlistenerreportv2 \
    icmp6-homeagentdiscoveryrequest icmp6-homeagentdiscoveryreply icmp6-mobileprefixsolicit icmp6-mobileprefixadvert \
    icmp6-certpathsolicit icmp6-certpathadvert icmp6-multicastrouteradvert icmp6-multicastroutersolicit \
    icmp6-multicastrouterterm";

const SERVICES: &str = "ftp-data ftp ssh telnet smtp whois tacacs domain bootps bootpc tftp gopher finger http \
    kerberos pop3 sunrpc nntp ntp netbios-ns netbios-dgm netbios-ssn imap imap2 snmp snmp-trap bgp irc ldap https \
    microsoft-ds submissions isakmp syslog printer rtsp submission ipp ldaps domain-s rsync imaps pop3s ms-sql-s \
    radius nfs mysql sip sip-tls postgresql x11 http-alt";

const PROTOCOLS: &str = "ip hopopt icmp igmp ggp ipencap st tcp egp igp udp dccp ipv6 ipv6-route ipv6-frag rsvp gre \
    esp ah ipv6-icmp ipv6-nonxt ipv6-opts eigrp ospf etherip pim ipcomp vrrp l2tp sctp mobility-header udplite \
    mpls-in-ip";

/// An IPv4 packet of a protocol with a port on its source side.
fn packet(protocol: u8, port: u16) -> (Vec<u8>, u32) {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend(port.to_be_bytes());
    frame.extend([0xff, 0xff, 0, 8, 0, 0]);
    (frame, 42)
}

/// What `before name` selects, by us and by libpcap, for each name that the system knows too; and those it does not.
type Compared = (Vec<(Vec<bool>, Vec<bool>)>, Vec<String>);

fn compare(frames: &[(Vec<u8>, u32)], file: &str, before: &str, names: &str) -> Option<Compared> {
    let tcpdump = Tcpdump::over(frames, file)?;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for name in names.split_whitespace() {
        let expression = format!("{before}{name}");
        let ours = selected(&expression, frames);
        assert!(ours.contains(&true), "`{expression}` selects a frame");
        match tcpdump.selects(&expression) {
            Ok(theirs) => known.push((ours, theirs)),
            Err(_) => unknown.push(name.into()),
        }
    }
    Some((known, unknown))
}

#[test]
fn constants_have_the_values_of_libpcap() {
    let frame = |n| {
        let (mut data, len) = packet(253, 0);
        data[0] = n;
        (data, len)
    };
    let frames: Vec<_> = (0..=255).map(frame).collect();
    let Some((known, unknown)) = compare(&frames, "constants", "ether[0] = ", CONSTANTS) else { return };
    assert_eq!(unknown, Vec::<String>::new());
    assert!(known.iter().all(|(ours, theirs)| ours == theirs));
    eprintln!("libpcap gives {} named constants the same value", known.len());
}

#[test]
fn services_have_the_ports_of_the_system() {
    let specials = [1433, 1812, 2049, 3306, 5060, 5061, 5432, 6000, 8080];
    let ports: Vec<u16> = (0..=1024).chain(specials).collect();
    let frames: Vec<_> =
        [6, 17, 132].iter().flat_map(|p| ports.iter().map(|port| packet(*p, *port))).collect();
    let Some((known, unknown)) = compare(&frames, "services", "src port ", SERVICES) else { return };
    // Over what they are spoken differs between systems and years, ports do not.
    let of = |selected: &[bool]| -> BTreeSet<u16> {
        ports.iter().cycle().zip(selected).filter(|(_, is)| **is).map(|(port, _)| *port).collect()
    };
    assert!(known.iter().all(|(ours, theirs)| of(ours) == of(theirs)));
    if known.is_empty() {
        eprintln!("SKIPPED: no comparison of services, as the system has no /etc/services");
    }
    let same = known.iter().filter(|(ours, theirs)| ours == theirs).count();
    eprintln!(
        "the system knows {} of our services, with the same ports, {same} over the same protocols; not {unknown:?}",
        known.len()
    );
}

#[test]
fn protocols_have_the_numbers_of_the_system() {
    // Those that the walker looks into are not the packet's own protocol to us.
    let is_plain = |frame: &(Vec<u8>, u32)| {
        parse(LinkType::Ethernet, &frame.0).is_ok_and(|p| p.protocol == frame.0[23] && p.transport == 34)
    };
    let frames: Vec<_> = (0..=255).map(|p| packet(p, 0)).filter(is_plain).collect();
    let looked_into = |name: &&str| {
        let expression = format!("proto \\{name}");
        expression.parse::<Filter>().map_err(|e| e.kind) != Err(FilterErrorKind::UnknownName)
            && !selected(&expression, &frames).contains(&true)
    };
    let names: Vec<_> = PROTOCOLS.split_whitespace().filter(|n| !looked_into(n)).collect();
    let Some((known, unknown)) = compare(&frames, "protocols", "proto \\", &names.join(" ")) else { return };
    assert!(known.iter().all(|(ours, theirs)| ours == theirs));
    if known.is_empty() {
        eprintln!("SKIPPED: no comparison of protocols, as the system has no /etc/protocols");
    }
    eprintln!("the system knows {} of our protocols, with the same numbers; not {unknown:?}", known.len());
}
