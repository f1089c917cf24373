use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;

use crate::{
    Global,
    connection::access,
    failure::Failure,
    join::{JoinOptions, join},
    local::{self, JoinRequest, LocalArgs, Setup},
};

pub(crate) async fn run(args: LocalArgs, global: &Global) -> Result<(), Failure> {
    let executable = std::env::current_exe()?;
    let setup = Setup {
        executable,
        join: &|request| join_member(request).boxed(),
        quiet: global.quiet,
    };
    Ok(local::run(args, &setup).await?)
}

/// Joins a member of a local instance, which waits itself for all of them to get ready.
async fn join_member(request: JoinRequest) -> anyhow::Result<()> {
    let open = async |path| {
        access(Some(path), None)
            .await
            .map(|access| access.config)
            .map_err(|failure| anyhow::anyhow!(failure.message))
    };
    let options = JoinOptions {
        wait: Duration::ZERO,
        note: Arc::new(|_| {}),
        ..JoinOptions::new(
            request.cluster,
            open(&request.control_plane).await?,
            open(&request.member).await?,
        )
    };
    join(&options).await?;
    Ok(())
}
