//! The translation of single constructs.

use crate::lua::dialect::translate;

/// The body of the translation, without the frame around it.
#[track_caller]
fn check(source: &str, expected: &str) {
    let translated = translate(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let body = translated
        .text
        .split_once("(function(...) ")
        .and_then(|(_, rest)| rest.strip_suffix("\nend)()"));
    assert_eq!(body, Some(expected), "{source}");
}

#[track_caller]
fn check_error(source: &str, expected: &str) {
    let error = translate(source).map(|it| it.text).expect_err(source);
    assert_eq!(error.to_string(), expected, "{source}");
}

#[test]
fn concatenations_print_numbers() {
    check("x = a .. 'b'", "x = _T0(a) .. 'b'");
    check(
        "x = 'a' .. b.c .. f() .. [[d]]",
        "x = 'a' .. _T0(b.c) .. _T0(f()) .. [[d]]",
    );
    check("x = a + 1 .. -b", "x = _T0(a + 1) .. _T0(-b)");
    check("x = (a .. b) == c", "x = (_T0(a) .. _T0(b)) == c");
    check("x = a .. (b .. 1)", "x = _T0(a) .. _T0((_T0(b) .. _T0(1)))");
    check("local _T0 = a .. 'b'", "local _T0 = _T1(a) .. 'b'");
}

#[test]
fn assignments_note_their_key() {
    check("a.b = 1", "_S0(a,\"b\" , 1)");
    check("a.b.c = 1", "_S0(a.b,\"c\" , 1)");
    check("a[ i ] = f()\ng()", "_S0(a, i  , f())\ng()");
    check("f(x).y\n.z = 1", "_S0(f(x).y\n,\"z\" , 1)");
    check("a.b, c = 1, 2", "a.b, c = 1, 2");
    check("a.b = c .. d", "_S0(a,\"b\" , _T0(c) .. _T0(d))");
    check("a[b .. c] = d", "_S0(a,_T0(b) .. _T0(c) , d)");
}

#[test]
fn constructors_note_their_keys() {
    check("x = {a = 1}", "x = {a = 1}");
    check(
        "x = {b = 1, a = 2, 3}",
        "x = _N0({b = 1, a = 2, 3},\"b\",\"a\")",
    );
    check(
        "f{['b'] = 1; a = {}}",
        "f(_N0({['b'] = 1; a = {}},'b',\"a\"))",
    );
    check(
        "x = {a = {b = 1, c = 2}, d = 1}",
        "x = _N0({a = _N0({b = 1, c = 2},\"b\",\"c\"), d = 1},\"a\",\"d\")",
    );
    check("x = {[k] = 1, a = b == c}", "x = {[k] = 1, a = b == c}");
}

#[test]
fn unknown_escapes_lose_their_backslash() {
    check(r#"x = "\q\n\x41\065\\" "#, r#"x = "q\nx41\065\\" "#);
    check(r#"x = {["\."] = 1, a = 1}"#, r#"x = {["."] = 1, a = 1}"#);
}

#[test]
fn old_variadic_functions_have_arg() {
    check(
        "function f(...) return arg.n end",
        "function f(...) local arg={n=select('#',...),...}  return arg.n end",
    );
    check(
        "function f(...) return ... end",
        "function f(...) return ... end",
    );
    check(
        "function f(arg) return arg end",
        "function f(arg) return arg end",
    );
}

#[test]
fn the_whole_grammar() {
    for source in [
        "",
        ";;",
        "-- comment",
        "--[==[ long\n ]] ]==] return",
        "do local a, b = 1 end",
        "while a do break end repeat local x = 1 until x",
        "if a then elseif b then else end",
        "for i = 1, 2, 3 do end for k, v in pairs(t) do goto next ::next:: end",
        "function a.b.c:d(x, ...) return end",
        "local function f() return function(...) return ... end end",
        "return 1, 2;",
        "f'x' f[[y]] f{} a:b'x'.c = not -#x ^ 2 ^ 3 or 0x1F and .5e-3 < 3. <= 1e+5",
        "x = 'a\\\nb' y = \"\\065\"",
    ] {
        translate(source).unwrap_or_else(|error| panic!("{source}: {error}"));
    }
}

#[test]
fn errors_have_a_line() {
    check_error(
        "\nx = ",
        "line 2: expected an expression, found the end of the script",
    );
    check_error("x = = 1", "line 1: expected an expression, found `=`");
    check_error("f\n", "line 2: expected `=`, found the end of the script");
    check_error("(f)() = 1", "line 1: expected a call, found `=`");
    check_error("a.b, f() = 1", "line 1: expected a variable, found `=`");
    check_error("x = 7 // 2", "line 1: expected an expression, found `/`");
    check_error("x = 1 & 2", "line 1: unexpected character '&'");
    check_error("x = 'abc\n'", "line 1: unfinished string");
    check_error("--[[\n", "line 1: unfinished long comment");
    check_error("x = 0x", "line 1: malformed number near `0x`");
    check_error("x = 3x", "line 1: malformed number near `3x`");
    check_error("x = '\\999'", "line 1: escape \\999 is too large");
    check_error("function f(a,) end", "line 1: expected a name, found `)`");
    check_error(
        "if x then",
        "line 1: expected `end`, found the end of the script",
    );
    check_error("end", "line 1: expected the end of the script, found `end`");
    check_error(
        &format!("x = {}1", "(".repeat(300)),
        "line 1: nested too deeply",
    );
}

#[test]
fn functions_of_the_script() {
    let source = "function A() end B = function() end local function C() end t.D = function() end\n\
        if x then function E() end end local F = function() end function t.G() end";
    let found = translate(source).expect("valid").globals;
    assert!(
        found
            .into_iter()
            .eq([("A", 1), ("B", 1), ("E", 2)].map(|(name, line)| (name.to_owned(), line)))
    );
}

#[test]
fn globals_that_a_script_assigns() {
    for (source, globals) in [
        ("function F() end", &["F"][..]),
        ("F = function() end", &["F"]),
        ("F = other", &["F"]),
        ("if x then F = f else function G() end end", &["F", "G"]),
        ("do local function h() end F, G = h, h end", &["F", "G"]),
        ("_G.F = f", &["F"]),
        ("function a.F() end a.G = f a[1] = f", &[]),
        ("local function F() G = 1 end", &[]),
        ("local f = function() F = 1 end G = f", &["G"]),
    ] {
        let found = translate(source).unwrap().globals;
        assert!(found.keys().eq(globals), "{source}: {found:?}");
    }
}
