//! The commands as their help shows them: in groups, with examples, with the options of the networks where these act.
//!
//! A new command is a line in [`ROWS`]; a word that people try in place of a command's own is one in [`WORDS`].

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, CommandFactory};

use super::command::Args;

/// A group of commands in `kith help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Photos,
    People,
    Evaluation,
    Service,
    Upkeep,
}

const GROUPS: [(Group, &str); 5] = [
    (Group::Photos, "Photos"),
    (Group::People, "People"),
    (Group::Evaluation, "Evaluation"),
    (Group::Service, "Service"),
    (Group::Upkeep, "Upkeep"),
];

/// Which options of the networks act in a command.
#[derive(Debug, Clone, Copy)]
enum Networks {
    /// It looks at photos: all of them.
    All,
    /// These alone.
    Only(&'static [&'static str]),
}
use Networks::{All, Only};

/// The options of the networks, as they are called in [`super::common::Common`].
const OPTIONS: [&str; 11] = [
    "device",
    "precision",
    "profile",
    "detector",
    "model",
    "weights",
    "calibration",
    "min_face",
    "max_side",
    "enlarge",
    "max_megapixels",
];
/// Those that the service has a use for: it bounds photos by limits of its own.
const OF_THE_SERVICE: Networks = Only(&[
    "device",
    "precision",
    "profile",
    "detector",
    "model",
    "weights",
    "calibration",
    "min_face",
    "max_side",
    "enlarge",
]);
const NONE: Networks = Only(&[]);

/// A command's name, its group, its options of the networks, and examples of it without the `kith` before them.
type Row = (&'static str, Group, Networks, &'static [&'static str]);

#[rustfmt::skip] // a line a command
const ROWS: &[Row] = &[
    ("compare", Group::Photos, All, &["compare a.jpg b.jpg -o pair.png", "compare a.jpg b.jpg --max-fmr 1e-4 --json"]),
    ("verify", Group::Photos, All, &["verify passport.jpg selfie.jpg", "verify a.jpg party.jpg --largest && echo the same person"]),
    ("detect", Group::Photos, All, &["detect party.jpg", "detect *.jpg -o faces --min-face 40"]),
    ("embed", Group::Photos, All, &["embed a.jpg b.jpg -o vectors.npy"]),
    ("enroll", Group::People, All, &["enroll Ada ada1.jpg ada2.jpg", "enroll Ada ada.jpg --group staff --label desk=12", "enroll --dir people --largest"]),
    ("identify", Group::People, All, &["identify photo.jpg", "identify party.jpg -o named.jpg --top 1", "identify door.jpg --group staff --max-fpir 0.001 --json"]),
    ("people", Group::People, Only(&["calibration"]), &["people", "people show Ada", "people rename Ada \"Ada Lovelace\"", "people merge Adda Ada", "people label Ada --join staff"]),
    ("forget", Group::People, NONE, &["forget Ada", "forget --face 17"]),
    ("library", Group::People, All, &["library add ~/Pictures", "library add ~/Pictures --watch", "library duplicates"]),
    ("cluster", Group::People, All, &["cluster", "cluster name 412 \"Ada Lovelace\""]),
    ("find", Group::People, NONE, &["find Ada --with Grace --from 2023 -o together"]),
    ("calibrate", Group::Evaluation, All, &["calibrate people -o record.json --source \"our staff, 2026\"", "calibrate --show"]),
    ("eval", Group::Evaluation, All, &["eval pairs pairs.txt --images lfw --html report.html", "eval identify people --by best,mean"]),
    ("train", Group::Evaluation, All, &["train fisherfaces people --name ours", "train triplet people --model tiny --name ours --checkpoint run", "train distil photos --teacher sface --name small", "train adapt --gallery staff --name door", "train networks nn1"]),
    ("serve", Group::Service, OF_THE_SERVICE, &["serve", "serve --db faces --listen 0.0.0.0:8321 --tls-cert cert.pem --tls-key key.pem"]),
    ("config", Group::Service, OF_THE_SERVICE, &["config check kith.toml"]),
    ("keys", Group::Service, NONE, &["keys new door --role decide --only staff", "keys list", "keys revoke 3f9c"]),
    ("audit", Group::Service, NONE, &["audit verify", "audit show"]),
    ("stats", Group::Upkeep, NONE, &["stats", "stats --db faces --json"]),
    ("check", Group::Upkeep, NONE, &["check", "check --repair"]),
    ("reindex", Group::Upkeep, NONE, &["reindex --index graph"]),
    ("backup", Group::Upkeep, NONE, &["backup faces.bak", "backup faces.bak --ring faces.ring"]),
    ("restore", Group::Upkeep, NONE, &["restore faces.bak --db restored"]),
    ("export", Group::Upkeep, NONE, &["export staff-faces --gallery staff"]),
    ("import", Group::Upkeep, NONE, &["import staff-faces --gallery staff"]),
    ("reembed", Group::Upkeep, All, &["reembed --model sface --photos pictures"]),
    ("key", Group::Upkeep, NONE, &["key new master.key"]),
    ("rekey", Group::Upkeep, NONE, &["rekey --new-key-file master.key"]),
    ("weights", Group::Upkeep, Only(&["weights"]), &["weights list", "weights pull facenet-vggface2 --accept-licence", "weights import released.pt --name mine"]),
    ("completions", Group::Upkeep, NONE, &["completions bash > ~/.local/share/bash-completion/completions/kith"]),
    ("man", Group::Upkeep, NONE, &["man | man -l -", "man -o ~/.local/share/man/man1"]),
];

/// Words that people try, and the command that is meant.
#[rustfmt::skip] // a line a command
const WORDS: &[(&str, &[&str])] = &[
    ("compare", &["diff", "similarity"]),
    ("verify", &["match", "same"]),
    ("detect", &["faces"]),
    ("embed", &["vectors", "encode"]),
    ("enroll", &["add", "enrol", "register", "remember", "learn"]),
    ("identify", &["who", "search", "recognize", "recognise", "lookup", "query"]),
    ("people", &["list", "ls", "persons"]),
    ("people show", &["show", "person"]),
    ("people rename", &["rename", "mv"]),
    ("people merge", &["merge", "join"]),
    ("people split", &["split", "unmerge"]),
    ("people label", &["label", "tag", "group"]),
    ("forget", &["delete", "remove", "rm", "del", "erase"]),
    ("serve", &["server", "start", "http", "run"]),
    ("audit show", &["log", "logs"]),
    ("stats", &["info", "status"]),
    ("check", &["fsck", "repair"]),
    ("reindex", &["index", "rebuild"]),
    ("export", &["dump"]),
    ("rekey", &["encrypt", "decrypt"]),
    ("weights list", &["models"]),
    ("weights pull", &["pull", "download"]),
    ("completions", &["completion"]),
];

/// The command line's description.
pub(in crate::cli) fn command() -> Command {
    let mut root = Args::command();
    let options: Vec<Arg> = root.get_arguments().filter(|a| OPTIONS.contains(&a.get_id().as_str())).cloned().collect();
    for (name, _, networks, examples) in ROWS {
        if root.find_subcommand(name).is_none() {
            continue;
        }
        root = root.mut_subcommand(name, |command| {
            let mut text = String::from("Examples:");
            examples.iter().for_each(|e| text += &format!("\n  kith {e}"));
            // Said here, an option is not taken over from the root, where no help shows it.
            let shown = |o: &Arg| {
                let acts = acts(*networks, o.get_id().as_str());
                o.clone().hide(!acts).help_heading("Networks")
            };
            let own: Vec<Arg> = options.iter().filter(|o| !has(&command, o)).map(shown).collect();
            command.args(own).after_help(text)
        });
    }
    root = OPTIONS.iter().fold(root, |root, id| root.mut_arg(id, |option| option.hide(true)));
    let groups = groups(&root);
    root.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

fn has(command: &Command, option: &Arg) -> bool {
    command.get_arguments().any(|a| a.get_id() == option.get_id())
}

fn acts(networks: Networks, id: &str) -> bool {
    match networks {
        All => true,
        Only(ids) => ids.contains(&id),
    }
}

/// The commands by their groups; those without a row come last.
fn groups(root: &Command) -> String {
    let width = root.get_subcommands().map(|c| c.get_name().len()).max().unwrap_or(0);
    let line = |c: &Command| {
        let about = c.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:width$}  {}\n", c.get_name(), about.replace(['{', '}'], ""))
    };
    let row = |c: &Command| ROWS.iter().find(|(name, ..)| *name == c.get_name());
    let mut text = String::new();
    for (group, title) in GROUPS {
        let of_group = |c: &&Command| row(c).map_or(Group::Upkeep, |r| r.1) == group;
        let lines: String = root.get_subcommands().filter(of_group).map(line).collect();
        if !lines.is_empty() {
            text += &format!("{title}:\n{lines}\n");
        }
    }
    text
}

/// Reads a command line.
///
/// # Errors
/// What is wrong with it; for a word that is no command, with the command that is meant.
pub(in crate::cli) fn matches(line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let matches = command().try_get_matches_from(line).map_err(advised)?;
    if let Some((option, name)) = idle(&matches) {
        let what = format!(
            "{option} does nothing in `kith {name}`, and is an option of the commands that look at photos; leave it away"
        );
        return Err(command().error(ErrorKind::ArgumentConflict, what));
    }
    // It would be for every gallery all the same, which nobody who says so expects.
    if matches.subcommand_name() == Some("keys") && is_said(&matches, "gallery") {
        let what = "--gallery limits no key; a key for one gallery is made with `kith keys new NAME --role ROLE --only GALLERY`";
        return Err(command().error(ErrorKind::ArgumentConflict, what));
    }
    Ok(matches)
}

/// [`matches`] as arguments.
///
/// # Errors
/// As [`matches`].
#[cfg(not(feature = "serve"))]
pub(in crate::cli) fn read(line: &[OsString]) -> Result<Args, clap::Error> {
    clap::FromArgMatches::from_arg_matches(&matches(line)?)
}

fn advised(mut error: clap::Error) -> clap::Error {
    let word = match (error.kind(), error.get(ContextKind::InvalidSubcommand)) {
        (ErrorKind::InvalidSubcommand, Some(ContextValue::String(word))) => word.clone(),
        _ => return error,
    };
    if let Some(meant) = meant(&word) {
        error.remove(ContextKind::SuggestedSubcommand);
        let tip = format!("that is `kith {meant}`; `kith help {meant}` has examples");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
    error
}

/// Whether the command line says an option, at whatever command of its path.
fn is_said(matches: &ArgMatches, id: &str) -> bool {
    let here =
        matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(clap::parser::ValueSource::CommandLine);
    here || matches.subcommand().is_some_and(|(_, deeper)| is_said(deeper, id))
}

/// The first option of the networks that was said and does nothing in its command, with the command's name.
fn idle(matches: &ArgMatches) -> Option<(String, String)> {
    let name = matches.subcommand_name()?;
    let (.., networks, _) = *ROWS.iter().find(|(row, ..)| *row == name)?;
    let option = OPTIONS.iter().find(|id| !acts(networks, id) && is_said(matches, id))?;
    Some((format!("--{}", option.replace('_', "-")), name.to_string()))
}

/// The command that is meant by a word that is none.
fn meant(word: &str) -> Option<&'static str> {
    let word = word.to_lowercase();
    WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(command, _)| *command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_row_and_every_row_examples_that_parse() {
        let root = command();
        root.clone().debug_assert();
        for c in root.get_subcommands().filter(|c| c.get_name() != "help") {
            assert!(ROWS.iter().any(|(name, ..)| *name == c.get_name()), "{} is in no group", c.get_name());
        }
        for (name, _, _, examples) in ROWS.iter().filter(|(name, ..)| root.find_subcommand(name).is_some()) {
            assert!(!examples.is_empty(), "{name}");
            for example in *examples {
                assert!(example.starts_with(name), "{example}");
                let line = example.split(" > ").next().unwrap().split(" && ").next().unwrap();
                let line = line.split(" | ").next().unwrap();
                let mut words = vec!["kith".to_string()];
                // Words in quotation marks are one.
                for (i, part) in line.split('"').enumerate() {
                    match i % 2 {
                        0 => words.extend(part.split_whitespace().map(str::to_string)),
                        _ => words.push(part.to_string()),
                    }
                }
                let parsed = root.clone().try_get_matches_from(&words);
                assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
                assert_eq!(idle(&parsed.unwrap()), None, "{example}");
            }
        }
    }

    #[test]
    fn every_other_word_leads_to_a_command_and_is_none() {
        let root = command();
        for (path, words) in WORDS {
            let mut at = Some(&root);
            for part in path.split(' ') {
                at = at.and_then(|c| c.find_subcommand(part));
            }
            assert!(at.is_some() || cfg!(not(feature = "serve")), "{path}");
            for word in *words {
                assert!(root.find_subcommand(word).is_none(), "{word} is a command itself");
                assert_eq!(meant(word), Some(*path), "{word} is there twice");
            }
        }
    }

    #[test]
    fn options_of_the_networks_are_refused_and_hidden_where_they_do_nothing() {
        let root = command();
        let idle = |words: &[&str]| idle(&root.clone().try_get_matches_from(words).unwrap());
        let told = |option: &str, name: &str| Some((option.to_string(), name.to_string()));
        assert_eq!(idle(&["kith", "--model", "sface", "stats"]), told("--model", "stats"));
        assert_eq!(idle(&["kith", "forget", "Ada", "--min-face", "30"]), told("--min-face", "forget"));
        assert_eq!(idle(&["kith", "people", "show", "Ada", "--device", "cpu"]), told("--device", "people"));
        assert_eq!(idle(&["kith", "people", "--calibration", "x"]), None);
        assert_eq!(idle(&["kith", "--model", "sface", "verify", "a", "b"]), None);
        assert_eq!(idle(&["kith", "weights", "list", "--weights", "x"]), None);
        for (name, shown) in [("stats", false), ("verify", true)] {
            let mut root = root.clone();
            root.build();
            let help = root.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert_eq!(help.contains("--min-face"), shown, "{help}");
            assert!(help.contains("--json") && help.contains("Examples:\n  kith "), "{help}");
        }
    }
}
