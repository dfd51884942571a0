//! The one list of reasons for which a packet is not processed further.

use core::fmt;

/// How much a drop reason should worry an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Ordinary traffic that is none of our business.
    Info,
    /// Traffic that a well-behaved network does not carry.
    Warning,
    /// Something was lost that should not have been: a limit of this engine.
    Error,
}

macro_rules! drop_reasons {
    ($($name:ident => $symbol:literal, $severity:ident, $sentence:literal;)+) => {
        /// Why a packet is not processed further. Every such packet is counted under exactly one reason.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $sentence] $name,)+
        }

        impl DropReason {
            /// All reasons in the order of their values.
            pub const ALL: &[DropReason] = &[$(DropReason::$name),+];

            /// A short name for counters and machines.
            pub fn symbol(self) -> &'static str {
                match self { $(DropReason::$name => $symbol),+ }
            }

            /// One sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(DropReason::$name => $sentence),+ }
            }

            /// How bad it is.
            pub fn severity(self) -> Severity {
                match self { $(DropReason::$name => Severity::$severity),+ }
            }
        }
    };
}

drop_reasons! {
    AwakeFull => "awake_full", Error, "No live record for a connection that a segment wakes.";
    BadLength => "bad_length", Warning, "A length field contradicts the packet.";
    EditLost => "edit_lost", Error, "Octets that a handler had changed were sent again, and are not held any more.";
    FrameTooShort => "frame_too_short", Warning, "The frame ends inside a header.";
    HeaderDepth => "header_depth", Warning, "More nested headers than are followed.";
    IpChecksum => "ip_checksum", Warning, "The IPv4 header checksum is wrong.";
    IpFragment => "ip_fragment", Info, "An IP fragment, and datagrams are not put together.";
    NotIp => "not_ip", Info, "The frame carries neither IPv4 nor IPv6.";
    NotTcp => "not_tcp", Info, "The IP packet carries no TCP.";
    Orphan => "orphan", Info, "A TCP segment of no tracked connection.";
    OutputFull => "output_full", Error, "No memory for the changed copy of a packet.";
    SocketsFull => "sockets_full", Error, "No monitoring socket left for a new connection.";
    TableFull => "table_full", Error, "No room for a new connection.";
    TcpChecksum => "tcp_checksum", Warning, "The TCP checksum is wrong.";
    TcpHeader => "tcp_header", Warning, "The TCP header does not fit its packet.";
    UnknownLink => "unknown_link", Warning, "The link type is not supported.";
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())
    }
}
