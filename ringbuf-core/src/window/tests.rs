use super::*;
use crate::Overlap;
use crate::store::{Flat, NoSpace};
use proptest::prelude::*;
use std::vec::Vec;

struct Stream {
    window: Window,
    frags: FragList<4>,
    store: Flat<Vec<u8>>,
    policy: Overlap,
}

impl Stream {
    fn new(cap: u32, policy: Overlap) -> Self {
        let store = Flat::new(std::vec![0; cap as usize]);
        Stream { window: Window::new(cap), frags: FragList::new(), store, policy }
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Written {
        self.window.write(&mut self.frags, &mut self.store, self.policy, Offset(at), data)
    }

    fn skip(&mut self, to: u64) -> Option<Range> {
        self.window.skip(&mut self.frags, &mut self.store, Offset(to))
    }

    /// Every held octet, `.` where nothing is.
    fn text(&self) -> std::string::String {
        let mut out = std::string::String::new();
        let mut at = self.window.ranges(&self.frags).next().map_or(Offset(0), |r| r.start);
        for mut r in self.window.ranges(&self.frags) {
            out.extend((at.0..r.start.0).map(|_| '.'));
            at = r.end;
            while !r.is_empty() {
                let piece = self.store.piece(r);
                out.extend(piece.iter().map(|b| char::from(*b)));
                r.start = r.start.saturating_add(piece.len() as u64);
            }
        }
        out
    }
}

/// The octets that are held and what is expected next, after a short append: taken where only the run is near and all fits.
#[test]
fn an_append_takes_what_fits_behind_the_run_or_changes_nothing() {
    let cases = [
        ("abcd", 0, "efg", true, "abcdefg"),
        ("abcd", 0, "efgh", true, "abcdefgh"),
        ("abcd", 0, "efghi", false, "abcd"),
        ("", 0, "abcdefgh", true, "abcdefgh"),
        ("abcd", 7, "ef", false, "abcd...x"),
    ];
    for (run, early, data, taken, text) in cases {
        let mut s = Stream::new(8, Overlap::First);
        let _ = s.write(0, run.as_bytes());
        if early > 0 {
            let _ = s.write(early, b"x");
        }
        assert_eq!(s.window.try_append(&s.frags, &mut s.store, data.as_bytes()), taken, "{run} {data}");
        let next = run.len() + if taken { data.len() } else { 0 };
        assert_eq!((s.text().as_str(), s.window.next()), (text, Offset(next as u64)));
        s.window.check(&s.frags);
    }
}

/// Outcomes of the original's ring where it is right, and of its documented intent where it is not: a short segment
/// inside a longer range must not touch what lies behind it.
/// Every place and length at the edges, on rings of every size down to nothing.
#[test]
fn edges_have_exact_outcomes() {
    let places = [0, 1, 2, 63, 64, 65, u64::from(u32::MAX), 1 << 40, u64::MAX - 70, u64::MAX - 1, u64::MAX];
    for cap in [0_usize, 1, 2, 64] {
        for (first, second) in places.into_iter().flat_map(|a| places.map(|b| (a, b))) {
            let mut ring = crate::Ring::<_, 2>::new(std::vec![0_u8; cap]);
            for (at, len) in [(first, 0), (first, 1), (second, 64), (first, 65), (u64::MAX, 1)] {
                let data = std::vec![7_u8; len];
                let before = ring.head();
                let done = ring.write(Offset(at), &data);
                // No octet has a place at or above the last offset.
                let fitting = (len as u64).min(u64::MAX - at);
                let told = done.fresh + done.duplicate + done.stale + done.refused;
                assert!(told <= fitting, "{cap} {at} {len} {done:?}");
                assert!(told == fitting || done.overrun > 0, "{cap} {at} {len} {done:?}");
                assert!(ring.head() >= before);
                let held: u64 = ring.ranges().map(Range::len).sum();
                assert!(held <= cap as u64);
                assert_eq!(ring.slices(Range::new(u64::MAX, u64::MAX)), (&[][..], &[][..]));
            }
            let _ = (ring.skip_gap(), ring.advance(Offset(u64::MAX)), ring.lookup(Offset(u64::MAX)));
        }
    }
}

/// A stream of more than 2^33 octets: sequence numbers go around twice and more.
#[test]
fn a_long_stream_keeps_its_place() {
    const SEGMENT: usize = (1 << 18) + 5;
    let base = crate::SeqNum(0xffff_ff00);
    let mut ring = crate::Ring::<_, 4>::new(std::vec![0_u8; 1 << 20]);
    let mut data = std::vec![0_u8; SEGMENT];
    let mut reader = Offset(0);
    for n in 0_u64..=(9 << 30) / SEGMENT as u64 {
        data[..8].copy_from_slice(&n.to_be_bytes());
        let at = (base + (n * SEGMENT as u64) as u32).position(base, ring.window().next());
        assert_eq!(at, (n * SEGMENT as u64) as i64);
        assert_eq!(ring.write(Offset(at as u64), &data).advanced, SEGMENT as u64);
        let mut first = [0; 8];
        assert_eq!(ring.read(&mut reader, &mut first), crate::Next::Data(Range::at(Offset(at as u64), 8)));
        assert_eq!(u64::from_be_bytes(first), n);
        reader = ring.window().next();
    }
    assert!(reader.0 > 1 << 33);
}

#[test]
fn a_live_ring_grows_and_shrinks_and_counts_what_it_gives_up() {
    let mut ring = crate::Ring::<_, 4>::new([0_u8; 16]);
    let _ = ring.write(Offset(0), b"0123456789abcdefghij");
    let _ = ring.write(Offset(24), b"opq");
    assert_eq!(ring.ranges().collect::<Vec<_>>(), [Range::new(11, 20), Range::new(24, 27)]);
    let (mut ring, lost) = ring.resized(std::vec![0_u8; 40]);
    assert_eq!((lost, ring.slices(Range::new(11, 20)).0), (0, &b"bcdefghij"[..]));
    assert_eq!(ring.write(Offset(20), b"klmn").advanced, 7);
    assert_eq!(ring.write(Offset(40), b"E").fresh, 1);
    // Twelve octets of sixteen have to go, and the early one is too far ahead.
    let (ring, lost) = ring.resized([0_u8; 4]);
    assert_eq!((lost, ring.ranges().collect::<Vec<_>>()), (13, std::vec![Range::new(23, 27)]));
    assert_eq!(ring.slices(Range::new(23, 27)).0.len() + ring.slices(Range::new(23, 27)).1.len(), 4);
}

#[test]
fn first_keeps_and_last_replaces() {
    type Writes<'a> = &'a [(u64, &'a str)];
    let cases: &[(Writes<'_>, &str, &str)] = &[
        (&[(0, "AAAAAAAAAA"), (5, "BBBBBBBBBB")], "AAAAAAAAAABBBBB", "AAAAABBBBBBBBBB"),
        (
            &[(10, "AAAAA"), (20, "BBBBB"), (0, "cccccccccccccccccccccccccccccc")],
            "ccccccccccAAAAAcccccBBBBBccccc",
            "cccccccccccccccccccccccccccccc",
        ),
        (&[(0, "AAAAAAAAAAAAAAA"), (5, "xyz")], "AAAAAAAAAAAAAAA", "AAAAAxyzAAAAAAA"),
        (&[(5, "AAAAA"), (2, "BBBB")], "BBBAAAAA", "BBBBAAAA"),
        (&[(4, "GOOD"), (4, "EVIL"), (0, "HEAD")], "HEADGOOD", "HEADEVIL"),
    ];
    for (writes, first, last) in cases {
        for (policy, expected) in [(Overlap::First, first), (Overlap::Last, last)] {
            let mut s = Stream::new(64, policy);
            for (at, data) in *writes {
                let _ = s.write(*at, data.as_bytes());
            }
            assert_eq!(s.text(), *expected, "{policy} {writes:?}");
        }
    }
}

#[test]
fn a_conflict_names_exactly_the_octets_that_differ() {
    let mut s = Stream::new(64, Overlap::First);
    let _ = s.write(0, b"abcdefgh");
    let same = s.write(2, b"cdef");
    assert_eq!((same.duplicate, same.fresh, same.conflict), (4, 0, None));
    let done = s.write(2, b"cXeYghij");
    assert_eq!(done.conflict, Some(Conflict { range: Range::new(3, 6) }));
    assert_eq!((done.duplicate, done.fresh, done.advanced), (6, 2, 2));
}

#[test]
fn a_never_read_ring_keeps_exactly_the_last_octets() {
    let mut s = Stream::new(2048, Overlap::First);
    for i in 0..10_u64 {
        let done = s.write(i * 1000, &[b'a' + i as u8; 1000]);
        assert_eq!(done.advanced, 1000);
        let head = (1000 * (i + 1)).saturating_sub(2048);
        assert_eq!(s.window.head(&s.frags), Offset(head));
        assert_eq!(s.text().len() as u64, 1000 * (i + 1) - head, "a full ring is read in full");
    }
}

#[test]
fn a_segment_larger_than_the_ring_leaves_its_last_octets() {
    let mut s = Stream::new(8, Overlap::First);
    let done = s.write(0, b"0123456789abcdef");
    assert_eq!((done.advanced, done.fresh, done.overrun), (16, 8, 8));
    assert_eq!(s.text(), "89abcdef");
}

#[test]
fn what_lies_beyond_the_window_is_cut_and_said() {
    let mut s = Stream::new(16, Overlap::First);
    let _ = s.write(0, b"ab");
    let done = s.write(10, b"0123456789");
    assert_eq!((done.fresh, done.refused, done.refusal), (8, 2, Some(Refusal::BeyondWindow)));
    let done = s.write(u64::MAX - 3, b"0123456789");
    assert_eq!((done.fresh, done.refusal), (0, Some(Refusal::BeyondWindow)));
    assert_eq!(s.text(), "01234567", "the old octets made room");
}

#[test]
fn a_full_fragment_list_refuses_and_the_next_in_order_octets_still_enter() {
    let mut s = Stream::new(64, Overlap::First);
    for i in 1..=4 {
        let _ = s.write(i * 10, b"x");
    }
    let done = s.write(55, b"y");
    assert_eq!((done.refused, done.refusal), (1, Some(Refusal::TooManyRanges)));
    assert_eq!(s.write(0, b"012").advanced, 3, "they need no range of their own");
    assert_eq!(s.write(3, b"3456789").advanced, 8);
}

#[test]
fn a_skipped_gap_leaves_both_parts_readable_by_offset() {
    let mut s = Stream::new(64, Overlap::First);
    let _ = s.write(0, b"before");
    let _ = s.write(10, b"after");
    assert_eq!(s.skip(u64::MAX), Some(Range::new(6, 10)));
    assert_eq!(s.window.next(), Offset(15));
    assert_eq!(s.window.next_for(&s.frags, Offset(2)), Next::Data(Range::new(2, 6)));
    assert_eq!(s.window.next_for(&s.frags, Offset(6)), Next::Lost(Range::new(6, 10)));
    assert_eq!(s.window.next_for(&s.frags, Offset(10)), Next::Data(Range::new(10, 15)));
    let late = s.write(6, b"late");
    assert_eq!((late.fresh, late.advanced), (4, 0), "late octets are kept but not in order any more");
    assert_eq!(s.text(), "beforelateafter");
    assert_eq!(
        s.skip(u64::MAX - 1),
        Some(Range::new(15, u64::MAX - 1)),
        "an acknowledged tail is a gap, too"
    );
    assert_eq!(s.text(), "");
}

#[test]
fn edges_of_the_number_space_are_outcomes_not_panics() {
    for cap in [0, 1, 8] {
        for at in [0, 1, 7, u64::MAX - 1, u64::MAX] {
            for len in [0, 1, 3, 40] {
                let mut s = Stream::new(cap, Overlap::Last);
                let data = std::vec![1; len];
                let done = s.write(at, &data);
                let sum = done.fresh + done.duplicate + done.stale + done.refused;
                assert!(sum <= len as u64, "{cap} {at} {len} {done:?}");
                let _ = s.skip(at);
                let _ = s.write(at, &data);
                let _ = s.window.lookup(&s.frags, Offset(at));
                s.window.check(&s.frags);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]
    #[test]
    fn windows_over_both_stores_behave_like_the_model(ops in prop::collection::vec(any::<u8>(), 1..300)) {
        crate::model::run(&ops);
    }
}

#[test]
fn an_octet_can_be_taken_out_of_the_run() {
    let mut frags = FragList::<2>::new();
    let mut store = Flat::new([0_u8; 16]);
    let mut window = Window::new(16);
    let _ = window.write(&mut frags, &mut store, Overlap::First, Offset(0), b"abXcd");
    assert_eq!(window.exclude(&mut frags, &mut store, Offset(5)), None, "not there yet");
    assert_eq!(window.exclude(&mut frags, &mut store, Offset(2)), Some(0));
    assert_eq!(window.exclude(&mut frags, &mut store, Offset(2)), None, "no longer there");
    let ranges = |w: &Window, f: &FragList<2>| w.ranges(f).collect::<Vec<_>>();
    assert_eq!(ranges(&window, &frags), [Range::new(0, 2), Range::new(3, 5)]);
    assert_eq!(window.next_for(&frags, Offset(2)), Next::Lost(Range::new(2, 3)));
    assert_eq!(window.next(), Offset(5));
    // First, last and only octet of a run; when the list is full the oldest past range goes, and that is told.
    let _ = window.write(&mut frags, &mut store, Overlap::First, Offset(5), b"e");
    for (at, lost, expected) in [
        (5, 0, vec![Range::new(0, 2), Range::new(3, 5)]),
        (6, 0, vec![Range::new(0, 2), Range::new(3, 5)]),
        (8, 2, vec![Range::new(3, 5), Range::new(7, 8)]),
    ] {
        let next = window.next();
        let data = &b"xyz"[..usize::try_from(at + 1 - next.0).unwrap()];
        let _ = window.write(&mut frags, &mut store, Overlap::First, next, data);
        assert_eq!(window.exclude(&mut frags, &mut store, Offset(at)), Some(lost));
        assert_eq!((ranges(&window, &frags), window.next()), (expected, Offset(at + 1)), "{at}");
    }
}

#[test]
fn what_is_unread_makes_no_room_for_holes() {
    let mut frags = FragList::<2>::new();
    let (mut store, mut window) = (Flat::new([0_u8; 64]), Window::new(64));
    for at in [30, 40] {
        let _ = window.write(&mut frags, &mut store, Overlap::First, Offset(at), b"early");
    }
    let _ = window.write(&mut frags, &mut store, Overlap::First, Offset(0), b"abXcd");
    assert_eq!(window.exclude(&mut frags, &mut store, Offset(2)), Some(5), "the furthest one");
    let ranges = |w: &Window, f: &FragList<2>| w.ranges(f).collect::<Vec<_>>();
    assert_eq!(ranges(&window, &frags), [Range::new(0, 2), Range::new(3, 5), Range::new(30, 35)]);

    // Without a list nothing can be taken out, and nothing is lost.
    let (mut none, mut window) = (FragList::<0>::new(), Window::new(64));
    let _ = window.write(&mut none, &mut store, Overlap::First, Offset(0), b"abXcd");
    assert_eq!(window.exclude(&mut none, &mut store, Offset(2)), None);
    assert_eq!(window.run(), Range::new(0, 5));
}

proptest! {
    /// The usual way writes everything and advances over what was read; this one passes it and holds the rest.
    #[test]
    fn what_a_reader_left_where_it_lay_is_held_as_if_it_had_been_stored(
        start in 0_u64..100,
        data in prop::collection::vec(any::<u8>(), 0..30),
        read in 0_usize..40,
        more in prop::collection::vec(any::<u8>(), 0..30),
    ) {
        let read = read.min(data.len());
        let mut usual = Stream::new(64, Overlap::First);
        usual.window = usual.window.restarted_at(Offset(start));
        let _ = usual.write(start, &data);
        usual.window.advance(&mut usual.frags, &mut usual.store, Offset(start + read as u64));
        let mut lazy = Stream::new(64, Overlap::First);
        lazy.window = lazy.window.restarted_at(Offset(start + data.len() as u64));
        prop_assert_eq!(lazy.window.hold(&lazy.frags, &mut lazy.store, &data[read..]), Ok(()));
        for s in [&mut usual, &mut lazy] {
            let _ = s.write(start + data.len() as u64, &more);
        }
        prop_assert_eq!(usual.window, lazy.window);
        prop_assert_eq!(usual.text(), lazy.text());
    }
}

#[test]
fn what_was_passed_is_held_only_where_nothing_is_and_it_fits() {
    let mut s = Stream::new(8, Overlap::First);
    s.window = s.window.restarted_at(Offset(20));
    let before = s.window;
    assert_eq!(s.window.hold(&s.frags, &mut s.store, b"nine octs"), Err(NoSpace), "more than the window");
    let mut none = Flat::new([0_u8; 0]);
    assert_eq!(s.window.hold(&s.frags, &mut none, b"x"), Err(NoSpace), "no memory");
    assert_eq!(s.window, before);
    assert_eq!(s.window.hold(&s.frags, &mut s.store, b"abc"), Ok(()));
    assert_eq!((s.window.run(), s.text().as_str()), (Range::new(17, 20), "abc"));
    assert_eq!(s.window.hold(&s.frags, &mut s.store, b"abc"), Err(NoSpace), "something is held");
    let mut early = Stream::new(8, Overlap::First);
    let _ = early.write(2, b"e");
    assert_eq!(early.window.hold(&early.frags, &mut early.store, b""), Err(NoSpace), "something waits");
    let mut start = Stream::new(8, Overlap::First);
    start.window = start.window.restarted_at(Offset(2));
    assert_eq!(start.window.hold(&start.frags, &mut start.store, b"abc"), Err(NoSpace), "before the stream");
}
