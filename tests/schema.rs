//! The API against its own description: schemathesis makes requests from `/openapi.json`, right ones and wrong ones,
//! and holds every answer against it. Or says what is missing for it.
#![cfg(all(feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/served.rs"]
mod served;

use std::path::Path;
use std::process::Command;

use served::{Served, assert_done, python_with};

#[test]
fn every_answer_is_one_that_is_described() {
    let requirements = "tests/schema/requirements.txt";
    let Some(python) = python_with("KITH_SCHEMA_PYTHON", "schemathesis", requirements) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    // Small faces are not looked for: thousands of requests hold a photo, and what is asked here is the form of answers.
    let (served, keys) = Served::begin(folder.path(), &["admin"], &["--keep-chips", "--min-face", "60"]);
    let done = Command::new(python)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(root.join("tests/schema/schemathesis.toml"))
        .arg("run")
        .arg(format!("{}/openapi.json", served.origin))
        .env("KITH_API_KEY", &keys[0])
        .env("PYTHONPATH", root.join("tests/schema"))
        .env("KITH_PHOTOS", root.join("tests/fixtures/photos"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_done(&done, "Test cases:", &served);
}
