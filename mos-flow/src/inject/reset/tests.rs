use super::*;
use proptest::prelude::*;
use ringbuf_core::window::Window;
use std::vec::Vec;
use tcp_reasm::{NO_BUFFER, Segment, Strictness, Verdict};

/// The server's octets pass the end of the numbers.
const ISS: Sides<u32> = Sides { client: 1000, server: 0xffff_fffe };

fn addresses() -> Sides<SocketAddr> {
    Sides { client: "192.0.2.1:4321".parse().unwrap(), server: "198.51.100.7:80".parse().unwrap() }
}

/// To whom, with which number, acknowledging what.
fn told(conn: &Conn) -> Vec<(Side, u32, Option<u32>)> {
    let all = resets(conn, &addresses());
    for (to, reset) in &all {
        assert_eq!((reset.source, reset.destination), (addresses()[!*to], addresses()[*to]));
        assert_eq!((reset.flags, reset.payload), (Flags::RST, &[][..]));
    }
    all.iter().map(|(to, reset)| (*to, reset.seq.0, reset.ack.map(|ack| ack.0))).collect()
}

/// Of the resets to each side the emulation takes one.
fn taken(conn: &Conn) {
    let all = resets(conn, &addresses());
    let takes = |to: Side, reset: &Outgoing<'_>| {
        let flags = if reset.ack.is_some() { Flags::RST | Flags::ACK } else { Flags::RST };
        let segment = Segment::build(reset.seq.0, reset.ack.map_or(0, |ack| ack.0), flags, &[]);
        conn.judge(!to, &segment) == Verdict::Accept
    };
    for to in all.iter().map(|(to, _)| *to) {
        let one = all.iter().any(|(side, reset)| *side == to && takes(to, reset));
        assert!(one, "{to:?}: {:?} of {conn:?}", told(conn));
    }
}

fn passes(conn: &mut Conn, from: Side, seq: u32, ack: u32, flags: Flags, payload: &[u8]) {
    let segment = Segment::build(seq, ack, flags, payload);
    assert_eq!(conn.judge(from, &segment), Verdict::Accept);
    let _ = conn.sent(from, &segment);
    taken(conn);
    let _ = conn.received(!from, &segment, NO_BUFFER);
    taken(conn);
}

/// RFC 5961, 3.2 and RFC 9293, 3.10.7.3, by hand.
#[test]
fn a_connection_from_its_beginning_to_its_end() {
    use Side::{Client, Server};
    let (syn, ack, fin) = (Flags::SYN, Flags::ACK, Flags::FIN);
    let (c, s) = (ISS.client, ISS.server);
    let mut conn = Conn::new(Window::new(1000));
    assert_eq!(told(&conn), []);

    let first = Segment::build(c, 0, syn, &[]);
    let _ = conn.sent(Client, &first);
    assert_eq!(told(&conn), [(Client, 0, Some(1001))], "the server has seen nothing yet");
    let _ = conn.received(Server, &first, NO_BUFFER);
    assert_eq!(told(&conn), [(Client, 0, Some(1001)), (Server, 1001, None)]);

    passes(&mut conn, Server, s, c + 1, syn | ack, &[]);
    assert_eq!(told(&conn), [(Client, 0xffff_ffff, None), (Server, 1001, None)]);
    passes(&mut conn, Client, c + 1, s + 1, ack, &[]);
    passes(&mut conn, Client, c + 1, s + 1, ack, b"ten octets");
    let both = [(Client, 0xffff_ffff, None), (Server, 1011, None), (Server, 1001, None)];
    assert_eq!(told(&conn), both, "they may be lost on the rest of the way");
    passes(&mut conn, Server, s + 1, c + 11, ack, b"four");
    assert_eq!(told(&conn), [(Client, 3, None), (Client, 0xffff_ffff, None), (Server, 1011, None)]);

    passes(&mut conn, Client, c + 11, 3, ack | fin, &[]);
    assert_eq!(told(&conn), [(Client, 3, None), (Server, 1012, None), (Server, 1011, None)]);
    passes(&mut conn, Server, 3, c + 12, ack, &[]);
    assert_eq!(told(&conn), [(Client, 3, None), (Server, 1012, None)]);
    passes(&mut conn, Server, 3, c + 12, ack | fin, &[]);
    assert_eq!(told(&conn), [(Server, 1012, None)], "the client waits in TIME-WAIT");
    passes(&mut conn, Client, c + 12, 4, ack, &[]);
    assert_eq!(told(&conn), []);
}

#[test]
fn octets_that_were_not_seen_count_when_they_are_acknowledged() {
    let mut conn = Conn::new(Window::new(1000));
    conn.set_strictness(Strictness::Lossy);
    passes(&mut conn, Side::Client, 1000, 0, Flags::SYN, &[]);
    passes(&mut conn, Side::Server, 5000, 1001, Flags::SYN | Flags::ACK, &[]);
    passes(&mut conn, Side::Client, 1001, 5001, Flags::ACK, &[]);
    passes(&mut conn, Side::Server, 5001, 1031, Flags::ACK, &[]);
    assert_eq!(told(&conn), [(Side::Client, 5001, None), (Side::Server, 1031, None)]);
}

/// What nobody has acknowledged in a connection that was picked up may be anywhere.
#[test]
fn a_connection_that_was_picked_up() {
    let mut conn = Conn::midstream(Window::new(1000));
    assert_eq!(told(&conn), []);
    passes(&mut conn, Side::Client, 500, 900, Flags::ACK, b"abc");
    assert_eq!(
        told(&conn).into_iter().filter(|(to, ..)| *to == Side::Server).collect::<Vec<_>>(),
        [(Side::Server, 503, None)]
    );
}

/// Mostly what an end would send next.
fn step() -> impl Strategy<Value = (bool, Flags, i32, i32, usize)> {
    let flags = prop_oneof![
        1 => Just(Flags::SYN),
        1 => Just(Flags::SYN | Flags::ACK),
        8 => Just(Flags::ACK),
        2 => Just(Flags::ACK | Flags::FIN),
        1 => (0_u16..64).prop_map(Flags),
    ];
    let near = || prop_oneof![5 => Just(0), 1 => -4..9];
    (any::<bool>(), flags, near(), near(), 0_usize..6)
}

fn play(conn: &mut Conn, (of_client, flags, seq, ack, len): (bool, Flags, i32, i32, usize)) {
    let from = if of_client { Side::Client } else { Side::Server };
    let next = |side: Side, ahead| {
        let next = conn.space(side).snd_nxt().map_or(ISS[side], |next| next.0);
        next.wrapping_add_signed(ahead)
    };
    let (seq, ack) = (next(from, seq), next(!from, ack));
    let segment = Segment::build(seq, ack, flags, b"abcdef".get(..len).unwrap_or_default());
    match conn.judge(from, &segment) {
        Verdict::Accept => {
            let _ = conn.sent(from, &segment);
            taken(conn);
            let _ = conn.received(!from, &segment, NO_BUFFER);
        }
        Verdict::Refuse(anomaly) => conn.note_refused(from, &segment, anomaly),
        Verdict::Restart => *conn = conn.successor(&segment),
    }
    taken(conn);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn the_emulation_takes_what_goes_to_each_side(
        shaken in 0_usize..4,
        steps in prop::collection::vec(step(), 0..30),
        strictness in prop_oneof![
            Just(Strictness::Linux), Just(Strictness::Rfc9293), Just(Strictness::Lossy)
        ],
    ) {
        let mut conn = Conn::new(Window::new(1000));
        conn.set_strictness(strictness);
        let handshake =
            [(true, Flags::SYN), (false, Flags::SYN | Flags::ACK), (true, Flags::ACK)].map(|(c, f)| (c, f, 0, 0, 0));
        for step in handshake.into_iter().take(shaken).chain(steps) {
            play(&mut conn, step);
        }
    }
}
