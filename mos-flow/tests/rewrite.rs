//! Two hosts of another make, and between them an engine whose handlers change what passes: octets go, octets come, over a network
//! that loses, repeats and reorders on both sides of it. What the server hears must be exactly what the handlers made of what the
//! client said, and the engine must have heard what the server did.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use mos_flow::{
    Config, Context, Engine, Event, Frame, Hook, Instant, LinkType, Offset, Overlap, Retention, Side, Sides,
    SocketKind,
};
use proptest::prelude::*;
use smoltcp::iface::{Config as HostConfig, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as Clock;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

/// Some go, some double, some become long, most stay.
fn rule(octet: u8) -> &'static [u8] {
    const STAY: [u8; 256] = {
        let mut all = [0; 256];
        let mut i = 0;
        while i < 256 {
            all[i] = i as u8;
            i += 1;
        }
        all
    };
    match octet {
        0..=9 => &[],
        10..=19 => &STAY[10..12],
        20 => &STAY[100..160],
        n => &STAY[n as usize..=n as usize],
    }
}

/// What is put before the FIN.
const FAREWELL: &[u8] = b"bye";

fn changed(octets: &[u8]) -> Vec<u8> {
    octets.iter().flat_map(|octet| rule(*octet)).copied().collect()
}

#[derive(Default)]
struct App {
    heard: Sides<Vec<u8>>,
    refused: Vec<String>,
}

/// Changes what is new of a packet that comes in order; what comes early is dropped, and comes again.
fn change(ctx: &mut Context<'_, App>) {
    let Some(from) = ctx.side() else { return };
    let segment = ctx.packet().and_then(|p| p.segment).expect("a segment");
    if segment.payload.is_empty() && !segment.is_fin() || segment.is_syn() {
        return;
    }
    let ends = segment.is_fin();
    let (len, at) = (segment.payload.len() as u64, ctx.payload_offset().map(|offset| offset.0));
    let next = ctx.monitor().ok().and_then(|m| m.stream_info(!from).ok()).map_or(0, |info| info.next.0);
    match at {
        Some(at) if at > next => return ctx.drop_packet(),
        Some(at) if at + len < next || at + len == next && !ends => return,
        _ => {}
    }
    if let Err(e) = change_payload(ctx, ends) {
        ctx.app().refused.push(format!("{e:?}"));
        ctx.drop_packet();
    }
}

fn change_payload(ctx: &mut Context<'_, App>, ends: bool) -> Result<(), mos_flow::PacketError> {
    let mut edit = ctx.edit()?;
    let fresh = edit.already_sent();
    let before = edit.layer(mos_flow::Layer::Payload)?.to_vec();
    match edit.insert(before.len(), if ends { FAREWELL } else { b"" }) {
        // A FIN that comes again.
        Err(mos_flow::PacketError::AlreadySent | mos_flow::PacketError::NotTracked) if ends => return Ok(()),
        Ok(()) => {}
        Err(e) => return Err(e),
    }
    // From the back to the front, so that places stay what they are; as few changes as runs of them.
    let mut end = before.len();
    while end > fresh {
        let stays = |at: usize| rule(before[at]) == &before[at..=at];
        let Some(last) = (fresh..end).rev().find(|at| !stays(*at)) else { break };
        let start = (fresh..last).rev().find(|at| stays(*at)).map_or(fresh, |at| at + 1);
        edit.replace(start, last + 1 - start, &changed(&before[start..=last]))?;
        end = start;
    }
    Ok(())
}

fn read(ctx: &mut Context<'_, App>) {
    if let (Some(side), Ok((app, mut monitor))) = (ctx.side(), ctx.split()) {
        let heard = &mut app.heard[side];
        let _ = monitor.read_with(side, |range, data| {
            assert!(
                !data.is_empty() && range.start == Offset(heard.len() as u64),
                "{range:?} {} lost {:?}",
                data.len(),
                app.refused
            );
            heard.extend_from_slice(data);
        });
    }
}

/// Packets on their way to a host, and from it.
#[derive(Default)]
struct Line {
    to: VecDeque<Vec<u8>>,
    from: VecDeque<Vec<u8>>,
    mtu: usize,
}

struct Rx(Vec<u8>);
struct Tx<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut packet = vec![0; len];
        let result = f(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Line {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Clock) -> Option<(Rx, Tx<'_>)> {
        Some((Rx(self.to.pop_front()?), Tx(&mut self.from)))
    }

    fn transmit(&mut self, _: Clock) -> Option<Tx<'_>> {
        Some(Tx(&mut self.from))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut all = DeviceCapabilities::default();
        (all.medium, all.max_transmission_unit) = (Medium::Ip, self.mtu);
        all
    }
}

struct Host {
    line: Line,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    /// What it has yet to say, and what it heard.
    to_say: VecDeque<u8>,
    heard: Vec<u8>,
}

const PORT: u16 = 80;
const ADDRESSES: Sides<IpAddress> =
    Sides { client: IpAddress::v4(10, 0, 0, 2), server: IpAddress::v4(10, 0, 0, 1) };

impl Host {
    fn new(side: Side, say: &[u8], mtu: usize, window: usize) -> Host {
        let mut line = Line { mtu, ..Line::default() };
        let mut config = HostConfig::new(HardwareAddress::Ip);
        config.random_seed = if side == Side::Client { 7 } else { 8 };
        let mut interface = Interface::new(config, &mut line, Clock::ZERO);
        interface.update_ip_addrs(|all| all.push(IpCidr::new(ADDRESSES[side], 24)).unwrap());
        let buffer = || tcp::SocketBuffer::new(vec![0; window]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        match side {
            Side::Server => socket.listen(PORT).unwrap(),
            Side::Client => socket.connect(interface.context(), (ADDRESSES.server, PORT), 40000).unwrap(),
        }
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(socket);
        Host { line, interface, sockets, socket, to_say: say.iter().copied().collect(), heard: Vec::new() }
    }

    fn turn(&mut self, now: Clock) {
        self.interface.poll(now, &mut self.line, &mut self.sockets);
        self.hear();
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        if socket.can_send() && !self.to_say.is_empty() {
            let said = socket.send_slice(self.to_say.make_contiguous()).unwrap();
            self.to_say.drain(..said);
        }
        if self.to_say.is_empty() && socket.may_send() {
            socket.close();
        }
        self.interface.poll(now, &mut self.line, &mut self.sockets);
        self.hear();
    }

    fn hear(&mut self) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        while socket.can_recv() {
            let taken = |octets: &mut [u8]| {
                self.heard.extend_from_slice(octets);
                (octets.len(), ())
            };
            socket.recv(taken).unwrap();
        }
    }

    /// All that it said was acknowledged, and it has heard so much. Only hearing is asked for in the end: hosts of this make do not
    /// send a FIN again when all before it was acknowledged without it, and do not wait long for a peer that was not heard.
    fn is_done(&self, octets: usize) -> bool {
        let socket = self.sockets.get::<tcp::Socket<'_>>(self.socket);
        self.heard.len() >= octets && self.to_say.is_empty() && socket.send_queue() == 0
    }
}

/// A network that does what networks do, by a seed.
struct Bad {
    state: u64,
    /// In a hundred.
    loss: u64,
    waiting: VecDeque<Vec<u8>>,
}

impl Bad {
    fn random(&mut self) -> u64 {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state >> 33
    }

    fn carry(&mut self, packets: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
        let mut out: Vec<Vec<u8>> = Vec::new();
        for packet in packets {
            match self.random() % 100 {
                n if n < self.loss => {}
                n if n < 2 * self.loss => self.waiting.push_back(packet),
                n if n < 3 * self.loss => out.extend([packet.clone(), packet]),
                _ => out.push(packet),
            }
            if self.random().is_multiple_of(3) {
                out.extend(self.waiting.pop_front());
            }
        }
        out.extend(self.waiting.drain(..));
        out
    }
}

struct Case {
    say: Sides<Vec<u8>>,
    seed: u64,
    loss: u64,
    mtu: usize,
    window: usize,
    retention: Retention,
}

fn run(case: &Case) -> Result<(), TestCaseError> {
    let config = Config {
        max_flows: 4,
        chunks: 4096,
        ring_octets: 4096,
        retention: case.retention,
        overlap: Overlap::First.into(),
        ..Config::default()
    };
    let mut engine = Engine::<App>::new(config).unwrap();
    let socket = engine.open(SocketKind::Stream).unwrap();
    engine.register(socket, Event::PacketIn, Hook::Sender, change, 0).unwrap();
    engine.register(socket, Event::NewData, Hook::None, read, 0).unwrap();
    engine
        .register(
            socket,
            Event::Error,
            Hook::None,
            |c| {
                let line = format!("{:?}", c.trouble());
                c.app().refused.push(line);
            },
            0,
        )
        .unwrap();
    let mut app = App::default();
    let expected = Sides::from_fn(|side| [changed(&case.say[!side]), FAREWELL.to_vec()].concat());
    let mut hosts = Sides::from_fn(|side| Host::new(side, &case.say[side], case.mtu, case.window));
    let mut nets =
        [1, 2, 3, 4].map(|n| Bad { state: case.seed * 5 + n, loss: case.loss, waiting: VecDeque::new() });
    for turn in 0..400_000_i64 {
        // 5 ms each.
        let now = Clock::from_millis(turn * 5);
        for side in Side::BOTH {
            hosts[side].turn(now);
            let sent: Vec<Vec<u8>> = hosts[side].line.from.drain(..).collect();
            let [before, after] =
                nets.get_disjoint_mut(if side == Side::Client { [0, 1] } else { [2, 3] }).unwrap();
            let arrived = before.carry(sent.into_iter());
            let mut burst: Vec<Frame<'_>> = arrived
                .iter()
                .map(|p| Frame { link: LinkType::RawIp, ..Frame::ethernet(Instant(turn as u64 * 5000), p) })
                .collect();
            engine.process_burst(&mut burst, &mut app);
            let left: Vec<Vec<u8>> =
                burst.iter().flat_map(|f| engine.output(f).map(<[u8]>::to_vec)).collect();
            hosts[!side].line.to.extend(after.carry(left.into_iter()));
        }
        if Side::BOTH.into_iter().all(|side| hosts[side].is_done(expected[side].len())) {
            break;
        }
    }
    engine.shutdown(&mut app);
    for side in Side::BOTH {
        let (expected, host, heard) = (&expected[side], &hosts[side].heard, &app.heard[side]);
        prop_assert!(
            host == expected,
            "the {side} heard {} octets, not {}; {:?}; {:?}",
            host.len(),
            expected.len(),
            app.refused,
            engine.stats().drops
        );
        prop_assert!(heard == expected, "of the {side} the engine heard {} octets", heard.len());
    }
    Ok(())
}

/// From nothing to much, on a good network and a bad one.
#[test]
fn from_nothing_to_much() {
    let say = |n: u32, step: u32| (0..n).map(|i| (i * step) as u8).collect::<Vec<u8>>();
    for (n, loss, mtu) in [
        (0, 0, 1500),
        (5, 0, 1500),
        (100, 0, 1500),
        (3000, 0, 1500),
        (3000, 0, 300),
        (300, 3, 1500),
        (3000, 8, 300),
    ] {
        let say = Sides { client: say(n, 1), server: say(n, 3) };
        let case = Case { say, seed: 1, loss, mtu, window: 65_000, retention: Retention::Ring };
        run(&case).unwrap_or_else(|e| panic!("{n} octets, loss {loss}, MTU {mtu}: {e}"));
    }
}

/// What a host says: every third octet is one of those that change.
fn text(len: usize, seed: u32) -> Vec<u8> {
    let mut bad = Bad { state: seed.into(), loss: 0, waiting: VecDeque::new() };
    let mut octet = || if bad.random().is_multiple_of(3) { bad.random() % 26 } else { bad.random() % 256 };
    (0..len).map(|_| octet() as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: std::env::var("MOS_REWRITE_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(60), failure_persistence: None, max_shrink_iters: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_the_hosts_hear_is_what_the_handlers_made(
        lens in (0..6000_usize, 0..6000_usize),
        seed in any::<u32>(),
        loss in 0..9_u64,
        mtu in prop_oneof![Just(576_usize), Just(1500), 100..400_usize],
        window in 30_000..65_000_usize,
        unread in any::<bool>(),
    ) {
        let retention = if unread { Retention::Unread } else { Retention::Ring };
        let say = Sides { client: text(lens.0, seed), server: text(lens.1, !seed) };
        let case = Case { say, seed: seed.into(), loss, mtu, window, retention };
        run(&case)?;
    }
}
