//! The vocabulary of this crate, by exchanges made by hand: one for each kind of [`Anomaly`], and one for each
//! condition under which Zeek raises a weird of TCP or Suricata an event of its stream engine.
//!
//! A name of theirs counts as covered when what happens under its condition is told here: as a kind, or as a plain
//! fact of [`Arrival`](tcp_reasm::Arrival), [`Sent`](tcp_reasm::Sent), [`Report`](tcp_reasm::Report) or the connection.
#![allow(clippy::unwrap_used, clippy::panic)] // failing is what a test is for

mod support;

#[path = "vocabulary/heard.rs"]
mod heard;

#[path = "vocabulary/openings.rs"]
mod openings;

#[path = "vocabulary/kinds.rs"]
mod kinds;

#[path = "vocabulary/names.rs"]
mod names;

#[path = "vocabulary/zeek.rs"]
mod zeek;

#[path = "vocabulary/suricata.rs"]
mod suricata;

use heard::Told;
use names::Tool;
use std::collections::BTreeSet;
use tcp_reasm::{Anomaly, Verdict};

#[test]
fn each_kind_is_told_by_its_own_exchange_and_alone() {
    for (kind, besides, exchange) in kinds::ALL {
        let heard = exchange();
        let expected: BTreeSet<_> = besides.iter().chain([kind]).map(|a| a.symbol()).collect();
        let told: BTreeSet<_> = heard.anomalies().map(Anomaly::symbol).collect();
        assert_eq!(told, expected, "{kind:?}");
        if matches!(heard.verdict, Some(Verdict::Refuse(_))) {
            assert!(heard.unchanged, "{kind:?} is refused, and yet something moved");
        }
    }
}

#[test]
fn every_kind_has_one_exchange() {
    let symbols = |kinds: &mut dyn Iterator<Item = Anomaly>| {
        let mut symbols: Vec<_> = kinds.map(Anomaly::symbol).collect();
        symbols.sort_unstable();
        symbols
    };
    let expected = symbols(&mut Anomaly::ALL.iter().copied());
    assert_eq!(symbols(&mut kinds::ALL.iter().map(|(kind, ..)| *kind)), expected);
}

#[test]
fn what_hosts_do_every_day_is_not_odd() {
    for (i, heard) in kinds::ordinary().iter().enumerate() {
        assert!(heard.verdict.is_some_and(Verdict::is_accept), "{i}: {heard:?}");
        assert_eq!(heard.anomalies().next(), None, "{i}");
    }
}

#[test]
fn whether_a_timestamp_was_asked_for_is_seen_in_the_syn_that_is_answered() {
    for (first, second, unexpected) in [(None, Some(1), false), (Some(1), None, true)] {
        let told = kinds::answer_with_timestamp(first, second);
        assert_eq!(told.anomalies().any(|a| a == Anomaly::TimestampUnexpected), unexpected, "{told:?}");
    }
}

#[test]
fn what_zeek_calls_weird_is_told() {
    check(&zeek::TOOL);
}

#[test]
fn what_suricata_alerts_on_is_told() {
    check(&suricata::TOOL);
}

/// Plays every exchange of a tool. Each segment in question must tell something that the entry claims, and no kind
/// beyond that; each thing claimed must be told.
fn check(tool: &Tool) {
    let mut names = BTreeSet::new();
    for entry in tool.told {
        let heard = (entry.exchange)();
        let about = entry.names.join(", ");
        for (i, heard) in heard.iter().enumerate() {
            assert!(heard.facts.iter().any(|fact| entry.told.contains(fact)), "{about}, {i}: {heard:?}");
            let unclaimed = heard.anomalies().find(|a| !entry.told.contains(&Told::Kind(*a)));
            assert_eq!(unclaimed, None, "{about}, {i}: not claimed");
        }
        for claim in entry.told {
            assert!(heard.iter().any(|heard| heard.facts.contains(claim)), "{about}: {claim} is not told");
        }
        for name in entry.names {
            println!("{:<44} {}", format!("{} {name}", tool.name), entry.claims());
            assert!(names.insert(*name), "{name} twice");
        }
    }
    for (names_left, reason) in tool.left {
        for name in *names_left {
            println!("{:<44} - ({reason})", format!("{} {name}", tool.name));
            assert!(names.insert(*name), "{name} twice");
        }
    }
    assert_eq!(names.len(), tool.count);
}
