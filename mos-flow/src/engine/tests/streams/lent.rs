//! Octets read where they lie in the packet.

use super::*;

/// Reads all, and writes down whether it lay in the packet: at its place in the frame, and no memory in use.
fn read_at_once(ctx: &mut Context<'_, Log>) {
    let side = ctx.side().unwrap();
    let frame = ctx.packet().map(|packet| packet.frame.data.as_ptr_range());
    let chunks = ctx.engine.chunks().0;
    let (log, mut m) = ctx.split().unwrap();
    let mut line = String::new();
    m.read_with(side, |range, octets| {
        let lent = frame.as_ref().is_some_and(|frame| frame.contains(&octets.as_ptr()));
        let place = if octets.is_empty() { format!("lost {range}") } else { text(octets) };
        line.push_str(&format!("{place}{} ", if lent { "*" } else { "" }));
        log.streams[side].extend_from_slice(octets);
    })
    .unwrap();
    assert!(!line.contains('*') || chunks == 0);
    log.lines.push(line.trim_end().into());
}

/// Only unread octets are kept, and all of them are read by one handler at the receiver's hook.
fn lending() -> (World, Exchange) {
    let mut w = World::new(Config { retention: Retention::Unread, ..small() });
    w.on(Event::NewData, Hook::Receiver, read_at_once);
    (w, exchange())
}

#[test]
fn what_is_next_in_order_is_read_in_the_packet_and_never_stored() {
    let (mut w, mut x) = lending();
    w.on(Event::PacketIn, Hook::Receiver, note).on(Event::StateChange, Hook::Receiver, note);
    w.send(&x.handshake());
    w.take();
    w.send(&[x.data(Side::Client, b"ask"), x.data(Side::Server, b"reply")]);
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"bye")]);
    let open = "ESTABLISHED/ESTABLISHED";
    let fin = "FIN-WAIT-1/CLOSE-WAIT";
    assert_eq!(
        w.take(),
        [
            &format!("packet_in receiver server {open}"),
            "ask*",
            &format!("packet_in receiver client {open}"),
            "reply*",
            &format!("packet_in receiver server {fin}"),
            "bye*",
            &format!("state_change receiver server {fin}"),
        ],
        "after the packet, before the state"
    );
    assert_eq!((w.engine.chunks().0, w.engine.stats().stream_octets), (0, 11));
    assert_eq!(w.engine.stats().events[Event::NewData], 3);
}

#[test]
fn every_way_of_reading_finds_what_lies_in_the_packet() {
    fn look(ctx: &mut Context<'_, Log>) {
        let (socket, mut buf) = (ctx.socket(), [0; 4]);
        let found = |m: &mut crate::Monitor<'_, Log>, buf: &mut [u8]| {
            let side = Side::Server;
            let (info, mut ranges) = (m.stream_info(side).unwrap(), [Range::default(); 3]);
            assert_eq!((info.head, info.next, info.top), (Offset(5), Offset(11), Offset(11)));
            assert_eq!((m.fragments(side, &mut ranges), ranges[0]), (Ok(1), Range::new(5, 11)));
            assert_eq!(m.fragments(side, &mut []), Ok(0));
            assert_eq!(m.range_at(side, Offset(7)), Ok(Range::new(7, 11)));
            for gone in [0, 4, 11, u64::MAX] {
                assert_eq!(m.range_at(side, Offset(gone)), Err(SocketError::NoData));
            }
            assert_eq!((m.ppeek(side, Offset(6), buf), &*buf), (Ok(4), &b"ofhr"[..]));
            assert_eq!(m.piece(side, Range::new(9, 99)), Ok(&b"re"[..]));
            assert_eq!(m.piece(side, Range::new(0, 99)), Ok(&b""[..]));
            assert_eq!(m.ppeek(Side::Client, Offset(0), buf), Err(SocketError::NoData));
        };
        found(&mut ctx.monitor().unwrap(), &mut buf);
        found(&mut ctx.monitor_at(socket).unwrap(), &mut buf);
        found(&mut ctx.control().monitor(socket).unwrap(), &mut buf);
        found(&mut ctx.split_control().1.monitor(socket).unwrap(), &mut buf);
        let mut m = ctx.monitor().unwrap();
        assert_eq!(m.skip(Side::Server, 2), Ok(Peek::Data(Range::new(5, 7))));
        assert_eq!(m.peek(Side::Server, &mut buf[..2]), Ok(Peek::Data(Range::new(7, 9))));
        assert_eq!(&buf[..2], b"fh");
        m.read_below(Side::Server, Offset(10), |_, octets| assert_eq!(octets, b"r")).unwrap();
        assert_eq!(
            m.peek_with(Side::Server, 9, |octets| assert_eq!(octets, b"e")).unwrap(),
            Peek::Data(Range::new(10, 11))
        );
        assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Empty));
        ctx.app().lines.push("read".into());
    }
    let (mut w, mut x) = lending();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"first")]);
    let socket = active(&w);
    w.engine.register(socket, Event::NewData, Hook::Receiver, look, 0).unwrap();
    w.send(&[x.data(Side::Client, b"iofhre")]);
    assert_eq!(w.take(), ["first*", "read"]);
    assert_eq!(w.engine.chunks().0, 0);
}

#[test]
fn what_somebody_leaves_is_stored_for_all() {
    fn two(ctx: &mut Context<'_, Log>) {
        let (log, mut m) = ctx.split().unwrap();
        m.peek_with(Side::Server, 2, |octets| log.lines.push(text(octets))).unwrap();
    }
    let (mut w, mut x) = lending();
    let second = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.register(second, Event::NewData, Hook::Receiver, two, 0).unwrap();
    w.send(&x.handshake());
    for payload in ["abcdefg", "hi", "j"] {
        w.send(&[x.data(Side::Client, payload.as_bytes())]);
        assert_eq!(w.engine.chunks().0, 1);
    }
    assert_eq!(w.take(), ["abcdefg*", "ab", "hi", "cd", "j", "ef"]);
    let second = w.engine.sockets.get(active(&w)).unwrap().next;
    let second = w.engine.socket_at(second).unwrap();
    let mut m = w.engine.monitor(second).unwrap();
    let mut left = Vec::new();
    m.read_with(Side::Server, |_, octets| left.extend_from_slice(octets)).unwrap();
    assert_eq!(text(&left), "ghij");
    // Then nothing is held again.
    w.send(&[x.data(Side::Client, b"k")]);
    w.send(&[x.data(Side::Client, b"l")]);
    assert_eq!(w.take(), ["k", "k", "l*", "l"]);
    assert_eq!(w.engine.chunks().0, 0);
}

#[test]
fn where_octets_cannot_be_lent_they_are_read_from_memory() {
    // All that was received can be read back.
    let (mut w, mut x) = lending();
    w.engine = World::new(small()).engine;
    w.on(Event::NewData, Hook::Receiver, read_at_once);
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"ring")]);
    assert_eq!((w.take(), w.engine.chunks().0), (vec!["ring".to_string()], 1));
    // Somebody reads after the burst.
    let (mut w, mut x) = lending();
    let second = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.register(second, Event::NewData, Hook::None, read, 0).unwrap();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"for both")]);
    assert_eq!((w.take(), w.engine.chunks().0), (vec!["for both".to_string()], 0));
    assert_eq!(text(&w.log.streams.server), "for bothfor both");
    // Behind a hole, in part old, in part beyond what is early, and with the FIN at last.
    let (mut w, mut x) = lending();
    w.send(&x.handshake());
    w.send(&[ahead(&x, 3, b"3456"), x.data(Side::Client, b"012")]);
    let _ = x.data(Side::Client, b"3456");
    w.send(&[ahead(&x, 0_u32.wrapping_sub(2), b"5678")]);
    let _ = x.data(Side::Client, b"78");
    w.send(&[ahead(&x, 0_u32.wrapping_sub(2), b"78")]);
    w.send(&[ahead(&x, 2, b"bc"), ahead(&x, 0, b"9aBC")]);
    let _ = x.data(Side::Client, b"9abc");
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"end")]);
    assert_eq!(w.take(), ["0123456", "78", "9abc", "end*"]);
    assert_eq!((w.engine.chunks().0, w.engine.stats().retransmitted_octets), (0, 2 + 2 + 2));
}

#[test]
fn octets_that_were_acknowledged_before_they_came_are_read_all_the_same() {
    let (mut w, mut x) = lending();
    let lossy = tcp_reasm::Strictness::Lossy;
    w.engine = World::new(Config { retention: Retention::Unread, strictness: lossy, ..small() }).engine;
    w.on(Event::NewData, Hook::Receiver, read_at_once);
    w.send(&x.handshake());
    let late = [x.data(Side::Client, b"late"), x.data(Side::Client, b"later")];
    w.send(&[x.ack(Side::Server)]);
    w.send(&late);
    assert_eq!((w.take(), w.engine.chunks().0), (vec!["late".to_string(), "later".into()], 0));
}

#[test]
fn octets_that_were_not_captured_are_not_lent() {
    let (mut w, mut x) = lending();
    w.engine = World::new(Config { retention: Retention::Unread, verify_checksums: false, ..small() }).engine;
    w.on(Event::NewData, Hook::Receiver, read_at_once);
    w.send(&x.handshake());
    let frame = x.data(Side::Client, b"only the beginning");
    let mut cut = Frame::ethernet(Instant(w.clock), &frame[..frame.len() - 10]);
    cut.wire_len = frame.len() as u32;
    w.engine.process_burst(&mut [cut], &mut w.log);
    assert_eq!(w.take(), ["only the"]);
    let socket = active(&w);
    let info = w.engine.monitor(socket).unwrap().stream_info(Side::Server).unwrap();
    assert_eq!(info.next, Offset(8), "as if it had been stored");
}

#[test]
fn what_came_with_the_syn_and_what_lies_behind_a_gap_is_told_after_the_burst() {
    let (mut w, mut x) = lending();
    let [syn, syn_ack, ack] = {
        let data = x.segment(Side::Client, Flags::SYN, b"early");
        [data, x.segment(Side::Server, Flags::SYN | Flags::ACK, b""), x.ack(Side::Client)]
    };
    w.send(&[syn]);
    assert!(w.take().is_empty(), "the server may not take it");
    w.send(&[syn_ack, ack]);
    assert_eq!(w.take(), ["early"]);
    let _unseen = x.data(Side::Client, b"unseen");
    w.send(&[x.data(Side::Client, b"late")]);
    w.send(&[x.ack(Side::Server)]);
    w.wait(Duration::from_secs(100));
    assert_eq!(w.take(), ["lost [5, 11) late"]);
    w.send(&[x.data(Side::Client, b"more")]);
    assert_eq!((w.take(), w.engine.chunks().0), (vec!["more*".to_string()], 0));
}

#[test]
fn a_handler_may_switch_the_buffer_off_and_on_while_octets_are_lent() {
    fn off(ctx: &mut Context<'_, Log>) {
        let on = ctx.token() == 1;
        let mut m = ctx.monitor().unwrap();
        m.disable_buffer(Side::Server).unwrap();
        assert_eq!(m.peek(Side::Server, &mut [0; 9]), Err(SocketError::Disabled));
        assert_eq!(m.ppeek(Side::Server, Offset(0), &mut [0; 9]), Err(SocketError::Disabled));
        assert_eq!(m.wait_for(Side::Server, 1), Err(SocketError::Disabled));
        if on {
            m.resize(Side::Server, 1).unwrap();
            assert_eq!(m.skip(Side::Server, 1), Ok(Peek::Data(Range::new(0, 1))), "it is at hand");
        }
    }
    for on in [0, 1] {
        let (mut w, mut x) = lending();
        w.engine.register(w.socket, Event::NewData, Hook::Receiver, off, on).unwrap();
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"abc")]);
        let socket = active(&w);
        w.engine.register(socket, Event::NewData, Hook::Receiver, read_at_once, 0).unwrap();
        w.send(&[x.data(Side::Client, b"def")]);
        let told: &[&str] = if on == 1 { &["bcdef"] } else { &[] };
        assert_eq!(w.take(), told);
        assert_eq!(w.engine.chunks().0, 0);
    }
}

#[test]
fn without_memory_what_is_left_is_lost_and_told() {
    fn nothing(_: &mut Context<'_, Log>) {}
    let mut w = World::new(Config { retention: Retention::Unread, chunks: 0, ..small() });
    w.on(Event::NewData, Hook::Receiver, read_at_once).on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"read")]);
    assert_eq!(w.take(), ["read*"], "no memory is needed");
    let socket = active(&w);
    w.engine.register(socket, Event::NewData, Hook::Receiver, nothing, 0).unwrap();
    w.send(&[x.data(Side::Client, b"left")]);
    assert_eq!(w.take(), ["error none server ESTABLISHED/ESTABLISHED NoMemory { octets: 4 }"]);
    assert_eq!(w.engine.stats().refused_octets, 4);
    w.engine.register(socket, Event::NewData, Hook::Receiver, read_at_once, 0).unwrap();
    w.send(&[x.data(Side::Client, b"more")]);
    assert_eq!(w.take(), ["lost [4, 8) more*"]);
}

#[test]
fn whoever_waits_is_told_at_the_hook_by_the_segment_that_brings_enough() {
    let (mut w, mut x) = lending();
    w.on(Event::PacketIn, Hook::Receiver, note);
    w.send(&x.handshake());
    let socket = active(&w);
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 6).unwrap();
    w.take();
    let packet = "packet_in receiver server ESTABLISHED/ESTABLISHED";
    w.send(&[x.data(Side::Client, b"abcd"), x.data(Side::Client, b"efgh"), x.data(Side::Client, b"ij")]);
    assert_eq!(w.take(), [packet, packet, "abcdefgh", packet, "ij*"]);
    // What is there already is told after the burst.
    fn wait(ctx: &mut Context<'_, Log>) {
        let octets = ctx.token() as u64;
        ctx.monitor().unwrap().wait_for(Side::Server, octets).unwrap();
    }
    w.engine.register(socket, Event::PacketIn, Hook::Receiver, |_| (), 0).unwrap();
    w.engine.register(socket, Event::PacketIn, Hook::Sender, wait, 20).unwrap();
    w.send(&[x.data(Side::Client, b"klmno")]);
    w.engine.register(socket, Event::PacketIn, Hook::Sender, wait, 5).unwrap();
    w.send(&[x.ack(Side::Server)]);
    assert_eq!(w.take(), ["klmno"]);
    w.engine.unregister(socket, Event::PacketIn, Hook::Sender).unwrap();
    // And the rest when the stream ends.
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 100).unwrap();
    w.send(&[x.data(Side::Client, b"pq"), x.segment(Side::Client, Flags::FIN | Flags::ACK, b"")]);
    assert_eq!(w.take(), ["pq"]);
}

#[test]
fn a_handler_of_another_connection_finds_nothing_before_it_is_there() {
    // One connection's octets make room for what is left of another's; the one who is told looks at the other.
    fn peer(ctx: &mut Context<'_, Log>) {
        let socket = SocketId::from_bits(ctx.token() as u64);
        let found = ctx.monitor_at(socket).unwrap().skip(Side::Server, 9);
        ctx.app().lines.push(format!("{found:?}"));
    }
    let mut w = World::new(Config { retention: Retention::Unread, max_buffers: 1, ..small() });
    w.on(Event::NewData, Hook::Receiver, |_| ());
    let (mut x, mut y) = (exchange(), other(1));
    w.send(&x.handshake());
    let first = active(&w);
    w.send(&y.handshake());
    let second = SocketId::clone(
        &(0..).find_map(|n| w.engine.socket_at(n).filter(|id| *id != first && *id != w.socket)).unwrap(),
    );
    w.engine.register(second, Event::Error, Hook::None, peer, first.to_bits() as usize).unwrap();
    w.send(&[y.data(Side::Client, b"in the way")]);
    w.send(&[x.data(Side::Client, &[b'x'; 3000])]);
    assert_eq!(w.take(), ["Ok(Empty)"]);
}
