//! midstat.c: its tables, against what a naive reading of tshark's packets says.

use super::{are_there, micros, only, sample, settings, shared, ticks, tshark};
use crate::support::{Run, recorded};
use std::collections::BTreeSet;
use std::path::Path;

const TITLES: &str = "Proto CPU Client Address        Client State Server Address        Server State";

/// A TCP packet, by tshark.
struct Packet {
    from: String,
    to: String,
    flags: u32,
    seq: u32,
    ack: u32,
    len: u32,
}

impl Packet {
    /// The number behind it.
    fn end(&self) -> u32 {
        let more = u32::from(self.flags & (SYN | FIN) != 0);
        self.seq.wrapping_add(self.len).wrapping_add(more)
    }
}

const FIN: u32 = 1;
const SYN: u32 = 2;
const RST: u32 = 4;
const ACK: u32 = 16;

/// One end of a connection, from the packets that it sent and got. A FIN counts as an octet here.
#[derive(Default)]
struct End {
    has_syn: bool,
    is_answered: bool,
    /// Behind its own FIN.
    fin: Option<u32>,
    is_fin_acked: bool,
    /// What it expects next, and what came too early, by its first number and its last one plus 1.
    next: Option<u32>,
    early: Vec<(u32, u32)>,
    /// Behind the FIN of the other end.
    heard: Option<u32>,
    /// The other end's FIN came first.
    is_second: bool,
}

/// Whether one sequence number is not before another one.
fn reaches(one: u32, other: u32) -> bool {
    one.wrapping_sub(other) < 1 << 31
}

impl End {
    fn has_heard_all(&self) -> bool {
        self.heard.zip(self.next).is_some_and(|(fin, next)| reaches(next, fin))
    }

    fn says(&mut self, p: &Packet) {
        self.has_syn |= p.flags & SYN != 0;
        if p.flags & FIN != 0 && self.fin.is_none() {
            self.fin = Some(p.end());
            self.is_second = self.has_heard_all();
        }
        if p.flags & ACK != 0 {
            self.advance(p.ack); // it has heard that, captured or not
        }
    }

    fn hears(&mut self, p: &Packet) {
        if p.flags & ACK != 0 && self.has_syn {
            self.is_answered = true;
            self.is_fin_acked |= self.fin.is_some_and(|fin| reaches(p.ack, fin));
        }
        if p.flags & SYN != 0 {
            self.next.get_or_insert(p.end());
            return;
        }
        if p.flags & FIN != 0 {
            self.heard = Some(p.end());
        }
        self.early.push((p.seq, p.end()));
        for _ in 0..self.early.len() {
            for (start, end) in self.early.clone() {
                if self.next.is_some_and(|next| reaches(next, start)) {
                    self.advance(end);
                }
            }
        }
        self.early.retain(|(_, end)| self.next.is_some_and(|next| !reaches(next, *end)));
    }

    fn advance(&mut self, to: u32) {
        self.next = self.next.map(|next| if reaches(to, next) { to } else { next });
    }

    fn state(&self) -> &'static str {
        if !self.has_syn || !self.is_answered {
            return if self.next.is_none() { "SYN_SENT" } else { "SYN_RCVD" };
        }
        match (self.fin.is_some(), self.has_heard_all(), self.is_fin_acked) {
            (false, false, _) => "ESTABLISHED",
            (false, true, _) => "CLOSE_WAIT",
            (true, false, false) => "FIN_WAIT_1",
            (true, false, true) => "FIN_WAIT_2",
            (true, true, false) if self.is_second => "LAST_ACK",
            (true, true, true) if self.is_second => "CLOSED",
            (true, true, false) => "CLOSING",
            (true, true, true) => "TIME_WAIT",
        }
    }
}

struct Connection {
    client: String,
    server: String,
    ends: [End; 2],
}

impl Connection {
    fn row(&self, cpu: usize) -> String {
        let [client, server] = self.ends.each_ref().map(End::state);
        format!("tcp   {cpu:<3} {:<21} {client:<12} {:<21} {server:<12}", self.client, self.server)
    }
}

/// Takes a packet into the connections that there are.
fn take(connections: &mut Vec<Connection>, p: &Packet) {
    let is = |c: &Connection, client: &str, server: &str| c.client == client && c.server == server;
    let place = connections.iter().position(|c| is(c, &p.from, &p.to) || is(c, &p.to, &p.from));
    let place = match place {
        Some(place) => place,
        None if p.flags & (SYN | ACK) == SYN => {
            let [client, server] = [&p.from, &p.to].map(Clone::clone);
            connections.push(Connection { client, server, ends: Default::default() });
            connections.len() - 1
        }
        None => return,
    };
    let c = &mut connections[place];
    let from = usize::from(c.client != p.from);
    c.ends[from].says(p);
    c.ends[1 - from].hears(p);
    let is_over = c.ends.iter().all(|end| ["CLOSED", "TIME_WAIT"].contains(&end.state()));
    if is_over || p.flags & RST != 0 {
        connections.remove(place);
    }
}

/// The tables that a program shall print that does so each `interval` microseconds, and the last one.
fn expected(capture: &Path, interval: u64) -> Option<Vec<Vec<String>>> {
    let addresses = ["ip.src", "tcp.srcport", "ip.dst", "tcp.dstport"];
    let fields = ["frame.time_epoch", "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.len"];
    let all = tshark(capture, "frame", &[&fields[..], &addresses].concat())?;
    let times: Vec<u64> = all.iter().map(|values| micros(&values[0])).collect();
    let ticks = ticks(&times, interval);
    let (mut connections, mut tables) = (Vec::new(), Vec::new());
    let table = |connections: &[Connection]| connections.iter().map(|c| c.row(0)).collect::<Vec<_>>();
    for (i, values) in all.iter().enumerate() {
        if ticks.contains(&i) {
            tables.push(table(&connections));
        }
        let [_, flags, seq, ack, len, src, sport, dst, dport] = &values[..] else { panic!("{values:?}") };
        if !flags.is_empty() && !src.is_empty() && !src.contains(',') {
            let number = |text: &String| text.parse().unwrap();
            let packet = Packet {
                from: format!("{src}:{sport}"),
                to: format!("{dst}:{dport}"),
                flags: u32::from_str_radix(&flags[2..], 16).unwrap(),
                seq: number(seq),
                ack: number(ack),
                len: number(len),
            };
            take(&mut connections, &packet);
        }
    }
    tables.push(table(&connections));
    Some(tables)
}

/// What the program prints, table by table.
fn tables(capture: &Path, options: &[&str]) -> Vec<Vec<String>> {
    let run = Run::new(&sample("midstat"), Some(capture)).arg("-f").arg(settings("midstat"));
    let printed = run.args(options).env("MOS_CHECKSUM", "off").output();
    let mut tables: Vec<Vec<String>> = Vec::new();
    for line in printed.lines() {
        match (line == TITLES, tables.last_mut()) {
            (true, _) => tables.push(Vec::new()),
            (false, Some(table)) => table.push(line.to_owned()),
            (false, None) => panic!("{line}"),
        }
    }
    tables
}

/// Compares all tables. Returns the pairs of states in them.
fn compare(capture: &Path, interval: u64, options: &[&str]) -> Option<BTreeSet<[String; 2]>> {
    let expected = expected(capture, interval)?;
    let printed = tables(capture, options);
    assert!(printed == expected, "{}:\n{printed:#?}\n{expected:#?}", capture.display());
    let states = |row: &String| {
        let words: Vec<&str> = row.split_whitespace().collect();
        [words[3].to_owned(), words[5].to_owned()]
    };
    Some(printed.iter().flatten().map(states).collect())
}

#[test]
fn states_at_any_time_are_those_of_the_packets() {
    let mut seen = BTreeSet::new();
    for (name, millis) in [("halfclose.pcap", 10_u64), ("lossy.pcap", 15), ("reset.pcap", 2)] {
        let options = ["-c", "1", "-i", &millis.to_string()];
        let Some(states) = compare(&recorded(name), millis * 1000, &options) else { return };
        seen.extend(states);
    }
    for states in [["ESTABLISHED", "SYN_RCVD"], ["ESTABLISHED", "FIN_WAIT_1"], ["FIN_WAIT_2", "CLOSE_WAIT"]] {
        assert!(seen.contains(&states.map(str::to_owned)), "{states:?}: {seen:?}");
    }
}

#[test]
fn a_table_is_printed_each_second() {
    let captures = [
        "d11-smb2-peter-minus-p191",
        "d15-reassembly",
        "d17-miss_end_data",
        "d19-206_example_a",
        "d24-one_tcp_stream",
        "d25-tcp-reassembly",
        "d26-ultrasurf",
        "d27-weibo",
    ];
    let mut seen = BTreeSet::new();
    for name in captures {
        let Some(capture) = shared(&format!("{name}.pcap")) else { return };
        let Some(states) = compare(&capture, 1_000_000, &["-c", "1"]) else { return };
        seen.extend(states);
    }
    assert!(seen.contains(&["LAST_ACK", "TIME_WAIT"].map(str::to_owned)), "{seen:?}");
}

#[test]
fn two_cores_show_what_one_does() {
    // Without ends all are there at the end, whichever core is ahead.
    let unfinished = "ip and tcp.flags.fin == 0 and tcp.flags.reset == 0";
    let Some(capture) = only(&recorded("short4.pcap"), unfinished, "unfinished.pcap") else { return };
    let Some(expected) = expected(&capture, 1_000_000) else { return };
    assert!(expected.len() == 1 && expected[0].len() == 60);
    if !are_there(2) {
        return;
    }
    let printed = tables(&capture, &["-c", "2"]);
    let of_core = |core| printed[0].iter().filter(|row| row[6..].starts_with(core)).count();
    let (one, two) = (of_core("0"), of_core("1"));
    assert!(printed.len() == 1 && one > 0 && two > 0 && one + two == 60, "{printed:#?}");
    let sorted = |rows: &[String]| {
        let mut rows: Vec<String> = rows.iter().map(|row| row.replacen("tcp   1", "tcp   0", 1)).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&printed[0]), sorted(&expected[0]));
}
