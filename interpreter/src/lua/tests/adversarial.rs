//! Each script is stopped within its limit with a clear error, and leaves nothing behind.

use super::*;

/// A clock on which every look takes a millisecond.
#[derive(Debug, Default)]
struct TickingClock(AtomicU64);

impl Clock for TickingClock {
    fn unix_seconds(&self) -> i64 {
        NOW
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[track_caller]
fn check(body: &str, expected: &str) {
    let runtime = Runtime::new(Limits::default());
    let printed = run(&runtime, Arc::new(TickingClock::default()), body);
    assert_eq!(
        printed.as_ref().map_err(String::as_str),
        Err(expected),
        "{body}"
    );
    // The next script finds everything in order.
    assert_eq!(
        run(
            &runtime,
            Arc::new(StoppedClock(NOW)),
            "return 1, type(type), #'x'"
        )
        .as_deref(),
        Ok("1 function 1")
    );
}

const LATE: &str = "took longer than 1000 ms";

#[track_caller]
fn check_late(body: &str) {
    check(body, &format!("line 1: {LATE}"));
}

#[test]
fn endless_loops() {
    check_late("while true do end");
    check_late("repeat until false");
    check_late("::top:: goto top");
    check_late("local function f() return f() end f()");
    check_late("for i = 1, math.huge do end");
    check_late("local t = {} for k in function() return 1 end do end");
}

#[test]
fn loops_that_catch_their_end() {
    check_late("while true do pcall(function() while true do end end) end");
    check_late("local function f() while true do pcall(f) end end f()");
    check_late("xpcall(function() while true do end end, function() while true do end end)");
    check_late("while true do pcall(error) end");
    check_late("while true do pcall(string.match, ('a'):upper(), '.-.-.-.-.-b') end");
}

#[test]
fn loops_under_a_clock_that_stands_still() {
    let limits = Limits {
        instructions: 5_000_000,
        ..Limits::default()
    };
    let stopped = run(
        &Runtime::new(limits),
        Arc::new(StoppedClock(NOW)),
        "while true do end",
    );
    assert_eq!(
        stopped,
        Err("line 1: ran more than 5000000 instructions".to_owned())
    );
}

#[test]
fn endless_searches() {
    let long = "local s = 'a' for i = 1, 13 do s = s .. s end ";
    check_late(&format!("{long} return string.find(s, '.-.-.-.-.-.-.-b')"));
    check_late(&format!(
        "{long} return string.match(s, '(.*)(.*)(.*)(.*)(.*)b')"
    ));
    check_late(&format!(
        "{long} for _ in string.gmatch(s, '.*.*.*.*b') do end"
    ));
}

#[test]
fn memory() {
    let runtime = Runtime::new(Limits {
        memory: 8 << 20,
        ..Limits::default()
    });
    for body in [
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "local t = {} for i = 1, 1e9 do t[#t + 1] = {i} end",
        "local t = {} for i = 1, 1e9 do t['k' .. i] = i end",
        "local s = 'x' for i = 1, 25 do s = s .. s end return table.concat({s, s, s})",
    ] {
        let printed = run(&runtime, Arc::new(StoppedClock(NOW)), body);
        assert_eq!(
            printed.as_ref().map_err(String::as_str),
            Err("used more than 8 MiB of memory"),
            "{body}"
        );
    }
}

#[test]
fn memory_is_given_back() {
    let runtime = Runtime::new(Limits::default());
    for _ in 0..20 {
        let failed = run(
            &runtime,
            Arc::new(StoppedClock(NOW)),
            "local s = 'x' while true do s = s .. s end",
        );
        assert!(failed.is_err());
    }
    let idle = runtime.idle.lock().unwrap();
    let used: usize = idle.iter().map(|vm| vm.lua.used_memory()).sum();
    assert!(
        idle.len() <= MAX_IDLE && used < 20 << 20,
        "{} states, {used} bytes",
        idle.len()
    );
}

#[test]
fn deep_recursion() {
    check(
        "local function f() return 1 + f() end return f()",
        "used more than 64 MiB of memory",
    );
    check(
        "local function f() return (pcall(f)) and f() end return 1 + f()",
        "line 1: took longer than 1000 ms",
    );
    check(
        "local t = {} for i = 1, 1000 do t = {t} end return require('kube').accuratePodRequirements(t)",
        "line 1: accuratePodRequirements: the result is nested deeper than 200 tables",
    );
    let nested = format!("return {}1{}", "(".repeat(1000), ")".repeat(1000));
    check(&nested, "line 1: nested too deeply");
    check(
        "return unpack({}, 1, 1e8)",
        "line 1: too many results to unpack",
    );
}

#[test]
fn long_arguments() {
    let long = "local s = 'x' for i = 1, 20 do s = s .. s end ";
    for call in [
        "s:upper()",
        "string.find(s, 'y')",
        "string.byte(s)",
        "string.format('%s', s)",
        "string.format(s)",
    ] {
        let body = format!("{long} return {call}");
        let failed = run(
            &Runtime::new(Limits::default()),
            Arc::new(StoppedClock(NOW)),
            &body,
        )
        .expect_err(call);
        assert!(
            failed.ends_with("string argument is longer than 1000000 bytes"),
            "{call}: {failed}"
        );
    }
    check(
        "local t = {} for i = 1, 100 do t[i] = '%99s' end return string.format('%9999s', 1)",
        "line 1: invalid format (width or precision too long)",
    );
}

#[test]
fn huge_results() {
    let observed = json!({});
    for (script, problem) in [
        (
            "local t = {1} for i = 1, 40 do t = {t, t} end return {t = t}",
            "the result is larger than 16 MiB",
        ),
        (
            "local t = {} t.t = t return t",
            "the result contains a recursively nested table",
        ),
        ("return {t = 0/0}", "NaN cannot be part of a result"),
        (
            "return {t = math.huge * 10}",
            "inf cannot be part of a result",
        ),
        (
            "return {t = print}",
            "a function cannot be part of a result",
        ),
    ] {
        let script = format!("function ReflectStatus(o) {script} end");
        let answer = ask(
            false,
            &script,
            &Question::Status {
                observed: &observed,
            },
        );
        assert_eq!(answer, Err(format!("ReflectStatus: {problem}")));
    }
}

#[test]
fn error_objects() {
    check("error(setmetatable)", "line 1: error object is a function");
    check("error({toString = 1})", "line 1: error object is a table");
    check("error(string)", "line 1: error object is a table");
    check("error(('x'):upper(), 2)", "line 1: X");
}

#[test]
fn metatables_are_out_of_reach() {
    check(
        "return getmetatable('').__index",
        "line 1: getmetatable is not supported",
    );
    check("string.upper = print", "line 1: libraries are read-only");
    check("_G.string.upper = print", "line 1: libraries are read-only");
    check(
        "require('kube').resourceAdd = print",
        "line 1: libraries are read-only",
    );
    check("package.loaded.kube = 1", "line 1: libraries are read-only");
    check(
        "return ('x').y.z",
        "line 1: attempt to index field 'y' (a nil value)",
    );
}

#[test]
fn globals_do_not_leak() {
    let runtime = Runtime::new(Limits::default());
    let clock = || Arc::new(StoppedClock(NOW));
    let first = "leaked = 1 type = nil error = 'x' _G.tostring2 = 1 print = nil return 1";
    assert_eq!(run(&runtime, clock(), first).as_deref(), Ok("1"));
    assert_eq!(
        run(
            &runtime,
            clock(),
            "return leaked, tostring2, type(type), type(error)"
        )
        .as_deref(),
        Ok("nil nil function function")
    );
    let script = "function InterpretHealth(o) count = (count or 0) + 1 return count == 1 end";
    for _ in 0..3 {
        let answer = ask_with(
            &runtime,
            clock(),
            true,
            script,
            &Question::Health {
                observed: &json!({}),
            },
        );
        assert_eq!(answer, Ok(Answer::Health(true)));
    }
}

#[test]
fn scripts_run_in_many_threads() {
    let runtime = Runtime::new(Limits::default());
    std::thread::scope(|scope| {
        for number in 0..8 {
            let runtime = &runtime;
            scope.spawn(move || {
                for _ in 0..20 {
                    let printed = run(
                        runtime,
                        Arc::new(StoppedClock(NOW)),
                        &format!("x = {number} return x"),
                    );
                    assert_eq!(printed, Ok(number.to_string()));
                }
            });
        }
    });
    assert!(runtime.idle.lock().unwrap().len() <= MAX_IDLE);
}
