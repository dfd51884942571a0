//! What a worker tells other threads of itself: statistics, published now and then as one value.

use crate::handoff::Handed;
use crate::links::Links;
use crate::port::{Port, Statistics};
use mos_flow::{Engine, Instant, Stats, stats};
use std::array;

/// Ports whose statistics are told; what is behind them is in the last one's.
pub const PORTS: usize = 16;

/// Phase, time, connections; and what is put together of four counters: frames handed over, and each port's.
pub(crate) const WORDS: usize = 3 + stats::WORDS + 4 * (1 + PORTS);

/// What a worker is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has not begun.
    #[default]
    Starting,
    /// It takes frames.
    Running,
    /// It takes what had come before it was to stop.
    Draining,
    /// It is done.
    Ended,
    /// It panicked, or its port failed.
    Failed,
}

impl Phase {
    const ALL: [Phase; 5] = [Phase::Starting, Phase::Running, Phase::Draining, Phase::Ended, Phase::Failed];
}

/// A worker at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What it is about.
    pub phase: Phase,
    /// The time that its engine has come to.
    pub time: Instant,
    /// Connections that it tracks.
    pub flows: u64,
    /// What its engine has seen and done.
    pub stats: Stats,
    /// What became of frames that are not their receiver's.
    pub handed: Handed,
    /// What became of each port's frames, by its number.
    pub ports: [Statistics; PORTS],
}

impl Snapshot {
    /// Of a worker's parts.
    pub(crate) fn of<A>(
        phase: Phase,
        engine: &Engine<A>,
        links: &Links<impl Port>,
        handed: Handed,
    ) -> Snapshot {
        let mut ports = [Statistics::default(); PORTS];
        for (number, port) in links.statistics().enumerate() {
            if let Some(place) = ports.get_mut(number.min(PORTS - 1)) {
                *place += port;
            }
        }
        let flows = engine.flow_count() as u64;
        Snapshot { phase, time: engine.now(), flows, stats: *engine.stats(), handed, ports }
    }

    pub(crate) fn words(&self) -> [u64; WORDS] {
        let Handed { given, taken, lost, early } = self.handed;
        let first = [self.phase as u64, self.time.0, self.flows];
        let ports = self.ports.iter().flat_map(|p| [p.received, p.dropped, p.sent, p.refused]);
        let mut words =
            first.into_iter().chain(self.stats.words()).chain([given, taken, lost, early]).chain(ports);
        array::from_fn(|_| words.next().unwrap_or_default())
    }

    pub(crate) fn from_words(words: [u64; WORDS]) -> Snapshot {
        let mut words = words.into_iter();
        let mut next = || words.next().unwrap_or_default();
        let phase = usize::try_from(next()).ok().and_then(|n| Phase::ALL.get(n).copied()).unwrap_or_default();
        let (time, flows) = (Instant(next()), next());
        let stats = Stats::from_words(array::from_fn(|_| next()));
        let [given, taken, lost, early] = array::from_fn(|_| next());
        let ports = array::from_fn(|_| {
            let [received, dropped, sent, refused] = array::from_fn(|_| next());
            Statistics { received, dropped, sent, refused }
        });
        Snapshot { phase, time, flows, stats, handed: Handed { given, taken, lost, early }, ports }
    }

    /// Adds another worker's: counters become sums, the time is the later one.
    pub fn add(&mut self, other: &Snapshot) {
        self.time = self.time.max(other.time);
        self.flows += other.flows;
        self.stats += other.stats;
        self.handed += other.handed;
        for (port, more) in self.ports.iter_mut().zip(&other.ports) {
            *port += *more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_snapshot_survives_being_words(numbers in proptest::collection::vec(any::<u64>(), WORDS), phase in 0..5_usize) {
            let mut words: [u64; WORDS] = numbers.try_into().unwrap();
            words[0] = phase as u64;
            let snapshot = Snapshot::from_words(words);
            prop_assert_eq!(snapshot.phase, Phase::ALL[phase]);
            prop_assert_eq!(snapshot.words(), words);
        }
    }
}
