//! Text to nested blocks of lines; knows no keys.

use super::{ConfError, ConfErrorKind};

/// Blocks inside of blocks that are followed. The grammar needs two.
const MAX_DEPTH: usize = 8;

#[derive(Debug)]
pub(super) enum Item<'a> {
    /// Its number, and its text without comment and outer spaces; never empty.
    Line(usize, &'a str),
    Block(Block<'a>),
}

#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) name: &'a str,
    /// The line of the name.
    pub(super) line: usize,
    pub(super) items: Vec<Item<'a>>,
}

/// The items outside of all blocks.
pub(super) fn parse(text: &str) -> Result<Vec<Item<'_>>, ConfError> {
    let mut open = vec![Block { name: "", line: 0, items: Vec::new() }];
    for (line, text) in (1..).zip(text.lines()) {
        let mut rest = text.split('#').next().unwrap_or_default();
        loop {
            let (before, brace, after) = match rest.find(['{', '}']) {
                Some(at) => (&rest[..at], rest[at..].chars().next(), &rest[at + 1..]),
                None => (rest, None, ""),
            };
            let before = before.trim();
            if let Some(block) = open.last_mut().filter(|_| !before.is_empty()) {
                block.items.push(Item::Line(line, before));
            }
            match brace {
                None => break,
                Some('{') => begin(&mut open, line)?,
                Some(_) => end(&mut open, line)?,
            }
            rest = after;
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some(outside), true) => Ok(outside.items),
        (block, _) => {
            let (name, line) = block.map_or(("", 0), |b| (b.name, b.line));
            Err(ConfError { line, kind: ConfErrorKind::Unclosed(name.to_owned()) })
        }
    }
}

/// Opens a block whose name is the last line.
fn begin<'a>(open: &mut Vec<Block<'a>>, line: usize) -> Result<(), ConfError> {
    let fail = |line, kind| Err(ConfError { line, kind });
    if open.len() > MAX_DEPTH {
        return fail(line, ConfErrorKind::TooDeep);
    }
    match open.last_mut().and_then(|b| b.items.pop()) {
        Some(Item::Line(line, name)) if is_name(name) => {
            open.push(Block { name, line, items: Vec::new() });
            Ok(())
        }
        Some(Item::Line(line, text)) => fail(line, ConfErrorKind::BadName(text.to_owned())),
        _ => fail(line, ConfErrorKind::NoName),
    }
}

fn end(open: &mut Vec<Block<'_>>, line: usize) -> Result<(), ConfError> {
    let block = open.pop();
    match (block, open.last_mut()) {
        (Some(block), Some(around)) => {
            around.items.push(Item::Block(block));
            Ok(())
        }
        _ => Err(ConfError { line, kind: ConfErrorKind::Unopened }),
    }
}

/// A letter, then letters, digits and `_`.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
