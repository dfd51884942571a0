//! Recursive descent over the words, emitting a program in postfix order.

mod id;

mod sum;

use super::lex::{Lexer, Token, TokenKind};
use super::program::{Filter, Op};
use super::sum::{Comparison, Step};
use super::test::{Direction, Protocol, Test};
use super::{FilterError, FilterErrorKind, names};
use crate::wire::Family;

/// Nested parentheses and negations followed before an expression is given up.
const MAX_DEPTH: usize = 32;

/// What kind of id a term has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

/// What stands before an id, kept for the ids that follow without their own.
#[derive(Clone, Copy, Debug)]
struct Qualifiers {
    protocol: Option<Protocol>,
    direction: Direction,
    kind: Kind,
    /// Where they begin.
    position: usize,
}

impl Qualifiers {
    fn error(&self) -> FilterError {
        FilterErrorKind::BadQualifier.at(self.position)
    }
}

pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    ahead: Option<Token<'a>>,
    program: Filter,
    /// Of the last term, if it was an id.
    last: Option<Qualifiers>,
    /// That wait for their operator.
    numbers: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Filter, FilterError> {
        let mut lexer = Lexer::new(text);
        let ahead = lexer.next()?;
        let mut parser = Parser { lexer, ahead, program: Filter::everything(), last: None, numbers: 0 };
        if parser.ahead.is_some() {
            parser.expression(0)?;
        }
        match parser.ahead {
            Some(token) => Err(token.error(FilterErrorKind::UnexpectedWord)),
            None => Ok(parser.program),
        }
    }

    fn bump(&mut self) -> Result<Option<Token<'a>>, FilterError> {
        let next = self.lexer.next()?;
        Ok(core::mem::replace(&mut self.ahead, next))
    }

    /// Where the next word begins, or the end of the text.
    fn position(&self) -> usize {
        self.ahead.map_or(self.lexer.position(), |t| t.position)
    }

    fn is_next(&self, words: &[&str]) -> bool {
        self.ahead.as_ref().and_then(Token::word).is_some_and(|w| words.contains(&w))
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
        let position = self.position();
        self.bump()?.ok_or(FilterErrorKind::Incomplete.at(position))
    }

    fn expect_word(&mut self, word: &str) -> Result<(), FilterError> {
        let token = self.expect()?;
        if token.word() == Some(word) { Ok(()) } else { Err(token.error(FilterErrorKind::UnexpectedWord)) }
    }

    fn number(&mut self, max: u32) -> Result<u32, FilterError> {
        let token = self.expect()?;
        match token.kind {
            TokenKind::Number(number) if number <= max => Ok(number),
            TokenKind::Number(_) => Err(token.error(FilterErrorKind::BadNumber)),
            _ => Err(token.error(FilterErrorKind::UnexpectedWord)),
        }
    }

    /// The number that may follow, which may be in parentheses.
    fn optional_number(&mut self, max: u32) -> Result<Option<u32>, FilterError> {
        let mut open = 0;
        while self.take(&["("])? {
            open += 1;
        }
        if open == 0 && !self.ahead.is_some_and(|t| matches!(t.kind, TokenKind::Number(_))) {
            return Ok(None);
        }
        let number = self.number(max)?;
        for _ in 0..open {
            self.expect_word(")")?;
        }
        Ok(Some(number))
    }

    fn emit(&mut self, op: Op) -> Result<(), FilterError> {
        let position = self.position();
        self.program.push(op).map_err(|()| FilterErrorKind::TooLong.at(position))
    }

    fn check_depth(&self, depth: usize) -> Result<(), FilterError> {
        if depth < MAX_DEPTH { Ok(()) } else { Err(FilterErrorKind::TooDeep.at(self.position())) }
    }

    /// The connective that comes next, if one does.
    fn connective(&mut self) -> Result<Option<Op>, FilterError> {
        if self.take(&["and", "&&"])? {
            return Ok(Some(Op::And));
        }
        Ok(self.take(&["or", "||"])?.then_some(Op::Or))
    }

    /// `term { (and | or) term }`: one rank, from the left.
    fn expression(&mut self, depth: usize) -> Result<(), FilterError> {
        self.term(depth)?;
        while let Some(op) = self.connective()? {
            self.term(depth)?;
            self.emit(op)?;
        }
        Ok(())
    }

    fn term(&mut self, depth: usize) -> Result<(), FilterError> {
        self.check_depth(depth)?;
        if self.take(&["not", "!"])? {
            self.term(depth + 1)?;
            return self.emit(Op::Not);
        }
        if self.begins_sum()? {
            self.comparison(depth)?;
            self.last = None;
            return Ok(());
        }
        if self.take(&["("])? {
            // Ids take the qualifiers before the parenthesis, inside of it and behind it.
            let before = self.last;
            self.expression(depth + 1)?;
            self.last = before;
            return self.expect_word(")");
        }
        self.primitive(depth)
    }

    fn primitive(&mut self, depth: usize) -> Result<(), FilterError> {
        let reserved = self.ahead.as_ref().and_then(Token::word).filter(|w| names::is_reserved(w));
        let test = match reserved {
            None => return self.id(self.last, depth),
            Some("vlan") => {
                self.bump()?;
                let id = self.optional_number(0x0fff)?;
                Test::Vlan(id.and_then(|id| u16::try_from(id).ok()))
            }
            Some("mpls") => {
                self.bump()?;
                Test::Mpls(self.optional_number(0xf_ffff)?)
            }
            Some("less") => return self.length(Comparison::LessEqual),
            Some("greater") => return self.length(Comparison::GreaterEqual),
            _ => return self.qualified(depth),
        };
        self.last = None;
        self.emit(Op::Test(test))
    }

    /// `less N`, `greater N`: both include N.
    fn length(&mut self, comparison: Comparison) -> Result<(), FilterError> {
        self.bump()?;
        let number = self.number(u32::MAX)?;
        self.last = None;
        self.emit(Op::Sum(Step::Len))?;
        self.emit(Op::Sum(Step::Constant(number)))?;
        self.emit(Op::Compare(comparison))
    }

    /// A term that begins with a protocol, a direction or a kind of id.
    fn qualified(&mut self, depth: usize) -> Result<(), FilterError> {
        let position = self.position();
        let protocol = self.ahead.as_ref().and_then(Token::word).and_then(names::protocol);
        if protocol.is_some() {
            self.bump()?;
        }
        if self.is_next(&["broadcast", "multicast"]) {
            return self.group_address(protocol, position);
        }
        let proto = self.take(&["proto"])?;
        let direction = if proto { None } else { self.direction()? };
        let kind = if proto { Some(Kind::Proto) } else { self.kind()? };
        if direction.is_none() && kind.is_none() {
            return self.alone(protocol, position);
        }
        let (kind, direction) = (kind.unwrap_or(Kind::Host), direction.unwrap_or_default());
        let qualifiers = Qualifiers { protocol, direction, kind, position };
        self.last = Some(qualifiers);
        self.id(self.last, depth)
    }

    fn kind(&mut self) -> Result<Option<Kind>, FilterError> {
        let kinds =
            [("host", Kind::Host), ("net", Kind::Net), ("port", Kind::Port), ("portrange", Kind::PortRange)];
        for (word, kind) in kinds {
            if self.take(&[word])? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    fn direction(&mut self) -> Result<Option<Direction>, FilterError> {
        let (first, other) = if self.take(&["src"])? {
            (Direction::Source, "dst")
        } else if self.take(&["dst"])? {
            (Direction::Destination, "src")
        } else {
            return Ok(None);
        };
        // `src or dst`, `src and dst`: only when a direction follows the conjunction at once.
        let follows = self.lexer.clone().next()?.is_some_and(|t| t.word() == Some(other));
        if follows && self.is_next(&["or", "||", "and", "&&"]) {
            let both = self.connective()? == Some(Op::And);
            self.bump()?;
            return Ok(Some(if both { Direction::Both } else { Direction::Either }));
        }
        Ok(Some(first))
    }

    /// A protocol without an id, or a word that is none.
    fn alone(&mut self, protocol: Option<Protocol>, position: usize) -> Result<(), FilterError> {
        self.last = None;
        match (protocol, self.ahead) {
            (_, Some(token)) if token.word().is_some_and(names::is_unsupported) => {
                Err(token.error(FilterErrorKind::NotSupported))
            }
            (None, Some(token)) => Err(token.error(FilterErrorKind::UnexpectedWord)),
            (None, None) => Err(FilterErrorKind::Incomplete.at(position)),
            (Some(Protocol::Link), _) => Err(FilterErrorKind::BadQualifier.at(position)),
            (Some(protocol), _) => self.emit(Op::Test(Test::Protocol(protocol))),
        }
    }

    /// `broadcast` and `multicast`: tests of the destination.
    fn group_address(&mut self, protocol: Option<Protocol>, position: usize) -> Result<(), FilterError> {
        let broadcast = self.expect()?.word() == Some("broadcast");
        self.last = None;
        let direction = Direction::Destination;
        let test = match (protocol, broadcast) {
            (None | Some(Protocol::Link), true) => {
                Test::Mac { direction, address: [0xff; 6], mask: [0xff; 6] }
            }
            (None | Some(Protocol::Link), false) => {
                // IEEE 802.3, 3.2.3: the group bit is sent first.
                let group = [1, 0, 0, 0, 0, 0];
                Test::Mac { direction, address: group, mask: group }
            }
            // 224.0.0.0 and all above, limited broadcast included.
            (Some(Protocol::Ip(Family::V4)), false) => {
                Test::Net4 { direction, address: 0xe000_0000, mask: 0xe000_0000 }
            }
            (Some(Protocol::Ip(Family::V6)), false) => {
                let mut address = [0; 16];
                address[0] = 0xff; // RFC 4291, 2.7
                Test::Net6 { direction, address, bits: 8 }
            }
            (Some(Protocol::Ip(_)), true) => return Err(FilterErrorKind::NotSupported.at(position)),
            _ => return Err(FilterErrorKind::BadQualifier.at(position)),
        };
        self.emit(Op::Test(test))
    }
}
