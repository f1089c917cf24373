use std::{
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    time::Instant,
};

use clap::{Args, ValueEnum};
use crds::config::InterpreterOperation;
use propagation::yaml;
use serde::Serialize;

use crate::{
    Global,
    failure::Failure,
    interpret::{
        builtin, cases, check, edit, execute,
        rules::{self, Rules},
        sources,
    },
};

#[expect(
    clippy::struct_excessive_bools,
    reason = "each flag is on or off by itself"
)]
#[derive(Debug, Args)]
#[command(
    about = "Try rules of the resource interpreter, without any cluster",
    after_help = "Examples:
  navarch interpret -f rules.yaml --check
  navarch interpret -f examples/interpreter --check              every customization in a directory
  navarch interpret -f rules.yaml --operation InterpretHealth --observed-file object.yaml
  navarch interpret -f rules.yaml --operation ReviseReplica --desired-file object.yaml --replica 3
  navarch interpret -f rules.yaml --operation AggregateStatus --desired-file object.yaml --status-file status.yaml
  navarch interpret --operation InterpretReplica --desired-file deployment.yaml -o json     by the built-in rules
  navarch interpret -f rules.yaml --cases < cases.jsonl
  jq -c . case.json | navarch interpret --cases   a case over several lines
  navarch interpret -f rules.yaml --edit
  navarch interpret --edit things                 the customization of this name on the server
  navarch interpret --builtin --operation InterpretHealth"
)]
pub(crate) struct InterpretArgs {
    /// The customization to edit on the server
    #[arg(value_name = "NAME", requires = "edit", conflicts_with = "filename")]
    name: Option<String>,

    /// Customizations: files, directories, URLs or `-`; without any the built-in rules alone. What else there is in a directory is
    /// skipped
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE",
        value_delimiter = ','
    )]
    filename: Vec<String>,

    /// Look into the directories below, too
    #[arg(short = 'R', long)]
    recursive: bool,

    /// The operation to carry out: `Retain`, `InterpretReplica`, `InterpretComponent`, `ReviseReplica`, `InterpretStatus`,
    /// `AggregateStatus`, `InterpretHealth` or `InterpretDependency`
    #[arg(long, value_name = "OPERATION", value_parser = operation, conflicts_with_all = ["check", "cases", "edit"])]
    operation: Option<InterpreterOperation>,

    /// The template, or the object as the control plane wants it; `-` is standard input
    #[arg(long, value_name = "FILE")]
    desired_file: Option<PathBuf>,

    /// The object as a member has it; `-` is standard input
    #[arg(long, value_name = "FILE")]
    observed_file: Option<PathBuf>,

    /// States in the clusters, each document an `AggregatedStatusItem`; `-` is standard input
    #[arg(long, value_name = "FILE", value_delimiter = ',')]
    status_file: Vec<PathBuf>,

    /// The number of replicas for `ReviseReplica`
    #[arg(
        long,
        alias = "desired-replica",
        value_name = "N",
        value_parser = replicas,
        allow_negative_numbers = true
    )]
    replica: Option<i32>,

    /// Look for mistakes in the customizations: in their fields, and in their scripts, of which no function is called
    #[arg(long, conflicts_with_all = ["cases", "edit"])]
    check: bool,

    /// Answer cases from standard input, one a line: {"op", "object", "observed"?, "replicas"?, "items"?}, op being an operation
    /// or `Prune`; each with a line {"layer", "result"}, {"error"}, or {} when no rule handles it
    #[arg(long, conflicts_with = "edit")]
    cases: bool,

    /// Edit the scripts of a customization as one Lua file: of the one in a file (-f), or of the one called NAME on the server
    #[arg(long)]
    edit: bool,

    /// List the kinds that the built-in rules know, with the operations that they answer; with --operation those that have it
    #[arg(long, conflicts_with_all = ["check", "cases", "edit", "filename", "desired_file", "observed_file"])]
    builtin: bool,

    /// Explain each rule in the file to edit
    #[arg(long, requires = "edit")]
    show_doc: bool,

    /// Answer as Karmada v1.18 does, also where there is a better answer
    #[arg(long)]
    compat: bool,

    /// How to print results [default: yaml; text of --check and --builtin]
    #[arg(short, long, value_name = "FORMAT", help_heading = "Output")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Yaml,
    /// With the layer that answered, and the time that it took
    Json,
}

fn replicas(text: &str) -> Result<i32, String> {
    match text.parse::<i32>() {
        Ok(number @ 0..) => Ok(number),
        _ => Err(format!("a number of replicas is from 0 to {}", i32::MAX)),
    }
}

fn operation(text: &str) -> Result<InterpreterOperation, String> {
    let known = InterpreterOperation::ALL;
    let found = known
        .into_iter()
        .find(|it| it.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let names: Vec<_> = known
            .into_iter()
            .map(InterpreterOperation::as_str)
            .collect();
        format!("one of {}", names.join(", "))
    })
}

pub(crate) fn run(args: &InterpretArgs, global: &Global) -> Result<(), Failure> {
    if args.edit {
        return edit::run(&args.filename, args.name.as_deref(), args.show_doc, global);
    }
    if args.builtin {
        let list = builtin::list(args.operation, args.compat);
        return super::print(&formatted(args.output, &list, builtin::List::text)?);
    }
    if args.check && args.filename.is_empty() {
        return Err(Failure::new("--check needs customizations")
            .with_hint("name files or directories with -f; what is built in lists --builtin"));
    }
    check_standard_input(args)?;
    let found = sources::find(&args.filename, args.recursive)?;
    if !global.quiet {
        for skipped in &found.skipped {
            eprintln!("{skipped}");
        }
    }
    if args.check {
        let report = check::check(&found.documents);
        super::print(&formatted(args.output, &report, check::Report::text)?)?;
        return report.verdict();
    }
    let (customizations, warnings) = found.sound()?;
    if !global.quiet {
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
    }
    let rules = Rules::new(&customizations, args.compat);
    if !global.quiet {
        for note in rules.notes() {
            eprintln!("warning: {note}");
        }
    }
    if args.cases {
        return answer_cases(&rules, global);
    }
    let Some(operation) = args.operation else {
        return Err(
            Failure::new("nothing to do: neither --operation nor --check, --cases, --edit or --builtin is given")
                .with_hint("navarch interpret -f rules.yaml --check\nnavarch interpret -f rules.yaml --operation InterpretHealth --observed-file object.yaml"),
        );
    };
    let question = execute::Question {
        operation,
        desired: args.desired_file.as_deref(),
        observed: args.observed_file.as_deref(),
        statuses: &args.status_file,
        replicas: args.replica,
    };
    let mut printed = Vec::new();
    let executed = execute::execute(&rules, &question, &mut printed);
    for line in printed {
        eprintln!("{line}");
    }
    let executed = executed?;
    super::print(&match args.output {
        Some(Format::Json) => executed.json(),
        Some(Format::Yaml) | None => executed.yaml(),
    })
}

/// Refuses to read standard input for two things.
fn check_standard_input(args: &InterpretArgs) -> Result<(), Failure> {
    let stdin = Path::new("-");
    let filenames = args.filename.iter().map(|name| ("-f", Path::new(name)));
    let desired = args
        .desired_file
        .iter()
        .map(|path| ("--desired-file", &**path));
    let observed = args
        .observed_file
        .iter()
        .map(|path| ("--observed-file", &**path));
    let statuses = args
        .status_file
        .iter()
        .map(|path| ("--status-file", &**path));
    let cases = args.cases.then_some(("--cases", stdin));
    let readers: Vec<_> = filenames
        .chain(desired)
        .chain(observed)
        .chain(statuses)
        .chain(cases)
        .filter(|(_, path)| *path == stdin)
        .map(|(flag, _)| flag)
        .collect();
    match &readers[..] {
        [] | [_] => Ok(()),
        [first, second, ..] => Err(Failure::new(format!(
            "standard input can be read once, and {first} and {second} both read it"
        ))
        .with_hint("put one of the two into a file")),
    }
}

/// Data in the format that the user asks for, else as text.
fn formatted<T: Serialize>(
    format: Option<Format>,
    data: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<String, Failure> {
    let printed = match format {
        None => return Ok(text(data)),
        Some(Format::Json) => serde_json::to_string_pretty(data).map(|text| text + "\n"),
        Some(Format::Yaml) => serde_json::to_value(data).map(|data| yaml::print(&data)),
    };
    printed.map_err(|error| Failure::new(format!("print the result: {error}")))
}

fn answer_cases(rules: &rules::Rules, global: &Global) -> Result<(), Failure> {
    let started = Instant::now();
    let tally = cases::answer(
        rules,
        BufReader::with_capacity(1 << 16, std::io::stdin().lock()),
        BufWriter::with_capacity(1 << 16, std::io::stdout().lock()),
    )?;
    let cases::Tally { cases, malformed } = tally;
    if !global.quiet {
        let took = started.elapsed();
        let rate = u128::from(cases) * 1_000_000_000 / took.as_nanos().max(1);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_replicas_are_not_negative() {
        for (text, number) in [
            ("0", Some(0)),
            ("2147483647", Some(i32::MAX)),
            ("2147483648", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(replicas(text).ok(), number, "{text}");
        }
    }

    #[test]
    fn standard_input_is_read_once() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: InterpretArgs,
        }
        for (flags, problem) in [
            (
                &["-f", "-", "--cases"][..],
                "standard input can be read once, and -f and --cases both read it",
            ),
            (
                &["--desired-file", "-", "--observed-file", "-"],
                "standard input can be read once, and --desired-file and --observed-file both read it",
            ),
        ] {
            let args = ["interpret"].iter().chain(flags);
            let line = <Line as clap::Parser>::parse_from(args);
            let failure = check_standard_input(&line.args).unwrap_err();
            assert_eq!(failure.message, problem);
            let args = ["interpret"].iter().chain(&flags[..2]);
            let line = <Line as clap::Parser>::parse_from(args);
            assert!(check_standard_input(&line.args).is_ok());
        }
    }

    #[test]
    fn lists_are_printed_in_the_format_that_is_asked_for() {
        let list = builtin::list(Some(InterpreterOperation::InterpretComponent), false);
        let print = |format| formatted(format, &list, builtin::List::text).unwrap();
        let from_json: serde_json::Value =
            serde_json::from_str(&print(Some(Format::Json))).unwrap();
        let from_yaml = yaml::read(&print(Some(Format::Yaml))).unwrap();
        assert_eq!(from_json, from_yaml);
        assert!(from_json[0]["operations"].is_array());
        assert!(print(None).contains("ray.io/v1 RayCluster"));
    }
}
