//! The running Linux kernel as the oracle: random exchanges with one of its sockets, over a TUN device in a network
//! namespace of their own. A monitor sees every segment, in the order in which they happened; after each of ours it
//! must say what the kernel says: the state of its end, and the octets that its application read.
//!
//! `TCP_REASM_KERNEL_EXCHANGES` and `TCP_REASM_KERNEL_SEED` choose how many and from which seed on. In every second one
//! the application reads urgent octets in their place, in the others Linux takes them out of the stream.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

mod support;

#[path = "kernel/author.rs"]
mod author;
#[path = "kernel/exchange.rs"]
mod exchange;
#[path = "kernel/host.rs"]
mod host;
#[path = "kernel/known.rs"]
mod known;
#[path = "kernel/script.rs"]
mod script;
#[path = "kernel/shrink.rs"]
mod shrink;
#[path = "kernel/wire.rs"]
mod wire;

use exchange::Net;
use script::Plan;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

const EXCHANGES: u64 = 10_000;
/// Enough differences to look at.
const ENOUGH: usize = 25;

#[test]
fn the_running_kernel_agrees() {
    if let Some(missing) = missing() {
        say(&format!("SKIPPED: {missing}; nothing was compared with the running kernel"));
        return;
    }
    let this = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(this)
        .args(["--exact", "in_a_network_namespace", "--ignored", "--nocapture"])
        .env("TCP_REASM_KERNEL_ALONE", "1")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "the kernel and the monitor differ, see above");
}

#[test]
#[ignore = "runs inside the_running_kernel_agrees, which makes a network namespace"]
fn in_a_network_namespace() {
    if std::env::var_os("TCP_REASM_KERNEL_ALONE").is_none() {
        say("SKIPPED: this test runs inside of the_running_kernel_agrees only");
        return;
    }
    let mut tally = Tally::default();
    let (first, count) = (number("SEED", 1), number("EXCHANGES", EXCHANGES));
    let (mut net, start) = (Net::new(), Instant::now());
    for seed in first..first + count {
        tally.add(&mut net, &Plan::new(seed));
    }
    tally.print(start.elapsed().as_secs_f64());
    assert!(tally.unknown.is_empty());
}

/// What a run found.
#[derive(Default)]
struct Tally {
    exchanges: usize,
    established: usize,
    segments: usize,
    octets: usize,
    /// Differences that have a reason, by the reason.
    known: BTreeMap<&'static str, usize>,
    /// Differences that did not happen again.
    fleeting: Vec<String>,
    unknown: BTreeMap<String, (usize, String)>,
}

impl Tally {
    fn add(&mut self, net: &mut Net, plan: &Plan) {
        let outcome = exchange::run(net, plan);
        self.exchanges += 1;
        self.established += usize::from(outcome.established);
        self.segments += outcome.segments;
        self.octets += outcome.octets;
        let Some(difference) = &outcome.difference else { return };
        let plan = &Plan { steps: plan.steps[..outcome.steps].to_vec(), ..plan.clone() };
        if let Some(reason) = known::known(plan, &outcome) {
            *self.known.entry(reason).or_default() += 1;
            return;
        }
        let Some((least, outcome)) = shrink::shrink(net, plan, difference) else {
            self.fleeting.push(outcome.trace);
            return;
        };
        if let Some(reason) = known::known(&least, &outcome) {
            *self.known.entry(reason).or_default() += 1;
            return;
        }
        let difference = outcome.difference.expect("it differs");
        let what = format!("{} {:?} {difference:?}", least.kernel, least.steps);
        let entry = self.unknown.entry(what).or_insert((0, format!("seed {}\n{}", plan.seed, outcome.trace)));
        entry.0 += 1;
    }

    fn print(&self, seconds: f64) {
        let mut found: Vec<_> = self.unknown.iter().collect();
        found.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (what, (count, trace)) in
            found.iter().take(usize::try_from(number("SHOW", ENOUGH as u64)).unwrap())
        {
            say(&format!("\n{count} x kernel is {what}\n{trace}"));
        }
        for trace in self.fleeting.iter().take(usize::try_from(number("FLEETING", 0)).unwrap()) {
            say(&format!("\ndid not happen again:\n{trace}"));
        }
        for (reason, count) in &self.known {
            say(&format!("known, {count} times: {reason}"));
        }
        say(&format!(
            "{} exchanges ({} established), {} segments, {} octets read, {} differences that did not happen again, \
             {} unexplained; {seconds:.1} s",
            self.exchanges,
            self.established,
            self.segments,
            self.octets,
            self.fleeting.len(),
            self.unknown.values().map(|(count, _)| count).sum::<usize>(),
        ));
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
    let text = std::env::var(format!("TCP_REASM_KERNEL_{name}"));
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}
