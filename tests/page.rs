//! The page in headless Chromium: runs `tests/page/page.mjs`, or says what is missing for it.
#![cfg(all(feature = "serve", feature = "cli", feature = "embedded-weights"))]
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

#[path = "common/require.rs"]
mod require;

use std::path::{Path, PathBuf};
use std::process::Command;

use require::missing;

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).flat_map(|f| names.iter().map(move |n| f.join(n))).find(|p| p.is_file())
}

#[test]
fn the_page_works_in_a_browser() {
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
    let done = Command::new(node)
        .arg(root.join("tests/page/page.mjs"))
        .args([env!("CARGO_BIN_EXE_kith").as_ref(), folder.path()])
        .args([root.join("tests/fixtures/photos"), chromium])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(done.status.success(), "{}\n{}", text(&done.stdout), text(&done.stderr));
    assert!(text(&done.stdout).contains("nothing left the origin"), "{}", text(&done.stdout));
}
