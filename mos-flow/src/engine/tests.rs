mod clash;
mod crowd;
mod datagram;
mod defects;
mod events;
mod hostile;
mod limits;
mod octets;
mod order;
mod packets;
mod rest;
mod rules;
mod send;
mod short;
mod streams;

mod sockets;

use super::follow::segment_of;
use super::*;
use crate::context::Handler;
use crate::testing::{Exchange, fragments};
use crate::{
    Context, EndReason, Event, Hook, Offset, Overlap, Patience, Peek, Range, Retention, Side, Sides, State,
    Timeouts, Trouble,
};
use core::time::Duration;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};
use tcp_reasm::Flags;

/// What the handlers of these tests write down.
#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    /// Octets read by [`read`], by receiving side.
    streams: Sides<Vec<u8>>,
    ends: Vec<Option<EndReason>>,
}

struct World {
    engine: Engine<Log>,
    log: Log,
    /// Microseconds.
    clock: u64,
    socket: SocketId,
}

const CLIENT: &str = "10.0.0.2:40000";
const SERVER: &str = "10.0.0.1:80";

fn exchange() -> Exchange {
    let isn = Sides { client: u32::MAX - 2, server: 5000 };
    Exchange::new(CLIENT.parse().unwrap(), SERVER.parse().unwrap(), isn)
}

/// The start of one of many connections.
fn other(port: u16) -> Exchange {
    Exchange::new(format!("10.0.0.9:{port}").parse().unwrap(), SERVER.parse().unwrap(), Sides::default())
}

/// A new connection between the ports of [`exchange`].
fn successor() -> Exchange {
    let isn = Sides { client: 123_456, server: 654_321 };
    Exchange::new(CLIENT.parse().unwrap(), SERVER.parse().unwrap(), isn)
}

fn small() -> Config {
    Config {
        max_flows: 64,
        max_sockets: 256,
        max_buffers: 64,
        chunks: 256,
        ring_octets: 4096,
        ..Config::default()
    }
}

impl World {
    fn new(config: Config) -> Self {
        let mut engine = Engine::new(config).unwrap();
        let socket = engine.open(SocketKind::Stream).unwrap();
        World { engine, log: Log::default(), clock: 1_000_000, socket }
    }

    fn on(&mut self, event: Event, hook: Hook, handler: Handler<Log>) -> &mut Self {
        self.engine.register(self.socket, event, hook, handler, 0).unwrap();
        self
    }

    /// A handler that writes every event down, everywhere.
    fn on_everything(&mut self, socket: SocketId) {
        self.register_everywhere(socket, note, 0);
    }

    /// One handler for all that a stream socket is told.
    fn register_everywhere(&mut self, socket: SocketId, handler: Handler<Log>, token: usize) {
        for event in Event::ALL {
            for hook in Hook::ALL {
                let rare =
                    matches!((event, hook), (Event::PacketIn, Hook::None) | (Event::NewData, Hook::Receiver));
                if event.is_allowed_at(hook) && !rare {
                    self.engine.register(socket, event, hook, handler, token).unwrap();
                }
            }
        }
    }

    /// One burst, each frame a millisecond after the other. Returns the verdicts.
    fn send(&mut self, frames: &[Vec<u8>]) -> Vec<Verdict> {
        let mut burst: Vec<Frame<'_>> = Vec::new();
        for data in frames {
            self.clock += 1000;
            burst.push(Frame::ethernet(Instant(self.clock), data));
        }
        self.engine.process_burst(&mut burst, &mut self.log);
        self.engine.check();
        burst.iter().map(|f| f.verdict).collect()
    }

    /// One burst. Returns what is sent on for each frame.
    fn pass(&mut self, frames: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
        let mut burst: Vec<Frame<'_>> = Vec::new();
        for data in frames {
            self.clock += 1000;
            burst.push(Frame::ethernet(Instant(self.clock), data));
        }
        self.engine.process_burst(&mut burst, &mut self.log);
        self.engine.check();
        burst.iter().map(|f| self.engine.output(f).map(<[u8]>::to_vec).collect()).collect()
    }

    fn wait(&mut self, time: Duration) {
        self.clock += crate::time::micros(time);
        self.engine.handle_timeout(Instant(self.clock), &mut self.log);
        self.engine.check();
    }

    fn take(&mut self) -> Vec<String> {
        core::mem::take(&mut self.log.lines)
    }
}

fn note(ctx: &mut Context<'_, Log>) {
    let event = ctx.event().map_or("timer", Event::name);
    let (hook, side) = (ctx.hook().name(), ctx.side().map_or("-".into(), |s| s.to_string()));
    let trouble = ctx.trouble().map_or(String::new(), |t| format!(" {t:?}"));
    let states = match ctx.monitor() {
        Ok(m) => Side::BOTH.map(|s| m.state(s).map_or("-", State::name)).join("/"),
        Err(_) => "-".into(),
    };
    let socket = ctx.token();
    let prefix = if socket == 0 { String::new() } else { format!("#{socket} ") };
    ctx.app().lines.push(format!("{prefix}{event} {hook} {side} {states}{trouble}"));
}

/// Reads all that is new.
fn read(ctx: &mut Context<'_, Log>) {
    let side = ctx.side().unwrap();
    let Ok((log, mut monitor)) = ctx.split() else { return };
    let mut buf = [0; 100];
    loop {
        match monitor.peek(side, &mut buf).unwrap() {
            Peek::Data(range) => log.streams[side].extend_from_slice(&buf[..range.len() as usize]),
            Peek::Lost(range) => log.lines.push(format!("lost {range}")),
            Peek::Empty => return,
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_whole_connection_event_by_event() {
    let mut w = World::new(small());
    w.on_everything(w.socket);
    let mut x = exchange();
    let burst = x.handshake();
    w.send(&burst);
    // Within a hook: the packet, the start, the state. The sender's hook runs before the receiver knows.
    assert_eq!(
        w.take(),
        [
            "packet_in sender client SYN-SENT/LISTEN",
            "conn_start sender client SYN-SENT/LISTEN",
            "state_change sender client SYN-SENT/LISTEN",
            "packet_in receiver server SYN-SENT/SYN-RECEIVED",
            "conn_start receiver server SYN-SENT/SYN-RECEIVED",
            "state_change receiver server SYN-SENT/SYN-RECEIVED",
            "packet_in sender server SYN-SENT/SYN-RECEIVED",
            "packet_in receiver client ESTABLISHED/SYN-RECEIVED",
            "state_change receiver client ESTABLISHED/SYN-RECEIVED",
            "packet_in sender client ESTABLISHED/SYN-RECEIVED",
            "packet_in receiver server ESTABLISHED/ESTABLISHED",
            "state_change receiver server ESTABLISHED/ESTABLISHED",
        ]
    );
    // New data is announced once, after the burst, to the side that receives it.
    let burst = [x.data(Side::Client, b"one "), x.data(Side::Client, b"two")];
    w.send(&burst);
    assert_eq!(
        w.take(),
        [
            "packet_in sender client ESTABLISHED/ESTABLISHED",
            "packet_in receiver server ESTABLISHED/ESTABLISHED",
            "packet_in sender client ESTABLISHED/ESTABLISHED",
            "packet_in receiver server ESTABLISHED/ESTABLISHED",
            "new_data none server ESTABLISHED/ESTABLISHED",
        ]
    );
    // The end comes with the last ACK: receiver of the last packet first, then the other side; state reads CLOSED.
    let [fin, fin_ack, ack] = x.close(Side::Client);
    w.send(&[fin, fin_ack]);
    assert_eq!(
        w.take(),
        [
            "packet_in sender client FIN-WAIT-1/ESTABLISHED",
            "state_change sender client FIN-WAIT-1/ESTABLISHED",
            "packet_in receiver server FIN-WAIT-1/CLOSE-WAIT",
            "state_change receiver server FIN-WAIT-1/CLOSE-WAIT",
            "packet_in sender server FIN-WAIT-1/LAST-ACK",
            "state_change sender server FIN-WAIT-1/LAST-ACK",
            "packet_in receiver client TIME-WAIT/LAST-ACK",
            "state_change receiver client TIME-WAIT/LAST-ACK",
        ],
        "no bare repeat of new data with a FIN"
    );
    w.send(&[ack]);
    assert_eq!(
        w.take(),
        [
            "packet_in sender client TIME-WAIT/LAST-ACK",
            "packet_in receiver server TIME-WAIT/CLOSED",
            "state_change receiver server TIME-WAIT/CLOSED",
            "conn_end receiver server CLOSED/CLOSED",
            "conn_end sender server CLOSED/CLOSED",
            "state_change receiver client CLOSED/CLOSED",
            "conn_end receiver client CLOSED/CLOSED",
            "state_change sender client CLOSED/CLOSED",
            "conn_end sender client CLOSED/CLOSED",
        ]
    );
    assert_eq!((w.engine.flow_count(), w.engine.socket_count(), w.engine.chunks().0), (0, 1, 0));
}

#[test]
fn both_streams_are_read_to_the_last_octet_also_within_one_burst() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    let mut burst = x.handshake().to_vec();
    burst.push(x.data(Side::Client, b"request"));
    burst.push(x.data(Side::Server, b"response"));
    burst.extend(x.close(Side::Server));
    w.send(&burst);
    let streams = &w.log.streams;
    assert_eq!((text(&streams.server), text(&streams.client)), ("request".into(), "response".into()));
    assert_eq!(w.engine.flow_count(), 0);
}

#[test]
fn data_for_a_half_closed_side_is_announced() {
    let mut w = World::new(small());
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    let fin = x.segment(Side::Client, Flags::FIN | Flags::ACK, b"bye");
    let late = x.data(Side::Server, b"still here");
    w.send(&[fin, late]);
    assert_eq!(
        (text(&w.log.streams.server), text(&w.log.streams.client)),
        ("bye".into(), "still here".into())
    );
}

#[test]
fn several_monitors_are_passed_in_order_and_in_reverse() {
    let mut w = World::new(small());
    let second = w.engine.open(SocketKind::Stream).unwrap();
    for (socket, token) in [(w.socket, 1), (second, 2)] {
        for hook in [Hook::Sender, Hook::Receiver] {
            w.engine.register(socket, Event::PacketIn, hook, note, token).unwrap();
        }
        w.engine.register(socket, Event::ConnEnd, Hook::Receiver, note, token).unwrap();
    }
    let mut x = exchange();
    let [syn, syn_ack, _] = x.handshake();
    w.send(&[syn]);
    let order = |w: &mut World| w.take().iter().map(|l| l[..2].to_string()).collect::<Vec<_>>();
    assert_eq!(order(&mut w), ["#1", "#2", "#1", "#2"]);
    w.send(&[syn_ack]);
    assert_eq!(order(&mut w), ["#2", "#1", "#2", "#1"]);
    w.engine.shutdown(&mut w.log);
    assert_eq!(order(&mut w), ["#1", "#2", "#1", "#2"], "the end: always in order");
}

#[test]
fn a_connection_keeps_the_handlers_its_monitor_had_at_the_syn() {
    let mut w = World::new(small());
    let mut x = exchange();
    w.send(&x.handshake());
    w.on(Event::PacketIn, Hook::Sender, note);
    w.send(&[x.data(Side::Client, b"x")]);
    assert!(w.take().is_empty(), "registered too late for this connection");
    let other =
        Exchange::new("10.0.0.9:1".parse().unwrap(), SERVER.parse().unwrap(), Sides::default()).handshake();
    w.send(&other);
    assert_eq!(w.take().len(), 3);
    w.engine.unregister(w.socket, Event::PacketIn, Hook::Sender).unwrap();
    let gone = w.engine.unregister(w.socket, Event::PacketIn, Hook::Sender);
    assert_eq!(gone, Err(SocketError::NoHandler));
    assert_eq!(
        w.engine.register(w.socket, Event::NewData, Hook::Sender, note, 0),
        Err(SocketError::WrongHook)
    );
}

#[test]
fn handlers_of_one_connection_can_be_changed_from_inside() {
    fn on_start(ctx: &mut Context<'_, Log>) {
        let socket = ctx.socket();
        ctx.control().register(socket, Event::PacketIn, Hook::Receiver, note, 7).unwrap();
        ctx.control().unregister(socket, Event::ConnStart, Hook::Sender).unwrap();
    }
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, on_start);
    for port in [1, 2] {
        let client = format!("10.0.0.9:{port}").parse().unwrap();
        let mut x = Exchange::new(client, SERVER.parse().unwrap(), Sides::default());
        w.send(&x.handshake());
        assert_eq!(w.take().len(), 3, "each connection changes its own set, from the next hook on");
    }
}

#[test]
fn filters_choose_connections_and_orphans() {
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, note).on(Event::Orphan, Hook::None, note);
    w.engine.bind(w.socket, FilterSlot::Syn, Some("dst port 80".parse().unwrap())).unwrap();
    w.engine.bind(w.socket, FilterSlot::Orphan, Some("src port 40000".parse().unwrap())).unwrap();
    let bad = w.engine.bind(w.socket, FilterSlot::Packet, None);
    assert_eq!(bad, Err(SocketError::WrongKind));
    w.send(&exchange().handshake());
    assert_eq!(w.take(), ["conn_start sender client SYN-SENT/LISTEN"]);
    let isn = Sides::default();
    let other = Exchange::new(CLIENT.parse().unwrap(), "10.0.0.1:81".parse().unwrap(), isn).handshake();
    w.send(&other);
    assert_eq!(w.take(), ["orphan none - -/-", "orphan none - -/-"], "two of them come from port 40000");
    assert_eq!(w.engine.stats().drops[DropReason::Orphan], 3);
}

#[test]
fn raw_sockets_see_every_ip_packet_once() {
    let mut w = World::new(small());
    let raw = w.engine.open(SocketKind::Raw).unwrap();
    w.engine.register(raw, Event::PacketIn, Hook::None, note, 0).unwrap();
    let mut x = exchange();
    w.send(&x.handshake());
    assert_eq!(w.take(), ["packet_in none - -/-"; 3]);
    w.engine.bind(raw, FilterSlot::Packet, Some("src port 80".parse().unwrap())).unwrap();
    w.send(&[x.ack(Side::Client), x.ack(Side::Server)]);
    assert_eq!(w.take().len(), 1);
    w.engine.close(raw).unwrap();
    assert_eq!(w.engine.close(raw), Err(SocketError::NoSocket));
    w.send(&[x.ack(Side::Server)]);
    assert!(w.take().is_empty());
}

#[test]
fn time_outs_end_connections_client_first() {
    fn end(ctx: &mut Context<'_, Log>) {
        note(ctx);
        let reason = ctx.monitor().unwrap().end_reason().unwrap();
        ctx.app().ends.push(reason);
    }
    let (handshake, idle) = (Duration::from_secs(5), Duration::from_secs(100));
    let mut w = World::new(Config { timeouts: Timeouts { handshake, idle, ..small().timeouts }, ..small() });
    w.on(Event::ConnEnd, Hook::Receiver, end);
    let mut x = exchange();
    let [syn, ..] = x.clone().handshake();
    w.send(&[syn]);
    w.wait(Duration::from_secs(4));
    assert_eq!(w.engine.flow_count(), 1);
    w.wait(Duration::from_millis(1100));
    assert_eq!(
        w.take(),
        ["conn_end receiver client CLOSED/CLOSED", "conn_end receiver server CLOSED/CLOSED"]
    );
    w.send(&x.handshake());
    for _ in 0..5 {
        w.wait(Duration::from_secs(90));
        w.send(&[x.ack(Side::Client)]);
    }
    assert_eq!(w.engine.flow_count(), 1, "packets keep it alive");
    w.wait(Duration::from_secs(101));
    assert_eq!(w.log.ends.last(), Some(&Some(EndReason::TimedOut)));
    assert_eq!(w.engine.next_timeout(), None);
}

#[test]
fn time_wait_and_reuse_of_the_ports() {
    let mut w = World::new(Config {
        timeouts: Timeouts { time_wait: Duration::from_secs(60), ..small().timeouts },
        ..small()
    });
    w.on(Event::ConnStart, Hook::Sender, note).on(Event::ConnEnd, Hook::Sender, note);
    w.on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"old")]);
    w.send(&x.close(Side::Client));
    assert_eq!(w.take().len(), 1, "it waits");
    let mut y = successor();
    w.send(&y.handshake());
    assert_eq!(w.take().len(), 3, "two ends of the old one, one start of the new one");
    w.log.streams.server.clear();
    w.send(&[y.data(Side::Client, b"new")]);
    assert_eq!(text(&w.log.streams.server), "new");
    assert_eq!((w.engine.stats().flows, w.engine.flow_count()), (2, 1));
    assert_eq!(
        w.engine.stats().segments,
        3 + 1 + 3 + 3 + 1,
        "the SYN that restarts is one of the new connection"
    );
}

#[test]
fn a_full_table_makes_orphans_and_is_counted() {
    let mut w = World::new(Config { max_flows: 3, ..small() });
    w.on(Event::Orphan, Hook::None, note);
    for port in 1..=5 {
        w.send(&other(port).handshake());
    }
    // All three segments of a connection without a place belong to none.
    assert_eq!((w.engine.flow_count(), w.take().len()), (3, 2 * 3));
    assert_eq!(w.engine.stats().drops[DropReason::TableFull], 2);
    let mut w = World::new(Config { max_sockets: 3, ..small() });
    for port in 1..=5 {
        w.send(&other(port).handshake());
    }
    assert_eq!((w.engine.flow_count(), w.engine.stats().drops[DropReason::SocketsFull]), (2, 3));
}

#[test]
fn without_stream_memory_octets_are_refused_counted_and_told() {
    let mut w = World::new(Config { chunks: 2, ..small() });
    w.on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    let _hole = x.data(Side::Client, b"?");
    for _ in 0..4 {
        let frame = x.data(Side::Client, &[7; 1400]);
        w.send(&[frame]);
    }
    let lines = w.take();
    assert!(lines.iter().any(|l| l.contains("NoMemory { octets: 1400 }")), "{lines:?}");
    assert!(w.engine.stats().refused_octets > 0 && w.engine.chunks().0 <= 2);
    // No record for the stream at all.
    let mut w = World::new(Config { max_buffers: 0, ..small() });
    w.on(Event::Error, Hook::None, note).on(Event::NewData, Hook::None, read);
    let mut x = exchange();
    w.send(&x.handshake());
    w.send(&[x.data(Side::Client, b"12345")]);
    let lines = w.take();
    assert!(lines[0].contains("NoMemory { octets: 5 }") && lines[1] == "lost [0, 5)", "{lines:?}");
}

#[test]
fn handlers_can_drop_packets_and_timers_fire_once() {
    fn drop_it(ctx: &mut Context<'_, Log>) {
        ctx.drop_packet();
        ctx.control().start_timer(Duration::from_secs(1), note, 9);
    }
    let mut w = World::new(small());
    w.on(Event::ConnStart, Hook::Sender, drop_it);
    let verdicts = w.send(&exchange().handshake());
    assert_eq!(verdicts, [Verdict::Drop, Verdict::Forward, Verdict::Forward]);
    w.wait(Duration::from_secs(10));
    w.wait(Duration::from_secs(10));
    assert_eq!(w.take(), ["#9 timer none - -"]);
    let id = w.engine.start_timer(Duration::from_secs(1), note, 9).unwrap();
    assert!(w.engine.stop_timer(id) && !w.engine.stop_timer(id));
    w.wait(Duration::from_secs(10));
    assert!(w.take().is_empty());
}

#[test]
fn connections_are_picked_up_in_the_middle_only_when_asked() {
    for midstream in [false, true] {
        let linger = Duration::from_secs(30);
        let mut w = World::new(Config { midstream, linger, ..small() });
        w.on(Event::NewData, Hook::None, read);
        let mut x = exchange();
        let _ = x.handshake();
        w.send(&[x.ack(Side::Client), x.data(Side::Server, b"middle"), x.data(Side::Client, b"more")]);
        w.send(&[x.segment(Side::Client, Flags::RST, b"")]);
        w.send(&[x.data(Side::Server, b"stray")]);
        let expected = if midstream { ("middle", "more") } else { ("", "") };
        assert_eq!((text(&w.log.streams.client).as_str(), text(&w.log.streams.server).as_str()), expected);
        assert_eq!(w.engine.stats().flows, u64::from(midstream), "the stray one starts nothing");
        w.wait(Duration::from_secs(31));
        assert_eq!(w.engine.flow_count(), 0);
    }
}

#[test]
fn a_clock_that_steps_back_is_counted_and_harmless() {
    let mut w = World::new(small());
    let mut x = exchange();
    w.send(&x.handshake());
    w.clock = 5;
    w.send(&[x.ack(Side::Client)]);
    assert_eq!((w.engine.stats().clock_steps_back, w.engine.flow_count()), (1, 1));
    assert_eq!(w.engine.now(), Instant(1_003_000));
}

/// Steps back, jumps and time-outs included.
#[test]
fn engines_that_take_a_connection_each_do_what_one_does() {
    let (mut x, mut y) = (exchange(), other(7));
    let mut frames: Vec<(u64, bool, Vec<u8>)> = Vec::new();
    let mut time = 1_000_000;
    let waits = [3_000, 4_000_000_000, 0, 1_700_000_000, 2_000_000_000, 900_000];
    for (first, frame) in
        x.handshake().into_iter().map(|f| (true, f)).chain(y.handshake().map(|f| (false, f)))
    {
        frames.push((time, first, frame));
    }
    for (n, wait) in waits.into_iter().cycle().take(24).enumerate() {
        time += wait;
        let (first, early) = (n % 3 == 0, if n % 5 == 4 { 400 } else { 0 });
        let data = if first { x.data(Side::Client, b"one") } else { y.data(Side::Client, b"other") };
        frames.push((time - early, first, data));
    }
    let run = |mine: &dyn Fn(bool) -> bool| {
        let mut w = World::new(small());
        w.on_everything(w.socket);
        let verdict = |first: bool| if mine(first) { Verdict::Forward } else { Verdict::Drop };
        let mut burst: Vec<Frame<'_>> = Vec::new();
        for (time, first, data) in &frames {
            burst.push(Frame { verdict: verdict(*first), ..Frame::ethernet(Instant(*time), data) });
        }
        w.engine.process_burst(&mut burst, &mut w.log);
        w.engine.check();
        let kept = burst.iter().filter(|f| f.verdict.is_forward()).count();
        (*w.engine.stats(), w.engine.now(), kept)
    };
    let (whole, [one, other]) = (run(&|_| true), [run(&|first| first), run(&|first| !first)]);
    let mut sum = one.0;
    sum += other.0;
    assert_eq!((sum.passed_over, one.2 + other.2), (frames.len() as u64, frames.len()));
    assert_eq!(Stats { passed_over: 0, ..sum }, whole.0);
    assert_eq!((one.1, other.1), (whole.1, whole.1));
    assert!(whole.0.clock_jumps > 0 && whole.0.clock_steps_back > 0 && whole.0.flows_ended > 0);
}

#[test]
fn troubles_name_what_is_beyond_the_window() {
    let mut w = World::new(small());
    w.on(Event::Error, Hook::None, note);
    let mut x = exchange();
    w.send(&x.handshake());
    let far = x.seq(Side::Client).wrapping_add(100_000_000);
    w.send(&[x.segment_at(Side::Client, far, x.seq(Side::Server), Flags::ACK, b"far")]);
    assert_eq!(w.take(), ["error none server ESTABLISHED/ESTABLISHED Window { octets: 3 }"]);
    assert_eq!(w.engine.stats().anomalies[tcp_reasm::Anomaly::OutOfWindow], 1);
    let _ = Trouble::Window { octets: 3 };
}
