//! Fragments, and the datagrams that come of them.
//!
//! A fragment is forwarded at once; raw sockets have seen it, like any frame. The fragment with which a datagram is complete
//! stands for it: the datagram is walked and followed as if it had come in one piece, and what handlers decide about it
//! concerns that last fragment.

use super::{Engine, Prepared};
use crate::defrag::{Fragment, Outcome};
use crate::key::FlowKey;
use crate::memory::Memory;
use crate::packet::{Frame, Verdict};
use crate::reason::DropReason;
use crate::wire::{LinkType, Packet, checksum};

impl<A, M: Memory> Engine<A, M> {
    pub(super) fn on_fragment(&mut self, frame: &Frame<'_>, packet: &Packet, app: &mut A) -> Verdict {
        let Some(fragment) = Fragment::of(frame.data, packet) else { return Verdict::Forward };
        // A host looks at the header of each fragment before it keeps it.
        if self.config.verify_checksums && !checksum::ip_ok(frame.data, packet) {
            self.count_drop(DropReason::IpChecksum);
            return Verdict::Forward;
        }
        let hash = self.hasher.words(&fragment.words());
        let Some(defrag) = &mut self.defrag else {
            self.count_drop(DropReason::IpFragment);
            return Verdict::Forward;
        };
        let outcome = defrag.add(&fragment, hash, self.clock.running());
        self.stats.fragments = *defrag.stats();
        if outcome != Outcome::Complete {
            return Verdict::Forward;
        }
        // Out of the engine, because what is in it may be a fragment again.
        let Some(datagram) = defrag.take_output() else { return Verdict::Forward };
        let verdict = self.on_datagram(frame, packet, &datagram, app);
        if let Some(defrag) = &mut self.defrag {
            defrag.put_back(datagram);
        }
        verdict
    }

    fn on_datagram(&mut self, frame: &Frame<'_>, part: &Packet, datagram: &[u8], app: &mut A) -> Verdict {
        let packet = match self.walker.walk_again(datagram, part) {
            Ok(packet) => packet,
            Err(reason) => {
                self.count_drop(reason);
                return Verdict::Forward;
            }
        };
        let wire_len = u32::try_from(datagram.len()).unwrap_or(u32::MAX);
        let frame = Frame { data: datagram, wire_len, link: LinkType::RawIp, ..*frame };
        if packet.fragment.is_some() {
            return self.on_fragment(&frame, &packet, app);
        }
        let lookup = self.lookup_of(FlowKey::of_packet(frame.data, &packet));
        let prepared = Prepared { packet: &packet, lookup: &lookup };
        // The fragments have gone their ways: nothing can be changed, so nothing is.
        self.follow(&frame, prepared, (Verdict::Forward, false), &mut None, app)
    }

    /// Gives up the datagrams whose time is up.
    pub(super) fn expire_fragments(&mut self) {
        if let Some(defrag) = self.defrag.as_mut().filter(|defrag| !defrag.is_empty()) {
            // Asked for each packet: counters are copied only when there is something new to tell.
            if defrag.expire(self.clock.running()) > 0 {
                self.stats.fragments = *defrag.stats();
            }
        }
    }
}
