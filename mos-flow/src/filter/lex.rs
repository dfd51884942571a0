//! Words of a filter expression.

use super::address::Address;
use super::{FilterError, FilterErrorKind, names};

/// One word and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Address(Address),
    /// A word behind a backslash: a name, whatever else it could mean.
    Name,
    /// Also a named constant.
    Number(u32),
    Symbol,
    Word,
}

impl Token<'_> {
    /// The error that something is wrong with this word.
    pub(super) fn error(&self, kind: FilterErrorKind) -> FilterError {
        kind.at(self.position)
    }

    /// The word or symbol; none of a number, an address or a name behind a backslash.
    pub(super) fn word(&self) -> Option<&str> {
        matches!(self.kind, TokenKind::Symbol | TokenKind::Word).then_some(self.text)
    }
}

/// Splits an expression into words.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

const SYMBOLS: &[&str] = &[
    "&&", "||", ">=", "<=", "!=", "==", "<<", ">>", "+", "-", "*", "/", "%", ":", "[", "]", "!", "<", ">",
    "(", ")", "&", "|", "^", "=",
];

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text, position: 0 }
    }

    /// Where the next word begins, or the end of the text.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, FilterError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.position = self.text.len() - rest.len();
        let position = self.position;
        let Some(first) = rest.chars().next() else { return Ok(None) };
        let (text, kind) = if first.is_ascii_alphanumeric() || rest.starts_with("::") {
            let text = word(rest);
            (text, kind(text).map_err(|kind| kind.at(position))?)
        } else if let Some(name) = rest.strip_prefix('\\') {
            let len = name.find([' ', '!', '(', ')', '\n', '\t']).unwrap_or(name.len());
            self.position += 1;
            (name.get(..len).unwrap_or_default(), TokenKind::Name)
        } else {
            let symbol = SYMBOLS.iter().find(|s| rest.starts_with(**s));
            let symbol = symbol.ok_or(FilterErrorKind::UnexpectedCharacter.at(position))?;
            (rest.get(..symbol.len()).unwrap_or_default(), TokenKind::Symbol)
        };
        self.position += text.len();
        Ok(Some(Token { text, position, kind }))
    }
}

/// The word at the start of `rest`. Hyphens and dots are inside words, colons inside addresses only: `ip[2:2]` has one
/// colon, no address has fewer than two.
fn word(rest: &str) -> &str {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '-' | '_')));
    let run = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let run = if run.matches(':').count() < 2 { run.split(':').next().unwrap_or_default() } else { run };
    run.trim_end_matches(['-', '_'])
}

fn kind(text: &str) -> Result<TokenKind, FilterErrorKind> {
    if let Some(address) = Address::parse(text) {
        return address.map(TokenKind::Address).map_err(|()| FilterErrorKind::BadAddress);
    }
    if let Some(number) = number(text) {
        return number.map(TokenKind::Number).ok_or(FilterErrorKind::BadNumber);
    }
    Ok(names::constant(text).map_or(TokenKind::Word, TokenKind::Number))
}

/// The number that `text` is, with the prefixes of C; `Some(None)` when it is none of 32 bits.
fn number(text: &str) -> Option<Option<u32>> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match hex {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix.max(10)));
    is_number.then(|| u32::from_str_radix(digits, radix).ok())
}
