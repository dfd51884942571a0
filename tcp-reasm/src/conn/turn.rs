//! Turns: the segments by which nearly every connection begins and ends. They are the SYN, the SYN/ACK and the ACK of it,
//! both FINs and the ACKs of those, without payload, between two sides of which nothing is undecided, missing or odd. What
//! such a segment does to both sides is told by few comparisons.
//!
//! Whoever takes it the long way gets the same connection: debug builds do, each time.

use super::{Conn, Reset, check};
use crate::header::Flags;
use crate::report::{Report, Sent, Verdict};
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::{Offer, Space};
use crate::state::{State, Trigger};
use crate::stream::{NO_BUFFER, Stream};
use ringbuf_core::store::Flat;
use ringbuf_core::{FragList, Offset, SeqNum};

const SYN: u16 = Flags::SYN.0;
const ACK: u16 = Flags::ACK.0;
const FIN: u16 = Flags::FIN.0;
const PSH: u16 = Flags::PSH.0;
/// They say nothing about sequence numbers.
const ECN: u16 = Flags::ECE.0 | Flags::CWR.0 | Flags::AE.0;

impl Conn {
    /// Takes all four steps of the module at once for a segment that is a turn. Returns whether it is; if so, nothing is
    /// odd about it, its SYN without ACK has started the connection, and its FIN is taken. Else nothing has changed.
    #[inline]
    pub fn turn(&mut self, from: Side, segment: &Segment<'_>) -> bool {
        let before = if cfg!(debug_assertions) { Some(*self) } else { None };
        let taken = is_bare(segment) && self.is_settled() && self.try_turn(from, segment);
        if let Some(before) = before.filter(|_| taken) {
            self.check_turn(before, from, segment);
        }
        taken
    }

    fn try_turn(&mut self, from: Side, segment: &Segment<'_>) -> bool {
        const SYN_ACK: u16 = SYN | ACK;
        const FIN_ACK: u16 = FIN | ACK;
        const FIN_PSH_ACK: u16 = FIN | PSH | ACK;
        let completes = from == Side::Client && self.sides.server.state == State::SynReceived;
        let taken = match segment.flags.0 & !ECN {
            SYN if from == Side::Client => self.open(segment),
            SYN_ACK if from == Side::Server => self.answer(segment),
            ACK if completes => self.complete(segment),
            ACK | FIN_ACK | FIN_PSH_ACK => self.close(from, segment),
            _ => false,
        };
        if taken {
            self.note_steady();
        }
        taken
    }

    /// Nothing is undecided, and nothing waits. Where a capture may lack segments, or a server has no request, more is
    /// possible than is asked for here.
    fn is_settled(&self) -> bool {
        let (rules, Sides { client, server }) = (self.strictness.rules(), &self.sides);
        rules.request
            && !(rules.lossy | self.syn_data | self.other_offer.seen())
            && self.reset == Reset::No
            && client.is_settled()
            && server.is_settled()
    }

    /// The first SYN.
    fn open(&mut self, segment: &Segment<'_>) -> bool {
        let Sides { client, server } = &mut self.sides;
        let states = client.state == State::Closed && server.state == State::Listen;
        if !states
            || self.started
            || segment.ack != SeqNum(0)
            || !(client.is_unheard() && server.is_unheard())
        {
            return false;
        }
        self.started = true;
        client.apply(Trigger::SentSyn);
        client.sends_syn(segment);
        server.stream.place(segment.seq + 1);
        server.apply(Trigger::ReceivedSyn);
        server.ts_recent = segment.options.timestamps.map_or(0, |stamps| stamps.value);
        true
    }

    /// The first SYN/ACK, for the SYN.
    fn answer(&mut self, segment: &Segment<'_>) -> bool {
        let Sides { client, server } = &mut self.sides;
        let states = client.state == State::SynSent && server.state == State::SynReceived;
        let unheard = !(server.has_sent | server.offer.seen() | client.stream.placed);
        let acks = client.has_sent && client.snd_nxt == segment.ack && server.stream.begins_at(segment.ack);
        let asked = segment.options.timestamps.is_none_or(|stamps| {
            client.offer.timestamp().is_some() && client.offer.may_have_sent(stamps.echo)
        });
        if !(states && unheard && acks && asked) || server.stream.has_acked {
            return false;
        }
        server.sends_syn(segment);
        server.stream.has_acked = true;
        client.stream.place(segment.seq + 1);
        client.apply(Trigger::ReceivedSynAck);
        client.ts_recent = segment.options.timestamps.map_or(0, |stamps| stamps.value);
        true
    }

    /// The ACK of the SYN/ACK.
    fn complete(&mut self, segment: &Segment<'_>) -> bool {
        let Sides { client, server } = &mut self.sides;
        let states = client.state == State::Established && !(client.has_fin | server.has_fin);
        let passive = server.offer.seen() && !server.offer.active();
        let next = client.has_sent && client.snd_nxt == segment.seq && server.stream.begins_at(segment.seq);
        let acks = server.has_sent && server.snd_nxt == segment.ack && client.stream.begins_at(segment.ack);
        let echoes = segment.options.timestamps.is_none_or(|stamps| server.offer.may_have_sent(stamps.echo));
        let stamped = echoes && server.takes_timestamps_of(client, segment);
        if !(states && passive && next && acks && stamped) || client.stream.has_acked || segment.window == 0 {
            return false;
        }
        client.stream.advertise(u32::from(segment.window) << client.window_shift(server));
        client.stream.has_acked = true;
        server.apply(Trigger::ReceivedAckOfSyn);
        if let Some(stamps) = segment.options.timestamps {
            server.note_timestamp(stamps, 0);
        }
        true
    }

    /// A FIN, the first or the one that answers it, or the ACK of one, when everything before it has come.
    fn close(&mut self, from: Side, segment: &Segment<'_>) -> bool {
        let (sender, receiver) = self.sides.pair_mut(from);
        let (fin, answers) = (segment.is_fin(), sender.state != State::Established);
        let due = match (sender.state, receiver.state) {
            (State::Established, State::Established) | (State::CloseWait, State::FinWait2) => fin,
            (State::CloseWait, State::FinWait1) => true,
            (State::TimeWait, State::LastAck) => !fin,
            _ => false,
        };
        let both = sender.has_sent && receiver.has_sent && sender.stream.placed && receiver.stream.placed;
        if !due || !both || receiver.has_fin != answers || segment.window == 0 {
            return false;
        }
        let Some(place) = receiver.whole_end(sender).filter(|_| sender.snd_nxt == segment.seq) else {
            return false;
        };
        let in_window = receiver.stream.edge().is_none_or(|edge| place <= edge);
        if !in_window
            || !receiver.takes_timestamps_of(sender, segment)
            || !sender.acknowledge_whole(receiver, segment)
        {
            return false;
        }
        if fin {
            sender.set_fin(Some(segment.seq));
            sender.snd_nxt = segment.seq + 1;
            sender.apply(Trigger::SentFin);
        }
        if answers {
            receiver.apply(Trigger::ReceivedAckOfFin);
        }
        if let Some(stamps) = segment.options.timestamps {
            receiver.note_timestamp(stamps, place.0.cast_signed());
        }
        if fin {
            receiver.apply(Trigger::ReceivedFin);
        }
        true
    }

    /// Asserts (debug builds) that a turn does the same the long way.
    fn check_turn(&self, before: Conn, from: Side, segment: &Segment<'_>) {
        let mut long = before;
        debug_assert_eq!(check::judge(&long, from, segment), Verdict::Accept, "{segment:?} of {from}");
        let (started, sent) = (segment.opens(), long.sent(from, segment));
        debug_assert_eq!(sent, Sent { state: sent.state, started, acked: sent.acked, ..Sent::default() });
        debug_assert_eq!(long.state(!from), before.state(!from));
        let arrival = long.arriving(!from, segment, None::<(&FragList<0>, &Flat<[u8; 0]>)>);
        debug_assert!(!(arrival.retransmission | arrival.keep_alive), "{segment:?} of {from}");
        let report = long.received(!from, segment, NO_BUFFER);
        let (fin, in_order) = (segment.is_fin(), report.in_order);
        debug_assert_eq!(report, Report { state: report.state, started, fin, in_order, ..Report::default() });
        debug_assert_eq!(*self, long, "{segment:?} of {from}");
        debug_assert!(Side::BOTH.into_iter().all(|side| !self.may_have_gap(side)));
    }
}

/// No payload, and no option that says something of its own in the state that it is sent in.
fn is_bare(segment: &Segment<'_>) -> bool {
    let o = &segment.options;
    let nothing = segment.payload_len == 0 && segment.urgent == 0;
    nothing && o.faults.is_empty() && o.sack.is_empty() && o.signature.is_none()
}

impl Space {
    fn is_settled(&self) -> bool {
        let s = &self.stream;
        !(self.offer.signed() | s.guessed | s.holds_early | s.urgent_pending | s.urgent_removed)
    }

    /// Nothing is known of it.
    fn is_unheard(&self) -> bool {
        !(self.has_sent | self.offer.seen() | self.stream.placed)
    }

    fn sends_syn(&mut self, segment: &Segment<'_>) {
        self.restart_sending(Offer::of(segment), segment.seq + 1);
        self.stream.advertise(segment.window.into());
    }

    /// Whether a segment of `peer` has the timestamps that were agreed on, no older than the last ones.
    fn takes_timestamps_of(&self, peer: &Space, segment: &Segment<'_>) -> bool {
        match segment.options.timestamps {
            Some(t) => {
                let newer = self.ts_recent == 0 || SeqNum(self.ts_recent).le(SeqNum(t.value));
                newer && self.has_timestamps(peer)
            }
            None => !self.has_timestamps(peer),
        }
    }

    /// RCV.NXT when everything that `peer` sent has come, its FIN counted, and no more was acknowledged.
    fn whole_end(&self, peer: &Space) -> Option<Offset> {
        let next = self.stream.next();
        let end = next.saturating_add(peer.has_fin.into());
        let fin = !peer.has_fin || peer.fin == next.seq(self.stream.base);
        (fin && self.stream.acked <= end && end.seq(self.stream.base) == peer.snd_nxt).then_some(end)
    }

    /// Takes the acknowledgement of a segment that this side sent, if that is no older than the last one, the FIN among it
    /// if `peer` has sent one, and takes no window back. Otherwise nothing changes.
    fn acknowledge_whole(&mut self, peer: &Space, segment: &Segment<'_>) -> bool {
        let shift = self.window_shift(peer);
        let Some(end) = self.whole_end(peer) else { return false };
        let (stream, window) = (&mut self.stream, u32::from(segment.window) << shift);
        let fresh = segment.ack.distance(stream.acked.seq(stream.base));
        let acked = stream.acked.saturating_add(fresh.max(0).cast_unsigned().into());
        let left = stream.ahead.saturating_sub(fresh.max(0).cast_unsigned());
        let shrunk = stream.has_acked && u64::from(window) + (1 << shift) <= left.into();
        if fresh < 0 || acked > end || peer.has_fin && acked < end || shrunk {
            return false;
        }
        (stream.acked, stream.has_acked) = (acked, true);
        (stream.ahead, stream.widest) = (left.max(window), stream.widest.max(window));
        true
    }
}

impl Stream {
    /// Its first octet has the number `seq`, and neither came nor was acknowledged.
    fn begins_at(&self, seq: SeqNum) -> bool {
        self.placed && self.base == seq && self.next() == Offset::ZERO && self.acked == Offset::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Options, Timestamps};
    use ringbuf_core::Window;

    type Line = (Side, u32, u32, u16);

    /// From SYN to the last ACK; the server answers the FIN with its own, or with an ACK first.
    const BEGINNING: [Line; 3] =
        [(Side::Client, 9, 0, SYN), (Side::Server, 99, 10, SYN | ACK), (Side::Client, 10, 100, ACK)];
    const AT_ONCE: [Line; 3] = [
        (Side::Client, 10, 100, FIN | ACK),
        (Side::Server, 100, 11, FIN | ACK),
        (Side::Client, 11, 101, ACK),
    ];
    const ONE_BY_ONE: [Line; 4] = [
        (Side::Server, 100, 10, FIN | PSH | ACK),
        (Side::Client, 10, 101, ACK),
        (Side::Client, 10, 101, FIN | ACK),
        (Side::Server, 101, 11, ACK),
    ];

    fn segment((_, seq, ack, flags): Line, stamped: bool, n: u32) -> Segment<'static> {
        let timestamps = stamped.then_some(Timestamps { value: 50 + n, echo: 49 + n });
        let timestamps = timestamps.map(|t| if flags == SYN { Timestamps { echo: 0, ..t } } else { t });
        let options = Options { timestamps, ..Options::default() };
        Segment { options, ..Segment::build(seq, ack, Flags(flags), b"") }
    }

    fn all_turn(ending: &[Line], stamped: bool) -> Conn {
        let mut conn = Conn::new(Window::new(64));
        for (n, line) in (0..).zip(BEGINNING.iter().chain(ending)) {
            assert!(conn.turn(line.0, &segment(*line, stamped, n)), "{line:?} of {conn:?}");
        }
        conn
    }

    #[test]
    fn a_connection_begins_and_ends_by_turns() {
        for stamped in [false, true] {
            for (ending, last) in [(&AT_ONCE[..], Side::Client), (&ONE_BY_ONE[..], Side::Server)] {
                let conn = all_turn(ending, stamped);
                assert_eq!((conn.state(last), conn.state(!last)), (State::TimeWait, State::Closed));
                assert!(conn.is_over());
            }
        }
    }

    #[test]
    fn what_is_not_as_it_must_be_changes_nothing() {
        type Change = fn(&mut Segment<'static>);
        let changes: [Change; 7] = [
            |s| s.seq += 1,
            |s| s.ack += 1,
            |s| s.options.timestamps = None,
            |s| s.flags |= Flags::URG,
            |s| s.flags |= Flags::RST,
            |s| s.urgent = 1,
            |s| (s.payload, s.payload_len) = (b"x", 1),
        ];
        let mut conn = Conn::new(Window::new(64));
        for (n, line) in (0..).zip(BEGINNING.iter().chain(&AT_ONCE)) {
            let due = segment(*line, true, n);
            for (which, change) in changes.iter().enumerate() {
                // A SYN may have any place, and no timestamps.
                let any = due.is_syn() && (which == 0 || which == 2);
                let (mut other, mut odd) = (conn, due);
                change(&mut odd);
                assert!(any || !other.turn(line.0, &odd) && other == conn, "{odd:?} of {conn:?}");
            }
            assert!(!{ conn }.turn(!line.0, &due), "of the other side");
            assert!(conn.turn(line.0, &due));
        }
    }
}
