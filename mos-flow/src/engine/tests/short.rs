//! Where short ways end: what is missing, dropped or gives way counts there as on the long way.

use super::*;

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
