//! The two tables of a TCP endpoint, printed and compared with what RFC 9293 says: which state follows which event
//! (figure 5 and section 3.10), and what an end in each state makes of a segment (section 3.10.7, with RFC 5961).
//!
//! The texts below were written from the RFC, not from the output.

mod support;

use ringbuf_core::SeqNum;
use std::fmt::Write as _;
use support::*;
use tcp_reasm::state::Trigger;
use tcp_reasm::{Anomaly, Conn, Flags, Segment, Side, State, Verdict};

/// State, then each event that changes it and the new state.
const TRANSITIONS: &str = "\
CLOSED
    SentSyn SYN-SENT
LISTEN
    SentSyn SYN-SENT
    SentSynAck SYN-RECEIVED
    ReceivedSyn SYN-RECEIVED
    Reset CLOSED
    Expired CLOSED
SYN-SENT
    SentAck ESTABLISHED
    ReceivedSyn SYN-RECEIVED
    ReceivedSynAck ESTABLISHED
    Reset CLOSED
    Expired CLOSED
SYN-RECEIVED
    SentAck ESTABLISHED
    SentFin FIN-WAIT-1
    ReceivedSynAck ESTABLISHED
    ReceivedAckOfSyn ESTABLISHED
    ReceivedFin CLOSE-WAIT
    Reset CLOSED
    ResetPassive LISTEN
    Expired CLOSED
ESTABLISHED
    SentFin FIN-WAIT-1
    ReceivedFin CLOSE-WAIT
    Reset CLOSED
    Expired CLOSED
FIN-WAIT-1
    ReceivedFin CLOSING
    ReceivedAckOfFin FIN-WAIT-2
    FinVoid ESTABLISHED
    Reset CLOSED
    Expired CLOSED
FIN-WAIT-2
    ReceivedFin TIME-WAIT
    Reset CLOSED
    Expired CLOSED
CLOSE-WAIT
    SentFin LAST-ACK
    SentFinCrossing CLOSING
    Reset CLOSED
    Expired CLOSED
CLOSING
    ReceivedAckOfFin TIME-WAIT
    FinVoid CLOSE-WAIT
    Reset CLOSED
    Expired CLOSED
LAST-ACK
    ReceivedAckOfFin CLOSED
    FinVoid CLOSE-WAIT
    Reset CLOSED
    Expired CLOSED
TIME-WAIT
    Reset CLOSED
    Expired CLOSED
";

#[test]
fn each_event_leads_to_the_state_of_the_rfc() {
    let mut table = String::new();
    for state in State::ALL {
        writeln!(table, "{state}").unwrap();
        for trigger in Trigger::ALL {
            if let Some(to) = state.after(trigger) {
                writeln!(table, "    {trigger:?} {to}").unwrap();
            }
        }
    }
    print!("{table}");
    assert_eq!(table, TRANSITIONS);
}

/// State of the receiver, then what it makes of each segment: the state that follows, `-` when nothing does, the
/// anomaly for which it is refused, in brackets the one for which its payload is left out, `new` for a new connection.
///
/// Deviations from the RFC, all of them Linux's: in SYN-RECEIVED a SYN within the window makes the server forget; a RST
/// there ends the connection for a monitor, while the server listens for others.
const SEGMENTS: &str = "\
LISTEN
    another SYN: SYN-RECEIVED
    the SYN again: SYN-RECEIVED
    SYN/ACK: syn_ack_unexpected
    RST: handshake_expected
    RST beside: handshake_expected
    ACK of all: handshake_expected
    ACK of more: handshake_expected
    data: handshake_expected
    data, no ACK: handshake_expected
    FIN: handshake_expected
    data far away: handshake_expected
SYN-SENT
    another SYN: SYN-RECEIVED
    the SYN again: SYN-RECEIVED
    SYN/ACK: ESTABLISHED
    RST: no_ack
    RST beside: no_ack
    ACK of all: handshake_expected
    ACK of more: ack_unsent
    data: handshake_expected
    data, no ACK: handshake_expected
    FIN: handshake_expected
    data far away: handshake_expected
SYN-RECEIVED
    another SYN: syn_in_connection LISTEN
    the SYN again: -
    SYN/ACK: syn_ack_unexpected
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: ESTABLISHED
    ACK of more: ack_unsent
    data: ESTABLISHED
    data, no ACK: no_ack
    FIN: CLOSE-WAIT
    data far away: out_of_window
ESTABLISHED
    another SYN: syn_in_connection
    the SYN again: old_segment
    SYN/ACK: old_segment
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: -
    ACK of more: ack_unsent
    data: -
    data, no ACK: no_ack
    FIN: CLOSE-WAIT
    data far away: out_of_window
FIN-WAIT-1
    another SYN: syn_in_connection
    the SYN again: old_segment
    SYN/ACK: old_segment
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: FIN-WAIT-2
    ACK of more: ack_unsent
    data: -
    data, no ACK: no_ack
    FIN: CLOSING
    data far away: out_of_window
FIN-WAIT-2
    another SYN: syn_in_connection
    the SYN again: old_segment
    SYN/ACK: old_segment
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: -
    ACK of more: ack_unsent
    data: -
    data, no ACK: no_ack
    FIN: TIME-WAIT
    data far away: out_of_window
CLOSE-WAIT
    another SYN: syn_in_connection
    the SYN again: old_segment
    SYN/ACK: old_segment
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: -
    ACK of more: ack_unsent
    data: - (data_after_fin)
    data, no ACK: no_ack
    FIN: - (data_after_fin)
    data far away: out_of_window
CLOSING
    another SYN: syn_in_connection
    the SYN again: old_segment
    SYN/ACK: old_segment
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: TIME-WAIT
    ACK of more: ack_unsent
    data: - (data_after_fin)
    data, no ACK: no_ack
    FIN: - (data_after_fin)
    data far away: out_of_window
LAST-ACK
    another SYN: syn_in_connection
    the SYN again: old_segment
    SYN/ACK: old_segment
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: CLOSED
    ACK of more: ack_unsent
    data: - (data_after_fin)
    data, no ACK: no_ack
    FIN: - (data_after_fin)
    data far away: out_of_window
TIME-WAIT
    another SYN: new
    the SYN again: syn_in_time_wait
    SYN/ACK: syn_ack_unexpected
    RST: CLOSED
    RST beside: rst_inexact
    ACK of all: -
    ACK of more: ack_unsent
    data: after_close
    data, no ACK: no_ack
    FIN: after_close
    data far away: after_close
CLOSED
    another SYN: new
    the SYN again: new
    SYN/ACK: after_reset
    RST: after_reset
    RST beside: after_reset
    ACK of all: after_reset
    ACK of more: after_reset
    data: after_reset
    data, no ACK: after_reset
    FIN: after_reset
    data far away: after_reset
";

/// A connection whose server (whose client, for SYN-SENT) is in `state`.
fn in_state(state: State) -> (Link, Side) {
    use State::*;
    let mut l = match state {
        Listen | SynSent | SynReceived => Link::new(),
        _ => Link::established(),
    };
    match state {
        Listen | Established => {}
        SynSent => drop(l.syn()),
        SynReceived => drop(l.syn().syn_ack()),
        FinWait1 => drop(l.fin(S, 0, 0)),
        FinWait2 => drop(l.fin(S, 0, 0).ack(C, 0, 1)),
        CloseWait => drop(l.fin(C, 0, 0).ack(S, 0, 1)),
        Closing => drop(l.fin(S, 0, 0).fin(C, 0, 0).ack(S, 1, 1)),
        LastAck => drop(l.fin(C, 0, 0).fin(S, 0, 1)),
        TimeWait => drop(l.fin(S, 0, 0).fin(C, 0, 1).ack(S, 1, 1)),
        Closed => drop(l.send(C, 0, 0, Flags::RST, b"")),
    }
    let side = if state == SynSent { C } else { S };
    assert_eq!(l.conn.state(side), state);
    (l, side)
}

/// Where `to` expects octets and what it can be told of what it sent, as sequence numbers.
fn expected(conn: &Conn, to: Side) -> (SeqNum, SeqNum, SeqNum) {
    let base = |side| conn.stream(side).base();
    let (first, peer) = if to == S { (CISS, SISS) } else { (SISS, CISS) };
    let fin = u32::from(conn.state(to).has_received_fin());
    let nxt = base(to).unwrap_or(SeqNum(first.wrapping_add(1))) + fin;
    let una = base(!to).unwrap_or(SeqNum(peer.wrapping_add(1)));
    (nxt, una, conn.space(to).snd_nxt().unwrap_or(una))
}

fn segments(conn: &Conn, to: Side) -> Vec<(&'static str, Segment<'static>)> {
    let (nxt, una, sent) = expected(conn, to);
    let iss = SeqNum(if to == S { CISS } else { SISS });
    let (ack, syn, rst, fin) = (Flags::ACK, Flags::SYN, Flags::RST, Flags::FIN);
    let segment = |seq: SeqNum, ack: SeqNum, flags, data| Segment::build(seq.0, ack.0, flags, data);
    vec![
        ("another SYN", segment(iss + 5000, SeqNum(0), syn, b"")),
        ("the SYN again", segment(iss, SeqNum(0), syn, b"")),
        ("SYN/ACK", segment(iss, sent, syn | ack, b"")),
        ("RST", segment(nxt, SeqNum(0), rst, b"")),
        ("RST beside", segment(nxt + 1, SeqNum(0), rst, b"")),
        ("ACK of all", segment(nxt, sent, ack, b"")),
        ("ACK of more", segment(nxt, sent + 1, ack, b"")),
        ("data", segment(nxt, una, ack, b"data")),
        ("data, no ACK", segment(nxt, SeqNum(0), Flags::PSH, b"data")),
        ("FIN", segment(nxt, una, ack | fin, b"")),
        ("data far away", segment(nxt + 1_000_000, una, ack, b"data")),
    ]
}

fn outcome(state: State, index: usize) -> String {
    let (mut l, to) = in_state(state);
    let segment = segments(&l.conn, to).remove(index).1;
    let verdict = l.play(!to, &segment);
    let after = Some(l.conn.state(to)).filter(|after| *after != state);
    match (verdict, after) {
        (Verdict::Restart, _) => "new".into(),
        (Verdict::Refuse(anomaly), Some(after)) => format!("{} {after}", anomaly.symbol()),
        (Verdict::Refuse(anomaly), None) => anomaly.symbol().into(),
        (Verdict::Accept, Some(after)) => after.to_string(),
        (Verdict::Accept, None) if l.last.0.left_out => {
            let odd: Vec<_> = l.last.0.odd.iter().map(Anomaly::symbol).collect();
            format!("- ({})", odd.join(", "))
        }
        (Verdict::Accept, None) => "-".into(),
    }
}

#[test]
fn each_state_takes_the_segments_of_the_rfc() {
    use State::*;
    let states = [
        Listen,
        SynSent,
        SynReceived,
        Established,
        FinWait1,
        FinWait2,
        CloseWait,
        Closing,
        LastAck,
        TimeWait,
        Closed,
    ];
    assert_eq!(states.len(), State::ALL.len());
    let mut table = String::new();
    for state in states {
        writeln!(table, "{state}").unwrap();
        let (l, to) = in_state(state);
        for (index, (name, _)) in segments(&l.conn, to).into_iter().enumerate() {
            writeln!(table, "    {name}: {}", outcome(state, index)).unwrap();
        }
    }
    print!("{table}");
    for (ours, told) in table.lines().zip(SEGMENTS.lines()) {
        assert_eq!(ours, told);
    }
    assert_eq!(table, SEGMENTS);
}
