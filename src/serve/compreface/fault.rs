//! Problems as CompreFace says them: `{"message", "code"}`, with its error codes where it has one for the case.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::problem::Problem;

/// Why a request was not answered as asked, in CompreFace's form.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = compreface::Fault)]
pub(in crate::serve) struct Fault {
    /// What was wrong, and what to do.
    #[schema(example = "No face is found in the given image")]
    message: String,
    /// CompreFace's number for it; 0 where it has none.
    #[schema(example = 28)]
    code: u16,
}

/// CompreFace's error codes.
mod number {
    pub(super) const UNDEFINED: u16 = 0;
    pub(super) const SERVICE_NOT_FOUND: u16 = 10;
    pub(super) const IMAGE_NOT_FOUND: u16 = 11;
    pub(super) const MISSING_HEADER: u16 = 20;
    pub(super) const FILE_KIND: u16 = 21;
    pub(super) const VALIDATION: u16 = 26;
    pub(super) const NO_FACE: u16 = 28;
    pub(super) const SEVERAL_FACES: u16 = 31;
    pub(super) const MISSING_PARAMETER: u16 = 33;
    pub(super) const MISSING_PART: u16 = 34;
    pub(super) const INCORRECT_ARGUMENT: u16 = 36;
    pub(super) const SERVICE_FAILED: u16 = 41;
    pub(super) const SUBJECT_NOT_FOUND: u16 = 42;
    pub(super) const SUBJECT_EXISTS: u16 = 43;
    pub(super) const EXAMPLE_NOT_FOUND: u16 = 44;
}

fn number_of(problem: &Problem) -> u16 {
    let (area, rest) = problem.code().split_once('.').unwrap_or((problem.code(), ""));
    match (area, rest) {
        ("refusal", "no_face") => number::NO_FACE,
        ("refusal", "several_faces") => number::SEVERAL_FACES,
        ("gallery", "unknown_person") => number::SUBJECT_NOT_FOUND,
        ("gallery", "unknown_face") => number::EXAMPLE_NOT_FOUND,
        ("gallery", "unknown_gallery") => number::SERVICE_NOT_FOUND,
        ("gallery", "name_taken") => number::SUBJECT_EXISTS,
        ("face", "no_thumbnail") => number::IMAGE_NOT_FOUND,
        ("auth", "no_key") => number::MISSING_HEADER,
        ("auth", "wrong_key") => number::SERVICE_NOT_FOUND,
        ("photo", "unknown_format" | "foreign_format" | "unsupported") | ("request", "content_type") => {
            number::FILE_KIND
        }
        ("request", "no_photo") => number::MISSING_PART,
        ("request", "no_subject") => number::MISSING_PARAMETER,
        ("request", "no_route" | "method") => number::UNDEFINED,
        ("request", "vectors" | "bad_image_id") | ("model", _) => number::INCORRECT_ARGUMENT,
        ("request" | "gate", _) | ("gallery", "bad_name") => number::VALIDATION,
        _ if problem.status().is_server_error() => number::SERVICE_FAILED,
        _ => number::UNDEFINED,
    }
}

/// CompreFace answers what it cannot do with 400. What the way there decides (keys, bounds, methods) and what is
/// not there keep their own status.
fn status_of(problem: &Problem) -> StatusCode {
    match problem.status() {
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT | StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            StatusCode::BAD_REQUEST
        }
        other => other,
    }
}

/// Some clients compare the text.
fn message_of(problem: &Problem) -> String {
    match problem.code() {
        "refusal.no_face" => "No face is found in the given image".to_string(),
        _ => problem.detail().to_string(),
    }
}

/// The answer that tells of a problem, in CompreFace's form; its other headers stay.
pub(in crate::serve) fn fault(problem: &Problem, told: Response) -> Response {
    let (mut parts, _) = told.into_parts();
    parts.status = status_of(problem);
    let (form, body) =
        Json(Fault { message: message_of(problem), code: number_of(problem) }).into_response().into_parts();
    parts.headers.extend(form.headers);
    Response::from_parts(parts, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RefusalError;

    #[test]
    fn numbers_and_status_are_those_that_clients_know() {
        let photo = || "photo.jpg".to_string();
        let told = |problem: Problem| (number_of(&problem), status_of(&problem).as_u16(), message_of(&problem));
        let none = told(RefusalError::NoFace { photo: photo() }.into());
        assert_eq!(none, (28, 400, "No face is found in the given image".to_string()));
        let several =
            told(RefusalError::SeveralFaces { photo: photo(), faces: vec![[0.0; 4]; 2], numbers: vec![1, 2] }.into());
        assert_eq!((several.0, several.1), (31, 400));
        let overloaded = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overload.queue_full", "later");
        assert_eq!(told(overloaded), (41, 503, "later".to_string()));
        let refused = Problem::new(StatusCode::UNAUTHORIZED, "auth.no_key", "no key");
        assert_eq!(told(refused), (20, 401, "no key".to_string()));
    }
}
