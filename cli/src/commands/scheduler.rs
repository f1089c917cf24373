use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    num::NonZero,
    panic::resume_unwind,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Instant,
};

use clap::{Args, Subcommand};
use scheduler::{
    Compat, Gates, Options,
    cases::Cases,
    options::{self, Switch},
    plugins::Registry,
};

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
    /// Reads a case a line from standard input, {"clusters": [Cluster…], "binding": ResourceBinding}, and writes an answer a line:
    /// {"clusters": [{"name", "replicas"}…]} or {"error": {"reason", "message"}}. A line that is no case gets an error too, and
    /// the exit code is 1 at the end.
    #[command(after_help = EXAMPLES, after_long_help = format!("{}\n\n{EXAMPLES}", forms()))]
    Decide(DecideArgs),
}

const EXAMPLES: &str = "Examples:
  navarch scheduler decide < cases.jsonl
  navarch scheduler decide --explain < cases.jsonl | jq .explanation
  jq -c . case.json | navarch scheduler decide          a case over several lines
  navarch scheduler decide --compat < cases.jsonl       as the reference decides
  navarch scheduler decide --compat=all,-no-fail-back < cases.jsonl";

/// A whole case.
const CASE: &str = r#"{"clusters":[{"metadata":{"name":"m1"},"spec":{"syncMode":"Push"},"status":{"apiEnablements":[{"groupVersion":"v1","resources":[{"name":"configmaps","kind":"ConfigMap"}]}]}}],"binding":{"metadata":{"name":"settings-configmap","namespace":"shop"},"spec":{"resource":{"apiVersion":"v1","kind":"ConfigMap","name":"settings","namespace":"shop"},"placement":{"clusterAffinity":{"clusterNames":["m1"]}}}}}"#;

/// The answer to it.
const ANSWER: &str = r#"{"clusters":[{"name":"m1","replicas":0}]}"#;

/// What goes in and what comes out, and what the lists of flags take.
fn forms() -> String {
    let rows = |of: &[(&str, &str)]| {
        let width = of
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or_default();
        let rows = of
            .iter()
            .map(|(name, about)| format!("  {name:width$}  {about}\n"));
        rows.collect::<String>()
    };
    let case = rows(&[
        ("clusters", "the Cluster objects, each with another name"),
        (
            "binding",
            "a ResourceBinding, or a ClusterResourceBinding by its kind; its placement decides",
        ),
        (
            "bindings",
            "the other ResourceBindings of its namespace, which the gate WorkloadAffinity asks for",
        ),
    ]);
    let answer = rows(&[
        (
            "clusters",
            "the targets that the binding has or gets, [] for none; without replicas they have 0",
        ),
        (
            "error",
            "why there is no result: reason and message of the condition Scheduled, or MalformedCase",
        ),
        (
            "kept",
            "beside an error, of a binding with targets: true if it keeps them, false if they are emptied",
        ),
        (
            "skipped",
            "why the binding is left alone: Deleting, OtherScheduler or Suspended",
        ),
        (
            "ignored",
            "fields of the placement that placements do not have; the API server drops them",
        ),
        (
            "explanation",
            "with --explain: every verdict, score, estimate and division",
        ),
    ]);
    let plugins = Registry::builtin();
    let plugins: Vec<&str> = plugins.names().collect();
    let switches = Switch::ALL.iter().filter(|it| !it.is_of_servers());
    let switches: Vec<(&str, &str)> = switches.map(|it| (it.name(), it.about())).collect();
    format!(
        "A case:\n{case}\nAn answer:\n{answer}\nA line, and its answer:\n  {CASE}\n  {ANSWER}\n\n\
         Gates for --feature-gates, besides AllAlpha and AllBeta:\n{}\n\
         Plugins for --plugins, besides * for all and -NAME for all but one:\n  {}\n\n\
         Switches for --compat, besides all and none, and -NAME for all but one:\n{}",
        rows(Gates::ALL),
        plugins.join(", "),
        rows(&switches).trim_end()
    )
}

#[derive(Debug, Args)]
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

    /// Feature gates to turn on or off, such as `WorkloadAffinity=true,MultiplePodTemplatesScheduling=true`
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

    /// What takes no place here, to tell where it belongs
    #[arg(hide = true)]
    surplus: Option<String>,
}

pub(crate) fn run(
    args: SchedulerArgs,
    registry: &Registry,
    global: &Global,
) -> Result<(), Failure> {
    let Command::Decide(args) = args.command;
    if let Some(surplus) = &args.surplus {
        return Err(unexpected(surplus));
    }
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
        &cases,
        BufReader::with_capacity(1 << 20, std::io::stdin().lock()),
        std::io::stdout(),
    )?;
    let Some(Tally { cases, malformed }) = tally else {
        return Ok(());
    };
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

/// Tells where an argument belongs that stands by itself.
fn unexpected(argument: &str) -> Failure {
    let hint = if argument.parse::<Compat>().is_ok() {
        format!("a list of switches follows an equals sign: --compat={argument}")
    } else {
        format!("cases come on standard input: navarch scheduler decide < {argument}")
    };
    Failure::new(format!("unexpected argument {argument:?}")).with_hint(hint)
}

/// How many lines there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    cases: u64,
    malformed: u64,
}

/// Text of lines that one thread takes at a time; enough that handing it over costs nothing beside deciding.
const BATCH: usize = 128 << 10;
/// More threads than this wait for the one that reads.
const THREADS: usize = 8;

/// Lines that were read together.
struct Batch {
    /// The number of the first line.
    first: usize,
    text: Vec<u8>,
    /// Takes what becomes of them.
    answered: SyncSender<Answered>,
}

/// The lines of answers to a batch.
struct Answered {
    text: Vec<u8>,
    tally: Tally,
}

/// Answers line by line, in order, on several threads. What is answered goes out as soon as there is nothing more to read, so that the
/// other side of a pipe can wait for it. `None` if that side closed it: it has what it wanted.
fn decide<R: std::io::Read>(
    cases: &Cases,
    mut input: BufReader<R>,
    output: impl Write + Send,
) -> Result<Option<Tally>, Failure> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(THREADS);
    let (work, batches) = sync_channel::<Batch>(threads);
    let batches = Mutex::new(batches);
    // The places of batches in the output, in order.
    let (places, ordered) = sync_channel::<Receiver<Answered>>(2 * threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| decide_batches(cases.clone(), &batches));
        }
        let writer = scope.spawn(move || write_in_order(&ordered, output));
        let read = read_batches(&mut input, |batch, place| {
            // Refused only once the writer has failed.
            places.send(place).is_ok() && work.send(batch).is_ok()
        });
        drop((places, work));
        let written = writer.join().unwrap_or_else(|panic| resume_unwind(panic));
        match written {
            Ok(tally) => read.map(|()| Some(tally)),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(None),
            Err(error) => Err(Failure::new(format!("write standard output: {error}"))),
        }
    })
}

/// Cuts the input into batches of whole lines, as large as they come without waiting for more; ends when `hand_over` says so.
fn read_batches<R: std::io::Read>(
    input: &mut BufReader<R>,
    mut hand_over: impl FnMut(Batch, Receiver<Answered>) -> bool,
) -> Result<(), Failure> {
    let mut number = 1;
    let mut first = number;
    let mut text = Vec::new();
    loop {
        let read = input.read_until(b'\n', &mut text);
        let read = read.map_err(|error| Failure::new(format!("read standard input: {error}")));
        let is_end = read? == 0;
        number += usize::from(!is_end);
        let is_more_there = !is_end && input.buffer().contains(&b'\n');
        if !text.is_empty() && (!is_more_there || text.len() >= BATCH) {
            if first == 1 {
                super::check_lines(&text)?;
            }
            let (answered, place) = sync_channel(1);
            let batch = Batch {
                first,
                text: std::mem::take(&mut text),
                answered,
            };
            if !hand_over(batch, place) {
                return Ok(());
            }
            first = number;
        }
        if is_end {
            return Ok(());
        }
    }
}

/// Takes batches until there are no more.
fn decide_batches(mut cases: Cases, batches: &Mutex<Receiver<Batch>>) {
    let take = || {
        batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv()
    };
    while let Ok(batch) = take() {
        let mut answered = Answered {
            text: Vec::with_capacity(batch.text.len() / 8),
            tally: Tally::default(),
        };
        for (number, line) in (batch.first..).zip(batch.text.split(|byte| *byte == b'\n')) {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let answer = cases.answer(number, line, jiff::Timestamp::now());
            answered.tally.cases += 1;
            answered.tally.malformed += u64::from(answer.is_malformed());
            serde_json::to_writer(&mut answered.text, &answer)
                .expect("answers have no keys that are not text, and a Vec takes all bytes");
            answered.text.push(b'\n');
        }
        // Nobody waits for it once the writer has failed.
        let _ = batch.answered.send(answered);
    }
}

/// Writes what becomes of batches in their order.
fn write_in_order(
    ordered: &Receiver<Receiver<Answered>>,
    mut output: impl Write,
) -> std::io::Result<Tally> {
    let mut tally = Tally::default();
    while let Ok(place) = ordered.recv() {
        // A thread that ended without an answer has panicked, which ends the program.
        let Ok(answered) = place.recv() else { break };
        output.write_all(&answered.text)?;
        output.flush()?;
        tally.cases += answered.tally.cases;
        tally.malformed += answered.tally.malformed;
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_tells_all_that_goes_in_and_out() {
        let answer =
            Cases::new(Options::default()).answer(1, CASE.as_bytes(), jiff::Timestamp::now());
        assert_eq!(serde_json::to_string(&answer).unwrap(), ANSWER);
        let help = forms();
        for word in [
            "bindings",
            "kept",
            "skipped",
            "ClusterLocality",
            "no-fail-back",
            "MultiplePodTemplatesScheduling",
        ] {
            assert!(help.contains(word), "{help}");
        }
        // It does nothing here.
        assert!(!help.contains("always-write-time"), "{help}");
    }

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
            &cases,
            BufReader::with_capacity(7, input.as_bytes()),
            &mut output,
        );
        let expected = Tally {
            cases: 3,
            malformed: 1,
        };
        assert_eq!(tally.unwrap(), Some(expected));
        assert_eq!(
            String::from_utf8(output).unwrap(),
            "{\"clusters\":[{\"name\":\"a\",\"replicas\":0}]}
{\"error\":{\"reason\":\"MalformedCase\",\"message\":\"line 3, column 2: key must be a string\"}}
{\"clusters\":[{\"name\":\"b\",\"replicas\":0}]}
"
        );
    }

    #[test]
    fn many_batches_stay_in_order() {
        let case = |replicas: usize| {
            format!(
                r#"{{"clusters": [{{"metadata": {{"name": "c{replicas}"}}, "spec": {{"syncMode": "Push"}}}}], "binding": {{"metadata": {{"name": "b"}}, "spec": {{"schedulerName": "other", "resource": {{"apiVersion": "v1", "kind": "ConfigMap", "name": "b"}}, "clusters": [{{"name": "c", "replicas": {replicas}}}]}}}}}}"#
            )
        };
        let count = 2000;
        let lines: Vec<String> = (0..count).map(case).collect();
        let input = lines.join("\n");
        assert!(input.len() > 2 * BATCH, "{}", input.len());
        for capacity in [1 << 20, 1000] {
            let mut output = Vec::new();
            let reader = BufReader::with_capacity(capacity, input.as_bytes());
            let tally = decide(&Cases::new(Options::default()), reader, &mut output).unwrap();
            assert_eq!(tally.unwrap().cases, count as u64);
            let expected: Vec<String> = (0..count)
                .map(|replicas| {
                    format!(
                        r#"{{"clusters":[{{"name":"c","replicas":{replicas}}}],"skipped":"OtherScheduler"}}"#
                    )
                })
                .collect();
            let output = String::from_utf8(output).unwrap();
            assert!(output.lines().eq(expected), "the answers are out of order");
        }
    }

    #[test]
    fn an_output_that_fails_ends_the_work_and_a_closed_one_silently() {
        struct Failing(ErrorKind);
        impl Write for Failing {
            fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let input = "{}\n".repeat(100_000);
        let run = |kind| {
            let reader = BufReader::with_capacity(1 << 10, input.as_bytes());
            decide(&Cases::new(Options::default()), reader, Failing(kind))
        };
        assert_eq!(run(ErrorKind::BrokenPipe).unwrap(), None);
        assert_eq!(
            run(ErrorKind::StorageFull).unwrap_err().message,
            "write standard output: no storage space"
        );
    }

    #[test]
    fn an_input_that_cannot_be_read_is_named() {
        struct Torn;
        impl std::io::Read for Torn {
            fn read(&mut self, _bytes: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::IsADirectory.into())
            }
        }
        let cases = Cases::new(Options::default());
        let error = decide(&cases, BufReader::new(Torn), Vec::new()).unwrap_err();
        assert_eq!(error.message, "read standard input: is a directory");
    }

    #[test]
    fn an_input_of_another_form_gets_one_hint() {
        let run = |input: &str| {
            let mut output = Vec::new();
            let cases = Cases::new(Options::default());
            let reader = BufReader::new(input.as_bytes());
            (decide(&cases, reader, &mut output), output)
        };
        for input in [
            "{\n  \"clusters\": [],\n  \"binding\": {}\n}\n",
            "\n{ \"clusters\": [\n\n] }\n",
            "[\n{\n",
        ] {
            let (result, output) = run(input);
            let failure = result.unwrap_err();
            let hint = failure.hint.unwrap_or_default();
            assert_eq!(hint, "one case a line: pipe it through `jq -c .`");
            assert!(output.is_empty(), "{input}");
        }
        for (input, message) in [
            (
                "\u{feff}{}\n",
                "standard input begins with a byte order mark",
            ),
            ("foo\nbar\n", "standard input is no JSON"),
            ("\n---\nclusters: []\n", "standard input is no JSON"),
        ] {
            let (result, output) = run(input);
            let failure = result.unwrap_err();
            assert_eq!(failure.message, message);
            assert!(failure.hint.is_some_and(|hint| hint.contains("pipe ")));
            assert!(output.is_empty(), "{input}");
        }
        // A line that was cut off, or is something else, is one wrong case among others.
        for first in ["{\"clusters\": [", "foo"] {
            let (result, _) = run(&format!(
                "{first}\n{{\"clusters\": [], \"binding\": {{}}}}\n"
            ));
            assert_eq!(result.unwrap().unwrap().cases, 2);
        }
    }

    #[test]
    fn an_argument_by_itself_is_told_where_it_belongs() {
        let mut command = DecideArgs::augment_args(clap::Command::new("decide"));
        let usage = command.render_usage().to_string();
        assert!(usage.ends_with("decide [OPTIONS]"), "{usage}");
        let matches = command.get_matches_from(["decide", "--compat", "all"]);
        assert_eq!(matches.get_one::<String>("surplus").unwrap(), "all");
        for (argument, hint) in [
            (
                "all",
                "a list of switches follows an equals sign: --compat=all",
            ),
            (
                "cases.jsonl",
                "cases come on standard input: navarch scheduler decide < cases.jsonl",
            ),
        ] {
            let failure = unexpected(argument);
            assert_eq!(failure.message, format!("unexpected argument {argument:?}"));
            assert_eq!(failure.hint.as_deref(), Some(hint));
        }
    }
}
