//! The file of `--config`: TOML, every key known, every value with its line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::kinds::{Fault, Limits, Source};
use crate::files::spelled;
use crate::serve::{ServeLimits, line_of, nearest};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub values: BTreeMap<String, (toml::Value, Source)>,
    /// Its `[limits]`.
    pub limits: Limits,
}

/// Reads a file of settings; keys that are none of `known` are faults.
///
/// # Errors
/// With the one fault that keeps the file from being read at all.
pub(super) fn read(path: &Path, known: &[String]) -> Result<(Written, Vec<Fault>), Fault> {
    let text = text_of(path)?;
    let (spans, table) = parse(path, &text)?;
    let (mut written, mut faults) = (Written::default(), Vec::new());
    for (key, value) in &spans {
        let name: &str = key.get_ref();
        let source = Source::File(path.to_path_buf(), line_of(&text, key.span().start));
        match (name, value.get_ref()) {
            ("limits", DeValue::Table(inner)) => {
                let values = table.get("limits").and_then(toml::Value::as_table);
                let (limits, more) = limits_in(path, &text, inner, values);
                written.limits = limits;
                faults.extend(more);
            }
            _ if known.iter().any(|k| k == name) => {
                if let Some(value) = table.get(name) {
                    written.values.insert(name.to_string(), (value.clone(), source));
                }
            }
            _ => faults.push(unknown(&source, name, known.iter().map(String::as_str))),
        }
    }
    Ok((written, faults))
}

/// Reads a file of limits alone.
///
/// # Errors
/// As [`read`].
pub(super) fn read_limits(path: &Path) -> Result<(Limits, Vec<Fault>), Fault> {
    let text = text_of(path)?;
    let (spans, table) = parse(path, &text)?;
    Ok(limits_in(path, &text, &spans, Some(&table)))
}

fn text_of(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path).map_err(|e| Fault::at(spelled(path), format!("reading the file: {e}")))
}

type Parsed<'a> = (DeTable<'a>, toml::Table);

fn parse<'a>(path: &Path, text: &'a str) -> Result<Parsed<'a>, Fault> {
    let wrong = |e: toml::de::Error| {
        let line = e.span().map_or(1, |s| line_of(text, s.start));
        Fault::at(Source::File(path.to_path_buf(), line), format!("not TOML: {}", e.message()))
    };
    let spans = DeTable::parse(text).map_err(wrong)?.into_inner();
    Ok((spans, text.parse::<toml::Table>().map_err(wrong)?))
}

fn limits_in(path: &Path, text: &str, spans: &DeTable<'_>, values: Option<&toml::Table>) -> (Limits, Vec<Fault>) {
    let known = ServeLimits::names();
    let (mut limits, mut faults) = (Limits::new(), Vec::new());
    for key in spans.keys() {
        let name: &str = key.get_ref();
        let source = Source::File(path.to_path_buf(), line_of(text, key.span().start));
        match values.and_then(|v| v.get(name)) {
            Some(value) if known.iter().any(|k| k == name) => {
                limits.insert(name.to_string(), (value.clone(), source));
            }
            _ => faults.push(unknown(&source, name, known.iter().map(String::as_str))),
        }
    }
    (limits, faults)
}

/// A key that is none, with the one that may be meant.
pub(super) fn unknown<'a>(source: &Source, name: &str, known: impl Iterator<Item = &'a str>) -> Fault {
    Fault::at(source, format!("there is no setting {name:?}; the nearest is {}", nearest(name, known)))
}

/// A value as it would stand on a command line; none for lists, tables and dates.
pub(super) fn text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A path as a file names it: beside the file, where it is not absolute.
pub(super) fn beside(source: &Source, text: &str) -> OsString {
    let folder = match source {
        Source::File(path, _) => path.parent().map(Path::to_path_buf),
        _ => None,
    };
    folder.unwrap_or_default().join(PathBuf::from(text)).into_os_string()
}
