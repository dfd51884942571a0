//! `nat`.

use super::{capture, frames, port, run, sum_up};

/// The client's segments leave from the NAT's address. What the server sends was captured without a NAT and is for the client
/// already.
#[test]
fn the_nat_gives_a_connection_another_source() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.pcap").display().to_string();
    let printed = run("nat", &["--address", "198.51.100.7", &capture("web4.pcap"), "--out", &out]);
    assert_eq!(printed, "192.0.2.1:40000 to 192.0.2.2:80 as 198.51.100.7:1025\n");
    let mut translated = 0;
    let mut wanted = frames(&capture("web4.pcap"));
    for frame in wanted.iter_mut().filter(|f| f[12..14] == [8, 0] && port(f) == 40000) {
        frame[26..30].copy_from_slice(&[198, 51, 100, 7]);
        frame[34..36].copy_from_slice(&1025_u16.to_be_bytes());
        sum_up(frame);
        translated += 1;
    }
    assert!(translated > 10 && frames(&out) == wanted);
}
