//! What counts as right: what a kernel was seen to do, and what was published. `tests/kernel_fragments.rs` asks the
//! running kernel.

use super::*;
use serde_json::Value;
use std::path::Path;

/// A file of the shared oracles; `None`, and a word about it, where they are not there.
fn oracle(name: &str) -> Option<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracles").join(name);
    match std::fs::read(&path) {
        Ok(text) => Some(serde_json::from_slice(&text).unwrap()),
        Err(_) => {
            say(&format!("SKIPPED: {} is not there; its cases were not checked", path.display()));
            None
        }
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().unwrap().iter()
}

fn number(value: &Value) -> u32 {
    value.as_u64().unwrap().try_into().unwrap()
}

/// How the shapes were measured: a head of one block, the chunks, what is missing between them, and a last block; the
/// head first or before the last.
fn shape(case: &Value, head_first: bool) -> Vec<Piece> {
    let chunks: Vec<(u32, u32)> = list(case, "chunks").map(|c| (number(&c[0]), number(&c[1]))).collect();
    let piece = |(s, e): (u32, u32), name| (8 + 8 * s, 8 * (e - s) as usize, true, name);
    let mut pieces: Vec<Piece> = chunks.iter().zip('A'..).map(|(c, name)| piece(*c, name)).collect();
    let top = chunks.iter().map(|c| c.1).max().unwrap();
    let holes = (0..top).filter(|o| !chunks.iter().any(|(s, e)| (s..e).contains(&o)));
    pieces.extend(holes.map(|o| piece((o, o + 1), '.')));
    pieces.insert(if head_first { 0 } else { pieces.len() }, (0, 8, true, '^'));
    pieces.push((8 + 8 * top, 8, false, '.'));
    pieces
}

#[test]
fn linux_is_the_running_kernel() {
    let Some(shapes) = oracle("ip_frag_oracle.json") else { return };
    let (mut checked, mut differ) = (0, 0);
    for case in list(&shapes, "cases") {
        let contexts = [("v4_head_first", 0, true), ("v4_head_late", 0, false), ("v6_head_first", 1, true)];
        for (key, family, head_first) in contexts {
            let mut world = World::new(FragmentPolicy::Linux, FAMILIES[family]);
            let out = world.play(&shape(case, head_first));
            let out: Vec<String> = out.iter().map(|payload| blocks(payload)[1..].into()).collect();
            let expected: Vec<&str> = case[key].as_str().into_iter().collect();
            if out != expected {
                say(&format!("{key} {out:?} {case}"));
                differ += 1;
            }
            checked += 1;
        }
    }
    say(&format!("kernel: {} of {checked}", checked - differ));
    assert_eq!((checked, differ), (422 * 3, 0));
}

/// Novak and Sturges' seventeen fragments.
#[test]
fn the_novak_fragments_come_out_as_published() {
    let Some(novak) = oracle("ip_frag_novak.json") else { return };
    let pieces: Vec<Piece> = list(&novak, "fragments_in_order")
        .map(|f| {
            let letter = f["letter"].as_str().unwrap().chars().next().unwrap();
            (number(&f["offset"]), number(&f["len"]) as usize, number(&f["mf"]) == 1, letter)
        })
        .collect();
    let mut checked = 0;
    for (name, expected) in novak["expected"].as_object().unwrap() {
        let (family, policy) = name.split_once('_').unwrap();
        let policy = if policy == "linux" { "old-linux" } else { policy };
        let family = FAMILIES[usize::from(family == "v6")];
        let mut world = World::new(policy.parse().unwrap(), family);
        // The fragments leave a hole nowhere.
        let out: Vec<String> = world.play(&pieces).iter().map(|payload| blocks(payload)).collect();
        assert_eq!(out, [expected.as_str().unwrap()], "{name}");
        checked += 1;
    }
    say(&format!("published fragments: {checked} of 12"));
    assert_eq!(checked, 12);
}

/// How two fragments can lie to each other: the first one in blocks, the second one, and who has the shared octets: the
/// old one, the new one, or nobody because the datagram is dropped.
const PAIRS: [(&str, [u32; 2], [u32; 2], &str); 13] = [
    //                          bsd  bsd-right  first  last  linux  old-linux  solaris  windows
    ("b", [4, 8], [1, 3], "     -    -          -      -     -      -          -        -"),
    ("m", [4, 8], [1, 4], "     -    -          -      -     -      -          -        -"),
    ("o", [4, 8], [2, 6], "     N    O          O      N     X      N          O        O"),
    ("fi", [4, 8], [2, 8], "    N    N          O      N     X      N          N        O"),
    ("di", [4, 8], [2, 10], "   N    N          O      N     X      N          N        N"),
    ("s", [4, 8], [4, 6], "     O    O          O      N     O      N          O        O"),
    ("eq", [4, 8], [4, 8], "    O    N          O      N     O      N          O        O"),
    ("si", [4, 8], [4, 10], "   O    N          O      N     X      N          O        O"),
    ("d", [4, 8], [5, 7], "     O    O          O      N     O      O          O        O"),
    ("f", [4, 8], [6, 8], "     O    O          O      N     O      O          O        O"),
    ("oi", [4, 8], [6, 10], "   O    N          O      N     X      O          O        O"),
    ("mi", [4, 8], [8, 10], "   -    -          -      -     -      -          -        -"),
    ("bi", [4, 8], [9, 10], "   -    -          -      -     -      -          -        -"),
];

#[test]
fn pairs_come_out_as_in_the_published_table() {
    let mut checked = 0;
    for (relation, old, new, row) in PAIRS {
        for (policy, winner) in FragmentPolicy::ALL.iter().zip(row.split_whitespace()) {
            for family in FAMILIES {
                let mut world = World::new(*policy, family);
                let piece = |[s, e]: [u32; 2], name| (8 * s, 8 * (e - s) as usize, true, name);
                let mut pieces = vec![piece(old, 'O'), piece(new, 'N')];
                let within = |[s, e]: [u32; 2], o: u32| (s..e).contains(&o);
                let mut expected = String::new();
                for o in 0..12 {
                    expected.push_str(match (within(old, o), within(new, o)) {
                        (true, true) => winner,
                        (true, false) => "O",
                        (false, true) => "N",
                        (false, false) => ".",
                    });
                    if !within(old, o) && !within(new, o) {
                        pieces.push((8 * o, 8, o != 11, '.'));
                    }
                }
                let out: Vec<String> = world.play(&pieces).iter().map(|payload| blocks(payload)).collect();
                if winner == "X" {
                    assert_eq!(world.defrag.stats().dropped[FragmentDrop::Overlap], 1, "{policy} {relation}");
                    assert!(out.is_empty(), "{policy} {relation} {out:?}");
                } else {
                    assert_eq!(out, [expected], "{policy} {relation}");
                }
                checked += 1;
            }
        }
    }
    say(&format!("pairs: {checked} of 13 relations x 8 policies x 2 families"));
    assert_eq!(checked, 13 * 8 * 2);
}
