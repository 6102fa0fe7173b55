//! From unknown to named: a face of a photo is meant by its number.

use serde_json::{Value, json};

use crate::shapes;
use crate::support::{house, house_with};

fn names(answer: &Value) -> Vec<&Value> {
    answer["faces"].as_array().unwrap().iter().map(|f| &f["name"]).collect()
}

#[tokio::test]
async fn an_unknown_face_is_enrolled_by_its_number_and_then_has_its_name() {
    let house = house();
    house.post_photo("/v1/people/Somebody/faces", "grace_hopper.jpg").await.ok();
    let forgotten = axum::http::Request::delete("/v1/people/Somebody").body(axum::body::Body::empty()).unwrap();
    house.send(forgotten).await.ok();
    let first = house.post_photo("/v1/identify?with_crops=1", "two_faces.jpg").await.ok();
    shapes::hold(&first, "identify");
    let faces = first["faces"].as_array().unwrap();
    assert_eq!(faces.iter().map(|f| f["number"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(names(&first), [&json!(null), &json!(null)]);
    for face in faces {
        let crop = face["crop"].as_str().unwrap().strip_prefix("data:image/jpeg;base64,").unwrap();
        let jpeg = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, crop).unwrap();
        let crop = kith::Photo::from_bytes(&jpeg, "crop", &kith::Limits::default()).unwrap();
        assert!(crop.width().max(crop.height()) <= 160, "{}x{}", crop.width(), crop.height());
    }
    let plain = house.post_photo("/v1/identify", "two_faces.jpg").await.ok();
    assert!(plain["faces"][0].get("crop").is_none(), "pictures are answered where they are asked for");

    // Which of the two is meant has to be said, and the refusal says how.
    let refused = house.post_photo("/v1/people/Two/faces", "two_faces.jpg").await;
    assert_eq!(refused.json()["numbers"], json!([1, 2]));
    let detail = refused.json()["detail"].as_str().unwrap().to_string();
    assert!(detail.contains("face=2") && refused.problem() == "refusal.several_faces", "{detail}");
    for (number, name) in [(2, "The Second"), (1, "The First")] {
        let path = format!("/v1/people/{}/faces?face={number}", name.replace(' ', "%20"));
        let enrolled = house.post_photo(&path, "two_faces.jpg").await.ok();
        assert_eq!((&enrolled["name"], &enrolled["status"]), (&json!(name), &json!("added")));
        let shown = house.get(&format!("/v1/people/{}", name.replace(' ', "%20"))).await.ok();
        // It is the box that was meant, and it has a picture though nobody asked for one.
        assert_eq!(shown["faces"][0]["box"], first["faces"][number - 1]["box"]);
        assert!(shown["person"]["thumbnail"].is_string(), "{shown}");
    }
    let now = house.post_photo("/v1/identify", "two_faces.jpg").await.ok();
    assert_eq!(names(&now), [&json!("The First"), &json!("The Second")]);

    let beyond = house.post_photo("/v1/people/Third/faces?face=3", "two_faces.jpg").await;
    assert_eq!((beyond.status.as_u16(), beyond.problem().as_str()), (422, "refusal.no_such_face"));
    let none = house.post_photo("/v1/people/Third/faces?face=1", "no_face.jpg").await;
    assert_eq!(none.problem(), "refusal.no_face");
    for wrong in ["0", "-1", "1.5", "first", "%2B1", "99999999999999999999"] {
        let answer = house.post_photo(&format!("/v1/people/Third/faces?face={wrong}"), "two_faces.jpg").await;
        assert_eq!(answer.problem(), "request.bad_option", "{wrong}");
    }
    for wrong in ["identify?with_crops=perhaps", "search?with_crops=1"] {
        let answer = house.send_json("POST", &format!("/v1/{wrong}"), json!({ "file": "" })).await;
        assert_eq!(answer.status.as_u16(), 400, "{wrong}");
    }
}

#[tokio::test]
async fn no_picture_is_kept_where_none_is_wanted() {
    let house = house_with(|o| o.keep_chips = false);
    let face = house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok()["face"].clone();
    let shown = house.get("/v1/people/Grace").await.ok();
    assert_eq!((&shown["person"]["thumbnail"], &shown["faces"][0]["thumbnail"]), (&json!(null), &json!(null)));
    assert_eq!(house.get(&format!("/v1/faces/{face}/thumbnail")).await.problem(), "face.no_thumbnail");
}
