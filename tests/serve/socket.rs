//! With a real socket: listening, slow clients, too many connections, and a stop that finishes what it has.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kith::serve::{Listening, ServeOptions, run};

use crate::support::{House, house_with, photo};

pub struct Running {
    pub listening: Listening,
    thread: JoinHandle<kith::Result<()>>,
    pub house: House,
}

pub fn begin(change: impl FnOnce(&mut ServeOptions)) -> Running {
    let house = house_with(|o| {
        o.listen = SocketAddr::from(([127, 0, 0, 1], 0));
        change(o);
    });
    let (tell, told) = channel();
    let service = house.service.clone();
    let thread = std::thread::spawn(move || run(service, move |l| tell.send(l).unwrap()));
    let listening = told.recv_timeout(Duration::from_secs(30)).unwrap();
    Running { listening, thread, house }
}

impl Running {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.listening.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// Stops it, and gives back what it stood in.
    pub fn stop(self) -> House {
        self.listening.stop();
        self.thread.join().unwrap().unwrap();
        self.house
    }
}

pub fn all_of(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is an end too.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn identify(address: SocketAddr) -> Vec<u8> {
    let body = photo("grace_hopper.jpg");
    let head = format!(
        "POST /v1/identify HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: image/jpeg\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body].concat()
}

#[test]
fn a_stop_answers_what_was_asked_and_takes_nothing_new() {
    let running = begin(|_| {});
    let mut asked = running.connect();
    let head = format!("POST /v1/people HTTP/1.1\r\nhost: {}\r\n", running.listening.address);
    let body = r#"{"name": "Ada"}"#;
    write!(
        asked,
        "{head}connection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    assert!(all_of(&mut asked).starts_with("HTTP/1.1 201 "));
    let mut slow = running.connect();
    let request = identify(running.listening.address);
    let (first, rest) = request.split_at(request.len() / 2);
    slow.write_all(first).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let address = running.listening.address;
    let stopping = std::thread::spawn(move || drop(running.stop()));
    std::thread::sleep(Duration::from_millis(200));
    slow.write_all(rest).unwrap();
    let answer = all_of(&mut slow);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"faces\":[{"), "{answer}");
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_client_that_dawdles_is_cut_off() {
    let running = begin(|o| {
        o.limits.head_seconds = 0.5;
        o.limits.body_seconds = 0.5;
    });
    let start = Instant::now();
    let mut silent = running.connect();
    assert_eq!(all_of(&mut silent), "");
    let mut halting = running.connect();
    halting.write_all(b"GET /healthz/live HTTP/1.1\r\nhost: localhost\r\nx-").unwrap();
    let answer = all_of(&mut halting);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut body = running.connect();
    let request = identify(running.listening.address);
    body.write_all(&request[..request.len() / 2]).unwrap();
    let answer = all_of(&mut body);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("timeout.body"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(30));
    running.stop();
}

#[test]
fn slow_bodies_hold_no_thread_of_the_networks() {
    let running = begin(|o| {
        o.limits.workers = 1;
        o.limits.queue = 1;
        o.limits.body_seconds = 300.0;
    });
    let request = identify(running.listening.address);
    let slow: Vec<TcpStream> = (0..40)
        .map(|_| {
            let mut stream = running.connect();
            stream.write_all(&request[..request.len() - 100]).unwrap();
            stream
        })
        .collect();
    let mut honest = running.connect();
    write!(honest, "POST /v1/people HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n").unwrap();
    write!(honest, "content-length: 15\r\nconnection: close\r\n\r\n{{\"name\": \"Ada\"}}").unwrap();
    assert!(all_of(&mut honest).starts_with("HTTP/1.1 201 "));
    let mut honest = running.connect();
    honest.write_all(&request).unwrap();
    assert!(all_of(&mut honest).starts_with("HTTP/1.1 200 "));
    // They were not cut off meanwhile: what is missing of one comes, and is answered.
    for mut stream in slow.into_iter().take(1) {
        stream.write_all(&request[request.len() - 100..]).unwrap();
        assert!(all_of(&mut stream).starts_with("HTTP/1.1 200 "));
    }
    running.stop();
}

/// A connection from another address of this machine.
#[cfg(target_os = "linux")]
fn connect_from(source: &str, to: std::net::SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Whether a request for that path is answered on the connection, which stays open.
fn answers(stream: &mut TcpStream, path: &str) -> bool {
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").is_ok()
        && stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0)
}

/// Asked without keys, by whoever is let in then: it is known who asks.
const KNOWN: &str = "/v1/galleries";
const ANYBODY: &str = "/healthz/live";

#[test]
#[cfg(target_os = "linux")]
fn one_address_takes_no_places_of_another() {
    let running = begin(|o| o.limits.address_connections = 2);
    let address = running.listening.address;
    let mut honest = connect_from("127.0.0.3", address);
    assert!(answers(&mut honest, ANYBODY));
    let mut held: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = connect_from("127.0.0.2", address);
            assert!(answers(&mut stream, ANYBODY));
            stream
        })
        .collect();
    // The third of an address is answered in place of its first, and of nobody else's.
    let mut third = connect_from("127.0.0.2", address);
    assert!(answers(&mut third, ANYBODY) && answers(&mut honest, ANYBODY) && answers(&mut held[1], ANYBODY));
    assert!(!answers(&mut held[0], ANYBODY));
    running.stop();
}

#[test]
fn connections_over_the_bound_take_the_places_of_those_that_showed_no_key() {
    let running = begin(|o| o.limits.connections = 3);
    let mut held: Vec<TcpStream> = [KNOWN, ANYBODY, KNOWN]
        .map(|path| {
            let mut stream = running.connect();
            // Answered once, so that it is surely the service's.
            assert!(answers(&mut stream, path));
            stream
        })
        .into();
    let mut fourth = running.connect();
    assert!(answers(&mut fourth, ANYBODY) && answers(&mut held[0], ANYBODY) && !answers(&mut held[1], ANYBODY));
    running.stop();
}
