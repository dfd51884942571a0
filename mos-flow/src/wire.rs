//! From a frame to the headers that matter: link layer, VLAN tags, tunnels, IPv4, IPv6.
//!
//! Views are typed and lie in the frame (no copy); a [`Walker`] walks them once and keeps the places. The walk ends at
//! the innermost IP packet:
//!
//! ```text
//!   Ethernet, Linux cooked, null ─► VLAN tags ─► MPLS, PPPoE ─► IP ─► TCP, UDP, ...
//!        ▲                                            ▲         │
//!        │                                            │         ├─► IP, GRE, MPLS by protocol number
//!        └───────── ERSPAN, VXLAN, ... ───────────────┴─────────┴─► VXLAN, GTP-U, Teredo, MPLS by UDP port
//! ```
//!
//! What all tunnels have in common:
//! 1. A header inside is bounded by the length of what carries it, not by the frame: padding and trailers never belong
//!    to a packet.
//! 2. A protocol number is a promise. When what it carries is damaged, the packet is dropped with the reason; when it
//!    is no IP (a GRE keepalive), the packet is the outer one.
//! 3. A UDP port is a guess. When the inside does not look like a whole IP packet, the packet is the UDP packet.
//! 4. Everything is counted: [`MAX_DEPTH`] IP headers, [`VlanStack::MAX`] tags, [`MAX_LABELS`] MPLS labels and
//!    [`MAX_EXTENSIONS`] extension headers in a frame, whatever they are nested in.

pub mod checksum;

pub mod ethernet;

pub mod ipv4;

pub mod ipv6;

pub mod udp;

mod link;

pub(crate) mod network;

mod packet;

pub(crate) mod plain;

mod parse;

mod tunnel;

mod vlan;

#[cfg(test)]
pub(crate) mod craft;

pub(crate) use link::SNAP;
pub use link::{LinkType, MAX_LABELS};
pub(crate) use packet::TCP;
pub use packet::{Family, Fragment, Packet};
pub(crate) use parse::verify;
pub use parse::{MAX_DEPTH, MAX_EXTENSIONS, Walker, parse};
pub use vlan::VlanStack;
