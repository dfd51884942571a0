//! What stacks judge differently, as one table: which rules hold under which strictness.

/// How closely a segment must fit what was seen to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum Strictness {
    /// As Linux 6.18 judges it, for monitors that see every segment. What only the host itself can know is marked as odd
    /// instead: see [`Anomaly::WindowOverrun`](crate::Anomaly::WindowOverrun).
    #[default]
    Linux,
    /// As Linux before 6.8 (and its stable branches before 2024): an acknowledgement may be older than everything that
    /// was ever acknowledged, by up to the widest window.
    LinuxBefore68,
    /// RFC 9293 with RFC 5961 and 7323 to the letter: no tick of grace for timestamps; a RST resets at RCV.NXT and
    /// nowhere else; payload and FIN of a SYN/ACK count; a SYN of any number opens again after TIME-WAIT; what Linux
    /// makes of segments in SYN-RECEIVED is left out.
    Rfc9293,
    /// For captures that lack segments, have the two directions out of step, or show one direction alone:
    /// acknowledgements of octets that were not seen are believed as far as the advertised window went, and the window
    /// may have moved by one window; a server that sends payload has completed its handshake. Else as Linux. An
    /// intruder has as much room.
    Lossy,
}

/// The rules of one strictness.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The capture may lack segments.
    pub(crate) lossy: bool,
    /// Nothing is acknowledged again from before the first acknowledgement (Linux 6.8 and later).
    pub(crate) bounded_old_ack: bool,
    /// How far a timestamp may step back, ticks.
    pub(crate) timestamp_grace: i32,
    /// A RST just below RCV.NXT counts after a FIN, and one at the right edge of what is held after a hole with SACK.
    pub(crate) wide_rst: bool,
    /// Payload and FIN of a SYN/ACK count.
    pub(crate) syn_ack_data: bool,
    /// A broken signature option drops the segment.
    pub(crate) signature_syntax: bool,
    /// In TIME-WAIT only a SYN that is newer than the old connection opens a new one.
    pub(crate) newer_syn: bool,
    /// A server in SYN-RECEIVED has no connection yet: it checks timestamps without grace and of a RST too, and a SYN
    /// in the window resets it.
    pub(crate) request: bool,
}

const LINUX: Rules = Rules {
    lossy: false,
    bounded_old_ack: true,
    timestamp_grace: 1,
    wide_rst: true,
    syn_ack_data: false,
    signature_syntax: true,
    newer_syn: true,
    request: true,
};

/// In the order of [`Strictness`].
static RULES: [Rules; 4] = [
    LINUX,
    Rules { bounded_old_ack: false, ..LINUX },
    Rules {
        bounded_old_ack: false,
        timestamp_grace: 0,
        wide_rst: false,
        syn_ack_data: true,
        signature_syntax: false,
        newer_syn: false,
        request: false,
        ..LINUX
    },
    Rules { lossy: true, bounded_old_ack: false, ..LINUX },
];

impl Strictness {
    #[inline]
    pub(crate) fn rules(self) -> &'static Rules {
        &RULES[self as usize]
    }
}
