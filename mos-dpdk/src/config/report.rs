//! What is skipped in a configuration, and what is wrong with it.

use super::LARGEST;
use std::fmt;
use std::io;

/// Something that was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The line, from 1.
    pub line: usize,
    /// What it is.
    pub kind: WarningKind,
}

/// What was skipped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// Text outside of any block.
    OutsideBlocks,
    /// A block that is not known there.
    UnknownBlock(String),
    /// A key that is not known there.
    UnknownKey(String),
    /// A key or table that is understood, but nothing goes by it.
    NoEffect(String),
    /// A device that is in no `netdev` table, though there is one.
    UnknownDevice(String),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            WarningKind::OutsideBlocks => f.write_str("text outside of all blocks is skipped"),
            WarningKind::UnknownBlock(name) => write!(f, "the block `{name}` is not known here and skipped"),
            WarningKind::UnknownKey(name) => write!(f, "the key `{name}` is not known here and skipped"),
            WarningKind::NoEffect(name) => write!(f, "`{name}` has no effect"),
            WarningKind::UnknownDevice(name) => write!(f, "no netdev table has the device `{name}`"),
        }
    }
}

/// Why a configuration cannot be used, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub kind: ConfErrorKind,
}

/// What is wrong with a line. The text is the one that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfErrorKind {
    /// No address, or no prefix behind it.
    BadAddress(String),
    /// No hardware address.
    BadHardwareAddress(String),
    /// No name for a key or a block.
    BadName(String),
    /// No number, or one out of its range.
    BadNumber(String),
    /// No value that the key can have.
    BadValue(String),
    /// A device that has a line, or a partner, already.
    DeviceTwice(String),
    /// Neither `KEY = VALUE` nor a block.
    NoEquals(String),
    /// A brace that opens a block without a name.
    NoName,
    /// An application without a command line.
    NoRun,
    /// Octets that are no text.
    NotText,
    /// A second `mos` block.
    SecondMos,
    /// Blocks inside of blocks inside of blocks.
    TooDeep,
    /// More of something than there can be.
    TooMany {
        /// What it is.
        what: &'static str,
        /// How many there can be.
        most: usize,
    },
    /// A quotation mark without its partner.
    OpenQuote,
    /// A block that does not end. The line is that of its name.
    Unclosed(String),
    /// A brace that closes nothing.
    Unopened,
    /// A table's line with too few or too many words.
    WordCount {
        /// What a line of this table looks like.
        expected: &'static str,
    },
}

impl fmt::Display for ConfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            ConfErrorKind::BadAddress(t) => write!(f, "`{t}` is not an address or network"),
            ConfErrorKind::BadHardwareAddress(t) => write!(f, "`{t}` is not a hardware address"),
            ConfErrorKind::BadName(t) => write!(f, "`{t}` is not a name"),
            ConfErrorKind::BadNumber(t) => write!(f, "`{t}` is not a number that is possible here"),
            ConfErrorKind::BadValue(t) => write!(f, "`{t}` is not a value that is possible here"),
            ConfErrorKind::DeviceTwice(t) => write!(f, "the device `{t}` is named a second time"),
            ConfErrorKind::NoEquals(t) => write!(f, "expected `key = value`, found `{t}`"),
            ConfErrorKind::NoName => f.write_str("a block needs a name before its brace"),
            ConfErrorKind::NoRun => f.write_str("the application has no `run` line"),
            ConfErrorKind::NotText => f.write_str("not UTF-8 text"),
            ConfErrorKind::SecondMos => f.write_str("there can be only one `mos` block"),
            ConfErrorKind::TooDeep => f.write_str("blocks are nested too deep"),
            ConfErrorKind::TooMany { what, most } => write!(f, "there can be at most {most} {what}"),
            ConfErrorKind::OpenQuote => f.write_str("a quotation mark is not closed"),
            ConfErrorKind::Unclosed(name) => write!(f, "the block `{name}` is not closed"),
            ConfErrorKind::Unopened => f.write_str("a closing brace without an open block"),
            ConfErrorKind::WordCount { expected } => write!(f, "expected `{expected}`"),
        }
    }
}

impl std::error::Error for ConfError {}

/// Why a configuration file cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// What it says.
    Conf(ConfError),
    /// The operating system's word.
    Io(io::Error),
    /// It is larger than [`LARGEST`].
    TooLarge,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Conf(e) => e.fmt(f),
            LoadError::Io(e) => f.write_str(&crate::sentence(e)),
            LoadError::TooLarge => write!(f, "larger than {LARGEST} octets"),
        }
    }
}

impl std::error::Error for LoadError {}
