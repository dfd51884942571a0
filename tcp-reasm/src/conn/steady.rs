//! The common case: a plain segment between two established sides of which neither has sent a FIN, nothing is undecided,
//! and the payload, if there is any, is the next in order and fits. Each of the steps looks for it first, and then does
//! what it would do anyway without asking what cannot be.
//!
//! It changes nothing in what comes out: the models, the running kernel and the captures go through it, too.

use super::Conn;
use crate::header::Flags;
use crate::report::{Report, Sent};
use crate::segment::Segment;
use crate::side::Side;
use crate::space::Steady;
use crate::stream::Buffer;
use ringbuf_core::Store;
use ringbuf_core::overlap::Resolve;

impl Conn {
    #[inline]
    pub(super) fn is_steady(&self, from: Side, segment: &Segment<'_>) -> bool {
        let stamped = segment.options.timestamps.is_some();
        let steady = if stamped { Steady::WithTimestamps } else { Steady::WithoutTimestamps };
        is_plain(segment)
            && self.sides.client.steady == steady
            && self.sides.server.steady == steady
            && (segment.payload_len == 0 || self.sides[!from].stream.is_next(segment))
    }

    /// Asserts (debug builds) that what was found out still holds.
    pub(super) fn check_steady(&self) {
        let mut copy = *self;
        copy.note_steady();
        let steady = |conn: &Conn| (conn.sides.client.steady, conn.sides.server.steady);
        debug_assert_eq!(steady(self), steady(&copy), "invariant 3");
    }

    /// Finds out whether the short way is open. To be called behind everything else that changes a connection: what goes
    /// the short way leaves it open.
    pub(super) fn note_steady(&mut self) {
        let open = !self.syn_data && self.has_one_syn();
        let agreed = self.sides.client.has_timestamps(&self.sides.server);
        for side in Side::BOTH {
            let space = &mut self.sides[side];
            space.steady = match open && space.is_steady() {
                false => Steady::No,
                true if agreed => Steady::WithTimestamps,
                true => Steady::WithoutTimestamps,
            };
        }
    }

    #[inline]
    pub(super) fn sent_steady(&mut self, from: Side, segment: &Segment<'_>) -> Sent {
        let mut done = Sent::default();
        self.sent_ack(from, segment, &mut done);
        if segment.payload_len > 0 {
            self.sides[from].has_sent(segment.seq + segment.payload_len);
        } else {
            self.sent_octets(from, segment, &mut done);
        }
        done
    }

    #[inline]
    pub(super) fn received_steady<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        mut buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Report {
        let mut report = Report::default();
        self.received_timestamp(to, segment, false);
        if segment.payload_len > 0 {
            (report.data, report.late) = self.sides[to].stream.store(segment, buffer.as_mut());
            report.in_order = self.sides[to].stream.last_octets(report.data.advanced);
        }
        report
    }
}

/// ACK, perhaps PSH, no other flag, and no option that says something of its own.
#[inline]
pub(super) fn is_plain(segment: &Segment<'_>) -> bool {
    let o = &segment.options;
    (segment.flags.0 | Flags::PSH.0) == (Flags::ACK | Flags::PSH).0
        && segment.urgent == 0
        && o.faults.is_empty()
        && o.sack.is_empty()
        && o.signature.is_none()
}
