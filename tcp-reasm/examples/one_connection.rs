//! One connection, segment by segment: what each side believes, and what the server hears.
//!
//! `cargo run -p tcp-reasm --example one_connection`

use ringbuf_core::store::Flat;
use ringbuf_core::window::Window;
use ringbuf_core::{FragList, Overlap, Range, Store};
use tcp_reasm::{Buffer, Conn, Flags, Segment, Side, Verdict};

fn main() {
    let mut conn = Conn::new(Window::new(256));
    // Memory for the stream that the server receives; the other direction is only followed.
    let (mut frags, mut ring) = (FragList::<8>::new(), Flat::new([0_u8; 256]));
    let (syn, ack, fin, rst) = (Flags::SYN, Flags::ACK, Flags::FIN, Flags::RST);
    let script: [(Side, u32, u32, Flags, &[u8]); 10] = [
        (Side::Client, 1000, 0, syn, b""),
        (Side::Server, 7000, 1001, syn | ack, b""),
        (Side::Client, 1001, 7001, ack, b""),
        (Side::Client, 1005, 7001, ack, b"/ HTTP"),
        (Side::Client, 1001, 7001, ack, b"GET "),
        (Side::Client, 1001, 7001, ack, b"PUT "), // the same octets again, but not the same
        (Side::Client, 9_000_000, 0, rst, b""),   // somebody would like to see this end
        (Side::Client, 1011, 7001, ack | fin, b""),
        (Side::Server, 7001, 1012, ack | fin, b""),
        (Side::Client, 1012, 7002, ack, b""),
    ];
    for (side, seq, acked, flags, payload) in script {
        let segment = Segment::build(seq, acked, flags, payload);
        let verdict = conn.judge(side, &segment);
        let mut note = String::new();
        match verdict {
            Verdict::Accept => {
                let _ = conn.sent(side, &segment);
                let to_server = side == Side::Client;
                let arrival = conn.arriving(!side, &segment, to_server.then_some((&frags, &ring)));
                if let Some(conflict) = arrival.conflict {
                    note = format!("content differs in {}", conflict.range);
                }
                let buffer = to_server.then_some(Buffer {
                    frags: &mut frags,
                    store: &mut ring,
                    policy: Overlap::First,
                });
                let _ = conn.received(!side, &segment, buffer);
            }
            Verdict::Refuse(anomaly) => note = format!("refused: {anomaly}"),
            Verdict::Restart => note = "a new connection".into(),
        }
        let (client, server) = (conn.state(Side::Client), conn.state(Side::Server));
        println!("{side} {:<3} {client:<12} {server:<12} {note}", flags.to_string());
    }
    let heard = ring.piece(Range::new(0, conn.stream(Side::Server).next().0));
    println!("the server heard {:?}", String::from_utf8_lossy(heard));
    assert_eq!(heard, b"GET / HTTP");
}
