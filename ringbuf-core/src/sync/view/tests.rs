use super::*;
use crate::ring::Ring;
use proptest::prelude::*;
use std::vec::Vec;

fn words(octets: usize) -> Vec<AtomicU64> {
    (0..octets / WORD).map(|_| AtomicU64::new(0)).collect()
}

#[test]
fn handles_can_be_sent_and_shared() {
    fn shared<T: Send + Sync + Copy>(_: &T) {}
    fn sent<T: Send>(_: &T) {}
    let mut region = Region::<_, 2>::new(words(16));
    let ring = region.open(Overlap::First);
    shared(&ring.view());
    sent(&ring);
}

#[test]
fn a_reader_finds_octets_holes_and_what_is_gone() {
    let mut region = Region::<_, 2>::new(words(16));
    let mut ring = region.open(Overlap::First);
    let view = ring.view();
    let mut buf = [0; 32];
    assert_eq!(view.ppeek(Offset(0), &mut buf), Err(Miss::Absent(Absent::Beyond)));
    assert_eq!(ring.write(Offset(0), b"abcd").fresh, 4);
    assert_eq!(ring.write(Offset(6), b"ghi").fresh, 3);
    assert_eq!((view.ppeek(Offset(1), &mut buf), &buf[..3]), (Ok(3), &b"bcd"[..]));
    assert_eq!((view.ppeek(Offset(7), &mut buf), &buf[..2]), (Ok(2), &b"hi"[..]));
    assert_eq!(view.ppeek(Offset(5), &mut buf), Err(Miss::Absent(Absent::Hole(Range::new(5, 6)))));
    assert_eq!(view.ppeek(Offset(9), &mut buf), Err(Miss::Absent(Absent::Beyond)));
    assert_eq!(view.state(), State { head: Offset(0), next: Offset(4), top: Offset(9) });
    assert_eq!(ring.skip(Offset(99)), Some(Range::new(4, 6)));
    assert_eq!(ring.advance(Offset(2)), 2);
    assert_eq!(view.ppeek(Offset(1), &mut buf), Err(Miss::Absent(Absent::Overrun { head: Offset(2) })));
    assert_eq!(view.state(), State { head: Offset(2), next: Offset(9), top: Offset(9) });
    assert_eq!(ring.piece(Range::new(6, 99)), b"ghi");
    assert_eq!(ring.piece(Range::new(4, 99)), b"");
}

#[test]
fn the_last_copy_replaces_what_readers_see() {
    let mut region = Region::<_, 2>::new(words(8));
    let mut ring = region.open(Overlap::Last);
    let view = ring.view();
    let mut buf = [0; 8];
    let _ = ring.write(Offset(0), b"abcdefgh");
    let again = ring.write(Offset(2), b"XYZ");
    assert_eq!(again.conflict.map(|c| c.range), Some(Range::new(2, 5)));
    assert_eq!((view.ppeek(Offset(0), &mut buf), &buf), (Ok(8), b"abXYZfgh"));
}

#[test]
fn a_reader_is_told_of_a_change_that_does_not_end() {
    let mut region = Region::<_, 0>::new(words(8));
    let mut ring = region.open(Overlap::Last);
    let _ = ring.write(Offset(0), b"abc");
    let (view, mut buf) = (ring.view(), [0; 8]);
    let marks = &view.shared.marks;
    marks.rewrites.begin();
    assert_eq!(view.ppeek(Offset(0), &mut buf), Err(Miss::Changed));
    marks.rewrites.end();
    marks.index.begin();
    assert_eq!(view.ppeek(Offset(0), &mut buf), Err(Miss::Changed));
    assert_eq!(view.try_state(), None);
    marks.index.end();
    assert_eq!((view.ppeek(Offset(0), &mut buf), &buf[..3]), (Ok(3), &b"abc"[..]));
}

#[test]
fn a_region_without_words_holds_nothing_and_can_be_opened_again() {
    let mut region = Region::<_, 1>::new(words(0));
    let mut ring = region.open(Overlap::First);
    let written = ring.write(Offset(0), b"abc");
    assert_eq!((written.fresh, written.overrun), (0, 3));
    assert_eq!(
        ring.view().ppeek(Offset(0), &mut [0; 4]),
        Err(Miss::Absent(Absent::Overrun { head: Offset(3) }))
    );
    assert_eq!(ring.view().ppeek(Offset(3), &mut [0; 4]), Err(Miss::Absent(Absent::Beyond)));
    assert_eq!(ring.skip(Offset(9)), Some(Range::new(3, 9)));
    assert_eq!(region.open(Overlap::First).view().state().top, Offset(0));
}

#[test]
fn readers_see_what_a_systems_policy_keeps() {
    let mut region = Region::<_, 4>::new(words(64));
    let mut ring = region.open(crate::overlap::Linux::<4>::new());
    let (view, mut buf) = (ring.view(), [0; 8]);
    let _ = ring.write(Offset(2), b"old");
    assert_eq!(ring.write(Offset(2), b"newer").replaced, 3);
    assert_eq!((view.ppeek(Offset(2), &mut buf), &buf[..5]), (Ok(5), &b"newer"[..]));
}

#[test]
fn a_store_keeps_its_promises_whatever_its_window_says() {
    let mut region = Region::<_, 1>::new(words(8));
    let mut store = region.store();
    let view = store.view();
    let mut buf = [0; 64];
    assert_eq!(store.reserve(Range::new(0, 9)), Err(NoSpace));

    // More than fits, and what has the places of later octets, is dropped.
    store.put(Offset(16), b"abcdefghijkl");
    store.put(Offset(8), b"01234567");
    store.put(Offset(14), b"..A");
    store.publish(&Window::holding(Range::new(0, 64), 64), &FragList::new());
    assert_eq!((view.ppeek(Offset(16), &mut buf), &buf[..8]), (Ok(8), &b"Abcdefgh"[..]));
    assert_eq!(view.ppeek(Offset(15), &mut buf), Err(Miss::Absent(Absent::Overrun { head: Offset(16) })));

    // The largest offset is a place like any other.
    store.put(Offset(u64::MAX - 3), b"abcdefghijkl");
    assert_eq!(
        view.ppeek(Offset(16), &mut buf),
        Err(Miss::Absent(Absent::Overrun { head: Offset(u64::MAX - 8) }))
    );
}

#[derive(Clone, Debug)]
enum Op {
    Write { ahead: i64, len: usize, fill: u8 },
    Advance(u64),
    Skip,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (-20_i64..30, 0_usize..40, any::<u8>()).prop_map(|(ahead, len, fill)| Op::Write { ahead, len, fill }),
        2 => (0_usize..40, any::<u8>()).prop_map(|(len, fill)| Op::Write { ahead: 0, len, fill }),
        1 => (0_u64..30).prop_map(Op::Advance),
        1 => Just(Op::Skip),
    ]
}

proptest! {
    /// The oracle is the ring of one thread over plain bytes: at every offset the view has what it has.
    #[test]
    fn shows_what_a_plain_ring_holds(last: bool, words_log in 0_u32..4, ops in prop::collection::vec(op(), 1..40)) {
        let policy = if last { Overlap::Last } else { Overlap::First };
        let cap = WORD << words_log;
        let mut region = Region::<_, 3>::new(words(cap));
        let mut ring = region.open(policy);
        let mut plain = Ring::<_, 3>::with_policy(std::vec![0_u8; cap], policy);
        let view = ring.view();
        for op in ops {
            let next = plain.window().next();
            match op {
                Op::Write { ahead, len, fill } => {
                    let at = Offset(next.0.saturating_add_signed(ahead));
                    let data: Vec<u8> = (0..len).map(|i| fill.wrapping_add(i as u8)).collect();
                    prop_assert_eq!(ring.write(at, &data), plain.write(at, &data));
                }
                Op::Advance(n) => {
                    let to = Offset(next.0.saturating_sub(n));
                    prop_assert_eq!(ring.advance(to), plain.advance(to));
                }
                Op::Skip => prop_assert_eq!(ring.skip(view.state().top), plain.skip_gap()),
            }
            let top = view.state().top;
            prop_assert_eq!(view.state().next, plain.window().next());
            prop_assert_eq!(view.state().head, plain.head());
            for offset in (top.0.saturating_sub(80)..top.0 + 3).map(Offset) {
                let (mut seen, mut expected) = ([0; 80], [0; 80]);
                let known = plain.ppeek(offset, &mut expected).map_err(Miss::from);
                prop_assert_eq!(view.ppeek(offset, &mut seen), known, "{}", offset);
                if let Ok(n) = known {
                    prop_assert_eq!(&seen[..n], &expected[..n]);
                }
            }
        }
    }
}
