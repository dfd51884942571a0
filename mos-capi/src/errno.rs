//! The one map from refusals to `errno`.

use libc::c_int;
use mos_dpdk::capture::{CaptureError, CaptureErrorKind};
use mos_dpdk::config::LoadError;
use mos_dpdk::port::PortError;
use mos_flow::{ConfigError, InjectError, PacketError, ResetError, SocketError};
use std::io;

/// A reason for a call to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(c_int);

#[allow(missing_docs)] // the names of C, without the E
impl Errno {
    pub const ACCES: Errno = Errno(libc::EACCES);
    pub const AFNOSUPPORT: Errno = Errno(libc::EAFNOSUPPORT);
    pub const AGAIN: Errno = Errno(libc::EAGAIN);
    pub const ALREADY: Errno = Errno(libc::EALREADY);
    pub const BADF: Errno = Errno(libc::EBADF);
    pub const BUSY: Errno = Errno(libc::EBUSY);
    pub const DEADLK: Errno = Errno(libc::EDEADLK);
    pub const EXIST: Errno = Errno(libc::EEXIST);
    pub const FAULT: Errno = Errno(libc::EFAULT);
    pub const INVAL: Errno = Errno(libc::EINVAL);
    pub const IO: Errno = Errno(libc::EIO);
    pub const ISDIR: Errno = Errno(libc::EISDIR);
    pub const MSGSIZE: Errno = Errno(libc::EMSGSIZE);
    pub const NOBUFS: Errno = Errno(libc::ENOBUFS);
    pub const NODATA: Errno = Errno(libc::ENODATA);
    pub const NODEV: Errno = Errno(libc::ENODEV);
    pub const NOENT: Errno = Errno(libc::ENOENT);
    pub const NFILE: Errno = Errno(libc::ENFILE);
    pub const NOMEM: Errno = Errno(libc::ENOMEM);
    pub const NOPROTOOPT: Errno = Errno(libc::ENOPROTOOPT);
    pub const NOSYS: Errno = Errno(libc::ENOSYS);
    pub const NOTCONN: Errno = Errno(libc::ENOTCONN);
    pub const NOTSOCK: Errno = Errno(libc::ENOTSOCK);
    pub const OPNOTSUPP: Errno = Errno(libc::EOPNOTSUPP);
    pub const PERM: Errno = Errno(libc::EPERM);
    pub const SOCKTNOSUPPORT: Errno = Errno(libc::ESOCKTNOSUPPORT);

    /// The calling thread's `errno`.
    pub fn get() -> Errno {
        // SAFETY: the C library gives each thread a valid, aligned place for it; the call has no conditions.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: as above; only this thread touches it.
        Errno(unsafe { place.read() })
    }

    /// Makes it the calling thread's `errno`.
    pub fn set(self) {
        // SAFETY: as in `get`.
        let place = unsafe { libc::__errno_location() };
        // SAFETY: as in `get`.
        unsafe { place.write(self.0) };
    }

    /// The same, but for sockets of the wrong kind, which some calls have a reason of their own for.
    pub(crate) fn of(error: SocketError, wrong_kind: Errno) -> Errno {
        if error == SocketError::WrongKind { wrong_kind } else { error.into() }
    }
}

impl From<SocketError> for Errno {
    fn from(error: SocketError) -> Errno {
        match error {
            SocketError::Full => Errno::NFILE,
            SocketError::NoHandler => Errno::NOENT,
            SocketError::NoData => Errno::NODATA,
            SocketError::NoSocket => Errno::BADF,
            SocketError::NotConnected => Errno::NOTCONN,
            SocketError::WrongKind => Errno::NOTSOCK,
            // `Disabled`, `TooLong`, `WrongHook`.
            _ => Errno::INVAL,
        }
    }
}

impl From<PacketError> for Errno {
    fn from(error: PacketError) -> Errno {
        match error {
            PacketError::AlreadySent => Errno::ALREADY,
            PacketError::NoPacket => Errno::NODATA,
            PacketError::NoRoom => Errno::MSGSIZE,
            PacketError::Family | PacketError::NotThere | PacketError::OutOfBounds => Errno::INVAL,
            PacketError::TooMany => Errno::NOBUFS,
            // `Cut`, `Fragmented`, `NotKept`, `NotTracked`, `TooLate`, `Tunnelled`.
            _ => Errno::OPNOTSUPP,
        }
    }
}

impl From<InjectError> for Errno {
    fn from(error: InjectError) -> Errno {
        match error {
            InjectError::Families | InjectError::Options => Errno::INVAL,
            InjectError::NoRoom => Errno::NOBUFS,
            InjectError::TooLong => Errno::MSGSIZE,
            // `Labels`, `Link`, `Tunnel`.
            _ => Errno::OPNOTSUPP,
        }
    }
}

impl From<ResetError> for Errno {
    fn from(error: ResetError) -> Errno {
        match error {
            ResetError::Socket(e) => e.into(),
            ResetError::Inject(e) => e.into(),
            _ => Errno::IO,
        }
    }
}

impl From<&io::Error> for Errno {
    fn from(error: &io::Error) -> Errno {
        match (error.raw_os_error(), error.kind()) {
            (Some(errno), _) => Errno(errno),
            (None, io::ErrorKind::IsADirectory) => Errno::ISDIR,
            (None, io::ErrorKind::InvalidInput) => Errno::INVAL,
            (None, io::ErrorKind::ResourceBusy) => Errno::BUSY,
            (None, _) => Errno::IO,
        }
    }
}

impl From<&CaptureError> for Errno {
    fn from(error: &CaptureError) -> Errno {
        match &error.kind {
            CaptureErrorKind::Io(e) => e.into(),
            _ => Errno::INVAL, // not a capture
        }
    }
}

impl From<&PortError> for Errno {
    fn from(error: &PortError) -> Errno {
        match error {
            PortError::Capture(e) => e.into(),
            PortError::Io(e) => e.into(),
            _ => Errno::IO,
        }
    }
}

impl From<&LoadError> for Errno {
    fn from(error: &LoadError) -> Errno {
        match error {
            LoadError::Io(e) => e.into(),
            _ => Errno::INVAL,
        }
    }
}

impl From<&ConfigError> for Errno {
    fn from(_: &ConfigError) -> Errno {
        Errno::INVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_is_set_and_read() {
        Errno::NODATA.set();
        assert_eq!(Errno::get(), Errno::NODATA);
        assert_eq!(io::Error::last_os_error().raw_os_error(), Some(libc::ENODATA));
    }

    #[test]
    fn every_refusal_has_its_errno() {
        let table = [
            (SocketError::Disabled, libc::EINVAL),
            (SocketError::Full, libc::ENFILE),
            (SocketError::NoHandler, libc::ENOENT),
            (SocketError::NoData, libc::ENODATA),
            (SocketError::NoSocket, libc::EBADF),
            (SocketError::NotConnected, libc::ENOTCONN),
            (SocketError::TooLong, libc::EINVAL),
            (SocketError::WrongHook, libc::EINVAL),
            (SocketError::WrongKind, libc::ENOTSOCK),
        ];
        for (error, errno) in table {
            assert_eq!(Errno::from(error), Errno(errno), "{error}");
        }
        let of_packets = [
            (PacketError::AlreadySent, libc::EALREADY),
            (PacketError::Cut, libc::EOPNOTSUPP),
            (PacketError::Family, libc::EINVAL),
            (PacketError::NoPacket, libc::ENODATA),
            (PacketError::NoRoom, libc::EMSGSIZE),
            (PacketError::NotKept, libc::EOPNOTSUPP),
            (PacketError::NotThere, libc::EINVAL),
            (PacketError::OutOfBounds, libc::EINVAL),
            (PacketError::TooLate, libc::EOPNOTSUPP),
            (PacketError::TooMany, libc::ENOBUFS),
        ];
        for (error, errno) in of_packets {
            assert_eq!(Errno::from(error), Errno(errno), "{error}");
        }
        let of_made_ones = [
            (InjectError::Families, libc::EINVAL),
            (InjectError::Link, libc::EOPNOTSUPP),
            (InjectError::NoRoom, libc::ENOBUFS),
            (InjectError::TooLong, libc::EMSGSIZE),
        ];
        for (error, errno) in of_made_ones {
            assert_eq!(Errno::from(ResetError::Inject(error)), Errno(errno), "{error}");
        }
        assert_eq!(Errno::from(ResetError::Socket(SocketError::WrongKind)), Errno::NOTSOCK);
        assert_eq!(Errno::of(SocketError::WrongKind, Errno::NOTCONN), Errno::NOTCONN);
        assert_eq!(Errno::of(SocketError::NoSocket, Errno::NOTCONN), Errno::BADF);
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        assert_eq!(Errno::from(&missing), Errno::NOENT);
    }
}
