//! C programs against the headers and the library: what they compile to, and what they find when they run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "c_programs/attack.rs"]
mod attack;
#[path = "c_programs/idioms.rs"]
mod idioms;
#[path = "c_programs/input.rs"]
mod input;
#[path = "c_programs/live.rs"]
mod live;
#[path = "c_programs/packets.rs"]
mod packets;
mod support;

use mos_dpdk::capture::{Capture, CaptureWriter};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use support::{
    Link, Run, build, build_file, can_sanitize, captures, conf, file, is_installed, package, recorded,
    skipped, workshop,
};

#[test]
fn layouts_and_prototypes_are_those_of_the_original() {
    for link in [Link::Shared, Link::Static] {
        Run::new(&build("tests/c/layout.c", link), None).output();
        Run::new(&build("tests/c/layout_ext.c", link), None).output();
    }
}

#[test]
fn ppeek_does_what_its_page_says() {
    let program = build("tests/c/ppeek.c", Link::Shared);
    let conf = conf("ppeek.conf", "max_concurrency = 64\ntcp_timeout = -1");
    Run::new(&program, Some(&captures::ppeek())).arg(conf).checks(300);
}

#[test]
fn nothing_that_is_wrong_crashes() {
    let program = build("tests/c/misuse.c", Link::Shared);
    let conf = conf("misuse.conf", "max_concurrency = 64");
    Run::new(&program, Some(&captures::ppeek())).arg(conf).checks(5000);
}

#[test]
fn sockets_answer_and_obey() {
    let program = build("tests/c/options.c", Link::Shared);
    let conf = conf("options.conf", "max_concurrency = 64");
    Run::new(&program, None).arg(conf).arg(captures::mixed()).arg(captures::ppeek()).checks(200);
}

#[test]
fn events_of_the_program_happen_in_their_order() {
    events(Link::Shared, Run::new, MANY_EVENTS);
}

/// ext.c over its captures.
fn beyond_the_original(link: Link, run: Runner) {
    let conf = conf("ext.conf", "max_concurrency = 64");
    let captures = [captures::ppeek(), captures::gap(), captures::disputed(), captures::mixed()];
    run(&build("tests/c/ext.c", link), None).arg(conf).args(captures).checks(1000);
}

#[test]
fn what_the_original_does_not_have() {
    beyond_the_original(Link::Shared, Run::new);
}

/// What ext_send.c writes besides the packets that are forwarded, in order.
fn made(what: &str) -> Vec<Vec<u8>> {
    let program = build("tests/c/ext_send.c", Link::Shared);
    let (input, output) = (captures::ppeek(), format!("made-{what}.pcap"));
    let io = format!("pcap:{},{output}", input.display());
    let conf = conf("made.conf", "max_concurrency = 64");
    Run::new(&program, None).env("MOS_IO", io).arg(what).arg(conf).checks(10);
    let frames = |path: &Path| -> Vec<Vec<u8>> {
        let (capture, error) = Capture::load(path).unwrap();
        assert!(error.is_none());
        capture.frames_from(0).map(|frame| frame.data.to_vec()).collect()
    };
    let (came, mut went) = (frames(&input), frames(&workshop().join(output)));
    let mut came = came.into_iter().peekable();
    went.retain(|frame| came.next_if_eq(frame).is_none());
    assert_eq!(came.next(), None, "all is forwarded, in order");
    went
}

#[test]
fn programs_send_packets_of_their_own() {
    let made = made("send");
    let is_ours = |frame: &&Vec<u8>| frame[12..14] == [0x88, 0xb5];
    let who: String = made.iter().filter(is_ours).map(|frame| char::from(frame[14])).collect();
    assert_eq!(who.replace('f', ""), "mcrt");
    assert!(who.len() > 200);
    let whole = made.iter().filter(is_ours).filter(|frame| frame[14] != b'f');
    assert!(whole.clone().count() == 4 && whole.into_iter().all(|frame| frame.len() == 60));
    // The packet without a link header came to one.
    let ip: Vec<&Vec<u8>> = made.iter().filter(|frame| !is_ours(frame)).collect();
    assert_eq!(ip.len(), 1);
    assert!(ip[0][12..15] == [8, 0, 0x45] && ip[0][34] == b'I', "{ip:?}");
}

#[test]
fn a_reset_goes_to_both_ends() {
    let made = made("reset");
    let (client, server) = ([10, 0, 0, 1, 10, 0, 0, 2], [10, 0, 0, 2, 10, 0, 0, 1]);
    let mut ways: Vec<&[u8]> = made.iter().map(|frame| &frame[26..34]).collect();
    ways.sort_unstable();
    ways.dedup();
    assert_eq!(ways, [client, server]);
    assert!(made.iter().all(|frame| frame[47] & 4 != 0), "RST");
    // The client expects octet 50, and has said so. The server has said that it expects octet 300, and has heard up to 450.
    let seq = |frame: &Vec<u8>| u32::from_be_bytes(frame[38..42].try_into().unwrap());
    for frame in &made {
        let from_client = [300, 450].map(|at| 0xffff_fff1_u32.wrapping_add(at));
        let expected = if frame[26..34] == client { &from_client[..] } else { &[5001 + 50] };
        assert!(expected.contains(&seq(frame)), "{}", seq(frame));
    }
}

/// Runs one part of runs.c over a capture.
fn life(what: &str, capture: &Path, least: u32) {
    let conf = conf("runs.conf", "max_concurrency = 64");
    Run::new(runs(), Some(capture)).arg(what).arg(conf).checks(least);
}

fn runs() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| build("tests/c/runs.c", Link::Shared))
}

#[test]
fn reading_begins_when_the_program_is_ready() {
    life("begins", &captures::ppeek(), 20);
}

#[test]
fn a_callback_can_destroy_its_context() {
    // Its callback is called for the first of the packets that are on their way, and for no other.
    life("callback", &captures::dense(), 800);
}

#[test]
fn a_thread_can_destroy_a_context_under_a_running_callback() {
    life("thread", &captures::ppeek(), 10);
}

#[test]
fn a_signal_handler_can_destroy_a_context_on_any_thread() {
    life("signal", &captures::ppeek(), 30);
}

#[test]
fn a_second_interrupt_ends_the_input() {
    life("twice", &captures::ppeek(), 10);
}

#[test]
fn two_contexts_share_a_capture() {
    let conf = conf("two.conf", "max_concurrency = 64\nnetdev {\n a 1\n b 4\n}");
    Run::new(runs(), Some(&captures::ppeek())).arg("two").arg(conf).checks(40);
}

#[test]
fn threads_can_set_up_while_packets_come() {
    life("threads", &captures::dense(), 1000);
}

#[test]
fn the_captures_clock_is_the_only_one() {
    life("timers", &captures::ppeek(), 80);
}

#[test]
fn a_cut_capture_is_told() {
    let whole = std::fs::read(captures::ppeek()).unwrap();
    // Into the last packet: behind it are 31 fillers of 42 octets, each with a header of 16.
    let cut = file("cut.pcap", &whole[..whole.len() - 31 * 58 - 5]);
    life("truncated", &cut, 5);
}

#[test]
fn who_comes_too_late_still_waits_for_the_last_callback() {
    life("late", &captures::ppeek(), 8);
}

#[test]
fn callbacks_have_a_large_stack() {
    life("stack", &captures::ppeek(), 5);
}

#[test]
fn pipes_are_refused() {
    life("pipes", &captures::ppeek(), 10);
}

#[test]
fn a_packet_belongs_to_one_connection() {
    life("twins", &captures::twins(), 12);
}

#[test]
fn not_every_link_is_ethernet() {
    life("rawip", &captures::raw_ip(), 10);
}

/// Frames of more than the fillers' size, by their time in steps.
fn packets_of(capture: &Path) -> Vec<u64> {
    let (capture, error) = Capture::load(capture).unwrap();
    assert!(error.is_none());
    let packets = capture.frames_from(0).filter(|f| f.data.len() > 42);
    packets.map(|f| (f.time.0 - 1_000_000_000_000_000) / 10_000).collect()
}

#[test]
fn what_is_not_dropped_is_forwarded() {
    let (input, output) = (captures::ppeek(), workshop().join("out.pcap"));
    let even: Vec<u64> = (0..26).step_by(2).collect();

    // By the environment, which wins.
    let mut io = std::ffi::OsString::from("pcap:");
    io.push(&input);
    io.push(",out.pcap"); // relative to the working directory
    let with_conf = |name: &str, lines: &str| Run::new(runs(), None).arg("drops").arg(conf(name, lines));
    with_conf("env.conf", "max_concurrency = 64\nio = pcap\npcap_in = none").env("MOS_IO", &io).checks(10);
    assert_eq!(packets_of(&output), even);

    // By the configuration.
    std::fs::remove_file(&output).unwrap();
    let lines = format!(
        "max_concurrency = 64\nio = pcap\npcap_in = {}\npcap_out = {}",
        input.display(),
        output.display()
    );
    with_conf("file.conf", &lines).checks(10);
    assert_eq!(packets_of(&output), even);

    // A tap forwards nothing.
    std::fs::remove_file(&output).unwrap();
    with_conf("tap.conf", &format!("{lines}\nforward = 0")).checks(10);
    assert!(!output.exists());
}

#[test]
fn wrong_checksums_count_unless_told_otherwise() {
    let path = captures::bad_checksum();
    let run = |setting: &str| {
        let conf = conf("checksum.conf", "max_concurrency = 64");
        let run = Run::new(runs(), Some(&path)).arg("connections").arg(conf);
        run.env("MOS_CHECKSUM", setting).output().lines().next().map(str::to_owned)
    };
    assert_eq!(run("on").as_deref(), Some("0 connections"));
    assert_eq!(run("off").as_deref(), Some("1 connections"));
}

/// A connection as its ends saw it.
struct Truth {
    client: String,
    server: String,
    /// Octets and their hash, to the client and to the server.
    received: [(u64, String); 2],
}

fn truth(capture: &str) -> Vec<Truth> {
    let text = std::fs::read_to_string(recorded("truth.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let connections = whole["files"][capture]["connections"].as_array().unwrap().clone();
    let string = |v: &serde_json::Value| v.as_str().unwrap().to_owned();
    let received = |v: &serde_json::Value| (v["bytes"].as_u64().unwrap(), string(&v["sha256"]));
    connections
        .iter()
        .map(|c| Truth {
            client: string(&c["client"]),
            server: string(&c["server"]),
            received: [received(&c["to_client"]), received(&c["to_server"])],
        })
        .collect()
}

/// `web4.pcap` without its 20th packet that has octets for the client. Returns how many those were.
fn web_with_a_hole() -> (PathBuf, u64) {
    let (whole, _) = Capture::load(&recorded("web4.pcap")).unwrap();
    let octets = |frame: &[u8]| {
        let headers = 20 + usize::from(frame[46] >> 4) * 4;
        usize::from(u16::from_be_bytes([frame[16], frame[17]])).saturating_sub(headers)
    };
    let for_client = |frame: &[u8]| frame[12..14] == [8, 0] && frame[23] == 6 && frame[34..36] == [0, 80];
    let (mut left, mut octets_lost, mut capture) = (20, 0, Vec::new());
    let mut writer = CaptureWriter::new(&mut capture);
    for frame in whole.frames_from(0) {
        if for_client(frame.data) && octets(frame.data) > 0 {
            left -= 1;
            if left == 0 {
                octets_lost = octets(frame.data) as u64;
                continue;
            }
        }
        writer.write(&frame).unwrap();
    }
    writer.flush().unwrap();
    (file("hole.pcap", &capture), octets_lost)
}

/// As the original's programs do it, and as those do whose buffer is smaller than what comes in a burst.
#[test]
fn who_reads_once_for_each_event_misses_nothing_that_is_there() {
    let program = build("tests/c/one_read.c", Link::Shared);
    let run = |capture: &Path, room: &str| {
        let printed = Run::new(&program, Some(capture))
            .arg(conf("one.conf", "max_concurrency = 100"))
            .arg(room)
            .output();
        let numbers: Vec<u64> = printed.split_whitespace().map(|n| n.parse().unwrap()).collect();
        <[u64; 4]>::try_from(numbers).unwrap()
    };
    let total = |capture: &str, side: usize| truth(capture).iter().map(|t| t.received[side].0).sum::<u64>();
    for capture in ["web4.pcap", "lossy.pcap"] {
        let all = [total(capture, 0), total(capture, 1), 0, 0];
        assert_eq!(run(&recorded(capture), "16384"), all, "{capture}");
        // What is left at the end fits into a ring.
        let [client, server, ..] = run(&recorded(capture), "1000");
        assert!(client <= all[0] && client + 8192 >= all[0], "{capture}: {client} of {}", all[0]);
        assert!(server <= all[1] && server + 8192 >= all[1], "{capture}: {server} of {}", all[1]);
    }
    let (hole, lost) = web_with_a_hole();
    assert!(lost > 1000);
    let [client, server] = [0, 1].map(|side| total("web4.pcap", side));
    assert_eq!(run(&hole, "16384"), [client - lost, server, lost, 0]);
}

#[test]
fn streams_are_what_the_ends_read() {
    let program = build("tests/c/streams.c", Link::Shared);
    let captures = [
        "web4.pcap",
        "web6.pcap",
        "short4.pcap",
        "short6.pcap",
        "lossy.pcap",
        "lossy6.pcap",
        "halfclose.pcap",
        "reset.pcap",
        "vlan.pcap",
    ];
    for capture in captures {
        let conf = conf("streams.conf", "max_concurrency = 1000");
        let dir = tempfile::tempdir().unwrap();
        let printed = Run::new(&program, Some(&recorded(capture))).arg(conf).arg(dir.path()).output();
        assert!(printed.ends_with(" 0 failures\n"), "{capture}");
        let mut found: Vec<Vec<&str>> = printed.lines().map(|l| l.split(' ').collect()).collect();
        found.pop();
        let truth = truth(capture);
        assert_eq!(found.len(), truth.len(), "{capture}");
        for t in truth {
            // Ports are used again in vlan.pcap: in order.
            let at = found.iter().position(|f| f[1] == t.client && f[2] == t.server);
            let number =
                found.remove(at.unwrap_or_else(|| panic!("{capture}: {} {}", t.client, t.server)))[0];
            for (side, (octets, hash)) in t.received.iter().enumerate() {
                let stream = std::fs::read(dir.path().join(format!("{number}-{side}"))).unwrap();
                // After a reset the wire may have carried more than was read.
                let length = usize::try_from(*octets).unwrap();
                let exact = capture != "reset.pcap";
                assert!(
                    stream.len() == length || !exact && stream.len() > length,
                    "{capture} {} {side}",
                    t.client
                );
                assert_eq!(&sha256(&stream[..length]), hash, "{capture} {} {side}", t.client);
            }
        }
    }
}

fn sha256(octets: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(octets).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn the_example_prints_what_the_ends_read() {
    let program = build("examples/connections.c", Link::Shared);
    let run = |capture| {
        Run::new(&program, Some(&recorded(capture))).arg(package().join("examples/mos.conf")).output()
    };
    let printed = run("short4.pcap");
    let mut ended: Vec<&str> = printed.lines().filter(|l| l.contains(": ended, ")).collect();
    let truth = truth("short4.pcap");
    assert_eq!(truth.len(), 60);
    for t in &truth {
        let name = format!("{} > {}", t.client, t.server);
        let [(to_client, _), (to_server, _)] = &t.received;
        let line = format!("{name}: ended, {to_server} octets to the server, {to_client} to the client");
        let at = ended.iter().position(|l| *l == line).unwrap_or_else(|| panic!("{line}\n{printed}"));
        ended.remove(at);
        // From the first SYN to the last state, and both established between.
        let states: Vec<&str> =
            printed.lines().filter_map(|l| l.strip_prefix(&format!("{name}: "))).collect();
        assert_eq!(states[0], "SYN_SENT, LISTEN", "{name}");
        assert!(states.contains(&"ESTABLISHED, ESTABLISHED"), "{name}");
    }
    assert!(ended.is_empty(), "{ended:?}");
    // No connection is lost in the noise: nothing else is printed.
    let names: Vec<String> = truth.iter().map(|t| format!("{} > {}: ", t.client, t.server)).collect();
    assert!(printed.lines().all(|l| names.iter().any(|n| l.starts_with(n.as_str()))));
    // In the order in which TCP goes through its states.
    let first = format!("{} > {}: ", truth[0].client, truth[0].server);
    let states: Vec<&str> = printed.lines().filter_map(|l| l.strip_prefix(&first)).collect();
    assert_eq!(
        states[..4],
        ["SYN_SENT, LISTEN", "SYN_SENT, SYN_RCVD", "ESTABLISHED, SYN_RCVD", "ESTABLISHED, ESTABLISHED"]
    );
    assert_eq!(run("short6.pcap"), "", "an IPv4 program sees no IPv6");
}

#[test]
fn the_front_pages_program_reads_what_the_ends_read() {
    let root = package().parent().unwrap();
    let page = std::fs::read_to_string(root.join("README.md")).unwrap();
    let source = page.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let program = build_file(&file("readme.c", source.as_bytes()), Link::Shared);
    let printed = Run::new(&program, Some(&recorded("web4.pcap"))).directory(root).output();
    let received = |side: &str| -> u64 {
        let of_side = printed.lines().filter_map(|l| l.strip_prefix(&format!("{side} received ")));
        of_side.map(|rest| rest.strip_suffix(" bytes").unwrap().parse::<u64>().unwrap()).sum()
    };
    let truth = truth("web4.pcap");
    let total = |side: usize| truth.iter().map(|t| t.received[side].0).sum::<u64>();
    assert!(total(0) > 0 && total(1) > 0);
    assert_eq!([received("client"), received("server")], [total(0), total(1)]);
}

#[test]
fn values_in_the_headers_are_those_of_the_library() {
    let mut source = String::from("#include \"mos_ext.h\"\n");
    for (name, value) in mos::abi::CONSTANTS.iter().chain(mos::abi::ext::CONSTANTS) {
        source += &format!("_Static_assert({name} == ({value}LL), \"{name}\");\n");
    }
    source += "int main(void) { return 0; }\n";
    build_file(&file("constants.c", source.as_bytes()), Link::Shared);
}

/// How a program is run over a capture.
type Runner = fn(&Path, Option<&Path>) -> Run;

/// Nested events that events.c defines: so many as the original never could, and few for valgrind, which is slow.
const MANY_EVENTS: &str = "2000";
const SOME_EVENTS: &str = "200";

/// events.c with that many nested events.
fn events(link: Link, run: Runner, nested: &str) {
    let conf = conf("events.conf", "max_concurrency = 64");
    let least = nested.parse::<u32>().unwrap() * 2;
    run(&build("tests/c/events.c", link), Some(&captures::ppeek())).arg(conf).arg(nested).checks(least);
}

/// What programs call that is there, that is not, and that is wrong.
fn calls(link: Link, run: Runner) {
    let conf = conf("careful.conf", "max_concurrency = 64");
    let (capture, mixed) = (captures::ppeek(), captures::mixed());
    run(&build("tests/c/ppeek.c", link), Some(&capture)).arg(&conf).checks(300);
    run(&build("tests/c/misuse.c", link), Some(&capture)).arg(&conf).checks(5000);
    run(&build("tests/c/options.c", link), None).arg(&conf).arg(mixed).arg(capture).checks(200);
}

/// The programs that do everything wrong that can be done, and those that change packets: at once, for all processors.
fn careful_programs(link: Link, run: Runner, nested: &str) {
    let all = [calls, beyond_the_original, packets::careful, idioms::careful, attack::careful];
    std::thread::scope(|scope| {
        scope.spawn(|| events(link, run, nested));
        for programs in all {
            scope.spawn(move || programs(link, run));
        }
    });
}

#[test]
fn the_static_library_does_the_same() {
    careful_programs(Link::Static, Run::new, MANY_EVENTS);
}

#[test]
fn nothing_is_read_or_written_beyond_its_end() {
    if !can_sanitize() {
        return skipped("nothing was run under AddressSanitizer: the C compiler has none");
    }
    careful_programs(Link::Sanitized, Run::new, MANY_EVENTS);
}

#[test]
fn valgrind_finds_nothing() {
    if !is_installed("valgrind") {
        return skipped("nothing was run under valgrind: it is not installed");
    }
    careful_programs(Link::Shared, Run::under_valgrind, SOME_EVENTS);
}
