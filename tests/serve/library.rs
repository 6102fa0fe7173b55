//! The photo library over HTTP: what is listed and shown, what is corrected, and who may.

use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::Request;
use kith::serve::Role;
use kith::{Database, DatabaseOptions, Engine, Library, Limits, Photo, ScanOptions};
use serde_json::{Value, json};

use crate::shapes;
use crate::support::{Answer, House, house_in, photo};

/// Photos of Grace Hopper (three) and Eileen Collins (two), one of them of both.
fn photos(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    std::fs::create_dir(&photos).unwrap();
    for name in ["grace_hopper.jpg", "hopper_tilt.jpg", "astronaut.png", "two_faces.jpg"] {
        std::fs::write(photos.join(name), photo(name)).unwrap();
    }
    photos
}

/// A service whose database has the library of these photos, grouped.
fn house() -> (House, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let photos = photos(folder.path());
    let engine = Engine::builder().build().unwrap();
    let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
    let library = Library::of(&database);
    let options = ScanOptions { limits: Limits::default(), again: false };
    let scanned = library.scan(&engine, std::slice::from_ref(&photos), &options, &|_, _, _| {}).unwrap();
    assert_eq!((scanned.added, scanned.refused.len()), (4, 0), "{scanned:?}");
    library.group(Some("main"), None, false).unwrap();
    drop(database);
    (house_in(folder, |_| {}), photos)
}

async fn get(house: &House, path: &str) -> Value {
    let answer = house.get(path).await.ok();
    shapes::hold(&answer, path);
    answer
}

async fn change(house: &House, method: &str, path: &str, body: Value) -> Answer {
    house.send_json(method, path, body).await
}

async fn faces_of(house: &House, group: &Value) -> Vec<u64> {
    let found = get(house, &format!("/v1/library/groups/{group}/faces?limit=1000")).await;
    found["faces"].as_array().unwrap().iter().map(|f| f["id"].as_u64().unwrap()).collect()
}

/// All faces of all photos.
async fn all_faces(house: &House) -> Vec<Value> {
    let found = get(house, "/v1/library/photos").await;
    found["photos"].as_array().unwrap().iter().flat_map(|p| p["faces"].as_array().unwrap().clone()).collect()
}

#[tokio::test]
async fn groups_faces_and_photos_are_listed_in_pages_and_shown() {
    let (house, photos) = house();
    let status = get(&house, "/v1/library").await;
    assert_eq!((&status["photos"], &status["faces"]), (&json!(4), &json!(5)), "{status}");
    let listed = get(&house, "/v1/library/groups").await;
    assert_eq!((&listed["total"], &listed["groups"][0]["faces"]), (&json!(2), &json!(3)), "{listed}");
    let id = &listed["groups"][0]["id"];
    assert_eq!(get(&house, &format!("/v1/library/groups/{id}")).await, listed["groups"][0]);
    let faces = get(&house, &format!("/v1/library/groups/{id}/faces?limit=1&skip=1")).await;
    assert_eq!((&faces["total"], faces["faces"].as_array().unwrap().len()), (&json!(3), 1));
    let best = &listed["groups"][0]["best_face"];
    let thumbnail = house.get(&format!("/v1/library/faces/{best}/thumbnail")).await;
    assert_eq!((thumbnail.header("content-type"), &thumbnail.bytes[..2]), ("image/jpeg", &[0xff, 0xd8][..]));
    assert_eq!(thumbnail.header("cache-control"), "no-store");

    let theirs = get(&house, &format!("/v1/library/photos?group={id}")).await;
    assert_eq!(theirs["total"], 3, "{theirs}");
    let other = &listed["groups"][1]["id"];
    let both = get(&house, &format!("/v1/library/photos?group={id}&group={other}")).await;
    assert_eq!((&both["total"], both["photos"][0]["faces"].as_array().unwrap().len()), (&json!(1), 2), "{both}");
    let all = get(&house, "/v1/library/photos?skip=1&limit=2").await;
    assert_eq!((&all["total"], all["photos"].as_array().unwrap().len()), (&json!(4), 2));
    for found in theirs["photos"].as_array().unwrap() {
        let number = &found["id"];
        assert_eq!(get(&house, &format!("/v1/library/photos/{number}")).await, *found);
        assert!(Path::new(found["files"][0].as_str().unwrap()).starts_with(&photos), "{found}");
        let picture = house.get(&format!("/v1/library/photos/{number}/picture?side=200")).await;
        assert_eq!(picture.header("content-type"), "image/jpeg");
        let shown = Photo::from_bytes(&picture.bytes, "shown", &Limits::default()).unwrap();
        assert_eq!(shown.width().max(shown.height()), 200);
        // As the photo stands upright.
        let (width, height) = (found["width"].as_f64().unwrap(), found["height"].as_f64().unwrap());
        assert!((f64::from(shown.width()) / f64::from(shown.height()) - width / height).abs() < 0.02, "{found}");
    }
    // What is smaller than the side is not made larger.
    let number = &theirs["photos"][0]["id"];
    let picture = house.get(&format!("/v1/library/photos/{number}/picture?side=4096")).await;
    let shown = Photo::from_bytes(&picture.bytes, "shown", &Limits::default()).unwrap();
    assert_eq!(json!(shown.width()), theirs["photos"][0]["width"]);
    let none = get(&house, "/v1/library/questions").await;
    assert_eq!(none["total"], none["questions"].as_array().unwrap().len(), "{none}");
    assert_eq!(get(&house, "/v1/library/photos?from=1901&to=1902").await["total"], 0);

    for wrong in [
        "groups?limit=0",
        "groups?limit=1001",
        "groups?sort=size",
        "groups?named=maybe",
        "groups?limits=3",
        "photos?from=yesterday",
        "photos?group=-1",
        "questions?limit=0",
    ] {
        let answer = house.get(&format!("/v1/library/{wrong}")).await;
        assert_eq!(answer.status.as_u16(), 400, "{wrong}: {}", answer.json());
        answer.problem();
    }
    assert_eq!(
        house.get(&format!("/v1/library/photos/{number}/picture?side=5000")).await.problem(),
        "request.bad_option"
    );
}

#[tokio::test]
async fn an_answer_is_as_the_command_has_it() {
    let (house, _photos) = house();
    let groups = get(&house, "/v1/library/groups").await;
    let photos = get(&house, "/v1/library/photos").await;
    let House { folder, service, router } = house;
    drop((service, router));
    let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
    let library = Library::of(&database);
    let said = |text: Result<String, serde_json::Error>| serde_json::from_str::<Value>(&text.unwrap()).unwrap();
    assert_eq!(groups["groups"], said(serde_json::to_string(&library.group_list().unwrap())));
    let everything = library.find(&kith::PhotoFilter::default()).unwrap();
    assert_eq!(photos["photos"], said(serde_json::to_string(&everything)));
}

#[tokio::test]
async fn what_is_said_of_groups_and_faces_is_remembered_and_logged() {
    let (house, _photos) = house();
    let listed = get(&house, "/v1/library/groups").await;
    let (id, other) = (listed["groups"][0]["id"].clone(), listed["groups"][1]["id"].clone());
    let group = format!("/v1/library/groups/{id}");
    // An array is no object, and a call whose options are in the query takes no body.
    let array = change(&house, "PATCH", &group, json!(["Grace Hopper", false, null])).await;
    assert_eq!(array.problem(), "request.bad_json");
    let body = json!({ "gallery": "staff" }).to_string();
    let request = axum::http::Request::post("/v1/library/group").header("content-type", "application/json");
    let request = request.header("content-length", body.len()).body(body.into()).unwrap();
    let refused = house.send(request).await;
    assert_eq!(refused.problem(), "request.bad_option");
    let named = change(&house, "PATCH", &group, json!({ "name": " Grace Hopper " })).await.ok();
    assert_eq!((&named["group"], &named["name"], &named["faces"]), (&id, &json!("Grace Hopper"), &json!(3)));
    let of_other = faces_of(&house, &other).await;
    let face = |f: u64| format!("/v1/library/faces/{f}");
    let eileen = change(&house, "PATCH", &face(of_other[0]), json!({ "name": "Eileen Collins" })).await.ok();
    let listed = get(&house, "/v1/library/groups?sort=name&named=yes").await;
    let names: Vec<&str> = listed["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Eileen Collins", "Grace Hopper"], "{listed}");
    assert_eq!(get(&house, "/v1/library/groups?q=COLLINS").await["total"], 1);
    assert_eq!(get(&house, "/v1/library/groups?named=no").await["groups"][0]["id"], other);

    // The name of another group is not given unasked: the two would be one.
    let same = json!({ "name": "grace hopper" });
    let asked = change(&house, "PATCH", &format!("/v1/library/groups/{other}"), same).await;
    let problem = asked.json();
    assert_eq!((asked.status.as_u16(), &problem["code"]), (409, &json!("library.same_name")), "{problem}");
    assert_eq!((&problem["group"], &problem["into"], &problem["say"]), (&other, &id, &json!("merge")), "{problem}");
    assert_eq!(get(&house, "/v1/library/groups?named=no").await["groups"][0]["id"], other);
    // What was said to be no face is one again.
    let none = json!({ "not_face": true });
    let first = faces_of(&house, &other).await[0];
    change(&house, "PATCH", &face(first), none).await.ok();
    let listed = get(&house, "/v1/library/no-faces").await;
    assert_eq!((&listed["total"], &listed["faces"][0]["id"]), (&json!(1), &json!(first)), "{listed}");
    assert_eq!(house.get(&format!("{}/thumbnail", face(first))).await.status.as_u16(), 200);
    change(&house, "PATCH", &face(first), json!({ "not_face": false })).await.ok();
    assert_eq!(get(&house, "/v1/library/no-faces").await["total"], 0);
    // Saying it again changes nothing; a face that never was has nothing to be said of it.
    change(&house, "PATCH", &face(first), json!({ "not_face": false })).await.ok();
    let nobody = change(&house, "PATCH", &face(u64::MAX), json!({ "not_face": false })).await;
    assert_eq!((nobody.status.as_u16(), nobody.problem().as_str()), (404, "library.unknown_face"));
    change(&house, "POST", "/v1/library/group?poor_faces=1", json!({})).await.ok();

    // Two people with names are not made one; they are two for ever when that is said.
    let into = json!({ "into": eileen["group"] });
    assert_eq!(change(&house, "POST", &format!("{group}/merge"), into).await.problem(), "library.two_names");
    let no = json!({ "one": id, "other": eileen["group"], "same": false });
    assert_eq!(change(&house, "POST", "/v1/library/questions", no).await.ok()["faces"], 3);

    let of_grace = faces_of(&house, &id).await;
    let parted = change(&house, "POST", &format!("{group}/split"), json!({ "faces": [of_grace[1]] })).await.ok();
    assert_eq!((&parted["faces"], &parted["name"]), (&json!(1), &json!(null)));
    let yes = json!({ "one": id, "other": parted["group"], "same": true });
    let one = change(&house, "POST", "/v1/library/questions", yes).await.ok();
    assert_eq!((&one["group"], &one["faces"], &one["gone"]), (&id, &json!(3), &parted["group"]));
    let not = change(&house, "PATCH", &face(of_grace[1]), json!({ "not_person": true })).await;
    assert_eq!(not.ok()["faces"], 2);
    let none = change(&house, "PATCH", &face(of_other[1]), json!({ "not_face": true })).await.ok();
    assert_eq!(none["group"], json!(null));
    assert_eq!(all_faces(&house).await.len(), 4, "what is no face is not shown");
    assert_eq!(change(&house, "PATCH", &group, json!({ "hidden": true })).await.ok()["group"], id);
    assert_eq!(get(&house, "/v1/library/groups").await["total"], 1);
    assert_eq!(get(&house, "/v1/library/groups?hidden=1").await["groups"][0]["id"], id);
    change(&house, "PATCH", &group, json!({ "hidden": false })).await.ok();
    // It holds when they are grouped again.
    let again = change(&house, "POST", "/v1/library/group?poor_faces=1", json!({})).await.ok();
    shapes::hold(&again, "group");
    let mut now = faces_of(&house, &id).await;
    now.sort_unstable();
    let mut kept = vec![of_grace[0], of_grace[2]];
    kept.sort_unstable();
    assert_eq!(now, kept, "{again}");

    for (path, body) in [
        (group.as_str(), json!({})),
        (group.as_str(), json!({ "name": "A", "hidden": true })),
        (group.as_str(), json!({ "name": "412" })),
        (group.as_str(), json!({ "name": "\u{202e}" })),
        (face(of_grace[0]).as_str(), json!({})),
        (face(of_grace[0]).as_str(), json!({ "name": "A", "not_face": true })),
    ] {
        let answer = change(&house, "PATCH", path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), 400, "{path} {body}: {}", answer.json());
    }
    let log = get(&house, "/v1/audit?limit=100").await;
    let done: Vec<&Value> = log["lines"].as_array().unwrap().iter().filter(|l| l["result"] != "begun").collect();
    let actions: Vec<&str> = done.iter().map(|l| l["action"].as_str().unwrap()).collect();
    for action in ["name group", "name library face", "answer question", "split group", "not this person", "not a face"]
    {
        assert!(actions.contains(&action), "{action} is not in {actions:?}");
    }
    let line = done.iter().rfind(|l| l["action"] == "name group").unwrap();
    assert_eq!((&line["person"], &line["evidence"]["group"]), (&json!(" Grace Hopper "), &id), "{line}");
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_and_no_path_of_a_request_is_opened() {
    let (house, photos) = house();
    for id in ["0", "18446744073709551615", "4711"] {
        for (path, code) in [
            (format!("groups/{id}"), "library.unknown_group"),
            (format!("groups/{id}/faces"), "library.unknown_group"),
            (format!("photos?group={id}"), "library.unknown_group"),
            (format!("faces/{id}/thumbnail"), "library.unknown_face"),
            (format!("photos/{id}"), "library.unknown_photo"),
            (format!("photos/{id}/picture"), "library.unknown_photo"),
        ] {
            let answer = house.get(&format!("/v1/library/{path}")).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, code), "{path}");
        }
        for (method, path, body, code) in [
            ("PATCH", format!("groups/{id}"), json!({ "name": "A" }), "library.unknown_group"),
            ("POST", format!("groups/{id}/merge"), json!({ "into": 1 }), "library.unknown_group"),
            ("POST", format!("groups/{id}/split"), json!({ "faces": [1] }), "library.unknown_group"),
            ("PATCH", format!("faces/{id}"), json!({ "name": "A" }), "library.unknown_face"),
            ("PATCH", format!("faces/{id}"), json!({ "not_face": true }), "library.unknown_face"),
        ] {
            let answer = change(&house, method, &format!("/v1/library/{path}"), body).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, code), "{method} {path}");
        }
    }
    for id in ["-1", "18446744073709551616", "x", "..%2f..%2fetc%2fpasswd", "1%00", "%2e%2e"] {
        for path in ["groups", "photos", "groups/1/../../photos"] {
            let answer = house.get(&format!("/v1/library/{path}/{id}")).await;
            assert!([400, 404].contains(&answer.status.as_u16()), "{path}/{id}: {}", answer.status);
        }
        let answer = house.get(&format!("/v1/library/photos/{id}/picture")).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (400, "request.bad_path"), "{id}");
    }

    // The file in the photo's place is another one, a folder, a link to something else, a pipe: it is not shown.
    let found = get(&house, "/v1/library/photos").await;
    let hopper = found["photos"].as_array().unwrap().iter();
    let hopper = hopper.clone().find(|p| p["files"][0].as_str().unwrap().ends_with("grace_hopper.jpg")).unwrap();
    let path = format!("/v1/library/photos/{}/picture", hopper["id"]);
    assert_eq!(house.get(&path).await.status.as_u16(), 200);
    let file = photos.join("grace_hopper.jpg");
    let secret = photos.parent().unwrap().join("secret.jpg");
    std::fs::write(&secret, photo("astronaut.png")).unwrap();
    let away = async |what: &str| {
        let answer = house.get(&path).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (404, "library.photo_away"), "{what}");
        assert!(!answer.json().to_string().contains(photos.to_str().unwrap()), "{what}: a path is told");
    };
    std::fs::write(&file, photo("astronaut.png")).unwrap();
    away("another photo").await;
    std::fs::remove_file(&file).unwrap();
    away("nothing").await;
    std::fs::create_dir(&file).unwrap();
    away("a folder").await;
    std::fs::remove_dir(&file).unwrap();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&secret, &file).unwrap();
        away("a link to another photo").await;
        std::fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        away("a pipe").await;
        std::fs::remove_file(&file).unwrap();
    }
    std::fs::write(&file, photo("grace_hopper.jpg")).unwrap();
    assert_eq!(house.get(&path).await.status.as_u16(), 200, "the same bytes are the same photo");
}

#[tokio::test]
async fn only_keys_for_all_galleries_reach_the_library_and_only_those_that_enrol_change_it() {
    let (house, _photos) = house();
    let listed = get(&house, "/v1/library/groups").await;
    let group = listed["groups"][0]["id"].clone();
    let (face, photo) = (listed["groups"][0]["best_face"].clone(), listed["groups"][0]["best_photo"].clone());
    let looks = [
        "/v1/library".to_string(),
        "/v1/library/groups".to_string(),
        format!("/v1/library/groups/{group}"),
        format!("/v1/library/groups/{group}/faces"),
        format!("/v1/library/faces/{face}/thumbnail"),
        "/v1/library/photos".to_string(),
        format!("/v1/library/photos/{photo}"),
        format!("/v1/library/photos/{photo}/picture"),
        "/v1/library/questions".to_string(),
    ];
    let changes = [
        ("PATCH", format!("/v1/library/groups/{group}"), json!({ "name": "A" })),
        ("POST", format!("/v1/library/groups/{group}/merge"), json!({ "into": group })),
        ("POST", format!("/v1/library/groups/{group}/split"), json!({ "faces": [face] })),
        ("PATCH", format!("/v1/library/faces/{face}"), json!({ "not_face": true })),
        ("POST", "/v1/library/questions".to_string(), json!({ "one": group, "other": group, "same": true })),
        ("POST", "/v1/library/group".to_string(), json!({})),
    ];
    // With a first key nobody comes without one.
    let reader = house.key(&[Role::Read], None);
    let others = [
        (None, 401, "auth.no_key"),
        (Some("kith_wrong".to_string()), 401, "auth.wrong_key"),
        (Some(house.key(&[Role::Identify, Role::Decide], None)), 403, "auth.role"),
        (Some(house.key(&[Role::Read, Role::Enroll], Some(&["main"]))), 403, "auth.gallery"),
        (Some(house.key(&[Role::Admin], Some(&["main", "other"]))), 403, "auth.gallery"),
    ];
    let sent = async |method: &str, path: &str, body: Option<&Value>, key: Option<&str>| {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let request = request.header("content-type", "application/json");
        house.send(request.body(body.map_or_else(Body::empty, |b| Body::from(b.to_string()))).unwrap()).await
    };
    for (key, status, code) in &others {
        for path in &looks {
            let answer = sent("GET", path, None, key.as_deref()).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (*status, *code), "{path}");
        }
        for (method, path, body) in &changes {
            let answer = sent(method, path, Some(body), key.as_deref()).await;
            assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (*status, *code), "{method} {path}");
        }
    }
    for path in &looks {
        assert_eq!(sent("GET", path, None, Some(&reader)).await.status.as_u16(), 200, "{path}");
    }
    for (method, path, body) in &changes {
        let answer = sent(method, path, Some(body), Some(&reader)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (403, "auth.role"), "{method} {path}");
    }
    let now = sent("GET", "/v1/library/groups", None, Some(&reader)).await.ok();
    assert_eq!(now, listed, "nothing was changed");
}

#[tokio::test]
async fn of_two_corrections_at_once_none_is_lost() {
    let (house, _photos) = house();
    let faces = all_faces(&house).await;
    for round in 0..6 {
        let name = |i: usize, face: &Value| {
            let path = format!("/v1/library/faces/{}", face["id"]);
            let body = json!({ "name": format!("Person {round}-{i}") });
            let house = &house;
            async move { change(house, "PATCH", &path, body).await.ok() }
        };
        let all = futures_util::future::join_all(faces.iter().enumerate().map(|(i, f)| name(i, f))).await;
        assert_eq!(all.len(), faces.len());
        let groups = get(&house, "/v1/library/groups?limit=1000").await;
        let mut owners = std::collections::BTreeMap::new();
        for group in groups["groups"].as_array().unwrap() {
            for face in faces_of(&house, &group["id"]).await {
                let before = owners.insert(face, group["name"].clone());
                assert!(before.is_none(), "face {face} is {before:?}'s and {}'s", group["name"]);
            }
        }
        for (i, face) in faces.iter().enumerate() {
            assert_eq!(owners[&face["id"].as_u64().unwrap()], json!(format!("Person {round}-{i}")), "round {round}");
        }
    }
}
