//! The program by which the kernel deals frames out to the ports of a group: by the hash of [`rss`], whose queue is the port.
//!
//! It is classic BPF, which the kernel runs for each frame; what it returns is taken modulo the number of ports. What comes in
//! is read from the network header on, its outermost tag taken out, if that is one of IEEE 802.1; what goes out is the frame
//! as it is. TCP and UDP go by addresses and ports, fragments and all other IP by addresses. Behind IPv6 extension headers
//! and in tunnels nothing is looked for. What is not IP, or is cut within its headers, is number 0's.

use crate::rss;
use libc::sock_filter as Instruction;
use mos_flow::wire::VlanStack;
use mos_flow::wire::ethernet::ethertype;
use std::net::{Ipv4Addr, SocketAddr};

/// Octets of an Ethernet header.
const ETHERNET: u32 = 14;
const ETHERTYPE: u32 = 12;
const TAG: u32 = 4;
const TCP: u32 = 6;
const UDP: u32 = 17;
/// `PACKET_OUTGOING`
const OUTGOING: u32 = 4;

/// Where in an IPv4 header its fields are.
mod ipv4 {
    pub(super) const FRAGMENT: u32 = 6;
    /// More fragments follow, or this is not the first one.
    pub(super) const IS_FRAGMENT: u32 = 0x3fff;
    pub(super) const PROTOCOL: u32 = 9;
    pub(super) const ADDRESSES: u32 = 12;
    pub(super) const WORDS: u32 = 2;
}

/// Where in an IPv6 header its fields are.
mod ipv6 {
    pub(super) const NEXT: u32 = 6;
    pub(super) const ADDRESSES: u32 = 8;
    pub(super) const WORDS: u32 = 8;
    pub(super) const HEADER: u32 = 40;
}

/// The program for a group that sees what comes in, and with `outgoing` what goes out.
pub(super) fn program(outgoing: bool) -> Vec<Instruction> {
    let coming = [vec![load_about(libc::SKF_AD_PROTOCOL)], frame(0)].concat();
    let any = if outgoing {
        let going = [vec![load(libc::BPF_H, ETHERTYPE)], frame(ETHERNET)].concat();
        let kind = vec![load_about(libc::SKF_AD_PKTTYPE)];
        [kind, branch(libc::BPF_JEQ, OUTGOING, going, coming)].concat()
    } else {
        coming
    };
    [any, vec![give(0)]].concat()
}

/// Of a frame whose EtherType is in A, and what that names at `at`. Tags come one after the other; behind the last that is
/// looked for it goes on.
fn frame(at: u32) -> Vec<Instruction> {
    let level = |tags| {
        let at = at + TAG * tags;
        let v6 = branch(libc::BPF_JEQ, ethertype::IPV6.into(), packet_v6(at), tag(at));
        branch(libc::BPF_JEQ, ethertype::IPV4.into(), packet_v4(at), v6)
    };
    (0..=VlanStack::MAX as u32).flat_map(level).collect()
}

/// Gets the EtherType behind a tag, or ends when it is none.
fn tag(at: u32) -> Vec<Instruction> {
    let is = |kind: u16, skip| jump(libc::BPF_JEQ, kind.into(), skip, 0);
    vec![
        is(ethertype::VLAN, 3),
        is(ethertype::QINQ, 2),
        is(ethertype::QINQ_OLD, 1),
        give(0),
        load(libc::BPF_H, at + 2),
    ]
}

fn packet_v4(at: u32) -> Vec<Instruction> {
    // X becomes the length of the header.
    let header = statement(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, at);
    let ports = vec![header, statement(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, at)];
    let whole = [vec![load(libc::BPF_B, at + ipv4::PROTOCOL)], if_transport(ports)].concat();
    [
        vec![load(libc::BPF_H, at + ipv4::FRAGMENT)],
        branch(libc::BPF_JSET, ipv4::IS_FRAGMENT, vec![nothing()], whole),
        add_words(at + ipv4::ADDRESSES, ipv4::WORDS),
        give_hash(),
    ]
    .concat()
}

fn packet_v6(at: u32) -> Vec<Instruction> {
    [
        vec![load(libc::BPF_B, at + ipv6::NEXT)],
        if_transport(vec![load(libc::BPF_W, at + ipv6::HEADER)]),
        add_words(at + ipv6::ADDRESSES, ipv6::WORDS),
        give_hash(),
    ]
    .concat()
}

/// Runs `ports` for the protocol in A if it has any, else makes it 0.
fn if_transport(ports: Vec<Instruction>) -> Vec<Instruction> {
    let udp = branch(libc::BPF_JEQ, UDP, ports.clone(), vec![nothing()]);
    branch(libc::BPF_JEQ, TCP, ports, udp)
}

/// Adds this many words of 32 bits to A, without carry.
fn add_words(from: u32, words: u32) -> Vec<Instruction> {
    let add = |word| [a_to_x(), load(libc::BPF_W, from + 4 * word), add_x()];
    (0..words).flat_map(add).collect()
}

/// Ends with the hash of what A has been folded to so far.
fn give_hash() -> Vec<Instruction> {
    let by = |operation, k| statement(libc::BPF_ALU | operation | libc::BPF_K, k);
    let mut code = vec![a_to_x(), by(libc::BPF_RSH, 16), add_x(), by(libc::BPF_AND, 0xffff)];
    // The hash is linear: each bit of the word below adds its own, above.
    for bit in 0..u16::BITS {
        code.push(jump(libc::BPF_JSET, 1 << bit, 0, 1));
        code.push(by(libc::BPF_XOR, entry_of(1 << bit) << 16));
    }
    code.extend([by(libc::BPF_RSH, 16), statement(libc::BPF_RET | libc::BPF_A, 0)]);
    code
}

/// The entry of the map that belongs to packets whose words come to `folded`.
fn entry_of(folded: u16) -> u32 {
    let end = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    rss::hash(end(folded), end(0)) % rss::MAP_ENTRIES
}

/// Runs `yes` or `no`, as A compares with `k`.
fn branch(comparison: u32, k: u32, yes: Vec<Instruction>, no: Vec<Instruction>) -> Vec<Instruction> {
    let over = |code: &[Instruction]| statement(libc::BPF_JMP | libc::BPF_JA, code.len() as u32);
    let yes = [yes, vec![over(&no)]].concat();
    // A comparison itself leads no further than 255 instructions.
    [vec![jump(comparison, k, 1, 0), over(&yes)], yes, no].concat()
}

fn load(size: u32, at: u32) -> Instruction {
    statement(libc::BPF_LD | size | libc::BPF_ABS, at)
}

/// What the kernel knows about the frame.
fn load_about(what: libc::c_int) -> Instruction {
    load(libc::BPF_W, (libc::SKF_AD_OFF + what) as u32)
}

fn nothing() -> Instruction {
    statement(libc::BPF_LD | libc::BPF_IMM, 0)
}

fn a_to_x() -> Instruction {
    statement(libc::BPF_MISC | libc::BPF_TAX, 0)
}

fn add_x() -> Instruction {
    statement(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X, 0)
}

fn give(k: u32) -> Instruction {
    statement(libc::BPF_RET | libc::BPF_K, k)
}

fn jump(comparison: u32, k: u32, yes: u8, no: u8) -> Instruction {
    Instruction { jt: yes, jf: no, ..statement(libc::BPF_JMP | comparison | libc::BPF_K, k) }
}

fn statement(code: u32, k: u32) -> Instruction {
    Instruction { code: code as u16, jt: 0, jf: 0, k }
}

#[cfg(test)]
mod tests;
