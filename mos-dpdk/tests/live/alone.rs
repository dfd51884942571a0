//! What live tests have in common: a network namespace of their own.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs `scenario`, which is all there is to the test `name`, in a network namespace of its own.
pub(crate) fn alone(name: &str, scenario: impl FnOnce()) {
    if std::env::var_os("MOS_LIVE_ALONE").is_some() {
        return scenario();
    }
    let runs = |args: &[&str]| {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let ways: [&[&str]; 2] =
        [&["unshare", "--net", "--"], &["unshare", "--user", "--map-root-user", "--net", "--"]];
    let probe = ["ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"];
    let way = ways.into_iter().find(|way| runs(&[*way, &probe].concat()));
    let missing = if !runs(&["curl", "--version"]) {
        "the command curl is not there"
    } else if !std::path::Path::new("/proc/net/if_inet6").exists() {
        "IPv6 is switched off"
    } else if way.is_none() {
        "a network namespace with virtual interfaces cannot be made (that takes the command ip, and root or user namespaces)"
    } else {
        ""
    };
    let Some(way) = way.filter(|_| missing.is_empty()) else {
        return say(&format!("SKIPPED: {missing}; {name} was not tried"));
    };
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let status = command.env("MOS_LIVE_ALONE", "1").stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{name} failed, see above");
}

/// Speaks also when the output of tests is captured.
pub(crate) fn say(what: &str) {
    let _ = writeln!(std::io::stderr(), "{what}");
}

pub(crate) fn ip(args: &str) {
    let output = Command::new("ip").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {args}: {}", String::from_utf8_lossy(&output.stderr));
}
