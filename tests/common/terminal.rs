//! A command at a terminal, where somebody types an answer.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Runs it behind `script`, which gives it a terminal; once it asks, does something else, and then types the answer. The
/// exit code, and what is read on the terminal; nothing where there is no such program.
pub fn typed(command: &Command, meanwhile: impl FnOnce(), answer: &str) -> Option<(Option<i32>, String)> {
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let words: Vec<String> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]);
    command.get_envs().for_each(|(name, value)| match value {
        Some(value) => drop(script.env(name, value)),
        None => drop(script.env_remove(name)),
    });
    let child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return None,
        Err(e) => panic!("{e}"),
    };
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut shown, mut some) = (Vec::new(), [0; 256]);
    while !String::from_utf8_lossy(&shown).contains("[y/N]") {
        match screen.read(&mut some).unwrap() {
            0 => break,
            count => shown.extend_from_slice(&some[..count]),
        }
    }
    meanwhile();
    let _ = keys.write_all(format!("{answer}\n").as_bytes());
    screen.read_to_end(&mut shown).unwrap();
    drop(keys);
    Some((child.wait().unwrap().code(), String::from_utf8_lossy(&shown).into_owned()))
}
