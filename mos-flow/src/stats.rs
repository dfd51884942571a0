//! Counters, and the one list of reasons for which a packet is not processed further.

use crate::event::Event;
use core::fmt;
use core::ops::{Index, IndexMut};
use tcp_reasm::{Anomalies, Anomaly};

/// How much a drop reason should worry an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Ordinary traffic that is none of our business.
    Info,
    /// Traffic that a well-behaved network does not carry.
    Warning,
    /// Something was lost that should not have been: a limit of this engine.
    Error,
}

macro_rules! drop_reasons {
    ($($name:ident => $symbol:literal, $severity:ident, $sentence:literal;)+) => {
        /// Why a packet is not processed further. Every such packet is counted under exactly one reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $sentence] $name,)+
        }

        impl DropReason {
            /// All reasons in the order of their values.
            pub const ALL: &[DropReason] = &[$(DropReason::$name),+];

            /// A short name for counters and machines.
            pub fn symbol(self) -> &'static str {
                match self { $(DropReason::$name => $symbol),+ }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(DropReason::$name => $sentence),+ }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(DropReason::$name => Severity::$severity),+ }
            }
        }
    };
}

drop_reasons! {
    AwakeFull => "awake_full", Error, "No live record for a connection that a segment wakes.";
    BadLength => "bad_length", Warning, "A length field contradicts the packet.";
    FrameTooShort => "frame_too_short", Warning, "The frame ends inside a header.";
    HeaderDepth => "header_depth", Warning, "More nested headers than are followed.";
    IpChecksum => "ip_checksum", Warning, "The IPv4 header checksum is wrong.";
    IpFragment => "ip_fragment", Info, "An IP fragment; datagrams are not reassembled yet.";
    NotIp => "not_ip", Info, "The frame carries neither IPv4 nor IPv6.";
    NotTcp => "not_tcp", Info, "The IP packet carries no TCP.";
    Orphan => "orphan", Info, "A TCP segment of no tracked connection.";
    SocketsFull => "sockets_full", Error, "No monitoring socket left for a new connection.";
    TableFull => "table_full", Error, "No room for a new connection.";
    TcpChecksum => "tcp_checksum", Warning, "The TCP checksum is wrong.";
    TcpHeader => "tcp_header", Warning, "The TCP header does not fit its packet.";
    UnknownLink => "unknown_link", Warning, "The link type is not supported.";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// One counter for each value of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters<const N: usize>([u64; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Counters([0; N])
    }
}

impl<const N: usize> Counters<N> {
    /// The sum of all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

macro_rules! index_by {
    ($($key:ty, $n:expr;)+) => {$(
        impl Index<$key> for Counters<{ $n }> {
            type Output = u64;
            fn index(&self, key: $key) -> &u64 {
                &self.0[key as usize]
            }
        }
        impl IndexMut<$key> for Counters<{ $n }> {
            fn index_mut(&mut self, key: $key) -> &mut u64 {
                &mut self.0[key as usize]
            }
        }
    )+};
}

const DROPS: usize = DropReason::ALL.len();
const EVENTS: usize = Event::ALL.len();
const ANOMALIES: usize = Anomaly::ALL.len();

index_by! {
    DropReason, DROPS;
    Event, EVENTS;
    Anomaly, ANOMALIES;
}

impl Counters<ANOMALIES> {
    /// Counts each of a set.
    pub(crate) fn add_all(&mut self, anomalies: Anomalies) {
        if !anomalies.is_empty() {
            anomalies.iter().for_each(|anomaly| self[anomaly] += 1);
        }
    }
}

/// What an engine has seen and done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames given to the engine.
    pub frames: u64,
    /// Their octets on the wire.
    pub octets: u64,
    /// TCP segments of tracked connections.
    pub segments: u64,
    /// Connections that were opened.
    pub flows: u64,
    /// Connections that ended, for whatever reason.
    pub flows_ended: u64,
    /// The most connections tracked at once.
    pub flows_peak: u64,
    /// Handshakes that gave way to new ones: a flood, or too many at once.
    pub evicted_embryonic: u64,
    /// Established connections that had been silent and gave way to new ones.
    pub evicted_idle: u64,
    /// Payload octets stored for the first time.
    pub stream_octets: u64,
    /// Payload octets that were sent again.
    pub retransmitted_octets: u64,
    /// Payload octets that could not be stored: beyond the window, or no memory.
    pub refused_octets: u64,
    /// In-order octets that were pushed out before every reader had them. A reader is a socket that is told of new data
    /// or errors, or has read before.
    pub overrun_octets: u64,
    /// Octets that were acknowledged but never seen, given up after the patience for them.
    pub gap_octets: u64,
    /// Payload octets that came after the gap in their place was given up.
    pub late_octets: u64,
    /// Segments that advertise a window of zero.
    pub zero_windows: u64,
    /// Retransmissions whose octets differ from the first copy.
    pub conflicts: u64,
    /// Probes of idle connections.
    pub keep_alives: u64,
    /// Octets kept for reading back that were given up early because memory was short.
    pub reclaimed_octets: u64,
    /// Octets held and not yet read that were given up because memory was short, and their stream held most.
    pub shed_octets: u64,
    /// Frames whose timestamp lay a little before the one before; they were taken at the later time.
    pub clock_steps_back: u64,
    /// Frames whose timestamp lay far before or after the one before; time-outs went on as if no time had passed.
    pub clock_jumps: u64,
    /// Frames that were not processed further, by reason.
    pub drops: Counters<DROPS>,
    /// Segments that their receiver does not take, by reason.
    pub anomalies: Counters<ANOMALIES>,
    /// What is odd about segments that are taken.
    pub odd: Counters<ANOMALIES>,
    /// Events raised, whether somebody listened or not: packets and states at each hook, the end once for each side.
    pub events: Counters<EVENTS>,
}

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Packets that were not processed further: [`Stats::drops`].
    Dropped,
    /// Segments that their receiver does not take: [`Stats::anomalies`].
    Refused,
    /// Segments that are taken, but odd: [`Stats::odd`].
    Odd,
    /// Octets, connections and time that were lost.
    Lost,
}

/// One counter with what there is to say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    /// What it counts.
    pub group: Group,
    /// A short name for machines, unique in its group.
    pub symbol: &'static str,
    /// For people: a sentence, or what a segment does that is counted here.
    pub sentence: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How often it happened; octets for octets.
    pub count: u64,
}

/// Symbol, severity, sentence, and where the count is.
type Loss = (&'static str, Severity, &'static str, fn(&Stats) -> u64);

const LOSSES: &[Loss] = &[
    ("gap", Severity::Warning, "Octets were acknowledged but never seen.", |s| s.gap_octets),
    ("late", Severity::Warning, "Octets came after their gap was given up.", |s| s.late_octets),
    ("refused", Severity::Warning, "Octets lay beyond the window, or found no memory.", |s| s.refused_octets),
    ("overrun", Severity::Error, "Octets were pushed out before every reader had them.", |s| {
        s.overrun_octets
    }),
    ("shed", Severity::Error, "Octets were given up because memory was short.", |s| s.shed_octets),
    ("conflict", Severity::Warning, "Retransmissions had other octets than the first copy.", |s| s.conflicts),
    ("evicted_embryonic", Severity::Warning, "Handshakes gave way to newer ones.", |s| s.evicted_embryonic),
    ("evicted_idle", Severity::Error, "Silent connections gave way to new ones.", |s| s.evicted_idle),
    ("clock_step_back", Severity::Info, "Timestamps lay a little before earlier ones.", |s| {
        s.clock_steps_back
    }),
    ("clock_jump", Severity::Warning, "Timestamps jumped.", |s| s.clock_jumps),
];

impl Stats {
    /// Every reason, anomaly and loss with its count, those that are zero included, always in the same order.
    pub fn counters(&self) -> impl Iterator<Item = Counter> + '_ {
        let drops = DropReason::ALL.iter().map(|r| Counter {
            group: Group::Dropped,
            symbol: r.symbol(),
            sentence: r.sentence(),
            severity: r.severity(),
            count: self.drops[*r],
        });
        let anomalies = |group, severity, counts: &Counters<ANOMALIES>| {
            let counts = *counts;
            Anomaly::ALL.iter().map(move |a| {
                let (symbol, sentence, count) = (a.symbol(), a.sentence(), counts[*a]);
                Counter { group, symbol, sentence, severity, count }
            })
        };
        let losses = LOSSES.iter().map(|(symbol, severity, sentence, count)| Counter {
            group: Group::Lost,
            symbol,
            sentence,
            severity: *severity,
            count: count(self),
        });
        drops
            .chain(anomalies(Group::Refused, Severity::Warning, &self.anomalies))
            .chain(anomalies(Group::Odd, Severity::Info, &self.odd))
            .chain(losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_counter_has_a_name_of_its_own_and_something_to_say() {
        let mut stats = Stats { shed_octets: 7, ..Stats::default() };
        stats.drops[DropReason::Orphan] = 3;
        stats.odd[Anomaly::FinAhead] = 5;
        let all: std::vec::Vec<Counter> = stats.counters().collect();
        let names: HashSet<_> = all.iter().map(|c| (c.group, c.symbol)).collect();
        assert_eq!(names.len(), all.len());
        assert!(all.iter().all(|c| !c.symbol.contains(' ') && c.sentence.len() > 10));
        let counted: std::vec::Vec<_> =
            all.iter().filter(|c| c.count > 0).map(|c| (c.symbol, c.count)).collect();
        assert_eq!(counted, [("orphan", 3), ("fin_ahead", 5), ("shed", 7)]);
    }
}
