//! Addresses as the language writes them.

use core::net::Ipv6Addr;

/// An address in an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// Two to four octets of an IPv4 address (high ones first, the rest 0), and how many bits were given.
    V4 {
        value: u32,
        bits: u32,
    },
    V6(Ipv6Addr),
    Mac([u8; 6]),
}

impl Address {
    /// The address that `text` is; `Some(Err)` when it is one by its form and out of range.
    pub(super) fn parse(text: &str) -> Option<Result<Address, ()>> {
        if text.contains(':') {
            let v6 = text.parse().map(Address::V6).ok();
            return Some(v6.or_else(|| mac(text).map(Address::Mac)).ok_or(()));
        }
        if let Some(mac) = mac(text) {
            return Some(Ok(Address::Mac(mac)));
        }
        let parts = text.split('.').count();
        let is_dotted = text.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        ((2..=4).contains(&parts) && is_dotted).then(|| dotted(text).ok_or(()))
    }
}

fn dotted(text: &str) -> Option<Address> {
    let mut octets = [0; 4];
    let mut bits = 0;
    for (octet, part) in octets.iter_mut().zip(text.split('.')) {
        *octet = part.parse().ok()?;
        bits += 8;
    }
    Some(Address::V4 { value: u32::from_be_bytes(octets), bits })
}

/// `x:x:x:x:x:x` with one or two digits each, also with `-` or `.` between; `xxxx.xxxx.xxxx`; twelve digits.
fn mac(text: &str) -> Option<[u8; 6]> {
    let separator = text.chars().find(|c| !c.is_ascii_hexdigit());
    let mut mac = [0; 6];
    match separator {
        Some(c @ (':' | '-' | '.')) if text.split(c).count() == 6 => {
            for (octet, part) in mac.iter_mut().zip(text.split(c)) {
                *octet = hex(part, 1..=2)?.try_into().ok()?;
            }
        }
        Some('.') if text.split('.').count() == 3 => {
            for (pair, part) in mac.as_chunks_mut::<2>().0.iter_mut().zip(text.split('.')) {
                *pair = hex(part, 4..=4)?.to_be_bytes();
            }
        }
        None if text.len() == 12 => {
            for (octet, i) in mac.iter_mut().zip((0..12).step_by(2)) {
                *octet = hex(text.get(i..i + 2)?, 2..=2)?.try_into().ok()?;
            }
        }
        _ => return None,
    }
    Some(mac)
}

fn hex(digits: &str, len: core::ops::RangeInclusive<usize>) -> Option<u16> {
    let is_hex = digits.bytes().all(|b| b.is_ascii_hexdigit()); // a sign is none
    if is_hex && len.contains(&digits.len()) { u16::from_str_radix(digits, 16).ok() } else { None }
}
