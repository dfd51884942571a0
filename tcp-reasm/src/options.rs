//! TCP options: an iterator over them, and the summary that the rest of the crate reads.
//!
//! A malformed option ends the walk and is reported; it never loops and never reads beyond the header. That is also
//! what Linux does: it keeps what it read before and accepts the segment.

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
const FAST_OPEN: u8 = 34;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SackBlocks<'a>(&'a [u8]);

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
    malformed: bool,
}

impl<'a> OptionIter<'a> {
    /// The options in `bytes`, the part of the header behind the fixed one.
    pub const fn new(bytes: &'a [u8]) -> Self {
        OptionIter { rest: bytes, malformed: false }
    }

    /// Whether the walk ended at an option whose length is less than 2 or more than what is left.
    pub const fn malformed(&self) -> bool {
        self.malformed
    }

    fn fail<T>(&mut self) -> Option<T> {
        self.malformed = true;
        self.rest = &[];
        None
    }
}

impl<'a> Iterator for OptionIter<'a> {
    type Item = TcpOption<'a>;

    fn next(&mut self) -> Option<TcpOption<'a>> {
        loop {
            let (&kind, rest) = self.rest.split_first()?;
            match kind {
                END => {
                    self.rest = &[];
                    return None;
                }
                NOP => self.rest = rest,
                _ => {
                    let Some((&len, rest)) = rest.split_first() else { return self.fail() };
                    let Some(len) = usize::from(len).checked_sub(2) else { return self.fail() };
                    let Some((data, rest)) = rest.split_at_checked(len) else { return self.fail() };
                    self.rest = rest;
                    return Some(TcpOption::from_parts(kind, data));
                }
            }
        }
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
            (MD5, signature) => TcpOption::Md5(signature),
            (AUTHENTICATION, mac) => TcpOption::Authentication(mac),
            (FAST_OPEN, cookie) => TcpOption::FastOpen(cookie),
            _ => TcpOption::Other(kind, data),
        }
    }
}

/// What the options of one segment say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Maximum segment size, octets.
    pub mss: Option<u16>,
    /// Window scale, already limited to [`MAX_WINDOW_SCALE`].
    pub window_scale: Option<u8>,
    /// Selective acknowledgements permitted.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// A signature (MD5 or authentication) is present; a host without the key drops such a segment.
    pub signed: bool,
    /// A Fast Open cookie or a request for one is present.
    pub fast_open: bool,
    /// The walk ended at a malformed option.
    pub malformed: bool,
}

impl Options {
    /// Reads the options in `bytes`. Of repeated options the last counts.
    pub fn parse(bytes: &[u8]) -> Options {
        // Nearly every segment carries nothing, or two NOPs and the timestamps.
        match bytes {
            [] => return Options::default(),
            &[NOP, NOP, TIMESTAMPS, 10, a, b, c, d, e, f, g, h] => {
                let value = u32::from_be_bytes([a, b, c, d]);
                let echo = u32::from_be_bytes([e, f, g, h]);
                return Options { timestamps: Some(Timestamps { value, echo }), ..Options::default() };
            }
            _ => {}
        }
        let mut all = Options::default();
        let mut iter = OptionIter::new(bytes);
        for option in iter.by_ref() {
            match option {
                TcpOption::MaxSegmentSize(mss) => all.mss = Some(mss),
                TcpOption::WindowScale(shift) => all.window_scale = Some(shift.min(MAX_WINDOW_SCALE)),
                TcpOption::SackPermitted => all.sack_permitted = true,
                TcpOption::Timestamps(t) => all.timestamps = Some(t),
                TcpOption::Md5(_) | TcpOption::Authentication(_) => all.signed = true,
                TcpOption::FastOpen(_) => all.fast_open = true,
                TcpOption::Sack(_) | TcpOption::Other(..) => {}
            }
        }
        all.malformed = iter.malformed();
        all
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
            fast_open: true,
            ..Options::default()
        };
        assert_eq!(o, expected);
    }

    #[test]
    fn malformed_options_end_the_walk_and_keep_what_came_before() {
        for tail in [&[3_u8, 0][..], &[3, 1], &[3], &[8, 40, 1], &[254, 255]] {
            let bytes = [&[2, 4, 5, 180][..], tail].concat();
            let o = Options::parse(&bytes);
            assert_eq!((o.mss, o.malformed), (Some(1460), true), "{tail:?}");
        }
    }

    #[test]
    fn a_known_kind_of_another_length_is_not_believed() {
        assert_eq!(Options::parse(&[2, 3, 5, 3, 4, 1, 1]), Options::default());
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

    proptest! {
        #[test]
        fn any_bytes_are_walked_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(OptionIter::new(&bytes).count() <= bytes.len());
            let _ = Options::parse(&bytes);
        }

        #[test]
        fn the_short_cut_and_the_walk_agree(value: u32, echo: u32) {
            let mut bytes = [1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            bytes[4..8].copy_from_slice(&value.to_be_bytes());
            bytes[8..12].copy_from_slice(&echo.to_be_bytes());
            prop_assert_eq!(Options::parse(&bytes[..12]), Options::parse(&bytes));
        }
    }
}
