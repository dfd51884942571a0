//! The neighbours on the links: their hardware addresses, and the packets that wait for them. One cache for both
//! families, as RFC 4861 describes it for IPv6 (7.3.2), simplified:
//!
//! ```text
//!                    INCOMPLETE, asked three times ─► gone
//!   answer │         │ its question for us
//!          ▼         ▼
//!   REACHABLE ─► STALE ─► PROBE, asked three times ─► gone
//!          ▲ 30 s, or doubt  used  │
//!          └────── same answer ────┘
//! ```
//!
//! Who says unasked what does not fit is not believed, but makes us ask: the neighbour that we know, and when that is
//! gone, all.
//!
//! # Invariants
//! 1. There are at most as many entries as the cache has places, and at most as many packets wait as there are slots,
//!    of which three for each neighbour. The oldest gives way.
//! 2. Entries that nobody used since the last time round give way first; an entry in use only when all are.
//! 3. A neighbour in the cache is asked at most once a second.
//! 4. A hardware address is learned only from an answer to a question, or, where none is known, from a question for us.

use heapless::Deque;
use mos_flow::Instant;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// RETRANS_TIMER, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT, REACHABLE_TIME (RFC 4861, 10). RFC 1122, 2.3.2.1
/// wants at most one request a second, too.
const RETRANSMIT: Duration = Duration::from_secs(1);
const MOST_QUESTIONS: u8 = 3;
const REACHABLE: Duration = Duration::from_secs(30);
/// Packets that wait for a neighbour. RFC 1122, 2.3.2.2 wants one or more; the figure is arbitrary.
const WAITING: usize = 3;
/// Time-outs are looked after at multiples of this many microseconds, so that many of them cost one look. Arbitrary.
const TICK_US: u64 = 100_000;

/// A neighbour: addresses may be others on another link.
pub(super) type Key = (u16, IpAddr);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Incomplete,
    Reachable { until: Instant },
    Stale,
    Probe,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Key,
    state: State,
    hardware: [u8; 6],
    /// Questions since the last answer, and when the last one was.
    questions: u8,
    asked: Option<Instant>,
    /// Since the hand came by last, and not only once: a scan of addresses leaves no mark.
    used: bool,
    /// The numbers of packets that wait; some may have given way.
    waiting: Deque<u64, WAITING>,
}

/// A place for a packet that waits.
#[derive(Clone, Debug, Default)]
struct Slot {
    number: Option<u64>,
    octets: Vec<u8>,
}

/// What is known of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Where packets go. It is to be asked whether it is there still.
    Yes { hardware: [u8; 6], ask: bool },
    /// Packets have to wait. It is to be asked.
    No { ask: bool },
}

/// What is to be done for a neighbour when time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is to be asked: at its hardware address, or all.
    Ask { key: Key, at: Option<[u8; 6]> },
    /// It does not answer. What waits is to be taken, and the entry is to be removed.
    Failed { key: Key },
}

/// The cache.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    entries: Vec<Option<Entry>>,
    places: HashMap<Key, usize>,
    /// The next entry that may have to give way.
    hand: usize,
    /// Packets that wait: number `n` in slot `n` modulo their count.
    slots: Vec<Slot>,
    next_number: u64,
    waiting: u64,
    given_way: u64,
    /// No time-out is due earlier.
    next: Option<Instant>,
}

impl Neighbours {
    pub(super) fn new(entries: usize, slots: usize) -> Self {
        Neighbours {
            entries: vec![None; entries],
            // With room for as many again no removal leads to growth.
            places: HashMap::with_capacity(entries.saturating_mul(2)),
            hand: 0,
            slots: vec![Slot::default(); slots],
            next_number: 0,
            waiting: 0,
            given_way: 0,
            next: None,
        }
    }

    /// Packets that wait, and packets that gave way so far.
    pub(super) fn packets(&self) -> (u64, u64) {
        (self.waiting, self.given_way)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }

    /// Looks up where packets for a neighbour go, and takes note that it is needed.
    pub(super) fn resolve(&mut self, key: Key, now: Instant) -> Known {
        let Some(entry) = self.entry(key) else {
            let entry = Entry { questions: 1, asked: Some(now), ..Entry::new(key) };
            self.insert(entry);
            self.schedule(now + RETRANSMIT);
            return Known::No { ask: true };
        };
        entry.used = true;
        let hardware = entry.hardware;
        match entry.state {
            State::Incomplete => return Known::No { ask: false },
            State::Reachable { until } if now < until => return Known::Yes { hardware, ask: false },
            State::Probe => return Known::Yes { hardware, ask: false },
            State::Reachable { .. } | State::Stale => entry.state = State::Stale,
        }
        if entry.asked.is_some_and(|asked| now.since(asked) < RETRANSMIT) {
            return Known::Yes { hardware, ask: false };
        }
        (entry.state, entry.questions, entry.asked) = (State::Probe, 1, Some(now));
        self.schedule(now + RETRANSMIT);
        Known::Yes { hardware, ask: true }
    }

    /// Takes the answer of a neighbour; with no `hardware` address in it, it is the one that is known. Returns
    /// whether it was asked for: then what waits can go.
    pub(super) fn answer(&mut self, key: Key, hardware: Option<[u8; 6]>, now: Instant) -> bool {
        let Some(entry) = self.entry(key) else { return false };
        match (entry.state, hardware) {
            (State::Incomplete, Some(hardware)) => entry.hardware = hardware,
            (State::Probe, None) => {}
            (State::Probe, Some(hardware)) if hardware == entry.hardware => {}
            (_, Some(hardware)) => {
                entry.doubt(hardware);
                return false;
            }
            (_, None) => return false,
        }
        (entry.state, entry.questions) = (State::Reachable { until: now + REACHABLE }, 0);
        true
    }

    /// Takes the question of a neighbour for one of the router's addresses. Where it is not known yet, it is now:
    /// what waits can go.
    pub(super) fn question(&mut self, key: Key, hardware: [u8; 6]) {
        match self.entry(key) {
            None => self.insert(Entry { state: State::Stale, hardware, ..Entry::new(key) }),
            Some(entry) if entry.state == State::Incomplete => {
                (entry.state, entry.hardware, entry.questions) = (State::Stale, hardware, 0);
            }
            Some(entry) => entry.doubt(hardware),
        }
    }

    /// Takes what a neighbour says to others.
    pub(super) fn hearsay(&mut self, key: Key, hardware: [u8; 6]) {
        if let Some(entry) = self.entry(key) {
            entry.doubt(hardware);
        }
    }

    /// The hardware address of a neighbour, whether it is in doubt or not.
    pub(super) fn hardware(&self, key: Key) -> Option<[u8; 6]> {
        let entry = self.entries.get(*self.places.get(&key)?)?.as_ref()?;
        (entry.state != State::Incomplete).then_some(entry.hardware)
    }

    /// Lets a packet wait for a neighbour that [`Neighbours::resolve`] was asked for.
    pub(super) fn hold(&mut self, key: Key, octets: &[u8]) {
        let full = self.entry(key).filter(|entry| entry.waiting.is_full());
        if let Some(oldest) = full.and_then(|entry| entry.waiting.pop_front()) {
            self.give_way(oldest);
        }
        let number = self.next_number;
        self.next_number += 1;
        if let Some(oldest) = number.checked_sub(self.slots.len() as u64) {
            self.give_way(oldest);
        }
        let Some(entry) = self.entry(key) else { return };
        let _ = entry.waiting.push_back(number); // there is room
        if let Some(slot) = self.slot(number) {
            slot.number = Some(number);
            slot.octets.clear();
            slot.octets.extend_from_slice(octets);
            self.waiting += 1;
        }
    }

    /// Takes the oldest packet that waits for a neighbour into `into`; `false` when none waits.
    pub(super) fn take(&mut self, key: Key, into: &mut Vec<u8>) -> bool {
        while let Some(number) = self.entry(key).and_then(|entry| entry.waiting.pop_front()) {
            if let Some(slot) = self.slot(number).filter(|slot| slot.number == Some(number)) {
                slot.number = None;
                into.clear();
                into.extend_from_slice(&slot.octets);
                self.waiting -= 1;
                return true;
            }
        }
        false
    }

    /// Begins to look after time-outs. Returns how many entries there are to look at, none when nothing is due.
    pub(super) fn begin_timeouts(&mut self, now: Instant) -> usize {
        if self.next.is_none_or(|next| now < next) {
            return 0;
        }
        self.next = None;
        self.entries.len()
    }

    /// What is to be done for the entry at an index.
    pub(super) fn due(&mut self, index: usize, now: Instant) -> Option<Due> {
        let entry = self.entries.get_mut(index)?.as_mut()?;
        let at = match entry.state {
            State::Incomplete => None,
            State::Probe => Some(entry.hardware),
            State::Reachable { .. } | State::Stale => return None,
        };
        let (key, asked) = (entry.key, entry.asked.unwrap_or(now));
        let (due, next) = if now.since(asked) < RETRANSMIT {
            (None, asked)
        } else if entry.questions >= MOST_QUESTIONS {
            return Some(Due::Failed { key });
        } else {
            (entry.questions, entry.asked) = (entry.questions + 1, Some(now));
            (Some(Due::Ask { key, at }), now)
        };
        self.schedule(next + RETRANSMIT);
        due
    }

    /// Forgets a neighbour.
    pub(super) fn remove(&mut self, key: Key) {
        let place = self.places.remove(&key);
        let entry = place.and_then(|place| self.entries.get_mut(place)).and_then(Option::take);
        for number in entry.into_iter().flat_map(|entry| entry.waiting) {
            self.give_way(number);
        }
    }

    fn entry(&mut self, key: Key) -> Option<&mut Entry> {
        let place = *self.places.get(&key)?;
        self.entries.get_mut(place)?.as_mut()
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let index = number.checked_rem(self.slots.len() as u64)?;
        self.slots.get_mut(usize::try_from(index).ok()?)
    }

    /// Lets go of a packet, if it waits still.
    fn give_way(&mut self, number: u64) {
        if let Some(slot) = self.slot(number).filter(|slot| slot.number == Some(number)) {
            slot.number = None;
            self.waiting -= 1;
            self.given_way += 1;
        }
    }

    /// Puts an entry to the next place that is free, or whose entry was not used since the hand came by last. After
    /// one time round there is one.
    fn insert(&mut self, new: Entry) {
        for _ in 0..=self.entries.len() {
            let place = self.hand;
            self.hand = (self.hand + 1).checked_rem(self.entries.len()).unwrap_or(0);
            let Some(entry) = self.entries.get_mut(place) else { return };
            let evicted = match entry {
                Some(entry) if entry.used => {
                    entry.used = false;
                    continue;
                }
                Some(entry) => Some(entry.key),
                None => None,
            };
            if let Some(key) = evicted {
                self.remove(key);
            }
            self.places.insert(new.key, place);
            if let Some(entry) = self.entries.get_mut(place) {
                *entry = Some(new);
            }
            return;
        }
    }

    fn schedule(&mut self, at: Instant) {
        let at = Instant(at.0.div_ceil(TICK_US).saturating_mul(TICK_US));
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }

    #[cfg(test)]
    #[allow(clippy::panic)] // failing is what a check is for
    pub(super) fn check(&self) {
        let held = self.slots.iter().filter(|slot| slot.number.is_some()).count() as u64;
        assert_eq!(self.waiting, held);
        let entries: Vec<&Entry> = self.entries.iter().flatten().collect();
        assert_eq!(entries.len(), self.places.len());
        for (key, place) in &self.places {
            assert_eq!(self.entries[*place].as_ref().map(|entry| entry.key), Some(*key));
        }
        let is_held = |number: &&u64| {
            let slot = &self.slots[(**number % self.slots.len() as u64) as usize];
            slot.number == Some(**number)
        };
        let known: usize = entries.iter().map(|entry| entry.waiting.iter().filter(is_held).count()).sum();
        assert_eq!(self.waiting, known as u64);
        let timed = |entry: &&&Entry| matches!(entry.state, State::Incomplete | State::Probe);
        for entry in entries.iter().filter(timed) {
            assert!(self.next.is_some(), "nobody looks after {entry:?}");
        }
    }
}

impl Entry {
    fn new(key: Key) -> Self {
        Entry {
            key,
            state: State::Incomplete,
            hardware: [0; 6],
            questions: 0,
            asked: None,
            used: false,
            waiting: Deque::new(),
        }
    }

    /// Somebody says that the neighbour is at this hardware address.
    fn doubt(&mut self, hardware: [u8; 6]) {
        if hardware != self.hardware && matches!(self.state, State::Reachable { .. }) {
            self.state = State::Stale;
        }
    }
}

#[cfg(test)]
mod tests;
