//! Packets, time and handlers that do as they please, from a script of bytes; and what must hold all the same. Shared
//! by property tests and fuzz targets.
#![allow(missing_docs, clippy::panic, clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used)]

mod carry;

pub mod events;

pub mod filter;

mod inject;

pub mod readers;

pub mod script;

pub mod shift;

pub mod slab;

pub mod table;

pub mod timer;

pub use crate::defrag::model::run as run_defrag;

use crate::defrag::{DefragConfig, FragmentPolicy};
use crate::key::FlowKey;
use crate::testing::Exchange;
use crate::wire::{Family, LinkType, MAX_DEPTH, Packet, Walker, checksum, parse, verify};
use crate::{
    Config, Context, EmbryonicThenIdle, Engine, Event, EventId, FilterSlot, Frame, Hook, Instant, Layer,
    Offset, OverlapPolicy, Patience, Peek, Range, Retention, Side, Sides, SocketId, SocketKind, Timeouts,
    UserEvent, Verdict, Way,
};
use core::net::SocketAddr;
use core::time::Duration;
use std::format;
use std::vec::Vec;
use tcp_reasm::Flags;

/// Connections that the script speaks for.
const EXCHANGES: usize = 6;
/// Datagrams that wait for fragments.
const MAX_DATAGRAMS: usize = 4;

/// What handlers do, one step of the script for each call.
#[derive(Debug, Default)]
struct App {
    script: Vec<u8>,
    at: usize,
    /// Sockets seen, also ones that are gone.
    sockets: Vec<SocketId>,
    /// Events defined, also ones that are gone.
    events: Vec<UserEvent>,
}

impl App {
    fn next(&mut self) -> u8 {
        let byte = self.script.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }
}

/// Where frames go that are no packets.
const AS_IT_IS: Way = Way::Back(u16::MAX);

/// A handler that may do anything it is allowed to.
fn anything(ctx: &mut Context<'_, App>) {
    let own = ctx.socket();
    if ctx.app().sockets.len() < 64 {
        ctx.app().sockets.push(own);
    }
    let (what, how) = (ctx.app().next(), ctx.app().next());
    let other = ctx.app().sockets.get(usize::from(how)).copied().unwrap_or(own);
    let side = if how & 1 == 0 { Side::Client } else { Side::Server };
    let hook = Hook::ALL[usize::from(how) % 3];
    let event = EventId::from(Event::ALL[usize::from(how >> 2) % 8]);
    let defined = ctx.app().events.get(usize::from(how) % 16).copied();
    let event = defined.map_or(event, EventId::from);
    match what % 32 {
        0 => drop(ctx.monitor().map(|mut m| m.stop(None))),
        1 => drop(ctx.monitor_at(other).map(|mut m| m.stop(Some(side)))),
        2 => drop(ctx.monitor_at(other).map(|mut m| m.disable_buffer(side))),
        3 => drop(ctx.control().register(other, event, hook, anything, usize::from(how))),
        4 => drop(ctx.control().unregister(other, event, hook)),
        5 => drop(ctx.control().close(other)),
        6 => drop(ctx.control().open(if how & 2 == 0 { SocketKind::Raw } else { SocketKind::Stream })),
        7 => drop(ctx.control().bind(other, FilterSlot::Syn, "port 80".parse().ok())),
        8 => drop(ctx.control().start_timer(Duration::from_millis(how.into()), anything, 1)),
        9 => ctx.drop_packet(),
        10 => {
            let policy = OverlapPolicy::ALL[usize::from(how) % OverlapPolicy::ALL.len()];
            let _ = ctx.monitor_at(other).map(|mut m| m.set_overlap(side, policy));
        }
        11 => {
            let _ = ctx.monitor_at(other).map(|mut m| m.resize(side, u32::from(how & 60) << (how & 3)));
        }
        12 | 13 => {
            let _ = ctx.monitor_at(other).map(|mut m| m.wait_for(side, u64::from(how) * 3));
        }
        14 | 15 => define(ctx, event, how),
        16 => drop(defined.map(|event| ctx.raise(event))),
        17 => drop(defined.map(|event| ctx.control().undefine_event(event))),
        18 => drop(ctx.control().register_with(other, event, hook, anything)),
        19..=21 => change(ctx, what, how),
        22 => drop(ctx.reset()),
        23 => drop(ctx.control().reset(other)),
        24 => drop(ctx.control().send_frame(AS_IT_IS, LinkType::Ethernet, &[what; 99])),
        _ => look(ctx, other, side, how),
    }
}

/// Changes the packet in flight, as far as it can be.
fn change(ctx: &mut Context<'_, App>, what: u8, how: u8) {
    let Ok(mut edit) = ctx.edit() else { return };
    let (at, len) = (usize::from(how >> 4), usize::from(how & 15));
    let octets = [what; 16];
    let _ = match what % 7 {
        0 => edit.overwrite(Layer::Payload, at, &octets[..len]),
        1 => edit.overwrite(Layer::Tcp, at, &octets[..len]),
        2 => edit.overwrite(Layer::Ip, at, &octets[..len]),
        3 => edit.chomp(at, len),
        4 => edit.set_source(SocketAddr::from(([10, 0, 0, how], 7))),
        5 => edit.replace(at, len, &octets[..usize::from(what >> 5)]),
        _ => edit.insert(at, &octets[..len]),
    };
    if how & 3 == 3 {
        edit.renew_ip_checksum();
        edit.renew_transport_checksum();
    }
}

/// Defines an event that happens as its filter pleases, or when it is raised.
fn define(ctx: &mut Context<'_, App>, parent: EventId, how: u8) {
    let perhaps = |ctx: &mut Context<'_, App>| {
        anything(ctx);
        ctx.app().next() & 1 == 0
    };
    let defined = match how % 4 {
        0 => ctx.control().define_event(parent, perhaps, 0),
        1 => ctx.control().define_event_with(parent, perhaps),
        _ => ctx.control().alloc_event(parent),
    };
    ctx.app().events.extend(defined);
}

/// Reads in every way there is; what is read must be consistent.
fn look(ctx: &mut Context<'_, App>, socket: SocketId, side: Side, how: u8) {
    compare(ctx);
    let Ok(mut m) = ctx.monitor_at(socket) else { return };
    let mut buf = [0; 600];
    let mut ranges = [Range::default(); 40];
    let n = m.fragments(side, &mut ranges).unwrap_or(0);
    for pair in ranges[..n].windows(2) {
        assert!(pair[0].end < pair[1].start, "ranges are apart: {ranges:?}");
    }
    for range in &ranges[..n] {
        let got = m.ppeek(side, range.start, &mut buf).unwrap_or(0) as u64;
        assert_eq!(got, range.len().min(600), "a held range can be read");
    }
    let before = m.cursor(side);
    let read =
        if how & 64 == 0 { m.peek(side, &mut buf[..usize::from(how)]) } else { m.skip(side, u64::from(how)) };
    match read {
        Ok(Peek::Data(r)) => assert!(Ok(r.start) == before && Ok(r.end) == m.cursor(side)),
        Ok(Peek::Lost(r)) => assert!(!r.is_empty() && Ok(r.end) == m.cursor(side)),
        Ok(Peek::Empty) | Err(_) => assert_eq!(before, m.cursor(side)),
    }
    let _ = (m.ppeek(side, Offset(u64::from(how) << 56), &mut buf), m.stream_info(side), m.state(side));
    let _ = (m.address(side), m.end_reason(), m.kind(), m.set_user(7), m.flow_number(), m.opened_for());
}

/// Goes through the conflict at hand: all of it lies in its range, in order, and differs at both ends.
fn compare(ctx: &Context<'_, App>) {
    let mut at = Offset::ZERO;
    while let Some(clash) = ctx.clash(at) {
        let whole = ctx.conflict().map(|conflict| conflict.range);
        assert_eq!(whole.map(|whole| whole.intersection(clash.range)), Some(clash.range));
        assert!(clash.range.start >= at && clash.held.len() as u64 == clash.range.len());
        assert!(clash.held.first() != clash.came.first() && clash.held.last() != clash.came.last());
        at = clash.range.end;
    }
}

/// How datagrams are put together that come in fragments, with little memory or none.
fn fragments(setup: u8) -> Option<DefragConfig> {
    const MOST: Duration = Duration::from_millis(700);
    let config = DefragConfig {
        policy: FragmentPolicy::ALL[usize::from(setup) % FragmentPolicy::ALL.len()],
        max_datagrams: MAX_DATAGRAMS - usize::from(setup >> 3 & 3),
        chunks: if setup & 32 == 0 { 16 } else { 2 },
        timeout_v4: MOST,
        timeout_v6: MOST * 2,
    };
    (setup & 0xc0 != 0xc0).then_some(config)
}

fn config([setup, crowd, datagrams]: [u8; 3]) -> Config {
    const EAGER: EmbryonicThenIdle = EmbryonicThenIdle { idle: Duration::from_millis(300) };
    Config {
        max_flows: 4,
        max_awake: (crowd & 1 != 0).then_some(usize::from(crowd >> 1 & 3) + 1),
        max_embryonic: Some(4 - usize::from(crowd >> 3 & 3)),
        eviction: if crowd & 32 == 0 { &EmbryonicThenIdle::DEFAULT } else { &EAGER },
        max_sockets: 16,
        max_monitors: 4,
        max_timers: 4,
        max_waits: usize::from(setup >> 1 & 7),
        max_events: 8,
        max_steps: 100,
        max_buffers: usize::from(setup & 3) + 1,
        max_ranges: (datagrams & 6 == 6).then_some(usize::from(datagrams & 1)),
        max_queues: usize::from(setup & 1),
        chunks: usize::from(setup >> 2 & 3) * 4,
        ring_octets: 1000,
        ahead_octets: 1 << 16,
        retention: if setup & 16 == 0 { Retention::Ring } else { Retention::Unread },
        timeouts: Timeouts {
            patience: Patience { octets: 500, time: Duration::from_millis(200) },
            handshake: Duration::from_secs(1),
            idle: Duration::from_secs(3),
            time_wait: Duration::from_millis(if setup & 32 == 0 { 0 } else { 700 }),
        },
        fragments: fragments(datagrams),
        vlans_in_key: crowd & 64 != 0,
        tunnels_in_key: crowd & 128 != 0,
        linger: Duration::from_millis(if setup & 64 == 0 { 0 } else { 900 }),
        verify_checksums: setup & 128 == 0,
        midstream: setup & 64 != 0,
        hash_seed: [7; 16], // what is found is found again
        ..Config::default()
    }
}

fn exchanges() -> [Exchange; EXCHANGES] {
    core::array::from_fn(|i| {
        let (host, port) = (1 + i / 2, 1000 + i % 2);
        let (client, server) = if i < EXCHANGES - 1 {
            (format!("10.0.0.{host}:{port}"), "10.0.1.1:80")
        } else {
            (format!("[fd00::{host}]:{port}"), "[fd00:1::1]:80")
        };
        let isn = Sides { client: 0xffff_ff00 + i as u32, server: 77 };
        Exchange::new(client.parse().unwrap(), server.parse().unwrap(), isn)
    })
}

/// The next frame of the script, and how long after the last one it comes.
fn frame(op: [u8; 6], exchanges: &mut [Exchange; EXCHANGES]) -> Vec<u8> {
    let [what, which, a, b, c, d] = op;
    let x = &mut exchanges[usize::from(which) % EXCHANGES];
    let side = if which & 128 == 0 { Side::Client } else { Side::Server };
    let payload: Vec<u8> = (0..u16::from(a) * 3).map(|i| (i as u8) ^ (d & 1)).collect();
    match what % 16 {
        0 => {
            let isn = Sides { client: u32::from_le_bytes([a, b, c, d]), server: u32::from(b) };
            if d & 7 == 0 {
                *x = Exchange::new("10.0.0.1:1000".parse().unwrap(), "10.0.1.1:80".parse().unwrap(), isn);
            }
            x.segment(Side::Client, Flags::SYN, &[])
        }
        1 => x.segment(Side::Server, Flags::SYN | Flags::ACK, &[]),
        2 | 3 => x.ack(side),
        4..=7 => x.data(side, &payload),
        8 | 9 => {
            let seq = x.seq(side).wrapping_add_signed(i32::from(i16::from_le_bytes([b, c])));
            x.segment_at(side, seq, x.seq(!side), Flags::ACK, &payload)
        }
        10 => {
            // A hole: the octets are sent, but not seen.
            let _ = x.data(side, &payload);
            x.ack(!side)
        }
        11 => x.segment(side, Flags::FIN | Flags::ACK, &payload),
        12 => x.segment(side, Flags::RST | Flags(u16::from(a) & 0x10), &[]),
        13 => {
            x.segment_at(side, u32::from_le_bytes([a, b, c, d]), u32::from(d), Flags(u16::from(b)), &payload)
        }
        14 => {
            let mut f = x.data(side, &payload);
            if f[12..14] == [0x86, 0xdd] && b & 1 != 0 {
                f[18..20].fill(0); // as segmentation offload leaves it
                return f;
            }
            let i = usize::from(b) % f.len();
            f[i] ^= c;
            f.truncate(f.len() - usize::from(d) % f.len());
            f
        }
        _ => op.repeat(usize::from(a) % 12),
    }
}

/// Plays the script in `input`.
///
/// # Panics
/// When something that must hold does not.
pub fn run(input: &[u8]) {
    let Some((&[setup @ .., split], rest)) = input.split_first_chunk::<4>() else { return };
    let (handlers, packets) = rest.split_at(rest.len() * usize::from(split) / 512);
    let mut app = App { script: handlers.to_vec(), ..App::default() };
    let mut engine = Engine::new(config(setup)).unwrap();
    for kind in [SocketKind::Stream, SocketKind::Raw, SocketKind::Stream] {
        let socket = engine.open(kind).unwrap();
        app.sockets.push(socket);
        for event in Event::ALL {
            for hook in Hook::ALL.into_iter().filter(|h| event.is_allowed_at(*h)) {
                engine.register(socket, event, hook, anything, 0).unwrap();
            }
        }
    }
    let mut exchanges = exchanges();
    let mut now = 0_u64;
    for (number, &[way, ref op @ ..]) in (0..).zip(packets.as_chunks::<7>().0) {
        let data = carry::carry(way, number, frame(*op, &mut exchanges));
        now = now.wrapping_add_signed(i64::from(op[5].cast_signed()) << (op[0] >> 4)) & ((1 << 40) - 1);
        if op[0] == 255 {
            engine.handle_timeout(Instant(now), &mut app);
        }
        let mut frames: Vec<_> = data.iter().map(|data| Frame::ethernet(Instant(now), data)).collect();
        engine.process_burst(&mut frames, &mut app);
        check(&engine);
        check_output(&mut engine, &frames, op[5] & 1 == 0);
    }
    engine.shutdown(&mut app);
    check(&engine);
    assert_eq!((engine.flow_count(), engine.chunks().0), (0, 0), "everything is given back");
    assert!(engine.socket_count() <= 4, "only monitors are left");
}

/// What leaves for each frame, and, if it is taken now, what waits to be sent.
fn check_output(engine: &mut Engine<App>, frames: &[Frame<'_>], take: bool) {
    for frame in frames {
        let leaves = engine.output(frame).count();
        assert_eq!(leaves == 0, frame.verdict == Verdict::Drop, "a packet leaves unless it is dropped");
    }
    let walker = Walker::new([7; 16]);
    while let Some(sent) = take.then(|| engine.poll_transmit()).flatten() {
        if sent.way == AS_IT_IS {
            assert_eq!(sent.octets, [sent.octets[0]; 99]);
            continue;
        }
        let packet = walker.walk(sent.link, sent.octets).expect("a packet that was made can be read");
        assert_eq!(verify(sent.octets, &packet), Ok(()), "its checksums are right");
    }
}

fn check(engine: &Engine<App>) {
    engine.check();
    assert!(engine.flow_count() <= 4 && engine.chunks().0 <= engine.chunks().1);
    let f = &engine.stats().fragments;
    let ended = f.completed + f.killed + f.evicted + f.timed_out;
    assert!((ended..=ended + MAX_DATAGRAMS as u64).contains(&f.opened), "datagrams are counted");
}

/// Every link type that is followed.
const LINKS: [LinkType; 10] = [
    LinkType::Ethernet,
    LinkType::RawIp,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Null,
    LinkType::Loop,
    LinkType::Ppp,
    LinkType::PppSerial,
    LinkType::Ipv4,
    LinkType::Ipv6,
];

/// Any bytes through the walker and the segment parser: places lie inside the frame.
pub fn run_wire(input: &[u8]) {
    let walker = Walker::new([7; 16]);
    for link in LINKS {
        if let Ok(p) = walker.walk(link, input) {
            check_places(&walker, input, &p);
            inject::check(&walker, link, input, &p);
        }
    }
}

/// What holds of any packet in any frame. A fragment's payload is walked as if it were the whole datagram.
fn check_places(walker: &Walker, frame: &[u8], p: &Packet) {
    assert!(p.ip <= p.transport && p.transport <= p.end && p.end <= frame.len());
    assert!(p.segment_bytes(frame).len() <= p.segment_len, "captured is at most what there was");
    assert!((1..=MAX_DEPTH).contains(&p.depth) && p.vlans.ids().len() <= 3);
    let (key, _) = FlowKey::of_packet(frame, p);
    assert_eq!(key.family(), p.family);
    let _ = (p.ports(frame), p.mpls(), verify(frame, p), checksum::udp_ok(frame, p));
    if let Ok(s) = tcp_reasm::Segment::parse(p.segment_bytes(frame), p.segment_len) {
        assert!(s.payload.len() <= s.payload_len as usize);
    }
    let (headers, protocol_at) = p.unfragmentable(frame);
    assert!(protocol_at < headers.len(), "the octet that names the protocol is in the headers");
    if p.fragment.is_none() {
        return assert_eq!(headers[protocol_at], p.protocol);
    }
    assert_eq!(p.ports(frame), (0, 0));
    let mut datagram = headers.to_vec();
    datagram[protocol_at] = p.protocol;
    if p.family == Family::V4 {
        datagram[6..8].fill(0);
    }
    datagram.extend_from_slice(p.segment_bytes(frame));
    let len = datagram.len() - if p.family == Family::V4 { 0 } else { 40 };
    let at = if p.family == Family::V4 { 2 } else { 4 };
    datagram[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
    if let Ok(again) = walker.walk_again(&datagram, p) {
        assert!(again.depth > p.depth && again.vlans.ids().starts_with(p.vlans.ids()));
        check_places(walker, &datagram, &again);
    }
}

/// The parts of the flow table, one of them for each script.
pub fn run_table(input: &[u8]) {
    match input.split_first() {
        Some((part, script)) if part % 3 == 0 => table::run(script),
        Some((part, script)) if part % 3 == 1 => slab::run(script),
        Some((_, script)) => timer::run(script),
        None => {}
    }
}

/// Any text as a filter over any bytes as a frame.
pub fn run_filter(input: &[u8]) {
    let (text, frame) = input.split_at(input.len().min(100));
    let Ok(text) = core::str::from_utf8(text) else { return };
    if let (Ok(filter), Ok(packet)) = (text.parse::<crate::filter::Filter>(), parse(LinkType::RawIp, frame)) {
        let frame = Frame { link: LinkType::RawIp, ..Frame::ethernet(Instant(0), frame) };
        let _ = filter.matches(&frame, &packet);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]
        #[test]
        fn whatever_comes_and_whatever_handlers_do_the_engine_stands(
            script in prop::collection::vec(any::<u8>(), 0..900)
        ) {
            super::run(&script);
        }
    }
}
