//! Network namespaces for tests on live traffic.

use super::skipped;
use std::process::{Command, Stdio};

/// Runs `scenario`, which is all there is to the test `name`, in a network namespace of its own.
pub(crate) fn alone(name: &str, scenario: fn()) {
    if std::env::var_os("MOS_LIVE_ALONE").is_some() {
        return scenario();
    }
    let ways: [&[&str]; 2] =
        [&["unshare", "--net", "--"], &["unshare", "--user", "--map-root-user", "--net", "--"]];
    let can = |way: &&&[&str]| {
        let mut command = Command::new(way[0]);
        command.args(&way[1..]).args(["ip", "tuntap", "add", "probe0", "mode", "tap"]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let Some(way) = ways.iter().find(can) else {
        return skipped(
            "no program was tried on live traffic: a network namespace with a TAP device cannot be made (that takes \
             the command ip, root or user namespaces, and /dev/net/tun)",
        );
    };
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let status = command.env("MOS_LIVE_ALONE", format!("-{name}")).stdout(Stdio::null()).status().unwrap();
    assert!(status.success(), "{name} failed, see above");
}
