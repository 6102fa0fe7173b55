//! The audit log: who came in and went, who was refused, which keys came and went.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use kith::serve::{KeyFile, NewKey, Role, last_lines, note_keys, verify_log};
use serde_json::{Value, json};

use crate::support::{House, house, house_with, json_request, state};

/// The log's lines, oldest first.
fn lines(house: &House) -> Vec<Value> {
    let folder = state(house.folder.path());
    let mut lines = last_lines(&folder, None, 1000).unwrap();
    lines.reverse();
    assert_eq!(verify_log(&folder, None).unwrap().head.lines, lines.len() as u64);
    lines
}

fn shown(line: &Value) -> String {
    let text = |name: &str| line[name].as_str().unwrap_or("-").to_string();
    format!("{}: {} {}", text("action"), text("result"), text("code"))
}

fn text_of(house: &House) -> String {
    std::fs::read_to_string(state(house.folder.path()).join("audit.jsonl")).unwrap()
}

#[tokio::test]
async fn who_logs_in_and_out_and_who_is_turned_away_is_in_the_log() {
    let house = house();
    let key = house.key(&[Role::Read], None);
    let wrong = "kith_00000000_f00df00df00df00d";
    house.send_json("POST", "/session", json!({ "key": wrong })).await;
    let opened = house.send_json("POST", "/session", json!({ "key": key })).await;
    let cookie = opened.header("set-cookie").split(';').next().unwrap().to_string();
    let csrf = opened.ok()["csrf"].as_str().unwrap().to_string();
    let with_session = |method: &str, path: &str| Request::builder().method(method).uri(path).header("cookie", &cookie);
    // A reader who would forget somebody, and a request without the session's token.
    let forget = with_session("DELETE", "/v1/people/Ada").header("x-csrf-token", &csrf).body(Body::empty()).unwrap();
    assert_eq!(house.send(forget).await.problem(), "auth.role");
    let forged = with_session("DELETE", "/v1/people/Ada").body(Body::empty()).unwrap();
    assert_eq!(house.send(forged).await.problem(), "auth.csrf");
    let out = with_session("DELETE", "/session").header("x-csrf-token", &csrf).body(Body::empty()).unwrap();
    assert_eq!(house.send(out).await.status, StatusCode::NO_CONTENT);

    let lines = lines(&house);
    let expected = [
        "new key: seen by the service -",
        "log in: refused auth.wrong_key",
        "log in: done -",
        "DELETE /v1/people/{name}: refused auth.role",
        "DELETE /v1/people/{name}: refused auth.csrf",
        "log out: done -",
    ];
    assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), expected);
    let id = key.split('_').nth(1).unwrap();
    assert_eq!((lines[0]["evidence"]["id"].as_str(), lines[1]["key"].as_str()), (Some(id), Some("-")));
    assert!(lines[2..].iter().all(|l| l["key"] == id && l["key_name"] == "a test's"), "{lines:?}");
    assert!(lines[1..].iter().all(|l| l["request"].is_string()));
    let text = text_of(&house);
    for secret in [&key, wrong, &cookie, &csrf, key.rsplit_once('_').unwrap().1, "f00df00d"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn knocking_does_not_fill_the_disk() {
    let house = house();
    let key = house.key(&[Role::Read], None);
    for i in 0..500 {
        let wrong = Request::get(format!("/v1/people/{i}")).header("x-api-key", format!("kith_{i:08}_0"));
        let answer = house.send(wrong.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    // The same key that was good once is another's business than keys that never were.
    KeyFile::in_folder(state(house.folder.path())).revoke(key.split('_').nth(1).unwrap()).unwrap();
    for _ in 0..50 {
        let revoked = Request::get("/v1/people").header("x-api-key", &key).body(Body::empty()).unwrap();
        assert_eq!(house.send(revoked).await.problem(), "auth.wrong_key");
    }
    let lines = lines(&house);
    let expected = [
        "new key: seen by the service -",
        "GET /v1/people/{name}: refused auth.wrong_key",
        "revoke key: seen by the service -",
        "GET /v1/people: refused auth.wrong_key",
    ];
    assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), expected);
    assert_eq!(lines[3]["key"], key.split('_').nth(1).unwrap());
}

#[tokio::test]
async fn a_refusal_that_a_handler_has_noted_is_noted_once() {
    let house = house_with(|o| o.limits.key_rate = Some(1.0));
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, "[policy.far]\nliveness = false\nmax_fmr = 0.1\ngallery = \"far\"\n").unwrap();
    let doors = house_with(|o| o.policies = Some(policies));
    let key = doors.key(&[Role::Decide], Some(&["near"]));
    let mut request = Request::post("/v1/access/decide?policy=far").header("x-api-key", &key);
    request = request.header("content-type", "image/jpeg");
    let answer = doors.send(request.body(crate::support::photo("hopper_tilt.jpg").into()).unwrap()).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let decided: Vec<String> = lines(&doors).iter().map(shown).filter(|l| !l.contains("key")).collect();
    assert_eq!(decided, ["decide: deny unauthorized"]);
    // Too often is refused too.
    for _ in 0..3 {
        house.send(json_request("POST", "/v1/people", &json!({ "name": "Ada" }))).await;
    }
    let last = shown(lines(&house).last().unwrap());
    assert_eq!(last, "POST /v1/people: refused limit.rate");
}

#[tokio::test]
async fn keys_made_while_no_service_runs_are_noted_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let file = KeyFile::in_folder(state(folder.path()));
    let new = NewKey { name: "door".into(), roles: [Role::Decide].into(), ..NewKey::default() };
    let (first, _) = file.add(new.clone()).unwrap();
    assert!(note_keys(&state(folder.path())).unwrap());
    // Killed before it could note this one.
    let (second, _) = file.add(new).unwrap();
    let house = crate::support::house_in(folder, |_| {});
    assert!(!note_keys(&state(house.folder.path())).unwrap(), "the service holds the log");
    assert_eq!(house.get("/v1/people").await.problem(), "auth.no_key");
    let ids: Vec<Value> = lines(&house).iter().map(|l| l["evidence"]["id"].clone()).collect();
    assert_eq!(ids[..2], [json!(first.id), json!(second.id)]);
}

#[test]
fn a_key_made_while_the_service_runs_is_noted_without_a_request() {
    let running = crate::socket::begin(|_| {});
    let folder = state(running.house.folder.path());
    let key = running.house.key(&[Role::Read], None);
    let mut tries = 0;
    while last_lines(&folder, None, 1).unwrap().is_empty() {
        assert!(tries < 300, "the key is not in the log");
        tries += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // A count of refusals that is not due yet is written when the service stops.
    for _ in 0..3 {
        let mut stream = running.connect();
        std::io::Write::write_all(&mut stream, b"GET /v1/people HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        assert!(crate::socket::all_of(&mut stream).starts_with("HTTP/1.1 401 "));
    }
    let house = running.stop();
    let said: Vec<String> = lines(&house).iter().map(shown).collect();
    let expected = [
        "new key: seen by the service -",
        "GET /v1/people: refused auth.no_key",
        "refused requests: refused again auth.no_key",
    ];
    assert_eq!(said, expected);
    let last = &lines(&house)[2]["evidence"];
    assert_eq!((last["times"].clone(), last["from"].clone()), (2.into(), json!(["127.0.0.1"])));
    assert!(!text_of(&house).contains(key.rsplit_once('_').unwrap().1));
}

/// A policy for the gallery `main`, in a file beside the service.
fn policies(folder: &std::path::Path) -> std::path::PathBuf {
    let path = folder.join("policies.toml");
    std::fs::write(&path, "[policy.door]\nliveness = false\nmax_fpir = 0.01\n").unwrap();
    path
}

#[tokio::test]
async fn a_change_has_its_line_before_it_is_made_and_another_when_it_is() {
    let house = house();
    house.send_json("POST", "/v1/people", json!({ "name": "Ada" })).await.ok();
    house.send_json("POST", "/v1/people", json!({ "name": "Ada" })).await;
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    house.send_json("POST", "/v1/people/Ada/merge", json!({ "into": "Grace" })).await.ok();
    let lines = lines(&house);
    let expected = [
        "add person: begun -",
        "add person: done -",
        "add person: begun -",
        "add person: refused gallery.name_taken",
        "enroll: begun -",
        "enroll: done -",
        "merge person: begun -",
        "merge person: done -",
    ];
    assert_eq!(lines.iter().map(shown).collect::<Vec<_>>(), expected);
    for pair in lines.chunks(2) {
        assert_eq!((&pair[1]["begun"], &pair[1]["request"]), (&pair[0]["seq"], &pair[0]["request"]), "{pair:?}");
        assert_eq!((&pair[1]["person"], &pair[0]["begun"]), (&pair[0]["person"], &Value::Null), "{pair:?}");
    }
    assert_eq!(lines[6]["evidence"], json!({ "into": "Grace" }));
}

#[tokio::test]
async fn a_log_that_is_gone_changes_nothing_and_opens_nothing_at_the_next_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = policies(folder.path());
    let house = crate::support::house_in(folder, |o| o.policies = Some(file));
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    assert_eq!(house.get("/healthz/ready").await.status, StatusCode::OK);
    // What is told of being ready may be a tenth of a second old.
    let pause = || tokio::time::sleep(std::time::Duration::from_millis(150));
    pause().await;
    let log = state(house.folder.path()).join("audit.jsonl");
    let aside = house.folder.path().join("aside");
    std::fs::rename(&log, &aside).unwrap();

    let refused = house.send_json("POST", "/v1/people", json!({ "name": "Ada" })).await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::SERVICE_UNAVAILABLE, "audit.unwritable".into()));
    let refused = house.post_photo("/v1/people/Ada/faces", "astronaut.png").await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::SERVICE_UNAVAILABLE, "audit.unwritable".into()));
    for (method, path) in [("DELETE", "/v1/people/Grace"), ("DELETE", "/v1/faces/1"), ("POST", "/v1/backup")] {
        let asked = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(house.send(asked).await.problem(), "audit.unwritable", "{method} {path}");
    }
    let people = house.get("/v1/people").await.ok();
    let names: Vec<&str> = people["people"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Grace"], "something was changed without a line");
    let door = house.post_photo("/v1/access/decide?policy=door", "hopper_tilt.jpg").await;
    assert_eq!(
        (door.status, door.json()["reason"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("audit_unavailable"))
    );
    assert_eq!(door.json()["decision"], "deny");
    // A key that the log does not know lets nobody in.
    let key = house.key(&[Role::Read], None);
    let with_key = |path: &str| Request::get(path).header("x-api-key", &key).body(Body::empty()).unwrap();
    assert_eq!(house.send(with_key("/v1/people")).await.problem(), "audit.unwritable");
    assert_eq!(house.send_json("POST", "/session", json!({ "key": key })).await.problem(), "audit.unwritable");
    let ready = house.get("/healthz/ready").await;
    assert_eq!((ready.status, ready.problem()), (StatusCode::SERVICE_UNAVAILABLE, "audit.unwritable".into()));
    let reasons = &ready.json()["reasons"];
    assert!(reasons[0]["detail"].as_str().unwrap().contains("audit.jsonl was moved"), "{reasons}");
    assert!(!String::from_utf8_lossy(&ready.bytes).contains("faces.serve"), "a path is told");

    std::fs::rename(&aside, &log).unwrap();
    pause().await;
    assert_eq!(house.get("/healthz/ready").await.status, StatusCode::OK);
    house.send(with_key("/v1/people")).await.ok();
    let last: Vec<String> = lines(&house).iter().rev().take(2).map(shown).collect();
    assert_eq!(last, ["new key: seen by the service -", "audit log unwritable: written again -"]);
}

#[tokio::test]
async fn no_text_of_a_caller_makes_a_long_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = policies(folder.path());
    let house = crate::support::house_in(folder, |o| o.policies = Some(file));
    let long = |c: char| c.to_string().repeat(20_000);
    let (a, b, c) = (long('a'), long('b'), long('c'));
    let asked = [
        format!("/v1/access/decide?policy={a}&person={b}&door={c}"),
        format!("/v1/access/decide?policy=door&person={b}&door={c}"),
        format!("/v1/identify?gallery={a}"),
        format!("/v1/people/{a}/verify?gallery={b}"),
        format!("/v1/people/{a}/faces?gallery={b}"),
        format!("/api/v1/recognition/faces?subject={a}"),
    ];
    for path in &asked {
        house.post_photo(path, "hopper_tilt.jpg").await;
    }
    house.send_json("POST", "/v1/people", json!({ "name": long('n').repeat(50) })).await;
    house.send_json("POST", &format!("/v1/people/{a}/merge"), json!({ "into": long('i').repeat(50) })).await;
    house.send_json("PATCH", &format!("/v1/people/{a}"), json!({ "name": long('i').repeat(50) })).await;
    let forget = Request::builder().method("DELETE").uri(format!("/v1/people/{a}?gallery={b}"));
    house.send(forget.body(Body::empty()).unwrap()).await;
    // A method is the caller's to invent, too.
    let odd = Request::builder().method(long('M').as_str()).uri("/v1/people").header("x-api-key", "wrong");
    house.send(odd.body(Body::empty()).unwrap()).await;
    let all = lines(&house);
    assert!(all.len() >= asked.len() + 8, "{}", all.len());
    for line in text_of(&house).lines() {
        assert!(line.len() < 2500, "{} bytes: {}", line.len(), &line[..2500]);
    }
    assert!(text_of(&house).contains("(20000 bytes, sha256 "));
}
