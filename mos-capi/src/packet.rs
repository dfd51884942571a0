//! The packet in flight: a copy of it, and what is to become of it.

use crate::abi::{self, Mctx, PktInfo};
use crate::app::CApp;
use crate::errno::Errno;
use crate::ffi::{Answer, entry, in_callback, socket_in, write};
use libc::{c_int, off_t};
use mos_flow::packet::PacketView;
use mos_flow::wire::Family;
use mos_flow::{Context, LinkType, Side, SocketId};
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

/// See `mos_api.h`. `data` is not looked at yet.
#[unsafe(no_mangle)]
pub extern "C" fn mtcp_setlastpkt(
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
            let layer = Layer::of(option)?;
            let room = layer.room(packet, what == abi::MOS_OVERWRITE)?;
            let end = offset.saturating_add(datalen.into());
            if what == abi::MOS_OVERWRITE && end > room {
                return Err(Errno::INVAL);
            }
            if what != abi::MOS_CHOMP && data.is_null() && datalen > 0 {
                return Err(Errno::FAULT);
            }
            Err(Errno::OPNOTSUPP)
        })
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Ethernet,
    Ip,
    Tcp,
    Payload,
}

impl Layer {
    /// The first one that is named.
    fn of(option: c_int) -> Answer<Layer> {
        let layers = [
            (abi::MOS_ETH_HDR, Layer::Ethernet),
            (abi::MOS_IP_HDR, Layer::Ip),
            (abi::MOS_TCP_HDR, Layer::Tcp),
            (abi::MOS_TCP_PAYLOAD, Layer::Payload),
        ];
        layers.into_iter().find(|(bit, _)| option & bit != 0).map(|(_, layer)| layer).ok_or(Errno::INVAL)
    }

    /// Octets of the layer.
    fn room(self, view: PacketView<'_>, overwrite: bool) -> Answer<usize> {
        let packet = view.packet;
        let payload = view.segment.map(|s| s.payload.len());
        match self {
            Layer::Ethernet if !overwrite => Err(Errno::ACCES), // nothing else can be done with it
            Layer::Ethernet if view.frame.link != LinkType::Ethernet => Err(Errno::ACCES),
            Layer::Ethernet => Ok(ETHERNET_HEADER),
            Layer::Ip if packet.family != Family::V4 => Err(Errno::ACCES),
            Layer::Ip => Ok(packet.transport - packet.ip),
            Layer::Tcp => payload.map(|p| packet.end - packet.transport - p).ok_or(Errno::INVAL),
            Layer::Payload => payload.ok_or(Errno::INVAL),
        }
    }
}
