//! What the kernel tells of an interface: whether it is up, whether it is the loopback, its hardware address, its MTU.

use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};
use std::io::{self, ErrorKind};

/// Octets of an interface's name with the NUL that ends it (`IFNAMSIZ`).
pub(super) const NAME: usize = 16;
/// `IFF_UP`.
const UP: u16 = 1;
/// `IFF_LOOPBACK`.
const LOOPBACK: u16 = 8;
/// A number without a direction or a size in it, as old ones are.
const SIOCGIFFLAGS: Opcode = 0x8913;
const SIOCGIFMTU: Opcode = 0x8921;
const SIOCGIFHWADDR: Opcode = 0x8927;

/// What the kernel calls `struct ifreq`, for calls that want flags.
#[repr(C)]
pub(super) struct InterfaceRequest {
    pub(super) name: [u8; NAME],
    pub(super) flags: u16,
    rest: [u8; 22],
}

const _: () = assert!(size_of::<InterfaceRequest>() == 40);

impl InterfaceRequest {
    /// One for an interface.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] for what cannot be a name.
    pub(super) fn new(name: &str, flags: u16) -> io::Result<Self> {
        let mut request = InterfaceRequest { name: [0; NAME], flags, rest: [0; 22] };
        match request.name.get_mut(..name.len()) {
            Some(place) if (1..NAME).contains(&name.len()) && !name.contains('\0') => {
                place.copy_from_slice(name.as_bytes());
                Ok(request)
            }
            _ => Err(io::Error::new(ErrorKind::InvalidInput, "not a name of an interface")),
        }
    }
}

/// Asks for what one of the calls tells of an interface of this network namespace.
fn ask<const CALL: Opcode>(name: &str) -> io::Result<InterfaceRequest> {
    let mut request = InterfaceRequest::new(name, 0)?;
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: the calls above read the name of a `struct ifreq` and write what is behind it, and that is what `InterfaceRequest`
    // is: in size (asserted above) and in the place of the name. With another layout the live tests of interfaces that are down
    // and of routers would fail.
    let get = unsafe { Updater::<CALL, InterfaceRequest>::new(&mut request) };
    // SAFETY: the request lives until the call returns, and the kernel keeps no pointer to it.
    unsafe { ioctl(&any, get) }?;
    Ok(request)
}

/// Whether an interface is there, and up.
pub(crate) fn is_up(name: &str) -> io::Result<bool> {
    Ok(ask::<SIOCGIFFLAGS>(name)?.flags & UP != 0)
}

/// Whether what is sent by an interface comes in by it again.
pub(crate) fn is_loopback(name: &str) -> io::Result<bool> {
    Ok(ask::<SIOCGIFFLAGS>(name)?.flags & LOOPBACK != 0)
}

/// The hardware address of an interface, and its MTU.
pub(crate) fn station(name: &str) -> io::Result<([u8; 6], u16)> {
    // In the place of the flags there is the kind of the address, or the first half of a number.
    let [a, b, c, d, e, f, ..] = ask::<SIOCGIFHWADDR>(name)?.rest;
    let mtu = ask::<SIOCGIFMTU>(name)?;
    let ([low, high], [next, last, ..]) = (mtu.flags.to_ne_bytes(), mtu.rest);
    let mtu = u32::from_ne_bytes([low, high, next, last]);
    Ok(([a, b, c, d, e, f], u16::try_from(mtu).unwrap_or(u16::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_interface_is_an_error() {
        for name in ["", "sixteen-letters-", "with\0nul", "nothing-here"] {
            assert!(is_up(name).is_err() && is_loopback(name).is_err() && station(name).is_err(), "{name:?}");
        }
    }
}
