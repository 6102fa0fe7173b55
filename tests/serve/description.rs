//! `/openapi.json`, and that answers are all of the shapes that it and the command share.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::shapes;
use crate::support::{house, house_in, multipart, photo};

/// Every operation, with its method and path.
fn operations(api: &Value) -> Vec<(String, &Value)> {
    let paths = api["paths"].as_object().unwrap().iter();
    let all = paths.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

#[tokio::test]
async fn the_description_names_each_call_once_and_says_what_every_answer_is() {
    let api = house().get("/openapi.json").await.ok();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(api["servers"], json!([{ "url": "/" }]));
    let operations = operations(&api);
    assert!(operations.len() > 40);
    let mut ids = BTreeSet::new();
    for (call, operation) in &operations {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{call} has no operationId"));
        assert!(ids.insert(id), "{call} is called {id}, as another is");
        for (status, answer) in operation["responses"].as_object().unwrap() {
            let said = answer["description"].as_str().unwrap_or_default();
            assert!(!said.is_empty(), "{call} does not say what {status} is");
        }
        if let Some(body) = operation.get("requestBody") {
            assert_eq!(body["required"], true, "{call} takes a body, and none is no request");
        }
        let answers = operation["responses"].as_object().unwrap().values();
        for body in answers.chain(operation.get("requestBody")) {
            for (kind, content) in body["content"].as_object().into_iter().flatten() {
                assert!(content["schema"].is_object(), "{call}: {kind} has no schema");
                if kind.starts_with("image/") {
                    assert_eq!(content["schema"], json!({ "type": "string", "format": "binary" }), "{call}: {kind}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_decision_rests_on_is_described() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, "[policy.door]\nliveness = false\nmax_fpir = 0.01\nmax_fmr = 0.001\n").unwrap();
    let house = house_in(folder, |o| o.policies = Some(policies));
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    let schemas = house.get("/openapi.json").await.ok()["components"]["schemas"].clone();
    let shown = schemas["DecisionView"]["properties"]["evidence"].to_string();
    assert!(shown.contains("#/components/schemas/Evidence"), "{shown}");
    let described = schemas["Evidence"]["properties"].as_object().unwrap();
    for query in ["policy=door", "policy=door&person=Grace"] {
        for file in ["hopper_tilt.jpg", "astronaut.png"] {
            let decision = house.post_photo(&format!("/v1/access/decide?{query}"), file).await.ok();
            shapes::hold(&decision, "decide");
            let evidence = decision["evidence"].as_object().unwrap();
            assert!(evidence.len() > 8, "{evidence:?}");
            evidence.keys().for_each(|name| assert!(described.contains_key(name), "{name} is not described"));
        }
    }
    house.get("/v1/audit").await.ok()["lines"].as_array().unwrap().iter().for_each(|line| shapes::hold(line, "audit"));
}

#[tokio::test]
async fn boxes_thresholds_and_similarities_are_of_one_shape_in_every_answer() {
    let house = house();
    house.post_photo("/v1/people/Grace/faces", "grace_hopper.jpg").await.ok();
    for call in ["detect", "embed", "identify", "identify?threshold=0.5", "identify?max_fmr=0.001"] {
        let answer = house.post_photo(&format!("/v1/{call}"), "hopper_tilt.jpg").await.ok();
        assert!(answer["faces"][0]["box"].is_object(), "{answer}");
        shapes::hold(&answer, call);
    }
    let claimed = house.post_photo("/v1/people/Grace/verify", "hopper_tilt.jpg").await.ok();
    let shown = house.get("/v1/people/Grace").await.ok();
    assert!(shown["faces"][0]["box"].is_object() && claimed["threshold"].is_object());
    shapes::hold(&shown, "person");
    shapes::hold(&claimed, "claim");
    for call in ["verify", "compare"] {
        let (a, b) = (photo("grace_hopper.jpg"), photo("hopper_tilt.jpg"));
        let (kind, body) = multipart(&[("a", Some("a.jpg"), &a), ("b", Some("b.jpg"), &b)]);
        let request = Request::post(format!("/v1/{call}")).header("content-type", kind).body(Body::from(body)).unwrap();
        shapes::hold(&house.send(request).await.ok(), call);
    }
}
