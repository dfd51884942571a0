//! The memory of an engine: an array for every table.

use super::SCRATCH;
use crate::alias::Alias;
use crate::buffers::{StreamBuffer, StreamRanges};
#[cfg(feature = "alloc")]
use crate::config::Config;
use crate::defrag::DefragArrays;
use crate::flow::{Flow, Live};
use crate::handlers::{HandlerArrays, Registration};
use crate::memory::Memory;
use crate::neighbours::Neighbour;
use crate::outbox::OutFrame;
use crate::overlap::SegmentQueue;
use crate::shift::ShiftMap;
use crate::slab::{Id, Slot};
use crate::socket::{MonitorFilters, Socket};
use crate::table::Bucket;
#[cfg(feature = "alloc")]
use crate::table::Table;
use crate::timer::Link;
use crate::wait::Wait;
use core::fmt;
use tcp_reasm::Sides;

/// Arrays for every table of an engine; see [`Engine::with_memory`](super::Engine::with_memory). Each capacity is a limit of the engine.
pub struct Arrays<A: 'static, M: Memory> {
    /// [`Bucket::EMPTY`] everywhere, [`Table::buckets_for`] connections.
    pub buckets: M::Of<Bucket>,
    /// Empty, one for each connection.
    pub flows: M::Of<Slot<Flow>>,
    /// Empty, one for each connection that is awake.
    pub live: M::Of<Slot<Live>>,
    /// Empty, one for each connection.
    pub timers: M::Of<Link>,
    /// Empty, one for each timer of the application.
    pub alarms: M::Of<Slot<Registration<A, M>>>,
    /// Empty, one for each timer of the application.
    pub alarm_timers: M::Of<Link>,
    /// Stream memory: [`ringbuf_core::chunk::CHUNK`] octets for each chunk.
    pub octets: M::Of<u8>,
    /// One word for each chunk.
    pub links: M::Of<u32>,
    /// Empty, one for each stream that holds octets.
    pub streams: M::Of<Slot<StreamBuffer>>,
    /// Empty, one for each stream that holds octets early, or before a gap.
    pub ranges: M::Of<Slot<StreamRanges>>,
    /// Empty, one for each stream that holds octets early under a policy that compares segments.
    pub queues: M::Of<Slot<SegmentQueue>>,
    /// Empty, one for each stream that a socket waits for octets of.
    pub waits: M::Of<Slot<Wait>>,
    /// Empty, one for each socket.
    pub sockets: M::Of<Slot<Socket>>,
    /// Memory of handlers and user-defined events.
    pub handlers: HandlerArrays<A, M>,
    /// Empty, one for each monitor.
    pub filters: M::Of<Slot<MonitorFilters>>,
    /// [`Id::NONE`] everywhere, one for each monitor.
    pub monitors: M::Of<Id>,
    /// Empty, one for each frame that waits to be sent.
    pub output: M::Of<Slot<OutFrame>>,
    /// Octets for them, as many for each.
    pub output_octets: M::Of<u8>,
    /// [`Neighbour::EMPTY`] everywhere, one for each link header that is kept.
    pub neighbours: M::Of<Neighbour>,
    /// As many octets each as a frame that waits may have: for the packet in flight.
    pub scratch: [M::Of<u8>; SCRATCH],
    /// Empty, one for each connection of which a handler changed octets, or dropped some.
    pub shifts: M::Of<Slot<Sides<ShiftMap>>>,
    /// Empty, one for each connection with other addresses on the server's side.
    pub aliases: M::Of<Slot<Alias>>,
    /// [`Bucket::EMPTY`] everywhere, [`Table::buckets_for`] as many.
    pub alias_buckets: M::Of<Bucket>,
    /// Memory of IP datagrams that come in fragments; without it they are not put together.
    pub fragments: Option<DefragArrays<M>>,
}

impl<A, M: Memory> fmt::Debug for Arrays<A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arrays")
    }
}

#[cfg(feature = "alloc")]
impl<A> Arrays<A, crate::memory::Heap> {
    /// Octets that [`Arrays::on_heap`] reserves for `config`: all the memory of an engine, besides closures. `None` when
    /// they cannot be counted.
    pub fn footprint(config: &Config) -> Option<usize> {
        let octets = size_of::<[u8; ringbuf_core::chunk::CHUNK]>();
        let parts = [
            (Table::<crate::memory::Heap>::buckets_for(config.max_flows), size_of::<Bucket>()),
            (config.max_flows, size_of::<Slot<Flow>>() + size_of::<Link>()),
            (config.awake_limit(), size_of::<Slot<Live>>()),
            (config.max_timers, size_of::<Slot<Registration<A, crate::memory::Heap>>>() + size_of::<Link>()),
            (config.max_output, size_of::<Slot<OutFrame>>()),
            (config.max_output.saturating_add(SCRATCH), config.output_octets),
            (config.max_neighbours, size_of::<Neighbour>()),
            (Table::<crate::memory::Heap>::buckets_for(config.max_aliases), size_of::<Bucket>()),
            (config.max_aliases, size_of::<Slot<Alias>>()),
            (config.max_changed, size_of::<Slot<Sides<ShiftMap>>>()),
            (config.chunks, octets + size_of::<u32>()),
            (config.max_buffers, size_of::<Slot<StreamBuffer>>()),
            (config.range_limit(), size_of::<Slot<StreamRanges>>()),
            (config.max_queues, size_of::<Slot<SegmentQueue>>()),
            (config.max_waits, size_of::<Slot<Wait>>()),
            (config.max_sockets, size_of::<Slot<Socket>>()),
            (1, HandlerArrays::<A, crate::memory::Heap>::footprint(config)?),
            (config.max_monitors, size_of::<Slot<MonitorFilters>>() + size_of::<Id>()),
            (1, config.fragments.map_or(Some(0), |config| DefragArrays::footprint(&config))?),
        ];
        parts.into_iter().try_fold(0_usize, |sum, (n, size)| sum.checked_add(n.checked_mul(size)?))
    }

    /// Arrays on the heap for `config`. Memory is reserved, not touched, so what is never used costs nothing on
    /// systems that map pages lazily.
    pub fn on_heap(config: &Config) -> Self {
        use crate::memory::Reserved;
        let octets = config.chunks * ringbuf_core::chunk::CHUNK;
        Arrays {
            buckets: Reserved::filled(
                Bucket::EMPTY,
                Table::<crate::memory::Heap>::buckets_for(config.max_flows),
            ),
            flows: Reserved::with_capacity(config.max_flows),
            live: Reserved::with_capacity(config.awake_limit()),
            timers: Reserved::with_capacity(config.max_flows),
            alarms: Reserved::with_capacity(config.max_timers),
            alarm_timers: Reserved::with_capacity(config.max_timers),
            octets: Reserved::filled(0, octets),
            links: Reserved::filled(0, config.chunks),
            streams: Reserved::with_capacity(config.max_buffers),
            ranges: Reserved::with_capacity(config.range_limit()),
            queues: Reserved::with_capacity(config.max_queues),
            waits: Reserved::with_capacity(config.max_waits),
            sockets: Reserved::with_capacity(config.max_sockets),
            handlers: HandlerArrays::on_heap(config),
            filters: Reserved::with_capacity(config.max_monitors),
            monitors: Reserved::filled(Id::NONE, config.max_monitors),
            output: Reserved::with_capacity(config.max_output),
            output_octets: Reserved::filled(0, config.max_output * config.output_octets),
            neighbours: Reserved::filled(Neighbour::EMPTY, config.max_neighbours),
            scratch: core::array::from_fn(|_| Reserved::filled(0, config.output_octets)),
            aliases: Reserved::with_capacity(config.max_aliases),
            shifts: Reserved::with_capacity(config.max_changed),
            alias_buckets: Reserved::filled(
                Bucket::EMPTY,
                Table::<crate::memory::Heap>::buckets_for(config.max_aliases),
            ),
            fragments: config.fragments.as_ref().map(DefragArrays::on_heap),
        }
    }
}
