//! What a header declares.

use std::path::{Path, PathBuf};

/// A function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    /// Its words and signs.
    pub(crate) prototype: Vec<String>,
    /// What stands above it, or above the one that it follows at once.
    comment: String,
    pub(crate) header: PathBuf,
}

impl Declaration {
    pub(crate) fn comment_words(&self) -> impl Iterator<Item = &str> {
        self.comment.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
    }
}

/// The functions that a header declares.
pub(crate) fn declarations(header: &Path) -> Vec<Declaration> {
    let text = std::fs::read_to_string(header).unwrap();
    let text = without_preprocessor(&text);
    let mut rest = text.as_str();
    let mut comment = "";
    let mut all = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(body) = rest.strip_prefix("/*") {
            (comment, rest) = body.split_once("*/").unwrap();
            continue;
        }
        let Some(end) = end_of_statement(rest) else { return all };
        let statement = tokens(&without_comments(&rest[..end]));
        rest = &rest[end + 1..];
        match name_of(&statement) {
            Some(name) => all.push(Declaration {
                name,
                prototype: statement,
                comment: comment.to_owned(),
                header: header.to_owned(),
            }),
            None => comment = "",
        }
    }
}

/// A prototype's name: the word before the first parenthesis. Types and bodies have none.
fn name_of(statement: &[String]) -> Option<String> {
    let first = statement.first()?;
    let at = statement.iter().position(|t| t == "(")?;
    let is_type = ["typedef", "enum", "struct", "union"].contains(&first.as_str());
    let has_body = statement.iter().any(|t| t == "{");
    if is_type || has_body { None } else { Some(statement[at - 1].clone()) }
}

/// Where the semicolon is, or the brace that closes a function's body.
fn end_of_statement(text: &str) -> Option<usize> {
    let (mut depth, mut in_comment) = (0, false);
    let is_function =
        |end: usize| text[..end].split('{').next().is_some_and(|head| head.trim_end().ends_with(')'));
    for (at, c) in text.char_indices() {
        match c {
            '/' if text[at..].starts_with("/*") => in_comment = true,
            '/' if in_comment && text[..at].ends_with('*') => in_comment = false,
            _ if in_comment => {}
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 && is_function(at) {
                    return Some(at);
                }
            }
            ';' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// Without directives, and without what only C++ sees.
fn without_preprocessor(text: &str) -> String {
    let (mut kept, mut for_cpp, mut continued) = (String::new(), false, false);
    for line in text.lines() {
        let directive = continued || line.starts_with('#');
        continued = directive && line.ends_with('\\');
        match line {
            "#ifdef __cplusplus" => for_cpp = true,
            "#endif" => for_cpp = false,
            _ if directive || for_cpp => {}
            _ => kept += &format!("{line}\n"),
        }
    }
    kept
}

fn without_comments(text: &str) -> String {
    let mut parts = text.split("/*");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept += part.split_once("*/").map_or("", |(_, after)| after);
    }
    kept
}

/// Words and signs.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut tokens: Vec<String> = Vec::new();
    let mut in_word = false;
    for c in text.chars() {
        match (is_word(c), in_word) {
            (true, true) => tokens.last_mut().unwrap().push(c),
            _ if c.is_whitespace() => {}
            _ => tokens.push(c.to_string()),
        }
        in_word = is_word(c);
    }
    tokens
}
