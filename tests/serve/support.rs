//! A service in a temporary folder, and requests to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use kith::serve::{KeyFile, NewKey, Role, ServeOptions, Service, router};
use kith::{Database, DatabaseOptions, Engine};
use serde_json::Value;
use tower::ServiceExt;

pub struct House {
    pub folder: tempfile::TempDir,
    pub service: Arc<Service>,
    pub router: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.bytes)))
    }

    /// The problem's code, where the answer is a problem in the form that RFC 9457 asks for.
    pub fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{body}");
        assert!(body["title"].is_string() && body["detail"].as_str().is_some_and(|d| !d.is_empty()), "{body}");
        assert_eq!(body["type"], format!("urn:kith:{}", body["code"].as_str().unwrap()), "{body}");
        body["code"].as_str().unwrap().to_string()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, String::from_utf8_lossy(&self.bytes));
        self.json()
    }
}

pub fn photo(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/fixtures/photos").join(name)).unwrap()
}

/// A service without keys, as it stands by default but for what `change` does.
pub fn house_with(change: impl FnOnce(&mut ServeOptions)) -> House {
    house_in(tempfile::tempdir().unwrap(), change)
}

pub fn house() -> House {
    house_with(|_| {})
}

pub fn state(folder: &Path) -> PathBuf {
    folder.join("faces.serve")
}

pub fn house_in(folder: tempfile::TempDir, change: impl FnOnce(&mut ServeOptions)) -> House {
    let engine = Engine::builder().build().unwrap();
    let database = Database::open(folder.path().join("faces"), &DatabaseOptions::default()).unwrap();
    let mut options = ServeOptions::new(state(folder.path()));
    change(&mut options);
    let service = Service::new(engine, database, options).unwrap();
    House { router: router(service.clone()), folder, service }
}

impl House {
    pub async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub async fn post_photo(&self, path: &str, name: &str) -> Answer {
        let request = Request::post(path).header("content-type", "image/jpeg").body(photo(name).into()).unwrap();
        self.send(request).await
    }

    pub async fn send_json(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(json_request(method, path, &body)).await
    }

    /// Makes a key with these roles.
    pub fn key(&self, roles: &[Role], galleries: Option<&[&str]>) -> String {
        make_key(self.folder.path(), roles, galleries)
    }
}

pub fn make_key(folder: &Path, roles: &[Role], galleries: Option<&[&str]>) -> String {
    let new = NewKey {
        name: "a test's".to_string(),
        roles: roles.iter().copied().collect(),
        galleries: galleries.map(|g| g.iter().map(ToString::to_string).collect()),
        ..NewKey::default()
    };
    KeyFile::in_folder(state(folder)).add(new).unwrap().1.to_string()
}

pub fn json_request(method: &str, path: &str, body: &Value) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(body.to_string().into()).unwrap()
}

pub async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 64 << 20).await.unwrap().to_vec();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

/// A multipart body of these parts (field, file name, content), and its content type.
pub fn multipart(parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    multipart_between("edge", parts)
}

/// A multipart body with this boundary.
pub fn multipart_between(boundary: &str, parts: &[(&str, Option<&str>, &[u8])]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (field, file, content) in parts {
        let name = file.map(|f| format!("; filename=\"{f}\"")).unwrap_or_default();
        let head = format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{field}\"{name}\r\n\r\n");
        body.extend(head.into_bytes());
        body.extend_from_slice(content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{boundary}--\r\n").into_bytes());
    (format!("multipart/form-data; boundary={boundary}"), body)
}
