//! The running service: what every handler holds.

mod facts;
mod noting;
mod readiness;

pub(super) use facts::{AuditCheck, DiskRoom, Work};
use readiness::Unready;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use super::access::{CoolDowns, Policies, PolicyRoom};
use super::audit::{Audit, Refusals, check_rotation};
use super::auth::{KeyFile, Keys, Rates, Sessions};
use super::carried::Carried;
use super::config::ServeOptions;
use super::connections::Connections;
use super::files::{is_open_to_others, make_private_folder};
use super::idempotency::Repeats;
use super::limits::ServeLimits;
use super::memory::Memory;
use super::metrics::Metrics;
use super::pool::{Pool, Refused};
use super::problem::Problem;
use super::rank::Rank;
use crate::error::ServeError;
use crate::{Database, Engine, GalleryStats, Result};

/// Threads that read large bodies.
const BODY_THREADS: usize = 2;
/// Threads that search and list.
const SEARCH_THREADS: usize = 2;
/// Threads that wait for the disk; several, so that their writes share a sync.
const DISK_THREADS: usize = 8;
/// Bodies, searches and writes that may wait.
const QUICK_QUEUE: usize = 256;

/// A face service over one engine and one database: [`super::router`] makes its routes, [`super::run`]
/// serves them.
#[derive(Debug)]
pub struct Service {
    engine: Engine,
    database: Database,
    options: ServeOptions,
    bodies: Pool,
    networks: Pool,
    searches: Pool,
    disk: Pool,
    keys: Keys,
    sessions: Sessions,
    rates: Rates,
    metrics: Metrics,
    audit: Audit,
    refusals: Refusals,
    repeats: Arc<Repeats>,
    carried: Carried,
    policies: Policies,
    cool_downs: CoolDowns,
    memory: Arc<Memory>,
    connections: Arc<Connections>,
    /// When it was last seen why the service is not ready, and what was seen.
    looked: tokio::sync::Mutex<Option<(Instant, Vec<Unready>)>>,
    stopping: AtomicBool,
    began: SystemTime,
    /// When the audit log was last read as a whole, and what came of it.
    audit_checked: Mutex<AuditCheck>,
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
        // Opening it read it from its first line to its last.
        let audit_checked = AuditCheck::sound(audit.lines());
        let pool = |name: &str, threads, queue, door| {
            Pool::new(name, threads, queue, door).map_err(|e| ServeError::Io {
                place: name.to_string(),
                doing: "starting threads",
                reason: e.to_string(),
            })
        };
        Ok(Arc::new(Self {
            bodies: pool("bodies", BODY_THREADS, QUICK_QUEUE, true)?,
            networks: pool("networks", limits.workers, limits.queue, true)?,
            searches: pool("searches", SEARCH_THREADS, QUICK_QUEUE, false)?,
            disk: pool("disk", DISK_THREADS, QUICK_QUEUE, false)?,
            keys,
            sessions: Sessions::default(),
            rates: Rates::default(),
            metrics: Metrics::new(),
            audit,
            refusals: Refusals::default(),
            repeats: Repeats::open(&options.state, database.writes())?,
            carried: Carried::default(),
            policies,
            cool_downs: CoolDowns::default(),
            memory: Memory::of(limits),
            connections: Connections::new(limits.connections, limits.address_connections),
            looked: tokio::sync::Mutex::default(),
            stopping: AtomicBool::new(false),
            began: SystemTime::now(),
            audit_checked: Mutex::new(audit_checked),
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

    pub(super) fn carried(&self) -> &Carried {
        &self.carried
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
        for pool in [&self.bodies, &self.networks, &self.searches, &self.disk] {
            pool.stop();
        }
        self.audit.stop();
        self.repeats.stop();
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    async fn on<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        pool: &Pool,
        rank: Rank,
        within: Option<Duration>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        let service = self.clone();
        let wait = within.map_or(self.limits().queue_wait(), |w| self.limits().queue_wait().min(w));
        let deadline = within.map(|w| Instant::now() + w);
        let done = pool.run(rank, wait, deadline, move || work(&service)).await;
        if matches!(done, Err(Refused::Failed)) {
            self.metrics.panicked();
        }
        done?.map_err(Into::into)
    }

    /// Runs what reads a large body.
    pub(super) async fn with_bodies<T: Send + 'static>(
        self: &Arc<Self>,
        rank: Rank,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.bodies, rank, Some(self.limits().work()), move |_| work()).await
    }

    /// Runs what needs the networks.
    pub(super) async fn with_networks<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.with_networks_as(Rank::Keyed, work).await
    }

    /// [`Service::with_networks`] for callers of that rank.
    pub(super) async fn with_networks_as<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        rank: Rank,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.networks, rank, Some(self.limits().queue_wait() + self.limits().work()), work).await
    }

    /// Runs what reads and searches.
    pub(super) async fn with_searches<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.searches, Rank::Keyed, Some(self.limits().work()), work).await
    }

    /// Runs what waits for the disk, to its end: a write that was begun cannot be taken back.
    pub(super) async fn with_disk<T: Send + 'static, E: Into<Problem> + Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Service) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem> {
        self.on(&self.disk, Rank::Keyed, None, work).await
    }

    /// The counts that are read off when somebody asks for them; the galleries' are answered.
    pub(super) fn measure(&self) -> Result<Vec<GalleryStats>> {
        let pools = [
            ("bodies", &self.bodies),
            ("networks", &self.networks),
            ("searches", &self.searches),
            ("disk", &self.disk),
        ];
        for (name, pool) in pools {
            self.metrics.pool(name, pool.waiting(), pool.running());
        }
        self.metrics.audit(self.audit.lines(), self.audit.is_writable());
        Ok(self.database.stats()?.galleries)
    }
}
