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
