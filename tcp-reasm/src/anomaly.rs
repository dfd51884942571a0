//! What is wrong or odd about a segment: one vocabulary for why a receiver refuses it and for what a monitor should
//! know of one that is taken.
//!
//! It says at least what the TCP weirds of Zeek and the stream events of Suricata say; `tests/vocabulary.rs` has the
//! table, and an exchange for each kind.

use core::fmt;

macro_rules! anomalies {
    ($($(#[doc = $doc:literal])+ $name:ident => $symbol:literal, $sentence:literal;)+) => {
        /// Why a segment is not taken, or what is odd about one that is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Anomaly {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Anomaly {
            /// All kinds in the order of their values.
            pub const ALL: &[Anomaly] = &[$(Anomaly::$name),+];

            /// A short name for counters and machines.
            pub fn symbol(self) -> &'static str {
                match self { $(Anomaly::$name => $symbol),+ }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(Anomaly::$name => $sentence),+ }
            }
        }
    };
}

anomalies! {
    // Why a segment is refused.

    /// The acknowledgement is older than anything the receiver could still be told (RFC 5961, 5).
    AckTooOld => "ack_too_old", "acknowledges data from before the oldest acceptable one";
    /// It acknowledges more than the other end can have sent.
    AckUnsent => "ack_unsent", "acknowledges data that was never sent";
    /// The connection was closed before.
    AfterClose => "after_close", "arrives after the connection is closed";
    /// The connection was reset before. Under [`Strictness::Lossy`](crate::Strictness::Lossy) new octets are kept all the
    /// same.
    AfterReset => "after_reset", "arrives after the connection was reset";
    /// A segment other than a SYN or RST for an end that waits for a handshake to begin or to be answered.
    HandshakeExpected => "handshake_expected", "is no part of the handshake that is due";
    /// No ACK flag on a segment that needs one (RFC 9293, 3.10.7.4, fifth).
    NoAck => "no_ack", "lacks the ACK flag";
    /// Wholly below what was acknowledged, or the SYN again: a duplicate.
    OldSegment => "old_segment", "lies wholly below what was acknowledged before";
    /// Right of the window that the receiver advertised.
    OutOfWindow => "out_of_window", "lies beyond the advertised window";
    /// The timestamp is older than the last one (RFC 7323, 5).
    Paws => "paws", "carries a timestamp older than the last one";
    /// A RST that is not exactly at RCV.NXT (RFC 5961, 3).
    RstInexact => "rst_inexact", "resets at another place than the next expected one";
    /// Whether it is signed cannot be told ([`OptionFaults::SIGNATURE`](crate::options::OptionFaults::SIGNATURE)).
    SignatureBroken => "signature_broken", "has options in which a signature is broken or could hide";
    /// Signed with a key that an ordinary host does not have.
    Signed => "signed", "carries a signature that the receiver has no key for";
    /// A SYN/ACK that answers nothing: from the client, inside a connection, or another one than the first.
    SynAckUnexpected => "syn_ack_unexpected", "carries a SYN/ACK that answers no SYN";
    /// A SYN inside an established connection, or another one during the handshake (RFC 5961, 4).
    SynInConnection => "syn_in_connection", "carries a SYN inside a connection";
    /// A SYN that would use the ports again while the old connection is in TIME-WAIT, but is not newer than it.
    SynInTimeWait => "syn_in_time_wait", "carries a SYN that is not newer than the connection that just ended";
    /// SYN together with FIN or RST.
    SynInvalid => "syn_invalid", "combines SYN with FIN or RST";
    /// The echoed timestamp was never sent.
    TimestampEcho => "timestamp_echo", "echoes a timestamp that was never sent";
    /// Not signed, between hosts that sign.
    Unsigned => "unsigned", "lacks the signature that the others carry";
    /// The URG flag, and the policy is to drop such segments.
    UrgentDropped => "urgent_dropped", "carries urgent data, which is not let in";
    /// Payload for a receiver that has no room at all: a probe of its window, or more.
    WindowClosed => "window_closed", "carries data into a closed window";

    // What is odd about a segment that is taken.

    /// An acknowledgement number without the ACK flag.
    AckUnflagged => "ack_unflagged", "has an acknowledgement number but not the flag";
    /// It acknowledges octets that were not seen here: they were lost in the capture, or take another way.
    AckUnseen => "ack_unseen", "acknowledges data that was not captured";
    /// From a server whose handshake the client has not completed: Fast Open lets it, or an ACK was not captured.
    BeforeEstablished => "before_established", "is sent before the handshake is complete";
    /// Payload or FIN behind the FIN; it is left out.
    DataAfterFin => "data_after_fin", "carries data behind the end of the stream";
    /// A FIN that comes before octets that precede it.
    FinAhead => "fin_ahead", "ends the stream behind a hole";
    /// A FIN among octets that have come already: it is none.
    FinInside => "fin_inside", "ends the stream before octets that have come already";
    /// A FIN at another place than the one before; the lower one counts.
    FinMoved => "fin_moved", "ends the stream at another place than before";
    /// Octets ran over a FIN that waited behind a hole: it was none.
    FinOverrun => "fin_overrun", "carries data over the end of the stream";
    /// SYN with PSH or URG, FIN with URG and PSH, or RST with SYN, FIN, PSH or URG: what scanners send.
    FlagsOdd => "flags_odd", "combines flags that no host combines";
    /// The handshake was not seen whole: its end is inferred from this segment.
    HandshakeInferred => "handshake_inferred", "goes on from a handshake that was not seen whole";
    /// A known option with a length that is not its own.
    OptionLength => "option_length", "has an option of a wrong length";
    /// An option whose length is less than 2 or more than what is left.
    OptionMalformed => "option_malformed", "has an option whose length cannot be";
    /// An option that means something once came twice.
    OptionRepeated => "option_repeated", "has the same option twice";
    /// A reserved header bit is set.
    ReservedBits => "reserved_bits", "sets reserved header bits";
    /// A RST whose acknowledgement is not acceptable. It resets all the same.
    RstAckInvalid => "rst_ack_invalid", "resets with an acknowledgement that is not acceptable";
    /// The side that a RST was for acknowledges what the other one has sent since: there was none.
    RstDisbelieved => "rst_disbelieved", "acknowledges what came after a reset as if there had been none";
    /// A RST with payload; that enters no stream.
    RstWithData => "rst_with_data", "resets with data";
    /// A RST with an old timestamp. It resets all the same (RFC 7323, 5.2).
    RstPaws => "rst_paws", "resets with a timestamp older than the last one";
    /// A SACK block that is empty, inverted, or covers what was never sent.
    SackInvalid => "sack_invalid", "has a selective acknowledgement that cannot be";
    /// A bare ACK whose place lies behind everything that its sender was seen to send: octets were lost in the capture,
    /// or it was forged.
    SeqUnseen => "seq_unseen", "begins behind data that was not captured";
    /// Payload or FIN in a SYN/ACK, which its receiver leaves out.
    SynAckWithData => "syn_ack_with_data", "carries data or a FIN in a SYN/ACK";
    /// Both ends opened: simultaneous open or split handshake.
    SynCrossed => "syn_crossed", "answers a SYN with a SYN";
    /// Payload in a SYN.
    SynWithData => "syn_with_data", "carries data in a SYN";
    /// The client acknowledges another SYN/ACK than the one that was followed.
    SynAckOther => "syn_ack_other", "acknowledges another SYN/ACK than the first one";
    /// The server answers another SYN than the one that was followed.
    SynOther => "syn_other", "answers another SYN than the first one";
    /// No timestamp although both SYNs had one (RFC 7323, 3.2).
    TimestampMissing => "timestamp_missing", "lacks the timestamp that was agreed on";
    /// A timestamp although not both SYNs had one, or in a SYN/ACK for a SYN without.
    TimestampUnexpected => "timestamp_unexpected", "carries a timestamp that was not agreed on";
    /// A new urgent pointer before the octet of the old one has come: that one is ordinary now.
    UrgentMoved => "urgent_moved", "moves the urgent pointer before its octet has come";
    /// An urgent pointer without the URG flag.
    UrgentUnflagged => "urgent_unflagged", "has an urgent pointer but not the flag";
    /// A window scale of more than 14 (RFC 7323, 2.3).
    WindowScaleTooLarge => "window_scale_too_large", "has a window scale of more than 14";
    /// The window ends inside the payload. It is taken whole, as hosts do; but Linux 6.18 drops it while its application
    /// has octets to read.
    WindowOverrun => "window_overrun", "carries data over the edge of the window";
    /// The right edge of the window moved left (RFC 9293, 3.8.6).
    WindowShrunk => "window_shrunk", "takes back window that it had advertised";
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// A set of anomalies.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Anomalies(u64);

const _: () = assert!(Anomaly::ALL.len() <= 64);

impl Anomalies {
    /// None.
    pub const NONE: Anomalies = Anomalies(0);

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `anomaly` is one of them.
    #[inline]
    pub const fn has(self, anomaly: Anomaly) -> bool {
        self.0 & 1 << anomaly as u8 != 0
    }

    /// In the order of their values.
    pub fn iter(self) -> impl Iterator<Item = Anomaly> {
        Anomaly::ALL.iter().copied().filter(move |a| self.has(*a))
    }

    #[inline]
    pub(crate) fn join(&mut self, others: Anomalies) {
        self.0 |= others.0;
    }

    #[inline]
    pub(crate) fn add_if(&mut self, condition: bool, anomaly: Anomaly) {
        self.0 |= u64::from(condition) << anomaly as u8;
    }
}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_kind_has_a_name_and_a_sentence_of_its_own() {
        let symbols: BTreeSet<_> = Anomaly::ALL.iter().map(|a| a.symbol()).collect();
        let sentences: BTreeSet<_> = Anomaly::ALL.iter().map(|a| a.sentence()).collect();
        assert_eq!((symbols.len(), sentences.len()), (Anomaly::ALL.len(), Anomaly::ALL.len()));
    }

    #[test]
    fn a_set_holds_what_was_added() {
        let mut set = Anomalies::NONE;
        set.add_if(true, Anomaly::Paws);
        set.add_if(true, Anomaly::WindowShrunk);
        set.add_if(false, Anomaly::Signed);
        assert!(set.has(Anomaly::Paws) && !set.has(Anomaly::Signed));
        assert_eq!(set.iter().collect::<std::vec::Vec<_>>(), [Anomaly::Paws, Anomaly::WindowShrunk]);
    }
}
