//! Arguments to an engine call to a printed answer.
//!
//! Exit codes, the same for every command: 0 done, or the same person; 1 different people, or a face
//! that nobody in the gallery is near enough to; 2 could not decide, or failed, with the reason on
//! standard error (with `--json`, as an object on standard output too).

mod args;
mod asking;
mod calibrate;
mod cluster;
mod codes;
mod compare;
#[cfg(feature = "serve")]
mod config;
mod database;
mod detect;
mod embed;
mod enroll;
mod eval;
mod eval_alignment;
mod eval_quality;
mod file_names;
mod identify;
mod key;
mod library;
mod manual;
mod notes;
mod output;
mod own_weights;
mod people;
mod people_folder;
mod reembed;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "serve")]
mod settings;
mod targets;
mod train;
mod train_faces;
mod train_networks;
mod verify;
mod weights;

use std::process::ExitCode;

use args::command::Command;
use codes::FAILED;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    crate::error::quiet_panics();
    let said: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let wrong = |error: clap::Error| output::wrong_words(&error, said.iter().any(|word| word == "--json"));
    #[cfg(feature = "serve")]
    let (args, settings) = settings::read(&said).unwrap_or_else(wrong);
    #[cfg(not(feature = "serve"))]
    let args = args::table::read(&said).unwrap_or_else(wrong);
    if let Some(threads) = args.common.threads {
        // Fails only when a pool exists already, and this is the first thing that could make one.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
    }
    let answer = match &args.command {
        Command::Compare(c) => compare::run(&args.common, c),
        Command::Verify(c) => verify::run(&args.common, c),
        Command::Detect(c) => detect::run(&args.common, c),
        Command::Embed(c) => embed::run(&args.common, c),
        Command::Calibrate(c) => calibrate::run(&args.common, c),
        Command::Eval(c) => eval::run(&args.common, c),
        Command::Train(c) => train::run(&args.common, c),
        Command::Enroll(c) => enroll::run(&args.common, c),
        Command::Identify(c) => identify::run(&args.common, c),
        Command::People(c) => people::run(&args.common, c),
        Command::Forget(c) => people::forget(&args.common, c),
        Command::Library(c) => library::run(&args.common, c),
        Command::Cluster(c) => cluster::run(&args.common, c),
        Command::Find(c) => library::find(&args.common, c),
        Command::Stats(c) => database::stats(&args.common, c),
        Command::Check(c) => database::check(&args.common, c),
        Command::Reindex(c) => database::reindex(&args.common, c),
        Command::Backup(c) => database::backup(&args.common, c),
        Command::Restore(c) => database::restore(&args.common, c),
        Command::Export(c) => database::export(&args.common, c),
        Command::Import(c) => database::import(&args.common, c),
        Command::Reembed(c) => reembed::run(&args.common, c),
        Command::Key(c) => key::run(&args.common, c),
        Command::Rekey(c) => key::rekey(&args.common, c),
        #[cfg(feature = "serve")]
        Command::Serve(c) => settings.faultless().and_then(|()| serve::run(&args.common, c, settings.limits)),
        #[cfg(feature = "serve")]
        Command::Config(c) => config::run(&args.common, c, &settings),
        #[cfg(feature = "serve")]
        Command::Keys(c) => settings.faultless().and_then(|()| serve::keys(&args.common, c)),
        #[cfg(feature = "serve")]
        Command::Audit(c) => settings.faultless().and_then(|()| serve::audit(&args.common, c)),
        Command::Weights(c) => weights::run(&args.common, &c.action),
        Command::Completions(c) => manual::completions(&args.common, c),
        Command::Man(c) => manual::man(&args.common, c),
    };
    let code = match answer {
        Ok(code) => code,
        Err(error) => {
            output::report(&args.common, &error);
            FAILED
        }
    };
    match output::unprinted() {
        Some(why) => {
            output::complain(format_args!("the answer could not be written: {why}"));
            ExitCode::from(FAILED)
        }
        None => ExitCode::from(code),
    }
}
