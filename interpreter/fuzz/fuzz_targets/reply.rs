//! Any bytes as a webhook's reply: it is an answer or an error.

#![no_main]

#[path = "../harness/reply.rs"]
mod reply;

libfuzzer_sys::fuzz_target!(|data: &[u8]| { reply::run(data) });
