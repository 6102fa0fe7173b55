//! What an admin looks after through the API: keys, backups, the audit trail by what it says, and lists of people.

use axum::http::StatusCode;
use kith::serve::Role;
use serde_json::{Value, json};

use crate::support::{House, house, send};
use axum::body::Body;
use axum::http::Request;

async fn with(house: &House, key: &str, method: &str, path: &str, body: Option<Value>) -> crate::support::Answer {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {key}"));
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string().into()),
        None => request.body(Body::empty()),
    };
    send(&house.router, request.unwrap()).await
}

#[tokio::test]
async fn what_is_answered_once_takes_no_key_to_be_answered_again() {
    let house = house();
    let admin = house.key(&[Role::Admin], None);
    for (path, body) in [("/v1/keys", Some(json!({ "name": "kiosk", "roles": ["read"] }))), ("/v1/backup", None)] {
        let request = Request::builder().method("POST").uri(path).header("authorization", format!("Bearer {admin}"));
        let request = request.header("idempotency-key", "again").header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |b| b.to_string().into());
        assert_eq!(
            send(&house.router, request.body(body).unwrap()).await.problem(),
            "request.no_idempotency",
            "{path}"
        );
    }
    assert_eq!(with(&house, &admin, "GET", "/v1/keys", None).await.ok()["keys"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_first_key_is_an_admins_so_that_nobody_is_locked_out() {
    let house = house();
    let ask = |roles: &[&str]| {
        let body = json!({ "name": "first", "roles": roles }).to_string();
        let request = Request::builder().method("POST").uri("/v1/keys").header("content-type", "application/json");
        request.body(Body::from(body)).unwrap()
    };
    assert_eq!(send(&house.router, ask(&["read"])).await.problem(), "request.first_key");
    assert_eq!(send(&house.router, ask(&["admin"])).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_key_is_made_listed_and_revoked_by_who_reaches_everything() {
    let house = house();
    let admin = house.key(&[Role::Admin], None);
    let wanted = json!({ "name": "kiosk", "roles": ["identify"], "days": 1.0 });
    for (roles, galleries, code) in [
        (&[Role::Read, Role::Identify, Role::Enroll, Role::Decide][..], None, "auth.role"),
        (&[Role::Admin], Some(&["main"][..]), "auth.gallery"),
    ] {
        let key = house.key(roles, galleries);
        for (method, path, body) in
            [("GET", "/v1/keys", None), ("POST", "/v1/keys", Some(wanted.clone())), ("DELETE", "/v1/keys/0000", None)]
        {
            assert_eq!(with(&house, &key, method, path, body).await.problem(), code, "{method} {path}");
        }
    }
    let made = with(&house, &admin, "POST", "/v1/keys", Some(wanted)).await;
    assert_eq!((made.status, made.header("cache-control")), (StatusCode::CREATED, "no-store"));
    let made = made.ok();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["key"]["id"].as_str().unwrap());
    assert_eq!(with(&house, secret, "GET", "/session", None).await.ok()["roles"], json!(["identify"]));
    let listed = with(&house, &admin, "GET", "/v1/keys", None).await;
    let text = String::from_utf8_lossy(&listed.bytes).into_owned();
    assert!(!text.contains(secret.rsplit('_').next().unwrap()) && !text.contains("sha256"), "{text}");
    let first = listed.ok()["keys"][0].clone();
    assert_eq!((&first["name"], &first["valid"]), (&json!("kiosk"), &json!(true)));
    assert_eq!(with(&house, &admin, "DELETE", &format!("/v1/keys/{id}"), None).await.ok()["valid"], false);
    assert_eq!(with(&house, secret, "GET", "/session", None).await.problem(), "auth.wrong_key");
    let unknown = with(&house, &admin, "DELETE", "/v1/keys/ffffffff", None).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (StatusCode::NOT_FOUND, "serve.unknown_key"));
    for bad in [
        json!({ "name": "", "roles": ["read"] }),
        json!({ "name": "a", "roles": [] }),
        json!({ "name": "a", "roles": ["read"], "days": -1 }),
        json!({ "name": "a", "roles": ["read"], "galleries": ["\u{9b}"] }),
        json!({ "name": "a\u{202e}b", "roles": ["read"] }),
    ] {
        let refused = with(&house, &admin, "POST", "/v1/keys", Some(bad)).await;
        assert_eq!((refused.status, refused.problem().as_str()), (StatusCode::BAD_REQUEST, "serve.bad_option"));
    }
    let trail = with(&house, &admin, "GET", "/v1/audit?limit=100", None).await;
    let text = String::from_utf8_lossy(&trail.bytes).into_owned();
    assert!(text.contains("make key") && text.contains("end key"), "{text}");
    assert!(!text.contains(secret.rsplit('_').next().unwrap()), "the trail holds no key");
}

#[tokio::test]
async fn a_backup_is_listed_and_downloaded_as_it_stands_and_nothing_else_is() {
    let house = house();
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    assert_eq!(house.get("/v1/backups").await.ok()["backups"], json!([]));
    assert_eq!(house.get("/v1/stats").await.ok()["last_backup"], Value::Null);
    let made = house.send_json("POST", "/v1/backup", json!({})).await.ok();
    let listed = house.get("/v1/backups").await.ok()["backups"].clone();
    let name = listed[0]["name"].as_str().unwrap();
    assert!(made["file"].as_str().unwrap().ends_with(name), "{listed}");
    let answer = house.get(&format!("/v1/backups/{name}")).await;
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{name}\""));
    assert_eq!(answer.bytes, std::fs::read(made["file"].as_str().unwrap()).unwrap());
    for other in ["keys.json", "..%2Fkeys.json", "..%2Faudit.jsonl", "kith-.bak", "%00"] {
        assert_eq!(house.get(&format!("/v1/backups/{other}")).await.problem(), "backup.unknown", "{other}");
    }
    let stats = house.get("/v1/stats").await.ok();
    assert_eq!(stats["last_backup"]["name"], name);
    assert!(stats["disk"]["free_bytes"].as_u64().unwrap() <= stats["disk"]["total_bytes"].as_u64().unwrap());
    assert!(stats["work"]["answered"].as_u64().unwrap() >= 10 && stats["work"]["refused"].as_u64().unwrap() >= 5);
    let lines = house.get("/v1/audit?action=download%20backup").await.ok()["lines"].clone();
    assert_eq!(lines.as_array().unwrap().iter().filter(|l| l["result"] == "done").count(), 1, "{lines}");
}

#[tokio::test]
async fn the_trail_is_checked_as_a_whole_and_what_is_wrong_stays_told() {
    let house = house();
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    let sound = house.send_json("POST", "/v1/audit/check", json!({})).await.ok();
    assert!(sound["sound"] == true && sound["lines"].as_u64().unwrap() >= 2, "{sound}");
    let log = crate::support::state(house.folder.path()).join("audit.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replacen("Grace", "Grate", 1)).unwrap();
    house.send_json("POST", "/v1/audit/check", json!({})).await;
    let told = house.get("/v1/stats").await.ok()["audit_checked"].clone();
    assert!(told["sound"] == false && told["fault"].as_str().unwrap().contains("changed"), "{told}");
}

#[tokio::test]
async fn the_trail_is_asked_by_what_it_says() {
    let house = house();
    house.post_photo("/v1/people/Grace%20Hopper/faces", "grace_hopper.jpg").await.ok();
    house.post_photo("/v1/identify", "hopper_tilt.jpg").await.ok();
    let count =
        async |query: &str| house.get(&format!("/v1/audit?{query}")).await.ok()["lines"].as_array().unwrap().len();
    assert_eq!((count("action=identify").await, count("person=hopper").await), (1, 2));
    assert_eq!((count("key=local").await, count("action=identify&person=hopper").await), (3, 0));
    assert_eq!((count("from=2020-01-01T00:00:00Z").await, count("to=2020-01-01T00:00:00%2B01:00").await), (3, 0));
    let first = house.get("/v1/audit?limit=2").await.ok();
    let rest = house.get(&format!("/v1/audit?limit=2&before={}", first["next"])).await.ok();
    assert_eq!((rest["lines"].as_array().unwrap().len(), &rest["next"]), (1, &Value::Null));
    assert_eq!(house.get("/v1/audit?from=yesterday").await.problem(), "request.bad_option");
}

#[tokio::test]
async fn people_come_in_every_order_with_how_many_they_are() {
    let house = house();
    for name in ["Bo", "Ada", "Cy"] {
        house.send_json("POST", "/v1/people", json!({ "name": name })).await.ok();
    }
    house.post_photo("/v1/people/Bo/faces", "grace_hopper.jpg").await.ok();
    let names = async |query: &str| {
        let list = house.get(&format!("/v1/people?{query}")).await.ok();
        let names: Vec<&str> = list["people"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
        (names.join(","), list["total"].as_u64(), list["next"].is_string())
    };
    assert_eq!(names("limit=2").await, ("Ada,Bo".into(), Some(3), true));
    assert_eq!(names("sort=faces&limit=1").await, ("Bo".into(), Some(3), false));
    assert_eq!(names("sort=newest&skip=0&limit=3").await.0.split(',').count(), 3);
    assert_eq!(names("skip=2").await, ("Cy".into(), Some(3), false));
    assert_eq!(names("q=A").await, ("Ada".into(), Some(1), false));
    let next = house.get("/v1/people?limit=2").await.ok()["next"].as_str().unwrap().to_string();
    assert_eq!(names(&format!("after={next}")).await, ("Cy".into(), None, false));
    for bad in ["sort=age".to_string(), format!("after={next}&skip=1"), format!("after={next}&sort=faces")] {
        assert_eq!(house.get(&format!("/v1/people?{bad}")).await.problem(), "request.bad_option", "{bad}");
    }
}
