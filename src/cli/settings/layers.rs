//! The layers beneath the flags: what the environment and a file say becomes further flags.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};

use super::file::{self, Written};
use super::kinds::{Fault, InForce, Source};
use crate::files::typed;

/// Two ways to say one thing: the one of the higher layer counts.
const EITHER: [(&str, &str); 1] = [("key_file", "key_command")];
/// The settings' names in the environment begin so.
const PREFIX: &str = "KITH_";

/// A setting that a lower layer than the flags says.
pub(super) struct Said {
    pub name: String,
    pub value: OsString,
    pub source: Source,
}

/// A setting's variable, where it is set.
pub(super) fn variable(name: &str) -> Option<(String, OsString)> {
    // `$KITH_LOG` says how much is logged.
    let name = if name == "log" { "log_form" } else { name };
    let variable = format!("{PREFIX}{}", name.to_uppercase());
    std::env::var_os(&variable).filter(|v| !v.is_empty()).map(|value| (variable, value))
}

/// Whether the command line itself says it.
pub(super) fn is_flag(leaf: &ArgMatches, id: &str) -> bool {
    leaf.try_contains_id(id).is_ok() && leaf.value_source(id) == Some(ValueSource::CommandLine)
}

pub(super) fn lower_layers(known: &[Arg], flags: &[&str], written: &mut Written, faults: &mut Vec<Fault>) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    for arg in known {
        let name = arg.get_id().as_str();
        let in_file = written.values.remove(name);
        if flags.contains(&name) {
            continue;
        }
        if let Some((variable, value)) = variable(name) {
            said.push(Said { name: name.to_string(), value, source: Source::Variable(variable) });
        } else if let Some((value, source)) = in_file {
            match file::text(&value) {
                Some(text) => {
                    let value = if is_path(arg) { file::beside(&source, &text) } else { text.into() };
                    said.push(Said { name: name.to_string(), value, source });
                }
                None => faults.push(Fault::at(source, format!("{name}: text, a number, true or false is wanted"))),
            }
        }
    }
    for (a, b) in EITHER {
        let layer = |name: &str| match said.iter().find(|s| s.name == name).map(|s| &s.source) {
            _ if flags.contains(&name) => 3,
            Some(Source::Variable(_)) => 2,
            Some(_) => 1,
            None => 0,
        };
        let (of_a, of_b) = (layer(a), layer(b));
        said.retain(|s| !(s.name == a && of_a < of_b || s.name == b && of_b < of_a));
    }
    said
}

fn is_path(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
}

/// The command line with the lower layers' settings as further flags.
pub(super) fn with(line: &[OsString], said: &[Said]) -> Vec<OsString> {
    // After `--` nothing is a flag.
    let end = line.iter().position(|a| a == "--").unwrap_or(line.len());
    let flags = said.iter().map(|s| {
        let mut flag = OsString::from(format!("--{}=", s.name.replace('_', "-")));
        flag.push(&s.value);
        flag
    });
    line[..end].iter().cloned().chain(flags).chain(line[end..].iter().cloned()).collect()
}

pub(super) fn in_force(arg: &Arg, leaf: &ArgMatches, said: &[Said]) -> InForce {
    let name = arg.get_id().to_string();
    let source = match said.iter().find(|s| s.name == name) {
        Some(said) => said.source.clone(),
        None if is_flag(leaf, &name) => Source::Flag(name.replace('_', "-")),
        None => Source::Default,
    };
    let values = leaf.try_get_raw(&name).ok().flatten();
    let value = values.and_then(|mut v| v.next()).map(typed);
    // A command is the owner's to look up: it may hold what is not for a terminal.
    let value = value.map(|v| if name == "key_command" { "(not shown)".to_string() } else { v });
    InForce { name, value, source }
}
