//! Navarch with two scheduler plugins of its own: a filter and a score.
//!
//! This is the whole program: every command and every server role of `navarch`, and two plugins more. `navarch serve scheduler` runs
//! them, `--plugins '*,-Curfew'` turns one off, `navarch scheduler decide --explain` shows what they say.

mod curfew;
mod price;

use std::process::ExitCode;

fn main() -> ExitCode {
    navarch::with_plugins(|plugins| {
        plugins.filter(curfew::Curfew).score(price::Price);
    })
}
