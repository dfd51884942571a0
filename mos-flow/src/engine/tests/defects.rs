//! Defects of the original that concern monitoring, by the numbers under which the project keeps them, and the test of what
//! happens here instead. Those without a module are below.
//!
//! 1. reading a drained or holed stream ends the process: `a_drained_or_holed_stream_has_nothing_to_read`
//! 2. bad descriptors reach outside the tables: `stale_and_invented_handles_are_refused_everywhere`
//! 3. a full ring reads as other memory: `a_ring_that_is_exactly_full_is_read_whole`
//! 4. the last copy takes octets from behind the packet: `the_last_copy_replaces_no_more_than_its_own_octets`
//! 5. a packet is copied to 1514 octets: `a_packet_is_shown_whole_whatever_its_size`
//! 6. no memory; the other side does not exist yet; the wrong kind of socket:
//!    `super::without_stream_memory_octets_are_refused_counted_and_told`,
//!    `everything_can_be_asked_in_the_very_first_hook`, `a_monitor_is_no_connection`
//! 7. new data of streams that ended in the same burst:
//!    `super::sockets::a_connection_that_ends_does_not_take_the_news_of_others_along`,
//!    `super::both_streams_are_read_to_the_last_octet_also_within_one_burst`
//! 8. the second end finds the first side freed; so do time-outs, and a failed start:
//!    `super::order::streams_states_and_the_users_word_are_there_in_both_ends`,
//!    `connections_that_time_out_together_end_once_each`, `super::a_full_table_makes_orphans_and_is_counted`
//! 9. the last packet is read after it is gone: `a_timer_that_fires_between_packets_has_none`,
//!    `super::order::new_data_ends_and_timers_have_no_packet_and_hooks_and_errors_do`
//! 10. the list of ranges overruns its room: `ranges_fill_the_room_there_is`
//! 11. lengths of frames and headers are believed: `frames_that_are_cut_anywhere_are_followed_as_far_as_they_go`,
//!     tests of `crate::wire`
//! 12. the end of all leaves structures behind: `super::time_outs_end_connections_client_first`,
//!     `after_shutdown_nothing_is_left_and_the_engine_goes_on`
//! 13. a handler cannot be replaced or removed (for events of users: tests of the forest):
//!     `super::sockets::a_change_of_handlers_takes_effect_with_the_next_hook`,
//!     `super::a_connection_keeps_the_handlers_its_monitor_had_at_the_syn`
//! 14. stopping both sides does nothing, stopping one stops the time-out:
//!     `super::order::stopping_in_the_very_first_hook_concerns_the_sides_that_are_named`,
//!     `a_connection_of_which_one_side_is_watched_lives_by_both`
//! 15. a filter that matched once matches for ever:
//!     `super::order::a_monitor_gets_the_connections_that_its_filter_matches_and_no_others`
//! 16. a hole is for ever; the window is that of the ring; an early FIN is lost; news of half-closed streams and
//!     before the end: `super::acknowledged_holes_are_skipped_when_patience_ends`,
//!     `super::a_filled_hole_delivers_more_than_the_ring_holds`, `a_fin_that_comes_early_counts_when_its_turn_comes`,
//!     `super::order::new_data_is_told_in_every_state_that_takes_octets`,
//!     `super::order::new_data_of_both_streams_is_told_before_the_end`
//! 17. one busy connection keeps idle ones; half-open ones stay; floods: `a_busy_connection_keeps_no_idle_one`,
//!     `super::limits::a_handshake_has_its_time_from_the_first_segment_on`,
//!     `super::crowd::a_flood_of_syns_takes_the_oldest_handshakes_and_leaves_the_established`
//! 18. any RST is believed, no number is checked, ports that are used again are not seen:
//!     `super::order::what_the_receiver_does_not_take_passes_both_hooks_and_changes_no_state`,
//!     `super::time_wait_and_reuse_of_the_ports`, tests of `tcp-reasm`
//! 19. offsets of packets and streams are wrong:
//!     `crate::monitor::tests::pieces_are_lent_up_to_a_limit_and_sequence_numbers_have_offsets`,
//!     `super::reading_by_offset_tells_what_is_there`
//! 20. a repeated SYN starts the connection again:
//!     `super::order::a_repeated_syn_starts_nothing_and_is_a_retransmission`
//! 21. raw sockets see packets twice or not at all:
//!     `super::order::raw_sockets_see_each_packet_once_whatever_it_is_and_whoever_else_listens`
//!
//! Numbers 22 to 25 are of end hosts, of the C interface, of the spreading over cores, and of the build.

use super::*;
use std::iter::once;

/// The active socket of the only connection.
fn active(w: &World) -> SocketId {
    let mut all = (0..8).filter_map(|index| w.engine.socket_at(index));
    all.find(|id| *id != w.socket).unwrap()
}

/// All that was told of one connection, and the world after it.
fn established(config: Config) -> (World, Exchange) {
    let (mut w, mut x) = (World::new(config), exchange());
    w.send(&x.handshake());
    (w, x)
}

#[test]
fn a_drained_or_holed_stream_has_nothing_to_read() {
    let (mut w, mut x) = established(small());
    let socket = active(&w);
    let peek = |w: &mut World| {
        let mut buf = [0; 16];
        w.engine.monitor(socket).unwrap().peek(Side::Server, &mut buf)
    };
    assert_eq!(peek(&mut w), Ok(Peek::Empty), "nothing came yet");
    w.send(&[x.data(Side::Client, b"data")]);
    assert_eq!(peek(&mut w), Ok(Peek::Data(Range::new(0, 4))));
    assert_eq!(peek(&mut w), Ok(Peek::Empty), "drained");
    let hole = x.data(Side::Client, b"hole");
    w.send(&[x.data(Side::Client, b"early")]);
    assert_eq!(peek(&mut w), Ok(Peek::Empty), "holed");
    w.send(&[hole]);
    assert_eq!(peek(&mut w), Ok(Peek::Data(Range::new(4, 13))));
    w.send(&[x.segment(Side::Client, Flags::FIN | Flags::ACK, b"")]);
    assert_eq!(peek(&mut w), Ok(Peek::Empty), "a bare FIN brings nothing");
}

#[test]
fn stale_and_invented_handles_are_refused_everywhere() {
    let (mut w, mut x) = established(small());
    let gone = active(&w);
    w.send(&x.close(Side::Client));
    let invented = [0, 1, 1 << 32, u64::MAX, gone.to_bits() + (1 << 32)].map(SocketId::from_bits);
    for id in once(gone).chain(invented).filter(|id| *id != w.socket) {
        let engine = &mut w.engine;
        assert_eq!(engine.monitor(id).err(), Some(SocketError::NoSocket));
        assert_eq!(engine.close(id), Err(SocketError::NoSocket));
        assert_eq!(engine.bind(id, FilterSlot::Syn, None), Err(SocketError::NoSocket));
        let (event, hook) = (Event::ConnEnd, Hook::Sender);
        assert_eq!(engine.register(id, event, hook, note, 0), Err(SocketError::NoSocket));
        assert_eq!(engine.unregister(id, event, hook), Err(SocketError::NoSocket));
    }
    // The slot has a new tenant: the old handle does not mean it.
    let mut y = other(1);
    w.send(&y.handshake());
    assert!(w.engine.monitor(gone).is_err() && w.engine.monitor(active(&w)).is_ok());
}

#[test]
fn a_ring_that_is_exactly_full_is_read_whole() {
    let octets: Vec<u8> = (0..4096 * 2_u32).map(|n| (n / 7) as u8).collect();
    let (mut w, mut x) = established(small());
    let socket = active(&w);
    for (n, part) in octets.chunks(1024).enumerate() {
        w.send(&[x.data(Side::Client, part)]);
        let end = (n + 1) * 1024;
        let held = &octets[end.saturating_sub(4096)..end];
        let mut buf = [0; 5000];
        let at = Offset((end - held.len()) as u64);
        let monitor = w.engine.monitor(socket).unwrap();
        assert_eq!(monitor.ppeek(Side::Server, at, &mut buf), Ok(held.len()));
        assert_eq!(&buf[..held.len()], held);
    }
    let mut buf = [0; 5000];
    let mut monitor = w.engine.monitor(socket).unwrap();
    assert_eq!(monitor.peek(Side::Server, &mut buf), Ok(Peek::Lost(Range::new(0, 4096))));
    assert_eq!(monitor.peek(Side::Server, &mut buf), Ok(Peek::Data(Range::new(4096, 8192))));
    assert_eq!(&buf[..4096], &octets[4096..]);
}

#[test]
fn the_last_copy_replaces_no_more_than_its_own_octets() {
    let (mut w, mut x) = established(Config { overlap: Overlap::Last.into(), ..small() });
    let socket = active(&w);
    let (base, ack) = (x.seq(Side::Client), x.seq(Side::Server));
    let _before = x.data(Side::Client, &[0; 100]);
    let range = x.data(Side::Client, &[b'A'; 20]);
    let inside = x.segment_at(Side::Client, base.wrapping_add(105), ack, Flags::ACK, b"xyz");
    w.send(&[range, inside]);
    let mut buf = [0; 64];
    let monitor = w.engine.monitor(socket).unwrap();
    assert_eq!(monitor.ppeek(Side::Server, Offset(100), &mut buf), Ok(20));
    assert_eq!(text(&buf[..20]), "AAAAAxyzAAAAAAAAAAAA");
}

#[test]
fn a_packet_is_shown_whole_whatever_its_size() {
    fn measure(ctx: &mut Context<'_, Log>) {
        let packet = ctx.packet().unwrap();
        let (frame, segment) = (packet.frame.data.len(), packet.segment.unwrap());
        let sum: u64 = segment.payload.iter().map(|octet| u64::from(*octet)).sum();
        let line = format!("{frame} {} {sum}", segment.payload.len());
        ctx.app().lines.push(line);
    }
    let (mut w, mut x) = (World::new(small()), exchange());
    w.on(Event::PacketIn, Hook::Receiver, measure);
    w.send(&x.handshake());
    w.take();
    for len in [1, 1460, 1461, 8960, 60_000, 65_495] {
        w.send(&[x.data(Side::Client, &vec![2; len]), x.ack(Side::Server)]);
        assert_eq!(w.take()[0], format!("{} {len} {}", 54 + len, 2 * len));
    }
}

#[test]
fn everything_can_be_asked_in_the_very_first_hook() {
    fn ask(ctx: &mut Context<'_, Log>) {
        let mut m = ctx.monitor().unwrap();
        assert_eq!(Side::BOTH.map(|side| m.state(side).unwrap()), [State::SynSent, State::Listen]);
        assert_eq!(m.address(Side::Client).unwrap().to_string(), CLIENT);
        assert_eq!(m.address(Side::Server).unwrap().to_string(), SERVER);
        assert_eq!((m.end_reason(), m.user(), m.flow_number()), (Ok(None), Ok(0), Ok(0)));
        assert!(m.last_packet().is_ok_and(|time| time > Instant(0)));
        for (side, error) in
            [(Side::Client, SocketError::NotConnected), (Side::Server, SocketError::Disabled)]
        {
            let mut buf = [0; 4];
            assert_eq!(m.peek(side, &mut buf), Err(error));
            assert_eq!(m.ppeek(side, Offset(0), &mut buf), Err(error));
            assert_eq!(m.fragments(side, &mut []), Err(error));
            assert_eq!(m.stream_info(side).err(), Some(error));
            assert_eq!(m.cursor(side), Ok(Offset(0)));
            assert_eq!(m.set_overlap(side, Overlap::Last), Ok(()));
        }
        assert_eq!(m.disable_buffer(Side::Client), Ok(()));
        ctx.app().lines.push("asked".into());
    }
    let (mut w, mut x) = (World::new(small()), exchange());
    w.on(Event::PacketIn, Hook::Sender, |ctx| {
        if ctx.app().lines.is_empty() {
            ask(ctx);
        }
    });
    w.on(Event::ConnEnd, Hook::Receiver, read);
    w.send(&x.handshake());
    assert_eq!(w.take(), ["asked"]);
    // What was set counts.
    let (seq, ack) = (x.seq(Side::Client), x.seq(Side::Server));
    w.log.lines.push("not asked again".into());
    w.send(&[x.data(Side::Client, b"first"), x.segment_at(Side::Client, seq, ack, Flags::ACK, b"again")]);
    w.send(&[x.data(Side::Server, b"reply")]);
    let mut buf = [0; 8];
    let monitor = w.engine.monitor(active(&w)).unwrap();
    assert_eq!(monitor.ppeek(Side::Server, Offset(0), &mut buf), Ok(5));
    assert_eq!(text(&buf[..5]), "again");
    assert_eq!(monitor.ppeek(Side::Client, Offset(0), &mut buf), Err(SocketError::Disabled));
}

#[test]
fn a_monitor_is_no_connection() {
    let mut w = World::new(small());
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    let wrong = Some(SocketError::WrongKind);
    for socket in [w.socket, raw] {
        let mut m = w.engine.monitor(socket).unwrap();
        let side = Side::Server;
        assert_eq!((m.state(side).err(), m.address(side).err()), (wrong, wrong));
        assert_eq!((m.stream_info(side).err(), m.fragments(side, &mut []).err()), (wrong, wrong));
        assert_eq!((m.peek(side, &mut [0]).err(), m.ppeek(side, Offset(0), &mut [0]).err()), (wrong, wrong));
        assert_eq!(
            (m.flow_number().err(), m.last_packet().err(), m.end_reason().err()),
            (wrong, wrong, wrong)
        );
        // Settings of a stream socket are for the connections that it will watch.
        let none = wrong.filter(|_| socket == raw);
        assert_eq!((m.stop(Some(side)).err(), m.disable_buffer(side).err()), (none, none));
        assert_eq!(m.set_overlap(side, Overlap::First).err(), none);
    }
}

#[test]
fn connections_that_time_out_together_end_once_each() {
    // A handler that ends all others while they are gone through.
    fn stop_neighbours(ctx: &mut Context<'_, Log>) {
        note(ctx);
        for socket in (0..64).filter_map(|index| ctx.control().socket_at(index)).collect::<Vec<_>>() {
            let odd = ctx.monitor_at(socket).ok().filter(|m| m.flow_number().is_ok_and(|n| n % 2 == 1));
            if let Some(mut monitor) = odd {
                monitor.stop(None).unwrap();
            }
        }
    }
    for (handler, ends) in [(note as Handler<Log>, 2 * 20), (stop_neighbours, 2 * 10)] {
        let mut w = World::new(small());
        w.on(Event::ConnEnd, Hook::Receiver, handler);
        let mut burst = Vec::new();
        (1..=20).for_each(|port| burst.extend(other(port).handshake()));
        w.send(&burst);
        w.wait(Duration::from_secs(1_000));
        assert_eq!((w.take().len(), w.engine.flow_count(), w.engine.socket_count()), (ends, 0, 1));
    }
}

#[test]
fn a_timer_that_fires_between_packets_has_none() {
    fn tick(ctx: &mut Context<'_, Log>) {
        let none = ctx.packet().is_none() && ctx.event().is_none() && ctx.side().is_none();
        let no_socket = ctx.monitor().is_err() && ctx.split().is_err();
        ctx.app().lines.push(format!("{none} {no_socket}"));
    }
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, |ctx| {
        ctx.control().start_timer(Duration::ZERO, tick, 0);
    });
    w.on(Event::ConnEnd, Hook::Sender, note);
    let mut x = exchange();
    let mut burst: Vec<_> = x.handshake().into();
    // A millisecond from one to the next: the timer is due inside the burst.
    burst.extend((0..20).map(|_| x.ack(Side::Client)));
    burst.push(x.segment(Side::Client, Flags::RST, b""));
    w.send(&burst);
    assert_eq!(w.take()[0], "true true");
}

#[test]
fn ranges_fill_the_room_there_is() {
    let (mut w, mut x) = established(small());
    let socket = active(&w);
    for _ in 0..5 {
        let _missing = x.data(Side::Client, b"..");
        w.send(&[x.data(Side::Client, b"xyz")]);
    }
    let all: Vec<_> = (0..5).map(|n| Range::new(5 * n + 2, 5 * n + 5)).collect();
    for room in 0..8 {
        let mut ranges = vec![Range::new(77, 78); room];
        let monitor = w.engine.monitor(socket).unwrap();
        let count = monitor.fragments(Side::Server, &mut ranges).unwrap();
        assert_eq!(count, room.min(5));
        assert_eq!(ranges[..count], all[..count]);
        assert!(ranges[count..].iter().all(|range| *range == Range::new(77, 78)));
    }
}

#[test]
fn frames_that_are_cut_anywhere_are_followed_as_far_as_they_go() {
    let mut x = exchange();
    let (handshake, data) = (x.handshake(), x.data(Side::Client, b"payload"));
    let headers = data.len() - 7;
    for len in 0..data.len() {
        let mut w = World::new(small());
        w.on(Event::Retransmission, Hook::Receiver, note).on(Event::ConnEnd, Hook::Receiver, read);
        w.send(&handshake);
        let frame =
            Frame { wire_len: data.len() as u32, ..Frame::ethernet(Instant(w.clock + 1), &data[..len]) };
        w.engine.process_burst(&mut [frame], &mut w.log);
        w.engine.check();
        let followed = w.engine.stats().segments - 3;
        assert_eq!((followed, w.engine.stats().drops.total()), if len < headers { (0, 1) } else { (1, 0) });
        // What was not captured is missing, not made up.
        w.engine.shutdown(&mut w.log);
        assert!(b"payload".starts_with(&w.log.streams.server[..]), "{:?}", w.log.streams.server);
        assert_eq!(w.log.streams.server.len(), len.saturating_sub(headers));
    }
}

#[test]
fn after_shutdown_nothing_is_left_and_the_engine_goes_on() {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    for round in 0..2 {
        let mut x = other(1);
        w.send(&x.handshake());
        w.send(&[x.data(Side::Client, b"held")]);
        w.engine.shutdown(&mut w.log);
        w.engine.check();
        assert_eq!((w.engine.flow_count(), w.engine.socket_count(), w.engine.chunks().0), (0, 1, 0));
        let lines = w.take();
        assert!(lines[0].starts_with("packet_in sender client SYN-SENT"), "{round}");
        assert!(lines.last().unwrap().starts_with("conn_end sender server"));
    }
}

#[test]
fn a_connection_of_which_one_side_is_watched_lives_by_both() {
    for (stopped, speaks) in [(0, Side::Client), (0, Side::Server), (1, Side::Client), (1, Side::Server)] {
        let timeouts = Timeouts { idle: Duration::from_secs(10), ..small().timeouts };
        let mut w = World::new(Config { timeouts, ..small() });
        w.on(Event::ConnEnd, Hook::Receiver, note);
        let stop: Handler<Log> = |ctx| {
            let side = ctx.token();
            ctx.monitor().unwrap().stop(Some(Side::BOTH[side])).unwrap();
        };
        w.engine.register(w.socket, Event::ConnStart, Hook::Sender, stop, stopped).unwrap();
        let mut x = exchange();
        w.send(&x.handshake());
        for _ in 0..5 {
            w.wait(Duration::from_secs(9));
            w.send(&[x.ack(speaks)]);
        }
        assert_eq!((w.engine.flow_count(), w.take().len()), (1, 0), "any packet keeps it");
        w.wait(Duration::from_secs(11));
        let watched = Side::BOTH[1 - stopped];
        assert_eq!(w.take(), [format!("conn_end receiver {watched} CLOSED/CLOSED")]);
        assert_eq!(w.engine.flow_count(), 0);
    }
}

#[test]
fn a_fin_that_comes_early_counts_when_its_turn_comes() {
    let (mut w, mut x) = established(small());
    w.on_everything(w.socket);
    let socket = active(&w);
    let data = x.data(Side::Client, b"data");
    let fin = x.segment(Side::Client, Flags::FIN | Flags::ACK, b"");
    let state = |w: &mut World| w.engine.monitor(socket).unwrap().state(Side::Server).unwrap();
    w.send(&[fin]);
    assert_eq!(state(&mut w), State::Established);
    w.send(&[data]);
    assert_eq!(state(&mut w), State::CloseWait);
    let last = x.segment(Side::Server, Flags::FIN | Flags::ACK, b"");
    w.send(&[last, x.ack(Side::Client)]);
    assert_eq!(w.engine.flow_count(), 0, "no repetition is needed");
}

#[test]
fn a_busy_connection_keeps_no_idle_one() {
    let timeouts = Timeouts { idle: Duration::from_secs(10), ..small().timeouts };
    let mut w = World::new(Config { timeouts, ..small() });
    let mut busy = other(1);
    w.send(&busy.handshake());
    (2..=10).for_each(|port| drop(w.send(&other(port).handshake())));
    for _ in 0..3 {
        w.wait(Duration::from_secs(4));
        w.send(&[busy.data(Side::Client, b"busy")]);
    }
    assert_eq!(w.engine.flow_count(), 1);
}
