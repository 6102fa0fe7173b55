//! Photos of 8 MB, as phones make them, by every route that takes one, in every form.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kith::serve::Role;
use serde_json::{Value, json};

use crate::support::{Answer, House, house, house_in, multipart, photo};

const MB: usize = 1_000_000;

/// A JPEG that is `bytes` large: comments, which decoders pass over, stand before its picture.
fn padded(name: &str, bytes: usize) -> Vec<u8> {
    let plain = photo(name);
    let mut padded = plain[..2].to_vec();
    while padded.len() + plain.len() < bytes {
        let room = (bytes - padded.len() - plain.len()).min(65_000);
        padded.extend([0xff, 0xfe]);
        padded.extend((room as u16 + 2).to_be_bytes());
        padded.extend(vec![b'x'; room]);
    }
    padded.extend(&plain[2..]);
    padded
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Raw,
    Parts,
    Json,
}

fn post(path: &str, form: Form, fields: &[(&str, &[u8])]) -> Request<Body> {
    let (kind, body) = match form {
        Form::Raw => ("image/jpeg".to_string(), fields[0].1.to_vec()),
        Form::Parts => {
            let parts: Vec<_> = fields.iter().map(|(name, bytes)| (*name, Some("x.jpg"), *bytes)).collect();
            multipart(&parts)
        }
        Form::Json => {
            let object: Value = match path.contains("batch") {
                true => json!({ "files": fields.iter().map(|f| STANDARD.encode(f.1)).collect::<Vec<_>>() }),
                false => fields
                    .iter()
                    .map(|(name, bytes)| ((*name).to_string(), Value::from(STANDARD.encode(bytes))))
                    .collect(),
            };
            ("application/json".to_string(), object.to_string().into_bytes())
        }
    };
    Request::post(path).header("content-type", kind).body(body.into()).unwrap()
}

async fn send(house: &House, path: &str, form: Form, fields: &[(&str, &[u8])]) -> Answer {
    house.send(post(path, form, fields)).await
}

/// A service with a policy, and Grace in its gallery.
async fn grace() -> House {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, "[policy.door]\nliveness = false\nmax_fpir = 0.01\n").unwrap();
    let house = house_in(folder, |o| {
        o.policies = Some(policies);
        // However busy the machine is.
        (o.limits.queue_seconds, o.limits.work_seconds) = (600.0, 600.0);
    });
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    house
}

#[tokio::test]
async fn eight_megabytes_are_taken_by_every_route_in_every_form() {
    let house = grace().await;
    let large = padded("hopper_tilt.jpg", 8 * MB);
    assert!((8 * MB..8 * MB + 10).contains(&large.len()));
    for form in [Form::Raw, Form::Parts, Form::Json] {
        for path in [
            "/v1/detect",
            "/v1/embed",
            "/v1/identify",
            "/v1/people/Grace/verify",
            "/v1/people/Grace/faces",
            "/v1/access/decide?policy=door",
        ] {
            let answer = send(&house, path, form, &[("file", &large)]).await;
            let body = String::from_utf8_lossy(&answer.bytes).into_owned();
            assert!(answer.status.is_success(), "{path} {form:?}: {body}");
            assert!(!body.contains("deny"), "{path} {form:?}: {body}");
        }
        if form == Form::Raw {
            continue;
        }
        for path in ["/v1/batch/detect", "/v1/batch/embed", "/v1/batch/identify", "/v1/people/Grace/faces/batch"] {
            let answer = send(&house, path, form, &[("file", &large)]).await.ok();
            assert!(answer["items"][0]["answer"].is_object(), "{path} {form:?}: {answer}");
        }
        // Two of 8 MB are within 16 MiB as they are, and in base64 two of 6 MB.
        let large = padded("hopper_tilt.jpg", if form == Form::Parts { 8 * MB } else { 6 * MB });
        for path in ["/v1/verify", "/v1/compare"] {
            let answer = send(&house, path, form, &[("a", &large), ("b", &large)]).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {form:?}: {}", String::from_utf8_lossy(&answer.bytes));
        }
    }
}

#[tokio::test]
async fn compreface_s_calls_take_what_they_say_and_refuse_more_as_too_large() {
    let house = grace().await;
    let faces = house.get("/api/v1/recognition/faces").await.ok();
    let id = faces["faces"][0]["image_id"].as_str().unwrap();
    let example = format!("/api/v1/recognition/faces/{id}/verify");
    let (within, beyond) = (padded("hopper_tilt.jpg", 5 * MB), padded("hopper_tilt.jpg", 8 * MB));
    for form in [Form::Parts, Form::Json] {
        for (path, two) in [
            ("/api/v1/detection/detect", false),
            ("/api/v1/recognition/recognize", false),
            ("/api/v1/recognition/faces?subject=Grace", false),
            (example.as_str(), false),
            ("/api/v1/verification/verify", true),
        ] {
            for (large, expected) in [(&within, 200), (&beyond, 413)] {
                let fields: &[(&str, &[u8])] = match two {
                    true => &[("source_image", &photo("grace_hopper.jpg")), ("target_image", large)],
                    false => &[("file", large)],
                };
                let answer = send(&house, path, form, fields).await;
                let expected = if path.contains("subject=") && expected == 200 { 201 } else { expected };
                let shown = String::from_utf8_lossy(&answer.bytes).into_owned();
                assert_eq!(answer.status.as_u16(), expected, "{path} {form:?}: {shown}");
                assert!(expected != 413 || answer.json()["message"].is_string(), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_larger_than_the_bound_is_too_large_in_every_form_and_way_of_sending() {
    let house = grace().await;
    let beyond = padded("hopper_tilt.jpg", 17 * MB);
    for form in [Form::Raw, Form::Parts, Form::Json] {
        let answer = send(&house, "/v1/identify", form, &[("file", &beyond)]).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "request.too_large".to_string()));
        // Without a length, it is told from what has come.
        let (parts, body) = post("/v1/identify", form, &[("file", &beyond)]).into_parts();
        let pieces = futures_util::stream::unfold(body, |mut body| async move {
            use axum::body::HttpBody;
            let frame = std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await?;
            Some((frame.map(|f| f.into_data().unwrap()), body))
        });
        let answer = house.send(Request::from_parts(parts, Body::from_stream(pieces))).await;
        assert_eq!((answer.status, answer.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "request.too_large".to_string()));
    }
    let decided = send(&house, "/v1/access/decide?policy=door", Form::Parts, &[("file", &beyond)]).await;
    assert_eq!((decided.status, decided.problem()), (StatusCode::BAD_REQUEST, "access.bad_request".to_string()));
}

#[tokio::test]
async fn the_page_uploads_eight_megabytes_with_its_session() {
    let house = house();
    let key = house.key(&[Role::Enroll, Role::Identify], None);
    let opened = house.send_json("POST", "/session", json!({ "key": key })).await;
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_string();
    let csrf = opened.ok()["csrf"].as_str().unwrap().to_string();
    let large = padded("grace_hopper.jpg", 8 * MB);
    for (path, fields) in [
        ("/v1/people/Grace/faces", &[("file", large.as_slice())][..]),
        ("/v1/identify", &[("file", large.as_slice())]),
        ("/v1/compare?with_picture=1", &[("a", large.as_slice()), ("b", large.as_slice())]),
    ] {
        let mut request = post(path, Form::Parts, fields);
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        request.headers_mut().insert("x-csrf-token", csrf.parse().unwrap());
        house.send(request).await.ok();
    }
    // Who has shown no key sends no more than a key.
    let long = house.send_json("POST", "/session", json!({ "key": "k".repeat(5000) })).await;
    assert_eq!((long.status, long.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "request.too_large".to_string()));
}
