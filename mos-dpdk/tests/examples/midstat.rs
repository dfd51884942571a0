//! `midstat`.

use super::{capture, run};

const TITLES: &str = "Proto CPU Client Address        Client State Server Address        Server State\n";

/// The client closes its side with its 3rd packet after the handshake; the server sends on for 164 ms.
#[test]
fn midstat_shows_states_between_and_at_the_end() {
    let printed = run("midstat", &[&capture("halfclose.pcap"), "--every", "0.05"]);
    let middle = "tcp   0   192.0.2.1:40000       FIN-WAIT-2   192.0.2.2:80          CLOSE-WAIT\n";
    let end = "tcp   0   192.0.2.1:40000       CLOSED       192.0.2.2:80          CLOSED\n";
    assert_eq!(printed, [TITLES, middle, TITLES, end].concat());
}

/// The first connection is over after 1.6 ms; the second begins after 364 ms.
#[test]
fn midstat_shows_a_connection_that_ended_once_more() {
    let printed = run("midstat", &[&capture("vlan.pcap"), "--every", "0.1"]);
    let line = |port| format!("tcp   0   192.0.2.1:{port}       CLOSED       192.0.2.2:80          CLOSED\n");
    assert_eq!(printed, [TITLES, &line(40000), TITLES, &line(40001)].concat());
}
