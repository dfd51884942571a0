//! What a segment did, as plain facts. The tracker does not know who listens.

use crate::side::Sides;
use crate::state::State;
use core::fmt;
use ringbuf_core::Conflict;
use ringbuf_core::window::Written;

/// Whether the receiver takes a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It does; states and streams follow.
    Accept,
    /// It does not: nothing may change.
    Refuse(Anomaly),
    /// The segment belongs to a new connection between the same ports; the old one is over.
    Restart,
}

impl Verdict {
    /// Whether the segment is taken.
    pub fn is_accept(self) -> bool {
        self == Verdict::Accept
    }
}

macro_rules! anomalies {
    ($($(#[doc = $doc:literal])+ $name:ident => $symbol:literal, $sentence:literal;)+) => {
        /// Why a segment is not taken.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Anomaly {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Anomaly {
            /// All kinds in the order of their values.
            pub const ALL: &[Anomaly] = &[$(Anomaly::$name),+];

            /// A short name for counters and machines.
            pub fn symbol(self) -> &'static str {
                match self { $(Anomaly::$name => $symbol),+ }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(Anomaly::$name => $sentence),+ }
            }
        }
    };
}

anomalies! {
    /// The acknowledgement is older than anything the receiver could still be told (RFC 5961, 5).
    AckTooOld => "ack_too_old", "acknowledges data from before the oldest acceptable one";
    /// It acknowledges more than the other end can have sent.
    AckUnsent => "ack_unsent", "acknowledges data that was never sent";
    /// The connection was reset or closed before.
    AfterClose => "after_close", "arrives after the connection is closed";
    /// Payload lies behind the FIN.
    DataAfterFin => "data_after_fin", "carries data behind the end of the stream";
    /// A segment other than a SYN or RST that an end in SYN-SENT does not take.
    HandshakeExpected => "handshake_expected", "is no part of the handshake that is due";
    /// No ACK flag on a segment that needs one (RFC 9293, 3.10.7.4, fifth).
    NoAck => "no_ack", "lacks the ACK flag";
    /// Wholly below what was acknowledged, or the SYN again: a duplicate.
    OldSegment => "old_segment", "lies wholly below what was acknowledged before";
    /// Right of the window that the receiver advertised.
    OutOfWindow => "out_of_window", "lies beyond the advertised window";
    /// The timestamp is older than the last one (RFC 7323, 5).
    Paws => "paws", "carries a timestamp older than the last one";
    /// A RST that is not exactly at RCV.NXT (RFC 5961, 3).
    RstInexact => "rst_inexact", "resets at another place than the next expected one";
    /// Signed with a key that an ordinary host does not have.
    Signed => "signed", "carries a signature that the receiver has no key for";
    /// A SYN inside an established connection (RFC 5961, 4).
    SynInConnection => "syn_in_connection", "carries a SYN inside a connection";
    /// SYN together with FIN or RST.
    SynInvalid => "syn_invalid", "combines SYN with FIN or RST";
    /// The echoed timestamp was never sent.
    TimestampEcho => "timestamp_echo", "echoes a timestamp that was never sent";
    /// Not signed, between hosts that sign.
    Unsigned => "unsigned", "lacks the signature that the others carry";
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// What sending a segment said about the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Sent {
    /// The sender's new state.
    pub state: Option<State>,
    /// This is the SYN that starts the connection.
    pub started: bool,
    /// Octets that came with the SYN are decided on: taken (`true`) or to be forgotten (`false`).
    pub syn_data: Option<bool>,
    /// The streams (by the side that receives them) that begin anew: the caller forgets what it holds of them.
    pub restarted: Sides<bool>,
}

/// What a segment is going to do to the receiver's stream; nothing has changed yet, so the octets held from before
/// can be compared with the segment's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Arrival {
    /// The stream offset of the first payload octet; negative before the stream.
    pub offset: i64,
    /// SYN, FIN or payload that was sent before.
    pub retransmission: bool,
    /// Where the payload differs from octets that are still held.
    pub conflict: Option<Conflict>,
    /// A probe of at most one octet below the next expected one (RFC 9293, 3.8.4).
    pub keep_alive: bool,
}

/// What a segment did to its receiver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// The receiver's new state.
    pub state: Option<State>,
    /// This is the SYN that starts the connection.
    pub started: bool,
    /// What happened to the payload.
    pub data: Written,
    /// The stream ended in order with this segment.
    pub fin: bool,
}
