//! JSON to Lua and back.
//!
//! An empty table of Lua can be an empty object or an empty list. Empty tables that come from JSON are marked with a hidden
//! metatable, so that what a script does not touch comes back as it was. A table that a script made or emptied has no
//! mark: it becomes what the reference objects have at its path, and is dropped when they have nothing empty there.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ffi::c_void;

use mlua::{IntoLua, Lua, Table, Value as LuaValue};
use serde_json::{Map, Number, Value};

use super::state::{RunState, Stopped};

/// Nesting of a result.
const MAX_DEPTH: usize = 200;
/// Bytes that a result takes here; shared tables can make a small state describe a huge tree. Kubernetes takes objects of at
/// most 3 MiB of text.
const MAX_SIZE: usize = 32 << 20;
/// What a value takes beside its text.
const NODE_SIZE: usize = size_of::<Value>();
/// What a key and a value of a table take while it is read.
const ENTRY_SIZE: usize = size_of::<(String, LuaValue)>();
/// What an object takes: nodes of its map have room for eleven members.
const OBJECT_SIZE: usize = 11 * size_of::<(String, Value)>() + 32;

/// Metatables of empty tables that come from JSON.
#[derive(Debug, Clone)]
pub(super) struct Marks {
    object: Table,
    list: Table,
}

impl Marks {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self {
            object: lua.create_table()?,
            list: lua.create_table()?,
        })
    }
}

/// The value in Lua. Nulls in objects vanish, and nulls in lists are dropped.
pub(super) fn to_lua(lua: &Lua, value: &Value, marks: Option<&Marks>) -> mlua::Result<LuaValue> {
    Ok(match value {
        Value::Null => LuaValue::Nil,
        Value::Bool(value) => LuaValue::Boolean(*value),
        Value::Number(number) => LuaValue::Number(float(number)),
        Value::String(text) => LuaValue::String(lua.create_string(text)?),
        Value::Array(list) => {
            let table = lua.create_table_with_capacity(list.len(), 0)?;
            let items = list.iter().filter(|item| !item.is_null());
            for (at, item) in items.enumerate() {
                set(lua, &table, at + 1, item, marks)?;
            }
            if let (true, Some(marks)) = (list.is_empty(), marks) {
                table.set_metatable(Some(marks.list.clone()))?;
            }
            LuaValue::Table(table)
        }
        Value::Object(map) => {
            let table = lua.create_table_with_capacity(0, map.len())?;
            for (key, member) in map {
                set(lua, &table, key.as_str(), member, marks)?;
            }
            if let (true, Some(marks)) = (map.is_empty(), marks) {
                table.set_metatable(Some(marks.object.clone()))?;
            }
            LuaValue::Table(table)
        }
    })
}

/// Sets a member. Values without parts go straight into the table, which saves the engine a handle for each.
fn set(
    lua: &Lua,
    table: &Table,
    key: impl IntoLua,
    value: &Value,
    marks: Option<&Marks>,
) -> mlua::Result<()> {
    match value {
        Value::Null => Ok(()),
        Value::Bool(value) => table.raw_set(key, *value),
        Value::Number(number) => table.raw_set(key, float(number)),
        Value::String(text) => table.raw_set(key, text.as_str()),
        Value::Array(_) | Value::Object(_) => table.raw_set(key, to_lua(lua, value, marks)?),
    }
}

fn float(number: &Number) -> f64 {
    number.as_f64().unwrap_or_default()
}

/// What an empty table at the root is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Object,
    List,
}

/// Reads results of a script.
pub(super) struct Reader<'a> {
    marks: Option<&'a Marks>,
    references: &'a [&'a Value],
    empties: OnceCell<Empties>,
    /// Tables around the one that is being read.
    open: Vec<*const c_void>,
    /// All tables so far; only kept when a table may occur once alone.
    seen: Option<BTreeSet<*const c_void>>,
    /// The run that pays for the reading, when one goes on.
    run: Option<&'a RunState>,
    path: Vec<String>,
    size: usize,
}

/// A value, or a table without content and mark.
enum Read {
    Value(Value),
    Empty,
}

/// Why a result cannot be read.
enum Unreadable {
    /// It is too large, too deep, or takes too long.
    Whole(String),
    /// A part of it cannot be written as JSON; the path is put together from the inside out.
    Part { path: Vec<String>, problem: String },
}

impl Unreadable {
    fn part(problem: impl Into<String>) -> Self {
        Self::Part {
            path: Vec::new(),
            problem: problem.into(),
        }
    }

    fn at(mut self, segment: impl FnOnce() -> String) -> Self {
        if let Self::Part { path, .. } = &mut self {
            path.push(segment());
        }
        self
    }

    fn into_text(self) -> String {
        match self {
            Self::Whole(problem) => problem,
            Self::Part { path, problem } if path.is_empty() => problem,
            Self::Part { path, problem } => {
                let path: String = path.iter().rev().map(String::as_str).collect();
                format!("{}: {problem}", path.strip_prefix('.').unwrap_or(&path))
            }
        }
    }
}

impl<'a> Reader<'a> {
    /// Without marks, rules are those of the reference: marks are not looked at, and a table may occur once alone.
    pub(super) fn new(marks: Option<&'a Marks>, references: &'a [&'a Value]) -> Self {
        Self {
            marks,
            references,
            empties: OnceCell::new(),
            open: Vec::new(),
            seen: marks.is_none().then(BTreeSet::new),
            run: None,
            path: Vec::new(),
            size: 0,
        }
    }

    /// Lets a table occur several times.
    pub(super) fn shared(mut self) -> Self {
        self.seen = None;
        self
    }

    /// Reads at the expense of a run: when that has to stop, so has the reading.
    pub(super) fn charged(mut self, run: &'a RunState) -> Self {
        self.run = Some(run);
        self
    }

    /// The whole result.
    pub(super) fn root(&mut self, value: &LuaValue, root: Root) -> Result<Value, String> {
        let read = self.read(value).map_err(Unreadable::into_text)?;
        Ok(match (read, root) {
            (Read::Value(value), _) => value,
            (Read::Empty, Root::Object) => Value::Object(Map::new()),
            (Read::Empty, Root::List) => Value::Array(Vec::new()),
        })
    }

    fn read(&mut self, value: &LuaValue) -> Result<Read, Unreadable> {
        self.spend(NODE_SIZE)?;
        let value = match value {
            LuaValue::Nil => Value::Null,
            LuaValue::Boolean(value) => Value::Bool(*value),
            LuaValue::Integer(number) => Value::from(*number),
            LuaValue::Number(number) => number_to_json(*number).map_err(Unreadable::part)?,
            LuaValue::String(text) => Value::String(self.text(text)?),
            LuaValue::Table(table) => return self.table(table),
            other => {
                return Err(Unreadable::part(format!(
                    "{} cannot be part of a result",
                    kind_of(other)
                )));
            }
        };
        Ok(Read::Value(value))
    }

    fn text(&mut self, text: &mlua::LuaString) -> Result<String, Unreadable> {
        self.spend(text.as_bytes().len())?;
        Ok(text.to_string_lossy())
    }

    /// Counts what is about to be made, and fails when it is too much or the run is over.
    fn spend(&mut self, bytes: usize) -> Result<(), Unreadable> {
        let charged = self.run.map_or(Ok(()), |run| run.charge(bytes));
        charged.map_err(|Stopped| Unreadable::Whole("stopped".to_owned()))?;
        self.size += bytes;
        if self.size > MAX_SIZE {
            let limit = MAX_SIZE >> 20;
            Err(Unreadable::Whole(format!(
                "the result takes more than {limit} MiB; a table that stands in it several times counts each time"
            )))
        } else {
            Ok(())
        }
    }

    fn table(&mut self, table: &Table) -> Result<Read, Unreadable> {
        let address = table.to_pointer();
        if self.open.contains(&address)
            || self.seen.as_mut().is_some_and(|seen| !seen.insert(address))
        {
            return Err(Unreadable::Whole(
                "the result contains a recursively nested table".to_owned(),
            ));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(Unreadable::Whole(format!(
                "the result is nested deeper than {MAX_DEPTH} tables"
            )));
        }
        let mut items = Vec::new();
        let mut members = Vec::new();
        for entry in table.pairs::<LuaValue, LuaValue>() {
            let (key, value) = entry.map_err(|error| Unreadable::part(error.to_string()))?;
            self.spend(ENTRY_SIZE)?;
            match key {
                LuaValue::Integer(at) => items.push((at, value)),
                LuaValue::String(name) => members.push((self.text(&name)?, value)),
                LuaValue::Number(_) => {
                    return Err(Unreadable::part("a table has a fractional index"));
                }
                other => {
                    return Err(Unreadable::part(format!(
                        "a table has {} as key",
                        kind_of(&other)
                    )));
                }
            }
        }
        self.open.push(address);
        let read = match (items.is_empty(), members.is_empty()) {
            (true, true) => Ok(self.empty(table)),
            (false, true) => self.list(items).map(Read::Value),
            (true, false) => self.object(members).map(Read::Value),
            (false, false) => Err(Unreadable::part(
                "a table has both positions and names as keys",
            )),
        };
        self.open.pop();
        read
    }

    fn empty(&self, table: &Table) -> Read {
        let mark = self
            .marks
            .and_then(|marks| Some((marks, table.metatable()?)));
        match mark {
            Some((marks, mark)) if mark == marks.object => Read::Value(Value::Object(Map::new())),
            Some((marks, mark)) if mark == marks.list => Read::Value(Value::Array(Vec::new())),
            _ => Read::Empty,
        }
    }

    fn list(&mut self, mut items: Vec<(i64, LuaValue)>) -> Result<Value, Unreadable> {
        items.sort_unstable_by_key(|(at, _)| *at);
        let mut list = Vec::with_capacity(items.len());
        for (position, (at, item)) in (1_i64..).zip(&items) {
            if *at != position {
                return Err(Unreadable::part("a list has gaps"));
            }
            let item = self
                .child(item)
                .map_err(|problem| problem.at(|| format!("[{}]", position - 1)))?;
            list.extend(item);
        }
        Ok(Value::Array(list))
    }

    fn object(&mut self, members: Vec<(String, LuaValue)>) -> Result<Value, Unreadable> {
        self.spend(OBJECT_SIZE)?;
        let mut map = Map::new();
        for (name, value) in members {
            self.path.push(name);
            let member = self.child(&value);
            let name = self.path.pop().unwrap_or_default();
            if let Some(member) = member.map_err(|problem| problem.at(|| format!(".{name}")))? {
                map.insert(name, member);
            }
        }
        Ok(Value::Object(map))
    }

    /// A value inside the result; None when it is empty and nothing says what it is.
    fn child(&mut self, value: &LuaValue) -> Result<Option<Value>, Unreadable> {
        Ok(match self.read(value)? {
            Read::Value(value) => Some(value),
            Read::Empty => self
                .empties
                .get_or_init(|| Empties::of(self.references))
                .at(&self.path),
        })
    }
}

/// What a value is, in the words of Lua.
pub(super) fn kind_of(value: &LuaValue) -> &'static str {
    match value {
        LuaValue::Nil => "nil",
        LuaValue::Boolean(_) => "a boolean",
        LuaValue::Integer(_) | LuaValue::Number(_) => "a number",
        LuaValue::String(_) => "a string",
        LuaValue::Table(_) => "a table",
        LuaValue::Function(_) => "a function",
        LuaValue::Thread(_) => "a thread",
        _ => "a userdata",
    }
}

fn number_to_json(number: f64) -> Result<Value, String> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number.fract() == 0.0 && (-LIMIT..LIMIT).contains(&number) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the range has been checked"
        )]
        return Ok(Value::from(number as i64));
    }
    Number::from_f64(number)
        .map(Value::Number)
        .ok_or_else(|| format!("{number} cannot be part of a result"))
}

/// Paths at which the reference objects have something empty. All elements of a list share its path.
#[derive(Debug, Default)]
struct Empties {
    objects: BTreeSet<Vec<String>>,
    lists: BTreeSet<Vec<String>>,
}

impl Empties {
    fn of(references: &[&Value]) -> Self {
        let mut found = Self::default();
        for reference in references {
            found.collect(reference, &mut Vec::new());
        }
        found
    }

    fn collect(&mut self, value: &Value, path: &mut Vec<String>) {
        match value {
            Value::Object(map) if map.is_empty() => {
                self.objects.insert(path.clone());
            }
            Value::Array(list) if list.is_empty() => {
                self.lists.insert(path.clone());
            }
            Value::Object(map) => {
                for (key, member) in map {
                    path.push(key.clone());
                    self.collect(member, path);
                    path.pop();
                }
            }
            Value::Array(list) => list.iter().for_each(|item| self.collect(item, path)),
            _ => {}
        }
    }

    fn at(&self, path: &[String]) -> Option<Value> {
        if self.objects.contains(path) {
            Some(Value::Object(Map::new()))
        } else if self.lists.contains(path) {
            Some(Value::Array(Vec::new()))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(compat: bool, script: &str, references: &[&Value], expected: Result<Value, &str>) {
        let lua = Lua::new();
        let marks = Marks::new(&lua).unwrap();
        let value = lua.load(script).eval::<LuaValue>().unwrap();
        let marks = (!compat).then_some(&marks);
        let read = Reader::new(marks, references).root(&value, Root::Object);
        assert_eq!(read, expected.map_err(str::to_owned), "{script}");
    }

    #[test]
    fn tables_become_objects_and_lists() {
        for compat in [true, false] {
            check(
                compat,
                "return {a = 1, b = 1.5, c = 'x', d = true}",
                &[],
                Ok(json!({"a": 1, "b": 1.5, "c": "x", "d": true})),
            );
            check(compat, "return {1, 2, {3}}", &[], Ok(json!([1, 2, [3]])));
            check(compat, "return {}", &[], Ok(json!({})));
            check(
                compat,
                "return {a = {}, b = {{}, 1}}",
                &[],
                Ok(json!({"b": [1]})),
            );
            check(compat, "return 1e19", &[], Ok(json!(1e19)));
            check(compat, "return {[2] = 1}", &[], Err("a list has gaps"));
            check(
                compat,
                "return {1, a = 2}",
                &[],
                Err("a table has both positions and names as keys"),
            );
            check(
                compat,
                "return {[1.5] = 1}",
                &[],
                Err("a table has a fractional index"),
            );
            check(
                compat,
                "return {[true] = 1}",
                &[],
                Err("a table has a boolean as key"),
            );
            check(
                compat,
                "return {a = print}",
                &[],
                Err("a: a function cannot be part of a result"),
            );
            check(
                compat,
                "return {a = 0/0}",
                &[],
                Err("a: NaN cannot be part of a result"),
            );
            check(
                compat,
                "return {a = {1, {b = print}}}",
                &[],
                Err("a[1].b: a function cannot be part of a result"),
            );
            check(
                compat,
                "local t = {} t.t = t return t",
                &[],
                Err("the result contains a recursively nested table"),
            );
        }
    }

    #[test]
    fn shared_tables_are_written_at_each_place_unless_compatible() {
        let script = "local t = {x = 1} return {a = t, b = t}";
        check(
            false,
            script,
            &[],
            Ok(json!({"a": {"x": 1}, "b": {"x": 1}})),
        );
        check(
            true,
            script,
            &[],
            Err("the result contains a recursively nested table"),
        );
    }

    #[test]
    fn empty_tables_become_what_the_references_have() {
        let reference = json!({"m": {}, "l": [], "in": [{"m": {}}], "both": {}});
        let other = json!({"both": []});
        check(
            true,
            "return {m = {}, l = {}, both = {}, gone = {}, ['in'] = {{m = {}}, {}}}",
            &[&reference, &other],
            Ok(json!({"m": {}, "l": [], "both": {}, "in": [{"m": {}}]})),
        );
    }

    #[test]
    fn results_are_bounded() {
        check(
            false,
            "local t = {'xxxxxxxxxxxxxxxx'} for i = 1, 60 do t = {t, t} end return t",
            &[],
            Err(
                "the result takes more than 32 MiB; a table that stands in it several times counts each time",
            ),
        );
        check(
            false,
            "local t = {} for i = 1, 1000 do t = {t} end return t",
            &[],
            Err("the result is nested deeper than 200 tables"),
        );
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<f64>().prop_filter_map("finite", |number| Number::from_f64(number)
                .map(Value::Number)),
            "\\PC{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let keys = prop_oneof!["[a-c]{0,2}", "[1-3]"];
            let map = prop::collection::btree_map(keys, inner.clone(), 0..5);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                map.prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Integral floats come back as integers.
    fn normalised(value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(normalised).collect(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| (key.clone(), normalised(value)))
                .collect(),
            Value::Number(number) => number_to_json(number.as_f64().unwrap()).unwrap(),
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn untouched_values_come_back(value in any_json()) {
            let lua = Lua::new();
            let marks = Marks::new(&lua).unwrap();
            let there = to_lua(&lua, &value, Some(&marks)).unwrap();
            let back = Reader::new(Some(&marks), &[]).root(&there, Root::Object).unwrap();
            prop_assert_eq!(back, normalised(&value));
        }

        #[test]
        fn references_keep_empties_without_marks(value in any_json()) {
            let lua = Lua::new();
            let there = to_lua(&lua, &value, None).unwrap();
            let back = Reader::new(None, &[&value]).root(&there, Root::Object);
            // An empty list beside an empty object at the same path becomes an object, so only the rest is compared.
            prop_assert!(back.is_ok());
        }
    }
}
