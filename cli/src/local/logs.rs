//! `logs`: the log files of the components.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::status::print;
use super::{Error, table};

const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(super) struct LogsArgs {
    /// navarch, etcd, supervisor, or CLUSTER/COMPONENT such as member1/kube-apiserver; without it the names are listed
    #[arg(value_name = "COMPONENT")]
    component: Option<String>,

    /// Go on as the log grows
    #[arg(short, long)]
    follow: bool,

    /// Lines from the end; all by default
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
}

pub(super) async fn run(dir: &Path, args: &LogsArgs) -> Result<(), Error> {
    let logs = list(&dir.join("logs"));
    if logs.is_empty() {
        return Err(super::control::not_running(dir));
    }
    let Some(name) = &args.component else {
        let rows = logs
            .into_iter()
            .map(|(name, path)| vec![name, path.display().to_string()]);
        return print(&table::with_header(&["COMPONENT", "LOG"], rows.collect()));
    };
    let wanted = name.replace('/', "-");
    let Some((_, path)) = logs.iter().find(|(name, _)| *name == wanted) else {
        let known: Vec<&str> = logs.iter().map(|(name, _)| name.as_str()).collect();
        return Err(Error::new(format!(
            "no component is called {name:?} (known: {})",
            known.join(", ")
        )));
    };
    let mut file = std::fs::File::open(path)?;
    let mut text = read(&mut file)?;
    if let Some(count) = args.tail {
        text = last_lines(&text, count).to_owned();
    }
    print(&text)?;
    if args.follow {
        follow(file).await
    } else {
        Ok(())
    }
}

async fn follow(mut file: std::fs::File) -> Result<(), Error> {
    loop {
        tokio::time::sleep(POLL).await;
        // A shorter file is a new one.
        if file.metadata()?.len() < file.stream_position()? {
            file.seek(SeekFrom::Start(0))?;
        }
        print(&read(&mut file)?)?;
    }
}

fn list(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let path = entry.path();
        let name = path.file_name()?.to_str()?.strip_suffix(".log")?.to_owned();
        Some((name, path))
    });
    let mut logs: Vec<_> = named.collect();
    logs.sort();
    logs
}

fn read(file: &mut std::fs::File) -> Result<String, Error> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(text: &str, count: usize) -> &str {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let start = match count.checked_sub(1) {
        None => text.len(),
        Some(before) => body
            .rmatch_indices('\n')
            .nth(before)
            .map_or(0, |(at, _)| at + 1),
    };
    &text[start..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole() {
        for (text, count, expected) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\n", 5, "a\n"),
            ("a\n", 0, ""),
            ("", 3, ""),
            ("a\n\nb\n", 2, "\nb\n"),
        ] {
            assert_eq!(last_lines(text, count), expected, "{text:?} {count}");
        }
    }
}
