use proptest::prelude::*;
use serde_json::{Value, json};

use super::{print, read};

#[track_caller]
fn check_read(text: &str, expected: &Value) {
    assert_eq!(&read(text).unwrap(), expected, "{text}");
}

#[test]
fn scalars_are_read_as_yaml_1_1() {
    check_read("", &json!(null));
    check_read(
        "a: yes\nb: off\nc: y\nd: True",
        &json!({"a": true, "b": false, "c": true, "d": true}),
    );
    check_read(
        "a: 0777\nb: 0x1F\nc: 0b11\nd: 1_000\ne: -5\nf: +5",
        &json!({"a": 511, "b": 31, "c": 3, "d": 1000, "e": -5, "f": 5}),
    );
    check_read(
        "a: 1.5\nb: 1e3\nc: .5\nd: 1.",
        &json!({"a": 1.5, "b": 1000.0, "c": 0.5, "d": 1.0}),
    );
    check_read(
        "a: ~\nb:\nc: null\nd: ''",
        &json!({"a": null, "b": null, "c": null, "d": ""}),
    );
    check_read(
        "a: 2001-01-01\nb: 12:30:45\nc: 1.2.3\nd: 0x",
        &json!({"a": "2001-01-01", "b": "12:30:45", "c": "1.2.3", "d": "0x"}),
    );
    check_read("on: 1\n2: b", &json!({"true": 1, "2": "b"}));
    check_read(
        "a: 'yes'\nb: \"1\"\nc: !!str 1\nd: !!int \"3\"",
        &json!({"a": "yes", "b": "1", "c": "1", "d": 3}),
    );
    check_read(
        "a: |\n  x\n  y\nb: >-\n  x\n  y",
        &json!({"a": "x\ny\n", "b": "x y"}),
    );
    check_read("first: 1\n---\nsecond: 2", &json!({"first": 1}));
}

#[test]
fn anchors_and_merges() {
    check_read(
        "a: &x {k: 1}\nb: *x",
        &json!({"a": {"k": 1}, "b": {"k": 1}}),
    );
    check_read(
        "a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3",
        &json!({"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}),
    );
    check_read("<<: [{a: 1}, {a: 2, b: 2}]", &json!({"a": 1, "b": 2}));
    assert!(read("<<: 3").is_err());
}

#[test]
fn unreadable_documents_are_errors() {
    for text in [
        "a: [",
        "a:\n\tb: 1",
        "a: b: c",
        "? [a]\n: b",
        "a: .inf",
        "a: !!int x",
        "*nope",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
    let bomb = (0..30).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        format!(
            "{text}a{}: &a{} [*a{n}, *a{n}, *a{n}, *a{n}]\n",
            n + 1,
            n + 1
        )
    });
    assert!(read(&bomb).is_err());
    assert!(read(&"[".repeat(100_000)).is_err());
}

#[test]
fn documents_are_printed_in_block_style() {
    let value = json!({
        "on": true,
        "n": "no",
        "list": [1, [2, 3], {"b": 1, "a": [true]}, [], {}, "x"],
        "empty": "",
        "text": "line one\n  line two\n",
        "strip": "a\nb",
        "keep": "a\n\n",
        "lead": " x\ny\n",
        "colon": "a: b",
        "hash": "a #b",
        "dash": "- a",
        "quote": "it's 'so'",
        "start": "'x",
        "tab": "a\tb",
        "date": "2026-01-01T10:43:59Z",
        "number": "012",
        "time": "12:30",
        "float": 1.5,
        "large": 1_234_567.5,
        "tiny": 0.000_001_5,
        "null": null,
        "item10": 1,
        "item9": 1,
    });
    let expected = "\
colon: 'a: b'
dash: '- a'
date: \"2026-01-01T10:43:59Z\"
empty: \"\"
float: 1.5
hash: 'a #b'
item9: 1
item10: 1
keep: |+
  a

large: 1.2345675e+06
lead: |2
   x
  y
list:
- 1
- - 2
  - 3
- a:
  - true
  b: 1
- []
- {}
- x
\"n\": \"no\"
\"null\": null
number: \"012\"
\"on\": true
quote: it's 'so'
start: '''x'
strip: |-
  a
  b
tab: \"a\\tb\"
text: |
  line one
    line two
time: \"12:30\"
tiny: 1.5e-06
";
    assert_eq!(print(&value), expected);
    assert_eq!(read(expected).unwrap(), value);
}

#[test]
fn roots_other_than_maps() {
    for (value, text) in [
        (json!([]), "[]\n"),
        (json!({}), "{}\n"),
        (json!("a"), "a\n"),
        (json!(null), "null\n"),
        (json!(["a", {"b": 1}]), "- a\n- b: 1\n"),
        (json!("a\nb\n"), "|\n  a\n  b\n"),
    ] {
        assert_eq!(print(&value), text);
    }
}

#[test]
fn long_texts_are_folded_at_spaces() {
    let words = vec!["word"; 30].join(" ");
    let printed = print(&json!({"plain": words, "single": format!("{words}: x")}));
    assert_eq!(
        printed,
        "\
plain: word word word word word word word word word word word word word word word
  word word word word word word word word word word word word word word word
single: 'word word word word word word word word word word word word word word word
  word word word word word word word word word word word word word word word: x'
"
    );
    assert_eq!(read(&printed).unwrap()["plain"], words);
}

fn documents() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| if number.is_finite() {
            Value::from(number)
        } else {
            Value::Null
        }),
        any::<String>().prop_map(Value::from),
        "[ \\-:#\n\ta0'\"yno.]{0,12}".prop_map(Value::from),
        "([a-z]{1,12} {1,2}){0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[ -~\n]{0,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Numbers that YAML cannot tell apart: an integral float reads back as an integer.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && same(a, b))
        }
        _ => left == right,
    }
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(value in documents()) {
        let text = print(&value);
        let back = read(&text).unwrap();
        prop_assert!(same(&back, &value), "{text:?}\n{back}\n{value}");
    }

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = read(&text);
    }
}
