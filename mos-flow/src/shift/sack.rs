//! Selective acknowledgements in the options of a TCP header (RFC 2018), rewritten where they are.

use ringbuf_core::SeqNum;

const END: u8 = 0;
const NOP: u8 = 1;
const SACK: u8 = 5;
/// Octets of an option's kind and length.
const HEAD: usize = 2;
/// Octets of a block's edges.
const BLOCK: usize = 8;

/// Replaces the blocks of selective acknowledgements by others. Those that become `None` are taken out: the next ones
/// move up, and what is left over becomes NOPs, so that no other option moves.
///
/// `options` is what stands in a header behind its fixed part. As hosts do, it stops at an option whose length cannot
/// be, and leaves alone one that is no whole number of blocks.
pub fn translate_sack(
    mut options: &mut [u8],
    mut translate: impl FnMut(SeqNum, SeqNum) -> Option<(SeqNum, SeqNum)>,
) {
    while let Some((option, rest)) = option_len(options).and_then(|len| options.split_at_mut_checked(len)) {
        if option.first() == Some(&SACK) && option.len() > HEAD && (option.len() - HEAD).is_multiple_of(BLOCK)
        {
            replace(option, &mut translate);
        }
        options = rest;
    }
}

fn option_len(options: &[u8]) -> Option<usize> {
    match *options {
        [NOP, ..] => Some(1),
        [END, ..] => None,
        [_, len, ..] => Some(usize::from(len)).filter(|len| *len >= HEAD),
        _ => None,
    }
}

fn replace(option: &mut [u8], translate: &mut impl FnMut(SeqNum, SeqNum) -> Option<(SeqNum, SeqNum)>) {
    let mut end = HEAD;
    for at in (HEAD..option.len()).step_by(BLOCK) {
        let Some(block) = option.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) else { break };
        let [a, b, c, d, e, f, g, h] = *block;
        let edges = [[a, b, c, d], [e, f, g, h]].map(|edge| SeqNum(u32::from_be_bytes(edge)));
        let Some((left, right)) = translate(edges[0], edges[1]) else { continue };
        if let Some(place) = option.get_mut(end..end + BLOCK) {
            place.copy_from_slice(&(u64::from(left.0) << 32 | u64::from(right.0)).to_be_bytes());
            end += BLOCK;
        }
    }
    if let [_, len, ..] = option {
        *len = u8::try_from(end).unwrap_or(*len);
    }
    let left_over = if end == HEAD { 0 } else { end };
    option.get_mut(left_over..).unwrap_or_default().fill(NOP);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;
    use tcp_reasm::options::{OptionIter, TcpOption};

    /// Blocks of odd left edges go, the others are moved.
    fn odd_ones_go(left: SeqNum, right: SeqNum) -> Option<(SeqNum, SeqNum)> {
        (left.0 & 1 == 0).then_some((left + 100, right + 200))
    }

    fn translated(mut options: Vec<u8>) -> Vec<u8> {
        translate_sack(&mut options, odd_ones_go);
        options
    }

    fn sack(blocks: &[(u32, u32)]) -> Vec<u8> {
        let edges = blocks.iter().flat_map(|(l, r)| [l.to_be_bytes(), r.to_be_bytes()]).flatten();
        [5, 2 + 8 * blocks.len() as u8].into_iter().chain(edges).collect()
    }

    #[test]
    fn blocks_move_up_and_no_other_option_moves() {
        let before = [&[1, 1][..], &sack(&[(1, 2), (4, 8), (7, 9)]), &[3, 3, 7, 0]].concat();
        let after = [&[1, 1][..], &sack(&[(104, 208)]), &[1; 16], &[3, 3, 7, 0]].concat();
        assert_eq!(translated(before), after);
    }

    #[test]
    fn an_option_without_blocks_is_none() {
        let before = [&sack(&[(1, 2), (3, 4)])[..], &[8, 10, 0, 0, 0, 5, 0, 0, 0, 6]].concat();
        let after = [&[1; 18][..], &[8, 10, 0, 0, 0, 5, 0, 0, 0, 6]].concat();
        assert_eq!(translated(before), after);
    }

    #[test]
    fn edges_pass_the_end_of_the_numbers() {
        assert_eq!(translated(sack(&[(0xffff_fffe, 3)])), sack(&[(98, 203)]));
    }

    #[test]
    fn what_is_no_option_stays() {
        let block = [0, 0, 0, 4, 0, 0, 0, 8];
        for before in [
            [&[5, 11][..], &block].concat(), // longer than the header
            [&[5, 9][..], &block].concat(),  // no whole number of blocks
            [&[5, 2][..], &block].concat(),  // none at all; then an end of options
            [&[5, 1][..], &block].concat(),
            [&[5, 0][..], &block].concat(),
            [&[0, 5, 10][..], &block].concat(),    // behind the end
            [&[8, 0, 5, 10][..], &block].concat(), // behind an option without length
            std::vec![5],
            std::vec![],
        ] {
            assert_eq!(translated(before.clone()), before);
        }
    }

    proptest! {
        /// With the parser as judge. Whatever it makes of the octets, selective acknowledgements change, and nothing
        /// else.
        #[test]
        fn only_blocks_change(parts in prop::collection::vec(prop_oneof![
            prop::collection::vec((0_u32..9, any::<u32>()), 0..4).prop_map(|blocks| sack(&blocks)),
            prop::collection::vec(0_u8..12, 0..12),
        ], 0..5)) {
            let before = parts.concat();
            let after = translated(before.clone());
            let read = |octets: &[u8], translate: bool| {
                let blocks = |option: TcpOption<'_>| match option {
                    TcpOption::Sack(blocks) => {
                        let moved = |(l, r)| if translate { odd_ones_go(l, r) } else { Some((l, r)) };
                        Some(std::format!("{:?}", blocks.filter_map(moved).collect::<Vec<_>>()))
                            .filter(|blocks| blocks != "[]")
                    }
                    other => Some(std::format!("{other:?}")),
                };
                OptionIter::new(octets).filter_map(blocks).collect::<Vec<_>>()
            };
            prop_assert_eq!(before.len(), after.len());
            prop_assert_eq!(read(&before, true), read(&after, false));
        }
    }
}
