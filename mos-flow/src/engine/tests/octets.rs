//! Octets that are held, pushed out, missing, or not kept.

use super::*;

#[test]
fn retransmissions_are_told_before_they_are_stored() {
    fn compare(ctx: &mut Context<'_, Log>) {
        let conflict = ctx.conflict().map(|c| c.range);
        let new = ctx.packet().unwrap().segment.unwrap().payload.to_vec();
        let mut old = [0; 64];
        let n = ctx.monitor().unwrap().ppeek(Side::Server, Offset(0), &mut old).unwrap();
        ctx.app().lines.push(format!("{} {} {conflict:?}", text(&old[..n]), text(&new)));
    }
    let mut w = World::new(small());
    w.on(Event::Retransmission, Hook::Receiver, compare);
    let mut x = exchange();
    w.send(&x.handshake());
    let (seq, ack) = (x.seq(Side::Client), x.seq(Side::Server));
    w.send(&[x.data(Side::Client, b"GOOD")]);
    w.send(&[x.segment_at(Side::Client, seq, ack, Flags::ACK, b"GOOD")]);
    w.send(&[x.segment_at(Side::Client, seq, ack, Flags::ACK, b"EVILMORE")]);
    w.send(&[x.segment_at(Side::Client, seq.wrapping_add(7), ack, Flags::ACK, b"?")]); // a keep-alive
    assert_eq!(w.take(), ["GOOD GOOD None", "GOOD EVILMORE Some([0, 4))"]);
    let stats = w.engine.stats();
    assert_eq!((stats.conflicts, stats.keep_alives, stats.events[Event::Retransmission]), (1, 1, 2));
}

#[test]
fn a_slow_reader_is_warned_and_then_told_what_it_lost() {
    fn drain(ctx: &mut Context<'_, Log>) {
        note(ctx);
        read(ctx);
    }
    let payload = vec![b'x'; 1000];
    // One that reads when warned loses nothing; one that does not is told.
    for (handler, expected) in [(drain as Handler<Log>, 6000), (note, 4096)] {
        let mut w = World::new(small());
        w.on(Event::Error, Hook::None, handler).on(Event::ConnEnd, Hook::Receiver, read);
        let mut x = exchange();
        w.send(&x.handshake());
        for _ in 0..6 {
            let frame = x.data(Side::Client, &payload);
            w.send(&[frame]);
        }
        w.engine.shutdown(&mut w.log);
        let lines = w.take();
        assert!(lines[0].contains("Overrun([0, 904))"), "{lines:?}");
        assert_eq!(lines.contains(&"lost [0, 1904)".to_string()), expected == 4096, "{lines:?}");
        assert_eq!(w.log.streams.server.len(), expected);
    }
}

#[test]
fn unread_data_is_announced_before_the_ring_would_push_it_out() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    let mut burst = x.handshake().to_vec();
    burst.extend((0..20).map(|_| x.data(Side::Client, &[b'y'; 1400])));
    w.send(&burst);
    assert_eq!(w.log.streams.server.len(), 28_000);
    assert!(w.take().is_empty(), "nothing was lost although the burst is larger than the ring");
    assert_eq!(w.engine.stats().overrun_octets, 0);
}

#[test]
fn a_filled_hole_delivers_more_than_the_ring_holds() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    let first = x.data(Side::Client, &[b'a'; 1000]);
    let rest: Vec<Vec<u8>> = (0..30).map(|_| x.data(Side::Client, &[b'b'; 1000])).collect();
    w.send(&rest);
    assert!(w.log.streams.server.is_empty());
    w.send(&[first]);
    assert_eq!(w.log.streams.server.len(), 31_000);
    assert!(w.take().is_empty());
    assert!(
        w.engine.chunks().0 <= 4,
        "all but the ring and its index is given back: {:?}",
        w.engine.chunks()
    );
}

#[test]
fn acknowledged_holes_are_skipped_when_patience_ends() {
    let patience = Patience { octets: 3000, time: Duration::from_secs(2) };
    let run = |after: fn(&mut World, &mut Exchange)| {
        let mut w = World::new(Config { timeouts: Timeouts { patience, ..small().timeouts }, ..small() });
        w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
        let mut x = exchange();
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"before")]);
        let _lost = x.data(Side::Client, b"hole");
        w.send(&[x.data(Side::Client, b"after")]);
        after(&mut w, &mut x);
        (w.take(), text(&w.log.streams.server))
    };
    // Not acknowledged: perhaps it is sent again.
    let (lines, stream) = run(|w, _| w.wait(Duration::from_secs(60)));
    assert_eq!((lines.len(), stream.as_str()), (0, "before"));
    let gap = "error none server ESTABLISHED/ESTABLISHED Gap([6, 10))";
    // By time.
    let (lines, stream) = run(|w, x| {
        w.send(&[x.ack(Side::Server)]);
        w.wait(Duration::from_secs(1));
        assert!(w.log.lines.is_empty(), "there is still patience");
        w.wait(Duration::from_millis(1100));
    });
    assert_eq!((lines, stream.as_str()), (vec![gap.to_string(), "lost [6, 10)".into()], "beforeafter"));
    // By octets.
    let (lines, _) = run(|w, x| {
        w.send(&[x.ack(Side::Server)]);
        let more: Vec<_> = (0..4).map(|_| x.data(Side::Client, &[b'z'; 1000])).collect();
        w.send(&more);
    });
    assert_eq!(lines, [gap, "lost [6, 10)"]);
    // By the end of the connection.
    let (lines, stream) = run(|w, x| {
        w.send(&[x.ack(Side::Server)]);
        w.send(&[x.segment(Side::Server, Flags::RST, b"")]);
    });
    assert!(lines[0].contains("Gap([6, 10))"), "{lines:?}");
    assert_eq!(stream, "beforeafter");
    // And a late one within patience closes it.
    let (lines, stream) = run(|w, x| {
        w.send(&[x.ack(Side::Server)]);
        let late = x.segment_at(Side::Client, x.seq(Side::Client).wrapping_sub(9), 5001, Flags::ACK, b"hole");
        w.send(&[late]);
    });
    assert_eq!((lines.len(), stream.as_str()), (0, "beforeholeafter"));
}

#[test]
fn buffers_can_be_switched_off_while_states_go_on() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, note).on(Event::StateChange, Hook::Receiver, note);
    w.engine.monitor(w.socket).unwrap().disable_buffer(Side::Server).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    let active = w.engine.socket_at(1).unwrap();
    w.take();
    w.send(&[x.data(Side::Client, b"unheard"), x.data(Side::Server, b"heard")]);
    assert_eq!(w.take(), ["new_data none client ESTABLISHED/ESTABLISHED"]);
    let mut buf = [0; 16];
    let mut m = w.engine.monitor(active).unwrap();
    assert_eq!(m.ppeek(Side::Server, Offset(0), &mut buf), Err(SocketError::Disabled));
    assert_eq!(m.ppeek(Side::Client, Offset(1), &mut buf), Ok(4));
    assert_eq!(&buf[..4], b"eard");
    m.disable_buffer(Side::Client).unwrap();
    assert_eq!(m.peek(Side::Client, &mut buf), Err(SocketError::Disabled));
    assert_eq!(w.engine.chunks().0, 0, "what was held is freed");
    w.send(&x.close(Side::Client));
    assert_eq!(w.engine.flow_count(), 0, "states still lead to the end");
}

#[test]
fn reading_by_offset_tells_what_is_there() {
    let mut w = World::new(small());
    let mut x = exchange();
    let [syn, syn_ack, ack] = x.handshake();
    w.send(&[syn]);
    let active = w.engine.socket_at(1).unwrap();
    let mut buf = [0; 16];
    let m = w.engine.monitor(active).unwrap();
    assert_eq!(m.ppeek(Side::Client, Offset(0), &mut buf), Err(SocketError::NotConnected));
    assert_eq!(m.ppeek(Side::Server, Offset(0), &mut buf), Err(SocketError::NoData));
    w.send(&[syn_ack, ack]);
    w.send(&[x.data(Side::Client, b"0123")]);
    let _lost = x.data(Side::Client, b"4567");
    w.send(&[x.data(Side::Client, b"89ab")]);
    let m = w.engine.monitor(active).unwrap();
    let at = |o, buf: &mut [u8]| m.ppeek(Side::Server, Offset(o), buf);
    assert_eq!((at(0, &mut buf), at(2, &mut buf[..1])), (Ok(4), Ok(1)));
    assert_eq!(at(9, &mut buf), Ok(3), "inside what came out of order");
    assert_eq!(&buf[..3], b"9ab");
    assert_eq!((at(4, &mut buf), at(12, &mut buf)), (Err(SocketError::NoData), Err(SocketError::NoData)));
    assert_eq!((at(u64::MAX, &mut buf), at(99, &mut [])), (Err(SocketError::NoData), Ok(0)));
    let mut ranges = [Range::default(); 4];
    assert_eq!(m.fragments(Side::Server, &mut ranges), Ok(2));
    assert_eq!(ranges[..2], [Range::new(0, 4), Range::new(8, 12)]);
    assert_eq!(m.fragments(Side::Client, &mut ranges), Err(SocketError::NoData));
    let info = m.stream_info(Side::Server).unwrap();
    assert_eq!((info.base.0, info.next.0, info.top.0), (u32::MAX - 1, 4, 12));
    assert_eq!(m.address(Side::Client).unwrap().to_string(), CLIENT);
    assert_eq!(m.address(Side::Server).unwrap().to_string(), SERVER);
    let passive = w.engine.monitor(w.socket).unwrap();
    assert_eq!(passive.ppeek(Side::Server, Offset(0), &mut buf), Err(SocketError::WrongKind));
}

#[test]
fn the_last_copy_wins_when_asked_for() {
    for (policy, expected) in [(Overlap::First, "GOOD"), (Overlap::Last, "EVIL")] {
        let mut w = World::new(Config { overlap: policy.into(), ..small() });
        w.on(Event::ConnEnd, Hook::Receiver, read);
        let mut x = exchange();
        w.send(&x.handshake());
        let (seq, ack) = (x.seq(Side::Client), x.seq(Side::Server));
        w.send(&[x.data(Side::Client, b"GOOD"), x.segment_at(Side::Client, seq, ack, Flags::ACK, b"EVIL")]);
        w.engine.shutdown(&mut w.log);
        assert_eq!(text(&w.log.streams.server), expected);
    }
    // A monitor can ask for one side of its connections, and change its mind for one connection.
    fn first(ctx: &mut Context<'_, Log>) {
        ctx.monitor().unwrap().set_overlap(Side::Server, Overlap::First).unwrap();
    }
    for (handler, server) in [(note as Handler<Log>, "EVIL"), (first, "GOOD")] {
        let mut w = World::new(small());
        w.engine.monitor(w.socket).unwrap().set_overlap(Side::Server, Overlap::Last).unwrap();
        w.on(Event::ConnStart, Hook::Sender, handler).on(Event::ConnEnd, Hook::Receiver, read);
        let mut x = exchange();
        w.send(&x.handshake());
        let at = Sides::from_fn(|side| x.seq(side));
        let frames = [
            x.data(Side::Client, b"GOOD"),
            x.segment_at(Side::Client, at.client, at.server, Flags::ACK, b"EVIL"),
            x.data(Side::Server, b"GOOD"),
            x.segment_at(Side::Server, at.server, x.seq(Side::Client), Flags::ACK, b"EVIL"),
        ];
        w.send(&frames);
        w.engine.shutdown(&mut w.log);
        assert_eq!(
            (text(&w.log.streams.server).as_str(), text(&w.log.streams.client).as_str()),
            (server, "GOOD")
        );
    }
}

#[test]
fn read_octets_are_not_kept_when_only_unread_ones_are_wanted() {
    let mut w = World::new(Config { retention: Retention::Unread, ..small() });
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, &[1; 1000])]);
    assert_eq!((w.log.streams.server.len(), w.engine.chunks().0), (1000, 0), "an idle flow holds no octets");
}
