//! What every request goes through: an id, a time limit, a line in the log, a count, safe headers.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::audit::Refusal;
use super::compreface;
use super::context::{CONTEXT, Context, LOG_IN};
use super::pool::Refused;
use super::problem::Problem;
use super::random::random_hex;
use super::state::Service;

/// The header that carries the request's id, in and out.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a caller.
const LONGEST_ID: usize = 64;
/// How much of a request's method the logs say.
const LONGEST_METHOD: usize = 10;

/// A refusal that no handler has put into the audit log.
fn refusal(context: &Context, method: &Method, route: &str, response: &Response) -> Option<Refusal> {
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    if !refused.contains(&response.status()) || context.noted.load(Ordering::Relaxed) {
        return None;
    }
    let code = response.extensions().get::<Problem>().map_or("-", Problem::code);
    // The page asks so whether it is logged in: nobody knocks.
    if code == "auth.no_key" && route == "/session" && method == Method::GET {
        return None;
    }
    let (key, key_name) = context.key.get().cloned().unwrap_or_else(|| ("-".to_string(), String::new()));
    let action = match (method, route) {
        (&Method::POST, "/session") => LOG_IN.to_string(),
        (method, route) => format!("{} {route}", shown(method)),
    };
    Some(Refusal { key, key_name, action, code: code.to_string(), from: context.from })
}

/// The beginning of a method: methods are the caller's to invent.
fn shown(method: &Method) -> &str {
    // A method has no byte beyond ASCII.
    method.as_str().get(..LONGEST_METHOD).unwrap_or(method.as_str())
}

/// The caller's id where it is a harmless one, or a new one.
fn id_of(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|v| v.to_str().ok());
    let harmless = |id: &&str| {
        (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    given.filter(harmless).map_or_else(|| random_hex::<12>().unwrap_or_else(|_| "none".to_string()), str::to_string)
}

/// Runs around every route.
pub(super) async fn around(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    // The template, never the path: paths hold names, and in one place a key.
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_string();
    let method = request.method().clone();
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip());
    let noted = AtomicBool::new(false);
    let context = Arc::new(Context { id: id_of(request.headers()), key: OnceLock::new(), from, noted });
    let span = tracing::info_span!("request", id = %context.id, method = shown(&method), route);
    let most = service.limits().whole_request();
    let compreface = compreface::is_theirs(request.uri().path());
    let answering = async {
        let _counted = service.metrics().in_flight();
        let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match tokio::time::timeout(most, answer).await {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => {
                service.metrics().panicked();
                Problem::from(Refused::Failed).into_response()
            }
            Err(_) => {
                let detail = "the request took longer than the service allows";
                Problem::new(StatusCode::GATEWAY_TIMEOUT, "timeout.request", detail).into_response()
            }
        };
        if let Some(refusal) = refusal(&context, &method, &route, &response) {
            service.ledger().note_refusal(&refusal).await;
        }
        response
    };
    let answering = CONTEXT.scope(context.clone(), answering);
    let mut response = answering.instrument(span.clone()).await;

    let taken = start.elapsed();
    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(problem) = problem.as_ref().filter(|_| compreface) {
        response = compreface::fault(problem, response);
    }
    let code = problem.as_ref().map(Problem::code);
    let status = response.status().as_u16();
    service.metrics().answered(method.as_str(), &route, status, code, taken);
    span.in_scope(|| {
        let key = context.key.get().map_or("-", |(id, _)| id.as_str());
        let ms = taken.as_secs_f64() * 1e3;
        tracing::info!(status, code = code.unwrap_or("-"), key, ms, "answered");
    });
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&context.id) {
        headers.insert(REQUEST_ID, id);
    }
    set_default(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set_default(headers, header::CACHE_CONTROL, "no-store");
    set_default(headers, header::REFERRER_POLICY, "no-referrer");
    set_default(headers, header::X_FRAME_OPTIONS, "DENY");
    set_default(headers, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    response
}

fn set_default(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.entry(name).or_insert(HeaderValue::from_static(value));
}

#[cfg(all(test, feature = "embedded-weights"))]
mod tests {
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::*;
    use crate::serve::ServeOptions;
    use crate::{Database, DatabaseOptions, Engine};

    #[tokio::test]
    async fn a_handler_that_panics_is_answered_with_500_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
        let options = ServeOptions::new(folder.path().join("state"));
        let service = Service::new(Engine::builder().build().unwrap(), database, options).unwrap();
        async fn panics() -> &'static str {
            panic!("of the test")
        }
        async fn in_a_job(State(service): State<Arc<Service>>) -> Result<&'static str, Problem> {
            service.with_searches(|_| -> Result<&'static str, Problem> { panic!("of the test") }).await
        }
        let routes = Router::new().route("/panics", get(panics)).route("/job", get(in_a_job));
        let router = routes.layer(from_fn_with_state(service.clone(), around)).with_state(service.clone());
        for (path, count) in [("/panics", 1), ("/job", 2)] {
            let answer = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
            assert!(answer.headers().contains_key(REQUEST_ID), "{path}");
            let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            assert!(String::from_utf8_lossy(&body).contains("internal.panic"), "{path}");
            assert!(
                service.metrics().text(&[], &[], |_| true).contains(&format!("kith_panics_total {count}\n")),
                "{path}"
            );
        }
    }
}
