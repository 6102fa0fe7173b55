//! Time-outs: whatever takes too long is answered so, and opens no door.

use std::io::Write;
use std::time::Instant;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use kith::Raster;
use kith::media::encode_jpeg;
use kith::serve::last_lines;

use crate::socket::{all_of, begin};
use crate::support::{house_in, house_with, photo, state};

const POLICIES: &str = "[policy.door]\nliveness = false\nmax_fpir = 0.01\n";

/// A photo that takes every machine a while.
fn vast() -> Vec<u8> {
    let mut raster = Raster::new(2000, 1500, [90, 90, 90]);
    for (i, byte) in raster.data_mut().iter_mut().enumerate() {
        *byte = byte.wrapping_add((i / 4_000_000) as u8);
    }
    encode_jpeg(&raster).unwrap()
}

fn ask(path: &str, body: &[u8]) -> Request<Body> {
    Request::post(path).header("content-type", "image/jpeg").body(body.to_vec().into()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_takes_too_long_is_answered_so_and_opens_nothing() {
    let vast = vast();
    let patient = house_with(|o| o.limits.work_seconds = 3600.0);
    let mut taken = f64::INFINITY;
    for _ in 0..2 {
        let begun = Instant::now();
        patient.send(ask("/v1/detect", &vast)).await.ok();
        taken = taken.min(begun.elapsed().as_secs_f64());
    }
    // Bounds that the networks are sure to break here, and the disk to keep.
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, POLICIES).unwrap();
    let house = house_in(folder, |o| {
        o.policies = Some(policies);
        (o.limits.queue_seconds, o.limits.work_seconds) = (taken / 10.0, taken / 3.0);
        // Work that nobody waits for any more still holds its thread.
        o.limits.workers = 3;
    });
    house.send_json("POST", "/v1/people", serde_json::json!({ "name": "Ada" })).await.ok();
    for path in ["/v1/detect", "/v1/identify"] {
        let late = house.send(ask(path, &vast)).await;
        assert_eq!((late.status, late.problem()), (StatusCode::GATEWAY_TIMEOUT, "timeout.work".to_string()), "{path}");
    }
    let door = house.send(ask("/v1/access/decide?policy=door", &vast)).await;
    assert_eq!((door.status, door.problem()), (StatusCode::GATEWAY_TIMEOUT, "access.timeout".to_string()));
    assert_eq!((door.json()["decision"].as_str(), door.json()["reason"].as_str()), (Some("deny"), Some("timeout")));
    let mut lines = last_lines(&state(house.folder.path()), None, 3).unwrap();
    lines.reverse();
    let told = |l: &serde_json::Value| {
        let text = |name: &str| l[name].as_str().unwrap_or("-").to_string();
        format!("{} {} {}", text("action"), text("result"), text("code"))
    };
    let expected = ["detect refused timeout.work", "identify refused timeout.work", "decide deny timeout"];
    assert_eq!(lines.iter().map(told).collect::<Vec<_>>(), expected);
}

/// An AVIF that the container's tables make the most of: a grid of nine pictures.
#[cfg(feature = "avif")]
fn grid() -> Vec<u8> {
    std::fs::read("tests/golden/avif/grid.avif").unwrap()
}

#[cfg(feature = "avif")]
#[test]
fn an_avif_photo_that_arrives_slowly_is_read_and_one_that_does_not_arrive_is_timed_out() {
    let running = begin(|o| o.limits.body_seconds = 3.0);
    let body = grid();
    let mut asked = running.connect();
    let ada = r#"{"name": "Ada"}"#;
    let head = "POST /v1/people HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json";
    write!(asked, "{head}\r\ncontent-length: {}\r\n\r\n{ada}", ada.len()).unwrap();
    assert!(all_of(&mut asked).starts_with("HTTP/1.1 201 "));
    let ask = |length: usize| {
        let mut stream = running.connect();
        let head = "POST /v1/identify HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: image/avif";
        write!(stream, "{head}\r\ncontent-length: {length}\r\n\r\n").unwrap();
        stream
    };
    // A few hundred bytes at a time.
    let mut slow = ask(body.len());
    for part in body.chunks(body.len() / 10) {
        slow.write_all(part).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let answer = all_of(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"faces\":["), "{answer}");
    let mut halting = ask(body.len());
    halting.write_all(&body[..body.len() / 2]).unwrap();
    let answer = all_of(&mut halting);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("timeout.body"), "{answer}");
    running.stop();
}

#[cfg(feature = "avif")]
#[tokio::test]
async fn an_avif_photo_that_is_cut_short_is_refused_wherever_it_ends() {
    let (house, whole) = (house_with(|_| {}), grid());
    house.send_json("POST", "/v1/people", serde_json::json!({ "name": "Ada" })).await.ok();
    let post = |bytes: &[u8]| {
        let request = Request::post("/v1/identify").header("content-type", "image/avif");
        request.body(Body::from(bytes.to_vec())).unwrap()
    };
    for cut in (1..whole.len()).step_by(whole.len() / 40) {
        let answer = house.send(post(&whole[..cut])).await;
        let (status, code) = (answer.status, answer.problem());
        assert!(status.is_client_error() && code.starts_with("photo."), "cut at {cut}: {status} {code}");
    }
    assert_eq!(house.send(post(&whole)).await.status, StatusCode::OK);
}

#[test]
fn a_photo_that_does_not_arrive_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, POLICIES).unwrap();
    let running = begin(|o| {
        o.policies = Some(policies);
        o.limits.body_seconds = 0.3;
    });
    let body = photo("hopper_tilt.jpg");
    let mut halting = running.connect();
    write!(
        halting,
        "POST /v1/access/decide?policy=door HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    halting.write_all(&body[..body.len() / 2]).unwrap();
    let answer = all_of(&mut halting);
    assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains("\"decision\":\"deny\""), "{answer}");
    assert!(answer.contains("\"reason\":\"timeout\""), "{answer}");
    running.stop();
}
