//! The VLAN ids of a frame, outermost first: part of a flow's identity.

use core::fmt;

/// Up to [`VlanStack::MAX`] VLAN ids.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VlanStack {
    /// Ids; unused ones are 0.
    ids: [u16; Self::MAX],
    len: u16,
}

impl VlanStack {
    /// The most tags that are followed.
    pub const MAX: usize = 3;

    /// The ids, outermost first.
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Adds the next inner id; `false` when the stack is full.
    pub(super) fn push(&mut self, id: u16) -> bool {
        let Some(slot) = self.ids.get_mut(usize::from(self.len)) else { return false };
        *slot = id;
        self.len += 1;
        true
    }
}

impl fmt::Debug for VlanStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}
