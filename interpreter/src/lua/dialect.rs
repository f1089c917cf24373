//! From the dialect that scripts are written in to the one that the engine runs.
//!
//! Scripts are written for a Lua 5.1 with `goto`, whose runtime differs from every C implementation in three ways that
//! scripts can see: numbers are printed in their shortest form, `pairs` visits string keys in the order in which they were
//! set, and an unknown escape in a string stands for its character. The parser here checks the grammar, so that a script
//! which is accepted is one that the reference accepts too, and notes small edits to the text:
//!
//! - operands of `..` that are no string literals go through a helper that prints numbers;
//! - assignments to one field, and table constructors with two or more named fields, tell a helper the order of the keys;
//! - backslashes of unknown escapes go.
//!
//! Edits never add or remove a line, so the engine's messages have the script's line numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::ScriptError;
use super::parser::Parser;

/// A script that parses, ready for the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    /// Names of globals that the script assigns outside of functions, with the lines of their last assignments.
    pub(super) globals: BTreeMap<String, u32>,
}

/// Parses a script and translates it.
pub(super) fn translate(source: &str) -> Result<Translated, ScriptError> {
    let mut parsed = Parser::parse(source)?;
    for at in parsed.stray_escapes {
        parsed.edits.push(Edit::replace(at..at + 1, String::new()));
    }
    let helpers = Helpers::unused_in(&parsed.names);
    let body = apply(source, parsed.edits, &helpers);
    let Helpers { text, set, new } = &helpers;
    Ok(Translated {
        text: format!("local _ENV,{text},{set},{new}=...;(function(...) {body}\nend)()"),
        globals: parsed.globals,
    })
}

/// Names of the helpers: such that the script does not use them.
struct Helpers {
    text: String,
    set: String,
    new: String,
}

impl Helpers {
    fn unused_in(names: &BTreeSet<&str>) -> Self {
        let pick = |prefix: &str| {
            let mut candidates = (0_u32..).map(|number| format!("{prefix}{number}"));
            candidates
                .find(|name| !names.contains(name.as_str()))
                .unwrap_or_default()
        };
        Self {
            text: pick("_T"),
            set: pick("_S"),
            new: pick("_N"),
        }
    }
}

/// What an edit at one place has to come before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Ends an expression; inner ones were noted first.
    Closing,
    /// Begins an expression; outer ones were noted last.
    Opening,
    Replacement,
}

/// Placeholders for the helpers' names, which are chosen once all names of the script are known.
pub(super) const TEXT: char = '\u{1}';
pub(super) const SET: char = '\u{2}';
pub(super) const NEW: char = '\u{3}';

/// A small change of the text.
#[derive(Debug)]
pub(super) struct Edit {
    at: usize,
    until: usize,
    rank: Rank,
    text: String,
}

impl Edit {
    pub(super) fn insert(at: usize, rank: Rank, text: impl Into<String>) -> Self {
        Self {
            at,
            until: at,
            rank,
            text: text.into(),
        }
    }

    pub(super) fn replace(range: Range<usize>, text: impl Into<String>) -> Self {
        Self {
            at: range.start,
            until: range.end,
            rank: Rank::Replacement,
            text: text.into(),
        }
    }
}

fn apply(source: &str, edits: Vec<Edit>, helpers: &Helpers) -> String {
    let mut ordered: Vec<(usize, Edit)> = edits.into_iter().enumerate().collect();
    ordered.sort_by_key(|(noted, edit)| {
        let within = if edit.rank == Rank::Opening {
            usize::MAX - noted
        } else {
            *noted
        };
        (edit.at, edit.rank, within)
    });
    let mut text = String::with_capacity(source.len() + ordered.len() * 8);
    let mut copied = 0;
    for (_, edit) in ordered {
        text.push_str(&source[copied..edit.at]);
        for character in edit.text.chars() {
            match character {
                TEXT => text.push_str(&helpers.text),
                SET => text.push_str(&helpers.set),
                NEW => text.push_str(&helpers.new),
                other => text.push(other),
            }
        }
        copied = edit.until;
    }
    text.push_str(&source[copied..]);
    text
}
