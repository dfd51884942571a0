use super::*;
use crate::NO_BUFFER;
use crate::segment::Segment;
use proptest::prelude::*;
use proptest::sample::select;

const WINDOW: Window = Window::with_ahead(1000, 600);

/// A connection whose numbers are all other than they began.
fn talking() -> Conn {
    let mut conn = Conn::new(WINDOW);
    let (ack, syn_ack) = (Flags::ACK, Flags::SYN | Flags::ACK);
    for (from, segment) in [
        (Side::Client, Segment::build(u32::MAX, 0, Flags::SYN, b"")),
        (Side::Server, Segment::build(500, 0, syn_ack, b"")),
        (Side::Client, Segment::build(0, 501, ack, b"abc")),
        (Side::Server, Segment::build(501, 3, ack, b"defg")),
        (Side::Client, Segment::build(3, 503, ack, b"h")),
    ] {
        assert!(conn.judge(from, &segment).is_accept());
        let _ = conn.sent(from, &segment);
        let _ = conn.received(!from, &segment, NO_BUFFER);
    }
    conn
}

fn has_short_form(conn: &Conn) -> bool {
    let packed = PackedConn::pack(conn, &WINDOW);
    assert!(packed.is_none_or(|packed| packed.unpack(&WINDOW) == *conn), "invariant 1: {conn:?}");
    packed.is_some()
}

type Change = (&'static str, fn(&mut Conn));

/// Each alone makes a connection one that has no short form.
const NO_PLACE: &[Change] = &[
    ("other ISN", |c| c.other_isn = SeqNum(1)),
    ("other offer", |c| c.other_offer.bits = 1),
    ("timestamp of another offer", |c| c.other_offer.timestamp = 1),
    ("octets with the SYN", |c| c.syn_data = true),
    ("urgent", |c| c.sides.client.stream.urgent = SeqNum(1)),
    ("urgent pending", |c| c.sides.client.stream.urgent_pending = true),
    ("urgent removed", |c| c.sides.server.stream.urgent_removed = true),
    ("another capacity", |c| c.sides.client.stream.window = Window::with_ahead(1001, 600)),
    ("another share of early octets", |c| c.sides.server.stream.window = Window::with_ahead(1000, 601)),
    ("2^48 octets", |c| at(c, 1 << 48)),
    ("more than 2^31 octets acknowledged and not seen", |c| c.sides.client.stream.acked.0 = 4 + (1 << 31)),
    ("more than 2^31 octets not acknowledged", |c| at(c, (1 << 31) + 4)),
    ("widest window that is no window", |c| c.sides.client.stream.widest = 0x1_0001),
    ("widest window of 2^31", |c| c.sides.server.stream.widest = 1 << 31),
    ("a FIN that does not count", |c| c.sides.client.fin = SeqNum(9)),
    ("a FIN before octets", |c| (c.sides.client.fin, c.sides.client.has_fin) = (SeqNum(2), true)),
    ("a FIN of the server before octets", |c| {
        (c.sides.server.fin, c.sides.server.has_fin) = (SeqNum(2), true);
    }),
];

/// What the server expects next.
fn at(conn: &mut Conn, next: u64) {
    conn.sides.server.stream.window = WINDOW.restarted_at(Offset(next));
}

#[test]
fn what_has_no_place_leaves_a_connection_as_it_is() {
    assert!(has_short_form(&talking()) && has_short_form(&Conn::new(WINDOW)));
    for (what, change) in NO_PLACE {
        let mut conn = talking();
        change(&mut conn);
        assert!(!has_short_form(&conn), "{what}");
    }
}

#[test]
fn the_furthest_that_has_a_place() {
    let mut conn = talking();
    at(&mut conn, (1 << 48) - 1);
    conn.sides.server.stream.acked = Offset((1 << 48) - 1 - (1 << 31));
    conn.sides.client.stream.acked.0 = conn.sides.client.stream.next().0 + (1 << 31) - 1;
    conn.sides.client.stream.widest = 0xffff << 14;
    conn.sides.server.stream.widest = 0xffff << 15;
    conn.sides.client.snd_nxt = SeqNum(0);
    (conn.sides.client.fin, conn.sides.client.has_fin) = (SeqNum(u32::MAX), true);
    assert!(has_short_form(&conn));
}

#[test]
fn what_is_missing_is_known_at_rest() {
    for (acknowledged, has_fin, missing) in
        [(0, false, false), (1, false, true), (1, true, false), (2, true, true)]
    {
        let mut conn = talking();
        let Sides { client, server } = &mut conn.sides;
        let next = server.stream.next();
        server.stream.acked = next.saturating_add(acknowledged);
        client.snd_nxt = next.seq(server.stream.base) + u32::from(has_fin);
        client.set_fin(has_fin.then_some(client.snd_nxt - 1));
        let short = PackedConn::pack(&conn, &WINDOW).unwrap();
        let both = [short.may_have_gap(Side::Server), conn.may_have_gap(Side::Server)];
        assert_eq!(both, [missing; 2], "{acknowledged} acknowledged beyond, a FIN: {has_fin}");
        assert!(!short.may_have_gap(Side::Client));
    }
}

/// A new variant does not compile here, and then finds its place in the tables.
#[test]
fn tables_are_in_the_order_of_their_numbers() {
    for (place, policy) in POLICIES[..3].iter().enumerate() {
        let number = match policy {
            UrgentPolicy::Inline => 0,
            UrgentPolicy::OutOfBand => 1,
            UrgentPolicy::Drop => 2,
        };
        assert_eq!((place, number), (*policy as usize, place));
    }
    for (place, strictness) in STRICTNESSES.iter().enumerate() {
        let number = match strictness {
            Strictness::Linux => 0,
            Strictness::LinuxBefore68 => 1,
            Strictness::Rfc9293 => 2,
            Strictness::Lossy => 3,
        };
        assert_eq!((place, number), (*strictness as usize, place));
    }
    for (place, reset) in RESETS[..5].iter().enumerate() {
        let number = match reset {
            Reset::No => 0,
            Reset::ByClient => 1,
            Reset::ByServer => 2,
            Reset::DoubtedOfClient => 3,
            Reset::DoubtedOfServer => 4,
        };
        assert_eq!((place, number), (*reset as usize, place));
    }
}

#[test]
fn what_is_gathered_is_spread_again() {
    for (number, flags) in SPREAD.into_iter().enumerate() {
        assert_eq!(usize::from(gather(flags)), number);
        assert_eq!(flags.iter().rev().fold(0, |n, flag| 2 * n + usize::from(*flag)), number);
    }
}

prop_compose! {
    fn a_stream()(
        next in 0..1_u64 << 48,
        behind in any::<i32>(),
        (base, ahead) in any::<(u32, u32)>(),
        (mantissa, scale) in (any::<u16>(), 0_u32..15),
        (known, holds_early) in any::<([bool; 4], bool)>(),
        urgent_policy in select(&POLICIES[..]),
    ) -> Stream {
        let [placed, midstream, guessed, has_acked] = known;
        let acked = Offset(next.saturating_add_signed(behind.into()));
        let (base, widest) = (SeqNum(base), u32::from(mantissa) << scale);
        let window = WINDOW.restarted_at(Offset(next));
        Stream {
            window, acked, base, ahead, widest, placed, midstream, guessed, has_acked, holds_early,
            urgent_policy, ..Stream::new(WINDOW)
        }
    }
}

prop_compose! {
    fn a_side()(
        stream in a_stream(),
        (snd_nxt, ts_recent, timestamp) in any::<(u32, u32, u32)>(),
        (timestamp_span, scale, bits) in any::<(u16, u8, u8)>(),
        state in select(&State::ALL[..]),
        steady in select(&[Steady::No, Steady::WithoutTimestamps, Steady::WithTimestamps][..]),
        (has_sent, has_fin) in any::<(bool, bool)>(),
    ) -> Space {
        let fin = if has_fin { SeqNum(snd_nxt.wrapping_sub(1)) } else { SeqNum(0) };
        let offer = Offer { timestamp, timestamp_span, scale, bits };
        Space { stream, snd_nxt: SeqNum(snd_nxt), fin, ts_recent, offer, state, has_sent, has_fin, steady }
    }
}

prop_compose! {
    fn a_connection()(
        (client, server) in (a_side(), a_side()),
        strictness in select(&STRICTNESSES[..]),
        reset in select(&RESETS[..]),
        started in any::<bool>(),
    ) -> Conn {
        Conn { sides: Sides { client, server }, strictness, reset, started, ..Conn::new(WINDOW) }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn whatever_has_a_place_comes_out_as_it_went_in(conn in a_connection()) {
        prop_assert!(has_short_form(&conn), "everything in it has its place");
        let (mut long, mut short) = (conn, PackedConn::pack(&conn, &WINDOW).unwrap());
        for side in Side::BOTH {
            prop_assert_eq!(long.may_have_gap(side), short.may_have_gap(side));
        }
        prop_assert_eq!(long.expire(), short.expire());
        prop_assert_eq!(short.unpack(&WINDOW), long);
    }
}
