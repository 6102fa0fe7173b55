//! CompreFace's own Python client against the service: runs `tests/compreface/sdk.py`, or says what is missing.
#![cfg(all(feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/served.rs"]
mod served;

use std::path::Path;
use std::process::Command;

use served::{Served, assert_done, python_with};

#[test]
fn their_client_is_answered_as_compreface_answers_it() {
    let requirements = "tests/compreface/requirements.txt";
    let Some(python) = python_with("KITH_COMPREFACE_PYTHON", "compreface", requirements) else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let (served, keys) = Served::begin(folder.path(), &["admin", "read"], &[]);
    let done = Command::new(python)
        .arg(root.join("tests/compreface/sdk.py"))
        .args([&served.origin, &keys[0], &keys[1]])
        .arg(root.join("tests/fixtures/photos"))
        .output()
        .unwrap();
    assert_done(&done, "every call was answered as CompreFace answers it", &served);
}
