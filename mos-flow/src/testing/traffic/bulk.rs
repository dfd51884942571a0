//! Few connections whose both sides send as much as they may, on a way that may lose, repeat and reorder.

mod receiver;

mod way;

use super::MSS;
use super::frame::{Options, Segment, scaled_window, window};
use super::truth::Truth;
use alloc::vec::Vec;
use receiver::Receiver;
use tcp_reasm::options::Timestamps;
use tcp_reasm::{Flags, Side, Sides};
use way::{Fate, Way};

/// Segments that a host sends at once, at most.
const BURST: u32 = 8;
/// Segments that are sent and not acknowledged, at most: less than a receiver remembers.
const IN_FLIGHT: u32 = 40;
/// Octets that a host has room for.
const BUFFER: u32 = 256 << 10;

/// The connections, of which one or the other goes on, by a burst of one of its hosts.
#[derive(Debug)]
pub(super) struct Bulk {
    open: Vec<Connection>,
    /// Connections that have begun: all do, before one goes on.
    begun: u32,
    way: Way,
}

#[derive(Debug)]
struct Connection {
    flow: u32,
    /// Who sends next.
    turn: Side,
    hosts: Sides<Host>,
}

#[derive(Debug, Default)]
struct Host {
    /// New segments so far.
    sent: u32,
    /// Places so far, in each of which there may be a segment: what delays are counted in.
    places: u32,
    /// Segments that have not arrived.
    under_way: Vec<Late>,
    /// Whether the last new segment has arrived, and is captured, as it was sent.
    intact: bool,
    /// What its timestamps say, milliseconds.
    clock: u32,
    received: Receiver,
}

/// A segment that has not arrived.
#[derive(Debug)]
struct Late {
    /// The place at which it does.
    due: u32,
    segment: Segment,
    /// It was lost: what arrives is another one, which its sender makes then.
    again: bool,
}

impl Bulk {
    pub(super) fn new(truth: Truth) -> Bulk {
        Bulk { open: Vec::new(), begun: 0, way: Way::new(truth) }
    }

    pub(super) fn next(&mut self, now: u32) -> Option<Segment> {
        loop {
            if let Some(segment) = self.way.captured() {
                return Some(segment);
            }
            if self.begun < self.way.truth.flows() {
                self.open.push(Connection::open(self.begun, &mut self.way, now));
                self.begun += 1;
                continue;
            }
            let at = self.way.numbers.below(self.open.len() as u32) as usize;
            let connection = self.open.get_mut(at)?;
            connection.burst(&mut self.way, now);
            if connection.is_complete(&self.way.truth) {
                connection.close(&mut self.way, now);
                self.open.swap_remove(at);
            }
        }
    }

    /// Octets that were acknowledged and not captured.
    pub(super) fn lost(&self) -> u64 {
        self.way.lost
    }
}

impl Connection {
    /// The handshake.
    fn open(flow: u32, way: &mut Way, now: u32) -> Connection {
        let hosts = Sides::from_fn(|_| Host { clock: now, received: Receiver::new(now), ..Host::default() });
        let connection = Connection { flow, turn: Side::Client, hosts };
        let ack = connection.bare(&way.truth, Side::Client);
        // The window of a SYN has no scale.
        let syn = Segment {
            flags: Flags::SYN,
            window: window(BUFFER, 0).min(0xffff) as u16,
            options: Options::Open(Timestamps { value: now, echo: 0 }),
            ..ack
        };
        way.capture(syn);
        way.capture(Segment {
            side: Side::Server,
            flags: Flags::SYN | Flags::ACK,
            options: Options::Open(Timestamps { value: now, echo: now }),
            ..syn
        });
        way.capture(ack);
        connection
    }

    /// Segments of the side whose turn it is, and an ACK of what has come of them.
    fn burst(&mut self, way: &mut Way, now: u32) {
        let side = self.turn;
        self.turn = !side;
        Side::BOTH.into_iter().for_each(|side| self.hosts[side].tick(now));
        let mut has_come = false;
        for _ in 0..=way.numbers.below(BURST) {
            has_come |= self.fill_place(side, way);
        }
        if has_come {
            way.capture(self.bare(&way.truth, !side));
        }
    }

    /// What is under way and due comes first, then what is new, if the receiver has acknowledged enough. Returns whether
    /// something has arrived.
    fn fill_place(&mut self, side: Side, way: &mut Way) -> bool {
        let host = &mut self.hosts[side];
        host.places += 1;
        if let Some(at) = host.under_way.iter().position(|late| late.due <= host.places) {
            let late = host.under_way.swap_remove(at);
            let index = index(&late.segment);
            let segment = if late.again { self.segment(&way.truth, side, index) } else { late.segment };
            way.capture(segment);
            self.arrive(&segment);
            return true;
        }
        let index = host.sent;
        let is_all = u64::from(index) * u64::from(MSS) >= way.truth.len(self.flow, !side);
        if is_all || index >= self.hosts[!side].received.in_order() + IN_FLIGHT {
            return false;
        }
        self.hosts[side].sent += 1;
        self.send(self.segment(&way.truth, side, index), way)
    }

    /// A new segment. Returns whether it arrives now.
    fn send(&mut self, segment: Segment, way: &mut Way) -> bool {
        let host = &mut self.hosts[segment.side];
        let was_intact = core::mem::take(&mut host.intact);
        let fate = way.fate(was_intact);
        match fate {
            Fate::Late(places) | Fate::Lost(places) => {
                // In the next place it would still be in order.
                let due = host.places + places + 1;
                host.under_way.push(Late { due, segment, again: matches!(fate, Fate::Lost(_)) });
                return false;
            }
            Fate::Intact => {
                host.intact = true;
                way.capture(segment);
            }
            Fate::Missed => way.lost += u64::from(segment.len),
            Fate::Overlapped => {
                let halves = halves(&segment);
                let both = if way.numbers.below(2) == 0 { [halves, segment] } else { [segment, halves] };
                both.into_iter().for_each(|segment| way.capture(segment));
            }
            Fate::Twice => [segment; 2].into_iter().for_each(|segment| way.capture(segment)),
        }
        self.arrive(&segment);
        true
    }

    fn arrive(&mut self, segment: &Segment) {
        let Options::Timestamps(stamps) = segment.options else { return };
        self.hosts[!segment.side].received.arrive(index(segment), stamps.value);
    }

    /// Segment `index` of the stream, as `side` sends it now.
    fn segment(&self, truth: &Truth, side: Side, index: u32) -> Segment {
        let offset = u64::from(index) * u64::from(MSS);
        let len = (truth.len(self.flow, !side) - offset).min(MSS.into());
        // Without blocks: there is no room for them.
        let options = Options::Timestamps(self.stamps(side));
        Segment { offset, len: len as u16, options, ..self.bare(truth, side) }
    }

    /// An ACK of all that has come, behind all that was sent.
    fn bare(&self, truth: &Truth, side: Side) -> Segment {
        let host = &self.hosts[side];
        let octets = |segments: u32, receiver| {
            truth.len(self.flow, receiver).min(u64::from(segments) * u64::from(MSS))
        };
        let ack = octets(host.received.in_order(), side);
        let blocks = host.received.blocks(truth.len(self.flow, side));
        let options = match blocks.iter().all(|block| block.is_empty()) {
            true => Options::Timestamps(self.stamps(side)),
            false => Options::Sack(self.stamps(side), blocks),
        };
        Segment {
            flow: self.flow,
            side,
            flags: Flags::ACK,
            offset: octets(host.sent, !side),
            len: 0,
            ack,
            window: scaled_window(BUFFER, ack),
            options,
        }
    }

    fn stamps(&self, side: Side) -> Timestamps {
        let host = &self.hosts[side];
        Timestamps { value: host.clock, echo: host.received.stamp() }
    }

    /// Whether both sides have received all.
    fn is_complete(&self, truth: &Truth) -> bool {
        Side::BOTH.into_iter().all(|side| {
            let octets = u64::from(self.hosts[side].received.in_order()) * u64::from(MSS);
            octets >= truth.len(self.flow, side)
        })
    }

    /// Both FINs and the ACKs of them.
    fn close(&mut self, way: &mut Way, now: u32) {
        Side::BOTH.into_iter().for_each(|side| self.hosts[side].tick(now));
        let fin = Flags::FIN | Flags::ACK;
        let [client, server] = Side::BOTH.map(|side| self.bare(&way.truth, side));
        way.capture(Segment { flags: fin, ..client });
        way.capture(Segment { flags: fin, ack: server.ack + 1, ..server });
        way.capture(Segment { offset: client.offset + 1, ack: client.ack + 1, ..client });
    }
}

impl Host {
    /// The clock goes on, unless what is under way would be too old then (RFC 7323, 5.3).
    fn tick(&mut self, now: u32) {
        if self.under_way.is_empty() {
            self.clock = now;
        }
    }
}

/// Which segment of its stream it is.
fn index(segment: &Segment) -> u32 {
    (segment.offset / u64::from(MSS)) as u32
}

/// What a sender that counts differently repeats: the half of the segment before, and the first half of this one.
fn halves(segment: &Segment) -> Segment {
    let half = MSS / 2;
    Segment {
        offset: segment.offset - u64::from(half),
        len: half as u16 + segment.len.min(half as u16),
        ..*segment
    }
}
