//! What is known of one side: its state, its send sequence space, and the stream it receives (RFC 9293, 3.3.1).

use crate::options::{MAX_WINDOW_SCALE, Timestamps};
use crate::segment::Segment;
use crate::state::{State, Trigger};
use crate::stream::Stream;
use ringbuf_core::window::Window;
use ringbuf_core::{Offset, SeqNum};

/// What a SYN offers for the connection. An offer counts when both SYNs make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syn {
    pub(crate) isn: SeqNum,
    /// Its timestamp.
    pub(crate) timestamp: Option<u32>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
    /// It is signed, so its sender has a key.
    pub(crate) signed: bool,
}

impl Syn {
    pub(crate) fn of(segment: &Segment<'_>) -> Self {
        let o = &segment.options;
        Syn {
            isn: segment.seq,
            timestamp: o.timestamps.map(|t| t.value),
            window_scale: o.window_scale,
            sack: o.sack_permitted,
            signed: o.signed,
        }
    }
}

/// One side of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Space {
    pub(crate) stream: Stream,
    /// SND.NXT: one past the highest sequence number sent, SYN and FIN counted.
    snd_nxt: Option<SeqNum>,
    /// Sequence number of the FIN sent.
    pub(crate) fin: Option<SeqNum>,
    /// TS.Recent: the newest timestamp accepted from the peer.
    pub(crate) ts_recent: Option<u32>,
    /// This side's SYN.
    pub(crate) syn: Option<Syn>,
    pub(crate) state: State,
}

impl Space {
    pub(crate) const fn new(state: State, window: Window) -> Self {
        Space { stream: Stream::new(window), snd_nxt: None, fin: None, ts_recent: None, syn: None, state }
    }

    /// The stream that this side receives.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// The state of this side.
    pub fn state(&self) -> State {
        self.state
    }

    /// One past the highest sequence number this side sent; `None` before it sent anything.
    pub fn snd_nxt(&self) -> Option<SeqNum> {
        self.snd_nxt
    }

    /// Whether this side's SYN was seen. Without it windows are taken with the largest scale.
    pub fn sent_syn(&self) -> bool {
        self.syn.is_some()
    }

    /// Makes the transition that `trigger` causes, if any; returns the new state.
    pub(crate) fn apply(&mut self, trigger: Trigger) -> Option<State> {
        let to = self.state.after(trigger)?;
        self.state = to;
        Some(to)
    }

    /// The window of `segment`, sent by this side, in octets: scaled when both SYNs offered it (RFC 7323, 2.2) and
    /// the segment is no SYN. A SYN that was not seen is taken to offer the largest scale.
    pub(crate) fn window_of(&self, segment: &Segment<'_>, peer: &Space) -> u32 {
        let offers = |space: &Space| space.syn.is_none_or(|syn| syn.window_scale.is_some());
        let scaled = !segment.is_syn() && offers(self) && offers(peer);
        let shift = self.syn.map_or(MAX_WINDOW_SCALE, |syn| syn.window_scale.unwrap_or(0));
        u32::from(segment.window) << if scaled { shift } else { 0 }
    }

    /// Everything below `end` was sent.
    pub(crate) fn has_sent(&mut self, end: SeqNum) {
        self.snd_nxt = Some(self.snd_nxt.map_or(end, |nxt| nxt.max(end)));
    }

    /// This side begins again with another SYN.
    pub(crate) fn restart_sending(&mut self, syn: Option<Syn>, nxt: SeqNum) {
        (self.snd_nxt, self.fin, self.syn) = (Some(nxt), None, syn);
    }

    /// TS.Recent as RFC 7323, 4.3 keeps it: the newest value of a segment that covers what was last acknowledged.
    pub(crate) fn note_timestamp(&mut self, timestamps: Option<Timestamps>, position: i64, len: u32) {
        let Some(t) = timestamps else { return };
        let acked = self.stream.acked().0.cast_signed();
        let covers = position <= acked && acked <= position.saturating_add(len.into());
        if covers && self.ts_recent.is_none_or(|recent| !SeqNum(t.value).lt(SeqNum(recent))) {
            self.ts_recent = Some(t.value);
        }
    }

    /// Where the peer's stream ends, as an offset of the stream this side receives.
    pub(crate) fn end_of_stream(&self, peer: &Space) -> Option<Offset> {
        let fin = peer.fin?;
        u64::try_from(self.stream.position(fin)).ok().map(Offset)
    }

    /// RCV.NXT as an offset, the FIN counted once it was taken.
    pub(crate) fn rcv_nxt(&self, peer: &Space) -> Offset {
        let taken = self.end_of_stream(peer).filter(|_| self.state.has_received_fin());
        self.stream.rcv_nxt().max(taken.map_or(Offset::ZERO, |end| end.saturating_add(1)))
    }
}
