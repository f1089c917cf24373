//! `navarch local`: a control plane and members as ordinary processes on this machine.
//!
//! ```text
//!   up ──starts──> supervise (detached) ──owns──> etcd, API servers, …, navarch serve all
//!   up ──joins the members, waits until they are ready
//!   stop, start ──control.sock──> supervise          status, logs ──read──> state.json, logs/
//!   down ──SIGTERM──> supervise
//! ```

mod control;
mod demo;
mod down;
mod error;
mod logs;
mod screen;
mod status;
mod supervise;
mod table;
mod up;

use std::env;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use futures::future::BoxFuture;

pub use error::Error;

/// Run a control plane and member clusters on this machine
///
/// Real API servers with simulated nodes, as ordinary processes of yours: no containers, no root, loopback only.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  navarch local demo                    see a workload go to three clusters
  navarch local up --members 2          two members, and Navarch serving them
  navarch local stop member1            play an outage
  navarch local down --purge            leave nothing behind")]
pub struct LocalArgs {
    /// Which of several instances
    #[arg(long, global = true, default_value = "default", value_name = "NAME")]
    name: String,

    /// The folder with everything of the instance [default: navarch/local/NAME in the user's state folder]
    #[arg(long, global = true, env = "NAVARCH_LOCAL_DIR", value_name = "DIR")]
    dir: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything, or add what is missing to what runs
    Up(up::UpArgs),
    /// Start everything, send a workload to three clusters and show where it went
    Demo(up::UpArgs),
    /// Show what runs
    Status(status::StatusArgs),
    /// Show the log of a component
    Logs(logs::LogsArgs),
    /// Stop a member, as an outage would, or navarch
    Stop(control::NameArgs),
    /// Start what was stopped
    Start(control::NameArgs),
    /// Print the path of a kubeconfig file
    Kubeconfig(status::KubeconfigArgs),
    /// Stop everything; data stay for the next `up`
    Down(down::DownArgs),
    /// Own the processes; `up` starts this
    #[command(hide = true)]
    Supervise(up::UpArgs),
}

/// A member that is to be joined.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    pub cluster: String,
    /// The kubeconfig of the control plane; its current context is the one.
    pub control_plane: PathBuf,
    /// The kubeconfig of the member; its current context is the one.
    pub member: PathBuf,
}

/// Joins a member in push mode.
pub type Join = dyn Fn(JoinRequest) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync;

/// What the commands need from the rest of the program.
pub struct Setup<'a> {
    /// This program: started as supervisor and as `serve all`.
    pub executable: PathBuf,
    pub join: &'a Join,
    /// No progress, no hints.
    pub quiet: bool,
}

impl Setup<'_> {
    /// How the user calls this program: by its name where the shell finds it, by its path after `cargo demo`.
    fn command(&self) -> String {
        let name = self.executable.file_name().unwrap_or_default();
        let path = env::var_os("PATH").unwrap_or_default();
        if env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
            name.to_string_lossy().into_owned()
        } else {
            self.executable.display().to_string()
        }
    }
}

/// Runs a command of `navarch local`.
pub async fn run(args: LocalArgs, setup: &Setup<'_>) -> Result<(), Error> {
    let dir = args
        .dir
        .unwrap_or_else(|| default_dir(&args.name, |name| env::var_os(name)));
    let dir = std::path::absolute(&dir)
        .map_err(|error| Error::new(format!("cannot use {}: {error}", dir.display())))?;
    match args.command {
        Command::Up(args) => up::run(&dir, &args, setup).await,
        Command::Demo(args) => demo::run(&dir, &args, setup).await,
        Command::Status(args) => status::run(&dir, &args).await,
        Command::Logs(args) => logs::run(&dir, &args).await,
        Command::Stop(args) => control::stop(&dir, &args.name).await,
        Command::Start(args) => control::start(&dir, &args.name).await,
        Command::Kubeconfig(args) => status::kubeconfig(&dir, &args),
        Command::Down(args) => down::run(&dir, &args).await,
        Command::Supervise(args) => supervise::run(&dir, &args, setup).await,
    }
}

fn default_dir(name: &str, variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> PathBuf {
    let is_set = |name: &str| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let states =
        is_set("XDG_STATE_HOME").or_else(|| Some(is_set("HOME")?.join(".local").join("state")));
    states
        .unwrap_or_else(env::temp_dir)
        .join("navarch")
        .join("local")
        .join(name)
}

fn kubeconfig_path(dir: &Path, cluster: &str) -> PathBuf {
    dir.join("kubeconfig").join(format!("{cluster}.yaml"))
}

/// A client for the one cluster of a kubeconfig file.
async fn client(kubeconfig: &Path) -> Result<kube::Client, Error> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::new(format!("cannot use {}: {error}", kubeconfig.display()))
    };
    let file = kube::config::Kubeconfig::read_from(kubeconfig).map_err(|error| failed(&error))?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| failed(&error))?;
    kube::Client::try_from(config).map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn the_folder_follows_the_environment() {
        for (set, expected) in [
            (
                &[("XDG_STATE_HOME", "/x"), ("HOME", "/h")][..],
                "/x/navarch/local/two",
            ),
            (
                &[("XDG_STATE_HOME", ""), ("HOME", "/h")],
                "/h/.local/state/navarch/local/two",
            ),
        ] {
            let variable = |name: &str| {
                set.iter()
                    .find(|(key, _)| *key == name)
                    .map(|(_, value)| OsString::from(value))
            };
            assert_eq!(default_dir("two", variable), Path::new(expected));
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::{CommandFactory as _, Parser};

        #[derive(Debug, Parser)]
        struct Cli {
            #[command(flatten)]
            local: LocalArgs,
        }
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["local", "up", "--members", "2", "--dir", "/d"]).unwrap();
        assert_eq!(cli.local.dir.as_deref(), Some(Path::new("/d")));
    }
}
