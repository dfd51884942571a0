//! Packet I/O and the per-core runtime of the mOS stack, and the command `mos`.
//!
//! ```text
//!   [`port`]     where packets come from and go to: capture files, interfaces, TAP devices  trait Port
//!   [`capture`]  pcap and pcapng, read and written
//!   [`clock`]    the time of ports that are not files
//!   [`rss`]      which core a packet belongs to
//!   [`handoff`]  frames to the core that owns their connection
//!   [`steer`]    which frames of a burst a core processes
//!   [`route`]    by which port a packet leaves, and to which station: routes, ARP, neighbour discovery
//!   [`links`]    one core's ports: receive ► Engine::process_burst ► transmit
//!   [`device`]   the ports of each worker, opened
//!   [`worker`]   one core's loop over them
//!   [`snapshot`] what a worker tells other threads of itself
//!   [`runtime`]  several workers, pinned, commanded, stopped
//!   `mos`        the command: replay, streams, events, peek, bench, monitor, forward
//! ```
//!
//! A monitor over a capture file in ten lines:
//!
//! ```no_run
//! use mos_dpdk::{Links, Worker, port::pcap::PcapSource};
//! use mos_flow::{Config, Engine, Event, Hook, Side, SocketKind};
//!
//! let mut engine = Engine::<u64>::new(Config::default())?;
//! let socket = engine.open(SocketKind::Stream)?;
//! engine.register(socket, Event::NewData, Hook::None, |ctx| {
//!     let side = ctx.side().unwrap_or(Side::Server);
//!     if let Ok((octets, mut monitor)) = ctx.split() {
//!         let _ = monitor.read_with(side, |_, data| *octets += data.len() as u64);
//!     }
//! }, 0)?;
//! let links = Links::listen(PcapSource::open("web.pcap".as_ref())?);
//! let mut worker = Worker::new(engine, 0, links);
//! worker.run()?;
//! println!("{} octets of payload", worker.app);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it does not do: no connections of its own (end-host sockets), and none that move from one worker to another.

pub mod config;

pub mod capture;

pub mod clock;

pub mod rss;

pub mod port;

pub mod handoff;

pub mod steer;

pub mod route;

pub mod links;

pub mod device;

mod doorbell;

pub mod worker;

pub mod snapshot;

pub mod runtime;

pub use links::Links;
pub use worker::Worker;

/// What the operating system says, without the number that Rust puts behind it.
pub fn sentence(error: &std::io::Error) -> String {
    let mut text = error.to_string();
    if let Some(number) = error.raw_os_error()
        && let Some(end) = text.strip_suffix(&format!(" (os error {number})")).map(str::len)
    {
        text.truncate(end);
    }
    text
}

/// A new secret for [`mos_flow::Config::hash_seed`], from the operating system.
///
/// # Errors
/// When the operating system has no randomness to give.
pub fn random_seed() -> std::io::Result<[u8; 16]> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
    Ok(seed)
}

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
