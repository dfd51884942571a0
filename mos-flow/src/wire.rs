//! From a frame to the headers that matter: link layer, VLAN tags, IPv4, IPv6.
//!
//! Views are typed and lie in the frame (no copy); [`parse()`] walks them once and keeps the places.

pub mod checksum;

pub mod ethernet;

pub mod ipv4;

pub mod ipv6;

mod parse;

mod vlan;

pub(crate) use parse::verify;
pub use parse::{Family, LinkType, Packet, parse};
pub use vlan::VlanStack;
