//! Time: timers of the program, and the clock.

use crate::abi::{Callback, Mctx};
use crate::app::AppTimer;
use crate::current::{control, find, on_timer};
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, read};
use crate::slot::Desk;
use libc::{c_int, timeval};
use mos_flow::Instant;
use std::time::Duration;

/// Timers that can wait for the first packet; as many as an engine has.
const MAX_WAITING: usize = 1 << 14;

/// See `mos_api.h`.
///
/// # Safety
/// `timeout` is NULL or leads to a `struct timeval`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_settimer(
    mctx: Mctx,
    id: c_int,
    timeout: *const timeval,
    cb: Option<Callback>,
) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        // SAFETY: the caller's condition.
        let timeout = unsafe { read(timeout) }?;
        let callback = cb.ok_or(Errno::FAULT)?;
        let delay = duration(timeout).ok_or(Errno::INVAL)?;
        control(slot, move |desk| set(desk, delay, AppTimer { id, callback, runs: None }))?;
        Ok(0)
    })
}

fn set(desk: &mut Desk<'_, '_>, delay: Duration, timer: AppTimer) -> Answer<()> {
    let token = desk.app.add_timer(timer);
    match desk.app.waiting() {
        Some(waiting) if waiting.len() < MAX_WAITING => {
            waiting.push((delay, token));
            return Ok(());
        }
        Some(_) => {}
        None => {
            if let Some(runs) = desk.control.start_timer(delay, on_timer, token) {
                desk.app.note_started(token, runs);
                return Ok(());
            }
        }
    }
    desk.app.take_timer(token);
    Err(Errno::NOMEM)
}

/// A time that is not negative; microseconds can be more than a second.
fn duration(timeout: timeval) -> Option<Duration> {
    let (seconds, micros) = (u64::try_from(timeout.tv_sec).ok()?, u64::try_from(timeout.tv_usec).ok()?);
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_get_ts(mctx: Mctx) -> u32 {
    entry(0, || in_callback(mctx, |context| Ok(micros(context.now()))))
}

/// Microseconds modulo 2^32.
#[allow(clippy::cast_possible_truncation)] // that is what modulo means
pub(crate) fn micros(time: Instant) -> u32 {
    time.0 as u32
}

/// Milliseconds modulo 2^32.
#[allow(clippy::cast_possible_truncation)] // that is what modulo means
pub(crate) fn millis(time: Instant) -> u32 {
    (time.0 / 1000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_not_negative_and_do_not_overflow() {
        let of = |tv_sec, tv_usec| duration(timeval { tv_sec, tv_usec });
        assert_eq!(of(1, 500_000), Some(Duration::from_millis(1500)));
        assert_eq!(of(0, 2_000_000), Some(Duration::from_secs(2)));
        assert_eq!((of(-1, 0), of(0, -1)), (None, None));
        assert!(of(i64::MAX, i64::MAX).is_some());
        assert_eq!((micros(Instant((1 << 32) + 5)), millis(Instant(1_999))), (5, 1));
    }
}
