//! simple_firewall.c: its tables and what it forwards, against tshark's filters.

use super::{
    are_there, forwarded, fresh, from_to, micros, only, packets, sample, settings, shared, ticks, tshark,
};
use crate::support::{Run, file, recorded};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A rule, how it is printed behind its counter, and what it is in the language of tshark.
type Rule = (&'static str, &'static str, &'static str);

/// For captures between 192.0.2.1 and 192.0.2.2.
const LAB: [Rule; 4] = [
    (
        "DROP 192.0.2.0/25 192.0.2.2 sport:42001 dport:80",
        "DROP     192.0.2.0/25       192.0.2.2/32       sport:42001 dport:80    ",
        "ip.src == 192.0.2.0/25 and ip.dst == 192.0.2.2 and tcp.srcport == 42001 and tcp.dstport == 80",
    ),
    (
        "ACCEPT 192.0.2.1 192.0.2.2\tdport:80 # all others",
        "ACCEPT   192.0.2.1/32       192.0.2.2/32       dport:80    ",
        "ip.src == 192.0.2.1 and ip.dst == 192.0.2.2 and tcp.dstport == 80",
    ),
    ("DROP 192.0.2.2 0.0.0.0/0", "DROP     192.0.2.2/32       0.0.0.0/0          ", "ip.src == 192.0.2.2"),
    (
        "DROP 128.0.0.0/1 0.0.0.0/0 dport:81",
        "DROP     128.0.0.0/1        0.0.0.0/0          dport:81    ",
        "ip.src == 128.0.0.0/1 and tcp.dstport == 81",
    ),
];

/// For somebody's telephone.
const PHONE: [Rule; 5] = [
    (
        "ACCEPT 0.0.0.0/0 93.188.134.246/32",
        "ACCEPT   0.0.0.0/0          93.188.134.246/32  ",
        "ip.dst == 93.188.134.246",
    ),
    (
        "DROP 0.0.0.0/0 93.188.134.0/24",
        "DROP     0.0.0.0/0          93.188.134.0/24    ",
        "ip.dst == 93.188.134.0/24",
    ),
    (
        "DROP 192.168.1.0/24 140.205.0.0/16 dport:443",
        "DROP     192.168.1.0/24     140.205.0.0/16     dport:443   ",
        "ip.src == 192.168.1.0/24 and ip.dst == 140.205.0.0/16 and tcp.dstport == 443",
    ),
    ("DROP 10.0.0.0/8 0.0.0.0/0", "DROP     10.0.0.0/8         0.0.0.0/0          ", "ip.src == 10.0.0.0/8"),
    (
        "ACCEPT 0.0.0.0/0 0.0.0.0/0 dport:80",
        "ACCEPT   0.0.0.0/0          0.0.0.0/0          dport:80    ",
        "tcp.dstport == 80",
    ),
];

/// For a capture in which two clients repeat their SYNs.
const HANDSHAKES: [Rule; 3] = [
    (
        "DROP 192.0.2.10 198.51.100.5 sport:40003",
        "DROP     192.0.2.10/32      198.51.100.5/32    sport:40003 ",
        "ip.src == 192.0.2.10 and ip.dst == 198.51.100.5 and tcp.srcport == 40003",
    ),
    (
        "ACCEPT 192.0.2.10 0.0.0.0/0 sport:40013",
        "ACCEPT   192.0.2.10/32      0.0.0.0/0          sport:40013 ",
        "ip.src == 192.0.2.10 and tcp.srcport == 40013",
    ),
    (
        "DROP 192.0.0.0/8 198.51.100.4/30 dport:8080",
        "DROP     192.0.0.0/8        198.51.100.4/30    dport:8080  ",
        "ip.src == 192.0.0.0/8 and ip.dst == 198.51.100.4/30 and tcp.dstport == 8080",
    ),
];

/// When each packet came, and for each rule the numbers of those SYNs that it is the first to fit.
struct Truth {
    times: Vec<u64>,
    syns: Vec<Vec<usize>>,
}

fn truth(capture: &Path, rules: &[Rule]) -> Option<Truth> {
    let times = tshark(capture, "frame", &["frame.time_epoch"])?;
    let mut before = String::new();
    let mut syns = Vec::new();
    for (_, _, filter) in rules {
        let first = format!("tcp.flags.syn == 1 and tcp.flags.ack == 0 and ip and {filter}{before}");
        let numbers = tshark(capture, &first, &["frame.number"])?;
        syns.push(numbers.iter().map(|values| values[0].parse::<usize>().unwrap() - 1).collect());
        before += &format!(" and not ({filter})");
    }
    Some(Truth { times: times.iter().map(|values| micros(&values[0])).collect(), syns })
}

/// The table when `packets` of the packets have come.
fn table(truth: &Truth, rules: &[Rule], packets: usize) -> String {
    let line = "-".repeat(71);
    let mut table = format!("{line}\nFirewall rule table\n");
    table += "idx   flows   target   client             server             port\n";
    for (i, ((_, printed, _), syns)) in rules.iter().zip(&truth.syns).enumerate() {
        let flows = syns.iter().filter(|number| **number < packets).count();
        table += &format!("{:<6}{flows:<8}{printed}\n", i + 1);
    }
    table + &line + "\n"
}

fn rule_file(name: &str, rules: &[Rule]) -> PathBuf {
    let mut text = "# the first that fits decides\n\n".to_owned();
    for (rule, ..) in rules {
        text += &format!("{rule}\n");
    }
    file(name, text.trim_end().as_bytes()) // the last line without an end
}

/// Runs the firewall; what it prints and forwards must be what tshark says. Returns SYNs by rule.
fn compare(name: &str, capture: &Path, rules: &[Rule], cores: usize) -> Option<Vec<usize>> {
    let truth = truth(capture, rules)?;
    let output = fresh(&format!("firewall-{name}-{cores}.pcap"));
    let run = Run::new(&sample("simple_firewall"), None).env("MOS_IO", from_to(capture, &output));
    let run = run.env("MOS_CHECKSUM", "off").arg("-c").arg(settings("firewall"));
    let run = run.arg("-f").arg(rule_file(&format!("{name}.rules"), rules));
    let printed = run.args(["-n", &cores.to_string()]).output();
    let ticks = ticks(&truth.times, 1_000_000);
    let last = table(&truth, rules, truth.times.len());
    // Before the end one core may be ahead of the other.
    match cores {
        1 => {
            let tables = ticks.iter().map(|packets| table(&truth, rules, *packets));
            assert_eq!(printed, tables.chain([last]).collect::<String>(), "{name}");
        }
        _ => assert!(printed.ends_with(&last), "{name}: {printed}"),
    }
    let dropped = |number: &usize| {
        let first = truth.syns.iter().position(|syns| syns.contains(number));
        first.is_some_and(|rule| rules[rule].0.starts_with("DROP"))
    };
    let all = packets(capture).into_iter().enumerate();
    let mut expected: Vec<_> = all.filter(|(number, _)| !dropped(number)).map(|(_, packet)| packet).collect();
    let mut passed = forwarded(&output, cores);
    if cores > 1 {
        expected.sort();
        passed.sort();
    }
    assert!(passed == expected, "{name}: {} passed, {} should", passed.len(), expected.len());
    Some(truth.syns.iter().map(Vec::len).collect())
}

#[test]
fn the_first_rule_that_fits_decides() {
    for cores in [1, 2] {
        if !are_there(cores) {
            return;
        }
        let Some(flows) = compare("reset", &recorded("reset.pcap"), &LAB, cores) else { return };
        assert_eq!(flows, [1, 7, 0, 1]);
        let Some(flows) = compare("short4", &recorded("short4.pcap"), &LAB, cores) else { return };
        assert_eq!(flows, [0; 4]);
    }
}

#[test]
fn counters_are_printed_each_second() {
    let Some(capture) = shared("d27-weibo.pcap") else { return };
    for cores in [1, 2] {
        if !are_there(cores) {
            return;
        }
        let Some(flows) = compare("weibo", &capture, &PHONE, cores) else { return };
        assert!(flows[..3].iter().all(|n| *n > 0) && flows[3] == 0 && flows[4] > 0, "{flows:?}");
    }
}

#[test]
fn repeated_syns_count_again() {
    let Some(capture) = shared("d23-tcp_handshake_synthetic.pcap") else { return };
    let Some(syns) = only(&capture, "tcp.flags == 2", "syns.pcap") else { return };
    let Some(flows) = compare("handshakes", &syns, &HANDSHAKES, 1) else { return };
    assert_eq!(flows[..2], [2, 3]);
}

#[test]
fn a_firewall_does_not_start_with_rules_that_cannot_be_read() {
    let lines = [
        "PASS 10.0.0.0/8 10.0.0.0/8",
        "DROP 10.0.0.0/8",
        "DROP 10.0.0.0/33 10.0.0.1",
        "DROP 10.0.0.0/ 10.0.0.1",
        "DROP 10.0.0 10.0.0.1",
        "DROP 10.0.0.1 10.0.0.2 port:80",
        "DROP 10.0.0.1 10.0.0.2 dport:65536",
        "DROP 10.0.0.1 10.0.0.2 dport:x",
    ];
    let said = |name: &str, text: &str| {
        let rules = file(name, text.as_bytes());
        let mut command = Command::new(sample("simple_firewall"));
        let output = command.arg("-c").arg(settings("firewall")).arg("-f").arg(rules).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        String::from_utf8(output.stderr).unwrap()
    };
    for (i, line) in lines.iter().enumerate() {
        let said = said(&format!("bad-{i}.rules"), &format!("# a comment\n{line}\n"));
        assert!(said.contains("line 2 "), "{line}: {said}");
    }
    let many = said("many.rules", &"DROP 10.0.0.1 10.0.0.2\n".repeat(1025));
    assert!(many.contains("line 1025 "), "{many}");
}
