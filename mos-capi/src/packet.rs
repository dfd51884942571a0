//! The packet in flight: a copy of it, and what is to become of it.

use crate::abi::{self, Mctx, PktInfo};
use crate::app::CApp;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, octets, socket_in, write};
use crate::text;
use libc::{c_int, off_t};
use mos_flow::packet::PacketView;
use mos_flow::wire::Family;
use mos_flow::{Context, Layer, LinkType, PacketError, Side, SocketId};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ptr;

/// Room that a copy begins with: more than any frame on a wire.
const FRAME_ROOM: usize = 1 << 14;
const ETHERNET_HEADER: usize = 14;

/// See `mos_api.h`.
///
/// # Safety
/// `p` is NULL or leads to room for a `struct pkt_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_getlastpkt(mctx: Mctx, sock: c_int, _side: c_int, p: *mut PktInfo) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let socket = socket_in(context, sock)?;
            if p.is_null() {
                return Err(Errno::FAULT);
            }
            let offset = payload_offset(context, socket);
            let cur_ts = crate::timer::millis(context.now());
            let (app, packet) = context.split_packet();
            let info = copy(packet.ok_or(Errno::NODATA)?, &mut app.frame);
            // SAFETY: the caller's condition.
            unsafe { write(p, PktInfo { cur_ts, offset, ..info }) }?;
            Ok(0)
        })
    })
}

/// Where the packet's payload begins in its receiver's stream; 0 when it is not of the socket's connection.
fn payload_offset(context: &mut Context<'_, CApp>, socket: SocketId) -> u64 {
    let Some(packet) = context.packet() else { return 0 };
    let Some(segment) = packet.segment else { return 0 };
    let (seq, ends) = (segment.data_seq(), ends(packet));
    let Ok(monitor) = context.monitor_at(socket) else { return 0 };
    let receiver = match (monitor.address(Side::Client), monitor.address(Side::Server)) {
        (Ok(client), Ok(server)) if (client, server) == ends => Side::Server,
        (Ok(client), Ok(server)) if (server, client) == ends => Side::Client,
        _ => return 0,
    };
    monitor.offset_of(receiver, seq).ok().flatten().map_or(0, |offset| offset.0)
}

/// Source and destination.
fn ends(view: PacketView<'_>) -> (SocketAddr, SocketAddr) {
    let PacketView { packet, frame, .. } = view;
    let end = |address: [u8; 16], port| {
        let address = Ipv6Addr::from(address);
        let address = match packet.family {
            Family::V4 => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
            Family::V6 => IpAddr::V6(address),
        };
        SocketAddr::new(address, port)
    };
    let ((source, destination), (from, to)) = (packet.addresses(frame.data), packet.ports(frame.data));
    (end(source, from), end(destination, to))
}

/// Copies the frame into `copy`, with its IP header aligned for C, and describes it.
fn copy(view: PacketView<'_>, copy: &mut Vec<u8>) -> PktInfo {
    let (frame, packet) = (view.frame, view.packet);
    copy.clear();
    copy.reserve(FRAME_ROOM.max(frame.data.len() + 4));
    let shift = (copy.as_ptr().addr() + packet.ip).wrapping_neg() % 4;
    copy.resize(shift, 0);
    copy.extend_from_slice(frame.data);
    let start = copy.as_mut_ptr().wrapping_add(shift);
    let short = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    let mut info = PktInfo {
        cur_ts: 0,
        in_ifidx: i8::try_from(frame.port).unwrap_or(i8::MAX),
        eth_len: short(frame.data.len()),
        ip_len: short(packet.transport - packet.ip + packet.segment_len),
        offset: 0,
        payloadlen: 0,
        seq: 0,
        ack_seq: 0,
        window: 0,
        ethh: if frame.link == LinkType::Ethernet { start } else { ptr::null_mut() },
        iph: start.wrapping_add(packet.ip),
        tcph: ptr::null_mut(),
        payload: ptr::null_mut(),
    };
    if let Some(segment) = view.segment {
        info.seq = segment.seq.0;
        info.ack_seq = segment.ack.0;
        info.window = segment.window;
        info.payloadlen = short(segment.payload.len());
        info.tcph = start.wrapping_add(packet.transport);
        info.payload = start.wrapping_add(packet.end - segment.payload.len());
    }
    info
}

/// See `mos_api.h`.
///
/// # Safety
/// `data` is NULL or leads to `datalen` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mtcp_setlastpkt(
    mctx: Mctx,
    _sock: c_int,
    _side: c_int,
    offset: off_t,
    data: *mut u8,
    datalen: u16,
    option: c_int,
) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            let packet = context.packet().ok_or(Errno::NODATA)?;
            let offset = usize::try_from(offset).map_err(|_| Errno::INVAL)?;
            let what = option & (abi::MOS_DROP | abi::MOS_OVERWRITE | abi::MOS_CHOMP | abi::MOS_INSERT);
            if what.count_ones() != 1 {
                return Err(Errno::AGAIN);
            }
            if what == abi::MOS_DROP {
                context.drop_packet();
                return Ok(0);
            }
            let place = Place { layer: layer(option)?, offset, len: datalen.into() };
            place.check(packet, what)?;
            let (data, len) =
                if what == abi::MOS_CHOMP { (ptr::null(), 0) } else { (data.cast_const(), datalen) };
            // SAFETY: the caller's condition.
            let data = unsafe { octets(data, len.into()) }?;
            if what == abi::MOS_OVERWRITE && place.reshapes(packet, data) {
                return Err(Errno::INVAL);
            }
            place.change(context, what, data, option)
        })
    })
}

/// See `mos_api.h`.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_cb_dropcurpkt(mctx: Mctx) -> c_int {
    entry(-1, || {
        in_callback(mctx, |context| {
            context.packet().ok_or(Errno::NODATA)?;
            context.drop_packet();
            Ok(0)
        })
    })
}

/// The first layer that is named.
fn layer(option: c_int) -> Answer<Layer> {
    let layers = [
        (abi::MOS_ETH_HDR, Layer::Ethernet),
        (abi::MOS_IP_HDR, Layer::Ip),
        (abi::MOS_TCP_HDR, Layer::Tcp),
        (abi::MOS_TCP_PAYLOAD, Layer::Payload),
    ];
    layers.into_iter().find(|(bit, _)| option & bit != 0).map(|(_, layer)| layer).ok_or(Errno::INVAL)
}

/// Octets of a packet that are to be changed.
#[derive(Clone, Copy, Debug)]
struct Place {
    layer: Layer,
    offset: usize,
    len: usize,
}

impl Place {
    /// Whether that can be done there.
    fn check(self, view: PacketView<'_>, what: c_int) -> Answer<()> {
        let overwrite = what == abi::MOS_OVERWRITE;
        let room = room(self.layer, view, overwrite)?;
        if !overwrite && self.layer != Layer::Payload {
            return Err(Errno::OPNOTSUPP);
        }
        let end = if what == abi::MOS_INSERT { self.offset } else { self.offset.saturating_add(self.len) };
        if end > room { Err(Errno::INVAL) } else { Ok(()) }
    }

    /// Whether the rest of the packet would be read in another way: by another version, header length, protocol, or data
    /// offset.
    fn reshapes(self, view: PacketView<'_>, data: &[u8]) -> bool {
        let (start, shape): (usize, &[(usize, u8)]) = match self.layer {
            Layer::Ip => (view.packet.ip, &[(0, 0xff), (9, 0xff)]),
            Layer::Tcp => (view.packet.transport, &[(12, 0xf0)]),
            Layer::Ethernet | Layer::Payload => return false,
        };
        shape.iter().any(|(at, bits)| {
            let new = at.checked_sub(self.offset).and_then(|i| data.get(i));
            let old = view.frame.data.get(start + at);
            new.zip(old).is_some_and(|(new, old)| (new ^ old) & bits != 0)
        })
    }

    fn change(
        self,
        context: &mut Context<'_, CApp>,
        what: c_int,
        data: &[u8],
        option: c_int,
    ) -> Answer<c_int> {
        let (ip, tcp) = (option & abi::MOS_UPDATE_IP_CHKSUM != 0, option & abi::MOS_UPDATE_TCP_CHKSUM != 0);
        if self.len == 0 && !ip && !tcp {
            return Ok(0);
        }
        let mut edit = context.edit().map_err(not_here)?;
        let changed = match what {
            _ if self.len == 0 => Ok(()),
            abi::MOS_CHOMP => edit.chomp(self.offset, self.len),
            abi::MOS_INSERT => edit.insert(self.offset, data),
            _ => edit.overwrite(self.layer, self.offset, data),
        };
        changed.map_err(told)?;
        if ip {
            edit.renew_ip_checksum();
        }
        if tcp {
            edit.renew_transport_checksum();
        }
        Ok(0)
    }
}

/// Octets of a layer.
fn room(layer: Layer, view: PacketView<'_>, overwrite: bool) -> Answer<usize> {
    let packet = view.packet;
    let payload = view.segment.map(|s| s.payload.len());
    match layer {
        Layer::Ethernet if !overwrite => Err(Errno::ACCES), // nothing else can be done with it
        Layer::Ethernet if view.frame.link != LinkType::Ethernet => Err(Errno::ACCES),
        Layer::Ethernet => Ok(ETHERNET_HEADER),
        Layer::Ip if packet.family != Family::V4 => Err(Errno::ACCES),
        Layer::Ip => Ok(packet.transport - packet.ip),
        Layer::Tcp => payload.map(|p| packet.end - packet.transport - p).ok_or(Errno::INVAL),
        Layer::Payload => payload.ok_or(Errno::INVAL),
    }
}

/// Why a packet that is there cannot be changed.
fn not_here(error: PacketError) -> Errno {
    if error != PacketError::NoPacket {
        return told(error);
    }
    text::tell("of the packet of an error event nothing can be changed");
    Errno::OPNOTSUPP
}

fn told(error: PacketError) -> Errno {
    text::tell(error);
    error.into()
}
