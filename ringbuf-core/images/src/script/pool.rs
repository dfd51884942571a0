//! Two streams that share a pool of chunks in lent memory, until it runs out.

use super::{Wrong, expect};
use core::fmt::Write;
use ringbuf_core::chunk::{CHUNK, ChunkMap, ChunkPool, Chunked};
use ringbuf_core::window::Refusal;
use ringbuf_core::{FragList, Offset, Overlap, Range, Window, Written};

const CHUNKS: usize = 3;
/// A full segment on Ethernet.
const SEGMENT: usize = 1460;
const CAP: u32 = 8192;

type Pool = ChunkPool<[u8; CHUNKS * CHUNK], [u32; CHUNKS]>;

#[derive(Default)]
struct Stream {
    frags: FragList<4>,
    map: ChunkMap,
}

impl Stream {
    fn write(&mut self, window: &mut Window, pool: &mut Pool, at: u64, data: &[u8]) -> Written {
        let mut store = Chunked { pool, map: &mut self.map };
        window.write(&mut self.frags, &mut store, Overlap::First, Offset(at), data)
    }

    fn advance(&mut self, window: &mut Window, pool: &mut Pool, to: Offset) -> u64 {
        window.advance(&mut self.frags, &mut Chunked { pool, map: &mut self.map }, to)
    }
}

pub(super) fn play(out: &mut impl Write) -> Result<(), Wrong> {
    let mut pool = Pool::new([0; CHUNKS * CHUNK], [0; CHUNKS]);
    let (mut one, mut one_window) = (Stream::default(), Window::new(CAP));
    let (mut two, mut two_window) = (Stream::default(), Window::new(CAP));
    let data = pattern();
    let len = SEGMENT as u64;
    let in_order = Written { fresh: len, advanced: len, ..Written::default() };
    let refused = Written { refused: len, refusal: Some(Refusal::NoSpace), ..Written::default() };

    let done = one.write(&mut one_window, &mut pool, len, &data);
    let early = Written { fresh: len, ..Written::default() };
    expect(out, "the second segment of one stream takes 2 chunks", (done, pool.used()), (early, 2))?;
    let done = one.write(&mut one_window, &mut pool, 0, &data);
    let both = Written { fresh: len, advanced: 2 * len, ..Written::default() };
    expect(out, "the first one finds its chunk there", (done, pool.used()), (both, 2))?;
    let done = two.write(&mut two_window, &mut pool, 0, &data);
    expect(out, "the other stream takes the last chunk", (done, pool.used()), (in_order, 3))?;
    let done = two.write(&mut two_window, &mut pool, len, &data);
    expect(out, "and is refused another one", (done, pool.used()), (refused, 3))?;

    expect(out, "octets lie where they belong", same(&one.map, &pool, len, &data), true)?;
    let given = one.advance(&mut one_window, &mut pool, Offset(CHUNK as u64));
    expect(out, "what is read frees its chunk", (given, pool.used()), (CHUNK as u64, 2))?;
    let done = two.write(&mut two_window, &mut pool, len, &data);
    expect(out, "which is enough for the other one", (done, pool.used()), (in_order, 3))?;
    let kept = same(&two.map, &pool, 0, &data) && same(&two.map, &pool, len, &data);
    expect(out, "its octets are all there", kept, true)?;

    Chunked { pool: &mut pool, map: &mut one.map }.clear();
    Chunked { pool: &mut pool, map: &mut two.map }.clear();
    expect(out, "at the end no chunk is in use", pool.used(), 0)
}

/// Whether `data` can be read back at `at`, from as many chunks as it lies in.
fn same(map: &ChunkMap, pool: &Pool, at: u64, data: &[u8]) -> bool {
    let mut rest = Range::at(Offset(at), data.len() as u64);
    let mut data = data;
    while !rest.is_empty() {
        let piece = map.piece(pool, rest);
        let Some((expected, behind)) = data.split_at_checked(piece.len()) else { return false };
        if piece.is_empty() || piece != expected {
            return false;
        }
        (rest.start, data) = (rest.start.saturating_add(piece.len() as u64), behind);
    }
    true
}

/// Octets that repeat after 251, a prime: no two chunks are alike.
fn pattern() -> [u8; SEGMENT] {
    let mut data = [0; SEGMENT];
    for (octet, value) in data.iter_mut().zip((0..251).cycle()) {
        *octet = value;
    }
    data
}

// The scene means something only when a segment fits a chunk and two do not.
const _: () = assert!(SEGMENT < CHUNK && 2 * SEGMENT > CHUNK);
