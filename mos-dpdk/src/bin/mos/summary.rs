//! What is told at the end of a run: counters that are not zero, with their sentences.

use mos_flow::stats::Group;
use mos_flow::{DropReason, Event, Stats};
use serde::Serialize;
use serde_json::{Map, Value};
use std::io::{self, Write};

/// What an engine has seen, or several together. The names and their order are the format.
#[derive(Debug, Serialize)]
pub(crate) struct Counts {
    packets: u64,
    /// On the wire.
    bytes: u64,
    segments: u64,
    flows: u64,
    stream_bytes: u64,
    retransmitted_bytes: u64,
    gap_bytes: u64,
    late_bytes: u64,
    refused_bytes: u64,
    conflicts: u64,
    keep_alives: u64,
    zero_windows: u64,
    events: Map<String, Value>,
    drops: Map<String, Value>,
    anomalies: Map<String, Value>,
    odd: Map<String, Value>,
    losses: Map<String, Value>,
    /// Of this run, files included.
    seconds: f64,
    packets_per_second: f64,
}

impl Counts {
    pub(crate) fn new(stats: &Stats, seconds: f64) -> Self {
        let count = |name: &str, n: u64| (n > 0).then(|| (name.to_owned(), Value::from(n)));
        let group = |group| {
            stats.counters().filter(|c| c.group == group).filter_map(|c| count(c.symbol, c.count)).collect()
        };
        Counts {
            packets: stats.frames,
            bytes: stats.octets,
            segments: stats.segments,
            flows: stats.flows,
            stream_bytes: stats.stream_octets,
            retransmitted_bytes: stats.retransmitted_octets,
            gap_bytes: stats.gap_octets,
            late_bytes: stats.late_octets,
            refused_bytes: stats.refused_octets,
            conflicts: stats.conflicts,
            keep_alives: stats.keep_alives,
            zero_windows: stats.zero_windows,
            events: Event::ALL.iter().filter_map(|e| count(e.name(), stats.events[*e])).collect(),
            drops: group(Group::Dropped),
            anomalies: group(Group::Refused),
            odd: group(Group::Odd),
            losses: group(Group::Lost),
            seconds,
            packets_per_second: stats.frames as f64 / seconds.max(1e-9),
        }
    }

    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "packets      {:>12}  ({} bytes on the wire)", self.packets, self.bytes)?;
        writeln!(out, "tcp segments {:>12}  in {} connections", self.segments, self.flows)?;
        writeln!(out, "stream bytes {:>12}  ({} sent again)", self.stream_bytes, self.retransmitted_bytes)?;
        let odd = [("keep-alive probes", self.keep_alives), ("windows of zero", self.zero_windows)];
        for (what, n) in odd.iter().filter(|(_, n)| *n > 0) {
            writeln!(out, "             {n:>12}  {what}")?;
        }
        let counters = [
            ("events", None, &self.events),
            ("not followed", Some(Group::Dropped), &self.drops),
            ("refused", Some(Group::Refused), &self.anomalies),
            ("odd", Some(Group::Odd), &self.odd),
            ("lost", Some(Group::Lost), &self.losses),
        ];
        for (title, group, counts) in counters {
            for (i, (name, n)) in counts.iter().enumerate() {
                let title = if i == 0 { title } else { "" };
                writeln!(out, "{title:<12} {:>12}  {}", n.as_u64().unwrap_or(0), describe(group, name))?;
            }
        }
        writeln!(
            out,
            "rate         {:>12.0}  packets a second, {:.3} s in all",
            self.packets_per_second, self.seconds
        )
    }
}

/// The sentence for a counter, where its name does not say it.
fn describe(group: Option<Group>, name: &str) -> String {
    let none = Stats::default();
    let counter = none.counters().find(|c| Some(c.group) == group && c.symbol == name);
    counter.map_or_else(|| name.to_owned(), |c| format!("{name}: {}", c.sentence))
}

/// After the results, which may be none: captures of hosts that leave checksums to the network card look empty.
pub(crate) fn tell_of_checksums(stats: &Stats) {
    let wrong = stats.drops[DropReason::IpChecksum] + stats.drops[DropReason::TcpChecksum];
    if wrong > 0 {
        eprintln!(
            "mos: warning: {wrong} packets with wrong checksums were not followed; --no-checksum takes them"
        );
    }
}
