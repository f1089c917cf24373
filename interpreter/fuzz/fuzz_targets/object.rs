//! Any JSON as an object: every operation answers or fails.

#![no_main]

#[path = "../harness/object.rs"]
mod object;

libfuzzer_sys::fuzz_target!(|data: &[u8]| { object::run(data) });
