//! Settings of the service's commands: flags over environment over the file of `--config`.
//!
//! Every long flag of `kith serve` is a setting: `--tls-cert` is `tls_cert` in the file and `KITH_TLS_CERT` in the
//! environment. What file and environment say goes to the same parser as the flags, so that there is one check
//! of each value; what is wrong is told with the place where it was said.

mod file;
mod kinds;
mod layers;
mod limits;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, FromArgMatches};

use super::args::command::Args;
use super::args::table;
use file::Written;
pub(super) use kinds::{Fault, InForce, Settings};
use layers::{Said, in_force, is_flag, lower_layers, variable, with};
pub(super) use limits::{limits_help, one_limit};

/// Commands that take settings. The others take flags alone.
const COMMANDS: [&str; 4] = ["serve", "keys", "audit", "config"];
/// Flags that say how the command itself answers, or that the service has no use for.
const NO_SETTINGS: [&str; 9] =
    ["config", "limit", "json", "quiet", "help", "version", "gallery", "max_megapixels", "file"];
/// Reads a command line and, where its command takes settings, the layers beneath it.
///
/// # Errors
/// What clap has to say about the command line itself.
pub(super) fn read(line: &[OsString]) -> Result<(Args, Settings), clap::Error> {
    let matches = table::matches(line)?;
    let path = path_of(&matches);
    if !path.first().is_some_and(|name| COMMANDS.contains(name)) {
        return Ok((Args::from_arg_matches(&matches)?, Settings::default()));
    }
    let command = table::command();
    let leaf = leaf_of(&matches);
    let mut settings = Settings { file: file_of(leaf), ..Settings::default() };
    let mut written = Written::default();
    if let Some(path) = &settings.file {
        let known = names(&known_to(&command, &["serve"]));
        match file::read(path, &known) {
            Ok((read, faults)) => {
                written = read;
                settings.faults.extend(faults);
            }
            Err(fault) => {
                settings.unreadable = true;
                settings.faults.push(fault);
            }
        }
    }
    let known = known_to(&command, &path);
    let flags: Vec<&str> = known.iter().map(|a| a.get_id().as_str()).filter(|id| is_flag(leaf, id)).collect();
    let mut said = lower_layers(&known, &flags, &mut written, &mut settings.faults);
    let args = loop {
        match command.clone().try_get_matches_from(with(line, &said)) {
            Ok(matches) => {
                settings.in_force = known.iter().map(|arg| in_force(arg, leaf_of(&matches), &said)).collect();
                break Args::from_arg_matches(&matches)?;
            }
            // One after the other, so that each is told.
            Err(error) => match blamed(&error, &said) {
                Some(index) => settings.faults.push(fault_of(&error, &said.remove(index))),
                // Of values that are each right and do not go together.
                None if !said.is_empty() => {
                    settings.faults.push(Fault { place: None, what: plain(&error) });
                    said.clear();
                }
                None => return Err(error),
            },
        }
    };
    limits::settle(&mut settings, &written, leaf_of(&matches));
    Ok((args, settings))
}

fn path_of(matches: &ArgMatches) -> Vec<&str> {
    let mut path = Vec::new();
    let mut at = matches;
    while let Some((name, inner)) = at.subcommand() {
        path.push(name);
        at = inner;
    }
    path
}

fn leaf_of(matches: &ArgMatches) -> &ArgMatches {
    let mut at = matches;
    while let Some((_, inner)) = at.subcommand() {
        at = inner;
    }
    at
}

/// The file that holds settings: `--config`, `kith config check`'s own argument, or `$KITH_CONFIG`.
fn file_of(leaf: &ArgMatches) -> Option<PathBuf> {
    let given = |id: &str| leaf.try_get_one::<PathBuf>(id).ok().flatten().cloned();
    given("file").or_else(|| given("config")).or_else(|| variable("config").map(|(_, value)| value.into()))
}

/// The settings among the arguments of a command and of those above it.
fn known_to(root: &Command, path: &[&str]) -> Vec<Arg> {
    let mut known: Vec<Arg> = Vec::new();
    let mut at = Some(root);
    let mut rest = path.iter();
    while let Some(command) = at {
        // An option of the networks is an argument of the root, and a hidden one of a command that has no use for it.
        let new =
            |a: &&Arg| !NO_SETTINGS.contains(&a.get_id().as_str()) && known.iter().all(|k| k.get_id() != a.get_id());
        let new: Vec<Arg> = command.get_arguments().filter(new).cloned().collect();
        known.extend(new);
        at = rest.next().and_then(|name| command.find_subcommand(name));
    }
    let serve = root.find_subcommand("serve");
    let of_service = |a: &Arg| {
        let id = a.get_id();
        let here = |c: &Command| c.get_arguments().any(|b| b.get_id() == id);
        here(root) || serve.is_some_and(here)
    };
    known.retain(of_service);
    known
}

fn names(known: &[Arg]) -> Vec<String> {
    known.iter().map(|a| a.get_id().to_string()).collect()
}

/// Which of the settings clap complains about.
fn blamed(error: &clap::Error, said: &[Said]) -> Option<usize> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let Some(ContextValue::String(text)) = error.get(ContextKind::InvalidArg) else { return None };
    let flag = text.trim_start_matches("--").split([' ', '=', '[']).next()?.replace('-', "_");
    said.iter().position(|s| s.name == flag)
}

fn fault_of(error: &clap::Error, said: &Said) -> Fault {
    let why = match (std::error::Error::source(error), error.get(ContextKind::ValidValue)) {
        (Some(why), _) => why.to_string(),
        (None, Some(ContextValue::Strings(known))) => format!("one of {} is wanted", known.join(", ")),
        (None, _) => "it cannot be read".to_string(),
    };
    Fault::at(&said.source, format!("{} is {:?}: {why}", said.name, said.value.to_string_lossy()))
}

/// clap's message without its decoration.
fn plain(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let first = text.split("\n\nUsage").next().unwrap_or_default();
    let words: Vec<&str> = first.trim_start_matches("error: ").split_whitespace().collect();
    words.join(" ")
}
