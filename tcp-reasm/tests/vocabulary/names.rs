//! What the table of a tool is made of.

use crate::heard::{Heard, Told};

/// Names that another tool has, and what is told here.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// How many names it has.
    pub(crate) count: usize,
    pub(crate) told: &'static [Entry],
    /// Names that this crate has nothing to say about, and why.
    pub(crate) left: &'static [(&'static [&'static str], &'static str)],
}

/// Names for one situation.
pub(crate) struct Entry {
    pub(crate) names: &'static [&'static str],
    /// What the exchange makes this crate tell.
    pub(crate) told: &'static [Told],
    /// Brings the situation about, by the condition of the other tool. What was told of each segment that meets it.
    pub(crate) exchange: fn() -> Vec<Heard>,
}

impl Entry {
    pub(crate) fn claims(&self) -> String {
        let claims: Vec<_> = self.told.iter().map(ToString::to_string).collect();
        claims.join(", ")
    }
}
