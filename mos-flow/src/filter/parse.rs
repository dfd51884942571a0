//! Recursive descent over the words, emitting a program in postfix order.

use super::lex::{Lexer, Token};
use super::program::{Direction, Filter, Op, Test};
use super::{FilterError, FilterErrorKind};
use crate::wire::Family;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Nested parentheses and negations followed before an expression is given up.
const MAX_DEPTH: usize = 32;

/// What kind of id a term has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
}

/// What stands before an id, kept for the ids that follow without their own.
#[derive(Clone, Copy, Debug, Default)]
struct Qualifiers {
    protocol: Option<u8>,
    family: Option<Family>,
    direction: Direction,
    kind: Option<Kind>,
}

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token<'a>>,
    program: Filter,
    last: Qualifiers,
}

impl<'a> Parser<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Filter, FilterError> {
        let mut lexer = Lexer::new(text);
        let ahead = lexer.next()?;
        let mut parser = Parser { lexer, ahead, program: Filter::everything(), last: Qualifiers::default() };
        if parser.ahead.is_some() {
            parser.expression(0)?;
        }
        match parser.ahead {
            Some(token) => Err(unexpected(token)),
            None => Ok(parser.program),
        }
    }

    fn bump(&mut self) -> Result<Option<Token<'a>>, FilterError> {
        let next = self.lexer.next()?;
        Ok(core::mem::replace(&mut self.ahead, next))
    }

    fn is_next(&self, words: &[&str]) -> bool {
        self.ahead.is_some_and(|t| words.contains(&t.text))
    }

    /// Takes the next word if it is one of `words`.
    fn take(&mut self, words: &[&str]) -> Result<bool, FilterError> {
        let found = self.is_next(words);
        if found {
            self.bump()?;
        }
        Ok(found)
    }

    fn expect(&mut self) -> Result<Token<'a>, FilterError> {
        let position = self.lexer.position();
        self.bump()?.ok_or(FilterError { position, kind: FilterErrorKind::Incomplete })
    }

    fn emit(&mut self, op: Op) -> Result<(), FilterError> {
        let position = self.ahead.map_or(self.lexer.position(), |t| t.position);
        self.program.push(op).map_err(|()| FilterError { position, kind: FilterErrorKind::TooLong })
    }

    /// `term { (and | or) term }`: one rank, from the left.
    fn expression(&mut self, depth: usize) -> Result<(), FilterError> {
        self.term(depth)?;
        loop {
            let op = if self.take(&["and", "&&"])? {
                Op::And
            } else if self.take(&["or", "||"])? {
                Op::Or
            } else {
                return Ok(());
            };
            self.term(depth)?;
            self.emit(op)?;
        }
    }

    fn term(&mut self, depth: usize) -> Result<(), FilterError> {
        if depth == MAX_DEPTH {
            return Err(FilterError { position: self.lexer.position(), kind: FilterErrorKind::TooLong });
        }
        if self.take(&["not", "!"])? {
            self.term(depth + 1)?;
            return self.emit(Op::Not);
        }
        if self.take(&["("])? {
            self.expression(depth + 1)?;
            let token = self.expect()?;
            return if token.text == ")" { Ok(()) } else { Err(unexpected(token)) };
        }
        self.primitive()
    }

    fn primitive(&mut self) -> Result<(), FilterError> {
        if self.take(&["vlan"])? {
            let number = self.ahead.filter(|t| t.text.starts_with(|c: char| c.is_ascii_digit()));
            let id = number.map(|t| self.bump().and(number_in(t, 0x0fff))).transpose()?;
            return self.emit(Op::Test(Test::Vlan(id)));
        }
        if self.take(&["proto"])? {
            let token = self.expect()?;
            let protocol = match named_protocol(token.text) {
                Some((Some(p), _)) => p,
                _ => u8::try_from(number_in(token, 255)?).unwrap_or(u8::MAX),
            };
            return self.emit(Op::Test(Test::Protocol(protocol)));
        }
        let qualifiers = self.qualifiers()?;
        match qualifiers {
            Some(q) if q.kind.is_none() => self.protocol_alone(q),
            Some(q) => {
                self.last = q;
                self.id(q)
            }
            None => self.id(self.last),
        }
    }

    /// Protocol, direction and kind, as far as they are there. `None` when nothing is.
    fn qualifiers(&mut self) -> Result<Option<Qualifiers>, FilterError> {
        let mut q = Qualifiers::default();
        let mut any = false;
        if let Some((protocol, family)) = self.ahead.and_then(|t| named_protocol(t.text)) {
            self.bump()?;
            (q.protocol, q.family, any) = (protocol, family, true);
        }
        if let Some(direction) = self.direction()? {
            (q.direction, any) = (direction, true);
            q.kind = Some(Kind::Host); // `src 10.0.0.1`
        }
        let kinds =
            [("host", Kind::Host), ("net", Kind::Net), ("port", Kind::Port), ("portrange", Kind::PortRange)];
        for (word, kind) in kinds {
            if self.take(&[word])? {
                (q.kind, any) = (Some(kind), true);
                break;
            }
        }
        Ok(any.then_some(q))
    }

    fn direction(&mut self) -> Result<Option<Direction>, FilterError> {
        let first = if self.take(&["src"])? {
            Direction::Source
        } else if self.take(&["dst"])? {
            Direction::Destination
        } else {
            return Ok(None);
        };
        // `src or dst`, `src and dst`: only when a direction follows the conjunction at once.
        let mut look = self.lexer.clone();
        let follows = look.next()?.is_some_and(|t| matches!(t.text, "src" | "dst"));
        if follows && self.is_next(&["or", "and"]) {
            let both = self.is_next(&["and"]);
            self.bump()?;
            self.bump()?;
            return Ok(Some(if both { Direction::Both } else { Direction::Either }));
        }
        Ok(Some(first))
    }

    fn protocol_alone(&mut self, q: Qualifiers) -> Result<(), FilterError> {
        let tests = [q.family.map(Test::Family), q.protocol.map(Test::Protocol)];
        let mut n = 0;
        for test in tests.into_iter().flatten() {
            self.emit(Op::Test(test))?;
            n += 1;
        }
        if n == 2 { self.emit(Op::And) } else { Ok(()) }
    }

    fn id(&mut self, q: Qualifiers) -> Result<(), FilterError> {
        let token = self.expect()?;
        let test = match q.kind.unwrap_or(Kind::Host) {
            Kind::Host => self.host(token, q.direction)?,
            Kind::Net => self.net(token, q.direction)?,
            Kind::Port => {
                let port = number_in(token, u16::MAX)?;
                Test::Port { direction: q.direction, low: port, high: port }
            }
            Kind::PortRange => {
                let (low, high) = token.text.split_once('-').ok_or_else(|| bad_number(token))?;
                let end = |text| number_in(Token { text, ..token }, u16::MAX);
                Test::Port { direction: q.direction, low: end(low)?, high: end(high)? }
            }
        };
        self.emit(Op::Test(test))?;
        for extra in [q.family.map(Test::Family), q.protocol.map(Test::Protocol)].into_iter().flatten() {
            self.emit(Op::Test(extra))?;
            self.emit(Op::And)?;
        }
        Ok(())
    }

    fn host(&mut self, token: Token<'a>, direction: Direction) -> Result<Test, FilterError> {
        let address: IpAddr = token.text.parse().map_err(|_| bad_address(token))?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Ok(network(address, bits, direction))
    }

    /// `a.b.c.d/n`, `a.b/n`, `a.b.c.d mask m`, `a.b` (its octets tell the mask), `v6/n`.
    fn net(&mut self, token: Token<'a>, direction: Direction) -> Result<Test, FilterError> {
        let (text, bits) = match token.text.split_once('/') {
            Some((text, bits)) => (text, Some(bits.parse::<u32>().map_err(|_| bad_address(token))?)),
            None => (token.text, None),
        };
        if let Ok(v6) = text.parse::<Ipv6Addr>() {
            let bits = bits.unwrap_or(128);
            return if bits <= 128 {
                Ok(network(v6.into(), bits, direction))
            } else {
                Err(bad_address(token))
            };
        }
        let (address, octets) = dotted(text).ok_or_else(|| bad_address(token))?;
        let bits = match bits {
            Some(bits) => bits,
            None if self.take(&["mask"])? => {
                let token = self.expect()?;
                let mask = token.text.parse::<Ipv4Addr>().map_err(|_| bad_address(token))?.to_bits();
                if mask.leading_ones() + mask.trailing_zeros() < 32 {
                    return Err(bad_address(token));
                }
                mask.leading_ones()
            }
            None => octets * 8,
        };
        if bits > 32 {
            return Err(bad_address(token));
        }
        Ok(network(address.into(), bits, direction))
    }
}

/// One to four octets of an IPv4 address, the rest 0, and how many there were.
fn dotted(text: &str) -> Option<(Ipv4Addr, u32)> {
    let mut octets = [0; 4];
    let mut n = 0;
    for part in text.split('.') {
        *octets.get_mut(n)? = part.parse().ok()?;
        n += 1;
    }
    Some((octets.into(), n as u32))
}

fn network(address: IpAddr, bits: u32, direction: Direction) -> Test {
    let (family, address, bits) = match address {
        IpAddr::V4(a) => (Family::V4, a.to_ipv6_mapped().to_bits(), bits + 96),
        IpAddr::V6(a) => (Family::V6, a.to_bits(), bits),
    };
    let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
    Test::Net { direction, family, address: address & mask, mask }
}

/// Protocol and family of a protocol's name.
fn named_protocol(word: &str) -> Option<(Option<u8>, Option<Family>)> {
    Some(match word {
        "ip" => (None, Some(Family::V4)),
        "ip6" => (None, Some(Family::V6)),
        "tcp" => (Some(6), None),
        "udp" => (Some(17), None),
        "icmp" => (Some(1), Some(Family::V4)),
        "icmp6" => (Some(58), Some(Family::V6)),
        _ => return None,
    })
}

fn number_in(token: Token<'_>, max: u16) -> Result<u16, FilterError> {
    token.text.parse().ok().filter(|n| *n <= max).ok_or_else(|| bad_number(token))
}

fn bad_number(token: Token<'_>) -> FilterError {
    FilterError { position: token.position, kind: FilterErrorKind::BadNumber }
}

fn bad_address(token: Token<'_>) -> FilterError {
    FilterError { position: token.position, kind: FilterErrorKind::BadAddress }
}

fn unexpected(token: Token<'_>) -> FilterError {
    FilterError { position: token.position, kind: FilterErrorKind::UnexpectedWord }
}
