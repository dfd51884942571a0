//! Interfaces of Linux by DPDK's drivers for them, with a packet socket of ours at the other end.

use super::{ADDRESSES, ETHERTYPE, between_interfaces, end, frames, open, receive, say, send, start};
use mos_dpdk::port::Port;
use mos_dpdk::port::af_packet::{AfPacket, Options as Packets};
use mos_dpdk::port::dpdk::{Dpdk, Options};
use std::net::SocketAddr;
use std::process::Command;

fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}

fn up(name: &str) {
    ip(&format!("link set {name} addrgenmode none"));
    ip(&format!("link set {name} up"));
}

fn pair() {
    ip("link add here type veth peer name there");
    up("here");
    up("there");
}

/// A segment of TCP over IPv4, without checksums.
fn segment(source: [u8; 5], destination: [u8; 5]) -> Vec<u8> {
    let mut frame = [&ADDRESSES[..], &[8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]].concat();
    frame.extend([&source[..4], &destination[..4]].concat());
    frame.extend([4, source[4], 4, destination[4]]);
    frame.extend([0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
    frame
}

#[test]
fn two_queues_of_an_interface_share_and_both_directions_are_one_queues() {
    let name = "interfaces::two_queues_of_an_interface_share_and_both_directions_are_one_queues";
    between_interfaces(name, || {
        const FLOWS: usize = 1000;
        pair();
        let eal = start(&["net_af_packet0,iface=here,qpairs=2"]);
        let options = Options { queues: 2, buffers: 4096, ..Options::default() };
        let mut ports = Dpdk::open(&eal, "net_af_packet0", &options).unwrap();
        let mut there = AfPacket::open("there", &Packets::inline()).unwrap();
        let ends = |n: usize| ([10, 0, 0, (n % 200) as u8, (n / 200) as u8], [10, 1, (n % 7) as u8, 1, 80]);
        let mut counts = [0, 0];
        for n in 0..FLOWS {
            let ((one, other), mut came) = (ends(n), [0, 0]);
            assert_eq!(send(&mut there, &[segment(one, other), segment(other, one)]), 2);
            let start = std::time::Instant::now();
            while came.iter().sum::<usize>() < 2 && start.elapsed().as_secs() < 10 {
                for (port, came) in ports.iter_mut().zip(&mut came) {
                    port.receive(&mut |frames| *came += frames.len()).unwrap();
                }
            }
            assert!(came.contains(&2), "flow {n}: {came:?}");
            counts[usize::from(came[1] == 2)] += 1;
        }
        say(&format!("dpdk: of {FLOWS} connections {counts:?} by queue, none in both"));
        assert!(counts.iter().all(|count| *count > FLOWS / 4), "{counts:?}");
        // Tags are taken out by the kernel, and are put back.
        let tagged = [&ADDRESSES[..], &[0x81, 0, 0x20, 7], &ETHERTYPE, &[7; 46]].concat();
        send(&mut there, std::slice::from_ref(&tagged));
        let came: Vec<Vec<u8>> = ports.iter_mut().flat_map(|port| receive(port, 1)).collect();
        assert_eq!(came, [tagged]);
        let octets = frames(200);
        assert_eq!(send(&mut ports[1], &octets), octets.len());
        assert!(receive(&mut there, octets.len()) == octets);
        drop(ports);
        end(eal);
    });
}

#[test]
fn a_tap_device_is_a_cable_to_the_kernel() {
    between_interfaces("interfaces::a_tap_device_is_a_cable_to_the_kernel", || {
        let eal = start(&["net_tap0,iface=there"]);
        let mut port = open(&eal, "net_tap0");
        let at_start = eal.buffers();
        up("there");
        let mut there = AfPacket::open("there", &Packets::inline()).unwrap();
        let octets = frames(200);
        assert_eq!(send(&mut port, &octets), octets.len());
        assert!(receive(&mut there, octets.len()) == octets);
        assert_eq!(send(&mut there, &octets), octets.len());
        // What the kernel says when an interface comes up is there, too.
        let mut came = receive(&mut port, usize::MAX);
        came.retain(|frame| frame[..12] == ADDRESSES);
        assert_eq!(came.len(), octets.len());
        assert!(came == octets);
        let ends: (SocketAddr, SocketAddr) =
            ("10.0.0.1:1025".parse().unwrap(), "10.0.0.2:1104".parse().unwrap());
        let segment = segment([10, 0, 0, 1, 1], [10, 0, 0, 2, 80]);
        let is_ignored = port.ignore(ends);
        send(&mut there, std::slice::from_ref(&segment));
        let came = receive(&mut port, 1);
        if is_ignored {
            assert!(came.is_empty(), "{came:?}");
        } else {
            say(
                "SKIPPED: this kernel has no rules for connections; that a device drops packets was not tried",
            );
            assert_eq!(came, [segment]);
        }
        drop(port);
        // The driver has its own as long as there is the device.
        assert_eq!(eal.buffers(), at_start);
        drop(eal);
        super::assert_nothing_is_left();
    });
}
