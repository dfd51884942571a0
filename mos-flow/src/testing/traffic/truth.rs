//! What the streams carry, and between whom: all by arithmetic.

use super::{Kind, Plan};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use tcp_reasm::{Side, Sides};

/// Addresses of clients, and ports of each.
pub(super) const CLIENTS: u32 = 4096;
pub(super) const PORTS: u32 = 45_000;
const SERVERS: u32 = 64;
const FIRST_CLIENT: u32 = u32::from_be_bytes([10, 0, 1, 0]);
const FIRST_SERVER: u32 = u32::from_be_bytes([192, 0, 2, 1]);
const FIRST_PORT: u16 = 20_000;
const SERVICE: u16 = 80;
/// Octets of the request of a `short` connection.
const REQUEST: u32 = 200;
/// One connection of so many has sequence numbers that wrap.
const WRAPPING: u32 = 8;
/// Odd, with bits that look random: neighbours are far from each other when multiplied by it.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The truth about a [`Traffic`](super::Traffic): every octet of every stream, though none is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    plan: Plan,
}

impl Truth {
    pub(super) fn new(plan: Plan) -> Truth {
        Truth { plan }
    }

    /// What was planned, within its limits.
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// Connections.
    pub fn flows(&self) -> u32 {
        self.plan.flows
    }

    /// Octets of all streams together.
    pub fn octets(&self) -> u64 {
        Side::BOTH.map(|side| self.len(0, side) * u64::from(self.flows())).iter().sum()
    }

    /// Between whom connection `flow` is.
    pub fn addresses(&self, flow: u32) -> Sides<SocketAddr> {
        let address = |first: u32, n: u32| IpAddr::V4(Ipv4Addr::from_bits(first + n));
        let port = FIRST_PORT + (flow / CLIENTS % PORTS) as u16;
        // Any: with a neighbour each, the hash of network cards would see few differences.
        let server = (flow.wrapping_mul(0x9e37_79b1) >> 16) % SERVERS;
        Sides {
            client: SocketAddr::new(address(FIRST_CLIENT, flow % CLIENTS), port),
            server: SocketAddr::new(address(FIRST_SERVER, server), SERVICE),
        }
    }

    /// Which connection is between a client and a server.
    pub fn flow(&self, client: SocketAddr, server: SocketAddr) -> Option<u32> {
        let IpAddr::V4(address) = client.ip() else { return None };
        let host = address.to_bits().checked_sub(FIRST_CLIENT).filter(|host| *host < CLIENTS)?;
        let port = client.port().checked_sub(FIRST_PORT)?;
        let flow = u32::from(port) * CLIENTS + host;
        (flow < self.flows() && self.addresses(flow) == Sides { client, server }).then_some(flow)
    }

    /// Which connection a packet belongs to, and who sent it.
    pub fn sender(&self, source: SocketAddr, destination: SocketAddr) -> Option<(u32, Side)> {
        let client = || self.flow(source, destination).map(|flow| (flow, Side::Client));
        client().or_else(|| self.flow(destination, source).map(|flow| (flow, Side::Server)))
    }

    /// Octets of the stream that a side receives.
    pub fn len(&self, _flow: u32, receiver: Side) -> u64 {
        match (self.plan.kind, receiver) {
            (Kind::Short, Side::Server) => REQUEST.into(),
            _ => self.plan.octets.into(),
        }
    }

    /// Writes what the stream has from `offset` on, as much as `out` takes.
    pub fn fill(&self, flow: u32, receiver: Side, offset: u64, out: &mut [u8]) {
        let (first, len, mut words) = self.words(flow, receiver, offset);
        let (head, rest) = out.split_at_mut(len.min(out.len()));
        head.iter_mut().zip(first).for_each(|(place, octet)| *place = octet);
        let (whole, tail) = rest.as_chunks_mut();
        whole.iter_mut().zip(&mut words).for_each(|(place, word)| *place = word);
        let last = words.next().unwrap_or_default();
        tail.iter_mut().zip(last).for_each(|(place, octet)| *place = octet);
    }

    /// Whether this is what the stream has from `offset` on.
    pub fn matches(&self, flow: u32, receiver: Side, offset: u64, octets: &[u8]) -> bool {
        if offset + octets.len() as u64 > self.len(flow, receiver) {
            return false;
        }
        let (first, len, mut words) = self.words(flow, receiver, offset);
        let (head, rest) = octets.split_at(len.min(octets.len()));
        let (whole, tail) = rest.as_chunks();
        // To the end, and no word alone: they are nearly always right.
        let differ = |octets: &[u8; 8], word| u64::from_le_bytes(*octets) ^ u64::from_le_bytes(word);
        let difference =
            whole.iter().zip(&mut words).fold(0, |sum, (octets, word)| sum | differ(octets, word));
        first.starts_with(head) && difference == 0 && words.next().unwrap_or_default().starts_with(tail)
    }

    /// The octets from `offset` on: how many there are before a whole word, in front of the first array, and the words.
    fn words(
        &self,
        flow: u32,
        receiver: Side,
        offset: u64,
    ) -> ([u8; 8], usize, impl Iterator<Item = [u8; 8]> + use<>) {
        let key = self.key(flow, receiver, 0);
        let word = move |index: u64| mix(key.wrapping_add(index.wrapping_mul(STEP)));
        let skip = offset % 8;
        let first = word(offset / 8) >> (8 * skip);
        let words = (offset.div_ceil(8)..).map(move |index| word(index).to_le_bytes());
        (first.to_le_bytes(), (8 - skip) as usize % 8, words)
    }

    /// The sequence number that an octet has which `sender` sends. The SYN has that before octet 0, the FIN that behind the
    /// last.
    pub(super) fn seq(&self, flow: u32, sender: Side, offset: u64) -> u32 {
        let len = self.len(flow, !sender) as u32;
        let first = if flow % WRAPPING == (self.plan.seed % u64::from(WRAPPING)) as u32 {
            0_u32.wrapping_sub(len / 2)
        } else {
            // 1 to as far as SYN and FIN stay on this side.
            let room = u64::from(u32::MAX - len - 1);
            1 + (((self.key(flow, sender, 1) >> 32) * room) >> 32) as u32
        };
        first.wrapping_add(offset as u32)
    }

    /// The part of the traffic that follows the plan alone.
    pub(super) fn seed(&self) -> u64 {
        mix(self.plan.seed)
    }

    /// A number for one side of a connection, and for each purpose another.
    fn key(&self, flow: u32, side: Side, purpose: u64) -> u64 {
        let name = u64::from(flow) << 2 | (side as u64) << 1 | purpose;
        mix(self.seed() ^ name.wrapping_mul(STEP))
    }
}

/// Every bit of the result follows every bit of the number (as in splitmix64).
pub(super) const fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
