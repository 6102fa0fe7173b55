//! Callers who mean no good, each at a steady pace: what they do is counted by what came of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::client::{Client, connect, request};

/// What each kind of attack came to, by status; 0 is a connection closed without an answer.
pub type Outcomes = BTreeMap<(&'static str, u16), usize>;

/// What attackers have got hold of.
#[derive(Clone)]
pub struct Keys {
    /// A key that may identify, of whoever sends slowly.
    pub slow: String,
    /// Another, of whoever sends what is no photo: the places of one key are not the other's.
    pub wild: String,
    /// A key that may only read.
    pub reader: String,
}

/// A PNG that claims to be vast, in a few bytes.
fn bomb() -> Vec<u8> {
    let mut head = b"IHDR".to_vec();
    head.extend(60_000u32.to_be_bytes());
    head.extend(60_000u32.to_be_bytes());
    head.extend([8, 2, 0, 0, 0]);
    let mut crc = crc32(&head).to_be_bytes().to_vec();
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.append(&mut head);
    png.append(&mut crc);
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    };
    !bytes.iter().fold(!0, step)
}

/// A megabyte of JSON with as many values as that can have.
fn many_values() -> String {
    format!("{{\"files\": [{}\"\"]}}", "\"\",".repeat(350_000))
}

/// The attacks that are one request each, and what they are called. Those with the good key are an owner's own
/// programs gone wrong.
fn requests(key: &str, reader: &str, photo: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let identify = |key: &str, kind: &str, body: &[u8]| request("/v1/identify", kind, key, body);
    let stranger = format!("kith_00000000_{}", "0".repeat(64));
    let oversized = |key: &str| {
        format!(
            "POST /v1/identify HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
             content-type: image/jpeg\r\ncontent-length: 1000000000\r\n\r\n"
        )
        .into_bytes()
    };
    vec![
        ("wrong key", identify(&stranger, "image/jpeg", photo)),
        ("another role", identify(reader, "image/jpeg", photo)),
        ("oversized", oversized(key)),
        ("truncated photo", identify(key, "image/jpeg", &photo[..photo.len() / 3])),
        ("PNG bomb", identify(key, "image/png", &bomb())),
        ("no photo", identify(key, "image/jpeg", &[0x5a; 20_000])),
        ("bad JSON", identify(key, "application/json", b"{\"file\": [[[[[[[[[[[[[[[[[[[[")),
        ("many values", request("/v1/identify", "application/json", key, many_values().as_bytes())),
        ("wrong log-in", request("/session", "application/json", "", b"{\"key\": \"kith_00000000_0\"}")),
    ]
}

/// Attacks until `over`: `pace` requests a second of each kind, `idle` connections that say nothing or little.
pub fn attack(address: SocketAddr, keys: &Keys, photo: &[u8], pace: f64, idle: usize, over: &AtomicBool) -> Outcomes {
    let outcomes = Mutex::new(Outcomes::new());
    let count = |kind, status| *outcomes.lock().expect("no attacker panics").entry((kind, status)).or_insert(0) += 1;
    std::thread::scope(|scope| {
        for (kind, request) in requests(&keys.wild, &keys.reader, photo) {
            let count = &count;
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let status = Client::new(address).and_then(|mut c| c.ask(&request)).unwrap_or(0);
                    count(kind, status);
                    std::thread::sleep(Duration::from_secs_f64(1.0 / pace));
                }
            });
        }
        // Bodies that never end, with a key and without, and heads that never begin.
        scope.spawn(|| {
            let slow = request("/v1/identify", "image/jpeg", &keys.slow, photo);
            let log_in = b"POST /session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                           content-length: 4000\r\n\r\n{";
            let open = |i: usize| {
                let mut stream: TcpStream = connect(address).ok()?;
                let part = [&b""[..], b"POST /v1/ide", &slow[..slow.len() / 2], log_in][i % 4];
                stream.write_all(part).ok()?;
                Some(stream)
            };
            let mut held: Vec<Option<TcpStream>> = (0..idle).map(open).collect();
            let mut turn = 0;
            while !over.load(Ordering::Relaxed) {
                turn = (turn + 1) % idle.max(1);
                if let Some(stream) = held.get_mut(turn) {
                    let mut byte = [0; 512];
                    let closed = stream.as_mut().is_none_or(|s| {
                        let _ = s.set_read_timeout(Some(Duration::from_micros(100)));
                        s.read(&mut byte).is_ok() || s.write_all(b"x").is_err()
                    });
                    if closed {
                        count("slow or silent, cut off", 0);
                        *stream = open(turn);
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    });
    outcomes.into_inner().expect("no attacker panics")
}
