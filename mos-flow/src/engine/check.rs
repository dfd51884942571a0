//! What must hold of an engine between two packets, for tests and fuzz targets: they call it as often as they can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // failing is what a check is for

use super::Engine;
use crate::config::MAX_MONITORS;
use crate::flow::{Flow, Mark};
use crate::memory::Memory;
use crate::slab::NONE;
use tcp_reasm::Side;

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    flows: usize,
    awake: usize,
    embryonic: usize,
    over: usize,
    pending: usize,
    sockets: usize,
    ranges: usize,
    queues: usize,
    waits: usize,
    aliases: usize,
    shifts: usize,
}

impl<A, M: Memory> Engine<A, M> {
    /// Goes through every record.
    ///
    /// # Panics
    /// When something does not hold.
    pub(crate) fn check(&self) {
        let mut count = Count { sockets: self.sockets.snapshot().len(), ..Count::default() };
        for index in 0..self.flows.slots() {
            if let Some(flow) = self.flows.at(index) {
                self.check_flow(index, flow, &mut count);
            }
        }
        let counted = Count {
            flows: self.flows.len(),
            awake: self.flows.awake(),
            embryonic: self.embryonic,
            over: self.lingering,
            pending: self.check_pending(),
            sockets: self.sockets.len(),
            ranges: self.buffers.ranges(),
            queues: self.buffers.queues(),
            waits: self.waits.len(),
            aliases: self.aliases.len(),
            shifts: self.shifts.len(),
        };
        assert_eq!(count, counted);
        assert_eq!(self.scratch.len(), self.scratch.capacity(), "every buffer was given back");
        assert_eq!(self.wheel.len(), self.flows.len(), "a timer for each connection");
        assert_eq!(self.stats.flows - self.stats.flows_ended, self.flow_count() as u64, "flows are counted");
        let f = &self.stats.fragments;
        assert_eq!(f.fragments, f.held + f.complete + f.dropped.total(), "fragments are counted");
        self.outbox.check();
        self.sockets.check();
        #[cfg(feature = "alloc")]
        for (id, users) in self.sockets.handlers.closures.users() {
            let calls = self.sockets.handlers.calls_of(id) + self.alarms.calls_of(id);
            assert!(users as usize == calls, "users of a closure are counted");
        }
    }

    fn check_flow(&self, index: u32, flow: &Flow, count: &mut Count) {
        count.flows += 1;
        count.embryonic += usize::from(flow.is(Mark::Embryonic));
        count.over += usize::from(flow.over.is_some());
        assert!(self.wheel.is_running(index), "every connection has a timer");
        let hash = self.hasher.hash(&flow.key);
        assert_eq!(self.table.find(hash, |i| i == index), Some(index), "it is in the table");
        if let Some(live) = self.flows.live_of(flow) {
            count.awake += 1;
            count.pending += usize::from(live.in_pending_list);
            count.waits += self.waits.list(live.waits).count();
            count.aliases += usize::from(self.aliases.get(live.alias).is_some());
            count.shifts += usize::from(self.shifts.get(live.shifts).is_some());
            assert!(!live.pinned, "no packet is in flight");
            for side in Side::BOTH {
                let (buffer, run) = (live.buffers[side], live.conn.stream(side).window().run());
                assert!(!live.pending[side] || live.in_pending_list);
                let changed = self.is_side_changed(live, side);
                assert!(!changed || flow.is_buffered(side), "what was changed can be repeated");
                assert_eq!(self.buffers.frags(buffer).is_some(), !buffer.is_none(), "a record that exists");
                assert!(!buffer.is_none() || run.is_empty(), "octets are where there is memory");
                let ranges = self.buffers.frags(buffer).is_some_and(|frags| !frags.is_empty());
                assert_eq!(ranges, self.buffers.has_ranges(buffer), "a record of what there is");
                count.ranges += usize::from(ranges);
                count.queues += usize::from(self.buffers.has_queue(buffer));
                assert!(
                    flow.overlap[side].has_queue() || !self.buffers.has_queue(buffer),
                    "a queue is asked for"
                );
            }
        }
        let first = flow.first_socket;
        let mut at = first;
        for n in 0.. {
            let Some(socket) = self.sockets.at(at) else { break };
            assert_eq!(socket.flow(), Some(index), "a socket of this connection");
            assert_eq!(self.sockets.at(socket.next).map(|next| next.previous), Some(at), "a ring");
            assert!(n < MAX_MONITORS, "one for each monitor");
            count.sockets += 1;
            at = socket.next;
            if at == first {
                break;
            }
        }
        assert!((first == NONE) == (flow.over.is_some()), "somebody watches it until it ends");
    }

    fn check_pending(&self) -> usize {
        let (mut at, mut previous, mut n) = (self.pending.0, crate::slab::Id::NONE, 0);
        while !at.is_none() {
            let live = self.flows.live(at).expect("it is awake");
            assert!(live.in_pending_list && live.previous_pending == previous);
            (previous, at, n) = (at, live.next_pending, n + 1);
        }
        assert_eq!(self.pending.1, previous);
        n
    }
}
