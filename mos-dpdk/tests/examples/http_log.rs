//! `http_log`: its reader of messages against messages that were put together, and the whole of it over captures, against
//! what tshark makes of them.

#[path = "../../examples/http_log/message.rs"]
#[allow(dead_code)] // the example uses the rest
mod message;

use super::{captures, run, say};
use message::{Item, Kind, Reader};
use mos_dpdk::capture::CaptureWriter;
use mos_flow::testing::Exchange;
use mos_flow::{Frame, Instant, Side, Sides};
use proptest::prelude::*;
use std::path::Path;
use std::process::Command;

/// How the end of a body shows.
#[derive(Clone, Debug)]
enum Body {
    None,
    Length(usize),
    Chunks(Vec<usize>),
}

impl Body {
    fn any() -> impl Strategy<Value = Body> {
        prop_oneof![
            Just(Body::None),
            (0..3000_usize).prop_map(Body::Length),
            proptest::collection::vec(1..900_usize, 0..4).prop_map(Body::Chunks),
        ]
    }

    fn len(&self) -> usize {
        match self {
            Body::None => 0,
            Body::Length(len) => *len,
            Body::Chunks(chunks) => chunks.iter().sum(),
        }
    }

    /// The message that begins with `start_line`. Bodies look like heads.
    fn message(&self, start_line: &str) -> Vec<u8> {
        let body = |len| b"GET / HTTP/1.1\r\n\r\n0\r\n\r\n".iter().copied().cycle().take(len);
        let mut out = format!("{start_line}\r\nHost: h\r\n").into_bytes();
        match self {
            Body::None => out.extend(b"\r\n"),
            Body::Length(len) => {
                out.extend(format!("content-length:  {len} \r\n\r\n").bytes());
                out.extend(body(*len));
            }
            Body::Chunks(chunks) => {
                out.extend(b"Transfer-Encoding: gzip, Chunked\r\n\r\n");
                for len in chunks {
                    out.extend(format!("{len:X};name=value\r\n").bytes());
                    out.extend(body(*len));
                    out.extend(b"\r\n");
                }
                out.extend(b"0\r\nTrailer: x\r\n\r\n");
            }
        }
        out
    }
}

/// What a reader finds in `stream` when it comes in pieces of these lengths, over and over: start line and length of the body
/// of each message. With `passing`, octets that need not be looked at are not shown to it.
fn read(kind: Kind, stream: &[u8], pieces: &[usize], passing: bool) -> Vec<(String, usize)> {
    let mut reader = Reader::new(kind);
    let mut found = Vec::new();
    let mut hear = |reader: &mut Reader, mut piece: &[u8]| {
        while let (taken, Some(item)) = reader.take(piece) {
            piece = &piece[taken..];
            if item == Item::End {
                found.push((reader.start_line().to_owned(), reader.body() as usize));
            }
        }
    };
    let (mut rest, mut lengths) = (stream, pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(rest.len().min(*lengths.next().unwrap()));
        hear(&mut reader, piece);
        let passed = if passing { later.len().min(reader.skippable() as usize) } else { 0 };
        reader.skip(passed as u64);
        rest = &later[passed..];
    }
    hear(&mut reader, &[]);
    found
}

proptest! {
    #[test]
    fn messages_end_where_they_end(
        bodies in proptest::collection::vec(Body::any(), 1..8),
        pieces in proptest::collection::vec(1..2000_usize, 1..6),
        passing: bool,
    ) {
        let requests = (1..).zip(&bodies).map(|(n, body)| (format!("POST /{n} HTTP/1.1"), body));
        let stream: Vec<u8> = requests.clone().flat_map(|(line, body)| body.message(&line)).collect();
        let wanted: Vec<_> = requests.map(|(line, body)| (line, body.len())).collect();
        prop_assert_eq!(read(Kind::Requests, &stream, &pieces, passing), wanted);
        // A response without a length ends with its stream.
        let framed = bodies.iter().filter(|body| !matches!(body, Body::None));
        let responses = (200..).zip(framed).map(|(n, body)| (format!("HTTP/1.1 {n} Reason"), body));
        let responses = responses.filter(|(line, _)| !line.contains(" 204 "));
        let stream: Vec<u8> = responses.clone().flat_map(|(line, body)| body.message(&line)).collect();
        let wanted: Vec<_> = responses.map(|(line, body)| (line, body.len())).collect();
        prop_assert_eq!(read(Kind::Responses, &stream, &pieces, passing), wanted);
    }

    #[test]
    fn no_stream_confuses_it_for_long(stream in proptest::collection::vec(any::<u8>(), 0..3000), pieces in proptest::collection::vec(1..500_usize, 1..4)) {
        for kind in [Kind::Requests, Kind::Responses] {
            prop_assert!(read(kind, &stream, &pieces, false).len() <= stream.len());
        }
    }
}

/// What must not be taken for something else.
#[test]
fn heads_that_say_too_much_or_nonsense_end_the_reading() {
    let tail = b"GET /2 HTTP/1.1\r\n\r\n";
    for head in [
        "GET /1\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        "GET /1 HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "GET /1 HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfg\r\n",
        "GET /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n",
    ] {
        let stream = [head.as_bytes(), tail].concat();
        assert_eq!(read(Kind::Requests, &stream, &[7], false), [], "{head}");
    }
    let long = [b"GET /1 HTTP/1.1\r\nA: ", &[b'a'; 16 << 10][..], b"\r\n\r\n", tail].concat();
    assert_eq!(read(Kind::Requests, &long, &[1000], false), []);
    let chunked = b"GET /1 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let both = [&chunked[..], tail].concat();
    assert_eq!(read(Kind::Requests, &both, &[9], false).len(), 2, "chunks count more (RFC 9112, 6.3)");
}

/// The lines of `http_log` over a capture.
fn log(capture: &Path) -> Vec<String> {
    run("http_log", &[capture.to_str().unwrap()]).lines().map(str::to_owned).collect()
}

/// A line without the times at both ends.
fn untimed(line: &str) -> &str {
    let (_, line) = line.split_once(' ').unwrap();
    line.rsplit_once(' ').unwrap().0
}

/// What the applications of our captures did, from their heads as tshark follows them.
#[test]
fn exchanges_of_our_captures_are_logged() {
    for (file, lines) in [
        ("web4.pcap", &[r#"192.0.2.1:40000 192.0.2.2:80 "GET /report.txt HTTP/1.1" 200 0 100000"#][..]),
        ("web6.pcap", &[r#"[fd00::1]:40000 [fd00::2]:80 "GET /report.txt HTTP/1.1" 200 0 60000"#]),
        ("lossy.pcap", &[r#"192.0.2.1:40000 192.0.2.2:80 "POST /upload HTTP/1.1" 200 30000 250000"#]),
        // The server answers with octets that are no response.
        ("halfclose.pcap", &[r#"192.0.2.1:40000 192.0.2.2:80 "GET /report.txt HTTP/1.1" - 0 0"#]),
        (
            "vlan.pcap",
            &[
                r#"192.0.2.1:40000 192.0.2.2:80 "GET /report.txt HTTP/1.1" 200 0 12000"#,
                r#"192.0.2.1:40001 192.0.2.2:80 "GET /report.txt HTTP/1.1" 200 0 12000"#,
            ],
        ),
        ("short4.pcap", &[]),
    ] {
        assert_eq!(
            log(&captures().join(file)).iter().map(|l| untimed(l)).collect::<Vec<_>>(),
            lines,
            "{file}"
        );
    }
}

/// One connection, on which a client asks six times, the last four at once, and does not wait for the last answer.
#[test]
fn exchanges_on_one_connection_are_told_apart() {
    let ends = ["192.0.2.1:40000", "192.0.2.2:80"].map(|a| a.parse().unwrap());
    let mut x = Exchange::new(ends[0], ends[1], Sides { client: 1, server: 2 });
    let mut frames: Vec<Vec<u8>> = x.handshake().into();
    let mut say = |side, text: &str| frames.push(x.data(side, text.as_bytes()));
    say(Side::Client, "GET /1 HTTP/1.1\r\n\r\n");
    say(Side::Server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
    say(Side::Server, "lo");
    say(Side::Client, "POST /\"2\" HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n");
    say(Side::Server, "HTTP/1.1 100 Continue\r\n\r\n");
    say(Side::Client, "3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n");
    say(Side::Server, "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    say(
        Side::Client,
        "HEAD /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\n\r\nGET /5 HTTP/1.1\r\n\r\nGET /6 HTTP/1.1\r\n\r\n",
    );
    say(
        Side::Server,
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
    );
    say(Side::Server, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnothing");
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = CaptureWriter::new(file.as_file());
    for (n, frame) in (0..).zip(&frames) {
        writer.write(&Frame::ethernet(Instant(1_000_000 * n), frame)).unwrap();
    }
    writer.flush().unwrap();
    let lines = log(file.path());
    let lines: Vec<&str> =
        lines.iter().map(|l| untimed(l).strip_prefix("192.0.2.1:40000 192.0.2.2:80 ").unwrap()).collect();
    assert_eq!(
        lines,
        [
            r#""GET /1 HTTP/1.1" 200 0 5"#,
            r#""POST /\"2\" HTTP/1.1" 201 13 2"#,
            r#""HEAD /3 HTTP/1.1" 200 0 0"#,
            r#""GET /4 HTTP/1.1" 304 0 0"#,
            r#""GET /5 HTTP/1.1" 404- 0 7"#,
            r#""GET /6 HTTP/1.1" - 0 0"#,
        ]
    );
}

/// Status and length of the body of all responses with a length, as tshark has them.
fn of_tshark(capture: &Path) -> Option<Vec<(u16, u64)>> {
    let mut tshark = Command::new("tshark");
    tshark.args([
        "-Y",
        "http.response",
        "-T",
        "fields",
        "-e",
        "http.response.code",
        "-e",
        "http.content_length",
    ]);
    let output = tshark.arg("-r").arg(capture).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| {
        let (code, length) = line.split_once('\t').unwrap();
        Some((code.parse().unwrap(), length.parse().ok()?))
    };
    Some(text.lines().filter_map(pair).collect())
}

/// Captures of other people in which all responses have a length and arrive whole.
#[test]
fn responses_are_those_that_tshark_sees() {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    if !shared.exists() {
        return say(&format!("SKIPPED: {} is not there; nothing was compared with tshark", shared.display()));
    }
    let mut compared = 0;
    for (file, responses) in [
        ("d12-input.pcap", 1),
        ("d16-handshake-reorder.pcap", 1),
        ("d19-206_example_a.pcap", 2),
        ("d24-one_tcp_stream.pcap", 2),
        ("d25-tcp-reassembly.pcap", 14),
    ] {
        let Some(mut wanted) = of_tshark(&shared.join(file)) else {
            return say("SKIPPED: the command tshark does not run; nothing was compared with it");
        };
        let number = |line: &str, n| line.rsplit(' ').nth(n).unwrap().parse::<u64>().unwrap();
        let lines = log(&shared.join(file));
        let mut logged: Vec<_> = lines.iter().map(|l| (number(l, 3) as u16, number(l, 1))).collect();
        wanted.sort_unstable();
        logged.sort_unstable();
        assert_eq!(logged, wanted, "{file}");
        assert_eq!(wanted.len(), responses, "{file}");
        compared += wanted.len();
    }
    say(&format!("{compared} responses are those of tshark"));
}
