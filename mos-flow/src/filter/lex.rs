//! Words of a filter expression.

use super::{FilterError, FilterErrorKind};

/// One word and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
}

/// Splits an expression into words.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Lexer { text, position: 0 }
    }

    /// Where the next word begins, or the end of the text.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next word: a parenthesis, an operator, or a run of letters, digits and `. : / -`.
    pub(super) fn next(&mut self) -> Result<Option<Token<'a>>, FilterError> {
        let rest = self.text.get(self.position..).unwrap_or_default();
        let word = rest.trim_start();
        self.position += rest.len() - word.len();
        let Some(first) = word.chars().next() else { return Ok(None) };
        let len = match first {
            '(' | ')' | '!' => 1,
            '&' | '|' => word.chars().take_while(|c| *c == first).count().min(2),
            c if is_word(c) => word.find(|c| !is_word(c)).unwrap_or(word.len()),
            _ => {
                let kind = FilterErrorKind::UnexpectedCharacter;
                return Err(FilterError { position: self.position, kind });
            }
        };
        let (text, position) = (word.get(..len).unwrap_or_default(), self.position);
        self.position += len;
        Ok(Some(Token { text, position }))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '-' | '_')
}
