//! The names under which the reference's manifests start its processes.
//!
//! A hard link called `karmada-controller-manager` is `navarch serve controllers` with the reference's flags, so that existing
//! manifests and Helm values start our servers. Flags that mean nothing here are left out with a warning.

use std::{ffi::OsString, path::Path};

use clap::Command;

/// Process names of the reference, and the component that stands in for each.
const COMPONENTS: &[(&str, &str)] = &[
    ("karmada-controller-manager", "controllers"),
    ("karmada-descheduler", "descheduler"),
    ("karmada-scheduler", "scheduler"),
    ("karmada-scheduler-estimator", "estimator"),
];

/// The arguments to run with: those given, unless the program was started under a name of the reference.
///
/// `serve` is the command whose flags are known. Left-out flags are told to `warn`.
pub(crate) fn translate(
    args: impl IntoIterator<Item = OsString>,
    serve: &Command,
    mut warn: impl FnMut(&str),
) -> Vec<OsString> {
    let args: Vec<OsString> = args.into_iter().collect();
    let name = args
        .first()
        .and_then(|program| Path::new(program).file_stem());
    let component = name.and_then(|name| {
        COMPONENTS
            .iter()
            .find(|(reference, _)| name == *reference)
            .map(|(_, component)| *component)
    });
    let Some(component) = component else {
        return args;
    };
    let mut translated: Vec<OsString> = ["navarch", "serve", component].map(Into::into).to_vec();
    let mut rest = args.into_iter().skip(1).peekable();
    while let Some(arg) = rest.next() {
        let text = arg.to_string_lossy().into_owned();
        let Some(flag) = text.strip_prefix("--") else {
            translated.push(arg);
            continue;
        };
        let (flag, has_value) = flag
            .split_once('=')
            .map_or((flag, false), |(flag, _)| (flag, true));
        if is_known(serve, flag) {
            translated.push(arg);
            continue;
        }
        warn(flag);
        // The value of an unknown flag may be the next argument.
        if !has_value
            && rest
                .peek()
                .is_some_and(|next| !next.to_string_lossy().starts_with('-'))
        {
            rest.next();
        }
    }
    translated
}

fn is_known(serve: &Command, flag: &str) -> bool {
    matches!(flag, "help" | "version")
        || serve.get_arguments().any(|known| {
            known.get_long() == Some(flag)
                || known
                    .get_all_aliases()
                    .is_some_and(|aliases| aliases.contains(&flag))
        })
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn translated(args: &[&str]) -> (Vec<String>, Vec<String>) {
        let serve = Command::new("serve")
            .arg(Arg::new("kubeconfig").long("kubeconfig"))
            .arg(Arg::new("address").long("health").alias("metrics"));
        let mut warned = Vec::new();
        let args = translate(args.iter().map(OsString::from), &serve, |flag| {
            warned.push(flag.to_owned());
        });
        let args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
        (args.collect(), warned)
    }

    #[test]
    fn reference_names_start_components_and_unknown_flags_are_left_out() {
        for (given, expected, warned) in [
            (
                vec!["navarch", "--bogus"],
                vec!["navarch", "--bogus"],
                vec![],
            ),
            (
                vec![
                    "/bin/karmada-scheduler",
                    "--kubeconfig=/k",
                    "--metrics",
                    "x",
                ],
                vec![
                    "navarch",
                    "serve",
                    "scheduler",
                    "--kubeconfig=/k",
                    "--metrics",
                    "x",
                ],
                vec![],
            ),
            (
                vec![
                    "karmada-controller-manager",
                    "--cluster-api-qps",
                    "40",
                    "--kubeconfig",
                    "/k",
                    "--v=4",
                    "-v",
                    "2",
                ],
                vec![
                    "navarch",
                    "serve",
                    "controllers",
                    "--kubeconfig",
                    "/k",
                    "-v",
                    "2",
                ],
                vec!["cluster-api-qps", "v"],
            ),
            (
                vec!["karmada-scheduler", "--leader-elect", "--kubeconfig=/k"],
                vec!["navarch", "serve", "scheduler", "--kubeconfig=/k"],
                vec!["leader-elect"],
            ),
        ] {
            let (args, flags) = translated(&given);
            assert_eq!(args, expected, "{given:?}");
            assert_eq!(flags, warned, "{given:?}");
        }
    }
}
