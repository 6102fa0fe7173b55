//! Who gets in: keys, roles, galleries, sessions, and pages of other origins.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use kith::serve::{KeyFile, Role};
use serde_json::json;

use crate::support::{House, house, house_with, json_request, state};

async fn with_key(house: &House, method: &str, path: &str, key: &str) -> (StatusCode, String) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    let answer = house.send(request.body(Body::empty()).unwrap()).await;
    let code = if answer.status.is_success() { String::new() } else { answer.problem() };
    (answer.status, code)
}

#[tokio::test]
async fn a_key_opens_what_its_roles_and_galleries_allow_and_only_while_it_is_valid() {
    let house = house();
    let reader = house.key(&[Role::Read], Some(&["main"]));
    let admin = house.key(&[Role::Admin], None);
    house.send(json_request("POST", "/v1/people", &json!({"name": "Ada"}))).await;
    let asked = |path: &'static str, key: &str| {
        let key = key.to_string();
        let house = &house;
        async move { with_key(house, "GET", path, &key).await }
    };
    let request = json_request("POST", "/v1/people", &json!({"name": "Ada"}));
    assert_eq!(house.send(request).await.problem(), "auth.no_key");
    let mut request = json_request("POST", "/v1/people", &json!({"name": "Ada"}));
    request.headers_mut().insert("x-api-key", admin.parse().unwrap());
    assert_eq!(house.send(request).await.status, StatusCode::CREATED);

    assert_eq!(asked("/v1/people", &reader).await.0, StatusCode::OK);
    assert_eq!(asked("/v1/people?gallery=other", &reader).await, (StatusCode::FORBIDDEN, "auth.gallery".into()));
    assert_eq!(asked("/v1/people?gallery=other", &admin).await.1, "gallery.unknown_gallery");
    assert_eq!(with_key(&house, "DELETE", "/v1/people/Ada", &reader).await.1, "auth.role");
    for wrong in ["", "kith_", "Bearer", &reader[..reader.len() - 1], &reader.to_uppercase()] {
        let (status, _) = asked("/v1/people", wrong).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    // Revoked while the service runs: the next request is refused.
    let file = KeyFile::in_folder(state(house.folder.path()));
    let id = reader.split('_').nth(1).unwrap();
    file.revoke(id).unwrap();
    assert_eq!(asked("/v1/people", &reader).await, (StatusCode::UNAUTHORIZED, "auth.wrong_key".into()));
}

#[tokio::test]
async fn without_keys_only_this_machine_and_no_page_of_another_origin_is_answered() {
    let house = house();
    let ask = |headers: &[(&'static str, &'static str)]| {
        let mut request = Request::get("/v1/people");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        async { house.send(request).await }
    };
    let answered = "gallery.unknown_gallery";
    assert_eq!(ask(&[("host", "127.0.0.1:8321")]).await.problem(), answered);
    assert_eq!(ask(&[("host", "localhost:8321"), ("origin", "http://localhost:8321")]).await.problem(), answered);
    for foreign in [
        &[("host", "rebound.example:8321")][..],
        &[("host", "localhost:8321"), ("origin", "http://evil.example")],
        &[("host", "localhost:8321"), ("origin", "null")],
        &[("host", "localhost:8321"), ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(ask(foreign).await.problem(), "auth.origin", "{foreign:?}");
    }
}

#[tokio::test]
async fn a_session_carries_its_keys_rights_and_needs_its_token() {
    let house = house();
    let key = house.key(&[Role::Read, Role::Enroll], None);
    let wrong = house.send_json("POST", "/session", json!({"key": "kith_00000000_0"})).await;
    assert_eq!(wrong.problem(), "auth.wrong_key");
    let opened = house.send_json("POST", "/session", json!({ "key": key })).await;
    let set = opened.header("set-cookie").to_string();
    assert!(set.contains("; HttpOnly; SameSite=Strict") && !set.contains("Secure"), "{set}");
    let cookie = set.split(';').next().unwrap().to_string();
    let csrf = opened.ok()["csrf"].as_str().unwrap().to_string();

    let get = |path: &'static str| Request::get(path).header("cookie", &cookie).body(Body::empty()).unwrap();
    let me = house.send(get("/session")).await.ok();
    assert_eq!((me["roles"].clone(), me["csrf"].as_str()), (json!(["enroll", "read"]), Some(csrf.as_str())));
    let add = |token: Option<&str>| {
        let mut request = json_request("POST", "/v1/people", &json!({"name": "Ada"}));
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        if let Some(token) = token {
            request.headers_mut().insert("x-csrf-token", token.parse().unwrap());
        }
        request
    };
    assert_eq!(house.send(add(None)).await.problem(), "auth.csrf");
    assert_eq!(house.send(add(Some(&"0".repeat(64)))).await.problem(), "auth.csrf");
    assert_eq!(house.send(add(Some(&csrf))).await.status, StatusCode::CREATED);

    let out = Request::delete("/session").header("cookie", &cookie).header("x-csrf-token", &csrf);
    let out = house.send(out.body(Body::empty()).unwrap()).await;
    assert_eq!(out.status, StatusCode::NO_CONTENT);
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(house.send(get("/v1/people")).await.problem(), "auth.no_key");

    // A revoked key ends its sessions.
    let opened = house.send_json("POST", "/session", json!({ "key": key })).await;
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_string();
    KeyFile::in_folder(state(house.folder.path())).revoke(key.split('_').nth(1).unwrap()).unwrap();
    let request = Request::get("/v1/people").header("cookie", cookie).body(Body::empty()).unwrap();
    assert_eq!(house.send(request).await.problem(), "auth.wrong_key");
}

#[tokio::test]
async fn requests_over_a_bound_are_told_which_and_when_to_come_again() {
    let house = house_with(|o| {
        o.limits.key_rate = Some(2.0);
        o.limits.body_bytes = 100_000;
    });
    let mut last = house.get("/v1/people").await;
    for _ in 0..3 {
        last = house.get("/v1/people").await;
    }
    assert_eq!((last.status, last.problem()), (StatusCode::TOO_MANY_REQUESTS, "limit.rate".to_string()));
    assert_eq!(last.header("retry-after"), "1");
    let roomy = house_with(|o| o.limits.body_bytes = 10_000);
    let large = roomy.post_photo("/v1/identify", "grace_hopper.jpg").await;
    assert_eq!((large.status, large.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "request.too_large".to_string()));
}

#[tokio::test]
async fn a_key_for_one_gallery_learns_nothing_of_others_from_counts_or_refusals() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    let policy = |name: &str, gallery: &str| {
        format!("[policy.{name}]\nliveness = false\nmax_fpir = 0.01\ngallery = \"{gallery}\"\n")
    };
    std::fs::write(&policies, policy("front", "office") + &policy("safe", "vault")).unwrap();
    let house = crate::support::house_in(folder, |o| o.policies = Some(policies));
    for gallery in ["office", "vault"] {
        let path = format!("/v1/people/Grace/faces?gallery={gallery}");
        house.post_photo(&path, "grace_hopper.jpg").await.ok();
    }
    for policy in ["front", "safe"] {
        house.post_photo(&format!("/v1/access/decide?policy={policy}"), "hopper_tilt.jpg").await.ok();
    }
    let own = house.key(&[Role::Read, Role::Decide], Some(&["office"]));
    let every = house.key(&[Role::Read], None);
    let ask = async |key: &str, request: axum::http::request::Builder, body: Vec<u8>| {
        let answer = house.send(request.header("x-api-key", key).body(body.into()).unwrap()).await;
        (answer.status, String::from_utf8(answer.bytes).unwrap())
    };
    let (_, seen) = ask(&every, Request::get("/metrics"), Vec::new()).await;
    for told in [
        "kith_gallery_people{name=\"vault\"} 1",
        "kith_gallery_faces{name=\"office\"} 1",
        "kith_decisions_total{policy=\"safe\",decision=\"allow\",reason=\"allowed\"} 1",
    ] {
        assert!(seen.contains(told), "{told}:\n{seen}");
    }
    assert!(seen.ends_with("# EOF\n") && seen.matches("# EOF").count() == 1, "{seen}");
    let (_, seen) = ask(&own, Request::get("/metrics"), Vec::new()).await;
    assert!(seen.contains("kith_gallery_people{name=\"office\"} 1") && seen.contains("policy=\"front\""), "{seen}");
    let photo = crate::support::photo("hopper_tilt.jpg");
    let decide = Request::post("/v1/access/decide?policy=safe").header("content-type", "image/jpeg");
    let (status, refused) = ask(&own, decide, photo).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    // Nor from what is told after that refusal.
    let (_, later) = ask(&own, Request::get("/metrics"), Vec::new()).await;
    for text in [seen, refused, later] {
        assert!(!text.contains("vault") && !text.contains("policy=\"safe\""), "{text}");
    }
}
