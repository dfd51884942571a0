//! The kernel's end: its application, and what the kernel says of the connection.

use crate::wire::KERNEL;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::time::Duration;
use tcp_reasm::State;

/// EINPROGRESS: a connect that does not wait.
const IN_PROGRESS: i32 = 115;

/// An application that accepts and reads as soon as it can.
pub(crate) struct Host {
    listener: Option<Socket>,
    socket: Option<Socket>,
    /// All it read, of all connections.
    pub(crate) read: Vec<u8>,
    /// Where in `read` the present connection begins.
    pub(crate) start: usize,
    /// It read the end of the stream.
    pub(crate) eof: bool,
    pub(crate) reset: bool,
    /// It sent its end of the stream.
    pub(crate) shut: bool,
    /// It does not read any more.
    pub(crate) closed: bool,
}

impl Host {
    pub(crate) fn listening(inline: bool) -> (Self, SocketAddrV4) {
        let socket = tcp(inline);
        socket.bind(&address(0)).and_then(|()| socket.listen(16)).expect("a port to listen at");
        let local = local(&socket);
        (Host { listener: Some(socket), ..Host::new() }, local)
    }

    pub(crate) fn connecting(to: SocketAddrV4, inline: bool) -> (Self, SocketAddrV4) {
        let socket = tcp(inline);
        socket.bind(&address(0)).expect("a port to connect from");
        match socket.connect(&to.into()) {
            Err(e) if e.raw_os_error() == Some(IN_PROGRESS) => {}
            other => panic!("connect: {other:?}"),
        }
        let local = local(&socket);
        (Host { socket: Some(socket), ..Host::new() }, local)
    }

    fn new() -> Self {
        Host {
            listener: None,
            socket: None,
            read: Vec::new(),
            start: 0,
            eof: false,
            reset: false,
            shut: false,
            closed: false,
        }
    }

    /// Accepts and reads what is there.
    pub(crate) fn turn(&mut self) {
        if let Some(Ok((socket, _))) = self.listener.as_ref().map(Socket::accept) {
            socket.set_nonblocking(true).expect("a socket");
            self.socket = Some(socket);
            self.start = self.read.len();
            (self.eof, self.reset, self.shut, self.closed) = (false, false, false, false);
        }
        let Some(mut socket) = self.socket.as_ref() else { return };
        let mut bytes = [0; 65536];
        while !self.eof && !self.reset {
            match socket.read(&mut bytes) {
                Ok(0) => self.eof = true,
                Ok(n) => self.read.extend_from_slice(&bytes[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return,
                Err(_) => self.reset = true,
            }
        }
    }

    pub(crate) fn write(&mut self, len: usize) -> bool {
        self.socket.as_ref().is_some_and(|mut socket| socket.write(&vec![b'k'; len]).is_ok())
    }

    pub(crate) fn shut_down(&mut self) -> bool {
        let done = self.socket.as_ref().is_some_and(|s| s.shutdown(std::net::Shutdown::Write).is_ok());
        self.shut |= done;
        done
    }

    pub(crate) fn close(&mut self) -> bool {
        (self.shut, self.closed) = (true, true);
        self.socket.take().is_some()
    }

    /// Ends the exchange: with a RST, so that the kernel forgets it.
    pub(crate) fn abort(&mut self) {
        self.turn();
        if let Some(socket) = self.socket.take() {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
        self.listener = None;
    }
}

/// Of a listening socket the accepted ones inherit all this.
fn tcp(inline: bool) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    socket.set_reuse_address(true).expect("a socket");
    socket.set_out_of_band_inline(inline).expect("a socket");
    socket
}

fn address(port: u16) -> SockAddr {
    SocketAddrV4::new(KERNEL.parse().expect("an address"), port).into()
}

fn local(socket: &Socket) -> SocketAddrV4 {
    match socket.local_addr().expect("bound").as_socket() {
        Some(SocketAddr::V4(local)) => local,
        other => panic!("{other:?}"),
    }
}

/// Asks the kernel for the states of its connections (sock_diag(7)).
pub(crate) struct Diag(Socket);

const NETLINK: i32 = 16;
const SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST: u16 = 1;

impl Diag {
    pub(crate) fn new() -> Self {
        Diag(Socket::new(NETLINK.into(), Type::RAW, Some(SOCK_DIAG.into())).expect("a netlink socket"))
    }

    /// CLOSED when the kernel does not know the connection.
    pub(crate) fn state(&self, local: SocketAddrV4, peer: SocketAddrV4) -> State {
        let mut socket = &self.0;
        socket.write_all(&question(local, peer)).expect("a question");
        let mut answer = [0; 4096];
        let len = socket.read(&mut answer).expect("an answer");
        let kind = u16::from_ne_bytes([answer[4], answer[5]]);
        if kind != SOCK_DIAG_BY_FAMILY || len < 18 {
            return State::Closed;
        }
        state(answer[17])
    }
}

fn question(local: SocketAddrV4, peer: SocketAddrV4) -> Vec<u8> {
    let (len, sequence_and_port_id) = (72_u32, [0_u8; 8]);
    let header =
        [&len.to_ne_bytes()[..], &SOCK_DIAG_BY_FAMILY.to_ne_bytes(), &REQUEST.to_ne_bytes()].concat();
    let (inet, tcp, all_states, any_device, no_cookie) = (2, 6, [0xff; 4], [0; 4], [0xff; 8]);
    let mut ask = [&header[..], &sequence_and_port_id, &[inet, tcp, 0, 0], &all_states].concat();
    ask.extend(local.port().to_be_bytes());
    ask.extend(peer.port().to_be_bytes());
    for ip in [local.ip(), peer.ip()] {
        ask.extend(ip.octets());
        ask.extend([0; 12]);
    }
    ask.extend(any_device);
    ask.extend(no_cookie);
    ask
}

/// States as the kernel numbers them. LISTEN is the socket that would take a SYN: there is no connection.
fn state(value: u8) -> State {
    match value {
        1 => State::Established,
        2 => State::SynSent,
        3 | 12 => State::SynReceived,
        4 => State::FinWait1,
        5 => State::FinWait2,
        6 => State::TimeWait,
        8 => State::CloseWait,
        9 => State::LastAck,
        11 => State::Closing,
        _ => State::Closed,
    }
}
