//! Limits and policies of an engine, checked once.

use crate::defrag::DefragConfig;
use crate::evict::{EmbryonicThenIdle, Evict};
use crate::overlap::OverlapPolicy;
use core::fmt;
use core::time::Duration;
use ringbuf_core::chunk;
use ringbuf_core::window::Window;
use tcp_reasm::{Strictness, Timeouts};

/// How long received octets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Retention {
    /// The last `ring_octets` of a stream can be read by offset, and the content of retransmissions is compared: what
    /// mOS does.
    #[default]
    Ring,
    /// Until every reader has taken them. Who reads new data at the receiver hook finds it in the packet: what all read
    /// there is never stored.
    Unread,
}

/// The most monitors of an engine: one bit each while their filters are tried.
pub const MAX_MONITORS: usize = 64;

/// The least ring that can be asked for at run time.
pub const MIN_RING: u32 = 1 << 10;
/// The most.
pub const MAX_RING: u32 = 16 << 20;

/// The least that `ahead_octets` may be.
const LEAST_AHEAD: u32 = 64 << 10;

/// Limits and policies of an engine. All memory follows from it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Connections tracked at once.
    pub max_flows: usize,
    /// Handshakes tracked at once: with one more, the oldest gives way. So a flood of SYNs leaves the rest of the table to
    /// connections that are established. One of which only the client was heard is a handshake as long as that is so: a
    /// capture of one side has as many connections as this. `None` is half of `max_flows`.
    pub max_embryonic: Option<usize>,
    /// Connections that are awake at once (see [`flow`](crate::flow)): with octets held or expected, or in the burst at hand.
    /// With [`Retention::Ring`] those are all that ever had octets to keep. `None` is `max_flows`, with which there is always
    /// room; without room a segment is counted as [`AwakeFull`](crate::DropReason::AwakeFull).
    pub max_awake: Option<usize>,
    /// Connections that are left awake although they could rest, in case they are needed again soon; of use up to about
    /// what a second-level cache holds, 300 octets each. It changes nothing else.
    pub at_ease: usize,
    /// Which connection gives way to a new one when the table is full. One of which a handler changed octets never does.
    pub eviction: &'static dyn Evict,
    /// Sockets: monitors, and one for each connection and monitor that matches it.
    pub max_sockets: usize,
    /// Monitors (raw and stream), at most [`MAX_MONITORS`].
    pub max_monitors: usize,
    /// Streams that sockets wait for octets of at once (see [`Monitor::wait_for`](crate::Monitor::wait_for)). Their
    /// connections stay awake.
    pub max_waits: usize,
    /// Timers of the application.
    pub max_timers: usize,
    /// Frames that wait to be sent: changed copies of those of a burst, and what handlers made. 0: no packet can be changed.
    pub max_output: usize,
    /// The most octets of such a frame.
    pub output_octets: usize,
    /// Different link headers that are kept, for packets and resets of connections when none of their packets is at hand. Up to
    /// 32,767 count.
    pub max_neighbours: usize,
    /// Connections that have other addresses on the server's side (see [`Edit::set_destination`](crate::Edit)).
    pub max_aliases: usize,
    /// Connections of which a handler changed octets, or dropped some, at once.
    pub max_changed: usize,
    /// Events that the application defines.
    pub max_events: usize,
    /// Handlers in all different sets of them together, and user-defined events that lie above such a handler. Sockets with
    /// the same handlers share a set; while a handler is added to a set, or taken out, both are there.
    pub max_steps: usize,
    /// Streams that hold octets at once.
    pub max_buffers: usize,
    /// Those of them that hold octets apart from the ones in order: early, or before a gap. `None` is `max_buffers`, with which
    /// there is always room; without room early octets are refused, and those before a gap go with it.
    pub max_ranges: Option<usize>,
    /// Chunks of [`chunk::CHUNK`] octets for all streams together.
    pub chunks: usize,
    /// In-order octets that one stream keeps, read or unread, unless a socket asks for more or less (see
    /// [`Monitor::resize`](crate::Monitor::resize)).
    pub ring_octets: u32,
    /// How far ahead of the in-order end octets are kept, besides those. At least 64 KiB, as far as a host without
    /// window scaling may send; what a host has room for by its advertised window is always less than 1 GiB.
    pub ahead_octets: u32,
    /// The most octets of memory that one stream takes, in order and early; taken as `ring_octets` and two chunks when that
    /// is more.
    pub stream_octets: u32,
    /// Which copy of an octet is kept.
    pub overlap: OverlapPolicy,
    /// Streams that hold octets early at once under an overlap policy that compares segments: any but
    /// [`OverlapPolicy::First`] and [`OverlapPolicy::Last`]. Early octets of one more are refused.
    pub max_queues: usize,
    /// How long octets are kept.
    pub retention: Retention,
    /// When connections and acknowledged holes are given up. With a `time_wait` of zero a closed connection ends with its
    /// last packet.
    pub timeouts: Timeouts,
    /// How long the addresses of an ended connection are remembered, so that stray packets are not taken for a new
    /// one. Only of use with `midstream`.
    pub linger: Duration,
    /// How IP datagrams are put together that come in fragments; `None`: not at all.
    pub fragments: Option<DefragConfig>,
    /// Connections between the same addresses and ports in different VLANs are different ones.
    pub vlans_in_key: bool,
    /// Connections between the same addresses and ports in different tunnels are different ones.
    pub tunnels_in_key: bool,
    /// Verify IPv4 and TCP checksums; packets with wrong ones are dropped.
    pub verify_checksums: bool,
    /// Pick up connections whose beginning was not seen.
    pub midstream: bool,
    /// How closely segments must fit what was seen.
    pub strictness: Strictness,
    /// Secret of the flow table's hash. With `std` the default is a new one for each configuration, drawn by the operating
    /// system; without, it is zero, and a secret must be set wherever packets come from strangers.
    pub hash_seed: [u8; 16],
}

impl Default for Config {
    /// Room for 65,536 connections with rings of 8 KiB, as mOS has them, and 64 MiB of stream memory.
    fn default() -> Self {
        Config {
            max_flows: 1 << 16,
            max_embryonic: None,
            max_awake: None,
            at_ease: 2048,
            eviction: &EmbryonicThenIdle::DEFAULT,
            max_sockets: 1 << 17,
            max_monitors: 16,
            max_waits: 1 << 14,
            max_timers: 1024,
            max_output: 256,
            output_octets: 16 << 10,
            max_neighbours: 1024,
            max_aliases: 4096,
            max_changed: 4096,
            max_events: 1024,
            max_steps: 1 << 16,
            max_buffers: 1 << 15,
            max_ranges: None,
            chunks: (64 << 20) / chunk::CHUNK,
            ring_octets: 8192,
            ahead_octets: 1 << 30,
            stream_octets: 4 << 20,
            overlap: OverlapPolicy::First,
            max_queues: 256,
            retention: Retention::Ring,
            timeouts: Timeouts { time_wait: Duration::ZERO, ..Timeouts::default() },
            linger: Duration::ZERO,
            fragments: Some(DefragConfig::default()),
            vlans_in_key: true,
            tunnels_in_key: true,
            verify_checksums: true,
            midstream: false,
            strictness: Strictness::Linux,
            hash_seed: secret(),
        }
    }
}

/// Sixteen octets that nobody can foretell: hashes of nothing under keys that the standard library draws.
#[cfg(feature = "std")]
fn secret() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let draw = || RandomState::new().build_hasher().finish().to_le_bytes();
    let (mut seed, halves) = ([0; 16], [draw(), draw()]);
    seed.as_chunks_mut::<8>().0.copy_from_slice(&halves);
    seed
}

#[cfg(not(feature = "std"))]
const fn secret() -> [u8; 16] {
    [0; 16]
}

/// What is wrong with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// A limit is zero that must not be.
    Zero(&'static str),
    /// A limit is larger than the engine's indices reach.
    TooLarge(&'static str),
    /// A limit is too small to work with.
    TooSmall(&'static str),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::Zero(what) => write!(f, "{what} must not be zero"),
            ConfigError::TooLarge(what) => write!(f, "{what} is too large"),
            ConfigError::TooSmall(what) => write!(f, "{what} is too small"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// See `max_awake`.
    pub(crate) fn awake_limit(&self) -> usize {
        self.max_awake.unwrap_or(self.max_flows)
    }

    /// See `max_ranges`.
    pub(crate) fn range_limit(&self) -> usize {
        self.max_ranges.unwrap_or(self.max_buffers)
    }

    /// The most chunks of one stream.
    pub(crate) fn stream_chunks(&self) -> u32 {
        let chunk = chunk::CHUNK as u32;
        (self.stream_octets / chunk).max(self.ring_octets.div_ceil(chunk) + 2)
    }

    /// The largest ring that leaves room for a segment in a stream's part of the memory.
    pub(crate) fn ring_limit(&self) -> u32 {
        let chunk = chunk::CHUNK as u32;
        let segment = u32::from(u16::MAX).div_ceil(chunk) + 2;
        self.stream_chunks().saturating_sub(segment).saturating_mul(chunk).max(self.ring_octets)
    }

    /// An empty window for a stream, wide enough for any ring; `None` when it would span more than can be indexed.
    pub(crate) fn window(&self) -> Option<Window> {
        self.ring_octets.checked_add(self.ahead_octets).filter(|span| *span <= chunk::MAX_SPAN)?;
        let span = self.ring_octets.max(MAX_RING).saturating_add(self.ahead_octets);
        Some(Window::with_ahead(span.min(chunk::MAX_SPAN), self.ahead_octets))
    }

    /// Checks every limit.
    ///
    /// # Errors
    /// The first limit that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let limits = [
            ("max_flows", self.max_flows, 1),
            ("max_embryonic", self.max_embryonic.unwrap_or(1), 1),
            ("max_awake", self.awake_limit(), 1),
            ("max_sockets", self.max_sockets, 1),
            ("max_monitors", self.max_monitors, 1),
            ("max_waits", self.max_waits, 0),
            ("max_timers", self.max_timers, 0),
            ("max_output", self.max_output, 0),
            ("output_octets", self.output_octets, 0),
            ("max_neighbours", self.max_neighbours, 0),
            ("max_aliases", self.max_aliases, 0),
            ("max_changed", self.max_changed, 0),
            ("max_events", self.max_events, 0),
            ("max_steps", self.max_steps, 0),
            ("max_buffers", self.max_buffers, 0),
            ("max_ranges", self.range_limit(), 0),
            ("max_queues", self.max_queues, 0),
            ("chunks", self.chunks, 0),
            ("fragments.max_datagrams", self.fragments.map_or(1, |f| f.max_datagrams), 1),
            ("fragments.chunks", self.fragments.map_or(0, |f| f.chunks), 0),
        ];
        for (name, value, least) in limits {
            if value < least {
                return Err(ConfigError::Zero(name));
            }
            if value > (u32::MAX / 2) as usize {
                return Err(ConfigError::TooLarge(name));
            }
        }
        if self.max_monitors > MAX_MONITORS {
            return Err(ConfigError::TooLarge("max_monitors"));
        }
        if self.ahead_octets < LEAST_AHEAD {
            return Err(ConfigError::TooSmall("ahead_octets"));
        }
        if self.window().is_none() {
            return Err(ConfigError::TooLarge("ring_octets"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configuration_has_a_secret_of_its_own() {
        let [a, b] = [(); 2].map(|()| Config::default().hash_seed);
        assert!(a != b && a[..8] != a[8..], "{a:?} {b:?}");
    }

    #[test]
    fn limits_out_of_range_are_named() {
        assert_eq!(Config::default().check(), Ok(()));
        assert_eq!(Config { max_flows: 0, ..Config::default() }.check(), Err(ConfigError::Zero("max_flows")));
        let c = Config { ahead_octets: 65_535, ..Config::default() };
        assert_eq!(c.check(), Err(ConfigError::TooSmall("ahead_octets")));
        let c = Config { ring_octets: 3 << 30, ..Config::default() };
        assert_eq!(c.check(), Err(ConfigError::TooLarge("ring_octets")));
    }
}
