//! The command line of `navarch serve` as the reference's flag library would read it.

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::options::ServeArgs;

/// The flags of `navarch serve`, in which every boolean may be given as `--x`, `--x=true` or `--x=false`.
#[derive(Debug, Clone)]
pub(crate) struct Flags(pub(super) ServeArgs);

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        ServeArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        ServeArgs::augment_args(command).mut_args(with_value)
    }

    fn augment_args_for_update(command: Command) -> Command {
        ServeArgs::augment_args_for_update(command).mut_args(with_value)
    }
}

/// Lets a boolean flag take a value. Only after `=`, because the next argument may be another thing.
fn with_value(arg: Arg) -> Arg {
    if !matches!(arg.get_action(), ArgAction::SetTrue) {
        return arg;
    }
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .hide_default_value(true)
        .value_name("BOOL")
        .value_parser(boolean)
}

/// The words for truth that the reference takes.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;
    use crate::serve::{Component, options::LogFormat};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    #[track_caller]
    fn parse(component: &str, flags: &[&str]) -> ServeArgs {
        let line = [&["serve", component], flags].concat();
        match Line::try_parse_from(line) {
            Ok(line) => line.flags.0,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn the_command_lines_of_existing_deployments_are_understood() {
        let scheduler = parse(
            "scheduler",
            &[
                "--kubeconfig=/etc/karmada/config/karmada.config",
                "--metrics-bind-address=$(POD_IP):8080",
                "--health-probe-bind-address=$(POD_IP):10351",
                "--enable-scheduler-estimator=true",
                "--disable-scheduler-estimator-in-pull-mode=true",
                "--insecure-skip-estimator-verify=false",
                "--enable-empty-workload-propagation=1",
                "--enable-pprof=true",
                "--profiling-bind-address=:6060",
                "--leader-elect=true",
                "--leader-elect-resource-namespace=karmada-system",
                "--scheduler-estimator-ca-file=/etc/karmada/pki/scheduler-estimator-client/ca.crt",
                "--master=https://karmada-apiserver:5443",
                "--logging-format=json",
                "--vmodule=scheduler=4",
                "--feature-gates=PriorityBasedScheduling=true",
                "--plugins=*,-TaintToleration",
                "--rate-limiter-qps=-1",
                "--rate-limiter-bucket-size=-1",
                "--rate-limiter-base-delay=-5ms",
                "--rate-limiter-max-delay=0s",
                "--v=4",
            ],
        );
        assert_eq!(scheduler.component, Component::Scheduler);
        assert_eq!(scheduler.log_format, LogFormat::Json);
        assert!(scheduler.estimators.enable_scheduler_estimator);
        assert!(scheduler.enable_empty_workload_propagation && !scheduler.enable_debug);
        let limits = scheduler.rate_limits();
        assert_eq!((limits.bucket_size, limits.base_delay), (0, Duration::ZERO));
        assert_eq!(scheduler.remarks().len(), 4);

        let estimator = parse(
            "estimator",
            &[
                "--kubeconfig=/etc/member1-kubeconfig",
                "--cluster-name=member1",
                "--grpc-auth-cert-file=/etc/karmada/pki/server.crt",
                "--insecure-skip-grpc-client-verify=true",
                "--parallelism=16",
                "--kube-api-qps=20",
                "--metrics-bind-address=0.0.0.0:8080",
                "--health-probe-bind-address=0.0.0.0:10351",
            ],
        );
        let addresses = estimator.addresses().unwrap();
        assert_eq!(addresses.health, "0.0.0.0:10351".parse().ok());
        assert_eq!(addresses.metrics, "0.0.0.0:8080".parse().ok());

        let descheduler = parse(
            "descheduler",
            &[
                "--metrics-bind-address=:10358",
                "--descheduling-interval=2m",
                "--unschedulable-threshold=5m0s",
            ],
        );
        let addresses = descheduler.addresses().unwrap();
        assert_eq!(addresses.health, "0.0.0.0:10358".parse().ok());
        assert_eq!(addresses.metrics, None, "one listener serves both");
    }

    #[test]
    fn booleans_take_values_after_an_equals_sign_alone() {
        let before = Line::try_parse_from(["serve", "--enable-debug", "scheduler"]).unwrap();
        assert!(before.flags.0.enable_debug);
        assert!(!parse("all", &["--enable-debug=false"]).enable_debug);
        assert!(Line::try_parse_from(["serve", "all", "--enable-debug=maybe"]).is_err());
    }
}
