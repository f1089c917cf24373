//! Builds the programs that clusters are made of, unless they are found: what the first test would do, with its progress visible.

use navarch_testbed::{Program, Source};

fn main() -> Result<(), navarch_testbed::Error> {
    let source = Source::from_env(None);
    source.prepare()?;
    source.locate(Program::Kubectl)?;
    Ok(())
}
