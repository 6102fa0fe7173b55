//! The `kith` command: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    kith::cli::main()
}
