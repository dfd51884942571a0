//! Packets that handlers make, and changed ones that grow.

use super::*;
use crate::inject::Outgoing;
use crate::slab::Id;
use crate::wire::{LinkType, parse};
use crate::{PacketError, ResetError, Way};
use ringbuf_core::SeqNum;

/// A packet that was made.
type Made = (Vec<u8>, LinkType, Way);

/// Takes what waits to be sent.
fn queued(engine: &mut Engine<Log>) -> Vec<Made> {
    core::iter::from_fn(|| engine.poll_transmit().map(|t| (t.octets.to_vec(), t.link, t.way))).collect()
}

fn reset(ctx: &mut Context<'_, Log>) {
    let payload = ctx.packet().unwrap().segment.unwrap().payload;
    if payload == b"bad" {
        let done = ctx.reset();
        ctx.app().lines.push(format!("{done:?}"));
        ctx.drop_packet();
    }
}

/// A connection in which `from` says "bad", and what its monitor does about it: also the frames that passed before, and what was made.
fn reset_world(hook: Hook, from: Side) -> (World, Exchange, Vec<Vec<u8>>, Vec<Made>) {
    let mut w = World::new(small());
    w.on(Event::PacketIn, hook, reset);
    w.on(Event::ConnEnd, Hook::Sender, |c| {
        let reason = c.monitor().unwrap().end_reason().unwrap();
        c.app().ends.push(reason);
    });
    let mut x = exchange();
    let mut passed: Vec<Vec<u8>> = x.handshake().into();
    passed.push(x.data(Side::Client, b"ask"));
    passed.push(x.data(Side::Server, b"answer"));
    passed.push(x.ack(Side::Client));
    w.send(&passed);
    assert!(queued(&mut w.engine).is_empty());
    let bad = x.data(from, b"bad");
    assert_eq!(w.send(&[bad]), [Verdict::Drop]);
    let made = queued(&mut w.engine);
    (w, x, passed, made)
}

#[test]
fn a_reset_reaches_both_ends_by_the_ways_of_their_packets() {
    for from in Side::BOTH {
        let (mut w, x, passed, made) = reset_world(Hook::Sender, from);
        assert_eq!(w.take(), ["Ok(())"]);
        assert_eq!(w.log.ends, [Some(EndReason::Reset); 2]);
        assert_eq!(w.engine.flow_count(), 0);
        // The dropped octets never arrived: each end expects what it had before.
        let expected = |to: Side| x.seq(!to).wrapping_sub(if from == !to { 3 } else { 0 });
        for (frame, link, way) in &made {
            let packet = parse(*link, frame).unwrap();
            let segment = segment_of(frame, &packet).unwrap();
            crate::wire::verify(frame, &packet).unwrap();
            let to = if segment.dst_port == 80 { Side::Server } else { Side::Client };
            assert_eq!((segment.flags, segment.seq.0), (Flags::RST, expected(to)), "to the {to}");
            assert_eq!(*way, if to == from { Way::Back(0) } else { Way::Along(0) });
            let ethernet = if to == from {
                [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]]
            } else {
                [[2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]]
            };
            assert_eq!(frame[..12], ethernet.concat(), "the addresses of the dropped frame, or turned round");
        }
        // Another monitor behind this one sees a connection that is reset.
        let mut behind = World::new(small());
        let frames: Vec<Vec<u8>> = passed.into_iter().chain(made.into_iter().map(|m| m.0)).collect();
        behind.on(Event::ConnEnd, Hook::Sender, |c| {
            let reason = c.monitor().unwrap().end_reason().unwrap();
            c.app().ends.push(reason);
        });
        behind.send(&frames);
        assert_eq!(behind.log.ends[0], Some(EndReason::Reset));
    }
}

#[test]
fn what_passed_before_the_reset_counts() {
    let (_, x, _, made) = reset_world(Hook::Receiver, Side::Client);
    let to_server: Vec<u32> = made
        .iter()
        .filter_map(|(frame, link, _)| {
            segment_of(frame, &parse(*link, frame).unwrap()).filter(|s| s.dst_port == 80).map(|s| s.seq.0)
        })
        .collect();
    // In the receiver's hook the packet has moved the server, which may not get it: both are tried.
    assert_eq!(to_server, [x.seq(Side::Client), x.seq(Side::Client).wrapping_sub(3)]);
}

#[test]
fn without_a_packet_in_flight_resets_have_the_headers_of_the_first_one() {
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, |c| {
        let line = c.socket().to_bits().to_string();
        c.app().lines.push(line);
    });
    let mut x = exchange();
    w.send(&x.handshake());
    let socket = SocketId::from_bits(w.take()[0].parse().unwrap());
    let template = w.socket;
    assert_eq!(w.engine.control().reset(template), Err(ResetError::Socket(SocketError::WrongKind)));
    let stale = Id::from_bits(socket.to_bits() + (1 << 32));
    assert_eq!(w.engine.control().reset(stale), Err(ResetError::Socket(SocketError::NoSocket)));
    let between: Vec<SocketId> =
        w.engine.sockets_between(SERVER.parse().unwrap(), CLIENT.parse().unwrap()).collect();
    assert_eq!(between, [socket]);
    assert_eq!(w.engine.sockets_between(SERVER.parse().unwrap(), "[::1]:1".parse().unwrap()).count(), 0);
    assert_eq!(w.engine.control().reset(socket), Ok(()));
    let made = queued(&mut w.engine);
    let heads: Vec<_> = made.iter().map(|(frame, link, way)| (frame[..14].to_vec(), *link, *way)).collect();
    let (client, server) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let head = |to: [u8; 6], from: [u8; 6]| [&to[..], &from, &[8, 0]].concat();
    let back = (head(client, server), LinkType::Ethernet, Way::Back(0));
    let along = (head(server, client), LinkType::Ethernet, Way::Along(0));
    assert!(heads.len() == 2 && heads.contains(&back) && heads.contains(&along), "{heads:02x?}");
    w.wait(Duration::from_millis(1));
    assert_eq!(w.engine.flow_count(), 0);
    assert_eq!(w.engine.sockets_between(SERVER.parse().unwrap(), CLIENT.parse().unwrap()).count(), 0);
}

/// The handshake as it comes by a port, in a VLAN, between hosts with these last octets of their hardware addresses.
fn handshake_of(client: &str, vlan: u8, hosts: [u8; 2], port: u16) -> Vec<(u16, Vec<u8>)> {
    let isn = Sides { client: 1, server: 2 };
    let mut x = Exchange::new(client.parse().unwrap(), SERVER.parse().unwrap(), isn);
    let tagged = |(i, mut frame): (usize, Vec<u8>)| {
        let answer = i == 1;
        (frame[5], frame[11]) = if answer { (hosts[0], hosts[1]) } else { (hosts[1], hosts[0]) };
        (port + u16::from(answer), [&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat())
    };
    x.handshake().into_iter().enumerate().map(tagged).collect()
}

/// Sends each connection's handshake, resets all, and returns the headers of what was made, with its way.
fn reset_later(config: Config, handshakes: &[Vec<(u16, Vec<u8>)>]) -> Vec<Result<(Vec<u8>, Way), String>> {
    let mut w = World::new(config);
    w.on(Event::ConnStart, Hook::Sender, |c| {
        let line = c.socket().to_bits().to_string();
        c.app().lines.push(line);
    });
    for (port, frame) in handshakes.concat() {
        let time = Instant(1_000_000);
        w.engine.process_burst(&mut [Frame { port, ..Frame::ethernet(time, &frame) }], &mut w.log);
    }
    let mut all = Vec::new();
    for line in w.take() {
        let socket = SocketId::from_bits(line.parse().unwrap());
        if let Err(e) = w.engine.control().reset(socket) {
            all.push(Err(e.to_string()));
        }
        all.extend(queued(&mut w.engine).into_iter().map(|(frame, _, way)| Ok((frame[..18].to_vec(), way))));
    }
    all
}

#[test]
fn each_connection_keeps_its_vlan_its_neighbours_and_its_port() {
    let a = handshake_of("10.0.0.1:1", 5, [0xa1, 0xb1], 0);
    let b = handshake_of("10.0.0.1:2", 6, [0xa2, 0xb2], 4);
    let head = |vlan: u8, to: u8, from: u8| {
        [&[2, 0, 0, 0, 0, to][..], &[2, 0, 0, 0, 0, from, 0x81, 0, 0, vlan, 8, 0]].concat()
    };
    let expected = [
        Ok((head(5, 0xa1, 0xb1), Way::Back(0))),
        Ok((head(5, 0xb1, 0xa1), Way::Along(0))),
        Ok((head(6, 0xa2, 0xb2), Way::Back(4))),
        Ok((head(6, 0xb2, 0xa2), Way::Along(4))),
    ];
    assert_eq!(reset_later(small(), &[a.clone(), b.clone()]), expected);
    // There is one place: the first connection's headers went, and are not taken for the second one's.
    let one = Config { max_neighbours: 1, ..small() };
    let lost = Err("link header cannot be repeated".to_owned());
    assert_eq!(reset_later(one, &[a.clone(), b]), [lost.clone(), expected[2].clone(), expected[3].clone()]);
    // The same headers are no others.
    let c = handshake_of("10.0.0.1:3", 5, [0xa1, 0xb1], 0);
    let one = Config { max_neighbours: 1, ..small() };
    let both = [&expected[..2], &expected[..2]].concat();
    assert_eq!(reset_later(one, &[a.clone(), c]), both);
    let none = Config { max_neighbours: 0, ..small() };
    assert_eq!(reset_later(none, &[a]), [lost]);
}

#[test]
fn packets_of_ones_own_leave_in_order_until_there_is_no_room() {
    fn send(ctx: &mut Context<'_, Log>) {
        let [client, server] = [CLIENT, SERVER].map(|a| a.parse().unwrap());
        let packet = |destination, source| Outgoing {
            source,
            destination,
            seq: SeqNum(1),
            ack: Some(SeqNum(2)),
            flags: Flags::PSH,
            window: 3,
            options: &[],
            payload: b"made",
        };
        let mixed = ctx.send(&packet("[::1]:1".parse().unwrap(), client));
        ctx.app().lines.push(format!("{mixed:?}"));
        for _ in 0..2 {
            let sent = [ctx.send(&packet(server, client)), ctx.send(&packet(client, server))];
            ctx.app().lines.push(format!("{sent:?}"));
        }
    }
    let mut w = World::new(Config { max_output: 3, ..small() });
    w.on(Event::ConnStart, Hook::Sender, send);
    w.send(&exchange().handshake()[..1]);
    assert_eq!(w.take(), ["Err(Families)", "[Ok(()), Ok(())]", "[Ok(()), Err(NoRoom)]"]);
    let ways: Vec<Way> = queued(&mut w.engine).into_iter().map(|m| m.2).collect();
    assert_eq!(ways, [Way::Along(0), Way::Back(0), Way::Along(0)]);
}

/// Puts 3,000 octets before the payload.
fn grow(ctx: &mut Context<'_, Log>) {
    let empty = ctx.packet().unwrap().segment.unwrap().payload.is_empty();
    if !empty {
        let grown = ctx.edit().unwrap().insert(0, &[b'x'; 3000]);
        ctx.app().lines.push(format!("{grown:?}"));
    }
}

#[test]
fn what_grows_too_long_leaves_in_parts() {
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, grow);
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    let before = x.seq(Side::Client);
    let parts = w.pass(&[x.data(Side::Client, b"hello")]).concat();
    let mut seq = before;
    let mut all = Vec::new();
    for part in &parts {
        let packet = parse(LinkType::Ethernet, part).unwrap();
        crate::wire::verify(part, &packet).unwrap();
        let segment = segment_of(part, &packet).unwrap();
        assert_eq!(segment.seq.0, seq);
        assert!(segment.payload.len() <= 1140, "no longer than every path takes");
        seq = seq.wrapping_add(segment.payload_len);
        all.extend_from_slice(segment.payload);
    }
    assert_eq!((parts.len(), text(&all)), (3, "x".repeat(3000) + "hello"));
    assert_eq!(w.log.streams.server, all);
    assert_eq!(w.take(), ["Ok(())"]);
    // And the server's acknowledgement of all that is one of five octets.
    let ack = x.segment_at(Side::Server, x.seq(Side::Server), seq, Flags::ACK, b"");
    let back = w.pass(&[ack]).concat().concat();
    let segment = segment_of(&back, &parse(LinkType::Ethernet, &back).unwrap()).unwrap().ack;
    assert_eq!(segment.0, x.seq(Side::Client));
}

#[test]
fn a_payload_that_vanishes_is_acknowledged_all_the_same() {
    fn swallow(ctx: &mut Context<'_, Log>) {
        let len = ctx.packet().unwrap().segment.unwrap().payload.len();
        if len > 0 && ctx.side() == Some(Side::Client) {
            let gone = ctx.edit().unwrap().chomp(0, len);
            ctx.app().lines.push(format!("{gone:?}"));
        }
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, swallow);
    let mut x = exchange();
    w.send(&x.handshake());
    let before = x.seq(Side::Client);
    let data = x.data(Side::Client, b"secret");
    for _ in 0..2 {
        let out = w.pass(core::slice::from_ref(&data)).concat().concat();
        let segment = segment_of(&out, &parse(LinkType::Ethernet, &out).unwrap()).unwrap();
        // One octet that the server has: it answers with what it has.
        assert_eq!((segment.seq.0, segment.payload), (before.wrapping_sub(1), &[0][..]));
        w.take();
    }
    let ack = x.segment_at(Side::Server, x.seq(Side::Server), before, Flags::ACK, b"");
    let back = w.pass(&[ack]).concat().concat();
    let acked = segment_of(&back, &parse(LinkType::Ethernet, &back).unwrap()).unwrap().ack;
    assert_eq!(acked.0, x.seq(Side::Client), "which is all, for the client");
}

#[test]
fn the_length_can_only_change_where_nothing_behind_was_sent() {
    fn try_insert(ctx: &mut Context<'_, Log>) {
        let len = ctx.packet().unwrap().segment.unwrap().payload.len();
        if len == 0 {
            return;
        }
        let mut edit = ctx.edit().unwrap();
        let sent = edit.already_sent();
        let done = [edit.insert(0, b"+"), edit.insert(len, b"-")];
        ctx.app().lines.push(format!("{sent} {done:?}"));
    }
    let mut w = World::new(small());
    let mut x = exchange();
    w.send(&x.handshake());
    let one = x.data(Side::Client, b"one");
    let two = x.data(Side::Client, b"two");
    w.send(core::slice::from_ref(&two));
    let socket = w.engine.sockets_between(CLIENT.parse().unwrap(), SERVER.parse().unwrap()).next().unwrap();
    w.engine.register(socket, Event::PacketIn, Hook::Sender, try_insert, 0).unwrap();
    w.send(&[one.clone(), two, x.data(Side::Client, b"three")]);
    let sent = PacketError::AlreadySent;
    assert_eq!(
        w.take(),
        [
            format!("3 [Err({sent:?}), Err({sent:?})]"),
            format!("3 [Err({sent:?}), Err({sent:?})]"),
            "0 [Ok(()), Ok(())]".into(),
        ]
    );
    // A side whose octets are not kept cannot change its length.
    w.engine.monitor(socket).unwrap().disable_buffer(Side::Client).unwrap();
    w.send(&[x.data(Side::Server, b"four")]);
    assert_eq!(w.take(), ["0 [Err(NotKept), Err(NotKept)]"]);
}
