//! Printing: answers, errors, progress.

use std::borrow::Cow;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use serde::Serialize;

use super::args::common::Common;
use crate::Error;
use crate::error::EvalError;
use crate::files::{Audience, spelled, write_whole};

/// Why an answer could not be printed, the first time that one could not.
static UNPRINTED: OnceLock<String> = OnceLock::new();

/// Why an answer of this process could not be printed, if so. A reader that has gone away (`kith ... | head`) is no
/// failure.
pub(super) fn unprinted() -> Option<&'static str> {
    UNPRINTED.get().map(String::as_str)
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => drop(UNPRINTED.set(e.to_string())),
        _ => {}
    }
}

/// Prints a value as indented JSON.
pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Prints a line of text.
pub(super) fn line(text: &str) {
    print(&harmless(text));
}

/// Says what went wrong on standard error.
pub(super) fn complain(what: impl std::fmt::Display) {
    eprintln!("kith: {}", harmless(&what.to_string()));
}

/// Puts a question on standard error; the answer is typed behind it.
pub(super) fn ask(question: &str) {
    eprint!("kith: {}", harmless(question));
}

/// The text without what would act on a terminal or turn the line: file names and the like may hold anything.
fn harmless(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let told = |c: char| if acts(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(told).collect())
}

/// So many of a thing, in words.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// So many people, in words.
pub(super) fn people(count: usize) -> String {
    counted(count, "person", "people")
}

/// So many faces, in words.
pub(super) fn faces(count: usize) -> String {
    counted(count, "face", "faces")
}

/// Prints rows in columns: the first to the left, numbers to the right.
pub(super) fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(c, (cell, &width))| match c {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        line(cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Says what is wrong with the arguments, as [`report`] does, and ends the program. Help and version are no faults.
pub(super) fn wrong_words(error: &clap::Error, asked_for_json: bool) -> ! {
    if error.use_stderr() && asked_for_json {
        let message = error.render().to_string();
        let message = message.trim().strip_prefix("error: ").unwrap_or(message.trim()).to_string();
        let _ = json(&crate::json::json!({ "error": { "code": "arguments", "message": message } }));
    }
    error.exit()
}

/// The error as programs read it.
pub(super) fn error_object(error: &anyhow::Error) -> serde_json::Value {
    let of_area = || error.downcast_ref::<EvalError>().map(EvalError::code);
    let code = error.downcast_ref::<Error>().map(Error::code).or_else(of_area).unwrap_or("failed");
    crate::json::json!({ "code": code, "message": format!("{error:#}") })
}

/// Says why a command failed.
pub(super) fn report(common: &Common, error: &anyhow::Error) {
    if common.json {
        let _ = json(&crate::json::json!({ "error": error_object(error) }));
    }
    complain(format_args!("{error:#}"));
}

/// A bar over `count` items, with rate and time left; hidden where it would not be read.
pub(super) fn bar(common: &Common, count: usize, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {rate} {eta} left");
    shown(common, ProgressBar::new(count as u64), style, what, count > 1)
}

/// A bar over bytes.
pub(super) fn byte_bar(common: &Common, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
    shown(common, ProgressBar::new(0), style, what, true)
}

/// A count that goes up, where the end is not known.
pub(super) fn spinner(common: &Common, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {pos} {rate}");
    shown(common, ProgressBar::no_length(), style, what, true)
}

/// A sign of life, with the time since, over work whose length is not known beforehand.
pub(super) fn waiting(common: &Common, what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    let bar = shown(common, ProgressBar::no_length(), style, what, true);
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

/// A rate with no more digits than are known of it.
fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 100.0 => format!("{r:.0}/s"),
        r if r >= 1.0 => format!("{r:.1}/s"),
        r => format!("{r:.2}/s"),
    }
}

fn shown(
    common: &Common,
    bar: ProgressBar,
    style: Result<ProgressStyle, indicatif::style::TemplateError>,
    what: &str,
    worth_it: bool,
) -> ProgressBar {
    if common.quiet || !worth_it {
        return ProgressBar::hidden();
    }
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style.with_key("rate", |state: &ProgressState, to: &mut dyn std::fmt::Write| {
        let _ = to.write_str(&rate(state.per_sec()));
    }));
    bar.set_message(what.to_string());
    bar
}

/// Writes an HTML page, whole or not at all.
pub(super) fn page(path: &Path, html: &str, audience: Audience) -> anyhow::Result<()> {
    write_whole(path, html.as_bytes(), audience).map_err(|e| anyhow::anyhow!("{}: {e}", spelled(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_told_by_its_number() {
        assert_eq!(harmless("Ada\tLovelace: 1\n"), "Ada\tLovelace: 1\n");
        assert_eq!(harmless("a\u{1b}[31mb\u{202e}gpj\r\u{9b}"), "a\\u{1b}[31mb\\u{202e}gpj\\u{d}\\u{9b}");
    }

    #[test]
    fn a_rate_has_no_digits_that_nobody_knows() {
        let said = [21.2961, 0.5349, 1234.56, 3.0].map(rate);
        assert_eq!(said, ["21.3/s", "0.53/s", "1235/s", "3.0/s"]);
    }
}
