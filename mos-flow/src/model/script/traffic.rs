//! What hosts send, and what of it is captured.

use super::both;
use crate::testing::{Exchange, fragments};
use crate::{Side, Sides};
use std::format;
use std::vec;
use std::vec::Vec;
use tcp_reasm::Flags;

/// Pairs of ports.
const HOSTS: usize = 4;
/// The port of all servers.
pub(super) const SERVER: u16 = 80;
/// Octets that a host sends before it waits for an acknowledgement; less than its peer's window.
const IN_FLIGHT: u32 = 20_000;
/// Octets of the script for one step.
pub(super) const STEP: usize = 5;

/// The octet with a sequence number, from one side of the connection of a client's port.
pub(super) fn octet(port: u16, from: Side, seq: u32) -> u8 {
    let mixed = seq.wrapping_mul(0x9e37_79b1) >> 24;
    mixed as u8 ^ port as u8 ^ if from == Side::Client { 0 } else { 0x55 }
}

fn payload(port: u16, from: Side, seq: u32, len: u32) -> Vec<u8> {
    (0..len).map(|i| octet(port, from, seq.wrapping_add(i))).collect()
}

/// One connection, as its hosts know it.
#[derive(Debug)]
pub(super) struct Life {
    port: u16,
    /// The number of the first octet that each side sends.
    first: Sides<u32>,
    /// By sender: octets that were not captured, as number and length.
    lost: Sides<Vec<(u32, u32)>>,
    /// By sender: the number of its FIN.
    pub(super) end: Sides<Option<u32>>,
}

impl Life {
    /// Whether an octet from a side was sent and not captured.
    pub(super) fn has_lost(&self, from: Side, seq: u32) -> bool {
        self.lost[from].iter().any(|(start, len)| seq.wrapping_sub(*start) < *len)
    }
}

/// Every connection of the script.
#[derive(Debug, Default)]
pub(super) struct Sent(Vec<Life>);

impl Sent {
    /// The connection of a port in which `from` sends its first octet with this number.
    pub(super) fn life(&self, port: u16, from: Side, first: u32) -> Option<&Life> {
        self.0.iter().rev().find(|life| life.port == port && life.first[from] == first)
    }
}

#[derive(Debug)]
struct Host {
    exchange: Exchange,
    port: u16,
    v6: bool,
    /// Lives so far.
    lives: u32,
    /// The place of its life among those of all.
    life: Option<usize>,
    unacknowledged: Sides<u32>,
}

/// The hosts of the script.
#[derive(Debug)]
pub(super) struct Hosts {
    hosts: Vec<Host>,
    gentle: bool,
    frames: u32,
}

impl Hosts {
    pub(super) fn new(gentle: bool) -> Self {
        let host = |n: usize| {
            let (port, v6) = (1000 + n as u16, n == HOSTS - 1);
            let exchange = exchange(port, v6, 0);
            Host { exchange, port, v6, lives: 0, life: None, unacknowledged: both(|| 0) }
        };
        Hosts { hosts: (0..HOSTS).map(host).collect(), gentle, frames: 0 }
    }

    /// Adds the frames of one step, and returns how many microseconds it takes.
    pub(super) fn step(
        &mut self,
        [what, who, a, b, way]: [u8; STEP],
        sent: &mut Sent,
        out: &mut Vec<Vec<u8>>,
    ) -> u64 {
        let gentle = self.gentle;
        let host = &mut self.hosts[usize::from(who) % HOSTS];
        let side = if who & 128 == 0 { Side::Client } else { Side::Server };
        let len = 1 + u32::from(a) * 5;
        let frames = match what % 16 {
            0 | 1 => host.open(sent, gentle),
            2..=5 => host.data(side, len, sent),
            6 => host.lose(side, len, sent),
            7 => host.again(side, u32::from(b) * 8, len, sent),
            8 => vec![host.exchange.ack(side)],
            9 => host.out_of_order(side, len, sent),
            10 => host.end(side, len * u32::from(b & 1), sent),
            11 => host.close(side, sent),
            12 => return u64::from(a) * u64::from(b) * 50,
            13 if !gentle => vec![host.exchange.segment(side, Flags::RST | Flags(u16::from(a) & 0x10), &[])],
            14 if !gentle => host.anew(sent),
            15 if !gentle => host.wild(side, a, i32::from(b.cast_signed()) * 100, way),
            _ => Vec::new(),
        };
        for frame in frames {
            self.frames += 1;
            out.extend(if way & 7 == 0 { self.cut(&frame, way) } else { vec![frame] });
        }
        0
    }

    /// In fragments, in or out of order; of a rough script one may be missing.
    fn cut(&self, frame: &[u8], way: u8) -> Vec<Vec<u8>> {
        // All of a TCP header in the first one, and not more than can wait.
        let size = 24 + frame.len() / 64 * 8;
        let mut parts = fragments(frame, size, self.frames);
        if way & 8 != 0 {
            parts.reverse();
        }
        if way & 16 != 0 && !self.gentle {
            parts.pop();
        }
        parts
    }
}

fn exchange(port: u16, v6: bool, life: u32) -> Exchange {
    // Numbers of one life lie far outside the windows of all others, and cross zero.
    let isn = |first: u32| first.wrapping_add(life.wrapping_mul(0x0200_0000));
    let isn = Sides { client: isn(0xffff_f000), server: isn(0x7fff_ff00) };
    let address = |host| if v6 { format!("[fd00::{host}]") } else { format!("10.0.0.{host}") };
    let client = format!("{}:{port}", address(1)).parse().unwrap();
    Exchange::new(client, format!("{}:{SERVER}", address(2)).parse().unwrap(), isn)
}

impl Host {
    /// Whether a side may still send octets: the handshake was, its FIN was not.
    fn may_send(&self, side: Side, sent: &Sent) -> bool {
        self.life.is_some_and(|life| sent.0[life].end[side].is_none())
    }

    fn open(&mut self, sent: &mut Sent, gentle: bool) -> Vec<Vec<u8>> {
        match self.life {
            None => self.anew(sent),
            Some(_) if gentle => Vec::new(),
            Some(_) => self.exchange.handshake().into(),
        }
    }

    /// A new connection between the same ports, whatever became of the last one.
    fn anew(&mut self, sent: &mut Sent) -> Vec<Vec<u8>> {
        self.lives += 1;
        self.exchange = exchange(self.port, self.v6, self.lives);
        self.unacknowledged = both(|| 0);
        let frames = self.exchange.handshake();
        self.life = Some(sent.0.len());
        let first = Sides::from_fn(|side| self.exchange.seq(side));
        sent.0.push(Life { port: self.port, first, lost: both(Vec::new), end: both(|| None) });
        frames.into()
    }

    fn payload(&self, from: Side, seq: u32, len: u32) -> Vec<u8> {
        payload(self.port, from, seq, len)
    }

    fn next(&mut self, side: Side, len: u32) -> Vec<u8> {
        let payload = self.payload(side, self.exchange.seq(side), len);
        self.unacknowledged[side] += len;
        self.unacknowledged[!side] = 0;
        self.exchange.data(side, &payload)
    }

    fn data(&mut self, side: Side, len: u32, sent: &Sent) -> Vec<Vec<u8>> {
        if !self.may_send(side, sent) {
            return Vec::new();
        }
        let mut frames = vec![self.next(side, len)];
        if self.unacknowledged[side] > IN_FLIGHT {
            self.unacknowledged[side] = 0;
            frames.push(self.exchange.ack(!side));
        }
        frames
    }

    /// Octets that arrive and are not captured, and one that is: acknowledgements of what was never seen are not believed.
    fn lose(&mut self, side: Side, len: u32, sent: &mut Sent) -> Vec<Vec<u8>> {
        if !self.may_send(side, sent) {
            return Vec::new();
        }
        let seq = self.exchange.seq(side);
        let _ = self.next(side, len);
        if let Some(life) = self.life {
            sent.0[life].lost[side].push((seq, len));
        }
        let seen = self.next(side, 1);
        self.unacknowledged[side] = 0;
        vec![seen, self.exchange.ack(!side)]
    }

    /// Octets from before once more, as far as there are any.
    fn again(&self, side: Side, back: u32, len: u32, sent: &Sent) -> Vec<Vec<u8>> {
        let Some(life) = self.life else { return Vec::new() };
        let next = self.exchange.seq(side);
        let seq = sent.0[life].end[side].unwrap_or(next).wrapping_sub(back);
        let payload = self.payload(side, seq, len.min(back));
        vec![self.exchange.segment_at(side, seq, self.exchange.seq(!side), Flags::ACK, &payload)]
    }

    fn out_of_order(&mut self, side: Side, len: u32, sent: &Sent) -> Vec<Vec<u8>> {
        if !self.may_send(side, sent) {
            return Vec::new();
        }
        let (first, second) = (self.next(side, len), self.next(side, 100));
        vec![second, first]
    }

    fn end(&mut self, side: Side, len: u32, sent: &mut Sent) -> Vec<Vec<u8>> {
        let Some(life) = self.life.filter(|_| self.may_send(side, sent)) else { return Vec::new() };
        let seq = self.exchange.seq(side);
        sent.0[life].end[side] = Some(seq.wrapping_add(len));
        let payload = self.payload(side, seq, len);
        vec![self.exchange.segment(side, Flags::FIN | Flags::ACK, &payload)]
    }

    /// What is missing of two FINs, and the last acknowledgements.
    fn close(&mut self, first: Side, sent: &mut Sent) -> Vec<Vec<u8>> {
        if self.life.is_none() {
            return Vec::new();
        }
        let mut frames = self.end(first, 0, sent);
        frames.extend(self.end(!first, 0, sent));
        frames.extend([self.exchange.ack(first), self.exchange.ack(!first)]);
        self.life = None;
        frames
    }

    /// Any flags, anywhere near.
    fn wild(&mut self, side: Side, flags: u8, by: i32, len: u8) -> Vec<Vec<u8>> {
        let seq = self.exchange.seq(side).wrapping_add_signed(by);
        let syn = u32::from(flags & Flags::SYN.0 as u8 != 0);
        let payload = self.payload(side, seq.wrapping_add(syn), len.into());
        vec![self.exchange.segment_at(side, seq, self.exchange.seq(!side), Flags(flags.into()), &payload)]
    }
}
