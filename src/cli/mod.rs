//! Arguments to an engine call to a printed answer.
//!
//! Exit codes, the same for every command: 0 done, or the same person; 1 different people; 2 could not
//! decide, or failed, with the reason on standard error (with `--json`, as an object on standard
//! output too).

mod args;
mod calibrate;
mod compare;
mod detect;
mod embed;
mod output;
mod verify;
mod weights;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Done, or the same person.
const DONE: u8 = 0;
/// Different people.
const DIFFERENT: u8 = 1;
/// Could not decide, or failed.
const FAILED: u8 = 2;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let args = Args::parse();
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
        Command::Weights(c) => weights::run(&args.common, &c.action),
    };
    match answer {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::report(&args.common, &error);
            ExitCode::from(FAILED)
        }
    }
}
