//! Bounds on what callers may cost, with their defaults.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Limits;
use crate::error::ServeError;

/// What no machine has more of: bounds of the bounds, so that none overflows or takes memory that is not there.
const MOST: u64 = 1_000_000;
const MOST_WORKERS: u64 = 4096;
const MOST_BYTES: u64 = 1 << 42;
const MOST_PIXELS: u64 = 1 << 40;

/// Bounds on what callers may cost. Every one of them holds whoever asks.
///
/// ```
/// let limits = kith::serve::ServeLimits::default();
/// assert!(limits.check().is_ok());
/// let none = kith::serve::ServeLimits { workers: 0, ..limits };
/// assert_eq!(none.check().unwrap_err().code(), "serve.bad_option");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServeLimits {
    /// Greatest request body in bytes.
    pub body_bytes: usize,
    /// Bytes of request bodies held at once, of all callers together; a quarter is kept for access decisions.
    pub bodies_bytes: usize,
    /// Greatest photo in pixels.
    pub photo_pixels: u64,
    /// Most faces in a photo; one with more is refused.
    pub photo_faces: usize,
    /// Threads that run the networks.
    pub workers: usize,
    /// Requests that may wait for one of these threads; access decisions have as many places of their own.
    pub queue: usize,
    /// Connections at once; where all places are taken, one that has shown no key gives way to the next.
    pub connections: usize,
    /// Connections at once of one address, or of one IPv6 network of 64 bits, likewise.
    pub address_connections: usize,
    /// Seconds for a request's head, and between two requests on a connection.
    pub head_seconds: f64,
    /// Seconds for a request's body.
    pub body_seconds: f64,
    /// Seconds that a request waits for its turn.
    pub queue_seconds: f64,
    /// Seconds for a request's work.
    pub work_seconds: f64,
    /// Seconds that a client may leave an answer unread.
    pub write_seconds: f64,
    /// Seconds that a stopping service waits for the requests it has.
    pub drain_seconds: f64,
    /// Requests a second of one key; none is no bound. A key may have one of its own.
    pub key_rate: Option<f64>,
    /// Requests at once of one key, and as many access decisions. A key may have one of its own.
    pub key_concurrent: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            body_bytes: 16 << 20,
            bodies_bytes: 256 << 20,
            photo_pixels: 50_000_000,
            photo_faces: 64,
            workers: cores,
            queue: cores * 16,
            connections: 2048,
            address_connections: 1024,
            head_seconds: 10.0,
            body_seconds: 20.0,
            queue_seconds: 5.0,
            work_seconds: 30.0,
            write_seconds: 20.0,
            drain_seconds: 20.0,
            key_rate: None,
            key_concurrent: 128,
        }
    }
}

impl ServeLimits {
    /// Whether every bound leaves room for work.
    ///
    /// # Errors
    /// [`ServeError::BadOption`] that names the first one that does not.
    pub fn check(&self) -> Result<(), ServeError> {
        let bad = |option: &str, received: String, expected: &str| {
            Err(ServeError::BadOption { option: option.to_string(), received, expected: expected.to_string() })
        };
        let counts = [
            ("body_bytes", self.body_bytes as u64, MOST_BYTES),
            ("bodies_bytes", self.bodies_bytes as u64, MOST_BYTES),
            ("photo_pixels", self.photo_pixels, MOST_PIXELS),
            ("photo_faces", self.photo_faces as u64, MOST),
            ("workers", self.workers as u64, MOST_WORKERS),
            ("queue", self.queue as u64, MOST),
            ("connections", self.connections as u64, MOST),
            ("address_connections", self.address_connections as u64, MOST),
            ("key_concurrent", self.key_concurrent as u64, MOST),
        ];
        for (option, count, most) in counts {
            if !(1..=most).contains(&count) {
                return bad(option, count.to_string(), &format!("1 to {most}"));
            }
        }
        if self.bodies_bytes / 2 < self.body_bytes {
            return bad("bodies_bytes", self.bodies_bytes.to_string(), "at least twice body_bytes");
        }
        let times = [
            ("head_seconds", self.head_seconds),
            ("body_seconds", self.body_seconds),
            ("queue_seconds", self.queue_seconds),
            ("work_seconds", self.work_seconds),
            ("write_seconds", self.write_seconds),
            ("drain_seconds", self.drain_seconds),
        ];
        for (option, seconds) in times {
            if !(seconds > 0.0 && seconds <= 86_400.0) {
                return bad(option, seconds.to_string(), "above 0 and at most 86400");
            }
        }
        match self.key_rate {
            Some(rate) if !(1e-3..=1e6).contains(&rate) => bad("key_rate", rate.to_string(), "0.001 to 1000000"),
            _ => Ok(()),
        }
    }

    /// Every limit with its value, by name; null where there is no bound.
    #[cfg(feature = "cli")]
    pub(crate) fn by_name(&self) -> Vec<(String, serde_json::Value)> {
        // Plain numbers: they can be written.
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(all)) => all.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// The names of all limits.
    #[cfg(feature = "cli")]
    pub(crate) fn names() -> Vec<String> {
        Self::default().by_name().into_iter().map(|(name, _)| name).collect()
    }

    pub(super) fn photo(&self) -> Limits {
        Limits { max_pixels: self.photo_pixels, max_bytes: self.body_bytes as u64 }
    }

    pub(super) fn queue_wait(&self) -> Duration {
        Duration::from_secs_f64(self.queue_seconds)
    }

    pub(super) fn work(&self) -> Duration {
        Duration::from_secs_f64(self.work_seconds)
    }

    pub(super) fn body(&self) -> Duration {
        Duration::from_secs_f64(self.body_seconds)
    }

    /// For a write, from its photo to the disk, before its caller is told that it goes on.
    pub(super) fn write(&self) -> Duration {
        2 * (self.queue_wait() + self.work())
    }

    /// Above what the stages may take together (body, turn, work, audit log), for whatever none of them bounds.
    pub(super) fn whole_request(&self) -> Duration {
        Duration::from_secs_f64(self.body_seconds + 2.0 * self.queue_seconds + 3.0 * self.work_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_leave_no_room_are_refused_by_name() {
        type Break = fn(&mut ServeLimits);
        let broken: [(&str, Break); 16] = [
            ("workers", |l| l.workers = usize::MAX),
            ("queue", |l| l.queue = usize::MAX),
            ("connections", |l| l.connections = usize::MAX),
            ("address_connections", |l| l.address_connections = usize::MAX),
            ("key_concurrent", |l| l.key_concurrent = usize::MAX),
            ("photo_faces", |l| l.photo_faces = usize::MAX),
            ("photo_pixels", |l| l.photo_pixels = u64::MAX),
            ("photo_pixels", |l| l.photo_pixels = 0),
            ("body_bytes", |l| l.body_bytes = usize::MAX),
            ("work_seconds", |l| l.work_seconds = f64::INFINITY),
            ("key_rate", |l| l.key_rate = Some(1e-300)),
            ("workers", |l| l.workers = 0),
            ("bodies_bytes", |l| l.bodies_bytes = l.body_bytes * 2 - 1),
            ("work_seconds", |l| l.work_seconds = f64::NAN),
            ("head_seconds", |l| l.head_seconds = 0.0),
            ("key_rate", |l| l.key_rate = Some(-1.0)),
        ];
        for (name, break_it) in broken {
            let mut limits = ServeLimits::default();
            break_it(&mut limits);
            let error = limits.check().unwrap_err();
            assert!(matches!(&error, ServeError::BadOption { option, .. } if option == name), "{error}");
        }
    }
}
