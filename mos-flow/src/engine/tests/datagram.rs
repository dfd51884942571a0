//! Packets that come in fragments.

use super::*;
use crate::wire::checksum::Sum;

fn exchange_v6() -> Exchange {
    let (client, server) = ("[fd00::1]:40000".parse().unwrap(), "[fd00::2]:80".parse().unwrap());
    Exchange::new(client, server, Sides { client: 77, server: 88 })
}

/// What the application hears of a connection whose packets pass through `cut`.
fn hear(mut x: Exchange, cut: impl Fn(u32, &[u8]) -> Vec<Vec<u8>>) -> World {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    w.on(Event::NewData, Hook::None, read);
    let mut frames: Vec<Vec<u8>> = x.handshake().into();
    frames.extend([x.data(Side::Client, &[b'q'; 100]), x.data(Side::Server, &[b'a'; 900])]);
    frames.extend(x.close(Side::Client));
    for (id, frame) in (1..).zip(frames) {
        w.send(&cut(id, &frame));
    }
    w
}

#[test]
fn a_connection_in_fragments_is_the_connection() {
    // With IPv6 the first fragment must have the whole TCP header (RFC 7112), so that only payload is cut.
    for (exchange, size) in [(exchange as fn() -> Exchange, 8), (exchange, 16), (exchange_v6, 24)] {
        let mut whole = hear(exchange(), |_, frame| vec![frame.to_vec()]);
        let lines = whole.take();
        let mut parts = hear(exchange(), |id, frame| fragments(frame, size, id));
        let mut backwards =
            hear(exchange(), |id, frame| fragments(frame, size, id).into_iter().rev().collect());
        for w in [&mut parts, &mut backwards] {
            assert_eq!((w.take(), &w.log.streams), (lines.clone(), &whole.log.streams));
            let stats = w.engine.stats();
            assert_eq!((stats.segments, stats.drops.total()), (whole.engine.stats().segments, 0));
            let cut = if size == 24 { 2 } else { stats.segments };
            assert_eq!((stats.fragments.completed, stats.fragments.dropped.total()), (cut, 0));
        }
    }
}

#[test]
fn raw_sockets_see_each_fragment_once_and_nothing_that_was_put_together() {
    fn on_raw(ctx: &mut Context<'_, Log>) {
        let view = ctx.packet().unwrap();
        let line = format!("{:?} {}", view.packet.fragment.map(|f| f.offset), view.segment.is_some());
        ctx.app().lines.push(line);
    }
    let mut w = World::new(small());
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    w.engine.register(raw, Event::PacketIn, Hook::None, on_raw, 0).unwrap();
    let [syn, ..] = exchange().handshake();
    w.send(&fragments(&syn, 8, 1));
    assert_eq!(w.take(), ["Some(0) false", "Some(8) false", "Some(16) false"]);
    assert_eq!(w.engine.flow_count(), 1);
    w.send(&[exchange().handshake()[1].clone()]);
    assert_eq!(w.take(), ["None true"]);
}

#[test]
fn a_handler_that_drops_the_datagram_drops_its_last_fragment() {
    fn refuse(ctx: &mut Context<'_, Log>) {
        ctx.drop_packet();
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, refuse);
    let [syn, ..] = exchange().handshake();
    assert_eq!(w.send(&fragments(&syn, 8, 1)), [Verdict::Forward, Verdict::Forward, Verdict::Drop]);
}

#[test]
fn what_is_never_complete_has_its_time() {
    let mut w = World::new(small());
    let [syn, ..] = exchange().handshake();
    w.send(&fragments(&syn, 8, 1)[..2]);
    let due = w.engine.next_timeout().unwrap();
    assert_eq!(due.since(Instant(w.clock)), Duration::from_secs(30) - Duration::from_millis(1));
    w.wait(Duration::from_secs(29));
    assert_eq!(w.engine.stats().fragments.timed_out, 0);
    w.wait(Duration::from_secs(1));
    assert_eq!((w.engine.stats().fragments.timed_out, w.engine.next_timeout()), (1, None));
    let lost = w.engine.stats().counters().find(|c| c.symbol == "datagram_timed_out").unwrap();
    assert_eq!(lost.count, 1);
    // A frame tells the time as well.
    w.send(&fragments(&syn, 8, 2)[..1]);
    w.clock += 31_000_000;
    w.send(&[vec![]]);
    assert_eq!(w.engine.stats().fragments.timed_out, 2);
}

#[test]
fn fragments_are_counted_when_they_are_not_to_be_put_together_or_damaged() {
    let mut w = World::new(Config { fragments: None, ..small() });
    let [syn, ..] = exchange().handshake();
    w.send(&fragments(&syn, 8, 1));
    assert_eq!((w.engine.stats().drops[DropReason::IpFragment], w.engine.flow_count()), (3, 0));
    let mut w = World::new(small());
    let mut parts = fragments(&syn, 8, 1);
    parts[1][24] ^= 1;
    w.send(&parts);
    assert_eq!((w.engine.stats().drops[DropReason::IpChecksum], w.engine.flow_count()), (1, 0));
    // Contradictory ones are told by what they are.
    let mut w = World::new(small());
    let (narrow, wide) = (fragments(&syn, 8, 1), fragments(&syn, 16, 1));
    w.send(&[narrow[0].clone(), wide[0].clone()]);
    let counted: Vec<_> = w.engine.stats().counters().filter(|c| c.count > 0).collect();
    assert_eq!(counted.iter().map(|c| c.symbol).collect::<Vec<_>>(), ["fragment_overlap", "datagram_killed"]);
}

/// An IPv4 packet in another one, as IP in IP.
fn wrapped(frame: &[u8]) -> Vec<u8> {
    let (ethernet, inner) = frame.split_at(14);
    let mut outer = inner[..20].to_vec();
    outer[2..4].copy_from_slice(&(20 + inner.len() as u16).to_be_bytes());
    (outer[9], outer[6], outer[7]) = (4, 0, 0);
    outer[10..12].fill(0);
    let sum = !Sum::default().bytes(&outer).fold();
    outer[10..12].copy_from_slice(&sum.to_be_bytes());
    [ethernet, &outer, inner].concat()
}

#[test]
fn fragments_of_fragments_end_somewhere() {
    let [syn, ..] = exchange().handshake();
    // Each level is cut, and put into packets that are cut again; all have the same addresses and the same id.
    let mut parts = vec![syn];
    let mut counts = Vec::new();
    for _ in 0..4 {
        let mut w = World::new(small());
        parts = parts.iter().flat_map(|frame| fragments(frame, 16, 5)).collect();
        w.send(&parts);
        counts.push((w.engine.flow_count(), w.engine.stats().drops[DropReason::HeaderDepth] > 0));
        parts = parts.iter().map(|frame| wrapped(frame)).collect();
    }
    // A datagram counts as an IP header, and so does each one that it lies in.
    assert_eq!(counts, [(1, false), (1, false), (0, true), (0, true)]);
}

#[test]
fn tunnels_and_vlans_tell_datagrams_and_connections_apart_unless_they_are_not_to() {
    let mut w = World::new(small());
    let [syn, ..] = exchange().handshake();
    let tagged = |id: u8, frame: &[u8]| [&frame[..12], &[0x81, 0, 0, id], &frame[12..]].concat();
    let parts = fragments(&syn, 8, 1);
    // Parts of two VLANs make no datagram.
    w.send(&[tagged(1, &parts[0]), tagged(1, &parts[1]), tagged(2, &parts[2])]);
    assert_eq!(w.engine.flow_count(), 0);
    w.send(&[tagged(1, &parts[2])]);
    w.send(&[tagged(2, &syn), syn.clone(), wrapped(&syn)]);
    assert_eq!(w.engine.flow_count(), 4);
    let mut w = World::new(Config { vlans_in_key: false, tunnels_in_key: false, ..small() });
    w.send(&[tagged(1, &parts[0]), tagged(1, &parts[1]), tagged(2, &parts[2])]);
    w.send(&[tagged(2, &syn), syn.clone(), wrapped(&syn)]);
    assert_eq!(w.engine.flow_count(), 1);
}
