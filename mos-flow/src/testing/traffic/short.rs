//! Many connections that begin, ask, are answered, and end.

use super::frame::{Options, Segment, scaled_window, window};
use super::truth::Truth;
use super::{MSS, Numbers};
use alloc::vec::Vec;
use tcp_reasm::options::Timestamps;
use tcp_reasm::{Flags, Side, Sides};

/// Connections at once.
const AT_ONCE: usize = 10_000;
/// Octets that a host has room for.
const BUFFER: u32 = 128 << 10;

/// Connections of which one or the other goes on, by a turn of one of its hosts.
#[derive(Debug)]
pub(super) struct Short {
    truth: Truth,
    numbers: Numbers,
    open: Vec<Connection>,
    /// Connections that have begun.
    begun: u32,
    /// The one whose turn it is.
    at: usize,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    flow: u32,
    /// Segments so far.
    segments: u32,
    /// The last timestamp of each host.
    clocks: Sides<u32>,
}

/// What a segment is, but for times and windows.
struct Step {
    side: Side,
    flags: Flags,
    offset: u64,
    len: u64,
    ack: u64,
}

impl Short {
    pub(super) fn new(truth: Truth) -> Short {
        let at_once = AT_ONCE.min(truth.flows() as usize);
        let open = (0..at_once as u32).map(Connection::new).collect();
        let mut numbers = Numbers::new(truth.seed());
        let at = numbers.below(at_once as u32) as usize;
        Short { truth, numbers, open, begun: at_once as u32, at }
    }

    pub(super) fn next(&mut self, now: u32) -> Option<Segment> {
        let connection = self.open.get_mut(self.at)?;
        let step = Step::new(&self.truth, connection.flow, connection.segments)?;
        connection.clocks[step.side] = now;
        let segment = connection.segment(&step);
        connection.segments += 1;
        let next = Step::new(&self.truth, connection.flow, connection.segments).map(|next| next.side);
        if next.is_none() {
            self.end();
        }
        if next != Some(step.side) {
            self.at = self.numbers.below(self.open.len() as u32) as usize;
        }
        Some(segment)
    }

    /// The connection at hand gives way to a new one.
    fn end(&mut self) {
        if self.begun < self.truth.flows() {
            if let Some(place) = self.open.get_mut(self.at) {
                *place = Connection::new(self.begun);
            }
            self.begun += 1;
        } else {
            self.open.swap_remove(self.at);
        }
    }
}

impl Connection {
    fn new(flow: u32) -> Connection {
        Connection { flow, segments: 0, clocks: Sides::default() }
    }

    fn segment(&self, step: &Step) -> Segment {
        let stamps = Timestamps { value: self.clocks[step.side], echo: self.clocks[!step.side] };
        let opens = step.flags.has(Flags::SYN);
        Segment {
            flow: self.flow,
            side: step.side,
            flags: step.flags,
            offset: step.offset,
            len: step.len as u16,
            ack: step.ack,
            // That of a SYN has no scale.
            window: if opens {
                window(BUFFER, 0).min(0xffff) as u16
            } else {
                scaled_window(BUFFER, step.ack)
            },
            options: if opens { Options::Open(stamps) } else { Options::Timestamps(stamps) },
        }
    }
}

impl Step {
    /// What segment `n` of a connection is; `None` after the last.
    fn new(truth: &Truth, flow: u32, n: u32) -> Option<Step> {
        let (request, answer) = (truth.len(flow, Side::Server), truth.len(flow, Side::Client));
        let client = Step { side: Side::Client, flags: Flags::ACK, offset: 0, len: 0, ack: 0 };
        Some(match n {
            0 => Step { flags: Flags::SYN, ..client },
            1 => Step { side: Side::Server, flags: Flags::SYN | Flags::ACK, ..client },
            2 => client,
            3 => Step { flags: Flags::ACK | Flags::PSH, len: request, ..client },
            _ => return Step::answer(request, answer, u64::from(n) - 4),
        })
    }

    /// Segment `n` from the answer on: two of the server, and the client's ACK of them, and so on; then the FINs.
    fn answer(request: u64, answer: u64, n: u64) -> Option<Step> {
        let mss = u64::from(MSS);
        let segments = answer.div_ceil(mss);
        let server = Step { side: Side::Server, flags: Flags::ACK, offset: 0, len: 0, ack: request };
        let client = Step { side: Side::Client, offset: request, ack: answer, ..server };
        let (pair, place) = (n / 3, n % 3);
        let segment = 2 * pair + place;
        Some(match n.checked_sub(segments + segments.div_ceil(2)) {
            None if place < 2 && segment < segments => {
                let offset = segment * mss;
                Step { offset, len: mss.min(answer - offset), flags: Flags::ACK | Flags::PSH, ..server }
            }
            None => Step { ack: answer.min((2 * pair + 2) * mss), ..client },
            Some(0) => Step { flags: Flags::FIN | Flags::ACK, ..client },
            Some(1) => Step { flags: Flags::FIN | Flags::ACK, offset: answer, ack: request + 1, ..server },
            Some(2) => Step { offset: request + 1, ack: answer + 1, ..client },
            Some(_) => return None,
        })
    }
}
