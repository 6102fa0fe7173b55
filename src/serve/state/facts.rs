//! What is told of the service itself: on its health page, and in the log's first and last lines.

use std::time::SystemTime;

use serde::Serialize;
use utoipa::ToSchema;

use super::Service;
use crate::files::now_ms;

/// Room on a disk.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(in super::super) struct DiskRoom {
    /// Bytes that the service may still write.
    free_bytes: u64,
    /// Bytes that it holds.
    total_bytes: u64,
}

/// What was answered since the service began.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
pub(in super::super) struct Work {
    /// When it began: milliseconds since 1970.
    since_ms: u64,
    /// Requests answered.
    answered: u64,
    /// Those of them that were refused or failed (status 400 and above).
    refused: u64,
    /// Time that they took together, in milliseconds.
    taken_ms: u64,
}

impl Service {
    pub(in super::super) fn worked(&self) -> Work {
        let since = self.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (answered, refused, taken_ms) = self.metrics.totals();
        Work { since_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX), answered, refused, taken_ms }
    }

    /// Room on the disk of the service's folder.
    #[cfg(unix)]
    pub(in super::super) fn disk_room(&self) -> Option<DiskRoom> {
        let facts = rustix::fs::statvfs(&self.options.state).ok()?;
        Some(DiskRoom { free_bytes: facts.f_bavail * facts.f_frsize, total_bytes: facts.f_blocks * facts.f_frsize })
    }

    #[cfg(not(unix))]
    pub(in super::super) fn disk_room(&self) -> Option<DiskRoom> {
        None
    }

    /// Says in the log what serves here, over what, within which bounds. Policies have lines of their own.
    pub(in super::super) fn tell_start(&self, address: std::net::SocketAddr) {
        let (engine, limits) = (&self.engine, &self.options.limits);
        let scheme = if self.gate.has_tls() { "https" } else { "http" };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            model = %engine.model(),
            detector = %engine.detector(),
            precision = engine.precision(),
            device = engine.device(),
            calibration = engine.calibration().map_or_else(|| "none".to_string(), crate::Calibration::id),
            "faces are found and told apart with these",
        );
        match self.database.stats() {
            Ok(stats) => {
                for g in &stats.galleries {
                    tracing::info!(gallery = g.name, people = g.people, faces = g.faces, index = ?g.index.kind, "a gallery");
                }
                let (galleries, encrypted) = (stats.galleries.len(), stats.encrypted);
                tracing::info!(
                    galleries,
                    bytes = stats.bytes,
                    encrypted,
                    chips = self.options.keep_chips,
                    "the database"
                );
            }
            Err(e) => tracing::warn!(error = %e, "the database cannot be counted"),
        }
        tracing::info!(
            body_bytes = limits.body_bytes,
            photo_pixels = limits.photo_pixels,
            photo_faces = limits.photo_faces,
            workers = limits.workers,
            queue = limits.queue,
            connections = limits.connections,
            key_rate = limits.key_rate,
            key_concurrent = limits.key_concurrent,
            "limits",
        );
        let policies = self.rooms(None).len();
        tracing::info!(
            policies,
            audit_lines = self.ledger.audit_lines(),
            keys = !self.gate.keys().keyless(),
            "listening on {scheme}://{address}"
        );
    }

    /// Says in the log that it is over, and what was done.
    pub(in super::super) fn tell_end(&self) {
        let work = self.worked();
        let seconds = now_ms().saturating_sub(work.since_ms) / 1000;
        let (answered, refused, audit_lines) = (work.answered, work.refused, self.ledger.audit_lines());
        tracing::info!(answered, refused, seconds, audit_lines, "stopped: every request that was begun is answered");
    }
}
