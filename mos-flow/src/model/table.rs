//! A hash table against a map, from a script of bytes.

use crate::memory::{Heap, Reserved};
use crate::table::{Bucket, Table, TableFull};
use std::collections::{BTreeMap, BTreeSet};

/// Entries of a bucket.
const BUCKET: usize = 10;

/// What is in the table: the hash under which each index is.
type Model = BTreeMap<u32, u64>;

/// Hashes that choose few buckets and have few tags, so that they collide: as a whole, or in one of the two.
fn hash(bucket: u8, tag: u8) -> u64 {
    u64::from(bucket) << 56 | u64::from(tag % 8)
}

/// Runs a script against the model.
///
/// # Panics
/// When they disagree.
pub fn run(input: &[u8]) {
    let Some((&[setup], ops)) = input.split_first_chunk::<1>() else { return };
    let buckets = usize::from(setup % 12) + 1;
    let mut table = Table::<Heap>::new(Reserved::filled(Bucket::EMPTY, buckets));
    let mut model = Model::new();
    for &[what, index, bucket, tag] in ops.as_chunks::<4>().0 {
        let (index, hash) = (u32::from(index), hash(bucket, tag));
        let held = model.get(&index).copied();
        match (what % 4, held) {
            (0..=2, None) => insert(&mut table, &mut model, hash, index),
            (_, Some(held)) => {
                assert!(table.remove(held, index), "what is there comes out");
                model.remove(&index);
            }
            _ => assert!(!table.remove(hash, index), "what is not there does not"),
        }
        compare(&table, &model, hash);
    }
    for (index, hash) in model {
        assert!(table.remove(hash, index));
    }
    assert_eq!(table.check(), 0, "nothing is left");
}

fn insert(table: &mut Table<Heap>, model: &mut Model, hash: u64, index: u32) {
    match table.insert(hash, index) {
        Ok(()) => drop(model.insert(index, hash)),
        Err(TableFull) => {
            assert!(model.len() >= BUCKET, "there is room");
            table.check_full(hash);
        }
    }
}

/// Everything is found, and nothing else; also when it is not there, only what is in the table is asked about.
fn compare(table: &Table<Heap>, model: &Model, other: u64) {
    assert_eq!(table.check(), model.len());
    let is_under = |index: u32, hash: u64| *model.get(&index).expect("it is in the table") == hash;
    for (&index, &hash) in model {
        assert_eq!(table.find(hash, |i| is_under(i, hash) && i == index), Some(index));
        // The bucket of an entry may be its other one, too, and is looked at twice then.
        let mut asked = BTreeSet::new();
        let nobody = table.find(hash, |i| {
            asked.extend(is_under(i, hash).then_some(i));
            false
        });
        let same = model.iter().filter(|(_, h)| **h == hash).map(|(i, _)| *i);
        assert!(nobody.is_none() && asked.into_iter().eq(same), "all under one hash are asked about");
    }
    let found = table.find(other, |i| is_under(i, other));
    assert_eq!(found.is_some(), model.values().any(|h| *h == other));
    table.prefetch(other);
    if let Some(index) = table.candidate(other) {
        let tag = |hash: u64| (hash as u16).max(1); // 0 is none
        assert_eq!(tag(model[&index]), tag(other), "a candidate has the tag");
    }
}
