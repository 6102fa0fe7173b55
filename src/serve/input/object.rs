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

impl<T: DeserializeOwned + Send + 'static, S> FromRequest<S> for Object<T>
where
    S: Send + Sync,
    Arc<Intake>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = Kind::of(request.headers());
        if kind != Kind::Json {
            return Err(wrong_kind("application/json"));
        }
        let intake = Arc::<Intake>::from_ref(state);
        let came = Came::all_of(request, &intake).await?;
        let most = intake.most_values();
        let read = move |came: &Came| {
            bounded(&came.bytes, most)?;
            // An array would be taken for the members in their order.
            if came.bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
                return Err(Problem::bad("request.bad_json", "the body is no JSON object"));
            }
            serde_json::from_slice(&came.bytes).map_err(|e| Problem::bad("request.bad_json", e.to_string()))
        };
        let (object, digest) = parse(&intake, came, move |came| Ok((read(&came)?, came.digest()))).await?;
        Ok(Self(object, digest))
    }
}
