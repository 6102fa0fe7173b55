//! The bytes of a request's body: read within the bounds of size, time and memory of whoever sends it, and parsed
//! off the async threads where they are many.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, HttpBody};
use axum::extract::Request;
use axum::http::StatusCode;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use super::super::memory::Held;
use super::super::problem::Problem;
use super::super::rank::{Asker, Rank};
use super::intake::Intake;

/// Greatest body of a stranger: what opens a session is a key.
const STRANGERS_BYTES: usize = 4096;
/// How long it may take to arrive.
const STRANGERS_TIME: Duration = Duration::from_secs(5);
/// A body's memory is reserved in steps: this much at first, and as much again as there is each time.
const FIRST_STEP: usize = 16 << 10;
/// Larger bodies are parsed on threads of their own.
const PARSED_AT_ONCE: usize = 32 << 10;

/// A body that has come.
#[derive(Debug)]
pub(super) struct Came {
    pub bytes: Bytes,
    /// The part of the service's memory for bodies that it takes.
    pub held: Arc<Held>,
    rank: Rank,
}

impl Came {
    /// The whole body of a request.
    ///
    /// # Errors
    /// 400, 408, 413, or 503 where there is no memory for it.
    pub(super) async fn all_of(request: Request, intake: &Intake) -> Result<Self, Problem> {
        let asker = request.extensions().get::<Asker>().cloned().unwrap_or_else(Asker::stranger);
        let (rank, limits, body) = (asker.rank, &intake.limits, request.into_body());
        let (most, time) = match rank {
            Rank::Stranger => (limits.body_bytes.min(STRANGERS_BYTES), limits.body().min(STRANGERS_TIME)),
            Rank::Keyed | Rank::Door => (limits.body_bytes, limits.body()),
        };
        let too_large = || {
            let detail = format!("the body may have {most} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "request.too_large", detail)
        };
        let stated = body.size_hint().exact().map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if stated.is_some_and(|n| n > most) {
            return Err(too_large());
        }
        let mut held = intake.memory.nothing(asker);
        let mut bytes = Vec::new();
        let read = async {
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|_| Problem::bad("request.broken_off", "the body broke off"))?;
                let length = bytes.len() + piece.len();
                if length > most {
                    return Err(too_large());
                }
                if length > bytes.capacity() {
                    let step = (2 * bytes.capacity()).max(FIRST_STEP).min(stated.unwrap_or(most));
                    let room = step.max(length);
                    held.grow(room)?;
                    bytes.reserve_exact(room - bytes.len());
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(())
        };
        tokio::time::timeout(time, read).await.map_err(|_| {
            let detail = format!("the body did not arrive within {} seconds", time.as_secs_f64());
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout.body", detail)
        })??;
        Ok(Self { bytes: bytes.into(), held: Arc::new(held), rank })
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }
}

/// What `read` makes of a body.
pub(super) async fn parse<T: Send + 'static>(
    intake: &Intake,
    came: Came,
    read: impl FnOnce(Came) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    match came.bytes.len() <= PARSED_AT_ONCE {
        true => read(came),
        false => intake.pools.bodies(came.rank, move || read(came)).await,
    }
}

#[cfg(all(test, feature = "embedded-weights"))]
mod tests {
    use axum::body::Body;
    use axum::extract::FromRef;

    use super::*;
    use crate::serve::state::Parts;
    use crate::serve::{ServeOptions, Service};
    use crate::{Database, DatabaseOptions, Engine};

    #[tokio::test]
    async fn large_bodies_are_parsed_off_the_async_threads() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::builder().build().unwrap();
        let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        let service = Service::new(engine, database, ServeOptions::new(folder.path().join("state"))).unwrap();
        let intake = Arc::<Intake>::from_ref(&Parts(service));
        let here = std::thread::current().id();
        for (length, is_here) in [(PARSED_AT_ONCE, true), (PARSED_AT_ONCE + 1, false)] {
            let mut request = Request::new(Body::from(vec![b' '; length]));
            request.extensions_mut().insert(Asker { rank: Rank::Keyed, key: "k".to_string() });
            let came = Came::all_of(request, &intake).await.unwrap();
            assert_eq!(came.bytes.len(), length);
            let thread = parse(&intake, came, |_| Ok(std::thread::current().id())).await.unwrap();
            assert_eq!(thread == here, is_here, "{length} bytes");
        }
    }
}
