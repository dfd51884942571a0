//! What two and three threads can do to the structures of `sync`, in all orders of their steps that loom knows; in the
//! larger models with a bounded number of preemptions. (Loom lets a relaxed load see any older store that coherence
//! permits, but none that is still to come. Only the queue both loads and stores on either side, and there each load
//! that decides is an Acquire.)
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p ringbuf-core --test loom --target-dir target/loom`
//!
//! A model is small on purpose: two slots, two words, one or two operations a thread. `tests/threads.rs` is the
//! counterpart with real threads and real sizes.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

use loom::thread;
use ringbuf_core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use ringbuf_core::sync::hint::spin_loop;
use ringbuf_core::sync::seqlock::SeqLock;
use ringbuf_core::sync::spsc::{Consumer, PopError, Producer, PushError, Slot, Spsc};
use ringbuf_core::sync::view::{Miss, Region, SharedRing, View};
use ringbuf_core::{Absent, Offset, Overlap, Range};

/// Runs `scenario` in all orders.
fn model(scenario: impl Fn() + Send + Sync + 'static) {
    loom::model::Builder::new().check(scenario);
}

/// Runs `scenario` in most orders with at most `preemptions` switches away from a thread that could go on: for those
/// that would take minutes otherwise. Loom skips some orders within the bound, too, so `model` is worth some seconds.
fn bounded(preemptions: usize, scenario: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(scenario);
}

/// Loom has no scoped threads: what they share lives for ever.
fn leak<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

mod spsc {
    use super::*;

    type Ends = (Producer<'static, u32>, Consumer<'static, u32>);

    fn queue(slots: usize) -> Ends {
        leak(Spsc::new((0..slots).map(|_| Slot::new()).collect::<Vec<_>>())).split()
    }

    fn push(producer: &mut Producer<'_, u32>, value: u32) {
        while let Err(refused) = producer.push(value) {
            assert_eq!(refused, PushError::Full(value));
            spin_loop();
        }
    }

    /// Everything until the producer has closed.
    fn pop_all(mut consumer: Consumer<'_, u32>) -> Vec<u32> {
        let mut values = Vec::new();
        loop {
            match consumer.pop() {
                Ok(value) => values.push(value),
                Err(PopError::Empty) => spin_loop(),
                Err(_) => return values,
            }
        }
    }

    #[test]
    fn values_arrive_in_order_around_the_ring() {
        bounded(3, || {
            let (mut producer, consumer) = queue(2);
            let pushing = thread::spawn(move || (0..5).for_each(|value| push(&mut producer, value)));
            assert_eq!(pop_all(consumer), [0, 1, 2, 3, 4]);
            pushing.join().unwrap();
        });
    }

    #[test]
    fn nothing_that_was_pushed_before_the_close_is_lost() {
        model(|| {
            let (mut producer, consumer) = queue(2);
            let pushing = thread::spawn(move || {
                producer.push(1).unwrap();
                producer.push(2).unwrap();
                producer.close();
            });
            assert_eq!(pop_all(consumer), [1, 2]);
            pushing.join().unwrap();
        });
    }

    #[test]
    fn the_producer_learns_that_the_consumer_closed_and_what_it_left() {
        model(|| {
            let (mut producer, mut consumer) = queue(2);
            let popping = thread::spawn(move || u32::from(consumer.pop() == Ok(0)));
            let mut accepted = 0;
            loop {
                match producer.push(accepted) {
                    Ok(()) => accepted += 1,
                    Err(PushError::Closed(value)) => break assert_eq!(value, accepted),
                    Err(_) => spin_loop(),
                }
            }
            // Before the other thread is joined: the figure must be final by the flag alone.
            let left = producer.pending();
            assert_eq!(accepted as usize, popping.join().unwrap() as usize + left);
        });
    }

    #[test]
    fn slices_arrive_whole_and_in_order() {
        model(|| {
            let (mut producer, mut consumer) = queue(2);
            let pushing = thread::spawn(move || {
                let mut rest = &[1, 2, 3, 4, 5][..];
                while !rest.is_empty() {
                    match producer.push_slice(rest).unwrap() {
                        0 => spin_loop(),
                        n => rest = &rest[n..],
                    }
                }
            });
            let (mut values, mut out) = (Vec::<u32>::new(), [0; 2]);
            loop {
                match consumer.pop_slice(&mut out) {
                    Ok(n) => values.extend(&out[..n]),
                    Err(PopError::Empty) => spin_loop(),
                    Err(_) => break,
                }
            }
            assert_eq!(values, [1, 2, 3, 4, 5]);
            pushing.join().unwrap();
        });
    }
}

mod seqlock {
    use super::*;

    #[test]
    fn a_reader_gets_whole_values_that_do_not_go_back() {
        bounded(3, || {
            let (mut writer, reader) = leak(SeqLock::new([0, 0])).split();
            let writing = thread::spawn(move || (1..3).for_each(|n| writer.write([n, n])));
            let mut newest = 0;
            for _ in 0..2 {
                if let Some([a, b]) = reader.try_read() {
                    assert_eq!(a, b, "torn");
                    assert!(a >= newest, "went back");
                    newest = a;
                }
            }
            writing.join().unwrap();
            assert_eq!(reader.read(), [2, 2]);
        });
    }

    #[test]
    fn two_readers_get_whole_values() {
        bounded(2, || {
            let (mut writer, reader) = leak(SeqLock::new([0, 0])).split();
            let whole = move || {
                if let Some([a, b]) = reader.try_read() {
                    assert_eq!(a, b, "torn");
                }
            };
            let readers = [thread::spawn(whole), thread::spawn(whole)];
            writer.write([1, 1]);
            for thread in readers {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn a_spinning_reader_gets_a_whole_value() {
        model(|| {
            let (mut writer, reader) = leak(SeqLock::new([0, 0])).split();
            let writing = thread::spawn(move || (1..3).for_each(|n| writer.write([n, n])));
            let [a, b] = reader.read();
            assert_eq!(a, b, "torn");
            writing.join().unwrap();
        });
    }

    /// What was written before the value is visible to who has read the value.
    #[test]
    fn a_value_brings_what_was_written_before_it() {
        model(|| {
            let (mut writer, reader) = leak(SeqLock::new([0])).split();
            let flag: &'static AtomicBool = leak(AtomicBool::new(false));
            let writing = thread::spawn(move || {
                flag.store(true, Ordering::Relaxed);
                writer.write([1]);
            });
            if reader.try_read() == Some([1]) {
                assert!(flag.load(Ordering::Relaxed));
            }
            writing.join().unwrap();
        });
    }
}

mod view {
    use super::*;

    type Ring = SharedRing<'static, 1>;

    /// Sixteen octets in two words.
    fn ring(policy: Overlap) -> (Ring, View<'static, 1>) {
        let words = vec![AtomicU64::new(0), AtomicU64::new(0)];
        let ring = leak(Region::new(words)).open(policy);
        let view = ring.view();
        (ring, view)
    }

    /// The octet at an offset: never 0, and another one for each place and generation.
    fn octet(generation: u8, offset: u64) -> u8 {
        1 + 100 * generation + offset as u8
    }

    fn write(ring: &mut Ring, generation: u8, range: Range) {
        let data: Vec<u8> = (range.start.0..range.end.0).map(|o| octet(generation, o)).collect();
        let _ = ring.write(range.start, &data);
    }

    /// Peeks `len` octets and checks that they are those of one generation. Returns it and how many they are.
    fn peek(view: View<'_, 1>, offset: u64, len: usize) -> Result<(u8, usize), Miss> {
        let mut buf = [0; 16];
        let got = view.ppeek(Offset(offset), &mut buf[..len])?;
        let generation = u8::from(buf[0] > 100);
        let expected: Vec<u8> = (offset..).take(got).map(|o| octet(generation, o)).collect();
        assert_eq!(buf[..got], expected, "torn");
        Ok((generation, got))
    }

    #[test]
    fn a_reader_beside_an_overwriting_writer_gets_octets_or_an_overrun() {
        model(|| {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(0, 16));
            let writing = thread::spawn(move || write(&mut ring, 0, Range::new(16, 24)));
            match peek(view, 0, 16) {
                Ok((0, 16)) | Err(Miss::Changed) => {}
                Err(Miss::Absent(Absent::Overrun { head })) => assert_eq!(head, Offset(8)),
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
            assert_eq!(peek(view, 0, 16), Err(Miss::Absent(Absent::Overrun { head: Offset(8) })));
            assert_eq!(peek(view, 8, 16), Ok((0, 16)));
        });
    }

    /// Octets that share a word with what is overwritten stay readable, and are never seen as anything else.
    #[test]
    fn an_overwrite_that_ends_within_a_word_spares_the_rest_of_it() {
        bounded(3, || {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(0, 16));
            let writing = thread::spawn(move || {
                write(&mut ring, 0, Range::new(16, 19));
                write(&mut ring, 0, Range::new(19, 21));
            });
            match peek(view, 5, 6) {
                Ok((0, 6)) | Err(Miss::Changed) => {}
                other => panic!("{other:?}"),
            }
            match peek(view, 4, 4) {
                Ok((0, 4)) | Err(Miss::Changed | Miss::Absent(Absent::Overrun { .. })) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
        });
    }

    #[test]
    fn two_readers_beside_an_overwriting_writer() {
        bounded(2, || {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(0, 16));
            let reading = [0, 8].map(|offset| {
                thread::spawn(move || match peek(view, offset, 8) {
                    Ok((0, 8)) | Err(Miss::Changed) => {}
                    Err(Miss::Absent(Absent::Overrun { .. })) => assert_eq!(offset, 0),
                    other => panic!("{other:?}"),
                })
            });
            write(&mut ring, 0, Range::new(16, 24));
            for thread in reading {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn a_reader_sees_appended_octets_once_they_are_there() {
        model(|| {
            let (mut ring, view) = ring(Overlap::First);
            let writing = thread::spawn(move || {
                write(&mut ring, 0, Range::new(0, 12));
                write(&mut ring, 0, Range::new(12, 16));
            });
            match peek(view, 4, 12) {
                Ok((0, 8 | 12)) | Err(Miss::Absent(Absent::Beyond) | Miss::Changed) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
        });
    }

    #[test]
    fn a_reader_sees_early_octets_once_they_are_there() {
        model(|| {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(4, 8));
            let writing = thread::spawn(move || write(&mut ring, 0, Range::new(8, 16)));
            match peek(view, 4, 16) {
                Ok((0, 4 | 12)) | Err(Miss::Changed) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
            assert_eq!(peek(view, 4, 16), Ok((0, 12)));
        });
    }

    /// One range takes the place of another in the index: half of each would cover the hole between them.
    #[test]
    fn ranges_are_seen_whole() {
        model(|| {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(4, 8));
            ring.skip(Offset(4));
            let writing = thread::spawn(move || write(&mut ring, 0, Range::new(12, 16)));
            match peek(view, 9, 7) {
                Err(Miss::Absent(Absent::Beyond) | Miss::Changed) => {}
                Err(miss) => assert_eq!(miss, Miss::Absent(Absent::Hole(Range::new(9, 12)))),
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
            assert_eq!(peek(view, 12, 16), Ok((0, 4)));
        });
    }

    #[test]
    fn what_was_discarded_is_not_read_again() {
        bounded(3, || {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(0, 16));
            let told: &'static AtomicBool = leak(AtomicBool::new(false));
            let writing = thread::spawn(move || {
                ring.advance(Offset(8));
                // Release: partner of the Acquire below.
                told.store(true, Ordering::Release);
                write(&mut ring, 0, Range::new(16, 24));
            });
            // Acquire: partner of the Release above.
            let gone = told.load(Ordering::Acquire);
            match peek(view, 0, 8) {
                Ok((0, 8)) => assert!(!gone, "read what was discarded before"),
                Err(Miss::Changed | Miss::Absent(Absent::Overrun { .. })) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
            assert_eq!(peek(view, 0, 8), Err(Miss::Absent(Absent::Overrun { head: Offset(8) })));
        });
    }

    #[test]
    fn a_rewrite_in_place_is_seen_whole_or_not_at_all() {
        model(|| {
            let (mut ring, view) = ring(Overlap::Last);
            write(&mut ring, 0, Range::new(0, 16));
            let writing = thread::spawn(move || write(&mut ring, 1, Range::new(0, 16)));
            match peek(view, 0, 16) {
                Ok((_, 16)) | Err(Miss::Changed) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
            assert_eq!(peek(view, 0, 16), Ok((1, 16)));
        });
    }

    /// The same above a hole: what counts is the top of the stream, not the end of its in-order part.
    #[test]
    fn a_rewrite_of_early_octets_is_seen_whole_or_not_at_all() {
        bounded(3, || {
            let (mut ring, view) = ring(Overlap::Last);
            write(&mut ring, 0, Range::new(4, 12));
            let writing = thread::spawn(move || write(&mut ring, 1, Range::new(4, 12)));
            match peek(view, 4, 16) {
                Ok((_, 8)) | Err(Miss::Changed) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
            assert_eq!(peek(view, 4, 16), Ok((1, 8)));
        });
    }

    /// Two rewrites: a reader that begins after the first must see all of it.
    #[test]
    fn rewrites_do_not_go_back() {
        bounded(2, || {
            let (mut ring, view) = ring(Overlap::Last);
            let fill = |ring: &mut Ring, octet| {
                let _ = ring.write(Offset(0), &[octet; 16]);
            };
            fill(&mut ring, 1);
            let writing = thread::spawn(move || (2..4).for_each(|octet| fill(&mut ring, octet)));
            let mut newest = 1;
            for _ in 0..2 {
                let mut buf = [0; 16];
                match view.ppeek(Offset(0), &mut buf) {
                    Ok(n) => {
                        assert_eq!((n, buf), (16, [buf[0]; 16]), "torn");
                        assert!(buf[0] >= newest, "went back");
                        newest = buf[0];
                    }
                    Err(miss) => assert_eq!(miss, Miss::Changed),
                }
            }
            writing.join().unwrap();
        });
    }

    #[test]
    fn a_hole_is_a_hole_until_it_is_filled() {
        bounded(2, || {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(0, 4));
            write(&mut ring, 0, Range::new(12, 16));
            let writing = thread::spawn(move || write(&mut ring, 0, Range::new(4, 12)));
            match peek(view, 4, 12) {
                Ok((0, 12)) | Err(Miss::Changed) => {}
                Err(miss) => assert_eq!(miss, Miss::Absent(Absent::Hole(Range::new(4, 12)))),
                other => panic!("{other:?}"),
            }
            match peek(view, 12, 4) {
                Ok((0, 4)) | Err(Miss::Changed) => {}
                other => panic!("{other:?}"),
            }
            writing.join().unwrap();
        });
    }

    #[test]
    fn the_state_is_that_of_one_moment() {
        model(|| {
            let (mut ring, view) = ring(Overlap::First);
            write(&mut ring, 0, Range::new(0, 16));
            let writing = thread::spawn(move || {
                write(&mut ring, 0, Range::new(16, 20));
                write(&mut ring, 0, Range::new(20, 24));
            });
            let state = view.state();
            assert!(matches!((state.head.0, state.next.0), (0, 16) | (4, 20) | (8, 24)), "{state:?}");
            assert_eq!(state.top, state.next);
            writing.join().unwrap();
        });
    }
}
