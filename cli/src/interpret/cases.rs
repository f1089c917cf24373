//! Cases from a stream, answered to another.

use std::io::{BufRead as _, BufReader, Read, Write};

use interpreter::cases::{self, Outcome};

use super::rules::Rules;
use crate::{commands, failure::Failure};

/// How many lines there were.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) cases: u64,
    pub(crate) malformed: u64,
}

/// Answers line by line. What is answered goes out as soon as there is nothing more to read, so that the other side of a pipe can
/// wait for it.
pub(crate) fn answer<R: Read>(
    rules: &Rules,
    mut input: BufReader<R>,
    output: impl Write,
) -> Result<Tally, Failure> {
    // Only the lines that are there already: the other side of the pipe may be waiting for the first answer.
    let there = input.fill_buf()?;
    let end = there.iter().rposition(|byte| *byte == b'\n');
    commands::check_lines(&there[..end.unwrap_or_default()])?;
    Ok(answer_lines(rules, input, output)?)
}

fn answer_lines<R: Read>(
    rules: &Rules,
    mut input: BufReader<R>,
    mut output: impl Write,
) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    for number in 1_u64.. {
        if input.buffer().is_empty() {
            output.flush()?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        tally.cases += 1;
        let outcome =
            cases::answer(&rules.interpreter, line.trim_ascii_end()).unwrap_or_else(|error| {
                tally.malformed += 1;
                let column = error
                    .column
                    .map_or_else(String::new, |column| format!(", column {column}"));
                Outcome::Failed {
                    error: format!("line {number}{column}: {error}"),
                }
            });
        serde_json::to_writer(&mut output, &outcome)?;
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(tally)
}
