//! Many connections at once: small frames of any of them, made in place, with no memory for a connection but its sequence
//! number.

use mos_flow::testing::Exchange;
use mos_flow::{Config, Engine, Frame, Instant, Side, Sides, SocketKind};
use tcp_reasm::Flags;

/// Octets of a frame: 64 on the wire, with the four of the check sequence.
pub const FRAME: usize = 60;
/// Octets of payload in a frame that has some.
const PAYLOAD: u32 = 6;
/// Microseconds between frames.
const STEP: u64 = 1;

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// A frame as it lies in memory.
pub type Octets = [u8; FRAME];

/// Frames of connections that are told apart by number. Checksums are not right: they are left to the network card.
#[derive(Debug)]
pub struct Crowd {
    /// Octets that each client has sent.
    sent: Vec<u32>,
    template: Octets,
    /// Frames made so far: the time.
    made: u64,
}

impl Crowd {
    /// Of `flows` connections.
    pub fn new(flows: usize) -> Self {
        let (client, server) = (([10, 0, 0, 1], 1).into(), ([192, 0, 2, 1], 80).into());
        let data =
            Exchange::new(client, server, Sides::default()).data(Side::Client, &[0x5a; PAYLOAD as usize]);
        let mut template = [0; FRAME];
        template.copy_from_slice(&data);
        // Touched now, so that it counts for nothing when memory is measured.
        Crowd { sent: vec![u32::MAX; flows], template, made: 0 }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sent.is_empty()
    }

    /// The next data segment of the client of connection `n`.
    pub fn data(&mut self, n: u32) -> Octets {
        let sent = self.sent.get_mut(n as usize);
        let seq = sent.map_or(0, |s| core::mem::replace(s, s.wrapping_add(PAYLOAD)));
        self.segment(
            n,
            Side::Client,
            Flags::ACK,
            isn(n).wrapping_add(1 + seq),
            answer(n).wrapping_add(1),
            PAYLOAD,
        )
    }

    /// The handshake of connection `n`.
    pub fn handshake(&mut self, n: u32) -> [Octets; 3] {
        if let Some(sent) = self.sent.get_mut(n as usize) {
            *sent = 0;
        }
        let (client, server) = (isn(n), answer(n));
        [
            self.segment(n, Side::Client, Flags::SYN, client, 0, 0),
            self.segment(n, Side::Server, Flags::SYN | Flags::ACK, server, client.wrapping_add(1), 0),
            self.segment(n, Side::Client, Flags::ACK, client.wrapping_add(1), server.wrapping_add(1), 0),
        ]
    }

    /// Both FINs of connection `n`, which has sent nothing, and their ACKs: it ends with the last one.
    pub fn close(&mut self, n: u32) -> [Octets; 3] {
        let (client, server) = (isn(n).wrapping_add(1), answer(n).wrapping_add(1));
        let fin = Flags::FIN | Flags::ACK;
        [
            self.segment(n, Side::Client, fin, client, server, 0),
            self.segment(n, Side::Server, fin, server, client.wrapping_add(1), 0),
            self.segment(n, Side::Client, Flags::ACK, client.wrapping_add(1), server.wrapping_add(1), 0),
        ]
    }

    /// The RST of the client of connection `n`, which has sent what it has.
    pub fn reset(&self, n: u32) -> Option<Octets> {
        let sent = self.sent.get(n as usize)?;
        Some(self.segment(n, Side::Client, Flags::RST, isn(n).wrapping_add(1 + sent), 0, 0))
    }

    fn segment(&self, n: u32, side: Side, flags: Flags, seq: u32, ack: u32, payload: u32) -> Octets {
        let mut frame = self.template;
        let client = (0x0a00_0001_u32 + n / 60_000).to_be_bytes();
        let port = (1024 + (n % 60_000) as u16).to_be_bytes();
        let (server, http) = ([192, 0, 2, 1], 80_u16.to_be_bytes());
        let (src, dst) = if side == Side::Client { (client, server) } else { (server, client) };
        let (sport, dport) = if side == Side::Client { (port, http) } else { (http, port) };
        let mut put = |at: usize, bytes: &[u8]| frame[at..at + bytes.len()].copy_from_slice(bytes);
        // Bridges go by these.
        let hosts = if side == Side::Client { [SERVER, CLIENT] } else { [CLIENT, SERVER] };
        put(0, hosts.as_flattened());
        put(16, &(40 + payload as u16).to_be_bytes());
        put(26, &src);
        put(30, &dst);
        put(34, &sport);
        put(36, &dport);
        put(38, &seq.to_be_bytes());
        put(42, &ack.to_be_bytes());
        put(46, &(5 << 12 | flags.0).to_be_bytes());
        frame
    }

    /// All of `octets` through `engine` in bursts of `burst` frames.
    #[inline(never)] // so that it has a name in profiles
    pub fn play<A>(&mut self, engine: &mut Engine<A>, app: &mut A, octets: &[Octets], burst: usize) {
        let mut frames = [Frame::ethernet(Instant(0), &[]); mos_flow::engine::BURST];
        for part in octets.chunks(burst) {
            let times = (self.made..).step_by(STEP as usize).map(Instant);
            for ((frame, octets), time) in frames.iter_mut().zip(part).zip(times) {
                *frame = Frame::ethernet(time, octets);
            }
            self.made += part.len() as u64 * STEP;
            engine.process_burst(&mut frames[..part.len()], app);
        }
    }
}

fn isn(n: u32) -> u32 {
    n.wrapping_mul(0x9e37_79b9)
}

/// The server's first sequence number.
fn answer(n: u32) -> u32 {
    !isn(n)
}

/// An engine for `flows` connections whose states are followed, and no octets kept.
pub fn engine(flows: usize) -> Engine<()> {
    let config = Config {
        max_flows: flows,
        max_embryonic: Some(flows),
        max_sockets: flows + 1,
        max_buffers: 16,
        chunks: 16,
        verify_checksums: false,
        hash_seed: [7; 16],
        ..Config::default()
    };
    let mut engine = Engine::new(config).unwrap_or_else(|e| unreachable!("{e}"));
    let socket = engine.open(SocketKind::Stream).unwrap_or_else(|e| unreachable!("{e}"));
    for side in Side::BOTH {
        let disabled = engine.monitor(socket).and_then(|mut monitor| monitor.disable_buffer(side));
        disabled.unwrap_or_else(|e| unreachable!("{e}"));
    }
    engine
}

/// Resident octets of this process.
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
