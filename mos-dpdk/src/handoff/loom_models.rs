//! Frames between two workers, in all orders.

use super::*;
use crate::rss::tests::ipv4;
use loom::thread;

const PATIENT: usize = 2;

fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PATIENT);
    builder.check(f);
}

fn frame(number: u64, data: &[u8]) -> Frame<'_> {
    Frame { link: LinkType::RawIp, ..Frame::ethernet(Instant(number), data) }
}

/// A packet of a connection of worker `rank` of two, one word long beside its header.
fn of(rank: u32) -> Vec<u8> {
    let packet = |port: u16| ipv4(17, 0, &[&port.to_be_bytes()[..], &[0, 53, 0, 8, 0, 0]].concat());
    let is_of = |p: &Vec<u8>| rss::queue(rss::hash_of_frame(&frame(0, p)).unwrap(), 2) == rank;
    (1..).map(packet).find(is_of).unwrap()
}

/// Takes until the other has closed; the numbers of what came.
fn take_all(end: &mut Handoff<'_>, packet: &[u8]) -> Vec<u64> {
    let mut numbers = Vec::new();
    while !end.is_over() {
        let taken = end.take(|frames| {
            assert!(frames.iter().all(|f| f.data == packet));
            numbers.extend(frames.iter().map(|f| f.time.0));
        });
        if taken == 0 {
            thread::yield_now();
        }
    }
    numbers
}

/// Leaks the matrix: threads of loom outlive the borrow checker's view of them.
fn ends(words: usize) -> [Handoff<'static>; 2] {
    let matrix = Box::leak(Box::new(Matrix::with_rings(2, words)));
    matrix.split().try_into().unwrap()
}

#[test]
fn frames_come_whole_and_in_order_and_none_is_lost_when_the_giver_closes() {
    let packet = of(1);
    let words = HEADER + packet.len().div_ceil(WORD);
    model(move || {
        let [mut one, mut other] = ends((2 * words).next_power_of_two());
        let (given, expected) = (packet.clone(), packet.clone());
        let giver = thread::spawn(move || {
            for number in 1..3 {
                assert_eq!(one.sort(&mut [frame(number, &given)], false), 0);
            }
            one.close();
            one.counted().given
        });
        let numbers = take_all(&mut other, &expected);
        assert_eq!((giver.join().unwrap(), numbers), (2, vec![1, 2]));
    });
}

#[test]
fn a_frame_for_one_that_ends_is_kept_given_or_left_behind_but_never_torn() {
    let packet = of(1);
    let words = HEADER + packet.len().div_ceil(WORD);
    model(move || {
        let [mut one, mut other] = ends((2 * words).next_power_of_two());
        let (given, expected) = (packet.clone(), packet.clone());
        let giver = thread::spawn(move || {
            let own = one.sort(&mut [frame(1, &given)], false) as u64;
            (own, one.counted().given)
        });
        let taken = other.take(|frames| assert!(frames.iter().all(|f| f.data == expected)));
        drop(other);
        let (kept, given) = giver.join().unwrap();
        assert_eq!(kept + given, 1);
        assert!(taken as u64 <= given);
    });
}
