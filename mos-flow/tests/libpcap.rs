//! Filters against libpcap's own compiler: `tcpdump` says which frames of a capture an expression selects, unoptimised
//! (`-O`), as its optimiser may drop a load whose failing would refuse the packet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "libpcap/tcpdump.rs"]
mod tcpdump;

#[path = "libpcap/names.rs"]
mod names;

#[path = "libpcap/verdicts.rs"]
mod verdicts;

use mos_flow::filter::Filter;
use mos_flow::model::filter::{Dialect, Link, Source, frame, tree};
use mos_flow::wire::{Family, parse};
use mos_flow::{Frame, Instant, LinkType};
use std::fmt::Write;
use tcpdump::Tcpdump;

/// xorshift64: the same octets in every run.
struct Octets(u64);

impl Octets {
    fn take(&mut self, n: usize) -> Vec<u8> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 32) as u8
        };
        (0..n).map(|_| next()).collect()
    }
}

fn generated_frames(n: usize) -> Vec<(Vec<u8>, u32)> {
    let mut octets = Octets(0x9e37_79b9_7f4a_7c15);
    let frames = |_| {
        let octets = octets.take(400);
        frame(&mut Source::new(&octets), Link::Ethernet)
    };
    (0..n).map(frames).collect()
}

/// Which frames our filter selects.
fn selected(expression: &str, frames: &[(Vec<u8>, u32)]) -> Vec<bool> {
    let filter: Filter = expression.parse().unwrap_or_else(|e| panic!("{expression}: {e}"));
    let matches = |(data, wire_len): &(Vec<u8>, u32)| {
        let frame = Frame { wire_len: *wire_len, ..Frame::ethernet(Instant(0), data) };
        filter.matches(&frame, &parse(LinkType::Ethernet, data).unwrap())
    };
    frames.iter().map(matches).collect()
}

#[test]
fn generated_expressions_select_what_they_select_in_libpcap() {
    const EXPRESSIONS: usize = 1500;
    let frames = generated_frames(320);
    let Some(tcpdump) = Tcpdump::over(&frames, "generated") else { return };
    let is_v6: Vec<_> = frames
        .iter()
        .map(|(data, _)| parse(LinkType::Ethernet, data).unwrap().family == Family::V6)
        .collect();
    let mut octets = Octets(0x0123_4567_89ab_cdef);
    let (mut verdicts, mut selecting, mut differences) = (0, 0, String::new());
    for _ in 0..EXPRESSIONS {
        let octets = octets.take(160);
        let tree = tree(&mut Source::new(&octets), Dialect::Libpcap);
        let expression = tree.to_string();
        let ours = selected(&expression, &frames);
        let theirs = tcpdump.selects(&expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
        selecting += u32::from(theirs.contains(&true) && theirs.contains(&false));
        for i in 0..frames.len() {
            // Difference 2 of the module's list: `tcp[13]` also reads from IPv6.
            if is_v6[i] && tree.reads_transport() {
                continue;
            }
            verdicts += 1;
            if ours[i] != theirs[i] {
                writeln!(differences, "`{expression}`, frame {i}: libpcap {}", theirs[i]).unwrap();
                break;
            }
        }
    }
    let wrong = differences.lines().count();
    eprintln!(
        "libpcap agrees on {} of {EXPRESSIONS} expressions over {} frames ({verdicts} verdicts; {selecting} select some \
         frames and not others); {}",
        EXPRESSIONS - wrong,
        frames.len(),
        tcpdump::version()
    );
    assert_eq!(wrong, 0, "{differences}");
    assert!(selecting > EXPRESSIONS as u32 / 2, "the expressions are about the frames");
}
