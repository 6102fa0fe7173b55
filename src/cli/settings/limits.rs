//! Limits of the service, by layer: `--limit` over `$KITH_LIMITS_NAME` over `--limits FILE` over `[limits]`.

use std::path::PathBuf;

use clap::ArgMatches;
use serde::Deserialize;

use super::file::{self, Written};
use super::kinds::{Fault, InForce, Limits, Settings, Source};
use crate::serve::ServeLimits;

const VARIABLE: &str = "KITH_LIMITS_";

/// `NAME=NUMBER` of a `--limit`.
pub(in crate::cli) fn one_limit(text: &str) -> Result<(String, f64), String> {
    let known = ServeLimits::names();
    let (name, number) = text.split_once('=').ok_or("a limit is NAME=NUMBER")?;
    let number = number.parse().map_err(|_| format!("{number:?} is no number"))?;
    match known.iter().any(|k| k == name) {
        true => Ok((name.to_string(), number)),
        false => Err(file::unknown(&Source::Default, name, known.iter().map(String::as_str)).what),
    }
}

/// What `--help` says of the limits: every name, with its default on this machine.
pub(in crate::cli) fn limits_help() -> String {
    let defaults = ServeLimits::default().by_name();
    let one = |(name, value): &(String, serde_json::Value)| match value {
        serde_json::Value::Null => format!("  {name} (none)"),
        value => format!("  {name} = {value}"),
    };
    let lines: Vec<String> = defaults.iter().map(one).collect();
    format!(
        "Limits, as a TOML file. They are, with the defaults on this machine:\n{}\nAlso as [limits] in the file of \
         --config, as $KITH_LIMITS_NAME, and as --limit NAME=NUMBER",
        lines.join("\n")
    )
}

/// A number as TOML has it: whole where it is.
fn number(value: f64) -> toml::Value {
    match value.fract() == 0.0 && value.abs() < 9e15 {
        true => toml::Value::Integer(value as i64),
        false => toml::Value::Float(value),
    }
}

/// Puts the layers together.
pub(super) fn settle(settings: &mut Settings, written: &Written, leaf: &ArgMatches) {
    let mut all: Limits = written.limits.clone();
    let file = settings.in_force.iter().find(|s| s.name == "limits").and_then(|s| s.value.clone());
    if let Some(path) = file.map(PathBuf::from) {
        match file::read_limits(&path) {
            Ok((limits, faults)) => {
                all.extend(limits);
                settings.faults.extend(faults);
            }
            Err(fault) => {
                settings.unreadable = true;
                settings.faults.push(fault);
            }
        }
    }
    for name in ServeLimits::names() {
        let variable = format!("{VARIABLE}{}", name.to_uppercase());
        let Some(text) = std::env::var_os(&variable).filter(|v| !v.is_empty()) else { continue };
        match text.to_str().and_then(|t| t.parse().ok()) {
            Some(value) => drop(all.insert(name, (number(value), Source::Variable(variable)))),
            None => settings.faults.push(Fault::at(format!("${variable}"), format!("{text:?} is no number"))),
        }
    }
    for (name, value) in leaf.try_get_many::<(String, f64)>("limit").ok().flatten().into_iter().flatten() {
        all.insert(name.clone(), (number(*value), Source::Flag("limit".to_string())));
    }
    let mut kept = toml::Table::new();
    for (name, (value, source)) in &all {
        let alone = toml::Table::from_iter([(name.clone(), value.clone())]);
        match ServeLimits::deserialize(alone) {
            Ok(_) => drop(kept.insert(name.clone(), value.clone())),
            Err(e) => settings.faults.push(Fault::at(source, format!("{name} is {value}: {}", e.message()))),
        }
    }
    // Each was read alone, so all of them together can be.
    settings.limits = ServeLimits::deserialize(kept).unwrap_or_default();
    for (name, value) in settings.limits.by_name() {
        let source = all.get(&name).map_or(Source::Default, |(_, source)| source.clone());
        let value = Some(value).filter(|v| !v.is_null()).map(|v| v.to_string());
        settings.in_force.push(InForce { name: format!("limits.{name}"), value, source });
    }
}
