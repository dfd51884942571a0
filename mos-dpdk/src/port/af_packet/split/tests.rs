use super::*;
use proptest::prelude::*;

/// The folded sum of 16-bit words, by definition.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut all = parts.concat();
    if all.len() % 2 == 1 {
        all.push(0);
    }
    let mut sum: u32 = all.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// A packet that a host sends.
#[derive(Clone, Debug)]
struct Sent {
    tags: usize,
    is_v4: bool,
    /// Octets of options or of headers between, of 4 or 8 each.
    extra: usize,
    is_tcp: bool,
    options: usize,
    flags: u8,
    seq: u32,
    id: u16,
    payload: Vec<u8>,
}

impl Sent {
    fn link(&self) -> Vec<u8> {
        let mut link = vec![2; 12];
        for tag in 0..self.tags {
            link.extend(if tag == 0 { [0x88, 0xa8, 0x20, 7] } else { [0x81, 0, 0x60, 9] });
        }
        link.extend(if self.is_v4 { [8, 0] } else { [0x86, 0xdd] });
        link
    }

    /// The IP header of a packet whose transport part has this length, with its checksum.
    fn ip(&self, len: usize, id: u16) -> Vec<u8> {
        let protocol = if self.is_tcp { 6 } else { 17 };
        if !self.is_v4 {
            let extra = 8 * self.extra;
            let first = if extra > 0 { 0 } else { protocol };
            let mut ip = vec![0x60, 0, 0, 1];
            ip.extend(((len + extra) as u16).to_be_bytes());
            ip.extend([first, 64]);
            ip.extend(1..=32);
            for n in (0..self.extra).rev() {
                ip.extend([if n > 0 { 60 } else { protocol }, 0, 1, 4, 0, 0, 0, 0]);
            }
            return ip;
        }
        let header = 20 + 4 * self.extra;
        let mut ip = vec![0x40 | (header / 4) as u8, 0];
        ip.extend(((header + len) as u16).to_be_bytes());
        ip.extend(id.to_be_bytes());
        ip.extend([0x40, 0, 64, protocol, 0, 0, 10, 1, 2, 3, 10, 4, 5, 6]);
        ip.resize(header, 1);
        let checksum = !sum(&[&ip]);
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        ip
    }

    fn pseudo(&self, ip: &[u8], len: usize) -> u16 {
        let addresses = if self.is_v4 { &ip[12..20] } else { &ip[8..40] };
        let protocol = if self.is_tcp { 6 } else { 17 };
        sum(&[addresses, &[0, protocol], &(len as u16).to_be_bytes()])
    }

    /// The transport header with nothing for a checksum.
    fn transport(&self, seq: u32, flags: u8, payload: usize) -> Vec<u8> {
        let mut header = vec![0x12, 0x34, 0, 80];
        if !self.is_tcp {
            header.extend(((8 + payload) as u16).to_be_bytes());
            header.extend([0, 0]);
            return header;
        }
        header.extend(seq.to_be_bytes());
        header.extend([0, 0, 0, 9, ((5 + self.options) as u8) << 4, flags, 1, 0, 0, 0, 0, 0]);
        header.resize(20 + 4 * self.options, 1);
        header
    }

    fn sum_offset(&self) -> usize {
        if self.is_tcp { 16 } else { 6 }
    }

    /// As the host leaves it to its card.
    fn left_to_card(&self, size: usize) -> (Vec<u8>, Offload) {
        let mut transport = self.transport(self.seq, self.flags, self.payload.len());
        let len = transport.len() + self.payload.len();
        let (link, ip) = (self.link(), self.ip(len, self.id));
        let at = self.sum_offset();
        transport[at..at + 2].copy_from_slice(&self.pseudo(&ip, len).to_be_bytes());
        let offload = Offload {
            needs_sum: true,
            kind: if !self.is_tcp {
                5
            } else if self.is_v4 {
                1
            } else {
                4
            },
            size: size as u16,
            sum_start: (link.len() + ip.len()) as u16,
            sum_offset: at as u16,
        };
        ([link, ip, transport, self.payload.clone()].concat(), offload)
    }

    /// As a host without such a card sends it.
    fn on_the_wire(&self, size: usize) -> Vec<Vec<u8>> {
        let count = self.payload.len().div_ceil(size);
        let part = |(n, payload): (usize, &[u8])| {
            let mut flags = self.flags;
            if n > 0 {
                flags &= 0x7f; // congestion window reduced
            }
            if n + 1 < count {
                flags &= !0x09; // FIN and PSH
            }
            let mut transport =
                self.transport(self.seq.wrapping_add((n * size) as u32), flags, payload.len());
            let len = transport.len() + payload.len();
            let ip = self.ip(len, self.id.wrapping_add(n as u16));
            let pseudo = self.pseudo(&ip, len).to_be_bytes();
            let checksum = match !sum(&[&pseudo, &transport, payload]) {
                0 if !self.is_tcp => 0xffff,
                checksum => checksum,
            };
            let at = self.sum_offset();
            transport[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
            [self.link(), ip, transport, payload.to_vec()].concat()
        };
        self.payload.chunks(size).enumerate().map(part).collect()
    }
}

fn parts(frame: &[u8], offload: Offload) -> Option<Vec<Vec<u8>>> {
    let mut split = Split::of(frame, offload)?;
    let mut parts = Vec::new();
    while !split.is_done(frame) {
        let mut out = vec![0xee; frame.len()];
        let len = split.write_next(frame, &mut out).unwrap();
        assert_eq!(split.write_next(frame, &mut []), None, "no room, nothing changes");
        out.truncate(len);
        parts.push(out);
    }
    Some(parts)
}

prop_compose! {
    fn sent()(
        tags in 0..=MAX_TAGS, is_v4: bool, extra in 0..4_usize, is_tcp: bool, options in 0..=10_usize,
        flags: u8, seq: u32, id: u16, payload in prop::collection::vec(any::<u8>(), 1..5000),
    ) -> Sent {
        Sent { tags, is_v4, extra, is_tcp, options, flags, seq, id, payload }
    }
}

proptest! {
    #[test]
    fn parts_are_what_a_host_sends_without_a_card(sent in sent(), size in 1..1500_usize) {
        let (frame, offload) = sent.left_to_card(size);
        prop_assert!(parts(&frame, offload) == Some(sent.on_the_wire(size)));
    }

    /// Nothing is out of bounds, and it ends.
    #[test]
    fn wrong_words_of_the_kernel_do_no_harm(
        sent in sent(), kind in 0..7_u8, size: u16, sum_start in 0..200_u16, sum_offset in 0..60_u16,
        cut in 0..6000_usize, spoilt in prop::collection::vec((0..120_usize, any::<u8>()), 0..4),
    ) {
        let (mut frame, _) = sent.left_to_card(1);
        frame.truncate(cut);
        for (at, octet) in spoilt {
            frame.get_mut(at).into_iter().for_each(|place| *place = octet);
        }
        let offload = Offload { needs_sum: true, kind, size, sum_start, sum_offset };
        let Some(mut split) = Split::of(&frame, offload) else { return Ok(()) };
        let mut out = vec![0; frame.len()];
        let mut count = 0;
        while !split.is_done(&frame) && split.write_next(&frame, &mut out).is_some() {
            count += 1;
        }
        prop_assert!(split.is_done(&frame) && count <= frame.len());
    }
}

fn example() -> Sent {
    Sent {
        tags: 0,
        is_v4: true,
        extra: 0,
        is_tcp: true,
        options: 3,
        flags: 0x19,
        seq: u32::MAX - 100,
        id: u16::MAX,
        payload: vec![7; 3000],
    }
}

#[test]
fn what_is_one_frame_or_cannot_be_split_is_left_alone() {
    let (frame, offload) = example().left_to_card(1448);
    assert_eq!(parts(&frame, offload).unwrap().len(), 3);
    for left in [
        Offload { kind: 0, ..offload },
        Offload { kind: 4, ..offload }, // it is of IPv4
        Offload { kind: 3, ..offload }, // fragments
        Offload { size: 0, ..offload },
        Offload { needs_sum: false, ..offload },
        Offload { sum_start: offload.sum_start + 50, ..offload }, // in a tunnel
    ] {
        assert_eq!(parts(&frame, left), None, "{left:?}");
    }
    let mut other = frame.clone();
    other[12..14].copy_from_slice(&[0x88, 0x47]);
    assert_eq!(parts(&other, offload), None, "labels");
    let six = Sent { is_v4: false, ..example() };
    let (mut jumbo, offload) = six.left_to_card(1448);
    assert_eq!(parts(&jumbo, offload).unwrap().len(), 3);
    jumbo[18..20].copy_from_slice(&[0, 0]);
    assert_eq!(parts(&jumbo, offload), None, "its length is elsewhere");
}
