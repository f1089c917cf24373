//! The one binary: `navarch serve` runs the server roles, everything else is a user command.

mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main(serve::run)
}
