//! The command `mos`, run as a user runs it: over our own captures, whose truth the endpoints wrote down, over the
//! shared collection where it is there, and over input that is no capture.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a test is for

#[path = "command/generate.rs"]
mod generate;

#[path = "command/workers.rs"]
mod workers;

use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn mos(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mos")).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The standard output of a run that must succeed without a word on stderr.
fn succeeds(args: &[&str]) -> Vec<u8> {
    let out = mos(args);
    assert!(out.status.success() && out.stderr.is_empty(), "{args:?}: {} {}", out.status, text(&out.stderr));
    out.stdout
}

fn lines(args: &[&str]) -> Vec<Value> {
    text(&succeeds(args)).lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mos-flow/tests/pcaps")
}

fn capture(name: &str) -> String {
    captures().join(name).display().to_string()
}

fn str_of<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or_else(|| panic!("{key} in {v}"))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Every byte that an application on either end received is what `mos streams` rebuilds, for every connection of
/// every capture of our own: downloads, short connections, loss and reordering, half-close, VLANs.
#[test]
fn streams_are_what_the_applications_received() {
    let truth: Value = serde_json::from_slice(&fs::read(captures().join("truth.json")).unwrap()).unwrap();
    let mut compared = 0;
    for (file, facts) in truth["files"].as_object().unwrap() {
        let got = lines(&["streams", &capture(file), "--json"]);
        for c in facts["connections"].as_array().unwrap() {
            for (to, src, dst) in [("to_server", "client", "server"), ("to_client", "server", "client")] {
                let (src, dst) = (str_of(c, src), str_of(c, dst));
                let line = got.iter().find(|l| l["src"] == src && l["dst"] == dst && l["vlan"] == c["vlan"]);
                let line = line.unwrap_or_else(|| panic!("{file}: no direction {src} > {dst}"));
                compare(file, c, &c[to], line);
                compared += 1;
            }
        }
        assert_eq!(
            got.len(),
            2 * facts["connections"].as_array().unwrap().len(),
            "{file}: nothing else is there"
        );
    }
    assert!(compared > 250, "only {compared} directions compared");
}

fn compare(file: &str, connection: &Value, received: &Value, line: &Value) {
    let context = format!("{file} {} > {}", line["src"], line["dst"]);
    let (bytes, wanted) = (line["bytes"].as_u64().unwrap(), received["bytes"].as_u64().unwrap());
    if connection["end"] == "fin" {
        assert_eq!(
            (bytes, &line["sha256"], &line["closed"]),
            (wanted, &received["sha256"], &"fin".into()),
            "{context}"
        );
        assert_eq!(
            (line["gaps"].as_array().unwrap().len(), line["total"].as_u64()),
            (0, Some(bytes)),
            "{context}"
        );
    } else {
        // An application that is reset may not have read all that had arrived.
        assert!(bytes >= wanted, "{context}: {bytes} < {wanted}");
        assert!(line["closed"] == "rst" || line["closed"] == "fin", "{context}: {}", line["closed"]);
    }
    assert_eq!(line["midstream"], false, "{context}");
}

/// The output format, field by field.
#[test]
fn streams_print_exactly_these_fields() {
    let line = &text(&succeeds(&["streams", &capture("web6.pcap"), "--json"]));
    let first = line.lines().next().unwrap();
    let names =
        ["flow", "vlan", "src", "dst", "side", "midstream", "bytes", "sha256", "gaps", "total", "closed"];
    let mut at = 0;
    for name in names {
        at += first[at..]
            .find(&format!("\"{name}\":"))
            .unwrap_or_else(|| panic!("{name} in its place: {first}"));
    }
    let value: Value = serde_json::from_str(first).unwrap();
    assert_eq!(value.as_object().unwrap().len(), names.len());
    assert!(str_of(&value, "src").starts_with('[') && value["side"] == "server" && value["flow"] == 0);
}

#[test]
fn streams_write_one_file_a_direction() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("new/folder");
    let got = lines(&["streams", &capture("web4.pcap"), "--json", "--out", out.to_str().unwrap()]);
    let mut found: Vec<(u64, String)> = Vec::new();
    for entry in fs::read_dir(&out).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        found.push((bytes.len() as u64, hex(&bytes)));
    }
    let mut wanted: Vec<_> =
        got.iter().map(|l| (l["bytes"].as_u64().unwrap(), str_of(l, "sha256").to_owned())).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
}

/// Speaks also when the output of tests is captured.
fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// The shared collection: every direction on which the reference agrees, without a gap, independent of policy, is
/// rebuilt to the same bytes.
#[test]
fn streams_of_the_shared_captures_are_the_reference_s() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    let Ok(truth) = fs::read(shared.join("groundtruth.json")) else {
        say(&format!("SKIPPED: {} is not there; the shared captures were not compared", shared.display()));
        return;
    };
    let truth: HashMap<String, Value> = serde_json::from_slice(&truth).unwrap();
    let (mut hard, mut policy) = (0, 0);
    for (file, facts) in &truth {
        let path = shared.join(file).display().to_string();
        for which in ["first", "last"] {
            let out = mos(&["streams", &path, "--json", "--no-checksum", "--midstream", "--policy", which]);
            assert!(out.status.success(), "{file}: {}", text(&out.stderr));
            let got: Vec<Value> =
                text(&out.stdout).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
            for d in facts["directions"].as_array().unwrap() {
                let sensitive = d["policy_sensitive"] == true;
                if d["tshark_agrees"] == true && d["gaps"].as_array().unwrap().is_empty() && !sensitive {
                    assert!(
                        is_rebuilt(&got, d, "sha_first"),
                        "{file}: {} > {} ({which})",
                        d["src"],
                        d["dst"]
                    );
                    hard += 1;
                } else if sensitive && !is_rebuilt(&got, d, &format!("sha_{which}")) {
                    say(&format!("policy {which} differs: {file}: {} > {}", d["src"], d["dst"]));
                } else if sensitive {
                    policy += 1;
                }
            }
        }
    }
    say(&format!(
        "{hard} directions equal the reference (each counted twice), {policy} policy-sensitive ones"
    ));
    assert_eq!(hard, 2 * 90, "every direction that counts was there");
    assert!(policy >= 18, "{policy} policy-sensitive directions are right");
}

/// Whether some direction has the reference's addresses, VLANs and bytes. Reused ports give several candidates.
fn is_rebuilt(got: &[Value], wanted: &Value, hash: &str) -> bool {
    let plain = |l: &Value, key| str_of(l, key).replace(['[', ']'], "");
    got.iter().any(|l| {
        plain(l, "src") == str_of(wanted, "src")
            && plain(l, "dst") == str_of(wanted, "dst")
            && l["vlan"] == wanted["vlan"]
            && l["bytes"] == wanted["contiguous"]
            && str_of(l, "sha256").starts_with(str_of(wanted, hash))
    })
}

#[test]
fn replay_tells_flows_states_events_and_drops() {
    let out = &lines(&["replay", &capture("reset.pcap"), "--flows", "--json"])[0];
    assert_eq!((&out["packets"], &out["flows"]), (&120.into(), &10.into()));
    let flows = out["connections"].as_array().unwrap();
    assert!(flows.iter().all(|f| f["end"] == "reset" && f["client_state"] == "CLOSED"), "{flows:?}");
    assert_eq!(out["drops"]["not_ip"], 2);
    assert_eq!(out["events"]["conn_start"], 20);
    let plain = text(&succeeds(&["replay", &capture("web4.pcap"), &capture("web6.pcap"), "--flows"]));
    for part in ["192.0.2.1:40000", "TIME-WAIT", "packets", "events", "not followed", "rate"] {
        assert!(plain.contains(part), "{part} in:\n{plain}");
    }
    let open = &lines(&["replay", &capture("halfclose.pcap"), "--flows", "--json"])[0];
    assert_eq!(open["connections"][0]["end"], "closed");
}

#[test]
fn events_are_in_order_and_the_same_in_both_formats() {
    let json = lines(&["events", &capture("halfclose.pcap"), "--json"]);
    let plain = text(&succeeds(&["events", &capture("halfclose.pcap")]));
    assert_eq!(json.len(), plain.lines().count());
    for (value, line) in json.iter().zip(plain.lines()) {
        for key in ["time", "event", "hook"] {
            assert!(line.contains(str_of(value, key)), "{key} of {value} in {line}");
        }
    }
    let names: Vec<&str> = json.iter().map(|v| str_of(v, "event")).collect();
    assert_eq!((names[0], names[1], *names.last().unwrap()), ("packet_in", "conn_start", "conn_end"));
    // What the client sent before its FIN is new to the server while the client waits for the answer.
    assert!(
        json.iter().any(|v| v["event"] == "new_data" && v["side"] == "client" && v["client"] == "FIN-WAIT-2")
    );
}

#[test]
fn peek_prints_bytes_or_enodata() {
    let web = capture("web4.pcap");
    let peek = |offset: &str, len: &str| {
        mos(&["peek", &web, "--flow", "0", "--side", "server", "--offset", offset, "--len", len])
    };
    assert_eq!(text(&peek("0", "3").stdout), "GET");
    assert_eq!(text(&peek("4", "7").stdout), "/report");
    let whole = peek("0", "100000");
    assert!(whole.status.success() && whole.stdout.len() < 1000, "a short read is none that fails");
    let nothing = peek("100000", "5");
    assert_eq!((nothing.status.code(), nothing.stdout.len()), (Some(1), 0));
    assert!(text(&nothing.stderr).contains("ENODATA: nothing at offset 100000"), "{}", text(&nothing.stderr));
    let no_flow = mos(&["peek", &web, "--flow", "7", "--side", "client", "--offset", "0", "--len", "1"]);
    assert_eq!(no_flow.status.code(), Some(1));
    assert!(text(&no_flow.stderr).contains("no connection 7"));
    // The whole stream, against its hash.
    let stream = &lines(&["streams", &web, "--json"])[1];
    let client = mos(&["peek", &web, "--flow", "0", "--side", "client", "--offset", "0", "--len", "9999999"]);
    assert_eq!(hex(&client.stdout), str_of(stream, "sha256"));
}

#[test]
fn bench_reports_every_mode() {
    for mode in ["flows", "streams", "peek"] {
        let out = &lines(&["bench", &capture("lossy.pcap"), "--mode", mode, "--repeat", "2", "--json"])[0];
        assert_eq!((&out["packets"], &out["flows"]), (&336.into(), &1.into()));
        let octets = if mode == "flows" { 0 } else { 280_199 };
        assert_eq!(
            out["stream_bytes"],
            if mode == "flows" { out["stream_bytes"].clone() } else { 280_199.into() }
        );
        assert_eq!(out["read_bytes"], if mode == "peek" { octets } else { 0 });
        assert!(out["ns_per_packet"].as_f64().unwrap() > 0.0 && out["peak_rss_bytes"].as_u64().unwrap() > 0);
    }
}

#[test]
fn unusable_input_is_one_line_and_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let folder = dir.path().display().to_string();
    let inputs = [
        (folder, "directory"),
        (dir.path().join("missing").display().to_string(), "No such file or directory\n"),
        (file("empty", b""), "empty file"),
        (file("text", b"this is no capture at all, but long enough for a header"), "not a pcap"),
        (file("short", b"\xd4\xc3\xb2\xa1\x02\x00"), "not a pcap"),
    ];
    for (path, expected) in &inputs {
        for command in ["replay", "streams", "events", "bench"] {
            let out = mos(&[command, path]);
            let said = text(&out.stderr);
            assert_eq!((out.status.code(), out.stdout.len()), (Some(2), 0), "{command} {path}: {said}");
            assert!(
                said.contains(expected) && said.contains(path) && said.lines().count() == 1,
                "{command}: {said}"
            );
        }
    }
}

/// Sums that the network card would have made.
#[test]
fn packets_that_are_not_followed_for_their_checksums_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("unsummed.pcap").display().to_string();
    let mut bytes = fs::read(captures().join("web4.pcap")).unwrap();
    let (mut at, mut broken) = (24, 0);
    while let Some(header) = bytes.get(at..at + 16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let frame = &mut bytes[at + 16..at + 16 + len];
        // IPv4 without options, and TCP.
        if frame[12..15] == [0x08, 0x00, 0x45] && frame[23] == 6 {
            frame[34 + 16] ^= 0x55;
            broken += 1;
        }
        at += 16 + len;
    }
    fs::write(&path, &bytes).unwrap();
    assert!(broken > 90, "{broken}");
    for command in ["streams", "events"] {
        let out = mos(&[command, &path]);
        let said = format!(
            "mos: warning: {broken} packets with wrong checksums were not followed; --no-checksum takes them\n"
        );
        assert_eq!((out.status.code(), out.stdout.len(), text(&out.stderr)), (Some(0), 0, said), "{command}");
    }
    assert_eq!(
        succeeds(&["streams", &path, "--no-checksum"]),
        succeeds(&["streams", &capture("web4.pcap"), "--no-checksum"])
    );
}

#[test]
fn what_was_read_before_damage_is_kept_and_the_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let whole = fs::read(captures().join("web4.pcap")).unwrap();
    let path = dir.path().join("damaged.pcap").display().to_string();
    // The last record is cut: a warning.
    fs::write(&path, &whole[..whole.len() - 7]).unwrap();
    let out = mos(&["replay", &path, "--json"]);
    let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((out.status.code(), &summary["packets"]), (Some(0), &103.into()));
    assert!(
        text(&out.stderr).contains("damaged.pcap: record 104: the file ends inside"),
        "{}",
        text(&out.stderr)
    );
    // A record with an impossible length: a failure, after the result.
    let second = 24 + 16 + u32::from_le_bytes(whole[32..36].try_into().unwrap()) as usize;
    let mut corrupt = whole;
    corrupt[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    fs::write(&path, &corrupt).unwrap();
    let out = mos(&["replay", &path, "--json"]);
    let summary: Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!((out.status.code(), &summary["packets"]), (Some(1), &1.into()));
    assert!(text(&out.stderr).contains("record 2: corrupt"), "{}", text(&out.stderr));
}
