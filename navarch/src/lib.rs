//! The one binary as a library, for those who build it with scheduler plugins of their own.

mod names;
mod serve;

use std::process::ExitCode;

use clap::Args as _;
use scheduler::plugins::Registry;

/// Runs what the arguments of this process ask for, with scheduler plugins besides the built-in ones.
///
/// ```no_run
/// use scheduler::plugins::{Filter, Verdict};
/// use scheduler::{Cluster, Request};
///
/// struct Nowhere;
///
/// impl Filter for Nowhere {
///     fn name(&self) -> &str {
///         "Nowhere"
///     }
///
///     fn filter(&self, _request: &Request<'_>, _cluster: &Cluster) -> Verdict {
///         Verdict::unfit("cluster(s) were not good enough")
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     navarch::with_plugins(|plugins| {
///         plugins.filter(Nowhere);
///     })
/// }
/// ```
pub fn with_plugins(register: impl FnOnce(&mut Registry)) -> ExitCode {
    let mut registry = Registry::builtin();
    register(&mut registry);
    let flags = serve::Flags::augment_args(clap::Command::new("serve"));
    let args = names::translate(std::env::args_os(), &flags, |flag| {
        eprintln!("warning: flag --{flag} has no meaning here and is ignored");
    });
    cli::run_with_plugins(args, &registry, |args| serve::run(args, &registry))
}
