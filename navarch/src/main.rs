//! The one binary: `navarch serve` runs the server roles, everything else is a user command.

mod names;
mod serve;

use std::process::ExitCode;

use clap::Args as _;

fn main() -> ExitCode {
    let flags = serve::ServeArgs::augment_args(clap::Command::new("serve"));
    let args = names::translate(std::env::args_os(), &flags, |flag| {
        eprintln!("warning: flag --{flag} has no meaning here and is ignored");
    });
    cli::run(args, serve::run)
}
