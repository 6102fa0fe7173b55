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
