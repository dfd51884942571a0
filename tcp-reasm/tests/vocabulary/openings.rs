//! How exchanges begin.

use crate::heard::{ACK, RST, SYN, SYN_ACK};
use crate::support::*;
use ringbuf_core::store::Flat;
use ringbuf_core::window::Window;
use tcp_reasm::options::Options;
use tcp_reasm::{Conn, Segment, Side, State, Strictness};

/// The client waits for an answer.
pub(crate) fn syn_sent() -> Link {
    let mut l = Link::new();
    l.syn();
    l
}

/// The server waits for the end of the handshake.
pub(crate) fn syn_received() -> Link {
    let mut l = syn_sent();
    l.syn_ack();
    l
}

/// A header of 20 octets that claims to have another length.
pub(crate) fn header(words: u8) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[12] = words << 4;
    bytes
}

/// A handshake whose segments have options.
pub(crate) fn agreed(client: Options<'static>, server: Options<'static>) -> Link {
    let mut l = Link::new();
    assert!(l.play(C, &with(client, C, -1, 0, SYN, b"")).is_accept());
    assert!(l.play(S, &with(server, S, -1, 0, SYN_ACK, b"")).is_accept());
    l
}

/// Both SYNs carried timestamps; the client's last one is 5001.
pub(crate) fn timed() -> Link {
    let mut l = agreed(ts(5000, 0), ts(9000, 5000));
    assert!(l.play(C, &with(ts(5001, 9000), C, 0, 0, ACK, b"")).is_accept());
    l
}

pub(crate) fn lossy() -> Link {
    let mut l = Link::established();
    l.conn.set_strictness(Strictness::Lossy);
    l
}

/// Nothing of the handshake was seen.
pub(crate) fn midstream() -> Link {
    Link::over(Conn::midstream(Window::new(256)))
}

/// Established, with memory for `cap` octets a stream.
pub(crate) fn holding(cap: u32) -> Link {
    let mut l = Link::over(Conn::new(Window::new(cap)));
    l.rings = [Flat::new(vec![0; cap as usize]), Flat::new(vec![0; cap as usize])];
    l.syn().syn_ack().ack(C, 0, 0).ack(S, 0, 0);
    l
}

/// The server has no room from the beginning on.
pub(crate) fn stalled() -> Link {
    narrow(0)
}

/// A client that knows no more than the window of the SYN/ACK.
pub(crate) fn narrow(window: u16) -> Link {
    let mut l = Link::new();
    l.syn();
    let syn_ack = Segment { window, ..with(Options::default(), S, -1, 0, SYN_ACK, b"") };
    assert!(l.play(S, &syn_ack).is_accept());
    l.ack(C, 0, 0);
    l
}

/// Both ends closed their side, one after the other; the server is in CLOSED.
pub(crate) fn closed() -> Link {
    let mut l = Link::established();
    l.fin(C, 0, 0).fin(S, 0, 1).ack(C, 1, 1);
    assert_eq!(l.conn.state(S), State::Closed);
    l
}

pub(crate) fn reset() -> Link {
    let mut l = Link::established();
    assert!(l.send(C, 0, 0, RST, b"").is_accept());
    l
}

/// An established connection, or one that ends, by the state of the server. Returns where the client goes on, and what
/// it last acknowledged.
pub(crate) fn server_in(state: State) -> (Link, i64, i64) {
    let mut l = Link::established();
    l.data(C, 0, 0, "hello").ack(S, 0, 5);
    let (seq, ack) = match state {
        State::Established => (5, 0),
        State::FinWait1 => {
            l.fin(S, 0, 5);
            (5, 0)
        }
        State::FinWait2 => {
            l.fin(S, 0, 5).ack(C, 5, 1);
            (5, 1)
        }
        State::CloseWait => {
            l.fin(C, 5, 0);
            (6, 0)
        }
        State::LastAck => {
            l.fin(C, 5, 0).fin(S, 0, 6);
            (6, 0)
        }
        State::Closing => {
            l.fin(S, 0, 5).fin(C, 5, 0);
            (6, 0)
        }
        State::TimeWait => {
            l.fin(S, 0, 5).fin(C, 5, 1);
            (6, 1)
        }
        _ => panic!("{state} is no state of a connection that was open"),
    };
    assert_eq!(l.conn.state(S), state);
    (l, seq, ack)
}

/// A bare ACK with another window than 65,535.
pub(crate) fn with_window(window: u16, from: Side, seq: i64, ack: i64) -> Segment<'static> {
    Segment { window, ..with(Options::default(), from, seq, ack, ACK, b"") }
}
