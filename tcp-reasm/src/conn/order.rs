//! Plain segments between two steady sides that come in any order: behind a hole, into it, or again, and the
//! acknowledgements that such segments cause, selective ones among them.
//!
//! They are judged, and their sender is followed, at once, and nothing is asked that cannot be. What comes out is what
//! [`Conn::judge`], [`Conn::sent`] and [`Conn::received`] make of them: debug builds compare, each time.

use super::Conn;
use super::check::{self, Case};
use crate::plain::is_plain_or_selective;
use crate::report::{Report, Sent, Verdict};
use crate::segment::Segment;
use crate::side::Side;
use crate::space::Steady;
use crate::stream::{Buffer, NO_BUFFER};
use ringbuf_core::Store;
use ringbuf_core::overlap::Resolve;

impl Conn {
    /// Takes the first two steps of the module at once for a plain segment of an established connection that its receiver takes
    /// whole, wherever it lies, and about which nothing is odd. Returns whether it is one. If so, its receiver is to be followed
    /// with [`Conn::received_plain`] next, and [`Conn::arriving`] may be asked before; else nothing has changed.
    #[inline]
    pub fn sent_plain(&mut self, from: Side, segment: &Segment<'_>) -> bool {
        let before = if cfg!(debug_assertions) { Some(*self) } else { None };
        let taken = self.is_taken_whole(from, segment);
        if taken {
            let lossy = self.strictness.rules().lossy;
            let (sender, receiver) = self.sides.pair_mut(from);
            let shift = sender.window_shift(receiver);
            let _ = sender.stream.acknowledge(segment.ack, u32::from(segment.window) << shift, 1 << shift);
            if segment.payload_len > 0 || lossy {
                sender.has_sent(segment.seq + segment.payload_len);
            }
        }
        if let Some(before) = before.filter(|_| taken) {
            self.check_plain(before, from, segment);
        }
        taken
    }

    #[inline]
    fn is_taken_whole(&self, from: Side, segment: &Segment<'_>) -> bool {
        let stamped = segment.options.timestamps.is_some();
        let steady = if stamped { Steady::WithTimestamps } else { Steady::WithoutTimestamps };
        is_plain_or_selective(segment)
            && self.sides.client.steady == steady
            && self.sides.server.steady == steady
            && Case::new(self, from, segment).is_taken_whole()
            && (segment.options.sack.is_empty() || !self.has_bad_sack(from, segment))
    }

    /// Follows the receiver of a segment that [`Conn::sent_plain`] took.
    #[inline]
    pub fn received_plain<S: Store, R: Resolve, const N: usize>(
        &mut self,
        to: Side,
        segment: &Segment<'_>,
        mut buffer: Option<Buffer<'_, S, R, N>>,
    ) -> Report {
        self.received_timestamp(to, segment, false);
        let mut report = Report::default();
        if segment.payload_len > 0 {
            let stream = &mut self.sides[to].stream;
            (report.data, report.late) = stream.store(segment, buffer.as_mut());
            report.in_order = stream.last_octets(report.data.advanced);
        }
        report
    }

    /// Asserts (debug builds) that a plain segment does the same the long way.
    fn check_plain(&self, before: Conn, from: Side, segment: &Segment<'_>) {
        let (mut long, mut short) = (before, *self);
        debug_assert_eq!(check::judge(&long, from, segment), Verdict::Accept, "{segment:?} of {from}");
        let sent = long.sent(from, segment);
        debug_assert_eq!(sent, Sent { acked: sent.acked, ..Sent::default() });
        let report = long.received(!from, segment, NO_BUFFER);
        debug_assert_eq!(report, short.received_plain(!from, segment, NO_BUFFER));
        debug_assert_eq!(short, long, "{segment:?} of {from}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::Flags;
    use crate::options::Options;
    use ringbuf_core::Window;

    const WINDOW: u32 = 65_535;

    /// Both next sequence numbers are 1.
    fn established() -> Conn {
        let mut conn = Conn::new(Window::new(0));
        let (syn, ack) = (Flags::SYN, Flags::ACK);
        for (from, segment) in [
            (Side::Client, Segment::build(0, 0, syn, b"")),
            (Side::Server, Segment::build(0, 1, syn | ack, b"")),
            (Side::Client, Segment::build(1, 1, ack, b"")),
        ] {
            let _ = conn.sent(from, &segment);
            let _ = conn.received(!from, &segment, NO_BUFFER);
        }
        conn
    }

    /// What goes the long way is right, too, but no test would tell that everything does.
    #[test]
    fn any_order_is_taken_and_nothing_odd() {
        let octets = |seq| Segment::build(seq, 1, Flags::ACK, b"abcd");
        let bare = |ack| Segment::build(1, ack, Flags::ACK, b"");
        let block = [5, 10, 0, 0, 0, 5, 0, 0, 0, 9];
        let beyond = [5, 10, 0, 0, 0, 5, 0, 0, 0, 10];
        let selective = |option| Segment { options: Options::parse(option), ..bare(1) };
        let mut conn = established();
        let mut took = |from, segment: &Segment<'_>| {
            let taken = conn.sent_plain(from, segment);
            if taken {
                let _ = conn.received_plain(!from, segment, NO_BUFFER);
            }
            taken
        };
        assert!(took(Side::Client, &octets(5)), "behind a hole");
        assert!(took(Side::Server, &selective(&block)), "of what came there");
        assert!(!took(Side::Server, &selective(&beyond)), "of what was not sent");
        assert!(took(Side::Client, &octets(1)), "into the hole");
        assert!(took(Side::Client, &octets(1)), "again");
        assert!(took(Side::Server, &bare(9)), "all");
        assert!(took(Side::Server, &bare(5)), "less than before");
        assert!(!took(Side::Server, &bare(10)), "what was not sent");
        assert!(took(Side::Client, &octets(9 + WINDOW - 4)), "at the end of the window");
        assert!(!took(Side::Client, &octets(9 + WINDOW - 3)), "beyond it");
        assert!(!took(Side::Client, &octets(1)), "below all that was acknowledged");
        assert!(!took(Side::Server, &Segment { window: 0, ..bare(9) }), "no room");
        assert!(!took(Side::Client, &Segment { flags: Flags::ACK | Flags::FIN, ..octets(9) }), "not plain");
    }
}
