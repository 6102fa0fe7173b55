//! Downloading weights, against a real HTTP server on this machine: whole, cut, resumed, wrong.
#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![cfg(feature = "pull")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use kith::weights::{Kind, ModelEntry, PullOptions, Pulled, Upstream, pull};

/// How the server behaves.
#[derive(Clone, Copy, Default)]
struct Manners {
    /// Breaks the connection after this many bytes of body, this many times.
    cut_after: Option<(usize, usize)>,
    ignores_ranges: bool,
    status: Option<u16>,
}

struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(payload: Vec<u8>, etag: &'static str, manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            let mut cuts = manners.cut_after.map_or(0, |c| c.1);
            for stream in listener.incoming().flatten() {
                answer(stream, &payload, etag, &manners, &mut cuts, &seen);
            }
        });
        Self { address, requests }
    }

    fn url(&self) -> String {
        format!("http://{}/weights.bin", self.address)
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, payload: &[u8], etag: &str, m: &Manners, cuts: &mut usize, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
    seen.lock().unwrap().push(head.clone());
    let lower = head.to_lowercase();
    let field =
        |name: &str| lower.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")).map(|v| v.trim().to_string()));
    let start = field("range").and_then(|r| r.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let start = start.filter(|_| !m.ignores_ranges && field("if-range").as_deref() == Some(etag));
    let body = &payload[start.unwrap_or(0)..];
    let mut out = stream;
    let first = match (m.status, start) {
        (Some(status), _) => format!("HTTP/1.1 {status} No\r\n"),
        (None, Some(s)) => {
            let (last, whole) = (payload.len() - 1, payload.len());
            format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {s}-{last}/{whole}\r\n")
        }
        (None, None) => "HTTP/1.1 200 OK\r\n".to_string(),
    };
    let _ = write!(out, "{first}Content-Length: {}\r\nETag: {etag}\r\nConnection: close\r\n\r\n", body.len());
    let sent = match m.cut_after {
        Some((after, _)) if *cuts > 0 => {
            *cuts -= 1;
            &body[..after.min(body.len())]
        }
        _ => body,
    };
    let _ = out.write_all(sent);
    let _ = out.flush();
    let _ = out.shutdown(std::net::Shutdown::Write);
    let _ = reader.read(&mut [0; 64]);
}

fn payload() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/mtcnn.safetensors")).unwrap()
}

fn entry(free: bool) -> ModelEntry {
    ModelEntry {
        proven: Vec::new(),
        name: "served".to_string(),
        kind: Kind::Detector,
        architecture: "mtcnn".to_string(),
        dimension: None,
        licence: "test licence".to_string(),
        free_for_any_use: free,
        note: "for research only".to_string(),
        stored: "f32".to_string(),
        size: None,
        sha256: None,
        also: Vec::new(),
        identity: None,
        embedded: false,
        upstream: Upstream { name: "a server".to_string(), urls: vec![], files: vec![] },
    }
}

fn fetch(url: String, folder: &Path) -> Result<Pulled, kith::Error> {
    let options = PullOptions { url: Some(url), ..Default::default() };
    pull(&entry(true), folder, &options, &mut |_| {}).map_err(Into::into)
}

#[test]
fn a_download_is_checked_converted_and_its_checksum_recorded() {
    let server = Server::start(payload(), "\"v1\"", Manners::default());
    let folder = tempfile::tempdir().unwrap();
    let (mut last, mut total) = (0, None);
    let options = PullOptions { url: Some(server.url()), ..Default::default() };
    let pulled = pull(&entry(true), folder.path(), &options, &mut |p| {
        assert!(p.done >= last);
        (last, total) = (p.done, p.total);
    })
    .unwrap();
    assert_eq!((last, total), (payload().len() as u64, Some(payload().len() as u64)));
    assert!(pulled.recorded);
    assert_eq!(std::fs::read(&pulled.imported.path).unwrap(), payload());
    assert!(!folder.path().join("served.part").exists());
    // The same bytes again are welcome, others are not.
    assert!(!fetch(server.url(), folder.path()).unwrap().recorded);
    let mut other = payload();
    *other.last_mut().unwrap() ^= 1;
    let impostor = Server::start(other, "\"v2\"", Manners::default());
    let error = fetch(impostor.url(), folder.path()).unwrap_err();
    assert_eq!(error.code(), "weights.wrong_checksum");
    assert!(!folder.path().join("served.part").exists(), "wrong bytes are not kept");
    assert_eq!(std::fs::read(&pulled.imported.path).unwrap(), payload(), "the sound file is still there");
}

#[test]
fn a_cut_connection_is_resumed_where_it_broke() {
    let server = Server::start(payload(), "\"v1\"", Manners { cut_after: Some((700_000, 2)), ..Default::default() });
    let folder = tempfile::tempdir().unwrap();
    let pulled = fetch(server.url(), folder.path()).unwrap();
    assert_eq!(std::fs::read(pulled.imported.path).unwrap(), payload());
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].to_lowercase().contains("range: bytes=700000-"), "{}", requests[1]);
    assert!(requests[2].to_lowercase().contains("range: bytes=1400000-"), "{}", requests[2]);
}

#[test]
fn a_later_run_resumes_and_a_changed_file_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("served.part"), &payload()[..500_000]).unwrap();
    std::fs::write(folder.path().join("served.part.version"), "\"v1\"").unwrap();
    let same = Server::start(payload(), "\"v1\"", Manners::default());
    fetch(same.url(), folder.path()).unwrap();
    assert!(same.requests()[0].to_lowercase().contains("range: bytes=500000-"));

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("served.part"), vec![7; 500_000]).unwrap();
    std::fs::write(folder.path().join("served.part.version"), "\"old\"").unwrap();
    let changed = Server::start(payload(), "\"new\"", Manners::default());
    let pulled = fetch(changed.url(), folder.path()).unwrap();
    assert_eq!(std::fs::read(pulled.imported.path).unwrap(), payload());
}

#[test]
fn a_server_without_ranges_and_a_dead_one() {
    let manners = Manners { cut_after: Some((900_000, 1)), ignores_ranges: true, status: None };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(payload(), "\"v1\"", manners);
    assert!(fetch(server.url(), folder.path()).is_ok());

    let missing = Server::start(payload(), "\"v1\"", Manners { status: Some(404), ..Default::default() });
    let error = fetch(missing.url(), tempfile::tempdir().unwrap().path()).unwrap_err();
    assert!(error.to_string().contains("404"), "{error}");
    assert_eq!(missing.requests().len(), 1, "a 404 is not asked for again");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = fetch(format!("http://{closed}/x"), tempfile::tempdir().unwrap().path()).unwrap_err();
    assert_eq!(error.code(), "weights.download");
}

#[test]
fn wrong_bytes_are_refused_and_deleted() {
    for bytes in [b"<html>Not found</html>".to_vec(), b"PK\x03\x04 not really".to_vec(), payload()[..100_000].to_vec()]
    {
        let server = Server::start(bytes, "\"v1\"", Manners::default());
        let folder = tempfile::tempdir().unwrap();
        let error = fetch(server.url(), folder.path()).unwrap_err();
        assert_eq!(error.code(), "weights.malformed", "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_proxy_is_used_when_given() {
    let proxy = Server::start(payload(), "\"v1\"", Manners::default());
    let options = PullOptions {
        url: Some("http://weights.invalid/file".to_string()),
        proxy: Some(format!("http://{}", proxy.address)),
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let answer = pull(&entry(true), folder.path(), &options, &mut |_| {});
    let requests = proxy.requests();
    assert!(requests[0].contains("weights.invalid"), "{requests:?} {answer:?}");
}

#[test]
fn a_licence_must_be_accepted_before_a_byte_is_fetched() {
    let server = Server::start(payload(), "\"v1\"", Manners::default());
    let folder = tempfile::tempdir().unwrap();
    let mut options = PullOptions { url: Some(server.url()), ..Default::default() };
    let error = kith::Error::from(pull(&entry(false), folder.path(), &options, &mut |_| {}).unwrap_err());
    assert_eq!(error.code(), "weights.licence_not_accepted");
    assert!(error.to_string().contains("for research only"), "{error}");
    assert!(server.requests().is_empty());
    options.accept_licence = true;
    assert!(pull(&entry(false), folder.path(), &options, &mut |_| {}).is_ok());
}
