//! Values: numbers, masks, addresses, command lines.

use super::tree::is_name;
use super::{ConfErrorKind, Io, Multiprocess, Result};
use std::net::IpAddr;
use std::path::PathBuf;

pub(super) fn key_value(text: &str) -> Result<(&str, &str)> {
    let (key, value) = text.split_once('=').ok_or_else(|| ConfErrorKind::NoEquals(text.to_owned()))?;
    let key = key.trim();
    if is_name(key) { Ok((key, value.trim())) } else { Err(ConfErrorKind::BadName(key.to_owned())) }
}

/// A C number: sign, then decimal, `0x` hexadecimal or `0` octal.
pub(super) fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (digits.get(2..)?, 16),
        [b'0', _, ..] => (digits.get(1..)?, 8),
        _ => (digits, 10),
    };
    // Rust's parser takes a sign of its own.
    let magnitude = Some(digits).filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()))?;
    let magnitude = i128::from(u64::from_str_radix(magnitude, radix).ok()?);
    Some(if negative { -magnitude } else { magnitude })
}

pub(super) fn number(text: &str, least: u32) -> Result<u32> {
    let n = integer(text).and_then(|n| u32::try_from(n).ok()).filter(|n| *n >= least);
    n.ok_or_else(|| ConfErrorKind::BadNumber(text.to_owned()))
}

pub(super) fn flag(text: &str) -> Result<bool> {
    Ok(integer(text).ok_or_else(|| ConfErrorKind::BadNumber(text.to_owned()))? != 0)
}

pub(super) fn mask(text: &str) -> Result<u64> {
    let mask = integer(text).and_then(|n| u64::try_from(n).ok()).filter(|m| *m > 0);
    mask.ok_or_else(|| ConfErrorKind::BadNumber(text.to_owned()))
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

pub(super) fn io_module(text: &str) -> Result<Io> {
    Io::named(text).ok_or_else(|| ConfErrorKind::BadValue(text.to_owned()))
}

pub(super) fn multiprocess(text: &str) -> Result<Multiprocess> {
    let mut words = text.split_whitespace();
    let core = number(words.next().unwrap_or_default(), 0)?;
    match (words.next(), words.next()) {
        (None, _) => Ok(Multiprocess { core, master: false }),
        (Some("master"), None) => Ok(Multiprocess { core, master: true }),
        _ => Err(ConfErrorKind::BadValue(text.to_owned())),
    }
}

/// Splits a command line at spaces, but not between quotation marks of either kind.
pub(super) fn command_line(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(ConfErrorKind::OpenQuote);
    }
    words.extend(word);
    Ok(words)
}

/// `address/bits`, or, where it may be one address, `address`.
pub(super) fn network(text: &str, may_be_one: bool) -> Result<(IpAddr, u8)> {
    let bad = || ConfErrorKind::BadAddress(text.to_owned());
    let (network, said) = match text.split_once('/') {
        Some((network, bits)) => (network, Some(bits)),
        None => (text, None),
    };
    let network: IpAddr = network.parse().map_err(|_| bad())?;
    let most = if network.is_ipv6() { 128 } else { 32 };
    let bits = said.map_or(Some(most).filter(|_| may_be_one), |bits| bits.parse().ok());
    Ok((network, bits.filter(|bits| *bits <= most).ok_or_else(bad)?))
}

pub(super) fn address(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|_| ConfErrorKind::BadAddress(text.to_owned()))
}

pub(super) fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = text.split(':');
    for octet in &mut address {
        let part = parts.next().filter(|p| (1..=2).contains(&p.len()) && !p.starts_with('+'))?;
        *octet = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}
