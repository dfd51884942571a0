//! The script as a program for x86-64 Linux that is linked with no library: no libc, no allocator, no start files.
//! It asks the kernel for two things: to write the transcript, and to end.
#![no_std]
#![no_main]

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("this image starts and ends as x86-64 Linux wants it");

mod mem;

use core::arch::{asm, naked_asm};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use ringbuf_core_images::script;

/// Where the kernel starts the program, with the stack pointer at the arguments, 16-aligned.
// SAFETY: the name is the entry point by convention, and without start files nobody else defines it.
#[unsafe(no_mangle)]
#[unsafe(naked)]
extern "C" fn _start() -> ! {
    // A call pushes the return address that the alignment of a function's stack counts on.
    naked_asm!("xor ebp, ebp", "call {main}", "ud2", main = sym main)
}

extern "C" fn main() -> ! {
    let mut out = Stdout;
    match script::run(&mut out) {
        Ok(()) => exit(0),
        Err(wrong) => {
            let _ = writeln!(out, "failed: {wrong}");
            exit(1)
        }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let _ = writeln!(Stdout, "{info}");
    exit(101)
}

struct Stdout;

impl Write for Stdout {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            // The kernel may take less than it was given; an error comes back as a negative number.
            let written = usize::try_from(write(rest)).map_err(|_| fmt::Error)?;
            rest = rest.get(written..).filter(|_| written > 0).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// write(1, octets): how many were taken, or an error below zero.
fn write(octets: &[u8]) -> isize {
    let mut result: isize = 1; // the number of the call
    // SAFETY: the kernel only reads the octets, which are borrowed for as long as the call takes; it changes no
    // register but the result, rcx and r11, which are declared.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") result,
            in("rdi") 1_usize,
            in("rsi") octets.as_ptr(),
            in("rdx") octets.len(),
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack, readonly),
        );
    }
    result
}

fn exit(status: i32) -> ! {
    // SAFETY: exit(status) takes no memory and does not come back.
    unsafe { asm!("syscall", in("rax") 60_usize, in("edi") status, options(noreturn, nostack)) }
}
