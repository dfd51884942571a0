//! A segment of an unknown connection: a new one, or an orphan.

use super::{Alarm, Engine, Passage};
use crate::event::EventSet;
use crate::flow::Flow;
use crate::memory::Memory;
use crate::slab::Id;
use crate::socket::{FilterSlot, Snapshot, SocketKind};
use crate::stats::DropReason;
use tcp_reasm::{Conn, Segment, Side, Sides, Timers};

impl<A, M: Memory> Engine<A, M> {
    /// Opens a connection for the segment if one begins here and somebody wants it.
    pub(super) fn admit(&mut self, passage: &mut Passage<'_>, app: &mut A) {
        match self.begin(passage.segment) {
            Some((conn, sender)) => self.admit_as(conn, sender, passage, app),
            None => self.raise_orphan(passage, DropReason::Orphan, app),
        }
    }

    /// Opens `conn`, whose first segment this is, if somebody wants it.
    pub(super) fn admit_as(&mut self, conn: Conn, sender: Side, passage: &mut Passage<'_>, app: &mut A) {
        let monitors = self.matching_monitors(passage, sender);
        if monitors.is_empty() {
            return self.raise_orphan(passage, DropReason::Orphan, app);
        }
        let mut inserted = self.insert_flow(conn, sender, &monitors, passage);
        if inserted.is_err() && self.forget_lingering() {
            inserted = self.insert_flow(conn, sender, &monitors, passage);
        }
        match inserted {
            Ok(id) => self.on_segment(id, passage, app),
            Err(reason) => self.raise_orphan(passage, reason, app),
        }
    }

    /// The connection that begins with this segment, and the side that sent it.
    fn begin(&self, segment: &Segment<'_>) -> Option<(Conn, Side)> {
        let window = self.window;
        if segment.opens() {
            return Some((Conn::new(window), Side::Client));
        }
        if !self.config.midstream || segment.is_rst() || !segment.is_ack() {
            return None;
        }
        if segment.is_syn() {
            return (!segment.is_fin()).then(|| (Conn::from_syn_ack(segment, window), Side::Server));
        }
        (segment.payload_len > 0).then(|| (Conn::midstream(window), likely_side(segment)))
    }

    /// The stream sockets whose SYN filter matches. When the beginning was not seen and the server speaks first, the
    /// filter is asked about the segment that is answered.
    fn matching_monitors(&self, passage: &Passage<'_>, sender: Side) -> Snapshot {
        let mut monitors = self.sockets.snapshot();
        monitors.retain(|id| {
            self.sockets.get(*id).is_ok_and(|s| s.kind == SocketKind::Stream)
                && self.matches(*id, FilterSlot::Syn, passage.view, sender == Side::Server)
        });
        monitors
    }

    fn insert_flow(
        &mut self,
        mut conn: Conn,
        sender: Side,
        monitors: &Snapshot,
        passage: &Passage<'_>,
    ) -> Result<Id, DropReason> {
        conn.set_strictness(self.config.strictness);
        let flow = Flow {
            key: passage.prepared.key,
            hash: passage.prepared.hash,
            conn,
            number: self.stats.flows,
            timers: Timers::new(self.clock.running()),
            timer: Id::NONE,
            buffers: Sides::from_fn(|_| Id::NONE),
            first_socket: Id::NONE,
            last_socket: Id::NONE,
            next_pending: Id::NONE,
            pending: Sides::default(),
            overlap: Sides::from_fn(|_| self.config.overlap),
            buffered: Sides::default(),
            client_is_low: passage.prepared.ascending == (sender == Side::Client),
            in_pending_list: false,
            was_stopped: false,
            was_read: false,
            was_announced: false,
            interest: [EventSet::NONE; 3],
            over: None,
        };
        let id = self.flows.insert(flow).map_err(|_| DropReason::TableFull)?;
        if self.table.insert(passage.prepared.hash, id.index()).is_err() {
            self.flows.remove(id);
            return Err(DropReason::TableFull);
        }
        let timer = self.wheel.start(self.clock.running(), Alarm::Flow(id));
        if let (Some(timer), Some(flow)) = (timer, self.flows.get_mut(id)) {
            flow.timer = timer;
        }
        let attached = monitors.iter().all(|monitor| self.attach_socket(id, *monitor));
        if timer.is_none() || !attached {
            self.discard(id);
            return Err(if attached { DropReason::TableFull } else { DropReason::SocketsFull });
        }
        self.start_flow_timer(id);
        self.stats.flows += 1;
        self.stats.flows_peak = self.stats.flows_peak.max(self.flow_count() as u64);
        Ok(id)
    }

    /// Opens an active socket for the connection. Returns whether there was one left.
    fn attach_socket(&mut self, id: Id, monitor: Id) -> bool {
        let Ok(socket) = self.sockets.open_active(monitor, id) else { return false };
        let interest = self.sockets.interest(socket);
        let Some(flow) = self.flows.get_mut(id) else { return false };
        for (all, own) in flow.interest.iter_mut().zip(interest) {
            *all |= own;
        }
        let previous = core::mem::replace(&mut flow.last_socket, socket);
        if flow.first_socket.is_none() {
            flow.first_socket = socket;
        }
        if let Ok(s) = self.sockets.get_mut(socket) {
            s.previous = previous;
            for side in Side::BOTH {
                flow.buffered[side] |= s.buffers[side];
                if let Some(policy) = s.overlap[side] {
                    flow.overlap[side] = policy;
                }
            }
        }
        if let Ok(p) = self.sockets.get_mut(previous) {
            p.next = socket;
        }
        true
    }
}

/// Without a handshake the end with the lower port is taken for the server.
fn likely_side(segment: &Segment<'_>) -> Side {
    if segment.src_port < segment.dst_port { Side::Server } else { Side::Client }
}
