//! What is called in which order.

use super::*;
use crate::testing::fragments as cut;

/// Opens a second, third, … monitor that is told of everything, under a number of its own.
fn monitors(w: &mut World, count: usize) -> Vec<SocketId> {
    let more: Vec<_> = (1..count).map(|_| w.engine.open(SocketKind::Stream).unwrap()).collect();
    let all: Vec<_> = core::iter::once(w.socket).chain(more).collect();
    for (token, socket) in (1..).zip(&all) {
        w.register_everywhere(*socket, note, token);
    }
    all
}

/// The numbers of the monitors, one for each line.
fn numbers(lines: &[String]) -> String {
    lines.iter().map(|line| line[1..2].to_string()).collect()
}

/// Lines without the states.
pub(super) fn short(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect()
}

fn listening() -> World {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    w
}

/// The same, past the handshake of [`exchange`].
fn established(x: &mut Exchange) -> World {
    let mut w = listening();
    w.send(&x.handshake());
    w.take();
    w
}

#[test]
fn a_side_changes_its_state_once_a_packet_also_when_it_goes_two_steps() {
    // The handshake is completed by a FIN: SYN-RECEIVED, ESTABLISHED, CLOSE-WAIT.
    let mut w = listening();
    let mut x = exchange();
    let [syn, syn_ack, _] = x.handshake();
    w.send(&[syn, syn_ack]);
    w.take();
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"")]);
    assert_eq!(
        w.take(),
        [
            "packet_in sender client FIN-WAIT-1/SYN-RECEIVED",
            "state_change sender client FIN-WAIT-1/SYN-RECEIVED",
            "packet_in receiver server FIN-WAIT-1/CLOSE-WAIT",
            "state_change receiver server FIN-WAIT-1/CLOSE-WAIT",
        ]
    );
    // The answer acknowledges the FIN and is one: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT.
    w.send(&[x.segment(Side::Server, Flags::FIN | Flags::ACK, b"")]);
    assert_eq!(
        w.take()[2..],
        ["packet_in receiver client TIME-WAIT/LAST-ACK", "state_change receiver client TIME-WAIT/LAST-ACK",]
    );
}

#[test]
fn what_the_receiver_does_not_take_passes_both_hooks_and_changes_no_state() {
    let mut x = exchange();
    let mut w = established(&mut x);
    let far = x.seq(Side::Client).wrapping_add(1 << 30);
    w.send(&[
        x.segment_at(Side::Client, far, x.seq(Side::Server), Flags::ACK, b""),
        x.segment_at(Side::Server, far, far, Flags::RST, b""),
        x.segment_at(Side::Client, far, 0, Flags::SYN, b""),
    ]);
    let passed = |from, to| {
        [("sender", from), ("receiver", to)]
            .map(|(hook, side)| format!("packet_in {hook} {side} ESTABLISHED/ESTABLISHED"))
    };
    assert_eq!(
        w.take(),
        [passed("client", "server"), passed("server", "client"), passed("client", "server")].concat()
    );
}

#[test]
fn a_repeated_syn_starts_nothing_and_is_a_retransmission() {
    let mut w = listening();
    let [syn, ..] = exchange().handshake();
    w.send(core::slice::from_ref(&syn));
    w.take();
    w.send(&[syn]);
    assert_eq!(
        w.take(),
        [
            "packet_in sender client SYN-SENT/SYN-RECEIVED",
            "packet_in receiver server SYN-SENT/SYN-RECEIVED",
            "retransmission receiver server SYN-SENT/SYN-RECEIVED",
        ]
    );
}

#[test]
fn repeated_octets_are_told_before_the_packet_and_a_repeated_fin_with_it() {
    let mut x = exchange();
    let mut w = established(&mut x);
    let data = x.data(Side::Client, b"data");
    let fin = x.segment(Side::Client, Flags::FIN | Flags::ACK, b"");
    w.send(&[data.clone(), fin.clone()]);
    w.take();
    w.send(&[data]);
    let sender = "packet_in sender client";
    let (packet, again) = ("packet_in receiver server", "retransmission receiver server");
    assert_eq!(short(&w.take()), [sender, again, packet]);
    w.send(&[fin]);
    assert_eq!(short(&w.take()), [sender, packet, again]);
}

#[test]
fn new_data_is_told_once_a_burst_and_stream_after_all_packets() {
    let mut x = exchange();
    let mut w = established(&mut x);
    let mut burst = Vec::new();
    for _ in 0..3 {
        burst.extend([x.data(Side::Client, b"ask"), x.data(Side::Server, b"reply")]);
    }
    w.send(&burst);
    let lines = short(&w.take());
    assert!(lines[..12].iter().all(|line| line.starts_with("packet_in")), "{lines:?}");
    assert_eq!(lines[12..], ["new_data none client", "new_data none server"]);
}

#[test]
fn nothing_new_is_not_told_as_new_data() {
    let mut x = exchange();
    let mut w = established(&mut x);
    let data = x.data(Side::Client, b"data");
    w.send(core::slice::from_ref(&data));
    w.take();
    // A copy, a pure ACK, octets behind a hole, a probe of an octet that came before, a bare FIN.
    let ack = x.ack(Side::Server);
    let probe = x.segment_at(
        Side::Client,
        x.seq(Side::Client).wrapping_sub(1),
        x.seq(Side::Server),
        Flags::ACK,
        b"a",
    );
    let mut ahead = x.clone();
    let _hole = ahead.data(Side::Client, b"?");
    let early = ahead.data(Side::Client, b"early");
    for frame in [data, ack, early, probe] {
        w.send(&[frame]);
    }
    w.send(&[x.segment(Side::Server, Flags::FIN | Flags::ACK, b"")]);
    let lines = w.take();
    assert!(lines.iter().all(|line| !line.starts_with("new_data")), "{lines:?}");
}

#[test]
fn new_data_is_told_in_every_state_that_takes_octets() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, note);
    let mut x = exchange();
    let [syn, syn_ack, _] = x.handshake();
    w.send(&[syn, syn_ack]);
    // SYN-RECEIVED: the octets complete the handshake, and are told in ESTABLISHED.
    w.send(&[x.data(Side::Client, b"first")]);
    w.send(&[x.data(Side::Server, b"reply")]);
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"last")]);
    // FIN-WAIT-1: the FIN is not acknowledged yet.
    let (seq, ack) = (x.seq(Side::Server), x.seq(Side::Client).wrapping_sub(1));
    let _ = x.data(Side::Server, b"one");
    w.send(&[x.segment_at(Side::Server, seq, ack, Flags::ACK, b"one")]);
    // FIN-WAIT-2, twice.
    w.send(&[x.data(Side::Server, b"two")]);
    w.send(&[x.segment(Side::Server, Flags::FIN | Flags::ACK, b"three")]);
    assert_eq!(
        w.take(),
        [
            "new_data none server ESTABLISHED/ESTABLISHED",
            "new_data none client ESTABLISHED/ESTABLISHED",
            "new_data none server FIN-WAIT-1/CLOSE-WAIT",
            "new_data none client FIN-WAIT-1/CLOSE-WAIT",
            "new_data none client FIN-WAIT-2/CLOSE-WAIT",
            "new_data none client TIME-WAIT/LAST-ACK",
        ]
    );
}

#[test]
fn new_data_of_both_streams_is_told_before_the_end() {
    let mut x = exchange();
    let mut w = established(&mut x);
    let burst = [
        x.data(Side::Client, b"ask"),
        x.data(Side::Server, b"reply"),
        x.segment(Side::Client, Flags::RST, b""),
    ];
    w.send(&burst);
    let lines = short(&w.take());
    let end = lines.iter().position(|line| line.starts_with("conn_end")).unwrap();
    assert_eq!(lines[end - 2..end], ["new_data none client", "new_data none server"]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("new_data")).count(), 2);
}

#[test]
fn the_side_that_received_the_last_packet_ends_first() {
    for (last, first) in [(Side::Client, "server"), (Side::Server, "client")] {
        let mut x = exchange();
        let mut w = established(&mut x);
        w.send(&[x.segment(last, Flags::RST, b"")]);
        let lines = short(&w.take());
        let ends: Vec<_> = lines.iter().filter(|line| line.starts_with("conn_end")).collect();
        let second = if first == "server" { "client" } else { "server" };
        let expected = [("receiver", first), ("sender", first), ("receiver", second), ("sender", second)];
        assert_eq!(ends, expected.map(|(hook, side)| format!("conn_end {hook} {side}")).each_ref());
        assert_eq!(lines.last(), ends.last().copied(), "and that was all");
    }
}

#[test]
fn streams_states_and_the_users_word_are_there_in_both_ends() {
    fn start(ctx: &mut Context<'_, Log>) {
        ctx.monitor().unwrap().set_user(4711).unwrap();
    }
    fn look(ctx: &mut Context<'_, Log>) {
        let (mut bufs, m) = ([[0; 16]; 2], ctx.monitor().unwrap());
        let [client, server] = Side::BOTH;
        let read = [(client, 0), (server, 1)].map(|(side, n)| m.ppeek(side, Offset(0), &mut bufs[n]));
        assert_eq!(read, [Ok(5), Ok(3)]);
        let user = m.user().unwrap();
        let line = format!("{} {} {user}", text(&bufs[0][..5]), text(&bufs[1][..3]));
        assert!(ctx.packet().is_none());
        note(ctx);
        ctx.app().lines.push(line);
    }
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, start);
    w.on(Event::ConnEnd, Hook::Sender, look).on(Event::ConnEnd, Hook::Receiver, look);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"ask"), x.data(Side::Server, b"reply")]);
    w.send(&x.close(Side::Client));
    let lines = w.take();
    let ends = ["receiver server", "sender server", "receiver client", "sender client"]
        .map(|at| [format!("conn_end {at} CLOSED/CLOSED"), "reply ask 4711".into()]);
    assert_eq!(lines, ends.concat());
}

#[test]
fn the_users_word_belongs_to_one_socket_and_is_zero_at_first() {
    fn count(ctx: &mut Context<'_, Log>) {
        let token = ctx.token();
        let mut m = ctx.monitor().unwrap();
        let (flow, user) = (m.flow_number().unwrap(), m.user().unwrap());
        m.set_user(user + 1).unwrap();
        ctx.app().lines.push(format!("#{token} flow {flow}: {user}"));
    }
    let mut w = World::new(small());
    let second = w.engine.open(SocketKind::Stream).unwrap();
    w.engine.monitor(w.socket).unwrap().set_user(99).unwrap();
    w.engine.register(w.socket, Event::PacketIn, Hook::Sender, count, 1).unwrap();
    w.engine.register(second, Event::ConnStart, Hook::Sender, count, 2).unwrap();
    let (mut x, mut y) = (other(1), other(2));
    let ([a, b, _], [c, ..]) = (x.handshake(), y.handshake());
    w.send(&[a, b, c]);
    // The packets of both sides count at one socket; the word of the monitor is its own.
    assert_eq!(w.take(), ["#1 flow 0: 0", "#2 flow 0: 0", "#1 flow 0: 1", "#1 flow 1: 0", "#2 flow 1: 0"]);
    assert_eq!(w.engine.monitor(w.socket).unwrap().user(), Ok(99));
}

#[test]
fn new_data_ends_and_timers_have_no_packet_and_hooks_and_errors_do() {
    fn packet(ctx: &mut Context<'_, Log>) {
        let (event, has) = (ctx.event().map_or("timer", Event::name), ctx.packet().is_some());
        ctx.app().lines.push(format!("{event} {has}"));
    }
    let mut w = World::new(small());
    w.register_everywhere(w.socket, packet, 0);
    let mut x = exchange();
    let mut burst: Vec<_> = x.handshake().into();
    let data = x.data(Side::Client, b"data");
    let far = x.seq(Side::Client).wrapping_add(100_000);
    burst.extend([data.clone(), data]);
    burst.push(x.segment_at(Side::Client, far, x.seq(Side::Server), Flags::ACK, b"far"));
    w.send(&burst);
    w.send(&x.close(Side::Server));
    w.send(&[x.ack(Side::Client)]);
    w.engine.start_timer(Duration::from_secs(1), packet, 0).unwrap();
    w.wait(Duration::from_secs(2));
    let mut lines = w.take();
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(
        lines,
        [
            "conn_end false",
            "conn_start true",
            "error true",
            "new_data false",
            "orphan true",
            "packet_in true",
            "retransmission true",
            // At the end of the connection there is none.
            "state_change false",
            "state_change true",
            "timer false",
        ]
    );
}

#[test]
fn only_the_monitor_that_has_not_read_is_warned() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    w.engine.register(w.socket, Event::Error, Hook::None, note, 1).unwrap();
    let [slow, deaf] = [(); 2].map(|()| w.engine.open(SocketKind::Stream).unwrap());
    w.engine.register(slow, Event::Error, Hook::None, note, 2).unwrap();
    w.engine.register(deaf, Event::PacketIn, Hook::Receiver, |_| {}, 3).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    for _ in 0..5 {
        let frame = x.data(Side::Client, &[b'x'; 1000]);
        w.send(&[frame]);
    }
    assert_eq!(w.take(), ["#2 error none server ESTABLISHED/ESTABLISHED Overrun([0, 904))"]);
}

#[test]
fn three_monitors_are_passed_in_the_direction_of_travel_one_after_the_other() {
    let mut w = World::new(small());
    monitors(&mut w, 3);
    let mut x = exchange();
    let [syn, syn_ack, ack] = x.handshake();
    w.send(&[syn]);
    // Packet, start and state of one monitor before those of the next; the sender's hook of all before the receiver's.
    assert_eq!(numbers(&w.take()), "111222333111222333");
    w.send(&[syn_ack]);
    assert_eq!(numbers(&w.take()), "321332211");
    w.send(&[ack]);
    w.take();
    // What has no direction comes in the order of creation: new data, errors, the end.
    w.send(&[x.data(Side::Server, b"reply")]);
    assert_eq!(numbers(&w.take()[6..]), "123");
    let far = x.seq(Side::Server).wrapping_add(100_000);
    w.send(&[x.segment_at(Side::Server, far, x.seq(Side::Client), Flags::ACK, b"far")]);
    let lines = w.take();
    let errors: Vec<_> = lines.iter().filter(|line| line.contains(" error ")).cloned().collect();
    assert_eq!(numbers(&errors), "123");
    w.send(&[x.segment(Side::Server, Flags::RST, b"")]);
    let lines = w.take();
    let ends: Vec<_> = lines.iter().filter(|line| line.contains(" conn_end ")).cloned().collect();
    assert_eq!(numbers(&ends), "123123123123");
}

#[test]
fn a_monitor_gets_the_connections_that_its_filter_matches_and_no_others() {
    let mut w = World::new(small());
    let second = monitors(&mut w, 2)[1];
    w.engine.bind(second, FilterSlot::Syn, Some("src port 2".parse().unwrap())).unwrap();
    let seen: Vec<_> = (1..=4)
        .map(|port| {
            let mut x = other(port);
            w.send(&x.handshake());
            w.send(&[x.data(Side::Client, b"data")]);
            w.send(&x.close(Side::Client));
            let lines = w.take();
            [1, 2].map(|n| lines.iter().any(|line| line.starts_with(&format!("#{n} "))))
        })
        .collect();
    // Also after it matched one.
    assert_eq!(seen, [[true, false], [true, true], [true, false], [true, false]]);
    assert_eq!(w.engine.socket_count(), 2);
}

/// An ICMP echo request, a UDP datagram: IPv4 packets that are not TCP.
fn others() -> [Vec<u8>; 2] {
    [1, 17].map(|protocol| {
        let mut frame = exchange().handshake()[0][..14 + 20 + 8].to_vec();
        frame[16..18].copy_from_slice(&28_u16.to_be_bytes());
        frame[23] = protocol;
        frame[38..40].copy_from_slice(&8_u16.to_be_bytes());
        frame
    })
}

#[test]
fn raw_sockets_see_each_packet_once_whatever_it_is_and_whoever_else_listens() {
    let v6 = Exchange::new("[fd00::1]:1".parse().unwrap(), "[fd00::2]:80".parse().unwrap(), Sides::default());
    let mut packets: Vec<_> = exchange().handshake().into();
    packets.extend(v6.clone().handshake());
    packets.extend(others());
    packets.extend(cut(&v6.clone().data(Side::Client, &[0; 40]), 24, 9));
    let filters = [(None, 11), (Some("ip"), 5), (Some("ip6"), 6), (Some("tcp"), 6 + 3), (Some("udp"), 1)];
    for with_stream in [false, true] {
        let mut engine = Engine::<Log>::new(small()).unwrap();
        let mut expected = 0;
        if with_stream {
            let stream = engine.open(SocketKind::Stream).unwrap();
            engine.register(stream, Event::ConnStart, Hook::Sender, |_| {}, 9).unwrap();
        }
        for (token, (filter, count)) in (1..).zip(filters) {
            let raw = engine.open(SocketKind::Raw).unwrap();
            engine.bind(raw, FilterSlot::Packet, filter.map(|f| f.parse().unwrap())).unwrap();
            engine.register(raw, Event::PacketIn, Hook::None, note, token).unwrap();
            expected += count;
        }
        let mut log = Log::default();
        let mut burst: Vec<_> =
            (1..).zip(&packets).map(|(t, data)| Frame::ethernet(Instant(t), data)).collect();
        engine.process_burst(&mut burst, &mut log);
        let counts = (1..).zip(filters).map(|(token, (filter, _))| {
            let own = format!("#{token} packet_in none -");
            (filter, log.lines.iter().filter(|line| line.starts_with(&own)).count())
        });
        assert_eq!(counts.collect::<Vec<_>>(), filters, "with a stream socket: {with_stream}");
        assert_eq!(log.lines.len(), expected);
    }
}

#[test]
fn a_tcp_segment_of_no_connection_is_an_orphan_to_stream_and_raw_sockets() {
    let mut w = World::new(Config { max_flows: 1, ..small() });
    w.on(Event::Orphan, Hook::None, note);
    w.engine.bind(w.socket, FilterSlot::Syn, Some("dst port 80".parse().unwrap())).unwrap();
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    w.engine.register(raw, Event::Orphan, Hook::None, note, 2).unwrap();
    let both = ["orphan none - -/-", "#2 orphan none - -/-"];
    let mut x = exchange();
    // Not the beginning of anything.
    let frames = [x.ack(Side::Client), x.segment(Side::Server, Flags::RST, b""), x.data(Side::Client, b"?")];
    for frame in frames {
        w.send(&[frame]);
        assert_eq!(w.take(), both);
    }
    // A beginning that no filter matches.
    let unwatched =
        Exchange::new(CLIENT.parse().unwrap(), "10.0.0.1:81".parse().unwrap(), Sides::default()).handshake();
    w.send(&unwatched[..1]);
    assert_eq!(w.take(), both);
    // A beginning for which there is no room.
    let mut x = exchange();
    w.send(&x.handshake());
    assert!(w.take().is_empty(), "what is tracked is no orphan");
    w.send(&[other(1).handshake()[0].clone()]);
    assert_eq!(w.take(), both);
    // What comes after the end.
    w.send(&x.close(Side::Client));
    assert!(w.take().is_empty());
    w.send(&[x.ack(Side::Server)]);
    assert_eq!(w.take(), both);
    // Neither what is not TCP nor what is damaged.
    let mut damaged = x.ack(Side::Client);
    *damaged.last_mut().unwrap() ^= 1;
    w.send(&[&others()[..], &[damaged]].concat());
    assert!(w.take().is_empty());
}

#[test]
fn stopping_in_the_very_first_hook_concerns_the_sides_that_are_named() {
    let run = |stop: Handler<Log>| {
        let mut w = listening();
        w.on(Event::ConnStart, Hook::Sender, stop);
        let mut x = exchange();
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"ask"), x.data(Side::Server, b"reply")]);
        w.send(&x.close(Side::Client));
        let lines = short(&w.take());
        let of = |side: &str| lines.iter().filter(|line| line.ends_with(side)).count();
        let ends = lines.iter().filter(|line| line.starts_with("conn_end")).count();
        assert_eq!((w.engine.flow_count(), w.engine.socket_count()), (0, 1));
        (of("client"), of("server"), ends)
    };
    let stop_client: Handler<Log> = |c| c.monitor().unwrap().stop(Some(Side::Client)).unwrap();
    let stop_server: Handler<Log> = |c| c.monitor().unwrap().stop(Some(Side::Server)).unwrap();
    let stop_both: Handler<Log> = |c| c.monitor().unwrap().stop(None).unwrap();
    // The hook at hand runs to its end: packet, (start,) state of the SYN.
    let (client, server, ends) = run(stop_client);
    assert!(client == 2 && server > 10 && ends == 2, "{client} {server} {ends}");
    let (client, server, ends) = run(stop_server);
    assert!(client > 10 && server == 0 && ends == 2, "{client} {server} {ends}");
    // After the packet the connection is none: its other packets are orphans, which have no side.
    assert_eq!(run(stop_both), (2, 0, 0));
}

#[test]
fn one_monitor_that_stops_leaves_the_connection_to_the_others() {
    fn stop(ctx: &mut Context<'_, Log>) {
        ctx.monitor().unwrap().stop(None).unwrap();
    }
    for stopped in 0..3 {
        let mut w = World::new(small());
        let all = monitors(&mut w, 3);
        w.engine.register(all[stopped], Event::NewData, Hook::None, stop, 0).unwrap();
        let mut x = exchange();
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"ask")]);
        w.take();
        w.send(&[x.data(Side::Server, b"reply")]);
        w.send(&x.close(Side::Client));
        let lines = w.take();
        let seen = [1, 2, 3].map(|n| {
            let own =
                |what: &str| lines.iter().filter(|line| line.starts_with(&format!("#{n} {what}"))).count();
            (own("packet_in"), own("conn_end"))
        });
        let mut expected = [(8, 4); 3];
        expected[stopped] = (0, 0);
        assert_eq!(seen, expected);
    }
}

#[test]
fn a_closed_monitor_watches_its_connections_to_their_end_and_no_others() {
    let mut w = World::new(small());
    let all = monitors(&mut w, 2);
    let mut x = exchange();
    w.send(&x.handshake());
    w.engine.close(all[0]).unwrap();
    w.take();
    w.send(&[x.data(Side::Client, b"ask")]);
    assert_eq!(numbers(&w.take()), "121212");
    let mut y = other(1);
    w.send(&y.handshake());
    assert!(w.take().iter().all(|line| line.starts_with("#2 ")));
    w.send(&x.close(Side::Client));
    let lines = w.take();
    let ends: Vec<_> = lines.iter().filter(|line| line.contains(" conn_end ")).cloned().collect();
    assert_eq!(numbers(&ends), "12121212");
    assert_eq!(w.engine.socket_count(), 2, "the monitor, and its socket on the other connection");
    // A monitor may close itself in a hook of its connection.
    fn close(ctx: &mut Context<'_, Log>) {
        let monitor = ctx.token() as u32;
        if let Some(monitor) = ctx.control().socket_at(monitor) {
            let _ = ctx.control().close(monitor);
        }
        note(ctx);
    }
    let mut w = World::new(small());
    let index = w.socket.index();
    w.engine.register(w.socket, Event::ConnStart, Hook::Sender, close, index as usize).unwrap();
    w.on(Event::ConnEnd, Hook::Receiver, note);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&x.close(Side::Client));
    assert_eq!(short(&w.take()).len(), 3);
    w.send(&other(1).handshake());
    assert_eq!((w.take().len(), w.engine.flow_count()), (0, 0));
}

#[test]
fn a_packet_is_dropped_by_whoever_is_told_while_it_is_in_flight() {
    fn refuse(ctx: &mut Context<'_, Log>) {
        ctx.drop_packet();
        note(ctx);
    }
    let drops = |event, hook, frames: &dyn Fn(&mut Exchange) -> Vec<Vec<u8>>| {
        let mut x = exchange();
        let mut w = World::new(small());
        w.on(event, hook, refuse);
        w.send(&x.handshake());
        w.take();
        let verdicts = w.send(&frames(&mut x));
        assert!(!w.take().is_empty(), "{event} is told");
        verdicts.iter().filter(|verdict| **verdict == Verdict::Drop).count()
    };
    let data = |x: &mut Exchange| vec![x.data(Side::Client, b"data")];
    let far = |x: &mut Exchange| {
        let seq = x.seq(Side::Client).wrapping_add(1 << 20);
        vec![x.segment_at(Side::Client, seq, x.seq(Side::Server), Flags::ACK, b"far")]
    };
    let more_than_the_ring = |x: &mut Exchange| vec![x.data(Side::Client, &[0; 5000])];
    assert_eq!(drops(Event::PacketIn, Hook::Sender, &data), 1);
    assert_eq!(drops(Event::PacketIn, Hook::Receiver, &data), 1);
    assert_eq!(drops(Event::Error, Hook::None, &far), 1);
    assert_eq!(drops(Event::Error, Hook::None, &more_than_the_ring), 1);
    // After the burst its packets are gone.
    assert_eq!(drops(Event::NewData, Hook::None, &data), 0);
}
