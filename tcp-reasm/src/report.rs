//! What a segment did, as plain facts. The tracker does not know who listens.

use crate::anomaly::{Anomalies, Anomaly};
use crate::side::Sides;
use crate::state::State;
use ringbuf_core::window::Written;
use ringbuf_core::{Conflict, Offset, Range};

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
    /// Payload and FIN are left out by the receiver, for a reason in `odd`; the acknowledgement counts.
    pub left_out: bool,
    /// Octets that it acknowledges for the first time, the FIN counted, the SYN not.
    pub acked: u64,
    /// It has no room left: its window closed with this segment.
    pub zero_window: bool,
    /// What is odd about the segment although its receiver takes it.
    pub odd: Anomalies,
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
    /// The payload begins behind a hole.
    pub out_of_order: bool,
    /// Where the payload differs from octets that are still held.
    pub conflict: Option<Conflict>,
    /// A probe of at most one octet below the next expected one (RFC 9293, 3.8.4).
    pub keep_alive: bool,
}

/// An octet that its sender called urgent (RFC 9293, 3.8.5), now that everything before it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgent {
    /// Its place.
    pub offset: Offset,
    /// What it is; `None` when its content was not captured or is not held.
    pub octet: Option<u8>,
    /// It is no part of the stream any more: a reader by offset finds a hole of one octet.
    pub removed: bool,
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
    /// The octets that are in order now and were not before, gaps that were skipped not among them.
    pub in_order: Range,
    /// Of the octets stored, those that came too late: the stream had gone on behind their gap.
    pub late: u64,
    /// The stream ended in order with this segment.
    pub fin: bool,
    /// An urgent octet is in order now.
    pub urgent: Option<Urgent>,
    /// What is odd about the segment although its receiver takes it.
    pub odd: Anomalies,
}
