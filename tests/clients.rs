//! Clients that are generated from `/openapi.json`: in Python, run against the service, and in TypeScript, checked by its
//! compiler. The description itself is held against the standard.
#![cfg(all(feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/served.rs"]
mod served;

use std::path::{Path, PathBuf};
use std::process::Command;

use served::require::missing;
use served::{Served, assert_done, python_with, text};

#[test]
fn a_client_made_from_the_description_works() {
    let requirements = "tests/client/requirements.txt";
    let Some(python) = python_with("KITH_CLIENT_PYTHON", "openapi_python_client", requirements) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let (served, keys) = Served::begin(folder.path(), &["admin"], &[]);
    let done = Command::new(python)
        .arg(root.join("tests/client/check.py"))
        .args([&served.origin, &keys[0]])
        .args([root.join("tests/fixtures/photos").as_path(), folder.path()])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert_done(&done, "is told of problems", &served);

    let modules = std::env::var_os("KITH_CLIENT_MODULES").map_or_else(|| root.join("tests/client"), PathBuf::from);
    let modules = modules.join("node_modules");
    if !modules.join("openapi-typescript").is_dir() {
        return missing("openapi-typescript is not there; run `npm ci` in tests/client");
    }
    std::fs::copy(root.join("tests/client/check.ts"), folder.path().join("check.ts")).unwrap();
    for arguments in [
        &["openapi-typescript/bin/cli.js", "openapi.json", "--output", "api.ts"][..],
        &["typescript/bin/tsc", "--noEmit", "--strict", "--module", "nodenext", "--target", "es2022", "check.ts"],
    ] {
        let mut node = Command::new("node");
        node.arg(modules.join(arguments[0])).args(&arguments[1..]).current_dir(folder.path());
        let done = node.output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {}\n{}", text(&done.stdout), text(&done.stderr));
    }
}
