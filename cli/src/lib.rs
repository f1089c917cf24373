//! The command line: one enum of commands, one function that runs them, and how failures are told.

mod age;
mod commands;
mod connection;
mod failure;
mod interpret;
pub mod join;
pub mod local;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use scheduler::plugins::Registry;

use crate::{
    commands::{
        crds::CrdsArgs, interpret::InterpretArgs, join::JoinArgs, release_hold::ReleaseHoldArgs,
        scheduler::SchedulerArgs, unjoin::UnjoinArgs, version::VersionArgs,
    },
    failure::Failure,
};

/// A multi-cluster Kubernetes control plane
#[derive(Debug, Parser)]
#[command(
    name = "navarch",
    version,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Cli<S: Args> {
    #[command(flatten)]
    global: Global,

    #[command(subcommand)]
    command: Command<S>,
}

/// Flags of all commands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The kubeconfig of the control plane [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Connection")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// The context of the control plane [default: the current one]
    #[arg(
        long,
        global = true,
        env = "NAVARCH_CONTEXT",
        alias = "karmada-context",
        value_name = "NAME",
        help_heading = "Connection"
    )]
    pub(crate) context: Option<String>,

    /// No progress, no notes, no hints
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Answer yes to confirmations
    #[arg(short, long, global = true)]
    pub(crate) yes: bool,
}

#[derive(Debug, Subcommand)]
enum Command<S: Args> {
    /// Put a cluster into the fleet
    Join(JoinArgs),
    /// Take a cluster out of the fleet
    Unjoin(UnjoinArgs),
    Local(local::LocalArgs),
    /// Try rules of the resource interpreter, without any cluster
    Interpret(InterpretArgs),
    /// Let removals go that are held back
    ReleaseHold(ReleaseHoldArgs),
    /// Look into the scheduler's decisions
    Scheduler(SchedulerArgs),
    /// Run the server roles
    Serve(S),
    /// Write the definitions of the control plane's kinds
    Crds(CrdsArgs),
    /// Print the version
    Version(VersionArgs),
}

/// The whole command line: parses the arguments of this process, runs the command and tells how it went.
///
/// `serve` runs the server roles; it is called outside of any async runtime.
pub fn main<S: Args>(serve: impl FnOnce(S) -> anyhow::Result<()>) -> ExitCode {
    run(std::env::args_os(), serve)
}

/// Like [`main`], with arguments from elsewhere.
pub fn run<S: Args>(
    args: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(S) -> anyhow::Result<()>,
) -> ExitCode {
    run_with_plugins(args, &Registry::builtin(), serve)
}

/// Like [`run`], with other scheduler plugins than the built-in ones.
pub fn run_with_plugins<S: Args>(
    args: impl IntoIterator<Item = OsString>,
    plugins: &Registry,
    serve: impl FnOnce(S) -> anyhow::Result<()>,
) -> ExitCode {
    let mut args = args.into_iter();
    let program = args.next().unwrap_or_default();
    let args = std::iter::once(program.clone()).chain(args.map(normalise));
    let parsed = command::<S>(&program)
        .try_get_matches_from(args)
        .and_then(|matches| Cli::<S>::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // Printing fails only when nobody listens.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(failure::ERROR)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let global = &cli.global;
    let outcome = match cli.command {
        Command::Join(args) => block_on(commands::join::run(args, global)),
        Command::Unjoin(args) => block_on(commands::unjoin::run(args, global)),
        Command::Local(args) => block_on(commands::local::run(args, global)),
        Command::Interpret(args) => commands::interpret::run(&args, global),
        Command::ReleaseHold(args) => block_on(commands::release_hold::run(&args, global)),
        Command::Scheduler(args) => commands::scheduler::run(args, plugins, global),
        // Servers bring their own runtime.
        Command::Serve(args) => serve(args).map_err(|error| Failure::new(format!("{error:#}"))),
        Command::Crds(args) => commands::crds::run(&args, global),
        Command::Version(args) => block_on(commands::version::run(&args, global)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(global.quiet),
    }
}

/// The tree of commands, under the name that the user called.
pub fn command<S: Args>(program: &OsString) -> clap::Command {
    let name = std::path::Path::new(program)
        .file_stem()
        .map(|name| name.to_string_lossy().into_owned());
    let command = Cli::<S>::command();
    match name.as_deref() {
        // kubectl finds it as its plugin.
        Some("kubectl-navarch") => command.bin_name("kubectl navarch"),
        _ => command.bin_name("navarch"),
    }
}

/// Accepts `_` for `-` in the names of flags.
fn normalise(argument: OsString) -> OsString {
    let Some(text) = argument.to_str().filter(|text| text.starts_with("--")) else {
        return argument;
    };
    let (name, value) = text
        .split_once('=')
        .map_or((text, None), |(name, value)| (name, Some(value)));
    let name = name.replace('_', "-");
    match value {
        Some(value) => format!("{name}={value}").into(),
        None => name.into(),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Args)]
    struct Serve {
        component: String,
        #[arg(long)]
        kubeconfig: Option<PathBuf>,
        #[arg(short = 'v', long = "v", default_value_t = 0)]
        verbosity: u8,
    }

    fn parse(args: &[&str]) -> Result<Cli<Serve>, clap::Error> {
        let program = OsString::from("navarch");
        let args = std::iter::once(program.clone())
            .chain(args.iter().map(|arg| normalise(OsString::from(arg))));
        let matches = command::<Serve>(&program).try_get_matches_from(args)?;
        Cli::from_arg_matches(&matches)
    }

    #[test]
    fn the_command_line_is_consistent() {
        command::<Serve>(&OsString::from("navarch")).debug_assert();
    }

    #[test]
    fn names_of_flags_and_of_the_program_are_taken_as_users_write_them() {
        let cli = parse(&[
            "join",
            "m1",
            "--cluster_kubeconfig=/a_b",
            "--karmada-context",
            "c",
        ]);
        let cli = cli.unwrap();
        assert_eq!(cli.global.context.as_deref(), Some("c"));
        let Command::Join(join) = cli.command else {
            panic!("another command")
        };
        assert_eq!(
            join.cluster_kubeconfig.as_deref(),
            Some(std::path::Path::new("/a_b"))
        );
        let plugin = OsString::from("/usr/bin/kubectl-navarch");
        let help = command::<Serve>(&plugin).render_help().to_string();
        assert!(help.contains("Usage: kubectl navarch"), "{help}");
    }

    #[test]
    fn servers_have_their_own_flags() {
        let cli = parse(&["serve", "all", "--kubeconfig", "/k", "-v", "4"]).unwrap();
        let Command::Serve(serve) = cli.command else {
            panic!("another command")
        };
        assert_eq!(serve.component, "all");
        assert_eq!(serve.verbosity, 4);
        assert_eq!(
            serve.kubeconfig.as_deref(),
            Some(std::path::Path::new("/k"))
        );
    }

    #[test]
    fn wrong_usage_is_an_error() {
        for args in [
            &["jion", "m1"][..],
            &["join"],
            &["join", "m1", "--wait", "soon"],
        ] {
            let error = parse(args).unwrap_err();
            assert!(error.use_stderr(), "{args:?}");
        }
    }
}
