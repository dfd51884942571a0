//! A stream put together from pieces that come late, twice, and with a hole that is never filled. No heap: the ring
//! and its list of ranges are on the stack.
//!
//! `cargo run -p ringbuf-core --example reassemble`

use ringbuf_core::{Absent, Next, Offset, Range, Ring, SeqNum};

/// Sequence number of the first octet: close to the wrap on purpose.
const BASE: SeqNum = SeqNum(0xffff_fff8);

fn main() {
    let mut ring = Ring::<_, 8>::new([0_u8; 64]);
    let segments: [(u32, &str); 5] = [
        (0xffff_fff8, "In the b"),
        (0x0000_0009, " was the "), // overtook the next one, behind the wrap
        (0x0000_0000, "eginning "),
        (0x0000_0000, "eginning"), // once more
        (0x0000_0017, "packet"),   // five octets before it never come
    ];
    for (seq, data) in segments {
        let position = SeqNum(seq).position(BASE, ring.window().next());
        let Ok(at) = u64::try_from(position).map(Offset) else { continue }; // before the stream
        let done = ring.write(at, data.as_bytes());
        println!(
            "seq {seq:#010x} at {at:>2}: {:>2} new, {:>2} in order, next {}",
            done.fresh,
            done.advanced,
            ring.window().next()
        );
    }

    let (mut cursor, mut buf) = (Offset::ZERO, [0; 64]);
    read_all(&ring, &mut cursor, &mut buf);
    let hole = ring.lookup(cursor);
    println!("the reader stands at {cursor}: {hole:?}");
    assert_eq!(hole, Err(Absent::Hole(Range::new(26, 31))));

    ring.skip_gap();
    read_all(&ring, &mut cursor, &mut buf);
}

fn read_all(ring: &Ring<[u8; 64], 8>, cursor: &mut Offset, buf: &mut [u8]) {
    loop {
        match ring.read(cursor, buf) {
            Next::Data(range) => {
                println!("read {range}: {:?}", String::from_utf8_lossy(&buf[..range.len() as usize]));
            }
            Next::Lost(range) => println!("lost {range}"),
            Next::Empty => return,
        }
    }
}
