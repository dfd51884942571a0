//! What this crate tells about a segment, as a list.

use crate::support::{Link, with};
use core::fmt;
use ringbuf_core::window::Refusal;
use tcp_reasm::options::Options;
use tcp_reasm::segment::SegmentError;
use tcp_reasm::{Anomaly, Arrival, Flags, Segment, Side, State, Verdict};

pub(crate) const NONE: Flags = Flags(0);
pub(crate) const ACK: Flags = Flags::ACK;
pub(crate) const FIN: Flags = Flags::FIN;
pub(crate) const RST: Flags = Flags::RST;
pub(crate) const SYN: Flags = Flags::SYN;
pub(crate) const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
pub(crate) const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
pub(crate) const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

/// One thing that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A refusal or an oddity.
    Kind(Anomaly),
    /// `Segment::parse` finds no segment.
    NoSegment(SegmentError),
    /// `Segment`: less payload than on the wire.
    Cut,
    /// `Verdict::Restart`.
    Restart,
    Retransmission,
    OutOfOrder,
    Conflict,
    KeepAlive,
    ZeroWindow,
    /// The octets of the SYN are taken, or not.
    SynData(bool),
    /// One of the sides is in another state now.
    State(State),
    Started,
    /// Payload entered a stream in order.
    Advanced,
    NotStored(Refusal),
    Urgent,
    EndOfStream,
    /// `Conn::gap`, of one of the streams.
    Gap,
    /// `Conn::was_reset`.
    Reset,
    /// `Conn::is_over`.
    Over,
    /// `Stream::is_midstream`.
    Midstream,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Told::Kind(anomaly) => return write!(f, "Anomaly::{anomaly:?}"),
            Told::NoSegment(error) => return write!(f, "SegmentError::{error:?}"),
            Told::SynData(taken) => return write!(f, "Sent.syn_data {taken}"),
            Told::State(state) => return write!(f, "state {state}"),
            Told::NotStored(refusal) => return write!(f, "Report.data.refusal {refusal:?}"),
            Told::Cut => "Segment.payload",
            Told::Restart => "Verdict::Restart",
            Told::Retransmission => "Arrival.retransmission",
            Told::OutOfOrder => "Arrival.out_of_order",
            Told::Conflict => "Arrival.conflict",
            Told::KeepAlive => "Arrival.keep_alive",
            Told::ZeroWindow => "Sent.zero_window",
            Told::Started => "Report.started",
            Told::Advanced => "Report.data.advanced",
            Told::Urgent => "Report.urgent",
            Told::EndOfStream => "Report.fin",
            Told::Gap => "Conn::gap",
            Told::Reset => "Conn::was_reset",
            Told::Over => "Conn::is_over",
            Told::Midstream => "Stream::is_midstream",
        })
    }
}

/// What was told about one segment.
#[derive(Debug)]
pub(crate) struct Heard {
    /// `None` when it was no segment.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) facts: Vec<Told>,
    /// Both states, both streams and what they hold are as before.
    pub(crate) unchanged: bool,
}

impl Heard {
    /// The kinds among the facts.
    pub(crate) fn anomalies(&self) -> impl Iterator<Item = Anomaly> {
        self.facts.iter().filter_map(|fact| match fact {
            Told::Kind(anomaly) => Some(*anomaly),
            _ => None,
        })
    }

    /// What is told of bytes that came without their like before.
    pub(crate) fn of_bytes(bytes: &[u8], wire_len: usize) -> Heard {
        match Segment::parse(bytes, wire_len) {
            Ok(segment) => Link::new().hear(Side::Client, &segment),
            Err(error) => Heard { verdict: None, facts: vec![Told::NoSegment(error)], unchanged: true },
        }
    }
}

impl Link {
    /// Plays a segment and lists what was told.
    pub(crate) fn hear(&mut self, from: Side, segment: &Segment<'_>) -> Heard {
        let (before, arrival) = (self.image(), self.arriving(from, segment));
        let (was_reset, was_over) = (self.conn.was_reset(), self.conn.is_over());
        let verdict = self.play(from, segment);
        let mut facts = Vec::new();
        let mut note = |told, fact| facts.extend(Some(fact).filter(|_| told));
        note(segment.payload.len() < segment.payload_len as usize, Told::Cut);
        note(arrival.retransmission, Told::Retransmission);
        note(arrival.out_of_order, Told::OutOfOrder);
        note(arrival.conflict.is_some(), Told::Conflict);
        note(arrival.keep_alive, Told::KeepAlive);
        match verdict {
            Verdict::Refuse(anomaly) => note(true, Told::Kind(anomaly)),
            Verdict::Restart => note(true, Told::Restart),
            Verdict::Accept => {
                note(self.conn.was_reset() && !was_reset, Told::Reset);
                note(self.conn.is_over() && !was_over, Told::Over);
                note(self.has_gap(), Told::Gap);
                note(Side::BOTH.iter().any(|s| self.conn.stream(*s).is_midstream()), Told::Midstream);
                facts.extend(self.reported());
            }
        }
        Heard { verdict: Some(verdict), facts, unchanged: self.image() == before }
    }

    /// Plays a segment without options whose numbers count from the first payload octet of each stream.
    pub(crate) fn says(
        &mut self,
        from: Side,
        seq: i64,
        ack: i64,
        flags: Flags,
        data: &'static [u8],
    ) -> Heard {
        self.hear(from, &with(Options::default(), from, seq, ack, flags, data))
    }

    /// The facts of the last segment that was taken.
    fn reported(&self) -> Vec<Told> {
        let (sent, report) = &self.last;
        let mut facts = Vec::new();
        facts.extend(sent.odd.iter().chain(report.odd.iter()).map(Told::Kind));
        facts.extend(sent.state.into_iter().chain(report.state).map(Told::State));
        facts.extend(sent.syn_data.map(Told::SynData));
        facts.extend(report.data.refusal.map(Told::NotStored));
        let plain = [
            (sent.zero_window, Told::ZeroWindow),
            (report.started, Told::Started),
            (report.data.advanced > 0, Told::Advanced),
            (report.urgent.is_some(), Told::Urgent),
            (report.fin, Told::EndOfStream),
        ];
        facts.extend(plain.into_iter().filter(|(told, _)| *told).map(|(_, fact)| fact));
        facts
    }

    /// What storing it will do, if it is taken, or would do, if it is refused as old; nothing changes.
    fn arriving(&self, from: Side, segment: &Segment<'_>) -> Arrival {
        let (mut conn, to) = (self.conn, !from);
        match conn.judge(from, segment) {
            Verdict::Accept => _ = conn.sent(from, segment),
            Verdict::Refuse(Anomaly::OldSegment) => {}
            _ => return Arrival::default(),
        }
        conn.arriving(to, segment, Some((&self.frags[to as usize], &self.rings[to as usize])))
    }

    fn has_gap(&self) -> bool {
        Side::BOTH.into_iter().any(|side| self.conn.gap(side, Some(&self.frags[side as usize])).is_some())
    }

    /// States, streams and octets.
    fn image(&self) -> String {
        let side = |side: Side| (self.conn.state(side), self.conn.stream(side), &self.frags[side as usize]);
        format!("{:?} {:?} {:?}", side(Side::Client), side(Side::Server), self.rings)
    }
}
