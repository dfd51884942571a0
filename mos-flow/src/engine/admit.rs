//! A segment of an unknown connection: a new one, or an orphan.

use super::{Engine, Passage};
use crate::config::MAX_MONITORS;
use crate::flow::{Flow, Mark, NoFlow};
use crate::memory::Memory;
use crate::reason::DropReason;
use crate::slab::{Id, NONE};
use crate::socket::{FilterSlot, Selection, SocketKind};
use tcp_reasm::{Conn, Segment, Side};

impl<A, M: Memory> Engine<A, M> {
    /// Opens a connection for the segment if one begins here and somebody wants it.
    pub(super) fn admit(&mut self, passage: &mut Passage<'_, M>, app: &mut A) {
        match self.begin(passage.segment) {
            Some((conn, sender)) => self.admit_as(&conn, sender, passage, app),
            None => self.raise_orphan(passage, DropReason::Orphan, app),
        }
    }

    /// Opens `conn`, whose first segment this is, if somebody wants it.
    pub(super) fn admit_as(&mut self, conn: &Conn, sender: Side, passage: &mut Passage<'_, M>, app: &mut A) {
        let mut monitors = self.matching_monitors(passage, sender);
        // What a handler of a connection that gave way did to the monitors counts.
        if !monitors.is_empty() && conn.is_embryonic() && self.limit_handshakes(app) {
            monitors = self.matching_monitors(passage, sender);
        }
        let mut inserted = self.insert_flow(conn, sender, monitors, passage);
        // A socket for each monitor may take as many connections that give way.
        for _ in 0..MAX_MONITORS {
            let room = match inserted {
                Err(DropReason::AwakeFull) => self.free_live_record(),
                Err(DropReason::SocketsFull) => self.make_room(app),
                Err(DropReason::TableFull) if self.flows.len() == self.flows.capacity() => {
                    self.make_room(app)
                }
                _ => false,
            };
            if !room {
                break;
            }
            let monitors = self.matching_monitors(passage, sender);
            inserted = self.insert_flow(conn, sender, monitors, passage);
        }
        match inserted {
            Ok(id) => self.on_segment(id, passage, app),
            Err(reason) => self.raise_orphan(passage, reason, app),
        }
    }

    /// The connection that begins with this segment, and the side that sent it.
    #[inline]
    fn begin(&self, segment: &Segment<'_>) -> Option<(Conn, Side)> {
        let (mut conn, sender) = if segment.opens() {
            (Conn::new(self.flows.window()), Side::Client)
        } else {
            self.begin_midstream(segment)?
        };
        conn.set_strictness(self.config.strictness);
        Some((conn, sender))
    }

    /// The same of which the SYN was not seen.
    fn begin_midstream(&self, segment: &Segment<'_>) -> Option<(Conn, Side)> {
        let window = self.flows.window();
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
    fn matching_monitors(&self, passage: &Passage<'_, M>, sender: Side) -> Selection {
        self.sockets.select(|id, socket| {
            socket.kind == SocketKind::Stream
                && self.matches(id, FilterSlot::Syn, passage.view, sender == Side::Server)
        })
    }

    fn insert_flow(
        &mut self,
        conn: &Conn,
        sender: Side,
        mut monitors: Selection,
        passage: &Passage<'_, M>,
    ) -> Result<Id, DropReason> {
        if monitors.is_empty() {
            return Err(DropReason::Orphan);
        }
        let (key, hash) = (passage.lookup.key, passage.lookup.hash);
        let client_is_low = passage.lookup.ascending == (sender == Side::Client);
        let number = self.stats.flows;
        let mut flow = Flow::new(key, number, client_is_low, self.config.overlap);
        if passage.whole {
            flow.neighbour = self.neighbours.note(&passage.view, sender, number);
        }
        // A connection that is picked up in the middle has had its handshake.
        let embryonic = conn.is_embryonic();
        flow.set(Mark::Embryonic, embryonic);
        flow.set(Mark::Answered, !embryonic);
        let id = self.flows.insert(flow, conn, self.clock.running()).map_err(|none| match none {
            NoFlow::Flows => DropReason::TableFull,
            NoFlow::Live => DropReason::AwakeFull,
        })?;
        if self.table.insert(hash, id.index()).is_err() {
            self.flows.remove(id);
            return Err(DropReason::TableFull);
        }
        self.embryonic += usize::from(embryonic);
        while let Some(monitor) = self.sockets.take_first(&mut monitors) {
            if !self.attach_socket(id, monitor) {
                self.discard(id);
                return Err(DropReason::SocketsFull);
            }
        }
        self.start_flow_timer(id);
        self.stats.flows += 1;
        self.stats.flows_peak = self.stats.flows_peak.max(self.flow_count() as u64);
        Ok(id)
    }

    /// Opens an active socket for the connection, at the end of the ring. Returns whether there was one left.
    fn attach_socket(&mut self, id: Id, monitor: Id) -> bool {
        let Ok(socket) = self.sockets.open_active(monitor, id.index()) else { return false };
        let interest = self.sockets.interest(socket);
        let (Some(flow), Some(s)) = (self.flows.get_mut(id), self.sockets.at_mut(socket.index())) else {
            return false;
        };
        for (all, own) in flow.interest.iter_mut().zip(interest) {
            *all |= own;
        }
        for side in Side::BOTH {
            flow.set(Mark::buffered(side), flow.is_buffered(side) || s.wishes[side].octets());
            flow.overlap[side] = s.wishes[side].overlap().unwrap_or(flow.overlap[side]);
        }
        if flow.first_socket == NONE {
            flow.first_socket = socket.index();
        }
        self.sockets.link_before(socket.index(), flow.first_socket);
        true
    }
}

/// Without a handshake the end with the lower port is taken for the server.
fn likely_side(segment: &Segment<'_>) -> Side {
    if segment.src_port < segment.dst_port { Side::Server } else { Side::Client }
}
