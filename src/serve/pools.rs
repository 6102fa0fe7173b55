//! Threads for what takes long: bodies, networks, searches, the disk; each with a queue that refuses when it is full.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::limits::ServeLimits;
use super::metrics::Metrics;
use super::pool::{Pool, Refused};
use super::problem::Problem;
use super::rank::Rank;
use crate::error::ServeError;

/// Threads that read large bodies.
const BODY_THREADS: usize = 2;
/// Threads that search and list.
const SEARCH_THREADS: usize = 2;
/// Threads that wait for the disk; several, so that their writes share a sync.
const DISK_THREADS: usize = 8;
/// Bodies, searches and writes that may wait.
const QUICK_QUEUE: usize = 256;

/// The part of the service that works.
#[derive(Debug)]
pub(super) struct Pools {
    bodies: Pool,
    networks: Pool,
    searches: Pool,
    disk: Pool,
    metrics: Arc<Metrics>,
    queue_wait: Duration,
    work: Duration,
}

impl Pools {
    /// # Errors
    /// [`ServeError::Io`] where no threads are to be had.
    pub(super) fn new(limits: &ServeLimits, metrics: Arc<Metrics>) -> Result<Self, ServeError> {
        let pool = |name: &str, threads, queue, door| {
            Pool::new(name, threads, queue, door).map_err(|e| ServeError::Io {
                place: name.to_string(),
                doing: "starting threads",
                reason: e.to_string(),
            })
        };
        Ok(Self {
            bodies: pool("bodies", BODY_THREADS, QUICK_QUEUE, true)?,
            networks: pool("networks", limits.workers, limits.queue, true)?,
            searches: pool("searches", SEARCH_THREADS, QUICK_QUEUE, false)?,
            disk: pool("disk", DISK_THREADS, QUICK_QUEUE, false)?,
            metrics,
            queue_wait: limits.queue_wait(),
            work: limits.work(),
        })
    }

    /// Ends the threads, when what they have is done.
    pub(super) fn stop(&self) {
        [&self.bodies, &self.networks, &self.searches, &self.disk].into_iter().for_each(Pool::stop);
    }

    /// Puts into the metrics how many wait and run.
    pub(super) fn measure(&self) {
        let pools = [
            ("bodies", &self.bodies),
            ("networks", &self.networks),
            ("searches", &self.searches),
            ("disk", &self.disk),
        ];
        for (name, pool) in pools {
            self.metrics.pool(name, pool.waiting(), pool.running());
        }
    }

    async fn on<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        pool: &Pool,
        rank: Rank,
        within: Option<Duration>,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let wait = within.map_or(self.queue_wait, |w| self.queue_wait.min(w));
        let deadline = within.map(|w| Instant::now() + w);
        let done = pool.run(rank, wait, deadline, work).await;
        if matches!(done, Err(Refused::Failed)) {
            self.metrics.panicked();
        }
        done?.map_err(Into::into)
    }

    /// Runs what reads a large body.
    pub(super) async fn bodies<T: Send + 'static>(
        &self,
        rank: Rank,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.bodies, rank, Some(self.work), work).await
    }

    /// Runs what needs the networks.
    pub(super) async fn networks<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        rank: Rank,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.networks, rank, Some(self.queue_wait + self.work), work).await
    }

    /// Runs what reads and searches.
    pub(super) async fn searches<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.searches, Rank::Keyed, Some(self.work), work).await
    }

    /// Runs what waits for the disk, to its end: a write that was begun cannot be taken back.
    pub(super) async fn disk<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.disk, Rank::Keyed, None, work).await
    }
}
