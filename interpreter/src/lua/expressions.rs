//! Expressions of the dialect.

use super::ScriptError;
use super::dialect::{NEW, Rank, SET, TEXT};
use super::lexer::{Kind, Token};
use super::parser::Parser;

/// Constructors with more named fields keep no order: a call cannot have that many arguments.
const MAX_TRACKED_FIELDS: usize = 100;

/// What the translation needs to know of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string literal or a concatenation: prints as it is.
    Text,
    Name,
    Call,
    /// `prefix.name`
    Field {
        dot: Token,
        name: Token,
    },
    /// `prefix[key]`
    Index {
        open: Token,
        close: Token,
    },
    Other,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Expression {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) shape: Shape,
}

impl Parser<'_> {
    pub(super) fn expressions(&mut self) -> Result<(), ScriptError> {
        self.expression()?;
        while self.take_if_symbol(",")? {
            self.expression()?;
        }
        Ok(())
    }

    pub(super) fn expression(&mut self) -> Result<Expression, ScriptError> {
        self.binary(0)
    }

    /// An expression of operators that bind tighter than `limit`.
    fn binary(&mut self, limit: u8) -> Result<Expression, ScriptError> {
        self.nested(|parser| {
            let mut left = parser.unary()?;
            while let Some((operator, left_power, right_power)) =
                parser.binary_operator().filter(|it| it.1 > limit)
            {
                parser.take()?;
                let right = parser.binary(right_power)?;
                let shape = if operator == ".." {
                    parser.print_number(left);
                    parser.print_number(right);
                    Shape::Text
                } else {
                    Shape::Other
                };
                let _ = left_power;
                left = Expression {
                    start: left.start,
                    end: right.end,
                    shape,
                };
            }
            Ok(left)
        })
    }

    fn print_number(&mut self, operand: Expression) {
        if operand.shape != Shape::Text {
            self.insert(operand.start, Rank::Opening, format!("{TEXT}("));
            self.insert(operand.end, Rank::Closing, ")");
        }
    }

    fn binary_operator(&self) -> Option<(&'static str, u8, u8)> {
        let (Kind::Symbol(operator) | Kind::Keyword(operator)) = self.token.kind else {
            return None;
        };
        let (left, right) = match operator {
            "or" => (1, 1),
            "and" => (2, 2),
            "<" | ">" | "<=" | ">=" | "~=" | "==" => (3, 3),
            ".." => (5, 4),
            "+" | "-" => (6, 6),
            "*" | "/" | "%" => (7, 7),
            "^" => (10, 9),
            _ => return None,
        };
        Some((operator, left, right))
    }

    fn unary(&mut self) -> Result<Expression, ScriptError> {
        if let Kind::Keyword("not") | Kind::Symbol("-" | "#") = self.token.kind {
            let start = self.take()?.start;
            let operand = self.binary(8)?;
            return Ok(Expression {
                start,
                end: operand.end,
                shape: Shape::Other,
            });
        }
        self.simple()
    }

    fn simple(&mut self) -> Result<Expression, ScriptError> {
        let start = self.token.start;
        let shape = match self.token.kind {
            Kind::Text => {
                self.take()?;
                Shape::Text
            }
            Kind::Number | Kind::Keyword("nil" | "true" | "false") | Kind::Symbol("...") => {
                self.take()?;
                Shape::Other
            }
            Kind::Symbol("{") => {
                self.constructor()?;
                Shape::Other
            }
            Kind::Keyword("function") => {
                self.take()?;
                self.function_body()?;
                Shape::Other
            }
            _ => return self.suffixed(),
        };
        Ok(Expression {
            start,
            end: self.end,
            shape,
        })
    }

    /// A name or a parenthesis with fields, indices and calls behind it.
    pub(super) fn suffixed(&mut self) -> Result<Expression, ScriptError> {
        let start = self.token.start;
        let mut shape = match self.token.kind {
            Kind::Name => {
                self.take()?;
                Shape::Name
            }
            Kind::Symbol("(") => {
                self.take()?;
                self.expression()?;
                self.symbol(")")?;
                Shape::Other
            }
            _ => return Err(self.unexpected("an expression")),
        };
        loop {
            shape = match self.token.kind {
                Kind::Symbol(".") => {
                    let dot = self.take()?;
                    Shape::Field {
                        dot,
                        name: self.name()?,
                    }
                }
                Kind::Symbol("[") => {
                    let open = self.take()?;
                    self.expression()?;
                    Shape::Index {
                        open,
                        close: self.symbol("]")?,
                    }
                }
                Kind::Symbol(":") => {
                    self.take()?;
                    self.name()?;
                    self.arguments()?;
                    Shape::Call
                }
                Kind::Symbol("(" | "{") | Kind::Text => {
                    self.arguments()?;
                    Shape::Call
                }
                _ => {
                    return Ok(Expression {
                        start,
                        end: self.end,
                        shape,
                    });
                }
            };
        }
    }

    fn arguments(&mut self) -> Result<(), ScriptError> {
        match self.token.kind {
            Kind::Text => self.take().map(drop),
            Kind::Symbol("{") => {
                // A constructor that is wrapped is no longer an argument without parentheses.
                let start = self.token.start;
                if self.constructor()? {
                    self.insert(start, Rank::Opening, "(");
                    self.insert(self.end, Rank::Closing, ")");
                }
                Ok(())
            }
            _ => {
                self.symbol("(")?;
                if !self.is_symbol(")") {
                    self.expressions()?;
                }
                self.symbol(")").map(drop)
            }
        }
    }

    /// A table; says whether it was wrapped in a call that notes the order of its named fields.
    fn constructor(&mut self) -> Result<bool, ScriptError> {
        self.nested(|parser| {
            let start = parser.symbol("{")?.start;
            let mut keys = Vec::new();
            while !parser.is_symbol("}") {
                keys.extend(parser.field()?);
                if !parser.take_if_symbol(",")? && !parser.take_if_symbol(";")? {
                    break;
                }
            }
            parser.symbol("}")?;
            let is_tracked = (2..=MAX_TRACKED_FIELDS).contains(&keys.len());
            if is_tracked {
                parser.insert(start, Rank::Opening, format!("{NEW}("));
                let end = parser.end;
                parser.insert(end, Rank::Closing, format!(",{})", keys.join(",")));
            }
            Ok(is_tracked)
        })
    }

    /// One field of a table; its key as a literal, when it is one.
    fn field(&mut self) -> Result<Option<String>, ScriptError> {
        if self.is_symbol("[") {
            self.take()?;
            let literal = self.token;
            let key = self.expression()?;
            let is_literal = literal.kind == Kind::Text && key.end == literal.end;
            self.symbol("]")?;
            self.symbol("=")?;
            self.expression()?;
            let text = self.text_of(literal);
            return Ok((is_literal && !text.contains(['\n', '\\', TEXT, SET, NEW]))
                .then(|| text.to_owned()));
        }
        if self.token.kind == Kind::Name && self.peek()?.kind == Kind::Symbol("=") {
            let name = self.take()?;
            self.take()?;
            self.expression()?;
            return Ok(Some(format!("\"{}\"", self.text_of(name))));
        }
        self.expression()?;
        Ok(None)
    }
}
