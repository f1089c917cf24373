use clap::{Args, ValueEnum};
use serde::Serialize;

use super::print;
use crate::{
    Global,
    connection::{access, chain},
    failure::Failure,
};

/// How long the control plane may take to tell its version.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    /// Only the version of this program
    #[arg(long)]
    client: bool,

    /// Print a report in this format
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VersionReport {
    api_version: &'static str,
    kind: &'static str,
    generated_at: String,
    client_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<String>,
    cluster_errors: Vec<String>,
    warnings: Vec<String>,
}

pub(crate) async fn run(args: &VersionArgs, global: &Global) -> Result<(), Failure> {
    let client_version = env!("CARGO_PKG_VERSION");
    let server = if args.client {
        None
    } else {
        Some(server_version(global).await)
    };
    let (server_version, note) = match server {
        None => (None, None),
        Some(Ok(version)) => (Some(version), None),
        Some(Err(problem)) => (
            None,
            Some(format!("the control plane did not answer: {problem}")),
        ),
    };
    let Some(format) = args.output else {
        let mut text = format!("navarch {client_version}\n");
        if let Some(version) = server_version {
            text.push_str("control plane ");
            text.push_str(&version);
            text.push('\n');
        }
        if let Some(note) = note.filter(|_| !global.quiet) {
            eprintln!("{note}");
        }
        return print(&text);
    };
    let report = VersionReport {
        api_version: "cli.navarch.dev/v1",
        kind: "VersionReport",
        generated_at: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        client_version,
        server_version,
        cluster_errors: Vec::new(),
        warnings: note.into_iter().collect(),
    };
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&report).map(|text| text + "\n"),
        Format::Yaml => {
            return print(
                &serde_saphyr::to_string(&report)
                    .map_err(|error| Failure::new(error.to_string()))?,
            );
        }
    };
    print(&text.map_err(|error| Failure::new(error.to_string()))?)
}

async fn server_version(global: &Global) -> Result<String, String> {
    let access = access(global.kubeconfig.as_deref(), global.context.as_deref())
        .await
        .map_err(|failure| failure.message)?;
    let client = kube::Client::try_from(access.config).map_err(|error| chain(&error))?;
    match tokio::time::timeout(LIMIT, client.apiserver_version()).await {
        Ok(Ok(info)) => Ok(info.git_version),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}
