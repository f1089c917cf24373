//! `navarch local`, as a new user goes through it.

#![allow(clippy::unwrap_used, reason = "stories fail by panicking")]

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn navarch(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_navarch"))
        .args(args)
        .env("NAVARCH_LOCAL_DIR", dir)
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Standard output of a command that has to succeed.
fn ok(dir: &Path, args: &[&str]) -> String {
    let output = navarch(dir, args);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "navarch {args:?}: {out}{err}");
    out.into_owned()
}

/// Takes the instance down however the story ends.
struct Instance<'a>(&'a Path);

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        navarch(self.0, &["local", "down", "--purge"]);
    }
}

#[test]
fn the_demo_runs_is_looked_at_and_goes() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("local");
    let _instance = Instance(&dir);

    let demo = ok(&dir, &["local", "demo"]);
    let row = |cluster: &str| {
        let line = demo.lines().find(|line| line.starts_with(cluster)).unwrap();
        line.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        row("member1")[..4],
        ["member1", "1", "1", "docker.io/library/nginx:1.29"]
    );
    assert_eq!(row("member2")[1..3], ["2", "2"]);
    assert_eq!(
        row("member3")[3],
        "registry.member3.example/library/nginx:1.29"
    );

    let status: Value =
        serde_json::from_str(&ok(&dir, &["local", "status", "-o", "json"])).unwrap();
    assert_eq!(status["kind"], "LocalReport");
    let members = status["members"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    assert!(
        members.iter().all(|member| member["ready"] == true),
        "{members:?}"
    );
    assert!(ok(&dir, &["local", "logs", "navarch"]).contains("Serving"));
    for file in ["navarch.yaml", "member1.yaml", "all.yaml"] {
        assert!(dir.join("kubeconfig").join(file).is_file(), "{file}");
    }

    // A second start finds everything running; fewer members than there are is refused.
    ok(&dir, &["local", "up", "--members", "3"]);
    let fewer = navarch(&dir, &["local", "up", "--members", "1"]);
    assert!(!fewer.status.success());

    ok(&dir, &["local", "down", "--purge"]);
    let status = navarch(&dir, &["local", "status"]);
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("nothing") || !status.status.success()
    );
}

#[test]
fn what_is_wrong_with_a_kubeconfig_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.yaml").display().to_string();
    let broken = folder.path().join("broken.yaml");
    std::fs::write(
        &broken,
        "apiVersion: v1\nkind: Config\ncurrent-context: nowhere\n",
    )
    .unwrap();
    let broken = broken.display().to_string();
    for (args, needle) in [
        (
            vec!["serve", "all", "--kubeconfig", &missing],
            "missing.yaml",
        ),
        (vec!["serve", "all", "--kubeconfig", &broken], "nowhere"),
        (
            vec![
                "join",
                "m1",
                "--kubeconfig",
                &missing,
                "--cluster-kubeconfig",
                &missing,
            ],
            "missing.yaml",
        ),
        (vec!["serve", "nonsense"], "nonsense"),
    ] {
        let output = navarch(folder.path(), &args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains(needle), "{args:?}: {text}");
        assert!(text.starts_with("error: "), "{args:?}: {text}");
    }
}
