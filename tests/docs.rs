//! The API page at `/docs` in headless Chromium: runs `tests/page/docs.mjs`, or says what is missing for it.
#![cfg(all(feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/served.rs"]
mod served;

use std::path::{Path, PathBuf};
use std::process::Command;

use served::require::missing;
use served::{Served, assert_done};

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).flat_map(|f| names.iter().map(move |n| f.join(n))).find(|p| p.is_file())
}

#[test]
fn every_call_is_described_and_can_be_tried() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = std::env::var_os("KITH_PAGE_MODULES").map_or_else(|| root.join("tests/page"), PathBuf::from);
    let chromium = on_path(&["chromium", "chromium-browser", "google-chrome"]);
    let (Some(node), Some(chromium)) = (on_path(&["node"]), chromium) else {
        missing("node and chromium are not both on the path");
        return;
    };
    if !modules.join("node_modules/playwright-core").is_dir() {
        missing("playwright-core is not there; run `npm ci` in tests/page");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (served, keys) = Served::begin(folder.path(), &["admin"], &[]);
    let done = Command::new(node)
        .arg(root.join("tests/page/docs.mjs"))
        .args([served.origin.as_ref(), keys[0].as_ref(), folder.path()])
        .args([root.join("tests/fixtures/photos"), chromium])
        .output()
        .unwrap();
    assert_done(&done, "nothing left the origin", &served);
}
