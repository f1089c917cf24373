//! Functions of the host that the prelude builds the libraries from.

use memchr::memmem;
use mlua::{Lua, LuaString, MultiValue, Table, Value as LuaValue};

use super::pattern::{self, Capture, Match, PatternError};
use super::state::{RunState, Stopped};
use super::{date, describe, format, kube, number, split_position};
use crate::rfc3339::{Civil, unix_from_civil};

/// Bytes of all arguments of `string.format`, which are copied before the engine's limit of memory can count them.
const MAX_ARGUMENTS: usize = 8 << 20;
/// Bytes of a template of `os.date`, each of which can become many.
const MAX_TEMPLATE: usize = 10_000;

/// Calls of functions that are nested too deeply.
pub(super) const OVERFLOW: &str =
    "stack overflow: calls are nested too deeply, as in a recursion without end";
/// What the engine says of protected calls that are nested too deeply.
const ENGINE_OVERFLOW: &str = "C stack overflow";

pub(super) fn host(lua: &Lua, state: &RunState) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("kube", kube::library(lua, state)?)?;
    host.set(
        "number_text",
        lua.create_function(|_, value: f64| Ok(number::print(value)))?,
    )?;
    let own = state.clone();
    host.set(
        "explain",
        lua.create_function(move |lua, value: LuaValue| Ok(explain(lua, &value, &own)))?,
    )?;
    host.set(
        "describe",
        lua.create_function(|_, value: LuaValue| Ok(describe(&value)))?,
    )?;
    let own = state.clone();
    host.set(
        "number",
        lua.create_function(move |_, (value, base): (LuaValue, Option<f64>)| {
            if let LuaValue::String(text) = &value {
                own.charge(text.as_bytes().len())?;
            }
            to_number(&value, base)
        })?,
    )?;
    let own = state.clone();
    host.set(
        "format",
        lua.create_function(move |lua, arguments: MultiValue| {
            let bytes = kube::text_bytes(&arguments);
            own.charge(bytes)?;
            if bytes > MAX_ARGUMENTS {
                return failed(format!(
                    "the arguments of format have more than {MAX_ARGUMENTS} bytes"
                ));
            }
            format_text(lua, arguments)
        })?,
    )?;
    let own = state.clone();
    host.set(
        "lower",
        lua.create_function(move |lua, text: LuaString| {
            own.charge(text.as_bytes().len())?;
            change_case(lua, &text, <[u8]>::make_ascii_lowercase, char::to_lowercase)
        })?,
    )?;
    let own = state.clone();
    host.set(
        "upper",
        lua.create_function(move |lua, text: LuaString| {
            own.charge(text.as_bytes().len())?;
            change_case(lua, &text, <[u8]>::make_ascii_uppercase, char::to_uppercase)
        })?,
    )?;
    let own = state.clone();
    // For long texts that the engine is about to copy.
    host.set(
        "charge",
        lua.create_function(move |lua, bytes: usize| {
            own.watch(lua, bytes);
            Ok(own.charge(bytes)?)
        })?,
    )?;
    let own = state.clone();
    host.set(
        "is_stopped",
        lua.create_function(move |_, problem: LuaValue| Ok(own.is_over_by(&problem)))?,
    )?;
    let own = state.clone();
    host.set(
        "is_compat",
        lua.create_function(move |_, ()| Ok(own.options().compat))?,
    )?;
    let own = state.clone();
    host.set(
        "print",
        lua.create_function(move |_, line: LuaString| {
            own.charge(line.as_bytes().len())?;
            own.print(&line.as_bytes());
            Ok(())
        })?,
    )?;
    add_patterns(lua, state, &host)?;
    add_random(lua, state, &host)?;
    add_time(lua, state, &host)?;
    Ok(host)
}

/// The text of an error that leaves the script, with the line that the script is at. Runs where the error happens.
fn explain(lua: &Lua, value: &LuaValue, state: &RunState) -> String {
    let line = script_line(lua);
    if let Some(line) = line {
        state.remember(line);
    }
    let message = match value {
        LuaValue::String(text) => text.to_string_lossy(),
        LuaValue::Error(_)
        | LuaValue::Integer(_)
        | LuaValue::Number(_)
        | LuaValue::Nil
        | LuaValue::Boolean(_) => describe(value),
        other => format!("error object is a {}", other.type_name()),
    };
    if message.starts_with("script:") {
        return message;
    }
    let message = match split_position(&message) {
        Some((_, _, rest)) => rest,
        None if message == ENGINE_OVERFLOW => OVERFLOW,
        None => &message,
    };
    positioned(line, message)
}

fn positioned(line: Option<usize>, message: &str) -> String {
    line.map_or_else(
        || message.to_owned(),
        |line| format!("script:{line}: {message}"),
    )
}

/// The error of the hook that ends a run or a call: at the line that the script is at.
pub(super) fn interruption(lua: &Lua, message: &str) -> mlua::Error {
    mlua::Error::RuntimeError(positioned(script_line(lua), message))
}

/// The line that the innermost function of the script is at.
pub(super) fn script_line(lua: &Lua) -> Option<usize> {
    let line_at = |level| {
        lua.inspect_stack(level, |frame| {
            let is_script = frame.source().short_src.as_deref() == Some("script");
            frame.current_line().filter(|_| is_script)
        })
    };
    (0..1_000).map_while(line_at).flatten().next()
}

fn failed<T>(message: impl Into<String>) -> mlua::Result<T> {
    Err(mlua::Error::RuntimeError(message.into()))
}

fn to_number(value: &LuaValue, base: Option<f64>) -> mlua::Result<Option<f64>> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast saturates, and the range is checked"
    )]
    let base = match base.map(|base| base as u32) {
        Some(base @ 2..=36) => Some(base),
        Some(_) => return failed("bad argument #2 to tonumber (base out of range)"),
        None => None,
    };
    Ok(match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "all numbers of the dialect are floats"
        )]
        LuaValue::Integer(number) => Some(*number as f64),
        LuaValue::Number(number) => Some(*number),
        LuaValue::String(text) => number::read(&text.to_string_lossy(), base),
        _ => None,
    })
}

fn format_text(lua: &Lua, mut arguments: MultiValue) -> mlua::Result<LuaString> {
    let Some(LuaValue::String(template)) = arguments.pop_front() else {
        return failed("bad argument #1 to format (string expected)");
    };
    let argument = |value: &LuaValue| match value {
        #[expect(
            clippy::cast_precision_loss,
            reason = "all numbers of the dialect are floats"
        )]
        LuaValue::Integer(number) => format::Argument::Number(*number as f64),
        LuaValue::Number(number) => format::Argument::Number(*number),
        LuaValue::String(text) => format::Argument::Text(text.as_bytes().to_vec()),
        other => format::Argument::Text(describe(other).into_bytes()),
    };
    if arguments
        .iter()
        .any(|value| matches!(value, LuaValue::String(text) if text.as_bytes().len() > 1_000_000))
    {
        return failed("string argument is longer than 1000000 bytes");
    }
    let arguments: Vec<_> = arguments.iter().map(argument).collect();
    match format::format(&template.as_bytes(), &arguments) {
        Ok(text) => lua.create_string(text),
        Err(problem) => failed(problem),
    }
}

/// Changes the case of characters that have one other form; bytes that are no text stay.
fn change_case<I: Iterator<Item = char>>(
    lua: &Lua,
    text: &LuaString,
    change_ascii: fn(&mut [u8]),
    change: fn(char) -> I,
) -> mlua::Result<LuaString> {
    let bytes = text.as_bytes();
    if bytes.is_ascii() {
        let mut changed = bytes.to_vec();
        change_ascii(&mut changed);
        return lua.create_string(changed);
    }
    let mut changed = Vec::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut forms = change(character);
            let form = match (forms.next(), forms.next()) {
                (Some(form), None) => form,
                _ => character,
            };
            changed.extend(form.encode_utf8(&mut [0; 4]).bytes());
        }
        changed.extend(chunk.invalid());
    }
    lua.create_string(changed)
}

fn add_patterns(lua: &Lua, state: &RunState, host: &Table) -> mlua::Result<()> {
    let own = state.clone();
    let find = move |lua: &Lua,
                     (text, pattern, from, plain): (
        LuaString,
        LuaString,
        Option<f64>,
        Option<bool>,
    )| {
        let (bytes, pattern) = (text.as_bytes(), pattern.as_bytes());
        if pattern.is_empty() {
            return Ok(positions(0, 0, MultiValue::new()));
        }
        let from = start(from, bytes.len());
        if plain == Some(true) || pattern::is_plain(&pattern) {
            let text = bytes.get(from..).unwrap_or_default();
            let found = memmem::find(text, &pattern);
            own.charge(found.unwrap_or(text.len()))?;
            let found =
                found.map(|at| positions(from + at, from + at + pattern.len(), MultiValue::new()));
            return Ok(found.unwrap_or_else(nothing));
        }
        let found = search(&bytes, &pattern, from, &own)?;
        let Some(found) = found else {
            return Ok(nothing());
        };
        let captures = if found.captures.is_empty() {
            MultiValue::new()
        } else {
            captures(lua, &bytes, &found)?
        };
        Ok(positions(found.range.start, found.range.end, captures))
    };
    host.set("find", lua.create_function(find)?)?;
    let own = state.clone();
    let matching = move |lua: &Lua, (text, pattern, from): (LuaString, LuaString, Option<f64>)| {
        let bytes = text.as_bytes();
        let found = search(&bytes, &pattern.as_bytes(), start(from, bytes.len()), &own)?;
        found.map_or_else(|| Ok(nothing()), |found| captures(lua, &bytes, &found))
    };
    host.set("match", lua.create_function(matching)?)?;
    let own = state.clone();
    // Where the next search begins, from 0, and the captures of this one; nothing after the last.
    let next = move |lua: &Lua, (text, pattern, from): (LuaString, LuaString, usize)| {
        let bytes = text.as_bytes();
        let found = if from > bytes.len() {
            None
        } else {
            search(&bytes, &pattern.as_bytes(), from, &own)?
        };
        let Some(found) = found else {
            let mut none = nothing();
            none.push_front(position(bytes.len() + 1));
            return Ok(none);
        };
        let mut values = captures(lua, &bytes, &found)?;
        let following = if found.range.is_empty() {
            found.range.end + 1
        } else {
            found.range.end
        };
        values.push_front(position(following));
        Ok(values)
    };
    host.set("next_match", lua.create_function(next)?)
}

fn nothing() -> MultiValue {
    MultiValue::from_vec(vec![LuaValue::Nil])
}

fn position(at: usize) -> LuaValue {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a text is shorter than 2^53 bytes"
    )]
    LuaValue::Number(at as f64)
}

/// A range in Lua's terms, from 1 and with its last place, and the captures.
fn positions(start: usize, end: usize, captures: MultiValue) -> MultiValue {
    let mut values = captures;
    values.push_front(position(end));
    values.push_front(position(start + 1));
    values
}

/// Where a search begins, from 0; negative places count from the end.
fn start(from: Option<f64>, length: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
    let from = from.unwrap_or(1.0) as i64;
    if from >= 0 {
        usize::try_from(from.saturating_sub(1).max(0)).unwrap_or(usize::MAX)
    } else {
        length.saturating_sub(usize::try_from(from.unsigned_abs()).unwrap_or(usize::MAX))
    }
}

fn search(
    text: &[u8],
    pattern: &[u8],
    from: usize,
    state: &RunState,
) -> mlua::Result<Option<Match>> {
    // Not by the text's length: a search goes on from where the last one ended, and pays for its steps.
    state.charge(pattern.len())?;
    let stopped = || state.spend(pattern::STEPS_OF_LOOK);
    pattern::find(text, pattern, from, &stopped).map_err(|error| match error {
        PatternError::Malformed(problem) => mlua::Error::RuntimeError(problem.to_owned()),
        PatternError::Stopped => Stopped.into(),
    })
}

fn captures(lua: &Lua, text: &[u8], found: &Match) -> mlua::Result<MultiValue> {
    let capture = |capture: &Capture| match capture {
        Capture::Text(range) => lua
            .create_string(&text[range.clone()])
            .map(LuaValue::String),
        Capture::Position(at) => Ok(position(at + 1)),
    };
    if found.captures.is_empty() {
        let whole = capture(&Capture::Text(found.range.clone()))?;
        return Ok(MultiValue::from_vec(vec![whole]));
    }
    found
        .captures
        .iter()
        .map(capture)
        .collect::<mlua::Result<Vec<_>>>()
        .map(MultiValue::from_vec)
}

fn add_random(lua: &Lua, state: &RunState, host: &Table) -> mlua::Result<()> {
    let own = state.clone();
    let random = move |_: &Lua, (first, second): (Option<f64>, Option<f64>)| {
        let random = own.random();
        let (low, high) = match (first, second) {
            (None, _) => return Ok(random),
            (Some(high), None) => (1.0, high.floor()),
            (Some(low), Some(high)) => (low.floor(), high.floor()),
        };
        if high < low {
            failed("bad argument to random (interval is empty)")
        } else {
            Ok((random * (high - low + 1.0)).floor() + low)
        }
    };
    host.set("random", lua.create_function(random)?)?;
    let own = state.clone();
    host.set(
        "randomseed",
        lua.create_function(move |_, seed: f64| {
            own.seed(seed);
            Ok(())
        })?,
    )
}

fn add_time(lua: &Lua, state: &RunState, host: &Table) -> mlua::Result<()> {
    let own = state.clone();
    let time = move |_: &Lua, parts: Option<Table>| {
        let Some(parts) = parts else {
            return Ok(own.unix_seconds());
        };
        let part = |name: &str, default: Option<i64>| -> mlua::Result<i64> {
            #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
            match parts
                .raw_get::<Option<f64>>(name)?
                .map(|part| part as i64)
                .or(default)
            {
                // Far outside any calendar, but safe to calculate with.
                Some(part) => Ok(part.clamp(-1_000_000_000_000, 1_000_000_000_000)),
                None => failed(format!("field '{name}' missing in date table")),
            }
        };
        Ok(unix_from_civil(
            part("year", None)?,
            part("month", None)?,
            part("day", None)?,
            part("hour", Some(12))?,
            part("min", Some(0))?,
            part("sec", Some(0))?,
        ))
    };
    host.set("time", lua.create_function(time)?)?;
    let own = state.clone();
    let date = move |lua: &Lua, (template, seconds): (Option<String>, Option<f64>)| {
        #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
        let seconds = seconds.map_or_else(|| own.unix_seconds(), |seconds| seconds as i64);
        // A year has at most five digits here.
        let seconds = seconds.clamp(-1_000_000_000_000, 1_000_000_000_000);
        let template = template.unwrap_or_else(|| "%c".to_owned());
        if template.len() > MAX_TEMPLATE {
            return failed("the template of date is too long");
        }
        own.charge(template.len())?;
        let template = template.strip_prefix('!').unwrap_or(&template);
        if template == "*t" {
            date_table(lua, seconds)
        } else {
            lua.create_string(date::print(template, seconds))
                .map(LuaValue::String)
        }
    };
    host.set("date", lua.create_function(date)?)
}

fn date_table(lua: &Lua, seconds: i64) -> mlua::Result<LuaValue> {
    let civil = Civil::from_unix(seconds);
    let table = lua.create_table()?;
    let parts = [
        ("year", civil.year),
        ("month", civil.month),
        ("day", civil.day),
        ("hour", civil.hour),
        ("min", civil.minute),
        ("sec", civil.second),
        ("wday", civil.weekday + 1),
        ("yday", 0),
    ];
    for (name, value) in parts {
        table.raw_set(name, value)?;
    }
    table.raw_set("isdst", false)?;
    Ok(LuaValue::Table(table))
}
