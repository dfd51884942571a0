//! What is odd about a segment although its receiver takes it.

use super::Conn;
use super::check::Case;
use crate::anomaly::{Anomalies, Anomaly};
use crate::header::Flags;
use crate::options::OptionFaults;
use crate::plain::is_plain;
use crate::segment::Segment;
use crate::side::Side;
use ringbuf_core::SeqNum;

impl Conn {
    /// Looks at a segment from `from` before anything changes. Nearly all show at a glance that there is nothing to see.
    #[inline]
    pub(super) fn odd(&self, from: Side, segment: &Segment<'_>) -> Anomalies {
        let agreed = self.sides[from].has_timestamps(&self.sides[!from]);
        if is_plain(segment) && segment.options.timestamps.is_some() == agreed {
            Anomalies::NONE
        } else {
            self.oddities(from, segment, agreed)
        }
    }

    fn oddities(&self, from: Side, segment: &Segment<'_>, agreed: bool) -> Anomalies {
        let mut odd = Anomalies::NONE;
        note_header(&mut odd, segment);
        note_options(&mut odd, segment);
        if segment.is_rst() {
            self.note_rst(&mut odd, from, segment);
        } else if segment.is_syn() {
            odd.add_if(segment.payload_len > 0 && !segment.is_ack(), Anomaly::SynWithData);
            let ends = segment.payload_len > 0 || segment.is_fin();
            odd.add_if(ends && segment.is_ack(), Anomaly::SynAckWithData);
            odd.add_if(self.answers_with_timestamp(from, segment), Anomaly::TimestampUnexpected);
        } else {
            odd.add_if(agreed && segment.options.timestamps.is_none(), Anomaly::TimestampMissing);
            odd.add_if(!agreed && self.refuses_timestamp(from, segment), Anomaly::TimestampUnexpected);
            odd.add_if(self.has_bad_sack(from, segment), Anomaly::SackInvalid);
        }
        odd
    }

    /// A timestamp although both SYNs were seen, and not both had one.
    fn refuses_timestamp(&self, from: Side, segment: &Segment<'_>) -> bool {
        segment.options.timestamps.is_some() && self.sides[from].sent_syn() && self.sides[!from].sent_syn()
    }

    /// A timestamp in the answer to a SYN that had none (RFC 7323, 3.2). Of several SYNs the answered one counts.
    fn answers_with_timestamp(&self, from: Side, segment: &Segment<'_>) -> bool {
        let offer = self.other_syn(segment).map_or(self.sides[!from].offer, |(_, offer)| offer);
        let unasked = offer.seen() && offer.timestamp().is_none();
        segment.is_ack() && unasked && segment.options.timestamps.is_some()
    }

    fn note_rst(&self, odd: &mut Anomalies, from: Side, segment: &Segment<'_>) {
        let case = Case::new(self, from, segment);
        let synchronized = self.sides[!from].state.is_synchronized();
        odd.add_if(segment.payload_len > 0, Anomaly::RstWithData);
        odd.add_if(synchronized && segment.is_ack() && case.ack().is_some(), Anomaly::RstAckInvalid);
        odd.add_if(synchronized && case.paws(0).is_some(), Anomaly::RstPaws);
    }

    /// Blocks count in the stream that the sender receives.
    pub(super) fn has_bad_sack(&self, from: Side, segment: &Segment<'_>) -> bool {
        let stream = &self.sides[from].stream;
        let (Some(nxt), Some(_)) = (self.sides[!from].snd_nxt(), stream.base()) else { return false };
        let sent = stream.position(nxt);
        let lossy = self.strictness.rules().lossy;
        let mut blocks = segment.options.sack;
        blocks.any(|(left, right)| {
            let (left, right) = (stream.position(left), stream.position(right));
            left >= right || right > sent && !lossy
        })
    }
}

/// Flags of nearly all segments that are not plain, besides those of a SYN: nothing is odd about them.
const SYN_ACK: u16 = Flags::SYN.0 | Flags::ACK.0;
const FIN_ACK: u16 = Flags::FIN.0 | Flags::ACK.0;

fn note_header(odd: &mut Anomalies, segment: &Segment<'_>) {
    let f = segment.flags;
    if matches!(f.0, SYN_ACK | FIN_ACK) && segment.urgent == 0 {
        return;
    }
    let scan = segment.is_syn() && f.any(Flags::PSH | Flags::URG)
        || f.has(Flags::FIN | Flags::URG | Flags::PSH)
        || segment.is_rst() && f.any(Flags::SYN | Flags::FIN | Flags::URG | Flags::PSH);
    odd.add_if(scan, Anomaly::FlagsOdd);
    odd.add_if(segment.ack != SeqNum(0) && !segment.is_ack(), Anomaly::AckUnflagged);
    odd.add_if(f.any(Flags::RESERVED), Anomaly::ReservedBits);
    odd.add_if(segment.urgent != 0 && !f.has(Flags::URG), Anomaly::UrgentUnflagged);
}

fn note_options(odd: &mut Anomalies, segment: &Segment<'_>) {
    if segment.options.faults.is_empty() {
        return;
    }
    for (fault, anomaly) in [
        (OptionFaults::MALFORMED, Anomaly::OptionMalformed),
        (OptionFaults::LENGTH, Anomaly::OptionLength),
        (OptionFaults::REPEATED, Anomaly::OptionRepeated),
        (OptionFaults::SCALE, Anomaly::WindowScaleTooLarge),
    ] {
        odd.add_if(segment.options.faults.has(fault), anomaly);
    }
}
