//! The manual: each function of the headers has a page that says what its header says, and whose program runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "manual/header.rs"]
mod header;
#[path = "manual/page.rs"]
mod page;
mod support;

use header::{Declaration, declarations};
use mos_dpdk::capture::Capture;
use mos_dpdk::config::Config;
use mos_flow::Frame;
use page::{Page, pages};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use support::{Link, Run, build_file, captures, cc, conf, file, package, recorded, skipped, workshop};

/// Where a function is documented: by its name, across links.
fn page_of<'a>(pages: &'a BTreeMap<String, Page>, function: &str) -> &'a Page {
    let own = pages.get(&format!("{function}.3")).unwrap_or_else(|| panic!("{function} has no page"));
    own.link.as_ref().map_or(own, |target| &pages[target])
}

/// All functions of the headers that programs of this library include.
fn functions() -> Vec<Declaration> {
    let headers = std::fs::read_dir(package().join("include")).unwrap().map(|e| e.unwrap().path());
    let headers: BTreeSet<PathBuf> = headers.filter(|p| p.extension().is_some_and(|e| e == "h")).collect();
    let all: Vec<Declaration> = headers.iter().flat_map(|h| declarations(h)).collect();
    assert!(all.len() >= 26, "{all:?}");
    all
}

#[test]
fn pages_are_clean_mdoc() {
    if Command::new("mandoc").arg("-T").arg("lint").arg("/dev/null").output().is_err() {
        return skipped("the manual was not linted: mandoc is not installed");
    }
    let man = package().join("man");
    for (name, page) in pages().iter().filter(|(_, p)| p.link.is_none()) {
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning"])
            .arg(&page.path)
            .current_dir(&man)
            .output()
            .unwrap();
        assert!(lint.status.success(), "{name}\n{}", String::from_utf8_lossy(&lint.stdout));
    }
}

#[test]
fn each_function_has_a_page_with_its_prototype() {
    let pages = pages();
    for function in functions() {
        let page = page_of(&pages, &function.name);
        assert!(page.names.contains(&function.name), "{} is no name of {}", function.name, page.title);
        assert_eq!(page.prototypes.get(&function.name), Some(&function.prototype), "{}", page.title);
        let header = function.header.file_name().unwrap().to_str().unwrap();
        assert_eq!(page.include.as_deref(), Some(included(header)), "{}", page.title);
    }
}

/// What a program includes to have the declarations of a header.
fn included(header: &str) -> &str {
    match header {
        "mtcp_api.h" | "mtcp_epoll.h" => "mos_api.h",
        own => own,
    }
}

#[test]
fn each_page_is_about_functions_that_exist() {
    let declared: BTreeMap<String, Declaration> =
        functions().into_iter().map(|d| (d.name.clone(), d)).collect();
    for (name, page) in pages().iter().filter(|(name, _)| name.ends_with(".3")) {
        let function = name.strip_suffix(".3").unwrap();
        assert!(declared.contains_key(function), "{name}: no header has it");
        for (function, prototype) in &page.prototypes {
            assert_eq!(declared.get(function).map(|d| &d.prototype), Some(prototype), "{name}");
        }
    }
}

#[test]
fn pages_name_the_errors_that_the_headers_name() {
    let known = errno_names();
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let pages = pages();
    for function in functions() {
        let errors = function.comment_words().filter(|w| known.contains(*w)).map(str::to_owned);
        named.entry(page_of(&pages, &function.name).title.clone()).or_default().extend(errors);
    }
    let total: usize = named.values().map(BTreeSet::len).sum();
    assert!(total > 80, "only {total} errors were found in the headers");
    for (title, in_header) in &named {
        let differ: Vec<_> = pages[title].errors.symmetric_difference(in_header).collect();
        assert!(differ.is_empty(), "{title}: either the page or the header names {differ:?}");
    }
}

/// The names that the C library has for errors.
fn errno_names() -> BTreeSet<String> {
    let output =
        Command::new(cc()).args(["-dM", "-E", "-include", "errno.h", "-x", "c", "/dev/null"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let names = text.lines().filter_map(|l| l.strip_prefix("#define E")?.split(' ').next());
    let names: BTreeSet<String> = names.map(|n| format!("E{n}")).collect();
    assert!(names.contains("ENODATA") && names.contains("EACCES"), "{names:?}");
    names
}

#[test]
fn pages_refer_to_pages_that_exist() {
    let pages = pages();
    for (name, page) in &pages {
        let ours = page.references.iter().filter(|r| r.starts_with("mtcp_") || r.starts_with("mos"));
        for reference in ours {
            assert!(pages.contains_key(reference), "{name} refers to {reference}");
        }
        if let Some(target) = &page.link {
            assert!(pages[target].link.is_none(), "{name}: a link to a link");
        }
    }
}

/// Runs the programs of a page over a capture, and returns what each printed.
fn run(name: &str, capture: &str) -> Vec<String> {
    run_over(name, &recorded(capture))
}

fn run_over(name: &str, capture: &Path) -> Vec<String> {
    let conf = conf("manual.conf", "max_concurrency = 1000\nrmem_size = 262144");
    let run = |program: &PathBuf| Run::new(program, Some(capture)).arg(&conf).output();
    built(name).iter().map(run).collect()
}

/// The programs of a page, compiled. Tests that run at the same time may do it twice.
fn built(name: &str) -> Vec<PathBuf> {
    static BUILT: Mutex<BTreeMap<String, Vec<PathBuf>>> = Mutex::new(BTreeMap::new());
    if let Some(programs) = BUILT.lock().unwrap().get(name) {
        return programs.clone();
    }
    let build = |(i, text): (usize, &String)| {
        let source = file(&format!("manual-{name}-{i}.c"), text.as_bytes());
        build_file(&source, Link::Shared)
    };
    let programs: Vec<PathBuf> = pages()[name].programs.iter().enumerate().map(build).collect();
    BUILT.lock().unwrap().insert(name.to_owned(), programs.clone());
    programs
}

#[test]
fn the_program_of_each_page_runs() {
    for (name, page) in pages().iter().filter(|(name, p)| p.link.is_none() && !name.ends_with(".5")) {
        assert!(!page.programs.is_empty(), "{name} has no example");
        for program in &page.programs {
            let about = page.prototypes.keys().any(|f| program.contains(&format!("{f}(")));
            assert!(about || name.ends_with(".7"), "{name}: the example does not call it");
            assert!(program.lines().all(|l| l.replace('\t', "        ").len() <= 80), "{name}: long lines");
        }
        for printed in run(name, "web4.pcap") {
            assert!(!printed.is_empty(), "{name}: the program printed nothing");
        }
    }
}

/// What `truth.json` says of all connections of a capture together: how many, octets to the clients, to the servers.
fn truth(capture: &str) -> (usize, u64, u64) {
    let text = std::fs::read_to_string(recorded("truth.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
    let connections = whole["files"][capture]["connections"].as_array().unwrap();
    let sum = |to: &str| connections.iter().map(|c| c[to]["bytes"].as_u64().unwrap()).sum();
    (connections.len(), sum("to_client"), sum("to_server"))
}

fn prints(name: &str, capture: &str, expected: &str) {
    assert_eq!(run(name, capture), [expected], "{name} over {capture}");
}

/// As [`prints`], in whatever order, and each line perhaps more than once.
fn prints_lines(name: &str, capture: &str, expected: &[String]) {
    let printed = run(name, capture).concat();
    let lines: BTreeSet<&str> = printed.lines().collect();
    assert_eq!(lines, expected.iter().map(String::as_str).collect(), "{name} over {capture}");
}

/// The programs say of captures what their ends know.
#[test]
fn the_programs_print_the_truth() {
    let (connections, to_clients, to_servers) = truth("short4.pcap");
    prints(
        "mtcp_peek.3",
        "short4.pcap",
        &format!(
            "clients received {to_clients} octets and 0 lost ones\n\
             servers received {to_servers} octets and 0 lost ones\n"
        ),
    );
    prints("mtcp_socket.3", "short4.pcap", &format!("{connections} over IPv4, 0 over IPv6\n"));
    prints("mtcp_socket.3", "short6.pcap", "0 over IPv4, 60 over IPv6\n");
    prints("mtcp_close.3", "short4.pcap", "10 connections\n");
    prints("mtcp_bind_monitor_filter.3", "short4.pcap", "0 connections\n");
    prints("mtcp_bind_monitor_filter.3", "web4.pcap", "1 connections\n");
    prints("mtcp_destroy_context.3", "short4.pcap", "one connection has ended\n");
    prints("mtcp_register_callback.3", "web4.pcap", "a server has received something\n");
    prints("mtcp_getpeername.3", "web4.pcap", "192.0.2.1:40000 > 192.0.2.2:80\n");
    prints("mtcp_create_context.3", "web4.pcap", "a connection on core 0\n");
    prints("mtcp_define_event.3", "web4.pcap", "a SYN to port 80\n");

    let (_, to_client, to_server) = truth("web4.pcap");
    let line = |end: &str, octets: u64| format!("{end} received {octets} octets, held in 1 pieces");
    let lines = [line("client", to_client), line("server", to_server)];
    prints_lines("mtcp_getsockopt.3", "web4.pcap", &lines);

    // The request line, as the capture's description has it; octets ahead of holes only where frames were lost.
    prints("mtcp_ppeek.3", "web4.pcap", "GET /report.txt HTTP/1.1\n");
    let printed = run("mtcp_ppeek.3", "lossy.pcap").concat();
    assert!(printed.lines().any(|l| l.contains(" octets from ")), "{printed}");
}

#[test]
fn the_programs_that_interfere_do_so_once_for_each_connection() {
    let (connections, ..) = truth("short4.pcap");
    prints("mtcp_cb_dropcurpkt.3", "short4.pcap", &format!("{connections} connections refused\n"));
    prints("mtcp_cb_stop.3", "short4.pcap", &"a packet\n".repeat(connections));
}

/// Both programs break the connection with its request: that is not forwarded, and nothing is answered.
#[test]
fn what_is_looked_for_does_not_reach_its_receiver() {
    let out = workshop().join("broken.pcap");
    let lines =
        format!("io = pcap\npcap_in = {}\npcap_out = {}", recorded("web4.pcap").display(), out.display());
    let conf = conf("broken.conf", &lines);
    let programs = built("mtcp_reset_conn.3");
    assert_eq!(programs.len(), 2);
    for program in programs {
        let printed = Run::new(&program, None).arg(&conf).output();
        assert_eq!(printed, "a connection was reset\n");
        let (forwarded, _) = Capture::load(&out).unwrap();
        let (before, _) = Capture::load(&recorded("web4.pcap")).unwrap();
        let asks = |frame: Frame<'_>| frame.data.windows(11).any(|w| w == b"/report.txt");
        assert!(
            before.frames_from(0).any(asks) && !forwarded.frames_from(0).any(asks),
            "{}",
            program.display()
        );
        // Without addresses and options: RST, or RST and ACK.
        assert!(forwarded.frames_from(0).any(|f| f.data.get(47).is_some_and(|flags| flags & 4 != 0)));
    }
}

#[test]
fn the_programs_beyond_the_original_print_the_truth() {
    let (_, to_client, to_server) = truth("web4.pcap");
    let line = |end: &str, octets: u64| format!("{end}: {octets} octets, whole");
    let lines = [line("client", to_client), line("server", to_server)];
    prints_lines("mos_get_stream.3", "web4.pcap", &lines);
    prints("mos_skip.3", "web4.pcap", &format!("{to_client} octets\n"));
    let records = "a record of 1000 octets\n".repeat(usize::try_from(to_client / 1000).unwrap());
    let records = format!("{records}a record of {} octets\n", to_client % 1000);
    prints("mos_wait_for.3", "web4.pcap", &records);
    prints("mos_get_connection.3", "web4.pcap", "connection 0 was closed\n");
    prints("mos_conflict.3", "web4.pcap", "0 retransmissions, 0 octets differ\n");
    prints("mos_ppeek_zc.3", "web4.pcap", "GET /report.txt\n");
}

/// A connection that neither end closes, and one that both do.
#[test]
fn what_is_alive_at_the_end_is_listed() {
    let open = run_over("mtcp_app_join.3", &captures::fixed());
    assert_eq!(open[1], "connection 0: states 4 and 4\n1 are alive\n");
    assert_eq!(run("mtcp_app_join.3", "web4.pcap")[1], "0 are alive\n");
}

/// Every key and block that the parser takes is in mos.conf(5), and no other is.
#[test]
fn each_key_of_the_configuration_is_documented() {
    let source = package().join("../mos-dpdk/src/config.rs");
    let source = std::fs::read_to_string(source).unwrap();
    // A pattern of a match: words between quotation marks before an arrow, or what a block's name is compared with.
    let patterns = source.lines().filter_map(|l| match l.split_once("=>") {
        Some((pattern, _)) if pattern.trim_start().starts_with('"') => Some(pattern),
        Some((pattern, _)) => pattern.split_once("b.name == ").map(|(_, name)| name),
        None => None,
    });
    let known: BTreeSet<String> =
        patterns.flat_map(|p| p.split('"').skip(1).step_by(2)).map(str::to_owned).collect();
    assert!(known.len() >= 24, "{known:?}");
    let page = &pages()["mos.conf.5"];
    let blocks = ["application", "mos"].map(str::to_owned);
    let documented: BTreeSet<String> = page.items.iter().cloned().chain(blocks).collect();
    assert_eq!(documented, known, "the page, the parser");
}

#[test]
fn the_configurations_of_the_manual_are_understood() {
    let page = &pages()["mos.conf.5"];
    assert!(!page.texts.is_empty());
    for text in &page.texts {
        let config = Config::parse(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}
