//! TCP options: an iterator over them, and the summary that the rest of the crate reads.
//!
//! A malformed option ends the walk and is reported; it never loops and never reads beyond the header. That is also
//! what Linux does: it keeps what it read before and accepts the segment, unless a signature could hide in the rest.

use ringbuf_core::SeqNum;

const END: u8 = 0;
const NOP: u8 = 1;
const MSS: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;
const MD5: u8 = 19;
const AUTHENTICATION: u8 = 29;
const QUICK_START: u8 = 27;
const USER_TIMEOUT: u8 = 28;
const FAST_OPEN: u8 = 34;
/// For experiments (RFC 6994), among them Fast Open before it had a number.
const EXPERIMENT: u8 = 254;
/// What Fast Open has in front then.
const EXPERIMENT_FAST_OPEN: [u8; 2] = [0xf9, 0x89];
const MD5_DIGEST: usize = 16;
/// Octets of the shortest and the longest Fast Open cookie (RFC 7413, 4.1.1).
const MIN_COOKIE: usize = 4;
const MAX_COOKIE: usize = 16;

/// The largest shift that a host honours (RFC 7323, 2.3).
pub const MAX_WINDOW_SCALE: u8 = 14;

/// One option with its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpOption<'a> {
    /// Maximum segment size, octets (RFC 9293, 3.7.1).
    MaxSegmentSize(u16),
    /// Window scale: the shift as sent (RFC 7323, 2).
    WindowScale(u8),
    /// Selective acknowledgements may be sent (RFC 2018, 2).
    SackPermitted,
    /// Blocks of octets received out of order (RFC 2018, 3).
    Sack(SackBlocks<'a>),
    /// Timestamps (RFC 7323, 3).
    Timestamps(Timestamps),
    /// MD5 signature (RFC 2385).
    Md5(&'a [u8]),
    /// Authentication (RFC 5925).
    Authentication(&'a [u8]),
    /// Fast Open cookie, empty for a request (RFC 7413).
    FastOpen(&'a [u8]),
    /// Any other kind, or a known one with a length that is not its own.
    Other(u8, &'a [u8]),
}

/// TSval and TSecr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamps {
    /// The sender's clock.
    pub value: u32,
    /// The receiver's clock, echoed. Meaningful with the ACK flag.
    pub echo: u32,
}

/// The blocks of a SACK option: left edge and one past the right edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SackBlocks<'a>(&'a [u8]);

impl SackBlocks<'_> {
    /// Whether there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Iterator for SackBlocks<'_> {
    type Item = (SeqNum, SeqNum);

    fn next(&mut self) -> Option<Self::Item> {
        let (left, rest) = self.0.split_first_chunk()?;
        let (right, rest) = rest.split_first_chunk()?;
        self.0 = rest;
        Some((SeqNum(u32::from_be_bytes(*left)), SeqNum(u32::from_be_bytes(*right))))
    }
}

/// Walks the options of a header.
#[derive(Clone, Debug)]
pub struct OptionIter<'a> {
    rest: &'a [u8],
    /// Octets from the last option to the end.
    left: usize,
    malformed: bool,
}

impl<'a> OptionIter<'a> {
    /// The options in `bytes`, the part of the header behind the fixed one.
    pub const fn new(bytes: &'a [u8]) -> Self {
        OptionIter { rest: bytes, left: 0, malformed: false }
    }

    /// Whether the walk ended at an option whose length is less than 2 or more than what is left.
    pub const fn malformed(&self) -> bool {
        self.malformed
    }
}

impl<'a> Iterator for OptionIter<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        while let Some((&NOP, rest)) = self.rest.split_first() {
            self.rest = rest;
        }
        let all = core::mem::take(&mut self.rest);
        let (&kind, rest) = all.split_first().filter(|(kind, _)| **kind != END)?;
        let body = rest
            .split_first()
            .and_then(|(&len, rest)| rest.split_at_checked(usize::from(len).checked_sub(2)?));
        let Some((data, rest)) = body else {
            (self.malformed, self.left) = (true, all.len());
            return None;
        };
        (self.rest, self.left) = (rest, all.len());
        Some(TcpOption::from_parts(kind, data))
    }
}

impl<'a> TcpOption<'a> {
    fn from_parts(kind: u8, data: &'a [u8]) -> Self {
        match (kind, data) {
            (MSS, &[a, b]) => TcpOption::MaxSegmentSize(u16::from_be_bytes([a, b])),
            (WINDOW_SCALE, &[shift]) => TcpOption::WindowScale(shift),
            (SACK_PERMITTED, []) => TcpOption::SackPermitted,
            (SACK, blocks) if !blocks.is_empty() && blocks.len().is_multiple_of(8) => {
                TcpOption::Sack(SackBlocks(blocks))
            }
            (TIMESTAMPS, &[a, b, c, d, e, f, g, h]) => TcpOption::Timestamps(Timestamps {
                value: u32::from_be_bytes([a, b, c, d]),
                echo: u32::from_be_bytes([e, f, g, h]),
            }),
            (MD5, signature) if signature.len() == MD5_DIGEST => TcpOption::Md5(signature),
            (AUTHENTICATION, [_, _, ..]) => TcpOption::Authentication(data),
            (FAST_OPEN, cookie) if is_cookie(cookie) => TcpOption::FastOpen(cookie),
            (EXPERIMENT, data) => match data.strip_prefix(&EXPERIMENT_FAST_OPEN) {
                Some(cookie) if is_cookie(cookie) => TcpOption::FastOpen(cookie),
                _ => TcpOption::Other(kind, data),
            },
            _ => TcpOption::Other(kind, data),
        }
    }
}

/// The blocks, if there is nothing else, or nothing at all.
#[inline]
fn blocks_alone(bytes: &[u8]) -> Option<SackBlocks<'_>> {
    match bytes {
        [] => Some(SackBlocks::default()),
        [NOP, NOP, SACK, len, blocks @ ..] => {
            let whole = usize::from(*len) == blocks.len() + 2 && blocks.len().is_multiple_of(8);
            (whole && !blocks.is_empty()).then_some(SackBlocks(blocks))
        }
        _ => None,
    }
}

/// A request has none; any other has an even number of octets (RFC 7413, 4.1.1). Linux ignores the rest.
fn is_cookie(octets: &[u8]) -> bool {
    matches!(octets.len(), 0 | MIN_COOKIE..=MAX_COOKIE) && octets.len().is_multiple_of(2)
}

/// Whether an option that was not read is of a known kind, so that its length is not that of its kind. Of the kinds
/// that mean nothing here Quick-Start (RFC 4782) and the user time-out (RFC 5482) have one length.
fn has_wrong_length(kind: u8, data: &[u8]) -> bool {
    match kind {
        MSS..=SACK | TIMESTAMPS | MD5 | AUTHENTICATION | FAST_OPEN => true,
        QUICK_START => data.len() != 6,
        USER_TIMEOUT => data.len() != 2,
        EXPERIMENT => data.starts_with(&EXPERIMENT_FAST_OPEN),
        _ => false,
    }
}

/// What is wrong with the options of a segment, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionFaults(u8);

impl OptionFaults {
    /// The walk ended at an option whose length cannot be.
    pub const MALFORMED: OptionFaults = OptionFaults(1);
    /// A known kind with a length that is not its own.
    pub const LENGTH: OptionFaults = OptionFaults(2);
    /// A kind that means something once came twice.
    pub const REPEATED: OptionFaults = OptionFaults(4);
    /// A window scale of more than [`MAX_WINDOW_SCALE`].
    pub const SCALE: OptionFaults = OptionFaults(8);
    /// Nobody can tell whether the segment is signed: two signatures, one of a wrong length, or a malformed option, with
    /// room for a signature from there on. Linux drops such a segment whole.
    pub const SIGNATURE: OptionFaults = OptionFaults(16);

    /// Whether there is no fault.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `faults` are among these.
    #[inline]
    pub const fn has(self, faults: OptionFaults) -> bool {
        self.0 & faults.0 == faults.0
    }

    fn add(&mut self, faults: OptionFaults) {
        self.0 |= faults.0;
    }
}

/// How a segment is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// By an authentication option (RFC 5925), which a host without a key ignores.
    Authentication,
    /// By MD5 (RFC 2385). A host without the key drops the segment.
    Md5,
}

/// What the options of one segment say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options<'a> {
    /// Maximum segment size, octets.
    pub mss: Option<u16>,
    /// Window scale, already limited to [`MAX_WINDOW_SCALE`].
    pub window_scale: Option<u8>,
    /// Selective acknowledgements permitted.
    pub sack_permitted: bool,
    /// Blocks received out of order by the sender of the segment.
    pub sack: SackBlocks<'a>,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// The kind of signature that is present.
    pub signature: Option<Signature>,
    /// A Fast Open cookie, empty for a request.
    pub fast_open: Option<&'a [u8]>,
    /// What is wrong with them.
    pub faults: OptionFaults,
}

impl<'a> Options<'a> {
    /// How the options of nearly every segment with timestamps begin.
    pub(crate) const STAMPED: [u8; 4] = [NOP, NOP, TIMESTAMPS, 10];

    /// Reads the options in `bytes`. Of repeated options the last counts.
    pub fn parse(bytes: &'a [u8]) -> Options<'a> {
        // Nearly every segment carries nothing, or two NOPs and the timestamps, or two and blocks, or both.
        let (timestamps, rest) = match bytes {
            &[NOP, NOP, TIMESTAMPS, 10, a, b, c, d, e, f, g, h, ref rest @ ..] => {
                let value = u32::from_be_bytes([a, b, c, d]);
                let echo = u32::from_be_bytes([e, f, g, h]);
                (Some(Timestamps { value, echo }), rest)
            }
            _ => (None, bytes),
        };
        match blocks_alone(rest) {
            Some(sack) => Options { timestamps, sack, ..Options::default() },
            None => Options::walk(bytes),
        }
    }

    fn walk(bytes: &'a [u8]) -> Options<'a> {
        let mut all = Options::default();
        let mut iter = OptionIter::new(bytes);
        while let Some(option) = iter.next() {
            let broken = match option {
                TcpOption::Md5(_) | TcpOption::Authentication(_) => all.signature.is_some(),
                TcpOption::Other(kind, _) => matches!(kind, MD5 | AUTHENTICATION),
                _ => false,
            };
            all.note_signature(broken, iter.left);
            all.take(option);
        }
        if iter.malformed() {
            all.faults.add(OptionFaults::MALFORMED);
            all.note_signature(true, iter.left);
        }
        all
    }

    fn take(&mut self, option: TcpOption<'a>) {
        let repeated = match option {
            TcpOption::MaxSegmentSize(mss) => self.mss.replace(mss).is_some(),
            TcpOption::WindowScale(shift) => {
                if shift > MAX_WINDOW_SCALE {
                    self.faults.add(OptionFaults::SCALE);
                }
                self.window_scale.replace(shift.min(MAX_WINDOW_SCALE)).is_some()
            }
            TcpOption::SackPermitted => core::mem::replace(&mut self.sack_permitted, true),
            TcpOption::Sack(blocks) => !core::mem::replace(&mut self.sack, blocks).0.is_empty(),
            TcpOption::Timestamps(t) => self.timestamps.replace(t).is_some(),
            TcpOption::Md5(_) => self.signature.replace(Signature::Md5).is_some(),
            TcpOption::Authentication(_) => self.signature.replace(Signature::Authentication).is_some(),
            TcpOption::FastOpen(cookie) => self.fast_open.replace(cookie).is_some(),
            TcpOption::Other(kind, data) => {
                if has_wrong_length(kind, data) {
                    self.faults.add(OptionFaults::LENGTH);
                }
                false
            }
        };
        if repeated {
            self.faults.add(OptionFaults::REPEATED);
        }
    }

    /// Linux looks for signatures as long as one of MD5 would fit into what is left.
    fn note_signature(&mut self, broken: bool, left: usize) {
        if broken && left >= MD5_DIGEST + 2 {
            self.faults.add(OptionFaults::SIGNATURE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn options_are_read_by_kind_and_length() {
        let bytes = [2, 4, 5, 180, 1, 3, 3, 15, 4, 2, 1, 1, 8, 10, 0, 0, 0, 7, 0, 0, 0, 9, 34, 2, 0, 99];
        let o = Options::parse(&bytes);
        let expected = Options {
            mss: Some(1460),
            window_scale: Some(14),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 7, echo: 9 }),
            fast_open: Some(&[]),
            faults: OptionFaults::SCALE,
            ..Options::default()
        };
        assert_eq!(o, expected);
    }

    #[test]
    fn malformed_options_end_the_walk_and_keep_what_came_before() {
        for tail in [&[3_u8, 0][..], &[3, 1], &[3], &[8, 40, 1], &[254, 255]] {
            let bytes = [&[2, 4, 5, 180][..], tail].concat();
            let o = Options::parse(&bytes);
            assert_eq!((o.mss, o.faults), (Some(1460), OptionFaults::MALFORMED), "{tail:?}");
        }
    }

    #[test]
    fn a_known_kind_of_another_length_is_not_believed() {
        let odd = Options { faults: OptionFaults::LENGTH, ..Options::default() };
        assert_eq!(Options::parse(&[2, 3, 5, 3, 4, 1, 1]), odd);
        let odd = [5, 6, 1, 2, 3, 4];
        assert_eq!(OptionIter::new(&odd).next(), Some(TcpOption::Other(5, &odd[2..])));
    }

    #[test]
    fn sack_blocks_are_read_in_pairs() {
        let bytes = [1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 0, 0, 0, 5];
        let Some(TcpOption::Sack(blocks)) = OptionIter::new(&bytes).next() else { panic!("no SACK option") };
        let blocks: Vec<_> = blocks.collect();
        assert_eq!(blocks, [(SeqNum(1), SeqNum(2)), (SeqNum(7), SeqNum(5))]);
    }

    #[test]
    fn what_could_hide_a_signature_is_told() {
        let signature = |bytes: &[u8]| Options::parse(bytes).faults.has(OptionFaults::SIGNATURE);
        let md5 = [&[MD5, 18][..], &[0; 16]].concat();
        assert!(Options::parse(&md5).signature == Some(Signature::Md5) && !signature(&md5));
        assert!(signature(&[&md5[..], &[1, 1], &md5[..]].concat()), "two of them");
        assert!(signature(&[&[MD5, 4][..], &[1; 16]].concat()), "not of its length");
        assert!(!signature(&[&[MD5, 4][..], &[1; 15]].concat()), "nobody looks so far behind");
        assert!(signature(&[&[9, 0][..], &[1; 16]].concat()), "malformed, 18 octets left");
        assert!(!signature(&[&[9, 0][..], &[1; 15]].concat()), "17 are too few for one");
    }

    #[test]
    fn cookies_come_in_two_kinds() {
        assert_eq!(Options::parse(&[34, 6, 1, 2, 3, 4]).fast_open, Some(&[1, 2, 3, 4][..]));
        assert_eq!(Options::parse(&[254, 8, 0xf9, 0x89, 1, 2, 3, 4]).fast_open, Some(&[1, 2, 3, 4][..]));
        assert_eq!(Options::parse(&[254, 4, 0, 0]), Options::default(), "another experiment");
        for none in [&[34, 3, 1][..], &[34, 4, 1, 2], &[34, 7, 1, 2, 3, 4, 5], &[254, 5, 0xf9, 0x89, 1]] {
            let odd = Options { faults: OptionFaults::LENGTH, ..Options::default() };
            assert_eq!(Options::parse(none), odd, "{none:?}");
        }
    }

    #[test]
    fn kinds_that_mean_nothing_here_have_lengths_too() {
        let length = |bytes: &[u8]| Options::parse(bytes).faults == OptionFaults::LENGTH;
        assert!(!length(&[27, 8, 0, 0, 0, 0, 0, 0]) && length(&[27, 4, 0, 0]));
        assert!(!length(&[28, 4, 0, 0]) && length(&[28, 3, 0]));
        assert!(!length(&[99, 3, 0]), "whatever that is");
    }

    /// Timestamps, blocks, or both, as they are sent or nearly.
    fn usual() -> impl Strategy<Value = Vec<u8>> {
        let change = (0..40_usize, prop::sample::select(std::vec![0_u8, 1, 5, 8, 10, 18, 26]));
        (0..28_usize, any::<bool>(), prop::option::of(change)).prop_map(|(blocks, stamped, change)| {
            let mut bytes = std::vec![1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 5, blocks as u8 + 2];
            bytes.extend((0..blocks as u8).map(|n| n | 32));
            bytes.truncate(if blocks == 0 { 12 } else { 40 });
            if !stamped {
                bytes.drain(..12);
            }
            if let Some((at, to)) = change
                && let Some(byte) = bytes.get_mut(at)
            {
                *byte = to;
            }
            bytes
        })
    }

    proptest! {
        #[test]
        fn what_is_usual_is_read_as_all_is(bytes in usual()) {
            prop_assert_eq!(Options::parse(&bytes), Options::walk(&bytes));
        }

        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(OptionIter::new(&bytes).count() <= bytes.len());
            let _ = Options::parse(&bytes);
        }
    }
}
