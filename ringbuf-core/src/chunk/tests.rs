use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec;
use std::vec::Vec;

type Pool = ChunkPool<Vec<u8>, Vec<u32>>;

fn read(pool: &mut Pool, map: &mut ChunkMap, range: Range) -> Vec<u8> {
    let store = Chunked { pool, map };
    let mut out = Vec::new();
    let mut at = range;
    while !at.is_empty() {
        let piece = store.piece(at);
        if piece.is_empty() {
            break;
        }
        out.extend_from_slice(piece);
        at.start = at.start.saturating_add(piece.len() as u64);
    }
    out
}

#[test]
fn a_segment_far_ahead_costs_one_chunk_and_its_tables() {
    let (mut pool, mut map) = (Pool::with_chunks(16), ChunkMap::new());
    let far = Offset(3 << 30);
    let mut s = Chunked { pool: &mut pool, map: &mut map };
    s.reserve(Range::at(Offset(0), 10)).unwrap();
    s.put(Offset(0), b"0123456789");
    s.reserve(Range::at(far, 4)).unwrap();
    s.put(far, b"far!");
    assert_eq!(s.map.chunks(), 2);
    assert!(s.pool.used() <= 2 + 4, "used {}", s.pool.used());
    assert_eq!(read(&mut pool, &mut map, Range::at(far, 4)), b"far!");
    assert_eq!(read(&mut pool, &mut map, Range::new(0, 10)), b"0123456789");
    let mut s = Chunked { pool: &mut pool, map: &mut map };
    s.discard_below(far);
    assert_eq!(s.map.chunks(), 1);
    s.discard_below(Offset(4 << 30));
    assert_eq!((s.map.chunks(), s.pool.used()), (0, 0));
}

#[test]
fn an_empty_pool_refuses_and_keeps_what_it_holds() {
    let (mut pool, mut map) = (Pool::with_chunks(2), ChunkMap::new());
    let mut s = Chunked { pool: &mut pool, map: &mut map };
    s.reserve(Range::new(0, 4096)).unwrap();
    s.put(Offset(0), &vec![7; 4096]);
    assert_eq!(s.reserve(Range::new(4096, 4097)), Err(NoSpace));
    assert_eq!(s.reserve(Range::at(Offset(1 << 30), 1)), Err(NoSpace), "no chunk for a table");
    assert_eq!(s.pool.used(), 2);
    s.discard_below(Offset(2048));
    s.reserve(Range::new(4096, 4097)).unwrap();
    assert_eq!(read(&mut pool, &mut map, Range::new(2048, 4096)), vec![7; 2048]);
}

#[test]
fn a_refusal_leaves_no_table_behind() {
    let (mut pool, mut map) = (Pool::with_chunks(4), ChunkMap::new());
    let mut s = Chunked { pool: &mut pool, map: &mut map };
    s.reserve(Range::at(Offset(0), 1)).unwrap();
    s.reserve(Range::at(Offset(16 << 10), 1)).unwrap();
    assert_eq!(s.pool.used(), 3, "two chunks and a table");
    // There is room for the table of this one, but not for its chunk.
    assert_eq!(s.reserve(Range::at(Offset(2 << 20), 1)), Err(NoSpace));
    assert_eq!(s.pool.used(), 3);
    s.discard_below(Offset(1 << 20));
    assert_eq!(s.pool.used(), 0);
}

#[test]
fn the_widest_span_is_the_documented_one() {
    let (mut pool, mut map) = (Pool::with_chunks(64), ChunkMap::new());
    let mut s = Chunked { pool: &mut pool, map: &mut map };
    for start in [0_u64, 1, 12345 * 2048 + 7, (1 << 40) - 1] {
        s.clear();
        s.reserve(Range::at(Offset(start), 1)).unwrap();
        s.reserve(Range::at(Offset(start + u64::from(MAX_SPAN) - 1), 1)).unwrap();
    }
    s.clear();
    assert_eq!(s.pool.used(), 0);
}

#[derive(Clone, Debug)]
enum Op {
    Write { stream: usize, ahead: u64, len: u64 },
    Discard { stream: usize, by: u64 },
    Clear { stream: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let ahead = prop_oneof![0_u64..5000, 0_u64..1 << 20, 0_u64..3 << 30];
    let by = prop_oneof![0_u64..5000, 0_u64..1 << 20, 0_u64..3 << 30];
    prop_oneof![
        8 => (0_usize..2, ahead, 1_u64..5000).prop_map(|(stream, ahead, len)| Op::Write { stream, ahead, len }),
        4 => (0_usize..2, by).prop_map(|(stream, by)| Op::Discard { stream, by }),
        1 => (0_usize..2).prop_map(|stream| Op::Clear { stream }),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_map_of_octets(ops in prop::collection::vec(op(), 1..60)) {
        let mut pool = Pool::with_chunks(40);
        let mut maps = [ChunkMap::new(), ChunkMap::new()];
        let mut models = [BTreeMap::<u64, u8>::new(), BTreeMap::new()];
        let mut heads = [0_u64; 2];
        for (n, op) in ops.into_iter().enumerate() {
            match op {
                Op::Write { stream, ahead, len } => {
                    let range = Range::at(Offset(heads[stream] + ahead), len);
                    let mut s = Chunked { pool: &mut pool, map: &mut maps[stream] };
                    let data: Vec<u8> = (0..len).map(|i| (i as u8) ^ (n as u8).wrapping_mul(37)).collect();
                    // What is added lies where nothing is.
                    let stored = match models[stream].range(range.start.0..range.end.0).next() {
                        None => s.add(range.start, &data).is_ok(),
                        Some(_) => s.reserve(range).map(|()| s.put(range.start, &data)).is_ok(),
                    };
                    if stored {
                        models[stream].extend((range.start.0..range.end.0).zip(data));
                    }
                }
                Op::Discard { stream, by } => {
                    heads[stream] += by;
                    let head = heads[stream];
                    Chunked { pool: &mut pool, map: &mut maps[stream] }.discard_below(Offset(head));
                    models[stream].retain(|&o, _| o >= head);
                }
                Op::Clear { stream } => {
                    Chunked { pool: &mut pool, map: &mut maps[stream] }.clear();
                    models[stream].clear();
                }
            }
            if maps.iter().all(|map| map.chunks() == 0) {
                prop_assert_eq!(pool.used(), 0, "no data, no table");
            }
            for (map, model) in maps.iter_mut().zip(&models) {
                for (&o, &b) in model.iter().step_by(97) {
                    prop_assert_eq!(read(&mut pool, map, Range::new(o, o + 1)), vec![b]);
                }
            }
        }
        for map in &mut maps {
            Chunked { pool: &mut pool, map }.clear();
        }
        prop_assert_eq!(pool.used(), 0, "every chunk is returned");
    }
}
