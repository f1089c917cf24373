//! The generated code is what the protocol files say.
//!
//! `UPDATE_WIRE=1 cargo test -p navarch-estimator --test wire` writes it anew; nothing but Rust is needed for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

/// Packages and the modules that they are in.
type Externs = &'static [(&'static str, &'static str)];

/// File, package, and where other packages that it speaks of are.
const FILES: &[(&str, &str, Externs)] = &[
    ("resource", "k8s.io.apimachinery.pkg.api.resource", &[]),
    ("core", "k8s.io.api.core.v1", &[]),
    (
        "estimator",
        "github.com.karmada_io.karmada.pkg.estimator.pb",
        &[
            (
                ".k8s.io.apimachinery.pkg.api.resource",
                "crate::wire::resource",
            ),
            (".k8s.io.api.core.v1", "crate::wire::core"),
        ],
    ),
    (
        "service",
        "github.com.karmada_io.karmada.pkg.estimator.service",
        &[(
            ".github.com.karmada_io.karmada.pkg.estimator.pb",
            "crate::wire::estimator",
        )],
    ),
];

fn generate(file: &str, package: &str, externs: Externs) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let set = protox::compile([root.join(format!("{file}.proto"))], [&root]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut builder = tonic_prost_build::configure()
        .out_dir(folder.path())
        .btree_map(".")
        .emit_rerun_if_changed(false);
    for (package, path) in externs {
        builder = builder.extern_path(*package, *path);
    }
    builder.compile_fds(set).unwrap();
    fs::read_to_string(folder.path().join(format!("{package}.rs"))).unwrap()
}

#[test]
fn the_generated_code_is_up_to_date() {
    for (file, package, externs) in FILES {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("src/wire")
            .join(format!("{file}.rs"));
        let generated = generate(file, package, externs);
        if std::env::var_os("UPDATE_WIRE").is_some() {
            fs::write(&path, &generated).unwrap();
        }
        let present = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            present == generated,
            "{} is not what proto/{file}.proto says; run this test with UPDATE_WIRE=1",
            path.display()
        );
    }
}
