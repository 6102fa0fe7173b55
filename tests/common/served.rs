//! The built `kith serve` in a folder of its own, for clients that are written in other languages.
#![allow(dead_code)] // each test uses its part

#[path = "require.rs"]
pub mod require;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A running service; it ends with the value.
pub struct Served {
    /// Scheme, address and port.
    pub origin: String,
    database: PathBuf,
    process: Child,
}

impl Served {
    /// Starts a service over a new database in `folder`, and makes a key of each of these roles before.
    pub fn begin(folder: &Path, roles: &[&str], options: &[&str]) -> (Self, Vec<String>) {
        let database = folder.join("faces");
        let keys = roles.iter().map(|role| new_key(&database, role)).collect();
        let mut process = Command::new(env!("CARGO_BIN_EXE_kith"))
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(&database)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join("serve.log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let served = Self { origin: line.trim().to_string(), database, process };
        assert!(served.origin.starts_with("http://127.0.0.1:"), "{}", served.log());
        (served, keys)
    }

    /// What the service wrote on standard error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.database.with_file_name("serve.log")).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn new_key(database: &Path, role: &str) -> String {
    let made = Command::new(env!("CARGO_BIN_EXE_kith"))
        .args(["keys", "new", role, "--role", role, "--db"])
        .arg(database)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    text(&made.stdout).trim().to_string()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A Python that has `module`: the one that the variable names, or the one on the path. Says so where there is none.
pub fn python_with(variable: &str, module: &str, requirements: &str) -> Option<PathBuf> {
    let python = std::env::var_os(variable).map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let has = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    if has.is_ok_and(|done| done.status.success()) {
        return Some(python);
    }
    let python = python.display();
    require::missing(format_args!(
        "{python} has no {module}; install {requirements} and name its Python in {variable}"
    ));
    None
}

/// Fails with everything that was written where the run did not end with `last`.
#[track_caller]
pub fn assert_done(done: &Output, last: &str, served: &Served) {
    let (out, err) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success() && out.contains(last), "{out}\n{err}\n{}", served.log());
}
