//! The running service: what every handler holds.

mod noting;
mod readiness;

use readiness::Unready;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::access::{CoolDowns, Policies, PolicyRoom};
use super::audit::{Audit, Refusals, check_rotation};
use super::auth::{KeyFile, Keys, Rates, Sessions};
use super::config::ServeOptions;
use super::files::{is_open_to_others, make_private_folder};
use super::idempotency::Repeats;
use super::limits::ServeLimits;
use super::metrics::Metrics;
use super::pool::{Pool, Refused};
use super::problem::Problem;
use crate::error::ServeError;
use crate::{Database, Engine, Result};

/// Memory for request bodies is counted in pieces of this many bytes.
const PIECE: usize = 1024;
/// Threads that search and list.
const SEARCH_THREADS: usize = 2;
/// Threads that wait for the disk; several, so that their writes share a sync.
const DISK_THREADS: usize = 8;
/// Searches and writes that may wait.
const QUICK_QUEUE: usize = 256;

/// A face service over one engine and one database: [`super::router`] makes its routes, [`super::run`]
/// serves them.
#[derive(Debug)]
pub struct Service {
    engine: Engine,
    database: Database,
    options: ServeOptions,
    networks: Pool,
    searches: Pool,
    disk: Pool,
    keys: Keys,
    sessions: Sessions,
    rates: Rates,
    metrics: Metrics,
    audit: Audit,
    refusals: Refusals,
    repeats: Repeats,
    policies: Policies,
    cool_downs: CoolDowns,
    memory: Arc<Semaphore>,
    /// When it was last seen why the service is not ready, and what was seen.
    looked: tokio::sync::Mutex<Option<(Instant, Vec<Unready>)>>,
    stopping: AtomicBool,
}

impl Service {
    /// Gets a service ready; nothing listens yet.
    ///
    /// # Errors
    /// [`ServeError`] for options that cannot be kept, an address that others reach without keys and TLS,
    /// or files that cannot be read.
    pub fn new(engine: Engine, database: Database, options: ServeOptions) -> Result<Arc<Self>> {
        let limits = &options.limits;
        limits.check()?;
        make_private_folder(&options.state)?;
        if is_open_to_others(&options.state) {
            tracing::warn!(folder = %options.state.display(), "others may write into the service's folder: chmod 700 it");
        }
        let keys = Keys::open(KeyFile::in_folder(&options.state))?;
        options.check_exposure(!keys.keyless())?;
        let policies = match &options.policies {
            Some(path) => Policies::load(path)?,
            None => Policies::default(),
        };
        check_rotation(options.audit_bytes)?;
        for room in policies.rooms(&engine, Some(&database), None) {
            match room.enough {
                true => tracing::info!("{room}"),
                false => tracing::warn!("{room}"),
            }
        }
        let audit = Audit::open(&options.state, options.audit_bytes)?;
        let pool = |name: &str, threads, queue| {
            Pool::new(name, threads, queue).map_err(|e| ServeError::Io {
                place: name.to_string(),
                doing: "starting threads",
                reason: e.to_string(),
            })
        };
        Ok(Arc::new(Self {
            networks: pool("networks", limits.workers, limits.queue)?,
            searches: pool("searches", SEARCH_THREADS, QUICK_QUEUE)?,
            disk: pool("disk", DISK_THREADS, QUICK_QUEUE)?,
            keys,
            sessions: Sessions::default(),
            rates: Rates::default(),
            metrics: Metrics::new(),
            audit,
            refusals: Refusals::default(),
            repeats: Repeats::default(),
            policies,
            cool_downs: CoolDowns::default(),
            memory: Arc::new(Semaphore::new(limits.bodies_bytes / PIECE)),
            looked: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            engine,
            database,
            options,
        }))
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn options(&self) -> &ServeOptions {
        &self.options
    }

    pub(super) fn limits(&self) -> &ServeLimits {
        &self.options.limits
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    pub(super) fn rates(&self) -> &Rates {
        &self.rates
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// How many faces each policy supports and has; of those for one gallery, where one is named.
    pub(super) fn rooms(&self, gallery: Option<&str>) -> Vec<PolicyRoom> {
        self.policies.rooms(&self.engine, Some(&self.database), gallery)
    }

    pub(super) fn cool_downs(&self) -> &CoolDowns {
        &self.cool_downs
    }

    pub(super) fn repeats(&self) -> &Repeats {
        &self.repeats
    }

    pub(super) fn has_tls(&self) -> bool {
        self.options.tls.is_some()
    }

    /// Whether new requests should go elsewhere.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn begin_to_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Ends the threads, when what they have is done.
    pub(super) fn stop(&self) {
        self.begin_to_stop();
        for pool in [&self.networks, &self.searches, &self.disk] {
            pool.stop();
        }
        self.audit.stop();
    }

    /// A part of the memory for request bodies.
    pub(super) fn take_memory(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).unwrap_or(u32::MAX);
        self.memory.clone().try_acquire_many_owned(pieces).map_err(|_| {
            let detail = "the bodies of the requests being read fill the service's memory for them; try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overload.memory", detail).retry_after(1)
        })
    }

    async fn on<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        pool: &Pool,
        within: Duration,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = self.clone();
        let wait = self.limits().queue_wait().min(within);
        let deadline = Instant::now() + within;
        let done = pool.run(wait, deadline, move || work(&service)).await;
        if matches!(done, Err(Refused::Failed)) {
            self.metrics.panicked();
        }
        done?.map_err(Into::into)
    }

    /// Runs what needs the networks.
    pub(super) async fn with_networks<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.networks, self.limits().queue_wait() + self.limits().work(), work).await
    }

    /// Runs what reads and searches.
    pub(super) async fn with_searches<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.searches, self.limits().work(), work).await
    }

    /// Runs what waits for the disk.
    pub(super) async fn with_disk<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.disk, self.limits().work(), work).await
    }

    /// The counts that are read off when somebody asks for them.
    pub(super) fn measure(&self) -> Result<()> {
        let pools = [("networks", &self.networks), ("searches", &self.searches), ("disk", &self.disk)];
        for (name, pool) in pools {
            self.metrics.pool(name, pool.waiting(), pool.running());
        }
        self.metrics.audit(self.audit.lines(), self.audit.is_writable());
        for room in self.rooms(None) {
            self.metrics.policy(&room);
        }
        for g in self.database.stats()?.galleries {
            self.metrics.gallery(&g.name, g.people, g.faces, g.index.waiting);
        }
        Ok(())
    }
}
