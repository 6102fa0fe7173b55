//! Several photos in one request.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{Answer, House, house, multipart, photo};

async fn post(house: &House, path: &str, names: &[&str]) -> Answer {
    let bytes: Vec<Vec<u8>> = names.iter().map(|n| photo(n)).collect();
    let parts: Vec<_> = names.iter().zip(&bytes).map(|(n, b)| ("file", Some(*n), b.as_slice())).collect();
    let (kind, body) = multipart(&parts);
    house.send(Request::post(path).header("content-type", kind).body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn each_photo_is_answered_or_refused_by_itself_and_is_in_the_log() {
    let house = house();
    let photos = ["grace_hopper.jpg", "no_face.jpg", "hopper_tilt.jpg", "grace_hopper.jpg"];
    let enrolled = post(&house, "/v1/people/Grace/faces/batch", &photos).await.ok();
    let items = enrolled["items"].as_array().unwrap();
    assert!(items.iter().zip(photos).all(|(i, p)| i["photo"] == p));
    assert_eq!(items[1]["problem"]["code"], "refusal.no_face");
    assert!(items[1]["answer"].is_null() && items[0]["problem"].is_null());
    let statuses = [0, 2, 3].map(|i| items[i]["answer"]["status"].as_str().unwrap());
    // Two of them are one photo, whichever of the two came first.
    assert_eq!(statuses.iter().filter(|s| **s == "same_photo").count(), 1, "{statuses:?}");
    assert_eq!(items[0]["answer"]["face"], items[3]["answer"]["face"]);

    let found =
        post(&house, "/v1/batch/identify?top=1", &["hopper_tilt.jpg", "no_face.jpg", "astronaut.png"]).await.ok();
    let names: Vec<_> = (0..3).map(|i| found["items"][i]["answer"]["faces"][0]["name"].as_str()).collect();
    assert_eq!(names, [Some("Grace"), None, None]);
    assert_eq!(found["items"][1]["answer"]["faces"], json!([]));

    let texts = [photo("grace_hopper.jpg"), b"no photo".to_vec()].map(|p| STANDARD.encode(p));
    let seen = house.send_json("POST", "/v1/batch/detect", json!({ "files": texts })).await.ok();
    assert_eq!(seen["items"][0]["answer"]["faces"].as_array().unwrap().len(), 1);
    assert_eq!(seen["items"][1]["problem"]["code"], "photo.unknown_format");
    let vectors = post(&house, "/v1/batch/embed", &["grace_hopper.jpg", "two_faces.jpg"]).await.ok();
    assert_eq!(vectors["items"][1]["answer"]["faces"].as_array().unwrap().len(), 2);
    let single = house.post_photo("/v1/embed", "grace_hopper.jpg").await.ok();
    assert_eq!(vectors["items"][0]["answer"], single);

    let log = house.get("/v1/audit?limit=100").await.ok();
    let done = log["lines"].as_array().unwrap().iter().filter(|l| l["result"] != "begun");
    let actions: Vec<&str> = done.map(|l| l["action"].as_str().unwrap()).collect();
    let count = |action: &str| actions.iter().filter(|a| **a == action).count();
    assert_eq!((count("enroll"), count("identify"), count("detect"), count("embed")), (4, 3, 2, 3));
}

#[tokio::test]
async fn a_batch_of_nothing_or_of_too_much_is_refused() {
    let house = house();
    let tiny = photo("one_pixel.png");
    let none = house.send_json("POST", "/v1/batch/detect", json!({ "files": [] })).await;
    assert_eq!((none.status, none.problem()), (StatusCode::BAD_REQUEST, "request.no_photo".to_string()));
    let many = json!({ "files": vec![STANDARD.encode(&tiny); 33] });
    let many = house.send_json("POST", "/v1/batch/detect", many).await;
    assert_eq!((many.status, many.problem()), (StatusCode::BAD_REQUEST, "request.photos".to_string()));
    let foreign = house.send_json("POST", "/v1/batch/detect", json!({ "a": STANDARD.encode(&tiny) })).await;
    assert_eq!(foreign.problem(), "request.photos");
}
