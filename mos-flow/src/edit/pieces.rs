//! What a payload is made of: pieces of the original, and of what came in.

use super::PacketError;

/// Pieces that a payload may be made of. An arbitrary number.
pub(super) const PIECES: usize = 24;

/// Part of a changed payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Octets that were there, from the first one on.
    Old { at: usize, len: usize },
    /// Octets that came in.
    New { len: usize },
}

impl Piece {
    pub(super) fn len(self) -> usize {
        match self {
            Piece::Old { len, .. } | Piece::New { len } => len,
        }
    }

    /// What is before and what is from `at` on.
    fn split(self, at: usize) -> (Piece, Piece) {
        match self {
            Piece::Old { at: from, len } => {
                (Piece::Old { at: from, len: at }, Piece::Old { at: from + at, len: len - at })
            }
            Piece::New { len } => (Piece::New { len: at }, Piece::New { len: len - at }),
        }
    }
}

/// With room for a change that is joined with others.
pub(super) type Pieces = heapless::Vec<Piece, { PIECES + 3 }>;

/// Makes one change of two, with the fewest octets between them: those are taken for new ones. Returns whether there were two.
pub(super) fn join(pieces: &mut Pieces) -> bool {
    let between = pieces.len().saturating_sub(2);
    let old = |(_, piece): &(usize, &Piece)| matches!(piece, Piece::Old { .. });
    let inner = pieces.iter().enumerate().skip(1).take(between).filter(old);
    let Some((at, len)) = inner.map(|(at, piece)| (at, piece.len())).min_by_key(|(_, len)| *len) else {
        return false;
    };
    let mut joined = Pieces::new();
    for (i, piece) in pieces.iter().enumerate() {
        let piece = if i == at { Piece::New { len } } else { *piece };
        match (joined.last_mut(), piece) {
            (Some(Piece::New { len }), Piece::New { len: more }) => *len += more,
            _ => {
                let _ = joined.push(piece); // no more than there were
            }
        }
    }
    *pieces = joined;
    true
}

/// Where the length of a payload of `original` octets was changed that has become these pieces, from the front to the back.
pub(super) fn splices(pieces: &[Piece], original: usize) -> impl Iterator<Item = Splice> + '_ {
    let mut pieces = pieces.iter().copied();
    let (mut at, mut inserted, mut done) = (0, 0, false);
    core::iter::from_fn(move || {
        while !done {
            let (next, len) = match pieces.next() {
                Some(Piece::New { len }) => {
                    inserted += len;
                    continue;
                }
                Some(Piece::Old { at, len }) => (at, len),
                None => {
                    done = true;
                    (original, 0)
                }
            };
            let removed = next.saturating_sub(at);
            let splice = Splice { at, removed, inserted: core::mem::take(&mut inserted) };
            at = next + len;
            if splice.removed > 0 || splice.inserted > 0 {
                return Some(splice);
            }
        }
        None
    })
}

/// A place at which the length of a payload was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    /// Where in the original payload.
    pub(crate) at: usize,
    pub(crate) removed: usize,
    pub(crate) inserted: usize,
}

/// The pieces after another change.
pub(super) fn splice(
    old: &Pieces,
    at: usize,
    removed: usize,
    inserted: usize,
) -> Result<Pieces, PacketError> {
    let mut pieces = Pieces::new();
    let mut add = |piece: Piece| {
        if piece.len() == 0 {
            return Ok(());
        }
        pieces.push(piece).map_err(|_| PacketError::TooMany)
    };
    let (mut place, mut put) = (0, false);
    for piece in old {
        let (start, end) = (place, place + piece.len());
        place = end;
        let (before, rest) = piece.split(at.clamp(start, end) - start);
        add(before)?;
        if !put && at < end {
            add(Piece::New { len: inserted })?;
            put = true;
        }
        let kept_from = (at + removed).clamp(start + before.len(), end) - start - before.len();
        add(rest.split(kept_from).1)?;
    }
    if !put {
        add(Piece::New { len: inserted })?;
    }
    Ok(pieces)
}
