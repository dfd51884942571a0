//! Timers that are cancelled, and the whole clock.

use crate::abi::{Callback, Mctx};
use crate::current::{control, find};
use crate::ffi::entry;
use libc::c_int;

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_cancel_timer(mctx: Mctx, id: c_int, cb: Option<Callback>) -> c_int {
    entry(-1, || {
        control(find(mctx)?, move |desk| {
            let stopped = desk.app.cancel_timers(id, cb, |timer| {
                desk.control.stop_timer(timer);
            });
            Ok(c_int::try_from(stopped).unwrap_or(c_int::MAX))
        })
    })
}

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_now(mctx: Mctx) -> u64 {
    entry(0, || control(find(mctx)?, |desk| Ok(desk.control.now().0)))
}
