//! What kills the original, survived.

use super::Runner;
use super::support::captures::{self, rows};
use super::support::{Link, Run, build, conf};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

const STREAMS: &str = "tests/c/idioms.c";
const LIFE: &str = "tests/c/idioms_life.c";

/// A part of a program over a capture, which makes at least so many checks.
type Part = (&'static str, &'static str, fn() -> PathBuf, u32);

const PARTS: [Part; 23] = [
    (STREAMS, "loop", captures::ppeek, 50),
    (STREAMS, "once", captures::ppeek, 200),
    (STREAMS, "hole", captures::ppeek, 10),
    (STREAMS, "single", rows::single, 8),
    (STREAMS, "full", captures::ppeek, 200),
    (STREAMS, "overlap", captures::disputed, 40),
    (STREAMS, "jumbo", captures::fixed, 10),
    (STREAMS, "timer", captures::ppeek, 80),
    (STREAMS, "ranges", captures::ppeek, 20),
    (STREAMS, "crooked", rows::crooked, 2000),
    (LIFE, "wrong", captures::talk, 5000),
    (LIFE, "first", captures::talk, 80),
    (LIFE, "templates", captures::talk, 15),
    (LIFE, "same_burst", rows::brief, 30),
    (LIFE, "both_ends", rows::brief, 200),
    (LIFE, "silent", rows::silent, 30),
    (LIFE, "destroy_alive", captures::twins, 500),
    (LIFE, "one_sided", rows::one_sided, 10),
    (LIFE, "two_monitors", captures::mixed, 5),
    (LIFE, "flood", rows::syns, 5),
    (LIFE, "repeated", rows::again, 5),
    (LIFE, "scopes", rows::twice, 15),
    (LIFE, "recycled", rows::many, 1000),
];

fn run_part(program: &Path, part: &Part, run: Runner) {
    let (_, name, capture, least) = part;
    let conf = conf("idioms.conf", "max_concurrency = 64");
    let run = run(program, Some(&capture())).arg(name).arg(conf);
    // Broken packets are to come further than their checksums.
    let run = if *name == "crooked" { run.env("MOS_CHECKSUM", "off") } else { run };
    run.checks(*least);
}

/// All of them, for programs that watch memory.
pub(crate) fn careful(link: Link, run: Runner) {
    for source in [STREAMS, LIFE] {
        let program = build(source, link);
        PARTS.iter().filter(|part| part.0 == source).for_each(|part| run_part(&program, part, run));
    }
}

fn parts(names: &[&str]) {
    static PROGRAMS: [OnceLock<PathBuf>; 2] = [const { OnceLock::new() }; 2];
    for name in names {
        let all: Vec<&Part> = PARTS.iter().filter(|part| part.1 == *name).collect();
        assert!(!all.is_empty(), "{name}");
        for part in all {
            let program = PROGRAMS[usize::from(part.0 == LIFE)].get_or_init(|| build(part.0, Link::Shared));
            run_part(program, part, Run::new);
        }
    }
}

#[test]
fn octets_are_read_without_a_look_at_what_is_there() {
    parts(&["loop", "once", "hole", "single"]);
}

#[test]
fn full_rings_are_read_as_a_whole() {
    parts(&["full", "ranges"]);
}

#[test]
fn octets_that_come_twice_are_never_copied_from_elsewhere() {
    parts(&["overlap"]);
}

#[test]
fn packets_are_long_or_gone_or_broken() {
    parts(&["jumbo", "timer", "crooked"]);
}

#[test]
fn sides_and_descriptors_are_wrong() {
    parts(&["wrong", "templates"]);
}

#[test]
fn the_first_callback_does_everything() {
    parts(&["first"]);
}

#[test]
fn both_sides_are_there_to_the_end() {
    parts(&["same_burst", "both_ends", "silent", "destroy_alive"]);
}

#[test]
fn connections_are_watched_by_whom_they_should() {
    parts(&["one_sided", "two_monitors", "flood", "repeated", "scopes", "recycled"]);
}
