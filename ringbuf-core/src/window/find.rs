//! What readers find in a window.

use super::{Absent, Next, Window};
use crate::frag::FragList;
use crate::seq::{Offset, Range};

impl Window {
    /// The held octets from `offset` on, to the end of the range around it.
    ///
    /// # Errors
    /// [`Absent`] says why there is none at `offset`.
    pub fn lookup<const N: usize>(&self, frags: &FragList<N>, offset: Offset) -> Result<Range, Absent> {
        let run = self.run();
        if run.contains(offset) {
            return Ok(Range { start: offset, end: run.end });
        }
        if let Some(r) = frags.find(offset) {
            return Ok(Range { start: offset, end: r.end });
        }
        let head = self.head(frags);
        if offset < head {
            return Err(Absent::Overrun { head });
        }
        // The run begins at `next` when it is empty.
        let run = (offset < run.start).then_some(run.start);
        match frags.above(offset).map(|r| r.start).into_iter().chain(run).min() {
            Some(end) => Err(Absent::Hole(Range { start: offset, end })),
            None => Err(Absent::Beyond),
        }
    }

    /// What a reader that has taken everything below `cursor` finds there.
    pub fn next_for<const N: usize>(&self, frags: &FragList<N>, cursor: Offset) -> Next {
        if cursor >= self.next {
            return Next::Empty;
        }
        match self.lookup(frags, cursor) {
            Ok(range) => Next::Data(range),
            Err(Absent::Overrun { head }) => Next::Lost(Range { start: cursor, end: head }),
            Err(Absent::Hole(hole)) => Next::Lost(Range { end: hole.end.min(self.next), ..hole }),
            Err(Absent::Beyond) => Next::Lost(Range { start: cursor, end: self.next }),
        }
    }
}
