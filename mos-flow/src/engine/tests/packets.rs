//! Packets that handlers change or drop.

use super::*;
use crate::wire::{LinkType, checksum, parse};
use crate::{Layer, PacketError};

/// Both checksums of a frame are right.
fn verify(frame: &[u8]) {
    let packet = parse(LinkType::Ethernet, frame).unwrap();
    assert_eq!(checksum::tcp_ok(frame, &packet), Some(true), "TCP");
    assert!(checksum::ip_ok(frame, &packet), "IP");
}

fn payload(frame: &[u8]) -> String {
    let packet = parse(LinkType::Ethernet, frame).unwrap();
    let segment = segment_of(frame, &packet).unwrap();
    text(segment.payload)
}

/// In the sender's hook: shouts.
fn shout(ctx: &mut Context<'_, Log>) {
    let mut edit = ctx.edit().unwrap();
    let loud = edit.layer(Layer::Payload).unwrap().to_ascii_uppercase();
    if let Err(e) = edit.overwrite(Layer::Payload, 0, &loud) {
        ctx.app().lines.push(format!("{e:?}"));
    }
}

#[test]
fn the_receiver_gets_what_the_senders_hook_made() {
    for v6 in [false, true] {
        let mut w = World::new(small());
        w.on(Event::PacketIn, Hook::Sender, shout);
        w.on(Event::NewData, Hook::None, read);
        let mut x = if v6 {
            let ends = ["[fd00::2]:40000", "[fd00::1]:80"].map(|a| a.parse().unwrap());
            Exchange::new(ends[0], ends[1], Sides::default())
        } else {
            exchange()
        };
        w.send(&x.handshake());
        let before = [x.data(Side::Client, b"hello "), x.data(Side::Client, b"odd")];
        let after: Vec<Vec<u8>> = w.pass(&before).concat();
        after.iter().for_each(|frame| verify(frame));
        assert_eq!(after.iter().map(|f| payload(f)).collect::<Vec<_>>(), ["HELLO ", "ODD"]);
        assert_eq!(text(&w.log.streams.server), "HELLO ODD");
        assert_eq!(after[0].len(), before[0].len());
        assert_eq!(after[0][..14], before[0][..14], "the Ethernet header is as it was");
        assert!(w.take().is_empty());
    }
}

#[test]
fn a_wrong_checksum_stays_wrong() {
    let mut w = World::new(Config { verify_checksums: false, ..small() });
    w.on(Event::PacketIn, Hook::Sender, shout);
    let mut x = exchange();
    w.send(&x.handshake());
    let mut frame = x.data(Side::Client, b"hello");
    frame[50] ^= 0x10; // the TCP checksum's high octet
    let out = w.pass(&[frame]).concat().concat();
    let packet = parse(LinkType::Ethernet, &out).unwrap();
    assert_eq!(checksum::tcp_ok(&out, &packet), Some(false));
    assert!(checksum::ip_ok(&out, &packet));
    let mut right = out.clone();
    right[50] ^= 0x10;
    assert_eq!(checksum::tcp_ok(&right, &packet), Some(true), "wrong by what it was wrong before");
}

#[test]
fn a_wrong_checksum_is_made_right_where_that_is_asked_for() {
    /// The socket's word says which: 1 for IP, 2 for TCP.
    fn renew(ctx: &mut Context<'_, Log>) {
        let which = ctx.token();
        let mut edit = ctx.edit().unwrap();
        edit.overwrite(Layer::Ip, 8, &[9]).unwrap(); // TTL
        edit.overwrite(Layer::Ip, 10, &[0xab, 0xcd]).unwrap(); // nobody's checksum
        if which & 1 != 0 {
            edit.renew_ip_checksum();
        }
        if which & 2 != 0 {
            edit.renew_transport_checksum();
        }
        let ip_is_right_at_once = {
            let header: Vec<u8> = edit.layer(Layer::Ip).unwrap().to_vec();
            checksum::ipv4_header_ok(&header)
        };
        assert_eq!(ip_is_right_at_once, which & 1 != 0);
        edit.overwrite(Layer::Ip, 1, &[4]).unwrap(); // and something after it
    }
    for which in 0..4 {
        let mut w = World::new(Config { verify_checksums: false, ..small() });
        let mut x = exchange();
        w.send(&x.handshake());
        w.engine.register(w.socket, Event::Orphan, Hook::None, renew, which).unwrap();
        let mut frame =
            Exchange::new("10.9.9.9:1".parse().unwrap(), "10.9.9.8:2".parse().unwrap(), Sides::default())
                .data(Side::Client, b"hello");
        frame[24] ^= 0x10; // the IP checksum
        frame[50] ^= 0x10; // the TCP checksum
        let out = w.pass(&[frame]).concat().concat();
        let packet = parse(LinkType::Ethernet, &out).unwrap();
        assert_eq!(checksum::ip_ok(&out, &packet), which & 1 != 0, "{which}");
        assert_eq!(checksum::tcp_ok(&out, &packet), Some(which & 2 != 0), "{which}");
        assert_eq!((out[22], out[15]), (9, 4));
    }
}

#[test]
fn what_is_changed_in_the_receivers_hook_is_this_packet_only() {
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Receiver, shout);
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    let out = w.pass(&[x.data(Side::Client, b"hello")]).concat().concat();
    verify(&out);
    assert_eq!((payload(&out), text(&w.log.streams.server)), ("HELLO".into(), "hello".into()));
}

#[test]
fn later_handlers_see_what_earlier_ones_did() {
    fn see(ctx: &mut Context<'_, Log>) {
        let seen = text(ctx.packet().unwrap().segment.unwrap().payload);
        let line = format!("{:?} {seen}", ctx.hook());
        ctx.app().lines.push(line);
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, shout);
    let second = w.engine.open(SocketKind::Stream).unwrap();
    for hook in [Hook::Sender, Hook::Receiver] {
        w.engine.register(second, Event::PacketIn, hook, see, 0).unwrap();
    }
    let mut x = exchange();
    w.send(&x.handshake());
    w.take();
    w.send(&[x.data(Side::Client, b"from client"), x.data(Side::Server, b"from server")]);
    // The server's packets pass the monitors in reverse.
    let seen = w.take();
    assert_eq!(
        seen,
        ["Sender FROM CLIENT", "Receiver FROM CLIENT", "Sender from server", "Receiver FROM SERVER"]
    );
}

#[test]
fn what_is_dropped_in_the_senders_hook_never_arrives() {
    fn drop_some(ctx: &mut Context<'_, Log>) {
        let dropped = ctx.packet().unwrap().segment.unwrap().payload.starts_with(b"bad");
        if dropped && ctx.app().lines.is_empty() {
            ctx.app().lines.push("dropped".into());
            ctx.drop_packet();
        }
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, drop_some);
    w.on(Event::PacketIn, Hook::Receiver, |c| {
        let payload = text(c.packet().unwrap().segment.unwrap().payload);
        c.app().lines.push(payload);
    });
    w.on(Event::NewData, Hook::None, read);
    w.on(Event::Retransmission, Hook::Receiver, |c| c.app().lines.push("again".into()));
    let mut x = exchange();
    w.send(&x.handshake());
    w.take();
    let (bad, good) = (x.data(Side::Client, b"bad "), x.data(Side::Client, b"good"));
    assert_eq!(w.pass(&[bad.clone(), good.clone()]), [vec![], vec![good]]);
    assert_eq!(text(&w.log.streams.server), "", "there is a hole where it was");
    assert_eq!(w.take(), ["dropped", "bad ", "good"], "the receiver's hook sees the packet");
    w.log.lines.push("once".into());
    assert_eq!(w.pass(core::slice::from_ref(&bad)), [[bad]]);
    assert_eq!(text(&w.log.streams.server), "bad good");
    assert_eq!(w.take(), ["once", "bad "], "it arrives for the first time");
}

#[test]
fn a_connection_whose_syn_was_dropped_begins_with_the_next_one() {
    fn drop_first(ctx: &mut Context<'_, Log>) {
        let line = format!("{} {:?}", ctx.event().unwrap(), ctx.monitor().unwrap().state(Side::Server));
        if ctx.app().lines.is_empty() {
            ctx.drop_packet();
        }
        ctx.app().lines.push(line);
    }
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, drop_first);
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    let [syn, syn_ack, ack] = x.handshake();
    w.send(core::slice::from_ref(&syn));
    w.send(&[syn, syn_ack, ack, x.data(Side::Client, b"x")]);
    assert_eq!(w.take()[..2], ["packet_in Ok(Listen)", "packet_in Ok(Listen)"]);
    assert_eq!(text(&w.log.streams.server), "x");
}

const NAT: &str = "192.0.2.1:1025";

/// A NAT between the client and the server of [`exchange`].
fn translate(ctx: &mut Context<'_, Log>) {
    let from = ctx.side();
    let mut edit = ctx.edit().unwrap();
    match from {
        Some(Side::Client) => edit.set_source(NAT.parse().unwrap()).unwrap(),
        _ => edit.set_destination(CLIENT.parse().unwrap()).unwrap(),
    }
}

#[test]
fn answers_are_found_under_the_addresses_that_the_first_packet_left_with() {
    let mut w = World::new(small());
    w.on(Event::PacketIn, Hook::Sender, translate);
    w.on(Event::NewData, Hook::None, read);
    w.on(Event::ConnEnd, Hook::Sender, |c| {
        let client = c.monitor().unwrap().address(Side::Client).unwrap();
        c.app().lines.push(client.to_string());
    });
    let inside = &mut exchange();
    // What the server sees of the connection.
    let isn = Sides { client: inside.seq(Side::Client), server: inside.seq(Side::Server) };
    let mut outside = Exchange::new(NAT.parse().unwrap(), SERVER.parse().unwrap(), isn);
    let mut step = |w: &mut World, side: Side, flags: Flags, payload: &[u8]| {
        let (here, there) = (inside.segment(side, flags, payload), outside.segment(side, flags, payload));
        let (sent, expected) = if side == Side::Client { (here, there) } else { (there, here) };
        assert_eq!(w.pass(&[sent]), [[expected]], "{side} {flags:?}");
    };
    for _ in 0..2 {
        step(&mut w, Side::Client, Flags::SYN, b"");
        step(&mut w, Side::Server, Flags::SYN | Flags::ACK, b"");
        step(&mut w, Side::Client, Flags::ACK, b"");
        step(&mut w, Side::Client, Flags::ACK, b"ask");
        step(&mut w, Side::Server, Flags::ACK, b"answer");
        assert_eq!((w.engine.flow_count(), w.engine.stats().drops[DropReason::Orphan]), (1, 0));
        step(&mut w, Side::Client, Flags::FIN | Flags::ACK, b"");
        step(&mut w, Side::Server, Flags::FIN | Flags::ACK, b"");
        step(&mut w, Side::Client, Flags::ACK, b"");
        assert_eq!((w.engine.flow_count(), w.engine.aliases.len()), (0, 0));
        assert_eq!(w.take(), [CLIENT, CLIENT]);
    }
    assert_eq!(text(&w.log.streams.client), "answeranswer");
}

#[test]
fn raw_sockets_and_orphans_can_be_changed_too() {
    fn redirect(ctx: &mut Context<'_, Log>) {
        ctx.edit().unwrap().set_destination("10.0.0.77:8080".parse().unwrap()).unwrap();
    }
    fn lower_ttl(ctx: &mut Context<'_, Log>) {
        ctx.edit().unwrap().ipv4_mut().unwrap().ttl -= 1;
    }
    let mut w = World::new(small());
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    w.engine.register(raw, Event::PacketIn, Hook::None, redirect, 0).unwrap();
    w.on(Event::Orphan, Hook::None, lower_ttl);
    w.on(Event::ConnStart, Hook::Sender, |c| {
        let server = c.monitor().unwrap().address(Side::Server).unwrap();
        c.app().lines.push(server.to_string());
    });
    let mut x = exchange();
    let [syn, ..] = x.handshake();
    let out = w.pass(&[syn]).concat().concat();
    verify(&out);
    assert_eq!(w.take(), ["10.0.0.77:8080"], "the connection is what the raw socket made of it");
    let stray = other(9).data(Side::Client, b"stray");
    let out = w.pass(core::slice::from_ref(&stray)).concat().concat();
    verify(&out);
    assert_eq!((out[22], &out[30..34], stray[22]), (63, &[10, 0, 0, 77][..], 64), "both changes");
}

#[test]
fn what_cannot_be_changed_is_refused_and_left_alone() {
    fn try_all(ctx: &mut Context<'_, Log>) {
        let mut lines = Vec::new();
        match ctx.edit() {
            Ok(mut edit) => {
                let payload = edit.layer(Layer::Payload).unwrap().len();
                lines.push(payload.to_string());
                for (layer, at) in
                    [(Layer::Ethernet, 14), (Layer::Ip, 20), (Layer::Tcp, 20), (Layer::Payload, payload)]
                {
                    assert_eq!(edit.overwrite(layer, at, b""), Ok(()));
                    for offset in [at, usize::MAX] {
                        assert_eq!(edit.overwrite(layer, offset, b"x"), Err(PacketError::OutOfBounds));
                    }
                }
                assert_eq!(edit.set_source("[fd00::1]:1".parse().unwrap()), Err(PacketError::Family));
                lines.push(format!("{:?} {:?}", edit.insert(0, b"x"), edit.chomp(0, 1)));
                assert!(edit.ipv6_mut().is_none());
            }
            Err(e) => lines.push(format!("{e:?}")),
        }
        ctx.app().lines.extend(lines);
    }
    let mut w = World::new(Config { output_octets: 100, ..small() });
    w.on(Event::PacketIn, Hook::Receiver, try_all);
    let mut x = exchange();
    w.send(&x.handshake());
    w.take();
    let frame = x.data(Side::Client, b"hello");
    assert_eq!(w.pass(core::slice::from_ref(&frame)), [[frame]], "a copy of what it was");
    assert_eq!(w.take(), ["5", "Err(TooLate) Err(TooLate)"]);
    let long = x.data(Side::Client, &[0; 100]);
    assert_eq!(w.pass(core::slice::from_ref(&long)), [[long]]);
    assert_eq!(w.take(), ["NoRoom"]);
    let whole = x.data(Side::Client, &[1; 40]);
    let parts = fragments(&whole, 24, 7);
    assert_eq!(w.pass(&parts), parts.iter().map(|p| vec![p.clone()]).collect::<Vec<_>>());
    assert_eq!(w.take(), ["Fragmented"]);
}

#[test]
fn without_a_slot_a_changed_packet_is_dropped_and_counted() {
    let mut w = World::new(Config { max_output: 2, ..small() });
    w.on(Event::PacketIn, Hook::Sender, shout);
    let mut x = exchange();
    let out = w.pass(&x.handshake());
    assert_eq!(out.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 0]);
    assert_eq!(w.engine.stats().drops[DropReason::OutputFull], 1);
    let out = w.pass(&[x.data(Side::Client, b"hello")]);
    assert_eq!(payload(&out.concat().concat()), "HELLO", "the next burst has them again");
}
