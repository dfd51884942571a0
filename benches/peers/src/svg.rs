//! The medians as a picture: bars from zero, all on one scale, one panel for each traffic.

use crate::measure::{Result, Results};
use crate::report::is_wrong;
use crate::rows::Group;
use std::fmt::Write;

const PANEL: usize = 480;
const COLUMNS: usize = 2;
const LINE: usize = 16;
const HEAD: usize = 34;
const TOP: usize = 34;
/// Where bars begin, and their most, within a panel.
const BARS: (usize, usize) = (120, 240);

/// The picture; traffic that is only about the number of connections is left out.
pub(crate) fn draw(all: &[Results]) -> String {
    let most = all.iter().map(|results| results.rows.len()).max().unwrap_or(0);
    let panels: Vec<&Results> = all.iter().filter(|results| 2 * results.rows.len() > most).collect();
    let longest = panels.iter().flat_map(|panel| &panel.rows).map(|row| row.median).fold(1.0, f64::max);
    let height = HEAD + most * LINE;
    let (width, total) =
        (COLUMNS.min(panels.len()) * PANEL, TOP + panels.len().div_ceil(COLUMNS) * height + LINE);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{total}\" viewBox=\"0 0 {width} {total}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    legend(&mut out);
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = (i % COLUMNS * PANEL, TOP + i / COLUMNS * height);
        let title = "font-size=\"13\" font-weight=\"bold\"";
        text(&mut out, (x + BARS.0, y + 20), title, &format!("{}, nanoseconds a packet", panel.traffic));
        for (n, result) in panel.rows.iter().enumerate() {
            bar(&mut out, (x, y + HEAD + n * LINE), result, longest);
        }
    }
    out.push_str("</svg>\n");
    out
}

fn color(group: Group) -> &'static str {
    match group {
        Group::Floor => "#8a9097",
        Group::Ours => "#1f6fb4",
        Group::Peer => "#d98032",
    }
}

fn legend(out: &mut String) {
    let mut x = BARS.0;
    for (group, words) in [(Group::Floor, "floors"), (Group::Ours, "this stack"), (Group::Peer, "peers")] {
        rect(out, (x, 12), (10.0, 10), color(group));
        text(out, (x + 15, 21), "", words);
        x += 90;
    }
    text(out, (x, 21), "fill=\"#b00020\"", "wrong: octets wrong or missing");
}

fn bar(out: &mut String, (x, y): (usize, usize), result: &Result, longest: f64) {
    let len = result.median / longest * BARS.1 as f64;
    text(out, (x + BARS.0 - 6, y + 11), "text-anchor=\"end\"", result.row.name);
    rect(out, (x + BARS.0, y + 2), (len, LINE - 4), color(result.row.group));
    let behind = x + BARS.0 + len as usize + 5;
    let value = format!("{:.0}", result.median);
    text(out, (behind, y + 11), "", &value);
    if is_wrong(result) {
        text(out, (behind + 8 + 7 * value.len(), y + 11), "fill=\"#b00020\"", "wrong");
    }
}

fn rect(out: &mut String, (x, y): (usize, usize), (width, height): (f64, usize), fill: &str) {
    // Writing to a string never fails.
    let _ =
        writeln!(out, "<rect x=\"{x}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{fill}\"/>");
}

fn text(out: &mut String, (x, y): (usize, usize), how: &str, words: &str) {
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" {how}>{words}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Told;
    use crate::rows;
    use crate::sink::Outcome;

    #[test]
    fn every_row_has_a_bar_and_wrong_ones_say_so() {
        let outcome = Outcome { sent: 9, captured: 9, right: 9, wrong: 0, told_lost: 0 };
        let result = |row, right| Result {
            row,
            told: Told { peak: 0, outcome: Some(Outcome { right, ..outcome }) },
            median: 100.0,
            best: 90.0,
            wall: 0.0,
            alike: true,
        };
        let rows = rows::all().into_iter().zip([9, 8, 9]).map(|(row, right)| result(row, right)).collect();
        let results = Results {
            traffic: "bulk".into(),
            packets: 1,
            octets: 1,
            connections: 1,
            at_once: 1,
            rows,
            failed: Vec::new(),
        };
        let drawn = draw(&[results]);
        let count = |words: &str| drawn.matches(words).count();
        assert_eq!((count("width=\"240.0\""), count(">wrong<"), count(">bulk, ")), (3, 1, 1), "{drawn}");
        assert_eq!(count("<text"), count("</text>"));
    }
}
