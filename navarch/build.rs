//! Links the release program smaller where the linker can.
//!
//! Generic code is compiled once for each type and crate, and much of it comes out the same: a fifth of the program. Pages of the
//! program count as memory of each process that runs it, so equal functions are folded into one. Not every linker can; this one is asked.

use std::{
    env,
    path::PathBuf,
    process::{Command, Stdio},
};

const FOLD: &str = "-Wl,--icf=all";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if is_release && links_with(FOLD).unwrap_or(false) {
        println!("cargo::rustc-link-arg-bins={FOLD}");
    }
}

/// Whether a program can be linked with this argument; `None` if that cannot be tried.
fn links_with(argument: &str) -> Option<bool> {
    let folder = PathBuf::from(env::var_os("OUT_DIR")?);
    let source = folder.join("probe.rs");
    std::fs::write(&source, "fn main() {}\n").ok()?;
    let status = Command::new(env::var_os("RUSTC")?)
        .arg(&source)
        .arg("--target")
        .arg(env::var_os("TARGET")?)
        .arg("-Clink-arg".to_owned() + "=" + argument)
        .arg("-o")
        .arg(folder.join("probe"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    Some(status.ok()?.success())
}
