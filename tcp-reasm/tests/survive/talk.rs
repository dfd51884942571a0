//! Two hosts that talk in TCP headers as they are on the wire, and the monitor between them.

use crate::support::monitor::Monitor;
use ringbuf_core::store::Flat;
use tcp_reasm::{Anomaly, Arrival, Segment, Side, Sides, Strictness, Urgent, Verdict};

pub(crate) use crate::support::{C, S};

/// The initial sequence numbers of both sides.
pub(crate) type Isns = Sides<u32>;

/// Plain ones; numbers that wrap inside the handshake or right behind it; numbers around 2^31.
pub(crate) const ISNS: [Isns; 4] = [
    Sides { client: 1_000_000, server: 3_000_000_000 },
    Sides { client: u32::MAX - 1, server: u32::MAX },
    Sides { client: u32::MAX - 6, server: 0x7fff_fffe },
    Sides { client: 0x7fff_fffc, server: u32::MAX - 3 },
];

pub(crate) const MSS: [u8; 4] = [2, 4, 5, 0xb4];
pub(crate) const MD5: [u8; 18] = [19, 18, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// The timestamps option.
pub(crate) fn ts(value: u32, echo: u32) -> [u8; 10] {
    let mut option = [8, 10, 0, 0, 0, 0, 0, 0, 0, 0];
    option[2..6].copy_from_slice(&value.to_be_bytes());
    option[6..].copy_from_slice(&echo.to_be_bytes());
    option
}

/// One TCP header and its payload.
#[derive(Clone, Copy)]
pub(crate) struct Tcp<'a> {
    pub(crate) from: Side,
    /// By their first letters; C and E are those of ECN.
    pub(crate) flags: &'a str,
    /// Counted from the first payload octet, as `ack` is.
    pub(crate) seq: i64,
    pub(crate) ack: i64,
    pub(crate) data: &'a [u8],
    pub(crate) options: &'a [u8],
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    /// What stands in the field instead.
    pub(crate) raw_seq: Option<u32>,
    pub(crate) raw_ack: Option<u32>,
    /// The data offset, when it is not the right one.
    pub(crate) words: Option<u8>,
    pub(crate) reserved: u8,
    /// The checksum is wrong.
    pub(crate) damaged: bool,
}

/// From the client.
pub(crate) fn c(flags: &str, seq: i64, ack: i64) -> Tcp<'_> {
    Tcp {
        from: C,
        flags,
        seq,
        ack,
        data: b"",
        options: &[],
        window: u16::MAX,
        urgent: 0,
        raw_seq: None,
        raw_ack: None,
        words: None,
        reserved: 0,
        damaged: false,
    }
}

/// From the server.
pub(crate) fn s(flags: &str, seq: i64, ack: i64) -> Tcp<'_> {
    Tcp { from: S, window: 64_240, ..c(flags, seq, ack) }
}

impl<'a> Tcp<'a> {
    pub(crate) fn data(self, data: &'a str) -> Self {
        Tcp { data: data.as_bytes(), ..self }
    }

    pub(crate) fn options(self, options: &'a [u8]) -> Self {
        Tcp { options, ..self }
    }

    pub(crate) fn urgent(self, urgent: u16) -> Self {
        Tcp { urgent, ..self }
    }

    pub(crate) fn bytes(&self, isns: Isns) -> Vec<u8> {
        let place = |side: Side, n: i64| isns[side].wrapping_add(1).wrapping_add(n as u32);
        let flags = self.flags.chars().map(|f| 1 << "FSRPAUEC".find(f).unwrap()).sum::<u8>();
        let ack = if self.flags.contains('A') { place(!self.from, self.ack) } else { 0 };
        let options_len = self.options.len().next_multiple_of(4);
        let words = self.words.unwrap_or(u8::try_from(5 + options_len / 4).unwrap());
        let mut bytes = match self.from {
            Side::Client => vec![0x9c, 0x40, 0x1f, 0x90],
            Side::Server => vec![0x1f, 0x90, 0x9c, 0x40],
        };
        bytes.extend(self.raw_seq.unwrap_or(place(self.from, self.seq)).to_be_bytes());
        bytes.extend(self.raw_ack.unwrap_or(ack).to_be_bytes());
        bytes.extend([words << 4 | self.reserved, flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(self.options);
        bytes.resize(20 + options_len, 1); // NOP
        bytes.extend(self.data);
        let sum = checksum(&bytes) ^ if self.damaged { 0x5555 } else { 0 };
        bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// RFC 1071 over a pseudo header between 10.0.0.1 and 10.0.0.2, and the bytes. 0 when they have the right one.
fn checksum(bytes: &[u8]) -> u16 {
    let pair = |p: &[u8]| u64::from(p[0]) << 8 | p.get(1).map_or(0, |b| u64::from(*b));
    let pseudo = 0x0a00 + 1 + 0x0a00 + 2 + 6 + bytes.len() as u64;
    let mut sum = bytes.chunks(2).map(pair).sum::<u64>() + pseudo;
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// How a connection ends for the application of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The stream ended with a FIN.
    Eof,
    Open,
    Reset,
}

/// Two hosts and the monitor.
pub(crate) struct Talk {
    pub(crate) monitor: Monitor,
    pub(crate) isns: Isns,
    /// What was odd about the last segment, or why it was refused.
    pub(crate) told: Vec<Anomaly>,
    /// What the last segment was going to do.
    pub(crate) arrival: Arrival,
    /// Every urgent octet that was told.
    pub(crate) urgent: Vec<Urgent>,
}

impl Talk {
    /// Nothing was said yet.
    pub(crate) fn new(isns: Isns) -> Self {
        Talk {
            monitor: Monitor::new(1 << 17),
            isns,
            told: Vec::new(),
            arrival: Arrival::default(),
            urgent: Vec::new(),
        }
    }

    /// The client has sent its SYN.
    pub(crate) fn syn(isns: Isns) -> Self {
        let mut t = Talk::new(isns);
        t.takes(c("S", -1, 0).options(&MSS));
        t
    }

    /// The server has answered.
    pub(crate) fn syn_ack(isns: Isns) -> Self {
        let mut t = Talk::syn(isns);
        t.takes(s("SA", -1, 0).options(&MSS));
        t
    }

    /// The handshake is complete.
    pub(crate) fn open(isns: Isns) -> Self {
        let mut t = Talk::syn_ack(isns);
        t.takes(c("A", 0, 0));
        assert!(t.is_established());
        t
    }

    /// The handshake is complete, with timestamps: the client's last one was 1001, the server's 5000.
    pub(crate) fn open_with_timestamps(isns: Isns) -> Self {
        let mut t = Talk::new(isns);
        t.takes(c("S", -1, 0).options(&ts(1000, 0)));
        t.takes(s("SA", -1, 0).options(&ts(5000, 1000)));
        t.takes(c("A", 0, 0).options(&ts(1001, 5000)));
        assert!(t.is_established());
        t
    }

    pub(crate) fn strict(mut self, strictness: Strictness) -> Self {
        self.monitor.conn.set_strictness(strictness);
        self
    }

    /// `None`: a host finds no segment in it.
    pub(crate) fn play(&mut self, tcp: Tcp<'_>) -> Option<Verdict> {
        let bytes = tcp.bytes(self.isns);
        self.told.clear();
        if checksum(&bytes) != 0 {
            return None; // what looks at checksums lies below this crate
        }
        let segment = Segment::parse(&bytes, bytes.len()).ok()?;
        self.arrival = self.monitor.conn.arriving::<Flat<[u8; 0]>, 0>(!tcp.from, &segment, None);
        let verdict = self.monitor.play(tcp.from, &segment);
        match verdict {
            Verdict::Refuse(anomaly) => self.told.push(anomaly),
            Verdict::Accept | Verdict::Restart => {
                let (sent, report) = &self.monitor.last;
                self.told.extend(sent.odd.iter().chain(report.odd.iter()));
                self.urgent.extend(report.urgent);
            }
        }
        Some(verdict)
    }

    /// It is taken, and nothing is odd about it.
    #[track_caller]
    pub(crate) fn takes(&mut self, tcp: Tcp<'_>) -> &mut Self {
        self.takes_odd(tcp, &[])
    }

    /// It is taken, and just this is odd about it.
    #[track_caller]
    pub(crate) fn takes_odd(&mut self, tcp: Tcp<'_>, odd: &[Anomaly]) -> &mut Self {
        assert_eq!(self.play(tcp), Some(Verdict::Accept), "{} {} {}", tcp.from, tcp.flags, tcp.seq);
        assert_eq!(self.told, odd, "{} {} {}", tcp.from, tcp.flags, tcp.seq);
        self
    }

    /// It is taken, whatever is odd about it.
    #[track_caller]
    pub(crate) fn takes_somehow(&mut self, tcp: Tcp<'_>) -> &mut Self {
        assert_eq!(self.play(tcp), Some(Verdict::Accept), "{} {} {}", tcp.from, tcp.flags, tcp.seq);
        self
    }

    /// It is refused for this reason, and no state changes.
    #[track_caller]
    pub(crate) fn refuses(&mut self, tcp: Tcp<'_>, anomaly: Anomaly) -> &mut Self {
        self.refuses_for(tcp, &[anomaly])
    }

    /// It is refused for one of these reasons, and no state changes.
    #[track_caller]
    pub(crate) fn refuses_for(&mut self, tcp: Tcp<'_>, anomalies: &[Anomaly]) -> &mut Self {
        let before = self.states();
        let verdict = self.play(tcp);
        let refused = |a: &Anomaly| verdict == Some(Verdict::Refuse(*a));
        let what = format!("{} {} {}: {verdict:?}", tcp.from, tcp.flags, tcp.seq);
        assert!(anomalies.iter().any(refused), "{what} is not for {anomalies:?}");
        assert_eq!(self.states(), before, "{what}");
        self
    }

    /// A host finds no segment in it.
    #[track_caller]
    pub(crate) fn drops(&mut self, tcp: Tcp<'_>) -> &mut Self {
        assert_eq!(self.play(tcp), None, "{} {} {}", tcp.from, tcp.flags, tcp.seq);
        self
    }

    /// It begins a new connection.
    #[track_caller]
    pub(crate) fn restarts(&mut self, tcp: Tcp<'_>) -> &mut Self {
        assert_eq!(self.play(tcp), Some(Verdict::Restart), "{} {} {}", tcp.from, tcp.flags, tcp.seq);
        self
    }

    /// What the application of `host` has read, and how its connection ended. Nothing was lost.
    #[track_caller]
    pub(crate) fn ends(&self, host: Side, text: &str, fate: Fate) {
        assert_eq!((self.monitor.text(host).as_str(), self.fate(host)), (text, fate), "{host}");
        assert!(self.monitor.streams[host].lost.is_empty(), "nothing is given up");
    }

    pub(crate) fn fate(&self, host: Side) -> Fate {
        match (self.monitor.conn.is_finished(host), self.monitor.conn.was_reset()) {
            (true, _) => Fate::Eof,
            (false, true) => Fate::Reset,
            (false, false) => Fate::Open,
        }
    }

    pub(crate) fn states(&self) -> (tcp_reasm::State, tcp_reasm::State) {
        (self.monitor.conn.state(C), self.monitor.conn.state(S))
    }

    pub(crate) fn is_established(&self) -> bool {
        use tcp_reasm::State::Established;
        self.states() == (Established, Established)
    }

    /// Octets that the receiver `side` acknowledged and nobody saw.
    pub(crate) fn has_gap(&self, side: Side) -> bool {
        self.monitor.conn.gap::<0>(side, None).is_some()
    }
}
