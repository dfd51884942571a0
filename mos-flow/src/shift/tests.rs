use super::*;
use crate::model;
use proptest::prelude::*;

fn inserted(at: i64, inserted: u16, anchor: Anchor) -> Change {
    Change { at, removed: 0, inserted, anchor }
}

fn removed(at: i64, removed: u16) -> Change {
    Change { at, removed, inserted: 0, anchor: Anchor::Following }
}

fn map(changes: &[Change], forwarded: i64) -> ShiftMap {
    let mut map = ShiftMap::new(0);
    for change in changes {
        map.change(*change).unwrap();
    }
    map.on_forwarded(forwarded);
    map
}

/// The drawing of the module: `abcdefghij` becomes `abXYZcdghij`.
#[test]
fn the_drawing() {
    let map = map(&[inserted(2, 3, Anchor::Following), removed(4, 2)], 10);
    assert_eq!(map.to_receiver(0..2), 0..2);
    assert_eq!(map.to_receiver(2..3), 2..6, "c carries XYZ");
    assert_eq!(map.to_receiver(4..6), 7..7, "ef are gone");
    assert_eq!(map.to_receiver(6..10), 7..11);
    let pieces: std::vec::Vec<Piece> = map.pieces(0..10).collect();
    assert_eq!(pieces, [Piece::Kept(0..2), Piece::Inserted(2..5), Piece::Kept(2..4), Piece::Kept(6..10)]);
}

#[test]
fn an_octet_is_acknowledged_with_all_that_it_carries() {
    let following = map(&[inserted(2, 3, Anchor::Following)], 4);
    let acks =
        |map: &ShiftMap| (0..8).map(|position| map.ack_to_sender(position)).collect::<std::vec::Vec<_>>();
    assert_eq!(acks(&following), [0, 1, 2, 2, 2, 2, 3, 4]);
    let preceding = map(&[inserted(2, 3, Anchor::Preceding)], 4);
    assert_eq!(acks(&preceding), [0, 1, 1, 1, 1, 2, 3, 4]);
}

#[test]
fn removed_octets_are_acknowledged_with_what_precedes_them() {
    let mut map = map(&[removed(2, 3)], 8);
    assert_eq!((map.ack_to_sender(1), map.ack_to_sender(2), map.ack_to_sender(3)), (1, 5, 6));
    map.on_acknowledged(2);
    assert_eq!((map.pending(), map.ack_to_sender(2)), (0, 5));
}

/// An octet that was removed, or that carries what was acknowledged, and carries what was not, is still to be repeated.
#[test]
fn what_carries_more_is_not_forgotten() {
    let mut map = map(&[removed(2, 1), inserted(3, 1, Anchor::Preceding)], 4);
    map.on_acknowledged(2);
    assert_eq!((map.pending(), map.ack_to_sender(2)), (2, 2));
    assert!(map.floor() <= 2, "the sender repeats octet 2");
    let pieces: std::vec::Vec<Piece> = map.pieces(2..4).collect();
    assert_eq!(pieces, [Piece::Inserted(2..3), Piece::Kept(3..4)]);
    map.on_acknowledged(3);
    assert_eq!((map.pending(), map.floor(), map.ack_to_sender(3)), (0, 3, 3));

    let mut map = self::map(&[inserted(3, 1, Anchor::Preceding), inserted(3, 1, Anchor::Preceding)], 4);
    map.on_acknowledged(4);
    assert_eq!((map.pending(), map.ack_to_sender(4)), (2, 2));
    assert!(map.floor() <= 2, "the sender repeats octet 2");
    map.on_acknowledged(5);
    assert_eq!((map.pending(), map.floor(), map.ack_to_sender(5)), (0, 3, 3));
}

/// The last octets of a word that becomes another one do not come alone.
#[test]
fn a_replacement_is_carried_by_one_of_the_octets_replaced() {
    let change = Change { at: 2, removed: 3, inserted: 2, anchor: Anchor::Following };
    let first = map(&[change], 8);
    assert_eq!((first.to_receiver(2..3), first.to_receiver(3..5)), (2..4, 4..4));
    assert_eq!((first.ack_to_sender(3), first.ack_to_sender(4)), (2, 5));
    let last = map(&[Change { anchor: Anchor::Preceding, ..change }], 8);
    assert_eq!((last.to_receiver(2..4), last.to_receiver(4..5)), (2..2, 2..4));
    assert_eq!((last.ack_to_sender(3), last.ack_to_sender(4)), (4, 5));
}

#[test]
fn a_block_claims_no_octet_whose_companions_are_missing() {
    let map = map(&[inserted(2, 3, Anchor::Following), removed(4, 2)], 10);
    assert_eq!(map.sack_to_sender(4..8), Some(3..7), "XY of XYZ are missing");
    assert_eq!(map.sack_to_sender(3..5), None);
    assert_eq!(map.sack_to_sender(7..9), Some(4..8), "nothing of the removed ones can be missing");
    assert_eq!(map.sack_to_sender(7..7), None);
}

/// A segment may be repeated from below what was forgotten on: its upper part is where it was.
#[test]
fn what_is_acknowledged_is_forgotten() {
    let mut map =
        map(&[inserted(2, 3, Anchor::Following), removed(4, 2), inserted(9, 1, Anchor::Preceding)], 10);
    map.on_acknowledged(4);
    assert_eq!(map.pending(), 3, "not all of XYZ");
    map.on_acknowledged(5);
    assert_eq!((map.pending(), map.to_receiver(2..4)), (2, 5..7), "c goes without XYZ");
    assert_eq!(map.floor(), 2);
    map.on_acknowledged(7);
    assert_eq!((map.pending(), map.floor(), map.to_receiver(6..8)), (1, 6, 7..9));
    map.on_acknowledged(11);
    assert_eq!((map.pending(), map.to_receiver(8..10), map.is_identity()), (0, 10..12, false));
}

#[test]
fn changes_come_in_order_and_before_what_they_change() {
    let mut map = map(&[], 4);
    assert_eq!(map.change(removed(3, 2)), Err(ShiftError::AlreadySent));
    assert_eq!(
        map.change(inserted(4, 1, Anchor::Preceding)),
        Err(ShiftError::AlreadySent),
        "3 would carry it"
    );
    assert_eq!(map.change(inserted(4, 1, Anchor::Following)), Ok(()));
    assert_eq!(map.change(inserted(4, 1, Anchor::Following)), Ok(()), "behind the one before");
    assert_eq!(map.change(removed(6, 2)), Ok(()));
    assert_eq!(map.change(removed(7, 2)), Err(ShiftError::OutOfOrder));
    assert_eq!(map.change(inserted(8, 1, Anchor::Following)), Ok(()));
    assert_eq!(map.change(inserted(8, 1, Anchor::Preceding)), Err(ShiftError::OutOfOrder));
    assert_eq!(map.change(removed(9, 0)), Ok(()), "no change at all");
    assert_eq!(map.pending(), 4);
    map.abandon();
    assert_eq!((map.pending(), map.is_identity()), (0, true));
}

/// It may be the answer to a segment that has nothing to do with them.
#[test]
fn an_acknowledgement_does_not_forget_changes_that_are_not_forwarded() {
    let mut map = map(&[], 4);
    map.change(removed(4, 2)).unwrap();
    map.on_acknowledged(4);
    assert_eq!(map.pending(), 1);
    map.abandon();
    assert!(map.is_identity());
}

#[test]
fn the_list_of_changes_has_an_end() {
    let mut map = ShiftMap::new(0);
    let most = MAX_CHANGES as i64;
    for at in 0..most {
        map.change(inserted(at, 1, Anchor::Following)).unwrap();
    }
    assert_eq!(map.change(removed(most, 1)), Err(ShiftError::Full));
    map.on_forwarded(most);
    map.on_acknowledged(1);
    assert_eq!(map.change(removed(most, 1)), Ok(()), "one is acknowledged");
}

/// The receiver says nothing to a segment that came out empty. What it said before counts.
#[test]
fn removed_octets_behind_an_acknowledgement_are_forgotten_at_once() {
    let mut map = map(&[], 4);
    map.on_acknowledged(4);
    for at in 4..100 {
        map.change(removed(at, 1)).unwrap();
        map.on_forwarded(at + 1);
        assert_eq!((map.pending(), map.floor(), map.ack_to_sender(4)), (0, at + 1, at + 1));
    }
}

#[test]
fn the_ends_of_the_numbers_are_no_danger() {
    for at in [i64::MIN, -1, i64::MAX - 3, i64::MAX] {
        for anchor in [Anchor::Following, Anchor::Preceding] {
            let mut map = ShiftMap::new(i64::MIN);
            let _ = map.change(Change { at, removed: u16::MAX, inserted: u16::MAX, anchor });
            for position in [i64::MIN, 0, i64::MAX] {
                let _ = (map.ack_to_sender(position), map.to_receiver(position..i64::MAX));
                let _ = (map.sack_to_sender(position..i64::MAX), map.pieces(position..i64::MAX).count());
                map.on_forwarded(position);
                map.on_acknowledged(position);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn both_ends_stay_in_step_whatever_is_changed_and_lost(
        script in prop::collection::vec(any::<u8>(), 0..800)
    ) {
        model::shift::run(&script);
    }
}
