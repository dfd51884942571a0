//! Which context gets which packets of captures.

use crate::support::{Link, Run, build, can_sanitize, captures, conf, recorded, skipped, workshop};
use mos_dpdk::capture::Capture;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("tests/c/input.c", Link::Shared))
}

/// A configuration for this many cores.
pub(crate) fn cores(count: u32, lines: &str) -> PathBuf {
    let name = format!("input-{count}-{}.conf", lines.len());
    let mask = (1_u64 << count) - 1;
    conf(&name, &format!("max_concurrency = 1000\nnetdev {{\n eth0 {mask}\n}}\n{lines}"))
}

/// Packets and connections of each context, as it printed them; all of its checks were good.
fn parts(printed: &str) -> Vec<[usize; 2]> {
    let (last, parts) =
        printed.lines().collect::<Vec<_>>().split_last().map(|(l, p)| (*l, p.to_vec())).unwrap();
    assert!(last.ends_with(" checks, 0 failures"), "{printed}");
    let number = |word: &str| word.split(' ').next().unwrap().parse::<usize>().unwrap();
    let part = |line: &str| {
        let (packets, connections) = line.split_once(", ").unwrap();
        [number(packets), number(connections)]
    };
    parts.into_iter().map(part).collect()
}

fn sum(parts: &[[usize; 2]]) -> [usize; 2] {
    parts.iter().fold([0; 2], |sum, part| [sum[0] + part[0], sum[1] + part[1]])
}

/// IP packets of a capture, by their Ethernet types, and its connections, by their first SYNs.
fn whole(capture: &str) -> [usize; 2] {
    let (capture, _) = Capture::load(&recorded(capture)).unwrap();
    let frames = capture.frames_from(0).map(|f| f.data);
    let ip: Vec<&[u8]> = frames.filter(|f| [[0x08, 0x00], [0x86, 0xdd]].contains(&[f[12], f[13]])).collect();
    let mut syns: Vec<&[u8]> = Vec::new();
    for frame in &ip {
        // Addresses and ports, of packets with no options.
        let (protocol, ends, tcp) = if frame[12] == 8 { (23, 26, 34) } else { (20, 22, 54) };
        let tuple = &frame[ends..tcp + 4];
        if frame[protocol] == 6 && frame[tcp + 13] & 0x12 == 2 && !syns.contains(&tuple) {
            syns.push(tuple);
        }
    }
    [ip.len(), syns.len()]
}

#[test]
fn contexts_share_captures_by_the_hash_of_cards() {
    for capture in ["short4.pcap", "short6.pcap"] {
        let whole = whole(capture);
        assert_eq!(whole[1], 60, "{capture}");
        for (what, count) in [("spread", 1), ("spread", 2), ("spread", 3), ("unjoined", 4), ("threads", 4)] {
            let run = Run::new(program(), Some(&recorded(capture))).arg(what).arg(cores(count, ""));
            let parts = parts(&run.arg(whole[0].to_string()).output());
            assert_eq!(parts.len(), count as usize);
            assert_eq!(sum(&parts), whole, "{capture} {what} {count}: {parts:?}");
            assert!(parts.iter().all(|part| part[1] > 0), "{capture} {what}: {parts:?}");
        }
    }
}

#[test]
fn contexts_that_are_not_made_take_nothing() {
    let whole = whole("short4.pcap");
    let run = |what: &str, argument: &str| {
        let run = Run::new(program(), Some(&recorded("short4.pcap"))).arg(what).arg(cores(4, ""));
        parts(&run.arg(argument).output())
    };
    assert_eq!(run("some", "2"), [whole], "alone");
    let two = run("some", "31");
    assert_eq!((two.len(), sum(&two)), (2, whole), "{two:?}");
    assert!(two.iter().all(|part| part[1] > 0), "{two:?}");
    let lowered = run("lowered", "2");
    assert_eq!((lowered.len(), sum(&lowered)), (2, whole));
    assert_eq!(two, lowered, "by the order of cores");
}

#[test]
fn a_context_that_comes_late_gets_nothing_and_a_later_one_everything() {
    let [packets, _] = whole("short4.pcap");
    let run = Run::new(program(), Some(&recorded("short4.pcap"))).arg("late").arg(cores(2, ""));
    let printed = run.output();
    let lines: Vec<&str> = printed.lines().collect();
    let all = format!("{packets} packets");
    assert!(matches!(lines[..], [one, two, _] if one == all && two == all), "{printed}");
    assert!(printed.ends_with(" checks, 0 failures\n"), "{printed}");
}

#[test]
fn fragments_come_to_their_connection() {
    let (connections, octets) = captures::FRAGMENTED;
    for count in [1, 3] {
        let run = Run::new(program(), Some(&captures::fragmented())).arg("octets").arg(cores(count, ""));
        let printed = run.output();
        assert!(printed.starts_with(&format!("{connections} connections, {octets} octets\n")), "{printed}");
        assert!(printed.ends_with(" checks, 0 failures\n"), "{printed}");
    }
}

#[test]
fn connections_are_picked_up_in_the_middle_when_the_configuration_says_so() {
    let run = |what: &str, lines: &str| {
        Run::new(program(), Some(&captures::begun())).arg(what).arg(cores(1, lines)).output()
    };
    assert_eq!(parts(&run("spread", "")), [[7, 0]]);
    assert_eq!(parts(&run("spread", "midstream = 0")), [[7, 0]]);
    assert_eq!(parts(&run("spread", "midstream=1")), [[7, 1]]);
    let printed = run("octets", "midstream=1");
    assert!(printed.starts_with("1 connections, 70 octets\n"), "{printed}");
    assert!(printed.ends_with(" checks, 0 failures\n"), "{printed}");
}

#[test]
fn what_was_not_captured_is_told_as_lost_when_the_configuration_says_so() {
    let run = |lines: &str| {
        Run::new(program(), Some(&captures::holed())).arg("octets").arg(cores(1, lines)).output()
    };
    let (strict, lossy) = (run(""), run("lossy = 1"));
    assert!(
        !strict.contains("70 octets"),
        "a host would not take an acknowledgement of the unsent: {strict}"
    );
    assert!(lossy.starts_with("1 connections, 70 octets, 20 lost\n"), "{lossy}");
    assert!(lossy.ends_with(" checks, 0 failures\n"), "{lossy}");
}

#[test]
fn contexts_with_captures_of_their_own_share_nothing() {
    let run = Run::new(program(), Some(&recorded("short4.pcap"))).arg("apart").arg(cores(2, ""));
    let printed = run.arg(format!("pcap:{}", recorded("web4.pcap").display())).output();
    assert_eq!(parts(&printed), [whole("short4.pcap"), whole("web4.pcap")]);
}

#[test]
fn time_goes_on_for_every_context_alike() {
    // One connection: all contexts but one have no packets at all.
    let printed =
        Run::new(program(), Some(&recorded("lossy.pcap"))).arg("timers").arg(cores(3, "")).arg("15");
    let printed = printed.output();
    assert!(printed.ends_with(" checks, 0 failures\n"), "{printed}");
    assert_eq!(printed.lines().filter(|l| l.starts_with("0: ")).count(), 2, "{printed}");
}

/// Time and octets of the frames of a capture.
fn frames(path: &Path) -> Vec<(u64, Vec<u8>)> {
    let (capture, error) = Capture::load(path).unwrap();
    assert!(error.is_none(), "{error:?}");
    capture.frames_from(0).map(|f| (f.time.0, f.data.to_vec())).collect()
}

#[test]
fn each_core_writes_what_it_forwards() {
    let input = recorded("short4.pcap");
    let out = workshop().join("spread.pcap");
    let lines = format!("io = pcap\npcap_in = {}\npcap_out = {}", input.display(), out.display());
    Run::new(program(), None).arg("spread").arg(cores(3, &lines)).output();
    let outputs = ["", ".1", ".2"].map(|end| frames(&workshop().join(format!("spread.pcap{end}"))));
    assert!(outputs.iter().all(|o| !o.is_empty()));
    let (mut all, mut expected) = (outputs.concat(), frames(&input));
    all.sort();
    expected.sort();
    assert!(all == expected, "every frame once, also those that are not IP");
    let other = |frame: &&(u64, Vec<u8>)| frame.1[12..14] != [8, 0];
    let others = expected.iter().filter(other).count();
    assert_eq!(outputs[0].iter().filter(other).count(), others, "those belong to the first");
    assert!(others > 0);
}

#[test]
fn captures_are_read_one_after_the_other() {
    let [four, six] = ["web4.pcap", "short6.pcap"].map(|name| (recorded(name), whole(name)));
    let out = workshop().join("several.pcap");
    let lines = format!(
        "io = pcap\npcap_in = {}\npcap_in = {}\npcap_out = {}",
        four.0.display(),
        six.0.display(),
        out.display()
    );
    for count in [1, 2] {
        let printed = Run::new(program(), None).arg("spread").arg(cores(count, &lines)).output();
        assert_eq!(sum(&parts(&printed)), sum(&[four.1, six.1]));
    }
    // With a context alone, the output has both in their order.
    Run::new(program(), None).arg("spread").arg(cores(1, &lines)).output();
    assert!(frames(&out) == [frames(&four.0), frames(&six.0)].concat());
}

#[test]
fn nothing_is_read_or_written_beyond_its_end_by_several_contexts() {
    if !can_sanitize() {
        return skipped("several contexts were not run under AddressSanitizer: the C compiler has none");
    }
    let program = build("tests/c/input.c", Link::Sanitized);
    let run = Run::new(&program, Some(&recorded("short4.pcap"))).arg("threads").arg(cores(4, ""));
    assert_eq!(sum(&parts(&run.output())), whole("short4.pcap"));
}

#[test]
fn what_cannot_be_opened_is_told() {
    Run::new(program(), None).arg("refused").arg(cores(1, "")).checks(20);
}
