//! Any text as a script: it is refused, fails, or answers, within its limits.

#![no_main]

#[path = "../harness/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|source: &str| { script::run(source) });
