//! The program that runs for each frame that comes in by an interface, and the map in which it finds the socket of a queue.
//!
//! It is six instructions that are loaded as they are, so that nothing is needed to build it. A frame of a queue that has a
//! socket goes there, any other to the machine itself. It is attached by a link, which goes with its last descriptor: with the
//! process, whatever ends it.

use super::super::interface::errno;
use super::Mode;
use libc::{c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Commands of bpf(2).
#[derive(Clone, Copy, Debug)]
enum Command {
    MapCreate = 0,
    MapUpdate = 2,
    Load = 5,
    LinkCreate = 28,
}

/// `BPF_MAP_TYPE_XSKMAP`
const SOCKET_MAP: u32 = 17;
/// `BPF_PROG_TYPE_XDP`
const XDP_PROGRAM: u32 = 6;
/// `BPF_XDP`, a kind of attachment.
const ATTACH_XDP: u32 = 37;
/// `XDP_FLAGS_SKB_MODE`, `XDP_FLAGS_DRV_MODE`
const GENERIC: u32 = 1 << 1;
const NATIVE: u32 = 1 << 2;
/// `XDP_PASS`
const PASS: i32 = 2;

/// One instruction (`struct bpf_insn`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Instruction {
    code: u8,
    /// The destination's register, and the source's in the upper half.
    registers: u8,
    offset: i16,
    value: i32,
}

const fn instruction(code: u8, registers: u8, offset: i16, value: i32) -> Instruction {
    // On the other kind of machine the two registers are in the other order.
    let registers = if cfg!(target_endian = "big") { registers.rotate_left(4) } else { registers };
    Instruction { code, registers, offset, value }
}

/// `return redirect_map(map, ctx->rx_queue_index, XDP_PASS)`, the last in case that there is no socket.
fn redirect(map: c_int) -> [Instruction; 6] {
    /// Codes: a word of memory to a register; 64 bits to a register, in two parts; 32 bits to a register; a call; the end.
    const LOAD: u8 = 0x61;
    const WIDE: u8 = 0x18;
    const MOVE: u8 = 0xb7;
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    /// Of `struct xdp_md`, where the number of the queue is.
    const QUEUE: i16 = 16;
    /// In the place of a source: the value is the descriptor of a map.
    const MAP: u8 = 1 << 4;
    const REDIRECT_MAP: i32 = 51;
    [
        instruction(LOAD, 1 << 4 | 2, QUEUE, 0),
        instruction(WIDE, MAP | 1, 0, map),
        instruction(0, 0, 0, 0),
        instruction(MOVE, 3, 0, PASS),
        instruction(CALL, 0, 0, REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0),
    ]
}

/// What `BPF_MAP_CREATE` reads.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
}

/// What `BPF_MAP_UPDATE_ELEM` reads.
#[repr(C)]
struct MapUpdate {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// What `BPF_PROG_LOAD` reads.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attachment: u32,
}

/// What `BPF_LINK_CREATE` reads.
#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attachment: u32,
    flags: u32,
}

/// A program with its map, which is not attached.
#[derive(Debug)]
pub(super) struct Program {
    map: OwnedFd,
    program: OwnedFd,
}

impl Program {
    /// Loads a program for so many queues.
    pub(super) fn load(queues: u32) -> rustix::io::Result<Program> {
        const WORD: u32 = 4;
        let create =
            MapCreate { kind: SOCKET_MAP, key_size: WORD, value_size: WORD, entries: queues, flags: 0 };
        let map = open(Command::MapCreate, &create)?;
        let instructions = redirect(map.as_raw_fd());
        let load = Load {
            kind: XDP_PROGRAM,
            count: instructions.len() as u32,
            instructions: address(&instructions),
            license: address(c"MIT".to_bytes_with_nul()),
            log_level: 0,
            log_size: 0,
            log: 0,
            kernel_version: 0,
            flags: 0,
            name: *b"mos_xdp\0\0\0\0\0\0\0\0\0",
            interface: 0,
            attachment: ATTACH_XDP,
        };
        Ok(Program { program: open(Command::Load, &load)?, map })
    }

    /// Attaches it to an interface.
    pub(super) fn attach(&self, interface: u32, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let link = LinkCreate {
            program: self.program.as_raw_fd() as u32,
            interface,
            attachment: ATTACH_XDP,
            flags: if mode == Mode::Generic { GENERIC } else { NATIVE },
        };
        open(Command::LinkCreate, &link)
    }

    /// From here on, what comes by a queue goes to a socket.
    pub(super) fn set_socket(&self, queue: u32, socket: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let descriptor = socket.as_raw_fd();
        let update = MapUpdate {
            map: self.map.as_raw_fd() as u32,
            reserved: 0,
            key: address(&queue),
            value: address(&descriptor),
            flags: 0,
        };
        bpf(Command::MapUpdate, &update).map(|_| ())
    }
}

fn address<T: ?Sized>(value: &T) -> u64 {
    ptr::from_ref(value).expose_provenance() as u64
}

fn open<T>(command: Command, attributes: &T) -> rustix::io::Result<OwnedFd> {
    let descriptor = bpf(command, attributes)?;
    // SAFETY: the kernel has just made this descriptor, with the flag that closes it in other programs, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn bpf<T>(command: Command, attributes: &T) -> rustix::io::Result<c_int> {
    let (place, len) = (ptr::from_ref(attributes).expose_provenance(), size_of::<T>());
    // SAFETY: the kernel reads as many octets as the attributes have, which are those of the command. What they point to are a
    // key and a value of four octets each, or as many instructions as are counted and a text that ends with a NUL: all of them
    // live in the caller until this returns, had their addresses exposed as these are, and are only read. The kernel checks the
    // program before it runs. The live tests would receive nothing, or get an error, were a layout another.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command as c_long, place, len) };
    c_int::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes up to the last field that is used, as of the kernel's headers.
    #[test]
    fn attributes_have_the_layout_that_the_kernel_reads() {
        assert_eq!((size_of::<Instruction>(), size_of::<MapCreate>(), size_of::<MapUpdate>()), (8, 20, 32));
        assert_eq!((size_of::<Load>(), size_of::<LinkCreate>()), (72, 16));
        assert_eq!(std::mem::offset_of!(Load, name), 48);
    }
}
