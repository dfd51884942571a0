//! Events and their callbacks.

use crate::abi::{self, Callback, EventId, Filter, FilterArg, MOS_NULL_EVENT, Mctx};
use crate::current::{control, find, on_event, on_filter};
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, octets, read};
use crate::slot::Desk;
use crate::{conf, defined};
use libc::c_int;
use mos_flow::{Event, EventError, Hook, UserEvent};

/// What a number in a registration stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    BuiltIn(Event),
    User(UserEvent),
    /// An event that is never raised, or lies below one.
    Silent,
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_register_callback(
    mctx: Mctx,
    sock: c_int,
    event: EventId,
    hook_point: c_int,
    cb: Option<Callback>,
) -> c_int {
    entry(-1, || register(mctx, sock, event, hook_point, cb))
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_unregister_callback(
    mctx: Mctx,
    sock: c_int,
    event: EventId,
    hook_point: c_int,
) -> c_int {
    entry(-1, || register(mctx, sock, event, hook_point, None))
}

fn register(mctx: Mctx, sock: c_int, event: EventId, hook: c_int, cb: Option<Callback>) -> Answer<c_int> {
    let slot = find(mctx)?;
    let hook = hook_of(hook);
    control(slot, move |desk| {
        let index = u32::try_from(sock).map_err(|_| Errno::BADF)?;
        let socket = desk.control.socket_at(index).ok_or(Errno::BADF)?;
        let hook = hook?;
        let wanted = wanted(desk, event)?;
        // The original has no other hook for it, and programs may try.
        if root(event) == Some(abi::MOS_ON_CONN_NEW_DATA) && hook != Hook::None {
            return Err(Errno::INVAL);
        }
        let event: mos_flow::EventId = match wanted {
            Wanted::BuiltIn(event) => event.into(),
            Wanted::User(event) => event.into(),
            Wanted::Silent => return Ok(0),
        };
        match cb {
            Some(cb) => {
                let token = desk.app.token_of(cb);
                desk.control.register(socket, event, hook, on_event, token)?;
            }
            None => desk.control.unregister(socket, event, hook)?,
        }
        Ok(0)
    })
}

fn hook_of(number: c_int) -> Answer<Hook> {
    match number {
        abi::MOS_NULL => Ok(Hook::None),
        abi::MOS_HK_RCV => Ok(Hook::Receiver),
        abi::MOS_HK_SND => Ok(Hook::Sender),
        _ => Err(Errno::INVAL),
    }
}

/// The built-in event that an event is or lies below.
fn root(number: EventId) -> Option<EventId> {
    if abi::is_built_in(number) { Some(number) } else { defined::find(number).map(|d| d.root) }
}

/// Exactly one built-in event, or one that the program defined.
fn wanted(desk: &mut Desk<'_, '_>, number: EventId) -> Answer<Wanted> {
    if abi::is_built_in(number) {
        return Ok(abi::raised_event(number).map_or(Wanted::Silent, Wanted::BuiltIn));
    }
    defined::find(number).ok_or(Errno::INVAL)?;
    Ok(known(desk, number)?.map_or(Wanted::Silent, Wanted::User))
}

/// An event of the program's as the engine knows it, which is told of those that are new. `None` when it is never raised.
fn known(desk: &mut Desk<'_, '_>, id: EventId) -> Answer<Option<UserEvent>> {
    let place = |id: EventId| usize::try_from(id - defined::FIRST).unwrap_or(usize::MAX);
    for definition in defined::from(desk.app.events().len(), id) {
        let above = match abi::is_built_in(definition.parent) {
            true => abi::raised_event(definition.parent).map(mos_flow::EventId::from),
            false => {
                desk.app.events().get(place(definition.parent)).and_then(|(_, event)| Some((*event)?.into()))
            }
        };
        let token = desk.app.events().len();
        let defined = above.map(|above| match definition.filter {
            Some(_) => desk.control.define_event(above, on_filter, token),
            None => desk.control.alloc_event(above),
        });
        desk.app.add_event(definition, defined.transpose()?);
    }
    desk.app.events().get(place(id)).map(|(_, event)| *event).ok_or(Errno::INVAL)
}

/// See `mos_api.h`.
///
/// # Safety
/// `arg` is NULL or leads to a `struct filter_arg` whose `arg` leads to `len` octets, or is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_define_event(
    event: EventId,
    filter: Option<Filter>,
    arg: *const FilterArg,
) -> EventId {
    entry(MOS_NULL_EVENT, || {
        conf::settings()?;
        let filter = filter.ok_or(Errno::INVAL)?;
        let arg = match arg.is_null() {
            true => None,
            // SAFETY: the caller's condition.
            false => Some(unsafe { read(arg) }?),
        };
        let arg = match arg {
            None => None,
            Some(arg) if arg.arg.is_null() && arg.len > 0 => return Err(Errno::INVAL),
            // SAFETY: the caller's condition.
            Some(arg) => Some(unsafe { octets(arg.arg.cast(), arg.len) }?),
        };
        defined::define(event, Some(filter), arg)
    })
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_alloc_event(parent: EventId) -> EventId {
    entry(MOS_NULL_EVENT, || {
        conf::settings()?;
        defined::define(parent, None, None)
    })
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_raise_event(mctx: Mctx, child: EventId) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            defined::find(child).ok_or(Errno::INVAL)?;
            let (app, mut control) = context.split_control();
            let child = known(&mut Desk { app, control: &mut control }, child)?.ok_or(Errno::INVAL)?;
            context.raise(child)?;
            Ok(0)
        })
    })
}

impl From<EventError> for Errno {
    fn from(error: EventError) -> Errno {
        match error {
            EventError::Full | EventError::TooDeep => Errno::NOMEM,
            _ => Errno::INVAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_built_in_event_is_one_bit_below_the_user_defined_ones() {
        for bit in 0..64 {
            assert_eq!(abi::is_built_in(1 << bit), bit < 12, "{bit}");
        }
        for wrong in [0, 3, 4096, 4097, u64::MAX] {
            assert!(!abi::is_built_in(wrong) && abi::raised_event(wrong).is_none());
        }
        assert_eq!(abi::raised_event(abi::MOS_ON_REXMIT), Some(Event::Retransmission));
        assert_eq!(abi::raised_event(abi::MOS_ON_TIMEOUT), None);
    }
}
