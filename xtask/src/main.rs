//! Automation of this repository: `cargo xtask tidy` checks what the compiler cannot, `cargo xtask bench` measures the servers.

mod tidy;

use std::{path::Path, process::Command};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("tidy") => tidy::check(root()),
        Some("bench") => bench(&arguments.collect::<Vec<_>>()),
        _ => anyhow::bail!("unknown task; there are: tidy, bench"),
    }
}

/// Builds the release binaries, and runs the benchmark on the server that lies beside it.
fn bench(arguments: &[String]) -> anyhow::Result<()> {
    let cargo = |arguments: &[&str]| {
        let status = Command::new(env!("CARGO"))
            .args(arguments)
            .current_dir(root())
            .status()?;
        anyhow::ensure!(status.success(), "cargo {} failed", arguments.join(" "));
        Ok(())
    };
    cargo(&["build", "--release", "-p", "navarch", "-p", "navarch-bench"])?;
    let mut run = vec!["run", "--quiet", "--release", "-p", "navarch-bench", "--"];
    run.extend(arguments.iter().map(String::as_str));
    cargo(&run)
}

/// The folder with the workspace's `Cargo.toml`.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap_or(Path::new("."))
}
