//! Set-up, configuration and contexts: the process-wide part of `mtcp_api.h`, and `mtcp_app_join`.

use crate::abi::{MOS_ABI_VERSION, Mctx, MtcpConf};
use crate::child;
use crate::current;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, path, read, write};
use crate::signal;
use crate::slot::{self, Phase};
use crate::stack::Stack;
use crate::{conf, text};
use libc::{c_char, c_int};
use std::ptr;

/// See `mtcp_api.h`.
///
/// # Safety
/// `config_file` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_init(config_file: *const c_char) -> c_int {
    entry(-1, || {
        // SAFETY: the caller's condition.
        let name = unsafe { path(config_file) }?;
        if slot::all().next().is_some() {
            return Err(Errno::BUSY);
        }
        conf::load(name)?;
        Ok(0)
    })
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_destroy() -> c_int {
    entry(-1, || if conf::forget() { Ok(0) } else { Err(Errno::PERM) })
}

/// See `mtcp_api.h`.
///
/// # Safety
/// `conf` is NULL or leads to room for a `struct mtcp_conf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getconf(conf: *mut MtcpConf) -> c_int {
    entry(-1, || {
        if conf.is_null() {
            return Err(Errno::INVAL);
        }
        let shown = conf::settings()?.shown();
        // SAFETY: the caller's condition.
        unsafe { write(conf, shown) }?;
        Ok(0)
    })
}

/// See `mtcp_api.h`.
///
/// # Safety
/// `conf` is NULL or leads to a `struct mtcp_conf`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setconf(conf: *const MtcpConf) -> c_int {
    entry(-1, || {
        if conf.is_null() {
            return Err(Errno::INVAL);
        }
        // SAFETY: the caller's condition.
        let given = unsafe { read(conf) }?;
        conf::change(&given)?;
        Ok(0)
    })
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_core_affinitize(cpu: c_int) -> c_int {
    entry(-1, || {
        let core = usize::try_from(cpu).map_err(|_| Errno::INVAL)?;
        if core >= libc::CPU_SETSIZE.unsigned_abs() as usize {
            return Err(Errno::INVAL);
        }
        // SAFETY: the set is plain bits, and no bit is a valid set.
        let mut set = unsafe { std::mem::zeroed::<libc::cpu_set_t>() };
        // SAFETY: `core` is inside of the set.
        unsafe { libc::CPU_SET(core, &mut set) };
        // SAFETY: 0 is the calling thread; the set and its size fit.
        let done = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
        if done == 0 { Ok(0) } else { Err(Errno::INVAL) }
    })
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_create_context(cpu: c_int) -> Mctx {
    entry(ptr::null_mut(), || {
        let settings = conf::settings()?;
        let core = core_of(cpu, settings.num_cores)?;
        if !current::is_stack_thread() {
            slot::wait_for_destroyed(); // they may still hold the devices, or write the output
        }
        child::watch();
        let slot = slot::claim(core).inspect_err(|errno| {
            text::tell(match *errno {
                Errno::EXIST => format!("core {core} has a context already"),
                _ => "there are too many contexts that are not gone yet".to_owned(),
            });
        })?;
        let started = Stack::new(&settings, slot).and_then(Stack::start);
        if started.is_err() {
            slot.give_up();
        }
        started.map(|_thread| slot.mctx())
    })
}

/// The core that a context is made for.
fn core_of(cpu: c_int, cores: c_int) -> Answer<u32> {
    let core = u32::try_from(cpu).ok().filter(|_| cpu < cores);
    core.ok_or_else(|| {
        text::tell(format_args!("there is no core {cpu}: num_cores is {cores}, by the masks in netdev"));
        Errno::INVAL
    })
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_destroy_context(mctx: Mctx) -> c_int {
    entry(-1, || destroy(mctx).map(|()| 0))
}

/// See `mtcp_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_free_context(mctx: Mctx) {
    entry((), || destroy(mctx));
}

fn destroy(mctx: Mctx) -> Answer<()> {
    let Some(slot) = slot::find(mctx) else { return Err(destroyed(mctx)) };
    let epoch = slot.epoch();
    if !slot.stop() {
        return Err(destroyed(mctx));
    }
    if current::is_stack_thread() {
        current::renounce(slot);
    } else if !signal::in_handler() {
        slot.wait_until_quiet(epoch);
    }
    Ok(())
}

/// What calls that end a program's use of a context come to when somebody else has destroyed it: where they can, they
/// first wait for its last callback, so that the program can free what that works on.
fn destroyed(mctx: Mctx) -> Errno {
    let may_wait = !current::is_stack_thread() && !signal::in_handler();
    if let Some(slot) = slot::slot_at(mctx).filter(|_| may_wait) {
        let epoch = slot.epoch();
        if slot.phase() == Phase::Stopping {
            slot.wait_until_quiet(epoch);
        }
    }
    Errno::ACCES
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_app_join(mctx: Mctx) {
    entry((), || {
        let Some(slot) = slot::find(mctx) else { return Err(destroyed(mctx)) };
        if current::is_stack_thread() {
            return Err(Errno::DEADLK);
        }
        match slot.join(slot.epoch()) {
            None => Ok(()),
            Some(sentence) => {
                text::tell(sentence);
                Err(Errno::IO)
            }
        }
    });
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_abi_version() -> u32 {
    MOS_ABI_VERSION
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_last_error() -> *const c_char {
    text::pointer()
}
