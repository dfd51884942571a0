//! Changes of packets where something is odd: in the packet, in the connection, or in what the handlers want of both.

use super::*;
use crate::wire::{LinkType, parse};
use crate::{Layer, PacketError};
use tcp_reasm::Segment;

fn segment(frame: &[u8]) -> Segment<'_> {
    segment_of(frame, &parse(LinkType::Ethernet, frame).unwrap()).unwrap()
}

fn verify(frame: &[u8]) {
    crate::wire::verify(frame, &parse(LinkType::Ethernet, frame).unwrap()).unwrap();
}

/// In the sender's hook: takes the first two octets away that were not sent before.
fn behead(ctx: &mut Context<'_, Log>) {
    let len = ctx.packet().unwrap().segment.unwrap().payload.len();
    if len > 0 {
        let mut edit = ctx.edit().unwrap();
        let sent = edit.already_sent();
        if sent < len {
            let done = edit.chomp(sent, 2);
            ctx.app().lines.push(format!("{done:?}"));
        }
    }
}

fn exchange_v6() -> Exchange {
    let [client, server] = ["[fd00::2]:40000", "[fd00::1]:80"].map(|a| a.parse().unwrap());
    Exchange::new(client, server, Sides::default())
}

#[test]
fn a_packet_whose_length_field_is_zero_gets_the_right_one_when_its_length_changes() {
    for (mut x, field) in [(exchange(), 16), (exchange_v6(), 18)] {
        let mut w = World::new(Config { verify_checksums: false, ..small() });
        w.on(Event::PacketIn, Hook::Sender, behead);
        w.send(&x.handshake());
        let mut data = x.data(Side::Client, b"behead");
        let right = u16::from_be_bytes([data[field], data[field + 1]]) - 2;
        data[field..field + 2].fill(0);
        let out = w.pass(&[data]).concat().concat();
        assert_eq!(
            (out[field..field + 2].to_vec(), text(segment(&out).payload)),
            (right.to_be_bytes().to_vec(), "head".into())
        );
    }
}

#[test]
fn a_payload_that_vanishes_behind_a_hole_brings_its_receiver_no_octet_that_nobody_sent() {
    fn swallow(ctx: &mut Context<'_, Log>) {
        let len = ctx.packet().unwrap().segment.unwrap().payload.len();
        if len > 0 {
            ctx.edit().unwrap().chomp(0, len).unwrap();
        }
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, swallow);
    let mut x = exchange();
    w.send(&x.handshake());
    let acked = x.seq(Side::Client);
    let _lost = x.data(Side::Client, b"lost");
    let out = w.pass(&[x.data(Side::Client, b"secret")]).concat().concat();
    verify(&out);
    let probe = segment(&out);
    assert!(probe.seq.0.wrapping_sub(acked).cast_signed() + probe.payload.len() as i32 <= 0, "{probe:?}");
}

#[test]
fn in_a_connection_that_is_picked_up_the_first_payload_can_be_changed() {
    let mut w = World::new(Config { midstream: true, ..small() });
    w.on(Event::PacketIn, Hook::Sender, behead);
    let mut x = exchange();
    x.handshake();
    let first = x.data(Side::Client, b"behead");
    let second = x.data(Side::Client, b"beheaded");
    let out = w.pass(&[first.clone(), second.clone(), first.clone(), second.clone()]).concat();
    let stream: Vec<_> = out
        .iter()
        .map(|f| (segment(f).seq.0.wrapping_sub(segment(&first).seq.0), text(segment(f).payload)))
        .collect();
    let took = w.take();
    let at = |s: &str| stream.iter().filter(|(_, t)| t == s).map(|(n, _)| *n).collect::<Vec<_>>();
    assert_eq!((at("head"), at("headed")), (vec![0, 0], vec![4, 4]), "{stream:?} {took:?}");
}

/// Behind LLC and SNAP instead of an Ethernet type.
fn in_snap(frame: &[u8]) -> Vec<u8> {
    let len = (frame.len() - 14 + 8) as u16;
    [&frame[..12], &len.to_be_bytes(), &[0xaa, 0xaa, 3, 0, 0, 0], &frame[12..]].concat()
}

/// In PPPoE and PPP.
fn in_pppoe(frame: &[u8]) -> Vec<u8> {
    let len = (frame.len() - 14 + 2) as u16;
    [&frame[..12], &[0x88, 0x64, 0x11, 0, 0, 1], &len.to_be_bytes(), &[0, 0x21], &frame[14..]].concat()
}

#[test]
fn where_headers_before_the_packet_tell_its_length_it_does_not_change() {
    for around in [in_snap, in_pppoe] {
        let mut w = World::new(Config { tunnels_in_key: false, ..small() });
        w.on(Event::PacketIn, Hook::Sender, behead);
        let mut x = exchange();
        w.send(&x.handshake());
        let (one, two) = (x.data(Side::Client, b"behead"), x.data(Side::Client, b"beheaded"));
        let out = w.pass(&[around(&one), two.clone()]).concat();
        assert_eq!(w.take(), [format!("Err({:?})", PacketError::Tunnelled), "Ok(())".into()]);
        assert_eq!(out[0], around(&one));
        assert_eq!(text(segment(&out[1]).payload), "headed");
        // It comes again by the other way, and is not what it was.
        assert!(w.pass(&[around(&two)]).concat().is_empty());
        assert_eq!(w.engine.stats().drops[DropReason::EditLost], 1);
    }
}

#[test]
fn what_was_changed_stays_changed_when_nobody_keeps_octets_any_more() {
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, behead);
    let mut x = exchange();
    w.send(&x.handshake());
    let data = x.data(Side::Client, b"behead");
    let first = w.pass(core::slice::from_ref(&data)).concat();
    let socket = w.engine.sockets_between(CLIENT.parse().unwrap(), SERVER.parse().unwrap()).next().unwrap();
    w.engine.monitor(socket).unwrap().disable_buffer(Side::Server).unwrap();
    assert_eq!(first, w.pass(core::slice::from_ref(&data)).concat());
}

#[test]
fn what_was_changed_stays_changed_when_nobody_listens_any_more() {
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, behead);
    let mut x = exchange();
    w.send(&x.handshake());
    let data = x.data(Side::Client, b"behead");
    let first = w.pass(core::slice::from_ref(&data)).concat();
    let socket = w.engine.sockets_between(CLIENT.parse().unwrap(), SERVER.parse().unwrap()).next().unwrap();
    w.engine.monitor(socket).unwrap().stop(None).unwrap();
    for _ in 0..2 {
        assert_eq!(first, w.pass(core::slice::from_ref(&data)).concat());
    }
    w.send(&x.close(Side::Client));
    w.wait(Duration::from_secs(3600));
    assert_eq!(w.engine.flow_count(), 0, "it ends as any other");
}

#[test]
fn octets_are_overwritten_once() {
    fn rotate(ctx: &mut Context<'_, Log>) {
        let mut edit = ctx.edit().unwrap();
        let sent = edit.already_sent();
        let turned: Vec<u8> = edit.layer(Layer::Payload).unwrap().iter().map(|o| o.wrapping_add(1)).collect();
        if sent < turned.len() {
            edit.overwrite(Layer::Payload, sent, &turned[sent..]).unwrap();
        }
    }
    for acked in [false, true] {
        let mut w = World::new(small());
        w.on(Event::PacketIn, Hook::Sender, rotate);
        let mut x = exchange();
        w.send(&x.handshake());
        let data = x.data(Side::Client, b"HAL");
        let first = w.pass(core::slice::from_ref(&data)).concat();
        assert_eq!(text(segment(&first[0]).payload), "IBM");
        if acked {
            w.send(&[x.ack(Side::Server)]);
        }
        assert_eq!(first, w.pass(core::slice::from_ref(&data)).concat());
    }
}

#[test]
fn without_a_record_nothing_is_changed_that_could_not_be_repeated() {
    fn shout(ctx: &mut Context<'_, Log>) {
        let mut edit = ctx.edit().unwrap();
        let loud = edit.layer(Layer::Payload).unwrap().to_ascii_uppercase();
        let done = edit.overwrite(Layer::Payload, 0, &loud);
        if !loud.is_empty() {
            ctx.app().lines.push(format!("{done:?}"));
        }
    }
    let mut w = World::new(Config { max_changed: 1, ..small() });
    w.on(Event::PacketIn, Hook::Sender, shout);
    let (mut x, mut y) = (exchange(), other(1));
    w.send(&x.handshake());
    w.send(&y.handshake());
    let data = [x.data(Side::Client, b"one"), y.data(Side::Client, b"two")];
    let first = w.pass(&data);
    assert_eq!(w.take(), ["Ok(())".to_string(), format!("Err({:?})", PacketError::TooMany)]);
    assert_eq!(first, w.pass(&data));
}

/// Behind an MPLS label.
fn in_mpls(frame: &[u8]) -> Vec<u8> {
    [&frame[..12], &[0x88, 0x47, 0, 1, 0x01, 64], &frame[14..]].concat()
}

#[test]
fn a_reset_that_cannot_reach_one_end_reaches_none() {
    fn reset(ctx: &mut Context<'_, Log>) {
        if !ctx.packet().unwrap().segment.unwrap().payload.is_empty() {
            let done = ctx.reset();
            ctx.app().lines.push(format!("{done:?}"));
        }
    }
    for (max_output, label, expected) in
        [(1, false, "Err(Inject(NoRoom))"), (8, true, "Err(Inject(Labels))"), (8, false, "Ok(())")]
    {
        let mut w = World::new(Config { max_output, ..small() });
        w.on(Event::PacketIn, Hook::Sender, reset);
        let mut x = exchange();
        w.send(&x.handshake());
        let data = x.data(Side::Server, b"bad");
        w.send(&[if label { in_mpls(&data) } else { data }]);
        assert_eq!(w.take(), [expected]);
        let done = expected == "Ok(())";
        assert_eq!((w.engine.poll_transmit().is_some(), w.engine.flow_count()), (done, usize::from(!done)));
    }
}

#[test]
fn a_connection_is_reset_once() {
    fn reset(ctx: &mut Context<'_, Log>) {
        if !ctx.packet().unwrap().segment.unwrap().payload.is_empty() {
            ctx.reset().unwrap();
        }
    }
    let queued = |times: usize| {
        let mut w = World::new(small());
        let others: Vec<_> = (1..times).map(|_| w.engine.open(SocketKind::Stream).unwrap()).collect();
        w.on(Event::PacketIn, Hook::Sender, reset);
        for socket in others {
            w.engine.register(socket, Event::PacketIn, Hook::Sender, reset, 0).unwrap();
        }
        let mut x = exchange();
        w.send(&x.handshake());
        w.send(&[x.data(Side::Server, b"bad")]);
        core::iter::from_fn(|| w.engine.poll_transmit().map(|t| t.octets.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(queued(1), queued(3));
}

#[test]
fn a_reset_whose_payload_vanishes_keeps_its_number() {
    fn swallow(ctx: &mut Context<'_, Log>) {
        let segment = ctx.packet().unwrap().segment.unwrap();
        let (len, rst) = (segment.payload.len(), segment.is_rst());
        if len > 0 && !rst {
            ctx.edit().unwrap().chomp(0, len).unwrap();
        }
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, swallow);
    let mut x = exchange();
    w.send(&x.handshake());
    let seq = x.seq(Side::Client);
    w.send(&[x.data(Side::Client, b"secret")]);
    let rst = x.segment_at(Side::Client, seq, x.seq(Side::Server), Flags::RST | Flags::ACK, b"secret");
    let out = w.pass(&[rst]).concat().concat();
    verify(&out);
    assert_eq!((segment(&out).seq.0, segment(&out).payload), (seq, &[][..]));
}

#[test]
fn what_a_wrong_guess_lost_is_changed_again() {
    fn shout(ctx: &mut Context<'_, Log>) {
        let mut edit = ctx.edit().unwrap();
        let loud = edit.layer(Layer::Payload).unwrap().to_ascii_uppercase();
        let done = edit.overwrite(Layer::Payload, 0, &loud);
        if !loud.is_empty() {
            ctx.app().lines.push(format!("{done:?}"));
        }
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, shout);
    let mut x = exchange();
    let [syn, syn_ack, _] = x.handshake();
    let (client, server) = (x.seq(Side::Client), x.seq(Side::Server));
    // The client is taken to answer a SYN/ACK that was not seen; then that comes, and is another.
    let guess = x.segment_at(Side::Client, client, server.wrapping_add(500), Flags::ACK, b"hello");
    let after = x.segment_at(Side::Client, client, server, Flags::ACK, b"hello");
    let out = w.pass(&[syn, guess, syn_ack, after]).concat();
    assert_eq!(
        (text(segment(&out[1]).payload), text(segment(&out[3]).payload)),
        ("HELLO".into(), "HELLO".into())
    );
    assert_eq!(w.take(), ["Ok(())", "Ok(())"]);
}

/// What was changed on one connection goes on only with its record: another one does not take its place.
#[test]
fn a_changed_connection_gives_way_to_nobody() {
    fn insert(ctx: &mut Context<'_, Log>) {
        if !ctx.packet().unwrap().segment.unwrap().payload.is_empty() {
            ctx.edit().unwrap().insert(0, b"+").unwrap();
        }
    }
    let mut w = World::new(Config { max_flows: 1, ..small() });
    w.on(Event::PacketIn, Hook::Sender, insert);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"one")]);
    w.send(&other(7).handshake()[..1]);
    assert_eq!(w.engine.stats().drops[DropReason::TableFull], 1);
    let two = x.data(Side::Client, b"two");
    assert!(w.pass(&[two]).concat().concat().ends_with(b"+two"), "it is followed as before");
}
