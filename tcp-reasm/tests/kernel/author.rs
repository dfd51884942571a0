//! Writes exchanges: drawn at random, mostly honest, with a few oddities.

use crate::script::{Draft, Extra, Mark, Place, Plan, Stamp, Step};
use tcp_reasm::{Flags, Side};

/// SplitMix64: good enough, and the same everywhere.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).cast_unsigned()).cast_signed()
    }

    fn percent(&mut self, p: u64) -> bool {
        self.below(100) < p
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).expect("a small list")].clone()
    }

    /// A number at random, often where numbers wrap.
    fn number(&mut self) -> u32 {
        let low = u32::try_from(self.below(48)).expect("small");
        match self.below(4) {
            0 => u32::MAX - low,
            1 => (u32::MAX / 2).wrapping_add(low),
            _ => u32::try_from(self.next() >> 32).expect("32 bits"),
        }
    }
}

const A: Flags = Flags::ACK;
const SYN_ACK: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);
const FIN_ACK: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const RST_ACK: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
const PSH_ACK: Flags = Flags(Flags::PSH.0 | Flags::ACK.0);

impl Plan {
    /// The exchange of a seed.
    pub(crate) fn new(seed: u64) -> Plan {
        let mut random = Random(seed);
        let kernel = if random.percent(66) { Side::Server } else { Side::Client };
        let (iss, clock) = (random.number(), random.number());
        let mut author = Author { random, steps: Vec::new() };
        match kernel {
            Side::Server => author.opening(),
            Side::Client => author.answer(),
        }
        let pause = author.steps.len() + 1;
        author.body();
        if author.percent(12) && pause < author.steps.len() {
            author.steps.insert(pause, Step::Pause);
            author.steps.push(Step::Resume);
        }
        author.closing();
        author.aftermath();
        Plan { seed, kernel, inline: seed % 2 == 1, iss, clock, steps: author.steps }
    }
}

/// Writes the steps.
struct Author {
    random: Random,
    steps: Vec<Step>,
}

impl Author {
    fn segment(&mut self, draft: Draft) {
        self.steps.push(Step::Segment(draft));
    }

    fn percent(&mut self, p: u64) -> bool {
        self.random.percent(p)
    }

    /// We are the client.
    fn opening(&mut self) {
        if self.percent(6) {
            self.oddity();
        }
        let syn = self.syn();
        self.segment(syn.clone());
        if self.percent(14) {
            self.handshake_oddity(&syn);
        }
        let ack = self.last_of_handshake();
        if self.percent(95) {
            self.segment(ack);
        }
        if self.percent(8) {
            self.handshake_oddity(&syn);
        }
    }

    fn syn(&mut self) -> Draft {
        let mut syn = Draft { seq: (Place::Isn, 0), ack: (Mark::Zero, 0), ..Draft::new(Flags::SYN) };
        syn.extras = self.offers();
        if self.percent(8) {
            syn.flags |=
                self.random.pick(&[Flags::PSH, Flags::ECE | Flags::CWR, Flags::FIN, Flags::RST, Flags::AE]);
        }
        if self.percent(6) {
            syn.len = self.len();
            syn.copy = self.copy();
        }
        if self.percent(3) {
            syn.ack.1 = self.random.between(1, 1 << 31);
        }
        if self.percent(10) {
            syn.window = self.window();
        }
        syn
    }

    fn offers(&mut self) -> Vec<Extra> {
        let mut offers = Vec::new();
        if self.percent(80) {
            let mss = self.random.pick(&[536, 1000, 1460, 9000]);
            offers.push(Extra::Mss(mss));
        }
        if self.percent(50) {
            let scale = self.random.pick(&[0, 1, 7, 14, 15]);
            offers.push(Extra::Scale(scale));
        }
        if self.percent(60) {
            offers.push(Extra::SackPermitted);
        }
        if self.percent(55) {
            offers.push(Extra::Stamps);
        }
        if self.percent(3) {
            let odd = self.random.pick(&[Extra::Md5, Extra::NoLength, Extra::Overrun, Extra::Unknown]);
            offers.push(odd);
        }
        offers
    }

    fn last_of_handshake(&mut self) -> Draft {
        let mut ack = Draft::new(A);
        match self.random.below(20) {
            0 => ack.ack.1 = self.random.pick(&[-1, 1, 7, -1000, 100_000]),
            1 | 2 => (ack.len, ack.copy) = (self.len(), self.copy()),
            3 => (ack.len, ack.seq.1) = (self.len(), self.random.between(1, 20)),
            4 => ack.flags = FIN_ACK,
            5 => self.mutate(&mut ack),
            _ => {}
        }
        ack
    }

    fn handshake_oddity(&mut self, syn: &Draft) {
        let mut again = syn.clone();
        match self.random.below(8) {
            0 | 1 => {}
            2 => again.seq.1 = self.random.pick(&[1, 1000, -1, -1000, 1 << 30]),
            3 => again.extras = self.offers(),
            4 => {
                again.extras = self.offers();
                again.seq.1 = self.random.pick(&[1, 1000, -1, -1000]);
            }
            5 => again.len = self.len(),
            _ => return self.oddity(),
        }
        self.segment(again);
    }

    /// We are the server.
    fn answer(&mut self) {
        self.steps.push(Step::Connect);
        if self.percent(10) {
            self.oddity();
        }
        match self.random.below(20) {
            0 | 1 => self.simultaneous_open(),
            2 => self.split_handshake(),
            3 => {
                let mut first = self.syn_ack();
                self.mutate(&mut first);
                self.segment(first);
                self.right_syn_ack();
            }
            4 => {
                self.right_syn_ack();
                let mut second = self.syn_ack();
                self.mutate(&mut second);
                self.segment(second);
            }
            5 => {
                let mut odd = self.syn_ack();
                self.mutate(&mut odd);
                self.segment(odd);
            }
            _ => self.right_syn_ack(),
        }
        if self.percent(5) {
            self.oddity();
        }
    }

    fn syn_ack(&mut self) -> Draft {
        let mut answer = Draft { seq: (Place::Isn, 0), ..Draft::new(SYN_ACK) };
        answer.extras = self.offers();
        if self.percent(6) {
            answer.len = self.len();
        }
        if self.percent(4) {
            answer.flags |= self.random.pick(&[Flags::FIN, Flags::PSH, Flags::ECE, Flags::CWR]);
        }
        answer
    }

    fn right_syn_ack(&mut self) {
        let answer = self.syn_ack();
        self.segment(answer);
    }

    fn simultaneous_open(&mut self) {
        let syn = self.syn();
        self.segment(syn.clone());
        if self.percent(20) {
            self.handshake_oddity(&syn);
        }
        let mut answer = Draft { extras: syn.extras, ..self.syn_ack() };
        if self.percent(50) {
            answer = self.last_of_handshake();
        }
        self.segment(answer);
    }

    /// ACK and SYN of the server apart, in either order.
    fn split_handshake(&mut self) {
        let ack = Draft { seq: (Place::Isn, 0), ..Draft::new(A) };
        let syn = self.syn();
        if self.percent(50) {
            self.segment(ack);
            self.segment(syn);
        } else {
            self.segment(syn);
            self.segment(ack);
        }
        if self.percent(60) {
            let ack = self.last_of_handshake();
            self.segment(ack);
        }
    }

    fn body(&mut self) {
        for _ in 0..self.random.between(1, 9) {
            match self.random.below(100) {
                0..35 => self.data(),
                35..55 => self.piece(),
                55..65 => self.acknowledgement(),
                65..76 => {
                    let len = self.random.pick(&[1, 3, 10, 100, 1500, 1500, 6000, 30_000]);
                    self.steps.push(Step::Write(len));
                }
                _ => self.oddity(),
            }
        }
    }

    fn data(&mut self) {
        let mut draft = Draft::new(self.random.pick(&[A, PSH_ACK]));
        draft.len = self.len();
        if self.percent(5) {
            draft.window = self.window();
        }
        self.segment(draft);
    }

    /// Octets not in order, small enough that they often meet.
    fn piece(&mut self) {
        let mut draft = Draft::new(A);
        draft.seq.1 = self.random.between(-8, 24);
        draft.len = usize::try_from(self.random.between(1, 16)).expect("small");
        draft.copy = self.copy();
        if self.percent(8) {
            draft.flags |= Flags::FIN;
        }
        if self.percent(8) {
            self.mutate(&mut draft);
        }
        self.segment(draft);
    }

    fn acknowledgement(&mut self) {
        let mut draft = Draft::new(A);
        match self.random.below(4) {
            0 => draft.ack = (Mark::Una, self.random.between(0, 2000)),
            1 => {
                draft.ack = (Mark::Una, 0);
                let from = self.random.between(-5, 1500);
                let to = from + self.random.between(-3, 1500);
                draft.extras.push(Extra::Sack(from, to));
            }
            _ => {}
        }
        if self.percent(15) {
            draft.window = self.window();
        }
        self.segment(draft);
    }

    fn oddity(&mut self) {
        let mut draft = match self.random.below(10) {
            0 | 1 => self.rst(),
            2 => self.fin(),
            3 => self.any_syn(),
            4 => self.keep_alive(),
            5 => self.at_the_edge(),
            _ => {
                let mut data = Draft::new(A);
                data.len = self.len();
                data.copy = self.copy();
                self.mutate(&mut data);
                data
            }
        };
        if self.percent(25) {
            self.mutate(&mut draft);
        }
        self.segment(draft);
    }

    fn rst(&mut self) -> Draft {
        let mut rst = Draft::new(self.random.pick(&[Flags::RST, RST_ACK]));
        rst.seq = self.anywhere();
        if self.percent(20) {
            rst.ack.1 = self.random.pick(&[-1, 1, 100_000]);
        }
        if self.percent(10) {
            rst.len = self.len();
        }
        rst
    }

    fn fin(&mut self) -> Draft {
        let mut fin = Draft::new(FIN_ACK);
        if self.percent(50) {
            fin.len = self.len();
        }
        if self.percent(50) {
            fin.seq.1 = self.random.between(-4, 20);
        } else if self.percent(20) {
            fin.seq = self.anywhere();
        }
        fin.copy = self.copy();
        fin
    }

    fn any_syn(&mut self) -> Draft {
        let mut syn = Draft::new(self.random.pick(&[Flags::SYN, SYN_ACK]));
        syn.seq = self.anywhere();
        if self.percent(30) {
            syn.seq = (Place::Isn, 0);
        }
        syn.extras = self.offers();
        if self.percent(15) {
            syn.len = self.len();
        }
        syn
    }

    fn keep_alive(&mut self) -> Draft {
        let mut probe = Draft::new(A);
        probe.seq.1 = -1;
        probe.len = usize::from(self.percent(50));
        probe.copy = self.copy();
        probe
    }

    fn at_the_edge(&mut self) -> Draft {
        let mut draft = Draft::new(A);
        draft.seq = (Place::Edge, self.random.between(-20, 3));
        draft.len = usize::try_from(self.random.between(0, 24)).expect("small");
        draft
    }

    fn anywhere(&mut self) -> (Place, i64) {
        match self.random.below(10) {
            0..3 => (Place::Next, 0),
            3 => (Place::Next, self.random.pick(&[-1, 1])),
            4 => (Place::Next, self.random.between(-20, 100)),
            5 => (Place::Top, self.random.between(-1, 1)),
            6 => (Place::Edge, self.random.between(-1, 1)),
            7 => (Place::Edge, self.random.pick(&[1000, 1 << 20, 1 << 30])),
            8 => (Place::Next, self.random.pick(&[-1000, -100_000, -(1 << 30), 1 << 31])),
            _ => (Place::Isn, self.random.between(-1, 2)),
        }
    }

    /// Spoils one thing.
    fn mutate(&mut self, draft: &mut Draft) {
        match self.random.below(12) {
            0 | 1 => draft.seq = self.anywhere(),
            2 | 3 => draft.ack = self.any_ack(),
            4 => draft.flags = self.any_flags(draft.flags),
            5 | 6 => draft.stamp = self.stamp(),
            7 => {
                let odd = [Extra::Md5, Extra::NoLength, Extra::Overrun, Extra::Unknown];
                draft.extras.push(self.random.pick(&odd));
            }
            8 => draft.window = self.window(),
            9 => draft.len = self.len(),
            10 => draft.flags |= self.random.pick(&[Flags::ECE, Flags::CWR, Flags::PSH, Flags::AE]),
            _ => {
                draft.flags |= Flags::URG;
                draft.urgent = self.random.pick(&[0, 1, 2, 3, 5, 8, 30, 1000, u16::MAX]);
            }
        }
    }

    fn any_ack(&mut self) -> (Mark, i64) {
        match self.random.below(9) {
            0 => (Mark::All, -1),
            1 => (Mark::All, 1),
            2 => (Mark::All, self.random.pick(&[7, 1000, 100_000, 1 << 30, 1 << 31])),
            3 => (Mark::All, self.random.pick(&[-2, -7, -1000, -100_000, -(1 << 30)])),
            4 => (Mark::Una, self.random.between(-2, 2)),
            5 => (Mark::Una, self.random.pick(&[-60_000, -70_000, -(1 << 21)])),
            6 => (Mark::Isn, self.random.between(-1, 2)),
            7 => (Mark::Una, self.random.between(0, 3000)),
            _ => (Mark::Zero, 0),
        }
    }

    fn any_flags(&mut self, old: Flags) -> Flags {
        match self.random.below(6) {
            0 | 1 => Flags(old.0 & !Flags::ACK.0),
            2 => Flags(0),
            3 => Flags::PSH,
            4 => old | Flags::FIN,
            _ => Flags(u16::try_from(self.random.below(64)).expect("six bits") & !Flags::URG.0),
        }
    }

    fn stamp(&mut self) -> Stamp {
        match self.random.below(8) {
            0 => Stamp::Missing,
            1 => Stamp::Zero,
            2 => Stamp::Echo(self.random.pick(&[-1, 1, -100_000, 100_000, 1 << 31])),
            3 => Stamp::Off(self.random.pick(&[1000, 1 << 30, 1 << 31])),
            4 => Stamp::Off(0),
            _ => Stamp::Off(-self.random.pick(&[1, 2, 3, 4, 5, 6, 100_000, 1 << 30])),
        }
    }

    fn closing(&mut self) {
        match self.random.below(8) {
            0 => self.end(),
            1 => {
                self.end();
                self.steps.push(Step::ShutDown);
            }
            2 | 3 => {
                let first = self.random.pick(&[Step::ShutDown, Step::ShutDown, Step::Close]);
                self.steps.push(first);
                if self.percent(70) {
                    self.segment(Draft::new(A));
                }
                if self.percent(30) {
                    self.oddity();
                }
                self.end();
            }
            4 => {
                self.end();
                let last = self.random.pick(&[Step::ShutDown, Step::Close]);
                self.steps.push(last);
                if self.percent(30) {
                    self.oddity();
                }
                self.segment(Draft::new(A));
            }
            5 => {
                // Both at once: our FIN does not acknowledge the kernel's.
                self.steps.push(Step::ShutDown);
                let mut fin = Draft { ack: (Mark::Una, 0), ..Draft::new(FIN_ACK) };
                fin.len = if self.percent(50) { self.len() } else { 0 };
                self.segment(fin);
                if self.percent(30) {
                    self.oddity();
                }
                self.segment(Draft::new(A));
            }
            6 => {
                let rst = self.rst();
                self.segment(rst);
            }
            _ => {}
        }
    }

    /// Our FIN.
    fn end(&mut self) {
        let mut fin = Draft::new(FIN_ACK);
        if self.percent(40) {
            fin.len = self.len();
        }
        if self.percent(15) {
            self.mutate(&mut fin);
        }
        self.segment(fin);
    }

    fn aftermath(&mut self) {
        if self.percent(60) {
            return;
        }
        for _ in 0..self.random.between(1, 3) {
            match self.random.below(5) {
                0 => self.data(),
                1 => self.segment(Draft::new(A)),
                2 => self.new_connection(),
                _ => self.oddity(),
            }
        }
    }

    fn new_connection(&mut self) {
        let by = self.random.pick(&[1, 2, 1000, 100_000, 1 << 30, 0, -1, -1000, -(1 << 30)]);
        self.steps.push(Step::Renew(by));
        let mut syn = self.syn();
        if self.percent(25) {
            syn.stamp = self.stamp();
        }
        self.segment(syn);
        self.segment(Draft::new(A));
        self.data();
    }

    fn len(&mut self) -> usize {
        let small = self.random.between(1, 16);
        let len = if self.percent(90) { small } else { self.random.between(1, 1400) };
        usize::try_from(len).expect("small")
    }

    fn copy(&mut self) -> u8 {
        self.random.pick(&[0, 0, 0, 1, 2])
    }

    fn window(&mut self) -> u16 {
        self.random.pick(&[0, 1, 10, 500, 5000, 30_000, u16::MAX])
    }
}
