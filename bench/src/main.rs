//! `cargo xtask bench`: measures the servers as a whole, on real API servers with simulated nodes.
//!
//! `propagation` loads the control plane as fast as it takes objects and compares with the same API writes done by a bare
//! writer; `fleet` holds many objects and looks at memory; both print JSON.

mod bare;
mod fleet;
mod history;
mod load;
mod lone;
mod observe;
mod propagation;
mod requests;
mod restart;
mod server;
mod summary;

use clap::Parser;

#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    about = "Measure the servers on real clusters"
)]
enum Command {
    /// Throughput, latency, writes, CPU and memory while Deployments are created as fast as possible.
    Propagation(propagation::Args),
    /// Memory with thousands of objects of several kinds, a restart included.
    Fleet(fleet::Args),
}

fn main() -> anyhow::Result<()> {
    let command = Command::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            match command {
                Command::Propagation(args) => propagation::run(args).await,
                Command::Fleet(args) => fleet::run(args).await,
            }
        })
}
