//! Why a frame goes nowhere, and what else is counted.

use mos_flow::reason::Severity;
use std::fmt;

macro_rules! route_drops {
    ($($name:ident => $symbol:literal, $severity:ident, $sentence:literal;)+) => {
        /// Why a frame, or a packet that waited, was not sent on. Each is counted under exactly one reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum RouteDrop {
            $(#[doc = $sentence] $name,)+
        }

        impl RouteDrop {
            /// All reasons in the order of their values.
            pub const ALL: &[RouteDrop] = &[$(RouteDrop::$name),+];

            /// A short name for counters and machines.
            pub fn symbol(self) -> &'static str {
                match self { $(RouteDrop::$name => $symbol),+ }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(RouteDrop::$name => $sentence),+ }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(RouteDrop::$name => Severity::$severity),+ }
            }
        }
    };
}

route_drops! {
    AddressConflict => "address_conflict", Warning, "Another station says that it has one of the router's addresses.";
    BadHeader => "bad_header", Warning, "The IP header is broken, or longer than the frame.";
    BadNeighbour => "bad_neighbour", Warning, "An ARP or neighbour discovery message breaks its rules.";
    Broadcast => "broadcast", Info, "The destination is the broadcast address of a network.";
    FrameTooShort => "frame_too_short", Warning, "The frame ends inside its link header.";
    HopLimit => "hop_limit", Info, "The time to live or hop limit ran out.";
    IpChecksum => "ip_checksum", Warning, "The IPv4 header checksum is wrong.";
    LinkBroadcast => "link_broadcast", Warning, "A packet for one address in a frame for many stations.";
    LinkLocal => "link_local", Info, "Packets from and to link-local addresses stay on their link.";
    Local => "local", Info, "A packet to the router itself that it does not answer.";
    MartianDestination => "martian_destination", Warning, "The destination is an address that no host can have.";
    MartianSource => "martian_source", Warning, "The source is an address that no other host can have.";
    Multicast => "multicast", Info, "Packets to groups are not routed.";
    NoPort => "no_port", Error, "The frame came by a port that the router has no interface for.";
    NoRoute => "no_route", Warning, "No route leads to the destination.";
    NotIp => "not_ip", Info, "The frame carries neither IP nor ARP.";
    OtherStation => "other_station", Info, "The frame is for another station.";
    OtherTarget => "other_target", Info, "The question for a hardware address is for another station.";
    Tagged => "tagged", Warning, "Frames with a VLAN tag are not routed.";
    TooLarge => "too_large", Info, "The packet is too large for the next link and must not be fragmented.";
    Unasked => "unasked", Info, "A neighbour told an address that it was not asked for.";
    Unresolved => "unresolved", Warning, "The next hop does not tell its hardware address.";
    WaitingFull => "waiting_full", Error, "Too many packets wait for hardware addresses, and the oldest gave way.";
}

impl fmt::Display for RouteDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}

/// What a router did since it was made.
///
/// Each frame or packet that it was given, and each that it made itself (`errors` and `echoes`), is in one of `sent`,
/// `answered`, `learned`, the drops and `waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteStats {
    /// Packets that were sent to their next hop, whole or in fragments.
    pub sent: u64,
    /// Of these, those that were sent in fragments.
    pub fragmented: u64,
    /// Packets that wait now for the hardware address of their next hop.
    pub waiting: u64,
    /// Requests that were answered: ARP, neighbour solicitations, echo.
    pub answered: u64,
    /// Of these, echo requests.
    pub echoes: u64,
    /// Answers to what the router asked.
    pub learned: u64,
    /// ARP requests and neighbour solicitations that were sent.
    pub asked: u64,
    /// ICMP errors that were sent.
    pub errors: u64,
    /// ICMP errors that were due and not sent: too many, or no way to the host they are for.
    pub errors_withheld: u64,
    drops: [u64; RouteDrop::ALL.len()],
}

impl RouteStats {
    /// Frames and packets that went nowhere for this reason.
    pub fn dropped(&self, reason: RouteDrop) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Every reason with its count, those that are zero included, always in the same order.
    pub fn drops(&self) -> impl Iterator<Item = (RouteDrop, u64)> + '_ {
        RouteDrop::ALL.iter().copied().zip(self.drops)
    }

    pub(super) fn add(&mut self, reason: RouteDrop, count: u64) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter += count;
        }
    }
}
