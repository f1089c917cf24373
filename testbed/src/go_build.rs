//! Builds the programs from the Go modules that this crate pins.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Error;
use crate::binaries::Program;
use crate::progress::{Event, Progress};

const KUBERNETES: Module = Module {
    folder: "kubernetes",
    go_mod: include_str!("../go.mod"),
    go_sum: include_str!("../go.sum"),
};
/// kwok builds against another version of client-go than Kubernetes itself.
const KWOK: Module = Module {
    folder: "kwok",
    go_mod: include_str!("../kwok/go.mod"),
    go_sum: include_str!("../kwok/go.sum"),
};

const TAIL_LINES: usize = 20;

struct Module {
    folder: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
}

fn package(program: Program) -> (&'static Module, &'static str) {
    match program {
        Program::Etcd => (&KUBERNETES, "go.etcd.io/etcd/server/v3"),
        Program::KubeApiserver => (&KUBERNETES, "k8s.io/kubernetes/cmd/kube-apiserver"),
        Program::KubeControllerManager => {
            (&KUBERNETES, "k8s.io/kubernetes/cmd/kube-controller-manager")
        }
        Program::KubeScheduler => (&KUBERNETES, "k8s.io/kubernetes/cmd/kube-scheduler"),
        Program::Kubectl => (&KUBERNETES, "k8s.io/kubernetes/cmd/kubectl"),
        Program::Kwok => (&KWOK, "sigs.k8s.io/kwok/cmd/kwok"),
    }
}

/// Changes whenever a pinned version does; FNV-1a, 32 bits.
pub(crate) fn fingerprint() -> u32 {
    let texts = [
        KUBERNETES.go_mod,
        KUBERNETES.go_sum,
        KWOK.go_mod,
        KWOK.go_sum,
    ];
    texts
        .iter()
        .flat_map(|it| it.bytes())
        .fold(0x811c_9dc5, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        })
}

/// Builds programs into the cache folder, unless another process did so meanwhile.
pub(crate) fn build(
    cache: &Path,
    programs: &[Program],
    progress: &dyn Progress,
) -> Result<(), Error> {
    let first = programs.first().map_or("go", |it| it.name());
    if Command::new("go").arg("version").output().is_err() {
        return Err(Error::GoMissing { program: first });
    }
    fs::create_dir_all(cache).map_err(Error::file("create", cache))?;
    let _lock = lock(cache, progress)?;
    // A bar per program tells more than one for all; the packages they share are compiled only once anyway.
    for &program in programs {
        if !cache.join(program.name()).exists() {
            build_one(cache, program, progress)?;
        }
    }
    Ok(())
}

fn lock(cache: &Path, progress: &dyn Progress) -> Result<File, Error> {
    let path = cache.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::file("open", &path))?;
    if file.try_lock().is_err() {
        progress.report(Event::WaitingForBuild);
        file.lock().map_err(Error::file("lock", &path))?;
    }
    Ok(file)
}

fn build_one(cache: &Path, program: Program, progress: &dyn Progress) -> Result<(), Error> {
    let started = Instant::now();
    let (module, package) = package(program);
    let dir = cache.join("src").join(module.folder);
    fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    for (name, text) in [("go.mod", module.go_mod), ("go.sum", module.go_sum)] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(Error::file("write", path))?;
    }
    let mut run = Run {
        dir,
        program,
        log: cache.join(format!("{}.build.log", program.name())),
    };
    fs::write(&run.log, "").map_err(Error::file("write", &run.log))?;

    progress.report(Event::Resolving {
        programs: program.name(),
    });
    let mut total = 0;
    run.go(
        &["list", "-mod=readonly", "-deps", package],
        |_| total += 1,
        |_| {},
    )?;

    let ldflags = format!("-s -w {}", version_flags(program));
    let unfinished = cache.join(format!("{}.new", program.name()));
    let output = unfinished.to_string_lossy().into_owned();
    let mut done = 0;
    let compiled = |line: &str| {
        // Only package paths are bare words; what the compiler says is not.
        if !line.contains(' ') && line.contains('/') {
            done = (done + 1).min(total);
            progress.report(Event::Compiling {
                programs: program.name(),
                package: line,
                done,
                total,
            });
        }
    };
    let args = [
        "build",
        "-mod=readonly",
        "-trimpath",
        "-v",
        "-ldflags",
        &ldflags,
        "-o",
        &output,
        package,
    ];
    run.go(&args, |_| {}, compiled)?;

    let finished = cache.join(program.name());
    fs::rename(&unfinished, &finished).map_err(Error::file("write", finished))?;
    progress.report(Event::Built {
        programs: program.name(),
        after: started.elapsed(),
    });
    Ok(())
}

struct Run {
    dir: PathBuf,
    program: Program,
    log: PathBuf,
}

impl Run {
    /// Runs go, with its output line by line to the two functions.
    fn go(
        &mut self,
        args: &[&str],
        mut on_stdout: impl FnMut(&str),
        mut on_stderr: impl FnMut(&str) + Send,
    ) -> Result<(), Error> {
        let failed = |source| Error::Spawn {
            process: "go".to_owned(),
            source,
        };
        let mut log = OpenOptions::new()
            .append(true)
            .open(&self.log)
            .map_err(Error::file("open", &self.log))?;
        let mut child = Command::new("go")
            .args(args)
            .current_dir(&self.dir)
            // A workspace around the cache folder, or a C compiler, has no say in this.
            .env("GOWORK", "off")
            .env("CGO_ENABLED", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let stdout = BufReader::new(child.stdout.take().expect("standard output was asked for"));
        let stderr = BufReader::new(child.stderr.take().expect("standard error was asked for"));
        let tail = std::thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut tail = VecDeque::new();
                for line in stderr.lines().map_while(Result::ok) {
                    let _ = writeln!(log, "{line}");
                    on_stderr(&line);
                    if tail.len() == TAIL_LINES {
                        tail.pop_front();
                    }
                    tail.push_back(line);
                }
                tail
            });
            stdout
                .lines()
                .map_while(Result::ok)
                .for_each(|line| on_stdout(&line));
            reader.join().unwrap_or_default()
        });
        let status = child.wait().map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Build {
            program: self.program.name().to_owned(),
            cause: cause(&tail).unwrap_or_else(|| format!("go {} ended with {status}", args[0])),
            output: Vec::from(tail).join("\n"),
            log: self.log.clone(),
        })
    }
}

/// The first message that is not progress: what follows are mostly consequences.
fn cause(tail: &VecDeque<String>) -> Option<String> {
    let is_message = |line: &&String| {
        let line = line.trim();
        line.contains(' ') && !line.starts_with("go: downloading ") && !line.starts_with("# ")
    };
    tail.iter()
        .find(is_message)
        .map(|line| line.trim().to_owned())
}

/// What the programs answer when asked for their version, read from the pins.
fn version_flags(program: Program) -> String {
    match program {
        Program::Etcd => String::new(),
        Program::Kwok => {
            let version = pinned(&KWOK, "sigs.k8s.io/kwok");
            format!("-X sigs.k8s.io/kwok/pkg/consts.Version={version}")
        }
        _ => {
            let version = pinned(&KUBERNETES, "k8s.io/kubernetes");
            let mut parts = version.trim_start_matches('v').split('.');
            let (major, minor) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            let base = "k8s.io/component-base/version";
            format!(
                "-X {base}.gitVersion={version} -X {base}.gitMajor={major} -X {base}.gitMinor={minor}"
            )
        }
    }
}

fn pinned(module: &Module, path: &str) -> &'static str {
    let version = |line: &'static str| {
        line.trim()
            .strip_prefix(path)?
            .strip_prefix(' ')?
            .split_whitespace()
            .next()
    };
    module
        .go_mod
        .lines()
        .find_map(version)
        .expect("the module is required in its go.mod")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_pins() {
        assert_eq!(
            version_flags(Program::KubeApiserver),
            "-X k8s.io/component-base/version.gitVersion=v1.34.4 -X k8s.io/component-base/version.gitMajor=1 -X \
             k8s.io/component-base/version.gitMinor=34"
        );
        assert_eq!(
            version_flags(Program::Kwok),
            "-X sigs.k8s.io/kwok/pkg/consts.Version=v0.7.0"
        );
    }

    #[test]
    fn the_cause_of_a_failed_build_is_its_first_message() {
        for (output, expected) in [
            (
                &[
                    "go: downloading k8s.io/api v0.34.4",
                    "go: x@v1: dial tcp: no such host",
                ][..],
                "go: x@v1: dial tcp: no such host",
            ),
            (
                &[
                    "k8s.io/api/core/v1",
                    "# k8s.io/x",
                    "x.go:1:2: undefined: y",
                    "x.go:2:2: too",
                ],
                "x.go:1:2: undefined: y",
            ),
        ] {
            let tail = output.iter().map(ToString::to_string).collect();
            assert_eq!(cause(&tail).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_failed_build_says_what_go_says() {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run {
            dir: dir.path().to_owned(),
            program: Program::Kwok,
            log: dir.path().join("log"),
        };
        fs::write(&run.log, "").unwrap();
        fs::write(dir.path().join("go.mod"), "module x\n\ngo 1.24\n").unwrap();
        let error = run
            .go(
                &["build", "-mod=readonly", "sigs.k8s.io/kwok/cmd/kwok"],
                |_| {},
                |_| {},
            )
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("cannot build kwok: ") && text.contains("sigs.k8s.io/kwok"),
            "{text}"
        );
        assert!(error.detail().is_some());
        assert!(
            fs::read_to_string(&run.log)
                .unwrap()
                .contains("sigs.k8s.io/kwok")
        );
    }
}
