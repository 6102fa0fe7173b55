//! Kinds of text that several calls take, for the API's description.
#![expect(dead_code, reason = "only their schemas are used; the gallery checks the text")]

use utoipa::ToSchema;

/// A name of a person, gallery, group or label: at most 200 bytes, with something that can be seen, without control
/// characters, line breaks, invisible characters and characters that turn the direction of text; not `unknown`. Two
/// names that differ in case, in how their letters are composed or in compatibility characters are the same.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 200,
    pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
)]
pub(super) struct Name(String);

/// A label to look for, as `key=value`.
#[derive(ToSchema)]
#[schema(pattern = "=")]
pub(super) struct LabelSought(String);

/// A label to give, as `key=value`: each is a name.
#[derive(ToSchema)]
#[schema(
    pattern = r"^[^=\x00-\x1f\x7f-\x9f]*[^=\s\x00-\x1f\x7f-\x9f][^=\x00-\x1f\x7f-\x9f]*=[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
)]
pub(super) struct LabelGiven(String);

/// A refusal of the enrolment gate.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(super) enum Refusal {
    Small,
    Blurred,
    Light,
    Turned,
    Covered,
    Inverted,
    Duplicate,
    Different,
}
