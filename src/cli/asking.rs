//! Asking before what cannot be taken back.

use std::io::IsTerminal;

use super::args::common::Common;
use super::output;

/// Goes on where somebody at a terminal says yes to the question, which `what` comes before. Where nobody can be asked
/// (`--json`, no terminal) the answer is the refusal. Nobody else waits meanwhile: the database is closed by then.
///
/// # Errors
/// The refusal; that nothing was changed, where the answer is no.
pub(super) fn agreed(
    common: &Common,
    refusal: impl Into<crate::Error>,
    what: &str,
    question: &str,
) -> anyhow::Result<()> {
    let (input, errors) = (std::io::stdin(), std::io::stderr());
    if common.json || !input.is_terminal() || !errors.is_terminal() {
        return Err(refusal.into().into());
    }
    output::ask(&format!("{what}\n{question} [y/N] "));
    let mut answer = String::new();
    input.read_line(&mut answer)?;
    anyhow::ensure!(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"), "nothing was changed");
    Ok(())
}
