use std::path::PathBuf;

use clap::Args;

use crate::{Global, failure::Failure};

#[derive(Debug, Args)]
pub(crate) struct CrdsArgs {
    /// The folder to write into, one file per kind
    #[arg(value_name = "DIR", default_value = "crds/manifests")]
    dir: PathBuf,
}

pub(crate) fn run(args: &CrdsArgs, global: &Global) -> Result<(), Failure> {
    let failed = |what: &str, path: &std::path::Path, error: &std::io::Error| {
        Failure::new(format!("cannot {what} {}: {error}", path.display()))
    };
    let dir = &args.dir;
    std::fs::create_dir_all(dir).map_err(|error| failed("create", dir, &error))?;
    let manifests = crds::manifests::yaml();
    for (name, text) in &manifests {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    }
    if !global.quiet {
        eprintln!("wrote {} files to {}", manifests.len(), dir.display());
    }
    Ok(())
}
