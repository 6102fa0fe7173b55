//! Names and labels as arguments.

use clap::builder::{OsStringValueParser, PossibleValuesParser, TypedValueParser};

use crate::error::Gate;
use crate::files::typed;

/// A name of whatever bytes: what is not UTF-8 is written as for a folder of that name.
pub(in crate::cli) fn name() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().map(typed)
}

/// `KEY=VALUE`
pub(in crate::cli) fn label() -> impl TypedValueParser<Value = (String, String)> {
    OsStringValueParser::new().try_map(|said| match typed(said).split_once('=') {
        Some((key, value)) => Ok((key.to_string(), value.to_string())),
        None => Err("a label is KEY=VALUE"),
    })
}

/// A check of enrolment, by its word.
pub(in crate::cli) fn gate() -> impl TypedValueParser<Value = Gate> {
    PossibleValuesParser::new(Gate::ALL.map(Gate::name)).try_map(|word| word.parse::<Gate>())
}
