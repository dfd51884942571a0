//! The record of one connection.

use crate::event::EventSet;
use crate::key::FlowKey;
use crate::slab::Id;
use crate::time::Instant;
use ringbuf_core::Overlap;
use tcp_reasm::{Conn, Side, Sides, Timers};

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides closed it.
    Closed,
    /// A RST.
    Reset,
    /// A new connection between the same ports took its place.
    Replaced,
    /// The engine was shut down.
    Shutdown,
    /// Nothing was heard of it for too long.
    TimedOut,
}

/// One connection. Public only so that memory for it can be lent.
#[derive(Debug)]
pub struct Flow {
    pub(crate) key: FlowKey,
    pub(crate) hash: u64,
    pub(crate) conn: Conn,
    /// Number in the order of appearance, from 0.
    pub(crate) number: u64,
    /// What happened when, in running time.
    pub(crate) timers: Timers<Instant>,
    pub(crate) timer: Id,
    /// Memory of the stream each side receives.
    pub(crate) buffers: Sides<Id>,
    /// First and last of the sockets that watch it, in the order of their monitors.
    pub(crate) first_socket: Id,
    pub(crate) last_socket: Id,
    /// Next in the list of connections with new data.
    pub(crate) next_pending: Id,
    /// Streams with octets that were not announced yet.
    pub(crate) pending: Sides<bool>,
    /// Which copy of an octet each stream keeps.
    pub(crate) overlap: Sides<Overlap>,
    /// Streams whose octets are kept.
    pub(crate) buffered: Sides<bool>,
    /// The endpoint with the low address is the client.
    pub(crate) client_is_low: bool,
    pub(crate) in_pending_list: bool,
    /// A socket stopped watching; perhaps no one is left.
    pub(crate) was_stopped: bool,
    /// Some socket has read in order.
    pub(crate) was_read: bool,
    /// Its beginning was told.
    pub(crate) was_announced: bool,
    /// Events that some socket has, or had, a handler for, by hook.
    pub(crate) interest: [EventSet; 3],
    /// It ended; the record only keeps stray packets from starting a new one.
    pub(crate) over: Option<EndReason>,
}

impl Flow {
    /// The sender of a packet that goes from the low endpoint to the high one, or the other way.
    pub(crate) fn sender(&self, ascending: bool) -> Side {
        if ascending == self.client_is_low { Side::Client } else { Side::Server }
    }
}
