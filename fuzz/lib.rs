//! Fuzz targets of the stack: each is a line over the naive model that the property tests use, too.
//!
//! `RUSTC_BOOTSTRAP=1 cargo fuzz run TARGET -- -max_total_time=60` runs one with AddressSanitizer on a stable
//! toolchain, `cargo fuzz run --sanitizer none TARGET` about ten times as fast without. `cargo test` in this folder
//! replays the committed inputs under `corpus/`, finds of the past among them.

mod abi;

/// The name of each target and what it does with an input.
pub const TARGETS: &[(&str, fn(&[u8]))] = &[
    ("abi", abi::run),
    ("capture", capture),
    ("defrag", mos_flow::model::run_defrag),
    ("engine", mos_flow::model::run),
    ("events", mos_flow::model::events::run),
    ("filter", mos_flow::model::run_filter),
    ("filter_tree", mos_flow::model::filter::run),
    ("hostile", tcp_reasm::model::hostile::run),
    ("overlap", ringbuf_core::model::policy::run),
    ("readers", mos_flow::model::readers::run),
    ("reasm", tcp_reasm::model::run),
    ("ring", ringbuf_core::model::run),
    ("script", mos_flow::model::script::run),
    ("segment", segment),
    ("shift", mos_flow::model::shift::run),
    ("table", mos_flow::model::run_table),
    ("wire", mos_flow::model::run_wire),
];

/// Runs one target.
///
/// # Panics
/// When there is no such target, or it found something.
pub fn run(name: &str, input: &[u8]) {
    match TARGETS.iter().find(|(n, _)| *n == name) {
        Some((_, target)) => target(input),
        None => panic!("no target {name}"),
    }
}

/// Any bytes as a capture file: it ends, and packets lie inside the file.
fn capture(input: &[u8]) {
    let Ok(mut reader) = mos_dpdk::capture::CaptureReader::new("fuzz".into(), input) else { return };
    let mut octets = 0;
    while let Ok(1..) =
        reader.read_burst(&mut |frames| octets += frames.iter().map(|f| f.data.len()).sum::<usize>())
    {}
    assert!(octets <= input.len());
}

/// Any bytes as a TCP segment.
fn segment(input: &[u8]) {
    let wire_len = input.len() + usize::from(input.first().copied().unwrap_or(0));
    if let Ok(s) = tcp_reasm::Segment::parse(input, wire_len) {
        assert!(s.payload.len() <= s.payload_len as usize && s.seq_len() >= s.payload_len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn committed_inputs_find_nothing() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
        let mut inputs = 0;
        for (name, target) in TARGETS {
            for entry in fs::read_dir(corpus.join(name)).unwrap() {
                target(&fs::read(entry.unwrap().path()).unwrap());
                inputs += 1;
            }
        }
        assert!(inputs >= TARGETS.len(), "every target has inputs");
    }
}
