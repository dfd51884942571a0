//! What the images do: three scenes, each outcome checked, each step a line of the transcript. Stops at the first wrong
//! outcome.

mod connection;
mod pool;
mod ring;

use core::fmt::{self, Debug, Write};

/// Why the script ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The step of this name had another outcome than expected. The transcript has both.
    Outcome(&'static str),
    /// The transcript could not be written.
    Transcript,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Wrong::Outcome(step) => write!(f, "wrong outcome of the step \"{step}\""),
            Wrong::Transcript => f.write_str("the transcript could not be written"),
        }
    }
}

impl core::error::Error for Wrong {}

impl From<fmt::Error> for Wrong {
    fn from(_: fmt::Error) -> Self {
        Wrong::Transcript
    }
}

/// Plays all scenes and writes the transcript to `out`.
///
/// # Errors
/// The first [`Wrong`] outcome; the steps after it are not played.
pub fn run(out: &mut impl Write) -> Result<(), Wrong> {
    writeln!(out, "a ring of 32 octets, 3 ranges out of order, first octet 16 before the wrap")?;
    ring::play(out)?;
    writeln!(out, "two streams in a pool of 3 chunks")?;
    pool::play(out)?;
    writeln!(out, "both ends of a connection, first octet 4 before the wrap")?;
    connection::play(out)?;
    writeln!(out, "every outcome as expected")?;
    Ok(())
}

/// One step: its name, and whether it came out as it should.
fn expect<T: PartialEq + Debug>(
    out: &mut impl Write,
    step: &'static str,
    outcome: T,
    expected: T,
) -> Result<(), Wrong> {
    if outcome == expected {
        writeln!(out, "  {step}")?;
        Ok(())
    } else {
        writeln!(out, "  WRONG: {step}: {outcome:?}, expected {expected:?}")?;
        Err(Wrong::Outcome(step))
    }
}

/// Octets as quoted text, those that are no printable ASCII as dots.
struct Text<'a>(&'a [u8]);

impl Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for &octet in self.0 {
            f.write_char(if octet == b' ' || octet.is_ascii_graphic() { octet.into() } else { '.' })?;
        }
        f.write_char('"')
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

#[cfg(test)]
mod tests;
