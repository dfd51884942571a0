//! A flat ring: every way in which a segment can come, and two readers, one of them too slow.

use super::{Text, Wrong, expect};
use core::fmt::Write;
use ringbuf_core::window::Refusal;
use ringbuf_core::{Absent, Conflict, Next, Offset, Range, Ring, SeqNum, Written};

/// Sequence number of the first octet. `fox` is the first word behind the wrap.
const BASE: SeqNum = SeqNum(0xffff_fff0);
const NONE: Written = Written {
    fresh: 0,
    duplicate: 0,
    replaced: 0,
    stale: 0,
    refused: 0,
    overrun: 0,
    advanced: 0,
    refusal: None,
    conflict: None,
};

type Fixed = Ring<[u8; 32], 3>;

struct Step {
    name: &'static str,
    seq: u32,
    data: &'static [u8],
    expected: Written,
}

const REASSEMBLED: [Step; 5] = [
    Step {
        name: "in order",
        seq: 0xffff_fff0,
        data: b"The quick ",
        expected: Written { fresh: 10, advanced: 10, ..NONE },
    },
    Step {
        name: "out of order, behind the wrap",
        seq: 0x0000_0000,
        data: b"fox jumps ",
        expected: Written { fresh: 10, ..NONE },
    },
    Step {
        name: "the same once more",
        seq: 0x0000_0000,
        data: b"fox jumps ",
        expected: Written { duplicate: 10, ..NONE },
    },
    Step {
        name: "overlapping with other content: the first copy stays",
        seq: 0x0000_0004,
        data: b"JUMPS over",
        expected: Written {
            fresh: 4,
            duplicate: 6,
            conflict: Some(Conflict { range: Range::new(20, 25) }),
            ..NONE
        },
    },
    Step {
        name: "the hole, overlapping at both ends, over the wrap",
        seq: 0xffff_fff8,
        data: b"k brown fo",
        expected: Written { fresh: 6, duplicate: 4, advanced: 20, ..NONE },
    },
];

const PUSHED_OUT: [Step; 4] = [
    Step {
        name: "more than the ring has room for: the oldest octets go",
        seq: 0x0000_000e,
        data: b" the lazy dog",
        expected: Written { fresh: 13, advanced: 13, overrun: 11, ..NONE },
    },
    Step {
        name: "too old to be compared",
        seq: 0xffff_fff0,
        data: b"The ",
        expected: Written { stale: 4, ..NONE },
    },
    Step {
        name: "too far ahead",
        seq: 0x0000_0040,
        data: b"far",
        expected: Written { refused: 3, refusal: Some(Refusal::BeyondWindow), ..NONE },
    },
    Step {
        name: "behind a hole of 5 octets",
        seq: 0x0000_0020,
        data: b"again",
        expected: Written { fresh: 5, overrun: 10, ..NONE },
    },
];

const SCATTERED: [Step; 4] = [
    Step { name: "a range apart", seq: 0x0000_0028, data: b"a", expected: Written { fresh: 1, ..NONE } },
    Step { name: "a second one", seq: 0x0000_002a, data: b"b", expected: Written { fresh: 1, ..NONE } },
    Step { name: "a third one", seq: 0x0000_002c, data: b"c", expected: Written { fresh: 1, ..NONE } },
    Step {
        name: "a fourth one, which the list has no entry for",
        seq: 0x0000_002e,
        data: b"d",
        expected: Written { refused: 1, refusal: Some(Refusal::TooManyRanges), ..NONE },
    },
];

pub(super) fn play(out: &mut impl Write) -> Result<(), Wrong> {
    let mut ring = Fixed::new([0; 32]);
    let (mut prompt, mut slow) = (Reader::default(), Reader::default());

    let keep_alive = SeqNum(0xffff_ffef).position(BASE, ring.window().next());
    expect(out, "an octet before the stream has no offset", keep_alive, -1)?;
    write_all(out, &mut ring, &REASSEMBLED)?;
    prompt.read(&ring);
    prompt.expect(out, "a prompt reader", b"The quick brown fox jumps over")?;

    write_all(out, &mut ring, &PUSHED_OUT)?;
    let lost = slow.once(&ring);
    expect(out, "a slow reader is told what it missed", lost, Next::Lost(Range::new(0, 21)))?;
    slow.read(&ring);
    slow.expect(out, "and goes on behind it", b".....................umps over the lazy dog")?;
    prompt.read(&ring);
    let hole = ring.lookup(prompt.cursor);
    expect(out, "the prompt one waits at the hole", hole, Err(Absent::Hole(Range::new(43, 48))))?;

    expect(out, "the hole is given up", ring.skip_gap(), Some(Range::new(43, 48)))?;
    expect(out, "there is no other", ring.skip_gap(), None)?;
    let gap = prompt.once(&ring);
    expect(out, "the gap is told, too", gap, Next::Lost(Range::new(43, 48)))?;
    prompt.read(&ring);
    let all = b"The quick brown fox jumps over the lazy dog.....again";
    prompt.expect(out, "everything the prompt one heard", all)?;

    expect(out, "what was read is let go", ring.advance(prompt.cursor), 27)?;
    write_all(out, &mut ring, &SCATTERED)?;
    let far = SeqNum(0x0000_0010).position(BASE, Offset(1 << 33));
    expect(out, "the same numbers, two turns of the circle later", far, (1 << 33) + 32)
}

fn write_all(out: &mut impl Write, ring: &mut Fixed, steps: &[Step]) -> Result<(), Wrong> {
    for step in steps {
        let position = SeqNum(step.seq).position(BASE, ring.window().next());
        let Ok(at) = u64::try_from(position) else { return Err(Wrong::Outcome(step.name)) };
        write!(out, "  seq {:#010x} at {at:>2} {:?}", step.seq, Text(step.data))?;
        expect(out, step.name, ring.write(Offset(at), step.data), step.expected)?;
    }
    Ok(())
}

/// A place in the stream, and what was read up to there.
#[derive(Default)]
struct Reader {
    cursor: Offset,
    heard: Heard,
}

/// Octets by offset; a dot is one that was never heard.
struct Heard([u8; 64]);

impl Default for Heard {
    fn default() -> Self {
        Heard([b'.'; 64])
    }
}

impl Reader {
    fn once(&mut self, ring: &Fixed) -> Next {
        // Less than the ring can give, so that reads go on where the one before ended.
        let mut octets = [0; 12];
        let next = ring.read(&mut self.cursor, &mut octets);
        if let Next::Data(range) = next
            && let (Ok(start), Ok(end)) = (usize::try_from(range.start.0), usize::try_from(range.end.0))
            && let Some(heard) = self.heard.0.get_mut(start..end)
            && let Some(octets) = octets.get(..heard.len())
        {
            heard.copy_from_slice(octets);
        }
        next
    }

    fn read(&mut self, ring: &Fixed) {
        while self.once(ring) != Next::Empty {}
    }

    fn expect(&self, out: &mut impl Write, name: &'static str, all: &[u8]) -> Result<(), Wrong> {
        let end = usize::try_from(self.cursor.0).unwrap_or(usize::MAX);
        let heard = Text(self.heard.0.get(..end).unwrap_or_default());
        write!(out, "  {heard:?}")?;
        expect(out, name, heard, Text(all))
    }
}
