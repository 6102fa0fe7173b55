//! Doors: who is let in, and that nobody is whenever anything is not as it must be.

use axum::http::StatusCode;
use kith::serve::{Role, last_lines, verify_log};
use serde_json::Value;

use crate::support::{Answer, House, house_with, state};

const POLICIES: &str = r#"
[policy.door]
liveness = false
max_fpir = 0.01
max_fmr = 0.001
face = "largest"

[policy.staff]
liveness = false
max_fpir = 0.01
groups = ["staff"]

[policy.never]
liveness = false
max_fpir = 0.01
timezone = "UTC"
hours = [{ days = [], from = "00:00", to = "23:59" }]

[policy.strict]
liveness = false
max_fpir = 0.0000000001

[policy.other-model]
liveness = false
max_fpir = 0.01
model = "facenet-vggface2"

[policy.old]
liveness = false
max_fpir = 0.01
calibration = "000000000000"

[policy.sharp]
liveness = false
max_fpir = 0.01
min_quality = { eye_distance = 5000.0 }

[policy.empty]
liveness = false
max_fpir = 0.01
gallery = "nobody"

[policy.patient]
liveness = false
max_fpir = 0.01
cool_down = { failures = 2, within_seconds = 60, seconds = 60 }

[policy.claims]
liveness = false
max_fmr = 0.001
cool_down = { failures = 2, within_seconds = 60, seconds = 60 }
"#;

async fn doors(change: impl FnOnce(&mut kith::serve::ServeOptions)) -> House {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, POLICIES).unwrap();
    let house = crate::support::house_in(folder, |o| {
        o.policies = Some(policies);
        change(o);
    });
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    house
}

async fn ask(house: &House, query: &str, file: &str) -> Answer {
    house.post_photo(&format!("/v1/access/decide?{query}"), file).await
}

/// Decision and reason, in whatever form the answer has.
fn said(answer: &Answer) -> (String, String) {
    let body: Value = answer.json();
    let text = |name: &str| body[name].as_str().unwrap_or_else(|| panic!("{body}")).to_string();
    (text("decision"), text("reason"))
}

#[tokio::test]
async fn a_known_face_is_let_in_and_everything_else_is_denied_with_its_reason() {
    let house = doors(|_| {}).await;
    let open = ask(&house, "policy=door&door=front", "hopper_tilt.jpg").await;
    assert_eq!((open.status, said(&open)), (StatusCode::OK, ("allow".into(), "allowed".into())));
    let body = open.json();
    assert_eq!((body["person"].as_str(), body["door"].as_str()), (Some("Grace"), Some("front")));
    assert!(body["evidence"]["distance"].as_f64() <= body["evidence"]["threshold"]["distance"].as_f64());
    let claimed = ask(&house, "policy=door&person=Grace", "hopper_tilt.jpg").await;
    assert_eq!(said(&claimed).1, "allowed");
    for answer in [&body, &claimed.json()] {
        for quality in ["quality", "enrolled_quality"] {
            assert!(answer["evidence"][quality]["eye_distance"].as_f64().unwrap() > 60.0, "{answer}");
        }
        assert_eq!(
            (&answer["evidence"]["turned"], &answer["evidence"]["passed_over"]),
            (&0.into(), &Value::Array(Vec::new()))
        );
    }
    // What is offered is the policy's word, and nothing that a request has no room for.
    let several = ask(&house, "policy=staff", "two_faces.jpg").await.json();
    let detail = several["detail"].as_str().unwrap();
    assert!(detail.contains("2 faces found") && detail.contains("have the policy say face = \"largest\""), "{detail}");
    let poor = ask(&house, "policy=sharp", "hopper_tilt.jpg").await.json();
    assert!(!poor["detail"].as_str().unwrap().contains("allow="), "{poor}");
    for (query, file, status, reason) in [
        ("policy=door", "astronaut.png", 200, "no_match"),
        ("policy=door&person=Grace", "astronaut.png", 200, "claim_rejected"),
        ("policy=door&person=Nobody", "hopper_tilt.jpg", 200, "person_unknown"),
        ("policy=door", "no_face.jpg", 200, "no_face"),
        ("policy=staff", "two_faces.jpg", 200, "several_faces"),
        ("policy=staff", "hopper_tilt.jpg", 200, "group_not_allowed"),
        ("policy=staff&person=Grace", "hopper_tilt.jpg", 400, "policy_incomplete"),
        ("policy=never", "hopper_tilt.jpg", 200, "outside_hours"),
        ("policy=strict", "grace_hopper.jpg", 200, "calibration_insufficient"),
        ("policy=other-model", "hopper_tilt.jpg", 200, "model_missing"),
        ("policy=old", "hopper_tilt.jpg", 200, "calibration_stale"),
        ("policy=sharp", "hopper_tilt.jpg", 200, "poor_quality"),
        ("policy=empty", "hopper_tilt.jpg", 200, "gallery_unknown"),
        ("policy=nowhere", "hopper_tilt.jpg", 404, "policy_unknown"),
        ("plicy=door", "hopper_tilt.jpg", 400, "bad_request"),
    ] {
        let answer = ask(&house, query, file).await;
        assert_eq!((answer.status.as_u16(), said(&answer)), (status, ("deny".into(), reason.into())), "{query} {file}");
    }
    // Every decision is in the log, and the log holds.
    let folder = state(house.folder.path());
    let lines = last_lines(&folder, None, 1000).unwrap();
    let decided = lines.iter().filter(|l| l["action"] == "decide").count();
    assert_eq!((decided, verify_log(&folder, None).unwrap().head.lines), (19, lines.len() as u64));
    let text = std::fs::read_to_string(folder.join("audit.jsonl")).unwrap();
    assert!(!text.contains("\"embedding\"") && text.len() < 30_000, "more than evidence is logged");
}

#[tokio::test]
async fn after_failures_even_the_right_face_waits() {
    let house = doors(|_| {}).await;
    for _ in 0..2 {
        assert_eq!(said(&ask(&house, "policy=patient&door=1", "astronaut.png").await).1, "no_match");
    }
    assert_eq!(said(&ask(&house, "policy=patient&door=1", "hopper_tilt.jpg").await).1, "cooling_down");
    assert_eq!(said(&ask(&house, "policy=door&door=1", "hopper_tilt.jpg").await).1, "allowed");
}

#[tokio::test]
async fn no_other_door_and_no_other_claim_is_a_fresh_start_for_a_key_and_other_keys_are_not_hindered() {
    let house = doors(|_| {}).await;
    let (first, second) = (house.key(&[Role::Decide], None), house.key(&[Role::Decide], None));
    let ask = async |key: &str, query: &str, file: &str| {
        let path = format!("/v1/access/decide?policy=patient{query}");
        let request = axum::http::Request::post(path).header("x-api-key", key).header("content-type", "image/jpeg");
        said(&house.send(request.body(crate::support::photo(file).into()).unwrap()).await).1
    };
    assert_eq!(ask(&first, "&door=1", "astronaut.png").await, "no_match");
    assert_eq!(ask(&first, "", "astronaut.png").await, "no_match");
    for query in ["", "&door=1", "&door=2", "&door=new"] {
        assert_eq!(ask(&first, query, "hopper_tilt.jpg").await, "cooling_down", "{query}");
    }
    assert_eq!(ask(&second, "&door=1", "hopper_tilt.jpg").await, "allowed");
    // Claims to be people who are not there are tries of the key, whatever the names.
    let claim = async |query: &str, file: &str| {
        let path = format!("/v1/access/decide?policy=claims{query}");
        let request = axum::http::Request::post(path).header("x-api-key", &second).header("content-type", "image/jpeg");
        said(&house.send(request.body(crate::support::photo(file).into()).unwrap()).await).1
    };
    for name in ["a", "b"] {
        assert_eq!(claim(&format!("&person={name}&door={name}"), "hopper_tilt.jpg").await, "person_unknown");
    }
    assert_eq!(claim("&person=Grace&door=c", "hopper_tilt.jpg").await, "cooling_down");
    // Nor is another spelling of the name of somebody who is there, whichever key says it.
    let keys: Vec<String> = (0..4).map(|_| house.key(&[Role::Decide], None)).collect();
    let claim = async |key: &str, name: &str, file: &str| {
        let path = format!("/v1/access/decide?policy=claims&person={name}");
        let request = axum::http::Request::post(path).header("x-api-key", key).header("content-type", "image/jpeg");
        said(&house.send(request.body(crate::support::photo(file).into()).unwrap()).await).1
    };
    for (key, spelling) in keys.iter().zip(["grace", "%EF%BC%A7RACE"]) {
        assert_eq!(claim(key, spelling, "astronaut.png").await, "claim_rejected");
    }
    assert_eq!(claim(&keys[2], "GRACE", "hopper_tilt.jpg").await, "cooling_down");
    let padded = format!("Grace{}", "%E2%80%8B".repeat(300));
    assert_eq!(claim(&keys[3], &padded, "hopper_tilt.jpg").await, "person_unknown");
}

#[tokio::test]
async fn what_a_policy_supports_and_what_there_is_is_told_wherever_people_look() {
    let house = doors(|_| {}).await;
    let enrolled = house.post_photo("/v1/people/Neil/faces", "astronaut.png").await.ok();
    let room = |all: &Value, name: &str| {
        let all = all["policies"].as_array().unwrap();
        all.iter().find(|p| p["policy"] == name).cloned().unwrap_or(Value::Null)
    };
    let told = |r: Value| (r["supports_faces"].as_u64(), r["has_faces"].as_u64(), r["enough"].as_bool());
    for all in [enrolled.clone(), house.get("/v1/stats").await.ok()] {
        assert_eq!(told(room(&all, "door")), (Some(5025), Some(2), Some(true)), "{all}");
        assert_eq!(told(room(&all, "strict")), (Some(0), Some(2), Some(false)));
        assert_eq!(told(room(&all, "other-model")), (Some(0), Some(2), Some(false)));
        assert_eq!(told(room(&all, "claims")), (None, Some(2), Some(true)));
    }
    // An enrolment tells of the policies for its own gallery.
    assert_eq!(room(&enrolled, "empty"), Value::Null);
    let metrics = String::from_utf8(house.get("/metrics").await.bytes).unwrap();
    for line in [
        "kith_policy_supported_faces{policy=\"door\"} 5025",
        "kith_policy_faces{policy=\"door\"} 2",
        "kith_policy_supported_faces{policy=\"strict\"} 0",
        "kith_audit_writable 1",
        "kith_panics_total 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[tokio::test]
async fn overload_lateness_and_strangers_open_no_door() {
    let busy = house_with(|_| {});
    // No policies at all: nothing is known to be allowed.
    let none = ask(&busy, "policy=door", "hopper_tilt.jpg").await;
    assert_eq!(said(&none), ("deny".to_string(), "policy_unknown".to_string()));
    // Nothing is begun in time, and the answer is a denial that is in the log.
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, POLICIES).unwrap();
    let late = crate::support::house_in(folder, |o| {
        o.policies = Some(policies);
        o.limits.queue_seconds = 1e-9;
    });
    let answer = ask(&late, "policy=door", "hopper_tilt.jpg").await;
    assert_eq!((answer.status, said(&answer)), (StatusCode::SERVICE_UNAVAILABLE, ("deny".into(), "overloaded".into())));
    assert_eq!(answer.header("retry-after"), "1");
    let logged = last_lines(&state(late.folder.path()), None, 1).unwrap();
    assert_eq!((logged[0]["result"].as_str(), logged[0]["code"].as_str()), (Some("deny"), Some("overloaded")));
    let house = doors(|_| {}).await;
    let key = house.key(&[Role::Read], None);
    let nobody = ask(&house, "policy=door", "hopper_tilt.jpg").await;
    assert_eq!((nobody.status, said(&nobody)), (StatusCode::UNAUTHORIZED, ("deny".into(), "unauthorized".into())));
    let mut request = axum::http::Request::post("/v1/access/decide?policy=door").header("x-api-key", &key);
    request = request.header("content-type", "image/jpeg");
    let reader = house.send(request.body(crate::support::photo("hopper_tilt.jpg").into()).unwrap()).await;
    assert_eq!((reader.status, said(&reader).0), (StatusCode::FORBIDDEN, "deny".to_string()));
}
