//! The running Linux kernel as the oracle of [`FragmentPolicy::Linux`]: random sequences of fragments over a TUN device
//! in a network namespace of their own. After each fragment the kernel delivers what [`Defrag`] completes: the same
//! datagram, octet by octet, or none.
//!
//! `MOS_FRAGMENT_SEQUENCES` chooses how many there are of each family, and `MOS_FRAGMENT_SEED` from which seed on.
//!
//! One thing differs and is not compared: see `without_bit`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "kernel_fragments/author.rs"]
mod author;
#[path = "kernel_fragments/net.rs"]
mod net;
#[path = "kernel_fragments/script.rs"]
mod script;

use mos_flow::Instant;
use mos_flow::defrag::{Defrag, DefragArrays, DefragConfig, FragmentDrop, FragmentPolicy, Outcome};
use mos_flow::memory::Heap;
use mos_flow::wire::Family;
use net::{Delivery, Net};
use script::{Piece, Sequence};
use std::io::Write as _;
use std::process::{Command, Stdio};

const SEQUENCES: u64 = 2_000;
/// Enough differences to look at.
const ENOUGH: usize = 10;

#[test]
fn the_running_kernel_delivers_the_same_datagrams() {
    if let Some(missing) = missing() {
        say(&format!("SKIPPED: {missing}; nothing was compared with the running kernel"));
        return;
    }
    let this = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(this)
        .args(["--exact", "in_a_network_namespace", "--ignored", "--nocapture"])
        .env("MOS_FRAGMENT_ALONE", "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the kernel and the monitor differ, see above");
}

#[test]
#[ignore = "runs inside the_running_kernel_delivers_the_same_datagrams, which makes a network namespace"]
fn in_a_network_namespace() {
    if std::env::var_os("MOS_FRAGMENT_ALONE").is_none() {
        say("SKIPPED: this test runs inside of the_running_kernel_delivers_the_same_datagrams only");
        return;
    }
    let (first, count) = (number("SEED", 1), number("SEQUENCES", SEQUENCES));
    let mut bench = Bench::new();
    let mut tally = Tally::default();
    for seed in first..first + count {
        for family in [Family::V4, Family::V6] {
            tally.add(&mut bench, &Sequence::new(seed, family));
        }
    }
    say(&format!(
        "kernel: {} of {} sequences, {} datagrams delivered ({} IPv4, {} IPv6, {} IPv6 with the header), {} fragments",
        tally.sequences - tally.differences.len(),
        tally.sequences,
        tally.delivered.iter().sum::<usize>(),
        tally.delivered[0],
        tally.delivered[1],
        tally.delivered[2],
        bench.defrag.stats().fragments,
    ));
    for difference in tally.differences.iter().take(ENOUGH) {
        say(difference);
    }
    assert!(tally.differences.is_empty());
    bench.check_coverage(&tally);
}

/// The kernel and the monitor side by side.
struct Bench {
    net: Net,
    defrag: Defrag<Heap>,
    /// Sequences that were played.
    played: u32,
}

/// What a run found.
#[derive(Default)]
struct Tally {
    sequences: usize,
    /// Datagrams by the way in which they showed.
    delivered: [usize; 3],
    differences: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let config = DefragConfig { policy: FragmentPolicy::Linux, ..DefragConfig::default() };
        Bench { net: Net::new(), defrag: Defrag::new(config, DefragArrays::on_heap(&config)), played: 0 }
    }

    /// Plays the fragments; what was delivered, and the fragment upon which the two said different things.
    fn play(&mut self, pieces: &[Piece]) -> ([usize; 3], Option<String>) {
        self.played += 1;
        let mut delivered = [0; 3];
        for (i, piece) in pieces.iter().enumerate() {
            let sent = piece.sent(self.played);
            let kernel = self.net.send(&sent);
            let outcome = self.defrag.add(&sent.fragment(), sent.hash(), Instant(0));
            let datagram = self.defrag.datagram();
            let same = match kernel.as_slice() {
                [] => outcome != Outcome::Complete,
                [delivery] => outcome == Outcome::Complete && delivery.is(datagram),
                _ => false,
            };
            if !same {
                let what = format!(
                    "upon {i} the monitor says {outcome:?} {datagram:02x?}, the kernel {kernel:02x?}"
                );
                return (delivered, Some(what));
            }
            for delivery in kernel {
                delivered[match delivery {
                    Delivery::Whole(_) => 0,
                    Delivery::Payload(..) => 1,
                    Delivery::Repeated(_) => 2,
                }] += 1;
            }
        }
        (delivered, None)
    }

    /// The least of a sequence that shows a difference, and what it is. `None` when there is none.
    fn shrink(&mut self, pieces: &[Piece]) -> Option<(Vec<Piece>, String)> {
        let mut best = (pieces.to_vec(), self.play(pieces).1?);
        let mut at = 0;
        while at < best.0.len() {
            let mut less = best.0.clone();
            less.remove(at);
            match self.play(&less).1 {
                Some(what) => (best, at) = ((less, what), 0),
                None => at += 1,
            }
        }
        Some(best)
    }

    /// A run of some length has seen everything that there is to be compared.
    fn check_coverage(&self, tally: &Tally) {
        if tally.sequences < 1000 {
            return;
        }
        assert!(tally.delivered.iter().all(|n| *n > 0));
        for reason in [
            FragmentDrop::BadEnd,
            FragmentDrop::BadLength,
            FragmentDrop::Duplicate,
            FragmentDrop::Ecn,
            FragmentDrop::Empty,
            FragmentDrop::HeaderChain,
            FragmentDrop::Overlap,
            FragmentDrop::TooLarge,
        ] {
            assert!(self.defrag.stats().dropped[reason] > 0, "{}", reason.symbol());
        }
    }
}

impl Tally {
    fn add(&mut self, bench: &mut Bench, sequence: &Sequence) {
        self.sequences += 1;
        let (delivered, difference) = bench.play(&sequence.pieces);
        for (all, new) in self.delivered.iter_mut().zip(delivered) {
            *all += new;
        }
        let Some(difference) = difference else { return };
        let (least, what) = match bench.shrink(&sequence.pieces) {
            Some((least, what)) => (least, what),
            None => (sequence.pieces.clone(), format!("only once: {difference}")),
        };
        self.differences.push(format!("seed {}: {what}\n{least:#?}", sequence.seed));
    }
}

/// What this machine lacks for the test.
fn missing() -> Option<&'static str> {
    let runs = |command: &str, args: &[&str]| {
        let mut command = Command::new(command);
        let quiet = command.args(args).stdout(Stdio::null()).stderr(Stdio::null());
        quiet.status().is_ok_and(|status| status.success())
    };
    if !runs("ip", &["-V"]) {
        Some("the command ip is not there")
    } else if !runs("unshare", &["--net", "--", "true"]) {
        Some("a network namespace cannot be made (that takes root and unshare)")
    } else if !std::path::Path::new("/dev/net/tun").exists() {
        Some("/dev/net/tun is not there")
    } else {
        None
    }
}

fn number(name: &str, default: u64) -> u64 {
    let text = std::env::var(format!("MOS_FRAGMENT_{name}"));
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
