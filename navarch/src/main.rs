//! The one binary.

mod serve;

use clap::Parser;

#[derive(Parser)]
enum Navarch {
    Serve(serve::ServeArgs),
}

fn main() -> anyhow::Result<()> {
    let Navarch::Serve(args) = Navarch::parse();
    serve::run(args)
}
