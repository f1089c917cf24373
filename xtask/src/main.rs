//! Automation of this repository: `cargo xtask tidy` checks what the compiler cannot.

mod tidy;

use std::path::Path;

fn main() -> anyhow::Result<()> {
    let task = std::env::args().nth(1);
    match task.as_deref() {
        Some("tidy") => tidy::check(root()),
        _ => anyhow::bail!("unknown task; there is: tidy"),
    }
}

/// The folder with the workspace's `Cargo.toml`.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}
