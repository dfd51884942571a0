//! Where short ways end: what is missing, dropped or gives way counts there as on the long way.

use super::*;

#[test]
fn what_comes_first_and_behind_a_hole_is_kept_without_a_place_for_ranges() {
    let strictness = crate::Strictness::Lossy;
    let mut w = World::new(Config { max_ranges: Some(0), strictness, ..small() });
    w.on(Event::NewData, Hook::None, read).on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    let _hole = x.data(Side::Client, b"hole");
    w.send(&[x.ack(Side::Server)]);
    w.send(&[x.data(Side::Client, b"more")]);
    let gap = "error none server ESTABLISHED/ESTABLISHED Gap([0, 4))";
    assert_eq!(
        (w.take(), text(&w.log.streams.server)),
        (vec![gap.into(), "lost [0, 4)".into()], "more".into())
    );
}

/// Nobody is told at the receiver's hook of the packet that says what was lost: a handler drops it at the sender's.
#[test]
fn a_hole_is_told_at_the_end_also_of_a_connection_that_rests() {
    for at_ease in [64, 0] {
        let mut w = World::new(Config { at_ease, strictness: crate::Strictness::Lossy, ..small() });
        w.on(Event::Error, Hook::None, note).on(Event::PacketIn, Hook::Sender, |ctx| {
            if !ctx.app().ends.is_empty() {
                ctx.drop_packet();
            }
        });
        let mut x = exchange();
        w.send(&x.handshake());
        let _hole = x.data(Side::Client, b"hole");
        w.log.ends.push(None);
        w.send(&[x.ack(Side::Server)]);
        assert!(w.take().is_empty());
        w.engine.shutdown(&mut w.log);
        assert_eq!((w.take().len(), w.engine.stats().gap_octets), (1, 4), "{at_ease}");
    }
}

/// A raw socket drops the packet that says what was lost, but not the next one that says it.
#[test]
fn a_hole_of_which_a_dropped_packet_told_is_told_with_the_next_packet() {
    let patience = Patience { octets: 0, time: Duration::ZERO };
    let mut w = World::new(Config {
        timeouts: Timeouts { patience, ..Timeouts::default() },
        strictness: crate::Strictness::Lossy,
        ..small()
    });
    w.on(Event::Error, Hook::None, note);
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    let drop: Handler<Log> = |ctx| {
        if !ctx.app().ends.is_empty() {
            ctx.drop_packet();
        }
    };
    w.engine.register(raw, Event::PacketIn, Hook::None, drop, 0).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    let _hole = x.data(Side::Client, b"hole");
    w.log.ends.push(None);
    w.send(&[x.ack(Side::Server)]);
    w.log.ends.clear();
    assert!(w.take().is_empty());
    let (seq, ack) = (x.seq(Side::Server), x.seq(Side::Client).wrapping_sub(4));
    w.send(&[x.segment_at(Side::Server, seq, ack, Flags::ACK, &[])]);
    assert_eq!(w.take().len(), 1);
}

/// What a reader leaves of a segment is kept at the cost of what it has left of the other stream.
#[test]
fn a_stream_gives_way_to_the_other_one_of_its_connection() {
    let mut w = World::new(Config { chunks: 2, retention: Retention::Unread, ..small() });
    w.on(Event::NewData, Hook::Receiver, |ctx| {
        let (side, mut buf) = (ctx.side().unwrap(), [0; 2]);
        let _ = ctx.monitor().unwrap().peek(side, &mut buf);
    });
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, &[b'a'; 600])]);
    w.send(&[x.data(Side::Server, &[b'b'; 600])]);
    let s = w.engine.stats();
    assert_eq!((s.shed_octets, s.refused_octets), (598, 0));
}
