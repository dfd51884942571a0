//! The rules of [`order`](super::order) over any traffic: what one monitor is told of one connection, and in which order.

use super::order::short;
use super::rest::{frames, scarce};
use super::*;
use proptest::prelude::*;
use ringbuf_core::SeqNum;
use std::collections::BTreeMap;

/// One call of a handler.
#[derive(Clone, Copy)]
struct Call {
    event: Event,
    hook: Hook,
    side: Side,
    /// The number of the packet in flight.
    packet: Option<u64>,
    states: Sides<State>,
    /// Where the streams stand: first sequence number, end in order.
    streams: Sides<Option<(SeqNum, Offset)>>,
}

impl core::fmt::Debug for Call {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Call { event, hook, side, packet, states, streams } = self;
        let (packet, stream) = (packet.unwrap_or(0), streams[*side].unwrap_or_default());
        let states = Side::BOTH.map(|side| states[side].name()).join("/");
        write!(f, "{packet} {event} {hook} {side} {states} {}", stream.1)
    }
}

/// All calls, by connection and monitor.
type Calls = BTreeMap<(u64, usize), Vec<Call>>;

fn record(ctx: &mut Context<'_, Calls>) {
    let Some((event, side)) = ctx.event().zip(ctx.side()) else { return };
    let (hook, token, packet) = (ctx.hook(), ctx.token(), ctx.packet().map(|p| p.frame.time.0));
    let m = ctx.monitor().unwrap();
    let states = Sides::from_fn(|s| m.state(s).unwrap());
    let streams = Sides::from_fn(|s| m.stream_info(s).ok().map(|info| (info.base, info.next)));
    let call = Call { event, hook, side, packet, states, streams };
    let flow = m.flow_number().unwrap();
    ctx.app().entry((flow, token)).or_default().push(call);
}

fn play(setup: u8, script: &[[u8; 5]]) -> Calls {
    let mut engine = Engine::<Calls>::new(scarce(setup, 0)).unwrap();
    for token in 0..2 {
        let socket = engine.open(SocketKind::Stream).unwrap();
        for event in Event::ALL {
            for hook in Hook::ALL.into_iter().filter(|hook| crate::model::script::is_told(event, *hook)) {
                engine.register(socket, event, hook, record, token).unwrap();
            }
        }
    }
    let (mut calls, mut now) = (Calls::new(), 1_000_000);
    let mut all: Vec<_> = (1..=12).map(other).collect();
    for step in script.chunks(4) {
        let burst: Vec<_> = step.iter().flat_map(|[_, op @ ..]| frames(*op, &mut all)).collect();
        let mut burst: Vec<_> =
            (now + 1..).zip(&burst).map(|(time, data)| Frame::ethernet(Instant(time), data)).collect();
        now += burst.len() as u64;
        engine.process_burst(&mut burst, &mut calls);
        now += step.iter().map(|[wait, ..]| u64::from(*wait).pow(2)).sum::<u64>();
        engine.handle_timeout(Instant(now), &mut calls);
        engine.check();
    }
    engine.shutdown(&mut calls);
    calls
}

/// Sender before receiver; the packet once at each; at each the events in ascending order, each of them once. Only octets
/// that came before are told ahead of the packet, because they are told ahead of their storing.
fn check_packet(calls: &[Call]) {
    assert!(calls.is_sorted_by_key(|call| call.hook != Hook::Sender), "sender first: {calls:#?}");
    let hooks: Vec<_> = calls.chunk_by(|a, b| a.hook == b.hook).collect();
    assert_eq!(hooks.len(), 2, "{calls:#?}");
    for group in hooks {
        let ahead = usize::from(group[0].event == Event::Retransmission);
        assert_eq!(group[ahead].event, Event::PacketIn, "{calls:#?}");
        let again = group.iter().filter(|call| call.event == Event::Retransmission).count();
        assert!(again <= 1, "told ahead or in order: {calls:#?}");
        // When a receiver drops a FIN that waited, its sender has not ended; it is told last.
        let back = usize::from(group.last().is_some_and(|call| call.side != group[0].side));
        let group = &group[ahead..group.len() - back];
        assert!(group.is_sorted_by(|a, b| a.event < b.event), "in order, once: {calls:#?}");
    }
}

/// The whole life of a connection, as one monitor is told.
fn check_connection(calls: &[Call]) {
    let end = calls.iter().position(|call| call.event == Event::ConnEnd).unwrap();
    let state = calls[..end].last().filter(|call| call.packet.is_none() && call.event == Event::StateChange);
    let (life, end) = calls.split_at(end - usize::from(state.is_some()));
    check_start(life);
    check_states(life);
    check_news(life);
    check_end(end);
    // A connection that is picked up in the middle starts, at both hooks, before its first packet.
    let picked_up = life.first().is_some_and(|call| call.event == Event::ConnStart);
    let life: Vec<_> = hooked(&life[if picked_up { 2 } else { 0 }..]);
    for packet in life.chunk_by(|a, b| a.packet == b.packet).filter(|calls| calls[0].packet.is_some()) {
        check_packet(packet);
    }
}

fn check_start(life: &[Call]) {
    for (hook, side) in [(Hook::Sender, Side::Client), (Hook::Receiver, Side::Server)] {
        let starts: Vec<_> =
            (0..).zip(life).filter(|(_, c)| c.event == Event::ConnStart && c.hook == hook).collect();
        let [(at, start)] = starts[..] else { panic!("{} starts: {life:#?}", starts.len()) };
        assert_eq!(start.side, side);
        let before = life[..at].iter().filter(|call| call.hook == hook);
        assert!(
            before.clone().all(|call| call.event == Event::PacketIn && call.packet == start.packet),
            "{life:#?}"
        );
    }
}

/// A change of state is told, once, at the hook of the side that it concerns. A connection that is picked up is in some
/// state before.
fn check_states(life: &[Call]) {
    let picked_up = life[0].event == Event::ConnStart;
    let begin = Sides { client: State::Closed, server: State::Listen };
    let mut known = Sides::from_fn(|side| (!picked_up).then_some(begin[side]));
    let life: Vec<_> = hooked(&life[if picked_up { 2 } else { 0 }..]);
    for group in life.chunk_by(|a, b| (a.packet, a.hook) == (b.packet, b.hook)) {
        let sender = (group[0].hook == Hook::Sender).then_some(group[0].side);
        for side in Side::BOTH.into_iter().filter(|side| sender.is_none_or(|sender| sender == *side)) {
            let told = group.iter().filter(|c| c.event == Event::StateChange && c.side == side).count();
            let state = group.last().unwrap().states[side];
            let before = known[side].replace(state).unwrap_or(state);
            assert!(picked_up || told == usize::from(before != state), "{side}: {group:#?} in {life:#?}");
        }
    }
}

/// What is told at the hooks. A FIN behind a gap that is given up is taken after the packet, and told by itself.
fn hooked(life: &[Call]) -> Vec<Call> {
    let after_error = |at: usize| at > 0 && life[at - 1].event == Event::Error;
    let by_itself = |(at, call): (usize, &Call)| {
        let gap = call.event == Event::StateChange && after_error(at);
        Call { packet: call.packet.filter(|_| !gap), ..*call }
    };
    life.iter().enumerate().map(by_itself).filter(|call| call.hook != Hook::None).collect()
}

/// Every announcement finds more than the one before, unless the stream began anew.
fn check_news(life: &[Call]) {
    let mut told = Sides::<Option<(SeqNum, Offset)>>::default();
    for call in life {
        for side in Side::BOTH {
            let stream = call.streams[side];
            told[side] = told[side].filter(|told| stream.is_some_and(|s| s.0 == told.0 && s.1 >= told.1));
        }
        if call.event == Event::NewData {
            assert_eq!((call.hook, call.packet), (Hook::None, None));
            let stream = call.streams[call.side];
            let (next, before) = (stream.unwrap().1, told[call.side].map_or(Offset::ZERO, |told| told.1));
            assert!(next > before, "{call:?} in {life:#?}");
            told[call.side] = stream;
        }
    }
}

/// One side after the other; of each at the receiver's hook, then at the sender's; nothing after it.
fn check_end(end: &[Call]) {
    assert!(
        end.iter().all(|c| c.packet.is_none() && c.states == Sides::from_fn(|_| State::Closed)),
        "{end:#?}"
    );
    let first = end[0].side;
    let expected = [first, !first].map(|side| [(Hook::Receiver, side), (Hook::Sender, side)]);
    let ends = end.iter().filter(|call| call.event == Event::ConnEnd).map(|call| (call.hook, call.side));
    assert!(ends.eq(expected.concat()), "{end:#?}");
    for call in end {
        assert!(matches!(call.event, Event::ConnEnd | Event::StateChange), "{end:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_comes_is_told_in_order(setup: u8, script in prop::collection::vec(any::<[u8; 5]>(), 1..120)) {
        let calls = play(setup, &script);
        for ((flow, monitor), own) in &calls {
            check_connection(own);
            let other: Vec<_> = calls[&(*flow, 1 - monitor)].iter().map(|call| call.event).collect();
            prop_assert!(own.iter().map(|call| call.event).eq(other), "both monitors are told the same");
        }
    }
}

/// A world that tells everything, and what it tells of some frames, the packets left out.
fn told(w: &mut World, frames: &[Vec<u8>]) -> Vec<String> {
    w.send(frames);
    let mut lines = w.take();
    lines.retain(|line| !line.starts_with("packet_in"));
    lines
}

#[test]
fn a_server_that_forgets_the_request_changes_its_state_and_has_no_new_data() {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    let mut x = exchange();
    w.send(&[x.segment(Side::Client, Flags::SYN, b"early")]);
    w.take();
    // A second SYN with a later number: the server resets it, and with it the request whose octets it had acknowledged.
    let second = x.segment_at(Side::Client, x.seq(Side::Client).wrapping_add(9), 0, Flags::SYN, b"");
    let syn_ack = x.segment(Side::Server, Flags::SYN | Flags::ACK, b"");
    let lines = told(&mut w, &[syn_ack, second]);
    assert_eq!(
        lines,
        [
            "state_change receiver client ESTABLISHED/SYN-RECEIVED",
            "state_change receiver server ESTABLISHED/LISTEN",
        ]
    );
}

/// What came with the SYN is announced at both hooks, behind each other.
#[test]
fn who_stops_when_told_of_new_data_at_one_hook_is_not_told_at_the_other() {
    fn note_and_stop(ctx: &mut Context<'_, Log>) {
        note(ctx);
        let side = ctx.side();
        ctx.monitor().unwrap().stop(side).unwrap();
    }
    for (handler, hooks) in [(note as Handler<Log>, 2), (note_and_stop, 1)] {
        let mut w = World::new(small());
        w.on(Event::NewData, Hook::None, handler).on(Event::NewData, Hook::Receiver, handler);
        let mut x = exchange();
        w.send(&[x.segment(Side::Client, Flags::SYN, b"early")]);
        w.send(&[x.segment(Side::Server, Flags::SYN | Flags::ACK, b"")]);
        assert_eq!(w.take().len(), hooks);
    }
}

#[test]
fn a_connection_that_was_picked_up_does_not_start_again_with_a_syn() {
    let mut w = World::new(Config { midstream: true, ..small() });
    w.on(Event::ConnStart, Hook::Sender, note).on(Event::ConnStart, Hook::Receiver, note);
    let mut x = exchange();
    let [_, syn_ack, _] = x.handshake();
    let again = x.segment_at(Side::Client, x.seq(Side::Client).wrapping_add(9), 0, Flags::SYN, b"");
    let once_more = x.segment_at(Side::Client, x.seq(Side::Client).wrapping_add(99), 0, Flags::SYN, b"");
    w.send(&[syn_ack, again, once_more]);
    assert_eq!(short(&w.take()), ["conn_start sender client", "conn_start receiver server"]);
}

#[test]
fn a_sender_whose_fin_is_dropped_has_not_ended_and_that_is_told() {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    let mut x = exchange();
    w.send(&x.handshake());
    w.take();
    let at = |offset: u32| x.seq(Side::Client).wrapping_add(offset);
    let fin = x.segment_at(Side::Client, at(4), x.seq(Side::Server), Flags::FIN | Flags::ACK, b"");
    assert_eq!(told(&mut w, &[fin]), ["state_change sender client FIN-WAIT-1/ESTABLISHED"]);
    let over = x.segment_at(Side::Client, at(0), x.seq(Side::Server), Flags::ACK, b"12345678");
    assert_eq!(
        told(&mut w, &[over]),
        [
            "state_change receiver client ESTABLISHED/ESTABLISHED",
            "new_data none server ESTABLISHED/ESTABLISHED",
        ]
    );
}

#[test]
fn octets_of_a_syn_that_a_wrong_guess_lost_are_not_told_as_new() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, note);
    let mut x = exchange();
    let syn = x.segment(Side::Client, Flags::SYN, b"abc");
    let forged = x.segment_at(Side::Client, x.seq(Side::Client), 77, Flags::ACK, b"");
    w.send(&[syn, forged, x.segment(Side::Server, Flags::SYN | Flags::ACK, b"")]);
    assert!(w.take().is_empty());
}

#[test]
fn errors_of_a_segment_come_between_its_hooks_whether_it_is_taken_or_not() {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    let mut x = exchange();
    w.send(&x.handshake());
    w.take();
    let between = ["packet_in sender client", "error none server", "packet_in receiver server"];
    // Refused: it lies beyond the window. Taken, but for its payload: the window is closed.
    let far = x.seq(Side::Client).wrapping_add(1 << 20);
    w.send(&[x.segment_at(Side::Client, far, x.seq(Side::Server), Flags::ACK, b"far")]);
    assert_eq!(short(&w.take()), between);
    let fill = [40_000, 25_535].map(|octets| x.data(Side::Client, &vec![b'x'; octets]));
    w.send(&fill);
    w.send(&[x.ack_with_window(Side::Server, 0)]);
    w.take();
    w.send(&[x.data(Side::Client, b"none")]);
    assert_eq!(short(&w.take()), between);
    assert_eq!(w.engine.stats().odd[tcp_reasm::Anomaly::WindowClosed], 1);
}
