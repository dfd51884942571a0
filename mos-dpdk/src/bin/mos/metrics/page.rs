//! What is served.

use mos_dpdk::port::Statistics;
use mos_dpdk::snapshot::{Phase, Snapshot};
use mos_flow::Event;
use mos_flow::stats::Group;
use std::fmt::Write;

/// Name without its prefix and end, what it is, and where it is.
type Counter<T> = (&'static str, &'static str, fn(&T) -> u64);

const COUNTERS: [Counter<Snapshot>; 17] = [
    ("frames", "Frames that were processed.", |s| s.stats.frames),
    ("octets", "Their octets on the wire.", |s| s.stats.octets),
    ("segments", "TCP segments of tracked connections.", |s| s.stats.segments),
    ("flows", "Connections that began.", |s| s.stats.flows),
    ("flows_ended", "Connections that ended.", |s| s.stats.flows_ended),
    ("stream_octets", "Payload octets that came for the first time.", |s| s.stats.stream_octets),
    ("retransmitted_octets", "Payload octets that came again.", |s| s.stats.retransmitted_octets),
    ("zero_windows", "Segments that advertise a window of zero.", |s| s.stats.zero_windows),
    ("keep_alives", "Probes of idle connections.", |s| s.stats.keep_alives),
    ("fragments", "Fragments of IP datagrams.", |s| s.stats.fragments.fragments),
    ("datagrams", "Datagrams that were put together of fragments.", |s| s.stats.fragments.completed),
    ("handed_given", "Frames that were given to their worker by another one.", |s| s.handed.given),
    ("handed_taken", "Frames that were taken from other workers.", |s| s.handed.taken),
    ("handed_lost", "Frames that were lost on the way to their worker.", |s| s.handed.lost),
    ("handed_early", "Fragments whose first one did not come in time.", |s| s.handed.early),
    ("reclaimed_octets", "Octets for reading back that were given up early.", |s| s.stats.reclaimed_octets),
    ("passed_over", "Frames that only told the time.", |s| s.stats.passed_over),
];

const GROUPS: [(Group, &str, &str); 5] = [
    (Group::Dropped, "dropped", "Packets that were not followed, by reason."),
    (Group::Fragments, "fragments_dropped", "Fragments that were not kept, by reason."),
    (Group::Refused, "refused", "Segments that their receiver does not take, by reason."),
    (Group::Odd, "odd", "What is odd about segments that are taken, by reason."),
    (Group::Lost, "lost", "Octets, connections and time that were lost, by reason."),
];

const PORTS: [Counter<Statistics>; 4] = [
    ("port_received", "Frames that came from the interface.", |p| p.received),
    ("port_dropped", "Frames that were lost before they could be received.", |p| p.dropped),
    ("port_sent", "Frames that were handed to the interface.", |p| p.sent),
    ("port_refused", "Frames that the interface did not take.", |p| p.refused),
];

const PHASES: [(Phase, &str); 5] = [
    (Phase::Starting, "starting"),
    (Phase::Running, "running"),
    (Phase::Draining, "draining"),
    (Phase::Ended, "ended"),
    (Phase::Failed, "failed"),
];

/// The page for workers and the names of their ports.
pub(super) fn write(workers: &[Snapshot], names: &[Option<String>]) -> String {
    let mut page = Page { text: String::new(), workers };
    for (name, help, value) in COUNTERS {
        page.counter(name, help, |snapshot, sample| sample(&[], value(snapshot)));
    }
    for (group, name, help) in GROUPS {
        page.counter(name, help, |snapshot, sample| {
            let counters = snapshot.stats.counters().filter(|counter| counter.group == group);
            counters.for_each(|counter| sample(&[("reason", counter.symbol)], counter.count));
        });
    }
    page.counter("events", "Events of connections.", |snapshot, sample| {
        Event::ALL.iter().for_each(|e| sample(&[("event", e.name())], snapshot.stats.events[*e]));
    });
    for (name, help, value) in PORTS {
        page.counter(name, help, |snapshot, sample| {
            for (name, port) in names.iter().zip(&snapshot.ports) {
                if let Some(name) = name {
                    sample(&[("port", name)], value(port));
                }
            }
        });
    }
    page.gauge("connections", "Connections that are tracked.", |snapshot, sample| {
        sample(&[], snapshot.flows);
    });
    page.gauge("worker_phase", "What a worker is about: one is 1.", |snapshot, sample| {
        PHASES.iter().for_each(|(p, name)| sample(&[("phase", name)], (*p == snapshot.phase).into()));
    });
    page.text
}

/// Takes the labels of a sample and its value.
type Sample<'s> = &'s mut dyn FnMut(&[(&str, &str)], u64);

struct Page<'a> {
    text: String,
    workers: &'a [Snapshot],
}

impl Page<'_> {
    fn counter(&mut self, name: &str, help: &str, samples: impl Fn(&Snapshot, Sample<'_>)) {
        self.family(&format!("mos_{name}_total"), ("counter", help), samples);
    }

    fn gauge(&mut self, name: &str, help: &str, samples: impl Fn(&Snapshot, Sample<'_>)) {
        self.family(&format!("mos_{name}"), ("gauge", help), samples);
    }

    fn family(&mut self, name: &str, (kind, help): (&str, &str), samples: impl Fn(&Snapshot, Sample<'_>)) {
        let text = &mut self.text;
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n"); // text takes everything
        for (rank, snapshot) in self.workers.iter().enumerate() {
            samples(snapshot, &mut |labels, value| {
                let _ = write!(text, "{name}{{worker=\"{rank}\"");
                for (label, word) in labels {
                    let _ = write!(text, ",{label}=\"{}\"", escaped(word));
                }
                let _ = writeln!(text, "}} {value}");
            });
        }
    }
}

fn escaped(word: &str) -> String {
    word.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mos_flow::DropReason;
    use std::collections::{HashMap, HashSet};

    /// Samples by name and labels, after the grammar of the format: a family is its HELP, its TYPE and its samples, once.
    fn parse(page: &str) -> HashMap<(String, Vec<(String, String)>), u64> {
        let (mut samples, mut families) = (HashMap::new(), HashSet::new());
        let mut lines = page.lines().peekable();
        while let Some(help) = lines.next() {
            let (name, sentence) = help.strip_prefix("# HELP ").unwrap().split_once(' ').unwrap();
            assert!(sentence.ends_with('.') && families.insert(name), "{help}");
            let kind = lines.next().unwrap().strip_prefix(&format!("# TYPE {name} ")).unwrap();
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name} {kind}");
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (sample, value) = sample.rsplit_once(' ').unwrap();
                let (own, labels) = sample.strip_suffix('}').unwrap().split_once('{').unwrap();
                assert_eq!(own, name);
                let sample = (name.to_owned(), labels_of(labels));
                assert!(samples.insert(sample, value.parse().unwrap()).is_none(), "{labels} is there twice");
            }
        }
        samples
    }

    fn labels_of(mut text: &str) -> Vec<(String, String)> {
        let mut labels = Vec::new();
        while let Some((name, rest)) = text.split_once("=\"") {
            let name = name.trim_start_matches(',');
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !name.is_empty(), "{name}");
            let (mut value, mut letters) = (String::new(), rest.char_indices());
            let end = loop {
                match letters.next().unwrap() {
                    (at, '"') => break at + 1,
                    (_, '\\') => value.push(match letters.next().unwrap().1 {
                        'n' => '\n',
                        letter => letter,
                    }),
                    (_, letter) => value.push(letter),
                }
            };
            labels.push((name.to_owned(), value));
            text = &rest[end..];
        }
        assert_eq!(text, "");
        labels
    }

    #[test]
    fn every_counter_of_every_worker_and_port_is_in_the_format() {
        let odd = "a\\b\"c\nd";
        let mut workers = [Snapshot { phase: Phase::Running, ..Snapshot::default() }; 2];
        workers[1].stats.frames = 7;
        workers[1].stats.drops[DropReason::NotIp] = 3;
        workers[0].ports[2].received = u64::MAX;
        workers[1].phase = Phase::Failed;
        let samples = parse(&write(&workers, &[Some("eth0".to_owned()), None, Some(odd.to_owned())]));
        let value = |name: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            samples.get(&(format!("mos_{name}"), labels.collect())).copied()
        };
        let second = ("worker", "1");
        assert_eq!(value("frames_total", &[second]), Some(7));
        assert_eq!(value("dropped_total", &[second, ("reason", "not_ip")]), Some(3));
        assert_eq!(value("port_received_total", &[("worker", "0"), ("port", odd)]), Some(u64::MAX));
        assert_eq!(value("port_sent_total", &[second, ("port", "eth0")]), Some(0));
        assert_eq!(value("worker_phase", &[second, ("phase", "failed")]), Some(1));
        assert_eq!(value("worker_phase", &[second, ("phase", "running")]), Some(0));
        let counters = workers[0].stats.counters().count();
        let reasons = samples.keys().filter(|(_, labels)| labels.iter().any(|(name, _)| name == "reason"));
        assert_eq!(reasons.count(), 2 * counters);
    }
}
