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
