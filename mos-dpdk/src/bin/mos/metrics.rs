//! Counters for Prometheus: its text format, version 0.0.4, and the smallest of HTTP servers.

mod page;

use crate::common::Failure;
use mos_dpdk::snapshot::Snapshot;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often the server looks for a client. An arbitrary figure.
const TICK: Duration = Duration::from_millis(20);
/// How long one client may take, and so hold up the next one. An arbitrary figure.
const PATIENCE: Duration = Duration::from_secs(1);
/// Octets of a request that are read. An arbitrary figure.
const REQUEST: usize = 8 << 10;

/// A server that has its address.
#[derive(Debug)]
pub(crate) struct Metrics(TcpListener);

/// A server that answers, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// By port number.
    names: Vec<Option<String>>,
    /// By worker, as they were when they last told.
    snapshots: Mutex<Vec<Snapshot>>,
    stop: AtomicBool,
}

impl Metrics {
    pub(crate) fn bind(address: SocketAddr) -> Result<Metrics, Failure> {
        let bound = TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        bound.map(Metrics).map_err(|e| {
            let sentence = mos_dpdk::sentence(&e);
            Failure::unusable(&format!("--metrics {address}: {sentence}; choose another address"))
        })
    }

    /// Answers on a thread of its own.
    pub(crate) fn serve(self, names: Vec<Option<String>>) -> io::Result<Server> {
        let shared = Arc::new(Shared { names, snapshots: Mutex::default(), stop: AtomicBool::new(false) });
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new().name("mos-metrics".to_owned());
        let thread = thread.spawn(move || served.serve(&self.0))?;
        Ok(Server { shared, thread: Some(thread) })
    }
}

impl Server {
    /// What is served from now on.
    pub(crate) fn tell(&self, snapshots: Vec<Snapshot>) {
        *self.shared.snapshots.lock().unwrap_or_else(PoisonError::into_inner) = snapshots;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed); // the thread has nothing else to see
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn serve(&self, listener: &TcpListener) {
        while !self.stop.load(Ordering::Relaxed) {
            match listener.accept() {
                // What becomes of a client is its own affair.
                Ok((client, _)) => drop(self.answer(client)),
                Err(_) => thread::sleep(TICK),
            }
        }
    }

    fn answer(&self, client: TcpStream) -> io::Result<()> {
        client.set_nonblocking(false)?;
        let mut client = Patient { client, until: Instant::now() + PATIENCE };
        let mut request = Vec::new();
        while !has_head(&request) {
            let mut octets = [0; 1024];
            let n = client.read(&mut octets)?;
            request.extend_from_slice(octets.get(..n).unwrap_or_default());
            if n == 0 || request.len() > REQUEST {
                break;
            }
        }
        let page =
            || page::write(&self.snapshots.lock().unwrap_or_else(PoisonError::into_inner), &self.names);
        client.write_all(&respond(&request, page))
    }
}

fn has_head(request: &[u8]) -> bool {
    request.windows(4).any(|end| end == b"\r\n\r\n") || request.windows(2).any(|end| end == b"\n\n")
}

/// The response to what was read of a request.
fn respond(request: &[u8], page: impl FnOnce() -> String) -> Vec<u8> {
    let line = request.split(|octet| *octet == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_whitespace().collect();
    let (status, more, body) = match words[..] {
        _ if request.len() > REQUEST => ("431 Request Header Fields Too Large", "", String::new()),
        _ if !has_head(request) => ("400 Bad Request", "", String::new()),
        ["GET", target, version] if version.starts_with("HTTP/1.") => match target.split('?').next() {
            Some("/metrics") => ("200 OK", "", page()),
            _ => ("404 Not Found", "", "counters are at /metrics\n".to_owned()),
        },
        [_, _, version] if version.starts_with("HTTP/1.") => {
            ("405 Method Not Allowed", "Allow: GET\r\n", String::new())
        }
        _ => ("400 Bad Request", "", String::new()),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n{more}Connection: close\r\n\r\n{body}")
        .into_bytes()
}

/// A client that has only so much time, however it spends it.
struct Patient {
    client: TcpStream,
    until: Instant,
}

impl Patient {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Patient {
    fn read(&mut self, octets: &mut [u8]) -> io::Result<usize> {
        self.client.set_read_timeout(self.left()?)?;
        self.client.read(octets)
    }
}

impl Write for Patient {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.client.set_write_timeout(self.left()?)?;
        self.client.write(octets)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.client.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(request: &[u8]) -> String {
        let response = String::from_utf8(respond(request, || "page".to_owned())).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        response.lines().next().unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    #[test]
    fn requests_get_the_page_or_are_told_why_not() {
        for (request, expected) in [
            (&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"[..], "200"),
            (b"GET /metrics?a=b HTTP/1.0\n\n", "200"),
            (b"GET / HTTP/1.1\r\n\r\n", "404"),
            (b"GET /metrics/ HTTP/1.1\r\n\r\n", "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"HEAD /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"GET /metrics HTTP/2\r\n\r\n", "400"),
            (b"GET /metrics\r\n\r\n", "400"),
            (b"\xff\xfe\r\n\r\n", "400"),
            (b"GET /metrics HTTP/1.1\r\n", "400"),
            (b"", "400"),
            (&[b'a'; REQUEST + 1], "431"),
        ] {
            assert_eq!(status(request), expected, "{:?}", String::from_utf8_lossy(request));
        }
    }

    #[test]
    fn clients_that_say_nothing_do_not_hold_up_others_for_long() {
        let metrics = Metrics::bind("127.0.0.1:0".parse().unwrap()).ok().unwrap();
        let address = metrics.0.local_addr().unwrap();
        let server = metrics.serve(vec![]).unwrap();
        server.tell(vec![Snapshot::default()]);
        let _silent = TcpStream::connect(address).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut response = String::new();
        client.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        drop(server);
        assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    }
}
