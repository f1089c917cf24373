//! Runs scripts in Lua: rules for kinds that nobody compiled in.
//!
//! # The engine
//!
//! Scripts are written for the reference's runtime: Lua 5.1 with `goto`. Of the engines that `mlua` offers, Lua 5.2 comes
//! closest, and is the smallest:
//!
//! - Its language is 5.1's with `goto`, and it has one number type, a float. From 5.3 on there are integers, which print and
//!   divide differently; Luau has no `goto`; `LuaJIT` has both, but hooks do not reach compiled code, so that it would run
//!   with its compiler off, and it does not build everywhere. What 5.2 dropped from the libraries of 5.1 (`unpack`,
//!   `table.getn`, `string.gfind`, …) is written anew in `prelude.lua`, as are the differences that even 5.1 would have.
//! - It keeps to a limit of memory: its collector runs in full before an allocation fails.
//! - It is plain C that needs nothing but a C compiler and the C library, so the binary stays one file.
//!
//! # The sandbox
//!
//! - No function reaches a file, the environment, a clock other than the caller's, or another script. Source is loaded as
//!   text only. Functions that could loop long without the engine's hook (patterns, sorting, formatting) are our own.
//! - Every call has a deadline, a number of steps and an amount of memory ([`Limits`]). A script cannot catch the error that
//!   stops it. It can catch the one about calls that are nested too deeply, as in the reference.
//! - Every call gets fresh globals, over read-only libraries. A state that hit a limit or has grown is thrown away.

mod contract;
mod convert;
mod date;
mod dialect;
mod expressions;
mod format;
mod kube;
mod lexer;
mod library;
mod number;
mod parser;
mod pattern;
mod state;
mod vm;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vm::Vm;

pub(crate) use contract::{MAX_STEPS_OF_LOOK, function_name, signature};
pub use state::Limits;

/// Bytes of a message: it goes into conditions and events.
const MAX_MESSAGE: usize = 2 << 10;
/// Idle states that are kept.
const MAX_IDLE: usize = 10;

/// What the engine says when the limit of memory is reached.
const OUT_OF_MEMORY: &str = "not enough memory";

/// A script does not parse, or its run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptError {
    /// The line in the script, from 1, when it is known.
    pub line: Option<u32>,
    /// The file that the line is in, of a script that is put together from several.
    pub file: Option<&'static str>,
    pub message: String,
}

impl std::error::Error for ScriptError {}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file} line {line}: {}", self.message),
            (None, Some(line)) => write!(f, "line {line}: {}", self.message),
            (_, None) => f.write_str(&self.message),
        }
    }
}

impl ScriptError {
    fn at(line: u32, message: impl Into<String>) -> Self {
        Self {
            line: Some(line),
            file: None,
            message: message.into(),
        }
    }

    fn new(message: impl Into<String>) -> Self {
        Self {
            line: None,
            file: None,
            message: message.into(),
        }
    }

    /// The message without the engine's decoration, and the innermost line of the script.
    fn from_engine(error: &mlua::Error) -> Self {
        let (message, traceback) = parts_of(error);
        let (line, message) = match split_position(&message) {
            Some((chunk, line, rest)) => {
                (Some(line).filter(|_| chunk == "script"), rest.to_owned())
            }
            None => (None, message),
        };
        let message = shortened(message);
        // The engine finds out about a label at the end of its function, and tells the line of the jump.
        let jump = message
            .rsplit_once("for <goto> at line ")
            .and_then(|(_, line)| line.parse().ok());
        let line = jump.or(line).or_else(|| {
            let mut lines = traceback
                .lines()
                .filter_map(|line| line.trim().strip_prefix("script:"));
            lines.find_map(|rest| rest.split(':').next()?.parse().ok())
        });
        Self {
            line,
            file: None,
            message,
        }
    }
}

fn shortened(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        message.push('…');
    }
    message
}

/// The innermost message of an error, and the engine's stack where it happened.
fn parts_of(error: &mlua::Error) -> (String, String) {
    match error {
        mlua::Error::CallbackError { traceback, cause } => {
            let (message, inner) = parts_of(cause);
            (
                message,
                if inner.is_empty() {
                    traceback.clone()
                } else {
                    inner
                },
            )
        }
        mlua::Error::BadArgument { cause, .. } => parts_of(cause),
        mlua::Error::RuntimeError(text)
        | mlua::Error::MemoryError(text)
        | mlua::Error::GarbageCollectorError(text)
        | mlua::Error::SyntaxError { message: text, .. } => {
            match text.split_once("\nstack traceback:") {
                Some((message, traceback)) => (message.to_owned(), traceback.to_owned()),
                None => (text.clone(), String::new()),
            }
        }
        other => (other.to_string(), String::new()),
    }
}

/// `script:12: message` in its parts.
fn split_position(message: &str) -> Option<(&str, u32, &str)> {
    let (chunk, rest) = message.split_once(':')?;
    let (line, rest) = rest.split_once(": ")?;
    let is_own = chunk == "script" || chunk == "runtime";
    Some((chunk, line.parse().ok()?, rest)).filter(|_| is_own)
}

fn is_out_of_memory(error: &mlua::Error) -> bool {
    match error {
        mlua::Error::MemoryError(_) => true,
        mlua::Error::CallbackError { cause, .. } | mlua::Error::BadArgument { cause, .. } => {
            is_out_of_memory(cause)
        }
        mlua::Error::RuntimeError(message) => message.starts_with(OUT_OF_MEMORY),
        _ => false,
    }
}

/// A value in words, for messages.
fn describe(value: &mlua::Value) -> String {
    match value {
        mlua::Value::Nil => "nil".to_owned(),
        mlua::Value::Boolean(value) => value.to_string(),
        #[expect(
            clippy::cast_precision_loss,
            reason = "all numbers of the dialect are floats"
        )]
        mlua::Value::Integer(value) => number::print(*value as f64),
        mlua::Value::Number(value) => number::print(*value),
        mlua::Value::String(text) => text.to_string_lossy(),
        mlua::Value::Error(error) => {
            let error = ScriptError::from_engine(error);
            error.line.map_or_else(
                || error.message.clone(),
                |line| format!("script:{line}: {}", error.message),
            )
        }
        other => format!("{}: 0x000000", other.type_name()),
    }
}

/// A script that parses.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    text: String,
    globals: BTreeMap<String, u32>,
    /// Its top level is run once in a state, not at every call: for our own scripts, which change no global later.
    keeps_globals: bool,
    /// The files that it is put together from, in their order, each with its number of lines; none for a script of one piece.
    files: Vec<(&'static str, u32)>,
}

impl Script {
    /// Parses a script. The engine has a few limits beyond the grammar; [`Runtime::compile`] checks those as well.
    pub fn parse(source: &str) -> Result<Self, ScriptError> {
        let translated = dialect::translate(source)?;
        Ok(Self {
            text: translated.text,
            globals: translated.globals,
            keeps_globals: false,
            files: Vec::new(),
        })
    }

    pub(crate) fn keeping_globals(mut self) -> Self {
        self.keeps_globals = true;
        self
    }

    pub(crate) fn made_of(mut self, files: Vec<(&'static str, u32)>) -> Self {
        self.files = files;
        self
    }

    /// The error of a call of that function with the line in the file that it is in.
    fn locate(&self, mut error: ScriptError, function: &str) -> ScriptError {
        let is_missing = error.message == format!("not found function {function}");
        if is_missing || error.message.starts_with(&format!("{function} is a ")) {
            let assigned = self.globals.get(function).copied();
            error.line = error.line.or(assigned).or(Some(1));
        }
        let Some(mut line) = error.line else {
            return error;
        };
        for (file, lines) in &self.files {
            if line <= *lines {
                error.file = Some(file);
                error.line = Some(line);
                break;
            }
            line -= lines;
        }
        error
    }

    /// Whether the script assigns that global anywhere outside of functions. A script can also define it from within one.
    pub fn defines(&self, function: &str) -> bool {
        self.globals.contains_key(function)
    }

    fn translated(&self) -> &str {
        &self.text
    }
}

/// A pool of engine states to run scripts in. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    idle: Arc<Mutex<Vec<Vm>>>,
    taken: Arc<Taken>,
    limits: Limits,
}

/// How often states were taken and given back.
#[derive(Debug, Default)]
struct Taken {
    from_pool: AtomicU64,
    new: AtomicU64,
    to_pool: AtomicU64,
    destroyed: AtomicU64,
}

/// How a pool has been used since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolUse {
    /// States that were taken out of the pool.
    pub from_pool: u64,
    /// States that were made because the pool had none.
    pub new: u64,
    /// States that went back into the pool.
    pub to_pool: u64,
    /// States that were thrown away: the pool was full, or the state had hit a limit or grown.
    pub destroyed: u64,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Runtime {
    pub fn new(limits: Limits) -> Self {
        Self {
            idle: Arc::default(),
            taken: Arc::default(),
            limits,
        }
    }

    /// How the pool has been used so far.
    pub fn pool_use(&self) -> PoolUse {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolUse {
            from_pool: read(&self.taken.from_pool),
            new: read(&self.taken.new),
            to_pool: read(&self.taken.to_pool),
            destroyed: read(&self.taken.destroyed),
        }
    }

    /// Parses a script and lets the engine compile it. Nothing of it runs.
    pub fn compile(&self, source: &str) -> Result<Arc<Script>, ScriptError> {
        let script = Arc::new(Script::parse(source)?);
        self.with_vm(|vm| vm.compile(&script).map(drop))?;
        Ok(script)
    }

    fn with_vm<T>(
        &self,
        act: impl FnOnce(&mut Vm) -> Result<T, ScriptError>,
    ) -> Result<T, ScriptError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let count = |counter: &AtomicU64| {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let mut vm = if let Some(vm) = idle {
            count(&self.taken.from_pool);
            vm
        } else {
            count(&self.taken.new);
            Vm::new().map_err(|error| ScriptError::from_engine(&error))?
        };
        let answer = act(&mut vm);
        if vm.is_reusable() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < MAX_IDLE {
                idle.push(vm);
                count(&self.taken.to_pool);
                return answer;
            }
        }
        count(&self.taken.destroyed);
        answer
    }
}

#[cfg(test)]
mod tests;
