//! Weaknesses of monitors in the sharing of memory and time, by the numbers under which the project keeps them; each is a
//! test of its own. Those of single connections (1 to 40) are tests of `tcp-reasm`, those of fragments and headers (41 to
//! 50) of `defrag` and `wire`. What the attacks cost is measured by `attacks` in `benches`, at full size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use mos_flow::key::{FlowKey, KeyHasher};
use mos_flow::testing::Exchange;
use mos_flow::wire::parse;
use mos_flow::{
    Config, Context, Engine, Event, FilterSlot, Frame, Hook, Instant, LinkType, Offset, Overlap, Peek,
    Retention, Side, Sides, SocketKind, Stats, Timeouts,
};
use std::collections::HashMap;
use std::time::Duration;
use tcp_reasm::Flags;

/// What the application saw.
#[derive(Default)]
struct App {
    /// Octets read, by the port of the client.
    read: HashMap<u16, Vec<u8>>,
    errors: Vec<String>,
    ended: Vec<u16>,
}

struct World {
    engine: Engine<App>,
    app: App,
    now: u64,
}

impl World {
    fn new(config: Config) -> Self {
        let mut engine = Engine::new(config).unwrap();
        let socket = engine.open(SocketKind::Stream).unwrap();
        engine.register(socket, Event::NewData, Hook::None, read, 0).unwrap();
        engine.register(socket, Event::Error, Hook::None, error, 0).unwrap();
        engine.register(socket, Event::ConnEnd, Hook::Receiver, end, 0).unwrap();
        World { engine, app: App::default(), now: 1_000_000 }
    }

    /// Frames a microsecond apart.
    fn send(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.now = self.now.saturating_add(1);
            self.engine.process_burst(&mut [Frame::ethernet(Instant(self.now), frame)], &mut self.app);
        }
    }

    fn stats(&self) -> &Stats {
        self.engine.stats()
    }

    fn read(&self, port: u16) -> usize {
        self.app.read.get(&port).map_or(0, Vec::len)
    }
}

fn read(ctx: &mut Context<'_, App>) {
    let side = ctx.side().unwrap();
    let (app, mut monitor) = ctx.split().unwrap();
    let port = monitor.address(Side::Client).unwrap().port();
    let octets = app.read.entry(port).or_default();
    monitor.read_with(side, |_, data| octets.extend_from_slice(data)).unwrap();
}

fn error(ctx: &mut Context<'_, App>) {
    let trouble = format!("{:?}", ctx.trouble().unwrap());
    ctx.app().errors.push(trouble);
}

fn end(ctx: &mut Context<'_, App>) {
    let side = ctx.side();
    let (app, monitor) = ctx.split().unwrap();
    if side == Some(Side::Client) {
        app.ended.push(monitor.address(Side::Client).unwrap().port());
    }
}

fn exchange(port: u16) -> Exchange {
    let isn = Sides { client: u32::MAX - 5, server: u32::from(port) };
    Exchange::new(([10, 0, 0, 1], port).into(), ([192, 0, 2, 1], 80).into(), isn)
}

fn config() -> Config {
    Config {
        max_flows: 256,
        max_sockets: 300,
        max_buffers: 256,
        chunks: 64,
        hash_seed: [7; 16],
        ..Config::default()
    }
}

/// CVE-2018-5390 (SegmentSmack), CVE-2018-6922: octets that touch no other. So many are held as a stream has ranges, the
/// first that came; all others are refused, told and counted.
#[test]
fn case_51_isolated_octets_are_held_up_to_a_limit() {
    let held = |count: u32| {
        let mut w = World::new(config());
        let mut x = exchange(1);
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"?");
        let (base, ack) = (x.seq(Side::Client), x.seq(Side::Server));
        let octet = |n: u32| x.segment_at(Side::Client, base.wrapping_add(2 * n), ack, Flags::ACK, &[1]);
        w.send(&(0..count).map(octet).collect::<Vec<_>>());
        let stats = w.stats();
        assert_eq!(stats.stream_octets + stats.refused_octets, count.into());
        assert_eq!(w.app.errors.len() as u64, stats.refused_octets, "each is told");
        assert!(w.engine.chunks().0 <= 34, "{:?}", w.engine.chunks());
        stats.stream_octets
    };
    assert_eq!([held(10), held(1_000), held(30_000)], [10, 32, 32]);
}

/// Zeek 575: every packet comes twice, and the other end's acknowledgements are never seen.
#[test]
fn case_52_every_packet_twice_and_no_acknowledgements() {
    let mut w = World::new(config());
    let mut x = exchange(1);
    w.send(&x.handshake());
    // No more than the window that the server advertised: it is never seen to open it again.
    for n in 0..60_u8 {
        let frame = x.data(Side::Client, &[n; 1000]);
        w.send(&[frame.clone(), frame]);
    }
    assert_eq!((w.read(1), w.stats().retransmitted_octets), (60_000, 60_000));
    assert_eq!((w.stats().conflicts, w.app.errors.len()), (0, 0));
}

/// CVE-2004-0171: many connections hold octets behind holes. Memory has its limit, and one that is in order is served.
#[test]
fn case_53_many_connections_hold_octets_behind_holes() {
    let mut w = World::new(config());
    for port in 1..=200 {
        let mut x = exchange(port);
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"?");
        w.send(&[x.data(Side::Client, &[1; 1000])]);
    }
    let mut good = exchange(1000);
    w.send(&good.handshake());
    for n in 0..100_u8 {
        let frame = good.data(Side::Client, &[n; 1000]);
        w.send(&[frame, good.ack(Side::Server)]);
    }
    assert_eq!(w.read(1000), 100_000);
    let stats = w.stats();
    let lost = stats.shed_octets + stats.refused_octets;
    assert!(lost >= (200 - 64) * 1000 && lost == w.app.errors.len() as u64 * 1000, "{stats:?}");
    assert!(w.engine.chunks().0 <= 64);
}

/// Suricata 7208: finding the next readable octets. A full list of ranges is read by offset, from anywhere in it, and the
/// search is by bisection (`ringbuf_core::FragList`): here that every place is found.
#[test]
fn case_54_the_next_readable_octets_are_found_from_anywhere() {
    let mut w = World::new(Config { retention: Retention::Ring, ..config() });
    let mut x = exchange(1);
    w.send(&x.handshake());
    let _hole = x.data(Side::Client, b"?");
    for n in 0..32_u8 {
        let frame = x.data(Side::Client, &[n; 10]);
        let _missing = x.data(Side::Client, b"..");
        w.send(&[frame]);
    }
    let socket = (0..9).filter_map(|n| w.engine.socket_at(n)).nth(1).unwrap();
    let monitor = w.engine.monitor(socket).unwrap();
    for at in 0..32_u64 * 12 + 1 {
        let mut octet = [0; 1];
        let expected = at.checked_sub(1).filter(|i| i % 12 < 10).map(|i| (i / 12) as u8);
        let found = monitor.ppeek(Side::Server, Offset(at), &mut octet).ok().map(|_| octet[0]);
        assert_eq!(found, expected, "at {at}");
    }
}

/// CVE-2024-47187, Suricata 5270: tuples chosen to collide. What collides under one key does not under another.
#[test]
fn case_55_tuples_that_collide_under_one_key_do_not_under_another() {
    const BUCKETS: u64 = 128;
    let bucket = |hasher: &KeyHasher, frame: &[u8]| {
        let packet = parse(LinkType::Ethernet, frame).unwrap();
        ((hasher.hash(&FlowKey::of_packet(frame, &packet).0) >> 32) * BUCKETS) >> 32
    };
    let (known, other) = (KeyHasher::new([1; 16]), KeyHasher::new([2; 16]));
    let mut buckets = [0_u32; BUCKETS as usize];
    let mut found = 0;
    for port in 0..=u16::MAX {
        let [syn, ..] = exchange(port).handshake();
        if bucket(&known, &syn) == 7 {
            buckets[bucket(&other, &syn) as usize] += 1;
            found += 1;
        }
    }
    let most = buckets.iter().max().unwrap();
    // 512 are expected, four for each bucket; with a Poisson distribution 20 in one are less likely than 10^-6.
    assert!(found > 400 && *most < 20, "{most} of {found} in one bucket");
}

/// A flood of SYNs: handshakes give way to newer ones, what is established stays, each SYN is counted.
#[test]
fn case_56_a_flood_of_syns_leaves_the_established() {
    const FLOOD: u32 = 50_000;
    let mut w = World::new(config());
    let mut good: Vec<Exchange> = (1..=100).map(exchange).collect();
    good.iter_mut().for_each(|x| w.send(&x.handshake()));
    for n in 0..FLOOD {
        let client = ([172, 16, (n >> 16) as u8, (n >> 8) as u8], 1000 + (n & 0xff) as u16).into();
        let [syn, ..] = Exchange::new(client, ([192, 0, 2, 1], 80).into(), Sides::default()).handshake();
        w.send(&[syn]);
    }
    for (n, x) in good.iter_mut().enumerate() {
        let frame = x.data(Side::Client, b"still here");
        w.send(&[frame]);
        assert_eq!(w.read(n as u16 + 1), 10);
    }
    let waiting = w.engine.flow_count() as u64 - 100;
    assert_eq!((waiting, w.stats().evicted_embryonic), (128, u64::from(FLOOD) - 128));
    assert!(w.app.ended.iter().all(|port| *port >= 1000) && w.stats().drops.total() == 0);
}

/// Suricata 4502: a full memory is told, and counted; nothing stops in silence.
#[test]
fn case_57_a_full_memory_is_told_and_counted() {
    for chunks in [0, 1, 2] {
        let mut w = World::new(Config { chunks, ..config() });
        let mut x = exchange(1);
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"?");
        for _ in 0..4 {
            let frame = x.data(Side::Client, &[1; 1400]);
            w.send(&[frame]);
        }
        let stats = w.stats();
        assert_eq!(stats.stream_octets + stats.refused_octets, 4 * 1400, "{chunks}");
        assert_eq!(w.app.errors.len() as u64, stats.refused_octets / 1400);
        assert!(stats.refused_octets > 0 && w.app.errors.iter().all(|e| e.contains("NoMemory")));
        let counted = stats.counters().find(|c| c.symbol == "refused").unwrap();
        assert_eq!(counted.count, stats.refused_octets);
    }
}

/// A window of one octet and segments of one octet; a window of zero for hours.
#[test]
fn case_58_windows_of_one_octet_and_of_none() {
    let mut w = World::new(config());
    let mut x = exchange(1);
    w.send(&x.handshake());
    let mut expected = Vec::new();
    for n in 0..20_000_u32 {
        let octet = [n as u8];
        let frame = x.data(Side::Client, &octet);
        w.send(&[frame, x.ack_with_window(Side::Server, 1)]);
        expected.extend(octet);
    }
    assert_eq!(w.app.read[&1], expected);
    // Closed for six hours, probed every minute with the octet before.
    w.send(&[x.ack_with_window(Side::Server, 0)]);
    for _ in 0..360 {
        w.now += 60_000_000;
        let probe = x.segment_at(
            Side::Client,
            x.seq(Side::Client).wrapping_sub(1),
            x.seq(Side::Server),
            Flags::ACK,
            b"",
        );
        w.send(&[probe, x.ack_with_window(Side::Server, 0)]);
    }
    assert_eq!((w.engine.flow_count(), w.stats().zero_windows), (1, 361));
    w.send(&[x.ack_with_window(Side::Server, 100)]);
    w.send(&[x.data(Side::Client, b"at last")]);
    assert!(w.app.read[&1].ends_with(b"at last") && w.app.errors.is_empty());
}

/// Timestamps that are equal, before 1970, after 2038, or jump: they end no connection and keep none for ever.
#[test]
fn case_59_a_clock_that_jumps_ends_nothing_and_keeps_nothing() {
    let times =
        [0, 0, 5_000_000, 1, u64::MAX, 1 << 52, 3_000_000_000_000_000, 2_500_000, 2_500_000, u64::MAX - 9];
    for first in times {
        let timeouts = Timeouts { idle: Duration::from_secs(60), ..config().timeouts };
        let mut w = World::new(Config { timeouts, ..config() });
        let mut x = exchange(1);
        w.now = first;
        w.send(&x.handshake());
        for time in times {
            w.now = time.saturating_sub(1);
            w.send(&[x.data(Side::Client, b"x")]);
        }
        assert_eq!((w.read(1), w.engine.flow_count()), (times.len(), 1), "from {first}");
        // From there the clock runs as it should, and silence ends the connection.
        let start = 4_000_000_000_000_000;
        for second in 0..70 {
            let arp = [0; 60];
            let time = Instant(start + second * 1_000_000);
            w.engine.process_burst(&mut [Frame::ethernet(time, &arp)], &mut w.app);
        }
        assert_eq!((w.engine.flow_count(), w.app.ended.as_slice()), (0, &[1][..]), "from {first}");
    }
}

/// Handlers that close, stop, resize and read beyond the data, in every event: defined errors only. (`model` plays such
/// handlers at random, under the fuzzer as well.)
#[test]
fn case_60_handlers_may_do_what_they_like_in_any_event() {
    fn wild(ctx: &mut Context<'_, App>) {
        let what = ctx.token();
        let side = ctx.side().unwrap_or(Side::Client);
        let socket = ctx.socket();
        let mut buf = [0; 64];
        if let Ok(mut m) = ctx.monitor() {
            let far = [Offset(0), Offset(5), Offset(1 << 40), Offset(u64::MAX)];
            assert!(far[2..].iter().all(|at| m.ppeek(side, *at, &mut buf).is_err()));
            let _ = (m.peek(side, &mut []), far.map(|at| m.ppeek(!side, at, &mut buf)));
            let _ = match what % 6 {
                0 => m.stop(None),
                1 => m.stop(Some(side)),
                2 => m.disable_buffer(side),
                3 => m.set_overlap(side, Overlap::Last),
                4 => m.peek(side, &mut buf).map(|peek| assert!(!matches!(peek, Peek::Lost(_)))),
                _ => Ok(()),
            };
        }
        if what % 6 == 5 {
            assert!(ctx.control().close(socket).is_err(), "active sockets end with their connection");
            let _ = ctx.control().unregister(socket, Event::PacketIn, Hook::Sender);
        }
    }
    for what in 0..6 {
        for event in Event::ALL {
            for hook in Hook::ALL.into_iter().filter(|hook| event.is_allowed_at(*hook)) {
                let mut w = World::new(config());
                let socket = w.engine.open(SocketKind::Stream).unwrap();
                w.engine.bind(socket, FilterSlot::Syn, Some("tcp".parse().unwrap())).unwrap();
                w.engine.register(socket, event, hook, wild, what).unwrap();
                let mut x = exchange(1);
                w.send(&x.handshake());
                let (a, b) = (x.data(Side::Client, b"one"), x.data(Side::Client, b"two"));
                w.send(&[b, a.clone(), a, x.data(Side::Server, b"answer")]);
                w.send(&x.close(Side::Client));
                assert_eq!((w.engine.flow_count(), w.engine.chunks().0), (0, 0), "{event:?} {hook:?} {what}");
                assert!(what == 2 || w.app.read[&1] == b"onetwoanswer", "{:?}", w.app.read);
            }
        }
    }
}
