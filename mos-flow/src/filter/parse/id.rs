//! Ids: addresses, networks, ports, protocol numbers, by the qualifiers before them.

use super::super::address::Address;
use super::super::lex::{Token, TokenKind};
use super::super::program::Op;
use super::super::test::{Direction, Ports, Protocol, Test};
use super::super::{FilterError, FilterErrorKind, names};
use super::{Kind, Parser, Qualifiers};
use crate::wire::Family;

impl<'a> Parser<'a> {
    /// `id`, `not id`, or some of them in a parenthesis: `port (80 or 443)`.
    pub(super) fn id(&mut self, qualifiers: Option<Qualifiers>, depth: usize) -> Result<(), FilterError> {
        self.check_depth(depth)?;
        if self.take(&["not", "!"])? {
            self.id(qualifiers, depth + 1)?;
            return self.emit(Op::Not);
        }
        if self.take(&["("])? {
            self.id(qualifiers, depth + 1)?;
            while let Some(op) = self.connective()? {
                self.id(qualifiers, depth + 1)?;
                self.emit(op)?;
            }
            return self.expect_word(")");
        }
        let token = self.expect()?;
        // Most names of protocols are words of the language, too: `proto tcp`.
        let is_proto = qualifiers.is_some_and(|q| q.kind == Kind::Proto);
        if !is_proto && token.word().is_some_and(names::is_reserved) {
            return Err(token.error(FilterErrorKind::UnexpectedWord));
        }
        let test = match (qualifiers, token.kind) {
            (Some(q), _) => match q.kind {
                Kind::Host => self.host(token, &q)?,
                Kind::Net => self.net(token, &q)?,
                Kind::Port => port(token, &q)?,
                Kind::PortRange => port_range(token, &q)?,
                Kind::Proto => protocol(token, &q)?,
            },
            (None, TokenKind::Address(Address::V6(_) | Address::V4 { bits: 32, .. })) => {
                let (direction, position) = (Direction::Either, token.position);
                self.host(token, &Qualifiers { protocol: None, direction, kind: Kind::Host, position })?
            }
            (None, TokenKind::Word) => return Err(token.error(FilterErrorKind::UnexpectedWord)),
            (None, _) => return Err(token.error(FilterErrorKind::NoQualifier)),
        };
        self.emit(Op::Test(test))
    }

    fn host(&mut self, token: Token<'a>, q: &Qualifiers) -> Result<Test, FilterError> {
        let direction = q.direction;
        let test = match (token.kind, q.protocol) {
            (TokenKind::Address(Address::Mac(address)), Some(Protocol::Link)) => {
                Test::Mac { direction, address, mask: [0xff; 6] }
            }
            (TokenKind::Address(Address::Mac(_)), _) => return Err(q.error()),
            (TokenKind::Address(Address::V4 { value, bits }), _) => v4(value, mask_of(bits), q)?,
            (TokenKind::Number(value), _) => v4(value, u32::MAX, q)?,
            (TokenKind::Address(Address::V6(_)), _) => return self.v6(token, q),
            _ => return Err(self.no_address(&token)),
        };
        self.no_mask()?;
        Ok(test)
    }

    /// A word in the place of an address. Behind the name of a host or network a term is over; else it is none.
    fn no_address(&self, word: &Token<'a>) -> FilterError {
        let over = self.ahead.is_none() || self.is_next(&["and", "&&", "or", "||", ")"]);
        word.error(if over { FilterErrorKind::NameNotLookedUp } else { FilterErrorKind::UnknownWord })
    }

    /// Only a net has a mask.
    fn no_mask(&self) -> Result<(), FilterError> {
        if self.is_next(&["/", "mask"]) {
            return Err(FilterErrorKind::MaskWithoutNet.at(self.position()));
        }
        Ok(())
    }

    /// `a.b.c.d/n`, `a.b/n`, `a.b.c.d mask m`, `a.b` (its octets tell the mask), `a`, `v6/n`.
    fn net(&mut self, token: Token<'a>, q: &Qualifiers) -> Result<Test, FilterError> {
        let (value, mask) = match token.kind {
            TokenKind::Address(Address::V4 { value, bits }) => {
                let mask = self.mask()?.unwrap_or(mask_of(bits));
                if value & !mask != 0 {
                    return Err(token.error(FilterErrorKind::HostBits));
                }
                (value, mask)
            }
            // One number: its first octet that is not 0 comes first, as 10 in 10.0.0.0.
            TokenKind::Number(0) => (0, u32::MAX),
            TokenKind::Number(value) => {
                let shift = value.leading_zeros() / 8 * 8;
                (value << shift, u32::MAX << shift)
            }
            TokenKind::Address(Address::V6(_)) => return self.v6(token, q),
            TokenKind::Address(Address::Mac(_)) => return Err(q.error()),
            _ => return Err(self.no_address(&token)),
        };
        v4(value, mask, q)
    }

    /// The prefix length or mask that follows an IPv4 address.
    fn mask(&mut self) -> Result<Option<u32>, FilterError> {
        if self.take(&["/"])? {
            return Ok(Some(mask_of(self.number(32)?)));
        }
        if !self.take(&["mask"])? {
            return Ok(None);
        }
        let token = self.expect()?;
        match token.kind {
            TokenKind::Address(Address::V4 { value, .. }) => Ok(Some(value)),
            _ => Err(token.error(FilterErrorKind::BadAddress)),
        }
    }

    fn v6(&mut self, token: Token<'a>, q: &Qualifiers) -> Result<Test, FilterError> {
        let TokenKind::Address(Address::V6(address)) = token.kind else {
            return Err(token.error(FilterErrorKind::BadAddress));
        };
        if !matches!(q.protocol, None | Some(Protocol::Ip(Family::V6))) {
            return Err(q.error());
        }
        let position = self.position();
        let bits = if self.take(&["/"])? { self.number(128)? } else { 128 };
        if q.kind == Kind::Host && bits < 128 {
            return Err(FilterErrorKind::MaskWithoutNet.at(position));
        }
        let below = u128::MAX.checked_shr(bits).unwrap_or(0);
        if address.to_bits() & below != 0 {
            return Err(token.error(FilterErrorKind::HostBits));
        }
        let bits = u8::try_from(bits).unwrap_or(128);
        Ok(Test::Net6 { direction: q.direction, address: address.octets(), bits })
    }
}

/// A test of IPv4 addresses, if the qualifiers allow one.
fn v4(value: u32, mask: u32, q: &Qualifiers) -> Result<Test, FilterError> {
    match q.protocol {
        None | Some(Protocol::Ip(Family::V4)) => {
            Ok(Test::Net4 { direction: q.direction, address: value & mask, mask })
        }
        Some(Protocol::Absent) => Ok(Test::Protocol(Protocol::Absent)),
        Some(_) => Err(q.error()),
    }
}

fn mask_of(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)
}

/// The protocols whose ports are meant.
fn ports(q: &Qualifiers) -> Result<Ports, FilterError> {
    match q.protocol {
        None => Ok(Ports::ALL),
        Some(Protocol::Over { number, .. }) => Ports::of(number).ok_or(q.error()),
        Some(_) => Err(q.error()),
    }
}

fn port(token: Token<'_>, q: &Qualifiers) -> Result<Test, FilterError> {
    let over = ports(q)?;
    let direction = q.direction;
    match token.kind {
        TokenKind::Number(number) => {
            let port = u16::try_from(number).map_err(|_| token.error(FilterErrorKind::BadNumber))?;
            Ok(Test::Port { direction, over, low: port, high: port })
        }
        TokenKind::Address(_) => Err(q.error()),
        _ => {
            let unknown = token.error(FilterErrorKind::UnknownName);
            let (port, spoken) = names::service(token.text).ok_or(unknown)?;
            // A name stands for the protocol, too, if it has only one.
            let both = if over == Ports::ALL { spoken } else { over };
            if !spoken.contains(both) {
                return Err(unknown);
            }
            Ok(Test::Port { direction, over: both, low: port, high: port })
        }
    }
}

/// `N-M`, in either order, with names on either side; or a single port.
fn port_range(token: Token<'_>, q: &Qualifiers) -> Result<Test, FilterError> {
    let (low, high) = match (token.kind, token.text.split_once('-')) {
        (TokenKind::Word | TokenKind::Name, Some(ends)) if names::service(token.text).is_none() => ends,
        _ => return port(token, q),
    };
    let over = ports(q)?;
    let mut position = token.position;
    let mut end = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        let (port, kind) = match names::service(text) {
            Some((port, _)) => (Some(port), FilterErrorKind::UnknownName),
            None if digits => (text.parse().ok(), FilterErrorKind::BadNumber),
            None => (None, FilterErrorKind::UnknownName),
        };
        let port = port.ok_or(kind.at(position));
        position += text.len() + 1;
        port
    };
    let (a, b): (u16, u16) = (end(low)?, end(high)?);
    Ok(Test::Port { direction: q.direction, over, low: a.min(b), high: a.max(b) })
}

/// The number of a protocol, or of an Ethernet type.
fn protocol(token: Token<'_>, q: &Qualifiers) -> Result<Test, FilterError> {
    let link = q.protocol == Some(Protocol::Link);
    let family = match q.protocol {
        None | Some(Protocol::Link) => None,
        Some(Protocol::Ip(family)) => Some(family),
        Some(_) => return Err(q.error()),
    };
    let number = match token.kind {
        TokenKind::Number(number) => u16::try_from(number).ok().filter(|n| link || *n <= 255),
        TokenKind::Symbol => return Err(token.error(FilterErrorKind::UnexpectedWord)),
        TokenKind::Address(_) => return Err(q.error()),
        TokenKind::Word | TokenKind::Name => {
            let named = if link { names::ether_type(token.text) } else { None };
            let named = named.or_else(|| names::protocol_number(token.text).filter(|_| !link).map(u16::from));
            Some(named.ok_or(token.error(FilterErrorKind::UnknownName))?)
        }
    };
    let number = number.ok_or(token.error(FilterErrorKind::BadNumber))?;
    Ok(match (link, number) {
        (true, 0x0800) => Test::Protocol(Protocol::Ip(Family::V4)),
        (true, 0x86dd) => Test::Protocol(Protocol::Ip(Family::V6)),
        (true, number) => Test::EtherType(number),
        (false, number) => {
            let number = u8::try_from(number).unwrap_or(u8::MAX);
            Test::Protocol(Protocol::Over { number, family })
        }
    })
}
