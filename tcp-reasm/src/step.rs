//! A segment in step: what nearly every segment of an established connection is, told by a few comparisons.
//!
//! Both sides are steady (see `Conn`), and the segment is plain, begins where its receiver expects it, fits its window, and
//! acknowledges nothing that was not seen and no less than was acknowledged before. Nothing is odd about such a segment and
//! no state changes. Whoever takes it the long way gets the same connection: debug builds do, each time.
//!
//! It is judged by few numbers, so that a connection in its short form need not be made whole for it.

use crate::options::Timestamps;
use crate::plain::PlainSegment;
use ringbuf_core::SeqNum;

/// What one side has taken, said and sent, as far as a segment in step is judged by it or changes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footing {
    /// Sequence number of what it expects next.
    pub(crate) next: SeqNum,
    /// Octets below that which it has not acknowledged.
    pub(crate) unacked: u32,
    /// How far its window reaches beyond what it has acknowledged, octets.
    pub(crate) ahead: u32,
    /// The widest window that it ever advertised, octets.
    pub(crate) widest: u32,
    pub(crate) snd_nxt: SeqNum,
    pub(crate) ts_recent: u32,
}

/// What both sides go by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Of the sender's windows.
    pub(crate) shift: u8,
    /// Both stamp what they send.
    pub(crate) stamped: bool,
    /// The capture may lack segments.
    pub(crate) lossy: bool,
}

/// Octets that are near enough for sequence numbers to be compared.
const NEAR: u32 = 1 << 31;

/// Follows a segment on both sides, if it is in step, but for the octets: `receiver.next` does not move. Otherwise nothing
/// changes.
#[inline(always)] // both sides stay in registers
pub(crate) fn follow(
    sender: &mut Footing,
    receiver: &mut Footing,
    segment: &PlainSegment,
    terms: Terms,
) -> bool {
    let (s, len) = (segment, segment.payload_len);
    let fresh = s.ack.0.wrapping_sub((sender.next - sender.unacked).0);
    let window = u32::from(s.window) << terms.shift;
    let left = sender.ahead.saturating_sub(fresh);
    let shrunk = u64::from(window) + (1 << terms.shift) <= u64::from(left);
    let placed = s.seq == receiver.next && s.seq.le(sender.snd_nxt);
    let fits = u64::from(receiver.unacked) + u64::from(len) <= u64::from(receiver.ahead).min(NEAR.into());
    let near = sender.unacked <= NEAR;
    let acknowledges = near & (fresh <= sender.unacked) & s.ack.le(receiver.snd_nxt);
    let stamps = match s.timestamps {
        Some(t) if terms.stamped => receiver.ts_recent == 0 || SeqNum(receiver.ts_recent).le(SeqNum(t.value)),
        stamps => stamps.is_none() && !terms.stamped,
    };
    if !(placed & fits & acknowledges & stamps) || shrunk || s.window == 0 {
        return false;
    }
    sender.unacked -= fresh;
    sender.ahead = left.max(window);
    sender.widest = sender.widest.max(window);
    sender.snd_nxt = sender.snd_nxt.max(s.seq + len);
    if let Some(stamps) = s.timestamps {
        note(sender, receiver, stamps, terms);
    }
    true
}

/// TS.Recent as `Space::note_timestamp` and `Space::note_echo` keep it.
#[inline]
fn note(sender: &mut Footing, receiver: &mut Footing, stamps: Timestamps, terms: Terms) {
    if !terms.lossy {
        if receiver.unacked == 0 {
            receiver.ts_recent = stamps.value;
        }
    } else if stamps.echo != 0 && (sender.ts_recent == 0 || SeqNum(sender.ts_recent).le(SeqNum(stamps.echo)))
    {
        sender.ts_recent = stamps.echo;
    }
}
