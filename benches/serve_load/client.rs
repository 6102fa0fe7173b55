//! Callers of the service: each with one connection that it keeps, over plain HTTP/1.1.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A kept connection.
pub struct Client {
    address: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { address, stream: connect(address)?, buffer: Vec::with_capacity(1 << 16) })
    }

    /// The status of the answer; a connection that was closed is made anew, once.
    pub fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        match self.try_ask(request) {
            Err(_) => {
                self.stream = connect(self.address)?;
                self.try_ask(request)
            }
            answered => answered,
        }
    }

    fn try_ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request)?;
        self.buffer.clear();
        let mut piece = [0; 1 << 14];
        let mut whole = usize::MAX;
        let mut status = 0;
        while self.buffer.len() < whole {
            let read = self.stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&piece[..read]);
            if whole == usize::MAX
                && let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
                status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
                let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
                whole = end + 4 + length.unwrap_or(0);
            }
        }
        Ok(status)
    }
}

pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(stream)
}

/// A request with a body.
pub fn request(path: &str, kind: &str, key: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Processor seconds of this process so far, callers and service together; none where the system does not tell.
pub fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name in brackets, which may hold spaces; ticks are a hundredth of a second on Linux.
    let numbers = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = numbers.skip(11).take(2).filter_map(|n| n.parse().ok()).collect();
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / 100.0 } else { f64::NAN }
}

/// Answers a second of `clients` who each ask again as soon as they are answered.
pub fn closed(address: SocketAddr, requests: &[Vec<u8>], clients: usize, time: Duration) -> f64 {
    let (answered, start) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for c in 0..clients {
            let answered = &answered;
            scope.spawn(move || {
                let mut client = Client::new(address).expect("the service listens");
                for request in requests.iter().cycle().skip(c * 7) {
                    if start.elapsed() >= time {
                        break;
                    }
                    let status = client.ask(request).expect("the service answers");
                    assert_eq!(status, 200, "an honest request was refused");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    answered.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// How long honest requests took.
pub struct Latencies {
    /// Milliseconds, sorted.
    taken: Vec<f64>,
    pub refused: usize,
}

impl Latencies {
    pub fn at(&self, share: f64) -> f64 {
        let last = self.taken.len().saturating_sub(1);
        self.taken.get((share * last as f64).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub fn count(&self) -> usize {
        self.taken.len()
    }
}

/// Requests that come at random moments (a Poisson process of `rate` a second), whether the ones before are
/// answered or not. The time of each counts from the moment at which it was due.
pub fn open(address: SocketAddr, request: &[u8], rate: f64, time: Duration, seed: u64) -> Latencies {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut due = Vec::new();
    let mut at = 0.0;
    while at < time.as_secs_f64() {
        at -= (1.0 - rng.random::<f64>()).ln() / rate;
        due.push(Duration::from_secs_f64(at));
    }
    let (next, refused, start) = (AtomicUsize::new(0), AtomicUsize::new(0), Instant::now());
    let mut taken: Vec<f64> = std::thread::scope(|scope| {
        let one = |_| {
            scope.spawn(|| {
                let mut client = Client::new(address).expect("the service listens");
                let mut taken = Vec::new();
                while let Some(due) = due.get(next.fetch_add(1, Ordering::Relaxed)) {
                    std::thread::sleep(due.saturating_sub(start.elapsed()));
                    match client.ask(request) {
                        Ok(200) => taken.push((start.elapsed() - *due).as_secs_f64() * 1e3),
                        _ => drop(refused.fetch_add(1, Ordering::Relaxed)),
                    }
                }
                taken
            })
        };
        let all: Vec<_> = (0..24).map(one).collect();
        all.into_iter().flat_map(|t| t.join().expect("a client ends")).collect()
    });
    taken.sort_by(f64::total_cmp);
    Latencies { taken, refused: refused.into_inner() }
}
