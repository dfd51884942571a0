//! Registration of callbacks.

use crate::abi::{self, Callback, EventId, Mctx};
use crate::current::{control, find, on_event};
use crate::errno::Errno;
use crate::ffi::{Answer, entry};
use libc::c_int;
use mos_flow::{Event, Hook};

/// What a number in a registration stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Raised(Event),
    /// An event that exists only by name.
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
    let (wanted, hook) = (wanted(event), hook_of(hook));
    control(slot, move |desk| {
        let index = u32::try_from(sock).map_err(|_| Errno::BADF)?;
        let socket = desk.control.socket_at(index).ok_or(Errno::BADF)?;
        let hook = hook?;
        let Wanted::Raised(event) = wanted? else { return Ok(0) };
        // The original has no other hook for it, and programs may try.
        if event == Event::NewData && hook != Hook::None {
            return Err(Errno::INVAL);
        }
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

/// Exactly one built-in event.
fn wanted(number: EventId) -> Answer<Wanted> {
    match number {
        abi::MOS_ON_PKT_OUT | abi::MOS_ON_CONN_SETUP | abi::MOS_ON_TIMEOUT | abi::MOS_ON_DEBUG_MESSAGE => {
            Ok(Wanted::Silent)
        }
        _ => Event::ALL
            .into_iter()
            .find(|e| abi::event_id(*e) == number)
            .map(Wanted::Raised)
            .ok_or(Errno::INVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_built_in_event_is_one_bit_below_the_user_defined_ones() {
        for bit in 0..64 {
            assert_eq!(wanted(1 << bit).is_ok(), bit < 12, "{bit}");
        }
        for wrong in [0, 3, 4096, 4097, u64::MAX] {
            assert_eq!(wanted(wrong), Err(Errno::INVAL));
        }
        assert_eq!(wanted(abi::MOS_ON_REXMIT), Ok(Wanted::Raised(Event::Retransmission)));
        assert_eq!(wanted(abi::MOS_ON_TIMEOUT), Ok(Wanted::Silent));
    }
}
