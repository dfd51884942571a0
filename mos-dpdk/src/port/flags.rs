//! Whether an interface is up.

use rustix::ioctl::{Opcode, Updater, ioctl};
use rustix::net::{AddressFamily, SocketType, socket};
use std::io::{self, ErrorKind};

/// Octets of an interface's name with the NUL that ends it (`IFNAMSIZ`).
pub(super) const NAME: usize = 16;
/// `IFF_UP`.
const UP: u16 = 1;
/// A number without a direction or a size in it, as old ones are.
const SIOCGIFFLAGS: Opcode = 0x8913;

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

/// Whether an interface of this network namespace is there, and up.
pub(crate) fn is_up(name: &str) -> io::Result<bool> {
    let mut request = InterfaceRequest::new(name, 0)?;
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: SIOCGIFFLAGS reads the name of a `struct ifreq` and writes its flags, and that is what `InterfaceRequest` is: in size
    // (asserted above) and in the place of the two. With another layout the live test of interfaces that are down would fail.
    let get = unsafe { Updater::<SIOCGIFFLAGS, InterfaceRequest>::new(&mut request) };
    // SAFETY: the request lives until the call returns, and the kernel keeps no pointer to it.
    unsafe { ioctl(&any, get) }?;
    Ok(request.flags & UP != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_interface_is_an_error() {
        for name in ["", "sixteen-letters-", "with\0nul", "nothing-here"] {
            assert!(is_up(name).is_err(), "{name:?}");
        }
    }
}
