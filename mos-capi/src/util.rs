//! Functions that need no context: where connections go, command lines, and hashes.
#![allow(non_snake_case)] // the names of C

use crate::errno::Errno;
use crate::ffi::{Answer, Sink, entry, write};
use crate::xxh;
use libc::{c_char, c_int, c_uint, c_ulonglong, c_void, in_addr_t, in_port_t, size_t};
use mos_dpdk::rss;
use std::ffi::CStr;
use std::net::{Ipv4Addr, SocketAddr};

/// See `rss.h`.
#[unsafe(no_mangle)]
pub extern "C" fn GetRSSHash(sip: in_addr_t, dip: in_addr_t, sp: in_port_t, dp: in_port_t) -> u32 {
    entry(0, || Ok(rss::hash(address(sip, sp), address(dip, dp))))
}

/// See `mtcp_util.h`.
#[unsafe(no_mangle)]
pub extern "C" fn GetRSSCPUCore(
    sip: in_addr_t,
    dip: in_addr_t,
    sp: in_port_t,
    dp: in_port_t,
    num_queues: c_int,
) -> c_int {
    entry(-1, || {
        let queues = u32::try_from(num_queues).ok().filter(|n| *n > 0).ok_or(Errno::INVAL)?;
        Ok(rss::queue(rss::hash(address(sip, sp), address(dip, dp)), queues).cast_signed())
    })
}

/// Both are in network order.
fn address(ip: in_addr_t, port: in_port_t) -> SocketAddr {
    (Ipv4Addr::from(ip.to_ne_bytes()), u16::from_be(port)).into()
}

/// See `mtcp_util.h`.
///
/// # Safety
/// Each pointer is NULL, or `str` is a string, `argc` leads to room for an `int`, and `argv` for `max_argc` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn StrToArgs(
    str: *mut c_char,
    argc: *mut c_int,
    argv: *mut *mut c_char,
    max_argc: c_int,
) -> c_int {
    entry(-1, || {
        if str.is_null() || argc.is_null() || argv.is_null() {
            return Err(Errno::FAULT);
        }
        let most = usize::try_from(max_argc).map_err(|_| Errno::INVAL)?;
        // SAFETY: the caller's condition; it is not NULL. The borrow ends before the string is written to.
        let words = words(unsafe { CStr::from_ptr(str) }.to_bytes(), most)?;
        // SAFETY: the words with their ends are no longer than the string with its own (see `words`).
        unsafe { Sink::new(str, words.octets.len()) }?.put(&words.octets);
        for (i, start) in words.starts.iter().enumerate() {
            // SAFETY: the caller's condition: there are no more than `max_argc` words.
            unsafe { write(argv.wrapping_add(i), str.wrapping_add(*start)) }?;
        }
        let count = c_int::try_from(words.starts.len()).map_err(|_| Errno::INVAL)?;
        // SAFETY: the caller's condition.
        unsafe { write(argc, count) }?;
        Ok(0)
    })
}

/// The words of a command line, each with a 0 behind it, and where each begins.
#[derive(Debug, Default)]
struct Words {
    octets: Vec<u8>,
    starts: Vec<usize>,
}

/// Splits at white space that is not between quotes. The result has at most one octet more than the line: a word's 0
/// takes the place of the space behind it, and only the last word may have none.
fn words(line: &[u8], most: usize) -> Answer<Words> {
    let mut words = Words::default();
    let (mut quote, mut inside) = (None, false);
    for octet in line.iter().chain(b" ") {
        let is_space = octet.is_ascii_whitespace() || *octet == 0x0b;
        if quote.is_none() && is_space {
            if inside {
                words.octets.push(0);
            }
            inside = false;
            continue;
        }
        if !inside {
            words.starts.push(words.octets.len());
            inside = true;
        }
        match quote {
            Some(open) if open == *octet => quote = None,
            None if matches!(octet, b'"' | b'\'') => quote = Some(*octet),
            _ => words.octets.push(*octet),
        }
    }
    if quote.is_some() || words.starts.len() > most {
        return Err(Errno::INVAL);
    }
    Ok(words)
}

/// The octets that a hash is of.
///
/// # Safety
/// `input` is NULL or leads to `length` octets that do not change during `'a`.
unsafe fn octets<'a>(input: *const c_void, length: size_t) -> Answer<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if input.is_null() {
        return Err(Errno::FAULT);
    }
    if isize::try_from(length).is_err() {
        return Err(Errno::INVAL);
    }
    // SAFETY: the caller's condition; it is not NULL, and no longer than memory can be.
    Ok(unsafe { std::slice::from_raw_parts(input.cast(), length) })
}

/// See `mtcp_util.h`.
///
/// # Safety
/// `input` is NULL or leads to `length` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn XXH32(input: *const c_void, length: size_t, seed: c_uint) -> c_uint {
    // SAFETY: the caller's condition.
    entry(0, || unsafe { octets(input, length) }.map(|octets| xxh::xxh32(octets, seed)))
}

/// See `mtcp_util.h`.
///
/// # Safety
/// `input` is NULL or leads to `length` octets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn XXH64(input: *const c_void, length: size_t, seed: c_ulonglong) -> c_ulonglong {
    // SAFETY: the caller's condition.
    entry(0, || unsafe { octets(input, length) }.map(|octets| xxh::xxh64(octets, seed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str, most: usize) -> Answer<Vec<String>> {
        let words = words(line.as_bytes(), most)?;
        assert!(words.octets.len() <= line.len() + 1, "{line}");
        let word = |start: &usize| CStr::from_bytes_until_nul(&words.octets[*start..]).unwrap();
        Ok(words.starts.iter().map(|s| word(s).to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn lines_are_split_into_words() {
        let good: [(&str, &[&str]); 7] = [
            ("", &[]),
            (" \t\n", &[]),
            ("a", &["a"]),
            ("  run -f  x.conf\n", &["run", "-f", "x.conf"]),
            ("a 'b c' \"d 'e'\"", &["a", "b c", "d 'e'"]),
            ("x=\"1 2\"3 ''", &["x=1 23", ""]),
            ("''\"\"", &[""]),
        ];
        for (line, expected) in good {
            assert_eq!(split(line, 3).unwrap(), expected, "{line:?}");
        }
        assert_eq!(split("a b c d", 3), Err(Errno::INVAL));
        assert_eq!(split("a", 0), Err(Errno::INVAL));
        assert_eq!(split("a 'b", 3), Err(Errno::INVAL));
        assert_eq!(split("\"", 3), Err(Errno::INVAL));
    }
}
