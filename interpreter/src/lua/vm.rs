//! One state of the engine, with the libraries loaded and its limits in place.

use std::collections::HashMap;
use std::sync::Arc;

use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, MultiValue, StdLib, VmState};

use super::convert::Marks;
use super::state::{HOOK_INTERVAL, Limits, RunState, Stop};
use super::{Script, ScriptError, library};
use crate::layer::{Clock, Options};

/// Bytes of compiled scripts, as text, that one state keeps.
const MAX_LOADED: usize = 4 << 20;
/// What a compiled script takes beside what grows with its text.
const LOADED_OVERHEAD: usize = 1 << 10;
/// A compiled script takes up to so many times its text.
const LOADED_FACTOR: usize = 8;
/// A state that has grown beyond this, compiled scripts aside, is not used again.
const MAX_IDLE_MEMORY: usize = 8 << 20;

/// Calls that may be nested in each other; the hook looks now and then, so a few more can pass. The reference allows 256, of which
/// a protected call takes two; here it takes three.
const MAX_CALLS: usize = 400;

/// A state of the engine.
pub(super) struct Vm {
    pub(super) lua: Lua,
    pub(super) marks: Marks,
    state: RunState,
    /// Functions of the prelude.
    run: Function,
    look: Function,
    called: Function,
    forget: Function,
    loaded: HashMap<usize, Loaded>,
    /// What the loaded scripts count, by [`cost`].
    loaded_cost: usize,
    /// Counts calls, to tell which loaded script has not been used for longest.
    calls: u64,
}

struct Loaded {
    /// Keeps the address, which is the key, from being given to another script.
    script: Arc<Script>,
    main: Function,
    last_call: u64,
}

impl Vm {
    pub(super) fn new() -> mlua::Result<Self> {
        // The engine's own `pcall` and `xpcall` look for room on the stack before they return; those that mlua puts in their
        // place to let panics pass do not.
        let options = LuaOptions::new().catch_rust_panics(true);
        let lua = Lua::new_with(StdLib::TABLE | StdLib::STRING | StdLib::MATH, options)?;
        let state = RunState::new();
        let host = library::host(&lua, &state)?;
        let prelude = lua
            .load(include_str!("prelude.lua"))
            .set_name("=runtime")
            .set_mode(ChunkMode::Text);
        let (run, look, called, forget) = prelude.call(host)?;
        let marks = Marks::new(&lua)?;
        let own = state.clone();
        let triggers = HookTriggers::new().every_nth_instruction(HOOK_INTERVAL);
        lua.set_hook(triggers, move |lua, _| {
            own.watch(lua, 0);
            if own.spend(HOOK_INTERVAL) {
                Err(library::interruption(lua, "stopped"))
            } else if lua.inspect_stack(MAX_CALLS, |_| ()).is_some() {
                Err(library::interruption(lua, library::OVERFLOW))
            } else {
                Ok(VmState::Continue)
            }
        })?;
        Ok(Self {
            lua,
            marks,
            state,
            run,
            look,
            called,
            forget,
            loaded: HashMap::new(),
            loaded_cost: 0,
            calls: 0,
        })
    }

    /// Loads a script, which runs nothing of it.
    pub(super) fn load(&mut self, script: &Arc<Script>) -> Result<Function, ScriptError> {
        self.calls += 1;
        let key = Arc::as_ptr(script) as usize;
        if let Some(loaded) = self.loaded.get_mut(&key) {
            loaded.last_call = self.calls;
            return Ok(loaded.main.clone());
        }
        let main = self.compile(script)?;
        while self.loaded_cost + cost(script) > MAX_LOADED
            && let Some(oldest) = self.longest_unused()
            && let Some(unloaded) = self.loaded.remove(&oldest)
        {
            self.loaded_cost -= cost(&unloaded.script);
        }
        self.loaded_cost += cost(script);
        let loaded = Loaded {
            script: Arc::clone(script),
            main: main.clone(),
            last_call: self.calls,
        };
        self.loaded.insert(key, loaded);
        Ok(main)
    }

    /// Lets the engine compile a script, and keeps nothing of it.
    pub(super) fn compile(&self, script: &Script) -> Result<Function, ScriptError> {
        let chunk = self
            .lua
            .load(script.translated())
            .set_name("=script")
            .set_mode(ChunkMode::Text);
        chunk
            .into_function()
            .map_err(|error| ScriptError::from_engine(&error))
    }

    fn longest_unused(&self) -> Option<usize> {
        let scripts = self.loaded.iter();
        scripts
            .min_by_key(|(_, loaded)| loaded.last_call)
            .map(|(key, _)| *key)
    }

    /// Runs a script, calls a function that it defines, and reads what that returns; all of it within the limits.
    #[expect(
        clippy::too_many_arguments,
        reason = "one call, with all that it depends on"
    )]
    pub(super) fn call<T>(
        &mut self,
        script: &Arc<Script>,
        function: &str,
        arguments: MultiValue,
        limits: &Limits,
        clock: &Arc<dyn Clock>,
        options: Options,
        read: impl FnOnce(&MultiValue, &RunState) -> Result<T, String>,
    ) -> (Result<T, ScriptError>, Vec<String>) {
        self.state
            .begin(limits, clock, options, self.lua.used_memory());
        let run = self.run.clone();
        let called = self.enter(&run, script, function, arguments, limits);
        let result = match called {
            Ok(results) => read(&results, &self.state).map_err(|problem| {
                let problem = format!("{function}: {problem}");
                self.at_function(self.stopped(ScriptError::new(problem), limits))
            }),
            // What a tail call leaves of the script's stack may be nothing.
            Err(error) if error.line.is_none() => {
                let mut error = self.at_function(error);
                if error.line.is_some() {
                    error.message = format!("in {function}, which begins here: {}", error.message);
                }
                Err(error)
            }
            Err(error) => Err(error),
        };
        // A result that is there in time counts, and an error to let go of the rest changes nothing about it.
        let _ = self.forget.call::<()>(());
        let printed = self.state.end();
        (result, printed)
    }

    /// Runs what a script does outside of its functions, and looks for a function.
    pub(super) fn look_for(
        &mut self,
        script: &Arc<Script>,
        function: &str,
        limits: &Limits,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), ScriptError> {
        let used = self.lua.used_memory();
        self.state.begin(limits, clock, Options::default(), used);
        let look = self.look.clone();
        let found = self.enter(&look, script, function, MultiValue::new(), limits);
        let _ = self.forget.call::<()>(());
        self.state.end();
        found.map(drop)
    }

    /// Calls a function of the prelude for a script, within the limit of memory.
    fn enter(
        &mut self,
        entry: &Function,
        script: &Arc<Script>,
        function: &str,
        mut arguments: MultiValue,
        limits: &Limits,
    ) -> Result<MultiValue, ScriptError> {
        let main = self.load(script)?;
        let failed = |error: mlua::Error| ScriptError::from_engine(&error);
        let name = self.lua.create_string(function).map_err(failed)?;
        arguments.push_front(mlua::Value::String(name));
        arguments.push_front(mlua::Value::Boolean(script.keeps_globals));
        arguments.push_front(mlua::Value::Function(main));
        let limit = self.lua.used_memory().saturating_add(limits.memory);
        self.lua.set_memory_limit(limit).map_err(failed)?;
        let called = entry.call::<MultiValue>(arguments);
        self.lua.set_memory_limit(0).map_err(failed)?;
        called.map_err(|error| self.explain(&error, limits))
    }

    /// The error with the line on which the function begins that was called.
    fn at_function(&self, mut error: ScriptError) -> ScriptError {
        // The hook may stop the question once, and then not again for many steps.
        let called = (0..2).find_map(|_| self.called.call::<Option<Function>>(()).ok().flatten());
        let info = called.map(|function| function.info());
        error.line = info
            .filter(|info| info.short_src.as_deref() == Some("script"))
            .and_then(|info| u32::try_from(info.line_defined?).ok());
        error
    }

    /// The error, or that the run was stopped.
    fn stopped(&self, mut error: ScriptError, limits: &Limits) -> ScriptError {
        match self.state.stop() {
            Some(Stop::Deadline) => {
                error.message = format!("took longer than {} ms", limits.deadline.as_millis());
            }
            Some(Stop::Instructions) => {
                error.message = format!("ran more than {} instructions", limits.instructions);
            }
            Some(Stop::Memory) => error.message = used_up(limits),
            None => {}
        }
        error
    }

    fn explain(&self, error: &mlua::Error, limits: &Limits) -> ScriptError {
        let mut explained = ScriptError::from_engine(error);
        if self.state.stop().is_some() {
            // The second error of a run that has to stop can come from outside of the script.
            explained.line = explained.line.or(self.state.last_line());
        }
        if self.state.stop().is_none() && super::is_out_of_memory(error) {
            explained.message = used_up(limits);
            explained.line = explained.line.or(self.state.last_line());
        }
        self.stopped(explained, limits)
    }

    /// Whether the state may be used for another call.
    pub(super) fn is_reusable(&self) -> bool {
        let may_use = MAX_IDLE_MEMORY + LOADED_FACTOR * self.loaded_cost;
        self.state.stop().is_none() && self.lua.used_memory() <= may_use
    }

    #[cfg(test)]
    pub(super) fn loaded_scripts(&self) -> usize {
        self.loaded.len()
    }
}

fn used_up(limits: &Limits) -> String {
    format!("used more than {} MiB of memory", limits.memory >> 20)
}

fn cost(script: &Script) -> usize {
    script.translated().len() + LOADED_OVERHEAD
}
