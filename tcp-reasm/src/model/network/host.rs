//! One end of the simulated connection: a TCP as simple as can be that is still right (RFC 9293, 7323, 5961), with the
//! choices of Linux where the RFCs leave one. Octets and control bits have *places*, counted from the SYN at 0: the
//! stream begins at 1, the FIN follows its last octet.

mod receive;

use super::rng::Rng;
use crate::options::{Options, Timestamps};
use crate::{Flags, Segment, State};
use core::time::Duration;
use ringbuf_core::SeqNum;
use std::vec;
use std::vec::Vec;

/// Virtual time since the beginning of a run.
pub(super) type Time = Duration;

/// Arbitrary, small: a run must come to its end.
const LONGEST_TIMEOUT: Time = Time::from_secs(4);

/// A segment as it travels.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) seq: SeqNum,
    pub(super) ack: SeqNum,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) options: Options<'static>,
    pub(super) payload: Vec<u8>,
}

impl Packet {
    pub(super) fn segment(&self) -> Segment<'_> {
        let (window, options) = (self.window, self.options);
        Segment { window, options, ..Segment::build(self.seq.0, self.ack.0, self.flags, &self.payload) }
    }
}

/// How an application ends its connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Close {
    At(Time),
    AfterPeer,
    Never,
    Abort(Time),
}

/// What one host and its application are going to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) iss: SeqNum,
    pub(super) stream: Vec<u8>,
    /// When the application writes, and how much of its stream is written then. Ascending, the last one is all.
    pub(super) writes: Vec<(Time, u32)>,
    pub(super) close: Close,
    /// The application does not read in between.
    pub(super) stall: (Time, Time),
    /// Octets of receive buffer.
    pub(super) room: u32,
    pub(super) mss: u32,
    /// Segments are as long as they can be; else of any length.
    pub(super) whole: bool,
    pub(super) timestamps: bool,
    pub(super) scale: Option<u8>,
    pub(super) sack: bool,
    pub(super) delayed_ack: bool,
    pub(super) timeout: Time,
    /// A closed window is probed with the next octet (RFC 9293, 3.8.6.1), not with an old number (Linux).
    pub(super) probe_with_data: bool,
    /// How often an idle connection is probed, and whether with an octet of garbage.
    pub(super) keep_alives: u32,
    pub(super) garbage: bool,
    /// TSval at the beginning.
    pub(super) clock: u32,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) plan: Plan,
    pub(super) state: State,
    pub(super) out: Vec<Packet>,
    // Sending: oldest place not acknowledged, next to send, end of what was sent, end of the peer's window.
    pub(super) una: u32,
    nxt: u32,
    max: u32,
    edge: u32,
    widest: u32,
    cwnd: u32,
    duplicates: u32,
    written: u32,
    closing: bool,
    // Receiving: the peer's ISN, next place, what was last acknowledged, end of what was advertised.
    irs: SeqNum,
    pub(super) rcv_nxt: u32,
    acked: u32,
    offered: u32,
    unread: u32,
    /// By offset of the peer's stream: what came, in order or not.
    pub(super) received: Vec<Option<u8>>,
    peer_fin: Option<u32>,
    recent: u32,
    // What both SYNs offered.
    stamps: bool,
    scaled: bool,
    selective: bool,
    peer_scale: u8,
    // Timers.
    timeout: Time,
    resend_at: Option<Time>,
    ack_at: Option<Time>,
    probe_at: Option<Time>,
    keep_alive_at: Option<Time>,
    established_at: Option<Time>,
    ack_now: bool,
}

impl Host {
    /// A host in LISTEN.
    pub(super) fn new(plan: Plan) -> Self {
        let timeout = plan.timeout;
        let cwnd = plan.mss * 4;
        Host {
            plan,
            state: State::Listen,
            out: Vec::new(),
            una: 0,
            nxt: 0,
            max: 0,
            edge: 0,
            widest: 0,
            cwnd,
            duplicates: 0,
            written: 0,
            closing: false,
            irs: SeqNum(0),
            rcv_nxt: 1,
            acked: 1,
            offered: 1,
            unread: 0,
            received: Vec::new(),
            peer_fin: None,
            recent: 0,
            stamps: false,
            scaled: false,
            selective: false,
            peer_scale: 0,
            timeout,
            resend_at: None,
            ack_at: None,
            probe_at: None,
            keep_alive_at: None,
            established_at: None,
            ack_now: false,
        }
    }

    /// Active open.
    pub(super) fn open(&mut self, now: Time) {
        self.state = State::SynSent;
        self.emit(now, 0, Flags::SYN, Vec::new());
        self.resend_at = Some(now + self.timeout);
    }

    /// Octets that the application could read.
    pub(super) fn in_order(&self) -> u32 {
        self.rcv_nxt - 1 - u32::from(self.peer_fin.is_some_and(|fin| fin < self.rcv_nxt))
    }

    /// Whether the peer's FIN came, in order or not.
    pub(super) fn has_fin(&self) -> bool {
        self.peer_fin.is_some()
    }

    /// Where a segment without octets is sent from. A probe of a closed window does not count.
    fn tip(&self) -> u32 {
        self.max.min(self.edge.max(self.nxt))
    }

    /// The end of the stream, which is the place of the FIN.
    fn end(&self) -> u32 {
        self.plan.stream.len() as u32 + 1
    }

    fn emit(&mut self, now: Time, at: u32, flags: Flags, payload: Vec<u8>) {
        let syn = flags.has(Flags::SYN);
        let window = self.advertise(syn);
        let ack = if flags.has(Flags::ACK) { self.irs + self.rcv_nxt } else { SeqNum(0) };
        if flags.has(Flags::ACK) {
            self.acked = self.rcv_nxt;
            (self.ack_at, self.ack_now) = (None, false);
        }
        let len = payload.len() as u32 + u32::from(syn) + u32::from(flags.has(Flags::FIN));
        self.max = self.max.max(at + len);
        let options = self.options(now, flags);
        self.out.push(Packet { seq: self.plan.iss + at, ack, flags, window, options, payload });
    }

    /// The window to advertise. Its right edge never moves left, so it is rounded up where the scale demands it.
    fn advertise(&mut self, syn: bool) -> u16 {
        let shift = self.plan.scale.filter(|_| self.scaled && !syn).unwrap_or(0);
        let free = self.plan.room.saturating_sub(self.unread);
        let kept = self.offered.saturating_sub(self.rcv_nxt);
        let mut field = free >> shift;
        if field << shift < kept {
            field = kept.div_ceil(1 << shift);
        }
        let field = u16::try_from(field).unwrap_or(u16::MAX);
        self.offered = self.offered.max(self.rcv_nxt + (u32::from(field) << shift));
        field
    }

    fn options(&self, now: Time, flags: Flags) -> Options<'static> {
        let value = self.plan.clock.wrapping_add(now.as_millis() as u32);
        let echo = if flags.has(Flags::ACK) { self.recent } else { 0 };
        // The SYN offers; the SYN/ACK agrees.
        let offers = flags.has(Flags::SYN) && !flags.has(Flags::ACK);
        let agrees = |offer: bool, agreed: bool| if offers { offer } else { agreed };
        let stamps = agrees(self.plan.timestamps, self.stamps);
        let scale = self.plan.scale.filter(|_| flags.has(Flags::SYN) && agrees(true, self.scaled));
        Options {
            timestamps: stamps.then_some(Timestamps { value, echo }),
            window_scale: scale,
            sack_permitted: flags.has(Flags::SYN) && agrees(self.plan.sack, self.selective),
            ..Options::default()
        }
    }

    /// Sends what there is to send and the peer has room for, or an acknowledgement that is due.
    fn output(&mut self, now: Time, rng: &mut Rng) {
        use State::{CloseWait, Closing, Established, FinWait1, LastAck};
        if matches!(self.state, Established | CloseWait | FinWait1 | Closing | LastAck) {
            let limit = self.edge.min(self.una + self.cwnd);
            while let Some((len, fin)) = self.next_segment(limit, rng) {
                self.emit_data(now, self.nxt, len, fin);
                self.nxt += len + u32::from(fin);
            }
            if self.una < self.nxt {
                self.probe_at = None;
                self.resend_at = self.resend_at.or(Some(now + self.timeout));
            } else {
                self.resend_at = None;
                let blocked = self.una < self.end() && self.una <= self.written;
                self.probe_at = self.probe_at.or(Some(now + self.timeout)).filter(|_| blocked);
            }
        }
        if self.ack_now {
            self.emit(now, self.tip(), Flags::ACK, Vec::new());
        }
    }

    /// How many octets come next, and whether the FIN goes with them.
    fn next_segment(&self, limit: u32, rng: &mut Rng) -> Option<(u32, bool)> {
        let ready = limit.min(self.written + 1).saturating_sub(self.nxt);
        let len = if ready == 0 { 0 } else { self.cut(ready, rng) };
        let fin = self.closing && self.nxt + len == self.end();
        (len > 0 || fin).then_some((len, fin))
    }

    fn cut(&self, ready: u32, rng: &mut Rng) -> u32 {
        let most = ready.min(self.plan.mss);
        if self.plan.whole { most } else { 1 + rng.below(most) }
    }

    fn emit_data(&mut self, now: Time, at: u32, len: u32, fin: bool) {
        let payload = self.plan.stream[at as usize - 1..][..len as usize].to_vec();
        let end = if fin { Flags::FIN } else { Flags::default() };
        self.emit(now, at, Flags::ACK | end, payload);
        if fin {
            self.state = match self.state {
                State::Established => State::FinWait1,
                State::CloseWait => State::LastAck,
                other => other,
            };
        }
    }

    fn retransmit_first(&mut self, now: Time, rng: &mut Rng) {
        let ready = self.max.min(self.end()).saturating_sub(self.una);
        let len = if ready == 0 { 0 } else { self.cut(ready, rng) };
        let fin = self.max > self.end() && self.una + len == self.end();
        self.emit_data(now, self.una, len, fin);
    }

    /// Resets the connection as its application wants.
    fn abort(&mut self, now: Time) {
        self.emit(now, self.tip(), Flags::RST | Flags::ACK, Vec::new());
        self.close();
    }

    fn close(&mut self) {
        self.state = State::Closed;
        (self.resend_at, self.ack_at, self.probe_at, self.keep_alive_at) = (None, None, None, None);
        self.ack_now = false;
    }

    /// Probes an idle connection.
    pub(super) fn keep_alive(&mut self, now: Time) {
        let garbage = self.plan.garbage && self.una > 1;
        let payload = if garbage { vec![b'?'] } else { Vec::new() };
        self.emit(now, self.una - 1, Flags::ACK, payload);
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Time> {
        let timers = [self.resend_at, self.ack_at, self.probe_at, self.keep_alive_at, self.application_at()];
        timers.into_iter().flatten().min()
    }

    /// When the application does something next.
    fn application_at(&self) -> Option<Time> {
        let established = self.established_at?;
        if matches!(self.state, State::Closed | State::TimeWait) {
            return None;
        }
        let write = self.plan.writes.first().map(|w| w.0);
        let read = (self.unread > 0).then_some(self.plan.stall.1);
        let close = match self.plan.close {
            Close::At(at) => (!self.closing && write.is_none()).then_some(at),
            Close::Abort(at) => Some(at),
            Close::AfterPeer => {
                let due = !self.closing && write.is_none() && self.state.has_received_fin();
                due.then_some(Time::ZERO)
            }
            Close::Never => None,
        };
        [write, read, close].into_iter().flatten().min().map(|at| at.max(established))
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Time, rng: &mut Rng) {
        let due = |timer: Option<Time>| timer.is_some_and(|at| at <= now);
        if due(self.application_at()) {
            self.run_application(now);
        }
        if due(self.ack_at) {
            self.ack_now = true;
        }
        if due(self.keep_alive_at) {
            self.keep_alive_at = None;
            if self.una == self.max && matches!(self.state, State::Established | State::CloseWait) {
                self.keep_alive(now);
                self.plan.keep_alives -= 1;
                self.touch(now);
            }
        }
        if due(self.probe_at) {
            self.probe(now);
        }
        if due(self.resend_at) {
            self.resend(now);
        }
        self.output(now, rng);
    }

    fn run_application(&mut self, now: Time) {
        if self.unread > 0 && self.plan.stall.1 <= now {
            self.unread = 0;
            self.ack_now = true; // the window is open again
        }
        while let Some((_, written)) = self.plan.writes.first().copied().filter(|w| w.0 <= now) {
            self.written = written;
            self.plan.writes.remove(0);
        }
        let all = self.plan.writes.is_empty();
        match self.plan.close {
            Close::At(at) => self.closing |= all && at <= now,
            Close::AfterPeer => self.closing |= all && self.state.has_received_fin(),
            Close::Abort(at) if at <= now => self.abort(now),
            Close::Abort(_) | Close::Never => {}
        }
    }

    fn back_off(&mut self) {
        self.timeout = (self.timeout * 2).min(LONGEST_TIMEOUT);
    }

    fn probe(&mut self, now: Time) {
        self.back_off();
        self.probe_at = Some(now + self.timeout);
        if self.plan.probe_with_data {
            self.emit_data(now, self.una, 1, false);
        } else {
            self.emit(now, self.una - 1, Flags::ACK, Vec::new());
        }
    }

    fn resend(&mut self, now: Time) {
        self.back_off();
        self.resend_at = Some(now + self.timeout);
        match self.state {
            State::SynSent => self.emit(now, 0, Flags::SYN, Vec::new()),
            State::SynReceived => self.emit(now, 0, Flags::SYN | Flags::ACK, Vec::new()),
            _ => (self.nxt, self.cwnd) = (self.una, self.plan.mss),
        }
    }

    /// Something came: an idle connection is probed a while later.
    fn touch(&mut self, now: Time) {
        self.keep_alive_at = (self.plan.keep_alives > 0).then_some(now + Time::from_millis(700));
    }
}
