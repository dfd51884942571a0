//! Sockets that wait for a number of octets.

use super::*;
use proptest::prelude::*;
use tcp_reasm::Strictness;

/// Waits for as many octets as the token of the handler says, on the side that receives.
fn wait_again(ctx: &mut Context<'_, Log>) {
    let (n, side) = (ctx.token() as u64, ctx.side().unwrap());
    let waits = ctx.monitor().unwrap().wait_for(side, n);
    ctx.app().lines.push(format!("{waits:?}"));
}

/// Writes down what is new.
fn pieces(ctx: &mut Context<'_, Log>) {
    let (side, token) = (ctx.side().unwrap(), ctx.token());
    let (log, mut m) = ctx.split().unwrap();
    let mut line = String::new();
    m.read_with(side, |range, piece| {
        line.push_str(&if piece.is_empty() { format!("lost {range} ") } else { text(piece) });
    })
    .unwrap();
    log.lines.push(format!("{line}@{token}"));
}

/// A connection whose server's stream two monitors read: the first waits for ten octets.
fn waiting(config: Config) -> (World, Exchange, SocketId) {
    let mut w = World::new(config);
    w.on(Event::NewData, Hook::None, pieces);
    let second = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.register(second, Event::NewData, Hook::None, pieces, 2).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    let socket = active(&w);
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 10).unwrap();
    (w, x, socket)
}

#[test]
fn a_socket_is_told_once_when_what_it_waits_for_is_there_and_others_as_ever() {
    let (mut w, mut x, _) = waiting(small());
    w.send(&[x.data(Side::Client, b"0123")]);
    assert_eq!(w.take(), ["0123@2"]);
    w.send(&[x.data(Side::Client, b"45"), ahead(&x, 2, b"89"), x.data(Side::Server, b"other")]);
    assert_eq!(
        w.take(),
        ["other@0", "other@2", "45@2"],
        "one stream alone, and eight octets are not in a row"
    );
    w.send(&[x.data(Side::Client, b"67"), ahead(&x, 2, b"ab")]);
    assert_eq!(w.take(), ["0123456789ab@0", "6789ab@2"]);
    w.send(&[ahead(&x, 4, b"c")]);
    assert_eq!(w.take(), ["c@0", "c@2"], "then everything is as before");
}

#[test]
fn whoever_waits_is_told_of_the_rest_when_no_more_will_come() {
    type End = fn(&mut World, &mut Exchange);
    let ends: [(End, &str); 4] = [
        (|w, x| drop(w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"fin")])), "fin"),
        (|w, x| drop(w.send(&x.close(Side::Client))), ""),
        (|w, x| drop(w.send(&[x.segment(Side::Server, Flags::RST, b"")])), ""),
        (|w, _| w.wait(small().timeouts.idle + Duration::from_secs(1)), ""),
    ];
    for (end, last) in ends {
        for before in ["abc", ""] {
            let (mut w, mut x, _) = waiting(small());
            w.send(&[x.data(Side::Client, before.as_bytes())]);
            w.log.lines.clear();
            end(&mut w, &mut x);
            let all = format!("{before}{last}");
            let mut told = vec![format!("{all}@0"), format!("{last}@2")];
            told.retain(|line| !line.starts_with('@'));
            assert_eq!(w.take(), told, "{before:?}");
            assert!(w.engine.waits.len() == 0, "its record is given back");
        }
    }
}

#[test]
fn whoever_waits_is_told_when_octets_are_lost_to_it() {
    // Pushed out of the ring: the socket may read before it happens.
    let (mut w, mut x, _) = waiting(Config { ring_octets: 100, ..small() });
    w.send(&[x.data(Side::Client, &[b'a'; 6])]);
    w.send(&[x.data(Side::Client, &[b'b'; 3]), x.data(Side::Client, &[b'c'; 200])]);
    let lines = w.take();
    assert_eq!(lines[1], format!("aaaaaabbb{}@0", "c".repeat(200)));
    // Never seen: the gap is told, and what is behind it.
    for (behind, told) in [("", "abclost [3, 6) @0"), ("xy", "abclost [3, 6) xy@0")] {
        let patience = Patience { octets: 0, time: Duration::ZERO };
        let timeouts = Timeouts { patience, ..small().timeouts };
        let (mut w, mut x, _) = waiting(Config { timeouts, strictness: Strictness::Lossy, ..small() });
        w.send(&[x.data(Side::Client, b"abc")]);
        let _unseen = x.data(Side::Client, b"def");
        w.send(&[x.data(Side::Client, behind.as_bytes())]);
        w.log.lines.clear();
        w.send(&[x.ack(Side::Server)]);
        assert_eq!(w.take()[0], told);
    }
    // Given up, because others need the memory.
    let (mut w, mut x, _) = waiting(Config { chunks: 4, ..small() });
    w.send(&[x.data(Side::Client, b"abc")]);
    w.log.lines.clear();
    let mut y = other(9);
    w.send(&y.handshake());
    w.send(&[ahead(&y, 5, &[b'y'; 5000])]);
    let lines = w.take();
    assert_eq!(lines, ["abc@0"], "others wait behind a hole with more");
}

#[test]
fn what_is_there_already_is_told_after_the_burst_and_what_is_not_read_once_a_burst() {
    let (mut w, mut x, socket) = waiting(small());
    w.send(&[x.data(Side::Client, b"0123456789")]);
    w.send(&[x.data(Side::Client, b"more")]);
    w.log.lines.clear();
    // Nothing is unread: no more is said than that something comes.
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 3).unwrap();
    w.send(&[x.ack(Side::Server)]);
    assert!(w.take().is_empty());
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 0).unwrap();
    w.send(&[x.data(Side::Client, b"!")]);
    assert_eq!(w.take(), ["!@0", "!@2"]);
    // Cancelled with something unread: it is told of that.
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 9).unwrap();
    w.send(&[x.data(Side::Client, b"?")]);
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 0).unwrap();
    assert_eq!(w.take(), ["?@2"]);
    w.send(&[x.ack(Side::Server)]);
    assert_eq!(w.take(), ["?@0"]);
    // Who waits for what is there and never reads is told once after each burst.
    let mut w = World::new(small());
    w.engine.register(w.socket, Event::NewData, Hook::None, wait_again, 2).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"abc")]);
    assert_eq!(w.take(), ["Ok(())"]);
    w.send(&[x.ack(Side::Server)]);
    w.wait(Duration::from_millis(1));
    assert_eq!(w.take(), ["Ok(())", "Ok(())"]);
}

#[test]
fn who_waits_behind_the_end_of_a_stream_is_told_what_is_left() {
    let (mut w, mut x, socket) = waiting(small());
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"last")]);
    assert_eq!(w.take(), ["last@0", "last@2"]);
    w.engine.monitor(socket).unwrap().wait_for(Side::Server, 9).unwrap();
    w.send(&[x.ack(Side::Client)]);
    assert!(w.take().is_empty(), "it has read everything: nothing will come");
    assert_eq!(w.engine.waits.len(), 0);
    let second = w.engine.socket_at(w.engine.sockets.get(socket).unwrap().next).unwrap();
    w.engine.sockets.get_mut(second).unwrap().set_cursor(Side::Server, Offset(1));
    w.engine.monitor(second).unwrap().wait_for(Side::Server, 9).unwrap();
    w.send(&[x.ack(Side::Client)]);
    assert_eq!(w.take(), ["ast@2"]);
}

#[test]
fn waiting_is_refused_where_it_makes_no_sense() {
    let (mut w, mut x, socket) = waiting(Config { max_waits: 2, ..small() });
    let mut m = w.engine.monitor(socket).unwrap();
    assert_eq!(m.wait_for(Side::Server, 4096), Ok(()), "the record is that of the ten");
    assert_eq!(m.wait_for(Side::Server, 4097), Err(SocketError::TooLong));
    assert_eq!(m.wait_for(Side::Server, u64::MAX), Err(SocketError::TooLong));
    m.resize(Side::Server, 4097).unwrap();
    assert_eq!(m.wait_for(Side::Server, 8192), Ok(()));
    m.disable_buffer(Side::Client).unwrap();
    assert_eq!(m.wait_for(Side::Client, 1), Err(SocketError::Disabled));
    m.resize(Side::Client, 1).unwrap();
    assert_eq!(m.wait_for(Side::Client, 1), Ok(()));
    let next = w.engine.sockets.get(socket).unwrap().next;
    let second = w.engine.socket_at(next).unwrap();
    let mut m = w.engine.monitor(second).unwrap();
    assert_eq!(m.wait_for(Side::Client, 1), Err(SocketError::Full));
    assert_eq!(m.wait_for(Side::Client, 0), Ok(()));
    // A buffer that is switched off has nobody wait for it, and who stops hears nothing.
    w.engine.monitor(socket).unwrap().disable_buffer(Side::Client).unwrap();
    w.engine.monitor(second).unwrap().wait_for(Side::Server, 3).unwrap();
    w.engine.monitor(second).unwrap().stop(None).unwrap();
    assert_eq!(w.engine.waits.len(), 1);
    w.send(&[x.data(Side::Client, b"0123456789")]);
    w.send(&x.close(Side::Client));
    assert_eq!(w.take(), ["0123456789@0"]);
    assert_eq!(w.engine.monitor(socket).err(), Some(SocketError::NoSocket));
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    for socket in [raw, w.socket] {
        let refused = w.engine.monitor(socket).unwrap().wait_for(Side::Server, 1);
        assert_eq!(refused, Err(SocketError::WrongKind));
    }
}

#[test]
fn a_connection_does_not_rest_while_somebody_waits() {
    let (mut w, mut x, _) = waiting(Config { at_ease: 0, retention: Retention::Unread, ..small() });
    w.send(&[x.ack(Side::Client)]);
    assert_eq!(w.engine.awake_count(), 1);
    w.send(&[x.data(Side::Client, b"0123456789")]);
    w.send(&[x.ack(Side::Client)]);
    assert_eq!((w.engine.awake_count(), w.take().len()), (0, 2));
}

/// Reads messages of one octet that says how many follow, and those.
fn messages(ctx: &mut Context<'_, Log>) {
    let Ok((log, mut m)) = ctx.split() else { return };
    let end = m.stream_info(Side::Server).unwrap().next;
    let have = end.since(m.cursor(Side::Server).unwrap());
    let mut message = vec![0; 256];
    let at = m.cursor(Side::Server).unwrap();
    if have == 0 || m.ppeek(Side::Server, at, &mut message[..1]) != Ok(1) {
        return log.lines.push(format!("told of {have} octets"));
    }
    let whole = 1 + u64::from(message[0]);
    if have >= whole {
        let read = m.peek(Side::Server, &mut message[..whole as usize]).unwrap();
        assert_eq!(read, Peek::Data(Range::at(at, whole)));
        log.lines.push(text(&message[1..whole as usize]));
        m.wait_for(Side::Server, 1).unwrap();
    } else {
        m.wait_for(Side::Server, whole).unwrap();
    }
}

proptest! {
    #[test]
    fn a_reader_that_waits_for_whole_messages_gets_each_of_them(
        sizes in prop::collection::vec(0_u8..90, 1..20),
        cuts in prop::collection::vec((1_usize..70, any::<bool>(), any::<bool>()), 1..60),
    ) {
        let mut w = World::new(Config { retention: Retention::Unread, ..small() });
        w.on(Event::NewData, Hook::None, messages);
        let mut x = exchange();
        w.send(&x.handshake());
        let sent: Vec<String> = (b'a'..).zip(&sizes).map(|(c, n)| (c as char).to_string().repeat((*n).into())).collect();
        let stream: Vec<u8> = sent.iter().flat_map(|m| [&[m.len() as u8], m.as_bytes()].concat()).collect();
        let (mut at, mut late, mut burst) = (0, None, Vec::new());
        for (size, swap, flush) in cuts.iter().cycle() {
            let end = stream.len().min(at + size);
            let frame = x.data(Side::Client, &stream[at..end]);
            at = end;
            match late.take() {
                None if *swap => late = Some(frame),
                before => burst.extend([frame].into_iter().chain(before)),
            }
                    if at == stream.len() {
                burst.extend(late.take());
            }
            if *flush || at == stream.len() {
                w.send(&core::mem::take(&mut burst));
            }
            if at == stream.len() {
                break;
            }
        }
        prop_assert_eq!(w.take(), sent);
    }
}
