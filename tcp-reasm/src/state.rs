//! The eleven states of RFC 9293, and every transition a monitor makes, as data.
//!
//! ```text
//!    client: CLOSED ──SYN──► SYN-SENT ──────────────┐             server: LISTEN ──► SYN-RECEIVED
//!                                                   ▼                                    │
//!                              FIN sent        ESTABLISHED  ◄────────────────────────────┘
//!               FIN-WAIT-1 ◄───────────────────────┴──────────────────────► CLOSE-WAIT   FIN received
//!      ACK of FIN │      │ FIN received                                         │ FIN sent
//!                 ▼      ▼                                                      ▼
//!          FIN-WAIT-2  CLOSING                                              LAST-ACK
//!     FIN received│      │ ACK of FIN                                           │ ACK of FIN
//!                 └──► TIME-WAIT ──2 MSL──► CLOSED ◄────────────────────────────┘
//! ```

use core::fmt;

/// State of one endpoint (RFC 9293, 3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the names are the RFC's
pub enum State {
    Closed = 0,
    Listen = 1,
    SynSent = 2,
    SynReceived = 3,
    Established = 4,
    FinWait1 = 5,
    FinWait2 = 6,
    CloseWait = 7,
    Closing = 8,
    LastAck = 9,
    TimeWait = 10,
}

/// What an endpoint did or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Trigger {
    /// It sent a SYN without ACK.
    SentSyn,
    /// It sent a SYN with ACK.
    SentSynAck,
    /// It sent anything that only an established end sends; what it received before was not captured.
    SentAck,
    /// It sent its FIN.
    SentFin,
    /// It sent its FIN before it got the peer's, which had already passed here: simultaneous close.
    SentFinCrossing,
    /// It accepted a SYN without ACK.
    ReceivedSyn,
    /// It accepted a SYN with an ACK of its own SYN.
    ReceivedSynAck,
    /// It accepted an ACK of its SYN.
    ReceivedAckOfSyn,
    /// It accepted the peer's FIN, in order.
    ReceivedFin,
    /// It accepted an ACK of its FIN.
    ReceivedAckOfFin,
    /// What was taken for its FIN was none: octets ran over it before it was accepted.
    FinVoid,
    /// It sent or accepted a RST.
    Reset,
    /// It accepted a RST for a handshake that it had not begun.
    ResetPassive,
    /// It gave up: two maximum segment lifetimes in TIME-WAIT, or an idle time-out of the monitor.
    Expired,
}

impl State {
    /// All states in the order of their values.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// The state after `trigger`, or `None` when it changes nothing.
    #[inline]
    pub fn after(self, trigger: Trigger) -> Option<State> {
        MATRIX[self as usize][trigger as usize]
    }

    /// Whether the handshake is behind this end and it has not closed.
    pub fn is_synchronized(self) -> bool {
        !matches!(self, State::Closed | State::Listen | State::SynSent | State::SynReceived)
    }

    /// Whether the handshake has begun, or is waited for, and is not complete.
    pub const fn is_embryonic(self) -> bool {
        matches!(self, State::Listen | State::SynSent | State::SynReceived)
    }

    /// Whether this end will neither send nor accept anything more, but for old duplicates.
    pub const fn is_over(self) -> bool {
        matches!(self, State::Closed | State::TimeWait)
    }

    /// Whether the peer's FIN was accepted: nothing more can enter the stream.
    pub fn has_received_fin(self) -> bool {
        matches!(self, State::CloseWait | State::Closing | State::LastAck | State::TimeWait)
    }

    /// The spelling of RFC 9293.
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Trigger {
    /// All triggers in the order of their values.
    pub const ALL: [Trigger; 14] = [
        Trigger::SentSyn,
        Trigger::SentSynAck,
        Trigger::SentAck,
        Trigger::SentFin,
        Trigger::SentFinCrossing,
        Trigger::ReceivedSyn,
        Trigger::ReceivedSynAck,
        Trigger::ReceivedAckOfSyn,
        Trigger::ReceivedFin,
        Trigger::ReceivedAckOfFin,
        Trigger::FinVoid,
        Trigger::Reset,
        Trigger::ResetPassive,
        Trigger::Expired,
    ];
}

/// Every transition (RFC 9293, figure 5, and what a monitor infers from packets that it did not see).
pub const TRANSITIONS: &[(State, Trigger, State)] = {
    use State::{
        CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived, SynSent,
        TimeWait,
    };
    use Trigger::{
        Expired, FinVoid, ReceivedAckOfFin, ReceivedAckOfSyn, ReceivedFin, ReceivedSyn, ReceivedSynAck,
        Reset, ResetPassive, SentAck, SentFin, SentFinCrossing, SentSyn, SentSynAck,
    };
    &[
        (Closed, SentSyn, SynSent),
        (Listen, SentSyn, SynSent), // 3.10.2: a listener may open actively (split handshake)
        (Listen, SentSynAck, SynReceived), // the SYN was not captured
        (Listen, ReceivedSyn, SynReceived),
        (SynSent, ReceivedSyn, SynReceived), // simultaneous open
        (SynSent, ReceivedSynAck, Established),
        (SynSent, SentAck, Established),     // the SYN/ACK was not captured
        (SynReceived, SentAck, Established), // the ACK of the SYN/ACK was not captured
        (SynReceived, ReceivedAckOfSyn, Established),
        (SynReceived, ReceivedSynAck, Established), // simultaneous open, second half
        (SynReceived, ReceivedFin, CloseWait),
        (SynReceived, SentFin, FinWait1),
        (Established, SentFin, FinWait1),
        (Established, ReceivedFin, CloseWait),
        (FinWait1, ReceivedAckOfFin, FinWait2),
        (FinWait1, ReceivedFin, Closing), // simultaneous close
        (FinWait2, ReceivedFin, TimeWait),
        (CloseWait, SentFin, LastAck),
        (CloseWait, SentFinCrossing, Closing), // it was in FIN-WAIT-1 when it got the peer's FIN
        (Closing, ReceivedAckOfFin, TimeWait),
        (LastAck, ReceivedAckOfFin, Closed),
        (FinWait1, FinVoid, Established),
        (Closing, FinVoid, CloseWait),
        (LastAck, FinVoid, CloseWait),
        (SynReceived, ResetPassive, Listen), // 3.10.7.4, second check: after a passive OPEN
        (Listen, Reset, Closed),
        (SynSent, Reset, Closed),
        (SynReceived, Reset, Closed),
        (Established, Reset, Closed),
        (FinWait1, Reset, Closed),
        (FinWait2, Reset, Closed),
        (CloseWait, Reset, Closed),
        (Closing, Reset, Closed),
        (LastAck, Reset, Closed),
        (TimeWait, Reset, Closed),
        (Listen, Expired, Closed),
        (SynSent, Expired, Closed),
        (SynReceived, Expired, Closed),
        (Established, Expired, Closed),
        (FinWait1, Expired, Closed),
        (FinWait2, Expired, Closed),
        (CloseWait, Expired, Closed),
        (Closing, Expired, Closed),
        (LastAck, Expired, Closed),
        (TimeWait, Expired, Closed),
    ]
};

static MATRIX: [[Option<State>; Trigger::ALL.len()]; State::ALL.len()] = {
    let mut matrix = [[None; Trigger::ALL.len()]; State::ALL.len()];
    let mut i = 0;
    while i < TRANSITIONS.len() {
        let (from, trigger, to) = TRANSITIONS[i];
        matrix[from as usize][trigger as usize] = Some(to);
        i += 1;
    }
    matrix
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transition_is_listed_once_and_found() {
        for (i, &(from, trigger, to)) in TRANSITIONS.iter().enumerate() {
            assert_eq!(from.after(trigger), Some(to));
            assert!(
                !TRANSITIONS[..i].iter().any(|&(f, t, _)| (f, t) == (from, trigger)),
                "{from} {trigger:?}"
            );
        }
        let found = State::ALL.iter().flat_map(|s| Trigger::ALL.map(|t| s.after(t))).flatten().count();
        assert_eq!(found, TRANSITIONS.len());
    }

    #[test]
    fn values_are_the_places_in_all() {
        assert!(State::ALL.iter().enumerate().all(|(i, s)| *s as usize == i));
        assert!(Trigger::ALL.iter().enumerate().all(|(i, t)| *t as usize == i));
    }
}
