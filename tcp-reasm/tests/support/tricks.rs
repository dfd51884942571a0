//! The modes of fragrouter and the directives of fragroute, after their manuals.

use crate::captures::Packet;
use ringbuf_core::SeqNum;
use tcp_reasm::options::{Options, Timestamps};
use tcp_reasm::{Flags, Side};

/// SplitMix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// A segment that somebody sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) packet: Packet,
    /// A wrong checksum is found before TCP, and a life too short ends before the host: nothing of it concerns this
    /// crate, whose caller hands it what reaches a host's TCP.
    pub(crate) arrives: bool,
    genuine: bool,
    /// It came before something that was sent before.
    early: bool,
    /// Equal for what may change places: new octets in a row, between two segments of the other host. No retransmission
    /// is among them: what it overtakes has an older clock, and the host would refuse it.
    batch: usize,
}

impl Sent {
    /// An exchange as it was captured.
    pub(crate) fn genuine(packets: &[Packet]) -> Vec<Self> {
        let mut next: [Option<SeqNum>; 2] = [None; 2];
        let mut sent: Vec<Sent> = Vec::new();
        for packet in packets {
            let next = &mut next[packet.from as usize];
            let (seq, end) = (packet.segment().seq, packet.segment().end());
            let early = next.is_some_and(|next| !seq.le(next));
            if !early {
                *next = Some(next.map_or(end, |next| next.max(end)));
            }
            let mut this =
                Sent { packet: packet.clone(), arrives: true, genuine: true, early, batch: sent.len() };
            let last = sent.last().filter(|last| last.is_data() && this.is_data());
            if let Some(last) = last.filter(|last| last.packet.from == packet.from)
                && last.packet.segment().end() == seq
            {
                this.batch = last.batch;
            }
            sent.push(this);
        }
        sent
    }

    /// A segment that goes with this one.
    fn forged(&self, packet: Packet) -> Self {
        Sent { packet, genuine: false, ..self.clone() }
    }

    fn is_data(&self) -> bool {
        let p = &self.packet;
        let payload = !p.payload.is_empty() || p.flags.has(Flags::FIN);
        payload && !p.flags.any(Flags::SYN | Flags::RST)
    }
}

/// Whose octets are true where pieces of a segment overlap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Favor {
    /// They do not overlap.
    None,
    /// Those that came first: each piece begins with false octets for what is there already.
    Old,
    /// Those that came last. Linux prefers them only where they begin before the others, and nothing of either was in
    /// order: the pieces come from the last to the first, each with false octets for the end of the one that follows.
    New,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Chaff {
    Cksum,
    /// No fragroute directive: as it should be but for the octets, and before the true ones.
    Forged,
    /// Without the ACK flag (fragrouter's I3).
    NoAck,
    Null,
    Paws,
    Rexmit,
    Seq,
    Syn,
    Ttl,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    First,
    Last,
    Random,
}

/// What is done to an exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trick {
    /// Cuts segments into pieces of so many octets.
    Seg(usize, Favor),
    Chaff(Chaff),
    OrderRandom,
    OrderReverse,
    Dup(Part),
    Delay(Part),
    /// Cuts, and shuffles the pieces of each segment, but for those that wait already: no host keeps as many pieces.
    Shuffled(usize),
    /// A FIN and a RST with bad checksums before each segment.
    BadEnds,
    /// The same with good ones.
    GoodEnds,
    PenultimateTwice,
    PenultimateNull,
    ForwardOverPairs,
    OneEarly,
    NullBeforeHandshake,
    ResetBefore,
}

impl Trick {
    pub(crate) fn play(self, exchange: Vec<Sent>, rng: &mut Rng) -> Vec<Sent> {
        match self {
            Trick::NullBeforeHandshake => return before(exchange, null_before_handshake),
            Trick::ResetBefore => return before(exchange, reset_before),
            _ => {}
        }
        // Half a megabyte in single octets takes long: of a long exchange a part is cut so.
        let fine = matches!(self, Trick::Seg(1, _) | Trick::Shuffled(_) | Trick::ForwardOverPairs);
        let spared = if fine && exchange.len() > 60 { 15 } else { 0 };
        let mut played = Vec::new();
        for batch in exchange.chunk_by(|a, b| a.batch == b.batch) {
            let data = batch.iter().any(Sent::is_data) && rng.below(1 + spared) == 0;
            played.extend(if data { self.play_batch(batch.to_vec(), rng) } else { batch.to_vec() });
        }
        played
    }

    fn play_batch(self, mut batch: Vec<Sent>, rng: &mut Rng) -> Vec<Sent> {
        match self {
            Trick::Seg(size, favor) => batch.into_iter().flat_map(|s| cut(s, size, favor)).collect(),
            Trick::Chaff(chaff) => batch.into_iter().flat_map(|s| chaff.beside(s, rng)).collect(),
            Trick::OrderRandom => {
                rng.shuffle(&mut batch);
                batch
            }
            Trick::OrderReverse => {
                batch.reverse();
                batch
            }
            Trick::Dup(part) => {
                let i = part.of(&batch, rng);
                batch.insert(i, batch[i].clone());
                batch
            }
            Trick::Delay(part) => delay(batch, part, rng),
            Trick::Shuffled(size) => {
                let shuffled = |s: Sent| {
                    if s.early {
                        return vec![s];
                    }
                    let mut pieces = cut(s, size, Favor::None);
                    rng.shuffle(&mut pieces);
                    pieces
                };
                batch.into_iter().flat_map(shuffled).collect()
            }
            Trick::BadEnds => batch.into_iter().flat_map(|s| ends(s, false)).collect(),
            Trick::GoodEnds => batch.into_iter().flat_map(|s| ends(s, true)).collect(),
            Trick::PenultimateTwice | Trick::PenultimateNull => self.double_penultimate(batch),
            Trick::ForwardOverPairs => batch.into_iter().flat_map(forward_over_pairs).collect(),
            Trick::OneEarly => {
                let (from, to) = (rng.below(batch.len()), rng.below(batch.len()));
                let one = batch.remove(from);
                batch.insert(to, one);
                batch
            }
            Trick::NullBeforeHandshake | Trick::ResetBefore => batch,
        }
    }

    fn double_penultimate(self, mut batch: Vec<Sent>) -> Vec<Sent> {
        let Some(at) = batch.len().checked_sub(2) else { return batch };
        let again = match self {
            Trick::PenultimateNull => batch[at].forged(false_copy(&batch[at].packet, 0)),
            _ => batch[at].clone(),
        };
        batch.insert(at + 1, again);
        batch
    }
}

impl Part {
    fn of(self, batch: &[Sent], rng: &mut Rng) -> usize {
        match self {
            Part::First => 0,
            Part::Last => batch.len() - 1,
            Part::Random => rng.below(batch.len()),
        }
    }
}

/// A late segment comes when the others are through. The last one of what is sent at once is overtaken by the first one
/// of what is sent next.
fn delay(mut batch: Vec<Sent>, part: Part, rng: &mut Rng) -> Vec<Sent> {
    let Some(others) = batch.len().checked_sub(1).filter(|n| *n > 0) else { return batch };
    let (from, to) = match part {
        Part::First => (0, others),
        Part::Random => (rng.below(others), others),
        Part::Last => {
            let end = rng.below(others);
            (end, end + 1)
        }
    };
    let late = batch.remove(from);
    batch.insert(to, late);
    batch
}

/// The same segment with other octets: each differs from the true one.
fn false_copy(packet: &Packet, octet: u8) -> Packet {
    let other = |true_octet: &u8| if *true_octet == octet { !octet } else { octet };
    Packet {
        payload: packet.payload.iter().map(other).collect(),
        flags: Flags(packet.flags.0 & !Flags::FIN.0),
        ..packet.clone()
    }
}

/// The pieces of a segment, in the order in which they are sent; the FIN goes with the last octet.
fn cut(sent: Sent, size: usize, favor: Favor) -> Vec<Sent> {
    let whole = &sent.packet;
    if whole.payload.len() <= size || !sent.genuine {
        return vec![sent];
    }
    let mut pieces = Vec::new();
    for (i, octets) in whole.payload.chunks(size).enumerate() {
        let at = i * size;
        let early = if favor == Favor::None || i == 0 { 0 } else { size / 2 };
        let last = at + octets.len() == whole.payload.len();
        let flags = if last { whole.flags } else { Flags(whole.flags.0 & !Flags::FIN.0) };
        let before = whole.payload[at - early..at].iter().map(|octet| !octet);
        let payload = before.chain(octets.iter().copied()).collect();
        let seq = whole.seq.wrapping_add((at - early) as u32);
        pieces.push(Sent { packet: Packet { seq, flags, payload, ..whole.clone() }, ..sent.clone() });
    }
    if favor == Favor::New {
        pieces.reverse();
    }
    pieces
}

impl Chaff {
    /// A segment and the chaff for it.
    fn beside(self, sent: Sent, rng: &mut Rng) -> Vec<Sent> {
        if sent.packet.payload.is_empty() || !sent.genuine {
            return vec![sent];
        }
        let copy = false_copy(&sent.packet, rng.next() as u8);
        let far = 0x2000_0000 + (rng.next() as u32 >> 3); // beyond every window, or behind
        let (seq, options) = (copy.seq, copy.options);
        let forged = match self {
            Chaff::Null => Packet { flags: Flags(0), ..copy },
            Chaff::NoAck => Packet { flags: Flags(copy.flags.0 & !Flags::ACK.0), ..copy },
            Chaff::Paws => Packet { options: old(options), ..copy },
            Chaff::Seq if rng.below(2) == 0 => Packet { seq: seq.wrapping_add(far), ..copy },
            Chaff::Seq => Packet { seq: seq.wrapping_sub(far), ..copy },
            Chaff::Syn => Packet { seq: seq.wrapping_add(far), flags: Flags::SYN, ..copy },
            Chaff::Cksum | Chaff::Forged | Chaff::Rexmit | Chaff::Ttl => copy,
        };
        let arrives = !matches!(self, Chaff::Cksum | Chaff::Ttl);
        let forged = Sent { arrives, ..sent.forged(forged) };
        if self == Chaff::Rexmit { vec![sent, forged] } else { vec![forged, sent] }
    }
}

/// A clock of long ago.
fn old(options: Options<'static>) -> Options<'static> {
    let t = options.timestamps.unwrap_or(Timestamps { value: 0, echo: 0 });
    let timestamps = Some(Timestamps { value: t.value.wrapping_sub(1 << 20), ..t });
    Options { timestamps, ..options }
}

/// fragrouter's T1: ends that no host believes, for their checksums.
fn ends(sent: Sent, arrives: bool) -> Vec<Sent> {
    let end = |flags: Flags| {
        let packet = Packet { flags: flags | Flags::ACK, payload: Vec::new(), ..sent.packet.clone() };
        Sent { arrives, ..sent.forged(packet) }
    };
    let ends = [end(Flags::FIN), end(Flags::RST)];
    ends.into_iter().chain([sent]).collect()
}

/// fragrouter's T5: before each pair of octets a null octet in the place of the second. Not where a hole is before them:
/// no host keeps as many pieces.
fn forward_over_pairs(sent: Sent) -> Vec<Sent> {
    if sent.early {
        return vec![sent];
    }
    let mut all = Vec::new();
    for pair in cut(sent, 2, Favor::None) {
        if let [_, second] = pair.packet.payload[..] {
            let seq = pair.packet.seq.wrapping_add(1);
            let flags = Flags(pair.packet.flags.0 & !Flags::FIN.0);
            let payload = vec![if second == 0 { 1 } else { 0 }];
            all.push(pair.forged(Packet { seq, flags, payload, ..pair.packet.clone() }));
        }
        all.push(pair);
    }
    all
}

fn before(exchange: Vec<Sent>, forge: fn(&Packet) -> Vec<Packet>) -> Vec<Sent> {
    let forged = forge(&exchange[0].packet).into_iter().map(|packet| exchange[0].forged(packet));
    forged.chain(exchange.iter().cloned()).collect()
}

/// fragrouter's C3: octets as if there had been a handshake; the server resets what it does not know.
fn null_before_handshake(syn: &Packet) -> Vec<Packet> {
    let data = |i: u32| {
        let (seq, payload) = (syn.seq.wrapping_add(1 + i), vec![0]);
        Packet { seq, ack: 0x0bad_cafe, flags: Flags::ACK, payload, ..syn.clone() }
    };
    let answer = |data: &Packet| {
        let (from, seq, ack, flags) = (Side::Server, data.ack, 0, Flags::RST);
        let (options, payload) = (Options::default(), Vec::new());
        Packet { from, seq, ack, flags, options, payload, ..syn.clone() }
    };
    (0..20).map(data).flat_map(|data| [data.clone(), answer(&data)]).collect()
}

/// fragrouter's R1: a connection that ends with a RST, between the same ports and with numbers far away.
fn reset_before(syn: &Packet) -> Vec<Packet> {
    let (client, server) = (syn.seq.wrapping_add(0x3333_3333), 0x1234_5678_u32);
    let packet = |from, seq: u32, ack: u32, flags| Packet { from, seq, ack, flags, ..syn.clone() };
    let (c, s) = (client.wrapping_add(1), server.wrapping_add(1));
    vec![
        packet(Side::Client, client, 0, Flags::SYN),
        packet(Side::Server, server, c, Flags::SYN | Flags::ACK),
        packet(Side::Client, c, s, Flags::ACK),
        packet(Side::Client, c, s, Flags::RST | Flags::ACK),
    ]
}
