//! Calls with many results or any arguments, deep ones, and what protected ones cannot catch.

use std::time::Instant;

use super::adversarial::{RealClock, check};
use super::*;

#[test]
fn many_results() {
    let list = |length: u32| format!("local t = {{}} for i = 1, {length} do t[i] = i end ");
    for length in [17, 30, 300, 3_000] {
        let list = list(length);
        for call in [
            "pcall(unpack, t)",
            "xpcall(function() return unpack(t) end, error)",
        ] {
            let count = run(
                &Runtime::new(Limits::default()),
                Arc::new(StoppedClock(NOW)),
                &format!("{list} return select('#', {call}), (select(-1, {call}))"),
            );
            assert_eq!(count, Ok(format!("{} {length}", length + 1)), "{call}");
        }
        let script = format!("function GetReplicas(o) {list} return unpack(t, 3) end");
        let object = json!({});
        let answer = ask(false, &script, &Question::Replicas { object: &object });
        let problem =
            "line 1: GetReplicas: expected a table or nil as requirements, found a number";
        assert_eq!(answer, Err(problem.to_owned()));
    }
}

/// No library function ends the process, whatever it is called with.
#[test]
fn any_arguments() {
    const NAMES: &[&str] = &[
        "assert",
        "error",
        "ipairs",
        "next",
        "pairs",
        "pcall",
        "print",
        "require",
        "select",
        "tonumber",
        "tostring",
        "type",
        "unpack",
        "xpcall",
        "string.byte",
        "string.char",
        "string.find",
        "string.format",
        "string.gmatch",
        "string.len",
        "string.lower",
        "string.match",
        "string.reverse",
        "string.sub",
        "string.upper",
        "table.concat",
        "table.getn",
        "table.insert",
        "table.maxn",
        "table.remove",
        "table.sort",
        "math.abs",
        "math.floor",
        "math.fmod",
        "math.frexp",
        "math.ldexp",
        "math.max",
        "math.modf",
        "math.pow",
        "math.random",
        "math.randomseed",
        "os.date",
        "os.time",
        "kube.resourceAdd",
        "kube.getResourceQuantity",
        "kube.accuratePodRequirements",
        "kube.getPodDependencies",
    ];
    // Time for a busy machine.
    let runtime = Runtime::new(Limits {
        deadline: Duration::from_secs(20),
        ..Limits::default()
    });
    for name in NAMES {
        let body = format!(
            "local kube, f = require('kube')
            local long = {{}} for i = 1, 1000 do long[i] = 'x' end
            local deep = {{}} for i = 1, 300 do deep = {{deep}} end
            local cycle = {{}} cycle[1] = cycle
            local values = {{0, -1, 2.5, 2^31, -2^63, 1e308, 0/0, 1/0, true, '', 'x', '%', '%s', '(()', '[a', '1Gi', {{}},
                {{1, 2, 3}}, {{spec = {{containers = {{{{}}}}}}}}, deep, cycle, print, function() return unpack(long) end}}
            local function call(...) return (pcall({name}, ...)) end
            call()
            call(unpack(long))
            for i = 0, #values do
                call(values[i])
                call(values[i], unpack(long))
                for j = 0, #values do
                    call(values[i], values[j])
                    call('x', values[i], values[j])
                    call({{1, 2}}, values[i], values[j])
                end
            end
            return 'done'"
        );
        let printed = run(&runtime, Arc::new(RealClock(Instant::now())), &body);
        assert_eq!(printed.as_deref(), Ok("done"), "{name}");
    }
}

#[test]
fn deep_recursion() {
    let still = |body: &str| {
        run(
            &Runtime::new(Limits::default()),
            Arc::new(StoppedClock(NOW)),
            body,
        )
    };
    let count = "local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end return ";
    assert_eq!(still(&format!("{count} f(250)")).as_deref(), Ok("250"));
    let endless = format!("{count} f(-1)");
    let overflow = library::OVERFLOW;
    assert_eq!(still(&endless), Err(format!("line 1: {overflow}")));
    assert_eq!(
        still(&format!("{count} pcall(f, -1)")),
        Ok(format!("false script:1: {overflow}"))
    );
    // Protected calls nest in the host's stack, which ends earlier.
    assert_eq!(
        still("local n = 0 local function f() n = n + 1 return pcall(f) end f() return n > 128")
            .as_deref(),
        Ok("true")
    );
    assert_eq!(
        still("local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()"),
        Err(format!("line 1: {overflow}"))
    );
    assert_eq!(
        still("local function f() return xpcall(f, error) end return (f())").as_deref(),
        Ok("true")
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
fn memory_that_is_used_up_cannot_be_caught() {
    let runtime = Runtime::new(Limits {
        memory: 8 << 20,
        ..Limits::default()
    });
    let grow = "function() local s = 'x' while true do s = s .. s end end";
    for body in [
        format!("pcall({grow}) return 'on'"),
        format!("while true do pcall({grow}) end"),
        format!("xpcall({grow}, function() return 'on' end) return 'on'"),
        "local s = 'x' for i = 1, 19 do s = s .. s end local t = {} \
         while true do pcall(function() t[#t + 1] = (s .. #t):upper() end) end"
            .to_owned(),
    ] {
        let printed = run(&runtime, Arc::new(StoppedClock(NOW)), &body);
        assert_eq!(
            printed.as_ref().map_err(String::as_str),
            Err("line 1: used more than 8 MiB of memory"),
            "{body}"
        );
    }
}
