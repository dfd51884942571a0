//! What applications do with sockets while they are called.

use super::*;
use tcp_reasm::Strictness;

#[test]
fn a_change_of_handlers_takes_effect_with_the_next_hook() {
    fn new(ctx: &mut Context<'_, Log>) {
        ctx.app().lines.push("new".into());
    }
    fn swap(ctx: &mut Context<'_, Log>) {
        let socket = ctx.socket();
        ctx.control().register(socket, Event::StateChange, Hook::Sender, new, 0).unwrap();
    }
    let mut w = World::new(small());
    // Of the FIN the packet is told before the state; both at the sender's hook.
    w.on(Event::StateChange, Hook::Sender, |c| c.app().lines.push("old".into()));
    let mut x = exchange();
    w.on(Event::ConnStart, Hook::Sender, swap);
    w.send(&x.handshake());
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"")]);
    assert_eq!(w.take(), ["old", "new"], "the SYN, then the FIN");
}

#[test]
fn raw_sockets_may_close_themselves_and_open_others() {
    fn close(ctx: &mut Context<'_, Log>) {
        let socket = ctx.socket();
        ctx.control().close(socket).unwrap();
        let next = ctx.control().open(SocketKind::Raw).unwrap();
        ctx.control().register(next, Event::PacketIn, Hook::None, note, 2).unwrap();
    }
    let mut w = World::new(small());
    let a = w.engine.open(SocketKind::Raw).unwrap();
    let b = w.engine.open(SocketKind::Raw).unwrap();
    w.engine.register(a, Event::PacketIn, Hook::None, close, 0).unwrap();
    w.engine.register(b, Event::PacketIn, Hook::None, note, 1).unwrap();
    let [syn, syn_ack, _] = exchange().handshake();
    w.send(&[syn]);
    assert_eq!(w.take(), ["#1 packet_in none - -/-"], "the neighbour sees it, the new one not yet");
    w.send(&[syn_ack]);
    assert_eq!(w.take().len(), 2);
}

#[test]
fn monitors_are_limited_to_what_can_be_gone_through() {
    let config = small();
    let mut arrays = Arrays::on_heap(&config);
    arrays.monitors = crate::memory::Reserved::filled(Id::NONE, 100);
    arrays.filters = crate::memory::Reserved::with_capacity(100);
    let mut engine: Engine<Log> = Engine::with_memory(config, arrays).unwrap();
    let opened = (0..100).take_while(|_| engine.open(SocketKind::Stream).is_ok()).count();
    assert_eq!(opened, crate::config::MAX_MONITORS);
    let [syn, ..] = exchange().handshake();
    engine.process_burst(&mut [Frame::ethernet(Instant(1), &syn)], &mut Log::default());
    assert_eq!(engine.socket_count(), 128);
}

#[test]
fn sets_of_handlers_are_given_back() {
    fn own(ctx: &mut Context<'_, Log>) {
        let socket = ctx.socket();
        let done = ctx.control().register(socket, Event::NewData, Hook::None, read, 0);
        ctx.app().lines.push(format!("{done:?}"));
    }
    let mut w = World::new(Config { max_sockets: 3, ..small() });
    w.on(Event::ConnStart, Hook::Sender, own);
    for port in 1..=20 {
        let mut x = other(port);
        w.send(&x.handshake());
        w.send(&x.close(Side::Client));
    }
    assert_eq!(w.take(), vec!["Ok(())"; 20]);
    assert_eq!(w.engine.socket_count(), 1);
}

#[test]
fn who_stops_while_told_of_new_data_or_in_a_timer_forgets_the_connection() {
    fn stop(ctx: &mut Context<'_, Log>) {
        ctx.monitor().unwrap().stop(None).unwrap();
    }
    fn stop_later(ctx: &mut Context<'_, Log>) {
        let socket = ctx.socket().to_bits() as usize;
        ctx.control().start_timer(Duration::from_secs(1), stop_it, socket);
    }
    fn stop_it(ctx: &mut Context<'_, Log>) {
        let socket = SocketId::from_bits(ctx.token() as u64);
        ctx.control().monitor(socket).unwrap().stop(None).unwrap();
    }
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, stop);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"x")]);
    assert_eq!(w.engine.flow_count(), 0);
    w.on(Event::NewData, Hook::None, stop_later);
    let mut x = other(1);
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"x")]);
    assert_eq!(w.engine.flow_count(), 1);
    w.wait(Duration::from_secs(2));
    assert_eq!((w.engine.flow_count(), w.engine.stats().flows_ended), (0, 2));
}

#[test]
fn who_stops_one_side_while_told_goes_on_with_the_other() {
    fn stop_server(ctx: &mut Context<'_, Log>) {
        read(ctx);
        ctx.monitor().unwrap().stop(Some(Side::Server)).unwrap();
    }
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, stop_server);
    let mut x = exchange();
    w.send(&x.handshake());
    for _ in 0..3 {
        w.send(&[x.data(Side::Client, b"ask")]);
        w.send(&[x.data(Side::Server, b"reply")]);
    }
    let streams = &w.log.streams;
    assert_eq!((text(&streams.server), text(&streams.client)), ("ask".into(), "reply".repeat(3)));
}

#[test]
fn a_connection_that_ends_does_not_take_the_news_of_others_along() {
    for first in [false, true] {
        let mut w = World::new(small());
        w.on(Event::NewData, Hook::None, read);
        let (mut x, mut y, mut z) = (other(1), other(2), other(3));
        for e in [&mut x, &mut y, &mut z] {
            let handshake = e.handshake();
            w.send(&handshake);
        }
        let mut burst =
            vec![x.data(Side::Client, b"x"), y.data(Side::Client, b"y"), z.data(Side::Client, b"z")];
        let victim = if first { &mut x } else { &mut z };
        burst.push(victim.segment(Side::Client, Flags::RST, b""));
        burst.push(y.data(Side::Client, b"y"));
        w.send(&burst);
        let mut read = w.log.streams.server.clone();
        read.sort_unstable();
        assert_eq!(text(&read), "xyyz");
    }
}

#[test]
fn a_connection_that_is_picked_up_starts_for_its_monitors() {
    let starts = |w: &mut World, frames: &[Vec<u8>]| {
        w.on(Event::ConnStart, Hook::Sender, note).on(Event::ConnStart, Hook::Receiver, note);
        w.send(frames);
        w.take()
    };
    let picked_up = ["conn_start sender client", "conn_start receiver server"];
    // After the SYN/ACK of a connection whose SYN looked like an intruder's.
    let mut w = World::new(Config { strictness: Strictness::Lossy, ..small() });
    w.on(Event::NewData, Hook::None, read);
    w.engine.bind(w.socket, FilterSlot::Syn, Some("dst port 80".parse().unwrap())).unwrap();
    w.send(&exchange().handshake());
    let mut y = successor();
    let lines = starts(&mut w, &y.handshake());
    assert!(lines.iter().zip(picked_up).all(|(l, p)| l.starts_with(p)) && lines.len() == 2, "{lines:?}");
    w.send(&[y.data(Side::Client, b"new")]);
    assert_eq!((text(&w.log.streams.server), w.engine.stats().flows), ("new".into(), 2));
    // In the middle, the server first; the filter is asked about what it answers.
    let mut w = World::new(Config { midstream: true, ..small() });
    w.on(Event::NewData, Hook::None, read);
    w.engine.bind(w.socket, FilterSlot::Syn, Some("dst port 80".parse().unwrap())).unwrap();
    let mut x = exchange();
    let _ = x.handshake();
    let frames = [x.data(Side::Server, b"reply"), x.data(Side::Client, b"ask")];
    let lines = starts(&mut w, &frames);
    assert!(lines.iter().zip(picked_up).all(|(l, p)| l.starts_with(p)) && lines.len() == 2, "{lines:?}");
    assert_eq!((text(&w.log.streams.client), text(&w.log.streams.server)), ("reply".into(), "ask".into()));
}

#[test]
fn an_active_socket_knows_the_monitor_that_it_was_opened_for() {
    fn start(ctx: &mut Context<'_, Log>) {
        let (socket, token) = (ctx.socket(), ctx.token());
        ctx.app().lines.push(format!("{token} {socket:?}"));
    }
    let mut w = World::new(small());
    let other = w.engine.open(SocketKind::Stream).unwrap();
    for (monitor, token) in [(w.socket, 1), (other, 2)] {
        w.engine.register(monitor, Event::ConnStart, Hook::Sender, start, token).unwrap();
    }
    w.send(&exchange().handshake());
    let told = w.take();
    let sockets: Vec<SocketId> = (0..).map_while(|n| w.engine.socket_at(n)).collect();
    let named = |token: u32| {
        let line = |id: &&SocketId| told.contains(&format!("{token} {:?}", **id));
        *sockets.iter().find(line).unwrap()
    };
    let (first, second) = (named(1), named(2));
    let of = |w: &mut World, id| w.engine.monitor(id).unwrap().opened_for();
    assert_eq!([of(&mut w, first), of(&mut w, second)], [Ok(Some(w.socket)), Ok(Some(other))]);
    assert_eq!(of(&mut w, other), Err(SocketError::WrongKind));
    // A monitor that comes after one that was closed has nothing to do with its connections.
    w.engine.close(other).unwrap();
    let next = w.engine.open(SocketKind::Stream).unwrap();
    assert_eq!([of(&mut w, first), of(&mut w, second)], [Ok(Some(w.socket)), Ok(None)]);
    assert_ne!(next, other);
    w.engine.check();
}

#[test]
fn stopping_ends_events_and_then_the_connection() {
    fn stop_both(ctx: &mut Context<'_, Log>) {
        note(ctx);
        ctx.monitor().unwrap().stop(None).unwrap();
    }
    fn stop_server(ctx: &mut Context<'_, Log>) {
        ctx.monitor().unwrap().stop(Some(Side::Server)).unwrap();
    }
    // Also in the very first callback.
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, stop_both).on(Event::PacketIn, Hook::Receiver, note);
    w.on(Event::ConnEnd, Hook::Receiver, note);
    let mut x = exchange();
    w.send(&x.handshake());
    assert_eq!(w.take().len(), 1);
    assert_eq!((w.engine.flow_count(), w.engine.socket_count()), (0, 1));
    let ends = w.engine.poll_unwatched().unwrap();
    assert_eq!((ends.client, ends.server), (CLIENT.parse().unwrap(), SERVER.parse().unwrap()));
    assert_eq!(w.engine.poll_unwatched(), None);
    // One side only, and only this socket.
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, stop_server).on(Event::PacketIn, Hook::Receiver, note);
    let second = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.register(second, Event::PacketIn, Hook::Receiver, note, 2).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    assert_eq!(
        w.take(),
        [
            "#2 packet_in receiver server SYN-SENT/SYN-RECEIVED",
            "#2 packet_in receiver client ESTABLISHED/SYN-RECEIVED",
            "packet_in receiver client ESTABLISHED/SYN-RECEIVED",
            "#2 packet_in receiver server ESTABLISHED/ESTABLISHED",
        ]
    );
}
