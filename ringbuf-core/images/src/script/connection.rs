//! `tcp-reasm` over the same memory: a whole connection, with an intruder, a request out of order, and octets that the
//! client acknowledged although they were never seen.

use super::{Text, Wrong, expect};
use core::fmt::Write;
use ringbuf_core::store::Flat;
use ringbuf_core::{FragList, Overlap, Range, Store, Window};
use tcp_reasm::{Anomaly, Buffer, Conn, Flags, Segment, Side, Sides, State, Verdict};

const CAP: usize = 64;

/// The client's SYN as it is on the wire: sequence number 0xffff_fffb, window 1024, one option (MSS 1460).
#[rustfmt::skip] // a word of 32 bits a line
const SYN: [u8; 24] = [
    0x9c, 0x40, 0x00, 0x50,
    0xff, 0xff, 0xff, 0xfb,
    0x00, 0x00, 0x00, 0x00,
    0x60, 0x02, 0x04, 0x00,
    0x00, 0x00, 0x00, 0x00,
    0x02, 0x04, 0x05, 0xb4,
];

/// A name, the sender, the sequence and acknowledgement numbers, flags, payload; then what the receiver thinks of it,
/// and the states of client and server after it.
type Step = (&'static str, Side, u32, u32, Flags, &'static [u8], Verdict, State, State);

/// A connection and the memory of both its streams.
struct Monitor {
    conn: Conn,
    streams: Sides<Memory>,
}

struct Memory {
    frags: FragList<4>,
    store: Flat<[u8; CAP]>,
}

pub(super) fn play(out: &mut impl Write) -> Result<(), Wrong> {
    use Side::{Client, Server};
    use State::{Closed, Established, FinWait1, LastAck, SynReceived, SynSent, TimeWait};
    let (ok, rst, ack) = (Verdict::Accept, Flags::RST, Flags::ACK);
    let (syn_ack, fin_ack) = (Flags::SYN | ack, Flags::FIN | ack);
    let intruder = Verdict::Refuse(Anomaly::RstInexact); // RFC 5961, 3
    let (up, wait) = (Established, FinWait1);

    let mut monitor = Monitor::new();
    let outcome = Segment::parse(&SYN, SYN.len()).map(|syn| monitor.play(Client, &syn));
    expect(out, "a SYN, parsed", outcome, Ok((ok, SynSent, SynReceived)))?;
    let exchange: [Step; 9] = [
        ("SYN/ACK", Server, 6999, 0xffff_fffc, syn_ack, b"", ok, up, SynReceived),
        ("ACK", Client, 0xffff_fffc, 7000, ack, b"", ok, up, up),
        ("request, second half first", Client, 0x0000_0000, 7000, ack, b"/ HTTP", ok, up, up),
        ("first half, up to the wrap", Client, 0xffff_fffc, 7000, ack, b"GET ", ok, up, up),
        ("another text for it: not kept", Client, 0xffff_fffc, 7000, ack, b"PUT ", ok, up, up),
        ("a RST of somebody else", Client, 9_000_000, 0, rst, b"", intruder, up, up),
        ("response", Server, 7000, 0x0000_0006, ack, b"HTTP", ok, up, up),
        ("its end, but the middle was not captured", Server, 7009, 6, ack, b"200 OK", ok, up, up),
        ("the client has it all, and is done", Client, 6, 7015, fin_ack, b"", ok, wait, State::CloseWait),
    ];
    monitor.play_all(out, &exchange)?;

    let gap = monitor.skip(Client);
    expect(out, "what the monitor missed is given up", gap, Some(Range::new(4, 9)))?;
    monitor.play_all(
        out,
        &[
            ("the server is done, too", Server, 7015, 7, fin_ack, b"", ok, TimeWait, LastAck),
            ("last ACK", Client, 7, 7016, ack, b"", ok, TimeWait, Closed),
        ],
    )?;
    let over = (monitor.conn.is_over(), monitor.conn.was_reset());
    expect(out, "it is over, and was not reset", over, (true, false))?;
    monitor.heard(out, Server, "is what the server heard", Range::new(0, 10), b"GET / HTTP")?;
    monitor.heard(out, Client, "is what the client heard, before the gap", Range::new(0, 4), b"HTTP")?;
    monitor.heard(out, Client, "and behind it", Range::new(9, 15), b"200 OK")
}

impl Monitor {
    fn new() -> Self {
        let window = u32::try_from(CAP).unwrap_or(u32::MAX);
        let memory = |_| Memory { frags: FragList::new(), store: Flat::new([0; CAP]) };
        Monitor { conn: Conn::new(Window::new(window)), streams: Sides::from_fn(memory) }
    }

    fn play(&mut self, from: Side, segment: &Segment<'_>) -> (Verdict, State, State) {
        let verdict = self.conn.judge(from, segment);
        if verdict.is_accept() {
            let _ = self.conn.sent(from, segment);
            let Memory { frags, store } = &mut self.streams[!from];
            let _ = self.conn.received(!from, segment, Some(Buffer { frags, store, policy: Overlap::First }));
        }
        (verdict, self.conn.state(Side::Client), self.conn.state(Side::Server))
    }

    fn play_all(&mut self, out: &mut impl Write, steps: &[Step]) -> Result<(), Wrong> {
        for &(name, from, seq, ack, flags, payload, verdict, client, server) in steps {
            write!(out, "  {from} {flags:<2} {:?}", Text(payload))?;
            let outcome = self.play(from, &Segment::build(seq, ack, flags, payload));
            expect(out, name, outcome, (verdict, client, server))?;
        }
        Ok(())
    }

    fn skip(&mut self, side: Side) -> Option<Range> {
        let Memory { frags, store } = &mut self.streams[side];
        self.conn.gap(side, Some(frags))?;
        self.conn.skip(side, Some(Buffer { frags, store, policy: Overlap::First })).map(|(gap, _)| gap)
    }

    fn heard(
        &self,
        out: &mut impl Write,
        side: Side,
        name: &'static str,
        range: Range,
        expected: &[u8],
    ) -> Result<(), Wrong> {
        let text = Text(self.streams[side].store.piece(range));
        write!(out, "  {text:?}")?;
        expect(out, name, text, Text(expected))
    }
}
