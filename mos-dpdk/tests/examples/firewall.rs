//! `firewall`.

use super::{capture, frames, port, run};
use crate::support;
use std::fs;
use std::process::Command;

/// Ten connections: eight to port 80, one of them from port 42001, one to 81, and one to 82.
#[test]
fn the_firewall_s_first_matching_rule_decides() {
    let folder = tempfile::tempdir().unwrap();
    let (rules, passed) = (folder.path().join("rules"), folder.path().join("passed.pcap"));
    let text = "# the web, but for one\nDROP 192.0.2.0/25 192.0.2.2 sport:42001 dport:80\n\n\
                ACCEPT 192.0.2.1 192.0.2.2 dport:80 # all others\nDROP ::/0 ::/0\nDROP 0.0.0.0/0 0.0.0.0/0 dport:81\n";
    fs::write(&rules, text).unwrap();
    let (rules, passed) = (rules.to_str().unwrap(), passed.to_str().unwrap());
    let printed = run("firewall", &["--rules", rules, &capture("reset.pcap"), "--out", passed]);
    let line = "-".repeat(71);
    let table = "\
Firewall rule table
idx   flows   target   client             server             port
1     1       DROP     192.0.2.0/25       192.0.2.2/32       sport:42001 dport:80
2     7       ACCEPT   192.0.2.1/32       192.0.2.2/32       dport:80
3     0       DROP     ::/0               ::/0
4     1       DROP     0.0.0.0/0          0.0.0.0/0          dport:81
";
    assert_eq!(printed, format!("{line}\n{table}{line}\n"));
    // All frames but the two SYNs, which have no ACK beside.
    let is_dropped = |f: &[u8]| f[12..14] == [8, 0] && f[47] == 2 && [42001, 42002].contains(&port(f));
    let wanted: Vec<_> = frames(&capture("reset.pcap")).into_iter().filter(|f| !is_dropped(f)).collect();
    assert_eq!(wanted.len(), 118);
    assert!(frames(passed) == wanted);
}

#[test]
fn rules_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    for (text, reason) in [
        ("PASS 10.0.0.0/8 10.0.0.0/8", "line 1: expected ACCEPT or DROP"),
        ("\nDROP 10.0.0.0/8", "line 2: no server"),
        ("DROP 10.0.0.0/33 ::", "line 1: /33: an address has 32 bits"),
        ("DROP 10.0.0.0/8 10.0.0 dport:80", "line 1: invalid IP address syntax"),
        ("DROP :: :: port:80", "line 1: port:80: expected sport:PORT or dport:PORT"),
        ("DROP :: :: dport:80000", "line 1: number too large"),
    ] {
        fs::write(&rules, text).unwrap();
        let mut command = Command::new(support::example("firewall"));
        let output = command.arg("--rules").arg(&rules).arg(capture("web4.pcap")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{text}: {said}");
    }
}
