//! Events that the program defines. They belong to the process, as their ids do; each engine learns of them when it needs
//! them, in the same order.
//!
//! # Invariants
//! 1. The event with id [`FIRST`]` + n` is the n-th of the list. Definitions stay for the life of the process.
//! 2. A parent has a lower id than its children.

use crate::abi::{self, EventId, Filter, FilterArg};
use crate::errno::Errno;
use crate::lock::lock;
use crate::sync::{Mutex, process_wide};
use mos_flow::event::MAX_DEPTH;
use std::collections::HashMap;
use std::ptr;

/// The least id.
pub(crate) const FIRST: EventId = 1 << 12;
/// As many as the original has room for.
pub(crate) const MAX_EVENTS: usize = 30_240;

/// Memory that any structure of C can lie in.
type Word = u128;

/// One event.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) id: EventId,
    /// Above it.
    pub(crate) parent: EventId,
    /// The built-in event that it lies below.
    pub(crate) root: EventId,
    /// Without one it happens when it is raised.
    pub(crate) filter: Option<Filter>,
    /// Events from it up to the built-in one, that one not counted.
    depth: usize,
    /// What its filter and its callbacks are given. The program may write to it; nothing here reads it.
    arg: *mut FilterArg,
}

// SAFETY: the argument is made before the definition is shared, and only passed on from then on; what threads of the
// program do with it is between them.
unsafe impl Send for Definition {}
// SAFETY: as above.
unsafe impl Sync for Definition {}

impl Definition {
    /// What its filter and its callbacks are given: valid for the life of the process.
    pub(crate) fn arg(&self) -> *mut FilterArg {
        self.arg
    }
}

/// What makes two definitions one: parent, filter, octets of the argument.
type Key = (EventId, usize, Option<Vec<u8>>);

#[derive(Debug, Default)]
struct List {
    all: Vec<&'static Definition>,
    by_key: Option<HashMap<Key, EventId>>,
}

process_wide! {
    static LIST: Mutex<List> = Mutex::new(List { all: Vec::new(), by_key: None });
}

/// Defines an event below `parent`, or finds the one that is the same. Without a filter it is always another one.
///
/// # Errors
/// `EINVAL` when there is no such parent, `ENOMEM` when there is no room, or it would lie too deep.
pub(crate) fn define(parent: EventId, filter: Option<Filter>, arg: Option<&[u8]>) -> Result<EventId, Errno> {
    let mut list = lock(&LIST);
    let above = list.find(parent);
    let (root, depth) = match above {
        Some(above) => (above.root, above.depth + 1),
        None if abi::is_built_in(parent) => (parent, 1),
        None => return Err(Errno::INVAL),
    };
    let key = match filter {
        Some(filter) => Some((parent, filter as usize, arg.map(copy).transpose()?)),
        None => None,
    };
    let known = list.by_key.get_or_insert_default();
    if let Some(id) = key.as_ref().and_then(|key| known.get(key)) {
        return Ok(*id);
    }
    if list.all.len() >= MAX_EVENTS || depth > MAX_DEPTH {
        return Err(Errno::NOMEM);
    }
    let id = FIRST + list.all.len() as EventId;
    let arg = argument(arg.unwrap_or_default())?;
    list.all.push(Box::leak(Box::new(Definition { id, parent, root, filter, depth, arg })));
    if let (Some(key), Some(known)) = (key, &mut list.by_key) {
        known.insert(key, id);
    }
    Ok(id)
}

impl List {
    fn find(&self, id: EventId) -> Option<&'static Definition> {
        let at = usize::try_from(id.checked_sub(FIRST)?).ok()?;
        self.all.get(at).copied()
    }
}

fn copy(octets: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(octets.len()).map_err(|_| Errno::NOMEM)?;
    copy.extend_from_slice(octets);
    Ok(copy)
}

/// A copy of an argument that stays.
fn argument(octets: &[u8]) -> Result<*mut FilterArg, Errno> {
    let mut words = Vec::<Word>::new();
    words.try_reserve_exact(octets.len().div_ceil(size_of::<Word>())).map_err(|_| Errno::NOMEM)?;
    for chunk in octets.chunks(size_of::<Word>()) {
        let mut word = [0; size_of::<Word>()];
        word[..chunk.len()].copy_from_slice(chunk);
        words.push(Word::from_ne_bytes(word));
    }
    let arg = if words.is_empty() { ptr::null_mut() } else { words.leak().as_mut_ptr().cast() };
    Ok(Box::into_raw(Box::new(FilterArg { arg, len: octets.len() })))
}

/// A definition by its id.
pub(crate) fn find(id: EventId) -> Option<&'static Definition> {
    lock(&LIST).find(id)
}

/// Definitions from the n-th on, up to that of `id`.
pub(crate) fn from(n: usize, id: EventId) -> Vec<&'static Definition> {
    lock(&LIST).all.iter().skip(n).take_while(|d| d.id <= id).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Mctx;
    use libc::c_int;

    unsafe extern "C" fn yes(_: Mctx, _: c_int, _: c_int, _: EventId, _: *mut FilterArg) -> bool {
        true
    }
    unsafe extern "C" fn no(_: Mctx, _: c_int, side: c_int, _: EventId, _: *mut FilterArg) -> bool {
        side > 2
    }

    #[test]
    fn what_is_the_same_has_one_id() {
        let of = |filter, arg: Option<&[u8]>| define(abi::MOS_ON_ERROR, filter, arg).unwrap();
        let events = [
            of(Some(yes), None),
            of(Some(yes), Some(b"")),
            of(Some(yes), Some(b"a")),
            of(Some(no), Some(b"a")),
            of(None, None),
            of(None, None),
            define(of(None, None), Some(yes), None).unwrap(),
        ];
        for (i, event) in events.iter().enumerate() {
            assert!(*event >= FIRST && !events[..i].contains(event), "{events:?}");
        }
        assert_eq!((of(Some(yes), Some(b"a")), of(Some(yes), None)), (events[2], events[0]));
        let last = find(events[6]).unwrap();
        assert_eq!((last.root, last.depth), (abi::MOS_ON_ERROR, 2));
        assert!(from(0, events[6]).iter().map(|d| d.id).eq(FIRST..=events[6]));
    }

    #[test]
    fn parents_exist_and_are_not_too_far_up() {
        for wrong in [0, 3, 1 << 20, u64::MAX, FIRST + MAX_EVENTS as u64] {
            assert_eq!(define(wrong, Some(yes), None), Err(Errno::INVAL), "{wrong}");
        }
        let mut at = abi::MOS_ON_ORPHAN;
        for _ in 0..MAX_DEPTH {
            at = define(at, None, None).unwrap();
        }
        assert_eq!(define(at, None, None), Err(Errno::NOMEM));
    }

    #[test]
    fn arguments_are_copied_and_aligned() {
        let octets: Vec<u8> = (0..100).collect();
        let id = define(abi::MOS_ON_ERROR, Some(no), Some(&octets)).unwrap();
        let arg = find(id).unwrap().arg();
        // SAFETY: it points to a structure that stays.
        let arg = unsafe { arg.read() };
        assert!(arg.len == 100 && arg.arg.addr().is_multiple_of(16));
        // SAFETY: that many octets stay there.
        assert_eq!(unsafe { std::slice::from_raw_parts(arg.arg.cast::<u8>(), arg.len) }, octets);
        let nothing = define(abi::MOS_ON_ERROR, Some(no), None).unwrap();
        // SAFETY: as above.
        let arg = unsafe { find(nothing).unwrap().arg().read() };
        assert!(arg.arg.is_null() && arg.len == 0);
    }
}
