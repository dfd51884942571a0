//! Sums and comparisons of them: precedence climbing, and constants folded as they come.

use super::super::lex::{Token, TokenKind};
use super::super::program::Op;
use super::super::sum::{Comparison, MAX_NUMBERS, Operator, Step};
use super::super::{FilterError, FilterErrorKind, names};
use super::Parser;

/// How tightly an operator binds; a sign binds tighter than all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Least,
    Or,
    And,
    Shift,
    Sum,
    Product,
    Sign,
    /// `%` and `^` have no rank in libpcap's grammar, by oversight: on their left they take one operand only, on their
    /// right all that follows. `len - 1 % 4 + 2` is `len - (1 % (4 + 2))`. What is written for it is to mean the same.
    Unranked,
}

fn operator(symbol: &str) -> Option<(Operator, Rank)> {
    Some(match symbol {
        "+" => (Operator::Add, Rank::Sum),
        "-" => (Operator::Subtract, Rank::Sum),
        "*" => (Operator::Multiply, Rank::Product),
        "/" => (Operator::Divide, Rank::Product),
        "%" => (Operator::Modulo, Rank::Unranked),
        "&" => (Operator::And, Rank::And),
        "|" => (Operator::Or, Rank::Or),
        "^" => (Operator::Xor, Rank::Unranked),
        "<<" => (Operator::ShiftLeft, Rank::Shift),
        ">>" => (Operator::ShiftRight, Rank::Shift),
        _ => return None,
    })
}

fn comparison(symbol: &str) -> Option<Comparison> {
    Some(match symbol {
        "=" | "==" => Comparison::Equal,
        "!=" => Comparison::NotEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessEqual,
        _ => return None,
    })
}

fn goes_on(token: Option<Token<'_>>) -> bool {
    let word = token.as_ref().and_then(Token::word);
    word.is_some_and(|w| operator(w).is_some() || comparison(w).is_some())
}

impl Parser<'_> {
    /// Whether what comes next is a comparison and not an id or a term in parentheses.
    pub(super) fn begins_sum(&self) -> Result<bool, FilterError> {
        let Some(token) = self.ahead else { return Ok(false) };
        let mut lexer = self.lexer.clone();
        match (token.kind, token.word()) {
            (TokenKind::Number(_), _) => Ok(goes_on(lexer.next()?)),
            (_, Some("-" | "len" | "length")) => Ok(true),
            (_, Some("(")) => {
                let mut open = 1;
                while open > 0 {
                    match lexer.next()?.as_ref().map(Token::word) {
                        Some(Some("(")) => open += 1,
                        Some(Some(")")) => open -= 1,
                        Some(_) => {}
                        None => return Ok(false),
                    }
                }
                Ok(goes_on(lexer.next()?))
            }
            (_, Some(word)) if names::protocol(word).is_some() => {
                Ok(lexer.next()?.is_some_and(|t| t.word() == Some("[")))
            }
            _ => Ok(false),
        }
    }

    /// `sum relation sum`.
    pub(super) fn comparison(&mut self, depth: usize) -> Result<(), FilterError> {
        self.sum(Rank::Least, depth)?;
        let token = self.expect()?;
        let unexpected = token.error(FilterErrorKind::UnexpectedWord);
        let comparison = token.word().and_then(comparison).ok_or(unexpected)?;
        self.sum(Rank::Least, depth)?;
        self.numbers -= 2;
        self.emit(Op::Compare(comparison))
    }

    /// An operand and the operators behind it that bind tighter than `above`.
    fn sum(&mut self, above: Rank, depth: usize) -> Result<(), FilterError> {
        self.check_depth(depth)?;
        self.operand(depth)?;
        while let Some((token, (operator, rank))) =
            self.ahead.and_then(|t| Some((t, operator(t.word()?)?))).filter(|(_, (_, rank))| *rank > above)
        {
            self.bump()?;
            let right = if rank == Rank::Unranked { Rank::Least } else { rank };
            self.sum(right, depth + 1)?;
            self.binary(operator, token)?;
        }
        Ok(())
    }

    fn operand(&mut self, depth: usize) -> Result<(), FilterError> {
        if self.take(&["-"])? {
            self.sum(Rank::Sign, depth + 1)?;
            return self.negate();
        }
        if self.take(&["("])? {
            self.sum(Rank::Least, depth + 1)?;
            return self.expect_word(")");
        }
        let token = self.expect()?;
        let unexpected = token.error(FilterErrorKind::UnexpectedWord);
        let protocol = match (token.kind, token.word()) {
            (TokenKind::Number(number), _) => return self.put(Step::Constant(number), token),
            (_, Some("len" | "length")) => return self.put(Step::Len, token),
            (_, Some(word)) => names::protocol(word).ok_or(unexpected)?,
            _ => return Err(unexpected),
        };
        if matches!(token.text, "ah" | "esp") {
            return Err(token.error(FilterErrorKind::NotSupported));
        }
        self.expect_word("[")?;
        self.sum(Rank::Least, depth + 1)?;
        let size = if self.take(&[":"])? { self.size()? } else { 1 };
        self.expect_word("]")?;
        self.emit(Op::Sum(Step::Load { protocol, size }))
    }

    fn size(&mut self) -> Result<u8, FilterError> {
        let position = self.position();
        match self.number(u32::MAX)? {
            1 => Ok(1),
            2 => Ok(2),
            4 => Ok(4),
            _ => Err(FilterErrorKind::BadSize.at(position)),
        }
    }

    /// Emits a step that leaves one more number.
    fn put(&mut self, step: Step, token: Token<'_>) -> Result<(), FilterError> {
        if self.numbers == MAX_NUMBERS {
            return Err(token.error(FilterErrorKind::TooDeep));
        }
        self.numbers += 1;
        self.emit(Op::Sum(step))
    }

    fn negate(&mut self) -> Result<(), FilterError> {
        if let Some(Op::Sum(Step::Constant(number))) = self.program.ops_mut().last_mut() {
            *number = number.wrapping_neg();
            return Ok(());
        }
        self.emit(Op::Sum(Step::Negate))
    }

    fn binary(&mut self, operator: Operator, token: Token<'_>) -> Result<(), FilterError> {
        self.numbers -= 1;
        let ops = self.program.ops_mut();
        // In postfix order a constant in the last place is the whole right operand.
        let Some(Op::Sum(Step::Constant(right))) = ops.last().copied() else {
            return self.emit(Op::Sum(Step::Binary(operator)));
        };
        match operator {
            Operator::Divide | Operator::Modulo if right == 0 => {
                return Err(token.error(FilterErrorKind::DivisionByZero));
            }
            Operator::ShiftLeft | Operator::ShiftRight if right > 31 => {
                return Err(token.error(FilterErrorKind::ShiftTooFar));
            }
            _ => {}
        }
        let [.., Op::Sum(Step::Constant(left)), _] = ops.as_slice() else {
            return self.emit(Op::Sum(Step::Binary(operator)));
        };
        let folded = operator.apply(*left, right).unwrap_or(0);
        ops.pop();
        ops.pop();
        self.emit(Op::Sum(Step::Constant(folded)))
    }
}
