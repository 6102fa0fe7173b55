//! CompreFace's routes through the router: whose collection is answered, in which form, and what is in the log.
//! The whole of them is driven by CompreFace's own client in `tests/compreface.rs`.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use kith::serve::Role;
use serde_json::{Value, json};

use crate::support::{Answer, House, house, house_with, photo};

async fn ask(house: &House, method: &str, path: &str, key: &str, body: Option<Value>) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("x-api-key", key);
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |b| Body::from(b.to_string()));
    house.send(request.body(body).unwrap()).await
}

#[track_caller]
fn fault(answer: &Answer) -> (u16, u64) {
    let body = answer.json();
    assert_eq!(answer.header("content-type"), "application/json", "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert!(body["message"].as_str().is_some_and(|m| !m.is_empty()), "{body}");
    assert!(!answer.header("x-request-id").is_empty());
    (answer.status.as_u16(), body["code"].as_u64().unwrap())
}

#[tokio::test]
async fn a_key_for_one_gallery_has_that_as_its_collection() {
    let house = house();
    let everywhere = house.key(&[Role::Admin], None);
    let door = house.key(&[Role::Enroll, Role::Read, Role::Identify], Some(&["door"]));
    let two = house.key(&[Role::Read], Some(&["door", "gate"]));
    let subjects = "/api/v1/recognition/subjects";
    let added = ask(&house, "POST", subjects, &door, Some(json!({"subject": "Ada", "api_endpoint": "x"}))).await;
    assert_eq!((added.status, added.json()), (StatusCode::CREATED, json!({"subject": "Ada"})));
    assert_eq!(ask(&house, "GET", subjects, &door, None).await.ok(), json!({"subjects": ["Ada"]}));
    assert_eq!(ask(&house, "GET", subjects, &everywhere, None).await.ok(), json!({"subjects": []}));
    let door_people = ask(&house, "GET", "/v1/people?gallery=door", &everywhere, None).await.ok();
    assert_eq!(door_people["people"][0]["name"], "Ada");
    // A key for several galleries means the default one, which this one does not reach.
    assert_eq!(fault(&ask(&house, "GET", subjects, &two, None).await), (403, 0));
    assert_eq!(fault(&ask(&house, "GET", subjects, "kith_wrong", None).await), (401, 10));
    assert_eq!(fault(&ask(&house, "DELETE", subjects, &two, None).await), (403, 0));
}

#[tokio::test]
async fn problems_have_compreface_s_form_and_are_counted_like_others() {
    let house = house();
    let none = Request::post("/api/v1/detection/detect").header("content-type", "image/jpeg");
    let none = house.send(none.body(photo("no_face.jpg").into()).unwrap()).await;
    assert_eq!(fault(&none), (400, 28));
    assert_eq!(none.json()["message"], "No face is found in the given image");
    assert_eq!(fault(&house.get("/api/v1/nothing").await), (404, 0));
    let wrong = house.send(Request::patch("/api/v1/recognition/subjects").body(Body::empty()).unwrap()).await;
    assert_eq!((fault(&wrong), wrong.header("allow").is_empty()), ((405, 0), false));
    let text = String::from_utf8(house.get("/metrics").await.bytes).unwrap();
    assert!(text.contains("kith_refusals_total{name=\"refusal.no_face\"} 1"), "{text}");
    let bounded = house_with(|o| o.limits.key_rate = Some(0.01));
    bounded.get("/api/v1/recognition/subjects").await.ok();
    let last = bounded.get("/api/v1/recognition/subjects").await;
    assert_eq!((fault(&last), last.header("retry-after").is_empty()), ((429, 0), false));
}

#[tokio::test]
async fn a_face_that_was_added_without_pictures_has_none_to_show() {
    let house = house_with(|o| o.keep_chips = false);
    house.post_photo("/v1/people/Eileen/faces", "astronaut.png").await.ok();
    let faces = house.get("/api/v1/recognition/faces?subject=Eileen").await.ok();
    let plain = faces["faces"][0]["image_id"].as_str().unwrap();
    let answer = house.get(&format!("/api/v1/recognition/faces/{plain}/img")).await;
    assert_eq!(fault(&answer), (404, 11));
}

#[tokio::test]
async fn what_they_do_is_in_the_audit_log_and_their_faces_keep_a_picture() {
    let house = house();
    let saved = Request::post("/api/v1/recognition/faces?subject=Grace").header("content-type", "image/jpeg");
    let saved = house.send(saved.body(photo("grace_hopper.jpg").into()).unwrap()).await.ok();
    let id = saved["image_id"].as_str().unwrap();
    let image = house.get(&format!("/api/v1/recognition/faces/{id}/img")).await;
    assert_eq!((image.header("content-type"), &image.bytes[..2]), ("image/jpeg", &[0xff, 0xd8][..]));
    house.post_photo("/v1/people/Eileen/faces", "astronaut.png").await.ok();
    house.send(Request::delete("/api/v1/recognition/subjects").body(Body::empty()).unwrap()).await.ok();
    let log = house.get("/v1/audit").await.ok();
    let lines: Vec<_> = log["lines"].as_array().unwrap().iter().filter(|l| l["result"] != "begun").collect();
    let told: Vec<_> = lines.iter().map(|l| (l["action"].as_str().unwrap(), l["person"].as_str())).collect();
    assert_eq!(told, [("forget everybody", None), ("enroll", Some("Eileen")), ("enroll", Some("Grace"))]);
    assert_eq!(lines[0]["evidence"]["people"], json!(["Eileen", "Grace"]));
}
