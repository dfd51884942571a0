//! The tables.

use crate::measure::{Result, Results};
use crate::rows::{self, Group};
use std::fs;

/// How much longer the wall's clock may go on.
const APART: f64 = 0.05;

/// The machine, and what was found on it.
pub(crate) fn head(core: usize) {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = file("/proc/cpuinfo");
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    println!(
        "{}, core {core}; Linux {}; {}; {}",
        model.unwrap_or("an unknown processor"),
        file("/proc/sys/kernel/osrelease").trim(),
        env!("RUSTC_VERSION"),
        rows::versions().join(", "),
    );
}

/// All about one traffic.
pub(crate) fn table(results: &Results) {
    println!(
        "\n## {}\n\n{} packets of {} connections, at most {} at once; {} MB of frames.\n",
        results.traffic,
        results.packets,
        results.connections,
        results.at_once,
        results.octets / 1_000_000
    );
    println!("| | | ns a packet | best | memory above the capture, MB | octets |\n|---|---|--:|--:|--:|---|");
    for result in &results.rows {
        let octets = result.told.outcome.map_or_else(|| "–".to_owned(), |outcome| outcome.to_string());
        println!(
            "| `{}` | {} | {:.0} | {:.0} | {:.1} | {octets} |",
            result.row.name,
            result.row.what,
            result.median,
            result.best,
            result.told.peak as f64 / 1e6
        );
    }
    notes(results);
}

fn notes(results: &Results) {
    let apart: Vec<String> = results.rows.iter().filter(|result| result.wall > APART).map(apart).collect();
    if !apart.is_empty() {
        println!(
            "\nMore time passed than the processor spent on them, since it had to do besides: {}.",
            apart.join(", ")
        );
    }
    for result in results.rows.iter().filter(|result| !result.alike) {
        println!(
            "\n`{}` handed over other octets when it was timed than when they were checked.",
            result.row.name
        );
    }
    for (_, why) in &results.failed {
        println!("\n{why}.");
    }
}

fn apart(result: &Result) -> String {
    format!("`{}` {:+.0} %", result.row.name, 100.0 * result.wall)
}

/// Medians of all traffic side by side.
pub(crate) fn medians(all: &[Results]) {
    let traffic: Vec<&str> = all.iter().map(|results| results.traffic.as_str()).collect();
    println!("\n## Nanoseconds a packet\n\nIn brackets what got octets wrong, or left some out.\n");
    println!("| | {} |\n|---|{}", traffic.join(" | "), "--:|".repeat(traffic.len()));
    for row in rows::all() {
        let cells: Vec<String> =
            all.iter().map(|results| results.row(row.name).map_or_else(String::new, cell)).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            println!("| `{}` | {} |", row.name, cells.join(" | "));
        }
    }
}

fn cell(result: &Result) -> String {
    if is_wrong(result) { format!("({:.0})", result.median) } else { format!("{:.0}", result.median) }
}

pub(crate) fn is_wrong(result: &Result) -> bool {
    result.told.outcome.is_some_and(|outcome| !outcome.is_right())
}

/// Whether this stack got everything right, and could be measured.
pub(crate) fn is_good(all: &[Results]) -> bool {
    let ours = |result: &&Result| result.row.group == Group::Ours;
    all.iter().all(|results| {
        let right = |result: &Result| result.alike && !is_wrong(result);
        let failed = results.failed.iter().any(|(row, _)| row.group != Group::Peer);
        !failed && results.rows.iter().filter(ours).all(right)
    })
}
