//! A small HTTP server, so that every octet of what is sent is known.

use super::host::Host;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

/// A server of one page.
pub(crate) struct Server {
    /// Addresses of the clients that asked for it.
    pub(crate) clients: Receiver<SocketAddr>,
}

impl Server {
    /// Serves `body` at an address of `host` until the test ends.
    pub(crate) fn start(host: &Host, address: SocketAddr, body: Vec<u8>) -> Self {
        let listener = host.inside(|| TcpListener::bind(address).unwrap());
        let (sender, clients) = channel();
        std::thread::spawn(move || {
            for (stream, client) in std::iter::from_fn(|| listener.accept().ok()) {
                // The client may have gone away; what it got is checked there.
                if answer(stream, &body).is_ok() && sender.send(client).is_err() {
                    return;
                }
            }
        });
        Server { clients }
    }
}

fn answer(stream: TcpStream, body: &[u8]) -> std::io::Result<()> {
    // Full segments but for the last one, however slowly they are written: who looks for words in segments takes a shorter one
    // for the end of what is said.
    rustix::net::sockopt::set_tcp_cork(&stream, true)?;
    let mut head = BufReader::new(&stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    let mut out = &stream;
    write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    out.write_all(body)
}
