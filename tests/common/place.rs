//! A photo library as a user runs it, in a folder of its own.
#![allow(dead_code)] // each test uses its part

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use kith::{Database, DatabaseOptions, MasterKey};
use serde_json::Value;

const KEY: &str = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

/// A photo that the tests have.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/photos").join(name)
}

/// A folder with a folder of photos, and the database of commands that are run there.
pub struct Place {
    folder: tempfile::TempDir,
    sealed: bool,
}

impl Place {
    pub fn new(sealed: bool) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), sealed };
        std::fs::create_dir(place.photos()).unwrap();
        std::fs::write(place.at("key"), KEY).unwrap();
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn photos(&self) -> PathBuf {
        self.at("photos")
    }

    pub fn put(&self, fixture_name: &str, name: &str) {
        let to = self.photos().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(fixture(fixture_name), to).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kith"));
        command.args(arguments).arg("--db").arg(self.at("faces")).arg("--quiet");
        if self.sealed {
            command.arg("--key-file").arg(self.at("key"));
        }
        command.env_remove("KITH_WEIGHTS").env_remove("KITH_DB").env("XDG_DATA_HOME", "/nonexistent");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The answer of a command that must end with `code`.
    pub fn answer(&self, arguments: &[&str], code: i32) -> Value {
        let done = self.run(&[arguments, &["--json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {out}{err}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {out}"))
    }

    pub fn add(&self) -> Value {
        let photos = self.photos();
        self.answer(&["library", "add", photos.to_str().unwrap()], 0)
    }

    pub fn open(&self) -> Database {
        let key = self.sealed.then(|| MasterKey::parse(KEY).unwrap());
        let options = DatabaseOptions { create: false, wait: Duration::from_secs(20), key };
        Database::open(self.at("faces"), &options).unwrap()
    }
}

/// Counts of a scan.
pub fn counts<const N: usize>(scanned: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| scanned[name].as_u64().unwrap_or_else(|| panic!("{name}: {scanned}")))
}
