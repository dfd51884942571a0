//! What this stack wants to reach: ratios within one run.

use crate::measure::{Result, Results};
use crate::rows::Group;

/// Times of a row over those of another one, at most, by traffic.
struct Target {
    what: &'static str,
    row: &'static str,
    over: &'static str,
    most: &'static [(&'static str, f64)],
}

const TARGETS: [Target; 4] = [
    Target {
        what: "every octet lent, and all kept",
        row: "slice",
        over: "lookup-copy",
        most: &[("bulk", 1.25), ("messy0", 1.5), ("messy", 1.6), ("short", 1.8), ("small", 2.2)],
    },
    Target {
        what: "every octet lent, and kept until read",
        row: "unread",
        over: "parse",
        most: &[("bulk", 1.4), ("messy0", 1.7)],
    },
    Target {
        what: "the same beside what keeps nothing",
        row: "unread",
        over: "protolens",
        most: &[("bulk", 1.0), ("messy0", 1.0), ("messy", 1.0), ("short", 1.0), ("small", 1.0)],
    },
    Target { what: "states alone", row: "flows", over: "lookup", most: &[("small", 1.8)] },
];

/// Ten million connections beside ten thousand.
const SIZES: (&str, &str, f64) = ("small-10m", "small", 2.0);
/// Memory beside that of the leanest peer that is right, at most.
const MEMORY: ([&str; 2], f64) = (["short", "small"], 0.5);

/// This stack's readers, with all octets kept and with those that are unread.
const READERS: [&str; 2] = ["slice", "unread"];

struct Line {
    what: String,
    traffic: String,
    ratio: f64,
    most: f64,
}

/// What was measured beside what is wanted; what was not measured is left out.
fn lines(all: &[Results]) -> Vec<Line> {
    let mut lines = Vec::new();
    let on = |traffic: &str| all.iter().find(|results| results.traffic == traffic);
    for target in &TARGETS {
        for (traffic, most) in target.most {
            let Some(results) = on(traffic) else { continue };
            if let Some((row, over)) = results.row(target.row).zip(results.row(target.over)) {
                let what = format!("{}: `{}` / `{}`", target.what, target.row, target.over);
                lines.push(Line {
                    what,
                    traffic: (*traffic).to_owned(),
                    ratio: row.median / over.median,
                    most: *most,
                });
            }
        }
    }
    let (large, usual, most) = SIZES;
    let flows = |traffic| on(traffic).and_then(|results| results.row("flows"));
    if let Some((large_one, usual_one)) = flows(large).zip(flows(usual)) {
        let what = format!("states alone: `flows` on {large} / on {usual}");
        lines.push(Line {
            what,
            traffic: large.to_owned(),
            ratio: large_one.median / usual_one.median,
            most,
        });
    }
    for row in READERS {
        lines.extend(all.iter().filter_map(|results| ahead(results, row)));
        lines.extend(MEMORY.0.iter().filter_map(|traffic| lean(on(traffic)?, row)));
    }
    lines
}

fn readers(results: &Results) -> impl Iterator<Item = &Result> {
    results.rows.iter().filter(|result| result.row.group == Group::Peer && result.row.reads)
}

/// Of all peers, right or wrong.
fn ahead(results: &Results, row: &str) -> Option<Line> {
    let ours = results.row(row)?;
    let fastest = readers(results).min_by(|a, b| a.median.total_cmp(&b.median))?;
    let what = format!("ahead of every peer: `{row}` / `{}`, the fastest", fastest.row.name);
    Some(Line { what, traffic: results.traffic.clone(), ratio: ours.median / fastest.median, most: 1.0 })
}

fn lean(results: &Results, row: &str) -> Option<Line> {
    let ours = results.row(row)?;
    let right = |result: &&Result| result.told.outcome.is_some_and(|outcome| outcome.is_right());
    let leanest = readers(results).filter(right).min_by_key(|result| result.told.peak)?;
    let what = format!("memory: `{row}` / `{}`, the leanest that is right", leanest.row.name);
    let ratio = ours.told.peak as f64 / leanest.told.peak.max(1) as f64;
    Some(Line { what, traffic: results.traffic.clone(), ratio, most: MEMORY.1 })
}

pub(crate) fn print(all: &[Results]) {
    let lines = lines(all);
    if lines.is_empty() {
        return;
    }
    println!("\n## Targets\n\n| | traffic | ratio | at most | |\n|---|---|--:|--:|---|");
    for Line { what, traffic, ratio, most } in lines {
        let kept = if ratio <= most { "kept" } else { "missed" };
        println!("| {what} | {traffic} | {ratio:.2} | {most:.2} | {kept} |");
    }
}
