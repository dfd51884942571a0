//! Which connection gives way when there is no room for a new one.

use core::fmt;
use core::time::Duration;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It ended and is only remembered (`Config::linger`).
    Ended,
    /// Its handshake is not complete, or only one side was heard.
    Embryonic,
    /// Both sides have taken part in it.
    Established,
}

/// A connection that could give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How far it has come.
    pub stage: Stage,
    /// How long ago its last packet came.
    pub idle: Duration,
}

/// A policy of eviction. It is asked about a few connections: the oldest handshake, and the next ones of a sample that goes
/// round the table; so it costs the same in a table of any size.
pub trait Evict: fmt::Debug + Send + Sync {
    /// How readily a connection gives way; the one with the highest rank does. `None`: not at all. When no candidate has
    /// a rank the new connection is refused.
    fn rank(&self, candidate: &Candidate) -> Option<u64>;
}

/// What is remembered goes first, then handshakes, the oldest first, then what has been silent for `idle`, the longest
/// silence first. Connections that are in use stay, whatever comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbryonicThenIdle {
    /// The least silence for which an established connection gives way.
    pub idle: Duration,
}

impl EmbryonicThenIdle {
    /// With half a minute of silence; an arbitrary figure.
    pub const DEFAULT: EmbryonicThenIdle = EmbryonicThenIdle { idle: Duration::from_secs(30) };
}

/// More than any silence in microseconds.
const STAGE: u64 = 1 << 62;

impl Evict for EmbryonicThenIdle {
    fn rank(&self, candidate: &Candidate) -> Option<u64> {
        let silence = crate::time::micros(candidate.idle).min(STAGE - 1);
        match candidate.stage {
            Stage::Ended => Some(2 * STAGE + silence),
            Stage::Embryonic => Some(STAGE + silence),
            Stage::Established => (candidate.idle >= self.idle).then_some(silence),
        }
    }
}

/// Nothing gives way but what is only remembered: a full table refuses new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Never;

impl Evict for Never {
    fn rank(&self, candidate: &Candidate) -> Option<u64> {
        (candidate.stage == Stage::Ended).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_go_before_silence_and_what_is_in_use_stays() {
        let policy = EmbryonicThenIdle::DEFAULT;
        let rank = |stage, secs| policy.rank(&Candidate { stage, idle: Duration::from_secs(secs) });
        let order = [
            rank(Stage::Established, 29),
            rank(Stage::Established, 30),
            rank(Stage::Established, 1 << 40),
            rank(Stage::Embryonic, 0),
            rank(Stage::Embryonic, 1),
            rank(Stage::Ended, 0),
        ];
        assert!(order.is_sorted() && order[0].is_none() && order[1].is_some());
        let never = |stage| Never.rank(&Candidate { stage, idle: Duration::MAX });
        assert_eq!([Stage::Ended, Stage::Embryonic, Stage::Established].map(never), [Some(0), None, None]);
    }
}
