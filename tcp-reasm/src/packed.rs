//! A connection at rest, in 80 octets instead of 176: what a table of millions keeps of nearly all of them.
//!
//! A part of a [`Conn`] is as it began most of the time: no octet is held in order or is urgent, and there was one
//! SYN. What is left takes fewer values than its types have: a stream ends below 2^48, what is acknowledged is near
//! what is expected next, a FIN is the last that is sent, and the widest window is a number of 16 bits, shifted (RFC
//! 7323, 2.3). A connection of which any of that is not so has no short form, and stays as it is until it has one again.
//!
//! Either way is a call that is not inlined: there the compiler knows that what is read and what is written lie apart.
//! Both together are 322 instructions, against 345 inlined. A connection with a FIN goes a way of its own, because all
//! others pay for asking where it is: 376.
//!
//! # Invariants
//! 1. A short form gives back the connection that it was made of, equal in every field.

use crate::conn::{Conn, Reset};
use crate::header::Flags;
use crate::plain::PlainSegment;
use crate::segment::Segment;
use crate::side::{Side, Sides};
use crate::space::{Offer, Space, Steady};
use crate::state::{State, Trigger};
use crate::step::{self, Footing, Terms};
use crate::stream::{Stream, UrgentPolicy};
use crate::strictness::Strictness;
use ringbuf_core::window::Window;
use ringbuf_core::{Offset, SeqNum};

/// A connection in short. No part of it is wider than 32 bits, so that it fits into a record without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedConn {
    sides: Sides<PackedSpace>,
}

const _: () = assert!(size_of::<PackedConn>() == 80 && align_of::<PackedConn>() == 4);

/// One side in short. What one instruction can copy stands as it is; only flags share an octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PackedSpace {
    /// The low 32 bits of the offset expected next.
    next: u32,
    /// Counted from the offset expected next.
    acked: i32,
    base: SeqNum,
    ahead: u32,
    snd_nxt: SeqNum,
    ts_recent: u32,
    /// This side's SYN.
    offer: Offer,
    next_high: u16,
    /// The widest window, shifted to the right until it fits.
    widest: u16,
    /// How far that is, in four bits; above them what belongs to the connection: at the client how strict it is, and
    /// [`STARTED`], at the server how it was reset; highest, [`EARLY`].
    shift: u8,
    state: State,
    steady: Steady,
    /// Four flags that [`gather`] made a number of, two more, and the urgent policy.
    flags: u8,
}

/// Of [`PackedSpace::flags`]; the first two are of those that are gathered.
const PLACED: u8 = 1;
const HAS_ACKED: u8 = 8;
const HAS_SENT: u8 = 16;
const HAS_FIN: u8 = 32;
const URGENT_POLICY: u32 = 6;

/// Of [`PackedSpace::shift`].
const WIDEST_SHIFT: u8 = 15;
const STARTED: u8 = 64;
/// Octets wait behind a hole, wherever they are held.
const EARLY: u8 = 128;
const SHARED: u32 = 4;

/// Variants by their numbers; the last one fills the table.
const POLICIES: [UrgentPolicy; 4] =
    [UrgentPolicy::Inline, UrgentPolicy::OutOfBand, UrgentPolicy::Drop, UrgentPolicy::Drop];
const STRICTNESSES: [Strictness; 4] =
    [Strictness::Linux, Strictness::LinuxBefore68, Strictness::Rfc9293, Strictness::Lossy];
const RESETS: [Reset; 8] = {
    use Reset::{ByClient, ByServer, DoubtedOfClient, DoubtedOfServer, No};
    [No, ByClient, ByServer, DoubtedOfClient, DoubtedOfServer, No, No, No]
};

impl PackedConn {
    /// The short form of a connection; `None` when something about it has no place there. `window` is the empty window
    /// that both streams began with.
    #[inline(never)]
    pub fn pack(conn: &Conn, window: &Window) -> Option<PackedConn> {
        if conn.sides.client.has_fin | conn.sides.server.has_fin {
            return PackedConn::pack_ending(conn, window);
        }
        PackedConn::of::<false>(conn, window)
    }

    #[cold]
    fn pack_ending(conn: &Conn, window: &Window) -> Option<PackedConn> {
        PackedConn::of::<true>(conn, window)
    }

    #[inline]
    fn of<const ENDS: bool>(conn: &Conn, window: &Window) -> Option<PackedConn> {
        // No pattern leaves anything out by `..`: a new field has to find its place, here and in `has_place_for`.
        let Conn { sides, other_isn, other_offer, strictness, syn_data, reset, started } = conn;
        let fits = PackedSpace::has_place_for::<ENDS>(&sides.client, window)
            && PackedSpace::has_place_for::<ENDS>(&sides.server, window)
            && !syn_data
            && *other_isn == SeqNum(0)
            && *other_offer == Offer::NONE;
        let shared = Sides {
            client: (*strictness as u8) << SHARED | flag(*started, STARTED),
            server: (*reset as u8) << SHARED,
        };
        fits.then(|| PackedConn {
            sides: Sides {
                client: PackedSpace::of::<ENDS>(&sides.client, shared.client),
                server: PackedSpace::of::<ENDS>(&sides.server, shared.server),
            },
        })
    }

    /// The connection again. `window` is the one it was packed with.
    #[inline(never)]
    pub fn unpack(&self, window: &Window) -> Conn {
        if (self.sides.client.flags | self.sides.server.flags) & HAS_FIN != 0 {
            return self.unpack_ending(window);
        }
        self.made::<false>(window)
    }

    #[cold]
    fn unpack_ending(&self, window: &Window) -> Conn {
        self.made::<true>(window)
    }

    #[inline]
    fn made<const ENDS: bool>(&self, window: &Window) -> Conn {
        let Sides { client, server } = &self.sides;
        Conn {
            sides: Sides { client: client.made::<ENDS>(window), server: server.made::<ENDS>(window) },
            other_isn: SeqNum(0),
            other_offer: Offer::NONE,
            strictness: STRICTNESSES[usize::from(client.shift >> SHARED & 3)],
            syn_data: false,
            reset: RESETS[usize::from(server.shift >> SHARED & 7)],
            started: client.shift & STARTED != 0,
        }
    }

    /// The state of a side.
    #[inline]
    pub fn state(&self, side: Side) -> State {
        self.sides[side].state
    }

    /// The offset that `side` expects next.
    #[inline]
    pub fn next(&self, side: Side) -> Offset {
        self.sides[side].next()
    }

    /// As [`Conn::step`] and [`Conn::pass_in_step`] at once. Returns whether the segment was in step, and
    /// the connection has a short form with it: else nothing has changed.
    #[inline]
    pub fn step(&mut self, from: Side, segment: &PlainSegment) -> bool {
        let before = if cfg!(debug_assertions) { Some(*self) } else { None };
        let taken = self.try_step(from, segment);
        if let Some(before) = before.filter(|_| taken) {
            let window = Window::new(1);
            let mut long = before.unpack(&window);
            debug_assert!(long.step(from, segment), "{segment:?} of {from}");
            long.pass_in_step(!from, segment.payload_len);
            debug_assert_eq!(PackedConn::pack(&long, &window), Some(*self));
        }
        taken
    }

    #[inline]
    fn try_step(&mut self, from: Side, segment: &PlainSegment) -> bool {
        let lossy = STRICTNESSES[usize::from(self.sides.client.shift >> SHARED & 3)].rules().lossy;
        let (sender, receiver) = self.sides.pair_mut(from);
        let steady = sender.steady;
        if steady == Steady::No || steady != receiver.steady {
            return false;
        }
        let (Some(mut there), Some(mut back)) = (receiver.footing(), sender.footing()) else { return false };
        let stamped = steady == Steady::WithTimestamps;
        let terms = Terms { shift: sender.offer.shift_with(receiver.offer), stamped, lossy };
        let (widest, next) = (back.widest, receiver.next().0 + u64::from(segment.payload_len));
        let fits = next >> 48 == 0 && receiver.shift & EARLY == 0;
        if !fits || !step::follow(&mut back, &mut there, segment, terms) {
            return false;
        }
        if back.widest != widest && !sender.widen(back.widest) {
            return false;
        }
        sender.acked = back.unacked.wrapping_neg().cast_signed();
        (sender.ahead, sender.snd_nxt, sender.ts_recent) = (back.ahead, back.snd_nxt, back.ts_recent);
        receiver.acked -= segment.payload_len.cast_signed();
        (receiver.next, receiver.next_high) = (next as u32, (next >> 32) as u16);
        receiver.ts_recent = there.ts_recent;
        true
    }

    /// As [`Conn::may_have_gap`].
    pub fn may_have_gap(&self, side: Side) -> bool {
        let (space, peer) = (&self.sides[side], &self.sides[!side]);
        let (missing, has_fin) = (space.acked, peer.flags & HAS_FIN != 0);
        let waits = if space.flags & HAS_ACKED == 0 { space.shift & EARLY != 0 } else { missing > 0 };
        let fin_alone = has_fin && missing == 1 && peer.snd_nxt - 1 == space.next().seq(space.base);
        space.flags & PLACED != 0 && waits && !fin_alone
    }

    /// As [`Conn::turn`]. Returns whether the segment was a turn, and the connection has a short form with it: else nothing
    /// has changed.
    pub fn turn(&mut self, from: Side, segment: &Segment<'_>, window: &Window) -> bool {
        // Of a steady connection only those that close are turns.
        let closes = segment.flags.any(Flags::SYN | Flags::FIN) || self.sides.client.steady == Steady::No;
        if segment.payload_len > 0 || !closes {
            return false;
        }
        let mut conn = self.unpack(window);
        let turned = conn.turn(from, segment).then(|| PackedConn::pack(&conn, window)).flatten();
        if let Some(turned) = turned {
            *self = turned;
        }
        turned.is_some()
    }

    /// As [`Conn::states`].
    #[inline]
    pub fn states(&self) -> Sides<State> {
        Sides { client: self.sides.client.state, server: self.sides.server.state }
    }

    /// As [`Conn::expire`].
    pub fn expire(&mut self) -> Sides<Option<State>> {
        Sides::from_fn(|side| {
            let space = &mut self.sides[side];
            let to = space.state.after(Trigger::Expired);
            (space.state, space.steady) = (to.unwrap_or(space.state), Steady::No);
            to
        })
    }

    /// As [`Conn::is_embryonic`].
    #[inline]
    pub fn is_embryonic(&self) -> bool {
        self.state(Side::Client).is_embryonic() || self.state(Side::Server).is_embryonic()
    }

    /// As [`Conn::is_over`].
    #[inline]
    pub fn is_over(&self) -> bool {
        self.state(Side::Client).is_over() && self.state(Side::Server).is_over()
    }
}

impl PackedSpace {
    /// Whether [`PackedSpace::of`] loses nothing.
    #[inline]
    fn has_place_for<const ENDS: bool>(space: &Space, window: &Window) -> bool {
        #[rustfmt::skip]
        let Space {
            stream, snd_nxt, fin, has_fin,
            ts_recent: _, offer: _, state: _, has_sent: _, steady: _,
        } = space;
        #[rustfmt::skip]
        let Stream {
            window: held, acked, widest, urgent, urgent_pending, urgent_removed,
            holds_early: _, base: _, ahead: _, placed: _, midstream: _, guessed: _, has_acked: _, urgent_policy: _,
        } = stream;
        let (next, shift) = (held.next(), shift_of(*widest));
        let near = acked.0.wrapping_sub(next.0).cast_signed();
        !(urgent_pending | urgent_removed)
            && *urgent == SeqNum(0)
            && *fin == fin_of(ENDS && *has_fin, *snd_nxt)
            && *held == window.restarted_at(next)
            && next.0 >> 48 == 0
            && i64::from(near as i32) == near
            && shift < 16
            && *widest >> shift << shift == *widest
    }

    #[inline]
    fn of<const ENDS: bool>(space: &Space, shared: u8) -> PackedSpace {
        let stream = &space.stream;
        let (next, shift) = (stream.window.next().0, shift_of(stream.widest));
        PackedSpace {
            next: next as u32,
            acked: stream.acked.0.wrapping_sub(next) as i32,
            base: stream.base,
            ahead: stream.ahead,
            snd_nxt: space.snd_nxt,
            ts_recent: space.ts_recent,
            offer: space.offer,
            next_high: (next >> 32) as u16,
            widest: (stream.widest >> shift) as u16,
            shift: shift as u8 | shared | flag(stream.holds_early, EARLY),
            state: space.state,
            steady: space.steady,
            flags: gather([stream.placed, stream.midstream, stream.guessed, stream.has_acked])
                | flag(space.has_sent, HAS_SENT)
                | flag(ENDS && space.has_fin, HAS_FIN)
                | (stream.urgent_policy as u8) << URGENT_POLICY,
        }
    }

    #[inline]
    fn made<const ENDS: bool>(&self, window: &Window) -> Space {
        let (next, has_fin) = (self.next(), ENDS && self.flags & HAS_FIN != 0);
        let [placed, midstream, guessed, has_acked] = SPREAD[usize::from(self.flags & 15)];
        let stream = Stream {
            window: window.restarted_at(next),
            acked: Offset(next.0.wrapping_add_signed(self.acked.into())),
            base: self.base,
            ahead: self.ahead,
            widest: u32::from(self.widest) << (self.shift & WIDEST_SHIFT),
            urgent: SeqNum(0),
            placed,
            midstream,
            guessed,
            has_acked,
            urgent_pending: false,
            urgent_removed: false,
            holds_early: self.shift & EARLY != 0,
            urgent_policy: POLICIES[usize::from(self.flags >> URGENT_POLICY)],
        };
        Space {
            stream,
            snd_nxt: self.snd_nxt,
            fin: fin_of(has_fin, self.snd_nxt),
            ts_recent: self.ts_recent,
            offer: self.offer,
            state: self.state,
            has_sent: self.flags & HAS_SENT != 0,
            has_fin,
            steady: self.steady,
        }
    }

    /// Notes a wider window than any before, if that has a place. The first one that is scaled is wider, nearly always.
    #[cold]
    fn widen(&mut self, widest: u32) -> bool {
        let shift = shift_of(widest);
        let fits = shift < 16 && widest >> shift << shift == widest;
        if fits {
            self.widest = (widest >> shift) as u16;
            self.shift = self.shift & !WIDEST_SHIFT | shift as u8;
        }
        fits
    }

    fn next(&self) -> Offset {
        Offset(u64::from(self.next_high) << 32 | u64::from(self.next))
    }

    /// As that of a `Space`.
    #[inline]
    fn footing(&self) -> Option<Footing> {
        let told = HAS_SENT | HAS_ACKED;
        (self.acked <= 0 && self.flags & told == told).then(|| Footing {
            next: self.next().seq(self.base),
            unacked: self.acked.unsigned_abs(),
            ahead: self.ahead,
            widest: u32::from(self.widest) << (self.shift & WIDEST_SHIFT),
            snd_nxt: self.snd_nxt,
            ts_recent: self.ts_recent,
        })
    }
}

const fn flag(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

/// Where the FIN is of a side that has sent everything below `snd_nxt`.
fn fin_of(has_fin: bool, snd_nxt: SeqNum) -> SeqNum {
    if has_fin { snd_nxt - 1 } else { SeqNum(0) }
}

/// By how much a widest window is shifted to fit into 16 bits.
const fn shift_of(widest: u32) -> u32 {
    (widest | 0xffff).ilog2() - 15
}

/// Four flags as the four low bits of a number. They lie side by side, and one multiplication moves them all: each by
/// seven places less than the one before it.
const fn gather([a, b, c, d]: [bool; 4]) -> u8 {
    let apart = u32::from_le_bytes([a as u8, b as u8, c as u8, d as u8]);
    (apart.wrapping_mul(0x0102_0408) >> 24) as u8
}

/// What [`gather`] made a number of, by the number.
const SPREAD: [[bool; 4]; 16] = {
    let mut all = [[false; 4]; 16];
    let mut i = 0;
    while i < all.len() {
        all[i] = [i & 1 != 0, i & 2 != 0, i & 4 != 0, i & 8 != 0];
        i += 1;
    }
    all
};

#[cfg(test)]
mod tests;
