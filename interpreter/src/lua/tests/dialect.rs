use super::*;

#[track_caller]
fn check(body: &str, expected: &str) {
    let printed = run(
        &Runtime::new(Limits::default()),
        Arc::new(StoppedClock(NOW)),
        body,
    );
    assert_eq!(printed.as_deref(), Ok(expected), "{body}");
}

#[track_caller]
fn check_error(body: &str, expected: &str) {
    let printed = run(
        &Runtime::new(Limits::default()),
        Arc::new(StoppedClock(NOW)),
        body,
    );
    assert_eq!(
        printed.as_ref().map_err(String::as_str),
        Err(expected),
        "{body}"
    );
}

#[test]
fn numbers() {
    check(
        "return 1/3, 1e15, 5.0, 7/2, 2^10, 5 % 3, -5 % 3, 1e18, 1e20",
        "0.3333333333333333 1000000000000000 5 3.5 1024 2 1 1000000000000000000 1e+20",
    );
    check(
        "return 'a' .. 1e15 .. 'b' .. 0.1 .. 'c' .. 5.0 .. -0.0, 1 .. 2",
        "a1000000000000000b0.1c50 12",
    );
    check(
        "return '2' + 3, math.max('1', '2'), '10' * 2, -'2'",
        "5 2 20 -2",
    );
    check(
        "return tonumber('1e3'), tonumber(' 10 '), tonumber('0x10'), tonumber('z', 36), tonumber(nil), tonumber({})",
        "nil 10 16 35 nil nil",
    );
    check(
        "return math.huge, math.floor('3.7'), math.mod(7, 3), math.pow(2, 3), math.log10(100), math.ldexp(1, 3)",
        "1.7976931348623157e+308 3 1 8 2 8",
    );
    check("return 1 == 1.0, '1' == 1, 10 == 1e1", "true false true");
    check(
        "return math.random() == math.random(), math.random(3) <= 3, math.random(5, 5)",
        "false true 5",
    );
    check_error(
        "return 1 < '2'",
        "line 1: attempt to compare number with string",
    );
    check_error(
        "return 'abc' + 1",
        "line 1: attempt to perform arithmetic on a string value",
    );
    check_error(
        "return nil .. 'x'",
        "line 1: attempt to concatenate a nil value",
    );
    check_error(
        "local x\nreturn x.y",
        "line 2: attempt to index local 'x' (a nil value)",
    );
    check_error(
        "local x\nx.y = 1",
        "line 2: attempt to index a non-table object(nil) with key 'y'",
    );
    check_error(
        "undefined()",
        "line 1: attempt to call global 'undefined' (a nil value)",
    );
    check_error("local t = {} t[nil] = 1", "line 1: table index is nil");
}

#[test]
fn old_globals() {
    check("return unpack({1, 2, 3})", "1 2 3");
    check(
        "return table.getn({1, 2}), table.maxn({1, [10] = 2}), _VERSION",
        "2 10 Lua 5.1",
    );
    check(
        "local out = '' for w in string.gfind('one two', '%a+') do out = out .. w .. ';' end return out",
        "one;two;",
    );
    check(
        "local f = function(...) return arg.n, arg[2] end return f('a', 'b')",
        "2 b",
    );
    check(
        "local i = 1 ::top:: if i < 3 then i = i + 1 goto top end return i",
        "3",
    );
    check(
        "local out = '' for i = 1, 3 do if i == 2 then goto continue end out = out .. i ::continue:: end return out",
        "13",
    );
    check(
        "return select('#', nil, nil), select(2, 'a', 'b', 'c')",
        "2 b c",
    );
    check(
        "return type(nil), type(1), type('x'), type({}), type(print), type(true)",
        "nil number string table function boolean",
    );
}

#[test]
fn pairs_visits_keys_in_the_order_in_which_they_were_set() {
    let walk = |setup: &str| {
        format!(
            "{setup} local out = '' for k, v in pairs(t) do out = out .. k .. '=' .. tostring(v) .. ' ' end return out"
        )
    };
    check(
        &walk("local t = {} t.z = 1 t.a = 2 t.m = 3"),
        "z=1 a=2 m=3 ",
    );
    check(
        &walk("local t = {z = 1, a = 2, 'x', [\"m\"] = 3}"),
        "1=x z=1 a=2 m=3 ",
    );
    check(
        &walk("local t = {} t.z = 1 t[1] = 'x' t.b = 3 t.a = nil t.z = nil t.c = 4 t.z = 5"),
        "1=x z=5 b=3 c=4 ",
    );
    check(
        &walk("local t = {} local k = 'q' t[k .. 1] = 1 t[k] = 2 t.a = 3"),
        "q1=1 q=2 a=3 ",
    );
    check(
        "local out = '' for k in pairs({b = 1, a = {d = 1, c = 2}}) do out = out .. k end return out",
        "ba",
    );
    check(
        "local t = {z = 1, a = 2} local k, out = nil, '' repeat k = next(t, k) out = out .. tostring(k) until k == nil return out",
        "zanil",
    );
    check(
        "local out = '' for k in next, {z = 1, a = 2} do out = out .. k end return out",
        "za",
    );
    check(
        "local t = {z = 1, a = 2, m = 3} for k in pairs(t) do t[k] = nil end return next(t)",
        "nil",
    );
}

#[test]
fn keys_of_objects_come_in_the_order_of_their_names() {
    let object = json!({"spec": {"b": 1, "c": 2, "a": 3}});
    let script = "function ReflectStatus(o) o.spec.A = 4 local out = '' for k in pairs(o.spec) do out = out .. k end return {r = out} end";
    let answer = ask(true, script, &Question::Status { observed: &object });
    assert_eq!(answer, Ok(Answer::Status(Some(json!({"r": "abcA"})))));
}

#[test]
fn strings() {
    check(
        "return ('x'):upper(), ('abc'):len(), #'abc', ('%d'):format(3)",
        "X 3 3 3",
    );
    check(
        "return string.find('hello', 'l'), string.find('abc', ''), string.find('a.c', '.', 1, true)",
        "3 1 2 2",
    );
    check("return string.match('key=val', '(%w+)=(%w+)')", "key val");
    check(
        "return string.match('a.b', '(.+)%.'), string.match('x', 'y')",
        "a nil",
    );
    check(
        "local out = '' for k, v in string.gmatch('a=1, b=2', '(%w+)=(%w+)') do out = out .. k .. v end return out",
        "a1b2",
    );
    check(
        "local n = 0 for _ in string.gmatch('abc', '') do n = n + 1 end return n",
        "4",
    );
    check("return string.byte('abc', 1, -1)", "97 98 99");
    check(
        "return string.char(72, 105), string.sub('hello', -3), string.reverse('abc'), string.lower('ÄÖ')",
        "Hi llo cba äö",
    );
    check(
        "return string.format('%5.2f|%d|%s|%q|%x', 1.5, 3.7, nil, 'a\"', 255)",
        " 1.50|3|nil|\"a\\\"\"|ff",
    );
    check("return \"\\q\\065\\n\" == 'qA' .. string.char(10)", "true");
    check_error("return ('x'):rep(3)", "line 1: string.rep is not supported");
    check_error(
        "return string.gsub('a', 'b', 'c')",
        "line 1: string.gsub is not supported",
    );
    check_error(
        "return string.match('a', '[')",
        "line 1: malformed pattern (missing ']')",
    );
    for pattern in ["a)", "b)"] {
        check_error(
            &format!("return string.find('a', '{pattern}')"),
            "line 1: invalid pattern capture",
        );
    }
    check(
        "return string.find('a)', 'a)', 1, true), string.find('a)', 'a%)')",
        "1 1 2",
    );
    check_error(
        "return string.upper({})",
        "line 1: bad argument #1 (string expected, got table)",
    );
}

#[test]
fn tables() {
    check(
        "local t = {1, 2} table.insert(t, 3) table.insert(t, 1, 0) return table.concat(t, ',')",
        "0,1,2,3",
    );
    check(
        "local t = {1, 2, 3} return table.remove(t), table.remove(t, 1), table.remove({}), #t",
        "3 1 nil 1",
    );
    check(
        "local t = {5, 3, 1, 4} table.sort(t) return table.concat(t, ',')",
        "1,3,4,5",
    );
    check(
        "local t = {'b', 'a', 'c'} table.sort(t, function(a, b) return a > b end) return table.concat(t)",
        "cba",
    );
    check(
        "return table.concat({1, 2.5, 'x', 1e15}, ','), table.concat({1, 2, 3}, ',', 2, 3), table.concat({})",
        "1,2.5,x,1000000000000000 2,3 ",
    );
    check("return #{1, 2, nil, 4}, #{nil, 2}", "4 2");
    check_error(
        "return table.concat({1, {}})",
        "line 1: invalid value (table) at index 2 in table for concat",
    );
    check_error(
        "local t = {1, 'a'} table.sort(t)",
        "line 1: attempt to compare string with number",
    );
}

#[test]
fn errors_can_be_caught() {
    check("return pcall(error, 'm')", "false m");
    check(
        "return pcall(function() error('m') end)",
        "false script:1: m",
    );
    check("return pcall(function() error('m', 0) end)", "false m");
    check(
        "return pcall(function() local x = string.rep() end)",
        "false script:1: string.rep is not supported",
    );
    check(
        "return pcall(function() return string.match('a', '[') end)",
        "false script:1: malformed pattern (missing ']')",
    );
    check(
        "return pcall(function() error({}) end)",
        "false table: 0x000000",
    );
    check(
        "return xpcall(function() error('a', 0) end, function(e) return 'H:' .. e end)",
        "false H:a",
    );
    check(
        "return pcall(function(...) return ... end, 1, nil, 3)",
        "true 1 nil 3",
    );
    check(
        "return xpcall(function() error('a', 0) end, function(e) error('H:' .. e, 0) end)",
        "false H:a",
    );
    check(
        "return xpcall(function() error('a', 0) end, function(e) return 1, 2 end)",
        "false 1",
    );
    check(
        "return xpcall(function() return 1, 2 end, error)",
        "true 1 2",
    );
    check_error("error('m')", "line 1: m");
    check_error("error({code = 1})", "line 1: error object is a table");
    check_error("error()", "line 1: nil");
    check_error("assert(false)", "line 1: assertion failed!");
    check_error("assert(nil, 'why')", "line 1: why");
}

#[test]
fn time() {
    check(
        "return os.time(), os.date('!%Y-%m-%dT%H:%M:%SZ')",
        "1767264239 2026-01-01T10:43:59Z",
    );
    check(
        "return os.time{year=2024, month=1, day=2}, os.time{year=2024, month=1, day=2, hour=0}",
        "1704196800 1704153600",
    );
    check(
        "local t = os.date('*t', 0) return t.year, t.month, t.wday, t.isdst",
        "1970 1 5 false",
    );
    check(
        "return os.date('%a %A', 0), os.date('!%F', 86400)",
        "Thu Thursday 1970-01-02",
    );
}

#[test]
fn libraries() {
    check(
        "return require('kube') ~= nil, require('string').len('ab'), package.loaded ~= nil",
        "true 2 true",
    );
    check(
        "return io, debug, coroutine, os.execute, os.getenv, _ENV == _G",
        "nil nil nil nil nil true",
    );
    check_error("require('io')", "line 1: module io not found");
    for name in [
        "setmetatable",
        "getmetatable",
        "rawget",
        "rawset",
        "rawequal",
        "loadstring",
        "load",
        "dofile",
        "collectgarbage",
        "getfenv",
        "newproxy",
    ] {
        check_error(
            &format!("{name}()"),
            &format!("line 1: {name} is not supported"),
        );
    }
    check_error("string.len = nil", "line 1: libraries are read-only");
    check(
        "local out = 0 for k in pairs(string) do out = out + 1 end return out > 10",
        "true",
    );
}

#[test]
fn quantities() {
    let kube = "local kube = require('kube') return ";
    check(
        &format!(
            "{kube} kube.resourceAdd('1Gi', '512Mi'), kube.resourceAdd('100m', '1'), kube.resourceAdd(), kube.resourceAdd(nil, '2')"
        ),
        "1536Mi 1100m 0 2",
    );
    check(
        &format!(
            "{kube} kube.getResourceQuantity('100m'), kube.getResourceQuantity('1Ki'), kube.getResourceQuantity(nil)"
        ),
        "0.1 1024 0",
    );
    check_error(
        &format!("{kube} kube.resourceAdd(1)"),
        "line 1: resourceAdd: expected a string, found a number",
    );
    check_error(
        &format!("{kube} kube.resourceAdd('x')"),
        "line 1: resourceAdd: `x` is no quantity",
    );
    check_error(
        &format!("{kube} kube.getResourceQuantity('-1')"),
        "line 1: getResourceQuantity: the quantity is negative",
    );
    check_error(
        &format!("{kube} kube.getResourceQuantity()"),
        "line 1: getResourceQuantity takes one argument",
    );
}

#[test]
fn pods() {
    let kube = "local kube = require('kube') ";
    let template =
        "{spec = {containers = {{resources = {requests = {cpu = '100m'}}}}, nodeSelector = {}}}";
    check(
        &format!(
            "{kube} local r = kube.accuratePodRequirements({template}) return r.resourceRequest.cpu, r.nodeClaim"
        ),
        "100m nil",
    );
    check(
        &format!("{kube} return kube.accuratePodRequirements({{}})"),
        "nil",
    );
    let volumes = "{spec = {volumes = {{configMap = {name = 'c'}}}}}";
    check(
        &format!(
            "{kube} local d = kube.getPodDependencies({volumes}, 'ns') return #d, d[1].kind, d[1].namespace, d[1].name"
        ),
        "1 ConfigMap ns c",
    );
    check(
        &format!("{kube} return kube.getPodDependencies({volumes}, 5)[1].namespace"),
        "5",
    );
    check(
        &format!("{kube} return kube.getPodDependencies({volumes}, nil)[1].namespace"),
        "nil",
    );
    check(
        &format!("{kube} return kube.getPodDependencies({{}}, 'ns')"),
        "nil",
    );
    check_error(
        &format!("{kube} kube.accuratePodRequirements(nil)"),
        "line 1: accuratePodRequirements: expected a table, found nil",
    );
    check_error(
        &format!("{kube} kube.accuratePodRequirements({{spec = {{containers = 1}}}})"),
        "line 1: accuratePodRequirements: spec.containers: expected a list, found a number",
    );
}
