use super::*;
use crate::{Config, Context, Engine, Event, Frame, Hook, SocketKind, Strictness};
use etherparse::{NetSlice, SlicedPacket, TcpSlice, TransportSlice};
use ringbuf_core::Range;
use std::collections::HashSet;
use std::net::SocketAddr;
use tcp_reasm::{Anomaly, Side, Sides};

/// Of each kind so much that everything that it is made of happens.
fn plans() -> [Plan; 5] {
    Kind::ALL.map(|kind| match kind {
        Kind::Bulk => Plan { flows: 9, octets: 100_000, ..Plan::of(kind) },
        Kind::Messy | Kind::Messy0 => Plan { flows: 16, octets: 250_000, ..Plan::of(kind) },
        Kind::Short => Plan { flows: 100, ..Plan::of(kind) },
        Kind::Small => Plan { flows: 77, ..Plan::of(kind) },
    })
}

/// What can be seen of one stream.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The sequence number of octet 0.
    first: u32,
    len: u64,
    /// What has come of it, from below.
    covered: Vec<Range>,
    is_finished: bool,
    /// Offsets of segments, in the order in which they came.
    segments: Vec<u64>,
    /// How far the sender may send, by bare ACKs of the receiver.
    edge: u64,
}

impl Seen {
    fn cover(&mut self, mut range: Range) {
        self.covered.retain(|other| {
            let apart = other.end < range.start || range.end < other.start;
            if !apart {
                range = Range { start: range.start.min(other.start), end: range.end.max(other.end) };
            }
            apart
        });
        let at = self.covered.partition_point(|other| other.start < range.start);
        self.covered.insert(at, range);
    }

    /// Octets before the first hole.
    fn in_order(&self) -> u64 {
        self.covered.first().filter(|range| range.start.0 == 0).map_or(0, |range| range.end.0)
    }

    fn holes(&self) -> Vec<Range> {
        let starts = [0].into_iter().chain(self.covered.iter().map(|range| range.end.0));
        let ends = self.covered.iter().map(|range| range.start.0).chain([self.len]);
        starts.zip(ends).map(|(start, end)| Range::new(start, end)).filter(|hole| !hole.is_empty()).collect()
    }

    fn wraps(&self) -> bool {
        self.first.checked_add(self.len as u32).is_none()
    }
}

/// What can be seen of all streams, by who receives them.
fn watch(traffic: &mut Traffic) -> Vec<Sides<Seen>> {
    let truth = traffic.truth();
    let stream = |flow| move |side| Seen { len: truth.len(flow, side), ..Seen::default() };
    let mut seen: Vec<Sides<Seen>> = (0..truth.flows()).map(|flow| Sides::from_fn(stream(flow))).collect();
    let mut frame = Vec::new();
    let mut before = Instant(0);
    while let Some(time) = traffic.next_into(&mut frame) {
        assert!(time >= before);
        before = time;
        let (source, destination, tcp) = parse(&frame);
        let (flow, side) = truth.sender(source, destination).expect("a connection of the plan");
        look(&truth, &mut seen[flow as usize], (flow, side), &tcp);
    }
    seen
}

/// The segment in a frame, when all of it is right by etherparse.
fn parse(frame: &[u8]) -> (SocketAddr, SocketAddr, TcpSlice<'_>) {
    assert!(frame.len() >= 60);
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport) else {
        panic!("no TCP over IPv4: {frame:?}");
    };
    let header = ip.header();
    assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
    let sum = tcp.calc_checksum_ipv4(header.source(), header.destination()).unwrap();
    assert_eq!(tcp.checksum(), sum);
    assert_eq!(frame.len(), (14 + usize::from(header.total_len())).max(60));
    let source = SocketAddr::from((header.source_addr(), tcp.source_port()));
    let destination = SocketAddr::from((header.destination_addr(), tcp.destination_port()));
    (source, destination, tcp)
}

fn look(truth: &Truth, seen: &mut Sides<Seen>, (flow, side): (u32, Side), tcp: &TcpSlice<'_>) {
    let stream = &mut seen[!side];
    if tcp.syn() {
        stream.first = tcp.sequence_number().wrapping_add(1);
    } else {
        let offset = u64::from(tcp.sequence_number().wrapping_sub(stream.first));
        if !tcp.payload().is_empty() {
            assert!(truth.matches(flow, !side, offset, tcp.payload()), "{flow} {side} {offset}");
            stream.cover(Range::new(offset, offset + tcp.payload().len() as u64));
            stream.segments.push(offset);
        }
        stream.is_finished |= tcp.fin();
    }
    let stream = &mut seen[side];
    if tcp.ack() {
        let acked = u64::from(tcp.acknowledgment_number().wrapping_sub(stream.first));
        let arrived = stream.in_order() + u64::from(stream.is_finished);
        assert!(truth.plan().kind == Kind::Messy || acked <= arrived, "{flow} {side}: {acked} {arrived}");
        let is_bare = tcp.payload().is_empty() && !tcp.syn() && !tcp.fin();
        let scale = if truth.plan().kind == Kind::Small { 0 } else { 7 };
        let edge = acked + (u64::from(tcp.window_size()) << scale);
        // What is less than a unit of the window cannot be told.
        assert!(!is_bare || edge + (1 << scale) > stream.edge, "{flow} {side}: {edge} {}", stream.edge);
        stream.edge = if is_bare { edge } else { stream.edge };
    }
}

fn frames(plan: &Plan) -> Vec<(Instant, Vec<u8>)> {
    let mut traffic = Traffic::new(plan);
    let mut frame = Vec::new();
    core::iter::from_fn(|| traffic.next_into(&mut frame).map(|time| (time, frame.clone()))).collect()
}

#[test]
fn a_seed_makes_the_same_frames_each_time_and_another_one_others() {
    for plan in plans() {
        let plan = Plan { flows: 5, octets: plan.octets.min(20_000), ..plan };
        let first = frames(&plan);
        assert!(first == frames(&plan), "{}", plan.kind);
        assert!(first != frames(&Plan { seed: 2, ..plan }), "{}", plan.kind);
    }
}

/// And each of them can be told from its neighbours.
#[test]
fn frames_have_right_checksums_and_acknowledgements_and_carry_the_truth() {
    for plan in plans() {
        let mut traffic = Traffic::new(&plan);
        let seen = watch(&mut traffic);
        let streams = || seen.iter().flat_map(|sides| [&sides.client, &sides.server]);
        let holes: u64 = streams().flat_map(Seen::holes).map(Range::len).sum();
        assert_eq!(holes, traffic.lost(), "{}", plan.kind);
        assert_eq!(holes > 0, plan.kind == Kind::Messy, "{}", plan.kind);
        assert_eq!(streams().all(|stream| stream.is_finished), plan.kind != Kind::Small, "{}", plan.kind);
        let octets: u64 = streams().map(|stream| stream.len).sum();
        assert_eq!(octets, traffic.truth().octets(), "{}", plan.kind);
        let wrapping = seen.iter().filter(|sides| sides.client.wraps() && sides.server.wraps()).count();
        let other = seen.iter().filter(|sides| sides.client.wraps() != sides.server.wraps()).count();
        let expected = plan.flows as usize / 8;
        assert!(wrapping.abs_diff(expected) <= 1 && other == 0, "{}: {wrapping} and {other}", plan.kind);
    }
}

/// Of segments, per mille: 50 late and 10 lost at first, 10 twice, 10 overlapped; and 5 of octets that are missing.
#[test]
fn what_befalls_segments_has_its_share() {
    for kind in [Kind::Messy, Kind::Messy0] {
        let mut traffic = Traffic::new(&plans()[kind as usize]);
        let (mut late, mut twice, mut overlapped, mut all) = (0, 0, 0, 0.0);
        for stream in watch(&mut traffic).iter().flat_map(|sides| [&sides.client, &sides.server]) {
            let mut before = HashSet::new();
            for offset in &stream.segments {
                let overtook = before.iter().filter(|other| *other > offset).count();
                assert!(overtook <= 40, "{overtook}");
                if !offset.is_multiple_of(MSS.into()) {
                    overlapped += 1;
                } else if !before.insert(*offset) {
                    twice += 1;
                } else if overtook > 0 {
                    late += 1;
                }
            }
            all += (stream.len as f64 / f64::from(MSS)).ceil();
        }
        let per_mille = [late, twice, overlapped].map(|n| f64::from(n) * 1000.0 / all);
        // About four standard deviations to each side. Some that are late have nothing behind them.
        for (share, within) in per_mille.into_iter().zip([45.0..72.0, 5.0..15.0, 4.5..14.0]) {
            assert!(within.contains(&share), "{kind}: {per_mille:?}");
        }
        let missing = traffic.lost() as f64 * 1000.0 / traffic.truth().octets() as f64;
        let within = if kind == Kind::Messy { 2.0..8.0 } else { 0.0..f64::MIN_POSITIVE };
        assert!(within.contains(&missing), "{kind}: {missing}");
    }
}

#[test]
fn connections_are_found_by_their_addresses_and_nothing_else_is() {
    let truth = Traffic::new(&Plan { flows: 3_000_000, ..Plan::of(Kind::Small) }).truth();
    for flow in [0, 1, 4095, 4096, 1_234_567, 2_999_999] {
        let Sides { client, server } = truth.addresses(flow);
        assert_eq!(truth.flow(client, server), Some(flow));
        assert_eq!(truth.sender(client, server), Some((flow, Side::Client)));
        assert_eq!(truth.sender(server, client), Some((flow, Side::Server)));
        let another = SocketAddr::new(server.ip(), 81);
        assert_eq!(truth.flow(client, another), None);
    }
    let Sides { client, server } = truth.addresses(3_000_000);
    assert_eq!((truth.flow(client, server), truth.sender(server, client)), (None, None));
    let six = "[2001:db8::1]:20000".parse().unwrap();
    assert_eq!(truth.flow(six, server), None);
}

#[test]
fn octets_are_the_same_however_they_are_asked_for_and_one_that_differs_is_found() {
    let truth = Traffic::new(&Plan::of(Kind::Bulk)).truth();
    let octets = |side, offset, len| {
        let mut octets = vec![0; len];
        truth.fill(3, side, offset, &mut octets);
        octets
    };
    let whole = octets(Side::Client, 0, 64);
    assert_ne!(whole, octets(Side::Server, 0, 64));
    for (start, end) in (0..40).flat_map(|start| (start..=start + 20).map(move |end| (start, end))) {
        let mut part = octets(Side::Client, start as u64, end - start);
        assert_eq!(part, whole[start..end], "{start} {end}");
        assert!(truth.matches(3, Side::Client, start as u64, &part));
        for at in 0..part.len() {
            part[at] ^= 0x10;
            assert!(!truth.matches(3, Side::Client, start as u64, &part), "{start} {end} {at}");
            part[at] ^= 0x10;
        }
    }
    let end = u64::from(Plan::of(Kind::Bulk).octets);
    assert!(truth.matches(3, Side::Client, end - 8, &octets(Side::Client, end - 8, 8)));
    assert!(!truth.matches(3, Side::Client, end - 8, &octets(Side::Client, end - 8, 9)), "behind the end");
}

#[test]
fn a_plan_is_found_by_its_name_and_kept_within_limits() {
    assert_eq!("messy0".parse(), Ok(Plan::of(Kind::Messy0)));
    assert_eq!("small-10m".parse::<Plan>().map(|plan| plan.flows), Ok(10_000_000));
    assert_eq!("small-2m".parse::<Plan>(), Err(UnknownTraffic));
    let beyond = Plan { flows: u32::MAX, octets: u32::MAX, ..Plan::of(Kind::Bulk) }.bounded();
    assert_eq!((beyond.flows, beyond.octets), (Plan::MAX_FLOWS, Plan::MAX_OCTETS));
    let last = Truth::new(beyond).addresses(Plan::MAX_FLOWS - 1);
    assert_eq!(Truth::new(beyond).flow(last.client, last.server), Some(Plan::MAX_FLOWS - 1));
    for factor in [0.0, -1.0, f64::NAN] {
        let least = [1, 1, 1, 4096, 216];
        assert_eq!(Kind::ALL.map(|kind| Plan::of(kind).scaled(factor).octets), least);
    }
    assert_eq!(Plan::of(Kind::Short).scaled(0.01).flows, 2000);
}

/// What an engine's monitor reads.
struct Reader {
    truth: Truth,
    octets: u64,
    gaps: Vec<(u32, Side, Range)>,
}

fn read(ctx: &mut Context<'_, Reader>) {
    let Some(side) = ctx.side() else { return };
    let (app, mut monitor) = ctx.split().unwrap();
    let [client, server] = Side::BOTH.map(|side| monitor.address(side).unwrap());
    let flow = app.truth.flow(client, server).unwrap();
    let taken = monitor.read_with(side, |range, octets| {
        if octets.is_empty() {
            app.gaps.push((flow, side, range));
        }
        assert!(app.truth.matches(flow, side, range.start.0, octets), "{flow} {side} {range:?}");
        app.octets += octets.len() as u64;
    });
    assert_eq!(taken, Ok(()));
}

/// A benchmark over traffic that the engine does not take in full would measure nothing.
#[test]
fn an_engine_reads_every_octet_and_tells_exactly_what_was_not_captured() {
    for plan in plans() {
        let kind = plan.kind;
        let strictness = if kind == Kind::Messy { Strictness::Lossy } else { Strictness::default() };
        let (max_flows, max_buffers) = (128, 256);
        let config = Config {
            strictness,
            max_flows,
            max_sockets: 129,
            max_buffers,
            chunks: 4096,
            ..Config::default()
        };
        let mut engine = Engine::new(config).unwrap();
        let socket = engine.open(SocketKind::Stream).unwrap();
        engine.register(socket, Event::NewData, Hook::None, read, 0).unwrap();
        // When the last octets were not captured nothing new tells of it.
        engine.register(socket, Event::ConnEnd, Hook::Receiver, read, 0).unwrap();
        let mut traffic = Traffic::new(&plan);
        let mut app = Reader { truth: traffic.truth(), octets: 0, gaps: Vec::new() };
        let mut frame = Vec::new();
        while let Some(time) = traffic.next_into(&mut frame) {
            engine.process_burst(&mut [Frame::ethernet(time, &frame)], &mut app);
        }
        engine.shutdown(&mut app);
        let stats = engine.stats();
        let counts = (stats.flows, stats.drops.total(), stats.anomalies.total());
        assert_eq!(counts, (plan.flows.into(), 0, 0), "{kind}: {stats:?}");
        // What a host sends behind a segment of its own that is late, and says of others that were not captured.
        let expected: &[Anomaly] = match kind {
            Kind::Messy => &[Anomaly::SeqUnseen, Anomaly::AckUnseen, Anomaly::SackInvalid],
            Kind::Messy0 => &[Anomaly::SeqUnseen],
            _ => &[],
        };
        let expected = expected.iter().map(|anomaly| stats.odd[*anomaly]).sum::<u64>();
        assert_eq!(stats.odd.total(), expected, "{kind}: {stats:?}");
        assert_eq!(app.octets + traffic.lost(), traffic.truth().octets(), "{kind}");
        assert_eq!(stats.gap_octets, traffic.lost(), "{kind}");
        app.gaps.sort_by_key(|(flow, side, range)| (*flow, *side, range.start));
        // What is lost in one piece may be told in several.
        app.gaps.dedup_by(|(flow, side, next), (of, at, last)| {
            let goes_on = (*flow, *side, next.start) == (*of, *at, last.end);
            last.end = if goes_on { next.end } else { last.end };
            goes_on
        });
        assert!(kind != Kind::Messy || app.gaps == holes(&plan), "{:?}", app.gaps);
    }
}

fn holes(plan: &Plan) -> Vec<(u32, Side, Range)> {
    let seen = watch(&mut Traffic::new(plan));
    let of = |(flow, sides): (u32, &Sides<Seen>)| {
        Side::BOTH.map(|side| sides[side].holes().into_iter().map(move |hole| (flow, side, hole)))
    };
    (0..).zip(&seen).flat_map(of).flatten().collect()
}
