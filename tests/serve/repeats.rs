//! Writes that are sent again with their `Idempotency-Key`: after a restart, and after their caller went away.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::socket::{Running, all_of, begin};
use crate::support::{Answer, House, house_in, multipart_between, photo};

fn keyed(method: &str, path: &str, key: &str, kind: &str, body: Vec<u8>) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("idempotency-key", key);
    request.header("content-type", kind).body(body.into()).unwrap()
}

async fn add(house: &House, key: &str) -> Answer {
    house.send(keyed("POST", "/v1/people", key, "application/json", json!({ "name": "Ada" }).to_string().into())).await
}

async fn enroll(house: &House, key: &str) -> Answer {
    house.send(keyed("POST", "/v1/people/Grace/faces", key, "image/jpeg", photo("grace_hopper.jpg"))).await
}

#[tokio::test]
async fn after_a_restart_the_first_answer_is_given_again() {
    let house = house_in(tempfile::tempdir().unwrap(), |_| {});
    let first = [add(&house, "a").await, enroll(&house, "b").await];
    let gone = house.send(keyed("DELETE", "/v1/people/Ada", "c", "text/plain", Vec::new())).await;
    assert_eq!(
        house.send(keyed("DELETE", "/v1/people/Ada", "d", "text/plain", Vec::new())).await.problem(),
        "gallery.unknown_person"
    );
    let House { folder, service, router } = house;
    drop((service, router));
    let house = house_in(folder, |_| {});
    let again = [add(&house, "a").await, enroll(&house, "b").await];
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((again.status, &again.bytes), (StatusCode::CREATED, &first.bytes));
        assert_eq!((first.header("idempotent-replayed"), again.header("idempotent-replayed")), ("", "true"));
        assert_eq!(again.header("content-type"), first.header("content-type"));
    }
    let gone_again = house.send(keyed("DELETE", "/v1/people/Ada", "c", "text/plain", Vec::new())).await;
    assert_eq!((gone_again.status, gone_again.bytes), (StatusCode::OK, gone.bytes));
    // What was refused is not remembered, and neither is anybody forgotten or enrolled twice.
    let listed = house.get("/v1/people").await.ok();
    assert_eq!(listed["people"].as_array().unwrap().len(), 1, "{listed}");
    let other = house.send(keyed("POST", "/v1/people", "a", "application/json", b"{\"name\": \"Bea\"}".to_vec())).await;
    assert_eq!(other.problem(), "request.idempotency_mismatch");
    let kept = std::fs::read_to_string(crate::support::state(house.folder.path()).join("answers.log")).unwrap();
    assert!(kept.contains("Grace") && !kept.contains("embedding"), "{kept}");
}

/// A form with Grace's photo, drawn up as a client does who draws a boundary for every try.
async fn enroll_by_form(house: &House, boundary: &str, name: &str) -> Answer {
    let (kind, body) = multipart_between(boundary, &[("file", Some(name), &photo("grace_hopper.jpg"))]);
    house.send(keyed("POST", "/v1/people/Grace/faces", "f", &kind, body)).await
}

#[tokio::test]
async fn a_form_is_the_same_write_whatever_its_boundary_is() {
    let house = house_in(tempfile::tempdir().unwrap(), |_| {});
    let first = enroll_by_form(&house, "one", "passport.jpg").await;
    assert_eq!(first.status, StatusCode::CREATED, "{:?}", String::from_utf8_lossy(&first.bytes));
    let again = enroll_by_form(&house, "another-7f3a", "passport.jpg").await;
    assert_eq!((again.status, again.bytes), (StatusCode::CREATED, first.bytes));
    assert_eq!(enroll_by_form(&house, "one", "badge.jpg").await.problem(), "request.idempotency_mismatch");
}

/// Sends a request, and goes away `after` that time.
fn leave(running: &Running, request: &[u8], after: Duration) {
    let mut stream = running.connect();
    stream.write_all(request).unwrap();
    std::thread::sleep(after);
    stream.shutdown(std::net::Shutdown::Both).unwrap();
}

/// The answer when the first try has ended: status, whether it is that one's again, and the body.
fn until_answered(running: &Running, request: &[u8]) -> (u16, bool, Value) {
    for _ in 0..600 {
        let mut stream = running.connect();
        stream.write_all(request).unwrap();
        let text = all_of(&mut stream);
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let body: Value = serde_json::from_str(body).unwrap();
        if body["code"] == "request.idempotency_running" {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        }
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        return (status, head.to_ascii_lowercase().contains("idempotent-replayed: true"), body);
    }
    panic!("the first try does not end");
}

#[test]
fn a_caller_who_went_away_asks_again_and_nothing_was_done_twice() {
    let running = begin(|_| {});
    let request = |method: &str, path: &str, key: String, kind: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nidempotency-key: {key}\r\n\
             content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        [head.as_bytes(), body].concat()
    };
    let mut replayed = 0;
    for round in 0..8 {
        let after = Duration::from_millis(4 + 12 * round);
        let enroll =
            request("POST", "/v1/people/Grace/faces", format!("e{round}"), "image/jpeg", &photo("grace_hopper.jpg"));
        leave(&running, &enroll, after);
        let (status, again, body) = until_answered(&running, &enroll);
        assert_eq!((status, body["status"].as_str()), (201, Some("added")), "round {round}: {body}");
        replayed += usize::from(again);
        let forget = request("DELETE", "/v1/people/Grace", format!("f{round}"), "text/plain", b"");
        leave(&running, &forget, Duration::from_millis(2 * round));
        let (status, again, body) = until_answered(&running, &forget);
        assert_eq!((status, body["faces"].as_u64()), (200, Some(1)), "round {round}: {body}");
        replayed += usize::from(again);
    }
    assert!(replayed > 0, "no caller left while a write ran");
    running.stop();
}
