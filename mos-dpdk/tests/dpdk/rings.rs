//! Rings and shared memory: what comes back, from where it is, and whose buffers are whose.

use super::{alone, end, frames, open, receive, send, start};
use mos_dpdk::port::dpdk::{Dpdk, Handling, Hashing, Options};
use mos_dpdk::port::mem::MemPort;
use mos_dpdk::port::{Port, Received, Spread};
use mos_flow::{Frame, Instant, LinkType, Verdict};
use std::collections::HashMap;

/// Where frames are, and what they hold.
type Places = Vec<(*const u8, Vec<u8>)>;

fn places(frames: &[Frame<'_>]) -> Places {
    frames.iter().map(|f| (f.data.as_ptr(), f.data.to_vec())).collect()
}

/// One burst.
fn burst(port: &mut Dpdk) -> Places {
    let mut burst = Vec::new();
    port.receive(&mut |frames| burst = places(frames)).unwrap();
    burst
}

#[test]
fn what_is_sent_on_stays_where_it_is() {
    alone("rings::what_is_sent_on_stays_where_it_is", || {
        let eal = start(&["net_ring0", "net_ring1", "net_ring2"]);
        let [mut first, mut second, mut third] = [0, 1, 2].map(|n| open(&eal, &format!("net_ring{n}")));
        let octets = frames(32);
        assert_eq!(send(&mut first, &octets), 32);
        assert_eq!(first.handling(), Handling { copied: 32, ..Handling::default() });
        let before = eal.buffers();
        // By two devices at once, in any order; what was dropped or changed is not among it.
        let mut lent = Places::new();
        let changed = vec![9; 60];
        first
            .receive(&mut |frames| {
                lent = places(frames);
                frames[4].verdict = Verdict::Drop;
                assert_eq!(second.transmit(frames).unwrap(), 31);
                let mut some: Vec<Frame<'_>> = frames.iter().rev().step_by(2).copied().collect();
                some.push(Frame { data: &frames[5].data[..50], wire_len: 50, ..frames[5] });
                some.push(Frame::ethernet(Instant(0), &changed));
                assert_eq!(third.transmit(&some).unwrap(), 18);
            })
            .unwrap();
        assert!(lent.iter().map(|(_, data)| data).eq(&octets));
        assert_eq!(second.handling(), Handling { by_reference: 31, ..Handling::default() });
        assert_eq!(third.handling(), Handling { by_reference: 16, copied: 2, ..Handling::default() });
        // The rings have the 32 buffers less the one that nobody sent, and two copies.
        assert_eq!(before.free - eal.buffers().free, 1);
        let dropped = lent.remove(4);
        assert!(burst(&mut second) == lent);
        lent.insert(4, dropped);
        let mut some: Places = lent.iter().rev().step_by(2).cloned().collect();
        let from_third = burst(&mut third);
        let (same, copies) = from_third.split_at(16);
        assert!(same == &some[..]);
        some.clear();
        assert_eq!((&copies[0].1, &copies[1].1), (&octets[5][..50].to_vec(), &changed));
        assert!(copies.iter().all(|(place, _)| lent.iter().all(|(other, _)| other != place)));
        // What was lent once takes no place of what is lent now.
        for round in 1..=3 {
            assert_eq!(send(&mut first, &octets), 32);
            first.receive(&mut |frames| assert_eq!(second.transmit(frames).unwrap(), 32)).unwrap();
            assert!(receive(&mut second, 32) == octets);
            assert_eq!(second.handling().by_reference, 31 + 32 * round);
        }
        drop((first, second, third));
        end(eal);
    });
}

#[test]
fn octets_stay_as_long_as_they_are_borrowed() {
    alone("rings::octets_stay_as_long_as_they_are_borrowed", || {
        let eal = start(&["net_ring0", "net_ring1"]);
        // As few buffers as there can be, so that each one is soon used again.
        let small = Options { buffers: 0, descriptors: 64, ..Options::default() };
        let [mut first, mut second] =
            ["net_ring0", "net_ring1"].map(|name| Dpdk::open(&eal, name, &small).unwrap().remove(0));
        let octets = frames(32);
        send(&mut first, &octets);
        first
            .receive(&mut |lent| {
                assert_eq!(second.transmit(lent).unwrap(), 32);
                // The device is done with them, and all buffers that are free are written to.
                assert_eq!(receive(&mut second, 32), octets);
                for _ in 0..100 {
                    let other = vec![vec![0xee; 1500]; 32];
                    assert_eq!(send(&mut second, &other), 32);
                    assert_eq!(receive(&mut second, 32), other);
                }
                assert!(lent.iter().map(|f| f.data).eq(octets.iter().map(Vec::as_slice)));
            })
            .unwrap();
        // Nothing is lent any more: what has the same place is another frame.
        assert_eq!(second.handling().by_reference, 32);
        drop((first, second));
        end(eal);
    });
}

/// Where one receives while another lends, there may be no place in the list: then it is a copy.
#[test]
fn bursts_may_be_received_within_bursts() {
    alone("rings::bursts_may_be_received_within_bursts", || {
        let eal = start(&["net_ring0", "net_ring1", "net_ring2"]);
        let [mut first, mut second, mut third] = [0, 1, 2].map(|n| open(&eal, &format!("net_ring{n}")));
        let (octets, others) = (frames(64).split_off(32), frames(40));
        for inner in [1, 20, 32] {
            send(&mut first, &octets[..20]);
            send(&mut second, &others[..inner]);
            first
                .receive(&mut |outer| {
                    second
                        .receive(&mut |inner| assert_eq!(third.transmit(inner).unwrap(), inner.len()))
                        .unwrap();
                    assert_eq!(third.transmit(outer).unwrap(), 20);
                })
                .unwrap();
            assert!(receive(&mut third, inner + 20) == [&others[..inner], &octets[..20]].concat());
        }
        // There is place for 32: for all of the outer ones, and for as many of the inner ones as are left.
        let copied = (20 + 20 - 32) + (32 + 20 - 32);
        assert_eq!(third.handling(), Handling { by_reference: 113 - copied, copied, joined: 0 });
        drop((first, second, third));
        end(eal);
    });
}

#[test]
fn what_a_device_cannot_send_is_refused() {
    alone("rings::what_a_device_cannot_send_is_refused", || {
        let eal = start(&["net_ring0"]);
        let mut ring = open(&eal, "net_ring0");
        let good = vec![7; 60];
        let frame = |data| Frame::ethernet(Instant(0), data);
        let (short, large) = (vec![1; 13], vec![1; 1523]);
        let refused = [
            frame(&short),
            frame(&large),
            Frame { wire_len: 5000, ..frame(&good) },
            Frame { link: LinkType::RawIp, ..frame(&good) },
        ];
        assert_eq!(ring.transmit(&refused).unwrap(), 0);
        assert_eq!(ring.transmit(&[Frame { verdict: Verdict::Drop, ..frame(&good) }]).unwrap(), 0);
        assert_eq!(ring.statistics().refused, 4);
        // More than the ring holds.
        let octets = frames(1500);
        let sent = send(&mut ring, &octets);
        assert!((1000..1100).contains(&sent), "{sent}");
        assert_eq!((ring.statistics().sent, ring.statistics().refused), (sent as u64, 1504 - sent as u64));
        assert!(receive(&mut ring, 2000) == octets[..sent]);
        assert_eq!(ring.receive(&mut |_| ()).unwrap(), Received::Nothing);
        // No device of this kind has rules for connections.
        assert!(!ring.ignore(("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap())));
        drop(ring);
        end(eal);
    });
}

#[test]
fn other_ports_get_copies_and_give_copies() {
    alone("rings::other_ports_get_copies_and_give_copies", || {
        let eal = start(&["net_ring0"]);
        let mut ring = open(&eal, "net_ring0");
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../mos-flow/tests/pcaps/short4.pcap");
        let (capture, _) = mos_dpdk::capture::Capture::load(&path).unwrap();
        let mut memory = MemPort::new(&capture);
        let mut there = 0;
        while let Received::Frames(_) =
            memory.receive(&mut |frames| there += ring.transmit(frames).unwrap()).unwrap()
        {
            let sent = ring.receive(&mut |frames| assert_eq!(memory.transmit(frames).unwrap(), frames.len()));
            assert!(matches!(sent.unwrap(), Received::Frames(1..)));
        }
        assert_eq!(there, capture.len());
        assert!(memory.sent().iter().map(|(_, data)| &data[..]).eq(capture.frames_from(0).map(|f| f.data)));
        assert_eq!(ring.handling(), Handling { copied: there as u64, ..Handling::default() });
        drop(ring);
        end(eal);
    });
}

#[test]
fn shared_memory_leads_from_one_end_to_the_other() {
    alone("rings::shared_memory_leads_from_one_end_to_the_other", || {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("memif").display().to_string();
        let ends = ["net_memif0,role=server", "net_memif1,role=client"]
            .map(|end| format!("{end},id=7,socket={socket},socket-abstract=no"));
        let eal = start(&[&ends[0], &ends[1]]);
        let [mut server, mut client] = ["net_memif0", "net_memif1"].map(|name| open(&eal, name));
        let octets = frames(2000);
        // Until both have found each other nothing is taken, and from the server nothing before the client has asked.
        let start = std::time::Instant::now();
        let mut taken = [0, 0];
        while taken.contains(&0) {
            assert!(
                start.elapsed() < std::time::Duration::from_secs(10),
                "they do not find each other: {taken:?}"
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
            for (port, taken) in [&mut client, &mut server].into_iter().zip(&mut taken) {
                port.receive(&mut |_| ()).unwrap();
                *taken += send(port, &octets[..1]);
            }
        }
        for port in [&mut client, &mut server] {
            receive(port, usize::MAX);
        }
        let mut both = [(&mut client, 0), (&mut server, 0)];
        for round in 0..2 {
            let [(from, _), (to, _)] = &mut both;
            for some in octets.chunks(100) {
                assert_eq!(send(*from, some), some.len());
                assert!(receive(*to, some.len()) == some, "round {round}");
            }
            both.swap(0, 1);
        }
        drop((server, client));
        end(eal);
    });
}

#[test]
fn a_device_says_what_it_took_of_the_hash() {
    alone("rings::a_device_says_what_it_took_of_the_hash", || {
        let eal = start(&["net_null0", "net_null1", "net_ring0"]);
        let open = |name, queues| {
            let options = Options { queues, buffers: 1024, descriptors: 256, ..Options::default() };
            Dpdk::open(&eal, name, &options).unwrap()
        };
        let mut ports = open("net_null0", 3);
        assert_eq!(ports.len(), 3);
        // It has a key and a map, but tells no hash.
        let hashing = Some(Hashing { key: true, map: true, tells: false });
        for port in &mut ports {
            assert_eq!((port.hashing(), port.capabilities().spread), (hashing, Spread::Otherwise));
            assert_eq!(port.receive(&mut |_| ()).unwrap(), Received::Frames(32));
        }
        let alone = open("net_null1", 1);
        assert_eq!((alone[0].hashing(), alone[0].capabilities().spread), (None, Spread::Alone));
        let nothing = Some(Hashing { key: false, map: false, tells: false });
        let rings = open("net_ring0", 2);
        assert_eq!((rings[1].hashing(), rings[1].capabilities().spread), (nothing, Spread::Otherwise));
        let received: Vec<u64> = ports.iter().map(|port| port.statistics().received).collect();
        assert_eq!(received, [32; 3]);
        drop((ports, alone, rings));
        end(eal);
    });
}

#[test]
fn each_queue_is_a_threads_own() {
    alone("rings::each_queue_is_a_threads_own", || {
        const ROUNDS: usize = 200;
        let eal = start(&["net_ring0", "net_ring1"]);
        let options = Options { queues: 4, buffers: 1024, descriptors: 256, ..Options::default() };
        let mut ports = Dpdk::open(&eal, "net_ring0", &options).unwrap();
        let octets = frames(64);
        let totals: HashMap<usize, usize> = std::thread::scope(|scope| {
            let thread = |(number, port)| {
                let octets = &octets;
                let work = move || {
                    let port: &mut Dpdk = port;
                    let mut received = 0;
                    for _ in 0..ROUNDS {
                        assert_eq!(send(port, octets), octets.len());
                        received += receive(port, octets.len()).len();
                    }
                    (number, received)
                };
                scope.spawn(work)
            };
            let threads: Vec<_> = ports.iter_mut().enumerate().map(thread).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(totals.len() == 4 && totals.values().all(|received| *received == ROUNDS * octets.len()));
        // There are fewer numbers for threads than threads that come and go.
        let mut port = open(&eal, "net_ring1");
        for _ in 0..300 {
            std::thread::scope(|scope| scope.spawn(|| send(&mut port, &octets[..1])).join().unwrap());
        }
        assert_eq!(receive(&mut port, 300).len(), 300);
        drop((ports, port));
        end(eal);
    });
}
