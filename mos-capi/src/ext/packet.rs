//! Packets of the program's own.

use crate::abi::Mctx;
use crate::abi::ext::{MOS_WAY_BACK, MOS_WAY_IP, MOS_WAY_PORT};
use crate::current::{control, find, with};
use crate::errno::Errno;
use crate::ffi::{Answer, entry, socket_in};
use crate::send::{not_reset, reset_here};
use libc::{c_int, c_void, size_t};
use mos_flow::{Control, LinkType, SocketId, SocketKind, Way};
use std::slice;

/// The longest packet: what its length field can tell, and link headers.
const MAX_PACKET: size_t = (1 << 16) + 256;

/// See `mos_ext.h`.
///
/// # Safety
/// `packet` is NULL or leads to `len` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mos_send(mctx: Mctx, way: c_int, packet: *const c_void, len: size_t) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        if packet.is_null() {
            return Err(Errno::FAULT);
        }
        let (way, link) = way_of(way)?;
        match len {
            0 => return Err(Errno::INVAL),
            MAX_PACKET.. => return Err(Errno::MSGSIZE),
            _ => {}
        }
        // SAFETY: the caller's condition; it is not NULL, and `len` is small. Nobody writes to it during the call.
        let octets = unsafe { slice::from_raw_parts(packet.cast::<u8>(), len) };
        let direct = with(slot, |context| send(&mut context.control(), way, link, octets));
        direct.unwrap_or_else(|| {
            let copy = octets.to_vec(); // another thread reads it
            control(slot, move |desk| send(desk.control, way, link, &copy))
        })?;
        Ok(0)
    })
}

fn send(control: &mut Control<'_, crate::app::CApp>, way: Way, link: LinkType, packet: &[u8]) -> Answer<()> {
    Ok(control.send_frame(way, link, packet)?)
}

/// Where a packet is to go, and what its first header is.
fn way_of(way: c_int) -> Answer<(Way, LinkType)> {
    if way & !(MOS_WAY_PORT | MOS_WAY_BACK | MOS_WAY_IP) != 0 {
        return Err(Errno::INVAL);
    }
    let port = (way & MOS_WAY_PORT) as u16;
    let link = if way & MOS_WAY_IP == 0 { LinkType::Ethernet } else { LinkType::RawIp };
    Ok((if way & MOS_WAY_BACK == 0 { Way::Along(port) } else { Way::Back(port) }, link))
}

/// See `mos_ext.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mos_reset(mctx: Mctx, sock: c_int) -> c_int {
    entry(-1, || {
        let slot = find(mctx)?;
        // In a callback for this connection the packet in flight shows the headers before IP, and the way.
        let direct = with(slot, |context| {
            let socket = socket_in(context, sock)?;
            reset_here(context, socket)
        });
        direct.unwrap_or_else(|| {
            control(slot, move |desk| {
                let index = u32::try_from(sock).map_err(|_| Errno::BADF)?;
                let socket = desk.control.socket_at(index).ok_or(Errno::BADF)?;
                reset(desk.control, socket)
            })
        })?;
        Ok(0)
    })
}

fn reset(control: &mut Control<'_, crate::app::CApp>, socket: SocketId) -> Answer<()> {
    if control.monitor(socket)?.kind()? != SocketKind::Active {
        return Err(Errno::NOTSOCK);
    }
    control.reset(socket).map_err(not_reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_a_port_and_two_bits() {
        assert_eq!(way_of(7), Ok((Way::Along(7), LinkType::Ethernet)));
        assert_eq!(way_of(MOS_WAY_BACK | 0xffff), Ok((Way::Back(0xffff), LinkType::Ethernet)));
        assert_eq!(way_of(MOS_WAY_IP), Ok((Way::Along(0), LinkType::RawIp)));
        for wrong in [-1, 1 << 18, c_int::MIN] {
            assert_eq!(way_of(wrong), Err(Errno::INVAL));
        }
    }
}
