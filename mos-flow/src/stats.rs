//! Counters: every reason, anomaly and loss in one list.

use crate::defrag::{DefragStats, FragmentDrop};
use crate::event::Event;
use crate::reason::{DropReason, Severity};
use core::ops::{AddAssign, Index, IndexMut};
use tcp_reasm::{Anomalies, Anomaly};
use zerocopy::{FromBytes, Immutable, IntoBytes, transmute};

/// One counter for each value of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(transparent)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, Immutable, IntoBytes)]
#[repr(C)] // of counters only, so that it is words to others
pub struct Stats {
    /// Frames given to the engine.
    pub frames: u64,
    /// Their octets on the wire.
    pub octets: u64,
    /// Frames that came with a verdict to drop, and are not among those.
    pub passed_over: u64,
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
    /// Fragments of IP datagrams, and what became of them.
    pub fragments: DefragStats,
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
    /// Fragments that were not kept: [`DefragStats::dropped`].
    Fragments,
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
    ("datagram_killed", Severity::Warning, "Datagrams were given up for what their fragments were.", |s| {
        s.fragments.killed
    }),
    ("datagram_evicted", Severity::Error, "Datagrams gave way to newer ones.", |s| s.fragments.evicted),
    ("datagram_timed_out", Severity::Warning, "Datagrams were not complete in time.", |s| {
        s.fragments.timed_out
    }),
    ("clock_step_back", Severity::Info, "Timestamps lay a little before earlier ones.", |s| {
        s.clock_steps_back
    }),
    ("clock_jump", Severity::Warning, "Timestamps jumped.", |s| s.clock_jumps),
];

/// How many words [`Stats`] are.
pub const WORDS: usize = size_of::<Stats>() / size_of::<u64>();

impl Stats {
    /// As words, for other threads.
    pub fn words(&self) -> [u64; WORDS] {
        transmute!(*self)
    }

    /// What [`Stats::words`] gave.
    pub fn from_words(words: [u64; WORDS]) -> Stats {
        transmute!(words)
    }

    /// Every reason, anomaly and loss with its count, those that are zero included, always in the same order.
    pub fn counters(&self) -> impl Iterator<Item = Counter> + '_ {
        let drops = DropReason::ALL.iter().map(|r| Counter {
            group: Group::Dropped,
            symbol: r.symbol(),
            sentence: r.sentence(),
            severity: r.severity(),
            count: self.drops[*r],
        });
        let fragments = FragmentDrop::ALL.iter().map(|r| Counter {
            group: Group::Fragments,
            symbol: r.symbol(),
            sentence: r.sentence(),
            severity: r.severity(),
            count: self.fragments.dropped[*r],
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
            .chain(fragments)
            .chain(anomalies(Group::Refused, Severity::Warning, &self.anomalies))
            .chain(anomalies(Group::Odd, Severity::Info, &self.odd))
            .chain(losses)
    }
}

/// Of several engines: each counter is the sum. The most connections at once are so many at the most.
impl AddAssign for Stats {
    fn add_assign(&mut self, other: Stats) {
        let mut words = self.words();
        for (word, more) in words.iter_mut().zip(other.words()) {
            *word = word.saturating_add(more);
        }
        *self = Stats::from_words(words);
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

    #[test]
    fn counters_add_up_and_survive_being_words() {
        let mut one = Stats { frames: 2, shed_octets: 7, ..Stats::default() };
        one.drops[DropReason::Orphan] = 3;
        one.fragments.timed_out = 4;
        assert_eq!(Stats::from_words(one.words()), one);
        let mut sum = Stats { frames: u64::MAX - 1, octets: 1, ..one };
        sum += one;
        assert_eq!((sum.frames, sum.octets, sum.shed_octets), (u64::MAX, 1, 14));
        assert_eq!((sum.drops[DropReason::Orphan], sum.fragments.timed_out), (6, 8));
    }
}
