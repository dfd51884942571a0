//! One exchange: the steps of a plan against the kernel, and a monitor that sees every segment of it.

use crate::host::{Diag, Host};
use crate::script::{Draft, Extra, Mark, Place, Plan, Stamp, Step};
use crate::support::monitor::Monitor;
use crate::wire::{Packet, Wire, packet};
use etherparse::TcpHeader;
use ringbuf_core::SeqNum;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4};
use tcp_reasm::{Anomaly, Flags, Segment, Side, State, UrgentPolicy, Verdict};

/// More than the kernel's window.
const RING: u32 = 1 << 17;

/// The kernel, and how to reach it.
pub(crate) struct Net {
    wire: Wire,
    diag: Diag,
    /// Exchanges so far: each has ports of its own.
    count: u32,
}

impl Net {
    pub(crate) fn new() -> Self {
        Net { wire: Wire::new(), diag: Diag::new(), count: 0 }
    }

    /// An end that no exchange had before.
    fn peer(&mut self) -> SocketAddrV4 {
        self.count += 1;
        let host = u8::try_from(2 + self.count % 250).expect("small");
        let port = 1024 + u16::try_from(self.count / 250 % 60_000).expect("small");
        SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, host), port)
    }
}

/// Where kernel and monitor part.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Difference {
    /// Octets that the application read, and those that the monitor says it read.
    Octets {
        kernel: String,
        monitor: String,
    },
    State {
        kernel: State,
        monitor: State,
    },
    /// How much the kernel sent of its stream, and how much of it our end received, says the monitor.
    Sent {
        kernel: usize,
        monitor: usize,
    },
}

impl Difference {
    /// Whether it may be the same one, seen in another exchange.
    pub(crate) fn is_like(&self, other: &Difference) -> bool {
        match (self, other) {
            (Difference::Octets { .. }, Difference::Octets { .. })
            | (Difference::Sent { .. }, Difference::Sent { .. }) => true,
            _ => self == other,
        }
    }
}

/// What came of an exchange.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) trace: String,
    pub(crate) difference: Option<Difference>,
    /// It got to ESTABLISHED.
    pub(crate) established: bool,
    pub(crate) octets: usize,
    pub(crate) segments: usize,
    /// The kernel's FIN had to wait in its queue.
    pub(crate) late_fin: bool,
    /// The kernel's application is gone.
    pub(crate) closed: bool,
    /// Steps that were played.
    pub(crate) steps: usize,
    /// Why the monitor refused segments of ours.
    pub(crate) refused: Vec<Anomaly>,
    pub(crate) last: Last,
}

/// The last segment of ours, as the kernel saw it.
#[derive(Default)]
pub(crate) struct Last {
    pub(crate) flags: Flags,
    /// The kernel's state before.
    pub(crate) state: Option<State>,
    /// What the monitor said to it.
    pub(crate) verdict: Option<Verdict>,
    /// Where it begins and ends, from RCV.NXT.
    pub(crate) start: i32,
    pub(crate) end: i32,
    /// The flags of the kernel's answers.
    pub(crate) answers: Vec<Flags>,
}

/// What our end knows.
struct View {
    iss: u32,
    clock: u32,
    offers_stamps: bool,
    /// The kernel's ISN.
    irs: Option<u32>,
    /// One past everything the kernel sent.
    kernel_nxt: u32,
    kernel_acked: u32,
    kernel_scale: Option<u8>,
    kernel_stamps: bool,
    kernel_clock: u32,
    kernel_fin: bool,
    edge: u32,
    una: u32,
    top: u32,
    scales: bool,
}

struct Exchange<'n> {
    net: &'n mut Net,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    kernel: Side,
    host: Host,
    monitor: Monitor,
    view: View,
    /// The kernel's application does not read for a while.
    paused: bool,
    /// The ISN of the kernel's stream, which survives that we begin another one.
    irs: Option<u32>,
    /// Octets that the kernel sent in this connection.
    sent: usize,
    /// Where in what our end received this connection begins.
    ours: usize,
    outcome: Outcome,
}

/// Plays a plan until it ends or the two differ.
pub(crate) fn run(net: &mut Net, plan: &Plan) -> Outcome {
    let peer = net.peer();
    let (host, local) = match plan.kernel {
        Side::Server => Host::listening(plan.inline),
        Side::Client => Host::connecting(peer, plan.inline),
    };
    let outcome = Outcome::default();
    let view = View::new(plan.iss, plan.clock);
    let mut monitor = Monitor::new(RING);
    if plan.inline {
        monitor.conn.set_urgent_policy(plan.kernel, UrgentPolicy::Inline);
    }
    let mut exchange = Exchange {
        net,
        local,
        peer,
        kernel: plan.kernel,
        host,
        monitor,
        view,
        paused: false,
        irs: None,
        sent: 0,
        ours: 0,
        outcome,
    };
    exchange.hear();
    for step in &plan.steps {
        exchange.outcome.steps += 1;
        if !exchange.step(step) {
            break;
        }
    }
    exchange.finish()
}

impl Exchange<'_> {
    /// Returns whether to go on.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Connect => {}
            Step::Segment(draft) => {
                if !self.send(draft) {
                    return false;
                }
            }
            Step::Renew(by) => {
                let iss = self.view.top.wrapping_add(wrap(*by));
                let kernel_fin = self.view.kernel_fin;
                self.view = View { kernel_fin, ..View::new(iss, self.view.clock.wrapping_add(1)) };
            }
            Step::Pause => self.paused = true,
            Step::Resume => self.paused = false,
            Step::Write(_) | Step::ShutDown | Step::Close => self.act(step),
        }
        self.hear();
        if !self.paused {
            self.host.turn();
            self.hear();
        }
        self.compare();
        self.outcome.difference.is_none()
    }

    fn act(&mut self, step: &Step) {
        // Before that nobody could see what the application does.
        let state = self.state();
        if !matches!(state, State::Established | State::CloseWait) {
            return;
        }
        let done = match step {
            Step::Write(len) => self.host.write(*len),
            Step::ShutDown => self.host.shut_down(),
            _ => self.host.close(),
        };
        let _ = writeln!(self.outcome.trace, "  * {step:?}{}", if done { "" } else { " (failed)" });
    }

    fn state(&self) -> State {
        self.net.diag.state(self.local, self.peer)
    }

    /// Sends a segment of ours. Returns whether the monitor can follow.
    fn send(&mut self, draft: &Draft) -> bool {
        self.hear();
        let (header, payload) = self.make(draft);
        let bytes = packet(self.peer, self.local, header, &payload);
        let segment = Segment::parse(&bytes[20..], bytes.len() - 20).expect("well formed");
        let verdict = self.monitor.conn.judge(!self.kernel, &segment);
        self.outcome.last = self.last(&segment, verdict);
        if let Verdict::Refuse(anomaly) = verdict {
            self.outcome.refused.push(anomaly);
        }
        if verdict == Verdict::Restart && segment.opens() != (self.kernel == Side::Server) {
            return false; // the ends change roles, which this monitor does not follow
        }
        let _ = self.monitor.play(!self.kernel, &segment);
        self.note(&format!("{draft:?}"), !self.kernel, &segment, verdict);
        self.net.wire.send(&bytes);
        self.outcome.segments += 1;
        true
    }

    fn last(&self, segment: &Segment<'_>, verdict: Verdict) -> Last {
        let next = self.view.next(self.received());
        Last {
            flags: segment.flags,
            state: Some(self.state()),
            verdict: Some(verdict),
            start: signed(segment.seq.0, next),
            end: signed(segment.end().0, next),
            answers: Vec::new(),
        }
    }

    /// Octets of the connection that the application received, and the end of the stream.
    fn received(&self) -> usize {
        self.host.read.len() - self.host.start + usize::from(self.host.eof)
    }

    fn make(&mut self, draft: &Draft) -> (TcpHeader, Vec<u8>) {
        let received = self.received();
        let view = &mut self.view;
        let next = view.next(received);
        let (place, at) = draft.seq;
        let base = match place {
            Place::Isn => view.iss,
            Place::Next => next,
            Place::Top => view.top.max_seq(next),
            Place::Edge => view.edge,
        };
        let seq = base.wrapping_add(wrap(at));
        let ack = view.ack(draft);
        let mut header = TcpHeader::new(0, 0, seq, draft.window);
        (header.acknowledgment_number, header.urgent_pointer) = (ack, draft.urgent);
        set_flags(&mut header, draft.flags);
        header.set_options_raw(&view.options(draft, ack)).expect("options that fit");
        let first =
            seq.wrapping_add(u32::from(draft.flags.has(Flags::SYN))).wrapping_sub(view.iss.wrapping_add(1));
        let payload: Vec<u8> = (0..u32::try_from(draft.len).expect("small"))
            .map(|i| octet(first.wrapping_add(i), draft.copy))
            .collect();
        view.sent(draft, seq, next);
        (header, payload)
    }

    /// Takes what the kernel sent meanwhile.
    fn hear(&mut self) {
        while let Some(heard) = self.net.wire.receive() {
            if (heard.from, heard.to) != (self.local, self.peer) {
                continue; // of an exchange before
            }
            self.heard(&heard);
        }
    }

    fn heard(&mut self, heard: &Packet) {
        let segment = Segment::parse(&heard.segment, heard.segment.len()).expect("well formed");
        if segment.is_syn() && self.irs != Some(segment.seq.0) {
            self.irs = Some(segment.seq.0);
            (self.sent, self.ours) = (0, self.monitor.streams[!self.kernel].read.len());
        }
        self.view.heard(&segment);
        if let Some(irs) = self.irs.filter(|_| segment.payload_len > 0) {
            let end = signed(segment.data_seq().0, irs.wrapping_add(1)) + segment.payload_len.cast_signed();
            self.sent = self.sent.max(usize::try_from(end).unwrap_or(0));
        }
        self.outcome.last.answers.push(segment.flags);
        let verdict = self.monitor.play(self.kernel, &segment);
        self.note("", self.kernel, &segment, verdict);
        self.outcome.segments += 1;
    }

    fn note(&mut self, draft: &str, from: Side, segment: &Segment<'_>, verdict: Verdict) {
        let view = &self.view;
        let (ours, theirs) = (view.iss.wrapping_add(1), view.irs.map_or(0, |irs| irs.wrapping_add(1)));
        let (base, acked) = if from == self.kernel { (theirs, ours) } else { (ours, theirs) };
        let who = if from == self.kernel { "  <" } else { ">" };
        let trace = &mut self.outcome.trace;
        let _ = write!(trace, "{who} {} seq {}", segment.flags, signed(segment.seq.0, base));
        if segment.is_ack() {
            let _ = write!(trace, " ack {}", signed(segment.ack.0, acked));
        }
        let _ = write!(trace, " win {}", segment.window);
        if segment.payload_len > 0 {
            let text: String = segment.payload.iter().take(24).map(|&b| char::from(b)).collect();
            let _ = write!(trace, " len {} {text:?}", segment.payload_len);
        }
        if let Some(t) = segment.options.timestamps {
            let _ = write!(trace, " ts {} {}", t.value, t.echo);
        }
        let _ = writeln!(trace, "  {verdict:?} {draft}");
    }

    fn compare(&mut self) {
        self.outcome.late_fin |= self.host.shut && !self.view.kernel_fin;
        self.outcome.closed |= self.host.closed;
        let kernel = self.as_visible(self.state());
        let monitor = match self.monitor.conn.state(self.kernel) {
            State::Listen => State::Closed, // the listening socket stays, whatever becomes of connections
            state => state,
        };
        self.outcome.established |= kernel == State::Established;
        let (app, seen) = (&self.host.read, &self.monitor.streams[self.kernel].read);
        let _ = writeln!(
            self.outcome.trace,
            "    = kernel {kernel} read {}; monitor {monitor} read {}",
            app.len(),
            seen.len()
        );
        if self.paused {
            // What it will read shows later.
        } else if self.host.closed && seen.starts_with(app) {
            self.host.read = seen.clone(); // what came after the application had gone
        } else if app != seen {
            let tail = |bytes: &[u8]| bytes.iter().map(|&b| char::from(b)).collect::<String>();
            self.outcome.difference = Some(Difference::Octets { kernel: tail(app), monitor: tail(seen) });
            return;
        }
        let received = self.monitor.streams[!self.kernel].read.len() - self.ours;
        if kernel != monitor {
            self.outcome.difference = Some(Difference::State { kernel, monitor });
        } else if self.sent != received {
            self.outcome.difference = Some(Difference::Sent { kernel: self.sent, monitor: received });
        }
    }

    /// The kernel counts its FIN as sent when it is queued; the wire does not show it before there is room.
    fn as_visible(&self, state: State) -> State {
        if !self.host.shut || self.view.kernel_fin {
            return state;
        }
        match state {
            State::FinWait1 => State::Established,
            State::Closing | State::LastAck => State::CloseWait,
            _ => state,
        }
    }

    fn finish(mut self) -> Outcome {
        self.outcome.octets = self.host.read.len();
        self.host.abort();
        self.outcome
    }
}

impl View {
    fn new(iss: u32, clock: u32) -> Self {
        View {
            iss,
            clock,
            offers_stamps: false,
            irs: None,
            kernel_nxt: 0,
            kernel_acked: iss,
            kernel_scale: None,
            kernel_stamps: false,
            kernel_clock: 0,
            kernel_fin: false,
            edge: iss.wrapping_add(65_535),
            una: 0,
            top: iss.wrapping_add(1),
            scales: false,
        }
    }

    /// RCV.NXT of the kernel: what its application has received, or what it said.
    fn next(&self, received: usize) -> u32 {
        let received = u32::try_from(received).expect("small");
        self.iss.wrapping_add(1).wrapping_add(received).max_seq(self.kernel_acked)
    }

    fn ack(&self, draft: &Draft) -> u32 {
        let base = match draft.ack.0 {
            Mark::Zero => return u32::try_from(draft.ack.1 & 0xffff_ffff).expect("32 bits"),
            Mark::Isn => self.irs.unwrap_or(0),
            Mark::Una => self.una,
            Mark::All => self.kernel_nxt,
        };
        let ack = base.wrapping_add(wrap(draft.ack.1));
        if draft.flags.has(Flags::ACK) { ack } else { 0 }
    }

    /// Our end has sent it.
    fn sent(&mut self, draft: &Draft, seq: u32, next: u32) {
        let len = u32::try_from(draft.len).expect("small");
        let end = seq.wrapping_add(len + u32::from(draft.flags.any(Flags::FIN)));
        if draft.flags.opens() || draft.flags == SYN_ACK {
            self.offers_stamps |= draft.extras.contains(&Extra::Stamps);
            self.scales |= draft.extras.iter().any(|e| matches!(e, Extra::Scale(_)));
        } else if SeqNum(seq).le(SeqNum(self.edge)) {
            self.top = self.top.max_seq(next).max_seq(end);
        }
        if draft.flags.has(Flags::ACK) && draft.ack.0 != Mark::Zero && draft.ack.1 <= 0 {
            self.una = self.una.max_seq(self.ack(draft));
        }
    }

    fn options(&mut self, draft: &Draft, ack: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for extra in &draft.extras {
            match *extra {
                Extra::Mss(mss) => bytes.extend([&[2, 4][..], &mss.to_be_bytes()].concat()),
                Extra::Scale(shift) => bytes.extend([1, 3, 3, shift]),
                Extra::SackPermitted => bytes.extend([1, 1, 4, 2]),
                Extra::Stamps => {}
                Extra::Md5 if bytes.len() <= 12 => {
                    bytes.extend([1, 1, 19, 18]);
                    bytes.extend([7; 16]);
                }
                Extra::Md5 => {}
                Extra::NoLength => bytes.extend([77, 0, 1, 1]),
                Extra::Overrun => bytes.extend([8, 40, 0, 0]),
                Extra::Unknown => bytes.extend([77, 4, 1, 1]),
                Extra::Sack(from, to) => {
                    bytes.extend([1, 1, 5, 10]);
                    bytes.extend(ack.wrapping_add(wrap(from)).to_be_bytes());
                    bytes.extend(ack.wrapping_add(wrap(to)).to_be_bytes());
                }
            }
        }
        if let Some((value, echo)) = self.stamps(draft).filter(|_| bytes.len() <= 28) {
            // In front, for a malformed option ends the list.
            let mut stamps = vec![1, 1, 8, 10];
            stamps.extend(value.to_be_bytes());
            stamps.extend(echo.to_be_bytes());
            bytes.splice(0..0, stamps);
        }
        bytes
    }

    fn stamps(&mut self, draft: &Draft) -> Option<(u32, u32)> {
        let offered = draft.extras.contains(&Extra::Stamps);
        let agreed = self.offers_stamps && self.kernel_stamps && !draft.flags.has(Flags::SYN);
        self.clock = self.clock.wrapping_add(1);
        let (clock, echo) = (self.clock, if draft.flags.has(Flags::ACK) { self.kernel_clock } else { 0 });
        match draft.stamp {
            Stamp::Right => (offered || agreed).then_some((clock, echo)),
            Stamp::Missing => None,
            Stamp::Off(by) => Some((clock.wrapping_add(wrap(by)), echo)),
            Stamp::Zero => Some((0, 0)),
            Stamp::Echo(by) => Some((clock, echo.wrapping_add(wrap(by)))),
        }
    }

    /// The kernel has sent it.
    fn heard(&mut self, segment: &Segment<'_>) {
        if let Some(t) = segment.options.timestamps {
            (self.kernel_clock, self.kernel_stamps) = (t.value, self.kernel_stamps || segment.is_syn());
        }
        if segment.is_rst() {
            return;
        }
        if segment.is_syn() {
            (self.irs, self.kernel_nxt, self.una) =
                (Some(segment.seq.0), segment.end().0, segment.seq.0.wrapping_add(1));
            self.kernel_scale = segment.options.window_scale;
            self.kernel_fin = false;
        }
        self.kernel_fin |= segment.is_fin();
        self.kernel_nxt = self.kernel_nxt.max_seq(segment.end().0);
        if segment.is_ack() {
            let scaled = self.scales && !segment.is_syn();
            let window = u32::from(segment.window) << self.kernel_scale.filter(|_| scaled).unwrap_or(0);
            self.kernel_acked = segment.ack.0;
            self.edge = self.edge.max_seq(segment.ack.0.wrapping_add(window));
            if segment.is_syn() {
                // Of several SYNs this is the one that it takes.
                self.iss = segment.ack.0.wrapping_sub(1);
                self.edge = segment.ack.0.wrapping_add(window);
            }
        }
    }
}

const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

trait Sequence {
    fn max_seq(self, other: Self) -> Self;
}

impl Sequence for u32 {
    fn max_seq(self, other: u32) -> u32 {
        SeqNum(self).max(SeqNum(other)).0
    }
}

trait Opens {
    fn opens(self) -> bool;
}

impl Opens for Flags {
    fn opens(self) -> bool {
        self.has(Flags::SYN) && !self.any(Flags::ACK | Flags::RST | Flags::FIN)
    }
}

/// The octet at a place of our stream, in one of its copies.
fn octet(at: u32, copy: u8) -> u8 {
    let (first, many) = [(b'a', 26), (b'A', 26), (b'0', 10)][usize::from(copy)];
    first + u8::try_from(at % many).expect("small")
}

fn set_flags(header: &mut TcpHeader, flags: Flags) {
    header.fin = flags.has(Flags::FIN);
    header.syn = flags.has(Flags::SYN);
    header.rst = flags.has(Flags::RST);
    header.psh = flags.has(Flags::PSH);
    header.ack = flags.has(Flags::ACK);
    header.urg = flags.has(Flags::URG);
    header.ece = flags.has(Flags::ECE);
    header.cwr = flags.has(Flags::CWR);
    header.ns = flags.has(Flags::AE);
}

/// A distance in sequence space.
fn wrap(by: i64) -> u32 {
    u32::try_from(by & 0xffff_ffff).expect("32 bits")
}

fn signed(seq: u32, base: u32) -> i32 {
    SeqNum(seq).distance(SeqNum(base))
}
