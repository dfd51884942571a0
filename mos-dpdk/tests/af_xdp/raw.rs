//! Frames from one end of a pair to the other, without anybody else.

use super::cable::{ip, pair, say};
use super::frames::{
    ADDRESSES, ETHERTYPE, SOON, frame, frame_of, is_ready, promiscuity, receive, send, show, until,
};
use super::{alone_with_xdp, open, options};
use mos_dpdk::port::af_packet::{self, AfPacket};
use mos_dpdk::port::af_xdp::{AfXdp, Mode, Options, PartialChecksums};
use mos_dpdk::port::{Port, Received, Spread};
use mos_flow::wire::{LinkType, checksum, parse};
use mos_flow::{Frame, Verdict};
use rustix::net::sockopt::{
    set_xdp_rx_ring_size, set_xdp_umem_completion_ring_size, set_xdp_umem_fill_ring_size, set_xdp_umem_reg,
};
use rustix::net::xdp::{SocketAddrXdp, SocketAddrXdpFlags, XdpUmemReg, XdpUmemRegFlags};
use rustix::net::{AddressFamily, SocketType, bind, socket};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen. An arbitrary figure.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where the process that is to be killed finds the name of its interface.
const HOLD: &str = "MOS_XDP_HOLD";

const MODES: [Mode; 2] = [Mode::Native, Mode::Generic];

/// As many frames as are expected, and what comes with the last of them.
fn take(port: &mut AfXdp, count: usize) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let start = Instant::now();
    while frames.len() < count && start.elapsed() < PATIENCE {
        port.receive(&mut |burst| frames.extend(burst.iter().map(|f| f.data.to_vec()))).unwrap();
    }
    frames
}

#[test]
fn frames_arrive_as_they_were_sent() {
    alone_with_xdp("raw::frames_arrive_as_they_were_sent", || {
        pair("here", "there");
        MODES.into_iter().for_each(arrive);
        assert_eq!(open("here", &options(Mode::Best)).mode(), Mode::Native);
    });
}

fn arrive(mode: Mode) {
    let options = options(mode);
    let (mut here, mut there) = (open("here", &options), open("there", &options));
    assert_eq!((here.name(), there.name(), there.queue(), there.mode()), ("here", "there", 0, mode));
    assert_eq!((there.capabilities().spread, there.is_zero_copy()), (Spread::Alone, false));
    // More than there is memory for: it is used again and again.
    let frames: Vec<Vec<u8>> = (0..10_000).map(|n| frame(n, 60 + n % 1455)).collect();
    for part in frames.chunks(1000) {
        assert_eq!(send(&mut here, part), part.len());
        assert!(take(&mut there, part.len()) == part, "{mode:?}");
    }
    assert!(receive(&mut here).is_empty(), "what it sends it does not see");
    // What is dropped does not go, what is too large or too small cannot, nor can what is not all there.
    let good = frame_of(&frames[0]);
    let large = vec![1; 4000];
    let mixed = [
        Frame { verdict: Verdict::Drop, ..good },
        frame_of(&large),
        frame_of(&[1; 13]),
        Frame { wire_len: 5000, ..good },
        Frame { link: LinkType::RawIp, ..good },
        good,
    ];
    assert_eq!(here.transmit(&mixed).unwrap(), 1);
    assert!(take(&mut there, 1) == frames[..1]);
    let (sent, received) = (here.statistics(), there.statistics());
    assert_eq!((sent.sent, sent.refused), (10_001, 4));
    assert_eq!((received.received, received.dropped), (10_001, 0));
}

/// Tags that are in frames; those that a card has taken out are nowhere.
#[test]
fn tags_stay() {
    alone_with_xdp("raw::tags_stay", || {
        pair("here", "there");
        let tagged = |tags: &[[u8; 4]]| [&ADDRESSES, tags.as_flattened(), &ETHERTYPE, &[7; 46]].concat();
        let (priority, customer, service) = ([0x81, 0, 0xe0, 0], [0x81, 0, 0x20, 7], [0x88, 0xa8, 0, 9]);
        let frames = [&[][..], &[priority], &[customer], &[service], &[service, customer]].map(tagged);
        for mode in MODES {
            let mut there = open("there", &options(mode));
            let mut kernel = AfPacket::open("here", &af_packet::Options::inline()).unwrap();
            assert_eq!(send(&mut kernel, &frames), frames.len());
            assert!(take(&mut there, frames.len()) == frames, "{mode:?}");
        }
    });
}

#[test]
fn what_is_received_by_one_of_a_pair_is_sent_by_the_other_without_a_copy() {
    alone_with_xdp("raw::what_is_received_by_one_of_a_pair_is_sent_by_the_other_without_a_copy", || {
        pair("left", "west");
        pair("right", "east");
        for mode in MODES {
            let [[left, right]] =
                AfXdp::open_pair("left", "right", &options(mode)).unwrap().try_into().unwrap();
            assert!(left.capabilities().zero_copy && right.capabilities().zero_copy);
            let passed = forward(mode, left, right);
            assert!(passed.iter().all(|n| *n > 0), "{passed:?}");
        }
        let [left, right] = ["left", "right"].map(|name| open(name, &options(Mode::Native)));
        assert!(!left.capabilities().zero_copy);
        assert_eq!(forward(Mode::Native, left, right), [0; 2]);
    });
}

/// Frames go through two ports in both directions. Returns how many were not copied.
fn forward(mode: Mode, mut left: AfXdp, mut right: AfXdp) -> [u64; 2] {
    const ROUNDS: usize = 100;
    let (mut west, mut east) = (open("west", &options(mode)), open("east", &options(mode)));
    let cross = |round, [from, near, far, to]: [&mut AfXdp; 4]| {
        let frames: Vec<Vec<u8>> = (0..100).map(|n| frame(round * 100 + n, 60 + n)).collect();
        assert_eq!(send(from, &frames), frames.len());
        let expected = pass(near, far, frames.len());
        assert_eq!(expected.len(), frames.len() / 4 * 5);
        assert!(take(to, expected.len()) == expected, "{mode:?}, round {round}");
    };
    for round in 0..ROUNDS {
        cross(round, [&mut west, &mut left, &mut right, &mut east]);
        cross(round, [&mut east, &mut right, &mut left, &mut west]);
    }
    // Each was sent once, and each fourth one a second time with another octet.
    let count = (ROUNDS * 125) as u64;
    for port in [&left, &right] {
        let statistics = port.statistics();
        assert_eq!((statistics.received, statistics.sent), ((ROUNDS * 100) as u64, count));
        assert_eq!((statistics.dropped, statistics.refused), (0, 0));
        assert!([0, (ROUNDS * 100) as u64].contains(&port.passed()));
    }
    [left.passed(), right.passed()]
}

/// Forwards so many frames, and of each fourth one a changed copy. Returns what was sent.
fn pass(near: &mut AfXdp, far: &mut AfXdp, count: usize) -> Vec<Vec<u8>> {
    let (mut sent, mut received) = (Vec::new(), 0);
    let start = Instant::now();
    while received < count && start.elapsed() < PATIENCE {
        near.receive(&mut |burst| {
            for frame in burst.iter() {
                assert_eq!(far.transmit(&[*frame]).unwrap(), 1);
                sent.push(frame.data.to_vec());
                received += 1;
                if received % 4 == 0 {
                    let mut changed = frame.data.to_vec();
                    changed[20] ^= 0xff;
                    assert_eq!(far.transmit(&[frame_of(&changed)]).unwrap(), 1);
                    sent.push(changed);
                }
            }
        })
        .unwrap();
    }
    sent
}

/// A frame that is forwarded twice, or by two threads.
#[test]
fn a_frame_that_is_lent_may_go_twice_and_from_another_thread() {
    alone_with_xdp("raw::a_frame_that_is_lent_may_go_twice_and_from_another_thread", || {
        pair("left", "west");
        pair("right", "east");
        let [[mut left, mut right]] =
            AfXdp::open_pair("left", "right", &options(Mode::Native)).unwrap().try_into().unwrap();
        let (mut west, mut east) =
            (open("west", &options(Mode::Native)), open("east", &options(Mode::Native)));
        let frames: Vec<Vec<u8>> = (0..20).map(|n| frame(n, 100)).collect();
        for _ in 0..500 {
            assert_eq!(send(&mut west, &frames), frames.len());
            let mut received = 0;
            let start = Instant::now();
            while received < frames.len() && start.elapsed() < PATIENCE {
                left.receive(&mut |burst| {
                    received += burst.len();
                    let twice = || [right.transmit(burst).unwrap(), right.transmit(burst).unwrap()];
                    let sent = std::thread::scope(|scope| scope.spawn(twice).join().unwrap());
                    assert_eq!(sent, [burst.len(); 2]);
                })
                .unwrap();
            }
            let mut arrived = take(&mut east, 2 * frames.len());
            arrived.sort();
            let expected: Vec<_> = frames.iter().flat_map(|frame| [frame.clone(), frame.clone()]).collect();
            assert!(arrived == expected);
        }
        // The second time it is a copy, unless the kernel has sent the first one by then.
        assert!((10_000..=20_000).contains(&right.passed()), "{}", right.passed());
    });
}

#[test]
fn what_does_not_fit_is_counted() {
    alone_with_xdp("raw::what_does_not_fit_is_counted", || {
        pair("here", "there");
        MODES.into_iter().for_each(overflow);
        oversize();
    });
}

fn overflow(mode: Mode) {
    const FRAMES: usize = 2000;
    let mut here = open("here", &options(mode));
    let mut there = open("there", &Options { frames: 512, ..options(mode) });
    let frames: Vec<Vec<u8>> = (0..FRAMES).map(|n| frame(n, 1000)).collect();
    assert_eq!(send(&mut here, &frames), FRAMES);
    // The first half of the memory is filled, the rest is lost.
    let start = Instant::now();
    while there.statistics().dropped < (FRAMES - 256) as u64 && start.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    assert!(take(&mut there, 256) == frames[..256], "{mode:?}");
    let statistics = there.statistics();
    say(&format!("of {FRAMES} frames {mode:?} had room for: {statistics:?}"));
    assert_eq!((statistics.received, statistics.dropped), (256, FRAMES as u64 - 256));
    // When there is room again, frames come again.
    assert_eq!(send(&mut here, &frames[..50]), 50);
    assert!(take(&mut there, 50) == frames[..50]);
}

/// Frames that are larger than the memory of one, which came to be possible when the port was open.
fn oversize() {
    let mut there = open("there", &options(Mode::Generic));
    for name in ["here", "there"] {
        ip(&format!("link set {name} mtu 5000"));
    }
    let mut kernel = AfPacket::open("here", &af_packet::Options::inline()).unwrap();
    let frames = [frame(1, 1792), frame(2, 1793), frame(3, 4000), frame(4, 60)];
    assert_eq!(send(&mut kernel, &frames), 4);
    assert!(take(&mut there, 2) == [frames[0].clone(), frames[3].clone()]);
    assert_eq!(there.statistics().dropped, 2);
    for name in ["here", "there"] {
        ip(&format!("link set {name} mtu 1500"));
    }
}

#[test]
fn an_interface_goes_down_and_up_and_away() {
    alone_with_xdp("raw::an_interface_goes_down_and_up_and_away", || {
        MODES.into_iter().for_each(come_and_go);
    });
}

fn come_and_go(mode: Mode) {
    pair("here", "there");
    let [mut here, mut there] = ["here", "there"].map(|name| open(name, &options(mode)));
    let frames = [frame(1, 60), frame(2, 1514)];
    ip("link set there down");
    assert_eq!(there.receive(&mut |_| ()).unwrap(), Received::Nothing);
    let start = Instant::now();
    while is_ready(&there, Duration::from_millis(50)) {
        assert!(start.elapsed() < PATIENCE, "it can be waited for when all is told");
        assert_eq!(there.receive(&mut |_| ()).unwrap(), Received::Nothing);
    }
    // What finds the interface down waits until it is up again, but no more does.
    assert_eq!(send(&mut there, &frames[..1]), 0);
    assert_eq!(send(&mut there, &frames), 0);
    assert_eq!((there.statistics().sent, there.statistics().refused), (0, 2));
    ip("link set there up");
    until("here", " state UP "); // the other end notices later
    assert_eq!(send(&mut here, &frames), 2);
    assert!(is_ready(&there, SOON) && take(&mut there, 2) == frames);
    there.flush().unwrap();
    assert!(take(&mut here, 1) == frames[..1]);
    assert_eq!((there.statistics().sent, there.statistics().refused), (1, 2));
    // What came before the end is delivered before it.
    assert_eq!(send(&mut here, &frames), 2);
    ip("link set there down");
    ip("link delete there");
    assert!(is_ready(&there, SOON), "it is told");
    assert!(receive(&mut there) == frames);
    assert_eq!(there.receive(&mut |_| ()).unwrap(), Received::End);
    assert_eq!(there.transmit(&[frame_of(&frames[0])]).unwrap(), 0);
    assert_eq!(there.statistics().refused, 3);
}

#[test]
fn each_queue_has_its_port() {
    alone_with_xdp("raw::each_queue_has_its_port", || {
        ip("link add here numtxqueues 2 numrxqueues 2 type veth peer name there numtxqueues 2 numrxqueues 2");
        ip("link add single type veth peer name other");
        for name in ["here", "there"] {
            ip(&format!("link set {name} addrgenmode none up"));
        }
        MODES.into_iter().for_each(two_queues);
        for (queues, what) in [
            (3, "here has no more than 2 receive queues, and 3 are asked for"),
            (1, "here has 2 receive queues, and of 1 a part of the frames would be missed"),
        ] {
            let some = Options { queues: Some(queues), ..Options::default() };
            let error = AfXdp::open("here", &some).unwrap_err().to_string();
            assert!(error.starts_with(what) && error.contains("'ethtool -L here combined "), "{error}");
        }
        let error = AfXdp::open_pair("here", "single", &Options::default()).unwrap_err().to_string();
        assert!(error.starts_with("here has 2 receive queues and single has 1: "), "{error}");
    });
}

fn two_queues(mode: Mode) {
    let two = Options { queues: Some(2), ..options(mode) };
    let [mut here, mut there] =
        ["here", "there"].map(|name| -> [AfXdp; 2] { AfXdp::open(name, &two).unwrap().try_into().unwrap() });
    assert_eq!(
        there.each_ref().map(|port| (port.queue(), port.capabilities().spread)),
        [(0, Spread::Otherwise), (1, Spread::Otherwise)]
    );
    for (n, port) in here.iter_mut().enumerate() {
        assert_eq!(send(port, &[frame(n, 100), frame(10 + n, 200)]), 2);
    }
    // A frame comes by the queue that has the number of the one that it went by. In the generic mode the kernel takes that for
    // one less, if it can be less.
    let expected = match mode {
        Mode::Generic => [vec![frame(0, 100), frame(10, 200), frame(1, 100), frame(11, 200)], vec![]],
        _ => [0, 1].map(|n| vec![frame(n, 100), frame(10 + n, 200)]),
    };
    for (port, frames) in there.iter_mut().zip(expected) {
        assert!(take(port, frames.len()) == frames, "{mode:?}, queue {}", port.queue());
    }
    // The last one takes the program with it.
    let [first, second] = there;
    drop(first);
    assert!(has_program("there"));
    drop(second);
    assert!(!has_program("there"));
}

fn has_program(name: &str) -> bool {
    show(name).contains("prog/xdp")
}

#[test]
fn nothing_is_left_behind() {
    alone_with_xdp("raw::nothing_is_left_behind", || {
        if let Ok(name) = std::env::var(HOLD) {
            return hold(&name);
        }
        pair("here", "there");
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
        let rings = || maps().matches("[xdp]").count() + maps().matches("socket:").count();
        let (before, is_clear) = (descriptors(), || !["here", "there"].into_iter().any(has_program));
        for mode in MODES {
            let pair = AfXdp::open_pair("here", "there", &options(mode)).unwrap();
            assert!(["here", "there"].into_iter().all(has_program));
            assert_eq!((promiscuity("here").as_str(), rings()), ("1", 8));
            drop(pair);
            assert!(is_clear() && descriptors() == before && rings() == 0);
            assert_eq!(promiscuity("here"), "0");
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "raw::nothing_is_left_behind", "--nocapture"])
            .env(HOLD, "here")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut String::new()).unwrap();
        assert!(has_program("here"));
        child.kill().unwrap();
        child.wait().unwrap();
        let start = Instant::now();
        while has_program("here") || promiscuity("here") != "0" {
            assert!(start.elapsed() < PATIENCE, "{}", show("here"));
        }
        open("here", &options(Mode::Best));
    });
}

/// What is killed: it has a port.
fn hold(name: &str) {
    let _port = open(name, &options(Mode::Best));
    say("it is open");
    loop {
        std::thread::park();
    }
}

/// A segment as hosts leave it to a network card: its checksum is that of the pseudo header.
fn unfinished() -> Vec<u8> {
    let mut frame = [&ADDRESSES[..], &[8, 0, 0x45, 0, 0, 44, 0, 0, 0, 0, 64, 6, 0, 0]].concat();
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([4, 210, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 0xff, 0xff]);
    // 10.0.0.1 and 10.0.0.2, the protocol, and a header of 20 octets with 4 more.
    let sum: u16 = 0x0a00 + 0x0001 + 0x0a00 + 0x0002 + 6 + 24;
    frame.extend(sum.to_be_bytes());
    frame.extend([0, 0, b'a', b'b', b'c', b'd', 0, 0]);
    frame
}

#[test]
fn checksums_that_were_left_to_a_card_are_made() {
    alone_with_xdp("raw::checksums_that_were_left_to_a_card_are_made", || {
        pair("here", "there");
        let mut here = open("here", &options(Mode::Best));
        let left_out = unfinished();
        let mut damaged = left_out.clone();
        damaged[50] ^= 1;
        for (partial_checksums, is_made) in [
            (PartialChecksums::ByDevice, true),
            (PartialChecksums::Complete, true),
            (PartialChecksums::Keep, false),
        ] {
            let mut there = open("there", &Options { partial_checksums, ..options(Mode::Best) });
            assert_eq!(send(&mut here, &[left_out.clone(), damaged.clone()]), 2);
            let frames = take(&mut there, 2);
            let is_right = |frame: &[u8]| checksum::tcp_ok(frame, &parse(LinkType::Ethernet, frame).unwrap());
            assert_eq!(is_right(&frames[0]), Some(is_made), "{partial_checksums:?}");
            let mut rest = frames[0].clone();
            rest[50..52].copy_from_slice(&left_out[50..52]);
            assert!(rest == left_out && frames[1] == damaged, "nothing else changes");
        }
    });
}

#[test]
fn what_cannot_be_opened_is_told() {
    alone_with_xdp("raw::what_cannot_be_opened_is_told", || {
        let said = |name: &str, options: &Options| AfXdp::open(name, options).unwrap_err().to_string();
        let plain = Options::default();
        for name in ["nowhere", "", "a-name-that-is-too-long", "with\0nul"] {
            let said = said(name, &plain);
            assert!(said.starts_with(&format!("there is no interface {name}: ")), "{said}");
        }
        pair("here", "there");
        let expect = |options: Options, start: &str| {
            let said = said("here", &options);
            assert!(said.starts_with(start), "{said}");
        };
        expect(Options { frame_size: 3000, ..plain }, "a frame has 2048 or 4096 octets of memory");
        expect(Options { frames: 1, ..plain }, "a port takes memory for 128 to 16777216 frames");
        expect(Options { queues: Some(0), ..plain }, "of no queue nothing can be received");
        let huge = Options { huge_pages: true, frames: 1 << 24, frame_size: 4096, ..plain };
        expect(huge, "16777216 frames get no huge pages: more of them by /proc/sys/vm/nr_hugepages");
        ip("link set here mtu 1771");
        expect(
            plain,
            "a frame of here has up to 1793 octets and memory for 1792: with an MTU of 1770 it would fit",
        );
        ip("link set here mtu 1500");
        ip("link set there mtu 9000");
        let native = Options { mode: Mode::Native, ..plain };
        expect(native, "the MTU of here is too large for native XDP");
        assert_eq!(open("here", &plain).mode(), Mode::Generic, "the best there is");
        ip("link set there mtu 1500");
        for (one, other) in
            [(Mode::Native, Mode::Native), (Mode::Native, Mode::Generic), (Mode::Generic, Mode::Native)]
        {
            let _port = open("here", &options(one));
            expect(options(other), "here has an XDP program already");
        }
        let other = other_socket("here");
        expect(plain, "queue 0 of here is in use by another AF_XDP socket");
        drop(other);
        open("here", &plain);
        let with = |rights: CapabilitySet| {
            let sets = CapabilitySets { effective: rights, permitted: rights, inheritable: rights };
            // On a thread: rights are a thread's.
            let thread = || {
                set_capabilities(None, sets).unwrap();
                said("here", &Options { frames: 1 << 22, ..plain })
            };
            std::thread::scope(|scope| scope.spawn(thread).join().unwrap())
        };
        for rights in [CapabilitySet::empty(), CapabilitySet::NET_RAW] {
            let said = with(rights);
            assert!(
                said.starts_with("AF_XDP takes the rights CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF"),
                "{said}"
            );
        }
        // Without this one there is a limit to memory, which here is below the 8 GiB that are asked for.
        let said = with(capabilities(None).unwrap().permitted - CapabilitySet::IPC_LOCK);
        assert!(
            said.starts_with("8589934592 octets of memory cannot be locked: fewer frames, or "),
            "{said}"
        );
        only_generic();
    });
}

/// Of a driver without the native mode.
fn only_generic() {
    if !std::path::Path::new("/dev/net/tun").exists() {
        return say("SKIPPED: there is no /dev/net/tun; no driver without native XDP was tried");
    }
    ip("tuntap add packets mode tun");
    let error = AfXdp::open("packets", &Options::default()).unwrap_err().to_string();
    assert!(error.starts_with("packets is no Ethernet interface: "), "{error}");
    ip("link add under type ifb");
    let error = AfXdp::open("under", &options(Mode::Native)).unwrap_err().to_string();
    assert!(error.starts_with("the driver of under has no native XDP: take Mode::Generic: "), "{error}");
    assert_eq!(open("under", &options(Mode::Best)).mode(), Mode::Generic);
    // Its driver does not tell how many queues there are.
    let error = AfXdp::open("under", &Options { queues: Some(3), ..options(Mode::Best) }).unwrap_err();
    assert!(error.to_string().starts_with("under has no queue 1: take fewer workers: "), "{error}");
}

/// A socket on the first queue of an interface that no program sends anything.
fn other_socket(name: &str) -> (std::os::fd::OwnedFd, Vec<u8>) {
    let socket = socket(AddressFamily::XDP, SocketType::RAW, None).unwrap();
    let mut memory = vec![0_u8; 4 * 4096];
    let start = memory.as_mut_ptr().addr().next_multiple_of(4096) as u64;
    let umem = XdpUmemReg {
        addr: start,
        len: 2 * 4096,
        chunk_size: 4096,
        headroom: 0,
        flags: XdpUmemRegFlags::empty(),
        tx_metadata_len: 0,
    };
    set_xdp_umem_reg(&socket, umem).unwrap();
    set_xdp_umem_fill_ring_size(&socket, 2).unwrap();
    set_xdp_umem_completion_ring_size(&socket, 2).unwrap();
    set_xdp_rx_ring_size(&socket, 2).unwrap();
    let any = self::socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
    let index = rustix::net::netdevice::name_to_index(&any, name).unwrap();
    // The kernel lets go of a queue some time after its socket was closed.
    let start = std::time::Instant::now();
    while let Err(e) = bind(&socket, &SocketAddrXdp::new(SocketAddrXdpFlags::XDP_COPY, index, 0)) {
        assert!(start.elapsed() < Duration::from_secs(10), "{e}");
        std::thread::sleep(Duration::from_millis(5));
    }
    (socket, memory)
}
