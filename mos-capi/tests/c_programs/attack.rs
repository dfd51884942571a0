//! Programs that do what nobody expects, and hear nothing of it.

use super::Runner;
use super::support::captures::{self, rows};
use super::support::{Link, Run, build, build_with, can_sanitize, conf, library_dir, skipped, workshop};
use mos_dpdk::capture::Capture;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn run(program: &Path, part: &str, capture: &Path) -> Run {
    let conf = conf("attack.conf", "max_concurrency = 64");
    Run::new(program, Some(capture)).arg(part).arg(conf)
}

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("tests/c/attack.c", Link::Shared))
}

fn attack(part: &str, capture: &Path, least: u32) {
    run(program(), part, capture).silent_checks(least);
}

#[test]
fn callbacks_saw_off_what_they_sit_on() {
    attack("saws", &rows::twice(), 200);
    attack("filters", &captures::ppeek(), 300);
}

#[test]
fn callbacks_destroy_and_make_contexts() {
    attack("replaces", &captures::ppeek(), 15);
}

/// Runs a part with an output. Returns what was read and what was written.
fn with_output(part: &str, least: u32, core: &str) -> [Vec<Vec<u8>>; 2] {
    let (input, output) = (captures::ppeek(), workshop().join(format!("attack-{part}.pcap")));
    let mut io = std::ffi::OsString::from("pcap:");
    io.push(&input);
    io.push(",");
    io.push(&output);
    let conf = conf("attack.conf", "max_concurrency = 64");
    Run::new(program(), None).env("MOS_IO", io).arg(part).arg(conf).silent_checks(least);
    [input, PathBuf::from(format!("{}{core}", output.display()))].map(|path| {
        let (capture, error) = Capture::load(&path).unwrap();
        assert!(error.is_none(), "{error:?}");
        capture.frames_from(0).map(|frame| frame.data.to_vec()).collect()
    })
}

#[test]
fn one_context_at_a_time_writes_the_output() {
    let [read, written] = with_output("replaces", 10, ".1");
    assert_eq!(written, read);
}

#[test]
fn a_child_writes_nothing_of_its_parents() {
    let [read, written] = with_output("returns", 6, "");
    assert_eq!(written, read);
}

#[test]
fn threads_do_everything_while_one_destroys() {
    attack("storms", &captures::dense(), 3000);
}

#[test]
fn handlers_destroy_at_any_moment() {
    attack("alarmed", &captures::dense(), 800);
}

#[test]
fn children_have_no_contexts() {
    attack("forks", &captures::ppeek(), 100);
}

#[test]
fn programs_end_while_contexts_run() {
    attack("leaves", &captures::ppeek(), 5);
    attack("leaves_in_callback", &captures::ppeek(), 3);
}

#[test]
fn without_descriptors_there_is_no_context() {
    attack("poor", &captures::ppeek(), 100);
}

#[test]
fn the_library_is_loaded_and_unloaded() {
    // Without the library: all that the program has of it is what it loads.
    let program = build_with(Path::new("tests/c/dlopen.c"), Link::Shared, |command| {
        command.arg("-Wl,--as-needed");
    });
    let conf = conf("attack.conf", "max_concurrency = 64");
    let run = Run::new(&program, Some(&captures::ppeek())).arg(conf).arg(library_dir().join("libmos.so"));
    run.silent_checks(60);
}

/// What callbacks do, for programs that watch memory.
pub(crate) fn careful(link: Link, run: Runner) {
    let (program, conf) = (build("tests/c/attack.c", link), conf("attack.conf", "max_concurrency = 64"));
    let parts = [("saws", rows::twice()), ("filters", captures::ppeek()), ("replaces", captures::ppeek())];
    for (part, capture) in parts {
        run(&program, Some(&capture)).arg(part).arg(&conf).checks(10);
    }
}

#[test]
fn memory_is_watched_under_attack() {
    if !can_sanitize() {
        return skipped("nothing was attacked under AddressSanitizer: the C compiler has none");
    }
    let program = build("tests/c/attack.c", Link::Sanitized);
    let parts = [("storms", captures::dense()), ("alarmed", captures::dense()), ("poor", captures::ppeek())];
    for (part, capture) in parts {
        run(&program, part, &capture).silent_checks(10);
    }
}
