//! What a Linux 6.18 host made of hand-written and of searched-for exchanges, against what the monitor makes of them:
//! whether the connection came to be, the octets that the application got, and how it ended.
//!
//! The outcomes are measured and kept apart from this crate; where they are missing, the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::panic)] // the files of the oracles are as they should be, or the test fails

mod support;

use serde_json::Value;
use std::io::Write;
use std::path::Path;
use support::monitor::Monitor;
use support::packets::{Packet, flow};
use support::{C, S};
use tcp_reasm::options::{Options, Timestamps};
use tcp_reasm::{Flags, Segment, Side};

/// The cases in which the monitor and the kernel differ, and why that is so.
const KNOWN: &[(&str, &str)] = &[];

#[test]
fn a_linux_server_and_the_monitor_agree() {
    let (Some(cases), Some(capture)) = (cases("linux_endpoint_cases.json"), read("endpoint_cases.pcap"))
    else {
        return;
    };
    let mut score = Score::new("endpoint");
    for (name, case) in cases.as_object().unwrap() {
        let packets = flow(&capture, port(case), 8080);
        let seen = watch(exchange(case, &packets, C, 0), S);
        score.compare(name, &Outcome::of_server(case), &seen);
    }
    score.settle(71);
}

#[test]
fn a_linux_client_and_the_monitor_agree() {
    let (Some(cases), Some(capture)) = (cases("linux_client_cases.json"), read("client_cases.pcap")) else {
        return;
    };
    let mut score = Score::new("client");
    for (name, case) in cases.as_object().unwrap() {
        let packets = flow(&capture, port(case), 7777);
        let seen = watch(exchange(case, &packets, S, 1), C);
        score.compare(name, &Outcome::of_client(case), &seen);
    }
    score.settle(18);
}

#[test]
fn linux_and_the_monitor_agree_on_packets_found_by_symbolic_execution() {
    let Some(cases) = cases("symtcp_500_kernel.json") else { return };
    let mut score = Score::new("symtcp");
    for case in cases.as_array().unwrap() {
        let packets: Vec<_> = list(case, "packets").map(|packet| (raw(packet), packet)).collect();
        let seen = watch(dialogue(&packets), S);
        score.compare(&case["id"].to_string(), &Outcome::of_server(&case["kernel"]), &seen);
    }
    score.settle(500);
}

/// What a host made of a connection.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    /// The handshake was completed.
    accepted: bool,
    /// What the application read.
    app: String,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// The stream ended with a FIN.
    Eof,
    Open,
    Reset,
}

impl Outcome {
    const NONE: Outcome = Outcome { accepted: false, app: String::new(), fate: Fate::Open };

    /// Of a host that listens. A connection that was not accepted has no application and no end.
    fn of_server(case: &Value) -> Outcome {
        if !case["accepted"].as_bool().unwrap() {
            return Outcome::NONE;
        }
        let fate = match case["fate"].as_str().unwrap() {
            "eof" => Fate::Eof,
            "open" => Fate::Open,
            "reset" => Fate::Reset,
            other => panic!("unknown fate {other}"),
        };
        Outcome { accepted: true, app: app(case), fate }
    }

    /// Of a host that connects: the error was fetched before the data, and tells a reset from an end.
    fn of_client(case: &Value) -> Outcome {
        const ESTABLISHED: u64 = 1;
        const ECONNREFUSED: u64 = 111;
        match (case["tcp_state"].as_u64().unwrap(), case["so_error"].as_u64().unwrap()) {
            (ESTABLISHED, 0) => Outcome { accepted: true, app: app(case), fate: Fate::Open },
            (_, ECONNREFUSED) => Outcome { fate: Fate::Reset, ..Outcome::NONE },
            other => panic!("unknown end {other:?}"),
        }
    }
}

fn app(case: &Value) -> String {
    case["app"].as_str().unwrap().to_owned()
}

/// What the monitor says of `host` after an exchange. A host that takes the peer's FIN tells its application so, even
/// if a RST follows.
fn watch<'a>(exchange: impl IntoIterator<Item = (Side, Segment<'a>)>, host: Side) -> Outcome {
    let mut monitor = Monitor::new(1 << 17);
    let mut accepted = false;
    for (from, segment) in exchange {
        let _ = monitor.play(from, &segment);
        accepted |= monitor.conn.state(host).is_synchronized();
    }
    let fate = match (monitor.conn.is_finished(host), monitor.conn.was_reset()) {
        (true, _) => Fate::Eof,
        (false, true) => Fate::Reset,
        (false, false) => Fate::Open,
    };
    // Without a handshake a host that listens has no connection to tell the end of.
    let fate = if accepted || host == C { fate } else { Fate::Open };
    Outcome { accepted, app: monitor.text(host), fate }
}

/// The segments of a case: those of `crafted` and the kernel's answers to them, `unasked` packets of the kernel
/// included, but not its farewell when its application went away.
fn exchange<'a>(
    case: &Value,
    packets: &'a [Packet],
    crafted: Side,
    unasked: usize,
) -> impl Iterator<Item = (Side, Segment<'a>)> {
    let answers = list(case, "steps").map(|step| list(step, "resp").count()).sum::<usize>() + unasked;
    let farewell = packets.iter().enumerate().filter(|(_, p)| p.from != crafted).nth(answers);
    let end = farewell.map_or(packets.len(), |(at, _)| at);
    let (case, rest) = packets.split_at(end);
    assert!(rest.iter().all(|p| p.from != crafted), "the kernel answered more than was noted");
    assert_eq!(case.iter().filter(|p| p.from != crafted).count(), answers, "an answer is missing");
    if let Some(first) = rest.first() {
        assert!(first.segment().unwrap().flags.any(Flags::FIN | Flags::RST), "a farewell");
    }
    case.iter().filter_map(|packet| Some((packet.from, packet.segment()?)))
}

const CLIENT_ISN: u32 = 0xffff_fff8;
const SERVER_ISN: u32 = 0x7000_0000;

/// The TCP part of a searched-for packet. Its numbers count from the ISNs; what follows the fixed header is one field,
/// and the data offset divides it.
fn raw(packet: &Value) -> Vec<u8> {
    let number = |key: &str| u32::try_from(packet[key].as_u64().unwrap()).unwrap();
    let small = |key: &str| u8::try_from(number(key)).unwrap();
    let short = |key: &str| u16::try_from(number(key)).unwrap().to_be_bytes();
    let mut bytes = [40001_u16.to_be_bytes(), 8080_u16.to_be_bytes()].concat();
    bytes.extend(CLIENT_ISN.wrapping_add(number("rel_seq")).to_be_bytes());
    bytes.extend(SERVER_ISN.wrapping_add(number("rel_ack")).to_be_bytes());
    bytes.extend([small("doff") << 4 | small("resv"), small("flags")]);
    bytes.extend([short("win"), [0; 2], short("urg")].concat());
    let rest = packet["opt_payload_hex"].as_str().unwrap().as_bytes();
    let octet = |hex: &[u8]| u8::from_str_radix(std::str::from_utf8(hex).unwrap(), 16).unwrap();
    bytes.extend(rest.chunks(2).map(octet));
    bytes
}

/// Searched-for packets of a client, each followed by the answers that the kernel is known to have given.
fn dialogue<'a>(packets: &'a [(Vec<u8>, &Value)]) -> Vec<(Side, Segment<'a>)> {
    let mut all = Vec::new();
    let mut kernel = Kernel::default();
    for (bytes, packet) in packets {
        let sent = Segment::parse(bytes, bytes.len());
        all.extend(sent.ok().map(|segment| (C, segment)));
        for answer in list(packet, "resp") {
            all.push((S, kernel.answer(bytes, answer)));
        }
    }
    all
}

/// The headers of the kernel's answers, of which only flags and acknowledgement were noted.
#[derive(Default)]
struct Kernel {
    /// The options that it offers, as the client's SYN does.
    offers: Options<'static>,
}

impl Kernel {
    fn answer(&mut self, to: &[u8], answer: &Value) -> Segment<'static> {
        let flags = flags(answer[0].as_str().unwrap());
        let acked = answer[1].as_u64().map(|n| u32::try_from(n).unwrap());
        let ack = acked.map_or(0, |n| CLIENT_ISN.wrapping_add(1).wrapping_add(n));
        if flags.has(Flags::SYN) {
            self.offers = offers(to.get(20..usize::from(to[12] >> 4) * 4).unwrap_or_default());
            return self.segment(SERVER_ISN, ack, flags);
        }
        if flags.has(Flags::RST) {
            // RFC 9293, 3.10.7.1: from the number that was acknowledged, if one was.
            let acknowledged = u32::from_be_bytes(to[8..12].try_into().unwrap());
            let seq = if flags.has(Flags::ACK) { 0 } else { acknowledged };
            return Segment { window: 0, ..Segment::build(seq, ack, flags, b"") };
        }
        let timestamps = self.offers.timestamps;
        let segment = self.segment(SERVER_ISN.wrapping_add(1), ack, flags);
        let room = u16::try_from(64240 - acked.unwrap_or(0)).unwrap();
        let window = self.offers.window_scale.map_or(room, |shift| room.div_ceil(1 << shift));
        Segment { window, options: Options { timestamps, ..Options::default() }, ..segment }
    }

    fn segment(&self, seq: u32, ack: u32, flags: Flags) -> Segment<'static> {
        Segment { window: 64240, options: self.offers, ..Segment::build(seq, ack, flags, b"") }
    }
}

/// What Linux offers in answer to a SYN with these options. It reads up to the first one that does not fit, and skips
/// those of a wrong length.
fn offers(mut options: &[u8]) -> Options<'static> {
    let mut offers = Options { mss: Some(1460), ..Options::default() };
    loop {
        match options {
            [] | [0, ..] | [_] => return offers,
            [1, rest @ ..] => options = rest,
            [kind, len, ..] => {
                let Some(data) = options.get(2..usize::from(*len)) else { return offers };
                match (kind, data) {
                    (3, [_]) => offers.window_scale = Some(10),
                    (4, []) => offers.sack_permitted = true,
                    (8, &[a, b, c, d, _, _, _, _]) => {
                        let echo = u32::from_be_bytes([a, b, c, d]);
                        offers.timestamps = Some(Timestamps { value: 1, echo });
                    }
                    _ => {}
                }
                options = &options[usize::from(*len)..];
            }
        }
    }
}

fn flags(letters: &str) -> Flags {
    letters.chars().fold(Flags::default(), |all, letter| {
        all | match letter {
            'A' => Flags::ACK,
            'E' => Flags::ECE,
            'R' => Flags::RST,
            'S' => Flags::SYN,
            other => panic!("the kernel answers with {other}"),
        }
    })
}

/// Counts the cases of one kind, and holds what differs against the exceptions.
struct Score {
    kind: &'static str,
    cases: usize,
    differ: Vec<String>,
}

impl Score {
    fn new(kind: &'static str) -> Self {
        Score { kind, cases: 0, differ: Vec::new() }
    }

    fn compare(&mut self, name: &str, kernel: &Outcome, monitor: &Outcome) {
        self.cases += 1;
        if kernel != monitor {
            let name = format!("{}:{name}", self.kind);
            say(&format!("{name}\n    kernel  {kernel:?}\n    monitor {monitor:?}"));
            self.differ.push(name);
        }
    }

    /// Every difference is known, and every known one is one still.
    fn settle(self, cases: usize) {
        let equal = self.cases - self.differ.len();
        say(&format!("{} cases: {equal} of {} equal the kernel", self.kind, self.cases));
        assert_eq!(self.cases, cases);
        let known =
            || KNOWN.iter().map(|(name, _)| *name).filter(|name| name.split(':').next() == Some(self.kind));
        let new: Vec<_> = self.differ.iter().filter(|name| !known().any(|k| k == *name)).collect();
        let gone: Vec<_> = known().filter(|k| !self.differ.iter().any(|name| name == k)).collect();
        assert!(new.is_empty() && gone.is_empty(), "they differ: {new:?}; no more: {gone:?}");
    }
}

#[test]
fn exceptions_are_of_a_kind_and_have_reasons() {
    for (name, reason) in KNOWN {
        let kind = name.split(':').next().unwrap();
        assert!(["endpoint", "client", "symtcp"].contains(&kind) && !reason.is_empty(), "{name}");
    }
}

/// The cases in a file of the shared oracles.
fn cases(name: &str) -> Option<Value> {
    let mut file: Value = serde_json::from_slice(&read(name)?).unwrap();
    Some(file["cases"].take())
}

/// A file of the shared oracles; `None`, and a word about it, where they are not there.
fn read(name: &str) -> Option<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracles");
    if !folder.is_dir() {
        say(&format!("SKIPPED: {} is not there; {name} was not checked", folder.display()));
        return None;
    }
    Some(std::fs::read(folder.join(name)).unwrap())
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

fn port(case: &Value) -> u16 {
    case["port"].as_u64().unwrap().try_into().unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().unwrap().iter()
}
