//! Synthetic traffic that is written, and read again.

use super::{lines, mos, succeeds, text};
use mos_dpdk::capture::Capture;
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Makes traffic in a file, and returns what is told of it.
fn made(file: &Path, args: &[&str]) -> String {
    let file = file.to_str().unwrap();
    let all: Vec<&str> = ["gen"].into_iter().chain(args.iter().copied()).chain([file]).collect();
    text(&succeeds(&all))
}

/// Every connection is there from its SYN to its FIN, with the bytes that the plan says and no drop.
#[test]
fn generated_connections_are_what_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("short.pcap");
    let said = made(&file, &["short", "--scale", "0.001"]);
    let path = file.to_str().unwrap();
    let end = format!(" packets, 200 flows, {} stream bytes\n", 200 * (200 + 4096));
    assert!(said.starts_with(&format!("{path}: ")) && said.ends_with(&end), "{said}");

    let directions = lines(&["streams", path, "--json"]);
    assert_eq!(directions.len(), 2 * 200);
    for line in directions {
        let bytes = if line["side"] == "server" { 200 } else { 4096 };
        assert_eq!((&line["bytes"], &line["closed"]), (&bytes.into(), &"fin".into()), "{line}");
        assert_eq!(line["gaps"], Value::Array(Vec::new()), "{line}");
    }
    let told = &lines(&["replay", path, "--json"])[0];
    assert_eq!((&told["flows"], &told["drops"]), (&200.into(), &serde_json::json!({})), "{told}");
    assert!(said.contains(&format!(": {} packets", told["packets"])), "{said} {told}");
}

/// And others with another seed; the sizes are those of the options.
#[test]
fn generated_captures_follow_seed_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let mut captures = HashMap::new();
    for (name, seed) in [("a", "1"), ("b", "1"), ("c", "2")] {
        let file = dir.path().join(name);
        let said = made(&file, &["messy", "--flows", "3", "--bytes", "150000", "--seed", seed]);
        assert!(
            said.contains(" 3 flows, 900000 stream bytes, ") && said.ends_with(" not captured\n"),
            "{said}"
        );
        captures.insert(name, fs::read(&file).unwrap());
    }
    assert!(captures["a"] == captures["b"] && captures["a"] != captures["c"]);
    let piped = succeeds(&["gen", "messy", "-", "--flows", "3", "--bytes", "150000"]);
    assert!(piped == captures["a"], "the standard output has the file and nothing else");
}

/// The frames of `small`, as `mos bench` has them in memory.
#[test]
fn generated_small_frames_have_sixty_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("small.pcap");
    made(&file, &["small-1m", "--flows", "50"]);
    let (capture, damage) = Capture::load(&file).unwrap();
    assert!(damage.is_none());
    assert_eq!(capture.len(), 50 * (3 + 8));
    assert!(capture.frames_from(0).all(|frame| frame.data.len() == 60 && frame.wire_len == 60));
}

#[test]
fn traffic_that_cannot_be_made_is_one_sentence_and_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().to_str().unwrap();
    let cases: [(&[&str], &str); 4] = [
        (
            &["gen", "huge", "x.pcap"],
            "traffic is one of bulk, messy, messy0, short, small, small-1m, small-10m",
        ),
        (&["gen", "bulk", "x.pcap", "--scale", "0"], "a number above 0 is needed"),
        (&["gen", "bulk", "x.pcap", "--flows", "0"], "0 is not in 1.."),
        (&["gen", "bulk", folder], "Is a directory"),
    ];
    for (args, expected) in cases {
        let out = mos(args);
        let said = text(&out.stderr);
        assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    assert!(!Path::new("x.pcap").exists());
}
