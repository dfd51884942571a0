//! Frames from one end of a pair to the other, without anybody else.

use super::frames::{
    ADDRESSES, ETHERTYPE, SOON, frame, frame_of, is_ready, promiscuity, receive, send, until,
};
use super::{alone, ip, pair, say};
use mos_dpdk::port::af_packet::{AfPacket, Options};
use mos_dpdk::port::{Port, Received};
use mos_flow::{Frame, Verdict};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use std::path::Path;
use std::time::Duration;

/// Both ways of the kernel to hand frames over.
pub(crate) fn both_ways() -> [Options; 2] {
    [Options::default(), Options::inline()]
}

pub(crate) fn open(name: &str, mut options: Options, set: impl FnOnce(&mut Options)) -> AfPacket {
    set(&mut options);
    AfPacket::open(name, &options).unwrap()
}

#[test]
fn frames_arrive_as_they_were_sent() {
    alone("raw::frames_arrive_as_they_were_sent", || {
        pair("here", "there");
        both_ways().into_iter().for_each(arrive);
    });
}

fn arrive(options: Options) {
    let open = |name, set: fn(&mut Options)| open(name, options, set);
    let (mut here, mut there) = (open("here", |_| ()), open("there", |_| ()));
    assert_eq!((here.name(), there.name()), ("here", "there"));
    let frames: Vec<Vec<u8>> = (0..1000).map(|n| frame(n, 60 + n)).collect();
    assert_eq!(send(&mut here, &frames), frames.len());
    assert!(receive(&mut there) == frames);
    assert!(receive(&mut here).is_empty(), "what it sends it does not see");
    let mut listener = open("here", |options| options.outgoing = true);
    assert_eq!(send(&mut here, &frames), frames.len());
    assert!(receive(&mut listener) == frames, "unless that is asked for");
    // What is dropped does not go, what is too large cannot, nor can what is not all there.
    let good = frame_of(&frames[0]);
    let large = vec![1; 1600];
    let mixed =
        [Frame { verdict: Verdict::Drop, ..good }, frame_of(&large), Frame { wire_len: 5000, ..good }, good];
    let before = here.statistics();
    assert_eq!(here.transmit(&mixed).unwrap(), 1);
    assert_eq!(here.statistics().refused - before.refused, 2);
    assert_eq!(receive(&mut there).last(), Some(&frames[0]));
}

#[test]
fn tags_stay() {
    alone("raw::tags_stay", || {
        pair("here", "there");
        let tagged = |tags: &[[u8; 4]]| [&ADDRESSES, tags.as_flattened(), &ETHERTYPE, &[7; 46]].concat();
        let (priority, customer, service) = ([0x81, 0, 0xe0, 0], [0x81, 0, 0x20, 7], [0x88, 0xa8, 0, 9]);
        let frames = [&[][..], &[priority], &[customer], &[service], &[service, customer]].map(tagged);
        for options in both_ways() {
            let [mut here, mut there] = ["here", "there"].map(|name| open(name, options, |_| ()));
            assert_eq!(send(&mut here, &frames), frames.len());
            assert!(receive(&mut there) == frames, "{options:?}");
        }
    });
}

#[test]
fn what_does_not_fit_is_counted() {
    alone("raw::what_does_not_fit_is_counted", || {
        pair("here", "there");
        both_ways().into_iter().for_each(overflow);
    });
}

fn overflow(options: Options) {
    const FRAMES: usize = 5000;
    let mut here = open("here", options, |_| ());
    let mut there = open("there", options, |o| o.memory = 256 << 10);
    let frames: Vec<Vec<u8>> = (0..FRAMES).map(|n| frame(n, 1000)).collect();
    assert_eq!(send(&mut here, &frames), FRAMES);
    let start = std::time::Instant::now();
    let mut statistics = there.statistics();
    while statistics.received + statistics.dropped < FRAMES as u64 && start.elapsed() < SOON * 30 {
        std::thread::sleep(Duration::from_millis(1));
        statistics = there.statistics();
    }
    say(&format!("of {FRAMES} frames {:?} had room for: {statistics:?}", options.handover));
    let (received, dropped) = (statistics.received as usize, statistics.dropped as usize);
    assert_eq!(received + dropped, FRAMES);
    // Time may end a block early; the queue has place for twice the octets, but counts those around a frame, too.
    assert!((1..=2 * (256 << 10) / 1000).contains(&received));
    assert!(receive(&mut there) == frames[..received], "the first ones are there");
    assert_eq!(there.statistics(), statistics, "counters go on from where they were");
    // When there is room again, frames come again.
    assert_eq!(send(&mut here, &frames[..50]), 50);
    assert!(receive(&mut there) == frames[..50]);
}

#[test]
fn an_interface_goes_down_and_up_and_away() {
    alone("raw::an_interface_goes_down_and_up_and_away", || {
        both_ways().into_iter().for_each(come_and_go);
    });
}

fn come_and_go(options: Options) {
    pair("here", "there");
    let [mut here, mut there] = ["here", "there"].map(|name| open(name, options, |_| ()));
    let frames = [frame(1, 60), frame(2, 1514)];
    ip("link set there down");
    assert_eq!(there.receive(&mut |_| ()).unwrap(), Received::Nothing);
    let start = std::time::Instant::now();
    while is_ready(&there, Duration::from_millis(50)) {
        assert!(start.elapsed() < Duration::from_secs(10), "it can be waited for when all is told");
        assert_eq!(there.receive(&mut |_| ()).unwrap(), Received::Nothing);
    }
    assert_eq!(there.transmit(&[frame_of(&frames[0])]).unwrap(), 0);
    ip("link set there up");
    until("here", " state UP "); // the other end notices later
    assert_eq!(send(&mut here, &frames), 2);
    assert!(is_ready(&there, SOON) && receive(&mut there) == frames);
    // What came before the end is delivered before it.
    assert_eq!(send(&mut here, &frames), 2);
    ip("link set there down");
    ip("link delete there");
    assert!(is_ready(&there, SOON), "it is told");
    assert!(receive(&mut there) == frames);
    assert_eq!(there.receive(&mut |_| ()).unwrap(), Received::End);
    assert_eq!(there.transmit(&[frame_of(&frames[0])]).unwrap(), 0);
    assert_eq!(there.statistics().refused, 2);
}

#[test]
fn nothing_is_left_behind() {
    alone("raw::nothing_is_left_behind", || {
        pair("here", "there");
        let sockets = || std::fs::read_to_string("/proc/self/net/packet").unwrap().lines().count() - 1;
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = descriptors();
        let maps = || std::fs::read_to_string("/proc/self/maps").unwrap().matches("socket:").count();
        let here = open("here", Options::default(), |_| ());
        let there = open("there", Options::default(), |o| o.promiscuous = false);
        assert_eq!((promiscuity("here"), promiscuity("there")), ("1".into(), "0".into()));
        assert_eq!((sockets(), maps()), (2, 2));
        let queue = open("here", Options::inline(), |o| o.promiscuous = false);
        assert_eq!((sockets(), maps()), (3, 2));
        drop((here, there, queue));
        assert_eq!((promiscuity("here"), sockets(), maps()), ("0".into(), 0, 0));
        assert_eq!(descriptors(), before);
    });
}

#[test]
fn what_cannot_be_opened_is_told() {
    alone("raw::what_cannot_be_opened_is_told", || {
        let said = |name: &str, options: &Options| AfPacket::open(name, options).unwrap_err().to_string();
        let plain = Options::default();
        for name in ["nowhere", "", "a-name-that-is-too-long", "with\0nul"] {
            let said = said(name, &plain);
            assert!(said.starts_with(&format!("there is no interface {name}: ")), "{said}");
        }
        ip("link add here type veth peer name there");
        if Path::new("/dev/net/tun").exists() {
            ip("tuntap add packets mode tun");
            assert!(said("packets", &plain).starts_with("packets is no Ethernet interface: "));
        }
        let huge = Options { memory: usize::MAX, ..plain };
        assert!(said("here", &huge).starts_with("a receive ring of "), "{}", said("here", &huge));
        let unprivileged = || {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
                .unwrap();
            said("here", &plain)
        };
        // On a thread: rights are a thread's.
        let said = std::thread::scope(|scope| scope.spawn(unprivileged).join().unwrap());
        assert!(said.starts_with("packet sockets take the right CAP_NET_RAW"), "{said}");
    });
}
