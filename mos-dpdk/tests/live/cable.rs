//! Cables, that is pairs of virtual Ethernet interfaces with the offloads that they have by default, and a bridge between two.

pub(crate) use super::alone::{alone, ip, say};
use super::host::{CLIENT, Host, SERVER};
use mos_dpdk::port::{Port, Statistics};
use mos_dpdk::{Links, Worker};
use mos_flow::{Config, Context, Engine, Event, Hook, Side, SocketKind};
use std::net::SocketAddr;
use std::thread::JoinHandle;

/// Makes a pair of interfaces, of which this machine's IP wants nothing.
pub(crate) fn pair(one: &str, other: &str) {
    ip(&format!("link add {one} type veth peer name {other}"));
    for name in [one, other] {
        ip(&format!("link set {name} addrgenmode none"));
        ip(&format!("link set {name} up"));
    }
}

/// Two hosts, each at the other end of an interface here.
pub(crate) fn hosts() -> (Host, Host) {
    pair("left", "client");
    pair("right", "server");
    (Host::new("client", CLIENT, SERVER), Host::new("server", SERVER, CLIENT))
}

/// What a bridge has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) largest: usize,
    pub(crate) tagged: usize,
    /// Octets that clients and servers received.
    pub(crate) octets: [usize; 2],
}

pub(crate) fn on_packet(ctx: &mut Context<'_, Seen>) {
    let frame = ctx.packet().unwrap().frame;
    let (len, is_tagged) = (frame.data.len(), frame.data[12..14] == [0x81, 0]);
    ctx.app().largest = ctx.app().largest.max(len);
    ctx.app().tagged += usize::from(is_tagged);
}

pub(crate) fn on_data(ctx: &mut Context<'_, Seen>) {
    let side = ctx.side().unwrap();
    let (seen, mut monitor) = ctx.split().unwrap();
    let octets = &mut seen.octets[usize::from(side == Side::Server)];
    monitor.read_with(side, |_, data| *octets += data.len()).unwrap();
}

/// What is left of a bridge.
pub(crate) type Done = (Engine<Seen>, Seen, Vec<Statistics>);

/// A bridge between two ports, until their interfaces are removed.
pub(crate) fn bridge<P: Port + Send + 'static>([left, right]: [P; 2]) -> JoinHandle<Done> {
    let mut engine = Engine::new(Config::default()).unwrap();
    let raw = engine.open(SocketKind::Raw).unwrap();
    engine.register(raw, Event::PacketIn, Hook::None, on_packet, 0).unwrap();
    let stream = engine.open(SocketKind::Stream).unwrap();
    engine.register(stream, Event::NewData, Hook::None, on_data, 0).unwrap();
    let mut bridge = Worker::new(engine, Seen::default(), Links::between(left, right));
    std::thread::spawn(move || {
        bridge.run().unwrap();
        let statistics = bridge.links.statistics().collect();
        let (engine, seen) = bridge.into_parts();
        (engine, seen, statistics)
    })
}

/// The page of a server, as curl gets it, or curl's exit status.
pub(crate) fn get(client: &Host, server: SocketAddr, seconds: u32) -> Result<Vec<u8>, i32> {
    let (url, seconds) = (format!("http://{server}/"), seconds.to_string());
    let output = client.run("curl", &["--silent", "--globoff", "--max-time", &seconds, &url]);
    if output.status.success() { Ok(output.stdout) } else { Err(output.status.code().unwrap()) }
}

/// Octets without a pattern, always the same.
pub(crate) fn octets(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(next).collect()
}
