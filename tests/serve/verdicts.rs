//! Verdicts carry the quality of both faces, and are not given where neither would be enrolled.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use kith::Photo;
use kith::media::encode_png;

use crate::distort::blurred;
use crate::support::{Answer, House, house, multipart, photo};

fn of(name: &str) -> Photo {
    Photo::from_bytes(&photo(name), name, &kith::Limits::default()).unwrap()
}

async fn ask(house: &House, call: &str, a: &[u8], b: &[u8]) -> Answer {
    let (kind, body) = multipart(&[("a", Some("a.png"), a), ("b", Some("b.png"), b)]);
    house.send(Request::post(format!("/v1/{call}")).header("content-type", kind).body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn two_poor_faces_are_not_decided_and_one_is_said() {
    let house = house();
    let worse = |name: &str| encode_png(&blurred(of(name).raster(), 5.0)).unwrap();
    let (sharp, a, b) = (photo("grace_hopper.jpg"), worse("grace_hopper.jpg"), worse("hopper_mirror.jpg"));
    let refused = ask(&house, "verify", &a, &b).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let body = refused.json();
    let codes = [&body["code"], &body["left"]["code"], &body["right"]["code"]];
    assert_eq!(codes, ["refusal.poor_faces", "gate.blurred", "gate.blurred"], "{body}");
    assert!(body["detail"].as_str().unwrap().contains("accept_poor=true"), "{body}");
    let compared = ask(&house, "compare", &a, &b).await.ok();
    assert_eq!((&compared["undecided"]["code"], compared["verdict"].is_null()), (&"refusal.poor_faces".into(), true));

    let asked = ask(&house, "verify?accept_poor=true", &a, &b).await.ok();
    assert_eq!((&asked["same"], &asked["left"]["refusal"]["code"]), (&true.into(), &"gate.blurred".into()), "{asked}");
    let one = ask(&house, "verify", &sharp, &a).await.ok();
    assert!(one["left"]["refusal"].is_null() && one["right"]["refusal"]["code"] == "gate.blurred", "{one}");
    assert!(one["left"]["quality"]["eye_distance"].as_f64().unwrap() > 60.0, "{one}");
    let compared = ask(&house, "compare", &sharp, &a).await.ok();
    assert_eq!(compared["nearest"][1]["refusal"]["code"], "gate.blurred", "{compared}");
}

#[tokio::test]
async fn several_faces_are_told_with_their_places_and_with_a_word_that_works() {
    let house = house();
    let refused = ask(&house, "verify", &photo("grace_hopper.jpg"), &photo("two_faces.jpg")).await;
    let body = refused.json();
    assert_eq!(
        (body["code"].as_str(), body["faces"].as_array().map(Vec::len)),
        (Some("refusal.several_faces"), Some(2))
    );
    assert!(body["detail"].as_str().unwrap().ends_with("or say face=largest"), "{body}");
    ask(&house, "verify?face=largest", &photo("grace_hopper.jpg"), &photo("two_faces.jpg")).await.ok();
    let bad = ask(&house, "verify?min_score=2", &photo("grace_hopper.jpg"), &photo("two_faces.jpg")).await;
    assert_eq!(bad.problem(), "request.bad_option");
}

#[tokio::test]
async fn a_photo_on_its_side_is_turned() {
    let house = house();
    let lying = encode_png(&of("grace_hopper.jpg").raster().turned(1)).unwrap();
    let answer = ask(&house, "verify", &photo("grace_hopper.jpg"), &lying).await.ok();
    assert_eq!((&answer["same"], &answer["right"]["turned"]), (&true.into(), &270.into()), "{answer}");
    assert!(answer["left"]["turned"].is_null(), "{answer}");
}
