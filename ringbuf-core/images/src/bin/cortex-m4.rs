//! The script as firmware for a Cortex-M4. Transcript and exit status go to the emulator or debugger by semihosting.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[cfg(not(target_arch = "arm"))]
compile_error!("build this image with --target thumbv7em-none-eabi");

use core::fmt::{Display, Write};
use core::panic::PanicInfo;
use cortex_m_rt::entry;
use cortex_m_semihosting::{debug, hio};
use ringbuf_core_images::script;

#[entry]
fn main() -> ! {
    let Ok(mut out) = hio::hstdout() else { fail("no console") };
    match script::run(&mut out) {
        Ok(()) => exit(debug::EXIT_SUCCESS),
        Err(wrong) => fail(format_args!("failed: {wrong}")),
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(info)
}

fn fail(why: impl Display) -> ! {
    if let Ok(mut out) = hio::hstdout() {
        let _ = writeln!(out, "{why}");
    }
    exit(debug::EXIT_FAILURE)
}

fn exit(status: debug::ExitStatus) -> ! {
    // A debugger may let the program go on.
    loop {
        debug::exit(status);
    }
}
