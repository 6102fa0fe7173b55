//! An object in the body of a request.

use std::sync::Arc;

use axum::extract::{FromRef, FromRequest, Request};
use serde::de::DeserializeOwned;

use super::super::problem::Problem;
use super::body::{Came, parse};
use super::intake::Intake;
use super::json::bounded;
use super::kind::{Kind, wrong_kind};

/// An object in the body, as JSON, and the SHA-256 of the body.
#[derive(Debug)]
pub(in super::super) struct Object<T>(pub T, pub [u8; 32]);

/// An array in the body, likewise.
#[derive(Debug)]
pub(in super::super) struct List<T>(pub Vec<T>);

impl<T: DeserializeOwned + Send + 'static, S> FromRequest<S> for Object<T>
where
    S: Send + Sync,
    Arc<Intake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (object, digest) = json_of(request, &Arc::<Intake>::from_ref(state), b'{', "object").await?;
        Ok(Self(object, digest))
    }
}

impl<T: DeserializeOwned + Send + 'static, S> FromRequest<S> for List<T>
where
    S: Send + Sync,
    Arc<Intake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(json_of(request, &Arc::<Intake>::from_ref(state), b'[', "array").await?.0))
    }
}

/// The value in a body that begins with a certain byte: serde takes an array for an object's members in their order.
async fn json_of<T: DeserializeOwned + Send + 'static>(
    request: Request,
    intake: &Arc<Intake>,
    begins: u8,
    what: &'static str,
) -> Result<(T, [u8; 32]), Problem> {
    let kind = Kind::of(request.headers());
    if kind != Kind::Json {
        return Err(wrong_kind("application/json"));
    }
    let came = Came::all_of(request, intake).await?;
    let most = intake.most_values();
    let read = move |came: &Came| {
        bounded(&came.bytes, most)?;
        if came.bytes.iter().find(|b| !b.is_ascii_whitespace()).is_some_and(|first| *first != begins) {
            return Err(Problem::bad("request.bad_json", format!("the body is no JSON {what}")));
        }
        serde_json::from_slice(&came.bytes).map_err(|e| Problem::bad("request.bad_json", e.to_string()))
    };
    parse(intake, came, move |came| Ok((read(&came)?, came.digest()))).await
}
