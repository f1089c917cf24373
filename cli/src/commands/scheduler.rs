use std::{
    io::{BufRead, BufReader, BufWriter, Write},
    time::Instant,
};

use clap::{Args, Subcommand};
use scheduler::{Compat, Gates, Options, cases::Cases, options, plugins::Registry};

use crate::{Global, failure::Failure};

#[derive(Debug, Args)]
pub(crate) struct SchedulerArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Decide recorded cases as the scheduler would, without any cluster
    ///
    /// Reads a case a line from standard input, {"clusters": [Cluster…], "binding": ResourceBinding}, and writes a result a line:
    /// {"clusters": [{"name", "replicas"}…]} or {"error": {"reason", "message"}}. A line that is no case gets an error too, and
    /// the exit code is 1 at the end.
    Decide(DecideArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  navarch scheduler decide < cases.jsonl
  navarch scheduler decide --explain < case.json | jq .explanation
  navarch scheduler decide --compat < cases.jsonl       as the reference decides
  navarch scheduler decide --compat=all,-no-fail-back < cases.jsonl")]
struct DecideArgs {
    /// Tell how each decision came about
    #[arg(long)]
    explain: bool,

    /// Behaviours of the reference to keep although there is something better; all without a list
    #[arg(
        long,
        value_name = "LIST",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "all",
        hide_default_value = true
    )]
    compat: Compat,

    /// Feature gates, such as `WorkloadAffinity=true`
    #[arg(
        long,
        value_name = "LIST",
        default_value = "",
        hide_default_value = true
    )]
    feature_gates: Gates,

    /// Plugins to turn on or off, such as `*,-TaintToleration`
    #[arg(
        long,
        value_name = "LIST",
        default_value = "*",
        allow_hyphen_values = true
    )]
    plugins: String,

    /// Bindings with another scheduler name keep the clusters that they have
    #[arg(long, value_name = "NAME", default_value = options::DEFAULT_SCHEDULER)]
    scheduler_name: String,

    /// Keep selected clusters that get no replicas
    #[arg(long)]
    enable_empty_workload_propagation: bool,
}

pub(crate) fn run(
    args: SchedulerArgs,
    registry: &Registry,
    global: &Global,
) -> Result<(), Failure> {
    let Command::Decide(args) = args.command;
    let plugins = registry
        .enable(&args.plugins, &args.feature_gates)
        .map_err(|error| Failure::new(format!("--plugins: {error}")))?;
    let cases = Cases::new(Options {
        scheduler_name: args.scheduler_name,
        gates: args.feature_gates,
        plugins,
        compat: args.compat,
        empty_workload_propagation: args.enable_empty_workload_propagation,
    });
    let cases = if args.explain {
        cases.explained()
    } else {
        cases
    };
    let started = Instant::now();
    let tally = decide(
        cases,
        BufReader::with_capacity(1 << 16, std::io::stdin().lock()),
        BufWriter::with_capacity(1 << 16, std::io::stdout().lock()),
    )?;
    let Tally { cases, malformed } = tally;
    if !global.quiet {
        let took = started.elapsed();
        let nanos = took.as_nanos().max(1);
        let rate = u128::from(cases) * 1_000_000_000 / nanos;
        eprintln!(
            "{cases} cases in {:.2} s, {rate} a second",
            took.as_secs_f64()
        );
    }
    if malformed > 0 {
        return Err(Failure::new(format!(
            "{malformed} of {cases} lines are no cases"
        )));
    }
    Ok(())
}

/// How many lines there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    cases: u64,
    malformed: u64,
}

/// Answers line by line. What is answered goes out as soon as there is nothing more to read, so that the other side of a pipe can wait
/// for it.
fn decide<R: std::io::Read>(
    mut cases: Cases,
    mut input: BufReader<R>,
    mut output: impl Write,
) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    for number in 1.. {
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
        let answer = cases.answer(number, &line, jiff::Timestamp::now());
        tally.cases += 1;
        tally.malformed += u64::from(answer.is_malformed());
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
    }
    output.flush()?;
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_answered_in_order() {
        let case = |cluster: &str| {
            format!(
                r#"{{"clusters": [{{"metadata": {{"name": "{cluster}"}}, "spec": {{"syncMode": "Push"}}, "status": {{"apiEnablements": [{{"groupVersion": "v1", "resources": [{{"name": "configmaps", "kind": "ConfigMap"}}]}}]}}}}], "binding": {{"metadata": {{"name": "b"}}, "spec": {{"resource": {{"apiVersion": "v1", "kind": "ConfigMap", "name": "b"}}, "placement": {{}}}}}}}}"#
            )
        };
        let input = format!("{}\n\n{{]\n{}", case("a"), case("b"));
        let mut output = Vec::new();
        let cases = Cases::new(Options::default());
        let tally = decide(
            cases,
            BufReader::with_capacity(7, input.as_bytes()),
            &mut output,
        );
        let expected = Tally {
            cases: 3,
            malformed: 1,
        };
        assert_eq!(tally.unwrap(), expected);
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "{\"clusters\":[{\"name\":\"a\",\"replicas\":0}]}
{\"error\":{\"reason\":\"MalformedCase\",\"message\":\"line 3, column 2: key must be a string\"}}
{\"clusters\":[{\"name\":\"b\",\"replicas\":0}]}
"
        );
    }
}
