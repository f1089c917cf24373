//! The one binary: `navarch serve` runs the server roles, everything else is a user command.

use std::process::ExitCode;

fn main() -> ExitCode {
    navarch::with_plugins(|_| {})
}
