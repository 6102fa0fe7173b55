//! The calls about people and photos, in every form that they take.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::{House, house, house_with, multipart, photo};

async fn enroll(house: &House, name: &str, file: &str) {
    let answer = house.post_photo(&format!("/v1/people/{name}/faces"), file).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
}

async fn post_pair(house: &House, path: &str, a: &str, b: &str) -> crate::support::Answer {
    let (kind, body) = multipart(&[("a", Some(a), &photo(a)), ("b", Some(b), &photo(b))]);
    house.send(Request::post(path).header("content-type", kind).body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn somebody_is_enrolled_found_renamed_merged_and_forgotten() {
    let house = house_with(|o| o.keep_chips = true);
    enroll(&house, "Grace%20Hopper", "grace_hopper.jpg").await;
    enroll(&house, "Eileen", "astronaut.png").await;
    let again = house.post_photo("/v1/people/Grace%20Hopper/faces", "grace_hopper.jpg").await.ok();
    assert_eq!(again["status"], "same_photo");
    let other = house.post_photo("/v1/people/Somebody/faces", "hopper_tilt.jpg").await;
    assert_eq!((other.status, other.problem()), (StatusCode::CONFLICT, "gate.someone_else".to_string()));

    // The same photo as a raw body, as a part, and as base64.
    let bytes = photo("hopper_tilt.jpg");
    let (kind, body) = multipart(&[("file", Some("x.jpg"), &bytes), ("top", None, b"1")]);
    let part = Request::post("/v1/identify").header("content-type", kind).body(Body::from(body)).unwrap();
    let answers = [
        house.post_photo("/v1/identify?top=1", "hopper_tilt.jpg").await.ok(),
        house.send(part).await.ok(),
        house.send_json("POST", "/v1/identify", json!({"file": STANDARD.encode(&bytes), "top": 1})).await.ok(),
    ];
    assert_eq!(answers[0]["faces"][0]["name"], "Grace Hopper");
    assert!(answers.iter().all(|a| *a == answers[0]));
    assert_eq!(house.post_photo("/v1/identify", "no_face.jpg").await.ok()["faces"], json!([]));

    // The vector of the photo finds the same person.
    let embedded = house.post_photo("/v1/embed", "hopper_tilt.jpg").await.ok();
    let probe = json!({"model": embedded["model"], "embedding": embedded["faces"][0]["embedding"]});
    let found = house.send_json("POST", "/v1/search", probe).await.ok();
    assert_eq!(found["answers"][0]["name"], "Grace Hopper");
    let wrong = house.send_json("POST", "/v1/search", json!({"embedding": [1.0, 2.0]})).await;
    assert_eq!(wrong.problem(), "request.vectors");

    let claimed = house.post_photo("/v1/people/Eileen/verify", "hopper_tilt.jpg").await.ok();
    assert_eq!(claimed["same"], false);
    let claimed = house.post_photo("/v1/people/Grace%20Hopper/verify", "hopper_tilt.jpg").await.ok();
    assert_eq!(claimed["same"], true);

    let shown = house.get("/v1/people/Grace%20Hopper").await.ok();
    let thumbnail = house.get(shown["faces"][0]["thumbnail"].as_str().unwrap()).await;
    assert_eq!((thumbnail.header("content-type"), &thumbnail.bytes[..2]), ("image/jpeg", &[0xff, 0xd8][..]));
    // A list needs no request a person to show them.
    let listed = house.get("/v1/people").await.ok();
    assert_eq!(listed["people"][1]["thumbnail"], shown["faces"][0]["thumbnail"]);
    assert_eq!(shown["person"]["thumbnail"], shown["faces"][0]["thumbnail"]);
    let renamed = json!({"name": "Rear Admiral", "join": ["navy"], "set": {"door": "3"}});
    let renamed = house.send_json("PATCH", "/v1/people/Grace%20Hopper", renamed).await.ok();
    assert_eq!((renamed["name"].as_str(), &renamed["groups"]), (Some("Rear Admiral"), &json!(["navy"])));
    let navy = house.get("/v1/people?group=navy&label=door%3D3&q=ADMIRAL").await.ok();
    assert_eq!(navy["people"].as_array().unwrap().len(), 1);
    let unlike = house.send_json("POST", "/v1/people/Eileen/merge", json!({"into": "Rear Admiral"})).await;
    assert_eq!(unlike.problem(), "gallery.far_apart");
    let anyway = json!({"into": "Rear Admiral", "far_apart": true});
    let merged = house.send_json("POST", "/v1/people/Eileen/merge", anyway.clone()).await.ok();
    assert_eq!(merged["faces"], 2);
    let parted = house.send_json("POST", "/v1/people/rear%20admiral/split", json!({})).await.ok();
    assert_eq!((&parted["person"]["name"], &parted["from"]["faces"]), (&json!("Eileen"), &json!(1)));
    let again = house.send_json("POST", "/v1/people/Rear%20Admiral/split", json!({})).await;
    assert_eq!(again.problem(), "gallery.nothing_merged");
    assert_eq!(house.send_json("POST", "/v1/people/eileen/merge", anyway).await.ok()["faces"], 2);
    let face = house.get("/v1/people/Rear%20Admiral").await.ok()["faces"][1]["id"].as_u64().unwrap();
    let gone = house.send(Request::delete(format!("/v1/faces/{face}")).body(Body::empty()).unwrap()).await.ok();
    assert_eq!(gone["faces"], 1);
    let gone = house.send(Request::delete("/v1/people/Rear%20Admiral").body(Body::empty()).unwrap()).await.ok();
    assert_eq!(gone["faces"], 1);
    assert_eq!(house.get("/v1/people/Rear%20Admiral").await.problem(), "gallery.unknown_person");
    let log = house.get("/v1/audit?limit=100").await.ok();
    let done = log["lines"].as_array().unwrap().iter().filter(|l| l["result"] != "begun");
    let actions: Vec<&str> = done.map(|l| l["action"].as_str().unwrap()).collect();
    assert_eq!(&actions[..3], ["forget person", "forget face", "merge person"]);
}

#[tokio::test]
async fn two_photos_are_compared_as_numbers_and_as_a_picture() {
    let house = house();
    let same = post_pair(&house, "/v1/verify", "grace_hopper.jpg", "hopper_tilt.jpg").await.ok();
    assert_eq!(same["same"], true);
    let different = post_pair(&house, "/v1/compare", "grace_hopper.jpg", "astronaut.png").await.ok();
    assert_eq!(different["verdict"]["same"], false);
    let none = post_pair(&house, "/v1/verify", "grace_hopper.jpg", "no_face.jpg").await;
    assert_eq!(none.problem(), "refusal.no_face");
    let undecided = post_pair(&house, "/v1/compare", "grace_hopper.jpg", "no_face.jpg").await.ok();
    assert_eq!(
        (undecided["verdict"].is_null(), undecided["undecided"]["code"].as_str()),
        (true, Some("refusal.no_face"))
    );
    let both = post_pair(&house, "/v1/compare?with_picture=1", "grace_hopper.jpg", "hopper_tilt.jpg").await.ok();
    let drawn = both["picture"].as_str().and_then(|p| p.strip_prefix("data:image/jpeg;base64,")).unwrap();
    assert!(both["verdict"]["same"] == true && STANDARD.decode(drawn).unwrap().starts_with(&[0xff, 0xd8]));
    assert_eq!(different["picture"], json!(null));
    let picture = post_pair(&house, "/v1/compare?picture=1", "grace_hopper.jpg", "hopper_tilt.jpg").await;
    assert_eq!((picture.header("content-type"), &picture.bytes[1..4]), ("image/png", &b"PNG"[..]));
    let beyond = post_pair(&house, "/v1/verify?max_fmr=1e-12", "grace_hopper.jpg", "hopper_tilt.jpg").await;
    assert_eq!(beyond.problem(), "refusal.unsupported_rate");
    for wrong in ["threshold=3", "threshold=0", "max_fmr=2"] {
        let path = format!("/v1/compare?{wrong}");
        let answer = post_pair(&house, &path, "grace_hopper.jpg", "hopper_tilt.jpg").await;
        assert_eq!(answer.problem(), "refusal.invalid_threshold", "{wrong}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() {
    let house = house();
    let raw = |kind: &'static str, body: Vec<u8>, path: &'static str| {
        Request::post(path).header("content-type", kind).body(Body::from(body)).unwrap()
    };
    let jpeg = photo("grace_hopper.jpg");
    enroll(&house, "Grace", "grace_hopper.jpg").await;
    for (request, code) in [
        (raw("image/jpeg", jpeg[..4000].to_vec(), "/v1/detect"), "photo.damaged"),
        (raw("image/jpeg", b"not a photo".to_vec(), "/v1/detect"), "photo.unknown_format"),
        (raw("image/jpeg", Vec::new(), "/v1/detect"), "request.no_photo"),
        (raw("text/plain", jpeg.clone(), "/v1/detect"), "request.content_type"),
        (raw("application/json", b"{".to_vec(), "/v1/detect"), "request.bad_json"),
        (raw("application/json", b"{\"file\": \"!\"}".to_vec(), "/v1/detect"), "request.bad_base64"),
        (raw("multipart/form-data; boundary=x", b"--y".to_vec(), "/v1/detect"), "request.bad_multipart"),
        (raw("image/jpeg", jpeg.clone(), "/v1/identify?tpo=1"), "request.bad_option"),
        (raw("image/jpeg", jpeg.clone(), "/v1/identify?top=0"), "request.bad_option"),
        (raw("image/jpeg", jpeg.clone(), "/v1/identify?max_fpir=2"), "refusal.invalid_threshold"),
        (raw("image/jpeg", jpeg.clone(), "/v1/identify?gallery=a&gallery=b"), "request.bad_query"),
        (raw("image/jpeg", photo("two_faces.jpg"), "/v1/people/Two/faces"), "refusal.several_faces"),
    ] {
        let shown = format!("{request:?}");
        assert_eq!(house.send(request).await.problem(), code, "{shown}");
    }
    let bomb = house_with(|o| o.limits.photo_pixels = 1000).post_photo("/v1/detect", "grace_hopper.jpg").await;
    assert_eq!((bomb.status, bomb.problem()), (StatusCode::PAYLOAD_TOO_LARGE, "photo.too_many_pixels".to_string()));
    let few = house_with(|o| o.limits.photo_faces = 1);
    // Also where the largest face alone is asked for: the bound is on what the photo shows.
    for path in ["/v1/detect", "/v1/embed", "/v1/people/Two/faces?face=largest"] {
        let crowd = few.post_photo(path, "two_faces.jpg").await;
        assert_eq!(crowd.problem(), "photo.too_many_faces", "{path}");
        let detail = crowd.json()["detail"].to_string();
        assert!(detail.contains("2 faces") && detail.contains("photo_faces"), "{path}: {detail}");
    }
    assert_eq!(house.get("/v1/nothing").await.problem(), "request.no_route");
    let wrong = house.send(Request::put("/v1/people").body(Body::empty()).unwrap()).await;
    assert_eq!(wrong.problem(), "request.method");
}

#[tokio::test]
async fn a_write_sent_again_is_done_once() {
    let house = house();
    let add = |name: &str| {
        let request = Request::post("/v1/people").header("content-type", "application/json");
        request.header("idempotency-key", "k1").body(Body::from(json!({ "name": name }).to_string())).unwrap()
    };
    let first = house.send(add("Ada")).await;
    let second = house.send(add("Ada")).await;
    assert_eq!((first.status, &first.bytes), (second.status, &second.bytes));
    assert_eq!((first.header("idempotent-replayed"), second.header("idempotent-replayed")), ("", "true"));
    assert_eq!(house.send(add("Bea")).await.problem(), "request.idempotency_mismatch");
    assert_eq!(house.get("/v1/people").await.ok()["people"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_service_describes_and_measures_itself() {
    let house = house();
    enroll(&house, "Grace", "grace_hopper.jpg").await;
    let api = house.get("/openapi.json").await.ok();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
    for path in ["/v1/people/{name}/faces", "/v1/access/decide", "/v1/identify", "/session", "/v1/backup"] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    let vector = &api["components"]["schemas"]["Probes"]["properties"]["embeddings"]["items"];
    assert_eq!((&vector["minItems"], &vector["maxItems"]), (&json!(128), &json!(128)), "{vector}");
    assert_eq!(house.get("/healthz/ready").await.status, StatusCode::OK);
    let text = String::from_utf8(house.get("/metrics").await.bytes).unwrap();
    for line in
        ["kith_gallery_faces{name=\"main\"} 1", "kith_audit_lines 2", "kith_stage_seconds_count{name=\"decode\"} 1"]
    {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    let backup = house.send(Request::post("/v1/backup").body(Body::empty()).unwrap()).await.ok();
    assert!(std::path::Path::new(backup["file"].as_str().unwrap()).is_file());
    let calibration = house.get("/v1/calibration").await.ok();
    assert!(calibration["points"].as_array().unwrap().len() > 3);
    assert_eq!(house.get("/v1/stats").await.ok()["galleries"][0]["people"], 1);
}

#[tokio::test]
async fn every_spelling_of_a_name_is_one_person_and_what_is_wrong_is_named() {
    let house = house();
    enroll(&house, "Jos%C3%A9", "grace_hopper.jpg").await;
    for spelling in ["Jose%CC%81", "JOS%C3%89", "jos%C3%A9"] {
        let shown = house.get(&format!("/v1/people/{spelling}")).await.ok();
        assert_eq!(shown["person"]["name"], "Jos\u{e9}", "{spelling}");
        let again = house.post_photo(&format!("/v1/people/{spelling}/faces"), "grace_hopper.jpg").await.ok();
        assert_eq!(again["status"], "same_photo");
    }
    let found = house.get("/v1/people?q=JOSE%CC%81").await.ok();
    assert_eq!(found["people"].as_array().unwrap().len(), 1);
    for name in ["unknown", "Ada%E2%80%8B", "Ada%E2%80%AEx", "%E2%80%8B"] {
        let refused = house.post_photo(&format!("/v1/people/{name}/faces"), "astronaut.png").await;
        assert_eq!(refused.problem(), "gallery.bad_name", "{name}");
    }
    let not_text = house.get("/v1/people/Jos%E9").await;
    assert_eq!((not_text.status.as_u16(), not_text.problem().as_str()), (400, "request.bad_path"));

    // Another person under the same name, and what is said of one whose photo is known.
    let other = house.post_photo("/v1/people/Jos%C3%A9/faces", "astronaut.png").await;
    assert_eq!((other.status, other.problem()), (StatusCode::CONFLICT, "gate.different_person".to_string()));
    let allowed = house.post_photo("/v1/people/Jos%C3%A9/faces?allow=different", "astronaut.png").await.ok();
    assert_eq!(allowed["status"], "added");
    house.post_photo("/v1/people/Jos%C3%A9/faces?group=navy&label=door%3D3", "grace_hopper.jpg").await.ok();
    let shown = house.get("/v1/people/Jos%C3%A9").await.ok();
    assert_eq!((&shown["person"]["groups"], &shown["person"]["labels"]), (&json!(["navy"]), &json!({"door": "3"})));

    // Which photo, which option.
    for (a, b, wrong) in [("no_face.jpg", "astronaut.png", "a"), ("astronaut.png", "no_face.jpg", "b")] {
        let answer = post_pair(&house, "/v1/verify", a, b).await;
        let detail = answer.json()["detail"].as_str().unwrap().to_string();
        assert!(detail.starts_with(&format!("{wrong}: no face")), "{detail}");
        assert_eq!(answer.json()["photo"], wrong);
        let compared = post_pair(&house, "/v1/compare", a, b).await.ok();
        let reason = compared["undecided"]["reason"].as_str().unwrap();
        assert!(reason.starts_with(&format!("{wrong}: no face")), "{reason}");
    }
    let two = post_pair(&house, "/v1/verify", "astronaut.png", "two_faces.jpg").await.json();
    let detail = two["detail"].as_str().unwrap();
    assert!(detail.starts_with("b: ") && detail.contains("face=largest") && !detail.contains("--"), "{detail}");
    let bad = house.get("/api/v1/recognition/faces?page=-1").await;
    assert!(bad.json()["message"].as_str().unwrap().starts_with("page is \"-1\""), "{}", bad.json());
    let heic = Request::post("/v1/detect").header("content-type", "image/heic");
    let heic = house.send(heic.body(Body::from(&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..])).unwrap()).await;
    assert_eq!((heic.status.as_u16(), heic.problem().as_str()), (415, "photo.foreign_format"));
    assert!(heic.json()["detail"].as_str().unwrap().contains("this is HEIC"), "{}", heic.json());
}
