//! One file per command: its flags, and what it does with them.

pub(crate) mod crds;
pub(crate) mod interpret;
pub(crate) mod join;
pub(crate) mod local;
pub(crate) mod release_hold;
pub(crate) mod scheduler;
pub(crate) mod unjoin;
pub(crate) mod version;

use std::{
    io::{IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use crate::{Global, failure::Failure, join::Note};

/// `2m`, `90s`, `1h30m`; a plain 0.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::SignedDuration = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    Duration::try_from(span).map_err(|_| "must not be negative".to_owned())
}

/// Prints data.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Prints the steps of a dry run.
fn print_planned(steps: &[String]) -> Result<(), Failure> {
    let mut text = String::new();
    for step in steps {
        text.push_str(step);
        text.push_str(" (dry run)\n");
    }
    print(&text)
}

/// Tells steps on standard error.
fn notes(global: &Global) -> Note {
    if global.quiet {
        return Arc::new(|_| {});
    }
    Arc::new(|step| eprintln!("{step}"))
}

/// Asks whether to go on; `action` completes "refusing to …".
fn confirm(global: &Global, action: &str) -> Result<bool, Failure> {
    if global.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(format!(
            "refusing to {action} without --yes (stdin is not a terminal)"
        )));
    }
    eprint!("Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0s", Some(0)),
            ("2m", Some(120)),
            ("1m30s", Some(90)),
            ("-1s", None),
            ("5", None),
            ("soon", None),
        ] {
            let found = duration(text).ok().map(|it| it.as_secs());
            assert_eq!(found, expected, "{text}");
        }
    }
}
