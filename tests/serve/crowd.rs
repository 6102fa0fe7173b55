//! Crowds that mean no good: whatever strangers do, callers with a key are answered; whatever those do, doors are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use kith::serve::{Role, ServeOptions};

use crate::socket::{Running, all_of, begin};
use crate::support::photo;

const POLICIES: &str = "[policy.door]\nliveness = false\nmax_fpir = 0.01\n";
const MIB: usize = 1 << 20;

struct Doors {
    running: Running,
    /// Asks for decisions, and for nothing else.
    door: String,
    /// Two programs that identify and list.
    programs: [String; 2],
    _folder: tempfile::TempDir,
}

/// A service with Grace enrolled and a policy that lets her in.
fn doors(change: impl FnOnce(&mut ServeOptions)) -> Doors {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies.toml");
    std::fs::write(&policies, POLICIES).unwrap();
    let running = begin(|o| {
        o.policies = Some(policies);
        // However busy the machine is: what is asked here is who is let in at all.
        (o.limits.queue_seconds, o.limits.work_seconds) = (600.0, 600.0);
        change(o);
    });
    let enrolled = ask(&running, "POST", "/v1/people/Grace/faces", "", "image/jpeg", &photo("grace_hopper.jpg"));
    assert!(enrolled.starts_with("HTTP/1.1 201 "), "{enrolled}");
    let program = || running.house.key(&[Role::Identify, Role::Read], None);
    let (door, programs) = (running.house.key(&[Role::Decide], None), [program(), program()]);
    Doors { running, door, programs, _folder: folder }
}

fn request(method: &str, path: &str, key: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nconnection: close\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
    );
    // Without a key, no header of one.
    [head.replace("x-api-key: \r\n", "").as_bytes(), body].concat()
}

fn ask(running: &Running, method: &str, path: &str, key: &str, kind: &str, body: &[u8]) -> String {
    let mut stream = running.connect();
    stream.set_read_timeout(None).unwrap();
    // An answer may come before the whole request is read.
    let _ = stream.write_all(&request(method, path, key, kind, body));
    all_of(&mut stream)
}

impl Doors {
    #[track_caller]
    fn decides(&self, when: &str) {
        let body = photo("hopper_tilt.jpg");
        let answer = ask(&self.running, "POST", "/v1/access/decide?policy=door", &self.door, "image/jpeg", &body);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"decision\":\"allow\""), "{when}: {answer}");
    }

    #[track_caller]
    fn identifies(&self, program: usize, when: &str) {
        let body = photo("hopper_tilt.jpg");
        let answer = ask(&self.running, "POST", "/v1/identify", &self.programs[program], "image/jpeg", &body);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"Grace\""), "{when}: {answer}");
    }

    fn address(&self) -> SocketAddr {
        self.running.listening.address
    }
}

/// A connection that has sent this, and no more; none where it is not taken.
fn begun(address: SocketAddr, sent: &[u8]) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    // A refusal may come before all is sent.
    let _ = stream.write_all(sent);
    Some(stream)
}

/// What strangers begin and do not end.
fn strange() -> Vec<Vec<u8>> {
    let stated = |method: &str, path: &str, key: &str, length: usize| {
        let key = if key.is_empty() { String::new() } else { format!("x-api-key: {key}\r\n") };
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{key}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{{"
        )
        .into_bytes()
    };
    let wrong = format!("kith_00000000_{}", "0".repeat(64));
    let chunked = "POST /session HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    vec![
        stated("POST", "/session", "", 16 * MIB),
        stated("POST", "/session", "", 4000),
        chunked.as_bytes().to_vec(),
        stated("DELETE", "/session", "", 16 * MIB),
        stated("POST", "/v1/identify", "", 16 * MIB),
        stated("POST", "/v1/people/Ada/faces", &wrong, 16 * MIB),
        stated("POST", "/v1/access/decide?policy=door", &wrong, 16 * MIB),
        stated("POST", "/api/v1/recognition/recognize", &wrong, 16 * MIB),
        stated("PUT", "/v1/nothing", "", 16 * MIB),
        stated("GET", "/healthz/ready", "", 16 * MIB),
        b"POST /session HTTP/1.1\r\nhost: local".to_vec(),
        Vec::new(),
    ]
}

#[test]
fn two_hundred_idle_uploads_without_a_key_shut_no_door() {
    let doors = doors(|_| {});
    let strange = strange();
    for round in 0..20 {
        let when = format!("round {round}");
        // Of one kind, or of all kinds by turns.
        let sent =
            |i: usize| if round % 2 == 0 { &strange[round / 2 % strange.len()] } else { &strange[i % strange.len()] };
        // A connection that a busy machine does not make in time is one less.
        let crowd: Vec<_> = (0..200).filter_map(|i| begun(doors.address(), sent(i))).collect();
        assert!(crowd.len() > 150, "{when}: {} connections were made", crowd.len());
        doors.decides(&when);
        doors.identifies(0, &when);
        drop(crowd);
    }
    doors.running.stop();
}

#[test]
fn a_program_that_sends_slowly_takes_no_room_of_another_or_of_a_door() {
    let doors = doors(|o| {
        (o.limits.body_bytes, o.limits.bodies_bytes, o.limits.body_seconds) = (MIB, 16 * MIB, 300.0);
    });
    let whole = request("POST", "/v1/identify", &doors.programs[0], "image/jpeg", &vec![7; MIB]);
    for (many, sent) in [(100, whole.len() - MIB + 1), (60, whole.len() - 1000)] {
        let crowd: Vec<_> = (0..many).map(|_| begun(doors.address(), &whole[..sent]).expect("there is room")).collect();
        for _ in 0..3 {
            doors.decides("beside slow uploads");
            doors.identifies(1, "beside another's slow uploads");
        }
        drop(crowd);
    }
    doors.running.stop();
}

#[test]
fn idle_connections_give_way_to_whoever_shows_a_key() {
    let doors = doors(|o| {
        (o.limits.connections, o.limits.address_connections) = (64, 64);
        o.limits.head_seconds = 300.0;
    });
    // A thousand strangers for 64 places.
    let crowd: Vec<_> = (0..1000).map(|i| begun(doors.address(), &strange()[i % 12])).collect();
    doors.decides("beside a thousand strangers");
    doors.identifies(0, "beside a thousand strangers");
    // A program that keeps whatever it can get.
    let list = request("GET", "/v1/galleries", &doors.programs[0], "text/plain", b"");
    let list = String::from_utf8(list).unwrap().replace("connection: close\r\n", "");
    let kept: Vec<TcpStream> = (0..200)
        .filter_map(|_| {
            let mut stream = begun(doors.address(), list.as_bytes())?;
            stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0).then_some(stream)
        })
        .collect();
    assert!(kept.len() > 64, "{} connections were answered", kept.len());
    for _ in 0..3 {
        doors.decides("beside a program that keeps its connections");
        doors.identifies(1, "beside another that keeps its connections");
    }
    drop((crowd, kept));
    doors.running.stop();
}

#[test]
fn a_queue_full_of_photos_keeps_no_door_waiting() {
    let doors = doors(|o| {
        (o.limits.workers, o.limits.queue) = (1, 2);
    });
    let (over, address) = (AtomicBool::new(false), doors.address());
    let body = photo("grace_hopper.jpg");
    let asked = request("POST", "/v1/identify", &doors.programs[0], "image/jpeg", &body);
    let refused = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let Some(mut stream) = begun(address, &asked) else { continue };
                    let full = all_of(&mut stream).contains("overload.queue_full");
                    refused.fetch_add(usize::from(full), Ordering::Relaxed);
                    std::thread::sleep(std::time::Duration::from_millis(5));
                }
            });
        }
        let deciding = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            // The queue is full before the first, and stays so.
            while refused.load(Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            (0..10).for_each(|_| doors.decides("beside a full queue"));
        }));
        over.store(true, Ordering::Relaxed);
        deciding.unwrap();
    });
    doors.running.stop();
}

#[test]
fn millions_of_empty_values_are_refused_before_they_take_memory() {
    let doors = doors(|_| {});
    let strings = format!("[{}\"\"]", "\"\",".repeat(5_000_000));
    let lists = format!("[{}[]]", "[],".repeat(5_000_000));
    let program = &doors.programs[0];
    let admin = &doors.running.house.key(&[Role::Admin], None);
    for (path, key, body, code) in [
        ("/v1/identify", program, format!("{{\"files\":{strings}}}"), "request.too_many_values"),
        ("/v1/search", program, format!("{{\"embeddings\":{lists}}}"), "request.too_many_values"),
        ("/v1/people", admin, format!("{{\"name\":\"Ada\",\"groups\":{strings}}}"), "request.too_many_values"),
        ("/api/v1/recognition/faces/delete", admin, strings.clone(), "values are taken by no call"),
        ("/v1/access/decide?policy=door", &doors.door, format!("{{\"files\":{strings}}}"), "access.bad_request"),
    ] {
        let answer = ask(&doors.running, "POST", path, key, "application/json", body.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(code), "{path}: {answer}");
    }
    let parts = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n\r\n".repeat(200_000) + "--x--\r\n";
    let answer =
        ask(&doors.running, "POST", "/v1/identify", program, "multipart/form-data; boundary=x", parts.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("request.too_many_values"), "{answer}");
    let query = format!("/v1/people?{}", "q&".repeat(5000));
    let answer = ask(&doors.running, "GET", &query, program, "text/plain", b"");
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("request.too_many_values"), "{answer}");
    doors.running.stop();
}
