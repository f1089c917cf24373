//! Each script is stopped within its limit with a clear error, and leaves nothing behind.

use std::time::Instant;

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
pub(super) fn check(body: &str, expected: &str) {
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

/// The clock of the machine.
#[derive(Debug)]
pub(super) struct RealClock(pub(super) Instant);

impl Clock for RealClock {
    fn unix_seconds(&self) -> i64 {
        NOW
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What the host and the engine do between two steps of the script counts.
#[test]
fn the_deadline_holds_for_what_the_host_does() {
    let long =
        |doublings: u32| format!("local s = 'abcdefg ' for i = 1, {doublings} do s = s .. s end ");
    let pod = "local c = {} for i = 1, 2000 do c[i] = {name = 'c' .. i, resources = {requests = {cpu = '1'}}} end \
               local t = {spec = {containers = c}} ";
    for body in [
        format!("{pod} while true do require('kube').accuratePodRequirements(t) end"),
        format!("{pod} while true do require('kube').getPodDependencies(t, 'demo') end"),
        format!(
            "{} while true do pcall(require('kube').resourceAdd, s) end",
            long(16)
        ),
        format!("{} while true do local u = s:upper() end", long(16)),
        format!("{} while true do local u = s:lower() end", long(16)),
        format!("{} while true do local u = s .. s end", long(20)),
        format!(
            "{} while true do local u = table.concat({{s, s}}) end",
            long(20)
        ),
        format!(
            "{} while true do string.find(s, 'fghi', 1, true) end",
            long(16)
        ),
        format!("{} while true do string.find(s, 'zzzz') end", long(16)),
        format!(
            "{} local p = s .. 'x' while true do string.find(s .. s, p, 1, true) end",
            long(15)
        ),
        format!("{} while true do string.match(s, '^.*z') end", long(16)),
        format!("{} while true do string.match(s, '^%ba(') end", long(16)),
        format!(
            "{} while true do local u = string.format('%s%s%s%s', s, s, s, s) end",
            long(16)
        ),
        format!("{} while true do local u = tonumber(s) end", long(16)),
    ] {
        let runtime = Runtime::new(Limits {
            deadline: Duration::from_millis(300),
            ..Limits::default()
        });
        let mut took = Vec::new();
        // A busy machine can take time away from any one run.
        while took.len() < 5 && took.iter().all(|took| *took > Duration::from_millis(800)) {
            let begun = Instant::now();
            let stopped = run(&runtime, Arc::new(RealClock(begun)), &body);
            took.push(begun.elapsed());
            let problem = stopped.expect_err(&body);
            assert!(
                problem.starts_with("line 1: ")
                    && (problem.ends_with("took longer than 300 ms")
                        || problem.contains("ran more than")),
                "{body}: {problem}"
            );
        }
        let best = took.iter().min();
        assert!(best < Some(&Duration::from_millis(800)), "{body}: {took:?}");
    }
}

#[test]
fn searches_for_plain_text_take_linear_time() {
    let runtime = Runtime::new(Limits::default());
    let begun = Instant::now();
    let body = "local s = 'aaaaaaaa' for i = 1, 15 do s = s .. s end \
                return string.find(s .. s, s .. 'b' .. s, 1, true)";
    let found = run(&runtime, Arc::new(RealClock(begun)), body);
    assert_eq!(found.as_deref(), Ok("nil"));
    // Comparing at every place would take minutes.
    assert!(begun.elapsed() < Duration::from_secs(5));
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
            Err("line 1: used more than 8 MiB of memory"),
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
            "the result takes more than 32 MiB; a table that stands in it several times counts each time",
        ),
        (
            "local t = {} t.t = t return t",
            "the result contains a recursively nested table",
        ),
        ("return {t = 0/0}", "t: NaN cannot be part of a result"),
        (
            "return {t = math.huge * 10}",
            "t: inf cannot be part of a result",
        ),
        (
            "return {t = print}",
            "t: a function cannot be part of a result",
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
        assert_eq!(answer, Err(format!("line 1: ReflectStatus: {problem}")));
    }
}

/// A small table that describes a huge tree costs what the tree does.
#[test]
fn results_are_read_within_the_limits_of_the_run() {
    let observed = json!({});
    let ask_for = |doublings: u32, limits: Limits, clock: Arc<dyn Clock>| {
        let script = format!(
            "\nfunction ReflectStatus(o) local t = {{1}} for i = 1, {doublings} do t = {{t, t}} end return {{t = t}} end"
        );
        let question = Question::Status {
            observed: &observed,
        };
        ask_with(&Runtime::new(limits), clock, false, &script, &question)
    };
    let late = ask_for(16, Limits::default(), Arc::new(TickingClock::default()));
    assert_eq!(late, Err(format!("line 2: {LATE}")));
    let few_steps = Limits {
        instructions: 100_000,
        ..Limits::default()
    };
    let stopped = ask_for(16, few_steps, Arc::new(StoppedClock(NOW)));
    assert_eq!(
        stopped,
        Err("line 2: ran more than 100000 instructions".to_owned())
    );
    let begun = Instant::now();
    let real = ask_for(25, Limits::default(), Arc::new(RealClock(begun)));
    assert!(real.is_err(), "{real:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn what_the_host_copies_is_bounded() {
    check(
        "local s = 'x' for i = 1, 19 do s = s .. s end local t = {} for i = 1, 200 do t[i] = s end \
         return string.format('%s', unpack(t))",
        "line 1: the arguments of format have more than 8388608 bytes",
    );
    let long = run(
        &Runtime::new(Limits::default()),
        Arc::new(StoppedClock(NOW)),
        "local s = 'x' for i = 1, 20 do s = s .. s end error(s)",
    );
    assert!(long.expect_err("it fails").len() < 3_000);
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

#[test]
fn scripts_stay_loaded_whatever_is_checked() {
    let runtime = Runtime::new(Limits::default());
    let clock: Arc<dyn Clock> = Arc::new(StoppedClock(NOW));
    let context = Context {
        options: Options::default(),
        clock: &clock,
        print: None,
        customization: "",
    };
    let object = json!({});
    let scripts: Vec<_> = (0..200)
        .map(|number| {
            let source = format!("function InterpretHealth(o) return {number} > 0 end");
            Arc::new(Script::parse(&source).unwrap())
        })
        .collect();
    for script in &scripts {
        let question = Question::Health { observed: &object };
        runtime.ask(script, &question, &context).unwrap();
    }
    let loaded = || runtime.idle.lock().unwrap()[0].loaded_scripts();
    assert_eq!(loaded(), 200);
    runtime
        .compile("function InterpretHealth(o) return true end")
        .unwrap();
    assert_eq!(loaded(), 200);
    // What does not fit goes, the longest unused first.
    let long = format!(
        "--{}\nfunction InterpretHealth(o) return true end",
        "x".repeat(3 << 20)
    );
    for _ in 0..2 {
        let script = Arc::new(Script::parse(&long).unwrap());
        let question = Question::Health { observed: &object };
        runtime.ask(&script, &question, &context).unwrap();
    }
    assert_eq!(loaded(), 1);
}
