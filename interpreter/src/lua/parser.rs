//! The grammar of the dialect.

use std::collections::{BTreeMap, BTreeSet};

use super::ScriptError;
use super::dialect::{Edit, Rank, SET};
use super::expressions::{Expression, Shape};
use super::lexer::{Kind, Lexer, Token};

/// Nesting of blocks and expressions; the engine's own limit is the same.
const MAX_DEPTH: u32 = 190;

/// Reads a script token by token.
pub(super) struct Parser<'a> {
    source: &'a str,
    lexer: Lexer<'a>,
    pub(super) token: Token,
    ahead: Option<Token>,
    /// Where the last token that was taken ends.
    pub(super) end: usize,
    depth: u32,
    /// Functions around the token.
    functions_around: u32,
    edits: Vec<Edit>,
    names: BTreeSet<&'a str>,
    globals: BTreeMap<String, u32>,
}

/// What a script is made of, as far as its translation needs to know.
pub(super) struct Parsed<'a> {
    pub(super) edits: Vec<Edit>,
    pub(super) stray_escapes: Vec<usize>,
    pub(super) names: BTreeSet<&'a str>,
    /// Names of globals that the script assigns outside of functions, with the lines of their last assignments.
    pub(super) globals: BTreeMap<String, u32>,
}

impl<'a> Parser<'a> {
    pub(super) fn parse(source: &'a str) -> Result<Parsed<'a>, ScriptError> {
        let mut parser = Self::new(source)?;
        parser.block()?;
        if parser.token.kind != Kind::End {
            return Err(parser.unexpected("the end of the script"));
        }
        Ok(Parsed {
            edits: parser.edits,
            stray_escapes: parser.lexer.stray_escapes,
            names: parser.names,
            globals: parser.globals,
        })
    }

    fn new(source: &'a str) -> Result<Self, ScriptError> {
        let mut lexer = Lexer::new(source);
        let token = lexer.next_token()?;
        Ok(Self {
            source,
            lexer,
            token,
            ahead: None,
            end: 0,
            depth: 0,
            functions_around: 0,
            edits: Vec::new(),
            names: BTreeSet::new(),
            globals: BTreeMap::new(),
        })
    }

    pub(super) fn text_of(&self, token: Token) -> &'a str {
        &self.source[token.start..token.end]
    }

    pub(super) fn unexpected(&self, wanted: &str) -> ScriptError {
        let found = match self.token.kind {
            Kind::End => "the end of the script".to_owned(),
            _ => format!(
                "`{}`",
                self.text_of(self.token)
                    .chars()
                    .take(40)
                    .collect::<String>()
            ),
        };
        ScriptError::at(self.token.line, format!("expected {wanted}, found {found}"))
    }

    pub(super) fn take(&mut self) -> Result<Token, ScriptError> {
        let current = self.token;
        if current.kind == Kind::Name {
            self.names.insert(self.text_of(current));
        }
        self.end = current.end;
        self.token = match self.ahead.take() {
            Some(token) => token,
            None => self.lexer.next_token()?,
        };
        Ok(current)
    }

    pub(super) fn peek(&mut self) -> Result<Token, ScriptError> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next_token()?;
        self.ahead = Some(token);
        Ok(token)
    }

    pub(super) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.token.kind, Kind::Symbol(found) if found == symbol)
    }

    fn is_keyword(&self, keyword: &str) -> bool {
        matches!(self.token.kind, Kind::Keyword(found) if found == keyword)
    }

    pub(super) fn symbol(&mut self, symbol: &str) -> Result<Token, ScriptError> {
        if self.is_symbol(symbol) {
            self.take()
        } else {
            Err(self.unexpected(&format!("`{symbol}`")))
        }
    }

    fn keyword(&mut self, keyword: &str) -> Result<Token, ScriptError> {
        if self.is_keyword(keyword) {
            self.take()
        } else {
            Err(self.unexpected(&format!("`{keyword}`")))
        }
    }

    pub(super) fn take_if_symbol(&mut self, symbol: &str) -> Result<bool, ScriptError> {
        let found = self.is_symbol(symbol);
        if found {
            self.take()?;
        }
        Ok(found)
    }

    pub(super) fn name(&mut self) -> Result<Token, ScriptError> {
        if self.token.kind == Kind::Name {
            self.take()
        } else {
            Err(self.unexpected("a name"))
        }
    }

    fn names(&mut self) -> Result<(), ScriptError> {
        self.name()?;
        while self.take_if_symbol(",")? {
            self.name()?;
        }
        Ok(())
    }

    pub(super) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, ScriptError>,
    ) -> Result<T, ScriptError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ScriptError::at(self.token.line, "nested too deeply"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    pub(super) fn insert(&mut self, at: usize, rank: Rank, text: impl Into<String>) {
        self.edits.push(Edit::insert(at, rank, text));
    }

    fn replace(&mut self, token: Token, text: impl Into<String>) {
        self.edits.push(Edit::replace(token.start..token.end, text));
    }

    fn block(&mut self) -> Result<(), ScriptError> {
        self.nested(|parser| {
            loop {
                match parser.token.kind {
                    Kind::End | Kind::Keyword("end" | "else" | "elseif" | "until") => break,
                    Kind::Keyword("return") => {
                        parser.return_statement()?;
                        break;
                    }
                    _ => parser.statement()?,
                }
            }
            Ok(())
        })
    }

    fn block_until(&mut self, keyword: &str) -> Result<(), ScriptError> {
        self.block()?;
        self.keyword(keyword).map(drop)
    }

    fn return_statement(&mut self) -> Result<(), ScriptError> {
        self.take()?;
        let ends = matches!(
            self.token.kind,
            Kind::End | Kind::Keyword("end" | "else" | "elseif" | "until")
        );
        if !ends && !self.is_symbol(";") {
            self.expressions()?;
        }
        self.take_if_symbol(";").map(drop)
    }

    fn statement(&mut self) -> Result<(), ScriptError> {
        match self.token.kind {
            Kind::Symbol(";") | Kind::Keyword("break") => self.take().map(drop),
            Kind::Symbol("::") => {
                self.take()?;
                self.name()?;
                self.symbol("::").map(drop)
            }
            Kind::Keyword("goto") => {
                self.take()?;
                self.name().map(drop)
            }
            Kind::Keyword("do") => {
                self.take()?;
                self.block_until("end")
            }
            Kind::Keyword("while") => {
                self.take()?;
                self.expression()?;
                self.keyword("do")?;
                self.block_until("end")
            }
            Kind::Keyword("repeat") => {
                self.take()?;
                self.block_until("until")?;
                self.expression().map(drop)
            }
            Kind::Keyword("if") => self.if_statement(),
            Kind::Keyword("for") => self.for_statement(),
            Kind::Keyword("function") => self.function_statement(),
            Kind::Keyword("local") => self.local_statement(),
            _ => self.expression_statement(),
        }
    }

    fn if_statement(&mut self) -> Result<(), ScriptError> {
        self.take()?;
        self.expression()?;
        self.keyword("then")?;
        loop {
            self.block()?;
            match self.token.kind {
                Kind::Keyword("elseif") => {
                    self.take()?;
                    self.expression()?;
                    self.keyword("then")?;
                }
                Kind::Keyword("else") => {
                    self.take()?;
                    return self.block_until("end");
                }
                _ => return self.keyword("end").map(drop),
            }
        }
    }

    fn for_statement(&mut self) -> Result<(), ScriptError> {
        self.take()?;
        self.names()?;
        if self.take_if_symbol("=")? {
            self.expression()?;
            self.symbol(",")?;
            self.expression()?;
            if self.take_if_symbol(",")? {
                self.expression()?;
            }
        } else {
            self.keyword("in")?;
            self.expressions()?;
        }
        self.keyword("do")?;
        self.block_until("end")
    }

    fn function_statement(&mut self) -> Result<(), ScriptError> {
        self.take()?;
        let name = self.name()?;
        if self.is_symbol("(") && self.functions_around == 0 {
            self.globals
                .insert(self.text_of(name).to_owned(), name.line);
        }
        while self.take_if_symbol(".")? {
            self.name()?;
        }
        if self.take_if_symbol(":")? {
            self.name()?;
        }
        self.function_body()
    }

    fn local_statement(&mut self) -> Result<(), ScriptError> {
        self.take()?;
        if self.is_keyword("function") {
            self.take()?;
            self.name()?;
            return self.function_body();
        }
        self.names()?;
        if self.take_if_symbol("=")? {
            self.expressions()?;
        }
        Ok(())
    }

    /// The parameters and the block of a function. A function with `...` that does not use it itself, but the name `arg`,
    /// gets the table that Lua 5.0 passed.
    pub(super) fn function_body(&mut self) -> Result<(), ScriptError> {
        self.symbol("(")?;
        let mut is_variadic = false;
        while !self.is_symbol(")") {
            if self.take_if_symbol("...")? {
                is_variadic = true;
                break;
            }
            self.name()?;
            if !self.is_symbol(")") {
                self.symbol(",")?;
                if self.is_symbol(")") {
                    return Err(self.unexpected("a name"));
                }
            }
        }
        let body = self.symbol(")")?.end;
        let had_arg = self.names.remove("arg");
        self.functions_around += 1;
        self.block_until("end")?;
        self.functions_around -= 1;
        if is_variadic && self.names.contains("arg") {
            // The closing rank puts this behind the parameters, whatever begins there.
            self.insert(body, Rank::Closing, " local arg={n=select('#',...),...} ");
        }
        if had_arg {
            self.names.insert("arg");
        }
        Ok(())
    }

    fn expression_statement(&mut self) -> Result<(), ScriptError> {
        let first = self.suffixed()?;
        if !self.is_symbol("=") && !self.is_symbol(",") {
            return if first.shape == Shape::Call {
                Ok(())
            } else {
                Err(self.unexpected("`=`"))
            };
        }
        let is_target = |shape| {
            matches!(
                shape,
                Shape::Name | Shape::Field { .. } | Shape::Index { .. }
            )
        };
        if !is_target(first.shape) {
            return Err(self.unexpected("a call"));
        }
        self.note_global(first);
        let mut is_single = true;
        while self.take_if_symbol(",")? {
            is_single = false;
            let target = self.suffixed()?;
            if !is_target(target.shape) {
                return Err(self.unexpected("a variable"));
            }
            self.note_global(target);
        }
        let equals = self.symbol("=")?;
        self.expressions()?;
        if !is_single {
            return Ok(());
        }
        self.track_assignment(first, equals);
        Ok(())
    }

    /// Notes the global that is assigned, as a name or a field of `_G`.
    fn note_global(&mut self, target: Expression) {
        if self.functions_around > 0 {
            return;
        }
        let global = match target.shape {
            Shape::Name => &self.source[target.start..target.end],
            Shape::Field { dot, name }
                if self.source[target.start..dot.start].trim_end() == "_G" =>
            {
                self.text_of(name)
            }
            _ => return,
        };
        self.globals.insert(global.to_owned(), self.token.line);
    }

    /// `t.k = v` becomes `set(t,"k",v)`.
    fn track_assignment(&mut self, target: Expression, equals: Token) {
        match target.shape {
            Shape::Field { dot, name } => {
                self.replace(dot, ",");
                let key = format!("\"{}\"", self.text_of(name));
                self.replace(name, key);
            }
            Shape::Index { open, close } => {
                self.replace(open, ",");
                self.replace(close, "");
            }
            _ => return,
        }
        self.insert(target.start, Rank::Opening, format!("{SET}("));
        self.replace(equals, ",");
        self.insert(self.end, Rank::Closing, ")");
    }
}
